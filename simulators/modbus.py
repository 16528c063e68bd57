"""Modbus TCP servers: one per bus, with a unit id per meter, values taken at the time of the request."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from pymodbus.simulator.simcore import SimCore

from simulators.layouts import ModbusPlace
from simulators.meters import VirtualMeter

Clock = Callable[[], int]
"""Time now. [ms UTC]"""

HOLDING = 3
INPUT = 4
_UNUSED_BIT = SimData(0, values=[False] * 16, datatype=DataType.BITS)
_UNUSED_WORD = SimData(65_535, datatype=DataType.INVALID)


async def start_bus(port: int, meters: Sequence[VirtualMeter], clock: Clock) -> ModbusTcpServer:
    """Serve the meters of one bus on loopback; a silent meter and an unknown unit id give no answer.

    Raises
    ------
    OSError
        If the port is in use.
    """
    devices = [_device(meter, clock) for meter in meters]
    server = ModbusTcpServer(devices, address=("127.0.0.1", port), ignore_missing_devices=True)
    server.context = _Bus(devices)
    if not await server.listen():
        raise OSError(98, f"port {port} is in use")
    return server


def words_at(meter: VirtualMeter, time_ms: int) -> dict[int, list[int]]:
    """Words of every value of a meter at one time, by first address."""
    at = np.array([time_ms], np.int64)
    model = meter.spec.model
    counts = (
        (model.energy_at, int(meter.energy_counts(at)[0])),
        (model.power_at, int(meter.power_counts(at)[0])),
    )
    return {place.address: _words(place, count) for place, count in counts if isinstance(place, ModbusPlace)}


def _words(place: ModbusPlace, count: int) -> list[int]:
    data = place.words(count)
    return list(struct.unpack(f">{len(data) // 2}H", data))


def _device(meter: VirtualMeter, clock: Clock) -> SimDevice:
    blocks: dict[int, list[SimData]] = {HOLDING: [], INPUT: []}
    model = meter.spec.model
    for place in (model.energy_at, model.power_at):
        if isinstance(place, ModbusPlace):
            size = len(place.words(0)) // 2
            words = SimData(place.address, count=size, values=0, datatype=DataType.REGISTERS, readonly=True)
            blocks[place.function].append(words)
    holding, inputs = (blocks[function] or [_UNUSED_WORD] for function in (HOLDING, INPUT))
    simdata = ([_UNUSED_BIT], [_UNUSED_BIT], holding, inputs)
    return SimDevice(meter.spec.unit_id, simdata=simdata, action=partial(_answer, meter, clock))


class _Bus(SimCore):
    """Units on one bus; asking one that is not there gives no answer, as on a real line."""

    async def async_getValues(
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | list[bool] | ExcCodes:
        """Words of one unit."""
        if device_id not in self.devices:
            raise NoSuchIdException
        return await super().async_getValues(device_id, func_code, address, count)


async def _answer(
    meter: VirtualMeter,
    clock: Clock,
    _function: int,
    start: int,
    _address: int,
    _count: int,
    registers: list[int],
    _values: object,
) -> ExcCodes | None:
    """Put the values of this moment under the request."""
    now_ms = clock()
    if meter.is_silent(np.array([now_ms], np.int64))[0]:
        raise NoSuchIdException
    for address, words in words_at(meter, now_ms).items():
        registers[address - start : address - start + len(words)] = words
    return None
