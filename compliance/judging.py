"""Which findings a facility's data and facts give, in the order in which their periods closed (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from zoneinfo import ZoneInfo

from compliance.calendar import closes, local_midnights
from compliance.measure import Measured
from pue.energy.rolling import WindowResult
from pue.energy.windows import window_bounds
from pue.judgement.findings import Facts, Finding, Outcome, judge
from pue.judgement.policy import PUE_KINDS, Rule

WANT_OF_DATA = (Outcome.INSUFFICIENT_DATA, Outcome.INVALID_DATA)
"""Outcomes that say nothing of a facility: they end no breach."""


class FactsOverTime(Protocol):
    """What is registered of one facility. Times in ms UTC."""

    def at(self, at_ms: int) -> Facts:
        """Facts on the day of a moment."""

    def within(self, from_ms: int, to_ms: int) -> Sequence[Facts]:
        """Facts that held at some time in a period."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A finding, the moment from which it holds, and what it rests on: facts, facts earlier in its window, window."""

    finding: Finding
    as_of_ms: int
    facts: Facts
    earlier: Sequence[Facts]
    window: WindowResult | None

    @property
    def closes_period(self) -> bool:
        """Whether it is written even if the outcome is the one before."""
        return self.finding.period is not None and self.finding.outcome is not Outcome.NOT_APPLICABLE


@dataclass(frozen=True, slots=True)
class Written:
    """What the log says of one rule from `as_of_ms` on."""

    as_of_ms: int
    seq: int
    outcome: str
    reasons: tuple[str, ...]


def judge_history(rules: Sequence[Rule], facts: FactsOverTime, measured: Measured, zone: str) -> Iterator[Judged]:
    """Judge every rule at each of its moments since the first data, in order of time."""
    windows: dict[tuple[int, int], WindowResult] = {}
    moments: list[tuple[int, int, Rule]] = []
    for index, rule in enumerate(rules):
        moments += [(at_ms, index, rule) for at_ms in _moments(rule, measured, zone)]
    for at_ms, _, rule in sorted(moments, key=lambda moment: moment[:2]):
        window = _window(rule, at_ms, measured, zone, windows)
        yield judge_at(rule, at_ms, facts, window)


def judge_at(rule: Rule, at_ms: int, facts: FactsOverTime, window: WindowResult | None) -> Judged:
    """Judge a rule at one moment, by the facts of its day; those that held earlier in the window are named."""
    held = facts.at(at_ms)
    earlier = facts.within(window.from_ms, window.to_ms) if window else ()
    return Judged(judge(rule, held, window, earlier), at_ms, held, earlier, window)


def unwritten(judged: Iterator[Judged], written: Mapping[str, Sequence[Written]]) -> Iterator[Judged]:
    """Keep what the log does not say yet: a period closed, or an outcome that is another one than is written."""
    said = {rule: list(rows) for rule, rows in written.items()}
    for one in judged:
        rows = said.setdefault(f"{one.finding.profile}/{one.finding.rule}", [])
        if not _is_said(one, in_force(rows, one.as_of_ms)):
            seq = 1 + max((row.seq for row in rows), default=0)
            rows.append(Written(one.as_of_ms, seq, str(one.finding.outcome), one.finding.reasons))
            yield one


def in_force(rows: Sequence[Written], at_ms: int) -> Written | None:
    """The row that holds at a moment: the latest one that has begun, and of those the last that was written."""
    begun = [row for row in rows if row.as_of_ms <= at_ms]
    return max(begun, key=lambda row: (row.as_of_ms, row.seq), default=None)


def since_ms(rows: Sequence[Written], as_of_ms: int, outcome: str) -> int:
    """From when an outcome that holds at a moment has held without a break; losing data breaks no breach. [ms UTC]"""
    said = {row.as_of_ms: row.outcome for row in sorted(rows, key=lambda row: row.seq)}
    passed_over = WANT_OF_DATA if outcome == Outcome.NON_COMPLIANT else ()
    since = as_of_ms
    for before_ms in sorted((at_ms for at_ms in said if at_ms < as_of_ms), reverse=True):
        if said[before_ms] == outcome:
            since = before_ms
        elif said[before_ms] not in passed_over:
            break
    return since


def _moments(rule: Rule, measured: Measured, zone: str) -> Iterator[int]:
    if rule.kind in PUE_KINDS and rule.period is not None:
        return closes(rule.period, measured.first_ms, measured.settled_ms, zone)
    return (at_ms for _, at_ms in local_midnights(measured.first_ms, measured.settled_ms, zone))


def _window(
    rule: Rule, at_ms: int, measured: Measured, zone: str, windows: dict[tuple[int, int], WindowResult]
) -> WindowResult | None:
    if rule.kind not in PUE_KINDS or rule.period is None:
        return None
    bounds = window_bounds(rule.period, at_ms, ZoneInfo(zone))
    if bounds not in windows:
        windows[bounds] = measured.window(*bounds)
    return windows[bounds]


def _is_said(one: Judged, row: Written | None) -> bool:
    if row is None or row.outcome != one.finding.outcome:
        return False
    if one.closes_period:
        return row.as_of_ms == one.as_of_ms
    return row.reasons == one.finding.reasons
