"""The collector's series and ledger, read only: the one place where compliance touches its sibling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, Protocol

from compliance.settings import Series
from pue.errors import Retry
from pue.series import SeriesKey
from pue.slots import Int64, Slots
from pue.wire import SignedLine


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
    def positions(self) -> Mapping[str, int]: ...
    def original(self, shard: str, record: int) -> SignedLine: ...


class Reader:
    """Opens the series store when it is there; until then it says what is missing."""

    def __init__(self, settings: Series) -> None:
        self._settings = settings
        self._lock = Lock()
        self._reader: SeriesReader | None = None

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


def _open(settings: Series) -> SeriesReader:
    from collector import read

    values: dict[str, Any] = settings.model_dump(exclude={"state_dir"}, exclude_none=True)
    reader: SeriesReader = read.open_reader(read.SeriesSettings(**values), settings.state_dir)
    return reader
