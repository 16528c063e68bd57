"""From records, results and events to the rows of `compliance.queries`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

from compliance import queries
from compliance.evaluate import RAISED, alert_step
from compliance.log import Event
from compliance.registry import Registered
from compliance.registry_file import Meter
from pue.energy.rolling import WindowResult
from pue.energy.uncertainty import round_micro
from pue.judgement.findings import Finding, Outcome, headline, show_pue
from pue.judgement.policy import Profile, Rule, Scale, Status

PLACES = 6
_FINDING_COLUMNS = {column.name for column in fields(Finding)} - {"headline"}


def moment(time_ms: int) -> datetime:
    """An aware UTC time."""
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def facility_view(one: Registered, scale: Scale) -> queries.Facility:
    """A facility as people see it."""
    facts = one.facts
    return queries.Facility(
        id=facts.id,
        site=facts.site,
        name=facts.name,
        name_en=facts.name_en,
        enterprise=facts.enterprise,
        enterprise_name=one.enterprise.name,
        enterprise_name_en=one.enterprise.name_en,
        region=facts.region,
        timezone=facts.timezone,
        stage=facts.stage,
        build=facts.build,
        scale=scale.of(facts.standard_racks),
        standard_racks=facts.standard_racks,
        it_power_kw=facts.it_power_kw,
        approved_on=facts.approved_on,
        commissioned_on=facts.commissioned_on,
        hub_cluster=facts.hub_cluster,
        green_grade=facts.green_grade,
        green_grade_certificate=facts.green_grade_certificate,
        green_grade_valid_to=facts.green_grade_valid_to,
        meters=tuple(_meter_view(meter) for meter in one.meters),
        seq=one.seq,
        recorded_at=moment(one.recorded_ms),
    )


def pue_view(window: str, result: WindowResult) -> queries.Pue:
    """A window's numbers as text."""
    return queries.Pue(
        window=window,
        from_ms=result.from_ms,
        to_ms=result.to_ms,
        pue=_ratio(result.pue, 0),
        pue_lower=_ratio(result.pue_lower, -1),
        pue_upper=_ratio(result.pue_upper, +1),
        u_pue=None if result.u_pue is None else show_pue(round_micro(result.u_pue), PLACES, ()),
        total_j=result.total_j,
        it_j=result.it_j,
        total_lower_j=result.total_lower_j,
        total_upper_j=result.total_upper_j,
        it_lower_j=result.it_lower_j,
        it_upper_j=result.it_upper_j,
        coverage=share(result.coverage),
        flags=result.flags,
        quality_share={name: share(value) for name, value in sorted(result.quality_share.items())},
        reasons=tuple(result.reasons),
    )


def share(value: Fraction) -> str:
    """A share as text, never rounded up: 0.9999999 is not all."""
    return show_pue(value, PLACES, (), -1)


def rule_view(rule: Rule) -> queries.Rule:
    """A rule with its clause."""
    citation = rule.citation
    return queries.Rule(
        id=rule.id,
        version=rule.version,
        profile=rule.profile,
        title=rule.zh,
        title_en=rule.en,
        kind=rule.kind,
        strength=rule.strength,
        status=rule.status,
        comparator=rule.comparator,
        limit=None if rule.limit is None else show_pue(rule.limit, 2, (rule.limit,)),
        period=rule.period,
        binding=rule.status is Status.IN_FORCE and rule.strength != "voluntary",
        consequence=rule.consequence,
        citation=" ".join(part for part in (citation.document, citation.number) if part),
        clause=citation.clause,
        quote=citation.quote,
    )


def finding_views(events: Sequence[Event], *, choose_headline: bool = True) -> tuple[queries.Finding, ...]:
    """Findings of one facility, the headline marked and first, then by rule."""
    found = [_core(event) for event in events]
    first = headline(found) if choose_headline else None
    views = [
        _finding_view(event, first is not None and (first.profile, first.rule) == (core.profile, core.rule))
        for event, core in zip(events, found, strict=True)
    ]
    return tuple(sorted(views, key=lambda view: (not view.headline, view.profile, view.rule)))


def alert_views(facility_id: str, cause: str, history: Sequence[Event]) -> list[queries.Alert]:
    """Alerts of one cause, each with its end if it has one."""
    views: list[queries.Alert] = []
    for event in history:
        step = alert_step(cause, event)
        if event.kind == RAISED:
            name = cause.replace("/", ".")
            views.append(
                queries.Alert(
                    id=f"{facility_id}.{name}.{step.at_ms}",
                    facility=facility_id,
                    kind=step.kind,
                    raised_ms=step.at_ms,
                    cleared_ms=None,
                    value=step.value,
                    limit=step.limit,
                    rule=step.rule,
                    meters=step.meters,
                    seq=event.seq,
                    recorded_at=moment(event.recorded_ms),
                )
            )
        elif views:
            views[-1] = _cleared(views[-1], step.at_ms, event)
    return views


def margin(finding: queries.Finding | None) -> str | None:
    """Limit minus PUE; negative is over."""
    if finding is None or finding.pue is None or finding.limit is None:
        return None
    return show_pue(Fraction(finding.limit) - Fraction(finding.pue), PLACES, (Fraction(0),))


def scale_of(profiles: Sequence[Profile]) -> Scale:
    """From how many racks a data center is large: as the first profile says."""
    return profiles[0].scale if profiles else Scale()


def _meter_view(meter: Meter) -> queries.MeterPoint:
    version = meter.version[-1]
    return queries.MeterPoint(
        meter=meter.id,
        name=meter.name,
        parent=meter.parent or None,
        a=version.a if version.a is not None else meter.a,
        b=version.b if version.b is not None else meter.b,
        required=meter.required,
        quantity=meter.quantity,
        serial=version.serial,
        profile=version.profile,
        meter_class=version.meter_class,
        ct=version.ct,
        pt=version.pt,
    )


def _ratio(value: Fraction | None, direction: int) -> str | None:
    return None if value is None else show_pue(value, PLACES, None, direction)


def _core(event: Event) -> Finding:
    columns: dict[str, Any] = {name: event.body.get(name) for name in _FINDING_COLUMNS}
    for name in ("outcome", "simple_outcome", "guarded_outcome"):
        columns[name] = Outcome(columns[name]) if columns[name] else None
    return Finding(**{**columns, "reasons": tuple(columns["reasons"])})


def _finding_view(event: Event, is_headline: bool) -> queries.Finding:
    body = event.body
    columns: dict[str, Any] = {column.name: body.get(column.name) for column in fields(queries.Finding)}
    return queries.Finding(
        **{
            **columns,
            "reasons": tuple(body["reasons"]),
            "headline": is_headline,
            "since": date.fromisoformat(body["since"]),
            "seq": event.seq,
            "recorded_at": moment(event.recorded_ms),
        }
    )


def _cleared(alert: queries.Alert, at_ms: int, event: Event) -> queries.Alert:
    columns = {column.name: getattr(alert, column.name) for column in fields(alert)}
    return queries.Alert(**{**columns, "cleared_ms": at_ms, "seq": event.seq, "recorded_at": moment(event.recorded_ms)})
