"""The whole collector on a real InfluxDB: the same content as on SQLite, and nothing lost while it is away."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from collector.app import ProjectionThread, opened
from collector.intake import Arrival
from collector.rebuild import rebuild_all
from collector.stores import open_store
from pue.contract.series import SeriesKey
from pue.contract.wire import SignedLine
from pue.energy.slots import Slots
from tests.support.collectors import Bench, bench
from tests.support.plants import START_MS, FakeAgent
from tests.support.servers import Process, influxdb, wait_until

pytestmark = pytest.mark.integration

ALWAYS = (0, 1 << 62)


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, str]]:
    with influxdb(tmp_path_factory.mktemp("influx")) as running:
        yield running


def table(url: str) -> str:
    return f'store = "influxdb"\nurl = "{url}"\nbucket = "pue"'


def history(agent: FakeAgent, seed: int = 1) -> list[SignedLine]:
    """Twelve days at 15 minutes with failed reads and a gap, in a shuffled order."""
    choice = random.Random(seed)
    batches = [agent.configure()]
    for day in range(12):
        times = [START_MS + (day * 96 + slot) * 900_000 + choice.randrange(2000) for slot in range(96)]
        counts = [None if choice.random() < 0.02 else 1000 * (day * 96 + slot) for slot in range(96)]
        if day != 5:
            batches.append(agent.read(times, counts))
    rest = batches[1:]
    choice.shuffle(rest)
    return [batches[0], *rest]


def content(slots: Slots) -> dict[str, list[int]]:
    return {field.name: getattr(slots, field.name).tolist() for field in fields(slots)}


def wiped(desk: Bench) -> None:
    store = open_store(desk.settings.series)
    store.wipe()
    store.close()


def test_both_stores_hold_the_same_readings_slots_and_marks(tmp_path: Path, influx: tuple[Process, str]) -> None:
    agent = FakeAgent()
    batches, key = history(agent), SeriesKey("km01", "main-a", "energy_import")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with bench(tmp_path / "a", [agent]) as embedded, bench(tmp_path / "b", [agent], table(influx[1])) as remote:
        wiped(remote)
        for desk in (embedded, remote):
            for start in range(0, len(batches), 4):
                desk.take(batches[start : start + 4])
        one, other = embedded.reader, remote.reader
        assert content(other.slots(key, *ALWAYS)) == content(one.slots(key, *ALWAYS))
        left, right = one.readings(key, *ALWAYS), other.readings(key, *ALWAYS)
        assert len(left) == 11 * 96
        for column in fields(left):
            assert getattr(left, column.name).tolist() == getattr(right, column.name).tolist()
        before = content(other.slots(key, *ALWAYS))
        with opened(remote.settings) as parts:
            rebuild_all(parts)
        after = content(other.slots(key, *ALWAYS))
        assert {**after, "revision": before["revision"]} == before


def test_while_influxdb_is_away_batches_are_kept_and_projected_later(
    tmp_path: Path, influx: tuple[Process, str], caplog: pytest.LogCaptureFixture
) -> None:
    agent, key = FakeAgent(site="km02", agent="km02-a1"), SeriesKey("km02", "main-a", "energy_import")
    process, url = influx
    process.kill()
    stop = threading.Event()
    with bench(tmp_path, [agent], table(url)) as desk, opened(desk.settings) as parts:
        projection = ProjectionThread(parts, stop)
        projection.start()
        try:
            taken = parts.intake.take(
                [Arrival.of(agent.configure()), Arrival.of(agent.read([START_MS], [1]))], parts.enrolled()
            )
            assert taken.acks[0][1].upto == 2
            wait_until(lambda: "trying again, nothing is lost" in caplog.text, "the outage is named")
            process.start()
            wait_until(lambda: desk.reader.positions().get("s0") == 2, "the projection caught up", 40)
            assert desk.reader.readings(key, *ALWAYS).count.tolist() == [1]
        finally:
            stop.set()
            projection.join(10)
