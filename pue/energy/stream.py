"""Slots kept up to date while readings arrive, equal to the batch bit for bit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from fractions import Fraction
from itertools import groupby, islice, pairwise

import numpy as np

from pue.contract.quality import NO_VALUE
from pue.contract.series import MAX_ENERGY_J, SLOT_MS, slot_of
from pue.energy.context import CONTEXT_SAMPLES, Surroundings
from pue.energy.days import DAY_MS, Day, Days, Reading, rank
from pue.energy.points import MAX_POLL_MS
from pue.energy.power import power_slots
from pue.energy.registers import register_slots
from pue.energy.slots import Int64, Slots
from pue.energy.versions import FLOAT32_BITS, RegisterVersion, counts_per_ms, merged, most_counts, usable_counts

Range = tuple[int, int]
"""Half-open time on slot edges; empty if both are equal. [ms UTC]"""

NOTHING: Range = (0, 0)

Around = tuple[int, int, int, int]
"""t0_ms, t1_ms, count, quality of a usable reading."""

_NO_VALUE = int(NO_VALUE)
_FOREVER_MS = MAX_ENERGY_J
_COLUMNS = len(fields(Slots))
_SPARE = 96


_Limits = tuple[int, float, float, int]
"""Of the next reading: the end of its time, the register's rate, least rise and highest count."""

_NO_READING = (-_FOREVER_MS, -_FOREVER_MS, 0)
_NOTHING_EXPECTED: _Limits = (-_FOREVER_MS, 0.0, 0.0, 0)


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
        self._appends = Day().appends
        self._grid = _Grid()
        self._touched: list[Range] = []
        self._tail_ms = _FOREVER_MS
        self._last = _NO_READING
        self._limits = _NOTHING_EXPECTED
        self._expect()

    def add(self, t0_ms: int, t1_ms: int, count: int, quality: int = 0, order: int = 0) -> Range:
        """Take one reading.

        A reading that follows the last one as expected is only appended; any other is put in its place.

        Returns
        -------
        Range
            Slots that may have changed.
        """
        last_t0_ms, last_ms, last_count = self._last
        until_ms, rate, least, highest = self._limits
        rise = count - last_count
        # Only a plain rise leaves the leads, and with them the edges before the last reading, as they are.
        if (
            last_ms < t1_ms < until_ms
            and t0_ms <= t1_ms <= t0_ms + MAX_POLL_MS
            and quality == 0
            and least <= rise <= (t1_ms - last_ms) * rate
            and rise <= (t0_ms - last_t0_ms) * rate
            and 0 <= count <= highest
        ):
            add_t0, add_t1, add_count, add_quality, add_order = self._appends
            add_t0(t0_ms)
            add_t1(t1_ms)
            add_count(count)
            add_quality(0)
            add_order(order)
            self._last = t0_ms, t1_ms, count
            start = last_t0_ms - last_t0_ms % SLOT_MS
            if start < self._tail_ms:
                self._tail_ms = start
            return start, t1_ms - t1_ms % SLOT_MS + SLOT_MS
        return self._put((t0_ms, t1_ms, count, quality, order))

    def extend(self, columns: Int64) -> None:
        """Append readings each of which `add` would only append; columns as in `Samples`, of shape (5, N)."""
        self._tail_ms = min(self._tail_ms, slot_of(self._last[0]))
        self._days.extend(columns)
        t0_ms, t1_ms, count, _, _ = columns[:, -1].tolist()
        self._last = t0_ms, t1_ms, count

    def expectation(self) -> tuple[tuple[int, int, int], tuple[int, float, float, int]]:
        """What `add` compares a reading with: the last one's t0, t1 and count, and the limits of the next."""
        return self._last, self._limits

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
        oldest_ms = next((reading[1] for reading in self._days.since(-_FOREVER_MS)), _FOREVER_MS)
        inside = [(max(first, oldest_ms), min(last, self._last[1])) for first, last in changes]
        touched = [self._touch(first, last) for first, last in inside if first <= last]
        return (min(start for start, _ in touched), max(end for _, end in touched)) if touched else NOTHING

    def slots(self) -> Slots:
        """All slots, as `register_slots` or `power_slots` gives them for all readings."""
        if self._tail_ms < _FOREVER_MS:
            self._touched.append((self._tail_ms, slot_of(self._last[1]) + SLOT_MS))
        for start, end in _joined(self._touched):
            self._renew(start, end)
        self._touched, self._tail_ms = [], _FOREVER_MS
        return self._grid.slots()

    def _put(self, reading: Reading) -> Range:
        if reading[3] & _NO_VALUE or not self._days.insert(reading):
            return NOTHING
        self._expect()
        return self._touch(reading[1], reading[1])

    def _touch(self, first_ms: int, last_ms: int) -> Range:
        """Mark the slots that a change of readings within [first, last] can reach."""
        start_ms = self._around.touched(self._usable(self._days.before(first_ms)))
        end_ms = self._around.touched(self._usable(self._days.since(last_ms + 1)))
        start_ms = self._first_ms(first_ms) if start_ms is None else start_ms
        end_ms = max(self._last[1], last_ms) if end_ms is None else end_ms
        touched = slot_of(start_ms - MAX_POLL_MS), slot_of(end_ms) + SLOT_MS
        self._touched.append(touched)
        return touched

    def _first_ms(self, from_ms: int) -> int:
        """Time of the first reading, at most some time."""
        return min(next((reading[1] for reading in self._days.since(-_FOREVER_MS)), from_ms), from_ms)

    def _usable(self, readings: Iterable[Reading]) -> Iterator[Around]:
        """Usable readings of distinct times, in the order given; of equal times the one that stays."""
        for _, same_time in groupby(readings, key=lambda reading: reading[1]):
            in_time = [reading for reading in same_time if reading[1] - reading[0] <= MAX_POLL_MS]
            if in_time:
                t0_ms, t1_ms, count, quality, _ = min(in_time, key=rank)
                if self._around.is_usable((t0_ms, t1_ms, count, quality)):
                    yield t0_ms, t1_ms, count, quality

    def _renew(self, start: int, end: int) -> None:
        first_ms = self._around.needed(self._usable(self._days.before(start)))
        last_ms = self._around.needed(self._usable(self._days.since(end)))
        compute = power_slots if self._gauge else register_slots
        samples = self._days.between(
            -_FOREVER_MS if first_ms is None else first_ms, _FOREVER_MS if last_ms is None else last_ms
        )
        slots = compute(samples, self._versions, max_gap_ms=self._max_gap_ms, topology=self._topology)
        self._grid.put(slots, start, end, from_first=first_ms is None, to_last=last_ms is None)

    def _expect(self) -> None:
        """Learn from the newest readings what the next one must be to be appended without a look at the others."""
        self._last = _NO_READING
        self._limits = _NOTHING_EXPECTED
        newest = next(self._days.before(_FOREVER_MS), None)
        if newest is None:
            return
        t0_ms, last_ms, count, _, _ = newest
        self._last = min(max(t0_ms, last_ms - MAX_POLL_MS), last_ms), last_ms, count
        version = self._around.version(last_ms)
        recent = list(islice(self._usable(self._days.before(_FOREVER_MS)), CONTEXT_SAMPLES))
        if version is None or not recent or recent[0][1] < last_ms:
            return
        day_end_ms = (last_ms // DAY_MS + 1) * DAY_MS
        until_ms = day_end_ms if version.to_ms is None else min(day_end_ms, version.to_ms)
        if self._gauge or (len(recent) == CONTEXT_SAMPLES and self._is_calm(recent, version)):
            self._limits = _limits_of(version, until_ms, gauge=self._gauge)
            self._appends = self._days.day(last_ms).appends

    def _is_calm(self, recent: Sequence[Around], version: RegisterVersion) -> bool:
        """Whether each of the newest readings of one version can follow the one before it: no spike is near."""
        inside = all(reading[1] >= version.from_ms for reading in recent)
        return inside and all(_follows(before, after, version) for after, before in pairwise(recent))


def _limits_of(version: RegisterVersion, until_ms: int, *, gauge: bool) -> _Limits:
    highest = usable_counts(version, gauge=gauge)[1]
    if gauge:
        return until_ms, math.inf, -math.inf, highest
    # A little less than the rate, and a joule's worth where levels are rounded: what is let through is surely plain.
    rate = counts_per_ms(version) * (1 - 1e-9)
    return until_ms, max(rate - float(version.rounding_j / version.step_j), 0.0), 0.0, highest


def _follows(before: Around, after: Around, version: RegisterVersion) -> bool:
    """Whether a reading is possible after another, as `pue.energy.relations` says of plain rises and rollovers."""
    rise = after[2] - before[2]
    if rise < 0 and version.modulus is not None:
        rise += version.modulus
    time_ms = np.array([after[1] - min(before[:2])], np.int64)
    most = int(most_counts(version, time_ms)[0]) + 1 + (max(after[2], before[2]) >> FLOAT32_BITS)
    return before[1] < after[1] and 0 <= rise <= most


def _joined(ranges: Sequence[Range]) -> Iterator[Range]:
    """Ascending, those that touch joined."""
    result: list[Range] = []
    for start, end in sorted(ranges):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(result[-1][1], end)
        else:
            result.append((start, end))
    return iter(result)


def _changes(before: Sequence[RegisterVersion], after: Sequence[RegisterVersion]) -> Iterator[tuple[int, int]]:
    """Times over which, and moments at which, the versions say something else."""
    both = (*before, *after)
    cuts = sorted({v.from_ms for v in both} | {_FOREVER_MS if v.to_ms is None else v.to_ms for v in both})
    for first_ms, last_ms in pairwise(cuts):
        if _described(before, first_ms) != _described(after, first_ms):
            yield first_ms, last_ms
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
        self._start_ms, self._count = 0, 0
        self._columns = np.empty((_COLUMNS, 0), np.int64)

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
        first_ms, last_ms = int(slots.start_ms[0]), int(slots.start_ms[-1]) + SLOT_MS
        chosen_start = first_ms if from_first else max(start_ms, first_ms)
        chosen_end = last_ms if to_last else min(end_ms, last_ms)
        self._fit(first_ms if from_first else self._start_ms, last_ms if to_last else max(self._end_ms, chosen_end))
        place, source = (chosen_start - self._start_ms) // SLOT_MS, (chosen_start - first_ms) // SLOT_MS
        width = max(chosen_end - chosen_start, 0) // SLOT_MS
        for column, field in zip(self._columns, fields(Slots), strict=True):
            column[place : place + width] = getattr(slots, field.name)[source : source + width]

    def _fit(self, start_ms: int, end_ms: int) -> None:
        """Make the grid reach from start to end."""
        count = (end_ms - start_ms) // SLOT_MS
        if start_ms != self._start_ms or count > self._columns.shape[1]:
            columns = np.zeros((_COLUMNS, count + count // 2 + _SPARE), np.int64)
            kept_ms = max(start_ms, self._start_ms)
            to, source = (kept_ms - start_ms) // SLOT_MS, (kept_ms - self._start_ms) // SLOT_MS
            width = max(min(end_ms, self._end_ms) - kept_ms, 0) // SLOT_MS
            columns[:, to : to + width] = self._columns[:, source : source + width]
            self._columns = columns
        self._start_ms, self._count = start_ms, count


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
        self._table = np.zeros((5, ticks, len(self._meters)), np.int64)
        self._waiting = 0
        self._handed = np.zeros(len(self._meters), np.int64)
        self._last = np.zeros((3, len(self._meters)), np.int64)
        self._until_ms, self._highest = (np.zeros(len(self._meters), np.int64) for _ in range(2))
        self._limits = np.zeros((2, len(self._meters)))
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
        last_t0_ms, last_ms, last_count = self._last
        rate, least = self._limits
        rise = count - last_count
        limit = np.minimum(t1_ms - last_ms, t0_ms - last_t0_ms) * rate
        expected = (last_ms < t1_ms) & (t1_ms < self._until_ms) & (quality == 0)
        expected &= (t0_ms <= t1_ms) & (t1_ms <= t0_ms + MAX_POLL_MS) & (count >= 0) & (count <= self._highest)
        expected &= (least <= rise) & (rise <= limit)
        start = last_t0_ms - last_t0_ms % SLOT_MS
        end = t1_ms - t1_ms % SLOT_MS + SLOT_MS
        for column, values in zip(self._table, (t0_ms, t1_ms, count, quality, order), strict=True):
            column[self._waiting] = values
        self._waiting += 1
        if expected.all():
            self._last[:] = t0_ms, t1_ms, count
            return start, end
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
        self._last[:, meter], limits = self._meters[meter].expectation()
        self._until_ms[meter], *self._limits[:, meter], self._highest[meter] = limits
