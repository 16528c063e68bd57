"""Small drawings beside numbers: a share as a bar, a ratio on a ruler with its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil

from markupsafe import Markup

LOWEST = 1.0
HIGHEST = 2.0
"""Ends of the headline's ruler; beyond them a mark stays at the end. [-]"""
SMALL_LOWEST = 1.1
SMALL_HIGHEST = 1.7
"""Ends of the rulers in tables, where neighbours have to be told apart. [-]"""
STACK_HEIGHT = 108.0
"""Room for icons over each other. [user units]"""


def drawn(svg: str) -> Markup:
    """A drawing of ours as the templates take it: every text in it was escaped when it was drawn."""
    return Markup(svg)  # noqa: S704 - see above


def share_bar(share: float) -> str:
    """A share as a bar; its number stands beside it, so it is hidden from screen readers.

    Parameters
    ----------
    share
        0 to 1. [-]
    """
    width = round(min(max(share, 0.0), 1.0) * 56, 1)
    return (
        '<svg class="bar" viewBox="0 0 56 6" aria-hidden="true"><rect class="track" width="56" height="6" rx="3"/>'
        f'<rect class="fill" width="{width:g}" height="6" rx="3"/></svg>'
    )


@dataclass(frozen=True, slots=True)
class RulerMark:
    """A limit on the ruler."""

    value: float
    label: str
    applies: bool


def small_ruler(pue: float, limit: float | None) -> str:
    """Where a ratio lies, and its limit; the number stands beside it."""
    x = _place(pue, 4, 88, SMALL_LOWEST, SMALL_HIGHEST)
    mark = ""
    if limit is not None:
        mark = f'<path class="limit" d="M{_place(limit, 4, 88, SMALL_LOWEST, SMALL_HIGHEST):g} 0V12"/>'
    return (
        '<svg class="ruler" viewBox="0 0 96 12" aria-hidden="true"><path class="track" d="M4 6H92"/>'
        f'<circle class="dot" cx="{x:g}" cy="6" r="3.5"/>{mark}</svg>'
    )


def spread(points: Sequence[tuple[float, str]], limits: Sequence[float], description: str) -> str:
    """Every facility as its finding's icon over a common scale, stacked where they meet.

    Parameters
    ----------
    points
        Ratio and outcome of each. [-]
    limits
        Lines to draw. [-]
    description
        The drawing in words.
    """
    left = 16
    width = 408
    floor_y = 132
    highest = max([HIGHEST, *(value for value, _ in points)])
    top = min(ceil(highest * 5) / 5, 3.0)
    points = sorted(points)
    places = [_place(value, left, width, LOWEST, top) for value, _ in points]
    size, step, levels = _stacked(places)
    parts = [f'<path class="base" d="M{left} {floor_y}H{left + width}"/>']
    for tenth in range(10, round(top * 10) + 1, 2):
        x = _place(tenth / 10, left, width, LOWEST, top)
        parts.append(f'<path class="base" d="M{x:g} {floor_y}v5"/>')
        parts.append(f'<text class="axis" x="{x:g}" y="{floor_y + 19}" text-anchor="middle">{tenth / 10:.1f}</text>')
    for limit in limits:
        x = _place(limit, left, width, LOWEST, top)
        parts.append(f'<path class="limit" d="M{x:g} 18V{floor_y}"/>')
        parts.append(f'<text class="limit label" x="{x:g}" y="13" text-anchor="middle">{limit:g}</text>')
    for (_, code), place, row in zip(points, places, levels, strict=True):
        x = round(place - size / 2, 1)
        y = round(floor_y - 1 - size - row * step, 1)
        parts.append(f'<use class="{code}" href="#i-{code}" x="{x:g}" y="{y:g}" width="{size:g}" height="{size:g}"/>')
    label = escape(description)
    return f'<svg class="spread" viewBox="0 0 440 156" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _stacked(places: Sequence[float]) -> tuple[float, float, list[int]]:
    """Size of the icons, height of a row, and each icon's row; none is moved sideways, high stacks overlap."""
    for size in (20.0, 16.0, 13.0, 11.0, 9.0, 7.0, 5.0):
        levels = _levels(places, size)
        height = max(levels, default=0) + 1
        if height * size <= STACK_HEIGHT:
            return size, size, levels
    return 5.0, STACK_HEIGHT / height, levels


def _levels(places: Sequence[float], size: float) -> list[int]:
    """Lowest free row for each place, ascending."""
    ends: list[float] = []
    levels = []
    for place in places:
        row = next((row for row, end in enumerate(ends) if end <= place), len(ends))
        ends[row : row + 1] = [place + size * 1.05]
        levels.append(row)
    return levels


def ruler(pue: float, lower: float | None, upper: float | None, marks: Sequence[RulerMark]) -> str:
    """The headline's ruler: scale, limits, the ratio and how far the truth may lie from it.

    Parameters
    ----------
    pue
        The ratio. [-]
    lower, upper
        Its bounds; None is unbounded and reaches the ruler's end. [-]
    marks
        Limits to draw.
    """
    left = 14
    width = 392
    parts = [f'<path class="track" d="M{left} 34H{left + width}"/>']
    for tenth in range(10, 21):
        x = _place(tenth / 10, left, width)
        parts.append(f'<path class="tick" d="M{x:g} 34v{6 if tenth % 5 else 10}"/>')
        if tenth % 5 == 0:
            parts.append(f'<text class="axis" x="{x:g}" y="58" text-anchor="middle">{tenth / 10:.1f}</text>')
    start = _place(LOWEST if lower is None else lower, left, width)
    end = _place(HIGHEST if upper is None else upper, left, width)
    parts.append(f'<rect class="bounds" x="{start:g}" y="28" width="{max(end - start, 1):g}" height="12" rx="2"/>')
    for mark in marks:
        x = _place(mark.value, left, width)
        kind = "limit" if mark.applies else "limit other"
        parts.append(f'<path class="{kind}" d="M{x:g} 18V46"/>')
        parts.append(f'<text class="{kind} label" x="{x:g}" y="12" text-anchor="middle">{mark.label}</text>')
    parts.append(f'<circle class="dot" cx="{_place(pue, left, width):g}" cy="34" r="6"/>')
    return f'<svg class="ruler large" viewBox="0 0 420 64" aria-hidden="true">{"".join(parts)}</svg>'


def _place(value: float, left: int, width: int, low: float = LOWEST, high: float = HIGHEST) -> float:
    return round(left + (min(max(value, low), high) - low) / (high - low) * width, 1)
