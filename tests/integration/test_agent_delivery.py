"""The agent as a process between a Modbus gateway, a broker and a collector that acks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pue.wire import ConfigBatch
from tests.integration.agent_rig import (
    AgentProcess,
    Collector,
    Mosquitto,
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
    assert set(first.body.profiles) == {"schneider-pm5xxx"}
    assert set(collector.counts("main-1", "energy_import")) == {123_456_789}
    assert set(collector.counts("main-1", "power")) == {1_500_250}
    assert collector.chain_is_whole()
    assert collector.states[-1] == "offline"
    assert collector.meta
