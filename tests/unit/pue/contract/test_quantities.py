"""Counts and units."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pue.contract.errors import Fatal
from pue.contract.quantities import step


@pytest.mark.parametrize(
    ("unit", "exponent", "joules"),
    [
        ("Wh", 0, 3_600),
        ("kWh", 0, 3_600_000),
        ("kWh", -2, 36_000),
        ("MWh", -3, 3_600_000),
        ("Wh", -1, 360),
        ("J", 0, 1),
    ],
)
def test_energy_steps_are_whole_joules(unit: str, exponent: int, joules: int) -> None:
    assert step("energy_import", unit, exponent) == joules


def test_power_step_may_be_a_fraction_of_a_watt() -> None:
    assert step("power", "W", -2) == Fraction(1, 100)


def test_unknown_quantity_unit_or_a_wrong_pair_is_named() -> None:
    with pytest.raises(Fatal, match="quantity 'energi' is unknown; use one of energy_import, energy_export, power,"):
        step("energi", "Wh", 0)
    with pytest.raises(Fatal, match="unit 'BTU' is unknown; use one of J, Wh, kWh,"):
        step("energy_import", "BTU", 0)
    with pytest.raises(Fatal, match="unit 'kW' does not measure 'energy_import'"):
        step("energy_import", "kW", 0)
