"""The demo's throw-away state directory: keys, registry and the settings of every process."""

from __future__ import annotations

import random
import shutil
import socket
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pue.contract.errors import Fatal
from simulators.history import approved_config
from simulators.keys import write_key
from simulators.layouts import ModbusPlace
from simulators.meters import VirtualMeter
from simulators.registry import SHARD, Enrolment, Table, Value, registry_text, toml_lines
from simulators.scenario import Site, write_simulation

MARK = ".pue-demo"
PORTS = (20_000, 32_000)
FOLDERS = ("agents", "history", "keys", "logs", "state")
POLL_SECONDS = 5.0
EVALUATE_SECONDS = 10.0
"""Findings follow months and alerts follow days: every evaluation reads the whole year again."""


@dataclass(frozen=True, slots=True)
class Store:
    """The series store: `sqlite`, or `influxdb` at a URL."""

    kind: str = "sqlite"
    url: str = ""

    def table(self) -> Table:
        """Its settings, as both the collector and compliance read them."""
        if self.kind == "influxdb":
            return {"store": "influxdb", "url": self.url, "org": "pue", "bucket": "pue"}
        return {"store": "sqlite", "path": "state/series.sqlite"}


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP and UDP ports on loopback; metrics by process name, meters by facility and link."""

    console: int
    broker: int
    metrics: dict[str, int]
    meters: dict[str, dict[str, int]]


def prepare(folder: Path) -> None:
    """Make an empty state directory.

    Raises
    ------
    Fatal
        If the folder holds something a demo has not written.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise Fatal(f"{folder} is not empty and not from a demo; name an empty one with --dir")
        for name in FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


def choose_ports(console: int, sites: tuple[Site, ...]) -> Ports:
    """Take free ports for everything but the console.

    Raises
    ------
    Fatal
        If the console's port is in use.
    """
    check_port(console)
    links = [(site.spec.id, link) for site in sites for link in site.links]
    names = ["collector", *(site.spec.id for site in sites)]
    free = iter(_free_ports(1 + len(names) + len(links)))
    broker = next(free)
    metrics = {name: next(free) for name in names}
    meters: dict[str, dict[str, int]] = {}
    for site, link in links:
        meters.setdefault(site, {})[link] = next(free)
    return Ports(console, broker, metrics, meters)


def check_port(port: int) -> None:
    """See that a TCP port is free.

    Raises
    ------
    Fatal
        If it is in use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise Fatal(f"console port {port}: {reason}; stop what uses it or choose another with --port") from None


def write_files(folder: Path, sites: tuple[Site, ...], ports: Ports, store: Store, seed: int) -> None:
    """Write keys, registry, simulation and the settings of every process."""
    sites = tuple(site.afresh() for site in sites)
    issuer = write_key(folder / "keys/compliance.key").verifier.to_text()
    agents = {site.spec.id: _enrol(site, folder / f"keys/{site.spec.agent_id}.key") for site in sites}
    write_simulation(folder, seed, sites[0].until_ms, ports.meters)
    texts = {
        "registry.toml": registry_text(sites, agents),
        "collector.toml": _collector(ports, store, issuer),
        "compliance.toml": _compliance(ports, store),
    } | {f"agents/{site.spec.id}.toml": _agent(site, ports) for site in sites}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _enrol(site: Site, key_file: Path) -> Enrolment:
    signer = write_key(key_file)
    return Enrolment(signer.verifier.to_text(), (approved_config(site),))


def _collector(ports: Ports, store: Store, issuer: str) -> str:
    return _tables(
        ("[collector]", {"id": "yn-c1", "state_dir": "state/collector"}, f'shards = ["{SHARD}"]'),
        ("[mqtt]", {"host": "127.0.0.1", "port": ports.broker}, ""),
        ("[topology]", {"file": "state/topology.signed", "issuer_key": issuer}, ""),
        ("[series]", store.table(), ""),
        ("[health]", {"port": ports.metrics["collector"]}, ""),
    )


def _compliance(ports: Ports, store: Store) -> str:
    compliance: dict[str, Value] = {
        "issuer": "yunnan",
        "database": "sqlite:///state/registry.sqlite",
        "key_file": "keys/compliance.key",
        "topology_file": "state/topology.signed",
        "demo": True,
        "evaluate_seconds": EVALUATE_SECONDS,
    }
    return _tables(
        ("[compliance]", compliance, 'policies = ["yunnan-2022-draft"]'),
        ("[api]", {"host": "127.0.0.1", "port": ports.console}, ""),
        ("[series]", {**store.table(), "state_dir": "state/collector"}, ""),
    )


def _agent(site: Site, ports: Ports) -> str:
    spec = site.spec
    agent: dict[str, Value] = {
        "id": spec.agent_id,
        "site": spec.id,
        "shard": SHARD,
        "state_dir": f"state/{spec.agent_id}",
        "key_file": f"keys/{spec.agent_id}.key",
        "poll_seconds": POLL_SECONDS,
    }
    links = [_link(site, link, port) for link, port in ports.meters[spec.id].items()]
    return _tables(
        ("[agent]", agent, ""),
        ("[mqtt]", {"host": "127.0.0.1", "port": ports.broker}, ""),
        ("[health]", {"port": ports.metrics[spec.id]}, ""),
        *links,
        *(_meter(meter) for meter in site.meters),
    )


def _link(site: Site, link: str, port: int) -> tuple[str, Table, str]:
    is_modbus = _is_modbus(next(meter for meter in site.meters if meter.spec.link == link))
    table: dict[str, Value] = {
        "id": link,
        "transport": "modbus-tcp" if is_modbus else "snmp-v2c",
        "host": "127.0.0.1",
        "port": port,
        "timeout_seconds": 1.0,
    }
    return "[[link]]", table, "" if is_modbus else 'community = "public"'


def _meter(meter: VirtualMeter) -> tuple[str, Table, str]:
    spec = meter.spec
    table: dict[str, Value] = {
        "id": spec.id,
        "link": spec.link,
        "profile": spec.profile,
        "serial": meter.serial,
        "ct": spec.ct,
        "pt": spec.pt,
        **({"unit_id": spec.unit_id} if _is_modbus(meter) else {"index": 1}),
    }
    return "[[meter]]", table, 'quantities = ["energy_import", "power"]'


def _is_modbus(meter: VirtualMeter) -> bool:
    return isinstance(meter.spec.model.energy_at, ModbusPlace)


def _tables(*tables: tuple[str, Table, str]) -> str:
    """Headers, their keys, and lines that are TOML already."""
    lines: list[str] = []
    for header, values, more in tables:
        lines += [header, *toml_lines(values), *([more] if more else []), ""]
    return "\n".join(lines)


def _free_ports(count: int) -> list[int]:
    """Ports that are free for TCP and UDP alike, below those the system lends to outgoing connections."""
    first = random.SystemRandom().randrange(*PORTS)
    candidates = (PORTS[0] + (first + step) % (PORTS[1] - PORTS[0]) for step in range(PORTS[1] - PORTS[0]))
    return list(islice(filter(_is_free, candidates), count))


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
