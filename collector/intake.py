"""Groups of batches on their way in: decide, ledger, fsync, index, and only then the acks."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from collector.admit import Commit, Duplicate, Gate, Place, Refuse, Repair, Route, admit
from collector.database import transaction
from collector.gaps import Owner, Settled, Standing, ack
from collector.incidents import Incident, IncidentKind
from collector.index import Index
from collector.ledger import Ledger, Record, pack
from collector.topology import Enrolled
from pue.contract.errors import Reject, Retry
from pue.contract.wire import FIRST_SEQ, Ack, SignedLine, unpack

log = logging.getLogger(__name__)

READMIT_BATCHES = 100
ACKED_EPOCHS = 4
"""How many of an agent's latest epochs an ack is sent for when it comes back."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Bytes that came in: a message with its route, or a signed line out of a file."""

    payload: bytes
    route: Route | None = None
    first_ms: int | None = None
    """When it came for the first time, if it was in quarantine: what was of the future then still was. [ms UTC]"""

    @classmethod
    def of(cls, signed: SignedLine) -> Arrival:
        """A batch of a file."""
        return cls(pack(signed))


@dataclass(slots=True)
class Taken:
    """What became of a group."""

    committed: int = 0
    duplicates: int = 0
    repaired: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    incidents: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)
    acks: list[tuple[str, Ack]] = field(default_factory=list)
    disputed: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def summary(self) -> str:
        """In words."""
        refused = ", ".join(f"{count} {reason}" for reason, count in sorted(self.refused.items()))
        return (
            f"{self.committed} batches kept, {self.duplicates} known already, {self.refused.total()} refused"
            f"{f' ({refused})' if refused else ''}, {self.incidents.total()} incidents"
            f"{f', {self.repaired} damaged originals put back' if self.repaired else ''}"
        )

    def add(self, other: Taken) -> None:
        """Sum up, without the acks."""
        self.committed += other.committed
        self.duplicates += other.duplicates
        self.repaired += other.repaired
        self.refused += other.refused
        self.incidents += other.incidents
        self.messages = (self.messages + other.messages)[:20]


class Intake:
    """Takes groups of arrivals into the ledgers.

    Parameters
    ----------
    collector
        This collector's id, for acks.
    ledgers
        The shards it owns.
    index
        Its memory; used from one thread only.
    clock_ms
        Wall clock. [ms UTC]
    quarantine_mib
        Room for refused bytes whose sender is not proved. [MiB]
    """

    def __init__(
        self,
        collector: str,
        ledgers: dict[str, Ledger],
        index: Index,
        clock_ms: Callable[[], int],
        quarantine_mib: int,
    ) -> None:
        self._collector = collector
        self._ledgers = ledgers
        self._index = index
        self._clock_ms = clock_ms
        self._quarantine_mib = quarantine_mib
        self._behind = False

    def recover(self) -> None:
        """File what reached the ledgers before a crash, and report torn tails."""
        with transaction(self._index.db):
            for shard, ledger in self._ledgers.items():
                if count := self._index.catch_up(shard, ledger):
                    log.info("shard %s: %d records filed from the ledger", shard, count)
                if ledger.torn_bytes:
                    self._index.report([_torn(shard, ledger)], self._clock_ms())
        self._index.committed()
        self._behind = False

    def take(self, arrivals: Sequence[Arrival], enrolled: Enrolled) -> Taken:
        """Decide about a group, make it durable, and say which acks may now be sent.

        Raises
        ------
        Retry
            If a disk refuses; nothing of the group is kept then.
        """
        taken = Taken()
        touched: dict[tuple[str, str, str], None] = {}
        try:
            if self._behind:
                self.recover()
            with transaction(self._index.db):
                for arrival in arrivals:
                    # A dictionary for its order: one ack for each epoch that was touched, in the order of the batches.
                    if place := self._take_one(arrival, enrolled, taken):
                        touched[place.shard, place.agent, place.epoch] = None
                self._store(taken)
        except sqlite3.OperationalError as error:
            self._forget()
            raise Retry(f"the index cannot be written ({error}); make room on the disk") from error
        except BaseException:
            self._forget()
            raise
        self._index.committed()
        taken.acks = [*self._objections(taken), *((shard, self.ack(agent, epoch)) for shard, agent, epoch in touched)]
        return taken

    def ack(self, agent: str, epoch: str, settled: Settled | None = None) -> Ack:
        """What is settled of one epoch, or of its beginning."""
        settled = settled or self._index.settled(agent, epoch)
        last = self._index.kept(agent, epoch, settled.upto)
        standing = Standing(
            settled,
            last.sha256 if last else None,
            self._index.refused(agent, epoch),
            self._index.held(agent, epoch),
            self._index.version(agent, epoch),
        )
        return ack(Owner(self._collector, self.generation), agent, epoch, standing, self._clock_ms())

    @property
    def generation(self) -> int:
        """Of this owner: the latest of its shards'. [ms UTC]"""
        return max(ledger.generation for ledger in self._ledgers.values())

    def greet(self, agent: str) -> list[Ack]:
        """Acks for an agent that has just come back."""
        return [self.ack(agent, epoch) for epoch in self._index.epochs(agent, ACKED_EPOCHS)]

    def ask_again(self) -> list[tuple[str, Ack]]:
        """Acks that no longer name originals found to be damaged: their agents send them again."""
        if not self._index.has_new_damage():
            return []
        with transaction(self._index.db):
            touched = self._index.unsettle_damaged()
            self._index.flush({})
        return [(shard, self.ack(agent, epoch)) for shard, agent, epoch in touched]

    def readmit(self, enrolled: Enrolled) -> Taken:
        """Look again at what is in quarantine, for example after a new topology version."""
        total = Taken()
        waiting = self._index.quarantined()
        while group := list(islice(waiting, READMIT_BATCHES)):
            taken = self.take([Arrival(payload, first_ms=first_ms) for payload, first_ms in group], enrolled)
            total.add(taken)
            total.acks += taken.acks
        with transaction(self._index.db):
            for one in enrolled.document.releases:
                agent = enrolled.agents.get(one.agent)
                if agent and self._index.want_again(one.agent, one.epoch, one.from_seq, one.to_seq):
                    total.acks.append((agent.shard, self.ack(one.agent, one.epoch)))
        return total

    def _take_one(self, arrival: Arrival, enrolled: Enrolled, taken: Taken) -> Place | None:
        now_ms = self._clock_ms() if arrival.first_ms is None else arrival.first_ms
        try:
            signed = unpack(arrival.payload)
        except Reject as error:
            return self._refuse(Refuse(error.reason, str(error)), arrival, now_ms, taken)
        decision = admit(signed, arrival.route, Gate(enrolled, self._index, now_ms, frozenset(self._ledgers)))
        if isinstance(decision, Refuse):
            return self._refuse(decision, arrival, now_ms, taken)
        self._report(decision.incidents, now_ms, taken)
        if isinstance(decision, Repair):
            self._repair(decision.place, arrival)
            taken.repaired += 1
            return decision.place
        if isinstance(decision, Duplicate):
            taken.duplicates += 1
            if decision.incidents:
                taken.disputed.setdefault(
                    (decision.place.shard, decision.place.agent, decision.place.epoch), decision.place.seq
                )
            self._index.release(arrival.payload)
            return decision.place
        self._keep(decision, arrival, now_ms)
        taken.committed += 1
        return decision.place

    def _objections(self, taken: Taken) -> Iterator[tuple[str, Ack]]:
        """Acks up to a number whose other content is kept: their hash tells the agent so before a later `upto` can."""
        for (shard, agent, epoch), seq in taken.disputed.items():
            if seq <= self._index.settled(agent, epoch).upto:
                yield shard, self.ack(agent, epoch, Settled(((FIRST_SEQ, seq),)))

    def _keep(self, commit: Commit, arrival: Arrival, now_ms: int) -> None:
        record = self._ledgers[commit.place.shard].append(arrival.payload, now_ms)
        self._index.keep(commit, record)
        self._index.release(arrival.payload)

    def _repair(self, place: Place, arrival: Arrival) -> None:
        """Durable before the ack: a repair that is not filed after all is made once more, and the last one counts."""
        number, received_ms = self._index.damaged_place(place)
        self._ledgers[place.shard].repair(Record(number, received_ms, arrival.payload))
        self._index.repaired(place, number)

    def _refuse(self, refusal: Refuse, arrival: Arrival, now_ms: int, taken: Taken) -> Place | None:
        self._index.refuse(refusal, arrival.payload, now_ms, self._quarantine_mib)
        taken.refused[refusal.reason.value] += 1
        taken.messages.append(refusal.message)
        return refusal.place

    def _report(self, incidents: Iterable[Incident], now_ms: int, taken: Taken) -> None:
        for incident in incidents:
            self._index.report([incident], now_ms)
            taken.incidents[incident.kind.value] += 1
            log.warning("%s: %s", incident.kind.value, incident.detail)

    def _store(self, taken: Taken) -> None:
        """First the originals, then what is derived from them."""
        if taken.committed:
            for ledger in self._ledgers.values():
                ledger.sync()
        self._index.flush({shard: ledger.committed for shard, ledger in self._ledgers.items()})

    def _forget(self) -> None:
        """The ledger may have the group although the index was rolled back: file it before anything else comes."""
        # The ledger is synced before the index commits: after a failure between them it holds records that no index
        # knows.
        self._behind = True
        for ledger in self._ledgers.values():
            ledger.discard()
        self._index.forget()


def _torn(shard: str, ledger: Ledger) -> Incident:
    return Incident(
        IncidentKind.TORN_TAIL,
        "",
        "",
        f"{shard}/{ledger.committed}",
        f"{ledger.torn_bytes} bytes after record {ledger.committed - 1} of shard {shard} were never acked; put aside",
    )
