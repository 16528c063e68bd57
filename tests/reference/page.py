"""Numbers of METHOD.md, read from the page: whoever changes one there changes the reference with it.

A number is named by the words around it, with `#` in its place. Words that are gone, or that stand there twice with
different numbers, are an error.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "pue" / "METHOD.md"
TEXT = " ".join(PAGE.read_text(encoding="utf-8").split())
NUMBER = r"(\d[\d,]*(?:\.\d+)?)"


@cache
def number(words: str) -> Fraction:
    """The number that stands at `#` between these words of the page."""
    pattern = NUMBER.join(re.escape(part) for part in words.split("#"))
    found = {Fraction(text.replace(",", "").rstrip(",")) for text in re.findall(pattern, TEXT)}
    if len(found) != 1:
        raise LookupError(f"METHOD.md has {len(found)} numbers at {words!r}: this reference has to be read again")
    return found.pop()


@cache
def whole(words: str) -> int:
    """As `number`, for one that has no decimals."""
    found = number(words)
    if found.denominator != 1:
        raise LookupError(f"METHOD.md has {found} at {words!r}, which is no whole number")
    return int(found)
