"""Energy shared out in time, where a float would err."""

from __future__ import annotations

import numpy as np
import pytest

from pue.curves import exact_share
from tests.unit.pue.meters import int64


@pytest.mark.parametrize("span", [101, 10**12 + 39, 10**17 + 3])
def test_a_share_just_under_a_half_is_rounded_down(span: int) -> None:
    """Of n = (span + 1) / 2 all but a span's last part, n - 1/2 - 1/(2 span): by a hair not half way to n."""
    energy = (span + 1) // 2
    assert exact_share(int64(energy), int64(span - 1), int64(span)).tolist() == [energy - 1]


def test_nothing_is_shared_out_to_nobody() -> None:
    shares = exact_share(int64(), int64(), int64())
    assert (shares.tolist(), shares.dtype) == ([], np.dtype(np.int64))
