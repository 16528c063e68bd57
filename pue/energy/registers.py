"""Slots of energy from a meter's readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from pue.contract.errors import Fatal
from pue.contract.quality import Flag, Quality
from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.curves import Curve, Levels, slots_of_curve
from pue.energy.index import Bools, ascending, has
from pue.energy.points import Points, points_of, suspects_of
from pue.energy.slots import Int64, Samples, Slots
from pue.energy.versions import (
    FLOAT32_BITS,
    RegisterVersion,
    counts_per_ms,
    merged,
    register_versions,
    rounded,
    scaled,
)

__all__ = ["CONTEXT_SAMPLES", "RegisterVersion", "merged", "power_slots", "register_slots", "register_versions"]

CONTEXT_SAMPLES = 12
"""Samples of distinct times, with a value in the register's range, needed before the first and after the last edge of a
range of slots so that recomputing only these gives what the whole series gives."""

KNOWN, ROLLOVER, BAD, AMBIGUOUS, CUT = range(5)
"""What two readings say together: energy known; known across one wrap; neither a rise nor a wrap that the meter can
have made; several numbers of wraps possible; different registers without a declared replacement."""


def register_slots(
    samples: Samples, versions: Sequence[RegisterVersion], *, max_gap_ms: int = SLOT_MS, topology: int = 0
) -> Slots:
    """Energy per slot from a cumulative register.

    Parameters
    ----------
    samples
        Readings in any order, with duplicates, failed reads and faults.
    versions
        Of this meter and quantity, ascending and disjoint.
    max_gap_ms
        Longest time between readings that counts as covered. [ms]
    topology
        Version of the topology document, written to every slot.

    Returns
    -------
    Slots
        Every slot from the first to the last good sample; the last one is usually still open.

    References
    ----------
    METHOD.md, "Registers".
    """
    versions = merged(versions)
    points, suspects = points_of(samples, versions)
    if any(version.replacement is not None for version in versions[1:]):
        points = _with_replacements(points, versions)
        suspects = suspects_of(points, versions)
    return slots_of_curve(_register_curve(*_without_spikes(points, suspects, versions), versions), max_gap_ms, topology)


def power_slots(
    samples: Samples, versions: Sequence[RegisterVersion], *, max_gap_ms: int = SLOT_MS, topology: int = 0
) -> Slots:
    """Energy per slot integrated from power by the trapezoid rule, never across more than a slot's length.

    Parameters
    ----------
    samples
        Readings of a power gauge, in any order.
    versions
        As for `register_slots`; `step_j` is in W.
    max_gap_ms
        Longest time between readings that is bridged, at most `SLOT_MS`. [ms]
    topology
        Version of the topology document, written to every slot.

    References
    ----------
    METHOD.md, "Power only".
    """
    versions = merged(versions)
    points, _ = points_of(samples, versions, gauge=True)
    max_gap_ms = min(max_gap_ms, SLOT_MS)
    return slots_of_curve(_power_curve(points, versions, max_gap_ms), max_gap_ms, topology)


# Replacements


def _with_replacements(points: Points, versions: Sequence[RegisterVersion]) -> Points:
    """Add the declared final and initial readings of every replacement between the first and the last point."""
    if len(points) == 0:
        return points
    first_ms, last_ms = int(points.t1_ms[0]), int(points.t1_ms[-1])
    for index in range(1, len(versions)):
        declared = versions[index].replacement
        if declared is not None and first_ms < versions[index].from_ms <= last_ms:
            points = _with_declared(points, versions[index].from_ms, index, declared)
    return points


def _with_declared(points: Points, moment_ms: int, index: int, counts: tuple[int, int]) -> Points:
    """Points with the old register's final and the new one's initial count at the moment of replacement."""
    place = int(np.searchsorted(points.t1_ms, moment_ms, side="left"))
    versions = np.insert(points.version_of(np.arange(len(points), dtype=np.int64)), place, (index - 1, index))
    starts = np.flatnonzero(np.diff(versions, prepend=-1))
    return replace(
        points,
        t0_ms=np.insert(points.t0_ms, place, (moment_ms, moment_ms)),
        t1_ms=np.insert(points.t1_ms, place, (moment_ms, moment_ms)),
        count=np.insert(points.count, place, counts),
        quality=np.insert(points.quality, place, (0, 0)),
        starts=starts,
        versions=versions[starts],
        declared=np.concatenate((points.declared, (place, place + 1))),
    )


# What two readings say together


def relate(points: Points, left: Int64, right: Int64, versions: Sequence[RegisterVersion]) -> Int64:
    """Relation of the readings at `left` to those at `right`, each earlier than its partner.

    A number of wraps is possible if the meter's limit allows the energy in the longest time there can be between the
    two, allowing for the register's resolution (a float32 register's is a 2**-23 of its reading).
    """
    result = np.full(len(left), CUT, np.int64)
    before, after = points.version_of(left), points.version_of(right)
    for index in np.unique(before[before == after]).tolist():
        mine = (before == index) & (after == index)
        result[mine] = _relate_one(points, left[mine], right[mine], versions[index])
    result[(before + 1 == after) & has(points.declared, left) & has(points.declared, right)] = KNOWN
    return result


def _relate_one(points: Points, left: Int64, right: Int64, version: RegisterVersion) -> Int64:
    before, after = points.count[left], points.count[right]
    rise, time_ms = after - before, points.t1_ms[right] - points.asked_ms(left)
    most = time_ms * counts_per_ms(version) + (1 + (np.maximum(before, after) >> FLOAT32_BITS))
    if version.modulus is None:
        return np.where((rise >= 0) & (rise <= most), KNOWN, BAD)
    least = np.where(rise < 0, rise + version.modulus, rise)
    result = np.where(least <= most, np.where(rise < 0, ROLLOVER, KNOWN), BAD)
    return np.where(least.astype(np.float64) + version.modulus <= most, AMBIGUOUS, result)


def _without_spikes(
    points: Points, suspects: Int64, versions: Sequence[RegisterVersion]
) -> tuple[Points, Int64, Int64]:
    """Put aside single readings that their neighbours contradict, marking their times; what the other pairs say.

    A reading is a candidate if its neighbours agree with each other and it does not agree with the one before it, or
    not with the one after it while that one is confirmed by the next. An unconfirmed last reading is one too. The first
    of one or two candidates in a row is put aside; in a longer row nobody can say which readings are wrong, so all
    stay, and the energy between them is unknown.
    """
    kind = relate(points, suspects, suspects + 1, versions)
    bad = suspects[kind == BAD]
    if len(bad) == 0:
        return points, suspects, kind
    candidates = _candidates(points, bad, versions)
    in_long_row = has(candidates, candidates + 1) & has(candidates, candidates + 2)
    spikes = candidates[~has(candidates, candidates - 1) & ~in_long_row]
    untouched = suspects[~has(spikes, suspects) & ~has(spikes, suspects + 1)]
    renewed = ascending(untouched, spikes - 1)
    renewed -= np.searchsorted(spikes, renewed)
    kept = points.without(spikes, Flag.SPIKE)
    renewed = renewed[renewed < len(kept) - 1]
    return kept, renewed, relate(kept, renewed, renewed + 1, versions)


def _candidates(points: Points, bad: Int64, versions: Sequence[RegisterVersion]) -> Int64:
    """Readings that may be spikes; `bad` are the left points of pairs that contradict each other."""
    last = len(points) - 1
    beside = ascending(bad[bad > 0], bad + 1)
    inner = beside[beside < last]
    next_but_one = np.minimum(inner + 2, last)
    outvoted = has(bad, inner) & (inner + 2 <= last) & ~_agree(points, inner, next_but_one, versions)
    chosen = _agree(points, inner - 1, inner + 1, versions) & (has(bad, inner - 1) | outvoted)
    return np.concatenate((inner[chosen], beside[(beside == last) & has(bad, beside - 1)]))


def _agree(points: Points, left: Int64, right: Int64, versions: Sequence[RegisterVersion]) -> Bools:
    return relate(points, left, right, versions) < BAD


# Curves


def _register_curve(points: Points, suspects: Int64, kind: Int64, versions: Sequence[RegisterVersion]) -> Curve:
    marked, marks = _quality_marks(points)
    return Curve(
        t0_ms=points.t0_ms,
        t1_ms=points.t1_ms,
        levels_j=_levels(points, suspects, kind, versions),
        limits_w=lambda index: _limits(points, index, versions),
        unknown=suspects[kind >= BAD],
        flagged=np.concatenate((suspects, marked)),
        flags=np.concatenate((_event_flags(points, suspects, kind), marks)),
        marks_ms=points.aside_ms,
        marks=points.aside,
    )


def _event_flags(points: Points, left: Int64, kind: Int64) -> Int64:
    fell = points.count[left + 1] < points.count[left]
    replaced = points.version_of(left) != points.version_of(left + 1)
    return np.select(
        [kind == ROLLOVER, kind == AMBIGUOUS, kind == CUT, (kind == BAD) & fell, kind == BAD, replaced],
        [Flag.ROLLOVER, Flag.AMBIGUOUS, Flag.RESET | Flag.REPLACED, Flag.RESET, Flag.RANGE, Flag.REPLACED],
        0,
    ).astype(np.int64)


def _quality_marks(points: Points) -> tuple[Int64, Int64]:
    """Intervals beside readings with a mark, and their marks."""
    found, marks = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for quality, flag in ((Quality.CLOCK_UNSYNCED, Flag.SKEW), (Quality.OUT_OF_BAND, Flag.MANUAL)):
        if points.marks & int(quality):
            place = np.flatnonzero(points.quality & int(quality))
            beside = ascending(place[place > 0] - 1, place[place < len(points) - 1])
            found.append(beside)
            marks.append(np.full(len(beside), int(flag)))
    return np.concatenate(found), np.concatenate(marks)


def _levels(points: Points, left: Int64, kind: Int64, versions: Sequence[RegisterVersion]) -> Levels:
    """Energy on both sides of ascending intervals: the register's, and what its falls and wraps add from there on."""
    events = left[(kind != KNOWN) | (points.version_of(left) != points.version_of(left + 1))]
    wraps = left[kind == ROLLOVER]
    lift = _counted_j(points, events, versions) - _counted_j(points, events + 1, versions)
    lift[has(wraps, events)] += _wrapped_j(points, wraps, versions)
    if np.abs(np.cumsum(lift.astype(np.float64))).max(initial=0) >= MAX_ENERGY_J:
        raise Fatal(f"energy of a series passes {MAX_ENERGY_J} J; check its modulus and its CT and PT ratios")
    lifted = np.concatenate((np.zeros(1, np.int64), np.cumsum(lift)))

    def levels_j(left: Int64) -> tuple[Int64, Int64]:
        low, high = _counted_j(points, left, versions), _counted_j(points, left + 1, versions)
        if len(events) == 0:
            return low, high
        reached, passed = np.searchsorted(left, events), np.searchsorted(left, events, side="right")
        low += np.repeat(lifted, np.diff(passed, prepend=0, append=len(left)))
        high += np.repeat(lifted, np.diff(reached, prepend=0, append=len(left)))
        return low, high

    return levels_j


def _counted_j(points: Points, index: Int64, versions: Sequence[RegisterVersion]) -> Int64:
    """What the register shows at points, each by its own version. [J]"""
    if len(versions) == 1:
        return scaled(points.count[index], versions[0].step_j)
    result, version_of = np.zeros(len(index), np.int64), points.version_of(index)
    for version in np.unique(version_of).tolist():
        mine = version_of == version
        result[mine] = scaled(points.count[index[mine]], versions[version].step_j)
    return result


def _wrapped_j(points: Points, left: Int64, versions: Sequence[RegisterVersion]) -> Int64:
    """Energy from points to the next ones across one wrap. [J]"""
    result, version_of = np.zeros(len(left), np.int64), points.version_of(left)
    for index in np.unique(version_of).tolist():
        mine, version = version_of == index, versions[index]
        unwrapped = points.count[left[mine] + 1] + (version.modulus or 0)
        result[mine] = scaled(unwrapped, version.step_j) - scaled(points.count[left[mine]], version.step_j)
    return result


def _limits(points: Points, index: Int64, versions: Sequence[RegisterVersion]) -> Int64:
    return np.array([row.max_power_w for row in versions], np.int64)[points.version_of(index)]


def _power_curve(points: Points, versions: Sequence[RegisterVersion], max_gap_ms: int) -> Curve:
    span = np.diff(points.t1_ms)
    negative = (points.count[:-1] < 0) | (points.count[1:] < 0)
    version_of = points.version_of(np.arange(len(points), dtype=np.int64))
    unknown = (span > max_gap_ms) | negative | (np.diff(version_of) != 0)
    energy = np.zeros(len(span), np.int64)
    for index, version in enumerate(versions):
        mine = ~unknown & (version_of[:-1] == index)
        counts = points.count[:-1][mine] + points.count[1:][mine]
        energy[mine] = _product(counts, span[mine], version.step_j / 2000)
    level = np.concatenate((np.zeros(1, np.int64), np.cumsum(energy)))
    marked, marks = _quality_marks(points)
    return Curve(
        t0_ms=points.t0_ms,
        t1_ms=points.t1_ms,
        levels_j=lambda left: (level[left], level[left + 1]),
        limits_w=lambda index: _limits(points, index, versions),
        unknown=np.flatnonzero(unknown),
        flagged=np.concatenate((np.flatnonzero(negative), np.flatnonzero(~unknown), marked)),
        flags=np.concatenate(
            (np.full(negative.sum(), int(Flag.NEGATIVE)), np.full((~unknown).sum(), int(Flag.INTEGRATED)), marks)
        ),
        marks_ms=points.aside_ms,
        marks=points.aside,
    )


def _product(counts: Int64, span_ms: Int64, step: Fraction) -> Int64:
    """Counts x span x step, rounded half up once. [J]"""
    largest = int(counts.max(initial=0)) * int(span_ms.max(initial=0))
    if largest < MAX_ENERGY_J:
        return scaled(counts * span_ms, step)
    pairs = zip(counts.tolist(), span_ms.tolist(), strict=True)
    return np.array([rounded(count * span * step) for count, span in pairs], np.int64)
