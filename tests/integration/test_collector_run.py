"""`pue-collector run` as a process between a real broker and scripted agents."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from collector.read import SeriesReader, open_reader
from collector.settings import load
from pue.contract.series import SeriesKey
from pue.contract.wire import Dropped
from tests.support.links import Link, link
from tests.support.plants import START_MS, FakeAgent, collector_toml, topology_of, write_topology
from tests.support.servers import Process, broker, free_port, running, wait_until

pytestmark = pytest.mark.integration

COLLECTOR = Path(sys.executable).with_name("pue-collector")
KEY = SeriesKey("km01", "main-a", "energy_import")


@dataclass
class Scene:
    """A broker, a collector, one enrolled agent and its link."""

    folder: Path
    config: Path
    agent: FakeAgent
    broker: Process
    port: int
    collector: Process
    link: Link
    reader: SeriesReader
    metrics_port: int

    def stored(self) -> list[int]:
        times: list[int] = self.reader.readings(KEY, 0, 1 << 62).t1_ms.tolist()
        return times

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return float(next((line.rpartition(" ")[2] for line in lines if line.startswith(name)), "0"))


BOTH = pytest.mark.parametrize("scene", ["mosquitto", "iotcore"], indirect=True)


@pytest.fixture
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    agent, metrics_port = FakeAgent(), free_port()
    agent.configure()
    write_topology(tmp_path / "topology.signed", topology_of([agent]))
    with broker(getattr(request, "param", "mosquitto"), tmp_path) as (process, port):
        config = collector_toml(tmp_path, port=port, extra=f"[health]\nport = {metrics_port}")
        settings = load(config)
        reader = open_reader(settings.series, settings.collector.state_dir)
        with running([COLLECTOR, "run", "--config", config], tmp_path / "collector.log") as collector:
            wait_until(lambda: "connected" in collector.log.read_text(), "the collector connects")
            with link(agent, port) as connected:
                yield Scene(tmp_path, config, agent, process, port, collector, connected, reader, metrics_port)
        reader.close()


def cycle(agent: FakeAgent, index: int) -> bytes:
    return agent.read([START_MS + 15_000 * index + 500], [index]).payload()


@BOTH
def test_a_batch_is_acked_with_its_hash_and_its_readings_are_stored(scene: Scene) -> None:
    scene.link.publish(*scene.agent.batches)
    data = scene.agent.read([START_MS + 500], [7])
    scene.link.publish(data)
    ack = scene.link.acked(2)
    assert (ack.sha256, ack.ranges, ack.refused, ack.collector) == (data.sha256, [], [], "yn-c1")
    wait_until(lambda: scene.stored() == [START_MS + 500], "the reading is stored")
    wait_until(lambda: scene.metric("pue_collector_readings_stored_total") == 1, "it is counted")
    assert scene.metric("pue_collector_batches_committed_total") == 2


def test_a_gap_is_named_until_it_is_filled_or_declared(scene: Scene) -> None:
    batches = [*scene.agent.batches, *(scene.agent.read([START_MS + 500 + n], [n]) for n in range(5))]
    scene.link.publish(batches[0], batches[1], batches[4])
    wait_until(lambda: any(ack.ranges == [(5, 5)] for ack in scene.link.acks), "the range beyond the gap is acked")
    assert scene.link.acks[-1].upto == 2
    scene.link.publish(batches[3])
    dropped = Dropped(epoch=scene.agent.epoch, from_seq=3, to_seq=3, reason="disk full")
    scene.link.publish(scene.agent.event(dropped))
    wait_until(lambda: scene.link.acks[-1].upto == 5, "the declared gap is passed over")
    scene.link.publish(batches[5])
    scene.link.acked(7)


def test_what_is_not_a_batch_is_refused_counted_and_the_rest_flows(scene: Scene) -> None:
    scene.link.publish_bytes(b"not gzip")
    forged = FakeAgent(signer=FakeAgent().signer)
    scene.link.publish(forged.configure())
    scene.link.publish(*scene.agent.batches)
    scene.link.acked(1)
    assert scene.metric('pue_collector_batches_refused_total{reason="malformed"}') == 1
    assert scene.metric('pue_collector_batches_refused_total{reason="unknown_key"}') == 1


def test_an_agent_that_comes_back_is_told_what_is_kept(scene: Scene) -> None:
    scene.link.publish(*scene.agent.batches)
    scene.link.acked(1)
    scene.link.acks.clear()
    scene.link.announce()
    assert scene.link.acked(1).sha256 == scene.agent.prev


def test_an_unknown_meter_is_kept_and_used_once_the_topology_has_it(scene: Scene) -> None:
    stranger = FakeAgent(meters=("main-a", "new-meter"), signer=scene.agent.signer, epoch=scene.agent.epoch)
    scene.link.publish(stranger.configure())
    scene.link.publish(stranger.read([START_MS, START_MS + 500], [7, 8], points=[0, 1]))
    assert scene.link.acked(2).refused == []
    wait_until(lambda: scene.stored() == [START_MS], "the known meter is used")
    wait_until(lambda: [key.meter for key in scene.reader.keys("km01")] == ["main-a"], "and the other one is not")
    assert "ungiven_meter" in [one.kind for one in scene.reader.incidents("km01")]
    write_topology(scene.folder / "topology.signed", topology_of([stranger], 2))
    wait_until(lambda: len(scene.reader.keys("km01")) == 2, "what waited is looked at again")


def test_of_two_owners_of_a_shard_the_earlier_one_stops(scene: Scene) -> None:
    """On another machine, with its own state: agents believe the later one, and the first must not go on acking."""
    folder = scene.folder / "second"
    folder.mkdir()
    config = collector_toml(folder, port=scene.port)
    config.write_text(config.read_text().replace('"yn-c1"', '"yn-c2"'))
    write_topology(folder / "topology.signed", topology_of([scene.agent]))
    with running([COLLECTOR, "run", "--config", config], folder / "collector.log") as second:
        wait_until(lambda: not scene.collector.is_running, "the first one has stopped")
        assert "collector 'yn-c2' has taken over pue/v1/s0/_/state" in scene.collector.log.read_text()
        scene.link.publish(*scene.agent.batches)
        assert scene.link.acked(1).collector == "yn-c2"
        assert second.is_running


def test_a_broken_topology_file_changes_nothing_and_is_reported_once(scene: Scene) -> None:
    (scene.folder / "topology.signed").write_bytes(b"nonsense\n")
    wait_until(lambda: "stays in force" in scene.collector.log.read_text(), "the problem is named")
    scene.link.publish(*scene.agent.batches)
    scene.link.acked(1)
    assert [item.kind.value for item in scene.reader.incidents("")] == ["bad_topology"]


@BOTH
def test_a_broker_that_goes_away_costs_one_line_and_nothing_else(scene: Scene) -> None:
    scene.link.publish(*scene.agent.batches)
    scene.link.acked(1)
    scene.broker.kill()
    wait_until(lambda: "is away" in scene.collector.log.read_text(), "the loss is named")
    time.sleep(1)  # long enough for several attempts
    assert scene.collector.log.read_text().count("is away") == 1
    scene.broker.start()
    wait_until(lambda: scene.collector.log.read_text().count("connected") == 2, "it is back")
    scene.link.acks.clear()
    wait_until(lambda: scene.link._client.is_connected(), "the agent is back")
    scene.link.publish(scene.agent.batches[0])
    scene.link.acked(1)


def test_sigterm_ends_it_within_three_seconds_and_leaves_the_shard_free(scene: Scene) -> None:
    scene.link.publish(*scene.agent.batches)
    before = scene.link.acked(1).generation
    begun = time.monotonic()
    assert scene.collector.stop() == 0
    assert time.monotonic() - begun < 3
    scene.collector.start()
    scene.link.acks.clear()
    scene.link.publish(scene.agent.batches[0])
    assert scene.link.acked(1).generation > before


def test_a_second_collector_of_the_same_shard_is_told_who_owns_it(scene: Scene) -> None:
    command = [str(COLLECTOR), "run", "--config", str(scene.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert f"owned by process {scene.collector.pid}; stop that collector first" in done.stderr
    assert "Traceback" not in done.stderr


@BOTH
def test_a_frozen_collector_gets_everything_that_queued_up(scene: Scene) -> None:
    scene.link.publish(*scene.agent.batches)
    scene.link.acked(1)
    scene.collector._child.send_signal(signal.SIGSTOP)  # type: ignore[union-attr]  # it runs
    payloads = [cycle(scene.agent, index) for index in range(60)]
    scene.link.publish_many(payloads)
    scene.collector._child.send_signal(signal.SIGCONT)  # type: ignore[union-attr]  # it runs
    scene.link.acked(61)
    wait_until(lambda: len(scene.stored()) == 60, "all are stored")
