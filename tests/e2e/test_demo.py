"""The whole product in front of the simulated plant: the demo's own check, on both stores, and what Ctrl-C leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from simulators.scenario import read_simulation
from tests.support.servers import answers, free_port, influxdb, listens, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PUE_DEMO = str(Path(sys.executable).parent / "pue-demo")
DEMO_S = 240


def run_demo(folder: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """One checked run; its output and what it wrote."""
    folder.mkdir()
    report = folder / "report.json"
    command = [PUE_DEMO, "--dir", str(folder / "state"), "--port", str(free_port()), "--check", "--json", str(report)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=DEMO_S, check=False)
    return done, json.loads(report.read_text("utf-8")) if report.exists() else {}


def running_in(folder: Path) -> dict[int, str]:
    """Command lines of processes that run in a folder, by id."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and Path(os.readlink(entry / "cwd")) == folder:
                found[int(entry.name)] = (entry / "cmdline").read_text("utf-8").replace("\0", " ")
        except OSError:
            continue
    return found


def processes_in(folder: Path) -> list[str]:
    return list(running_in(folder).values())


@pytest.fixture(scope="module")
def until() -> str:
    """One end of history for every run of this module."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


@pytest.fixture
def influx_url(tmp_path: Path) -> Iterator[str]:
    """A real InfluxDB 1.6 behind the shim that adds version 2's write endpoint."""
    folder = tmp_path / "influxd"
    folder.mkdir()
    with influxdb(folder) as (_, url):
        yield url


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory, until: str) -> dict[str, Any]:
    """What a 30-second run on the embedded store found."""
    folder = tmp_path_factory.mktemp("demo") / "sqlite"
    done, report = run_demo(folder, "--for", "30s", "--until", until)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " = readings stored" in done.stdout
    assert processes_in(folder / "state") == []
    return report


def test_every_expected_finding_and_alert_appears_and_nothing_is_missing(on_sqlite: dict[str, Any]) -> None:
    outcomes = {(row["facility"], row["rule"]): row["outcome"] for row in on_sqlite["findings"]}
    assert outcomes["km01", "new_build_pue_max"] == "compliant"
    assert outcomes["qj01", "retrofit_pue_over"] == "non_compliant"
    assert outcomes["dl01", "new_build_pue_max"] == "not_applicable"
    assert outcomes["hh01", "retrofit_pue_over"] == "insufficient_data"
    active = {(row["facility"], row["kind"]) for row in on_sqlite["alerts"] if row["cleared_ms"] is None}
    assert active == {("yx01", "pue_over_limit"), ("qj01", "pue_over_limit"), ("hh01", "meter_silent")}


def test_findings_are_identical_on_influxdb(
    on_sqlite: dict[str, Any], until: str, influx_url: str, tmp_path: Path
) -> None:
    arguments = ("--for", "5s", "--until", until, "--store", "influxdb", "--influx-url", influx_url)
    done, report = run_demo(tmp_path / "influxdb", *arguments, "--broker", "iotcore")
    assert done.returncode == 0, done.stdout + done.stderr
    assert report["findings"] == on_sqlite["findings"]
    assert report["alerts"] == on_sqlite["alerts"]


def meters_in(state: Path) -> list[int]:
    """Ids of the processes that simulate meters; one that was started but is not yet the program is none."""
    return [pid for pid, words in running_in(state).items() if "pue-sim meters" in words]


def is_importing(state: Path, _port: int) -> bool:
    """History is being imported, broker and meters have been started."""
    return bool(meters_in(state))


def is_live(state: Path, port: int) -> bool:
    """Everything runs and the first findings are there."""
    return answers(f"http://127.0.0.1:{port}/livez") and (state / "logs/agent-hh01.log").stat().st_size > 0


@pytest.mark.parametrize(("number", "is_reached"), [(signal.SIGTERM, is_importing), (signal.SIGINT, is_live)])
def test_a_signal_leaves_no_process_and_no_port_behind(
    number: signal.Signals, is_reached: Callable[[Path, int], bool], tmp_path: Path
) -> None:
    port, state = free_port(), tmp_path / "state"
    command = [PUE_DEMO, "--dir", str(state), "--port", str(port), "--broker", "iotcore"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        wait_until(lambda: demo.poll() is not None or is_reached(state, port), "the demo is far enough", DEMO_S)
        assert demo.poll() is None, demo.communicate()[0]
        assert len(processes_in(state)) >= 2
        demo.send_signal(number)
        output, _ = demo.communicate(timeout=90)
    assert demo.returncode == 0, output
    assert processes_in(state) == []
    ports = [port for links in read_simulation(state).ports.values() for port in links.values()]
    assert not [each for each in (port, *ports) if listens(each)]


def test_a_process_that_dies_ends_the_demo_with_its_last_lines(tmp_path: Path) -> None:
    port, state = free_port(), tmp_path / "state"
    command = [PUE_DEMO, "--dir", str(state), "--port", str(port), "--check", "--for", "10m"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        wait_until(lambda: demo.poll() is not None or is_importing(state, port), "the meters run", DEMO_S)
        assert demo.poll() is None, demo.communicate()[0]
        os.kill(meters_in(state)[0], signal.SIGKILL)
        output, _ = demo.communicate(timeout=90)
    assert demo.returncode == 2, output
    assert "meters ended with exit code -9; its last lines:" in output
    assert "Traceback" not in output
    assert processes_in(state) == []
