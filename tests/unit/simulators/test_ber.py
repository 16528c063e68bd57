"""BER by the examples of X.690 and the round trip."""

from __future__ import annotations

import pytest

from simulators import ber


@pytest.mark.parametrize(
    ("value", "raw"),
    [(0, "020100"), (127, "02017f"), (128, "02020080"), (256, "02020100"), (-1, "0201ff"), (-128, "020180")],
)
def test_integers_take_the_fewest_octets(value: int, raw: str) -> None:
    assert ber.integer(value).hex() == raw


def test_object_identifiers_in_base_128() -> None:
    assert ber.oid((1, 3, 6, 1, 4, 1, 13742, 6)).hex() == "06082b06010401eb2e06"
    assert ber.read_oid(bytes.fromhex("2b06010401eb2e06")) == (1, 3, 6, 1, 4, 1, 13742, 6)


def test_long_lengths_are_written_and_read() -> None:
    data = ber.tlv(ber.OCTETS, bytes(300))
    assert data[:4].hex() == "0482012c"
    assert ber.read(data) == (ber.OCTETS, bytes(300), 304)


@pytest.mark.parametrize("data", [b"", b"\x30", b"\x30\x05\x01", b"\x30\x84\xff\xff\xff\xff"])
def test_cut_data_is_an_error(data: bytes) -> None:
    with pytest.raises(ber.BerError):
        ber.read(data)
