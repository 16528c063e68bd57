"""Between which values a curve lies at slot edges, and what is unknown around them, by hand.

Most meters here are of 1 kW with steps of 1 J: 900 kJ a slot, 1 J a millisecond. A register may hold a step more than
it shows. Energies of bounds are from the first slot edge on.
"""

from __future__ import annotations

from fractions import Fraction

import pytest

from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.registers import register_slots
from pue.energy.slots import Slots
from tests.unit.pue.meters import KWH, MINUTE_MS, asked, samples, version

METER = version(1, 1000)
COARSE = version(KWH, 100_000)
"""1 kWh is 3.6 MJ; in 15 s the meter can carry 1.5."""


def at(edge: int, slots: Slots) -> tuple[int, int, int, int]:
    """Bounds of a slot's start: by the registers alone from and to, capped from and to. [J from the first level]"""
    level = int(slots.energy_j[:edge].sum())
    bounds = (
        -slots.below_j[edge],
        slots.above_j[edge],
        -slots.below_capped_j[edge],
        slots.above_capped_j[edge],
    )
    low, high, low_capped, high_capped = (level + int(bound) for bound in bounds)
    return low, high, low_capped, high_capped


# Edges


def test_an_edge_inside_a_gap_is_capped_from_both_sides() -> None:
    """2,000,000 J in three slots of at most 900,000.

    At the first edge at least 200,000, as the two slots after it carry at most 1,800,000, and at most 900,000 and a
    step; at the second at least 1,100,000, and at most 1,800,000 and a step.
    """
    slots = register_slots(samples((0, 0), (3 * SLOT_MS, 2_000_000)), [METER])
    assert slots.energy_j.tolist() == [666_667, 666_666, 666_667, 0]
    assert at(1, slots) == (0, 2_000_001, 200_000, 900_001)
    assert at(2, slots) == (0, 2_000_001, 1_100_000, 1_800_001)


def test_an_estimate_outside_the_caps_moves_to_them() -> None:
    """1 kWh steps, read 5 s before the edge and 10 s after it: 11 kWh then are at least 11 kWh - 1 MJ at the edge.

    A third of a kWh since the reading before would be 1.2 MJ; it is 2.6.
    """
    slots = register_slots(samples((0, 10), (SLOT_MS - 5000, 10), (SLOT_MS + 10_000, 11)), [COARSE])
    assert slots.energy_j.tolist() == [2_600_000, KWH - 2_600_000]
    assert at(1, slots) == (0, 2 * KWH, KWH - 1_000_000, KWH + 500_000)


def test_a_coarse_step_just_after_an_edge_had_nearly_all_flowed_before_it() -> None:
    """100 kW with 1 kWh steps every 15 s, with a reading at the edge: at least 1 kWh less 15 s, at most a whole kWh."""
    readings = [(place * 15_000, 10 + (place > 60)) for place in range(70)]
    slots = register_slots(samples(*readings), [COARSE])
    assert slots.energy_j[0] == KWH - 1_500_000
    assert at(1, slots) == (0, KWH, KWH - 1_500_000, KWH)


def test_a_coarse_step_just_before_an_edge_holds_it_down() -> None:
    """The step came within the 15 s before the edge, so that with another 15 s at most 1.5 MJ are hidden; not 3.6."""
    readings = [(place * 15_000, 10 + (place >= 60)) for place in range(70)]
    slots = register_slots(samples(*readings), [COARSE])
    assert slots.energy_j[0] == KWH
    assert at(1, slots) == (KWH, 2 * KWH, KWH, KWH + 1_500_000)


def test_a_lucky_reading_holds_a_later_edge_down() -> None:
    """Read half a minute after each request: 45 kJ between two requests half a minute apart, with the edge at the end.

    The reading at 870 s, asked for at 840 s, and 60 s of 1 kW bound the edge at 900 s by 60 kJ and a step. The one at
    900 s alone, asked for at 870 s, says 45 + 30 and a step.
    """
    half = MINUTE_MS // 2
    readings = [(SLOT_MS - half, 0), (SLOT_MS, 45_000), (SLOT_MS + half, 60_000), (SLOT_MS + 2 * half, 60_000)]
    slots = register_slots(samples(*readings, took_ms=half), [METER])
    assert at(1, slots) == (45_000, 60_001, 45_000, 60_001)
    later = register_slots(samples(*readings[:2], (SLOT_MS + half, 80_000), took_ms=half), [METER])
    assert at(1, later)[3] == 60_001


def test_a_straggler_asked_for_before_the_edge_bounds_it_by_what_flowed_since_its_request() -> None:
    """Asked for 20 s before the edge and answered 10 s after it with 5000: at most 25,000 and a step at the edge.

    The reading a minute before the edge would allow 60,000, the one after it 50,000.
    """
    edge = SLOT_MS
    readings = (edge - 60_000, edge - 60_000, 0), (edge - 20_000, edge + 10_000, 5000)
    slots = register_slots(asked(*readings, (edge + 100_000, edge + 100_000, 50_000)), [METER])
    assert slots.energy_j[0] == 4286  # 5000 x 60 / 70
    assert at(1, slots) == (0, 50_001, 0, 25_001)


def test_where_nothing_was_asked_for_after_the_edge_the_last_straggler_is_the_bound_with_caps_only() -> None:
    """The first allows 25,000 and a step; the second, asked for 5 s before the edge, shows 6000: 11,000 and a step.

    Both rest on 1 kW. The register alone may have shown what was there long before the edge: no bound.
    """
    edge = SLOT_MS
    readings = (edge - 60_000, edge - 60_000, 0), (edge - 20_000, edge + 10_000, 5000)
    one = register_slots(asked(*readings), [METER])
    two = register_slots(asked(*readings, (edge - 5000, edge + 20_000, 6000)), [METER])
    assert (one.above_j[1], at(1, one)[3]) == (MAX_ENERGY_J, 25_001)
    assert (two.above_j[1], at(1, two)[3]) == (MAX_ENERGY_J, 11_001)


def test_a_straggler_before_a_fall_is_the_last_to_bound_its_edge() -> None:
    """What was asked for after the edge is the register after its fall: it says nothing of the one before."""
    edge = SLOT_MS
    readings = (edge - 60_000, edge - 60_000, 10_000), (edge - 20_000, edge + 10_000, 15_000)
    after = (edge + 20_000, edge + 20_000, 0), (edge + 30_000, edge + 30_000, 1)
    slots = register_slots(asked(*readings, *after), [METER])
    assert (slots.above_j[1], at(1, slots)[3]) == (MAX_ENERGY_J, 25_001)


def test_a_step_of_a_fraction_of_a_joule_is_bounded_by_whole_joules_outside_it() -> None:
    """Counts 0, 1 and 2 of 3.6 J are 4 J and 7 J: a level is up to a joule too high, and hides 4 J and that joule."""
    slots = register_slots(samples((0, 0), (SLOT_MS, 1), (2 * SLOT_MS, 2)), [version(Fraction(18, 5))])
    assert slots.energy_j.tolist() == [4, 3, 0]
    assert slots.below_j.tolist()[:2] == [0, 1]
    assert slots.above_j.tolist()[:2] == [0, 5]
    assert (slots.under_j.tolist(), slots.over_j.tolist()) == ([5, 0, 1], [1, 0, 5])


def test_what_a_first_lag_leaves_over_was_counted_before_its_slot() -> None:
    """A kWh shown 6 min after the first reading, 2 kW x 6 min = 0.72 MJ: 2.88 MJ ahead, of which a minute carries 0.12.

    The rest, and the joule that the minute keeps, was in the register when its slot began: less of its step is hidden.
    """
    slots = register_slots(samples((60_000, 7), (420_000, 8), (900_000, 8)), [version(KWH, 2_000)])
    ahead = 2_760_000 + 1
    assert slots.energy_j.tolist() == [KWH - ahead, 0]
    assert slots.unknown_j.tolist()[0] == 1
    assert (slots.under_j.tolist(), slots.over_j.tolist()[0]) == ([KWH - ahead, 0], 0)
    assert at(0, slots) == (-ahead, 0, 0, 0)


def test_a_first_reading_asked_for_before_its_slot_leaves_the_edge_open() -> None:
    """20 s at 1 kW after the request may have gone before the slot; by the registers alone, up to the next 30 kJ."""
    slots = register_slots(asked((-20_000, 10_000, 7), (40_000, 40_000, 30_007)), [METER])
    assert (slots.above_j[0], slots.above_capped_j[0], slots.under_j[0]) == (30_000, 20_000, 1)


def test_what_a_last_lead_leaves_over_is_no_longer_hidden() -> None:
    """A kWh after 14 min in which 1 kW carries 0.84 MJ: 2.76 MJ ahead, of which the last minute carries 0.06."""
    slots = register_slots(samples((0, 7), (840_000, 8)), [version(KWH, 1_000)])
    assert slots.unknown_j.tolist() == [1]
    assert slots.over_j.tolist() == [KWH - 2_700_000 - 1]


def test_a_last_reading_at_an_edge_hides_a_step_there_too() -> None:
    """A window that ends with it holds up to 100 J and a step of 10; the slot after it starts up to a step higher."""
    slots = register_slots(samples((0, 0), (SLOT_MS, 10)), [version(10, 1000)])
    assert slots.energy_j.tolist() == [100, 0]
    assert at(1, slots) == (100, 110, 100, 110)


# Where registers meet


def test_a_reading_beyond_a_refuted_rise_bounds_an_edge_at_which_the_one_before_was_under_way() -> None:
    """The third reading is under way at 900 s, the fourth rises by 1 MJ in 110 s at most: the limit of 1 kW is wrong.

    Since the edge 110 kJ may have flowed by the limit, but nobody knows by how much it is wrong: only the fourth
    reading's level, and its hidden step, hold the edge from above.
    """
    readings = [(0, 0, 0), (600_000, 600_000, 500_000), (890_000, 930_000, 760_000), (1_000_000, 1_000_000, 1_760_000)]
    slots = register_slots(asked(*readings, (1_060_000, 1_060_000, 1_800_000)), [METER])
    assert slots.flags[1] & Flag.LIMIT_REFUTED
    assert at(1, slots)[1] == 1_760_001


def test_a_refuted_rise_that_ends_in_a_reading_under_way_is_bounded_by_the_next_one() -> None:
    """From 600 to 930 s the register rose by 1 MJ; its last reading may have been taken before the edge at 900 s."""
    readings = [(0, 0, 0), (300_000, 300_000, 200_000), (600_000, 600_000, 400_000), (890_000, 930_000, 1_400_000)]
    slots = register_slots(
        asked(*readings, (1_000_000, 1_000_000, 1_460_000), (1_060_000, 1_060_000, 1_500_000)), [METER]
    )
    assert slots.flags[0] & Flag.LIMIT_REFUTED
    assert at(1, slots) == (400_000, 1_460_001, 400_000, 1_460_001)


@pytest.mark.parametrize(
    ("versions", "readings", "flags"),
    [
        pytest.param([version(10, 1000)], [(MINUTE_MS, 50), (2 * MINUTE_MS, 3), (SLOT_MS, 4)], Flag.RESET, id="reset"),
        pytest.param(
            [version(10, 1000, to_ms=100_000), version(10, 1000, from_ms=100_000, continues=False)],
            [(MINUTE_MS, 50), (2 * MINUTE_MS, 3), (SLOT_MS, 4)],
            Flag.RESET | Flag.REPLACED,
            id="exchanged",
        ),
        pytest.param(
            [version(10, 1000, to_ms=100_000), version(10, 1000, from_ms=100_000, replacement=(60, 2))],
            [(MINUTE_MS, 50), (2 * MINUTE_MS, 3), (SLOT_MS, 4)],
            Flag.REPLACED,
            id="replaced",
        ),
    ],
)
def test_where_registers_meet_the_hidden_step_of_each_is_open(
    versions: list[object], readings: list[tuple[int, int]], flags: int
) -> None:
    """Steps of 10 J: one less and one more in the middle, one less where the series begins, one more where it ends."""
    slots = register_slots(samples(*readings), versions)  # type: ignore[arg-type]  # versions all the same
    assert (slots.under_j.tolist(), slots.over_j.tolist()) == ([20, 0], [10, 10])
    assert slots.flags[0] & flags == flags


def test_a_rescaled_register_opens_the_old_step_upwards_and_the_new_one_downwards() -> None:
    rows = [version(10, 1000, to_ms=100_000), version(30, 1000, from_ms=100_000)]
    slots = register_slots(samples((MINUTE_MS, 50), (2 * MINUTE_MS, 3), (SLOT_MS, 4)), rows)
    assert (slots.under_j.tolist(), slots.over_j.tolist()) == ([10 + 30, 0], [10, 30])


def test_a_meeting_belongs_to_the_slot_of_the_reading_before_it() -> None:
    readings = [(0, 50), (SLOT_MS, 50), (3 * SLOT_MS, 3), (4 * SLOT_MS, 4)]
    slots = register_slots(samples(*readings), [version(10, 1000)])
    assert (slots.under_j.tolist(), slots.over_j.tolist()) == ([10, 10, 0, 0, 0], [0, 10, 0, 0, 10])


def test_a_refuted_limit_joins_no_registers_and_caps_nothing_beside_it() -> None:
    """400 J/s across the edge on a meter of 10 W: known energy, anywhere between its two readings."""
    readings = [(SLOT_MS - 60_000, 0), (SLOT_MS - 5000, 100), (SLOT_MS + 5000, 4100), (SLOT_MS + 60_000, 4200)]
    slots = register_slots(samples(*readings), [version(1, 10)])
    assert slots.energy_j.tolist() == [2100, 2100]
    assert at(1, slots) == (100, 4101, 100, 4101)
    assert (slots.under_j.tolist(), slots.over_j.tolist()) == ([1, 0], [0, 1])
    assert [mark & Flag.LIMIT_REFUTED for mark in slots.flags.tolist()] == [Flag.LIMIT_REFUTED] * 2


# Where caps contradict each other. Read every half minute, each half a minute after its request; 45 kJ each time, so
# that any two readings can be true, and five together cannot. The edge is at the third of them, at 90 kJ.


@pytest.mark.parametrize(
    ("offset", "mark"),
    [
        pytest.param(0, Flag.LIMIT_REFUTED, id="nothing explains it"),
        pytest.param(29_998 << 23, Flag.LIMIT_REFUTED, id="nor resolution of a float32 register by a joule"),
        pytest.param(29_999 << 23, 0, id="resolution of a float32 register"),
        pytest.param((29_999 << 23) - 100_000, 0, id="which is that of the greater count"),
    ],
)
def test_caps_that_contradict_each_other_refute_the_limit_at_their_edge(offset: int, mark: int) -> None:
    """At the edge at most 90 s of 1 kW since the first request and a step; at least 180 kJ less the 60 s after it.

    120,000 - 90,001 = 29,999. The registers alone say from 90 kJ to 135 and a step.
    """
    half = MINUTE_MS // 2
    readings = [(SLOT_MS + (place - 2) * half, offset + 45_000 * place) for place in range(5)]
    slots = register_slots(samples(*readings, took_ms=half), [METER])
    assert at(1, slots) == (90_000, 135_001, 90_000, 135_001)
    assert slots.flags.tolist() == [0, mark]


def test_an_estimate_set_free_does_not_step_back_before_the_one_at_the_first_edge() -> None:
    """The lag of 198.5 kJ less 90 counts as 100 + 60 x 0.1: 62.5 kJ and a joule more than 435 s x 100 W before it.

    At 900 s at least 100 - 43.5 + 98.5 = 155 kJ, at most 100 + 46.5: set free, the line between them is at 51.7.
    """
    slots = register_slots(samples((435_000, 0), (1_335_000, 1), (1_350_000, 2)), [version(100_000, 100)])
    assert slots.energy_j.tolist() == [0, 200_000 - 62_501]


def test_at_its_reply_a_last_reading_hides_no_more_than_its_lead_leaves_of_its_step() -> None:
    """23 steps of 118 J in 895 s of 3 W: 29 J ahead, of which 5 s under way carry 15. So 118 - 14."""
    readings = (870_000, 900_000, 5), (2_700_000, 2_700_000, 27), (3_595_000, 3_600_000, 50)
    slots = register_slots(asked(*readings), [version(118, 3)])
    assert (slots.above_j[3], slots.above_capped_j[3]) == (MAX_ENERGY_J, 104)


def test_each_reading_under_way_at_an_edge_caps_it_by_the_time_since_its_own_request() -> None:
    """Asked for 20, 5 and 1 s before the edge, all showing the same: 1 kW x 1 s and a step. Alone, 40 kJ and a step."""
    readings = (880_000, 880_000, 0), (895_000, 905_000, 0), (899_000, 910_000, 0), (940_000, 940_000, 40_000)
    slots = register_slots(asked(*readings), [METER])
    assert at(1, slots) == (0, 40_001, 0, 1001)


# Unknown energy


def test_a_new_register_asked_before_an_edge_bounds_what_was_there_at_the_edge() -> None:
    """Reset at 850 s, asked for at 860, answered 50 s later: at 900 s it held 40 s x 2 kW more, at most."""
    readings = (840_000, 840_000, 1_000_000), (860_000, 910_000, 10_000), (1_800_000, 1_800_000, 950_000)
    slots = register_slots(asked(*readings), [version(1, 2_000)])
    assert (slots.above_j[1], slots.above_capped_j[1]) == (940_001, 80_001)


def test_an_edge_at_the_last_reading_of_a_register_ends_with_what_that_one_hid() -> None:
    """Steps of 1000 J and then of 1 J, exchanged after 1000 s: by 900 s up to a large step had flowed."""
    rows = [version(1000, 1, to_ms=1_000_000), version(1, 1, from_ms=1_000_000)]
    slots = register_slots(samples((0, 0), (900_000, 0), (1_800_000, 800)), rows)
    assert (slots.above_j[1], slots.above_capped_j[1]) == (1000, 1000)
    declared = [version(1000, 1, to_ms=900_000), version(1, 1, from_ms=900_000, replacement=(0, 0))]
    slots = register_slots(samples((0, 0), (1_800_000, 900)), declared)
    assert (slots.above_j[1], slots.above_capped_j[1]) == (1000, 1000)


@pytest.mark.parametrize(
    ("steps", "readings", "unknown_j"),
    [
        pytest.param((1, 1, 1), ((0, 0), (540, 540_000), (1260, 60_000), (1800, 600_000)), 7_200_000, id="none read"),
        pytest.param((1, 2, 1), ((0, 0), (400, 400_000)), 500 * 10_000, id="after the last reading"),
        pytest.param((2, 1, 1), ((1250, 0), (1300, 400)), 350 * 10_000 + 500 * 1000, id="before the first reading"),
    ],
)
def test_time_in_which_another_version_was_in_force_carries_what_that_one_could(
    steps: tuple[int, int, int], readings: tuple[tuple[int, int], ...], unknown_j: int
) -> None:
    """1 kW, from 600 s 10 kW, from 1200 s 1 kW again: nobody read the fast meter, and it may have been at its limit."""
    cuts = [(0, 600_000), (600_000, 1_200_000), (1_200_000, None)]
    rows = [
        version(step, power, from_ms=start, to_ms=end, continues=False)
        for step, power, (start, end) in zip(steps, (1000, 10_000, 1000), cuts, strict=True)
    ]
    slots = register_slots(samples(*((second * 1000, count) for second, count in readings)), rows)
    assert int(slots.unknown_j.sum()) >= unknown_j


def test_a_lag_behind_a_reset_is_that_of_the_new_register() -> None:
    """A kWh 15 s after the new register's first reply was there 2.1 MJ before: 15 s x 100 kW hold no more than that.

    60 s before the first reading hold 6 MJ, and 810 s after the last one 81 less the 2.1 of its lead.
    """
    slots = register_slots(samples((60_000, 10), (75_000, 0), (90_000, 1)), [COARSE])
    assert slots.unknown_j.tolist() == [6_000_000 + 1 + 81_000_000 - 2_100_000]


def test_unknown_energy_lasts_from_the_request_on_its_left_to_the_reply_on_its_right() -> None:
    """Asked for at 50 s, answered at 70 s by the register after its fall: 20 s. 30 s before the first reading.

    From the last request, at 80 s, on: 820 s.
    """
    readings = (25_000, 30_000, 9000), (50_000, 52_000, 9001), (60_000, 70_000, 0), (80_000, 82_000, 1)
    slots = register_slots(asked(*readings), [METER])
    assert slots.unknown_j.tolist() == [30_000 + 20_000 + 820_000]
    assert slots.gap_ms.tolist() == [30_000 + 18_000 + 818_000]


def test_time_between_one_request_and_the_next_is_unknown_once() -> None:
    """One reading, asked for 10 s before its reply: the whole slot once."""
    slots = register_slots(asked((50_000, 60_000, 5)), [METER])
    assert slots.unknown_j.tolist() == [900_000]


def test_what_a_register_showed_too_early_cannot_flow_again() -> None:
    """45 kJ in half a minute of requests: 15 of the last reading's 840 s at 1 kW have been counted. 60 s before it."""
    half = MINUTE_MS // 2
    slots = register_slots(samples((half, 0), (2 * half, 45_000), took_ms=half), [METER])
    assert slots.unknown_j.tolist() == [(30_000 - 15_000) + (870_000 - 15_000)]


def test_a_lead_that_overlaps_the_stretch_before_is_used_up_there() -> None:
    """A single reading has none; a fall right after a lucky one takes its lead off once.

    Before the first reply, 30 s less the 15 kJ by which the second is ahead. From the second's request at 30 s to the
    third's reply at 90 s, 60 s less 15 kJ. From the last request at 90 s on, 810 s.
    """
    half = MINUTE_MS // 2
    readings = [(half, 10_000), (2 * half, 55_000), (3 * half, 0), (4 * half, 1)]
    slots = register_slots(samples(*readings, took_ms=half), [METER])
    assert slots.unknown_j.tolist() == [15_000 + 45_000 + 810_000]


def test_stretches_that_overlap_share_the_lead_of_the_later_one() -> None:
    """The lucky reading is asked for at 30 s and answered at 60 s, within the stretch of the first that ends at 45 s.

    The first register ends at 0 and the second starts at 45 s: 45 s less the 15 kJ that the third is ahead of it; the
    stretch of the third, from 45 s on, has used up all of its lead by then. So 30 + 855 kJ.
    """
    readings = (0, 45_000, 0), (30_000, 60_000, 45_000)
    slots = register_slots(asked(*readings), [METER])
    assert slots.unknown_j.tolist() == [(45_000 - 30_000) + (855_000 - 0)]


def test_leads_say_nothing_across_a_change_of_maximum_power() -> None:
    """15 kJ ahead of 1 kW, then another register of 1 kW, or of 2 kW: 60 s of the larger, less 15 kJ or nothing."""
    half = MINUTE_MS // 2
    readings = samples((half, 10_000), (2 * half, 55_000), (3 * half, 0), (4 * half, 1), took_ms=half)
    for power_w, between_j in ((1000, 60_000 - 15_000), (2000, 120_000)):
        rows = [version(1, 1000, to_ms=65_000), version(1, power_w, from_ms=65_000, continues=False)]
        after_j = 810 * power_w
        assert register_slots(readings, rows).unknown_j.tolist() == [15_000 + between_j + after_j]


def test_an_edge_inside_unknown_energy_keeps_the_level_and_hides_the_new_registers_step() -> None:
    """Coarse steps: the register showed its kWh 3.6 - 1.5 MJ too early, 20 s before the edge.

    5 s before the edge it was asked again; of its 2.1 MJ, less 1.5 for the 15 s in between, 0.5 had flowed by the edge:
    0.1 MJ more may lie before it. What the new register hides lies before the edge or behind it.
    """
    readings = [(SLOT_MS - 35_000, 10), (SLOT_MS - 20_000, 11), (SLOT_MS - 5000, 11)]
    after = [(SLOT_MS + 10_000, 0), (SLOT_MS + 25_000, 0)]
    slots = register_slots(samples(*readings, *after), [COARSE])
    assert slots.energy_j.tolist() == [KWH, 0]
    assert at(1, slots) == (KWH - 100_000, 2 * KWH, KWH - 100_000, 2 * KWH)


def test_a_lead_as_large_as_its_stretch_leaves_only_the_hidden_steps() -> None:
    """A kWh shown 5 s before the edge is 2.1 MJ ahead: 15 s until the new register replies carry 1.5 of it.

    In the first slot 880 s before the first reading are less by 2.1 MJ for the step that followed it.
    """
    readings = [(SLOT_MS - 20_000, 10), (SLOT_MS - 5000, 11), (SLOT_MS + 10_000, 0), (SLOT_MS + 25_000, 0)]
    slots = register_slots(samples(*readings), [COARSE])
    assert slots.unknown_j.tolist() == [88_000_000 - 2_100_000 + 1, 87_500_000 + 1]
    assert (slots.under_j.tolist(), slots.over_j.tolist()) == ([2 * KWH, 0], [KWH, KWH])
