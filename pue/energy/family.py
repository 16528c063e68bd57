"""What parent and children meters say about each other's unknown energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from pue.contract.errors import Fatal
from pue.energy.grid import UNBOUNDED_J, Row
from pue.energy.index import Bools
from pue.energy.slots import Int64

Node = tuple[str, str, str]
"""Site, meter and quantity: all terms of one meter, whatever their weights."""

_SAFE = 1 << 61


def nodes_of(rows: Sequence[Row]) -> dict[Node, list[int]]:
    """Places of each meter's rows."""
    nodes: dict[Node, list[int]] = {}
    for place, row in enumerate(rows):
        key = row.term.key
        nodes.setdefault((key.site, key.meter, key.quantity), []).append(place)
    return nodes


def children_of(rows: Sequence[Row], nodes: dict[Node, list[int]]) -> dict[Node, list[Node]]:
    """Children by parent; a parent that is not among the terms, or measures another quantity, says nothing."""
    result: dict[Node, list[Node]] = {}
    for node, places in nodes.items():
        above = node[0], rows[places[-1]].term.parent or "", node[2]
        if above in nodes:
            result.setdefault(above, []).append(node)
    return result


def bounded_by_family(rows: Sequence[Row]) -> list[Row]:
    """Bound unknown energy by the meters above and below.

    A child carries at most what its parent carries less what the siblings carry at least; a parent at least what its
    children carry at least. Losses only make the parent carry more, so both hold whatever they are. Meters can be off
    by their class: what one shows says so much less of the energy itself, and that of what another would have shown.

    References
    ----------
    METHOD.md, "Bounds of a missing meter".
    """
    nodes = nodes_of(rows)
    children = children_of(rows, nodes)
    # Looked at although nothing may be unknown: a circle of parents is an error on every day.
    order = _from_the_top(nodes, children)
    if not children or all(row.known[row.first : row.last].all() for row in rows):
        return list(rows)
    family = _Family(nodes, children, order)
    result = family.applied(rows, family.flowed(rows))
    # For windows that refute a maximum power: what the others say must then not rest on any.
    unlimited = [row.free or (row.bare or row).without_limit() for row in rows]
    flowed = family.flowed(unlimited)
    free = family.applied(unlimited, flowed)
    among = family.applied(rows, flowed)
    return [replace(row, free=own, among=with_own) for row, own, with_own in zip(result, free, among, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class _Flowed:
    """Energy that flowed through each meter: at least, at most, and at most by the meters above alone. (S,) per node"""

    lower: dict[Node, Int64]
    upper: dict[Node, Int64]
    by_others: dict[Node, Int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Family:
    """Meters, their places among the rows, their children, and all of them parents first."""

    nodes: dict[Node, list[int]]
    children: dict[Node, list[Node]]
    order: Sequence[Node]

    def limits(self, rows: Sequence[Row]) -> dict[Node, Fraction]:
        """Class limit of each meter: the widest of its terms'."""
        return {node: max(rows[place].term.limit_rel for place in places) for node, places in self.nodes.items()}

    def flowed(self, rows: Sequence[Row]) -> _Flowed:
        """As each meter alone bounds it; then from the leaves up, then from the top down."""
        nodes = self.nodes
        limits = self.limits(rows)
        # A meter within its class c shows x for an energy between x / (1 + c) and x / (1 - c). (S,) per node
        lower = {node: _scaled(_largest(rows, nodes[node], "least_j"), 1 / (1 + limits[node])) for node in nodes}
        upper = {node: _scaled_up(_largest(rows, nodes[node], "most_j"), 1 / (1 - limits[node])) for node in nodes}
        # Children first, so that a grandchild's least has reached its parent before that is added up.
        for node in reversed(self.order):
            if node in self.children:
                of_children = np.add.reduce([lower[child] for child in self.children[node]])
                lower[node] = np.maximum(lower[node], of_children)
        by_others = {node: np.full_like(upper[node], UNBOUNDED_J) for node in nodes}
        # Parents first: a parent's upper may have come down by its own parent. It needs a term of the parent in the
        # slot, for without one nothing was metered there.
        for node in self.order:
            for child in self.children.get(node, ()):
                siblings = np.add.reduce([lower[other] for other in self.children[node]]) - lower[child]
                is_bounded = _active(rows, nodes[node]) & (upper[node] < UNBOUNDED_J)
                by_others[child] = np.where(is_bounded, np.maximum(upper[node] - siblings, 0), UNBOUNDED_J)
                upper[child] = np.minimum(upper[child], by_others[child])
        return _Flowed(lower, upper, by_others)

    def applied(self, rows: Sequence[Row], flowed: _Flowed) -> list[Row]:
        """Rows with their unknown energy held between what flowed, each wide by its own class once more."""
        limits = self.limits(rows)
        result = list(rows)
        for node, places in self.nodes.items():
            least = _scaled(flowed.lower[node], 1 - limits[node])
            most = _scaled_up(flowed.upper[node], 1 + limits[node])
            alone = _scaled_up(flowed.by_others[node], 1 + limits[node])
            for place in places:
                result[place] = rows[place].bounded(least, most, alone)
        return result


def _scaled(energy_j: Int64, factor: Fraction) -> Int64:
    """Energy x factor, rounded down. (S,) [J]"""
    if factor == 1:
        return energy_j
    # Beyond that the product leaves int64: Python's integers are as exact, and slow.
    if int(np.abs(energy_j).max(initial=0)) * factor.numerator < _SAFE:
        return np.asarray(energy_j * factor.numerator // factor.denominator, np.int64)
    return np.asarray(energy_j.astype(object) * factor.numerator // factor.denominator, np.int64)


def _scaled_up(energy_j: Int64, factor: Fraction) -> Int64:
    """Energy x factor, rounded up; no bound stays none. (S,) [J]"""
    bounded = energy_j < UNBOUNDED_J
    # Down of the negative is up.
    scaled = -_scaled(-np.where(bounded, energy_j, 0), factor)
    return np.where(bounded, scaled, UNBOUNDED_J)


def _from_the_top(nodes: dict[Node, list[int]], children: dict[Node, list[Node]]) -> list[Node]:
    """Parents before their children."""
    below = {child for members in children.values() for child in members}
    order = [node for node in nodes if node not in below]
    # The list grows while it is walked: first the tops, then their children, and so on. Who has a circle above is never
    # reached.
    for node in order:
        order.extend(children.get(node, ()))
    if len(order) < len(nodes):
        lost = sorted(node[1] for node in nodes if node not in order)
        raise Fatal(f"meters {', '.join(lost)} are each other's parents; correct `parent` in the registry")
    return order


def _largest(rows: Sequence[Row], places: Sequence[int], name: str) -> Int64:
    """Column of a meter whose terms follow, or repeat, each other. (S,)"""
    return np.asarray(np.maximum.reduce([getattr(rows[place], name) for place in places]), np.int64)


def _active(rows: Sequence[Row], places: Sequence[int]) -> Bools:
    return np.asarray(np.logical_or.reduce([rows[place].active for place in places]), np.bool_)
