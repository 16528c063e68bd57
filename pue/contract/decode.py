"""What a meter sent, as an integer count: Modbus words and SNMP values of any origin, without guessing."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

from pue.contract.quality import Quality

MAX_COUNT = 1 << 62
"""A count of this size or more is not carried: quality `range`."""

_BITS = {"u16": 16, "i16": 16, "u32": 32, "i32": 32, "f32": 32, "u64": 64, "i64": 64, "f64": 64}
_FLOATS = {"f32": ">f", "f64": ">d"}

_INTEGER_TAGS = {0x02: True, 0x41: False, 0x42: False, 0x43: False, 0x46: False, 0x47: False}
"""BER tag of an integer value -> may be negative: INTEGER, Counter32, Gauge32, TimeTicks, Counter64, Unsigned32."""
_ABSENT_TAGS = {0x80, 0x81, 0x82}
"""noSuchObject, noSuchInstance, endOfMibView."""
_MAX_DIGITS = 18
# The largest double has 309 digits, one near half a count less than 100: nothing is rounded before `_round` does it.
_CONTEXT = Context(prec=400, rounding=ROUND_HALF_EVEN)

Decoded = tuple[int | None, Quality]


@dataclass(frozen=True, slots=True)
class RegisterCode:
    """How Modbus registers hold one quantity.

    Attributes
    ----------
    type
        u16 i16 u32 i32 u64 i64 f32 f64.
    exponent
        Decimal exponent of one count in the declared unit. [-]
    low_word_first
        The least significant word comes first.
    sentinels
        Raw words, in hexadecimal, that mean "no value".
    """

    type: str
    exponent: int
    low_word_first: bool = False
    sentinels: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ObjectCode:
    """How an SNMP object holds one quantity.

    Attributes
    ----------
    type
        i32 u32 u64: the range a value must lie in.
    exponent
        Decimal exponent of one count in the declared unit. [-]
    digits_follow
        The raw bytes hold a second value: the device's own number of decimal digits.
    sentinels
        Values that mean "no value".
    """

    type: str
    exponent: int
    digits_follow: bool = False
    sentinels: frozenset[int] = frozenset()


Code = RegisterCode | ObjectCode


def words_of(type_name: str) -> int:
    """Length of a value. [16-bit registers]"""
    return _BITS[type_name] // 16


def decode(raw: str, code: Code) -> Decoded:
    """Read one value.

    Parameters
    ----------
    raw
        Modbus words or the SNMP value's BER, in hexadecimal.
    code
        How the meter's profile says it is held.

    Returns
    -------
    tuple[int | None, Quality]
        The count at the code's exponent, before CT and PT, and `GOOD`; or None and the reason.
    """
    try:
        data = bytes.fromhex(raw)
    except ValueError:
        return None, Quality.MALFORMED
    if isinstance(code, RegisterCode):
        return _registers(data, code)
    return _objects(data, code)


def _registers(data: bytes, code: RegisterCode) -> Decoded:
    if len(data) * 8 != _BITS[code.type]:
        return None, Quality.MALFORMED
    # Before the words change places: a profile gives sentinels as they come over the wire.
    if data.hex() in code.sentinels:
        return None, Quality.SENTINEL
    if code.low_word_first:
        # Words change places, the two bytes in each do not: 0001 86A0 comes as 86A0 0001.
        data = b"".join(data[at : at + 2] for at in range(len(data) - 2, -1, -2))
    if code.type in _FLOATS:
        return _float(struct.unpack(_FLOATS[code.type], data)[0], code.exponent)
    return _bounded(int.from_bytes(data, "big", signed=code.type.startswith("i")))


def _float(value: float, exponent: int) -> Decoded:
    # No profile has to list NaN: IEEE 754 has many patterns of it, and none is a value.
    if math.isnan(value):
        return None, Quality.SENTINEL
    if math.isinf(value):
        return None, Quality.RANGE
    return _bounded(_round(Decimal(value), exponent))


def _round(value: Decimal, exponent: int) -> int:
    """Counts of 10**exponent in a value, half to even; a binary float is an exact decimal, so this rounds once."""
    return int(_CONTEXT.to_integral_value(_CONTEXT.scaleb(value, -exponent)))


def _bounded(count: int) -> Decoded:
    if abs(count) >= MAX_COUNT:
        return None, Quality.RANGE
    return count, Quality.GOOD


def _objects(data: bytes, code: ObjectCode) -> Decoded:
    first = _take(data)
    if first is None:
        return None, Quality.MALFORMED
    tag, content, rest = first
    value, quality = _integer(tag, content)
    if value is None:
        return None, quality
    if value in code.sentinels:
        return None, Quality.SENTINEL
    if not _fits(value, code.type):
        return None, Quality.RANGE
    if not code.digits_follow:
        return _bounded(value) if not rest else (None, Quality.MALFORMED)
    return _scaled(value, rest, code.exponent)


def _scaled(value: int, rest: bytes, exponent: int) -> Decoded:
    """Value x 10**-digits, with the device's own digits; rounds only where the device is finer than the profile."""
    second = _take(rest)
    if second is None or second[2]:
        return None, Quality.MALFORMED
    digits, quality = _integer(second[0], second[1])
    if digits is None:
        return None, quality
    if not 0 <= digits <= _MAX_DIGITS:
        return None, Quality.RANGE
    return _bounded(_round(_CONTEXT.scaleb(Decimal(value), -digits), exponent))


def _take(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Tag and content of the first BER value of definite length, and what follows it."""
    if len(data) < 2:
        return None
    tag = data[0]
    length = data[1]
    start = 2
    # BER: below 128 this byte is the length, else it says in how many bytes the length follows. 0x80 alone would be
    # "indefinite", which SNMP does not use.
    if length & 0x80:
        start = 2 + (length & 0x7F)
        if length == 0x80:
            return None
        length = int.from_bytes(data[2:start], "big")
    if len(data) < start + length:
        return None
    return tag, data[start : start + length], data[start + length :]


def _integer(tag: int, content: bytes) -> Decoded:
    if tag in _ABSENT_TAGS:
        return None, Quality.UNSUPPORTED
    if tag not in _INTEGER_TAGS or not content:
        return None, Quality.MALFORMED
    # BER writes unsigned values as signed ones, with a zero byte before a first bit that is set: none is negative.
    value = int.from_bytes(content, "big", signed=True)
    if value < 0 and not _INTEGER_TAGS[tag]:
        return None, Quality.MALFORMED
    return value, Quality.GOOD


def _fits(value: int, type_name: str) -> bool:
    bits = _BITS[type_name]
    if type_name.startswith("i"):
        return -(1 << (bits - 1)) <= value < 1 << (bits - 1)
    return 0 <= value < 1 << bits
