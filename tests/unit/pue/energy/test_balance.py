"""Balance of a parent and its children, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pue.contract.series import MAX_ENERGY_J, SLOT_MS
from pue.energy.balance import Balance
from pue.energy.facility import facility_curve
from pue.energy.registers import register_slots
from pue.energy.rolling import window_result
from tests.unit.pue.meters import KWH, facility, int64, key, kwh_slots, samples, term, version

FAMILY = (term("ups", 1), term("out-a", b=1, parent="ups"), term("out-b", b=1, parent="ups"))


@pytest.mark.parametrize(("surplus_j", "broken"), [(64, False), (65, True)])
def test_a_balance_is_broken_beyond_twice_the_uncertainty_the_steps_and_both_edges(
    surplus_j: int, broken: bool
) -> None:
    # u = hypot(192, 256) / 64 = 5, so 2 * 5 + 2 * 3 + 16 + 32 = 64
    energy_j = np.stack([int64(0, 100, 292), int64(0, 100, 356), int64(0, 0, surplus_j - 64)])
    balance = Balance("ups", energy_j, (1 / 64, 1 / 64, 0.0), slack_j=int64(0, 16, 32), step_j=3)
    assert balance.broken(1, 2) is broken


def test_a_balance_names_its_parent_and_sums_only_slots_known_of_all() -> None:
    (balance,) = facility({"ups": [100, 100], "out-a": [60], "out-b": [30, 30]}, *FAMILY).balances
    assert balance.parent == "ups"
    assert balance.energy_j.tolist() == [[0, 100 * KWH, 100 * KWH], [0, 60 * KWH, 60 * KWH], [0, 30 * KWH, 30 * KWH]]


def test_the_slack_of_a_balance_is_what_all_its_meters_may_be_off_at_an_edge() -> None:
    # read in the middle of each slot: at most the 10 kWh of the interval over an edge lie before it, or after it
    half = SLOT_MS // 2
    late = register_slots(samples(*((half + place * SLOT_MS, place * 10) for place in range(4))), [version(KWH, 10**9)])
    slots = {key("ups"): late, key("out-a"): late, key("out-b"): kwh_slots(1, 1, 1, 1)}
    curve = facility_curve(slots, FAMILY, SLOT_MS, 3 * SLOT_MS)
    (balance,) = curve.balances
    assert balance.slack_j.tolist() == [2 * 10 * KWH] * 3


def test_a_parent_without_a_limit_bounds_no_child_whatever_the_sibling_carries() -> None:
    terms = (term("ups", 1, max_power_w=0), FAMILY[1], term("out-b", b=1, parent="ups", max_power_w=0))
    result = window_result(facility_curve({key("out-a"): kwh_slots(180)}, terms, 0, SLOT_MS), 0, SLOT_MS)
    assert (result.it_lower_j, result.it_upper_j) == (180 * KWH, MAX_ENERGY_J)
