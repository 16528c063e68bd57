"""Yunnan's sixteen prefectures as tiles laid by hand: no boundary data, no statement about borders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

GRID = """
.... 5334 .... .... .... ....
5333 5307 .... .... 5306 ....
5305 5329 5323 5301 5303 ....
5331 5309 5308 5304 5325 5326
.... .... 5328 .... .... ....
"""
"""First four digits of GB/T 2260 where each prefecture lies, north on top."""

WIDTH = 92
HEIGHT = 66
SPACE = 6
LEVELS = (1.3, 1.5)
"""Where the shade changes; a prefecture is not judged, so this is a scale and no finding. [-]"""


@dataclass(frozen=True, slots=True)
class Tile:
    """A prefecture: its ratio of sums, and how many facilities it has; `shown` is the ratio as text."""

    name: str
    pue: float | None
    shown: str
    facilities: int
    count_text: str
    over_text: str
    href: str
    chosen: bool
    description: str


def places() -> dict[str, tuple[int, int]]:
    """Column and row of each prefecture's four digits."""
    rows = [line.split() for line in GRID.strip().splitlines()]
    return {code: (x, y) for y, row in enumerate(rows) for x, code in enumerate(row) if code != "...."}


def tile_grid(tiles: Mapping[str, Tile], title: str, province: tuple[str, str, str]) -> str:
    """The grid as SVG with a link per prefecture.

    Parameters
    ----------
    tiles
        By the first four digits of the code; one missing is drawn empty.
    title
        Accessible name of the whole.
    province
        Name, ratio and note for the free corner.
    """
    width = 6 * (WIDTH + SPACE) - SPACE
    height = 5 * (HEIGHT + SPACE) - SPACE
    body = [_tile(tiles[code], x, y) for code, (x, y) in places().items() if code in tiles]
    return (
        f'<svg class="tiles" viewBox="-2 -2 {width + 4} {height + 4}" role="group" aria-label="{escape(title)}">'
        f"{_province(*province)}{''.join(body)}</svg>"
    )


def level(pue: float | None, facilities: int) -> str:
    """Class of a tile's shade."""
    if facilities == 0:
        return "empty"
    if pue is None:
        return "unknown"
    return f"level{sum(pue > edge for edge in LEVELS)}"


def _tile(tile: Tile, column: int, row: int) -> str:
    x = column * (WIDTH + SPACE)
    y = row * (HEIGHT + SPACE)
    middle = x + WIDTH // 2
    kind = level(tile.pue, tile.facilities) + (" chosen" if tile.chosen else "")
    box = f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
    name_kind = "name long" if len(tile.name) > 9 else "name"
    below = 20 if tile.facilities else HEIGHT // 2 + 5
    texts = f'<text class="{name_kind}" x="{middle}" y="{y + below}">{escape(tile.name)}</text>'
    if tile.facilities:
        texts += f'<text class="value" x="{middle}" y="{y + 42}">{escape(tile.shown)}</text>'
        note = tile.over_text or tile.count_text
        texts += f'<text class="note" x="{middle}" y="{y + 58}">{escape(note)}</text>'
    if not tile.facilities:
        return f'<g class="tile {kind}">{box}{texts}</g>'
    current = ' aria-current="true"' if tile.chosen else ""
    return (
        f'<a class="tile {kind}" href="{escape(tile.href)}" aria-label="{escape(tile.description)}"{current}>'
        f"{box}{texts}</a>"
    )


def _province(name: str, shown: str, note: str) -> str:
    x = 2 * (WIDTH + SPACE) + 4
    return (
        f'<text class="province-name" x="{x}" y="20">{escape(name)}</text>'
        f'<text class="province-value" x="{x}" y="56">{escape(shown)}</text>'
        f'<text class="province-note" x="{x}" y="78">{escape(note)}</text>'
    )
