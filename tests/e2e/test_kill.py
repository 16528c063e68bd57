"""kill -9 of every part of the chain: what the agent's spool held is stored exactly once."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from collector.ledger import LedgerReader
from collector.read import SeriesReader, open_reader
from collector.settings import load
from pue.contract.errors import Retry
from pue.contract.series import SeriesKey
from pue.contract.signing import Signer
from pue.contract.wire import DataBatch, decode_batch, unpack
from tests.support.ledgers import whole
from tests.support.modbus import CountingMeter, modbus_server
from tests.support.plants import FakeAgent, collector_toml, topology_of, write_topology
from tests.support.servers import Process, broker, running, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
KEY = SeriesKey("km01", "main-a", "energy_import")

ROUNDS = int(os.environ.get("PUE_KILL_ROUNDS", "1"))
"""Times five kills; `make soak` asks for many."""

CAREFUL = [BIN / "pue-collector"]
EAGER = [Path(sys.executable), Path("-m"), Path("tests.support.eager_collector")]

AGENT_TOML = """
[agent]
id = "km01-a1"
site = "km01"
shard = "s0"
state_dir = "{folder}/agent"
key_file = "{folder}/agent.key"
poll_seconds = {poll_seconds}
retain_days = {retain_days}
[mqtt]
host = "127.0.0.1"
port = {broker_port}
[[link]]
id = "bus1"
transport = "modbus-tcp"
host = "127.0.0.1"
port = {meter_port}
timeout_seconds = 1.0
[[meter]]
id = "main-a"
link = "bus1"
unit_id = 1
profile = "schneider-pm5xxx"
serial = "SN1"
quantities = ["energy_import"]
"""

REMEMBER_DELETED = """
CREATE TABLE IF NOT EXISTS deleted (payload BLOB);
CREATE TRIGGER IF NOT EXISTS remember AFTER DELETE ON batch BEGIN INSERT INTO deleted VALUES (old.payload); END;
"""
"""Put into the agent's spool, so that the test knows what was in it whatever the agent deletes."""


@dataclass
class Chain:
    """Meter, agent, broker and collector, the last three as processes."""

    folder: Path
    meter: CountingMeter
    agent: Process
    broker: Process
    collector: Process
    reader: SeriesReader
    is_eager: bool

    def spool(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "agent" / "spool.sqlite", timeout=30)) as db:
            return db.execute(query).fetchall()

    def spooled(self) -> list[tuple[int, int]]:
        """Time and count of every reading that was ever committed to the spool."""
        rows = self.spool("SELECT payload FROM batch UNION ALL SELECT payload FROM deleted")
        batches = [decode_batch(unpack(row[0]).line) for row in rows]
        return sorted(
            (batch.body.base_ms + t0 + dt, count)
            for batch in batches
            if isinstance(batch, DataBatch)
            for t0, dt, count in zip(batch.body.t0, batch.body.dt, batch.body.count, strict=True)
            if count is not None
        )

    def stored(self) -> list[tuple[int, int]]:
        try:
            readings = self.reader.readings(KEY, 0, 1 << 62)
        except Retry:
            return []
        return list(zip(readings.t1_ms.tolist(), readings.count.tolist(), strict=True))

    def kill_collector(self) -> None:
        """At the worst moment there is: of a careful collector any, of an eager one between its ack and its commit."""
        hold, window = self.folder / "hold", self.folder / "window"
        if self.is_eager:
            hold.touch()
            wait_until(window.exists, "acks are out and nothing is kept", 20)
            self.more_readings(2)  # the agent has deleted by then what it was told is safe
        self.collector.kill()
        hold.unlink(missing_ok=True)
        window.unlink(missing_ok=True)

    def more_readings(self, number: int = 5) -> None:
        """Wait until the meter was asked this many times more."""
        target = len(self.meter.served) + number
        wait_until(lambda: len(self.meter.served) >= target, f"{number} more readings")

    def more_kept(self) -> None:
        """Wait until the collector stores what it had not before."""
        before = len(self.stored())
        wait_until(lambda: len(self.stored()) > before, "more readings are stored", 30)


@contextmanager
def chain(folder: Path, collector: list[Path], retain_days: int) -> Iterator[Chain]:
    key, meter = Signer.generate(), CountingMeter()
    (folder / "agent.key").touch(0o600)
    (folder / "agent.key").write_text(key.to_text())
    write_topology(folder / "topology.signed", topology_of([FakeAgent(signer=key)]))
    env = {"PUE_TEST_FOLDER": str(folder), "PYTHONPATH": str(ROOT)}
    with modbus_server(meter) as meter_port, broker("iotcore", folder) as (broker_process, broker_port):
        config = collector_toml(folder, port=broker_port)
        agent = folder / "agent.toml"
        values = {"folder": folder, "broker_port": broker_port, "meter_port": meter_port, "retain_days": retain_days}
        agent.write_text(AGENT_TOML.format(**values, poll_seconds=0.2))
        (folder / "last.toml").write_text(AGENT_TOML.format(**values, poll_seconds=3600))
        settings = load(config)
        reader = open_reader(settings.series, settings.collector.state_dir)
        with (
            running([*collector, "run", "--config", config], folder / "collector.log", env) as collector_process,
            running([BIN / "pue-agent", "run", "--config", agent], folder / "agent.log") as agent_process,
        ):
            wait_until((folder / "agent" / "spool.sqlite").exists, "the spool is there")
            with closing(sqlite3.connect(folder / "agent" / "spool.sqlite", timeout=30)) as db:
                wait_until(lambda: db.execute("SELECT 1 FROM sqlite_master WHERE name = 'batch'").fetchone(), "schema")
                db.executescript(REMEMBER_DELETED)
            yield Chain(
                folder, meter, agent_process, broker_process, collector_process, reader,
                collector is EAGER,
            )  # fmt: skip
        reader.close()


def kill_everything_once(run: Chain) -> None:
    """Collector, broker, agent, then collector and broker together: five kills."""
    wait_until(lambda: len(run.stored()) >= 3, "the chain runs", 30)
    run.kill_collector()
    run.more_readings()
    run.collector.start()
    run.more_kept()

    run.broker.kill()
    run.more_readings()
    run.broker.start()
    run.more_kept()

    run.agent.kill()
    run.agent.start()
    run.more_readings()
    run.more_kept()

    run.kill_collector()
    run.more_readings()
    run.broker.kill()
    run.more_readings()
    run.broker.start()
    run.collector.start()
    run.more_kept()


def empty_the_spool(run: Chain) -> None:
    """The agent stops polling and goes on sending until everything is confirmed and projected."""
    run.agent.stop()
    run.agent.command[-1] = str(run.folder / "last.toml")
    run.agent.start()
    waiting = "SELECT seq FROM batch WHERE acked_ms IS NULL AND carried_seq IS NULL"
    wait_until(lambda: not run.spool(waiting), "every batch is confirmed", 60)
    last = max(time for time, _ in run.spooled())
    wait_until(lambda: run.stored()[-1][0] >= last, "the last reading is stored", 30)


@pytest.mark.parametrize("retain_days", [180, 0])
def test_every_reading_of_the_spool_is_stored_exactly_once(tmp_path: Path, retain_days: int) -> None:
    with chain(tmp_path, CAREFUL, retain_days) as run:
        for _ in range(ROUNDS):
            kill_everything_once(run)
        empty_the_spool(run)
        spooled = run.spooled()
        assert len(spooled) > 30
        assert run.stored() == spooled
        assert not [item for item in run.reader.incidents("km01") if item.kind not in ("unapproved_config",)]
        end = run.reader.positions()["s0"]
        places = Counter(
            (batch.epoch, batch.seq)
            for record in whole(LedgerReader(tmp_path / "collector" / "ledger" / "s0").records(0, end))
            for batch in [decode_batch(record.signed.line)]
        )
        assert set(places.values()) == {1}
        if retain_days:
            assert run.spool("SELECT count(*) FROM deleted") == [(0,)]


def test_with_the_ack_before_the_commit_the_same_kills_lose_readings(tmp_path: Path) -> None:
    with chain(tmp_path, EAGER, 0) as run:
        kill_everything_once(run)
        empty_the_spool(run)
        lost = set(run.spooled()) - set(run.stored())
        assert lost, "this test must be able to see a loss, or the one above proves nothing"
