"""Whether a signed batch is kept, known already or refused: decisions only, no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import msgspec

from collector.configs import KeptConfig
from collector.incidents import Incident, IncidentKind
from collector.topology import Enrolled
from pue.contract.batches import Epoch, KeyId, Manifest, Name, Seq, TimeMs
from pue.contract.canonical import ZERO_HASH
from pue.contract.errors import Reject, RejectReason
from pue.contract.wire import (
    FIRST_SEQ,
    MAX_JSON_BYTES,
    MAX_SEQ,
    Batch,
    ClockJump,
    ConfigBatch,
    ConfigBatchV1,
    DataBatch,
    Dropped,
    Event,
    EventBatch,
    Identity,
    ManualReading,
    MeterReplaced,
    NotKept,
    Restored,
    SignedLine,
    WitnessReading,
    config_digest,
    decode_batch,
)

FUTURE_MS = 5 * 60 * 1000
"""How far ahead of the collector's clock a batch may be."""
CLONE_MS = 60 * 1000
"""How long after a newer epoch began an older one may still sign, between two ticks of one clock."""
MAX_POINTS = MAX_JSON_BYTES
"""More points no configuration can list: each takes more than a byte."""
GRACE_MS = 24 * 3600 * 1000
"""How long after a rotated key's end batches of it are kept that nothing links to where its chain ended."""
UNSETTLED = frozenset({RejectReason.UNSUPPORTED_VERSION, RejectReason.WRONG_TOPIC})
"""Reasons that may go away, or that another sender made: the agent keeps such batches and sends them again."""
HELD = frozenset({RejectReason.FUTURE_TIME, RejectReason.FOREIGN_CONFIG})
"""Reasons that a person has to look at: never settled, kept by the agent, let in by a release and by nothing else.

A key outside its window is one as well, but the agent is told nothing of such a batch: it may be of somebody who took
the key, and must not keep the agent from sending its own under the same number.
"""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a message came in: the shard and agent of its topic."""

    shard: str
    agent: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A batch that is in the ledger; `is_damaged` while it cannot be read there."""

    sha256: str
    prev: str
    is_damaged: bool = False


class Known(Protocol):
    """What is kept already."""

    def kept(self, agent: str, epoch: str, seq: int) -> Kept | None:
        """The batch under this number."""

    def config(self, name: str) -> KeptConfig | None:
        """A kept configuration; None while it or a part of it is missing."""

    def newest_epoch(self, agent: str) -> str | None:
        """The agent's latest epoch."""

    def handover(self, agent: str, epoch: str) -> str | None:
        """Hash of the kept batch with which an epoch handed over to the next."""

    def key_end(self, agent: str, key: str) -> tuple[str, int, str] | None:
        """Epoch, number and hash of the last batch of a key, as its successor states."""


@dataclass(frozen=True, slots=True)
class Place:
    """The number under which an agent filed a batch."""

    shard: str
    site: str
    agent: str
    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.agent}/{self.epoch}/{self.seq}"


@dataclass(frozen=True, slots=True)
class Commit:
    """Keep it, then ack it."""

    place: Place
    batch: Batch
    sha256: str
    incidents: tuple[Incident, ...] = ()


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Its number is kept already: ack it again; other content is an incident."""

    place: Place
    incidents: tuple[Incident, ...] = ()


@dataclass(frozen=True, slots=True)
class Repair:
    """The same bytes as a damaged original: put them back under its number."""

    place: Place
    incidents: tuple[Incident, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Put it into quarantine.

    `place` is set when a valid signature proves who sent it.
    """

    reason: RejectReason
    message: str
    place: Place | None = None

    @property
    def is_held(self) -> bool:
        """Whether its number waits for a person, and its agent is told so."""
        return self.place is not None and self.reason in HELD

    @property
    def settles(self) -> bool:
        """Whether its number need not be sent again."""
        return self.place is not None and self.reason not in HELD | {RejectReason.KEY_WINDOW}


Decision = Commit | Duplicate | Repair | Refuse


class _Head(msgspec.Struct, frozen=True):
    """The fields of a header that say who speaks; the rest is read once the signature is known to be good."""

    site: Name
    agent: Name
    key: KeyId
    epoch: Epoch
    seq: Seq
    sent_ms: TimeMs


_HEAD = msgspec.json.Decoder(_Head)


@dataclass(frozen=True, slots=True)
class Gate:
    """Everything a decision depends on besides the batch.

    Attributes
    ----------
    now_ms
        The collector's clock. [ms UTC]
    shards
        The shards this collector owns.
    """

    enrolled: Enrolled
    known: Known
    now_ms: int
    shards: frozenset[str]


def admit(signed: SignedLine, route: Route | None, gate: Gate) -> Decision:
    """Decide about one batch.

    Parameters
    ----------
    signed
        The exact line and its signature.
    route
        Where it came in; None for a file.
    gate
        Topology, what is kept, clock and shards.
    """
    try:
        head = _read_head(signed)
        place = _authenticate(signed, head, gate)
    except Reject as error:
        return Refuse(error.reason, str(error))
    try:
        return _decide(signed, head, place, route, gate)
    except Reject as error:
        return Refuse(error.reason, str(error), None if error.reason in UNSETTLED else place)


def _read_head(signed: SignedLine) -> _Head:
    try:
        return _HEAD.decode(signed.line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Reject(RejectReason.MALFORMED, f"line has no batch header: {error}; publish as WIRE.md says") from None


def _authenticate(signed: SignedLine, head: _Head, gate: Gate) -> Place:
    agent = gate.enrolled.agents.get(head.agent)
    if agent is None:
        raise Reject(
            RejectReason.UNKNOWN_AGENT,
            f"agent {head.agent!r} is not in topology version {gate.enrolled.version}; enrol it in compliance",
        )
    if agent.shard not in gate.shards:
        raise Reject(
            RejectReason.WRONG_TOPIC,
            f"agent {head.agent!r} belongs to shard {agent.shard!r}; this collector owns {sorted(gate.shards)}",
        )
    _, verifier = gate.enrolled.keys.get((head.agent, head.key), (None, None))
    if verifier is None:
        raise Reject(
            RejectReason.UNKNOWN_KEY,
            f"key {head.key} is not enrolled for agent {head.agent!r}; enrol it in compliance",
        )
    verifier.check(signed.line, signed.signature)
    return Place(agent.shard, agent.site, head.agent, head.epoch, head.seq)


def _decide(signed: SignedLine, head: _Head, place: Place, route: Route | None, gate: Gate) -> Decision:
    _check_place(head, place, route)
    sha256 = signed.sha256
    if known := gate.known.kept(place.agent, place.epoch, place.seq):
        if known.is_damaged and known.sha256 == sha256:
            return Repair(place, (_repaired(place),))
        return Duplicate(place, tuple(_other_content(place, known, sha256)))
    batch = decode_batch(signed.line)
    _check_gap(batch)
    if gate.enrolled.is_released(place.agent, place.epoch, place.seq):
        return Commit(place, batch, sha256, tuple(_notices(batch, sha256, place, gate)))
    _check_key(head, place, sha256, gate)
    _check_time(batch, gate.now_ms)
    _check_bodies(batch, gate)
    return Commit(place, batch, sha256, tuple(_notices(batch, sha256, place, gate)))


def _check_key(head: _Head, place: Place, sha256: str, gate: Gate) -> None:
    """Signed within the key's window, as the registry states it; and not too late to be believed."""
    key, _ = gate.enrolled.keys[head.agent, head.key]
    is_inside = key.from_ms <= head.sent_ms and (key.to_ms is None or head.sent_ms < key.to_ms)
    if is_inside and (key.to_ms is None or gate.now_ms < key.to_ms):
        return
    # From its end on whoever has the key can date back: only what its successor vouches for is certain.
    is_fresh = key.to_ms is not None and gate.now_ms < key.to_ms + GRACE_MS
    if is_inside and key.ended == "rotated" and (is_fresh or _is_linked(place, head.key, sha256, gate.known)):
        return
    raise Reject(
        RejectReason.KEY_WINDOW,
        f"batch {place} of {head.sent_ms} is signed by key {head.key}, which holds from {key.from_ms} to {key.to_ms} "
        f"({key.ended if key.to_ms else 'open'}); if it is genuine, let it in by `pue-compliance release`",
    )


def _is_linked(place: Place, key: str, sha256: str, known: Known) -> bool:
    """Whether the key's successor names this batch as its last, or a kept batch names it as the one before."""
    if known.key_end(place.agent, key) == (place.epoch, place.seq, sha256):
        return True
    after = known.kept(place.agent, place.epoch, place.seq + 1) if place.seq < MAX_SEQ else None
    return after is not None and after.prev == sha256


def _check_place(head: _Head, place: Place, route: Route | None) -> None:
    if route is not None and (route.shard, route.agent) != (place.shard, place.agent):
        raise Reject(
            RejectReason.WRONG_TOPIC,
            f"batch {place} came on the topic of {route.shard}/{route.agent}; it belongs to {place.shard}",
        )
    if head.site != place.site:
        raise Reject(
            RejectReason.WRONG_SITE, f"batch {place} says site {head.site!r}; the agent is enrolled at {place.site!r}"
        )


def _check_time(batch: Batch, now_ms: int) -> None:
    latest_ms = max(batch.sent_ms, _latest_ms(batch))
    if latest_ms > now_ms + FUTURE_MS:
        raise Reject(
            RejectReason.FUTURE_TIME,
            f"batch {batch.seq} of {batch.agent} speaks of {latest_ms}, {(latest_ms - now_ms) // 1000} s ahead of "
            "the collector; check both clocks",
        )


def _latest_ms(batch: Batch) -> int:
    if isinstance(batch, DataBatch):
        return batch.body.latest_ms
    if isinstance(batch, EventBatch) and isinstance(
        batch.body, ManualReading | WitnessReading | MeterReplaced | Identity
    ):
        return batch.body.at_ms
    return 0


def _check_gap(batch: Batch) -> None:
    if isinstance(batch, EventBatch) and isinstance(batch.body, Dropped) and batch.body.to_seq < batch.body.from_seq:
        raise Reject(
            RejectReason.MALFORMED,
            f"batch {batch.seq} of {batch.agent} declares a gap from {batch.body.from_seq} to {batch.body.to_seq}; "
            "name the first number first",
        )


def _check_bodies(batch: Batch, gate: Gate) -> None:
    if isinstance(batch, DataBatch):
        _check_config(batch, gate.known.config(batch.config or ""))
    if isinstance(batch, ConfigBatch) and isinstance(batch.body, Manifest):
        _check_manifest(batch, batch.body)


def _check_config(batch: DataBatch, config: KeptConfig | None) -> None:
    """One that has not come yet is looked at again where the readings are used."""
    if config is not None and not config.belongs_to(batch):
        raise Reject(
            RejectReason.FOREIGN_CONFIG,
            f"batch {batch.seq} of {batch.agent} at {batch.site} names configuration {batch.config}, which "
            f"{config.agent} at {config.site} sent; send a configuration of its own first",
        )
    _check_points(batch, len(config.setup.points) if config else MAX_POINTS)


def _check_manifest(batch: ConfigBatch, manifest: Manifest) -> None:
    if (manifest.site, manifest.agent) != (batch.site, batch.agent):
        raise Reject(
            RejectReason.FOREIGN_CONFIG,
            f"batch {batch.seq} of {batch.agent} at {batch.site} holds the manifest of {manifest.agent} at "
            f"{manifest.site}; send one of its own",
        )


def _check_points(batch: DataBatch, points: int) -> None:
    highest = max(accumulate(batch.body.point_step), default=-1)
    if highest >= points:
        raise Reject(
            RejectReason.MALFORMED,
            f"batch {batch.seq} of {batch.agent} refers to point {highest}; its configuration has {points}",
        )


def _other_content(place: Place, known: Kept, sha256: str) -> Iterator[Incident]:
    if known.sha256 != sha256:
        yield Incident(
            IncidentKind.CONFLICTING_BATCH,
            place.site,
            place.agent,
            f"{place} {sha256[:16]}",
            f"batch {place} is kept as {known.sha256[:16]}; {sha256[:16]} came later and is not used",
        )


def _repaired(place: Place) -> Incident:
    words = f"batch {place} came again and stands under its own number"
    return Incident(IncidentKind.REPAIRED_RECORD, place.site, place.agent, str(place), words)


def _notices(batch: Batch, sha256: str, place: Place, gate: Gate) -> Iterator[Incident]:
    yield from _chain(batch, sha256, place, gate.known)
    yield from _clone(batch, place, gate.known)
    if isinstance(batch, ConfigBatchV1) or (isinstance(batch, ConfigBatch) and isinstance(batch.body, Manifest)):
        yield from _approval(batch, place, gate.enrolled)
    if isinstance(batch, EventBatch):
        yield from _event(batch.body, place)


def _chain(batch: Batch, sha256: str, place: Place, known: Known) -> Iterator[Incident]:
    """Check both links, as far as the neighbours are there: live data may overtake back-fill."""
    before = _before(batch, known)
    if before is not None and before != batch.prev:
        yield _mismatch(place, f"names {batch.prev[:16]} as its predecessor, {before[:16]} is kept")
    after = known.kept(batch.agent, batch.epoch, batch.seq + 1) if batch.seq < MAX_SEQ else None
    if after is not None and after.prev != sha256:
        yield _mismatch(place, f"is {sha256[:16]}, its successor names {after.prev[:16]}")


def _before(batch: Batch, known: Known) -> str | None:
    """Hash the batch should name, None while that cannot be known."""
    if batch.seq > FIRST_SEQ:
        kept = known.kept(batch.agent, batch.epoch, batch.seq - 1)
        return kept.sha256 if kept else None
    if batch.prev_epoch is None:
        return ZERO_HASH
    return known.handover(batch.agent, batch.prev_epoch)


def _mismatch(place: Place, what: str) -> Incident:
    return Incident(IncidentKind.CHAIN_MISMATCH, place.site, place.agent, str(place), f"batch {place} {what}")


def _clone(batch: Batch, place: Place, known: Known) -> Iterator[Incident]:
    newest = known.newest_epoch(batch.agent)
    if newest is not None and newest > batch.epoch and batch.sent_ms > int(newest[:12], 16) + CLONE_MS:
        yield Incident(
            IncidentKind.CLONE,
            place.site,
            place.agent,
            f"{batch.agent}/{batch.epoch}",
            f"epoch {batch.epoch} signed at {batch.sent_ms}, after epoch {newest} had begun: two agents use one key",
        )


def _approval(batch: ConfigBatch | ConfigBatchV1, place: Place, enrolled: Enrolled) -> Iterator[Incident]:
    digest = config_digest(batch.body)
    if digest not in enrolled.configs:
        yield Incident(
            IncidentKind.UNAPPROVED_CONFIG,
            place.site,
            place.agent,
            digest,
            f"configuration {digest} of {batch.agent} is not approved in topology version {enrolled.version}; "
            "compare it with the metering plan, then `pue-compliance approve-config` it",
        )


def _event(event: Event, place: Place) -> Iterator[Incident]:
    if isinstance(event, Dropped):
        kind = IncidentKind.DROPPED
        detail = f"{event.epoch}/{event.from_seq}..{event.to_seq}: {event.reason}"
    elif isinstance(event, Restored):
        kind = IncidentKind.RESTORED
        detail = f"after {event.old_epoch}/{event.head_seq}: {event.reason}"
    elif isinstance(event, ClockJump):
        kind = IncidentKind.CLOCK_JUMP
        detail = f"{event.step_ms} ms at {event.at_ms}"
    elif isinstance(event, MeterReplaced):
        kind = IncidentKind.METER_REPLACED
        detail = f"{event.meter}/{event.quantity}: {event.old_serial} {event.old_final_count} -> {event.new_serial}"
    elif isinstance(event, NotKept):
        kind = IncidentKind.NOT_KEPT
        detail = f"{event.cycles} poll cycles from {event.from_ms} to {event.to_ms}: {event.reason}"
    else:
        return
    yield Incident(kind, place.site, place.agent, str(place), detail)
