"""The agent as a process between a Modbus gateway, a broker and a collector that acks."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pue.contract.quality import Quality
from pue.contract.wire import (
    ConfigBatch,
    DataBatch,
    EventBatch,
    LinkPart,
    Manifest,
    ProfilePart,
    Restored,
    config_digest,
)
from tests.integration.agent_rig import (
    HOST,
    AgentProcess,
    Collector,
    Mosquitto,
    free_port,
    iotcore_broker,
    modbus_link,
    modbus_meters,
    schneider_words,
    wait_until,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def gateway() -> Iterator[int]:
    with modbus_meters({1: schneider_words(123_456_789, 1500.25)}) as port:
        yield port


@pytest.mark.parametrize("kind", ["mosquitto", "iotcore"])
def test_readings_of_a_modbus_meter_reach_the_collector_and_are_confirmed(
    kind: str, gateway: int, tmp_path: Path
) -> None:
    broker = Mosquitto(tmp_path) if kind == "mosquitto" else iotcore_broker(tmp_path)
    with broker as found:
        port = found.port if isinstance(found, Mosquitto) else found
        agent = AgentProcess(tmp_path / "a", port, links=modbus_link(gateway, 1))
        with Collector(port, agent.signer.verifier) as collector, agent:
            wait_until(lambda: len(collector.batches) >= 5, "five batches")
            wait_until(lambda: agent.metric("pue_agent_spool_unacked_batches") == 0, "all confirmed")
            assert agent.stop() == 0
    first = collector.in_order()[0]
    assert isinstance(first, ConfigBatch)
    assert first.seq == 1
    assert isinstance(first.body, ProfilePart)
    assert first.body.profile == "schneider-pm5xxx"
    assert set(collector.counts("main-1", "energy_import")) == {123_456_789}
    assert set(collector.counts("main-1", "power")) == {1_500_250}
    assert collector.chain_is_whole()
    assert collector.states[-1] == "offline"
    assert collector.meta


def seqs(collector: Collector) -> list[int]:
    return [batch.seq for batch in collector.in_order()]


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


def test_kill_9_of_the_agent_loses_no_committed_batch(gateway: int, mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Killed at arbitrary moments while nobody confirms; then everything that was committed arrives, in one chain."""
    agent = AgentProcess(tmp_path / "a", mosquitto.port, links=modbus_link(gateway, 1))
    committed = 0
    for round_number in range(4):
        with agent:
            wait_until(partial(has_more, agent, committed + 2), "two more batches")
            time.sleep(0.019 * round_number)
            agent.kill()
        now = batches_on_disk(agent)
        assert now >= committed
        committed = now
    with Collector(mosquitto.port, agent.signer.verifier) as collector, agent:
        wait_until(lambda: len(collector.batches) >= committed, "everything that was committed")
        wait_until(lambda: agent.metric("pue_agent_spool_unacked_batches") == 0, "all confirmed")
        assert agent.stop() == 0
    assert seqs(collector) == list(range(1, len(collector.batches) + 1))
    assert collector.chain_is_whole()
    assert len({batch.boot for batch in collector.in_order()}) == 5


def has_more(agent: AgentProcess, batches: int) -> bool:
    return batches_on_disk(agent) >= batches


def batches_on_disk(agent: AgentProcess) -> int:
    path = agent.folder / "state" / "spool.sqlite"
    if not path.exists():
        return 0
    with contextlib.closing(sqlite3.connect(path)) as db:
        try:
            return int(db.execute("SELECT coalesce(max(seq), 0) FROM batch").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def test_a_broker_that_dies_and_comes_back_empty_loses_nothing(
    gateway: int, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    agent = AgentProcess(tmp_path / "a", mosquitto.port, links=modbus_link(gateway, 1))
    with Collector(mosquitto.port, agent.signer.verifier) as collector, agent:
        wait_until(lambda: len(collector.batches) >= 3, "first batches")
        mosquitto.kill()
        wait_until(lambda: agent.metric("pue_agent_broker_connected") == 0, "the agent sees it")
        wait_until(lambda: agent.metric("pue_agent_spool_unacked_batches") >= 4, "batches kept meanwhile")
        mosquitto.start()
        wait_until(lambda: agent.metric("pue_agent_broker_connected") == 1, "connected again")
        wait_until(lambda: agent.metric("pue_agent_spool_unacked_batches") == 0, "all confirmed")
        assert agent.stop() == 0
    assert seqs(collector) == list(range(1, len(collector.batches) + 1))
    assert collector.chain_is_whole()
    assert agent.log().count("is not reachable") == 1


def test_a_broker_that_was_never_there_does_not_stop_the_polling(gateway: int, tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path / "a", free_port(), links=modbus_link(gateway, 1))
    with agent:
        wait_until(lambda: agent.metric("pue_agent_readings_appended_total") >= 6, "three cycles")
        assert agent.stop() == 0
    assert agent.log().count("is not reachable") == 1
    assert "Traceback" not in agent.log()


def test_a_collector_that_comes_late_gets_everything_and_nothing_was_deleted_for_the_brokers_ack(
    gateway: int, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    agent = AgentProcess(tmp_path / "a", mosquitto.port, links=modbus_link(gateway, 1), agent="retain_days = 0")
    with agent:
        wait_until(lambda: agent.metric("pue_agent_batches_published_total") >= 5, "the broker took five")
        wait_until(lambda: agent.metric("pue_agent_spool_unacked_batches") >= 5, "five kept")
        with Collector(mosquitto.port, agent.signer.verifier) as collector:
            wait_until(lambda: agent.metric("pue_agent_spool_unacked_batches") == 0, "all confirmed")
            assert agent.stop() == 0
    assert seqs(collector) == list(range(1, len(collector.batches) + 1))
    assert collector.chain_is_whole()


def test_a_silent_collector_gets_everything_again_until_it_speaks(
    gateway: int, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    agent = AgentProcess(tmp_path / "a", mosquitto.port, links=modbus_link(gateway, 1))
    with Collector(mosquitto.port, agent.signer.verifier, acks=False) as collector, agent:
        wait_until(lambda: collector.duplicates >= 3, "sent again")
        collector.acks = True
        wait_until(lambda: agent.metric("pue_agent_spool_unacked_batches") == 0, "all confirmed")
    assert collector.chain_is_whole()


def test_a_spool_restored_from_an_old_copy_starts_a_new_epoch_and_loses_no_reading(
    gateway: int, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """The disk's image is a week old: the collector knows more of the epoch than the agent does."""
    agent = AgentProcess(tmp_path / "a", mosquitto.port, links=modbus_link(gateway, 1))
    state = tmp_path / "a" / "state"
    with Collector(mosquitto.port, agent.signer.verifier) as collector:
        with agent:
            wait_until(lambda: len(collector.batches) >= 3, "some batches")
            agent.stop()
        shutil.copytree(state, tmp_path / "backup")
        with agent:
            wait_until(lambda: len(collector.batches) >= 9, "more batches")
            agent.stop()
        shutil.rmtree(state)
        shutil.copytree(tmp_path / "backup", state)
        known = len(collector.batches)
        with agent:
            wait_until(lambda: len({epoch for epoch, _ in collector.batches}) == 2, "a new epoch")
            wait_until(lambda: len(collector.batches) >= known + 5, "it goes on")
            wait_until(lambda: agent.metric("pue_agent_spool_unacked_batches") == 0, "all confirmed")
            agent.stop()
    fresh = [batch for batch in collector.in_order() if batch.prev_epoch is not None]
    assert isinstance(fresh[0], EventBatch)
    assert isinstance(fresh[0].body, Restored)
    assert isinstance(fresh[1], ConfigBatch)
    assert [batch.seq for batch in fresh] == list(range(1, len(fresh) + 1))


def test_a_dead_meter_is_reported_in_every_cycle_and_the_others_are_read(
    gateway: int, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    agent = AgentProcess(tmp_path / "a", mosquitto.port, links=modbus_link(gateway, 9, 1, timeout=0.15))
    with Collector(mosquitto.port, agent.signer.verifier) as collector, agent:
        wait_until(lambda: len(collector.batches) >= 15, "some cycles")
        assert "unit" not in agent.log()
        dead, alive = (collector.counts(meter, "energy_import") for meter in ("main-9", "main-1"))
        assert agent.metric('pue_agent_readings_total{quality="timeout"}') >= 10
        agent.stop()
    assert set(dead) == {None}
    assert alive.count(123_456_789) >= len(alive) - 6
    assert abs(len(dead) - len(alive)) <= 1
    for batch in collector.in_order():
        if isinstance(batch, DataBatch):
            assert [bool(quality & Quality.TIMEOUT) for quality in batch.body.quality[:2]] == [True, True]


def test_a_changed_configuration_is_sent_before_the_readings_that_use_it(
    gateway: int, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    agent = AgentProcess(tmp_path / "a", mosquitto.port, links=modbus_link(gateway, 1))
    with Collector(mosquitto.port, agent.signer.verifier) as collector:
        with agent:
            wait_until(lambda: len(collector.batches) >= 3, "some batches")
            agent.stop()
        agent.config.write_text(agent.config.read_text().replace('serial = "SN1"', 'serial = "SN2"'))
        with agent:
            wait_until(lambda: len(collector.meta) >= 2 and len(collector.batches) >= 8, "more batches")
            agent.stop()
    configs = {key: pair[1].body for key, pair in collector.batches.items() if isinstance(pair[1], ConfigBatch)}
    links = [body for _, body in sorted(configs.items()) if isinstance(body, LinkPart)]
    assert [link.meters[0].serial for link in links] == ["SN1", "SN2"]
    (_, first), (second_key, second) = sorted(
        (key, body) for key, body in configs.items() if isinstance(body, Manifest)
    )
    for key, (_, batch) in collector.batches.items():
        if isinstance(batch, DataBatch):
            assert batch.config == config_digest(first if key < second_key else second)


def test_sigterm_stops_within_two_seconds_even_while_a_meter_is_silent(mosquitto: Mosquitto, tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as black_hole:
        port = black_hole.getsockname()[1]
        agent = AgentProcess(tmp_path / "a", mosquitto.port, links=modbus_link(port, 1, timeout=30))
        with agent:
            wait_until(lambda: agent.metric("pue_agent_broker_connected") == 1, "running")
            started = time.monotonic()
            assert agent.stop() == 0
            assert time.monotonic() - started < 2
    assert "Traceback" not in agent.log()


def test_broker_accepting_but_never_answering_does_not_delay_the_stop(gateway: int, tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as black_hole:
        agent = AgentProcess(tmp_path / "a", black_hole.getsockname()[1], links=modbus_link(gateway, 1))
        with agent:
            wait_until(lambda: agent.metric("pue_agent_readings_appended_total") >= 2, "running")
            started = time.monotonic()
            assert agent.stop() == 0
            assert time.monotonic() - started < 2
    assert "Traceback" not in agent.log()
