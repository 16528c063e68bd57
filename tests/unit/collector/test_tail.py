"""What is kept in memory is what the store would answer."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from collector.store import Rows, Table, empty, overlay
from collector.tail import KEPT_ROWS, TailCache
from pue.contract.series import SeriesKey
from pue.energy.slots import Int64

KEYS = [SeriesKey("km01", f"m{index}", "power") for index in range(2)]


class Memory:
    """A store in a dictionary that counts the questions it is asked."""

    def __init__(self) -> None:
        self.rows: dict[SeriesKey, Int64] = {}
        self.asked = 0

    def read(self, table: Table, key: SeriesKey, from_ms: int, to_ms: int) -> Int64:
        self.asked += 1
        columns = self.rows.get(key, empty(table))
        return columns[:, (columns[0] >= from_ms) & (columns[0] < to_ms)]

    def write(self, rows: Sequence[Rows]) -> list[tuple[bytes, str]]:
        for item in rows:
            self.rows[item.key] = overlay(self.rows.get(item.key, empty(item.table)), item.columns)
        return []

    def wipe(self) -> None:
        self.rows.clear()

    def close(self) -> None:
        """Nothing to let go of."""


def block(times: Sequence[int], value: int) -> Int64:
    columns = np.full((5, len(times)), value, np.int64)
    columns[0] = sorted(times)
    return columns


@pytest.mark.parametrize("seed", range(5))
def test_any_writes_and_reads_give_what_the_store_has(seed: int) -> None:
    choice, store = random.Random(seed), Memory()
    cache, head = TailCache(store), 0
    for step in range(400):
        key = choice.choice(KEYS)
        low = choice.choice((head, head, max(0, head - 50), choice.randrange(head + 1)))
        times = choice.sample(range(low, low + 60), choice.randrange(1, 20))
        cache.write([Rows(Table.READING, key, block(times, step))])
        head = max(head, *times)
        since = choice.choice((max(0, head - 30), choice.randrange(head + 1)))
        for until in (head + 1, choice.randrange(since, head + 2)):
            found = cache.read(Table.READING, key, since, until, to_end=until > head)
            plain = store.rows.get(key, empty(Table.READING))
            assert (found == plain[:, (plain[0] >= since) & (plain[0] < until)]).all()


def test_readings_in_order_ask_the_store_once() -> None:
    store = Memory()
    cache = TailCache(store)
    for step in range(3 * KEPT_ROWS):
        cache.read(Table.READING, KEYS[0], max(0, step - 20), step, to_end=True)
        cache.write([Rows(Table.READING, KEYS[0], block([step], step))])
    assert store.asked == 1
