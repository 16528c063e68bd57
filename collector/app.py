"""The collector put together from its settings."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from collector.database import connect, transaction
from collector.health import Health
from collector.incidents import Incident, IncidentKind
from collector.index import Index, filed, indexed
from collector.intake import Intake
from collector.ledger import Ledger, LedgerReader
from collector.progress import Progress, projected
from collector.project import Projector
from collector.settings import Document
from collector.stores import open_store
from collector.topology import Enrolled, TopologyFile
from pue.contract.errors import Fatal, PueError

log = logging.getLogger(__name__)

LEDGER = "ledger"
TOPOLOGIES = "topology"
"""Folders in the state directory."""
LIVE_CHUNK_READINGS = 50_000
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0


def clock_ms() -> int:
    """Wall clock. [ms UTC]"""
    return time.time_ns() // 1_000_000


def ledger_directory(state_dir: Path, shard: str) -> Path:
    """Where a shard's originals are."""
    return state_dir / LEDGER / shard


def ledger_readers(db: sqlite3.Connection, state_dir: Path, shards: Iterable[str]) -> dict[str, LedgerReader]:
    """Readers that know from the index which records behind a damaged one are genuine."""
    return {shard: LedgerReader(ledger_directory(state_dir, shard), filed(db, shard)) for shard in shards}


@dataclass(frozen=True, slots=True)
class Parts:
    """What the main thread works with."""

    settings: Document
    ledgers: dict[str, Ledger]
    index: Index
    intake: Intake
    topology: TopologyFile
    health: Health

    @property
    def ends(self) -> dict[str, int]:
        """Records that are durable, per shard."""
        return {shard: ledger.committed for shard, ledger in self.ledgers.items()}

    def enrolled(self) -> Enrolled:
        """The topology in force.

        Raises
        ------
        Fatal
            If there is none.
        """
        if self.topology.current is None:
            raise Fatal(self.topology.problem)
        return self.topology.current

    def refresh_topology(self) -> bool:
        """Look at the topology file; a bad one is an incident. True when a new version is in force."""
        before = self.topology.problem
        changed = self.topology.refresh()
        if self.topology.problem not in ("", before):
            self.report_topology()
        return changed

    def report_topology(self) -> None:
        """File what is wrong with the topology file."""
        incident = Incident(IncidentKind.BAD_TOPOLOGY, "", "", str(self.topology.path), self.topology.problem)
        with transaction(self.index.db):
            self.index.report([incident], clock_ms())


@contextmanager
def opened(settings: Document) -> Iterator[Parts]:
    """Own the shards and have everything ready; let go of it at the end.

    Raises
    ------
    Fatal
        If another process owns a shard, or a file cannot be used.
    """
    mine = settings.collector
    ledgers = {}
    with ExitStack() as stack:
        db = stack.enter_context(closing(connect(mine.state_dir)))
        for shard in mine.shards:
            known = indexed(db, shard)
            ledgers[shard] = stack.enter_context(closing(Ledger(ledger_directory(mine.state_dir, shard), known)))
        index = Index(db, ledgers)
        intake = Intake(mine.id, ledgers, index, clock_ms, mine.quarantine_mib)
        intake.recover()
        topology = TopologyFile(settings.topology.file, settings.topology.issuer_key, mine.state_dir / TOPOLOGIES)
        parts = Parts(settings, ledgers, index, intake, topology, Health())
        topology.load()
        if topology.problem:
            parts.report_topology()
        yield parts


@contextmanager
def projecting(settings: Document, chunk_readings: int | None = None) -> Iterator[Projector]:
    """A projector with connections of its own, for the thread that calls."""
    mine = settings.collector
    with closing(open_store(settings.series)) as store, closing(connect(mine.state_dir)) as db:
        readers = ledger_readers(db, mine.state_dir, mine.shards)
        if chunk_readings is None:
            yield Projector(Progress(db), readers, store, clock_ms)
        else:
            yield Projector(Progress(db), readers, store, clock_ms, chunk_readings)


class ProjectionThread(threading.Thread):
    """Projects behind the intake's back, so that a slow or absent store never delays an ack."""

    def __init__(self, parts: Parts, stop: threading.Event) -> None:
        super().__init__(name="projection", daemon=True)
        self._parts = parts
        self._stop_event = stop
        self._pause = FIRST_PAUSE_SECONDS

    def run(self) -> None:
        """Work until told to stop."""
        while not self._stop_event.is_set():
            try:
                with projecting(self._parts.settings, LIVE_CHUNK_READINGS) as projector:
                    self._work(projector)
            except Exception as error:  # noqa: BLE001 - whatever happens here, acks go on and the lag shows it
                self._rest(error)

    def _work(self, projector: Projector) -> None:
        parts = self._parts
        while not self._stop_event.is_set():
            lag = projector.lag(parts.ends)
            if (enrolled := parts.topology.current) is not None:
                parts.health.stored(projector.step(parts.ends, enrolled))
                lag = projector.lag(parts.ends)
            self._recovered()
            parts.health.lag.set(lag)
            self._stop_event.wait(0 if lag and enrolled else parts.settings.collector.project_seconds)

    def _rest(self, error: Exception) -> None:
        if self._pause == FIRST_PAUSE_SECONDS:
            log.error(
                "series store: %s; trying again, nothing is lost", error, exc_info=not isinstance(error, PueError)
            )
        self._parts.health.store_up.set(0)
        self._parts.health.lag.set(self._lag())
        self._stop_event.wait(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)

    def _lag(self) -> int:
        """Asked of the cursor itself: nothing moves it while the store is away, and records keep coming."""
        with closing(connect(self._parts.settings.collector.state_dir)) as db:
            return sum(end - projected(db, shard) for shard, end in self._parts.ends.items())

    def _recovered(self) -> None:
        if self._pause != FIRST_PAUSE_SECONDS:
            log.info("series store answers again")
        self._pause = FIRST_PAUSE_SECONDS
        self._parts.health.store_up.set(1)
