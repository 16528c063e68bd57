from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from compliance.answers import Answers
from compliance.app import Service
from compliance.evaluate import CLEARED, FINDING, RAISED
from compliance.log import Conflict, Draft, Event
from compliance.measure import Measured
from compliance.queries import LOOPBACK, Finding
from compliance.registry import Registered, import_registry
from compliance.registry_file import read_registry
from tests.unit.compliance.made import (
    DAY_MS,
    DAY_SLOTS,
    IT_J,
    KEY,
    START_MS,
    MadeReader,
    at,
    facility_toml,
    made_reader,
    made_service,
    registry_toml,
)

NAMES = ("km01", "qj01")
PINS = ("registry_seq", "positions", "topology_version", "package_version")
NEW_BUILD = "finding:km01/yunnan-2022-draft/new_build_pue_max"
RETROFIT = "finding:km01/yunnan-2022-draft/retrofit_pue_over"
"""START_MS is 10 October 2025: the first whole legal year is November 2025 to October 2026."""
FIRST_WHOLE_YEAR_MS = at("2026-11-01T00:00")


@pytest.fixture
def services() -> Iterator[list[Service]]:
    opened: list[Service] = []
    yield opened
    for service in opened:
        service.close()


def evaluated(
    services: list[Service], folder: Path, reader: MadeReader, text: str = "", steps_ms: tuple[int, ...] = ()
) -> Service:
    """A service that has evaluated a reader, in one pass or in steps."""
    folder.mkdir(exist_ok=True)
    service = made_service(folder, reader)
    services.append(service)
    load(service, text or registry_toml())
    for until_ms in steps_ms or (reader.until_ms,):
        reader.advance(until_ms)
        service.evaluate()
    return service


def load(service: Service, text: str) -> None:
    import_registry(service.log, service.projection, read_registry(text, "registry.toml"), "test")


def of(service: Service, *kinds: str, entity: str = "") -> list[Event]:
    return [event for event in service.log.read() if event.kind in kinds and entity in event.entity]


def in_force(service: Service, rule: str = "new_build_pue_max") -> Finding:
    answers = Answers(service.sources, LOOPBACK)
    return next(one for one in answers.findings("km01") if one.rule == rule)


@pytest.mark.parametrize(
    ("pue", "build", "new_build", "retrofit"),
    [
        (1.25, "new", "compliant", "compliant"),
        (1.3, "new", "indeterminate", "compliant"),
        (1.36, "new", "non_compliant", "compliant"),
        (1.36, "existing", "not_applicable", "compliant"),
        (1.58, "existing", "not_applicable", "non_compliant"),
        (1.5, "existing", "not_applicable", "indeterminate"),
    ],
)
def test_a_year_of_known_pue_gives_the_finding_its_arithmetic_calls_for(
    services: list[Service], tmp_path: Path, pue: float, build: str, new_build: str, retrofit: str
) -> None:
    text = registry_toml(facility_toml(build=build))
    service = evaluated(services, tmp_path, made_reader(lambda _day: pue, 400), text)
    assert in_force(service).outcome == new_build
    finding = in_force(service, "retrofit_pue_over")
    assert finding.outcome == retrofit
    assert finding.pue is not None
    assert Fraction(finding.pue) == Fraction(round(pue * 100), 100)
    assert finding.coverage == "1.000000"
    assert (finding.from_ms, finding.to_ms) == (at("2025-11-01T00:00"), FIRST_WHOLE_YEAR_MS)
    assert finding.it_j == 365 * DAY_SLOTS * IT_J
    assert not finding.binding, "the draft binds nobody"


def test_pue_of_a_year_is_the_ratio_of_its_sums(services: list[Service], tmp_path: Path) -> None:
    service = evaluated(services, tmp_path, made_reader(lambda day: 1.25 if day < 300 else 1.35, 400))
    days_before = 300 - (at("2025-11-01T00:00") - START_MS) // DAY_MS
    expected = (Fraction(5, 4) * days_before + Fraction(27, 20) * (365 - days_before)) / 365
    finding = in_force(service)
    assert finding.pue is not None
    assert abs(Fraction(finding.pue) - expected) < Fraction(1, 1_000_000)


def test_every_closed_period_has_one_finding_per_rule_and_since_spans_equal_outcomes(
    services: list[Service], tmp_path: Path
) -> None:
    service = evaluated(services, tmp_path, made_reader(lambda _day: 1.25, 400))
    events = of(service, FINDING, entity="new_build_pue_max")
    months = [at(f"2025-{month}-01T00:00") for month in (11, 12)]
    months += [at(f"2026-{month:02}-01T00:00") for month in range(1, 12)]
    assert [event.body["as_of_ms"] for event in events] == months
    assert [event.body["outcome"] for event in events] == ["insufficient_data"] * 12 + ["compliant"]
    assert {event.body["since"] for event in events[:12]} == {"2025-11-01"}
    assert events[-1].body["since"] == "2026-11-01"


def test_before_a_whole_year_is_metered_nothing_is_decided(services: list[Service], tmp_path: Path) -> None:
    service = evaluated(services, tmp_path, made_reader(lambda _day: 1.9, 300))
    finding = in_force(service)
    assert finding.outcome == "insufficient_data"
    assert "window_incomplete" in finding.reasons


def test_history_at_once_and_history_as_it_comes_give_the_same_events(services: list[Service], tmp_path: Path) -> None:
    def reader() -> MadeReader:
        made = made_reader(lambda day: 1.25 if day < 200 else 1.38 if day < 260 else 1.2, 400)
        gap = np.zeros(400 * DAY_SLOTS, np.int64)
        gap[300 * DAY_SLOTS : 304 * DAY_SLOTS + 7] = 1
        made.put("km01", "it", np.full(400 * DAY_SLOTS, IT_J, np.int64), gap)
        return made

    at_once = evaluated(services, tmp_path / "at-once", reader())
    hours = [*range(1, 200 * 24, 401), *range(200 * 24, 240 * 24, 37), *range(240 * 24, 400 * 24, 173)]
    passes = tuple(START_MS + hour * 3_600_000 for hour in hours)
    live = evaluated(services, tmp_path / "live", reader(), steps_ms=(*passes, reader().until_ms))

    def content(service: Service) -> list[tuple[str, str, dict[str, object]]]:
        events = of(service, FINDING, RAISED, CLEARED)
        rows = [(one.kind, one.entity, {k: v for k, v in one.body.items() if k not in PINS}) for one in events]
        return sorted(rows, key=lambda row: (row[1], row[2].get("as_of_ms") or row[2]["at_ms"], row[0]))

    assert content(live) == content(at_once)
    assert {one.kind for one in of(live, RAISED, CLEARED)} == {RAISED, CLEARED}


def test_a_second_pass_over_the_same_data_writes_nothing(services: list[Service], tmp_path: Path) -> None:
    service = evaluated(services, tmp_path, made_reader(lambda _day: 1.36, 400))
    head = service.log.head()
    assert service.evaluate() == []
    restarted = made_service(tmp_path, made_reader(lambda _day: 1.36, 400))
    services.append(restarted)
    assert restarted.evaluate() == []
    assert restarted.log.head() == head


def test_a_period_is_judged_only_when_the_slot_behind_its_end_is_closed(
    services: list[Service], tmp_path: Path
) -> None:
    reader = made_reader(lambda _day: 1.25, 400)
    service = evaluated(services, tmp_path, reader, steps_ms=(FIRST_WHOLE_YEAR_MS,))
    assert in_force(service).outcome == "insufficient_data"
    reader.advance(FIRST_WHOLE_YEAR_MS + 900_000)
    service.evaluate()
    assert in_force(service).outcome == "compliant"


def test_late_data_that_change_an_outcome_give_a_second_finding_for_the_same_period(
    services: list[Service], tmp_path: Path
) -> None:
    reader = made_reader(lambda _day: 1.25, 400)
    service = evaluated(services, tmp_path, reader)
    before = Answers(service.sources, LOOPBACK)
    reader.put("km01", "main", np.full(400 * DAY_SLOTS, IT_J * 7 // 5, np.int64))
    service.evaluate()
    finding = in_force(service)
    assert (finding.outcome, finding.as_of_ms) == ("non_compliant", FIRST_WHOLE_YEAR_MS)
    old = next(one for one in before.findings("km01") if one.rule == "new_build_pue_max")
    assert (old.outcome, old.as_of_ms) == ("compliant", FIRST_WHOLE_YEAR_MS)
    assert old.evidence_hash != finding.evidence_hash


def test_a_correction_in_between_moves_the_day_since_which_the_outcome_holds(
    services: list[Service], tmp_path: Path
) -> None:
    service = evaluated(services, tmp_path, made_reader(lambda _day: 1.36, 520))
    assert in_force(service).since == date(2026, 11, 1)
    known = Answers(service.sources, LOOPBACK)
    written = {event.body["as_of_ms"]: event for event in of(service, FINDING, entity="new_build_pue_max")}
    corrected = written[at("2027-02-01T00:00")]
    for outcome, since in (("insufficient_data", date(2026, 11, 1)), ("indeterminate", date(2027, 3, 1))):
        body = {**corrected.body, "outcome": outcome, "reasons": []}
        service.log.append([Draft(FINDING, corrected.entity, body)])
        finding = in_force(service)
        assert (finding.outcome, finding.as_of_ms) == ("non_compliant", at("2027-03-01T00:00"))
        assert finding.since == since
    before = next(one for one in known.findings("km01") if one.rule == "new_build_pue_max")
    assert before.since == date(2026, 11, 1), "as it was known then"


def test_an_outcome_that_changes_there_and_back_is_in_force_as_it_was_last_written(
    services: list[Service], tmp_path: Path
) -> None:
    reader = made_reader(lambda _day: 1.25, 400)
    service = evaluated(services, tmp_path, reader)
    for tenths in (14, 12):
        reader.put("km01", "main", np.full(400 * DAY_SLOTS, IT_J * tenths // 10, np.int64))
        service.evaluate()
    outcomes = [event.body["outcome"] for event in of(service, FINDING, entity="new_build_pue_max")]
    assert outcomes[-3:] == ["compliant", "non_compliant", "compliant"]
    assert in_force(service).outcome == "compliant"


def test_late_data_that_change_no_outcome_write_nothing(services: list[Service], tmp_path: Path) -> None:
    reader = made_reader(lambda _day: 1.25, 400)
    service = evaluated(services, tmp_path, reader)
    reader.put("km01", "main", np.full(400 * DAY_SLOTS, IT_J * 6 // 5, np.int64))
    assert service.evaluate() == []


def test_a_corrected_registry_gives_new_findings_for_the_periods_it_holds_for(
    services: list[Service], tmp_path: Path
) -> None:
    service = evaluated(services, tmp_path, made_reader(lambda _day: 1.36, 400))
    assert in_force(service).outcome == "non_compliant"
    load(service, registry_toml().replace("standard_racks = 4000", "standard_racks = 100"))
    service.evaluate()
    assert in_force(service).outcome == "not_applicable"


def test_rules_on_facts_are_judged_on_the_day_their_outcome_changes(services: list[Service], tmp_path: Path) -> None:
    certificate = 'green_grade = "4A"\ngreen_grade_certificate = "C-1"\ngreen_grade_valid_to = 2026-02-01\nhub_cluster'
    text = registry_toml().replace("hub_cluster", certificate)
    service = evaluated(services, tmp_path, made_reader(lambda _day: 1.25, 400), text)
    events = of(service, FINDING, entity="green_grade_min")
    outcomes = [(event.body["outcome"], event.body["since"]) for event in events]
    assert outcomes == [("compliant", "2025-10-11"), ("insufficient_data", "2026-02-01")]
    assert "certificate_expired" in events[-1].body["reasons"]


@pytest.mark.parametrize(("pue", "outcome"), [(1.1, "indeterminate"), (1.3, "indeterminate"), (1.58, "non_compliant")])
def test_with_classes_nobody_registered_nobody_complies_and_no_clear_breach_is_hidden(
    services: list[Service], tmp_path: Path, pue: float, outcome: str
) -> None:
    text = registry_toml().replace('meter_class = "0.2S"\nct_class = "0.2S"\n', "")
    finding = in_force(evaluated(services, tmp_path, made_reader(lambda _day: pue, 400), text))
    assert finding.outcome == outcome
    assert {"accuracy_class_unknown:main", "accuracy_class_unknown:it"} <= set(finding.reasons)
    assert ("uncertainty_unknown" in finding.reasons) is (outcome == "indeterminate")
    assert finding.u_pue is not None
    assert abs(float(finding.u_pue) - pue * 0.03 * (2 / 3) ** 0.5) < 1e-6, "class 3 on both sides"


def test_certificates_are_a_reason_from_the_registry_to_the_finding(services: list[Service], tmp_path: Path) -> None:
    """The boundary's certificate ends in the period, IT's holds on, and another facility has none on file."""

    def certified(part: str, last_day: str) -> str:
        return part.replace("meter_class", f"certificate_to = {last_day}\nmeter_class")

    reader = made_reader(lambda _day: 1.25, 400)
    reader.series |= made_reader(lambda _day: 1.25, 400, "qj01").series
    main, it = facility_toml().split('[[facility.meter]]\nid = "it"')
    first = certified(main, "2026-03-31") + '[[facility.meter]]\nid = "it"' + certified(it, "9999-12-31")
    text = registry_toml(first, facility_toml("qj01", region="530300"))
    answers = Answers(evaluated(services, tmp_path, reader, text).sources, LOOPBACK)
    found = {name: next(one for one in answers.findings(name) if one.rule == "new_build_pue_max") for name in NAMES}
    assert {finding.outcome for finding in found.values()} == {"compliant"}
    about = {name: {code for code in one.reasons if "calibration" in code} for name, one in found.items()}
    assert about == {
        "km01": {"calibration_expired:main"},
        "qj01": {"calibration_unknown:main", "calibration_unknown:it"},
    }


def test_favours_nobody_looked_for_are_unknown_until_somebody_does(services: list[Service], tmp_path: Path) -> None:
    """The first release wrote an empty list into every facility's event."""
    service = evaluated(services, tmp_path, made_reader(lambda _day: 1.25, 40))
    unknown = in_force(service, "no_preferential_policy")
    assert (unknown.outcome, unknown.reasons[0]) == ("insufficient_data", "incentives_unknown")
    load(service, registry_toml().replace("hub_cluster", "incentives_surveyed = true\nhub_cluster"))
    service.evaluate()
    assert in_force(service, "no_preferential_policy").outcome == "compliant"


def test_a_facility_that_becomes_another_class_inside_the_period_is_judged_as_it_ends_and_says_so(
    services: list[Service], tmp_path: Path
) -> None:
    reader = made_reader(lambda _day: 1.36, 460)
    service = evaluated(services, tmp_path, reader, registry_toml(facility_toml(build="existing")))
    assert in_force(service).outcome == "not_applicable"
    later = registry_toml(facility_toml(build="new")).replace("hub_cluster", "valid_from = 2026-11-20\nhub_cluster")
    load(service, later)
    service.evaluate()
    outcomes = {
        event.body["as_of_ms"]: (event.body["outcome"], "reclassified_in_period" in event.body["reasons"])
        for event in of(service, FINDING, entity="new_build_pue_max")
    }
    first, second = sorted(outcomes)[0], at("2026-12-01T00:00")
    assert (outcomes[first], outcomes[second]) == (("not_applicable", False), ("non_compliant", True))
    retrofit = of(service, FINDING, entity="retrofit_pue_over")[-1]
    assert "reclassified_in_period" not in retrofit.body["reasons"], "it is about existing and new ones alike"


def test_the_headline_is_the_strictest_rule_about_the_facility(services: list[Service], tmp_path: Path) -> None:
    for build, rule in (("new", "new_build_pue_max"), ("existing", "retrofit_pue_over")):
        service = evaluated(
            services, tmp_path / build, made_reader(lambda _day: 1.25, 400), registry_toml(facility_toml(build=build))
        )
        findings = Answers(service.sources, LOOPBACK).findings("km01")
        assert (findings[0].rule, findings[0].headline) == (rule, True)
        assert sum(one.headline for one in findings) == 1


def test_a_finding_pins_what_it_rests_on(services: list[Service], tmp_path: Path) -> None:
    reader = made_reader(lambda _day: 1.25, 400)
    finding = in_force(evaluated(services, tmp_path, reader))
    assert finding.positions == reader.positions()
    assert finding.topology_version == 1
    assert finding.since == date(2026, 11, 1)
    assert len(finding.evidence_hash) == 64


def test_the_evidence_hash_moves_with_every_input(services: list[Service], tmp_path: Path) -> None:
    def evidence(name: str, text: str = "", later_j: int = 0) -> str:
        reader = made_reader(lambda _day: 1.25, 400)
        main = np.full(400 * DAY_SLOTS, IT_J * 5 // 4, np.int64)
        main[200 * DAY_SLOTS] -= later_j
        main[200 * DAY_SLOTS + 1] += later_j
        reader.put("km01", "main", main)
        return in_force(evaluated(services, tmp_path / name, reader, text)).evidence_hash

    same = evidence("a")
    assert evidence("b") == same
    assert evidence("energy", later_j=3_600) != same, "the same sum in other slots"
    assert evidence("class", registry_toml().replace('ct_class = "0.2S"', 'ct_class = "0.5"')) != same
    assert evidence("facts", registry_toml().replace("standard_racks = 4000", "standard_racks = 4001")) != same


def test_a_facility_without_data_has_no_finding_and_does_not_stop_the_others(
    services: list[Service], tmp_path: Path
) -> None:
    text = registry_toml(facility_toml("aa01"), facility_toml("km01"))
    service = evaluated(services, tmp_path, made_reader(lambda _day: 1.25, 400), text)
    assert Answers(service.sources, LOOPBACK).findings("aa01") == ()
    assert in_force(service).outcome == "compliant"


def test_a_facility_that_cannot_be_computed_is_named_and_does_not_stop_the_others(
    services: list[Service], tmp_path: Path
) -> None:
    reader = made_reader(lambda _day: 1.25, 400)
    reader.series |= made_reader(lambda _day: 1.25, 400, "aa01").series
    reader.put("aa01", "main", np.full(400 * DAY_SLOTS, 1 << 60, np.int64))
    text = registry_toml(facility_toml("aa01"), facility_toml("km01"))
    service = evaluated(services, tmp_path, reader, text)
    assert Answers(service.sources, LOOPBACK).findings("aa01") == ()
    assert in_force(service).outcome == "compliant"
    assert [text.partition(":")[0] for text in service.missing()] == ["facility 'aa01' cannot be computed"]


def test_of_two_evaluations_at_once_one_writes_and_the_other_tries_again(
    services: list[Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = made_service(tmp_path, made_reader(lambda _day: 1.36, 400))
    fast = made_service(tmp_path, made_reader(lambda _day: 1.36, 400))
    services += [slow, fast]
    load(slow, registry_toml())
    measured = slow.measure.of

    def overtaken(facility: Registered) -> Measured | None:
        fast.evaluate()
        return measured(facility)

    with monkeypatch.context() as patch:
        patch.setattr(slow.measure, "of", overtaken)
        with pytest.raises(Conflict):
            slow.evaluate()
    assert slow.evaluate() == []
    assert len(of(slow, FINDING, entity="new_build_pue_max")) == 13


def test_the_signing_key_of_the_made_service_is_the_test_key(services: list[Service], tmp_path: Path) -> None:
    service = evaluated(services, tmp_path, made_reader(lambda _day: 1.25, 2))
    current = service.office.current()
    assert current is not None
    KEY.verifier.check(current[1].line, current[1].signature)
