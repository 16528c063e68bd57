"""How far the projection is, and what it has to remember between two chunks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from collector.admit import Place
from collector.incidents import Incident, IncidentKind
from pue.contract.series import SeriesKey
from pue.energy.slots import Int64

SILENT_MS = 24 * 3600 * 1000
"""A meter this far behind the newest of its site no longer holds the watermark back."""

PROJECTION_TABLES = ("series", "pending", "loser", "outage", "dead_letter")


@dataclass(frozen=True, slots=True)
class SeriesState:
    """One series: its first and latest reading, and the meter versions its slots were made with."""

    key: SeriesKey
    first_ms: int
    head_ms: int
    versions: str


class Progress:
    """The projection's half of the database, on a connection of its own; callers open the transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self._known: dict[SeriesKey, SeriesState] = {}
        self.reload()

    def reload(self) -> None:
        """Read everything anew, after a transaction was rolled back."""
        self._known = {state.key: state for state in read_series(self.db)}

    def cursor(self, shard: str) -> int:
        """Records below this one are projected."""
        return projected(self.db, shard)

    def damaged(self, lost: Iterable[tuple[str, int, int]]) -> None:
        """Note records that cannot be read, with the receive time of the one before; known ones stay as they are."""
        self.db.executemany("INSERT OR IGNORE INTO damaged VALUES (?, ?, ?, 'found')", list(lost))

    def batch_of(self, shard: str, record: int) -> Place | None:
        """The batch that is filed under a record; its site is in the record itself."""
        query = "SELECT agent, epoch, seq FROM batch WHERE shard = ? AND record = ?"
        row = self.db.execute(query, (shard, record)).fetchone()
        return Place(shard, "", *row) if row else None

    def back(self, shard: str) -> list[int]:
        """Records of a shard that were damaged and can be read again."""
        query = "SELECT record FROM damaged WHERE shard = ? AND state = 'back' ORDER BY record"
        return [record for (record,) in self.db.execute(query, (shard,))]

    def taken_back(self, shard: str, records: Iterable[int]) -> None:
        """They are projected."""
        self.db.executemany(
            "DELETE FROM damaged WHERE shard = ? AND record = ?", [(shard, record) for record in records]
        )

    def move(self, shard: str, record: int) -> None:
        """Set the cursor."""
        self.db.execute(
            "INSERT INTO shard (shard, projected) VALUES (?, ?) "
            "ON CONFLICT DO UPDATE SET projected = excluded.projected",
            (shard, record),
        )

    def series(self, key: SeriesKey) -> SeriesState | None:
        """What is known of a series."""
        return self._known.get(key)

    def all_series(self) -> list[SeriesState]:
        """Every series."""
        return list(self._known.values())

    def note(self, states: Iterable[SeriesState]) -> None:
        """Write series back."""
        for state in states:
            key = state.key
            row = (key.site, key.meter, key.quantity, state.first_ms, state.head_ms, state.versions)
            self.db.execute("INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?, ?)", row)
            self._known[key] = state

    def changed(self, site: str, from_ms: int) -> None:
        """Raise a site's change cursor; slots from `from_ms` on may differ now."""
        (number,) = self.db.execute(
            "INSERT INTO site VALUES (?, 1) ON CONFLICT DO UPDATE SET changes = changes + 1 RETURNING changes", (site,)
        ).fetchone()
        self.db.execute("DELETE FROM change WHERE site = ? AND from_ms >= ?", (site, from_ms))
        self.db.execute("INSERT INTO change VALUES (?, ?, ?)", (site, number, from_ms))

    def wait_for(self, config: str, shard: str, record: int) -> None:
        """A record whose configuration is not there yet."""
        self.db.execute("INSERT OR IGNORE INTO pending VALUES (?, ?, ?)", (config, shard, record))

    def waiting(self, config: str) -> list[tuple[str, int]]:
        """Records that wait for a configuration, in order."""
        rows = self.db.execute("SELECT shard, record FROM pending WHERE config = ? ORDER BY shard, record", (config,))
        return [(shard, record) for shard, record in rows]

    def taken_again(self, shard: str, records: Iterable[int]) -> None:
        """They no longer wait for the registry's word; what still does is noted anew."""
        query = "DELETE FROM pending WHERE shard = ? AND record = ? AND config GLOB 'meter/*'"
        self.db.executemany(query, [(shard, record) for record in records])

    def waited(self, config: str) -> None:
        """The configuration is there."""
        self.db.execute("DELETE FROM pending WHERE config = ?", (config,))

    def waited_for(self) -> list[str]:
        """Configurations that records wait for."""
        return [name for (name,) in self.db.execute("SELECT DISTINCT config FROM pending ORDER BY config")]

    def config_places(self, name: str) -> list[tuple[str, int]]:
        """Shard and record of every batch of a configuration or part."""
        rows = self.db.execute("SELECT shard, record FROM config_batch WHERE name = ? ORDER BY shard, record", (name,))
        return [(shard, record) for shard, record in rows]

    def lose(self, key: SeriesKey, shard: str, columns: Int64) -> None:
        """Remember readings that lost against an earlier one at the same time."""
        self.db.executemany(
            "INSERT OR IGNORE INTO loser VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (key.site, key.meter, key.quantity, t1, shard, record, t0, count, quality)
                for t1, t0, count, quality, record in columns.T.tolist()
            ],
        )

    def losers(self, key: SeriesKey, from_ms: int, to_ms: int) -> Int64:
        """Readings that lost, as columns of a store."""
        rows = self.db.execute(
            "SELECT t1_ms, t0_ms, count, quality, record FROM loser "
            "WHERE site = ? AND meter = ? AND quantity = ? AND t1_ms >= ? AND t1_ms < ? ORDER BY t1_ms, shard, record",
            (key.site, key.meter, key.quantity, from_ms, to_ms),
        ).fetchall()
        return np.array(rows, np.int64).T if rows else np.empty((5, 0), np.int64)

    def declare_outage(self, site: str, meter: str, from_ms: int, to_ms: int) -> None:
        """Remember a declared outage."""
        self.db.execute("INSERT OR IGNORE INTO outage VALUES (?, ?, ?, ?)", (site, meter, from_ms, to_ms))

    def outages(self, key: SeriesKey, from_ms: int, to_ms: int) -> list[tuple[int, int]]:
        """Declared outages of a meter that overlap a range."""
        query = "SELECT from_ms, to_ms FROM outage WHERE site = ? AND meter = ? AND from_ms < ? AND to_ms > ?"
        return [(low, high) for low, high in self.db.execute(query, (key.site, key.meter, to_ms, from_ms))]

    def bury(self, letters: Iterable[tuple[bytes, str]]) -> None:
        """Keep lines the store refuses."""
        self.db.executemany(
            "INSERT INTO dead_letter VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1", list(letters)
        )

    def reset(self) -> None:
        """Start the projection over; the change cursors go on, so that readers notice."""
        self.db.execute("UPDATE shard SET projected = 0")
        for (site,) in self.db.execute("SELECT site FROM site").fetchall():
            self.changed(site, 0)
        for table in PROJECTION_TABLES:
            self.db.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own tables
        self._known.clear()


def damage(shard: str, record: int, place: Place | None) -> Incident:
    """What is said of a damaged record."""
    words = f"record {record} of shard {shard} cannot be read; it is {place or 'a batch nobody filed'}"
    agent = place.agent if place else ""
    return Incident(IncidentKind.DAMAGED_RECORD, "", agent, f"{shard}/{record}", words)


def projected(db: sqlite3.Connection, shard: str) -> int:
    """Number of a ledger's records that are projected."""
    row = db.execute("SELECT projected FROM shard WHERE shard = ?", (shard,)).fetchone()
    return int(row[0]) if row else 0


def read_series(db: sqlite3.Connection, site: str | None = None) -> list[SeriesState]:
    """Every series, of one site or all."""
    rows = db.execute(
        "SELECT site, meter, quantity, first_ms, head_ms, versions FROM series "
        "WHERE :site IS NULL OR site = :site ORDER BY site, meter, quantity",
        {"site": site},
    )
    return [SeriesState(SeriesKey(*row[:3]), *row[3:]) for row in rows]


def watermark_ms(states: Iterable[SeriesState]) -> int | None:
    """Time before which every reading of a site is projected: the least of its meters' newest.

    A failed read counts: the meter was asked. A meter silent for longer than `SILENT_MS` is left out.
    """
    newest: dict[str, int] = {}
    for state in states:
        newest[state.key.meter] = max(newest.get(state.key.meter, 0), state.head_ms)
    if not newest:
        return None
    latest = max(newest.values())
    return min(head for head in newest.values() if head >= latest - SILENT_MS)
