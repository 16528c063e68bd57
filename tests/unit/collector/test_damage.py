"""Damage to the ledger is named, stepped over and mended; nothing whole is lost with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collector.app import opened, projecting
from collector.cli import app
from collector.intake import Arrival
from collector.ledger import FRAME_BYTES, Ledger, LedgerReader, Lost, Record, frame
from collector.project import Projector
from collector.rebuild import rebuild_all
from pue.contract.errors import Fatal
from pue.contract.series import SeriesKey
from tests.support.collectors import Bench, bench
from tests.support.ledgers import whole
from tests.support.plants import START_MS, FakeAgent

KEY = SeriesKey("km01", "main-a", "energy_import")
ALWAYS = (0, 1 << 62)
MINUTE_MS = 60_000
BATCHES = 8


@pytest.fixture
def agent() -> FakeAgent:
    made = FakeAgent()
    made.configure()
    for number in range(1, BATCHES):
        made.read([START_MS + number * MINUTE_MS], [number])
    return made


@pytest.fixture
def desk(tmp_path: Path, agent: FakeAgent) -> Iterator[Bench]:
    with bench(tmp_path, [agent]) as made:
        yield made


def ledger_of(desk: Bench) -> Path:
    return desk.folder / "collector" / "ledger" / "s0"


def flip(segment: Path, number: int, offset: int) -> None:
    """Change one bit of a record, counted from the start of its frame."""
    data = bytearray(segment.read_bytes())
    place = 0
    for _ in range(number):
        place += FRAME_BYTES + int.from_bytes(data[place + 4 : place + 8], "big")
    data[place + offset] ^= 1
    segment.write_bytes(data)


def counts(desk: Bench) -> list[int]:
    found: list[int] = desk.reader.readings(KEY, *ALWAYS).count.tolist()
    return found


@pytest.mark.parametrize("offset", [0, 5, 10, 15, 20, 25, FRAME_BYTES + 9], ids=str)
@pytest.mark.parametrize("number", [1, 4, BATCHES - 1])
def test_a_flipped_bit_costs_one_record_until_its_agent_sends_it_again(
    desk: Bench, agent: FakeAgent, number: int, offset: int
) -> None:
    """Magic, length, number, receive time, checksum, body: wherever it is, also in the last record, which was acked."""
    with opened(desk.settings) as parts:
        parts.intake.take([Arrival.of(signed) for signed in agent.batches], parts.enrolled())
    (segment,) = ledger_of(desk).glob("*.seg")
    flip(segment, number, offset)
    with opened(desk.settings) as parts:
        desk.project(parts)
        others = [count for count in range(1, BATCHES) if count != number]
        assert counts(desk) == others
        ((_, ack),) = parts.intake.ask_again()
        assert ack.upto == number
        assert parts.intake.ask_again() == []
        taken = parts.intake.take([Arrival.of(agent.batches[number])], parts.enrolled())
        assert (taken.repaired, taken.committed, taken.acks[-1][1].upto) == (1, 0, BATCHES)
        desk.project(parts)
        assert counts(desk) == list(range(1, BATCHES))
        record = int(desk.reader.readings(KEY, *ALWAYS).record[number - 1])
        assert record == number
        assert desk.reader.original("s0", record) == agent.batches[number]
        assert rebuild_all(parts) == BATCHES - 1
    kinds = [item.kind.value for item in desk.reader.incidents("km01")]
    assert "repaired_record" in kinds
    assert not list(ledger_of(desk).glob("torn-*"))


def test_an_original_that_somebody_changed_is_damaged_although_its_checksum_is_right(
    desk: Bench, agent: FakeAgent
) -> None:
    with opened(desk.settings) as parts:
        parts.intake.take([Arrival.of(signed) for signed in agent.batches], parts.enrolled())
    (segment,) = ledger_of(desk).glob("*.seg")
    records = whole(LedgerReader(ledger_of(desk)).records(0, BATCHES))
    forger = FakeAgent(epoch=agent.epoch, seq=3, config=agent.config)
    forged = Arrival.of(forger.read([START_MS + 3 * MINUTE_MS], [99])).payload
    records[3] = Record(3, records[3].received_ms, forged)
    segment.write_bytes(b"".join(frame(record) for record in records))
    with opened(desk.settings) as parts:
        desk.project(parts)
        assert counts(desk) == [1, 2, 4, 5, 6, 7]
        parts.intake.ask_again()
        parts.intake.take([Arrival.of(agent.batches[3])], parts.enrolled())
        desk.project(parts)
    assert counts(desk) == [1, 2, 3, 4, 5, 6, 7]
    assert desk.reader.original("s0", 3) == agent.batches[3]


def test_other_bytes_under_the_number_mend_nothing(desk: Bench, agent: FakeAgent) -> None:
    desk.take(agent.batches)
    (segment,) = ledger_of(desk).glob("*.seg")
    flip(segment, 3, FRAME_BYTES + 9)
    forged = FakeAgent(signer=agent.signer, epoch=agent.epoch, seq=3, config=agent.config)
    with opened(desk.settings) as parts:
        rebuild_all(parts)
        parts.intake.ask_again()
        taken = parts.intake.take([Arrival.of(forged.read([START_MS], [99]))], parts.enrolled())
        assert (taken.repaired, taken.duplicates, dict(taken.incidents)) == (0, 1, {"conflicting_batch": 1})
        with pytest.raises(Fatal, match="record 3 is missing or damaged; its agent is asked"):
            desk.reader.original("s0", 3)


def test_readings_wait_for_a_damaged_configuration_as_for_one_that_has_not_come(desk: Bench, agent: FakeAgent) -> None:
    with opened(desk.settings) as parts:
        parts.intake.take([Arrival.of(signed) for signed in agent.batches], parts.enrolled())
    (segment,) = ledger_of(desk).glob("*.seg")
    flip(segment, 0, FRAME_BYTES + 9)
    with opened(desk.settings) as parts:
        desk.project(parts)
        assert desk.reader.keys("km01") == []
        parts.intake.ask_again()
        parts.intake.take([Arrival.of(agent.batches[0])], parts.enrolled())
        desk.project(parts)
        assert counts(desk) == list(range(1, BATCHES))
        flip(segment, 2, FRAME_BYTES + 9)
        rebuild_all(parts)
        assert counts(desk) == [1, *range(3, BATCHES)]


def test_a_rebuild_that_fails_leaves_the_store_as_it_was_and_the_next_one_does_not(
    desk: Bench, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.take(agent.batches)
    (desk.folder / "series.sqlite.new").write_bytes(b"left by a rebuild that was killed")

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with opened(desk.settings) as parts:
        with monkeypatch.context() as patched:
            patched.setattr(Projector, "drain", fail)
            with pytest.raises(KeyboardInterrupt):
                rebuild_all(parts)
        assert counts(desk) == list(range(1, BATCHES))
        assert not list(desk.folder.glob("*.new*"))
        desk.project(parts)
        assert counts(desk) == list(range(1, BATCHES))
        assert rebuild_all(parts) == BATCHES - 1
    assert counts(desk) == list(range(1, BATCHES))


def test_verify_finds_damage_that_nobody_has_read_and_has_it_asked_for(desk: Bench, agent: FakeAgent) -> None:
    desk.take(agent.batches)
    config = str(desk.folder / "collector.toml")
    done = CliRunner().invoke(app, ["verify", "--config", config])
    assert (done.exit_code, done.output) == (0, "shard s0: 8 originals as they were filed, 0 damaged\n")
    (segment,) = ledger_of(desk).glob("*.seg")
    for number in (2, 5):
        flip(segment, number, FRAME_BYTES + 9)
    with opened(desk.settings) as parts:
        for _ in range(2):
            done = CliRunner().invoke(app, ["verify", "--config", config])
            words = "shard s0: 6 originals as they were filed, 2 damaged: records [2, 5]\n"
            assert (done.exit_code, done.output) == (1, words)
        ((_, ack),) = parts.intake.ask_again()
        assert (ack.upto, ack.ranges) == (2, [(4, 5), (7, 8)])
        parts.intake.take([Arrival.of(agent.batches[number]) for number in (2, 5)], parts.enrolled())
    assert CliRunner().invoke(app, ["verify", "--config", config]).exit_code == 0


def test_a_record_that_is_durable_and_not_filed_yet_is_waited_for(desk: Bench, agent: FakeAgent) -> None:
    """The projection may come between the ledger's fsync and the index's commit: that is no damage."""
    with opened(desk.settings) as parts:
        ledger = parts.ledgers["s0"]
        for signed in agent.batches:
            ledger.append(Arrival.of(signed).payload, START_MS)
        ledger.sync()
        with projecting(desk.settings) as projector:
            assert projector.step(parts.ends, parts.enrolled()) == 0
            assert projector.lag(parts.ends) == BATCHES
            parts.intake.recover()
            assert projector.drain(parts.ends, parts.enrolled()) == BATCHES - 1
        assert parts.intake.ask_again() == []
    assert counts(desk) == list(range(1, BATCHES))


def test_a_collector_that_starts_with_a_damaged_configuration_goes_on_taking_readings(
    desk: Bench, agent: FakeAgent
) -> None:
    """Admission asks for the configuration that a batch names: it cannot be read, as one that has not come."""
    desk.take(agent.batches)
    (segment,) = ledger_of(desk).glob("*.seg")
    flip(segment, 0, FRAME_BYTES + 9)
    later = agent.read([START_MS + 20 * MINUTE_MS], [20])
    with opened(desk.settings) as parts:
        taken = parts.intake.take([Arrival.of(later)], parts.enrolled())
        assert (taken.committed, taken.refused.total()) == (1, 0)


def test_a_lost_segment_costs_what_was_in_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, segment_bytes=200)
    for number in range(12):
        ledger.append(b"payload %d" % number * 5, 1000 + number)
        ledger.sync()
    ledger.close()
    first, second, *_ = sorted(tmp_path.glob("*.seg"))
    third = sorted(tmp_path.glob("*.seg"))[2]
    second.unlink()
    gone = range(int(second.stem), int(third.stem))
    found = list(LedgerReader(tmp_path).records(0, 12))
    assert [item.number for item in found] == list(range(12))
    assert [item.number for item in found if isinstance(item, Lost)] == list(gone)
    assert {item.received_ms for item in found if isinstance(item, Lost)} == {1000 + gone[0] - 1}
    assert int(first.stem) == 0


def test_numbers_that_were_acked_are_never_given_again(tmp_path: Path) -> None:
    """Cut off behind record 2 of 5 filed ones: the next is 5, and a reader knows that 2 to 4 are lost."""
    ledger = Ledger(tmp_path)
    for number in range(5):
        ledger.append(b"x" * 50, number)
    ledger.sync()
    ledger.close()
    (segment,) = tmp_path.glob("*.seg")
    os.truncate(segment, 2 * (FRAME_BYTES + 50) + 7)
    again = Ledger(tmp_path, known=5)
    assert (again.append(b"new", 9), again.torn_bytes) == (5, 0)
    again.sync()
    found = list(again.reader.records(0, 6))
    again.close()
    assert [isinstance(item, Lost) for item in found] == [False, False, True, True, True, False]


@pytest.mark.parametrize("known", [1, 2])
@pytest.mark.parametrize("hidden", [(0,), (1,), (1, 2)], ids=str)
def test_frames_that_a_signer_hides_in_a_batch_are_not_taken_for_records(
    tmp_path: Path, known: int, hidden: tuple[int, ...]
) -> None:
    """Record 0 holds frames of its own making and is damaged: at the end of the file, or before record 1."""
    made = b"".join(frame(Record(number, 7, b"forged")) for number in hidden)
    ledger = Ledger(tmp_path)
    ledger.append(b"innocent" + made, 5)
    if known == 2:
        ledger.append(b"genuine", 6)
    ledger.sync()
    ledger.close()
    (segment,) = tmp_path.glob("*.seg")
    flip(segment, 0, FRAME_BYTES + 2)
    again = Ledger(tmp_path, known=known)
    assert again.committed == known
    found = list(again.reader.records(0, known))
    again.close()
    assert found[0] == Lost(0, 0)
    assert [item.payload for item in found[1:] if isinstance(item, Record)] == [b"genuine"][: known - 1]


def test_a_repair_made_twice_counts_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append(b"x" * 50, 3)
    ledger.sync()
    (segment,) = tmp_path.glob("*.seg")
    flip(segment, 0, FRAME_BYTES)
    for payload in (b"first", b"second"):
        ledger.repair(Record(0, 3, payload))
    assert [record.payload for record in whole(ledger.reader.records(0, 1))] == [b"second"]
    ledger.close()
