"""One figure as a row: its name, its goal, and whether it meets that."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import NotRequired, TypedDict


class Row(TypedDict):
    """`raw` is what was measured where `figure` is in reference seconds."""

    name: str
    figure: float
    unit: str
    goal: str
    meets: bool | None
    raw: NotRequired[float]
    commit: NotRequired[str]


_COMPARED: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}


def row(name: str, figure: float, unit: str, goal: str = "") -> Row:
    """A figure beside its goal: `<= 5`, `>= 3`, `= 0`; without a goal it is only shown."""
    return Row(name=name, figure=significant(figure), unit=unit, goal=goal, meets=meets(figure, goal))


def meets(figure: float, goal: str) -> bool | None:
    """Whether a figure, not rounded yet, meets a goal; None without one."""
    if not goal:
        return None
    sign, value = goal.split()
    return bool(_COMPARED[sign](figure, float(value)))


def significant(figure: float) -> float:
    """Four digits that count, and all whole ones."""
    return float(round(figure)) if abs(figure) >= 1000 else float(f"{figure:.4g}")


def shown(figure: float) -> str:
    """As a table prints it."""
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.4g}"


def table(rows: list[Row]) -> str:
    """Rows as text; the last column says whether the goal is met."""
    width = max((len(line["name"]) for line in rows), default=0)
    unit = max((len(line["unit"]) for line in rows), default=0)
    marks = {True: "meets", False: "MISSES", None: ""}
    return "\n".join(
        f"{line['name']:<{width}}  {shown(line['raw']) if 'raw' in line else '':>10}  {shown(line['figure']):>10} "
        f"{line['unit']:<{unit}}  {line['goal']:<10} {marks[line['meets']]}".rstrip()
        for line in rows
    )
