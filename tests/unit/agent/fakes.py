"""Small stand-ins for the agent's neighbours: a clock, a spool of readings, a broker session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agent.chain import Sealer
from agent.mqtt import BrokerEvent, Closed
from agent.spool import Spool
from pue.contract.configuration import ConfigInParts
from pue.contract.signing import Signer
from pue.contract.wire import Readings, SignedLine, unpack

SIGNER = Signer.generate()
EPOCH = "019000000000aaaaaaaa"


class FakeClock:
    """Two clocks that move only when told to."""

    def __init__(self, wall_ms: int = 1_700_000_000_000) -> None:
        self.wall = wall_ms
        self.mono = 5_000_000_000

    def wall_ms(self) -> int:
        return self.wall

    def mono_ns(self) -> int:
        return self.mono

    def advance(self, seconds: float) -> None:
        self.wall += round(seconds * 1000)
        self.mono += round(seconds * 1e9)


def config(software: str = "test") -> ConfigInParts:
    """A configuration without parts: one batch, so that a test's first readings are batch 2."""
    return ConfigInParts.of("km01", "km01-a1", software, {}, [])


def readings(count: int) -> Readings:
    return Readings.of(1000, point=[0], t0=[0], dt=[1], raw=[f"{count:04x}"], count=[count], quality=[0])


def make_spool(folder: Path, clock: FakeClock | None = None, max_mb: int = 64) -> Spool:
    sealer = Sealer("km01", "km01-a1", "0" * 16, SIGNER, clock or FakeClock())
    return Spool(folder, sealer, max_mb)


def started_spool(folder: Path, clock: FakeClock | None = None, max_mb: int = 64) -> Spool:
    """A spool with its first epoch and config batch (seq 1)."""
    spool = make_spool(folder, clock, max_mb)
    spool.start_epoch(EPOCH, None)
    spool.configure(config())
    return spool


class FakeSession:
    """A broker session that remembers what it was given."""

    def __init__(self, generation: int, report: Callable[[BrokerEvent], None]) -> None:
        self.generation = generation
        self.report = report
        self.sent: list[SignedLine] = []
        self.states: list[str] = []
        self.meta: list[bytes] = []
        self.is_open = False

    def open(self) -> None:
        self.is_open = True

    def publish(self, payload: bytes) -> None:
        self.sent.append(unpack(payload))

    def publish_state(self, state: str) -> None:
        self.states.append(state)

    def publish_meta(self, payload: bytes) -> None:
        self.meta.append(payload)

    def close(self) -> None:
        self.is_open = False
        self.report(Closed(self.generation, "closed"))
