"""SNMP v2c meters: a connected socket per device, one GET for all objects of a meter."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import cast

from agent.clock import Clock
from agent.drivers import Answer, evidence
from agent.drivers.snmp_answer import FIRST_ID, LAST_ID, NotOurs, Question, Refused
from agent.plan import PlannedMeter
from agent.settings import LinkTable
from pue.contract.quality import Quality

MAX_IN_FLIGHT = 50
"""More requests at once overrun the sockets' buffers; measured with 500 devices."""
REMEMBERED_IDS = 16
"""Requests whose late answers are told from answers nobody asked for."""


class _Waiting(asyncio.DatagramProtocol):
    """One socket, connected: the kernel hands over what came from the device's own address and port, nothing else.

    What does not answer the request that is under way is put aside; somebody who guesses the address must not be able
    to end the wait for the device itself.
    """

    def __init__(self) -> None:
        self.closed = False
        self._transport: asyncio.DatagramTransport | None = None
        self._question: Question | None = None
        self._id = 0
        self._answer: asyncio.Future[list[bytes]] | None = None
        self._earlier: deque[int] = deque(maxlen=REMEMBERED_IDS)
        self._odd = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # CPython 3.11's is no subclass of it

    def datagram_received(self, data: bytes, _: tuple[str | object, int]) -> None:
        if self._question is None or self._answer is None or self._answer.done():
            return
        try:
            self._answer.set_result(self._question.answered(data, self._id))
        except NotOurs as other:
            is_late = other.request_id in self._earlier  # a slow device: no wonder, and no evidence of anything
            self._odd = self._odd or (b"" if is_late else data)
        except Refused as refusal:
            self._answer.set_exception(refusal)

    def error_received(self, _: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Refused(Quality.NO_LINK))

    def connection_lost(self, _: Exception | None) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    async def ask(self, question: Question, timeout_s: float) -> list[bytes]:
        """Values as they arrived; only one request at a time.

        Raises
        ------
        Refused
            With the reason, and what arrived instead.
        """
        self._id = FIRST_ID + secrets.randbelow(LAST_ID - FIRST_ID + 1)
        self._question = question
        self._odd = b""
        self._answer = asyncio.get_running_loop().create_future()
        try:
            assert self._transport is not None
            self._transport.sendto(question.numbered(self._id))
            async with asyncio.timeout(timeout_s):
                return await self._answer
        except TimeoutError:
            raise Refused(Quality.MALFORMED if self._odd else Quality.TIMEOUT, self._odd) from None
        finally:
            self._earlier.append(self._id)
            self._question = None


class SnmpLink:
    """One device; its meters' requests are sent one after the other.

    Parameters
    ----------
    link, clock
        Where it is, and when it is asked.
    in_flight
        Shared by all SNMP links of the process.
    """

    def __init__(self, link: LinkTable, clock: Clock, in_flight: asyncio.Semaphore) -> None:
        self._address = link.address
        self._timeout_s = link.timeout_seconds
        # v2c only for now; v3 is another security level of the same link.
        self._community = link.community_text()
        self._clock = clock
        self._in_flight = in_flight
        self._socket: _Waiting | None = None
        self._questions: dict[tuple[str, ...], Question] = {}

    async def read(self, meter: PlannedMeter) -> list[Answer]:
        # Two quantities may share an object, such as the number of digits: it is asked for once.
        oids = tuple(dict.fromkeys(oid for item in meter.objects for oid in item.oids))
        async with self._in_flight:
            t0_ms = self._clock.wall_ms()
            start_ns = self._clock.mono_ns()
            raw = ""
            quality = Quality.GOOD
            values: dict[str, str] = {}
            try:
                values = await self._get(oids)
            except Refused as refusal:
                raw = evidence(refusal.received)
                quality = refusal.quality
            dt_ms = (self._clock.mono_ns() - start_ns) // 1_000_000
        return [
            Answer(item.point, t0_ms, dt_ms, "".join(values[oid] for oid in item.oids) if values else raw, quality)
            for item in meter.objects
        ]

    async def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            await asyncio.sleep(0)  # the transport closes its socket in the loop's next turn

    async def _get(self, oids: tuple[str, ...]) -> dict[str, str]:
        """Each object's value as BER in hexadecimal, of exactly the objects asked for."""
        question = self._questions.get(oids)
        if question is None:
            question = self._questions[oids] = Question.of(self._community, oids)
        socket = await self._opened()
        values = await socket.ask(question, self._timeout_s)
        return {oid: value.hex() for oid, value in zip(oids, values, strict=True)}

    async def _opened(self) -> _Waiting:
        if self._socket is None or self._socket.closed:
            loop = asyncio.get_running_loop()
            try:
                _, self._socket = await loop.create_datagram_endpoint(_Waiting, remote_addr=self._address)
            except OSError:  # the name is not known, or there is no way to the address
                raise Refused(Quality.NO_LINK) from None
        return self._socket
