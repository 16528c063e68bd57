"""The wire contract: what goes out comes back, and what does not fit is refused with a reason."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pue.contract import wire, wire_v1
from pue.contract.configuration import Configuration
from pue.contract.errors import Reject, RejectReason
from pue.contract.signing import Signer

GOLDEN = Path(__file__).parents[3] / "golden" / "wire"
SEED = base64.b64encode(bytes(range(32))).decode()
SIGNER = Signer.from_text(SEED)
EPOCH = wire.epoch_id(1_700_000_000_000, "0badcafe")


def readings(**changes: object) -> wire.Readings:
    columns: dict[str, object] = {
        "base_ms": 1_700_000_000_000,
        "point_step": [0, 1],
        "t0_step": [0, 7],
        "dt": [4, 1000],
        "raw": ["000000000001e240", ""],
        "count": [123456, None],
        "quality": [0, 1],
    }
    return msgspec.convert(columns | changes, wire.Readings)


def batch(**changes: object) -> wire.DataBatch:
    fields: dict[str, object] = {
        "site": "km01",
        "agent": "km01-a1",
        "key": SIGNER.key_id,
        "epoch": EPOCH,
        "prev_epoch": None,
        "boot": "00112233445566aa",
        "seq": 2,
        "prev": "ab" * 32,
        "config": "cd" * 32,
        "sent_ms": 1_700_000_000_010,
        "mono_ns": 5,
        "body": readings(),
    }
    return wire.DataBatch(**(fields | changes))  # type: ignore[arg-type]  # a test's free choice of fields


def refused(line: bytes) -> RejectReason:
    with pytest.raises(Reject) as caught:
        wire.decode_batch(line)
    return caught.value.reason


def with_body(**changes: object) -> bytes:
    document = json.loads(wire.seal(batch(), SIGNER).line)
    document["body"].update(changes)
    return json.dumps(document).encode()


def test_batch_comes_back_as_it_went() -> None:
    signed = wire.seal(batch(), SIGNER)
    assert wire.open_batch(wire.unpack(signed.payload()), SIGNER.verifier) == batch()


def test_equal_batches_make_equal_bytes() -> None:
    assert wire.seal(batch(), SIGNER).payload() == wire.seal(batch(), SIGNER).payload()


def test_signature_is_plain_ed25519_over_the_line() -> None:
    signed = wire.seal(batch(), SIGNER)
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    assert base64.b64decode(signed.signature) == key.sign(signed.line)
    key.public_key().verify(base64.b64decode(signed.signature), signed.line)


def test_key_id_is_half_of_the_public_keys_hash() -> None:
    public = base64.b64decode(SIGNER.verifier.to_text())
    assert hashlib.sha256(public).hexdigest()[:16] == SIGNER.key_id


def test_golden_file_of_version_1_reads_as_it_was_written() -> None:
    """The file was written once by an independent script and is kept for every later decoder."""
    expected = json.loads((GOLDEN / "v1" / "expected.json").read_text())
    with gzip.open(GOLDEN / "v1" / "chain.batches.gz") as file:
        signed = list(wire.read_lines(file))
    assert [one.sha256 for one in signed] == expected["sha256"]
    opened = [wire.open_batch(one, SIGNER.verifier) for one in signed]
    assert [type(one).__name__.removesuffix("V1") for one in opened] == expected["kinds"]
    assert [one.prev for one in opened] == ["0" * 64, *expected["sha256"][:-1]]
    data = opened[1]
    assert isinstance(data, wire.DataBatch)
    assert data.body.count == expected["counts"]


def test_golden_file_of_version_2_reads_as_it_was_written() -> None:
    """As above; its times of the second row, and of the last, are before those of the row above."""
    expected = json.loads((GOLDEN / "v2" / "expected.json").read_text())
    with gzip.open(GOLDEN / "v2" / "chain.batches.gz") as file:
        signed = list(wire.read_lines(file))
    assert [one.sha256 for one in signed] == expected["sha256"]
    opened = [wire.open_batch(one, SIGNER.verifier) for one in signed]
    assert [type(one).__name__ for one in opened] == expected["kinds"]
    bodies = {wire.config_digest(one.body): one.body for one in opened if isinstance(one, wire.ConfigBatch)}
    parts = expected["parts"]
    assert list(bodies) == [parts["profile"], *parts["links"], parts["manifest"]]
    manifest, data = bodies[parts["manifest"]], opened[4]
    assert isinstance(manifest, wire.Manifest)
    assert isinstance(data, wire.DataBatch)
    points = Configuration.of_parts(manifest, bodies).points
    assert [[one.meter, one.quantity, f"{one.scale} {one.unit}"] for one in points] == expected["points"]
    body = data.body
    assert [list(row) for row in zip(body.point, body.t0, body.dt, body.count, strict=True)] == expected["rows"]
    assert (data.config, body.source[-1]) == (parts["manifest"], 14990)


@pytest.mark.parametrize("position", [0, 40, 200, -1])
def test_a_flipped_bit_in_the_line_breaks_the_signature(position: int) -> None:
    signed = wire.seal(batch(), SIGNER)
    line = bytearray(signed.line)
    line[position] ^= 1
    with pytest.raises(Reject, match="bad_signature"):
        wire.open_batch(wire.SignedLine(bytes(line), signed.signature), SIGNER.verifier)


@pytest.mark.parametrize("signature", [b"", b"A" * 88, b"!" * 88, b"\xff" * 88])
def test_a_wrong_signature_is_refused(signature: bytes) -> None:
    with pytest.raises(Reject, match="bad_signature"):
        wire.open_batch(wire.SignedLine(wire.seal(batch(), SIGNER).line, signature), SIGNER.verifier)


def test_message_that_is_not_gzip_is_refused_by_name() -> None:
    with pytest.raises(Reject, match="is not gzip"):
        wire.unpack(b"hello")


def test_cut_message_is_refused() -> None:
    with pytest.raises(Reject, match="not one whole gzip member"):
        wire.unpack(wire.seal(batch(), SIGNER).payload()[:-9])


def test_joined_messages_are_refused() -> None:
    payload = wire.seal(batch(), SIGNER).payload()
    with pytest.raises(Reject, match="not one whole gzip member"):
        wire.unpack(payload + payload)


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b"{}\nshort",
        b"\n" + b"A" * 88 + b"x",
        b"{}\n{}\n" + b"A" * 88,
        b"{}\n" + b"A" * 43 + b"\n" + b"A" * 44,
    ],
)
def test_message_without_line_and_signature_is_refused(text: bytes) -> None:
    with pytest.raises(Reject, match="not a JSON line"):
        wire.unpack(gzip.compress(text))


def test_decompression_stops_at_the_limit() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(Reject) as caught:
            wire.unpack(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.reason is RejectReason.TOO_LARGE
    assert peak < 5_000_000


def test_too_large_batch_is_refused_when_sealed_and_when_read() -> None:
    many = 20_000
    body = readings(
        point_step=[0] * many,
        t0_step=[0] * many,
        dt=[0] * many,
        raw=["00" * 8] * many,
        count=[1] * many,
        quality=[0] * many,
    )
    with pytest.raises(Reject, match="too_large"):
        wire.seal(batch(body=body), SIGNER)
    assert refused(b"{" + b" " * wire.MAX_JSON_BYTES) is RejectReason.TOO_LARGE


def test_other_version_is_named() -> None:
    line = wire.seal(batch(), SIGNER).line.replace(b'"v":2', b'"v":9')
    assert refused(line) is RejectReason.UNSUPPORTED_VERSION


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b'{"v":1}',
        b'{"v":2}',
        b'{"v":"1"}',
        b"\xff\xfe",
        b'{"v":1,"kind":"gossip"}',
        b'{"v":2,"kind":"gossip"}',
        wire.seal(batch(), SIGNER).line.replace(b'"alg"', b'"algo"'),
        wire.seal(batch(), SIGNER).line.replace(b'"seq":2', b'"seq":0'),
        wire.seal(batch(), SIGNER).line.replace(b'"seq":2', b'"seq":2.5'),
        wire.seal(batch(), SIGNER).line.replace(b'"km01"', b'"KM 01"'),
        wire.seal(batch(), SIGNER).line.replace(b'"sent_ms":1700000000010', b'"sent_ms":NaN'),
        wire.seal(batch(config=None), SIGNER).line,
    ],
)
def test_line_that_does_not_fit_is_malformed(line: bytes) -> None:
    assert refused(line) is RejectReason.MALFORMED


@pytest.mark.parametrize(
    "changes",
    [
        {"point_step": [0]},
        {"t0_step": [0, 1, 2]},
        {"t0_step": [-1, 1]},
        {"point_step": [-1, 1]},
        {"point_step": [1, -2]},
        {"point_step": [1 << 62, 0]},
        {"t0_step": [(1 << 62) - 1, 1]},
        {"source": [1]},
        {"source": ["1", None]},
        {"count": [None, None]},
        {"count": [1, 2]},
        {"count": [1 << 62, None]},
        {"count": [True, None]},
        {"raw": ["0", ""]},
        {"raw": ["ZZ", ""]},
        {"quality": [-1, 1]},
        {"extra": []},
    ],
)
def test_readings_that_do_not_fit_are_malformed(changes: dict[str, object]) -> None:
    assert refused(with_body(**changes)) is RejectReason.MALFORMED


def test_unknown_quality_bits_are_kept() -> None:
    decoded = wire.decode_batch(with_body(quality=[1 << 20, 1]))
    assert isinstance(decoded, wire.DataBatch)
    assert decoded.body.quality == [1 << 20, 1]


EVENTS: list[wire.Event] = [
    wire.MeterReplaced(
        at_ms=1, meter="main-a", quantity="energy_import", old_serial="1", new_serial="2", old_final_count=9,
        new_initial_count=0,
    ),
    wire.ManualReading(at_ms=1, meter="main-a", quantity="energy_import", count=7, by="李工"),
    wire.WitnessReading(at_ms=1, meter="main-a", quantity="energy_import", count=7, by="李工", witness="王监察"),
    wire.OutageDeclared(from_ms=1, to_ms=2, meters=["main-a"], reason="停电检修", by="李工"),
    wire.ClockJump(at_ms=1, step_ms=-3600),
    wire.Dropped(epoch=EPOCH, from_seq=1, to_seq=4, reason="disk full"),
    wire.Restored(old_epoch=EPOCH, head_seq=1, ack_upto=4, ack_sha256="0" * 64, reason="spool restored"),
    wire.Handover(next_epoch=EPOCH, reason="live"),
    wire.NotKept(from_ms=1, to_ms=2, cycles=3, reason="disk full"),
    wire.Identity(at_ms=1, meter="main-a", serial="SN1", ct="2000/5", pt=None, raw={"3:130:2": "00000001"}),
    wire.KeyChange(old_key="0123456789abcdef", last_epoch=EPOCH, last_seq=9, last_sha256="ab" * 32, reason="yearly"),
    wire.CheckpointSeen(at_ms=1, checkpoint="registry.example\n5\nq2w=\n"),
]  # fmt: skip


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_comes_back(event: wire.Event) -> None:
    header = {name: getattr(batch(), name) for name in wire.Header.__struct_fields__}
    sent = wire.EventBatch(**header, body=event)
    assert wire.decode_batch(wire.seal(sent, SIGNER).line) == sent


def config(**changes: object) -> wire.ConfigBatchV1:
    fields: dict[str, object] = {
        "poll_ms": 15_000,
        "meters": [
            wire_v1.Meter(meter="main-a", profile="p1", address="modbus-tcp://h:502/1", serial="S", ct="2000/5")
        ],
        "points": [wire_v1.Point(meter="main-a", quantity="energy_import", unit="Wh", exponent=0)],
        "profiles": {"p1": "id = 'p1'"},
        "software": "pue-compliance 0.1.0",
    }
    header = {name: getattr(batch(), name) for name in wire.Header.__struct_fields__}
    return wire.ConfigBatchV1(**header | {"v": 1}, body=wire.Config(**(fields | changes)))  # type: ignore[arg-type]  # fields a test chooses


def test_config_comes_back() -> None:
    assert wire.decode_batch(wire.seal(config(), SIGNER).line) == config()


def test_what_is_approved_of_a_configuration_is_its_content() -> None:
    """Hashed here from the line as it was sent, by nothing but the standard library."""
    line = wire.seal(config(), SIGNER).line
    body = json.dumps(json.loads(line)["body"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert wire.config_digest(config().body) == hashlib.sha256(body.encode()).hexdigest()


def test_config_point_of_an_unknown_meter_is_malformed() -> None:
    stray = wire_v1.Point(meter="main-b", quantity="power", unit="W", exponent=0)
    assert refused(wire.seal(config(points=[stray]), SIGNER).line) is RejectReason.MALFORMED


def test_config_without_a_profiles_text_is_malformed() -> None:
    assert refused(wire.seal(config(profiles={}), SIGNER).line) is RejectReason.MALFORMED


def test_ack_comes_back() -> None:
    ack = wire.Ack(
        collector="yn-c1", generation=3, agent="km01-a1", epoch=EPOCH, upto=7, sha256="ab" * 32, ranges=[(9, 12)],
        refused=[(3, "malformed")], held=[(14, 15)], time_ms=5, root="cd" * 32, checkpoint="registry\n5\n",
    )  # fmt: skip
    assert wire.decode_ack(wire.encode_ack(ack)) == ack


def test_an_agent_of_release_0_1_is_sent_the_fields_it_knows_and_no_other() -> None:
    """It refuses an ack with any other field, and would send the same batches for ever."""
    ack = wire.Ack(
        v=1, collector="yn-c1", generation=3, agent="km01-a1", epoch=EPOCH, upto=7, sha256="ab" * 32, ranges=[(9, 12)],
        refused=[(3, "malformed")], held=[(14, 15)], time_ms=5, root="cd" * 32,
    )  # fmt: skip
    known = {"v", "collector", "generation", "agent", "epoch", "upto", "sha256", "ranges", "refused"}
    assert json.loads(wire.encode_ack(ack)).keys() == known
    assert wire.decode_ack(wire.encode_ack(ack)) == msgspec.structs.replace(ack, held=[], time_ms=0, root=None)


def test_fields_that_a_later_ack_adds_are_passed_over_and_in_version_1_refused() -> None:
    ack = {
        "v": 2, "collector": "yn-c1", "generation": 3, "agent": "km01-a1", "epoch": EPOCH, "upto": 7,
        "sha256": "ab" * 32, "ranges": [], "refused": [], "weather": "rain",
    }  # fmt: skip
    assert wire.decode_ack(json.dumps(ack).encode()).upto == 7
    with pytest.raises(Reject, match="weather"):
        wire.decode_ack(json.dumps(ack | {"v": 1}).encode())


def test_a_collectors_presence_comes_back_and_what_a_later_one_adds_is_passed_over() -> None:
    presence = wire.Presence(collector="yn-c1", generation=3, state="offline", checkpoint=None)
    assert wire.decode_presence(wire.encode_presence(presence)) == presence
    more = json.loads(wire.encode_presence(presence)) | {"weather": "rain"}
    assert wire.decode_presence(json.dumps(more).encode()) == presence
    for payload in (b"", b"{}", b"\xff", json.dumps(more | {"state": "asleep"}).encode()):
        with pytest.raises(Reject, match="collector's state does not fit"):
            wire.decode_presence(payload)


def test_no_agent_can_have_the_level_of_the_collectors_topic() -> None:
    assert wire.presence_topic("s0") == "pue/v1/s0/_/state"
    with pytest.raises(Reject, match="wrong_topic"):
        wire.parse_topic(wire.presence_topic("s0"))


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff", b'{"upto":-1}'])
def test_ack_that_does_not_fit_is_refused(payload: bytes) -> None:
    with pytest.raises(Reject, match="ack does not fit"):
        wire.decode_ack(payload)


def test_batch_file_comes_back() -> None:
    signed = [wire.seal(batch(seq=seq), SIGNER) for seq in (1, 2, 3)]
    assert list(wire.read_lines(b"".join(wire.write_lines(signed)).splitlines(keepends=True))) == signed


def test_cut_batch_file_names_the_line() -> None:
    lines = b"".join(wire.write_lines([wire.seal(batch(), SIGNER)] * 2)).splitlines(keepends=True)
    with pytest.raises(Reject, match="line 4 is not a signature"):
        list(wire.read_lines(lines[:3]))


def test_topic_comes_back() -> None:
    assert wire.parse_topic(wire.topic("s0", "km01-a1", "data")) == ("s0", "km01-a1", "data")


@pytest.mark.parametrize("text", ["", "pue/v1/s0/data", "pue/v2/s0/a/data", "pue/v1/s0/a/cmd", "pue/v1/S/a/data"])
def test_wrong_topic_is_refused(text: str) -> None:
    with pytest.raises(Reject, match="wrong_topic"):
        wire.parse_topic(text)


def test_epochs_sort_by_creation() -> None:
    assert wire.epoch_id(999, "ffffffff") < wire.epoch_id(1000, "00000000") < wire.epoch_id(1_700_000_000_000, "0" * 8)


def said(call: Callable[[], object]) -> str:
    with pytest.raises(Reject) as caught:
        call()
    return str(caught.value)


def padded(bytes_of_json: int) -> wire.ConfigBatchV1:
    """A config batch whose JSON line has exactly this length."""
    short = len(wire.seal(config(software=""), SIGNER).line)
    text = "x" * (bytes_of_json - short)
    return config(software="", profiles={"p1": "id = 'p1'" + text})


def test_a_line_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    signed = wire.seal(padded(wire.MAX_JSON_BYTES), SIGNER)
    assert len(signed.line) == 262_144
    assert wire.open_batch(wire.unpack(signed.payload()), SIGNER.verifier).seq == 2
    over = wire.SignedLine(signed.line + b" ", signed.signature)
    bloated = wire.SignedLine(signed.line + b" " * 8200, signed.signature)
    assert said(lambda: wire.seal(padded(262_145), SIGNER)) == (
        "too_large: batch 2 of km01-a1 has 262145 bytes of JSON, more than 262144; append fewer readings to one batch"
    )
    assert said(lambda: wire.unpack(bloated.payload())) == (
        "too_large: message unpacks to more than 270337 bytes; append fewer readings"
    )
    assert said(lambda: wire.decode_batch(over.line)) == "too_large: line of 262145 bytes exceeds 262144"


def test_a_signature_with_line_breaks_or_spaces_in_it_is_refused() -> None:
    """Else one batch would have many spellings."""
    signed = wire.seal(batch(), SIGNER)
    spelled = signed.signature[:44] + b" " + signed.signature[44:]
    assert said(lambda: SIGNER.verifier.check(signed.line, spelled)) == (
        f"bad_signature: signature {signed.signature[:12]!r}… does not fit key {SIGNER.key_id}; "
        "check which key signed it"
    )


@pytest.mark.parametrize("end", [b" \t", b"\r", b"X"])
def test_a_batch_file_adds_and_takes_off_nothing_but_line_breaks(end: bytes) -> None:
    signed = wire.SignedLine(wire.seal(batch(), SIGNER).line + end, b"A" * 88)
    assert next(wire.read_lines([signed.line + b"\n", signed.signature + b"\n"])) == signed


@pytest.mark.parametrize("signature", [b"A" * 86 + b" \t", b"A" * 87 + b"\r", b"A" * 87, b"A" * 12, b"A" * 8196])
def test_what_is_no_base64_of_a_signature_is_none(signature: bytes) -> None:
    with pytest.raises(Reject, match="line 2 is not a signature"):
        list(wire.read_lines([b"{}\n", signature + b"\n"]))
    with pytest.raises(Reject, match="not a JSON line, a newline and a signature"):
        wire.unpack(gzip.compress(b"{}\n" + signature))


def test_a_longer_signature_of_another_algorithm_travels() -> None:
    """ML-DSA-87 makes 4,627 bytes: who checks it has to know the algorithm, the container has not."""
    signed = wire.SignedLine(b"{}", base64.b64encode(bytes(4627)))
    assert wire.unpack(signed.payload()) == signed
    file = b"".join(wire.write_lines([signed])).splitlines(keepends=True)
    assert list(wire.read_lines(file)) == [signed]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{}\nshort", "malformed: message is not a JSON line, a newline and a signature"),
        (b"{}" + b"A" * 88, "malformed: message is not a JSON line, a newline and a signature"),
    ],
)
def test_messages_say_what_was_wrong(text: bytes, message: str) -> None:
    assert said(lambda: wire.unpack(gzip.compress(text))) == message


def test_each_refusal_names_thing_value_and_remedy() -> None:
    good = wire.seal(batch(), SIGNER)
    assert said(lambda: wire.unpack(b"hello")).startswith("malformed: message of 5 bytes is not gzip (Error -3")
    assert said(lambda: wire.unpack(good.payload()[:-1])) == (
        "malformed: message is not one whole gzip member; it was cut or joined in transit"
    )
    assert said(lambda: wire.unpack(zlib.compress(b"x"))).startswith("malformed: message of 9 bytes is not gzip")
    assert said(lambda: wire.decode_batch(good.line.replace(b'"v":2', b'"v":9'))) == (
        "unsupported_version: batch of version 9; this decoder reads (1, 2): upgrade the older side"
    )
    assert said(lambda: wire.decode_batch(b"{}")).startswith("malformed: batch does not fit WIRE.md: ")
    assert said(lambda: wire.decode_ack(b"{}")).startswith("malformed: ack does not fit WIRE.md: ")
    assert said(lambda: wire.parse_topic("x")) == ("wrong_topic: topic 'x' is not pue/v1/{shard}/{agent}/{leaf}")
    assert said(lambda: wire.decode_batch(wire.seal(batch(config=None), SIGNER).line)) == (
        "malformed: batch 2 has readings and names no configuration"
    )
    assert said(lambda: wire.decode_batch(with_body(count=[None, None]))) == (
        "malformed: batch 2 row 0: count None does not go with quality 0"
    )
    stray = wire_v1.Point(meter="main-b", quantity="power", unit="W", exponent=0)
    assert said(lambda: wire.decode_batch(wire.seal(config(points=[stray]), SIGNER).line)) == (
        "malformed: config point 0 names meter 'main-b', which it has not"
    )
    assert said(lambda: wire.decode_batch(wire.seal(config(profiles={}), SIGNER).line)) == (
        "malformed: config meter 'main-a' lacks the text of 'p1'"
    )
    assert said(lambda: list(wire.read_lines([b"{}\n"]))) == (
        "malformed: line 2 is not a signature; the file was cut or edited: export again"
    )


@pytest.mark.parametrize("column", ["point_step", "t0_step", "dt", "raw", "count", "source"])
def test_a_column_of_another_length_is_named(column: str) -> None:
    short = {"point_step": [0], "t0_step": [0], "dt": [0], "raw": [""], "count": [1], "source": [5]}[column]
    assert said(lambda: wire.decode_batch(with_body(**{column: short}))) == (
        f"malformed: batch 2: column {column} has 1 rows, quality has 2"
    )


def test_packing_is_the_same_on_every_machine_and_day() -> None:
    """Gzip's own header: method deflate, no flags, no time."""
    assert wire.seal(batch(), SIGNER).payload()[:8] == bytes.fromhex("1f8b080000000000")
