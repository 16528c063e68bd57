"""The contract between agent and collector: signed batches one way, acks the other (WIRE.md)."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Literal

import msgspec

from pue.contract import wire_v1
from pue.contract.batches import (
    FIRST_SEQ,
    MAX_COUNT,
    MAX_SEQ,
    VERSION,
    Ack,
    CheckpointSeen,
    ClockJump,
    ConfigBatch,
    ConfigBody,
    DataBatch,
    Dropped,
    Event,
    EventBatch,
    Handover,
    Header,
    Identity,
    KeyChange,
    LinkMeter,
    LinkPart,
    LinkPoint,
    Manifest,
    ManualReading,
    MeterReplaced,
    NotKept,
    OutageDeclared,
    Presence,
    ProfilePart,
    Readings,
    Restored,
    WitnessReading,
)
from pue.contract.canonical import ZERO_HASH, content_hash, sha256_hex
from pue.contract.errors import Reject, RejectReason
from pue.contract.quality import NO_VALUE
from pue.contract.signing import ALGORITHM, MAX_SIGNATURE_CHARS, Signer, Verifier
from pue.contract.wire_v1 import AckV1, Config, ConfigBatchV1, DataBatchV1

SUPPORTED_VERSIONS = (wire_v1.VERSION, VERSION)
"""The version before the current one, and the current one."""

MAX_JSON_BYTES = 256 * 1024
"""Largest JSON line of one batch, decided when it is appended: a batch is never split after signing."""

Batch = DataBatch | ConfigBatch | ConfigBatchV1 | EventBatch
"""Of any version, once decoded: readings and events of version 1 have today's form then."""


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
_BATCH = msgspec.json.Decoder(DataBatch | ConfigBatch | EventBatch)
_BATCH_V1 = msgspec.json.Decoder(DataBatchV1 | ConfigBatchV1 | EventBatch)
_ACK = msgspec.json.Decoder(Ack)
_ACK_V1 = msgspec.json.Decoder(AckV1)
_PRESENCE = msgspec.json.Decoder(Presence)


# Without `forbid_unknown_fields`, unlike all others: of a version to come it has to read the number.
class _Version(msgspec.Struct):
    """The one field that is read before the rest is understood."""

    v: int


_VERSION = msgspec.json.Decoder(_Version)
_SIGNATURE = re.compile(
    rb"(?:[A-Za-z0-9+/]{4}){4,%d}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?" % (MAX_SIGNATURE_CHARS // 4 - 1)
)
"""Base64 of a signature by any algorithm; whether it fits is the verifier's question."""


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
    limit = MAX_JSON_BYTES + 1 + MAX_SIGNATURE_CHARS
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
    if not newline or not _SIGNATURE.fullmatch(signature) or b"\n" in line:
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
        batch = _decode(line)
    # msgspec raises the other two on bytes that are no UTF-8 and on brackets in thousands.
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Reject(RejectReason.MALFORMED, f"batch does not fit WIRE.md: {error}") from None
    if isinstance(batch, DataBatch):
        _check_readings(batch)
    if isinstance(batch, ConfigBatchV1):
        _check_config(batch.body)
    return batch


def _decode(line: bytes) -> Batch:
    """Read a line by its version, which comes before the rest: of another one it is refused as that."""
    version = _VERSION.decode(line).v
    if version == VERSION:
        batch: Batch = _BATCH.decode(line)
        return batch
    if version == wire_v1.VERSION:
        before: DataBatchV1 | ConfigBatchV1 | EventBatch = _BATCH_V1.decode(line)
        return before.upgraded() if isinstance(before, DataBatchV1) else before
    raise Reject(
        RejectReason.UNSUPPORTED_VERSION,
        f"batch of version {version}; this decoder reads {SUPPORTED_VERSIONS}: upgrade the older side",
    )


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


def config_digest(body: ConfigBody | Config) -> str:
    """Name of a configuration or of a part: SHA-256 of its canonical JSON, whoever sends it and whenever.

    Of a manifest it is what data batches name and what is approved; of a configuration of version 1 only the latter.
    """
    return content_hash(msgspec.to_builtins(body))


def encode_ack(ack: Ack) -> bytes:
    """JSON bytes of an ack, in the form of its version."""
    return _ENCODER.encode(AckV1.of(ack) if ack.v == wire_v1.VERSION else ack)


def decode_ack(payload: bytes) -> Ack:
    """Read an ack of any origin.

    Raises
    ------
    Reject
        `malformed`.
    """
    try:
        if _VERSION.decode(payload).v == wire_v1.VERSION:
            return _ACK_V1.decode(payload).upgraded()
        return _ACK.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Reject(RejectReason.MALFORMED, f"ack does not fit WIRE.md: {error}") from None


def encode_presence(presence: Presence) -> bytes:
    """JSON bytes of what a collector leaves on its shard's state topic."""
    return _ENCODER.encode(presence)


def decode_presence(payload: bytes) -> Presence:
    """Read what a collector left there.

    Raises
    ------
    Reject
        `malformed`.
    """
    try:
        return _PRESENCE.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Reject(RejectReason.MALFORMED, f"collector's state does not fit WIRE.md: {error}") from None


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
        if not _SIGNATURE.fullmatch(signature.rstrip(b"\n")):
            raise Reject(
                RejectReason.MALFORMED,
                f"line {number + 1} is not a signature; the file was cut or edited: export again",
            )
        yield SignedLine(line.rstrip(b"\n"), signature.rstrip(b"\n"))


_TOPIC = re.compile(r"^pue/v1/([a-z0-9][a-z0-9-]{0,63})/([a-z0-9][a-z0-9-]{0,63})/(data|state|meta|ack)$")


COLLECTOR_LEVEL = "_"
"""Stands where an agent's name would, which never begins so, in the topic of a shard's collector."""


def topic(shard: str, agent: str, leaf: Literal["data", "state", "meta", "ack"]) -> str:
    """MQTT topic of one agent."""
    return f"pue/v1/{shard}/{agent}/{leaf}"


def presence_topic(shard: str) -> str:
    """MQTT topic on which a shard's collector says whether it is there."""
    return f"pue/v1/{shard}/{COLLECTOR_LEVEL}/state"


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
    rows = len(body.quality)
    columns: dict[str, Sized] = {
        "point_step": body.point_step,
        "t0_step": body.t0_step,
        "dt": body.dt,
        "raw": body.raw,
        "count": body.count,
        "source": body.source or body.quality,
    }
    for name, column in columns.items():
        if len(column) != rows:
            raise Reject(
                RejectReason.MALFORMED,
                f"batch {batch.seq}: column {name} has {len(column)} rows, quality has {rows}",
            )
    if batch.config is None:
        raise Reject(RejectReason.MALFORMED, f"batch {batch.seq} has readings and names no configuration")
    _check_range(batch, "point", body.point)
    _check_range(batch, "t0", body.t0)
    no_value = int(NO_VALUE)  # a plain int: IntFlag's & costs more than the rest of the row
    for row, (count, quality) in enumerate(zip(body.count, body.quality, strict=True)):
        # A count exactly where no bit says that there is none: "not measured" is never 0.
        if (count is None) != bool(quality & no_value):
            raise Reject(
                RejectReason.MALFORMED,
                f"batch {batch.seq} row {row}: count {count} does not go with quality {quality}",
            )


def _check_range(batch: DataBatch, name: str, values: Sequence[int]) -> None:
    """What differences add up to has to be a place or a time: not below 0, and a whole number of 62 bits."""
    least = min(values, default=0)
    most = max(values, default=0)
    if least < 0 or most >= MAX_COUNT:
        raise Reject(
            RejectReason.MALFORMED,
            f"batch {batch.seq}: column {name} runs from {least} to {most}; give differences that stay within "
            f"0 and {MAX_COUNT - 1}",
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
    "COLLECTOR_LEVEL",
    "FIRST_SEQ",
    "MAX_COUNT",
    "MAX_JSON_BYTES",
    "MAX_SEQ",
    "ZERO_HASH",
    "Ack",
    "Batch",
    "CheckpointSeen",
    "ClockJump",
    "Config",
    "ConfigBatch",
    "ConfigBatchV1",
    "ConfigBody",
    "DataBatch",
    "Dropped",
    "Event",
    "EventBatch",
    "Handover",
    "Header",
    "Identity",
    "KeyChange",
    "LinkMeter",
    "LinkPart",
    "LinkPoint",
    "Manifest",
    "ManualReading",
    "MeterReplaced",
    "NotKept",
    "OutageDeclared",
    "Presence",
    "ProfilePart",
    "Readings",
    "Restored",
    "SignedLine",
    "WitnessReading",
    "config_digest",
    "decode_ack",
    "decode_batch",
    "decode_presence",
    "encode_ack",
    "encode_presence",
    "epoch_id",
    "open_batch",
    "parse_topic",
    "presence_topic",
    "read_lines",
    "seal",
    "topic",
    "unpack",
    "write_lines",
]
