"""From meters' slots to a finding, through every part in between."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from pue.contract.series import SLOT_MS, SeriesKey
from pue.energy.facility import Term, facility_curve
from pue.energy.rolling import window_result
from pue.energy.slots import Slots
from pue.energy.uncertainty import relative_uncertainty
from pue.energy.windows import window_bounds
from pue.judgement.findings import Facts, Finding, Outcome, judge
from pue.judgement.policy import load_profile

KWH = 3_600_000
AT_MS = 1_793_462_400_000  # 2026-11-01 00:00 Asia/Shanghai
RULE = dataclasses.replace(load_profile("yunnan-2022-draft").rule("new_build_pue_max"), decision="simple")
FACTS = Facts(
    facility="km01",
    on=date(2026, 11, 1),
    region="530100",
    stage="existing",
    build="new",
    standard_racks=4_000,
    operating_from_ms=0,
)
FROM_MS, TO_MS = window_bounds("ttm", AT_MS, ZoneInfo("Asia/Shanghai"))
SLOTS = (TO_MS - FROM_MS) // SLOT_MS

Meter = tuple[int, int, int]
"""kWh in a slot, weight a, weight b."""


def slots(kwh: int, missing: int = 0) -> Slots:
    """A year of equal slots, the first ones missing."""
    start = FROM_MS + SLOT_MS * np.arange(missing, SLOTS + 1, dtype=np.int64)
    columns = {column.name: np.zeros_like(start) for column in dataclasses.fields(Slots)}
    return Slots(**(columns | {"start_ms": start, "energy_j": np.full_like(start, kwh * KWH)}))


def finding(
    meters: Mapping[str, Meter],
    *,
    missing: Mapping[str, int] | None = None,
    u_rel: float = 0.0,
    parents: Mapping[str, str] | None = None,
    power_w: Mapping[str, int] | None = None,
) -> Finding:
    lost, above, most = missing or {}, parents or {}, power_w or {}
    keys = {name: SeriesKey("km01", name, "energy_import") for name in meters}
    terms = [
        Term(
            keys[name],
            Fraction(a),
            Fraction(b),
            True,
            0,
            None,
            parent=above.get(name),
            u_rel=u_rel,
            max_power_w=most.get(name, 4_000_000),
        )
        for name, (_, a, b) in meters.items()
    ]
    energy = {keys[name]: slots(kwh, lost.get(name, 0)) for name, (kwh, _, _) in meters.items()}
    curve = facility_curve(energy, terms, FROM_MS, TO_MS)
    return judge(RULE, FACTS, window_result(curve, FROM_MS, TO_MS))


FEEDS = {"main-a": (400, 1, 0), "main-b": (250, 1, 0), "ups-a": (300, 0, 1), "ups-b": (200, 0, 1)}


def test_two_feeds_are_one_point_three_exactly() -> None:
    result = finding(FEEDS)
    assert (result.outcome, result.pue, result.coverage) == (Outcome.COMPLIANT, "1.300000", "1.000000")
    assert (result.pue_lower, result.pue_upper) == ("1.300000", "1.300000")
    assert (result.total_j, result.it_j) == (650 * KWH * SLOTS, 500 * KWH * SLOTS)


def test_without_ups_b_nothing_is_said_of_two_point_one_seven() -> None:
    result = finding(FEEDS, missing={"ups-b": SLOTS + 1})
    assert result.outcome is Outcome.INSUFFICIENT_DATA
    assert {"coverage_below_gate", "required_meter_missing:ups-b"} <= set(result.reasons)
    assert (result.pue, result.coverage) == (None, "0.000000")


def test_solar_counts_and_export_does_not() -> None:
    meters = {"grid": (900, 1, 0), "pv": (120, 1, 0), "export": (20, -1, 0), "it": (800, 0, 1)}
    assert finding(meters).pue == "1.250000"


def test_a_breach_is_a_breach_with_a_tenth_of_the_year_missing() -> None:
    meters = {"main": (900, 1, 0), "it": (500, 0, 1)}
    result = finding(meters, missing={"it": SLOTS // 10})
    assert result.outcome is Outcome.NON_COMPLIANT
    assert "bound_breaks_limit" in result.reasons
    assert result.pue_lower is not None
    assert Fraction("1.3") < Fraction(result.pue_lower) < Fraction("1.8")


FAMILY = {"ups-a": "main-a", "ups-b": "main-b"}
BROKEN = {"main-a": (400, 1, 0), "ups-a": (500, 0, 1), "ups-b": (200, 0, 1)}
"""Feed A measures less than the UPS behind it: one of the two is wrong, all the year. kWh in a slot."""
SMALL = {"main-a": 2_200_000, "ups-a": 2_200_000}
"""What the two can carry at most: 550 kWh in a slot. [W]"""


def test_a_breach_that_rests_on_meters_of_a_broken_balance_is_none() -> None:
    """1100 / 700 by the readings; but feed A may have carried nothing and UPS A 550 kWh: 700 / 750."""
    result = finding({**BROKEN, "main-b": (700, 1, 0)}, parents=FAMILY, power_w=SMALL)
    assert result.outcome is Outcome.INVALID_DATA
    assert result.reasons[0] == "balance_broken:main-a"


def test_a_broken_balance_hides_no_breach_of_the_rest() -> None:
    """Feed B alone is 1000 kWh, and all IT together 750 at most, whatever feed A and its UPS carried."""
    result = finding({**BROKEN, "main-b": (1000, 1, 0)}, parents=FAMILY, power_w=SMALL)
    assert result.outcome is Outcome.NON_COMPLIANT
    assert result.reasons[:3] == ("pue_over_limit", "bound_breaks_limit", "balance_broken:main-a")


def test_missing_data_never_make_a_facility_compliant() -> None:
    meters = {"main": (645, 1, 0), "it": (500, 0, 1)}
    assert finding(meters).outcome is Outcome.COMPLIANT
    short = finding(meters, missing={"main": SLOTS // 50})
    assert (short.outcome, short.coverage) == (Outcome.INDETERMINATE, "0.980022")
    assert short.pue == "1.290000"
    assert finding(meters, missing={"main": SLOTS // 10}).outcome is Outcome.INSUFFICIENT_DATA


@pytest.mark.parametrize(("meter_class", "u"), [("0.2S", "0.003"), ("1", "0.011")])
def test_the_classes_of_the_meters_arrive_in_the_finding(meter_class: str, u: str) -> None:
    result = finding({"main": (650, 1, 0), "it": (500, 0, 1)}, u_rel=relative_uncertainty(meter_class, "0.2S"))
    assert result.u_pue is not None
    expected = 1.3 * 2**0.5 * relative_uncertainty(meter_class, "0.2S")
    assert float(result.u_pue) == pytest.approx(expected, abs=1e-6)
    assert round(float(result.u_pue), 3) == float(u)
