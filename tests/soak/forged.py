"""Whether anything forged is believed: batches by the keys of others, of other times and sites, and meters' answers.

python -m tests.soak forged [--seed N] [--piece K]

After every thousand forged inputs among as many honest ones, what the collector has kept, what it tells each agent and
what is stored of each meter is held against what the honest inputs alone would have left.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from agent.drivers.modbus import Fit, compare
from agent.drivers.snmp_answer import FIRST_ID, LAST_ID, NotOurs, Question, Refused
from collector.admit import Route
from collector.app import Parts, opened
from collector.intake import Arrival, Intake
from pue.contract import wire
from pue.contract.decode import ObjectCode, decode
from pue.contract.series import SeriesKey
from pue.contract.signing import Signer
from pue.contract.topology import AgentKey, Topology
from pue.contract.wire import SignedLine, epoch_id
from tests.bench.rows import Row, row
from tests.support.collectors import Bench, bench
from tests.support.plants import START_MS, FakeAgent, meter, topology_of, write_topology

PIECES = 10
FORGED = 1_000_000
ROUND = 1_000
LEAST_SHARE = 0.01
HOUR_MS = 3_600_000
END_MS = START_MS + HOUR_MS
"""When lost keys ended; honest readings begin a day later."""
NOW_MS = START_MS + 400 * 24 * HOUR_MS
VALUE = ObjectCode("i32", 0)
OIDS = ("1.3.6.1.4.1.318.1.1.26.4.3.1.9.1", "1.3.6.1.4.1.318.1.1.26.4.3.1.5.1")

Forgery = tuple[bytes, Route | None]


@dataclass
class World:
    """Two sites of two agents, each with a meter and three keys: one was lost, one is not valid yet, one it uses."""

    choice: Random
    agents: list[FakeAgent]
    lost: dict[str, Signer]
    early: dict[str, Signer]
    gone: FakeAgent
    cycle: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    """Batches of each agent that were kept before this round."""
    grasping: dict[str, str] = field(default_factory=dict)
    """Configurations of their own in which agents list the meter of the other one at their site."""
    expected: dict[str, dict[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, choice: Random) -> World:
        """Names differ by site and number; the agent that was withdrawn stood at the first site."""
        agents = [
            FakeAgent(f"{site}-a{number}", site, meters=(f"main-{number}",))
            for site in ("km01", "km02")
            for number in (1, 2)
        ]
        names = [agent.agent for agent in agents]
        lost = {name: Signer.generate() for name in names}
        early = {name: Signer.generate() for name in names}
        return cls(choice, agents, lost, early, FakeAgent("km01-a9", "km01", meters=()))

    def topology(self) -> Topology:
        """As the registry states all of it."""
        document = topology_of([*self.agents, self.gone])
        agents = [
            msgspec.structs.replace(
                agent.enrolment(),
                keys=[
                    key_of(self.lost[agent.agent], 0, END_MS, "compromised"),
                    key_of(agent.signer, 0, None, "rotated"),
                    key_of(self.early[agent.agent], NOW_MS * 2, None, "rotated"),
                ],
            )
            for agent in self.agents
        ]
        withdrawn = msgspec.structs.replace(
            self.gone.enrolment(), keys=[key_of(self.gone.signer, 0, END_MS, "withdrawn")]
        )
        meters = []
        for agent in self.agents:
            plain = meter(agent.site, agent.meters[0])
            version = msgspec.structs.replace(plain.versions[0], agent=agent.agent)
            meters.append(msgspec.structs.replace(plain, versions=[version]))
        return msgspec.structs.replace(document, agents=[*agents, withdrawn], meters=meters)

    def begin(self) -> list[SignedLine]:
        """What every agent sends first: a configuration that lists another's meter, then its own."""
        for agent in self.agents:
            victim = next(one for one in self.agents if one is not agent and one.site == agent.site)
            config = replace(victim, agent=agent.agent).parts()
            agent.configure_in_parts(config)
            self.grasping[agent.agent] = config.digest
            agent.configure_in_parts()
        return [signed for agent in self.agents for signed in agent.batches]

    def honest(self) -> SignedLine:
        """The next reading of one of the agents."""
        self.cycle += 1
        agent = self.choice.choice(self.agents)
        time_ms = START_MS + 24 * HOUR_MS + self.cycle * 1000
        self.expected.setdefault(agent.agent, {})[time_ms] = self.cycle
        return agent.read([time_ms], [self.cycle])

    def thief(self, agent: FakeAgent, signer: Signer | None = None, **changes: Any) -> FakeAgent:
        """Somebody who signs in an agent's name, in an epoch of its own."""
        epoch = epoch_id(START_MS, f"{self.choice.getrandbits(32):08x}")
        return replace(agent, signer=signer or agent.signer, epoch=epoch, seq=0, prev="0" * 64, batches=[], **changes)

    def target(self) -> FakeAgent:
        return self.choice.choice(self.agents)

    def other(self, agent: FakeAgent) -> FakeAgent:
        return self.choice.choice([one for one in self.agents if one is not agent])

    def time_ms(self) -> int:
        """Any time that honest readings have, had or will have."""
        return START_MS + 24 * HOUR_MS + self.choice.randrange(self.cycle + 1000) * 1000


def key_of(signer: Signer, from_ms: int, to_ms: int | None, ended: str) -> AgentKey:
    return AgentKey(
        key=signer.key_id, public=signer.verifier.to_text(), from_ms=from_ms, to_ms=to_ms, ended=ended  # type: ignore[arg-type]  # one of three
    )  # fmt: skip


# Batches with valid signatures by enrolled keys


def compromised(world: World) -> Forgery:
    agent = world.target()
    thief = world.thief(agent, world.lost[agent.agent])
    return thief.read([START_MS + 7], [666], sent_ms=END_MS - 1).payload(), None


def withdrawn(world: World) -> Forgery:
    return world.thief(world.gone, config=world.target().config).read(
        [START_MS], [666], sent_ms=START_MS
    ).payload(), None


def not_yet_valid(world: World) -> Forgery:
    agent = world.target()
    thief = world.thief(agent, world.early[agent.agent])
    return thief.read([world.time_ms()], [666]).payload(), None


def of_the_future(world: World) -> Forgery:
    agent = world.target()
    return world.thief(agent).read([world.time_ms()], [666], sent_ms=NOW_MS + HOUR_MS).payload(), None


def by_anothers_config(world: World) -> Forgery:
    agent = world.target()
    return world.thief(agent, config=world.other(agent).config).read([world.time_ms()], [666]).payload(), None


def anothers_manifest(world: World) -> Forgery:
    agent = world.target()
    config = world.other(agent).parts()
    body = wire.ConfigBatch(body=config.manifest, **world.thief(agent).header(START_MS, config=None))  # type: ignore[arg-type]  # as `header` makes them
    return wire.seal(body, agent.signer).payload(), None


def of_another_site(world: World) -> Forgery:
    agent = world.target()
    site = "km02" if agent.site == "km01" else "km01"
    return world.thief(agent).read([world.time_ms()], [666], site=site).payload(), None


def on_anothers_topic(world: World) -> Forgery:
    agent = world.target()
    route = Route("s0", world.other(agent).agent)
    return world.thief(agent).read([world.time_ms()], [666]).payload(), route


def under_a_kept_number(world: World) -> Forgery:
    """By the agent itself: what it said once stays."""
    agent = world.target()
    thief = replace(agent, seq=world.choice.randrange(world.kept[agent.agent]), batches=[])
    return thief.read([world.time_ms()], [666]).payload(), None


def in_anothers_name(world: World) -> Forgery:
    agent = world.target()
    victim = world.other(agent)
    return world.thief(victim, agent.signer).read([world.time_ms()], [666]).payload(), None


# Without a valid signature


def with_anothers_key_id(world: World) -> Forgery:
    agent = world.target()
    victim = world.other(agent)
    thief = world.thief(victim, agent.signer)
    return thief.read([world.time_ms()], [666], key=victim.signer.key_id).payload(), None


def flipped(world: World) -> Forgery:
    agent = world.target()
    signed = world.thief(agent).read([world.time_ms()], [666])
    line = bytearray(signed.line)
    line[world.choice.randrange(len(line))] ^= 1 << world.choice.randrange(7)
    return SignedLine(bytes(line), signed.signature).payload(), None


def by_a_stranger(world: World) -> Forgery:
    return world.thief(world.target(), Signer.generate()).read([world.time_ms()], [666]).payload(), None


def of_nobody(world: World) -> Forgery:
    return FakeAgent("km09-a1", config="ab" * 32).read([world.time_ms()], [666]).payload(), None


def noise(world: World) -> Forgery:
    return world.choice.randbytes(200), None


SIGNED: tuple[Callable[[World], Forgery], ...] = (
    compromised, withdrawn, not_yet_valid, of_the_future, by_anothers_config, anothers_manifest, of_another_site,
    on_anothers_topic, under_a_kept_number, in_anothers_name,
)  # fmt: skip
UNSIGNED = (with_anothers_key_id, flipped, by_a_stranger, of_nobody, noise)


def of_anothers_meter(world: World) -> Forgery:
    """Genuine, and so kept; what it says of a meter that the registry gives another agent is not used."""
    agent = world.target()
    return world.thief(agent, config=world.grasping[agent.agent]).read([world.time_ms()], [666]).payload(), None


# Meters' answers


@dataclass(frozen=True)
class Asked:
    """A request to a device and the answer it deserves."""

    question: Question
    number: int
    answer: bytes

    @classmethod
    def of(cls, choice: Random) -> Asked:
        """SNMP: the request itself made an answer, its values some integers."""
        question = Question.of("public", OIDS)
        number = choice.randint(FIRST_ID, LAST_ID)
        return cls(question, number, answer_to(question.numbered(number), choice))


def answer_to(request: bytes, choice: Random) -> bytes:
    """NULL values, 05 00, become one-octet integers; four lengths around them grow."""
    body = bytearray(request)
    pdu = body.index(b"\xa0", 12)
    bindings = pdu + 2 + 6 + 3 + 3
    head, listed = body[:bindings], bytes(body[bindings:])
    for _ in OIDS:
        listed = listed.replace(b"\x05\x00", b"\x02\x01" + bytes([choice.randrange(128)]), 1)
    tail = bytearray(listed)
    tail[1] += len(OIDS)
    at = 2
    while at < len(tail):
        tail[at + 1] += 1
        at += 2 + tail[at + 1]
    head[pdu] = 0xA2
    head[pdu + 1] += len(OIDS)
    head[1] += len(OIDS)
    return bytes(head) + bytes(tail)


def snmp_believed(choice: Random) -> tuple[bool, bool]:
    """Whether the right answer is, and whether one is that differs from it in anything but what the device may choose.

    That is a value and its type, and which object an error that there is none would be about.
    """
    asked = Asked.of(choice)
    numbers = [at for at in range(len(asked.answer) - 2) if asked.answer[at : at + 2] == b"\x02\x01"]
    *_, error_index, first, second = numbers
    free = {error_index + 2, first, first + 2, second, second + 2}
    forged = bytearray(asked.answer)
    place = choice.choice([at for at in range(len(forged)) if at not in free])
    forged[place] ^= 1 << choice.randrange(8)
    return is_answer(asked, asked.answer), is_answer(asked, bytes(forged))


def is_answer(asked: Asked, message: bytes) -> bool:
    """Whether the agent would make counts of it: a value that is no number is kept as it came, and none."""
    try:
        values = asked.question.answered(message, asked.number)
    except (NotOurs, Refused):
        return False
    return all(decode(value.hex(), VALUE)[0] is not None for value in values)


def modbus_believed(choice: Random) -> tuple[bool, bool]:
    """As above: transaction, protocol, length, unit, function and byte count have to be the request's."""
    words = choice.randint(1, 60)
    head = choice.randbytes(2) + b"\x00\x00"
    unit, function = choice.randrange(1, 248), choice.choice((3, 4))
    request = head + b"\x00\x06" + bytes((unit, function)) + choice.randbytes(2) + words.to_bytes(2, "big")
    answer = (
        head + (3 + 2 * words).to_bytes(2, "big") + bytes((unit, function, 2 * words)) + choice.randbytes(2 * words)
    )
    forged = bytearray(answer)
    forged[choice.randrange(9)] ^= 1 << choice.randrange(8)
    return compare(request, answer) is Fit.WHOLE, compare(request, bytes(forged)) is Fit.WHOLE


# A piece


@dataclass
class Tally:
    """What was believed that should not have been, and what was not that should."""

    kinds: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    refused: int = 0


def piece(seed: int, number: int) -> dict[str, Any]:
    """A share of the forged inputs."""
    choice = Random(seed * PIECES + number)
    tally = Tally()
    world = World.of(choice)
    with tempfile.TemporaryDirectory() as folder, bench(Path(folder), world.agents) as desk:
        write_topology(desk.folder / "topology.signed", world.topology())
        with opened(desk.settings) as parts:
            tray = Intake("yn-c1", parts.ledgers, parts.index, lambda: NOW_MS, quarantine_mib=1)
            tray.take([Arrival.of(signed) for signed in world.begin()], parts.enrolled())
            for _ in range(FORGED // PIECES // ROUND):
                one_round(world, desk, parts, tray, tally)
    return {"kinds": dict(tally.kinds), "accepted": tally.accepted, "refused": tally.refused}


def one_round(world: World, desk: Bench, parts: Parts, tray: Intake, tally: Tally) -> None:
    """A thousand forged inputs among as many honest ones, then a look at everything."""
    arrivals: list[Arrival] = []
    honest = kept = 0
    first_ms = START_MS + 24 * HOUR_MS + (world.cycle + 1) * 1000
    world.kept = {agent.agent: agent.seq for agent in world.agents}
    world.expected.clear()
    for _ in range(ROUND):
        kind = world.choice.random()
        if kind < 0.1:
            believe(world, tally)
            continue
        if kind < 0.13:
            make: Callable[[World], Forgery] = of_anothers_meter
            kept += 1
        else:
            make = world.choice.choice(SIGNED if kind < 0.7 else UNSIGNED)
        tally.kinds[make.__name__] += 1
        arrivals.append(Arrival.of(world.honest()))
        payload, route = make(world)
        arrivals.append(Arrival(payload, route))
        honest += 1
    world.choice.shuffle(arrivals)
    committed = 0
    for start in range(0, len(arrivals), 100):
        committed += tray.take(arrivals[start : start + 100], parts.enrolled()).committed
    tally.accepted += max(committed - honest - kept, 0)
    tally.refused += max(honest + kept - committed, 0)
    desk.project(parts)
    for agent in world.agents:
        tally.accepted += what_differs(agent, world.expected.get(agent.agent, {}), first_ms, desk, tray)


def believe(world: World, tally: Tally) -> None:
    """One answer of a meter, and one that was forged."""
    ask = world.choice.choice((snmp_believed, modbus_believed))
    tally.kinds[ask.__name__] += 1
    right, wrong = ask(world.choice)
    tally.refused += not right
    tally.accepted += wrong


def what_differs(agent: FakeAgent, expected: dict[int, int], first_ms: int, desk: Bench, tray: Intake) -> int:
    """In how many things an agent's state is not what its honest batches alone would have left."""
    ack = tray.ack(agent.agent, agent.epoch)
    told = (ack.upto, ack.sha256, ack.ranges, ack.held, ack.refused)
    key = SeriesKey(agent.site, agent.meters[0], "energy_import")
    found = desk.reader.readings(key, first_ms, 1 << 62)
    stored = dict(zip(found.t1_ms.tolist(), found.count.tolist(), strict=True))
    return (told != (agent.seq, agent.prev, [], [], [])) + len(stored.items() ^ expected.items())


def rows(pieces: list[dict[str, Any]]) -> list[Row]:
    """All pieces together."""
    kinds: Counter[str] = sum((Counter(one["kinds"]) for one in pieces), Counter())
    rare = [name for name, count in kinds.items() if count < LEAST_SHARE * FORGED]
    if rare or kinds.total() != FORGED:
        raise AssertionError(f"{kinds.total()} forged inputs, too few of {rare}")
    return [
        row("forged: accepted of 1,000,000", sum(one["accepted"] for one in pieces), "inputs", "= 0"),
        row("forged: honest inputs refused of 1,000,000", sum(one["refused"] for one in pieces), "inputs", "= 0"),
    ]
