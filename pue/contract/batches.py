"""What agent and collector tell each other, as values: readings, configurations, events, acks (WIRE.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Annotated, Literal

import msgspec

VERSION = 2
"""Of what is written. Version 1 is still read; its own forms are in `wire_v1`."""

MAX_COUNT = 1 << 62
MAX_SEQ = (1 << 63) - 1
FIRST_SEQ = 1

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
"""Of a shard, site or agent: one MQTT topic level."""
MeterName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
QuantityName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Epoch = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{20}$")]
KeyId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}$")]
Algorithm = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,31}$")]
"""Of a signature; which ones a collector can check is its own matter."""
Hex = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2})*$", max_length=1024)]
Ratio = Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]*(/[1-9][0-9]*)?$", max_length=32)]
"""A CT or PT ratio as `primary/secondary`, or the size of a count: a fraction, or a whole number."""
Unit = Annotated[str, msgspec.Meta(max_length=8)]
Seq = Annotated[int, msgspec.Meta(ge=FIRST_SEQ, le=MAX_SEQ)]
TimeMs = Annotated[int, msgspec.Meta(ge=0, lt=MAX_COUNT)]
PeriodMs = Annotated[int, msgspec.Meta(gt=0, lt=MAX_COUNT)]
StepMs = Annotated[int, msgspec.Meta(gt=-MAX_COUNT, lt=MAX_COUNT)]
# Below 2**62 on both sides, so that the difference of two counts fits int64.
Count = Annotated[int, msgspec.Meta(gt=-MAX_COUNT, lt=MAX_COUNT)]
Bits = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
Text = Annotated[str, msgspec.Meta(max_length=2000)]


class Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Immutable, named fields only, unknown ones refused."""


class Readings(Base, frozen=True, kw_only=True, omit_defaults=True):
    """Readings of one or more poll cycles as columns of equal length, made by `of`.

    Columns named `…_step` hold each row's difference from the row before, the first row's from 0: neighbours differ by
    little, and always by the same, which gzip packs to nearly nothing. The points 4, 5, 6 are 4, 1, 1.

    Attributes
    ----------
    base_ms
        One number for all rows. [ms UTC]
    point_step
        Of the place in the configuration's list of points.
    t0_step
        Of the time of the request, after `base_ms`. [ms]
    dt
        From request to reply. [ms]
    raw
        What came, in hexadecimal digits.
    count
        Whole number at the point's scale, before CT and PT; None without a value.
    quality
        `Quality` bits.
    source
        Own time of the meter, after `base_ms`; None where it states none. No column at all if no row has one. [ms]
    """

    base_ms: TimeMs
    point_step: list[int]
    t0_step: list[StepMs]
    dt: list[Annotated[int, msgspec.Meta(ge=0, lt=MAX_COUNT)]]
    raw: list[Hex]
    count: list[Count | None]
    quality: list[Bits]
    source: list[StepMs | None] = []

    @classmethod
    def of(
        cls,
        base_ms: int,
        point: Sequence[int],
        t0: Sequence[int],
        dt: Sequence[int],
        raw: Sequence[str],
        count: Sequence[int | None],
        quality: Sequence[int],
        source: Sequence[int | None] = (),
    ) -> Readings:
        """Columns as they are meant: places of points, times after `base_ms`. (N,) each"""
        return cls(
            base_ms=base_ms,
            point_step=_steps(point),
            t0_step=_steps(t0),
            dt=list(dt),
            raw=list(raw),
            count=list(count),
            quality=list(quality),
            source=list(source),
        )

    @property
    def point(self) -> list[int]:
        """Place of each row's point in the configuration's list. (N,)"""
        return list(accumulate(self.point_step))

    @property
    def t0(self) -> list[int]:
        """Time of each row's request, after `base_ms`. (N,) [ms]"""
        return list(accumulate(self.t0_step))

    @property
    def latest_ms(self) -> int:
        """The latest reply, `base_ms` without rows. [ms UTC]"""
        return self.base_ms + max(map(int.__add__, accumulate(self.t0_step), self.dt), default=0)


def _steps(values: Iterable[int]) -> list[int]:
    before = 0
    steps: list[int] = []
    for value in values:
        steps.append(value - before)
        before = value
    return steps


# Configurations


class LinkPoint(Base, frozen=True, kw_only=True):
    """One quantity of a meter: value = count x `scale` `unit`.

    Attributes
    ----------
    period_ms
        How often it is read. [ms]
    registers
        Where it is read, in the order of the bytes of `raw`: several where a meter shows one value in several places.
    has_source_time
        Whether readings state the meter's own time.
    """

    quantity: QuantityName
    unit: Unit
    scale: Ratio
    period_ms: PeriodMs
    registers: list[Text]
    has_source_time: bool


class LinkMeter(Base, frozen=True, kw_only=True):
    """A meter as the agent was told to read it; `side` is where its registers count, "" where its profile says not."""

    meter: MeterName
    profile: Name
    address: Text
    serial: Text
    firmware: Text
    ct: Ratio
    pt: Ratio
    side: Literal["primary", "secondary", ""]
    points: list[LinkPoint]


class LinkPart(Base, frozen=True, kw_only=True, tag_field="form", tag="link"):
    """Meters of one gateway or device, or some of them, with their points."""

    link: Text
    meters: list[LinkMeter]


class ProfilePart(Base, frozen=True, kw_only=True, tag_field="form", tag="profile"):
    """The whole text of a meter profile."""

    profile: Name
    text: str


class Manifest(Base, frozen=True, kw_only=True, tag_field="form", tag="manifest"):
    """A configuration: which parts it is made of, by their digests. Its own digest is what data batches name.

    Points are numbered through: the links in this order, in each its meters, in each of these its points.
    """

    site: Name
    agent: Name
    software: Text
    profiles: list[Hash]
    links: list[Hash]

    @property
    def parts(self) -> list[str]:
        """Digests of everything it is made of."""
        return [*self.profiles, *self.links]


ConfigBody = Manifest | ProfilePart | LinkPart


# Events


class MeterReplaced(Base, frozen=True, kw_only=True, tag_field="event", tag="meter_replaced"):
    """A meter was exchanged: the old register's last count, the new one's first."""

    at_ms: TimeMs
    meter: MeterName
    quantity: QuantityName
    old_serial: Text
    new_serial: Text
    old_final_count: Count
    new_initial_count: Count
    ct: Ratio = "1"
    pt: Ratio = "1"
    by: Text = ""


class ManualReading(Base, frozen=True, kw_only=True, tag_field="event", tag="manual_reading"):
    """A register read off the display and typed in."""

    at_ms: TimeMs
    meter: MeterName
    quantity: QuantityName
    count: Count
    by: Text
    note: Text = ""


class WitnessReading(Base, frozen=True, kw_only=True, tag_field="event", tag="witness_reading"):
    """A register read off the display before a witness."""

    at_ms: TimeMs
    meter: MeterName
    quantity: QuantityName
    count: Count
    by: Text
    witness: Text
    note: Text = ""


class OutageDeclared(Base, frozen=True, kw_only=True, tag_field="event", tag="outage_declared"):
    """The operator says why meters were not measured."""

    from_ms: TimeMs
    to_ms: TimeMs
    meters: list[MeterName]
    reason: Text
    by: Text


class ClockJump(Base, frozen=True, kw_only=True, tag_field="event", tag="clock_jump"):
    """Wall time moved against monotonic time by `step_ms`."""

    at_ms: TimeMs
    step_ms: int


class Dropped(Base, frozen=True, kw_only=True, tag_field="event", tag="dropped"):
    """Batches that will never come: the declared gap of this epoch."""

    epoch: Epoch
    from_seq: Seq
    to_seq: Seq
    reason: Text


class NotKept(Base, frozen=True, kw_only=True, tag_field="event", tag="not_kept"):
    """Poll cycles whose readings could not be stored, from the first one's to the last one's time: a full disk."""

    from_ms: TimeMs
    to_ms: TimeMs
    cycles: Annotated[int, msgspec.Meta(ge=1)]
    reason: Text


class Restored(Base, frozen=True, kw_only=True, tag_field="event", tag="restored"):
    """The spool is not the one the collector knows: a new epoch begins."""

    old_epoch: Epoch
    head_seq: Annotated[int, msgspec.Meta(ge=0)]
    ack_upto: Annotated[int, msgspec.Meta(ge=0)]
    ack_sha256: Hash
    reason: Text


class Handover(Base, frozen=True, kw_only=True, tag_field="event", tag="handover"):
    """The last batch of an epoch names the epoch that goes on."""

    next_epoch: Epoch
    reason: Text


class Identity(Base, frozen=True, kw_only=True, tag_field="event", tag="identity"):
    """What a meter says of itself: serial and ratios as it holds them; None where it holds none, or did not answer."""

    at_ms: TimeMs
    meter: MeterName
    serial: Text | None
    ct: Ratio | None
    pt: Ratio | None
    raw: dict[Text, Hex]
    """What came, by register or object."""


class KeyChange(Base, frozen=True, kw_only=True, tag_field="event", tag="key_change"):
    """First batch that a new key signs: where the old key's chain ended. What chains to that end is the old key's."""

    old_key: KeyId
    last_epoch: Epoch
    last_seq: Seq
    last_sha256: Hash
    reason: Text


class CheckpointSeen(Base, frozen=True, kw_only=True, tag_field="event", tag="checkpoint_seen"):
    """The signed checkpoint of the registry's log that the agent was shown, as it came."""

    at_ms: TimeMs
    checkpoint: Text


Event = (
    MeterReplaced
    | ManualReading
    | WitnessReading
    | OutageDeclared
    | ClockJump
    | Dropped
    | NotKept
    | Restored
    | Handover
    | Identity
    | KeyChange
    | CheckpointSeen
)


# Batches


class Header(Base, frozen=True, kw_only=True):
    """What every batch carries; `prev` is the SHA-256 of the JSON line before it in this agent's one chain."""

    v: int = VERSION
    site: Name
    agent: Name
    alg: Algorithm = "Ed25519"
    key: KeyId
    epoch: Epoch
    prev_epoch: Epoch | None
    boot: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}$")]
    seq: Seq
    prev: Hash
    config: Hash | None
    sent_ms: TimeMs
    mono_ns: Annotated[int, msgspec.Meta(ge=0)]


class DataBatch(Header, frozen=True, kw_only=True, tag_field="kind", tag="data"):
    """Readings; `config` names the configuration whose points they are of."""

    body: Readings


class ConfigBatch(Header, frozen=True, kw_only=True, tag_field="kind", tag="config"):
    """A configuration or a part of one."""

    body: ConfigBody


class EventBatch(Header, frozen=True, kw_only=True, tag_field="kind", tag="event"):
    """Something that happened on site."""

    body: Event


# Acks


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """What the collector has safely: all seq up to `upto` settled, further `ranges` (both ends included).

    Cumulative. It may be lost, repeated or regress. `sha256` is that of batch `upto` (zeros when it was not kept:
    refused, a declared gap, or 0). Fields that a later release adds are passed over.

    Attributes
    ----------
    held
        Numbers that are neither settled nor wanted again: they wait at the collector for something else to come.
    time_ms
        The collector's clock; 0 from a release that does not say. [ms UTC]
    root, checkpoint
        Of its ledger, and of the registry's log; None from a collector that has none.
    """

    v: int = VERSION
    collector: Name
    generation: Annotated[int, msgspec.Meta(ge=0)]
    agent: Name
    epoch: Epoch
    upto: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)]
    sha256: Hash
    ranges: list[tuple[int, int]]
    refused: list[tuple[int, str]]
    held: list[tuple[int, int]] = []
    time_ms: TimeMs = 0
    root: Hash | None = None
    checkpoint: Text | None = None


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """Retained: whether a shard's collector is there. Fields that a later release adds are passed over."""

    v: int = VERSION
    collector: Name
    generation: Annotated[int, msgspec.Meta(ge=0)]
    state: Literal["online", "offline"]
    checkpoint: Text | None = None
