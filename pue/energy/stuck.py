"""Registers that stand still although power flows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pue.contract.quality import Flag
from pue.contract.series import SLOT_MS
from pue.energy.curves import energy_bound_j
from pue.energy.index import has
from pue.energy.slots import Slots

LEAST_STEPS = 2
"""Power must have moved the register by more than this for standing still to be a fault. [steps]"""


def mark_stuck(energy: Slots, power: Slots, *, step_j: int, max_power_w: int) -> Slots:
    """Make the energy of slots unknown in which the register stood still although the same meter showed power.

    Parameters
    ----------
    energy
        From the meter's register.
    power
        From the same meter's power.
    step_j
        Resolution of the register. [J]
    max_power_w
        The most the meter can carry. [W]

    Returns
    -------
    Slots
        The energy, with `STUCK` slots uncovered and bounded by the limit.

    References
    ----------
    METHOD.md, "Stuck".
    """
    flowing = power.start_ms[(power.gap_ms == 0) & (power.energy_j > LEAST_STEPS * step_j)]
    still = (energy.energy_j == 0) & (energy.unknown_j == 0) & (energy.gap_ms == 0)
    stuck = still & has(flowing, energy.start_ms)
    bound_j = energy_bound_j(max_power_w, SLOT_MS)
    return replace(
        energy,
        unknown_j=np.where(stuck, bound_j, energy.unknown_j),
        gap_ms=np.where(stuck, SLOT_MS, energy.gap_ms),
        flags=np.where(stuck, energy.flags | int(Flag.STUCK), energy.flags),
    )
