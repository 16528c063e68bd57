"""METHOD.md, "Facility" and "Window": terms and slots to windows, exact, slow, one function per paragraph."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tests.reference.exact import MILLI, OUT_OF_RANGE, SLOT_MS, ceil_div, ceil_root, half_up
from tests.reference.page import whole
from tests.reference.registers import Slot
from tests.reference.uncertainty import Counted, u_pue, u_squared

ERRORS = whole("ceil(# sqrt(sum (E_k u_k)^2))")
STEPS = whole("sqrt(sum (E_k u_k)^2)) + # sum(step_k)")
BELOW_ONE = whole("by the lower bound of E_IT, plus # u(PUE) of the day's known energy")
CURVE_ROUNDING_J = whole("rounded outwards, and by # J more for the rounding of the curve")
SLOT_S = whole("(E_IT per slot: floor(W x #) J.)")


class Term(NamedTuple):
    meter: str
    a: Fraction
    b: Fraction
    required: bool
    from_ms: int
    to_ms: int | None
    parent: str | None = None
    u: Fraction = Fraction(0)
    limit: Fraction = Fraction(0)
    is_class_known: bool = True
    group: str = ""
    model: str = ""
    calibrated_to_ms: int | None = None
    is_calibration_known: bool = True
    step_j: int = 1
    power_w: int = 0

    @property
    def weighs(self) -> bool:
        return self.a != 0 or self.b != 0


@dataclass
class Cell:
    """One term in one slot: energy, and how far the truth can lie under (`low` <= 0) and over it (None: no bound)."""

    energy: int = 0
    low: int = 0
    high: int | None = 0
    low_alone: int = 0
    high_alone: int | None = 0
    is_unknown: bool = False
    is_unknown_alone: bool = False
    gap_ms: int = 0
    marks: set[str] = field(default_factory=set)


class EdgeBounds(NamedTuple):
    below: int = 0
    above: int = 0
    below_capped: int = 0
    above_capped: int = 0


Bounds = tuple[int, int | None]
Refuted = frozenset[int]


class Window(NamedTuple):
    total_j: int
    it_j: int
    total: Bounds
    it: Bounds
    coverage: Fraction
    marks: set[str]
    shares: dict[str, Fraction]
    u_pue: float | None
    pue: Fraction | None
    pue_lower: Fraction | None
    pue_upper: Fraction | None
    reasons: tuple[str, ...]
    contradictions: tuple[str, ...]


class Facility:
    """All terms on the slots of [from_ms, to_ms)."""

    def __init__(
        self,
        slots: Mapping[str, Sequence[Slot]],
        terms: Sequence[Term],
        from_ms: int,
        to_ms: int,
        zone: ZoneInfo,
        least_it_w: Fraction,
    ) -> None:
        self.terms = terms
        self.starts = list(range(from_ms, to_ms, SLOT_MS))
        self.zone = zone
        self.least_it_w = least_it_w
        self.cells: list[dict[int, Cell]] = []
        self.edges: list[list[EdgeBounds]] = []
        for term in terms:
            cells, edges = lay_out(term, {s.start_ms: s for s in slots.get(term.meter, ())}, self.starts)
            self.cells.append(cells)
            self.edges.append(edges)
        self.broken: set[tuple[int, int]] = set()
        self.contradictions: list[tuple[int, int, str]] = []
        self.find_contradictions()
        self.by_others = {
            (k, i) for k, cells in enumerate(self.cells) for i in cells if self.open_energy(k, i, False)[2]
        }

    # Bounds of a missing meter

    def family_meters(self) -> tuple[list[str], dict[str, str]]:
        """Meters, and each one's parent."""
        present = [t for k, t in enumerate(self.terms) if self.cells[k]]
        parent = {t.meter: t.parent for t in present if t.parent is not None}
        names = dict.fromkeys([*(t.meter for t in present), *parent.values()])
        return list(names), parent

    def limit(self, meter: str) -> Fraction:
        """Of the widest of its terms that are valid in the curve."""
        return max(
            (t.limit for k, t in enumerate(self.terms) if t.meter == meter and self.cells[k]), default=Fraction(0)
        )

    def edge(self, k: int, e: int, is_alone: bool) -> tuple[int, int]:
        """Below and above of a term at an edge: by the registers alone if its maximum power is refuted."""
        found = self.edges[k][e]
        return (found.below, found.above) if is_alone else (found.below_capped, found.above_capped)

    def low(self, k: int, i: int, is_alone: bool) -> int:
        cell = self.cells[k][i]
        return cell.low_alone if is_alone else cell.low

    def high(self, k: int, i: int, is_alone: bool) -> int | None:
        cell = self.cells[k][i]
        return cell.high_alone if is_alone else cell.high

    @cache  # noqa: B019
    def flowed(self, i: int, alone: Refuted) -> tuple[dict[str, int], dict[str, int | None]]:
        """ "Bounds of a missing meter", steps 1 to 4: energy that flowed through each meter in slot i."""
        names, parent = self.family_meters()
        children = defaultdict(list)
        for child, above in parent.items():
            children[above].append(child)
        lowers: dict[str, int] = {}
        uppers: dict[str, int | None] = {}
        for name in names:
            present = [k for k, t in enumerate(self.terms) if t.meter == name and i in self.cells[k]]
            leasts = []
            mosts: list[int | None] = []
            for k in present:
                energy = self.cells[k][i].energy
                below_start, above_start = self.edge(k, i, k in alone)
                below_end, above_end = self.edge(k, i + 1, k in alone)
                high = self.high(k, i, k in alone)
                leasts.append(max(0, energy + self.low(k, i, k in alone) - above_start - below_end))
                mosts.append(None if high is None else energy + high + below_start + above_end)
            c = self.limit(name)
            lowers[name] = math.floor(max(leasts, default=0) / (1 + c))
            known = [m for m in mosts if m is not None]
            has_upper = bool(present) and len(known) == len(mosts)
            uppers[name] = math.ceil(max(known) / (1 - c)) if has_upper else None
        depth = {name: self.depth(name, parent) for name in names}
        for name in sorted(names, key=lambda n: -depth[n]):
            lowers[name] = max(lowers[name], sum(lowers[child] for child in children[name]))
        for name in sorted((n for n in names if n in parent), key=lambda n: depth[n]):
            above = parent[name]
            most = uppers[above]
            has_term = any(t.meter == above and i in self.cells[k] for k, t in enumerate(self.terms))
            if most is None or not has_term:
                continue
            siblings = sum(lowers[s] for s in children[above] if s != name)
            own = uppers[name]
            left = max(0, most - siblings)
            uppers[name] = left if own is None else min(own, left)
        return lowers, uppers

    def has_family(self) -> bool:
        """Whether any meter with a slot in the curve has its parent among them."""
        present = {t.meter for k, t in enumerate(self.terms) if self.cells[k]}
        return any(t.meter in present and t.parent in present for t in self.terms)

    def depth(self, name: str, parent: Mapping[str, str]) -> int:
        above = parent.get(name)
        return 0 if above is None else 1 + self.depth(above, parent)

    def open_energy(self, k: int, i: int, is_alone: bool, is_any: bool = False) -> tuple[int, int | None, bool]:
        """Low and high of a term in a slot: its own, or step 5 where unknown; and whether other meters narrow it.

        `is_alone`: its own P is refuted; `is_any`: somebody's is.
        """
        term = self.terms[k]
        cell = self.cells[k][i]
        low = self.low(k, i, is_alone)
        high = self.high(k, i, is_alone)
        if (k, i) in self.broken:
            return 0, None if is_alone or not term.power_w else term.power_w * SLOT_S, False
        if not (cell.is_unknown_alone if is_alone else cell.is_unknown) or not self.has_family():
            return low, high, False
        lowers, uppers = self.flowed(i, frozenset(range(len(self.terms))) if is_any else frozenset())
        c = self.limit(term.meter)
        below_start, above_start = self.edge(k, i, is_alone)
        below_end, above_end = self.edge(k, i + 1, is_alone)
        at_least = math.floor(lowers[term.meter] * (1 - c)) - cell.energy - below_start - above_end
        upper = uppers[term.meter]
        is_narrower = at_least > low
        low = max(low, at_least)
        if upper is not None:
            at_most = max(0, math.ceil(upper * (1 + c)) - cell.energy + above_start + below_end)
            if high is None or at_most < high:
                is_narrower = True
                high = at_most
        return low, high, is_narrower

    # Contradictions

    def days(self) -> list[list[int]]:
        """Slots by facility-local day; the first and last may be cut."""
        result: dict[date, list[int]] = defaultdict(list)
        for i, start in enumerate(self.starts):
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=start)
            result[moment.astimezone(self.zone).date()].append(i)
        return list(result.values())

    def find_contradictions(self) -> None:
        """ "Contradictions": three kinds, in this order, each on what the ones before left."""
        days = self.days()
        broken = [
            (parent, children, day)
            for parent, children in sorted(self.weighing_families())
            for day in days
            if self.is_balance_broken(day, parent, children)
        ]
        self.make_unknown([(day, {parent, *children}, f"balance_broken:{parent}") for parent, children, day in broken])
        weighing = {t.meter for k, t in enumerate(self.terms) if t.weighs and self.cells[k]}
        self.make_unknown([(day, weighing, "pue_below_one") for day in days if self.is_below_one(day)])
        it = {t.meter for k, t in enumerate(self.terms) if t.b != 0 and self.cells[k]}
        self.make_unknown([(day, it, "no_it_load") for day in days if self.is_without_load(day)])

    def weighing_families(self) -> list[tuple[str, list[str]]]:
        weighing = list(dict.fromkeys(t.meter for k, t in enumerate(self.terms) if t.weighs and self.cells[k]))
        _, parent = self.family_meters()
        families: dict[str, list[str]] = {}
        for child in weighing:
            if parent.get(child) in weighing:
                families.setdefault(parent[child], []).append(child)
        return list(families.items())

    def own(self, meter: str, i: int) -> list[int]:
        """Places of a meter's weighing terms that are valid in a slot."""
        return [k for k, t in enumerate(self.terms) if t.meter == meter and t.weighs and i in self.cells[k]]

    def is_balance_broken(self, day: Sequence[int], parent: str, children: Sequence[str]) -> bool:
        """ "Contradictions", `balance_broken`."""
        meters = [parent, *children]

        def counts(i: int) -> bool:
            return all(self.own(m, i) and not any(self.cells[k][i].is_unknown for k in self.own(m, i)) for m in meters)

        counting = [i for i in day if counts(i)]
        if not counting:
            return False
        energy = {m: sum(max(self.cells[k][i].energy for k in self.own(m, i)) for i in counting) for m in meters}
        excess = sum(energy[m] for m in children) - energy[parent]
        square = Fraction(0)
        steps = 0
        for m in meters:
            terms = [t for t in self.terms if t.meter == m and t.weighs]
            square += (energy[m] * max(t.u for t in terms)) ** 2
            steps += max(t.step_j for t in terms)
        opened = 0
        for i in counting:
            for m in meters:
                for k in self.own(m, i):
                    low, high, _ = self.open_energy(k, i, False)
                    opened += (high or 0) - low
        for e in range(day[0], day[-1] + 2):
            before = e - 1 in counting
            after = e in counting
            is_outer = e in (day[0], day[-1] + 1)
            if is_outer or before != after:
                for k, t in enumerate(self.terms):
                    if t.meter in meters and t.weighs:
                        edge = self.edges[k][e]
                        opened += edge.below_capped + edge.above_capped
        return excess > ceil_root(ERRORS**2 * square) + STEPS * steps + opened

    def make_unknown(self, found: Sequence[tuple[Sequence[int], set[str], str]]) -> None:
        """Energy of meters on days is unknown, between 0 and P x time, uncounted and marked; nothing joins across."""
        for day, meters, code in found:
            self.contradictions.append((day[0], day[-1] + 1, code))
            for k, term in enumerate(self.terms):
                if term.meter not in meters:
                    continue
                for i in set(day) & set(self.cells[k]):
                    cell = self.cells[k][i]
                    self.broken.add((k, i))
                    cell.energy = cell.low = cell.low_alone = 0
                    cell.high = term.power_w * SLOT_S if term.power_w else None
                    cell.high_alone = None
                    cell.is_unknown = cell.is_unknown_alone = True
                    cell.marks = cell.marks | {"BALANCE"}
        for k in range(len(self.terms)):
            for e in range(1, len(self.starts)):
                self.cut(k, e)
        Facility.flowed.cache_clear()

    def cut(self, k: int, e: int) -> None:
        """Bounds of an edge between a slot that is believed and one that is not are part of the former."""
        cells = self.cells[k]
        before, after = (k, e - 1) in self.broken, (k, e) in self.broken
        if before == after or e - 1 not in cells or e not in cells:
            return
        edge = self.edges[k][e]
        if before:
            widen(cells[e], edge.above_capped, edge.below_capped, edge.above, edge.below)
        else:
            widen(cells[e - 1], edge.below_capped, edge.above_capped, edge.below, edge.above)
        self.edges[k][e] = EdgeBounds()

    def known(self, day: Sequence[int]) -> list[int]:
        """Energy of each term. [J]"""
        return [sum(cells[i].energy for i in day if i in cells) for cells in self.cells]

    def is_below_one(self, day: Sequence[int]) -> bool:
        """ "Contradictions", `pue_below_one`."""
        known = self.known(day)
        total = sum(t.a * e for t, e in zip(self.terms, known, strict=True))
        it = sum(t.b * e for t, e in zip(self.terms, known, strict=True))
        if it <= total or it <= 0:
            return False
        upper = self.sums(day[0], day[-1] + 1, "a")[1]
        least_it = self.sums(day[0], day[-1] + 1, "b")[0]
        if upper is None or least_it <= 0:
            return False
        square = u_squared(self.counted(known, day))
        margin = 1 - Fraction(upper, least_it)
        return margin > 0 and square is not None and BELOW_ONE**2 * square < margin**2

    def is_without_load(self, day: Sequence[int]) -> bool:
        """ "Contradictions", `no_it_load`."""
        if not any(t.b != 0 and i in self.cells[k] for k, t in enumerate(self.terms) for i in day):
            return False
        known = sum(t.b * e for t, e in zip(self.terms, self.known(day), strict=True))
        most = self.sums(day[0], day[-1] + 1, "b")[1]
        least = math.floor(self.least_it_w * SLOT_S) * len(day)
        return most is not None and most < least and known < least

    # Windows

    def in_window(
        self, k: int, f: int, to: int, is_alone: bool, is_any: bool = False
    ) -> tuple[int, int | None, int | None]:
        """ "Meter in a window": lower and upper as they add up, and P x time; None where there is none."""
        term = self.terms[k]
        inside = [i for i in range(f, to) if i in self.cells[k]]
        if not inside:
            return 0, 0, None
        most = ceil_div(term.power_w * SLOT_MS * len(inside), MILLI) if term.power_w else None
        below_first, above_first = self.edge(k, f, is_alone)
        below_last, above_last = self.edge(k, to, is_alone)
        opened = [self.open_energy(k, i, is_alone, is_any) for i in inside]
        energy = sum(self.cells[k][i].energy for i in inside)
        lower = energy + sum(low for low, _, _ in opened) - below_last - above_first
        highs = [high for _, high, _ in opened if high is not None]
        upper = None
        if len(highs) == len(opened):
            upper = energy + sum(highs) + above_last + below_first
        return lower, upper, most

    def refuted(self, f: int, to: int) -> Refuted:
        """ "Meter in a window": terms whose maximum power the window refutes."""
        found = set()
        for k in range(len(self.terms)):
            lower, _, most = self.in_window(k, f, to, False)
            is_marked = any("LIMIT_REFUTED" in self.cells[k][i].marks for i in range(f, to) if i in self.cells[k])
            if most is not None and (is_marked or lower > most):
                found.add(self.terms[k].meter)
        return frozenset(k for k, t in enumerate(self.terms) if t.meter in found and t.power_w)

    @cache  # noqa: B019
    def meters_in_window(self, f: int, to: int, version: int) -> tuple[list[Bounds], Refuted]:
        refuted = self.refuted(f, to)
        bounds: list[Bounds] = []
        for k in range(len(self.terms)):
            lower, upper, most = self.in_window(k, f, to, k in refuted, bool(refuted))
            if k not in refuted and most is not None:
                upper = most if upper is None else min(upper, most)
            bounds.append((max(0, lower), upper))
        return bounds, refuted

    def meter_in_window(self, k: int, f: int, to: int) -> tuple[Bounds, bool]:
        """ "Meter in a window": bounds, and whether the window refutes P."""
        bounds, refuted = self.meters_in_window(f, to, len(self.broken))
        return bounds[k], k in refuted

    def sums(self, f: int, to: int, side: str) -> Bounds:
        """ "Window", Bounds: of E_DC (a) or E_IT (b)."""
        lower: Fraction | None = Fraction(0)
        upper: Fraction | None = Fraction(0)
        weights = [t.a if side == "a" else t.b for t in self.terms]
        for k, weight in enumerate(weights):
            if weight == 0:
                continue
            least, most = self.meter_in_window(k, f, to)[0]
            for_lower, for_upper = (least, most) if weight > 0 else (most, least)
            lower = None if lower is None or for_lower is None else lower + weight * for_lower
            upper = None if upper is None or for_upper is None else upper + weight * for_upper
        extra = CURVE_ROUNDING_J if any(w.denominator != 1 and self.cells[k] for k, w in enumerate(weights)) else 0
        return (
            0 if lower is None else max(0, math.floor(lower) - extra),
            None if upper is None else max(0, math.ceil(upper) + extra),
        )

    def is_counted(self, i: int) -> bool:
        """ "Facility": all energy of every required meter in the slot is known, and there is one."""
        required = [self.cells[k][i] for k, t in enumerate(self.terms) if t.required and i in self.cells[k]]
        return bool(required) and not any(c.is_unknown for c in required)

    def curve(self, e: int, side: str) -> int:
        """ "Facility": weighted sum from the start of the curve to an edge, rounded half up."""
        total = Fraction(0)
        for i in range(e):
            if self.is_counted(i):
                for k, t in enumerate(self.terms):
                    if i in self.cells[k]:
                        total += (t.a if side == "a" else t.b) * self.cells[k][i].energy
        return half_up(total)

    def gap(self, i: int) -> int:
        """ "Coverage"."""
        required = [self.cells[k][i] for k, t in enumerate(self.terms) if t.required and i in self.cells[k]]
        return min(SLOT_MS, sum(c.gap_ms for c in required)) if required else SLOT_MS

    def counted(self, energy: Sequence[int], slots: Sequence[int]) -> list[Counted]:
        """Terms with a slot among these, and what they counted."""
        return [
            Counted(t.meter, t.a, t.b, Fraction(e), t.u, Fraction(t.step_j), t.group, t.model)
            for k, (t, e) in enumerate(zip(self.terms, energy, strict=True))
            if any(i in self.cells[k] for i in slots)
        ]

    def window_u(self, f: int, to: int, it_j: int) -> float | None:
        """ "Uncertainty of PUE": of the counted energy, or of the middle of the bounds without counted IT energy."""
        if it_j > 0:
            slots = [i for i in range(f, to) if self.is_counted(i)]
            return u_pue(self.counted(self.known(slots), range(f, to)))
        middles = []
        for k in range(len(self.terms)):
            lower, upper = self.meter_in_window(k, f, to)[0]
            middles.append(lower if upper is None else (lower + upper) // 2)
        return u_pue(self.counted(middles, range(f, to)))

    def reasons(self, f: int, to: int, it_j: int) -> tuple[str, ...]:
        """ "Window", Reasons."""
        result = []
        for k, t in enumerate(self.terms):
            inside = [self.cells[k][i] for i in range(f, to) if i in self.cells[k]]
            if not inside:
                continue
            window_end = self.starts[0] + to * SLOT_MS
            end = window_end if t.to_ms is None else min(window_end, t.to_ms)
            says = [
                ("required_meter_missing", t.required and any(c.is_unknown for c in inside)),
                ("bounds_from_other_meters", any((k, i) in self.by_others for i in range(f, to))),
                ("limit_refuted", t.weighs and self.meter_in_window(k, f, to)[1]),
                ("accuracy_class_unknown", t.weighs and not t.is_class_known),
                ("calibration_unknown", t.weighs and not t.is_calibration_known),
                (
                    "calibration_expired",
                    t.weighs and t.calibrated_to_ms is not None and t.is_calibration_known and t.calibrated_to_ms < end,
                ),
                ("clock_unsynchronised", t.weighs and any("SKEW" in c.marks for c in inside)),
            ]
            result += [f"{code}:{t.meter}" for code, holds in says if holds]
        if it_j <= 0:
            result.append("no_it_energy")
        return tuple(dict.fromkeys(result))

    def shares(self, f: int, to: int) -> dict[str, Fraction]:
        """ "Marks of a slot": per mark its share of energy."""
        slots = [i for i in range(f, to) if self.is_counted(i)]
        result: dict[str, list[Fraction]] = defaultdict(list)
        for side in "ab":
            energy: dict[str, Fraction] = defaultdict(Fraction)
            total = Fraction(0)
            for i in slots:
                for k, t in enumerate(self.terms):
                    if i in self.cells[k]:
                        cell = self.cells[k][i]
                        own = abs(t.a if side == "a" else t.b) * cell.energy
                        total += own
                        for mark in cell.marks or {"measured"}:
                            energy[mark.lower()] += own
            for mark, value in energy.items():
                if total:
                    result[mark].append(value / total)
        found = {m: (min(v) if m == "measured" else max(v)) for m, v in result.items() if v}
        return {m: share for m, share in found.items() if share}

    def window(self, from_ms: int, to_ms: int) -> Window:
        """ "Window"."""
        f = (from_ms - self.starts[0]) // SLOT_MS
        to = (to_ms - self.starts[0]) // SLOT_MS
        total_j = self.curve(to, "a") - self.curve(f, "a")
        it_j = self.curve(to, "b") - self.curve(f, "b")
        total = self.sums(f, to, "a")
        it = self.sums(f, to, "b")
        marks: set[str] = set()
        for t, cells in zip(self.terms, self.cells, strict=True):
            for i in range(f, to):
                if t.weighs and i in cells:
                    marks |= cells[i].marks
        lower = None
        if it[1] is None:
            lower = Fraction(0)
        elif it[1] > 0:
            lower = Fraction(total[0], it[1])
        return Window(
            total_j,
            it_j,
            total,
            it,
            1 - Fraction(sum(self.gap(i) for i in range(f, to)), to - f) / SLOT_MS,
            marks,
            self.shares(f, to),
            self.window_u(f, to, it_j),
            Fraction(total_j, it_j) if it_j > 0 else None,
            lower,
            Fraction(total[1], it[0]) if total[1] is not None and it[0] > 0 else None,
            self.reasons(f, to, it_j),
            tuple(dict.fromkeys(code for start, end, code in self.contradictions if start < to and f < end)),
        )


def lay_out(term: Term, slots: Mapping[int, Slot], starts: Sequence[int]) -> tuple[dict[int, Cell], list[EdgeBounds]]:
    """ "Facility": a term's slots, by their place, and the bounds at all edges."""
    valid = [
        i for i, start in enumerate(starts) if start >= term.from_ms and (term.to_ms is None or start < term.to_ms)
    ]
    cells: dict[int, Cell] = {}
    edges = [EdgeBounds() for _ in range(len(starts) + 1)]
    if not valid:
        return cells, edges
    for i in valid:
        slot = slots.get(starts[i])
        if slot is None:
            most = term.power_w * SLOT_S if term.power_w else None
            cell = Cell(high=most, high_alone=None, is_unknown=True, is_unknown_alone=True, gap_ms=SLOT_MS)
            cell.marks = {"MISSING"}
        else:
            high = None if slot.unknown_j >= OUT_OF_RANGE else slot.unknown_j + slot.over_j
            cell = Cell(slot.energy_j, -slot.under_j, high, is_unknown=slot.unknown_j > 0, gap_ms=slot.gap_ms)
            cell.low_alone = cell.low
            cell.is_unknown_alone = cell.is_unknown
            cell.high_alone = None if cell.is_unknown else cell.high
            cell.marks = set(slot.marks)
        ends = term.calibrated_to_ms
        if not term.is_calibration_known or (ends is not None and starts[i] + SLOT_MS > ends):
            cell.marks.add("UNCALIBRATED")
        cells[i] = cell
    for place in range(valid[0], valid[-1] + 2):
        moment = starts[0] + place * SLOT_MS
        if moment in slots:
            s = slots[moment]
            edges[place] = EdgeBounds(s.below_j, s.above_j, s.below_capped_j, s.above_capped_j)
    for place, edge in enumerate(edges):
        if edge.above >= OUT_OF_RANGE:
            edges[place] = edge._replace(above=0)
            if place - 1 in cells:
                cells[place - 1].is_unknown_alone = True
                cells[place - 1].high_alone = None
            if place in cells:
                cells[place].low_alone = min(cells[place].low_alone, -cells[place].energy)
    if valid[0] > 0:
        e = edges[valid[0]]
        widen(cells[valid[0]], e.above_capped, e.below_capped, e.above, e.below)
        edges[valid[0]] = EdgeBounds()
    if valid[-1] + 1 < len(starts):
        e = edges[valid[-1] + 1]
        widen(cells[valid[-1]], e.below_capped, e.above_capped, e.below, e.above)
        edges[valid[-1] + 1] = EdgeBounds()
    return cells, edges


def widen(cell: Cell, under: int, over: int, under_alone: int, over_alone: int) -> None:
    """ "Meter in a window": bounds of the edge at which a term begins or ends are part of its first or last slot."""
    cell.low -= under
    cell.low_alone -= under_alone
    if cell.high is not None:
        cell.high += over
    if cell.high_alone is not None:
        cell.high_alone += over_alone
