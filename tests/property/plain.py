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
    under_j: int = 0
    over_j: int = 0
    gap_ms: int = 0
    below_j: int = 0
    above_j: int = 0
    below_capped_j: int = 0
    above_capped_j: int = 0
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
    points, marks = [], []
    for reading in readings:
        if reading[3] & NO_VALUE:
            continue
        if reading[1] - reading[0] > 60_000:
            marks.append((reading[1], int(Flag.SLOW)))
        else:
            by_time.setdefault(reading[1], []).append(reading)
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
            points.append(Point(min(t0, t1), t1, count, quality, index))
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
        return "declared" if a.t1 == b.t1 and a.version + 1 == b.version else "exchanged"
    version = versions[a.version]
    most = floor(Fraction(version.max_power_w * (b.t1 - a.t0), 1000) / version.step_j) + 1
    most += max(a.count, b.count) >> 23
    rise = b.count - a.count
    if version.modulus is None:
        possible = [0] if 0 <= rise <= most else []
    else:
        possible = [w for w in (0, 1, 2) if 0 <= rise + w * version.modulus <= most]
    if not possible:
        return "reset" if rise < 0 else "leap"
    if len(possible) > 1:
        return "ambiguous"
    return "rollover" if possible[0] else "plain"


def relations_of(points: list[Point], versions: Sequence[RegisterVersion]) -> list[str]:
    """Relation of each point to the next, leaps that both sides confirm turned into refuted limits."""
    found = [relation(a, b, versions) for a, b in pairwise(points)]
    last = len(points) - 1

    def rises(i: int) -> bool:
        return 0 <= i < last and found[i] in ("plain", "rollover", "declared", "leap")

    def agree(i: int, j: int) -> bool:
        return relation(points[i], points[j], versions) in ("plain", "rollover", "declared")

    def taken_back(i: int) -> bool:
        after = next((f for f in range(i + 1, last) if found[f] == "reset"), None)
        before = next((f for f in range(i - 1, -1, -1) if found[f] == "reset"), None)
        undone = after is not None and after - i <= 8 and agree(i, after + 1)
        redone = before is not None and i - before <= 8 and agree(before, i + 1)
        return undone or redone

    return [
        "refuted" if kind == "leap" and rises(i - 1) and rises(i + 1) and not taken_back(i) else kind
        for i, kind in enumerate(found)
    ]


def spikes_of(points: list[Point], versions: Sequence[RegisterVersion]) -> set[int]:
    last = len(points) - 1

    def bad(i: int) -> bool:
        return 0 < i <= last and relation(points[i - 1], points[i], versions) in ("reset", "leap")

    def agree(i: int, j: int) -> bool:
        return relation(points[i], points[j], versions) in ("plain", "rollover", "declared")

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


UNKNOWN = ("reset", "leap", "ambiguous", "exchanged")
MARKS = {
    "plain": Flag(0),
    "rollover": Flag.ROLLOVER,
    "declared": Flag.REPLACED,
    "refuted": Flag.LIMIT_REFUTED,
    "reset": Flag.RESET,
    "leap": Flag.RANGE,
    "ambiguous": Flag.AMBIGUOUS,
    "exchanged": Flag.RESET | Flag.REPLACED,
}


class Register:
    """Points, their relations and levels, and everything METHOD.md says about a moment between them."""

    def __init__(self, points: list[Point], versions: Sequence[RegisterVersion]) -> None:
        self.points = points
        self.versions = versions
        self.relations = relations_of(points, versions)
        self.level = [half_up(points[0].count * versions[points[0].version].step_j)]
        for kind, (a, b) in zip(self.relations, pairwise(points), strict=True):
            self.level.append(self.level[-1] + self._energy(kind, a, b))
        self.power = [versions[point.version].max_power_w for point in points]
        fractional = [int(versions[point.version].step_j.denominator > 1) for point in points]
        self.rounding = fractional
        self.hidden = [ceil(versions[p.version].step_j) + r for p, r in zip(points, fractional, strict=True)]

    def _energy(self, kind: str, a: Point, b: Point) -> int:
        if kind in UNKNOWN or kind == "declared":
            return 0
        version = self.versions[a.version]
        count = b.count + (version.modulus or 0 if kind == "rollover" else 0)
        return half_up(count * version.step_j) - half_up(a.count * version.step_j)

    def stretch(self, i: int) -> range:
        """Points around a point between two walls."""
        walls = [w for w, kind in enumerate(self.relations) if kind not in ("plain", "rollover")]
        start = max((w + 1 for w in walls if w < i), default=0)
        end = min((w for w in walls if w >= i), default=len(self.points) - 1)
        return range(start, end + 1)

    def most_lead(self, i: int) -> int:
        return 1000 * self.hidden[i] + 60_000 * self.power[i]

    def lead_before(self, i: int) -> int:
        """By how much the readings before the i-th hold what comes after it lower than it does itself. [mJ]"""
        lead = 0
        for j in self.stretch(i):
            if j + 1 > i:
                return lead
            rise = 1000 * (self.level[j + 1] - self.level[j])
            spare = self.power[i] * (self.points[j + 1].t0 - self.points[j].t0)
            lead = max(0, min(self.most_lead(i), lead + rise - spare))
        return lead

    def lead_after(self, i: int) -> int:
        lead = 0
        for k in reversed(self.stretch(i)):
            if k - 1 < i:
                return lead
            rise = 1000 * (self.level[k] - self.level[k - 1])
            spare = self.power[i] * (self.points[k].t1 - self.points[k - 1].t1)
            lead = max(0, min(self.most_lead(i), lead + rise - spare))
        return lead

    def bracket(self, n: int, edge: int) -> tuple[int, int, int, int]:
        """Bounds of the curve at an edge between the n-th and the next point: alone, then capped."""
        low = self.level[n] - self.rounding[n]
        if self.relations[n] in UNKNOWN:
            power, lead, _ = self.across(n)
            low -= up(max(lead - power * (edge - self.points[n].t0), 0))
            top, under_way = self.asked_after(n + 1, edge)
            return low, top, low, min([top, *under_way])
        at_edge = self.points[n].t0 == self.points[n].t1 == edge
        if self.relations[n] == "refuted":
            top, _ = self.asked_after(n if at_edge else n + 1, edge)
            return low, top, low, top
        power = self.power[n]
        risen = power * (edge - self.points[n].t0) - self.lead_before(n)
        to_rise = power * (self.points[n + 1].t1 - edge) - self.lead_after(n + 1)
        high, under_way = self.asked_after(n if at_edge else n + 1, edge)
        lowest = max(low, down(1000 * (self.level[n + 1] - self.rounding[n]) - to_rise))
        highest = min(high, up(1000 * (self.level[n] + self.hidden[n]) + risen), *under_way)
        return low, high, lowest, highest

    def rests(self, n: int, edge: int) -> bool:
        """Whether no joined reading behind the n-th point was asked for after an edge: only power bounds it above."""
        for k in range(n + 1, len(self.points)):
            if self.points[k].t0 >= edge:
                return False
            if k == len(self.relations) or self.relations[k] not in ("plain", "rollover", "refuted"):
                return True
        return False

    def asked_after(self, first: int, edge: int) -> tuple[int, list[int]]:
        """Upper bound by the first reading from some point on asked for after an edge; those of the ones before it."""
        under_way: list[int] = []
        for k in range(first, len(self.points)):
            top = self.level[k] + self.hidden[k]
            if self.points[k].t0 >= edge:
                return top, under_way
            so_far = up(1000 * top + self.power[k] * (edge - self.points[k].t0))
            if k in self.stretch(first):
                under_way.append(so_far)
            if k == len(self.relations) or self.relations[k] not in ("plain", "rollover", "refuted"):
                break
        return so_far, under_way

    def is_resolution(self, n: int, excess: int) -> bool:
        """Whether the step of a float32 register explains caps that contradict each other."""
        return excess <= self.hidden[n] * (max(self.points[n].count, self.points[n + 1].count) >> 23)

    def in_force(self, start: int, end: int, own: int) -> int:
        """Largest maximum power of all versions in force in a stretch, or of the reading beside it."""
        powers = [v.max_power_w for v in self.versions if v.from_ms < end and (v.to_ms is None or v.to_ms > start)]
        return max([self.power[own], *powers])

    def before_first(self, start: int) -> tuple[int, int]:
        power = self.in_force(start, self.points[0].t1, 0)
        return power, self.lead_after(0) if power == self.power[0] else 0

    def behind_last(self, end: int) -> tuple[int, int]:
        last = len(self.points) - 1
        power = self.in_force(self.points[-1].t0, end, last)
        return power, self.lead_before(last) if power == self.power[last] else 0

    def across(self, i: int) -> tuple[int, int, int]:
        """Power, lead and lag of unknown energy between two points."""
        powers = [v.max_power_w for v in self.versions[self.points[i].version : self.points[i + 1].version + 1]]
        same = min(powers) == max(powers)
        return max(powers), self.lead_before(i) if same else 0, self.lead_after(i + 1) if same else 0

    def start_level(self, start: int) -> int:
        """Level at the start of the first reading's slot: what a lag tells beyond the time before the reading."""
        power, lag = self.before_first(start)
        before = power * (self.points[0].t1 - start)
        if before == 0:
            return self.level[0]
        more = max(1 - up(before - lag), 0)
        return max(self.level[0], self.level[0] - self.rounding[0] + more)

    def last_step(self, end: int) -> int:
        """What the last reading may hide at the end of its slot, beyond what is unknown."""
        power, lead = self.behind_last(end)
        more = max(1 - up(power * (end - self.points[-1].t0) - lead), 0)
        return max(self.hidden[-1] - more, 0)

    def unknown(self, start: int, end: int) -> list[tuple[int, int, int, int, int, int]]:
        """Start, end, power, lead and lag of what is unknown, without overlaps, and since when nothing is counted."""
        last = len(self.points) - 1
        power, lag = self.before_first(start)
        found = [(start, self.points[0].t1, power, 0, lag, start)]
        for i, kind in enumerate(self.relations):
            if kind in UNKNOWN:
                found.append((self.points[i].t0, self.points[i + 1].t1, *self.across(i), self.points[i].t1))
        found.append((self.points[last].t0, end, *self.behind_last(end), 0, self.points[last].t1))
        result = found[:1]
        for a, b, power, lead, lag, bare in found[1:]:
            shift = max(result[-1][1] - a, 0)
            result.append((a + shift, b, power, max(lead - power * shift, 0), lag, bare))
        return result


def up(energy_mj: int) -> int:
    return -(-energy_mj // 1000)


def down(energy_mj: int) -> int:
    return energy_mj // 1000


def cut(
    points: list[Point], marks: list[tuple[int, int]], versions: Sequence[RegisterVersion], max_gap_ms: int
) -> dict[int, Slot]:
    register = Register(points, versions)
    first, last = points[0], points[-1]
    start = first.t1 - first.t1 % SLOT_MS
    end = last.t1 - last.t1 % SLOT_MS + SLOT_MS
    slots = {edge: Slot() for edge in range(start, end, SLOT_MS)}
    estimates = {}
    for edge in range(start, end + 1, SLOT_MS):
        slot = slots.get(edge, Slot())
        n = max((i for i, point in enumerate(points) if point.t1 <= edge), default=-1)
        if n < 0 or n == len(points) - 1:
            estimates[edge] = register.level[n] if n >= 0 else register.start_level(start)
            low = high = high_capped = estimates[edge]
            if n < 0:
                high, under_way = register.asked_after(0, edge)
                high_capped = min([high, *under_way])
            if points[n].t1 == edge:
                low, high = estimates[edge] - register.rounding[n], estimates[edge] + register.hidden[n]
                power, lead = register.behind_last(end)
                flows = up(power * (edge - points[n].t0) - lead)
                high_capped = estimates[edge] + max(register.hidden[n] + flows, 0)
            slot.below_j, slot.above_j, slot.below_capped_j, slot.above_capped_j = low, high, low, high_capped
            continue
        low, high, low_capped, high_capped = register.bracket(n, edge)
        rise, span = register.level[n + 1] - register.level[n], points[n + 1].t1 - points[n].t1
        estimate = register.level[n] + half_up(Fraction(rise * (edge - points[n].t1), span))
        if low_capped > high_capped:
            if not register.is_resolution(n, low_capped - high_capped):
                slot.flags |= Flag.LIMIT_REFUTED
            low_capped, high_capped = low, high
        estimate = min(max(estimate, low_capped), high_capped)
        estimates[edge] = estimate
        slot.below_j, slot.above_j = low, high
        slot.below_capped_j, slot.above_capped_j = low_capped, high_capped
    highest = None
    for edge, estimate in estimates.items():
        n = max((i for i, point in enumerate(points) if point.t1 <= edge), default=-1)
        if n == len(points) - 1 and points[n].t1 != edge:
            slot = slots.get(edge, Slot())
            slot.below_j = slot.above_j = slot.below_capped_j = slot.above_capped_j = 0
            continue
        highest = estimate if highest is None else max(highest, estimate)
        estimate = estimates[edge] = highest
        slot = slots[edge]
        slot.below_j, slot.above_j = estimate - slot.below_j, slot.above_j - estimate
        slot.below_capped_j = max(estimate - slot.below_capped_j, 0)
        slot.above_capped_j = max(slot.above_capped_j - estimate, 0)
    joints = [i for i, kind in enumerate(register.relations) if kind in UNKNOWN or kind == "declared"]
    for i in joints:
        met = slots.get(points[i].t1)
        if met is not None:
            power, lead, _ = register.across(i) if register.relations[i] in UNKNOWN else (0, 0, 0)
            flows = up(max(power * (points[i].t1 - points[i].t0) - lead, 0))
            top = register.level[i] + register.hidden[i] + flows - estimates[points[i].t1]
            bottom = estimates[points[i].t1] - register.level[i] + register.rounding[i]
            met.above_j, met.above_capped_j = max(met.above_j, top), max(met.above_capped_j, top)
            met.below_j, met.below_capped_j = max(met.below_j, bottom), max(met.below_capped_j, bottom)
    risen = estimates[start] - register.level[0]
    in_slot = max(register.hidden[0] - risen, 0)
    slots[start].below_j = risen
    slots[start].below_capped_j = max(slots[start].below_capped_j - register.rounding[0], 0)
    slots[start].above_j = max(slots[start].above_j - in_slot, 0)
    slots[start].above_capped_j = max(slots[start].above_capped_j - in_slot, 0)
    for edge, slot in slots.items():
        n = max((i for i, point in enumerate(points) if point.t1 <= edge), default=-1)
        at_edge = n >= 0 and points[n].t0 == points[n].t1 == edge
        at_edge = at_edge and n < len(points) - 1 and register.relations[n] not in UNKNOWN
        if n < len(points) - 1 and not at_edge and register.rests(n, edge):
            slot.above_j = MAX_ENERGY_J
        if any(points[i].t0 < points[i].t1 == edge for i in [*joints, len(points) - 1]):
            slot.above_j = MAX_ENERGY_J

    kinds = list(zip(register.relations, pairwise(points), strict=True))
    gaps = [(start, first.t1), (last.t1, end)]
    gaps += [(a.t1, b.t1) for kind, (a, b) in kinds if kind in UNKNOWN or b.t1 - a.t1 > max_gap_ms]
    unknown = register.unknown(start, end)
    for edge, slot in slots.items():

        def inside(a: int, b: int, edge: int = edge) -> int:
            return max(0, min(b, edge + SLOT_MS) - max(a, edge))

        slot.energy_j = estimates[edge + SLOT_MS] - estimates[edge]
        slot.gap_ms = sum(inside(a, b) for a, b in gaps)
        for a, b, power, lead, lag, bare in unknown:

            def flowed(time: int, a: int = a, b: int = b, power: int = power, lead: int = lead, lag: int = lag) -> int:
                whole = max(power * (b - a) - lead - lag, 0)
                return up(min(max(power * (time - a) - lead, 0), whole))

            if inside(a, b):
                to = min(b, edge + SLOT_MS)
                counted = slots[max(edge, bare - bare % SLOT_MS)]
                counted.unknown_j += max(flowed(to) - flowed(max(a, edge)), int(to > bare))
        if sum(inside(a, b) for a, b, *_ in unknown) >= SLOT_MS:
            slot.flags |= Flag.MISSING
    free = [
        (points[i].t1, register.hidden[i + 1] + register.rounding[i], register.hidden[i] + register.rounding[i + 1])
        for i in joints
    ]
    free += [
        (first.t1, in_slot, register.rounding[0]),
        (last.t1, register.rounding[-1], register.last_step(end)),
    ]
    for time, under, over in free:
        slot = slots[time - time % SLOT_MS]
        slot.under_j += under
        slot.over_j += over
    for kind, (left, right) in kinds:
        flags = MARKS[kind]
        if right.t1 - left.t1 > max_gap_ms and kind not in UNKNOWN:
            flags |= Flag.ALLOCATED
        for point in (left, right):
            flags |= Flag.SKEW if point.quality & Quality.CLOCK_UNSYNCED else Flag(0)
            flags |= Flag.MANUAL if point.quality & Quality.OUT_OF_BAND else Flag(0)
        for edge in range(left.t1 - left.t1 % SLOT_MS, max(right.t1, left.t1 + 1), SLOT_MS):
            slots[edge].flags |= int(flags)
    for time, mark in marks:
        edge = time - time % SLOT_MS
        if edge in slots:
            slots[edge].flags |= mark
    return slots
