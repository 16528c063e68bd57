"""What is registered: enterprises, facilities, meters and agents, read from the log and changed through it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from compliance.log import Draft, Event, EventLog
from compliance.projection import Projection
from compliance.registry_file import Agent, Enterprise, Facility, FacilityFacts, Meter, RegistryFile
from pue.contract.batches import FIRST_SEQ, MAX_SEQ
from pue.contract.errors import Fatal
from pue.contract.settings import Settings
from pue.contract.topology import Release

Record = TypeVar("Record", bound=Settings)

RECORDED = "recorded"
WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Registered:
    """A facility with everything that belongs to it as of one event; `seq` is the last event that touched it."""

    facts: FacilityFacts
    enterprise: Enterprise
    meters: tuple[Meter, ...]
    agents: tuple[Agent, ...]
    seq: int
    recorded_ms: int


@dataclass(frozen=True, slots=True)
class Change:
    """One event an import would write, and the fields in which it differs from what is registered."""

    draft: Draft
    fields: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.draft.kind} {self.draft.entity}" + (f": {'; '.join(self.fields)}" if self.fields else "")


class Registry:
    """Reads the registry as it was known at any event."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self._records: dict[str, Settings] = {}

    def record(self, event: Event, model: type[Record]) -> Record:
        """The record an event holds, as this version of the software reads it."""
        known = self._records.get(event.hash)
        if not isinstance(known, model):
            known = self._records[event.hash] = model.model_validate(event.body)
        return known

    def facility_ids(self, seq: int) -> list[str]:
        """Identifiers of all facilities, sorted."""
        return [entity.partition(":")[2] for entity in self._projection.entities("facility:", seq)]

    def facility(self, facility_id: str, seq: int, valid_ms: int | None = None) -> Registered | None:
        """One facility with the facts that held at `valid_ms`; None if there is none."""
        event = self._facts_event(facility_id, seq, valid_ms)
        if event is None:
            return None
        facts = self.record(event, FacilityFacts)
        owner = self._projection.last(f"enterprise:{facts.enterprise}", seq)
        if owner is None:
            raise Fatal(f"facility {facility_id!r} names enterprise {facts.enterprise}, which the log does not hold")
        meters = list(self._latest("meter", facility_id, seq))
        agents = list(self._latest("agent", facility_id, seq))
        last = max([event, owner, *meters, *agents], key=lambda one: one.seq)
        return Registered(
            facts,
            self.record(owner, Enterprise),
            tuple(self.record(one, Meter) for one in meters if _stands(one)),
            tuple(self.record(one, Agent) for one in agents if _stands(one)),
            last.seq,
            last.recorded_ms,
        )

    def facts_over_time(self, facility_id: str, seq: int) -> list[tuple[int, FacilityFacts]]:
        """Facts of a facility as known at `seq`, each with the moment from which it holds, in order of these. [ms UTC]

        What was recorded last counts from its moment on, whatever earlier records say of the time after it.
        """
        steps: list[tuple[int, FacilityFacts]] = []
        for event in reversed(self._projection.history(f"facility:{facility_id}", seq)):
            facts = self.record(event, FacilityFacts)
            if not steps or facts.valid_from_ms < steps[-1][0]:
                steps.append((facts.valid_from_ms, facts))
        return steps[::-1]

    def standing(self, prefix: str, seq: int) -> list[str]:
        """Entities under a prefix that are not withdrawn, sorted."""
        names = self._projection.entities(prefix, seq)
        return [name for name in names if _stands(self._projection.history(name, seq)[-1])]

    def belonging(self, kind: str, facility_id: str, seq: int) -> list[str]:
        """Names of a facility's meters or agents, withdrawn ones included, sorted."""
        return [name.partition("/")[2] for name in self._projection.entities(f"{kind}:{facility_id}/", seq)]

    def history(self, entity: str, seq: int) -> list[Event]:
        """Everything that happened to an entity up to `seq`."""
        return self._projection.history(entity, seq)

    def approved_configs(self, seq: int) -> list[str]:
        """Configurations approved by command or with their agent, sorted."""
        approved = {entity.partition(":")[2] for entity in self._projection.entities("config:", seq)}
        for event in self._projection.of_kind("agent:", frozenset({"agent_recorded"}), seq):
            approved.update(self.record(event, Agent).configs)
        return sorted(approved)

    def releases(self, seq: int) -> list[Event]:
        """Held batches that a person let in, in order."""
        return list(self._projection.of_kind("agent-release:", frozenset({"batches_released"}), seq))

    def _facts_event(self, facility_id: str, seq: int, valid_ms: int | None) -> Event | None:
        history = self._projection.history(f"facility:{facility_id}", seq)
        if valid_ms is None:
            return history[-1] if history else None
        return next(
            (one for one in reversed(history) if self.record(one, FacilityFacts).valid_from_ms <= valid_ms), None
        )

    def _latest(self, kind: str, facility_id: str, seq: int) -> Iterator[Event]:
        """Latest events of a facility's meters or agents, withdrawn ones included."""
        for entity in self._projection.entities(f"{kind}:{facility_id}/", seq):
            yield from self._projection.history(entity, seq)[-1:]


def plan(registry: Registry, file: RegistryFile, seq: int) -> list[Change]:
    """What has to be written so that the registry says what the file says; withdrawn is only what lies within it."""
    _refuse_taken_names(registry, file, seq)
    changes = [_change(registry, f"enterprise:{one.uscc}", one, seq) for one in file.enterprise]
    listed = {one.uscc for one in file.enterprise}
    for facility in file.facility:
        if facility.enterprise not in listed and not registry.history(f"enterprise:{facility.enterprise}", seq):
            raise Fatal(
                f"facility {facility.id!r}: enterprise {facility.enterprise} is not registered; "
                "add an [[enterprise]] table for it"
            )
        changes += _facility_changes(registry, facility, seq)
    return [change for change in changes if change is not None]


def import_registry(log: EventLog, projection: Projection, file: RegistryFile, actor: str) -> list[Change]:
    """Write what differs, all or nothing; unchanged content writes nothing.

    Raises
    ------
    Fatal
        If a record contradicts what is registered.
    Conflict
        If somebody changed the same records at the same moment.
    """
    seq = projection.refresh()
    changes = plan(Registry(projection), file, seq)
    expect = {change.draft.entity: projection.last_seq(change.draft.entity, seq) for change in changes}
    log.append([replace(change.draft, actor=actor) for change in changes], expect)
    projection.refresh()
    return changes


def release_batches(log: EventLog, projection: Projection, release: Release) -> None:
    """Let held batches in: the next topology document names them, and who let them in.

    Raises
    ------
    Fatal
        If the agent is not registered, the numbers are none, or there is no reason.
    """
    seq = projection.refresh()
    if not any(name.endswith(f"/{release.agent}") for name in projection.entities("agent:", seq)):
        raise Fatal(f"agent {release.agent!r} is not registered; `pue-collector gaps` names those whose batches wait")
    if (
        not re.fullmatch(r"[0-9a-f]{20}", release.epoch)
        or not FIRST_SEQ <= release.from_seq <= release.to_seq <= MAX_SEQ
    ):
        raise Fatal(
            f"{release.epoch}/{release.from_seq}..{release.to_seq} names no batches; give epoch, first and last number "
            "as `pue-collector gaps` lists them"
        )
    if not release.reason.strip():
        raise Fatal("a release needs a reason; say why the batches are genuine")
    entity = f"agent-release:{release.agent}"
    body = msgspec.to_builtins(release)
    actor = body.pop("actor")  # the event's own
    log.append([Draft("batches_released", entity, body, actor)], {entity: projection.last_seq(entity, seq)})
    projection.refresh()


def approve_config(log: EventLog, projection: Projection, config: str, actor: str) -> bool:
    """Approve a configuration by its hash; False if it was approved before.

    Raises
    ------
    Fatal
        If it is no hash.
    """
    if not re.fullmatch(r"[0-9a-f]{64}", config):
        raise Fatal(f"{config!r} is no SHA-256; give the 64 hexadecimal digits the collector names")
    seq = projection.refresh()
    if projection.last(f"config:{config}", seq):
        return False
    log.append([Draft("config_approved", f"config:{config}", {"config": config}, actor)], {f"config:{config}": 0})
    projection.refresh()
    return True


def _facility_changes(registry: Registry, facility: Facility, seq: int) -> list[Change | None]:
    changes = [_change(registry, f"facility:{facility.id}", facility.facts, seq)]
    for kind, records in (("meter", facility.meter), ("agent", facility.agent)):
        named = {f"{kind}:{facility.id}/{one.id}": one for one in records}
        changes += [_change(registry, entity, one, seq) for entity, one in named.items()]
        changes += _withdrawals(registry, f"{kind}:{facility.id}/", named.keys(), seq)
    return changes


def _change(registry: Registry, entity: str, new: Settings, seq: int) -> Change | None:
    history = registry.history(entity, seq)
    old = registry.record(history[-1], type(new)) if history and _stands(history[-1]) else None
    if old == new:
        return None
    body = new.model_dump(mode="json", by_alias=True)
    return Change(Draft(f"{entity.partition(':')[0]}_{RECORDED}", entity, body), _differences(old, new))


def _differences(old: Settings | None, new: Settings) -> tuple[str, ...]:
    if old is None:
        return ()
    before = old.model_dump(mode="json", by_alias=True)
    after = new.model_dump(mode="json", by_alias=True)
    return tuple(
        f"{name} {_short(before[name])} -> {_short(after[name])}" for name in after if before[name] != after[name]
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _withdrawals(registry: Registry, prefix: str, kept: Collection[str], seq: int) -> list[Change | None]:
    kind = prefix.partition(":")[0]
    gone = [entity for entity in registry.standing(prefix, seq) if entity not in kept]
    return [Change(Draft(f"{kind}_{WITHDRAWN}", entity, {}), ()) for entity in gone]


def _refuse_taken_names(registry: Registry, file: RegistryFile, seq: int) -> None:
    """A site or an agent belongs to one facility, also across files."""
    inside = {facility.id for facility in file.facility}
    others = [registry.facility(one, seq) for one in registry.facility_ids(seq) if one not in inside]
    sites = {other.facts.site: other.facts.id for other in others if other}
    agents = {agent.id: other.facts.id for other in others if other for agent in other.agents}
    for facility in file.facility:
        taken = [("site", facility.site, sites), *(("agent", agent.id, agents) for agent in facility.agent)]
        for what, name, owners in taken:
            if name in owners:
                owner = owners[name]
                raise Fatal(
                    f"facility {facility.id!r}: {what} {name!r} belongs to facility {owner!r}; use another name"
                )


def _stands(event: Event) -> bool:
    return not event.kind.endswith(WITHDRAWN)
