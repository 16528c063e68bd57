"""The table of what a meter can measure, and in which units a profile may state it.

A reading's `count` is an integer: the value times 10**-exponent in the declared unit, before CT and PT ratios.
Energy becomes joules: every Wh-based step is then a whole number, and no name can be misread.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from pue.contract.errors import Fatal

JOULES_PER_KWH = 3_600_000


class Kind(StrEnum):
    """How a quantity behaves in time."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Quantity:
    """One row of the table: a name for all parts, its SI base unit and its behaviour."""

    name: str
    kind: Kind
    base_unit: str
    zh: str
    en: str


QUANTITIES: dict[str, Quantity] = {
    row.name: row
    for row in (
        Quantity("energy_import", Kind.COUNTER, "J", "正向有功电能", "active energy, import"),
        Quantity("energy_export", Kind.COUNTER, "J", "反向有功电能", "active energy, export"),
        Quantity("power", Kind.GAUGE, "W", "有功功率", "active power"),
        Quantity("frequency", Kind.GAUGE, "Hz", "频率", "grid frequency"),
        Quantity("voltage", Kind.GAUGE, "V", "电压", "voltage"),
        Quantity("current", Kind.GAUGE, "A", "电流", "current"),
        Quantity("wet_bulb", Kind.GAUGE, "degC", "湿球温度", "wet-bulb temperature"),
        Quantity("heat", Kind.COUNTER, "J", "热量", "thermal energy"),
        Quantity("fuel_volume", Kind.COUNTER, "m3", "燃料体积", "fuel volume"),
    )
}

UNITS: dict[str, tuple[str, int]] = {
    "J": ("J", 1),
    "Wh": ("J", 3_600),
    "kWh": ("J", JOULES_PER_KWH),
    "MWh": ("J", 1_000 * JOULES_PER_KWH),
    "W": ("W", 1),
    "kW": ("W", 1_000),
    "Hz": ("Hz", 1),
    "V": ("V", 1),
    "A": ("A", 1),
    "degC": ("degC", 1),
    "m3": ("m3", 1),
}
"""Unit in a profile -> (base unit, factor)."""


def step(quantity: str, unit: str, exponent: int) -> Fraction:
    """Size of one count in the quantity's base unit, before CT and PT.

    Parameters
    ----------
    quantity, unit
        Names from `QUANTITIES` and `UNITS`.
    exponent
        Decimal exponent of one count in `unit`. [-]

    Returns
    -------
    Fraction
        Base units per count, exact. [J, W, Hz, V, A, degC or m3]

    Raises
    ------
    Fatal
        If the quantity or unit is unknown, or the unit does not measure the quantity.
    """
    return base_units(quantity, unit) * Fraction(10) ** exponent


def base_units(quantity: str, unit: str) -> int:
    """How many base units of a quantity a unit is.

    Raises
    ------
    Fatal
        If the quantity or unit is unknown, or the unit does not measure the quantity.
    """
    if quantity not in QUANTITIES:
        raise Fatal(f"quantity {quantity!r} is unknown; use one of {', '.join(QUANTITIES)}")
    if unit not in UNITS:
        raise Fatal(f"unit {unit!r} is unknown; use one of {', '.join(UNITS)}")
    base_unit, factor = UNITS[unit]
    if base_unit != QUANTITIES[quantity].base_unit:
        raise Fatal(f"unit {unit!r} does not measure {quantity!r}, which is in {QUANTITIES[quantity].base_unit}")
    return factor
