"""A facility's PUE over a chosen time: which values, which lines, which words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
from markupsafe import Markup

from compliance.console import numbers, words
from compliance.console.language import Texts
from compliance.console.marks import drawn
from compliance.console.reader import Reader
from compliance.console.svg import NARROW, WIDE, Float64, Judged, LimitLine, Trend, Words, trend_chart
from compliance.console.ticks import DAY_MS, HOUR_MS
from compliance.queries import BadQuery, Facility, Finding, Queries, Rule
from pue.contract.series import SLOT_MS
from pue.energy.slots import Int64

RANGES = {"year": 365 * DAY_MS, "days90": 90 * DAY_MS, "days30": 30 * DAY_MS, "days7": 7 * DAY_MS}
USUAL = "year"
SHORTEST_MS = 6 * HOUR_MS
LONGEST_MS = 2 * 366 * DAY_MS


@dataclass(frozen=True, slots=True)
class RangeLink:
    """A link to another time."""

    href: str
    text: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class TrendView:
    """The chart in two sizes, its caption and the links around it; `page` is the address to zoom from."""

    wide: Markup
    narrow: Markup
    caption: str
    judged: str
    ranges: tuple[RangeLink, ...]
    page: str
    zone: str


def trend_view(
    queries: Queries, facility: Facility, findings: Sequence[Finding], watermark_ms: int, reader: Reader
) -> TrendView:
    """Read and draw the chosen time, a year up to the watermark unless the address says otherwise."""
    zone = ZoneInfo(facility.timezone)
    texts = reader.texts
    from_ms, to_ms = chosen_range(reader, zone, watermark_ms)
    finding, judged = _judged(findings)
    fast = queries.pue_series(facility.id, from_ms, to_ms, "slot")
    slow = queries.pue_series(facility.id, from_ms, to_ms, "30d")
    trend = Trend(
        from_ms=from_ms,
        to_ms=to_ms,
        step_ms=SLOT_MS,
        time_ms=fast.edge_ms,
        pue=fast.pue,
        rolling_ms=slow.edge_ms,
        rolling=slow.pue,
        limits=limit_lines(queries.rules(), findings, texts),
        judged=judged,
        zone=zone,
    )
    facts = _facts(trend, reader)
    drawn_words = Words(
        title=texts("trend.title", name=texts.pick(facility.name, facility.name_en)),
        description=texts("trend.description" if facts["high"] else "trend.description_empty", **facts),
        months=tuple(texts(f"months.{month}") for month in range(1, 13)),
        no_data=texts("trend.no_data"),
        off_scale=texts("trend.off_scale"),
    )
    return TrendView(
        wide=drawn(trend_chart(trend, drawn_words, WIDE, "trend-wide")),
        narrow=drawn(trend_chart(trend, drawn_words, NARROW, "trend-narrow")),
        caption=texts("trend.caption" if facts["high"] else "trend.caption_empty", **facts),
        judged=texts("trend.judged", pue=reader.ratio(finding.pue)) if finding else "",
        ranges=_ranges(reader, from_ms, to_ms, watermark_ms),
        page=reader.link(**{"from": None, "to": None, "range": None}),
        zone=facility.timezone,
    )


def chosen_range(reader: Reader, zone: ZoneInfo, watermark_ms: int) -> tuple[int, int]:
    """`?range=`, or `?from=` and `?to=`, kept between a few hours and two years.

    Raises
    ------
    BadQuery
        If the interval is empty or a time cannot be read.
    """
    to_ms = reader.time_ms("to", zone) or watermark_ms
    from_ms = reader.time_ms("from", zone) or to_ms - _length(reader)
    if from_ms >= to_ms:
        raise BadQuery("bad_interval", "from has to be before to")
    from_ms = max(from_ms, to_ms - LONGEST_MS)
    to_ms = max(to_ms, from_ms + SHORTEST_MS)
    return from_ms - from_ms % SLOT_MS, to_ms + -to_ms % SLOT_MS


def limit_lines(rules: Sequence[Rule], findings: Sequence[Finding], texts: Texts) -> tuple[LimitLine, ...]:
    """One line per limit of any loaded rule; it applies if some rule with that limit does."""
    applying = {finding.rule for finding in findings if finding.outcome != "not_applicable"}
    lines: dict[Fraction, LimitLine] = {}
    for rule in sorted((rule for rule in rules if rule.limit), key=lambda rule: rule.id in applying):
        applies = rule.id in applying
        value = Fraction(rule.limit or 0)
        note = words.limit_name(rule, texts) if applies else texts("limit.other")
        lines[value] = LimitLine(float(value), numbers.limit(rule.comparator, rule.limit), note, applies)
    return tuple(lines[value] for value in sorted(lines))


def _judged(findings: Sequence[Finding]) -> tuple[Finding, Judged] | tuple[None, None]:
    for finding in findings:
        if finding.headline and finding.pue and finding.from_ms is not None and finding.to_ms is not None:
            return finding, Judged(finding.from_ms, finding.to_ms, float(finding.pue))
    return None, None


def _facts(trend: Trend, reader: Reader) -> dict[str, str]:
    """The chart in words; `high` is empty without any value."""
    facts = {
        "period": numbers.period(trend.from_ms, trend.to_ms, trend.zone),
        "limits": reader.texts("trend.separator").join(f"{line.note} {line.label}" for line in trend.limits),
        "rolling": _last(trend.rolling, reader),
        **dict.fromkeys(("low", "high", "high_at"), ""),
    }
    extremes = _extremes(trend.time_ms, trend.pue)
    if extremes is None:
        return facts
    low, high, high_ms = extremes
    at = datetime.fromtimestamp((high_ms - trend.step_ms) / 1000, UTC).astimezone(trend.zone)
    return facts | {"low": _shown(low, reader), "high": _shown(high, reader), "high_at": f"{at:%Y-%m-%d %H:%M}"}


def _extremes(time_ms: Int64, pue: Float64) -> tuple[float, float, int] | None:
    if not np.isfinite(pue).any():
        return None
    highest = int(np.nanargmax(pue))
    return float(np.nanmin(pue)), float(pue[highest]), int(time_ms[highest])


def _last(values: Float64, reader: Reader) -> str:
    known = values[np.isfinite(values)]
    return _shown(float(known[-1]), reader) if len(known) else numbers.NONE


def _shown(value: float, reader: Reader) -> str:
    return reader.ratio(f"{value:.6f}")


def _ranges(reader: Reader, from_ms: int, to_ms: int, watermark_ms: int) -> tuple[RangeLink, ...]:
    texts = reader.texts
    span = to_ms - from_ms
    own = "from" in reader.parameters or "to" in reader.parameters
    links = [
        RangeLink(
            href=reader.link(**{"range": None if name == USUAL else name, "from": None, "to": None}) + "#trend",
            text=texts(f"trend.{name}"),
            chosen=not own and _length(reader) == RANGES[name],
        )
        for name in RANGES
    ]
    links.append(_shifted(reader, from_ms - span, from_ms, "earlier"))
    if to_ms < watermark_ms:
        links.append(_shifted(reader, to_ms, to_ms + span, "later"))
    return tuple(links)


def _length(reader: Reader) -> int:
    return RANGES.get(reader.parameters.get("range", USUAL), RANGES[USUAL])


def _shifted(reader: Reader, from_ms: int, to_ms: int, text: str) -> RangeLink:
    href = reader.link(**{"from": str(from_ms), "to": str(to_ms), "range": None}) + "#trend"
    return RangeLink(href, reader.texts(f"trend.{text}"), False)
