"""Real neighbours as child processes on free loopback ports; each context manager leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

SBIN = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


def free_port() -> int:
    """A TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], what: str, seconds: float = 15.0) -> None:
    """Wait for a condition, looking 50 times a second."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether somebody accepts connections."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def need(binary: str) -> str:
    """Path of a program, or skip the test naming it."""
    path = shutil.which(binary, path=SBIN)
    if path is None:
        pytest.skip(f"{binary} is not installed")
    return path


class Process:
    """A child process that can be killed and started again with the same arguments."""

    def __init__(self, command: Sequence[str | Path], log: Path, env: dict[str, str] | None = None) -> None:
        self.command = [str(word) for word in command]
        self.log = log
        self._env = {**os.environ, **(env or {})}
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> Process:
        with self.log.open("ab") as out:
            self._child = subprocess.Popen(self.command, stdout=out, stderr=subprocess.STDOUT, env=self._env)
        return self

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        child, self._child = self._child, None
        if child is None:
            return 0
        child.send_signal(number)
        try:
            return child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise


@contextmanager
def running(command: Sequence[str | Path], log: Path, env: dict[str, str] | None = None) -> Iterator[Process]:
    """A started process, killed at the end whatever happened to it."""
    process = Process(command, log, env).start()
    try:
        yield process
    finally:
        process.kill()


def mosquitto_command(folder: Path, port: int) -> list[str | Path]:
    """Mosquitto without persistence: the hardest case for whoever trusts a broker."""
    path = folder / "mosquitto.conf"
    path.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n", encoding="ascii")
    return [need("mosquitto"), "-c", path]


IOTCORE = """
id = 0
[router]
id = 0
max_connections = 64
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 4
[v5.1]
name = "loopback"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = 1048576
max_inflight_count = 200
dynamic_filters = true
"""


def iotcore_command(folder: Path, port: int) -> list[str | Path]:
    """The broker that pip installs, MQTT 5 on loopback."""
    path = folder / "iotcore.toml"
    path.write_text(IOTCORE.format(port=port), encoding="ascii")
    return [sys.executable, "-m", "iotcore", "--config", path, "--log-level", "CRITICAL"]


@contextmanager
def broker(kind: str, folder: Path, port: int | None = None) -> Iterator[tuple[Process, int]]:
    """A running `mosquitto` or `iotcore` and its port."""
    port = port or free_port()
    make = {"mosquitto": mosquitto_command, "iotcore": iotcore_command}[kind]
    with running(make(folder, port), folder / f"{kind}.log") as process:
        wait_until(lambda: listens(port), f"{kind} listens on {port}")
        yield process, port


INFLUXD_1 = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
[monitor]
  store-enabled = false
"""


class _Shim(BaseHTTPRequestHandler):
    """The write endpoint of InfluxDB 2 in front of InfluxDB 1.6, which lacks it; everything else passes through."""

    protocol_version = "HTTP/1.1"
    target = ""

    def do_GET(self) -> None:
        self._pass(self.path, None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        if parts.path != "/api/v2/write":
            return self._pass(self.path, body)
        asked = parse_qs(parts.query)
        query = urlencode({"db": asked["bucket"][0], "precision": asked.get("precision", ["ns"])[0]})
        return self._pass(f"/write?{query}", body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def _pass(self, path: str, body: bytes | None) -> None:
        headers = {name: self.headers[name] for name in ("Content-Encoding",) if name in self.headers}
        method = "GET" if body is None else "POST"
        request = urllib.request.Request(self.target + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, kind, data = answer.status, answer.headers.get("Content-Type", ""), answer.read()
        except urllib.error.HTTPError as error:
            status, kind, data = error.code, error.headers.get("Content-Type", ""), error.read()
            error.close()
        except OSError as error:
            status, kind, data = 503, "text/plain", str(error).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def shim(target: str) -> Iterator[str]:
    """Address of a shim in front of an InfluxDB 1.x."""
    handler = type("Shim", (_Shim,), {"target": target})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def influxdb(folder: Path) -> Iterator[tuple[Process, str]]:
    """The InfluxDB that is installed, with the bucket `pue`; the process, and the address to use."""
    binary = need("influxd")
    said = subprocess.run([binary, "version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"v?(\d+)\.\d+", said)
    make = influxdb_2 if version and version[1] == "2" else influxdb_1
    with make(folder, binary) as running_server:
        yield running_server


@contextmanager
def influxdb_2(folder: Path, binary: str) -> Iterator[tuple[Process, str]]:
    """InfluxDB 2.x, set up with one token, which is in the environment meanwhile."""
    port = free_port()
    url, token = f"http://127.0.0.1:{port}", "test-token"
    paths = [f"--{name}-path={folder}/{name}" for name in ("bolt", "engine", "sqlite")]
    command = [binary, "run", *paths, f"--http-bind-address=127.0.0.1:{port}", "--reporting-disabled"]
    setup = {"username": "test", "password": "test-password", "org": "pue", "bucket": "pue", "token": token}
    with running(command, folder / "influxd.log") as process, pytest.MonkeyPatch.context() as patched:
        wait_until(lambda: answers(f"{url}/health"), "influxd answers", 30)
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/api/v2/setup", json.dumps(setup).encode(), headers)
        urllib.request.urlopen(request, timeout=30).close()
        patched.setenv("PUE_INFLUX_TOKEN", token)
        yield process, url


@contextmanager
def influxdb_1(folder: Path, binary: str) -> Iterator[tuple[Process, str]]:
    """InfluxDB 1.x behind the shim."""
    port, rpc = free_port(), free_port()
    config = folder / "influxdb.conf"
    config.write_text(INFLUXD_1.format(folder=folder, port=port, rpc=rpc), encoding="ascii")
    target = f"http://127.0.0.1:{port}"
    with running([binary, "-config", config], folder / "influxd.log") as process:
        wait_until(lambda: answers(f"{target}/ping"), "influxd answers", 30)
        create_database(target, "pue")
        with shim(target) as url:
            yield process, url


def create_database(target: str, name: str) -> None:
    query = urlencode({"q": f"CREATE DATABASE {name}"})
    urllib.request.urlopen(f"{target}/query?{query}", data=b"", timeout=10).close()


def answers(url: str) -> bool:
    """Whether a server answers with success."""
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except OSError:
        return False
    return True
