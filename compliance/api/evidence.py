"""From a finding back to the registers: pins, per meter the readings at the window's edges and their originals."""

from __future__ import annotations

from collections.abc import Iterator

from compliance.answers import Answers
from compliance.api.models import Evidence, MeterEvidence, RegisterEdge, RegisterReading
from compliance.charts import meter_energy
from compliance.inputs import recomputed_hash
from compliance.log import Event
from compliance.queries import Finding, NotFound
from compliance.readers import Reading, SeriesReader, reading_before, reading_from
from compliance.views import share
from pue.contract.errors import PueError
from pue.contract.series import SeriesKey


def evidence(answers: Answers, facility_id: str, seq: int | None) -> Evidence:
    """Evidence of the headline finding, or of the finding that event `seq` records."""
    finding = _finding(answers, facility_id, seq)
    event = answers.finding_event(facility_id, finding.seq)
    topology = answers.topology_event(finding.topology_version)
    again = _recomputed(answers, event)
    return Evidence(
        facility=facility_id,
        finding=finding,
        registry_seq=event.body["registry_seq"],
        positions=finding.positions,
        topology_version=finding.topology_version,
        topology_sha256=topology.body["sha256"] if topology else None,
        package_version=finding.package_version,
        evidence_hash=finding.evidence_hash,
        event_hash=event.hash,
        reproduced=None if again is None else again == finding.evidence_hash,
        meters=list(_meters(answers, finding, event.body["registry_seq"])),
    )


def _finding(answers: Answers, facility_id: str, seq: int | None) -> Finding:
    if seq is None:
        found = [one for one in answers.findings(facility_id) if one.headline]
    else:
        found = [one for one in answers.finding_history(facility_id) if one.seq == seq]
    if not found:
        which = "no finding yet" if seq is None else f"no finding in event {seq}"
        raise NotFound("unknown_finding", f"facility {facility_id!r} has {which}; see its /findings")
    return found[0]


def _recomputed(answers: Answers, event: Event) -> str | None:
    sources = answers.sources
    rules = [rule for profile in sources.profiles for rule in profile.rules]
    rule = next(
        (one for one in rules if (one.id, one.version) == (event.body["rule"], event.body["rule_version"])), None
    )
    return recomputed_hash(event, rule, sources.registry, sources.measure) if rule else None


def _meters(answers: Answers, finding: Finding, registry_seq: int) -> Iterator[MeterEvidence]:
    facility = answers.sources.registry.facility(finding.facility, registry_seq)
    reader = answers.sources.measure.reader.get()
    measured = answers.sources.measure.afresh(facility) if facility else None
    if facility is None or reader is None or measured is None or finding.from_ms is None or finding.to_ms is None:
        return
    if finding.to_ms > measured.watermark_ms:
        return
    shards = {agent.shard for agent in facility.agents}
    for term in measured.curve.terms:
        if term.from_ms < finding.to_ms and (term.to_ms is None or term.to_ms > finding.from_ms):
            energy_j, coverage = meter_energy(measured, term, finding.from_ms, finding.to_ms)
            yield MeterEvidence(
                meter=term.key.meter,
                quantity=term.key.quantity,
                a=str(term.a),
                b=str(term.b),
                step_j=str(term.step_j),
                energy_j=str(energy_j),
                coverage=share(coverage),
                edges=[_edge(reader, term.key, at, shards) for at in (finding.from_ms, finding.to_ms)],
            )


def _edge(reader: SeriesReader, key: SeriesKey, at_ms: int, shards: set[str]) -> RegisterEdge:
    return RegisterEdge(
        at_ms=at_ms,
        before=_reading(reader, reading_before(reader, key, at_ms), shards),
        after=_reading(reader, reading_from(reader, key, at_ms), shards),
    )


def _reading(reader: SeriesReader, found: Reading | None, shards: set[str]) -> RegisterReading | None:
    if found is None:
        return None
    shard, digest = _original(reader, shards, found.record)
    return RegisterReading(
        t1_ms=found.t1_ms,
        count=str(found.count),
        quality=found.quality,
        shard=shard,
        record=found.record,
        original_sha256=digest,
    )


def _original(reader: SeriesReader, shards: set[str], record: int) -> tuple[str, str | None]:
    """The shard whose ledger has the record; a site reports to one shard."""
    for shard in sorted(shards):
        try:
            return shard, reader.original(shard, record).sha256
        except PueError:
            continue
    return ",".join(sorted(shards)), None
