from __future__ import annotations

import random

import pytest

from compliance.identifiers import USCC_ALPHABET, check_region, check_uscc, region_prefix, regions, uscc_check_digit


@pytest.mark.parametrize(
    "code",
    ["91110000802100433B", "91330100799655058B", "9144030071526726XG", "91440300708461136T", "91110000600037341L"],
)
def test_codes_of_real_enterprises_are_accepted(code: str) -> None:
    assert check_uscc(code) == code


def test_every_substitution_and_every_swap_of_neighbours_is_caught() -> None:
    dice = random.Random(31)
    body = "".join(dice.choices(USCC_ALPHABET, k=17))
    code = body + uscc_check_digit(body)
    wrong = [code[:i] + digit + code[i + 1 :] for i in range(18) for digit in USCC_ALPHABET if digit != code[i]]
    wrong += [code[:i] + code[i + 1] + code[i] + code[i + 2 :] for i in range(16) if code[i] != code[i + 1]]
    for one in wrong:
        with pytest.raises(ValueError, match="check digit"):
            check_uscc(one)


def test_a_letter_may_come_first() -> None:
    body = "N2530100MA6K00001"
    assert check_uscc(body + uscc_check_digit(body))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("9111000080210043", "has 18 characters, this one 16"),
        ("91110000802100433O", "characters O do not occur"),
        ("91110000802100433b", "characters b do not occur"),
        ("91110000802100433C", "check digit is C but the other 17 characters call for B"),
    ],
)
def test_a_wrong_code_says_what_is_wrong(code: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_uscc(code)


def test_the_table_holds_yunnans_sixteen_prefectures_and_thirty_one_provinces() -> None:
    codes = [region.gb2260 for region in regions()]
    assert sum(region.level == "prefecture" for region in regions()) == 16
    assert sum(region.level == "province" for region in regions()) == 31
    assert codes == sorted(codes)
    assert "530200" not in codes


@pytest.mark.parametrize("code", ["530100", "530114", "533400", "110101"])
def test_prefectures_and_counties_are_places_for_a_facility(code: str) -> None:
    assert check_region(code) == code


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("5301", "six digits"),
        ("53010a", "six digits"),
        ("５３０１００", "six digits"),
        ("990100", "no province has the code 990000"),
        ("530000", "not the province's"),
        ("530200", "no prefecture has the code 530200"),
    ],
)
def test_a_wrong_region_says_what_is_wrong(code: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_region(code)


@pytest.mark.parametrize(
    ("code", "prefix"), [("530000", "53"), ("530100", "5301"), ("530102", "530102"), ("53", "53"), ("", "")]
)
def test_trailing_zeros_of_a_code_do_not_select(code: str, prefix: str) -> None:
    assert region_prefix(code) == prefix
