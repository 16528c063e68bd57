"""Energy curves of facilities, read from the series and kept until data or registry change."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date
from threading import Lock

from compliance.readers import Reader, SeriesReader
from compliance.registry import Registered
from compliance.registry_file import local_midnight_ms
from compliance.terms import facility_keys, facility_terms, local_day
from pue.errors import Retry
from pue.facility import FacilityCurve, facility_curve
from pue.series import SLOT_MS, SeriesKey, slot_of
from pue.slots import Slots

_LOG = logging.getLogger(__name__)


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


Kept = tuple[tuple[int, int, int], Measured | None]
"""A curve under the state it was computed for: facility's seq, change cursor, watermark."""


class Measure:
    """Curves by facility; safe to share between threads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = Lock()
        self._kept: dict[str, Kept] = {}

    @property
    def reader(self) -> Reader:
        """Where the data come from."""
        return self._reader

    def watermark_ms(self, facility: Registered) -> int | None:
        """Start of the slot that is still open; all before it is closed. None without data. [ms UTC]"""
        reader = self._reader.get()
        try:
            time_ms = reader.watermark_ms(facility.facts.site) if reader else None
        except Retry:
            return None
        return None if time_ms is None else slot_of(time_ms)

    def of(self, facility: Registered) -> Measured | None:
        """Everything measured of a facility; None without data, the last state while the store does not answer."""
        reader = self._reader.get()
        with self._lock:
            kept = self._kept.get(facility.facts.id)
            try:
                kept = _follow(kept, reader, facility) if reader else kept
            except Retry as error:
                _LOG.warning("%s keeps its last figures: %s", facility.facts.id, error)
            if kept is not None:
                self._kept[facility.facts.id] = kept
        return kept[1] if kept else None

    def afresh(self, facility: Registered) -> Measured | None:
        """What is measured of a facility as it was registered at some time; not kept. None without data."""
        reader, watermark_ms = self._reader.get(), self.watermark_ms(facility)
        return _measure(reader, facility, watermark_ms, 0) if reader and watermark_ms is not None else None


def _follow(kept: Kept | None, reader: SeriesReader, facility: Registered) -> Kept | None:
    """The kept curve if nothing has changed since, else a new one."""
    cursor, time_ms = reader.change_cursor(facility.facts.site), reader.watermark_ms(facility.facts.site)
    if time_ms is None:
        return kept
    state = (facility.seq, cursor, slot_of(time_ms))
    if kept is not None and kept[0] == state:
        return kept
    return state, _measure(reader, facility, slot_of(time_ms), cursor)


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
