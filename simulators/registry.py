"""The demo's facilities as a registry file for `pue-compliance import`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from simulators.facilities import FacilitySpec
from simulators.layouts import Display
from simulators.meters import MeterSpec, VirtualMeter
from simulators.scenario import Site

Value = str | int | bool | float
Table = Mapping[str, Value]
SHARD = "s0"
CERTIFIED_TO = "2099-12-31"
"""Until when the demo's certificates are valid: of meters, and of green grades."""


class Literal(str):
    """Text that goes into TOML as it is: a date, a time, an array."""


def toml_lines(table: Table) -> list[str]:
    """One `key = value` line per entry."""
    return [f"{key} = {_toml(value)}" for key, value in table.items()]


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What the registry has to know of an agent: its key and the configurations approved for it."""

    public_key: str
    configs: tuple[str, ...]


def registry_text(sites: Iterable[Site], enrolments: Mapping[str, Enrolment]) -> str:
    """Return the whole file; `enrolments` by facility."""
    lines = ["# Invented enterprises and facilities for a demonstration.", ""]
    for site in sites:
        lines += _enterprise(site.spec) + _facility(site, enrolments[site.spec.id])
    return "\n".join(lines)


def _enterprise(spec: FacilitySpec) -> list[str]:
    table = {"uscc": spec.uscc, "name": spec.enterprise, "name_en": spec.enterprise_en}
    return ["[[enterprise]]", *toml_lines(table), ""]


def _facility(site: Site, enrolment: Enrolment) -> list[str]:
    spec = site.spec
    table: dict[str, Value] = {
        "id": spec.id,
        "name": spec.name,
        "name_en": spec.name_en,
        "enterprise": spec.uscc,
        "region": spec.region,
        "timezone": "Asia/Shanghai",
        "stage": "existing",
        "build": spec.build,
        "standard_racks": spec.standard_racks,
        "it_power_kw": spec.it_power_kw,
        "approved_on": Literal(spec.approved_on),
        "commissioned_on": Literal(spec.commissioned_on),
        "hub_cluster": "",
        "incentives_surveyed": True,
        **_green_grade(spec),
    }
    agent: dict[str, Value] = {
        "id": spec.agent_id,
        "shard": SHARD,
        "public_key": enrolment.public_key,
        "configs": Literal(json.dumps(enrolment.configs)),
    }
    lines = ["[[facility]]", *toml_lines(table), ""]
    for meter in site.meters:
        lines += _meter(meter, spec.commissioned_on)
    return [*lines, "[[facility.agent]]", *toml_lines(agent), ""]


def _green_grade(spec: FacilitySpec) -> dict[str, Value]:
    if not spec.green_grade:
        return {}
    return {
        "green_grade": spec.green_grade,
        "green_grade_certificate": f"DEMO-{spec.id.upper()}-2025",
        "green_grade_valid_to": Literal(CERTIFIED_TO),
    }


def _meter(meter: VirtualMeter, installed_on: str) -> list[str]:
    spec = meter.spec
    table: dict[str, Value] = {
        "id": spec.id,
        "name": spec.name,
        "parent": spec.parent,
        "a": spec.a,
        "b": spec.b,
        "required": spec.required,
        "quantity": "energy_import",
    }
    version: dict[str, Value] = {
        "from": Literal(f"{installed_on}T00:00:00+08:00"),
        "serial": meter.serial,
        "profile": spec.profile,
        "registers": Literal(_registers(spec)),
        "max_power_w": spec.max_power_w,
        "ct": spec.ct,
        "pt": spec.pt,
        "meter_class": spec.meter_class,
        "ct_class": spec.ct_class,
        "pt_class": spec.pt_class,
        "certificate_to": Literal(CERTIFIED_TO),
    }
    return ["[[facility.meter]]", *toml_lines(table), "[[facility.meter.version]]", *toml_lines(version), ""]


def _registers(spec: MeterSpec) -> str:
    quantities = (("energy_import", spec.model.energy), ("power", spec.model.power))
    return "[" + ", ".join(_register(name, display) for name, display in quantities) + "]"


def _register(quantity: str, display: Display) -> str:
    return (
        f'{{ quantity = "{quantity}", unit = "{display.unit}", exponent = {display.exponent}, '
        f"modulus = {display.modulus} }}"
    )


def _toml(value: Value) -> str:
    return value if isinstance(value, Literal) else json.dumps(value, ensure_ascii=False)
