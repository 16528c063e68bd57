"""The province at a glance: counts per outcome, all facilities on one scale, prefectures as tiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from markupsafe import Markup

from compliance.console import marks, numbers, words
from compliance.console.reader import Reader
from compliance.console.tiles import LEVELS, Tile, places, tile_grid
from compliance.queries import ComplianceRow, Region, RegionPue, Rule
from pue.judgement.decimals import show_pue


def outcome_of(row: ComplianceRow) -> str:
    """Code of the headline finding, or that there is none."""
    return row.finding.outcome if row.finding else words.NO_FINDING


def class_of(row: ComplianceRow) -> str:
    """Code of a facility's class in addresses."""
    return f"{row.facility.build}-{row.facility.scale}"


@dataclass(frozen=True, slots=True)
class Chip:
    """A link that filters the table."""

    href: str
    text: str
    count: int
    chosen: bool
    code: str = ""
    """Outcome, for its icon."""


def outcome_chips(rows: Sequence[ComplianceRow], reader: Reader) -> tuple[Chip, ...]:
    """How many facilities have which outcome, each a filter."""
    texts = reader.texts
    current = reader.parameters.get("outcome")
    counts = Counter(outcome_of(row) for row in rows)
    codes = [code for code in words.SEVERITY if counts[code] or code in ("compliant", "non_compliant")]
    return tuple(
        Chip(
            href=reader.link(outcome=None if code == current else code),
            text=texts.code("outcome", code),
            count=counts[code],
            chosen=code == current,
            code=code,
        )
        for code in codes
    )


def class_chips(rows: Sequence[ComplianceRow], reader: Reader) -> tuple[Chip, ...]:
    """How many facilities are of which class, each a filter."""
    current = reader.parameters.get("class")
    counts = Counter(class_of(row) for row in rows)
    names = {class_of(row): words.facility_class(row.facility, reader.texts) for row in rows}
    return tuple(
        Chip(reader.link(**{"class": None if code == current else code}), names[code], count, code == current)
        for code, count in counts.most_common()
    )


def spread(rows: Sequence[ComplianceRow], rules: Sequence[Rule], reader: Reader) -> Markup:
    """All facilities with a judged PUE on one scale."""
    points = [(float(row.finding.pue), row.finding.outcome) for row in rows if row.finding and row.finding.pue]
    if not points:
        return marks.drawn("")
    limits = sorted({float(rule.limit) for rule in rules if rule.limit})
    low, high = (reader.ratio(f"{edge(points)[0]:.6f}") for edge in (min, max))
    return marks.drawn(marks.spread(points, limits, reader.texts("province.spread_description", low=low, high=high)))


def tiles(
    rows: Sequence[ComplianceRow], region: RegionPue | None, regions: Mapping[str, Region], reader: Reader, window: str
) -> Markup:
    """The prefectures, and the province's ratio of sums in the free corner."""
    drawn = {code: _tile(code, regions[code], rows, region, reader) for code in places() if code in regions}
    shown = reader.ratio(region.pue.pue) if region else numbers.NONE
    texts = reader.texts
    province = (texts("province.name") + " PUE", shown, window)
    return marks.drawn(tile_grid(drawn, texts("province.tiles"), province))


def _tile(code: str, region: Region, rows: Sequence[ComplianceRow], pue: RegionPue | None, reader: Reader) -> Tile:
    texts = reader.texts
    inside = [row for row in rows if row.facility.region.startswith(code)]
    ratio = _ratio_of_sums([row.facility.id for row in inside], pue)
    over = sum(outcome_of(row) == "non_compliant" for row in inside)
    name = texts.pick(region.short, region.en)
    shown = numbers.NONE if ratio is None else show_pue(ratio, numbers.PLACES, reader.limits)
    chosen = reader.parameters.get("region") == code
    return Tile(
        name=name,
        pue=None if ratio is None else float(ratio),
        shown=shown,
        facilities=len(inside),
        count_text=texts("province.tile_count", count=len(inside)),
        over_text=texts("province.tile_over", count=len(inside), over=over) if over else "",
        href=reader.link(region=None if chosen else code),
        chosen=chosen,
        description=texts("province.tile_description", name=name, pue=shown, count=len(inside), over=over),
    )


def _ratio_of_sums(facilities: Sequence[str], pue: RegionPue | None) -> Fraction | None:
    """Sum of total energy by sum of IT energy; never a mean of ratios."""
    parts = [pue.facilities[name] for name in facilities if pue and name in pue.facilities]
    it_j = sum(part.it_j for part in parts)
    return Fraction(sum(part.total_j for part in parts), it_j) if it_j > 0 else None


def legend(reader: Reader) -> tuple[tuple[str, str], ...]:
    """What the tiles' shades mean."""
    low, high = (f"{level:g}" for level in LEVELS)
    return (
        ("level0", f"≤ {low}"),
        ("level1", f"{low} – {high}"),
        ("level2", f"> {high}"),
        ("unknown", reader.texts("province.legend_unknown")),
        ("empty", reader.texts("province.legend_empty")),
    )
