"""What holds for the uncertainty of every layout of meters, and its agreement with Monte-Carlo."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pue.energy.uncertainty import guard_band, probability_within, required_pue, u_pue

Layout = tuple[list[int], list[int], list[int], list[float], list[str]]


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """A main meter, and others that count in the total, in IT energy or in both, with classes and groups."""
    energies = [draw(st.integers(10**12, 10**13))]
    a, b, u, groups = [1], [0], [draw(st.sampled_from([0.001, 0.004, 0.01]))], [""]
    for _ in range(draw(st.integers(1, 6))):
        energies.append(draw(st.integers(10**11, 10**12)))
        weight_a, weight_b = draw(st.sampled_from([(0, 1), (1, 0), (-1, 0), (1, 1)]))
        a.append(weight_a)
        b.append(weight_b)
        u.append(draw(st.sampled_from([0.001, 0.004, 0.01])))
        groups.append(draw(st.sampled_from(["", "g1", "g2"])))
    energies.append(10**12)
    return energies, [*a, 0], [*b, 1], [*u, 0.004], [*groups, ""]


def u_of(layout: Layout, steps: list[float] | None = None) -> float:
    energies, a, b, u, groups = layout
    return float(u_pue(energies, a, b, u, group=groups, step_j=steps or []))


@given(layouts(), st.integers(1, 1_000))
def test_a_larger_facility_of_the_same_shape_is_as_uncertain(layout: Layout, factor: int) -> None:
    scaled = ([energy * factor for energy in layout[0]], *layout[1:])
    assert u_of(scaled) == pytest.approx(u_of(layout), rel=1e-9)


@given(layouts(), st.randoms(use_true_random=False))
def test_the_order_of_meters_does_not_matter(layout: Layout, random: Random) -> None:
    rows = list(zip(*layout, strict=True))
    random.shuffle(rows)
    energies, a, b, u, groups = (list(column) for column in zip(*rows, strict=True))
    assert u_of((energies, a, b, u, groups)) == pytest.approx(u_of(layout), rel=1e-9, abs=1e-15)


@given(layouts(), st.floats(1.0, 5.0))
def test_a_worse_meter_outside_any_group_never_makes_pue_better_known(layout: Layout, factor: float) -> None:
    energies, a, b, u, groups = layout
    assert u_of((energies, a, b, [u[0] * factor, *u[1:]], groups)) >= u_of(layout) - 1e-15


@given(layouts(), st.integers(1, 10**9))
def test_coarse_registers_never_make_pue_better_known(layout: Layout, step: int) -> None:
    assert u_of(layout, [float(step)] * len(layout[0])) >= u_of(layout)


@given(layouts(), st.integers(1, 99))
def test_one_meter_read_as_two_of_one_group_is_one_meter(layout: Layout, percent: int) -> None:
    energies, a, b, u, groups = layout
    part = energies[-1] * percent // 100
    whole = (energies, a, b, u, [*groups[:-1], "own"])
    split = (
        [*energies[:-1], part, energies[-1] - part],
        [*a, a[-1]],
        [*b, b[-1]],
        [*u, u[-1]],
        [*groups[:-1], "own", "own"],
    )
    assert u_of(split) == pytest.approx(u_of(whole), rel=1e-9)


@given(st.integers(10**6, 3 * 10**6), st.integers(10**6, 3 * 10**6), st.floats(0, 0.1))
def test_a_looser_limit_is_never_less_probable_to_be_kept(limit: int, other: int, u: float) -> None:
    pue = Fraction(13, 10)
    low, high = sorted((Fraction(limit, 10**6), Fraction(other, 10**6)))
    assert 0 <= probability_within(pue, u, low) <= probability_within(pue, u, high) <= 1


@given(st.floats(1e-4, 0.05))
def test_at_the_edge_of_the_guard_band_ninety_five_percent_is_within(u: float) -> None:
    limit = Fraction(13, 10)
    assert float(probability_within(limit - guard_band(u), u, limit)) == pytest.approx(0.95, abs=2e-5)


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(1, 10**15), st.integers(10**6, 2 * 10**6))
def test_a_year_that_ends_at_the_required_pue_meets_the_limit_exactly(
    total_j: int, it_j: int, rest_j: int, limit: int
) -> None:
    required = required_pue(Fraction(limit, 10**6), total_j, it_j, rest_j)
    assert (total_j + required * rest_j) / (it_j + rest_j) == Fraction(limit, 10**6)


def monte_carlo(layout: Layout, draws: int, rng: np.random.Generator) -> float:
    """Standard deviation of PUE over simulated errors; written from METHOD.md, without the code under test."""
    energies, a, b, u, groups = (np.array(column) for column in layout)
    errors: npt.NDArray[np.float64] = rng.standard_normal((draws, len(energies)))
    for name in set(groups) - {""}:
        members = np.flatnonzero(groups == name)
        errors[:, members] = errors[:, members[:1]]
    read = energies * (1 + errors * u)
    return float(np.std((read * a).sum(1) / (read * b).sum(1)))


LAYOUTS: dict[str, Layout] = {
    "two meters": ([1300, 1000], [1, 0], [0, 1], [0.004, 0.004], ["", ""]),
    "unequal": ([1300, 1000], [1, 0], [0, 1], [0.001, 0.012], ["", ""]),
    "four IT meters": ([1300, *[250] * 4], [1, 0, 0, 0, 0], [0, 1, 1, 1, 1], [0.004] * 5, [""] * 5),
    "four IT meters of one batch": ([1300, *[250] * 4], [1, 0, 0, 0, 0], [0, 1, 1, 1, 1], [0.004] * 5, ["", *"gggg"]),
    "IT meters in the total": ([300, 500, 500], [1, 1, 1], [0, 1, 1], [0.004, 0.006, 0.006], [""] * 3),
    "in the total, one batch": ([300, 500, 500], [1, 1, 1], [0, 1, 1], [0.004, 0.006, 0.006], ["", "g", "g"]),
    "everything one batch": ([300, 500, 500], [1, 1, 1], [0, 1, 1], [0.01] * 3, ["g"] * 3),
    "solar and export": ([900, 120, 20, 800], [1, 1, -1, 0], [0, 0, 0, 1], [0.004, 0.01, 0.01, 0.004], [""] * 4),
    "cooling on IT feeds": ([1300, 1050, 50], [1, 0, 0], [0, 1, -1], [0.004, 0.006, 0.012], [""] * 3),
    "two batches": ([700, 600, 500, 500], [1, 1, 0, 0], [0, 0, 1, 1], [0.006] * 4, ["g", "g", "h", "h"]),
    "batch across": ([1300, 500, 500], [1, 0, 0], [0, 1, 1], [0.006] * 3, ["g", "g", ""]),
    "forty meters": ([1300, *[25] * 40], [1, *[0] * 40], [0, *[1] * 40], [0.004, *[0.013] * 40], [""] * 41),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_formula_agrees_with_monte_carlo_within_two_percent(name: str) -> None:
    layout = LAYOUTS[name]
    simulated = monte_carlo(layout, 200_000, np.random.default_rng(20_260_101))
    assert u_of(layout) == pytest.approx(simulated, rel=0.02, abs=1e-9)


def test_register_steps_agree_with_monte_carlo_within_two_percent() -> None:
    rng = np.random.default_rng(20_260_102)
    steps = np.array([0.5, 2.0])
    energies = np.array([1300.0, 1000.0]) + rng.uniform(0, 2, (200_000, 2))
    starts = rng.uniform(0, 1_000, (200_000, 2))
    read = (np.floor((starts + energies) / steps) - np.floor(starts / steps)) * steps
    simulated = np.std(read[:, 0] / read[:, 1] - energies[:, 0] / energies[:, 1])
    u = float(u_pue([1300, 1000], [1, 0], [0, 1], [0, 0], step_j=list(steps)))
    assert u == pytest.approx(simulated, rel=0.02)
