"""Readings and slots as columns of numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Readings of one series, in any order; all columns have shape (N,).

    Attributes
    ----------
    t0_ms, t1_ms
        Request sent and reply received: the true time lies between them. [ms UTC]
    count
        Integer at the register's exponent, before CT and PT; 0 where there is no value. [counts]
    quality
        Bits of `pue.contract.quality.Quality`.
    order
        Rank of the batch by (epoch, seq): of two conflicting readings the lower stays. [-]
    """

    t0_ms: Int64
    t1_ms: Int64
    count: Int64
    quality: Int64
    order: Int64


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """Energy of one series per 15-minute slot; not cumulative, so late knowledge changes only what it touches.

    All columns have shape (S,). `below_j` and `above_j` speak of the slot's start edge: how far the true curve can lie
    under or over the estimate there, from the registers just before and after it.

    Attributes
    ----------
    start_ms
        Start of each slot, ascending multiples of `SLOT_MS`. [ms UTC]
    energy_j
        Energy in the slot, primary side. [J]
    unknown_j
        The most energy the slot can hold beyond `energy_j`. [J]
    gap_ms
        Time in the slot not covered by neighbouring readings. [ms]
    below_j, above_j
        Bounds of the curve at `start_ms` relative to the estimate, both >= 0. [J]
    flags
        Bits of `pue.contract.quality.Flag`.
    revision
        How often the slot changed after it was first written. [-]
    topology
        Version of the topology document it was computed with. [-]
    """

    start_ms: Int64
    energy_j: Int64
    unknown_j: Int64
    gap_ms: Int64
    below_j: Int64
    above_j: Int64
    flags: Int64
    revision: Int64
    topology: Int64

    @classmethod
    def empty(cls) -> Self:
        """No slots."""
        return cls(*(np.empty(0, np.int64) for _ in fields(cls)))

    def __len__(self) -> int:
        return len(self.start_ms)

    def select(self, where: npt.NDArray[np.bool_] | slice | Int64) -> Self:
        """Rows at an index, a mask or a slice."""
        return type(self)(*(getattr(self, field.name)[where] for field in fields(self)))
