"""One contract, two engines: whatever keeps the series gives back what was written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from collector.blobs import DAY_MS
from collector.influx_store import lines
from collector.settings import SeriesSettings
from collector.store import Rows, SeriesStore, Table
from collector.stores import check_store, open_store, open_store_reader, store_anew
from pue.contract.errors import Fatal, Retry
from pue.contract.series import SLOT_MS, SeriesKey
from pue.energy.slots import Int64
from tests.support.plants import START_MS
from tests.support.servers import Process, influxdb

pytestmark = pytest.mark.integration

KEY = SeriesKey("km01", "main-a.1", "energy_import")
OTHER = SeriesKey("km01", "main-b", "energy_import")


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, str]]:
    with influxdb(tmp_path_factory.mktemp("influx")) as running:
        yield running


@pytest.fixture(params=["sqlite", "influxdb"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> SeriesSettings:
    if request.param == "sqlite":
        return SeriesSettings(store="sqlite", path=tmp_path / "series.sqlite")
    return SeriesSettings(store="influxdb", url=request.getfixturevalue("influx")[1])


@pytest.fixture
def store(settings: SeriesSettings) -> Iterator[SeriesStore]:
    opened = open_store(settings)
    opened.wipe()
    yield opened
    opened.close()


def readings(times: Int64, count: int = 1 << 61, quality: int = 0, record: int = 0) -> Int64:
    columns = np.zeros((5, len(times)), np.int64)
    columns[0], columns[1], columns[2], columns[3], columns[4] = times, times - 20, count, quality, record
    return columns


def slots(starts: Int64, energy: int = 3) -> Int64:
    columns = np.full((Table.SLOT.width, len(starts)), energy, np.int64)
    columns[0] = starts
    return columns


def span(days: float, step_ms: int = SLOT_MS, start_ms: int = START_MS) -> Int64:
    return np.arange(start_ms, start_ms + int(days * DAY_MS), step_ms, dtype=np.int64)


def test_rows_come_back_exactly_in_order_and_within_bounds(store: SeriesStore) -> None:
    written = readings(span(0.5))
    store.write([Rows(Table.READING, KEY, written), Rows(Table.READING, OTHER, readings(span(0.1), 7))])
    assert (store.read(Table.READING, KEY, 0, 1 << 62) == written).all()
    inside = store.read(Table.READING, KEY, int(written[0, 3]), int(written[0, 9]))
    assert (inside == written[:, 3:9]).all()


def test_an_unknown_series_and_an_empty_range_have_no_rows(store: SeriesStore) -> None:
    assert store.read(Table.SLOT, KEY, 0, 1 << 62).shape == (Table.SLOT.width, 0)
    store.write([Rows(Table.SLOT, KEY, slots(span(0.1)))])
    assert store.read(Table.SLOT, KEY, START_MS + 1, START_MS + 2).shape == (Table.SLOT.width, 0)


def test_writing_the_same_again_changes_nothing(store: SeriesStore) -> None:
    rows = [Rows(Table.READING, KEY, readings(span(3)))]
    store.write(rows)
    store.write(rows)
    assert (store.read(Table.READING, KEY, 0, 1 << 62) == rows[0].columns).all()


def test_a_row_replaces_the_one_at_its_time_also_in_a_closed_day(store: SeriesStore) -> None:
    store.write([Rows(Table.SLOT, KEY, slots(span(5)))])
    late = slots(span(0.02), 99)
    store.write([Rows(Table.SLOT, KEY, late)])
    found = store.read(Table.SLOT, KEY, 0, 1 << 62)
    assert found.shape == (Table.SLOT.width, 480)
    assert (found[:, :2] == late).all()
    assert (found[1, 2:] == 3).all()


def test_a_reading_without_a_value_keeps_its_quality(store: SeriesStore) -> None:
    written = readings(span(0.1), count=0, quality=1, record=5)
    written[2, 1], written[3, 1] = -(1 << 61) - 1, 0
    store.write([Rows(Table.READING, KEY, written)])
    assert (store.read(Table.READING, KEY, 0, 1 << 62) == written).all()


def test_late_rows_of_a_closed_day_survive_the_next_sealing(store: SeriesStore) -> None:
    whole = readings(span(6))
    late, on_time = whole[:, 5:9], np.delete(whole, slice(5, 9), axis=1)
    for part in (on_time[:, :300], late, on_time[:, 300:]):
        store.write([Rows(Table.READING, KEY, part)])
    assert (store.read(Table.READING, KEY, 0, 1 << 62) == whole).all()


def test_a_wiped_store_is_empty_and_takes_rows_again(store: SeriesStore) -> None:
    rows = [Rows(Table.SLOT, KEY, slots(span(3)))]
    store.write(rows)
    store.wipe()
    assert store.read(Table.SLOT, KEY, 0, 1 << 62).shape == (Table.SLOT.width, 0)
    store.write(rows)
    assert (store.read(Table.SLOT, KEY, 0, 1 << 62) == rows[0].columns).all()


def test_a_second_reader_sees_what_is_written(store: SeriesStore, settings: SeriesSettings) -> None:
    store.write([Rows(Table.SLOT, KEY, slots(span(2)))])
    reader = open_store_reader(settings)
    store.write([Rows(Table.SLOT, OTHER, slots(span(2)))])
    assert reader.read(Table.SLOT, KEY, 0, 1 << 62).shape == (Table.SLOT.width, 192)
    assert reader.read(Table.SLOT, OTHER, 0, 1 << 62).shape == (Table.SLOT.width, 192)
    reader.close()


def test_a_damaged_blob_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "series.sqlite"
    store = open_store(SeriesSettings(path=path))
    store.write([Rows(Table.SLOT, KEY, slots(span(5)))])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE pue_slot_day SET blob = CAST(substr(blob, 1, length(blob) - 1) || x'00' AS BLOB)")
    db.close()
    with pytest.raises(Fatal, match=r"damaged.*rebuild"):
        store.read(Table.SLOT, KEY, 0, 1 << 62)
    store.close()


def first_release(path: Path) -> None:
    """A store file with the columns of release 0.1 and one slot in it."""
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE series (id INTEGER PRIMARY KEY, site TEXT, meter TEXT, quantity TEXT)")
        db.execute("INSERT INTO series VALUES (1, 'km01', 'main-a.1', 'energy_import')")
        for name in ("pue_reading", "pue_slot"):
            db.execute(f"CREATE TABLE {name} (series INTEGER, time_ms INTEGER, energy_j INTEGER)")
            db.execute(f"CREATE TABLE {name}_day (series INTEGER, day INTEGER, crc INTEGER, blob BLOB)")
        db.execute("INSERT INTO pue_slot VALUES (1, 0, 7)")
    db.close()


def test_a_file_of_another_version_is_refused_by_name_with_the_remedy(tmp_path: Path) -> None:
    settings = SeriesSettings(path=tmp_path / "series.sqlite")
    first_release(tmp_path / "series.sqlite")
    with pytest.raises(Fatal, match=r"series\.sqlite has version 0.*`pue-collector rebuild`"):
        open_store(settings)
    with pytest.raises(Fatal, match=r"series\.sqlite has version 0.*`pue-collector rebuild`"):
        check_store(settings)
    reader = open_store_reader(settings)
    with pytest.raises(Fatal, match=r"series\.sqlite has version 0.*`pue-collector rebuild`"):
        reader.read(Table.SLOT, KEY, 0, 1 << 62)
    reader.close()


def test_a_store_begun_anew_holds_nothing_of_another_version(tmp_path: Path) -> None:
    settings = SeriesSettings(path=tmp_path / "series.sqlite")
    first_release(tmp_path / "series.sqlite")
    rows = [Rows(Table.SLOT, KEY, slots(span(3)))]
    with store_anew(settings) as draft:
        assert draft.read(Table.SLOT, KEY, 0, 1 << 62).shape == (Table.SLOT.width, 0)
        draft.write(rows)
    store = open_store(settings)
    assert (store.read(Table.SLOT, KEY, 0, 1 << 62) == rows[0].columns).all()
    store.close()


def test_a_check_makes_no_file_and_asks_no_database(tmp_path: Path) -> None:
    check_store(SeriesSettings(path=tmp_path / "series.sqlite"))
    check_store(SeriesSettings(store="influxdb", url="http://127.0.0.1:9"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "series.sqlite"
    path.write_bytes(b"no database at all" * 100)
    for use in (check_store, open_store):
        with pytest.raises(Fatal, match=r"series\.sqlite: cannot be opened"):
            use(SeriesSettings(path=path))


def test_a_reader_follows_a_store_made_anew_under_its_eyes(tmp_path: Path) -> None:
    settings = SeriesSettings(path=tmp_path / "series.sqlite")
    store, reader = open_store(settings), open_store_reader(settings)
    store.write([Rows(Table.SLOT, KEY, slots(span(1), 1)), Rows(Table.SLOT, OTHER, slots(span(1), 2))])
    assert set(reader.read(Table.SLOT, KEY, 0, 1 << 62)[1]) == {1}
    with store_anew(settings) as draft:
        draft.write([Rows(Table.SLOT, OTHER, slots(span(1), 2)), Rows(Table.SLOT, KEY, slots(span(1), 3))])
        assert set(reader.read(Table.SLOT, KEY, 0, 1 << 62)[1]) == {1}
    assert set(reader.read(Table.SLOT, KEY, 0, 1 << 62)[1]) == {3}
    store.wipe()
    store.write([Rows(Table.SLOT, OTHER, slots(span(1), 2)), Rows(Table.SLOT, KEY, slots(span(1), 1))])
    assert set(reader.read(Table.SLOT, KEY, 0, 1 << 62)[1]) == {1}
    assert set(reader.read(Table.SLOT, OTHER, 0, 1 << 62)[1]) == {2}
    store.close()
    reader.close()


def test_a_bucket_of_another_release_is_refused_until_it_is_made_anew(influx: tuple[Process, str]) -> None:
    settings = SeriesSettings(store="influxdb", url=influx[1])
    old = open_store(settings)
    old.wipe()
    refused = old._send(  # type: ignore[attr-defined]  # of the InfluxDB store only
        [b"pue_slot,meter=main-a.1,quantity=energy_import,site=km01 energy_j=7i,unknown_j=0i,gap_ms=0i 1750000500000"]
    )
    old.close()
    assert refused == []
    store = open_store(settings)
    for use in (
        lambda: store.write([Rows(Table.SLOT, OTHER, slots(span(0.1)))]),
        lambda: store.read(Table.SLOT, KEY, 0, 1 << 62),
    ):
        with pytest.raises(Fatal, match=r"earlier release.*`pue-collector rebuild`"):
            use()
    store.close()
    with store_anew(settings) as anew:
        anew.write([Rows(Table.SLOT, KEY, slots(span(0.1)))])
        assert anew.read(Table.SLOT, KEY, 0, 1 << 62).shape == (Table.SLOT.width, len(span(0.1)))


def test_a_reader_waits_for_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Retry, match="not there yet"):
        open_store_reader(SeriesSettings(path=tmp_path / "series.sqlite"))


def test_a_line_influxdb_refuses_is_put_aside_and_the_others_are_kept(influx: tuple[Process, str]) -> None:
    store = open_store(SeriesSettings(store="influxdb", url=influx[1]))
    store.wipe()
    store.write([Rows(Table.SLOT, KEY, slots(span(0.1)))])
    poisoned = list(lines(Rows(Table.SLOT, OTHER, slots(span(0.05)))))
    poisoned[2] = poisoned[2].replace(b"energy_j=3i", b"energy_j=oops")
    refused = store._send(poisoned)  # type: ignore[attr-defined]  # of the InfluxDB store only
    assert [line for line, _ in refused] == [poisoned[2]]
    assert "oops" in refused[0][1] or "invalid" in refused[0][1]
    assert store.read(Table.SLOT, OTHER, 0, 1 << 62).shape == (Table.SLOT.width, len(poisoned) - 1)
    store.close()


def test_an_absent_influxdb_is_retried_not_lost() -> None:
    store = open_store(SeriesSettings(store="influxdb", url="http://127.0.0.1:9", timeout_seconds=0.5))
    with pytest.raises(Retry, match="check that it runs"):
        store.write([Rows(Table.SLOT, KEY, slots(span(0.1)))])
    with pytest.raises(Retry, match="check that it runs"):
        store.read(Table.SLOT, KEY, 0, 1)
    store.close()
