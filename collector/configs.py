"""Configurations as readings name them, put together from the batches in which they came."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from pue.contract.batches import ConfigBody, Manifest
from pue.contract.configuration import Configuration
from pue.contract.errors import Reject
from pue.contract.wire import Batch, ConfigBatch, ConfigBatchV1, config_digest

log = logging.getLogger(__name__)

AnyConfigBatch = ConfigBatch | ConfigBatchV1
BatchOf = Callable[[str], AnyConfigBatch | None]
"""Finds the batch of a name; None while none has come, or none can be read."""


@dataclass(frozen=True, slots=True)
class KeptConfig:
    """A configuration that is in the ledger, and who sent it: nobody else's readings are read by it."""

    site: str
    agent: str
    setup: Configuration

    def belongs_to(self, batch: Batch) -> bool:
        """Whether a batch is of the same agent at the same site."""
        return (self.site, self.agent) == (batch.site, batch.agent)


def config_name(batch: AnyConfigBatch, sha256: str) -> str:
    """What others call a config batch: its content's digest; in version 1 the hash of its line."""
    return sha256 if isinstance(batch, ConfigBatchV1) else config_digest(batch.body)


def put_together(name: str, batch_of: BatchOf) -> KeptConfig | None:
    """The configuration of a name; None while it or a part of it is missing, or if they do not fit each other."""
    batch = batch_of(name)
    if isinstance(batch, ConfigBatchV1):
        return KeptConfig(batch.site, batch.agent, Configuration.of_one_batch(batch.body))
    if batch is None or not isinstance(batch.body, Manifest):
        return None
    parts = _parts(batch.body, batch_of)
    if parts is None:
        return None
    try:
        return KeptConfig(batch.site, batch.agent, Configuration.of_parts(batch.body, parts))
    except Reject as error:
        log.warning("configuration %s of %s cannot be used: %s", name, batch.agent, error)
        return None


def _parts(manifest: Manifest, batch_of: BatchOf) -> dict[str, ConfigBody] | None:
    parts: dict[str, ConfigBody] = {}
    for digest in manifest.parts:
        batch = batch_of(digest)
        if not isinstance(batch, ConfigBatch):
            return None
        parts[digest] = batch.body
    return parts
