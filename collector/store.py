"""What a series store has to do, whichever engine keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pue.contract.quality import NO_VALUE
from pue.contract.series import READING_FIELDS, READING_MEASUREMENT, SLOT_FIELDS, SLOT_MEASUREMENT, SeriesKey
from pue.energy.slots import Int64, Samples, Slots


class Table(Enum):
    """The two kinds of rows; the value is the measurement's name and its fields beside the time."""

    READING = (READING_MEASUREMENT, READING_FIELDS)
    SLOT = (SLOT_MEASUREMENT, SLOT_FIELDS)

    @property
    def measurement(self) -> str:
        """Name of the measurement."""
        name: str = self.value[0]
        return name

    @property
    def fields(self) -> tuple[str, ...]:
        """Columns beside the time."""
        fields: tuple[str, ...] = self.value[1]
        return fields

    @property
    def width(self) -> int:
        """Number of columns, the time included."""
        return 1 + len(self.fields)


def empty(table: Table) -> Int64:
    """No rows of a table."""
    return np.empty((table.width, 0), np.int64)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one series: `columns` has shape (table.width, N), times in the first row, ascending and distinct."""

    table: Table
    key: SeriesKey
    columns: Int64


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Readings of one series; all columns have shape (N,).

    Attributes
    ----------
    t1_ms, t0_ms
        Reply received, request sent. [ms UTC]
    count
        0 where `quality` says that there is no value. [counts]
    quality
        Bits of `pue.contract.quality.Quality`.
    record
        Number of the original in its shard's ledger.
    """

    t1_ms: Int64
    t0_ms: Int64
    count: Int64
    quality: Int64
    record: Int64

    @classmethod
    def of(cls, columns: Int64) -> Readings:
        """From the columns of a store."""
        return cls(*columns)

    def __len__(self) -> int:
        return len(self.t1_ms)

    def samples(self) -> Samples:
        """As `pue.energy.registers` takes them."""
        order = np.zeros_like(self.t1_ms)
        return Samples(t0_ms=self.t0_ms, t1_ms=self.t1_ms, count=self.count, quality=self.quality, order=order)


def slots_of(columns: Int64) -> Slots:
    """From the columns of a store."""
    return Slots(*columns)


def has_value(quality: Int64) -> npt.NDArray[np.bool_]:
    """Which readings have a count."""
    valued: npt.NDArray[np.bool_] = (quality & int(NO_VALUE)) == 0
    return valued


def overlay(base: Int64, over: Int64) -> Int64:
    """Both, in order of time; at equal times the row of `over`."""
    if base.shape[1] == 0 or over.shape[1] == 0:
        return base if over.shape[1] == 0 else over
    if base[0, -1] < over[0, 0]:
        return np.concatenate((base, over), axis=1)
    both = np.concatenate((base, over), axis=1)
    both = both[:, np.argsort(both[0], kind="stable")]
    last = np.append(both[0, 1:] != both[0, :-1], True)
    return both[:, last]


class SeriesReaderStore(Protocol):
    """The reading half."""

    def read(self, table: Table, key: SeriesKey, from_ms: int, to_ms: int) -> Int64:
        """Rows with from_ms <= time < to_ms, ascending.

        Raises
        ------
        Retry
            If the engine does not answer.
        """

    def close(self) -> None:
        """Let go of files and connections."""


class SeriesStore(SeriesReaderStore, Protocol):
    """Both halves; a row replaces the one at the same series and time."""

    def write(self, rows: Sequence[Rows]) -> list[tuple[bytes, str]]:
        """Make all rows durable, or raise. Returns lines the engine refuses for good, each with its reason.

        Raises
        ------
        Retry
            If the engine does not answer; the same call may be made again.
        """

    def wipe(self) -> None:
        """Remove every row, whichever version of this program wrote it."""
