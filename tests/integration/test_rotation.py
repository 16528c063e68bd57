"""A key is changed while the collector is away: nothing is lost, and whoever has the old key adds nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from collector.database import FILE, connect_read_only
from collector.promise import gaps, held
from collector.read import open_reader
from collector.settings import load
from pue.contract.series import SeriesKey
from pue.contract.signing import Signer
from pue.contract.topology import Agent, AgentKey
from tests.integration.agent_rig import AGENT, SITE, AgentProcess, modbus_link, modbus_meters, schneider_words
from tests.support.links import link
from tests.support.plants import FakeAgent, collector_toml, topology_of, write_topology
from tests.support.servers import broker, running, wait_until

pytestmark = pytest.mark.integration

COLLECTOR = Path(sys.executable).with_name("pue-collector")
KEY = SeriesKey(SITE, "main-1", "energy_import")


@pytest.fixture
def gateway() -> Iterator[int]:
    with modbus_meters({1: schneider_words(123_456_789, 1500.25)}) as port:
        yield port


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def enrol(folder: Path, version: int, keys: list[AgentKey]) -> None:
    """The agent with some keys, in a new version of the topology."""
    fake = FakeAgent(AGENT, SITE, meters=("main-1",), quantities=("energy_import", "power"))
    agent = Agent(agent=AGENT, site=SITE, shard="s0", keys=keys)
    document = msgspec.structs.replace(topology_of([fake], version), agents=[agent])
    write_topology(folder / "topology.signed", document)


def key_of(signer: Signer, to_ms: int | None = None, ended: Literal["rotated", "compromised"] = "rotated") -> AgentKey:
    return AgentKey(key=signer.key_id, public=signer.verifier.to_text(), from_ms=0, to_ms=to_ms, ended=ended)


@pytest.mark.parametrize("ended", ["rotated", "compromised"])
def test_a_rotation_during_an_outage_loses_nothing_and_lets_nobody_add(
    gateway: int, tmp_path: Path, ended: Literal["rotated", "compromised"]
) -> None:
    with broker("mosquitto", tmp_path) as (_, port):
        agent = AgentProcess(tmp_path / "a", port, links=modbus_link(gateway, 1))
        old, new = agent.signer, Signer.generate()
        enrol(tmp_path, 1, [key_of(old)])
        config = collector_toml(tmp_path, port=port)
        settings = load(config)
        collector: list[str | Path] = [COLLECTOR, "run", "--config", config]
        with agent:
            with running(collector, tmp_path / "collector.log"):
                wait_until(lambda: agent.metric("pue_agent_batches_acked_total") >= 8, "some batches are confirmed")
            wait_until(lambda: agent.metric("pue_agent_spool_unacked_batches") >= 5, "it keeps what it reads meanwhile")
            assert agent.stop() == 0
        end_ms = now_ms()
        enrol(tmp_path, 2, [key_of(old, end_ms, ended), key_of(new)])
        (agent.folder / "agent.key").write_text(new.to_text())
        time.sleep(0.01)
        with agent:
            wait_until(lambda: agent.metric("pue_agent_readings_appended_total") >= 4, "it reads on by its new key")
            with running(collector, tmp_path / "collector.log"):
                wait_until(lambda: agent.metric("pue_agent_spool_unacked_batches") == 0, "everything is confirmed")
                thief = FakeAgent(AGENT, SITE, signer=old, config="ab" * 32)
                with link(thief, port) as stolen:
                    stolen.publish(thief.read([end_ms - 5000], [1], sent_ms=end_ms - 4000))
                    wait_until(lambda: stolen.acks, "it is answered")
                assert agent.stop() == 0
        with closing(connect_read_only(settings.collector.state_dir / FILE)) as db:
            assert db.execute("SELECT agent, key FROM key_end").fetchall() == [(AGENT, old.key_id)]
            waiting = {(gap.epoch, gap.why.partition(" ")[0]) for gap in gaps(db)}
            aside = {item.reason for item in held(db)}
        if ended == "rotated":  # within a day it may have been on its way: kept, and read by no configuration
            assert (waiting, aside) == ({(thief.epoch, "kept:")}, set())
        else:  # as is what the broker had kept of the old key's batches, which were signed anew
            assert (waiting, aside) == (set(), {"key_window"})
        with closing(open_reader(settings.series, settings.collector.state_dir)) as reader:
            stored = reader.readings(KEY, 0, 1 << 62)
            kinds = {incident.kind.value for incident in reader.incidents(SITE)}
        signed = sum(text.count("readings appended") and int(text.split()[0]) for text in stopped(agent))
        assert 2 * len(stored.t1_ms) == signed, "two points a cycle, each cycle once"
        assert "chain_mismatch" not in kinds


def stopped(agent: AgentProcess) -> list[str]:
    """What the agent said at the end of each run: how many readings it had appended."""
    return [line.partition("stopped; ")[2] for line in agent.log().splitlines() if "stopped; " in line]
