"""Whatever a test opens it closes: what is still open at its end is named, on every Python.

Python itself tells of a file that is forgotten, but of a SQLite connection only since 3.13, and of a descriptor or
of anything that something still refers to never.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

_connections: list[tuple[sqlite3.Connection, str]] = []
"""Every connection made, and by which of our lines; held, so that none closes unseen because nothing refers to it."""


@contextmanager
def nothing_left_open() -> Iterator[None]:
    """Close what is opened inside.

    Raises
    ------
    AssertionError
        Naming the SQLite connections, with the line that opened them, and the files that were left open.
    """
    count = len(_connections)
    files = _files()
    yield
    opened = _connections[count:]
    del _connections[count:]
    left = [f"SQLite connection opened by {place}" for connection, place in opened if _close(connection)]
    left += [f"file {path}" for path in sorted(_files() - files)]
    assert not left, f"left open: {'; '.join(left)}"


def _close(connection: sqlite3.Connection) -> bool:
    """Whether it was still open."""
    try:
        connection.total_changes  # noqa: B018 - the one question that any thread may ask, and only of an open one
    except sqlite3.ProgrammingError:
        return False
    with suppress(sqlite3.ProgrammingError):  # of another thread
        connection.close()
    return True


def _files() -> set[str]:
    """Regular files this process has open; none where the system does not tell."""
    found = set()
    with suppress(FileNotFoundError):
        for number in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):
                path = os.readlink(f"/proc/self/fd/{number}")
                if path.startswith("/") and not path.startswith(("/dev/", "/proc/")):
                    found.add(path)
    return found


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "sqlite3.connect/handle":
        _connections.append((arguments[0], _place()))


def _place() -> str:
    """Our line that is being executed, library code left aside."""
    for frame, line in traceback.walk_stack(sys._getframe(2)):
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and "site-packages" not in path.parts:
            return f"{path.relative_to(ROOT)}:{line}"
    return "a library"


sys.addaudithook(_note)
