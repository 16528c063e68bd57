"""Child processes of the demo: started in their own groups, watched, and stopped by id, newest first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from pue.contract.errors import Fatal
from simulators.interrupts import Interrupts

TAIL_LINES = 12
STOP_SECONDS = 8.0


def command(name: str) -> str:
    """Path of one of our commands, beside the running interpreter.

    Raises
    ------
    Fatal
        If it is not installed there.
    """
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise Fatal(f"{path} does not exist; install the package with its extra `simulators`")
    return str(path)


@dataclass(slots=True)
class Child:
    """A started process, its log, and whether it is meant to end by itself."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    started_s: float = field(default_factory=time.monotonic)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def tail(self, lines: int = TAIL_LINES) -> str:
        """Last lines of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def wait(self, seconds: float) -> float:
        """Wait until it ends well; return how long it ran. [s]

        Raises
        ------
        Fatal
            If it fails or takes too long, with its last log lines.
        """
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Fatal(f"{self.name} did not end within {seconds:.0f} s; its last lines:\n{self.tail()}") from None
        if code != 0:
            raise Fatal(f"{self.name} ended with exit code {code}; its last lines:\n{self.tail()}")
        return time.monotonic() - self.started_s

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """SIGTERM, and SIGKILL if it does not go."""
        if self.is_running:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._kill()
        if self.process.stdin:
            self.process.stdin.close()

    def _kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Crew:
    """Every process the demo has started.

    Parameters
    ----------
    folder
        Where they run: relative paths in their settings start here.
    interrupts
        Held back while a process is started, so that none is started and forgotten.
    """

    def __init__(self, folder: Path, interrupts: Interrupts | None = None) -> None:
        self._folder = folder
        self._interrupts = interrupts or Interrupts()
        self.children: list[Child] = []
        self.peak_resident_bytes = 0
        self.peak_resident: dict[str, int] = {}
        """Resident memory of each process at the peak of all together. [B]"""

    def start(self, name: str, *arguments: str) -> Child:
        """Start a process whose output goes to `logs/NAME.log`."""
        log = self._folder / "logs" / f"{name}.log"
        with self._interrupts.held(), log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own commands, no shell
                arguments,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            child = Child(name, process, log)
            self.children.append(child)
        return child

    def running(self, name: str) -> Child | None:
        """Return a process by name, if it runs."""
        return next((child for child in self.children if child.name == name and child.is_running), None)

    def check_alive(self) -> None:
        """See that no lasting process has ended.

        Raises
        ------
        Fatal
            Naming it, with its last log lines.
        """
        for child in self.children:
            if not child.is_running and child.process.returncode != 0:
                code = child.process.returncode
                raise Fatal(f"{child.name} ended with exit code {code}; its last lines:\n{child.tail()}")

    def measure(self) -> int:
        """Resident memory of the demo and all it started, now, shared pages counted once; the highest is kept. [B]"""
        pids = {child.name: child.process.pid for child in list(self.children) if child.is_running}
        sizes = {name: _resident_bytes(pid) for name, pid in ({"demo": os.getpid()} | pids).items()}
        total = sum(sizes.values())
        if total > self.peak_resident_bytes:
            self.peak_resident_bytes = total
            self.peak_resident = sizes
        return total

    def stop_all(self) -> None:
        """Stop everything, newest first; no signal cuts that short."""
        self._interrupts.ignore()
        for child in reversed(self.children):
            child.stop()


def _resident_bytes(pid: int) -> int:
    """A process's part of the memory in use: pages several processes share are divided among them. [B]"""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0  # it has just ended
    fields = text.partition("\nPss:")[2].split(maxsplit=1)
    return int(fields[0]) * 1024 if fields else 0  # a process that has ended and was not waited for has none
