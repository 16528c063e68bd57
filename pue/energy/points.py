"""Usable readings of one series in order of time, and where they need a closer look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Self

import numpy as np

from pue.contract.quality import NO_VALUE, Flag
from pue.contract.series import SLOT_MS
from pue.energy.index import Bools, ascending, last_before
from pue.energy.slots import Int64, Samples
from pue.energy.versions import FLOAT32_BITS, RegisterVersion, counts_per_ms, usable_counts, version_at

MAX_POLL_MS = 60_000
"""A reading that took longer says too little about when it was true, and is set aside. [ms]"""

_BLOCK = 1 << 16
"""Readings looked at together: four columns of them and one temporary stay in a processor's cache."""
_LEAP = 1 << 44
"""A larger rise always gets a closer look. [counts]

2**16 rises of at most 2**44 are 2**60 together: from a usable count, below 2**62, they cannot reach the end of int64.
So no difference of two faulty counts that wrapped around int64 passes for a rise.
"""
_NEARLY = 1 - 1e-9
"""Makes a float limit err towards a closer look."""
_NONE = np.empty(0, np.int64)
_NO_VALUE = int(NO_VALUE)


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The readings on both sides of the I slot edges between the first and the last reading. (I,) each

    Attributes
    ----------
    left
        Place of the last reading answered at or before each edge; the next one is on the other side.
    t0_ms, t1_ms, count
        Of that reading.
    next_t0_ms, next_t1_ms, next_count
        Of the next one.
    """

    left: Int64
    t0_ms: Int64
    t1_ms: Int64
    count: Int64
    next_t0_ms: Int64
    next_t1_ms: Int64
    next_count: Int64

    @classmethod
    def at(cls, t0_ms: Int64, t1_ms: Int64, count: Int64, first: int, last: int) -> Self:
        """Of the edges in [first reading, last reading) of ascending columns."""
        # The first edge at or after the first reading, up to the last before the last reading: every edge has a reading
        # on both sides, and one at the last reading is left out.
        start_ms = -(-int(t1_ms[first]) // SLOT_MS) * SLOT_MS
        edges = np.arange(start_ms, int(t1_ms[last]), SLOT_MS, dtype=np.int64)
        left = first + last_before(t1_ms[first : last + 1], edges)
        columns = (t0_ms, t1_ms, count)
        return cls(left, *(column[left] for column in columns), *(column[left + 1] for column in columns))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Of successive stretches of the same columns."""
        if len(parts) == 1:
            return parts[0]
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """P readings with a value in their register's range, one per time, ascending.

    Attributes
    ----------
    t0_ms, t1_ms, count, quality
        As in `Samples`, with t0 <= t1 <= t0 + `MAX_POLL_MS`. (P,)
    starts, versions
        First point of each of R runs of one version, and the version's index. (R,)
    marks
        All quality bits that occur.
    aside_ms, aside
        Times and marks of readings put aside, and of conflicts. (K,)
    beside
        The readings beside slot edges, if they were gathered when every reading was looked at.
    """

    t0_ms: Int64
    t1_ms: Int64
    count: Int64
    quality: Int64
    starts: Int64
    versions: Int64
    marks: int
    aside_ms: Int64
    aside: Int64
    beside: Neighbours | None = None

    def __len__(self) -> int:
        return len(self.t1_ms)

    def neighbours(self) -> Neighbours:
        """The readings beside the slot edges between the first and the last point."""
        if self.beside is not None:
            return self.beside
        return Neighbours.at(self.t0_ms, self.t1_ms, self.count, 0, len(self) - 1)

    def version_of(self, index: Int64) -> Int64:
        """Index of the version of points."""
        # "right" counts the runs that start at or before a point: the first point of a run belongs to it.
        return self.versions[np.searchsorted(self.starts, index, side="right") - 1]

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """Version, first point and end of each run."""
        starts = self.starts.tolist()
        # Not strict: without points there is an end and no run.
        return zip(self.versions.tolist(), starts, [*starts[1:], len(self)], strict=False)

    def without(self, index: Int64, mark: Flag) -> Points:
        """The points without some that are put aside."""
        if len(index) == 0:
            return self
        return replace(
            self,
            t0_ms=np.delete(self.t0_ms, index),
            t1_ms=np.delete(self.t1_ms, index),
            count=np.delete(self.count, index),
            quality=np.delete(self.quality, index),
            # Places move up by the number of points that are removed before them.
            starts=self.starts - np.searchsorted(index, self.starts),
            aside_ms=np.concatenate((self.aside_ms, self.t1_ms[index])),
            aside=np.concatenate((self.aside, np.full(len(index), int(mark)))),
            beside=None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """What one look at readings found.

    Attributes
    ----------
    clean
        All are usable and ascend.
    suspects
        Left points of pairs that need a closer look.
    marks
        All quality bits that occur.
    beside
        What lies beside slot edges, if all is clean.
    """

    clean: bool
    suspects: Int64
    marks: int
    beside: Neighbours | None = None


def points_of(samples: Samples, versions: Sequence[RegisterVersion], *, gauge: bool = False) -> tuple[Points, Int64]:
    """Put readings in order and leave out what no register, or no gauge, can show.

    Returns
    -------
    tuple
        The points, and the left point of each pair that is not plain: a pair is plain if its rise, counted from reply
        to reply and from request to request, is none that the maximum power could not make.
    """
    if _one_version(samples, versions):
        look = _scan_gauge if gauge else _scan
        scan = look(samples.t0_ms, samples.t1_ms, samples.count, samples.quality, versions[0])
        if scan.clean and scan.marks & _NO_VALUE == 0:
            start = np.zeros(1, np.int64)
            # The usual case: nothing to put aside, so the points are the samples' own columns without a copy.
            columns = (samples.t0_ms, samples.t1_ms, samples.count, samples.quality)
            points = Points(
                *columns,
                starts=start,
                versions=start,
                marks=scan.marks,
                aside_ms=_NONE,
                aside=_NONE,
                beside=scan.beside,
            )
            return points, scan.suspects
    points = _cleaned(samples, versions, gauge=gauge)
    return points, _NONE if gauge else suspects_of(points, versions)


def suspects_of(points: Points, versions: Sequence[RegisterVersion]) -> Int64:
    """Left points of pairs that are not plain, or of two versions."""
    found = [points.starts[1:] - 1]
    for version, start, end in points.runs():
        part = slice(start, end)
        columns = (points.t0_ms[part], points.t1_ms[part], points.count[part], points.quality[part])
        found.append(start + _scan(*columns, versions[version]).suspects)
    return ascending(*found)


def _one_version(samples: Samples, versions: Sequence[RegisterVersion]) -> bool:
    """Whether the first and the last reading fall in the only version."""
    if len(samples.t1_ms) == 0 or len(versions) > 1:
        return False
    first_ms = int(samples.t1_ms[0])
    last_ms = int(samples.t1_ms[-1])
    end_ms = versions[0].to_ms
    return versions[0].from_ms <= first_ms and (end_ms is None or last_ms < end_ms)


def _scan_gauge(t0_ms: Int64, t1_ms: Int64, count: Int64, quality: Int64, version: RegisterVersion) -> Scan:
    lowest, highest = usable_counts(version, gauge=True)
    took_ms = t1_ms - t0_ms
    # Two readings of one time are not in order either: which one stays is decided in `_unique`.
    in_order = bool((t1_ms[1:] > t1_ms[:-1]).all())
    in_time = int(took_ms.min()) >= 0 and int(took_ms.max()) <= MAX_POLL_MS
    in_range = lowest <= int(count.min()) and int(count.max()) <= highest
    return Scan(in_order and in_time and in_range, _NONE, int(np.bitwise_or.reduce(quality)))


def _scan(t0_ms: Int64, t1_ms: Int64, count: Int64, quality: Int64, version: RegisterVersion) -> Scan:
    """Look at every reading of a register once, a block at a time so that temporaries stay in the cache.

    A block's shortest time and largest difference of reply times give one limit under which every rise in it is plain.
    The few above it are looked at one by one.
    """
    lowest, highest = usable_counts(version, gauge=False)
    rate = counts_per_ms(version)
    last = len(count) - 1
    # One buffer for three differences in turn: of each, all is read before the next one is written.
    temporary = np.empty(min(_BLOCK, last) + 1, np.int64)
    marks = int(np.bitwise_or.reduce(quality))
    quickest_ms = slowest_ms = int(t1_ms[0] - t0_ms[0])
    shortest_ms = 1
    longest_ms: list[int] = []
    turns = [_NONE]
    ends = [0]
    beside: list[Neighbours] = []
    # Blocks share a reading, so that every pair lies in one; edges they take half-open, so that every edge does.
    for start in range(0, last, _BLOCK):
        end = min(start + _BLOCK, last)
        took = np.subtract(t1_ms[start : end + 1], t0_ms[start : end + 1], out=temporary[: end + 1 - start])
        quickest = int(took.min())
        slowest = int(took.max())
        change = np.subtract(t1_ms[start + 1 : end + 1], t1_ms[start:end], out=temporary[: end - start])
        least_ms = int(change.min())
        longest_ms.append(int(change.max()))
        change = np.subtract(count[start + 1 : end + 1], count[start:end], out=change)
        # From request to request at least this long: replies differ by no more than slowest - quickest.
        turns.append(start + _turns(change, (least_ms - (slowest - quickest)) * rate - _margin(version)))
        quickest_ms = min(quickest_ms, quickest)
        slowest_ms = max(slowest_ms, slowest)
        if least_ms > 0:
            # Only ascending times can be searched; others are put in order first and looked at again.
            beside.append(Neighbours.at(t0_ms, t1_ms, count, start, end))
        shortest_ms = min(shortest_ms, least_ms)
        ends.append(end)
    turn = np.concatenate(turns)
    # Between turns a register only rises, so its extremes lie beside turns or at the ends of blocks.
    extremes = np.concatenate((count[turn], count[turn + 1], count[ends]))
    usable = lowest <= int(extremes.min()) and int(extremes.max()) <= highest
    in_time = quickest_ms >= 0 and slowest_ms <= MAX_POLL_MS
    wraps = _unseen_wraps(t1_ms, ends, longest_ms, int(extremes.max()), version)
    is_clean = shortest_ms > 0 and usable and in_time
    suspects = ascending(_not_plain(t0_ms, t1_ms, count, turn, version), wraps)
    return Scan(is_clean, suspects, marks, Neighbours.joined(beside) if is_clean and beside else None)


def _turns(rise: Int64, plain: float) -> Int64:
    """Where a register falls, or rises by more than is plain.

    A negative number seen as one without sign is above every positive one: one comparison finds falls and leaps.
    """
    if plain < 0:  # requests may have overtaken each other: then even no rise is too much
        return np.arange(len(rise))
    limit = min(int(plain), _LEAP)
    return np.flatnonzero(rise.view(np.uint64) > np.uint64(limit))


def _margin(version: RegisterVersion) -> float:
    """What rounding two levels to whole joules can add to a rise. [counts]"""
    return float(version.rounding_j / version.step_j)


def _not_plain(t0_ms: Int64, t1_ms: Int64, count: Int64, turn: Int64, version: RegisterVersion) -> Int64:
    """Those of some pairs whose rise is not plain; one too many does no harm."""
    rise = count[turn + 1] - count[turn]
    # Both ways, because leads before count from request to request and leads after from reply to reply.
    time_ms = np.minimum(t1_ms[turn + 1] - t1_ms[turn], t0_ms[turn + 1] - t0_ms[turn])
    plain = time_ms * (counts_per_ms(version) * _NEARLY) - _margin(version)
    return np.asarray(turn[(rise < 0) | (rise > plain)], np.int64)


def _unseen_wraps(
    t1_ms: Int64, ends: Sequence[int], longest_ms: Sequence[int], highest: int, version: RegisterVersion
) -> Int64:
    """Pairs so long that the register can have wrapped between them and looks as if it only rose."""
    if version.modulus is None:
        return _NONE
    rate = counts_per_ms(version)
    # Ambiguous is a pair with rise + modulus <= most (METHOD.md, "Registers"). Most counts from request to reply, at
    # most a poll longer than from reply to reply; without rise that leaves time x rate >= modulus - slack. A register
    # of 1,000,000 kWh at 500 kW: 83 days.
    slack = MAX_POLL_MS * rate + (2 + (highest >> FLOAT32_BITS))
    least_ms = (version.modulus * _NEARLY - slack) / rate
    found = [_NONE]
    for (start, end), time_ms in zip(pairwise(ends), longest_ms, strict=True):
        if time_ms >= least_ms:
            found.append(start + np.flatnonzero(np.diff(t1_ms[start : end + 1]) >= least_ms))
    return np.concatenate(found)


# When the readings are not simply in order


def _cleaned(samples: Samples, versions: Sequence[RegisterVersion], *, gauge: bool) -> Points:
    """Readings with a usable value, one per time, ascending; the others become marks."""
    # The five steps of METHOD.md, "Registers", in their order. Slow readings go before `_unique`, so that none of them
    # can displace a good one of its time; counts out of range go after it: one that came first leaves no reading of its
    # time.
    valued = _select(samples, (samples.quality & _NO_VALUE) == 0)
    is_slow = valued.t1_ms - valued.t0_ms > MAX_POLL_MS
    slow = valued.t1_ms[is_slow]
    columns, clashes = _unique(_select(valued, ~is_slow))
    version = version_at(columns.t1_ms, versions)
    problem = np.zeros_like(columns.count)
    for index, row in enumerate(versions):
        mine = version == index
        problem[mine] = _problems(columns.count[mine], row, gauge=gauge)
    aside = problem != 0
    keep = ~aside & (version >= 0)
    kept = _select(columns, keep)
    version = version[keep]
    # No version that is kept is -1, so the first point starts a run; versions ascend with time, so each has one run.
    starts = np.flatnonzero(np.diff(version, prepend=-1))
    conflict = np.full_like(clashes, int(Flag.CONFLICT))
    return Points(
        t0_ms=np.minimum(kept.t0_ms, kept.t1_ms),  # a clock that was set back while the meter answered
        t1_ms=kept.t1_ms,
        count=kept.count,
        quality=kept.quality,
        starts=starts,
        versions=version[starts],
        marks=int(np.bitwise_or.reduce(kept.quality, initial=0)),
        aside_ms=np.concatenate((columns.t1_ms[aside], clashes, slow)),
        aside=np.concatenate((problem[aside], conflict, np.full_like(slow, int(Flag.SLOW)))),
    )


def _select(samples: Samples, where: Bools | Int64) -> Samples:
    return Samples(*(getattr(samples, field.name)[where] for field in fields(Samples)))


def _unique(samples: Samples) -> tuple[Samples, Int64]:
    """Ascending in time, of equal times the one with the lowest order; times at which counts differ."""
    time = samples.t1_ms
    if (time[1:] > time[:-1]).all():
        return samples, np.empty(0, np.int64)
    # lexsort takes its last key first: by time, then order, count, t0, quality.
    ranked = _select(samples, np.lexsort((samples.quality, samples.t0_ms, samples.count, samples.order, time)))
    time = ranked.t1_ms
    first = np.append(True, time[1:] > time[:-1])
    # cumsum(first) - 1 numbers the times: times 5 5 7 have first 1 0 1 and numbers 0 0 1. So `kept` is, for every
    # reading, the count of the one of its time that stays.
    kept = ranked.count[first][np.cumsum(first) - 1]
    return _select(ranked, first), np.unique(time[ranked.count != kept])


def _problems(count: Int64, version: RegisterVersion, *, gauge: bool) -> Int64:
    """Marks of counts that cannot be used; 0 for the others."""
    lowest, highest = usable_counts(version, gauge=gauge)
    over, under = (Flag.SPIKE, Flag.SPIKE) if gauge else (Flag.RANGE, Flag.NEGATIVE)
    return np.where(count > highest, int(over), np.where(count < lowest, int(under), 0))
