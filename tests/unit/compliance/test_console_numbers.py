"""Numbers for people never say more, or other, than the exact ones."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from compliance.console import numbers, words
from compliance.console.language import load_texts

ZONE = ZoneInfo("Asia/Shanghai")
LIMITS = (Fraction("1.3"), Fraction("1.5"))


@pytest.mark.parametrize(
    ("text", "direction", "shown"),
    [
        ("1.254321", 0, "1.254"),
        ("1.300000", 0, "1.300"),
        ("1.300400", 0, "1.3004"),
        ("1.299960", 0, "1.29996"),
        ("1.500001", 0, "1.500001"),
        ("1.549996", 0, "1.550"),
        ("1.299100", 1, "1.2991"),
        ("1.254321", 1, "1.255"),
        ("1.254321", -1, "1.254"),
        (None, 0, "—"),
    ],
)
def test_ratio_keeps_its_side_of_every_limit(text: str | None, direction: int, shown: str) -> None:
    assert numbers.ratio(text, LIMITS, direction) == shown


@pytest.mark.parametrize(("text", "shown"), [("1.000000", "100.0%"), ("0.999999", "99.9%"), ("0", "0.0%"), (None, "—")])
def test_share_is_rounded_down(text: str | None, shown: str) -> None:
    assert numbers.percent(text) == shown


@pytest.mark.parametrize(
    ("joules", "shown"),
    [
        (3_600_000, "1.0 kWh"),
        (9_999 * 3_600_000, "9,999.0 kWh"),
        (12_345_678 * 3_600_000, "12,345.7 MWh"),
        (-7_200_000, "−2.0 kWh"),
        (0, "0.0 kWh"),
        (None, "—"),
    ],
)
def test_energy_is_in_kilowatt_hours_and_megawatt_hours(joules: int | None, shown: str) -> None:
    assert numbers.energy(joules) == shown


@pytest.mark.parametrize(
    ("text", "zh", "en"),
    [
        ("0.052000", "低 0.052", "0.052 below"),
        ("-0.081000", "超 0.081", "0.081 over"),
        ("-0.000400", "超 0.0004", "0.0004 over"),
        ("0.000000", "等于限值", "at the limit"),
        (None, "—", "—"),
    ],
)
def test_margin_never_vanishes(text: str | None, zh: str, en: str) -> None:
    assert [words.margin(text, load_texts()[language]) for language in ("zh", "en")] == [zh, en]


@pytest.mark.parametrize(
    ("comparator", "limit", "shown"),
    [("<=", "1.3", "≤ 1.3"), (">", "1.500000", "> 1.5"), ("<", "10", "< 10"), (None, None, "—")],
)
def test_limit_reads_as_in_its_rule(comparator: str | None, limit: str | None, shown: str) -> None:
    assert numbers.limit(comparator, limit) == shown


def ms(*parts: int) -> int:
    return round(datetime(*parts, tzinfo=ZONE).timestamp() * 1000)  # type: ignore[arg-type, misc]  # date parts


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        (ms(2025, 11, 1), ms(2026, 11, 1), "2025-11-01 – 2026-10-31"),
        (ms(2026, 11, 22), ms(2026, 11, 23), "2026-11-22"),
        (ms(2026, 11, 23, 12, 45), ms(2026, 11, 23, 13, 45), "2026-11-23 12:45 – 13:45"),
        (ms(2026, 11, 22, 13, 45), ms(2026, 11, 23, 13, 45), "2026-11-22 13:45 – 2026-11-23 13:45"),
        (None, None, "—"),
    ],
)
def test_whole_days_are_named_by_first_and_last(start: int | None, end: int | None, shown: str) -> None:
    assert numbers.period(start, end, ZONE) == shown


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Asia/Shanghai", "2026-01-31 20:00 UTC+8"),
        ("America/St_Johns", "2026-01-31 08:30 UTC−3:30"),
        ("UTC", "2026-01-31 12:00 UTC+0"),
    ],
)
def test_moment_carries_its_offset(zone: str, shown: str) -> None:
    assert numbers.local(datetime(2026, 1, 31, 12, tzinfo=UTC), ZoneInfo(zone)) == shown
