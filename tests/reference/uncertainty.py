"""METHOD.md, "Uncertainty": u(PUE) from what the meters counted."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from tests.reference.page import whole

STEPS = whole("sum over k of c_k^2 step_k^2 / #")


class Counted(NamedTuple):
    """What one term counted: weights, energy [J], relative u, step [J], and whose errors are one error."""

    meter: str
    a: Fraction
    b: Fraction
    energy_j: Fraction
    u: Fraction
    step_j: Fraction
    group: str
    model: str


def u_squared(counted: Sequence[Counted]) -> Fraction | None:
    """ "Uncertainty of PUE": u^2(P), exact; None without positive IT energy."""
    total = sum((c.a * c.energy_j for c in counted), Fraction(0))
    it = sum((c.b * c.energy_j for c in counted), Fraction(0))
    if it <= 0:
        return None
    pue = total / it
    errors: dict[str, Fraction] = defaultdict(Fraction)
    steps: dict[str, Fraction] = defaultdict(Fraction)
    whose: dict[str, tuple[str, str]] = {}
    for c in counted:
        sensitivity = (c.a - pue * c.b) / it
        errors[c.meter] += sensitivity * c.energy_j * c.u
        steps[c.meter] += (sensitivity * c.step_j) ** 2 / STEPS
        if c.group:
            whose[c.meter] = ("group", c.group)
        elif c.model:
            whose[c.meter] = ("model", c.model)
        else:
            whose[c.meter] = ("alone", c.meter)
    by_source: dict[tuple[str, str], list[Fraction]] = defaultdict(list)
    for meter, error in errors.items():
        by_source[whose[meter]].append(error)
    square = sum(steps.values(), Fraction(0))
    for (kind, _), members in by_source.items():
        if kind == "model":
            square += sum((e for e in members if e > 0), Fraction(0)) ** 2
            square += sum((e for e in members if e < 0), Fraction(0)) ** 2
        else:
            square += sum(members, Fraction(0)) ** 2
    return square


def u_pue(counted: Sequence[Counted]) -> float | None:
    """u(PUE)."""
    square = u_squared(counted)
    return None if square is None else math.sqrt(square)
