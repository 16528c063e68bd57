"""The rules of registers once more, sample by sample in exact fractions: what the array version must agree with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

from pue.contract.quality import NO_VALUE, Flag, Quality
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.registers import RegisterVersion

Reading = tuple[int, int, int, int, int]
"""t0_ms, t1_ms, count, quality, order."""


@dataclass(frozen=True)
class Point:
    t0: int
    t1: int
    count: int
    quality: int
    version: int
    declared: bool = False


@dataclass
class Slot:
    energy_j: int = 0
    unknown_j: int = 0
    gap_ms: int = 0
    below_j: int = 0
    above_j: int = 0
    flags: int = 0


def half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def plain_slots(
    readings: Sequence[Reading], versions: Sequence[RegisterVersion], max_gap_ms: int = SLOT_MS
) -> dict[int, Slot]:
    points, marks = usable(readings, versions)
    points = with_declared(points, versions)
    spikes = spikes_of(points, versions)
    marks += [(points[i].t1, int(Flag.SPIKE)) for i in spikes]
    points = [point for i, point in enumerate(points) if i not in spikes]
    return cut(points, marks, versions, max_gap_ms) if points else {}


def usable(
    readings: Sequence[Reading], versions: Sequence[RegisterVersion]
) -> tuple[list[Point], list[tuple[int, int]]]:
    by_time: dict[int, list[Reading]] = {}
    for reading in readings:
        if not reading[3] & NO_VALUE:
            by_time.setdefault(reading[1], []).append(reading)
    points, marks = [], []
    for time in sorted(by_time):
        ranked = sorted(by_time[time], key=lambda r: (r[4], r[2], r[0], r[3]))
        t0, t1, count, quality, _ = ranked[0]
        if any(row[2] != count for row in ranked):
            marks.append((time, int(Flag.CONFLICT)))
        index = version_at(time, versions)
        if index is None:
            continue
        version = versions[index]
        if count < 0:
            marks.append((time, int(Flag.NEGATIVE)))
        elif max(Fraction(count), count * version.step_j) > MAX_ENERGY_J - 1 or (
            version.modulus is not None and count >= version.modulus
        ):
            marks.append((time, int(Flag.RANGE)))
        else:
            points.append(Point(min(max(t0, t1 - 60_000), t1), t1, count, quality, index))
    return points, marks


def version_at(time: int, versions: Sequence[RegisterVersion]) -> int | None:
    for index, version in enumerate(versions):
        if version.from_ms <= time and (version.to_ms is None or time < version.to_ms):
            return index
    return None


def with_declared(points: list[Point], versions: Sequence[RegisterVersion]) -> list[Point]:
    result = list(points)
    for index, version in enumerate(versions):
        if index == 0 or version.replacement is None or not points:
            continue
        moment = version.from_ms
        if points[0].t1 < moment <= points[-1].t1:
            place = sum(point.version < index for point in result)
            final, initial = version.replacement
            result[place:place] = [
                Point(moment, moment, final, 0, index - 1, True),
                Point(moment, moment, initial, 0, index, True),
            ]
    return result


def relation(a: Point, b: Point, versions: Sequence[RegisterVersion]) -> str:
    if a.version != b.version:
        return "known" if a.declared and b.declared and a.version + 1 == b.version else "cut"
    version = versions[a.version]
    rate = float(Fraction(version.max_power_w, 1000) / version.step_j)
    most = (b.t1 - a.t0) * rate + (1 + (max(a.count, b.count) >> 23))
    rise = b.count - a.count
    if version.modulus is None:
        return "known" if 0 <= rise <= most else "bad"
    wraps = [w for w in (0, 1, 2) if rise + w * version.modulus >= 0 and rise + w * version.modulus <= most]
    if not wraps:
        return "bad"
    if len(wraps) > 1:
        return "ambiguous"
    return "rollover" if wraps[0] else "known"


def spikes_of(points: list[Point], versions: Sequence[RegisterVersion]) -> set[int]:
    last = len(points) - 1

    def bad(i: int) -> bool:
        return 0 < i <= last and relation(points[i - 1], points[i], versions) == "bad"

    def agree(i: int, j: int) -> bool:
        return relation(points[i], points[j], versions) in ("known", "rollover")

    def candidate(i: int) -> bool:
        if not 0 < i <= last:
            return False
        if i == last:
            return bad(i)
        outvoted = bad(i + 1) and i + 2 <= last and not agree(i, i + 2)
        return (bad(i) or outvoted) and agree(i - 1, i + 1)

    return {
        i
        for i in range(1, last + 1)
        if candidate(i) and not candidate(i - 1) and not (candidate(i + 1) and candidate(i + 2))
    }


@dataclass(frozen=True)
class Interval:
    a: Point
    b: Point
    low: int
    high: int
    unknown: bool
    limit: int
    flags: int


def intervals_of(points: list[Point], versions: Sequence[RegisterVersion], max_gap_ms: int) -> list[Interval]:
    result = []
    level = 0
    for a, b in pairwise(points):
        kind = relation(a, b, versions)
        step_a, step_b = versions[a.version].step_j, versions[b.version].step_j
        energy, flags = 0, 0
        if kind == "known" and a.version == b.version:
            energy = half_up(b.count * step_b) - half_up(a.count * step_a)
        elif kind == "known":
            flags |= Flag.REPLACED
        elif kind == "rollover":
            modulus = versions[a.version].modulus
            assert modulus is not None
            energy = half_up((b.count + modulus) * step_b) - half_up(a.count * step_a)
            flags |= Flag.ROLLOVER
        elif kind == "bad":
            flags |= Flag.RESET if b.count < a.count else Flag.RANGE
        else:
            flags |= Flag.AMBIGUOUS if kind == "ambiguous" else Flag.RESET | Flag.REPLACED
        unknown = kind in ("bad", "ambiguous", "cut")
        if b.t1 - a.t1 > max_gap_ms and not unknown:
            flags |= Flag.ALLOCATED
        for point in (a, b):
            flags |= Flag.SKEW if point.quality & Quality.CLOCK_UNSYNCED else 0
            flags |= Flag.MANUAL if point.quality & Quality.OUT_OF_BAND else 0
        limit = max(versions[a.version].max_power_w, versions[b.version].max_power_w)
        result.append(Interval(a, b, level, level + energy, unknown, limit, int(flags)))
        level += energy
    return result


def cut(
    points: list[Point], marks: list[tuple[int, int]], versions: Sequence[RegisterVersion], max_gap_ms: int
) -> dict[int, Slot]:
    intervals = intervals_of(points, versions, max_gap_ms)
    first, last = points[0], points[-1]
    start = first.t1 - first.t1 % SLOT_MS
    end = last.t1 - last.t1 % SLOT_MS + SLOT_MS
    slots = {edge: Slot() for edge in range(start, end, SLOT_MS)}

    def top(n: int, edge: int) -> int:
        levels = [intervals[0].low, *(i.high for i in intervals)]
        certain = [m for m in range(n, min(n + 3, len(points))) if points[m].t0 >= edge]
        return levels[certain[0] if certain else min(n + 3, len(points) - 1)]

    def level(edge: int) -> tuple[int, int, int]:
        for n, i in enumerate(intervals):
            if i.a.t1 <= edge < i.b.t1:
                estimate = i.low + half_up(Fraction((i.high - i.low) * (edge - i.a.t1), i.b.t1 - i.a.t1))
                return estimate, estimate - i.low, top(n, edge) - estimate
        return (0, 0, 0) if edge < first.t1 else (intervals[-1].high if intervals else 0, 0, 0)

    gaps = [(start, first.t1), (last.t1, end)]
    gaps += [(i.a.t1, i.b.t1) for i in intervals if i.unknown or i.b.t1 - i.a.t1 > max_gap_ms]
    unknown = [(start, first.t1, versions[first.version].max_power_w)]
    unknown += [(i.a.t0, i.b.t1, i.limit) for i in intervals if i.unknown]
    unknown += [(last.t0, end, versions[last.version].max_power_w)]
    unknown = [(max(a, unknown[n - 1][1]) if n else a, b, limit) for n, (a, b, limit) in enumerate(unknown)]
    for edge, slot in slots.items():

        def inside(a: int, b: int, edge: int = edge) -> int:
            return max(0, min(b, edge + SLOT_MS) - max(a, edge))

        slot.energy_j = level(edge + SLOT_MS)[0] - level(edge)[0]
        slot.below_j, slot.above_j = level(edge)[1:]
        slot.gap_ms = sum(inside(a, b) for a, b in gaps)
        time_by_limit: dict[int, int] = {}
        for a, b, limit in unknown:
            time_by_limit[limit] = time_by_limit.get(limit, 0) + inside(a, b)
        slot.unknown_j = sum(ceil(Fraction(limit * time, 1000)) for limit, time in time_by_limit.items())
        slot.flags = int(Flag.MISSING) if sum(time_by_limit.values()) >= SLOT_MS else 0
    for i in intervals:
        for edge in range(i.a.t1 - i.a.t1 % SLOT_MS, max(i.b.t1, i.a.t1 + 1), SLOT_MS):
            slots[edge].flags |= i.flags
    for time, mark in marks:
        edge = time - time % SLOT_MS
        if edge in slots:
            slots[edge].flags |= mark
    return slots
