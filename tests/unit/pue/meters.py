"""Short ways to write meters and facilities in examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from pue.contract.quantities import JOULES_PER_KWH
from pue.contract.series import SLOT_MS, SeriesKey
from pue.energy.facility import FacilityCurve, Term, facility_curve
from pue.energy.registers import RegisterVersion, register_slots
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
    fields: dict[str, object] = {"from_ms": 0, "to_ms": None, "modulus": None, "replacement": None}
    return RegisterVersion(step_j=Fraction(step_j), max_power_w=max_power_w, **(fields | changes))  # type: ignore[arg-type]  # fields a test chooses


def key(meter: str, quantity: str = "energy_import") -> SeriesKey:
    return SeriesKey("km01", meter, quantity)


def term(meter: str, a: Fraction | int = 0, b: Fraction | int = 0, **changes: object) -> Term:
    fields: dict[str, object] = {"required": True, "from_ms": 0, "to_ms": None, "max_power_w": 1_000_000}
    return Term(key(meter), Fraction(a), Fraction(b), **(fields | changes))  # type: ignore[arg-type]  # fields a test chooses


def kwh_slots(*energies: int) -> Slots:
    """Slots from time 0 of so many kWh each, at most 1000, measured at their edges."""
    counts = [0]
    for energy in energies:
        counts.append(counts[-1] + energy)
    readings = [(place * SLOT_MS, count) for place, count in enumerate(counts)]
    return register_slots(samples(*readings), [version(KWH, 4_000_000)])


def facility(energies: Mapping[str, Sequence[int]], *terms: Term) -> FacilityCurve:
    """A facility whose meters have so many kWh in each slot from time 0."""
    slots = {key(meter): kwh_slots(*values) for meter, values in energies.items()}
    return facility_curve(slots, terms, 0, max(len(values) for values in energies.values()) * SLOT_MS)
