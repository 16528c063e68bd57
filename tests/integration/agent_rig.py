"""Neighbours of the agent for its integration tests: meters, brokers, a collector that acks, the agent as a process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from iotcore import Broker
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from pue.contract.canonical import ZERO_HASH
from pue.contract.signing import Signer, Verifier
from pue.contract.wire import (
    Ack,
    Batch,
    ConfigBatch,
    DataBatch,
    LinkPart,
    Manifest,
    SignedLine,
    config_digest,
    encode_ack,
    open_batch,
    topic,
    unpack,
)

T = TypeVar("T")

HOST = "127.0.0.1"
SHARD, AGENT, SITE = "s0", "km01-a1", "km01"


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], what: str, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def needs(program: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


@contextlib.contextmanager
def process(command: Sequence[object], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([str(word) for word in command], **options)  # type: ignore[call-overload]  # passed through
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        for pipe in (child.stdout, child.stderr, child.stdin):
            if pipe:
                pipe.close()


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=0.5):
        return True
    return False


# -------------------------------------------------------------------- meters


class Loop:
    """An event loop in a thread, for servers that live beside a synchronous test."""

    def __enter__(self) -> Loop:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def call(self, work: Awaitable[T]) -> T:
        async def run() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __exit__(self, *_: object) -> None:
        self.call(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def schneider_words(energy_wh: int, power_kw: float) -> list[SimData]:
    """A PM5xxx in our own words: 64-bit watt-hours from 3203, a 32-bit float in kilowatts from 3059."""
    energy = list(struct.unpack(">4H", struct.pack(">q", energy_wh)))
    power = list(struct.unpack(">2H", struct.pack(">f", power_kw)))
    return [
        SimData(3059, values=power, datatype=DataType.REGISTERS),
        SimData(3203, values=energy, datatype=DataType.REGISTERS),
    ]


async def _silence(*_: object) -> None:
    await asyncio.sleep(3600)


@contextlib.contextmanager
def modbus_meters(units: dict[int, list[SimData]], port: int | None = None) -> Iterator[int]:
    """A gateway with these units; units it has not stay silent."""
    port = port or free_port()

    async def start() -> ModbusTcpServer:
        devices = [SimDevice(id=unit, simdata=words) for unit, words in units.items()]
        nobody = SimDevice(id=0, simdata=SimData(0, count=65_536, datatype=DataType.REGISTERS), action=_silence)
        server = ModbusTcpServer([nobody, *devices], address=(HOST, port))
        await server.serve_forever(background=True)
        return server

    with Loop() as loop:
        server = loop.call(start())
        try:
            yield port
        finally:
            loop.call(server.shutdown())  # type: ignore[no-untyped-call]  # pymodbus


@contextlib.contextmanager
def snmpd(folder: Path, *lines: str) -> Iterator[int]:
    """Debian's snmpd on a free UDP port with the community `public`."""
    program = needs("snmpd")
    port = free_port(socket.SOCK_DGRAM)
    config = folder / "snmpd.conf"
    config.write_text("\n".join((f"agentAddress udp:{HOST}:{port}", "rocommunity public", *lines, "")))
    command = [program, "-f", "-Lo", "-C", "-c", config, "-I", "-smux", "-p", folder / "snmpd.pid"]
    environment = {**os.environ, "SNMP_PERSISTENT_DIR": str(folder)}
    with process(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as child:
        wait_until(lambda: child.poll() is not None or _snmp_answers(port), "snmpd answers")
        yield port


def _snmp_answers(port: int) -> bool:
    """A hand-written GET of sysDescr.0."""
    request = bytes.fromhex("302902010104067075626c6963a01c020401020304020100020100300e300c06082b060102010101000500")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.3)
        with contextlib.suppress(OSError):
            probe.sendto(request, (HOST, port))
            return bool(probe.recv(4096))
    return False


# -------------------------------------------------------------------- brokers


class Mosquitto:
    """Mosquitto on one port, to be killed and started again; it remembers nothing."""

    def __init__(self, folder: Path) -> None:
        self._program = needs("mosquitto")
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} {HOST}\nallow_anonymous true\npersistence false\n")
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> Mosquitto:
        command = [self._program, "-c", str(self._config)]
        self._child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: accepts(self.port), "mosquitto listens")
        return self

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def __enter__(self) -> Mosquitto:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


@contextlib.contextmanager
def iotcore_broker(folder: Path) -> Iterator[int]:
    """The broker that pip can install, with MQTT 5 on loopback."""
    port = free_port()
    config = folder / "rumqttd.toml"
    config.write_text(
        f"""id = 0
[router]
id = 0
max_connections = 50
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 10
[v5.1]
name = "v5"
listen = "{HOST}:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""
    )
    with Broker(config_path=str(config)):
        yield port


# -------------------------------------------------------------------- collector


class Collector:
    """Keeps what is validly signed and acks it, as the contract says; can be told to stay silent."""

    def __init__(self, port: int, verifier: Verifier, *, acks: bool = True) -> None:
        self.batches: dict[tuple[str, int], tuple[SignedLine, Batch]] = {}
        self.duplicates = 0
        self.acks = acks
        self.generation = 1
        self.states: list[str] = []
        self.meta: list[bytes] = []
        self._port = port
        self._verifier = verifier
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: self._subscribed.set()

    def __enter__(self) -> Collector:
        self._client.connect(HOST, self._port, keepalive=5)
        self._client.loop_start()
        assert self._subscribed.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Client, *_: object) -> None:
        client.subscribe("pue/v1/#", qos=1)

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        leaf = message.topic.rsplit("/", 1)[1]
        if leaf == "state":
            self.states.append(json.loads(message.payload)["state"])
        if leaf == "meta":
            self.meta.append(bytes(message.payload))
        if leaf == "data":
            self._take(bytes(message.payload))

    def _take(self, payload: bytes) -> None:
        signed = unpack(payload)
        batch = open_batch(signed, self._verifier)
        key = (batch.epoch, batch.seq)
        self.duplicates += key in self.batches
        self.batches.setdefault(key, (signed, batch))
        if self.acks:
            self.ack(batch.epoch)

    def ack(self, epoch: str) -> None:
        seqs = sorted(seq for known, seq in self.batches if known == epoch)
        upto = 0
        while upto + 1 in seqs:
            upto += 1
        sha = self.batches[epoch, upto][0].sha256 if upto else ZERO_HASH
        self.send_ack(epoch, upto, sha, [(seq, seq) for seq in seqs if seq > upto])

    def send_ack(self, epoch: str, upto: int, sha: str, ranges: list[tuple[int, int]] | None = None) -> None:
        ack = Ack(
            collector="test", generation=self.generation, agent=AGENT, epoch=epoch, upto=upto, sha256=sha,
            ranges=ranges or [], refused=[],
        )  # fmt: skip
        self._client.publish(topic(SHARD, AGENT, "ack"), encode_ack(ack), qos=1)

    def in_order(self) -> list[Batch]:
        return [self.batches[key][1] for key in sorted(self.batches.copy())]

    def chain_is_whole(self) -> bool:
        """Every batch names the one before it, from seq 1, also across epochs."""
        keys = sorted(self.batches.copy())
        previous = ZERO_HASH
        for key in keys:
            signed, batch = self.batches[key]
            if batch.prev != previous:
                return False
            previous = signed.sha256
        return all((epoch, seq - 1) in self.batches for epoch, seq in keys if seq > 1)

    def counts(self, meter: str, quantity: str) -> list[int | None]:
        """Values of one series in chain order."""
        found: list[int | None] = []
        wanted: dict[str, int] = {}
        links: dict[str, LinkPart] = {}
        for key in sorted(self.batches.copy()):
            _, batch = self.batches[key]
            if isinstance(batch, ConfigBatch):
                digest = config_digest(batch.body)
                if isinstance(batch.body, LinkPart):
                    links[digest] = batch.body
                elif isinstance(batch.body, Manifest):
                    names = [
                        (one.meter, point.quantity)
                        for link in batch.body.links
                        for one in links[link].meters
                        for point in one.points
                    ]
                    wanted[digest] = names.index((meter, quantity)) if (meter, quantity) in names else -1
            if not isinstance(batch, DataBatch):
                continue
            index = wanted.get(batch.config or "", -1)
            body = batch.body
            found += [count for point, count in zip(body.point, body.count, strict=True) if point == index]
        return found


# -------------------------------------------------------------------- the agent


class AgentProcess:
    """`pue-agent run` in a folder of its own."""

    def __init__(self, folder: Path, broker_port: int, *, links: str, agent: str = "", health: bool = True) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.signer = Signer.generate()
        self.health_port = free_port()
        key = folder / "agent.key"
        key.write_text(self.signer.to_text())
        key.chmod(0o600)
        self.config = folder / "agent.toml"
        settings = "" if "poll_seconds" in agent else "poll_seconds = 0.2\n"
        health_table = f"[health]\nport = {self.health_port}\n" if health else ""
        self.config.write_text(
            f'[agent]\nid = "{AGENT}"\nsite = "{SITE}"\nshard = "{SHARD}"\nstate_dir = "{folder / "state"}"\n'
            f'key_file = "{key}"\n{settings}{agent}\n[mqtt]\nhost = "{HOST}"\nport = {broker_port}\n'
            f"{health_table}{links}"
        )
        self.child: subprocess.Popen[bytes] | None = None
        self.packages: Path | None = None
        """Where another release lies unpacked, to be run instead of this tree."""
        self._log = folder / "agent.log"

    def start(self) -> AgentProcess:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "agent.cli", "run", "--config", str(self.config.resolve())]
            other = {"PYTHONPATH": str(self.packages)} if self.packages else {}
            # `-m` looks into the current folder first: in ours there is no package.
            self.child = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=os.environ | other)
        return self

    def stop(self) -> int:
        assert self.child is not None
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(10)

    def kill(self) -> None:
        assert self.child is not None
        self.child.kill()
        self.child.wait()

    def log(self) -> str:
        return self._log.read_text()

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://{HOST}:{self.health_port}/metrics", timeout=2) as answer:
            return str(answer.read().decode())

    def metric(self, name: str) -> float:
        with contextlib.suppress(OSError):
            for line in self.metrics().splitlines():
                if line.startswith(f"{name} "):
                    return float(line.split()[-1])
        return -1.0

    def __enter__(self) -> AgentProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.child is not None and self.child.poll() is None:
            self.child.kill()
            self.child.wait()


def modbus_link(port: int, *units: int, timeout: float = 0.3) -> str:
    """Settings of one gateway with PM5xxx meters `main-<unit>`."""
    meters = "".join(
        f'[[meter]]\nid = "main-{unit}"\nlink = "bus1"\nunit_id = {unit}\nprofile = "schneider-pm5xxx"\n'
        f'serial = "SN{unit}"\nquantities = ["energy_import", "power"]\n'
        for unit in units
    )
    return (
        f'[[link]]\nid = "bus1"\ntransport = "modbus-tcp"\nhost = "{HOST}"\nport = {port}\n'
        f"timeout_seconds = {timeout}\n{meters}"
    )


def snmp_link(port: int, profile: str, quantities: Sequence[str], index: int = 1) -> str:
    """Settings of one SNMP device with a meter `rack-1`."""
    names = ", ".join(f'"{name}"' for name in quantities)
    return (
        f'[[link]]\nid = "pdu"\ntransport = "snmp-v2c"\nhost = "{HOST}"\nport = {port}\ncommunity = "public"\n'
        f'[[meter]]\nid = "rack-1"\nlink = "pdu"\nindex = {index}\nprofile = "{profile}"\nserial = "SN9"\n'
        f"quantities = [{names}]\n"
    )
