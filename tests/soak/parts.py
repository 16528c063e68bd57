"""The parts of `make soak`: each in pieces of at most 20 minutes on two cores, each piece seeded and callable alone."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.bench.rows import Row, row
from tests.soak import forged, mutation, soundness
from tests.soak.report import ROOT

Figures = dict[str, Any]
"""What one piece found, as JSON holds it."""

EXAMPLES, METERS, FACILITIES, KILLS = 10_000, 10_000, 1_000, 1_000
KILLS_A_ROUND = 10


@dataclass(frozen=True)
class Part:
    """How many pieces it has, what one of them finds by a seed, and the rows of all together.

    A part whose pieces keep one core busy runs two at a time; the others use both themselves.
    """

    pieces: int
    find: Callable[[int, int], Figures]
    rows: Callable[[list[Figures]], list[Row]]
    is_single: bool = False


def properties(seed: int, number: int) -> Figures:
    """A share of the examples of every property test."""
    return failures(seed, number, EXAMPLES // PARTS["properties"].pieces, "tests/property")


def property_rows(pieces: list[Figures]) -> list[Row]:
    found: Counter[str] = sum((Counter(piece["failed"]) for piece in pieces), Counter())
    files = sorted({name for piece in pieces for name in piece["tests"]})
    return [row(f"properties: failures in 10,000 examples each, {name}", found[name], "tests", "= 0") for name in files]


def fuzz(seed: int, number: int) -> Figures:
    """Every fuzz test with many examples."""
    return failures(seed, number, EXAMPLES // PARTS["fuzz"].pieces, "tests/fuzz")


def fuzz_rows(pieces: list[Figures]) -> list[Row]:
    found = sum(sum(piece["failed"].values()) for piece in pieces)
    return [row("fuzz: failures in 10,000 examples each", found, "tests", "= 0")]


def kills(_: int, number: int) -> Figures:
    """The kill test for long: collector, broker and agent, with and without retention; when is chance."""
    rounds = KILLS // KILLS_A_ROUND // PARTS["kills"].pieces
    return tested("tests/e2e/test_kill.py", PUE_KILL_ROUNDS=str(rounds))


def kill_rows(pieces: list[Figures]) -> list[Row]:
    found = sum(sum(piece["failed"].values()) for piece in pieces)
    return [row("kills: failures in 1,000 kills", found, "tests", "= 0")]


def reference(seed: int, number: int) -> Figures:
    """A share of the meters and facilities on which a second implementation, written from METHOD.md, has to agree."""
    run = importlib.import_module("tests.reference.soak").run
    pieces = PARTS["reference"].pieces
    own_seed = seed * pieces + number
    return {"meters": run(own_seed, METERS // pieces, 0), "facilities": run(own_seed, 0, FACILITIES // pieces)}


def reference_rows(pieces: list[Figures]) -> list[Row]:
    return [
        row(f"reference: disagreements on {name}", sum(piece[key] for piece in pieces), key, "= 0")
        for key, name in (("meters", "10,000 hostile meters"), ("facilities", "1,000 facilities"))
    ]


def mutants(seed: int, _: int) -> Figures:
    """A sample of mutants: killed, or explained."""
    return mutation.run(seed)


# Tests


def failures(seed: int, number: int, examples: int, folder: str) -> Figures:
    """Tests of a folder that fail, with so many examples by a seed of this piece's own."""
    options = ("-n", "2", "-p", "tests.soak.examples", f"--hypothesis-seed={seed * 1000 + number}")
    return tested(folder, *options, HYPOTHESIS_PROFILE="soak", PUE_EXAMPLES=str(examples))


def tested(path: str, *options: str, **environment: str) -> Figures:
    """Number of tests, and of those that fail, by file; an error if they could not be run."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", *options, f"--junitxml={report}", path]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=False)
        if done.returncode not in (0, 1):
            raise RuntimeError(f"pytest {path} ended with {done.returncode}; run it by hand")
        cases = list(ElementTree.parse(report).iter("testcase"))
    names = [(case.get("classname", "").rpartition(".")[2], case) for case in cases]
    failed = [name for name, case in names if case.find("failure") is not None or case.find("error") is not None]
    return {"tests": dict(Counter(name for name, _ in names)), "failed": dict(Counter(failed))}


PARTS: dict[str, Part] = {
    "soundness": Part(soundness.PIECES, soundness.piece, soundness.rows, is_single=True),
    "properties": Part(10, properties, property_rows),
    "reference": Part(4, reference, reference_rows, is_single=True),
    "mutation": Part(1, mutants, mutation.rows),
    "fuzz": Part(1, fuzz, fuzz_rows),
    "kills": Part(4, kills, kill_rows),
    "forged": Part(forged.PIECES, forged.piece, forged.rows, is_single=True),
}
