"""The panel's lines."""

from __future__ import annotations

import sys
from pathlib import Path

from simulators.panel import Scale, last_error, stages
from simulators.processes import Crew
from simulators.watch import Snapshot

SNAPSHOT = Snapshot(
    agents={
        "a": {"pue_agent_readings_appended_total": 1200.0, "pue_agent_oldest_unacked_seconds": 0.5},
        "b": {"pue_agent_readings_appended_total": 34.0, "pue_agent_oldest_unacked_seconds": 2.25},
    },
    collector={"pue_collector_readings_stored_total": 1230.0, "pue_collector_projection_lag_records": 4.0},
    findings=25,
    facilities=5,
    alerts=3,
)


def test_every_stage_shows_what_goes_in_and_out_and_how_far_behind_it_is() -> None:
    rows = {stage.name: stage for stage in stages(SNAPSHOT, Scale(27, 1_000_000, 1_000_000, "http://x"))}
    assert list(rows) == ["history", "meters", "agents (2)", "broker", "collector", "compliance"]
    assert (rows["agents (2)"].into, rows["agents (2)"].lag) == ("1,234 readings", "2.2 s")
    assert (rows["collector"].out, rows["collector"].lag) == ("1,230 readings", "4 records")
    assert rows["compliance"].out == "25 findings, 3 alerts"


def test_the_last_worrying_line_of_a_stage_is_shown(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    crew = Crew(tmp_path)
    crew.start("agent-x", sys.executable, "-c", "print('all good'); print('ERROR spool full'); print('later')").wait(10)
    assert last_error(crew, "agent-") == "ERROR spool full"
    assert last_error(crew, "collector") == ""
