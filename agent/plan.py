"""What to ask which meter: settings and profiles compiled into requests and the configuration's point list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count

from agent.settings import AgentSettings, LinkTable, MeterTable
from pue.contract.batches import LinkMeter, LinkPart, LinkPoint
from pue.contract.configuration import ConfigInParts
from pue.contract.decode import Code
from pue.contract.profile import MeterProfile, Modbus, ModbusProfile, ModbusQuantity, SnmpProfile
from pue.contract.quantities import QUANTITIES, Kind, step


@dataclass(frozen=True, slots=True)
class PlannedPoint:
    """One quantity of one meter.

    Attributes
    ----------
    index
        Its place in the configuration's point list.
    most_per_ms
        How fast a counter of energy can rise within the meter's maximum power; None where none is stated. [counts/ms]
    """

    index: int
    quantity: str
    unit: str
    code: Code
    is_counter: bool
    most_per_ms: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Where in the answer to a read a point's words lie. [registers]"""

    point: int
    offset: int
    words: int


@dataclass(frozen=True, slots=True)
class RegisterRead:
    """One Modbus request: `length` registers from `addr`, holding whole values only."""

    fc: int
    addr: int
    length: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class ObjectRead:
    """The SNMP objects of one point: its value and, where the device scales it, its decimal digits."""

    point: int
    oids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlannedMeter:
    """A meter with everything a driver needs to read it."""

    meter: str
    unit_id: int
    points: tuple[PlannedPoint, ...]
    registers: tuple[RegisterRead, ...] = ()
    objects: tuple[ObjectRead, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedLink:
    """A gateway or device with its meters, which are read one after the other."""

    link: LinkTable
    meters: tuple[PlannedMeter, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All links, how often they are read, and the configuration that explains what is read from them."""

    links: tuple[PlannedLink, ...]
    poll_ms: int
    config: ConfigInParts

    @property
    def points(self) -> dict[int, PlannedPoint]:
        """Every point by its index."""
        meters = (meter for link in self.links for meter in link.meters)
        return {point.index: point for meter in meters for point in meter.points}


def make_plan(settings: AgentSettings, profiles: dict[str, MeterProfile], software: str) -> Plan:
    """Compile checked settings."""
    indices = count()
    links = tuple(
        PlannedLink(
            link,
            tuple(
                _plan_meter(meter, profiles[meter.profile], indices)
                for meter in settings.meter
                if meter.link == link.id
            ),
        )
        for link in settings.link
    )
    return Plan(links, round(settings.agent.poll_seconds * 1000), _config(settings, profiles, links, software))


def coalesce(spec: Modbus, wanted: Iterable[tuple[int, ModbusQuantity]]) -> tuple[RegisterRead, ...]:
    """Join neighbouring values into reads.

    A read covers at most `max_regs` registers, bridges at most `gap` unused ones, and never splits a value.

    Parameters
    ----------
    spec
        The model's limits.
    wanted
        Point index and quantity.
    """
    blocks: list[list[tuple[int, ModbusQuantity]]] = []
    for item in sorted(wanted, key=lambda item: item[1].addr):
        if blocks and _joins(spec, blocks[-1], item[1]):
            blocks[-1].append(item)
        else:
            blocks.append([item])
    return tuple(_read(spec.fc, block) for block in blocks)


def _joins(spec: Modbus, block: Sequence[tuple[int, ModbusQuantity]], quantity: ModbusQuantity) -> bool:
    start = block[0][1].addr
    last = block[-1][1]
    close = quantity.addr - (last.addr + last.words) <= spec.gap
    return close and quantity.addr + quantity.words - start <= spec.max_regs


def _read(fc: int, block: Sequence[tuple[int, ModbusQuantity]]) -> RegisterRead:
    start = block[0][1].addr
    last = block[-1][1]
    parts = tuple(Part(point, quantity.addr - start, quantity.words) for point, quantity in block)
    return RegisterRead(fc, start, last.addr + last.words - start, parts)


def _plan_meter(meter: MeterTable, profile: MeterProfile, indices: Iterable[int]) -> PlannedMeter:
    points = tuple(
        PlannedPoint(
            index,
            quantity,
            profile.spec.quantity[quantity].unit,
            profile.codes[quantity],
            QUANTITIES[quantity].kind is Kind.COUNTER,
            _most_per_ms(meter, profile, quantity),
        )
        for quantity, index in zip(meter.quantities, indices, strict=False)
    )
    if isinstance(profile.spec, ModbusProfile):
        wanted = [(point.index, profile.spec.quantity[point.quantity]) for point in points]
        return PlannedMeter(meter.id, meter.unit_id or 0, points, registers=coalesce(profile.spec.modbus, wanted))
    objects = tuple(_object_read(point, profile.spec, meter.index or 0) for point in points)
    return PlannedMeter(meter.id, 0, points, objects=objects)


def _most_per_ms(meter: MeterTable, profile: MeterProfile, quantity: str) -> Fraction | None:
    """2 MW behind 2000/5 are 5 kW at a meter that counts on the secondary side: of Wh 5/3600 a ms."""
    known = QUANTITIES[quantity]
    if meter.max_power_w is None or (known.kind, known.base_unit) != (Kind.COUNTER, "J"):
        return None
    ratio = 1 if profile.spec.side == "primary" else Fraction(meter.ct) * Fraction(meter.pt)
    spec = profile.spec.quantity[quantity]
    return meter.max_power_w / (1000 * ratio * step(quantity, spec.unit, spec.exponent))


def _object_read(point: PlannedPoint, spec: SnmpProfile, index: int) -> ObjectRead:
    quantity = spec.quantity[point.quantity]
    oids = [quantity.oid] if quantity.exponent_oid is None else [quantity.oid, quantity.exponent_oid]
    return ObjectRead(point.index, tuple(oid.replace("{index}", str(index)) for oid in oids))


def _config(
    settings: AgentSettings, profiles: Mapping[str, MeterProfile], links: Sequence[PlannedLink], software: str
) -> ConfigInParts:
    tables = {meter.id: meter for meter in settings.meter}
    poll_ms = round(settings.agent.poll_seconds * 1000)
    parts = [
        LinkPart(
            link=planned.link.id,
            meters=[
                _link_meter(planned, meter, tables[meter.meter], profiles[tables[meter.meter].profile], poll_ms)
                for meter in planned.meters
            ],
        )
        for planned in links
        if planned.meters
    ]
    texts = {meter.profile: profiles[meter.profile].text for meter in settings.meter}
    return ConfigInParts.of(settings.agent.site, settings.agent.id, software, texts, parts)


def _link_meter(
    link: PlannedLink, planned: PlannedMeter, meter: MeterTable, profile: MeterProfile, poll_ms: int
) -> LinkMeter:
    host, port = link.link.address
    unit = f"/unit/{meter.unit_id}" if meter.unit_id is not None else f"/index/{meter.index}"
    registers = _registers(planned)
    return LinkMeter(
        meter=meter.id,
        profile=meter.profile,
        address=f"{link.link.transport}://{host}:{port}{unit}",
        serial=meter.serial,
        firmware=meter.firmware,
        ct=meter.ct,
        pt=meter.pt,
        side=profile.spec.side or "",
        points=[_link_point(point, registers[point.index], poll_ms) for point in planned.points],
    )


def _registers(meter: PlannedMeter) -> dict[int, list[str]]:
    """Per point where its bytes are read: function code, first address and words, or object identifiers."""
    found = {read.point: list(read.oids) for read in meter.objects}
    for read in meter.registers:
        found |= {part.point: [f"{read.fc}:{read.addr + part.offset}:{part.words}"] for part in read.parts}
    return found


def _link_point(point: PlannedPoint, registers: list[str], poll_ms: int) -> LinkPoint:
    return LinkPoint(
        quantity=point.quantity,
        unit=point.unit,
        scale=str(Fraction(10) ** point.code.exponent),
        period_ms=poll_ms,
        registers=registers,
        has_source_time=False,
    )
