"""Signals wait for what has to be whole."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from simulators.interrupts import SIGNALS, Interrupts


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_interrupts(number: signal.Signals) -> None:
    with Interrupts().listening(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_while_held_it_waits_for_the_end_of_the_block() -> None:
    interrupts, done = Interrupts(), []

    def held_work() -> None:
        with interrupts.held():
            signal.raise_signal(signal.SIGTERM)
            done.append("whole")

    with interrupts.listening():
        with pytest.raises(KeyboardInterrupt):
            held_work()
        with interrupts.held():
            done.append("the signal is not repeated")
    assert len(done) == 2


def test_what_is_being_stopped_is_not_interrupted() -> None:
    interrupts = Interrupts()
    with interrupts.listening():
        interrupts.ignore()
        signal.raise_signal(signal.SIGINT)


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interrupts().listening():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_children_do_not_inherit_a_blocked_signal() -> None:
    interrupts = Interrupts()
    with interrupts.listening():
        with interrupts.held():
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        child.terminate()
        assert child.wait(10) == -signal.SIGTERM
