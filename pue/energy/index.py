"""Ascending indices as sets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pue.energy.slots import Int64

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
