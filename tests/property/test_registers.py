"""Registers: what must hold whatever the meters and the network do."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pue.registers import RegisterVersion, merged, register_slots
from pue.series import SLOT_MS
from pue.slots import Slots
from tests.property.meters import reading_lists, samples_of, version_lists
from tests.property.plain import Reading, plain_slots

COLUMNS = ("energy_j", "unknown_j", "gap_ms", "below_j", "above_j", "flags")


def same(a: Slots, b: Slots) -> bool:
    return all(np.array_equal(getattr(a, field.name), getattr(b, field.name)) for field in fields(Slots))


@settings(max_examples=400)
@given(reading_lists(), version_lists(), st.sampled_from([SLOT_MS, 60_000]))
def test_arrays_agree_with_the_plain_rules(
    readings: list[Reading], versions: list[RegisterVersion], max_gap_ms: int
) -> None:
    slots = register_slots(samples_of(readings), versions, max_gap_ms=max_gap_ms)
    plain = plain_slots(readings, merged(versions), max_gap_ms)
    assert slots.start_ms.tolist() == list(plain)
    for column in COLUMNS:
        assert getattr(slots, column).tolist() == [getattr(slot, column) for slot in plain.values()], column
