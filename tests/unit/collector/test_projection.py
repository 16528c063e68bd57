"""From kept originals to readings and slots: the same content whatever the order of arrival and the size of chunks."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from collector.app import opened
from collector.intake import Arrival
from collector.progress import Progress
from collector.rebuild import rebuild_all
from collector.slotting import MAX_GAP_MS, versions_of
from collector.sqlite_store import SqliteStore
from pue.contract.profile import builtin_meter_profiles
from pue.contract.quality import Flag, Quality
from pue.contract.series import SLOT_MS, SeriesKey
from pue.contract.topology import MeterVersion
from pue.contract.wire import ManualReading, OutageDeclared, SignedLine
from pue.energy.registers import register_slots
from pue.energy.slots import Samples, Slots
from tests.support.collectors import Bench, bench
from tests.support.plants import START_MS, FakeAgent, meter, register, topology_of, write_topology

KEY = SeriesKey("km01", "main-a", "energy_import")
ALWAYS = (0, 1 << 62)
HISTORY = int(Flag.LATE)


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent()


@pytest.fixture
def desk(tmp_path: Path, agent: FakeAgent) -> Iterator[Bench]:
    with bench(tmp_path, [agent]) as made:
        yield made


def content(slots: Slots, *, history: bool = False) -> dict[str, list[int]]:
    """Columns but revision; without the marks of history unless asked for."""
    columns = {field.name: getattr(slots, field.name).tolist() for field in fields(slots)}
    columns.pop("revision")
    if not history:
        columns["flags"] = [flags & ~HISTORY for flags in columns["flags"]]
    return columns


def cycles(count: int, step_ms: int = 60_000, start_ms: int = START_MS + 700) -> list[int]:
    return [start_ms + index * step_ms for index in range(count)]


def whole(agent: FakeAgent, times: Sequence[int], counts: Sequence[int]) -> Slots:
    """Slots of the plain computation over everything at once."""
    time, zero = np.array(times, np.int64), np.zeros(len(times), np.int64)
    samples = Samples(t0_ms=time - 20, t1_ms=time, count=np.array(counts, np.int64), quality=zero, order=zero)
    return register_slots(
        samples, versions_of(meter("km01", "main-a"), "energy_import"), max_gap_ms=MAX_GAP_MS, topology=1
    )


def test_readings_and_slots_of_a_day_are_those_of_the_plain_computation(desk: Bench, agent: FakeAgent) -> None:
    times = cycles(600)
    counts = [7 * index for index in range(600)]
    desk.take([agent.configure(), agent.read(times, counts)])
    found = desk.reader.readings(KEY, *ALWAYS)
    assert found.t1_ms.tolist() == times
    assert found.t0_ms.tolist() == [t - 20 for t in times]
    assert found.count.tolist() == counts
    assert set(found.record.tolist()) == {1}
    assert content(desk.reader.slots(KEY, *ALWAYS), history=True) == content(whole(agent, times, counts))


@pytest.mark.parametrize("seed", range(6))
def test_any_order_and_any_chunk_give_the_slots_of_everything_at_once(tmp_path: Path, seed: int) -> None:
    agent, choice = FakeAgent(), random.Random(seed)
    times = sorted(choice.sample(cycles(1500, 20_000), 400))
    counts = np.cumsum([choice.randrange(50) for _ in times]).tolist()
    for index in choice.sample(range(400), 5):
        counts[index] = choice.randrange(10**6)
    config = agent.configure()
    parts = [agent.read(times[low : low + 10], counts[low : low + 10]) for low in range(0, 400, 10)]
    choice.shuffle(parts)
    with bench(tmp_path, [agent]) as desk, opened(desk.settings) as opened_parts:
        enrolled = opened_parts.enrolled()
        arrivals = [Arrival.of(signed) for signed in [*parts[:3], config, *parts[3:]]]
        while arrivals:
            size = choice.randrange(1, 8)
            opened_parts.intake.take(arrivals[:size], enrolled)
            del arrivals[:size]
            if choice.random() < 0.7:
                desk.project(opened_parts, choice.choice((1, 25, 400_000)))
        desk.project(opened_parts)
        assert content(desk.reader.slots(KEY, *ALWAYS)) == content(whole(agent, times, counts))
        assert desk.reader.readings(KEY, *ALWAYS).t1_ms.tolist() == times


def test_a_chunk_repeated_after_a_crash_changes_nothing(desk: Bench, agent: FakeAgent) -> None:
    desk.take([agent.configure(), agent.read(cycles(50), range(50))])
    desk.take([agent.read(cycles(50, start_ms=cycles(51)[-1]), range(50, 100))])
    before = desk.reader.slots(KEY, *ALWAYS)
    with opened(desk.settings) as parts:
        parts.index.db.execute("UPDATE shard SET projected = 1")
        desk.project(parts)
    after = desk.reader.slots(KEY, *ALWAYS)
    assert content(after) == content(before)
    assert len(desk.reader.readings(KEY, *ALWAYS)) == 100


def test_the_projection_can_be_rebuilt_from_the_ledger(desk: Bench, agent: FakeAgent) -> None:
    order = [agent.configure(), *(agent.read(cycles(40, start_ms=START_MS + n * 2_400_000), range(40 * n, 40 * n + 40))
                                  for n in range(5))]  # fmt: skip
    desk.take([order[0], order[1], order[4], order[2], order[5], order[3]])
    before = desk.reader.slots(KEY, *ALWAYS)
    readings = desk.reader.readings(KEY, *ALWAYS)
    cursor = desk.reader.change_cursor("km01")
    with opened(desk.settings) as parts:
        assert rebuild_all(parts) == 200
    assert content(desk.reader.slots(KEY, *ALWAYS), history=True) == content(before, history=True)
    assert desk.reader.readings(KEY, *ALWAYS).record.tolist() == readings.record.tolist()
    assert desk.reader.change_cursor("km01") > cursor


def test_a_late_reading_marks_the_closed_slots_between_its_neighbours(desk: Bench, agent: FakeAgent) -> None:
    config, times = agent.configure(), cycles(120)
    first = agent.read(times[:20], range(20))
    gap = agent.read(times[20:60], range(20, 60))
    live = agent.read(times[60:], range(60, 120))
    desk.take([config, first, live])
    bridged = desk.reader.slots(KEY, *ALWAYS)
    assert not (bridged.flags & HISTORY).any()
    desk.take([gap])
    slots = desk.reader.slots(KEY, *ALWAYS)
    late = ((slots.flags & HISTORY) != 0).tolist()
    assert late == [False, True, True, True, True, False, False, False, False][: len(late)]
    assert (slots.revision[1:4] == 1).all()
    assert slots.revision[0] == 0


def test_the_open_slot_changes_without_a_revision(desk: Bench, agent: FakeAgent) -> None:
    desk.take([agent.configure()])
    for index, time in enumerate(cycles(40)):
        desk.take([agent.read([time], [index])])
    slots = desk.reader.slots(KEY, *ALWAYS)
    assert not slots.revision.any()
    assert not (slots.flags & HISTORY).any()


@pytest.mark.parametrize("together", [True, False])
def test_of_two_values_at_one_time_the_one_kept_first_stays_and_the_slot_says_so(
    desk: Bench, agent: FakeAgent, *, together: bool
) -> None:
    """Whatever number its agent gave it: the other batch is the earlier one by epoch and seq."""
    config, times = agent.configure(), cycles(60)
    other, kept_first = agent.read(times, range(60)), agent.read(times[30:31], [31])
    if together:
        desk.take([config, kept_first, other])
    else:
        desk.take([config, kept_first])
        desk.take([other])
    assert desk.reader.readings(KEY, *ALWAYS).count.tolist() == [*range(30), 31, *range(31, 60)]
    slots = desk.reader.slots(KEY, *ALWAYS)
    assert ((slots.flags & int(Flag.CONFLICT)) != 0).tolist() == [False, False, True, False]
    (incident,) = [item for item in desk.reader.incidents("km01") if item.kind == "conflicting_reading"]
    assert "count 30 of" in incident.detail
    assert incident.agent == "km01-a1"


def test_the_same_reading_from_two_batches_is_no_conflict(desk: Bench, agent: FakeAgent) -> None:
    config, times = agent.configure(), cycles(60)
    desk.take([config, agent.read(times, range(60)), agent.read(times, range(60))])
    assert not (desk.reader.slots(KEY, *ALWAYS).flags & int(Flag.CONFLICT)).any()
    assert [item.kind for item in desk.reader.incidents("km01")] == ["unapproved_config"]


def test_a_failed_read_is_kept_with_its_quality_and_moves_the_watermark(desk: Bench, agent: FakeAgent) -> None:
    times = cycles(20)
    desk.take([agent.configure(), agent.read(times, [*range(19), None])])
    found = desk.reader.readings(KEY, *ALWAYS)
    assert found.quality.tolist() == [0] * 19 + [int(Quality.TIMEOUT)]
    assert desk.reader.watermark_ms("km01") == times[-1]


def test_data_before_its_configuration_is_projected_when_that_comes(desk: Bench, agent: FakeAgent) -> None:
    config, data = agent.configure(), agent.read(cycles(30), range(30))
    desk.take([data])
    assert desk.reader.keys("km01") == []
    assert desk.reader.positions() == {"s0": 1}
    desk.take([config])
    assert desk.reader.keys("km01") == [KEY]
    assert len(desk.reader.readings(KEY, *ALWAYS)) == 30


def test_readings_that_came_before_anothers_configuration_are_not_used_with_it(tmp_path: Path) -> None:
    """Admission cannot know yet whose it is; the projection can: another site's agent cannot overwrite a series.""" ""
    victim, attacker = FakeAgent(), FakeAgent("km02-a1", "km02", meters=("main-a",))
    with bench(tmp_path, [victim, attacker]) as desk:
        theirs = victim.configure()
        attacker.config = victim.config
        forged = attacker.read(cycles(30), [7] * 30)
        assert desk.take([forged]).committed == 1
        desk.take([theirs, victim.read(cycles(30), range(30))])
        assert desk.reader.readings(KEY, *ALWAYS).count.tolist() == list(range(30))
        assert desk.reader.keys("km02") == []
        (incident,) = [item for item in desk.reader.incidents("km02") if item.kind == "foreign_config"]
        assert (incident.agent, "km01-a1 at km01" in incident.detail) == ("km02-a1", True)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_a_clock_that_was_never_set_costs_no_more_than_its_readings(
    desk: Bench, agent: FakeAgent, order: tuple[int, ...]
) -> None:
    """Of 1970 nothing is used; a reading of 2001 has a slot of its own, and none of the 900,000 up to today's."""
    config = agent.configure()
    epoch_ms, new_century_ms, later_ms = 5_000, 978_307_200_000, 978_307_200_000 + 300 * 86_400_000
    batches = [agent.read([time_ms], [1]) for time_ms in (epoch_ms, new_century_ms, later_ms)]
    batches.append(agent.read(cycles(30), range(30)))
    desk.take([config])
    for place in order:
        desk.take([batches[place]])
    starts = desk.reader.slots(KEY, *ALWAYS).start_ms
    assert starts[0] == new_century_ms
    assert len(starts) == 300 * 96 + 1 + len(cycles(30)) * 60_000 // SLOT_MS
    assert desk.reader.readings(KEY, *ALWAYS).t1_ms.tolist()[:2] == [new_century_ms, later_ms]
    assert [item.kind for item in desk.reader.incidents("km01") if item.kind == "unset_clock"] == ["unset_clock"]


def test_the_watermark_is_that_of_the_slowest_meter_unless_it_is_silent_for_a_day(tmp_path: Path) -> None:
    agent = FakeAgent(meters=("main-a", "main-b"))
    with bench(tmp_path, [agent]) as desk:
        times = cycles(10)
        desk.take([agent.configure(), agent.read([*times, times[0] + 5], range(11), points=[0] * 10 + [1])])
        assert desk.reader.watermark_ms("km01") == times[0] + 5
        later = times[0] + 86_500_000
        desk.take([agent.read([later], [20])])
        assert desk.reader.watermark_ms("km01") == later
        assert desk.reader.watermark_ms("elsewhere") is None


def test_every_change_moves_the_cursor_of_its_site_only(desk: Bench, agent: FakeAgent) -> None:
    assert desk.take([agent.configure()]).committed == 1
    before = desk.reader.change_cursor("km01")
    desk.take([agent.read(cycles(5), range(5))])
    assert desk.reader.change_cursor("km01") > before
    assert desk.reader.change_cursor("km02") == 0


def test_a_reader_learns_from_which_slot_on_it_must_look_again(desk: Bench, agent: FakeAgent) -> None:
    desk.take([agent.configure(), agent.read(cycles(300), range(300))])
    cursor = desk.reader.change_cursor("km01")
    assert desk.reader.changed_from_ms("km01", 0) == START_MS
    assert desk.reader.changed_from_ms("km01", cursor) is None
    for index in range(300, 330):
        desk.take([agent.read(cycles(1, start_ms=START_MS + index * 60_000), [index])])
    since = desk.reader.changed_from_ms("km01", cursor)
    assert since is not None
    assert START_MS + 18 * SLOT_MS <= since <= START_MS + 20 * SLOT_MS
    newer = desk.reader.change_cursor("km01")
    desk.take([agent.read([START_MS + 5 * SLOT_MS + 11], [75])])
    after_late = desk.reader.changed_from_ms("km01", newer)
    assert after_late is not None
    assert START_MS + 3 * SLOT_MS <= after_late <= START_MS + 5 * SLOT_MS
    assert desk.reader.changed_from_ms("km01", cursor) == after_late


def test_a_declared_outage_marks_slots_before_and_after_it_is_known(desk: Bench, agent: FakeAgent) -> None:
    config, times = agent.configure(), cycles(90)
    outage = OutageDeclared(
        from_ms=START_MS + SLOT_MS, to_ms=START_MS + 2 * SLOT_MS, meters=["main-a"], reason="检修", by="x"
    )
    desk.take([config, agent.read(times[:60], range(60)), agent.event(outage)])
    desk.take([agent.read(times[60:], range(60, 90))])
    marked = (desk.reader.slots(KEY, *ALWAYS).flags & int(Flag.DECLARED_OUTAGE)) != 0
    assert marked.tolist() == [False, True, False, False, False, False]


def test_an_outage_marks_older_slots_although_new_readings_come_with_it(desk: Bench, agent: FakeAgent) -> None:
    config, times = agent.configure(), cycles(150)
    outage = OutageDeclared(
        from_ms=START_MS + SLOT_MS, to_ms=START_MS + 2 * SLOT_MS, meters=["main-a"], reason="检修", by="x"
    )
    desk.take([config, agent.read(times[:140], range(140))])
    desk.take([agent.event(outage), agent.read(times[140:], range(140, 150))])
    slots = desk.reader.slots(KEY, *ALWAYS)
    assert ((slots.flags & int(Flag.DECLARED_OUTAGE)) != 0).tolist() == [False, True, *[False] * 8]
    assert slots.revision[1] == 1


def test_a_conflict_is_remembered_although_the_process_died_between_store_and_cursor(
    desk: Bench, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, times = agent.configure(), cycles(60)
    later = agent.read(times, range(60))
    late_config = agent.configure()
    kept_first = agent.read(times[30:31], [31])
    desk.take([config, kept_first, later])
    assert desk.reader.readings(KEY, *ALWAYS).count.tolist() == list(range(60))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Progress, "move", die)
        with pytest.raises(KeyboardInterrupt):
            desk.take([late_config])
    desk.take([])
    assert desk.reader.readings(KEY, *ALWAYS).count.tolist() == [*range(30), 31, *range(31, 60)]
    slots = desk.reader.slots(KEY, *ALWAYS)
    assert ((slots.flags & int(Flag.CONFLICT)) != 0).tolist() == [False, False, True, False]
    assert "conflicting_reading" in [item.kind for item in desk.reader.incidents("km01")]


def test_what_the_series_store_refuses_for_good_is_an_incident(
    desk: Bench, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = b"reading,meter=main-a,quantity=energy_import,site=km01 count=1i 5"
    monkeypatch.setattr(SqliteStore, "write", lambda *_: [(line, "beyond retention policy")])
    desk.take([agent.configure(), agent.read(cycles(2), range(2))])
    (incident,) = [item for item in desk.reader.incidents("km01") if item.kind == "dead_letter"]
    assert "beyond retention policy" in incident.detail
    assert line.decode() in incident.detail


def test_a_reading_typed_in_counts_as_a_reading_out_of_band(desk: Bench, agent: FakeAgent) -> None:
    config, times = agent.configure(), cycles(2)
    typed = ManualReading(at_ms=times[1] + 600_000, meter="main-a", quantity="energy_import", count=50, by="王工")
    desk.take([config, agent.read(times, [0, 1]), agent.event(typed)])
    found = desk.reader.readings(KEY, *ALWAYS)
    assert found.count.tolist() == [0, 1, 50]
    assert found.quality.tolist() == [0, 0, int(Quality.OUT_OF_BAND)]


def test_a_new_ratio_in_the_topology_recomputes_the_meter(desk: Bench, agent: FakeAgent) -> None:
    desk.take([agent.configure(), agent.read(cycles(60), range(60))])
    before = desk.reader.slots(KEY, *ALWAYS)
    version = MeterVersion(from_ms=0, serial="SN", profile="p", registers=[register()], max_power_w=10**7, ct="2000/5")
    changed = meter("km01", "main-a").__class__(site="km01", meter="main-a", versions=[version])
    write_topology(desk.folder / "topology.signed", topology_of([agent], 2, meters=[changed]))
    desk.take([])
    after = desk.reader.slots(KEY, *ALWAYS)
    assert after.energy_j[1] == 400 * before.energy_j[1]
    assert set(after.topology.tolist()) == {2}
    assert (after.revision[:-1] == 1).all()


def test_an_agent_that_counts_in_another_unit_is_rescaled_and_reported(desk: Bench, agent: FakeAgent) -> None:
    desk.take([agent.configure(unit="kWh"), agent.read(cycles(3), [1, 2, 3])])
    assert desk.reader.readings(KEY, *ALWAYS).count.tolist() == [1000, 2000, 3000]
    assert "point_mismatch" in [item.kind for item in desk.reader.incidents("km01")]


PRIMARY = builtin_meter_profiles()["schneider-pm5xxx"].text


@pytest.mark.parametrize(
    ("own", "profile", "registered", "words"),
    [
        pytest.param("1", "text", "1", "", id="no transformer"),
        pytest.param("2000/5", "text", "400", "", id="the same ratio, written otherwise"),
        pytest.param("2000/5", "text", "1", "CT x PT = 400, the registry 1; correct", id="not in the registry"),
        pytest.param("1", "text", "2000/5", "CT x PT = 1, the registry 400; correct", id="in the registry only"),
        pytest.param("1", "primary", "1", "", id="in the meter"),
        pytest.param("1", "primary", "2000/5", "the registry multiplies by 400; remove", id="in the meter and there"),
    ],
)
def test_a_ratio_that_agent_and_registry_do_not_agree_on_is_reported(
    desk: Bench, agent: FakeAgent, own: str, profile: str, registered: str, words: str
) -> None:
    version = MeterVersion(
        from_ms=0, serial="SN", profile="p", registers=[register()], max_power_w=10**7, ct=registered
    )
    changed = meter("km01", "main-a").__class__(site="km01", meter="main-a", versions=[version])
    write_topology(desk.folder / "topology.signed", topology_of([agent], 2, meters=[changed]))
    text = PRIMARY if profile == "primary" else profile
    desk.take([agent.configure(ct=own, profile=text)])
    found = [item.detail for item in desk.reader.incidents("km01") if item.kind == "ratio_mismatch"]
    assert [words in detail for detail in found] == [True] * bool(words)


def test_the_original_of_a_reading_can_be_shown(desk: Bench, agent: FakeAgent) -> None:
    batches: list[SignedLine] = [agent.configure(), agent.read(cycles(3), range(3))]
    desk.take(batches)
    record = int(desk.reader.readings(KEY, *ALWAYS).record[0])
    assert desk.reader.original("s0", record) == batches[1]
