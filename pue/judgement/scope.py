"""Whether a rule is about a facility, from the facts the registry holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import TypeVar

from pue.judgement.policy import Rule
from pue.judgement.reasons import Reason

T = TypeVar("T")
Check = tuple[bool | None, Reason, Reason | None]
"""One condition: whether it holds (None: cannot be said), the reason if not, the reason if it cannot be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the registry knows of a facility on one day; None means not known.

    Attributes
    ----------
    on
        The day the facts hold and rules are applied for, local date.
    region
        GB/T 2260 code, six digits.
    hub_cluster
        National hub cluster the facility stands in; "" means outside all of them.
    annual_kwh
        Electricity of the last full year. [kWh]
    operating_from_ms
        Since when the facility runs; a window that starts earlier is not complete. [ms UTC]
    green_grade, green_grade_certificate, green_grade_valid_to
        Grade, certificate number and the first day it is no longer valid.
    siting_exception
        The recorded reason for standing outside the hub clusters; "" if there is none.
    incentives
        Records of land, fiscal or tax favours granted; () only where somebody looked and found none.
    transition_until
        End of the project's transition period.
    """

    facility: str
    on: date
    region: str
    stage: str
    build: str
    standard_racks: int | None = None
    it_power_kw: float | None = None
    annual_kwh: int | None = None
    approved_on: date | None = None
    commissioned_on: date | None = None
    operating_from_ms: int | None = None
    hub_cluster: str | None = None
    green_grade: str = ""
    green_grade_certificate: str = ""
    green_grade_valid_to: date | None = None
    siting_exception: str = ""
    incentives: tuple[str, ...] | None = None
    transition_until: date | None = None


def scope(rule: Rule, facts: Facts) -> tuple[list[Reason], list[Reason]]:
    """Why a rule is not about a facility, and which facts are missing to say so."""
    checks = [
        (rule.covers(facts.region), Reason.OUTSIDE_JURISDICTION, None),
        (rule.is_effective(facts.on), Reason.NOT_EFFECTIVE, None),
        (rule.subject == "facility", Reason.RULE_FOR_GROUPS, None),
        *_predicate(rule, facts),
    ]
    return (
        # Three values: one condition that is known to fail decides, whatever the others are; `judge` asks in that
        # order.
        [no for holds, no, _ in checks if holds is False],
        [unknown for holds, _, unknown in checks if holds is None and unknown is not None],
    )


def is_reclassified(rule: Rule, facts: Facts, earlier: Iterable[Facts]) -> bool:
    """Whether facts that held earlier would have put the facility in the rule's scope, or out of it, otherwise.

    Asked for one day: grace periods and effective dates that pass are no change of the facility's class.
    """
    # Of `_standing` and not of single reasons: who was and is out of scope for another reason has not changed class.
    return any(_standing(rule, replace(held, on=facts.on)) != _standing(rule, facts) for held in earlier)


def _standing(rule: Rule, facts: Facts) -> tuple[bool, bool]:
    """Whether the rule is not about a facility, and whether that cannot be said."""
    out_of_scope, unknown = scope(rule, facts)
    # What is missing matters only where nothing known decides.
    return bool(out_of_scope), bool(unknown) and not out_of_scope


def _predicate(rule: Rule, facts: Facts) -> list[Check]:
    """Each condition as (holds, reason if it does not, reason if it cannot be said)."""
    want = rule.applies_to
    racks = facts.standard_racks
    power = facts.it_power_kw
    scale = None if racks is None else rule.scale.of(racks)
    # "" is a fact: it is registered that the facility stands outside all clusters. None is no fact.
    hub = None if facts.hub_cluster is None else "inside" if facts.hub_cluster else "outside"
    return [
        # The order is that of the table in METHOD.md, "Finding", in which reasons are given. Build and stage are always
        # registered, so nothing is missing for them.
        (not want.build or facts.build in want.build, Reason.BUILD_NOT_COVERED, None),
        (not want.stage or facts.stage in want.stage, Reason.STAGE_NOT_COVERED, None),
        (_holds(want.scale, scale, lambda s: s in want.scale), Reason.SCALE_NOT_COVERED, Reason.RACKS_UNKNOWN),
        (_holds(want.hub != "any", hub, lambda h: h == want.hub), Reason.HUB_NOT_COVERED, Reason.HUB_UNKNOWN),
        (
            _holds(want.min_it_power_kw, power, lambda kw: kw >= (want.min_it_power_kw or 0)),
            Reason.IT_POWER_NOT_COVERED,
            Reason.IT_POWER_UNKNOWN,
        ),
        (
            _holds(want.min_annual_kwh, facts.annual_kwh, lambda kwh: kwh >= (want.min_annual_kwh or 0)),
            Reason.ANNUAL_ENERGY_NOT_COVERED,
            Reason.ANNUAL_ENERGY_UNKNOWN,
        ),
        (
            _between(want.approved_from, facts.approved_on, want.approved_before),
            Reason.APPROVAL_DATE_NOT_COVERED,
            Reason.APPROVAL_DATE_UNKNOWN,
        ),
        (
            _between(want.commissioned_from, facts.commissioned_on, want.commissioned_before),
            Reason.COMMISSIONING_DATE_NOT_COVERED,
            Reason.COMMISSIONING_DATE_UNKNOWN,
        ),
        (
            _holds(
                want.grace_years, facts.commissioned_on, lambda day: _years_later(day, want.grace_years) <= facts.on
            ),
            Reason.IN_GRACE_PERIOD,
            Reason.COMMISSIONING_DATE_UNKNOWN,
        ),
    ]


def _holds(wanted: object, fact: T | None, test: Callable[[T], bool]) -> bool | None:
    """True if nothing is wanted, None if the fact is not known, else the test."""
    if not wanted:
        return True
    return None if fact is None else test(fact)


def _between(start: date | None, day: date | None, end: date | None) -> bool | None:
    return _holds(start or end, day, lambda known: (not start or start <= known) and (not end or known < end))


def _years_later(day: date, years: int) -> date:
    """The same day some years on; 29 February becomes 1 March."""
    try:
        # Only 29 February has no such day in other years.
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)
