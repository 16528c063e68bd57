"""Configurations in parts: readings are held until all of theirs is here, whatever the order, and read by it alone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from collector.app import Parts, opened
from collector.intake import Arrival
from collector.rebuild import rebuild_all
from pue.contract import wire
from pue.contract.configuration import ConfigInParts
from pue.contract.series import SeriesKey
from pue.contract.wire import SignedLine
from tests.support.collectors import Bench, bench
from tests.support.plants import START_MS, FakeAgent

KEYS = [SeriesKey("km01", meter, "energy_import") for meter in ("main-a", "main-b")]
ALWAYS = (0, 1 << 62)


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent(meters=("main-a", "main-b"))


@pytest.fixture
def desk(tmp_path: Path, agent: FakeAgent) -> Iterator[Bench]:
    with bench(tmp_path, [agent]) as made:
        yield made


@pytest.fixture
def parts(desk: Bench) -> Iterator[Parts]:
    with opened(desk.settings) as made:
        yield made


def cycle(agent: FakeAgent, number: int) -> SignedLine:
    """Both meters once: 10 and 20 counts a cycle."""
    times = [START_MS + number * 60_000, START_MS + number * 60_000 + 5]
    return agent.read(times, [10 * number, 20 * number], points=[0, 1])


def counts(desk: Bench) -> list[list[int]]:
    return [desk.reader.readings(key, *ALWAYS).count.tolist() for key in KEYS]


def say(parts: Parts, agent: FakeAgent) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
    """What the agent is told: up to where all is settled, what beyond, what is held."""
    ack = parts.intake.ack(agent.agent, agent.epoch)
    return ack.upto, ack.ranges, ack.held


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_readings_are_settled_once_every_part_is_here_in_whatever_order(
    parts: Parts, desk: Bench, agent: FakeAgent, order: tuple[int, ...]
) -> None:
    config = agent.configure_in_parts()
    assert len(config) == 4  # profile, two links, manifest
    parts.intake.take([Arrival.of(cycle(agent, 1))], parts.enrolled())
    for place in order:
        desk.project(parts)
        assert say(parts, agent)[2] == [(5, 5)]
        assert counts(desk) == [[], []]
        parts.intake.take([Arrival.of(config[place])], parts.enrolled())
    desk.project(parts)
    assert say(parts, agent) == (5, [], [])
    assert counts(desk) == [[10], [20]]


@pytest.mark.parametrize("seed", range(8))
def test_any_order_any_groups_and_a_rebuild_give_the_same_readings(tmp_path: Path, seed: int) -> None:
    agent, choice = FakeAgent(meters=("main-a", "main-b")), random.Random(seed)
    agent.configure_in_parts()
    batches = [cycle(agent, number) for number in range(6)]
    agent.configure_in_parts(agent.parts(profile="text of another version"))
    batches += [cycle(agent, number) for number in range(6, 12)]
    batches = list(agent.batches)
    choice.shuffle(batches)
    with bench(tmp_path, [agent]) as desk, opened(desk.settings) as parts:
        arrivals = [Arrival.of(signed) for signed in batches]
        while arrivals:
            size = choice.randrange(1, 5)
            parts.intake.take(arrivals[:size], parts.enrolled())
            del arrivals[:size]
            if choice.random() < 0.5:
                desk.project(parts)
        desk.project(parts)
        assert say(parts, agent) == (len(batches), [], [])
        expected = [[10 * n for n in range(12)], [20 * n for n in range(12)]]
        assert counts(desk) == expected
        rebuild_all(parts)
        assert counts(desk) == expected


def test_what_is_held_stays_held_over_a_restart_and_over_a_lost_index(desk: Bench, agent: FakeAgent) -> None:
    *config, manifest = agent.configure_in_parts()
    desk.take([*config, cycle(agent, 1)])
    with opened(desk.settings) as parts:
        assert say(parts, agent) == (3, [], [(5, 5)])
    desk.reader.close()
    for path in (desk.folder / "collector").glob("collector.sqlite*"):
        path.unlink()
    with opened(desk.settings) as parts:
        assert say(parts, agent) == (3, [], [(5, 5)])
        parts.intake.take([Arrival.of(manifest)], parts.enrolled())
        assert say(parts, agent) == (5, [], [])


def test_a_manifest_of_another_agent_or_site_is_not_taken_and_not_settled(tmp_path: Path) -> None:
    own, other = FakeAgent(), FakeAgent("km01-a2")
    with bench(tmp_path, [own, other]) as desk, opened(desk.settings) as parts:
        taken = parts.intake.take(
            [Arrival.of(signed) for signed in own.configure_in_parts(other.parts())], parts.enrolled()
        )
        assert taken.refused == {"foreign_config": 1}
        assert say(parts, own)[0] == 2


def test_readings_that_name_anothers_manifest_are_refused_or_when_it_comes_later_not_used(tmp_path: Path) -> None:
    thief, owner = FakeAgent("km01-a1"), FakeAgent("km01-a2")
    config = owner.configure_in_parts()
    thief.config = owner.config
    with bench(tmp_path, [thief, owner]) as desk, opened(desk.settings) as parts:
        parts.intake.take([Arrival.of(thief.read([START_MS], [7]))], parts.enrolled())
        parts.intake.take([Arrival.of(signed) for signed in config], parts.enrolled())
        desk.project(parts)
        assert desk.reader.readings(KEYS[0], *ALWAYS).count.tolist() == []
        assert [one.kind for one in desk.reader.incidents("km01")] == ["foreign_config"]
        again = parts.intake.take([Arrival.of(thief.read([START_MS + 1], [8]))], parts.enrolled())
        assert again.refused == {"foreign_config": 1}


def test_one_profile_serves_two_agents_and_each_sends_its_own_copy(tmp_path: Path) -> None:
    agents = [FakeAgent("km01-a1", meters=("main-a",)), FakeAgent("km01-a2", meters=("main-b",))]
    assert set(agents[0].parts().manifest.profiles) == set(agents[1].parts().manifest.profiles)
    with bench(tmp_path, agents) as desk:
        desk.take([signed for agent in agents for signed in agent.configure_in_parts()])
        desk.take([agents[0].read([START_MS], [3]), agents[1].read([START_MS], [4])])
        assert counts(desk) == [[3], [4]]


@pytest.mark.parametrize("field", ["profiles", "links"])
def test_a_manifest_that_lists_a_part_as_what_it_is_not_is_never_read_by(
    parts: Parts, desk: Bench, agent: FakeAgent, field: str
) -> None:
    good = agent.parts()
    other = good.manifest.links if field == "profiles" else good.manifest.profiles
    swapped = msgspec.structs.replace(good.manifest, **{field: list(other)})
    config = ConfigInParts(swapped, good.parts, wire.config_digest(swapped))
    parts.intake.take([Arrival.of(signed) for signed in agent.configure_in_parts(config)], parts.enrolled())
    parts.intake.take([Arrival.of(cycle(agent, 1))], parts.enrolled())
    desk.project(parts)
    assert say(parts, agent) == (4, [], [(5, 5)])
    assert counts(desk) == [[], []]


def test_a_meter_without_its_profiles_text_is_not_read_by(parts: Parts, agent: FakeAgent) -> None:
    good = agent.parts()
    bare = msgspec.structs.replace(good.manifest, profiles=[])
    config = ConfigInParts(bare, good.parts, wire.config_digest(bare))
    parts.intake.take([Arrival.of(signed) for signed in agent.configure_in_parts(config)], parts.enrolled())
    parts.intake.take([Arrival.of(cycle(agent, 1))], parts.enrolled())
    assert say(parts, agent) == (4, [], [(5, 5)])


def test_a_manifest_is_approved_by_its_digest_beforehand(tmp_path: Path, agent: FakeAgent) -> None:
    with bench(tmp_path, [agent]) as desk:
        config = agent.configure_in_parts()
        desk.take(config)
        assert [one.kind for one in desk.reader.incidents("km01")] == ["unapproved_config"]
    agent.new_epoch(START_MS)
    with bench(tmp_path / "second", [agent]) as desk:
        desk.take(agent.configure_in_parts())
        assert desk.reader.incidents("km01") == []


def test_an_agent_is_answered_in_the_version_it_speaks(parts: Parts, agent: FakeAgent) -> None:
    """An agent of release 0.1 refuses every ack with a field it does not know, and would never let go of a batch."""
    first = agent.configure()
    ((_, ack),) = parts.intake.take([Arrival.of(first)], parts.enrolled()).acks
    assert ack.v == 1
    upgraded = agent.configure_in_parts()
    acks = parts.intake.take([Arrival.of(signed) for signed in upgraded], parts.enrolled()).acks
    assert [ack.v for _, ack in acks] == [2]
    assert [ack.v for ack in parts.intake.greet(agent.agent)] == [2]
