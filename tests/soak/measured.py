"""What the program makes of a plant's readings: the only door from the simulation to the code under test."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from pue.contract.series import SLOT_MS, SeriesKey
from pue.energy.facility import Term, facility_curve
from pue.energy.power import power_slots
from pue.energy.registers import register_slots
from pue.energy.rolling import WindowResult, window_result
from pue.energy.slots import Samples, Slots
from pue.energy.versions import RegisterVersion
from tests.soak.plant import PPM, Meter

__all__ = ["WindowResult", "measured"]

MAX_GAP_MS = SLOT_MS + 60_000
"""As the collector has it: reading every 15 minutes with some jitter is no gap. [ms]"""


def measured(meters: tuple[Meter, ...], from_ms: int, to_ms: int) -> Callable[[int, int], WindowResult]:
    """The program's result for any window inside [from, to). [ms UTC]"""
    terms = [_term(meter) for meter in meters]
    slots = {term.key: _slots(meter) for term, meter in zip(terms, meters, strict=True)}
    curve = facility_curve(slots, terms, from_ms, to_ms)
    return lambda start_ms, end_ms: window_result(curve, start_ms, end_ms)


def _slots(meter: Meter) -> Slots:
    order = np.arange(len(meter.t1_ms), dtype=np.int64)
    samples = Samples(meter.t0_ms, meter.t1_ms, meter.count, meter.quality, order)
    make = power_slots if meter.gauge_w else register_slots
    return make(samples, _versions(meter), max_gap_ms=MAX_GAP_MS)


def _versions(meter: Meter) -> list[RegisterVersion]:
    if meter.gauge_w:
        step_w = Fraction(meter.gauge_w)
        return [RegisterVersion(0, None, step_w, None, meter.max_power_w, max_ramp_w_per_s=meter.ramp_w_per_s)]
    result: list[RegisterVersion] = []
    for index, register in enumerate(meter.registers):
        if index and not register.is_declared:
            continue
        later = [other.from_ms for other in meter.registers[index + 1 :] if other.is_declared]
        result.append(
            RegisterVersion(
                from_ms=register.from_ms if index else 0,
                to_ms=later[0] if later else None,
                step_j=Fraction(register.step_j),
                modulus=register.modulus,
                max_power_w=meter.max_power_w,
                replacement=(meter.final_count(index - 1), register.count) if index else None,
            )
        )
    return result


def _term(meter: Meter) -> Term:
    limit = Fraction(meter.limit_ppm, PPM)
    return Term(
        key=SeriesKey("plant", meter.name, "power" if meter.gauge_w else "energy_import"),
        a=Fraction(meter.a),
        b=Fraction(meter.b),
        required=True,
        from_ms=0,
        to_ms=None,
        parent=meter.parent,
        u_rel=float(limit) / 3**0.5,
        limit_rel=limit,
        step_j=0 if meter.gauge_w else max(register.step_j for register in meter.registers),
        max_power_w=meter.max_power_w,
    )
