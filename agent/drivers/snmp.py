"""SNMP v2c meters: one engine for the process, one GET for all objects of a meter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pyasn1.codec.ber import encoder
from pyasn1.error import PyAsn1Error
from pysnmp.carrier.error import CarrierError
from pysnmp.error import PySnmpError
from pysnmp.hlapi.v1arch.asyncio import CommunityData, SnmpDispatcher, UdpTransportTarget, get_cmd
from pysnmp.proto.rfc1902 import Null

from agent.clock import Clock
from agent.drivers import Answer, evidence
from agent.plan import PlannedMeter
from agent.settings import LinkTable
from pue.contract.quality import Quality

MAX_IN_FLIGHT = 50
"""More requests at once overrun the sockets' buffers; measured with 500 devices."""


class _Refused(Exception):
    """No usable answer; carries quality and evidence."""

    def __init__(self, quality: Quality, received: bytes = b"") -> None:
        super().__init__(quality)
        self.quality = quality
        self.received = received


class _Dispatcher(SnmpDispatcher):  # type: ignore[misc]  # pysnmp has no types
    """pysnmp's dispatcher, which tells who sent bytes that are no SNMP message instead of raising in the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[tuple[str, int], asyncio.Future[None]] = {}

    def close(self) -> None:
        self._pendingReqs.clear()  # pysnmp 7.1.30 calls back with one argument too few for these
        super().close()

    def _recv_callback(self, engine: Any, domain: Any, address: Any, message: bytes) -> Any:
        try:
            return super()._recv_callback(engine, domain, address, message)
        except (PyAsn1Error, PySnmpError, ValueError, TypeError, AttributeError, IndexError, KeyError):
            waiting = self.waiting.get((str(address[0]), int(address[1])))
            if waiting is not None and not waiting.done():
                waiting.set_exception(_Refused(Quality.MALFORMED, bytes(message)))
            return b""


class SnmpEngine:
    """The process's one dispatcher, shared by all SNMP links; closed with the last of them."""

    def __init__(self, users: int = 1) -> None:
        self._users = users
        self._dispatcher: _Dispatcher | None = None
        self.in_flight = asyncio.Semaphore(MAX_IN_FLIGHT)

    @property
    def dispatcher(self) -> _Dispatcher:
        """Opened at first use, inside the running loop."""
        if self._dispatcher is None:
            self._dispatcher = _Dispatcher()
        return self._dispatcher

    async def release(self) -> None:
        """One link less; after the last the socket and the timer are closed."""
        self._users -= 1
        if self._users == 0 and self._dispatcher is not None:
            self._dispatcher.close()
            self._dispatcher = None
            await asyncio.sleep(0)


class SnmpLink:
    """One device with one long-lived target; a device's PDUs are read one after the other."""

    def __init__(self, link: LinkTable, clock: Clock, engine: SnmpEngine) -> None:
        self._address = link.address
        self._timeout = link.timeout_seconds
        # v2c only for now; v3 is another security level of the same link.
        self._community = CommunityData(link.community_text(), mpModel=1)  # noqa: S508 - the settings say "snmp-v2c"
        self._clock = clock
        self._engine = engine
        self._target: UdpTransportTarget | None = None

    async def read(self, meter: PlannedMeter) -> list[Answer]:
        oids = tuple(oid for item in meter.objects for oid in item.oids)
        async with self._engine.in_flight:
            t0_ms = self._clock.wall_ms()
            start_ns = self._clock.mono_ns()
            raw = ""
            quality = Quality.GOOD
            values: dict[str, str] = {}
            try:
                values = await self._get(oids)
            except _Refused as refusal:
                raw = evidence(refusal.received)
                quality = refusal.quality
            dt_ms = (self._clock.mono_ns() - start_ns) // 1_000_000
        return [
            Answer(item.point, t0_ms, dt_ms, "".join(values[oid] for oid in item.oids) if values else raw, quality)
            for item in meter.objects
        ]

    async def close(self) -> None:
        self._target = None
        await self._engine.release()

    async def _get(self, oids: Sequence[str]) -> dict[str, str]:
        """Each object's value as BER in hexadecimal, of exactly the objects asked for."""
        target = await self._resolved()
        dispatcher = self._engine.dispatcher
        garbage: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        dispatcher.waiting[target.transport_address] = garbage
        call = asyncio.ensure_future(
            get_cmd(dispatcher, self._community, target, *((oid, Null("")) for oid in oids), lookupMib=False)
        )
        try:
            done, _ = await asyncio.wait((call, garbage), timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
            if garbage in done:
                await garbage
            if call not in done:
                raise _Refused(Quality.TIMEOUT)
            return _unwrap(oids, *call.result())
        except CarrierError:
            raise _Refused(Quality.NO_LINK) from None
        except (PySnmpError, PyAsn1Error) as error:
            raise _Refused(Quality.MALFORMED, str(error).encode()) from None
        finally:
            dispatcher.waiting.pop(target.transport_address, None)
            call.cancel()
            garbage.cancel()
            await asyncio.gather(call, garbage, return_exceptions=True)

    async def _resolved(self) -> UdpTransportTarget:
        if self._target is None:
            try:
                self._target = await UdpTransportTarget.create(self._address, timeout=self._timeout, retries=0)
            except PySnmpError:
                raise _Refused(Quality.NO_LINK) from None
        return self._target


def _unwrap(
    oids: Sequence[str], indication: object, status: object, _index: object, bindings: Sequence[tuple[Any, Any]]
) -> dict[str, str]:
    if indication:
        raise _Refused(Quality.TIMEOUT)
    if int(status):  # type: ignore[call-overload]  # pysnmp has no types
        raise _Refused(Quality.EXCEPTION, bytes(encoder.encode(status)))
    values = {str(name): bytes(encoder.encode(value)).hex() for name, value in bindings}
    if list(values) != list(dict.fromkeys(oids)):
        raise _Refused(Quality.MALFORMED, " ".join(f"{name}={value}" for name, value in values.items()).encode())
    return values
