"""What the demo shows in a terminal: the chain, stage by stage, and the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from simulators.check import Answer
from simulators.processes import Crew
from simulators.watch import Snapshot

TITLE = "演示数据 / DEMO"
_WORRYING = ("error", "critical", "traceback", "fatal")


@dataclass(frozen=True, slots=True)
class Stage:
    """One line of the panel; `log` is how the names of its processes begin."""

    name: str
    log: str
    into: str = ""
    out: str = ""
    lag: str = ""
    spool: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """What does not change while the panel is shown."""

    meters: int
    history_readings: int
    imported_readings: int
    url: str


def stages(snapshot: Snapshot, scale: Scale) -> list[Stage]:
    """The chain from meters to findings."""
    history = f"{scale.history_readings:,} readings"
    imported = f"{scale.imported_readings:,} readings"
    connected = snapshot.agents_sum("pue_agent_broker_connected")
    return [
        Stage("history", into=history, out=imported, log="import"),
        Stage("meters", out=f"{scale.meters} meters", log="meters"),
        _agents(snapshot),
        Stage("broker", into=f"{connected} agents", log="broker"),
        _collector(snapshot),
        _compliance(snapshot),
    ]


def _agents(snapshot: Snapshot) -> Stage:
    acked = snapshot.agents_sum("pue_agent_batches_acked_total")
    oldest_s = snapshot.agents_max("pue_agent_oldest_unacked_seconds")
    unacked = snapshot.agents_sum("pue_agent_spool_unacked_batches")
    return Stage(
        f"agents ({len(snapshot.agents)})",
        into=f"{snapshot.appended:,} readings",
        out=f"{acked:,} batches acknowledged",
        lag=f"{oldest_s:.1f} s",
        spool=f"{unacked} batches",
        log="agent-",
    )


def _collector(snapshot: Snapshot) -> Stage:
    committed = round(snapshot.collector.get("pue_collector_batches_committed_total", 0))
    lag_records = round(snapshot.collector.get("pue_collector_projection_lag_records", 0))
    return Stage(
        "collector",
        into=f"{committed:,} batches",
        out=f"{snapshot.stored:,} readings",
        lag=f"{lag_records} records",
        log="collector",
    )


def _compliance(snapshot: Snapshot) -> Stage:
    found = f"{snapshot.findings} findings, {snapshot.alerts} alerts"
    return Stage("compliance", into=f"{snapshot.facilities} facilities", out=found, log="compliance")


class Panel:
    """A live panel on a terminal, plain lines elsewhere."""

    def __init__(self, *, is_live: bool) -> None:
        self.console = Console()
        self._live = Live(console=self.console, refresh_per_second=4) if is_live else None

    def open(self) -> None:
        """Begin to draw."""
        if self._live:
            self._live.start()

    def close(self) -> None:
        """Leave the last picture standing."""
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def draw(self, snapshot: Snapshot, crew: Crew, scale: Scale) -> None:
        """Show the state of the chain."""
        if self._live is None:
            return
        table = Table(title=TITLE, title_justify="left", expand=True)
        for column in ("stage", "in", "out", "lag", "spool", "last error"):
            table.add_column(column)
        for stage in stages(snapshot, scale):
            table.add_row(stage.name, stage.into, stage.out, stage.lag, stage.spool, last_error(crew, stage.log))
        self._live.update(Group(table, Text(f"{scale.url}   Ctrl-C stops everything")))

    def result(self, answers: Sequence[Answer]) -> None:
        """Print the table of expected and found."""
        table = Table(title=f"{TITLE}: expected and found", title_justify="left")
        for column in ("", "question", "expected", "found"):
            table.add_column(column)
        for answer in answers:
            table.add_row("ok" if answer.ok else "WRONG", answer.question, answer.wanted, answer.found)
        self.console.print(table)


def last_error(crew: Crew, prefix: str) -> str:
    """Last worrying log line of the processes whose name begins so."""
    for child in crew.children:
        if child.name.startswith(prefix):
            for line in reversed(child.tail(50).splitlines()):
                if any(word in line.lower() for word in _WORRYING):
                    return line[-80:]
    return ""
