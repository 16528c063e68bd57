"""Slots kept up to date while readings arrive, equal to the batch bit for bit.

Nearly every reading comes in order and shows a plain rise. Such a reading changes nothing before the last one, so
`MeterStream.add` compares it with a few numbers, the `Expectation`, and appends it. Any other reading, such as a late
one, a fall or a leap, is put in its place, and the slots it can reach are marked; `pue.energy.context` says how far
that is. `MeterStream.slots` computes the marked slots again as the batch does, from the readings these need, and puts
them into the columns of the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from fractions import Fraction
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np

from pue.contract.quality import NO_VALUE
from pue.contract.series import MAX_ENERGY_J, SLOT_MS, slot_of
from pue.energy.context import CONTEXT_SAMPLES, Neighbour, Surroundings, is_calm
from pue.energy.days import DAY_MS, FOREVER_MS, Day, Days, Reading, one_per_time
from pue.energy.points import MAX_POLL_MS
from pue.energy.power import power_slots
from pue.energy.registers import register_slots
from pue.energy.slots import Int64, Slots
from pue.energy.versions import RegisterVersion, counts_per_ms, merged, usable_counts

Range = tuple[int, int]
"""Half-open time on slot edges; empty if both are equal. [ms UTC]"""

NOTHING: Range = (0, 0)

Last = tuple[int, int, int]
"""t0_ms, t1_ms and count of the newest reading."""

_NO_VALUE = int(NO_VALUE)
_COLUMNS = len(fields(Slots))
_SPARE = 96
"""Slots by which a grid grows beyond what it needs and half of it: a day."""
_NEARLY = 1 - 1e-9
"""Makes a float limit a little too low: what it lets through is surely plain."""


class Expectation(NamedTuple):
    """What the next reading must be to follow the last one.

    Attributes
    ----------
    until_ms
        It comes before this time. [ms UTC]
    rate, margin
        It rises at most by rate x time - margin, both from reply to reply and from request to request. [counts/ms],
        [counts]
    least
        It rises at least by so much. [counts]
    highest
        It shows no more than this. [counts]
    """

    until_ms: int
    rate: float
    margin: float
    least: float
    highest: int

    @classmethod
    def of(cls, version: RegisterVersion, until_ms: int, *, gauge: bool) -> Expectation:
        """Of any reading of a gauge, of a plain rise of a register."""
        highest = usable_counts(version, gauge=gauge)[1]
        if gauge:
            # Within a millisecond by more than there are counts, so that any rise will do.
            return cls(until_ms, float(MAX_ENERGY_J), 0.0, -math.inf, highest)
        return cls(until_ms, counts_per_ms(version) * _NEARLY, float(version.rounding_j / version.step_j), 0.0, highest)


_NO_READING: Last = (-FOREVER_MS, -FOREVER_MS, 0)
_NOTHING_EXPECTED = Expectation(-FOREVER_MS, 0.0, 0.0, 0.0, 0)


class MeterStream:
    """One meter's readings and slots; slots are computed when asked for, and only those that readings have touched.

    Parameters
    ----------
    versions
        As for `register_slots`.
    gauge
        Whether the readings are of power.
    max_gap_ms, topology
        As for `register_slots`.
    """

    def __init__(
        self, versions: Sequence[RegisterVersion], *, gauge: bool = False, max_gap_ms: int = SLOT_MS, topology: int = 0
    ) -> None:
        self._gauge = gauge
        self._max_gap_ms = max_gap_ms
        self._topology = topology
        self._versions = merged(versions)
        self._around = Surroundings(self._versions, gauge=gauge)
        self._days = Days()
        self._grid = _Grid()
        self._touched: list[Range] = []
        self._appended_ms = FOREVER_MS  # where the slots start that readings touched which were only appended
        self._last = _NO_READING
        self._expected = _NOTHING_EXPECTED
        self._day = Day()  # of the last reading, if another one is expected
        self._recent_ms = -FOREVER_MS  # what is expected depends on readings from then on

    def add(self, t0_ms: int, t1_ms: int, count: int, quality: int = 0, order: int = 0) -> Range:
        """Take one reading.

        A reading that follows the last one as expected is only appended; any other is put in its place.

        Returns
        -------
        Range
            Slots that may have changed.
        """
        last_t0_ms, last_ms, last_count = self._last
        until_ms, rate, margin, least, highest = self._expected
        rise = count - last_count
        # A plain rise adds no lead to the readings before it, and was not asked for before the last one was. So nothing
        # changes at edges up to the last one's request; behind it there was no other reading until now.
        if (
            last_ms < t1_ms < until_ms
            and t0_ms <= t1_ms <= t0_ms + MAX_POLL_MS
            and quality == 0
            and least <= rise
            and rise + margin <= (t1_ms - last_ms) * rate
            and rise + margin <= (t0_ms - last_t0_ms) * rate
            and 0 <= count <= highest
        ):
            self._day.append(t0_ms, t1_ms, count, order)
            self._last = t0_ms, t1_ms, count
            start = last_t0_ms - last_t0_ms % SLOT_MS
            if start < self._appended_ms:
                self._appended_ms = start
            return start, t1_ms - t1_ms % SLOT_MS + SLOT_MS
        return self._put((t0_ms, t1_ms, count, quality, order))

    def extend(self, columns: Int64) -> None:
        """Append readings each of which `add` would only append; columns as in `Samples`, of shape (5, N)."""
        # As in `add`: nothing changes before the slot of the last request.
        self._appended_ms = min(self._appended_ms, slot_of(self._last[0]))
        self._days.extend(columns)
        t0_ms, t1_ms, count, _, _ = columns[:, -1].tolist()
        self._last = t0_ms, t1_ms, count

    def expectation(self) -> tuple[Last, Expectation]:
        """What `add` compares a reading with."""
        return self._last, self._expected

    def declare(self, versions: Sequence[RegisterVersion]) -> Range:
        """Take versions learned later: a replacement, a modulus, a ratio.

        Returns
        -------
        Range
            Slots that may have changed.
        """
        changes = list(_changes(self._versions, merged(versions)))
        self._versions = merged(versions)
        self._around = Surroundings(self._versions, gauge=self._gauge)
        self._expect()
        first_ms = self._days.first_ms()
        # Only as far as there are readings: an open version ends in `FOREVER_MS`.
        inside = [(max(start_ms, first_ms), min(end_ms, self._last[1])) for start_ms, end_ms in changes]
        touched = [self._touch(start_ms, end_ms) for start_ms, end_ms in inside if start_ms <= end_ms]
        return (min(start for start, _ in touched), max(end for _, end in touched)) if touched else NOTHING

    def slots(self) -> Slots:
        """All slots, as `register_slots` or `power_slots` gives them for all readings."""
        # What was only appended is one range, up to the last reading's slot, however many readings it was.
        if self._appended_ms < FOREVER_MS:
            self._touched.append((self._appended_ms, slot_of(self._last[1]) + SLOT_MS))
        for start, end in _joined(self._touched):
            self._renew(start, end)
        self._touched = []
        self._appended_ms = FOREVER_MS
        return self._grid.slots()

    def _put(self, reading: Reading) -> Range:
        if reading[3] & _NO_VALUE or not self._days.insert(reading):
            return NOTHING
        # Older than the readings that decide about the next one, it changes nothing of what is expected.
        if reading[1] >= self._recent_ms:
            self._expect()
        return self._touch(reading[1], reading[1])

    def _touch(self, first_ms: int, last_ms: int) -> Range:
        """Mark the slots that a change of readings within [first, last] can reach."""
        start_ms = self._around.touched(self._usable(self._days.before(first_ms)))
        end_ms = self._around.touched(self._usable(self._days.since(last_ms + 1)))
        # A request under way at an edge reaches into the slot before the one of its reply, if there is one.
        start = slot_of(self._days.first_ms() if start_ms is None else start_ms - MAX_POLL_MS)
        end = slot_of(max(self._last[1], last_ms) if end_ms is None else end_ms) + SLOT_MS
        self._touched.append((start, end))
        return start, end

    def _usable(self, readings: Iterable[Reading]) -> Iterator[Neighbour]:
        """Usable readings of distinct times, in the order given; of equal times the one that stays."""
        in_time = (reading for reading in readings if reading[1] - reading[0] <= MAX_POLL_MS)
        for reading in one_per_time(in_time):
            if self._around.is_usable(reading[:4]):
                yield reading[:4]

    def _renew(self, start: int, end: int) -> None:
        """Compute the slots of [start, end) from the readings they need."""
        # None where all readings on a side are needed: then the result has the first, or the last, slot of all.
        first_ms = self._around.needed(self._usable(self._days.before(start)))
        last_ms = self._around.needed(self._usable(self._days.since(end)))
        compute = power_slots if self._gauge else register_slots
        samples = self._days.between(
            -FOREVER_MS if first_ms is None else first_ms, FOREVER_MS if last_ms is None else last_ms
        )
        slots = compute(samples, self._versions, max_gap_ms=self._max_gap_ms, topology=self._topology)
        self._grid.put(slots, start, end, from_first=first_ms is None, to_last=last_ms is None)

    def _expect(self) -> None:
        """Learn from the newest readings what the next one must be to be appended without a look at the others."""
        # Latest first. If they are fewer they are all there are, and any other reading may decide about the next one.
        recent = list(islice(self._usable(self._days.before(FOREVER_MS)), CONTEXT_SAMPLES))
        self._recent_ms = recent[-1][1] if len(recent) == CONTEXT_SAMPLES else -FOREVER_MS
        self._last = _NO_READING
        self._expected = _NOTHING_EXPECTED
        newest = next(self._days.before(FOREVER_MS), None)
        if newest is None:
            return
        t0_ms, last_ms, count, _, _ = newest
        # A t0 behind t1 counts as t1, as in `points`.
        self._last = min(t0_ms, last_ms), last_ms, count
        version = self._around.version(last_ms)
        if version is None or not recent or recent[0][1] < last_ms:
            return  # The newest reading is not usable: the next one follows another, which `add` does not know.
        are_enough = self._recent_ms >= version.from_ms  # as many as decide, and all of this version
        if self._gauge or (are_enough and is_calm(recent, version)):
            self._day = self._days.day(last_ms)  # `add` appends to one day: expect nothing beyond midnight
            midnight_ms = (last_ms // DAY_MS + 1) * DAY_MS
            until_ms = midnight_ms if version.to_ms is None else min(midnight_ms, version.to_ms)
            self._expected = Expectation.of(version, until_ms, gauge=self._gauge)


def _joined(ranges: Sequence[Range]) -> Iterator[Range]:
    """Ascending, those that touch joined."""
    result: list[Range] = []
    for start, end in sorted(ranges):
        # Ranges that only touch are joined, too: each range costs its surroundings.
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(result[-1][1], end)
        else:
            result.append((start, end))
    return iter(result)


def _changes(before: Sequence[RegisterVersion], after: Sequence[RegisterVersion]) -> Iterator[tuple[int, int]]:
    """Times over which, and moments at which, the versions say something else."""
    both = (*before, *after)
    # Between two cuts neither set of versions changes, so one look at the first moment tells for all of it.
    cuts = sorted({v.from_ms for v in both} | {FOREVER_MS if v.to_ms is None else v.to_ms for v in both})
    for first_ms, last_ms in pairwise(cuts):
        if _described(before, first_ms) != _described(after, first_ms):
            yield first_ms, last_ms
    # In a tuple, so that a version without declared counts differs from no version; the first one replaces nothing.
    starts = [{version.from_ms: (version.replacement,) for version in versions[1:]} for versions in (before, after)]
    yield from ((cut, cut) for cut in cuts if starts[0].get(cut) != starts[1].get(cut))


def _described(versions: Sequence[RegisterVersion], time_ms: int) -> tuple[Fraction, int | None, int] | None:
    for version in versions:
        if version.from_ms <= time_ms and (version.to_ms is None or time_ms < version.to_ms):
            return version.step_j, version.modulus, version.max_power_w
    return None


class _Grid:
    """Slots without a hole between them, in columns that grow."""

    def __init__(self) -> None:
        self._start_ms = 0
        self._count = 0
        self._columns = np.empty((_COLUMNS, 0), np.int64)  # those of `Slots`, with room for more than `_count`

    @property
    def _end_ms(self) -> int:
        return self._start_ms + self._count * SLOT_MS

    def slots(self) -> Slots:
        """A copy of all slots."""
        return Slots(*self._columns[:, : self._count].copy())

    def put(self, slots: Slots, start_ms: int, end_ms: int, *, from_first: bool, to_last: bool) -> None:
        """Replace the slots of [start, end); the grid begins, or ends, with them if they are the first, or the last."""
        if len(slots) == 0:
            self._count = 0
            return
        first_ms = int(slots.start_ms[0])
        last_ms = int(slots.start_ms[-1]) + SLOT_MS
        # Slots at an end of the samples are wrong unless the samples begin, or end, there with the series itself: only
        # [start, end) is taken, and what lies beyond only as far as it is the end of all.
        chosen_start = first_ms if from_first else max(start_ms, first_ms)
        chosen_end = last_ms if to_last else min(end_ms, last_ms)
        self._fit(first_ms if from_first else self._start_ms, last_ms if to_last else max(self._end_ms, chosen_end))
        place = (chosen_start - self._start_ms) // SLOT_MS
        source = (chosen_start - first_ms) // SLOT_MS
        width = max(chosen_end - chosen_start, 0) // SLOT_MS
        for column, field in zip(self._columns, fields(Slots), strict=True):
            column[place : place + width] = getattr(slots, field.name)[source : source + width]

    def _fit(self, start_ms: int, end_ms: int) -> None:
        """Make the grid reach from start to end."""
        count = (end_ms - start_ms) // SLOT_MS
        if start_ms != self._start_ms or count > self._columns.shape[1]:
            columns = np.zeros((_COLUMNS, count + count // 2 + _SPARE), np.int64)
            kept_ms = max(start_ms, self._start_ms)
            to = (kept_ms - start_ms) // SLOT_MS
            source = (kept_ms - self._start_ms) // SLOT_MS
            width = max(min(end_ms, self._end_ms) - kept_ms, 0) // SLOT_MS
            columns[:, to : to + width] = self._columns[:, source : source + width]
            self._columns = columns
        self._start_ms = start_ms
        self._count = count


class SiteStream:
    """All meters of a site, read in ticks of one reading per meter.

    Readings that follow as expected wait in one table for all meters; a meter's are handed to its stream when another
    reading needs them in place, or its slots are asked for.

    Parameters
    ----------
    meters
        One stream per meter, fed only through this site from now on.
    ticks
        How many ticks wait at most.
    """

    def __init__(self, meters: Sequence[MeterStream], ticks: int = 256) -> None:
        self._meters = tuple(meters)
        self._table = np.zeros((5, ticks, len(self._meters)), np.int64)  # columns as in `Samples`
        self._waiting = 0  # ticks in the table
        self._handed = np.zeros(len(self._meters), np.int64)  # how many of them each meter's stream has already
        self._last = np.zeros((3, len(self._meters)), np.int64)
        self._until_ms = np.zeros(len(self._meters), np.int64)
        self._highest = np.zeros(len(self._meters), np.int64)
        self._limits = np.zeros((3, len(self._meters)))  # rate, margin and least rise, as in `Expectation`
        for meter in range(len(self._meters)):
            self._learn(meter)

    def tick(self, t0_ms: Int64, t1_ms: Int64, count: Int64, quality: Int64, order: Int64) -> tuple[Int64, Int64]:
        """Take one reading per meter, each column of shape (M,).

        Returns
        -------
        tuple
            Start and end of the slots that may have changed, per meter. (M,), (M,) [ms UTC]
        """
        if self._waiting == self._table.shape[1]:
            self._hand_all()
        # Views of (M,) each, which change with `_last` below: `start` is a new array and is taken before.
        last_t0_ms, last_ms, last_count = self._last
        rate, margin, least = self._limits
        rise = count - last_count
        limit = np.minimum(t1_ms - last_ms, t0_ms - last_t0_ms) * rate
        expected = (last_ms < t1_ms) & (t1_ms < self._until_ms) & (quality == 0)
        expected &= (t0_ms <= t1_ms) & (t1_ms <= t0_ms + MAX_POLL_MS) & (count >= 0) & (count <= self._highest)
        expected &= (least <= rise) & (rise + margin <= limit)
        start = last_t0_ms - last_t0_ms % SLOT_MS
        end = t1_ms - t1_ms % SLOT_MS + SLOT_MS
        for column, values in zip(self._table, (t0_ms, t1_ms, count, quality, order), strict=True):
            column[self._waiting] = values
        self._waiting += 1
        if expected.all():
            self._last[:] = t0_ms, t1_ms, count
            return start, end
        # Of these, `_odd` puts the newest reading into `_last`, or what else the stream goes on from.
        for meter in np.flatnonzero(~expected).tolist():
            start[meter], end[meter] = self._odd(meter)
        for column, values in zip(self._last, (t0_ms, t1_ms, count), strict=True):
            column[expected] = values[expected]
        return start, end

    def slots(self, meter: int) -> Slots:
        """All slots of one meter."""
        self._hand(meter, self._waiting)
        return self._meters[meter].slots()

    def _odd(self, meter: int) -> Range:
        """Give the newest reading of a meter to its stream."""
        newest = self._waiting - 1
        # What waited first: `add` compares with the reading before this one, and `extend` takes ascending ones only.
        self._hand(meter, newest)
        touched = self._meters[meter].add(*self._table[:, newest, meter].tolist())
        self._handed[meter] = self._waiting
        self._learn(meter)
        return touched

    def _hand(self, meter: int, to: int) -> None:
        """Hand over what waits for a meter before a tick."""
        if self._handed[meter] < to:
            self._meters[meter].extend(self._table[:, self._handed[meter] : to, meter])
            self._handed[meter] = to

    def _hand_all(self) -> None:
        for meter in range(len(self._meters)):
            self._hand(meter, self._waiting)
        self._waiting = 0
        self._handed[:] = 0

    def _learn(self, meter: int) -> None:
        self._last[:, meter], expected = self._meters[meter].expectation()
        self._until_ms[meter] = expected.until_ms
        self._limits[:, meter] = expected.rate, expected.margin, expected.least
        self._highest[meter] = expected.highest
