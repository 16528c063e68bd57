"""Energy of a facility and of its IT equipment, from slots and weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pue.series import SeriesKey
from pue.slots import Int64, Slots


@dataclass(frozen=True, slots=True)
class Term:
    """One meter's weight in a facility within [from_ms, to_ms).

    Attributes
    ----------
    key
        The series whose energy counts.
    a, b
        Weights in the facility's energy E_DC and in the IT energy E_IT. [-]
    required
        Whether a slot without this meter is not covered.
    from_ms, to_ms
        Validity, half-open; None is open. A slot belongs to the term that is valid at its start. [ms UTC]
    parent
        Meter this one hangs under, for balance and bounds.
    u_rel
        Relative standard uncertainty of meter, CT and PT together. [-]
    group
        Meters of one group share their calibration error.
    step_j
        Register resolution. [J]
    max_power_w
        The most the meter can carry: bounds what is unknown; 0 means unbounded. [W]
    """

    key: SeriesKey
    a: Fraction
    b: Fraction
    required: bool
    from_ms: int
    to_ms: int | None
    parent: str | None = None
    u_rel: float = 0.0
    group: str = ""
    step_j: int = 1
    max_power_w: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class FacilityCurve:
    """Cumulative energy of one facility at slot edges, with everything a window needs; E edges, S = E - 1 slots, M terms.

    A window's energy is the difference of a curve at two edges. `*_below_j` and `*_above_j` are bounds of the curve
    at an edge relative to the estimate; `*_extra_low_j` and `*_extra_high_j` are cumulative and signed: what unknown
    energy adds to the lower and to the upper bound.

    Attributes
    ----------
    terms
        The terms, in the order of `meter_j`'s rows.
    edges_ms
        Slot edges. (E,) [ms UTC]
    total_j, it_j
        E_DC and E_IT since the first edge. (E,) [J]
    total_below_j, total_above_j, it_below_j, it_above_j
        Edge bounds, >= 0. (E,) [J]
    total_extra_low_j, total_extra_high_j, it_extra_low_j, it_extra_high_j
        Cumulative bounds of unknown energy. (E,) [J]
    total_unbounded, it_unbounded
        Cumulative number of slots whose upper bound is infinite. (E,) [-]
    gap_ms
        Cumulative time in which not all required meters are covered. (E,) [ms]
    meter_j, meter_gap_ms
        Each term's energy and gap since the first edge, 0 outside its validity. (M, E) [J, ms]
    meter_active
        Cumulative number of slots in which the term is valid. (M, E) [-]
    flags
        Marks of all terms that count in a slot. (S,)
    quality_j
        Per flag, energy with that mark by |a| and by |b|; key 0 is all energy. flag -> (2, E) [J]
    """

    terms: tuple[Term, ...]
    edges_ms: Int64
    total_j: Int64
    it_j: Int64
    total_below_j: Int64
    total_above_j: Int64
    it_below_j: Int64
    it_above_j: Int64
    total_extra_low_j: Int64
    total_extra_high_j: Int64
    it_extra_low_j: Int64
    it_extra_high_j: Int64
    total_unbounded: Int64
    it_unbounded: Int64
    gap_ms: Int64
    meter_j: Int64
    meter_gap_ms: Int64
    meter_active: Int64
    flags: Int64
    quality_j: Mapping[int, Int64]


def facility_curve(slots: Mapping[SeriesKey, Slots], terms: Sequence[Term], from_ms: int, to_ms: int) -> FacilityCurve:
    """Weigh the meters' slots into E_DC and E_IT over [from_ms, to_ms)."""
    raise NotImplementedError
