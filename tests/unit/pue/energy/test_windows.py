"""Windows by name, in the zone of the facility."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from pue.contract.errors import Fatal
from pue.contract.series import SLOT_MS
from pue.energy.windows import WINDOW_IDS, local_day_edges, window_bounds

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")
HOUR_MS = 3_600_000


def at(text: str, zone: ZoneInfo = SHANGHAI) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def bounds(window: str, when: str, zone: ZoneInfo = SHANGHAI) -> tuple[int, int]:
    return window_bounds(window, at(when, zone), zone)


@pytest.mark.parametrize(("window", "hours"), [("15m", 0.25), ("1h", 1), ("24h", 24), ("30d", 720), ("365d", 8760)])
def test_rolling_windows_end_at_the_last_edge(window: str, hours: float) -> None:
    end = at("2026-03-10T12:45")
    for when in ("2026-03-10T12:45", "2026-03-10T12:59:59.999"):
        assert bounds(window, when) == (end - hours * HOUR_MS, end)


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        ("day", "2026-03-09", "2026-03-10"),
        ("month", "2026-02-01", "2026-03-01"),
        ("year", "2025-01-01", "2026-01-01"),
        ("ttm", "2025-03-01", "2026-03-01"),
        ("ytd", "2026-01-01", "2026-03-10T12:30"),
    ],
)
def test_calendar_windows_are_the_last_complete_ones(window: str, start: str, end: str) -> None:
    assert bounds(window, "2026-03-10T12:44") == (at(start), at(end))


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        ("day", "2025-12-31", "2026-01-01"),
        ("month", "2025-12-01", "2026-01-01"),
        ("year", "2025-01-01", "2026-01-01"),
        ("ttm", "2025-01-01", "2026-01-01"),
        ("ytd", "2026-01-01", "2026-01-01"),
    ],
)
def test_at_new_year_the_year_before_is_complete_and_this_one_empty(window: str, start: str, end: str) -> None:
    assert bounds(window, "2026-01-01") == (at(start), at(end))


def test_days_have_92_or_100_quarters_when_clocks_change() -> None:
    spring = bounds("day", "2026-03-30T08:00", BERLIN)
    autumn = bounds("day", "2026-10-26T08:00", BERLIN)
    assert (spring[1] - spring[0]) // SLOT_MS == 92
    assert (autumn[1] - autumn[0]) // SLOT_MS == 100


def test_the_zone_and_not_utc_decides_the_day() -> None:
    start, end = bounds("day", "2026-03-10T00:10")
    assert (start, end) == (at("2026-03-09"), at("2026-03-10"))
    assert start % (24 * HOUR_MS) == 16 * HOUR_MS


@pytest.mark.parametrize("name", ["Pacific/Kiritimati", "Pacific/Honolulu"])
def test_far_from_greenwich_the_day_before_is_the_facilitys(name: str) -> None:
    zone = ZoneInfo(name)
    assert bounds("day", "2026-03-10T00:10", zone) == (at("2026-03-09", zone), at("2026-03-10", zone))


def test_chinas_summer_time_of_1990_is_known() -> None:
    start, _ = bounds("day", "1990-07-02T03:00")
    assert start % (24 * HOUR_MS) == 15 * HOUR_MS


def test_a_day_without_a_midnight_begins_with_its_first_moment() -> None:
    cairo = ZoneInfo("Africa/Cairo")
    start, end = bounds("day", "2024-04-27T09:00", cairo)
    assert end - start == 23 * HOUR_MS


def test_every_window_lies_on_slot_edges() -> None:
    for window in WINDOW_IDS:
        start, end = window_bounds(window, 1_234_567_890_123, ZoneInfo("Asia/Kathmandu"))
        assert (start % SLOT_MS, end % SLOT_MS) == (0, 0)
        assert start < end


def test_an_unknown_window_names_the_known_ones() -> None:
    with pytest.raises(Fatal, match="'2h' is unknown; use one of 15m, 1h"):
        window_bounds("2h", 0, SHANGHAI)


def test_days_of_a_time_begin_at_the_facilitys_midnights() -> None:
    """Midnight in Shanghai is 16:00 UTC: three days from midnight, and three that begin and end within one."""
    midnights = [at(f"2026-03-{day:02}") for day in (9, 10, 11, 12)]
    assert local_day_edges(midnights[0], midnights[3], SHANGHAI) == midnights
    start, end = at("2026-03-09T10:00"), at("2026-03-11T01:15")
    assert local_day_edges(start, end, SHANGHAI) == [start, *midnights[1:3], end]


def test_a_time_within_one_day_has_no_border_inside() -> None:
    start, end = at("2026-03-09T10:00"), at("2026-03-10T00:00")
    assert local_day_edges(start, end, SHANGHAI) == [start, end]
    assert local_day_edges(start, start, SHANGHAI) == [start, start]


def test_days_on_which_clocks_change_are_23_and_25_hours_long() -> None:
    for days in (("2026-03-28", "2026-03-29", "2026-03-30", "2026-03-31"), ("2026-10-24", "2026-10-25", "2026-10-26")):
        midnights = [at(day, BERLIN) for day in days]
        assert local_day_edges(midnights[0], midnights[-1], BERLIN) == midnights
    assert at("2026-03-30", BERLIN) - at("2026-03-29", BERLIN) == 23 * HOUR_MS
    assert at("2026-10-26", BERLIN) - at("2026-10-25", BERLIN) == 25 * HOUR_MS


def test_a_midnight_between_two_slots_moves_to_the_edge_before_it() -> None:
    """Until 1972 Liberia was 44.5 minutes behind Greenwich: midnight at 00:44:30 is in the slot from 00:30 on."""
    first = 30 * 60_000
    second = first + 24 * HOUR_MS
    end = 36 * HOUR_MS
    monrovia = ZoneInfo("Africa/Monrovia")
    assert local_day_edges(0, end, monrovia) == [0, first, second, end]
    assert local_day_edges(first, end, monrovia) == [first, second, end]
