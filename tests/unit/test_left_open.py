"""The check that every test closes what it opens."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.left_open import nothing_left_open

LEFT_HERE = r"SQLite connection opened by tests/unit/test_left_open\.py:\d+"


def test_a_connection_that_nothing_refers_to_any_more_is_named_with_the_line_that_opened_it(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=LEFT_HERE), nothing_left_open():
        sqlite3.connect(tmp_path / "left.sqlite").execute("CREATE TABLE t (x)")


def test_a_connection_to_memory_counts() -> None:
    with pytest.raises(AssertionError, match=LEFT_HERE), nothing_left_open():
        sqlite3.connect(":memory:")


def test_a_connection_in_a_pool_is_named_with_our_line_and_not_the_library_s(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=LEFT_HERE), nothing_left_open():
        sa.create_engine(f"sqlite:///{tmp_path}/left.sqlite").connect().close()


def test_what_was_found_open_is_closed_so_that_the_next_test_is_not_blamed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError), nothing_left_open():
        db = sqlite3.connect(tmp_path / "left.sqlite")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        db.execute("SELECT 1")


def test_a_file_that_something_still_refers_to_is_named(tmp_path: Path) -> None:
    path = tmp_path / "left.txt"
    with pytest.raises(AssertionError, match=f"left open: file {path}"), nothing_left_open():
        handle = os.open(path, os.O_CREAT | os.O_WRONLY)
    os.close(handle)


def test_what_is_closed_or_was_open_before_is_nobody_s_fault(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "before.sqlite")) as before, nothing_left_open():
        before.execute("CREATE TABLE t (x)")
        with closing(sqlite3.connect(tmp_path / "within.sqlite")) as within:
            within.execute("CREATE TABLE t (x)")
        (tmp_path / "written.txt").write_text("closed")
