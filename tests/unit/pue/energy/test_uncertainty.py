"""Uncertainty of PUE against hand-computed values and domain tables."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from pue.contract.errors import Fatal
from pue.energy.uncertainty import (
    GUARD_FACTOR,
    METER_CLASSES,
    TRANSFORMER_CLASSES,
    WIDEST_METER_CLASS,
    WIDEST_TRANSFORMER_CLASS,
    class_limit,
    guard_band,
    probability_within,
    relative_uncertainty,
    required_pue,
    round_micro,
    u_pue,
)

LIMIT = Fraction("1.3")


@pytest.mark.parametrize(
    ("meter_class", "ct_class", "u", "accept", "reject"),
    [
        ("0.2S", "0.2S", 0.0030, 1.2951, 1.3050),
        ("0.5S", "0.5S", 0.0075, 1.2878, 1.3125),
        ("1", "0.5", 0.0119, 1.2808, 1.3198),
        ("2", "1", 0.0237, 1.2621, 1.3403),
    ],
)
def test_guard_bands_of_one_meter_on_each_side(
    meter_class: str, ct_class: str, u: float, accept: float, reject: float
) -> None:
    u_rel = relative_uncertainty(meter_class, ct_class)
    at_limit = float(u_pue([1300, 1000], [1, 0], [0, 1], [u_rel, u_rel]))
    share = float(GUARD_FACTOR) * at_limit / 1.3
    assert at_limit == pytest.approx(u, abs=5e-5)
    assert 1.3 / (1 + share) == pytest.approx(accept, abs=5e-5)
    assert 1.3 / (1 - share) == pytest.approx(reject, abs=5e-5)


def test_a_meter_is_as_good_as_its_classes_as_rectangular_limits() -> None:
    assert relative_uncertainty("0.5S") == pytest.approx(0.005 / math.sqrt(3))
    assert relative_uncertainty("0.2S", "0.2", "0.5") == pytest.approx(math.sqrt((0.04 + 0.04 + 0.25) / 3) / 100)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("9", "", ""), "meter class '9' is unknown; use one of '0.1S', '0.2', '0.2S', "),
        (("", "", ""), "meter class '' is unknown; use one of '0.1S', "),
        (("1", "9", ""), "CT class '9' is unknown; use one of '0.1', '0.2', "),
        (("1", "", "9"), "PT class '9' is unknown; use one of '0.1', '0.2', "),
    ],
)
def test_unknown_classes_are_refused_by_name(classes: tuple[str, str, str], message: str) -> None:
    with pytest.raises(Fatal, match="^" + message):
        relative_uncertainty(*classes)


def test_two_independent_meters_add_in_quadrature() -> None:
    u = u_pue([1500, 1000], [1, 0], [0, 1], [0.003, 0.004])
    assert float(u) == pytest.approx(1.5 * 0.005)


def test_meters_of_one_group_share_their_error() -> None:
    energies, a, b = [1500, 600, 400], [1, 0, 0], [0, 1, 1]
    apart = u_pue(energies, a, b, [0.0, 0.01, 0.01])
    together = u_pue(energies, a, b, [0.0, 0.01, 0.01], group=["", "ct-7", "ct-7"])
    assert float(apart) == pytest.approx(1.5 * 0.01 * math.hypot(0.6, 0.4))
    assert float(together) == pytest.approx(1.5 * 0.01)


def test_a_common_error_of_both_sides_cancels() -> None:
    assert float(u_pue([1500, 1000], [1, 0], [0, 1], [0.01, 0.01], group=["g", "g"])) == pytest.approx(0, abs=1e-15)


def test_an_it_meter_that_also_counts_in_the_total_is_counted_once() -> None:
    # total = cooling + it, so PUE = 1 + cooling / it and u = 0.5 * hypot(u_c, u_i)
    u = u_pue([500, 1000], [1, 1], [0, 1], [0.004, 0.004])
    assert float(u) == pytest.approx(0.5 * 0.004 * math.sqrt(2))


def test_register_steps_add_a_triangle_at_each_delta() -> None:
    u = u_pue([1500, 1000], [1, 0], [0, 1], [0.0, 0.0], step_j=[12.0, 0.0])
    assert float(u) == pytest.approx(12 / 1000 / math.sqrt(6))


def test_a_step_of_a_megawatt_hour_is_as_good_as_any() -> None:
    mwh = 3_600_000_000
    u = u_pue([1300 * mwh, 1000 * mwh], [1, 0], [0, 1], [0, 0], step_j=[mwh, 0])
    assert float(u) == pytest.approx(1 / 1000 / math.sqrt(6))


def test_one_joule_of_it_energy_is_enough() -> None:
    assert float(u_pue([2, 1], [1, 0], [0, 1], [0.003, 0.004])) == pytest.approx(2 * 0.005)


def test_a_negative_weight_subtracts_energy_and_adds_uncertainty() -> None:
    # domain example 11: grid 900 + PV 120 - export 20, IT 800
    u = u_pue([900, 120, 20, 800], [1, 1, -1, 0], [0, 0, 0, 1], [0.01] * 4)
    by_hand = 0.01 * math.sqrt(900**2 + 120**2 + 20**2 + (1.25 * 800) ** 2) / 800
    assert float(u) == pytest.approx(by_hand)


def test_many_windows_are_computed_as_each_alone_across_blocks() -> None:
    rng = np.random.default_rng(7)
    energies = rng.uniform(1e9, 2e9, (20_000, 3))
    weights = ([Fraction(1), Fraction(1, 3), Fraction(0)], [0, 0, 1], [0.002, 0.003, 0.004])
    many = u_pue(energies, *weights)
    assert many.shape == (20_000,)
    for row in (0, 16_383, 16_384, 19_999):
        assert many[row] == u_pue(energies[row], *weights)
    assert u_pue(energies.reshape(100, 200, 3), *weights).shape == (100, 200)


def test_no_it_energy_has_no_uncertainty() -> None:
    assert np.isnan(u_pue([100, 0], [1, 0], [0, 1], [0.01, 0.01]))
    assert np.isnan(u_pue([100, 5], [1, 0], [0, -1], [0.01, 0.01]))


def test_no_windows_give_no_values() -> None:
    assert u_pue(np.empty((0, 2)), [1, 0], [0, 1], [0.01, 0.01]).shape == (0,)


def test_u_is_rounded_to_six_decimals_before_it_counts() -> None:
    assert round_micro(0.0037855) == Fraction(3785, 1_000_000) or round_micro(0.0037855) == Fraction(3786, 1_000_000)
    assert guard_band(0.005) == Fraction("0.008225")
    assert guard_band(0.00500049) == guard_band(0.005)


@pytest.mark.parametrize(
    ("pue", "p"),
    [("1.28", "0.999112"), ("1.29", "0.939476"), ("1.31", "0.063417"), ("1.32", "0.001222")],
)
def test_probability_at_half_a_percent(pue: str, p: str) -> None:
    value = Fraction(pue)
    assert abs(probability_within(value, 0.005 * float(value), LIMIT) - Fraction(p)) <= Fraction(2, 1_000_000)


def test_probability_is_one_half_at_the_limit_and_certain_without_uncertainty() -> None:
    assert probability_within(LIMIT, 0.004, LIMIT) == Fraction(1, 2)
    assert probability_within(LIMIT, 0.0, LIMIT) == 1
    assert probability_within(LIMIT + Fraction(1, 10**9), 0.0, LIMIT) == 0


def test_required_pue_of_the_rest_of_the_year() -> None:
    # domain example 17
    assert required_pue(LIMIT, 6800, 5000, 5000) == Fraction("1.24")
    assert required_pue(LIMIT, 8100, 5000, 5000) == Fraction("0.98")


def test_no_rest_of_the_year_has_no_required_pue() -> None:
    with pytest.raises(Fatal, match="remaining is 0 J"):
        required_pue(LIMIT, 6800, 5000, 0)


def test_twenty_feeders_of_one_model_err_like_one_meter() -> None:
    """Main 1.3, twenty IT feeders of 0.05 each, class 0.5S and CT 0.5: by hand sqrt(2) x 1.3 x 0.005 x sqrt(2/3)."""
    u_rel = relative_uncertainty("0.5S", "0.5")
    energies, a, b = [1300, *[50] * 20], [1, *[0] * 20], [0, *[1] * 20]
    alike = float(u_pue(energies, a, b, [u_rel] * 21, model=["main", *["pm5560"] * 20]))
    apart = float(u_pue(energies, a, b, [u_rel] * 21))
    assert alike == pytest.approx(1.3 * u_rel * math.sqrt(2))
    assert apart == pytest.approx(1.3 * u_rel * math.sqrt(1 + 1 / 20))


def test_errors_of_one_model_never_cancel_across_the_ratio() -> None:
    """A main and an IT meter of one model push PUE opposite ways: as independent ones, not as one error."""
    u_rel = relative_uncertainty("0.2S", "0.2S")
    of_one_model = float(u_pue([1300, 1000], [1, 0], [0, 1], [u_rel, u_rel], model=["m", "m"]))
    of_one_group = float(u_pue([1300, 1000], [1, 0], [0, 1], [u_rel, u_rel], group=["g", "g"]))
    assert of_one_model == pytest.approx(float(u_pue([1300, 1000], [1, 0], [0, 1], [u_rel, u_rel])))
    assert of_one_group == pytest.approx(0)


def test_a_declared_group_takes_a_meter_out_of_its_model() -> None:
    u_rel = [0.003] * 3
    weights: tuple[list[int], list[int]] = ([1, 0, 0], [0, 1, 1])
    declared = float(u_pue([1300, 500, 500], *weights, u_rel, group=["", "own-a", "own-b"], model=["x", "m", "m"]))
    assert declared == pytest.approx(float(u_pue([1300, 500, 500], *weights, u_rel)))


def test_class_limits_add_up() -> None:
    assert class_limit("0.5S", "0.2S", "0.5") == Fraction(12, 1000)
    assert class_limit("1") == Fraction(1, 100)


def test_the_widest_class_is_as_wide_as_any_of_the_tables() -> None:
    assert METER_CLASSES[WIDEST_METER_CLASS] == max(METER_CLASSES.values())
    assert TRANSFORMER_CLASSES[WIDEST_TRANSFORMER_CLASS] == max(TRANSFORMER_CLASSES.values())


def test_parts_of_one_meter_that_are_of_two_models_have_an_error_each() -> None:
    """A meter that was exchanged for another model: two devices under one name."""
    energy, u_rel = [500, 500, 800], [0.01, 0.01, 0.01]
    of = {"a": [1, 1, 0], "b": [0, 0, 1], "u_rel": u_rel}
    two = u_pue(energy, **of, meter=("m", "m", "it"), model=("A", "B", "C"))  # type: ignore[arg-type]  # by name
    apart = u_pue(energy, **of, meter=("m1", "m2", "it"), model=("A", "B", "C"))  # type: ignore[arg-type]  # by name
    one = u_pue(energy, **of, meter=("m", "m", "it"), model=("A", "A", "C"))  # type: ignore[arg-type]  # by name
    assert float(two) == float(apart) < float(one)
