"""What each meter counts for: a registered facility's weights as terms of the PUE core."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from fractions import Fraction
from math import ceil
from zoneinfo import ZoneInfo

from compliance.registry import Registered
from compliance.registry_file import Meter, MeterVersion, local_midnight_ms
from pue.contract.quantities import step
from pue.contract.series import SeriesKey
from pue.energy.facility import Term
from pue.energy.uncertainty import relative_uncertainty
from pue.judgement.scope import Facts


def facility_terms(facility: Registered) -> tuple[Term, ...]:
    """One term per version of each meter."""
    return tuple(term for meter in facility.meters for term in _terms(facility.facts.site, meter))


def facility_keys(facility: Registered) -> tuple[SeriesKey, ...]:
    """The series a facility is computed from."""
    return tuple(SeriesKey(facility.facts.site, meter.id, meter.quantity) for meter in facility.meters)


def facility_facts(facility: Registered, at_ms: int, metered_from_ms: int = 0) -> Facts:
    """What rules ask about a facility, for the local day a time falls in; it counts as running once it is metered."""
    facts = facility.facts
    started = facts.commissioned_on
    started_ms = local_midnight_ms(started, facts.timezone) if started else 0
    return Facts(
        facility=facts.id,
        on=local_day(at_ms, facts.timezone),
        region=facts.region,
        stage=facts.stage,
        build=facts.build,
        standard_racks=facts.standard_racks,
        it_power_kw=facts.it_power_kw,
        approved_on=facts.approved_on,
        commissioned_on=started,
        operating_from_ms=max(started_ms, metered_from_ms) or None,
        hub_cluster=facts.hub_cluster,
        green_grade=facts.green_grade,
        green_grade_certificate=facts.green_grade_certificate,
        green_grade_valid_to=facts.green_grade_valid_to,
        siting_exception=facts.siting_exception,
        incentives=facts.incentives,
        transition_until=facts.transition_until,
    )


def local_day(at_ms: int, zone: str) -> date:
    """The calendar day of a time in a facility's zone."""
    return datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone)).date()


def _terms(site: str, meter: Meter) -> Iterator[Term]:
    for version, to_ms in zip(meter.version, meter.ends_ms, strict=True):
        yield Term(
            key=SeriesKey(site, meter.id, meter.quantity),
            a=Fraction(version.a if version.a is not None else meter.a),
            b=Fraction(version.b if version.b is not None else meter.b),
            required=meter.required,
            from_ms=version.from_ms,
            to_ms=to_ms,
            parent=meter.parent or None,
            u_rel=relative_uncertainty(version.meter_class, version.ct_class, version.pt_class),
            group=version.calibration_group,
            step_j=_step_j(meter, version),
            max_power_w=version.max_power_w,
        )


def _step_j(meter: Meter, version: MeterVersion) -> int:
    register = next(one for one in version.registers if one.quantity == meter.quantity)
    ratio = Fraction(version.ct) * Fraction(version.pt)
    return ceil(step(register.quantity, register.unit, register.exponent) * ratio)
