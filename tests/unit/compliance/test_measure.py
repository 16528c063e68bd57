from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from compliance.measure import Measure
from compliance.readers import FixedReader, Reader
from compliance.registry import Registered, import_registry
from compliance.registry_file import read_registry
from compliance.settings import Series
from pue.contract.errors import Retry
from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS, SeriesKey
from pue.energy.slots import Slots
from tests.unit.compliance.made import DAY_MS, START_MS, MadeReader, made_reader, made_service, registry_toml


class CountingReader(MadeReader):
    """Counts how often slots are read, and can be away."""

    changed_ms: int | None = None
    reads = 0
    away = False

    def slots(self, key: SeriesKey, from_ms: int, to_ms: int) -> Slots:
        if self.away:
            raise Retry("series store does not answer; start it")
        self.reads += 1
        return super().slots(key, from_ms, to_ms)

    def changed_from_ms(self, site: str, cursor: int) -> int | None:
        return self.changed_ms


@pytest.fixture
def reader() -> CountingReader:
    made = made_reader(lambda _day: 1.25, 40)
    return CountingReader(made.until_ms, made.series)


@pytest.fixture
def facility(tmp_path: Path, reader: CountingReader) -> Registered:
    service = made_service(tmp_path, reader)
    import_registry(service.log, service.projection, read_registry(registry_toml(), "registry.toml"), "test")
    found = service.sources.registry.facility("km01", service.projection.refresh())
    service.close()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("change", "is_read"),
    [
        (lambda reader: None, False),
        (lambda reader: setattr(reader, "changed_ms", reader.until_ms), False),
        (lambda reader: setattr(reader, "changed_ms", reader.until_ms - SLOT_MS), False),
        (lambda reader: setattr(reader, "changed_ms", reader.until_ms - SLOT_MS - 1), True),
        (lambda reader: setattr(reader, "until_ms", reader.until_ms + SLOT_MS - 1), False),
        (lambda reader: setattr(reader, "until_ms", reader.until_ms + SLOT_MS), True),
    ],
)
def test_a_curve_is_read_again_only_when_a_slot_closed_or_changed_behind_it(
    reader: CountingReader, facility: Registered, change: Callable[[CountingReader], None], is_read: bool
) -> None:
    measure = Measure(FixedReader(reader))
    first, reads = measure.of(facility), reader.reads
    change(reader)
    assert (measure.of(facility) is not first) is is_read
    assert (reader.reads > reads) is is_read


def test_the_last_figures_stay_while_the_store_is_away_and_follow_when_it_is_back(
    reader: CountingReader, facility: Registered, caplog: pytest.LogCaptureFixture
) -> None:
    measure = Measure(FixedReader(reader))
    first = measure.of(facility)
    reader.until_ms += SLOT_MS
    reader.away = True
    assert measure.of(facility) is first
    assert "km01 keeps its last figures: series store does not answer" in caplog.text
    reader.away = False
    assert measure.of(facility) is not first


def test_a_store_that_was_never_there_measures_nothing(reader: CountingReader, facility: Registered) -> None:
    reader.away = True
    assert Measure(FixedReader(reader)).of(facility) is None


def test_the_slot_behind_the_last_edge_bounds_it(reader: CountingReader, facility: Registered) -> None:
    key = SeriesKey("km01", "main", "energy_import")
    slots = reader.series[key]
    slots.above_capped_j[-1] = 7_000
    reader.until_ms -= 1
    measured = Measure(FixedReader(reader)).of(facility)
    assert measured is not None
    assert measured.watermark_ms == int(slots.start_ms[-1])
    result = measured.window(START_MS, measured.watermark_ms)
    assert result.total_upper_j - result.total_j == 7_000


def test_a_register_that_stands_still_under_load_does_not_lower_pue(
    reader: CountingReader, facility: Registered
) -> None:
    """The incomer shows no energy for four hours although it states 1.25 MW: without its power PUE would fall."""
    main = SeriesKey("km01", "main", "energy_import")
    hours = slice(96, 112)
    energy_j = reader.series[main].energy_j.copy()
    power = replace(reader.series[main], energy_j=energy_j.copy())
    energy_j[hours] = 0
    reader.series[main] = replace(reader.series[main], energy_j=energy_j)
    seen = Measure(FixedReader(reader)).of(facility)
    reader.series[SeriesKey("km01", "main", "power")] = power
    marked = Measure(FixedReader(reader)).of(facility)
    assert seen is not None
    assert marked is not None
    span = START_MS, START_MS + 10 * DAY_MS
    fooled, told = seen.window(*span), marked.window(*span)
    assert (fooled.pue, fooled.coverage) == (Fraction(125, 100) * Fraction(59, 60), Fraction(1))
    assert (told.pue, told.coverage) == (Fraction(125, 100), Fraction(59, 60))
    assert told.pue_upper is not None
    assert told.pue_upper >= Fraction(125, 100)
    assert told.flags & Flag.STUCK


def test_before_the_first_data_nothing_is_known_and_coverage_says_so(
    reader: CountingReader, facility: Registered
) -> None:
    measured = Measure(FixedReader(reader)).of(facility)
    assert measured is not None
    result = measured.window(START_MS - 10 * DAY_MS, START_MS + 30 * DAY_MS)
    assert (result.from_ms, result.coverage) == (START_MS - 10 * DAY_MS, Fraction(3, 4))
    assert (result.pue_lower, result.pue, result.pue_upper) == (Fraction(0), Fraction(5, 4), None)
    assert result.total_upper_j == MAX_ENERGY_J


def test_a_reader_names_the_store_that_is_not_there(tmp_path: Path) -> None:
    reader = Reader(Series(path=tmp_path / "series.sqlite", state_dir=tmp_path))
    assert reader.get() is None
    assert "series.sqlite does not exist yet; start the collector" in reader.missing()


def test_a_series_file_without_its_collector_is_missing_too(tmp_path: Path) -> None:
    (tmp_path / "series.sqlite").touch()
    assert Reader(Series(path=tmp_path / "series.sqlite", state_dir=tmp_path)).missing() != ""
