"""What parent and children meters say about each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pue.contract.errors import Fatal
from pue.energy.grid import UNBOUNDED_J, Bools, Row, cumulated
from pue.energy.slots import Int64

Node = tuple[str, str, str]
"""Site, meter and quantity: all terms of one meter, whatever their weights."""


@dataclass(frozen=True, slots=True, eq=False)
class Balance:
    """Energy of a parent and its children in the slots where all of them are known.

    Attributes
    ----------
    parent
        The parent meter.
    energy_j
        Cumulative energy, the parent first. (1 + C, E) [J]
    u_rel
        Relative standard uncertainty of each. (1 + C,) [-]
    slack_j
        Edge bounds of all together. (E,) [J]
    step_j
        Register steps of all together. [J]
    """

    parent: str
    energy_j: Int64
    u_rel: tuple[float, ...]
    slack_j: Int64
    step_j: int

    def broken(self, first: int, last: int) -> bool:
        """Whether the children carry more than their parent beyond twice the standard uncertainty of the difference.

        Less is no fault: what lies between is loss or load without a meter.
        """
        energy = (self.energy_j[:, last] - self.energy_j[:, first]).tolist()
        surplus = sum(energy[1:]) - energy[0]
        u = math.sqrt(sum((value * share) ** 2 for value, share in zip(energy, self.u_rel, strict=True)))
        return bool(surplus > 2 * u + 2 * self.step_j + int(self.slack_j[first]) + int(self.slack_j[last]))


def balances(rows: Sequence[Row], count: int) -> tuple[Balance, ...]:
    """A balance for every meter that has children among the terms."""
    nodes = _nodes(rows)
    children = _children(nodes)
    return tuple(_balance([nodes[node], *(nodes[child] for child in children[node])], count) for node in children)


def _balance(family: Sequence[list[Row]], count: int) -> Balance:
    known = np.ones(count, np.bool_)
    for member in family:
        known &= np.logical_or.reduce([row.known for row in member])
    slack = [row.below_j + row.above_j for member in family for row in member]
    return Balance(
        parent=family[0][0].term.key.meter,
        energy_j=np.stack([cumulated(np.where(known, _largest(member, "energy_j"), 0)) for member in family]),
        u_rel=tuple(max(row.term.u_rel for row in member) for member in family),
        slack_j=np.add.reduce(slack),
        step_j=sum(max(row.term.step_j for row in member) for member in family),
    )


def tighten(rows: Sequence[Row]) -> list[Row]:
    """Bound unknown energy by the meters above and below.

    A child carries at most what its parent carries less what the siblings carry at least; a parent at least what its
    children carry at least. Losses only make the parent carry more, so both hold whatever they are.

    References
    ----------
    METHOD.md, "Bounds of a missing meter".
    """
    nodes = _nodes(rows)
    children = _children(nodes)
    if not children or all(row.known[row.first : row.last].all() for row in rows):
        return list(rows)
    lower = {node: _largest(members, "least_j") for node, members in nodes.items()}
    upper = {node: _largest(members, "most_j") for node, members in nodes.items()}
    order = _from_the_top(nodes, children)
    for node in reversed(order):
        if node in children:
            lower[node] = np.maximum(lower[node], np.add.reduce([lower[child] for child in children[node]]))
    for node in order:
        for child in children.get(node, ()):
            siblings = np.add.reduce([lower[other] for other in children[node]]) - lower[child]
            rest = np.where(_active(nodes[node]) & (upper[node] < UNBOUNDED_J), upper[node] - siblings, UNBOUNDED_J)
            upper[child] = np.minimum(upper[child], np.maximum(rest, 0))
    return [row.bounded(lower[_node(row)], upper[_node(row)]) for row in rows]


def _node(row: Row) -> Node:
    key = row.term.key
    return key.site, key.meter, key.quantity


def _nodes(rows: Sequence[Row]) -> dict[Node, list[Row]]:
    nodes: dict[Node, list[Row]] = {}
    for row in rows:
        nodes.setdefault(_node(row), []).append(row)
    return nodes


def _children(nodes: dict[Node, list[Row]]) -> dict[Node, list[Node]]:
    """Children by parent; a parent that is not among the terms, or measures another quantity, says nothing."""
    result: dict[Node, list[Node]] = {}
    for node, members in nodes.items():
        above = node[0], members[-1].term.parent or "", node[2]
        if above in nodes:
            result.setdefault(above, []).append(node)
    return result


def _from_the_top(nodes: dict[Node, list[Row]], children: dict[Node, list[Node]]) -> list[Node]:
    """Parents before their children."""
    below = {child for members in children.values() for child in members}
    order = [node for node in nodes if node not in below]
    for node in order:
        order.extend(children.get(node, ()))
    if len(order) < len(nodes):
        lost = sorted(node[1] for node in nodes if node not in order)
        raise Fatal(f"meters {', '.join(lost)} are each other's parents; correct `parent` in the registry")
    return order


def _largest(members: Sequence[Row], name: str) -> Int64:
    """Column of a meter whose terms follow, or repeat, each other."""
    return np.asarray(np.maximum.reduce([getattr(row, name) for row in members]), np.int64)


def _active(members: Sequence[Row]) -> Bools:
    return np.asarray(np.logical_or.reduce([row.active for row in members]), np.bool_)
