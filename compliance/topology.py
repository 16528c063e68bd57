"""The topology document: built from the registry, versioned, signed, written where collectors read it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from compliance import registry_file
from compliance.log import Draft, EventLog
from compliance.projection import Projection
from compliance.registry import Registered, Registry
from pue.contract.canonical import ZERO_HASH
from pue.contract.errors import Fatal
from pue.contract.signing import Signer, Verifier
from pue.contract.topology import (
    Agent,
    AgentKey,
    Meter,
    MeterVersion,
    Register,
    Release,
    Replacement,
    Topology,
    open_topology,
    sign_topology,
)
from pue.contract.wire import SignedLine

KEY_OVERLAP_MS = 24 * 3_600_000
"""How long an agent's former key stays good after a new one is registered: the agent has to be restarted with it."""


class TopologyOffice:
    """Issues a new version whenever what it would say has changed."""

    def __init__(
        self,
        log: EventLog,
        projection: Projection,
        issuer: str,
        signer: Signer,
        file: Path,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._log = log
        self._projection = projection
        self._registry = Registry(projection)
        self._issuer = issuer
        self._signer = signer
        self._file = file
        self._clock_ms = clock_ms

    def current(self) -> tuple[Topology, SignedLine] | None:
        """The last issued version, as it was signed."""
        event = self._projection.last("topology", self._projection.refresh())
        if event is None:
            return None
        found = self._log.document(event.body["sha256"])
        if found is None:
            raise Fatal(f"topology version {event.body['version']} is not in the database; restore table documents")
        signed = SignedLine(*found)
        return open_topology(signed, Verifier.from_text(event.body["public_key"])), signed

    def issue(self) -> Topology:
        """Issue a version if the registry calls for one, and have the file hold the last one."""
        seq = self._projection.refresh()
        last = self.current()
        content = document_content(self._registry, seq)
        if last is None or content != Content(last[0].agents, last[0].meters, last[0].configs, last[0].releases):
            last = self._sign(last, content, seq)
        write_atomically(self._file, last[1].line + b"\n" + last[1].signature)
        return last[0]

    def _sign(
        self, last: tuple[Topology, SignedLine] | None, content: Content, seq: int
    ) -> tuple[Topology, SignedLine]:
        topology = Topology(
            issuer=self._issuer,
            version=last[0].version + 1 if last else 1,
            issued_ms=self._clock_ms(),
            prev=last[1].sha256 if last else ZERO_HASH,
            agents=content.agents,
            meters=content.meters,
            configs=content.configs,
            releases=content.releases,
        )
        signed = sign_topology(topology, self._signer)
        open_topology(signed, self._signer.verifier)  # nobody could read a faulty one, and none can be taken back
        self._log.store_document(signed.sha256, signed.line, signed.signature)
        body = {
            "version": topology.version,
            "sha256": signed.sha256,
            "prev": topology.prev,
            "issued_ms": topology.issued_ms,
            "registry_seq": seq,
            "public_key": self._signer.verifier.to_text(),
        }
        draft = Draft("topology_issued", "topology", body)
        self._log.append([draft], {"topology": self._projection.last_seq("topology", seq)})
        self._projection.refresh()
        return topology, signed


@dataclass(frozen=True, slots=True)
class Content:
    """What a document says: agents, meters, approved configurations and releases, each in a fixed order."""

    agents: list[Agent]
    meters: list[Meter]
    configs: list[str]
    releases: list[Release]


def document_content(registry: Registry, seq: int) -> Content:
    """What the registry holds at `seq`."""
    facilities = [one for name in registry.facility_ids(seq) if (one := registry.facility(name, seq))]
    return Content(
        agents=[agent for facility in facilities for agent in _agents(registry, facility, seq)],
        meters=[_meter(facility, meter) for facility in facilities for meter in facility.meters],
        configs=registry.approved_configs(seq),
        releases=[Release(**event.body, actor=event.actor) for event in registry.releases(seq)],
    )


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that a reader sees the old or the new content, never a part; equal content is left alone."""
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def _agents(registry: Registry, facility: Registered, seq: int) -> Iterator[Agent]:
    for name in registry.belonging("agent", facility.facts.id, seq):
        history = registry.history(f"agent:{facility.facts.id}/{name}", seq)
        keys: list[AgentKey] = []
        shard = ""
        for event in history:
            if event.kind == "agent_withdrawn":
                keys = _closed(keys, event.recorded_ms, "withdrawn")
            if event.kind == "agent_recorded":
                record = registry.record(event, registry_file.Agent)
                keys = _with_key(keys, record, event.recorded_ms)
                shard = record.shard
        yield Agent(agent=name, site=facility.facts.site, shard=shard, keys=keys)


def _with_key(keys: list[AgentKey], record: registry_file.Agent, recorded_ms: int) -> list[AgentKey]:
    """Keys with that of a record: where it is a new one, the former ends when the record says, or a day later."""
    if keys and keys[-1].public == record.public_key and keys[-1].to_ms is None:
        return keys
    stated_ms = registry_file.ms(record.key_from) if record.key_from else None
    is_lost = record.former_key == "compromised"
    former_to_ms = stated_ms if stated_ms is not None else recorded_ms + (0 if is_lost else KEY_OVERLAP_MS)
    from_ms = stated_ms if keys and stated_ms is not None else 0
    new = AgentKey(key=Verifier.from_text(record.public_key).key_id, public=record.public_key, from_ms=from_ms)
    return [*_closed(keys, former_to_ms, record.former_key), new]


def _closed(keys: list[AgentKey], to_ms: int, ended: Literal["rotated", "compromised", "withdrawn"]) -> list[AgentKey]:
    return [key if key.to_ms is not None else msgspec.structs.replace(key, to_ms=to_ms, ended=ended) for key in keys]


def _meter(facility: Registered, meter: registry_file.Meter) -> Meter:
    return Meter(
        site=facility.facts.site,
        meter=meter.id,
        parent=meter.parent or None,
        versions=[
            _version(version, to_ms, facility.facts.timezone)
            for version, to_ms in zip(meter.version, meter.ends_ms, strict=True)
        ],
    )


def _version(version: registry_file.MeterVersion, to_ms: int | None, zone: str) -> MeterVersion:
    return MeterVersion(
        from_ms=version.from_ms,
        to_ms=to_ms,
        serial=version.serial,
        agent=version.agent or None,
        profile=version.profile,
        registers=[Register(**register.model_dump()) for register in version.registers],
        max_power_w=version.max_power_w,
        max_ramp_w_per_s=version.max_ramp_w_per_s,
        ct=version.ct,
        pt=version.pt,
        meter_class=version.meter_class,
        ct_class=version.ct_class,
        pt_class=version.pt_class,
        calibration_group=version.calibration_group,
        certificate_to_ms=version.certificate_ends_ms(zone),
        replacements=[Replacement(**one.model_dump()) for one in version.replacements],
    )
