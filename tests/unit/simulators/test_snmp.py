"""Answers of the SNMP responder, and any bytes as a request."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from simulators import ber
from simulators.snmp import respond

FIRST: ber.Oid = (1, 3, 6, 1, 1)
SECOND: ber.Oid = (1, 3, 6, 1, 2)
OBJECTS: dict[ber.Oid, bytes] = {SECOND: ber.integer(2), FIRST: ber.integer(1)}


def request(kind: int, *names: ber.Oid, first: int = 0, second: int = 0, version: int = 1) -> bytes:
    bindings = b"".join(ber.tlv(ber.SEQUENCE, ber.oid(name) + ber.tlv(ber.NULL, b"")) for name in names)
    pdu = ber.integer(9) + ber.integer(first) + ber.integer(second) + ber.tlv(ber.SEQUENCE, bindings)
    return ber.tlv(ber.SEQUENCE, ber.integer(version) + ber.tlv(ber.OCTETS, b"public") + ber.tlv(kind, pdu))


def bindings(answer: bytes | None) -> list[tuple[ber.Oid, bytes]]:
    assert answer is not None
    *_, (tag, pdu) = ber.read_all(ber.read(answer)[1])
    assert tag == ber.RESPONSE
    *_, (_, listed) = ber.read_all(pdu)
    found = []
    for _, binding in ber.read_all(listed):
        _, name, end = ber.read(binding)
        found.append((ber.read_oid(name), binding[end:]))
    return found


def test_get_answers_in_the_order_asked_and_says_what_is_not_there() -> None:
    answer = respond(request(ber.GET, SECOND, (1, 3, 9)), OBJECTS)
    assert bindings(answer) == [(SECOND, ber.integer(2)), ((1, 3, 9), bytes((ber.NO_SUCH_INSTANCE, 0)))]


def test_get_next_walks_in_order_to_the_end() -> None:
    answer = respond(request(ber.GET_NEXT, (1, 3), FIRST, SECOND), OBJECTS)
    assert bindings(answer) == [
        (FIRST, ber.integer(1)),
        (SECOND, ber.integer(2)),
        (SECOND, bytes((ber.END_OF_MIB, 0))),
    ]


def test_get_bulk_repeats() -> None:
    answer = respond(request(ber.GET_BULK, (1, 3), (1, 3), first=1, second=2), OBJECTS)
    assert bindings(answer) == [(FIRST, ber.integer(1)), (FIRST, ber.integer(1)), (SECOND, ber.integer(2))]


def test_another_version_and_a_set_request_get_no_answer() -> None:
    assert respond(request(ber.GET, FIRST, version=0), OBJECTS) is None
    assert respond(request(0xA3, FIRST), OBJECTS) is None


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda tail: request(ber.GET, FIRST)[:20] + tail))
def test_any_bytes_give_an_answer_nothing_or_our_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(respond(data, OBJECTS), bytes | None)
