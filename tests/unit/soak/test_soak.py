from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.bench.rows import row
from tests.soak import mutation, report, soundness
from tests.soak.plant import DAY_MS, KWH_J, MINUTE_MS, Flow, Meter, Polling, Register, cycling, poll, ramping, wandering
from tests.soak.plants import refutations

SPAN = (0, DAY_MS)


@pytest.mark.parametrize("kind", ["wandering", "cycling", "ramping"])
def test_energy_is_the_sum_of_power_over_every_millisecond(kind: str) -> None:
    rng = np.random.default_rng(1)
    flow = {
        "wandering": lambda: wandering(rng, SPAN, 100_000, MINUTE_MS),
        "cycling": lambda: cycling(rng, SPAN, 100_000, 7_000),
        "ramping": lambda: ramping(rng, SPAN, 37, 50_000),
    }[kind]()
    time_ms = np.arange(200_000, dtype=np.int64)
    energy = int(flow.energy_at(np.array([200_000]))[0])
    # a slope is cut off to whole watts in every millisecond of the sum
    assert 0 <= energy - int(flow.power_at(time_ms).sum()) <= (200_000 if kind == "ramping" else 0)


def constant(power_w: int) -> Flow:
    return Flow.of(np.array([0]), np.array([power_w]))


def test_a_register_shows_whole_steps_and_wraps() -> None:
    meter = Meter("m", (constant(100_000),), 1, 0, registers=(Register(0, 98, 0, KWH_J, 100),))
    shown, wraps = meter.counted(np.array([0, 35_999, 36_000, 72_000]))  # 1 kWh is 36 s
    assert shown.tolist() == [98, 98, 99, 0]
    assert wraps.tolist() == [0, 0, 0, 1]


def test_a_new_register_starts_where_it_was_set() -> None:
    registers = Register(0, 10, 0, KWH_J), Register(72_000, 500, 0, KWH_J, is_declared=True)
    meter = Meter("m", (constant(100_000),), 1, 0, registers=registers)
    assert meter.counted(np.array([71_999, 72_000, 108_000]))[0].tolist() == [11, 500, 501]
    assert meter.final_count(0) == 12


def test_a_value_is_true_at_some_time_between_its_request_and_its_reply() -> None:
    meter = Meter("m", (constant(1_000),), 1, 0, registers=(Register(0, 0, 0, 1),))
    poll(np.random.default_rng(3), meter, SPAN, Polling(15_000, 3_000, 55_000, slow=20))
    assert (np.diff(meter.t1_ms) > 0).all()
    assert ((meter.t0_ms <= meter.taken_ms) & (meter.taken_ms <= meter.t1_ms)).all()
    assert (meter.t1_ms - meter.t0_ms > MINUTE_MS).sum() > 5


def understated(powers_w: list[int]) -> Meter:
    """Read every 15 s, with these powers in between, by a meter that is said to carry 100 kW."""
    time_ms = np.arange(len(powers_w) + 1, dtype=np.int64) * 15_000
    flow = Flow.of(time_ms, np.array([*powers_w, 0]))
    meter = Meter("m", (flow,), 1, 0, max_power_w=100_000, registers=(Register(0, 0, 0, 36_000),))
    meter.t0_ms = meter.t1_ms = meter.taken_ms = time_ms
    meter.quality = np.zeros_like(time_ms)
    meter.read()
    return meter


def test_a_burst_that_both_neighbours_confirm_refutes_the_limit() -> None:
    starts, ends = refutations(understated([50_000] * 4 + [400_000] + [50_000] * 4))
    assert (starts.tolist(), ends.tolist()) == ([60_000], [75_000])


def test_a_burst_that_one_false_reading_could_have_made_refutes_nothing() -> None:
    starts, _ = refutations(understated([50_000] * 4 + [140_000] + [50_000] * 4))
    assert starts.tolist() == []


def test_a_piece_finds_the_same_windows_whenever_it_runs() -> None:
    lots = (soundness.Lot(1, 4, (("15m", 900_000, 5), ("24h", DAY_MS, 5))),)
    first = soundness.piece(1, 2, lots)
    assert first == soundness.piece(1, 2, lots)
    assert 0 < first["windows"]["all"] <= 10


def test_pieces_add_up_to_rows_with_goals() -> None:
    part = {"windows": {"all": 100_000, "15m": 30_000, "gaps": 6_000}, "outside": {"all": 1}}
    rows = {line["name"]: line for line in soundness.rows([part, part])}
    assert rows[soundness.NAME]["figure"] == 2
    assert rows[soundness.NAME]["meets"] is False
    assert rows["soundness: windows, 15m"]["meets"] is True
    assert rows["soundness: windows, 24h"]["meets"] is False
    assert rows["soundness: share of windows, gaps"]["figure"] == 0.06


def test_the_same_seed_draws_the_same_mutants() -> None:
    names = [f"pue.energy.slots.x_a__mutmut_{n}" for n in range(2000)] + ["pue.outlook.drift.x_b__mutmut_1"]
    drawn = mutation.drawn(names, 5)
    assert drawn == mutation.drawn(list(reversed(names)), 5)
    assert drawn != mutation.drawn(names, 6)
    assert len(set(drawn)) == mutation.SAMPLE
    assert not any(name.startswith("pue.outlook") for name in drawn)


def test_a_report_keeps_rows_of_other_parts(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report.put([row("a", 1, "x"), row("b", 2, "x")], path)
    report.put([row("a", 3, "x", "<= 2")], path)
    a, b = report.read(path)
    assert (a["name"], a["figure"], a["meets"], b["figure"]) == ("a", 3, False, 2)
    assert a["commit"]
