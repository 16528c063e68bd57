"""Slots of energy from a meter's readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from pue import topology as documents
from pue.curves import Curve, slots_of_curve
from pue.errors import Fatal
from pue.quality import NO_VALUE, Flag, Quality
from pue.series import MAX_ENERGY_J, SLOT_MS
from pue.slots import Int64, Samples, Slots

CONTEXT_SAMPLES = 12
"""Samples of distinct times, with a value in the register's range, needed before the first and after the last edge of a
range of slots so that recomputing only these gives what the whole series gives."""

KNOWN, ROLLOVER, BAD, AMBIGUOUS, CUT = range(5)
"""What two readings say together: energy known; known across one wrap; neither a rise nor a wrap that the meter can
have made; several numbers of wraps possible; different registers without a declared replacement."""

FLOAT32_BITS = 23
"""A float32 register's resolution is 2**-23 of its reading, or less."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RegisterVersion:
    """How one quantity of one meter was counted within [from_ms, to_ms).

    Attributes
    ----------
    from_ms, to_ms
        Validity, half-open; None is open. [ms UTC]
    step_j
        Size of a count on the primary side, CT and PT included. [J, or W for power]
    modulus
        Where the register wraps; None if it is not known to. [counts]
    max_power_w
        The most the meter can carry, primary side. [W]
    replacement
        Declared at `from_ms`: final count of the old register, initial count of this one. [counts]
    continues
        Whether, without a declared replacement, this is the register of the version before.
    """

    from_ms: int
    to_ms: int | None
    step_j: Fraction
    modulus: int | None
    max_power_w: int
    replacement: tuple[int, int] | None = None
    continues: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class _Points:
    """Readings kept, in order of time, with the declared readings of replacements among them."""

    t0: Int64
    t1: Int64
    count: Int64
    level: Int64
    marks: Int64
    version: Int64
    declared: Bools
    aside_ms: Int64
    aside: Int64

    def select(self, where: Bools) -> _Points:
        """The points at a mask; what was put aside stays."""
        return replace(
            self,
            t0=self.t0[where],
            t1=self.t1[where],
            count=self.count[where],
            level=self.level[where],
            marks=self.marks[where],
            version=self.version[where],
            declared=self.declared[where],
        )


def register_versions(meter: documents.Meter, quantity: str) -> tuple[RegisterVersion, ...]:
    """Versions of one quantity of a meter, in order of time; versions without such a register are left out."""
    result: list[RegisterVersion] = []
    serial = None
    for version in sorted(meter.versions, key=lambda row: row.from_ms):
        register = next((row for row in version.registers if row.quantity == quantity), None)
        if register is None:
            continue
        result.append(
            RegisterVersion(
                from_ms=version.from_ms,
                to_ms=version.to_ms,
                step_j=register.step * version.ratio,
                modulus=register.modulus,
                max_power_w=version.max_power_w,
                replacement=_replacement(version, quantity),
                continues=serial in (None, version.serial),
            )
        )
        serial = version.serial
    return tuple(result)


def _replacement(version: documents.MeterVersion, quantity: str) -> tuple[int, int] | None:
    for row in version.replacements:
        if row.quantity == quantity:
            return row.old_final_count, row.new_initial_count
    return None


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
    points = _with_replacements(_points(samples, versions), versions)
    points = _without_spikes(points, versions)
    return slots_of_curve(_register_curve(points, versions), max_gap_ms, topology)


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
    points = _points(samples, versions, gauge=True)
    max_gap_ms = min(max_gap_ms, SLOT_MS)
    return slots_of_curve(_power_curve(points, versions, max_gap_ms), max_gap_ms, topology)


def merged(versions: Sequence[RegisterVersion]) -> tuple[RegisterVersion, ...]:
    """Join versions between which the register simply went on.

    Raises
    ------
    Fatal
        If there are none, or they overlap or are out of order.
    """
    if not versions:
        raise Fatal("a series has no register version; add the meter's version with this quantity to the topology")
    result = [versions[0]]
    for version in versions[1:]:
        before = result[-1]
        if before.to_ms is None or before.to_ms > version.from_ms:
            raise Fatal(
                f"register version from {version.from_ms} starts before the one before it ends; close that first"
            )
        if _goes_on(before, version):
            power = max(before.max_power_w, version.max_power_w)
            result[-1] = replace(before, to_ms=version.to_ms, max_power_w=power)
        else:
            result.append(version)
    return tuple(result)


def _goes_on(before: RegisterVersion, after: RegisterVersion) -> bool:
    same = (before.step_j, before.modulus, before.to_ms) == (after.step_j, after.modulus, after.from_ms)
    return same and after.continues and after.replacement is None


# Cleaning


def _points(samples: Samples, versions: Sequence[RegisterVersion], *, gauge: bool = False) -> _Points:
    """Readings with a usable value, one per time, ascending; the others become marks."""
    columns, clashes = _unique(_valued(samples))
    version = _version_at(columns.t1_ms, versions)
    level = np.zeros_like(columns.count)
    problem = np.zeros_like(columns.count)
    for index, row in enumerate(versions):
        mine = version == index
        problem[mine] = _problems(columns.count[mine], row, gauge=gauge)
        usable = mine & (problem == 0)
        level[usable] = scaled(columns.count[usable], row.step_j)
    aside = problem != 0
    keep = ~aside & (version >= 0)
    return _Points(
        t0=np.minimum(columns.t0_ms, columns.t1_ms)[keep],
        t1=columns.t1_ms[keep],
        count=columns.count[keep],
        level=level[keep],
        marks=_quality_marks(columns.quality[keep]),
        version=version[keep],
        declared=np.zeros(int(keep.sum()), np.bool_),
        aside_ms=np.concatenate((columns.t1_ms[aside], clashes)),
        aside=np.concatenate((problem[aside], np.full_like(clashes, int(Flag.CONFLICT)))),
    )


def _valued(samples: Samples) -> Samples:
    good = (samples.quality & int(NO_VALUE)) == 0
    if good.all():
        return samples
    return _select(samples, good)


def _select(samples: Samples, where: Bools | Int64) -> Samples:
    columns = (samples.t0_ms, samples.t1_ms, samples.count, samples.quality, samples.order)
    return Samples(*(column[where] for column in columns))


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


def _version_at(time_ms: Int64, versions: Sequence[RegisterVersion]) -> Int64:
    """Index of the version valid at a time, -1 where there is none."""
    starts = np.array([row.from_ms for row in versions], np.int64)
    ends = np.array([MAX_ENERGY_J if row.to_ms is None else row.to_ms for row in versions], np.int64)
    index: Int64 = np.searchsorted(starts, time_ms, side="right") - 1
    return np.where((index >= 0) & (time_ms < ends[index]), index, -1)


def usable_counts(version: RegisterVersion, *, gauge: bool) -> tuple[int, int]:
    """Lowest and highest count that is no fault in itself."""
    safe = int((MAX_ENERGY_J - 1) / version.step_j)
    if gauge:
        most = min(int(version.max_power_w / version.step_j) + 1, safe)
        return -most, most
    return 0, safe if version.modulus is None else min(version.modulus - 1, safe)


def _problems(count: Int64, version: RegisterVersion, *, gauge: bool) -> Int64:
    """Marks of counts that cannot be used; 0 for the others."""
    lowest, highest = usable_counts(version, gauge=gauge)
    over, under = (Flag.SPIKE, Flag.SPIKE) if gauge else (Flag.RANGE, Flag.NEGATIVE)
    return np.where(count > highest, int(over), np.where(count < lowest, int(under), 0))


def rounded(value: Fraction) -> int:
    """Nearest whole number, halves up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def scaled(count: Int64, step: Fraction) -> Int64:
    """Count x step rounded half up once; the caller keeps the result under `MAX_ENERGY_J`. [J]"""
    top, bottom = step.numerator, step.denominator
    largest = int(np.abs(count).max(initial=0))
    if 2 * (largest + 1) * top + bottom < MAX_ENERGY_J:
        return (2 * count * top + bottom) // (2 * bottom) if bottom > 1 else count * top
    return np.array([rounded(value * step) for value in count.tolist()], np.int64)


def _quality_marks(quality: Int64) -> Int64:
    unsynced, by_hand = (quality & int(mark) != 0 for mark in (Quality.CLOCK_UNSYNCED, Quality.OUT_OF_BAND))
    return np.asarray(np.where(unsynced, int(Flag.SKEW), 0) | np.where(by_hand, int(Flag.MANUAL), 0), np.int64)


# Replacements


def _with_replacements(points: _Points, versions: Sequence[RegisterVersion]) -> _Points:
    """Add the declared final and initial readings of every replacement between the first and the last point."""
    for index in range(1, len(versions)):
        declared = versions[index].replacement
        if declared is None or len(points.t1) == 0:
            continue
        moment = versions[index].from_ms
        if points.t1[0] < moment <= points.t1[-1]:
            points = _with_declared(points, versions, index, declared)
    return points


def _with_declared(
    points: _Points, versions: Sequence[RegisterVersion], index: int, declared: tuple[int, int]
) -> _Points:
    moment = versions[index].from_ms
    place = int(np.searchsorted(points.version, index, side="left"))
    level = [int(scaled(np.array([declared[n]]), versions[index - 1 + n].step_j)[0]) for n in (0, 1)]

    def put(column: Int64, values: Sequence[int]) -> Int64:
        return np.insert(column, place, values)

    return _Points(
        t0=put(points.t0, [moment, moment]),
        t1=put(points.t1, [moment, moment]),
        count=put(points.count, declared),
        level=put(points.level, level),
        marks=put(points.marks, [0, 0]),
        version=put(points.version, [index - 1, index]),
        declared=np.insert(points.declared, place, [True, True]),
        aside_ms=points.aside_ms,
        aside=points.aside,
    )


# What two readings say together


def relate(points: _Points, left: Int64, right: Int64, versions: Sequence[RegisterVersion]) -> Int64:
    """Relation of the readings at `left` to those at `right`, each earlier than its partner.

    A number of wraps is possible if the meter's limit allows the energy in the longest time there can be between the
    two, allowing for the register's resolution (a float32 register's is a 2**-23 of its reading).
    """
    result = np.full(len(left), CUT, np.int64)
    same = points.version[left] == points.version[right]
    for index in np.unique(points.version[left[same]]):
        mine = same & (points.version[left] == index)
        result[mine] = _relate_one(points, left[mine], right[mine], versions[index])
    exchanged = points.declared[left] & points.declared[right] & (points.version[left] + 1 == points.version[right])
    result[exchanged & ~same] = KNOWN
    return result


def _relate_one(points: _Points, left: Int64, right: Int64, version: RegisterVersion) -> Int64:
    before, after = points.count[left], points.count[right]
    rise = after - before
    most = _most_counts(points.t1[right] - points.t0[left], np.maximum(before, after), version)
    if version.modulus is None:
        return np.where((rise >= 0) & (rise <= most), KNOWN, BAD)
    least = np.where(rise < 0, rise + version.modulus, rise)
    result = np.where(least <= most, np.where(rise < 0, ROLLOVER, KNOWN), BAD)
    return np.where(least.astype(np.float64) + version.modulus <= most, AMBIGUOUS, result)


def _most_counts(time_ms: Int64, reading: Int64, version: RegisterVersion) -> npt.NDArray[np.float64]:
    return time_ms * counts_per_ms(version) + (1 + (reading >> FLOAT32_BITS))


def counts_per_ms(version: RegisterVersion) -> float:
    """Fastest that the register can run. [counts/ms]"""
    return float(Fraction(version.max_power_w, 1000) / version.step_j)


def _without_spikes(points: _Points, versions: Sequence[RegisterVersion]) -> _Points:
    """Put aside single readings that their neighbours contradict, marking their times.

    A reading is a candidate if its neighbours agree with each other and it does not agree with the one before it, or
    not with the one after it while that one is confirmed by the next. An unconfirmed last reading is one too. The first
    of one or two candidates in a row is put aside; in a longer row nobody can say which readings are wrong, so all
    stay, and the energy between them is unknown.
    """
    size = len(points.t1)
    everyone = np.arange(size, dtype=np.int64)
    bad = np.zeros(size + 3, np.bool_)
    bad[1:size] = relate(points, everyone[:-1], everyone[1:], versions) == BAD
    if not bad.any():
        return points
    candidate = _candidates(points, bad, versions)
    run_before = np.append(False, candidate[:-1])
    run_after = np.append(candidate[1:], False) & np.append(candidate[2:], (False, False))
    spike = candidate & ~run_before & ~run_after
    return replace(
        points.select(~spike),
        aside_ms=np.concatenate((points.aside_ms, points.t1[spike])),
        aside=np.concatenate((points.aside, np.full(int(spike.sum()), int(Flag.SPIKE)))),
    )


def _candidates(points: _Points, bad: Bools, versions: Sequence[RegisterVersion]) -> Bools:
    size = len(points.t1)
    result = np.zeros(size, np.bool_)
    suspect = np.flatnonzero(bad[:size] | bad[1 : size + 1])
    suspect = suspect[(suspect > 0) & ~points.declared[suspect]]
    inner = suspect[suspect < size - 1]
    agree = _agree(points, inner - 1, inner + 1, versions)
    late = np.minimum(inner + 2, size - 1)
    outvoted = bad[inner + 1] & (inner + 2 < size) & ~_agree(points, inner, late, versions)
    result[inner] = agree & (bad[inner] | outvoted)
    result[size - 1] = bad[size - 1] and not points.declared[size - 1]
    return result


def _agree(points: _Points, left: Int64, right: Int64, versions: Sequence[RegisterVersion]) -> Bools:
    return relate(points, left, right, versions) < BAD


# Curves


def _register_curve(points: _Points, versions: Sequence[RegisterVersion]) -> Curve:
    everyone = np.arange(len(points.t1), dtype=np.int64)
    kind = relate(points, everyone[:-1], everyone[1:], versions)
    flags = points.marks[:-1] | points.marks[1:]
    flags[kind == ROLLOVER] |= int(Flag.ROLLOVER)
    flags[kind == AMBIGUOUS] |= int(Flag.AMBIGUOUS)
    fell = points.count[1:] < points.count[:-1]
    flags[(kind == BAD) & fell] |= int(Flag.RESET)
    flags[(kind == BAD) & ~fell] |= int(Flag.RANGE)
    flags[kind == CUT] |= int(Flag.RESET | Flag.REPLACED)
    flags[points.declared[:-1] & points.declared[1:] & (kind == KNOWN) & (np.diff(points.version) > 0)] |= int(
        Flag.REPLACED
    )
    return Curve(
        t0_ms=points.t0,
        t1_ms=points.t1,
        level_j=_levels(points, kind, versions),
        limit_w=_limits(points, versions),
        unknown=kind >= BAD,
        flags=flags,
        marks_ms=points.aside_ms,
        marks=points.aside,
    )


def _levels(points: _Points, kind: Int64, versions: Sequence[RegisterVersion]) -> Int64:
    """The register's energy without its falls: each interval adds what is known to have flowed."""
    events = np.flatnonzero((kind != KNOWN) | (np.diff(points.version) != 0))
    if len(events) == 0:
        return points.level
    lift = np.zeros(len(points.t1), np.int64)
    total = 0
    for event in events:
        fall = int(points.level[event]) - int(points.level[event + 1])
        total += fall + (_wrapped_j(points, event, versions) if kind[event] == ROLLOVER else 0)
        if abs(total) >= MAX_ENERGY_J:
            raise Fatal(f"energy of a series passes {MAX_ENERGY_J} J; check its modulus and its CT and PT ratios")
        lift[event + 1] = total
    steps = np.zeros_like(lift)
    steps[events + 1] = np.diff(lift[events + 1], prepend=0)
    return points.level + np.cumsum(steps)


def _wrapped_j(points: _Points, event: np.intp, versions: Sequence[RegisterVersion]) -> int:
    """Energy from one reading to the next across one wrap. [J]"""
    version = versions[points.version[event]]
    assert version.modulus is not None
    unwrapped = (int(points.count[event + 1]) + version.modulus) * version.step_j
    return rounded(unwrapped) - int(points.level[event])


def _limits(points: _Points, versions: Sequence[RegisterVersion]) -> Int64:
    return np.array([row.max_power_w for row in versions], np.int64)[points.version]


def _power_curve(points: _Points, versions: Sequence[RegisterVersion], max_gap_ms: int) -> Curve:
    span = np.diff(points.t1)
    negative = (points.count[:-1] < 0) | (points.count[1:] < 0)
    unknown = (span > max_gap_ms) | negative | (np.diff(points.version) != 0)
    energy = np.zeros(len(span), np.int64)
    for index, version in enumerate(versions):
        mine = ~unknown & (points.version[:-1] == index)
        step = version.step_j / 2000
        energy[mine] = _product(points.count[:-1][mine] + points.count[1:][mine], span[mine], step)
    flags = points.marks[:-1] | points.marks[1:] | np.where(unknown, 0, int(Flag.INTEGRATED))
    return Curve(
        t0_ms=points.t0,
        t1_ms=points.t1,
        level_j=np.concatenate((np.zeros(min(1, len(points.t1)), np.int64), np.cumsum(energy))),
        limit_w=_limits(points, versions),
        unknown=unknown,
        flags=flags | np.where(negative, int(Flag.NEGATIVE), 0),
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
