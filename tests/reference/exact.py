"""METHOD.md, "Conventions": whole joules, milliseconds, and how a fraction becomes one of them."""

from __future__ import annotations

import math
from fractions import Fraction

from tests.reference.page import whole

SLOT_MS = whole("A slot starts at a multiple of # ms")
OUT_OF_RANGE = 2 ** whole("A value of 2^# J or more is out of range")
MILLI = 1000


def half_up(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


def ceil_div(value: int, by: int) -> int:
    return -(-value // by)


def slot_of(time_ms: int) -> int:
    """Start of the slot a moment lies in."""
    return time_ms // SLOT_MS * SLOT_MS


def ceil_root(square: Fraction) -> int:
    """The smallest integer whose square is not below this: the root, rounded up."""
    least = math.isqrt(math.floor(square))
    return least if least * least >= square else least + 1
