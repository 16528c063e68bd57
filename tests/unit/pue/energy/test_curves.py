"""Energy shared out in time, where a float would err."""

from __future__ import annotations

import numpy as np
import pytest

from pue.contract.series import MAX_ENERGY_J
from pue.energy.curves import energy_bound_j, exact_share, share
from tests.unit.pue.meters import int64


@pytest.mark.parametrize("span", [101, 10**12 + 39, 10**17 + 3])
def test_a_share_just_under_a_half_is_rounded_down(span: int) -> None:
    """Of n = (span + 1) / 2 all but a span's last part, n - 1/2 - 1/(2 span): by a hair not half way to n."""
    energy = (span + 1) // 2
    assert exact_share(int64(energy), int64(span - 1), int64(span)).tolist() == [energy - 1]


def test_a_joule_goes_to_the_half_it_is_nearer_to_however_long_the_span() -> None:
    """5 * 10**16 + 1 of 10**17 + 3 are just under a half, the next just over it."""
    span = 10**17 + 3
    assert share(int64(1, 1), int64(5 * 10**16 + 1, 5 * 10**16 + 2), int64(span, span)).tolist() == [0, 1]


def test_nothing_is_shared_out_to_nobody() -> None:
    shares = exact_share(int64(), int64(), int64())
    assert (shares.tolist(), shares.dtype) == ([], np.dtype(np.int64))


@pytest.mark.parametrize(
    ("power_w", "time_ms", "energy_j"),
    [
        pytest.param(1, 1001, 2, id="rounded up"),
        pytest.param(2**61, 500, 2**60, id="half a second"),
        pytest.param(2 * 10**18 + 1, 1500, 3 * 10**18 + 2, id="rounded up where no float is"),
        pytest.param(2**40, 2**40, MAX_ENERGY_J, id="beyond the range"),
    ],
)
def test_a_bound_is_power_times_time(power_w: int, time_ms: int, energy_j: int) -> None:
    assert energy_bound_j(power_w, int64(time_ms)).tolist() == [energy_j]


@pytest.mark.parametrize("power_w", [1, MAX_ENERGY_J])
def test_no_times_have_no_bounds(power_w: int) -> None:
    bounds = energy_bound_j(power_w, int64())
    assert (bounds.tolist(), bounds.dtype) == ([], np.dtype(np.int64))
