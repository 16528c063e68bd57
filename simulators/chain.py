"""The demo's chain: history, registry, import, then every process in its order."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pue.contract.errors import Fatal
from simulators.broker import broker_command
from simulators.interrupts import Interrupts
from simulators.processes import Child, Crew, command
from simulators.scenario import Site
from simulators.serve import READY
from simulators.state import POLL_SECONDS, Ports, Store, check_port, choose_ports, prepare, write_files
from simulators.watch import Api, Snapshot, metrics

COMMAND_S = 120.0
START_S = 30.0
POLL_S = 0.2
AGENT = "agent-"
_WRITTEN = re.compile(r": (\d+) readings$", re.MULTILINE)
_APPENDED = re.compile(r"stopped; (\d+) readings appended")
_STORED = re.compile(r"(\d+) readings stored")


@dataclass(slots=True)
class Figures:
    """What a run took."""

    history_s: float = 0.0
    import_s: float = 0.0
    first_finding_s: float = 0.0
    all_findings_s: float = 0.0
    history_readings: int = 0
    imported_readings: int = 0
    appended_readings: int = 0
    stored_readings: int = 0
    steps_s: dict[str, float] = field(default_factory=dict)


class Chain:
    """Everything the demo runs.

    Parameters
    ----------
    folder
        State directory.
    sites
        The simulated facilities.
    seed, store, broker
        As the command line says.
    console_port
        Where the console shall be.
    say
        Prints one line of progress.
    interrupts
        Signals, held back where they would leave a process behind.
    """

    def __init__(
        self,
        folder: Path,
        sites: tuple[Site, ...],
        seed: int,
        store: Store,
        broker: str,
        console_port: int,
        say: Callable[[str], None],
        interrupts: Interrupts,
    ) -> None:
        self.folder = folder
        self.sites = sites
        self.seed = seed
        self.store = store
        self.broker = broker
        self.ports: Ports = choose_ports(console_port, sites)
        self.crew = Crew(folder, interrupts)
        self.api = Api(console_port)
        self.figures = Figures()
        self._say = say
        self._begun_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Since the demo began. [s]"""
        return time.monotonic() - self._begun_s

    def prepare(self) -> None:
        """Write the state directory and the history while the registry is imported."""
        prepare(self.folder)
        write_files(self.folder, self.sites, self.ports, self.store, self.seed)
        registry = self._compliance("registry", "import", "registry.toml")
        self._write_history()
        registry.wait(COMMAND_S)
        if not (self.folder / "state/topology.signed").exists():
            self._compliance("topology", "topology").wait(COMMAND_S)
        self._step("history and registry")

    def import_history(self) -> None:
        """Import all batch files; meanwhile start what only waits."""
        files = [str(self._history(site)) for site in self.sites]
        collector = command("pue-collector")
        importing = self.crew.start("import", collector, "import", *files, "--config", "collector.toml")
        self._start_neighbours()
        self._start_agents_epochs()
        self.figures.import_s = importing.wait(COMMAND_S)
        self.figures.imported_readings = _number(_STORED, importing)
        self._step("import")

    def start(self) -> None:
        """Start the collector, compliance and the agents."""
        self.crew.start("collector", command("pue-collector"), "run", "--config", "collector.toml")
        check_port(self.ports.console)
        self._compliance("compliance", "serve")
        for site in self.sites:
            self.crew.start(f"{AGENT}{site.spec.id}", *self._agent("run", site))
        self.wait_for("the console", self.api.is_up, START_S)
        self._step("console up")

    def snapshot(self) -> Snapshot:
        """Ask every process how it is doing."""
        self.crew.check_alive()
        findings = self.api.findings(site.spec.id for site in self.sites)
        return Snapshot(
            agents={site.spec.id: metrics(self.ports.metrics[site.spec.id]) for site in self.sites},
            collector=metrics(self.ports.metrics["collector"]),
            findings=sum(len(rows) for rows in findings.values()),
            facilities=len(self.api.items("/v1/facilities")),
            alerts=sum(1 for alert in self.api.alerts() if alert.get("cleared_ms") is None),
        )

    def flow(self) -> Snapshot:
        """Ask only who moves readings."""
        self.crew.check_alive()
        return Snapshot(
            agents={site.spec.id: metrics(self.ports.metrics[site.spec.id]) for site in self.sites},
            collector=metrics(self.ports.metrics["collector"]),
        )

    def wait_for(self, what: str, is_there: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition, seeing that no process ends meanwhile.

        Raises
        ------
        Fatal
            If it does not come true in time.
        """
        deadline_s = time.monotonic() + seconds
        while not is_there():
            self.crew.check_alive()
            if time.monotonic() > deadline_s:
                raise Fatal(f"{what} did not come within {seconds:.0f} s; see the logs in {self.folder / 'logs'}")
            time.sleep(POLL_S)

    def wait_for_findings(self, seconds: float) -> None:
        """Wait until every facility has findings, noting when the first one had."""
        names = [site.spec.id for site in self.sites]
        missing = set(names)

        def are_there() -> bool:
            missing.difference_update({name for name in missing if self.api.items(f"/v1/facilities/{name}/findings")})
            if len(missing) < len(names) and not self.figures.first_finding_s:
                self.figures.first_finding_s = self.elapsed_s
            return not missing

        self.wait_for("findings of every facility", are_there, seconds)
        self.figures.all_findings_s = self.elapsed_s
        self._step("findings")

    def settle(self, seconds: float) -> Snapshot:
        """Stop the agents while none has anything to deliver, then let the collector store what it has.

        Returns the last snapshot with agents; afterwards `figures` hold what was appended and stored.
        """
        deadline_s = time.monotonic() + seconds
        snapshot = self.flow()
        while not _is_idle(snapshot, time.time()) and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
            snapshot = self.flow()
        agents = [child for child in self.crew.children if child.name.startswith(AGENT)]
        for agent in agents:
            agent.stop()
        appended = sum(_number(_APPENDED, agent) for agent in agents)
        stored = self.flow().stored
        while stored != appended and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
            stored = self.flow().stored
        self.figures.appended_readings = appended
        self.figures.stored_readings = stored
        return snapshot

    def _write_history(self) -> None:
        """Let two processes write the batch files."""
        names = [site.spec.id for site in self.sites]
        writers = [
            self.crew.start(f"history-{number}", command("pue-sim"), "history", *half, "--dir", ".")
            for number, half in enumerate((names[::2], names[1::2]))
        ]
        self.figures.history_s = max(writer.wait(COMMAND_S) for writer in writers)
        written = (_WRITTEN.findall(writer.tail()) for writer in writers)
        self.figures.history_readings = sum(int(count) for counts in written for count in counts)

    def _start_neighbours(self) -> None:
        self.crew.start("broker", *broker_command(self.broker, self.folder, self.ports.broker))
        meters = self.crew.start("meters", command("pue-sim"), "meters", "--dir", ".")
        self.wait_for("the simulated meters", lambda: READY in meters.tail(), START_S)

    def _start_agents_epochs(self) -> None:
        """Let each agent open the live epoch that its history hands over to."""
        for site in self.sites:
            history = str(self._history(site))
            name = f"init-{site.spec.id}"
            self.crew.start(name, *self._agent("init", site), "--continue-from", history).wait(COMMAND_S)

    def _agent(self, verb: str, site: Site) -> tuple[str, ...]:
        return command("pue-agent"), verb, "--config", f"agents/{site.spec.id}.toml"

    def _compliance(self, name: str, verb: str, *arguments: str) -> Child:
        pue_compliance = command("pue-compliance")
        return self.crew.start(name, pue_compliance, verb, *arguments, "--config", "compliance.toml")

    def _history(self, site: Site) -> Path:
        return self.folder / "history" / f"{site.spec.id}.batches.gz"

    def _step(self, name: str) -> None:
        self.figures.steps_s[name] = self.elapsed_s
        self._say(f"{self.elapsed_s:5.1f} s  {name}")


def _is_idle(snapshot: Snapshot, now_s: float) -> bool:
    """Nothing waits, and the next tick, which all agents share, is still some way off."""
    phase = now_s % POLL_SECONDS / POLL_SECONDS
    return snapshot.agents_sum("pue_agent_spool_unacked_batches") == 0 and 0.3 < phase < 0.8


def _number(pattern: re.Pattern[str], child: Child) -> int:
    """Last number a process's log states so."""
    found = pattern.findall(child.tail(100))
    return int(found[-1]) if found else 0
