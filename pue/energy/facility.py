"""Energy of a facility and of its IT equipment, from slots and weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np

from pue.contract.errors import Fatal
from pue.contract.series import MAX_ENERGY_J, SLOT_MS, SeriesKey
from pue.energy.contradictions import Doubt, without_contradictions
from pue.energy.curves import bits_of
from pue.energy.grid import Bools, Row, Term, cumulated, lay, span
from pue.energy.slots import Int64, Slots
from pue.energy.windows import local_day_edges

__all__ = ["FacilityCurve", "Term", "facility_curve"]

ALL = 0
"""Key of all energy among the qualities."""
MEASURED = -1
"""Key of energy without any mark."""
UTC_DAYS = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True, eq=False)
class FacilityCurve:
    """One facility over S slots between E = S + 1 edges; a window is the difference of cumulative curves at two edges.

    Attributes
    ----------
    terms
        The M terms valid in the time of the curve.
    edges_ms
        Slot edges. (E,) [ms UTC]
    total_j, it_j
        Cumulative E_DC and E_IT of the counted slots. (E,) [J]
    gap_ms
        Cumulative time in which not all required meters are covered. (E,) [ms]
    meter_j, meter_gap_ms
        Each term's cumulative energy in counted slots, and gap. (M, E) [J, ms]
    meter_slots
        Cumulative number of slots in which a term is valid. (M, E) [-]
    flags
        Marks of all terms that weigh in a slot. (S,)
    quality_j
        By mark, cumulative energy weighed with |a| and |b| (one common unknown factor each). flag -> (2, E)
    doubts
        What the meters contradict each other in.
    rows
        Each term's own slots, as they are believed. (M,)
    """

    terms: tuple[Term, ...]
    edges_ms: Int64
    total_j: Int64
    it_j: Int64
    gap_ms: Int64
    meter_j: Int64
    meter_gap_ms: Int64
    meter_slots: Int64
    flags: Int64
    quality_j: Mapping[int, Int64]
    doubts: tuple[Doubt, ...]
    rows: tuple[Row, ...]


def facility_curve(
    slots: Mapping[SeriesKey, Slots],
    terms: Sequence[Term],
    from_ms: int,
    to_ms: int,
    *,
    zone: ZoneInfo = UTC_DAYS,
    least_it_w: Fraction = Fraction(0),
) -> FacilityCurve:
    """Weigh the meters' slots into E_DC and E_IT over [from_ms, to_ms).

    A slot counts if all energy of every required meter in it is known: only then does it enter `total_j` and `it_j`,
    so that a missing meter never makes a smaller or larger ratio. The bounds of windows are of the whole time.

    Parameters
    ----------
    slots
        Slots per series. To bound the curve at the last edge they must reach one slot beyond `to_ms` if there is one.
    terms
        Weights of the facility's meters.
    from_ms, to_ms
        Multiples of `SLOT_MS`. [ms UTC]
    zone
        Where the facility's days begin at midnight: meters are held against each other day by day.
    least_it_w
        IT load below which a ratio says nothing. [W]

    Raises
    ------
    Fatal
        If the window is not made of slots, weighted energy passes `MAX_ENERGY_J`, or meters are each other's parents.

    References
    ----------
    METHOD.md, "Facility".
    """
    edges = _edges(from_ms, to_ms)
    # A term that holds no slot's start takes no part, not even in the greatest weight or the common denominator.
    used = tuple(term for term in terms if span(term, edges)[0] < span(term, edges)[1])
    rows = [lay(slots.get(term.key), term, edges) for term in used]
    _check_range(rows)
    rows, doubts = without_contradictions(rows, _days(from_ms, to_ms, zone), least_it_w)
    counted, gap_ms = _counted(rows, len(edges) - 1)
    return FacilityCurve(
        terms=used,
        edges_ms=edges,
        total_j=_weigh(rows, "a", counted),
        it_j=_weigh(rows, "b", counted),
        gap_ms=cumulated(gap_ms),
        meter_j=_stack([row.energy_j * counted for row in rows], len(edges)),
        meter_gap_ms=_stack([row.gap_ms for row in rows], len(edges)),
        meter_slots=_valid_slots(rows, len(edges)),
        flags=_flags(rows, len(edges) - 1),
        quality_j=_quality(rows, counted),
        doubts=doubts,
        rows=tuple(rows),
    )


def _days(from_ms: int, to_ms: int, zone: ZoneInfo) -> Int64:
    """First slot of each local day, and the end. (D + 1,)"""
    borders = np.array(local_day_edges(from_ms, to_ms, zone), np.int64)
    # Only an empty window has one border twice; it has no day.
    return np.unique((borders - from_ms) // SLOT_MS)


def _edges(from_ms: int, to_ms: int) -> Int64:
    if from_ms % SLOT_MS or to_ms % SLOT_MS or to_ms < from_ms:
        raise Fatal(f"window [{from_ms}, {to_ms}) is not made of slots; use ascending multiples of {SLOT_MS} ms")
    return np.arange(from_ms, to_ms + SLOT_MS, SLOT_MS, dtype=np.int64)


def _stack(columns: Sequence[Int64 | Bools], edges: int) -> Int64:
    result = np.zeros((len(columns), edges), np.int64)
    for line, column in zip(result, columns, strict=True):
        np.cumsum(column, out=line[1:])
    return result


def _valid_slots(rows: Sequence[Row], edges: int) -> Int64:
    """Cumulative number of slots in which each term is valid; one line for all if it is the same."""
    if all(row.first == 0 and row.last == edges - 1 for row in rows):
        # The usual case: M lines that are one and the same in memory.
        return np.broadcast_to(np.arange(edges, dtype=np.int64), (len(rows), edges))
    return _stack([row.active for row in rows], edges)


def _counted(rows: Sequence[Row], count: int) -> tuple[Bools, Int64]:
    """Slots in which every required meter is known, and time that may lack one of them.

    Gaps of several meters in one slot are added: where they lie in it is not kept, and coverage must not be overstated.
    """
    anyone = np.zeros(count, np.bool_)
    missing = np.zeros(count, np.bool_)
    gap = np.zeros(count, np.int64)
    for row in rows:
        if row.term.required:
            active = row.active
            anyone |= active
            missing |= active & ~row.known
            gap += row.gap_ms
    # Without any required meter a slot is no coverage at all: METHOD.md, "Coverage".
    return anyone & ~missing, np.where(anyone, np.minimum(gap, SLOT_MS), SLOT_MS)


def _whole_weights(rows: Sequence[Row], name: str) -> tuple[list[int], int]:
    """Weights in whole units of their common denominator, and how many of these are one. (M,)"""
    weights: list[Fraction] = [getattr(row.term, name) for row in rows]
    unit = math.lcm(*(weight.denominator for weight in weights))
    return [int(weight * unit) for weight in weights], unit


def _weigh(rows: Sequence[Row], name: str, counted: Bools) -> Int64:
    """Weighted sum of the counted slots, rounded once per edge. (E,) [J]"""
    numbers, unit = _whole_weights(rows, name)
    energy = np.zeros(len(counted), np.int64)
    for row, number in zip(rows, numbers, strict=True):
        if number:
            energy += row.energy_j if number == 1 else number * row.energy_j
    curve = cumulated(energy * counted)
    # Half up in whole numbers: an odd unit has no halves, so unit // 2 is as good as unit / 2.
    return curve if unit == 1 else np.asarray((curve + unit // 2) // unit, np.int64)


def _check_range(rows: Sequence[Row]) -> None:
    """Refuse what could pass the range in any sum: the largest value of each column in every slot."""
    largest = [_largest_j(row) for row in rows]
    for name in ("a", "b"):
        numbers, unit = _whole_weights(rows, name)
        heaviest = 2 * max([unit, *(abs(number) for number in numbers)])
        total = heaviest + sum(abs(number) * most for number, most in zip(numbers, largest, strict=True))
        if total >= MAX_ENERGY_J:
            raise Fatal(
                f"weighted energy of {len(rows)} terms can pass {MAX_ENERGY_J} J; check their weights and max_power_w"
            )


def _largest_j(row: Row) -> int:
    """More than any sum of a row's slots and edges can be. [J]"""
    columns = [row.energy_j, row.below_j, row.above_j]
    columns += [] if row.is_exact else [row.high_j, -row.low_j]
    return sum(int(column.max(initial=0)) for column in columns) * (len(row.energy_j) + 1)


def _flags(rows: Sequence[Row], count: int) -> Int64:
    flags = np.zeros(count, np.int64)
    for row in rows:
        if row.term.a or row.term.b:
            flags |= row.flags
    return flags


def _quality(rows: Sequence[Row], counted: Bools) -> dict[int, Int64]:
    """By mark, energy of counted slots weighed with |a| and with |b|."""
    # Only shares are taken of these, in which a common factor of all weights cancels: no division, no rounding.
    units = [math.lcm(*(getattr(row.term, name).denominator for row in rows)) for name in ("a", "b")]
    result: dict[int, Int64] = {ALL: np.zeros((2, len(counted)), np.int64)}
    for row in rows:
        for side, weight in enumerate((row.term.a * units[0], row.term.b * units[1])):
            if weight:
                energy = row.energy_j * (abs(int(weight)) * counted)
                result[ALL][side] += energy
                for mark, where in _marks(row.flags):
                    result.setdefault(mark, np.zeros((2, len(counted)), np.int64))[side] += where * energy
    return {mark: _stack(list(lines), len(counted) + 1) for mark, lines in result.items()}


def _marks(flags: Int64) -> list[tuple[int, Bools | bool]]:
    """Marks and the slots that have them."""
    bits = bits_of(flags)
    # True stands for all slots: `where * energy` is the same.
    return [(MEASURED, flags == 0 if bits else True), *((bit, (flags & bit) != 0) for bit in bits)]
