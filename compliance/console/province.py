"""The province page: who is over, by how much, on how much data, since when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from compliance.console import marks, numbers, words
from compliance.console.overview import Chip, class_chips, class_of, legend, outcome_chips, outcome_of, spread, tiles
from compliance.console.reader import Frame, Reader, newest_and_oldest
from compliance.queries import ComplianceRow, Queries, Region, RegionCompliance, Status

PROVINCE = "53"
ZONE = ZoneInfo("Asia/Shanghai")
USUAL_PERIOD = "ttm"
COLUMNS = ("name", "prefecture", "class", "pue", "margin", "coverage", "finding", "alert", "since")
FILTERS = ("outcome", "region", "class", "alert")


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; its link sorts, or turns the order round."""

    id: str
    text: str
    href: str
    order: str
    """`ascending`, `descending` or empty, as `aria-sort` wants it."""
    help: str


@dataclass(frozen=True, slots=True)
class Row:
    """One facility's line."""

    href: str
    name: str
    owner: str
    prefecture: str
    kind: str
    pue: str
    ruler: Markup
    rolling: str
    margin: str
    limit: str
    over: bool
    coverage: str
    bar: Markup
    verdict: words.Verdict
    binding: bool
    alerts: tuple[str, ...]
    since: str


@dataclass(frozen=True, slots=True)
class ProvincePage:
    """Everything the template shows."""

    frame: Frame
    total: int
    lead: str
    draft: bool
    counts: tuple[Chip, ...]
    classes: tuple[Chip, ...]
    spread: Markup
    tiles: Markup
    tiles_how: str
    legend: tuple[tuple[str, str], ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str
    shown: str
    clear: str | None
    missing: tuple[str, ...]
    commands: tuple[tuple[str, str], ...]


def province_page(queries: Queries, reader: Reader) -> ProvincePage:
    """Read and arrange the page."""
    texts = reader.texts
    status = queries.status()
    table = queries.region_compliance(PROVINCE, reader.valid_at, reader.known_at)
    regions = {region.gb2260[:4]: region for region in queries.regions() if region.level == "prefecture"}
    window = Counter(row.finding.period for row in table.rows if row.finding and row.finding.period)
    period = window.most_common(1)[0][0] if window else USUAL_PERIOD
    chosen = [row for row in table.rows if _matches(row, reader)]
    sort, descending = _order(reader)
    arranged = _sorted(chosen, sort, descending, reader)
    return ProvincePage(
        frame=_frame(reader, status, table),
        total=len(table.rows),
        lead=texts("province.lead", total=len(table.rows), judged=sum(row.finding is not None for row in table.rows)),
        draft=any(row.finding is not None and not row.finding.binding for row in table.rows),
        counts=outcome_chips(table.rows, reader),
        classes=class_chips(table.rows, reader),
        spread=spread(table.rows, queries.rules(), reader),
        tiles=tiles(table.rows, queries.region_pue(PROVINCE, period), regions, reader, texts("window." + period)),
        tiles_how=texts("province.tiles_how", window=texts("window." + period)),
        legend=legend(reader),
        columns=tuple(_column(name, sort, descending, reader) for name in COLUMNS),
        rows=tuple(_row(row, regions, reader) for row in arranged),
        caption=_caption(sort, descending, reader),
        shown=texts("province.shown", shown=len(arranged), total=len(table.rows)),
        clear=reader.link(**dict.fromkeys(FILTERS)) if any(name in reader.parameters for name in FILTERS) else None,
        missing=status.missing,
        commands=_commands(status, table, reader),
    )


def _frame(reader: Reader, status: Status, table: RegionCompliance) -> Frame:
    texts = reader.texts
    marks_ms = newest_and_oldest(status)
    data = texts("asof.no_data")
    if marks_ms is not None:
        data = numbers.moment(marks_ms[0], ZONE)
        if marks_ms[0] != marks_ms[1]:
            data = texts("asof.data_range", newest=data, oldest=numbers.moment(marks_ms[1], ZONE))
    asof = (
        (texts("asof.data"), data),
        *(((texts("asof.valid_at"), numbers.local(table.valid_at, ZONE)),) if reader.is_past else ()),
        (texts("asof.known_at"), numbers.local(table.known_at, ZONE)),
        (texts("asof.event"), str(table.seq)),
    )
    permalink = reader.link(valid_at=table.valid_at.isoformat(), known_at=table.known_at.isoformat())
    return Frame(reader, status.demo, asof, permalink, texts("province.title"), refresh=not reader.is_past)


def _matches(row: ComplianceRow, reader: Reader) -> bool:
    wanted = reader.parameters
    return (
        wanted.get("outcome", outcome_of(row)) == outcome_of(row)
        and row.facility.region.startswith(wanted.get("region", ""))
        and wanted.get("class", class_of(row)) == class_of(row)
        and ("alert" not in wanted or any(alert.active for alert in row.alerts))
    )


def _order(reader: Reader) -> tuple[str, bool]:
    sort = reader.parameters.get("sort", "finding")
    return (sort if sort in COLUMNS else "finding"), reader.parameters.get("order") == "desc"


SortKey = Callable[[ComplianceRow], Any]


def _sorted(rows: Sequence[ComplianceRow], sort: str, descending: bool, reader: Reader) -> list[ComplianceRow]:
    """In the order asked for; rows without the value stand last either way, ties by margin and name."""
    usual = sorted(rows, key=lambda row: (_margin(row) is None, _margin(row) or 0.0, _name(row, reader)))
    keys: dict[str, SortKey] = {
        "name": lambda row: _name(row, reader),
        "prefecture": lambda row: row.facility.region,
        "class": class_of,
        "pue": lambda row: float(row.finding.pue) if row.finding and row.finding.pue else None,
        "margin": _margin,
        "coverage": lambda row: float(row.finding.coverage) if row.finding and row.finding.coverage else None,
        "finding": lambda row: words.SEVERITY.index(outcome_of(row)) if outcome_of(row) in words.SEVERITY else None,
        "alert": lambda row: -sum(alert.active for alert in row.alerts),
        "since": lambda row: row.finding.since if row.finding else None,
    }
    key = keys[sort]
    known = [row for row in usual if key(row) is not None]
    return sorted(known, key=key, reverse=descending) + [row for row in usual if key(row) is None]


def _margin(row: ComplianceRow) -> float | None:
    return None if row.margin is None else float(row.margin)


def _name(row: ComplianceRow, reader: Reader) -> str:
    return reader.texts.pick(row.facility.name, row.facility.name_en)


def _column(name: str, sort: str, descending: bool, reader: Reader) -> Column:
    text = reader.texts(f"column.{name}")
    order = ("descending" if descending else "ascending") if name == sort else ""
    href = reader.link(sort=name, order="desc" if order == "ascending" else None)
    return Column(name, text, href, order, reader.texts("province.sort_by", column=text))


def _caption(sort: str, descending: bool, reader: Reader) -> str:
    texts = reader.texts
    direction = texts("province.descending" if descending else "province.ascending")
    order = texts("province.sorted", column=texts(f"column.{sort}"), direction=direction)
    return texts("province.caption", order=order)


def _row(row: ComplianceRow, regions: dict[str, Region], reader: Reader) -> Row:
    texts = reader.texts
    facility = row.facility
    finding = row.finding
    region = regions.get(facility.region[:4])
    coverage = finding.coverage if finding else None
    return Row(
        href=reader.facility(facility.id),
        name=_name(row, reader),
        owner=texts.pick(facility.enterprise_name, facility.enterprise_name_en),
        prefecture=texts.pick(region.short, region.en) if region else facility.region,
        kind=words.facility_class(facility, texts),
        pue=reader.ratio(finding.pue if finding else None),
        ruler=_small_ruler(row),
        rolling=_rolling(row, reader),
        margin=words.margin(row.margin, texts),
        limit=_limit(row, reader),
        over=outcome_of(row) == "non_compliant",
        coverage=numbers.percent(coverage),
        bar=marks.drawn("" if coverage is None else marks.share_bar(float(coverage))),
        verdict=words.verdict(finding.outcome if finding else None, texts),
        binding=finding is None or finding.binding,
        alerts=tuple(words.alert_kind(alert, texts) for alert in row.alerts if alert.active),
        since=numbers.day(finding.since if finding else None),
    )


def _small_ruler(row: ComplianceRow) -> Markup:
    if row.finding is None or row.finding.pue is None:
        return marks.drawn("")
    limit = float(row.finding.limit) if row.finding.limit else None
    return marks.drawn(marks.small_ruler(float(row.finding.pue), limit))


def _limit(row: ComplianceRow, reader: Reader) -> str:
    if row.finding is None or row.finding.limit is None:
        return ""
    limit = numbers.limit(row.finding.comparator, row.finding.limit)
    return reader.texts("facility.limit_with", name=words.limit_name(row.finding, reader.texts), limit=limit)


def _rolling(row: ComplianceRow, reader: Reader) -> str:
    if row.rolling is None or row.rolling.pue is None:
        return ""
    return reader.texts("province.rolling_note", pue=reader.ratio(row.rolling.pue))


def _commands(status: Status, table: RegionCompliance, reader: Reader) -> tuple[tuple[str, str], ...]:
    """What is missing, and the command that supplies it."""
    texts = reader.texts
    if reader.is_past:
        return () if table.rows else ((texts("empty.past"), ""),)
    if not table.rows:
        return ((texts("empty.facilities"), "pue-compliance import registry.toml --config compliance.toml"),)
    if newest_and_oldest(status) is None:
        return ((texts("empty.data"), "pue-collector import FILE --config collector.toml"),)
    if all(row.finding is None for row in table.rows):
        return ((texts("empty.findings"), "pue-compliance evaluate --config compliance.toml"),)
    return ()
