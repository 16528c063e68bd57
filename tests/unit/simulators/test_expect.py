"""What the demo expects follows from true energies, classes and plain limits."""

from __future__ import annotations

import math

import pytest

from simulators.expect import NEW_BUILD, RETROFIT, expected
from simulators.facilities import FACILITIES
from simulators.scenario import instant_ms, sites
from tests.unit.simulators.worlds import world

MOMENTS = ("2026-03-01T00:10:00+08:00", "2026-07-31T12:00:00+08:00", "2027-01-01T00:00:01+08:00")


def test_the_five_stories() -> None:
    found = {name: expected(site) for name, site in world().items()}
    outcomes = {name: (each.outcomes[NEW_BUILD], each.outcomes[RETROFIT]) for name, each in found.items()}
    assert outcomes == {
        "km01": ("compliant", "compliant"),
        "yx01": ("compliant", "compliant"),
        "qj01": ("not_applicable", "non_compliant"),
        "dl01": ("not_applicable", "compliant"),
        "hh01": ("not_applicable", "insufficient_data"),
    }
    assert {name: set(each.alerts) for name, each in found.items()} == {
        "km01": set(),
        "yx01": {"pue_over_limit"},
        "qj01": {"pue_over_limit"},
        "dl01": set(),
        "hh01": {"meter_silent"},
    }
    assert found["hh01"].silent_meters == {"pdu-b2"}


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_stories_do_not_depend_on_the_season(moment: str) -> None:
    today = {name: (each.outcomes, each.alerts) for name, each in ((n, expected(s)) for n, s in world().items())}
    for site in sites(7, instant_ms(moment)):
        then = expected(site)
        assert (then.outcomes, then.alerts) == today[site.spec.id]


def test_tolerance_is_what_the_classes_allow() -> None:
    """km01: incomers 0.2S + 0.2S + 0.2 on 7 / 6 of IT energy's share, UPS meters 0.2S, office class 1."""
    site = world()["km01"]
    each = expected(site)
    total, it, office = (site.plant.window_j(feed, *each.window_ms) for feed in ("facility", "it", "office"))
    total_error, it_error = 0.006 * (total + office) + 0.01 * office, 0.002 * it
    by_hand = (total + total_error) / (it - it_error) - total / it
    assert each.tolerance == pytest.approx(by_hand, rel=1e-3)
    assert math.isclose(each.tolerance, 0.0101, abs_tol=0.0003)


def test_facilities_are_in_different_prefectures_and_metered_on_both_protocols() -> None:
    assert len({spec.region for spec in FACILITIES}) == len(FACILITIES) >= 5
    assert all(4 <= len(spec.meters) <= 7 for spec in FACILITIES)
    profiles = {meter.profile for spec in FACILITIES for meter in spec.meters}
    assert len(profiles) == 6
