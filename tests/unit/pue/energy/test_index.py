"""Ascending indices as sets."""

from __future__ import annotations

import numpy as np
import pytest

from pue.energy.index import ascending, has
from tests.unit.pue.meters import int64

FAR = 2**62


def test_values_of_all_arrays_are_there_once_and_exact() -> None:
    result = ascending(int64(FAR + 1, 3), int64(), int64(3, FAR))
    assert (result.tolist(), result.dtype) == ([3, FAR, FAR + 1], np.dtype(np.int64))
    assert ascending().tolist() == []


@pytest.mark.parametrize(
    ("among", "expected"),
    [((), [False] * 4), ((3,), [False, True, False, False]), ((3, 5), [False, True, False, True])],
)
def test_a_value_is_among_others_or_not(among: tuple[int, ...], expected: list[bool]) -> None:
    assert has(int64(*among), int64(2, 3, 4, 5)).tolist() == expected
