"""Shapes of the API's answers that are not rows of `compliance.queries`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from compliance import queries

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list; `next` is the value of `after` for what follows, null at the end; `seq` the log's head."""

    items: Sequence[Item]
    next: str | None
    seq: int


@dataclass(frozen=True, slots=True)
class EventPage:
    """A part of the log; poll again with `after` = `next`."""

    items: Sequence[queries.Event]
    next: int
    head: int


@dataclass(frozen=True, slots=True)
class RegisterReading:
    """One reading of a register as it came in: `record` in the ledger of `shard`, SHA-256 of the signed line there."""

    t1_ms: int
    count: str
    quality: int
    shard: str
    record: int
    original_sha256: str | None


@dataclass(frozen=True, slots=True)
class RegisterEdge:
    """The readings just before and after one edge of a window, in register counts."""

    at_ms: int
    before: RegisterReading | None
    after: RegisterReading | None


@dataclass(frozen=True, slots=True)
class MeterEvidence:
    """What one meter contributed: its weights, energy over the window and registers at the edges."""

    meter: str
    quantity: str
    a: str
    b: str
    step_j: str
    energy_j: str
    coverage: str
    edges: Sequence[RegisterEdge]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything a stranger needs to follow a finding from registers to outcome.

    `meters` are as registered at `registry_seq`. `reproduced` says whether the data as they are now give the same
    `evidence_hash`; null if there is nothing left to compute it from.
    """

    facility: str
    finding: queries.Finding
    registry_seq: int
    positions: Mapping[str, int]
    topology_version: int
    topology_sha256: str | None
    package_version: str
    evidence_hash: str
    event_hash: str
    reproduced: bool | None
    meters: Sequence[MeterEvidence]


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """A signed line and the key that signed it."""

    version: int
    sha256: str
    public_key: str
    line: str
    signature: str


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the service can do its work; `missing` names what is not there, with its remedy."""

    status: str
    missing: Sequence[str]
