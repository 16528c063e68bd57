"""The publisher between a spool and a broker that is only a list: what it sends, when, and what it believes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from agent.health import Metrics
from agent.mqtt import BrokerEvent, Closed, Connected, Message, Refused
from agent.publish import Publisher
from agent.spool import Key, Spool
from pue.contract.canonical import ZERO_HASH
from pue.contract.wire import Ack, DataBatch, Dropped, EventBatch, Restored, decode_batch, encode_ack
from tests.unit.agent.fakes import EPOCH, FakeClock, FakeSession, config, readings, started_spool


class Bench:
    """A publisher, its spool, and every session it opened."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.spool: Spool = started_spool(folder, self.clock)
        self.sessions: list[FakeSession] = []
        self.metrics = Metrics(self.clock)
        self.publisher = Publisher(
            "km01-a1", self.spool, self._make_session, config(), window=20, clock=self.clock, metrics=self.metrics,
            broker="b:1",
        )  # fmt: skip

    def _make_session(self, generation: int, report: Callable[[BrokerEvent], None]) -> FakeSession:
        self.sessions.append(FakeSession(generation, report))
        return self.sessions[-1]

    @property
    def session(self) -> FakeSession:
        return self.sessions[-1]

    async def settled(self) -> None:
        """Let the publisher react to everything that was reported."""
        for _ in range(20):
            await asyncio.sleep(0)
        self.publisher.appended([])
        for _ in range(20):
            await asyncio.sleep(0)

    async def connect(self, limit: int | None = None) -> None:
        await self.settled()
        self.session.report(Connected(self.session.generation, limit, 20))
        await self.settled()

    async def lose(self, reason: str = "lost") -> None:
        self.session.report(Closed(self.session.generation, reason))
        await self.settled()

    async def ack(
        self,
        upto: int,
        *,
        epoch: str = EPOCH,
        sha: str = ZERO_HASH,
        ranges: list[tuple[int, int]] | None = None,
        refused: list[tuple[int, str]] | None = None,
        generation: int = 1,
    ) -> None:
        ack = Ack(
            collector="c", generation=generation, agent="km01-a1", epoch=epoch, upto=upto, sha256=sha,
            ranges=ranges or [], refused=refused or [],
        )  # fmt: skip
        self.session.report(Message(self.session.generation, encode_ack(ack)))
        await self.settled()

    def append(self, *counts: int) -> None:
        self.publisher.appended(self.spool.append([readings(count) for count in counts]))

    def sent(self) -> list[int]:
        return [decode_batch(signed.line).seq for signed in self.session.sent]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def play(bench: Bench, scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def stage() -> None:
        work = asyncio.create_task(bench.publisher.run())
        try:
            await scene()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            bench.spool.close()

    asyncio.run(stage())


def test_on_connecting_it_says_it_is_there_leaves_its_configuration_and_sends_the_backlog(bench: Bench) -> None:
    async def scene() -> None:
        bench.spool.append([readings(1)])
        await bench.connect()
        assert bench.session.states == ["online"]
        assert bench.session.meta == [bench.spool.payload(Key(EPOCH, 1))]
        assert bench.sent() == [1, 2]

    play(bench, scene)


def test_the_brokers_taking_a_batch_changes_nothing(bench: Bench) -> None:
    async def scene() -> None:
        await bench.connect()
        bench.append(1)
        await bench.settled()
        assert bench.sent() == [1, 2]
        assert bench.spool.backlog().batches == 2
        assert bench.spool.prune(0) == 0

    play(bench, scene)


def test_live_batches_overtake_the_backlog(bench: Bench) -> None:
    async def scene() -> None:
        bench.spool.append([readings(count) for count in range(100)])
        await bench.connect()
        assert bench.sent() == list(range(1, 11))
        bench.append(7)
        assert bench.sent()[-1] == 102

    play(bench, scene)


def test_the_backlog_goes_on_as_acks_come(bench: Bench) -> None:
    async def scene() -> None:
        bench.spool.append([readings(count) for count in range(29)])
        await bench.connect()
        for upto in (10, 20, 30):
            await bench.ack(upto)
        assert bench.sent() == list(range(1, 31))
        assert bench.spool.backlog().batches == 0

    play(bench, scene)


def test_after_a_lost_connection_everything_unconfirmed_is_sent_on_a_new_one(bench: Bench) -> None:
    async def scene() -> None:
        await bench.connect()
        bench.append(1, 2)
        await bench.ack(1)
        await bench.lose()
        bench.append(3)
        bench.clock.advance(1)
        await bench.connect()
        assert len(bench.sessions) == 2
        assert bench.sent() == [2, 3, 4]

    play(bench, scene)


def test_reports_of_an_old_connection_are_dropped(bench: Bench) -> None:
    async def scene() -> None:
        await bench.connect()
        old = bench.session
        await bench.lose()
        bench.clock.advance(1)
        await bench.connect()
        old.report(Closed(old.generation, "late"))
        await bench.settled()
        assert bench.session.is_open
        assert len(bench.sessions) == 2

    play(bench, scene)


def test_silence_of_the_collector_makes_it_send_again(bench: Bench) -> None:
    async def scene() -> None:
        await bench.connect()
        bench.append(1)
        bench.clock.advance(2.1)
        await bench.settled()
        assert bench.sent() == [1, 2, 1, 2]
        bench.clock.advance(2.1)
        await bench.settled()
        assert bench.sent() == [1, 2, 1, 2]
        bench.clock.advance(2.1)
        await bench.settled()
        assert bench.sent() == [1, 2] * 3

    play(bench, scene)


def test_a_collector_that_started_anew_gets_everything_unconfirmed_at_once(bench: Bench) -> None:
    async def scene() -> None:
        await bench.connect()
        await bench.ack(0)
        bench.append(1)
        await bench.ack(0, generation=2)
        assert bench.sent() == [1, 2, 1, 2]

    play(bench, scene)


def test_a_collector_that_started_anew_gets_what_it_lost_beyond_a_gap(bench: Bench) -> None:
    async def scene() -> None:
        await bench.connect()
        bench.append(1, 2, 3)
        await bench.ack(1, ranges=[(3, 4)])
        await bench.ack(2, ranges=[(4, 4)], generation=2)
        assert bench.sent()[4:] == [3]
        await bench.ack(2, ranges=[(4, 4)], generation=2)
        await bench.ack(4, generation=2)
        assert bench.spool.backlog().batches == 0

    play(bench, scene)


def test_a_collector_restored_from_a_backup_gets_what_it_lost_and_is_told_what_is_gone(bench: Bench) -> None:
    async def scene() -> None:
        await bench.connect()
        bench.append(1, 2)
        await bench.ack(3)
        assert bench.spool.prune(0) == 2
        bench.append(3)
        await bench.ack(4)
        await bench.ack(1)
        await bench.ack(1)
        resent = [decode_batch(signed.line) for signed in bench.session.sent[4:]]
        assert [batch.seq for batch in resent] == [5, 4]
        assert isinstance(resent[0], EventBatch)
        assert isinstance(resent[0].body, Dropped)
        assert (resent[0].body.from_seq, resent[0].body.to_seq) == (2, 3)
        await bench.ack(1)
        assert bench.spool.head is not None
        assert bench.spool.head.seq == 5

    play(bench, scene)


@pytest.mark.parametrize(("upto", "sha"), [(99, "a" * 64), (2, "b" * 64)])
def test_an_ack_that_does_not_fit_our_chain_starts_a_new_epoch_and_sends_everything_in_it(
    bench: Bench, upto: int, sha: str
) -> None:
    async def scene() -> None:
        await bench.connect()
        bench.append(1, 2)
        bench.clock.advance(1)
        await bench.ack(upto, sha=sha)
        assert bench.spool.head is not None
        epoch = bench.spool.head.epoch
        assert epoch > EPOCH
        sent = [decode_batch(signed.line) for signed in bench.session.sent]
        fresh = [batch for batch in sent if batch.epoch == epoch]
        assert [batch.seq for batch in fresh] == [1, 2, 3, 4, 5]
        assert isinstance(fresh[0], EventBatch)
        assert isinstance(fresh[0].body, Restored)
        assert (fresh[0].body.old_epoch, fresh[0].body.head_seq, fresh[0].body.ack_upto) == (EPOCH, 3, upto)
        assert [batch.body.count for batch in fresh if isinstance(batch, DataBatch)] == [[1], [2]]
        await bench.ack(upto, sha=sha)
        assert bench.spool.head.epoch == epoch

    play(bench, scene)


def test_refused_batches_are_settled_kept_and_named_in_the_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        await bench.connect()
        bench.append(1)
        await bench.ack(1, refused=[(2, "unknown_meter")])
        assert bench.spool.backlog().batches == 0
        assert bench.spool.payload(Key(EPOCH, 2))

    with caplog.at_level(logging.INFO, "agent"):
        play(bench, scene)
    assert "refused batch 2" in caplog.text
    assert "unknown_meter" in caplog.text


def test_a_batch_larger_than_the_broker_takes_is_not_sent_and_said_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        await bench.connect(limit=100)
        bench.append(1)
        await bench.settled()
        assert bench.session.sent == []
        assert bench.publisher.max_packet_bytes == 100

    with caplog.at_level(logging.INFO, "agent"):
        play(bench, scene)
    assert "maximum packet size" in caplog.text


def test_the_state_of_the_broker_is_logged_once_per_change(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        await bench.settled()
        for _ in range(5):
            await bench.lose("refused")
            bench.clock.advance(60)
            await bench.settled()
        assert len(bench.sessions) == 6

    with caplog.at_level(logging.INFO, "agent"):
        play(bench, scene)
    assert caplog.text.count("not reachable (refused)") == 1


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff\x00", b"[" * 3000])
def test_rubbish_on_the_ack_topic_does_no_harm(bench: Bench, payload: bytes) -> None:
    async def scene() -> None:
        await bench.connect()
        bench.session.report(Message(bench.session.generation, payload))
        bench.session.report(Refused(bench.session.generation, "Not authorized"))
        await bench.settled()
        bench.append(1)
        assert bench.sent() == [1, 2]

    play(bench, scene)


def test_on_stopping_it_says_goodbye(bench: Bench) -> None:
    async def scene() -> None:
        await bench.connect()

    play(bench, scene)
    assert bench.session.states == ["online", "offline"]
    assert not bench.session.is_open
