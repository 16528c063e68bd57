"""PUE of windows: ratios of sums, with bounds and coverage."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from pue.contract.errors import Fatal
from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.between import Bounds, MeterBounds, all_bounds, weighted_sum
from pue.energy.facility import ALL, MEASURED, FacilityCurve
from pue.energy.grid import Row
from pue.energy.slots import Int64
from pue.energy.uncertainty import u_pue

BLOCK = 32_768
"""Windows computed at a time, so that temporaries stay in the cache. [windows]"""


Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WindowResult:
    """What is known of one window [from_ms, to_ms).

    Attributes
    ----------
    total_j, it_j
        Energy of the facility and of its IT equipment. [J]
    total_lower_j, total_upper_j, it_lower_j, it_upper_j
        Hard bounds from what is missing; `MAX_ENERGY_J` stands for unbounded. [J]
    coverage
        Share of the time in which all required meters are covered. [-]
    flags
        Marks of all slots in the window.
    quality_share
        Per mark (lower-case flag name, and `measured` for none), the larger of its shares of E_DC and E_IT, for
        `measured` the smaller. [-]
    u_pue
        Standard uncertainty of the PUE; None without a PUE. [-]
    pue
        total / it, exact; None where IT energy is not positive. [-]
    pue_lower, pue_upper
        Hard bounds; an upper bound of None is infinite. [-]
    reasons
        Codes of what is wrong with the window.
    contradictions
        Codes of what the meters contradict each other in; energy they leave open is in the bounds.
    coverage_by_meter
        Each meter's own share of covered time. [-]
    """

    from_ms: int
    to_ms: int
    total_j: int
    it_j: int
    total_lower_j: int
    total_upper_j: int
    it_lower_j: int
    it_upper_j: int
    coverage: Fraction
    flags: int
    quality_share: Mapping[str, Fraction]
    u_pue: float | None
    pue: Fraction | None
    pue_lower: Fraction | None
    pue_upper: Fraction | None
    reasons: tuple[str, ...]
    contradictions: tuple[str, ...] = ()
    coverage_by_meter: Mapping[str, Fraction] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """Energy of the counted slots of W windows, and their time not covered. (W,) each

    Attributes
    ----------
    total_j, it_j
        E_DC and E_IT. [J]
    gap_ms
        Time in which not all required meters are covered. [ms]
    """

    total_j: Int64
    it_j: Int64
    gap_ms: Int64


def counted_between(curve: FacilityCurve, first: Int64, last: Int64) -> Counted:
    """What was counted between two edges of each of W windows."""
    return Counted(*(column[last] - column[first] for column in (curve.total_j, curve.it_j, curve.gap_ms)))


def bounds_between(curve: FacilityCurve, first: Int64, last: Int64) -> tuple[Bounds, Bounds]:
    """Bounds of E_DC and of E_IT between two edges of each of W windows."""
    own = all_bounds(curve.rows, first, last)
    total = weighted_sum(own, [term.a for term in curve.terms], len(first))
    it = weighted_sum(own, [term.b for term in curve.terms], len(first))
    return total, it


def window_result(curve: FacilityCurve, from_ms: int, to_ms: int) -> WindowResult:
    """Everything known of one window inside the curve.

    Parameters
    ----------
    curve
        The facility's curve.
    from_ms, to_ms
        Two of its edges. [ms UTC]

    Raises
    ------
    Fatal
        If the curve does not hold the window.

    References
    ----------
    METHOD.md, "Window".
    """
    first = _place(curve, from_ms)
    last = _place(curve, to_ms)
    if first > last:
        raise Fatal(f"window [{from_ms}, {to_ms}) ends before it starts; swap its bounds")
    places = np.array([first], np.int64), np.array([last], np.int64)
    counted = counted_between(curve, *places)
    # (M,) bounds of one window each: E_DC and E_IT weigh the same ones, and so does u where nothing was counted.
    own = all_bounds(curve.rows, *places)
    total = weighted_sum(own, [term.a for term in curve.terms], 1)
    it = weighted_sum(own, [term.b for term in curve.terms], 1)
    total_j = int(counted.total_j[0])
    it_j = int(counted.it_j[0])
    length_ms = to_ms - from_ms
    return WindowResult(
        from_ms=from_ms,
        to_ms=to_ms,
        total_j=total_j,
        it_j=it_j,
        total_lower_j=int(total.lower_j[0]),
        total_upper_j=int(total.upper_j[0]),
        it_lower_j=int(it.lower_j[0]),
        it_upper_j=int(it.upper_j[0]),
        coverage=1 - Fraction(int(counted.gap_ms[0]), length_ms) if length_ms else Fraction(0),
        flags=int(np.bitwise_or.reduce(curve.flags[first:last], initial=0)),
        quality_share=_quality_share(curve, first, last),
        u_pue=_uncertainty(curve, own, first, last, it_j),
        pue=Fraction(total_j, it_j) if it_j > 0 else None,
        pue_lower=_ratio(int(total.lower_j[0]), int(it.upper_j[0])),
        # An upper bound that does not exist is above everything; `_ratio` has the cases of E_IT.
        pue_upper=None if int(total.upper_j[0]) >= MAX_ENERGY_J else _ratio(int(total.upper_j[0]), int(it.lower_j[0])),
        reasons=_reasons(curve, own, first, last, it_j),
        contradictions=tuple(doubt.code for doubt in curve.doubts if doubt.slots[first:last].any()),
        coverage_by_meter=_coverage_by_meter(curve, first, last),
    )


def _place(curve: FacilityCurve, edge_ms: int) -> int:
    start_ms = int(curve.edges_ms[0])
    end_ms = int(curve.edges_ms[-1])
    # All edges lie on one grid with the epoch, so a multiple of a slot within the curve is one of them.
    if edge_ms % SLOT_MS or not start_ms <= edge_ms <= end_ms:
        raise Fatal(f"{edge_ms} is no edge of the curve [{start_ms}, {end_ms}]; take the curve over the whole window")
    return (edge_ms - start_ms) // SLOT_MS


def _rise(column: Int64, first: int, last: int) -> Int64:
    return np.asarray(column[..., last] - column[..., first], np.int64)


def _ratio(over_j: int, under_j: int) -> Fraction | None:
    if under_j <= 0:
        return None
    # Without bound is only an upper E_IT, and over it stands a lower E_DC: the ratio can be as low as 0.
    return Fraction(0) if under_j >= MAX_ENERGY_J else Fraction(over_j, under_j)


def _coverage_by_meter(curve: FacilityCurve, first: int, last: int) -> dict[str, Fraction]:
    """Share of the time in which a meter is valid, over all its terms. [-]"""
    gaps: dict[str, int] = {}
    times: dict[str, int] = {}
    for term, gap_ms, slots in zip(
        curve.terms, _rise(curve.meter_gap_ms, first, last), _rise(curve.meter_slots, first, last), strict=True
    ):
        gaps[term.key.meter] = gaps.get(term.key.meter, 0) + int(gap_ms)
        times[term.key.meter] = times.get(term.key.meter, 0) + int(slots) * SLOT_MS
    return {meter: 1 - Fraction(gaps[meter], time) for meter, time in times.items() if time}


def _quality_share(curve: FacilityCurve, first: int, last: int) -> dict[str, Fraction]:
    everything = _rise(curve.quality_j[ALL], first, last).tolist()
    result = {}
    for mark, column in curve.quality_j.items():
        parts = _rise(column, first, last).tolist()
        # Shares of E_DC and of E_IT. A side of which nothing was counted has none.
        shares = [Fraction(part, whole) for part, whole in zip(parts, everything, strict=True) if whole]
        if mark != ALL and shares:
            result[_mark_name(mark)] = min(shares) if mark == MEASURED else max(shares)
    return result


def _mark_name(mark: int) -> str:
    return "measured" if mark == MEASURED else (Flag(mark).name or f"bit_{mark.bit_length() - 1}").lower()


def _uncertainty(curve: FacilityCurve, own: Sequence[MeterBounds], first: int, last: int, it_j: int) -> float | None:
    """u(PUE) of the counted energy; where no IT energy was counted, of the middle of what each meter can have had."""
    is_valid = _rise(curve.meter_slots, first, last) > 0
    rows = [row for row, valid in zip(curve.rows, is_valid.tolist(), strict=True) if valid]
    if not rows:
        return None
    # (V,) of the V terms that have a slot in the window.
    energy = _rise(curve.meter_j, first, last)[is_valid].tolist()
    if it_j <= 0:
        energy = [_middle_j(bounds) for bounds, valid in zip(own, is_valid.tolist(), strict=True) if valid]
    u = u_pue(
        energy,
        [row.term.a for row in rows],
        [row.term.b for row in rows],
        [row.term.u_rel for row in rows],
        group=[row.term.group for row in rows],
        model=[row.term.model for row in rows],
        meter=[str(row.term.key) for row in rows],
        step_j=[row.term.step_j for row in rows],
    )
    return None if math.isnan(float(u)) else float(u)


def _middle_j(bounds: MeterBounds) -> int:
    """Middle of a meter's bounds, or the lower one where there is no upper one. [J]"""
    lower = int(bounds.lower_j[0])
    upper = int(bounds.upper_j[0])
    return lower if upper >= MAX_ENERGY_J else (lower + upper) // 2


def _reasons(curve: FacilityCurve, own: Sequence[MeterBounds], first: int, last: int, it_j: int) -> tuple[str, ...]:
    """Codes of what a reader of the number has to know, each with the meter it is about."""
    found: list[str] = []
    for row, bounds in zip(curve.rows, own, strict=True):
        if max(first, row.first) < min(last, row.last):
            codes = _reasons_of(row, bounds, first, last, int(curve.edges_ms[last]))
            found += [f"{code}:{row.term.key.meter}" for code in codes]
    return (*dict.fromkeys(found), *(("no_it_energy",) if it_j <= 0 else ()))


def _reasons_of(row: Row, bounds: MeterBounds, first: int, last: int, to_ms: int) -> list[str]:
    term = row.term
    marks = row.marks(first, last) if row.weighs else 0
    # A certificate has to hold until the window ends or the meter is gone. Its end is the first moment without it, so
    # one that ends with the window has held.
    end_ms = to_ms if term.to_ms is None else min(to_ms, term.to_ms)
    has_expired = term.calibrated_to_ms is not None and term.calibrated_to_ms < end_ms
    found = {
        "required_meter_missing": term.required and row.lacks(first, last),
        "bounds_from_other_meters": row.borrows(first, last),
        "limit_refuted": row.weighs and bool(bounds.refuted[0]),
        "accuracy_class_unknown": row.weighs and not term.is_class_known,
        "calibration_unknown": row.weighs and not term.is_calibration_known,
        "calibration_expired": row.weighs and has_expired,
        "clock_unsynchronised": bool(marks & Flag.SKEW),
    }
    return [code for code, holds in found.items() if holds]


def rolling_pue(total_j: Int64, it_j: Int64, width_slots: int, out: Float64 | None = None) -> Float64:
    """PUE of every window of a fixed width, whatever the width at the same cost.

    Parameters
    ----------
    total_j, it_j
        Cumulative E_DC and E_IT at edges, shape (..., E). [J]
    width_slots
        Width of the window, at least 1. [slots]
    out
        Where to write the result, shape (..., E - width).

    Returns
    -------
    ndarray
        total / it of the window that starts at each edge, NaN where IT energy is not positive. (..., E - width) [-]

    Raises
    ------
    Fatal
        If the width is less than 1, the shapes do not fit, or a curve is not whole joules.
    """
    if width_slots < 1:
        raise Fatal(f"a window of {width_slots} slots has no energy; use at least 1")
    _check_whole(total_j, it_j)
    total = total_j
    it = it_j
    shape = (*total.shape[:-1], max(total.shape[-1] - width_slots, 0))
    if total.shape != it.shape or total.dtype != it.dtype or (out is not None and out.shape != shape):
        raise Fatal(
            f"curves of {total.shape} {total.dtype} and {it.shape} {it.dtype} do not fit an output of {shape}; "
            "give equal shapes and kinds"
        )
    result = np.empty(shape) if out is None else out
    # Differences stay int64 and exact; only their ratio is rounded, in the division.
    over, under = (np.empty(min(BLOCK, shape[-1]), total.dtype) for _ in range(2))
    for line in np.ndindex(shape[:-1]):
        _roll(total[line], it[line], result[line], over, under)
    return result


def _check_whole(*curves: Int64) -> None:
    for curve in curves:
        if curve.dtype != np.int64:
            raise Fatal(f"a curve of {curve.dtype} is not exact; give int64 joules")


def _roll(total: Int64, it: Int64, out: Float64, over: Int64, under: Int64) -> None:
    """PUE of one facility's windows, in blocks through two buffers."""
    # Window i lies between the edges i and i + width: E edges give E - width windows.
    width = len(total) - len(out)
    for start in range(0, len(out), BLOCK):
        stop = min(start + BLOCK, len(out))
        top = over[: stop - start]
        bottom = under[: stop - start]
        np.subtract(total[start + width : stop + width], total[start:stop], out=top)
        np.subtract(it[start + width : stop + width], it[start:stop], out=bottom)
        _divide(top, bottom, out[start:stop])


def _divide(over: Int64, under: Int64, out: Float64) -> None:
    # With a mask the division takes half as long again: only blocks with a window without IT energy have one.
    if under.min(initial=1) > 0:
        np.divide(over, under, out=out)
    else:
        out[...] = np.nan
        np.divide(over, under, out=out, where=under > 0)


def group_result(results: Sequence[WindowResult]) -> WindowResult:
    """A region's window: sum over sum of its facilities' windows.

    Bounds and flags of all together; coverage is the facilities' plain mean, so that one without data counts fully;
    quality shares are weighed with E_DC; uncertainties are taken as independent.

    Raises
    ------
    Fatal
        If there is no window, or they are not the same one.
    """
    spans = {(result.from_ms, result.to_ms) for result in results}
    if len(spans) != 1:
        raise Fatal(f"a group needs windows of one span and got {len(spans)}; compute all over the same time")
    ((from_ms, to_ms),) = spans
    total_j = sum(r.total_j for r in results)
    it_j = sum(r.it_j for r in results)
    total_upper_j = min(sum(r.total_upper_j for r in results), MAX_ENERGY_J)
    it_lower_j = sum(r.it_lower_j for r in results)
    it_upper_j = min(sum(r.it_upper_j for r in results), MAX_ENERGY_J)
    total_lower_j = sum(r.total_lower_j for r in results)
    return WindowResult(
        from_ms=from_ms,
        to_ms=to_ms,
        total_j=total_j,
        it_j=it_j,
        total_lower_j=total_lower_j,
        total_upper_j=total_upper_j,
        it_lower_j=it_lower_j,
        it_upper_j=it_upper_j,
        coverage=sum((r.coverage for r in results), Fraction(0)) / len(results),
        flags=functools.reduce(operator.or_, (r.flags for r in results)),
        quality_share={
            name: _weighed([r.quality_share.get(name, Fraction(0)) for r in results], results)
            for name in sorted({name for r in results for name in r.quality_share})
        },
        u_pue=_group_uncertainty(results, it_j),
        pue=Fraction(total_j, it_j) if it_j > 0 else None,
        pue_lower=_ratio(total_lower_j, it_upper_j),
        pue_upper=None if total_upper_j >= MAX_ENERGY_J else _ratio(total_upper_j, it_lower_j),
        reasons=tuple(dict.fromkeys(reason for r in results for reason in r.reasons)),
        contradictions=tuple(dict.fromkeys(code for r in results for code in r.contradictions)),
    )


def _weighed(shares: Sequence[Fraction], results: Sequence[WindowResult]) -> Fraction:
    """Mean of shares weighed with E_DC, plain if there is none. [-]"""
    weights = [result.total_j for result in results]
    if sum(weights) <= 0:
        weights = [1] * len(results)
    return sum((share * weight for share, weight in zip(shares, weights, strict=True)), Fraction(0)) / sum(weights)


def _group_uncertainty(results: Sequence[WindowResult], it_j: int) -> float | None:
    """Each facility moves the group's PUE by its own uncertainty times its share of E_IT. [-]"""
    if it_j <= 0 or any(r.u_pue is None for r in results if r.it_j > 0):
        return None
    # T / I is the sum of PUE_f x I_f / I over the facilities f.
    return math.sqrt(math.fsum(((r.u_pue or 0.0) * (r.it_j / it_j)) ** 2 for r in results))
