"""From a rule, a facility's facts and a window to a finding with its reasons.

A finding (系统测算结果) is computed; a decision (行政认定) is taken by people.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Any

from pue.contract.errors import Fatal
from pue.energy.rolling import WindowResult
from pue.energy.uncertainty import guard_band, probability_within, round_micro
from pue.judgement.decimals import show_pue
from pue.judgement.policy import PUE_KINDS, Kind, Rule, Status
from pue.judgement.reasons import Reason
from pue.judgement.scope import Facts, is_reclassified, scope

__all__ = ["Facts", "Finding", "Outcome", "headline", "judge", "show_pue"]

PLACES = 6
"""Decimals of every figure in a finding, more where fewer would cross the limit."""

_DAY_MS = 86_400_000
_YEAR_MS = (365 * _DAY_MS - 7_200_000, 366 * _DAY_MS + 7_200_000)
"""Shortest and longest legal year; two hours for changes of the clock. [ms]"""
_ESTIMATED = ("estimated", "integrated")


class Outcome(StrEnum):
    """What a finding says; the first that applies."""

    NOT_APPLICABLE = "not_applicable"
    NON_COMPLIANT = "non_compliant"
    INSUFFICIENT_DATA = "insufficient_data"
    INVALID_DATA = "invalid_data"
    COMPLIANT = "compliant"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule applied to one facility. Decimals are text; `reasons` are codes of `pue.judgement.reasons`.

    `simple_outcome` and `guarded_outcome` are set once the bounds were compared; `decision` names the one that counts.
    `p_within` is the probability that PUE keeps the limit, taken at the upper bound: the least it can be.
    """

    facility: str
    rule: str
    rule_version: str
    profile: str
    kind: str
    status: str
    consequence: str
    outcome: Outcome
    reasons: tuple[str, ...]
    binding: bool
    headline: bool = False
    period: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    limit: str | None = None
    comparator: str | None = None
    pue: str | None = None
    pue_lower: str | None = None
    pue_upper: str | None = None
    u_pue: str | None = None
    p_within: str | None = None
    coverage: str | None = None
    total_j: int | None = None
    it_j: int | None = None
    simple_outcome: Outcome | None = None
    guarded_outcome: Outcome | None = None
    decision: str | None = None


def judge(rule: Rule, facts: Facts, window: WindowResult | None, earlier: Sequence[Facts] = ()) -> Finding:
    """Apply a rule to a facility.

    Parameters
    ----------
    rule
        The rule.
    facts
        The facility on the day asked for.
    window
        The rule's period; None if there is none, and ignored by rules that do not look at PUE.
    earlier
        Facts that held inside the period before those of the day asked for: they are named, never judged by.

    Raises
    ------
    Fatal
        If the window is not a year long: short windows are operational and never judged.

    References
    ----------
    METHOD.md, "Finding".
    """
    finding = _apply(rule, facts, window)
    if not is_reclassified(rule, facts, earlier):
        return finding
    return replace(finding, reasons=(*finding.reasons, str(Reason.RECLASSIFIED_IN_PERIOD)))


def headline(findings: Iterable[Finding]) -> Finding | None:
    """The finding to show first, marked: the strictest binding one, else the strictest of the others.

    Voluntary rules and targets that have expired come after everything that applies; rules on PUE come before rules on
    facts.
    """
    applicable = [finding for finding in findings if finding.outcome is not Outcome.NOT_APPLICABLE]
    return replace(min(applicable, key=_strictness), headline=True) if applicable else None


def _apply(rule: Rule, facts: Facts, window: WindowResult | None) -> Finding:
    out_of_scope, unknown = scope(rule, facts)
    if out_of_scope:
        return _bare(rule, facts, Outcome.NOT_APPLICABLE, out_of_scope)
    if rule.kind in PUE_KINDS:
        return _judge_pue(rule, facts, window, unknown)
    if unknown:
        return _bare(rule, facts, Outcome.INSUFFICIENT_DATA, unknown)
    return _bare(rule, facts, *_FACT_JUDGES[rule.kind](rule, facts))


def _judge_pue(rule: Rule, facts: Facts, window: WindowResult | None, unknown: list[Reason]) -> Finding:
    if window is None:
        missing = Reason.NO_ENERGY_DATA if facts.stage == "existing" else Reason.NOT_IN_OPERATION
        return _bare(rule, facts, Outcome.INSUFFICIENT_DATA, [*unknown, missing])
    _check_period(rule, window)
    simple = _comparable(_decide(rule, window, Fraction(0)), window)
    guarded = _comparable(_guarded(rule, window), window)
    counts = guarded if rule.decision == "guarded" else simple
    outcome, reasons = _outcome(rule, facts, window, unknown, counts)
    compared = outcome in (Outcome.COMPLIANT, Outcome.NON_COMPLIANT, Outcome.INDETERMINATE)
    return replace(
        _bare(rule, facts, outcome, reasons, window.reasons),
        **_figures(rule, window),
        simple_outcome=simple if compared else None,
        guarded_outcome=guarded if compared else None,
    )


def _outcome(
    rule: Rule, facts: Facts, window: WindowResult, unknown: Sequence[str], counts: Outcome
) -> tuple[Outcome, Sequence[str]]:
    """The first outcome that applies, with its reasons; `counts` is what the decision that counts says."""
    missing = [*unknown, *_incomplete(facts, window)]
    contradictions = _contradictions(rule, facts, window)
    refusals = _refusals(rule, window)
    # METHOD.md, "Finding", outcomes 2 to 6; 1 was asked before. The order is the rule: a fact that is missing, or a
    # year that is not one, comes before any number.
    if missing:
        return Outcome.INSUFFICIENT_DATA, [*missing, *contradictions, *refusals]
    # Before contradictions and gates: whoever is over the limit by the bound most in their favour gains nothing by
    # broken meters. Compliance is said only after them.
    if counts is Outcome.NON_COMPLIANT and not _is_void(facts, window, contradictions):
        return Outcome.NON_COMPLIANT, _over([*contradictions, *refusals])
    if contradictions:
        return Outcome.INVALID_DATA, [*contradictions, *refusals]
    if refusals:
        return Outcome.INSUFFICIENT_DATA, refusals
    return counts, _why(rule, window, counts)


def _caveats(rule: Rule, facts: Facts) -> list[Reason]:
    """Why a rule does not bind this facility."""
    found = {
        Reason.RULE_IS_DRAFT: rule.status is Status.DRAFT,
        Reason.TARGET_EXPIRED: rule.status is Status.TARGET_EXPIRED,
        Reason.RULE_IS_VOLUNTARY: rule.strength == "voluntary",
        Reason.TEXT_NOT_VERIFIED: not rule.citation.is_verified,
        Reason.PERIOD_NOT_SET: rule.period_source == "assumed",
        Reason.CUTOFF_NOT_SET: rule.applies_to.lacks_cutoff,
        Reason.THRESHOLD_ASSUMED: rule.assumes_threshold,
        Reason.IN_TRANSITION: facts.transition_until is not None and facts.on < facts.transition_until,
    }
    return [reason for reason, holds in found.items() if holds]


def _bare(
    rule: Rule, facts: Facts, outcome: Outcome, reasons: Sequence[str], window_reasons: Sequence[str] = ()
) -> Finding:
    """A finding without figures."""
    caveats = _caveats(rule, facts) if outcome is not Outcome.NOT_APPLICABLE else []
    # A note and no caveat: hardly any text sets a decision rule, so it does not take the binding away.
    notes = [Reason.DECISION_NOT_SET] if rule.kind in PUE_KINDS and rule.decision_source == "assumed" else []
    all_reasons = (*reasons, *window_reasons, *caveats, *(notes if outcome is not Outcome.NOT_APPLICABLE else ()))
    return Finding(
        facility=facts.facility,
        rule=rule.id,
        rule_version=rule.version,
        profile=rule.profile,
        kind=str(rule.kind),
        status=str(rule.status),
        consequence=rule.consequence,
        outcome=outcome,
        reasons=tuple(dict.fromkeys(str(reason) for reason in all_reasons)),
        binding=outcome is not Outcome.NOT_APPLICABLE and not caveats,
        period=rule.period,
        limit=None if rule.limit is None else show_pue(rule.limit, 1, (rule.limit,)),
        comparator=rule.comparator,
        decision=rule.decision if rule.kind in PUE_KINDS else None,
    )


def _check_period(rule: Rule, window: WindowResult) -> None:
    shortest, longest = _YEAR_MS
    if not shortest <= window.to_ms - window.from_ms <= longest:
        days = (window.to_ms - window.from_ms) / _DAY_MS
        raise Fatal(f"rule {rule.id!r} is judged on a year ({rule.period}), not on {days:.2f} days; give that window")


def _incomplete(facts: Facts, window: WindowResult) -> list[Reason]:
    """A facility that did not run from the window's start has no year yet: no bound covers what never was."""
    started = facts.operating_from_ms
    return [Reason.WINDOW_INCOMPLETE] if started is not None and started > window.from_ms else []


def _contradictions(rule: Rule, facts: Facts, window: WindowResult) -> list[str]:
    """In what the meters contradict each other, or the design of the plant, so that one of them must be wrong.

    The window's own come first: they are of single days, whose energy the bounds leave open. The others are of the
    whole window.
    """
    # Without u the ratio alone must be below 1.
    two_u = 2 * round_micro(window.u_pue or 0.0)
    found = {
        # Where too little is covered, missing IT energy is a gap and no contradiction.
        Reason.NO_IT_ENERGY: window.pue is None and window.coverage >= Fraction(rule.gates.min_coverage),
        Reason.IT_LOAD_TOO_LOW: window.total_j > 0 and window.it_j < _least_it_j(rule, facts, window),
        Reason.PUE_BELOW_ONE: window.pue is not None and window.pue + two_u < 1,
    }
    return [*window.contradictions, *(reason for reason, holds in found.items() if holds)]


def _is_void(facts: Facts, window: WindowResult, contradictions: Sequence[str]) -> bool:
    """Whether the bounds prove no breach, because they rest on an IT energy that cannot be right.

    They do not if they leave open that the IT equipment ran at its design load all the time.
    """
    length_ms = window.to_ms - window.from_ms
    return Reason.IT_LOAD_TOO_LOW in contradictions and window.it_upper_j < _design_j(facts, Fraction(length_ms))


def _refusals(rule: Rule, window: WindowResult) -> list[str]:
    """Why the rule's gates keep a window from being judged."""
    estimated = sum((window.quality_share.get(name, Fraction(0)) for name in _ESTIMATED), Fraction(0))
    found = {
        Reason.COVERAGE_BELOW_GATE: window.coverage < Fraction(rule.gates.min_coverage),
        Reason.ESTIMATED_ABOVE_GATE: estimated > Fraction(rule.gates.max_estimated),
    }
    refused = [reason for reason in window.reasons if _code(reason) in rule.gates.refuses]
    return [*(reason for reason, holds in found.items() if holds), *refused]


def _code(reason: str) -> str:
    """A reason without the meter behind its colon."""
    return reason.partition(":")[0]


def _least_it_j(rule: Rule, facts: Facts, window: WindowResult) -> Fraction:
    """IT energy below which a ratio says nothing: a share of the design load over the time that is covered. [J]

    Over all the time, missing IT meters would look like an idle plant.
    """
    covered_ms = window.coverage * (window.to_ms - window.from_ms)
    return Fraction(rule.gates.min_it_load) * _design_j(facts, covered_ms)


def _design_j(facts: Facts, time_ms: Fraction) -> Fraction:
    """IT energy at the design load. [J]"""
    return Fraction(facts.it_power_kw or 0) * time_ms  # kW x ms = J


def _decide(rule: Rule, window: WindowResult, guard: Fraction) -> Outcome:
    """Compliance is tested at the upper bound, breach at the lower."""
    # lower - guard is never above upper + guard, so not both can hold: the order says nothing.
    if window.pue_upper is not None and rule.within(window.pue_upper + guard):
        return Outcome.COMPLIANT
    if window.pue_lower is not None and not rule.within(window.pue_lower - guard):
        return Outcome.NON_COMPLIANT
    return Outcome.INDETERMINATE


def _guarded(rule: Rule, window: WindowResult) -> Outcome:
    return Outcome.INDETERMINATE if window.u_pue is None else _decide(rule, window, guard_band(window.u_pue))


def _comparable(outcome: Outcome, window: WindowResult) -> Outcome:
    """Nobody whose accuracy class is not registered is said to comply: the class used is the widest, not theirs."""
    is_assumed = outcome is Outcome.COMPLIANT and _is_class_unknown(window)
    return Outcome.INDETERMINATE if is_assumed else outcome


def _is_class_unknown(window: WindowResult) -> bool:
    return any(_code(reason) == Reason.ACCURACY_CLASS_UNKNOWN for reason in window.reasons)


def _over(defects: Sequence[str]) -> list[str]:
    """Reasons of a breach; whatever is wrong with the data is named, it does not help."""
    return [Reason.PUE_OVER_LIMIT, *([Reason.BOUND_BREAKS_LIMIT] if defects else []), *defects]


def _why(rule: Rule, window: WindowResult, counts: Outcome) -> list[str]:
    if counts is Outcome.COMPLIANT:
        return [Reason.PUE_WITHIN_LIMIT]
    if _decide(rule, window, Fraction(0)) is Outcome.INDETERMINATE:
        return [Reason.BOUNDS_SPAN_LIMIT]
    is_u_known = window.u_pue is not None and not _is_class_unknown(window)
    return [Reason.WITHIN_GUARD_BAND if is_u_known else Reason.UNCERTAINTY_UNKNOWN]


def _figures(rule: Rule, window: WindowResult) -> dict[str, Any]:
    """The window's numbers as text."""
    limits = () if rule.limit is None else (rule.limit,)
    return {
        "from_ms": window.from_ms,
        "to_ms": window.to_ms,
        "pue": _text(window.pue, limits, 0),
        "pue_lower": _text(window.pue_lower, limits, -1),
        "pue_upper": _text(window.pue_upper, limits, +1),
        "u_pue": None if window.u_pue is None else _text(round_micro(window.u_pue), (), 0),
        "p_within": _text(_p_within(rule, window), (), 0),
        "coverage": _text(window.coverage, (Fraction(rule.gates.min_coverage),), -1),
        "total_j": window.total_j,
        "it_j": window.it_j,
    }


def _p_within(rule: Rule, window: WindowResult) -> Fraction | None:
    if window.pue_upper is None or window.u_pue is None or rule.limit is None or _is_class_unknown(window):
        return None  # a probability from a class that was assumed would be an assumption with six decimals
    # With `within`, because at the limit itself "<" and "<=" differ; a normal distribution does not know.
    if round_micro(window.u_pue) == 0:
        return Fraction(int(rule.within(window.pue_upper)))
    return probability_within(window.pue_upper, window.u_pue, rule.limit)


def _grade(rule: Rule, facts: Facts) -> tuple[Outcome, list[Reason]]:
    """Judge a certificate: it is evidence, never computed, and only what is on file counts."""
    if not facts.green_grade or not facts.green_grade_certificate:
        return Outcome.INSUFFICIENT_DATA, [Reason.CERTIFICATE_MISSING]
    # As text: "1A" to "5A" differ in their first digit.
    if facts.green_grade < (rule.min_grade or ""):
        return Outcome.NON_COMPLIANT, [Reason.GRADE_TOO_LOW]
    if facts.green_grade_valid_to is None:
        return Outcome.INSUFFICIENT_DATA, [Reason.CERTIFICATE_VALIDITY_UNKNOWN]
    if facts.green_grade_valid_to <= facts.on:
        return Outcome.INSUFFICIENT_DATA, [Reason.CERTIFICATE_EXPIRED]
    return Outcome.COMPLIANT, [Reason.CERTIFICATE_VALID]


def _siting(rule: Rule, facts: Facts) -> tuple[Outcome, list[Reason]]:
    if facts.hub_cluster is None:
        return Outcome.INSUFFICIENT_DATA, [Reason.HUB_UNKNOWN]
    if facts.hub_cluster:
        return Outcome.COMPLIANT, [Reason.INSIDE_HUB]
    if rule.strength == "soft" and facts.siting_exception:
        return Outcome.COMPLIANT, [Reason.OUTSIDE_HUB, Reason.EXCEPTION_RECORDED]
    return Outcome.NON_COMPLIANT, [Reason.OUTSIDE_HUB]


def _incentive(_rule: Rule, facts: Facts) -> tuple[Outcome, list[Reason]]:
    if facts.incentives is None:
        return Outcome.INSUFFICIENT_DATA, [Reason.INCENTIVES_UNKNOWN]
    if facts.incentives:
        return Outcome.NON_COMPLIANT, [Reason.INCENTIVE_RECORDED]
    return Outcome.COMPLIANT, [Reason.NO_INCENTIVE_RECORDED]


_FACT_JUDGES = {Kind.CERTIFICATE: _grade, Kind.SITING: _siting, Kind.INCENTIVE: _incentive}


def _strictness(finding: Finding) -> tuple[bool, int, bool, Fraction, bool, str]:
    """Sort key: binding, standing, on PUE, lowest limit, strict comparison, name."""
    # The text names the limit exactly: `show_pue` adds decimals until it does.
    limit = Fraction(finding.limit) if finding.limit is not None else Fraction(0)
    is_inclusive = finding.comparator in ("<=", ">")
    return (
        # False sorts before True: binding first, with a limit first, "<" before "<=".
        not finding.binding,
        _standing(finding),
        finding.limit is None,
        limit,
        is_inclusive,
        f"{finding.profile}/{finding.rule}",
    )


def _standing(finding: Finding) -> int:
    """0 for a rule that asks something of the facility, or will; 1 if nobody has to follow it; 2 if its time is over.

    Read from the finding as it was written, whatever the rule says today.
    """
    if finding.status == Status.TARGET_EXPIRED:
        return 2
    return int(Reason.RULE_IS_VOLUNTARY in finding.reasons)


def _text(value: Fraction | None, limits: tuple[Fraction, ...], direction: int) -> str | None:
    return None if value is None else show_pue(value, PLACES, limits, direction)
