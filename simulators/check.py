"""Whether the product found what the plant knows: one row per question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulators.expect import Expected
from simulators.watch import Snapshot

Row = Mapping[str, Any]
KEPT = (
    "facility",
    "rule",
    "rule_version",
    "outcome",
    "reasons",
    "period",
    "from_ms",
    "to_ms",
    "limit",
    "pue",
    "pue_lower",
    "pue_upper",
    "u_pue",
    "p_within",
    "coverage",
    "total_j",
    "it_j",
    "binding",
    "headline",
)
"""Columns of a finding that must not depend on the store, the clock or the order of events."""
_UNAPPROVED = 'pue_collector_incidents_total{kind="unapproved_config"}'
"""The history's configurations are in the registry; each live one waits for an officer's approval."""
KEPT_ALERT = ("facility", "kind", "raised_ms", "cleared_ms", "value", "limit", "rule", "meters")


@dataclass(frozen=True, slots=True)
class Answer:
    """One question with what was wanted and what was found."""

    question: str
    wanted: str
    found: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Readings on their way: written by the simulator, imported, spooled by agents, stored by the collector."""

    history: int
    imported: int
    appended: int
    stored: int


def answers(
    wanted: Iterable[Expected],
    findings: Mapping[str, Sequence[Row]],
    alerts: Sequence[Row],
    snapshot: Snapshot,
    counts: Counts,
) -> list[Answer]:
    """Every question the demo answers about itself."""
    rows: list[Answer] = []
    for expected in wanted:
        rows += _findings(expected, findings.get(expected.facility, ()))
        rows.append(_accuracy(expected, findings.get(expected.facility, ())))
        rows.append(_alerts(expected, alerts))
    return [*rows, *_flow(snapshot, counts)]


def comparable(findings: Mapping[str, Sequence[Row]], alerts: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    """Findings and alerts as two runs of one seed and one end of history must both give them."""
    rows = [{name: row.get(name) for name in KEPT} for each in findings.values() for row in each]
    raised = [{name: row.get(name) for name in KEPT_ALERT} for row in alerts]
    return {
        "findings": sorted(rows, key=lambda row: (row["facility"], row["rule"])),
        "alerts": sorted(raised, key=lambda row: (row["facility"], row["kind"], row["raised_ms"])),
    }


def _findings(expected: Expected, rows: Sequence[Row]) -> Iterator[Answer]:
    found = {row["rule"]: str(row["outcome"]) for row in rows}
    for rule, outcome in expected.outcomes.items():
        actual = found.get(rule, "none")
        yield Answer(f"{expected.facility} {rule}", outcome, actual, actual == outcome)


def _accuracy(expected: Expected, rows: Sequence[Row]) -> Answer:
    """The measured PUE of the legal period against the true one."""
    row = next((row for row in rows if row.get("pue") and _window(row) == expected.window_ms), None)
    question = f"{expected.facility} measured PUE"
    true = float(expected.true_pue)
    if row is None:
        return Answer(question, f"{true:.4f}", "none for the true window", ok=False)
    if not expected.is_complete:
        return _bounds(question, true, expected.tolerance, row)
    measured = float(row["pue"])
    is_near = abs(measured - true) <= expected.tolerance
    return Answer(question, f"{true:.4f} ± {expected.tolerance:.4f}", f"{measured:.4f}", is_near)


def _bounds(question: str, true: float, tolerance: float, row: Row) -> Answer:
    """Where meters were missing the true PUE lies within the bounds, widened by the meters' accuracy."""
    lower = row.get("pue_lower")
    upper = row.get("pue_upper")
    is_inside = float(lower or 1) - tolerance <= true and (upper is None or true <= float(upper) + tolerance)
    return Answer(question, f"{true:.4f} within bounds", f"{lower or '-'} … {upper or '-'}", is_inside)


def _window(row: Row) -> tuple[Any, Any]:
    return row.get("from_ms"), row.get("to_ms")


def _alerts(expected: Expected, alerts: Sequence[Row]) -> Answer:
    active = [row for row in alerts if row["facility"] == expected.facility and row.get("cleared_ms") is None]
    kinds = {str(row["kind"]) for row in active}
    meters = {meter for row in active for meter in row.get("meters") or ()}
    wanted = _listed(expected.alerts | expected.silent_meters)
    is_same = kinds == expected.alerts and expected.silent_meters <= meters
    return Answer(f"{expected.facility} active alerts", wanted, _listed(kinds | meters), is_same)


def _flow(snapshot: Snapshot, counts: Counts) -> list[Answer]:
    collector = snapshot.collector
    refused = round(collector.get("pue_collector_batches_refused_total", 0))
    unapproved = round(collector.get(_UNAPPROVED, 0))
    incidents = round(collector.get("pue_collector_incidents_total", 0)) - unapproved
    idle = sorted(name for name, each in snapshot.agents.items() if not each.get("pue_agent_readings_appended_total"))
    return [
        _equal("history readings imported", counts.history, counts.imported),
        _equal("live readings stored", counts.appended, counts.stored),
        _equal("batches refused", 0, refused),
        _equal("new configurations to approve", len(snapshot.agents), unapproved),
        _equal("other incidents", 0, incidents),
        Answer("agents reading", str(len(snapshot.agents)), str(len(snapshot.agents) - len(idle)), not idle),
    ]


def _equal(question: str, wanted: int, found: int) -> Answer:
    return Answer(question, f"{wanted:,}", f"{found:,}", wanted == found)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
