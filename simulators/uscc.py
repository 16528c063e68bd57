"""Unified social credit codes with valid check characters (GB 32100-2015, GB 11714-1997), for invented enterprises."""

from __future__ import annotations

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""Character values 0-30 of GB 32100: no I, O, S, V, Z."""

_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)


def organisation_check(body: str) -> str:
    """Check character of an eight-character organisation code, GB 11714: 0-9 or X."""
    total = sum(weight * int(char, 36) for weight, char in zip(_ORGANISATION_WEIGHTS, body, strict=True))
    return "0123456789X0"[(11 - total % 11) % 11]


def check(first17: str) -> str:
    """Check character of a unified social credit code: weights are powers of 3 modulo 31."""
    total = sum(pow(3, place, 31) * ALPHABET.index(char) for place, char in enumerate(first17))
    return ALPHABET[-total % 31]


def code(region: str, organisation: str) -> str:
    """Build the code of an enterprise (9, 1), registered in a region, with an organisation code's first eight."""
    first17 = f"91{region}{organisation}{organisation_check(organisation)}"
    return first17 + check(first17)
