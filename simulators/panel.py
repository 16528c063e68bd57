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
    """One line of the panel."""

    name: str
    into: str
    out: str
    lag: str
    spool: str
    log: str


@dataclass(frozen=True, slots=True)
class Scale:
    """What does not change while the panel is shown."""

    meters: int
    history_readings: int
    imported_readings: int
    url: str


def stages(snapshot: Snapshot, scale: Scale) -> list[Stage]:
    """The chain from meters to findings."""
    collector, written, imported = snapshot.collector, scale.history_readings, scale.imported_readings
    acked = snapshot.agents_sum("pue_agent_batches_acked_total")
    committed = round(collector.get("pue_collector_batches_committed_total", 0))
    lag_records = round(collector.get("pue_collector_projection_lag_records", 0))
    oldest_s = snapshot.agents_max("pue_agent_oldest_unacked_seconds")
    unacked = snapshot.agents_sum("pue_agent_spool_unacked_batches")
    connected = snapshot.agents_sum("pue_agent_broker_connected")
    return [
        Stage(
            "history", f"{scale.history_readings:,} readings", f"{scale.imported_readings:,} stored", "", "", "import"
        ),
        Stage("meters", "", f"{scale.meters} meters", "", "", "meters"),
        Stage(
            f"agents ({len(snapshot.agents)})",
            f"{snapshot.appended:,} readings",
            f"{acked:,} batches acknowledged",
            f"{oldest_s:.1f} s",
            f"{unacked} batches",
            "agent-",
        ),
        Stage("broker", f"{connected} agents", "", "", "", "broker"),
        Stage(
            "collector",
            f"{committed:,} batches",
            f"{snapshot.stored:,} readings",
            f"{lag_records} records",
            "",
            "collector",
        ),
        Stage(
            "compliance",
            f"{snapshot.facilities} facilities",
            f"{snapshot.findings} findings, {snapshot.alerts} alerts",
            "",
            "",
            "compliance",
        ),
    ]


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
        self.console.print(text, highlight=False, markup=False)

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
