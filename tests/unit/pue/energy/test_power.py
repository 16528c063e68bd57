"""Power integrated over time, and what an integral leaves open, by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pue.contract.quality import Flag, Quality
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.power import power_slots
from pue.energy.slots import Slots
from tests.unit.pue.meters import MINUTE_MS, asked, samples, version


def flags(slots: Slots) -> list[int]:
    return [int(mark) for mark in slots.flags]


def test_power_is_integrated_by_trapezoids_and_marked_so() -> None:
    readings = samples((0, 1000), (SLOT_MS // 2, 2000), (SLOT_MS, 2000))
    slots = power_slots(readings, [version(1, 5000)])
    assert slots.energy_j.tolist() == [1500 * 450 + 2000 * 450, 0]
    assert flags(slots)[0] == Flag.INTEGRATED
    assert (slots.gap_ms[0], slots.unknown_j[0]) == (0, 0)


def test_power_is_never_bridged_over_more_than_a_slot() -> None:
    readings = samples((0, 1000), (2 * SLOT_MS, 1000), (3 * SLOT_MS, 1000))
    slots = power_slots(readings, [version(1, 5000)], max_gap_ms=10 * SLOT_MS)
    assert slots.energy_j.tolist() == [0, 0, 900_000, 0]
    assert slots.unknown_j[:3].tolist() == [4_500_000, 4_500_000, 0]
    assert flags(slots)[:3] == [Flag.MISSING, Flag.MISSING, Flag.INTEGRATED]


def test_negative_power_is_unknown_energy_and_power_beyond_the_limit_a_spike() -> None:
    readings = samples((0, 10), (SLOT_MS, -5), (SLOT_MS + MINUTE_MS, 10), (SLOT_MS + 2 * MINUTE_MS, 9999))
    slots = power_slots(readings, [version(1, 1000)])
    assert flags(slots)[0] == Flag.NEGATIVE | Flag.MISSING
    assert flags(slots)[1] & Flag.SPIKE
    assert slots.energy_j.tolist() == [0, 0]


def test_power_in_tiny_steps_or_long_counts_is_exact() -> None:
    fine = power_slots(samples((0, 10**15), (SLOT_MS, 10**15 + 1)), [version(Fraction(1, 10**12), 5000)])
    assert fine.energy_j.tolist() == [900_000, 0]


def test_power_across_two_versions_is_unknown() -> None:
    rows = [version(1, to_ms=SLOT_MS), version(2, from_ms=SLOT_MS)]
    slots = power_slots(samples((0, 100), (SLOT_MS - 1000, 100), (SLOT_MS, 50), (2 * SLOT_MS, 50)), rows)
    assert slots.energy_j.tolist() == [89_900, 90_000, 0]
    assert slots.unknown_j[0] == 1000


def test_no_power_is_power() -> None:
    slots = power_slots(samples((0, 0), (MINUTE_MS, 0), (2 * MINUTE_MS, 60)), [version()])
    assert (slots.energy_j.tolist(), flags(slots)) == ([1800], [Flag.INTEGRATED])


def test_integrated_power_is_exact_where_a_float_is_not() -> None:
    """A mean of 3 * 10**13 + 0.5 W over 900 s."""
    watts = 3 * 10**13
    slots = power_slots(samples((0, watts), (SLOT_MS, watts + 1)), [version(1, 2 * watts)])
    assert slots.energy_j.tolist() == [27_000_000_000_000_450, 0]


@pytest.mark.parametrize(
    ("readings", "energy_j"),
    [
        pytest.param([(0, 60), (MINUTE_MS, 90), (MINUTE_MS, 60), (2 * MINUTE_MS, 60)], 9000, id="two of one time"),
        pytest.param([(0, 60), (2 * MINUTE_MS, 60), (MINUTE_MS, 90)], 9000, id="out of order"),
    ],
)
def test_power_readings_come_in_any_order(readings: list[tuple[int, int]], energy_j: int) -> None:
    """A mean of 75 W for two minutes."""
    assert power_slots(samples(*readings), [version()]).energy_j.tolist() == [energy_j]


def test_no_power_readings_are_no_slots() -> None:
    assert len(power_slots(samples(), [version()])) == 0


def test_a_reading_of_power_by_hand_marks_the_energy_beside_it() -> None:
    readings = samples((0, 60), (MINUTE_MS, 60), quality=[int(Quality.OUT_OF_BAND), 0])
    assert flags(power_slots(readings, [version()])) == [Flag.INTEGRATED | Flag.MANUAL]


def test_power_that_is_not_integrated_is_unknown_up_to_the_larger_limit_of_both_sides() -> None:
    """1 s between versions of 1 kW and 3 kW; after the last reading 3 kW for a whole slot, before the first nothing."""
    rows = [version(1, 1000, to_ms=SLOT_MS), version(2, 3000, from_ms=SLOT_MS)]
    slots = power_slots(samples((0, 100), (SLOT_MS - 1000, 100), (SLOT_MS, 50), (2 * SLOT_MS, 50)), rows)
    assert slots.unknown_j.tolist() == [3000, 0, 2_700_000]


def test_unknown_time_before_the_first_reading_has_the_limit_of_its_version() -> None:
    slots = power_slots(samples((MINUTE_MS, 10), (SLOT_MS, 10)), [version(1, 1000)])
    assert slots.unknown_j.tolist() == [60_000, 900_000]


@pytest.mark.parametrize(
    ("max_gap_ms", "energy_j"),
    [pytest.param(MINUTE_MS, 6000, id="a minute is bridged"), pytest.param(MINUTE_MS - 1, 0, id="and no more")],
)
def test_no_longer_time_is_integrated_than_is_covered(max_gap_ms: int, energy_j: int) -> None:
    slots = power_slots(samples((0, 100), (MINUTE_MS, 100)), [version()], max_gap_ms=max_gap_ms)
    assert slots.energy_j.tolist() == [energy_j]


# What an integral leaves open


def test_between_two_readings_a_load_can_do_anything_its_meter_carries() -> None:
    """1 kW was read every minute of a slot, of a meter of 5 kW: 900 kJ, or nothing, or 4.5 MJ."""
    readings = [(place * MINUTE_MS, 1000) for place in range(16)]
    slots = power_slots(samples(*readings), [version(1, 5000)])
    assert slots.energy_j.tolist() == [900_000, 0]
    assert slots.under_j.tolist() == [900_000, 0]
    assert slots.over_j.tolist() == [3_600_000, 0]
    assert slots.below_j.tolist() == slots.above_j.tolist() == [0, 0]


def test_only_integrated_time_is_open_as_the_other_is_unknown() -> None:
    """Readings at 10, 11 and 20 min, of which more than 5 are not bridged: a minute of 5 kW less 60 kJ.

    Unknown are 10 and 4 min of 5 kW, then 5 and 10.
    """
    slots = power_slots(
        samples(*((minute * MINUTE_MS, 1000) for minute in (10, 11, 20))), [version(1, 5000)], max_gap_ms=5 * MINUTE_MS
    )
    assert (slots.under_j.tolist(), slots.over_j.tolist()) == ([60_000, 0], [240_000, 0])
    assert slots.unknown_j.tolist() == [3_000_000 + 1_200_000, 1_500_000 + 3_000_000]


def test_an_interval_across_an_edge_leaves_each_slot_its_part_open() -> None:
    """From 14 to 16 min: a minute on either side."""
    slots = power_slots(samples((14 * MINUTE_MS, 1000), (16 * MINUTE_MS, 1000)), [version(1, 5000)])
    assert (slots.under_j.tolist(), slots.over_j.tolist()) == ([60_000, 60_000], [240_000, 240_000])


def test_a_declared_fastest_change_holds_a_load_near_its_readings() -> None:
    """1 kW every 10 s, changing by 20 W a second at most: a triangle of 20 x 10 x 10 / 4 = 500 J each, and a step.

    A step of 1 W hides 10 J in 10 s. 90 intervals in the slot: 45,900 J.
    """
    readings = [(place * 10_000, 1000) for place in range(91)]
    slots = power_slots(samples(*readings), [version(1, 5000, max_ramp_w_per_s=20)])
    assert slots.under_j.tolist() == slots.over_j.tolist() == [45_900, 0]


def test_the_time_of_request_and_reply_widens_what_a_fastest_change_leaves_open() -> None:
    """10 s apart, each answered 5 s after its request: 20 x 10 x (10 + 4 x 5) / 4 = 1500 J, and 10 for the step."""
    readings = (0, 5000, 1000), (10_000, 15_000, 1000)
    slots = power_slots(asked(*readings), [version(1, 5000, max_ramp_w_per_s=20)])
    assert (slots.under_j.tolist(), slots.over_j.tolist()) == ([1510], [1510])


def test_each_part_of_what_is_left_open_is_rounded_up_by_itself() -> None:
    """1001 ms: 20 x 1.001 x 1.001 / 4 = 5.01 J are 6, and 1.001 J for the step are 2."""
    slots = power_slots(samples((0, 1000), (1001, 1000)), [version(1, 5000, max_ramp_w_per_s=20)])
    assert (slots.under_j.tolist(), slots.over_j.tolist()) == ([8], [8])


def test_a_second_s_worth_of_refutations_adds_up_to_no_more_than_there_is() -> None:
    """900 readings a second apart, each refuting 1 W/s: nothing is near, and 1 MW bounds the slot."""
    readings = [(second * 1000, 400_000 + 200_000 * (second % 2)) for second in range(901)]
    slots = power_slots(samples(*readings), [version(1, 10**6, max_ramp_w_per_s=1)])
    assert (slots.under_j.tolist()[0], slots.over_j.tolist()[0]) == (450_000_000, 450_000_000)


@pytest.mark.parametrize("ramp", [10**7, 2 * 10**7, 10**9])
def test_no_fastest_change_is_too_fast_to_count_with(ramp: int) -> None:
    """15 minutes apart even 10 MW/s leave all open that 1 MW can carry: 900 MJ, of which 90 are counted."""
    slots = power_slots(samples((0, 100_000), (SLOT_MS, 100_000)), [version(1, 10**6, max_ramp_w_per_s=ramp)])
    assert (slots.under_j.tolist(), slots.over_j.tolist()) == ([90_000_000, 0], [810_000_000, 0])


def test_a_change_between_two_readings_leaves_the_line_between_them_open_too() -> None:
    """200 W in 10 s, the most there can be: 500 J, 200 x 10 / 8 = 250 for the line, 10 for the step."""
    slots = power_slots(samples((0, 1000), (10_000, 1200)), [version(1, 5000, max_ramp_w_per_s=20)])
    assert (slots.under_j.tolist(), slots.over_j.tolist()) == ([760], [760])


@pytest.mark.parametrize(
    ("power_w", "over_j"),
    [
        pytest.param(1201, 500 + 252 + 10, id="a step more than it can change"),
        pytest.param(1202, 50_000 - 11_010, id="two steps more"),
    ],
)
def test_readings_that_refute_the_fastest_change_leave_all_open_that_the_meter_carries(
    power_w: int, over_j: int
) -> None:
    """201 x 10 / 8 = 251.25, rounded up; or 5 kW x 10 s less a mean of 1101 W."""
    slots = power_slots(samples((0, 1000), (10_000, power_w)), [version(1, 5000, max_ramp_w_per_s=20)])
    assert slots.over_j.tolist() == [over_j]


@pytest.mark.parametrize(("change_w", "is_near"), [(401, True), (402, False)])
def test_readings_may_differ_by_what_changes_from_request_to_reply_and_a_step(change_w: int, is_near: bool) -> None:
    """10 s apart and 5 s under way each: 20 W/s for 20 s, and 1 W."""
    readings = (0, 5000, 1000), (10_000, 15_000, 1000 + change_w)
    slots = power_slots(asked(*readings), [version(1, 50_000, max_ramp_w_per_s=20)])
    assert (int(slots.over_j[0]) < 10_000) == is_near


def test_an_interval_across_an_edge_is_near_its_readings_in_both_slots() -> None:
    readings = samples((SLOT_MS - 5000, 1000), (SLOT_MS + 5000, 1000), (SLOT_MS + 15_000, 1000))
    slots = power_slots(readings, [version(1, 5000, max_ramp_w_per_s=20)])
    assert slots.under_j.tolist() == [510, 1020]


def test_a_load_near_its_readings_is_never_nearer_to_nothing_than_nothing() -> None:
    slots = power_slots(samples((0, 1), (10_000, 1)), [version(1, 5000, max_ramp_w_per_s=20)])
    assert (slots.under_j.tolist(), slots.over_j.tolist()) == ([10], [510])


def test_each_version_has_its_own_fastest_change() -> None:
    """20 W/s in steps of 1 W: 510 J. 40 W/s in steps of 2 W: 40 x 100 / 4 + 20 = 1020 J."""
    rows = [
        version(1, 5000, to_ms=SLOT_MS, max_ramp_w_per_s=20),
        version(2, 5000, from_ms=SLOT_MS, max_ramp_w_per_s=40),
    ]
    readings = [(SLOT_MS - 20_000, 1000), (SLOT_MS - 10_000, 1000), (SLOT_MS, 500), (SLOT_MS + 10_000, 500)]
    assert power_slots(samples(*readings), rows).under_j.tolist() == [510, 1020]


def test_a_version_without_a_fastest_change_leaves_all_versions_without() -> None:
    rows = [version(1, 5000, to_ms=SLOT_MS, max_ramp_w_per_s=20), version(1, 5000, from_ms=SLOT_MS)]
    readings = samples((0, 1000), (10_000, 1000), (SLOT_MS, 1000), (SLOT_MS + 10_000, 1000))
    assert power_slots(readings, rows).under_j.tolist() == [10_000, 10_000]


def test_power_beyond_all_range_is_integrated_exactly() -> None:
    """2**58 W for 2 s, as half of counts of 2 W."""
    count = 2**57
    slots = power_slots(samples((0, count), (1000, count), (2000, count)), [version(2, 2**59)])
    assert slots.energy_j.tolist() == [2**59]
    assert slots.unknown_j.tolist() == [MAX_ENERGY_J]
    assert slots.over_j.tolist() == [2**60 - 2**59]
