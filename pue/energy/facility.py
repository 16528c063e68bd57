"""Energy of a facility and of its IT equipment, from slots and weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pue.contract.errors import Fatal
from pue.contract.series import MAX_ENERGY_J, SLOT_MS, SeriesKey
from pue.energy.balance import Balance, balances, tighten
from pue.energy.curves import bits_of
from pue.energy.grid import Bools, Row, Term, cumulated, lay, span
from pue.energy.slots import Int64, Slots

__all__ = ["FacilityCurve", "Term", "Weighted", "facility_curve"]

ALL = 0
"""Key of all energy among the qualities."""
MEASURED = -1
"""Key of energy without any mark."""


@dataclass(frozen=True, slots=True, eq=False)
class Weighted:
    """E_DC or E_IT as curves over E edges.

    Attributes
    ----------
    energy_j
        Energy of the counted slots since the first edge. (E,) [J]
    below_j, above_j
        Bounds of the curve at an edge relative to the estimate, >= 0. (E,) [J]
    low_j, high_j
        What all slots hold beyond `energy_j` at least and at most, since the first edge. (E,) [J]
    no_low, no_high
        Slots without a lower or upper bound since the first edge, counted once per meter. (E,) [-]
    """

    energy_j: Int64
    below_j: Int64
    above_j: Int64
    low_j: Int64
    high_j: Int64
    no_low: Int64
    no_high: Int64


@dataclass(frozen=True, slots=True, eq=False)
class FacilityCurve:
    """One facility over S slots between E = S + 1 edges; a window is the difference of cumulative curves at two edges.

    Attributes
    ----------
    terms
        The M terms valid in the time of the curve.
    edges_ms
        Slot edges. (E,) [ms UTC]
    total, it
        E_DC and E_IT with their bounds.
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
    balances
        Parents against their children.
    rows
        Each term's own slots.
    """

    terms: tuple[Term, ...]
    edges_ms: Int64
    total: Weighted
    it: Weighted
    gap_ms: Int64
    meter_j: Int64
    meter_gap_ms: Int64
    meter_slots: Int64
    flags: Int64
    quality_j: Mapping[int, Int64]
    balances: tuple[Balance, ...]
    rows: tuple[Row, ...]

    @property
    def total_j(self) -> Int64:
        """Cumulative E_DC. (E,) [J]"""
        return self.total.energy_j

    @property
    def it_j(self) -> Int64:
        """Cumulative E_IT. (E,) [J]"""
        return self.it.energy_j


def facility_curve(slots: Mapping[SeriesKey, Slots], terms: Sequence[Term], from_ms: int, to_ms: int) -> FacilityCurve:
    """Weigh the meters' slots into E_DC and E_IT over [from_ms, to_ms).

    A slot counts if all energy of every required meter in it is known: only then does it enter `total_j` and `it_j`,
    so that a missing meter never makes a smaller or larger ratio. The bounds are of the whole time.

    Parameters
    ----------
    slots
        Slots per series. To bound the curve at the last edge they must reach one slot beyond `to_ms` if there is one.
    terms
        Weights of the facility's meters.
    from_ms, to_ms
        Multiples of `SLOT_MS`. [ms UTC]

    Raises
    ------
    Fatal
        If the window is not made of slots, weighted energy passes `MAX_ENERGY_J`, or meters are each other's parents.

    References
    ----------
    METHOD.md, "Facility".
    """
    edges = _edges(from_ms, to_ms)
    used = tuple(term for term in terms if span(term, edges)[0] < span(term, edges)[1])
    rows = tighten([lay(slots.get(term.key), term, edges) for term in used])
    counted, gap_ms = _counted(rows, len(edges) - 1)
    return FacilityCurve(
        terms=used,
        edges_ms=edges,
        total=_weigh(rows, [row.term.a for row in rows], counted),
        it=_weigh(rows, [row.term.b for row in rows], counted),
        gap_ms=cumulated(gap_ms),
        meter_j=_stack([row.energy_j * counted for row in rows], len(edges)),
        meter_gap_ms=_stack([row.gap_ms for row in rows], len(edges)),
        meter_slots=_valid_slots(rows, len(edges)),
        flags=_flags(rows, len(edges) - 1),
        quality_j=_quality(rows, counted),
        balances=balances(rows, len(edges) - 1),
        rows=tuple(rows),
    )


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
        return np.broadcast_to(np.arange(edges, dtype=np.int64), (len(rows), edges))
    return _stack([row.active for row in rows], edges)


def _counted(rows: Sequence[Row], count: int) -> tuple[Bools, Int64]:
    """Slots in which every required meter is known, and time that may lack one of them.

    Gaps of several meters in one slot are added: where they lie in it is not kept, and coverage must not be overstated.
    """
    anyone, missing, gap = np.zeros(count, np.bool_), np.zeros(count, np.bool_), np.zeros(count, np.int64)
    for row in rows:
        if row.term.required:
            active = row.active
            anyone |= active
            missing |= active & ~row.known
            gap += row.gap_ms
    return anyone & ~missing, np.where(anyone, np.minimum(gap, SLOT_MS), SLOT_MS)


def _weigh(rows: Sequence[Row], weights: Sequence[Fraction], counted: Bools) -> Weighted:
    """Weighted sums in whole units of the weights' common denominator, rounded once per edge, bounds outwards."""
    unit = math.lcm(*(weight.denominator for weight in weights))
    numbers = [int(weight * unit) for weight in weights]
    _check_range(rows, numbers, unit)
    count = len(counted)
    energy, below, above = (np.zeros(size, np.int64) for size in (count, count + 1, count + 1))
    for row, number in zip(rows, numbers, strict=True):
        under, over = (row.below_j, row.above_j) if number > 0 else (row.above_j, row.below_j)
        for whole, part in ((energy, row.energy_j), (below, under), (above, over)):
            if number:
                whole += part if number == 1 else (number if whole is energy else abs(number)) * part
    low, high, no_low, no_high = _unknown(rows, numbers, energy, counted)
    return Weighted(
        energy_j=_divided(cumulated(energy * counted), unit, unit // 2),
        below_j=_divided(below, unit, 2 * unit - 1),
        above_j=_divided(above, unit, 2 * unit - 1),
        low_j=_divided(low, unit, 0),
        high_j=_divided(high, unit, unit - 1),
        no_low=no_low,
        no_high=no_high,
    )


def _divided(values: Int64, unit: int, add: int) -> Int64:
    """(values + add) / unit, rounded down: with half a unit to the nearest, with a unit less one upwards.

    Edge bounds get one unit more, for what the rounding of the curves can hide.
    """
    return values if unit == 1 else (values + add) // unit


def _unknown(
    rows: Sequence[Row], numbers: Sequence[int], energy_j: Int64, counted: Bools
) -> tuple[Int64, Int64, Int64, Int64]:
    """Cumulative energy beyond the counted slots' at least and at most, and slots without a lower or upper bound."""
    count = len(counted)
    inexact = [(row, number) for row, number in zip(rows, numbers, strict=True) if number and not row.is_exact]
    if not inexact and counted.all():
        nothing = np.broadcast_to(np.int64(0), count + 1)
        return nothing, nothing, nothing, nothing
    low = energy_j * ~counted
    high = low.copy()
    no_low, no_high = (np.zeros(count, np.int64) for _ in range(2))
    for row, number in inexact:
        least, most = (row.low_j, row.high_j) if number > 0 else (row.high_j, row.low_j)
        low += number * least
        high += number * most
        (no_high if number > 0 else no_low)[row.unbounded] += 1
    return cumulated(low), cumulated(high), cumulated(no_low), cumulated(no_high)


def _check_range(rows: Sequence[Row], numbers: Sequence[int], unit: int) -> None:
    """Refuse what could pass the range in any sum: the largest value of each column in every slot."""
    largest = 2 * max(unit, *(abs(number) for number in numbers)) if numbers else 0
    for row, number in zip(rows, numbers, strict=True):
        columns = [row.energy_j, row.below_j, row.above_j]
        columns += [] if row.is_exact else [row.high_j, row.low_j]
        largest += abs(number) * sum(int(column.max(initial=0)) for column in columns) * (len(row.energy_j) + 1)
    if largest >= MAX_ENERGY_J:
        raise Fatal(
            f"weighted energy of {len(rows)} terms can pass {MAX_ENERGY_J} J; check their weights and max_power_w"
        )


def _flags(rows: Sequence[Row], count: int) -> Int64:
    flags = np.zeros(count, np.int64)
    for row in rows:
        if row.term.a or row.term.b:
            flags |= row.flags
    return flags


def _quality(rows: Sequence[Row], counted: Bools) -> dict[int, Int64]:
    """By mark, energy of counted slots weighed with |a| and with |b|."""
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
    return [(MEASURED, flags == 0 if bits else True), *((bit, (flags & bit) != 0) for bit in bits)]
