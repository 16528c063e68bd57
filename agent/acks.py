"""What an ack from the collector means for what we keep. Decides, does nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pue.contract.canonical import ZERO_HASH
from pue.contract.wire import Ack

Range = tuple[int, int]
"""First and last seq, both included."""
FIRST_TIME = 10**12
"""Generations from here on are times in ms: 2001-09-09. Release 0.1 counted starts, from 1 on every new machine."""


@dataclass(frozen=True, slots=True)
class EpochFacts:
    """What our spool knows of the epoch an ack speaks of.

    Attributes
    ----------
    is_open
        False once the epoch was left because the collector knew another one of the same name.
    head_seq
        Our last seq.
    acked_upto
        The highest `upto` the collector told us before.
    upto_sha256
        Hash of our batch `ack.upto`; None when it is not kept any more, or was never ours.
    """

    is_open: bool
    head_seq: int
    acked_upto: int
    upto_sha256: str | None


@dataclass(frozen=True, slots=True)
class Settle:
    """The collector has all seqs in `ranges`; with `regressed` it lost those outside, which we send again.

    Those `held` wait there: they are kept here and not sent again.
    """

    ranges: tuple[Range, ...]
    upto: int
    regressed: bool
    held: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class Fork:
    """The collector knows batches under our epoch's name that are not ours: a new epoch begins."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ignore:
    """Nothing to do; the reason goes to the log."""

    reason: str


Verdict = Settle | Fork | Ignore


class AckJudge:
    """Judges acks one by one.

    Acks may be lost or repeated: one that says less than an earlier one is believed only when the next one
    says so, too. A collector that was restored from a backup keeps saying it.

    Parameters
    ----------
    agent
        Our id, as it must stand in acks.
    generation
        The latest owner's that was ever believed.
    """

    def __init__(self, agent: str, generation: int = 0) -> None:
        self._agent = agent
        self._low: dict[str, int] = {}
        self._generation = generation

    @property
    def generation(self) -> int:
        """The latest owner's: acks of an older one are not believed."""
        return self._generation

    def judge(self, ack: Ack, facts: EpochFacts | None) -> Verdict:
        """Decide about one ack; `facts` is None for an epoch we do not know."""
        if ack.agent != self._agent:
            return Ignore(f"ack for agent {ack.agent!r}, we are {self._agent!r}; check the broker's topics")
        if ack.generation < self._generation:
            return Ignore(
                f"collector {ack.collector} is of generation {ack.generation}, {self._generation} was heard already: "
                "two collectors own this shard; stop the older one"
            )
        self._generation = ack.generation if ack.generation >= FIRST_TIME else 0
        if facts is None:
            return Ignore(f"ack for epoch {ack.epoch}, which this spool has not; was the spool deleted?")
        if not facts.is_open:
            return Ignore(f"ack for epoch {ack.epoch}, which was left")
        if ack.upto > facts.head_seq:
            return Fork(f"collector has seq {ack.upto} of epoch {ack.epoch}, our head is {facts.head_seq}")
        if facts.upto_sha256 is not None and ZERO_HASH != ack.sha256 != facts.upto_sha256:
            return Fork(f"collector has another batch {ack.upto} of epoch {ack.epoch}")
        held = tuple(merged(ack.held, facts.head_seq))
        return Settle(_ranges(ack, facts.head_seq), ack.upto, self._has_regressed(ack, facts.acked_upto), held)

    def _has_regressed(self, ack: Ack, acked_upto: int) -> bool:
        if ack.upto >= acked_upto:
            self._low.pop(ack.epoch, None)
            return False
        self._low[ack.epoch] = self._low.get(ack.epoch, 0) + 1
        return self._low[ack.epoch] > 1


def _ranges(ack: Ack, head_seq: int) -> tuple[Range, ...]:
    """Everything settled, merged; what lies beyond our head is cut off."""
    refused = ((seq, seq) for seq, _ in ack.refused)
    return tuple(merged([(1, ack.upto), *ack.ranges, *refused], head_seq))


def merged(ranges: Iterable[Range], last: int) -> Iterator[Range]:
    """Disjoint ascending ranges within 1..last that cover the same seqs."""
    current: Range | None = None
    for low, high in sorted((max(low, 1), min(high, last)) for low, high in ranges):
        if high < low:
            continue
        if current is not None and low <= current[1] + 1:
            current = (current[0], max(current[1], high))
            continue
        if current is not None:
            yield current
        current = (low, high)
    if current is not None:
        yield current


def missing(ranges: Iterable[Range], last: int) -> Iterator[Range]:
    """The seqs of 1..last that disjoint ascending ranges leave out."""
    at = 1
    for low, high in ranges:
        if low > at:
            yield at, min(low - 1, last)
        at = max(at, high + 1)
    if at <= last:
        yield at, last
