"""The append-only files of original batches, one directory per shard.

A segment is a row of frames: `HEADER`, then the gzip of JSON line, newline, signature as it came. Records are numbered
from 0 in each shard; a segment is named after its first record. Nothing here is ever changed or deleted. A record that
cannot be read is stepped over; when its agent has sent it again, it stands in the repair file under its own number.
"""

from __future__ import annotations

import fcntl
import io
import logging
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator
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
REPAIRS = "repairs.frames"


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


@dataclass(frozen=True, slots=True)
class Lost:
    """A number whose record cannot be read; `received_ms` is that of the one before, for what takes its place."""

    number: int
    received_ms: int


def pack(signed: SignedLine) -> bytes:
    """Gzip for the ledger: fast rather than small, and equal input gives equal bytes."""
    # Not `gzip.compress`: its header has the time of packing. 31 is 15 bits of window and 16 for gzip's own frame.
    squeeze = zlib.compressobj(1, wbits=31)
    return squeeze.compress(signed.line + b"\n" + signed.signature) + squeeze.flush()


def frame(record: Record) -> bytes:
    """Bytes of one record in a segment."""
    # The checksum covers the header too: a flipped bit in a length must not pass for a shorter record.
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
    # The size is not to be trusted before the checksum, which needs the body: a limit keeps a wrong one from being
    # read.
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


Genuine = Callable[[Record], bool]
"""Whether a record is the one that was filed under its number."""


def frames(file: BinaryIO, number: int, is_genuine: Genuine | None = None) -> Iterator[Record]:
    """Whole records from the file's position on, where that of a number stands; damaged ones are stepped over."""
    while True:
        at = file.tell()
        record = read_frame(file)
        if record is None:
            behind = _next_frame(file, at, number, is_genuine)
            if behind is None:
                return
            file.seek(behind)
        else:
            number = record.number + 1
            yield record


def _next_frame(file: BinaryIO, damaged: int, number: int, is_genuine: Genuine | None) -> int | None:
    """Where the next record begins behind one that is damaged; None if there is none.

    Whoever signs a batch chooses its bytes, and may hide frames in it; the index tells which are genuine. Without one a
    frame is believed only if frames follow it without a gap, each counting up by one, to the end of the file, where one
    may still be being written: hidden ones that lead on to a genuine one would give its number twice, or have the
    damaged record's own. What lies between two damages is then lost with them.
    """
    file.seek(damaged)
    data = file.read()
    # From 1: at 0 stands the frame that cannot be read.
    place = data.find(MAGIC, 1)
    while place >= 0:
        found = _frame_at(data, place)
        if found and found.number > number and _is_believed(found, data, place, is_genuine):
            return damaged + place
        place = data.find(MAGIC, place + 1)
    return None


def _is_believed(found: Record, data: bytes, place: int, is_genuine: Genuine | None) -> bool:
    return is_genuine(found) if is_genuine else _leads_to_end(data, place, found.number)


def _leads_to_end(data: bytes, place: int, number: int) -> bool:
    while not _is_cut(data, place):
        found = _frame_at(data, place)
        if found is None or found.number != number:
            return False
        place += FRAME_BYTES + len(found.payload)
        number += 1
    return True


def _is_cut(data: bytes, place: int) -> bool:
    """Whether a frame that starts here has not ended yet where the data end."""
    rest = len(data) - place
    return rest < FRAME_BYTES or HEADER.unpack_from(data, place)[1] > rest - FRAME_BYTES


def _row(file: BinaryIO) -> Iterator[Record]:
    """Whole records up to the first that is none."""
    while (record := read_frame(file)) is not None:
        yield record


class LedgerReader:
    """Reads a shard's records; any number of processes may, while one writes.

    Parameters
    ----------
    directory
        The shard's directory; it need not exist yet.
    is_genuine
        Asked of every record, if there is an index to ask: what is not genuine is lost.
    """

    def __init__(self, directory: Path, is_genuine: Genuine | None = None) -> None:
        self.directory = directory
        self._is_genuine = is_genuine
        self._bookmark: tuple[int, Path, int] | None = None

    def records(self, start: int, stop: int) -> Iterator[Record | Lost]:
        """Records start..stop, stop excluded: every number once, as its record or as lost."""
        received_ms = 0
        repairs = self._repairs()
        while start < stop:
            path, (number, offset), end = self._find(start, stop)
            for record in self._readable(path, number, offset):
                if record.number >= end:
                    break
                # Numbers that this segment skips were damaged; a repair stands for each that came again.
                while start < record.number:
                    yield repairs.get(start, Lost(start, received_ms))
                    start += 1
                if record.number == start:
                    yield self._genuine(repairs.get(start, record), received_ms)
                    start += 1
                received_ms = record.received_ms
                if start == end:
                    break
            while start < end:
                yield repairs.get(start, Lost(start, received_ms))
                start += 1

    def read(self, number: int) -> Record:
        """One record.

        Raises
        ------
        Fatal
            If it is missing or damaged, and its agent has not sent it again.
        """
        found = next(self.records(number, number + 1))
        if isinstance(found, Lost):
            raise Fatal(
                f"{self.directory}: record {number} is missing or damaged; its agent is asked to send it again, "
                "or restore the segment from a copy"
            )
        return found

    def _find(self, number: int, stop: int) -> tuple[Path | None, tuple[int, int], int]:
        """Segment and place to start looking for a record, and the number before which to look no further.

        The place is the bookmark if that is behind the record in the same segment.
        """
        path = None
        first = 0
        for begins, candidate in segments(self.directory):
            if begins > number:
                return path, self._place(path, first, number), min(begins, stop)
            path = candidate
            first = begins
        return path, self._place(path, first, number), stop

    def _place(self, path: Path | None, first: int, number: int) -> tuple[int, int]:
        if self._bookmark and self._bookmark[1] == path and first <= self._bookmark[0] <= number:
            return self._bookmark[0], self._bookmark[2]
        return first, 0

    def _readable(self, path: Path | None, number: int, offset: int) -> Iterator[Record]:
        """Whole records of a segment, remembering where the last one ended."""
        if path is None:
            return
        with path.open("rb") as file:
            file.seek(offset)
            for record in frames(file, number, self._is_genuine):
                self._bookmark = (record.number + 1, path, file.tell())
                yield record

    def _genuine(self, record: Record, received_ms: int) -> Record | Lost:
        if self._is_genuine is None or self._is_genuine(record):
            return record
        return Lost(record.number, received_ms)

    def _repairs(self) -> dict[int, Record]:
        """Records that were put back, by number; of several the last, for only that one was filed."""
        path = self.directory / REPAIRS
        if not path.exists():
            return {}
        with path.open("rb") as file:
            return {record.number: record for record in _row(file)}


class Ledger:
    """The writing end of one shard: exclusive, durable after `sync`.

    Parameters
    ----------
    directory
        The shard's directory; made if missing.
    known
        Numbers below are filed, and perhaps acked: they are never given again, readable or not.
    segment_bytes
        A new segment begins once one is this large. [B]

    Raises
    ------
    Fatal
        If another process owns the shard, or all of its segments are gone.
    """

    def __init__(self, directory: Path, known: int = 0, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.directory = directory
        self.reader = LedgerReader(directory)
        self.torn_bytes = 0
        self._segment_bytes = segment_bytes
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = self._own()
        try:
            self.generation = self._count_start()
            self._file, self.committed = self._recover(known)
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
            # A group goes into one segment whole: a new one is begun before it, never in its middle.
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
            # What was written of the group has no ack and no index: off again, so that the next group begins where this
            # one did.
            self._file.truncate(end)
            raise Retry(f"{self._file.name}: cannot append ({error}); make room on the disk") from error
        self.committed += len(self._pending)
        self._pending.clear()

    def repair(self, record: Record) -> None:
        """Put a record back under its number; durable when this returns.

        Raises
        ------
        Retry
            If the disk refuses.
        """
        path = self.directory / REPAIRS
        try:
            with path.open("ab", buffering=0) as file:
                write_all(file, frame(record))
                os.fsync(file.fileno())
            _sync_folder(self.directory)
        except OSError as error:
            raise Retry(f"{path}: cannot append ({error}); make room on the disk") from error

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
        """Next generation, written down before anything else happens: `pid generation`.

        It is a time, so that an owner on another machine, which knows nothing of this file, has a later one too.
        """
        words = os.pread(self._lock, 100, 0).split()
        # Empty in a new folder.
        last = int(words[1]) if len(words) == 2 and words[1].isdigit() else 0
        generation = max(last + 1, time.time_ns() // 1_000_000)
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()} {generation}\n".encode(), 0)
        os.fsync(self._lock)
        return generation

    def _recover(self, known: int) -> tuple[BinaryIO, int]:
        """Find the end of the last segment and put a torn tail aside.

        Bytes at the end are torn only if no number is filed for them; else they are damaged originals, which stay where
        they are, and a new segment begins behind them. Behind damage only numbers that are filed are believed.
        """
        found = segments(self.directory)
        if not found:
            if known:
                raise Fatal(
                    f"{self.directory} has no segment, and the index knows {known} records of it; restore the ledger "
                    "from a copy, or move collector.sqlite away and run `pue-collector rebuild`: agents then send "
                    "again what they still keep"
                )
            return self._new_segment(0), 0
        count, path = found[-1]
        end = 0
        with path.open("rb") as scan:
            for record in frames(scan, count):
                if record.number != count and record.number >= known:
                    break
                count = record.number + 1
                end = scan.tell()
        if count < known:
            return self._new_segment(known), known
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
        # A file is durable only once its folder is, and that one's own: shard, ledger and state directory may all be
        # new.
        for folder in (self.directory, self.directory.parent, self.directory.parent.parent):
            _sync_folder(folder)
        return file


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _frame_at(data: bytes, place: int) -> Record | None:
    return read_frame(io.BytesIO(data[place : place + FRAME_BYTES + MAX_BODY_BYTES]))
