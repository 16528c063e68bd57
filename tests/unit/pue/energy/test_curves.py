"""Curves cut at slot edges; energy shared out in time, where a float would err."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.curves import (
    Curve,
    Edges,
    Freedom,
    Unknown,
    energy_bound_j,
    exact_share,
    share,
    slots_of_curve,
)
from pue.energy.slots import Int64
from pue.energy.versions import joules_up, power_mj
from tests.unit.pue.meters import int64


@pytest.mark.parametrize("span", [101, 10**12 + 39, 10**17 + 3])
def test_a_share_just_under_a_half_is_rounded_down(span: int) -> None:
    """Of n = (span + 1) / 2 all but a span's last part, n - 1/2 - 1/(2 span): by a hair not half way to n."""
    energy = (span + 1) // 2
    assert exact_share(int64(energy), int64(span - 1), int64(span)).tolist() == [energy - 1]


def test_a_joule_goes_to_the_half_it_is_nearer_to_however_long_the_span() -> None:
    """5 * 10**16 + 1 of 10**17 + 3 are just under a half, the next just over it."""
    span = 10**17 + 3
    assert share(int64(1, 1), int64(5 * 10**16 + 1, 5 * 10**16 + 2), int64(span, span)).tolist() == [0, 1]


def test_a_share_of_a_short_span_is_exact_where_no_float_is() -> None:
    """An odd number beyond 2**53: a third of 3 x (2**60 + 1), and a half of one joule more, which rounds up."""
    whole = 2**60 + 1
    assert exact_share(int64(3 * whole, 2 * whole + 1), int64(1, 1), int64(3, 2)).tolist() == [whole, whole + 1]


def test_nothing_is_shared_out_to_nobody() -> None:
    shares = exact_share(int64(), int64(), int64())
    assert (shares.tolist(), shares.dtype) == ([], np.dtype(np.int64))


@pytest.mark.parametrize(
    ("power_w", "time_ms", "energy_j"),
    [
        pytest.param(1, 1001, 2, id="rounded up"),
        pytest.param(2**61, 500, 2**60, id="half a second"),
        pytest.param(2 * 10**18 + 1, 1500, 3 * 10**18 + 2, id="rounded up where no float is"),
        pytest.param(2**40, 2**40, MAX_ENERGY_J, id="beyond the range"),
    ],
)
def test_a_bound_is_power_times_time(power_w: int, time_ms: int, energy_j: int) -> None:
    assert energy_bound_j(power_w, time_ms) == energy_j
    assert joules_up(power_mj(int64(power_w), int64(time_ms))).tolist() == [energy_j]


def test_a_bound_that_is_none_stays_below_nothing() -> None:
    """1.5 J less than nothing, rounded up, is 1 J less."""
    assert joules_up(int64(-1500, -1000, 0, 1)).tolist() == [-1, -1, 0, 1]


@pytest.mark.parametrize("power_w", [1, MAX_ENERGY_J])
def test_no_times_have_no_bounds(power_w: int) -> None:
    bounds = joules_up(power_mj(int64(power_w), int64()))
    assert (bounds.tolist(), bounds.dtype) == ([], np.dtype(np.int64))


# Cutting a curve


LINE_MS = SLOT_MS // 2
"""Both points of `line` lie in the middle of a slot: 0.5 and 2.5."""


def line(**changes: object) -> Curve:
    """A curve that rises by 8 J from the middle of slot 0 to the middle of slot 2, of which nothing is unknown."""

    def edges_of(time_ms: Int64) -> Edges:
        nothing = np.zeros_like(time_ms)
        return Edges(time_ms, int64(0, 0), int64(2 * SLOT_MS, 2 * SLOT_MS), int64(0, 2, 6, 8), *[nothing] * 5)

    nothing = int64()
    columns: dict[str, object] = dict.fromkeys(Curve.__slots__, nothing)
    columns |= {"t1_ms": int64(LINE_MS, LINE_MS + 2 * SLOT_MS), "edges_of": edges_of, "unknown_of": stretches()}
    columns["freedom_of"] = lambda _: Freedom.none()
    return Curve(**(columns | changes))  # type: ignore[arg-type]  # fields a test chooses


def stretches(*rows: tuple[int, int, int, int, int]) -> Callable[[Int64], Unknown]:
    """Stretches as (start, end, power, lead, lag), in ms, W and mJ; nothing in them is counted."""
    start, end, power, lead, lag = np.array(rows, np.int64).reshape(-1, 5).T
    return lambda _: Unknown(start, end, start, power, lead, lag)


def unknown_j(*rows: tuple[int, int, int, int, int]) -> list[int]:
    energy: list[int] = slots_of_curve(line(unknown_of=stretches(*rows)), SLOT_MS, 0).unknown_j.tolist()
    return energy


def test_a_curve_is_cut_at_the_edges_of_its_slots() -> None:
    slots = slots_of_curve(line(), 3 * SLOT_MS, 7)
    assert slots.start_ms.tolist() == [0, SLOT_MS, 2 * SLOT_MS]
    assert slots.energy_j.tolist() == [2, 4, 2]
    assert slots.gap_ms.tolist() == [LINE_MS, 0, LINE_MS]
    assert slots.topology.tolist() == [7, 7, 7]


def test_unknown_energy_is_power_times_time_in_each_slot() -> None:
    assert unknown_j((LINE_MS, LINE_MS + SLOT_MS, 2, 0, 0)) == [900, 900, 0]


def test_a_lead_is_used_up_first_and_a_lag_last() -> None:
    """1 W from the middle of slot 0 on: 450 + 900 + 450 J, of which the first 500 and the last 100 are known before."""
    assert unknown_j((LINE_MS, LINE_MS + 2 * SLOT_MS, 1, 500_000, 100_000)) == [1, 850, 350]


def test_a_lead_and_a_lag_that_fill_a_stretch_leave_a_joule_in_each_slot() -> None:
    """None of them passes for known: a lead is worth no more than the maximum power behind it."""
    assert unknown_j((LINE_MS, LINE_MS + SLOT_MS, 1, 500_000, 500_000)) == [1, 1, 0]


def test_where_a_reading_still_counts_a_stretch_leaves_nothing() -> None:
    """The right one of two readings was under way since the middle of slot 0, and came in slot 1."""
    columns = [int64(value) for value in (LINE_MS, LINE_MS + 2 * SLOT_MS, SLOT_MS, 1, 500_000, 100_000)]
    slots = slots_of_curve(line(unknown_of=lambda _: Unknown(*columns)), SLOT_MS, 0)
    assert slots.unknown_j.tolist() == [0, 850, 350]


def test_unknown_energy_is_rounded_up_once_per_edge() -> None:
    """1 W for 450.4 s before the edge and 450 s behind it: 450.4 J are 451 by the edge, and 900.4 are 901 in all."""
    assert unknown_j((LINE_MS - 400, LINE_MS + SLOT_MS, 1, 0, 0)) == [451, 450, 0]


def test_a_slot_that_stretches_fill_together_is_missing() -> None:
    both = (0, LINE_MS, 1, 0, 0), (LINE_MS, SLOT_MS, 2, 0, 0)
    slots = slots_of_curve(line(unknown_of=stretches(*both)), 3 * SLOT_MS, 0)
    assert slots.flags.tolist() == [Flag.MISSING, 0, 0]
    assert slots.unknown_j.tolist() == [450 + 900, 0, 0]
    shorter = slots_of_curve(line(unknown_of=stretches((1, SLOT_MS, 1, 0, 0))), 3 * SLOT_MS, 0)
    assert shorter.flags.tolist() == [0, 0, 0]


def test_stretches_beyond_the_range_together_are_at_the_range() -> None:
    half = 2**61 // 450
    both = (0, LINE_MS, half, 0, 0), (LINE_MS, SLOT_MS, 2 * half, 0, 0)
    assert unknown_j(*both) == [MAX_ENERGY_J, 0, 0]


def test_freedom_is_added_up_in_the_slot_of_its_moment() -> None:
    """A moment on an edge belongs to the slot that starts there."""
    moments = int64(0, SLOT_MS - 1, SLOT_MS)
    free = line(freedom_of=lambda _: Freedom(moments, int64(1, 2, 4), int64(8, 16, 32)))
    slots = slots_of_curve(free, SLOT_MS, 0)
    assert (slots.under_j.tolist(), slots.over_j.tolist()) == ([3, 4, 0], [24, 32, 0])


def test_a_refuted_edge_marks_the_slot_that_starts_there() -> None:
    def edges_of(time_ms: Int64) -> Edges:
        nothing = np.zeros_like(time_ms)
        refuted = int64(0, 0, 1, 0)
        return Edges(time_ms, int64(0, 0), int64(1, 1), nothing, nothing, nothing, nothing, nothing, refuted)

    assert slots_of_curve(line(edges_of=edges_of), 3 * SLOT_MS, 0).flags.tolist() == [0, 0, Flag.LIMIT_REFUTED]


def test_a_curve_of_no_points_has_no_slots() -> None:
    assert len(slots_of_curve(line(t1_ms=int64()), SLOT_MS, 0)) == 0
