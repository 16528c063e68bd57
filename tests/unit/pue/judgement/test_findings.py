"""Findings: the order of outcomes, bounds, guard bands, reasons, the headline."""

from __future__ import annotations

import dataclasses
from datetime import date
from fractions import Fraction
from typing import Any

import pytest

from pue.contract.errors import Fatal
from pue.energy.rolling import WindowResult
from pue.judgement.findings import Facts, Finding, Outcome, headline, judge
from pue.judgement.policy import Kind, Rule, Status, load_profile
from pue.judgement.reasons import REASONS, Reason, reason_text

YEAR_MS = 365 * 86_400_000
IT_J = 10**15
YUNNAN = load_profile("yunnan-2022-draft")
NEW, RETROFIT = YUNNAN.rule("new_build_pue_max"), YUNNAN.rule("retrofit_pue_over")
GRADE, SITING, INCENTIVE = (YUNNAN.rule(r) for r in ("green_grade_min", "hub_siting", "no_preferential_policy"))
IN_FORCE = dataclasses.replace(
    NEW,
    status=Status.IN_FORCE,
    scale_source="text",
    period_source="text",
    decision_source="text",
    applies_to=NEW.applies_to.model_copy(update={"approved_from": date(2022, 1, 1)}),
)
SIMPLE = dataclasses.replace(IN_FORCE, decision="simple")


def facts(**changes: Any) -> Facts:
    known: dict[str, Any] = {
        "facility": "km01",
        "on": date(2026, 11, 1),
        "region": "530100",
        "stage": "existing",
        "build": "new",
        "standard_racks": 4_000,
        "it_power_kw": 10_000.0,
        "approved_on": date(2024, 3, 1),
        "commissioned_on": date(2025, 6, 1),
        "operating_from_ms": 0,
        "hub_cluster": "",
        "incentives": (),
    }
    return Facts(**(known | changes))


def window(ratio: str | Fraction, **changes: Any) -> WindowResult:
    """A year of 10**15 J IT energy, complete and without bounds unless told."""
    value = Fraction(ratio)
    total_j = int(value * IT_J)
    result = WindowResult(
        from_ms=0,
        to_ms=YEAR_MS,
        total_j=total_j,
        it_j=IT_J,
        total_lower_j=total_j,
        total_upper_j=total_j,
        it_lower_j=IT_J,
        it_upper_j=IT_J,
        coverage=Fraction(1),
        flags=0,
        quality_share={"measured": Fraction(1)},
        u_pue=0.005 * float(value),
        pue=value,
        pue_lower=value,
        pue_upper=value,
        reasons=(),
    )
    return dataclasses.replace(result, **changes)


def outcome(rule: Rule, pue: str, **changes: Any) -> Outcome:
    return judge(rule, facts(), window(pue, **changes)).outcome


# domain example 14: u = 0.5 %, limit 1.3


@pytest.mark.parametrize(
    ("pue", "expected"),
    [
        ("1.28", Outcome.COMPLIANT),
        ("1.28938", Outcome.COMPLIANT),
        ("1.28940", Outcome.INDETERMINATE),
        ("1.29", Outcome.INDETERMINATE),
        ("1.31", Outcome.INDETERMINATE),
        ("1.31077", Outcome.INDETERMINATE),
        ("1.31079", Outcome.NON_COMPLIANT),
        ("1.32", Outcome.NON_COMPLIANT),
    ],
)
def test_the_guard_band_of_half_a_percent_at_one_point_three(pue: str, expected: Outcome) -> None:
    assert outcome(IN_FORCE, pue) is expected


def test_both_decisions_are_given_and_the_rule_says_which_one_counts() -> None:
    guarded, simple = judge(IN_FORCE, facts(), window("1.29")), judge(SIMPLE, facts(), window("1.29"))
    for finding in (guarded, simple):
        assert (finding.simple_outcome, finding.guarded_outcome) == (Outcome.COMPLIANT, Outcome.INDETERMINATE)
        assert finding.p_within == "0.939476"
    assert (guarded.outcome, guarded.decision) == (Outcome.INDETERMINATE, "guarded")
    assert (simple.outcome, simple.decision) == (Outcome.COMPLIANT, "simple")
    assert guarded.reasons == ("within_guard_band",)
    assert simple.reasons == ("pue_within_limit",)


# domain examples 10, 11, 18


def test_exactly_one_point_three_is_within_and_one_point_three_ooo_four_is_not() -> None:
    assert outcome(SIMPLE, "1.3") is Outcome.COMPLIANT
    assert outcome(SIMPLE, "1.3004") is Outcome.NON_COMPLIANT
    assert outcome(SIMPLE, "1.30000000000001") is Outcome.NON_COMPLIANT


def test_exactly_one_point_five_is_not_over() -> None:
    retrofit = dataclasses.replace(RETROFIT, decision="simple")
    assert outcome(retrofit, "1.5") is Outcome.COMPLIANT
    assert outcome(retrofit, "1.5004") is Outcome.NON_COMPLIANT


def test_a_and_b_feeds_together_are_one_point_three_and_without_ups_b_nothing_is_said() -> None:
    both = window(Fraction(650, 500))
    without_b = window(Fraction(650, 300), coverage=Fraction(0), pue_lower=Fraction(1), pue_upper=None)
    assert judge(SIMPLE, facts(), both).outcome is Outcome.COMPLIANT
    finding = judge(SIMPLE, facts(), without_b)
    assert finding.outcome is Outcome.INSUFFICIENT_DATA
    assert finding.reasons[0] == "coverage_below_gate"
    assert finding.pue_upper is None


def test_on_site_generation_counts_and_export_does_not() -> None:
    assert judge(SIMPLE, facts(), window(Fraction(900 + 120 - 20, 800))).pue == "1.250000"


def test_a_finding_names_facility_rule_and_profile() -> None:
    for rule in (NEW, GRADE):
        finding = judge(rule, facts(), window("1.2"))
        assert (finding.facility, finding.profile, finding.rule) == ("km01", "yunnan-2022-draft", rule.id)
        assert (finding.rule_version, finding.kind) == (rule.version, rule.kind.value)
        assert (finding.status, finding.consequence) == ("draft", rule.consequence)


# order


def test_even_a_poor_window_is_non_compliant_if_its_best_bound_breaks_the_limit() -> None:
    poor = window("1.6", coverage=Fraction(1, 2), pue_lower=Fraction("1.4"), pue_upper=None)
    finding = judge(IN_FORCE, facts(), poor)
    assert finding.outcome is Outcome.NON_COMPLIANT
    assert finding.reasons == ("pue_over_limit", "bound_breaks_limit", "coverage_below_gate")


def test_a_sound_breach_needs_no_excuse() -> None:
    assert judge(IN_FORCE, facts(), window("1.6")).reasons == ("pue_over_limit",)


def test_a_best_bound_inside_the_guard_band_does_not_override_poor_coverage() -> None:
    poor = window("1.6", coverage=Fraction(1, 2), pue_lower=Fraction("1.301"), pue_upper=None, u_pue=0.005)
    assert judge(IN_FORCE, facts(), poor).outcome is Outcome.INSUFFICIENT_DATA
    assert judge(SIMPLE, facts(), poor).outcome is Outcome.NON_COMPLIANT


# contradictions: the energy of the days on which meters contradict each other is open in the bounds


BROKEN = {"contradictions": ("balance_broken:main-a",)}


def test_a_breach_that_survives_the_contradictions_is_a_breach() -> None:
    broken = window("1.9", pue_lower=Fraction("1.4"), pue_upper=Fraction("2.4"), **BROKEN)
    finding = judge(IN_FORCE, facts(), broken)
    assert finding.outcome is Outcome.NON_COMPLIANT
    assert finding.reasons == ("pue_over_limit", "bound_breaks_limit", "balance_broken:main-a")


def test_a_breach_that_rests_on_meters_that_contradict_each_other_is_none() -> None:
    """The figure is over the limit, and yet the truth may lie below it."""
    broken = window("1.9", pue_lower=Fraction("1.1"), pue_upper=Fraction("2.4"), **BROKEN)
    for rule in (IN_FORCE, SIMPLE):
        finding = judge(rule, facts(), broken)
        assert (finding.outcome, finding.reasons) == (Outcome.INVALID_DATA, ("balance_broken:main-a",))
        assert (finding.simple_outcome, finding.guarded_outcome) == (None, None)


def test_contradictions_come_before_the_gates_and_name_what_else_is_poor() -> None:
    finding = judge(IN_FORCE, facts(), window("1.2", coverage=Fraction(1, 2), **BROKEN))
    assert finding.outcome is Outcome.INVALID_DATA
    assert finding.reasons == ("balance_broken:main-a", "coverage_below_gate")
    below_one = judge(IN_FORCE, facts(), window("0.9", coverage=Fraction(1, 2)))
    assert (below_one.outcome, below_one.reasons[0]) == (Outcome.INVALID_DATA, "pue_below_one")


def test_a_missing_year_comes_before_contradictions_and_names_them() -> None:
    finding = judge(IN_FORCE, facts(operating_from_ms=1), window("1.9", **BROKEN))
    assert finding.outcome is Outcome.INSUFFICIENT_DATA
    assert finding.reasons == ("window_incomplete", "balance_broken:main-a")


def test_it_energy_that_cannot_be_right_proves_no_breach() -> None:
    """IT at 0.01 % of its design load: a ratio of thousands, and bounds that believe it."""
    it_j = 31_536_000_000
    broken = window("1.9", it_j=it_j, pue=Fraction(6_000), pue_lower=Fraction(5_000), it_upper_j=2 * it_j)
    for rule in (IN_FORCE, SIMPLE):
        finding = judge(rule, facts(), broken)
        assert (finding.outcome, finding.reasons) == (Outcome.INVALID_DATA, ("it_load_too_low",))


def test_a_breach_stands_if_its_bound_leaves_room_for_the_design_load_of_the_whole_year() -> None:
    """10 MW over 365 days: whatever the IT meter should have shown, this facility took more than 1.3 times as much."""
    design_j = 315_360_000_000_000
    broken = {"it_j": 0, "pue": None, "pue_lower": Fraction("1.5"), "pue_upper": None, "u_pue": 0.005}
    days = {"contradictions": ("no_it_load",)}
    proven = judge(IN_FORCE, facts(), window("1.9", **broken, **days, it_upper_j=design_j))
    assert proven.outcome is Outcome.NON_COMPLIANT
    assert proven.reasons[:2] == ("pue_over_limit", "bound_breaks_limit")
    assert {"no_it_load", "it_load_too_low", "no_it_energy"} <= set(proven.reasons)
    open_ = judge(IN_FORCE, facts(), window("1.9", **broken, **days, it_upper_j=design_j - 1))
    assert open_.outcome is Outcome.INVALID_DATA


def test_missing_it_meters_are_no_idle_plant() -> None:
    """Half of the year is missing: what was measured is enough for half a year."""
    half = {"coverage": Fraction(1, 2), "pue_lower": Fraction(1), "pue_upper": None}
    enough, less = 1_576_800_000_000, 1_576_799_999_999
    assert judge(IN_FORCE, facts(), window("1.2", it_j=enough, **half)).outcome is Outcome.INSUFFICIENT_DATA
    assert judge(IN_FORCE, facts(), window("1.2", it_j=less, **half)).outcome is Outcome.INVALID_DATA
    nothing = {"total_j": 0, "it_j": 0, "pue": None, "u_pue": None}
    finding = judge(IN_FORCE, facts(), window("1.2", **(half | nothing)))
    assert (finding.outcome, finding.reasons) == (Outcome.INSUFFICIENT_DATA, ("coverage_below_gate",))


# gates


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"coverage": Fraction(959_999, 1_000_000)}, "coverage_below_gate"),
        ({"quality_share": {"estimated": Fraction(3, 100), "integrated": Fraction(21, 1000)}}, "estimated_above_gate"),
    ],
)
def test_gates(changes: dict[str, Any], reason: str) -> None:
    finding = judge(IN_FORCE, facts(), window("1.2", **changes))
    assert (finding.outcome, finding.reasons) == (Outcome.INSUFFICIENT_DATA, (reason,))
    assert (finding.simple_outcome, finding.guarded_outcome) == (None, None)


def test_a_refuted_maximum_power_refuses_a_verdict_and_no_breach() -> None:
    refuted = {"reasons": ("limit_refuted:main",)}
    finding = judge(IN_FORCE, facts(), window("1.2", **refuted))
    assert (finding.outcome, finding.reasons) == (Outcome.INSUFFICIENT_DATA, ("limit_refuted:main",))
    breach = judge(IN_FORCE, facts(), window("1.6", **refuted))
    assert breach.outcome is Outcome.NON_COMPLIANT
    assert breach.reasons == ("pue_over_limit", "bound_breaks_limit", "limit_refuted:main")


MARKS = ("accuracy_class_unknown", "calibration_unknown", "calibration_expired", "clock_unsynchronised")


@pytest.mark.parametrize("code", MARKS)
def test_what_is_assumed_of_a_meter_is_a_reason_and_a_gate_where_the_rule_says_so(code: str) -> None:
    marked = window("1.2", reasons=(f"{code}:main", f"{code}:it"))
    plain = judge(IN_FORCE, facts(), marked)
    assert plain.outcome is not Outcome.INSUFFICIENT_DATA
    assert plain.reasons[-2:] == (f"{code}:main", f"{code}:it")
    strict = dataclasses.replace(IN_FORCE, gates=IN_FORCE.gates.model_copy(update={"refuses": (code,)}))
    refused = judge(strict, facts(), marked)
    assert (refused.outcome, refused.reasons) == (Outcome.INSUFFICIENT_DATA, (f"{code}:main", f"{code}:it"))


@pytest.mark.parametrize("code", MARKS[1:])
def test_certificates_and_clocks_alone_change_no_outcome(code: str) -> None:
    finding = judge(IN_FORCE, facts(), window("1.2", reasons=(f"{code}:main",)))
    assert (finding.outcome, finding.reasons) == (Outcome.COMPLIANT, ("pue_within_limit", f"{code}:main"))


def test_gates_are_inclusive() -> None:
    edge = {"quality_share": {"estimated": Fraction(3, 100), "integrated": Fraction(2, 100)}}
    assert outcome(IN_FORCE, "1.2", coverage=Fraction(96, 100), **edge) is Outcome.COMPLIANT


@pytest.mark.parametrize(
    ("pue", "changes", "reason"),
    [
        ("0.98", {}, "pue_below_one"),
        ("0.999", {"u_pue": None}, "pue_below_one"),
        ("1.2", {"it_j": 0, "pue": None, "pue_lower": None, "pue_upper": None, "u_pue": None}, "no_it_energy"),
        (
            "0",
            {"it_j": 0, "pue": None, "pue_upper": None, "u_pue": None, "coverage": Fraction(96, 100)},
            "no_it_energy",
        ),
        ("1.2", {"it_j": 3_153_599_999_999}, "it_load_too_low"),
        ("1.2", {"contradictions": ("balance_broken:main",)}, "balance_broken:main"),
    ],
)
def test_invalid_data_has_a_reason_and_never_an_outcome_on_the_limit(
    pue: str, changes: dict[str, Any], reason: str
) -> None:
    finding = judge(IN_FORCE, facts(), window(pue, **changes))
    assert finding.outcome is Outcome.INVALID_DATA
    assert reason in finding.reasons


@pytest.mark.parametrize("start_ms", [0, 10 * YEAR_MS])
def test_one_percent_of_the_design_load_is_enough(start_ms: int) -> None:
    """10 MW over 365 days are 315.36 TJ."""
    span = {"from_ms": start_ms, "to_ms": start_ms + YEAR_MS}
    assert outcome(IN_FORCE, "1.2", it_j=3_153_600_000_000, **span) is Outcome.COMPLIANT
    assert outcome(IN_FORCE, "1.2", it_j=3_153_599_999_999, **span) is Outcome.INVALID_DATA


def test_without_a_design_load_any_it_energy_is_enough() -> None:
    assert judge(IN_FORCE, facts(it_power_kw=None), window("1.2", it_j=1)).outcome is Outcome.COMPLIANT


def test_below_one_within_two_uncertainties_is_not_invalid() -> None:
    assert outcome(IN_FORCE, "0.995", u_pue=0.0025) is Outcome.COMPLIANT
    assert outcome(IN_FORCE, "0.995", u_pue=0.002499) is Outcome.INVALID_DATA


def test_a_facility_that_has_not_run_a_year_is_not_judged_even_if_it_was_over() -> None:
    young = facts(operating_from_ms=1)
    finding = judge(IN_FORCE, young, window("1.9"))
    assert (finding.outcome, finding.reasons) == (Outcome.INSUFFICIENT_DATA, ("window_incomplete",))
    assert judge(IN_FORCE, facts(operating_from_ms=None), window("1.9")).outcome is Outcome.NON_COMPLIANT


def test_no_window_is_no_finding_on_the_limit() -> None:
    assert judge(IN_FORCE, facts(), None).reasons == ("no_energy_data",)
    planned = judge(IN_FORCE, facts(stage="proposed"), None)
    assert (planned.outcome, planned.reasons) == (Outcome.INSUFFICIENT_DATA, ("not_in_operation",))
    assert planned.pue is None


def test_a_short_window_is_never_judged() -> None:
    with pytest.raises(Fatal, match=r"not on 30\.00 days"):
        judge(IN_FORCE, facts(), window("1.2", to_ms=30 * 86_400_000))
    with pytest.raises(Fatal, match=r"not on 367\.00 days"):
        judge(IN_FORCE, facts(), window("1.2", to_ms=367 * 86_400_000))
    with pytest.raises(Fatal, match=r"not on 1\.00 days"):
        judge(IN_FORCE, facts(), window("1.2", from_ms=YEAR_MS - 86_400_000))


@pytest.mark.parametrize("extra_ms", [-7_200_000, -3_600_000, 0, 86_400_000, 86_400_000 + 7_200_000])
def test_leap_years_and_clock_changes_are_years(extra_ms: int) -> None:
    assert outcome(IN_FORCE, "1.2", to_ms=YEAR_MS + extra_ms) is Outcome.COMPLIANT


@pytest.mark.parametrize("extra_ms", [-7_200_001, 86_400_000 + 7_200_001])
def test_more_than_a_clock_change_is_no_year(extra_ms: int) -> None:
    with pytest.raises(Fatal, match="is judged on a year"):
        outcome(IN_FORCE, "1.2", to_ms=YEAR_MS + extra_ms)


# bounds


def test_compliance_is_tested_at_the_upper_bound_and_breach_at_the_lower() -> None:
    wide = {"pue_lower": Fraction("1.25"), "pue_upper": Fraction("1.35"), "u_pue": 0.0}
    for pue in ("1.26", "1.34"):
        finding = judge(SIMPLE, facts(), window(pue, **wide))
        assert (finding.outcome, finding.reasons) == (Outcome.INDETERMINATE, ("bounds_span_limit",))
    assert outcome(SIMPLE, "1.26", **(wide | {"pue_upper": Fraction("1.3")})) is Outcome.COMPLIANT
    assert outcome(SIMPLE, "1.34", **(wide | {"pue_lower": Fraction("1.3001")})) is Outcome.NON_COMPLIANT


def test_an_unbounded_window_is_never_compliant() -> None:
    finding = judge(SIMPLE, facts(), window("1.1", pue_upper=None))
    assert (finding.outcome, finding.pue_upper, finding.p_within) == (Outcome.INDETERMINATE, None, None)
    assert outcome(SIMPLE, "1.9", pue_lower=None, pue_upper=None) is Outcome.INDETERMINATE


def test_unknown_uncertainty_leaves_the_guarded_decision_open() -> None:
    finding = judge(IN_FORCE, facts(), window("1.1", u_pue=None))
    assert (finding.outcome, finding.simple_outcome) == (Outcome.INDETERMINATE, Outcome.COMPLIANT)
    assert finding.reasons == ("uncertainty_unknown",)
    assert (finding.u_pue, finding.p_within) == (None, None)
    assert outcome(SIMPLE, "1.1", u_pue=None) is Outcome.COMPLIANT


UNREGISTERED = {"reasons": ("accuracy_class_unknown:main",), "u_pue": 0.03}
"""A window in which u(PUE) is that of the widest class."""


def test_a_class_nobody_registered_is_never_compliant() -> None:
    for rule in (IN_FORCE, SIMPLE):
        finding = judge(rule, facts(), window("1.1", **UNREGISTERED))
        assert finding.outcome is Outcome.INDETERMINATE
        assert finding.reasons == ("uncertainty_unknown", "accuracy_class_unknown:main")
        assert (finding.simple_outcome, finding.guarded_outcome) == (Outcome.INDETERMINATE, Outcome.INDETERMINATE)
        assert (finding.u_pue, finding.p_within) == ("0.030000", None)


def test_a_class_nobody_registered_hides_no_breach_beyond_the_widest_class() -> None:
    finding = judge(IN_FORCE, facts(), window("1.4", **UNREGISTERED))
    assert finding.outcome is Outcome.NON_COMPLIANT
    assert finding.reasons == ("pue_over_limit", "accuracy_class_unknown:main")
    near = judge(IN_FORCE, facts(), window("1.34", **UNREGISTERED))
    assert (near.outcome, near.reasons[0]) == (Outcome.INDETERMINATE, "uncertainty_unknown")
    assert judge(SIMPLE, facts(), window("1.34", **UNREGISTERED)).outcome is Outcome.NON_COMPLIANT


def test_bounds_on_both_sides_are_the_reason_whatever_is_known_of_the_uncertainty() -> None:
    wide = {"pue_lower": Fraction("1.25"), "pue_upper": Fraction("1.35")}
    for u in (0.0, None):
        for rule in (IN_FORCE, SIMPLE):
            assert judge(rule, facts(), window("1.3", u_pue=u, **wide)).reasons == ("bounds_span_limit",)


def test_the_probability_is_taken_at_the_upper_bound() -> None:
    finding = judge(SIMPLE, facts(), window("1.2", pue_upper=Fraction("1.3"), u_pue=0.004))
    assert finding.p_within == "0.500000"
    certain = judge(SIMPLE, facts(), window("1.2", pue_upper=Fraction("1.3"), u_pue=0.0))
    assert certain.p_within == "1.000000"
    below = dataclasses.replace(SIMPLE, comparator="<")
    assert judge(below, facts(), window("1.3", u_pue=0.0)).p_within == "0.000000"


# text


def test_figures_are_text_that_never_crosses_the_limit() -> None:
    finding = judge(IN_FORCE, facts(), window("1.30000004", coverage=Fraction(9_599_999_999, 10**10)))
    assert finding.pue == "1.30000004"
    assert finding.coverage == "0.959999"
    assert judge(RETROFIT, facts(), window("1.5004")).pue == "1.500400"
    assert (finding.limit, finding.comparator, finding.period) == ("1.3", "<=", "ttm")
    assert (finding.from_ms, finding.to_ms, finding.total_j, finding.it_j) == (0, YEAR_MS, 1_300_000_040_000_000, IT_J)


def test_a_limit_of_any_decimals_is_not_crossed_by_any_figure() -> None:
    fine = dataclasses.replace(IN_FORCE, limit=Fraction("1.234"))
    over = judge(fine, facts(), window("1.2340001", coverage=Fraction("0.9600001")))
    assert (over.limit, over.pue, over.pue_lower) == ("1.234", "1.2340001", "1.2340001")
    assert over.coverage == "0.9600001"
    assert judge(fine, facts(), window("1.2339999")).pue_upper == "1.2339999"


def test_bounds_are_rounded_outwards() -> None:
    third = Fraction(4, 3)
    finding = judge(IN_FORCE, facts(), window(third, u_pue=0.0037851))
    assert (finding.pue_lower, finding.pue, finding.pue_upper) == ("1.333333", "1.333333", "1.333334")
    assert finding.u_pue == "0.003785"


def test_the_windows_own_reasons_are_passed_on_once() -> None:
    finding = judge(IN_FORCE, facts(), window("1.6", coverage=Fraction(1, 2), reasons=("coverage_below_gate", "x")))
    assert finding.reasons == ("pue_over_limit", "bound_breaks_limit", "coverage_below_gate", "x")


# scope


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"region": "110100"}, "outside_jurisdiction"),
        ({"build": "existing"}, "build_not_covered"),
        ({"standard_racks": 2_999}, "scale_not_covered"),
        ({"approved_on": date(2021, 12, 31)}, "approval_date_not_covered"),
    ],
)
def test_a_facility_out_of_scope_is_not_applicable_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    finding = judge(IN_FORCE, facts(**changes), window("1.9"))
    assert (finding.outcome, finding.reasons) == (Outcome.NOT_APPLICABLE, (reason,))
    assert not finding.binding
    assert finding.pue is None


def test_the_first_day_of_a_cutoff_counts() -> None:
    assert judge(IN_FORCE, facts(approved_on=date(2022, 1, 1)), window("1.2")).outcome is Outcome.COMPLIANT


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"standard_racks": None}, "racks_unknown"), ({"approved_on": None}, "approval_date_unknown")],
)
def test_a_missing_fact_is_no_guess(changes: dict[str, Any], reason: str) -> None:
    finding = judge(IN_FORCE, facts(**changes), window("1.9"))
    assert (finding.outcome, finding.reasons) == (Outcome.INSUFFICIENT_DATA, (reason,))
    finding = judge(GRADE, facts(standard_racks=None), None)
    assert (finding.outcome, finding.reasons[0]) == (Outcome.INSUFFICIENT_DATA, "racks_unknown")


def test_out_of_scope_needs_no_further_facts() -> None:
    finding = judge(IN_FORCE, facts(region="110100", standard_racks=None), None)
    assert (finding.outcome, finding.reasons) == (Outcome.NOT_APPLICABLE, ("outside_jurisdiction",))


# a change of class inside the period


def test_a_change_of_class_inside_the_period_is_a_reason_and_the_closing_day_decides() -> None:
    before = [facts(on=date(2026, 5, 1), build="existing")]
    finding = judge(IN_FORCE, facts(), window("1.6"), before)
    assert finding.outcome is Outcome.NON_COMPLIANT
    assert finding.reasons == ("pue_over_limit", "reclassified_in_period")
    gone = judge(IN_FORCE, facts(build="existing"), window("1.6"), [facts()])
    assert (gone.outcome, gone.reasons) == (Outcome.NOT_APPLICABLE, ("build_not_covered", "reclassified_in_period"))


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        (IN_FORCE, {"standard_racks": 2_999}),
        (IN_FORCE, {"standard_racks": None}),
        (RETROFIT, {"stage": "under_construction"}),
        (dataclasses.replace(IN_FORCE, applies_to=INCENTIVE.applies_to), {"hub_cluster": "贵安"}),
    ],
)
def test_scale_stage_and_hub_are_classes_too(rule: Rule, changes: dict[str, Any]) -> None:
    assert judge(rule, facts(), window("1.2"), [facts(**changes)]).reasons[-1] == "reclassified_in_period"


@pytest.mark.parametrize(
    "changes",
    [
        {"standard_racks": 12_000},
        {"hub_cluster": "贵安"},
        {"stage": "under_construction"},
        {"on": date(2021, 1, 1)},
        {"green_grade": "4A"},
    ],
)
def test_a_change_that_leaves_the_facility_in_the_rules_scope_is_no_reason(changes: dict[str, Any]) -> None:
    assert judge(IN_FORCE, facts(), window("1.2"), [facts(**changes)]).reasons == ("pue_within_limit",)


def test_a_facility_that_was_never_in_scope_was_not_reclassified() -> None:
    beijing = judge(IN_FORCE, facts(region="110100"), None, [facts(region="110100", build="existing")])
    assert beijing.reasons == ("outside_jurisdiction",)
    still = judge(IN_FORCE, facts(region="110100", standard_racks=None), None, [facts(region="110100")])
    assert still.reasons == ("outside_jurisdiction",)


GERMAN = load_profile("de-enefg")


def german(**changes: Any) -> Facts:
    return facts(**({"region": "DE-HE", "standard_racks": None, "hub_cluster": None} | changes))


def test_a_second_countrys_rules_apply_by_date_and_size_without_code() -> None:
    old, later, new = GERMAN.rules
    site = german(on=date(2028, 1, 1), commissioned_on=date(2015, 1, 1))
    finding = judge(old, site, window("1.5"))
    assert (finding.outcome, finding.binding) == (Outcome.COMPLIANT, True)
    assert judge(old, dataclasses.replace(site, on=date(2027, 6, 30)), window("1.5")).reasons == ("not_effective",)
    assert judge(later, site, window("1.5")).reasons == ("not_effective",)
    assert judge(later, dataclasses.replace(site, on=date(2030, 7, 1)), window("1.5")).outcome is Outcome.NON_COMPLIANT
    assert judge(new, site, window("1.5")).reasons == ("commissioning_date_not_covered",)
    assert judge(old, dataclasses.replace(site, it_power_kw=299.0), window("1.5")).reasons == ("it_power_not_covered",)
    assert "it_power_unknown" in judge(old, dataclasses.replace(site, it_power_kw=None), window("1.5")).reasons


def test_the_grace_period_ends_two_years_after_commissioning() -> None:
    new = GERMAN.rule("from_2026")
    site = german(commissioned_on=date(2028, 2, 29), on=date(2030, 2, 28))
    assert judge(new, site, window("1.3")).reasons == ("in_grace_period",)
    assert judge(new, dataclasses.replace(site, on=date(2030, 3, 1)), window("1.3")).outcome is Outcome.NON_COMPLIANT
    plain = german(commissioned_on=date(2027, 5, 4), on=date(2029, 5, 4))
    assert judge(new, plain, window("1.2")).outcome is Outcome.COMPLIANT


def test_small_consumers_are_outside_beijings_tariff() -> None:
    (tariff,) = load_profile("beijing-2024").rules
    site = facts(region="110105", annual_kwh=5_000_000)
    finding = judge(tariff, site, window("1.4"))
    assert (finding.outcome, finding.consequence) == (Outcome.NON_COMPLIANT, "differential_tariff")
    assert "text_not_verified" in finding.reasons
    small = dataclasses.replace(site, annual_kwh=4_999_999)
    assert judge(tariff, small, window("1.4")).reasons == ("annual_energy_not_covered",)
    assert "annual_energy_unknown" in judge(tariff, facts(region="110105"), window("1.4")).reasons


def test_a_target_for_an_average_judges_no_single_facility() -> None:
    rule = load_profile("cn-national").rule("plan_2021_average")
    assert judge(rule, facts(), window("1.9")).reasons == ("rule_for_groups",)


# binding


def test_a_draft_never_binds_and_says_why() -> None:
    finding = judge(NEW, facts(), window("1.6"))
    assert finding.outcome is Outcome.NON_COMPLIANT
    assert not finding.binding
    assert finding.reasons == (
        "pue_over_limit",
        "rule_is_draft",
        "period_not_set",
        "cutoff_not_set",
        "threshold_assumed",
        "decision_not_set",
    )


def test_a_rule_in_force_with_everything_set_binds() -> None:
    assert judge(IN_FORCE, facts(), window("1.6")).binding


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": Status.TARGET_EXPIRED}, "target_expired"),
        ({"strength": "voluntary"}, "rule_is_voluntary"),
        ({"period_source": "assumed"}, "period_not_set"),
        ({"applies_to": NEW.applies_to}, "cutoff_not_set"),
        ({"scale_source": "assumed"}, "threshold_assumed"),
    ],
)
def test_each_thing_the_text_leaves_open_takes_the_binding_away(changes: dict[str, Any], reason: str) -> None:
    finding = judge(dataclasses.replace(IN_FORCE, **changes), facts(), window("1.6"))
    assert not finding.binding
    assert finding.reasons == ("pue_over_limit", reason)


def test_an_assumed_decision_rule_is_said_and_binds() -> None:
    finding = judge(dataclasses.replace(IN_FORCE, decision_source="assumed"), facts(), window("1.6"))
    assert (finding.binding, finding.reasons) == (True, ("pue_over_limit", "decision_not_set"))


def test_an_assumed_threshold_is_no_matter_to_a_rule_for_every_scale() -> None:
    anywhere = IN_FORCE.applies_to.model_copy(update={"scale": ()})
    finding = judge(dataclasses.replace(IN_FORCE, scale_source="assumed", applies_to=anywhere), facts(), window("1.6"))
    assert (finding.binding, finding.reasons) == (True, ("pue_over_limit",))


def test_a_project_in_transition_is_judged_and_not_bound() -> None:
    finding = judge(IN_FORCE, facts(transition_until=date(2026, 11, 2)), window("1.6"))
    assert (finding.outcome, finding.binding) == (Outcome.NON_COMPLIANT, False)
    assert "in_transition" in finding.reasons
    assert judge(IN_FORCE, facts(transition_until=date(2026, 11, 1)), window("1.6")).binding


# rules on facts


@pytest.mark.parametrize(
    ("changes", "expected", "reason"),
    [
        ({}, Outcome.INSUFFICIENT_DATA, "certificate_missing"),
        ({"green_grade": "5A"}, Outcome.INSUFFICIENT_DATA, "certificate_missing"),
        ({"green_grade": "3A", "green_grade_certificate": "C1"}, Outcome.NON_COMPLIANT, "grade_too_low"),
        (
            {"green_grade": "4A", "green_grade_certificate": "C1"},
            Outcome.INSUFFICIENT_DATA,
            "certificate_validity_unknown",
        ),
        (
            {"green_grade": "4A", "green_grade_certificate": "C1", "green_grade_valid_to": date(2026, 11, 1)},
            Outcome.INSUFFICIENT_DATA,
            "certificate_expired",
        ),
        (
            {"green_grade": "4A", "green_grade_certificate": "C1", "green_grade_valid_to": date(2026, 11, 2)},
            Outcome.COMPLIANT,
            "certificate_valid",
        ),
        (
            {"green_grade": "5A", "green_grade_certificate": "C1", "green_grade_valid_to": date(2027, 1, 1)},
            Outcome.COMPLIANT,
            "certificate_valid",
        ),
    ],
)
def test_a_grade_is_evidence_on_file(changes: dict[str, Any], expected: Outcome, reason: str) -> None:
    finding = judge(GRADE, facts(**changes), None)
    assert (finding.outcome, finding.reasons[0]) == (expected, reason)
    assert finding.decision is None


def test_outside_the_hubs_an_exception_needs_a_recorded_reason() -> None:
    assert judge(SITING, facts(), None).outcome is Outcome.NON_COMPLIANT
    excused = judge(SITING, facts(siting_exception="边缘算力需求"), None)
    assert (excused.outcome, excused.reasons[:2]) == (Outcome.COMPLIANT, ("outside_hub", "exception_recorded"))
    hard = dataclasses.replace(SITING, strength="hard")
    assert judge(hard, facts(siting_exception="边缘算力需求"), None).outcome is Outcome.NON_COMPLIANT
    assert judge(SITING, facts(hub_cluster="贵安"), None).reasons[0] == "inside_hub"
    assert judge(SITING, facts(hub_cluster=None), None).reasons[0] == "hub_unknown"


def test_outside_the_hubs_any_favour_is_a_breach() -> None:
    assert judge(INCENTIVE, facts(), None).outcome is Outcome.COMPLIANT
    assert judge(INCENTIVE, facts(incentives=("土地出让金返还",)), None).outcome is Outcome.NON_COMPLIANT
    assert judge(INCENTIVE, facts(hub_cluster="贵安"), None).reasons == ("hub_not_covered",)
    assert judge(INCENTIVE, facts(hub_cluster=None), None).reasons[0] == "hub_unknown"


def test_favours_nobody_looked_for_are_not_known_to_be_none() -> None:
    finding = judge(INCENTIVE, facts(incentives=None), None)
    assert (finding.outcome, finding.reasons[0]) == (Outcome.INSUFFICIENT_DATA, "incentives_unknown")
    assert judge(INCENTIVE, facts(incentives=()), None).reasons[0] == "no_incentive_recorded"


# headline


def findings_of(*rules: Rule, pue: str = "1.4") -> list[Finding]:
    return [judge(rule, facts(), window(pue)) for rule in rules]


def test_the_headline_is_the_strictest_binding_rule() -> None:
    looser = dataclasses.replace(IN_FORCE, id="looser", limit=Fraction("1.4"))
    strict = dataclasses.replace(IN_FORCE, id="strict", comparator="<")
    first = headline(findings_of(looser, NEW, IN_FORCE, strict, RETROFIT))
    assert first is not None
    assert (first.rule, first.headline, first.binding) == ("strict", True, True)


@pytest.mark.parametrize(
    ("strict", "loose"),
    [
        ((Kind.LIMIT, "<=", "1.3"), (Kind.LIMIT, "<=", "1.4")),
        ((Kind.LIMIT, "<=", "1.3"), (Kind.LIMIT, "<", "1.4")),
        ((Kind.LIMIT, "<", "1.3"), (Kind.LIMIT, "<=", "1.3")),
        ((Kind.DUTY, ">=", "1.3"), (Kind.DUTY, ">", "1.3")),
    ],
)
def test_a_lower_limit_is_stricter_and_then_a_limit_that_is_itself_too_much(
    strict: tuple[Kind, str, str], loose: tuple[Kind, str, str]
) -> None:
    rules = [
        dataclasses.replace(IN_FORCE, id=name, kind=kind, comparator=comparator, limit=Fraction(limit))
        for name, (kind, comparator, limit) in (("z", strict), ("a", loose))
    ]
    for order in (rules, rules[::-1]):
        first = headline(findings_of(*order))
        assert first is not None
        assert first.rule == "z"


def test_without_a_binding_rule_the_strictest_draft_is_the_headline() -> None:
    expired = dataclasses.replace(NEW, id="expired", status=Status.TARGET_EXPIRED, limit=Fraction("1.2"))
    first = headline(findings_of(RETROFIT, GRADE, expired, NEW))
    assert first is not None
    assert (first.rule, first.headline, first.binding) == ("new_build_pue_max", True, False)


NATIONAL = load_profile("cn-national")


@pytest.mark.parametrize(
    ("build", "rule", "outcome"),
    [("existing", "retrofit_pue_over", Outcome.COMPLIANT), ("new", "new_build_pue_max", Outcome.NON_COMPLIANT)],
)
def test_the_national_list_one_may_join_never_takes_the_headline_from_the_draft(
    build: str, rule: str, outcome: Outcome
) -> None:
    """Both profiles loaded: at 1.40 an existing site is over the list's 1.30 and owes the draft nothing."""
    known = facts(build=build, standard_racks=6_000)
    found = [judge(one, known, window("1.4")) for one in (*NATIONAL.rules, *YUNNAN.rules)]
    listed = next(one for one in found if one.rule == "green_list_2025")
    assert (listed.outcome, listed.binding) == (Outcome.NON_COMPLIANT, False)
    for order in (found, found[::-1]):
        first = headline(order)
        assert first is not None
        assert (first.rule, first.outcome) == (rule, outcome)


def test_a_voluntary_rule_comes_after_rules_on_facts_and_before_expired_targets() -> None:
    voluntary = dataclasses.replace(NEW, id="voluntary", strength="voluntary", limit=Fraction("1.2"))
    expired = dataclasses.replace(NEW, id="expired", status=Status.TARGET_EXPIRED, limit=Fraction("1.1"))
    order = []
    left = findings_of(expired, voluntary, SITING)
    while (first := headline(left)) is not None:
        order.append(first.rule)
        left = [one for one in left if one.rule != first.rule]
    assert order == ["hub_siting", "voluntary", "expired"]


def test_rules_that_do_not_apply_are_no_headline() -> None:
    assert headline([]) is None
    assert headline([judge(NEW, facts(region="110100"), None)]) is None
    only = headline([judge(NEW, facts(region="110100"), None), judge(SITING, facts(), None)])
    assert only is not None
    assert only.rule == "hub_siting"


# reasons


def test_every_reason_has_a_chinese_and_an_english_text() -> None:
    assert set(REASONS) == {str(reason) for reason in Reason}
    assert all(text.zh and text.en for text in REASONS.values())
    assert len({text.zh for text in REASONS.values()}) == len(REASONS)
    assert reason_text("coverage_below_gate").zh == "数据覆盖率低于要求"


def test_a_reason_can_name_the_meter() -> None:
    text = reason_text("required_meter_missing:ups-b")
    assert (text.zh, text.en) == ("必备电表有缺失的电能：ups-b", "energy of a required meter is missing: ups-b")


def test_an_unknown_reason_is_shown_as_it_is() -> None:
    text = reason_text("from_a_later_version")
    assert (text.zh, text.en) == ("from_a_later_version", "from_a_later_version")
