"""The agent's one chain of signed batches: each names the hash of the one before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from agent.clock import Clock
from pue.contract import wire, wire_v1
from pue.contract.batches import ConfigBody, LinkPart, Manifest, ProfilePart
from pue.contract.canonical import ZERO_HASH
from pue.contract.signing import Signer
from pue.contract.wire import Config, Event, Readings, SignedLine, config_digest

Body = Readings | ConfigBody | Config | Event
"""A whole configuration only where one of release 0.1 is sent again."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain ends.

    Attributes
    ----------
    epoch, prev_epoch
        The running epoch and the one it continues.
    seq
        Of the last batch, 0 before the first.
    sha256
        Of the last batch; before the first that of the last batch of `prev_epoch`, zeros if unknown.
    config
        Name of the configuration that data now name.
    """

    epoch: str
    prev_epoch: str | None
    seq: int = 0
    sha256: str = ZERO_HASH
    config: str | None = None


def new_epoch_id(head: Head | None, now_ms: int, random_hex: str) -> str:
    """Name of an epoch that sorts after the running one, even if the clock was set back."""
    earliest_ms = int(head.epoch[:12], 16) + 1 if head else 0
    return wire.epoch_id(max(now_ms, earliest_ms), random_hex)


@dataclass(frozen=True, slots=True)
class Sealer:
    """Who signs."""

    site: str
    agent: str
    boot: str
    signer: Signer
    clock: Clock

    def seal(self, head: Head, body: Body, config: str | None = None) -> tuple[SignedLine, Head]:
        """Sign the next batch of the chain.

        Parameters
        ----------
        head
            Where the chain ends now.
        body
            What the batch carries.
        config
            Configuration that readings refer to, if it is not the head's.
        """
        batch = self._batch(head, body, config or head.config)
        signed = wire.seal(batch, self.signer)
        after = replace(head, seq=batch.seq, sha256=signed.sha256)
        if isinstance(body, Manifest | Config):
            after = replace(after, config=signed.sha256 if isinstance(body, Config) else config_digest(body))
        return signed, after

    def _batch(self, head: Head, body: Body, config: str | None) -> wire.Batch:
        header = {
            "site": self.site,
            "agent": self.agent,
            "key": self.signer.key_id,
            "epoch": head.epoch,
            "prev_epoch": head.prev_epoch,
            "boot": self.boot,
            "seq": head.seq + 1,
            "prev": head.sha256,
            "sent_ms": self.clock.wall_ms(),
            "mono_ns": self.clock.mono_ns(),
        }
        names_one = not isinstance(body, Manifest | ProfilePart | LinkPart | Config)
        return _kind(body)(**header, config=config if names_one else None, body=body)


def _kind(body: Body) -> Callable[..., wire.Batch]:
    if isinstance(body, Readings):
        return wire.DataBatch
    if isinstance(body, Config):
        return partial(wire.ConfigBatchV1, v=wire_v1.VERSION)
    return wire.ConfigBatch if isinstance(body, Manifest | ProfilePart | LinkPart) else wire.EventBatch
