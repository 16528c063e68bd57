"""Charts keep every extreme, leave gaps open and say what they show."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from compliance.console import marks, svg, tiles
from compliance.console.ticks import ratio_ticks, time_ticks
from pue.contract.series import SLOT_MS

ZONE = ZoneInfo("Asia/Shanghai")
YEAR_MS = 365 * 86_400_000
START_MS = 1_763_827_200_000
WORDS = svg.Words("PUE <of> one", "described", tuple(f"{month}月" for month in range(1, 13)), "无数据", "beyond")
LIMITS = (svg.LimitLine(1.3, "≤ 1.3", "限值", applies=True), svg.LimitLine(1.5, "> 1.5", "不适用", applies=False))
NAMESPACE = "{http://www.w3.org/2000/svg}"


def trend(pue: np.ndarray, to_ms: int = START_MS + YEAR_MS, rolling: np.ndarray | None = None) -> svg.Trend:
    times = START_MS + SLOT_MS * np.arange(1, len(pue) + 1)
    slow = np.full(len(pue), np.nan) if rolling is None else rolling
    return svg.Trend(START_MS, to_ms, SLOT_MS, times, pue, times, slow, LIMITS, None, ZONE)


def year(seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(1.28, 0.01, YEAR_MS // SLOT_MS)


def parse(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.replace("<svg ", f'<svg xmlns="{NAMESPACE[1:-1]}" ', 1))


def drawn_values(chart: ElementTree.Element, kind: str) -> list[float]:
    """Ratios of all points of a path, read back from its coordinates."""
    path = next(node for node in chart.iter(f"{NAMESPACE}path") if node.get("class") == kind)
    heights = [float(pair.split()[1]) for pair in re.findall(r"-?[\d.]+ -?[\d.]+", path.get("d", ""))]
    bottom, top = float(chart.get("data-scale-bottom", "")), float(chart.get("data-scale-top", ""))
    height = float(chart.get("viewBox", "").split()[3])
    floor, ceiling = height - float(chart.get("data-bottom", "")), float(chart.get("data-top", ""))
    return [bottom + (floor - y) / (floor - ceiling) * (top - bottom) for y in heights]


def test_highest_point_of_the_chart_is_the_series_maximum() -> None:
    values = year()
    values[12_345] = 1.731
    values[777] = 1.087
    drawn = drawn_values(parse(svg.trend_chart(trend(values), WORDS, svg.WIDE, "t")), "band")
    assert max(drawn) == pytest.approx(1.731, abs=2e-4)
    assert min(drawn) == pytest.approx(1.087, abs=2e-4)


def test_all_single_interval_exceedances_are_drawn() -> None:
    values = year()
    places = np.linspace(100, len(values) - 100, 60).astype(int)
    values[places] = 1.55
    drawn = drawn_values(parse(svg.trend_chart(trend(values), WORDS, svg.WIDE, "t")), "band")
    assert sum(value > 1.5 for value in drawn) == 60


def test_columns_agree_with_a_plain_loop() -> None:
    values, count = year(3), 97
    values[500:700] = np.nan
    one = trend(values)
    got = svg.columns(one.time_ms, one.pue, one.from_ms, one.to_ms, count)
    expected: dict[int, list[float]] = {}
    for time_ms, value in zip(one.time_ms.tolist(), values.tolist(), strict=True):
        if not np.isnan(value):
            expected.setdefault((time_ms - 1 - one.from_ms) * count // (one.to_ms - one.from_ms), []).append(value)
    assert got.high.tolist() == [max(expected[index]) for index in range(count)]
    assert got.low.tolist() == [min(expected[index]) for index in range(count)]


def test_gaps_stay_gaps() -> None:
    values = year()
    values[10_000:12_000] = np.nan
    one = trend(values)
    assert svg.gaps(one) == [(START_MS + 10_000 * SLOT_MS, START_MS + 12_000 * SLOT_MS)]
    chart = parse(svg.trend_chart(one, WORDS, svg.WIDE, "t"))
    band = next(node for node in chart.iter(f"{NAMESPACE}path") if node.get("class") == "band")
    assert band.get("d", "").count("M") == 2
    hatched = [node for node in chart.iter(f"{NAMESPACE}rect") if node.get("fill") == "url(#t-hatch)"]
    assert len(hatched) == 1


def test_intervals_that_are_absent_are_gaps_too() -> None:
    one = trend(year())
    keep = np.r_[0:1000, 1100 : len(one.pue)]
    assert svg.gaps(replace(one, time_ms=one.time_ms[keep], pue=one.pue[keep])) == [
        (START_MS + 1000 * SLOT_MS, START_MS + 1100 * SLOT_MS)
    ]


def test_few_points_are_joined_by_a_line_broken_at_gaps() -> None:
    values = np.full(7 * 96, 1.27)
    values[100] = 1.52
    values[300:310] = np.nan
    one = trend(values, to_ms=START_MS + 7 * 86_400_000)
    chart = parse(svg.trend_chart(one, WORDS, svg.WIDE, "t"))
    line = next(node for node in chart.iter(f"{NAMESPACE}path") if node.get("class") == "fast")
    assert line.get("d", "").count("M") == 2
    assert max(drawn_values(chart, "fast")) == pytest.approx(1.52, abs=2e-4)


def test_rare_extremes_do_not_flatten_the_year_and_are_marked() -> None:
    values = year()
    values[20_000] = 37.0
    chart = parse(svg.trend_chart(trend(values), WORDS, svg.WIDE, "t"))
    assert float(chart.get("data-scale-top", "")) <= 2.1
    assert len([node for node in chart.iter(f"{NAMESPACE}path") if node.get("class") == "off"]) == 1
    assert "37000" in (chart.get("data-high") or "").split(",")


def test_rolling_line_above_an_applying_limit_is_drawn_again() -> None:
    values = year()
    over = svg.trend_chart(trend(values, rolling=np.linspace(1.2, 1.4, len(values))), WORDS, svg.WIDE, "t")
    under = svg.trend_chart(trend(values, rolling=np.linspace(1.2, 1.29, len(values))), WORDS, svg.WIDE, "t")
    assert "rolling-over" in over
    assert "rolling-over" not in under


def test_chart_without_any_data_still_shows_limits_and_time() -> None:
    chart = svg.trend_chart(trend(np.full(100, np.nan)), WORDS, svg.NARROW, "t")
    assert "≤ 1.3" in chart
    assert "无数据" in chart
    parse(chart)


def test_chart_has_escaped_title_description_and_no_inline_style() -> None:
    chart = svg.trend_chart(trend(year()), WORDS, svg.WIDE, "t")
    assert "style=" not in chart
    assert "PUE &lt;of&gt; one" in chart
    root = parse(chart)
    assert root.get("aria-labelledby") == "t-title t-desc"
    assert root.find(f"{NAMESPACE}desc") is not None


def test_judged_period_is_drawn_over_its_own_time_only() -> None:
    half = START_MS + YEAR_MS // 2
    judged = svg.Judged(START_MS - YEAR_MS, half, 1.281)
    chart = parse(svg.trend_chart(replace(trend(year()), judged=judged), WORDS, svg.WIDE, "t"))
    path = next(node for node in chart.iter(f"{NAMESPACE}path") if node.get("class") == "judged")
    assert path.get("d", "").startswith(f"M{svg.WIDE.left:.1f} ")
    assert float(path.get("d", "").split("H")[1]) == pytest.approx(svg.WIDE.left + svg.WIDE.columns / 2, abs=0.1)


def test_values_under_the_pointer_never_reach_a_limit() -> None:
    values = np.array([1.3, 1.30004, 1.29996, 1.5004, np.nan])
    shown = svg.shown_thousandths(values, [1.3, 1.5])
    assert shown[:4].tolist() == [1300, 1301, 1299, 1501]
    assert np.isnan(shown[4])


def test_months_begin_at_local_midnight_also_across_a_change_of_clocks() -> None:
    zone = ZoneInfo("Europe/Berlin")
    start, end = (round(datetime(year, 1, 15, tzinfo=zone).timestamp() * 1000) for year in (2025, 2026))
    ticks = time_ticks(start, end, zone, 13, WORDS.months)
    local = [datetime.fromtimestamp(tick.time_ms / 1000, UTC).astimezone(zone) for tick in ticks]
    assert len(ticks) == 12
    assert {(one.day, one.hour) for one in local} == {(1, 0)}
    assert [tick.below for tick in ticks if tick.below] == ["2025", "2026"]


@pytest.mark.parametrize("days", [0.3, 1, 3, 7, 30, 61, 90, 365, 731])
def test_time_labels_fit_whatever_the_span(days: float) -> None:
    ticks = time_ticks(START_MS, START_MS + round(days * 86_400_000), ZONE, 6, WORDS.months)
    assert 1 <= len([tick for tick in ticks if tick.label]) <= 7


@pytest.mark.parametrize(("bottom", "top"), [(1.2, 1.6), (1.0, 1.05), (0.9, 3.1), (1.25, 20.0)])
def test_ratio_labels_are_few_and_inside(bottom: float, top: float) -> None:
    ticks = ratio_ticks(bottom, top)
    assert 2 <= len(ticks) <= 10
    assert all(bottom - 1e-9 <= value <= top + 1e-9 for value, _ in ticks)


def test_spread_puts_no_icon_on_the_other_side_of_a_limit() -> None:
    text = marks.spread([(1.299, "compliant"), (1.301, "non_compliant")] * 40, [1.3], "all")
    root = parse(text)
    line = next(node for node in root.iter(f"{NAMESPACE}path") if node.get("class") == "limit")
    edge = float(line.get("d", "M0 ")[1:].split()[0])
    for node in root.iter(f"{NAMESPACE}use"):
        middle = float(node.get("x", "")) + float(node.get("width", "")) / 2
        assert (middle <= edge) == (node.get("class") == "compliant")
        assert float(node.get("y", "")) >= 0


def test_open_bounds_reach_the_ends_of_the_ruler() -> None:
    assert 'x="14" y="28" width="392"' in marks.ruler(1.3, None, None, [])


def test_every_prefecture_has_one_place_of_its_own() -> None:
    places = tiles.places()
    assert len(places) == len(set(places.values())) == 16


def test_tile_levels_change_just_above_the_edges() -> None:
    assert [tiles.level(value, 1) for value in (1.3, 1.3001, 1.5, 1.5001)] == ["level0", "level1", "level1", "level2"]
    assert tiles.level(None, 1) == "unknown"
    assert tiles.level(None, 0) == "empty"
