"""What others may know of series and originals: read-only, beside a collector that is writing."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Protocol
from weakref import WeakSet

from collector.database import FILE, connect_read_only, reading
from collector.incidents import Incident, IncidentKind
from collector.index import filed, read_incidents
from collector.ledger import LedgerReader
from collector.progress import SeriesState, read_series, watermark_ms
from collector.settings import SeriesSettings
from collector.store import Readings, SeriesReaderStore, Table, slots_of
from collector.stores import open_store_reader
from pue.contract.series import SeriesKey
from pue.contract.wire import SignedLine
from pue.energy.slots import Slots

__all__ = ["Incident", "IncidentKind", "Readings", "SeriesReader", "SeriesSettings", "open_reader"]


class SeriesReader(Protocol):
    """Everything compliance asks of a collector; usable from any thread.

    Every method raises `Retry` while the collector's files are not there or a database does not answer.
    """

    def keys(self, site: str) -> list[SeriesKey]:
        """Series of a site."""

    def slots(self, key: SeriesKey, from_ms: int, to_ms: int) -> Slots:
        """Slots that start in [from_ms, to_ms). [ms UTC]"""

    def readings(self, key: SeriesKey, from_ms: int, to_ms: int) -> Readings:
        """Readings with their reply in [from_ms, to_ms). [ms UTC]"""

    def watermark_ms(self, site: str) -> int | None:
        """Time before which every reading of the site is projected; None before the first one. [ms UTC]"""

    def change_cursor(self, site: str) -> int:
        """Grows whenever readings or slots of the site change."""

    def changed_from_ms(self, site: str, cursor: int) -> int | None:
        """First slot that may have changed since `change_cursor` was `cursor`; None if none has. [ms UTC]"""

    def positions(self) -> dict[str, int]:
        """Per shard: all records of the ledger below this number are projected."""

    def original(self, shard: str, record: int) -> SignedLine:
        """The signed original with this number."""

    def incidents(self, site: str) -> list[Incident]:
        """What the collector noticed about a site, oldest first."""

    def close(self) -> None:
        """Let go of every thread's files; none may be reading."""


def open_reader(series: SeriesSettings, state_dir: Path) -> SeriesReader:
    """Read what the collector with this state directory writes; nothing is opened before it is asked for.

    Parameters
    ----------
    series
        The collector's `[series]` table.
    state_dir
        The collector's `state_dir`.
    """
    return _Reader(series, state_dir)


class _Reader:
    def __init__(self, series: SeriesSettings, state_dir: Path) -> None:
        self._series = series
        self._state_dir = state_dir
        self._file = state_dir / FILE
        self._mine = threading.local()
        self._all: WeakSet[_Opened] = WeakSet()

    def keys(self, site: str) -> list[SeriesKey]:
        return [state.key for state in self._states(site)]

    def slots(self, key: SeriesKey, from_ms: int, to_ms: int) -> Slots:
        return slots_of(self._store().read(Table.SLOT, key, from_ms, to_ms))

    def readings(self, key: SeriesKey, from_ms: int, to_ms: int) -> Readings:
        return Readings.of(self._store().read(Table.READING, key, from_ms, to_ms))

    def watermark_ms(self, site: str) -> int | None:
        return watermark_ms(self._states(site))

    def change_cursor(self, site: str) -> int:
        with reading(self._file):
            row = self._db().execute("SELECT changes FROM site WHERE site = ?", (site,)).fetchone()
        return int(row[0]) if row else 0

    def changed_from_ms(self, site: str, cursor: int) -> int | None:
        query = "SELECT min(from_ms) FROM change WHERE site = ? AND number > ?"
        with reading(self._file):
            row = self._db().execute(query, (site, cursor)).fetchone()
        return None if row[0] is None else int(row[0])

    def positions(self) -> dict[str, int]:
        with reading(self._file):
            return dict(self._db().execute("SELECT shard, projected FROM shard ORDER BY shard").fetchall())

    def original(self, shard: str, record: int) -> SignedLine:
        with reading(self._file):
            reader = LedgerReader(self._state_dir / "ledger" / shard, filed(self._db(), shard))
            return reader.read(record).signed

    def incidents(self, site: str) -> list[Incident]:
        with reading(self._file):
            return read_incidents(self._db(), site)

    def close(self) -> None:
        for opened in list(self._all):
            opened.close()

    def _states(self, site: str) -> list[SeriesState]:
        with reading(self._file):
            return read_series(self._db(), site)

    def _db(self) -> sqlite3.Connection:
        mine = self._opened()
        if mine.db is None:
            mine.db = connect_read_only(self._file)
        return mine.db

    def _store(self) -> SeriesReaderStore:
        mine = self._opened()
        if mine.store is None:
            mine.store = open_store_reader(self._series)
        return mine.store

    def _opened(self) -> _Opened:
        if not hasattr(self._mine, "opened"):
            self._mine.opened = _Opened()
            self._all.add(self._mine.opened)
        opened: _Opened = self._mine.opened
        return opened


class _Opened:
    """What one thread has open; it is closed with the thread, for a web server's threads come and go."""

    def __init__(self) -> None:
        self.db: sqlite3.Connection | None = None
        self.store: SeriesReaderStore | None = None

    def close(self) -> None:
        for opened in (self.db, self.store):
            if opened is not None:
                opened.close()
        self.db = self.store = None

    __del__ = close
