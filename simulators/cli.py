"""`pue-sim`: simulated meters, a simulated past, and what is true of both."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pue.contract.errors import PueError

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Folder = Annotated[Path, typer.Option("--dir", help="State directory written by `pue-sim init` or `pue-demo`.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
_DEBUG = "PUE_SIM_DEBUG"


@app.command()
def init(
    folder: Folder = Path("simulation"),
    seed: Annotated[int, typer.Option(help="Seeds load, weather and meter errors.")] = 1,
    until: Annotated[str, typer.Option(help="End of the history, ISO 8601 with offset; empty: now.")] = "",
    port: Annotated[int, typer.Option(help="First port; every link takes the next one.")] = 15_020,
    debug: Debug = False,
) -> None:
    """Write the simulation's file: seed, end of history and ports."""
    set_debug(debug)
    from simulators.scenario import instant_ms, sites, write_simulation
    from simulators.serve import now_ms

    until_ms = instant_ms(until) if until else now_ms()
    ports: dict[str, dict[str, int]] = {}
    for site in sites(seed, until_ms):
        ports[site.spec.id] = {link: port + index for index, link in enumerate(site.links)}
        port += len(site.links)
    folder.mkdir(parents=True, exist_ok=True)
    write_simulation(folder, seed, until_ms, ports)


@app.command()
def meters(folder: Folder = Path("simulation"), debug: Debug = False) -> None:
    """Serve all meters over Modbus TCP and SNMP v2c on 127.0.0.1 until SIGINT or SIGTERM."""
    set_debug(debug)
    from simulators.scenario import read_simulation
    from simulators.serve import serve

    asyncio.run(serve(read_simulation(folder), lambda text: print(text, flush=True)))


@app.command()
def history(
    sites: Annotated[list[str], typer.Argument(help="Facilities, as `pue-sim show` lists them.")],
    keys: Annotated[Path, typer.Option(help="Folder with the agents' private keys, AGENT.key.")] = Path("keys"),
    out: Annotated[Path, typer.Option(help="Folder to write SITE.batches.gz into.")] = Path("history"),
    folder: Folder = Path("simulation"),
    debug: Debug = False,
) -> None:
    """Write 400 days of signed readings of some facilities."""
    set_debug(debug)
    from simulators.history import write_history
    from simulators.keys import read_key
    from simulators.scenario import read_simulation, site_named

    known = read_simulation(folder).sites
    for site in [site_named(known, name) for name in sites]:
        path = out / f"{site.spec.id}.batches.gz"
        readings = write_history(site, read_key(keys / f"{site.spec.agent_id}.key"), path)
        print(f"{path}: {readings} readings")


@app.command()
def show(folder: Folder = Path("simulation"), debug: Debug = False) -> None:
    """List facilities, meters and ports, and the true PUE behind them."""
    set_debug(debug)
    from simulators.scenario import read_simulation
    from simulators.show import table

    print(table(read_simulation(folder)))


def main() -> None:
    """Run a command; an error the user can mend is one line and exit code 2."""
    run(app)


def run(command: typer.Typer) -> None:
    """Run a Typer application the way all our commands end."""
    try:
        command()
    except (PueError, OSError) as error:
        if os.environ.get(_DEBUG):
            raise
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def set_debug(debug: bool) -> None:
    """Let errors show their traceback."""
    if debug:
        os.environ[_DEBUG] = "1"
