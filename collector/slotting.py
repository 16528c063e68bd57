"""Which slots of a series new readings touch, and what these slots are now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from collector.extract import ENDLESS_MS, QUALITY
from collector.progress import SeriesState
from collector.store import Readings, has_value, overlay
from pue.contract.quality import Flag
from pue.contract.quantities import QUANTITIES, Kind
from pue.contract.series import MAX_ENERGY_J, SLOT_FIELDS, SLOT_MS, slot_of
from pue.contract.topology import Meter
from pue.energy.context import Surroundings
from pue.energy.points import MAX_POLL_MS
from pue.energy.power import power_slots
from pue.energy.registers import RegisterVersion, merged, register_slots, register_versions
from pue.energy.slots import Int64, Samples, Slots

MAX_GAP_MS = SLOT_MS + 60_000
"""Readings of a 15-minute poll come with some jitter: a minute more than the cadence is no gap yet. [ms]"""
MAX_RUN_GAP_MS = 400 * 86_400_000
"""Readings further apart do not see each other: no period that is judged is longer. [ms]"""
WIDTHS_MS = (1800_000, 2 * 3600_000, 12 * 3600_000, 7 * 86_400_000, 90 * 86_400_000, ENDLESS_MS)
"""How far around new readings the store is asked, one after the other, until there is context enough."""

Window = Callable[[int, int], Int64]
"""Stored readings between two times."""


def versions_of(meter: Meter | None, quantity: str) -> tuple[RegisterVersion, ...]:
    """Register versions from which slots are made; none if the quantity has no slots."""
    known = QUANTITIES.get(quantity)
    if meter is None or known is None or not (quantity == "power" or (known.kind, known.base_unit) == COUNTED):
        return ()
    return register_versions(meter, quantity)


COUNTED = (Kind.COUNTER, "J")


def surroundings(quantity: str, versions: Sequence[RegisterVersion]) -> Surroundings:
    """How far slots of a quantity depend on readings around them."""
    return Surroundings(merged(versions) if versions else (), gauge=quantity == "power")


def compute(quantity: str, columns: Int64, losers: Int64, versions: Sequence[RegisterVersion], topology: int) -> Slots:
    """Slots of some readings and of those that lost against another value at the same time.

    Each run of readings is made into slots by itself: what a reading costs is bounded, whatever time it claims.
    """
    if not versions or columns.shape[1] == 0:
        return Slots.empty()
    make = power_slots if quantity == "power" else register_slots
    parts = [make(_samples(*run), versions, max_gap_ms=MAX_GAP_MS, topology=topology) for run in _runs(columns, losers)]
    return Slots(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Slots)))


def _runs(columns: Int64, losers: Int64) -> Iterator[tuple[Int64, Int64]]:
    """Readings and losers between gaps of more than `MAX_RUN_GAP_MS` without a value."""
    # With 401 days between the second and the third value, the run is cut at the third: failed reads in between end the
    # first.
    valued_ms = columns[0, has_value(columns[QUALITY])]
    starts_ms = valued_ms[1:][np.diff(valued_ms) > MAX_RUN_GAP_MS]
    cuts = np.searchsorted(columns[0], starts_ms)
    run_of_loser = np.searchsorted(starts_ms, losers[0], side="right")
    for number, run in enumerate(np.split(columns, cuts, axis=1)):
        yield run, losers[:, run_of_loser == number]


def _samples(columns: Int64, losers: Int64) -> Samples:
    samples = Readings.of(columns).samples()
    if losers.shape[1] == 0:
        return samples
    both = np.concatenate((columns, losers), axis=1)
    # 0 before 1: at one time the stored reading comes before those that lost to it, and the slot is marked `CONFLICT`.
    order = np.concatenate((np.zeros(columns.shape[1], np.int64), np.ones(losers.shape[1], np.int64)))
    return Samples(t0_ms=both[1], t1_ms=both[0], count=both[2], quality=both[3], order=order)


@dataclass(frozen=True, slots=True)
class Extent:
    """What has to be read and recomputed: readings with their context, slots in [from_ms, to_ms)."""

    readings: Int64
    from_ms: int
    to_ms: int


def extent(low: int, high: int, new: Int64, stored: Window, state: SeriesState, around: Surroundings) -> Extent:
    """Widen the range of new readings until the slots in it equal those of the whole series.

    Parameters
    ----------
    low, high
        First and last time of what arrived. [ms UTC]
    new
        What of it has to be written, ascending.
    stored
        Readings kept already.
    state
        Their first and latest time.
    around
        How far slots of this series depend on readings around them.
    """
    # Half an hour around mostly holds all that is needed; a register that runs ahead of its limit may need weeks.
    for width in WIDTHS_MS:
        since = min(low, max(low - width, state.first_ms))
        until = max(high, min(high + width, state.head_ms)) + 1
        both = overlay(stored(since, until), new)
        all_before = since <= state.first_ms
        all_after = until > state.head_ms
        found = _cut(both, low, high, around, all_before=all_before, all_after=all_after)
        if found is not None:
            return found
    raise AssertionError("the endless window holds everything")


def _cut(both: Int64, low: int, high: int, around: Surroundings, *, all_before: bool, all_after: bool) -> Extent | None:
    """The range that changes within [low, high] can reach, with its context; None if these readings are too few."""
    start_ms = around.touched(_backwards(both, low, around))
    end_ms = around.touched(_onwards(both, high + 1, around))
    if (start_ms is None and not all_before) or (end_ms is None and not all_after):
        return None
    first_ms = min(int(both[0, 0]), low) if both.shape[1] else low
    last_ms = max(int(both[0, -1]), high) if both.shape[1] else high
    # A request under way at an edge reaches into the slot before the one of its reply, if there is one.
    from_ms = slot_of(first_ms if start_ms is None else start_ms - MAX_POLL_MS)
    to_ms = slot_of(last_ms if end_ms is None else end_ms) + SLOT_MS
    first_needed_ms = around.needed(_backwards(both, from_ms, around))
    last_needed_ms = around.needed(_onwards(both, to_ms, around))
    if (first_needed_ms is None and not all_before) or (last_needed_ms is None and not all_after):
        return None
    since_ms = -ENDLESS_MS if first_needed_ms is None else first_needed_ms
    until_ms = ENDLESS_MS if last_needed_ms is None else last_needed_ms + 1
    edges = np.searchsorted(both[0], (since_ms, until_ms))
    return Extent(both[:, edges[0] : edges[1]], from_ms, to_ms)


def _backwards(both: Int64, before_ms: int, around: Surroundings) -> Iterator[tuple[int, int, int, int]]:
    """Usable readings before a time, the latest first."""
    for place in range(int(np.searchsorted(both[0], before_ms)) - 1, -1, -1):
        yield from _usable(both, place, around)


def _onwards(both: Int64, from_ms: int, around: Surroundings) -> Iterator[tuple[int, int, int, int]]:
    """Usable readings from a time on, the earliest first."""
    for place in range(int(np.searchsorted(both[0], from_ms)), both.shape[1]):
        yield from _usable(both, place, around)


def _usable(both: Int64, place: int, around: Surroundings) -> Iterator[tuple[int, int, int, int]]:
    t1_ms, t0_ms, count, quality, _ = both[:, place].tolist()
    reading = (t0_ms, t1_ms, count, quality)
    if around.is_usable(reading):
        yield reading


def late_slots(
    arrived: Int64, valued: npt.NDArray[np.bool_], both: Int64, head_ms: int | None
) -> npt.NDArray[np.int64]:
    """Starts of closed slots that readings arriving out of order touch.

    A slot is closed once a later slot has a reading. A late reading touches every slot between its neighbours with a
    value. The answer depends on the order of the originals only, not on how they were grouped.

    Parameters
    ----------
    arrived
        Times of new readings in the order of their originals. [ms UTC]
    valued
        Which of them have a value.
    both
        Times of all readings around them that have a value, ascending. [ms UTC]
    head_ms
        Latest time before them. [ms UTC]
    """
    start = arrived[0] if head_ms is None else head_ms
    # The latest time known when each of the N readings arrived. Arrived 10, 30, 20 after a head of 5: newest 5, 10, 30.
    # (N,)
    newest = np.maximum.accumulate(np.concatenate(([start], arrived)))[:-1]
    closed_before = newest - newest % SLOT_MS
    late = valued & (arrived < closed_before)
    times = arrived[late]
    limits = closed_before[late]
    if len(times) == 0:
        return np.empty(0, np.int64)
    # Neighbours with a value around each of the L late readings: energy between them is now shared otherwise. (L,)
    left = np.searchsorted(both, times) - 1
    right = np.searchsorted(both, times, side="right")
    lows = np.where(left >= 0, both[np.maximum(left, 0)], times)
    highs = np.where(right < len(both), both[np.minimum(right, len(both) - 1)], times + 1)
    # A neighbour beyond the longest run is none: it belongs to another run, whose slots stay.
    lows = np.where(times - lows > MAX_RUN_GAP_MS, times, lows)
    highs = np.where(highs - times > MAX_RUN_GAP_MS, times + 1, highs)
    return _starts(zip(lows.tolist(), np.minimum(highs, limits).tolist(), strict=True))


def _starts(ranges: Iterable[tuple[int, int]]) -> npt.NDArray[np.int64]:
    found = [np.arange(slot_of(low), high, SLOT_MS, dtype=np.int64) for low, high in ranges]
    return np.unique(np.concatenate(found))


def revise(new: Slots, old: Slots, closed_before_ms: int, late: Int64, outages: Sequence[tuple[int, int]]) -> Int64:
    """Slots that have to be written, as columns: changed ones with their history, new ones as they are.

    Parameters
    ----------
    new, old
        What the slots are now, and what is stored of the same range.
    closed_before_ms
        Slots that start before were closed: a change raises their revision. [ms UTC]
    late
        Starts of slots touched by readings out of order.
    outages
        Declared outages. [ms UTC]
    """
    # (columns, S) for S new slots; `stored` likewise for the old ones, both with times ascending.
    columns = np.stack([getattr(new, name) for name in NAMES]) if len(new) else np.empty((len(NAMES), 0), np.int64)
    columns[FLAGS] |= np.where(np.isin(columns[0], late), int(Flag.LATE), 0)
    columns[FLAGS] |= _declared(columns[0], outages)
    stored = np.stack([getattr(old, name) for name in NAMES])
    place = np.minimum(np.searchsorted(stored[0], columns[0]), max(len(old) - 1, 0))
    known = stored[0][place] == columns[0] if len(old) else np.zeros(columns.shape[1], np.bool_)
    before = stored[:, place[known]]
    # Once late, always late: the mark is history and is not computed away.
    columns[FLAGS, known] |= before[FLAGS] & int(Flag.LATE)
    changed = (columns[:REVISION, known] != before[:REVISION]).any(axis=0)
    columns[REVISION, known] = before[REVISION] + (changed & (before[0] < closed_before_ms))
    write = np.ones(columns.shape[1], np.bool_)
    write[known] = changed
    return columns[:, write]


NAMES = ("start_ms", *SLOT_FIELDS)
"""Columns of a slot; those before `REVISION` are what it says, the others its history."""
FLAGS = NAMES.index("flags")
REVISION = NAMES.index("revision")


def missing_slots(before: Slots, now: Slots, topology: int) -> Int64:
    """Slots that were there and cannot be computed any more, as columns that say so.

    What was known or possible becomes unknown energy; the bounds of the edges stay, for neighbours still share them.
    """
    gone = before.select(~np.isin(before.start_ms, now.start_ms) & ((before.flags & int(Flag.MISSING)) == 0))
    # At most so much flowed, by what the slot said; it is known no longer, and no less possible.
    known_j = gone.energy_j + gone.over_j
    unknown_j = known_j + np.minimum(gone.unknown_j, MAX_ENERGY_J - known_j)
    nothing = np.zeros(len(gone), np.int64)
    said = replace(
        gone,
        energy_j=nothing,
        unknown_j=unknown_j,
        under_j=nothing,
        over_j=nothing,
        gap_ms=nothing + SLOT_MS,
        flags=nothing + int(Flag.MISSING),
        revision=gone.revision + 1,
        topology=nothing + topology,
    )
    return np.stack([getattr(said, name) for name in NAMES])


def _declared(starts: Int64, outages: Sequence[tuple[int, int]]) -> Int64:
    inside = np.zeros(len(starts), np.bool_)
    for from_ms, to_ms in outages:
        inside |= (starts < to_ms) & (starts + SLOT_MS > from_ms)
    return np.where(inside, int(Flag.DECLARED_OUTAGE), 0)
