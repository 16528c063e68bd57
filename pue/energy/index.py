"""Ascending numbers: as sets, and where others lie among them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pue.contract.series import SLOT_MS
from pue.energy.slots import Int64

_FEW = 200
"""For fewer edges a search per edge is as fast."""
_HALVINGS = 5

Bools = npt.NDArray[np.bool_]


def ascending(*parts: Int64) -> Int64:
    """All values of some arrays, each once, ascending."""
    values = np.sort(np.concatenate((np.empty(0, np.int64), *parts)))
    # Cut to length for no values at all, of which none is the first.
    first = np.append(True, values[1:] > values[:-1])[: len(values)]
    return np.asarray(values[first], np.int64)


def has(ascending: Int64, values: Int64) -> Bools:
    """Which values are among ascending ones."""
    if len(ascending) == 0:
        return np.zeros(len(values), np.bool_)
    # What is above all of them has no place among them: compared with the last one, it differs.
    place = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    return np.asarray(ascending[place] == values, np.bool_)


def last_before(time_ms: Int64, edges: Int64) -> Int64:
    """Index of the last of ascending times at or before each edge of successive slots, -1 before all of them.

    As `np.searchsorted(time_ms, edges, side="right") - 1`. Long columns are not searched for every edge: every 32nd
    time is counted into its slot, which leaves five halvings for all edges at once.
    """
    if len(edges) < _FEW:
        return np.searchsorted(time_ms, edges, side="right") - 1
    stride = 1 << _HALVINGS
    slot = -((edges[0] - time_ms[stride - 1 :: stride]) // SLOT_MS)  # the first edge at or after each of these times
    # Of the times 31, 63, 95 ... so many are at or before each edge, and the last of these is 32 x so many - 1. No time
    # is a whole slot or more before the first edge, so `slot` is not negative; times behind the last edge are cut off.
    place = np.cumsum(np.bincount(slot, minlength=len(edges))[: len(edges)]) * stride - 1
    for halving in reversed(range(_HALVINGS)):
        # Is the time 16, 8, 4, 2, 1 places on at or before the edge, too? Behind the end "clip" asks the last time
        # again, and the place is cut to it at last.
        place += (np.take(time_ms, place + (1 << halving), mode="clip") <= edges) << halving
    return np.minimum(place, len(time_ms) - 1)
