"""Register versions: what the topology says of a counter, and the limits that follow from it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pue.contract.errors import Fatal
from pue.contract.series import MAX_ENERGY_J
from pue.contract.topology import Meter, MeterVersion, Register
from pue.energy.versions import (
    RegisterVersion,
    counts_per_ms,
    merged,
    most_counts,
    register_versions,
    scaled,
    usable_counts,
    version_at,
)
from tests.unit.pue.meters import int64, version


def test_a_register_is_counted_as_its_meter_version_says() -> None:
    """0.1 kWh a count behind a CT of 400/5: 80 x 360,000 J."""
    installed = MeterVersion(
        from_ms=10,
        to_ms=20,
        serial="SN1",
        profile="abb-b23",
        registers=[Register(quantity="energy_import", unit="kWh", exponent=-1, modulus=10**9)],
        max_power_w=1000,
        ct="400/5",
    )
    meter = Meter(site="km01", meter="main-a", versions=[installed])
    assert register_versions(meter, "energy_import") == (
        RegisterVersion(from_ms=10, to_ms=20, step_j=Fraction(28_800_000), modulus=10**9, max_power_w=1000),
    )


def test_a_series_without_a_version_is_refused_with_the_remedy() -> None:
    with pytest.raises(Fatal) as caught:
        merged([])
    assert str(caught.value) == (
        "a series has no register version; add the meter's version with this quantity to the topology"
    )


def test_a_version_holds_from_its_start_to_before_its_end() -> None:
    versions = [version(from_ms=10, to_ms=20), version(from_ms=30)]
    assert version_at(int64(9, 10, 19, 20, 29, 30, 2**61), versions).tolist() == [-1, 0, 0, -1, -1, 1, 1]


@pytest.mark.parametrize(
    ("register", "gauge", "expected"),
    [
        (version(1), False, (0, 2**62 - 1)),
        (version(2), False, (0, 2**61 - 1)),
        (version(1, modulus=1000), False, (0, 999)),
        (version(1), True, (-1001, 1001)),
        (version(3), True, (-334, 334)),
    ],
)
def test_a_count_is_usable_below_the_modulus_the_range_and_one_count_over_the_power(
    register: RegisterVersion, gauge: bool, expected: tuple[int, int]
) -> None:
    """1000 W are 1000 counts of 1 W, or 333.3 of 3 W."""
    assert usable_counts(register, gauge=gauge) == expected


def test_a_meter_of_1000_watts_counts_a_joule_a_millisecond() -> None:
    assert counts_per_ms(version(1, 1000)) == 1.0


@pytest.mark.parametrize(
    ("register", "time_ms", "expected"),
    [
        pytest.param(version(1, 1000), [0, 1, 1001], [0, 1, 1001], id="a count a millisecond"),
        pytest.param(version(1000, 1), [999_999, 1_000_000], [0, 1], id="a count in a thousand seconds"),
        pytest.param(version(Fraction(1000, 7), 200_000), [44_420], [62_188], id="where a float is less"),
        pytest.param(version(Fraction(1, 3), 2**53 + 1), [1000], [3 * 2**53 + 3], id="beyond a float"),
        pytest.param(version(1, 2**61), [1, 2500], [2**61 // 1000, MAX_ENERGY_J], id="at most the range"),
    ],
)
def test_the_most_a_register_counts_in_a_time_is_exact(
    register: RegisterVersion, time_ms: list[int], expected: list[int]
) -> None:
    assert most_counts(register, int64(*time_ms)).tolist() == expected


def test_no_time_has_no_counts() -> None:
    assert most_counts(version(), int64()).tolist() == []


@pytest.mark.parametrize(
    ("step_j", "hidden_j", "rounding_j"),
    [
        pytest.param(Fraction(10), 10, 0, id="whole joules: a step"),
        pytest.param(Fraction(18, 5), 5, 1, id="3.6 J: 4 J, and one as the level is rounded"),
        pytest.param(Fraction(1, 3), 2, 1, id="less than a joule"),
    ],
)
def test_a_register_hides_up_to_a_step(step_j: Fraction, hidden_j: int, rounding_j: int) -> None:
    assert (version(step_j).hidden_j, version(step_j).rounding_j) == (hidden_j, rounding_j)


@pytest.mark.parametrize(
    ("changes", "versions"),
    [
        ({}, 1),
        ({"max_power_w": 5}, 1),
        ({"max_ramp_w_per_s": 5}, 2),
        ({"step_j": Fraction(2)}, 2),
        ({"modulus": 10}, 2),
        ({"continues": False}, 2),
        ({"replacement": (1, 2)}, 2),
        ({"from_ms": 11}, 2),
    ],
)
def test_versions_are_one_if_the_register_simply_went_on(changes: dict[str, object], versions: int) -> None:
    rows = merged([version(1, 1000, to_ms=10), replace(version(1, 1000, from_ms=10), **changes)])  # type: ignore[arg-type]  # fields a test chooses
    assert len(rows) == versions


def test_a_register_that_went_on_has_the_larger_maximum_power_throughout() -> None:
    rows = [version(1, 7, to_ms=10), version(1, 9, from_ms=10, to_ms=20), version(1, 8, from_ms=20)]
    assert merged(rows) == (version(1, 9),)


@pytest.mark.parametrize(
    ("count", "step", "energy_j"),
    [
        (0, Fraction(1, 2), 0),
        (1, Fraction(1, 2), 1),
        (1, Fraction(2**62 + 1, 2), 2**61 + 1),
        (10**18, Fraction(7, 10**19), 1),
    ],
)
def test_energy_is_rounded_half_up_whatever_the_step(count: int, step: Fraction, energy_j: int) -> None:
    assert scaled(int64(count), step).tolist() == [energy_j]


@pytest.mark.parametrize("step", [Fraction(1), Fraction(1, 3), Fraction(2**62 + 1, 2)])
def test_no_counts_are_no_joules(step: Fraction) -> None:
    assert scaled(int64(), step).dtype == np.int64
