"""A shard's originals as a batch file."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from collector.database import FILE, connect_read_only
from collector.index import filed
from collector.ledger import LedgerReader, Lost
from pue.contract.errors import Fatal
from pue.contract.wire import SignedLine, write_lines


@dataclass(slots=True)
class Exported:
    """How many batches a file holds, and which records cannot be read and are not in it."""

    batches: int = 0
    lost: list[int] = field(default_factory=list)


def export_shard(state_dir: Path, shard: str, out: Path) -> Exported:
    """Write every record that is filed, in the order of the ledger; those that cannot be read are left out and named.

    Raises
    ------
    Fatal
        If the shard is unknown or the file cannot be written.
    """
    exported = Exported()
    with closing(connect_read_only(state_dir / FILE)) as db:
        row = db.execute("SELECT indexed FROM shard WHERE shard = ?", (shard,)).fetchone()
        if row is None:
            raise Fatal(f"shard {shard!r} is not in {state_dir}; look at [collector] shards")
        reader = LedgerReader(state_dir / "ledger" / shard, filed(db, shard))
        try:
            with gzip.open(out, "wb") if out.suffix == ".gz" else out.open("wb") as file:
                for data in write_lines(_originals(reader, row[0], exported)):
                    file.write(data)
        except OSError as error:
            raise Fatal(f"{out}: cannot be written ({error.strerror}); choose another place") from None
    return exported


def _originals(reader: LedgerReader, stop: int, exported: Exported) -> Iterator[SignedLine]:
    for record in reader.records(0, stop):
        if isinstance(record, Lost):
            exported.lost.append(record.number)
        else:
            exported.batches += 1
            yield record.signed
