"""METHOD.md, "Registers": readings and versions to slots. One function per paragraph, exact, slow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from tests.reference.exact import MILLI, OUT_OF_RANGE, SLOT_MS, ceil_div, half_up, slot_of
from tests.reference.page import whole

WITHOUT_VALUE = (1 << whole("quality bits 0 to #)") + 1) - 1
LONGEST_REPLY_MS = MILLI * whole("Readings that took longer than # s (t1 - t0) are set aside")
FLOAT32_COUNTS = 2 ** whole("floor(max(count, count') / 2^#) in counts")
OWN_STEP = whole("floor((t1' - t0) x P / 1000 / step) + # + floor(")
TAKEN_BACK_WITHIN = whole("from j to j + 1 with j - i <= #,")
TAKEN_BACK_BEFORE = whole("from j to j + 1 with i - j <= #,")
ROUNDING_J = whole("rounding is # J and hidden")
LEAD_CAP_MS = whole("max(0, min(1000 hidden + # P, lead before n")
HIDDEN_MORE_J = whole("and hidden # J more")
LEAST_UNKNOWN_J = whole("a slot holds at least # J: it must not pass for known")
UNUSED_J = whole("= max(0, # - (P (t1 - start) - lag) / 1000)")
UNUSED_LAST_J = whole("unused = max(0, # - (P (end of the slot - t0) - lead) / 1000)")

AGREE = ("rise", "rollover", "declared")
UNKNOWN = ("ambiguous", "reset", "leap", "exchange")
MARKS = {
    "rise": (),
    "rollover": ("ROLLOVER",),
    "ambiguous": ("AMBIGUOUS",),
    "reset": ("RESET",),
    "leap": ("RANGE",),
    "refuted": ("LIMIT_REFUTED",),
    "exchange": ("RESET", "REPLACED"),
    "declared": ("REPLACED",),
}


QUALITY_MARKS = {1 << 8: "SKEW", 1 << 10: "MANUAL"}


class Version(NamedTuple):
    from_ms: int
    to_ms: int | None
    step: Fraction
    modulus: int | None
    power_w: int
    declared: tuple[int, int] | None = None
    same_serial: bool = True
    ramp: int | None = None


class Reading(NamedTuple):
    t0: int
    t1: int
    count: int  # type: ignore[assignment]  # a tuple has a method of that name
    quality: int
    order: int


class Point(NamedTuple):
    """A usable reading, or a declared count; `version` is its place in the list of versions."""

    t0: int
    t1: int
    count: int  # type: ignore[assignment]  # a tuple has a method of that name
    version: int
    quality: int = 0
    declared: str = ""


class Mark(NamedTuple):
    """A mark on every slot that [from_ms, to_ms) touches, or on the slot of from_ms if they are one."""

    from_ms: int
    to_ms: int
    name: str


@dataclass
class Slot:
    start_ms: int
    energy_j: int = 0
    unknown_j: int = 0
    under_j: int = 0
    over_j: int = 0
    gap_ms: int = 0
    below_j: int = 0
    above_j: int = 0
    below_capped_j: int = 0
    above_capped_j: int = 0
    marks: set[str] = field(default_factory=set)

    @property
    def end_ms(self) -> int:
        return self.start_ms + SLOT_MS


class Stretch(NamedTuple):
    """Time in which energy is unknown; from `bare_ms` on nothing is counted either. [ms, W, mJ]"""

    from_ms: int
    to_ms: int
    power_w: int
    lead: int
    lag: int
    bare_ms: int = 0

    def flowed(self, moment: int) -> int:
        """F(x): what may have flowed by a moment of the stretch. [mJ]"""
        so_far = max(self.power_w * (moment - self.from_ms) - self.lead, 0)
        at_most = max(self.power_w * (self.to_ms - self.from_ms) - self.lead - self.lag, 0)
        return min(so_far, at_most)


# Versions


def merged(versions: Sequence[Version]) -> list[Version]:
    """ "Registers", Versions: those that state the same register are one."""
    result: list[Version] = []
    for version in versions:
        last = result[-1] if result else None
        if (
            last is not None
            and last.to_ms == version.from_ms
            and (last.step, last.modulus, last.ramp) == (version.step, version.modulus, version.ramp)
            and version.same_serial
            and version.declared is None
        ):
            result[-1] = last._replace(to_ms=version.to_ms, power_w=max(last.power_w, version.power_w))
        else:
            result.append(version)
    return result


def version_at(versions: Sequence[Version], time_ms: int) -> int | None:
    for number, version in enumerate(versions):
        if version.from_ms <= time_ms and (version.to_ms is None or time_ms < version.to_ms):
            return number
    return None


# Which readings count


def usable(
    readings: Iterable[Reading], versions: Sequence[Version], fault: Callable[[Reading, Version], str | None]
) -> tuple[list[Point], list[Mark]]:
    """ "Registers", Which readings count: the five steps, in order; `fault` names the mark of the last one."""
    marks: list[Mark] = []
    valued = [r for r in readings if not r.quality & WITHOUT_VALUE]
    in_time = []
    for reading in valued:
        if reading.t1 - reading.t0 > LONGEST_REPLY_MS:
            marks.append(Mark(reading.t1, reading.t1, "SLOW"))
        else:
            in_time.append(reading)
    one_each = []
    for time in sorted({r.t1 for r in in_time}):
        rivals = sorted((r for r in in_time if r.t1 == time), key=lambda r: (r.order, r.count, r.t0, r.quality))
        one_each.append(rivals[0])
        if any(r.count != rivals[0].count for r in rivals):
            marks.append(Mark(time, time, "CONFLICT"))
    points = []
    for reading in one_each:
        number = version_at(versions, reading.t1)
        if number is None:
            continue
        name = fault(reading, versions[number])
        if name is not None:
            marks.append(Mark(reading.t1, reading.t1, name))
        else:
            points.append(Point(min(reading.t0, reading.t1), reading.t1, reading.count, number, reading.quality))
    return points, marks


def register_fault(reading: Reading, version: Version) -> str | None:
    """Step 5, for a register."""
    if reading.count < 0:
        return "NEGATIVE"
    if version.modulus is not None and reading.count >= version.modulus:
        return "RANGE"
    if reading.count >= OUT_OF_RANGE or reading.count * version.step >= OUT_OF_RANGE:
        return "RANGE"
    return None


def with_replacements(points: list[Point], versions: Sequence[Version]) -> list[Point]:
    """ "Registers", Declared replacements: final count of the old register, initial count of the new one."""
    result = list(points)
    for number, version in enumerate(versions):
        if version.declared is None or number == 0:
            continue
        start = version.from_ms
        if any(p.t1 < start for p in points) and any(p.t1 >= start for p in points):
            place = sum(p.t1 < start for p in result)
            result[place:place] = [
                Point(start, start, version.declared[0], number - 1, declared="final"),
                Point(start, start, version.declared[1], number, declared="initial"),
            ]
    return result


# Relations


def relation(left: Point, right: Point, versions: Sequence[Version]) -> str:
    """ "Registers", What two neighbouring readings say."""
    if left.version != right.version:
        is_at_once = left.t1 == right.t1
        return "declared" if is_at_once and right.version == left.version + 1 else "exchange"
    version = versions[left.version]
    moved = math.floor(Fraction((right.t1 - left.t0) * version.power_w, MILLI) / version.step)
    most = moved + OWN_STEP + max(left.count, right.count) // FLOAT32_COUNTS
    rise = right.count - left.count
    possible = []
    wraps = 0
    while rise <= most:
        if rise >= 0:
            possible.append(wraps)
        if version.modulus is None or len(possible) > 1:
            break
        wraps += 1
        rise += version.modulus
    if len(possible) > 1:
        return "ambiguous"
    if possible:
        return "rollover" if possible[0] else "rise"
    return "reset" if right.count < left.count else "leap"


def relations(points: Sequence[Point], versions: Sequence[Version]) -> list[str]:
    return [relation(points[i], points[i + 1], versions) for i in range(len(points) - 1)]


def spikes(points: Sequence[Point], versions: Sequence[Version]) -> set[int]:
    """ "Registers", Spikes: places of readings to put aside."""
    is_jump = [name in ("reset", "leap") for name in relations(points, versions)]
    last = len(points) - 1

    def agree(i: int, j: int) -> bool:
        return relation(points[i], points[j], versions) in AGREE

    def is_candidate(i: int) -> bool:
        if i == 0:
            return False
        if i == last:
            return is_jump[i - 1]
        from_before = is_jump[i - 1]
        to_next = is_jump[i] and i + 2 <= last and not agree(i, i + 2)
        return (from_before or to_next) and agree(i - 1, i + 1)

    found = set()
    i = 0
    while i <= last:
        row = 0
        while i + row <= last and is_candidate(i + row):
            row += 1
        if row in (1, 2):
            found.add(i)
        i += row + 1
    return found


def with_refuted(points: Sequence[Point], versions: Sequence[Version]) -> list[str]:
    """ "Registers", Refuted limits: relations, with a leap that both sides confirm as `refuted`."""
    names = relations(points, versions)
    confirm = (*AGREE, "leap")

    def is_taken_back(i: int) -> bool:
        after = next((j for j in range(i + 1, len(names)) if names[j] == "reset"), None)
        if (
            after is not None
            and after - i <= TAKEN_BACK_WITHIN
            and relation(points[i], points[after + 1], versions) in AGREE
        ):
            return True
        before = next((j for j in range(i - 1, -1, -1) if names[j] == "reset"), None)
        if before is not None and i - before <= TAKEN_BACK_BEFORE:
            return relation(points[before], points[i + 1], versions) in AGREE
        return False

    result = list(names)
    for i, name in enumerate(names):
        if name != "leap" or i == 0 or i + 1 == len(names):
            continue
        if names[i - 1] in confirm and names[i + 1] in confirm and not is_taken_back(i):
            result[i] = "refuted"
    return result


# Levels


def levels(points: Sequence[Point], names: Sequence[str], versions: Sequence[Version]) -> list[int]:
    """ "Levels": of each reading. [J]"""
    if not points:
        return []
    result = [half_up(points[0].count * versions[points[0].version].step)]
    for left, right, name in zip(points, points[1:], names, strict=False):
        rise = 0
        if name in ("rise", "rollover", "refuted"):
            version = versions[left.version]
            wrapped = version.modulus if name == "rollover" and version.modulus is not None else 0
            rise = half_up((right.count + wrapped) * version.step) - half_up(left.count * version.step)
        result.append(result[-1] + rise)
    return result


def hidden_and_rounding(step: Fraction) -> tuple[int, int]:
    """ "Levels": hidden step and rounding. [J]"""
    if step.denominator == 1:
        return int(step), 0
    return math.ceil(step) + HIDDEN_MORE_J, ROUNDING_J


class Curve:
    """Readings with their relations, levels and stretches."""

    def __init__(self, points: list[Point], names: list[str], versions: Sequence[Version]) -> None:
        self.points = points
        self.names = names
        self.versions = versions
        self.level = levels(points, names, versions)
        self.stretch = [0] * len(points)
        for i, name in enumerate(names):
            self.stretch[i + 1] = self.stretch[i] + (name not in ("rise", "rollover"))
        self.joined = [0] * len(points)
        for i, name in enumerate(names):
            self.joined[i + 1] = self.joined[i] + (name not in ("rise", "rollover", "refuted"))
        self.lead_before = self.leads_before()
        self.lead_after = self.leads_after()

    def power(self, n: int) -> int:
        return self.versions[self.points[n].version].power_w

    def hidden(self, n: int) -> int:
        return hidden_and_rounding(self.versions[self.points[n].version].step)[0]

    def rounding(self, n: int) -> int:
        return hidden_and_rounding(self.versions[self.points[n].version].step)[1]

    def mates(self, n: int) -> list[int]:
        """Places of the readings of its stretch."""
        return [j for j in range(len(self.points)) if self.stretch[j] == self.stretch[n]]

    def joined_mates(self, n: int) -> list[int]:
        """Places of the readings between the same unknown energies or replacements, across refuted limits."""
        return [j for j in range(len(self.points)) if self.joined[j] == self.joined[n]]

    def before(self, edge: int) -> int | None:
        """Place of the last reading with t1 <= e."""
        places = [n for n, p in enumerate(self.points) if p.t1 <= edge]
        return places[-1] if places else None

    def lead_cap(self, n: int) -> int:
        """ "Edge bounds", Leads: no honest register is further ahead. [mJ]"""
        return MILLI * self.hidden(n) + LEAD_CAP_MS * self.power(n)

    def leads_before(self) -> list[int]:
        """ "Edge bounds", Leads: how far the register is ahead at each reading. [mJ]"""
        leads = [0] * len(self.points)
        for n in range(1, len(self.points)):
            if self.stretch[n - 1] == self.stretch[n]:
                rise = MILLI * (self.level[n] - self.level[n - 1])
                allowed = self.power(n) * (self.points[n].t0 - self.points[n - 1].t0)
                leads[n] = max(0, min(self.lead_cap(n), leads[n - 1] + rise - allowed))
        return leads

    def leads_after(self) -> list[int]:
        """ "Edge bounds", Leads: how far it gets ahead after each reading. [mJ]"""
        leads = [0] * len(self.points)
        for n in reversed(range(len(self.points) - 1)):
            if self.stretch[n + 1] == self.stretch[n]:
                rise = MILLI * (self.level[n + 1] - self.level[n])
                allowed = self.power(n) * (self.points[n + 1].t1 - self.points[n].t1)
                leads[n] = max(0, min(self.lead_cap(n), leads[n + 1] + rise - allowed))
        return leads

    # Edges

    def interpolated(self, edge: int) -> int:
        """ "Edges": straight between two readings, level elsewhere. [J]"""
        n = self.before(edge)
        if n is None:
            return self.level[0]
        if n + 1 == len(self.points):
            return self.level[n]
        left, right = self.points[n], self.points[n + 1]
        return half_up(
            self.level[n] + Fraction((self.level[n + 1] - self.level[n]) * (edge - left.t1), right.t1 - left.t1)
        )

    def later(self, edge: int, n: int, mates: Sequence[int]) -> tuple[list[int], int | None]:
        """Those of some readings passed over because their t0 < e, and the first one with t0 >= e."""
        at_edge = self.points[n].t0 == edge == self.points[n].t1
        passed: list[int] = []
        for j in mates:
            if j < n or (j == n and not at_edge):
                continue
            if self.points[j].t0 >= edge:
                return passed, j
            passed.append(j)
        return passed, None

    def upper_line(self, edge: int, n: int, lead: int = 0) -> int:
        """ "Edge bounds": what a reading says of a later edge, by the maximum power. [J]"""
        rise = self.power(n) * (edge - self.points[n].t0) - lead
        return ceil_div(MILLI * (self.level[n] + self.hidden(n)) + rise, MILLI)

    def by_registers(self, edge: int, n: int) -> tuple[int, int]:
        """ "Edge bounds": lower and upper by the registers alone, at an edge inside a stretch. [J]"""
        lower = self.level[n] - self.rounding(n)
        mates = self.joined_mates(n)
        _, first = self.later(edge, n, mates)
        if first is not None:
            return lower, self.level[first] + self.hidden(first)
        return lower, self.upper_line(edge, mates[-1])

    def capped(self, edge: int, n: int) -> tuple[int, int]:
        """ "Edge bounds": lower and upper by the maximum power as well. [J]"""
        lower, upper = self.by_registers(edge, n)
        if n + 1 in self.mates(n):
            after = self.power(n) * (self.points[n + 1].t1 - edge) - self.lead_after[n + 1]
            lower = max(lower, (MILLI * (self.level[n + 1] - self.rounding(n + 1)) - after) // MILLI)
        upper = min(upper, self.upper_line(edge, n, self.lead_before[n]))
        passed, _ = self.later(edge, n, self.mates(n))
        return lower, min([upper, *(self.upper_line(edge, k) for k in passed if k > n)])

    def at_end(self, n: int, from_ms: int, to_ms: int, leads: Sequence[int]) -> tuple[int, int]:
        """ "Unknown energy": P, and lead or lag, of the stretch before the first or behind the last reading."""
        powers = [v.power_w for v in self.versions if v.from_ms < to_ms and (v.to_ms is None or v.to_ms > from_ms)]
        power = max([self.power(n), *powers])
        return power, leads[n] if power == self.power(n) else 0

    def upper_from(self, start: int, edge: int) -> tuple[int, int]:
        """ "Edge bounds": upper bounds by the readings from one behind the edge on, alone and capped. [J]"""
        joined = [n for n in self.joined_mates(start) if n >= start]
        asked_after = [n for n in joined if self.points[n].t0 >= edge]
        passed = [n for n in joined if not asked_after or n < asked_after[0]]
        if asked_after:
            alone = self.level[asked_after[0]] + self.hidden(asked_after[0])
        else:
            alone = self.upper_line(edge, joined[-1])
        in_stretch = [self.upper_line(edge, n) for n in passed if n in self.mates(start)]
        return alone, min([alone, *in_stretch])

    def resolution(self, n: int) -> int:
        """What a float32 register may round between the two readings around an edge. [J]"""
        counts = [self.points[n].count, *(p.count for p in self.points[n + 1 : n + 2])]
        steps: int = max(counts) // FLOAT32_COUNTS
        return self.hidden(n) * steps


class Edge(NamedTuple):
    """Estimate and distances at an edge. [J]"""

    estimate: int
    below: int
    above: int
    below_capped: int
    above_capped: int
    is_refuted: bool = False


def edges(curve: Curve, moments: Sequence[int], unknown: dict[int, Stretch], end_stretch: Stretch) -> list[Edge]:
    """ "Edge bounds": all edges in ascending order; `unknown` are the stretches by their left reading."""
    result: list[Edge] = []
    least: int | None = None
    for edge in moments:
        found = one_edge(curve, edge, unknown, least, end_stretch)
        if least is None and curve.points[0].t1 > edge:
            found = first_edge(curve, edge, found)
        least = found.estimate
        result.append(found)
    result = with_meeting_registers(curve, moments, result)
    if curve.points[0].t1 == moments[0]:
        result[0] = first_edge(curve, moments[0], result[0])
    return [
        found._replace(above=OUT_OF_RANGE) if has_no_bound(curve, edge) else found
        for edge, found in zip(moments, result, strict=True)
    ]


def has_no_bound(curve: Curve, edge: int) -> bool:
    """ "Edge bounds", `above_j`: whether the register alone does not bound an edge above."""
    last = len(curve.points) - 1
    for point, name in zip(curve.points, [*curve.names, "end"], strict=True):
        if name in (*UNKNOWN, "declared", "end") and point.t0 < point.t1 == edge:
            return True
    n = curve.before(edge)
    if n == last:
        return False
    is_at_edge = n is not None and curve.points[n].t0 == edge == curve.points[n].t1
    if n is not None and is_at_edge and curve.names[n] not in UNKNOWN:
        return False
    start = 0 if n is None else n + 1
    return not any(curve.points[k].t0 >= edge for k in curve.joined_mates(start) if k >= start)


def first_edge(curve: Curve, edge: int, found: Edge) -> Edge:
    """ "Edge bounds", The first edge."""
    before_ms = curve.points[0].t1 - edge
    if before_ms > 0:
        power, lag = curve.at_end(0, edge, curve.points[0].t1, curve.lead_after)
        flows = ceil_div(power * before_ms - lag, MILLI)
        added = max(0, max(0, UNUSED_J - flows) - curve.rounding(0))
        estimate = found.estimate + added
        alone, capped = curve.upper_from(0, edge)
        step = first_step(curve, estimate)
        return Edge(estimate, added, max(0, alone - estimate - step), 0, max(0, capped - estimate - step))
    step = first_step(curve, found.estimate)
    return found._replace(
        below=max(0, found.below - curve.rounding(0)),
        below_capped=max(0, found.below_capped - curve.rounding(0)),
        above=max(0, found.above - step),
        above_capped=max(0, found.above_capped - step),
    )


def first_step(curve: Curve, estimate: int) -> int:
    """ "Unknown energy": under the first slot's energy, with the estimate at the first edge. [J]"""
    return max(0, curve.hidden(0) + curve.level[0] - estimate)


def last_step(curve: Curve, end_ms: int) -> int:
    """ "Unknown energy": over the last slot's energy. [J]"""
    last = len(curve.points) - 1
    power, lead = curve.at_end(last, curve.points[last].t0, end_ms, curve.lead_before)
    flows = ceil_div(power * (end_ms - curve.points[last].t0) - lead, MILLI)
    return max(0, curve.hidden(last) - max(0, UNUSED_LAST_J - flows))


def with_meeting_registers(curve: Curve, moments: Sequence[int], found: Sequence[Edge]) -> list[Edge]:
    """ "Edge bounds", Where registers meet."""
    result = list(found)
    for n, name in enumerate(curve.names):
        if name not in UNKNOWN and name != "declared":
            continue
        for place, moment in enumerate(moments):
            if moment != curve.points[n].t1:
                continue
            edge = result[place]
            flowed = ceil_div(flows_at_reply(curve, n), MILLI) if name in UNKNOWN else 0
            above = curve.level[n] + curve.hidden(n) + flowed - edge.estimate
            below = edge.estimate - curve.level[n] + curve.rounding(n)
            result[place] = edge._replace(
                below=max(edge.below, below),
                above=max(edge.above, above),
                below_capped=max(edge.below_capped, below),
                above_capped=max(edge.above_capped, above),
            )
    return result


def flows_at_reply(curve: Curve, n: int) -> int:
    """ "Unknown energy", F of the stretch at the left reading's t1. [mJ]"""
    powers = [v.power_w for v in curve.versions[curve.points[n].version : curve.points[n + 1].version + 1]]
    lead = curve.lead_before[n] if min(powers) == max(powers) else 0
    return max(0, max(powers) * (curve.points[n].t1 - curve.points[n].t0) - lead)


def one_edge(curve: Curve, edge: int, unknown: dict[int, Stretch], least: int | None, end_stretch: Stretch) -> Edge:
    n = curve.before(edge)
    estimate = curve.interpolated(edge)
    last = len(curve.points) - 1
    if n is None or n == last:
        is_at_last = n == last and edge == curve.points[last].t1
        estimate = estimate if least is None else max(estimate, least)
        if not is_at_last:
            return Edge(estimate, 0, 0, 0, 0)
        flows = end_stretch.power_w * (edge - curve.points[last].t0) - end_stretch.lead
        capped_step = max(0, curve.hidden(last) + ceil_div(flows, MILLI))
        return Edge(estimate, curve.rounding(last), curve.hidden(last), curve.rounding(last), capped_step)
    if curve.names[n] in UNKNOWN:
        stretch = unknown[n]
        lead = max(0, stretch.lead - stretch.power_w * (edge - stretch.from_ms))
        below = curve.rounding(n) + ceil_div(lead, MILLI)
        alone_upper, capped_upper = curve.upper_from(n + 1, edge)
        estimate = estimate if least is None else max(estimate, least)
        return Edge(estimate, below, alone_upper - estimate, below, capped_upper - estimate)
    is_refuted = False
    alone = curve.by_registers(edge, n)
    capped = alone
    if curve.names[n] != "refuted":
        capped = curve.capped(edge, n)
        if capped[0] > capped[1]:
            is_refuted = capped[0] - capped[1] > curve.resolution(n)
            capped = alone
    estimate = min(max(estimate, capped[0]), capped[1])
    if least is not None:
        estimate = max(estimate, least)
    return Edge(
        estimate,
        estimate - alone[0],
        alone[1] - estimate,
        max(0, estimate - capped[0]),
        max(0, capped[1] - estimate),
        is_refuted,
    )


# Unknown energy


def unknown_stretches(curve: Curve, start_ms: int, end_ms: int) -> tuple[list[Stretch], dict[int, Stretch]]:
    """ "Unknown energy": the table; also by the place of the left reading."""
    points = curve.points
    last = len(points) - 1
    power, lag = curve.at_end(0, start_ms, points[0].t1, curve.lead_after)
    found = [Stretch(start_ms, points[0].t1, power, 0, lag)]
    place = {}
    for n, name in enumerate(curve.names):
        if name in UNKNOWN:
            powers = [v.power_w for v in curve.versions[points[n].version : points[n + 1].version + 1]]
            same = min(powers) == max(powers)
            place[len(found)] = n
            found.append(
                Stretch(
                    points[n].t0,
                    points[n + 1].t1,
                    max(powers),
                    curve.lead_before[n] if same else 0,
                    curve.lead_after[n + 1] if same else 0,
                    points[n].t1,
                )
            )
    power, lead = curve.at_end(last, points[last].t0, end_ms, curve.lead_before)
    found.append(Stretch(points[last].t0, end_ms, power, lead, 0, points[last].t1))
    apart = without_overlap(found)
    return apart, {n: apart[i] for i, n in place.items()}


def without_overlap(stretches: Sequence[Stretch]) -> list[Stretch]:
    """ "Unknown energy": one that starts before the one before it ends starts at that end."""
    result: list[Stretch] = []
    for stretch in stretches:
        if result and stretch.from_ms < result[-1].to_ms:
            shift = result[-1].to_ms - stretch.from_ms
            stretch = stretch._replace(from_ms=result[-1].to_ms, lead=max(0, stretch.lead - stretch.power_w * shift))
        result.append(stretch)
    return result


def spread_unknown(slots: Sequence[Slot], stretches: Sequence[Stretch]) -> None:
    """ "Unknown energy": F at the slot's end less F at its start, and `MISSING` where they fill it."""
    by_start = {slot.start_ms: slot for slot in slots}
    for slot in slots:
        filled = 0
        for stretch in stretches:
            start = max(slot.start_ms, stretch.from_ms)
            end = min(slot.end_ms, stretch.to_ms)
            if start < end:
                filled += end - start
                flowed = ceil_div(stretch.flowed(end), MILLI) - ceil_div(stretch.flowed(start), MILLI)
                counted = by_start[max(slot.start_ms, slot_of(stretch.bare_ms))]
                counted.unknown_j += max(flowed, LEAST_UNKNOWN_J if end > stretch.bare_ms else 0)
        if filled >= SLOT_MS:
            slot.marks.add("MISSING")


def spread_steps(slots: Sequence[Slot], curve: Curve, first_estimate: int) -> None:
    """ "Unknown energy", `under_j` and `over_j`: what hidden steps leave open at a wall and at both ends."""
    by_start = {slot.start_ms: slot for slot in slots}

    def add(time_ms: int, under: int, over: int) -> None:
        slot = by_start[slot_of(time_ms)]
        slot.under_j += under
        slot.over_j += over

    last = len(curve.points) - 1
    add(curve.points[0].t1, first_step(curve, first_estimate), curve.rounding(0))
    add(curve.points[last].t1, curve.rounding(last), last_step(curve, slots[-1].end_ms))
    for n, name in enumerate(curve.names):
        if name in UNKNOWN or name == "declared":
            under = curve.hidden(n + 1) + curve.rounding(n)
            over = curve.hidden(n) + curve.rounding(n + 1)
            add(curve.points[n].t1, under, over)


# Gaps and marks


def spread_gaps(slots: Sequence[Slot], intervals: Iterable[tuple[int, int]]) -> None:
    """ "Edges", gap time of a slot: intervals are disjoint."""
    for from_ms, to_ms in intervals:
        for slot in slots:
            slot.gap_ms += max(0, min(slot.end_ms, to_ms) - max(slot.start_ms, from_ms))


def spread_marks(slots: Sequence[Slot], marks: Iterable[Mark]) -> None:
    """ "Registers", What two neighbouring readings say: a mark is on every slot that its interval touches."""
    for mark in marks:
        for slot in slots:
            touches = slot.start_ms < mark.to_ms and mark.from_ms < slot.end_ms
            holds = mark.from_ms == mark.to_ms and slot.start_ms <= mark.from_ms < slot.end_ms
            if touches or holds:
                slot.marks.add(mark.name)


def quality_marks(points: Sequence[Point]) -> list[Mark]:
    """What readings say of themselves is a mark of both intervals beside them."""
    return [
        Mark(left.t1, right.t1, name)
        for left, right in itertools.pairwise(points)
        for bit, name in QUALITY_MARKS.items()
        if (left.quality | right.quality) & bit
    ]


def register_slots(readings: Iterable[Reading], versions: Sequence[Version], max_gap_ms: int) -> list[Slot]:
    """ "Registers": every slot from the first to the last usable reading."""
    own = merged(versions)
    points, marks = usable(readings, own, register_fault)
    points = with_replacements(points, own)
    aside = spikes(points, own)
    marks += [Mark(points[i].t1, points[i].t1, "SPIKE") for i in sorted(aside)]
    points = [p for i, p in enumerate(points) if i not in aside]
    if not points:
        return []
    curve = Curve(points, with_refuted(points, own), own)
    start_ms = slot_of(points[0].t1)
    end_ms = slot_of(points[-1].t1) + SLOT_MS
    slots = [Slot(start) for start in range(start_ms, end_ms, SLOT_MS)]
    stretches, unknown = unknown_stretches(curve, start_ms, end_ms)

    power, lead = curve.at_end(len(points) - 1, points[-1].t0, end_ms, curve.lead_before)
    end_stretch = Stretch(points[-1].t0, end_ms, power, lead, 0)
    found = edges(curve, range(start_ms, end_ms + 1, SLOT_MS), unknown, end_stretch)
    for slot, edge, after in zip(slots, found, found[1:], strict=False):
        slot.energy_j = after.estimate - edge.estimate
        slot.below_j = edge.below
        slot.above_j = edge.above
        slot.below_capped_j = edge.below_capped
        slot.above_capped_j = edge.above_capped
        if edge.is_refuted:
            slot.marks.add("LIMIT_REFUTED")
    spread_unknown(slots, stretches)
    spread_steps(slots, curve, found[0].estimate)

    gaps = [(start_ms, points[0].t1), (points[-1].t1, end_ms)]
    for left, right, name in zip(points, points[1:], curve.names, strict=False):
        marks += [Mark(left.t1, right.t1, mark) for mark in MARKS[name]]
        is_long = right.t1 - left.t1 > max_gap_ms
        if name in UNKNOWN or is_long:
            gaps.append((left.t1, right.t1))
        if is_long and name not in UNKNOWN:
            marks.append(Mark(left.t1, right.t1, "ALLOCATED"))
    spread_gaps(slots, gaps)
    spread_marks(slots, [*marks, *quality_marks(points)])
    return slots
