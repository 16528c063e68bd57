"""The agent as put together: what it keeps in a cycle, its clock, its health, its log."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app import Agent
from agent.clock import JumpDetector, SystemClock
from agent.health import Metrics, age_seconds, quality_label, serving
from agent.logs import JsonLines, report_loop_trouble
from agent.plan import make_plan
from agent.poll import Reading
from agent.settings import load_settings
from agent.spool import Spool
from pue.contract.errors import Fatal, Retry
from pue.contract.quality import Quality
from pue.contract.wire import ClockJump, DataBatch, EventBatch, NotKept, Readings, decode_batch, unpack
from tests.unit.agent.fakes import EPOCH, FakeClock, started_spool
from tests.unit.agent.test_settings import GOOD, write


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    opened = started_spool(tmp_path / "state", clock, max_mb=1)
    yield opened
    opened.close()


@pytest.fixture
def agent(tmp_path: Path, spool: Spool, clock: FakeClock) -> Agent:
    settings, profiles = load_settings(write(tmp_path, GOOD))
    return Agent(settings, make_plan(settings, profiles, "test"), {}, spool, Metrics(clock), clock)


def reading(raw: str = "0001") -> Reading:
    return Reading(0, 1000, 1, raw, 1, Quality.GOOD)


def bodies(spool: Spool) -> list[object]:
    batches = (decode_batch(unpack(spool.payload(key)).line) for key in spool.unsettled(None, 1000))
    return [batch.body for batch in batches if isinstance(batch, DataBatch | EventBatch)]


def test_a_cycle_is_one_batch(agent: Agent, spool: Spool) -> None:
    agent._keep([reading(), reading()])
    (body,) = bodies(spool)
    assert getattr(body, "count", None) == [1, 1]


@pytest.mark.parametrize("step_ms", [5_000, -3_600_000])
def test_a_stepped_clock_is_reported_before_the_readings_that_follow(
    step_ms: int, agent: Agent, spool: Spool, clock: FakeClock
) -> None:
    agent._keep([reading()])
    clock.advance(15)
    clock.wall += step_ms
    agent._keep([reading()])
    clock.advance(15)
    agent._keep([reading()])
    kinds = [type(body).__name__ for body in bodies(spool)]
    assert kinds == ["Readings", "ClockJump", "Readings", "Readings"]
    event = bodies(spool)[1]
    assert isinstance(event, ClockJump)
    assert event.step_ms == step_ms


def test_a_drifting_clock_is_no_jump(clock: FakeClock) -> None:
    detector = JumpDetector(clock)
    for _ in range(100):
        clock.advance(15)
        clock.wall += 900
        assert detector.step_ms() == 0


def test_a_full_spool_is_said_once_and_taken_up_again_when_there_is_room(
    agent: Agent, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "agent"):
        for _ in range(300):
            agent._keep([reading(os.urandom(400).hex()) for _ in range(40)])
            if agent._lost:
                break
        agent._keep([reading()])
        assert caplog.text.count("readings are lost") == 1
        head = spool.head
        assert head is not None
        spool.settle(EPOCH, [(1, head.seq)], head.seq)
        agent._keep([reading()])
    assert "takes readings again" in caplog.text
    said, kept = (decode_batch(unpack(spool.payload(key)).line).body for key in spool.unsettled(None, 10))
    assert isinstance(said, NotKept)
    assert (said.cycles, "spool_max_mb" in said.reason) == (2, True)
    assert isinstance(kept, Readings)


def test_readings_that_are_kept_are_not_called_lost_because_old_ones_cannot_be_deleted(
    agent: Agent, spool: Spool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: float) -> int:
        raise Retry("the spool cannot be written (disk I/O error)")

    monkeypatch.setattr(spool, "prune", refuse)
    with caplog.at_level(logging.INFO, "agent"):
        agent._keep([reading()])
    assert "readings are lost" not in caplog.text
    assert "disk I/O error" in caplog.text
    assert agent._metrics.total_appended == 1
    assert len(spool.unsettled(None, 10)) == 2


# -------------------------------------------------------------------- health and log


def test_metrics_are_served_on_loopback_only_while_running(clock: FakeClock) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    metrics = Metrics(clock)
    metrics.count_readings([0, 0, int(Quality.TIMEOUT), int(Quality.BACKWARDS)])
    with serving(metrics, port), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    assert 'pue_agent_readings_total{quality="good"} 3.0' in text
    assert 'pue_agent_readings_total{quality="timeout"} 1.0' in text
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)


def test_a_port_in_use_is_named(clock: FakeClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Fatal, match=f"health.port {port} cannot be opened"), serving(Metrics(clock), port):
            pass


def test_without_a_health_table_nothing_is_served(clock: FakeClock) -> None:
    with serving(Metrics(clock), None):
        pass


@pytest.mark.parametrize(
    ("quality", "label"),
    [
        (Quality.GOOD, "good"),
        (Quality.BACKWARDS, "good"),
        (Quality.EXCEPTION | Quality.UNSUPPORTED, "exception"),
        (Quality.TIMEOUT | Quality.MALFORMED, "timeout"),
        (Quality.RANGE, "range"),
    ],
)
def test_a_reading_is_counted_under_its_first_reason(quality: Quality, label: str) -> None:
    assert quality_label(quality) == label


def test_the_age_of_nothing_is_zero() -> None:
    assert age_seconds(None, 5000) == 0
    assert age_seconds(3000, 5000) == 2
    assert age_seconds(6000, 5000) == 0


def record(message: str) -> logging.LogRecord:
    try:
        raise ValueError(message)
    except ValueError:
        return logging.LogRecord("agent.x", logging.WARNING, "f", 1, "meter %s", ("m1",), sys.exc_info())


def test_the_log_is_one_json_object_a_line_and_keeps_tracebacks_for_debug() -> None:
    quiet = json.loads(JsonLines(debug=False).format(record("x")))
    assert {key: quiet[key] for key in ("level", "part", "message")} == {
        "level": "warning",
        "part": "agent.x",
        "message": "meter m1",
    }
    assert "traceback" not in quiet
    assert "ValueError" in json.loads(JsonLines(debug=True).format(record("x")))["traceback"]


def test_trouble_in_the_event_loop_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async def trouble() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(report_loop_trouble)
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with caplog.at_level(logging.INFO, "agent"):
        asyncio.run(trouble())
    assert "ZeroDivisionError" in caplog.text
    assert len(caplog.records) == 1


def test_the_system_clock_tells_wall_and_monotonic_time() -> None:
    assert SystemClock().wall_ms() > 1_700_000_000_000
    assert SystemClock().mono_ns() <= SystemClock().mono_ns()
