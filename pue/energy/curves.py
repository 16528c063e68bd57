"""Slots cut from a cumulative energy curve given at irregular points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.index import ascending, has
from pue.energy.points import asked_ms
from pue.energy.slots import Int64, Slots

OVERLAP = 3
"""Points after an edge among which is one that was asked for after it: of one meter at most two requests overlap."""

_FEW = 1000
_HALVINGS = 5
_SMALL_MS = 1 << 30
_SAFE_FLOAT_J = float(1 << 61)
_WHOLE_FLOAT = float(1 << 52)

Column = Callable[[Int64], Int64]
"""Values at points given by their indices: only those beside edges are ever asked for."""

Levels = Callable[[Int64], tuple[Int64, Int64]]
"""Values on the left and on the right of intervals given by their indices."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A meter's energy at P points, ascending in `t1_ms`; interval i lies between the points i and i + 1.

    Attributes
    ----------
    t0_ms, t1_ms
        The true time of a point lies between them; estimates take t1. (P,) [ms UTC]
    levels_j
        Energy known to have flowed before the points on both sides of intervals, from any zero. [J]
    limits_w
        The most the meter can carry around points. [W]
    unknown
        Intervals whose energy is unknown: the level stays, anything up to the limit may have flowed. Ascending.
    flagged, flags
        Intervals with marks, in any order, and the marks.
    marks_ms, marks
        Marks of single moments: samples put aside, conflicts. [ms UTC, -]
    """

    t0_ms: Int64
    t1_ms: Int64
    levels_j: Levels
    limits_w: Column
    unknown: Int64
    flagged: Int64
    flags: Int64
    marks_ms: Int64
    marks: Int64

    def asked_ms(self, index: Int64) -> Int64:
        """When points were asked for, at the earliest. [ms UTC]"""
        return asked_ms(self.t0_ms[index], self.t1_ms[index])


def slots_of_curve(curve: Curve, max_gap_ms: int, topology: int) -> Slots:
    """Cut the curve at slot edges: every slot from the first point's to the last point's."""
    if len(curve.t1_ms) == 0:
        return Slots.empty()
    edges = _edges(int(curve.t1_ms[0]), int(curve.t1_ms[-1]))
    left = last_before(curve.t1_ms, edges)
    inner = slice(int(left[0] < 0), int(np.searchsorted(left, len(curve.t1_ms) - 1)))
    left = left[inner]
    start_ms = curve.t1_ms[left]
    span_ms = curve.t1_ms[left + 1] - start_ms
    level, below, above = _levels_at(curve, edges, inner, left, edges[inner] - start_ms, span_ms)
    long = _long(curve, left, span_ms, max_gap_ms)
    unknown_j, whole = _unknown(curve, edges)
    flags = _slot_flags(curve, long, edges)
    flags[whole] |= int(Flag.MISSING)
    return Slots(
        start_ms=edges[:-1],
        energy_j=np.diff(level),
        unknown_j=unknown_j,
        gap_ms=_gap_ms(curve, ascending(long, curve.unknown), edges),
        below_j=below[:-1],
        above_j=above[:-1],
        flags=flags,
        revision=np.zeros(len(edges) - 1, np.int64),
        topology=np.full(len(edges) - 1, topology, np.int64),
    )


def _edges(first_ms: int, last_ms: int) -> Int64:
    return np.arange(first_ms // SLOT_MS * SLOT_MS, (last_ms // SLOT_MS + 2) * SLOT_MS, SLOT_MS, dtype=np.int64)


def last_before(time_ms: Int64, edges: Int64) -> Int64:
    """Index of the last of ascending times at or before each edge of successive slots, -1 before all of them.

    As `np.searchsorted(time_ms, edges, side="right") - 1`. Long columns are not searched for every edge: every 32nd
    time is counted into its slot, which leaves five halvings for all edges at once.
    """
    if len(edges) < _FEW:
        return np.searchsorted(time_ms, edges, side="right") - 1
    stride = 1 << _HALVINGS
    slot = -((edges[0] - time_ms[stride - 1 :: stride]) // SLOT_MS)
    place = np.cumsum(np.bincount(slot, minlength=len(edges))[: len(edges)]) * stride - 1
    for halving in reversed(range(_HALVINGS)):
        place += (np.take(time_ms, place + (1 << halving), mode="clip") <= edges) << halving
    return np.minimum(place, len(time_ms) - 1)


def _long(curve: Curve, left: Int64, span_ms: Int64, max_gap_ms: int) -> Int64:
    """Known intervals longer than a covered one may be; one longer than a slot has an edge inside."""
    if max_gap_ms >= SLOT_MS:
        intervals = ascending(left[span_ms > max_gap_ms])
    else:
        intervals = np.flatnonzero(np.diff(curve.t1_ms) > max_gap_ms)
    return intervals[~has(curve.unknown, intervals)]


def _levels_at(
    curve: Curve, edges: Int64, inner: slice, left: Int64, since_ms: Int64, span_ms: Int64
) -> tuple[Int64, Int64, Int64]:
    """Estimate of the curve at edges, and how far below and above it the truth can lie.

    Linear between the neighbouring points, rounded half up once. The truth is at least the level of the last point that
    certainly lies before the edge, and at most that of the first that certainly lies after it. Before the first point
    and after the last, and across unknown energy, the level stays.

    References
    ----------
    METHOD.md, "Edge bounds".
    """
    low, high = curve.levels_j(left)
    part = share(high - low, since_ms, span_ms)
    after = _level_after(curve, edges[inner], left, since_ms, low, high)
    level, below, above = (np.zeros_like(edges) for _ in range(3))
    level[inner] = low + part
    level[: inner.start], level[inner.stop :] = _ends_j(curve)
    below[inner], above[inner] = part, after - low - part
    return level, below, above


def _ends_j(curve: Curve) -> tuple[int, int]:
    """Level at the first and at the last point. [J]"""
    if len(curve.t1_ms) == 1:
        return 0, 0
    low, high = curve.levels_j(np.array([0, len(curve.t1_ms) - 2]))
    return int(low[0]), int(high[1])


def _level_after(curve: Curve, edges: Int64, left: Int64, since_ms: Int64, low: Int64, high: Int64) -> Int64:
    """Level of the first point that was asked for at or after each edge."""
    last = len(curve.t1_ms) - 1
    level = high.copy()
    exact = np.flatnonzero(since_ms == 0)
    exact = exact[curve.asked_ms(left[exact]) >= edges[exact]]
    late = np.flatnonzero(curve.t0_ms[left + 1] < edges)
    for distance in range(1, OVERLAP):
        late = late[left[late] + distance < last]
        late = late[curve.asked_ms(left[late] + distance) < edges[late]]
        level[late] = curve.levels_j(left[late] + distance)[1]
    level[exact] = low[exact]
    return level


def share(energy_j: Int64, since_ms: Int64, span_ms: Int64) -> Int64:
    """Energy x since / span, rounded half up, exact for any int64 energy >= 0 and 0 <= since < span. [J]

    A float division below 2**52 cannot reach the next whole number, so its floor is exact too, and faster.
    """
    largest = (2.0 * float(energy_j.max(initial=0)) + 3.0) * float(span_ms.max(initial=0))
    if largest < _WHOLE_FLOAT:
        twice = 2 * span_ms
        return np.asarray(np.floor((2 * energy_j * since_ms + span_ms) / twice), np.int64)
    return exact_share(energy_j, since_ms, span_ms)


def exact_share(energy_j: Int64, since_ms: Int64, span_ms: Int64) -> Int64:
    """As `share`, in whole numbers only. [J]"""
    whole, rest = np.divmod(energy_j, span_ms)
    if span_ms.max(initial=0) < _SMALL_MS:
        return np.asarray(whole * since_ms + (2 * rest * since_ms + span_ms) // (2 * span_ms), np.int64)
    part = (2 * rest.astype(object) * since_ms + span_ms) // (2 * span_ms)
    return np.asarray(whole * since_ms + part.astype(np.int64), np.int64)


def energy_bound_j(power_w: int, time_ms: Int64) -> Int64:
    """Power x time, rounded up, at most `MAX_ENERGY_J`. [J]"""
    seconds, rest = np.divmod(time_ms, 1000)
    if power_w * (float(time_ms.max(initial=0)) / 1000 + 1) > _SAFE_FLOAT_J:
        exact = [-(-power_w * time // 1000) for time in time_ms.tolist()]
        return np.array([min(energy, MAX_ENERGY_J) for energy in exact], np.int64)
    return np.asarray(power_w * seconds - (-power_w * rest) // 1000, np.int64)


def _gap_ms(curve: Curve, uncovered: Int64, edges: Int64) -> Int64:
    t1 = curve.t1_ms
    starts = np.concatenate((edges[:1], t1[uncovered], t1[-1:]))
    ends = np.concatenate((t1[:1], t1[uncovered + 1], edges[-1:]))
    _, slot, time_ms = _overlaps(starts, ends, edges)
    return _summed(slot, time_ms, edges)


def _unknown(curve: Curve, edges: Int64) -> tuple[Int64, Int64]:
    """Per slot the most energy of unknown intervals, before the first point and after the last; slots they fill."""
    ends_of = np.array([0, len(curve.t1_ms) - 1])
    left, right = curve.limits_w(curve.unknown), curve.limits_w(curve.unknown + 1)
    outer = curve.limits_w(ends_of)
    starts = np.concatenate((edges[:1], curve.asked_ms(curve.unknown), curve.asked_ms(ends_of[1:])))
    ends = np.concatenate((curve.t1_ms[:1], curve.t1_ms[curve.unknown + 1], edges[-1:]))
    limits = np.concatenate((outer[:1], np.maximum(left, right), outer[1:]))
    starts[1:] = np.maximum(starts[1:], ends[:-1])
    interval, slot, time_ms = _overlaps(starts, ends, edges)
    energy = np.zeros(len(edges) - 1, np.int64)
    for power in sorted(set(limits.tolist())):
        chosen = limits[interval] == power
        touched = ascending(slot[chosen])
        bound = energy_bound_j(power, _summed(slot[chosen], time_ms[chosen], edges)[touched])
        energy[touched] = np.minimum(energy[touched], MAX_ENERGY_J - bound) + bound
    touched = ascending(slot)
    return energy, touched[_summed(slot, time_ms, edges)[touched] >= SLOT_MS]


def _overlaps(starts: Int64, ends: Int64, edges: Int64) -> tuple[Int64, Int64, Int64]:
    """Intervals cut at edges: of every piece its interval, its slot and its length. [ms]"""
    first, last = (starts - edges[0]) // SLOT_MS, (ends - 1 - edges[0]) // SLOT_MS
    pieces = np.where(starts < ends, last - first + 1, 0)
    interval = np.repeat(np.arange(len(starts)), pieces)
    slot = np.arange(len(interval)) + (first - np.cumsum(pieces) + pieces)[interval]
    return interval, slot, np.minimum(ends[interval], edges[slot + 1]) - np.maximum(starts[interval], edges[slot])


def _summed(slot: Int64, time_ms: Int64, edges: Int64) -> Int64:
    """Time per slot. [ms]"""
    result = np.zeros(len(edges) - 1, np.int64)
    np.add.at(result, slot, time_ms)
    return result


def _slot_flags(curve: Curve, long: Int64, edges: Int64) -> Int64:
    intervals = np.concatenate((curve.flagged, long))
    starts = np.concatenate((curve.t1_ms[intervals], curve.marks_ms))
    ends = np.concatenate((curve.t1_ms[intervals + 1], curve.marks_ms))
    return _spread(
        starts, ends, np.concatenate((curve.flags, np.full(len(long), int(Flag.ALLOCATED)), curve.marks)), edges
    )


def _spread(starts: Int64, ends: Int64, flags: Int64, edges: Int64) -> Int64:
    """Marks of intervals on every slot they touch; of moments only those in a slot."""
    count = len(edges) - 1
    first = (starts - edges[0]) // SLOT_MS
    last = (np.maximum(ends - 1, starts) - edges[0]) // SLOT_MS
    inside = (first >= 0) & (first < count)
    first, last, flags = first[inside], last[inside], flags[inside]
    result = np.zeros(count, np.int64)
    for bit in bits_of(flags):
        chosen = (flags & bit) != 0
        steps = np.bincount(first[chosen], minlength=count + 1) - np.bincount(last[chosen] + 1, minlength=count + 1)
        result |= (np.cumsum(steps[:count]) > 0) * np.int64(bit)
    return result


def bits_of(flags: Int64) -> list[int]:
    """Marks that occur."""
    present = int(np.bitwise_or.reduce(flags, initial=0))
    return [1 << place for place in range(present.bit_length()) if present >> place & 1]
