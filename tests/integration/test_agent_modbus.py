"""The Modbus driver against devices that misbehave on purpose: a wrong but valid value is worse than a gap."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData

from agent.clock import SystemClock
from agent.drivers import Answer
from agent.drivers.modbus import ModbusLink
from agent.plan import Part, PlannedMeter, PlannedPoint, RegisterRead
from agent.settings import LinkTable
from pue.contract.decode import RegisterCode
from pue.contract.errors import Fatal
from pue.contract.quality import Quality
from tests.integration.agent_rig import HOST, free_port, modbus_meters

pytestmark = pytest.mark.integration

Script = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def device(script: Script) -> AsyncIterator[int]:
    """A device that hears whole requests and says what the script makes of them."""

    writers: list[asyncio.StreamWriter] = []
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        serving.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await script(await reader.readexactly(12), writer)

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.gather(*(task for task in serving if task), return_exceptions=True)
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


def meter(*addresses: int, words: int = 1, fc: int = 3, unit: int = 7) -> PlannedMeter:
    """One read of its own per address."""
    points = tuple(PlannedPoint(at, "power", "W", RegisterCode("u16", 0), False) for at in range(len(addresses)))
    reads = tuple(RegisterRead(fc, addr, words, (Part(at, 0, words),)) for at, addr in enumerate(addresses))
    return PlannedMeter("m", unit, points, registers=reads)


def link(port: int, timeout: float = 0.2) -> ModbusLink:
    table = LinkTable(id="l", transport="modbus-tcp", host=HOST, port=port, timeout_seconds=timeout)
    return ModbusLink(table, SystemClock())


def address_of(request: bytes) -> int:
    return int.from_bytes(request[8:10], "big")


def good_answer(request: bytes, value: int, tid: bytes | None = None) -> bytes:
    return (tid or request[:2]) + b"\0\0\0\5" + request[6:8] + b"\2" + value.to_bytes(2, "big")


async def ask(script: Script, *meters: PlannedMeter, timeout_s: float = 0.2) -> list[Answer]:
    async with device(script) as port:
        under_test = link(port, timeout_s)
        answers = [answer for asked in meters for answer in await under_test.read(asked)]
        await under_test.close()
        return answers


def test_a_late_answer_is_never_taken_for_the_next_one() -> None:
    """The value is the address, the first answer comes after the timeout: 20 must never read as 10."""
    seen: list[int] = []
    late: list[asyncio.Task[None]] = []

    async def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        async def answer(after_s: float) -> None:
            await asyncio.sleep(after_s)
            with contextlib.suppress(ConnectionError):
                writer.write(good_answer(request, address_of(request)))
                await writer.drain()

        seen.append(address_of(request))
        late.append(asyncio.create_task(answer(0.3 if len(seen) == 1 else 0.15)))

    answers = asyncio.run(ask(script, meter(10), meter(20), meter(30)))
    assert [(answer.raw, answer.quality) for answer in answers] == [
        ("", Quality.TIMEOUT),
        ("0014", Quality.GOOD),
        ("001e", Quality.GOOD),
    ]


def test_a_late_answer_with_transaction_id_zero_is_refused_with_evidence() -> None:
    """Some gateways answer everything with transaction id 0; pymodbus would take it for any request."""

    async def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(good_answer(request, 10, tid=b"\0\0"))

    (answer,) = asyncio.run(ask(script, meter(20)))
    assert answer.quality == Quality.MALFORMED
    assert answer.raw == "000000000005070302000a"


def test_an_answer_left_over_from_before_makes_the_connection_unusable() -> None:
    """After a good answer the device says something nobody asked for."""
    connections: list[asyncio.StreamWriter] = []

    async def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.write(good_answer(request, address_of(request)))
        await writer.drain()
        await asyncio.sleep(0.03)
        writer.write(good_answer(request, 666))

    async def go() -> list[str]:
        async with device(script) as port:
            under_test = link(port)
            raws = []
            for addr in (10, 20, 30):
                raws += [answer.raw for answer in await under_test.read(meter(addr))]
                await asyncio.sleep(0.06)
            await under_test.close()
            return raws

    assert asyncio.run(go()) == ["000a", "0014", "001e"]
    assert len(set(connections)) == 3


MALFORMED_ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "wrong function code": lambda request: request[:2] + b"\0\0\0\5\7\4\2\0\1",
    "wrong unit": lambda request: request[:2] + b"\0\0\0\5\x08\3\2\0\1",
    "short register count": lambda request: request[:2] + b"\0\0\0\5\7\3\2\0\1",
    "long register count": lambda request: request[:2] + b"\0\0\0\x09\7\3\6\0\1\0\2\0\3",
    "another transaction": lambda request: b"\xff\xfe" + b"\0\0\0\7\7\3\4\0\1\0\2",
    "another protocol": lambda request: request[:2] + b"\0\1\0\7\7\3\4\0\1\0\2",
    "bytes after the answer": lambda request: request[:2] + b"\0\0\0\7\7\3\4\0\1\0\2\xaa",
    "no Modbus at all": lambda request: b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("case", MALFORMED_ANSWERS)
def test_an_answer_that_does_not_fit_the_request_is_malformed_and_kept_as_evidence(case: str) -> None:
    async def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(MALFORMED_ANSWERS[case](request))

    (answer,) = asyncio.run(ask(script, meter(20, words=2), timeout_s=1.0))
    assert answer.quality & Quality.MALFORMED
    assert answer.raw
    assert answer.dt_ms < 900


def test_half_an_answer_is_malformed_and_counts_as_no_answer_in_time() -> None:
    async def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(good_answer(request, 1)[:7])

    (answer,) = asyncio.run(ask(script, meter(20)))
    assert answer.quality == Quality.MALFORMED | Quality.TIMEOUT


def test_an_answer_in_two_pieces_is_whole() -> None:
    async def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        answer = good_answer(request, 4711)
        writer.write(answer[:3])
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(answer[3:])

    (answer,) = asyncio.run(ask(script, meter(20)))
    assert (answer.raw, answer.quality) == ("1267", Quality.GOOD)


@pytest.mark.parametrize(
    ("code", "quality"),
    [
        (2, Quality.EXCEPTION | Quality.UNSUPPORTED),
        (4, Quality.EXCEPTION),
        (0x0B, Quality.EXCEPTION | Quality.TIMEOUT),
    ],
)
def test_an_exception_is_kept_with_its_code(code: int, quality: Quality) -> None:
    async def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(request[:2] + b"\0\0\0\3" + bytes((request[6], 0x83, code)))

    (answer,) = asyncio.run(ask(script, meter(20)))
    assert (answer.raw, answer.quality) == (f"83{code:02x}", quality)


def test_a_gateway_that_hangs_up_counts_as_no_answer_and_the_next_read_connects_again() -> None:
    async def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        if address_of(request) == 10:
            writer.close()
        else:
            writer.write(good_answer(request, 5))

    lost, found = asyncio.run(ask(script, meter(10), meter(20), timeout_s=2.0))
    assert lost.quality == Quality.TIMEOUT
    assert lost.dt_ms < 1000
    assert (found.raw, found.quality) == ("0005", Quality.GOOD)


def test_after_an_unanswered_request_the_other_requests_of_the_meter_are_not_tried() -> None:
    seen: list[int] = []

    async def script(request: bytes, _writer: asyncio.StreamWriter) -> None:
        seen.append(address_of(request))

    answers = asyncio.run(ask(script, meter(10, 20, 30)))
    assert seen == [10]
    assert [answer.quality for answer in answers] == [Quality.TIMEOUT] * 3


def test_an_unreachable_gateway_is_no_link() -> None:
    async def go() -> list[Answer]:
        return await link(free_port()).read(meter(10))

    assert [answer.quality for answer in asyncio.run(go())] == [Quality.NO_LINK]


def test_only_reads_can_leave() -> None:
    """Even code that tries to write is stopped where frames leave."""
    sent: list[bytes] = []

    async def script(request: bytes, writer: asyncio.StreamWriter) -> None:
        sent.append(request)
        writer.write(good_answer(request, 1))

    async def go() -> None:
        async with device(script) as port:
            under_test = link(port)
            await under_test.read(meter(10))
            client = under_test._client
            assert client is not None
            with pytest.raises(Fatal, match="only reads"):
                await getattr(client, "write_" + "register")(1, 1, device_id=7)
            await under_test.close()

    asyncio.run(go())
    assert [request[7] for request in sent] == [3]


@pytest.mark.parametrize("fc", [3, 4])
def test_a_pymodbus_server_is_read_with_both_function_codes(fc: int) -> None:
    async def go(port: int) -> list[Answer]:
        under_test = link(port)
        answers = await under_test.read(meter(100, 5000, words=2, fc=fc, unit=1))
        await under_test.close()
        return answers

    with modbus_meters({1: [SimData(100, values=[0x1234, 0xABCD], datatype=DataType.REGISTERS)]}) as port:
        found, absent = asyncio.run(go(port))
    assert (found.raw, found.quality) == ("1234abcd", Quality.GOOD)
    assert absent.raw == f"{fc | 0x80:02x}{ExcCodes.ILLEGAL_ADDRESS:02x}"
    assert absent.quality == Quality.EXCEPTION | Quality.UNSUPPORTED
