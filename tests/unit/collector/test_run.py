"""What the main loop makes of messages and of a topology that changes, without a broker."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector import run
from collector.app import Parts, opened
from collector.intake import Arrival, Taken
from collector.run import Loop
from collector.subscribe import Message
from pue.contract.errors import Retry
from pue.contract.wire import Ack
from tests.support.collectors import bench
from tests.support.plants import FakeAgent, topology_of, write_topology


@pytest.fixture
def agent() -> FakeAgent:
    made = FakeAgent(agent="offline-1")
    made.configure()
    return made


@pytest.fixture
def parts(tmp_path: Path, agent: FakeAgent) -> Iterator[Parts]:
    with bench(tmp_path, [agent]) as desk, opened(desk.settings) as made:
        made.intake.take([Arrival.of(agent.batches[0])], made.enrolled())
        yield made


@pytest.mark.parametrize(
    ("payload", "acks"),
    [
        (b'{"v":1,"agent":"offline-1","state":"online"}', 1),
        (b'{"v":1,"agent":"offline-1","state":"offline"}', 0),
        (b"", 0),
        (b"\xff", 0),
        (b"[" * 100_000, 0),
    ],
)
def test_an_agent_is_greeted_by_its_state_whatever_its_name(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, payload: bytes, acks: int
) -> None:
    sent: list[Ack] = []
    loop = Loop(parts)
    monkeypatch.setattr(loop, "_send", lambda _, ack: sent.append(ack))
    loop._work([Message("pue/v1/s0/offline-1/state", payload, 1, 1, 1)])
    assert len(sent) == acks


def test_a_disk_that_refuses_while_the_topology_changes_is_tried_again(
    parts: Parts, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "TOPOLOGY_SECONDS", 0.0)
    answers: list[Taken | Exception] = [Retry("no room"), Taken()]

    def readmit(_: object) -> Taken:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(parts.intake, "readmit", readmit)
    loop = Loop(parts)
    write_topology(parts.topology.path, topology_of([agent], 2))
    for _ in range(3):
        loop._follow_topology()
    assert answers == []
    assert parts.enrolled().version == 2


def test_an_index_that_cannot_be_read_for_a_greeting_stops_nothing(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> list[Ack]:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(parts.intake, "greet", refuse)
    monkeypatch.setattr(run, "DISK_PAUSE_SECONDS", 0.0)
    Loop(parts)._work([Message("pue/v1/s0/offline-1/state", b'{"state":"online"}', 1, 1, 1)])
