"""Commands: useful output, and errors as one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pue.contract.errors import Fatal
from simulators.broker import broker_command
from simulators.demo import seconds_of
from simulators.scenario import instant_ms, site_named
from tests.unit.simulators.worlds import world

BIN = Path(sys.executable).parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)


def test_init_and_show_list_facilities_with_their_true_pue(tmp_path: Path) -> None:
    assert run(str(BIN / "pue-sim"), "init", "--dir", str(tmp_path), "--until", "2026-11-17T10:00:00Z").returncode == 0
    shown = run(str(BIN / "pue-sim"), "show", "--dir", str(tmp_path))
    assert shown.returncode == 0
    assert "云瀚昆明一号数据中心" in shown.stdout
    assert "true PUE 1.2500" in shown.stdout
    assert "127.0.0.1:15020 unit   1" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pue-sim", "meters", "--dir", "nowhere"), "nowhere/simulation.toml: No such file or directory"),
        (("pue-sim", "init", "--dir", ".", "--until", "yesterday"), "is not ISO 8601; write it like"),
        (("pue-demo", "--store", "excel"), "store 'excel' is unknown; use sqlite or influxdb"),
        (("pue-demo", "--store", "influxdb", "--influx-url", "http://127.0.0.1:1"), "start it, or use --store sqlite"),
        (("pue-demo", "--for", "soon"), "write it like 30s, 2m or 1h"),
        (("pue-demo", "--port", "0", "--dir", "/usr"), "/usr is not empty and not from a demo"),
        (("pue-demo", "--port", "0", "--until", "2026-11-17T10:00:00"), "has no offset; append +08:00 or Z"),
        (("pue-demo", "--port", "0", "--until", "2020-01-01T00:00:00Z"), "is not within the last 30 days"),
    ],
)
def test_an_error_is_one_clear_line(arguments: tuple[str, ...], message: str) -> None:
    done = run(str(BIN / arguments[0]), *arguments[1:])
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback() -> None:
    done = run(str(BIN / "pue-sim"), "meters", "--dir", "nowhere", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_durations() -> None:
    assert [seconds_of(text) for text in ("30s", "2m", "1.5h")] == [30, 120, 5400]


def test_times_need_an_offset() -> None:
    assert instant_ms("2026-11-01T08:00:00+08:00") == instant_ms("2026-11-01T00:00:00Z") == 1_793_491_200_000
    with pytest.raises(Fatal, match="offset"):
        instant_ms("2026-11-01T08:00:00")


def test_an_unknown_facility_is_named_with_the_known_ones() -> None:
    with pytest.raises(Fatal, match="'bj01' is unknown; use one of km01, yx01"):
        site_named(tuple(world().values()), "bj01")


def test_the_brokers_listen_on_loopback_only(tmp_path: Path) -> None:
    command = broker_command("iotcore", tmp_path, 18830)
    assert command[1:3] == ("-m", "iotcore")
    text = (tmp_path / "iotcore.toml").read_text("ascii")
    assert 'listen = "127.0.0.1:18830"' in text
    assert "[v5.1]" in text
    with pytest.raises(Fatal, match="emqx"):
        broker_command("emqx", tmp_path, 18830)
