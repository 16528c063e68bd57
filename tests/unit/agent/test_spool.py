"""The spool: appended means on disk, deleted means confirmed by the collector."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.chain import Sealer, new_epoch_id
from agent.spool import Key, Spool
from pue.contract.canonical import ZERO_HASH
from pue.contract.configuration import ConfigInParts
from pue.contract.errors import Fatal, Reject, Retry
from pue.contract.signing import Signer
from pue.contract.wire import (
    Batch,
    ClockJump,
    ConfigBatch,
    DataBatch,
    EventBatch,
    KeyChange,
    LinkPart,
    ProfilePart,
    Readings,
    Restored,
    decode_batch,
    open_batch,
    unpack,
)
from tests.unit.agent.fakes import EPOCH, SIGNER, FakeClock, config, make_spool, readings, started_spool

NEXT = new_epoch_id(None, 1_800_000_000_000, "bbbbbbbb")
OTHER = new_epoch_id(None, 1_900_000_000_000, "cccccccc")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    opened = started_spool(tmp_path, clock)
    yield opened
    opened.close()


def batch(spool: Spool, key: Key) -> Batch:
    return open_batch(unpack(spool.payload(key)), SIGNER.verifier)


def keys(*seqs: int, epoch: str = EPOCH) -> list[Key]:
    return [Key(epoch, seq) for seq in seqs]


def test_the_first_batch_of_an_epoch_is_its_configuration(spool: Spool) -> None:
    first = batch(spool, Key(EPOCH, 1))
    assert isinstance(first, ConfigBatch)
    assert first.prev == ZERO_HASH
    assert first.body == config().manifest


def test_every_batch_names_the_one_before_it_and_its_configuration(spool: Spool) -> None:
    spool.append([readings(1), readings(2)])
    signed = [unpack(spool.payload(key)) for key in keys(1, 2, 3)]
    batches = [decode_batch(line.line) for line in signed]
    assert [item.prev for item in batches] == [ZERO_HASH, signed[0].sha256, signed[1].sha256]
    assert [item.config for item in batches] == [None, config().digest, config().digest]
    assert [item.seq for item in batches] == [1, 2, 3]


def test_an_unchanged_configuration_is_not_appended_again_and_a_changed_one_is(spool: Spool) -> None:
    assert spool.configure(config()) == []
    assert spool.configure(config("other")) == keys(2)
    spool.append([readings(1)])
    assert batch(spool, Key(EPOCH, 3)).config == config("other").digest


def parts(*links: str, profile: str = "text") -> ConfigInParts:
    """A configuration with a profile and some links without meters."""
    pieces = [LinkPart(link=link, meters=[]) for link in links]
    return ConfigInParts.of("km01", "km01-a1", "test", {"p": profile}, pieces)


def test_a_part_is_sent_once_and_again_only_when_it_changed(spool: Spool) -> None:
    def sent(config: ConfigInParts) -> list[object]:
        return [batch(spool, key).body for key in spool.configure(config)]

    profile = ProfilePart(profile="p", text="text")
    other = ProfilePart(profile="p", text="another text")
    first, second = LinkPart(link="a", meters=[]), LinkPart(link="b", meters=[])
    assert sent(parts("a")) == [profile, first, parts("a").manifest]
    assert sent(parts("a", "b")) == [second, parts("a", "b").manifest]
    assert sent(parts("a")) == [parts("a").manifest]
    assert sent(parts("a", profile="another text")) == [other, parts("a", profile="another text").manifest]


def test_a_part_that_only_an_epoch_before_has_is_sent_again(spool: Spool) -> None:
    """The collector may not have that epoch."""
    spool.configure(parts("a"))
    spool.fork(EPOCH, NEXT, config(), restored())
    assert spool.configure(parts("a")) == keys(3, 4, 5, epoch=NEXT)


def test_what_was_appended_is_there_after_reopening_and_the_chain_goes_on(tmp_path: Path) -> None:
    first = started_spool(tmp_path)
    first.append([readings(1)])
    first.close()
    second = make_spool(tmp_path)
    assert second.append([readings(2)]) == keys(3)
    assert batch(second, Key(EPOCH, 3)).prev == unpack(second.payload(Key(EPOCH, 2))).sha256
    second.close()


def test_a_cycle_is_kept_whole_or_not_at_all(spool: Spool) -> None:
    too_large = Readings.of(
        0, point=[0] * 400, t0=[0] * 400, dt=[0] * 400, raw=["00" * 500] * 400, count=[1] * 400,
        quality=[0] * 400,
    )  # fmt: skip
    with pytest.raises(Reject):
        spool.append([readings(1), too_large])
    assert spool.unsettled(None, 10) == keys(1)
    assert spool.append([readings(2)]) == keys(2)


def test_batches_are_written_through_to_the_disk(spool: Spool, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "spool.sqlite") as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
    assert spool._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_only_one_process_at_a_time_may_open_a_spool(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=rf"spool\.lock is held by process {os.getpid()}; stop that agent"):
        make_spool(tmp_path)


def test_a_spool_of_another_version_is_refused(tmp_path: Path) -> None:
    started_spool(tmp_path).close()
    with sqlite3.connect(tmp_path / "spool.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(Fatal, match="schema 99"):
        make_spool(tmp_path)


def test_a_file_that_is_no_database_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "spool.sqlite").write_bytes(b"x" * 8192)
    with pytest.raises(Fatal, match=r"spool\.sqlite cannot be used"):
        make_spool(tmp_path)


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Fatal, match=r"agent\.state_dir"):
        make_spool(tmp_path / "file" / "state")


# -------------------------------------------------------------------- acks


def test_nothing_is_deleted_without_an_ack_however_old(spool: Spool, clock: FakeClock) -> None:
    spool.append([readings(1), readings(2)])
    clock.advance(10_000 * 86_400)
    assert spool.prune(0) == 0
    assert spool.unsettled(None, 10) == keys(1, 2, 3)


def test_confirmed_batches_leave_the_backlog_and_stay_for_the_retention(spool: Spool, clock: FakeClock) -> None:
    spool.append([readings(1), readings(2), readings(3)])
    assert spool.settle(EPOCH, [(1, 2), (4, 4)], 2) == 3
    assert spool.unsettled(None, 10) == keys(3)
    assert spool.backlog().batches == 1
    assert spool.prune(180) == 0
    clock.advance(181 * 86_400)
    assert spool.prune(180) == 1
    with pytest.raises(KeyError):
        spool.payload(Key(EPOCH, 2))
    assert isinstance(batch(spool, Key(EPOCH, 4)), DataBatch), "behind an unconfirmed one nothing is deleted"


def test_without_retention_a_confirmed_batch_goes_at_once_but_configurations_stay(spool: Spool) -> None:
    spool.append([readings(1)])
    spool.settle(EPOCH, [(1, 2)], 2)
    assert spool.prune(0) == 1
    assert isinstance(batch(spool, Key(EPOCH, 1)), ConfigBatch)
    assert spool.append([readings(2)]) == keys(3)


def test_the_same_ack_twice_settles_nothing_twice(spool: Spool) -> None:
    assert spool.settle(EPOCH, [(1, 1)], 1) == 1
    assert spool.settle(EPOCH, [(1, 1)], 1) == 0


def test_after_a_regress_what_the_collector_lost_is_unconfirmed_again(spool: Spool) -> None:
    spool.append([readings(1), readings(2), readings(3)])
    spool.settle(EPOCH, [(1, 4)], 4)
    spool.settle(EPOCH, [(1, 1), (3, 3)], 1, regressed=True)
    assert spool.unsettled(None, 10) == keys(2, 4)
    facts = spool.facts(EPOCH, 1)
    assert facts is not None
    assert facts.acked_upto == 1


def test_what_was_deleted_after_its_ack_and_is_asked_for_again_is_declared_gone_once(spool: Spool) -> None:
    spool.append([readings(1), readings(2), readings(3)])
    spool.settle(EPOCH, [(1, 4)], 4)
    spool.prune(0)
    spool.settle(EPOCH, [(1, 2)], 2, regressed=True)
    (gone,) = spool.gone(EPOCH, [(1, 2)])
    assert (gone.epoch, gone.from_seq, gone.to_seq) == (EPOCH, 3, 4)
    assert spool.declare([gone]) == keys(5)
    assert spool.gone(EPOCH, [(1, 2)]) == []
    event = batch(spool, Key(EPOCH, 5))
    assert isinstance(event, EventBatch)


def test_the_hash_of_the_last_deleted_batch_can_still_be_compared(spool: Spool) -> None:
    spool.append([readings(1)])
    sha = unpack(spool.payload(Key(EPOCH, 2))).sha256
    spool.settle(EPOCH, [(1, 2)], 2)
    spool.prune(0)
    facts = spool.facts(EPOCH, 2)
    assert facts is not None
    assert facts.upto_sha256 == sha


# -------------------------------------------------------------------- a new epoch


def restored() -> Restored:
    return Restored(old_epoch=EPOCH, head_seq=3, ack_upto=9, ack_sha256=ZERO_HASH, reason="test")


def test_a_new_epoch_begins_with_the_reason_and_its_configuration_and_continues_the_chain(spool: Spool) -> None:
    spool.append([readings(1)])
    last = unpack(spool.payload(Key(EPOCH, 2))).sha256
    assert spool.fork(EPOCH, NEXT, config(), restored()) == keys(1, 2, epoch=NEXT)
    first, second = batch(spool, Key(NEXT, 1)), batch(spool, Key(NEXT, 2))
    assert isinstance(first, EventBatch)
    assert first.body == restored()
    assert (first.prev, first.prev_epoch) == (last, EPOCH)
    assert isinstance(second, ConfigBatch)
    assert second.body == config().manifest


def test_what_the_collector_did_not_confirm_is_signed_anew_and_points_at_its_own_configuration(spool: Spool) -> None:
    spool.append([readings(1)])
    spool.configure(config("other"))
    spool.append([readings(2), ClockJump(at_ms=1, step_ms=5000)])
    spool.settle(EPOCH, [(1, 2)], 2)
    spool.fork(EPOCH, NEXT, config("other"), restored())
    assert spool.unsettled(None, 10) == keys(1, 2, epoch=NEXT), "batches of a left epoch are not sent under its name"
    carried = spool.carry()
    assert carried == keys(3, 4, 5, epoch=NEXT)
    copied, data, event = (batch(spool, key) for key in carried)
    assert isinstance(copied, ConfigBatch)
    assert isinstance(data, DataBatch)
    assert data.body == readings(2)
    assert data.config == config("other").digest
    assert isinstance(event, EventBatch)
    assert spool.carry() == []
    spool.append([readings(3)])
    assert batch(spool, Key(NEXT, 6)).config == config("other").digest


def test_readings_whose_configuration_was_confirmed_keep_naming_it(spool: Spool) -> None:
    spool.append([readings(1)])
    spool.settle(EPOCH, [(1, 1)], 1)
    spool.fork(EPOCH, NEXT, config(), restored())
    (key,) = spool.carry()
    assert batch(spool, key).config == config().digest


def test_a_carried_batch_is_deleted_only_when_its_new_form_is_confirmed(spool: Spool) -> None:
    spool.append([readings(1)])
    spool.settle(EPOCH, [(1, 1)], 1)
    spool.fork(EPOCH, NEXT, config(), restored())
    (key,) = spool.carry()
    spool.prune(0)
    assert spool.payload(Key(EPOCH, 2))
    spool.settle(NEXT, [(1, key.seq)], key.seq)
    spool.prune(0)
    with pytest.raises(KeyError):
        spool.payload(Key(EPOCH, 2))


def test_carrying_goes_on_after_a_restart_in_the_middle(tmp_path: Path) -> None:
    first = started_spool(tmp_path)
    first.append([readings(count) for count in range(5)])
    first.settle(EPOCH, [(1, 1)], 1)
    first.fork(EPOCH, NEXT, config(), restored())
    first.carry(limit=2)
    first.close()
    second = make_spool(tmp_path)
    assert len(second.carry()) == 3
    bodies = [batch(second, Key(NEXT, seq)).body for seq in range(3, 8)]
    assert bodies == [readings(count) for count in range(5)]
    second.close()


def test_a_new_epoch_sorts_after_the_running_one_even_when_the_clock_was_set_back(spool: Spool) -> None:
    head = spool.head
    assert head is not None
    assert new_epoch_id(head, 1, "00000000") > head.epoch


# -------------------------------------------------------------------- another key


def rotated_spool(folder: Path) -> tuple[Spool, Signer]:
    """A spool with two readings, the first of them confirmed, opened again with another key."""
    before = started_spool(folder)
    before.append([readings(1), readings(2)])
    before.settle(EPOCH, [(1, 2)], 2)
    before.close()
    signer = Signer.generate()
    return Spool(folder, Sealer("km01", "km01-a1", "0" * 16, signer, FakeClock()), 64), signer


def test_another_key_begins_an_epoch_with_where_the_old_ones_chain_ended(tmp_path: Path) -> None:
    spool, signer = rotated_spool(tmp_path)
    last = unpack(spool.payload(Key(EPOCH, 3))).sha256
    assert spool.rotate(NEXT, config(), "yearly") == keys(1, 2, epoch=NEXT)
    first = open_batch(unpack(spool.payload(Key(NEXT, 1))), signer.verifier)
    assert isinstance(first.body, KeyChange)
    assert (first.body.old_key, first.body.last_epoch) == (SIGNER.key_id, EPOCH)
    assert (first.body.last_seq, first.body.last_sha256, first.prev, first.key) == (3, last, last, signer.key_id)
    assert spool.carry() == keys(3, epoch=NEXT)
    carried = open_batch(unpack(spool.payload(Key(NEXT, 3))), signer.verifier)
    assert (carried.body, carried.key, carried.config) == (readings(2), signer.key_id, config().digest)
    assert spool.configure(config()) == []
    assert spool.rotate(OTHER, config(), "again") == [], "it signs by that key already"
    spool.close()


def test_the_same_key_changes_nothing_and_so_does_an_epoch_without_a_batch(tmp_path: Path) -> None:
    spool = make_spool(tmp_path)
    assert spool.rotate(NEXT, config(), "x") == []
    spool.start_epoch(EPOCH, None)
    assert spool.rotate(NEXT, config(), "x") == []
    spool.configure(config())
    assert spool.rotate(NEXT, config(), "x") == []
    spool.close()


def test_a_spool_of_release_0_1_knows_its_key_by_its_last_batch(tmp_path: Path) -> None:
    spool, _ = rotated_spool(tmp_path)
    spool._db.execute("DELETE FROM note")
    assert spool.rotate(NEXT, config(), "yearly") == keys(1, 2, epoch=NEXT)
    spool.close()


def test_the_latest_owner_is_remembered_over_a_restart(tmp_path: Path) -> None:
    spool = started_spool(tmp_path)
    assert spool.generation == 0
    spool.believe(1_800_000_000_000)
    spool.close()
    again = make_spool(tmp_path)
    assert again.generation == 1_800_000_000_000
    again.close()


# -------------------------------------------------------------------- space


def fill(spool: Spool) -> int:
    """Append until the spool refuses; returns how many batches it took."""
    body = Readings.of(
        0, point=[0] * 100, t0=[0] * 100, dt=[0] * 100, raw=[os.urandom(200).hex() for _ in range(100)],
        count=[1] * 100, quality=[0] * 100,
    )  # fmt: skip
    for taken in range(1000):
        try:
            spool.append([body])
        except Retry:
            return taken
    raise AssertionError("the spool has no limit")


def test_a_full_spool_refuses_and_loses_nothing(tmp_path: Path) -> None:
    spool = started_spool(tmp_path, max_mb=1)
    taken = fill(spool)
    assert taken > 5
    with pytest.raises(Retry, match="spool_max_mb"):
        spool.append([readings(1)])
    assert len(spool.unsettled(None, 1000)) == taken + 1
    assert (tmp_path / "spool.sqlite").stat().st_size <= 1024 * 1024
    spool.close()


def test_a_full_spool_gives_up_retention_before_refusing(tmp_path: Path) -> None:
    spool = started_spool(tmp_path, max_mb=1)
    taken = fill(spool)
    spool.settle(EPOCH, [(1, 5)], 5)
    assert fill(spool) >= 3
    assert spool.unsettled(None, 1)[0] == Key(EPOCH, 6)
    assert len(spool.unsettled(None, 1000)) >= taken - 4
    spool.close()


def test_many_small_cycles_stay_small_on_disk(spool: Spool, tmp_path: Path) -> None:
    for count in range(200):
        spool.append([readings(count)])
    assert (tmp_path / "spool.sqlite").stat().st_size < 200 * 1500
