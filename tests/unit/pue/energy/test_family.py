"""What parents and children say about each other's unknown energy, by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pue.contract.errors import Fatal
from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.facility import facility_curve
from pue.energy.family import bounded_by_family, children_of, nodes_of
from pue.energy.grid import UNBOUNDED_J, Row, Term, lay
from pue.energy.registers import register_slots
from pue.energy.rolling import WindowResult, window_result
from pue.energy.slots import Slots
from pue.energy.uncertainty import class_limit
from tests.unit.pue.meters import key, kwh_slots, made_slots, samples, term, version

LIMIT = class_limit("0.5S", "0.5")
"""1 %: a meter of class 0.5S behind a current transformer of class 0.5."""


def rows(*meters: tuple[Slots | None, Term], count: int = 1) -> list[Row]:
    edges = np.arange(count + 1, dtype=np.int64) * SLOT_MS
    return [lay(slots, term, edges) for slots, term in meters]


def ups(**changes: object) -> Term:
    return replace(term("ups", 1), **changes)  # type: ignore[arg-type]  # fields a test chooses


def feed(name: str = "out-a", **changes: object) -> Term:
    return replace(term(name, b=1, parent="ups"), **changes)  # type: ignore[arg-type]  # fields a test chooses


def known(energy_j: int) -> Slots:
    return made_slots(energy_j, 0)


def alone(row: Row, slot: int = 0) -> tuple[int, int]:
    """Least and most energy of a slot, taken alone."""
    return int(row.least_j[slot]), int(row.most_j[slot])


def test_one_percent_is_the_limit_of_both_classes_together() -> None:
    assert Fraction(1, 100) == LIMIT


# Exact meters


def test_a_missing_child_carries_at_most_what_its_parent_carries_less_its_siblings() -> None:
    _, _, missing = bounded_by_family(rows((known(300), ups()), (known(180), feed()), (None, feed("out-b"))))
    assert alone(missing) == (0, 120)
    assert missing.is_borrowed.tolist() == [True]


def test_a_sibling_counts_with_the_least_it_can_have_carried() -> None:
    """180 known, of which 7 may lie on the other side of the edge."""
    sibling = made_slots(180, 0, above_capped_j=[7, 0])
    _, _, missing = bounded_by_family(rows((known(300), ups()), (sibling, feed()), (None, feed("out-b"))))
    assert alone(missing) == (0, 300 - 173)


def test_a_child_carries_never_less_than_nothing() -> None:
    """A sibling that carries more than their parent leaves nothing, and not less."""
    _, _, missing = bounded_by_family(rows((known(300), ups()), (known(310), feed()), (None, feed("out-b"))))
    assert alone(missing) == (0, 0)


def test_a_missing_parent_carries_at_least_what_its_children_carry() -> None:
    parent, *_ = bounded_by_family(rows((None, ups(max_power_w=1)), (known(180), feed()), (known(70), feed("out-b"))))
    assert alone(parent) == (250, 900)


def test_bounds_reach_through_a_meter_that_is_missing_itself() -> None:
    """Of the main's 500, 120 go elsewhere: the UPS, of which nothing is known, and its feed carry at most 380."""
    chain = (
        (known(500), term("main", 1)),
        (known(120), term("chiller", 0, parent="main")),
        (None, ups(parent="main")),
        (None, feed()),
    )
    main, _, middle, child = bounded_by_family(rows(*chain))
    assert (alone(main), alone(middle), alone(child)) == ((500, 500), (0, 380), (0, 380))


def test_a_parent_without_a_bound_bounds_no_child() -> None:
    _, child = bounded_by_family(rows((None, ups(max_power_w=0)), (None, feed(max_power_w=2))))
    assert alone(child) == (0, 1800)
    assert child.is_borrowed.tolist() == [False]


def test_a_parent_bounds_a_child_only_while_its_own_weight_holds() -> None:
    parent = ups(from_ms=SLOT_MS)
    _, child = bounded_by_family(rows((made_slots(0, 5, 0), parent), (None, feed(max_power_w=2)), count=2))
    assert (alone(child, 0), alone(child, 1)) == ((0, 1800), (0, 5))


def test_a_meter_in_parts_is_one_member_of_its_family() -> None:
    """The parent's terms follow each other; each slot is bounded by the one that is valid in it."""
    parts = (made_slots(30, 0, 0), ups(to_ms=SLOT_MS)), (made_slots(0, 40, 0), ups(from_ms=SLOT_MS))
    *_, child = bounded_by_family(rows(*parts, (None, feed()), count=2))
    assert (alone(child, 0), alone(child, 1)) == ((0, 30), (0, 40))


def test_a_family_of_which_all_is_known_stays_as_it_is() -> None:
    family = rows((known(300), ups()), (known(180), feed()))
    assert bounded_by_family(family) == family
    strangers = rows((None, ups()), (None, feed(parent="elsewhere")))
    assert bounded_by_family(strangers) == strangers


def test_a_parent_of_another_quantity_or_site_is_none() -> None:
    heat = Term(key("ups", "heat"), Fraction(1), Fraction(0), required=True, from_ms=0, to_ms=None)
    family = rows((None, heat), (None, feed()))
    assert children_of(family, nodes_of(family)) == {}


def test_meters_that_are_each_others_parents_are_refused_by_name() -> None:
    family = rows((None, term("two", 1, parent="one")), (None, term("one", 1, parent="two")), (None, ups()))
    with pytest.raises(Fatal, match="meters one, two are each other's parents"):
        bounded_by_family(family)


# Meters within their class


def test_a_child_that_is_bounded_by_its_parent_can_show_more_than_it_by_both_classes() -> None:
    """The parent shows 9900 J: at most 9900 / 0.99 = 10,000 flowed, of which the child shows at most 10,100."""
    _, child = bounded_by_family(rows((known(9900), ups(limit_rel=LIMIT)), (None, feed(limit_rel=LIMIT))))
    assert alone(child) == (0, 10_100)


def test_a_sibling_that_shows_too_much_leaves_more_to_the_missing_child() -> None:
    """The sibling's 4040 were at least 4000 of at most 10,000; of 6000 the child shows at most 6060."""
    family = (known(9900), ups(limit_rel=LIMIT)), (known(4040), feed(limit_rel=LIMIT))
    *_, child = bounded_by_family(rows(*family, (None, feed("out-b", limit_rel=LIMIT))))
    assert alone(child) == (0, 6060)


def test_a_parent_shows_less_than_its_children_by_both_classes() -> None:
    """10,100 shown are at least 10,000, of which the parent shows at least 9900."""
    parent, _ = bounded_by_family(rows((None, ups(limit_rel=LIMIT)), (known(10_100), feed(limit_rel=LIMIT))))
    assert alone(parent)[0] == 9900


def test_bounds_by_class_are_rounded_outwards() -> None:
    """9901 / 0.99 = 10,001.01, so 10,002; x 1.01 = 10,102.02, so 10,103.

    10,099 / 1.01 = 9999.0099, so 9999; x 0.99 = 9899.01, so 9899.
    """
    _, child = bounded_by_family(rows((known(9901), ups(limit_rel=LIMIT)), (None, feed(limit_rel=LIMIT))))
    assert alone(child) == (0, 10_103)
    parent, _ = bounded_by_family(rows((None, ups(limit_rel=LIMIT)), (known(10_099), feed(limit_rel=LIMIT))))
    assert alone(parent)[0] == 9899


def test_bounds_by_class_are_exact_where_int64_has_no_room() -> None:
    """9.9 x 10**16 J x 100 is beyond 2**61."""
    many = 10**13
    parent, child = (replace(meter, max_power_w=10**15, limit_rel=LIMIT) for meter in (ups(), feed()))
    _, bounded = bounded_by_family(rows((known(9900 * many), parent), (None, child)))
    assert alone(bounded) == (0, 10_100 * many)


def test_no_bound_stays_none_whatever_the_class() -> None:
    _, child = bounded_by_family(
        rows((None, ups(max_power_w=0, limit_rel=LIMIT)), (None, feed(max_power_w=0, limit_rel=LIMIT)))
    )
    assert alone(child) == (0, UNBOUNDED_J)


def test_the_widest_class_of_a_meter_in_parts_counts() -> None:
    parts = (known(9900), ups(limit_rel=LIMIT)), (known(9900), ups(limit_rel=Fraction(0)))
    *_, child = bounded_by_family(rows(*parts, (None, feed(limit_rel=LIMIT))))
    assert alone(child) == (0, 10_100)


# Where a limit is refuted


def test_what_a_parent_says_holds_with_and_without_its_own_limit() -> None:
    """With caps the parent carried at most 305 in the second slot, without them 390; so did its child."""
    mark = [int(Flag.LIMIT_REFUTED), 0, 0]
    parent = made_slots(300, 300, 0, above_capped_j=[0, 0, 5], above_j=[0, 0, 90], flags=mark)
    main, child = bounded_by_family(rows((parent, ups()), (None, feed()), count=2))
    assert alone(child, 1) == (0, 305)
    assert main.free is not None
    assert alone(main.free, 1) == (300, 390)
    assert child.among is not None
    assert alone(child.among, 1) == (0, 390)


def test_a_child_whose_limit_is_refuted_is_bounded_by_its_parent_without_it() -> None:
    mark = [int(Flag.LIMIT_REFUTED), 0, 0]
    refuted = made_slots(100, 0, 0, unknown_j=[0, MAX_ENERGY_J, 0], flags=mark)
    _, child = bounded_by_family(rows((made_slots(300, 200, 0), ups()), (refuted, feed()), count=2))
    assert child.free is not None
    assert alone(child.free, 1) == (0, 200)


def test_without_its_own_limit_a_child_may_show_its_class_more_than_its_parent_carried() -> None:
    """A parent of 1 % that shows 200 carried up to 202.02, say 203; a child of 1 % shows that as up to 205.03."""
    unread = made_slots(100, 0, 0, unknown_j=[0, 150, 0])
    parent, own = ups(limit_rel=LIMIT), feed(limit_rel=LIMIT)
    _, child = bounded_by_family(rows((made_slots(300, 200, 0), parent), (unread, own), count=2))
    assert alone(child, 1) == (0, 150)
    assert alone(child.without_limit(), 1) == (0, 206)


def test_energy_beyond_all_floats_is_scaled_exactly() -> None:
    """2**60 + 1 J through a parent of half a percent: up to that by 0.995, in whole joules."""
    energy = 2**60 + 1
    parent = ups(limit_rel=Fraction(1, 200), max_power_w=0)
    _, child = bounded_by_family(rows((known(energy), parent), (None, feed(max_power_w=0))))
    assert alone(child) == (0, -(-energy * 200 // 199))


BURST = ((0, 0), (60, 60_000), (120, 660_000), (180, 720_000), (900, 720_000), (3600, 2_720_000), (3660, 2_720_000))
"""A register that counts 600 kJ in a minute, on a meter of 1 kW; and 2 MJ some time between 900 and 3600 s."""


def burst() -> Slots:
    return register_slots(samples(*((second * 1000, count) for second, count in BURST)), [version(1, 1000)])


def in_half_an_hour(slots: dict[str, Slots], *terms: Term) -> WindowResult:
    curve = facility_curve({key(name): own for name, own in slots.items()}, list(terms), 0, 4 * SLOT_MS)
    return window_result(curve, 0, 2 * SLOT_MS)


def test_a_child_is_not_bounded_by_the_limit_of_a_parent_that_refutes_it() -> None:
    """All 2 MJ may have gone to the child in the second slot, beside the 720 kJ of the first."""
    result = in_half_an_hour({"ups": burst()}, ups(max_power_w=1000), feed(max_power_w=10**6))
    assert "limit_refuted:ups" in result.reasons
    assert result.it_upper_j >= 2_720_000


def test_a_parent_is_not_bounded_by_the_limit_of_a_child_that_refutes_it() -> None:
    """None of the 2 MJ need have flowed by then."""
    result = in_half_an_hour({"out-a": burst()}, ups(max_power_w=10**6), feed(max_power_w=1000))
    assert "limit_refuted:out-a" in result.reasons
    assert result.total_lower_j <= 720_000


def test_a_limit_that_only_the_children_refute_bounds_no_other_child() -> None:
    """The parent is said to carry 100 W; one child carried 1 kW, so what it left for the other is not known."""
    slots = register_slots(samples((0, 0), (SLOT_MS, 900_000), (SLOT_MS + 60_000, 960_000)), [version(1, 1000)])
    terms = (ups(max_power_w=100), feed("out-b", max_power_w=1000), feed("out-a", max_power_w=1000))
    curve = facility_curve({key("out-b"): slots}, list(terms), 0, SLOT_MS)
    result = window_result(curve, 0, SLOT_MS)
    assert "limit_refuted:ups" in result.reasons
    assert result.it_upper_j == 1_800_000


def test_a_limit_refuted_in_one_term_of_a_meter_is_not_believed_in_its_others() -> None:
    """Other weights from 900 s on: the register is the same, and so is its maximum power."""
    first, then = (ups(max_power_w=1000, **bounds) for bounds in ({"to_ms": SLOT_MS}, {"from_ms": SLOT_MS}))
    result = in_half_an_hour({"ups": burst()}, first, then)
    assert (result.total_lower_j <= 720_000, result.total_upper_j >= 2_720_000) == (True, True)


# In windows


def test_a_window_says_that_other_meters_bound_it() -> None:
    curve = facility_curve(
        {key("ups"): kwh_slots(300), key("out-a"): kwh_slots(180)}, [ups(), feed(), feed("out-b")], 0, SLOT_MS
    )
    result = window_result(curve, 0, SLOT_MS)
    assert result.it_upper_j == 300 * 3_600_000
    assert result.reasons == ("required_meter_missing:out-b", "bounds_from_other_meters:out-b", "no_it_energy")
