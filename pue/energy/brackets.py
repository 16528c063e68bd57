"""Between which values a register's curve lies at slot edges, and where its energy is unknown.

Between walls every reading j, of level L_j, asked for at t0 and answered at t1, says of the true curve T at a time e

    T(e) >= L_j                      if t1_j <= e              T(e) <= L_j + hidden                 if t0_j >= e
    T(e) >= L_j - P (t1_j - e)       if t1_j > e               T(e) <= L_j + hidden + P (e - t0_j)  if t0_j < e

The first row are the registers alone, the second is what the maximum power P adds. All of them hold at once, so losing
readings can only widen what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.curves import Edges, Freedom, Unknown, share
from pue.energy.index import Bools, has
from pue.energy.levels import Levels, lead_after, lead_before
from pue.energy.points import Neighbours
from pue.energy.relations import Relation
from pue.energy.slots import Int64
from pue.energy.versions import FLOAT32_BITS, joules_up, power_in_force_w, power_mj, powers_w


@dataclass(frozen=True, slots=True, eq=False)
class _Beside:
    """I edges between readings, and what the readings on both sides say. (I,) each

    Attributes
    ----------
    edge_ms
        The edges. [ms UTC]
    left
        Reading on the left; the next one is on the right.
    asked_ms, since_ms
        Request of the left one; time from its reply to the edge. [ms UTC, ms]
    next_asked_ms, until_ms
        Request of the right one; time from the edge to its reply. [ms UTC, ms]
    low_j, high_j
        Levels of both. [J]
    """

    edge_ms: Int64
    left: Int64
    asked_ms: Int64
    since_ms: Int64
    next_asked_ms: Int64
    until_ms: Int64
    low_j: Int64
    high_j: Int64


@dataclass(slots=True, eq=False)
class _Bracket:
    """At I edges, least and greatest value of the curve: by the registers alone, and capped by maximum power. [J]"""

    lower: Int64
    upper: Int64
    lower_capped: Int64
    upper_capped: Int64
    rests: Bools
    """Where `upper` rests on the maximum power all the same: no joined reading was asked for later. (I,)"""


def register_edges(levels: Levels, time_ms: Int64) -> Edges:
    """Estimate and bounds of a register's curve at the edges of successive slots.

    Parameters
    ----------
    levels
        The register's readings.
    time_ms
        Edges from the first reading's slot to the end of the last one's. (E,) [ms UTC]

    References
    ----------
    METHOD.md, "Edge bounds".
    """
    near = levels.points.neighbours()
    left = near.left
    # Of the E edges the first has no reading on its left unless one is exactly at it, then come I inner ones, then one
    # at the last reading if it is at an edge, and the end of its slot: E is I + 1, I + 2 or I + 3.
    first = int(time_ms[0] < levels.points.t1_ms[0])
    inner = slice(first, first + len(left))
    beside = _beside(levels, time_ms[inner], near)
    bracket = _bracket(levels, beside)
    refuted = _set_free_where_refuted(levels, left, bracket)
    span_ms = beside.since_ms + beside.until_ms
    estimate = beside.low_j + share(beside.high_j - beside.low_j, beside.since_ms, span_ms)
    np.maximum(estimate, bracket.lower_capped, out=estimate)
    np.minimum(estimate, bracket.upper_capped, out=estimate)
    return _with_ends(levels, time_ms, inner, left, span_ms, estimate, bracket, refuted)


def _beside(levels: Levels, edge_ms: Int64, near: Neighbours) -> _Beside:
    return _Beside(
        edge_ms=edge_ms,
        left=near.left,
        asked_ms=near.t0_ms,
        since_ms=edge_ms - near.t1_ms,
        next_asked_ms=near.next_t0_ms,
        until_ms=near.next_t1_ms - edge_ms,
        low_j=levels.of_counts(near.left, near.count),
        high_j=levels.of_counts(near.left + 1, near.next_count),
    )


def _with_ends(
    levels: Levels,
    time_ms: Int64,
    inner: slice,
    left: Int64,
    span_ms: Int64,
    estimate: Int64,
    bracket: _Bracket,
    refuted: Bools | None,
) -> Edges:
    """All edges: before the first and after the last reading the level stays, and nothing is open but their steps."""
    points = levels.points
    # (2,) and of that shape all that is asked of `ends`: of the first reading and of the last.
    ends = np.array([0, len(points) - 1])
    ends_j = levels.at(ends)
    level, below, above, below_capped, above_capped, is_refuted = np.zeros((6, len(time_ms)), np.int64)
    level[: inner.start] = ends_j[0] + _risen_before_j(levels, int(time_ms[0]))
    level[inner] = estimate
    level[inner.stop :] = ends_j[1]
    if refuted is not None:
        np.maximum.accumulate(level, out=level)  # a bracket set free between capped ones must not step back
        is_refuted[inner] = refuted
    np.subtract(level[inner], bracket.lower, out=below[inner])
    np.subtract(bracket.upper, level[inner], out=above[inner])
    above[inner][bracket.rests] = MAX_ENERGY_J
    np.maximum(level[inner] - bracket.lower_capped, 0, out=below_capped[inner])
    np.maximum(bracket.upper_capped - level[inner], 0, out=above_capped[inner])
    at_last = slice(inner.stop, inner.stop + int(time_ms[inner.stop] == points.t1_ms[-1]))
    below[at_last] = below_capped[at_last] = levels.rounding_j(ends)[1]
    above[at_last] = levels.hidden_j(ends)[1]
    above_capped[at_last] = _last_step_j(levels, int(time_ms[-1]))
    edges = Edges(time_ms, left, span_ms, level, below, above, below_capped, above_capped, is_refuted)
    _open_where_registers_meet(levels, edges)
    _leave_first_step_to_its_slot(levels, edges, int(ends_j[0]))
    return edges


def _open_where_registers_meet(levels: Levels, edges: Edges) -> None:
    """An edge at which a register was read for the last time: a window that ends there ends with what it hid.

    What has flowed since that reading's request comes to it, if what follows is unknown. The slot that starts there has
    that freedom (`register_freedom`), but is not part of such a window.
    """
    joints = _joints(levels)
    at_edge = joints[(levels.points.t1_ms[joints] - edges.time_ms[0]) % SLOT_MS == 0]
    place = (levels.points.t1_ms[at_edge] - edges.time_ms[0]) // SLOT_MS
    above = levels.at(at_edge) + levels.hidden_j(at_edge) + _flowed_since_request_j(levels, at_edge)
    above -= edges.level_j[place]
    below = edges.level_j[place] - levels.at(at_edge) + levels.rounding_j(at_edge)
    # Several registers can have met there, in no time: `at` adds nothing up, and keeps the largest.
    for column, least in ((edges.above_j, above), (edges.above_capped_j, above)):
        np.maximum.at(column, place, least)
    for column, least in ((edges.below_j, below), (edges.below_capped_j, below)):
        np.maximum.at(column, place, least)
    edges.above_j[_answered_at_edge(levels, np.append(joints, len(levels.points) - 1), edges)] = MAX_ENERGY_J


def _flowed_since_request_j(levels: Levels, index: Int64) -> Int64:
    """What can have flowed unknown between request and reply of some readings; nothing before known energy. (N,) [J]"""
    flowed = np.zeros(len(index), np.int64)
    place = np.flatnonzero(has(levels.unknown, index))
    left = index[place]
    most = power_mj(_stretch_power_w(levels, left), levels.points.t1_ms[left] - levels.points.t0_ms[left])
    flowed[place] = joules_up(np.maximum(most - _shared(levels, left, lead_before(levels, left)), 0))
    return flowed


def _answered_at_edge(levels: Levels, index: Int64, edges: Edges) -> Int64:
    """Edges at which one of some last readings was answered, and may have been true when it was asked for. (N,)"""
    t1_ms = levels.points.t1_ms[index]
    since_ms = t1_ms - edges.time_ms[0]
    chosen = (since_ms % SLOT_MS == 0) & (levels.points.t0_ms[index] < t1_ms)
    return np.asarray(since_ms[chosen] // SLOT_MS, np.int64)


def _joints(levels: Levels) -> Int64:
    """Left points of intervals in which one register ends and another begins, or may have. (J,)"""
    # `has` finds the walls among the links, and with them each wall's relation. (W,)
    joints: Int64 = levels.walls[levels.relation[has(levels.walls, levels.links)] != Relation.REFUTED]
    return joints


def _leave_first_step_to_its_slot(levels: Levels, edges: Edges, first_level_j: int) -> None:
    """Bounds of the first edge: METHOD.md, "Edge bounds", The first edge.

    What the first reading's hidden step leaves open belongs to its slot, as for every window that begins before it
    (`register_freedom`); a window that begins with the slot counts it there, so it is not in the edge as well.
    """
    points = levels.points
    first = np.zeros(1, np.int64)
    # By the registers alone the level may have been the first reading's. If the slot starts at that reading, its
    # bracket has its rounding below besides, which the slot has too: taken off.
    edges.below_j[0] = edges.level_j[0] - first_level_j
    edges.below_capped_j[0] = max(int(edges.below_capped_j[0] - levels.rounding_j(first)[0]), 0)
    # Asked for later, that reading leaves its step open and no more, which is in the slot.
    if points.t0_ms[0] < edges.time_ms[0] < points.t1_ms[0]:
        edges.above_j[0], edges.above_capped_j[0] = _most_at_first_request_j(levels, edges)
    in_slot = max(int(levels.hidden_j(first)[0] - edges.below_j[0]), 0)
    if edges.above_j[0] < MAX_ENERGY_J:
        edges.above_j[0] = max(int(edges.above_j[0]) - in_slot, 0)
    edges.above_capped_j[0] = max(int(edges.above_capped_j[0]) - in_slot, 0)


def _risen_before_j(levels: Levels, start_ms: int) -> int:
    """By how much the curve stood above the first reading's level when its slot began.

    A register that runs ahead of its maximum power after the first reading had that energy before: more than can have
    flowed since the slot began was there at its start already.
    """
    first = np.zeros(1, np.int64)
    since_ms = levels.points.t1_ms[:1] - start_ms
    if since_ms[0] == 0:
        return 0  # the edge is at the reading: its bracket says so
    power, lag = _before_first(levels, start_ms)
    unused = _unused_j(power_mj(power, since_ms), lag)
    return max(int(unused[0] - levels.rounding_j(first)[0]), 0)


def _most_at_first_request_j(levels: Levels, edges: Edges) -> tuple[int, int]:
    """How far above the estimate the curve can be where the first slot begins, alone and capped. [J]

    The first reading was under way then: it may show what was there at its request, before the slot began.
    """
    unbounded = np.full(1, MAX_ENERGY_J)
    bracket = _Bracket(-unbounded, unbounded.copy(), -unbounded, unbounded.copy(), np.zeros(1, np.bool_))
    first = np.zeros(1, np.int64)
    _look_further(levels, edges.time_ms[:1], first, first, np.ones(1, np.bool_), bracket)
    level = edges.level_j[0]
    alone = MAX_ENERGY_J if bracket.rests[0] else int(bracket.upper[0] - level)
    return alone, int(bracket.upper_capped[0] - level)


def _unused_j(can_flow_mj: Int64, lead_mj: Int64, least_j: int = 1) -> Int64:
    """What of a lead is more than can have flowed in a stretch, which has so much unknown energy at least. [J]"""
    # With a lead 5 J above what can flow the stretch has the 1 J all the same: 6 J are too much, and the step hides
    # them no longer.
    return np.maximum(least_j - joules_up(can_flow_mj - lead_mj), 0)


def _bracket(levels: Levels, beside: _Beside) -> _Bracket:
    left = beside.left
    hidden = levels.hidden_j(left)
    rounding = levels.rounding_j(left)
    power = levels.power_w(left)
    lead = lead_before(levels, left)
    # Both rounded up: one is added to an upper bound, the other taken from a lower one. Hidden step and rounding of the
    # left reading serve for the right one, too: if it is of another version, the edge lies in unknown energy, below.
    risen = joules_up(power_mj(power, beside.edge_ms - beside.asked_ms) - lead)
    to_rise = joules_up(power_mj(power, beside.until_ms) - lead_after(levels, left + 1))
    is_exact = beside.asked_ms == beside.edge_ms  # t0 <= t1 <= edge: asked for and answered at the edge
    is_late = (beside.next_asked_ms < beside.edge_ms) & ~is_exact
    lower = beside.low_j - rounding
    upper = np.where(is_exact, beside.low_j, beside.high_j) + hidden
    result = _Bracket(
        lower=lower,
        upper=upper,
        lower_capped=np.maximum(lower, beside.high_j - rounding - to_rise),
        upper_capped=np.minimum(upper, beside.low_j + hidden + risen),
        rests=np.zeros(len(left), np.bool_),
    )
    if len(levels.unknown):
        is_late &= ~has(levels.unknown, left)
    late = np.flatnonzero(is_late)
    if len(late):
        # Without the next reading's level: asked for before the edge, it may have been true before the edge.
        result.upper_capped[late] = (beside.low_j + hidden + risen)[late]
        _look_further(levels, beside.edge_ms, late, left[late] + 1, ~has(levels.walls, left[late]), result)
    if len(levels.walls):
        # After the search, which has put its bounds into `upper`, the bracket's own array.
        is_wall = has(levels.walls, left)
        result.lower_capped[is_wall] = lower[is_wall]
        result.upper_capped[is_wall] = upper[is_wall]
    if len(levels.unknown):
        _inside_unknown(levels, beside, lead, result)
    return result


def _look_further(
    levels: Levels, edge_ms: Int64, late: Int64, place: Int64, same_stretch: Bools, bracket: _Bracket
) -> None:
    """Edges between request and reply of a reading: the first one asked for after them bounds them above.

    `late` are the edges, `place` the reading under way at each, `same_stretch` whether its caps hold there. (L,) each

    Levels join across a refuted limit, so it is looked for beyond one; but a reading under way at the edge caps it, by
    what can have flowed since its request, only on this side of every wall. Where nothing joined was asked for after
    the edge, what flowed since the last request is all there is, with and without caps.
    """
    points = levels.points
    # Nearly all end after one turn: another is needed where the reading after that was asked for before the edge, too.
    all_late = late
    while len(late):
        power = levels.power_w(place)
        level = levels.at(place) + levels.hidden_j(place)
        so_far = level + joules_up(power_mj(power, edge_ms[late] - points.t0_ms[place]))
        near = late[same_stretch]
        bracket.upper_capped[near] = np.minimum(bracket.upper_capped[near], so_far[same_stretch])
        # It stands where no joined reading was asked for later: what flowed since the last request is all there is.
        bracket.upper[late] = so_far
        bracket.rests[late] = True
        goes_on = (place + 1 < len(points)) & ~has(levels.gaps, place)
        # A wall on the way, once passed, stays between the edge and all later readings.
        same_stretch = (same_stretch & ~has(levels.walls, place))[goes_on]
        late = late[goes_on]
        place = place[goes_on] + 1
        bracket.upper[late] = levels.at(place) + levels.hidden_j(place)
        bracket.rests[late] = False
        is_under_way = points.t0_ms[place] < edge_ms[late]
        late = late[is_under_way]
        place = place[is_under_way]
        same_stretch = same_stretch[is_under_way]
    bracket.upper_capped[all_late] = np.minimum(bracket.upper_capped[all_late], bracket.upper[all_late])


def _inside_unknown(levels: Levels, beside: _Beside, lead: Int64, bracket: _Bracket) -> None:
    """Edges inside unknown energy: the level stays, and what may have flowed is the slots' unknown energy.

    A window that starts there takes the new register's hidden step from its lower bound, and adds to its upper one what
    the stretch's lead had taken from time that lies outside the window. Where the new register's first reading is under
    way at the edge, it may show what was there at its request, before the edge.
    """
    place = np.flatnonzero(has(levels.unknown, beside.left))
    index = beside.left[place]
    flowed = power_mj(_stretch_power_w(levels, index), beside.edge_ms[place] - levels.points.t0_ms[index])
    unused = joules_up(np.maximum(_shared(levels, index, lead[place]) - flowed, 0))
    level = levels.at(index)
    bracket.lower[place] = level - unused - levels.rounding_j(index)
    bracket.upper[place] = level + levels.hidden_j(index + 1)
    bracket.lower_capped[place] = bracket.lower[place]
    bracket.upper_capped[place] = bracket.upper[place]
    late = place[beside.next_asked_ms[place] < beside.edge_ms[place]]
    if len(late):
        bracket.upper_capped[late] = MAX_ENERGY_J
        in_new_stretch = np.ones(len(late), np.bool_)
        _look_further(levels, beside.edge_ms, late, beside.left[late] + 1, in_new_stretch, bracket)


def _set_free_where_refuted(levels: Levels, left: Int64, bracket: _Bracket) -> Bools | None:
    """Drop caps that contradict each other: no curve within the maximum power passes all readings around these edges.

    Returns
    -------
    ndarray
        Where this refutes the limit: not where the resolution of a float32 register explains it. (I,); None where no
        caps contradict each other.
    """
    place = np.flatnonzero(bracket.lower_capped > bracket.upper_capped)
    if len(place) == 0:
        return None
    excess = bracket.lower_capped[place] - bracket.upper_capped[place]
    # A float32 register of 2**24 counts or more moves 2 or more at a time: caps may part by so much without a fault.
    steps = np.maximum(levels.points.count[left[place]], levels.points.count[left[place] + 1]) >> FLOAT32_BITS
    refuted = np.zeros(len(left), np.bool_)
    refuted[place] = excess > levels.hidden_j(left[place]) * steps
    bracket.lower_capped[place] = bracket.lower[place]
    bracket.upper_capped[place] = bracket.upper[place]
    return refuted


def register_unknown(levels: Levels, time_ms: Int64) -> Unknown:
    """Stretches before the first reading, in unknown intervals and after the last reading.

    An unknown interval lasts from the request on its left to the reply on its right. Stretches do not overlap: what one
    request and the next have in common counts once.
    """
    points = levels.points
    unknown = levels.unknown
    first_power, first_lag = _before_first(levels, int(time_ms[0]))
    last_power, last_lead = _behind_last(levels, int(time_ms[-1]))
    lead = _shared(levels, unknown, lead_before(levels, unknown))
    lag = _shared(levels, unknown, lead_after(levels, unknown + 1))
    # (U + 2,) each: before the first reading, U unknown intervals, after the last reading.
    starts = np.concatenate((time_ms[:1], points.t0_ms[unknown], points.t0_ms[-1:]))
    bare = np.concatenate((time_ms[:1], points.t1_ms[unknown], points.t1_ms[-1:]))
    ends = np.concatenate((points.t1_ms[:1], points.t1_ms[unknown + 1], time_ms[-1:]))
    powers = np.concatenate((first_power, _stretch_power_w(levels, unknown), last_power))
    leads = np.concatenate((np.zeros(1, np.int64), lead, last_lead))
    lags = np.concatenate((first_lag, lag, np.zeros(1, np.int64)))
    # All at once: a shift moves starts only, and depends on ends only. Ends ascend, so none passes its own.
    shifts = np.maximum(ends[:-1] - starts[1:], 0)
    starts[1:] += shifts
    leads[1:] = np.maximum(leads[1:] - power_mj(powers[1:], shifts), 0)
    return Unknown(start_ms=starts, end_ms=ends, bare_ms=bare, power_w=powers, lead_mj=leads, lag_mj=lags)


def _stretch_power_w(levels: Levels, unknown: Int64) -> Int64:
    """Largest maximum power of all versions from the one on the left of unknown intervals to that on the right. [W]"""
    return _powers_w(levels, unknown)[1]


def _shared(levels: Levels, unknown: Int64, lead_mj: Int64) -> Int64:
    """Leads across unknown intervals in which the maximum power was the same all the time; else none. [mJ]"""
    least, most = _powers_w(levels, unknown)
    return np.where(least == most, lead_mj, 0)


def _powers_w(levels: Levels, unknown: Int64) -> tuple[Int64, Int64]:
    version_of = levels.points.version_of
    return powers_w(levels.versions, version_of(unknown), version_of(unknown + 1))


def _before_first(levels: Levels, start_ms: int) -> tuple[Int64, Int64]:
    """Largest maximum power from the first slot's start to the first reply, and the lag behind it. (1,) [W], [mJ]"""
    first = np.zeros(1, np.int64)
    own = levels.power_w(first)
    power = power_in_force_w(levels.versions, start_ms, int(levels.points.t1_ms[0]), int(own[0]))
    return np.array([power]), lead_after(levels, first) * (own == power)


def _behind_last(levels: Levels, end_ms: int) -> tuple[Int64, Int64]:
    """Largest maximum power from the last request to the last slot's end, and the lead before it. (1,) [W], [mJ]"""
    last = np.array([len(levels.points) - 1])
    own = levels.power_w(last)
    power = power_in_force_w(levels.versions, int(levels.points.t0_ms[-1]), end_ms, int(own[0]))
    return np.array([power]), lead_before(levels, last) * (own == power)


def _last_step_j(levels: Levels, end_ms: int) -> int:
    """What the last reading may hide at its reply and what can have flowed since its request, less its lead. [J]"""
    points = levels.points
    power, lead = _behind_last(levels, end_ms)
    flowed = joules_up(power_mj(power, points.t1_ms[-1:] - points.t0_ms[-1:]) - lead)
    return max(int(levels.hidden_j(np.array([len(points) - 1]))[0] + flowed[0]), 0)


def register_freedom(levels: Levels, edges: Edges) -> Freedom:
    """Moments at which a register is joined to another or to nothing, and what its hidden step leaves open there.

    Where two registers meet, the old one held up to its hidden step more than it showed, and the new one too: energy
    across is up to the old one's step more, and up to the new one's step less. Before the first reading there is no old
    one, after the last no new one; what the register is known to have held there, its step no longer hides.
    """
    points = levels.points
    joints = _joints(levels)
    ends_of = np.array([0, len(points) - 1])
    hidden = levels.hidden_j(ends_of)
    rounding = levels.rounding_j(ends_of)
    under_first = np.maximum(hidden[:1] - edges.below_j[:1], 0)
    power, lead = _behind_last(levels, int(edges.time_ms[-1]))
    can_flow = power_mj(power, edges.time_ms[-1:] - points.t0_ms[-1:])
    over_last = np.maximum(hidden[1:] - _unused_j(can_flow, lead), 0)
    # A level can stand above its register by its rounding, too: that widens the other side.
    over = levels.hidden_j(joints) + levels.rounding_j(joints + 1)
    under = levels.hidden_j(joints + 1) + levels.rounding_j(joints)
    return Freedom(
        time_ms=np.concatenate((points.t1_ms[joints], points.t1_ms[ends_of])),
        under_j=np.concatenate((under, under_first, rounding[1:])),
        over_j=np.concatenate((over, rounding[:1], over_last)),
    )
