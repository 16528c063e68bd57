"""Columns for charts, from a facility's curve."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from compliance.measure import Measured
from compliance.queries import Float64, MeterStatus, PueSeries
from compliance.views import share
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.between import Bounds
from pue.energy.facility import FacilityCurve, Term
from pue.energy.rolling import bounds_between, counted_between, rolling_pue
from pue.energy.slots import Int64, Slots

WIDTH_SLOTS = {"slot": 1, "1h": 4, "24h": 96, "7d": 672, "30d": 2_880, "365d": 35_040}
MIN_DRAWN_COVERAGE = 0.5
"""Below this a rolling value is not drawn: a gap stays a gap."""


def series(measured: Measured | None, from_ms: int, to_ms: int, width: str) -> PueSeries:
    """Rolling PUE with its bounds at each slot edge within [from_ms, to_ms]."""
    if measured is None:
        nothing = np.empty(0)
        return PueSeries(width, np.empty(0, np.int64), nothing, nothing, nothing, nothing)
    slots = WIDTH_SLOTS[width]
    curve = measured.curve
    ends = curve.edges_ms
    first = int(np.searchsorted(ends, max(from_ms, measured.first_ms + slots * SLOT_MS)))
    last = int(np.searchsorted(ends, to_ms, side="right"))
    first, last = max(first, slots), max(last, first, slots)
    at = np.arange(first, last)
    coverage = 1 - counted_between(curve, at - slots, at).gap_ms / (slots * SLOT_MS)
    pue = rolling_pue(curve.total_j, curve.it_j, slots)[at - slots]
    lower, upper = _bounds(curve, at - slots, at)
    hidden = (coverage < MIN_DRAWN_COVERAGE) | ~np.isfinite(pue)
    drawn = [np.where(hidden, np.nan, column) for column in (pue, lower, upper)]
    return PueSeries(width, ends[at], drawn[0], drawn[1], drawn[2], coverage)


def meter_status(measured: Measured, meter: str, begin_ms: int, slots: Slots, last_ms: int | None) -> MeterStatus:
    """Coverage and own energy of one meter from a time to the watermark."""
    rows = [row for row, term in enumerate(measured.curve.terms) if term.key.meter == meter]
    _, coverage = _rows_energy(measured, rows, begin_ms, measured.watermark_ms)
    flags = int(np.bitwise_or.reduce(slots.flags, initial=0))
    return MeterStatus(meter, last_ms, share(coverage), int(slots.energy_j.sum()), flags)


def meter_energy(measured: Measured, term: Term, from_ms: int, to_ms: int) -> tuple[int, Fraction]:
    """Energy and coverage of one term over an interval; 0 where it is not valid."""
    return _rows_energy(measured, [measured.curve.terms.index(term)], from_ms, to_ms)


def _rows_energy(measured: Measured, rows: list[int], from_ms: int, to_ms: int) -> tuple[int, Fraction]:
    curve = measured.curve
    start, end = (int(np.searchsorted(curve.edges_ms, at_ms)) for at_ms in (from_ms, to_ms))
    energy_j = sum(int(curve.meter_j[row, end] - curve.meter_j[row, start]) for row in rows)
    gap_ms = sum(int(curve.meter_gap_ms[row, end] - curve.meter_gap_ms[row, start]) for row in rows)
    slots = sum(int(curve.meter_slots[row, end] - curve.meter_slots[row, start]) for row in rows)
    return energy_j, 1 - Fraction(gap_ms, slots * SLOT_MS) if slots else Fraction(0)


def _bounds(curve: FacilityCurve, first: Int64, last: Int64) -> tuple[Float64, Float64]:
    """Lowest and highest PUE of each window that its meters allow. (W,), (W,) [-]"""
    total, it = bounds_between(curve, first, last)
    with np.errstate(divide="ignore", invalid="ignore"):
        lower = total.lower_j / np.where(it.upper_j > 0, _endless(it), np.nan)
        upper = _endless(total) / np.where(it.lower_j > 0, it.lower_j, np.nan)
    return lower, upper


def _endless(bounds: Bounds) -> Float64:
    """Upper bounds, infinite where there is none. (W,) [J]"""
    return np.where(bounds.upper_j < MAX_ENERGY_J, bounds.upper_j, np.inf)
