"""Slots of energy integrated from the readings of a power gauge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil

import numpy as np

from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.curves import Curve, Edges, Freedom, Unknown, inner_edges, share, slots_of_curve, summed
from pue.energy.index import Bools
from pue.energy.points import Points, points_of
from pue.energy.registers import quality_marks
from pue.energy.slots import Int64, Samples, Slots
from pue.energy.versions import (
    RegisterVersion,
    joules_up,
    merged,
    power_in_force_w,
    power_mj,
    powers_w,
    rounded,
    scaled,
)

_REFUTED_J = 1 << 56
"""More than any meter carries in a slot. [J]"""


def power_slots(
    samples: Samples, versions: Sequence[RegisterVersion], *, max_gap_ms: int = SLOT_MS, topology: int = 0
) -> Slots:
    """Energy per slot integrated from power by the trapezoid rule, never across more than a slot's length.

    Parameters
    ----------
    samples
        Readings of a power gauge, in any order.
    versions
        As for `register_slots`; `step_j` is in W.
    max_gap_ms
        Longest time between readings that is bridged, at most `SLOT_MS`. [ms]
    topology
        Version of the topology document, written to every slot.

    References
    ----------
    METHOD.md, "Power only".
    """
    versions = merged(versions)
    points, _ = points_of(samples, versions, gauge=True)
    if len(points) == 0:
        return Slots.empty()
    # An interval that is integrated touches at most two slots then: `_near_readings_j` adds to two.
    max_gap_ms = min(max_gap_ms, SLOT_MS)
    is_unknown = _is_unknown(points, max_gap_ms)
    slots = slots_of_curve(_curve(points, versions, is_unknown), max_gap_ms, topology)
    under, over = _freedom(points, versions, is_unknown, slots)
    return replace(slots, under_j=under, over_j=over)


def _is_unknown(points: Points, max_gap_ms: int) -> Bools:
    """Intervals that are not integrated: too long, beside negative power, or between two versions. (P - 1,)"""
    version_of = points.version_of(np.arange(len(points), dtype=np.int64))
    is_unknown = _is_negative(points) | (np.diff(points.t1_ms) > max_gap_ms) | (np.diff(version_of) != 0)
    return np.asarray(is_unknown, np.bool_)


def _is_negative(points: Points) -> Bools:
    return np.asarray((points.count[:-1] < 0) | (points.count[1:] < 0), np.bool_)


def _curve(points: Points, versions: Sequence[RegisterVersion], is_unknown: Bools) -> Curve:
    level = np.concatenate((np.zeros(1, np.int64), np.cumsum(_trapezoids_j(points, versions, is_unknown))))  # (P,) [J]
    unknown = np.flatnonzero(is_unknown)
    integrated = np.flatnonzero(~is_unknown)
    negative = np.flatnonzero(_is_negative(points))
    marked, marks = quality_marks(points)
    flags = (np.full_like(negative, int(Flag.NEGATIVE)), np.full_like(integrated, int(Flag.INTEGRATED)), marks)
    return Curve(
        t1_ms=points.t1_ms,
        edges_of=lambda time_ms: _edges(points, level, time_ms),
        unknown_of=lambda time_ms: _unknown(points, versions, unknown, time_ms),
        unknown=unknown,
        flagged=np.concatenate((negative, integrated, marked)),
        flags=np.concatenate(flags),
        marks_ms=points.aside_ms,
        marks=points.aside,
        freedom_of=lambda _: Freedom.none(),
    )


def _trapezoids_j(points: Points, versions: Sequence[RegisterVersion], is_unknown: Bools) -> Int64:
    """Mean power of both readings x time, rounded half up once; nothing where it is unknown. (P - 1,) [J]"""
    span_ms = np.diff(points.t1_ms)
    version_of = points.version_of(np.arange(len(span_ms), dtype=np.int64))
    energy = np.zeros(len(span_ms), np.int64)
    for index, version in enumerate(versions):
        mine = ~is_unknown & (version_of == index)
        counts = points.count[:-1][mine] + points.count[1:][mine]
        # 2000: half of both readings, and ms to s.
        energy[mine] = _product(counts, span_ms[mine], version.step_j / 2000)
    return energy


def _product(counts: Int64, span_ms: Int64, step: Fraction) -> Int64:
    """Counts x span x step, rounded half up once. [J]"""
    largest = int(counts.max(initial=0)) * int(span_ms.max(initial=0))
    # No count is negative here: what lies beside negative power is unknown.
    if largest < MAX_ENERGY_J:
        return scaled(counts * span_ms, step)
    pairs = zip(counts.tolist(), span_ms.tolist(), strict=True)
    return np.array([rounded(count * span * step) for count, span in pairs], np.int64)


def _edges(points: Points, level_j: Int64, time_ms: Int64) -> Edges:
    """The integral at edges, a straight line between readings: all that it leaves open is in the slots' freedom."""
    inner, left = inner_edges(points.t1_ms, time_ms)
    span_ms = points.t1_ms[left + 1] - points.t1_ms[left]
    level = np.full(len(time_ms), level_j[-1])
    level[: inner.start] = level_j[0]
    level[inner] = level_j[left] + share(
        level_j[left + 1] - level_j[left], time_ms[inner] - points.t1_ms[left], span_ms
    )
    nothing = np.zeros_like(time_ms)
    return Edges(time_ms, left, span_ms, level, nothing, nothing, nothing, nothing, nothing)


def _unknown(points: Points, versions: Sequence[RegisterVersion], unknown: Int64, time_ms: Int64) -> Unknown:
    """Before the first reading, in intervals that are not integrated, after the last reading."""
    first, last = (versions[index].max_power_w for index in points.version_of(np.array([0, len(points) - 1])).tolist())
    t1_ms = points.t1_ms
    before_w = power_in_force_w(versions, int(time_ms[0]), int(t1_ms[0]), first)
    behind_w = power_in_force_w(versions, int(t1_ms[-1]), int(time_ms[-1]), last)
    # U intervals between two readings, in which any version from one to the other may have held; U + 2 stretches.
    _, limits = powers_w(versions, points.version_of(unknown), points.version_of(unknown + 1))
    nothing = np.zeros(len(unknown) + 2, np.int64)
    start_ms = np.concatenate((time_ms[:1], t1_ms[unknown], t1_ms[-1:]))
    return Unknown(
        start_ms=start_ms,
        end_ms=np.concatenate((t1_ms[:1], t1_ms[unknown + 1], time_ms[-1:])),
        bare_ms=start_ms,
        power_w=np.concatenate(([before_w], limits, [behind_w])),
        lead_mj=nothing,
        lag_mj=nothing,
    )


# What an integral leaves open


def _freedom(
    points: Points, versions: Sequence[RegisterVersion], is_unknown: Bools, slots: Slots
) -> tuple[Int64, Int64]:
    """How far the truth of each slot can lie under and over the integral. (S,), (S,) [J]

    Between two readings a load can do anything: the truth of integrated time lies between nothing and the maximum
    power. A declared fastest change of power holds it near the readings, where they keep to it.
    """
    integrated_ms = _integrated_ms(points, is_unknown, slots)
    # The largest P of all versions: wider than need be, never too narrow.
    limit_w = np.full(len(slots), max(version.max_power_w for version in versions))
    over = np.maximum(joules_up(power_mj(limit_w, integrated_ms)) - slots.energy_j, 0)
    # Power is not negative where it was integrated: the truth is 0 at least.
    under = slots.energy_j
    if all(version.max_ramp_w_per_s is not None for version in versions):
        near = _near_readings_j(points, versions, is_unknown, slots)
        return np.minimum(under, near), np.minimum(over, near)
    return under, over


def _integrated_ms(points: Points, is_unknown: Bools, slots: Slots) -> Int64:
    """Time of each slot that is integrated. (S,) [ms]"""
    time_ms = np.append(slots.start_ms, slots.start_ms[-1] + SLOT_MS)
    span_ms = np.where(is_unknown, 0, np.diff(points.t1_ms))
    before = np.concatenate((np.zeros(1, np.int64), np.cumsum(span_ms)))  # (P,) integrated time before each reading
    inner, left = inner_edges(points.t1_ms, time_ms)
    at_edge = np.full(len(time_ms), before[-1])
    at_edge[: inner.start] = 0
    # Integrated time up to each edge; a slot's is the difference at its two.
    at_edge[inner] = before[left] + np.where(is_unknown[left], 0, time_ms[inner] - points.t1_ms[left])
    return np.diff(at_edge)


def _near_readings_j(points: Points, versions: Sequence[RegisterVersion], is_unknown: Bools, slots: Slots) -> Int64:
    """How far each slot's energy can lie from the integral if power changes no faster than declared. (S,) [J]

    Between two equal readings a time D apart, power that changes by at most R a second encloses a triangle of area
    R D^2 / 4. Between unequal ones it is less, but the straight line of the curve leaves the trapezoid by up to
    |p' - p| D / 8 inside. A reading is true some time between request and reply, and cut off to whole steps.
    Readings further apart than R allows refute it: then nothing is near.
    """
    slot = [np.empty(0, np.int64)]
    off = [np.empty(0, np.int64)]
    version_of = points.version_of(np.arange(len(is_unknown), dtype=np.int64))
    first = (points.t1_ms[:-1] - slots.start_ms[0]) // SLOT_MS
    # Half-open, so that an interval which ends at an edge has no part in the slot behind it.
    last = (points.t1_ms[1:] - 1 - slots.start_ms[0]) // SLOT_MS
    for index, version in enumerate(versions):
        mine = np.flatnonzero(~is_unknown & (version_of == index))
        off_j = _off_j(points, mine, version)
        # In full to both slots: where in the interval the load left the line is not known.
        in_two = last[mine] > first[mine]
        slot += (first[mine], last[mine][in_two])
        off += (off_j, off_j[in_two])
    return summed(np.concatenate(slot), np.concatenate(off), len(slots))


def _off_j(points: Points, left: Int64, version: RegisterVersion) -> Int64:
    """As `_near_readings_j`, of single intervals given by their left points. (N,) [J]"""
    ramp = version.max_ramp_w_per_s or 0
    took_ms = points.t1_ms - points.t0_ms
    reply_ms = np.maximum(took_ms[left], took_ms[left + 1])
    span_ms = points.t1_ms[left + 1] - points.t1_ms[left]
    change = np.abs(points.count[left + 1] - points.count[left])
    longest_ms = int((span_ms + 4 * reply_ms).max(initial=0))
    if max(ramp * longest_ms**2, int(change.max(initial=0)) * version.step_j.numerator * longest_ms) >= MAX_ENERGY_J:
        # Beyond int64, as with 20 MW/s and readings 15 minutes apart: Python's integers are as exact, and slow.
        span_ms, reply_ms, change = (column.astype(object) for column in (span_ms, reply_ms, change))
    # In W, rounded up; the fastest change counts from request to reply, and a step hides in either reading.
    change_w = -(-change * version.step_j.numerator // version.step_j.denominator)
    step_w = ceil(version.step_j)
    # J from W/s x ms x ms (10**6), with the 4 of the triangle; W x ms (10**3), with the 8 of the bend; W x ms.
    area = -(-ramp * span_ms * (span_ms + 4 * reply_ms) // 4_000_000)
    bend = -(-change_w * span_ms // 8000)
    hidden = -(-step_w * span_ms // 1000)
    # Both readings may be off by their own time under way, and by a step.
    is_kept = change_w <= ramp * (span_ms + 2 * reply_ms) // 1000 + step_w
    off = np.minimum(area + bend + hidden, _REFUTED_J)
    return np.where(is_kept, off, _REFUTED_J).astype(np.int64)
