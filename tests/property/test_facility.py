"""Facilities: bounds that hold the truth, and sums that do not depend on how they are taken."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pue.contract.series import MAX_ENERGY_J, SLOT_MS, SeriesKey
from pue.energy.facility import FacilityCurve, Term, facility_curve
from pue.energy.registers import register_slots
from pue.energy.rolling import WindowResult, group_result, rolling_pue, window_result
from pue.energy.slots import Slots
from tests.property.meters import (
    POWER_W,
    START_MS,
    Truth,
    choices,
    honest_readings,
    samples_of,
    true_j,
    truths,
    version,
)
from tests.property.plain import Reading

SLOTS = 8
END_MS = START_MS + SLOTS * SLOT_MS
MODULUS = 5 * 10**6
WEIGHTS = st.sampled_from([Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 3), Fraction(3, 2)])


def key(meter: str) -> SeriesKey:
    return SeriesKey("s", meter, "energy_import")


def term(meter: str, a: Fraction | int, b: Fraction | int, **changes: object) -> Term:
    fields: dict[str, object] = {"required": True, "from_ms": 0, "to_ms": None, "max_power_w": POWER_W}
    return Term(key(meter), Fraction(a), Fraction(b), **(fields | changes))  # type: ignore[arg-type]  # fields a test chooses


STEPS = st.sampled_from([Fraction(1), Fraction(3_600), Fraction(36_000), Fraction(2, 3), Fraction(1_000, 7)])


def slots_of(readings: list[Reading], modulus: int | None = None, step_j: Fraction = Fraction(1)) -> Slots:
    return register_slots(samples_of(readings), [version(modulus=modulus, step_j=step_j)])


def windows() -> st.SearchStrategy[tuple[int, int]]:
    edges = st.tuples(st.integers(0, SLOTS), st.integers(0, SLOTS)).filter(lambda pair: pair[0] < pair[1])
    return edges.map(lambda pair: (START_MS + pair[0] * SLOT_MS, START_MS + pair[1] * SLOT_MS))


def flowed(truth: Truth, from_ms: int, to_ms: int) -> Fraction:
    return true_j(truth, to_ms) - true_j(truth, from_ms)


@st.composite
def thinned(draw: st.DrawFn, readings: list[Reading]) -> list[Reading]:
    """Some readings lost: singly, and in runs."""
    chosen = choices(draw)
    kept = [reading for reading in readings if next(chosen) % 6]
    start = draw(st.integers(0, len(kept)))
    return kept[:start] + kept[start + draw(st.integers(0, 8)) :]


@settings(max_examples=120, deadline=None)
@given(
    st.data(), WEIGHTS, WEIGHTS, windows(), st.sampled_from(["", "wraps", "resets"]), st.sampled_from([0, 3_000]), STEPS
)
def test_the_truth_is_inside_the_bounds_whatever_is_lost(
    data: st.DataObject,
    a: Fraction,
    b: Fraction,
    window: tuple[int, int],
    kind: str,
    took_ms: int,
    step_j: Fraction,
) -> None:
    modulus = int(MODULUS / step_j) + 1 if kind == "wraps" else None
    both = {}
    true_total, true_it = Fraction(0), Fraction(0)
    for meter, weights in (("main", (Fraction(1), Fraction(0))), ("other", (a, b))):
        truth = data.draw(truths(SLOTS))
        resets = kind == "resets"
        readings = data.draw(honest_readings(truth, took_ms=took_ms, modulus=modulus, resets=resets, step_j=step_j))
        both[key(meter)] = slots_of(data.draw(thinned(readings)), modulus, step_j)
        true_total += weights[0] * flowed(truth, *window)
        true_it += weights[1] * flowed(truth, *window)
    curve = facility_curve(both, [term("main", 1, 0), term("other", a, b)], START_MS, END_MS)
    result = window_result(curve, *window)
    assert result.total_lower_j <= max(true_total, Fraction(0))
    assert true_total <= result.total_upper_j
    assert result.it_lower_j <= max(true_it, Fraction(0))
    assert true_it <= result.it_upper_j


Bounded = tuple[WindowResult, WindowResult]


def with_and_without(
    data: st.DataObject, window: tuple[int, int], step_j: Fraction, took_ms: int, resets: bool
) -> tuple[Bounded, int]:
    """One window by all readings and by some of them, and how often the register was reset."""
    terms = [term("main", 1, 0), term("it", 0, 1)]
    truth = data.draw(truths(SLOTS))
    readings = data.draw(honest_readings(truth, resets=resets, step_j=step_j, took_ms=took_ms))
    fewer = data.draw(thinned(readings))
    more, less = (
        window_result(
            facility_curve(
                {key(name): slots_of(kept, None, step_j) for name in ("main", "it")}, terms, START_MS, END_MS
            ),
            *window,
        )
        for kept in (readings, fewer)
    )
    falls = sum(after[2] < before[2] for before, after in pairwise(readings))
    return (more, less), falls


@settings(max_examples=400, deadline=None)
@given(st.data(), windows(), STEPS, st.sampled_from([0, 0, 3_000]))
def test_losing_readings_never_lowers_the_upper_bound_nor_raises_the_lower(
    data: st.DataObject, window: tuple[int, int], step_j: Fraction, took_ms: int
) -> None:
    (more, less), _ = with_and_without(data, window, step_j, took_ms, resets=False)
    assert less.total_upper_j >= more.total_upper_j
    assert less.it_lower_j <= more.it_lower_j
    assert less.coverage <= more.coverage
    if more.pue_upper is None or less.pue_upper is not None:
        assert (less.pue_upper or 0) >= (more.pue_upper or 0)
    if less.pue_lower is not None:
        assert more.pue_lower is not None
        assert less.pue_lower <= more.pue_lower


@settings(max_examples=120, deadline=None)
@given(st.data(), windows(), STEPS, st.sampled_from([0, 3_000]))
def test_around_a_reset_losing_readings_saves_at_most_a_step_and_a_reply(
    data: st.DataObject, window: tuple[int, int], step_j: Fraction, took_ms: int
) -> None:
    (more, less), falls = with_and_without(data, window, step_j, took_ms, resets=True)
    saved_j = falls * (version(step_j=step_j).hidden_j + 2 * took_ms * POWER_W // 1000 + 1)
    assert less.total_upper_j >= more.total_upper_j - saved_j
    assert less.it_lower_j <= more.it_lower_j + saved_j
    assert less.coverage <= more.coverage


@settings(max_examples=120, deadline=None)
@given(st.data(), windows(), STEPS)
def test_bounds_are_no_wider_than_steps_and_what_gaps_can_hold(
    data: st.DataObject, window: tuple[int, int], step_j: Fraction
) -> None:
    readings = data.draw(honest_readings(data.draw(truths(SLOTS)), step_j=step_j))
    result = window_result(
        facility_curve({key("main"): slots_of(readings, None, step_j)}, [term("main", 1, 0)], START_MS, END_MS), *window
    )
    times = sorted({*window, *(reading[1] for reading in readings)})
    beside = [after - before for before, after in pairwise(times) if {before, after} & set(window)]
    uncovered_ms = sum(after - before for before, after in pairwise(times)) if len(readings) < 2 else 0
    first_ms, last_ms = (readings[0][1], readings[-1][1]) if readings else window
    outside_ms = max(first_ms - window[0], 0) + max(window[1] - last_ms, 0)
    room_ms = max(sum(beside), uncovered_ms, outside_ms) + outside_ms
    width = result.total_upper_j - result.total_lower_j
    assert width <= 6 * version(step_j=step_j).hidden_j + 2 * (room_ms * POWER_W // 1000 + 1)


@settings(max_examples=80, deadline=None)
@given(st.data(), windows(), st.tuples(*[st.integers(-10, 10)] * 3))
def test_a_missing_meter_is_bounded_by_its_family_if_all_are_within_their_class(
    data: st.DataObject, window: tuple[int, int], errors: tuple[int, int, int]
) -> None:
    """Parent and one child are off by up to 1 %, the other child is not read at all: its energy stays inside."""
    limit = Fraction(1, 100)
    outputs = [data.draw(truths(SLOTS)) for _ in range(2)]
    times = sorted({time for truth in outputs for time in truth[0]})
    truth_of = {
        "input": (times, [int(sum(true_j(truth, t) for truth in outputs)) for t in times]),
        "out-a": outputs[0],
        "out-b": outputs[1],
    }
    slots = {}
    for (meter, truth), error in zip(truth_of.items(), errors, strict=True):
        step_j = Fraction(1000, 1000 + error)  # a count shows less, or more, than the joule it stands for
        power = POWER_W * (3 if meter == "input" else 2)
        if meter != "out-b":
            readings = data.draw(honest_readings(truth, step_j=step_j))
            slots[key(meter)] = register_slots(samples_of(readings), [version(max_power_w=power)])
    terms = [
        term("input", 1, 0, max_power_w=3 * POWER_W, limit_rel=limit),
        term("out-a", 0, 0, max_power_w=2 * POWER_W, limit_rel=limit, parent="input"),
        term("out-b", 0, 1, max_power_w=2 * POWER_W, limit_rel=limit, parent="input"),
    ]
    result = window_result(facility_curve(slots, terms, START_MS, END_MS), *window)
    true_it = flowed(outputs[1], *window)
    slack = len(times)  # the input's energies are whole joules at each of its times
    assert result.it_lower_j - slack <= true_it <= result.it_upper_j + slack


@settings(max_examples=60, deadline=None)
@given(st.data(), windows())
def test_bounds_from_parent_and_children_hold_the_truth_and_only_get_tighter(
    data: st.DataObject, window: tuple[int, int]
) -> None:
    """UPS input, two outputs under it, one rack feed under the first output; losses in between."""
    outputs = [data.draw(truths(SLOTS)) for _ in range(3)]
    times = sorted({time for truth in outputs[:2] for time in truth[0]})
    loss = data.draw(st.integers(0, 100))
    source = times, [int(sum(true_j(truth, t) for truth in outputs[:2])) + loss * n for n, t in enumerate(times)]
    feed = outputs[0][0], [energy // 2 for energy in outputs[0][1]]
    truth_of = {"input": source, "out-a": outputs[0], "out-b": outputs[1], "feed": feed}
    parents = {"out-a": "input", "out-b": "input", "feed": "out-a"}
    powers = {"input": 3 * POWER_W}
    slots = {}
    for meter, truth in truth_of.items():
        readings = data.draw(thinned(data.draw(honest_readings(truth, took_ms=1_000))))
        slots[key(meter)] = register_slots(samples_of(readings), [version(max_power_w=powers.get(meter, POWER_W))])
    weights = {meter: (Fraction(meter == "input"), Fraction(meter != "input")) for meter in truth_of}
    results = []
    for family in ({}, parents):
        terms = [
            term(meter, *weights[meter], parent=family.get(meter), max_power_w=powers.get(meter, POWER_W))
            for meter in truth_of
        ]
        results.append(window_result(facility_curve(slots, terms, START_MS, END_MS), *window))
    alone, together = results
    # The feed counts twice in E_IT, so that PUE can be below 1: narrower bounds may find that out, and believe nothing.
    assume(together.contradictions == alone.contradictions)
    assert together.total_upper_j <= alone.total_upper_j
    assert together.it_upper_j <= alone.it_upper_j
    assert together.total_lower_j >= alone.total_lower_j
    assert together.it_lower_j >= alone.it_lower_j
    true_total = flowed(source, *window)
    true_it = sum((flowed(truth_of[meter], *window) for meter in parents), Fraction(0))
    slack = len(times) + SLOTS  # the input's energies are whole joules at each of its times
    assert together.total_lower_j - slack <= true_total <= together.total_upper_j + slack
    assert together.it_lower_j - slack <= true_it <= together.it_upper_j + slack


def random_slots(seed: int, flat: bool = False) -> Slots:
    random = np.random.default_rng(seed)
    count = np.cumsum(random.integers(1, 900, 4 * SLOTS + 1)) + 10**6
    time = START_MS + np.arange(len(count)) * (SLOT_MS // 4) + (0 if flat else random.integers(0, 60_000, len(count)))
    readings = [(int(t), int(t), int(c), 0, n) for n, (t, c) in enumerate(zip(time, count, strict=True))]
    lost = set(random.integers(0, len(readings), 4).tolist()) if not flat else set()
    return slots_of([reading for n, reading in enumerate(readings) if n not in lost])


def random_curve(seed: int, *weights: tuple[Fraction, Fraction]) -> FacilityCurve:
    slots = {key(f"m{n}"): random_slots(seed + n) for n in range(len(weights))}
    return facility_curve(slots, [term(f"m{n}", a, b) for n, (a, b) in enumerate(weights)], START_MS, END_MS)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), WEIGHTS, WEIGHTS, st.integers(0, SLOTS), st.integers(0, SLOTS), st.integers(0, SLOTS))
def test_splitting_a_window_changes_nothing(seed: int, a: Fraction, b: Fraction, x: int, y: int, z: int) -> None:
    curve = random_curve(seed, (Fraction(1), Fraction(0)), (a, b))
    first, middle, last = sorted((x, y, z))
    edges = [START_MS + place * SLOT_MS for place in (first, middle, last)]
    whole, left, right = (window_result(curve, edges[i], edges[j]) for i, j in ((0, 2), (0, 1), (1, 2)))
    assert whole.total_j == left.total_j + right.total_j
    assert whole.it_j == left.it_j + right.it_j
    assert whole.coverage * (last - first) == left.coverage * (middle - first) + right.coverage * (last - middle)
    assert 0 <= whole.coverage <= 1
    assert whole.total_upper_j <= left.total_upper_j + right.total_upper_j
    if left.total_lower_j > 0 and right.total_lower_j > 0:
        assert whole.total_lower_j >= left.total_lower_j + right.total_lower_j
    assert whole.flags == left.flags | right.flags


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), windows(), st.permutations(range(3)))
def test_the_order_of_terms_changes_nothing(seed: int, window: tuple[int, int], order: list[int]) -> None:
    slots = {key(f"m{n}"): random_slots(seed + n) for n in range(3)}
    terms = [term("m0", 1, 0), term("m1", Fraction(2, 3), 0), term("m2", Fraction(-1, 7), 1)]
    results = [
        window_result(facility_curve(slots, chosen, START_MS, END_MS), *window)
        for chosen in (terms, [terms[n] for n in order])
    ]
    assert results[0].pue == results[1].pue
    assert results[0].pue_upper == results[1].pue_upper
    assert results[0].coverage_by_meter == results[1].coverage_by_meter


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), windows())
def test_the_sign_of_a_weight_turns_energy_and_bounds_round(seed: int, window: tuple[int, int]) -> None:
    base = (Fraction(5), Fraction(0))
    results = [
        window_result(random_curve(seed, base, (Fraction(weight), Fraction(0))), *window) for weight in (-1, 0, 1)
    ]
    less, without, more = results
    assume(less.total_lower_j > 0)
    assert more.total_j - without.total_j == without.total_j - less.total_j
    assert more.total_upper_j - without.total_upper_j == without.total_lower_j - less.total_lower_j
    assert more.total_lower_j - without.total_lower_j == without.total_upper_j - less.total_upper_j


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=5), windows())
def test_a_groups_pue_lies_between_its_members(seeds: list[int], window: tuple[int, int]) -> None:
    members: list[WindowResult] = [
        window_result(random_curve(seed, (Fraction(2), Fraction(0)), (Fraction(0), Fraction(1))), *window)
        for seed in seeds
    ]
    ratios = [member.pue for member in members if member.pue is not None]
    assume(ratios)
    group = group_result(members)
    assert group.pue is not None
    assert min(ratios) <= group.pue <= max(ratios)
    assert group.total_j == sum(member.total_j for member in members)
    assert group.pue_upper is None or group.pue_upper <= max(member.pue_upper or MAX_ENERGY_J for member in members)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, SLOTS))
def test_rolling_pue_is_the_correctly_rounded_ratio_of_each_window(seed: int, width: int) -> None:
    curve = random_curve(seed, (Fraction(1), Fraction(0)), (Fraction(1, 3), Fraction(1)))
    series = rolling_pue(curve.total_j, curve.it_j, width)
    assert len(series) == SLOTS + 1 - width
    for start, value in enumerate(series.tolist()):
        from_ms = START_MS + start * SLOT_MS
        pue = window_result(curve, from_ms, from_ms + width * SLOT_MS).pue
        assert np.isnan(value) if pue is None else value == float(pue)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), windows(), WEIGHTS, WEIGHTS)
def test_rounded_shares_keep_the_exact_sum_inside_the_bounds(
    seed: int, window: tuple[int, int], a: Fraction, b: Fraction
) -> None:
    weights = {"m0": Fraction(7, 3), "m1": a, "m2": b}
    slots = {key(meter): random_slots(seed + n, flat=True) for n, meter in enumerate(weights)}
    curve = facility_curve(slots, [term(meter, weight, 0) for meter, weight in weights.items()], START_MS, END_MS)
    exact = Fraction(0)
    for meter, weight in weights.items():
        inside = (slots[key(meter)].start_ms >= window[0]) & (slots[key(meter)].start_ms < window[1])
        exact += weight * int(slots[key(meter)].energy_j[inside].sum())
    result = window_result(curve, *window)
    assert result.total_lower_j <= max(exact, Fraction(0))
    assert exact <= result.total_upper_j
    assert abs(result.total_j - exact) <= 1
