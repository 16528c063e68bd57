"""The contract between agent and collector: signed batches one way, acks the other (WIRE.md)."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from pue.contract.canonical import ZERO_HASH, content_hash, sha256_hex
from pue.contract.errors import Reject, RejectReason
from pue.contract.quality import NO_VALUE
from pue.contract.signing import ALGORITHM, SIGNATURE_CHARS, Signer, Verifier

VERSION = 1
SUPPORTED_VERSIONS = (1,)
"""The current version and the one before it."""

MAX_JSON_BYTES = 256 * 1024
"""Largest JSON line of one batch, decided when it is appended: a batch is never split after signing."""
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
Hex = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2})*$", max_length=1024)]
Ratio = Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]*(/[1-9][0-9]*)?$", max_length=32)]
"""A CT or PT ratio as `primary/secondary`, or a whole number."""
Seq = Annotated[int, msgspec.Meta(ge=FIRST_SEQ, le=MAX_SEQ)]
TimeMs = Annotated[int, msgspec.Meta(ge=0, lt=MAX_COUNT)]
# Below 2**62 on both sides, so that the difference of two counts fits int64.
Count = Annotated[int, msgspec.Meta(gt=-MAX_COUNT, lt=MAX_COUNT)]
Text = Annotated[str, msgspec.Meta(max_length=2000)]


class _Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Immutable, named fields only, unknown ones refused."""


class Readings(_Base, frozen=True, kw_only=True):
    """Readings of one or more poll cycles as columns of equal length.

    `t0` and `dt` are milliseconds: request sent at `base_ms + t0`, reply there `dt` later. `point` indexes the
    config's point list. `count` is the integer at the point's exponent before CT and PT, null without a value.
    """

    base_ms: TimeMs
    point: list[Annotated[int, msgspec.Meta(ge=0)]]
    t0: list[Annotated[int, msgspec.Meta(ge=0)]]
    dt: list[Annotated[int, msgspec.Meta(ge=0)]]
    raw: list[Hex]
    count: list[Count | None]
    quality: list[Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]]


class Meter(_Base, frozen=True, kw_only=True):
    """A meter as the agent was configured to read it."""

    meter: MeterName
    profile: Name
    address: Text
    serial: Text
    firmware: Text = ""
    ct: Ratio = "1"
    pt: Ratio = "1"


class Point(_Base, frozen=True, kw_only=True):
    """One quantity of one meter: what a reading's `point` refers to."""

    meter: MeterName
    quantity: QuantityName
    unit: Annotated[str, msgspec.Meta(max_length=8)]
    exponent: Annotated[int, msgspec.Meta(ge=-9, le=9)]


class Config(_Base, frozen=True, kw_only=True):
    """Everything that is needed to read the agent's data later: meters, points, full profile texts."""

    poll_ms: Annotated[int, msgspec.Meta(gt=0)]
    meters: list[Meter]
    points: list[Point]
    profiles: dict[str, str]
    software: Text


class MeterReplaced(_Base, frozen=True, kw_only=True, tag_field="event", tag="meter_replaced"):
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


class ManualReading(_Base, frozen=True, kw_only=True, tag_field="event", tag="manual_reading"):
    """A register read off the display and typed in."""

    at_ms: TimeMs
    meter: MeterName
    quantity: QuantityName
    count: Count
    by: Text
    note: Text = ""


class WitnessReading(_Base, frozen=True, kw_only=True, tag_field="event", tag="witness_reading"):
    """A register read off the display before a witness."""

    at_ms: TimeMs
    meter: MeterName
    quantity: QuantityName
    count: Count
    by: Text
    witness: Text
    note: Text = ""


class OutageDeclared(_Base, frozen=True, kw_only=True, tag_field="event", tag="outage_declared"):
    """The operator says why meters were not measured."""

    from_ms: TimeMs
    to_ms: TimeMs
    meters: list[MeterName]
    reason: Text
    by: Text


class ClockJump(_Base, frozen=True, kw_only=True, tag_field="event", tag="clock_jump"):
    """Wall time moved against monotonic time by `step_ms`."""

    at_ms: TimeMs
    step_ms: int


class Dropped(_Base, frozen=True, kw_only=True, tag_field="event", tag="dropped"):
    """Batches that will never come: the declared gap of this epoch."""

    epoch: Epoch
    from_seq: Seq
    to_seq: Seq
    reason: Text


class Restored(_Base, frozen=True, kw_only=True, tag_field="event", tag="restored"):
    """The spool is not the one the collector knows: a new epoch begins."""

    old_epoch: Epoch
    head_seq: Annotated[int, msgspec.Meta(ge=0)]
    ack_upto: Annotated[int, msgspec.Meta(ge=0)]
    ack_sha256: Hash
    reason: Text


class Handover(_Base, frozen=True, kw_only=True, tag_field="event", tag="handover"):
    """The last batch of an epoch names the epoch that goes on."""

    next_epoch: Epoch
    reason: Text


Event = MeterReplaced | ManualReading | WitnessReading | OutageDeclared | ClockJump | Dropped | Restored | Handover


class Header(_Base, frozen=True, kw_only=True):
    """What every batch carries; `prev` is the SHA-256 of the JSON line before it in this agent's one chain."""

    v: int = VERSION
    site: Name
    agent: Name
    alg: Literal["Ed25519"] = "Ed25519"
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
    """Readings; `config` names the config batch whose point list they use."""

    body: Readings


class ConfigBatch(Header, frozen=True, kw_only=True, tag_field="kind", tag="config"):
    """A configuration; its own hash is what data batches name."""

    body: Config


class EventBatch(Header, frozen=True, kw_only=True, tag_field="kind", tag="event"):
    """Something that happened on site."""

    body: Event


Batch = DataBatch | ConfigBatch | EventBatch


class Ack(_Base, frozen=True, kw_only=True):
    """What the collector has safely: all seq up to `upto` settled, further `ranges` (both ends included).

    Cumulative. It may be lost, repeated or regress. `sha256` is that of batch `upto` (zeros when it was not kept:
    refused, a declared gap, or 0).
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


@dataclass(frozen=True, slots=True)
class SignedLine:
    """A batch as it is kept for ever: the exact JSON bytes and the signature over them."""

    line: bytes
    signature: bytes

    @property
    def sha256(self) -> str:
        """What the next batch names as `prev`."""
        return sha256_hex(self.line)

    def payload(self) -> bytes:
        """Pack for MQTT: gzip of line, newline, signature; equal input gives equal bytes."""
        # mtime=0: gzip writes the time of packing into its head otherwise, and a batch sent twice would differ.
        return gzip.compress(self.line + b"\n" + self.signature, compresslevel=6, mtime=0)


_ENCODER = msgspec.json.Encoder()
_BATCH = msgspec.json.Decoder(Batch)
_ACK = msgspec.json.Decoder(Ack)


# Without `forbid_unknown_fields`, unlike all others: of a version to come it has to read the number.
class _Version(msgspec.Struct):
    """The one field that is read before the rest is understood."""

    v: int


_VERSION = msgspec.json.Decoder(_Version)


def seal(batch: Batch, signer: Signer) -> SignedLine:
    """Sign a batch.

    Raises
    ------
    Reject
        `too_large` when its JSON exceeds `MAX_JSON_BYTES`: append fewer readings to one batch.
    """
    line = _ENCODER.encode(batch)
    if len(line) > MAX_JSON_BYTES:
        raise Reject(
            RejectReason.TOO_LARGE,
            f"batch {batch.seq} of {batch.agent} has {len(line)} bytes of JSON, more than {MAX_JSON_BYTES}; "
            "append fewer readings to one batch",
        )
    return SignedLine(line, signer.sign(line))


def unpack(payload: bytes) -> SignedLine:
    """Undo `SignedLine.payload` for bytes of any origin.

    Raises
    ------
    Reject
        `malformed` when it is not one gzip of line, newline and signature; `too_large` beyond the limit.
    """
    # Line, newline, signature.
    limit = MAX_JSON_BYTES + 1 + SIGNATURE_CHARS
    # 31: gzip and nothing else. Not `gzip.decompress`, which makes a gigabyte of a megabyte of zeros before anybody can
    # ask: here one byte beyond the limit is all that is made.
    unzip = zlib.decompressobj(wbits=31)
    try:
        text = unzip.decompress(payload, limit + 1)
    except zlib.error as error:
        raise Reject(
            RejectReason.MALFORMED,
            f"message of {len(payload)} bytes is not gzip ({error}); publish batches as WIRE.md says",
        ) from None
    if len(text) > limit:
        raise Reject(RejectReason.TOO_LARGE, f"message unpacks to more than {limit} bytes; append fewer readings")
    # Length first: a message that is too long has not reached its end either.
    if not unzip.eof or unzip.unused_data:
        raise Reject(RejectReason.MALFORMED, "message is not one whole gzip member; it was cut or joined in transit")
    # From the right: a newline inside the JSON line stays in `line` and is refused.
    line, newline, signature = text.rpartition(b"\n")
    if not newline or len(signature) != SIGNATURE_CHARS or b"\n" in line:
        raise Reject(RejectReason.MALFORMED, "message is not a JSON line, a newline and a signature")
    return SignedLine(line, signature)


def decode_batch(line: bytes) -> Batch:
    """Read the JSON line of a batch; says nothing of its signature.

    Raises
    ------
    Reject
        `malformed`, `unsupported_version` or `too_large`, naming the field.
    """
    if len(line) > MAX_JSON_BYTES:
        raise Reject(RejectReason.TOO_LARGE, f"line of {len(line)} bytes exceeds {MAX_JSON_BYTES}")
    try:
        # Before the rest, so that a batch of another version is refused as that and not as malformed.
        version = _VERSION.decode(line).v
        if version not in SUPPORTED_VERSIONS:
            raise Reject(
                RejectReason.UNSUPPORTED_VERSION,
                f"batch of version {version}; this decoder reads {SUPPORTED_VERSIONS}: upgrade the older side",
            )
        batch: Batch = _BATCH.decode(line)
    # msgspec raises the other two on bytes that are no UTF-8 and on brackets in thousands.
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Reject(RejectReason.MALFORMED, f"batch does not fit WIRE.md: {error}") from None
    if isinstance(batch, DataBatch):
        _check_readings(batch)
    if isinstance(batch, ConfigBatch):
        _check_config(batch.body)
    return batch


def open_batch(signed: SignedLine, verifier: Verifier) -> Batch:
    """Check the signature, then read the line.

    Raises
    ------
    Reject
        `bad_signature`, or as `decode_batch`.
    """
    # Signature first: nothing is read that this key has not signed.
    verifier.check(signed.line, signed.signature)
    return decode_batch(signed.line)


def config_digest(config: Config) -> str:
    """What is approved of a configuration: SHA-256 of its canonical JSON, whoever sends it and whenever."""
    return content_hash(msgspec.to_builtins(config))


def encode_ack(ack: Ack) -> bytes:
    """JSON bytes of an ack."""
    return _ENCODER.encode(ack)


def decode_ack(payload: bytes) -> Ack:
    """Read an ack of any origin.

    Raises
    ------
    Reject
        `malformed`.
    """
    try:
        return _ACK.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Reject(RejectReason.MALFORMED, f"ack does not fit WIRE.md: {error}") from None


def write_lines(batches: Iterable[SignedLine]) -> Iterator[bytes]:
    """Lines of a batch file: each batch is its JSON line, then its signature line."""
    for signed in batches:
        yield signed.line + b"\n" + signed.signature + b"\n"


def read_lines(lines: Iterable[bytes]) -> Iterator[SignedLine]:
    """Batches of a batch file, as `write_lines` wrote them.

    Raises
    ------
    Reject
        `malformed`, naming the line, when a signature line is missing.
    """
    # One iterator for both: the loop takes a JSON line, `next` the signature line after it.
    source = enumerate(lines, start=1)
    for number, line in source:
        _, signature = next(source, (0, b""))
        if len(signature.rstrip(b"\n")) != SIGNATURE_CHARS:
            raise Reject(
                RejectReason.MALFORMED,
                f"line {number + 1} is not a signature; the file was cut or edited: export again",
            )
        yield SignedLine(line.rstrip(b"\n"), signature.rstrip(b"\n"))


_TOPIC = re.compile(r"^pue/v1/([a-z0-9][a-z0-9-]{0,63})/([a-z0-9][a-z0-9-]{0,63})/(data|state|meta|ack)$")


def topic(shard: str, agent: str, leaf: Literal["data", "state", "meta", "ack"]) -> str:
    """MQTT topic of one agent, QoS 1."""
    return f"pue/v1/{shard}/{agent}/{leaf}"


def parse_topic(text: str) -> tuple[str, str, str]:
    """Split a topic into shard, agent and leaf.

    Raises
    ------
    Reject
        `wrong_topic`.
    """
    found = _TOPIC.match(text)
    if found is None:
        raise Reject(RejectReason.WRONG_TOPIC, f"topic {text!r} is not pue/v1/{{shard}}/{{agent}}/{{leaf}}")
    return found[1], found[2], found[3]


def epoch_id(created_ms: int, random_hex: str) -> str:
    """Name of an epoch: 12 hexadecimal digits of its creation time, 8 random ones; names sort by creation.

    Parameters
    ----------
    created_ms
        Creation time. [ms UTC]
    random_hex
        Eight hexadecimal digits.
    """
    # 12 digits hold 2**48 ms, until the year 10889: names of equal length sort as numbers do.
    return f"{created_ms:012x}{random_hex}"


def _check_readings(batch: DataBatch) -> None:
    body = batch.body
    columns: dict[str, Sized] = {
        "point": body.point,
        "t0": body.t0,
        "dt": body.dt,
        "raw": body.raw,
        "count": body.count,
    }
    for name, column in columns.items():
        if len(column) != len(body.quality):
            raise Reject(
                RejectReason.MALFORMED,
                f"batch {batch.seq}: column {name} has {len(column)} rows, quality has {len(body.quality)}",
            )
    if batch.config is None:
        raise Reject(RejectReason.MALFORMED, f"batch {batch.seq} has readings and names no config batch")
    no_value = int(NO_VALUE)  # a plain int: IntFlag's & costs more than the rest of the row
    for row, (count, quality) in enumerate(zip(body.count, body.quality, strict=True)):
        # A count exactly where no bit says that there is none: "not measured" is never 0.
        if (count is None) != bool(quality & no_value):
            raise Reject(
                RejectReason.MALFORMED,
                f"batch {batch.seq} row {row}: count {count} does not go with quality {quality}",
            )


def _check_config(config: Config) -> None:
    meters = {meter.meter for meter in config.meters}
    for index, point in enumerate(config.points):
        if point.meter not in meters:
            raise Reject(RejectReason.MALFORMED, f"config point {index} names meter {point.meter!r}, which it has not")
    for meter in config.meters:
        if meter.profile not in config.profiles:
            raise Reject(RejectReason.MALFORMED, f"config meter {meter.meter!r} lacks the text of {meter.profile!r}")


__all__ = [
    "ALGORITHM",
    "FIRST_SEQ",
    "MAX_COUNT",
    "MAX_JSON_BYTES",
    "ZERO_HASH",
    "Ack",
    "Batch",
    "ClockJump",
    "Config",
    "ConfigBatch",
    "DataBatch",
    "Dropped",
    "Event",
    "EventBatch",
    "Handover",
    "Header",
    "ManualReading",
    "Meter",
    "MeterReplaced",
    "OutageDeclared",
    "Point",
    "Readings",
    "Restored",
    "SignedLine",
    "WitnessReading",
    "config_digest",
    "decode_ack",
    "decode_batch",
    "encode_ack",
    "epoch_id",
    "open_batch",
    "parse_topic",
    "read_lines",
    "seal",
    "topic",
    "unpack",
    "write_lines",
]
