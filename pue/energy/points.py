"""Usable readings of one series in order of time, and where they need a closer look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np

from pue.contract.quality import NO_VALUE, Flag
from pue.energy.index import Bools, ascending
from pue.energy.slots import Int64, Samples
from pue.energy.versions import FLOAT32_BITS, RegisterVersion, counts_per_ms, usable_counts, version_at

MAX_POLL_MS = 60_000
"""No reply is waited for longer: a request further back is taken to be this old. [ms]"""

_BLOCK = 1 << 17
_LEAP = 1 << 44  # a block's rises of at most this never pass int64
_NEARLY = 1 - 1e-9
_NONE = np.empty(0, np.int64)
_NO_VALUE = int(NO_VALUE)


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Readings with a value in their register's range, one per time, ascending.

    Attributes
    ----------
    t0_ms, t1_ms, count, quality
        As in `Samples`. (P,)
    starts, versions
        First point of each run of one version, and the version's index. (R,)
    marks
        All quality bits that occur.
    declared
        Points that are readings declared with a replacement, ascending.
    aside_ms, aside
        Times and marks of readings put aside, and of conflicts. (K,)
    """

    t0_ms: Int64
    t1_ms: Int64
    count: Int64
    quality: Int64
    starts: Int64
    versions: Int64
    marks: int
    declared: Int64
    aside_ms: Int64
    aside: Int64

    def __len__(self) -> int:
        return len(self.t1_ms)

    def version_of(self, index: Int64) -> Int64:
        """Index of the version of points."""
        return self.versions[np.searchsorted(self.starts, index, side="right") - 1]

    def asked_ms(self, index: Int64) -> Int64:
        """When points were asked for, at the earliest. [ms UTC]"""
        return asked_ms(self.t0_ms[index], self.t1_ms[index])

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """Version, first point and end of each run."""
        starts = self.starts.tolist()
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
            starts=self.starts - np.searchsorted(index, self.starts),
            declared=self.declared - np.searchsorted(index, self.declared),
            aside_ms=np.concatenate((self.aside_ms, self.t1_ms[index])),
            aside=np.concatenate((self.aside, np.full(len(index), int(mark)))),
        )


def asked_ms(t0_ms: Int64, t1_ms: Int64) -> Int64:
    """Time before which a reading cannot have been true: its request, if that is believable. [ms UTC]"""
    return np.minimum(np.maximum(t0_ms, t1_ms - MAX_POLL_MS), t1_ms)


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """What one look at readings found: all are usable and ascend; pairs that need a closer look; quality bits."""

    clean: bool
    suspects: Int64
    marks: int


def points_of(samples: Samples, versions: Sequence[RegisterVersion], *, gauge: bool = False) -> tuple[Points, Int64]:
    """Put readings in order and leave out what no register, or no gauge, can show.

    Returns
    -------
    tuple
        The points, and each pair's left point where it is not plain that the register rose within its limit.
    """
    if _one_version(samples, versions):
        scan = (_scan_gauge if gauge else _scan)(samples.t1_ms, samples.count, samples.quality, versions[0])
        if scan.clean and scan.marks & _NO_VALUE == 0:
            start = np.zeros(1, np.int64)
            columns = (samples.t0_ms, samples.t1_ms, samples.count, samples.quality)
            points = Points(
                *columns, starts=start, versions=start, marks=scan.marks, declared=_NONE, aside_ms=_NONE, aside=_NONE
            )
            return points, scan.suspects
    points = _cleaned(samples, versions, gauge=gauge)
    return points, _NONE if gauge else suspects_of(points, versions)


def suspects_of(points: Points, versions: Sequence[RegisterVersion]) -> Int64:
    """Left points of pairs that need a closer look: not plainly a rise within the limit, or of two versions."""
    found = [points.starts[1:] - 1]
    for version, start, end in points.runs():
        part = slice(start, end)
        scan = _scan(points.t1_ms[part], points.count[part], points.quality[part], versions[version])
        found.append(start + scan.suspects)
    return ascending(*found)


def _one_version(samples: Samples, versions: Sequence[RegisterVersion]) -> bool:
    """Whether the first and the last reading fall in the only version."""
    if len(samples.t1_ms) == 0 or len(versions) > 1:
        return False
    first_ms, last_ms, end_ms = int(samples.t1_ms[0]), int(samples.t1_ms[-1]), versions[0].to_ms
    return versions[0].from_ms <= first_ms and (end_ms is None or last_ms < end_ms)


def _scan_gauge(t1_ms: Int64, count: Int64, quality: Int64, version: RegisterVersion) -> Scan:
    lowest, highest = usable_counts(version, gauge=True)
    clean = bool((t1_ms[1:] > t1_ms[:-1]).all()) and lowest <= int(count.min()) and int(count.max()) <= highest
    return Scan(clean, _NONE, int(np.bitwise_or.reduce(quality)))


def _scan(t1_ms: Int64, count: Int64, quality: Int64, version: RegisterVersion) -> Scan:
    """Look at every reading of a register once, a block at a time so that the one temporary stays in the cache."""
    lowest, highest = usable_counts(version, gauge=False)
    last, rate = len(count) - 1, counts_per_ms(version)
    changes = np.empty(min(_BLOCK, last), np.int64)
    marks, shortest_ms, longest_ms = int(quality[0]), 1, []
    found, ends = [_NONE], [0]
    for start in range(0, last, _BLOCK):
        end = min(start + _BLOCK, last)
        earlier, later, change = slice(start, end), slice(start + 1, end + 1), changes[: end - start]
        np.subtract(t1_ms[later], t1_ms[earlier], out=change)
        least_ms = int(change.min())
        longest_ms.append(int(change.max()))
        np.subtract(count[later], count[earlier], out=change)
        found.append(start + _turns(change, least_ms * rate))
        shortest_ms = min(shortest_ms, least_ms)
        marks |= int(np.bitwise_or.reduce(quality[later]))
        ends.append(end)
    turns = np.concatenate(found)
    before, after = count[turns], count[turns + 1]
    extremes = np.concatenate((before, after, count[ends]))
    least, most = int(extremes.min()), int(extremes.max())
    suspects = [turns[(after < before) | (after - before > (t1_ms[turns + 1] - t1_ms[turns]) * rate)]]
    for (start, end), time_ms in zip(pairwise(ends), longest_ms, strict=True):
        if time_ms * rate >= _least_wrap(most, version):
            span_ms = t1_ms[start + 1 : end + 1] - t1_ms[start:end]
            suspects.append(start + np.flatnonzero(span_ms * rate >= _least_wrap(most, version)))
    return Scan(shortest_ms > 0 and lowest <= least and most <= highest, ascending(*suspects), marks)


def _turns(rise: Int64, plain: float) -> Int64:
    """Where a register falls or rises by more than is plain: it is lowest and highest beside these and at the ends.

    As a number without sign a fall is above any rise, so that one comparison finds both.
    """
    limit = min(max(int(plain), 0), _LEAP)
    return np.flatnonzero(rise.view(np.uint64) > np.uint64(limit))


def _least_wrap(highest: int, version: RegisterVersion) -> float:
    """What the register can at least have run between two replies if it wrapped. [counts]"""
    if version.modulus is None:
        return np.inf
    slack = MAX_POLL_MS * counts_per_ms(version) + (2 + (highest >> FLOAT32_BITS))
    return version.modulus * _NEARLY - slack


# When the readings are not simply in order


def _cleaned(samples: Samples, versions: Sequence[RegisterVersion], *, gauge: bool) -> Points:
    """Readings with a usable value, one per time, ascending; the others become marks."""
    columns, clashes = _unique(_select(samples, (samples.quality & _NO_VALUE) == 0))
    version = version_at(columns.t1_ms, versions)
    problem = np.zeros_like(columns.count)
    for index, row in enumerate(versions):
        mine = version == index
        problem[mine] = _problems(columns.count[mine], row, gauge=gauge)
    aside, keep = problem != 0, (problem == 0) & (version >= 0)
    kept, version = _select(columns, keep), version[keep]
    starts = np.flatnonzero(np.diff(version, prepend=-1))
    return Points(
        t0_ms=kept.t0_ms,
        t1_ms=kept.t1_ms,
        count=kept.count,
        quality=kept.quality,
        starts=starts,
        versions=version[starts],
        marks=int(np.bitwise_or.reduce(kept.quality, initial=0)),
        declared=np.empty(0, np.int64),
        aside_ms=np.concatenate((columns.t1_ms[aside], clashes)),
        aside=np.concatenate((problem[aside], np.full_like(clashes, int(Flag.CONFLICT)))),
    )


def _select(samples: Samples, where: Bools | Int64) -> Samples:
    return Samples(*(getattr(samples, field.name)[where] for field in fields(Samples)))


def _unique(samples: Samples) -> tuple[Samples, Int64]:
    """Ascending in time, of equal times the one with the lowest order; times at which counts differ."""
    time = samples.t1_ms
    if (time[1:] > time[:-1]).all():
        return samples, np.empty(0, np.int64)
    ranked = _select(samples, np.lexsort((samples.quality, samples.t0_ms, samples.count, samples.order, time)))
    time = ranked.t1_ms
    first = np.append(True, time[1:] > time[:-1])
    kept = ranked.count[first][np.cumsum(first) - 1]
    return _select(ranked, first), np.unique(time[ranked.count != kept])


def _problems(count: Int64, version: RegisterVersion, *, gauge: bool) -> Int64:
    """Marks of counts that cannot be used; 0 for the others."""
    lowest, highest = usable_counts(version, gauge=gauge)
    over, under = (Flag.SPIKE, Flag.SPIKE) if gauge else (Flag.RANGE, Flag.NEGATIVE)
    return np.where(count > highest, int(over), np.where(count < lowest, int(under), 0))
