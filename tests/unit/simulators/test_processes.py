"""Children are started, watched, and gone afterwards."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from pue.contract.errors import Fatal
from simulators.processes import Crew, command

STUBBORN = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


@pytest.fixture
def crew(tmp_path: Path) -> Crew:
    (tmp_path / "logs").mkdir()
    return Crew(tmp_path)


def test_a_dead_child_is_reported_with_its_last_lines(crew: Crew) -> None:
    child = crew.start("agent-x", sys.executable, "-c", "print('the spool is full'); raise SystemExit(3)")
    child.process.wait(10)
    with pytest.raises(Fatal, match=r"agent-x ended with exit code 3; its last lines:\nthe spool is full"):
        crew.check_alive()


def test_a_command_that_fails_is_reported(crew: Crew) -> None:
    with pytest.raises(Fatal, match="exit code 1"):
        crew.start("import", sys.executable, "-c", "raise SystemExit(1)").wait(10)


def test_one_that_ended_well_is_no_trouble(crew: Crew) -> None:
    assert crew.start("import", sys.executable, "-c", "").wait(10) >= 0
    crew.check_alive()


def test_a_child_that_ignores_sigterm_is_killed(crew: Crew) -> None:
    child = crew.start("stubborn", sys.executable, "-c", STUBBORN)
    deadline_s = time.monotonic() + 10
    while "up" not in child.tail() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    child.stop(seconds=0.2)
    assert child.process.returncode == -9


def test_stopping_leaves_no_process(crew: Crew) -> None:
    children = [crew.start(f"c{number}", sys.executable, "-c", "import time; time.sleep(60)") for number in range(3)]
    assert crew.running("c1") is children[1]
    crew.stop_all()
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child.process.pid, 0)


def test_memory_counts_the_children(crew: Crew) -> None:
    alone = crew.measure()
    crew.start("child", sys.executable, "-c", "import time; time.sleep(60)")
    try:
        assert crew.measure() > alone
        assert crew.peak_resident_bytes >= alone
    finally:
        crew.stop_all()


def test_a_missing_command_names_the_remedy() -> None:
    with pytest.raises(Fatal, match="pue-teapot does not exist; install"):
        command("pue-teapot")
