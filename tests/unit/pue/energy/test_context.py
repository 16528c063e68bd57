"""How far slots depend on readings around them: readings that decide, and a run of pairs that drains a bucket.

The register here has a step of 1 J and a maximum power of 1 kW. Its bucket holds 1000 x 1 + 60,000 x 1000 = 60,001,000
mJ, and a pair of readings a minute apart drains 1000 x 60,000 - 1000 x rise = 60,000,000 - 1000 x rise mJ.
"""

from __future__ import annotations

from fractions import Fraction

import pytest

from pue.contract.quality import Quality
from pue.energy.context import CONTEXT_SAMPLES, Neighbour, Surroundings, is_calm
from pue.energy.versions import RegisterVersion
from tests.unit.pue.meters import MINUTE_MS, version


def outward(*rises: int, apart_ms: int = MINUTE_MS, took_ms: int = 0, idle: int = 40) -> list[Neighbour]:
    """Readings from a moment backwards: pairs with these rises, the nearest first, and before them idle ones."""
    counts = [10**7]
    for rise in (*rises, *[0] * idle):
        counts.append(counts[-1] - rise)
    times = [10**10 - place * apart_ms for place in range(len(counts))]
    return [(time - took_ms, time, count, 0) for time, count in zip(times, counts, strict=True)]


def around(*versions: RegisterVersion, gauge: bool = False) -> Surroundings:
    return Surroundings(versions or [version()], gauge=gauge)


def needed(readings: list[Neighbour], *versions: RegisterVersion, gauge: bool = False) -> int | None:
    """Which reading is the farthest that slots need, counted from 1."""
    return number(readings, around(*versions, gauge=gauge).needed(readings))


def touched(readings: list[Neighbour], *versions: RegisterVersion, gauge: bool = False) -> int | None:
    """Which reading is the farthest beside which a new one can change slots, counted from 1."""
    return number(readings, around(*versions, gauge=gauge).touched(readings))


def number(readings: list[Neighbour], time_ms: int | None) -> int | None:
    return None if time_ms is None else [reading[1] for reading in readings].index(time_ms) + 1


FULL = 59_999
"""A rise that leaves 1000 mJ of a minute's 60,000,000."""


@pytest.mark.parametrize(
    ("rises", "pairs"),
    [
        pytest.param((), 4, id="an idle minute drains a little less than a bucket: two of them between two ends"),
        pytest.param((FULL, 0, 0, 0), 4, id="the first pair drains nothing anyhow"),
        pytest.param((0, FULL, 0, 0), 5, id="a pair at full load drains next to nothing"),
        pytest.param((0, FULL, FULL, FULL, 0, 0), 7, id="three of them"),
        pytest.param((0, 0, FULL, 0), 5, id="60,001,000 are a bucket, but floats may err"),
        pytest.param((0, 0, 59_900, 0), 4, id="60,100,000 are enough"),
        pytest.param((50_000,) * 20, 9, id="ten million each: seven of them between two ends"),
        pytest.param((60_000, 60_000, 0, 0, 0), 5, id="a load of the maximum power is plain"),
        pytest.param((0, 60_001, 0, 0, 0, 0), 6, id="a rise that is not plain ends the run"),
        pytest.param((0, 0, 60_001, 0, 0, 0, 0), 7, id="and what was drained before it"),
        pytest.param((0, 0, -1, 0, 0, 0, 0), 7, id="so does a fall"),
    ],
)
def test_slots_need_readings_up_to_a_run_that_drains_a_bucket_and_sixteen_more(
    rises: tuple[int, ...], pairs: int
) -> None:
    assert needed(outward(*rises)) == 1 + pairs + CONTEXT_SAMPLES


@pytest.mark.parametrize(
    ("rises", "pairs"),
    [
        pytest.param((FULL,) * 15, 4, id="load between the sixteen does not matter"),
        pytest.param((0,) * 16 + (FULL,), 5, id="load behind them does"),
        pytest.param((60_001,) * 15, 4, id="nor does a leap between them"),
        pytest.param((60_001,) * 16, 5, id="a leap behind them does"),
    ],
)
def test_a_reading_touches_sixteen_and_on_to_a_run_that_drains_a_bucket(rises: tuple[int, ...], pairs: int) -> None:
    assert touched(outward(*rises)) == CONTEXT_SAMPLES + pairs


def test_onwards_is_as_far_as_backwards() -> None:
    rises = (0, 0, FULL, 60_001, 0, FULL, 0, 0)
    backwards = outward(*rises)
    onwards = [(-t0_ms, -t1_ms, -count, quality) for t0_ms, t1_ms, count, quality in backwards]
    shifted = [(t0_ms + 2 * 10**10, t1_ms + 2 * 10**10, count + 2 * 10**7, 0) for t0_ms, t1_ms, count, _ in onwards]
    assert needed(shifted) == needed(backwards) == 1 + 9 + CONTEXT_SAMPLES


def test_readings_two_minutes_apart_drain_a_bucket_with_one_pair_between_two_ends() -> None:
    assert needed(outward(apart_ms=2 * MINUTE_MS)) == 1 + 3 + CONTEXT_SAMPLES
    assert needed(outward(0, 59_938, apart_ms=2 * MINUTE_MS)) == 1 + 3 + CONTEXT_SAMPLES
    assert needed(outward(0, 60_000, apart_ms=2 * MINUTE_MS)) == 1 + 4 + CONTEXT_SAMPLES


@pytest.mark.parametrize(
    ("apart_ms", "late", "took_ms", "pairs"),
    [
        pytest.param(120_000, 2, 59_900, 3, id="60.1 s from request to request, of the only pair between two ends"),
        pytest.param(120_000, 2, 60_000, 4, id="60 s from request to request are too little"),
        pytest.param(120_000, 2, -60_000, 3, id="a request is not later than its reply"),
        pytest.param(120_000, 3, -60_000, 3, id="nor is that of the reading before"),
        pytest.param(60_000, 3, 60_000, 5, id="60 s from reply to reply, and none from request to request before"),
    ],
)
def test_a_pair_has_the_shorter_of_the_times_from_request_to_request_and_from_reply_to_reply(
    apart_ms: int, late: int, took_ms: int, pairs: int
) -> None:
    """Of idle readings one took so long; the second pair is that of the second and the third."""
    readings = outward(apart_ms=apart_ms)
    t0_ms, t1_ms, count, quality = readings[late - 1]
    readings[late - 1] = t0_ms - took_ms, t1_ms, count, quality
    assert needed(readings) == 1 + pairs + CONTEXT_SAMPLES


def test_a_run_that_drains_a_bucket_is_of_one_register() -> None:
    readings = outward()
    cut_ms = readings[2][1] + 1  # the third reading belongs to the version before
    versions = [version(to_ms=cut_ms), version(2, from_ms=cut_ms)]
    assert needed(readings, *versions) == 3 + 4 + CONTEXT_SAMPLES


def test_each_version_has_a_bucket_of_its_own() -> None:
    readings = outward()
    assert needed(readings, version(max_power_w=1000, step_j=100)) == 1 + 4 + CONTEXT_SAMPLES
    # 1000 x 60,000 + 60,000,000 = 120,000,000: two idle minutes are too little with the bound of safety.
    assert needed(readings, version(max_power_w=1000, step_j=60_000)) == 1 + 5 + CONTEXT_SAMPLES


def test_rounding_to_joules_is_no_spare_power() -> None:
    """90,000 counts of 2/3 J are the minute's 60,000 J, and levels may be rounded apart by one more."""
    step = Fraction(2, 3)
    assert needed(outward(0, 90_000, 0, 0, 0, 0), version(step)) == 1 + 6 + CONTEXT_SAMPLES
    assert needed(outward(0, 89_998, 0, 0, 0, 0), version(step)) == 1 + 5 + CONTEXT_SAMPLES


def test_a_meter_that_can_carry_nothing_never_drains_a_bucket() -> None:
    assert needed(outward(), version(max_power_w=0)) is None


def test_power_needs_and_touches_as_many_readings_as_decide() -> None:
    readings = outward(FULL, 60_001, -5)
    assert needed(readings, gauge=True) == touched(readings, gauge=True) == CONTEXT_SAMPLES + 1


@pytest.mark.parametrize("count", [0, 1, 19])
def test_of_too_few_readings_all_matter(count: int) -> None:
    readings = outward()[:count]
    assert needed(readings) is None
    assert touched(readings) is None


def test_twenty_readings_are_enough_to_touch_and_too_few_to_need() -> None:
    assert touched(outward()[:20]) == 20
    assert needed(outward()[:20]) is None
    assert needed(outward()[:21]) == 21


@pytest.mark.parametrize(
    ("reading", "usable"),
    [
        ((0, MINUTE_MS, 0, 0), True),
        ((-1, MINUTE_MS, 0, 0), False),
        ((2 * MINUTE_MS, MINUTE_MS, 0, 0), True),
        ((0, 0, -1, 0), False),
        ((0, 0, 999, 0), True),
        ((0, 0, 1000, 0), False),
        ((0, 0, 5, int(Quality.CLOCK_UNSYNCED)), True),
        ((0, 0, 5, int(Quality.TIMEOUT)), False),
        ((-1, -1, 5, 0), False),
        ((10**6 - 1, 10**6 - 1, 5, 0), True),
        ((10**6, 10**6, 5, 0), False),
    ],
)
def test_a_usable_reading_has_a_value_in_the_range_of_a_version_and_took_a_minute_at_most(
    reading: Neighbour, usable: bool
) -> None:
    assert around(version(modulus=1000, to_ms=10**6)).is_usable(reading) is usable


def test_power_may_be_negative_as_far_as_the_meter_carries_it() -> None:
    """1000 W and the step that is cut off."""
    gauge = around(gauge=True)
    assert [gauge.is_usable((0, 0, power_w, 0)) for power_w in (-1002, -1001, 1001, 1002)] == [False, True, True, False]


def test_a_time_has_the_version_that_is_valid_then() -> None:
    first, second = version(to_ms=5), version(2, from_ms=7)
    assert [around(first, second).version(time) for time in (-1, 0, 4, 5, 6, 7, 10**12)] == [
        None, first, first, None, None, second, second,
    ]  # fmt: skip


# From the request of a reading to the reply of the next, here 60 s and what the first took, 1 kW adds a count a
# millisecond; one count is cut off, and a float32 register that shows 2**30 has steps of 2**30 / 2**23 = 128.


@pytest.mark.parametrize(
    ("before", "after", "took_ms", "calm"),
    [
        pytest.param(0, 0, 0, True, id="no rise"),
        pytest.param(0, 60_001, 0, True, id="the most"),
        pytest.param(0, 60_002, 0, False, id="more"),
        pytest.param(0, 90_001, 30_000, True, id="the most since a request half a minute ago"),
        pytest.param(0, 90_002, 30_000, False, id="more since a request half a minute ago"),
        pytest.param(0, 60_001, -5000, True, id="the most since a reply before its request"),
        pytest.param(0, 60_002, -5000, False, id="more since a reply before its request"),
        pytest.param(1 << 30, (1 << 30) + 60_129, 0, True, id="the most of a large count"),
        pytest.param(1 << 30, (1 << 30) + 60_130, 0, False, id="more of a large count"),
        pytest.param(5, 4, 0, False, id="a fall"),
    ],
)
def test_readings_are_calm_if_each_is_possible_after_the_one_before(
    before: int, after: int, took_ms: int, calm: bool
) -> None:
    last = MINUTE_MS - took_ms, 2 * MINUTE_MS, after, 0
    newest = [(3 * MINUTE_MS, 3 * MINUTE_MS, after, 0), last, (MINUTE_MS - took_ms, MINUTE_MS, before, 0)]
    assert is_calm(newest, version()) is calm


@pytest.mark.parametrize(("after", "calm"), [(0, True), (59_001, True), (59_002, False), (998_999, False)])
def test_a_rollover_is_calm_if_the_rise_across_it_is_possible(after: int, calm: bool) -> None:
    """From 999,000 of 1,000,000: a thousand up to the wrap, and 59,001 since, are 60,001."""
    newest = [(MINUTE_MS, MINUTE_MS, after, 0), (0, 0, 999_000, 0)]
    assert is_calm(newest, version(modulus=10**6)) is calm
