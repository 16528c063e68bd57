"""Operational alerts, stepped day by day over a facility's history (pure).

Each cause is a latch: it is raised after enough bad days in a row, and cleared by the first day that is good by a
margin; days on which nothing can be said neither count nor reset. A cause that explains another one holds it back:
a silent meter explains low coverage, and both explain a strange PUE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from compliance.calendar import local_midnights
from compliance.measure import Measured
from pue.contract.series import SLOT_MS
from pue.energy.facility import FacilityCurve
from pue.energy.rolling import counted_between
from pue.judgement.findings import Facts, show_pue
from pue.judgement.policy import PUE_KINDS, Rule, Status
from pue.judgement.scope import scope

PUE_OVER_LIMIT = "pue_over_limit"
COVERAGE_LOW = "coverage_low"
METER_SILENT = "meter_silent"

WINDOW_MS = 30 * 24 * 3_600_000
ON_DELAY_DAYS = 3
"""Bad days in a row before an alert on a 30-day value."""
DEAD_BAND = Fraction(1, 100)
"""How far inside the limit a value has to come before its alert clears."""
MIN_COVERAGE = Fraction(96, 100)


@dataclass(frozen=True, slots=True)
class Day:
    """What is known at the end of one local day.

    `total_j`, `it_j` and `coverage` are of the 30 days before `end_ms`; `coverage` is None while the data do not reach
    back that far. `silent` are required meters of which nothing was measured all day; `is_all_silent` if that is
    every one of several: then something they share has failed.
    """

    end_ms: int
    total_j: int
    it_j: int
    coverage: Fraction | None
    silent: frozenset[str]
    is_all_silent: bool = False

    @property
    def pue(self) -> Fraction | None:
        """PUE of the 30 days; None without IT energy or coverage."""
        usable = self.coverage is not None and self.coverage >= MIN_COVERAGE and self.it_j > 0
        return Fraction(self.total_j, self.it_j) if usable else None


@dataclass(frozen=True, slots=True)
class Step:
    """An alert raised or cleared at a moment; `cause` names it within its facility."""

    cause: str
    at_ms: int
    raised: bool
    value: str | None = None
    limit: str | None = None
    rule: str = ""

    @property
    def kind(self) -> str:
        """Kind of the alert."""
        return self.cause.partition("/")[0]

    @property
    def meters(self) -> tuple[str, ...]:
        """Meters that explain it; none named means all of them."""
        _, _, meter = self.cause.partition("/")
        return (meter,) if meter else ()


Judgement = tuple[bool | None, str | None, str | None, str]
"""Of one day: bad (True), good by the margin (False) or neither (None); value, limit, rule."""
Judge = Callable[[Day, bool], Judgement]
Past = Mapping[str, Sequence[Step]]
"""Steps already in the log, by cause, in order."""


def days(measured: Measured, zone: str) -> list[Day]:
    """Every whole local day since the first data."""
    ends = [start_ms for _, start_ms in local_midnights(measured.first_ms, measured.settled_ms, zone)]
    return [_day(measured.curve, before, end, measured.first_ms) for before, end in pairwise(ends)]


def strictest(rules: Sequence[Rule], facts: Facts) -> Rule | None:
    """The rule on PUE with the lowest limit among those about the facility, of those that apply before others."""
    about = [rule for rule in rules if rule.kind in PUE_KINDS and rule.limit is not None and not scope(rule, facts)[0]]
    return min(about, key=_strictness, default=None)


def _strictness(rule: Rule) -> tuple[bool, bool, Fraction, bool]:
    has_expired = rule.status is Status.TARGET_EXPIRED
    return rule.strength == "voluntary", has_expired, rule.limit or Fraction(0), not rule.is_inclusive


def steps(history: Sequence[Day], rule_at: Callable[[int], Rule | None], past: Past) -> list[Step]:
    """Alerts that history raises or clears beyond what the log says, in order of time.

    Stepping all of history at once and stepping it day by day give the same.
    """
    names = {name for day in history for name in day.silent} | {cause.partition("/")[2] for cause in past}
    causes = {METER_SILENT: ""} | {f"{METER_SILENT}/{name}": name for name in sorted(names) if name}
    silent = {cause: _latch(cause, history, _silence(name), 1, past) for cause, name in causes.items()}
    explained = _active_days(history, silent)
    coverage = _latch(COVERAGE_LOW, history, _held_back(_low_coverage, explained), ON_DELAY_DAYS, past)
    explained |= _active_days(history, {COVERAGE_LOW: coverage})
    over = _latch(PUE_OVER_LIMIT, history, _held_back(_over_limit(rule_at), explained), ON_DELAY_DAYS, past)
    said = {step for rows in past.values() for step in rows}
    # A meter's silence explains low coverage, and low coverage a PUE over its limit: only the cause is raised.
    found = [step for rows in (*silent.values(), coverage, over) for step in rows if step not in said]
    return sorted(found, key=lambda step: (step.at_ms, step.cause))


def _latch(cause: str, history: Sequence[Day], judge: Judge, delay_days: int, past: Past) -> list[Step]:
    """The log's steps of a cause and the ones that follow."""
    found = list(past.get(cause, ()))
    active = bool(found and found[-1].raised)
    last_ms = found[-1].at_ms if found else 0
    streak = 0
    for day in history:
        if day.end_ms <= last_ms:
            continue
        bad, value, limit, rule = judge(day, active)
        if bad is None:
            continue
        streak = streak + 1 if bad else 0
        if not active and streak >= delay_days:
            active = True
            found.append(Step(cause, day.end_ms, True, value, limit, rule))
        elif active and not bad:
            active = False
            streak = 0
            found.append(Step(cause, day.end_ms, False, value, limit, rule))
    return found


def _silence(meter: str) -> Judge:
    """One meter, or all of them together ("") as one alert."""

    def judge(day: Day, active: bool) -> Judgement:
        if not meter:
            return day.is_all_silent, None, None, ""
        is_explained = day.is_all_silent and not active
        return None if is_explained else meter in day.silent, None, None, ""

    return judge


def _low_coverage(day: Day, active: bool) -> Judgement:
    if day.coverage is None:
        return None, None, None, ""
    needed = min(MIN_COVERAGE + DEAD_BAND, Fraction(1)) if active else MIN_COVERAGE
    return day.coverage < needed, show_pue(day.coverage, 6, (MIN_COVERAGE,), -1), show_pue(MIN_COVERAGE, 2, ()), ""


def _over_limit(rule_at: Callable[[int], Rule | None]) -> Judge:
    def judge(day: Day, active: bool) -> Judgement:
        pue = day.pue
        rule = rule_at(day.end_ms)
        if pue is None or rule is None or rule.limit is None:
            return None, None, None, ""
        is_bad = pue > rule.limit - DEAD_BAND if active else not rule.within(pue)
        return is_bad, show_pue(pue, 6, (rule.limit,)), show_pue(rule.limit, 2, (rule.limit,)), rule.id

    return judge


def _held_back(judge: Judge, explained: set[int]) -> Judge:
    """Say nothing on days that another alert explains."""
    return lambda day, active: (None, None, None, "") if day.end_ms in explained else judge(day, active)


def _active_days(history: Sequence[Day], by_cause: Mapping[str, Sequence[Step]]) -> set[int]:
    return {day.end_ms for day in history for rows in by_cause.values() if _is_active(rows, day.end_ms)}


def _is_active(rows: Sequence[Step], at_ms: int) -> bool:
    begun = [step for step in rows if step.at_ms <= at_ms]
    return bool(begun and begun[-1].raised)


def _day(curve: FacilityCurve, start_ms: int, end_ms: int, first_ms: int) -> Day:
    begin_ms = end_ms - WINDOW_MS
    end = _edge(curve, end_ms)
    begin = _edge(curve, max(begin_ms, first_ms))
    counted = counted_between(curve, np.array([begin]), np.array([end]))
    is_silent = _silence_by_meter(curve, _edge(curve, start_ms), end)
    return Day(
        end_ms=end_ms,
        total_j=int(counted.total_j[0]),
        it_j=int(counted.it_j[0]),
        coverage=1 - Fraction(int(counted.gap_ms[0]), WINDOW_MS) if begin_ms >= first_ms else None,
        silent=frozenset(name for name, silent in is_silent.items() if silent),
        is_all_silent=len(is_silent) > 1 and all(is_silent.values()),
    )


def _edge(curve: FacilityCurve, time_ms: int) -> int:
    return int(np.searchsorted(curve.edges_ms, time_ms))


def _silence_by_meter(curve: FacilityCurve, start: int, end: int) -> dict[str, bool]:
    """Of each required meter that was due: whether its gap is as long as that."""
    due: dict[str, int] = {}
    gap: dict[str, int] = {}
    for row, term in enumerate(curve.terms):
        if term.required:
            name = term.key.meter
            slots = int(curve.meter_slots[row, end] - curve.meter_slots[row, start])
            due[name] = due.get(name, 0) + slots * SLOT_MS
            gap[name] = gap.get(name, 0) + int(curve.meter_gap_ms[row, end] - curve.meter_gap_ms[row, start])
    return {name: due_ms <= gap[name] for name, due_ms in due.items() if due_ms}
