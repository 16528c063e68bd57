"""Energy between two edges: the one way in which windows, charts and alerts take it from meters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS, SeriesKey
from pue.energy.grid import Row, cumulated
from pue.energy.index import Bools
from pue.energy.slots import Int64
from pue.energy.versions import joules_up, power_mj


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Between which values the energy of W windows lies; `MAX_ENERGY_J` above: there is no bound. (W,) [J]"""

    lower_j: Int64
    upper_j: Int64


@dataclass(frozen=True, slots=True, eq=False)
class MeterBounds(Bounds):
    """Bounds of one meter, and whether a window refutes its maximum power. (W,)"""

    refuted: Bools


def weighted_bounds(rows: Sequence[Row], weights: Sequence[Fraction], first: Int64, last: Int64) -> Bounds:
    """Bounds of a weighted sum of meters, each within what it can carry.

    Parameters
    ----------
    rows
        The M meters' slots.
    weights
        What each counts for. (M,) [-]
    first, last
        Edges at which the windows start and end. (W,)

    References
    ----------
    METHOD.md, "Window".
    """
    return weighted_sum(all_bounds(rows, first, last), weights, len(first))


def weighted_sum(bounds: Sequence[Bounds], weights: Sequence[Fraction], windows: int) -> Bounds:
    """As `weighted_bounds`, of bounds that are at hand. (M,) x (W,) -> (W,)"""
    unit = math.lcm(*(weight.denominator for weight in weights))
    lower = np.zeros(windows, np.int64)
    upper = np.zeros(windows, np.int64)
    has_lower = np.ones(windows, np.bool_)
    has_upper = np.ones(windows, np.bool_)
    for own, weight in zip(bounds, weights, strict=True):
        # Whole, as unit is a multiple of every denominator: the sums are exact and divided once.
        number = int(weight * unit)
        is_bounded = own.upper_j < MAX_ENERGY_J
        most = np.where(is_bounded, own.upper_j, 0)
        # A negative weight swaps the bounds.
        lower += number * (own.lower_j if number > 0 else most)
        upper += number * (most if number > 0 else own.lower_j)
        # A meter without upper bound leaves a sum open above if it adds, below if it is taken away.
        has_upper &= is_bounded | (number <= 0)
        has_lower &= is_bounded | (number >= 0)
    # The curve is rounded at each edge, so its difference can stand half a joule to either side twice.
    rounding = int(unit > 1)
    # Outwards: // rounds down, -(-x // n) up, below 0, too.
    lower = np.where(has_lower, lower // unit - rounding, 0)
    upper = np.where(has_upper, -(-upper // unit) + rounding, MAX_ENERGY_J)
    return Bounds(np.maximum(lower, 0), np.maximum(upper, 0))


def all_bounds(rows: Sequence[Row], first: Int64, last: Int64) -> list[MeterBounds]:
    """Bounds of each meter's own energy in W windows. (M,) x (W,)

    A window's readings bound it only at its two edges, and by what is unknown between them. No meter carries more than
    its maximum power x time, unless the window itself refutes that power: then only other meters bound what is unknown,
    and in such a window what they say rests on nobody's maximum power.
    """
    alone = [_by_registers(row, first, last) for row in rows]
    refuted = _refuted_by_meter(rows, alone, first, last)
    is_any = np.logical_or.reduce(refuted) if refuted else np.zeros(len(first), np.bool_)
    return [
        _chosen(row, own, is_refuted, is_any, first, last)
        for row, own, is_refuted in zip(rows, alone, refuted, strict=True)
    ]


def _chosen(row: Row, own: Bounds, refuted: Bools, is_any: Bools, first: Int64, last: Int64) -> MeterBounds:
    """By the meter's own maximum power, or without it; by what others say with theirs, or without it."""
    most = _most_j(row, first, last)
    lower = own.lower_j
    upper = np.minimum(own.upper_j, most)
    if not is_any.any():
        return MeterBounds(lower, upper, refuted)
    if row.among is not None:
        among = _by_registers(row.among, first, last)
        lower = np.where(is_any, among.lower_j, lower)
        upper = np.where(is_any, np.minimum(among.upper_j, most), upper)
    if refuted.any():
        free = _by_registers(row.free or (row.bare or row).without_limit(), first, last)
        lower = np.where(refuted, free.lower_j, lower)
        upper = np.where(refuted, free.upper_j, upper)
    return MeterBounds(lower, upper, refuted)


def _refuted_by_meter(rows: Sequence[Row], alone: Sequence[Bounds], first: Int64, last: Int64) -> list[Bools]:
    """Where a window refutes a maximum power: that of one term is not believed in the meter's others. (M,) x (W,)"""
    found: dict[SeriesKey, Bools] = {}
    for row, own in zip(rows, alone, strict=True):
        if row.term.max_power_w > 0:
            is_refuted = _refuted(row, own, _most_j(row, first, last), first, last)
            found[row.term.key] = found.get(row.term.key, np.zeros(len(first), np.bool_)) | is_refuted
    none = np.zeros(len(first), np.bool_)
    return [found.get(row.term.key, none) if row.term.max_power_w > 0 else none for row in rows]


def _most_j(row: Row, first: Int64, last: Int64) -> Int64:
    """Maximum power x the time in which the meter is valid; no bound without a maximum power. (W,) [J]"""
    if row.term.max_power_w <= 0:
        return np.full(len(first), MAX_ENERGY_J)
    slots = np.maximum(np.minimum(last, row.last) - np.maximum(first, row.first), 0)
    return joules_up(power_mj(np.full(len(first), row.term.max_power_w), slots * SLOT_MS))


def _refuted(row: Row, own: Bounds, most_j: Int64, first: Int64, last: Int64) -> Bools:
    """By a rise in the window, or by what was counted in all of it. (W,)"""
    is_over = own.lower_j > most_j
    rises = sums((row.flags & int(Flag.LIMIT_REFUTED)) != 0, first, last)
    return np.asarray(is_over | (rises > 0), np.bool_)


def _by_registers(row: Row, first: Int64, last: Int64) -> Bounds:
    # At one edge the differences are 0, but the edge's own bounds are not: an empty window holds nothing for sure.
    is_empty = first == last
    energy = sums(row.energy_j, first, last)
    low = energy - row.below_j[last] - row.above_j[first]
    high = energy + row.above_j[last] + row.below_j[first]
    if not row.is_exact:
        low += sums(row.low_j, first, last)
        high += sums(row.high_j, first, last)
        high = np.where(sums(row.unbounded, first, last) > 0, MAX_ENERGY_J, high)
    return Bounds(np.where(is_empty, 0, np.maximum(low, 0)), np.where(is_empty, 0, high))


def sums(column: Int64 | Bools, first: Int64, last: Int64) -> Int64:
    """Sum of a column's slots in each window. (S,) -> (W,)"""
    if len(first) == 1:  # adding up one window is faster than all sums before all edges
        return np.array([column[int(first[0]) : int(last[0])].sum(dtype=np.int64)], np.int64)
    running = cumulated(column)
    return np.asarray(running[last] - running[first], np.int64)
