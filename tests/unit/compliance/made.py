"""A made-up installation: slots whose PUE is known by arithmetic, behind the collector's reading side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from compliance.app import Service, now_ms
from compliance.identifiers import uscc_check_digit
from compliance.measure import Measure
from compliance.readers import FixedReader
from compliance.settings import Api, Compliance, ComplianceSettings, Series
from pue.contract.errors import Reject, RejectReason
from pue.contract.series import SLOT_MS, SeriesKey
from pue.contract.signing import Signer
from pue.contract.wire import SignedLine
from pue.energy.slots import Int64, Slots

DAY_MS = 86_400_000
DAY_SLOTS = 96
USCC = "91530100MA6K00001" + uscc_check_digit("91530100MA6K00001")
IT_J = 900_000_000
"""IT energy of every slot: 1 MW. [J]"""


def at(text: str) -> int:
    """Milliseconds of a local time in Yunnan."""
    return round(datetime.fromisoformat(f"{text}+08:00").timestamp() * 1000)


START_MS = at("2025-10-10T00:00")


@dataclass
class Columns:
    """Readings as the reader gives them."""

    t0_ms: Int64
    t1_ms: Int64
    count: Int64
    quality: Int64
    record: Int64


@dataclass
class MadeReader:
    """Series in memory; `until_ms` is how far they reach."""

    until_ms: int
    series: dict[SeriesKey, Slots] = field(default_factory=dict)
    cursor: int = 1

    def keys(self, site: str) -> list[SeriesKey]:
        return [key for key in self.series if key.site == site]

    def slots(self, key: SeriesKey, from_ms: int, to_ms: int) -> Slots:
        found = self.series.get(key)
        if found is None:
            return Slots.empty()
        return found.select((found.start_ms >= from_ms) & (found.start_ms < min(to_ms, self.until_ms)))

    def readings(self, key: SeriesKey, from_ms: int, to_ms: int) -> Columns:
        starts = self.slots(key, from_ms, to_ms).start_ms
        zeros = np.zeros(len(starts), np.int64)
        return Columns(starts, starts, starts // SLOT_MS, zeros, starts // DAY_MS)

    def watermark_ms(self, site: str) -> int | None:
        return self.until_ms if self.keys(site) else None

    def change_cursor(self, site: str) -> int:
        return self.cursor

    def changed_from_ms(self, site: str, cursor: int) -> int | None:
        return None if cursor == self.cursor else 0

    def positions(self) -> Mapping[str, int]:
        return {"s0": self.until_ms // DAY_MS}

    def original(self, shard: str, record: int) -> SignedLine:
        if shard != "s0":
            raise Reject(RejectReason.MALFORMED, "no such shard")
        return SignedLine(b'{"record":%d}' % record, b"")

    def put(self, site: str, meter: str, energy_j: Int64, missing: Int64 | None = None) -> None:
        """One meter from `START_MS` on; `missing` marks slots of which nothing is known."""
        starts = START_MS + SLOT_MS * np.arange(len(energy_j), dtype=np.int64)
        keep = np.ones(len(starts), bool) if missing is None else missing == 0
        columns = {column.name: np.zeros(len(starts), np.int64) for column in fields(Slots)}
        slots = Slots(**(columns | {"start_ms": starts, "energy_j": energy_j}))
        self.series[SeriesKey(site, meter, "energy_import")] = slots.select(keep)
        self.cursor += 1

    def advance(self, until_ms: int) -> None:
        """Let more of the series be known."""
        self.until_ms = until_ms
        self.cursor += 1


def made_reader(pue_of_day: Callable[[int], float], days: int, site: str = "km01") -> MadeReader:
    """A facility with one meter at its boundary and one at its IT, of constant IT load."""
    reader = MadeReader(START_MS + days * DAY_MS)
    it = np.full(days * DAY_SLOTS, IT_J, np.int64)
    ratio = np.repeat([round(pue_of_day(day) * 1_000_000) for day in range(days)], DAY_SLOTS)
    reader.put(site, "main", it // 1_000_000 * ratio)
    reader.put(site, "it", it)
    return reader


METER = """
[[facility.meter]]
id = "{id}"
a = "{a}"
b = "{b}"
[[facility.meter.version]]
from = 2025-01-01T00:00:00+08:00
serial = "SN-{id}"
profile = "schneider-pm5xxx"
registers = [ {{ quantity = "energy_import", unit = "Wh", exponent = 0, modulus = 0 }} ]
max_power_w = 8000000
meter_class = "0.2S"
ct_class = "0.2S"
"""


def facility_toml(name: str = "km01", *, region: str = "530100", build: str = "new", racks: int = 4000) -> str:
    """One facility of the registry file, with a meter at its boundary, one at its IT and an agent."""
    return f"""
[[facility]]
id = "{name}"
name = "数据中心 {name}"
name_en = "Data center {name}"
enterprise = "{USCC}"
region = "{region}"
stage = "existing"
build = "{build}"
standard_racks = {racks}
it_power_kw = 1500
approved_on = 2024-03-01
commissioned_on = 2025-06-01
hub_cluster = ""
{METER.format(id="main", a="1", b="0")}{METER.format(id="it", a="0", b="1")}
[[facility.agent]]
id = "{name}-a1"
shard = "s0"
public_key = "{KEY.verifier.to_text()}"
"""


KEY = Signer.from_text("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")


def registry_toml(*facilities: str) -> str:
    """A registry file of one enterprise."""
    return f'[[enterprise]]\nuscc = "{USCC}"\nname = "云瀚"\nname_en = "Yunhan"\n' + "".join(
        facilities or (facility_toml(),)
    )


def made_settings(folder: Path, database: str = "") -> ComplianceSettings:
    """Settings in a folder, with a key."""
    key_file = folder / "compliance.key"
    if not key_file.exists():
        key_file.touch(mode=0o600)
        key_file.write_text(KEY.to_text())
    return ComplianceSettings(
        compliance=Compliance(
            issuer="yunnan",
            database=database or f"sqlite:///{folder}/registry.sqlite",
            key_file=key_file,
            topology_file=folder / "topology.signed",
            demo=True,
        ),
        api=Api(),
        series=Series(path=folder / "series.sqlite", state_dir=folder),
    )


def made_service(folder: Path, reader: MadeReader, database: str = "", clock_ms: Callable[[], int] = now_ms) -> Service:
    """The service over made-up series."""
    return Service(made_settings(folder, database), Measure(FixedReader(reader)), clock_ms)


def moment(text: str) -> datetime:
    """An aware time from a local one in Yunnan."""
    return datetime.fromtimestamp(at(text) / 1000, UTC)
