"""Sharing energy out and bounding it: exact, whichever path is taken."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.curves import energy_bound_j, exact_share, share
from pue.energy.index import last_before
from pue.energy.versions import joules_up, power_mj

ENERGIES = st.integers(0, 10**6) | st.integers(0, 2**40) | st.integers(0, MAX_ENERGY_J - 1)
SPANS = st.integers(1, 1000) | st.integers(1, 2**31) | st.integers(1, 10**12)


@settings(max_examples=300)
@given(st.lists(st.tuples(ENERGIES, SPANS, st.floats(0, 1, exclude_max=True)), min_size=1, max_size=4))
def test_a_share_is_the_exact_fraction_rounded_half_up(rows: list[tuple[int, int, float]]) -> None:
    energy, span = (np.array(column, np.int64) for column in list(zip(*rows, strict=True))[:2])
    since = np.array([min(int(part * width), width - 1) for _, width, part in rows], np.int64)
    expected = [floor(Fraction(e * s, w) + Fraction(1, 2)) for (e, w, _), s in zip(rows, since.tolist(), strict=True)]
    assert share(energy, since, span).tolist() == expected
    assert exact_share(energy, since, span).tolist() == expected


@given(st.integers(0, 2**45), st.integers(1, 10**5))
def test_halves_are_rounded_up_on_both_paths(energy: int, half: int) -> None:
    odd = np.array([2 * energy + 1], np.int64)
    arguments = odd, np.array([half]), np.array([2 * half])
    assert share(*arguments).tolist() == exact_share(*arguments).tolist() == [energy + 1]


@given(
    st.integers(1, 10**6) | st.integers(1, 2**62), st.lists(st.integers(0, 10**5) | st.integers(0, 10**13), max_size=4)
)
def test_a_bound_is_power_times_time_rounded_up_and_never_out_of_range(power_w: int, times: list[int]) -> None:
    expected = [min(ceil(Fraction(power_w * time, 1000)), MAX_ENERGY_J) for time in times]
    assert [energy_bound_j(power_w, time) for time in times] == expected
    powers = np.full(len(times), power_w)
    assert joules_up(power_mj(powers, np.array(times, np.int64))).tolist() == expected


@pytest.mark.parametrize("slots", [1, 60, 1500])
@pytest.mark.parametrize(
    "step_ms", [[1, 97], [10_000, 60_000], [SLOT_MS // 4, SLOT_MS // 2], [SLOT_MS], [1, 50 * SLOT_MS]]
)
def test_the_last_time_before_an_edge_is_found_however_many_there_are(slots: int, step_ms: list[int]) -> None:
    random = np.random.default_rng(slots)
    edges = np.arange(slots, dtype=np.int64) * SLOT_MS
    for count in (1, 31, 32, 33, 200, 5000):
        times = random.integers(0, SLOT_MS) + np.cumsum(random.choice(np.array(step_ms), count))
        assert last_before(times, edges).tolist() == (np.searchsorted(times, edges, side="right") - 1).tolist()
