"""A register's readings as levels of one rising curve, and how far the maximum power lets the curve be elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pue.contract.errors import Fatal
from pue.contract.series import MAX_ENERGY_J
from pue.energy.index import Bools, has
from pue.energy.points import MAX_POLL_MS, Points
from pue.energy.relations import UNKNOWN, Relation
from pue.energy.slots import Int64
from pue.energy.versions import RegisterVersion, power_mj, scaled

_SAFE = 1 << 61
"""Half of what int64 holds: sums and differences of two numbers below it are exact."""


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """The curve at P readings: energy since some reading, known wherever two neighbours are related.

    Attributes
    ----------
    points
        The readings.
    versions
        Of the meter.
    links, relation
        Left points of pairs that are not plain, ascending, and their relations. (N,)
    walls
        Those of the links beyond which a maximum power says nothing of the curve's level: unknown energy, another
        register, a refuted limit. (W,)
    events
        Links after which counts and levels part by another amount. (E,)
    lifts_j
        By how much levels stand above counts, before and after each event. (E + 1,) [J]
    fast_asked, fast_answered
        Left points of pairs between walls whose level rose by more than the maximum power allows from request to
        request, and from reply to reply. (F,), (G,)
    """

    points: Points
    versions: Sequence[RegisterVersion]
    links: Int64
    relation: Int64
    walls: Int64
    events: Int64
    lifts_j: Int64
    fast_asked: Int64
    fast_answered: Int64

    @property
    def gaps(self) -> Int64:
        """Left points of intervals across which levels do not join: unknown energy, or another register."""
        return self.links[np.isin(self.relation, (*UNKNOWN, Relation.DECLARED))]

    @property
    def unknown(self) -> Int64:
        """Left points of intervals whose energy is unknown: the level stays."""
        return self.links[np.isin(self.relation, UNKNOWN)]

    def at(self, index: Int64) -> Int64:
        """Level at ascending points. [J]"""
        return self.of_counts(index, self.points.count[index])

    def of_counts(self, index: Int64, count: Int64) -> Int64:
        """Level at ascending points whose counts are at hand. [J]"""
        # level = count x step + lift. Where 9,999,984 wraps at 10,000,000 to 7, the points behind have 10,000,000 steps
        # of lift; where a register fell from 52,340 to 12 with unknown energy, 52,328: the level stays.
        level = _counted_j(self.points, index, count, self.versions)
        if len(self.events):
            # Events are few beside ascending points: look for the first point behind each event, not the reverse.
            # An event at the left point e lifts the points after e: index[0] has the lifts of events below it ("left"),
            # and the first point above an event is where the next lift begins ("right").
            before, last = np.searchsorted(self.events, index[[0, -1]]) if len(index) else (0, 0)
            behind = np.searchsorted(index, self.events[before:last], side="right")
            level += np.repeat(self.lifts_j[before : last + 1], np.diff(behind, prepend=0, append=len(index)))
        return level

    def power_w(self, index: Int64) -> Int64:
        """Maximum power at points. [W]"""
        return self._of_version([version.max_power_w for version in self.versions], index)

    def hidden_j(self, index: Int64) -> Int64:
        """The most that the register at points holds beyond its level. [J]"""
        return self._of_version([version.hidden_j for version in self.versions], index)

    def rounding_j(self, index: Int64) -> Int64:
        """How far the level at points can stand above the register. [J]"""
        return self._of_version([version.rounding_j for version in self.versions], index)

    def _of_version(self, values: Sequence[int], index: Int64) -> Int64:
        """What the versions of points say; a view of one number where there is one version."""
        column = np.array(values, np.int64)
        return np.broadcast_to(column[0], len(index)) if len(column) == 1 else column[self.points.version_of(index)]


def levels_of(points: Points, links: Int64, relation: Int64, versions: Sequence[RegisterVersion]) -> Levels:
    """Join readings to one curve: wraps are added, and across unknown energy the level stays.

    Raises
    ------
    Fatal
        If levels and counts part by `MAX_ENERGY_J` or more.
    """
    events = links[(relation != Relation.PLAIN) & (relation != Relation.REFUTED)]
    wraps = links[relation == Relation.ROLLOVER]
    before = _counted_j(points, events, points.count[events], versions)
    # What makes the level stay across the event; across a rollover it rises besides.
    lift = before - _counted_j(points, events + 1, points.count[events + 1], versions)
    lift[has(wraps, events)] += _wrapped_j(points, wraps, versions)
    # First in floats, which do not wrap: a lift below 2**62 on a count below 2**62 J is a level within int64.
    if np.abs(np.cumsum(lift.astype(np.float64))).max(initial=0) >= MAX_ENERGY_J:
        raise Fatal(f"energy of a series passes {MAX_ENERGY_J} J; check its modulus and its CT and PT ratios")
    is_wall = (relation != Relation.PLAIN) & (relation != Relation.ROLLOVER)
    nothing = np.empty(0, np.int64)
    levels = Levels(
        points=points,
        versions=versions,
        links=links,
        relation=relation,
        walls=links[is_wall],
        events=events,
        lifts_j=np.concatenate((np.zeros(1, np.int64), np.cumsum(lift))),
        fast_asked=nothing,
        fast_answered=nothing,
    )
    # Pairs that are no links need no look: `points_of` leaves out only what rises within P both ways.
    inside = links[~is_wall]
    rise = levels.at(inside + 1) - levels.at(inside)
    power = levels.power_w(inside)
    fast = [
        # In whole joules rise > floor(mJ / 1000) is the same as 1000 x rise > mJ, and keeps int64.
        inside[rise > power_mj(power, time_ms[inside + 1] - time_ms[inside]) // 1000]
        for time_ms in (points.t0_ms, points.t1_ms)
    ]
    return replace(levels, fast_asked=fast[0], fast_answered=fast[1])


def _counted_j(points: Points, index: Int64, count: Int64, versions: Sequence[RegisterVersion]) -> Int64:
    """What the register shows at points, each by its own version. [J]"""
    if len(versions) == 1:
        return scaled(count, versions[0].step_j)
    result = np.zeros(len(index), np.int64)
    version_of = points.version_of(index)
    for version in np.unique(version_of).tolist():
        mine = version_of == version
        result[mine] = scaled(count[mine], versions[version].step_j)
    return result


def _wrapped_j(points: Points, left: Int64, versions: Sequence[RegisterVersion]) -> Int64:
    """Energy from points to the next ones across one wrap. [J]"""
    result = np.zeros(len(left), np.int64)
    version_of = points.version_of(left)
    for index in np.unique(version_of).tolist():
        mine = version_of == index
        version = versions[index]
        unwrapped = points.count[left[mine] + 1] + (version.modulus or 0)
        # (count + modulus) x step passes int64 only if the rise itself passes 2**62 J, as count x step does not: 146
        # years at 1 GW.
        result[mine] = scaled(unwrapped, version.step_j) - scaled(points.count[left[mine]], version.step_j)
    return result


# What the maximum power says
#
# Between walls, a reading j of level L_j asked for at t0 says of every later moment e that the curve is at most
#
#     L_j + hidden + P (e - t0_j)                                          and before e: at least L_j - P (t1_j - e).
#
# The best of these bounds over all readings before e is that of the nearest one, n, lowered by its lead: by how much
# the register rose faster than P since the luckiest reading. Like water in a bucket that leaks P, the lead grows by
# what a pair rose beyond P and never falls below nothing:
#
#     lead(n) = max(0, min(most, lead(n - 1) + (L_n - L_{n-1}) - P (t0_n - t0_{n-1})))
#
# An honest register is never further ahead than its hidden step and one slow reply: that is `most`. It changes nothing
# for honest registers, and makes every lead forget what lies behind a while of spare power, so that the past need not
# be read to its beginning. Only pairs that rose beyond P raise a lead: what lies between them is one subtraction.


def lead_before(levels: Levels, index: Int64) -> Int64:
    """How much lower than by each reading alone the readings before it hold the curve after it. (N,) [mJ]"""
    lead = np.zeros(len(index), np.int64)
    for left, mine, power_w, most_mj in _stretches(levels, index, levels.fast_asked):
        # Heights above a load of exactly P: they rise over the pairs in `left`, and nowhere else in the stretch.
        at_left, at_right, here = _above_limit_mj(levels, left, index[mine], levels.points.t0_ms, power_w)
        behind = _filled(at_left, at_right, most_mj)
        place = np.searchsorted(left + 1, index[mine], side="right") - 1  # the last such pair up to each reading
        # Since that pair the bucket has only leaked, by what the height fell. Place -1, before all pairs, takes the
        # last one's number here and 0 below.
        since = np.maximum(behind[place] + here - at_right[place], 0)
        lead[mine] = np.where(place >= 0, since, 0)
    return lead


def lead_after(levels: Levels, index: Int64) -> Int64:
    """How much higher than by each reading alone the readings after it hold the curve before it. (N,) [mJ]

    The bucket of `lead_before`, filled from the last reading backwards, by replies instead of requests.
    """
    lead = np.zeros(len(index), np.int64)
    for left, mine, power_w, most_mj in _stretches(levels, index, levels.fast_answered):
        at_left, at_right, here = _above_limit_mj(levels, left, index[mine], levels.points.t1_ms, power_w)
        # Read backwards, a pair comes from its right end and rises to its left one: the heights with a minus.
        ahead = _filled(-at_right[::-1], -at_left[::-1], most_mj)[::-1]
        place = np.searchsorted(left, index[mine])  # the first such pair from each reading on
        found = np.minimum(place, len(left) - 1)
        until = np.maximum(ahead[found] + at_left[found] - here, 0)
        lead[mine] = np.where(place < len(left), until, 0)
    return lead


def _filled(before_mj: Int64, after_mj: Int64, most_mj: int) -> Int64:
    """The bucket after each of some pairs that fill it, given what stands above the limit on both sides. (F,) [mJ]

    Without `most` it is the height above the lowest point so far; where that is too much, pair by pair.
    """
    # Each pair rises and nothing else does, so the lowest points are left ends. Heights 0 to 5, then down to -3 and up
    # to 1: after the first pair 5, then the 8 leak it empty at -3, and the second leaves 1 - -3 = 4.
    filled = after_mj - np.minimum.accumulate(before_mj)
    if int(filled.max()) <= most_mj:
        return np.asarray(filled, np.int64)
    result = []
    lead = 0
    last = int(before_mj[0])
    for before, after in zip(before_mj.tolist(), after_mj.tolist(), strict=True):
        # before - last is 0 or less: what leaked since the pair before.
        left = max(lead + before - last, 0)
        lead = min(left + after - before, most_mj)
        last = after
        result.append(lead)
    return np.array(result, np.int64)


def _stretches(levels: Levels, index: Int64, fast: Int64) -> Iterator[tuple[Int64, Bools, int, int]]:
    """Per stretch between walls: left points of pairs that rose beyond P, which points lie in it, P, most lead."""
    if len(fast) == 0:
        return
    # The number of walls before a point is its stretch. A wall lies behind its left point: "left" does not count it
    # there.
    of_fast = np.searchsorted(levels.walls, fast)
    of_index = np.searchsorted(levels.walls, index)
    for stretch in np.unique(of_fast).tolist():
        mine = np.asarray(of_index == stretch, np.bool_)
        if mine.any():
            left = fast[of_fast == stretch]
            # Two versions meet at a wall, so that a stretch has one P and one step.
            power_w = int(levels.power_w(left[:1])[0])
            yield left, mine, power_w, most_lead_mj(power_w, int(levels.hidden_j(left[:1])[0]))


def most_lead_mj(power_w: int, hidden_j: int) -> int:
    """How far ahead of its maximum power an honest register can seem: its hidden step, and one slow reply. [mJ]"""
    return 1000 * hidden_j + power_w * MAX_POLL_MS


def _above_limit_mj(
    levels: Levels, left: Int64, index: Int64, time_ms: Int64, power_w: int
) -> tuple[Int64, Int64, Int64]:
    """Levels above those of a load of exactly P, from one zero: at pairs' ends and at points. (F,), (F,), (N,) [mJ]"""
    chosen = (left, left + 1, index)
    level = [levels.at(one) for one in chosen]
    time = [time_ms[one] for one in chosen]
    # The smallest numbers become 0, so that a year at 50 MW fits; beyond that Python's integers take over.
    zero_j = min(int(one.min()) for one in level)
    zero_ms = min(int(one.min()) for one in time)
    highest_j = max(int(one.max()) for one in level) - zero_j
    longest_ms = max(int(one.max()) for one in time) - zero_ms
    if 1000 * highest_j >= _SAFE or power_w * longest_ms >= _SAFE:
        level = [one.astype(object) for one in level]
    at_left, at_right, here = (
        1000 * (one - zero_j) - power_w * (when - zero_ms) for one, when in zip(level, time, strict=True)
    )
    return at_left, at_right, here
