"""The series store written anew from the ledger."""

from __future__ import annotations

from collector.app import Parts, clock_ms, ledger_directory
from collector.database import connect, transaction
from collector.ledger import LedgerReader
from collector.progress import Progress
from collector.project import Projector
from collector.stores import open_store


def rebuild_all(parts: Parts) -> int:
    """Forget the projection, empty the store, project every record. Returns the number of readings stored."""
    enrolled, settings = parts.enrolled(), parts.settings
    state_dir = settings.collector.state_dir
    db, store = connect(state_dir), open_store(settings.series)
    progress = Progress(db)
    with transaction(db):
        progress.reset()
    store.wipe()
    readers = {shard: LedgerReader(ledger_directory(state_dir, shard)) for shard in parts.ledgers}
    try:
        return Projector(progress, readers, store, clock_ms).drain(parts.ends, enrolled)
    finally:
        db.close()
        store.close()
