"""Coalescing: few requests, whole values, never beyond the model's limits."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.plan import Plan, coalesce, make_plan
from agent.settings import load_settings
from pue.contract.batches import LinkPart
from pue.contract.configuration import Configuration
from pue.contract.profile import Modbus, ModbusQuantity
from tests.unit.agent.test_settings import GOOD, write


def quantity(addr: int, type_name: str = "u32") -> ModbusQuantity:
    return ModbusQuantity.model_validate({"addr": addr, "type": type_name, "unit": "Wh", "exponent": 0})


def limits(max_regs: int = 125, gap: int = 0) -> Modbus:
    return Modbus.model_validate({"fc": 3, "max_regs": max_regs, "gap": gap, "word_order": "high-first"})


def spans(max_regs: int, gap: int, *quantities: ModbusQuantity) -> list[tuple[int, int]]:
    return [(read.addr, read.length) for read in coalesce(limits(max_regs, gap), enumerate(quantities))]


def test_neighbours_are_read_together() -> None:
    assert spans(125, 0, quantity(102), quantity(100), quantity(104)) == [(100, 6)]


def test_a_gap_is_bridged_only_as_far_as_the_model_allows() -> None:
    assert spans(125, 0, quantity(100), quantity(103)) == [(100, 2), (103, 2)]
    assert spans(125, 1, quantity(100), quantity(103)) == [(100, 5)]


def test_a_read_ends_before_the_value_that_would_exceed_it() -> None:
    assert spans(5, 0, quantity(100), quantity(102), quantity(104)) == [(100, 4), (104, 2)]


@given(
    st.integers(4, 125),
    st.integers(0, 20),
    st.lists(st.tuples(st.integers(1, 12), st.sampled_from(["u16", "u32", "f64"])), min_size=1, max_size=30),
)
def test_every_value_is_whole_in_exactly_one_read(max_regs: int, gap: int, steps: list[tuple[int, str]]) -> None:
    addr, quantities = 0, []
    for distance, type_name in steps:
        quantities.append(quantity(addr, type_name))
        addr += quantities[-1].words + distance - 1
    reads = coalesce(limits(max_regs, gap), enumerate(quantities))
    found = {part.point: (read.addr + part.offset, part.words) for read in reads for part in read.parts}
    assert found == {at: (item.addr, item.words) for at, item in enumerate(quantities)}
    assert all(read.length <= max_regs for read in reads)
    assert all(part.offset + part.words <= read.length for read in reads for part in read.parts)
    assert sum(len(read.parts) for read in reads) == len(quantities)


def plan_of(folder: Path, text: str) -> Plan:
    """Settings compiled."""
    settings, profiles = load_settings(write(folder, text))
    return make_plan(settings, profiles, "test")


def test_points_are_numbered_link_by_link_as_their_configuration_lists_them(tmp_path: Path) -> None:
    meter = GOOD[GOOD.index("[[meter]]") :]
    first, second = meter[: meter.index("[[meter]]", 1)], meter[meter.index("[[meter]]", 1) :]
    # In the file the meters of the two links take turns.
    text = GOOD.replace(meter, second + first + second.replace("rack-1", "rack-2"))
    plan = plan_of(tmp_path, text)
    named = Configuration.of_parts(plan.config.manifest, dict(plan.config.parts)).points
    asked = {
        point.index: (meter.meter, point.quantity)
        for link in plan.links
        for meter in link.meters
        for point in meter.points
    }
    assert [asked[index] for index in range(len(asked))] == [(one.meter, one.quantity) for one in named]
    assert [one.meter for one in named] == ["main-a", "main-a", "rack-1", "rack-2"]
    exponents = [plan.points[index].code.exponent for index in range(len(named))]
    assert [one.scale for one in named] == [Fraction(10) ** exponent for exponent in exponents]


def test_the_configuration_says_where_each_point_is_read(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, GOOD)
    links = [part for part in plan.config.parts.values() if isinstance(part, LinkPart)]
    (main,), (rack,) = (link.meters for link in links)
    assert [point.registers for point in main.points] == [["3:3203:4"], ["3:3059:2"]]
    assert (main.address, main.side, main.ct) == ("modbus-tcp://127.0.0.1:502/unit/1", "primary", "5/5")
    assert all(oid.startswith("1.3.6.1.4.1.318.") for oid in rack.points[0].registers)
    assert {point.period_ms for point in (*main.points, *rack.points)} == {15_000}


@pytest.mark.parametrize(("side", "ratio", "most"), [("primary", 1, 2_000_000), ("secondary", 400, 5_000)])
def test_the_most_a_counter_can_rise_is_of_the_side_it_counts_on(
    tmp_path: Path, side: str, ratio: int, most: int
) -> None:
    """2 MW: on the primary side as they are, behind 2000/5 transformers 5 kW; counts of 1 Wh are 3600 J."""
    text = GOOD.replace('ct = "5/5"', 'ct = "1"\nmax_power_w = 2000000')
    settings, profiles = load_settings(write(tmp_path, text))
    (main, rack) = settings.meter
    settings = settings.model_copy(update={"meter": (main.model_copy(update={"ct": str(ratio)}), rack)})
    spec = profiles["schneider-pm5xxx"].spec.model_copy(update={"side": side})
    profiles["schneider-pm5xxx"] = replace(profiles["schneider-pm5xxx"], spec=spec)
    plan = make_plan(settings, profiles, "test")
    assert [plan.points[index].most_per_ms for index in range(3)] == [Fraction(most, 3600 * 1000), None, None]
