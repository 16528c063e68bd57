"""Days on which a facility's meters contradict each other: what they say of these days is not believed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pue.contract.quality import Flag
from pue.contract.series import SLOT_MS
from pue.energy.between import weighted_bounds
from pue.energy.family import bounded_by_family, children_of, nodes_of
from pue.energy.grid import Row
from pue.energy.index import Bools
from pue.energy.slots import Int64
from pue.energy.uncertainty import Float64, round_micro, u_pue

BALANCE_BROKEN = "balance_broken"
PUE_BELOW_ONE = "pue_below_one"
NO_IT_LOAD = "no_it_load"


@dataclass(frozen=True, slots=True, eq=False)
class Doubt:
    """One contradiction: its code, and the slots of the days on which it stands. (S,)"""

    code: str
    slots: Bools


def without_contradictions(
    rows: Sequence[Row], days: Int64, least_it_w: Fraction
) -> tuple[list[Row], tuple[Doubt, ...]]:
    """Make energy unknown, up to the meters' limits, on days on which they contradict each other.

    Parameters
    ----------
    rows
        Each term's slots, each by itself.
    days
        First slot of each facility-local day, and the end of the last one. (D + 1,)
    least_it_w
        IT load below which a ratio says nothing. [W]

    Returns
    -------
    tuple
        The rows as they are believed, bounded by each other, and the contradictions.

    References
    ----------
    METHOD.md, "Contradictions".
    """
    court = _Court(rows, days)
    believed = court.believed()
    # Each family is looked at in the same rows: all parents at once, so that their order does not matter.
    for parent, family in _families(believed):
        weighing_rows = [[believed[place] for place in member if believed[place].weighs] for member in family]
        members = [place for member in family for place in member]
        court.doubt(f"{BALANCE_BROKEN}:{parent}", _broken_days(weighing_rows, days), members)
    weighing = _places_of_meters([row.weighs for row in rows], rows)
    court.doubt(PUE_BELOW_ONE, _days_below_one(court.believed(), days), weighing)
    it = _places_of_meters([bool(row.term.b) for row in rows], rows)
    court.doubt(NO_IT_LOAD, _idle_days(court.believed(), days, least_it_w), it)
    return court.believed(), tuple(court.doubts)


def _places_of_meters(is_chosen: Sequence[bool], rows: Sequence[Row]) -> list[int]:
    """All rows of meters of which one is chosen: a meter that is not believed is so whatever it counts for that day."""
    found = [places for places in nodes_of(rows).values() if any(is_chosen[place] for place in places)]
    return sorted(place for places in found for place in places)


class _Court:
    """Which slots of which rows are in doubt, and what the rows say without them.

    Parameters
    ----------
    rows
        Each term's slots, each by itself.
    days
        First slot of each day, and the end of the last one. (D + 1,)
    """

    def __init__(self, rows: Sequence[Row], days: Int64) -> None:
        self.doubts: list[Doubt] = []
        self._rows = rows
        self._days = days
        self._doubted = np.zeros((len(rows), int(days[-1])), np.bool_)
        self._believed: list[Row] | None = None

    def doubt(self, code: str, broken: Bools, places: Sequence[int]) -> None:
        """Do not believe some rows on the days on which they contradict each other. (D,)"""
        if broken.any():
            slots = _slots_of_days(self._days, broken)
            self.doubts.append(Doubt(code, slots))
            self._doubted[list(places)] |= slots
            self._believed = None

    def believed(self) -> list[Row]:
        """The rows, bounded by each other: slots in doubt say nothing of other meters, and nothing bounds them."""
        if self._believed is None:
            self._believed = self._without_doubted(bounded_by_family(self._without_doubted(self._rows)))
        return self._believed

    def _without_doubted(self, rows: Sequence[Row]) -> list[Row]:
        return [
            row.doubted(slots, Flag.BALANCE) if slots.any() else row
            for row, slots in zip(rows, self._doubted, strict=True)
        ]


def _slots_of_days(days: Int64, chosen: Bools) -> Bools:
    """Slots of some days. (D,) -> (S,)"""
    return np.repeat(chosen, np.diff(days))


# Balance


def _families(rows: Sequence[Row]) -> list[tuple[str, list[list[int]]]]:
    """Name of each parent that weighs, and the places of its rows and of those of its children that weigh, by name."""
    nodes = nodes_of(rows)
    found = []
    for parent, children in sorted(children_of(rows, nodes).items()):
        members = [nodes[node] for node in (parent, *children) if any(rows[place].weighs for place in nodes[node])]
        if len(members) > 1 and members[0] is nodes[parent]:
            found.append((parent[1], members))
    return found


def _broken_days(members: Sequence[Sequence[Row]], days: Int64) -> Bools:
    """Days on which children carry more than their parent, beyond twice the uncertainty of the difference. (D,)

    `members` are the parent's terms that weigh, then each child's. Only slots count in which all of the family weigh
    and are known. Less is no fault: what lies between is loss, or load without a meter.
    """
    known = np.ones(len(members[0][0].known), np.bool_)
    for member in members:
        known &= np.logical_or.reduce([row.known for row in member])
    energy = np.stack([_by_day(np.where(known, _whole_j(member), 0), days) for member in members])  # (members, D)
    surplus = energy[1:].sum(axis=0) - energy[0]
    broken = surplus > 0
    if broken.any():
        broken &= surplus > _tolerance_j(members, energy, days, known)
    return np.asarray(broken, np.bool_)


def _tolerance_j(members: Sequence[Sequence[Row]], energy_j: Int64, days: Int64, known: Bools) -> Int64:
    """By how much children may seem to carry more than their parent on each day. (D,) [J]"""
    rows = [row for member in members for row in member]
    u_rel = [max(row.term.u_rel for row in member) for member in members]
    steps = sum(max(row.term.step_j for row in member) for member in members)
    at_edge = np.add.reduce([row.below_j + row.above_j for row in rows])  # (E,)
    inside = np.add.reduce([row.high_j - row.low_j for row in rows])  # (S,)
    # Known slots are joined like the slots of a window: what their edges leave open counts where they begin and end.
    is_border = np.append(np.append(True, known[1:] != known[:-1]), True)
    is_border[days] = True
    # Slot i has edge i at its start. A day's last edge is the next day's first, and counts for both: hence the last
    # term.
    open_j = _by_day(np.where(is_border[:-1], at_edge[:-1], 0) + np.where(known, inside, 0), days) + at_edge[days[1:]]
    tolerance = []
    for day, slack in enumerate(open_j.tolist()):
        u = math.sqrt(sum((value * share) ** 2 for value, share in zip(energy_j[:, day].tolist(), u_rel, strict=True)))
        tolerance.append(math.ceil(2 * u) + 2 * steps + slack)
    return np.array(tolerance, np.int64)


def _whole_j(member: Sequence[Row]) -> Int64:
    """Energy of a meter whose terms follow, or repeat, each other. (S,) [J]"""
    return np.asarray(np.maximum.reduce([row.energy_j for row in member]), np.int64)


def _by_day(values: Int64, days: Int64) -> Int64:
    """Sum over each day's slots. (S,) -> (D,)"""
    # From each day's first slot to the next one's; days ascend strictly, see `_days` in `facility`.
    return np.asarray(np.add.reduceat(values, days[:-1]), np.int64)


# Ratios that cannot be


def _days_below_one(rows: Sequence[Row], days: Int64) -> Bools:
    """Days on which even the most the facility can have taken is less than its IT equipment took at least. (D,)"""
    below = np.zeros(len(days) - 1, np.bool_)
    # The condition on known energy first: it is cheap, and leaves few days to take bounds of.
    suspect = np.flatnonzero(_day_sums(rows, days, "b") > _day_sums(rows, days, "a"))
    if len(suspect) == 0:
        return below
    most = weighted_bounds(rows, [row.term.a for row in rows], days[suspect], days[suspect + 1]).upper_j
    least = weighted_bounds(rows, [row.term.b for row in rows], days[suspect], days[suspect + 1]).lower_j
    u = _u_of_days(rows, days)[suspect]
    for day, total_j, it_j, u_day in zip(suspect.tolist(), most.tolist(), least.tolist(), u.tolist(), strict=True):
        u_known = Fraction(0) if math.isnan(u_day) else round_micro(u_day)
        below[day] = it_j > 0 and Fraction(total_j, it_j) + 2 * u_known < 1
    return below


def _u_of_days(rows: Sequence[Row], days: Int64) -> Float64:
    """Standard uncertainty of the PUE of each day's known energy, NaN where there is none. (D,) [-]"""
    return u_pue(
        np.stack([_by_day(row.energy_j, days) for row in rows], axis=1),
        [row.term.a for row in rows],
        [row.term.b for row in rows],
        [row.term.u_rel for row in rows],
        group=[row.term.group for row in rows],
        model=[row.term.model for row in rows],
        meter=[str(row.term.key) for row in rows],
        step_j=[row.term.step_j for row in rows],
    )


def _idle_days(rows: Sequence[Row], days: Int64, least_it_w: Fraction) -> Bools:
    """Days on which the IT equipment took less, at most, than a load that means anything. (D,)"""
    idle = np.zeros(len(days) - 1, np.bool_)
    if least_it_w <= 0:
        return idle
    # A local day has 92, 96 or 100 slots.
    least_j = np.diff(days) * math.floor(least_it_w * SLOT_MS / 1000)  # (D,)
    metered = np.add.reduce([row.active for row in rows if row.term.b], initial=0)
    is_metered = _by_day(np.broadcast_to(metered, days[-1]), days) > 0
    suspect = np.flatnonzero(is_metered & (_day_sums(rows, days, "b") < least_j))
    if len(suspect):
        bounds = weighted_bounds(rows, [row.term.b for row in rows], days[suspect], days[suspect + 1])
        idle[suspect] = bounds.upper_j < least_j[suspect]
    return idle


def _day_sums(rows: Sequence[Row], days: Int64, weight: str) -> Int64:
    """Known energy of each day by one of the weights, rounded down. (D,) [J]"""
    weights = [getattr(row.term, weight) for row in rows]
    unit = math.lcm(*(one.denominator for one in weights))
    total = np.zeros(len(days) - 1, np.int64)
    for row, one in zip(rows, weights, strict=True):
        if one:
            total += int(one * unit) * _by_day(row.energy_j, days)
    return np.asarray(total // unit, np.int64)
