"""The series store written anew from the ledger."""

from __future__ import annotations

from contextlib import closing

from collector.app import Parts, clock_ms, ledger_directory
from collector.database import connect, transaction
from collector.ledger import LedgerReader
from collector.progress import Progress
from collector.project import Projector
from collector.stores import open_store


def rebuild_all(parts: Parts) -> int:
    """Forget the projection, empty the store, project every record. Returns the number of readings stored.

    A store of an earlier release is taken over this way: nothing of it is read.
    """
    enrolled = parts.enrolled()
    settings = parts.settings
    state_dir = settings.collector.state_dir
    with closing(connect(state_dir)) as db:
        progress = Progress(db)
        with transaction(db):
            progress.reset()
        with closing(open_store(settings.series, anew=True)) as store:
            readers = {shard: LedgerReader(ledger_directory(state_dir, shard)) for shard in parts.ledgers}
            return Projector(progress, readers, store, clock_ms).drain(parts.ends, enrolled)
