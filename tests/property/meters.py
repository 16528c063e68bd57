"""Meters as hypothesis draws them: readings with every fault, and versions with every change."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from random import Random
from typing import TypeVar

import numpy as np
from hypothesis import strategies as st

from pue.contract.quality import Quality
from pue.contract.series import SLOT_MS
from pue.energy.registers import RegisterVersion
from pue.energy.slots import Samples
from tests.property.plain import Reading

START_MS = 1_900_000 * SLOT_MS
POWER_W = 1_000
T = TypeVar("T")

STEPS_MS = (15_000, 60_000, 300_000, SLOT_MS, SLOT_MS + 1, 3 * SLOT_MS, 40 * SLOT_MS)


def samples_of(readings: list[Reading]) -> Samples:
    return Samples(*np.array(readings, np.int64).reshape(-1, 5).T)


def version(**changes: object) -> RegisterVersion:
    fields: dict[str, object] = {
        "from_ms": 0,
        "to_ms": None,
        "step_j": Fraction(1),
        "modulus": None,
        "max_power_w": POWER_W,
        "replacement": None,
    }
    return RegisterVersion(**(fields | changes))  # type: ignore[arg-type]  # fields a test chooses


@st.composite
def version_lists(draw: st.DrawFn) -> list[RegisterVersion]:
    """One to three versions over the time in which readings are drawn."""
    cuts = sorted(draw(st.sets(st.integers(0, 400), max_size=2)))
    starts = [0, *(START_MS + cut * 100_000 for cut in cuts)]
    result = []
    for index, start in enumerate(starts):
        last = index == len(starts) - 1
        hole = 0 if last else draw(st.sampled_from([0, 0, 0, 200_000]))
        end = None if last else max(starts[index + 1] - hole, start + 1)
        step = draw(st.sampled_from([Fraction(1), Fraction(1), Fraction(3600), Fraction(18, 5), Fraction(2, 3)]))
        result.append(
            version(
                from_ms=start,
                to_ms=end,
                step_j=step,
                modulus=draw(st.sampled_from([None, None, 10**6, 10**9])),
                max_power_w=draw(st.sampled_from([POWER_W, 2 * POWER_W])),
                replacement=draw(st.none() | st.tuples(st.integers(0, 10**6 - 1), st.integers(0, 10**6 - 1))),
                continues=draw(st.booleans()),
            )
        )
    return result


def choices(draw: st.DrawFn) -> Iterator[int]:
    """Whole numbers from 0 to 255: drawn many at once, as one draw each takes longer than the test itself."""
    while True:
        yield from draw(st.binary(min_size=16, max_size=16))


def one_of(chosen: Iterator[int], values: Sequence[T]) -> T:
    return values[next(chosen) % len(values)]


FAULTS = ("", "", "", "", "", "", "zero", "spike", "wrap", "reset", "range", "quality")
FAULTY_MARKS = (0, int(Quality.TIMEOUT), int(Quality.CLOCK_UNSYNCED), int(Quality.OUT_OF_BAND), int(Quality.BACKWARDS))
TOOK_MS = (0, 0, 300, 20_000, 100_000, -5)


@st.composite
def reading_lists(draw: st.DrawFn, max_size: int = 30) -> list[Reading]:
    """A register that mostly behaves, read at uneven times, with every fault a reading can have; in any order."""
    time, count = START_MS + draw(st.integers(0, SLOT_MS)), draw(st.integers(0, 999_999))
    chosen = choices(draw)
    result: list[Reading] = []
    for order in range(draw(st.integers(0, max_size))):
        step = one_of(chosen, STEPS_MS)
        time += step
        is_steady = one_of(chosen, (True, False))
        count += step // 4000 if is_steady else draw(st.integers(0, (step + 30_000) * POWER_W // 1000))
        fault = one_of(chosen, FAULTS)
        if fault == "wrap":
            count %= 10**6
        if fault == "reset":
            count = draw(st.integers(0, 1000))
        shown = {"zero": 0, "range": one_of(chosen, (-5, 2**62))}
        if fault == "spike":
            shown["spike"] = count + draw(st.integers(0, 10**7))
        quality = one_of(chosen, FAULTY_MARKS) if fault == "quality" else 0
        took = one_of(chosen, TOOK_MS)
        result.append((time - took, time, shown.get(fault, count), quality, order))
        if next(chosen) < 26:
            again = shown.get(fault, count) + one_of(chosen, (0, 1))
            result.append((time - took, time, again, quality, order + 1))
    Random(draw(st.integers(0, 1000))).shuffle(result)
    return result


Truth = tuple[list[int], list[int]]
"""Times and energies of a true cumulative curve, linear between them. [ms UTC], [J]"""


def true_j(truth: Truth, time_ms: int) -> Fraction:
    """Energy of the truth before a time; nothing flows outside it."""
    times, energies = truth
    if not times[0] < time_ms < times[-1]:
        return Fraction(energies[0] if time_ms <= times[0] else energies[-1])
    index = bisect_right(times, time_ms) - 1
    span = times[index + 1] - times[index]
    return energies[index] + Fraction((energies[index + 1] - energies[index]) * (time_ms - times[index]), span)


TRUTH_SPANS_MS = (20_000, 60_000, 300_000, 1_200_000)
READ_SPANS_MS = (15_000, 60_000, 200_000, SLOT_MS, 2 * SLOT_MS)


def share_of(most: int, choice: int) -> int:
    """None or all of it as often as every tenth time, as most mistakes lie there; else in proportion."""
    return min(max(most * (choice - 26) // 204, 0), most)


@st.composite
def truths(draw: st.DrawFn, slots: int = 8) -> Truth:
    """A load that changes every minute or so and never passes the limit."""
    times, energies = [START_MS], [0]
    chosen = choices(draw)
    while times[-1] < START_MS + slots * SLOT_MS:
        span = TRUTH_SPANS_MS[next(chosen) % len(TRUTH_SPANS_MS)]
        times.append(times[-1] + span)
        energies.append(energies[-1] + share_of(span * POWER_W // 1000, next(chosen)))
    return times, energies


@st.composite
def honest_readings(
    draw: st.DrawFn,
    truth: Truth,
    *,
    took_ms: int = 0,
    modulus: int | None = None,
    resets: bool = False,
    step_j: Fraction = Fraction(1),
) -> list[Reading]:
    """What a register shows of a truth in whole steps, read at uneven times; it can wrap, and be reset."""
    offset = draw(st.integers(0, 10**9)) if modulus is None else draw(st.integers(0, modulus - 1))
    hidden_j = draw(st.integers(0, 99)) * step_j / 100  # what the register held of its next step at the start
    time = truth[0][0] + draw(st.integers(0, 900_000))
    chosen = choices(draw)
    result: list[Reading] = []
    while time <= truth[0][-1]:
        taken = time - (draw(st.integers(0, took_ms)) if took_ms else 0)
        count = int((true_j(truth, taken) + hidden_j) // step_j) + offset
        t0 = taken - (share_of(took_ms, next(chosen)) if took_ms else 0)
        t1 = taken + (share_of(took_ms, next(chosen)) if took_ms else 0)
        result.append((t0, t1, count if modulus is None else count % modulus, 0, len(result)))
        if resets and count > 10**8 and next(chosen) < 26:
            offset -= count
        time = t1 + took_ms + READ_SPANS_MS[next(chosen) % len(READ_SPANS_MS)]
    return result
