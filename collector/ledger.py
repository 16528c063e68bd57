"""The append-only files of original batches, one directory per shard.

A segment is a row of frames: `HEADER`, then the gzip of JSON line, newline, signature as it came. Records are numbered
from 0 in each shard; a segment is named after its first record. Nothing here is ever changed or deleted.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pue.contract.errors import Fatal, Retry
from pue.contract.signing import SIGNATURE_CHARS
from pue.contract.wire import MAX_JSON_BYTES, SignedLine, unpack

log = logging.getLogger(__name__)

MAGIC = b"PUE1"
HEADER = struct.Struct(">4sIQQ")
"""Magic, bytes of the body, record number, receive time [ms UTC]."""
CRC = struct.Struct(">I")
"""CRC-32 of header and body, between the two."""
FRAME_BYTES = HEADER.size + CRC.size
MAX_BODY_BYTES = MAX_JSON_BYTES + SIGNATURE_CHARS + 4096
SEGMENT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """One original in the ledger."""

    number: int
    received_ms: int
    payload: bytes

    @property
    def signed(self) -> SignedLine:
        """The exact line and its signature."""
        return unpack(self.payload)


def pack(signed: SignedLine) -> bytes:
    """Gzip for the ledger: fast rather than small, and equal input gives equal bytes."""
    squeeze = zlib.compressobj(1, wbits=31)
    return squeeze.compress(signed.line + b"\n" + signed.signature) + squeeze.flush()


def frame(record: Record) -> bytes:
    """Bytes of one record in a segment."""
    header = HEADER.pack(MAGIC, len(record.payload), record.number, record.received_ms)
    return header + CRC.pack(zlib.crc32(record.payload, zlib.crc32(header))) + record.payload


def segments(directory: Path) -> list[tuple[int, Path]]:
    """First record and path of each segment, ascending."""
    return sorted((int(path.stem), path) for path in directory.glob("*.seg"))


def read_frame(file: BinaryIO) -> Record | None:
    """The next whole record, or None where the bytes end or do not fit."""
    start = file.read(FRAME_BYTES)
    if len(start) < FRAME_BYTES:
        return None
    header = start[: HEADER.size]
    (crc,) = CRC.unpack(start[HEADER.size :])
    magic, size, number, received_ms = HEADER.unpack(header)
    if magic != MAGIC or size > MAX_BODY_BYTES:
        return None
    body = file.read(size)
    if len(body) < size or zlib.crc32(body, zlib.crc32(header)) != crc:
        return None
    return Record(number, received_ms, body)


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write every byte: an unbuffered write may stop early, and says why only when asked again."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def frames(file: BinaryIO) -> Iterator[Record]:
    """Whole records from the file's position on."""
    while (record := read_frame(file)) is not None:
        yield record


class LedgerReader:
    """Reads a shard's records; any number of processes may, while one writes.

    Parameters
    ----------
    directory
        The shard's directory; it need not exist yet.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._bookmark: tuple[int, Path, int] | None = None

    def records(self, start: int, stop: int) -> Iterator[Record]:
        """Records start..stop, stop excluded.

        Raises
        ------
        Fatal
            If one of them is missing or damaged.
        """
        while start < stop:
            path, offset = self._find(start)
            with path.open("rb") as file:
                file.seek(offset)
                for record in frames(file):
                    self._bookmark = (record.number + 1, path, file.tell())
                    if record.number >= start:
                        start = record.number + 1
                        yield record
                    if start >= stop:
                        return
            if self._find(start)[0] == path:
                raise self._lost(start)

    def read(self, number: int) -> Record:
        """One record."""
        return next(self.records(number, number + 1))

    def _find(self, number: int) -> tuple[Path, int]:
        """Where to start looking for a record: from the bookmark if that is behind it in the same segment."""
        earlier = [item for item in segments(self.directory) if item[0] <= number]
        if not earlier:
            raise self._lost(number)
        first, path = earlier[-1]
        if self._bookmark and self._bookmark[1] == path and first <= self._bookmark[0] <= number:
            return path, self._bookmark[2]
        return path, 0

    def _lost(self, number: int) -> Fatal:
        return Fatal(f"{self.directory}: record {number} is missing or damaged; restore the segment from a copy")


class Ledger:
    """The writing end of one shard: exclusive, durable after `sync`.

    Parameters
    ----------
    directory
        The shard's directory; made if missing.
    segment_bytes
        A new segment begins once one is this large. [B]

    Raises
    ------
    Fatal
        If another process owns the shard.
    """

    def __init__(self, directory: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.directory = directory
        self.reader = LedgerReader(directory)
        self.torn_bytes = 0
        self._segment_bytes = segment_bytes
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = self._own()
        try:
            self.generation = self._count_start()
            self._file, self.committed = self._recover()
        except BaseException:
            os.close(self._lock)
            raise
        self._pending: list[bytes] = []

    @property
    def next_record(self) -> int:
        """Number the next appended record gets."""
        return self.committed + len(self._pending)

    def append(self, payload: bytes, received_ms: int) -> int:
        """Queue one original; it is durable after the next `sync`. Returns its record number."""
        number = self.next_record
        self._pending.append(frame(Record(number, received_ms, payload)))
        return number

    def sync(self) -> None:
        """Write what is queued and wait until the disk has it.

        Raises
        ------
        Retry
            If the disk refuses; nothing of the group is kept then.
        """
        if not self._pending:
            return
        try:
            self._roll()
        except OSError as error:
            self.discard()
            raise Retry(f"{self.directory}: cannot begin a segment ({error}); make room on the disk") from error
        end = self._file.seek(0, os.SEEK_END)
        try:
            write_all(self._file, b"".join(self._pending))
            os.fsync(self._file.fileno())
        except OSError as error:
            self.discard()
            self._file.truncate(end)
            raise Retry(f"{self._file.name}: cannot append ({error}); make room on the disk") from error
        self.committed += len(self._pending)
        self._pending.clear()

    def discard(self) -> None:
        """Forget what is queued and not yet written."""
        self._pending.clear()

    def close(self) -> None:
        """Give up the shard."""
        self._file.close()
        os.close(self._lock)

    def _roll(self) -> None:
        """Begin a new segment if the last one is full."""
        if self._file.seek(0, os.SEEK_END) >= self._segment_bytes:
            full = self._file
            self._file = self._new_segment(self.committed)
            full.close()

    def _own(self) -> int:
        handle = os.open(self.directory / "owner", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(handle, 100).decode(errors="replace").partition(" ")[0] or "unknown"
            os.close(handle)
            raise Fatal(
                f"shard {self.directory.name} in {self.directory.parent} is owned by process {holder}; "
                "stop that collector first"
            ) from None
        return handle

    def _count_start(self) -> int:
        """Next generation, written down before anything else happens: `pid generation`."""
        words = os.pread(self._lock, 100, 0).split()
        generation = int(words[1]) + 1 if len(words) == 2 and words[1].isdigit() else 1
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()} {generation}\n".encode(), 0)
        os.fsync(self._lock)
        return generation

    def _recover(self) -> tuple[BinaryIO, int]:
        """Find the end of the last segment and put a torn tail aside."""
        found = segments(self.directory)
        if not found:
            return self._new_segment(0), 0
        count, path = found[-1]
        end = 0
        with path.open("rb") as scan:
            for record in frames(scan):
                count = record.number + 1
                end = scan.tell()
        file = path.open("r+b", buffering=0)
        try:
            self._put_aside(file, end, count)
            file.seek(end)
        except BaseException:
            file.close()
            raise
        return file, count

    def _put_aside(self, file: BinaryIO, end: int, count: int) -> None:
        """Move bytes after the last whole record, left by a crash before their fsync, to a file of their own."""
        file.seek(end)
        tail = file.read()
        if not tail:
            return
        self.torn_bytes = len(tail)
        log.warning("%s: %d torn bytes after record %d put aside", file.name, len(tail), count - 1)
        (self.directory / f"torn-{count:016d}-{self.generation}.bin").write_bytes(tail)
        file.truncate(end)
        os.fsync(file.fileno())

    def _new_segment(self, first: int) -> BinaryIO:
        file = (self.directory / f"{first:016d}.seg").open("w+b", buffering=0)
        for folder in (self.directory, self.directory.parent, self.directory.parent.parent):
            handle = os.open(folder, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        return file
