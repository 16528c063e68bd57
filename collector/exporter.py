"""A shard's originals as a batch file."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from collector.database import FILE, connect_read_only
from collector.ledger import LedgerReader
from pue.contract.errors import Fatal
from pue.contract.wire import SignedLine, write_lines


def export_shard(state_dir: Path, shard: str, out: Path) -> int:
    """Write every record that is filed, in the order of the ledger. Returns how many.

    Raises
    ------
    Fatal
        If the shard is unknown or the file cannot be written.
    """
    with closing(connect_read_only(state_dir / FILE)) as db:
        row = db.execute("SELECT indexed FROM shard WHERE shard = ?", (shard,)).fetchone()
    if row is None:
        raise Fatal(f"shard {shard!r} is not in {state_dir}; look at [collector] shards")
    try:
        with gzip.open(out, "wb") if out.suffix == ".gz" else out.open("wb") as file:
            for data in write_lines(_originals(state_dir, shard, row[0])):
                file.write(data)
    except OSError as error:
        raise Fatal(f"{out}: cannot be written ({error.strerror}); choose another place") from None
    return int(row[0])


def _originals(state_dir: Path, shard: str, stop: int) -> Iterator[SignedLine]:
    for record in LedgerReader(state_dir / "ledger" / shard).records(0, stop):
        yield record.signed
