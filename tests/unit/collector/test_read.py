"""A reader keeps files open per thread, and lets go of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from collector.app import projecting
from collector.database import FILE
from pue.contract.errors import Fatal
from pue.contract.series import SeriesKey
from tests.support.collectors import Bench, bench
from tests.support.left_open import nothing_left_open
from tests.support.plants import START_MS, FakeAgent

KEY = SeriesKey("km01", "main-a", "energy_import")
ALWAYS = (0, 1 << 62)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    agent = FakeAgent()
    with bench(tmp_path, [agent]) as made:
        made.take([agent.configure(), agent.read([START_MS, START_MS + 15_000], [1, 2])])
        yield made


def test_a_reader_closes_what_other_threads_opened(desk: Bench) -> None:
    with ThreadPoolExecutor(1) as pool, nothing_left_open():
        assert len(pool.submit(desk.reader.readings, KEY, *ALWAYS).result().t1_ms) == 2
        assert pool.submit(desk.reader.keys, "km01").result() == [KEY]
        desk.reader.close()


def test_a_reader_that_was_closed_opens_again_when_asked(desk: Bench) -> None:
    assert desk.reader.keys("km01") == [KEY]
    desk.reader.close()
    assert desk.reader.keys("km01") == [KEY]


def test_what_a_thread_opened_is_closed_when_the_thread_ends(desk: Bench) -> None:
    with nothing_left_open(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(desk.reader.keys, "km01").result() == [KEY]


def test_the_store_is_closed_when_the_state_beside_it_cannot_be_opened(desk: Bench) -> None:
    desk.reader.close()
    (desk.folder / "collector" / FILE).write_bytes(b"x" * 8192)
    with nothing_left_open(), pytest.raises(Fatal, match="cannot be opened"), projecting(desk.settings):
        pass
