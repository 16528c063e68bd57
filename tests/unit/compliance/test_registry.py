from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compliance.log import Conflict, EventLog
from compliance.projection import Projection
from compliance.registry import Change, Registry, approve_config, import_registry, plan
from compliance.registry_file import read_registry
from pue.contract.errors import Fatal
from tests.unit.compliance.made import USCC, at, facility_toml, registry_toml


class Office:
    """A log with the registry over it."""

    def __init__(self, log: EventLog) -> None:
        self.log, self.projection = log, Projection(log)
        self.registry = Registry(self.projection)

    def load(self, text: str) -> list[Change]:
        return import_registry(self.log, self.projection, read_registry(text, "registry.toml"), "test")

    @property
    def seq(self) -> int:
        return self.projection.refresh()


@pytest.fixture
def clock() -> list[int]:
    return [1_000]


@pytest.fixture
def office(tmp_path: Path, clock: list[int]) -> Iterator[Office]:
    log = EventLog(f"sqlite:///{tmp_path}/registry.sqlite", lambda: clock[0])
    yield Office(log)
    log.close()


def test_a_first_import_records_each_thing_as_its_own_event(office: Office) -> None:
    office.load(registry_toml())
    assert [(event.kind, event.entity) for event in office.log.read()] == [
        ("enterprise_recorded", f"enterprise:{USCC}"),
        ("facility_recorded", "facility:km01"),
        ("meter_recorded", "meter:km01/main"),
        ("meter_recorded", "meter:km01/it"),
        ("agent_recorded", "agent:km01/km01-a1"),
    ]


def test_unchanged_content_writes_nothing(office: Office) -> None:
    office.load(registry_toml())
    seq = office.seq
    assert office.load(registry_toml()) == []
    reworded = registry_toml().replace("2025-01-01T00:00:00+08:00", "2024-12-31T16:00:00Z").replace('"1"', '"2/2"')
    assert office.load(reworded) == []
    assert office.seq == seq


def test_a_change_is_one_event_naming_the_fields(office: Office) -> None:
    office.load(registry_toml())
    changes = office.load(registry_toml().replace("standard_racks = 4000", "standard_racks = 2900"))
    assert [str(change) for change in changes] == ["facility_recorded facility:km01: standard_racks 4000 -> 2900"]
    facility = office.registry.facility("km01", office.seq)
    assert facility is not None
    assert (facility.facts.standard_racks, facility.seq) == (2900, office.seq)


def test_facts_hold_from_their_day_on_and_what_was_recorded_last_counts(office: Office) -> None:
    """Small, large from May on; then corrected: medium from March on, whatever was said of May."""

    def load(racks: int, day: str) -> None:
        text = registry_toml().replace("standard_racks = 4000", f"standard_racks = {racks}")
        office.load(text.replace("hub_cluster", f"valid_from = {day}\nhub_cluster") if day else text)

    def steps() -> list[tuple[int, int]]:
        held = office.registry.facts_over_time("km01", office.seq)
        return [(start_ms, facts.standard_racks) for start_ms, facts in held]

    january, march, may = (at(f"2026-{month}-01T00:00") for month in ("01", "03", "05"))
    load(100, "2026-01-01")
    load(5_000, "2026-05-01")
    assert steps() == [(january, 100), (may, 5_000)]
    load(2_000, "2026-03-01")
    assert steps() == [(january, 100), (march, 2_000)]
    load(900, "")
    assert steps() == [(0, 900)]
    for at_ms in (january, march, may):
        held = office.registry.facility("km01", office.seq, at_ms)
        assert held is not None
        assert held.facts.standard_racks == 900


def test_a_plan_shows_the_changes_and_writes_nothing(office: Office) -> None:
    changes = plan(office.registry, read_registry(registry_toml(), "registry.toml"), office.seq)
    assert len(changes) == 5
    assert office.seq == 0


def test_a_meter_left_out_is_withdrawn_and_comes_back(office: Office) -> None:
    office.load(registry_toml())
    text = registry_toml()
    without = text[: text.index('\n[[facility.meter]]\nid = "it"')] + text[text.index("\n[[facility.agent]]") :]
    assert [str(change) for change in office.load(without)] == ["meter_withdrawn meter:km01/it"]
    assert office.load(without) == []
    facility = office.registry.facility("km01", office.seq)
    assert facility is not None
    assert [meter.id for meter in facility.meters] == ["main"]
    assert [change.draft.kind for change in office.load(text)] == ["meter_recorded"]


def test_a_file_with_another_facility_withdraws_nothing(office: Office) -> None:
    office.load(registry_toml())
    office.load(registry_toml(facility_toml("qj01", region="530300")))
    assert office.registry.facility_ids(office.seq) == ["km01", "qj01"]


def test_a_facility_of_an_unknown_enterprise_is_refused_and_nothing_is_written(office: Office) -> None:
    with pytest.raises(Fatal, match=r"facility 'km01': enterprise \w+ is not registered; add an \[\[enterprise\]\]"):
        office.load(facility_toml())
    assert office.seq == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [('site = "km01"', "site 'km01' belongs to facility 'km01'"), ("", "agent 'km01-a1' belongs to facility 'km01'")],
)
def test_site_and_agent_belong_to_one_facility_across_files(office: Office, name: str, message: str) -> None:
    office.load(registry_toml())
    other = facility_toml("km02").replace('id = "km02"', f'id = "km02"\n{name}', 1).replace("km02-a1", "km01-a1")
    with pytest.raises(Fatal, match=message):
        office.load(registry_toml(other))


def test_the_etag_moves_with_the_meters_and_the_enterprise(office: Office) -> None:
    office.load(registry_toml())
    office.load(registry_toml().replace('name_en = "Yunhan"', 'name_en = "Yun Han"'))
    facility = office.registry.facility("km01", office.seq)
    assert facility is not None
    assert facility.seq == office.seq
    assert facility.enterprise.name_en == "Yun Han"


def test_the_past_is_read_as_it_was_known(office: Office, clock: list[int]) -> None:
    office.load(registry_toml())
    clock[0] = 2_000
    office.load(registry_toml().replace("standard_racks = 4000", "standard_racks = 2900"))
    office.projection.refresh()
    racks = {}
    for known_ms in (999, 1_000, 1_999, 2_000):
        facility = office.registry.facility("km01", office.projection.seq_known_at(known_ms))
        racks[known_ms] = facility.facts.standard_racks if facility else None
    assert racks == {999: None, 1_000: 4000, 1_999: 4000, 2_000: 2900}


def test_facts_valid_from_a_day_leave_the_days_before_as_they_were(office: Office) -> None:
    office.load(registry_toml())
    later = registry_toml().replace("standard_racks = 4000", "standard_racks = 12000\nvalid_from = 2026-03-01")
    office.load(later)
    racks = []
    for day in ("2026-02-28T23:59", "2026-03-01T00:00"):
        facility = office.registry.facility("km01", office.seq, at(day))
        assert facility is not None
        racks.append(facility.facts.standard_racks)
    assert racks == [4000, 12000]


def test_configurations_are_approved_once_by_command_or_with_their_agent(office: Office) -> None:
    listed, approved = "a" * 64, "b" * 64
    office.load(registry_toml().replace('shard = "s0"', f'shard = "s0"\nconfigs = ["{listed}"]'))
    assert approve_config(office.log, office.projection, approved, "operator")
    assert not approve_config(office.log, office.projection, approved, "operator")
    assert office.registry.approved_configs(office.seq) == [listed, approved]


def test_two_imports_at_once_do_not_overwrite_each_other(office: Office, tmp_path: Path) -> None:
    office.load(registry_toml())
    stale = plan(office.registry, read_registry(registry_toml().replace("4000", "3500"), "x"), office.seq)
    office.load(registry_toml().replace("4000", "3600"))
    with pytest.raises(Conflict):
        office.log.append([change.draft for change in stale], {"facility:km01": 2})
