"""The committed report of `make soak`: figures beside their goals, with the commit they were taken on."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path

from tests.bench.rows import Row

ROOT = Path(__file__).parents[2]
REPORT = Path(__file__).parent / "report.json"


@functools.cache
def commit() -> str:
    """The commit that was checked out when this was first asked; with a mark if files differ from it."""
    command = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"]
    described = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"


def put(rows: list[Row], path: Path = REPORT) -> None:
    """Take over rows under their names, each where it stood; new ones follow at the end."""
    known: dict[str, Row] = {line["name"]: line for line in read(path)}
    head = commit()
    known |= {line["name"]: Row(**line, commit=head) for line in rows}
    path.write_text(json.dumps(list(known.values()), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path = REPORT) -> list[Row]:
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return rows
