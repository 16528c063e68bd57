"""The agent's configuration file, checked as a whole before anything starts."""

from __future__ import annotations

import os
import re
import ssl
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from pue.contract.errors import Fatal
from pue.contract.profile import MeterProfile, ModbusProfile, builtin_meter_profiles, load_meter_profile
from pue.contract.settings import Settings, parse
from pue.contract.signing import Signer

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
MeterName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
Ratio = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(/[1-9][0-9]*)?$", max_length=32)]
Port = Annotated[int, Field(ge=1, le=65_535)]


class AgentTable(Settings):
    """Who this agent is, how often it reads, where it keeps its state."""

    id: Name
    site: Name
    shard: Name
    state_dir: Path
    key_file: Path
    poll_seconds: Annotated[float, Field(ge=0.2, le=3600)] = 15.0
    retain_days: Annotated[float, Field(ge=0)] = 180.0
    spool_max_mb: Annotated[int, Field(ge=1)] = 4096
    profile_dir: Path | None = None


class TlsTable(Settings):
    """How the broker proves itself, and we ourselves: PEM files; the certificate's name is our agent id."""

    ca_file: Path
    cert_file: Path
    cert_key_file: Path

    def context(self) -> ssl.SSLContext:
        """TLS 1.3 with both sides proved.

        Raises
        ------
        Fatal
            If a file is missing or not what it should be.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            # Python's default since 3.13: asked for by name, a certificate is good on all versions or on none.
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            context.load_cert_chain(self.cert_file, self.cert_key_file)
        except (OSError, ssl.SSLError) as error:
            raise Fatal(
                f"mqtt.tls: {self.ca_file}, {self.cert_file} or {self.cert_key_file} cannot be used ({error}); "
                "give PEM files this user may read"
            ) from None
        return context


class MqttTable(Settings):
    """The broker, and how many batches may be under way to the collector."""

    host: str
    port: Port = 1883
    window: Annotated[int, Field(ge=20, le=100)] = 50
    tls: TlsTable | None = None


class HealthTable(Settings):
    """Where Prometheus finds /metrics, on loopback."""

    port: Port


class LinkTable(Settings):
    """One gateway or device address; its meters share it."""

    id: Name
    transport: Literal["modbus-tcp", "snmp-v2c"]
    host: str
    port: Port | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    community: str | None = None
    community_env: str | None = None

    @model_validator(mode="after")
    def _community_goes_with_snmp(self) -> LinkTable:
        given = (self.community is not None) + (self.community_env is not None)
        if self.transport == "snmp-v2c" and given != 1:
            raise ValueError("snmp-v2c needs either community or community_env")
        if self.transport == "modbus-tcp" and given:
            raise ValueError("community belongs to snmp-v2c; remove it")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Host, and the given port or the protocol's own."""
        return self.host, self.port or (502 if self.transport == "modbus-tcp" else 161)

    def community_text(self) -> str:
        """The SNMP community, from the file or the environment.

        Raises
        ------
        Fatal
            If the named environment variable is not set.
        """
        if self.community is not None:
            return self.community
        name = self.community_env or ""
        if name not in os.environ:
            raise Fatal(f"link {self.id!r}: environment variable {name} is not set; set it to the SNMP community")
        return os.environ[name]


class MeterTable(Settings):
    """One meter: where it hangs, what model it is, which quantities are read."""

    id: MeterName
    link: Name
    profile: Name
    serial: str
    firmware: str = ""
    unit_id: Annotated[int, Field(ge=0, le=255)] | None = None
    index: Annotated[int, Field(ge=0)] | None = None
    ct: Ratio = "1"
    pt: Ratio = "1"
    max_power_w: Annotated[int, Field(gt=0, le=10**12)] | None = None
    quantities: Annotated[tuple[str, ...], Field(min_length=1)]


class AgentSettings(Settings):
    """The whole file."""

    agent: AgentTable
    mqtt: MqttTable
    health: HealthTable | None = None
    link: Annotated[tuple[LinkTable, ...], Field(min_length=1)]
    meter: Annotated[tuple[MeterTable, ...], Field(min_length=1)]


def load_settings(path: Path) -> tuple[AgentSettings, dict[str, MeterProfile]]:
    """Read the configuration and every profile, and check one against the other.

    Raises
    ------
    Fatal
        With one line per error: file, line, field, what is wrong.
    """
    text = read_text(path)
    settings = parse(text, AgentSettings, path.name)
    profiles = load_profiles(settings.agent.profile_dir)
    errors = [
        f"{path.name}:{_line(text, table, at)} {table}[{at}].{message}"
        for table, at, message in _cross_check(settings, profiles)
    ]
    if errors:
        raise Fatal("\n".join(errors))
    return settings, profiles


def warnings(settings: AgentSettings, profiles: dict[str, MeterProfile]) -> Iterator[str]:
    """What may be wrong and keeps nobody from reading."""
    for name in sorted({meter.profile for meter in settings.meter}):
        if profiles[name].spec.side is None:
            yield (
                f'profile {name!r} does not state its side; add side = "primary" to its file if the meter counts its '
                'transformer ratios itself or has no transformers, else side = "secondary"'
            )


def load_profiles(folder: Path | None) -> dict[str, MeterProfile]:
    """The profiles that come with the product and those of the operator's own folder."""
    profiles = builtin_meter_profiles()
    if folder is not None:
        if not folder.is_dir():
            raise Fatal(f"profile_dir {folder} is not a folder; correct agent.profile_dir or remove it")
        own = (load_meter_profile(read_text(path), path.name) for path in sorted(folder.glob("*.toml")))
        profiles.update({profile.id: profile for profile in own})
    return profiles


def load_signer(path: Path) -> Signer:
    """Read the private key.

    Raises
    ------
    Fatal
        If the file is missing, not a key, or readable by others.
    """
    text = read_text(path, "write one with `pue-agent keygen --out`")
    if path.stat().st_mode & 0o077:
        raise Fatal(f"key file {path} can be read by other users; run: chmod 600 {path}")
    return Signer.from_text(text)


def read_text(path: Path, remedy: str = "correct the path") -> str:
    """Content of a UTF-8 text file, or `Fatal` naming it and the remedy."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise Fatal(f"{path}: {reason}; {remedy}") from None


Problem = tuple[str, int, str]


def _cross_check(settings: AgentSettings, profiles: dict[str, MeterProfile]) -> Iterator[Problem]:
    links = {link.id: link for link in settings.link}
    yield from _duplicates("link", [link.id for link in settings.link])
    yield from _duplicates("meter", [meter.id for meter in settings.meter])
    for at, meter in enumerate(settings.meter):
        link = links.get(meter.link)
        profile = profiles.get(meter.profile)
        if link is None:
            yield "meter", at, f"link: {meter.link!r} is not one of the links {', '.join(links)}"
        if profile is None:
            yield "meter", at, f"profile: {meter.profile!r} is unknown; use one of {', '.join(sorted(profiles))}"
        if link is not None and profile is not None:
            yield from _check_meter(at, meter, link, profile)


def _check_meter(at: int, meter: MeterTable, link: LinkTable, profile: MeterProfile) -> Iterator[Problem]:
    spec = profile.spec
    if spec.interface != link.transport:
        yield "meter", at, f"profile: {meter.profile!r} speaks {spec.interface}, link {link.id!r} {link.transport}"
    needed, other = ("unit_id", "index") if isinstance(spec, ModbusProfile) else ("index", "unit_id")
    if getattr(meter, needed) is None:
        yield "meter", at, f"{needed}: missing; a meter on {link.transport} needs it"
    if getattr(meter, other) is not None:
        yield "meter", at, f"{other}: does not belong to a meter on {link.transport}; remove it"
    for quantity in meter.quantities:
        if quantity not in spec.quantity:
            yield "meter", at, f"quantities: profile {spec.id!r} has no {quantity!r}, only {', '.join(spec.quantity)}"
    if len(set(meter.quantities)) != len(meter.quantities):
        yield "meter", at, "quantities: a quantity is named twice"
    if spec.side == "primary":
        yield from _check_ratios(at, meter)


def _check_ratios(at: int, meter: MeterTable) -> Iterator[Problem]:
    """A ratio that the meter counts itself would count twice."""
    for name, ratio in (("ct", meter.ct), ("pt", meter.pt)):
        if Fraction(ratio) != 1:
            yield (
                "meter",
                at,
                f"{name}: meter {meter.id!r} is given {ratio!r}, but its profile {meter.profile!r} counts on the "
                f"primary side; remove {name}: the meter counts it already",
            )


def _duplicates(table: str, ids: list[str]) -> Iterator[Problem]:
    for name, times in Counter(ids).items():
        if times > 1:
            at = len(ids) - 1 - ids[::-1].index(name)
            yield table, at, f"id: {name!r} is used {times} times; every {table} needs its own"


def _line(text: str, table: str, at: int) -> int:
    header = re.compile(rf"^\s*\[\[\s*{table}\s*\]\]")
    found = [number for number, line in enumerate(text.splitlines(), start=1) if header.match(line)]
    return found[at] if at < len(found) else 1
