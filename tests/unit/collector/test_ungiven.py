"""A meter is read by whom the registry says, when it says: everything else is kept, listed, and waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from collector.app import opened
from collector.rebuild import rebuild_all
from pue.contract.series import SeriesKey
from pue.contract.topology import Meter
from pue.contract.wire import ManualReading
from tests.support.collectors import Bench, bench
from tests.support.plants import START_MS, FakeAgent, meter, topology_of, write_topology

KEY = SeriesKey("km01", "main-a", "energy_import")
ALWAYS = (0, 1 << 62)
CHANGE_MS = START_MS + 3_600_000


@pytest.fixture
def agents() -> list[FakeAgent]:
    made = [FakeAgent("km01-a1"), FakeAgent("km01-a2", meters=())]
    made[0].configure_in_parts()
    made[1].configure_in_parts(FakeAgent("km01-a2").parts())
    return made


@pytest.fixture
def desk(tmp_path: Path, agents: list[FakeAgent]) -> Iterator[Bench]:
    with bench(tmp_path, agents) as made:
        yield made


def given(*spans: tuple[str | None, int, int | None]) -> Meter:
    """The meter with a version per agent and time."""
    plain = meter("km01", "main-a")
    (version,) = plain.versions
    versions = [msgspec.structs.replace(version, agent=who, from_ms=low, to_ms=high) for who, low, high in spans]
    return msgspec.structs.replace(plain, versions=versions)


def state(desk: Bench, agents: list[FakeAgent], version: int, *meters: Meter) -> None:
    write_topology(desk.folder / "topology.signed", topology_of(agents, version, meters=list(meters)))
    desk.take([])


def stored(desk: Bench) -> dict[int, int]:
    found = desk.reader.readings(KEY, *ALWAYS)
    return dict(zip(found.t1_ms.tolist(), found.count.tolist(), strict=True))


def waiting(desk: Bench) -> list[str]:
    return [one.subject for one in desk.reader.incidents("km01") if one.kind == "ungiven_meter"]


def test_an_agent_cannot_write_a_meter_that_is_another_agents(desk: Bench, agents: list[FakeAgent]) -> None:
    own, other = agents
    state(desk, agents, 2, given(("km01-a1", 0, None)))
    desk.take([*other.batches, other.read([START_MS], [666])])
    desk.take([*own.batches, own.read([START_MS], [1])])
    assert stored(desk) == {START_MS: 1}
    assert waiting(desk) == ["km01-a2/main-a"]


def test_a_meter_handed_from_agent_to_agent_is_each_ones_in_its_time(desk: Bench, agents: list[FakeAgent]) -> None:
    own, other = agents
    state(desk, agents, 2, given(("km01-a1", 0, CHANGE_MS), ("km01-a2", CHANGE_MS, None)))
    times = [CHANGE_MS - 1, CHANGE_MS]
    desk.take([*own.batches, own.read(times, [1, 2]), *other.batches, other.read(times, [11, 12])])
    assert stored(desk) == {CHANGE_MS - 1: 1, CHANGE_MS: 12}
    assert waiting(desk) == ["km01-a1/main-a", "km01-a2/main-a"]


def test_what_waits_is_used_when_the_registry_says_so_and_as_if_it_had_said_so_before(
    desk: Bench, agents: list[FakeAgent]
) -> None:
    own, other = agents
    state(desk, agents, 2)
    desk.take([*own.batches, own.read([START_MS, START_MS + 9], [1, 2])])
    desk.take([*other.batches, other.read([START_MS, START_MS + 1], [11, 12])])
    note = ManualReading(at_ms=START_MS + 5, meter="main-a", quantity="energy_import", count=7, by="x")
    desk.take([own.event(note)])
    assert stored(desk) == {}
    assert waiting(desk) == ["km01-a1/main-a", "km01-a2/main-a"]
    state(desk, agents, 3, given(("km01-a2", 0, None)))
    assert stored(desk) == {START_MS: 11, START_MS + 1: 12}
    state(desk, agents, 4, given((None, 0, None)))
    everything = {START_MS: 1, START_MS + 1: 12, START_MS + 5: 7, START_MS + 9: 2}
    assert stored(desk) == everything, "of two values the one kept first, not the one used first"
    with opened(desk.settings) as parts:
        rebuild_all(parts)
    assert stored(desk) == everything


def test_what_waits_is_looked_at_again_after_a_restart_in_any_number(desk: Bench, agents: list[FakeAgent]) -> None:
    own, _ = agents
    state(desk, agents, 2)
    desk.take([*own.batches, *(own.read([START_MS + number * 1000], [number]) for number in range(40))])
    state(desk, agents, 3, given(("km01-a1", START_MS + 10_000, None)))
    assert stored(desk) == {START_MS + number * 1000: number for number in range(10, 40)}
    state(desk, agents, 4, given(("km01-a1", 0, None)))
    assert stored(desk) == {START_MS + number * 1000: number for number in range(40)}
