"""Names and edges of stored series."""

from __future__ import annotations

from pue.contract.series import SLOT_MS, SeriesKey, slot_of


def test_slot_is_a_quarter_hour_and_half_open() -> None:
    assert SLOT_MS == 900_000
    assert [slot_of(time) for time in (0, 899_999, 900_000, 1_700_000_000_000)] == [0, 0, 900_000, 1_699_999_200_000]


def test_series_is_named_by_site_meter_and_quantity() -> None:
    assert str(SeriesKey("km01", "main-a", "power")) == "km01/main-a/power"
