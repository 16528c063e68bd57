"""Energy between two edges: the one way in which windows, charts and alerts take it from meters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
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
    used = [(row, weight) for row, weight in zip(rows, weights, strict=True) if weight]
    bounds = [meter_bounds(row, first, last) for row, _ in used]
    return weighted_sum(bounds, [weight for _, weight in used], len(first))


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


def meter_bounds(row: Row, first: Int64, last: Int64) -> MeterBounds:
    """Bounds of one meter's own energy in W windows.

    A window's readings bound it only at its two edges, and by what is unknown between them. No meter carries more than
    its maximum power x time, unless the window itself refutes that power: then only other meters bound what is unknown.
    """
    own = _by_registers(row, first, last)
    if row.term.max_power_w <= 0:
        return MeterBounds(own.lower_j, own.upper_j, np.zeros(len(first), np.bool_))
    most = _most_j(row, first, last)
    refuted = _refuted(row, own, most, first, last)
    upper = np.minimum(own.upper_j, most)
    if not refuted.any():
        return MeterBounds(own.lower_j, upper, refuted)
    free = _by_registers(row.free or (row.bare or row).without_limit(), first, last)
    lower = np.where(refuted, free.lower_j, own.lower_j)
    return MeterBounds(lower, np.where(refuted, free.upper_j, upper), refuted)


def _most_j(row: Row, first: Int64, last: Int64) -> Int64:
    """Maximum power x the time in which the meter is valid. (W,) [J]"""
    slots = np.maximum(np.minimum(last, row.last) - np.maximum(first, row.first), 0)
    return joules_up(power_mj(np.full(len(first), row.term.max_power_w), slots * SLOT_MS))


def _refuted(row: Row, own: Bounds, most_j: Int64, first: Int64, last: Int64) -> Bools:
    """By a rise in the window, or by what was counted in all of it. (W,)"""
    is_over = own.lower_j > most_j
    if row.free is None:
        return np.asarray(is_over, np.bool_)
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
