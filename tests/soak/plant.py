"""Plants whose true energy is known to the millijoule, and what their meters say of it.

A second opinion on `pue.energy`, so nothing of it is used here: loads are steps of power, energy is power x time in
whole millijoules, a register is a floor. All times are whole milliseconds UTC, all powers whole watts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SECOND_MS = 1_000
MINUTE_MS = 60_000
SLOT_MS = 900_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
MJ_PER_J = 1_000
KWH_J = 3_600_000
PPM = 1_000_000
TIMED_OUT = 1
"""Quality of a reading that never came."""


@dataclass(frozen=True, eq=False)
class Flow:
    """Power that from each moment to the next is constant, or rises by a slope. [ms], [W], [W/s]

    `energy_mj` is the energy before each moment.
    """

    from_ms: Int64
    power_w: Int64
    slope_w_per_s: Int64
    energy_mj: Int64

    @classmethod
    def of(cls, from_ms: Int64, power_w: Int64, slope_w_per_s: Int64 | None = None) -> Self:
        """Nothing flows before the first moment."""
        slope = np.zeros_like(power_w) if slope_w_per_s is None else slope_w_per_s
        energy = np.cumsum(_energy_mj(power_w[:-1], slope[:-1], np.diff(from_ms)))
        return cls(from_ms, power_w, slope, np.concatenate((np.zeros(1, np.int64), energy)))

    def energy_at(self, time_ms: Int64) -> Int64:
        """Energy before each time: W x ms = mJ without any rounding, but of what a slope adds since its moment."""
        place = np.maximum(np.searchsorted(self.from_ms, time_ms, side="right") - 1, 0)
        since = np.maximum(time_ms - self.from_ms[place], 0)
        return np.asarray(
            self.energy_mj[place] + _energy_mj(self.power_w[place], self.slope_w_per_s[place], since), np.int64
        )

    def power_at(self, time_ms: Int64) -> Int64:
        """Power at each time."""
        place = np.searchsorted(self.from_ms, time_ms, side="right") - 1
        at = np.maximum(place, 0)
        power = self.power_w[at] + self.slope_w_per_s[at] * (time_ms - self.from_ms[at]) // SECOND_MS
        return np.where(place >= 0, power, 0)


def _energy_mj(power_w: Int64, slope_w_per_s: Int64, time_ms: Int64) -> Int64:
    return np.asarray(power_w * time_ms + slope_w_per_s * time_ms * time_ms // (2 * SECOND_MS), np.int64)


def wandering(rng: np.random.Generator, span: tuple[int, int], peak_w: int, every_ms: int) -> Flow:
    """A load that takes a new power, from a tenth to all of its peak, every so often."""
    count = 2 * (span[1] - span[0]) // every_ms + 2
    from_ms = span[0] + np.cumsum(rng.integers(every_ms // 4, every_ms, count))
    from_ms[0] = span[0]
    level = 0.55 + 0.45 * np.sin(np.cumsum(rng.normal(0, 0.15, count)) + rng.uniform(0, 6))
    return Flow.of(from_ms, np.rint(level * peak_w).astype(np.int64))


def cycling(rng: np.random.Generator, span: tuple[int, int], peak_w: int, period_ms: int) -> Flow:
    """A load that switches on and off faster than anybody looks, at times almost in step with whoever does."""
    count = (span[1] - span[0]) // period_ms + 2
    start = span[0] + np.arange(count, dtype=np.int64) * period_ms
    on = rng.integers(period_ms // 8, period_ms - period_ms // 8, count if rng.random() < 0.5 else 1)
    from_ms = np.stack((start, start + on), axis=1).ravel()
    low_w = int(rng.integers(0, peak_w // 4))
    return Flow.of(from_ms, np.tile(np.array([peak_w, low_w], np.int64), count))


def ramping(rng: np.random.Generator, span: tuple[int, int], slope_w_per_s: int, period_ms: int) -> Flow:
    """A load that rises and falls all the time, never faster than its slope."""
    half_ms = max(period_ms // 2 // SECOND_MS, 1) * SECOND_MS
    count = (span[1] - span[0]) // (2 * half_ms) + 2
    from_ms = span[0] + np.arange(2 * count, dtype=np.int64) * half_ms
    low_w = int(rng.integers(100, 10_000))
    turns = np.array([low_w, low_w + slope_w_per_s * half_ms // SECOND_MS], np.int64)
    return Flow.of(from_ms, np.tile(turns, count), np.tile(np.array([slope_w_per_s, -slope_w_per_s]), count))


def bursts(moments: Sequence[tuple[int, int, int]]) -> Flow:
    """Power only within [from, to), for disjoint ascending (from, to, power)."""
    from_ms = np.array([edge for moment in moments for edge in moment[:2]], np.int64)
    return Flow.of(from_ms, np.array([power for moment in moments for power in (moment[2], 0)], np.int64))


@dataclass(frozen=True)
class Register:
    """One counter of a meter from a moment on: its step, its modulus, and what it shows there.

    `fraction_mj` has been counted towards the next step already; nobody sees it.
    """

    from_ms: int
    count: int
    fraction_mj: int
    step_j: int
    modulus: int | None = None
    is_declared: bool = False
    """Whether a replacement with the final and the first count was declared; else the change is a reset."""


@dataclass(frozen=True)
class Event:
    """Something that befell a meter. [ms UTC]"""

    kind: str
    from_ms: int
    to_ms: int


@dataclass(eq=False)
class Meter:
    """A meter, what flows through it, and every reading of it.

    Attributes
    ----------
    flows
        What flows through the meter: their sum.
    a, b
        Weights in E_DC and in E_IT.
    error_ppm, limit_ppm
        How far the meter is off, the same at every load, and the most that its class allows.
    max_power_w
        What the operator says it can carry at most.
    gauge_w
        Step of a meter that states only power; 0 for one with registers.
    ramp_w_per_s
        The fastest that its power changes, if the operator said so.
    registers
        Its registers, ascending in time.
    overloads
        When more flows than `max_power_w`.
    """

    name: str
    flows: tuple[Flow, ...]
    a: int
    b: int
    parent: str | None = None
    error_ppm: int = 0
    limit_ppm: int = 0
    max_power_w: int = 0
    gauge_w: int = 0
    ramp_w_per_s: int | None = None
    registers: tuple[Register, ...] = ()
    events: list[Event] = field(default_factory=list)
    overloads: list[tuple[int, int]] = field(default_factory=list)
    t0_ms: Int64 = field(default_factory=lambda: np.empty(0, np.int64))
    t1_ms: Int64 = field(default_factory=lambda: np.empty(0, np.int64))
    taken_ms: Int64 = field(default_factory=lambda: np.empty(0, np.int64))
    count: Int64 = field(default_factory=lambda: np.empty(0, np.int64))
    quality: Int64 = field(default_factory=lambda: np.empty(0, np.int64))

    def indicated_mj(self, time_ms: Int64) -> Int64:
        """What the meter has measured before each time, could it be read without steps."""
        energy = np.add.reduce([flow.energy_at(time_ms) for flow in self.flows])
        return np.asarray(energy + energy // PPM * self.error_ppm + energy % PPM * self.error_ppm // PPM, np.int64)

    def power_w(self, time_ms: Int64) -> Int64:
        """What a gauge would show without steps."""
        power = np.add.reduce([flow.power_at(time_ms) for flow in self.flows])
        return np.asarray(power + power * self.error_ppm // PPM, np.int64)

    def peak_w(self) -> int:
        """A power that the meter's indication never passes."""
        peak = sum(int(flow.power_w.max()) for flow in self.flows)
        return peak + peak * max(self.error_ppm, 0) // PPM + 1

    def read(self) -> None:
        """Fill in what every reading says."""
        if self.gauge_w:
            self.count = self.power_w(self.taken_ms) // self.gauge_w
        else:
            self.count, _ = self.counted(self.taken_ms)
        self.count = np.where(self.quality == 0, self.count, 0)

    def counted(self, time_ms: Int64) -> tuple[Int64, Int64]:
        """What the registers show at each time, and how often each had wrapped by then."""
        shown, wraps = np.zeros_like(time_ms), np.zeros_like(time_ms)
        for register in self.registers:
            mine = time_ms >= register.from_ms
            start_mj = self.indicated_mj(np.array([register.from_ms]))[0]
            since_mj = self.indicated_mj(time_ms[mine]) - start_mj + register.fraction_mj
            count = register.count + since_mj // (register.step_j * MJ_PER_J)
            shown[mine] = count if register.modulus is None else count % register.modulus
            wraps[mine] = 0 if register.modulus is None else count // register.modulus
        return shown, wraps

    def final_count(self, index: int) -> int:
        """What a register shows at the very moment in which the next one begins."""
        moment = self.registers[index + 1].from_ms
        earlier = Meter(self.name, self.flows, 0, 0, error_ppm=self.error_ppm, registers=self.registers[: index + 1])
        return int(earlier.counted(np.array([moment]))[0][0])


# How meters are read


@dataclass(frozen=True)
class Polling:
    """How often a meter is asked, how late that can be, and how long its replies take. [ms]"""

    cadence_ms: int
    jitter_ms: int
    reply_ms: int
    slow: int
    """How many of its replies take minutes."""


def poll(rng: np.random.Generator, meter: Meter, span: tuple[int, int], polling: Polling) -> None:
    """Ask a meter again and again; each value is true at some moment between its request and its reply.

    A request waits for the reply before, but for half of the slow ones: those come in when others were asked since.
    """
    count = (span[1] - span[0]) // polling.cadence_ms
    t0 = span[0] + np.arange(count, dtype=np.int64) * polling.cadence_ms
    t0 = t0 + rng.integers(0, polling.jitter_ms + 1, count)
    took = rng.integers(20, polling.reply_ms + 1, count)
    keep = np.ones(count, np.bool_)
    overtaken = np.zeros(count, np.bool_)
    for index in rng.choice(count - 1, polling.slow, replace=False).tolist() if polling.slow else ():
        took[index] = 1 + int(np.exp(rng.uniform(np.log(MINUTE_MS), np.log(HOUR_MS))))
        overtaken[index] = rng.random() < 0.5
        meter.events.append(Event("slow replies", int(t0[index]), int(t0[index] + took[index])))
    for index in np.flatnonzero(t0[:-1] + took[:-1] >= t0[1:]).tolist():
        if keep[index] and not overtaken[index]:
            keep[index + 1 : np.searchsorted(t0, t0[index] + took[index], side="right")] = False
    t0, took = t0[keep], took[keep]
    taken = t0 + (rng.random(len(t0)) * (took + 1)).astype(np.int64)
    order = np.argsort(t0 + took, kind="stable")
    meter.t0_ms, meter.taken_ms = t0[order], taken[order]
    meter.t1_ms = meter.t0_ms + took[order]
    unlike = np.append(True, np.diff(meter.t1_ms) > 0)
    meter.t0_ms, meter.taken_ms, meter.t1_ms = meter.t0_ms[unlike], meter.taken_ms[unlike], meter.t1_ms[unlike]
    meter.quality = np.zeros(len(meter.t1_ms), np.int64)


def lose(meter: Meter, from_ms: int, to_ms: int, *, is_said: bool) -> None:
    """No reading of the meter in [from, to); what was asked either timed out or was not kept at all."""
    lost = (meter.t1_ms >= from_ms) & (meter.t0_ms < to_ms)
    if is_said:
        meter.quality[lost] = TIMED_OUT
        return
    for name in ("t0_ms", "t1_ms", "taken_ms", "quality"):
        setattr(meter, name, getattr(meter, name)[~lost])
