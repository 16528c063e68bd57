"""Identifiers other authorities assign: enterprises by GB 32100, regions by GB/T 2260."""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources

from compliance.queries import Region

USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""Digits of GB 32100: no I, O, S, V, Z."""
USCC_LENGTH = 18
_WEIGHTS = tuple(pow(3, place, 31) for place in range(USCC_LENGTH - 1))


def uscc_check_digit(body: str) -> str:
    """Return the 18th character for the first 17 of a unified social credit code.

    References
    ----------
    GB 32100-2015, section 5: C18 = 31 - MOD(sum of digit x 3**(place-1), 31).
    """
    total = sum(USCC_ALPHABET.index(digit) * weight for digit, weight in zip(body, _WEIGHTS, strict=True))
    return USCC_ALPHABET[-total % 31]


def check_uscc(text: str) -> str:
    """Return the code, or raise ValueError saying what is wrong with it."""
    if len(text) != USCC_LENGTH:
        raise ValueError(f"a unified social credit code has {USCC_LENGTH} characters, this one {len(text)}")
    if strange := sorted(set(text) - set(USCC_ALPHABET)):
        raise ValueError(f"characters {', '.join(strange)} do not occur in a unified social credit code (GB 32100)")
    if (right := uscc_check_digit(text[:-1])) != text[-1]:
        raise ValueError(
            f"check digit is {text[-1]} but the other 17 characters call for {right}; look for a typing error"
        )
    return text


@cache
def regions() -> tuple[Region, ...]:
    """Provinces, and Yunnan's prefectures, by code."""
    text = (resources.files("compliance") / "data" / "regions.csv").read_text(encoding="utf-8")
    return tuple(Region(**row) for row in csv.DictReader(text.splitlines()))  # type: ignore[arg-type]  # level's two texts


def region_prefix(gb2260: str) -> str:
    """Shorten a code to the digits that select: 530000 -> 53, 530100 -> 5301, 530102 stays."""
    return gb2260.removesuffix("00").removesuffix("00") if len(gb2260) == 6 else gb2260


def check_region(text: str) -> str:
    """Return a six-digit code of a prefecture or county, or raise ValueError saying what is wrong with it."""
    if len(text) != 6 or not text.isascii() or not text.isdigit():
        raise ValueError("a GB/T 2260 code has six digits, e.g. 530100")
    known = {region.gb2260 for region in regions()}
    if f"{text[:2]}0000" not in known:
        raise ValueError(f"no province has the code {text[:2]}0000 (GB/T 2260)")
    if text[2:4] == "00":
        raise ValueError("a facility stands in a prefecture: give its code or its county's, not the province's")
    has_prefectures = any(code[:2] == text[:2] and code[2:4] != "00" for code in known)
    if has_prefectures and f"{text[:4]}00" not in known:
        raise ValueError(f"no prefecture has the code {text[:4]}00 (GB/T 2260)")
    return text
