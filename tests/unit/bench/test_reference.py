from __future__ import annotations

import itertools

import pytest

from tests.bench import reference
from tests.bench.rows import meets, row, table


def test_a_time_on_a_machine_half_as_fast_has_the_same_figure() -> None:
    usual = reference.scaled(row("job", 10, "ms", "<= 15"), reference.WORKLOAD_S)
    slower = reference.scaled(row("job", 20, "ms", "<= 15"), 2 * reference.WORKLOAD_S)
    assert usual == {"name": "job", "figure": 10, "unit": "ref ms", "goal": "<= 15", "meets": True, "raw": 10}
    assert slower == usual | {"raw": 20}


def test_a_rate_on_a_machine_half_as_fast_has_the_same_figure() -> None:
    slower = reference.scaled(row("readings", 500, "readings/s", ">= 800"), 2 * reference.WORKLOAD_S)
    assert slower == {
        "name": "readings", "figure": 1000, "unit": "readings/ref s", "goal": ">= 800", "meets": True, "raw": 500
    }  # fmt: skip


@pytest.mark.parametrize("unit", ["x", "MiB", "share", "PUE", "windows"])
def test_what_is_no_time_stays_as_it_is(unit: str) -> None:
    line = row("figure", 3, unit, "<= 4")
    assert reference.scaled(line, 10.0) == line


def test_the_least_of_several_runs_counts() -> None:
    clock = itertools.accumulate([0.0, 5.0, 1.0, 2.0, 1.0, 4.0])
    assert reference.measured_s(3, clock.__next__, lambda: None) == 2.0


def test_the_workload_never_changes() -> None:
    assert reference.workload() == 7_907_598_257_140


@pytest.mark.parametrize(
    ("figure", "goal", "expected"),
    [(3, ">= 3", True), (2.999_99, ">= 3", False), (1e-5, "<= 1e-5", True), (0, "= 0", True), (60, "< 60", False)],
)
def test_a_figure_meets_its_goal_before_it_is_rounded(figure: float, goal: str, expected: bool) -> None:
    assert meets(figure, goal) is expected
    assert row("r", figure, "x", goal)["meets"] is expected


def test_a_row_without_a_goal_is_only_shown() -> None:
    assert row("r", 1, "x")["meets"] is None


def test_the_table_shows_raw_and_scaled_figures() -> None:
    scaled = reference.scaled(row("job", 20, "ms", "<= 15"), 2 * reference.WORKLOAD_S)
    assert table([scaled]).split() == ["job", "20", "10", "ref", "ms", "<=", "15", "meets"]
