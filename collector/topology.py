"""What the topology document says, in the form admission asks for it."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from pue.contract.errors import Fatal, Reject
from pue.contract.signing import ALGORITHM, Verifier
from pue.contract.topology import Agent, AgentKey, Meter, Topology, open_topology
from pue.contract.wire import SignedLine

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The document as look-up tables."""

    document: Topology
    agents: dict[str, Agent] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[AgentKey, Verifier]] = field(default_factory=dict)
    meters: dict[tuple[str, str], Meter] = field(default_factory=dict)
    configs: frozenset[str] = frozenset()
    releases: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Topology) -> Enrolled:
        """Index a document."""
        return cls(
            document,
            {agent.agent: agent for agent in document.agents},
            {
                (agent.agent, key.key): (key, Verifier.from_text(key.public))
                for agent in document.agents
                for key in agent.keys
                if key.alg == ALGORITHM  # of another a later release knows more
            },
            {(meter.site, meter.meter): meter for meter in document.meters},
            frozenset(document.configs),
            _releases(document),
        )

    def is_released(self, agent: str, epoch: str, seq: int) -> bool:
        """Whether a person let a held batch in."""
        return any(low <= seq <= high for low, high in self.releases.get((agent, epoch), ()))

    @property
    def version(self) -> int:
        """Version of the document."""
        return self.document.version


def _releases(document: Topology) -> dict[tuple[str, str], list[tuple[int, int]]]:
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for one in document.releases:
        found.setdefault((one.agent, one.epoch), []).append((one.from_seq, one.to_seq))
    return found


def read_document(data: bytes, verifier: Verifier) -> Enrolled:
    """Check and index the bytes of a topology file: one line, newline, signature.

    Raises
    ------
    Reject
        If the signature or the content does not fit.
    Fatal
        If a key in it is none.
    """
    line, _, signature = data.rstrip(b"\n").rpartition(b"\n")
    return Enrolled.of(open_topology(SignedLine(line, signature), verifier))


class TopologyFile:
    """The file compliance writes: watched, checked, and replaced only by something newer and valid.

    Parameters
    ----------
    path
        The file.
    issuer_key
        Public key of its issuer, base64.
    cache
        Directory for a copy of every version used: a slot's pinned version can be looked up there.
    """

    def __init__(self, path: Path, issuer_key: str, cache: Path) -> None:
        self.path = path
        self.current: Enrolled | None = None
        self.problem = ""
        self._verifier = Verifier.from_text(issuer_key)
        self._cache = cache
        self._seen: tuple[int, int] | None = None

    def load(self) -> Enrolled | None:
        """Take the file, or else the latest cached version; the problem, if any, is in `problem`."""
        self._restore()
        self.refresh()
        return self.current

    def refresh(self) -> bool:
        """Look whether the file changed; True when a new version is in force."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        before = self.current.version if self.current else 0
        try:
            self._take(self.path.read_bytes())
        except (OSError, Reject, Fatal) as error:
            self._seen = None if isinstance(error, OSError) else stamp
            kept = f"version {before} stays in force" if before else "no batch can be admitted before it is there"
            problem = f"{self.path}: {error}; {kept}. Write it with `pue-compliance topology`"
            if problem != self.problem:
                log.warning("%s", problem)
            self.problem = problem
            return False
        self.problem = ""
        return self.current is not None and self.current.version != before

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return 0, 0
        return status.st_mtime_ns, status.st_size

    def _take(self, data: bytes) -> None:
        found = read_document(data, self._verifier)
        if self.current and found.version < self.current.version:
            raise Fatal(f"version {found.version} is older than version {self.current.version} in force")
        self._keep(data, found.version)
        self.current = found

    def _keep(self, data: bytes, version: int) -> None:
        target = self._cache / f"{version:08d}.signed"
        if target.exists():
            return
        self._cache.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(".new")
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)

    def _restore(self) -> None:
        for path in sorted(self._cache.glob("*.signed"), reverse=True):
            try:
                self.current = read_document(path.read_bytes(), self._verifier)
            except (OSError, Reject, Fatal) as error:
                log.warning("%s: %s; looking at the version before it", path, error)
                continue
            return
