"""Print every part's figures as a table and write them to build/bench.json; times and rates in reference seconds.

python -m tests.bench [core] [drift] [demo]
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from pathlib import Path

import tests.bench
from tests.bench import reference
from tests.bench.rows import Row, table

BUILD = Path("build")


def collected(chosen: list[str]) -> list[Row]:
    """Rows of every module in this folder that has `rows()`, or of the named ones, each part in its own seconds.

    A part's rows are times and rates as measured. The workload runs before and after the part, so that what else the
    machine does at the time slows both alike.
    """
    result: list[Row] = []
    for module in pkgutil.iter_modules(tests.bench.__path__):
        if module.name == "__main__" or (chosen and module.name not in chosen):
            continue
        part = importlib.import_module(f"tests.bench.{module.name}")
        if hasattr(part, "rows"):
            before_s = reference.measured_s()
            rows = part.rows()
            workload_s = min(before_s, reference.measured_s())
            print(f"{module.name}: the workload took {workload_s:.3f} s, a reference has {reference.WORKLOAD_S} s")
            result += [reference.scaled(line, workload_s) for line in rows]
    return result


def main() -> None:
    rows = collected(sys.argv[1:])
    BUILD.mkdir(exist_ok=True)
    (BUILD / "bench.json").write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
