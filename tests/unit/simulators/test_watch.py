"""Reading what processes say of themselves."""

from __future__ import annotations

import socket

from simulators.watch import Api, Snapshot, metrics, parse_metrics

TEXT = """\
# HELP pue_collector_incidents_total Incidents by kind
# TYPE pue_collector_incidents_total counter
pue_collector_incidents_total{kind="a"} 2.0
pue_collector_incidents_total{kind="b"} 1.0
pue_collector_readings_stored_total 1.25e+06
"""


def test_samples_are_kept_by_label_and_summed() -> None:
    found = parse_metrics(TEXT)
    assert found["pue_collector_incidents_total"] == 3.0
    assert found['pue_collector_incidents_total{kind="b"}'] == 1.0
    assert found["pue_collector_readings_stored_total"] == 1_250_000


def test_agents_are_summed_and_the_worst_is_known() -> None:
    snapshot = Snapshot(agents={"a": {"n": 2.0}, "b": {"n": 3.0}, "c": {}})
    assert (snapshot.agents_sum("n"), snapshot.agents_max("n")) == (5, 3.0)


def test_a_process_that_does_not_answer_has_no_metrics_and_no_items() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert metrics(port) == {}
    assert Api(port).items("/v1/alerts") == []
    assert not Api(port).is_up()
