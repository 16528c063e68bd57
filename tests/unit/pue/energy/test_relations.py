"""What two readings say together, and which are believed, by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from pue.contract.series import SLOT_MS
from pue.energy.points import points_of
from pue.energy.registers import RegisterVersion
from pue.energy.relations import MARKS, UNKNOWN, Relation, believed, relations
from pue.energy.slots import Samples
from tests.unit.pue.meters import MINUTE_MS, int64, samples, version

PLAIN, ROLLOVER, DECLARED, REFUTED, RESET, LEAP, AMBIGUOUS, EXCHANGED = Relation

NO_WRAP = version(1, 1000)
WRAPS = version(1, 1000, modulus=4_000_000)


def related(readings: Samples, *versions: RegisterVersion) -> list[int]:
    """Relation of each reading to the next, before any is put aside."""
    points, _ = points_of(readings, versions)
    places = int64(*range(len(points)))
    found: list[int] = relations(points, places[:-1], places[1:], versions).tolist()
    return found


def kinds(readings: Samples, *versions: RegisterVersion) -> dict[int, int]:
    """Relations of the believed readings that are not plain, by their left reading."""
    points, suspects = points_of(readings, versions)
    points, links, relation = believed(points, suspects, versions)
    pairs = zip(links.tolist(), relation.tolist(), strict=True)
    return {left: kind for left, kind in pairs if kind != PLAIN}


def minutely(*counts: int) -> Samples:
    return samples(*((place * MINUTE_MS, count) for place, count in enumerate(counts)))


# Two readings


@pytest.mark.parametrize(
    ("register", "counts", "kind"),
    [
        pytest.param(NO_WRAP, (0, 900_001), PLAIN, id="a rise within the limit and a count"),
        pytest.param(NO_WRAP, (0, 900_002), LEAP, id="a rise beyond them"),
        pytest.param(NO_WRAP, (1, 0), RESET, id="a fall"),
        pytest.param(WRAPS, (0, 900_001), PLAIN, id="a rise of a register that wraps"),
        pytest.param(WRAPS, (0, 900_002), LEAP, id="a rise of it beyond them"),
        pytest.param(WRAPS, (5, 5), PLAIN, id="no rise of it"),
        pytest.param(WRAPS, (3_999_999, 900_000), ROLLOVER, id="a wrap within them"),
        pytest.param(WRAPS, (3_999_999, 900_001), RESET, id="a wrap beyond them"),
        pytest.param(version(1, 1000, modulus=900_000), (0, 1), AMBIGUOUS, id="a rise or a wrap"),
        pytest.param(version(1, 1000, modulus=900_000), (0, 2), PLAIN, id="a rise, as a wrap is beyond them"),
        pytest.param(version(1, 1000, modulus=450_001), (2, 1), AMBIGUOUS, id="one wrap or two"),
        pytest.param(version(1, 1000, modulus=450_002), (2, 1), ROLLOVER, id="one wrap, as two are beyond them"),
    ],
)
def test_two_readings_a_slot_apart_are_told_apart_by_the_last_count(
    register: RegisterVersion, counts: tuple[int, int], kind: int
) -> None:
    """A meter of 1 kW counts at most 900,000 J in a slot, and one more as readings are cut off at whole counts."""
    first, then = counts
    assert related(samples((0, first), (SLOT_MS, then)), register) == [kind]


@pytest.mark.parametrize(("rise", "kind"), [(62_189, PLAIN), (62_190, LEAP)])
def test_the_most_a_meter_can_count_is_exact_where_a_float_is_not(rise: int, kind: int) -> None:
    """200 kW are 1400 counts of 1000/7 J a second: 62,188 in 44.42 s, and one that was hidden."""
    readings = samples((0, 0), (44_420, rise))
    assert related(readings, version(Fraction(1000, 7), 200_000)) == [kind]


def test_the_time_between_two_readings_is_from_request_to_reply() -> None:
    """14 kJ in 15 s of 1 kW, although the replies are 10 s apart."""
    readings = samples((10_000, 0), (20_000, 14_000), took_ms=5000)
    assert related(readings, NO_WRAP) == [PLAIN]
    assert related(samples((10_000, 0), (20_000, 15_002), took_ms=5000), NO_WRAP) == [LEAP]


def test_a_reading_asked_for_after_its_reply_was_asked_for_when_it_was_answered() -> None:
    """Its clock was set back meanwhile: 10 s of 1 kW and a count, not 5 s."""
    plain = samples((10_000, 0), (20_000, 10_001))
    back = Samples(plain.t0_ms + 5000, plain.t1_ms, plain.count, plain.quality, plain.order)
    assert related(back, NO_WRAP) == related(plain, NO_WRAP) == [PLAIN]


@pytest.mark.parametrize(("count", "kind"), [(2**23, PLAIN), (2**23 - 1, LEAP)])
def test_a_float32_register_may_rise_by_its_resolution(count: int, kind: int) -> None:
    """A second of 1 W, a count that was hidden, and from 2**23 on, where floats are a whole count apart, one more."""
    assert related(samples((0, count - 3), (1000, count)), version(1, 1)) == [kind]


def test_versions_are_exchanged_unless_counts_are_declared() -> None:
    versions = version(to_ms=SLOT_MS), version(2, from_ms=SLOT_MS)
    assert related(samples((0, 1), (SLOT_MS, 5)), *versions) == [EXCHANGED]


@pytest.mark.parametrize(
    ("times", "versions", "kind"),
    [
        pytest.param((7, 7), (0, 1), DECLARED, id="at once, one after the other"),
        pytest.param((6, 7), (0, 1), EXCHANGED, id="one after the other, later"),
        pytest.param((7, 7), (0, 2), EXCHANGED, id="at once, and one between them"),
    ],
)
def test_only_the_two_counts_of_one_replacement_are_declared(
    times: tuple[int, int], versions: tuple[int, int], kind: int
) -> None:
    points, _ = points_of(samples((times[0], 9), (times[0] + 1, 2)), [version()])
    points = replace(points, t1_ms=int64(*times), starts=int64(0, 1), versions=int64(*versions))
    rows = [version(), version(), version()]
    assert relations(points, int64(0), int64(1), rows).tolist() == [kind]


def test_every_relation_but_a_plain_one_leaves_a_mark() -> None:
    assert set(MARKS) == set(Relation) - {PLAIN}
    assert set(UNKNOWN) == {RESET, LEAP, AMBIGUOUS, EXCHANGED}


# Limits that readings refute. A meter of 1 kW counts at most 60,001 in a minute.


def test_a_leap_between_rises_refutes_the_limit() -> None:
    assert kinds(minutely(0, 50_000, 250_000, 300_000), NO_WRAP) == {1: REFUTED}


def test_leaps_in_a_row_refute_the_limit_together() -> None:
    assert kinds(minutely(0, 50_000, 250_000, 450_000, 500_000), NO_WRAP) == {1: REFUTED, 2: REFUTED}


def test_a_leap_between_wraps_refutes_the_limit() -> None:
    """20,000 across the wrap, 200,000 in a minute, 50,000."""
    counts = (3_990_000, 10_000, 210_000, 260_000)
    assert kinds(minutely(*counts), WRAPS) == {0: ROLLOVER, 1: REFUTED}


def test_a_leap_of_the_first_two_readings_is_not_confirmed() -> None:
    assert kinds(minutely(0, 200_000, 250_000), NO_WRAP) == {0: LEAP}


def test_a_leap_of_the_last_two_readings_is_not_confirmed() -> None:
    """The very last of three in a row that leap is put aside, as no reading confirms it; two stay."""
    assert kinds(minutely(0, 50_000, 250_000, 450_000), NO_WRAP) == {1: LEAP}


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param((500_000, 10_000, 400_000, 410_000), {0: RESET, 1: LEAP}, id="before"),
        pytest.param((0, 10_000, 400_000, 5000, 6000), {1: LEAP, 2: RESET}, id="after"),
    ],
)
def test_a_leap_beside_a_fall_is_not_confirmed(counts: tuple[int, ...], expected: dict[int, int]) -> None:
    assert kinds(minutely(*counts), NO_WRAP) == expected


@pytest.mark.parametrize(("high", "kind"), [(2, LEAP), (8, LEAP), (9, REFUTED)])
def test_a_fall_within_eight_readings_takes_a_leap_back(high: int, kind: int) -> None:
    """Readings of 50,000 and 60,000 around a million that nobody can have used: the leap was none."""
    counts = [0, 50_000, *range(1_050_000, 1_050_000 + high), 60_000, 70_000]
    assert kinds(minutely(*counts), NO_WRAP) == {1: kind, 1 + high: RESET}


def test_a_fall_to_where_nothing_had_been_takes_no_leap_back() -> None:
    assert kinds(minutely(0, 50_000, 1_050_000, 1_060_000, 0, 10_000), NO_WRAP) == {1: REFUTED, 3: RESET}


@pytest.mark.parametrize(("low", "kind"), [(2, LEAP), (8, LEAP), (9, REFUTED)])
def test_a_leap_takes_a_fall_back_within_eight_readings(low: int, kind: int) -> None:
    counts = [1_000_000, 1_010_000, *range(low), 1_020_000, 1_030_000]
    assert kinds(minutely(*counts), NO_WRAP) == {1: RESET, 1 + low: kind}


def test_a_leap_to_where_the_register_had_not_been_takes_no_fall_back() -> None:
    assert kinds(minutely(1_000_000, 1_010_000, 0, 1, 500_000, 510_000), NO_WRAP) == {1: RESET, 3: REFUTED}
