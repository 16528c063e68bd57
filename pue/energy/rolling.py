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
from pue.energy.facility import ALL, MEASURED, FacilityCurve, Weighted
from pue.energy.slots import Int64
from pue.energy.uncertainty import u_pue

BLOCK = 32_768
"""Windows computed at a time, so that temporaries stay in the cache. [windows]"""


MAX_WHOLE_FLOAT = 1 << 53
"""Up to here every whole number is a float. [J]"""

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
    first, last = _place(curve, from_ms), _place(curve, to_ms)
    if first > last:
        raise Fatal(f"window [{from_ms}, {to_ms}) ends before it starts; swap its bounds")
    beyond = [row.overshoot_j(first, last) for row in curve.rows]
    total_j, total_lower_j, total_upper_j = _bounds(curve.total, [term.a for term in curve.terms], beyond, first, last)
    it_j, it_lower_j, it_upper_j = _bounds(curve.it, [term.b for term in curve.terms], beyond, first, last)
    energy = _rise(curve.meter_j, first, last)
    pue = Fraction(total_j, it_j) if it_j > 0 else None
    return WindowResult(
        from_ms=from_ms,
        to_ms=to_ms,
        total_j=total_j,
        it_j=it_j,
        total_lower_j=total_lower_j,
        total_upper_j=total_upper_j,
        it_lower_j=it_lower_j,
        it_upper_j=it_upper_j,
        coverage=_coverage(curve.gap_ms, first, last, to_ms - from_ms),
        flags=_flags(curve, first, last),
        quality_share=_quality_share(curve, first, last),
        u_pue=None if pue is None else _uncertainty(curve, energy, first, last),
        pue=pue,
        pue_lower=_ratio(total_lower_j, it_upper_j),
        pue_upper=None if total_upper_j >= MAX_ENERGY_J else _ratio(total_upper_j, it_lower_j),
        reasons=_reasons(curve, first, last, it_j),
        coverage_by_meter=_coverage_by_meter(curve, first, last),
    )


def _place(curve: FacilityCurve, edge_ms: int) -> int:
    start_ms, end_ms = int(curve.edges_ms[0]), int(curve.edges_ms[-1])
    if edge_ms % SLOT_MS or not start_ms <= edge_ms <= end_ms:
        raise Fatal(f"{edge_ms} is no edge of the curve [{start_ms}, {end_ms}]; take the curve over the whole window")
    return (edge_ms - start_ms) // SLOT_MS


def _rise(column: Int64, first: int, last: int) -> Int64:
    return np.asarray(column[..., last] - column[..., first], np.int64)


def _bounds(
    curve: Weighted, weights: Sequence[Fraction], beyond: Sequence[tuple[int, int]], first: int, last: int
) -> tuple[int, int, int]:
    """Energy, lower and upper bound of a window: estimate, unknown energy and edges, less what no meter can do. [J]"""
    energy = int(_rise(curve.energy_j, first, last))
    if first == last:
        return energy, energy, energy
    low = energy + int(_rise(curve.low_j, first, last)) - int(curve.below_j[last]) - int(curve.above_j[first])
    high = energy + int(_rise(curve.high_j, first, last)) + int(curve.above_j[last]) + int(curve.below_j[first])
    for weight, (under, over) in zip(weights, beyond, strict=True):
        low += math.floor(abs(weight) * (under if weight > 0 else over))
        high -= math.floor(abs(weight) * (over if weight > 0 else under))
    lower = -MAX_ENERGY_J if _rise(curve.no_low, first, last) else low
    upper = MAX_ENERGY_J if _rise(curve.no_high, first, last) else high
    return energy, max(lower, 0), upper


def _ratio(over_j: int, under_j: int) -> Fraction | None:
    if under_j <= 0:
        return None
    return Fraction(0) if under_j >= MAX_ENERGY_J else Fraction(over_j, under_j)


def _coverage(gap_ms: Int64, first: int, last: int, length_ms: int) -> Fraction:
    return 1 - Fraction(int(_rise(gap_ms, first, last)), length_ms) if length_ms else Fraction(0)


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


def _flags(curve: FacilityCurve, first: int, last: int) -> int:
    broken = any(balance.broken(first, last) for balance in curve.balances)
    return int(np.bitwise_or.reduce(curve.flags[first:last])) | (int(Flag.BALANCE) if broken else 0)


def _quality_share(curve: FacilityCurve, first: int, last: int) -> dict[str, Fraction]:
    everything = _rise(curve.quality_j[ALL], first, last).tolist()
    result = {}
    for mark, column in curve.quality_j.items():
        parts = _rise(column, first, last).tolist()
        shares = [Fraction(part, whole) for part, whole in zip(parts, everything, strict=True) if whole]
        if mark != ALL and shares:
            result[_mark_name(mark)] = min(shares) if mark == MEASURED else max(shares)
    return result


def _mark_name(mark: int) -> str:
    return "measured" if mark == MEASURED else (Flag(mark).name or f"bit_{mark.bit_length() - 1}").lower()


def _uncertainty(curve: FacilityCurve, energy_j: Int64, first: int, last: int) -> float:
    valid = _rise(curve.meter_slots, first, last) > 0
    terms = [term for term, inside in zip(curve.terms, valid, strict=True) if inside]
    return float(
        u_pue(
            energy_j[valid],
            [term.a for term in terms],
            [term.b for term in terms],
            [term.u_rel for term in terms],
            group=[term.group for term in terms],
            model=[term.model for term in terms],
            meter=[str(term.key) for term in terms],
            step_j=[term.step_j for term in terms],
        )
    )


def _reasons(curve: FacilityCurve, first: int, last: int, it_j: int) -> tuple[str, ...]:
    """Codes: `required_meter_missing:<meter>` for unknown energy of a required meter, `no_it_energy`."""
    names = [row.term.key.meter for row in curve.rows if row.term.required and row.is_lacking(first, last)]
    missing = [f"required_meter_missing:{name}" for name in dict.fromkeys(names)]
    return (*missing, *(("no_it_energy",) if it_j <= 0 else ()))


@dataclass(frozen=True, slots=True, eq=False)
class WholeFloats:
    """A curve as floats that hold its whole joules exactly, for many windows of one curve; made by `whole_floats`."""

    values: Float64


def whole_floats(curve_j: Int64) -> WholeFloats:
    """A cumulative curve as floats: differences stay exact and divide twice as fast.

    Raises
    ------
    Fatal
        If a value is not int64, or beyond what a float holds exactly.
    """
    _check_whole(curve_j)
    if max(int(curve_j.max(initial=0)), -int(curve_j.min(initial=0))) > MAX_WHOLE_FLOAT:
        raise Fatal(f"a curve beyond {MAX_WHOLE_FLOAT} J has no exact floats; use the int64 curve itself")
    return WholeFloats(curve_j.astype(np.float64))


def rolling_pue(
    total_j: Int64 | WholeFloats, it_j: Int64 | WholeFloats, width_slots: int, out: Float64 | None = None
) -> Float64:
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
    total, it = _whole(total_j), _whole(it_j)
    shape = (*total.shape[:-1], max(total.shape[-1] - width_slots, 0))
    if total.shape != it.shape or total.dtype != it.dtype or (out is not None and out.shape != shape):
        raise Fatal(
            f"curves of {total.shape} {total.dtype} and {it.shape} {it.dtype} do not fit an output of {shape}; "
            "give equal shapes and kinds"
        )
    result = np.empty(shape) if out is None else out
    over, under = (np.empty(min(BLOCK, shape[-1]), total.dtype) for _ in range(2))
    for line in np.ndindex(shape[:-1]):
        _roll(total[line], it[line], result[line], over, under)
    return result


def _whole(curve: Int64 | WholeFloats) -> Int64 | Float64:
    if isinstance(curve, WholeFloats):
        return curve.values
    _check_whole(curve)
    return curve


def _check_whole(*curves: Int64) -> None:
    for curve in curves:
        if curve.dtype != np.int64:
            raise Fatal(f"a curve of {curve.dtype} is not exact; give int64 joules")


def _roll(
    total: Int64 | Float64, it: Int64 | Float64, out: Float64, over: Int64 | Float64, under: Int64 | Float64
) -> None:
    """PUE of one facility's windows, in blocks through two buffers."""
    width = len(total) - len(out)
    for start in range(0, len(out), BLOCK):
        stop = min(start + BLOCK, len(out))
        top, bottom = over[: stop - start], under[: stop - start]
        np.subtract(total[start + width : stop + width], total[start:stop], out=top)
        np.subtract(it[start + width : stop + width], it[start:stop], out=bottom)
        _divide(top, bottom, out[start:stop])


def _divide(over: Int64 | Float64, under: Int64 | Float64, out: Float64) -> None:
    if under.min(initial=1) > 0:
        np.divide(over, under, out=out)
    else:
        out[...] = np.nan
        np.divide(over, under, out=out, where=under > 0)


def rolling_coverage(gap_ms: Int64, width_slots: int) -> Float64:
    """Share of covered time of every window of a fixed width, from the cumulative gap. (E - width,) [-]"""
    return 1 - (gap_ms[width_slots:] - gap_ms[:-width_slots]) / (width_slots * SLOT_MS)


def latest_pue(total_j: Int64, it_j: Int64, widths_slots: Sequence[int]) -> Float64:
    """PUE of the newest window of each width, for many facilities at once.

    Parameters
    ----------
    total_j, it_j
        Cumulative E_DC and E_IT at edges, shape (F, E). [J]
    widths_slots
        Widths of W windows, at least 1 and less than E. [slots]

    Returns
    -------
    ndarray
        NaN where IT energy is not positive. (F, W) [-]

    Raises
    ------
    Fatal
        If a width is out of range.
    """
    if min(widths_slots) < 1 or max(widths_slots) >= total_j.shape[-1]:
        raise Fatal(f"widths {list(widths_slots)} do not fit {total_j.shape[-1]} edges; use at least 1 and fewer slots")
    _check_whole(total_j, it_j)
    starts = [-1 - width for width in widths_slots]
    result = np.empty((len(total_j), len(starts)))
    _divide(total_j[:, -1:] - total_j[:, starts], it_j[:, -1:] - it_j[:, starts], result)
    return result


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
    total_j, it_j = sum(r.total_j for r in results), sum(r.it_j for r in results)
    total_upper_j = min(sum(r.total_upper_j for r in results), MAX_ENERGY_J)
    it_lower_j, it_upper_j = sum(r.it_lower_j for r in results), min(sum(r.it_upper_j for r in results), MAX_ENERGY_J)
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
    return math.sqrt(math.fsum(((r.u_pue or 0.0) * (r.it_j / it_j)) ** 2 for r in results))
