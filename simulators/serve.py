"""All simulated meters of a demo, served from one process."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable

from pue.contract.errors import Fatal
from simulators.layouts import ModbusPlace
from simulators.meters import VirtualMeter
from simulators.modbus import start_bus
from simulators.scenario import Simulation, Site
from simulators.snmp import MeterDevice, start_device

READY = "simulated meters are ready"


async def serve(simulation: Simulation, on_ready: Callable[[str], None]) -> None:
    """Serve every link of every facility until SIGINT or SIGTERM."""
    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sites = simulation.sites
    for site in sites:
        _slim(site)
    links = [(site, link, port) for site in sites for link, port in simulation.ports[site.spec.id].items()]
    servers = [await _start(*link) for link in links]
    on_ready(READY)
    await stop.wait()
    for close in servers:
        close()


def now_ms() -> int:
    """Wall clock: the simulated plant lives in real time. [ms UTC]"""
    return time.time_ns() // 1_000_000


def _slim(site: Site) -> None:
    """Keep what live values need: registers' starts, metered feeds, the time from now on."""
    for meter in site.meters:
        _ = meter.initial_count
    site.plant.keep({meter.spec.feed for meter in site.meters}, now_ms())


async def _start(site: Site, link: str, port: int) -> Callable[[], object]:
    meters = [meter for meter in site.meters if meter.spec.link == link]
    if not meters:
        raise Fatal(f"link {link!r} of {site.spec.id} has no meter; its links are {', '.join(site.links)}")
    try:
        return await _open(meters, port)
    except OSError as error:
        raise Fatal(f"port {port} for link {link} of {site.spec.id} cannot be opened: {error}; free it") from None


async def _open(meters: list[VirtualMeter], port: int) -> Callable[[], object]:
    if isinstance(meters[0].spec.model.energy_at, ModbusPlace):
        return (await start_bus(port, meters, now_ms)).close
    return (await start_device(port, MeterDevice(meters[0], now_ms))).close
