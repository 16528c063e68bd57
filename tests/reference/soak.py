"""Both implementations on many hostile inputs: what they disagree on, printed with its seed."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from tests.reference import facility, findings, hostile, ours, power, registers

U_DECIMALS = 6
CASES_PER_FACILITY = 2
SPAN = 10**7


def meter(seed: int) -> list[str]:
    """What differs between the slots of a hostile meter."""
    case = hostile.meter(seed)
    make = power.power_slots if case.kind == "power" else registers.register_slots
    theirs = make(case.readings, case.versions, case.max_gap_ms)
    mine = ours.slots(case.kind, case.readings, case.versions, case.max_gap_ms)
    if [s.start_ms for s in theirs] != [s.start_ms for s in mine]:
        return [f"slots: METHOD.md has {len(theirs)}, pue {len(mine)}"]
    return [
        f"{name} of slot {number}: METHOD.md says {getattr(a, name)}, pue {getattr(b, name)}"
        for number, (a, b) in enumerate(zip(theirs, mine, strict=True))
        for name in (*ours.COLUMNS, "marks")
        if getattr(a, name) != getattr(b, name)
    ]


def windows(seed: int) -> list[str]:
    """What differs between the windows of a hostile facility."""
    case = hostile.facility(seed)
    whole = facility.Facility(case.slots, case.terms, case.from_ms, case.to_ms, ZoneInfo(case.zone), case.least_it_w)
    found = []
    for (from_ms, to_ms), mine in zip(case.windows, ours.windows(case), strict=True):
        theirs = whole.window(from_ms, to_ms)
        for name in theirs._fields:
            a, b = getattr(theirs, name), getattr(mine, name)
            if not is_equal(a, b):
                found.append(f"{name} of {from_ms}..{to_ms}: METHOD.md says {a}, pue {b}")
    return found


def is_equal(a: object, b: object) -> bool:
    """Exactly, but for u(PUE), which is a floating-point number."""
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 10.0**-U_DECIMALS
    return bool(a == b)


def judged(seed: int) -> list[str]:
    """What differs between the findings of all shipped rules on random facts and a year."""
    case = hostile.case(seed)
    found = []
    for rule in ours.rules():
        try:
            theirs: findings.Found | None = findings.judge(ours.plain_rule(rule), case.facts, case.window, case.earlier)
        except findings.Refused:
            theirs = None
        mine = ours.finding(rule, case)
        if theirs != mine:
            found.append(f"{rule.profile}/{rule.id}: METHOD.md says {theirs}, pue {mine}")
    return found


def disagreements(seed: int, meters: int, facilities: int) -> Iterator[tuple[str, int, list[str]]]:
    """Every input on which they disagree: its kind, its own seed, what differs."""
    first = seed * SPAN
    for number in range(first, first + meters):
        if found := meter(number):
            yield "meter", number, found
    for number in range(first, first + facilities):
        if found := windows(number):
            yield "facility", number, found
    for number in range(first, first + facilities * CASES_PER_FACILITY):
        if found := judged(number):
            yield "finding", number, found


def run(seed: int, meters: int, facilities: int) -> int:
    """Number of inputs on which METHOD.md and `pue` disagree; each is printed with its seed."""
    count = 0
    for kind, number, found in disagreements(seed, meters, facilities):
        count += 1
        print(f"{kind} {number}:", *found[:5], sep="\n    ")
    return count
