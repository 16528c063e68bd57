"""Baseline, detector, forecast: small plants whose answer is known."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from pue.contract.errors import Fatal
from pue.outlook.baseline import DailyEnergy, fit_baseline, least_squares
from pue.outlook.drift import Alarm, DriftState, PageHinkley, assess, tuned, watch
from pue.outlook.forecast import Attainability, attainability, forecast

Float64 = npt.NDArray[np.float64]
IT_J = 400_000_000_000
NO_WEATHER = float("nan")


def weather(days: int) -> Float64:
    t = np.arange(days)
    return np.asarray(12 + 8 * np.cos(2 * np.pi * (t - 200) / 365.25) + 2 * np.cos(t))


def plant(
    days: int,
    *,
    fixed: float = 0.1,
    proportional: float = 0.08,
    per_degree: float = 0.01,
    load: Float64 | float = 1.0,
    excess: Float64 | float = 0.0,
    wet_bulb: Float64 | None = None,
) -> DailyEnergy:
    """A plant of the baseline's own shape: overhead = fixed + proportional x load + cooling x load."""
    t = np.arange(days)
    wet = weather(days) if wet_bulb is None else wet_bulb
    load = load * (1 + 0.05 * np.cos(2 * np.pi * t / 7))
    overhead = fixed / load + proportional + per_degree * np.maximum(0, wet - 8) + excess
    it_j = np.round(IT_J * load).astype(np.int64)
    total_j = np.round(it_j * (1 + overhead)).astype(np.int64)
    return DailyEnergy(18_000 + t, total_j, it_j, wet, np.ones(days, np.bool_))


def blind(days: DailyEnergy) -> DailyEnergy:
    return DailyEnergy(days.day, days.total_j, days.it_j, np.full(len(days.day), NO_WEATHER), days.valid)


def without(days: DailyEnergy, invalid: slice) -> DailyEnergy:
    valid = days.valid.copy()
    valid[invalid] = False
    return DailyEnergy(days.day, days.total_j, days.it_j, days.wet_bulb_c, valid)


# baseline


def test_a_plant_of_the_models_shape_is_learned_and_extrapolated() -> None:
    baseline = fit_baseline(plant(365))
    assert baseline.has_weather
    assert baseline.r_squared > 0.99
    assert baseline.noise < 0.005
    days = plant(730)
    assert np.nanmax(np.abs(baseline.residual(days))) < 0.004


def test_a_fixed_overhead_makes_pue_rise_when_load_falls_and_that_is_no_excess() -> None:
    load = np.where(np.arange(730) < 100, 0.8, 1.0)
    baseline = fit_baseline(plant(365, load=load[:365]))
    low = plant(365, load=0.85)
    assert float(np.mean(low.total_j / low.it_j)) > float(np.mean(plant(365).total_j / plant(365).it_j)) + 0.01
    assert abs(float(np.nanmean(baseline.residual(low)))) < 0.004


def test_without_wet_bulb_the_seasons_stand_for_it() -> None:
    baseline = fit_baseline(blind(plant(365)))
    assert not baseline.has_weather
    assert baseline.r_squared > 0.8
    assert len(baseline.coefficients) == 6


def test_days_that_are_not_covered_or_idle_teach_nothing() -> None:
    good = plant(365)
    wild = plant(365, excess=np.where(np.arange(365) < 60, 5.0, 0.0))
    idle = DailyEnergy(wild.day, wild.total_j, np.where(np.arange(365) < 60, 0, wild.it_j), wild.wet_bulb_c, wild.valid)
    expected = fit_baseline(without(good, slice(0, 60))).coefficients
    assert fit_baseline(without(wild, slice(0, 60))).coefficients == pytest.approx(expected)
    assert fit_baseline(idle).coefficients == pytest.approx(expected)
    assert np.isnan(idle.overhead[:60]).all()


def test_too_few_days_are_refused() -> None:
    with pytest.raises(Fatal, match="needs 300 usable days and got 299"):
        fit_baseline(plant(299))
    assert fit_baseline(plant(300)).has_weather


def test_days_without_weather_say_nothing_about_a_baseline_that_needs_it() -> None:
    baseline = fit_baseline(plant(365))
    assert np.isnan(baseline.residual(blind(plant(10)))).all()
    partly = plant(365)
    partly.wet_bulb_c[300:] = NO_WEATHER
    assert fit_baseline(partly).has_weather
    partly.wet_bulb_c[299:] = NO_WEATHER
    assert not fit_baseline(partly).has_weather


def test_load_outside_the_learned_range_is_not_believed() -> None:
    baseline = fit_baseline(plant(365))
    assert baseline.believes(plant(7, load=1.1)).all()
    assert not baseline.believes(plant(7, load=0.65)).any()
    assert not baseline.believes(plant(7, load=1.4)).any()


def test_a_column_that_says_nothing_gets_the_prior() -> None:
    design = np.stack([np.ones(400), np.zeros(400), np.zeros(400)])
    assert least_squares(design, np.full(400, 0.3)) == pytest.approx((0.3, 0.1, 0.0))


def test_two_equal_columns_share_what_they_explain() -> None:
    same = np.linspace(-1, 1, 400)
    one, _, second, third = least_squares(np.stack([np.ones(400), 0 * same, same, same]), 0.2 + 0.1 * same)
    assert one == pytest.approx(0.2)
    assert second == pytest.approx(third)


def test_no_overhead_at_all_solves_to_zero() -> None:
    assert least_squares(np.zeros((3, 5)), np.zeros(5)) == (0.0, 0.0, 0.0)


# detector


def test_page_hinkley_sums_what_lies_over_level_and_dead_band() -> None:
    # by hand: mean after one day of 0.031 with weight 30 behind it is 0.001, so 0.031 - 0.001 - 0.005
    state = PageHinkley().update(0.031)
    assert state.mean == pytest.approx(0.001)
    assert state.excess == pytest.approx(0.025)
    assert state.days == 31


def test_what_lies_under_the_dead_band_never_alarms() -> None:
    detector, alarms = watch(np.arange(2_000), np.full(2_000, 0.0049), PageHinkley())
    assert alarms == ()
    assert detector.excess == 0


def test_a_step_is_found_after_as_many_days_as_it_takes_to_fill_the_threshold() -> None:
    residual = np.where(np.arange(400) < 100, 0.0, 0.03)
    _, alarms = watch(np.arange(400), residual, PageHinkley())
    level, excess, day = 0.0, 0.0, 100
    for weight in range(131, 400):  # 30 days of prior, 100 quiet days
        level += (0.03 - level) / weight
        excess += 0.03 - level - 0.005
        if excess > 0.3:
            break
        day += 1
    assert alarms[0].day == day
    assert alarms[0].since_day == 100
    assert alarms[0].excess_pue == pytest.approx(0.03)


def test_after_an_alarm_only_a_further_rise_alarms_again() -> None:
    flat = np.where(np.arange(700) < 100, 0.0, 0.03)
    assert len(watch(np.arange(700), flat, PageHinkley())[1]) == 1
    second = flat + np.where(np.arange(700) < 300, 0.0, 0.03)
    alarms = watch(np.arange(700), second, PageHinkley())[1]
    assert [alarm.since_day for alarm in alarms] == [100, 300]


def test_after_an_alarm_the_level_is_new_and_as_light_as_at_first() -> None:
    old = PageHinkley(delta=0.01, threshold=0.2, mean=0.001, days=180, excess=0.21)
    assert old.restart(0.03) == PageHinkley(delta=0.01, threshold=0.2, mean=0.03, days=30, excess=0)


def test_a_day_without_residual_changes_nothing() -> None:
    residual = np.array([0.02, np.nan, 0.02])
    whole, _ = watch(np.arange(3), residual, PageHinkley())
    assert whole == PageHinkley().update(0.02).update(0.02)


def test_memory_is_bounded_so_that_the_level_keeps_following() -> None:
    state = PageHinkley()
    for _ in range(500):
        state = state.update(0.0)
    assert state.days == 180


def test_a_noisier_baseline_gets_a_coarser_test() -> None:
    rng = np.random.default_rng(1)
    quiet, noisy = fit_baseline(plant(365)), fit_baseline(plant(365, excess=rng.normal(0, 0.05, 365)))
    assert (tuned(quiet).delta, tuned(quiet).threshold) == (0.005, 0.15)
    assert tuned(noisy).delta == pytest.approx(noisy.noise / 2)
    assert tuned(noisy).threshold == pytest.approx(12 * noisy.noise)
    seasons = fit_baseline(blind(plant(365)))
    assert tuned(seasons).delta == max(0.012, seasons.noise / 2)
    assert tuned(seasons).threshold == max(0.4, 22 * seasons.noise)
    wild = fit_baseline(blind(plant(365, excess=rng.normal(0, 0.1, 365))))
    assert tuned(wild).threshold == pytest.approx(22 * wild.noise)
    assert tuned(wild).threshold > 0.4
    assert tuned(wild).delta == pytest.approx(wild.noise / 2)
    assert tuned(wild).delta > 0.012


# state


def test_a_sound_plant_is_steady() -> None:
    drift = assess(plant(730))
    assert (drift.state, drift.alarms) == (DriftState.STEADY, ())
    assert abs(drift.excess_pue) < 0.004


def test_a_ramp_is_found_with_its_beginning_and_clears_when_it_is_gone() -> None:
    t = np.arange(800)
    drifting = assess(plant(600, excess=np.clip((t[:600] - 500) / 30, 0, 1) * 0.03))
    assert drifting.state is DriftState.DRIFTING
    alarm = drifting.alarms[0]
    assert 18_500 <= alarm.since_day <= 18_515
    assert 18_515 <= alarm.day <= 18_540
    assert 0.005 < alarm.excess_pue < 0.03
    assert drifting.excess_pue == pytest.approx(0.03, abs=0.005)
    mended = assess(plant(800, excess=np.where((t > 500) & (t < 600), 0.03, 0.0)))
    assert mended.state is DriftState.STEADY
    assert [18_500 < found.since_day < 18_600 for found in mended.alarms] == [True]


def test_a_large_fall_of_load_is_out_of_range_and_no_drift() -> None:
    drift = assess(plant(600, load=np.where(np.arange(600) < 500, 1.0, 0.6)))
    assert (drift.state, drift.alarms) == (DriftState.OUT_OF_RANGE, ())


@pytest.mark.parametrize(("low_days", "state"), [(7, DriftState.STEADY), (8, DriftState.OUT_OF_RANGE)])
def test_the_load_is_out_of_range_if_less_than_half_of_two_weeks_is_inside(low_days: int, state: DriftState) -> None:
    load = np.where(np.arange(600) < 600 - low_days, 1.0, 0.6)
    assert assess(plant(600, load=load)).state is state


def test_watching_begins_on_the_day_after_a_year() -> None:
    assert assess(plant(366)).state is DriftState.STEADY


def test_a_year_of_which_three_hundred_days_are_covered_is_learned() -> None:
    assert assess(without(plant(366), slice(0, 65))).state is DriftState.STEADY
    assert assess(without(plant(366), slice(0, 66))).state is DriftState.LEARNING


def test_a_drift_says_what_it_is_measured_against_and_where_its_test_stands() -> None:
    days = plant(400)
    drift = assess(days)
    baseline = fit_baseline(days.select(slice(0, 365)))
    assert drift.baseline == baseline
    after = days.select(slice(365, None))
    assert drift.detector == watch(after.day, baseline.residual(after), tuned(baseline))[0]
    assert drift.detector.days == 30 + 35


def test_before_a_year_of_days_it_is_learning() -> None:
    for days in (plant(0), plant(365), without(plant(400), slice(0, 100))):
        drift = assess(days)
        assert drift.state is DriftState.LEARNING
        assert drift.baseline is None
        assert math.isnan(drift.excess_pue)


def test_no_usable_day_since_the_baseline_is_steady_with_unknown_excess() -> None:
    drift = assess(without(plant(400), slice(365, 400)))
    assert drift.state is DriftState.STEADY
    assert math.isnan(drift.excess_pue)
    assert Alarm(1, 1, 0.1) not in drift.alarms


# forecast


def test_a_year_like_the_last_is_forecast_as_the_last() -> None:
    days = plant(800)
    year = forecast(days)
    last = days.select(slice(-365, None))
    assert year.day[0] == days.day[-1] + 1
    assert np.abs(year.pue - last.total_j.sum() / last.it_j.sum()).max() < 0.003
    assert (year.half_width[1:] > year.half_width[:-1]).all()
    assert year.half_width[-1] < 0.02


def test_a_steady_rise_is_carried_on_and_the_crossing_is_found() -> None:
    t = np.arange(1_400)
    days = plant(1_400, excess=0.06 * t / 365)
    known, limit = days.select(slice(0, 1_100)), Fraction("1.42")
    running_total, running_it = (np.cumsum(np.concatenate(([0], column))) for column in (days.total_j, days.it_j))
    truth = (running_total[365:] - running_total[:-365]) / (running_it[365:] - running_it[:-365])
    year = forecast(known, 300)
    assert np.abs(year.pue - truth[1_101 - 365 :]).max() < 0.006
    crossed = 18_000 + 364 + int(np.argmax(truth > float(limit)))
    found, earliest, latest = (year.crossing_day(limit, side) for side in (0, 1, -1))
    assert found is not None
    assert earliest is not None
    assert abs(found - crossed) <= 25
    assert earliest <= crossed
    assert latest is None or latest >= crossed


def test_a_recent_step_is_carried_on_as_a_lasting_level() -> None:
    plain = forecast(plant(800)).pue[-1]
    stepped = forecast(plant(800, excess=np.where(np.arange(800) < 760, 0.0, 0.03))).pue[-1]
    assert stepped - plain == pytest.approx(0.03, abs=0.01)


def test_the_load_of_the_last_month_is_carried_on() -> None:
    plain = forecast(plant(800)).pue[-1]
    fuller = forecast(plant(800, load=np.where(np.arange(800) < 760, 1.0, 1.2))).pue[-1]
    assert fuller - plain == pytest.approx(0.1 / 1.2 - 0.1, abs=0.005)


def test_the_trailing_year_has_three_hundred_and_sixty_five_days() -> None:
    def first(spike_at: int) -> float:
        return float(forecast(plant(800, excess=np.where(np.arange(800) == spike_at, 50.0, 0.0)), 1).pue[0])

    assert first(800 - 365) == pytest.approx(float(forecast(plant(800), 1).pue[0]), abs=0.01)
    assert first(800 - 364) > 1.3


def test_a_limit_far_away_is_not_crossed() -> None:
    assert forecast(plant(800)).crossing_day(Fraction(3)) is None


def test_without_enough_past_there_is_no_interval() -> None:
    year = forecast(plant(400), 30)
    assert np.isfinite(year.pue).all()
    assert np.isnan(year.half_width).all()
    assert year.crossing_day(Fraction(3), 1) is None


def test_seasons_and_holes_do_not_stop_a_forecast() -> None:
    days = without(plant(800), slice(500, 520))
    assert np.abs(forecast(blind(days)).pue - forecast(days).pue).max() < 0.02
    gone = np.ones(800, np.bool_)
    gone[500:520] = False
    assert forecast(plant(800).select(gone)).pue == pytest.approx(forecast(days).pue, abs=1e-4)


def test_a_forecast_needs_three_hundred_days() -> None:
    with pytest.raises(Fatal, match="needs 300 usable days and got 0"):
        forecast(plant(0))


@pytest.mark.parametrize(
    ("total_j", "best_month", "state", "required"),
    [
        (6_800, "1.22", Attainability.ON_TRACK, "1.24"),
        (6_800, "1.24", Attainability.ON_TRACK, "1.24"),
        (6_800, "1.25", Attainability.AT_RISK, "1.24"),
        (6_800, None, Attainability.AT_RISK, "1.24"),
        (8_000, "1.0", Attainability.ON_TRACK, "1"),
        (8_100, "1.2", Attainability.UNATTAINABLE, "0.98"),
    ],
)
def test_whether_the_year_can_still_meet_its_limit(
    total_j: int, best_month: str | None, state: Attainability, required: str
) -> None:
    best = None if best_month is None else Fraction(best_month)
    assert attainability(Fraction("1.3"), total_j, 5_000, 5_000, best) == (state, Fraction(required))
