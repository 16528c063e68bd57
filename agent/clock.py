"""The agent's two clocks: wall time for stamps, monotonic time for waiting."""

from __future__ import annotations

import time
from typing import Protocol

JUMP_MS = 1_000
"""Wall time that moves this much against monotonic time is reported as a jump."""


class Clock(Protocol):
    """Where time comes from; tests bring their own."""

    def wall_ms(self) -> int:
        """Unix time. [ms UTC]"""
        ...

    def mono_ns(self) -> int:
        """Time that never steps. [ns]"""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def mono_ns(self) -> int:
        return time.monotonic_ns()


class JumpDetector:
    """Compares the two clocks from call to call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ms = self._offset()

    def step_ms(self) -> int:
        """How far wall time stepped since the last call, 0 if it did not. [ms]"""
        offset = self._offset()
        step = offset - self._offset_ms
        self._offset_ms = offset
        return step if abs(step) > JUMP_MS else 0

    def _offset(self) -> int:
        # The two run alike, so their difference stands still; only a step of the wall clock moves it.
        return self._clock.wall_ms() - self._clock.mono_ns() // 1_000_000
