"""Registers become slots: every defect of a counter, by hand."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from pue.contract.errors import Fatal
from pue.contract.quality import Flag, Quality
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.contract.topology import Meter, MeterVersion, Register, Replacement
from pue.energy.power import power_slots
from pue.energy.registers import register_slots, register_versions
from pue.energy.slots import Samples, Slots
from pue.energy.versions import rounded, scaled
from tests.unit.pue.meters import KWH, MINUTE_MS, asked, int64, samples, version

MILLION = 1_000_000


def flags(slots: Slots) -> list[int]:
    return [int(mark) for mark in slots.flags]


# Plain reading


def test_energy_between_two_edges_is_the_difference_of_their_registers() -> None:
    slots = register_slots(samples((0, 1000), (SLOT_MS, 1250), (2 * SLOT_MS, 1300)), [version(KWH, 10**9)], topology=7)
    assert slots.start_ms.tolist() == [0, SLOT_MS, 2 * SLOT_MS]
    assert slots.energy_j.tolist() == [250 * KWH, 50 * KWH, 0]
    assert slots.gap_ms.tolist() == [0, 0, SLOT_MS]
    assert slots.below_j.tolist() == slots.below_capped_j.tolist() == [0, 0, 0]
    assert flags(slots) == [0, 0, Flag.MISSING]
    assert slots.topology.tolist() == [7, 7, 7]
    assert slots.revision.tolist() == [0, 0, 0]


def test_a_register_holds_up_to_a_step_more_than_it_shows() -> None:
    """At every edge with readings around it, and where the series begins and ends: less before, more after it."""
    slots = register_slots(samples((0, 1000), (SLOT_MS, 1250), (2 * SLOT_MS, 1300)), [version(KWH, 10**9)])
    assert slots.above_j.tolist()[:2] == slots.above_capped_j.tolist()[:2] == [0, KWH]
    assert slots.under_j.tolist() == [KWH, 0, 0]
    assert slots.over_j.tolist() == [0, 0, KWH]


def test_midnight_lies_between_its_readings_in_proportion_to_time() -> None:
    """23:58 shows 1000.0 kWh, 00:03 shows 1005.0: midnight is 1002.0, and certainly from 1000.0 to 1005.1."""
    day_ms = 86_400_000
    slots = register_slots(
        samples((day_ms - 2 * MINUTE_MS, 10_000), (day_ms + 3 * MINUTE_MS, 10_050)), [version(KWH // 10, 10**6)]
    )
    assert slots.energy_j.tolist() == [2 * KWH, 3 * KWH]
    assert slots.below_j.tolist() == [0, 2 * KWH]
    assert slots.above_j.tolist() == [0, 31 * KWH // 10]


def test_an_edge_between_request_and_reply_is_bounded_by_the_next_reading() -> None:
    """100 + 24 x 2000 / 2400 = 120 at the edge; at least 100, at most the 144 asked for after it and a step of 1."""
    readings = ((SLOT_MS - 2000, 100), (SLOT_MS + 400, 124), (SLOT_MS + 2400, 144))
    slots = register_slots(samples(*readings, took_ms=800), [version(1, 100_000)])
    assert slots.energy_j.tolist() == [20, 24]
    assert slots.below_j.tolist() == [0, 20]
    assert slots.above_j.tolist() == [0, 25]


def test_what_flowed_since_the_last_request_is_the_reply_slots_and_the_edges_not_both() -> None:
    """1 W at most; the last reading is asked for at 895 s. At its reply at 905 s it shows 900 J, 5 more than by then.

    Of the 905 s to the end of the second slot 5 s are in that lead, so 900 J are unknown, all of them there.
    """
    slots = register_slots(asked((0, 0, 0), (895_000, 905_000, 900)), [version(1, max_power_w=1)])
    assert slots.unknown_j.tolist() == [0, 900]


def test_a_last_reading_answered_at_an_edge_leaves_open_there_what_flowed_since_it_was_asked_for() -> None:
    """Asked for at 895 s, answered at 900 s with 898 J, 3 ahead of 1 W: 2 more may have flowed, and its step of 1."""
    slots = register_slots(asked((0, 0, 0), (895_000, 900_000, 898)), [version(1, max_power_w=1)])
    assert slots.unknown_j.tolist() == [0, 902]
    assert slots.above_capped_j.tolist()[1] == 3
    assert slots.above_j.tolist()[1] == MAX_ENERGY_J


def test_a_reading_at_the_edge_with_a_duration_leaves_the_edge_open_upwards_only() -> None:
    """By what the next reading shows and a step; capped, by a step and 0.1 s of 1 kW; the first step is in the slot."""
    readings = ((0, 0), (SLOT_MS, 500), (2 * SLOT_MS, 900))
    slots = register_slots(samples(*readings, took_ms=100), [version(1, 1000)])
    assert slots.below_j.tolist() == slots.below_capped_j.tolist() == [0, 0, 0]
    assert slots.above_j.tolist()[:2] == [500, 401]
    assert slots.above_capped_j.tolist()[:2] == [100, 101]


def test_the_secondary_side_is_multiplied_by_ct_and_pt() -> None:
    """2.5 kWh secondary with CT 2000/5 and PT 10 kV/100 V is 100,000 kWh."""
    meter = meter_of(meter_version(ct="2000/5", pt="10000/100", max_power_w=500 * MILLION))
    slots = register_slots(samples((0, 0), (SLOT_MS, 25)), register_versions(meter, "energy_import"))
    assert slots.energy_j.tolist() == [100_000 * KWH, 0]


def test_a_step_of_a_fraction_of_a_joule_is_rounded_once_per_reading() -> None:
    readings = [(place * SLOT_MS, count) for place, count in enumerate((0, 1, 2, 3))]
    slots = register_slots(samples(*readings), [version(Fraction(18, 5))])
    assert slots.energy_j.tolist() == [4, 3, 4, 0]


def test_no_readings_are_no_slots() -> None:
    assert len(register_slots(samples(), [version()])) == 0
    assert len(power_slots(samples(), [version()])) == 0


def test_one_reading_is_one_slot_of_which_only_the_bound_is_known() -> None:
    slots = register_slots(samples((MINUTE_MS, 5)), [version(1, 1000)])
    assert (slots.energy_j.tolist(), slots.unknown_j.tolist()) == ([0], [900_000])
    assert (slots.gap_ms.tolist(), flags(slots)) == ([SLOT_MS], [Flag.MISSING])


# Order and duplicates


def test_order_of_arrival_does_not_matter() -> None:
    forward = samples((0, 0), (SLOT_MS, 10), (2 * SLOT_MS, 30))
    backward = Samples(*(getattr(forward, name)[::-1] for name in Samples.__slots__))
    assert register_slots(backward, [version()]).energy_j.tolist() == [10, 20, 0]


def test_the_same_reading_twice_counts_once_and_leaves_no_mark() -> None:
    slots = register_slots(samples((0, 0), (SLOT_MS, 10), (SLOT_MS, 10), (2 * SLOT_MS, 30)), [version()])
    assert slots.energy_j.tolist() == [10, 20, 0]
    assert flags(slots) == [0, 0, Flag.MISSING]


def test_of_two_values_for_one_time_the_earlier_batch_stays_and_the_slot_is_marked() -> None:
    slots = register_slots(samples((0, 0), (SLOT_MS, 10), (SLOT_MS, 25), (2 * SLOT_MS, 30)), [version()])
    assert slots.energy_j.tolist() == [10, 20, 0]
    assert flags(slots) == [0, Flag.CONFLICT, Flag.MISSING]


# Wrap, reset, replacement


def test_rollover_between_two_reads_counts_energy_once() -> None:
    """A register of 999,999.9 kWh passes from 999,998.4 to 0.7: 2.3 kWh."""
    slots = register_slots(samples((0, 9_999_984), (SLOT_MS, 7)), [version(KWH // 10, 100_000, modulus=10**7)])
    assert slots.energy_j.tolist() == [23 * KWH // 10, 0]
    assert flags(slots)[0] == Flag.ROLLOVER
    assert slots.unknown_j[0] == 0


def test_a_32_bit_register_of_hundredths_wraps_by_one_and_a_half_kwh() -> None:
    row = version(KWH // 100, 100_000, modulus=2**32)
    assert register_slots(samples((0, 2**32 - 100), (SLOT_MS, 50)), [row]).energy_j[0] == 3 * KWH // 2


def test_a_fraction_of_a_joule_is_kept_across_a_wrap() -> None:
    row = version(Fraction(1, 3), 1, modulus=10_000)
    slots = register_slots(samples((0, 9998), (SLOT_MS, 1), (2 * SLOT_MS, 3)), [row])
    assert slots.energy_j.tolist() == [1, 1, 0]


def test_a_fall_that_cannot_be_a_wrap_is_unknown_energy_within_the_meters_limit() -> None:
    """52,340 kWh falls to 12 on a meter of 500 kW; the wrap would be 947,672 kWh in a quarter of an hour."""
    readings = samples((0, 52_340), (SLOT_MS, 12), (2 * SLOT_MS, 15))
    slots = register_slots(readings, [version(KWH, 500_000, modulus=MILLION)])
    assert slots.energy_j.tolist() == [0, 3 * KWH, 0]
    assert slots.unknown_j[:2].tolist() == [125 * KWH, 0]
    assert flags(slots)[:2] == [Flag.RESET | Flag.MISSING, 0]
    assert slots.gap_ms[:2].tolist() == [SLOT_MS, 0]


def test_without_a_configured_modulus_a_fall_is_never_a_wrap() -> None:
    slots = register_slots(samples((0, 999), (SLOT_MS, 2), (2 * SLOT_MS, 3)), [version(1, 1000)])
    assert flags(slots)[0] & Flag.RESET
    assert slots.energy_j.tolist() == [0, 1, 0]


def test_the_time_of_request_and_reply_widens_the_bound_of_a_reset() -> None:
    readings = samples((0, 10**9), (SLOT_MS, 0), (2 * SLOT_MS, 1), took_ms=1000)
    slots = register_slots(readings, [version(1, 1000)])
    assert slots.start_ms.tolist() == [0, SLOT_MS, 2 * SLOT_MS]
    assert slots.unknown_j[0] == 900_000
    earlier = register_slots(samples((1, 10**9), (SLOT_MS, 0), (2 * SLOT_MS, 1), took_ms=1), [version(1, 1000)])
    assert earlier.unknown_j[0] == 900_000


def test_a_declared_replacement_restores_the_energy() -> None:
    """The old register ends at 1000, the new one starts at 5: 100 before, 37 after."""
    old = version(to_ms=SLOT_MS // 2)
    new = version(from_ms=SLOT_MS // 2, replacement=(1000, 5), continues=False)
    slots = register_slots(samples((0, 900), (SLOT_MS, 42), (2 * SLOT_MS, 50)), [old, new])
    assert slots.energy_j.tolist() == [137, 8, 0]
    assert flags(slots)[:2] == [Flag.REPLACED, 0]
    assert slots.unknown_j[:2].tolist() == [0, 0]


def test_a_replacement_by_a_register_of_another_step_counts_each_in_its_own() -> None:
    old = version(KWH, 10**9, to_ms=SLOT_MS)
    new = version(KWH // 10, 10**9, from_ms=SLOT_MS, replacement=(110, 0))
    slots = register_slots(samples((0, 100), (2 * SLOT_MS, 50), (3 * SLOT_MS, 60)), [old, new])
    assert slots.energy_j.tolist() == [10 * KWH, 5 * KWH, KWH, 0]


def test_a_replacement_whose_final_count_contradicts_the_readings_is_unknown_energy() -> None:
    old = version(to_ms=SLOT_MS // 2)
    new = version(from_ms=SLOT_MS // 2, replacement=(10, 5))
    slots = register_slots(samples((0, 900), (SLOT_MS, 42), (2 * SLOT_MS, 50)), [old, new])
    assert flags(slots)[0] & Flag.RESET
    assert slots.energy_j.tolist() == [37, 8, 0]
    assert slots.unknown_j[0] == 450_000


def test_another_register_without_a_declaration_leaves_the_time_between_unknown() -> None:
    old, new = version(to_ms=SLOT_MS // 2), version(from_ms=SLOT_MS // 2, continues=False)
    slots = register_slots(samples((0, 900), (SLOT_MS, 950), (2 * SLOT_MS, 960)), [old, new])
    assert slots.energy_j.tolist() == [0, 10, 0]
    assert flags(slots)[0] == Flag.RESET | Flag.REPLACED | Flag.MISSING


def test_a_new_certificate_changes_nothing() -> None:
    old, new = version(to_ms=SLOT_MS // 2, max_power_w=10), version(from_ms=SLOT_MS // 2, max_power_w=1000)
    slots = register_slots(samples((0, 900), (SLOT_MS, 50_900)), [old, new])
    assert slots.energy_j[0] == 50_000
    assert flags(slots)[0] == 0


def test_a_replacement_between_two_later_versions_counts_each_in_its_own() -> None:
    """The first version has no reading; 10 J by the second, and a kJ by the third, which counts in kJ."""
    rows = [
        version(2, to_ms=1000),
        version(1, from_ms=1000, to_ms=SLOT_MS // 2),
        version(1000, from_ms=SLOT_MS // 2, replacement=(15, 7)),
    ]
    slots = register_slots(samples((2000, 5), (SLOT_MS // 2 + 1000, 8)), rows)
    assert slots.energy_j.tolist() == [10 + 1000]


def test_a_replacement_before_the_first_or_after_the_last_reading_adds_nothing() -> None:
    old, new = version(to_ms=SLOT_MS), version(from_ms=SLOT_MS, replacement=(5, 6))
    before = register_slots(samples((0, 1), (MINUTE_MS, 2)), [old, new])
    after = register_slots(samples((SLOT_MS, 8), (SLOT_MS + MINUTE_MS, 9)), [old, new])
    assert before.start_ms.tolist() == [0]
    assert after.start_ms.tolist() == [SLOT_MS]
    assert len(register_slots(samples(), [old, new])) == 0


def test_readings_outside_every_version_are_left_out() -> None:
    rows = [version(from_ms=SLOT_MS, to_ms=2 * SLOT_MS), version(from_ms=3 * SLOT_MS)]
    readings = samples(
        (0, 0), (SLOT_MS, 1), (SLOT_MS + 1, 2), (2 * SLOT_MS, 999), (3 * SLOT_MS, 5), (3 * SLOT_MS + 1, 5)
    )
    slots = register_slots(readings, rows)
    assert slots.start_ms.tolist() == [SLOT_MS, 2 * SLOT_MS, 3 * SLOT_MS]
    assert slots.energy_j.tolist() == [1, 0, 0]


# Spikes


def test_one_zero_between_good_readings_is_put_aside() -> None:
    readings = samples((0, 52_340), (SLOT_MS, 0), (2 * SLOT_MS, 52_341), (3 * SLOT_MS, 52_342))
    slots = register_slots(readings, [version(KWH, 500_000)], max_gap_ms=2 * SLOT_MS)
    assert slots.energy_j.tolist() == [KWH // 2, KWH // 2, KWH, 0]
    assert flags(slots)[:3] == [0, Flag.SPIKE, 0]


def test_a_fall_at_the_end_waits_for_a_second_reading() -> None:
    row = version(KWH, 500_000)
    once = register_slots(samples((0, 52_340), (MINUTE_MS, 52_340), (2 * MINUTE_MS, 0)), [row])
    twice = register_slots(samples((0, 52_340), (MINUTE_MS, 52_340), (2 * MINUTE_MS, 0), (3 * MINUTE_MS, 1)), [row])
    assert flags(once) == [Flag.SPIKE]
    assert flags(twice) == [Flag.RESET]
    assert twice.energy_j.tolist() == [KWH]


def test_a_reading_too_high_between_good_ones_is_put_aside() -> None:
    readings = samples((0, 100), (MINUTE_MS, 10**9), (2 * MINUTE_MS, 110), (3 * MINUTE_MS, 120))
    slots = register_slots(readings, [version(1, 1000)])
    assert slots.energy_j.tolist() == [20]
    assert flags(slots) == [Flag.SPIKE]


def test_a_high_reading_that_could_be_real_is_put_aside_when_the_next_two_contradict_it() -> None:
    readings = samples((0, 100), (MINUTE_MS, 5000), (2 * MINUTE_MS, 110), (3 * MINUTE_MS, 120))
    slots = register_slots(readings, [version(1, 1000)])
    assert slots.energy_j.tolist() == [20]
    assert flags(slots) == [Flag.SPIKE]


def test_of_two_readings_in_a_row_that_could_be_wrong_the_first_is_put_aside() -> None:
    readings = samples((0, 10_000), (MINUTE_MS, 0), (2 * MINUTE_MS, 61_000), (3 * MINUTE_MS, 61_100))
    slots = register_slots(readings, [version(1, 1000)])
    assert flags(slots) == [Flag.SPIKE]
    assert slots.energy_j.tolist() == [51_100]


def test_a_reading_that_the_next_but_one_confirms_stays_whatever_comes_after() -> None:
    """500 and 600 confirm each other, and so do 600 and 700: both readings of 100 are wrong."""
    counts = (0, 500, 100, 600, 100, 700)
    slots = register_slots(samples(*((place * SLOT_MS, count) for place, count in enumerate(counts))), [version()])
    assert slots.energy_j.tolist() == [500, 50, 50, 50, 50, 0]
    assert [bool(mark & Flag.SPIKE) for mark in flags(slots)] == [False, False, True, False, True, False]


def test_a_register_that_keeps_alternating_is_believed_nowhere() -> None:
    readings = [(place * MINUTE_MS, 10**6 + place if place % 2 else place) for place in range(10)]
    slots = register_slots(samples(*readings), [version(1, 1000)])
    assert slots.energy_j.tolist() == [0]
    assert slots.gap_ms.tolist() == [SLOT_MS]
    assert flags(slots)[0] & Flag.RESET


def test_a_confirmed_jump_no_meter_can_make_is_unknown_energy_out_of_range() -> None:
    readings = samples((0, 0), (MINUTE_MS, 10**9), (2 * MINUTE_MS, 10**9 + 5), (3 * MINUTE_MS, 10**9 + 6))
    slots = register_slots(readings, [version(1, 1000)])
    assert slots.energy_j.tolist() == [6]
    assert flags(slots) == [Flag.RANGE]
    assert slots.unknown_j.tolist() == [60_000 + 12 * 60_000]


def test_a_float32_register_may_jump_by_its_resolution() -> None:
    """At 10,000,000 kWh a float32 register moves in steps of 1 kWh, far more than 15 s of 10 kW."""
    readings = [(place * 15_000, 10**10 + 1000 * (place // 20)) for place in range(60)]
    slots = register_slots(samples(*readings), [version(3600, 10_000)])
    assert flags(slots) == [0]
    assert slots.energy_j.tolist() == [2 * KWH]


# Gaps


def test_a_gap_loses_the_allocation_and_not_the_energy() -> None:
    """10:00 shows 5000 kWh, 13:00 shows 5300: 300 kWh, 100 in each hour as far as one can say."""
    hour_ms = 4 * SLOT_MS
    slots = register_slots(samples((0, 5000), (3 * hour_ms, 5300)), [version(KWH, 500_000)])
    assert int(slots.energy_j.sum()) == 300 * KWH
    assert slots.energy_j[:12].tolist() == [25 * KWH] * 12
    assert flags(slots)[:12] == [Flag.ALLOCATED] * 12
    assert slots.gap_ms[:12].tolist() == [SLOT_MS] * 12
    assert slots.unknown_j[:12].tolist() == [0] * 12
    assert (slots.below_j[4], slots.above_j[4]) == (100 * KWH, 201 * KWH)


def test_a_gap_of_exactly_the_longest_allowed_is_covered() -> None:
    allowed = register_slots(samples((0, 0), (SLOT_MS, 5)), [version()])
    longer = register_slots(samples((0, 0), (SLOT_MS + 1, 5)), [version()])
    given = register_slots(samples((0, 0), (SLOT_MS + 1, 5)), [version()], max_gap_ms=SLOT_MS + 1)
    assert [int(slots.gap_ms[0]) for slots in (allowed, longer, given)] == [0, SLOT_MS, 0]


def test_a_gap_in_which_the_register_may_have_wrapped_unseen_is_not_guessed() -> None:
    """A 16-bit register of 1 kWh at 5 MW wraps in 13 hours; after 14 nobody knows how often it did."""
    end_ms = 56 * SLOT_MS
    readings = samples((0, 1000), (end_ms, 1500), (end_ms + MINUTE_MS, 1501))
    slots = register_slots(readings, [version(KWH, 5 * MILLION, modulus=2**16)])
    assert slots.energy_j[:56].tolist() == [0] * 56
    assert slots.unknown_j[:56].tolist() == [1250 * KWH] * 56
    assert slots.gap_ms[:56].tolist() == [SLOT_MS] * 56
    assert flags(slots)[:56] == [Flag.AMBIGUOUS | Flag.MISSING] * 56


def test_a_gap_of_a_year_is_shared_out_exactly() -> None:
    slots_in_year = 365 * 96
    end = slots_in_year * SLOT_MS
    slots = register_slots(samples((0, 0), (end, 10**12 + 1)), [version(1, 10**9)])
    assert int(slots.energy_j.sum()) == 10**12 + 1
    assert set(slots.energy_j[:-1].tolist()) <= {(10**12 + 1) // slots_in_year, (10**12 + 1) // slots_in_year + 1}


def test_the_open_ends_of_a_series_are_not_covered() -> None:
    slots = register_slots(samples((MINUTE_MS, 0), (11 * MINUTE_MS, 6)), [version(1, 1000)])
    assert slots.gap_ms.tolist() == [5 * MINUTE_MS]
    assert slots.unknown_j.tolist() == [300_000]


# Qualities


def test_a_failed_read_is_no_sample() -> None:
    marks = [0, Quality.TIMEOUT, 0]
    slots = register_slots(samples((0, 0), (SLOT_MS // 2, 0), (SLOT_MS, 8), quality=marks), [version()])
    assert slots.energy_j.tolist() == [8, 0]
    assert len(register_slots(samples((0, 0), quality=[Quality.RANGE]), [version()])) == 0


def test_an_untrusted_clock_and_a_reading_by_hand_mark_the_energy_beside_them() -> None:
    marks = [0, 0, Quality.CLOCK_UNSYNCED, 0, Quality.OUT_OF_BAND, Quality.BACKWARDS]
    readings = [(place * SLOT_MS, place) for place in range(6)]
    slots = register_slots(samples(*readings, quality=marks), [version()])
    assert flags(slots)[:5] == [0, Flag.SKEW, Flag.SKEW, Flag.MANUAL, Flag.MANUAL]


def test_a_mark_reaches_every_slot_of_its_interval_and_a_reading_put_aside_only_its_own() -> None:
    """The interval beside the mark ends 1 ms after an edge; readings are put aside before and after all slots."""
    marks = [0, Quality.OUT_OF_BAND, 0, 0]
    readings = samples((-1, -5), (0, 0), (SLOT_MS + 1, 5), (2 * SLOT_MS, -5), quality=marks)
    slots = register_slots(readings, [version()])
    assert slots.start_ms.tolist() == [0, SLOT_MS]
    assert [mark & ~(Flag.MISSING | Flag.ALLOCATED) for mark in flags(slots)] == [Flag.MANUAL, Flag.MANUAL]


def test_counts_no_register_can_show_are_put_aside_with_their_mark() -> None:
    row = version(1, 1, modulus=10_000)
    readings = samples((0, 1), (SLOT_MS, -1), (2 * SLOT_MS, 5), (3 * SLOT_MS, 10_000), (4 * SLOT_MS, 9))
    slots = register_slots(readings, [row], max_gap_ms=2 * SLOT_MS)
    assert slots.energy_j.tolist() == [2, 2, 2, 2, 0]
    assert flags(slots)[:4] == [0, Flag.NEGATIVE, 0, Flag.RANGE]


def test_energy_beyond_the_contracts_range_is_put_aside_and_just_below_it_is_exact() -> None:
    row = version(1, 2**40)
    near = samples((0, MAX_ENERGY_J - 2), (SLOT_MS, MAX_ENERGY_J - 1), (2 * SLOT_MS, MAX_ENERGY_J))
    slots = register_slots(near, [row])
    assert slots.energy_j.tolist() == [1, 0]
    steps = register_slots(samples((0, 2**60), (SLOT_MS, 2**60 + 1)), [version(Fraction(7, 2), 2**40)])
    assert steps.energy_j.tolist() == [4, 0]


def test_energy_that_passes_the_range_by_wrapping_is_refused() -> None:
    half = MAX_ENERGY_J // 2
    row = version(1, MAX_ENERGY_J // 820, modulus=MAX_ENERGY_J - 10)
    readings = [(place * SLOT_MS, [half, half // 2][place % 2]) for place in range(8)]
    with pytest.raises(Fatal, match="check its modulus"):
        register_slots(samples(*readings), [row])


def test_energy_that_just_reaches_the_range_by_wrapping_is_refused() -> None:
    """Four wraps of a quarter of the range."""
    quarter = MAX_ENERGY_J // 4
    readings = [(place * SLOT_MS, [3 * quarter // 4, quarter // 4][place % 2]) for place in range(8)]
    row = version(1, quarter // 1500, modulus=quarter)
    assert register_slots(samples(*readings[:7]), [row]).energy_j.tolist() == [quarter // 2] * 6 + [0]
    with pytest.raises(Fatal, match="check its modulus"):
        register_slots(samples(*readings), [row])


def test_scaling_is_exact_where_a_float_is_not() -> None:
    assert scaled(int64(2**53 + 1, 0), Fraction(1)).tolist() == [2**53 + 1, 0]
    assert scaled(int64(2**60 + 1), Fraction(7, 3)).tolist() == [rounded((2**60 + 1) * Fraction(7, 3))]
    assert rounded(Fraction(5, 2)) == 3
    assert rounded(Fraction(-5, 2)) == -2


# Versions


def meter_version(**changes: object) -> MeterVersion:
    fields: dict[str, object] = {
        "from_ms": 0,
        "serial": "SN1",
        "profile": "abb-b23",
        "registers": [Register(quantity="energy_import", unit="kWh", exponent=-1)],
        "max_power_w": 1000,
    }
    return MeterVersion(**(fields | changes))  # type: ignore[arg-type]  # fields a test chooses


def meter_of(*versions: MeterVersion) -> Meter:
    return Meter(site="km01", meter="main-a", versions=list(versions))


def test_versions_of_a_quantity_come_in_order_of_time_with_their_replacement() -> None:
    exchange = [
        Replacement(quantity="energy_export", old_final_count=1, new_initial_count=2),
        Replacement(quantity="energy_import", old_final_count=100, new_initial_count=5),
    ]
    later = meter_version(from_ms=10, serial="SN2", ct="400/5", replacements=exchange)
    power_only = meter_version(from_ms=5, to_ms=10, registers=[Register(quantity="power", unit="W", exponent=0)])
    rows = register_versions(meter_of(later, meter_version(to_ms=5), power_only), "energy_import")
    assert [row.from_ms for row in rows] == [0, 10]
    assert [row.step_j for row in rows] == [Fraction(360_000), Fraction(360_000 * 80)]
    assert [row.replacement for row in rows] == [None, (100, 5)]
    assert [row.continues for row in rows] == [True, False]
    assert register_versions(meter_of(meter_version()), "heat") == ()


def test_a_series_without_a_version_is_refused() -> None:
    with pytest.raises(Fatal, match="no register version"):
        register_slots(samples((0, 1)), [])


def test_versions_that_overlap_are_refused() -> None:
    with pytest.raises(Fatal, match="from 5"):
        register_slots(samples((0, 1)), [version(), version(from_ms=5)])
    with pytest.raises(Fatal, match="from 5"):
        power_slots(samples((0, 1)), [version(to_ms=6), version(from_ms=5)])


def test_slots_keep_their_types() -> None:
    slots = register_slots(samples((0, 1), (SLOT_MS, 2)), [version()])
    assert {getattr(slots, name).dtype for name in Slots.__slots__} == {np.dtype(np.int64)}


def test_a_limit_beyond_all_range_bounds_unknown_energy_at_the_range() -> None:
    rows = [
        version(max_power_w=2**61, to_ms=SLOT_MS // 2),
        version(max_power_w=2**60, from_ms=SLOT_MS // 2, continues=False),
    ]
    slots = register_slots(samples((0, 1), (1000, 2), (SLOT_MS - 1000, 5), (SLOT_MS - 1, 6)), rows)
    assert slots.unknown_j.tolist() == [MAX_ENERGY_J]


def test_a_rise_is_judged_by_the_longest_time_it_can_have_taken() -> None:
    """Requested at 5 s and answered at 10 s; answered again at 20 s: up to 15 s of 1 kW."""
    slots = register_slots(samples((10_000, 0), (20_000, 14_000), (30_000, 15_000), took_ms=5000), [version(1, 1000)])
    assert slots.energy_j.tolist() == [15_000]
    assert flags(slots) == [0]


def test_a_coarse_register_may_move_by_a_step_at_any_time() -> None:
    """A whole kWh in 15 s is no leap of a meter of 10 kW: all but its 150 kJ had flowed before, unseen."""
    slots = register_slots(samples((0, 7), (15_000, 8), (30_000, 8), (45_000, 8)), [version(KWH, 10_000)])
    assert slots.energy_j.tolist() == [150_000]
    assert (slots.below_j[0], slots.above_j[0], slots.under_j[0]) == (KWH - 150_000, 0, 150_000)
    assert (slots.below_capped_j[0], slots.above_capped_j[0]) == (0, 0)
    assert flags(slots) == [0]


def test_a_first_reading_at_the_very_moment_of_replacement_counts() -> None:
    old, new = version(to_ms=SLOT_MS // 2), version(from_ms=SLOT_MS // 2, replacement=(1000, 5), continues=False)
    slots = register_slots(samples((0, 900), (SLOT_MS // 2, 5)), [old, new])
    assert slots.energy_j.tolist() == [100]
    assert flags(slots) == [Flag.REPLACED]


def test_counts_whose_differences_leave_int64_are_still_put_aside() -> None:
    low = -9_100_000_000_000_000_000
    slots = register_slots(samples((0, 3 * 10**17), (MINUTE_MS, low), (2 * MINUTE_MS, 3 * 10**17 + 5)), [version()])
    assert slots.energy_j.tolist() == [5]
    assert flags(slots) == [Flag.NEGATIVE]


def test_requests_of_two_readings_may_be_under_way_at_an_edge() -> None:
    """Read at -1, 5, 10 and 20 s around the edge, each asked for 12 s before: only the last was asked for after it.

    600 / 6 = 100 at the edge; at most 1500 and a step of 1.
    """
    readings = [(SLOT_MS + at, count) for at, count in ((-1000, 0), (5000, 600), (10_000, 900), (20_000, 1500))]
    slots = register_slots(samples(*readings, took_ms=12_000), [version(1, 1000)])
    assert (slots.below_j[1], slots.above_j[1]) == (100, 1401)


def test_a_reading_asked_for_at_the_very_edge_bounds_it_from_above() -> None:
    """Read at -1, 5, 12 and 20 s around the edge, each asked for 12 s before: the third at the edge."""
    readings = [(SLOT_MS + at, count) for at, count in ((-1000, 0), (5000, 600), (12_000, 900), (20_000, 1500))]
    slots = register_slots(samples(*readings, took_ms=12_000), [version(1, 1000)])
    assert (slots.below_j[1], slots.above_j[1]) == (100, 801)


def test_the_time_before_the_first_reading_is_bounded_by_the_limit_of_its_version() -> None:
    """30 s of 1 kW, then 90 s between two registers and 780 s of 2 kW."""
    rows = [version(1, 1000, to_ms=MINUTE_MS), version(1, 2000, from_ms=MINUTE_MS, continues=False)]
    slots = register_slots(samples((30_000, 0), (120_000, 0)), rows)
    assert slots.unknown_j.tolist() == [30_000 + 180_000 + 1_560_000]


def test_a_register_that_can_wrap_within_ten_minutes_is_ambiguous_after_a_slot() -> None:
    slots = register_slots(samples((0, 0), (SLOT_MS, 0)), [version(1, 2000, modulus=1_000_000)])
    assert flags(slots)[0] == Flag.AMBIGUOUS | Flag.MISSING


@pytest.mark.parametrize(
    ("power_w", "modulus", "count"),
    [
        pytest.param(1000, 960_001, 0, id="a count a millisecond"),
        pytest.param(10**6, 960_000_115, 960_000_114, id="a thousand, of a float32 register"),
        pytest.param(10**9, 960_000_000_001, 0, id="a million"),
    ],
)
def test_a_register_that_can_just_wrap_since_the_request_is_ambiguous(power_w: int, modulus: int, count: int) -> None:
    """960 s at full power and a count reach the modulus, as does what a float32 leaves open: 960_000_114 // 2**23."""
    then = samples((0, count), (SLOT_MS, count), took_ms=MINUTE_MS)
    for wraps, mark in ((modulus, Flag.AMBIGUOUS), (modulus + 1, 0)):
        slots = register_slots(then, [version(1, power_w, modulus=wraps)])
        assert flags(slots)[0] & Flag.AMBIGUOUS == mark


def test_a_replacement_of_a_meter_without_readings_gives_no_slots() -> None:
    assert len(register_slots(samples(), [version(to_ms=1), version(from_ms=1, replacement=(1, 0))])) == 0


def test_a_replacement_at_the_moment_of_the_first_reading_adds_nothing() -> None:
    rows = [version(to_ms=MINUTE_MS), version(from_ms=MINUTE_MS, replacement=(1000, 0))]
    slots = register_slots(samples((MINUTE_MS, 1), (SLOT_MS, 11)), rows)
    assert slots.energy_j.tolist() == [10, 0]


def test_a_first_reading_that_the_others_contradict_is_no_spike() -> None:
    """Requests take a minute, so that in time alone the last reading could come before the second."""
    slots = register_slots(samples((0, 500), (1000, 100), (2000, 100), took_ms=MINUTE_MS), [version()])
    assert flags(slots) == [Flag.RESET | Flag.MISSING]


def test_each_wrap_is_of_its_own_versions_modulus_and_step() -> None:
    """95 -> 5 of 100 counts of 1 J, and 950 -> 50 of 1000 counts of 10 J: 10 J and 1 kJ."""
    rows = [version(1, 1, modulus=100, to_ms=SLOT_MS), version(10, 1000, modulus=1000, from_ms=SLOT_MS)]
    slots = register_slots(samples((0, 95), (60_000, 5), (SLOT_MS, 950), (SLOT_MS + 1000, 50)), rows)
    assert int(slots.energy_j.sum()) == 10 + 1000


def test_a_first_reading_with_a_mark_marks_the_energy_behind_it_only() -> None:
    readings = [(place * SLOT_MS, place) for place in range(3)]
    slots = register_slots(samples(*readings, quality=[Quality.CLOCK_UNSYNCED, 0, 0]), [version()])
    assert [mark & Flag.SKEW for mark in flags(slots)] == [Flag.SKEW, 0, 0]


def test_the_energy_before_a_second_reading_with_a_mark_is_marked_too() -> None:
    readings = [(place * SLOT_MS, place) for place in range(4)]
    slots = register_slots(samples(*readings, quality=[0, Quality.CLOCK_UNSYNCED, 0, 0]), [version()])
    assert flags(slots)[:3] == [Flag.SKEW, Flag.SKEW, 0]


def test_registers_of_two_versions_are_exact_where_a_float_is_not() -> None:
    rows = [version(to_ms=SLOT_MS), version(from_ms=SLOT_MS, replacement=(2**53 + 8, 2**53 + 1))]
    slots = register_slots(samples((0, 2**53 + 1), (SLOT_MS, 2**53 + 2), (2 * SLOT_MS, 2**53 + 5)), rows)
    assert slots.energy_j.tolist() == [8, 3, 0]


def test_a_count_below_zero_is_put_aside_whatever_a_gauge_could_show() -> None:
    slots = register_slots(samples((0, 0), (SLOT_MS, -5), (2 * SLOT_MS, 10)), [version()])
    assert slots.energy_j.tolist() == [5, 5, 0]
    assert flags(slots)[:2] == [Flag.ALLOCATED, Flag.ALLOCATED | Flag.NEGATIVE]


def test_a_reading_at_the_end_of_the_only_version_is_left_out() -> None:
    assert register_slots(samples((0, 0), (SLOT_MS, 5)), [version(to_ms=SLOT_MS)]).energy_j.tolist() == [0]


# Long columns


def month(wraps_at: int = -1) -> Samples:
    """A register read every 10 s that rises by 1000 counts each time, and wraps at 200,000,000."""
    order = np.arange(300_000, dtype=np.int64)
    t1, quality = (order + 1) * 10_000, np.zeros_like(order)
    return Samples(t1 - 200, t1, (order - wraps_at) * 1000 % 200_000_000, quality, order)


def untouched(month: Samples, place: int) -> Samples:
    return month


def fallen(month: Samples, place: int) -> Samples:
    month.count[place:] -= month.count[place]
    return month


def jumped(month: Samples, place: int) -> Samples:
    month.count[place:] += 100_000
    return month


def peak(month: Samples, place: int) -> Samples:
    month.count[place] += 30_000_000
    return month


def dip(month: Samples, place: int) -> Samples:
    month.count[place] = 0
    return month


def below_zero(month: Samples, place: int) -> Samples:
    month.count[place] = -1
    return month


def above_all(month: Samples, place: int) -> Samples:
    month.count[place] = 200_000_000
    return month


def silent(month: Samples, place: int) -> Samples:
    keep = (month.order < place) | (month.order > place + 25_000)
    return Samples(*(getattr(month, name)[keep] for name in Samples.__slots__))


def twice(month: Samples, place: int) -> Samples:
    month.t1_ms[place] = month.t1_ms[place - 1]
    return month


def exchanged(month: Samples, place: int) -> Samples:
    for column in (month.t0_ms, month.t1_ms, month.count, month.quality):
        column[[place, place - 1]] = column[[place - 1, place]]
    return month


def unsynced(month: Samples, place: int) -> Samples:
    month.quality[place] = int(Quality.CLOCK_UNSYNCED)
    return month


def timed_out(month: Samples, place: int) -> Samples:
    month.quality[place], month.count[place] = int(Quality.TIMEOUT), 0
    return month


@pytest.mark.parametrize("place", [5, 131_071, 131_072, 131_073, 262_144, 270_000, 299_999])
@pytest.mark.parametrize(
    "spoil",
    [untouched, fallen, jumped, peak, dip, below_zero, above_all, silent, twice, exchanged, unsynced, timed_out],
)
def test_what_happens_anywhere_in_a_long_column_is_found(spoil: Callable[[Samples, int], Samples], place: int) -> None:
    """As in the few readings around it, which other tests look at."""
    for readings in (spoil(month(), place), spoil(month(wraps_at=place), place)):
        few = (readings.order > place - 400) & (readings.order < place + 25_600)
        near = Samples(*(getattr(readings, name)[few] for name in Samples.__slots__))
        meter = version(1, 1000, modulus=200_000_000)
        whole, part = register_slots(readings, [meter]), register_slots(near, [meter])
        inside = part.select(slice(2 * (place > 400), -2 if place < 274_400 else None))
        assert len(inside) > 3
        same = whole.select(np.isin(whole.start_ms, inside.start_ms))
        for column in ("start_ms", "energy_j", "unknown_j", "gap_ms", "below_j", "above_j", "flags"):
            assert getattr(same, column).tolist() == getattr(inside, column).tolist(), column
