"""The SQLite file under the spool: its tables, its durability, one process at a time."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from pue.contract.errors import Fatal

PAGE_BYTES = 4096
SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE epoch (
    epoch TEXT PRIMARY KEY,
    prev_epoch TEXT,
    head_seq INTEGER NOT NULL,
    head_sha TEXT NOT NULL,
    config_sha TEXT,
    acked_upto INTEGER NOT NULL DEFAULT 0,
    pruned_upto INTEGER NOT NULL DEFAULT 0,
    pruned_sha TEXT,
    is_forked INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE batch (
    id INTEGER PRIMARY KEY,
    epoch TEXT NOT NULL,
    seq INTEGER NOT NULL,
    sha TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload BLOB NOT NULL,
    appended_ms INTEGER NOT NULL,
    acked_ms INTEGER,
    carried_epoch TEXT,
    carried_seq INTEGER,
    UNIQUE (epoch, seq)
) STRICT;
CREATE INDEX batch_unsettled ON batch (epoch, seq) WHERE acked_ms IS NULL AND carried_seq IS NULL;
CREATE INDEX batch_carried ON batch (carried_epoch, carried_seq) WHERE carried_seq IS NOT NULL;
CREATE TABLE declared (epoch TEXT NOT NULL, from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL,
    PRIMARY KEY (epoch, from_seq, to_seq)) STRICT;
"""
_NOTE = "CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT"
"""Added after release 0.1, which passes it over: a spool may go back to it."""


def open_file(path: Path, max_pages: int) -> sqlite3.Connection:
    """Open or create the database: every commit is synced to disk, and it grows to `max_pages` at most.

    Raises
    ------
    Fatal
        If it is no database, or of another version.
    """
    db = sqlite3.connect(path, isolation_level=None, timeout=5, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA max_page_count = {max_pages}")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise Fatal(f"{path} was written by another version (schema {version}); use the version that wrote it")
        db.execute(_NOTE)
    except sqlite3.DatabaseError as error:
        db.close()
        raise Fatal(f"{path} cannot be used as the spool ({error}); move it aside or restore it") from None
    except Fatal:
        db.close()
        raise
    return db


def lock_folder(folder: Path) -> int:
    """Create the state directory and hold its lock; returns the handle whose closing releases it.

    Raises
    ------
    Fatal
        If another process holds it, naming that process.
    """
    path = folder / "spool.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Fatal(f"{path}: {error.strerror}; correct agent.state_dir or its permissions") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.pread(handle, 20, 0).decode(errors="replace").strip() or "?"
        os.close(handle)
        raise Fatal(f"{path} is held by process {owner}; stop that agent or use another agent.state_dir") from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle
