"""Slots of energy from the readings of a cumulative register."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pue.contract.quality import Flag, Quality
from pue.contract.series import SLOT_MS
from pue.energy.brackets import register_edges, register_freedom, register_unknown
from pue.energy.curves import Curve, slots_of_curve
from pue.energy.index import ascending
from pue.energy.levels import Levels, levels_of
from pue.energy.points import Points, points_of, suspects_of
from pue.energy.relations import MARKS, Relation, believed
from pue.energy.slots import Int64, Samples, Slots
from pue.energy.versions import RegisterVersion, merged, register_versions

__all__ = ["RegisterVersion", "merged", "quality_marks", "register_slots", "register_versions"]


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
    # METHOD.md, "Registers", in its order: which readings count, declared replacements, spikes and refuted limits; then
    # "Levels".
    points, suspects = points_of(samples, versions)
    if any(version.replacement is not None for version in versions[1:]):
        points = _with_replacements(points, versions)
        suspects = suspects_of(points, versions)
    points, links, relation = believed(points, suspects, versions)
    return slots_of_curve(_curve(levels_of(points, links, relation, versions)), max_gap_ms, topology)


# Replacements


def _with_replacements(points: Points, versions: Sequence[RegisterVersion]) -> Points:
    """Add the declared final and initial readings of every replacement between the first and the last point."""
    if len(points) == 0:
        return points
    first_ms = int(points.t1_ms[0])
    last_ms = int(points.t1_ms[-1])
    for index in range(1, len(versions)):
        declared = versions[index].replacement
        if declared is not None and first_ms < versions[index].from_ms <= last_ms:
            points = _with_declared(points, versions[index].from_ms, index, declared)
    return points


def _with_declared(points: Points, moment_ms: int, index: int, counts: tuple[int, int]) -> Points:
    """Points with the old register's final and the new one's initial count at the moment of replacement."""
    # "left": before a reading of the same moment, which is the new register's.
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
        beside=None,
    )


# The curve


def _curve(levels: Levels) -> Curve:
    marked, marks = quality_marks(levels.points)
    return Curve(
        t1_ms=levels.points.t1_ms,
        edges_of=lambda time_ms: register_edges(levels, time_ms),
        unknown_of=lambda time_ms: register_unknown(levels, time_ms),
        unknown=levels.unknown,
        flagged=np.concatenate((levels.links, marked)),
        flags=np.concatenate((_relation_marks(levels), marks)),
        marks_ms=levels.points.aside_ms,
        marks=levels.points.aside,
        freedom_of=lambda edges: register_freedom(levels, edges),
    )


def _relation_marks(levels: Levels) -> Int64:
    """Mark of each link's interval; none for a plain rise. (N,)"""
    marks = np.zeros(len(Relation), np.int64)
    for relation, mark in MARKS.items():
        marks[relation] = int(mark)
    return marks[levels.relation]


def quality_marks(points: Points) -> tuple[Int64, Int64]:
    """Intervals beside readings that are marked themselves, and the marks. (N,), (N,)"""
    found = [np.empty(0, np.int64)]
    marks = [np.empty(0, np.int64)]
    for quality, flag in ((Quality.CLOCK_UNSYNCED, Flag.SKEW), (Quality.OUT_OF_BAND, Flag.MANUAL)):
        if points.marks & int(quality):
            # The interval i lies between the points i and i + 1: beside point p are p - 1 and p.
            place = np.flatnonzero(points.quality & int(quality))
            beside = ascending(place[place > 0] - 1, place[place < len(points) - 1])
            found.append(beside)
            marks.append(np.full(len(beside), int(flag)))
    return np.concatenate(found), np.concatenate(marks)
