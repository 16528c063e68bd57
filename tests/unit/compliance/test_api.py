from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from compliance.api.headers import SECURITY, matches
from compliance.api.problems import PROBLEMS
from compliance.app import Service, application, scope_of
from compliance.log import Event
from compliance.queries import LOOPBACK, NOBODY, Scope
from compliance.registry import import_registry
from compliance.registry_file import read_registry
from compliance.views import rule_view
from pue.contract.signing import Verifier
from pue.judgement.policy import load_profile
from tests.unit.compliance.made import (
    DAY_MS,
    DAY_SLOTS,
    IT_J,
    METER,
    START_MS,
    at,
    facility_toml,
    made_reader,
    made_service,
    registry_toml,
)

OPENAPI = Path(__file__).parents[3] / "compliance" / "openapi.json"
HERE = ("127.0.0.1", 50_000)
US = "http://127.0.0.1:8080"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    reader = made_reader(lambda _day: 1.36, 400)
    existing = made_reader(lambda _day: 1.42, 400, "qj01")
    reader.series |= existing.series
    service = made_service(tmp_path_factory.mktemp("service"), reader)
    text = registry_toml(
        facility_toml("km01"),
        facility_toml("qj01", region="530300", build="existing"),
        facility_toml("yx01", region="530400"),
    )
    import_registry(service.log, service.projection, read_registry(text, "registry.toml"), "test")
    service.evaluate()
    yield service
    service.close()


@pytest.fixture(scope="module")
def client(service: Service) -> TestClient:
    return TestClient(application(service.sources), client=HERE, base_url=US, raise_server_exceptions=False)


def scoped(service: Service, scope: Scope) -> TestClient:
    return TestClient(application(service.sources, lambda _request: scope), client=HERE, base_url=US)


def get(client: TestClient, path: str) -> Any:
    response = client.get(path)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize(
    ("path", "status", "code", "detail"),
    [
        ("/nothing", 404, "not_found", "/openapi.json lists"),
        ("/v1/nothing", 404, "not_found", "/openapi.json lists"),
        ("/v1/facilities/xx99", 404, "unknown_facility", "'xx99'"),
        ("/v1/facilities/xx99/pue", 404, "unknown_facility", "'xx99'"),
        ("/v1/facilities/xx99/findings", 404, "unknown_facility", "'xx99'"),
        ("/v1/facilities/xx99/evidence", 404, "unknown_facility", "'xx99'"),
        ("/v1/facilities/km01/pue?window=2h", 422, "unknown_window", "15m, 1h, 24h, 30d, 365d, day, month, ytd, year"),
        ("/v1/facilities/km01/pue?from=yesterday", 422, "bad_parameter", "query.from"),
        ("/v1/facilities/km01/pue?from=2026-01-01T00:00:00", 422, "bad_parameter", "timezone"),
        (
            "/v1/facilities/km01/pue?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z",
            422, "bad_interval", "is not before to",
        ),
        ("/v1/facilities/km01/pue?from=2019-01-01T00:00:00Z", 422, "bad_interval", "2025-10-09T16:00:00"),
        ("/v1/facilities/km01/pue?from=2026-01-01T00:00:00Z&to=2099-01-01T00:00:00Z", 422, "bad_interval", "data"),
        ("/v1/facilities/km01/pue?from=2099-01-01T00:00:00Z", 422, "bad_interval", "data"),
        ("/v1/facilities/km01/pue?from=2026-01-01T00:01:00Z&to=2026-01-01T00:02:00Z", 422, "bad_interval", "slot"),
        ("/v1/facilities/km01/pue?window=ttm&to=0001-01-01T00:00:00Z", 422, "bad_interval", "data"),
        ("/v1/facilities/km01/pue?window=year&to=2025-10-11T00:00:00Z", 422, "bad_interval", "data"),
        ("/v1/facilities/yx01/pue", 404, "no_data", "'yx01' has no data yet"),
        ("/v1/facilities/yx01/evidence", 404, "unknown_finding", "no finding yet"),
        ("/v1/facilities/km01/evidence?seq=1", 404, "unknown_finding", "no finding in event 1"),
        ("/v1/facilities/km01/evidence?seq=0", 422, "bad_parameter", "query.seq"),
        ("/v1/facilities?limit=0", 422, "bad_parameter", "query.limit"),
        ("/v1/facilities?region=5", 422, "bad_parameter", "query.region"),
        ("/v1/facilities?valid_at=x", 422, "bad_parameter", "query.valid_at"),
        ("/v1/regions/99/compliance", 404, "unknown_region", "'99'"),
        ("/v1/regions/5302/compliance", 404, "unknown_region", "'5302'"),
        ("/v1/regions/53019x/pue", 404, "unknown_region", "'53019x'"),
        ("/v1/regions/53011/pue", 404, "unknown_region", "'53011'"),
        ("/v1/regions/53/pue?window=decade", 422, "unknown_window", "'decade'"),
        ("/v1/regions/5333/pue", 404, "no_data", "region 5333"),
        ("/v1/events?after=-1", 422, "bad_parameter", "query.after"),
        ("/v1/events?limit=1001", 422, "bad_parameter", "query.limit"),
        ("/v1/alerts?active=perhaps", 422, "bad_parameter", "query.active"),
    ],
)  # fmt: skip
def test_every_error_is_a_problem_with_code_titles_and_detail(
    client: TestClient, path: str, status: int, code: str, detail: str
) -> None:
    response = client.get(path)
    problem = response.json()
    assert (response.status_code, problem["code"], problem["status"]) == (status, code, status)
    assert response.headers["content-type"] == "application/problem+json"
    assert detail in problem["detail"]
    assert problem["type"] == f"urn:pue:problem:{code}"
    assert problem["instance"] == path.partition("?")[0]
    assert (problem["title_zh"], problem["title"]) == PROBLEMS[code][1:]


def test_a_method_the_address_has_not_is_405_with_the_ones_it_has(client: TestClient) -> None:
    response = client.post("/v1/alerts")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "GET"


def test_an_unexpected_failure_is_500_without_its_inside(service: Service) -> None:
    def broken(_request: object) -> Scope:
        raise RuntimeError("secret inside")

    app = application(service.sources, broken)
    response = TestClient(app, client=HERE, base_url=US, raise_server_exceptions=False).get("/v1/facilities")
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert "secret" not in response.text
    assert {name: response.headers[name] for name in SECURITY} == SECURITY, "also outside of all middleware"
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/v1/facilities", "/nothing", "/livez", "/metrics", "/console", "/v1/facilities/x"])
def test_every_answer_carries_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    for name, value in SECURITY.items():
        assert name in headers
        if name in ("content-security-policy", "x-content-type-options"):
            assert headers[name] == value
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")


def test_facilities_come_by_id_in_pages(client: TestClient) -> None:
    seen, after, pages = [], "", 0
    while True:
        page = get(client, f"/v1/facilities?limit=2&after={after}")
        seen += [item["id"] for item in page["items"]]
        pages += 1
        if page["next"] is None:
            break
        after = page["next"]
    assert (seen, pages) == (["km01", "qj01", "yx01"], 2)


def test_a_region_selects_by_prefix(client: TestClient) -> None:
    def ids(region: str) -> list[str]:
        return [one["id"] for one in get(client, f"/v1/facilities?region={region}")["items"]]

    assert ids("53") == ids("530000") == ["km01", "qj01", "yx01"]
    assert ids("5303") == ids("530300") == ["qj01"]
    assert ids("5333") == []


def test_a_facilitys_etag_is_its_last_event_and_saves_sending_it_again(client: TestClient) -> None:
    response = client.get("/v1/facilities/km01")
    assert response.headers["etag"] == f'"{response.json()["seq"]}"'
    again = client.get("/v1/facilities/km01", headers={"if-none-match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == response.headers["etag"]
    other = client.get("/v1/facilities/km01", headers={"if-none-match": '"0"'})
    assert other.status_code == 200


def test_every_list_has_an_etag_of_its_content(client: TestClient) -> None:
    etags = {path: client.get(path).headers["etag"] for path in ("/v1/facilities", "/v1/alerts", "/v1/events")}
    assert len(set(etags.values())) == 3
    for path, etag in etags.items():
        assert client.get(path, headers={"if-none-match": etag}).status_code == 304


@pytest.mark.parametrize(
    ("given", "matching"),
    [("", False), ("*", True), ('"a"', True), ('W/"a"', True), ('"b", "a"', True), ('"b"', False)],
)
def test_if_none_match_compares_weakly(given: str, matching: bool) -> None:
    assert matches(given, '"a"') is matching


@pytest.mark.parametrize("window", ["15m", "1h", "24h", "30d", "365d", "day", "month", "ytd", "ttm"])
def test_every_window_gives_the_known_pue_as_text(client: TestClient, window: str) -> None:
    answer = get(client, f"/v1/facilities/km01/pue?window={window}")
    assert (answer["window"], answer["pue"], answer["coverage"]) == (window, "1.360000", "1.000000")
    slots = (answer["to_ms"] - answer["from_ms"]) // 900_000
    assert answer["it_j"] == str(slots * IT_J), "energy is text: readers round large numbers"


def test_pue_of_an_interval_is_of_that_interval(client: TestClient) -> None:
    for offset in ("%2B08:00", "+08:00"):
        path = f"/v1/facilities/km01/pue?from=2026-03-01T00:00:00{offset}&to=2026-03-02T00:00:00{offset}"
        answer = get(client, path)
        assert (answer["window"], answer["from_ms"], answer["to_ms"]) == (
            "custom",
            at("2026-03-01T00:00"),
            at("2026-03-02T00:00"),
        )
        assert answer["it_j"] == str(DAY_SLOTS * IT_J)


def test_a_region_is_the_sum_of_energies_by_the_sum_of_energies(client: TestClient) -> None:
    answer = get(client, "/v1/regions/53/pue?window=30d")
    assert sorted(answer["facilities"]) == ["km01", "qj01"]
    assert answer["pue"]["pue"] == "1.390000"
    assert answer["pue"]["it_j"] == str(2 * 30 * DAY_SLOTS * IT_J)


def test_findings_come_headline_first(client: TestClient) -> None:
    findings = get(client, "/v1/facilities/km01/findings")
    assert [(one["rule"], one["outcome"]) for one in findings[:1]] == [("new_build_pue_max", "non_compliant")]
    assert [one["headline"] for one in findings] == [True] + [False] * (len(findings) - 1)


def test_a_regions_table_counts_headlines(client: TestClient) -> None:
    table = get(client, "/v1/regions/53/compliance")
    assert table["counts"] == {"compliant": 1, "non_compliant": 1, "none": 1}
    rows = {row["facility"]["id"]: row for row in table["rows"]}
    assert rows["km01"]["margin"] == "-0.060000"
    assert rows["qj01"]["margin"] == "0.080000"
    assert rows["km01"]["rolling"]["pue"] == "1.360000"
    assert [alert["kind"] for alert in rows["km01"]["alerts"]] == ["pue_over_limit"]
    assert rows["yx01"]["finding"] is None


def test_the_table_of_a_past_day_is_the_one_of_that_day(client: TestClient) -> None:
    table = get(client, "/v1/regions/53/compliance?valid_at=2026-10-31T23:00:00%2B08:00")
    assert table["counts"] == {"insufficient_data": 2, "none": 1}
    alerts = {row["facility"]["id"]: row["alerts"] for row in table["rows"]}
    assert [one["kind"] for one in alerts["km01"]] == ["pue_over_limit"]
    before = get(client, "/v1/regions/53/compliance?valid_at=2025-10-20T00:00:00%2B08:00")
    assert [row["alerts"] for row in before["rows"]] == [[], [], []], "no alert stood yet"
    nothing_known = get(client, "/v1/regions/53/compliance?known_at=2020-01-01T00:00:00Z")
    assert (nothing_known["rows"], nothing_known["seq"]) == ([], 0)


def test_alerts_can_be_chosen_by_state_region_and_facility(client: TestClient) -> None:
    def kinds(query: str) -> list[tuple[str, str]]:
        return [(one["facility"], one["kind"]) for one in get(client, f"/v1/alerts?{query}")["items"]]

    assert kinds("active=true") == [("km01", "pue_over_limit")]
    assert kinds("active=false") == []
    assert kinds("region=5303") == []
    assert kinds("facility=km01") == [("km01", "pue_over_limit")]
    alert = get(client, "/v1/alerts")["items"][0]
    assert (alert["value"], alert["limit"], alert["meters"], alert["cleared_ms"]) == ("1.360000", "1.30", [], None)
    assert alert["raised_ms"] == START_MS + (30 + 2) * DAY_MS, "30 days of data, then the third day over the limit"


def test_the_log_is_read_in_pages_without_holes_and_can_be_checked(client: TestClient) -> None:
    seqs, after = [], 0
    while True:
        page = get(client, f"/v1/events?after={after}&limit=7")
        seqs += [item["seq"] for item in page["items"]]
        if not page["items"]:
            break
        after = page["next"]
    assert seqs == list(range(1, page["head"] + 1))
    items = get(client, "/v1/events?limit=1000")["items"]
    for item in items:
        recorded_ms = round(datetime.fromisoformat(item["recorded_at"]).timestamp() * 1000)
        event = Event(
            item["seq"], recorded_ms, item["kind"], item["entity"], item["actor"], item["body"], item["prev"], ""
        )
        assert event.computed_hash() == item["hash"]


def test_evidence_leads_from_the_finding_to_registers_and_originals(client: TestClient) -> None:
    evidence = get(client, "/v1/facilities/km01/evidence")
    finding = evidence["finding"]
    assert finding["rule"] == "new_build_pue_max"
    events = {item["seq"]: item for item in get(client, "/v1/events?limit=1000")["items"]}
    assert events[finding["seq"]]["hash"] == evidence["event_hash"]
    assert evidence["topology_sha256"] == get(client, "/v1/topology")["sha256"]
    meters = {meter["meter"]: meter for meter in evidence["meters"]}
    assert {name: (meter["a"], meter["b"]) for name, meter in meters.items()} == {"main": ("1", "0"), "it": ("0", "1")}
    assert sum(int(meter["energy_j"]) * int(meter["a"]) for meter in meters.values()) == int(finding["total_j"])
    assert sum(int(meter["energy_j"]) * int(meter["b"]) for meter in meters.values()) == int(finding["it_j"])
    start, end = meters["it"]["edges"]
    assert (start["at_ms"], end["at_ms"]) == (finding["from_ms"], finding["to_ms"])
    assert start["before"]["t1_ms"] < start["at_ms"] <= start["after"]["t1_ms"]
    assert len(start["after"]["original_sha256"]) == 64
    assert start["after"]["shard"] == "s0"
    past = get(client, f"/v1/facilities/km01/evidence?seq={finding['seq']}")
    assert past["meters"] == evidence["meters"]
    assert past["evidence_hash"] == evidence["evidence_hash"]


def test_a_finding_is_recomputed_on_request_and_told_apart_from_one_that_no_longer_holds(tmp_path: Path) -> None:
    reader = made_reader(lambda _day: 1.25, 400)
    service = made_service(tmp_path, reader)
    import_registry(service.log, service.projection, read_registry(registry_toml(), "registry.toml"), "test")
    service.evaluate()
    client = TestClient(application(service.sources), client=HERE, base_url=US)
    assert get(client, "/v1/facilities/km01/evidence")["reproduced"] is True
    changed = registry_toml().replace("standard_racks = 4000", "standard_racks = 4100").replace('"0.2S"', '"0.5S"')
    import_registry(service.log, service.projection, read_registry(changed, "registry.toml"), "test")
    assert get(client, "/v1/facilities/km01/evidence")["reproduced"] is True, "the registry is replayed to its pin"
    reader.put("km01", "main", np.full(400 * DAY_SLOTS, IT_J * 5 // 4 + 1, np.int64))
    assert get(client, "/v1/facilities/km01/evidence")["reproduced"] is False, "the data have changed since"
    reader.advance(START_MS + 300 * DAY_MS)
    shorter = get(client, "/v1/facilities/km01/evidence")
    assert (shorter["reproduced"], shorter["meters"]) == (None, []), "a store that is being rebuilt ends earlier"
    service.close()


def test_a_meter_version_that_begins_later_does_not_change_what_a_finding_rested_on(tmp_path: Path) -> None:
    reader = made_reader(lambda _day: 1.25, 420)
    reader.advance(START_MS + 400 * DAY_MS)
    service = made_service(tmp_path, reader)
    begin, end = METER.index("[[facility.meter.version]]"), len(METER)
    coming = METER[begin:end].format(id="main-2").replace("2025-01-01", "2026-11-20")
    text = registry_toml().replace("\n[[facility.agent]]", f"{coming}\n[[facility.agent]]", 1)
    import_registry(service.log, service.projection, read_registry(text, "registry.toml"), "test")
    service.evaluate()
    client = TestClient(application(service.sources), client=HERE, base_url=US)
    assert get(client, "/v1/facilities/km01/evidence")["reproduced"] is True
    reader.advance(START_MS + 415 * DAY_MS)
    assert get(client, "/v1/facilities/km01/evidence")["reproduced"] is True
    service.close()


def test_the_topology_document_can_be_checked_by_whoever_gets_it(client: TestClient) -> None:
    document = get(client, "/v1/topology")
    Verifier.from_text(document["public_key"]).check(document["line"].encode(), document["signature"].encode())
    assert json.loads(document["line"])["version"] == document["version"]


@pytest.mark.parametrize("path", ["/v1/facilities.csv", "/v1/regions/53/compliance.csv"])
def test_tables_are_csv_that_spreadsheets_read_as_chinese(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.content.startswith("\ufeff".encode())
    lines = response.content.decode("utf-8-sig").splitlines()
    assert len(lines) == 4
    assert "数据中心 km01" in lines[1]
    assert "-0.060000" in lines[1] or path.startswith("/v1/facilities")


@pytest.mark.parametrize("code", ["5301%0D%0A", "5301%22a", "5301%E6%98%86%E6%98%8E"])
def test_a_regions_code_does_not_reach_a_header_unless_it_is_one(client: TestClient, code: str) -> None:
    response = client.get(f"/v1/regions/{code}/compliance.csv")
    assert (response.status_code, response.json()["code"]) == (404, "unknown_region")


@pytest.mark.parametrize("window", ["day", "month", "ytd", "ttm"])
def test_a_region_over_several_time_zones_has_one_window(tmp_path: Path, window: str) -> None:
    reader = made_reader(lambda _day: 1.36, 100)
    reader.series |= made_reader(lambda _day: 1.42, 100, "qj01").series
    service = made_service(tmp_path, reader)
    west = facility_toml("qj01").replace('stage = "existing"', 'stage = "existing"\ntimezone = "Asia/Urumqi"')
    file = read_registry(registry_toml(facility_toml("km01"), west), "registry.toml")
    import_registry(service.log, service.projection, file, "test")
    client = TestClient(application(service.sources), client=HERE, base_url=US)
    answer = get(client, f"/v1/regions/53/pue?window={window}")
    assert answer["pue"]["pue"] == "1.390000"
    assert {(one["from_ms"], one["to_ms"]) for one in answer["facilities"].values()} == {
        (answer["pue"]["from_ms"], answer["pue"]["to_ms"])
    }
    assert client.get(f"/console?window={window}").status_code == 200
    service.close()


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "＝", "＋", "－", "＠"])
def test_a_name_that_looks_like_a_formula_is_not_run_by_a_spreadsheet(tmp_path: Path, sign: str) -> None:
    service = made_service(tmp_path, made_reader(lambda _day: 1.3, 2))
    text = registry_toml().replace('name = "数据中心 km01"', f'name = "{sign}HYPERLINK(1)"')
    import_registry(service.log, service.projection, read_registry(text, "registry.toml"), "test")
    response = TestClient(application(service.sources), client=HERE, base_url=US).get("/v1/facilities.csv")
    assert f"km01,'{sign}HYPERLINK(1)," in response.text
    service.close()


def test_out_of_scope_does_not_exist(service: Service) -> None:
    officer = scoped(service, Scope("qujing", regions=frozenset({"5303"})))
    assert [one["id"] for one in get(officer, "/v1/facilities")["items"]] == ["qj01"]
    for path in ("", "/pue", "/findings", "/evidence", "/meters", "/findings/history"):
        assert officer.get(f"/v1/facilities/km01{path}").status_code == 404
    assert sorted(get(officer, "/v1/regions/53/pue")["facilities"]) == ["qj01"]
    assert get(officer, "/v1/alerts")["items"] == []
    assert officer.get("/v1/alerts?facility=km01").status_code == 404
    assert list(get(officer, "/v1/status")["watermarks_ms"]) == ["qj01"]


def test_events_out_of_scope_are_stubs_so_that_nothing_is_lost(service: Service) -> None:
    officer = scoped(service, Scope("qujing", regions=frozenset({"5303"})))
    items = get(officer, "/v1/events?limit=1000")["items"]
    full = get(scoped(service, LOOPBACK), "/v1/events?limit=1000")["items"]
    assert [(one["seq"], one["hash"]) for one in items] == [(one["seq"], one["hash"]) for one in full]
    for one, whole in zip(items, full, strict=True):
        name = whole["entity"].partition(":")[2].partition("/")[0]
        if one["kind"] == "withheld":
            assert (one["body"], one["entity"], one["prev"], one["recorded_at"]) == ({}, "", "", None)
            assert name != "qj01"
        else:
            assert one == whole
            assert name == "qj01" or whole["entity"].startswith("enterprise:")
    assert {one["kind"] for one in items} > {"withheld"}


def test_nobody_sees_nothing(service: Service) -> None:
    nobody = scoped(service, NOBODY)
    assert get(nobody, "/v1/facilities")["items"] == []
    assert {one["kind"] for one in get(nobody, "/v1/events?limit=1000")["items"]} == {"withheld"}
    assert nobody.get("/v1/topology").status_code == 404
    metrics = nobody.get("/metrics").text
    assert "pue_compliance_log_seq" in metrics
    assert "km01" not in metrics
    assert "non_compliant" not in metrics
    assert get(nobody, "/v1/status")["watermarks_ms"] == {}


def test_an_enterprise_sees_its_own(service: Service) -> None:
    own = scoped(service, Scope("own", enterprises=frozenset({"91530100MA6K000013"})))
    assert len(get(own, "/v1/facilities")["items"]) == 3
    other = scoped(service, Scope("other", enterprises=frozenset({"91110000802100433B"})))
    assert get(other, "/v1/facilities")["items"] == []


@pytest.mark.parametrize(
    ("client", "name", "scope"),
    [
        ("127.0.0.1", "127.0.0.1:8080", LOOPBACK),
        ("127.0.0.1", "localhost:8080", LOOPBACK),
        ("::1", "[::1]:8080", LOOPBACK),
        ("10.0.0.7", "127.0.0.1", NOBODY),
        ("x", "127.0.0.1", NOBODY),
        ("127.0.0.1", "pages.example:8080", NOBODY),
        ("127.0.0.1", "", NOBODY),
    ],
)
def test_only_this_machine_under_its_own_name_sees_everything(client: str, name: str, scope: Scope) -> None:
    """A foreign page can make its own name lead here, but cannot make the browser call us by ours."""
    headers = [(b"host", name.encode())] if name else []
    request = Request({"type": "http", "client": (client, 1), "headers": headers, "path": "/", "scheme": "http"})
    assert scope_of(request) is scope


def test_liveness_readiness_and_metrics(client: TestClient, service: Service) -> None:
    assert client.get("/livez").json() == {"status": "ok", "missing": []}
    assert client.get("/readyz").status_code == 200
    text = client.get("/metrics").text
    assert 'pue_compliance_pue_30d{facility="km01"} 1.36' in text
    assert 'pue_compliance_facilities{outcome="non_compliant"} 1.0' in text
    assert 'pue_compliance_alerts_active{kind="pue_over_limit"} 1.0' in text
    assert f"pue_compliance_log_seq {float(service.log.head()[0])}" in text


def test_rules_and_regions_are_listed(client: TestClient) -> None:
    rules = {one["id"]: one for one in get(client, "/v1/rules")}
    assert (rules["new_build_pue_max"]["comparator"], rules["new_build_pue_max"]["limit"]) == ("<=", "1.30")
    assert (rules["retrofit_pue_over"]["comparator"], rules["retrofit_pue_over"]["limit"]) == (">", "1.50")
    assert rules["new_build_pue_max"]["clause"] == "六"
    assert len(get(client, "/v1/regions")) == 47


def test_a_limit_is_shown_with_all_its_decimals() -> None:
    rule = load_profile("yunnan-2022-draft").rule("new_build_pue_max")
    assert rule_view(dataclasses.replace(rule, limit=Fraction("1.255"))).limit == "1.255"


def test_the_committed_description_of_the_api_is_current(client: TestClient) -> None:
    described = get(client, "/openapi.json")
    assert described["openapi"].startswith("3.1")
    assert json.loads(OPENAPI.read_text(encoding="utf-8")) == described, (
        "run `make openapi` or see compliance/README.md"
    )


def test_times_a_day_apart_know_different_registries(tmp_path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    clock = [round(now.timestamp() * 1000)]
    service = made_service(tmp_path, made_reader(lambda _day: 1.3, 2), clock_ms=lambda: clock[0])
    for text in (registry_toml(), registry_toml().replace("standard_racks = 4000", "standard_racks = 2000")):
        import_registry(service.log, service.projection, read_registry(text, "registry.toml"), "test")
        clock[0] += DAY_MS
    client = TestClient(application(service.sources), client=HERE, base_url=US)
    known = (now + timedelta(hours=1)).isoformat().replace("+", "%2B")
    assert get(client, f"/v1/facilities/km01?known_at={known}")["standard_racks"] == 4000
    assert get(client, "/v1/facilities/km01")["standard_racks"] == 2000
    facility = service.sources.registry.facility("km01", service.log.head()[0])
    assert facility is not None
    current = service.measure.of(facility)
    get(client, f"/v1/regions/53/compliance?known_at={known}")
    assert service.measure.of(facility) is current, "the past leaves today's curve alone"
    service.close()
