"""Slots that change, and slots that go."""

from __future__ import annotations

import numpy as np

from collector.slotting import NAMES, REVISION, missing_slots, revise
from collector.store import Table, empty, slots_of
from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.slots import Int64, Slots

NO_TIMES = np.empty(0, np.int64)


def slot(index: int, **columns: int) -> Int64:
    row = dict.fromkeys(NAMES, 0) | {"start_ms": index * SLOT_MS} | columns
    return np.array([[row[name]] for name in NAMES], np.int64)


def slots(*rows: Int64) -> Slots:
    return slots_of(np.concatenate(rows, axis=1))


def said(columns: Int64, index: int = 0) -> dict[str, int]:
    return dict(zip(NAMES, columns[:, index].tolist(), strict=True))


def test_what_a_lost_slot_held_or_could_hold_becomes_unknown_and_its_edge_stays_as_open() -> None:
    held = slot(
        3, energy_j=700, unknown_j=40, under_j=5, over_j=6, below_j=7, above_j=8, below_capped_j=3, above_capped_j=4,
        gap_ms=9, flags=int(Flag.RESET), revision=2, topology=1,
    )  # fmt: skip
    gone = missing_slots(slots(held, slot(4)), slots(slot(4)), topology=5)
    assert gone.shape == (Table.SLOT.width, 1)
    assert said(gone) == said(held) | {
        "energy_j": 0, "unknown_j": 746, "under_j": 0, "over_j": 0, "gap_ms": SLOT_MS,
        "flags": int(Flag.MISSING), "revision": 3, "topology": 5,
    }  # fmt: skip


def test_a_lost_slot_without_a_bound_keeps_having_none() -> None:
    gone = missing_slots(slots(slot(1, energy_j=MAX_ENERGY_J - 1, unknown_j=MAX_ENERGY_J)), Slots.empty(), topology=1)
    assert said(gone)["unknown_j"] == MAX_ENERGY_J


def test_a_slot_that_is_missing_already_is_not_lost_again() -> None:
    gone = missing_slots(slots(slot(1, flags=int(Flag.MISSING))), Slots.empty(), topology=1)
    assert gone.shape == (Table.SLOT.width, 0)


def test_every_column_before_the_revision_makes_a_slot_another_one() -> None:
    before = slots(slot(1), slot(2))
    for name in NAMES[1:REVISION]:
        changed = revise(slots(slot(1), slot(2, **{name: 1})), before, 2 * SLOT_MS + 1, NO_TIMES, [])
        assert said(changed) == said(slot(2, **{name: 1}, revision=1)), name
        assert changed.shape[1] == 1


def test_another_topology_alone_changes_no_slot() -> None:
    assert revise(slots(slot(1, topology=2)), slots(slot(1)), SLOT_MS + 1, NO_TIMES, []).shape[1] == 0


def test_an_open_slot_changes_without_a_revision() -> None:
    changed = revise(slots(slot(1, energy_j=1)), slots(slot(1)), SLOT_MS, NO_TIMES, [])
    assert said(changed)["revision"] == 0


def test_no_slots_give_no_rows() -> None:
    assert revise(Slots.empty(), Slots.empty(), 0, NO_TIMES, []).shape == empty(Table.SLOT).shape
