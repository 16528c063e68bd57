"""What takes too long for every change: soundness, long searches, a second implementation, mutants, many kills.

python -m tests.soak [PART ...] [--seed N] [--piece K]

Without a part all of them run, without a piece all of a part's pieces. What pieces find is kept in build/soak for the
commit and the seed; once all pieces of a part are there, its rows go to tests/soak/report.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.bench.rows import Row, table
from tests.soak import report
from tests.soak.parts import PARTS, Figures

FOUND = report.ROOT / "build" / "soak"
SEED = 2026


def kept(name: str, seed: int, number: int) -> Path:
    """Where what a piece found on this commit is kept."""
    return FOUND / f"{name}-{report.commit()}-{seed}-{number}.json"


def find(name: str, seed: int, number: int) -> None:
    """Run one piece."""
    path = kept(name, seed, number)
    figures = PARTS[name].find(seed, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures) + "\n", encoding="utf-8")


def finished(name: str, seed: int) -> list[Row]:
    """Rows of a part whose pieces are all there, put into the report; none else."""
    paths = [kept(name, seed, number) for number in range(PARTS[name].pieces)]
    if not all(path.exists() for path in paths):
        return []
    figures: list[Figures] = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    rows = PARTS[name].rows(figures)
    report.put(rows)
    return rows


def run(name: str, seed: int, piece: int | None) -> list[Row]:
    """One piece of a part, or all of them: two at a time where each keeps one core busy."""
    numbers = range(PARTS[name].pieces) if piece is None else [piece]
    if PARTS[name].is_single and len(numbers) > 1:
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(find, [name] * len(numbers), [seed] * len(numbers), numbers))
    else:
        for number in numbers:
            find(name, seed, number)
    return finished(name, seed)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--piece", type=int, help="only this piece of a part, counted from 0")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; use {', '.join(PARTS)}")
    names = chosen.parts or list(PARTS)
    if chosen.piece is not None and not all(0 <= chosen.piece < PARTS[name].pieces for name in names):
        parser.error(f"no piece {chosen.piece}; use one of {', '.join(f'{PARTS[n].pieces} of {n}' for n in names)}")
    report.commit()  # before anything takes long: whoever commits meanwhile changes nothing of what runs
    rows = [line for name in names for line in run(name, chosen.seed, chosen.piece)]
    print(table(rows))
    return int(any(line["meets"] is False for line in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
