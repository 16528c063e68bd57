"""One series brought up to date: readings settled against the stored ones, slots recomputed where they touch."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from collector.chunk import Piece, same_value
from collector.extract import ENDLESS_MS, RECORD, T1
from collector.progress import Progress, SeriesState
from collector.slotting import (
    compute,
    extent,
    late_slots,
    missing_slots,
    revise,
    surroundings,
    versions_of,
)
from collector.store import Rows, Table, empty, has_value, overlay, slots_of
from collector.tail import TailCache
from collector.topology import Enrolled
from pue.contract.canonical import sha256_hex
from pue.contract.series import SeriesKey, slot_of
from pue.contract.topology import Meter
from pue.energy.slots import Int64, Slots


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What has to be written for one series."""

    state: SeriesState
    readings: Rows
    slots: Rows
    losers: Int64
    from_ms: int
    """Slots that start before are as they were. [ms UTC]"""


class Refresher:
    """Works out what new readings, outages or meter versions change.

    Parameters
    ----------
    progress, store
        What is known; only read here.
    enrolled
        The topology in force.
    """

    def __init__(self, progress: Progress, store: TailCache, enrolled: Enrolled) -> None:
        self._progress = progress
        self._store = store
        self._enrolled = enrolled

    def with_readings(self, key: SeriesKey, piece: Piece, outages: list[tuple[int, int]]) -> Refreshed:
        """New readings arrived."""
        known = self._progress.series(key)
        state = known or SeriesState(key, ENDLESS_MS, -1, "")
        # Columns have the shape (5, N), times ascending: the first and the last time that arrived. [ms UTC]
        low = int(piece.winners[T1, 0])
        high = int(piece.winners[T1, -1])
        old = self._readings(state, low, high + 1)
        winners, losers = settle(piece, old)
        around = surroundings(key.quantity, versions_of(self._meter(key), key.quantity))
        found = extent(low, high, winners, lambda since, until: self._readings(state, since, until), state, around)
        lost = np.concatenate((self._lost(key, found.readings), losers), axis=1)
        slots = self._compute(key, found.readings, lost)
        slots = slots.select((slots.start_ms >= found.from_ms) & (slots.start_ms < found.to_ms))
        # Only readings with a value are neighbours of a late one: a failed read has no energy to move.
        valued = found.readings[T1][has_value(found.readings[3])]
        late = late_slots(piece.arrived, piece.valued, valued, known.head_ms if known else None)
        before = self._slots(state, found.from_ms, found.to_ms)
        outages = outages + self._progress.outages(key, found.from_ms, found.to_ms)
        # What starts before the slot of the newest reading was closed by it; -1 stands for no reading yet.
        closed_ms = slot_of(max(state.head_ms, 0))
        after = SeriesState(key, min(state.first_ms, low), max(state.head_ms, high), self.fingerprint(key))
        changed = revise(slots, before, closed_ms, late, outages)
        return Refreshed(
            after, Rows(Table.READING, key, winners), Rows(Table.SLOT, key, changed), losers, found.from_ms
        )

    def with_outage(self, state: SeriesState, from_ms: int, to_ms: int, written: npt.ArrayLike) -> Rows:
        """An outage was declared for slots that are there already; those that start at `written` say so anyway."""
        before = self._slots(state, slot_of(from_ms), to_ms)
        changed = revise(before, before, slot_of(state.head_ms), empty(Table.SLOT)[0], [(from_ms, to_ms)])
        return Rows(Table.SLOT, state.key, changed[:, ~np.isin(changed[0], written)])

    def with_versions(self, state: SeriesState) -> Rows:
        """The topology says something else about the meter: every slot is computed anew."""
        readings = self._readings(state, state.first_ms, state.head_ms + 1)
        slots = self._compute(state.key, readings, self._lost(state.key, readings))
        before = self._slots(state, 0, ENDLESS_MS)
        outages = self._progress.outages(state.key, 0, ENDLESS_MS)
        closed_ms = slot_of(state.head_ms)
        changed = revise(slots, before, closed_ms, empty(Table.SLOT)[0], outages)
        # A version that now begins later, or a register that is none any more, leaves slots that nothing computes.
        gone = missing_slots(before, slots, self._enrolled.version)
        return Rows(Table.SLOT, state.key, overlay(changed, gone))

    def fingerprint(self, key: SeriesKey) -> str:
        """Names what the topology says about a series' meter."""
        meter = self._meter(key)
        return sha256_hex(msgspec.json.encode(meter.versions))[:16] if meter else ""

    def _meter(self, key: SeriesKey) -> Meter | None:
        return self._enrolled.meters.get((key.site, key.meter))

    def _compute(self, key: SeriesKey, readings: Int64, losers: Int64) -> Slots:
        versions = versions_of(self._meter(key), key.quantity)
        return compute(key.quantity, readings, losers, versions, self._enrolled.version)

    def _readings(self, state: SeriesState, from_ms: int, to_ms: int) -> Int64:
        to_end = to_ms > state.head_ms
        return self._store.read(Table.READING, state.key, from_ms, to_ms, to_end=to_end)

    def _slots(self, state: SeriesState, from_ms: int, to_ms: int) -> Slots:
        to_end = to_ms > state.head_ms
        return slots_of(self._store.read(Table.SLOT, state.key, from_ms, to_ms, to_end=to_end))

    def _lost(self, key: SeriesKey, readings: Int64) -> Int64:
        if readings.shape[1] == 0:
            return readings
        return self._progress.losers(key, int(readings[T1, 0]), int(readings[T1, -1]) + 1)


def settle(piece: Piece, old: Int64) -> tuple[Int64, Int64]:
    """Readings to write, and readings that lose, given the stored ones of the same time range.

    A reading already stored with the same value is not written again. Of two different values the one of the earlier
    record stays, although it may be met later: its configuration came late.
    """
    winners = piece.winners
    losers = piece.losers
    if old.shape[1] == 0:
        return winners, losers
    # For each new reading the stored one at or after its time; behind the last one, that one, which `meets` then
    # refuses. (N,)
    place = np.minimum(np.searchsorted(old[T1], winners[T1]), old.shape[1] - 1)
    meets = old[T1, place] == winners[T1]
    twin = old[:, place]
    same = meets & same_value(winners, twin)
    better = meets & ~same & (winners[RECORD] < twin[RECORD])
    worse = meets & ~same & ~better
    lost = np.concatenate((losers, winners[:, worse], twin[:, better]), axis=1)
    return winners[:, ~same & ~worse], lost
