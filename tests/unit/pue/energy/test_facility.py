"""Facilities: weights, required meters, parents and children, by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pue.contract.errors import Fatal
from pue.contract.quality import Flag, Quality
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.facility import Term, facility_curve
from pue.energy.registers import register_slots
from pue.energy.rolling import WindowResult, window_result
from tests.unit.pue.meters import KWH, facility, key, kwh_slots, samples, term, version

MAINS = (term("main-a", 1), term("main-b", 1))
FEEDS = (term("ups-a", b=1), term("ups-b", b=1, max_power_w=1_000_000))
DAY = {"main-a": [400], "main-b": [250], "ups-a": [300], "ups-b": [200]}


def whole(*, energies: Mapping[str, Sequence[int]], terms: tuple[Term, ...]) -> WindowResult:
    curve = facility(energies, *terms)
    return window_result(curve, 0, int(curve.edges_ms[-1]))


def test_two_mains_over_two_ups_feeds() -> None:
    result = whole(energies=DAY, terms=MAINS + FEEDS)
    assert result.pue == Fraction(13, 10)
    assert (result.pue_lower, result.pue_upper) == (Fraction(13, 10), Fraction(13, 10))
    assert (result.coverage, result.flags) == (Fraction(1), 0)
    assert not result.reasons
    assert result.quality_share == {"measured": 1}


def test_a_missing_feed_makes_no_ratio_of_what_arrived() -> None:
    """A megawatt is 250 kWh a slot."""
    result = whole(energies={name: DAY[name] for name in ("main-a", "main-b", "ups-a")}, terms=MAINS + FEEDS)
    assert result.pue is None
    assert (result.total_j, result.it_j, result.coverage) == (0, 0, Fraction(0))
    assert result.reasons == ("required_meter_missing:ups-b", "no_it_energy")
    assert result.coverage_by_meter == {"main-a": 1, "main-b": 1, "ups-a": 1, "ups-b": 0}
    assert (result.total_lower_j, result.total_upper_j) == (650 * KWH, 650 * KWH)
    assert (result.it_lower_j, result.it_upper_j) == (300 * KWH, 550 * KWH)
    assert (result.pue_lower, result.pue_upper) == (Fraction(650, 550), Fraction(650, 300))


def test_a_slot_with_a_missing_required_meter_counts_in_neither_sum() -> None:
    """4 MW are 1000 kWh a slot."""
    result = whole(energies={"main-a": [400, 500, 600], "ups-a": [300]}, terms=(MAINS[0], FEEDS[0]))
    assert (result.total_j, result.it_j) == (400 * KWH, 300 * KWH)
    assert result.coverage == Fraction(1, 3)
    assert (result.total_lower_j, result.total_upper_j) == (1500 * KWH, 1500 * KWH)
    assert (result.it_lower_j, result.it_upper_j) == (300 * KWH, 2300 * KWH)


def test_a_missing_meter_that_is_not_required_widens_the_bounds_only() -> None:
    office = term("office", -1, required=False, max_power_w=100_000)
    result = whole(energies={"main-a": [400], "ups-a": [300]}, terms=(MAINS[0], FEEDS[0], office))
    assert (result.pue, result.coverage) == (Fraction(4, 3), Fraction(1))
    assert not result.reasons
    assert (result.total_lower_j, result.total_upper_j) == (375 * KWH, 400 * KWH)
    assert result.flags == Flag.MISSING


def test_without_a_known_limit_a_missing_meter_has_no_upper_bound() -> None:
    endless = {"max_power_w": 0, "required": False}
    mains, feeds = term("main-a", 1), term("ups-a", b=1)
    known = {"main-a": [400], "ups-a": [300]}
    more = whole(energies=known, terms=(mains, feeds, term("chiller", 1, **endless)))
    assert (more.total_lower_j, more.total_upper_j, more.pue_upper) == (400 * KWH, MAX_ENERGY_J, None)
    assert more.pue_lower == Fraction(4, 3)
    assert (more.it_lower_j, more.it_upper_j) == (300 * KWH, 300 * KWH)
    less = whole(energies=known, terms=(mains, feeds, term("office", -1, **endless)))
    assert (less.total_lower_j, less.total_upper_j, less.pue_lower) == (0, 400 * KWH, Fraction(0))
    it = whole(energies=known, terms=(mains, feeds, term("ups-b", b=1, **endless)))
    assert (it.it_upper_j, it.pue_lower, it.pue_upper) == (MAX_ENERGY_J, Fraction(0), Fraction(4, 3))
    crac = whole(energies=known, terms=(mains, feeds, term("crac", b=-1, **endless)))
    assert (crac.it_lower_j, crac.pue_upper) == (0, None)


def test_export_is_taken_off_and_solar_power_added() -> None:
    """Grid 900, PV 120, export 20, IT 800: 1.25; without the PV it would be 1.10."""
    terms = (term("grid", 1), term("pv", 1), term("export", -1), term("it", b=1))
    result = whole(energies={"grid": [900], "pv": [120], "export": [20], "it": [800]}, terms=terms)
    assert result.pue == Fraction(5, 4)
    without = whole(energies={"grid": [900], "export": [20], "it": [800]}, terms=(terms[0], *terms[2:]))
    assert without.pue == Fraction(11, 10)


def test_cooling_on_an_it_feed_is_taken_off_it_energy() -> None:
    result = whole(
        energies={"main-a": [600], "ups-a": [500], "crac": [20]}, terms=(MAINS[0], FEEDS[0], term("crac", b=-1))
    )
    assert result.pue == Fraction(600, 480)


def test_a_share_of_a_third_is_rounded_once_per_edge() -> None:
    slots = {
        key("shared"): register_slots(samples((0, 0), (SLOT_MS, 1), (2 * SLOT_MS, 2), (3 * SLOT_MS, 3)), [version()])
    }
    curve = facility_curve(slots, [term("shared", Fraction(1, 3))], 0, 3 * SLOT_MS)
    assert curve.total_j.tolist() == [0, 0, 1, 1]
    result = window_result(curve, 0, 3 * SLOT_MS)
    assert result.total_lower_j <= 1 <= result.total_upper_j


def test_half_a_joule_is_rounded_up_and_bounds_outwards_with_one_joule_to_spare() -> None:
    """6 J flow within two slots, any of them perhaps on the other side of the edge, and a step of 1: 0 to 7 J before.

    Halves are 1.5 J, at most 3.5.
    """
    slots = {key("shared"): register_slots(samples((0, 0), (2 * SLOT_MS, 6), (3 * SLOT_MS, 6)), [version()])}
    curve = facility_curve(slots, [term("shared", Fraction(1, 2))], 0, 2 * SLOT_MS)
    assert curve.total_j.tolist() == [0, 2, 3]
    result = window_result(curve, 0, SLOT_MS)
    assert (result.total_lower_j, result.total_upper_j) == (0, 4 + 1)


def test_a_share_of_unknown_energy_is_rounded_outwards_with_one_joule_to_spare() -> None:
    """A missing meter of 1 W holds up to 900 J a slot: 900 / 29 = 31.03, 1800 / 29 = 62.07."""
    lost = {weight: term("lost", Fraction(weight, 29), max_power_w=1) for weight in (1, -1)}
    curve = facility_curve({}, [lost[1]], 0, 2 * SLOT_MS)
    uppers = [window_result(curve, 0, edge * SLOT_MS).total_upper_j for edge in (1, 2)]
    assert uppers == [32 + 1, 63 + 1]
    less = window_result(facility({"main": [1]}, term("main", 1), lost[-1]), 0, SLOT_MS)
    assert (less.total_lower_j, less.total_upper_j) == (KWH - 32 - 1, KWH + 1)


def test_a_weight_holds_from_its_start_to_its_end() -> None:
    terms = (
        term("main-a", 1, to_ms=SLOT_MS),
        term("main-a", Fraction(1, 2), from_ms=SLOT_MS, to_ms=3 * SLOT_MS),
        term("ups-a", b=1),
    )
    result = whole(energies={"main-a": [400, 500, 600], "ups-a": [300, 300, 300]}, terms=terms)
    assert result.total_j == (400 + 250 + 300) * KWH
    assert result.coverage == 1
    assert result.coverage_by_meter == {"main-a": 1, "ups-a": 1}


def test_a_weight_that_starts_inside_a_slot_holds_from_the_next_one() -> None:
    result = whole(energies={"main-a": [400, 700], "ups-a": [300, 300]}, terms=(term("main-a", 1, from_ms=1), FEEDS[0]))
    assert result.total_j == 700 * KWH


@pytest.mark.parametrize("span", [{"from_ms": SLOT_MS}, {"to_ms": SLOT_MS}])
def test_a_meters_coverage_is_of_the_time_in_which_it_has_a_weight(span: dict[str, int]) -> None:
    result = window_result(facility_curve({}, [term("main-a", 1, **span)], 0, 2 * SLOT_MS), 0, 2 * SLOT_MS)
    assert result.coverage_by_meter == {"main-a": 0}


def test_a_term_of_another_time_is_no_part_of_the_curve() -> None:
    terms = (term("main-a", 1, to_ms=SLOT_MS), term("main-b", 1, from_ms=SLOT_MS), term("old", 1, to_ms=0))
    curve = facility_curve({}, (*terms, term("new", 1, from_ms=2 * SLOT_MS)), 0, 2 * SLOT_MS)
    assert curve.terms == terms[:2]


def test_a_change_of_weight_between_two_readings_keeps_the_truth_inside() -> None:
    """100 kWh flow within two slots: all before, or all after the weight falls from 1 to 0 at the edge between.

    By the edge a step more than the register shows in the end may have flowed; after the edge, before the end too.
    """
    slots = {key("main"): register_slots(samples((0, 0), (2 * SLOT_MS, 100)), [version(KWH, 10**9)])}
    terms = [term("main", 1, to_ms=SLOT_MS), term("main", 0, from_ms=SLOT_MS)]
    result = window_result(facility_curve(slots, terms, 0, 2 * SLOT_MS), 0, 2 * SLOT_MS)
    assert (result.total_j, result.total_lower_j, result.total_upper_j) == (50 * KWH, 0, 101 * KWH)
    later = [term("main", 0, to_ms=SLOT_MS), term("main", 1, from_ms=SLOT_MS)]
    result = window_result(facility_curve(slots, later, 0, 2 * SLOT_MS), 0, 2 * SLOT_MS)
    assert (result.total_j, result.total_lower_j, result.total_upper_j) == (50 * KWH, 0, 101 * KWH)


def test_a_time_without_a_required_meter_is_not_covered() -> None:
    result = whole(energies={"main-a": [400, 500], "ups-a": [300, 300]}, terms=(term("main-a", 1, to_ms=SLOT_MS),))
    assert result.coverage == Fraction(1, 2)
    nothing = facility_curve({}, [], 0, 2 * SLOT_MS)
    empty = window_result(nothing, 0, 2 * SLOT_MS)
    assert (empty.pue, empty.coverage) == (None, Fraction(0))
    assert not empty.coverage_by_meter
    assert not empty.quality_share
    assert (empty.total_lower_j, empty.total_upper_j, empty.pue_upper, empty.u_pue) == (0, 0, None, None)


def test_a_gap_is_uncovered_although_its_energy_counts() -> None:
    slots = {
        key("main-a"): register_slots(samples((0, 0), (2 * SLOT_MS, 26), (3 * SLOT_MS, 39)), [version(KWH, 10**9)]),
        key("ups-a"): kwh_slots(10, 10, 10),
    }
    curve = facility_curve(slots, [MAINS[0], FEEDS[0]], 0, 3 * SLOT_MS)
    result = window_result(curve, 0, 3 * SLOT_MS)
    assert (result.pue, result.coverage) == (Fraction(13, 10), Fraction(1, 3))
    assert result.quality_share == {"measured": Fraction(1, 3), "allocated": Fraction(2, 3)}
    half = window_result(curve, 0, SLOT_MS)
    assert (half.total_j, half.total_lower_j, half.total_upper_j) == (13 * KWH, 0, 27 * KWH)


def test_gaps_of_two_required_meters_in_one_slot_add_up_to_at_most_the_slot() -> None:
    late = register_slots(samples((300_000, 0), (SLOT_MS, 9), (2 * SLOT_MS, 18)), [version(KWH, 10**9)])
    very_late = register_slots(samples((800_000, 0), (SLOT_MS, 9), (2 * SLOT_MS, 18)), [version(KWH, 10**9)])
    slots = {key("main-a"): late, key("ups-a"): late, key("ups-b"): very_late}
    two = facility_curve(slots, [MAINS[0], FEEDS[0]], 0, 2 * SLOT_MS)
    three = facility_curve(slots, [MAINS[0], *FEEDS], 0, 2 * SLOT_MS)
    assert two.gap_ms.tolist() == [0, 600_000, 600_000]
    assert three.gap_ms.tolist() == [0, SLOT_MS, SLOT_MS]


def test_shares_of_energy_are_weighed_and_the_worse_of_facility_and_it_is_told() -> None:
    """Facility: 30 / 3 = 10 measured, 30 allocated. IT: 2 / 2 = 1 measured, 9 read by a person."""
    by_hand = [int(Quality.OUT_OF_BAND)] * 3
    slots = {
        key("main-a"): kwh_slots(10, 20),
        key("main-b"): register_slots(samples((0, 0), (2 * SLOT_MS, 30)), [version(KWH, 10**9)]),
        key("ups-a"): kwh_slots(1, 1),
        key("ups-b"): register_slots(
            samples((0, 0), (SLOT_MS, 4), (2 * SLOT_MS, 9), quality=by_hand), [version(KWH, 10**9)]
        ),
    }
    terms = [term("main-a", Fraction(1, 3)), MAINS[1], term("ups-a", b=Fraction(1, 2)), FEEDS[1]]
    result = window_result(facility_curve(slots, terms, 0, 2 * SLOT_MS), 0, 2 * SLOT_MS)
    assert result.quality_share == {
        "measured": Fraction(1, 10),
        "allocated": Fraction(3, 4),
        "manual": Fraction(9, 10),
    }


def test_energy_is_exact_beyond_what_a_float_holds() -> None:
    """2**53 J and 1 J: as floats their sum would lose the one."""
    slots = {key(meter): register_slots(samples((0, 0), (SLOT_MS, 1)), [version()]) for meter in ("many", "one")}
    curve = facility_curve(slots, [term("many", 2**53), term("one", 1)], 0, SLOT_MS)
    result = window_result(curve, 0, SLOT_MS)
    assert result.total_j == 2**53 + 1
    assert result.quality_share == {"measured": 1}


def test_every_column_of_a_curve_is_whole_numbers_and_starts_at_nothing() -> None:
    for curve in (facility({**DAY}, *MAINS, *FEEDS), facility({"main-a": [400]}, *MAINS, *FEEDS)):
        sums = [curve.total_j, curve.it_j, curve.gap_ms]
        sums += [curve.meter_j, curve.meter_gap_ms, curve.meter_slots, *curve.quality_j.values()]
        for column in sums:
            assert column.dtype == np.int64
            assert column.shape[-1] == 2
            assert not column[..., 0].any()


def test_a_bound_is_missing_only_in_windows_with_a_slot_that_has_none() -> None:
    """In the first slot an office that is taken off, in the second a chiller that is added, have no limit."""
    lost = {"required": False, "max_power_w": 0}
    terms = (MAINS[0], term("chiller", 1, from_ms=SLOT_MS, **lost), term("office", -1, to_ms=SLOT_MS, **lost))
    curve = facility({"main-a": [400, 400, 400]}, *terms)
    first, both = (window_result(curve, 0, edge * SLOT_MS) for edge in (1, 2))
    second = window_result(curve, SLOT_MS, 2 * SLOT_MS)
    assert (first.total_lower_j, first.total_upper_j) == (0, 400 * KWH)
    assert (second.total_lower_j, second.total_upper_j) == (400 * KWH, MAX_ENERGY_J)
    assert (both.total_lower_j, both.total_upper_j) == (0, MAX_ENERGY_J)


# Parents and children


def test_a_missing_feed_carries_at_most_what_its_parent_carries_less_its_sibling() -> None:
    terms = (term("ups", 1), term("out-a", b=1, parent="ups"), term("out-b", b=1, parent="ups"))
    result = whole(energies={"ups": [300], "out-a": [180]}, terms=terms)
    assert (result.it_lower_j, result.it_upper_j) == (180 * KWH, 300 * KWH)


def test_a_missing_parent_carries_at_least_what_its_children_carry() -> None:
    terms = (
        term("main", 1),
        term("ups", 0, 1, parent="main", max_power_w=1_000_000),
        term("pdu-1", parent="ups"),
        term("pdu-2", parent="ups"),
    )
    energies = {"main": [300], "pdu-1": [100], "pdu-2": [110]}
    result = whole(energies=energies, terms=terms)
    assert (result.it_lower_j, result.it_upper_j) == (210 * KWH, 250 * KWH)
    narrow = whole(energies=energies, terms=(terms[0], replace(terms[1], max_power_w=10**7), *terms[2:]))
    assert (narrow.it_lower_j, narrow.it_upper_j) == (210 * KWH, 300 * KWH)


def test_a_parent_bounds_a_meter_that_has_no_limit_of_its_own() -> None:
    terms = (term("ups", 1), term("out", b=1, parent="ups", max_power_w=0))
    result = whole(energies={"ups": [300]}, terms=terms)
    assert result.it_upper_j == 300 * KWH


def test_an_unbounded_parent_and_a_parent_of_another_time_say_nothing() -> None:
    terms = (term("ups", 1, max_power_w=0), term("out", b=1, parent="ups", max_power_w=4000))
    result = window_result(facility_curve({}, terms, 0, SLOT_MS), 0, SLOT_MS)
    assert (result.it_upper_j, result.total_upper_j) == (KWH, MAX_ENERGY_J)
    later = (term("ups", 1, from_ms=SLOT_MS), term("out", b=1, parent="ups", max_power_w=4000))
    result = window_result(facility_curve({key("ups"): kwh_slots(0, 0)}, later, 0, 2 * SLOT_MS), 0, 2 * SLOT_MS)
    assert result.it_upper_j == KWH


def test_a_parent_that_is_not_weighed_or_measures_something_else_says_nothing() -> None:
    terms = (term("main", 1), term("out", b=1, parent="elsewhere", max_power_w=4000))
    result = whole(energies={"main": [0]}, terms=terms)
    assert result.it_upper_j == KWH


def test_meters_that_are_each_others_parents_are_refused() -> None:
    with pytest.raises(Fatal, match="one, two are each other's parents"):
        facility_curve({}, [term("one", 1, parent="two"), term("two", 1, parent="one")], 0, SLOT_MS)


# Ranges


def test_a_window_off_the_slot_grid_is_refused() -> None:
    for span in ((1, SLOT_MS), (0, SLOT_MS + 1), (SLOT_MS, 0)):
        with pytest.raises(Fatal, match="not made of slots"):
            facility_curve({}, [], *span)


def test_weights_that_would_pass_the_range_are_refused() -> None:
    with pytest.raises(Fatal, match="check their weights"):
        facility({"main": [10**9]}, term("main", 10**9))
    with pytest.raises(Fatal, match="check their weights"):
        facility({"main": [500]}, term("main", 10**10))


def test_a_missing_meters_energy_that_would_pass_the_range_is_refused_although_its_child_is_known() -> None:
    """1000 kWh at most, at least the child's 900: 3.6e9 J x 2e9 are more than 2**62 J."""
    terms = (term("ups", 2 * 10**9, max_power_w=4_000_000), term("out", b=1, parent="ups"))
    with pytest.raises(Fatal, match="check their weights"):
        facility({"out": [900]}, *terms)


def test_a_window_of_no_time_holds_nothing() -> None:
    curve = facility_curve({}, [term("main", 1)], SLOT_MS, SLOT_MS)
    result = window_result(curve, SLOT_MS, SLOT_MS)
    assert (curve.edges_ms.tolist(), curve.terms) == ([SLOT_MS], ())
    assert (result.total_j, result.total_upper_j, result.pue, result.coverage) == (0, 0, None, Fraction(0))


@pytest.mark.parametrize("weight", [Fraction(1, 3**50), Fraction(10**30)])
def test_weights_that_no_column_can_hold_are_refused_even_without_energy(weight: Fraction) -> None:
    with pytest.raises(Fatal, match="check their weights"):
        facility({"main": [0], "ups": [0]}, term("main", weight), term("ups", b=weight))


def test_unknown_energy_beyond_the_range_is_unbounded() -> None:
    slots = kwh_slots(5)
    endless = replace(slots, unknown_j=np.where(slots.start_ms == 0, MAX_ENERGY_J, 0))
    unlimited = term("main", 1, max_power_w=0)
    result = window_result(facility_curve({key("main"): endless}, [unlimited], 0, SLOT_MS), 0, SLOT_MS)
    assert (result.total_lower_j, result.total_upper_j) == (5 * KWH, MAX_ENERGY_J)


def test_slots_outside_the_window_are_ignored_and_inner_ones_that_are_missing_are_unknown() -> None:
    """Of 2, 3 and 4 kWh the 3 are missing, on a meter of 16 kW: up to 4 kWh."""
    slots = kwh_slots(1, 2, 3, 4)
    holey = {key("main"): slots.select(np.array([True, True, False, True, True]))}
    curve = facility_curve(holey, [term("main", 1, max_power_w=16_000)], SLOT_MS, 4 * SLOT_MS)
    result = window_result(curve, SLOT_MS, 4 * SLOT_MS)
    assert (result.total_j, result.total_lower_j, result.total_upper_j) == (6 * KWH, 6 * KWH, 10 * KWH)
    assert result.coverage == Fraction(2, 3)


def test_no_bound_is_over_what_the_meter_can_carry() -> None:
    """1000 kWh flow within two slots on a meter of 2400 kW: any one slot holds at most 600 of them, at least 0."""
    slots = {key("main"): register_slots(samples((0, 0), (3 * SLOT_MS, 1000)), [version(KWH, 2_400_000)])}
    for weight, expected in ((1, (0, 600)), (-1, (100, 700))):
        terms = [term("main", weight, max_power_w=2_400_000), term("base", int(weight < 0))]
        curve = facility_curve(slots | {key("base"): kwh_slots(700, 700, 700)}, terms, 0, 3 * SLOT_MS)
        result = window_result(curve, SLOT_MS, 2 * SLOT_MS)
        assert (result.total_lower_j, result.total_upper_j) == (expected[0] * KWH, expected[1] * KWH)


def test_what_children_say_of_a_slot_is_not_added_to_what_its_parent_may_have_carried_there() -> None:
    """The child carries 100 kWh in the first slot; the parent's 100 kWh lie anywhere from its middle on.

    They are at least 99, as a step can have been hidden at the first reading.
    """
    half = SLOT_MS // 2
    parent = register_slots(samples((half, 0), (half + SLOT_MS, 100)), [version(KWH, 4_000_000)])
    child = kwh_slots(100, 0)
    terms = [term("ups", 1, max_power_w=4_000_000), term("out", b=1, parent="ups", max_power_w=4_000_000)]
    curve = facility_curve({key("ups"): parent, key("out"): child}, terms, 0, 2 * SLOT_MS)
    assert window_result(curve, 0, 2 * SLOT_MS).total_lower_j == 99 * KWH


def test_what_a_parent_carries_in_a_slot_bounds_only_what_its_child_carries_there() -> None:
    """90 kWh known of the child may all lie in the second slot, and all 60 of the parent's first be its own.

    One kWh more: the step that the parent's register hides at the edge between them.
    """
    child = register_slots(samples((SLOT_MS // 2, 0), (2 * SLOT_MS, 90)), [version(KWH, 4_000_000)])
    terms = [term("ups", 1, max_power_w=4_000_000), term("out", b=1, parent="ups", max_power_w=4_000_000)]
    curve = facility_curve({key("ups"): kwh_slots(60, 100), key("out"): child}, terms, 0, 2 * SLOT_MS)
    assert window_result(curve, 0, 2 * SLOT_MS).it_upper_j == 151 * KWH
