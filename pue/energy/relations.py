"""What two readings of a register say together, and which readings nobody can believe."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from pue.contract.quality import Flag
from pue.energy.index import Bools, ascending, has
from pue.energy.points import Points
from pue.energy.slots import Int64
from pue.energy.versions import FLOAT32_BITS, RegisterVersion, most_counts

CONFIRMING = 8
"""How many readings before and after a leap are looked at for a fall that takes it back."""


class Relation(IntEnum):
    """The table of METHOD.md, "Registers": of a reading to the one after it."""

    PLAIN = 0
    """The register rose, by no more than the maximum power allows."""
    ROLLOVER = 1
    """It passed its modulus once."""
    DECLARED = 2
    """Final count of an old register, initial count of the new one: no energy between them."""
    REFUTED = 3
    """It rose by more than the maximum power allows, and its neighbours confirm it: the limit is wrong."""
    RESET = 4
    """It fell, and cannot have wrapped."""
    LEAP = 5
    """It rose by more than the maximum power allows, and nothing confirms it."""
    AMBIGUOUS = 6
    """Several numbers of wraps are possible."""
    EXCHANGED = 7
    """Two registers, or two sizes of a step, without declared counts."""


UNKNOWN = (Relation.RESET, Relation.LEAP, Relation.AMBIGUOUS, Relation.EXCHANGED)
"""The energy between the two is unknown."""

IMPOSSIBLE = (Relation.RESET, Relation.LEAP)
"""One of the two readings may be false."""

MARKS = {
    Relation.ROLLOVER: Flag.ROLLOVER,
    Relation.DECLARED: Flag.REPLACED,
    Relation.REFUTED: Flag.LIMIT_REFUTED,
    Relation.RESET: Flag.RESET,
    Relation.LEAP: Flag.RANGE,
    Relation.AMBIGUOUS: Flag.AMBIGUOUS,
    Relation.EXCHANGED: Flag.RESET | Flag.REPLACED,
}


def relations(points: Points, left: Int64, right: Int64, versions: Sequence[RegisterVersion]) -> Int64:
    """Relation of the readings at `left` (N,) to those at `right` (N,), each earlier than its partner. (N,)"""
    result = np.full(len(left), Relation.EXCHANGED, np.int64)
    before = points.version_of(left)
    after = points.version_of(right)
    for index in np.unique(before[before == after]).tolist():
        mine = (before == index) & (after == index)
        result[mine] = _of_one_register(points, left[mine], right[mine], versions[index])
    at_once = points.t1_ms[left] == points.t1_ms[right]  # only a replacement's counts, and a reading then
    result[at_once & (before + 1 == after)] = Relation.DECLARED
    return result


def _of_one_register(points: Points, left: Int64, right: Int64, version: RegisterVersion) -> Int64:
    """Which numbers of wraps the maximum power allows in the longest time there can be between two readings."""
    before = points.count[left]
    after = points.count[right]
    rise = after - before
    # One step because both counts are cut off; a float32 register's own resolution is 2**-23 of what it shows.
    resolution = 1 + (np.maximum(before, after) >> FLOAT32_BITS)
    most = most_counts(version, points.t1_ms[right] - points.t0_ms[left]) + resolution
    # Counts lie below the modulus, so a fall needs w = 1 at least, and the smallest w that makes no fall is the first
    # one that can be possible: if it is too much, so is every other. Only the next one can make it ambiguous.
    unwrapped = np.where(rise < 0, rise + (version.modulus or 0), rise)
    is_possible = (unwrapped >= 0) & (unwrapped <= most)
    result = np.where(rise < 0, Relation.RESET, Relation.LEAP)
    result[is_possible] = np.where(rise < 0, Relation.ROLLOVER, Relation.PLAIN)[is_possible]
    if version.modulus is not None:
        result[is_possible & (unwrapped + version.modulus <= most)] = Relation.AMBIGUOUS
    return result


def believed(points: Points, suspects: Int64, versions: Sequence[RegisterVersion]) -> tuple[Points, Int64, Int64]:
    """Put aside single readings that their neighbours contradict.

    Parameters
    ----------
    points
        All usable readings.
    suspects
        Left points of pairs that are not plain. (N,)
    versions
        Of the meter.

    Returns
    -------
    tuple
        The readings that stay, the left points of pairs that are not plain, and their relations. (M,), (M,)

    References
    ----------
    METHOD.md, "Registers".
    """
    relation = relations(points, suspects, suspects + 1, versions)
    impossible = suspects[np.isin(relation, IMPOSSIBLE)]
    if len(impossible):
        spikes = _spikes(points, impossible, versions)
        beside = has(spikes, suspects) | has(spikes, suspects + 1)
        # Pairs that lost a member are gone, and the neighbours of what was put aside are a pair now.
        # The reading before a spike stays: no spike is the first reading, and of two candidates in a row only one goes.
        suspects = ascending(suspects[~beside], spikes - 1)
        suspects -= np.searchsorted(spikes, suspects)
        points = points.without(spikes, Flag.SPIKE)
        # If the last reading went, the one before it has nothing to be a pair with.
        suspects = suspects[suspects < len(points) - 1]
        relation = relations(points, suspects, suspects + 1, versions)
    return points, suspects, _with_refuted_limits(points, suspects, relation, versions)


def _spikes(points: Points, impossible: Int64, versions: Sequence[RegisterVersion]) -> Int64:
    """The first of one or two candidates in a row; in a longer row nobody can say which are false, and all stay."""
    candidates = _candidates(points, impossible, versions)
    # This keeps the first of a long row; the others stay because they are not the first.
    in_long_row = has(candidates, candidates + 1) & has(candidates, candidates + 2)
    return candidates[~has(candidates, candidates - 1) & ~in_long_row]


def _candidates(points: Points, impossible: Int64, versions: Sequence[RegisterVersion]) -> Int64:
    """Readings that may be spikes; `impossible` are the left points of pairs that contradict each other."""
    last = len(points) - 1
    # Both members of a pair that cannot be; the first reading is never a candidate.
    beside = ascending(impossible[impossible > 0], impossible + 1)
    inner = beside[beside < last]
    next_but_one = np.minimum(inner + 2, last)
    # Counts 10 99 11 12: 99 is a leap after 10, and 11 a reset after 99; 10 and 11 agree, so 99 may be a spike.
    # Outvoted is one that can follow what is before it: in 10 14 11 12, with 14 no leap, neither 11 nor 12 can follow
    # the 14. In 10 14 11 15 the 15 can, and the 11 is the candidate.
    outvoted = has(impossible, inner) & (inner + 2 <= last) & ~_agree(points, inner, next_but_one, versions)
    chosen = _agree(points, inner - 1, inner + 1, versions) & (has(impossible, inner - 1) | outvoted)
    return np.concatenate((inner[chosen], beside[(beside == last) & has(impossible, beside - 1)]))


def _agree(points: Points, left: Int64, right: Int64, versions: Sequence[RegisterVersion]) -> Bools:
    # By their order in the table: plain, rollover, declared.
    return relations(points, left, right, versions) < Relation.REFUTED


def _with_refuted_limits(
    points: Points, suspects: Int64, relation: Int64, versions: Sequence[RegisterVersion]
) -> Int64:
    """Call leaps refuted limits where both sides confirm them.

    The reading before and the one after stand in a row of rises, and no fall near takes the leap back, nor does the
    leap take back a fall: a register that fell, and then leaps to where it was, only shows that it had fallen by fault.
    """
    leaps = suspects[relation == Relation.LEAP]
    if len(leaps) == 0:
        return relation
    falls = suspects[relation == Relation.RESET]
    broken = suspects[np.isin(relation, UNKNOWN) & (relation != Relation.LEAP)]
    is_inside = (leaps > 0) & (leaps + 2 < len(points))
    confirmed = is_inside & ~has(broken, leaps - 1) & ~has(broken, leaps + 1)
    confirmed &= ~_taken_back(points, leaps, falls, versions)
    result = relation.copy()
    result[has(leaps[confirmed], suspects)] = Relation.REFUTED
    return result


def _taken_back(points: Points, leaps: Int64, falls: Int64, versions: Sequence[RegisterVersion]) -> Bools:
    """Leaps next to a fall that undoes them: the readings around both agree with each other."""
    result = np.zeros(len(leaps), np.bool_)
    if len(falls) == 0:
        return result
    # The nearest fall behind each leap and the one before that. Where there is none, clipping names one on the wrong
    # side, which the comparisons below leave out.
    place = np.searchsorted(falls, leaps)
    after = falls[np.minimum(place, len(falls) - 1)]
    before = falls[np.maximum(place - 1, 0)]
    undone = (after > leaps) & (after - leaps <= CONFIRMING)
    # From the reading before the leap to the one after the fall; below, from before the fall to after the leap.
    result[undone] = _agree(points, leaps[undone], after[undone] + 1, versions)
    redone = (before < leaps) & (leaps - before <= CONFIRMING)
    result[redone] |= _agree(points, before[redone], leaps[redone] + 1, versions)
    return result
