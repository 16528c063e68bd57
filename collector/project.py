"""The projection: originals from the ledger become readings and slots in the series store, behind a cursor."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial

from collector.chunk import METER, Chunk
from collector.configs import AnyConfigBatch, KeptConfig, config_name, put_together
from collector.database import transaction
from collector.extract import RECORD, T1, Points
from collector.incidents import Incident, IncidentKind
from collector.index import indexed, report
from collector.ledger import LedgerReader, Lost, Record
from collector.progress import Progress, damage
from collector.ratios import ratio_mismatches
from collector.refresh import Refreshed, Refresher
from collector.store import Rows, SeriesStore, Table
from collector.tail import TailCache
from collector.topology import Enrolled
from pue.contract.errors import Reject
from pue.contract.series import slot_of
from pue.contract.wire import (
    ConfigBatch,
    ConfigBatchV1,
    DataBatch,
    EventBatch,
    ManualReading,
    OutageDeclared,
    WitnessReading,
    decode_batch,
)

log = logging.getLogger(__name__)

CHUNK_READINGS = 400_000
CHUNK_RECORDS = 20_000
AGAIN_RECORDS = 1_000
"""Records looked at again in one chunk."""


@dataclass(slots=True)
class Changes:
    """What one chunk writes."""

    rows: list[Rows] = field(default_factory=list)
    refreshed: list[Refreshed] = field(default_factory=list)

    @property
    def readings(self) -> int:
        """New readings."""
        return sum(item.readings.columns.shape[1] for item in self.refreshed)


class Projector:
    """Carries the series store up to the ledger's end, chunk by chunk; a chunk may be repeated at will.

    Parameters
    ----------
    progress
        Its memory.
    ledgers
        Readers of the owned shards.
    store
        Where readings and slots go.
    clock_ms
        Wall clock, for incidents only. [ms UTC]
    chunk_readings
        Readings after which a chunk ends.
    """

    def __init__(
        self,
        progress: Progress,
        ledgers: Mapping[str, LedgerReader],
        store: SeriesStore,
        clock_ms: Callable[[], int],
        chunk_readings: int = CHUNK_READINGS,
    ) -> None:
        self._progress = progress
        self._ledgers = ledgers
        self._store = TailCache(store)
        self._clock_ms = clock_ms
        self._chunk_readings = chunk_readings
        self._configs: dict[str, KeptConfig] = {}
        self._points: dict[str, Points] = {}
        self._version = 0
        self._again: dict[str, list[int]] = {}
        self._place = lru_cache(maxsize=10_000)(progress.batch_of)

    def lag(self, ends: Mapping[str, int]) -> int:
        """Records that are kept and not yet projected."""
        return sum(end - self._progress.cursor(shard) + len(self._again.get(shard, ())) for shard, end in ends.items())

    def step(self, ends: Mapping[str, int], enrolled: Enrolled) -> int:
        """Project one chunk of each shard. Returns the number of readings stored; `lag` says what is left.

        Raises
        ------
        Retry
            If the store does not answer; nothing is lost, the cursor has not moved.
        """
        refresher = Refresher(self._progress, self._store, enrolled)
        if enrolled.version != self._version:
            self._follow(enrolled, refresher)
        return sum(self._step_shard(shard, end, enrolled, refresher) for shard, end in ends.items())

    def drain(self, ends: Mapping[str, int], enrolled: Enrolled) -> int:
        """Project everything up to `ends`."""
        readings = self.step(ends, enrolled)
        while self.lag(ends):
            readings += self.step(ends, enrolled)
        return readings

    def _step_shard(self, shard: str, end: int, enrolled: Enrolled, refresher: Refresher) -> int:
        start = self._progress.cursor(shard)
        # A record is durable a moment before it is filed, and what is not filed is not genuine.
        end = min(end, indexed(self._progress.db, shard))
        back = [record for record in self._progress.back(shard) if record < start]
        again = [record for record in self._again.get(shard, []) if record < start]
        if start >= end and not back and not again:
            return 0
        chunk, stop = self._gather(shard, start, end, enrolled)
        for record in back:
            self._take(self._ledgers[shard].read(record), chunk, enrolled)
        chunk.back = back
        chunk.again = again[:AGAIN_RECORDS]
        for record in chunk.again:
            self._take_number(shard, record, chunk, enrolled)
        changes = self._changes(chunk, refresher)
        self._testify(chunk, changes)
        refused = self._store.write(changes.rows)
        try:
            with transaction(self._progress.db):
                self._remember(chunk, changes)
                self._bury(refused)
                self._progress.move(shard, stop)
        except BaseException:
            self._progress.reload()
            raise
        self._again[shard] = again[AGAIN_RECORDS:]
        return changes.readings

    # Reading the ledger

    def _gather(self, shard: str, start: int, end: int, enrolled: Enrolled) -> tuple[Chunk, int]:
        chunk = Chunk(shard)
        stop = start
        for record in self._ledgers[shard].records(start, min(end, start + CHUNK_RECORDS)):
            if isinstance(record, Lost):
                self._lose(record, chunk)
            else:
                self._take(record, chunk, enrolled)
            stop = record.number + 1
            if chunk.readings >= self._chunk_readings:
                break
        return chunk, stop

    def _lose(self, lost: Lost, chunk: Chunk) -> None:
        """An original that is damaged, or not what was filed, is named and stepped over; intake asks for it again."""
        log.error("shard %s record %d is damaged; its agent is asked to send it again", chunk.shard, lost.number)
        chunk.lost.append((chunk.shard, lost.number, lost.received_ms))
        chunk.incidents.append(damage(chunk.shard, lost.number, self._progress.batch_of(chunk.shard, lost.number)))

    def _take(self, record: Record, chunk: Chunk, enrolled: Enrolled) -> None:
        signed = record.signed
        try:
            batch = decode_batch(signed.line)
        except Reject:
            log.exception("shard %s record %d cannot be read; upgrade the collector", chunk.shard, record.number)
            return
        if isinstance(batch, ConfigBatch | ConfigBatchV1):
            self._take_config(config_name(batch, signed.sha256), batch, chunk, enrolled)
        elif isinstance(batch, DataBatch):
            self._take_data(record, batch, chunk, enrolled)
        else:
            self._take_event(record, batch, chunk, enrolled)

    def _take_config(self, name: str, batch: AnyConfigBatch, chunk: Chunk, enrolled: Enrolled) -> None:
        """A configuration or a part of one: what waits for one that is whole now is taken."""
        chunk.configs[name] = batch
        waited = [*self._progress.waited_for(), *chunk.waiting]
        for whole in dict.fromkeys([name, *waited]):
            points = None if whole in chunk.arrived else self._points_of(whole, chunk, enrolled)
            if points is not None:
                self._compare(points, batch, chunk, enrolled)
                chunk.arrived.append(whole)
                self._take_waiting(whole, chunk, enrolled)

    def _compare(self, points: Points, batch: AnyConfigBatch, chunk: Chunk, enrolled: Enrolled) -> None:
        """Report where the agent was told something else than the registry states."""
        for key, words in points.mismatches():
            chunk.report(IncidentKind.POINT_MISMATCH, batch, str(key), words)
        for subject, words in ratio_mismatches(points.config, enrolled):
            chunk.report(IncidentKind.RATIO_MISMATCH, batch, subject, words)

    def _take_waiting(self, name: str, chunk: Chunk, enrolled: Enrolled) -> None:
        for shard, number in self._progress.waiting(name) + chunk.waiting.pop(name, []):
            self._take_number(shard, number, chunk, enrolled)

    def _take_number(self, shard: str, number: int, chunk: Chunk, enrolled: Enrolled) -> None:
        found = next(self._ledgers[shard].records(number, number + 1))
        if isinstance(found, Lost):
            self._lose(found, chunk)
        else:
            self._take(found, chunk, enrolled)

    def _take_data(self, record: Record, batch: DataBatch, chunk: Chunk, enrolled: Enrolled) -> None:
        sha256 = batch.config or ""
        points = self._points_of(sha256, chunk, enrolled)
        if points is None:
            chunk.waiting.setdefault(sha256, []).append((chunk.shard, record.number))
        elif not points.config.belongs_to(batch):
            place = f"{batch.agent}/{batch.epoch}/{batch.seq}"
            words = f"batch {place} names a configuration of {points.config.agent} at {points.config.site}: not used"
            chunk.report(IncidentKind.FOREIGN_CONFIG, batch, place, words)
        else:
            chunk.add_batch(record.number, batch, points)

    def _take_event(self, record: Record, batch: EventBatch, chunk: Chunk, enrolled: Enrolled) -> None:
        event = batch.body
        if isinstance(event, ManualReading | WitnessReading):
            chunk.add_typed(record.number, batch, event, enrolled)
        elif isinstance(event, OutageDeclared):
            chunk.outages += [(batch.site, meter, event.from_ms, event.to_ms) for meter in event.meters]

    def _points_of(self, name: str, chunk: Chunk, enrolled: Enrolled) -> Points | None:
        """Points of a configuration that is projected already, with all its parts."""
        points = self._points.get(name)
        if points is None or points.version != enrolled.version:
            found = self._configs.get(name) or put_together(name, partial(self._config_batch, chunk))
            if found is None:
                return None
            self._configs[name] = found
            points = self._points[name] = Points(found, enrolled)
        return points

    def _config_batch(self, chunk: Chunk, name: str) -> AnyConfigBatch | None:
        """Of those projected already; readings wait for one that is damaged, as for one that has not come yet."""
        if name in chunk.configs:
            return chunk.configs[name]
        for shard, number in self._progress.config_places(name):
            if shard in self._ledgers and number < self._progress.cursor(shard):
                found = next(self._ledgers[shard].records(number, number + 1))
                batch = None if isinstance(found, Lost) else decode_batch(found.signed.line)
                if isinstance(batch, ConfigBatch | ConfigBatchV1):
                    return batch
        return None

    # What changes

    def _changes(self, chunk: Chunk, refresher: Refresher) -> Changes:
        changes = Changes()
        for key, piece in chunk.pieces().items():
            outages = [(o[2], o[3]) for o in chunk.outages if o[:2] == (key.site, key.meter)]
            item = refresher.with_readings(key, piece, outages)
            changes.refreshed.append(item)
            changes.rows += (item.readings, item.slots)
        written = {item.state.key: item.slots.columns[0] for item in changes.refreshed}
        for site, meter, from_ms, to_ms in chunk.outages:
            changes.rows += [
                refresher.with_outage(state, from_ms, to_ms, written.get(state.key, ()))
                for state in self._progress.all_series()
                if (state.key.site, state.key.meter) == (site, meter)
            ]
        return changes

    def _testify(self, chunk: Chunk, changes: Changes) -> None:
        """Note readings that lose before the store forgets them: a repeated chunk would not meet them again."""
        if not any(item.losers.shape[1] for item in changes.refreshed):
            return
        with transaction(self._progress.db):
            for item in changes.refreshed:
                self._progress.lose(item.state.key, chunk.shard, item.losers)
            report(self._progress.db, self._conflicts(chunk.shard, changes), self._clock_ms())

    def _conflicts(self, shard: str, changes: Changes) -> Iterator[Incident]:
        """Of every reading that lost: which batch it came in, and which one is kept. Both may be of one agent."""
        for item in changes.refreshed:
            key = item.state.key
            for t1_ms, _, count, _, record in item.losers.T.tolist():
                loser = self._place(shard, record)
                winner = self._place(shard, self._kept_record(item, t1_ms))
                yield Incident(
                    IncidentKind.CONFLICTING_READING,
                    key.site,
                    loser.agent if loser else "",
                    f"{key} {t1_ms} {record}",
                    f"{key} at {t1_ms}: count {count} of batch {loser} is not used, batch {winner} was kept first",
                )

    def _kept_record(self, item: Refreshed, t1_ms: int) -> int:
        """Record of the reading that stands at a time: written now, or stored before."""
        now = item.readings.columns
        found = now[RECORD, now[T1] == t1_ms]
        if len(found) == 0:
            found = self._store.read(Table.READING, item.state.key, t1_ms, t1_ms + 1, to_end=False)[RECORD]
        return int(found[0])

    def _remember(self, chunk: Chunk, changes: Changes) -> None:
        for sha256 in chunk.arrived:
            self._progress.waited(sha256)
        self._progress.taken_again(chunk.shard, chunk.again)
        for sha256, places in chunk.waiting.items():
            for shard, number in places:
                self._progress.wait_for(sha256, shard, number)
        for outage in chunk.outages:
            self._progress.declare_outage(*outage)
        self._progress.damaged(chunk.lost)
        self._progress.taken_back(chunk.shard, chunk.back)
        self._progress.note(item.state for item in changes.refreshed)
        for site, from_ms in _changed(chunk, changes).items():
            self._progress.changed(site, from_ms)
        report(self._progress.db, chunk.incidents, self._clock_ms())

    def _bury(self, refused: list[tuple[bytes, str]]) -> None:
        """Keep lines the store refuses for good, and say so."""
        self._progress.bury(refused)
        report(self._progress.db, map(_dead_letter, refused), self._clock_ms())

    def _follow(self, enrolled: Enrolled, refresher: Refresher) -> None:
        """Recompute the series of meters about which the topology now says something else.

        What waits for the registry to give a meter to its agent is looked at again.
        """
        for name in self._progress.waited_for():
            if name.startswith(METER):
                for shard, record in self._progress.waiting(name):
                    self._again.setdefault(shard, []).append(record)
        self._again = {shard: sorted(set(records)) for shard, records in self._again.items()}
        for state in self._progress.all_series():
            versions = refresher.fingerprint(state.key)
            if versions == state.versions:
                continue
            log.info("%s: slots recomputed for topology version %d", state.key, enrolled.version)
            refused = self._store.write([refresher.with_versions(state)])
            with transaction(self._progress.db):
                self._bury(refused)
                self._progress.note([type(state)(state.key, state.first_ms, state.head_ms, versions)])
                self._progress.changed(state.key.site, slot_of(state.first_ms))
        self._version = enrolled.version


def _changed(chunk: Chunk, changes: Changes) -> dict[str, int]:
    """Per site the first slot that may differ now."""
    starts = [(item.state.key.site, item.from_ms) for item in changes.refreshed]
    starts += [(site, slot_of(from_ms)) for site, _, from_ms, _ in chunk.outages]
    return {site: min(from_ms for name, from_ms in starts if name == site) for site, _ in starts}


def _dead_letter(letter: tuple[bytes, str]) -> Incident:
    line = letter[0].decode(errors="replace")
    reason = letter[1]
    series = line.partition(" ")[0]
    site = series.rpartition("site=")[2]
    return Incident(IncidentKind.DEAD_LETTER, site, "", series, f"the series store refuses {line}: {reason}")
