"""Print every part's figures as a table and write them to build/bench.json."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from pathlib import Path
from typing import Any

import tests.bench

BUILD = Path("build")


def collected(chosen: list[str]) -> list[dict[str, Any]]:
    """Rows of every module in this folder that has `rows()`, or of the named ones."""
    result: list[dict[str, Any]] = []
    for module in pkgutil.iter_modules(tests.bench.__path__):
        if module.name == "__main__" or (chosen and module.name not in chosen):
            continue
        part = importlib.import_module(f"tests.bench.{module.name}")
        if hasattr(part, "rows"):
            result += part.rows()
    return result


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as text; the last column says whether the goal is met."""
    width = max(len(row["name"]) for row in rows)
    marks = {True: "meets", False: "MISSES", None: ""}
    lines = [
        f"{row['name']:<{width}}  {row['figure']:>12,.3f} {row['unit']:<4} {row['goal']:<10} {marks[row['meets']]}"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    rows = collected(sys.argv[1:])
    BUILD.mkdir(exist_ok=True)
    (BUILD / "bench.json").write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
