"""The command `pue-compliance`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pue.contract.errors import PueError

if TYPE_CHECKING:
    from compliance.app import Service
    from compliance.log import Event

Config = Annotated[Path, typer.Option("--config", help="Settings in TOML.")]
Actor = Annotated[str, typer.Option("--as", help="Who does this; stands in the log.")]

HELP = "PUE compliance: registry, findings, API and console. With --debug an error shows where it arose."
DEBUG = "--debug"

app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def main() -> None:
    """Run the command; an expected error is one line and exit code 2."""
    arguments = [word for word in sys.argv[1:] if word != DEBUG]
    debug = DEBUG in sys.argv
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        app(arguments)
    except PueError as error:
        if debug:
            raise
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        sys.exit(2)


@app.command()
def serve(config: Config) -> None:
    """Serve API and console, and evaluate whenever the data close a slot."""
    from compliance import app as application
    from compliance.settings import load

    application.serve(load(config))


@app.command()
def check(config: Config) -> None:
    """Check settings, key and rules without connecting to anything."""
    from compliance.settings import load, load_signer
    from pue.judgement.policy import load_profile

    settings = load(config)
    key = load_signer(settings.compliance.key_file).key_id
    rules = sum(len(load_profile(name).rules) for name in settings.compliance.policies)
    typer.echo(f"{config}: good; key {key}, {rules} rules, http://{settings.api.host}:{settings.api.port}/")


@app.command("import")
def import_file(
    file: Path,
    config: Config,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, write nothing.")] = False,
    actor: Actor = "import",
) -> None:
    """Bring the registry to what a registry file says; unchanged content writes nothing."""
    from compliance.registry import Registry, import_registry, plan
    from compliance.registry_file import read_registry

    document = read_registry(_text(file), file.name)
    with _service(config) as service:
        if dry_run:
            changes = plan(Registry(service.projection), document, service.projection.refresh())
        else:
            changes = import_registry(service.log, service.projection, document, actor)
            typer.echo(f"topology version {service.office.issue().version}")
        for change in changes:
            typer.echo(str(change))
        typer.echo(f"events {'to write' if dry_run else 'written'}: {len(changes)}")


@app.command("approve-config")
def approve_config(config_hash: str, config: Config, actor: Actor = "operator") -> None:
    """Approve an agent's configuration by its SHA-256, so that data read with it count."""
    from compliance.registry import approve_config as approve

    with _service(config) as service:
        was_new = approve(service.log, service.projection, config_hash, actor)
        version = service.office.issue().version
        typer.echo(f"{config_hash} {'approved' if was_new else 'was approved before'}; topology version {version}")


@app.command()
def release(
    agent: str, epoch: str, from_seq: int, to_seq: int, config: Config, reason: Annotated[str, typer.Option()],
    actor: Actor = "operator",
) -> None:  # fmt: skip
    """Let batches in that the collector holds, as `pue-collector gaps` lists them: you answer for what they say."""
    from compliance.registry import release_batches
    from pue.contract.topology import Release

    with _service(config) as service:
        let_in = Release(agent=agent, epoch=epoch, from_seq=from_seq, to_seq=to_seq, actor=actor, reason=reason)
        release_batches(service.log, service.projection, let_in)
        version = service.office.issue().version
        typer.echo(f"{agent}/{epoch}/{from_seq}..{to_seq} released by {actor}; topology version {version}")


@app.command()
def topology(config: Config) -> None:
    """Write the topology document now, a new version if the registry calls for one."""
    with _service(config) as service:
        document = service.office.issue()
        file = service.settings.compliance.topology_file
        typer.echo(f"topology version {document.version}: {len(document.meters)} meters, {len(document.agents)} agents")
        typer.echo(f"written to {file}")


@app.command()
def evaluate(config: Config) -> None:
    """Evaluate once; print what was written and the findings in force."""
    with _service(config) as service:
        _print_events(service.evaluate())
        _print_findings(service)


@app.command()
def verify(config: Config) -> None:
    """Walk the log's hash chain from its first event."""
    with _service(config) as service:
        length = service.log.verify()
        typer.echo(f"{length} events, unbroken; head {service.log.head()[1]}")


@app.command()
def rebuild(config: Config) -> None:
    """Verify the log, read everything from it afresh, write the topology document and evaluate all of history."""
    with _service(config) as service:
        typer.echo(f"{service.log.verify()} events, unbroken")
        _print_events(service.evaluate())
        typer.echo(f"topology written to {service.settings.compliance.topology_file}")


@app.command()
def openapi(config: Config) -> None:
    """Print the description of the API."""
    import json

    from compliance.app import application

    with _service(config) as service:
        typer.echo(json.dumps(application(service.sources).openapi(), ensure_ascii=False, indent=1, sort_keys=True))


@app.command()
def keygen(out: Annotated[Path, typer.Option("--out", help="File of the private key; must not exist.")]) -> None:
    """Make a key to sign topology documents with; prints the public key."""
    from pue.contract.errors import Fatal
    from pue.contract.signing import Signer

    signer = Signer.generate()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Fatal(f"cannot write {out}: {error.strerror}; give a file that does not exist yet") from None
    with os.fdopen(descriptor, "w") as stream:
        stream.write(signer.to_text())
    typer.echo(signer.verifier.to_text())


@contextmanager
def _service(config: Path) -> Iterator[Service]:
    from compliance.app import Service
    from compliance.settings import load

    service = Service(load(config))
    try:
        yield service
    finally:
        service.close()


def _text(file: Path) -> str:
    from pue.contract.errors import Fatal

    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise Fatal(f"cannot read {file}: {reason}; check the path") from None


def _print_events(events: list[Event]) -> None:
    for event in events:
        outcome = event.body.get("outcome", "")
        typer.echo(f"{event.seq} {event.kind} {event.entity} {outcome}".rstrip())
    typer.echo(f"events written: {len(events)}")


def _print_findings(service: Service) -> None:
    from compliance.answers import Answers
    from compliance.queries import LOOPBACK

    answers = Answers(service.sources, LOOPBACK)
    for row in answers.region_compliance("").rows:
        for one in row.findings:
            mark = "*" if one.headline else " "
            figure = f"PUE {one.pue}, limit {one.limit}" if one.pue else ""
            typer.echo(f"{mark} {one.facility} {one.rule} {one.outcome} since {one.since} {figure}".rstrip())
        for alert in row.alerts:
            typer.echo(f"! {alert.facility} {alert.kind} {' '.join(alert.meters)}".rstrip())
    for text in answers.status().missing:
        typer.echo(f"missing: {text}", err=True)
