"""Deciding when to ask whom, and turning answers into columns."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from agent.cycle import Poller, rotated
from agent.drivers import Answer, Link, failed
from agent.plan import Part, Plan, PlannedLink, PlannedMeter, PlannedPoint, RegisterRead
from agent.poll import Backoff, Reading, decode_answers, next_tick_ms, readings_bodies
from agent.settings import LinkTable
from pue.contract.decode import RegisterCode
from pue.contract.quality import Quality
from tests.unit.agent.fakes import FakeClock, config

PERIOD_MS = 1000


def test_ticks_are_multiples_of_the_period_on_the_wall_clock() -> None:
    assert next_tick_ms(1_700_000_000_001, 15_000) == 1_700_000_010_000
    assert next_tick_ms(1_700_000_010_000, 15_000) == 1_700_000_025_000


def test_a_silent_unit_is_probed_ever_less_often_up_to_twenty_polls() -> None:
    backoff = Backoff(PERIOD_MS)
    probes = []
    for now_ms in range(0, 120_000, PERIOD_MS):
        if not backoff.pausing("u", now_ms):
            probes.append(now_ms // 1000)
            backoff.note("u", Quality.TIMEOUT, now_ms)
    assert probes == [0, 1, 3, 7, 15, 31, 51, 71, 91, 111]


def test_the_pause_is_at_most_a_minute_or_one_slow_poll() -> None:
    for period_ms, longest_ms in ((15_000, 60_000), (600_000, 600_000)):
        backoff = Backoff(period_ms)
        for _ in range(20):
            backoff.note("u", Quality.TIMEOUT, 0)
        assert backoff.pausing("u", longest_ms - period_ms // 2 - 1)
        assert not backoff.pausing("u", longest_ms)


def test_an_answer_ends_the_pause_and_a_wrong_answer_is_an_answer() -> None:
    backoff = Backoff(PERIOD_MS)
    for _ in range(5):
        backoff.note("u", Quality.NO_LINK, 0)
    assert backoff.pausing("u", 1000) == Quality.NO_LINK
    backoff.note("u", Quality.MALFORMED, 1000)
    assert not backoff.pausing("u", 1001)


def point(index: int = 0, *, is_counter: bool = True, type_name: str = "u16") -> PlannedPoint:
    return PlannedPoint(index, "energy_import", "Wh", RegisterCode(type_name, 0), is_counter)


def decoded(*raws: str, is_counter: bool = True, type_name: str = "u16") -> list[Reading]:
    answers = [Answer(0, 1000, 5, raw, Quality.GOOD) for raw in raws]
    return decode_answers(answers, {0: point(is_counter=is_counter, type_name=type_name)}, {})


def test_a_counter_below_its_last_value_is_marked_and_keeps_its_value() -> None:
    assert [(reading.count, reading.quality) for reading in decoded("0005", "0004", "0004", "0009")] == [
        (5, Quality.GOOD),
        (4, Quality.BACKWARDS),
        (4, Quality.GOOD),
        (9, Quality.GOOD),
    ]


def test_a_counter_below_zero_is_marked_from_its_first_reading_on_and_keeps_its_value() -> None:
    readings = decoded("FFFF", "FFFB", "0000", "0001", type_name="i16")
    assert [(reading.count, reading.quality) for reading in readings] == [
        (-1, Quality.IMPLAUSIBLE),
        (-5, Quality.IMPLAUSIBLE | Quality.BACKWARDS),
        (0, Quality.GOOD),
        (1, Quality.GOOD),
    ]


def test_a_counter_that_rises_faster_than_its_meter_can_carry_is_marked_and_keeps_its_value() -> None:
    """10 counts a second at most, read at 0, 1, 2 ... s with 5 ms each: 10 and a twentieth, and a step."""
    limited = replace(point(), most_per_ms=Fraction(1, 100))
    counts = [100, 111, 122, 134, 144, 1000, 154]
    answers = [Answer(0, 1000 * at, 5, f"{count:04x}", Quality.GOOD) for at, count in enumerate(counts)]
    assert [(reading.count, reading.quality) for reading in decode_answers(answers, {0: limited}, {})] == [
        (100, Quality.GOOD),
        (111, Quality.GOOD),
        (122, Quality.GOOD),
        (134, Quality.IMPLAUSIBLE),
        (144, Quality.GOOD),
        (1000, Quality.IMPLAUSIBLE),
        (154, Quality.BACKWARDS),
    ]


def test_a_clock_that_was_set_back_makes_no_counter_implausible() -> None:
    limited = replace(point(), most_per_ms=Fraction(1, 100))
    answers = [Answer(0, time_ms, 5, f"{count:04x}", Quality.GOOD) for time_ms, count in ((9_000, 1), (0, 11))]
    assert [reading.quality for reading in decode_answers(answers, {0: limited}, {})] == [Quality.GOOD] * 2


def test_a_gauge_may_be_below_zero() -> None:
    assert [reading.quality for reading in decoded("FFFF", is_counter=False, type_name="i16")] == [Quality.GOOD]


def test_a_gauge_may_fall() -> None:
    assert [reading.quality for reading in decoded("0005", "0004", is_counter=False)] == [Quality.GOOD] * 2


def test_a_failed_answer_is_a_reading_with_its_reason_and_evidence() -> None:
    answer = Answer(0, 1000, 7, "8302", Quality.EXCEPTION)
    (reading,) = decode_answers([answer], {0: point()}, {})
    assert reading == Reading(0, 1000, 7, "8302", None, Quality.EXCEPTION)


def test_columns_count_from_the_first_request() -> None:
    rows = [Reading(0, 1010, 3, "01", 1, Quality.GOOD), Reading(1, 1000, 4, "", None, Quality.TIMEOUT)]
    (body,) = readings_bodies(rows)
    assert (body.base_ms, body.t0, body.dt) == (1000, [10, 0], [3, 4])
    assert (body.count, body.quality) == ([1, None], [0, 1])


def test_a_cycle_beyond_the_size_limit_becomes_several_batches() -> None:
    rows = [Reading(index, 0, 0, "00" * 100, 1, Quality.GOOD) for index in range(10)]
    bodies = list(readings_bodies(rows, max_bytes=1000))
    assert [len(body.point) for body in bodies] == [4, 4, 2]
    assert [index for body in bodies for index in body.point] == list(range(10))


# -------------------------------------------------------------------- a whole cycle


class FakeLink:
    """Answers after its delay, or times out; moves the clock itself."""

    def __init__(self, clock: FakeClock, qualities: Mapping[str, Quality], cost_s: float = 0.0) -> None:
        self.clock = clock
        self.qualities = dict(qualities)
        self.cost_s = cost_s
        self.asked: list[str] = []

    async def read(self, meter: PlannedMeter) -> list[Answer]:
        self.asked.append(meter.meter)
        quality = self.qualities[meter.meter]
        self.clock.advance(1.0 if quality & Quality.TIMEOUT else self.cost_s)
        if quality:
            return failed(meter, self.clock.wall_ms(), quality)
        return [Answer(item.index, self.clock.wall_ms(), 1, "0001", Quality.GOOD) for item in meter.points]

    async def close(self) -> None:
        return None


def poller(clock: FakeClock, poll_ms: int, *links: Link, meters: int = 3) -> Poller:
    planned = []
    for at, _ in enumerate(links):
        names = range(at * meters, (at + 1) * meters)
        table = LinkTable(id=f"l{at}", transport="modbus-tcp", host="h")
        read = RegisterRead(3, 0, 1, (Part(0, 0, 1),))
        planned.append(PlannedLink(table, tuple(PlannedMeter(f"m{n}", n, (point(n),), (read,)) for n in names)))
    return Poller(Plan(tuple(planned), poll_ms, config()), {f"l{at}": link for at, link in enumerate(links)}, clock)


def test_a_dead_unit_costs_the_others_one_timeout_per_pause_and_is_reported_in_every_cycle() -> None:
    clock = FakeClock()
    link = FakeLink(clock, {"m0": Quality.GOOD, "m1": Quality.TIMEOUT, "m2": Quality.GOOD})
    under_test = poller(clock, 5_000, link)
    for _ in range(40):
        readings = asyncio.run(under_test.poll())
        assert [reading.point for reading in readings] == [0, 1, 2]
        assert [reading.quality for reading in readings] == [Quality.GOOD, Quality.TIMEOUT, Quality.GOOD]
        clock.advance(5.0)
    assert link.asked.count("m0") == 40
    assert link.asked.count("m1") <= 9


def test_an_unreachable_gateway_is_tried_once_per_cycle_for_all_its_units() -> None:
    clock = FakeClock()
    link = FakeLink(clock, dict.fromkeys(("m0", "m1", "m2"), Quality.NO_LINK))
    readings = asyncio.run(poller(clock, 15_000, link).poll())
    assert len(link.asked) == 1
    assert [reading.quality for reading in readings] == [Quality.NO_LINK] * 3


class BrokenLink(FakeLink):
    async def read(self, meter: PlannedMeter) -> list[Answer]:
        if meter.meter == "m1":
            raise IndexError(meter.meter)
        return await super().read(meter)


def test_a_defect_in_a_driver_costs_its_meter_only() -> None:
    clock = FakeClock()
    link = BrokenLink(clock, dict.fromkeys(("m0", "m1", "m2"), Quality.GOOD))
    readings = asyncio.run(poller(clock, 15_000, link).poll())
    assert [reading.quality for reading in readings] == [Quality.GOOD, Quality.MALFORMED, Quality.GOOD]


def test_a_dead_gateway_does_not_touch_the_others() -> None:
    clock = FakeClock()
    dead = FakeLink(clock, dict.fromkeys(("m0", "m1", "m2"), Quality.NO_LINK))
    alive = FakeLink(clock, dict.fromkeys(("m3", "m4", "m5"), Quality.GOOD))
    readings = asyncio.run(poller(clock, 15_000, dead, alive).poll())
    assert [reading.quality for reading in readings] == [Quality.NO_LINK] * 3 + [Quality.GOOD] * 3


def test_a_bus_too_slow_for_the_period_starves_nobody_and_says_who_was_not_read() -> None:
    clock = FakeClock()
    link = FakeLink(clock, dict.fromkeys(("m0", "m1", "m2"), Quality.GOOD), cost_s=0.5)
    under_test = poller(clock, 1_000, link)
    missed: list[int] = []
    for _ in range(3):
        missed += [reading.point for reading in asyncio.run(under_test.poll()) if reading.quality == Quality.NOT_ASKED]
    assert sorted(missed) == [0, 1, 2]


def test_each_cycle_starts_with_another_meter() -> None:
    meters = [PlannedMeter(name, 1, ()) for name in "abc"]
    assert [meter.meter for meter in rotated(meters, 4)] == ["b", "c", "a"]
    assert rotated([], 4) == []
