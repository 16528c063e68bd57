"""Where a chart's axes are labelled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
RATIO_STEPS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
MOST_RATIO_LABELS = 8
HOUR_STEPS = (1, 2, 3, 6, 12)


@dataclass(frozen=True, slots=True)
class Tick:
    """One mark of the time axis; a label of a month spans to the next mark, others stand at theirs."""

    time_ms: int
    next_ms: int
    label: str
    below: str
    spans: bool


def ratio_ticks(bottom: float, top: float) -> list[tuple[float, str]]:
    """Round values within the axis, at most about eight."""
    step = next((step for step in RATIO_STEPS if (top - bottom) / step <= MOST_RATIO_LABELS), RATIO_STEPS[-1])
    decimals = 2 if step < 0.1 else 1
    first = round(bottom / step + 0.499)
    last = int(top / step + 1e-9)
    return [(index * step, f"{index * step:.{decimals}f}") for index in range(first, last + 1)]


def time_ticks(from_ms: int, to_ms: int, zone: ZoneInfo, most: int, months: tuple[str, ...]) -> list[Tick]:
    """Months, days or hours of the zone's calendar, as many as fit.

    Parameters
    ----------
    from_ms, to_ms
        Shown interval. [ms UTC]
    zone
        The facility's.
    most
        Labels that fit.
    months
        Twelve short names.
    """
    span_ms = to_ms - from_ms
    if span_ms > 62 * DAY_MS:
        return _month_ticks(from_ms, to_ms, zone, most, months)
    if span_ms > 2 * DAY_MS:
        return _day_ticks(from_ms, to_ms, zone, most)
    return _hour_ticks(from_ms, to_ms, zone, most)


def _month_ticks(from_ms: int, to_ms: int, zone: ZoneInfo, most: int, months: tuple[str, ...]) -> list[Tick]:
    starts = [start for start in _months(from_ms, to_ms, zone) if from_ms <= _ms(start) < to_ms]
    step = -(-len(starts) // most)
    ticks: list[Tick] = []
    for position, start in enumerate(starts):
        following = starts[position + 1] if position + 1 < len(starts) else None
        next_ms = _ms(following) if following else min(_ms(_next_month(start)), to_ms)
        shown = position % step == 0
        year = str(start.year) if shown and (not any(tick.below for tick in ticks) or start.month <= step) else ""
        ticks.append(Tick(_ms(start), next_ms, months[start.month - 1] if shown else "", year, spans=True))
    return ticks


def _months(from_ms: int, to_ms: int, zone: ZoneInfo) -> Iterator[datetime]:
    local = datetime.fromtimestamp(from_ms / 1000, UTC).astimezone(zone)
    start = datetime(local.year, local.month, 1, tzinfo=zone)
    while _ms(start) < to_ms:
        yield start
        start = _next_month(start)


def _next_month(start: datetime) -> datetime:
    return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)


def _day_ticks(from_ms: int, to_ms: int, zone: ZoneInfo, most: int) -> list[Tick]:
    local = datetime.fromtimestamp(from_ms / 1000, UTC).astimezone(zone)
    day = datetime(local.year, local.month, local.day, tzinfo=zone)
    step = max(1, -(-(to_ms - from_ms) // (DAY_MS * most)))
    ticks: list[Tick] = []
    while _ms(day) < to_ms:
        if _ms(day) >= from_ms:
            ticks.append(Tick(_ms(day), _ms(day + timedelta(days=step)), f"{day:%m-%d}", _year_once(day, ticks), False))
        day += timedelta(days=step)
    return ticks


def _hour_ticks(from_ms: int, to_ms: int, zone: ZoneInfo, most: int) -> list[Tick]:
    step = next((step for step in HOUR_STEPS if (to_ms - from_ms) / HOUR_MS / step <= most), HOUR_STEPS[-1])
    local = datetime.fromtimestamp(from_ms / 1000, UTC).astimezone(zone)
    moment = datetime(local.year, local.month, local.day, tzinfo=zone)
    ticks: list[Tick] = []
    while _ms(moment) <= to_ms:
        if _ms(moment) >= from_ms:
            date = f"{moment:%Y-%m-%d}" if not ticks or moment.hour == 0 else ""
            ticks.append(Tick(_ms(moment), _ms(moment), f"{moment:%H:%M}", date, False))
        moment = (moment.astimezone(UTC) + timedelta(hours=step)).astimezone(zone)
    return ticks


def _year_once(day: datetime, ticks: list[Tick]) -> str:
    return "" if ticks and f"{day.year}" in {tick.below for tick in ticks} else f"{day.year}"


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
