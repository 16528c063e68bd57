"""One byte string for one value."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pue.contract.canonical import canonical_json, content_hash, sha256_hex
from pue.contract.errors import Fatal


def test_key_order_does_not_matter() -> None:
    assert canonical_json({"b": 1, "a": [True, None, "昆明"]}) == '{"a":[true,null,"昆明"],"b":1}'.encode()
    assert content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1}) == sha256_hex(b'{"a":2,"b":1}')


def test_hash_is_sha256() -> None:
    assert sha256_hex(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (1.5, r"\$ is 1.5"),
        ({"a": [0, 1.5]}, r"\$.a\[1\] is 1.5"),
        ({"a": Decimal("1.3")}, r"\$.a is Decimal"),
        ({1: 2}, r"\$ has the key 1"),
        ((1, b"x"), r"\$\[1\] is b'x'"),
    ],
)
def test_what_json_cannot_carry_exactly_is_named(value: object, place: str) -> None:
    with pytest.raises(Fatal, match=place):
        canonical_json(value)
