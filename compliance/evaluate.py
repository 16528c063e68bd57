"""Keep the log up with the data: findings whenever a legal period closes, alerts whenever a day does.

There is no clock here: how far the data reach (the collector's watermark) decides what is judged, so that history
imported at once and the same history received live give the same events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import metadata
from typing import Any
from weakref import ReferenceType, ref

from compliance.alerts import Step, days, steps, strictest
from compliance.inputs import evidence_hash
from compliance.judging import Judged, Written, judge_history, since_ms, unwritten
from compliance.log import Draft, Event, EventLog
from compliance.measure import Measure, Measured
from compliance.projection import Projection
from compliance.registry import Registered, Registry
from compliance.terms import HeldFacts, local_day
from pue.judgement.policy import Profile, Rule

FINDING = "finding_recorded"
RAISED = "alert_raised"
CLEARED = "alert_cleared"


@dataclass(frozen=True, slots=True)
class Pins:
    """What a finding rests on: replaying the logs to these positions gives it again."""

    registry_seq: int
    positions: Mapping[str, int]
    topology_version: int
    package_version: str


class Evaluator:
    """Evaluates all facilities, and remembers what has not changed since."""

    def __init__(self, log: EventLog, projection: Projection, measure: Measure, profiles: Sequence[Profile]) -> None:
        self._log = log
        self._projection = projection
        self._measure = measure
        self._registry = Registry(projection)
        self._rules = [rule for profile in profiles for rule in profile.rules]
        self._done: dict[str, tuple[int, ReferenceType[Measured]]] = {}

    def run(self) -> list[Event]:
        """One pass over all facilities; the events written.

        Raises
        ------
        Conflict
            If another evaluation wrote first: run again.
        """
        seq = self._projection.refresh()
        events: list[Event] = []
        for name in self._registry.facility_ids(seq):
            facility = self._registry.facility(name, seq)
            if facility is not None:
                events += self._facility(facility, seq)
        self._projection.refresh()
        return events

    def _facility(self, facility: Registered, seq: int) -> list[Event]:
        pins = self._pins(seq)
        measured = self._measure.of(facility)
        if measured is None:
            return []
        done = self._done.get(facility.facts.id)
        # A weak reference: the very object that was judged, not an equal one, and it keeps no old curve alive.
        if done is not None and done[0] == facility.seq and done[1]() is measured:
            return []
        drafts = [*self._findings(facility, measured, pins), *self._alerts(facility, measured, seq)]
        events = self._log.append(drafts, {one.entity: self._projection.last_seq(one.entity, seq) for one in drafts})
        self._done[facility.facts.id] = (facility.seq, ref(measured))
        return events

    def _pins(self, seq: int) -> Pins:
        reader = self._measure.reader.get()
        topology = self._projection.last("topology", seq)
        return Pins(
            registry_seq=seq,
            positions=dict(reader.positions()) if reader else {},
            topology_version=topology.body["version"] if topology else 0,
            package_version=package_version(),
        )

    def _facts(self, facility: Registered, measured: Measured) -> HeldFacts:
        steps = self._registry.facts_over_time(facility.facts.id, facility.seq)
        return HeldFacts(steps, measured.first_ms)

    def _findings(self, facility: Registered, measured: Measured, pins: Pins) -> Iterator[Draft]:
        zone = facility.facts.timezone
        facts = self._facts(facility, measured)
        written = written_findings(self._projection, facility.facts.id, pins.registry_seq)
        growing = {rule: list(rows) for rule, rows in written.items()}
        for one in unwritten(judge_history(self._rules, facts, measured, zone), written):
            rule = f"{one.finding.profile}/{one.finding.rule}"
            rows = growing.setdefault(rule, [])
            since = local_day(since_ms(rows, one.as_of_ms, one.finding.outcome), zone).isoformat()
            rows.append(Written(one.as_of_ms, len(rows) + pins.registry_seq, one.finding.outcome, one.finding.reasons))
            body = finding_body(one, since, pins, evidence_hash(one, measured))
            yield Draft(FINDING, f"finding:{facility.facts.id}/{rule}", body)

    def _alerts(self, facility: Registered, measured: Measured, seq: int) -> Iterator[Draft]:
        facts = self._facts(facility, measured)

        def rule_at(at_ms: int) -> Rule | None:
            return strictest(self._rules, facts.at(at_ms))

        past = written_alerts(self._projection, facility.facts.id, seq)
        for step in steps(days(measured, facility.facts.timezone), rule_at, past):
            body = {"at_ms": step.at_ms, "value": step.value, "limit": step.limit, "rule": step.rule}
            kind = RAISED if step.raised else CLEARED
            yield Draft(kind, f"alert:{facility.facts.id}/{step.cause}", body)


def written_findings(projection: Projection, facility_id: str, seq: int) -> dict[str, list[Written]]:
    """What the log says of each rule (`profile/rule`) about a facility."""
    prefix = f"finding:{facility_id}/"
    return {
        entity.removeprefix(prefix): [written_row(event) for event in projection.history(entity, seq)]
        for entity in projection.entities(prefix, seq)
    }


def written_alerts(projection: Projection, facility_id: str, seq: int) -> dict[str, list[Step]]:
    """Steps of each cause the log holds about a facility."""
    prefix = f"alert:{facility_id}/"
    return {
        entity.removeprefix(prefix): [
            alert_step(entity.removeprefix(prefix), event) for event in projection.history(entity, seq)
        ]
        for entity in projection.entities(prefix, seq)
    }


def alert_step(cause: str, event: Event) -> Step:
    """An alert's event as the step it records."""
    body = event.body
    return Step(cause, body["at_ms"], event.kind == RAISED, body["value"], body["limit"], body["rule"])


def finding_body(one: Judged, since: str, pins: Pins, evidence: str) -> dict[str, Any]:
    """A finding as it stands in the log; the headline is chosen when it is read."""
    columns = asdict(one.finding)
    del columns["headline"]
    texts = {name: str(columns[name]) for name in ("outcome", "simple_outcome", "guarded_outcome") if columns[name]}
    return {
        **columns,
        **texts,
        "reasons": list(one.finding.reasons),
        "as_of_ms": one.as_of_ms,
        "since": since,
        "registry_seq": pins.registry_seq,
        "positions": dict(pins.positions),
        "topology_version": pins.topology_version,
        "package_version": pins.package_version,
        "evidence_hash": evidence,
    }


@lru_cache(1)
def package_version() -> str:
    """Version of this software."""
    return metadata.version("pue-compliance")


def written_row(event: Event) -> Written:
    """A finding's event as what it says from when on."""
    body = event.body
    return Written(body["as_of_ms"], event.seq, body["outcome"], tuple(body["reasons"]))
