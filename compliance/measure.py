"""Energy curves of facilities, read from the series and kept until data or registry change."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from fractions import Fraction
from threading import Lock
from zoneinfo import ZoneInfo

from compliance.readers import Reader, SeriesReader
from compliance.registry import Registered
from compliance.terms import facility_keys, facility_terms
from pue.contract.errors import Fatal, Retry
from pue.contract.series import MAX_ENERGY_J, SLOT_MS, SeriesKey, slot_of
from pue.energy.facility import FacilityCurve, Term, facility_curve
from pue.energy.rolling import WindowResult, window_result
from pue.energy.slots import Slots
from pue.energy.stuck import mark_stuck

_LOG = logging.getLogger(__name__)

LEAST_IT_LOAD = Fraction(1, 100)
"""Share of the registered IT power below which a day's ratio says nothing. [-]"""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Measured:
    """All that is measured of a facility: its curve from the first slot with data up to the watermark."""

    curve: FacilityCurve
    first_ms: int
    watermark_ms: int

    @property
    def settled_ms(self) -> int:
        """Up to here the curve and its bounds stay as they are: the slot behind this edge is closed too. [ms UTC]"""
        return self.watermark_ms - SLOT_MS

    def window(self, from_ms: int, to_ms: int) -> WindowResult:
        """Everything known of one window that ends inside the data; before the first data nothing is known."""
        if from_ms >= self.first_ms:
            return window_result(self.curve, from_ms, to_ms)
        known = window_result(self.curve, self.first_ms, to_ms)
        return replace(
            known,
            from_ms=from_ms,
            coverage=known.coverage * (to_ms - self.first_ms) / (to_ms - from_ms),
            total_upper_j=MAX_ENERGY_J,
            it_upper_j=MAX_ENERGY_J,
            pue_lower=Fraction(0) if known.pue is not None else None,
            pue_upper=None,
        )


@dataclass(frozen=True, slots=True)
class _Kept:
    """A facility's curve, and the state of registry and data it was computed for."""

    seq: int
    slot_ms: int
    cursor: int
    measured: Measured | None
    fault: str


class Measure:
    """Curves by facility; safe to share between threads.

    A curve is computed again when a slot has closed, when the registry has changed, or when late data have changed a
    slot behind it: live data change the open slot all the time, and that changes no curve.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = Lock()
        self._kept: dict[str, _Kept] = {}

    @property
    def reader(self) -> Reader:
        """Where the data come from."""
        return self._reader

    def faults(self) -> list[str]:
        """Which facilities cannot be computed, and why; the others go on."""
        with self._lock:
            return [kept.fault for kept in self._kept.values() if kept.fault]

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
        name = facility.facts.id
        with self._lock:
            try:
                self._follow(facility)
            except Retry as error:
                _LOG.warning("%s keeps its last figures: %s", name, error)
            return self._kept[name].measured if name in self._kept else None

    def afresh(self, facility: Registered) -> Measured | None:
        """What is measured of a facility as it was registered at some time; not kept. None without data."""
        reader = self._reader.get()
        watermark_ms = self.watermark_ms(facility)
        return _measure(reader, facility, watermark_ms) if reader and watermark_ms is not None else None

    def _follow(self, facility: Registered) -> None:
        """Compute the curve again if there is reason to."""
        reader = self._reader.get()
        kept = self._kept.get(facility.facts.id)
        time_ms = reader.watermark_ms(facility.facts.site) if reader else None
        if reader is None or time_ms is None:
            return
        cursor = reader.change_cursor(facility.facts.site)
        slot_ms = slot_of(time_ms)
        if kept is not None and (kept.seq, kept.slot_ms) == (facility.seq, slot_ms):
            changed_ms = reader.changed_from_ms(facility.facts.site, kept.cursor)
            # From there on live data change things all the time: the open slot, and the one whose end they show.
            if changed_ms is None or changed_ms >= slot_ms - SLOT_MS:
                return
        measured, fault = _measured_or_fault(reader, facility, slot_ms)
        self._kept[facility.facts.id] = _Kept(facility.seq, slot_ms, cursor, measured, fault)


def _measured_or_fault(reader: SeriesReader, facility: Registered, watermark_ms: int) -> tuple[Measured | None, str]:
    try:
        return _measure(reader, facility, watermark_ms), ""
    except Fatal as error:
        fault = f"facility {facility.facts.id!r} cannot be computed: {error}"
        _LOG.error(fault)
        return None, fault


def _measure(reader: SeriesReader, facility: Registered, watermark_ms: int) -> Measured | None:
    beyond_ms = watermark_ms + SLOT_MS  # the open slot's row carries the bounds of the last edge
    slots: dict[SeriesKey, Slots] = {key: reader.slots(key, 0, beyond_ms) for key in facility_keys(facility)}
    starts = [int(one.start_ms[0]) for one in slots.values() if len(one)]
    if not starts or min(starts) >= watermark_ms:
        return None
    terms = facility_terms(facility)
    slots |= _stuck(reader, slots, terms, beyond_ms)
    curve = facility_curve(
        slots,
        terms,
        min(starts),
        watermark_ms,
        zone=ZoneInfo(facility.facts.timezone),
        least_it_w=LEAST_IT_LOAD * facility.facts.it_power_kw * 1000,
    )
    return Measured(curve, min(starts), watermark_ms)


def _stuck(
    reader: SeriesReader, slots: dict[SeriesKey, Slots], terms: tuple[Term, ...], beyond_ms: int
) -> dict[SeriesKey, Slots]:
    """The series of meters that also state their power, without the energy of registers that stood still under load."""
    marked: dict[SeriesKey, Slots] = {}
    known = {name for site in {key.site for key in slots} for name in reader.keys(site)}
    for key in slots:
        power = SeriesKey(key.site, key.meter, "power")
        mine = [term for term in terms if term.key == key]
        if key != power and mine and power in known:
            step_j = max(term.step_j for term in mine)
            max_power_w = max(term.max_power_w for term in mine)
            flowing = reader.slots(power, 0, beyond_ms)
            marked[key] = mark_stuck(slots[key], flowing, step_j=step_j, max_power_w=max_power_w)
    return marked
