"""The real command on a real port."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.unit.compliance.made import KEY, registry_toml

pytestmark = pytest.mark.integration
COMMAND = [sys.executable, "-c", "from compliance.cli import main; main()"]
PATIENCE_SECONDS = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def port(tmp_path: Path) -> int:
    number = free_port()
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "key").write_text(KEY.to_text())
    (tmp_path / "registry.toml").write_text(registry_toml(), encoding="utf-8")
    (tmp_path / "compliance.toml").write_text(
        '[compliance]\nissuer = "yunnan"\ndatabase = "sqlite:///registry.sqlite"\nkey_file = "key"\n'
        'topology_file = "topology.signed"\nevaluate_seconds = 0.2\n'
        f'[api]\nport = {number}\n[series]\npath = "series.sqlite"\nstate_dir = "collector"\n'
    )
    return number


@contextmanager
def serving(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, "serve", "--config", "compliance.toml"]
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stderr=log, stdout=log, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_for(url: str) -> httpx2.Response:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        try:
            return httpx2.get(url)
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"{url} did not answer within {PATIENCE_SECONDS} s")


def test_the_service_answers_before_there_is_any_data_and_says_what_is_missing(tmp_path: Path, port: int) -> None:
    with serving(tmp_path):
        base = f"http://127.0.0.1:{port}"
        assert wait_for(f"{base}/livez").json()["status"] == "ok"
        ready = httpx2.get(f"{base}/readyz")
        assert ready.status_code == 503
        assert ["series store series.sqlite does not exist yet" in text for text in ready.json()["missing"]] == [
            True,
            False,
        ]
        assert httpx2.get(f"{base}/console").status_code == 200


def test_an_import_beside_a_running_service_is_seen_and_the_topology_is_written(tmp_path: Path, port: int) -> None:
    with serving(tmp_path):
        base = f"http://127.0.0.1:{port}"
        wait_for(f"{base}/livez")
        command = [*COMMAND, "import", "registry.toml", "--config", "compliance.toml"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        assert [one["id"] for one in httpx2.get(f"{base}/v1/facilities").json()["items"]] == ["km01"]
        assert (tmp_path / "topology.signed").exists()


def test_a_port_in_use_is_one_line_and_exit_code_2(tmp_path: Path, port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        command = [*COMMAND, "serve", "--config", "compliance.toml"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: port {port} on 127.0.0.1 is in use; stop what uses it or change api.port\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_and_frees_the_port(tmp_path: Path, port: int, number: signal.Signals) -> None:
    with serving(tmp_path) as process:
        wait_for(f"http://127.0.0.1:{port}/livez")
        process.send_signal(number)
        process.wait(timeout=PATIENCE_SECONDS)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
    assert "Traceback" not in (tmp_path / "serve.log").read_text()
