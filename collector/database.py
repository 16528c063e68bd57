"""The collector's own SQLite file: what is kept where, what is settled, how far the projection is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pue.contract.errors import Fatal, Retry

FILE = "collector.sqlite"
SCHEMA_VERSION = 3
BUSY_SECONDS = 30.0

SCHEMA = """
CREATE TABLE shard (
    shard TEXT PRIMARY KEY, indexed INTEGER NOT NULL DEFAULT 0, projected INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE batch (
    agent TEXT, epoch TEXT, seq INTEGER, sha256 TEXT NOT NULL, prev TEXT NOT NULL,
    shard TEXT NOT NULL, record INTEGER NOT NULL, PRIMARY KEY (agent, epoch, seq)
) WITHOUT ROWID;
CREATE TABLE epoch (
    agent TEXT, epoch TEXT, settled TEXT NOT NULL, handover TEXT, PRIMARY KEY (agent, epoch)
) WITHOUT ROWID;
CREATE TABLE refused (
    agent TEXT, epoch TEXT, seq INTEGER, reason TEXT NOT NULL, PRIMARY KEY (agent, epoch, seq)
) WITHOUT ROWID;
CREATE TABLE declared (
    agent TEXT, epoch TEXT, from_seq INTEGER, to_seq INTEGER, reason TEXT NOT NULL,
    PRIMARY KEY (agent, epoch, from_seq, to_seq)
) WITHOUT ROWID;
CREATE TABLE config (
    sha256 TEXT PRIMARY KEY, site TEXT NOT NULL, agent TEXT NOT NULL, shard TEXT NOT NULL, record INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, reason TEXT NOT NULL, message TEXT NOT NULL,
    first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, times INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE TABLE incident (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, site TEXT NOT NULL, agent TEXT NOT NULL, subject TEXT NOT NULL,
    detail TEXT NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, times INTEGER NOT NULL,
    UNIQUE (kind, site, agent, subject)
);
CREATE TABLE series (
    site TEXT, meter TEXT, quantity TEXT, first_ms INTEGER NOT NULL, head_ms INTEGER NOT NULL,
    versions TEXT NOT NULL, PRIMARY KEY (site, meter, quantity)
) WITHOUT ROWID;
CREATE TABLE site (site TEXT PRIMARY KEY, changes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE change (
    site TEXT, number INTEGER, from_ms INTEGER NOT NULL, PRIMARY KEY (site, number)
) WITHOUT ROWID;
CREATE TABLE pending (
    config TEXT, shard TEXT, record INTEGER, PRIMARY KEY (config, shard, record)
) WITHOUT ROWID;
CREATE TABLE loser (
    site TEXT, meter TEXT, quantity TEXT, t1_ms INTEGER, shard TEXT, record INTEGER,
    t0_ms INTEGER NOT NULL, count INTEGER NOT NULL, quality INTEGER NOT NULL,
    PRIMARY KEY (site, meter, quantity, t1_ms, shard, record)
) WITHOUT ROWID;
CREATE TABLE outage (
    site TEXT, meter TEXT, from_ms INTEGER, to_ms INTEGER, PRIMARY KEY (site, meter, from_ms, to_ms)
) WITHOUT ROWID;
CREATE TABLE dead_letter (line BLOB PRIMARY KEY, reason TEXT NOT NULL, times INTEGER NOT NULL) WITHOUT ROWID;
"""
DAMAGED = """
CREATE TABLE damaged (
    shard TEXT, record INTEGER, received_ms INTEGER NOT NULL, state TEXT NOT NULL, PRIMARY KEY (shard, record)
) WITHOUT ROWID;
CREATE INDEX batch_record ON batch (shard, record);
"""
PARTS = """
CREATE TABLE config_batch (
    name TEXT, agent TEXT, shard TEXT NOT NULL, record INTEGER NOT NULL, PRIMARY KEY (name, agent)
) WITHOUT ROWID;
INSERT INTO config_batch SELECT sha256, agent, shard, record FROM config;
DROP TABLE config;
CREATE TABLE held (
    agent TEXT, epoch TEXT, seq INTEGER, waits_for TEXT NOT NULL, PRIMARY KEY (agent, epoch, seq)
) WITHOUT ROWID;
CREATE TABLE key_end (
    agent TEXT, key TEXT, epoch TEXT NOT NULL, seq INTEGER NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (agent, key)
) WITHOUT ROWID;
ALTER TABLE epoch ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE quarantine ADD COLUMN agent TEXT NOT NULL DEFAULT '';
"""
STEPS = (SCHEMA, DAMAGED, PARTS)
"""What leads from each version to the next."""


def connect(state_dir: Path) -> sqlite3.Connection:
    """Open the file for writing, making it if needed; one connection per thread.

    Raises
    ------
    Fatal
        If the file is of another version or cannot be opened.
    """
    path = state_dir / FILE
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
        with closed_on_error(db):
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            with transaction(db):
                _migrate(db, path)
    except (sqlite3.Error, OSError) as error:
        raise Fatal(f"{path}: cannot be opened ({error}); check the directory's owner and free space") from None
    return db


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a database another process may be writing.

    Raises
    ------
    Retry
        While it is not there.
    """
    if not path.exists():
        raise Retry(f"{path} is not there yet; start `pue-collector run` or import a file first")
    db = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=BUSY_SECONDS,
        check_same_thread=False,  # used by one, but closed by whichever ends it
    )  # fmt: skip
    with closed_on_error(db):
        db.execute("PRAGMA query_only = ON")
    return db


@contextmanager
def closed_on_error(db: sqlite3.Connection) -> Iterator[None]:
    """Whoever opens a connection and cannot hand it on closes it."""
    try:
        yield
    except BaseException:
        db.close()
        raise


@contextmanager
def reading(name: str | Path) -> Iterator[None]:
    """Whatever SQLite cannot answer now, it may answer later.

    Raises
    ------
    Retry
        Naming the file.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Retry(f"{name}: {error}; the collector may still be starting, else check the disk") from error


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise Fatal(f"{path} has version {version}, this program writes {SCHEMA_VERSION}; move the file away: "
                    "it is rebuilt from the ledger")  # fmt: skip
    for step in STEPS[version:]:
        for statement in step.split(";"):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
