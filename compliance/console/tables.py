"""What a facility's finding was computed from: windows, meters, alerts, earlier findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from compliance.console import marks, numbers, words
from compliance.console.reader import View
from compliance.queries import Alert, Facility, Finding, MeterPoint, MeterStatus, Pue, Queries
from pue.energy.windows import WINDOW_IDS


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

    period: str
    verdict: words.Verdict
    pue: str
    bounds: str
    coverage: str
    recorded: str
    seq: int


def window_rows(queries: Queries, facility_id: str, first: Finding | None, view: View) -> tuple[WindowRow, ...]:
    """All windows, the judged one first."""
    judged = first.period if first else None
    arranged = sorted(WINDOW_IDS, key=lambda window: window != judged)
    rows = ((window, queries.pue(facility_id, window)) for window in arranged)
    return tuple(_window(window, row, window == judged, view) for window, row in rows if row is not None)


def _window(window: str, row: Pue, judged: bool, view: View) -> WindowRow:
    return WindowRow(
        name=view.texts.code("window", window),
        period=numbers.period(row.from_ms, row.to_ms, view.zone),
        pue=view.reader.ratio(row.pue),
        bounds=words.bounds(row, view.reader),
        coverage=numbers.percent(row.coverage),
        bar=marks.drawn(marks.share_bar(float(row.coverage))),
        total=numbers.energy(row.total_j),
        it=numbers.energy(row.it_j),
        judged=judged,
        reasons=tuple(words.reasons(row.reasons, view.texts)),
    )


def meter_rows(facility: Facility, states: Sequence[MeterStatus], view: View) -> tuple[MeterRow, ...]:
    """All meters in the registry's order."""
    by_meter = {state.meter: state for state in states}
    return tuple(_meter(point, by_meter.get(point.meter), view) for point in facility.meters)


def _meter(point: MeterPoint, state: MeterStatus | None, view: View) -> MeterRow:
    return MeterRow(
        id=point.meter,
        name=point.name,
        parent=point.parent or "",
        a=point.a,
        b=point.b,
        required=point.required,
        serial=point.serial,
        model=point.profile,
        accuracy=f"{point.meter_class or view.texts('table.class_unknown')} · {point.ct}",
        coverage=numbers.percent(state.coverage if state else None),
        bar=marks.drawn(marks.share_bar(float(state.coverage)) if state else ""),
        energy=numbers.energy(state.energy_j if state else None),
        flags=tuple(words.flags(state.flags, view.texts)) if state else (),
        last=numbers.moment(state.last_reading_ms if state else None, view.zone),
    )


def alert_row(alert: Alert, view: View) -> AlertRow:
    """An alert, arranged."""
    texts = view.texts
    titles = [texts.pick(rule.title, rule.title_en) for rule in view.rules.values() if rule.id == alert.rule]
    return AlertRow(
        kind=words.alert_kind(alert, texts),
        active=alert.active,
        value=_alert_value(alert, view),
        details=texts("trend.separator").join((*alert.meters, *titles)) or numbers.NONE,
        raised=numbers.moment(alert.raised_ms, view.zone),
        cleared=numbers.moment(alert.cleared_ms, view.zone),
    )


def _alert_value(alert: Alert, view: View) -> str:
    """Value against threshold: a PUE as a ratio, coverage as a share, anything else as it came."""
    if alert.value is None:
        return numbers.NONE
    show = {"pue_over_limit": view.reader.ratio, "coverage_low": numbers.percent}.get(alert.kind, str)
    if alert.limit is None:
        return show(alert.value)
    return view.texts("facility.alert_value", value=show(alert.value), limit=show(alert.limit))


def history_row(finding: Finding, view: View) -> HistoryRow:
    """An earlier finding, arranged."""
    return HistoryRow(
        period=numbers.period(finding.from_ms, finding.to_ms, view.zone),
        verdict=words.verdict(finding.outcome, view.texts, finding.limit is not None),
        pue=view.reader.ratio(finding.pue),
        bounds=words.bounds(finding, view.reader),
        coverage=numbers.percent(finding.coverage),
        recorded=numbers.local(finding.recorded_at, view.zone),
        seq=finding.seq,
    )
