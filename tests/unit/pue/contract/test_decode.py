"""Decoding: what each raw form means, value by value."""

from __future__ import annotations

import struct

import pytest

from pue.contract.decode import MAX_COUNT, Code, ObjectCode, RegisterCode, decode
from pue.contract.quality import Quality


@pytest.mark.parametrize(
    ("raw", "type_name", "count"),
    [
        ("ffff", "u16", 65535),
        ("ffff", "i16", -1),
        ("00010000", "u32", 65536),
        ("fffffffe", "i32", -2),
        ("0000000100000000", "u64", 1 << 32),
        ("ffffffffffffffff", "i64", -1),
    ],
)
def test_integers_are_big_endian(raw: str, type_name: str, count: int) -> None:
    assert decode(raw, RegisterCode(type_name, 0)) == (count, Quality.GOOD)


def test_low_word_first_swaps_words_and_not_bytes() -> None:
    assert decode("56781234", RegisterCode("u32", 0, low_word_first=True)) == (0x12345678, Quality.GOOD)
    assert decode("4444333322221111", RegisterCode("u64", 0, low_word_first=True)) == (
        0x1111222233334444,
        Quality.GOOD,
    )


@pytest.mark.parametrize(
    ("value", "exponent", "count"),
    [
        (123.456, -3, 123_456),
        (0.5, 0, 0),
        (1.5, 0, 2),
        (2.5, 0, 2),
        (-2.5, 0, -2),
        (0.125, -2, 12),
        (0.375, -2, 38),
        (12345.0, 1, 1234),
        (12355.0, 1, 1236),
        (0.0, -3, 0),
    ],
)
def test_floats_are_rounded_half_to_even_at_the_declared_exponent(value: float, exponent: int, count: int) -> None:
    raw = struct.pack(">d", value).hex()
    assert decode(raw, RegisterCode("f64", exponent)) == (count, Quality.GOOD)


def test_a_single_is_rounded_from_its_exact_binary_value_once() -> None:
    """0.15 as a single is 0.15000000596: above the half, so 2 tenths, although 0.15 itself would go to 2, too."""
    assert decode(struct.pack(">f", 0.15).hex(), RegisterCode("f32", -1)) == (2, Quality.GOOD)
    assert decode(struct.pack(">f", 0.35).hex(), RegisterCode("f32", -1)) == (3, Quality.GOOD)


@pytest.mark.parametrize(
    ("raw", "code", "quality"),
    [
        (struct.pack(">f", float("nan")).hex(), RegisterCode("f32", 0), Quality.SENTINEL),
        (struct.pack(">f", float("inf")).hex(), RegisterCode("f32", 0), Quality.RANGE),
        (struct.pack(">d", -float("inf")).hex(), RegisterCode("f64", 0), Quality.RANGE),
        (struct.pack(">f", 3.4e38).hex(), RegisterCode("f32", -9), Quality.RANGE),
        (struct.pack(">d", 1e308).hex(), RegisterCode("f64", -9), Quality.RANGE),
        (f"{MAX_COUNT:016x}", RegisterCode("u64", 0), Quality.RANGE),
        ("8000000000000000", RegisterCode("i64", 0), Quality.RANGE),
        ("7fffffff", RegisterCode("i32", 0, sentinels=frozenset({"7fffffff"})), Quality.SENTINEL),
        ("0001", RegisterCode("u32", 0), Quality.MALFORMED),
        ("000100020003", RegisterCode("u32", 0), Quality.MALFORMED),
        ("", RegisterCode("u16", 0), Quality.MALFORMED),
        ("0g", RegisterCode("u16", 0), Quality.MALFORMED),
    ],
)
def test_what_is_no_value_has_a_reason(raw: str, code: Code, quality: Quality) -> None:
    assert decode(raw, code) == (None, quality)


def test_the_largest_carried_count_is_one_below_two_to_the_62nd() -> None:
    assert decode(f"{MAX_COUNT - 1:016x}", RegisterCode("u64", 0)) == (MAX_COUNT - 1, Quality.GOOD)


@pytest.mark.parametrize(
    ("raw", "type_name", "count"),
    [
        ("020100", "i32", 0),
        ("0201ff", "i32", -1),
        ("020300ffff", "i32", 65535),
        ("41050080000000", "u32", 1 << 31),
        ("420500ffffffff", "u32", (1 << 32) - 1),
        ("4604075bcd15", "u64", 123_456_789),
        ("02810105", "i32", 5),
        ("020480000000", "i32", -(1 << 31)),
        ("02047fffffff", "i32", (1 << 31) - 1),
        ("420100", "u32", 0),
    ],
)
def test_snmp_integers_of_every_kind_are_read(raw: str, type_name: str, count: int) -> None:
    assert decode(raw, ObjectCode(type_name, 0)) == (count, Quality.GOOD)


@pytest.mark.parametrize(
    ("raw", "code", "quality"),
    [
        ("8000", ObjectCode("u32", 0), Quality.UNSUPPORTED),
        ("8100", ObjectCode("u32", 0), Quality.UNSUPPORTED),
        ("8200", ObjectCode("u32", 0), Quality.UNSUPPORTED),
        ("808100", ObjectCode("u32", 0), Quality.UNSUPPORTED),
        ("8080", ObjectCode("u32", 0), Quality.MALFORMED),
        ("0201ff", ObjectCode("i32", 0, sentinels=frozenset({-1})), Quality.SENTINEL),
        ("0201ff", ObjectCode("u32", 0), Quality.RANGE),
        ("02050100000000", ObjectCode("i32", 0), Quality.RANGE),
        ("02050080000000", ObjectCode("i32", 0), Quality.RANGE),
        ("0205ff7fffffff", ObjectCode("i32", 0), Quality.RANGE),
        ("46050100000000", ObjectCode("u32", 0), Quality.RANGE),
        ("46084000000000000000", ObjectCode("u64", 0), Quality.RANGE),
        ("0500", ObjectCode("u32", 0), Quality.MALFORMED),
        ("040131", ObjectCode("u32", 0), Quality.MALFORMED),
        ("0200", ObjectCode("u32", 0), Quality.MALFORMED),
        ("4204ffffffff", ObjectCode("u32", 0), Quality.MALFORMED),
        ("020105ff", ObjectCode("u32", 0), Quality.MALFORMED),
        ("0202", ObjectCode("u32", 0), Quality.MALFORMED),
        ("020205", ObjectCode("u32", 0), Quality.MALFORMED),
        ("028005", ObjectCode("u32", 0), Quality.MALFORMED),
        ("028f05", ObjectCode("u32", 0), Quality.MALFORMED),
        ("", ObjectCode("u32", 0), Quality.MALFORMED),
    ],
)
def test_what_is_no_snmp_value_has_a_reason(raw: str, code: Code, quality: Quality) -> None:
    assert decode(raw, code) == (None, quality)


SCALED = ObjectCode("u32", 0, digits_follow=True)


@pytest.mark.parametrize(
    ("raw", "count", "quality"),
    [
        ("42024e20" + "420100", 20_000, Quality.GOOD),
        ("42024e20" + "420103", 20, Quality.GOOD),
        ("42025b9f" + "420101", 2346, Quality.GOOD),
        ("42025b95" + "420101", 2344, Quality.GOOD),
        ("42024e20", None, Quality.MALFORMED),
        ("42024e20" + "8100", None, Quality.UNSUPPORTED),
        ("42024e20" + "0201ff", None, Quality.RANGE),
        ("42024e20" + "420112", 0, Quality.GOOD),
        ("42024e20" + "420113", None, Quality.RANGE),
        ("42024e20" + "42010000", None, Quality.MALFORMED),
        ("8100" + "8100", None, Quality.UNSUPPORTED),
    ],
)
def test_a_value_with_the_devices_own_decimal_digits(raw: str, count: int | None, quality: Quality) -> None:
    assert decode(raw, SCALED) == (count, quality)
