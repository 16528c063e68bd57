"""Days on which meters contradict each other, by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.contradictions import without_contradictions
from pue.energy.facility import FacilityCurve, facility_curve
from pue.energy.grid import Row, Term, lay
from pue.energy.rolling import window_result
from pue.energy.slots import Slots
from tests.unit.pue.meters import int64, key, made_slots, term

SHANGHAI = ZoneInfo("Asia/Shanghai")
MIDNIGHT = 16 * 4
"""Slot in which the first local day begins: 16:00 UTC."""
DAY = 96

UPS = term("ups", 1, max_power_w=1)
OUT_A = term("out-a", b=1, parent="ups", max_power_w=1)
OUT_B = term("out-b", b=1, parent="ups", max_power_w=1)


def rows(meters: Mapping[Term, Slots | None], count: int) -> list[Row]:
    return [lay(slots, term, np.arange(count + 1, dtype=np.int64) * SLOT_MS) for term, slots in meters.items()]


def codes(meters: Mapping[Term, Slots | None], *days: int, least_it_w: Fraction = Fraction(0)) -> list[str]:
    """Contradictions of meters over days given by their borders."""
    _, doubts = without_contradictions(rows(meters, days[-1]), int64(*days), least_it_w)
    return [doubt.code for doubt in doubts]


# A facility in Shanghai, of which every meter carries the same in all slots of a local day


def three_days(meters: Mapping[Term, Sequence[int]], least_it_w: int = 0) -> FacilityCurve:
    slots = {}
    for meter, energies in meters.items():
        energy = [energy for energy in energies for _ in range(DAY)]
        slots[meter.key] = made_slots(*energy, 0, first=MIDNIGHT)
    from_ms = MIDNIGHT * SLOT_MS
    return facility_curve(
        slots,
        list(meters),
        from_ms,
        from_ms + 3 * DAY * SLOT_MS,
        zone=SHANGHAI,
        least_it_w=Fraction(least_it_w),
    )


def day_of(curve: FacilityCurve, first: int, last: int) -> tuple[int, int]:
    return tuple(int(curve.edges_ms[day * DAY]) for day in (first, last))  # type: ignore[return-value]  # two days


def test_children_that_carry_more_than_their_parent_are_not_believed_on_that_local_day() -> None:
    """60 + 41 J of 100 in each slot of the second day: 96 J too many, of 6 for three registers' steps.

    Of 1 W, a slot is at most 900 J, and a day 86,400; of both children, twice that.
    """
    curve = three_days({UPS: (100, 100, 100), OUT_A: (60, 60, 60), OUT_B: (30, 41, 30)})
    (doubt,) = curve.doubts
    assert doubt.code == "balance_broken:ups"
    assert np.flatnonzero(doubt.slots).tolist() == list(range(DAY, 2 * DAY))
    second = window_result(curve, *day_of(curve, 1, 2))
    assert second.contradictions == ("balance_broken:ups",)
    assert (second.pue, second.total_j, second.it_j) == (None, 0, 0)
    assert (second.total_lower_j, second.total_upper_j) == (0, 86_400)
    assert (second.it_lower_j, second.it_upper_j) == (0, 172_800)
    assert second.flags == Flag.BALANCE


def test_the_days_beside_it_are_believed() -> None:
    curve = three_days({UPS: (100, 100, 100), OUT_A: (60, 60, 60), OUT_B: (30, 41, 30)})
    for day in (0, 2):
        result = window_result(curve, *day_of(curve, day, day + 1))
        assert (result.pue, result.contradictions, result.flags) == (Fraction(100, 90), (), 0)
    whole = window_result(curve, *day_of(curve, 0, 3))
    assert (whole.total_j, whole.it_j) == (19_200, 17_280)
    assert (whole.total_lower_j, whole.total_upper_j) == (19_200, 19_200 + 86_400)
    assert whole.contradictions == ("balance_broken:ups",)


def test_losses_below_a_parent_are_no_contradiction() -> None:
    assert three_days({UPS: (100, 100, 100), OUT_A: (10, 20, 30), OUT_B: (0, 0, 0)}).doubts == ()


# Tolerance. Parent and first child of 256 and 192 J err by 4 and 3 J: 5 together. Steps of 1 J, three meters.


def family(surplus_j: int, child: Slots, parent: Slots) -> dict[Term, Slots | None]:
    ups, out = (replace(meter, u_rel=1 / 64, max_power_w=0) for meter in (UPS, OUT_A))
    return {ups: parent, out: child, replace(OUT_B, max_power_w=0): made_slots(64 + surplus_j, 0, 0, 0)}


def balances(meters: Mapping[Term, Slots | None], *days: int) -> list[str]:
    """Broken balances among the contradictions."""
    return [code for code in codes(meters, *days) if code.startswith("balance_broken")]


@pytest.mark.parametrize(("surplus_j", "found"), [(16, []), (17, ["balance_broken:ups"])])
def test_a_balance_is_broken_beyond_twice_the_uncertainty_and_twice_the_steps(surplus_j: int, found: list[str]) -> None:
    """2 x 5 + 2 x 3."""
    meters = family(surplus_j, made_slots(192, 0, 0, 0), made_slots(256, 0, 0, 0))
    assert balances(meters, 0, 1) == found


@pytest.mark.parametrize(("surplus_j", "found"), [(48, []), (49, ["balance_broken:ups"])])
def test_what_edges_and_known_energy_leave_open_is_no_surplus(surplus_j: int, found: list[str]) -> None:
    """16, and 5 + 7 at both edges of the day, and 8 + 12 inside."""
    parent = made_slots(256, 0, 0, 0, below_capped_j=[5, 0, 0, 0], above_capped_j=[0, 7, 0, 0])
    child = made_slots(192, 0, 0, 0, under_j=[8, 0, 0, 0], over_j=[12, 0, 0, 0])
    assert balances(family(surplus_j, child, parent), 0, 1) == found


@pytest.mark.parametrize(
    ("unknown_j", "surplus_j", "found"),
    [
        pytest.param(0, 16 + 9, [], id="of the day only"),
        pytest.param(0, 16 + 10, ["balance_broken:ups"], id="of the day, and one more"),
        pytest.param(1, 16 + 15, [], id="and of what is unknown"),
        pytest.param(1, 16 + 16, ["balance_broken:ups"], id="and of what is unknown, and one more"),
    ],
)
def test_known_slots_have_edges_where_they_begin_and_end(unknown_j: int, surplus_j: int, found: list[str]) -> None:
    """1, 2, 4 and 8 J at the edges of three slots, of which the second is perhaps unknown."""
    parent = made_slots(256, 0, 0, 0, above_capped_j=[1, 2, 4, 8])
    child = made_slots(192, 0, 0, 0, unknown_j=[0, unknown_j, 0, 0])
    assert balances(family(surplus_j, child, parent), 0, 3) == found


def test_only_slots_count_in_which_all_of_the_family_is_known() -> None:
    """In the second slot the parent is missing: 900 J of a child are no more than it can have carried."""
    meters = {UPS: made_slots(100), OUT_A: made_slots(40, 900, 0), OUT_B: made_slots(50, 0, 0)}
    assert codes(meters, 0, 2) == []


def test_a_family_is_of_meters_that_weigh() -> None:
    """A parent, or a child, that counts for nothing is no part of a PUE, and contradicts none."""
    more = {OUT_A: made_slots(101, 0), OUT_B: made_slots(50, 0)}
    weightless = term("ups", max_power_w=1)
    base = {term("main", 1): made_slots(500, 0)}
    assert codes(base | {weightless: made_slots(100, 0)} | more, 0, 1) == []
    checks = {replace(meter, b=Fraction(0)): slots for meter, slots in more.items()}
    assert codes(base | {UPS: made_slots(100, 0)} | checks, 0, 1) == []
    assert codes(base | {UPS: made_slots(100, 0)} | more, 0, 1) == ["balance_broken:ups"]


def test_a_meter_in_parts_is_one_member_of_its_family() -> None:
    parts = {
        replace(UPS, to_ms=SLOT_MS): made_slots(100, 0, 0),
        replace(UPS, from_ms=SLOT_MS): made_slots(0, 100, 0),
    }
    assert codes(parts | {OUT_A: made_slots(100, 100, 0)}, 0, 2) == []
    assert codes(parts | {OUT_A: made_slots(100, 107, 0)}, 0, 2) == ["balance_broken:ups"]


def test_what_a_broken_balance_leaves_open_is_in_the_rows() -> None:
    meters = {UPS: made_slots(100, 100, 0), OUT_A: made_slots(60, 110, 0)}
    believed, _ = without_contradictions(rows(meters, 2), int64(0, 1, 2), Fraction(0))
    assert [row.energy_j.tolist() for row in believed] == [[100, 0], [60, 0]]
    assert [row.high_j.tolist() for row in believed] == [[0, 900], [0, 900]]
    assert [row.flags.tolist() for row in believed] == [[0, Flag.BALANCE], [0, Flag.BALANCE]]


# Ratios that cannot be


MAIN = term("main", 1, u_rel=0.003, max_power_w=0)
IT = term("it", b=1, u_rel=0.004, max_power_w=0)


@pytest.mark.parametrize(
    ("it_j", "found"),
    [
        pytest.param(10**6, [], id="one"),
        pytest.param(1_009_000, [], id="0.991080 + 2 x 0.004955 is 1.000990"),
        pytest.param(1_020_000, ["pue_below_one"], id="0.980392 + 2 x 0.004902 is 0.990196"),
    ],
)
def test_a_day_below_one_beyond_twice_its_uncertainty_is_not_believed(it_j: int, found: list[str]) -> None:
    """Classes of 0.3 and 0.4 % are 0.5 % of the PUE together."""
    meters = {MAIN: made_slots(10**6, 0), IT: made_slots(it_j, 0)}
    assert codes(meters, 0, 1) == found


def test_a_day_that_can_be_above_one_is_believed() -> None:
    """Known are 100 and 200 J; another 101 of the facility's may have flowed, or 101 of IT never did."""
    assert codes({MAIN: made_slots(100, 0, unknown_j=[101, 0]), IT: made_slots(200, 0)}, 0, 1) == []
    assert codes({MAIN: made_slots(100, 0), IT: made_slots(200, 0, under_j=[101, 0])}, 0, 1) == []
    assert codes({MAIN: made_slots(100, 0), IT: made_slots(200, 0, under_j=[50, 0])}, 0, 1) == ["pue_below_one"]


def test_a_day_on_which_no_it_energy_is_certain_is_believed() -> None:
    assert codes({MAIN: made_slots(0, 0), IT: made_slots(9, 0, above_capped_j=[9, 0])}, 0, 1) == []


def test_a_facility_that_only_gives_away_has_no_ratio_and_no_uncertainty() -> None:
    """Its export of 5 J is known, its IT meter missing, and at least the 100 J of the meter below it."""
    export = term("export", -1, max_power_w=0)
    lost = lay(None, IT, int64(0, SLOT_MS)).bounded(int64(100), int64(MAX_ENERGY_J), int64(MAX_ENERGY_J))
    meters = [*rows({export: made_slots(5, 0)}, 1), lost]
    _, doubts = without_contradictions(meters, int64(0, 1), Fraction(0))
    assert [doubt.code for doubt in doubts] == ["pue_below_one"]


def test_a_meter_that_is_not_believed_is_so_with_all_its_terms_and_one_that_never_weighs_is_believed() -> None:
    """Two slots: main weighs in the first only; aside never does."""
    turn_ms = SLOT_MS
    made = {
        term("main", 1, max_power_w=1, to_ms=turn_ms): made_slots(100, 50),
        term("main", 0, max_power_w=1, from_ms=turn_ms): made_slots(100, 50),
        term("it", b=1, max_power_w=1): made_slots(200, 200),
        term("aside", max_power_w=1): made_slots(7, 7),
    }
    laid = [lay(slots, one, np.arange(3, dtype=np.int64) * SLOT_MS) for one, slots in made.items()]
    found, (doubt,) = without_contradictions(laid, int64(0, 2), Fraction(0))
    assert doubt.code == "pue_below_one"
    assert [(row.flags[row.first : row.last] & int(Flag.BALANCE) > 0).tolist() for row in found] == [
        [True],
        [True],
        [True, True],
        [False, False],
    ]


def test_a_day_below_one_is_of_its_local_day() -> None:
    curve = three_days({MAIN: (100, 100, 100), IT: (90, 200, 90)})
    (doubt,) = curve.doubts
    assert (doubt.code, int(np.flatnonzero(doubt.slots)[0]), int(doubt.slots.sum())) == ("pue_below_one", DAY, DAY)
    second = window_result(curve, *day_of(curve, 1, 2))
    assert (second.pue, second.total_upper_j, second.it_upper_j) == (None, MAX_ENERGY_J, MAX_ENERGY_J)
    assert second.contradictions == ("pue_below_one",)


def test_fractions_of_a_weight_are_exact_in_the_ratio() -> None:
    """A third of 300 J is 100, and less than 103."""
    meters = {replace(MAIN, a=Fraction(1, 3)): made_slots(300_000, 0), IT: made_slots(103_000, 0)}
    assert codes(meters, 0, 1) == ["pue_below_one"]
    meters = {replace(MAIN, a=Fraction(1, 3)): made_slots(300_000, 0), IT: made_slots(99_999, 0)}
    assert codes(meters, 0, 1) == []


def test_a_meter_in_doubt_bounds_no_other() -> None:
    """A branch shows ten times what its feeder does; the mains, unread in the second slot, need not carry that."""
    mains = made_slots(1000, 0, 0, unknown_j=[0, 5000, 0])
    feeder = replace(IT, key=key("feeder"), parent=MAIN.key.meter)
    branch = replace(IT, key=key("branch"), parent="feeder")
    energies = {MAIN: mains, feeder: made_slots(600, 600, 0), branch: made_slots(6000, 6000, 0)}
    curve = facility_curve({meter.key: slots for meter, slots in energies.items()}, list(energies), 0, 2 * SLOT_MS)
    result = window_result(curve, 0, 2 * SLOT_MS)
    assert result.contradictions == ("balance_broken:feeder",)
    assert (result.total_lower_j, result.total_upper_j) == (1000, 6000)
    assert "bounds_from_other_meters:main" not in result.reasons


# IT equipment that does nothing


@pytest.mark.parametrize(
    ("energy_j", "unknown_j", "found"),
    [
        pytest.param(1799, 0, ["no_it_load"], id="less than a watt in two slots"),
        pytest.param(1800, 0, [], id="a watt"),
        pytest.param(1000, 799, ["no_it_load"], id="less than a watt at most"),
        pytest.param(1000, 800, [], id="perhaps a watt"),
    ],
)
def test_a_day_with_less_it_load_than_means_anything_has_no_ratio(
    energy_j: int, unknown_j: int, found: list[str]
) -> None:
    meters = {MAIN: made_slots(10**6, 0, 0), IT: made_slots(energy_j, 0, 0, unknown_j=[unknown_j, 0, 0])}
    assert codes(meters, 0, 2, least_it_w=Fraction(1)) == found
    assert codes(meters, 0, 2) == []


def test_a_day_on_which_no_it_meter_was_there_yet_is_no_day_without_load() -> None:
    later = replace(IT, from_ms=(MIDNIGHT + DAY) * SLOT_MS)
    curve = three_days({MAIN: (5000, 5000, 5000), later: (3600, 3600, 3600)}, least_it_w=1)
    assert window_result(curve, *day_of(curve, 0, 3)).contradictions == ()


def test_only_it_meters_are_in_doubt_without_it_load() -> None:
    """On the second day 10 J a slot; a watt is 900."""
    limited = {MAIN: (5000, 5000, 5000), replace(IT, max_power_w=4): (3600, 10, 3600)}
    curve = three_days(limited, least_it_w=1)
    second = window_result(curve, *day_of(curve, 1, 2))
    assert second.contradictions == ("no_it_load",)
    assert (second.total_lower_j, second.total_upper_j) == (5000 * DAY, 5000 * DAY)
    assert (second.it_lower_j, second.it_upper_j) == (0, 3600 * DAY)
    assert window_result(curve, *day_of(curve, 0, 1)).contradictions == ()


def test_a_facility_without_meters_contradicts_nothing() -> None:
    assert without_contradictions([], int64(0, 1), Fraction(0)) == ([], ())
