"""The command pue-agent: what it prints, and how it refuses."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.cli import main
from pue.contract.canonical import ZERO_HASH
from pue.contract.profile import builtin_meter_profiles
from pue.contract.signing import Signer, Verifier
from pue.contract.wire import EventBatch, Handover, OutageDeclared, SignedLine, seal, write_lines
from tests.integration.agent_rig import (
    AGENT,
    HOST,
    SITE,
    AgentProcess,
    Collector,
    Mosquitto,
    free_port,
    modbus_link,
    modbus_meters,
    schneider_words,
    wait_until,
)

pytestmark = pytest.mark.integration


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def pue_agent(*words: object) -> Done:
    """The command in this process: importing everything anew would cost a second each time."""
    words_before, root = sys.argv, logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["pue-agent", *(str(word) for word in words)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        code: object = 0
    except SystemExit as leave:
        code = leave.code
    finally:
        sys.argv = words_before
        root.handlers[:], root.level = handlers, level
    return Done(int(str(code or 0)), out.getvalue(), err.getvalue())


def pue_agent_process(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent.cli", *(str(word) for word in words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def settings(folder: Path, meter_port: int = 1) -> AgentProcess:
    return AgentProcess(folder, free_port(), links=modbus_link(meter_port, 1))


def test_check_loads_without_connecting_and_says_what_would_be_read(tmp_path: Path) -> None:
    done = pue_agent("check", "--config", settings(tmp_path).config)
    assert done.returncode == 0
    assert "unit 1: FC3 3059+2, FC3 3203+4" in done.stdout
    assert "ok: 2 points of 1 meters" in done.stdout


def test_an_unknown_key_is_one_line_with_file_line_and_field(tmp_path: Path) -> None:
    config = settings(tmp_path).config
    config.write_text(config.read_text().replace("poll_seconds", "pol_seconds"))
    done = pue_agent("run", "--config", config)
    assert done.returncode == 2
    assert done.stderr == "pue-agent: agent.toml:7 agent.pol_seconds: unknown key; remove it or correct its spelling\n"


def test_check_warns_of_a_profile_that_does_not_state_its_side(tmp_path: Path) -> None:
    config = settings(tmp_path).config
    own = builtin_meter_profiles()["schneider-pm5xxx"].text.replace('side = "primary"\n', "")
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "own.toml").write_text(own.replace('id = "schneider-pm5xxx"', 'id = "own"'))
    text = config.read_text().replace('"schneider-pm5xxx"', '"own"')
    config.write_text(text.replace("poll_seconds", f'profile_dir = "{tmp_path / "profiles"}"\npoll_seconds', 1))
    done = pue_agent("check", "--config", config)
    assert done.returncode == 0, done.stderr
    assert "warning: profile 'own' does not state its side; add" in done.stdout


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_ratio_that_the_meter_counts_already_is_refused(command: str, tmp_path: Path) -> None:
    config = settings(tmp_path).config
    config.write_text(config.read_text().replace('serial = "', 'ct = "2000/5"\nserial = "', 1))
    done = pue_agent_process(command, "--config", config)
    assert done.returncode == 2
    assert "meter[0].ct: meter 'main-1' is given '2000/5'" in done.stderr
    assert done.stderr.endswith("; remove ct: the meter counts it already\n")


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = pue_agent_process("check", "--config", tmp_path / "none.toml", "--debug")
    assert "Traceback" in done.stderr


def test_read_shows_raw_value_unit_and_time(tmp_path: Path) -> None:
    with modbus_meters({1: schneider_words(123_456, 12.5)}) as port:
        done = pue_agent("read", "--config", settings(tmp_path, port).config, "main-1")
    assert done.returncode == 0, done.stderr
    energy, power = (line.split() for line in done.stdout.splitlines())
    assert energy[:5] == ["energy_import", "123456", "Wh", "raw", "000000000001e240"]
    assert power[:5] == ["power", "12.500", "kW", "raw", "41480000"]
    assert energy[-1] == "ms"


def test_read_shows_that_a_counter_below_zero_is_implausible(tmp_path: Path) -> None:
    with modbus_meters({1: schneider_words(-5, -12.5)}) as port:
        done = pue_agent("read", "--config", settings(tmp_path, port).config, "main-1")
    energy, power = (line.split() for line in done.stdout.splitlines())
    assert energy[:6] == ["energy_import", "-5", "Wh", "implausible", "raw", "fffffffffffffffb"]
    assert power[:4] == ["power", "-12.500", "kW", "raw"]


def test_read_of_a_meter_that_does_not_answer_says_so(tmp_path: Path) -> None:
    done = pue_agent("read", "--config", settings(tmp_path, free_port()).config, "main-1")
    assert done.returncode == 1
    assert "no value: no_link" in done.stdout
    assert done.stderr == ""


def test_read_of_an_unknown_meter_names_the_known_ones(tmp_path: Path) -> None:
    done = pue_agent("read", "--config", settings(tmp_path).config, "main-7")
    assert done.returncode == 2
    assert "meter 'main-7' is not in" in done.stderr
    assert "use one of main-1" in done.stderr


def test_keygen_writes_a_private_file_once_and_prints_the_public_key(tmp_path: Path) -> None:
    out = tmp_path / "keys" / "a.key"
    done = pue_agent("keygen", "--out", out)
    assert done.returncode == 0
    assert Verifier.from_text(done.stdout).key_id == Signer.from_text(out.read_text()).key_id
    assert out.stat().st_mode & 0o777 == 0o600
    again = pue_agent("keygen", "--out", out)
    assert again.returncode == 2
    assert "File exists; name a new file" in again.stderr


def test_profiles_lists_every_model() -> None:
    done = pue_agent("profiles")
    names = ["abb-b23", "apc-rpdu2", "eastron-sdm630", "eaton-epdu", "raritan-px2", "schneider-pm5xxx"]
    assert [line.split()[0] for line in done.stdout.splitlines()] == names


def test_a_health_port_in_use_is_named_and_nothing_is_left_locked(tmp_path: Path) -> None:
    agent = settings(tmp_path)
    with socket.create_server((HOST, agent.health_port)):
        done = pue_agent_process("run", "--config", agent.config)
    assert done.returncode == 2
    assert f"health.port {agent.health_port} cannot be opened (Address already in use); use a free port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_agent_on_the_same_spool_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    agent = settings(tmp_path, free_port())
    with agent:
        wait_until(lambda: agent.metric("pue_agent_readings_appended_total") > 0, "running")
        done = pue_agent_process("run", "--config", agent.config)
        assert agent.child is not None
        assert f"is held by process {agent.child.pid}; stop that agent" in done.stderr
        text = agent.metrics()
    assert done.returncode == 2
    for name in METRICS:
        assert f"\n{name} " in text


METRICS = (
    'pue_agent_readings_total{quality="no_link"}',
    "pue_agent_readings_appended_total",
    "pue_agent_batches_appended_total",
    "pue_agent_batches_published_total",
    "pue_agent_batches_acked_total",
    "pue_agent_spool_unacked_batches",
    "pue_agent_oldest_unacked_seconds",
    "pue_agent_broker_connected",
)


def test_the_agent_needs_none_of_the_other_parts_libraries(tmp_path: Path) -> None:
    code = (
        "import sys, json, agent.cli, agent.app, agent.drivers.modbus, agent.drivers.snmp\n"
        "print(json.dumps([n for n in ('numpy', 'fastapi', 'influxdb_client', 'pandas', 'sqlalchemy', 'collector',"
        " 'compliance', 'simulators') if n in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(done.stdout) == []


# -------------------------------------------------------------------- hand-over

OLD, NEW = "018000000000aaaaaaaa", "019000000000bbbbbbbb"


def last_batch(signer: Signer, agent: str = AGENT, *, handover: bool = True) -> SignedLine:
    body = (
        Handover(next_epoch=NEW, reason="history ends")
        if handover
        else OutageDeclared(from_ms=0, to_ms=1, meters=[], reason="", by="")
    )
    batch = EventBatch(
        site=SITE, agent=agent, key=signer.key_id, epoch=OLD, prev_epoch=None, boot="0" * 16, seq=401, prev=ZERO_HASH,
        config=None, sent_ms=1, mono_ns=1, body=body,
    )  # fmt: skip
    return seal(batch, signer)


def write_history(path: Path, *batches: SignedLine) -> Path:
    path.write_bytes(b"".join(write_lines(batches)))
    return path


def test_init_starts_the_epoch_the_hand_over_names_and_the_chain_goes_on(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, modbus_meters({1: schneider_words(1, 1.0)}) as port:
        agent = AgentProcess(tmp_path / "a", broker.port, links=modbus_link(port, 1))
        last = last_batch(agent.signer)
        history = write_history(tmp_path / "h.batches", last)
        for _ in range(2):
            done = pue_agent("init", "--config", agent.config, "--continue-from", history)
            assert done.returncode == 0, done.stderr
        with Collector(broker.port, agent.signer.verifier) as collector, agent:
            wait_until(lambda: len(collector.batches) >= 2, "batches")
    first = collector.in_order()[0]
    assert (first.epoch, first.prev_epoch, first.seq, first.prev) == (NEW, OLD, 1, last.sha256)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda signer: [last_batch(signer, handover=False)], "which is no hand-over"),
        (lambda signer: [last_batch(Signer.generate())], "bad_signature"),
        (lambda signer: [last_batch(signer, agent="km01-a2")], "is of agent 'km01-a2'"),
        (lambda signer: [], "is empty"),
    ],
)
def test_init_refuses_a_file_that_does_not_hand_over_to_this_agent(
    spoil: Callable[[Signer], list[SignedLine]], message: str, tmp_path: Path
) -> None:
    agent = settings(tmp_path / "a")
    history = write_history(tmp_path / "h.batches", *spoil(agent.signer))
    done = pue_agent("init", "--config", agent.config, "--continue-from", history)
    assert done.returncode == 2
    assert message in done.stderr


def test_init_refuses_a_spool_that_already_runs_another_epoch(tmp_path: Path) -> None:
    agent = settings(tmp_path / "a")
    with agent:
        wait_until(lambda: agent.metric("pue_agent_batches_appended_total") >= 1, "running")
        agent.stop()
    history = write_history(tmp_path / "h.batches", last_batch(agent.signer))
    done = pue_agent("init", "--config", agent.config, "--continue-from", history)
    assert done.returncode == 2
    assert "already runs epoch" in done.stderr
