"""METHOD.md, written again from the page alone, says what `pue` says; and the page's numbers are the reference's."""

from __future__ import annotations

import ast
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from tests.reference import findings, hostile, ours, page, soak

HERE = Path(__file__).parent
CLEAN = ("page", "exact", "registers", "power", "facility", "uncertainty", "findings")
METERS = 300
FACILITIES = 40
FINDINGS = 100

# Where `pue` contradicts METHOD.md: a seed leaves this list with what made it differ.
KNOWN: dict[str, set[int]] = {"meter": set(), "facility": set(), "finding": set()}


@pytest.mark.parametrize("name", CLEAN)
def test_the_reference_imports_nothing_but_the_standard_library_and_itself(name: str) -> None:
    tree = ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            named.add(str(node.module))
    own = {module for module in named if module.startswith("tests.reference.")}
    assert own <= {f"tests.reference.{clean}" for clean in CLEAN}
    assert {module.split(".")[0] for module in named - own} <= sys.stdlib_module_names
    assert not named & {"importlib", "runpy"}


def disagreeing(kind: str) -> dict[int, list[str]]:
    compare, count = {
        "meter": (soak.meter, METERS),
        "facility": (soak.windows, FACILITIES),
        "finding": (soak.judged, FINDINGS),
    }[kind]
    return {seed: found for seed in range(count) if (found := compare(seed))}


def test_slots_of_hostile_meters_agree() -> None:
    found = disagreeing("meter")
    assert set(found) == KNOWN["meter"], found


def test_windows_of_hostile_facilities_agree() -> None:
    found = disagreeing("facility")
    assert set(found) == KNOWN["facility"], found


def test_findings_of_all_shipped_rules_agree() -> None:
    found = disagreeing("finding")
    assert set(found) == KNOWN["finding"], found


def test_hostile_meters_meet_every_mark_of_a_meter() -> None:
    seen: set[str] = set()
    for seed in range(METERS):
        case = hostile.meter(seed)
        for slot in ours.slots(case.kind, case.readings, case.versions, case.max_gap_ms):
            seen |= slot.marks
    assert seen == {
        *("ALLOCATED", "INTEGRATED", "MANUAL", "ROLLOVER", "RESET", "REPLACED", "CONFLICT", "SKEW"),
        *("NEGATIVE", "RANGE", "AMBIGUOUS", "SPIKE", "MISSING", "SLOW", "LIMIT_REFUTED"),
    }


def test_findings_meet_every_outcome() -> None:
    seen: set[str] = set()
    rules = ours.rules()
    for seed in range(FINDINGS):
        case = hostile.case(seed)
        seen |= {found.outcome for rule in rules if (found := ours.finding(rule, case)) is not None}
    assert seen == {
        *("not_applicable", "insufficient_data", "invalid_data"),
        *("compliant", "non_compliant", "indeterminate"),
    }


def test_gates_that_rules_do_not_set_are_those_of_the_page() -> None:
    for rule in ours.rules():
        gates = ours.plain_rule(rule)["gates"]
        assert {name: Fraction(gates[name]) for name in findings.DEFAULTS} == findings.DEFAULTS


def test_a_number_of_the_page_is_named_by_the_words_around_it() -> None:
    assert page.whole("A slot starts at a multiple of # ms") == 900_000
    assert page.number("guard band w = # u, one-sided 95 %") == Fraction("1.645")
    with pytest.raises(LookupError, match="has to be read again"):
        page.whole("A slot starts whenever # likes")


def test_soak_counts_and_prints_disagreements(capsys: pytest.CaptureFixture[str]) -> None:
    known = {kind: len({seed for seed in seeds if seed < 20}) for kind, seeds in KNOWN.items()}
    assert soak.run(0, meters=20, facilities=20) == sum(known.values())
    assert ("meter 16:" in capsys.readouterr().out) == (16 in KNOWN["meter"])
