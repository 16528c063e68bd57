"""SNMP v2c requests, and their answers as they arrived (ITU-T X.690, RFC 1901, RFC 3416).

The bytes of a value are evidence, so they are cut out of the message and never encoded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyasn1.codec.ber import encoder
from pysnmp.proto.api import v2c

from pue.contract.quality import Quality

SEQUENCE, INTEGER, OCTETS, NAME = 0x30, 0x02, 0x04, 0x06
RESPONSE = 0xA2
V2C = b"\x01"

FIRST_ID, LAST_ID = 1 << 24, (1 << 31) - 1
"""Request ids of four octets each: a request's bytes are made once, and only its id changes."""


class NotOurs(Exception):
    """A message that does not answer the request: of another version, community, kind or request, or unreadable."""

    def __init__(self, what: str, request_id: int | None = None) -> None:
        super().__init__(what)
        self.request_id = request_id


class Refused(Exception):
    """An answer to the request without usable values; carries quality and evidence."""

    def __init__(self, quality: Quality, received: bytes = b"") -> None:
        super().__init__(quality)
        self.quality = quality
        self.received = received


@dataclass(frozen=True, slots=True)
class Element:
    """One BER element of some bytes: its tag, where it starts, where its content starts, and where both end."""

    tag: int
    start: int
    content: int
    end: int


@dataclass(frozen=True, slots=True)
class Question:
    """A GET of some objects, but for its request id.

    Attributes
    ----------
    community
        As its bytes.
    names
        Objects asked for, each as a whole BER element.
    payload
        The message with some request id.
    id_at
        Where the four octets of the id are.
    """

    community: bytes
    names: tuple[bytes, ...]
    payload: bytes
    id_at: int

    @classmethod
    def of(cls, community: str, oids: Sequence[str]) -> Question:
        """Ask for objects given by their dotted names."""
        pdu = v2c.GetRequestPDU()
        v2c.apiPDU.set_defaults(pdu)
        v2c.apiPDU.set_request_id(pdu, FIRST_ID)
        v2c.apiPDU.set_varbinds(pdu, [(oid, v2c.null) for oid in oids])
        message = v2c.Message()
        v2c.apiMessage.set_defaults(message)
        v2c.apiMessage.set_community(message, community)
        v2c.apiMessage.set_pdu(message, pdu)
        payload = bytes(encoder.encode(message))
        _, sent, pdu_at = _parts(payload, *_inside(payload, SEQUENCE, 0, len(payload)), 3)
        request_id, _, _, bindings = _parts(payload, pdu_at.content, pdu_at.end, 4)
        # Compared as bytes: an answer that spells a name otherwise is none that a device would give.
        names = tuple(payload[name.start : name.end] for name, _ in _pairs(payload, bindings))
        return cls(payload[sent.content : sent.end], names, payload, request_id.content)

    def numbered(self, request_id: int) -> bytes:
        """The message under a request id. [FIRST_ID <= id <= LAST_ID]"""
        return self.payload[: self.id_at] + request_id.to_bytes(4, "big") + self.payload[self.id_at + 4 :]

    def answered(self, message: bytes, request_id: int) -> list[bytes]:
        """Values of an answer as they arrived, one BER element each, in the order of the names.

        Raises
        ------
        NotOurs
            If it does not answer this request: whoever sent it, go on waiting.
        Refused
            If it does, with an error or about other objects.
        """
        pdu = self._response(message)
        identifier, status, place, bindings = _parts(message, pdu.content, pdu.end, 4)
        answered_id = _number(message, identifier)
        _number(message, place)  # which object an error is about: of no use, but it has to be there
        if answered_id != request_id:
            raise NotOurs("it answers another request", answered_id)
        if _number(message, status):
            raise Refused(Quality.EXCEPTION, message[status.start : status.end])
        pairs = _pairs(message, bindings)
        if tuple(message[name.start : name.end] for name, _ in pairs) != self.names:
            raise Refused(Quality.MALFORMED, message)
        return [message[value.start : value.end] for _, value in pairs]

    def _response(self, message: bytes) -> Element:
        version, community, pdu = _parts(message, *_inside(message, SEQUENCE, 0, len(message)), 3)
        if (version.tag, message[version.content : version.end]) != (INTEGER, V2C):
            raise NotOurs("it is not of SNMP v2c")
        if (community.tag, message[community.content : community.end]) != (OCTETS, self.community):
            raise NotOurs("it has another community")
        if pdu.tag != RESPONSE:
            raise NotOurs("it is no response")
        return pdu


def _inside(data: bytes, tag: int, at: int, end: int) -> tuple[int, int]:
    """Bounds of the content of the one element that fills data[at:end] and has this tag."""
    found = _element(data, at, end)
    if found.tag != tag or found.end != end:
        raise NotOurs(f"{end - at} octets are not one element of tag {tag:02x}")
    return found.content, found.end


def _parts(data: bytes, at: int, end: int, count: int) -> list[Element]:
    """So many elements, and nothing after them."""
    found = _elements(data, at, end)
    if len(found) != count:
        raise NotOurs(f"{len(found)} elements instead of {count}")
    return found


def _pairs(data: bytes, bindings: Element) -> list[tuple[Element, Element]]:
    """Name and value of each variable binding."""
    if bindings.tag != SEQUENCE:
        raise NotOurs("it has no variable bindings")
    result = []
    for binding in _elements(data, bindings.content, bindings.end):
        name, value = _parts(data, *_inside(data, SEQUENCE, binding.start, binding.end), 2)
        if name.tag != NAME:
            raise NotOurs("a variable binding has no name")
        result.append((name, value))
    return result


def _elements(data: bytes, at: int, end: int) -> list[Element]:
    result = []
    while at < end:
        result.append(_element(data, at, end))
        at = result[-1].end
    return result


def _element(data: bytes, at: int, end: int) -> Element:
    """The element that starts at `at`: a tag of one octet, a definite length of up to four."""
    # A tag whose lower five bits are all set goes on in further octets; SNMP has none such.
    if at + 2 > end or data[at] & 0x1F == 0x1F:
        raise NotOurs(f"no element at octet {at}")
    size = data[at + 1]
    content = at + 2
    # Below 128 the octet is the length; else its lower bits say how many octets the length takes, most significant
    # first.
    if size & 0x80:
        octets = size & 0x7F
        if not 1 <= octets <= 4 or content + octets > end:
            raise NotOurs(f"no definite length at octet {at + 1}")
        size = int.from_bytes(data[content : content + octets], "big")
        content += octets
    if content + size > end:
        raise NotOurs(f"element at octet {at} is longer than its data")
    return Element(data[at], at, content, content + size)


def _number(data: bytes, element: Element) -> int:
    if element.tag != INTEGER or element.content == element.end:
        raise NotOurs("a field that should be a number is none")
    return int.from_bytes(data[element.content : element.end], "big", signed=True)
