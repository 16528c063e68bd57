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
    first = np.append(True, values[1:] > values[:-1])[: len(values)]
    return np.asarray(values[first], np.int64)


def has(ascending: Int64, values: Int64) -> Bools:
    """Which values are among ascending ones."""
    if len(ascending) == 0:
        return np.zeros(len(values), np.bool_)
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
    place = np.cumsum(np.bincount(slot, minlength=len(edges))[: len(edges)]) * stride - 1
    for halving in reversed(range(_HALVINGS)):
        place += (np.take(time_ms, place + (1 << halving), mode="clip") <= edges) << halving
    return np.minimum(place, len(time_ms) - 1)
