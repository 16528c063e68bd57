"""The moments at which something is judged: local midnights, and the closes of legal periods."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from compliance.registry_file import local_midnight_ms
from compliance.terms import local_day


def local_midnights(from_ms: int, to_ms: int, zone: str) -> Iterator[tuple[date, int]]:
    """Local days that begin within (from_ms, to_ms], with that moment. [ms UTC]"""
    day = local_day(from_ms, zone)
    while (start_ms := local_midnight_ms(day, zone)) <= to_ms:
        if start_ms > from_ms:
            yield day, start_ms
        day += timedelta(days=1)


def closes(period: str, from_ms: int, to_ms: int, zone: str) -> Iterator[int]:
    """Moments within (from_ms, to_ms] at which a legal period closes: ttm each month, year each January. [ms UTC]"""
    for day, start_ms in local_midnights(from_ms, to_ms, zone):
        if day.day == 1 and (period == "ttm" or day.month == 1):
            yield start_ms
