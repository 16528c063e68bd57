"""The demo's world at one seed and one end of history: plants, meters, epochs, the same in every process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path

from pue.contract.canonical import sha256_hex
from pue.contract.errors import Fatal
from pue.contract.settings import Settings, parse
from pue.contract.wire import epoch_id
from simulators.facilities import FACILITIES, FacilitySpec
from simulators.meters import VirtualMeter
from simulators.plant import DAY_MS, HISTORY_DAYS, Plant

CHINA = timezone(timedelta(hours=8))
"""Asia/Shanghai in the years the demo covers."""
FILE = "simulation.toml"


@dataclass(frozen=True)
class Site:
    """One facility's plant and meters."""

    spec: FacilitySpec
    seed: int
    until_ms: int

    @cached_property
    def plant(self) -> Plant:
        """The truth; computed on first use."""
        return Plant(self.spec.plant, _salt(self.seed, self.spec.id), self.until_ms, trailing_year(self.until_ms))

    @cached_property
    def meters(self) -> tuple[VirtualMeter, ...]:
        """Its meters."""
        return tuple(VirtualMeter(meter, self.plant) for meter in self.spec.meters)

    def afresh(self) -> Site:
        """Return the same facility without its computed plant, to be used and let go."""
        return replace(self)

    @property
    def history_epoch(self) -> str:
        """Epoch of the back-filled history."""
        return self._epoch("history", self.until_ms - HISTORY_DAYS * DAY_MS)

    @property
    def live_epoch(self) -> str:
        """Epoch the history hands over to."""
        return self._epoch("live", self.until_ms)

    @property
    def links(self) -> tuple[str, ...]:
        """Its buses and SNMP devices, in order of first use."""
        return tuple(dict.fromkeys(meter.link for meter in self.spec.meters))

    def _epoch(self, name: str, created_ms: int) -> str:
        return epoch_id(created_ms, sha256_hex(f"{self.seed}/{self.spec.id}/{name}/{created_ms}".encode())[:8])


def sites(seed: int, until_ms: int, facilities: tuple[FacilitySpec, ...] = FACILITIES) -> tuple[Site, ...]:
    """Every facility of the demo."""
    return tuple(Site(spec, seed, until_ms) for spec in facilities)


def site_named(known: tuple[Site, ...], name: str) -> Site:
    """One facility by its id.

    Raises
    ------
    Fatal
        If it is not known.
    """
    for site in known:
        if site.spec.id == name:
            return site
    raise Fatal(f"facility {name!r} is unknown; use one of {', '.join(site.spec.id for site in known)}")


def trailing_year(at_ms: int) -> tuple[int, int]:
    """Start and end of the twelve complete calendar months before a time, in China. [ms UTC]"""
    end = datetime.fromtimestamp(at_ms / 1000, CHINA).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return _ms(end.replace(year=end.year - 1)), _ms(end)


def instant_ms(text: str) -> int:
    """Milliseconds of an ISO 8601 time.

    Raises
    ------
    Fatal
        If it is no time, or has no offset.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Fatal(f"time {text!r} is not ISO 8601; write it like 2026-11-01T08:00:00+08:00") from None
    if moment.tzinfo is None:
        raise Fatal(f"time {text!r} has no offset; append +08:00 or Z")
    return _ms(moment)


def iso(time_ms: int) -> str:
    """ISO 8601 of a time, in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()


class Simulation(Settings):
    """What `pue-demo` tells the simulated meters: seed, end of history, and the port of every link."""

    seed: int
    until: str
    ports: dict[str, dict[str, int]]

    @property
    def sites(self) -> tuple[Site, ...]:
        """The facilities that have ports here."""
        specs = tuple(spec for spec in FACILITIES if spec.id in self.ports)
        return sites(self.seed, instant_ms(self.until), specs)


def write_simulation(folder: Path, seed: int, until_ms: int, ports: dict[str, dict[str, int]]) -> None:
    """Write the simulation's file into a state directory."""
    lines = [f"seed = {seed}", f'until = "{iso(until_ms)}"', ""]
    for site, links in ports.items():
        lines += [f"[ports.{site}]", *(f"{link} = {port}" for link, port in links.items()), ""]
    (folder / FILE).write_text("\n".join(lines), encoding="utf-8")


def read_simulation(folder: Path) -> Simulation:
    """Read the simulation's file of a state directory.

    Raises
    ------
    Fatal
        If it is not there or not valid.
    """
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Fatal(f"{path}: {error.strerror}; name a directory that `pue-demo` or `pue-sim init` wrote") from None
    return parse(text, Simulation, str(path))


def _salt(seed: int, site: str) -> int:
    return int(sha256_hex(f"{seed}/{site}".encode())[:12], 16)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
