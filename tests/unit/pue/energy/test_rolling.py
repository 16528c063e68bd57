"""Windows: ratios of sums, and what is said about them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pue.contract.errors import Fatal
from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.facility import facility_curve
from pue.energy.rolling import (
    BLOCK,
    bounds_between,
    counted_between,
    group_result,
    rolling_pue,
    window_result,
)
from tests.unit.pue.meters import KWH, facility, int64, key, kwh_slots, made_slots, term

TERMS = (term("main", 1, u_rel=0.003, step_j=1), term("it", b=1, u_rel=0.004, step_j=1))
CURVE = facility({"main": [120, 600], "it": [80, 500]}, *TERMS)


def test_pue_is_the_ratio_of_sums_and_not_the_mean_of_ratios() -> None:
    """(120, 80) and (600, 500) are 720/580 = 1.24138, not 1.35."""
    result = window_result(CURVE, 0, 2 * SLOT_MS)
    assert result.pue == Fraction(720, 580)
    assert round(float(result.pue), 5) == 1.24138
    assert (result.total_j, result.it_j) == (720 * KWH, 580 * KWH)


def test_the_curves_of_both_energies_are_cumulative() -> None:
    assert CURVE.total_j.tolist() == [0, 120 * KWH, 720 * KWH]
    assert CURVE.it_j.tolist() == [0, 80 * KWH, 580 * KWH]


def test_uncertainty_of_one_meter_on_each_side_adds_in_squares() -> None:
    result = window_result(CURVE, 0, 2 * SLOT_MS)
    assert result.u_pue == pytest.approx(float(Fraction(720, 580)) * 0.005, rel=1e-6)


def test_two_terms_of_one_meter_share_its_error() -> None:
    terms = (term("main", 1, u_rel=0.003, to_ms=SLOT_MS), term("main", 1, u_rel=0.003, from_ms=SLOT_MS), TERMS[1])
    both = window_result(facility({"main": [120, 600], "it": [80, 500]}, *terms), 0, 2 * SLOT_MS)
    one = window_result(CURVE, 0, 2 * SLOT_MS)
    assert both.u_pue == pytest.approx(one.u_pue, rel=1e-9)


def test_a_term_that_is_not_valid_in_the_window_adds_no_uncertainty() -> None:
    ended = term("old", b=1, u_rel=0.5, step_j=10**9, to_ms=SLOT_MS)
    slots = {key("main"): kwh_slots(120, 600), key("it"): kwh_slots(80, 500), key("old"): kwh_slots(1, 0)}
    curve = facility_curve(slots, [*TERMS, ended], 0, 2 * SLOT_MS)
    assert window_result(curve, SLOT_MS, 2 * SLOT_MS).u_pue == window_result(CURVE, SLOT_MS, 2 * SLOT_MS).u_pue


def test_register_steps_add_to_the_uncertainty_of_a_window() -> None:
    # only the step of 1 kWh of the facility's meter, over 100 kWh of IT energy
    terms = (term("main", 1, step_j=KWH), term("it", b=1, step_j=0))
    result = window_result(facility({"main": [120], "it": [100]}, *terms), 0, SLOT_MS)
    assert result.u_pue == pytest.approx(1 / 100 / 6**0.5)


def test_a_meter_is_covered_over_all_its_terms() -> None:
    terms = (term("main", 1, to_ms=2 * SLOT_MS), term("main", 1, from_ms=2 * SLOT_MS), TERMS[1])
    result = window_result(facility({"main": [120], "it": [80, 80, 80]}, *terms), 0, 3 * SLOT_MS)
    assert result.coverage_by_meter == {"main": Fraction(1, 3), "it": 1}


def test_one_joule_of_it_energy_has_a_pue() -> None:
    slots = made_slots(1, 0)
    result = window_result(facility_curve({key("main"): slots, key("it"): slots}, TERMS, 0, SLOT_MS), 0, SLOT_MS)
    assert (result.total_j, result.it_j) == (1, 1)
    assert result.pue == result.pue_lower == result.pue_upper == 1
    assert not result.reasons
    group = group_result([result, replace(result, total_j=0, it_j=0, u_pue=None, quality_share={})])
    assert group.pue == 1
    assert group.u_pue == result.u_pue
    assert group.quality_share == {"measured": 1}
    assert group_result([result, replace(result, u_pue=None)]).u_pue is None


def test_no_it_energy_is_no_pue_and_never_zero() -> None:
    result = window_result(facility({"main": [120], "it": [0]}, *TERMS), 0, SLOT_MS)
    assert (result.pue, result.u_pue, result.pue_lower, result.pue_upper) == (None, None, None, None)
    assert result.reasons == ("no_it_energy",)


def test_an_empty_window_has_nothing() -> None:
    result = window_result(CURVE, SLOT_MS, SLOT_MS)
    assert (result.total_j, result.total_upper_j, result.coverage, result.pue) == (0, 0, Fraction(0), None)


def test_a_window_that_the_curve_does_not_hold_is_refused() -> None:
    for span in ((0, 3 * SLOT_MS), (-SLOT_MS, SLOT_MS), (0, 5)):
        with pytest.raises(Fatal, match="is no edge of the curve"):
            window_result(CURVE, *span)
    with pytest.raises(Fatal, match="ends before it starts"):
        window_result(CURVE, SLOT_MS, 0)


def test_many_windows_are_counted_and_bounded_as_each_alone() -> None:
    curve = facility({"main": [120, 600], "it": [80]}, *TERMS)
    first, last = int64(0, 0, 1), int64(1, 2, 2)
    counted = counted_between(curve, first, last)
    total, it = bounds_between(curve, first, last)
    for place, (start, end) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        alone = window_result(curve, start * SLOT_MS, end * SLOT_MS)
        assert (alone.total_j, alone.it_j) == (counted.total_j[place], counted.it_j[place])
        assert alone.coverage == 1 - Fraction(int(counted.gap_ms[place]), (end - start) * SLOT_MS)
        assert (alone.total_lower_j, alone.total_upper_j) == (total.lower_j[place], total.upper_j[place])
        assert (alone.it_lower_j, alone.it_upper_j) == (it.lower_j[place], it.upper_j[place])
    assert counted.it_j.tolist() == [80 * KWH, 80 * KWH, 0]
    assert it.upper_j.tolist() == [80 * KWH, 1080 * KWH, 1000 * KWH]


# Reasons


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        pytest.param({}, (), id="none"),
        pytest.param({"is_class_known": False}, ("accuracy_class_unknown:it",), id="class"),
        pytest.param({"is_calibration_known": False}, ("calibration_unknown:it",), id="no certificate"),
        pytest.param({"calibrated_to_ms": SLOT_MS - 1}, ("calibration_expired:it",), id="expired in the window"),
        pytest.param({"calibrated_to_ms": SLOT_MS}, (), id="expires when the window ends"),
        pytest.param(
            {"is_class_known": False, "is_calibration_known": False},
            ("accuracy_class_unknown:it", "calibration_unknown:it"),
            id="neither",
        ),
    ],
)
def test_what_nobody_knows_of_a_meter_is_a_reason(changes: dict[str, object], reasons: tuple[str, ...]) -> None:
    terms = TERMS[0], replace(TERMS[1], **changes)  # type: ignore[arg-type]  # fields a test chooses
    assert window_result(facility({"main": [120], "it": [80]}, *terms), 0, SLOT_MS).reasons == reasons


def test_what_nobody_knows_of_a_meter_that_counts_for_nothing_is_no_reason() -> None:
    spare = term("spare", is_class_known=False, is_calibration_known=False, calibrated_to_ms=0, required=False)
    slots = {"main": [120], "it": [80], "spare": [5000]}
    assert window_result(facility(slots, *TERMS, spare), 0, SLOT_MS).reasons == ()


def test_a_certificate_must_hold_as_long_as_the_meter_counts_in_the_window() -> None:
    """It expires after the first slot, with which the meter's weight ends."""
    ended = replace(TERMS[1], to_ms=SLOT_MS, calibrated_to_ms=SLOT_MS)
    curve = facility({"main": [120, 120], "it": [80, 80]}, TERMS[0], ended, term("it-2", b=1, from_ms=SLOT_MS))
    assert "calibration_expired:it" not in window_result(curve, 0, 2 * SLOT_MS).reasons


def test_a_meter_that_is_not_valid_in_a_window_gives_it_no_reason() -> None:
    ended = replace(TERMS[1], to_ms=SLOT_MS, is_class_known=False)
    curve = facility({"main": [120, 120], "it": [80, 80]}, TERMS[0], ended, replace(TERMS[1], from_ms=SLOT_MS))
    assert window_result(curve, 0, 2 * SLOT_MS).reasons == ("accuracy_class_unknown:it",)
    assert window_result(curve, SLOT_MS, 2 * SLOT_MS).reasons == ()


def test_a_clock_that_nobody_set_is_a_reason_where_its_readings_count() -> None:
    skewed = made_slots(80 * KWH, 80 * KWH, 0, flags=[int(Flag.SKEW), 0, 0])
    curve = facility_curve({key("main"): kwh_slots(120, 120), key("it"): skewed}, TERMS, 0, 2 * SLOT_MS)
    assert window_result(curve, 0, 2 * SLOT_MS).reasons == ("clock_unsynchronised:it",)
    assert window_result(curve, SLOT_MS, 2 * SLOT_MS).reasons == ()
    idle = facility_curve({key("it"): skewed}, [replace(TERMS[1], b=Fraction(0))], 0, SLOT_MS)
    assert window_result(idle, 0, SLOT_MS).reasons == ("no_it_energy",)


def test_a_limit_that_the_readings_refute_is_a_reason() -> None:
    """80 kWh in a slot are 320 kW."""
    limited = TERMS[0], replace(TERMS[1], max_power_w=319_999)
    curve = facility({"main": [120, 120], "it": [80, 10]}, *limited)
    assert window_result(curve, 0, SLOT_MS).reasons == ("limit_refuted:it",)
    assert window_result(curve, 0, 2 * SLOT_MS).reasons == ()
    exact = facility({"main": [120], "it": [80]}, TERMS[0], replace(TERMS[1], max_power_w=320_000))
    assert window_result(exact, 0, SLOT_MS).reasons == ()


# Uncertainty where nothing was counted


def test_without_counted_energy_the_uncertainty_is_that_of_the_middle_of_all_bounds() -> None:
    """The IT meter is missing, from 0 to 200 kWh of 800 kW: 1.2 with 100, from each class 0.3 % and 0.4 %."""
    terms = TERMS[0], replace(TERMS[1], max_power_w=800_000)
    result = window_result(facility({"main": [120]}, *terms), 0, SLOT_MS)
    assert result.u_pue == pytest.approx(1.2 * 0.005)


def test_without_an_upper_bound_it_is_that_of_the_least() -> None:
    """80 kWh of the IT meter are known, and more that is not."""
    more = made_slots(80 * KWH, 0, unknown_j=[MAX_ENERGY_J, 0])
    terms = TERMS[0], replace(TERMS[1], max_power_w=0)
    curve = facility_curve({key("main"): kwh_slots(120), key("it"): more}, terms, 0, SLOT_MS)
    result = window_result(curve, 0, SLOT_MS)
    assert result.it_j == 0
    assert result.u_pue == pytest.approx(1.5 * 0.005)


def test_every_mark_is_named_with_its_share_of_energy() -> None:
    slots = kwh_slots(100, 300)
    marked = replace(slots, flags=int64(Flag.ROLLOVER | 1 << 30, 0, 0))
    curve = facility_curve({key("main"): marked, key("it"): kwh_slots(50, 150)}, TERMS, 0, 2 * SLOT_MS)
    result = window_result(curve, 0, 2 * SLOT_MS)
    assert result.quality_share == {"measured": Fraction(3, 4), "rollover": Fraction(1, 4), "bit_30": Fraction(1, 4)}
    assert result.flags == Flag.ROLLOVER | 1 << 30


# Groups


def test_a_groups_pue_is_sum_over_sum() -> None:
    small = window_result(facility({"main": [120], "it": [80]}, *TERMS), 0, SLOT_MS)
    large = window_result(facility({"main": [600], "it": [500]}, *TERMS), 0, SLOT_MS)
    group = group_result([small, large])
    assert group.pue == Fraction(720, 580)
    assert group.pue_lower == group.pue_upper == group.pue
    assert group.coverage == 1
    assert group.quality_share == {"measured": 1}
    assert small.u_pue is not None
    assert large.u_pue is not None
    expected = ((small.u_pue * 80 / 580) ** 2 + (large.u_pue * 500 / 580) ** 2) ** 0.5
    assert group.u_pue == pytest.approx(expected)


def test_a_group_has_the_span_sums_bounds_and_flags_of_all() -> None:
    first = replace(
        window_result(CURVE, SLOT_MS, 2 * SLOT_MS),
        total_j=20,
        it_j=10,
        total_lower_j=7,
        total_upper_j=30,
        it_lower_j=3,
        it_upper_j=11,
        flags=int(Flag.ROLLOVER),
        reasons=("one", "both"),
    )
    group = group_result([first, replace(first, flags=int(Flag.BALANCE), reasons=("both", "two"))])
    assert (group.from_ms, group.to_ms) == (SLOT_MS, 2 * SLOT_MS)
    assert (group.total_j, group.total_lower_j, group.total_upper_j) == (40, 14, 60)
    assert (group.it_j, group.it_lower_j, group.it_upper_j) == (20, 6, 22)
    assert (group.pue_lower, group.pue, group.pue_upper) == (Fraction(14, 22), Fraction(2), Fraction(10))
    assert group.flags == Flag.ROLLOVER | Flag.BALANCE
    assert group.reasons == ("one", "both", "two")


def test_a_member_that_is_known_exactly_adds_no_uncertainty_to_its_group() -> None:
    good = window_result(facility({"main": [120], "it": [80]}, *TERMS), 0, SLOT_MS)
    assert good.u_pue is not None
    assert group_result([good, replace(good, u_pue=0.0)]).u_pue == pytest.approx(good.u_pue / 2)


def test_a_facility_without_data_counts_against_its_groups_coverage() -> None:
    good = window_result(facility({"main": [120], "it": [80]}, *TERMS), 0, SLOT_MS)
    blind = window_result(facility_curve({}, [replace(row, max_power_w=0) for row in TERMS], 0, SLOT_MS), 0, SLOT_MS)
    group = group_result([good, blind])
    assert (group.pue, group.coverage) == (Fraction(3, 2), Fraction(1, 2))
    assert (group.total_upper_j, group.pue_upper, group.pue_lower) == (MAX_ENERGY_J, None, Fraction(0))
    assert group.reasons[0] == "required_meter_missing:main"
    assert group.u_pue == good.u_pue
    only = group_result([blind])
    assert (only.pue, only.u_pue, only.coverage) == (None, None, Fraction(0))
    assert not only.quality_share


def test_shares_of_members_without_facility_energy_weigh_alike() -> None:
    lone = replace(window_result(facility({"main": [120], "it": [80]}, *TERMS), 0, SLOT_MS), total_j=0)
    assert group_result([lone, replace(lone, quality_share={})]).quality_share == {"measured": Fraction(1, 2)}


def test_a_group_with_a_member_of_unknown_uncertainty_has_none() -> None:
    good = window_result(facility({"main": [120], "it": [80]}, *TERMS), 0, SLOT_MS)
    assert group_result([good, replace(good, u_pue=None)]).u_pue is None


def test_a_group_of_nothing_or_of_different_windows_is_refused() -> None:
    first, second = window_result(CURVE, 0, SLOT_MS), window_result(CURVE, SLOT_MS, 2 * SLOT_MS)
    for results in ([], [first, second]):
        with pytest.raises(Fatal, match="one span"):
            group_result(results)


# Series


def test_rolling_pue_has_a_value_per_window_and_nan_without_it_energy() -> None:
    total, it = int64(0, 12, 72, 90, 95), int64(0, 10, 60, 60, 58)
    assert rolling_pue(total, it, 1)[:2].tolist() == [1.2, 1.2]
    assert np.isnan(rolling_pue(total, it, 1)[2:]).all()
    assert rolling_pue(total, it, 4).tolist() == [95 / 58]
    assert rolling_pue(int64(0, 3, 3), int64(0, 1, 1), 1)[0] == 3


def test_rolling_pue_writes_where_it_is_told_and_over_blocks() -> None:
    edges = 2 * BLOCK + 5
    total, it = np.arange(edges, dtype=np.int64) * 3, np.arange(edges, dtype=np.int64) * 2
    out = np.zeros(edges - 7)
    assert rolling_pue(total, it, 7, out) is out
    assert set(out.tolist()) == {1.5}


def test_rolling_pue_takes_many_facilities_at_once() -> None:
    total, it = np.array([[0, 3, 6], [0, 5, 6]], np.int64), np.array([[0, 2, 4], [0, 4, 4]], np.int64)
    assert rolling_pue(total, it, 2).tolist() == [[1.5], [1.5]]
    out = np.zeros((2, 2))
    rolling_pue(total, it, 1, out)
    assert out[:, 0].tolist() == [1.5, 1.25]
    assert np.isnan(out[1, 1])


def test_a_window_longer_than_the_curve_is_an_empty_series() -> None:
    assert rolling_pue(int64(0, 1), int64(0, 1), 2).shape == (0,)
    assert rolling_pue(int64(), int64(), 1).shape == (0,)


def test_rolling_pue_refuses_what_does_not_fit() -> None:
    two, three = int64(0, 1), int64(0, 1, 2)
    with pytest.raises(Fatal, match="at least 1"):
        rolling_pue(three, three, 0)
    with pytest.raises(Fatal, match="equal shapes"):
        rolling_pue(three, two, 1)
    with pytest.raises(Fatal, match="equal shapes"):
        rolling_pue(three, three, 1, np.zeros(3))


def test_floats_are_refused_where_whole_joules_are_meant() -> None:
    for wrong in (np.array([0.0, np.nan, np.inf]), np.array([0, 1, 2], np.int32)):
        with pytest.raises(Fatal, match="int64"):
            rolling_pue(wrong, int64(0, 1, 2), 1)  # type: ignore[arg-type]  # the mistake


def test_sums_near_the_range_and_beyond_a_floats_whole_numbers_keep_their_ratio() -> None:
    top = MAX_ENERGY_J - 1
    assert rolling_pue(int64(0, top), int64(0, top), 1).tolist() == [1.0]
    assert rolling_pue(int64(0, 2**53 + 2), int64(0, 2**52 + 1), 1).tolist() == [2.0]
