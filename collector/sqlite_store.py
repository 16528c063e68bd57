"""The embedded series store: recent rows in tables, closed days sealed as blobs, late rows over them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np

from collector.blobs import DAY_MS, checksum, open_blob, pack_columns
from collector.database import BUSY_SECONDS, closed_on_error, connect_read_only, reading, transaction
from collector.store import Rows, Table, empty, has_value, overlay
from pue.contract.errors import Fatal, Retry
from pue.contract.series import SeriesKey
from pue.energy.slots import Int64

SCHEMA_VERSION = 2
"""Kept in the file; the first release, whose slots lack columns, left it at 0."""
BULK_ROWS = 16
"""From this many rows of one closed day on, the day's blob is written at once."""
OPEN_DAYS = 1
"""Days before a series' newest day that stay in the table."""


def _create(table: Table) -> Iterator[str]:
    columns = ", ".join(f"{name} INTEGER" for name in table.fields)
    yield (
        f"CREATE TABLE {table.measurement} "
        f"(series INTEGER, time_ms INTEGER, {columns}, PRIMARY KEY (series, time_ms)) WITHOUT ROWID"
    )
    yield (
        f"CREATE TABLE {table.measurement}_day (series INTEGER, day INTEGER, crc INTEGER NOT NULL, "
        "blob BLOB NOT NULL, PRIMARY KEY (series, day))"
    )


SCHEMA = (
    "CREATE TABLE series (id INTEGER PRIMARY KEY, site TEXT NOT NULL, meter TEXT NOT NULL, "
    "quantity TEXT NOT NULL, UNIQUE (site, meter, quantity))",
    *_create(Table.READING),
    *_create(Table.SLOT),
)


class SqliteReader:
    """Reads a series database; one connection per thread.

    Parameters
    ----------
    db
        The connection.
    name
        The file, for messages.
    """

    def __init__(self, db: sqlite3.Connection, name: str) -> None:
        self._db = db
        self._name = name
        self._ids: dict[SeriesKey, int] = {}
        self._tables = -1

    def read(self, table: Table, key: SeriesKey, from_ms: int, to_ms: int) -> Int64:
        """Rows with from_ms <= time < to_ms, ascending.

        Raises
        ------
        Fatal
            If another version of this program wrote the file, or a day is damaged.
        """
        with reading(self._name), _snapshot(self._db):
            self._follow_tables()
            number = self._id(key)
            if number is None or from_ms >= to_ms:
                return empty(table)
            sealed = self._sealed(table, number, from_ms, to_ms)
            return overlay(sealed, self._open(table, number, from_ms, to_ms))

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _follow_tables(self) -> None:
        """Numbers of series hold as long as the tables: a rebuild makes both anew under a reader's eyes."""
        (tables,) = self._db.execute("PRAGMA schema_version").fetchone()
        if tables != self._tables:
            _check_version(self._db, self._name)
            self._ids.clear()
            self._tables = tables

    def _id(self, key: SeriesKey) -> int | None:
        if key not in self._ids:
            query = "SELECT id FROM series WHERE site = ? AND meter = ? AND quantity = ?"
            row = self._db.execute(query, (key.site, key.meter, key.quantity)).fetchone()
            if row is None:
                return None
            self._ids[key] = row[0]
        return self._ids[key]

    def _open(self, table: Table, number: int, from_ms: int, to_ms: int) -> Int64:
        fields = ", ".join(f"ifnull({name}, 0)" for name in table.fields)
        rows = self._db.execute(
            f"SELECT time_ms, {fields} FROM {table.measurement} "  # noqa: S608 - names of our own tables
            "WHERE series = ? AND time_ms >= ? AND time_ms < ? ORDER BY time_ms",
            (number, from_ms, to_ms),
        ).fetchall()
        if not rows:
            return empty(table)
        # (N, columns) -> (columns, N): a column then lies in one piece, as everything that computes with it wants it.
        return np.ascontiguousarray(np.array(rows, np.int64).T)

    def _sealed(self, table: Table, number: int, from_ms: int, to_ms: int) -> Int64:
        rows = self._db.execute(
            f"SELECT day, crc, blob FROM {table.measurement}_day "  # noqa: S608 - names of our own tables
            "WHERE series = ? AND day >= ? AND day <= ? ORDER BY day",
            (number, from_ms // DAY_MS, (to_ms - 1) // DAY_MS),
        )
        parts = [open_blob(blob, crc, table.width, self._part(table, number, day)) for day, crc, blob in rows]
        if not parts:
            return empty(table)
        whole = np.concatenate(parts, axis=1)
        low, high = np.searchsorted(whole[0], (from_ms, to_ms))
        return whole[:, low:high]

    def _part(self, table: Table, number: int, day: int) -> str:
        return f"{self._name}: {table.measurement} of series {number}, day {day}"


class SqliteStore(SqliteReader):
    """The writing end; used from one thread.

    Parameters
    ----------
    path
        The database file; made if missing.

    Raises
    ------
    Fatal
        If the file cannot be opened, or another version of this program wrote it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(_open_for_writing(path), str(path))
        self._newest: dict[tuple[Table, int], int] = {}

    def write(self, rows: Sequence[Rows]) -> list[tuple[bytes, str]]:
        """Make all rows durable in one transaction."""
        try:
            with transaction(self._db):
                for item in rows:
                    if item.columns.shape[1]:
                        self._write_one(item)
        except sqlite3.OperationalError as error:
            self._forget()
            raise Retry(f"{self._name}: {error}; make room on the disk or stop what locks the file") from error
        except BaseException:
            self._forget()
            raise
        return []

    def copy_to(self, target: sqlite3.Connection) -> None:
        """Make another database hold what this one holds, in one transaction.

        Raises
        ------
        Retry
            If its disk refuses.
        """
        try:
            self._db.backup(target)
        except sqlite3.OperationalError as error:
            raise Retry(f"{self._name}: cannot be copied ({error}); make room on the disk") from error

    def wipe(self) -> None:
        """Drop all tables and make them as this version has them."""
        with transaction(self._db):
            _make_anew(self._db)
        self._forget()

    def _forget(self) -> None:
        self._newest.clear()
        self._ids.clear()

    def _write_one(self, item: Rows) -> None:
        number = self._series(item.key)
        days = item.columns[0] // DAY_MS
        before = self._newest_day(item.table, number)
        newest = max(before, int(days[-1]))
        self._newest[item.table, number] = newest
        # Places where a new day begins: days 3 3 4 6 have the bounds 0, 2, 3, 4.
        bounds = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
        for low, high in pairwise(bounds):
            part = item.columns[:, low:high]
            day = int(days[low])
            # Many rows of a day long closed are history being imported, and go into its blob at once; a few late ones
            # lie over it.
            if day < newest - OPEN_DAYS and high - low >= BULK_ROWS:
                self._seal(item.table, number, day, part)
            else:
                self._upsert(item.table, number, part)
        if newest > before:
            self._seal_closed(item.table, number, newest - OPEN_DAYS)

    def _series(self, key: SeriesKey) -> int:
        number = self._id(key)
        if number is None:
            row = (key.site, key.meter, key.quantity)
            found = self._db.execute("INSERT INTO series (site, meter, quantity) VALUES (?, ?, ?)", row).lastrowid
            number = self._ids[key] = int(found or 0)
        return number

    def _newest_day(self, table: Table, number: int) -> int:
        if (table, number) not in self._newest:
            name = table.measurement
            row = self._db.execute(
                f"SELECT (SELECT max(time_ms) FROM {name} WHERE series = :series), "  # noqa: S608 - our own tables
                f"(SELECT max(day) FROM {name}_day WHERE series = :series)",
                {"series": number},
            ).fetchone()
            self._newest[table, number] = max(-1 if row[0] is None else row[0] // DAY_MS, row[1] or -1)
        return self._newest[table, number]

    def _upsert(self, table: Table, number: int, columns: Int64) -> None:
        marks = ", ".join("?" * (table.width + 1))
        rows: list[list[int | None]] = [[number, *row] for row in columns.T.tolist()]
        if table is Table.READING:
            for index in np.flatnonzero(~has_value(columns[3])):
                # Row 3 is the count, behind series, time and t0; without a value there is none, and 0 would be one.
                rows[index][3] = None
        self._db.executemany(f"INSERT OR REPLACE INTO {table.measurement} VALUES ({marks})", rows)  # noqa: S608 - ours

    def _seal_closed(self, table: Table, number: int, before_day: int) -> None:
        """Seal every day before `before_day` that still has rows in the table."""
        name = table.measurement
        days = self._db.execute(
            f"SELECT DISTINCT time_ms / ? FROM {name} WHERE series = ? AND time_ms < ?",  # noqa: S608 - our own tables
            (DAY_MS, number, before_day * DAY_MS),
        ).fetchall()
        for (day,) in days:
            self._seal(table, number, day, empty(table))

    def _seal(self, table: Table, number: int, day: int, columns: Int64) -> None:
        """Write one day's blob from what is sealed already, its rows in the table, and new ones."""
        low = day * DAY_MS
        high = (day + 1) * DAY_MS
        # What came later lies on top: sealed, then rows, then what is being written.
        whole = overlay(self._sealed(table, number, low, high), self._open(table, number, low, high))
        blob = pack_columns(overlay(whole, columns))
        name = table.measurement
        self._db.execute(
            f"INSERT OR REPLACE INTO {name}_day VALUES (?, ?, ?, ?)",  # noqa: S608 - our own tables
            (number, day, checksum(blob), blob),
        )
        self._db.execute(
            f"DELETE FROM {name} WHERE series = ? AND time_ms >= ? AND time_ms < ?",  # noqa: S608 - our own tables
            (number, low, high),
        )


@contextmanager
def _snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """Everything read inside is of one moment."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("ROLLBACK")


@contextmanager
def beside(path: Path) -> Iterator[SqliteStore]:
    """An empty store in a file of its own, which replaces what another holds once all of it is written.

    Readers see the old tables until then, and the new ones from then on.
    """
    draft = path.with_name(f"{path.name}.new")
    _remove(draft)  # a rebuild that was killed leaves one
    try:
        with closing(SqliteStore(draft)) as store:
            yield store
            with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as target:
                # SQLite's backup is one transaction of the target: readers see all of the old store or all of the new
                # one.
                store.copy_to(target)
    finally:
        _remove(draft)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _open_for_writing(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
        with closed_on_error(db):
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            with transaction(db):
                if not _has_tables(db):
                    _make_anew(db)
            _check_version(db, str(path))
    except (sqlite3.Error, OSError) as error:
        raise _cannot_open(path, error) from None
    return db


def _cannot_open(path: Path, error: Exception) -> Fatal:
    return Fatal(f"{path}: cannot be opened ({error}); check the directory's owner and free space")


def _has_tables(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'series'").fetchone() is not None


def _make_anew(db: sqlite3.Connection) -> None:
    """Drop and make all tables, within the caller's transaction."""
    for table in Table:
        db.execute(f"DROP TABLE IF EXISTS {table.measurement}")
        db.execute(f"DROP TABLE IF EXISTS {table.measurement}_day")
    db.execute("DROP TABLE IF EXISTS series")
    for statement in SCHEMA:
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _check_version(db: sqlite3.Connection, name: str) -> None:
    """Refuse tables of another version; a file without tables is not ready yet, which a query will say.

    Raises
    ------
    Fatal
        Naming the file and the remedy.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA_VERSION and _has_tables(db):
        raise Fatal(f"{name} has version {version}, this program keeps series in version {SCHEMA_VERSION}; "
                    "run `pue-collector rebuild`, which makes it anew from the ledger")  # fmt: skip


def check_file(path: Path) -> None:
    """See that the file, if it is there, is one this version writes.

    Raises
    ------
    Fatal
        Naming the file and the remedy.
    """
    if not path.exists():
        return
    try:
        with closing(connect_read_only(path)) as db:
            _check_version(db, str(path))
    except sqlite3.Error as error:
        raise _cannot_open(path, error) from None


def open_reader(path: Path) -> SqliteReader:
    """Open for reading while another process writes.

    Raises
    ------
    Retry
        While the file is not there.
    """
    return SqliteReader(connect_read_only(path), str(path))
