"""One meter's slots laid on a window's grid."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from pue.contract.quality import Flag
from pue.contract.series import MAX_ENERGY_J, SLOT_MS, SeriesKey
from pue.energy.slots import Int64, Slots

UNBOUNDED_J = MAX_ENERGY_J
"""Stands for an upper bound that does not exist. [J]"""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Term:
    """One meter's weight in a facility within [from_ms, to_ms).

    Attributes
    ----------
    key
        The series whose energy counts.
    a, b
        Weights in the facility's energy E_DC and in the IT energy E_IT. [-]
    required
        Whether a slot without this meter is not covered.
    from_ms, to_ms
        Validity, half-open; None is open. A slot belongs to the term that is valid at its start. [ms UTC]
    parent
        Meter this one hangs under, for balance and bounds.
    u_rel
        Relative standard uncertainty of meter, CT and PT together. [-]
    limit_rel
        Relative limit of error of meter, CT and PT together: how far the meter can be off within its class. [-]
    is_class_known
        False if an accuracy class was not registered: `u_rel` and `limit_rel` are then the widest of the tables.
    group
        Meters of one group share their calibration error, as their certificates show.
    model
        Meters of one model and class whose certificates show neither a common source nor independence.
    calibrated_to_ms
        First moment at which the meter's certificate no longer holds; None is open. [ms UTC]
    is_calibration_known
        False if no certificate was registered.
    step_j
        Register resolution. [J]
    max_power_w
        The most the meter can carry: bounds what is unknown; 0 means unbounded. [W]
    """

    key: SeriesKey
    a: Fraction
    b: Fraction
    required: bool
    from_ms: int
    to_ms: int | None
    parent: str | None = None
    u_rel: float = 0.0
    limit_rel: Fraction = Fraction(0)
    is_class_known: bool = True
    group: str = ""
    model: str = ""
    calibrated_to_ms: int | None = None
    is_calibration_known: bool = True
    step_j: int = 1
    max_power_w: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One term over S slots and E = S + 1 edges, zero outside its validity.

    Attributes
    ----------
    term
        The weights.
    first, last
        First slot of the term and first slot after it.
    energy_j
        Known energy. (S,) [J]
    low_j, high_j
        What the slot holds beyond `energy_j`, at least (0 or less, unless other meters say more) and at most. (S,) [J]
    known, unbounded
        Nothing is unknown; there is no upper bound. (S,)
    gap_ms
        Time not covered. (S,) [ms]
    flags
        Marks. (S,)
    below_j, above_j
        Edge bounds relative to the estimate, under the meter's maximum power. (E,) [J]
    is_exact
        It is known that no slot holds more or less than `energy_j`.
    is_borrowed
        Slots whose bounds come from other meters. (S,)
    family_j
        The most a slot can hold by what other meters say alone; None where no other meter says anything. (S,) [J]
    bare
        The row with edge bounds by the registers alone; None in such a row itself.
    free
        The bare row without bounds of what is unknown but those of other meters; None where that is not needed: no slot
        refutes its maximum power, and no other meter bounds it.
    among
        The row as it is where another meter's maximum power is refuted: bounded by others without anybody's; None where
        no other meter bounds it.
    """

    term: Term
    first: int
    last: int
    energy_j: Int64
    low_j: Int64
    high_j: Int64
    known: Bools
    unbounded: Bools
    gap_ms: Int64
    flags: Int64
    below_j: Int64
    above_j: Int64
    is_exact: bool = False
    is_borrowed: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))
    family_j: Int64 | None = None
    bare: Row | None = None
    free: Row | None = None
    among: Row | None = None

    @property
    def active(self) -> Bools:
        """Slots in which the term is valid. (S,)"""
        result = np.zeros(len(self.energy_j), np.bool_)
        result[self.first : self.last] = True
        return result

    @property
    def weighs(self) -> bool:
        """Whether the meter counts for anything."""
        return bool(self.term.a or self.term.b)

    def lacks(self, first: int, last: int) -> bool:
        """Whether anything is unknown in some slots in which the term is valid."""
        return not self.known[max(first, self.first) : min(last, self.last)].all()

    def marks(self, first: int, last: int) -> int:
        """Marks of the slots of a window."""
        return int(np.bitwise_or.reduce(self.flags[first:last], initial=0))

    def borrows(self, first: int, last: int) -> bool:
        """Whether bounds of slots in a window come from other meters."""
        return bool(self.is_borrowed[first:last].any())

    @property
    def least_j(self) -> Int64:
        """Least energy the slot can hold, taken alone. (S,) [J]"""
        return np.asarray(np.maximum(self.energy_j + self.low_j - self.above_j[:-1] - self.below_j[1:], 0), np.int64)

    @property
    def most_j(self) -> Int64:
        """Most energy the slot can hold, taken alone. (S,) [J]"""
        # The true curve stands up to `below` under its estimate at the start and up to `above` over it at the end: the
        # slot can hold both more. (E,) columns: [:-1] are the slots' start edges, [1:] their end edges.
        most = self.energy_j + self.high_j + self.below_j[:-1] + self.above_j[1:]
        return np.where(self.unbounded, UNBOUNDED_J, most)

    def bounded(self, least_j: Int64, most_j: Int64, family_j: Int64) -> Row:
        """The row with unknown energy held between bounds of the slots, each taken alone. [J]"""
        unknown = self.active & ~self.known
        bounded = unknown & (most_j < UNBOUNDED_J)
        # `least_j` and `most_j` undone: every window takes edge bounds at its own two edges again, so `low_j` is what
        # is left of a slot's least where the curve is off at its edges in the worst way.
        least = least_j - self.energy_j - self.below_j[:-1] - self.above_j[1:]
        most = self._beyond_known(most_j)
        # Only narrower, and only where energy is unknown: known slots are bounded by their own registers.
        high = np.where(bounded, np.where(self.unbounded, most, np.minimum(self.high_j, most)), self.high_j)
        low = np.where(unknown, np.maximum(self.low_j, least), self.low_j)
        is_borrowed = unknown & ((high != self.high_j) | (low != self.low_j) | (self.unbounded & bounded))
        return replace(
            self,
            low_j=low,
            high_j=high,
            unbounded=self.unbounded & ~bounded,
            is_borrowed=is_borrowed,
            is_exact=False,
            family_j=family_j,
            bare=self.bare.bounded(least_j, most_j, family_j) if self.bare else None,
        )

    def _beyond_known(self, most_j: Int64) -> Int64:
        """What slots can hold beyond what is known, if they hold at most so much in all. (S,) [J]"""
        return np.asarray(np.maximum(most_j - self.energy_j + self.above_j[:-1] + self.below_j[1:], 0), np.int64)

    def doubted(self, slots: Bools, mark: Flag) -> Row:
        """The row with the energy of some slots unknown up to the meter's limit: meters contradict each other.

        Nothing joins energy across such slots, so the bounds of an edge beside them are part of the other slot.
        """
        here = slots & self.active
        row = self._cut_at(np.flatnonzero((here[1:] != here[:-1]) & self.active[1:] & self.active[:-1]) + 1, here)
        # W x 900 s. Without a maximum power nothing bounds the slot.
        limit_j = max(self.term.max_power_w, 0) * (SLOT_MS // 1000)
        return replace(
            row,
            energy_j=np.where(here, 0, self.energy_j),
            low_j=np.where(here, 0, row.low_j),
            high_j=np.where(here, limit_j, row.high_j),
            known=self.known & ~here,
            unbounded=np.where(here, limit_j == 0, self.unbounded),
            flags=np.where(here, self.flags | int(mark), self.flags),
            is_exact=False,
            is_borrowed=self.is_borrowed & ~here,
            family_j=None if self.family_j is None else np.where(here, UNBOUNDED_J, self.family_j),
            bare=self.bare.doubted(slots, mark) if self.bare else None,
            # Doubt bounds the slots by P x 900 s, which this row does not believe.
            free=self.free.doubted(slots, mark).without_limit() if self.free else None,
            among=self.among.doubted(slots, mark) if self.among else None,
        )

    def _cut_at(self, edges: Int64, here: Bools) -> Row:
        """The row with the bounds of some edges in the slot beside each that is not in doubt, and none at the edge."""
        if len(edges) == 0:
            return self
        low, high, below, above = (column.copy() for column in (self.low_j, self.high_j, self.below_j, self.above_j))
        starts = edges[~here[edges]]
        ends = edges[here[edges]]
        # As where a term begins and ends, below (`_with_ends`); one slot can lie between two doubts, hence in turn.
        low[starts] -= above[starts]
        high[starts] += below[starts]
        low[ends - 1] -= below[ends]
        high[ends - 1] += above[ends]
        below[edges] = 0
        above[edges] = 0
        return replace(self, low_j=low, high_j=high, below_j=below, above_j=above, is_exact=False)

    def without_limit(self) -> Row:
        """The row with no bound of what is unknown but what other meters give."""
        unknown = self.active & ~self.known
        family_j = np.full(len(unknown), UNBOUNDED_J) if self.family_j is None else self.family_j
        bounded = unknown & (family_j < UNBOUNDED_J)
        return replace(
            self,
            high_j=np.where(unknown, np.where(bounded, self._beyond_known(family_j), 0), self.high_j),
            unbounded=np.where(unknown, ~bounded, self.unbounded),
            is_exact=False,
        )


def span(term: Term, edges: Int64) -> tuple[int, int]:
    """First slot of the term on the grid and first slot after it."""
    start = int(edges[0])
    count = len(edges) - 1
    # -(-x // n) rounds up: a slot belongs to the term that is valid at its start. One valid from 00:10 has its first
    # slot at 00:15; one valid to 00:40 has its last slot from 00:30.
    first = min(max(0, -((start - term.from_ms) // SLOT_MS)), count)
    last = count if term.to_ms is None else min(-((start - term.to_ms) // SLOT_MS), count)
    return first, max(first, last)


def lay(slots: Slots | None, term: Term, edges: Int64) -> Row:
    """Put a term's slots on the grid; a slot that is not there is unknown up to the meter's limit."""
    slots = Slots.empty() if slots is None else slots
    row = replace(_laid(slots, term, edges, capped=True), bare=_laid(slots, term, edges, capped=False))
    if row.bare and int(np.bitwise_or.reduce(row.flags, initial=0)) & Flag.LIMIT_REFUTED:
        row = replace(row, free=row.bare.without_limit())
    return _with_calibration(row, edges)


def _laid(slots: Slots, term: Term, edges: Int64, *, capped: bool) -> Row:
    first, last = span(term, edges)
    count = len(edges) - 1
    offset = (int(edges[0]) - int(slots.start_ms[0])) // SLOT_MS if len(slots) else 0
    # Starts ascend by whole slots, so their span says whether one is missing.
    unbroken = len(slots) and int(slots.start_ms[-1] - slots.start_ms[0]) == (len(slots) - 1) * SLOT_MS
    # One slot more than the grid has: the bounds of its last edge stand in the slot that starts there.
    if unbroken and first == 0 and last == count and 0 <= offset < len(slots) - count:
        row = _whole(slots.select(slice(offset, offset + count + 1)), term, capped=capped)
        return row if capped else _without_edge_bounds(row)
    row = _scattered(slots, term, edges, capped=capped)
    return _with_ends(row if capped else _without_edge_bounds(row))


def _without_edge_bounds(row: Row) -> Row:
    """A bare row in which registers alone bound some edges below only: the slots on both sides are open instead.

    What a last reading that was under way at an edge had shown by then, only the maximum power says.
    """
    edge = np.flatnonzero(row.above_j >= MAX_ENERGY_J)
    if len(edge) == 0:
        return row
    above = row.above_j.copy()
    low = np.array(row.low_j)
    known = row.known.copy()
    unbounded = row.unbounded.copy()
    above[edge] = 0
    before = edge[edge > row.first] - 1
    behind = edge[edge < row.last]
    known[before] = False
    unbounded[before] = True
    # Any of its energy may have flowed before the edge.
    low[behind] = np.minimum(low[behind], -row.energy_j[behind])
    return replace(row, above_j=above, low_j=low, known=known, unbounded=unbounded, is_exact=False)


def _whole(slots: Slots, term: Term, *, capped: bool) -> Row:
    """A term with every slot of the grid and the one after it: views, hardly anything is copied."""
    count = len(slots) - 1
    unknown_j = slots.unknown_j[:-1]
    known = unknown_j == 0
    unbounded = unknown_j >= MAX_ENERGY_J
    is_exact = bool(known.all()) and not slots.under_j[:-1].any() and not slots.over_j[:-1].any()
    # One zero seen `count` times; it cannot be written to, and nobody does.
    nothing = np.broadcast_to(np.int64(0), count)
    return Row(
        term=term,
        first=0,
        last=count,
        energy_j=slots.energy_j[:-1],
        low_j=nothing if is_exact else -slots.under_j[:-1],
        high_j=nothing if is_exact else np.where(unbounded, 0, unknown_j) + slots.over_j[:-1],
        known=known,
        unbounded=unbounded,
        gap_ms=slots.gap_ms[:-1],
        flags=slots.flags[:-1],
        # Not cut by one: S + 1 starts are the E edges.
        below_j=slots.below_capped_j if capped else slots.below_j,
        above_j=slots.above_capped_j if capped else slots.above_j,
        is_exact=is_exact,
        is_borrowed=np.broadcast_to(np.False_, count),
    )


def _scattered(slots: Slots, term: Term, edges: Int64, *, capped: bool) -> Row:
    """A term that is not valid all the time, or lacks slots."""
    first, last = span(term, edges)
    place = (slots.start_ms - edges[0]) // SLOT_MS
    inside = (place >= first) & (place < last)
    at = place[inside]
    found = slots.select(inside)
    # What no slot overwrites stays absent: no energy, unknown up to P x 900 s, all gap.
    row = _absent(term, first, last, len(edges) - 1)
    row.energy_j[at] = found.energy_j
    row.gap_ms[at] = found.gap_ms
    row.flags[at] = found.flags
    unbounded = found.unknown_j >= MAX_ENERGY_J
    row.low_j[at] = -found.under_j
    row.high_j[at] = np.where(unbounded, 0, found.unknown_j) + found.over_j
    row.unbounded[at] = unbounded
    row.known[at] = found.unknown_j == 0
    # The slot at `last` is not the term's, but starts at the term's last edge.
    on_edge = (place >= first) & (place <= last)
    row.below_j[place[on_edge]] = (slots.below_capped_j if capped else slots.below_j)[on_edge]
    row.above_j[place[on_edge]] = (slots.above_capped_j if capped else slots.above_j)[on_edge]
    return row


def _absent(term: Term, first: int, last: int, count: int) -> Row:
    """A term of which nothing is known."""
    valid = np.zeros(count, np.int64)
    valid[first:last] = 1
    limit_j = max(term.max_power_w, 0) * (SLOT_MS // 1000)
    return Row(
        term=term,
        first=first,
        last=last,
        energy_j=np.zeros(count, np.int64),
        low_j=np.zeros(count, np.int64),
        high_j=valid * limit_j,
        known=np.zeros(count, np.bool_),
        unbounded=(valid > 0) & (limit_j == 0),
        gap_ms=valid * SLOT_MS,
        flags=valid * int(Flag.MISSING),
        below_j=np.zeros(count + 1, np.int64),
        above_j=np.zeros(count + 1, np.int64),
        is_borrowed=np.zeros(count, np.bool_),
    )


def _with_ends(row: Row) -> Row:
    """Make the bounds of an edge at which the term begins or ends inside the window part of its first or last slot."""
    # METHOD.md, "Meter in a window": a window across this edge takes no edge bounds here, so the slot has to hold them.
    # At the start a curve that stands higher leaves less for the slot, hence above goes to its least and below to its
    # most.
    low, high, below, above = (column.copy() for column in (row.low_j, row.high_j, row.below_j, row.above_j))
    if row.first > 0:
        low[row.first] -= above[row.first]
        high[row.first] += below[row.first]
        below[row.first] = 0
        above[row.first] = 0
    if row.last < len(row.energy_j):
        low[row.last - 1] -= below[row.last]
        high[row.last - 1] += above[row.last]
        below[row.last] = 0
        above[row.last] = 0
    return replace(row, low_j=low, high_j=high, below_j=below, above_j=above)


def _with_calibration(row: Row, edges: Int64) -> Row:
    """Mark the slots for which no certificate of the meter holds."""
    term = row.term
    if term.is_calibration_known and term.calibrated_to_ms is None:
        return row
    is_open = np.zeros(len(edges) - 1, np.bool_)
    if not term.is_calibration_known:
        is_open[:] = True
    if term.calibrated_to_ms is not None:
        is_open |= edges[1:] > term.calibrated_to_ms
    return replace(row, flags=np.where(is_open & row.active, row.flags | int(Flag.UNCALIBRATED), row.flags))


def cumulated(values: npt.NDArray[np.int64] | Bools) -> Int64:
    """Sum before each edge: one longer than the slots, starting at 0."""
    result = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=result[1:])
    return result
