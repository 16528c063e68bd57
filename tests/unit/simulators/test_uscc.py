"""Check characters against published codes."""

from __future__ import annotations

import pytest

from simulators.facilities import FACILITIES
from simulators.uscc import ALPHABET, check, organisation_check


@pytest.mark.parametrize(
    ("first17", "last"), [("91350100M000100Y4", "3"), ("91440300192203821", "6"), ("91110000802100433", "B")]
)
def test_check_character_of_gb_32100(first17: str, last: str) -> None:
    assert check(first17) == last


def test_check_character_of_gb_11714() -> None:
    assert organisation_check("19220382") == "1"
    assert organisation_check("80210043") == "3"


def test_every_enterprise_has_its_own_valid_code_in_its_region() -> None:
    codes = [spec.uscc for spec in FACILITIES]
    assert len(set(codes)) == len(codes)
    for spec, code in zip(FACILITIES, codes, strict=True):
        assert code[2:8] == spec.region
        assert set(code) <= set(ALPHABET)
        assert check(code[:17]) == code[17]
