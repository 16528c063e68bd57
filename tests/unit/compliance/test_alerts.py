from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.alerts import COVERAGE_LOW, METER_SILENT, PUE_OVER_LIMIT, Day, Past, Step, steps, strictest
from compliance.terms import local_day
from pue.judgement.policy import Rule, Status, load_profile
from pue.judgement.scope import Facts

RULE = load_profile("yunnan-2022-draft").rule("new_build_pue_max")
DAY_MS = 86_400_000


METERS = ("it", "main", "ups")


def day(number: int, pue: str = "1.25", coverage: str | None = "1", silent: Sequence[str] = ()) -> Day:
    ratio = Fraction(pue)
    known = None if coverage is None else Fraction(coverage)
    is_all = set(silent) == set(METERS)
    return Day(number * DAY_MS, ratio.numerator * 1000, ratio.denominator * 1000, known, frozenset(silent), is_all)


def run(history: Sequence[Day], past: Past | None = None) -> list[tuple[str, int, bool]]:
    found = steps(history, lambda _at_ms: RULE, past or {})
    return [(step.cause, step.at_ms // DAY_MS, step.raised) for step in found]


def pues(*values: str) -> list[Day]:
    return [day(number, value) for number, value in enumerate(values, start=1)]


def test_the_third_day_over_the_limit_raises() -> None:
    assert run(pues("1.31", "1.31", "1.31", "1.31")) == [(PUE_OVER_LIMIT, 3, True)]


def test_two_days_over_the_limit_do_not_raise() -> None:
    assert run(pues("1.31", "1.31", "1.30", "1.31", "1.31")) == []


def test_exactly_the_limit_is_within_it() -> None:
    assert run(pues("1.3", "1.3", "1.3", "1.3")) == []
    assert run(pues(*["1.3000001"] * 3)) == [(PUE_OVER_LIMIT, 3, True)]


def test_an_alert_clears_a_hundredth_under_the_limit_and_not_before() -> None:
    history = pues("1.31", "1.31", "1.31", "1.299", "1.2900001", "1.29", "1.31")
    assert run(history) == [(PUE_OVER_LIMIT, 3, True), (PUE_OVER_LIMIT, 6, False)]


def test_around_the_limit_there_is_one_alert_and_not_one_a_day() -> None:
    assert run(pues(*["1.31", "1.31", "1.31", "1.295"] * 20)) == [(PUE_OVER_LIMIT, 3, True)]


def test_days_without_enough_coverage_neither_count_nor_reset() -> None:
    history = [day(1, "1.31"), day(2, "1.31"), day(3, "1.2", "0.5"), day(4, "1.2", None), day(5, "1.31")]
    assert run(history) == [(PUE_OVER_LIMIT, 5, True)]


def test_coverage_below_the_gate_raises_on_the_third_day_and_clears_by_a_margin() -> None:
    values = ["0.95", "0.95", "0.95", "0.965", "0.97"]
    history = [day(number, "1.25", value) for number, value in enumerate(values, start=1)]
    assert run(history) == [(COVERAGE_LOW, 3, True), (COVERAGE_LOW, 5, False)]


def test_low_coverage_holds_back_the_pue_alert() -> None:
    bad = [day(number, "1.5", "0.959") for number in range(1, 10)]
    assert run(bad) == [(COVERAGE_LOW, 3, True)]


def test_pue_waits_until_the_coverage_alert_has_cleared() -> None:
    coverage = ["0.95"] * 3 + ["0.965"] * 4 + ["0.97"] * 3
    history = [day(number, "1.5", value) for number, value in enumerate(coverage, start=1)]
    assert run(history) == [(COVERAGE_LOW, 3, True), (COVERAGE_LOW, 8, False), (PUE_OVER_LIMIT, 10, True)]


def test_a_silent_meter_is_told_after_its_first_whole_day_and_explains_the_rest() -> None:
    history = [day(1), *[day(number, "1.5", "0.9", ["it"]) for number in range(2, 9)]]
    assert run(history) == [(f"{METER_SILENT}/it", 2, True)]


def test_while_a_meter_is_silent_pue_raises_nothing_even_with_good_coverage() -> None:
    history = [day(number, "1.5", "0.99", ["it"]) for number in range(1, 9)]
    assert run(history) == [(f"{METER_SILENT}/it", 1, True)]


def test_a_meter_that_speaks_again_clears_its_alert() -> None:
    history = [day(1, silent=["it"]), day(2), day(3)]
    assert run(history) == [(f"{METER_SILENT}/it", 1, True), (f"{METER_SILENT}/it", 2, False)]


def test_two_silent_meters_are_two_alerts() -> None:
    assert run([day(1, silent=["ups", "it"])]) == [(f"{METER_SILENT}/it", 1, True), (f"{METER_SILENT}/ups", 1, True)]


def test_all_meters_silent_together_are_one_alert_without_a_name() -> None:
    history = [day(1, silent=METERS), day(2, silent=METERS), day(3, silent=["it"]), day(4)]
    assert run(history) == [
        (METER_SILENT, 1, True),
        (METER_SILENT, 3, False),
        (f"{METER_SILENT}/it", 3, True),
        (f"{METER_SILENT}/it", 4, False),
    ]
    assert steps(history, rule_of, {})[0].meters == ()


def test_a_meter_that_was_silent_before_all_others_stays_an_alert_of_its_own() -> None:
    history = [day(1, silent=["it"]), day(2, silent=METERS), day(3, silent=["it"]), day(4)]
    assert run(history) == [
        (f"{METER_SILENT}/it", 1, True),
        (METER_SILENT, 2, True),
        (METER_SILENT, 3, False),
        (f"{METER_SILENT}/it", 4, False),
    ]


def test_an_alert_in_the_log_whose_meter_is_gone_is_cleared() -> None:
    past = {f"{METER_SILENT}/old": [Step(f"{METER_SILENT}/old", DAY_MS, True)]}
    assert run([day(1), day(2)], past) == [(f"{METER_SILENT}/old", 2, False)]


def test_a_raised_alert_says_value_limit_and_rule() -> None:
    found = steps(pues(*["1.3125"] * 3), lambda _at_ms: RULE, {})
    assert (found[0].value, found[0].limit, found[0].rule) == ("1.312500", "1.30", "new_build_pue_max")


def test_a_value_just_over_the_limit_is_never_shown_at_it() -> None:
    found = steps(pues(*["1.30000000001"] * 3), lambda _at_ms: RULE, {})
    assert found[0].value == "1.30000000001"


@pytest.mark.parametrize(("racks", "limit"), [(4000, Fraction(13, 10)), (2999, Fraction(3, 2))])
def test_the_limit_is_that_of_the_strictest_rule_about_the_facility(racks: int, limit: Fraction) -> None:
    facts = Facts(
        facility="km01", on=local_day(0, "Asia/Shanghai"), region="530100", stage="existing", build="new",
        standard_racks=racks, hub_cluster="",
    )  # fmt: skip
    rule = strictest(load_profile("yunnan-2022-draft").rules, facts)
    assert rule is not None
    assert rule.limit == limit


def test_a_voluntary_rule_sets_no_alert_before_one_that_applies() -> None:
    facts = Facts(
        facility="km01", on=local_day(0, "Asia/Shanghai"), region="530100", stage="existing", build="new",
        standard_racks=4000, hub_cluster="",
    )  # fmt: skip
    voluntary = replace(RULE, id="green_list", limit=Fraction("1.1"), strength="voluntary")
    expired = replace(RULE, id="target_2025", limit=Fraction("1.2"), status=Status.TARGET_EXPIRED)
    assert strictest([voluntary, expired, RULE], facts) == RULE
    assert strictest([voluntary, expired], facts) == expired


histories = st.lists(
    st.tuples(
        st.sampled_from(["1.2", "1.29", "1.295", "1.3", "1.31", "1.4"]),
        st.sampled_from(["1", "0.97", "0.965", "0.96", "0.9", None]),
        st.sets(st.sampled_from(METERS)),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(histories, st.lists(st.integers(1, 5), min_size=1))
def test_stepping_in_parts_gives_the_same_as_all_at_once(
    rows: list[tuple[str, str | None, set[str]]], widths: list[int]
) -> None:
    history = [day(number, pue, coverage, sorted(silent)) for number, (pue, coverage, silent) in enumerate(rows, 1)]
    past: dict[str, list[Step]] = {}
    known = 0
    while known < len(history):
        known += widths[known % len(widths)]
        for step in steps(history[:known], rule_of, past):
            past.setdefault(step.cause, []).append(step)
    in_parts = sorted((step for found in past.values() for step in found), key=lambda step: (step.at_ms, step.cause))
    assert in_parts == steps(history, rule_of, {})


@settings(deadline=None)
@given(histories)
def test_raised_and_cleared_alternate_and_pue_never_rises_on_explained_days(
    rows: list[tuple[str, str | None, set[str]]],
) -> None:
    history = [day(number, pue, coverage, sorted(silent)) for number, (pue, coverage, silent) in enumerate(rows, 1)]
    active: set[str] = set()
    for step in steps(history, rule_of, {}):
        assert step.raised is (step.cause not in active)
        active ^= {step.cause}
        if step.cause == PUE_OVER_LIMIT:
            assert not any(cause.startswith((METER_SILENT, COVERAGE_LOW)) for cause in active)


def rule_of(_at_ms: int) -> Rule:
    return RULE
