"""Streams: whatever order readings arrive in, the slots are those of the batch."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pue.energy.power import power_slots
from pue.energy.registers import RegisterVersion, register_slots
from pue.energy.slots import Slots
from pue.energy.stream import MeterStream, SiteStream
from tests.property.meters import POWER_W, START_MS, reading_lists, samples_of, version, version_lists
from tests.property.plain import Reading
from tests.property.test_registers import same


def changed_outside(before: Slots, after: Slots, start_ms: int, end_ms: int) -> bool:
    """Whether any slot outside [start, end) differs."""
    rows = [
        {row[0]: row for row in zip(*(getattr(slots, name).tolist() for name in Slots.__slots__), strict=True)}
        for slots in (before, after)
    ]
    return any(rows[0].get(t) != rows[1].get(t) for t in rows[0] | rows[1] if not start_ms <= t < end_ms)


@settings(max_examples=120, deadline=None)
@given(reading_lists(max_size=60), version_lists(), st.booleans(), st.data())
def test_stream_is_the_batch_at_every_moment(
    readings: list[Reading], versions: list[RegisterVersion], gauge: bool, data: st.DataObject
) -> None:
    stream = MeterStream(versions, gauge=gauge)
    compute = power_slots if gauge else register_slots
    if data.draw(st.booleans()):
        readings = sorted(readings, key=lambda reading: reading[1])
    for number, reading in enumerate(readings):
        before = stream.slots() if number % 5 == 0 else None
        start, end = stream.add(*reading)
        if before is not None:
            after = stream.slots()
            assert not changed_outside(before, after, start, end)
            assert same(after, compute(samples_of(readings[: number + 1]), versions))
    assert same(stream.slots(), compute(samples_of(readings), versions))


@settings(max_examples=80, deadline=None)
@given(reading_lists(), version_lists(), version_lists(), st.booleans())
def test_versions_learned_late_give_the_batch_with_them(
    readings: list[Reading], first: list[RegisterVersion], then: list[RegisterVersion], asked: bool
) -> None:
    stream = MeterStream(first)
    for reading in readings:
        stream.add(*reading)
    before = stream.slots() if asked else None
    start, end = stream.declare(then)
    after = stream.slots()
    assert same(after, register_slots(samples_of(readings), then))
    assert before is None or not changed_outside(before, after, start, end)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 7), st.floats(0, 0.2))
def test_a_site_in_ticks_is_its_meters_in_batches(seed: int, ticks: int, faults: float) -> None:
    random = np.random.default_rng(seed)
    meters, length = 3, 40
    versions = [version(modulus=None if meter else 10**6) for meter in range(meters)]
    site = SiteStream([MeterStream([row]) for row in versions], ticks=ticks)
    t1 = START_MS + np.cumsum(random.choice([15_000, 60_000, 4 * 3_600_000], (length, meters), p=[0.8, 0.15, 0.05]), 0)
    count = 999_000 + np.cumsum(random.integers(0, 15 * POWER_W // 1000 + 1, (length, meters)), 0)
    odd = random.random((length, meters)) < faults
    count[odd] = random.integers(-10, 2_000_000, odd.sum())
    t1[odd] -= random.integers(0, 300_000, odd.sum())
    quality = np.where(random.random((length, meters)) < faults / 2, 1, 0)
    order = np.repeat(np.arange(length)[:, None], meters, 1)
    for row in range(length):
        site.tick(t1[row] - 100, t1[row], count[row], quality[row], order[row])
        if row == length // 2:
            site.slots(0)
    for meter in range(meters):
        columns = (t1[:, meter] - 100, t1[:, meter], count[:, meter], quality[:, meter], order[:, meter])
        batch = register_slots(samples_of(list(zip(*(c.tolist() for c in columns), strict=True))), [versions[meter]])
        assert same(site.slots(meter), batch)
