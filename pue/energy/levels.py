"""A register's readings as levels of one rising curve, and how far the maximum power lets the curve be elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pue.contract.errors import Fatal
from pue.contract.series import MAX_ENERGY_J
from pue.energy.index import has
from pue.energy.points import Points
from pue.energy.relations import UNKNOWN, Relation
from pue.energy.slots import Int64
from pue.energy.versions import RegisterVersion, scaled

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
    """

    points: Points
    versions: Sequence[RegisterVersion]
    links: Int64
    relation: Int64
    walls: Int64
    events: Int64
    lifts_j: Int64

    @property
    def unknown(self) -> Int64:
        """Left points of intervals whose energy is unknown: the level stays."""
        return self.links[np.isin(self.relation, UNKNOWN)]

    def at(self, index: Int64) -> Int64:
        """Level at points. [J]"""
        level = _counted_j(self.points, index, self.versions)
        if len(self.events):
            level += self.lifts_j[np.searchsorted(self.events, index)]
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
        column = np.array(values, np.int64)
        return np.full(len(index), column[0]) if len(column) == 1 else column[self.points.version_of(index)]


def levels_of(points: Points, links: Int64, relation: Int64, versions: Sequence[RegisterVersion]) -> Levels:
    """Join readings to one curve: wraps are added, and across unknown energy the level stays.

    Raises
    ------
    Fatal
        If the curve passes `MAX_ENERGY_J`.
    """
    events = links[(relation != Relation.PLAIN) & (relation != Relation.REFUTED)]
    wraps = links[relation == Relation.ROLLOVER]
    lift = _counted_j(points, events, versions) - _counted_j(points, events + 1, versions)
    lift[has(wraps, events)] += _wrapped_j(points, wraps, versions)
    if np.abs(np.cumsum(lift.astype(np.float64))).max(initial=0) >= MAX_ENERGY_J:
        raise Fatal(f"energy of a series passes {MAX_ENERGY_J} J; check its modulus and its CT and PT ratios")
    return Levels(
        points=points,
        versions=versions,
        links=links,
        relation=relation,
        walls=links[(relation != Relation.PLAIN) & (relation != Relation.ROLLOVER)],
        events=events,
        lifts_j=np.concatenate((np.zeros(1, np.int64), np.cumsum(lift))),
    )


def _counted_j(points: Points, index: Int64, versions: Sequence[RegisterVersion]) -> Int64:
    """What the register shows at points, each by its own version. [J]"""
    if len(versions) == 1:
        return scaled(points.count[index], versions[0].step_j)
    result = np.zeros(len(index), np.int64)
    version_of = points.version_of(index)
    for version in np.unique(version_of).tolist():
        mine = version_of == version
        result[mine] = scaled(points.count[index[mine]], versions[version].step_j)
    return result


def _wrapped_j(points: Points, left: Int64, versions: Sequence[RegisterVersion]) -> Int64:
    """Energy from points to the next ones across one wrap. [J]"""
    result = np.zeros(len(left), np.int64)
    version_of = points.version_of(left)
    for index in np.unique(version_of).tolist():
        mine = version_of == index
        version = versions[index]
        unwrapped = points.count[left[mine] + 1] + (version.modulus or 0)
        result[mine] = scaled(unwrapped, version.step_j) - scaled(points.count[left[mine]], version.step_j)
    return result


# What the maximum power says
#
# Between walls, a reading j of level L asked for at t0 says of every later moment e that the curve is at most
#
#     L_j + hidden + P (e - t0_j)                                          and before e: at least L_j - P (t1_j - e).
#
# The best of these bounds over all readings before e is that of the nearest one, n, lowered by its lead: by how much
# the register rose faster than P since the luckiest reading j,
#
#     lead(n) = max over j <= n of  (L_n - L_j) - P (t0_n - t0_j)          (0 for j = n).
#
# Across a plain pair the register rises by no more than P allows, so the luckiest reading is n itself or the left one
# of a pair that is not plain. Hence only those are looked at.


def lead_before(levels: Levels, index: Int64) -> Int64:
    """How much lower than by each reading alone the readings before it hold the curve after it. (N,) [mJ]"""
    lead = np.zeros(len(index), np.int64)
    lucky = _between_walls(levels, levels.links)
    for first, last, power_w in _stretches(levels, lucky):
        mine = (index >= first) & (index <= last)
        among = lucky[(lucky >= first) & (lucky <= last)]
        if not mine.any() or len(among) == 0:
            continue
        both = _above_limit_mj(levels, np.concatenate((among, index[mine])), levels.points.t0_ms, power_w)
        least = np.minimum.accumulate(both[: len(among)])
        place = np.searchsorted(among, index[mine]) - 1
        here = both[len(among) :]
        lead[mine] = np.where(place >= 0, np.maximum(here - least[place], 0), 0)
    return lead


def lead_after(levels: Levels, index: Int64) -> Int64:
    """How much higher than by each reading alone the readings after it hold the curve before it. (N,) [mJ]"""
    lead = np.zeros(len(index), np.int64)
    lucky = _between_walls(levels, levels.links) + 1
    for first, last, power_w in _stretches(levels, lucky - 1):
        mine = (index >= first) & (index <= last)
        among = lucky[(lucky >= first) & (lucky <= last)]
        if not mine.any() or len(among) == 0:
            continue
        both = _above_limit_mj(levels, np.concatenate((among, index[mine])), levels.points.t1_ms, power_w)
        most = np.maximum.accumulate(both[: len(among)][::-1])[::-1]
        place = np.minimum(np.searchsorted(among, index[mine], side="right"), len(among) - 1)
        here = both[len(among) :]
        lead[mine] = np.where(among[place] > index[mine], np.maximum(most[place] - here, 0), 0)
    return lead


def _between_walls(levels: Levels, links: Int64) -> Int64:
    return links[~has(levels.walls, links)]


def _stretches(levels: Levels, lucky: Int64) -> list[tuple[int, int, int]]:
    """First and last point between two walls and the maximum power there, where some pairs are not plain."""
    if len(lucky) == 0:
        return []
    starts = np.concatenate((np.zeros(1, np.int64), levels.walls + 1))
    ends = np.concatenate((levels.walls, np.array([len(levels.points) - 1])))
    chosen = np.unique(np.searchsorted(levels.walls, lucky))
    power = levels.power_w(starts[chosen])
    return list(zip(starts[chosen].tolist(), ends[chosen].tolist(), power.tolist(), strict=True))


def _above_limit_mj(levels: Levels, index: Int64, time_ms: Int64, power_w: int) -> Int64:
    """Level above that of a load of exactly the maximum power, from some common zero. (N,) [mJ]"""
    level = levels.at(index)
    time = time_ms[index]
    level -= level.min()
    time = time - time.min()
    if 1000 * int(level.max()) < _SAFE and power_w * int(time.max()) < _SAFE:
        return np.asarray(1000 * level - power_w * time, np.int64)
    exact: Int64 = 1000 * level.astype(object) - power_w * time.astype(object)
    return exact
