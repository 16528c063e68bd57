"""Which batches of an epoch are settled: kept, refused or declared lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from pue.contract.canonical import ZERO_HASH
from pue.contract.wire import FIRST_SEQ, Ack

MAX_RANGES = 100
"""Ranges beyond `upto` that one ack carries; the agent resends the rest, which settles them."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Sequence numbers as disjoint, ascending, non-touching ranges, both ends included."""

    ranges: tuple[tuple[int, int], ...] = ()

    def add(self, low: int, high: int) -> Settled:
        """Settle low..high as well."""
        if self.ranges and self.ranges[-1][1] + 1 == low:
            return Settled((*self.ranges[:-1], (self.ranges[-1][0], high)))
        before = [r for r in self.ranges if r[1] + 1 < low]
        after = [r for r in self.ranges if r[0] > high + 1]
        touching = self.ranges[len(before) : len(self.ranges) - len(after)]
        low = min([low, *(r[0] for r in touching)])
        high = max([high, *(r[1] for r in touching)])
        return Settled((*before, (low, high), *after))

    def without(self, seq: int) -> Settled:
        """Unsettle one number: it has to be sent again."""
        below = [(low, min(high, seq - 1)) for low, high in self.ranges if low < seq]
        above = [(max(low, seq + 1), high) for low, high in self.ranges if high > seq]
        return Settled((*below, *above))

    def __contains__(self, seq: object) -> bool:
        return isinstance(seq, int) and any(low <= seq <= high for low, high in self.ranges)

    @property
    def upto(self) -> int:
        """The last sequence number before the first gap; 0 when even the first batch is missing."""
        return self.ranges[0][1] if self.ranges and self.ranges[0][0] == FIRST_SEQ else 0

    @property
    def beyond(self) -> tuple[tuple[int, int], ...]:
        """What is settled after the first gap."""
        return self.ranges[1:] if self.upto else self.ranges

    @property
    def head(self) -> int:
        """The highest settled sequence number, 0 for none."""
        return self.ranges[-1][1] if self.ranges else 0

    @property
    def missing(self) -> tuple[tuple[int, int], ...]:
        """The gaps below the head."""
        edges = ((FIRST_SEQ - 1, FIRST_SEQ - 1), *self.ranges)
        pairs = pairwise(edges)
        return tuple((a[1] + 1, b[0] - 1) for a, b in pairs if a[1] + 1 < b[0])


def settle(seqs: Iterable[int]) -> Settled:
    """Build ranges from single sequence numbers, in any order."""
    ranges: list[list[int]] = []
    for seq in sorted(set(seqs)):
        if ranges and ranges[-1][1] + 1 == seq:
            ranges[-1][1] = seq
        else:
            ranges.append([seq, seq])
    return Settled(tuple((low, high) for low, high in ranges))


@dataclass(frozen=True, slots=True)
class Owner:
    """The collector that answers for a shard; `generation` is the time of its start, and grows with each."""

    collector: str
    generation: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What an ack says of an epoch.

    Attributes
    ----------
    upto_sha256
        SHA-256 of batch `settled.upto`, None when it was not kept.
    refused
        Sequence numbers and reason codes, the latest ones.
    held
        Numbers that wait at the collector.
    version
        Of the wire, as the agent speaks it.
    """

    settled: Settled
    upto_sha256: str | None
    refused: list[tuple[int, str]]
    held: Settled
    version: int


def ack(owner: Owner, agent: str, epoch: str, standing: Standing, now_ms: int) -> Ack:
    """Write what the agent may rely on.

    Parameters
    ----------
    now_ms
        The collector's clock. [ms UTC]
    """
    settled = standing.settled
    return Ack(
        v=standing.version,
        collector=owner.collector,
        generation=owner.generation,
        agent=agent,
        epoch=epoch,
        upto=settled.upto,
        sha256=standing.upto_sha256 or ZERO_HASH,
        ranges=list(settled.beyond[:MAX_RANGES]),
        refused=standing.refused,
        held=list(standing.held.ranges[:MAX_RANGES]),
        time_ms=now_ms,
    )
