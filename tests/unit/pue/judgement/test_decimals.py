"""A PUE as text never crosses a limit."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pue.judgement.findings import show_pue


@pytest.mark.parametrize(
    ("pue", "text"),
    [
        ("1.5", "1.50"),
        ("1.5004", "1.5004"),
        ("1.4996", "1.4996"),
        ("1.499999", "1.499999"),
        ("1.3004", "1.3004"),
        ("1.284", "1.28"),
        ("1.286", "1.29"),
        ("1.2549", "1.255"),
        ("2", "2.00"),
        ("0.996", "0.996"),
    ],
)
def test_two_places_unless_they_would_touch_a_multiple_of_five_hundredths(pue: str, text: str) -> None:
    assert show_pue(Fraction(pue)) == text


def test_a_stated_limit_is_kept_apart_whatever_its_decimals() -> None:
    assert show_pue(Fraction("1.2371"), 2, [Fraction("1.237")]) == "1.24"
    assert show_pue(Fraction("1.2371"), 3, [Fraction("1.237")]) == "1.2371"
    assert show_pue(Fraction("1.237"), 1, [Fraction("1.237")]) == "1.237"


def test_rounding_goes_where_it_is_told() -> None:
    third = Fraction(4, 3)
    assert [show_pue(third, 3, [], direction) for direction in (-1, 0, 1)] == ["1.333", "1.333", "1.334"]
    assert show_pue(Fraction("1.29999"), 2, [Fraction("1.3")], 1) == "1.29999"


def test_whole_numbers_and_negative_values_are_written_out() -> None:
    assert show_pue(Fraction(7), 0) == "7"
    assert show_pue(Fraction("-0.5"), 2) == "-0.50"
    assert show_pue(Fraction("-1.333"), 2, []) == "-1.33"
