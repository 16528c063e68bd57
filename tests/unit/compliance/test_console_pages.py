"""What the pages say, asked over HTTP from a made-up province."""

from __future__ import annotations

import dataclasses
import gzip
import re
from html.parser import HTMLParser

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from compliance.console.routes import POLICY, router
from tests.unit.compliance.console_fake import SITES, FakeQueries

PAGES = ("/console", "/console/facilities/qj01", "/console/facilities/dl01", "/console/facilities/none", "/console/x/y")


def client(queries: FakeQueries | None = None) -> TestClient:
    app, given = FastAPI(), queries or FakeQueries()
    app.include_router(router(lambda _request: given))
    return TestClient(app)


def names(html: str) -> list[str]:
    """Facilities of the table, from top to bottom."""
    return re.findall(r'<th scope="row" class="c-name"><a [^>]*>([^<]+)</a>', html)


class Outline(HTMLParser):
    """Checks that tags close in order and collects what has to be unique or present."""

    VOID = frozenset({"meta", "link", "br", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert "style" not in given
        assert not any(name.startswith("on") for name in given)
        self.tags.append(tag)
        self.ids += [value for name in ("id",) if (value := given.get(name))]
        self.links += [value for name in ("href", "src") if (value := given.get(name))]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("path", PAGES)
def test_page_is_well_formed_and_stays_on_this_host(path: str, language: str) -> None:
    answer = client().get(path, params={"lang": language})
    outline = Outline()
    outline.feed(answer.text)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert {"header", "main", "footer", "nav", "h1"} <= set(outline.tags)
    assert outline.tags.count("table") == answer.text.count("<caption>")
    assert all(link.startswith(("/", "#")) for link in outline.links)
    assert answer.headers["content-security-policy"] == POLICY
    assert f'<html lang="{"zh-CN" if language == "zh" else "en"}">' in answer.text


def test_a_meter_whose_class_nobody_registered_says_so() -> None:
    page = client().get("/console/facilities/qj01", params={"lang": "zh"}).text
    assert page.count("<td>0.2S · 2000/5</td>") == 2
    assert page.count("<td>等级未登记 · 1</td>") == 1


def test_root_leads_to_the_console() -> None:
    answer = client().get("/", follow_redirects=False)
    assert answer.is_redirect
    assert answer.headers["location"] == "/console"


@pytest.mark.parametrize("path", PAGES)
def test_every_page_says_that_the_data_are_made_up(path: str) -> None:
    assert "演示数据" in client().get(path).text
    assert "演示数据" not in client(FakeQueries(demo=False)).get(path).text


def test_worst_findings_stand_first() -> None:
    assert names(client().get("/console").text) == [
        "玉溪信息港机房", "滇东曲靖算力中心", "大理洱海云计算中心", "云瀚昆明一号数据中心", "红河云谷数据中心",
    ]  # fmt: skip


def test_table_sorts_by_link_both_ways() -> None:
    up = names(client().get("/console?sort=pue").text)
    down = names(client().get("/console?sort=pue&order=desc").text)
    assert up[0] == "云瀚昆明一号数据中心"
    assert up == down[::-1]
    html = client().get("/console?sort=pue").text
    assert re.search(
        r'class="c-pue" aria-sort="ascending"><a href="/console\?sort=pue&amp;order=desc#facilities"', html
    )


@pytest.mark.parametrize(
    "column", ["name", "prefecture", "class", "pue", "margin", "coverage", "finding", "alert", "since", "nonsense"]
)
def test_every_column_sorts(column: str) -> None:
    queries = FakeQueries()
    queries.sites = (*queries.sites, dataclasses.replace(SITES[0], id="zz", outcome="a_new_outcome"))
    assert len(names(client(queries).get("/console", params={"sort": column, "order": "desc"}).text)) == 6


def test_facilities_without_a_finding_stand_last_and_say_so() -> None:
    html = client(FakeQueries(without_data=True)).get("/console?sort=pue").text
    assert html.count('class="finding none"') == 5
    assert "pue-collector import" in html


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("outcome=compliant", {"云瀚昆明一号数据中心", "红河云谷数据中心"}),
        ("region=5304", {"玉溪信息港机房"}),
        ("class=new-large&outcome=indeterminate", {"滇东曲靖算力中心"}),
        ("alert=1&sort=name", {"滇东曲靖算力中心", "玉溪信息港机房", "大理洱海云计算中心"}),
        ("region=9999", set()),
    ],
)
def test_table_filters_by_link(query: str, expected: set[str]) -> None:
    html = client().get(f"/console?{query}").text
    assert set(names(html)) == expected
    assert "清除筛选" in html


def test_language_switch_and_links_keep_page_and_filters() -> None:
    html = client().get("/console?outcome=compliant&lang=en").text
    assert 'href="/console?outcome=compliant&amp;lang=zh"' in html
    assert 'href="/console/facilities/km01?lang=en"' in html
    assert "Compliant" in html
    assert "Yunhan Kunming DC 1" in html


def test_language_follows_the_browser() -> None:
    answer = client().get("/console", headers={"accept-language": "en-US,en;q=0.9"})
    assert answer.headers["content-language"] == "en"
    assert "accept-language" in answer.headers["vary"].lower()


def test_prefecture_shows_the_ratio_of_sums() -> None:
    queries = FakeQueries()
    big, small = dataclasses.replace(SITES[0], id="a1"), dataclasses.replace(SITES[2], id="a2", region="530100")
    queries.sites = (big, small)
    parts = [queries.pue(name, "ttm") for name in ("a1", "a2")]
    total, it = sum(part.total_j for part in parts if part), sum(part.it_j for part in parts if part)
    assert f"昆明：PUE {total / it:.3f}，2 个数据中心，1 个超限" in client(queries).get("/console").text


def test_empty_province_names_the_command_that_fills_it() -> None:
    html = client(FakeQueries(empty=True)).get("/console").text
    assert "pue-compliance import registry.toml" in html
    assert "<table" not in html


def test_a_time_before_the_first_registration_asks_for_no_import() -> None:
    html = client(FakeQueries(empty=True)).get("/console?valid_at=2020-01-01").text
    assert "在所选时点" in html
    assert "pue-compliance import" not in html
    assert "状态时点" in html


def test_draft_rules_are_called_not_binding() -> None:
    for path in ("/console", "/console/facilities/km01"):
        assert "征求意见稿：非约束" in client().get(path).text


def test_as_of_line_and_permanent_link_pin_both_times() -> None:
    html = client().get("/console").text
    assert "2026-11-23 13:45 UTC+8" in html
    assert "valid_at=2026-11-23T05%3A45%3A00%2B00%3A00" in html
    past = client().get("/console?valid_at=2026-07-01&known_at=2026-07-15").text
    assert "回到现在" in past
    assert "data-refresh-seconds" not in past
    assert "/console/facilities/km01?valid_at=2026-07-01&amp;known_at=2026-07-15" in past


def test_facility_shows_the_finding_with_its_grounds() -> None:
    html = client().get("/console/facilities/qj01").text
    for text in (
        "无法判定", "1.293", "≤ 1.3", "低 0.007", "±0.0031", "95.3%", "100.0%", "2025-11-01 – 2026-10-31",
        "PUE与限值之差小于测量不确定度的保护带", "（征求意见稿） · 条款 六", "保护带判定", "以此为准", "2026-03-01",
        "9f" * 32, "s0: 48,213 · s1: 51,977", "/v1/facilities/qj01/evidence", "30天 PUE 高于限值",
    ):  # fmt: skip
        assert text in html, text


def test_only_the_judged_period_is_called_judged() -> None:
    html = client().get("/console/facilities/km01").text
    rows = re.findall(r"<tr( class=\"judged-row\")?>\s*<th scope=\"row\" class=\"time\">([^<]+)</th>", html)
    assert [name for judged, name in rows if judged] == ["最近12个自然月"]
    assert html.count('<span class="quiet">运行值</span>') == 9


def test_meters_show_weights_and_marks() -> None:
    html = client().get("/console/facilities/dl01").text
    assert "表计翻转" in html
    assert "87.1%" in html
    assert html.count("raritan-px2") == 1


def test_facility_without_data_has_no_chart_and_no_finding() -> None:
    html = client(FakeQueries(without_data=True)).get("/console/facilities/km01").text
    assert "<figure" not in html
    assert "未测算" in html


@pytest.mark.parametrize(
    "query", ["range=days7", "range=x", "from=2026-07-01&to=2026-07-02", "from=1767225600000&to=1767225600001"]
)
def test_any_time_can_be_shown(query: str) -> None:
    answer = client().get(f"/console/facilities/km01?{query}")
    assert answer.status_code == 200
    assert 'id="trend-wide"' in answer.text


def test_the_past_lists_no_finding_that_was_recorded_later() -> None:
    now = client().get("/console/facilities/km01").text
    past = client().get("/console/facilities/km01?known_at=2020-01-01").text
    assert now.count("198") > past.count("198")


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("from=yesterday", "“yesterday”不是时间"),
        ("from=2026-07-02&to=2026-07-01", "开始必须早于结束"),
        ("valid_at=never", "“never”不是时间"),
        ("valid_at=0001-01-01T00:00:00%2B14:00", "不是时间"),
        ("known_at=9999-12-31T23:59:59-14:00", "不是时间"),
        ("from=999999999999999", "“999999999999999”不是时间"),
        ("to=9999-12-31T00:00:00Z", "不是时间"),
    ],
)
def test_a_parameter_that_cannot_be_read_is_named(query: str, sentence: str) -> None:
    answer = client().get(f"/console/facilities/km01?{query}")
    assert answer.status_code == 400
    assert sentence in answer.text


@pytest.mark.parametrize(
    ("language", "sentence"), [("zh", "没有编号为“nix”的数据中心"), ("en", "no data center “nix”")]
)
def test_unknown_facility_is_a_page_in_the_readers_language(language: str, sentence: str) -> None:
    answer = client().get("/console/facilities/nix", headers={"accept-language": language})
    assert answer.status_code == 404
    assert sentence in answer.text
    assert answer.headers["content-type"].startswith("text/html")


def test_names_are_escaped_everywhere() -> None:
    queries = FakeQueries()
    queries.sites = (dataclasses.replace(SITES[1], name='<b>"A&B"</b>', name_en="<script>x</script>"),)
    for path in (
        "/console",
        "/console/facilities/qj01",
        "/console/facilities/%3Cb%3E",
        "/console?region=%22%3E%3Cb%3E",
    ):
        html = client(queries).get(path).text
        assert '<b>"A' not in html
        assert "<script>x" not in html
    assert "&lt;b&gt;" in client(queries).get("/console/facilities/qj01").text


def test_page_with_two_hundred_facilities_is_small() -> None:
    html = client(FakeQueries(extra=195)).get("/console").text
    assert len(names(html)) == 200
    assert len(gzip.compress(html.encode(), 6)) < 60_000


def test_static_files_are_cached_for_good_under_an_address_of_their_content() -> None:
    one = client()
    html = one.get("/console").text
    addresses = set(re.findall(r'(?:href|src)="(/console/static/[^"]+)"', html))
    assert len(addresses) == 3
    for address in addresses:
        answer = one.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert one.get("/console/static/nothing.css").status_code == 404


def test_pages_are_revalidated_on_every_visit() -> None:
    assert client().get("/console").headers["cache-control"] == "no-cache"
