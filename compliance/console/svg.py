"""Charts as SVG text, drawn from arrays.

Only classes and presentation attributes are used, never `style`, so the text works under a strict content policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from compliance.console.ticks import ratio_ticks, time_ticks
from pue.energy.slots import Int64

Float64: TypeAlias = npt.NDArray[np.float64]
POINTS_PER_COLUMN_FOR_BAND = 4
"""With fewer points per pixel column a line is clearer than strokes from minimum to maximum."""
LOWEST_TOP = 2.0
"""Values up to here are always drawn to scale; beyond, the axis may end and an arrow says so. [-]"""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a chart in user units: the plot's box inside its margins, and how many time labels fit."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    time_labels: int

    @property
    def columns(self) -> int:
        """Pixel columns of the plot."""
        return self.width - self.left - self.right


WIDE = Size(960, 360, 44, 92, 16, 42, 13)
NARROW = Size(380, 320, 36, 50, 16, 42, 6)


@dataclass(frozen=True, slots=True)
class LimitLine:
    """A limit across the chart, named beside it; `applies` when it is one the facility is judged by."""

    value: float
    label: str
    note: str
    applies: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """PUE of a finding's period, drawn over just that period."""

    from_ms: int
    to_ms: int
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class Trend:
    """What one chart shows within (from_ms, to_ms]: a point per end of a step, NaN where nothing is known."""

    from_ms: int
    to_ms: int
    step_ms: int
    time_ms: Int64
    pue: Float64
    rolling_ms: Int64
    rolling: Float64
    limits: tuple[LimitLine, ...]
    judged: Judged | None
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Words:
    """The chart's texts, already in the reader's language."""

    title: str
    description: str
    months: tuple[str, ...]
    no_data: str
    off_scale: str


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Lowest and highest value per pixel column, NaN where a column has none, and how many values there were."""

    low: Float64
    high: Float64
    points: int


@dataclass(frozen=True, slots=True)
class Frame:
    """Maps time and PUE to user units."""

    size: Size
    from_ms: int
    to_ms: int
    bottom: float
    top: float

    def x(self, time_ms: float) -> float:
        """Horizontal place of a time."""
        return self.size.left + (time_ms - self.from_ms) / (self.to_ms - self.from_ms) * self.size.columns

    def y(self, pue: float) -> float:
        """Vertical place of a ratio; what is off the scale is put on its edge."""
        share = (min(max(pue, self.bottom), self.top) - self.bottom) / (self.top - self.bottom)
        return self.size.height - self.size.bottom - share * (self.size.height - self.size.bottom - self.size.top)


def columns(time_ms: Int64, values: Float64, from_ms: int, to_ms: int, count: int) -> Columns:
    """Minimum and maximum per pixel column: no single interval is lost, unlike with resampling.

    A value ending exactly at `to_ms` belongs to the last column.
    """
    low = np.full(count, np.inf)
    high = np.full(count, -np.inf)
    known = np.isfinite(values) & (time_ms > from_ms) & (time_ms <= to_ms)
    index = (time_ms[known] - 1 - from_ms) * count // (to_ms - from_ms)
    np.minimum.at(low, index, values[known])
    np.maximum.at(high, index, values[known])
    low[np.isinf(low)] = np.nan
    high[np.isinf(high)] = np.nan
    return Columns(low, high, int(known.sum()))


def scale(trend: Trend) -> tuple[float, float]:
    """Bottom and top of the ratio axis: all limits and all values, except rare extremes above `LOWEST_TOP`."""
    shown = [line.value for line in trend.limits] + ([trend.judged.value] if trend.judged else [])
    known = trend.pue[np.isfinite(trend.pue)]
    rolling = trend.rolling[np.isfinite(trend.rolling)]
    lows = [*shown, *([float(known.min())] if len(known) else [])]
    highs = [*shown, *([float(rolling.max())] if len(rolling) else [])]
    if len(known):
        highs.append(min(float(known.max()), max(LOWEST_TOP, float(np.quantile(known, 0.99)) * 1.05)))
    low = min(lows, default=1.0)
    high = max(highs, default=LOWEST_TOP)
    step = 0.05
    return np.floor(low / step - 0.2) * step, np.ceil(high / step + 0.2) * step


def trend_chart(trend: Trend, words: Words, size: Size, name: str) -> str:
    """A year of PUE with its limits.

    Parameters
    ----------
    trend
        Values to draw.
    words
        Texts to draw.
    size
        `WIDE` or `NARROW`.
    name
        Unique within the page; ids are made from it.

    Returns
    -------
    str
        One `<svg>` element.
    """
    bottom, top = scale(trend)
    frame = Frame(size, trend.from_ms, trend.to_ms, float(bottom), float(top))
    fast = columns(trend.time_ms, trend.pue, trend.from_ms, trend.to_ms, size.columns)
    slow = columns(trend.rolling_ms, trend.rolling, trend.from_ms, trend.to_ms, size.columns)
    body = [
        *_gaps(frame, trend, words, name),
        *_ratio_axis(frame),
        *_time_axis(frame, trend.zone, words.months),
        *_fast(frame, trend, fast, words),
        *_limits(frame, trend.limits),
        *_slow(frame, slow, trend, name),
        *_judged(frame, trend.judged),
    ]
    return _svg(frame, words, name, _hover(fast, slow, trend), body)


def _svg(frame: Frame, words: Words, name: str, hover: str, body: Sequence[str]) -> str:
    size = frame.size
    return (
        f'<svg class="trend" id="{name}" viewBox="0 0 {size.width} {size.height}" role="img"'
        f' aria-labelledby="{name}-title {name}-desc" data-left="{size.left}" data-right="{size.right}"'
        f' data-top="{size.top}" data-bottom="{size.bottom}"'
        f' data-scale-bottom="{frame.bottom:.4f}" data-scale-top="{frame.top:.4f}" {hover}>'
        f'<title id="{name}-title">{escape(words.title)}</title>'
        f'<desc id="{name}-desc">{escape(words.description)}</desc>' + "".join(body) + "</svg>"
    )


def _hover(fast: Columns, slow: Columns, trend: Trend) -> str:
    """Values for the script, per column, in thousandths."""
    limits = [line.value for line in trend.limits]
    lists = {"low": fast.low, "high": fast.high, "rolling": slow.high}
    values = " ".join(f'data-{key}="{_thousandths(column, limits)}"' for key, column in lists.items())
    return f'data-from="{trend.from_ms}" data-to="{trend.to_ms}" {values}'


def _thousandths(values: Float64, limits: Sequence[float]) -> str:
    return ",".join("" if np.isnan(value) else str(int(value)) for value in shown_thousandths(values, limits))


def shown_thousandths(values: Float64, limits: Sequence[float]) -> Float64:
    """Values in thousandths, rounded to nearest but never across or onto a limit they do not equal."""
    rounded = np.rint(values * 1000)
    for limit in limits:
        edge = limit * 1000
        rounded = np.where((values > limit) & (rounded <= edge), np.floor(edge) + 1, rounded)
        rounded = np.where((values < limit) & (rounded >= edge), np.ceil(edge) - 1, rounded)
    return rounded


def _ratio_axis(frame: Frame) -> Iterator[str]:
    left = frame.size.left
    right = frame.size.width - frame.size.right
    for value, label in ratio_ticks(frame.bottom, frame.top):
        y = frame.y(value)
        yield f'<path class="grid" d="M{left} {y:.1f}H{right}"/>'
        yield f'<text class="axis" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'


def _time_axis(frame: Frame, zone: ZoneInfo, months: tuple[str, ...]) -> Iterator[str]:
    base = frame.size.height - frame.size.bottom
    yield f'<path class="base" d="M{frame.size.left} {base}H{frame.size.width - frame.size.right}"/>'
    for tick in time_ticks(frame.from_ms, frame.to_ms, zone, frame.size.time_labels, months):
        x = frame.x(tick.time_ms)
        yield f'<path class="base" d="M{x:.1f} {base}v5"/>'
        place = (x + frame.x(tick.next_ms)) / 2 if tick.spans else x
        if frame.size.left < place - 10 and place + 10 < frame.size.width:
            yield _text("axis", place, base + 19, "middle", tick.label)
            yield _text("axis year", place, base + 35, "middle", tick.below)


def _text(kind: str, x: float, y: float, anchor: str, text: str) -> str:
    if not text:
        return ""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def runs(known: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open index ranges in which `known` holds."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], known, [False])).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def gaps(trend: Trend) -> list[tuple[int, int]]:
    """Intervals of the chart in which no step has a value. [ms UTC]"""
    ends = trend.time_ms[np.isfinite(trend.pue) & (trend.time_ms > trend.from_ms) & (trend.time_ms <= trend.to_ms)]
    starts_of_gap = np.concatenate(([trend.from_ms], ends))
    ends_of_gap = np.concatenate((ends - trend.step_ms, [trend.to_ms]))
    missing = ends_of_gap > starts_of_gap
    return list(zip(starts_of_gap[missing].tolist(), ends_of_gap[missing].tolist(), strict=True))


def _gaps(frame: Frame, trend: Trend, words: Words, name: str) -> Iterator[str]:
    top = frame.size.top
    height = frame.size.height - frame.size.top - frame.size.bottom
    yield (
        f'<pattern id="{name}-hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<path class="hatch" d="M0 0V6"/></pattern>'
    )
    for start, end in gaps(trend):
        x = frame.x(start)
        width = frame.x(end) - frame.x(start)
        if width >= 0.5:
            yield f'<rect fill="url(#{name}-hatch)" x="{x:.1f}" y="{top}" width="{width:.1f}" height="{height}"/>'
        if width >= len(words.no_data) * 13 + 8:
            yield _text("axis", x + width / 2, top + 20, "middle", words.no_data)


def _sparse(fast: Columns) -> bool:
    return fast.points < POINTS_PER_COLUMN_FOR_BAND * int(np.isfinite(fast.high).sum())


def _fast(frame: Frame, trend: Trend, fast: Columns, words: Words) -> Iterator[str]:
    yield _line(frame, trend) if _sparse(fast) else _band(frame, fast)
    for index in np.flatnonzero(fast.high > frame.top):
        arrow = f"M{frame.size.left + int(index) - 3.5} {frame.size.top - 3}l4-7 4 7z"
        yield f'<path class="off" d="{arrow}"><title>{escape(words.off_scale)}</title></path>'


def _band(frame: Frame, fast: Columns) -> str:
    """From minimum to maximum in every column; a lone column stays visible by its stroke."""
    parts = []
    for start, end in runs(~np.isnan(fast.high)):
        xs = [f"{frame.size.left + index + 0.5:g}" for index in range(start, end)]
        upper = [f"{x} {frame.y(value):.1f}" for x, value in zip(xs, fast.high[start:end].tolist(), strict=True)]
        lower = [f"{x} {frame.y(value):.1f}" for x, value in zip(xs, fast.low[start:end].tolist(), strict=True)]
        parts.append("M" + "L".join(upper + lower[::-1]) + "Z")
    return f'<path class="band" d="{"".join(parts)}"/>'


def _line(frame: Frame, trend: Trend) -> str:
    """Point by point, broken where a value is missing or an interval is absent."""
    inside = (trend.time_ms > trend.from_ms) & (trend.time_ms <= trend.to_ms)
    times = trend.time_ms[inside]
    values = trend.pue[inside]
    parts = []
    pen_down = False
    for position, (time_ms, value) in enumerate(zip(times.tolist(), values.tolist(), strict=True)):
        joined = pen_down and time_ms - int(times[position - 1]) <= trend.step_ms
        pen_down = not np.isnan(value)
        if pen_down:
            parts.append(f"{'L' if joined else 'M'}{frame.x(time_ms):.1f} {frame.y(value):.1f}{'' if joined else 'h0'}")
    return f'<path class="fast" d="{"".join(parts)}"/>'


def _slow(frame: Frame, slow: Columns, trend: Trend, name: str) -> Iterator[str]:
    """The rolling line, and once more what of it lies above the strictest applicable limit."""
    parts = []
    for start, end in runs(~np.isnan(slow.high)):
        points = [_both(frame, slow, index) for index in range(start, end)]
        parts.append("M" + "L".join(points))
    if not parts:
        return
    yield f'<g class="rolling"><path id="{name}-rolling" d="{"".join(parts)}"/></g>'
    applying = [line.value for line in trend.limits if line.applies]
    if applying and np.nanmax(slow.high) > min(applying):
        height = frame.y(min(applying)) - frame.size.top
        yield (
            f'<clipPath id="{name}-over"><rect x="{frame.size.left}" y="{frame.size.top}"'
            f' width="{frame.size.columns}" height="{height:.1f}"/></clipPath>'
            f'<use class="rolling-over" href="#{name}-rolling" clip-path="url(#{name}-over)"/>'
        )


def _both(frame: Frame, slow: Columns, index: int) -> str:
    x = f"{frame.size.left + index + 0.5:g}"
    low = f"{frame.y(float(slow.low[index])):.1f}"
    high = f"{frame.y(float(slow.high[index])):.1f}"
    return f"{x} {high}" if low == high else f"{x} {low}L{x} {high}"


def _limits(frame: Frame, limits: Sequence[LimitLine]) -> Iterator[str]:
    left = frame.size.left
    right = frame.size.width - frame.size.right
    for line in limits:
        y = frame.y(line.value)
        kind = "limit" if line.applies else "limit other"
        yield f'<path class="{kind}" d="M{left} {y:.1f}H{right}"/>'
        yield _text(f"{kind} label", right + 6, y + 5, "start", line.label)
        if len(line.note.encode("gb18030")) * 6.5 < frame.size.right:
            yield _text(f"{kind} note", right + 6, y + 21, "start", line.note)


def _judged(frame: Frame, judged: Judged | None) -> Iterator[str]:
    if judged is None:
        return
    start = max(judged.from_ms, frame.from_ms)
    end = min(judged.to_ms, frame.to_ms)
    if start < end:
        yield f'<path class="judged" d="M{frame.x(start):.1f} {frame.y(judged.value):.1f}H{frame.x(end):.1f}"/>'
