"""Which batches are kept, known or refused, and what is noticed on the way."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest

from collector.admit import (
    CLONE_MS,
    FUTURE_MS,
    GRACE_MS,
    Commit,
    Decision,
    Duplicate,
    Gate,
    Kept,
    Refuse,
    Route,
    admit,
)
from collector.configs import KeptConfig
from collector.database import connect
from collector.index import Index
from collector.topology import Enrolled
from pue.contract.configuration import Configuration
from pue.contract.errors import RejectReason
from pue.contract.signing import Signer
from pue.contract.topology import Release
from pue.contract.wire import (
    MAX_SEQ,
    ClockJump,
    ConfigBatchV1,
    Dropped,
    Handover,
    ManualReading,
    MeterReplaced,
    OutageDeclared,
    Restored,
    SignedLine,
    decode_batch,
)
from tests.support.plants import START_MS, FakeAgent, topology_of

NOW_MS = START_MS + 86_400_000
ROUTE = Route("s0", "km01-a1")


@dataclass
class Memory:
    """What is kept, as plain dictionaries."""

    batches: dict[tuple[str, str, int], Kept] = field(default_factory=dict)
    configs: dict[str, KeptConfig] = field(default_factory=dict)
    handovers: dict[tuple[str, str], str] = field(default_factory=dict)
    key_ends: dict[tuple[str, str], tuple[str, int, str]] = field(default_factory=dict)

    def kept(self, agent: str, epoch: str, seq: int) -> Kept | None:
        return self.batches.get((agent, epoch, seq))

    def config(self, name: str) -> KeptConfig | None:
        return self.configs.get(name)

    def newest_epoch(self, agent: str) -> str | None:
        return max((epoch for name, epoch, _ in self.batches if name == agent), default=None)

    def handover(self, agent: str, epoch: str) -> str | None:
        return self.handovers.get((agent, epoch))

    def key_end(self, agent: str, key: str) -> tuple[str, int, str] | None:
        return self.key_ends.get((agent, key))

    def keep(self, signed: SignedLine) -> None:
        batch = decode_batch(signed.line)
        self.batches[batch.agent, batch.epoch, batch.seq] = Kept(signed.sha256, batch.prev)
        if isinstance(batch, ConfigBatchV1):
            setup = Configuration.of_one_batch(batch.body)
            self.configs[signed.sha256] = KeptConfig(batch.site, batch.agent, setup)


@pytest.fixture
def agent() -> FakeAgent:
    made = FakeAgent()
    made.configure()
    return made


@pytest.fixture
def memory(agent: FakeAgent) -> Memory:
    made = Memory()
    made.keep(agent.batches[0])
    return made


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Index]:
    db = connect(tmp_path)
    yield Index(db, {})
    db.close()


def gate(agent: FakeAgent, memory: Memory, **changes: object) -> Gate:
    made = Gate(Enrolled.of(topology_of([agent])), memory, NOW_MS, frozenset({"s0"}))
    return replace(made, **changes)  # type: ignore[arg-type]  # fields a test chooses


def reason(decision: Decision) -> tuple[RejectReason, bool]:
    """Why it was refused, and whether that settles its number."""
    assert isinstance(decision, Refuse), decision
    return decision.reason, decision.settles


def held(decision: Decision) -> RejectReason:
    """Why it waits for a person; of a key outside its window the agent is told nothing."""
    assert isinstance(decision, Refuse), decision
    assert decision.place is not None
    assert not decision.settles
    assert decision.is_held is (decision.reason != RejectReason.KEY_WINDOW)
    return decision.reason


def kinds(decision: Decision) -> list[str]:
    assert isinstance(decision, Commit | Duplicate), decision
    return [incident.kind.value for incident in decision.incidents]


def test_a_good_batch_is_kept_without_a_remark(agent: FakeAgent, memory: Memory) -> None:
    signed = agent.read([START_MS], [1])
    decision = admit(signed, ROUTE, gate(agent, memory))
    assert isinstance(decision, Commit)
    assert (decision.sha256, decision.place.seq, kinds(decision)) == (signed.sha256, 2, [])


@pytest.mark.parametrize("names", list(itertools.product(range(4), repeat=2)), ids=str)
def test_readings_go_with_a_configuration_of_their_own_agent_and_site_only(names: tuple[int, int]) -> None:
    """All pairs of agents of two sites: a batch of one names the configuration of the other."""
    agents = [FakeAgent(f"{site}-a{n}", site, meters=("main-a",)) for site in ("km01", "km02") for n in (1, 2)]
    memory = Memory()
    for agent in agents:
        memory.keep(agent.configure())
    reader, owner = (agents[name] for name in names)
    reader.config = owner.config
    decision = admit(
        reader.read([START_MS], [7]), None, gate(agents[0], memory, enrolled=Enrolled.of(topology_of(agents)))
    )
    if reader is owner:
        assert kinds(decision) == []
    else:
        assert held(decision) == RejectReason.FOREIGN_CONFIG


def test_a_file_needs_no_topic(agent: FakeAgent, memory: Memory) -> None:
    assert kinds(admit(agent.read([START_MS], [1]), None, gate(agent, memory))) == []


def test_who_is_not_enrolled_settles_nothing(agent: FakeAgent, memory: Memory) -> None:
    stranger = FakeAgent(agent="km09-a1").configure()
    assert reason(admit(stranger, None, gate(agent, memory))) == (RejectReason.UNKNOWN_AGENT, False)
    impostor = FakeAgent().configure()
    assert reason(admit(impostor, None, gate(agent, memory))) == (RejectReason.UNKNOWN_KEY, False)


def test_a_changed_byte_breaks_the_signature_and_settles_nothing(agent: FakeAgent, memory: Memory) -> None:
    signed = agent.read([START_MS], [1])
    changed = SignedLine(signed.line.replace(b'"count":[1]', b'"count":[2]'), signed.signature)
    assert reason(admit(changed, ROUTE, gate(agent, memory))) == (RejectReason.BAD_SIGNATURE, False)


END_MS = START_MS + 1000
"""When the key of the tests below ends; batches are sent before it."""


def ended(agent: FakeAgent, ended: str = "rotated", **changes: object) -> Enrolled:
    """The agent's key with an end, and a key that follows it."""
    enrolment = agent.enrolment()
    former = msgspec.structs.replace(enrolment.keys[0], to_ms=END_MS, ended=ended)
    follower = replace(agent, signer=SUCCESSOR).enrolment().keys[0]
    one = msgspec.structs.replace(enrolment, keys=[former, follower])
    return Enrolled.of(msgspec.structs.replace(topology_of([agent]), agents=[one], **changes))


SUCCESSOR = Signer.generate()


@pytest.mark.parametrize("why", ["rotated", "compromised", "withdrawn"])
@pytest.mark.parametrize("now_ms", [END_MS - 1, END_MS, END_MS + GRACE_MS - 1, END_MS + GRACE_MS])
def test_from_its_end_on_a_key_is_believed_for_a_day_if_it_was_rotated_and_else_not_at_all(
    agent: FakeAgent, memory: Memory, why: str, now_ms: int
) -> None:
    decision = admit(agent.read([START_MS], [1]), None, gate(agent, memory, enrolled=ended(agent, why), now_ms=now_ms))
    if now_ms < END_MS or (why == "rotated" and now_ms < END_MS + GRACE_MS):
        assert isinstance(decision, Commit)
    else:
        assert held(decision) == RejectReason.KEY_WINDOW


def test_what_a_key_signs_before_or_after_its_window_is_held(agent: FakeAgent, memory: Memory) -> None:
    late = agent.read([START_MS], [1], sent_ms=END_MS)
    assert held(admit(late, None, gate(agent, memory, enrolled=ended(agent)))) == RejectReason.KEY_WINDOW
    enrolment = agent.enrolment()
    future = msgspec.structs.replace(enrolment.keys[0], from_ms=END_MS)
    document = msgspec.structs.replace(topology_of([agent]), agents=[msgspec.structs.replace(enrolment, keys=[future])])
    early = agent.read([START_MS], [1], sent_ms=END_MS - 1)
    assert held(admit(early, None, gate(agent, memory, enrolled=Enrolled.of(document)))) == RejectReason.KEY_WINDOW


def test_what_chains_to_the_end_that_its_successor_names_is_kept_however_late(agent: FakeAgent, memory: Memory) -> None:
    """And a batch that the thief of the key dates back is not: no honest batch names its hash."""
    first, second, third = (agent.read([START_MS + number], [number]) for number in range(3))
    memory.key_ends[agent.agent, agent.signer.key_id] = (agent.epoch, 4, third.sha256)
    thief = FakeAgent(signer=agent.signer, epoch=agent.epoch, config=agent.config, seq=2)
    forged = thief.read([START_MS + 1], [666])
    much_later = gate(agent, memory, enrolled=ended(agent), now_ms=END_MS + 30 * GRACE_MS)
    for genuine in (third, second, first):
        assert isinstance(admit(genuine, None, much_later), Commit)
        assert held(admit(forged, None, much_later)) == RejectReason.KEY_WINDOW
        memory.keep(genuine)
        forged = replace(thief, seq=decode_batch(genuine.line).seq - 2).read([START_MS + 1], [666])
    compromised = replace(much_later, enrolled=ended(agent, "compromised"))
    memory.batches.clear()
    assert held(admit(third, None, compromised)) == RejectReason.KEY_WINDOW


@pytest.mark.parametrize("kind", ["future", "key", "config"])
def test_a_person_lets_in_what_is_held_and_only_that(agent: FakeAgent, memory: Memory, kind: str) -> None:
    config = "ee" * 32
    memory.configs[config] = KeptConfig("km09", "km09-a1", memory.configs[agent.config or ""].setup)
    change: dict[str, dict[str, object]] = {
        "future": {"sent_ms": NOW_MS + 10**9},
        "key": {"sent_ms": END_MS},
        "config": {"config": config},
    }
    signed = agent.read([START_MS], [1], **change[kind])  # type: ignore[arg-type]  # fields a test chooses
    for numbers, is_in in (((1, 1), False), ((2, 2), True), ((1, 9), True), ((3, 9), False)):
        let_in = Release(
            agent=agent.agent, epoch=agent.epoch, from_seq=numbers[0], to_seq=numbers[1], actor="li", reason="seen"
        )
        decision = admit(signed, None, gate(agent, memory, enrolled=ended(agent, releases=[let_in])))
        assert isinstance(decision, Commit) is is_in
        if not is_in:
            held(decision)


def test_a_key_by_an_algorithm_this_release_does_not_know_signs_nothing(agent: FakeAgent, memory: Memory) -> None:
    enrolment = agent.enrolment()
    other = msgspec.structs.replace(enrolment.keys[0], alg="ML-DSA-65", public="AAAA")
    document = msgspec.structs.replace(topology_of([agent]), agents=[msgspec.structs.replace(enrolment, keys=[other])])
    decision = admit(agent.read([START_MS], [1]), None, gate(agent, memory, enrolled=Enrolled.of(document)))
    assert reason(decision) == (RejectReason.UNKNOWN_KEY, False)


@pytest.mark.parametrize("line", [b"", b"nonsense", b"{}", b"[" * 100_000, b'{"agent":"km01-a1"}', b"\xff\xfe"])
def test_bytes_without_a_header_are_malformed(agent: FakeAgent, memory: Memory, line: bytes) -> None:
    decision = admit(SignedLine(line, b"A" * 88), None, gate(agent, memory))
    assert reason(decision) == (RejectReason.MALFORMED, False)


def test_a_signed_batch_that_does_not_fit_the_contract_settles_its_number(agent: FakeAgent, memory: Memory) -> None:
    line = agent.read([START_MS], [1]).line.replace(b'"mono_ns":0', b'"mono_ns":0,"extra":1')
    signed = SignedLine(line, agent.signer.sign(line))
    assert reason(admit(signed, ROUTE, gate(agent, memory))) == (RejectReason.MALFORMED, True)


def test_the_last_number_of_all_has_no_successor_to_look_for(agent: FakeAgent, desk: Index) -> None:
    last = agent.read([START_MS], [1], seq=MAX_SEQ)
    decision = admit(last, ROUTE, replace(gate(agent, Memory()), known=desk))
    assert isinstance(decision, Commit)


@pytest.mark.parametrize("point", [1 << 63, 10**30])
def test_a_point_no_list_can_hold_is_refused_before_its_configuration_is_known(agent: FakeAgent, point: int) -> None:
    signed = agent.read([START_MS], [1], points=[point])
    assert reason(admit(signed, ROUTE, gate(agent, Memory()))) == (RejectReason.MALFORMED, True)


def test_a_gap_that_ends_before_it_begins_is_refused(agent: FakeAgent, memory: Memory) -> None:
    gap = Dropped(epoch=agent.epoch, from_seq=4, to_seq=2, reason="x")
    assert reason(admit(agent.event(gap), ROUTE, gate(agent, memory))) == (RejectReason.MALFORMED, True)


def test_a_later_version_waits_for_an_upgrade(agent: FakeAgent, memory: Memory) -> None:
    line = agent.read([START_MS], [1]).line.replace(b'"v":2', b'"v":9')
    signed = SignedLine(line, agent.signer.sign(line))
    assert reason(admit(signed, ROUTE, gate(agent, memory))) == (RejectReason.UNSUPPORTED_VERSION, False)


def test_anothers_topic_or_site_or_shard_is_refused(agent: FakeAgent, memory: Memory) -> None:
    signed = agent.read([START_MS], [1])
    assert reason(admit(signed, Route("s0", "km02-a1"), gate(agent, memory))) == (RejectReason.WRONG_TOPIC, False)
    assert reason(admit(signed, Route("", ""), gate(agent, memory))) == (RejectReason.WRONG_TOPIC, False)
    foreign = admit(signed, ROUTE, gate(agent, memory, shards=frozenset({"s7"})))
    assert reason(foreign) == (RejectReason.WRONG_TOPIC, False)
    moved = agent.read([START_MS], [1], site="km02")
    assert reason(admit(moved, ROUTE, gate(agent, memory))) == (RejectReason.WRONG_SITE, True)


@pytest.mark.parametrize(("ahead_ms", "is_kept"), [(FUTURE_MS, True), (FUTURE_MS + 1, False)])
def test_five_minutes_ahead_is_the_limit_for_sending_and_for_reading(
    agent: FakeAgent, memory: Memory, ahead_ms: int, is_kept: bool
) -> None:
    late_send = agent.read([START_MS], [1], sent_ms=NOW_MS + ahead_ms)
    late_read = agent.read([NOW_MS + ahead_ms], [1], sent_ms=START_MS)
    for signed in (late_send, late_read):
        decision = admit(signed, ROUTE, gate(agent, memory))
        assert isinstance(decision, Commit) is is_kept
        if not is_kept:
            assert held(decision) == RejectReason.FUTURE_TIME


@pytest.mark.parametrize(
    "event",
    [
        ManualReading(at_ms=START_MS, meter="cellar", quantity="energy_import", count=1, by="x"),
        OutageDeclared(from_ms=0, to_ms=1, meters=["main-a", "cellar"], reason="x", by="x"),
    ],
)
def test_what_is_said_of_a_meter_that_nobody_has_registered_is_kept(
    agent: FakeAgent, memory: Memory, event: ManualReading | OutageDeclared
) -> None:
    """Whether it is used is the projection's question, asked again with every topology."""
    known = replace(agent, meters=("main-a",))
    assert kinds(admit(agent.event(event), ROUTE, gate(known, memory))) == []
    agent.meters = ("main-a", "cellar")
    assert kinds(admit(agent.configure(), ROUTE, gate(known, memory))) == ["unapproved_config"]


def test_data_is_kept_before_its_configuration_is_there(agent: FakeAgent) -> None:
    signed = agent.read([START_MS], [1], points=[9])
    assert kinds(admit(signed, ROUTE, gate(agent, Memory()))) == []


def test_a_point_the_configuration_has_not_is_malformed(agent: FakeAgent, memory: Memory) -> None:
    signed = agent.read([START_MS], [1], points=[1])
    assert reason(admit(signed, ROUTE, gate(agent, memory))) == (RejectReason.MALFORMED, True)


def test_the_same_again_is_known_and_other_content_is_an_incident(agent: FakeAgent, memory: Memory) -> None:
    first = agent.read([START_MS], [1])
    memory.keep(first)
    assert kinds(admit(first, ROUTE, gate(agent, memory))) == []
    other = agent.read([START_MS], [2], seq=2)
    decision = admit(other, ROUTE, gate(agent, memory))
    assert isinstance(decision, Duplicate)
    assert kinds(decision) == ["conflicting_batch"]


def test_a_broken_link_is_noticed_from_either_side(agent: FakeAgent, memory: Memory) -> None:
    agent.prev = "f" * 64
    assert kinds(admit(agent.read([START_MS], [1]), ROUTE, gate(agent, memory))) == ["chain_mismatch"]
    late = FakeAgent(signer=agent.signer, epoch=agent.epoch, seq=4, prev="e" * 64, config=agent.config)
    fourth, fifth = late.read([START_MS], [1], seq=4), late.read([START_MS], [1], seq=5, prev="d" * 64)
    memory.keep(fifth)
    assert kinds(admit(fourth, ROUTE, gate(agent, memory))) == ["chain_mismatch"]


def test_a_missing_neighbour_says_nothing(agent: FakeAgent, memory: Memory) -> None:
    agent.read([START_MS], [1])
    assert kinds(admit(agent.read([START_MS], [1]), ROUTE, gate(agent, memory))) == []


def test_the_first_batch_after_a_handover_must_name_it(agent: FakeAgent, memory: Memory) -> None:
    handover = agent.event(Handover(next_epoch="f" * 20, reason="live"))
    memory.handovers[agent.agent, agent.epoch] = handover.sha256
    old = agent.epoch
    agent.new_epoch(START_MS)
    assert kinds(admit(agent.read([START_MS], [1]), ROUTE, gate(agent, memory))) == []
    forged = agent.read([START_MS], [1], seq=1, prev="a" * 64, prev_epoch=old)
    assert kinds(admit(forged, ROUTE, gate(agent, memory))) == ["chain_mismatch"]


def test_an_epoch_that_goes_on_after_a_newer_one_is_a_clone(agent: FakeAgent, memory: Memory) -> None:
    clone = FakeAgent(signer=agent.signer, epoch=agent.epoch, seq=agent.seq, prev=agent.prev, config=agent.config)
    agent.new_epoch(START_MS)
    memory.keep(agent.read([START_MS], [1]))
    backfill = clone.read([START_MS - 5], [1])
    assert kinds(admit(backfill, ROUTE, gate(agent, memory))) == []
    memory.keep(backfill)
    alive = clone.read([START_MS + CLONE_MS + 1], [1])
    assert kinds(admit(alive, ROUTE, gate(agent, memory))) == ["clone"]


def test_an_unapproved_configuration_is_kept_and_reported(agent: FakeAgent) -> None:
    unapproved = gate(agent, Memory(), enrolled=Enrolled.of(topology_of([agent], configs=[])))
    assert kinds(admit(agent.batches[0], ROUTE, unapproved)) == ["unapproved_config"]
    assert kinds(admit(agent.batches[0], ROUTE, gate(agent, Memory()))) == []


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (Dropped(epoch="0" * 20, from_seq=1, to_seq=2, reason="disk full"), "dropped"),
        (Restored(old_epoch="0" * 20, head_seq=1, ack_upto=2, ack_sha256="0" * 64, reason="x"), "restored"),
        (ClockJump(at_ms=START_MS, step_ms=-3_600_000), "clock_jump"),
        (
            MeterReplaced(
                at_ms=START_MS, meter="main-a", quantity="energy_import", old_serial="1", new_serial="2",
                old_final_count=9, new_initial_count=0,
            ),
            "meter_replaced",
        ),
    ],
)  # fmt: skip
def test_events_people_must_see_are_incidents(
    agent: FakeAgent, memory: Memory, event: Dropped | Restored | ClockJump | MeterReplaced, kind: str
) -> None:
    assert kinds(admit(agent.event(event), ROUTE, gate(agent, memory))) == [kind]


def test_another_signer_cannot_speak_for_an_agent(agent: FakeAgent, memory: Memory) -> None:
    signed = agent.read([START_MS], [1])
    forged = SignedLine(signed.line, Signer.generate().sign(signed.line))
    assert reason(admit(forged, ROUTE, gate(agent, memory))) == (RejectReason.BAD_SIGNATURE, False)
