"""A small enrolled plant in a few lines: topology, keys, and an agent that signs what it is told."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pue.contract import topology, wire, wire_v1
from pue.contract.canonical import ZERO_HASH
from pue.contract.configuration import ConfigInParts
from pue.contract.signing import Signer
from pue.contract.topology import Topology, sign_topology
from pue.contract.wire import SignedLine, epoch_id

START_MS = 1_750_000_000_000 // 900_000 * 900_000
"""Midsummer 2025: every collector's clock is later."""
ISSUER = Signer.generate()

_epochs = itertools.count(1)


def register(quantity: str = "energy_import", **changes: object) -> topology.Register:
    unit = "W" if quantity == "power" else "Wh"
    return topology.Register(**{"quantity": quantity, "unit": unit, "exponent": 0, **changes})  # type: ignore[arg-type]  # fields a test chooses


def meter(site: str, name: str, quantities: Sequence[str] = ("energy_import",)) -> topology.Meter:
    version = topology.MeterVersion(
        from_ms=0,
        serial="SN",
        profile="eastron-sdm630",
        registers=[register(quantity) for quantity in quantities],
        max_power_w=10_000_000,
    )
    return topology.Meter(site=site, meter=name, versions=[version])


@dataclass
class FakeAgent:
    """Signs batches of one epoch after the other and remembers them."""

    agent: str = "km01-a1"
    site: str = "km01"
    shard: str = "s0"
    meters: tuple[str, ...] = ("main-a",)
    quantities: tuple[str, ...] = ("energy_import",)
    signer: Signer = field(default_factory=Signer.generate)
    epoch: str = ""
    seq: int = 0
    prev: str = ZERO_HASH
    prev_epoch: str | None = None
    config: str | None = None
    config_digest: str = ""
    batches: list[SignedLine] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.epoch:
            self.epoch = epoch_id(START_MS - 1000, f"{next(_epochs):08x}")

    def enrolment(self) -> topology.Agent:
        key = topology.AgentKey(key=self.signer.key_id, public=self.signer.verifier.to_text(), from_ms=0)
        return topology.Agent(agent=self.agent, site=self.site, shard=self.shard, keys=[key])

    def header(self, at_ms: int, **changes: object) -> dict[str, object]:
        header: dict[str, object] = {
            "site": self.site, "agent": self.agent, "key": self.signer.key_id, "epoch": self.epoch,
            "prev_epoch": self.prev_epoch, "boot": "0" * 16, "seq": self.seq + 1, "prev": self.prev,
            "config": self.config, "sent_ms": at_ms, "mono_ns": 0,
        }  # fmt: skip
        return {**header, **changes}

    def append(self, batch: wire.Batch) -> SignedLine:
        signed = wire.seal(batch, self.signer)
        self.seq, self.prev = batch.seq, signed.sha256
        self.batches.append(signed)
        return signed

    def configure(
        self, at_ms: int = START_MS, unit: str = "Wh", ct: str = "1", profile: str = "text", **changes: object
    ) -> SignedLine:
        """A configuration in one batch, as version 1 of the wire has it; batches of both versions may name it."""
        config = wire.Config(
            poll_ms=15_000,
            meters=[wire_v1.Meter(meter=m, profile="p", address="a", serial="SN", ct=ct) for m in self.meters],
            points=[
                wire_v1.Point(meter=m, quantity=q, unit="W" if q == "power" else unit, exponent=0)
                for m in self.meters
                for q in self.quantities
            ],
            profiles={"p": profile},
            software="test",
        )
        self.config_digest = wire.config_digest(config)
        header = self.header(at_ms, **{"v": wire_v1.VERSION, **changes})
        signed = self.append(wire.ConfigBatchV1(body=config, **header))  # type: ignore[arg-type]  # fields a test chooses
        self.config = signed.sha256
        return signed

    def parts(self, unit: str = "Wh", ct: str = "1", profile: str = "text") -> ConfigInParts:
        """A configuration in parts: each meter behind a link of its own."""
        links = [
            wire.LinkPart(
                link=f"link-{m}",
                meters=[
                    wire.LinkMeter(
                        meter=m, profile="p", address="a", serial="SN", firmware="", ct=ct, pt="1", side="",
                        points=[
                            wire.LinkPoint(
                                quantity=q, unit="W" if q == "power" else unit, scale="1", period_ms=15_000,
                                registers=["3:0:2"], has_source_time=False,
                            )
                            for q in self.quantities
                        ],
                    )
                ],
            )
            for m in self.meters
        ]  # fmt: skip
        return ConfigInParts.of(self.site, self.agent, "test", {"p": profile}, links)

    def configure_in_parts(self, config: ConfigInParts | None = None, at_ms: int = START_MS) -> list[SignedLine]:
        """Sign every part, then the manifest, which data names from now on."""
        config = config or self.parts()
        bodies = [*config.parts.values(), config.manifest]
        self.config = None
        signed = [self.append(wire.ConfigBatch(body=body, **self.header(at_ms))) for body in bodies]  # type: ignore[arg-type]  # fields a test chooses
        self.config = self.config_digest = config.digest
        return signed

    def event(self, event: wire.Event, at_ms: int = START_MS, **changes: object) -> SignedLine:
        return self.append(wire.EventBatch(body=event, **self.header(at_ms, **changes)))  # type: ignore[arg-type]  # fields a test chooses

    def read(
        self,
        times_ms: Sequence[int],
        counts: Sequence[int | None],
        points: Sequence[int] | None = None,
        quality: Sequence[int] | None = None,
        **changes: object,
    ) -> SignedLine:
        """One data batch: row i was asked at times_ms[i] - 20 and answered at times_ms[i]."""
        body = wire.Readings.of(
            min(times_ms) - 20,
            point=list(points or [0] * len(times_ms)),
            t0=[t - min(times_ms) for t in times_ms],
            dt=[20] * len(times_ms),
            raw=["00"] * len(times_ms),
            count=list(counts),
            quality=list(quality or [1 if count is None else 0 for count in counts]),
        )
        return self.append(wire.DataBatch(body=body, **self.header(max(times_ms), **changes)))  # type: ignore[arg-type]  # fields a test chooses

    def new_epoch(self, created_ms: int) -> None:
        self.prev_epoch, self.epoch, self.seq = self.epoch, epoch_id(created_ms, f"{next(_epochs):08x}"), 0


def topology_of(agents: Iterable[FakeAgent], version: int = 1, **changes: object) -> Topology:
    agents = list(agents)
    document: dict[str, object] = {
        "issuer": "yunnan",
        "version": version,
        "issued_ms": START_MS,
        "prev": ZERO_HASH,
        "agents": [agent.enrolment() for agent in agents],
        "meters": [meter(agent.site, name, agent.quantities) for agent in agents for name in agent.meters],
        "configs": [agent.config_digest for agent in agents if agent.config_digest],
    }
    return Topology(**{**document, **changes})  # type: ignore[arg-type]  # fields a test chooses


def write_topology(path: Path, document: Topology, issuer: Signer = ISSUER) -> None:
    signed = sign_topology(document, issuer)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_bytes(signed.line + b"\n" + signed.signature + b"\n")
    draft.replace(path)


def collector_toml(folder: Path, *, port: int = 1, series: str = "", extra: str = "", shards: str = '["s0"]') -> Path:
    """Write a collector's configuration whose state is in `folder`."""
    series = series or f'store = "sqlite"\npath = "{folder}/series.sqlite"'
    path = folder / "collector.toml"
    path.write_text(
        f"""
[collector]
id = "yn-c1"
state_dir = "{folder}/collector"
shards = {shards}
project_seconds = 0.1
[mqtt]
host = "127.0.0.1"
port = {port}
[topology]
file = "{folder}/topology.signed"
issuer_key = "{ISSUER.verifier.to_text()}"
[series]
{series}
{extra}
""",
        encoding="utf-8",
    )
    return path
