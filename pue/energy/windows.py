"""Windows by name: rolling ones on slot edges, calendar ones in the facility's time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from pue.contract.errors import Fatal
from pue.contract.series import SLOT_MS, slot_of

WINDOW_IDS = ("15m", "1h", "24h", "30d", "365d", "day", "month", "ytd", "year", "ttm")

_HOUR_MS = 3_600_000
_ROLLING_MS = {
    "15m": SLOT_MS,
    "1h": _HOUR_MS,
    "24h": 24 * _HOUR_MS,
    "30d": 30 * 24 * _HOUR_MS,
    "365d": 365 * 24 * _HOUR_MS,
}


def window_bounds(window: str, at_ms: int, zone: ZoneInfo) -> tuple[int, int]:
    """Start and end of the newest complete window at a time; of the year so far for `ytd`.

    Parameters
    ----------
    window
        One of `WINDOW_IDS`.
    at_ms
        The time up to which data are there. [ms UTC]
    zone
        The facility's time zone; days, months and years begin at its midnight, whatever their length.

    Returns
    -------
    tuple
        Half-open window on slot edges. [ms UTC]

    Raises
    ------
    Fatal
        If the window id is unknown.
    """
    edge = slot_of(at_ms)
    if window in _ROLLING_MS:
        return edge - _ROLLING_MS[window], edge
    now = _local(edge, zone)
    year = now.year
    month = now.month
    today = _midnight(year, month, now.day, zone)
    this_month = (year, month)
    this_year = (year, 1)
    if window == "day":
        return _day_before(today, zone), today
    if window == "month":
        return _first_of(*_months_later(*this_month, -1), zone), _first_of(*this_month, zone)
    if window == "ttm":
        # Asked on 15 March 2026: from 1 March 2025 to 1 March 2026, as the month that is running is not complete.
        return _first_of(year - 1, month, zone), _first_of(*this_month, zone)
    if window == "year":
        return _first_of(year - 1, 1, zone), _first_of(*this_year, zone)
    if window == "ytd":
        return _first_of(*this_year, zone), edge
    raise Fatal(f"window {window!r} is unknown; use one of {', '.join(WINDOW_IDS)}")


def local_day_edges(from_ms: int, to_ms: int, zone: ZoneInfo) -> list[int]:
    """Borders of a time's local days: its start, the midnights inside, its end. [ms UTC]"""
    years = range(_local(from_ms, zone).year, _local(to_ms, zone).year + 1)
    midnights = [midnight for year in years for midnight in _midnights(year, zone)]
    return [from_ms, *(midnight for midnight in midnights if from_ms < midnight < to_ms), to_ms]


@lru_cache(maxsize=256)
def _midnights(year: int, zone: ZoneInfo) -> tuple[int, ...]:
    """Starts of all days of a local year, remembered: every window of a facility asks for the same ones. [ms UTC]"""
    first = date(year, 1, 1)
    days = (first + timedelta(days=day) for day in range(366))
    return tuple(_midnight(day.year, day.month, day.day, zone) for day in days if day.year == year)


def _local(time_ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC).astimezone(zone)


def _months_later(year: int, month: int, months: int) -> tuple[int, int]:
    # Months numbered through, January of year 0 being 0.
    index = 12 * year + month - 1 + months
    return index // 12, index % 12 + 1


def _first_of(year: int, month: int, zone: ZoneInfo) -> int:
    return _midnight(year, month, 1, zone)


def _day_before(midnight_ms: int, zone: ZoneInfo) -> int:
    # Not 24 hours before: days have 23 or 25 where clocks change.
    before = _local(midnight_ms - 1, zone)
    return _midnight(before.year, before.month, before.day, zone)


def _midnight(year: int, month: int, day: int, zone: ZoneInfo) -> int:
    # Where clocks skip midnight, Python takes the offset before: the moment of the change, with which the day begins.
    # Where they show it twice it takes the first. Old local mean times, which are no quarters of an hour off, are cut
    # to a slot.
    return slot_of(round(datetime(year, month, day, tzinfo=zone).timestamp() * 1000))
