"""Bytes of each model, computed by hand from the manuals' facts."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from simulators.layouts import ABB, APC, EASTRON, EATON, MODELS, RARITAN, SCHNEIDER, ModbusPlace, float32_counts


@pytest.mark.parametrize(
    ("profile", "count", "raw"),
    [
        ("schneider-pm5xxx", 123456, "000000000001e240"),
        ("abb-b23", 12345678, "0000000000bc614e"),
        ("eastron-sdm630", 1234567, "449a5225"),
        ("apc-rpdu2", 170982, "0203029be6"),
        ("apc-rpdu2", 128, "02020080"),
        ("eaton-epdu", 123456789, "4204075bcd15"),
        ("eaton-epdu", 2**32 - 1, "420500ffffffff"),
        ("raritan-px2", 255, "420200ff420100"),
    ],
)
def test_energy_in_the_makers_own_bytes(profile: str, count: int, raw: str) -> None:
    assert MODELS[profile].raw(count).hex() == raw


def test_power_in_the_makers_own_bytes() -> None:
    cases = {SCHNEIDER: ("42f6e979", 123456), ABB: ("ffffff9c", -100), EASTRON: ("43e68000", 4610)}
    for model, (raw, count) in cases.items():
        assert isinstance(model.power_at, ModbusPlace)
        assert model.power_at.words(count).hex() == raw
    assert [model.power_at.value(300).hex() for model in (APC, EATON, RARITAN)] == [  # type: ignore[union-attr]  # SNMP
        "0202012c",
        "0202012c",
        "4202012c",
    ]


def test_one_count_is_as_large_as_the_manual_says() -> None:
    joules = {profile: model.energy.size for profile, model in MODELS.items()}
    assert joules == {
        "schneider-pm5xxx": 3600,
        "abb-b23": 36_000,
        "eastron-sdm630": 3600,
        "apc-rpdu2": 360_000,
        "raritan-px2": 3600,
        "eaton-epdu": 3600,
    }


def test_a_count_read_off_a_float_is_the_float_not_what_was_meant() -> None:
    meant = np.array([1_001_118_063], np.int64)
    (shown,) = float32_counts(meant, EASTRON.energy).tolist()
    (kwh,) = struct.unpack(">f", EASTRON.raw(shown))
    assert kwh == np.float32(1_001_118.063)
    assert shown == round(kwh * 1000)
    assert abs(shown - 1_001_118_063) <= 32
