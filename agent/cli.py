"""The command pue-agent."""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
from collections import deque
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from agent.app import open_links, open_spool, run_agent, software
from agent.clock import SystemClock
from agent.drivers import Answer
from agent.logs import start_logging
from agent.plan import Plan, PlannedMeter, PlannedPoint, make_plan
from agent.poll import Reading, decode_answers
from agent.settings import AgentSettings, load_profiles, load_settings, load_signer, warnings
from pue.contract.errors import Fatal, PueError
from pue.contract.quality import Quality
from pue.contract.signing import Signer
from pue.contract.wire import EventBatch, Handover, SignedLine, open_batch, read_lines

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="On-site agent.")

ConfigOption = Annotated[Path, typer.Option("--config", help="The agent's TOML file.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Verbose, with tracebacks.")]


@app.command()
def run(config: ConfigOption, debug: DebugOption = False) -> None:
    """Poll the meters, keep and publish what they say, until stopped."""
    settings, profiles = load_settings(config)
    start_logging(debug=debug)
    asyncio.run(run_agent(settings, profiles))


@app.command()
def check(config: ConfigOption, debug: DebugOption = False) -> None:
    """Load everything without connecting, and say what would be read."""
    settings, profiles = load_settings(config)
    start_logging(debug=debug)
    signer = load_signer(settings.agent.key_file)
    if settings.mqtt.tls:
        settings.mqtt.tls.context()
    for link in settings.link:
        if link.transport == "snmp-v2c":
            link.community_text()
    plan = make_plan(settings, profiles, software())
    typer.echo(f"{config}: agent {settings.agent.id}, site {settings.agent.site}, key {signer.key_id}")
    for planned in plan.links:
        host, port = planned.link.address
        typer.echo(f"  link {planned.link.id}: {planned.link.transport} {host}:{port}")
        for meter in planned.meters:
            typer.echo(f"    meter {meter.meter}: {_requests(meter)}")
    for warning in warnings(settings, profiles):
        typer.echo(f"warning: {warning}")
    typer.echo(f"configuration {plan.config.digest}: have it approved before `run`")
    typer.echo(f"ok: {len(plan.points)} points of {len(settings.meter)} meters every {settings.agent.poll_seconds:g} s")


@app.command()
def read(
    config: ConfigOption, meter: Annotated[str, typer.Argument(help="Meter id.")], debug: DebugOption = False
) -> None:
    """Read one meter once and show raw, value, unit and reply time of every quantity."""
    settings, profiles = load_settings(config)
    start_logging(debug=debug)
    plan = make_plan(settings, profiles, software())
    found = [(link.link.id, item) for link in plan.links for item in link.meters if item.meter == meter]
    if not found:
        raise Fatal(f"meter {meter!r} is not in {config}; use one of {', '.join(item.id for item in settings.meter)}")
    link, planned = found[0]
    answers = asyncio.run(_read_once(plan, link, planned))
    for line in _describe(planned, answers):
        typer.echo(line)
    if any(answer.quality for answer in answers):
        raise typer.Exit(1)


@app.command()
def keygen(out: Annotated[Path, typer.Option("--out", help="File of the private key; must not exist.")]) -> None:
    """Make a signing key; prints the public key, which the platform's operator enrols."""
    signer = Signer.generate()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Fatal(f"{out}: {error.strerror}; name a new file in a folder you can write") from None
    with os.fdopen(handle, "w") as file:
        file.write(signer.to_text() + "\n")
    typer.echo(signer.verifier.to_text())


@app.command()
def init(
    config: ConfigOption,
    continue_from: Annotated[Path, typer.Option("--continue-from", help="Batch file that ends with a hand-over.")],
) -> None:
    """Start the epoch that the hand-over at the end of a batch file names."""
    settings, _ = load_settings(config)
    batch, last = _handover(continue_from, settings)
    spool = open_spool(settings, SystemClock())
    try:
        head = spool.head
        epoch = batch.body.next_epoch if isinstance(batch.body, Handover) else ""
        if head is not None and head.epoch != epoch:
            raise Fatal(f"{settings.agent.state_dir} already runs epoch {head.epoch}; use an empty agent.state_dir")
        if head is None:
            spool.start_epoch(epoch, batch.epoch, last.sha256)
    finally:
        spool.close()
    typer.echo(f"epoch {epoch} continues {batch.epoch} after batch {batch.seq}")


@app.command()
def profiles(
    folder: Annotated[Path | None, typer.Option("--dir", help="Also those of this folder.")] = None,
) -> None:
    """List the meter models that can be read."""
    for profile in load_profiles(folder).values():
        spec = profile.spec
        typer.echo(f"{spec.id:18} {spec.interface:11} {spec.status:9} {', '.join(spec.quantity):28} {spec.model}")


def main() -> None:
    """Entry point: an error is one clear line and exit code 2; a traceback only with --debug."""
    try:
        app()
    except Exception as error:  # the last line of defence; --debug shows everything
        if "--debug" in sys.argv:
            raise
        text = str(error) if isinstance(error, PueError) else f"defect, please report with --debug: {error!r}"
        for line in text.splitlines():
            sys.stderr.write(f"pue-agent: {line}\n")
        raise SystemExit(2) from None


def _requests(meter: PlannedMeter) -> str:
    if meter.registers:
        reads = (f"FC{item.fc} {item.addr}+{item.length}" for item in meter.registers)
        return f"unit {meter.unit_id}: " + ", ".join(reads)
    return "GET " + " ".join(oid for item in meter.objects for oid in item.oids)


async def _read_once(plan: Plan, link: str, meter: PlannedMeter) -> list[Answer]:
    async with open_links(plan, SystemClock()) as links:
        return await links[link].read(meter)


def _describe(meter: PlannedMeter, answers: list[Answer]) -> list[str]:
    points = {point.index: point for point in meter.points}
    readings = decode_answers(sorted(answers, key=lambda answer: answer.point), points, {})
    return [_row(points[reading.point], reading) for reading in readings]


def _row(point: PlannedPoint, reading: Reading) -> str:
    marks = ", ".join(bit.name.lower() for bit in Quality if bit & reading.quality and bit.name)
    value = f"no value: {marks}"
    if reading.count is not None:
        value = f"{Decimal(reading.count).scaleb(point.code.exponent):f} {point.unit} {marks}"
    return f"{point.quantity:16} {value:24} raw {reading.raw or '-':24} {reading.dt_ms} ms"


def _handover(path: Path, settings: AgentSettings) -> tuple[EventBatch, SignedLine]:
    """The last batch of a file, which must be this agent's own signed hand-over."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as lines:
            final = deque(read_lines(lines), maxlen=1)
    except (OSError, EOFError) as error:
        raise Fatal(f"{path}: {error}; name the batch file of the epoch before") from None
    if not final:
        raise Fatal(f"{path} is empty; name the batch file of the epoch before")
    last = final[0]
    batch = open_batch(last, load_signer(settings.agent.key_file).verifier)
    if not isinstance(batch, EventBatch) or not isinstance(batch.body, Handover):
        raise Fatal(f"{path} ends with batch {batch.seq}, which is no hand-over; export the whole epoch")
    if batch.agent != settings.agent.id:
        raise Fatal(f"{path} is of agent {batch.agent!r}, the settings are of {settings.agent.id!r}")
    return batch, last


if __name__ == "__main__":
    main()
