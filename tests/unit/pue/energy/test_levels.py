"""Levels of a register's curve, and leads of lucky readings, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest

from pue.energy.levels import Levels, lead_after, lead_before, levels_of
from pue.energy.points import points_of
from pue.energy.registers import RegisterVersion
from pue.energy.relations import believed
from pue.energy.slots import Int64, Samples
from tests.unit.pue.meters import MINUTE_MS, int64, samples, version

HALF_MS = MINUTE_MS // 2
LUCKY = (0, 45_000, 75_000, 75_000)
"""Counts at 0.5, 1, 1.5 and 2 min, each asked for half a minute before: 45 kJ between the first two, of 30 of 1 kW.

The first came early in its half minute and the second late in its own: between 15 and 45 s of full load, at least.
"""


def levels(readings: Samples, *versions: RegisterVersion) -> Levels:
    points, suspects = points_of(readings, versions)
    return levels_of(*believed(points, suspects, versions), versions)


def every(count: int) -> Int64:
    return int64(*range(count))


def half_minutely(*counts: int, start_ms: int = HALF_MS) -> Samples:
    return samples(*((start_ms + place * HALF_MS, count) for place, count in enumerate(counts)), took_ms=HALF_MS)


def joules(energy_mj: Int64) -> Sequence[float]:
    return [energy / 1000 for energy in energy_mj.tolist()]


# Levels


def test_a_level_is_the_register_in_joules_until_something_happens() -> None:
    assert levels(samples((0, 3), (MINUTE_MS, 5)), version(Fraction(18, 5))).at(every(2)).tolist() == [11, 18]


def test_a_wrap_lifts_all_levels_after_it() -> None:
    """From 998 across 1000 to 3, 5 more, to 10."""
    found = levels(samples((0, 998), (1000, 3), (2000, 10)), version(1, 10, modulus=1000))
    assert found.at(every(3)).tolist() == [998, 1003, 1010]
    assert (found.events.tolist(), found.walls.tolist(), found.unknown.tolist()) == ([0], [], [])


def test_a_level_stays_across_unknown_energy() -> None:
    found = levels(samples((0, 900), (1000, 4), (2000, 10)), version(1, 10))
    assert found.at(every(3)).tolist() == [900, 900, 906]
    assert found.events.tolist() == found.walls.tolist() == found.unknown.tolist() == [0]


def test_a_refuted_limit_is_a_wall_across_which_levels_rise() -> None:
    found = levels(samples((0, 0), (1000, 10), (2000, 500), (3000, 510)), version(1, 10))
    assert found.at(every(4)).tolist() == [0, 10, 500, 510]
    assert (found.events.tolist(), found.walls.tolist(), found.unknown.tolist()) == ([], [1], [])


def test_what_a_register_hides_is_its_versions() -> None:
    rows = [version(2, 5, to_ms=1000), version(Fraction(7, 2), 6, from_ms=1000)]
    found = levels(samples((0, 1), (1000, 1)), *rows)
    assert found.hidden_j(every(2)).tolist() == [2, 5]
    assert found.rounding_j(every(2)).tolist() == [0, 1]
    assert found.power_w(every(2)).tolist() == [5, 6]


# Leads


def test_a_lucky_reading_holds_all_after_it_lower_than_they_do_themselves() -> None:
    """The second is 45 kJ above the first half a minute after it: 15 too many. The third has 30 more, the last none.

    So the curve after the second and the third is 15 kJ lower than they say, and after the last it is not: it took no
    power in half a minute, and by itself it holds the curve 15 kJ lower than the first does.
    """
    assert joules(lead_before(levels(half_minutely(*LUCKY), version(1, 1000)), every(4))) == [0, 15_000, 15_000, 0]


def test_a_lucky_reading_holds_all_before_it_higher_than_they_do_themselves() -> None:
    """From the second, 45 kJ above the first in half a minute of replies."""
    assert joules(lead_after(levels(half_minutely(*LUCKY), version(1, 1000)), every(4))) == [15_000, 0, 0, 0]


def test_of_several_lucky_readings_the_luckiest_counts() -> None:
    """45 kJ a half minute: each is 15 ahead of the one before it."""
    found = levels(half_minutely(0, 45_000, 90_000, 135_000), version(1, 1000))
    assert joules(lead_before(found, every(4))) == [0, 15_000, 30_000, 45_000]
    assert joules(lead_after(found, every(4))) == [45_000, 30_000, 15_000, 0]


def test_a_register_that_never_outruns_its_limit_has_no_leads() -> None:
    found = levels(half_minutely(0, 30_000, 60_000), version(1, 1000))
    assert len(found.links) == 0
    assert joules(lead_before(found, every(3))) == joules(lead_after(found, every(3))) == [0, 0, 0]


def test_a_coarse_step_is_a_lead_until_the_limit_has_used_it_up() -> None:
    """A step of 100 J in a second of 10 W: 90 J ahead, 10 less each second that nothing more is shown."""
    found = levels(samples((0, 0), (1000, 1), (2000, 1), (9000, 1), (10_000, 1), (11_000, 1)), version(100, 10))
    assert joules(lead_before(found, every(6))) == [0, 90, 80, 10, 0, 0]


def test_leads_end_at_walls() -> None:
    """The register falls between the second and the third reading: what was before says nothing of what is after."""
    found = levels(half_minutely(10_000, 55_000, 0, 0, 45_000), version(1, 1000))
    assert found.walls.tolist() == [1]
    assert joules(lead_before(found, every(5))) == [0, 15_000, 0, 0, 15_000]
    assert joules(lead_after(found, every(5))) == [15_000, 0, 0, 15_000, 0]


def test_stretches_without_lucky_readings_have_no_leads() -> None:
    """After the fall nothing is lucky, and nothing is asked of the stretch before it."""
    found = levels(half_minutely(0, 45_000, 0, 10_000, 20_000), version(1, 1000))
    assert joules(lead_before(found, int64(3, 4))) == joules(lead_after(found, int64(3, 4))) == [0, 0]


def test_each_stretch_has_its_own_maximum_power() -> None:
    """45 kJ are 15 too many for 1 kW and none for 2 kW; 75 are 15 too many for 2 kW."""
    moment = 4 * HALF_MS
    rows = [version(1, 1000, to_ms=moment), version(1, 2000, from_ms=moment, continues=False)]
    found = levels(half_minutely(0, 45_000, 90_000, 0, 45_000, 120_000), *rows)
    assert found.walls.tolist() == [2]
    assert joules(lead_before(found, every(6))) == [0, 15_000, 30_000, 0, 0, 15_000]


@pytest.mark.parametrize("times", [10**9, 4 * 10**13])
def test_leads_are_exact_where_int64_has_no_room(times: int) -> None:
    """3 PJ are 3 x 10**18 mJ, beyond 2**61; the leads are not."""
    readings = half_minutely(0, 45 * times, 75 * times, 75 * times)
    found = levels(readings, version(1, times))
    assert lead_before(found, every(4)).tolist() == [0, 15_000 * times, 15_000 * times, 0]
    assert lead_after(found, every(4)).tolist() == [15_000 * times, 0, 0, 0]
