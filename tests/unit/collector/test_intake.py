"""Groups on their way in: durable first, acked after, and whole again after any crash."""

from __future__ import annotations

import gzip
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from collector import intake
from collector.app import Parts, opened
from collector.exporter import Exported, export_shard
from collector.importer import import_file
from collector.intake import Arrival
from collector.ledger import pack
from pue.contract.errors import Fatal, Retry
from pue.contract.topology import Release
from pue.contract.wire import Dropped, ManualReading, read_lines, write_lines
from tests.support.collectors import Bench, bench
from tests.support.plants import START_MS, FakeAgent, topology_of, write_topology


@pytest.fixture
def agent() -> FakeAgent:
    made = FakeAgent()
    made.configure()
    for index in range(5):
        made.read([START_MS + index * 15_000], [index])
    return made


@pytest.fixture
def desk(tmp_path: Path, agent: FakeAgent) -> Iterator[Bench]:
    with bench(tmp_path, [agent]) as made:
        yield made


@pytest.fixture
def parts(desk: Bench) -> Iterator[Parts]:
    with opened(desk.settings) as made:
        yield made


def arrivals(agent: FakeAgent, *indexes: int) -> list[Arrival]:
    return [Arrival.of(agent.batches[index]) for index in indexes]


def test_acks_tell_what_is_kept_once_the_group_is_durable(parts: Parts, agent: FakeAgent) -> None:
    taken = parts.intake.take(arrivals(agent, 0, 1, 3), parts.enrolled())
    ((shard, ack),) = taken.acks
    assert (shard, ack.upto, ack.ranges, ack.sha256) == ("s0", 2, [(4, 4)], agent.batches[1].sha256)
    assert taken.committed == 3


def test_a_group_may_hold_a_batch_twice(parts: Parts, agent: FakeAgent) -> None:
    taken = parts.intake.take(arrivals(agent, 0, 0, 1, 0), parts.enrolled())
    assert (taken.committed, taken.duplicates, parts.ends) == (2, 2, {"s0": 2})


def test_when_the_disk_refuses_nothing_is_acked_and_everything_may_come_again(
    parts: Parts, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise Retry("no room")

    with monkeypatch.context() as patched:
        patched.setattr(parts.ledgers["s0"], "sync", refuse)
        with pytest.raises(Retry):
            parts.intake.take(arrivals(agent, 0, 1), parts.enrolled())
    assert parts.ends == {"s0": 0}
    taken = parts.intake.take(arrivals(agent, 0, 1, 2), parts.enrolled())
    assert (taken.committed, taken.acks[0][1].upto) == (3, 3)


def test_an_index_that_could_not_be_written_catches_up_with_the_ledger(
    parts: Parts, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = parts.index.flush

    def fail(_: dict[str, int]) -> None:
        raise sqlite3.OperationalError("disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(parts.index, "flush", fail)
        with pytest.raises(Retry, match=r"index cannot be written \(disk is full\); make room"):
            parts.intake.take(arrivals(agent, 0, 1), parts.enrolled())
    assert parts.index.flush == flush
    taken = parts.intake.take(arrivals(agent, 0, 1, 2), parts.enrolled())
    assert (taken.committed, taken.duplicates, taken.acks[0][1].upto) == (1, 2, 3)
    assert parts.ends == {"s0": 3}


def test_the_index_is_made_again_from_the_ledger(desk: Bench, agent: FakeAgent) -> None:
    dropped = Dropped(epoch=agent.epoch, from_seq=8, to_seq=9, reason="disk full")
    agent.event(dropped)
    desk.take(agent.batches)
    desk.reader.close()
    for path in (desk.folder / "collector").glob("collector.sqlite*"):
        path.unlink()
    with opened(desk.settings) as parts:
        ack = parts.intake.ack(agent.agent, agent.epoch)
        assert (ack.upto, ack.sha256) == (9, "0" * 64)
        assert parts.index.kept(agent.agent, agent.epoch, 7)
        assert desk.project(parts) == 0
    assert len(desk.reader.keys("km01")) == 1


def test_quarantine_keeps_what_is_refused_once_and_counts_repetitions(parts: Parts) -> None:
    for _ in range(3):
        parts.intake.take([Arrival(b"nonsense")], parts.enrolled())
    assert [payload for payload, _ in parts.index.quarantined()] == [b"nonsense"]
    assert parts.index.db.execute("SELECT times FROM quarantine").fetchall() == [(3,)]


def test_a_flood_of_garbage_does_not_fill_the_disk(parts: Parts) -> None:
    flood = intake.Intake("yn-c1", parts.ledgers, parts.index, lambda: START_MS, quarantine_mib=1)
    for start in range(0, 40, 4):
        flood.take([Arrival(bytes([start + n]) * 50_000) for n in range(4)], parts.enrolled())
    kept = sum(len(payload) for payload, _ in parts.index.quarantined())
    assert 900_000 < kept <= 1024 * 1024


def test_an_agent_is_readmitted_once_the_topology_enrols_it(desk: Bench, agent: FakeAgent) -> None:
    stranger = FakeAgent("km01-a2")
    batches = [stranger.configure(), stranger.read([START_MS], [1])]
    assert desk.take(batches).refused == {"unknown_agent": 2}
    write_topology(desk.folder / "topology.signed", topology_of([agent, stranger], 2))
    with opened(desk.settings) as parts:
        taken = parts.intake.readmit(parts.enrolled())
        assert (taken.committed, taken.refused.total()) == (2, 0)
        assert list(parts.index.quarantined()) == []
        assert desk.project(parts) == 1


@pytest.mark.parametrize("name", ["a.batches", "a.batches.gz"])
def test_what_is_exported_can_be_imported_elsewhere(desk: Bench, agent: FakeAgent, tmp_path: Path, name: str) -> None:
    desk.take(agent.batches)
    out = tmp_path / name
    assert export_shard(desk.settings.collector.state_dir, "s0", out) == Exported(6)
    text = gzip.decompress(out.read_bytes()) if name.endswith(".gz") else out.read_bytes()
    assert list(read_lines(text.splitlines())) == agent.batches
    with pytest.raises(Fatal, match="shard 's9' is not in"):
        export_shard(desk.settings.collector.state_dir, "s9", out)
    other = tmp_path / "other"
    with bench(other, [agent]) as second, opened(second.settings) as parts:
        assert import_file(out, parts.intake, parts.enrolled()).committed == 6
        assert import_file(out, parts.intake, parts.enrolled()).duplicates == 6


@pytest.mark.parametrize("cut", [10, 100, 1000])
def test_a_cut_file_says_what_is_kept_and_what_to_do(agent: FakeAgent, tmp_path: Path, parts: Parts, cut: int) -> None:
    path = tmp_path / "cut.batches"
    path.write_bytes(b"".join(write_lines(agent.batches))[:-cut])
    with pytest.raises(Fatal, match=r"cut.batches: .* batches before that place are kept, import the whole file again"):
        import_file(path, parts.intake, parts.enrolled())


def test_a_file_of_one_endless_line_is_refused(tmp_path: Path, parts: Parts) -> None:
    path = tmp_path / "endless.batches"
    path.write_bytes(b"x" * 2_000_000)
    with pytest.raises(Fatal, match="not a signature"):
        import_file(path, parts.intake, parts.enrolled())


def test_equal_batches_fill_the_ledger_with_equal_bytes(agent: FakeAgent) -> None:
    assert pack(agent.batches[1]) == Arrival.of(agent.batches[1]).payload


def test_a_ledger_that_is_gone_is_not_begun_anew(desk: Bench, agent: FakeAgent) -> None:
    desk.take(agent.batches)
    (segment,) = (desk.folder / "collector" / "ledger" / "s0").glob("*.seg")
    segment.unlink()
    with pytest.raises(Fatal, match=r"s0 has no segment, and the index knows 6 records of it; restore"):
        desk.take([])


def test_a_batch_that_is_kept_after_all_is_no_longer_called_refused(desk: Bench, agent: FakeAgent) -> None:
    stranger = FakeAgent(site="km02", signer=agent.signer, epoch=agent.epoch)
    desk.take([stranger.configure()])
    write_topology(desk.folder / "topology.signed", topology_of([stranger], 2))
    with opened(desk.settings) as parts:
        assert parts.intake.ack(agent.agent, agent.epoch).refused == [(1, "wrong_site")]
        (_, ack), *_ = parts.intake.readmit(parts.enrolled()).acks
        assert (ack.upto, ack.sha256, ack.refused) == (1, stranger.batches[0].sha256, [])


def test_other_content_under_a_settled_number_is_answered_with_the_hash_that_is_kept(
    parts: Parts, agent: FakeAgent
) -> None:
    parts.intake.take(arrivals(agent, 0, 1, 2), parts.enrolled())
    restored = FakeAgent(signer=agent.signer, epoch=agent.epoch, seq=1, config=agent.config)
    others = [restored.read([START_MS + 7 * index], [90 + index]) for index in range(4)]
    taken = parts.intake.take([Arrival.of(signed) for signed in others], parts.enrolled())
    assert (taken.duplicates, taken.committed) == (2, 2)
    told = [(ack.upto, ack.sha256, ack.ranges) for _, ack in taken.acks]
    assert told == [(2, agent.batches[1].sha256, []), (5, others[-1].sha256, [])]


def released(agent: FakeAgent, low: int, high: int) -> Release:
    return Release(agent=agent.agent, epoch=agent.epoch, from_seq=low, to_seq=high, actor="li", reason="seen on site")


@pytest.mark.parametrize("mib", [64, 0])
def test_what_is_held_waits_for_a_person_and_its_agent_is_told(
    desk: Bench, parts: Parts, agent: FakeAgent, mib: int
) -> None:
    """Of a batch for which the quarantine had no room the agent is asked once it may come in."""
    now_ms = START_MS + 3_600_000
    tray = intake.Intake("yn-c1", parts.ledgers, parts.index, lambda: now_ms, quarantine_mib=mib)
    tray.take([Arrival.of(signed) for signed in agent.batches], parts.enrolled())
    early = agent.read([now_ms + 10**7], [9])
    tray.take([Arrival.of(early)], parts.enrolled())
    agent.read([START_MS + 99_000], [10])
    tray.take([Arrival.of(agent.batches[-1])], parts.enrolled())
    told = tray.ack(agent.agent, agent.epoch)
    assert (told.upto, told.ranges, told.held) == (6, [(8, 8)], [(7, 7)])
    now_ms += 10**8
    assert tray.readmit(parts.enrolled()).committed == 0, "what was of the future when it came still was"
    write_topology(desk.folder / "topology.signed", topology_of([agent], 2, releases=[released(agent, 7, 7)]))
    parts.refresh_topology()
    done = tray.readmit(parts.enrolled())
    told = tray.ack(agent.agent, agent.epoch)
    if mib:
        assert (done.committed, told.upto, told.held) == (1, 8, [])
    else:
        assert (done.committed, told.upto, told.held) == (0, 6, [])
        assert [ack.held for _, ack in done.acks] == [[]]
        assert tray.take([Arrival.of(early)], parts.enrolled()).committed == 1


def test_each_agent_has_its_own_room_in_quarantine(tmp_path: Path) -> None:
    """One that proves itself cannot take that of the others, nor can those who prove nothing."""
    agents = [FakeAgent("km01-a1"), FakeAgent("km01-a2")]
    with bench(tmp_path, agents) as desk, opened(desk.settings) as parts:
        tray = intake.Intake("yn-c1", parts.ledgers, parts.index, lambda: START_MS, quarantine_mib=1)
        flood = random.Random(5)
        for _ in range(60):
            tray.take([Arrival(flood.randbytes(50_000))], parts.enrolled())
            big = ManualReading(
                at_ms=START_MS * 2, meter="main-a", quantity="energy_import", count=1, by="x",
                note=flood.randbytes(1000).hex(),
            )  # fmt: skip
            tray.take([Arrival.of(agents[0].event(big)) for _ in range(20)], parts.enrolled())
        tray.take([Arrival.of(agents[1].read([START_MS * 2], [1]))], parts.enrolled())
        rows = parts.index.db.execute("SELECT agent, sum(length(payload)) FROM quarantine GROUP BY agent").fetchall()
        sizes = dict(rows)
        assert sizes.keys() == {"", "km01-a1", "km01-a2"}
        assert max(sizes.values()) <= 1024 * 1024
        assert tray.ack("km01-a1", agents[0].epoch).held == [(1, 1200)]


def test_whoever_has_an_old_key_keeps_the_agent_from_sending_nothing(tmp_path: Path) -> None:
    """A batch of the thief's under the agent's next number: the ack must not say that it is held, or is settled."""
    agent = FakeAgent()
    agent.configure()
    old = FakeAgent(epoch=agent.epoch, seq=1, config=agent.config)
    with bench(tmp_path, [agent]) as desk:
        enrolment = agent.enrolment()
        lost = msgspec.structs.replace(old.enrolment().keys[0], to_ms=START_MS, ended="compromised")
        both = msgspec.structs.replace(enrolment, keys=[lost, *enrolment.keys])
        document = msgspec.structs.replace(topology_of([agent], 2), agents=[both])
        write_topology(desk.folder / "topology.signed", document)
        with opened(desk.settings) as parts:
            parts.intake.take(arrivals(agent, 0), parts.enrolled())
            parts.intake.take([Arrival.of(old.read([START_MS - 9], [666], sent_ms=START_MS - 5))], parts.enrolled())
            told = parts.intake.ack(agent.agent, agent.epoch)
            assert (told.upto, told.ranges, told.held, told.refused) == (1, [], [], [])
            assert parts.intake.take([Arrival.of(agent.read([START_MS], [1]))], parts.enrolled()).committed == 1
            assert [reason for (reason,) in parts.index.db.execute("SELECT reason FROM quarantine")] == ["key_window"]
