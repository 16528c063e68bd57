"""The demo's verdict on the product."""

from __future__ import annotations

from typing import Any

from simulators.check import Counts, answers, comparable
from simulators.expect import expected
from simulators.watch import Snapshot
from tests.unit.simulators.worlds import world

AGENTS = {name: {"pue_agent_readings_appended_total": 10.0} for name in world()}
UNAPPROVED = {
    "pue_collector_incidents_total": 5.0,
    'pue_collector_incidents_total{kind="unapproved_config"}': 5.0,
}
GOOD = Snapshot(agents=AGENTS, collector=UNAPPROVED)
COUNTS = Counts(history=100, imported=100, appended=50, stored=50)
Rows = dict[str, list[dict[str, Any]]]


def perfect() -> tuple[Rows, list[dict[str, Any]]]:
    """Findings and alerts as the plant has them."""
    findings: Rows = {}
    alerts: list[dict[str, Any]] = []
    for name, site in world().items():
        each = expected(site)
        figures = {
            "pue": f"{float(each.true_pue):.6f}",
            "pue_lower": "1.200000",
            "pue_upper": "1.800000",
            "from_ms": each.window_ms[0],
            "to_ms": each.window_ms[1],
        }
        findings[name] = [
            {"facility": name, "rule": rule, "outcome": outcome, **figures} for rule, outcome in each.outcomes.items()
        ]
        alerts += [
            {"facility": name, "kind": kind, "cleared_ms": None, "meters": sorted(each.silent_meters)}
            for kind in each.alerts
        ]
    return findings, alerts


def wrong(findings: Rows, alerts: list[dict[str, Any]], snapshot: Snapshot = GOOD, counts: Counts = COUNTS) -> set[str]:
    """Questions that were answered wrong."""
    wanted = [expected(site) for site in world().values()]
    return {row.question for row in answers(wanted, findings, alerts, snapshot, counts) if not row.ok}


def test_what_the_plant_knows_passes() -> None:
    assert wrong(*perfect()) == set()


def test_another_outcome_is_seen() -> None:
    findings, alerts = perfect()
    findings["qj01"][0]["outcome"] = "compliant"
    assert wrong(findings, alerts) == {"qj01 retrofit_pue_over"}


def test_a_facility_without_findings_is_seen() -> None:
    findings, alerts = perfect()
    del findings["dl01"]
    rules = {f"dl01 {rule}" for rule in expected(world()["dl01"]).outcomes}
    assert wrong(findings, alerts) == rules | {"dl01 measured PUE"}


def test_a_pue_beyond_the_meters_accuracy_is_seen() -> None:
    findings, alerts = perfect()
    for row in findings["km01"]:
        row["pue"] = "1.270000"
    assert wrong(findings, alerts) == {"km01 measured PUE"}


def test_bounds_that_leave_the_truth_out_are_seen() -> None:
    findings, alerts = perfect()
    for row in findings["hh01"]:
        row["pue_upper"] = "1.400000"
    assert wrong(findings, alerts) == {"hh01 measured PUE"}


def test_a_missing_alert_and_one_too_many_are_seen() -> None:
    findings, alerts = perfect()
    yuxi = [row for row in alerts if row["facility"] != "yx01"]
    extra: dict[str, Any] = {"facility": "km01", "kind": "coverage_low", "cleared_ms": None, "meters": []}
    assert wrong(findings, [*yuxi, extra]) == {"yx01 active alerts", "km01 active alerts"}


def test_a_cleared_alert_is_history() -> None:
    findings, alerts = perfect()
    cleared: dict[str, Any] = {"facility": "km01", "kind": "coverage_low", "cleared_ms": 1, "meters": []}
    assert wrong(findings, [*alerts, cleared]) == set()


def test_a_lost_reading_a_refused_batch_and_an_incident_are_seen() -> None:
    metrics = UNAPPROVED | {"pue_collector_incidents_total": 6.0, "pue_collector_batches_refused_total": 1.0}
    snapshot = Snapshot(agents=AGENTS, collector=metrics)
    counts = Counts(history=100, imported=99, appended=50, stored=51)
    assert wrong(*perfect(), snapshot, counts) == {
        "history readings imported",
        "live readings stored",
        "batches refused",
        "other incidents",
    }


def test_an_agent_that_reads_nothing_is_seen() -> None:
    snapshot = Snapshot(agents=AGENTS | {"dl01": {}}, collector=UNAPPROVED)
    assert wrong(*perfect(), snapshot) == {"agents reading"}


def test_two_runs_are_compared_without_what_may_differ() -> None:
    findings, alerts = perfect()
    first = comparable(findings, alerts)
    for rows in findings.values():
        for row in rows:
            row |= {"seq": 99, "recorded_at": "later"}
    assert comparable(dict(reversed(findings.items())), alerts[::-1]) == first
