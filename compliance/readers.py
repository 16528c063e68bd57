"""The collector's series and ledger, read only: the one place where compliance touches its sibling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

import numpy as np

from compliance.settings import Series
from pue.contract.errors import Retry
from pue.contract.quality import NO_VALUE
from pue.contract.series import SeriesKey
from pue.contract.wire import SignedLine
from pue.energy.slots import Int64, Slots

SEARCH_MS = (3_600_000, 86_400_000, 400 * 86_400_000)
"""How far from a time a reading with a value is looked for, nearest first."""


class Readings(Protocol):
    """Columns of readings, ascending by `t1_ms`; `record` is the ledger record of the batch they came in."""

    @property
    def t0_ms(self) -> Int64: ...
    @property
    def t1_ms(self) -> Int64: ...
    @property
    def count(self) -> Int64: ...
    @property
    def quality(self) -> Int64: ...
    @property
    def record(self) -> Int64: ...


class SeriesReader(Protocol):
    """What evaluation and evidence need of the collector."""

    def keys(self, site: str) -> Sequence[SeriesKey]: ...
    def slots(self, key: SeriesKey, from_ms: int, to_ms: int) -> Slots: ...
    def readings(self, key: SeriesKey, from_ms: int, to_ms: int) -> Readings: ...
    def watermark_ms(self, site: str) -> int | None: ...
    def change_cursor(self, site: str) -> int: ...
    def changed_from_ms(self, site: str, cursor: int) -> int | None: ...
    def positions(self) -> Mapping[str, int]: ...
    def original(self, shard: str, record: int) -> SignedLine: ...


class OpenedReader(SeriesReader, Protocol):
    """One that holds files open, in every thread that has asked it."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading that has a value."""

    t1_ms: int
    count: int
    quality: int
    record: int


def reading_before(reader: SeriesReader, key: SeriesKey, at_ms: int) -> Reading | None:
    """The last reading with a value before a time."""
    return _nearest(reader, key, at_ms, -1)


def reading_from(reader: SeriesReader, key: SeriesKey, at_ms: int) -> Reading | None:
    """The first reading with a value at or after a time."""
    return _nearest(reader, key, at_ms, +1)


def _nearest(reader: SeriesReader, key: SeriesKey, at_ms: int, direction: int) -> Reading | None:
    """Look in wider and wider spans, so that the usual case reads little."""
    for span_ms in SEARCH_MS:
        from_ms, to_ms = (at_ms - span_ms, at_ms) if direction < 0 else (at_ms, at_ms + span_ms)
        found = reader.readings(key, from_ms, to_ms)
        good = np.flatnonzero((found.quality & int(NO_VALUE)) == 0)
        if len(good):
            index = int(good[-1] if direction < 0 else good[0])
            return Reading(*(int(column[index]) for column in (found.t1_ms, found.count, found.quality, found.record)))
    return None


class Reader:
    """Opens the series store when it is there; until then it says what is missing."""

    def __init__(self, settings: Series) -> None:
        self._settings = settings
        self._lock = Lock()
        self._reader: OpenedReader | None = None

    def get(self) -> SeriesReader | None:
        """The reader, or None while the store does not exist or does not answer."""
        with self._lock:
            if self._reader is None and not self._absent():
                self._reader = _open(self._settings)
            return self._reader

    def missing(self) -> str:
        """What is not there yet, with its remedy; empty when all is there."""
        reader = self.get()
        if reader is None:
            return self._absent()
        try:
            reader.positions()
        except Retry as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Give up the reader; the next question opens another."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _absent(self) -> str:
        path = self._settings.path
        if self._settings.store == "sqlite" and (path is None or not path.exists()):
            return f"series store {path} does not exist yet; start the collector or run `pue-collector import`"
        return ""


class FixedReader(Reader):
    """A reader that is already open, e.g. one of made-up slots."""

    def __init__(self, reader: SeriesReader) -> None:
        self._fixed = reader

    def get(self) -> SeriesReader:
        """The reader it was given."""
        return self._fixed

    def missing(self) -> str:
        """Nothing."""
        return ""

    def close(self) -> None:
        """Nothing: who opened it closes it."""


def _open(settings: Series) -> OpenedReader:
    from collector import read

    values: dict[str, Any] = settings.model_dump(exclude={"state_dir"}, exclude_none=True)
    reader: OpenedReader = read.open_reader(read.SeriesSettings(**values), settings.state_dir)
    return reader
