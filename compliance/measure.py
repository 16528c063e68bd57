"""Energy curves of facilities, read from the series and kept until data or registry change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from threading import Lock

from compliance.readers import Reader, SeriesReader
from compliance.registry import Registered
from compliance.registry_file import local_midnight_ms
from compliance.terms import facility_keys, facility_terms, local_day
from pue.facility import FacilityCurve, facility_curve
from pue.series import SLOT_MS, SeriesKey, slot_of
from pue.slots import Slots


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """All that is measured of a facility: its curve up to the watermark.

    The curve begins on 1 January of the year before the first data, so that every legal period that has data, and
    every window that ends in it, lies inside. `first_ms` is the first slot with data.
    """

    curve: FacilityCurve
    first_ms: int
    watermark_ms: int
    cursor: int

    @property
    def settled_ms(self) -> int:
        """Up to here the curve and its bounds stay as they are: the slot behind this edge is closed too. [ms UTC]"""
        return self.watermark_ms - SLOT_MS


class Measure:
    """Curves by facility; safe to share between threads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = Lock()
        self._kept: dict[str, tuple[tuple[int, int, int], Measured | None]] = {}

    @property
    def reader(self) -> Reader:
        """Where the data come from."""
        return self._reader

    def watermark_ms(self, facility: Registered) -> int | None:
        """Start of the slot that is still open; all before it is closed. None without data. [ms UTC]"""
        reader = self._reader.get()
        time_ms = reader.watermark_ms(facility.facts.site) if reader else None
        return None if time_ms is None else slot_of(time_ms)

    def of(self, facility: Registered) -> Measured | None:
        """Everything measured of a facility; None without data."""
        reader, watermark_ms = self._reader.get(), self.watermark_ms(facility)
        if reader is None or watermark_ms is None:
            return None
        cursor = reader.change_cursor(facility.facts.site)
        state = (facility.seq, cursor, watermark_ms)
        with self._lock:
            kept = self._kept.get(facility.facts.id)
            if kept is None or kept[0] != state:
                kept = (state, _measure(reader, facility, watermark_ms, cursor))
                self._kept[facility.facts.id] = kept
        return kept[1]


def _measure(reader: SeriesReader, facility: Registered, watermark_ms: int, cursor: int) -> Measured | None:
    beyond_ms = watermark_ms + SLOT_MS  # the open slot's row carries the bounds of the last edge
    slots: dict[SeriesKey, Slots] = {key: reader.slots(key, 0, beyond_ms) for key in facility_keys(facility)}
    starts = [int(one.start_ms[0]) for one in slots.values() if len(one)]
    if not starts or min(starts) >= watermark_ms:
        return None
    zone = facility.facts.timezone
    year = local_day(min(starts), zone).year
    from_ms = slot_of(local_midnight_ms(date(year - 1, 1, 1), zone))
    curve = facility_curve(slots, facility_terms(facility), from_ms, watermark_ms)
    return Measured(curve, min(starts), watermark_ms, cursor)
