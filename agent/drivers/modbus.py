"""Modbus TCP meters: read-only, every answer checked byte by byte before pymodbus sees it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from enum import Enum

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from agent.clock import Clock
from agent.drivers import Answer, evidence
from agent.plan import PlannedMeter, RegisterRead
from agent.settings import LinkTable
from pue.contract.errors import Fatal
from pue.contract.quality import Quality

READ_ONLY = frozenset({3, 4})
"""Function codes that may leave this machine: read holding and input registers."""

ILLEGAL_ADDRESS = 0x02
GATEWAY_NO_ANSWER = {0x0A, 0x0B}


class Fit(Enum):
    """How received bytes compare with what the request can be answered by."""

    PART = "part"
    WHOLE = "whole"
    WRONG = "wrong"


def compare(request: bytes, received: bytes) -> Fit:
    """Judge an answer strictly: transaction id, unit, function code, byte count and length must be the request's.

    pymodbus 3.16 accepts transaction id 0 for any request, a wrong function code and a short register count.

    Parameters
    ----------
    request, received
        Whole MBAP frame sent; all bytes received since.
    """
    # MBAP: transaction 0-1, protocol 2-3, length 4-5, unit 6; then function 7, first register 8-9, their number 10-11.
    size = 2 * int.from_bytes(request[10:12], "big")
    unit = request[6]
    fc = request[7]
    # Two registers are 4 bytes: behind a head of 9, whose length field counts unit, function, byte count and these, 7.
    answer = request[:4] + (3 + size).to_bytes(2, "big") + bytes((unit, fc, size & 0xFF))
    refusal = request[:4] + b"\x00\x03" + bytes((unit, fc | 0x80))
    # As far as bytes have come they have to be those of one of the two; TCP may cut an answer anywhere.
    for head, length in ((answer, 9 + size), (refusal, 9)):
        if received[: len(head)] == head[: len(received)]:
            return Fit.PART if len(received) < length else Fit.WHOLE if len(received) == length else Fit.WRONG
    return Fit.WRONG


class _Refused(Exception):
    """The answer is unusable, or there is none; carries quality and evidence."""

    def __init__(self, quality: Quality, received: bytes = b"") -> None:
        super().__init__(quality)
        self.quality = quality
        self.received = received


@dataclass(frozen=True, slots=True)
class _Reply:
    t0_ms: int
    dt_ms: int
    registers: tuple[int, ...]
    raw: str
    quality: Quality


class _Guard:
    """Sees every byte between pymodbus and the socket; the one place where a frame can leave or enter."""

    def __init__(self) -> None:
        self.client: AsyncModbusTcpClient | None = None
        self.received = b""
        self.is_dirty = False
        self._request: bytes | None = None

    def relax(self) -> None:
        """Nothing is expected: whatever arrives from here on makes the connection unusable."""
        self._request = None

    def packet(self, sending: bool, data: bytes) -> bytes:
        """Trace hook of pymodbus: hand on, hold back or refuse."""
        return self._outgoing(data) if sending else self._incoming(data)

    def connection(self, is_up: bool) -> None:
        """Connection hook of pymodbus."""
        if not is_up:
            self._refuse(Quality.TIMEOUT | (Quality.MALFORMED if self.received else Quality.GOOD))

    def _outgoing(self, data: bytes) -> bytes:
        if len(data) != 12 or data[7] not in READ_ONLY:
            raise Fatal(f"refused to send the Modbus frame {data.hex()}: only reads (function codes 3 and 4) may leave")
        self._request = data
        self.received = b""
        return data

    def _incoming(self, data: bytes) -> bytes:
        if self._request is None:
            self.is_dirty = True
            return b""
        self.received = data
        fit = compare(self._request, data)
        if fit is Fit.WRONG:
            self._refuse(Quality.MALFORMED)
        return data if fit is Fit.WHOLE else b""

    def _refuse(self, quality: Quality) -> None:
        """Fail the request that waits, with what was received as evidence."""
        self.is_dirty = True
        if self.client is None or self._request is None:
            return
        waiting = self.client.ctx.response_future
        if not waiting.done():
            waiting.set_exception(_Refused(quality, self.received))


class ModbusLink:
    """One client for one host and port, shared in sequence by all its unit ids.

    After any timeout or error the connection is closed: a late answer dies with it.
    """

    def __init__(self, link: LinkTable, clock: Clock) -> None:
        self._host, self._port = link.address
        self._timeout = link.timeout_seconds
        self._clock = clock
        self._client: AsyncModbusTcpClient | None = None
        self._guard = _Guard()
        self._transaction = random.randrange(60_000)  # noqa: S311 - only to differ from the last process's

    async def read(self, meter: PlannedMeter) -> list[Answer]:
        answers: list[Answer] = []
        failure: _Reply | None = None
        for request in meter.registers:
            reply = failure or await self._ask(meter.unit_id, request)
            answers.extend(_cut(request, reply))
            if reply.quality & (Quality.TIMEOUT | Quality.NO_LINK):
                failure = _Reply(reply.t0_ms, 0, (), "", reply.quality)
        return answers

    async def close(self) -> None:
        self._drop()
        await asyncio.sleep(0)

    async def _ask(self, unit_id: int, request: RegisterRead) -> _Reply:
        t0_ms = self._clock.wall_ms()
        start_ns = self._clock.mono_ns()
        registers: tuple[int, ...] = ()
        raw = ""
        quality = Quality.GOOD
        try:
            if not await self._connected():
                raise _Refused(Quality.NO_LINK)
            t0_ms = self._clock.wall_ms()
            start_ns = self._clock.mono_ns()
            pdu = await self._exchange(unit_id, request)
            registers, raw, quality = _unwrap(pdu, request)
        except _Refused as refusal:
            raw = evidence(refusal.received)
            quality = refusal.quality
        if quality and not quality & Quality.EXCEPTION:
            self._drop()
        dt_ms = (self._clock.mono_ns() - start_ns) // 1_000_000
        return _Reply(t0_ms, dt_ms, registers, raw, quality)

    async def _connected(self) -> bool:
        if self._client is not None and self._client.connected and not self._guard.is_dirty:
            return True
        self._drop()
        self._guard = guard = _Guard()
        self._client = client = AsyncModbusTcpClient(
            self._host,
            port=self._port,
            timeout=self._timeout,
            retries=0,
            reconnect_delay=0,
            trace_packet=lambda sending, data: guard.packet(sending, data),
            trace_connect=lambda is_up: guard.connection(is_up),
        )
        guard.client = client
        if not await client.connect():
            return False
        # Counted on over connections: an answer to a request of the last one fits none of this one.
        client.ctx.next_tid = self._transaction
        return True

    async def _exchange(self, unit_id: int, request: RegisterRead) -> ModbusPDU:
        """Send one request and wait for the whole answer, its refusal, or the timeout."""
        client = self._client
        if client is None:
            raise _Refused(Quality.NO_LINK)
        self._transaction = (self._transaction + 1) % 60_000
        read = client.read_holding_registers if request.fc == 3 else client.read_input_registers
        try:
            return await read(request.addr, count=request.length, device_id=unit_id)
        except ModbusException:
            quality = Quality.TIMEOUT | (Quality.MALFORMED if self._guard.received else Quality.GOOD)
            raise _Refused(quality, self._guard.received) from None
        finally:
            self._guard.relax()

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def _unwrap(pdu: ModbusPDU, request: RegisterRead) -> tuple[tuple[int, ...], str, Quality]:
    """Registers, raw and quality of an answer the guard let through; checked once more as pymodbus understood it."""
    if pdu.isError():
        code = int(getattr(pdu, "exception_code", 0))
        quality = Quality.EXCEPTION
        if code == ILLEGAL_ADDRESS:
            quality |= Quality.UNSUPPORTED
        if code in GATEWAY_NO_ANSWER:
            quality |= Quality.TIMEOUT
        return (), bytes((request.fc | 0x80, code)).hex(), quality
    if pdu.function_code != request.fc or len(pdu.registers) != request.length:
        raise _Refused(Quality.MALFORMED, bytes((pdu.function_code,)))
    return tuple(pdu.registers), "", Quality.GOOD


def _cut(request: RegisterRead, reply: _Reply) -> list[Answer]:
    """One answer per point: its own words, or the evidence of the whole request's failure."""
    answers = []
    for part in request.parts:
        words = reply.registers[part.offset : part.offset + part.words]
        raw = "".join(f"{word:04x}" for word in words) or reply.raw
        answers.append(Answer(part.point, reply.t0_ms, reply.dt_ms, raw, reply.quality))
    return answers
