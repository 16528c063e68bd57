"""Short ways to write meters and facilities in examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from fractions import Fraction

import numpy as np

from pue.contract.quality import Flag
from pue.contract.quantities import JOULES_PER_KWH
from pue.contract.series import SLOT_MS, SeriesKey
from pue.energy.facility import FacilityCurve, Term, facility_curve
from pue.energy.registers import RegisterVersion
from pue.energy.slots import Samples, Slots

KWH = JOULES_PER_KWH
MINUTE_MS = 60_000


def int64(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def samples(*readings: tuple[int, int], quality: Sequence[int] = (), took_ms: int = 0) -> Samples:
    """Readings as (time, count), in order of their batches."""
    times, counts = int64(*(time for time, _ in readings)), int64(*(count for _, count in readings))
    marks = int64(*quality) if quality else np.zeros_like(times)
    return Samples(times - took_ms, times, counts, marks, np.arange(len(times), dtype=np.int64))


def version(step_j: Fraction | int = 1, max_power_w: int = 1000, **changes: object) -> RegisterVersion:
    chosen: dict[str, object] = {"from_ms": 0, "to_ms": None, "modulus": None, "replacement": None}
    return RegisterVersion(step_j=Fraction(step_j), max_power_w=max_power_w, **(chosen | changes))  # type: ignore[arg-type]  # fields a test chooses


def key(meter: str, quantity: str = "energy_import") -> SeriesKey:
    return SeriesKey("km01", meter, quantity)


def term(meter: str, a: Fraction | int = 0, b: Fraction | int = 0, **changes: object) -> Term:
    chosen: dict[str, object] = {"required": True, "from_ms": 0, "to_ms": None, "max_power_w": 4_000_000}
    return Term(key(meter), Fraction(a), Fraction(b), **(chosen | changes))  # type: ignore[arg-type]  # fields a test chooses


def asked(*readings: tuple[int, int, int]) -> Samples:
    """Readings as (time of request, time of reply, count), in order of their batches."""
    t0, t1, counts = (int64(*column) for column in zip(*readings, strict=True))
    return Samples(t0, t1, counts, np.zeros_like(t1), np.arange(len(t1), dtype=np.int64))


def kwh_slots(*energies: int) -> Slots:
    """Slots from time 0 of so many kWh each, known to the joule, and one of which only a limit of 4 MW is known."""
    nothing = [0] * len(energies)
    return made_slots(
        *(energy * KWH for energy in energies),
        0,
        unknown_j=[*nothing, 1000 * KWH],
        gap_ms=[*nothing, SLOT_MS],
        flags=[*nothing, Flag.MISSING],
    )


def made_slots(*energy_j: int, first: int = 0, **columns: Sequence[int]) -> Slots:
    """Slots as their columns say, from the slot of that number on; nothing where a column is not given."""
    count = len(energy_j)
    values = {field.name: np.zeros(count, np.int64) for field in fields(Slots)}
    values |= {name: int64(*column) for name, column in columns.items()}
    start = np.arange(first, first + count, dtype=np.int64) * SLOT_MS
    return Slots(**(values | {"start_ms": start, "energy_j": int64(*energy_j)}))


def facility(energies: Mapping[str, Sequence[int]], *terms: Term) -> FacilityCurve:
    """A facility whose meters have so many kWh in each slot from time 0."""
    slots = {key(meter): kwh_slots(*values) for meter, values in energies.items()}
    return facility_curve(slots, terms, 0, max(len(values) for values in energies.values()) * SLOT_MS)
