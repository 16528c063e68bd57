"""The contract between collector and compliance: what is stored per series, and under which names.

Time is int64 milliseconds UTC, energy int64 joules. A series is (site, meter, quantity), never the agent.
"""

from __future__ import annotations

from dataclasses import dataclass

SLOT_MS = 15 * 60 * 1000
"""Length of a slot; a slot is named by its start, a multiple of this."""

MAX_ENERGY_J = 1 << 62
"""Energies stay below this, so that int64 holds the sum and the difference of any two; this itself: no bound. [J]"""

READING_MEASUREMENT = "pue_reading"
SLOT_MEASUREMENT = "pue_slot"
TAGS = ("site", "meter", "quantity")

READING_FIELDS = ("t0_ms", "count", "quality", "record")
"""Beside the time t1: request time, count (null without a value), quality bits, ledger record in the shard."""

SLOT_FIELDS = (
    "energy_j",
    "unknown_j",
    "under_j",
    "over_j",
    "gap_ms",
    "below_j",
    "above_j",
    "below_capped_j",
    "above_capped_j",
    "flags",
    "revision",
    "topology",
)
"""Beside the slot's start: see `pue.energy.slots.Slots`."""


@dataclass(frozen=True, slots=True, order=True)
class SeriesKey:
    """Name of one series."""

    site: str
    meter: str
    quantity: str

    def __str__(self) -> str:
        return f"{self.site}/{self.meter}/{self.quantity}"


def slot_of(time_ms: int) -> int:
    """Start of the slot a time falls in. [ms UTC]"""
    return time_ms - time_ms % SLOT_MS
