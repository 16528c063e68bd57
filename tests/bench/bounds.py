"""How much wider a coarse register makes the bounds of a PUE: sound bounds that say nothing would be no answer."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from pue.contract.series import SLOT_MS, SeriesKey
from pue.energy.facility import FacilityCurve, Term, facility_curve
from pue.energy.registers import RegisterVersion, register_slots
from pue.energy.rolling import window_result
from pue.energy.slots import Int64, Samples
from tests.bench.rows import Row, row

SEED = 2026
POWER_W = 100_000
MOST_W = 160_000
"""What the meters can carry at most by their operator's word. [W]"""
KWH_J = 3_600_000
POLL_MS = 15_000
HOUR_MS = 4 * SLOT_MS
DAY_MS = 24 * HOUR_MS
DAYS = 370
WINDOWS = 200
GOALS = (
    ("bounds: width added to a PUE, 15m", SLOT_MS, 0.19),
    ("bounds: width added to a PUE, 1h", HOUR_MS, 0.046),
    ("bounds: width added to a PUE, 24h", DAY_MS, 0.002),
    ("bounds: width added to a PUE, 30d", 30 * DAY_MS, 6e-5),
    ("bounds: width added to a 365-day PUE", 365 * DAY_MS, 1e-5),
)


def rows() -> list[Row]:
    """Mean over many windows of upper less lower PUE, less the same of registers in joules; the largest beside it."""
    random = np.random.default_rng(SEED)
    energies = pair(random)
    coarse, exact = curve(energies, KWH_J), curve(energies, 1)
    result = []
    for name, length_ms, goal in GOALS:
        places = random.integers(1, (DAYS * DAY_MS - length_ms) // SLOT_MS - 1, WINDOWS)
        starts = [int(place) * SLOT_MS for place in places]
        added = [float(width(coarse, start, length_ms) - width(exact, start, length_ms)) for start in starts]
        result += [row(name, sum(added) / len(added), "PUE", f"<= {goal}"), row(f"{name}, most", max(added), "PUE")]
    return result


def pair(random: np.random.Generator) -> list[tuple[Int64, Int64, Int64]]:
    """Times of request and reply of two meters, and the energy that had flowed by then, without a gap. [ms UTC, J]

    The load is 100 kW within 2 %. Both carry it: a day with more IT energy than total would be a contradiction.
    """
    start_ms = np.arange(DAYS * DAY_MS // POLL_MS, dtype=np.int64) * POLL_MS
    power_w = POWER_W + random.integers(-POWER_W // 50, POWER_W // 50 + 1, len(start_ms))
    energy_j = np.cumsum(power_w * (POLL_MS // 1000))
    result = []
    for _ in range(2):
        since_ms = int(random.integers(200, POLL_MS))
        t1_ms = start_ms + since_ms
        read_j = energy_j - power_w * (POLL_MS - since_ms) // 1000 + int(random.integers(0, KWH_J))
        result.append((t1_ms - 100, t1_ms, read_j))
    return result


def curve(energies: list[tuple[Int64, Int64, Int64]], step_j: int) -> FacilityCurve:
    """The pair's curve as meters with this step give it."""
    slots, terms = {}, []
    for name, (t0_ms, t1_ms, energy_j) in zip(("main", "it"), energies, strict=True):
        key = SeriesKey("s", name, "energy_import")
        none = np.zeros_like(t1_ms)
        samples = Samples(t0_ms, t1_ms, energy_j // step_j, none, np.arange(len(none), dtype=np.int64))
        slots[key] = register_slots(samples, [RegisterVersion(0, None, Fraction(step_j), None, MOST_W)])
        terms.append(
            Term(key, Fraction(name == "main"), Fraction(name == "it"), required=True, from_ms=0, to_ms=None,
                 step_j=step_j, max_power_w=MOST_W)
        )  # fmt: skip
    return facility_curve(slots, terms, 0, DAYS * DAY_MS)


def width(both: FacilityCurve, start_ms: int, length_ms: int) -> Fraction:
    """Upper less lower bound of a window's PUE. [-]"""
    result = window_result(both, start_ms, start_ms + length_ms)
    assert result.pue_upper is not None
    assert result.pue_lower is not None
    return result.pue_upper - result.pue_lower
