"""Meters as hypothesis draws them: readings with every fault, and versions with every change."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from pue.contract.quality import Quality
from pue.contract.series import SLOT_MS
from pue.energy.registers import RegisterVersion
from pue.energy.slots import Samples
from tests.property.plain import Reading

START_MS = 1_900_000 * SLOT_MS
POWER_W = 1_000
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


@st.composite
def reading_lists(draw: st.DrawFn, max_size: int = 30) -> list[Reading]:
    """A register that mostly behaves, read at uneven times, with every fault a reading can have; in any order."""
    time, count = START_MS + draw(st.integers(0, SLOT_MS)), draw(st.integers(0, 999_999))
    result: list[Reading] = []
    for order in range(draw(st.integers(0, max_size))):
        step = draw(st.sampled_from(STEPS_MS))
        time += step
        count += draw(st.integers(0, (step + 30_000) * POWER_W // 1000)) if draw(st.booleans()) else step // 4000
        fault = draw(st.sampled_from(["", "", "", "", "", "", "zero", "spike", "wrap", "reset", "range", "quality"]))
        if fault == "wrap":
            count %= 10**6
        if fault == "reset":
            count = draw(st.integers(0, 1000))
        shown = {"zero": 0, "spike": count + draw(st.integers(0, 10**7)), "range": draw(st.sampled_from([-5, 2**62]))}
        marks = [0, int(Quality.TIMEOUT), int(Quality.CLOCK_UNSYNCED), int(Quality.OUT_OF_BAND), int(Quality.BACKWARDS)]
        quality = draw(st.sampled_from(marks)) if fault == "quality" else 0
        took = draw(st.sampled_from([0, 0, 300, 20_000, 100_000, -5]))
        result.append((time - took, time, shown.get(fault, count), quality, order))
        if draw(st.integers(0, 9)) == 0:
            result.append((time - took, time, shown.get(fault, count) + draw(st.integers(0, 1)), quality, order + 1))
    return draw(st.permutations(result))


Truth = tuple[list[int], list[int]]
"""Times and energies of a true cumulative curve, linear between them. [ms UTC], [J]"""


def true_j(truth: Truth, time_ms: int) -> Fraction:
    """Energy of the truth before a time; nothing flows outside it."""
    times, energies = truth
    if not times[0] < time_ms < times[-1]:
        return Fraction(energies[0] if time_ms <= times[0] else energies[-1])
    index = max(n for n, time in enumerate(times) if time <= time_ms)
    span = times[index + 1] - times[index]
    return energies[index] + Fraction((energies[index + 1] - energies[index]) * (time_ms - times[index]), span)


@st.composite
def truths(draw: st.DrawFn, slots: int = 8) -> Truth:
    """A load that changes every minute or so and never passes the limit."""
    times, energies = [START_MS], [0]
    while times[-1] < START_MS + slots * SLOT_MS:
        span = draw(st.sampled_from([20_000, 60_000, 300_000, 1_200_000]))
        times.append(times[-1] + span)
        energies.append(energies[-1] + draw(st.integers(0, span * POWER_W // 1000)))
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
    result: list[Reading] = []
    while time <= truth[0][-1]:
        taken = time - draw(st.integers(0, took_ms))
        count = int((true_j(truth, taken) + hidden_j) // step_j) + offset
        t0, t1 = taken - draw(st.integers(0, took_ms)), taken + draw(st.integers(0, took_ms))
        result.append((t0, t1, count if modulus is None else count % modulus, 0, len(result)))
        if resets and count > 10**8 and draw(st.integers(0, 9)) == 0:
            offset -= count
        time = t1 + took_ms + draw(st.sampled_from([15_000, 60_000, 200_000, SLOT_MS, 2 * SLOT_MS]))
    return result
