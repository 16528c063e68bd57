"""Whether a rule is about a facility: each condition at its own edge."""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import Any

import pytest

from pue.judgement.policy import Predicate, load_profile
from pue.judgement.reasons import Reason
from pue.judgement.scope import Facts, scope

RULE = load_profile("yunnan-2022-draft").rule("new_build_pue_max")
FACTS = Facts(facility="km01", on=date(2026, 11, 1), region="530100", stage="existing", build="new")
DAY = date(2026, 1, 1)


def reasons(condition: dict[str, Any], **known: Any) -> tuple[list[Reason], list[Reason]]:
    """Why a rule with one condition is not about a facility, and what is not known."""
    rule = dataclasses.replace(RULE, applies_to=Predicate(**condition))
    return scope(rule, dataclasses.replace(FACTS, **known))


@pytest.mark.parametrize(
    ("condition", "inside", "outside", "reason"),
    [
        ({"hub": "inside"}, {"hub_cluster": "贵安"}, {"hub_cluster": ""}, Reason.HUB_NOT_COVERED),
        ({"hub": "outside"}, {"hub_cluster": ""}, {"hub_cluster": "贵安"}, Reason.HUB_NOT_COVERED),
        ({"min_it_power_kw": 300}, {"it_power_kw": 300.0}, {"it_power_kw": 299.9}, Reason.IT_POWER_NOT_COVERED),
        ({"min_annual_kwh": 5}, {"annual_kwh": 5}, {"annual_kwh": 4}, Reason.ANNUAL_ENERGY_NOT_COVERED),
        (
            {"approved_from": DAY},
            {"approved_on": DAY},
            {"approved_on": date(2025, 12, 31)},
            Reason.APPROVAL_DATE_NOT_COVERED,
        ),
        (
            {"approved_before": DAY},
            {"approved_on": date(2025, 12, 31)},
            {"approved_on": DAY},
            Reason.APPROVAL_DATE_NOT_COVERED,
        ),
        (
            {"commissioned_from": DAY},
            {"commissioned_on": DAY},
            {"commissioned_on": date(2025, 12, 31)},
            Reason.COMMISSIONING_DATE_NOT_COVERED,
        ),
        (
            {"commissioned_before": DAY},
            {"commissioned_on": date(2025, 12, 31)},
            {"commissioned_on": DAY},
            Reason.COMMISSIONING_DATE_NOT_COVERED,
        ),
        (
            {"grace_years": 2},
            {"commissioned_on": date(2024, 11, 1)},
            {"commissioned_on": date(2024, 11, 2)},
            Reason.IN_GRACE_PERIOD,
        ),
    ],
)
def test_a_condition_holds_to_its_edge_and_no_further(
    condition: dict[str, Any], inside: dict[str, Any], outside: dict[str, Any], reason: Reason
) -> None:
    assert reasons(condition, **inside) == ([], [])
    assert reasons(condition, **outside) == ([reason], [])


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ({"scale": ("large",)}, Reason.RACKS_UNKNOWN),
        ({"hub": "inside"}, Reason.HUB_UNKNOWN),
        ({"min_it_power_kw": 300}, Reason.IT_POWER_UNKNOWN),
        ({"min_annual_kwh": 5}, Reason.ANNUAL_ENERGY_UNKNOWN),
        ({"approved_before": DAY}, Reason.APPROVAL_DATE_UNKNOWN),
        ({"commissioned_before": DAY}, Reason.COMMISSIONING_DATE_UNKNOWN),
        ({"grace_years": 2}, Reason.COMMISSIONING_DATE_UNKNOWN),
    ],
)
def test_a_condition_on_a_fact_that_is_not_known_says_so(condition: dict[str, Any], reason: Reason) -> None:
    assert reasons(condition) == ([], [reason])


def test_a_rule_without_conditions_asks_for_no_facts() -> None:
    assert reasons({}) == ([], [])
