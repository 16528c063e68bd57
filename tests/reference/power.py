"""METHOD.md, "Power only": readings of power to slots."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

from tests.reference.exact import MILLI, SLOT_MS, ceil_div, half_up, slot_of
from tests.reference.page import whole
from tests.reference.registers import (
    Mark,
    Point,
    Reading,
    Slot,
    Stretch,
    Version,
    merged,
    quality_marks,
    spread_gaps,
    spread_marks,
    spread_unknown,
    usable,
    without_overlap,
)

LONGEST_MS = MILLI * 60 * whole("by the trapezoid rule between readings at most # minutes")
TRAPEZOID = whole("(count + count') x step x (t1' - t1) / #, rounded half up")
BEYOND = whole("one beyond floor(P / step) + # to either side")
TRIANGLE = whole("ceil(R D (D + 4 r) / #)")
REPLIES = whole("ceil(R D (D + # r) /")
BEND = whole("+ ceil(c D / #)")


def power_fault(reading: Reading, version: Version) -> str | None:
    """Step 5, for a gauge: "a count may be negative", one beyond the maximum power is a spike."""
    if abs(reading.count) > version.power_w // version.step + BEYOND:
        return "SPIKE"
    return None


class Interval:
    """Time between two neighbouring readings."""

    def __init__(self, left: Point, right: Point, versions: Sequence[Version], longest_ms: int) -> None:
        self.from_ms = left.t1
        self.to_ms = right.t1
        self.left = left
        self.right = right
        self.version = versions[left.version]
        self.power_w = max(v.power_w for v in versions[left.version : right.version + 1])
        self.is_negative = left.count < 0 or right.count < 0
        self.is_exchange = left.version != right.version
        self.is_known = not self.is_negative and not self.is_exchange and right.t1 - left.t1 <= longest_ms

    def energy(self) -> int:
        """The trapezoid. [J]"""
        total = (self.left.count + self.right.count) * self.version.step * (self.to_ms - self.from_ms)
        return half_up(Fraction(total, TRAPEZOID))

    def within(self, slot: Slot) -> int:
        """How much of it lies in a slot. [ms]"""
        return max(0, min(slot.end_ms, self.to_ms) - max(slot.start_ms, self.from_ms))

    def step_w(self) -> int:
        return math.ceil(self.version.step)

    def change_w(self) -> int:
        return math.ceil(self.version.step * abs(self.right.count - self.left.count))

    def reply_ms(self) -> int:
        return max(self.left.t1 - self.left.t0, self.right.t1 - self.right.t0)

    def by_ramp(self) -> int | None:
        """What the fastest change of power leaves open; None if the readings refute it. [J]"""
        ramp = self.version.ramp or 0
        length = self.to_ms - self.from_ms
        if self.change_w() > ramp * (length + 2 * self.reply_ms()) // MILLI + self.step_w():
            return None
        triangle = ceil_div(ramp * length * (length + REPLIES * self.reply_ms()), TRIANGLE)
        return triangle + ceil_div(self.change_w() * length, BEND) + ceil_div(self.step_w() * length, MILLI)


def freedom(slot: Slot, intervals: Sequence[Interval], versions: Sequence[Version]) -> tuple[int, int]:
    """How far a slot's energy can lie under and over its trapezoids. [J]"""
    known = [i for i in intervals if i.is_known and i.within(slot)]
    integrated_ms = sum(i.within(slot) for i in known)
    under = slot.energy_j
    over = max(0, ceil_div(max(v.power_w for v in versions) * integrated_ms, MILLI) - slot.energy_j)
    if all(v.ramp is not None for v in versions):
        ramps = [i.by_ramp() for i in known]
        if None not in ramps:
            most = sum(r for r in ramps if r is not None)
            under = min(under, most)
            over = min(over, most)
    return under, over


def in_force(versions: Sequence[Version], beside: Point, from_ms: int, to_ms: int) -> int:
    """P of a stretch before the first or behind the last reading."""
    powers = [v.power_w for v in versions if v.from_ms < to_ms and (v.to_ms is None or v.to_ms > from_ms)]
    return max([versions[beside.version].power_w, *powers])


def power_slots(readings: Iterable[Reading], versions: Sequence[Version], max_gap_ms: int) -> list[Slot]:
    """ "Power only": every slot from the first to the last usable reading."""
    own = merged(versions)
    points, marks = usable(readings, own, power_fault)
    if not points:
        return []
    start_ms = slot_of(points[0].t1)
    end_ms = slot_of(points[-1].t1) + SLOT_MS
    slots = [Slot(start) for start in range(start_ms, end_ms, SLOT_MS)]
    longest_ms = min(LONGEST_MS, max_gap_ms)
    intervals = [Interval(a, b, own, longest_ms) for a, b in itertools.pairwise(points)]

    def level(moment: int) -> int:
        total = Fraction(0)
        for i in intervals:
            if i.is_known:
                done = min(max(moment, i.from_ms), i.to_ms) - i.from_ms
                total += Fraction(i.energy() * done, i.to_ms - i.from_ms)
        return half_up(total)

    for slot in slots:
        slot.energy_j = level(slot.end_ms) - level(slot.start_ms)
        slot.under_j, slot.over_j = freedom(slot, intervals, own)

    stretches = [Stretch(start_ms, points[0].t1, in_force(own, points[0], start_ms, points[0].t1), 0, 0)]
    gaps = [(start_ms, points[0].t1), (points[-1].t1, end_ms)]
    for i in intervals:
        if i.is_known:
            marks.append(Mark(i.from_ms, i.to_ms, "INTEGRATED"))
            continue
        stretches.append(Stretch(i.from_ms, i.to_ms, i.power_w, 0, 0))
        gaps.append((i.from_ms, i.to_ms))
        if i.is_negative:
            marks.append(Mark(i.from_ms, i.to_ms, "NEGATIVE"))
    stretches.append(Stretch(points[-1].t1, end_ms, in_force(own, points[-1], points[-1].t1, end_ms), 0, 0))
    spread_unknown(slots, without_overlap(stretches))
    spread_gaps(slots, gaps)
    spread_marks(slots, [*marks, *quality_marks(points)])
    return slots
