"""SNMP v2c servers: one per device, answering GET, GETNEXT and GETBULK on loopback."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Callable
from typing import Protocol, cast

import numpy as np

from simulators import ber
from simulators.ber import Oid
from simulators.layouts import SnmpPlace
from simulators.meters import VirtualMeter

COMMUNITY = b"public"
VERSION_2C = 1
SYS_DESCR = ber.oid_of("1.3.6.1.2.1.1.1.0")
SYS_NAME = ber.oid_of("1.3.6.1.2.1.1.5.0")
MAX_REPETITIONS = 50
Objects = dict[Oid, bytes]
"""Value of each object, in BER."""


class Device(Protocol):
    """What an SNMP server asks at each request."""

    def objects(self) -> Objects | None:
        """Return all objects at this moment, or None to give no answer."""


class MeterDevice:
    """A power distribution unit with one metered input."""

    def __init__(self, meter: VirtualMeter, clock: Callable[[], int]) -> None:
        self._meter = meter
        self._clock = clock

    def objects(self) -> Objects | None:
        """Return the values of this moment, unless the meter is silent."""
        at = np.array([self._clock()], np.int64)
        return None if self._meter.is_silent(at)[0] else _objects(self._meter, at)


def _objects(meter: VirtualMeter, at: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Objects:
    model = meter.spec.model
    values = {
        SYS_DESCR: ber.tlv(ber.OCTETS, f"{model.maker} (simulated)".encode()),
        SYS_NAME: ber.tlv(ber.OCTETS, meter.spec.id.encode()),
    }
    values |= {ber.oid_of(name): value for name, value in model.constants}
    counts = ((model.energy_at, meter.energy_counts(at)), (model.power_at, meter.power_counts(at)))
    for place, count in counts:
        if isinstance(place, SnmpPlace):
            values[ber.oid_of(place.oid)] = place.value(int(count[0]))
    return values


def respond(request: bytes, objects: Objects) -> bytes | None:
    """Answer to one request; None for a wrong community, another version or a message that is no request.

    Raises
    ------
    ValueError
        If the bytes are not a message.
    """
    _, message, _ = ber.read(request)
    (_, version), (_, community), (kind, pdu) = ber.read_all(message)
    if int.from_bytes(version, "big") != VERSION_2C or community != COMMUNITY:
        return None
    (_, request_id), (_, first), (_, second), (_, bindings) = ber.read_all(pdu)
    names = [_name(binding) for _, binding in ber.read_all(bindings)]
    found = _find(kind, names, int.from_bytes(first, "big"), int.from_bytes(second, "big"), objects)
    return None if found is None else _message(request_id, found)


def _name(binding: bytes) -> Oid:
    (_, name), _ = ber.read_all(binding)
    return ber.read_oid(name)


def _find(kind: int, names: list[Oid], first: int, second: int, objects: Objects) -> list[tuple[Oid, bytes]] | None:
    if kind == ber.GET:
        return [(name, objects.get(name, ber.tlv(ber.NO_SUCH_INSTANCE, b""))) for name in names]
    order = sorted(objects)
    if kind == ber.GET_NEXT:
        return [_next(name, order, objects) for name in names]
    if kind == ber.GET_BULK:
        once = [_next(name, order, objects) for name in names[:first]]
        return once + _repeat(names[first:], min(second, MAX_REPETITIONS), order, objects)
    return None


def _next(name: Oid, order: list[Oid], objects: Objects) -> tuple[Oid, bytes]:
    place = bisect.bisect_right(order, name)
    if place == len(order):
        return name, ber.tlv(ber.END_OF_MIB, b"")
    return order[place], objects[order[place]]


def _repeat(names: list[Oid], times: int, order: list[Oid], objects: Objects) -> list[tuple[Oid, bytes]]:
    found: list[tuple[Oid, bytes]] = []
    for _ in range(times):
        row = [_next(name, order, objects) for name in names]
        names = [name for name, _ in row]
        found += row
    return found


def _message(request_id: bytes, found: list[tuple[Oid, bytes]]) -> bytes:
    bindings = b"".join(ber.tlv(ber.SEQUENCE, ber.oid(name) + value) for name, value in found)
    no_error = ber.integer(0)
    pdu = ber.tlv(ber.INTEGER, request_id) + no_error + no_error + ber.tlv(ber.SEQUENCE, bindings)
    header = ber.integer(VERSION_2C) + ber.tlv(ber.OCTETS, COMMUNITY)
    return ber.tlv(ber.SEQUENCE, header + ber.tlv(ber.RESPONSE, pdu))


class _Protocol(asyncio.DatagramProtocol):
    """One socket of one device."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # CPython 3.11's is no subclass of it

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        objects = self._device.objects()
        if objects is None or self._transport is None:
            return
        try:
            answer = respond(data, objects)
        except ValueError:
            return  # RFC 3416, 4.1: a message that cannot be read is discarded
        if answer is not None:
            self._transport.sendto(answer, addr)


async def start_device(port: int, device: Device) -> asyncio.DatagramTransport:
    """Serve one device on loopback.

    Raises
    ------
    OSError
        If the port is in use.
    """
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Protocol(device), local_addr=("127.0.0.1", port))
    return transport
