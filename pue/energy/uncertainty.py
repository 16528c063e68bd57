"""How well a PUE is known: from accuracy classes and register steps to u(PUE) and probabilities."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from pue.contract.errors import Fatal

METER_CLASSES = {
    "0.1S": 0.1,
    "0.2": 0.2,
    "0.2S": 0.2,
    "0.5": 0.5,
    "0.5S": 0.5,
    "1": 1.0,
    "1S": 1.0,
    "2": 2.0,
    "3": 3.0,
    "A": 2.0,
    "B": 1.0,
    "C": 0.5,
    "D": 0.2,
}
"""Limit of error of an active-energy meter by class: IEC 62053-21/-22, EN 50470-3, GB/T 17215. [% of reading]"""

TRANSFORMER_CLASSES = {"0.1": 0.1, "0.2": 0.2, "0.2S": 0.2, "0.5": 0.5, "0.5S": 0.5, "1": 1.0, "3": 3.0, "": 0.0}
"""Limit of ratio error of a CT (IEC 61869-2) or voltage transformer (IEC 61869-3); "" where there is none. [%]"""

WIDEST_METER_CLASS = "3"
WIDEST_TRANSFORMER_CLASS = "3"
"""What a meter counts as whose class nobody registered: wide enough for every class of the tables."""

GUARD_FACTOR = Fraction(1645, 1000)
"""One-sided 95 % of the normal distribution. [-]"""

_MICRO = 1_000_000
_BLOCK = 16_384
Float64 = npt.NDArray[np.float64]


def relative_uncertainty(meter_class: str, ct_class: str = "", pt_class: str = "") -> float:
    """Relative standard uncertainty of a meter with its transformers.

    Parameters
    ----------
    meter_class, ct_class, pt_class
        Accuracy classes as on the nameplates; "" where there is no transformer.

    Returns
    -------
    float
        Standard uncertainty of the energy, each class taken as a rectangular limit. [-]

    Raises
    ------
    Fatal
        If a class is not in the tables.

    References
    ----------
    METHOD.md, "Meter".
    """
    limits = _class_limits(meter_class, ct_class, pt_class)
    return math.sqrt(sum(limit * limit for limit in limits) / 3) / 100


def class_limit(meter_class: str, ct_class: str = "", pt_class: str = "") -> Fraction:
    """How far a meter can be off with its transformers if each is within its class: the limits added. [-]

    Raises
    ------
    Fatal
        If a class is not in the tables.

    References
    ----------
    METHOD.md, "Bounds of a missing meter".
    """
    limits = _class_limits(meter_class, ct_class, pt_class)
    return sum((Fraction(str(limit)) for limit in limits), Fraction(0)) / 100


def u_pue(
    energy_j: npt.ArrayLike,
    a: Sequence[Fraction | float],
    b: Sequence[Fraction | float],
    u_rel: Sequence[float],
    *,
    group: Sequence[str] = (),
    model: Sequence[str] = (),
    meter: Sequence[str] = (),
    step_j: Sequence[float] = (),
) -> Float64:
    """Standard uncertainty of PUE for one or many windows.

    Parameters
    ----------
    energy_j
        Energy of each meter in each window, shape (..., M). [J]
    a, b
        Weights of each meter in total and IT energy, shape (M,). [-]
    u_rel
        Relative standard uncertainty of each meter, shape (M,). [-]
    group
        Calibration group of each meter, as certificates show it: errors of meters in one group are one error and add
        with their signs; "" or leaving it out means that no certificate says so.
    model
        Model and class of each meter without group: meters of one model may err alike, so errors that push PUE the
        same way add, and none is taken to cancel another; "" or leaving it out means independent.
    meter
        Name of each meter, where one is given in several parts: its parts have one error, with their signs.
    step_j
        Register step of each meter; leaving it out means none. [J]

    Returns
    -------
    ndarray
        u(PUE), shape (...), NaN where IT energy is not positive. [-]

    References
    ----------
    METHOD.md, "Uncertainty of PUE".
    """
    energies = np.asarray(energy_j, np.float64)
    meters = energies.shape[-1]
    weights_a = np.array(a, np.float64)
    weights_b = np.array(b, np.float64)
    groups = tuple(group) or ("",) * meters
    models = tuple(model) or ("",) * meters
    devices = tuple(meter) or tuple(str(place) for place in range(meters))
    # The M terms are of D devices: parts (M, D) adds a device's terms to one error. Devices are members of G
    # calibration groups, common (D, G), or else of A models, alike (D, A); each is in exactly one of the two.
    parts = _members(list(zip(devices, groups, models, strict=True)))
    sources = list(dict.fromkeys(zip(devices, groups, models, strict=True)))
    common = _members([group for _, group, _ in sources])
    # A device without group and model is a model of its own, under a name that no model can have.
    alike = _members(["" if group else model or f"\0{device}" for device, group, model in sources])
    steps = np.array(step_j, np.float64) if len(step_j) else np.zeros(meters)
    rows = energies.reshape(-1, meters)
    out = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        out[block] = _u_rows(
            rows[block], weights_a, weights_b, np.array(u_rel, np.float64), parts, common, alike, steps
        )
    return out.reshape(energies.shape[:-1])


def round_micro(value: float) -> Fraction:
    """A float at the six decimals in which u and P are compared, shown and hashed. [-]"""
    return Fraction(round(value * _MICRO), _MICRO)


def guard_band(u: float) -> Fraction:
    """Width of the one-sided 95 % guard band of a standard uncertainty, exact in its sixth decimal. [-]"""
    return GUARD_FACTOR * round_micro(u)


def probability_within(pue: Fraction, u: float, limit: Fraction) -> Fraction:
    """Probability that the true PUE is at or below a limit, normal distribution, to six decimals.

    Parameters
    ----------
    pue, limit
        PUE and its limit, exact. [-]
    u
        Standard uncertainty of PUE; 0 makes the answer 0 or 1. [-]
    """
    u_rounded = round_micro(u)
    if u_rounded == 0:
        return Fraction(int(pue <= limit))
    z = float((limit - pue) / u_rounded)
    # Phi(z) = erfc(-z / sqrt 2) / 2
    return round_micro(math.erfc(-z / math.sqrt(2)) / 2)


def required_pue(limit: Fraction, total_j: int, it_j: int, it_remaining_j: int) -> Fraction:
    """PUE that the rest of the year may have so that the whole year just meets a limit.

    Parameters
    ----------
    limit
        Limit of the whole year. [-]
    total_j, it_j
        Energy of the year so far. [J]
    it_remaining_j
        IT energy expected in the rest of the year. [J]

    Raises
    ------
    Fatal
        If no IT energy remains.

    References
    ----------
    METHOD.md, "Required PUE".
    """
    if it_remaining_j <= 0:
        raise Fatal(f"IT energy remaining is {it_remaining_j} J; a required PUE needs some, judge the year instead")
    return (limit * (it_j + it_remaining_j) - total_j) / it_remaining_j


def _class_limits(meter_class: str, ct_class: str, pt_class: str) -> tuple[float, float, float]:
    """Limits of error of a meter and its transformers. [%]"""
    return (
        _class_limit(METER_CLASSES, "meter", meter_class),
        _class_limit(TRANSFORMER_CLASSES, "CT", ct_class),
        _class_limit(TRANSFORMER_CLASSES, "PT", pt_class),
    )


def _class_limit(table: dict[str, float], what: str, name: str) -> float:
    if name not in table:
        known = ", ".join(repr(key) for key in table)
        raise Fatal(f"{what} class {name!r} is unknown; use one of {known}")
    return table[name]


def _members(names: Sequence[Hashable]) -> Float64:
    """Which rows belong to each name: 1 where they do; rows with an empty name to none. Shape (rows, names)."""
    order = {name: column for column, name in enumerate(dict.fromkeys(name for name in names if name))}
    matrix = np.zeros((len(names), len(order)))
    for row, name in enumerate(names):
        if name:
            matrix[row, order[name]] = 1.0
    return matrix


def _u_rows(
    energies: Float64,
    a: Float64,
    b: Float64,
    u_rel: Float64,
    parts: Float64,
    common: Float64,
    alike: Float64,
    steps: Float64,
) -> Float64:
    """u(PUE) of W rows of M energies. Sums run through einsum, never BLAS: every machine gets the same digits."""
    total = np.einsum("wm,m->w", energies, a)
    it = np.einsum("wm,m->w", energies, b)
    # NaN runs through to u: no IT energy, no uncertainty.
    it = np.where(it > 0, it, np.nan)
    sensitivity = (a - (total / it)[:, None] * b) / it[:, None]  # (W, M) [1/J]
    error = np.einsum("wm,mp->wp", sensitivity * energies * u_rel, parts)  # (W, devices) [-]
    # step^2 / 6: two readings, each uniform over a step, are off by step^2 / 12 each.
    variance = np.einsum("wm,wm,m->w", sensitivity, sensitivity, steps * steps / 6)
    # One error moves all of a group, so signs count. Meters of a model may share one error or not: adding the errors
    # of one sign is the worst of both, and (x + y)^2 >= x^2 + y^2 keeps it above independent errors.
    for signed, members in ((error, common), (np.maximum(error, 0), alike), (np.minimum(error, 0), alike)):
        sources = np.einsum("wm,ms->ws", signed, members)
        variance += np.einsum("ws,ws->w", sources, sources)
    uncertainty: Float64 = np.sqrt(variance)
    return uncertainty
