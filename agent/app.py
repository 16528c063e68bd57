"""Puts the agent together and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import NoReturn

import msgspec

from agent.chain import Body, Sealer, new_epoch_id
from agent.clock import Clock, JumpDetector, SystemClock
from agent.cycle import Poller
from agent.drivers import Link
from agent.health import Metrics, serving
from agent.logs import report_loop_trouble
from agent.mqtt import Session
from agent.plan import Plan, make_plan
from agent.poll import MAX_BATCH_BYTES, Reading, next_tick_ms, readings_bodies
from agent.publish import Publisher
from agent.settings import AgentSettings, LinkTable, load_signer
from agent.spool import Spool
from pue.contract.errors import Retry
from pue.contract.profile import MeterProfile
from pue.contract.wire import ClockJump, NotKept

log = logging.getLogger("agent")

_LONGEST_SLEEP_S = 1.0
"""Waiting for a tick looks at the wall clock this often, so that a stepped clock moves the ticks with it."""


def software() -> str:
    """Name and version, as the config batch states them."""
    return f"pue-agent {version('pue-compliance')}"


def open_spool(settings: AgentSettings, clock: Clock) -> Spool:
    """Lock and open this agent's spool; `Fatal` says what is in the way."""
    agent = settings.agent
    signer = load_signer(agent.key_file)
    sealer = Sealer(agent.site, agent.id, secrets.token_hex(8), signer, clock)
    return Spool(agent.state_dir, sealer, agent.spool_max_mb)


async def run_agent(settings: AgentSettings, profiles: Mapping[str, MeterProfile]) -> None:
    """Poll, spool and publish until SIGTERM or SIGINT."""
    asyncio.get_running_loop().set_exception_handler(report_loop_trouble)
    clock = SystemClock()
    plan = make_plan(settings, dict(profiles), software())
    metrics = Metrics(clock)
    with contextlib.closing(open_spool(settings, clock)) as spool:
        port = settings.health.port if settings.health else None
        with serving(metrics, port):
            async with open_links(plan, clock) as links:
                agent = Agent(settings, plan, links, spool, metrics, clock)
                await agent.run(_stop_signal())


@asynccontextmanager
async def open_links(plan: Plan, clock: Clock) -> AsyncIterator[dict[str, Link]]:
    """A driver per link; connects nothing yet."""
    tables = [planned.link for planned in plan.links]
    links: dict[str, Link] = {}
    for transport, make in _MAKERS.items():
        if used := [table for table in tables if table.transport == transport]:
            links.update(make(used, clock))
    try:
        yield links
    finally:
        for link in links.values():
            await link.close()


def _modbus_links(tables: Sequence[LinkTable], clock: Clock) -> dict[str, Link]:
    from agent.drivers.modbus import ModbusLink  # only where used: each protocol library costs 10 MB

    return {table.id: ModbusLink(table, clock) for table in tables}


def _snmp_links(tables: Sequence[LinkTable], clock: Clock) -> dict[str, Link]:
    from agent.drivers.snmp import MAX_IN_FLIGHT, SnmpLink

    in_flight = asyncio.Semaphore(MAX_IN_FLIGHT)
    return {table.id: SnmpLink(table, clock, in_flight) for table in tables}


_MAKERS: dict[str, Callable[[Sequence[LinkTable], Clock], dict[str, Link]]] = {
    "modbus-tcp": _modbus_links,
    "snmp-v2c": _snmp_links,
}


class Agent:
    """The two loops of a running agent: one polls and spools, the other publishes."""

    def __init__(
        self,
        settings: AgentSettings,
        plan: Plan,
        links: Mapping[str, Link],
        spool: Spool,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._spool = spool
        self._metrics = metrics
        self._clock = clock
        self._poller = Poller(plan, links, clock)
        self._jumps = JumpDetector(clock)
        self._publisher = self._make_publisher()
        self._lost: NotKept | None = None
        self._unsaid: list[Body] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        self._begin()
        tasks = [asyncio.create_task(self._publisher.run()), asyncio.create_task(self._poll_forever())]
        stopped = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopped}:
                task.result()
        finally:
            for task in [stopped, *tasks]:
                task.cancel()
            await asyncio.gather(stopped, *tasks, return_exceptions=True)
            appended = self._metrics.total_appended
            waiting = self._spool.backlog().batches
            log.info("stopped; %d readings appended, %d batches wait for the collector", appended, waiting)

    def _begin(self) -> None:
        head = self._spool.head
        if head is None:
            self._spool.start_epoch(new_epoch_id(None, self._clock.wall_ms(), secrets.token_hex(4)), None)
        keys = self._spool.rotate(
            new_epoch_id(head, self._clock.wall_ms(), secrets.token_hex(4)), self._plan.config, "key file changed"
        )
        if keys:
            log.info("signing by another key from now on; what is not confirmed is signed anew")
        keys += self._spool.configure(self._plan.config)
        self._metrics.appended.inc(len(keys))
        head = self._spool.head
        agent = self._settings.agent
        log.info(
            "agent %s of site %s reads %d points every %g s; epoch %s, batch %d",
            agent.id,
            agent.site,
            len(self._plan.points),
            agent.poll_seconds,
            head.epoch if head else "",
            head.seq if head else 0,
        )

    async def _poll_forever(self) -> NoReturn:
        while True:
            await self._sleep_until(next_tick_ms(self._clock.wall_ms(), self._plan.poll_ms))
            readings = await self._poller.poll()
            self._keep(readings)

    async def _sleep_until(self, tick_ms: int) -> None:
        """Wait for a wall-clock time; a clock that was set back while waiting does not hold up the poll."""
        period_ms = self._plan.poll_ms
        while (rest_ms := tick_ms - self._clock.wall_ms()) > 0:
            if rest_ms > period_ms:
                return
            await asyncio.sleep(min(rest_ms / 1000, _LONGEST_SLEEP_S))

    def _keep(self, readings: Sequence[Reading]) -> None:
        """One transaction for the cycle; a full spool or disk stops the keeping, not the polling."""
        self._metrics.count_readings(int(reading.quality) for reading in readings)
        lost = [self._lost] if self._lost else []
        self._unsaid += self._clock_events()
        bodies: list[Body] = [*lost, *self._unsaid, *readings_bodies(readings, self._batch_limit())]
        try:
            keys = self._spool.append(bodies)
        except Retry as error:
            self._lose(str(error))
            return
        if self._lost:
            log.info("the spool takes readings again; %d cycles were not kept", self._lost.cycles)
        self._lost = None
        self._unsaid = []
        self._metrics.appended.inc(len(keys))
        self._metrics.readings_appended.inc(len(readings))
        self._publisher.appended(keys)
        self._prune()

    def _lose(self, reason: str) -> None:
        """Count a cycle that could not be stored; the first batch that can be says so, signed."""
        now_ms = self._clock.wall_ms()
        self._metrics.not_kept.inc()
        if self._lost is None:
            log.warning("%s; readings are lost until then", reason)
            self._lost = NotKept(from_ms=now_ms, to_ms=now_ms, cycles=1, reason=reason)
        else:
            self._lost = msgspec.structs.replace(self._lost, to_ms=now_ms, cycles=self._lost.cycles + 1)

    def _prune(self) -> None:
        """Delete what the retention no longer needs; where that fails, nothing is lost."""
        try:
            self._spool.prune(self._settings.agent.retain_days)
        except Retry as error:
            log.warning("%s; confirmed batches stay until then", error)

    def _clock_events(self) -> list[Body]:
        step_ms = self._jumps.step_ms()
        if not step_ms:
            return []
        log.warning("the clock stepped by %d ms; check its time source", step_ms)
        return [ClockJump(at_ms=self._clock.wall_ms(), step_ms=step_ms)]

    def _batch_limit(self) -> int:
        """Bytes of JSON per data batch: also below what the broker takes, though it is sent compressed."""
        return min(MAX_BATCH_BYTES, self._publisher.max_packet_bytes or MAX_BATCH_BYTES)

    def _make_publisher(self) -> Publisher:
        agent = self._settings.agent
        mqtt = self._settings.mqtt
        tls = mqtt.tls.context() if mqtt.tls else None
        return Publisher(
            agent.id,
            self._spool,
            lambda generation, report: Session(mqtt.host, mqtt.port, tls, agent.shard, agent.id, generation, report),
            self._plan.config,
            window=mqtt.window,
            clock=self._clock,
            metrics=self._metrics,
            broker=f"{mqtt.host}:{mqtt.port}",
        )


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
