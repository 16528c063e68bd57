"""Batch files through the same admission as live data."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

from collector.intake import Arrival, Intake, Taken
from collector.topology import Enrolled
from pue.contract.errors import Fatal, Reject
from pue.contract.wire import MAX_JSON_BYTES, read_lines

GROUP_BATCHES = 256
GZIP_MAGIC = b"\x1f\x8b"


def import_file(path: Path, intake: Intake, enrolled: Enrolled) -> Taken:
    """Take every batch of a file; a batch that is kept already is counted as known.

    Raises
    ------
    Fatal
        If the file cannot be read to its end; what stood before that place is kept.
    """
    total = Taken()
    try:
        with _open(path) as file:
            batches = read_lines(_lines(file))
            while group := [Arrival.of(signed) for signed in islice(batches, GROUP_BATCHES)]:
                total.add(intake.take(group, enrolled))
    except (OSError, EOFError, zlib.error, Reject) as error:
        raise Fatal(
            f"{path}: {error}; {total.committed} batches before that place are kept, import the whole file again"
        ) from None
    return total


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        start = file.read(2)
        file.seek(0)
        if start == GZIP_MAGIC:
            with gzip.open(file) as unpacked:
                yield io.BufferedReader(unpacked)
        else:
            yield file


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines no longer than a batch may be: a file without newlines does not fill the memory."""
    while line := file.readline(MAX_JSON_BYTES + 2):
        yield line
