"""What a registered facility's meters and facts become in the core."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from compliance.registry import Registered
from compliance.registry_file import FacilityFacts, read_registry
from compliance.terms import HeldFacts, facility_terms
from pue.energy.grid import Term
from pue.energy.uncertainty import relative_uncertainty
from tests.unit.compliance.made import METER, at, registry_toml

CLASSES = 'meter_class = "0.2S"\nct_class = "0.2S"'


def terms(lines: str) -> tuple[Term, ...]:
    """Terms of the made facility, whose meters say `lines` in place of their classes."""
    file = read_registry(registry_toml().replace(CLASSES, lines), "registry.toml")
    facility = file.facility[0]
    return facility_terms(Registered(facility.facts, file.enterprise[0], facility.meter, facility.agent, 1, 0))


def test_a_registered_class_is_the_meters_and_its_transformers() -> None:
    main = terms(CLASSES)[0]
    assert (main.u_rel, main.limit_rel) == (relative_uncertainty("0.2S", "0.2S"), Fraction(4, 1000))
    assert main.is_class_known


def test_a_class_nobody_registered_is_the_widest_and_says_so() -> None:
    bare = terms('ct = "400/5"')[0]
    assert (bare.u_rel, bare.limit_rel, bare.is_class_known) == (
        relative_uncertainty("3", "3"),
        Fraction(6, 100),
        False,
    )
    direct = terms("")[0]
    assert (direct.u_rel, direct.limit_rel, direct.is_class_known) == (
        relative_uncertainty("3"),
        Fraction(3, 100),
        False,
    )


def test_meters_of_one_make_and_class_are_one_model_until_certificates_show_their_source() -> None:
    main, it = terms(CLASSES)
    assert main.model == it.model == "schneider-pm5xxx/0.2S/0.2S/"
    assert (main.group, it.group) == ("", "")
    grouped = terms(f'{CLASSES}\ncalibration_group = "bench-7"')[0]
    assert (grouped.group, grouped.model) == ("bench-7", "")


@pytest.mark.parametrize(
    ("lines", "is_known", "ends_ms"),
    [
        ("", False, None),
        ("certificate_to = 2026-06-30", True, at("2026-07-01T00:00")),
        ("certificate_to = 9999-12-31", True, None),
    ],
)
def test_a_certificate_holds_to_the_end_of_its_last_day_in_the_facilitys_zone(
    lines: str, is_known: bool, ends_ms: int | None
) -> None:
    main = terms(f"{CLASSES}\n{lines}")[0]
    assert (main.is_calibration_known, main.calibrated_to_ms) == (is_known, ends_ms)


def later(moment: str, max_power_w: int) -> str:
    """One more version of the main meter."""
    first = METER[METER.index("[[facility.meter.version]]") :].format(id="main")
    return first.replace("2025-01-01T00:00:00", moment).replace("8000000", str(max_power_w))


def powers(*versions: tuple[str, int]) -> list[tuple[int, int | None, int]]:
    """From, to and maximum power of the main meter's terms, with some versions after its first one of 8 MW."""
    main = METER.format(id="main", a="1", b="0")
    text = registry_toml().replace(main, main + "".join(later(*version) for version in versions))
    file = read_registry(text, "registry.toml")
    facility = file.facility[0]
    return [
        (term.from_ms, term.to_ms, term.max_power_w)
        for term in facility_terms(Registered(facility.facts, file.enterprise[0], facility.meter, facility.agent, 1, 0))
        if term.key.meter == "main"
    ]


FIRST = at("2025-01-01T00:00")


def test_the_slot_in_which_the_maximum_power_grows_is_a_term_of_its_own() -> None:
    # A slot belongs to the version at its start: nobody has to have read it for 9 MW to flow from 10:05 on.
    grown, quarter = at("2026-03-01T10:05"), at("2026-03-01T10:00")
    assert powers(("2026-03-01T10:05:00", 9_000_000)) == [
        (FIRST, quarter, 8_000_000),
        (quarter, grown, 9_000_000),
        (grown, None, 9_000_000),
    ]


def test_a_power_that_falls_or_changes_between_slots_leaves_the_versions_as_they_are() -> None:
    fallen, quarter = at("2026-03-01T10:05"), at("2026-03-01T10:15")
    assert powers(("2026-03-01T10:05:00", 7_000_000)) == [(FIRST, fallen, 8_000_000), (fallen, None, 7_000_000)]
    assert powers(("2026-03-01T10:15:00", 9_000_000)) == [(FIRST, quarter, 8_000_000), (quarter, None, 9_000_000)]


def test_the_largest_of_all_versions_that_begin_in_a_slot_holds_in_it() -> None:
    first, second, quarter = at("2026-03-01T10:02"), at("2026-03-01T10:09"), at("2026-03-01T10:00")
    assert powers(("2026-03-01T10:02:00", 7_000_000), ("2026-03-01T10:09:00", 9_000_000)) == [
        (FIRST, quarter, 8_000_000),
        (quarter, first, 9_000_000),
        (first, second, 9_000_000),  # no slot starts in it
        (second, None, 9_000_000),
    ]


def facts(**changes: object) -> FacilityFacts:
    """The made facility's facts with some others."""
    facility = read_registry(registry_toml(), "registry.toml").facility[0]
    return facility.facts.model_copy(update=changes)


JANUARY, MAY, JULY = (at(f"2026-{month}-01T00:00") for month in ("01", "05", "07"))
HELD = HeldFacts([(JANUARY, facts(build="existing")), (MAY, facts(build="new"))], metered_from_ms=JANUARY)


def test_facts_hold_from_their_moment_and_the_first_before_it_too() -> None:
    assert [HELD.at(at_ms).build for at_ms in (0, JANUARY, MAY - 1, MAY, JULY)] == [
        "existing",
        "existing",
        "existing",
        "new",
        "new",
    ]
    assert (HELD.at(MAY).on, HELD.at(MAY).operating_from_ms) == (date(2026, 5, 1), JANUARY)


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "builds"),
    [
        (JANUARY, JULY, ["existing", "new"]),
        (JANUARY, MAY, ["existing"]),
        (MAY, JULY, ["new"]),
        (MAY - 1, MAY + 1, ["existing", "new"]),
    ],
)
def test_facts_within_a_period_are_those_that_held_at_some_time_in_it(
    from_ms: int, to_ms: int, builds: list[str]
) -> None:
    assert [held.build for held in HELD.within(from_ms, to_ms)] == builds


def test_old_events_without_a_word_of_a_survey_are_unknown() -> None:
    written = facts().model_dump(mode="json")
    del written["incentives_surveyed"]
    assert written["incentives"] == []
    assert HeldFacts([(0, FacilityFacts.model_validate(written))]).at(MAY).incentives is None
    assert HeldFacts([(0, facts(incentives_surveyed=True))]).at(MAY).incentives == ()
    assert HeldFacts([(0, facts(incentives=("土地",)))]).at(MAY).incentives == ("土地",)
