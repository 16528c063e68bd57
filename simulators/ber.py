"""The few BER types SNMP v2c needs, written and read by hand (ITU-T X.690, RFC 3416)."""

from __future__ import annotations

INTEGER = 0x02
OCTETS = 0x04
NULL = 0x05
OID = 0x06
SEQUENCE = 0x30
COUNTER32 = 0x41
GAUGE32 = 0x42
TIMETICKS = 0x43
COUNTER64 = 0x46
NO_SUCH_OBJECT = 0x80
NO_SUCH_INSTANCE = 0x81
END_OF_MIB = 0x82
GET = 0xA0
GET_NEXT = 0xA1
RESPONSE = 0xA2
GET_BULK = 0xA5

Oid = tuple[int, ...]


class BerError(ValueError):
    """Bytes that are not the BER this module reads."""


def tlv(tag: int, content: bytes) -> bytes:
    """One element: tag, definite length, content."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """Encode a whole number in the fewest octets of two's complement."""
    octets = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return tlv(tag, value.to_bytes(octets, "big", signed=True))


def oid(value: Oid) -> bytes:
    """Object identifier: the first two arcs share one number, each number in base 128."""
    return tlv(OID, b"".join(_base128(arc) for arc in (40 * value[0] + value[1], *value[2:])))


def read(data: bytes, at: int = 0) -> tuple[int, bytes, int]:
    """Tag, content and end of the element that starts at `at`."""
    try:
        tag = data[at]
        size = data[at + 1]
        at = at + 2
    except IndexError:
        raise BerError("data ends inside an element") from None
    if size & 0x80:
        octets = size & 0x7F
        size = int.from_bytes(data[at : at + octets], "big")
        at = at + octets
    if at + size > len(data):
        raise BerError(f"element of {size} octets is longer than its data")
    return tag, data[at : at + size], at + size


def read_all(data: bytes) -> list[tuple[int, bytes]]:
    """Every element of a content, in order."""
    at = 0
    elements = []
    while at < len(data):
        tag, content, at = read(data, at)
        elements.append((tag, content))
    return elements


def read_oid(content: bytes) -> Oid:
    """Arcs of an object identifier."""
    numbers = []
    number = 0
    for octet in content:
        number = number << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(number)
            number = 0
    if not numbers:
        raise BerError("empty object identifier")
    first = min(numbers[0] // 40, 2)
    return (first, numbers[0] - 40 * first, *numbers[1:])


def oid_of(text: str) -> Oid:
    """Arcs of a dotted name."""
    return tuple(int(arc) for arc in text.strip(".").split("."))


def _base128(number: int) -> bytes:
    octets = [number & 0x7F]
    while number := number >> 7:
        octets.append(number & 0x7F | 0x80)
    return bytes(reversed(octets))
