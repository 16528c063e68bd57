"""Originals survive crashes, and nothing else is believed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from collector.ledger import FRAME_BYTES, Ledger, LedgerReader, pack
from pue.contract.errors import Fatal, Retry
from tests.support.ledgers import whole
from tests.support.left_open import nothing_left_open
from tests.support.plants import FakeAgent


def payloads(number: int) -> list[bytes]:
    return [f"payload {index}".encode() * (index + 1) for index in range(number)]


def filled(folder: Path, number: int, **options: int) -> None:
    ledger = Ledger(folder, **options)
    for index, payload in enumerate(payloads(number)):
        assert ledger.append(payload, 1000 + index) == index
    ledger.sync()
    ledger.close()


def test_records_come_back_as_they_went_in(tmp_path: Path) -> None:
    filled(tmp_path, 20)
    records = whole(LedgerReader(tmp_path).records(0, 20))
    assert [record.payload for record in records] == payloads(20)
    assert [record.number for record in records] == list(range(20))
    assert records[3].received_ms == 1003


def test_a_signed_line_survives_packing() -> None:
    signed = FakeAgent().configure()
    assert pack(signed) == pack(signed)
    from collector.ledger import Record

    assert Record(0, 0, pack(signed)).signed == signed


def test_small_segments_are_read_as_one_row(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, segment_bytes=200)
    for payload in payloads(12):
        ledger.append(payload, 0)
        ledger.sync()
    ledger.close()
    assert len(list(tmp_path.glob("*.seg"))) > 3
    reader = LedgerReader(tmp_path)
    assert [record.payload for record in whole(reader.records(0, 12))] == payloads(12)
    assert [reader.read(number).payload for number in (7, 2, 8, 11)] == [payloads(12)[n] for n in (7, 2, 8, 11)]
    again = Ledger(tmp_path, segment_bytes=200)
    assert again.committed == 12
    again.close()


@pytest.mark.parametrize("missing", [1, 5, FRAME_BYTES, FRAME_BYTES + 1])
def test_a_torn_tail_is_put_aside_and_writing_goes_on(tmp_path: Path, missing: int) -> None:
    filled(tmp_path, 5)
    (segment,) = tmp_path.glob("*.seg")
    os.truncate(segment, segment.stat().st_size - missing)
    ledger = Ledger(tmp_path)
    assert ledger.committed == 4
    assert ledger.torn_bytes > 0
    assert ledger.append(b"new", 0) == 4
    ledger.sync()
    assert [record.payload for record in whole(ledger.reader.records(0, 5))] == [*payloads(4), b"new"]
    ledger.close()
    (torn,) = tmp_path.glob("torn-*.bin")
    assert torn.stat().st_size == ledger.torn_bytes


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    filled(tmp_path, 5)
    (segment,) = tmp_path.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[FRAME_BYTES + 3] ^= 1
    segment.write_bytes(data)
    with pytest.raises(Fatal, match=r"record 0 is missing or damaged; its agent is asked to send it again, or restore"):
        LedgerReader(tmp_path).read(0)


def test_nothing_is_there_before_sync(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append(b"x", 0)
    assert ledger.committed == 0
    ledger.discard()
    ledger.append(b"y", 0)
    ledger.sync()
    assert ledger.reader.read(0).payload == b"y"
    ledger.close()


def test_a_disk_that_refuses_keeps_nothing_of_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path)
    ledger.append(b"kept", 0)
    ledger.sync()
    ledger.append(b"lost", 0)

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(Retry, match=r"cannot append.*make room"):
            ledger.sync()
    assert ledger.committed == 1
    ledger.append(b"after", 0)
    ledger.sync()
    assert [record.payload for record in whole(ledger.reader.records(0, 2))] == [b"kept", b"after"]
    ledger.close()


def test_a_segment_that_cannot_be_begun_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path, segment_bytes=10)

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    ledger.append(b"first, and longer than a segment", 0)
    ledger.sync()
    ledger.append(b"second", 0)
    with monkeypatch.context() as patched:
        patched.setattr(ledger, "_new_segment", refuse)
        with pytest.raises(Retry, match="make room"):
            ledger.sync()
    assert ledger.committed == 1
    ledger.append(b"second", 0)
    ledger.sync()
    assert [record.payload[:6] for record in whole(ledger.reader.records(0, 2))] == [b"first,", b"second"]
    ledger.close()


def test_every_folder_a_ledger_begins_is_on_disk_before_its_first_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[str] = set()
    fsync = os.fsync

    def note(handle: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    Ledger(tmp_path / "state" / "ledger" / "s0").close()
    assert {str(tmp_path / name) for name in ("state", "state/ledger", "state/ledger/s0")} <= synced


def test_one_shard_has_one_owner_and_each_start_is_of_a_later_generation(tmp_path: Path) -> None:
    before_ms = time.time_ns() // 1_000_000
    ledger = Ledger(tmp_path / "s0")
    program = f"from pathlib import Path; from collector.ledger import Ledger; Ledger(Path({str(tmp_path / 's0')!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert f"shard s0 in {tmp_path} is owned by process {os.getpid()}; stop that collector first" in done.stderr
    assert ledger.generation >= before_ms
    ledger.close()
    (tmp_path / "s0" / "owner").write_text(f"1 {before_ms + 10**9}\n")  # by a clock that was ahead
    again = Ledger(tmp_path / "s0")
    assert again.generation == before_ms + 10**9 + 1
    again.close()


def test_a_ledger_that_cannot_be_opened_leaves_its_shard_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path / "s0")
    ledger.append(b"first", 0)
    ledger.sync()
    ledger.close()
    (segment,) = (tmp_path / "s0").glob("*.seg")
    segment.write_bytes(segment.read_bytes() + b"torn")

    def refuse(*_: object) -> int:
        raise OSError("disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", refuse)
        with nothing_left_open(), pytest.raises(OSError, match="disk is full"):
            Ledger(tmp_path / "s0")
    Ledger(tmp_path / "s0").close()
