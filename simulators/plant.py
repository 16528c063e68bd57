"""The seeded plant: true energies of one data center as a pure function of time.

Every energy is an integer number of joules per 15-minute slot, so sums are exact and the true PUE of any window of
whole slots is an exact fraction. Within a slot power is constant.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pue.contract.errors import Fatal
from pue.contract.series import SLOT_MS, slot_of

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

SLOT_S = SLOT_MS // 1000
DAY_MS = 86_400_000
YEAR_MS = 31_556_952_000
HISTORY_DAYS = 400
AHEAD_DAYS = 60
"""How far beyond the history's end the plant is defined: the longest a demo can run."""
LOCAL_MS = 8 * 3_600_000
"""The physics follows China Standard Time."""
_FEEDS = ("it", "cooling", "losses", "office", "facility", "it-a", "it-b", "main-a", "main-b")


@dataclass(frozen=True, slots=True)
class Climate:
    """Wet-bulb temperature of a place: yearly mean, and half the swing of year, day and passing weather. [degC]"""

    mean_c: float
    annual_c: float
    daily_c: float
    weather_c: float


@dataclass(frozen=True, slots=True)
class Drift:
    """A slow fault: overhead grows over `days` before the history's end until the last 30 days reach a PUE."""

    days: int
    pue_30d: float


@dataclass(frozen=True, slots=True)
class PlantSpec:
    """What makes one plant: size, growth, climate, and the PUE its trailing twelve months shall have."""

    it_kw: float
    growth_per_year: float
    climate: Climate
    pue_ttm: float
    ups_loss: float = 0.045
    free_cooling_c: float = 8.0
    cooling_per_c: float = 0.03
    office_kw: float = 0.0
    racks_per_side: int = 2
    drift: Drift | None = None


@dataclass(frozen=True, slots=True)
class Overheads:
    """Float powers on the slot grid before calibration. [W]"""

    it: Float64
    fixed: Float64
    cooling: Float64
    fouling: Float64


class Plant:
    """True cumulative energies of one facility on the slot grid.

    Parameters
    ----------
    spec
        Size and targets.
    seed
        Seeds the phases of load noise and weather. [-]
    until_ms
        End of the history, on which the calibration of the targets depends. [ms UTC]
    ttm_ms
        The window in which `spec.pue_ttm` shall hold. [ms UTC]
    """

    def __init__(self, spec: PlantSpec, seed: int, until_ms: int, ttm_ms: tuple[int, int]) -> None:
        self.spec = spec
        self.seed = seed
        self.until_ms = until_ms
        self.start_ms = slot_of(until_ms - HISTORY_DAYS * DAY_MS) - SLOT_MS
        self.end_ms = slot_of(until_ms + AHEAD_DAYS * DAY_MS)
        self._ttm_ms = ttm_ms
        self._first_ms = self.start_ms

    @property
    def feeds(self) -> tuple[str, ...]:
        """Names of everything that can be metered or summed."""
        rows = (f"it-{side}{number}" for side in "ab" for number in range(1, self.spec.racks_per_side + 1))
        return (*_FEEDS, *rows)

    def keep(self, feeds: Iterable[str], from_ms: int) -> None:
        """Let go of all other feeds and of the time before: a server of live values needs little."""
        first = (slot_of(from_ms) - self._first_ms) // SLOT_MS
        self._curves = {feed: self._curves[feed][first:].copy() for feed in feeds}
        self._first_ms += first * SLOT_MS

    def energy_j(self, feed: str, time_ms: Int64) -> Int64:
        """Energy through a feed from `start_ms` to each time. [J]"""
        index, within = self._locate(time_ms)
        curve = self._curves[feed]
        # Rounded down between edges, as a register does, and so never falling.
        energy: Int64 = curve[index] + (curve[index + 1] - curve[index]) * within // SLOT_MS
        return energy

    def power_w(self, feed: str, time_ms: Int64) -> Float64:
        """Power through a feed at each time. [W]"""
        index, _ = self._locate(time_ms)
        curve = self._curves[feed]
        power: Float64 = (curve[index + 1] - curve[index]) / SLOT_S
        return power

    def window_j(self, feed: str, from_ms: int, to_ms: int) -> int:
        """Energy through a feed in [from_ms, to_ms). [J]"""
        edges = self.energy_j(feed, np.array([from_ms, to_ms], np.int64))
        return int(edges[1] - edges[0])

    def true_pue(self, from_ms: int, to_ms: int) -> Fraction:
        """Exact PUE of a window: all energy but the office's, by the IT equipment's. [-]"""
        facility = self.window_j("facility", from_ms, to_ms)
        return Fraction(facility, self.window_j("it", from_ms, to_ms))

    def wet_bulb_c(self, time_ms: Int64) -> Float64:
        """Wet-bulb temperature outside. [degC]"""
        climate = self.spec.climate
        # Warmest 0.54 of the way through the year, in the middle of July, and 0.63 through the day, at three.
        year = 2 * np.pi * ((time_ms + LOCAL_MS) % YEAR_MS / YEAR_MS - 0.54)
        day = 2 * np.pi * (_day_fraction(time_ms) - 0.63)
        weather = self._noise("weather", time_ms, shortest_h=60, longest_h=300)
        swing: Float64 = climate.annual_c * np.cos(year) + climate.daily_c * np.cos(day)
        return climate.mean_c + swing + climate.weather_c * weather

    @cached_property
    def _slots(self) -> Int64:
        """Start of every slot. [ms UTC]"""
        return np.arange(self.start_ms, self.end_ms, SLOT_MS, dtype=np.int64)

    @cached_property
    def _curves(self) -> dict[str, Int64]:
        """Cumulative energies at every slot's edge, computed on first use. [J]"""
        return {name: np.concatenate(([0], np.cumsum(energy))) for name, energy in self._per_slot().items()}

    def _locate(self, time_ms: Int64) -> tuple[Int64, Int64]:
        if np.any(time_ms < self._first_ms) or np.any(time_ms >= self.end_ms):
            raise Fatal(
                f"the simulated plant is defined for {AHEAD_DAYS} days after its history and {HISTORY_DAYS} before; "
                "start a new demo"
            )
        offset = time_ms - self._first_ms
        return offset // SLOT_MS, offset % SLOT_MS

    def _noise(self, name: str, time_ms: Int64, shortest_h: float, longest_h: float) -> Float64:
        """Smooth noise in about [-1, 1]: eight sines whose periods share no multiple."""
        rng = np.random.default_rng([self.seed, *name.encode()])
        periods_ms = 3_600_000 * np.geomspace(shortest_h, longest_h, 8) * rng.uniform(0.9, 1.1, 8)
        phases = rng.uniform(0, 2 * np.pi, 8)
        waves = (np.sin(2 * np.pi * time_ms / period + phase) for period, phase in zip(periods_ms, phases, strict=True))
        total: Float64 = np.sum(list(waves), axis=0) / 3
        return total

    def _it_w(self) -> Float64:
        local = self._slots + LOCAL_MS
        years = (self._slots - self.start_ms) / YEAR_MS
        daily = 0.04 * np.cos(2 * np.pi * (_day_fraction(self._slots) - 0.6))
        # Day 0 of 1970 was a Thursday: + 4 counts from Sunday, so 0 is Sunday and 6 Saturday, and both are 0 modulo 6.
        is_weekend = (local // DAY_MS + 4) % 7 % 6 == 0
        noise = 0.015 * self._noise("load", self._slots, shortest_h=0.7, longest_h=480)
        shape = 1 + daily - 0.03 * is_weekend + noise
        it_w: Float64 = 1000 * self.spec.it_kw * (1 + self.spec.growth_per_year * years) * shape
        return it_w

    def _overheads(self) -> Overheads:
        it = self._it_w()
        warm = np.maximum(0, self.wet_bulb_c(self._slots) - self.spec.free_cooling_c)
        rated = 1000 * self.spec.it_kw
        fixed = self.spec.ups_loss * (0.3 * rated + 0.7 * it) + 0.012 * rated
        return Overheads(it, fixed, it * (1 + self.spec.cooling_per_c * warm), it * self._ramp())

    def _ramp(self) -> Float64:
        """0 before the drift begins, 1 at the history's end, constant afterwards."""
        if self.spec.drift is None:
            return np.zeros(len(self._slots))
        begin_ms = self.until_ms - self.spec.drift.days * DAY_MS
        ramp: Float64 = np.clip((self._slots - begin_ms) / (self.until_ms - begin_ms), 0, 1)
        return ramp

    def _scales(self, powers: Overheads) -> tuple[float, float]:
        """How much cooling and fouling it takes to meet the targets: two linear equations."""
        year = self._sums(powers, *self._ttm_ms)
        want_year = (self.spec.pue_ttm - 1) * year[0] - year[1]
        if self.spec.drift is None:
            return want_year / year[2], 0.0
        month = self._sums(powers, slot_of(self.until_ms) - 30 * DAY_MS, slot_of(self.until_ms))
        want_month = (self.spec.drift.pue_30d - 1) * month[0] - month[1]
        # PUE - 1 = (fixed + c cooling + f fouling) / it, once over the twelve months and once over the last 30 days.
        cooling, fouling = np.linalg.solve([year[2:], month[2:]], [want_year, want_month])
        return float(cooling), float(fouling)

    def _sums(self, powers: Overheads, from_ms: int, to_ms: int) -> list[float]:
        inside = (self._slots >= from_ms) & (self._slots < to_ms)
        columns = (powers.it, powers.fixed, powers.cooling, powers.fouling)
        return [float(np.sum(column[inside])) for column in columns]

    def _per_slot(self) -> dict[str, Int64]:
        """Integer joules per slot of every feed; sides and racks are cut so that parts add up exactly."""
        powers = self._overheads()
        cooling_scale, fouling_scale = self._scales(powers)
        cooling = _joules(cooling_scale * powers.cooling + fouling_scale * powers.fouling)
        it = _joules(powers.it)
        losses = _joules(powers.fixed)
        share = 0.5 + 0.02 * self._noise("sides", self._slots, shortest_h=30, longest_h=2000)
        # One side is cut off, the other is the rest: in whole joules the two add up to the whole in every slot.
        it_a, losses_a, cooling_a = (_part(whole, share) for whole in (it, losses, cooling))
        office = _joules(self._office_w())
        feeds = {
            "it": it,
            "cooling": cooling,
            "losses": losses,
            "office": office,
            "facility": it + losses + cooling,
            "it-a": it_a,
            "it-b": it - it_a,
            "main-a": it_a + losses_a + cooling_a + office,
            "main-b": (it - it_a) + (losses - losses_a) + (cooling - cooling_a),
        }
        for side in ("a", "b"):
            feeds |= self._racks(side, feeds[f"it-{side}"])
        return feeds

    def _racks(self, side: str, energy: Int64) -> dict[str, Int64]:
        """Cut one side's IT energy over its rows of racks."""
        feeds: dict[str, Int64] = {}
        rest = energy
        count = self.spec.racks_per_side
        for number in range(1, count):
            noise = 0.03 * self._noise(f"rack-{side}-{number}", self._slots, shortest_h=50, longest_h=1500)
            # Of three rows the first takes a third of all, the second half of the rest, the third what is left.
            feeds[f"it-{side}{number}"] = _part(rest, 1 / (count - number + 1) + noise)
            rest = rest - feeds[f"it-{side}{number}"]
        return feeds | {f"it-{side}{count}": rest}

    def _office_w(self) -> Float64:
        local = self._slots + LOCAL_MS
        hour = local % DAY_MS / 3_600_000
        is_working_day = (local // DAY_MS + 4) % 7 % 6 != 0
        is_open = is_working_day & (hour >= 8) & (hour < 19)
        office_w: Float64 = 1000 * self.spec.office_kw * np.where(is_open, 1.0, 0.25)
        return office_w


def _day_fraction(time_ms: Int64) -> Float64:
    fraction: Float64 = (time_ms + LOCAL_MS) % DAY_MS / DAY_MS
    return fraction


def _joules(power_w: Float64) -> Int64:
    return np.rint(power_w * SLOT_S).astype(np.int64)


def _part(whole: Int64, share: Float64) -> Int64:
    return np.floor(whole * share).astype(np.int64)
