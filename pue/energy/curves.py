"""Slots cut from a cumulative energy curve given at irregular points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.index import Bools, ascending, has, last_before
from pue.energy.slots import Int64, Slots
from pue.energy.versions import joules_up, power_mj

# Twelve days. The product of two shorter times, doubled, and one time more are below 2**62.
_SMALL_MS = 1 << 30
# Every whole number up to twice this is a float.
_WHOLE_FLOAT = float(1 << 52)


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """The curve at E edges of successive slots, from the first point's to the one after the last point's.

    Attributes
    ----------
    time_ms
        The edges. (E,) [ms UTC]
    left
        Last point at or before each of the I edges between two points. (I,)
    span_ms
        Time from it to the next point. (I,) [ms]
    level_j
        Estimate. (E,) [J]
    below_j, above_j, below_capped_j, above_capped_j
        As in `Slots`. (E,) [J]
    is_refuted
        Inner edges at which readings contradict the maximum power. (E,)
    """

    time_ms: Int64
    left: Int64
    span_ms: Int64
    level_j: Int64
    below_j: Int64
    above_j: Int64
    below_capped_j: Int64
    above_capped_j: Int64
    is_refuted: Int64


@dataclass(frozen=True, slots=True, eq=False)
class Unknown:
    """I stretches of time in which anything up to the maximum power may have flowed.

    Attributes
    ----------
    start_ms, end_ms
        Half-open, ascending. (I,) [ms UTC]
    bare_ms
        Since when no reading tells what was counted: the reply of the one before. (I,) [ms UTC]
    power_w
        The most the meter can carry. (I,) [W]
    lead_mj, lag_mj
        Energy at the start and at the end that cannot have flowed beyond what was counted. (I,) [mJ]
    """

    start_ms: Int64
    end_ms: Int64
    bare_ms: Int64
    power_w: Int64
    lead_mj: Int64
    lag_mj: Int64


@dataclass(frozen=True, slots=True, eq=False)
class Freedom:
    """N moments at which known energy is less certain than the edges around it say.

    Attributes
    ----------
    time_ms
        In any order. (N,) [ms UTC]
    under_j, over_j
        By how much less or more can have flowed. (N,) [J]
    """

    time_ms: Int64
    under_j: Int64
    over_j: Int64

    @classmethod
    def none(cls) -> Freedom:
        """No such moment."""
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing, nothing)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A meter's energy at P points, ascending; interval i lies between the points i and i + 1.

    Attributes
    ----------
    t1_ms
        Times that estimates take. (P,) [ms UTC]
    edges_of
        The curve at edges.
    unknown_of
        Stretches of unknown energy between the first and the last edge.
    unknown
        Intervals whose energy is unknown, ascending.
    flagged, flags
        Intervals with marks, in any order, and the marks.
    marks_ms, marks
        Marks of single moments: samples put aside, conflicts. [ms UTC, -]
    freedom_of
        What the curve at its edges leaves open besides.
    """

    t1_ms: Int64
    edges_of: Callable[[Int64], Edges]
    unknown_of: Callable[[Int64], Unknown]
    unknown: Int64
    flagged: Int64
    flags: Int64
    marks_ms: Int64
    marks: Int64
    freedom_of: Callable[[Edges], Freedom]


def slots_of_curve(curve: Curve, max_gap_ms: int, topology: int) -> Slots:
    """Cut the curve at slot edges: every slot from the first point's to the last point's."""
    if len(curve.t1_ms) == 0:
        return Slots.empty()
    time_ms = slot_edges(int(curve.t1_ms[0]), int(curve.t1_ms[-1]))
    edges = curve.edges_of(time_ms)
    long = _long(curve, edges, max_gap_ms)
    unknown_j, is_missing = _unknown_energy(curve.unknown_of(time_ms), time_ms)
    flags = _slot_flags(curve, long, time_ms)
    # An edge marks the slot that starts at it; the last edge starts none.
    flags |= is_missing * np.int64(Flag.MISSING) | edges.is_refuted[:-1] * np.int64(Flag.LIMIT_REFUTED)
    free = curve.freedom_of(edges)
    place = (free.time_ms - time_ms[0]) // SLOT_MS
    return Slots(
        start_ms=time_ms[:-1],
        energy_j=np.diff(edges.level_j),
        unknown_j=unknown_j,
        under_j=summed(place, free.under_j, len(time_ms) - 1),
        over_j=summed(place, free.over_j, len(time_ms) - 1),
        gap_ms=_gap_ms(curve, ascending(long, curve.unknown), time_ms),
        below_j=edges.below_j[:-1],
        above_j=edges.above_j[:-1],
        below_capped_j=edges.below_capped_j[:-1],
        above_capped_j=edges.above_capped_j[:-1],
        flags=flags,
        revision=np.zeros(len(time_ms) - 1, np.int64),
        topology=np.full(len(time_ms) - 1, topology, np.int64),
    )


def slot_edges(first_ms: int, last_ms: int) -> Int64:
    """Edges of all slots from the one of a first to the one of a last time. [ms UTC]"""
    # + 2: the end of the last time's slot is the last edge, and arange leaves out its stop.
    return np.arange(first_ms // SLOT_MS * SLOT_MS, (last_ms // SLOT_MS + 2) * SLOT_MS, SLOT_MS, dtype=np.int64)


def inner_edges(time_ms: Int64, edges: Int64) -> tuple[slice, Int64]:
    """Which edges lie between two points, and the last point at or before each of these. (I,)"""
    left = last_before(time_ms, edges)
    # `left` ascends from -1, before all points, to the last point, which no point follows: what is between is inner.
    inner = slice(int(left[0] < 0), int(np.searchsorted(left, len(time_ms) - 1)))
    return inner, left[inner]


def _long(curve: Curve, edges: Edges, max_gap_ms: int) -> Int64:
    """Known intervals longer than a covered one may be; one longer than a slot has an edge inside."""
    if max_gap_ms >= SLOT_MS:
        # An interval holds several edges when it is longer still: `ascending` names it once.
        intervals = ascending(edges.left[edges.span_ms > max_gap_ms])
    else:
        intervals = np.flatnonzero(np.diff(curve.t1_ms) > max_gap_ms)
    return intervals[~has(curve.unknown, intervals)]


def share(energy_j: Int64, since_ms: Int64, span_ms: Int64) -> Int64:
    """Energy x since / span, rounded half up, exact for any int64 energy >= 0 and 0 <= since < span. [J]

    A float division below 2**52 cannot reach the next whole number, so its floor is exact too, and faster.
    """
    # With n = 2 x energy x since + span and d = 2 x span, n/d is whole or at least 1/d below the next whole number, and
    # its float is off by n/d/2**53 at most: by less, as long as n < 2**53. As 2 x since < d, n is below (2 x energy +
    # 1) x span.
    largest = (2.0 * float(energy_j.max(initial=0)) + 3.0) * float(span_ms.max(initial=0))
    if largest < _WHOLE_FLOAT:
        twice = 2 * span_ms
        return np.asarray(np.floor((2 * energy_j * since_ms + span_ms) / twice), np.int64)
    return exact_share(energy_j, since_ms, span_ms)


def exact_share(energy_j: Int64, since_ms: Int64, span_ms: Int64) -> Int64:
    """As `share`, in whole numbers only. [J]

    energy = whole x span + rest, and whole x since is exact: only rest x since is divided, and rest is below span.
    """
    whole, rest = np.divmod(energy_j, span_ms)
    if span_ms.max(initial=0) < _SMALL_MS:
        return np.asarray(whole * since_ms + (2 * rest * since_ms + span_ms) // (2 * span_ms), np.int64)
    part = (2 * rest.astype(object) * since_ms + span_ms) // (2 * span_ms)
    return np.asarray(whole * since_ms + part.astype(np.int64), np.int64)


def energy_bound_j(power_w: int, time_ms: int) -> int:
    """Power x time, rounded up, at most `MAX_ENERGY_J`. [J]"""
    return min(-(-power_w * time_ms // 1000), MAX_ENERGY_J)


def _gap_ms(curve: Curve, uncovered: Int64, edges: Int64) -> Int64:
    """Time per slot before the first point, in uncovered intervals and after the last point. (S,) [ms]"""
    t1 = curve.t1_ms
    starts = np.concatenate((edges[:1], t1[uncovered], t1[-1:]))
    ends = np.concatenate((t1[:1], t1[uncovered + 1], edges[-1:]))
    # These intervals do not overlap, so a slot's pieces add up to no more than the slot.
    _, slot, from_ms, to_ms = _pieces(starts, ends, edges)
    return summed(slot, to_ms - from_ms, len(edges) - 1)


def _unknown_energy(unknown: Unknown, edges: Int64) -> tuple[Int64, Bools]:
    """Per slot the most energy that can have flowed uncounted, and whether unknown time fills it. (S,) [J], (S,)

    What can have flowed by a moment rises from 0 with the maximum power, after the lead was used up, to the whole
    stretch's energy without lead and lag; a slot has the difference of this at its edges, rounded up at each. What can
    have flowed between request and reply of the reading on the left is all in the reply's slot: of a window that ends
    in between it is part of the edge's bounds, and must not count twice. Where no reading tells what was counted that
    is 1 J at least: the slot must not pass for known, for all of this rests on a maximum power, which readings may
    refute.
    """
    stretch, slot, from_ms, to_ms = _pieces(unknown.start_ms, unknown.end_ms, edges)
    power_w = unknown.power_w[stretch]
    start_ms = unknown.start_ms[stretch]
    lead_mj = unknown.lead_mj[stretch]
    whole_mj = np.maximum(power_mj(power_w, unknown.end_ms[stretch] - start_ms) - lead_mj - unknown.lag_mj[stretch], 0)
    flowed = [
        joules_up(np.minimum(np.maximum(power_mj(power_w, moment_ms - start_ms) - lead_mj, 0), whole_mj))
        for moment_ms in (from_ms, to_ms)
    ]
    is_bare = to_ms > unknown.bare_ms[stretch]
    reply_slot = (unknown.bare_ms[stretch] - edges[0]) // SLOT_MS
    energy = summed(np.maximum(slot, reply_slot), np.maximum(flowed[1] - flowed[0], is_bare), len(edges) - 1)
    return energy, summed(slot, to_ms - from_ms, len(edges) - 1) >= SLOT_MS


def _pieces(starts: Int64, ends: Int64, edges: Int64) -> tuple[Int64, Int64, Int64, Int64]:
    """I intervals cut at edges into P pieces: of every piece its interval, its slot, its start and its end. (P,) x 4

    For slots of 15 minutes, an interval from 10 to 35 min has the pieces 10-15, 15-30 and 30-35 in the slots 0, 1, 2.
    """
    first = (starts - edges[0]) // SLOT_MS
    last = (ends - 1 - edges[0]) // SLOT_MS
    pieces = np.where(starts < ends, last - first + 1, 0)  # (I,)
    first_piece = np.cumsum(pieces) - pieces  # (I,)
    interval = np.repeat(np.arange(len(starts)), pieces)  # (P,)
    nth = np.arange(len(interval)) - first_piece[interval]  # (P,) 0, 1, 2 ... within each interval
    slot = first[interval] + nth
    return interval, slot, np.maximum(starts[interval], edges[slot]), np.minimum(ends[interval], edges[slot + 1])


def summed(slot: Int64, values: Int64, slots: int) -> Int64:
    """Sum of values per slot, at most `MAX_ENERGY_J`. (N,), (N,) -> (S,)"""
    result = np.zeros(slots, np.int64)
    # Values are never negative: a slot's sum is no more than that of all.
    if float(values.sum(dtype=np.float64)) < MAX_ENERGY_J:
        # `result[slot] += values` would keep only one of several values of one slot.
        np.add.at(result, slot, values)
        return result
    for place, value in zip(slot.tolist(), values.tolist(), strict=True):
        result[place] = min(int(result[place]) + value, MAX_ENERGY_J)
    return result


def _slot_flags(curve: Curve, long: Int64, edges: Int64) -> Int64:
    intervals = np.concatenate((curve.flagged, long))
    starts = np.concatenate((curve.t1_ms[intervals], curve.marks_ms))
    ends = np.concatenate((curve.t1_ms[intervals + 1], curve.marks_ms))
    marks = np.concatenate((curve.flags, np.full(len(long), int(Flag.ALLOCATED)), curve.marks))
    return _spread(starts, ends, marks, edges)


def _spread(starts: Int64, ends: Int64, flags: Int64, edges: Int64) -> Int64:
    """Marks of intervals on every slot they touch; of moments only those in a slot. (S,)"""
    count = len(edges) - 1
    first = (starts - edges[0]) // SLOT_MS
    # Half-open: an interval that ends at an edge does not touch the slot behind it. A moment has start = end and
    # touches its own; one of a reading put aside can lie before the first or behind the last slot.
    last = (np.maximum(ends - 1, starts) - edges[0]) // SLOT_MS
    inside = (first >= 0) & (first < count)
    result = np.zeros(count, np.int64)
    for bit in bits_of(flags[inside]):
        chosen = inside & ((flags & bit) != 0)
        # +1 where an interval begins, -1 behind where it ends: the running sum is how many are open.
        steps = np.bincount(first[chosen], minlength=count + 1) - np.bincount(last[chosen] + 1, minlength=count + 1)
        result |= (np.cumsum(steps[:count]) > 0) * np.int64(bit)
    return result


def bits_of(flags: Int64) -> list[int]:
    """Marks that occur."""
    present = int(np.bitwise_or.reduce(flags, initial=0))
    return [1 << place for place in range(present.bit_length()) if present >> place & 1]
