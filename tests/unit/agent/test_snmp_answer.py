"""Which bytes answer a GET: messages written by hand, octet by octet."""

from __future__ import annotations

import pytest

from agent.drivers.snmp_answer import FIRST_ID, LAST_ID, NotOurs, Question, Refused
from pue.contract.quality import Quality

OIDS = ("1.3.6.1.2.1.2.1.0", "1.3.6.1.2.1.11.1.0")
NAMES = ("06082b06010201020100", "06082b060102010b0100")
ID = 0x01020304
QUESTION = Question.of("public", OIDS)


def tlv(tag: int, *parts: str) -> str:
    """One element of short definite length, in hexadecimal."""
    content = "".join(parts)
    return f"{tag:02x}{len(content) // 2:02x}{content}"


def message(
    version: str = "020101",
    community: str = "04067075626c6963",
    pdu: int = 0xA2,
    request_id: str = "020401020304",
    status: str = "020100",
    bindings: tuple[tuple[str, str], ...] = ((NAMES[0], "020105"), (NAMES[1], "410101")),
    after: str = "",
) -> bytes:
    """A right answer, but for what a test makes wrong."""
    found = tlv(0x30, *(tlv(0x30, *binding) for binding in bindings))
    return bytes.fromhex(tlv(0x30, version, community, tlv(pdu, request_id, status, "020100", found)) + after)


def test_a_request_is_what_rfc_3416_says() -> None:
    bindings = tlv(0x30, *(tlv(0x30, name, "0500") for name in NAMES))
    pdu = tlv(0xA0, "020401020304", "020100", "020100", bindings)
    assert QUESTION.numbered(ID).hex() == tlv(0x30, "020101", "04067075626c6963", pdu)


@pytest.mark.parametrize("request_id", [FIRST_ID, LAST_ID])
def test_every_request_id_keeps_the_length(request_id: int) -> None:
    assert len(QUESTION.numbered(request_id)) == len(QUESTION.payload)


def test_values_are_the_octets_that_arrived() -> None:
    """INTEGER 5 in three octets where one would do, and a Counter32 of no octets: nothing is made tidy."""
    odd = message(bindings=((NAMES[0], "0203000005"), (NAMES[1], "4100")))
    assert [value.hex() for value in QUESTION.answered(odd, ID)] == ["0203000005", "4100"]


@pytest.mark.parametrize(
    "forged",
    [
        message(version="020100"),
        message(version="020103"),
        message(version="040101"),
        message(community="04067365637265"),
        message(community="04067365637265" + "74"),
        message(community="0c067075626c6963"),
        message(pdu=0xA0),
        message(pdu=0xA7),
        message(request_id="020401020305"),
        message(request_id="0200"),
        message(request_id="040401020304"),
        message(after="00"),
        message(bindings=((NAMES[0], "020105" + "020105"), (NAMES[1], "410101"))),
        message(bindings=((NAMES[0], ""), (NAMES[1], "410101"))),
        message(bindings=(("04082b06010201020100", "020105"), (NAMES[1], "410101"))),
        message()[:-1],
        b"",
        b"\x30",
        bytes.fromhex("3080") + message()[2:],
        bytes.fromhex("3085000000003c") + message()[2:],
        bytes.fromhex("1f3c") + message()[2:],
    ],
    ids=range(21),
)
def test_what_does_not_answer_the_request_is_not_ours(forged: bytes) -> None:
    with pytest.raises(NotOurs):
        QUESTION.answered(forged, ID)


@pytest.mark.parametrize(
    "bindings",
    [
        ((NAMES[0], "020105"),),
        ((NAMES[0], "020105"), (NAMES[0], "020105")),
        ((NAMES[1], "410101"), (NAMES[0], "020105")),
        ((NAMES[0], "020105"), (NAMES[1], "410101"), (NAMES[1], "410102")),
        (),
    ],
)
def test_an_answer_about_other_objects_is_malformed(bindings: tuple[tuple[str, str], ...]) -> None:
    wrong = message(bindings=bindings)
    with pytest.raises(Refused) as caught:
        QUESTION.answered(wrong, ID)
    assert (caught.value.quality, caught.value.received) == (Quality.MALFORMED, wrong)


def test_an_error_status_is_the_devices_own_refusal() -> None:
    with pytest.raises(Refused) as caught:
        QUESTION.answered(message(status="020105"), ID)
    assert (caught.value.quality, caught.value.received.hex()) == (Quality.EXCEPTION, "020105")


def test_an_answer_to_another_request_says_to_which() -> None:
    with pytest.raises(NotOurs) as caught:
        QUESTION.answered(message(request_id="02020102"), ID)
    assert caught.value.request_id == 0x0102
