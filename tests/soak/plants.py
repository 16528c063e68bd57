"""Random plants in which everything goes wrong that meters are known for, each defect in a good part of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tests.soak.plant import (
    DAY_MS,
    HOUR_MS,
    KWH_J,
    MINUTE_MS,
    MJ_PER_J,
    PPM,
    SECOND_MS,
    Bools,
    Event,
    Flow,
    Int64,
    Meter,
    Polling,
    Register,
    bursts,
    cycling,
    lose,
    poll,
    ramping,
    wandering,
)

START_MS = 1_735_660_800_000
"""A midnight. [ms UTC]"""

KINDS = ("gaps", "resets", "rollovers", "replacements", "slow replies", "missing meters", "limit refuted", "cycling")

LIMITS_PPM = (2_000, 10_000, 30_000, 60_000)
"""From class 0.2S without transformers to the widest of the tables with both."""
COARSE = ((100_000, KWH_J), (500_000, 10 * KWH_J))
FINE = ((50_000, KWH_J // 100), (100_000, KWH_J // 100), (400_000, KWH_J // 10), (2_000_000, KWH_J))
"""Power of a feed and step of its register. [W], [J]"""


@dataclass(frozen=True, eq=False)
class Plant:
    """A facility's meters with all readings, over [from, to). [ms UTC]"""

    span: tuple[int, int]
    meters: tuple[Meter, ...]
    traits: frozenset[str]
    """Defects that are there all the time."""
    cadence_ms: int

    @property
    def days(self) -> float:
        return (self.span[1] - self.span[0]) / DAY_MS


def plant(rng: np.random.Generator, days: int) -> Plant:
    """A plant with about half of all defects."""
    span = START_MS, START_MS + days * DAY_MS
    kinds = {kind for kind in KINDS if rng.random() < 0.5}
    if "missing meters" in kinds and rng.random() < 0.5:
        kinds = {"missing meters"}  # all others known and within class: their errors alone decide
    sizes = COARSE if rng.random() < 0.6 else FINE
    peak_w, step_j = sizes[rng.integers(len(sizes))]
    polling = _polling(rng, days, "slow replies" in kinds)
    meters = _meters(rng, span, peak_w, kinds, polling.cadence_ms)
    absent = meters[rng.integers(len(meters))] if "missing meters" in kinds else None
    others = [meter for meter in meters if meter is not absent and not meter.gauge_w]
    refuted = others[rng.integers(len(others))] if "limit refuted" in kinds else None
    if refuted is not None:
        _understate(rng, span, refuted, meters, polling)
    for meter in meters:
        meter.max_power_w = meter.max_power_w or int(meter.peak_w() * rng.uniform(1.0, 1.6)) + 1
        meter.limit_ppm = int(rng.choice(LIMITS_PPM))
        step = KWH_J // 100 if meter is refuted else step_j
        usual = meter not in (absent, refuted) and not meter.gauge_w
        _count(rng, span, meter, step, kinds if usual else set())
        poll(rng, meter, span, polling)
        if "gaps" in kinds and meter is not absent and rng.random() < 0.6:
            _gaps(rng, span, meter)
        if meter is absent:
            _absent(rng, span, meter)
        for event in meter.events:
            if event.kind == "replacements":
                lose(meter, event.from_ms, event.to_ms, is_said=False)
    _err(rng, meters, absent)
    for meter in meters:
        meter.read()
        _note_wraps(meter)
    return Plant(span, tuple(meters), _traits(meters, polling, peak_w, step_j), polling.cadence_ms)


def _polling(rng: np.random.Generator, days: int, is_slow: bool) -> Polling:
    """Every 15 s to every 15 minutes; year-long histories are read less often, so that many fit into memory."""
    choice = (15, 15, 15, 60, 300, 900) if days < 100 else (60, 300, 900)
    cadence_ms = int(rng.choice(choice)) * SECOND_MS
    reply_ms = int(rng.choice((200, 3 * SECOND_MS, 55 * SECOND_MS)))
    jitter_ms = int(rng.choice((0, cadence_ms // 5, cadence_ms // 5, 3 * SECOND_MS, 3 * SECOND_MS)))
    return Polling(cadence_ms, jitter_ms, reply_ms, slow=max(4, 2 * days) if is_slow else 0)


def _meters(
    rng: np.random.Generator, span: tuple[int, int], peak_w: int, kinds: set[str], cadence_ms: int
) -> list[Meter]:
    """An incomer, two or three feeds of IT under it, at times a tenant, cooling on an IT feed, a second supply."""
    every_ms = max(cadence_ms * 4, MINUTE_MS) if span[1] - span[0] < 100 * DAY_MS else HOUR_MS

    def load(power_w: float) -> Flow:
        return wandering(rng, span, max(int(power_w), 10), every_ms)

    loads = [load(peak_w) for _ in range(rng.integers(2, 4))]
    feeds = [Meter(f"feed-{n}", (flow,), 0, 1, "main") for n, flow in enumerate(loads)]
    others: list[Meter] = []
    if rng.random() < 0.3:
        others.append(Meter("tenant", (load(peak_w / 2),), -1, 0, "main"))
    if rng.random() < 0.3:
        cooling = load(peak_w / 5)
        feeds[0].flows += (cooling,)
        others.append(Meter("cooling", (cooling,), 0, -1, "feed-0"))
    if rng.random() < 0.3:
        others.append(Meter("second", (load(peak_w),), 1, 0))
    if "cycling" in kinds:
        gauge = [feeds[-1], *(meter for meter in others if meter.name != "cooling")][-1]
        _measure_power(rng, span, gauge, peak_w, cadence_ms)
    # little is lost where a missing meter is bounded by its relatives: then only their class errors make room
    overhead = load(len(feeds) * peak_w * (rng.choice((0.001, 0.01, 0.3)) if "missing meters" in kinds else 0.3))
    through = [meter for meter in (*feeds, *others) if meter.parent == "main"]
    main = Meter("main", (*(flow for meter in through for flow in meter.flows), overhead), 1, 0)
    return [main, *feeds, *others]


def _measure_power(rng: np.random.Generator, span: tuple[int, int], meter: Meter, peak_w: int, cadence_ms: int) -> None:
    """Let a meter state only power, which cycles faster than it is read or never changes faster than declared."""
    meter.gauge_w = int(rng.choice((1, 10, 100)))
    if rng.random() < 0.7:
        period_ms = int(cadence_ms * rng.choice((0.3, 0.7, 1.01, 1.9)))
        meter.flows = (cycling(rng, span, peak_w, period_ms),)
        return
    period_ms = int(cadence_ms * rng.uniform(0.5, 12))
    slope = max(2 * SECOND_MS * peak_w // max(period_ms, MINUTE_MS), 1)
    meter.flows = (ramping(rng, span, slope, period_ms),)
    meter.ramp_w_per_s = int(slope * rng.uniform(1, 1.3))


# More than the meter can carry


def _understate(
    rng: np.random.Generator, span: tuple[int, int], meter: Meter, meters: list[Meter], polling: Polling
) -> None:
    """Let a meter carry more than its operator says: briefly between two readings, or for many minutes."""
    meter.max_power_w = int(meter.peak_w() * rng.uniform(1.0, 1.3)) + 1
    moments: list[tuple[int, int, int]] = []
    starts = np.sort(rng.integers(span[0] + HOUR_MS, span[1] - 2 * HOUR_MS, _often(span, 5)))
    for start in starts.tolist():
        brief = rng.random() < 0.7
        length = polling.cadence_ms * rng.uniform(0.2, 0.5) if brief else rng.uniform(1, 30) * MINUTE_MS
        factor = rng.uniform(8, 15) if brief else rng.uniform(1.2, 3)
        if not moments or moments[-1][1] < start:
            moments.append((start, start + int(length), int(meter.max_power_w * factor)))
    flow = bursts(moments)
    meter.overloads = [moment[:2] for moment in moments]
    by_name = {other.name: other for other in meters}
    holder: Meter | None = meter
    while holder is not None:
        holder.flows += (flow,)
        holder = by_name.get(holder.parent or "")


def _often(span: tuple[int, int], per_four_days: int) -> int:
    """So many per four days, in longer histories fewer."""
    days = (span[1] - span[0]) / DAY_MS
    return max(2, round(per_four_days * float((days / 4) ** 0.6)))


# What meters count


def _count(rng: np.random.Generator, span: tuple[int, int], meter: Meter, step_j: int, kinds: set[str]) -> None:
    """Give a meter its registers: one that goes on, one that wraps, one that is reset, or several in turn."""
    first = Register(span[0], int(rng.integers(0, 10**6)), _fraction(rng, step_j), step_j)
    chosen = [kind for kind in ("resets", "rollovers", "replacements") if kind in kinds]
    kind = str(rng.choice(chosen)) if chosen and rng.random() < 0.9 else ""
    build: dict[str, Callable[[], tuple[Register, ...]]] = {
        "resets": lambda: _resets(rng, span, meter, first),
        "rollovers": lambda: (_wrapping(rng, span, meter, first),),
        "replacements": lambda: _replacements(rng, span, meter, first, "rollovers" in kinds),
    }
    meter.registers = build[kind]() if kind else (first,)


def _fraction(rng: np.random.Generator, step_j: int) -> int:
    return int(rng.integers(0, step_j * MJ_PER_J))


def _resets(rng: np.random.Generator, span: tuple[int, int], meter: Meter, first: Register) -> tuple[Register, ...]:
    """Each time the register starts far below what it showed: a fall that a later reading hides is nobody's to see."""
    far = max(10**6, 2 * _counts(meter, first.step_j, span))
    moments = _moments(rng, span, 3)
    levels = [far * (len(moments) - n) for n in range(len(moments) + 1)]
    result = [Register(span[0], levels[0], first.fraction_mj, first.step_j)]
    for moment, level in zip(moments, levels[1:], strict=True):
        result.append(Register(moment, level, _fraction(rng, first.step_j), first.step_j))
        meter.events.append(Event("resets", moment, moment + 1))
    return tuple(result)


def _wrapping(rng: np.random.Generator, span: tuple[int, int], meter: Meter, first: Register) -> Register:
    """It wraps a few times in four days, or a few times a month."""
    share = rng.uniform(0.04, 0.15) if span[1] - span[0] < 30 * DAY_MS else rng.uniform(0.01, 0.05)
    modulus = max(int(_counts(meter, first.step_j, span) * share), 20)
    return Register(span[0], first.count % modulus, first.fraction_mj, first.step_j, modulus)


def _replacements(
    rng: np.random.Generator, span: tuple[int, int], meter: Meter, first: Register, wraps: bool
) -> tuple[Register, ...]:
    """The new register begins anywhere in its step, and nobody answers while the fitter is at work."""
    result = [_wrapping(rng, span, meter, first) if wraps else first]
    for moment in _moments(rng, span, 3):
        step_j = first.step_j * int(rng.choice((1, 1, 2)))
        count = int(rng.integers(0, 1000)) if rng.random() < 0.5 else 0
        result.append(Register(moment, count, _fraction(rng, step_j), step_j, is_declared=True))
        out = (int(rng.integers(1, 10 * MINUTE_MS)) for _ in range(2))
        meter.events.append(Event("replacements", moment - next(out), moment + next(out)))
    return tuple(result)


def _moments(rng: np.random.Generator, span: tuple[int, int], per_four_days: int) -> list[int]:
    """Ascending moments at least an hour apart."""
    moments = np.sort(rng.integers(span[0] + 2 * HOUR_MS, span[1] - 2 * HOUR_MS, _often(span, per_four_days)))
    return [int(moments[0]), *(int(later) for one, later in pairwise(moments) if later - one > HOUR_MS)]


def _counts(meter: Meter, step_j: int, span: tuple[int, int]) -> int:
    energy = sum(int(flow.energy_at(np.array([span[1]]))[0]) for flow in meter.flows)
    return energy // (step_j * MJ_PER_J) + 1


# What does not arrive


def _gaps(rng: np.random.Generator, span: tuple[int, int], meter: Meter) -> None:
    for _ in range(_often(span, 4)):
        start = int(rng.integers(span[0] + 2 * HOUR_MS, span[1] - 4 * HOUR_MS))
        length = min(int(np.exp(rng.uniform(np.log(17), np.log(900))) * MINUTE_MS), span[1] - 2 * HOUR_MS - start)
        lose(meter, start, start + length, is_said=bool(rng.random() < 0.5))
        meter.events.append(Event("gaps", start, start + length))


def _absent(rng: np.random.Generator, span: tuple[int, int], meter: Meter) -> None:
    """It never answers, stops answering, or is silent for long, with a reset or an integral's hole in it."""
    third = (span[1] - span[0]) // 3
    start, end = span[0] + int(rng.integers(0, third)), span[1] - int(rng.integers(0, third))
    how = rng.random()
    if how < 0.3:
        start, end = span
    elif how < 0.6:
        end = span[1]
    elif not meter.gauge_w:
        first = meter.registers[0]
        far = 10**6 + 2 * _counts(meter, first.step_j, span)
        begin = Register(span[0], far, first.fraction_mj, first.step_j)
        meter.registers = (begin, Register(int(rng.integers(start, end)), 0, 0, first.step_j))
    lose(meter, start, end, is_said=bool(rng.random() < 0.5))
    meter.events.append(Event("missing meters", start, end))


# How far meters are off


def _err(rng: np.random.Generator, meters: list[Meter], absent: Meter | None) -> None:
    """Errors within the class, half of them at its limit, for meters of which every energy is known.

    Where a meter's energy is unknown, the bounds speak of what flowed; where it is known, of what it would have shown
    without steps. A meter with both is therefore exact.
    """
    for meter in meters:
        is_known = len(meter.registers) == 1 or all(register.is_declared for register in meter.registers[1:])
        wraps = any(register.modulus for register in meter.registers)
        if meter is absent or meter.gauge_w or meter.overloads or wraps or not is_known:
            continue
        share = rng.choice((-1.0, 1.0)) if rng.random() < 0.5 else rng.uniform(-1, 1)
        meter.error_ppm = int(share * meter.limit_ppm)
        meter.max_power_w += meter.max_power_w * max(meter.error_ppm, 0) // PPM + 1


def _note_wraps(meter: Meter) -> None:
    if meter.gauge_w or not any(register.modulus for register in meter.registers):
        return
    time_ms = meter.taken_ms
    _, wraps = meter.counted(time_ms)
    meter.events.extend(
        Event("rollovers", int(time_ms[place]), int(time_ms[place + 1]))
        for place in np.flatnonzero(np.diff(wraps) > 0).tolist()
    )


def _traits(meters: list[Meter], polling: Polling, peak_w: int, step_j: int) -> frozenset[str]:
    traits = set()
    if step_j * SECOND_MS > peak_w * polling.cadence_ms or (peak_w, step_j) in COARSE:
        traits.add("coarse registers")
    if polling.jitter_ms:
        traits.add("jitter")
    if any(meter.gauge_w for meter in meters):
        traits.add("cycling power")
    return frozenset(traits)


# When a limit is refuted


def usable(meter: Meter) -> tuple[Int64, Int64]:
    """Times of request and reply of readings with a value that came within a minute. [ms UTC]"""
    good = _is_usable(meter)
    return meter.t0_ms[good], meter.t1_ms[good]


def _is_usable(meter: Meter) -> Bools:
    return np.asarray((meter.quality == 0) & (meter.t1_ms - meter.t0_ms <= MINUTE_MS), np.bool_)


def refutations(meter: Meter) -> tuple[Int64, Int64]:
    """Rises that no meter within its limit makes, between readings that the ones beside them confirm. [ms UTC]

    A rise between two readings refutes the limit if it passes power x time by more than the two steps it can hide, and
    still does so with the reading before in the place of the first, and the reading after in the place of the second:
    then no single false reading can have made it.
    """
    t0, t1 = usable(meter)
    count = meter.count[_is_usable(meter)]
    step_mj = meter.registers[0].step_j * MJ_PER_J

    def rises(apart: int) -> tuple[Int64, Int64]:
        rise = (count[apart:] - count[:-apart]) * step_mj
        return rise, (t1[apart:] - t0[:-apart]) * meter.max_power_w

    rise, most = rises(1)
    two, two_most = rises(2)
    slack = (2 + (int(count.max(initial=0)) >> 23)) * step_mj
    over, over_two = rise > most + slack, two > two_most + slack
    found = np.flatnonzero(over[1:-1] & over_two[:-1] & over_two[1:]) + 1
    return t0[found], t1[found + 1]
