"""Virtual meters: what a real meter makes of the true energy behind it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pue.contract.errors import Fatal
from simulators.layouts import MODELS, Display, Model, float32_counts
from simulators.plant import Plant

Int64 = npt.NDArray[np.int64]
FOREVER_MS = 1 << 61
CLASS_PERCENT = {"0.2S": 0.2, "0.5S": 0.5, "0.2": 0.2, "0.5": 0.5, "1": 1.0, "2": 2.0, "": 0.0}
"""Limit of error by accuracy class, of meters (IEC 62053) and transformers (IEC 61869). [%]"""


@dataclass(frozen=True, slots=True)
class MeterSpec:
    """One meter: what it measures, how it is installed, what it counts for, and when it is silent."""

    id: str
    name: str
    name_en: str
    feed: str
    profile: str
    link: str
    max_power_w: int
    unit_id: int = 1
    a: str = "0"
    b: str = "0"
    required: bool = True
    parent: str = ""
    ct: str = "1"
    pt: str = "1"
    meter_class: str = "0.5S"
    ct_class: str = ""
    pt_class: str = ""
    wraps_before_ms: int = 0
    """How long before the history's end the register passes its modulus; 0: it starts at a seeded value."""
    silent_ms: tuple[tuple[int, int], ...] = ()
    """Times without an answer, relative to the history's end. [ms]"""

    @property
    def model(self) -> Model:
        """Its maker's register layout."""
        return MODELS[self.profile]

    @property
    def ratio(self) -> Fraction:
        """Primary by secondary. [-]"""
        return Fraction(self.ct) * Fraction(self.pt)

    @property
    def error_limit(self) -> float:
        """Largest relative error its classes allow. [-]"""
        classes = (self.meter_class, self.ct_class, self.pt_class)
        return sum(CLASS_PERCENT[name] for name in classes) / 100


class VirtualMeter:
    """A meter in front of a plant's feed.

    Parameters
    ----------
    spec
        The installation.
    plant
        The truth behind it.
    """

    def __init__(self, spec: MeterSpec, plant: Plant) -> None:
        if spec.feed not in plant.feeds:
            raise Fatal(f"meter {spec.id} measures {spec.feed!r}; this plant has {', '.join(plant.feeds)}")
        self.spec = spec
        self.plant = plant
        rng = np.random.default_rng([plant.seed, *spec.id.encode()])
        # In whole parts of a million, so that what it shows is exact arithmetic; 0.7: well within its class, as most
        # meters are.
        self.error_ppm = int(1e6 * 0.7 * spec.error_limit * rng.uniform(-1, 1))
        self.serial = f"{rng.integers(10**8, 10**9)}"
        self._counted_before_kwh = int(rng.integers(10**4, 10**6))

    @cached_property
    def initial_count(self) -> int:
        """What the register showed at the plant's start. [counts]"""
        display = self.spec.model.energy
        if not self.spec.wraps_before_ms:
            return _counts_of(self._counted_before_kwh, display, self.spec.ratio)
        wrap_ms = np.array([self.plant.until_ms - self.spec.wraps_before_ms], np.int64)
        # Then it shows exactly the modulus, that is 0, at the moment when it is to wrap.
        return display.modulus - int(self._since_start(wrap_ms)[0])

    def energy_counts(self, time_ms: Int64) -> Int64:
        """What the energy register shows at each time. [counts]"""
        display = self.spec.model.energy
        counts = self.initial_count + self._since_start(time_ms)
        if display.modulus:
            counts %= display.modulus
        return float32_counts(counts, display) if display.is_float32 else counts

    def power_counts(self, time_ms: Int64) -> Int64:
        """What the power register shows at each time. [counts]"""
        watts = self.plant.power_w(self.spec.feed, time_ms) * (1 + self.error_ppm / 1e6)
        shown = watts / float(self.spec.ratio) / self.spec.model.power.size
        return np.rint(shown).astype(np.int64)

    def is_silent(self, time_ms: Int64) -> npt.NDArray[np.bool_]:
        """Whether the meter gives no answer at each time."""
        silent = np.zeros(len(time_ms), np.bool_)
        for begin, end in self.spec.silent_ms:
            silent |= (time_ms >= self.plant.until_ms + begin) & (time_ms < self.plant.until_ms + end)
        return silent

    @property
    def count_j(self) -> Fraction:
        """Primary energy in one count. [J]"""
        return Fraction(self.spec.model.energy.size) * self.spec.ratio

    def _since_start(self, time_ms: Int64) -> Int64:
        """Whole counts since the plant's start, by the meter's own (wrong) measure."""
        true_j = self.plant.energy_j(self.spec.feed, time_ms)
        shown_j = true_j + true_j * self.error_ppm // 1_000_000
        # Divided by a count of n/d joules, rounded down: a register shows whole counts only.
        return shown_j * self.count_j.denominator // self.count_j.numerator


def _counts_of(energy_kwh: int, display: Display, ratio: Fraction) -> int:
    """Register content of a meter that has already counted some primary energy."""
    return int(energy_kwh * 3_600_000 / (Fraction(display.size) * ratio))
