"""Slots cut from a cumulative energy curve given at irregular points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pue.quality import Flag
from pue.series import MAX_ENERGY_J, SLOT_MS
from pue.slots import Int64, Slots

OVERLAP = 3
"""Points after an edge among which is one that was asked for after it."""

_SMALL = 1 << 31
_SAFE_FLOAT_J = float(1 << 61)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A meter's energy at P points, ascending in `t1_ms`, with P - 1 intervals between them.

    Attributes
    ----------
    t0_ms, t1_ms
        The true time of a point lies in [t0, t1]; estimates use t1. (P,) [ms UTC]
    level_j
        Energy known to have flowed before the point, from any zero. (P,) [J]
    limit_w
        The most the meter can carry around the point. (P,) [W]
    unknown
        Intervals whose energy is unknown: the level stays, anything up to the limit may have flowed. (P - 1,)
    flags
        Marks of the intervals. (P - 1,)
    marks_ms, marks
        Marks of single moments: samples put aside, conflicts. (K,) [ms UTC, -]
    """

    t0_ms: Int64
    t1_ms: Int64
    level_j: Int64
    limit_w: Int64
    unknown: npt.NDArray[np.bool_]
    flags: Int64
    marks_ms: Int64
    marks: Int64


def slots_of_curve(curve: Curve, max_gap_ms: int, topology: int) -> Slots:
    """Cut the curve at slot edges: every slot from the first point's to the last point's."""
    if len(curve.t1_ms) == 0:
        return Slots.empty()
    edges = _edges(int(curve.t1_ms[0]), int(curve.t1_ms[-1]))
    level, below, above = levels_at(curve, edges)
    starts = edges[:-1]
    long = curve.unknown | (np.diff(curve.t1_ms) > max_gap_ms)
    unknown_j, unknown_ms = _unknown(curve, edges)
    flags = _slot_flags(curve, long, edges) | np.where(unknown_ms >= SLOT_MS, int(Flag.MISSING), 0)
    return Slots(
        start_ms=starts,
        energy_j=np.diff(level),
        unknown_j=unknown_j,
        gap_ms=_gap_ms(curve, long, edges),
        below_j=below[:-1],
        above_j=above[:-1],
        flags=flags,
        revision=np.zeros_like(starts),
        topology=np.full_like(starts, topology),
    )


def _edges(first_ms: int, last_ms: int) -> Int64:
    return np.arange(first_ms // SLOT_MS, last_ms // SLOT_MS + 2, dtype=np.int64) * SLOT_MS


def levels_at(curve: Curve, edges: Int64) -> tuple[Int64, Int64, Int64]:
    """Estimate of the curve at edges, and how far below and above it the truth can lie.

    Linear between the neighbouring points, rounded half up once. The truth is at least the level of the last point that
    certainly lies before the edge, and at most that of the first that certainly lies after it.

    References
    ----------
    METHOD.md, "Edge bounds".
    """
    last = len(curve.t1_ms) - 1
    left = np.searchsorted(curve.t1_ms, edges, side="right") - 1
    inside = (left >= 0) & (left < last)
    left = np.clip(left, 0, last)
    right = np.minimum(left + 1, last)
    low, high = curve.level_j[left], curve.level_j[right]
    since = np.where(inside, edges - curve.t1_ms[left], 0)
    span = np.where(inside, curve.t1_ms[right] - curve.t1_ms[left], 1)
    level = low + share(high - low, since, span)
    known = inside & ~np.append(curve.unknown, True)[left]
    above = curve.level_j[_first_after(curve, edges, left)] - level
    return level, np.where(known, level - low, 0), np.where(known, above, 0)


def _first_after(curve: Curve, edges: Int64, left: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Index of the first point asked for at or after each edge; of one meter at most two requests overlap."""
    last = len(curve.t1_ms) - 1
    after = left.copy()
    for _ in range(OVERLAP):
        after += (curve.t0_ms[after] < edges) & (after < last)
    return after


def share(energy_j: Int64, since_ms: Int64, span_ms: Int64) -> Int64:
    """Energy x since / span, rounded half up, exact for any int64 energy >= 0 and 0 <= since < span. [J]"""
    whole, rest = np.divmod(energy_j, span_ms)
    if span_ms.max(initial=0) < _SMALL >> 1:
        return np.asarray(whole * since_ms + (2 * rest * since_ms + span_ms) // (2 * span_ms), np.int64)
    part = (2 * rest.astype(object) * since_ms + span_ms) // (2 * span_ms)
    return np.asarray(whole * since_ms + part.astype(np.int64), np.int64)


def energy_bound_j(power_w: Int64, time_ms: Int64) -> Int64:
    """Power x time, rounded up, at most `MAX_ENERGY_J`. [J]"""
    seconds, rest = np.divmod(time_ms, 1000)
    huge = power_w.astype(np.float64) * (seconds + 1) > _SAFE_FLOAT_J
    safe_w = np.where(huge, 0, power_w)
    return np.where(huge, MAX_ENERGY_J, safe_w * seconds - (-safe_w * rest) // 1000)


def _gap_ms(curve: Curve, long: npt.NDArray[np.bool_], edges: Int64) -> Int64:
    t1 = curve.t1_ms
    starts = np.concatenate((edges[:1], t1[:-1][long], t1[-1:]))
    ends = np.concatenate((t1[:1], t1[1:][long], edges[-1:]))
    return _overlap_ms(starts, ends, edges)


def _unknown(curve: Curve, edges: Int64) -> tuple[Int64, Int64]:
    """Per slot, the most energy and the time of unknown intervals, before the first point and after the last."""
    unknown, limit = curve.unknown, curve.limit_w
    starts = np.concatenate((edges[:1], curve.t0_ms[:-1][unknown], curve.t0_ms[-1:]))
    ends = np.concatenate((curve.t1_ms[:1], curve.t1_ms[1:][unknown], edges[-1:]))
    limits = np.concatenate((limit[:1], np.maximum(limit[:-1], limit[1:])[unknown], limit[-1:]))
    starts[1:] = np.maximum(starts[1:], ends[:-1])
    energy, time = np.zeros(len(edges) - 1, np.int64), np.zeros(len(edges) - 1, np.int64)
    for power in np.unique(limits):
        chosen = limits == power
        overlap = _overlap_ms(starts[chosen], ends[chosen], edges)
        energy, time = energy + energy_bound_j(power, overlap), time + overlap
    return energy, time


def _overlap_ms(starts: Int64, ends: Int64, edges: Int64) -> Int64:
    """Time per slot covered by disjoint ascending intervals."""
    before = np.concatenate((np.zeros(1, np.int64), np.cumsum(ends - starts)))
    index = np.searchsorted(starts, edges, side="right") - 1
    clipped = np.maximum(index, 0)
    passed = before[clipped] + np.minimum(edges, ends[clipped]) - starts[clipped]
    return np.diff(np.where(index >= 0, passed, 0))


def _slot_flags(curve: Curve, long: npt.NDArray[np.bool_], edges: Int64) -> Int64:
    flags = curve.flags | np.where(long & ~curve.unknown, int(Flag.ALLOCATED), 0)
    chosen = flags != 0
    starts = np.concatenate((curve.t1_ms[:-1][chosen], curve.marks_ms))
    ends = np.concatenate((curve.t1_ms[1:][chosen], curve.marks_ms))
    return _spread(starts, ends, np.concatenate((flags[chosen], curve.marks)), edges)


def _spread(starts: Int64, ends: Int64, flags: Int64, edges: Int64) -> Int64:
    """Marks of intervals on every slot they touch."""
    count = len(edges) - 1
    first = (starts - edges[0]) // SLOT_MS
    last = (np.maximum(ends - 1, starts) - edges[0]) // SLOT_MS
    inside = (last >= 0) & (first < count)
    first, last, flags = np.maximum(first[inside], 0), np.minimum(last[inside], count - 1), flags[inside]
    result = np.zeros(count, np.int64)
    for bit in _bits(int(np.bitwise_or.reduce(flags, initial=0))):
        chosen = (flags & bit) != 0
        steps = np.bincount(first[chosen], minlength=count + 1) - np.bincount(last[chosen] + 1, minlength=count + 1)
        result |= np.where(np.cumsum(steps[:count]) > 0, bit, 0)
    return result


def _bits(flags: int) -> list[int]:
    return [1 << place for place in range(flags.bit_length()) if flags >> place & 1]
