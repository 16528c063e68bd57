"""A seeded sample of mutants of `pue` (mutmut): which changed line would no test notice, and why that is so.

Survivors are explained in `explained.toml` by patterns over the changed lines; one without an explanation fails the
run. The report goes to `mutation.md` beside this file.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.rows import Row, row

SAMPLE = 600
MODULES = ("pue.contract", "pue.energy", "pue.judgement")
"""Whose mutants are drawn: what changed since mutants were last looked at."""

EXAMPLES = 15
"""Enough for a property to see most mutants, at a price that 600 of them can pay."""

WARM_UP = "pue.contract.errors.*"
"""A handful of mutants that make mutmut prepare all the others."""

NOTICED = frozenset({"killed", "timeout", "segfault"})
"""States of mutants that broke a test, hung or crashed."""

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MUTMUT = Path(sys.executable).parent / "mutmut"


@dataclass(frozen=True)
class Survivor:
    """A mutant that every test passed, or that none was run for."""

    name: str
    state: str
    change: str
    reason: str


def run(seed: int) -> dict[str, Any]:
    """Mutate, draw, test, write the page."""
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    _mutmut("run", "--max-children", "2", WARM_UP)
    names = drawn([name for name, _ in _states()], seed)
    _mutmut("run", "--max-children", "2", *names)
    chosen = set(names)
    states = {name: state for name, state in _states() if name in chosen}
    survivors = _survivors(states)
    (HERE / "mutation.md").write_text("".join(_page(states, survivors, seed)), encoding="utf-8")
    return {"states": states, "survivors": [asdict(survivor) for survivor in survivors]}


def drawn(names: list[str], seed: int) -> list[str]:
    """The sample: equally likely from all mutants of the modules, the same for the same code and seed."""
    known = sorted(name for name in names if name.startswith(tuple(f"{module}." for module in MODULES)))
    return sorted(random.Random(seed).sample(known, min(SAMPLE, len(known))))


def rows(pieces: list[dict[str, Any]]) -> list[Row]:
    survivors = [survivor for piece in pieces for survivor in piece["survivors"]]
    unexplained = [survivor for survivor in survivors if not survivor["reason"]]
    return [
        row("mutation: mutants tried", sum(len(piece["states"]) for piece in pieces), "mutants", f">= {SAMPLE}"),
        row("mutation: survivors without an explanation", len(unexplained), "mutants", "= 0"),
        row("mutation: survivors", len(survivors), "mutants"),
    ]


def _mutmut(*words: str) -> str:
    environment = os.environ | {"HYPOTHESIS_PROFILE": "mutation", "PUE_EXAMPLES": str(EXAMPLES)}
    done = subprocess.run([MUTMUT, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"mutmut {words[0]} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return done.stdout


def _states() -> Iterator[tuple[str, str]]:
    for line in _mutmut("results", "--all", "true").splitlines():
        name, colon, state = line.strip().partition(": ")
        if colon and "__mutmut_" in name:
            yield name, state


def _survivors(states: dict[str, str]) -> list[Survivor]:
    names = [name for name, state in states.items() if state not in NOTICED]
    with ThreadPoolExecutor(2) as pool:
        changes = list(pool.map(_change, names))
    rules = tomllib.loads((HERE / "explained.toml").read_text(encoding="utf-8"))["class"]
    return [
        Survivor(name, states[name], change, _explain(name, change, rules))
        for name, change in zip(names, changes, strict=True)
    ]


def _change(name: str) -> str:
    lines = [line for line in _mutmut("show", name).splitlines() if re.match(r"[+-](?![+-]{2} )", line)]
    return "\n".join(line for line in lines if line.strip("+- "))


def _explain(name: str, change: str, rules: list[dict[str, str]]) -> str:
    for rule in rules:
        if re.search(rule.get("name", ""), name) and re.search(rule.get("change", ""), change, re.MULTILINE):
            return rule["reason"]
    return ""


def _module(name: str) -> str:
    """The file a mutant is in: its name up to the function, `x_name` or `xǁClassǁname`."""
    return re.split(r"\.x[_ǁ]", name)[0]


def _page(states: dict[str, str], survivors: list[Survivor], seed: int) -> Iterator[str]:
    yield f"# A sample of mutants of `pue`\n\nWritten by `python -m tests.soak mutation --seed {seed}` (mutmut). "
    yield "Do not edit this page: explain survivors in `explained.toml`.\n\n"
    yield "| module | mutants | noticed | survive |\n|---|---|---|---|\n"
    everything = Counter(map(_module, states))
    killed = Counter(_module(name) for name, state in states.items() if state in NOTICED)
    for module in sorted(everything):
        yield f"| `{module}` | {everything[module]} | {killed[module]} | {everything[module] - killed[module]} |\n"
    yield f"| all | {len(states)} | {killed.total()} | {len(states) - killed.total()} |\n"
    reasons = Counter(survivor.reason or "**unexplained**" for survivor in survivors)
    for reason, number in reasons.most_common():
        yield f"\n## {reason} ({number})\n"
        for survivor in survivors:
            if (survivor.reason or "**unexplained**") == reason:
                yield f"\n`{survivor.name}` ({survivor.state})\n\n```diff\n{survivor.change}\n```\n"
