"""Usable readings of one series in order of time, and where they need a closer look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from pue.index import Bools, ascending
from pue.quality import NO_VALUE, Flag
from pue.series import MAX_ENERGY_J
from pue.slots import Int64, Samples
from pue.versions import FLOAT32_BITS, RegisterVersion, counts_per_ms, usable_counts, version_at

MAX_POLL_MS = 60_000
"""No reply is waited for longer: a request further back is taken to be this old. [ms]"""

_BLOCK = 1 << 17
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


@dataclass(slots=True)
class Scan:
    """What one look at readings found: all are usable and ascend; pairs that need a closer look; quality bits."""

    clean: bool
    suspects: list[Int64]
    marks: int


def points_of(samples: Samples, versions: Sequence[RegisterVersion], *, gauge: bool = False) -> tuple[Points, Int64]:
    """Put readings in order and leave out what no register can show.

    Returns
    -------
    tuple
        The points, and each pair's left point where it is not plain that the register rose within its limit.
    """
    if _one_version(samples, versions):
        scan = _scan(samples.t1_ms, samples.count, samples.quality, versions[0], gauge=gauge)
        if scan.clean and scan.marks & _NO_VALUE == 0:
            start = np.zeros(1, np.int64)
            columns = (samples.t0_ms, samples.t1_ms, samples.count, samples.quality)
            points = Points(
                *columns, starts=start, versions=start, marks=scan.marks, declared=_NONE, aside_ms=_NONE, aside=_NONE
            )
            return points, ascending(*scan.suspects)
    points = _cleaned(samples, versions, gauge=gauge)
    return points, suspects_of(points, versions, gauge=gauge)


def suspects_of(points: Points, versions: Sequence[RegisterVersion], *, gauge: bool = False) -> Int64:
    """Left points of pairs that need a closer look: not plainly a rise within the limit, or of two versions."""
    found = [points.starts[1:] - 1]
    for version, start, end in points.runs():
        part = slice(start, end)
        scan = _scan(
            points.t1_ms[part], points.count[part], points.quality[part], versions[version], gauge=gauge, in_order=True
        )
        found += [start + suspects for suspects in scan.suspects]
    return ascending(*found)


def _one_version(samples: Samples, versions: Sequence[RegisterVersion]) -> bool:
    """Whether the first and the last reading fall in the only version."""
    if len(samples.t1_ms) == 0 or len(versions) > 1:
        return False
    first_ms, last_ms, end_ms = int(samples.t1_ms[0]), int(samples.t1_ms[-1]), versions[0].to_ms
    return versions[0].from_ms <= first_ms and (end_ms is None or last_ms < end_ms)


def _scan(
    t1_ms: Int64, count: Int64, quality: Int64, version: RegisterVersion, *, gauge: bool, in_order: bool = False
) -> Scan:
    """Look at every reading once, a block at a time so that temporaries stay in the cache.

    Readings that are not known to be in order are given up at the first fault.
    """
    lowest, highest = usable_counts(version, gauge=gauge)
    last = len(count) - 1
    scan = Scan(last >= 0 and lowest <= int(count[0]) <= highest, [], int(quality[0]) if last >= 0 else 0)
    spans, rises = (np.empty(max(min(_BLOCK, last), 0), np.int64) for _ in range(2))
    for start in range(0, last, _BLOCK):
        end = min(start + _BLOCK, last)
        span, rise = spans[: end - start], rises[: end - start]
        np.subtract(t1_ms[start + 1 : end + 1], t1_ms[start:end], out=span)
        np.subtract(count[start + 1 : end + 1], count[start:end], out=rise)
        shortest, fastest = int(span.min()), int(rise.max())
        falls = start + np.flatnonzero(rise < 0) if int(rise.min()) < 0 else _NONE
        least, most = int(count[falls + 1].min(initial=highest)), int(count[falls].max(initial=count[end]))
        scan.clean &= shortest > 0 and least >= lowest and most <= highest and fastest < MAX_ENERGY_J
        scan.marks |= int(np.bitwise_or.reduce(quality[start : end + 1]))
        if not in_order and (not scan.clean or scan.marks & _NO_VALUE):
            return scan
        if not gauge:
            scan.suspects += [falls, *(start + odd for odd in _odd(span, rise, shortest, fastest, most, version))]
    return scan


def _odd(span: Int64, rise: Int64, shortest: int, fastest: int, most: int, version: RegisterVersion) -> Iterator[Int64]:
    """Pairs in which the register rose faster than its limit over the time between replies, or may have wrapped."""
    rate = counts_per_ms(version)
    if fastest > shortest * rate:
        yield np.flatnonzero(rise > span * rate)
    if version.modulus is not None:
        slack = MAX_POLL_MS * rate + (2 + (most >> FLOAT32_BITS))
        if int(span.max()) * rate + slack >= version.modulus * _NEARLY:
            yield np.flatnonzero(span * rate + slack >= version.modulus * _NEARLY)


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
