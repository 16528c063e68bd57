"""Mutation tests of `pue` with mutmut: which changed line would no test notice, and why that is so.

Survivors are explained in `explained.toml` by patterns over the changed lines; one without an explanation fails the
run. The report goes to `mutation.md` beside this file.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

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

    @property
    def module(self) -> str:
        return _module(self.name)


def run() -> int:
    """Mutate, test, write the report; 1 if a survivor has no explanation."""
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    subprocess.run([MUTMUT, "run"], cwd=ROOT, env=_environment(), check=True)
    return report()


def report() -> int:
    """Write the report on the results in `mutants/`; 1 if a survivor has no explanation."""
    states = dict(_states())
    names = [name for name, state in states.items() if state not in NOTICED]
    with ThreadPoolExecutor(2) as pool:
        changes = list(pool.map(_change, names))
    rules = tomllib.loads((HERE / "explained.toml").read_text(encoding="utf-8"))["class"]
    survivors = [
        Survivor(name, states[name], change, _explain(name, change, rules))
        for name, change in zip(names, changes, strict=True)
    ]
    (HERE / "mutation.md").write_text("".join(_report(states, survivors)), encoding="utf-8")
    unexplained = [survivor for survivor in survivors if not survivor.reason]
    print(
        f"{len(states)} mutants, {len(survivors)} survive, {len(unexplained)} of them unexplained: {HERE}/mutation.md"
    )
    return 1 if unexplained else 0


def _environment() -> dict[str, str]:
    return os.environ | {"HYPOTHESIS_PROFILE": "mutation"}


def _mutmut(*words: str) -> str:
    return subprocess.run([MUTMUT, *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _states() -> Iterator[tuple[str, str]]:
    for line in _mutmut("results", "--all", "true").splitlines():
        name, colon, state = line.strip().partition(": ")
        if colon and "__mutmut_" in name:
            yield name, state


def _change(name: str) -> str:
    lines = [line for line in _mutmut("show", name).splitlines() if re.match(r"[+-](?![+-]{2} )", line)]
    return "\n".join(line for line in lines if line.strip("+- "))


def _explain(name: str, change: str, rules: list[dict[str, str]]) -> str:
    for rule in rules:
        if re.search(rule.get("name", ""), name) and re.search(rule.get("change", ""), change, re.MULTILINE):
            return rule["reason"]
    return ""


def _module(name: str) -> str:
    return ".".join(name.split(".")[:2])


def _report(states: dict[str, str], survivors: list[Survivor]) -> Iterator[str]:
    yield "# Mutants of `pue` that no test kills\n\n"
    yield "Written by `make soak` (mutmut). Do not edit this page: explain survivors in `explained.toml`.\n\n"
    yield "| module | mutants | noticed | survive |\n|---|---|---|---|\n"
    everything, killed = Counter(map(_module, states)), Counter(
        _module(name) for name, state in states.items() if state in NOTICED
    )  # fmt: skip
    for module in sorted(everything):
        yield f"| `{module}` | {everything[module]} | {killed[module]} | {everything[module] - killed[module]} |\n"
    yield f"| all | {len(states)} | {killed.total()} | {len(states) - killed.total()} |\n"
    reasons = Counter(survivor.reason or "**unexplained**" for survivor in survivors)
    for reason, number in reasons.most_common():
        yield f"\n## {reason} ({number})\n"
        for survivor in survivors:
            if (survivor.reason or "**unexplained**") == reason:
                yield f"\n`{survivor.name}` ({survivor.state})\n\n```diff\n{survivor.change}\n```\n"
