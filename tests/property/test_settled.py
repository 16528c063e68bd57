"""Ranges of settled numbers are the set they stand for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.gaps import Settled, settle

SPANS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 8)), max_size=25)


@given(SPANS, st.integers(1, 50))
def test_a_number_taken_out_is_missing_and_nothing_else(spans: list[tuple[int, int]], seq: int) -> None:
    plain = {number for low, length in spans for number in range(low, low + length + 1)}
    assert settle(plain).without(seq) == settle(plain - {seq})


@given(SPANS)
def test_adding_ranges_in_any_order_is_the_union(spans: list[tuple[int, int]]) -> None:
    settled, plain = Settled(), set[int]()
    for low, length in spans:
        settled = settled.add(low, low + length)
        plain |= set(range(low, low + length + 1))
    assert settled == settle(plain)
    assert {seq for low, high in settled.ranges for seq in range(low, high + 1)} == plain
    assert all(a[1] + 1 < b[0] for a, b in zip(settled.ranges, settled.ranges[1:], strict=False))
    upto = next(seq for seq in range(1, 100) if seq not in plain) - 1
    assert settled.upto == upto
    assert {seq for low, high in settled.missing for seq in range(low, high + 1)} == {
        seq for seq in range(1, max(plain, default=0)) if seq not in plain
    }
