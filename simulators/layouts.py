"""Where each meter model keeps its values, in the simulator's own words from the manuals' facts.

Nothing here comes from `pue.contract.profile` or `pue.contract.decode`: if a profile is wrong, the demo's numbers are
wrong and seen.
A display is what a meter shows: counts at the model's own resolution, as whole numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulators import ber

WH_J = 3_600
KWH_J = 3_600_000
U32 = 1 << 32


@dataclass(frozen=True, slots=True)
class Display:
    """One quantity as a model states it: unit, decimal exponent of a count, and the count where it starts again."""

    unit: str
    exponent: int
    size: float
    """Base units in one count: J or W."""
    modulus: int = 0
    is_float32: bool = False


@dataclass(frozen=True, slots=True)
class ModbusPlace:
    """Function code, first word's wire address and the words of a count."""

    function: int
    address: int
    words: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class SnmpPlace:
    """Object and the BER of a count."""

    oid: str
    value: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Model:
    """A meter model: how it shows energy and power, and where."""

    profile: str
    maker: str
    energy: Display
    power: Display
    energy_at: ModbusPlace | SnmpPlace
    power_at: ModbusPlace | SnmpPlace
    constants: tuple[tuple[str, bytes], ...] = ()
    """Further SNMP objects with fixed values."""
    raw_suffix: bytes = b""
    """What an agent reads along with the energy: the decimal digits of a Raritan sensor."""

    def raw(self, count: int) -> bytes:
        """Bytes of an energy count as they travel: Modbus words or the SNMP value's BER."""
        place = self.energy_at
        return place.words(count) if isinstance(place, ModbusPlace) else place.value(count) + self.raw_suffix


def float32_counts(counts: npt.NDArray[np.int64], display: Display) -> npt.NDArray[np.int64]:
    """Counts that survive a float32 register: the nearest float, read back at the display's exponent."""
    scale = 10.0**-display.exponent
    shown = (counts / scale).astype(np.float32).astype(np.float64)
    return np.rint(shown * scale).astype(np.int64)


def _f32(exponent: int) -> Callable[[int], bytes]:
    return lambda count: struct.pack(">f", count * 10.0**exponent)


def _packed(form: str) -> Callable[[int], bytes]:
    return lambda count: struct.pack(form, count)


def _ber(tag: int) -> Callable[[int], bytes]:
    return lambda count: ber.integer(count, tag)


SCHNEIDER = Model(
    profile="schneider-pm5xxx",
    maker="Schneider Electric PM5560",
    energy=Display("Wh", 0, WH_J),
    power=Display("kW", -3, 1),
    energy_at=ModbusPlace(3, 3203, _packed(">q")),
    power_at=ModbusPlace(3, 3059, _f32(-3)),
)
ABB = Model(
    profile="abb-b23",
    maker="ABB B23 112-100",
    energy=Display("kWh", -2, KWH_J // 100),
    power=Display("W", -2, 0.01),
    energy_at=ModbusPlace(3, 0x5000, _packed(">Q")),
    power_at=ModbusPlace(3, 0x5B14, _packed(">i")),
)
EASTRON = Model(
    profile="eastron-sdm630",
    maker="Eastron SDM630-Modbus V2",
    energy=Display("kWh", -3, KWH_J // 1000, is_float32=True),
    power=Display("W", -1, 0.1),
    energy_at=ModbusPlace(4, 0x48, _f32(-3)),
    power_at=ModbusPlace(4, 0x34, _f32(-1)),
)
APC = Model(
    profile="apc-rpdu2",
    maker="APC AP8886 rPDU2G",
    energy=Display("kWh", -1, KWH_J // 10),
    power=Display("kW", -2, 10),
    energy_at=SnmpPlace("1.3.6.1.4.1.318.1.1.26.4.3.1.9.1", _ber(ber.INTEGER)),
    power_at=SnmpPlace("1.3.6.1.4.1.318.1.1.26.4.3.1.5.1", _ber(ber.INTEGER)),
)
_NO_DIGITS = ber.integer(0, ber.GAUGE32)
RARITAN = Model(
    profile="raritan-px2",
    maker="Raritan PX2-5000",
    energy=Display("Wh", 0, WH_J, modulus=U32),
    power=Display("W", 0, 1),
    energy_at=SnmpPlace("1.3.6.1.4.1.13742.6.5.2.3.1.4.1.1.8", _ber(ber.GAUGE32)),
    power_at=SnmpPlace("1.3.6.1.4.1.13742.6.5.2.3.1.4.1.1.5", _ber(ber.GAUGE32)),
    constants=(
        ("1.3.6.1.4.1.13742.6.3.3.4.1.7.1.1.5", _NO_DIGITS),
        ("1.3.6.1.4.1.13742.6.3.3.4.1.7.1.1.8", _NO_DIGITS),
    ),
    raw_suffix=_NO_DIGITS,
)
EATON = Model(
    profile="eaton-epdu",
    maker="Eaton ePDU G3",
    energy=Display("Wh", 0, WH_J, modulus=U32),
    power=Display("W", 0, 1),
    energy_at=SnmpPlace("1.3.6.1.4.1.534.6.6.7.3.5.1.5.0.1", _ber(ber.GAUGE32)),
    power_at=SnmpPlace("1.3.6.1.4.1.534.6.6.7.3.5.1.4.0.1", _ber(ber.INTEGER)),
)
MODELS = {model.profile: model for model in (SCHNEIDER, ABB, EASTRON, APC, RARITAN, EATON)}
