"""The newest rows of each series in memory, so that readings in order cost the store no question."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from collector.store import Rows, SeriesStore, Table, overlay
from pue.contract.series import SeriesKey
from pue.energy.slots import Int64

KEPT_ROWS = 256
"""Rows kept per series and table: some hours at 15 minutes, an hour at 15 seconds."""
MAX_SERIES = 20_000
"""Series and tables kept, the least recently used ones go first; about 10 kB each."""


class TailCache:
    """A store seen by its only writer; every row from a tail's start on is in the tail.

    Parameters
    ----------
    store
        Asked for what is not kept.
    """

    def __init__(self, store: SeriesStore) -> None:
        self._store = store
        self._tails: OrderedDict[tuple[Table, SeriesKey], tuple[int, Int64]] = OrderedDict()

    def read(self, table: Table, key: SeriesKey, from_ms: int, to_ms: int, *, to_end: bool) -> Int64:
        """Rows with from_ms <= time < to_ms.

        Parameters
        ----------
        to_end
            Whether the caller knows that there is nothing from `to_ms` on: the answer is then kept.
        """
        tail = self._tails.get((table, key))
        if tail is not None and tail[0] <= from_ms:
            self._tails.move_to_end((table, key))
            # Row 0 of the columns are the times, ascending.
            low, high = np.searchsorted(tail[1][0], (from_ms, to_ms))
            return tail[1][:, low:high]
        columns = self._store.read(table, key, from_ms, to_ms)
        if to_end:
            self._keep(table, key, from_ms, columns)
        return columns

    def write(self, rows: Sequence[Rows]) -> list[tuple[bytes, str]]:
        """Write through, then remember."""
        refused = self._store.write(rows)
        for item in rows:
            tail = self._tails.get((item.table, item.key))
            if tail is not None and item.columns.shape[1]:
                since_ms, columns = tail
                # Rows of before the tail are in the store only: kept here, they would stand for a past that is not
                # here.
                recent = item.columns[:, np.searchsorted(item.columns[0], since_ms) :]
                self._keep(item.table, item.key, since_ms, overlay(columns, recent))
        return refused

    def _keep(self, table: Table, key: SeriesKey, since_ms: int, columns: Int64) -> None:
        # Cut at twice the size only, so that most writes copy nothing. The tail then begins with its first row.
        if columns.shape[1] > 2 * KEPT_ROWS:
            columns = columns[:, -KEPT_ROWS:].copy()
            since_ms = int(columns[0, 0])
        self._tails[table, key] = (since_ms, columns)
        self._tails.move_to_end((table, key))
        if len(self._tails) > MAX_SERIES:
            self._tails.popitem(last=False)
