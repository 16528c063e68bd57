"""A facility's page: the finding with everything needed to doubt it, then what it was computed from."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from compliance.console import numbers, words
from compliance.console.finding import Fact, Headline, OtherRule, evidence, headline, other_rule, rule_title
from compliance.console.language import Texts
from compliance.console.reader import Frame, Reader, View
from compliance.console.tables import (
    AlertRow,
    HistoryRow,
    MeterRow,
    WindowRow,
    alert_row,
    history_row,
    meter_rows,
    window_rows,
)
from compliance.console.trend import TrendView, trend_view
from compliance.queries import Facility, Finding, Queries, Region, Status

HISTORY_ROWS = 12
"""Findings listed; the API has them all."""


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
    history_caption: str
    history_href: str
    evidence: tuple[Fact, ...]
    evidence_href: str


def facility_page(queries: Queries, facility_id: str, reader: Reader) -> FacilityPage:
    """Read and arrange the page.

    Raises
    ------
    NotFound
        If there is no such facility for this reader, or a parameter cannot be read.
    """
    texts = reader.texts
    status = queries.status()
    facility = queries.facility(facility_id, reader.valid_at, reader.known_at)
    findings = queries.findings(facility_id, reader.valid_at, reader.known_at)
    rules = {(rule.profile, rule.id): rule for rule in queries.rules()}
    view = View(reader, ZoneInfo(facility.timezone), rules)
    watermark_ms = status.watermarks_ms.get(facility_id)
    first = next((finding for finding in findings if finding.headline), None)
    known = [one for one in queries.finding_history(facility_id) if _was_known(one, reader)]
    history = [one for one in known if first and one.rule == first.rule][:HISTORY_ROWS]
    return FacilityPage(
        frame=_frame(status, facility, watermark_ms, view),
        name=texts.pick(facility.name, facility.name_en),
        other_name=_other(texts.pick(facility.name, facility.name_en), facility),
        about=_about(facility, queries.region(facility.region), texts),
        headline=headline(first, findings, view) if first else None,
        no_finding=words.verdict("not_applicable" if findings else None, texts),
        other_rules=tuple(other_rule(one, view) for one in findings if one is not first),
        trend=None if watermark_ms is None else trend_view(queries, facility, findings, watermark_ms, reader),
        windows=window_rows(queries, facility_id, first, view),
        meters=meter_rows(facility, queries.meters(facility_id), view),
        alerts=tuple(alert_row(alert, view) for alert in queries.alerts(facility_id=facility_id)),
        history=tuple(history_row(one, view) for one in history),
        history_caption=texts("facility.history_caption", rule=rule_title(first, view), shown=len(history)),
        history_href=f"/v1/facilities/{facility_id}/findings/history",
        evidence=evidence(first, view) if first else (),
        evidence_href=f"/v1/facilities/{facility_id}/evidence",
    )


def _was_known(finding: Finding, reader: Reader) -> bool:
    """Whether a finding was recorded by the time the page is as of."""
    return reader.known_at is None or finding.recorded_at <= reader.known_at


def _frame(status: Status, facility: Facility, watermark_ms: int | None, view: View) -> Frame:
    texts = view.texts
    reader = view.reader
    data = texts("asof.no_data") if watermark_ms is None else numbers.moment(watermark_ms, view.zone)
    asof = [(texts("asof.data"), data)]
    for name, value in (("valid_at", reader.valid_at), ("known_at", reader.known_at)):
        if value is not None:
            asof.append((texts(f"asof.{name}"), numbers.local(value, view.zone)))
    asof.append((texts("asof.event"), str(status.seq)))
    heading = texts.pick(facility.name, facility.name_en)
    return Frame(reader, status.demo, tuple(asof), None, heading, refresh=not reader.is_past)


def _other(name: str, facility: Facility) -> str:
    return next((other for other in (facility.name, facility.name_en) if other and other != name), "")


def _about(facility: Facility, region: Region, texts: Texts) -> tuple[str, ...]:
    return (
        texts.pick(facility.enterprise_name, facility.enterprise_name_en),
        texts.pick(region.zh, region.en),
        words.facility_class(facility, texts),
        texts.code("stage", facility.stage),
        texts("facility.racks", count=f"{facility.standard_racks:,}"),
        texts("facility.it_power", power=f"{facility.it_power_kw / 1000:g}"),
        *((texts("facility.commissioned", day=facility.commissioned_on),) if facility.commissioned_on else ()),
    )
