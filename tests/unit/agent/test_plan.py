"""Coalescing: few requests, whole values, never beyond the model's limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.plan import coalesce
from pue.contract.profile import Modbus, ModbusQuantity


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
