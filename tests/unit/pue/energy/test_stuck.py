"""Registers that stand still although power flows."""

from __future__ import annotations

from dataclasses import replace

from pue.contract.quality import Flag
from pue.contract.series import SLOT_MS
from pue.energy.power import power_slots
from pue.energy.registers import register_slots
from pue.energy.slots import Slots
from pue.energy.stuck import mark_stuck
from tests.unit.pue.meters import int64, samples, version

ENERGY = register_slots(samples((0, 0), (SLOT_MS, 900), (2 * SLOT_MS, 900), (3 * SLOT_MS, 1800)), [version(1000)])


def powered(watts: int) -> Slots:
    return power_slots(samples(*((place * SLOT_MS, watts) for place in range(4))), [version(1, 10_000)])


def marked(watts: int, step_j: int = 1000) -> Slots:
    return mark_stuck(ENERGY, powered(watts), step_j=step_j, max_power_w=2000)


def test_a_register_that_stands_still_under_load_is_unknown_and_uncovered() -> None:
    slots = marked(1000)
    assert (slots.flags[:3] & int(Flag.STUCK)).tolist() == [0, Flag.STUCK, 0]
    assert slots.unknown_j[:3].tolist() == [0, 2000 * 900, 0]
    assert slots.gap_ms[:3].tolist() == [0, SLOT_MS, 0]
    assert slots.energy_j.tolist() == ENERGY.energy_j.tolist()


def test_no_load_or_less_than_the_register_can_show_is_no_fault() -> None:
    for slots in (marked(0), marked(1000, step_j=450_000)):
        assert slots.flags.tolist() == ENERGY.flags.tolist()


def test_power_that_is_not_known_says_nothing() -> None:
    unsure = replace(powered(1000), gap_ms=int64(1, 1, 1, 1))
    assert mark_stuck(ENERGY, unsure, step_j=1, max_power_w=2000).gap_ms.tolist() == ENERGY.gap_ms.tolist()
    assert mark_stuck(ENERGY, Slots.empty(), step_j=1, max_power_w=2000).flags.tolist() == ENERGY.flags.tolist()
