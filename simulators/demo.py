"""`pue-demo`: the whole product on loopback, in front of simulated data centers whose true PUE is known."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pue.contract.errors import Fatal
from simulators.cli import run, set_debug

if TYPE_CHECKING:
    from simulators.chain import Chain
    from simulators.panel import Panel

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
FINDINGS_S = 120.0
SETTLE_S = 60.0
DRAW_S = 1.0
MEASURE_S = 0.25
UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    folder: Path
    port: int
    broker: str
    seed: int
    until: str
    seconds: float | None
    is_check: bool
    json_file: Path | None
    store: str
    influx_url: str


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Option("--dir", help="State directory; default: a temporary one.")] = None,
    port: Annotated[int, typer.Option(help="Port of the console.")] = 8080,
    broker: Annotated[str, typer.Option(help="auto, iotcore or mosquitto.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seeds load, weather and meter errors.")] = 1,
    until: Annotated[str, typer.Option(help="End of the history, ISO 8601 with offset; default: now.")] = "",
    run_for: Annotated[str, typer.Option("--for", help="Stop after a time of live readings: 30s, 2m, 1h.")] = "",
    check: Annotated[bool, typer.Option("--check", help="No panel; exit 0 only if all is as it must be.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write findings, alerts and figures here.")] = None,
    store: Annotated[str, typer.Option(help="Series store: sqlite or influxdb.")] = "sqlite",
    influx_url: Annotated[str, typer.Option(help="InfluxDB for --store influxdb.")] = "http://127.0.0.1:8086",
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Run five simulated data centers through agents, collector and compliance; Ctrl-C stops everything."""
    set_debug(debug)
    if store not in ("sqlite", "influxdb"):
        raise Fatal(f"store {store!r} is unknown; use sqlite or influxdb")
    seconds = seconds_of(run_for) if run_for else None
    with _folder(folder) as state:
        options = Options(state, port, broker, seed, until, seconds, check, json_file, store, influx_url)
        code = execute(options)
    raise typer.Exit(code)


def seconds_of(text: str) -> float:
    """Seconds of a duration such as 30s, 2m or 1h.

    Raises
    ------
    Fatal
        If it is none.
    """
    try:
        return float(text[:-1]) * UNITS_S[text[-1]]
    except (KeyError, IndexError, ValueError):
        raise Fatal(f"duration {text!r} is not a number and a unit; write it like 30s, 2m or 1h") from None


def execute(options: Options) -> int:
    """Run the demo; 0 if it did what it must."""
    from simulators.chain import Chain
    from simulators.interrupts import Interrupts
    from simulators.panel import Panel
    from simulators.scenario import sites
    from simulators.serve import now_ms
    from simulators.state import Store
    from simulators.watch import check_influxdb

    panel = Panel(is_live=not options.is_check)
    until_ms = _history_end(options.until, now_ms())
    if options.store == "influxdb":
        check_influxdb(options.influx_url)
    store = Store(options.store, options.influx_url)
    world = sites(options.seed, until_ms)
    interrupts = Interrupts()
    chain = Chain(options.folder, world, options.seed, store, options.broker, options.port, panel.say, interrupts)
    with interrupts.listening(), _stopping(chain), _measuring(chain):
        try:
            return _run(chain, panel, options)
        except KeyboardInterrupt:
            panel.say("stopping")
            return 1 if options.is_check else 0


def _history_end(until: str, now_ms: int) -> int:
    """End of the history. [ms UTC]

    Raises
    ------
    Fatal
        If it is in the future, or so long ago that the simulated plant has ended.
    """
    from simulators.plant import AHEAD_DAYS, DAY_MS
    from simulators.scenario import instant_ms

    until_ms = instant_ms(until) if until else now_ms
    if not now_ms - AHEAD_DAYS // 2 * DAY_MS <= until_ms <= now_ms:
        raise Fatal(f"--until {until} is not within the last {AHEAD_DAYS // 2} days; live readings go on from there")
    return until_ms


def _run(chain: Chain, panel: Panel, options: Options) -> int:
    from simulators.scenario import iso

    panel.say(f"演示数据 / DEMO in {options.folder}, history until {iso(chain.sites[0].until_ms)}")
    chain.prepare()
    chain.import_history()
    chain.start()
    chain.wait_for_findings(FINDINGS_S)
    panel.say(f"console: {chain.api.url}")
    panel.open()
    try:
        _live(chain, panel, options.seconds)
    finally:
        panel.close()
    return _finish(chain, panel, options)


def _live(chain: Chain, panel: Panel, seconds: float | None) -> None:
    """Watch the chain until the time is over or Ctrl-C."""
    from simulators.panel import Scale

    meters = sum(len(site.spec.meters) for site in chain.sites)
    scale = Scale(meters, chain.figures.history_readings, chain.figures.imported_readings, chain.api.url)
    begun_s = time.monotonic()
    try:
        while seconds is None or time.monotonic() - begun_s < seconds:
            panel.draw(chain.snapshot(), chain.crew, scale)
            time.sleep(DRAW_S)
    except KeyboardInterrupt:
        if seconds is not None:
            raise


def _finish(chain: Chain, panel: Panel, options: Options) -> int:
    """Compare what was found with what is true."""
    from simulators.check import Counts, answers, comparable
    from simulators.expect import expected

    last = chain.settle(SETTLE_S)
    figures = chain.figures
    counts = Counts(
        figures.history_readings, figures.imported_readings, figures.appended_readings, figures.stored_readings
    )
    findings = chain.api.findings(site.spec.id for site in chain.sites)
    alerts = chain.api.alerts()
    wanted = [expected(site.afresh()) for site in chain.sites]
    rows = answers(wanted, findings, alerts, last, counts)
    panel.result(rows)
    for name, value in _figures(chain).items():
        panel.say(f"{name}: {value}")
    sent = counts.history + counts.appended
    stored = counts.imported + counts.stored
    panel.say(f"readings sent {sent:,} {'=' if sent == stored else '≠'} readings stored {stored:,}")
    if options.json_file:
        memory = {name: round(size / (1 << 20)) for name, size in chain.crew.peak_resident.items()}
        content = comparable(findings, alerts) | {"figures": _figures(chain), "resident_mib": memory}
        options.json_file.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    return 0 if all(row.ok for row in rows) else 1


def _figures(chain: Chain) -> dict[str, float]:
    figures = chain.figures
    return {
        "seconds to first finding": round(figures.first_finding_s, 1),
        "seconds to all findings": round(figures.all_findings_s, 1),
        "import seconds": round(figures.import_s, 1),
        "history seconds": round(figures.history_s, 1),
        "peak resident memory of all processes, MiB": round(chain.crew.peak_resident_bytes / (1 << 20), 0),
    }


@contextmanager
def _folder(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="pue-demo-") as name:
        yield Path(name)


@contextmanager
def _stopping(chain: Chain) -> Iterator[None]:
    """On the way out every process is stopped."""
    try:
        yield
    finally:
        chain.crew.stop_all()


@contextmanager
def _measuring(chain: Chain) -> Iterator[None]:
    """Sample resident memory in the background."""
    stop = threading.Event()

    def measure() -> None:
        while not stop.wait(MEASURE_S):
            chain.crew.measure()

    thread = threading.Thread(target=measure, name="memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def main() -> None:
    """Run the demo; an error the user can mend is one line and exit code 2."""
    run(app)
