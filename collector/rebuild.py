"""The series store written anew from the ledger."""

from __future__ import annotations

from contextlib import closing

from collector.app import Parts, clock_ms, ledger_readers
from collector.database import connect, transaction
from collector.progress import Progress
from collector.project import Projector
from collector.stores import store_anew


def rebuild_all(parts: Parts) -> int:
    """Forget the projection, project every record into a new store. Returns the number of readings stored.

    A store of an earlier release is taken over this way: nothing of it is read. If it fails, a store in a file is as it
    was, and the next run projects everything into it once more, which changes nothing that is right.
    """
    enrolled = parts.enrolled()
    settings = parts.settings
    state_dir = settings.collector.state_dir
    with closing(connect(state_dir)) as db:
        progress = Progress(db)
        with transaction(db):
            progress.reset()
        try:
            with store_anew(settings.series) as store:
                readers = ledger_readers(db, state_dir, parts.ledgers)
                return Projector(progress, readers, store, clock_ms).drain(parts.ends, enrolled)
        except BaseException:
            with transaction(db):
                progress.reset()
            raise
