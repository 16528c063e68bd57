"""Transactions end, whatever ends them, and the error that is told is the one that happened."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from collector.database import FILE, connect, transaction
from pue.contract.errors import Fatal


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    made = connect(tmp_path)
    made.execute("PRAGMA foreign_keys = ON")
    made.execute("CREATE TABLE owner (id INTEGER PRIMARY KEY)")
    made.execute("CREATE TABLE thing (owner INTEGER REFERENCES owner DEFERRABLE INITIALLY DEFERRED)")
    yield made
    made.close()


def test_a_commit_that_is_refused_leaves_room_for_the_next_transaction(db: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError), transaction(db):
        db.execute("INSERT INTO thing VALUES (7)")
    with transaction(db):
        db.execute("INSERT INTO owner VALUES (8)")
    assert db.execute("SELECT count(*) FROM thing").fetchone() == (0,)


def test_an_error_after_which_sqlite_rolled_back_itself_is_told_as_it_was(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO owner VALUES (1)")
    with pytest.raises(sqlite3.IntegrityError), transaction(db):
        db.execute("INSERT OR ROLLBACK INTO owner VALUES (1)")
    assert not db.in_transaction


def test_a_file_of_another_version_is_refused_and_closed(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(Fatal, match="has version 99"):
        connect(tmp_path)


def test_a_file_that_is_no_database_is_refused_and_closed(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"x" * 8192)
    with pytest.raises(Fatal, match="cannot be opened"):
        connect(tmp_path)
