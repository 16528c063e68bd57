"""A facility's page: the finding with everything needed to doubt it, then what it was computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from markupsafe import Markup

from compliance.console import marks, numbers, words
from compliance.console.marks import RulerMark
from compliance.console.reader import Frame, Reader
from compliance.console.trend import TrendView, limit_lines, trend_view
from compliance.queries import Alert, Facility, Finding, MeterPoint, MeterStatus, Pue, Queries, Region, Rule, Status
from pue.windows import WINDOW_IDS


@dataclass(frozen=True, slots=True)
class Fact:
    """A labelled value; `note` explains it, `code` is set where an icon belongs."""

    label: str
    value: str
    note: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Headline:
    """The finding that counts."""

    verdict: words.Verdict
    pue: str
    ruler: Markup
    limit_name: str
    limit: str
    margin: str
    over: bool
    facts: tuple[Fact, ...]
    decisions: tuple[Fact, ...]
    reasons: tuple[str, ...]
    rule: str
    citation: str
    quote: str
    binding: bool


@dataclass(frozen=True, slots=True)
class OtherRule:
    """A finding under another rule, in one line."""

    title: str
    citation: str
    verdict: words.Verdict
    limit: str
    pue: str
    reasons: tuple[str, ...]
    since: str
    binding: bool


@dataclass(frozen=True, slots=True)
class WindowRow:
    """PUE of one window id."""

    name: str
    period: str
    pue: str
    bounds: str
    coverage: str
    bar: Markup
    total: str
    it: str
    judged: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeterRow:
    """A meter, what it counts for and how it is doing."""

    id: str
    name: str
    parent: str
    a: str
    b: str
    required: bool
    serial: str
    model: str
    accuracy: str
    coverage: str
    bar: Markup
    energy: str
    flags: tuple[str, ...]
    last: str


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert, active or past."""

    kind: str
    active: bool
    value: str
    details: str
    raised: str
    cleared: str


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One finding of the past."""

    recorded: str
    rule: str
    verdict: words.Verdict
    pue: str
    period: str
    seq: int


@dataclass(frozen=True, slots=True)
class FacilityPage:
    """Everything the template shows."""

    frame: Frame
    name: str
    other_name: str
    about: tuple[str, ...]
    headline: Headline | None
    no_finding: words.Verdict
    other_rules: tuple[OtherRule, ...]
    trend: TrendView | None
    windows: tuple[WindowRow, ...]
    meters: tuple[MeterRow, ...]
    alerts: tuple[AlertRow, ...]
    history: tuple[HistoryRow, ...]
    evidence: tuple[Fact, ...]
    evidence_href: str


def facility_page(queries: Queries, facility_id: str, reader: Reader) -> FacilityPage:
    """Read and arrange the page.

    Raises
    ------
    NotFound
        If there is no such facility for this reader, or a parameter cannot be read.
    """
    texts, status = reader.texts, queries.status()
    facility = queries.facility(facility_id, reader.valid_at, reader.known_at)
    findings = queries.findings(facility_id, reader.valid_at, reader.known_at)
    rules = {(rule.profile, rule.id): rule for rule in queries.rules()}
    zone, watermark_ms = ZoneInfo(facility.timezone), status.watermarks_ms.get(facility_id)
    first = next((finding for finding in findings if finding.headline), None)
    return FacilityPage(
        frame=_frame(reader, status, facility, watermark_ms, zone),
        name=texts.pick(facility.name, facility.name_en),
        other_name=_other(texts.pick(facility.name, facility.name_en), facility),
        about=_about(facility, queries.region(facility.region), reader),
        headline=_headline(first, findings, rules, zone, reader) if first else None,
        no_finding=words.verdict("not_applicable" if findings else None, texts),
        other_rules=tuple(_other_rule(one, rules, reader) for one in findings if one is not first),
        trend=None if watermark_ms is None else trend_view(queries, facility, findings, watermark_ms, reader),
        windows=_windows(queries, facility_id, first, zone, reader),
        meters=_meters(facility, queries.meters(facility_id), zone, reader),
        alerts=tuple(_alert(alert, rules, zone, reader) for alert in queries.alerts(facility_id=facility_id)),
        history=tuple(_history(one, rules, zone, reader) for one in queries.finding_history(facility_id)),
        evidence=_evidence(first, zone, reader) if first else (),
        evidence_href=f"/v1/facilities/{facility_id}/evidence",
    )


def _frame(reader: Reader, status: Status, facility: Facility, watermark_ms: int | None, zone: ZoneInfo) -> Frame:
    texts = reader.texts
    data = texts("asof.no_data") if watermark_ms is None else numbers.moment(watermark_ms, zone)
    asof = [(texts("asof.data"), data)]
    for name, value in (("valid_at", reader.valid_at), ("known_at", reader.known_at)):
        if value is not None:
            asof.append((texts(f"asof.{name}"), numbers.local(value, zone)))
    asof.append((texts("asof.event"), str(status.seq)))
    heading = texts.pick(facility.name, facility.name_en)
    return Frame(reader, status.demo, tuple(asof), None, heading, refresh=not reader.is_past)


def _other(name: str, facility: Facility) -> str:
    return next((other for other in (facility.name, facility.name_en) if other and other != name), "")


def _about(facility: Facility, region: Region, reader: Reader) -> tuple[str, ...]:
    texts = reader.texts
    return (
        texts.pick(facility.enterprise_name, facility.enterprise_name_en),
        texts.pick(region.zh, region.en),
        words.facility_class(facility, texts),
        texts.code("stage", facility.stage),
        texts("facility.racks", count=f"{facility.standard_racks:,}"),
        texts("facility.it_power", power=f"{facility.it_power_kw / 1000:g}"),
        *((texts("facility.commissioned", day=facility.commissioned_on),) if facility.commissioned_on else ()),
    )


Rules = dict[tuple[str, str], Rule]


def _headline(first: Finding, findings: Sequence[Finding], rules: Rules, zone: ZoneInfo, reader: Reader) -> Headline:
    texts = reader.texts
    rule = rules.get((first.profile, first.rule))
    margin = None if first.limit is None or first.pue is None else _difference(first.limit, first.pue)
    return Headline(
        verdict=words.verdict(first.outcome, texts, first.limit is not None),
        pue=reader.ratio(first.pue),
        ruler=_ruler(first, findings, rules, reader),
        limit_name=words.limit_name(first, texts),
        limit=numbers.limit(first.comparator, first.limit),
        margin=words.margin(margin, texts),
        over=first.outcome == "non_compliant",
        facts=_facts(first, zone, reader),
        decisions=_decisions(first, reader),
        reasons=tuple(words.reasons(first.reasons, texts)),
        rule=texts.pick(rule.title, rule.title_en) if rule else first.rule,
        citation=rule.citation if rule else first.profile,
        quote=rule.quote if rule and rule.quote not in (rule.title, rule.title_en) else "",
        binding=first.binding,
    )


def _difference(limit: str, pue: str) -> str:
    return f"{float(limit) - float(pue):.6f}"


def _ruler(first: Finding, findings: Sequence[Finding], rules: Rules, reader: Reader) -> Markup:
    if first.pue is None:
        return marks.drawn("")
    lines = limit_lines(tuple(rules.values()), findings, reader.texts)
    limits = [RulerMark(line.value, f"{line.value:g}", line.applies) for line in lines]
    lower, upper = (None if text is None else float(text) for text in (first.pue_lower, first.pue_upper))
    return marks.drawn(marks.ruler(float(first.pue), lower, upper, limits))


def _facts(finding: Finding, zone: ZoneInfo, reader: Reader) -> tuple[Fact, ...]:
    texts = reader.texts
    period = numbers.period(finding.from_ms, finding.to_ms, zone)
    return (
        Fact(texts("facility.period"), period, texts.code("window", finding.period or "")),
        Fact(texts("facility.bounds"), words.bounds(finding, reader), texts("facility.bounds_help")),
        Fact(texts("facility.uncertainty"), _uncertainty(finding)),
        Fact(texts("facility.p_within"), numbers.percent(finding.p_within)),
        Fact(texts("facility.coverage"), numbers.percent(finding.coverage)),
        Fact(texts("facility.energy_total"), numbers.energy(finding.total_j)),
        Fact(texts("facility.energy_it"), numbers.energy(finding.it_j)),
        Fact(texts("facility.since"), numbers.day(finding.since)),
    )


def _uncertainty(finding: Finding) -> str:
    return numbers.NONE if finding.u_pue is None else f"±{float(finding.u_pue):.4f}"


def _decisions(finding: Finding, reader: Reader) -> tuple[Fact, ...]:
    texts = reader.texts
    rows = (("simple", finding.simple_outcome), ("guarded", finding.guarded_outcome))
    return tuple(
        Fact(
            texts(f"facility.{name}"),
            texts.code("outcome", outcome),
            texts("facility.counts") if finding.decision == name else "",
            outcome,
        )
        for name, outcome in rows
        if outcome
    )


def _other_rule(finding: Finding, rules: Rules, reader: Reader) -> OtherRule:
    texts = reader.texts
    rule = rules.get((finding.profile, finding.rule))
    return OtherRule(
        title=texts.pick(rule.title, rule.title_en) if rule else finding.rule,
        citation=rule.citation if rule else finding.profile,
        verdict=words.verdict(finding.outcome, texts, finding.limit is not None),
        limit=numbers.limit(finding.comparator, finding.limit),
        pue=reader.ratio(finding.pue),
        reasons=tuple(words.reasons(finding.reasons, texts)),
        since=numbers.day(finding.since),
        binding=finding.binding,
    )


def _windows(
    queries: Queries, facility_id: str, first: Finding | None, zone: ZoneInfo, reader: Reader
) -> tuple[WindowRow, ...]:
    judged = first.period if first else None
    arranged = sorted(WINDOW_IDS, key=lambda window: window != judged)
    rows = ((window, queries.pue(facility_id, window)) for window in arranged)
    return tuple(_window(window, row, window == judged, zone, reader) for window, row in rows if row is not None)


def _window(window: str, row: Pue, judged: bool, zone: ZoneInfo, reader: Reader) -> WindowRow:
    return WindowRow(
        name=reader.texts.code("window", window),
        period=numbers.period(row.from_ms, row.to_ms, zone),
        pue=reader.ratio(row.pue),
        bounds=words.bounds(row, reader),
        coverage=numbers.percent(row.coverage),
        bar=marks.drawn(marks.share_bar(float(row.coverage))),
        total=numbers.energy(row.total_j),
        it=numbers.energy(row.it_j),
        judged=judged,
        reasons=tuple(words.reasons(row.reasons, reader.texts)),
    )


def _meters(facility: Facility, states: Sequence[MeterStatus], zone: ZoneInfo, reader: Reader) -> tuple[MeterRow, ...]:
    by_meter = {state.meter: state for state in states}
    return tuple(_meter(point, by_meter.get(point.meter), zone, reader) for point in facility.meters)


def _meter(point: MeterPoint, state: MeterStatus | None, zone: ZoneInfo, reader: Reader) -> MeterRow:
    return MeterRow(
        id=point.meter,
        name=point.name,
        parent=point.parent or "",
        a=point.a,
        b=point.b,
        required=point.required,
        serial=point.serial,
        model=point.profile,
        accuracy=" · ".join(part for part in (point.meter_class, point.ct) if part),
        coverage=numbers.percent(state.coverage if state else None),
        bar=marks.drawn(marks.share_bar(float(state.coverage)) if state else ""),
        energy=numbers.energy(state.energy_j if state else None),
        flags=tuple(words.flags(state.flags, reader.texts)) if state else (),
        last=numbers.moment(state.last_reading_ms if state else None, zone),
    )


def _alert(alert: Alert, rules: Rules, zone: ZoneInfo, reader: Reader) -> AlertRow:
    texts = reader.texts
    titles = [texts.pick(rule.title, rule.title_en) for rule in rules.values() if rule.id == alert.rule]
    return AlertRow(
        kind=words.alert_kind(alert, texts),
        active=alert.active,
        value=_alert_value(alert, reader),
        details=texts("trend.separator").join((*alert.meters, *titles)) or numbers.NONE,
        raised=numbers.moment(alert.raised_ms, zone),
        cleared=numbers.moment(alert.cleared_ms, zone),
    )


def _alert_value(alert: Alert, reader: Reader) -> str:
    """Value against threshold: a PUE as a ratio, coverage as a share, anything else as it came."""
    if alert.value is None:
        return numbers.NONE
    show = {"pue_over_limit": numbers.ratio, "coverage_low": numbers.percent}.get(alert.kind, str)
    if alert.limit is None:
        return show(alert.value)
    return reader.texts("facility.alert_value", value=show(alert.value), limit=show(alert.limit))


def _history(finding: Finding, rules: Rules, zone: ZoneInfo, reader: Reader) -> HistoryRow:
    texts = reader.texts
    rule = rules.get((finding.profile, finding.rule))
    return HistoryRow(
        recorded=numbers.local(finding.recorded_at, zone),
        rule=texts.pick(rule.title, rule.title_en) if rule else finding.rule,
        verdict=words.verdict(finding.outcome, texts, finding.limit is not None),
        pue=reader.ratio(finding.pue),
        period=numbers.period(finding.from_ms, finding.to_ms, zone),
        seq=finding.seq,
    )


def _evidence(finding: Finding, zone: ZoneInfo, reader: Reader) -> tuple[Fact, ...]:
    texts = reader.texts
    positions = " · ".join(f"{shard}: {record:,}" for shard, record in sorted(finding.positions.items()))
    rows = {
        "hash": finding.evidence_hash,
        "seq": str(finding.seq),
        "positions": positions or numbers.NONE,
        "rule_version": f"{finding.profile} / {finding.rule} / {finding.rule_version}",
        "topology": str(finding.topology_version),
        "package": finding.package_version,
        "recorded": numbers.local(finding.recorded_at, zone),
    }
    return tuple(Fact(texts(f"evidence.{name}"), value) for name, value in rows.items())
