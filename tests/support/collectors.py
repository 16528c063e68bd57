"""A collector in pieces, in this process: admission, ledger, projection and reader without a broker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from collector.app import Parts, opened, projecting
from collector.intake import Arrival, Taken
from collector.read import SeriesReader, open_reader
from collector.settings import Document, load
from pue.contract.wire import SignedLine
from tests.support.plants import FakeAgent, collector_toml, topology_of, write_topology


class Bench:
    """One collector over the folder it lives in.

    Parameters
    ----------
    folder
        Holds configuration, topology, state and series.
    agents
        Enrolled in topology version 1.
    series
        Text of the `[series]` table; SQLite if empty.
    """

    def __init__(self, folder: Path, agents: Iterable[FakeAgent], series: str = "") -> None:
        self.folder = folder
        write_topology(folder / "topology.signed", topology_of(agents))
        self.settings: Document = load(collector_toml(folder, series=series))
        self.reader: SeriesReader = open_reader(self.settings.series, self.settings.collector.state_dir)

    def take(self, batches: Sequence[SignedLine]) -> Taken:
        """Admit batches, then project them."""
        with opened(self.settings) as parts:
            taken = parts.intake.take([Arrival.of(signed) for signed in batches], parts.enrolled())
            self.project(parts)
        return taken

    def project(self, parts: Parts, chunk_readings: int = 400_000) -> int:
        """Project what is kept."""
        with projecting(self.settings, chunk_readings) as projector:
            return projector.drain(parts.ends, parts.enrolled())


@contextmanager
def bench(folder: Path, agents: Iterable[FakeAgent], series: str = "") -> Iterator[Bench]:
    """A collector in pieces, its reader closed at the end."""
    made = Bench(folder, agents, series)
    try:
        yield made
    finally:
        made.reader.close()
