"""Any bytes into the decoder give a count or a reason, never an exception and never both."""

from __future__ import annotations

import struct
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pue.contract.decode import MAX_COUNT, Code, ObjectCode, RegisterCode, decode
from pue.contract.quality import NO_VALUE, Quality

EXPONENTS = st.integers(-9, 9)
REGISTER_CODES = st.builds(
    RegisterCode, st.sampled_from(["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"]), EXPONENTS, st.booleans()
)
OBJECT_CODES = st.builds(ObjectCode, st.sampled_from(["i32", "u32", "u64"]), EXPONENTS, st.booleans())
CODES = st.one_of(REGISTER_CODES, OBJECT_CODES)
BER = st.builds(
    lambda tag, content: bytes((tag, len(content))) + content,
    st.sampled_from([0x02, 0x04, 0x05, 0x41, 0x42, 0x43, 0x46, 0x47, 0x80, 0x81, 0x82]),
    st.binary(max_size=12),
)


def check(raw: str, code: Code) -> None:
    count, quality = decode(raw, code)
    if count is None:
        assert quality & NO_VALUE
    else:
        assert quality == Quality.GOOD
        assert abs(count) < MAX_COUNT


@given(st.binary(max_size=20), CODES)
def test_any_bytes(data: bytes, code: Code) -> None:
    check(data.hex(), code)


@given(st.text(max_size=20), CODES)
def test_any_text(raw: str, code: Code) -> None:
    check(raw, code)


@given(st.lists(BER, max_size=3), OBJECT_CODES)
def test_anything_that_looks_like_ber(values: list[bytes], code: ObjectCode) -> None:
    check(b"".join(values).hex(), code)


@given(st.floats(allow_nan=False, allow_infinity=False), EXPONENTS)
def test_a_float_is_within_half_a_step_of_its_count(value: float, exponent: int) -> None:
    count, _ = decode(struct.pack(">d", value).hex(), RegisterCode("f64", exponent))
    if count is None:
        assert abs(value) >= (MAX_COUNT - 1) * Fraction(10) ** exponent
    else:
        assert abs(Fraction(value) - count * Fraction(10) ** exponent) <= Fraction(10) ** exponent / 2


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_a_64_bit_integer_is_itself_or_out_of_range(value: int) -> None:
    count, quality = decode(struct.pack(">q", value).hex(), RegisterCode("i64", 0))
    assert count == value if abs(value) < MAX_COUNT else quality == Quality.RANGE
