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
        Rank of the original by when it was kept: of two conflicting readings the lower stays. [-]
    """

    t0_ms: Int64
    t1_ms: Int64
    count: Int64
    quality: Int64
    order: Int64


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """Energy of one series per 15-minute slot; not cumulative, so late knowledge changes only what it touches.

    All columns have shape (S,). The truth of a slot lies in [energy_j - under_j, energy_j + over_j + unknown_j], give
    or take what the edges leave open; `below_*` and `above_*` say how far the true curve can lie under and over the
    estimate at the slot's start edge. In a longer window only the two outer edges count: the inner ones cancel.

    Attributes
    ----------
    start_ms
        Start of each slot, ascending multiples of `SLOT_MS`. [ms UTC]
    energy_j
        Energy in the slot, primary side. [J]
    unknown_j
        The most energy that can have flowed uncounted; `MAX_ENERGY_J` or more: no bound. [J]
    under_j, over_j
        How far known energy can lie under and over `energy_j` wherever the window ends: a step per reset, exchange or
        rescaling inside, the freedom of an integral. [J]
    gap_ms
        Time in the slot not covered by neighbouring readings. [ms]
    below_j, above_j
        Bounds of the curve at `start_ms` relative to the estimate, by the registers alone; `above_j` is `MAX_ENERGY_J`
        where they give none. [J]
    below_capped_j, above_capped_j
        The same, if the meter never carries more than its maximum power: never wider. [J]
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
    under_j: Int64
    over_j: Int64
    gap_ms: Int64
    below_j: Int64
    above_j: Int64
    below_capped_j: Int64
    above_capped_j: Int64
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
