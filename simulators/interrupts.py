"""SIGINT and SIGTERM as `KeyboardInterrupt`, but never in the middle of something that has to be whole."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Holds signals back while a process is started or processes are stopped."""

    def __init__(self) -> None:
        self._is_held = False
        self._has_come = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle both signals while the block runs."""
        before = [signal.signal(number, self._handle) for number in SIGNALS]
        try:
            yield
        finally:
            for number, handler in zip(SIGNALS, before, strict=True):
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let a signal wait until the block is done."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._has_come:
            self._has_come = False
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """From now on no signal interrupts anything: everything is being stopped already."""
        self._is_held = True

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_held:
            self._has_come = True
        else:
            raise KeyboardInterrupt
