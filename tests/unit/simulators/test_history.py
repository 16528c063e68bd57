"""The history verifies like any agent's batches, and its readings are the meters' at their times."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from pue.contract import wire
from pue.contract.quality import Quality
from pue.contract.series import SLOT_MS
from pue.contract.signing import Signer
from simulators.history import approved_config, batches, cycle_times, write_history
from simulators.plant import DAY_MS
from tests.unit.simulators.worlds import UNTIL_MS, world

SIGNER = Signer.generate()


@cache
def lines(site: str) -> tuple[wire.SignedLine, ...]:
    return tuple(batches(world()[site], SIGNER))


@cache
def opened(site: str) -> tuple[wire.Batch, ...]:
    return tuple(wire.open_batch(line, SIGNER.verifier) for line in lines(site))


@pytest.mark.parametrize("site", ["km01", "hh01"])
def test_every_signature_holds_and_the_chain_is_unbroken(site: str) -> None:
    prev = wire.ZERO_HASH
    for seq, (line, batch) in enumerate(zip(lines(site), opened(site), strict=True), start=1):
        assert (batch.seq, batch.prev) == (seq, prev)
        assert len(line.line) <= wire.MAX_JSON_BYTES
        prev = line.sha256


def test_it_begins_with_a_configuration_and_ends_with_the_hand_over() -> None:
    batches = opened("km01")
    configs = [batch.body for batch in batches if isinstance(batch, wire.ConfigBatch)]
    _, *days, last = batches[len(configs) - 1 :]
    assert wire.config_digest(configs[-1]) == approved_config(world()["km01"])
    assert all(isinstance(day, wire.DataBatch) and day.config == wire.config_digest(configs[-1]) for day in days)
    assert isinstance(last, wire.EventBatch)
    assert isinstance(last.body, wire.Handover)
    assert last.body.next_epoch == world()["km01"].live_epoch > last.epoch


def test_the_configuration_carries_whole_profiles() -> None:
    parts = [batch.body for batch in opened("hh01") if isinstance(batch, wire.ConfigBatch)]
    texts = {part.profile: part.text for part in parts if isinstance(part, wire.ProfilePart)}
    meters = [meter for part in parts if isinstance(part, wire.LinkPart) for meter in part.meters]
    assert {meter.profile for meter in meters} == set(texts)
    assert all("[quantity.energy_import]" in text for text in texts.values())


def test_it_covers_400_days_every_quarter_of_an_hour_and_ends_now() -> None:
    times = cycle_times(world()["km01"])
    assert len(times) in (400 * 96 + 1, 400 * 96 + 2)
    assert UNTIL_MS - times[0] == pytest.approx(400 * DAY_MS, abs=SLOT_MS)
    assert 0 < UNTIL_MS - times[-1] < 5_000
    assert np.all(times[:-1] % SLOT_MS <= 400)
    assert np.all(np.diff(times[:-1]) > 0)


def test_readings_are_the_meters_between_request_and_reply() -> None:
    site = world()["qj01"]
    day = opened("qj01")[200]
    assert isinstance(day, wire.DataBatch)
    body = day.body
    for row in range(0, len(body.point), 53):
        meter = site.meters[body.point[row]]
        sent, got = body.base_ms + body.t0[row], body.base_ms + body.t0[row] + body.dt[row]
        low, high = meter.energy_counts(np.array([sent, got], np.int64)).tolist()
        count = body.count[row]
        assert count is not None
        assert low <= count <= high
        assert body.raw[row] == meter.spec.model.raw(count).hex()


def test_a_dead_meter_is_recorded_as_not_answering() -> None:
    last_day = opened("hh01")[-2]
    assert isinstance(last_day, wire.DataBatch)
    names = [meter.spec.id for meter in world()["hh01"].meters]
    for point, count, quality in zip(last_day.body.point, last_day.body.count, last_day.body.quality, strict=True):
        is_dead = names[point] == "pdu-b2"
        assert (quality == Quality.TIMEOUT) == is_dead
        assert (count is None) == is_dead


def test_while_the_agent_is_off_there_is_nothing() -> None:
    gaps = np.diff(cycle_times(world()["hh01"]))
    assert sorted(gaps.tolist())[-1] == pytest.approx(30 * 3_600_000, abs=2 * SLOT_MS)
    assert (gaps > 2 * SLOT_MS).sum() == 1


def test_the_file_holds_the_same_lines_and_counts_its_readings(tmp_path: Path) -> None:
    path = tmp_path / "km01.batches.gz"
    readings = write_history(world()["km01"], SIGNER, path)
    with gzip.open(path) as file:
        read = list(wire.read_lines(file))
    assert [line.line for line in read] == [line.line for line in lines("km01")]
    assert readings == sum(len(batch.body.point) for batch in opened("km01") if isinstance(batch, wire.DataBatch))
