"""The command `pue-collector`."""

from __future__ import annotations

import logging
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pue.contract.errors import PueError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keeps signed batches and projects them to series.",
)

quarantine = typer.Typer(no_args_is_help=True, help="What was not kept, and why.")
app.add_typer(quarantine, name="quarantine")

Config = Annotated[Path, typer.Option("--config", help="TOML file; see collector/README.md.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and every step.")]
EXIT_UNEXPECTED = 1
EXIT_WRONG = 2


def main() -> None:
    """Entry point."""
    app()


@contextmanager
def told(debug: bool) -> Iterator[None]:
    """Errors made on purpose become one line and exit code 2."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    try:
        yield
    except PueError as error:
        if debug:
            raise
        typer.echo(f"pue-collector: {error}", err=True)
        raise typer.Exit(EXIT_WRONG) from None
    except Exception as error:
        if debug:
            raise
        typer.echo(f"pue-collector: unexpected {type(error).__name__}: {error}; run it again with --debug", err=True)
        raise typer.Exit(EXIT_UNEXPECTED) from None


@app.command()
def run(config: Config, debug: Debug = False) -> None:
    """Take in batches until SIGTERM or Ctrl-C."""
    with told(debug):
        from collector.run import run_forever
        from collector.settings import load

        run_forever(load(config))


@app.command()
def check(config: Config, debug: Debug = False) -> None:
    """Load the configuration and the topology without connecting to anything."""
    with told(debug):
        from collector.app import TOPOLOGIES
        from collector.settings import load
        from collector.stores import check_store
        from collector.topology import TopologyFile

        settings = load(config)
        check_store(settings.series)
        mine = settings.collector
        if settings.mqtt.tls:
            settings.mqtt.tls.context()
        topology = TopologyFile(settings.topology.file, settings.topology.issuer_key, mine.state_dir / TOPOLOGIES)
        enrolled = topology.load()
        typer.echo(f"{config}: collector {mine.id}, shards {', '.join(mine.shards)}, store {settings.series.store}")
        typer.echo(f"topology version {enrolled.version}" if enrolled else f"no topology: {topology.problem}")


@app.command("import")
def import_(files: list[Path], config: Config, debug: Debug = False) -> None:
    """Admit the batches of files and project them; importing a file twice changes nothing."""
    with told(debug):
        from collector.app import opened, projecting
        from collector.importer import import_file
        from collector.settings import load
        from collector.stores import check_store

        settings = load(config)
        check_store(settings.series)
        with opened(settings) as parts:
            enrolled = parts.enrolled()
            for path in files:
                taken = import_file(path, parts.intake, enrolled)
                typer.echo(f"{path}: {taken.summary()}")
                for message in taken.messages:
                    typer.echo(f"  refused: {message}", err=True)
            with projecting(settings) as projector:
                readings = projector.drain(parts.ends, enrolled)
        typer.echo(f"{readings} readings stored")


@app.command()
def readmit(config: Config, debug: Debug = False) -> None:
    """Look again at the batches in quarantine, with the topology in force now."""
    with told(debug):
        from collector.app import opened, projecting
        from collector.settings import load
        from collector.stores import check_store

        settings = load(config)
        check_store(settings.series)
        with opened(settings) as parts:
            typer.echo(parts.intake.readmit(parts.enrolled()).summary())
            with projecting(settings) as projector:
                typer.echo(f"{projector.drain(parts.ends, parts.enrolled())} readings stored")


@app.command()
def rebuild(config: Config, debug: Debug = False) -> None:
    """Empty the series store and write it anew from the ledger."""
    with told(debug):
        from collector.app import opened
        from collector.rebuild import rebuild_all
        from collector.settings import load

        settings = load(config)
        with opened(settings) as parts:
            typer.echo(f"{rebuild_all(parts)} readings stored")


@app.command()
def incidents(config: Config, site: str | None = None, debug: Debug = False) -> None:
    """List what the collector noticed."""
    with told(debug):
        from collector.index import read_incidents

        with closing(_index(config)) as db:
            found = read_incidents(db, site)
        for item in found:
            typer.echo(f"{item.kind.value} x{item.times} {item.site or '-'} {item.agent or '-'}: {item.detail}")


@app.command()
def gaps(config: Config, agent: str | None = None, debug: Debug = False) -> None:
    """List every number that is missing, declared lost, refused or damaged, and why; beside a running collector too."""
    with told(debug):
        from collector.promise import gaps as find
        from collector.promise import kept

        with closing(_index(config)) as db:
            found = find(db, agent)
            for gap in found:
                typer.echo(f"{gap.agent}/{gap.epoch}/{gap.from_seq}..{gap.to_seq} {gap.why}")
            typer.echo(f"{kept(db, agent)} batches kept, {len(found)} gaps")


@app.command()
def verify(config: Config, debug: Debug = False) -> None:
    """Read every original and hold it against the index; exit code 1 if some are damaged, which are then asked for."""
    with told(debug):
        from collector.database import connect
        from collector.settings import load
        from collector.verify import verify_all

        mine = load(config).collector
        is_whole = True
        with closing(connect(mine.state_dir)) as db:
            for found in verify_all(db, mine.state_dir, mine.shards):
                typer.echo(f"shard {found.shard}: {found.whole} originals as they were filed, {len(found.lost)} damaged"
                           f"{f': records {found.lost}' if found.lost else ''}")  # fmt: skip
                is_whole = is_whole and not found.lost
    if not is_whole:
        raise typer.Exit(EXIT_UNEXPECTED)


@quarantine.command("list")
def list_(config: Config, debug: Debug = False) -> None:
    """List what was not kept: refused, or held until something changes."""
    with told(debug):
        from collector.promise import held

        with closing(_index(config)) as db:
            for item in held(db):
                typer.echo(f"{item.number} {item.reason} x{item.times} {_utc(item.first_ms)}..{_utc(item.last_ms)}: "
                           f"{item.message}")  # fmt: skip


@quarantine.command()
def show(number: int, config: Config, debug: Debug = False) -> None:
    """Show the line of one message in quarantine."""
    with told(debug):
        from collector.promise import original

        with closing(_index(config)) as db:
            typer.echo(original(db, number))


def _index(config: Path) -> sqlite3.Connection:
    from collector.database import FILE, connect_read_only
    from collector.settings import load

    return connect_read_only(load(config).collector.state_dir / FILE)


def _utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")


@app.command()
def export(config: Config, shard: Annotated[str, typer.Option()], out: Annotated[Path, typer.Option()],
           debug: Debug = False) -> None:  # fmt: skip
    """Write a shard's originals to a batch file, gzipped if its name ends in .gz."""
    with told(debug):
        from collector.exporter import export_shard
        from collector.settings import load

        exported = export_shard(load(config).collector.state_dir, shard, out)
        typer.echo(f"{out}: {exported.batches} batches of shard {shard}")
        if exported.lost:
            typer.echo(f"  damaged, left out and asked for again: records {exported.lost}", err=True)
