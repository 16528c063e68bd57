"""Any bytes give a batch or our error."""

from __future__ import annotations

import gzip
import json

from hypothesis import given
from hypothesis import strategies as st

from pue.contract import wire
from pue.contract.errors import Reject
from pue.contract.signing import Signer
from tests.unit.pue.contract.test_wire import SIGNER, batch

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
GOOD = wire.seal(batch(), SIGNER)


def reads_or_refuses(payload: bytes) -> None:
    try:
        wire.open_batch(wire.unpack(payload), SIGNER.verifier)
    except Reject:
        return


@given(st.binary())
def test_any_bytes(payload: bytes) -> None:
    reads_or_refuses(payload)
    reads_or_refuses(gzip.compress(payload))


@given(st.integers(0, len(GOOD.payload()) - 1), st.integers(1, 255))
def test_any_changed_byte_of_a_good_message(position: int, change: int) -> None:
    payload = bytearray(GOOD.payload())
    payload[position] ^= change
    reads_or_refuses(bytes(payload))


@given(st.sampled_from([*sorted(json.loads(GOOD.line)), "extra"]), JSON)
def test_any_value_in_any_field_signed_by_a_good_key(field: str, value: object) -> None:
    line = json.dumps(json.loads(GOOD.line) | {field: value}).encode()
    try:
        wire.decode_batch(line)
    except Reject:
        return


@given(st.sampled_from([*sorted(json.loads(GOOD.line)["body"]), "extra"]), JSON)
def test_any_value_in_any_column(column: str, value: object) -> None:
    document = json.loads(GOOD.line)
    document["body"][column] = value
    try:
        wire.decode_batch(json.dumps(document).encode())
    except Reject:
        return


@given(st.binary())
def test_any_ack(payload: bytes) -> None:
    try:
        wire.decode_ack(payload)
    except Reject:
        return


@given(
    st.lists(st.integers(-(2**62) + 1, 2**62 - 1), min_size=1, max_size=50),
    st.integers(1, 2**63 - 1),
    st.integers(0, 2**62 - 1),
)
def test_round_trip(counts: list[int], seq: int, base_ms: int) -> None:
    rows = len(counts)
    body = wire.Readings.of(
        base_ms, point=[0] * rows, t0=list(range(rows)), dt=[3] * rows, raw=["00"] * rows, count=[*counts],
        quality=[0] * rows,
    )  # fmt: skip
    signer = Signer.generate()
    sent = batch(seq=seq, body=body)
    assert wire.open_batch(wire.unpack(wire.seal(sent, signer).payload()), signer.verifier) == sent
