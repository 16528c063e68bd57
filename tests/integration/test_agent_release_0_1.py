"""An agent of release 0.1, out of its own wheel, before today's collector: nothing is lost, and it can be upgraded."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from collector.database import FILE, connect_read_only
from collector.index import indexed
from collector.ledger import LedgerReader
from collector.promise import gaps
from collector.settings import load
from pue.contract.signing import Signer
from pue.contract.topology import Topology
from pue.contract.wire import decode_batch
from tests.integration.agent_rig import AGENT, SITE, AgentProcess, modbus_link, modbus_meters, schneider_words
from tests.support.ledgers import whole
from tests.support.plants import FakeAgent, collector_toml, topology_of, write_topology
from tests.support.servers import broker, running, wait_until

pytestmark = pytest.mark.integration

WHEEL = Path(__file__).parents[1] / "golden/release-0.1/pue_compliance-0.1.0-py3-none-any.whl"
COLLECTOR = Path(sys.executable).with_name("pue-collector")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's packages."""
    folder = tmp_path_factory.mktemp("release-0.1")
    with zipfile.ZipFile(WHEEL) as wheel:
        wheel.extractall(folder)
    return folder


@pytest.fixture
def gateway() -> Iterator[int]:
    with modbus_meters({1: schneider_words(123_456_789, 1500.25)}) as port:
        yield port


def enrolling(signer: Signer) -> Topology:
    return topology_of(
        [FakeAgent(AGENT, SITE, meters=("main-1",), quantities=("energy_import", "power"), signer=signer)]
    )


def test_it_loses_nothing_and_goes_on_as_todays_agent(gateway: int, release: Path, tmp_path: Path) -> None:
    with broker("mosquitto", tmp_path) as (_, port):
        agent = AgentProcess(tmp_path / "a", port, links=modbus_link(gateway, 1))
        write_topology(tmp_path / "topology.signed", enrolling(agent.signer))
        config = collector_toml(tmp_path, port=port)
        settings = load(config)
        collector: list[str | Path] = [COLLECTOR, "run", "--config", config]
        agent.packages = release
        with agent:
            with running(collector, tmp_path / "collector.log"):
                wait_until(lambda: agent.metric("pue_agent_batches_acked_total") >= 10, "the old agent takes our acks")
            wait_until(lambda: agent.metric("pue_agent_spool_unacked_batches") >= 5, "it keeps what it reads meanwhile")
            with running(collector, tmp_path / "collector.log"):
                wait_until(lambda: agent.metric("pue_agent_spool_unacked_batches") == 0, "everything is confirmed")
                assert agent.stop() == 0
                agent.packages = None
                with agent:
                    wait_until(lambda: agent.metric("pue_agent_batches_acked_total") >= 10, "today's agent goes on")
                    wait_until(lambda: agent.metric("pue_agent_spool_unacked_batches") == 0, "everything is confirmed")
                    assert agent.stop() == 0
        with closing(connect_read_only(settings.collector.state_dir / FILE)) as db:
            assert gaps(db) == []
            kept = indexed(db, "s0")
        ledger = LedgerReader(settings.collector.state_dir / "ledger" / "s0")
        batches = [decode_batch(record.signed.line) for record in whole(ledger.records(0, kept))]
        assert [batch.v for batch in batches] == sorted(batch.v for batch in batches)
        assert {batch.v for batch in batches} == {1, 2}
        assert [batch.seq for batch in sorted(batches, key=lambda one: one.seq)] == list(range(1, len(batches) + 1))
        assert len({batch.epoch for batch in batches}) == 1
