"""What each meter counts for: a registered facility's weights as terms of the PUE core."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from math import ceil
from zoneinfo import ZoneInfo

from compliance.registry import Registered
from compliance.registry_file import FacilityFacts, Meter, MeterVersion, local_midnight_ms
from pue.contract.quantities import step
from pue.contract.series import SLOT_MS, SeriesKey
from pue.energy.grid import Term
from pue.energy.uncertainty import class_limit, relative_uncertainty
from pue.judgement.scope import Facts


@dataclass(frozen=True, slots=True)
class HeldFacts:
    """What rules ask about a facility, at any time.

    Attributes
    ----------
    steps
        What is registered, each with the moment from which it holds, in order; the first holds before it too. [ms UTC]
    metered_from_ms
        Since when the facility is metered: it counts as running no earlier. [ms UTC]
    """

    steps: Sequence[tuple[int, FacilityFacts]]
    metered_from_ms: int = 0
    _known: dict[int, Facts] = field(default_factory=dict, init=False, repr=False, compare=False)

    def at(self, at_ms: int) -> Facts:
        """Facts for the local day a time falls in. [ms UTC]"""
        if at_ms not in self._known:  # every rule asks for the same midnights
            self._known[at_ms] = facility_facts(self.steps[self._step(at_ms)][1], at_ms, self.metered_from_ms)
        return self._known[at_ms]

    def within(self, from_ms: int, to_ms: int) -> tuple[Facts, ...]:
        """Facts that held at some time in [from_ms, to_ms), one per step. [ms UTC]"""
        begun = [start_ms for start_ms, _ in self.steps if from_ms < start_ms < to_ms]
        return tuple(self.at(at_ms) for at_ms in (from_ms, *begun))

    def _step(self, at_ms: int) -> int:
        return max(bisect_right(self.steps, at_ms, key=lambda step: step[0]) - 1, 0)


def facility_terms(facility: Registered) -> tuple[Term, ...]:
    """One term per version of each meter."""
    return tuple(term for meter in facility.meters for term in _terms(facility.facts, meter))


def facility_keys(facility: Registered) -> tuple[SeriesKey, ...]:
    """The series a facility is computed from."""
    return tuple(SeriesKey(facility.facts.site, meter.id, meter.quantity) for meter in facility.meters)


def facility_facts(facts: FacilityFacts, at_ms: int, metered_from_ms: int = 0) -> Facts:
    """What rules ask about a facility, for the local day a time falls in; it counts as running once it is metered."""
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
        incentives=facts.known_incentives,
        transition_until=facts.transition_until,
    )


def local_day(at_ms: int, zone: str) -> date:
    """The calendar day of a time in a facility's zone."""
    return datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone)).date()


def _terms(facts: FacilityFacts, meter: Meter) -> Iterator[Term]:
    for version, from_ms, to_ms, max_power_w in _powers(meter):
        yield Term(
            key=SeriesKey(facts.site, meter.id, meter.quantity),
            a=Fraction(version.a if version.a is not None else meter.a),
            b=Fraction(version.b if version.b is not None else meter.b),
            required=meter.required,
            from_ms=from_ms,
            to_ms=to_ms,
            parent=meter.parent or None,
            u_rel=relative_uncertainty(*version.classes),
            limit_rel=class_limit(*version.classes),
            is_class_known=version.is_class_known,
            group=version.calibration_group,
            model=_model(version),
            calibrated_to_ms=version.certificate_ends_ms(facts.timezone),
            is_calibration_known=version.certificate_to is not None,
            step_j=_step_j(meter, version),
            max_power_w=max_power_w,
        )


def _powers(meter: Meter) -> Iterator[tuple[MeterVersion, int, int | None, int]]:
    """Versions with the times in which they hold, and what the meter can carry in each. (version, [ms UTC] x 2, [W])

    A slot belongs to the version that holds at its start, but what begins inside it flows in it too. With 100 kW up to
    10:05 and 200 kW from then on, the slot of 10:00 is a term of its own, of the first version with 200 kW.
    """
    for place, (version, to_ms) in enumerate(zip(meter.version, meter.ends_ms, strict=True)):
        last_slot_ms = version.from_ms if to_ms is None else (to_ms - 1) // SLOT_MS * SLOT_MS
        inside = [later.max_power_w for later in meter.version[place:] if later.from_ms < last_slot_ms + SLOT_MS]
        most_w = max(inside)
        if to_ms is None or most_w == version.max_power_w:
            yield version, version.from_ms, to_ms, version.max_power_w
            continue
        cut_ms = max(last_slot_ms, version.from_ms)
        if cut_ms > version.from_ms:
            yield version, version.from_ms, cut_ms, version.max_power_w
        yield version, cut_ms, to_ms, most_w


def _model(version: MeterVersion) -> str:
    """Meters of one make and class may err alike, unless certificates say from whom each has its error."""
    if version.calibration_group:
        return ""
    return "/".join((version.profile, version.meter_class, version.ct_class, version.pt_class))


def _step_j(meter: Meter, version: MeterVersion) -> int:
    register = next(one for one in version.registers if one.quantity == meter.quantity)
    ratio = Fraction(version.ct) * Fraction(version.pt)
    return ceil(step(register.quantity, register.unit, register.exponent) * ratio)
