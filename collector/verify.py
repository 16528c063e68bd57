"""Every original read and held against the index: what is damaged is found before anybody needs it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from collector.app import clock_ms, ledger_readers
from collector.database import transaction
from collector.index import indexed, report
from collector.ledger import Lost
from collector.progress import Progress, damage


@dataclass(slots=True)
class Verified:
    """What a shard's ledger holds: records that are the filed originals, and numbers of those that are not."""

    shard: str
    whole: int = 0
    lost: list[int] = field(default_factory=list)


def verify_all(db: sqlite3.Connection, state_dir: Path, shards: list[str]) -> Iterator[Verified]:
    """Read every filed record, beside a running collector too. What is damaged is asked for again by that collector."""
    progress = Progress(db)
    for shard, reader in ledger_readers(db, state_dir, shards).items():
        found = Verified(shard)
        damaged = []
        for record in reader.records(0, indexed(db, shard)):
            if isinstance(record, Lost):
                found.lost.append(record.number)
                damaged.append(record)
            else:
                found.whole += 1
        with transaction(db):
            progress.damaged((shard, lost.number, lost.received_ms) for lost in damaged)
            incidents = [damage(shard, lost.number, progress.batch_of(shard, lost.number)) for lost in damaged]
            report(db, incidents, clock_ms())
        yield found
