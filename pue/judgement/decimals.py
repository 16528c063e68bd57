"""Exact values as decimal text that never crosses a limit."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import ceil, floor


def show_pue(
    pue: Fraction,
    places: int = 2,
    limits: Iterable[Fraction] | None = None,
    direction: int = 0,
) -> str:
    """A PUE as decimal text that never crosses a limit.

    Parameters
    ----------
    pue
        The value, exact. [-]
    places
        Fewest decimals; more are shown where fewer would put the text on, or on the other side of, a limit.
    limits
        Limits it must not cross; None means the multiples of 0.05 on both sides.
    direction
        -1 rounds down, 0 to the nearest, +1 up.
    """
    around = (Fraction(floor(pue * 20), 20), Fraction(ceil(pue * 20), 20)) if limits is None else tuple(limits)
    while True:
        rounded = _rounded(pue, places, direction)
        # 1.3004 against 1.3 is 1.30 with two decimals, on the limit, and 1.300 with three: four are shown. It ends, for
        # a limit is a decimal, and another value differs from it in some place.
        if all(_side(rounded, limit) == _side(pue, limit) for limit in around):
            return _decimal(rounded, places)
        places += 1


def _rounded(value: Fraction, places: int, direction: int) -> Fraction:
    scaled = value * 10**places
    digits = round(scaled) if direction == 0 else ceil(scaled) if direction > 0 else floor(scaled)
    return Fraction(digits, 10**places)


def _side(value: Fraction, limit: Fraction) -> int:
    return (value > limit) - (value < limit)


def _decimal(value: Fraction, places: int) -> str:
    """A fraction that is a whole number of 10**-places, as text."""
    digits = int(abs(value) * 10**places)
    sign = "-" if value < 0 else ""
    whole, rest = divmod(digits, 10**places)
    return f"{sign}{whole}.{rest:0{places}d}" if places else f"{sign}{whole}"
