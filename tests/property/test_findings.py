"""What holds for every finding."""

from __future__ import annotations

import dataclasses
from datetime import date
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pue.energy.rolling import WindowResult
from pue.judgement.findings import Facts, Outcome, judge, show_pue
from pue.judgement.policy import Rule, load_profile

YEAR_MS = 365 * 86_400_000
YUNNAN = load_profile("yunnan-2022-draft")
RULES = st.sampled_from(
    [
        dataclasses.replace(rule, comparator=comparator, decision=decision)
        for rule, comparators in (
            (YUNNAN.rule("new_build_pue_max"), ("<=", "<")),
            (YUNNAN.rule("retrofit_pue_over"), (">", ">=")),
        )
        for comparator in comparators
        for decision in ("simple", "guarded")
    ]
)
FACTS = Facts(facility="f", on=date(2026, 1, 1), region="530100", stage="existing", build="new", standard_racks=3_000)
MICRO = st.integers(1_000_000, 2_000_000).map(lambda n: Fraction(n, 1_000_000))
NEAR = st.integers(-30, 30).map(lambda n: Fraction(13, 10) + Fraction(n, 10_000))
RATIOS = st.one_of(MICRO, NEAR, st.fractions(1, 2, max_denominator=10**9))
SPREADS = st.fractions(0, Fraction(1, 20), max_denominator=10**6)
UNCERTAINTIES = st.one_of(st.none(), st.floats(0, 0.05))
DECIDED = (Outcome.COMPLIANT, Outcome.NON_COMPLIANT)


def window(pue: Fraction, below: Fraction, above: Fraction, u: float | None, coverage: Fraction) -> WindowResult:
    it_j = 10**15
    total_j = int(pue * it_j)
    return WindowResult(
        from_ms=0,
        to_ms=YEAR_MS,
        total_j=total_j,
        it_j=it_j,
        total_lower_j=total_j,
        total_upper_j=total_j,
        it_lower_j=it_j,
        it_upper_j=it_j,
        coverage=coverage,
        flags=0,
        quality_share={},
        u_pue=u,
        pue=pue,
        pue_lower=pue - below,
        pue_upper=pue + above,
        reasons=(),
    )


def outcome(rule: Rule, pue: Fraction, below: Fraction, above: Fraction, u: float | None) -> Outcome:
    return judge(rule, FACTS, window(pue, below, above, u, Fraction(1))).outcome


@given(RULES, RATIOS, SPREADS, SPREADS, SPREADS, UNCERTAINTIES)
def test_wider_bounds_never_decide_anything_new(
    rule: Rule, pue: Fraction, below: Fraction, above: Fraction, more: Fraction, u: float | None
) -> None:
    wide = outcome(rule, pue, below + more, above + more, u)
    assert wide is Outcome.INDETERMINATE or wide is outcome(rule, pue, below, above, u)


@given(RULES, RATIOS, SPREADS, st.floats(0, 0.05), st.floats(0, 0.05))
def test_a_larger_uncertainty_never_decides_anything_new(
    rule: Rule, pue: Fraction, spread: Fraction, u: float, more: float
) -> None:
    wide = outcome(rule, pue, spread, spread, u + more)
    assert wide is Outcome.INDETERMINATE or wide is outcome(rule, pue, spread, spread, u)


@given(RULES, RATIOS, SPREADS, SPREADS, UNCERTAINTIES)
def test_the_guarded_decision_never_contradicts_the_simple_one(
    rule: Rule, pue: Fraction, below: Fraction, above: Fraction, u: float | None
) -> None:
    finding = judge(rule, FACTS, window(pue, below, above, u, Fraction(1)))
    assert finding.guarded_outcome in (Outcome.INDETERMINATE, finding.simple_outcome)


@given(RULES, RATIOS, SPREADS, SPREADS, UNCERTAINTIES, st.fractions(0, 1, max_denominator=1_000))
def test_losing_data_never_helps(
    rule: Rule, pue: Fraction, below: Fraction, above: Fraction, u: float | None, coverage: Fraction
) -> None:
    whole = judge(rule, FACTS, window(pue, below, above, u, Fraction(1))).outcome
    poor = judge(rule, FACTS, window(pue, below, above, u, coverage)).outcome
    assert poor in (whole, Outcome.INSUFFICIENT_DATA)
    if whole is Outcome.NON_COMPLIANT:
        assert poor is Outcome.NON_COMPLIANT


@given(RULES, RATIOS, SPREADS, SPREADS, UNCERTAINTIES, st.fractions(0, 1, max_denominator=1_000))
def test_a_broken_balance_hides_no_breach_and_makes_none(
    rule: Rule, pue: Fraction, below: Fraction, above: Fraction, u: float | None, coverage: Fraction
) -> None:
    """The bounds are those that leave the contradicting meters' energy open."""
    sound = window(pue, below, above, u, Fraction(1))
    broken = dataclasses.replace(sound, coverage=coverage, contradictions=("balance_broken:main",))
    is_breach = judge(rule, FACTS, sound).outcome is Outcome.NON_COMPLIANT
    expected = Outcome.NON_COMPLIANT if is_breach else Outcome.INVALID_DATA
    assert judge(rule, FACTS, broken).outcome is expected


@given(RULES, RATIOS, SPREADS, SPREADS, UNCERTAINTIES)
def test_a_class_nobody_registered_never_complies_and_hides_no_breach(
    rule: Rule, pue: Fraction, below: Fraction, above: Fraction, u: float | None
) -> None:
    known = window(pue, below, above, u, Fraction(1))
    unknown = dataclasses.replace(known, reasons=("accuracy_class_unknown:main",))
    finding = judge(rule, FACTS, unknown)
    assert Outcome.COMPLIANT not in (finding.outcome, finding.simple_outcome, finding.guarded_outcome)
    is_breach = judge(rule, FACTS, known).outcome is Outcome.NON_COMPLIANT
    assert (finding.outcome is Outcome.NON_COMPLIANT) is is_breach
    assert "accuracy_class_unknown:main" in finding.reasons


@given(RULES, RATIOS, RATIOS, SPREADS, st.floats(0, 0.05))
def test_a_higher_pue_never_does_better(rule: Rule, one: Fraction, other: Fraction, spread: Fraction, u: float) -> None:
    rank = [Outcome.COMPLIANT, Outcome.INDETERMINATE, Outcome.NON_COMPLIANT]
    low, high = (outcome(rule, pue, spread, spread, u) for pue in sorted((one, other)))
    assert rank.index(low) <= rank.index(high)


@given(RULES, RATIOS, SPREADS, SPREADS, UNCERTAINTIES)
def test_the_text_of_every_figure_is_on_the_figures_side_of_the_limit(
    rule: Rule, pue: Fraction, below: Fraction, above: Fraction, u: float | None
) -> None:
    finding = judge(rule, FACTS, window(pue, below, above, u, Fraction(1)))
    assert finding.limit is not None
    limit = Fraction(finding.limit)
    shown = (finding.pue, finding.pue_lower, finding.pue_upper)
    for value, text in zip((pue, pue - below, pue + above), shown, strict=True):
        assert text is not None
        assert (Fraction(text) > limit) - (Fraction(text) < limit) == (value > limit) - (value < limit)
        assert abs(Fraction(text) - value) <= Fraction(1, 10**6)
    assert Fraction(finding.pue_lower or 0) <= pue - below
    assert Fraction(finding.pue_upper or 9) >= pue + above


@given(RATIOS, st.integers(0, 6))
def test_shown_values_never_touch_a_multiple_of_five_hundredths_they_are_not(pue: Fraction, places: int) -> None:
    text = show_pue(pue, places)
    assert abs(Fraction(text) - pue) <= Fraction(1, 2 * 10**places)
    if (pue * 20).denominator != 1:
        assert (Fraction(text) * 20).denominator != 1
