"""The SNMP driver against Debian's snmpd and against agents that misbehave on purpose."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.clock import SystemClock
from agent.drivers import Answer
from agent.drivers.snmp import MAX_IN_FLIGHT, SnmpLink
from agent.plan import PlannedMeter, make_plan
from agent.settings import AgentSettings, LinkTable, load_settings
from pue.contract.decode import decode
from pue.contract.quality import Quality
from tests.integration.agent_rig import HOST, AgentProcess, free_port, snmp_link, snmpd

pytestmark = pytest.mark.integration

APC = "1.3.6.1.4.1.318.1.1.26.4.3.1"
OWN_PROFILE = """
id = "snmpd-own"
model = "Debian snmpd's own objects"
interface = "snmp-v2c"
firmware = "any"
source = "RFC 1213: snmpInPkts and ifNumber"
status = "bench"
resolution = "1"

# Not energy at all: an agent's own counter and gauge stand in, to read objects that no test wrote.
[quantity.energy_import]
oid = "1.3.6.1.2.1.11.{index}.0"
type = "u32"
unit = "Wh"
exponent = 0
modulus = 4294967296

[quantity.power]
oid = "1.3.6.1.2.1.2.{index}.0"
type = "i32"
unit = "W"
exponent = 0

[[test]]
raw = { energy_import = "41 01 05", power = "02 01 02" }
expect = { energy_import = 5, power = 2 }
"""


def planned(folder: Path, port: int, profile: str, quantities: list[str], agent: str = "") -> tuple[Any, PlannedMeter]:
    """The meter as the agent itself would plan it from its settings file."""
    config = AgentProcess(folder, 1, links=snmp_link(port, profile, quantities), agent=agent).config
    settings, profiles = load_settings(config)
    assert isinstance(settings, AgentSettings)
    plan = make_plan(settings, profiles, "test")
    return plan.links[0].link, plan.links[0].meters[0]


async def read(link: LinkTable, meter: PlannedMeter, times: int = 1) -> list[Answer]:
    under_test = SnmpLink(link, SystemClock(), asyncio.Semaphore(MAX_IN_FLIGHT))
    answers = [answer for _ in range(times) for answer in await under_test.read(meter)]
    await under_test.close()
    return answers


def decoded(meter: PlannedMeter, answers: list[Answer]) -> list[tuple[int | None, Quality]]:
    codes = {point.index: point.code for point in meter.points}
    return [(None, answer.quality) if answer.quality else decode(answer.raw, codes[answer.point]) for answer in answers]


def test_snmpd_with_its_own_objects_is_read_through_an_operators_profile(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    (profiles / "snmpd-own.toml").write_text(OWN_PROFILE)
    with snmpd(tmp_path) as port:
        link, meter = planned(
            tmp_path / "a", port, "snmpd-own", ["energy_import", "power"], f'profile_dir = "{profiles}"'
        )
        first, interfaces, second, _ = decoded(meter, asyncio.run(read(link, meter, times=2)))
    assert first[1] == second[1] == interfaces[1] == Quality.GOOD
    assert first[0] is not None
    assert second[0] == first[0] + 1
    assert interfaces[0] == len(os.listdir("/sys/class/net"))


def apc_script(folder: Path, energy: int, power: int) -> str:
    """snmpd's `pass` interface: a script that answers for APC's part of the tree."""
    script = folder / "apc.sh"
    script.write_text(
        f"""#!/bin/sh
case "$1 $2" in
"-g .{APC}.9.1") echo ".{APC}.9.1"; echo integer; echo {energy};;
"-g .{APC}.5.1") echo ".{APC}.5.1"; echo integer; echo {power};;
esac
"""
    )
    script.chmod(0o755)
    return f"pass .{APC} {script}"


def test_apc_objects_behind_snmpd_read_as_tenths_of_kwh_and_hundredths_of_kw(tmp_path: Path) -> None:
    with snmpd(tmp_path, apc_script(tmp_path, energy=170_982, power=300)) as port:
        link, meter = planned(tmp_path / "a", port, "apc-rpdu2", ["energy_import", "power"])
        answers = asyncio.run(read(link, meter))
    assert decoded(meter, answers) == [(170_982, Quality.GOOD), (300, Quality.GOOD)]
    assert answers[0].raw == "0203029be6"
    assert answers[0].t0_ms == answers[1].t0_ms


def test_apcs_minus_one_means_not_supported(tmp_path: Path) -> None:
    with snmpd(tmp_path, apc_script(tmp_path, energy=-1, power=300)) as port:
        link, meter = planned(tmp_path / "a", port, "apc-rpdu2", ["energy_import", "power"])
        answers = asyncio.run(read(link, meter))
    assert decoded(meter, answers) == [(None, Quality.SENTINEL), (300, Quality.GOOD)]
    assert answers[0].raw == "0201ff"


def test_objects_an_agent_has_not_are_unsupported(tmp_path: Path) -> None:
    with snmpd(tmp_path) as port:
        link, meter = planned(tmp_path / "a", port, "eaton-epdu", ["energy_import", "power"])
        answers = asyncio.run(read(link, meter))
    assert decoded(meter, answers) == [(None, Quality.UNSUPPORTED)] * 2
    assert all(answer.raw for answer in answers)


# -------------------------------------------------------------------- agents that misbehave

Reply = Callable[[bytes], list[tuple[float, bytes]]]


class Scripted(asyncio.DatagramProtocol):
    """Answers each datagram with what the script says, each reply after its delay."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        for delay_s, answer in self._reply(data):
            asyncio.get_running_loop().call_later(delay_s, self._transport.sendto, answer, addr)


def value_answer(request: bytes, value: int) -> bytes:
    """The request itself as a response, its NULLs replaced by a one-byte INTEGER each: our own tiny encoder."""
    body = request[2:]
    at = body.index(b"\xa0")
    # Request id of four octets, error status, error index; only behind them, for the id may hold any octets.
    bindings = 2 + 6 + 3 + 3
    head, listed = body[at : at + bindings], body[at + bindings :]
    marks = listed.count(b"\x05\x00")
    pdu = bytearray(head + listed.replace(b"\x05\x00", b"\x02\x01" + bytes([value])))
    pdu[0] = 0xA2
    pdu[1] += marks
    pdu[bindings + 1] += marks
    cursor = bindings + 2
    while cursor < len(pdu):
        pdu[cursor + 1] += 1
        cursor += 2 + pdu[cursor + 1]
    message = body[:at] + bytes(pdu)
    return b"\x30" + bytes([len(message)]) + message


async def against(
    reply: Reply, folder: Path, times: int = 1, server: Callable[[Reply], Scripted] = Scripted
) -> tuple[PlannedMeter, list[Answer]]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server(reply), local_addr=(HOST, 0)
    )
    port = transport.get_extra_info("sockname")[1]
    link, meter = planned(folder, port, "apc-rpdu2", ["energy_import"])
    answers = await read(link.model_copy(update={"timeout_seconds": 0.3}), meter, times)
    transport.close()
    return meter, answers


def test_a_late_snmp_reply_is_never_taken_for_the_next_one(tmp_path: Path) -> None:
    asked: list[bytes] = []

    def reply(request: bytes) -> list[tuple[float, bytes]]:
        asked.append(request)
        return [(0.45 if len(asked) == 1 else 0.2, value_answer(request, len(asked)))]

    meter, answers = asyncio.run(against(reply, tmp_path, times=3))
    assert decoded(meter, answers) == [(None, Quality.TIMEOUT), (2, Quality.GOOD), (3, Quality.GOOD)]


def test_bytes_that_are_no_snmp_are_malformed_and_kept_as_evidence(tmp_path: Path) -> None:
    _, (answer,) = asyncio.run(against(lambda request: [(0.0, request[:20])], tmp_path))
    assert answer.quality == Quality.MALFORMED
    assert answer.raw.startswith("30")


def test_what_does_not_answer_the_request_does_not_end_the_wait_for_what_does(tmp_path: Path) -> None:
    def reply(request: bytes) -> list[tuple[float, bytes]]:
        forged = value_answer(request, 9)
        return [(0.0, b"\x30\x80"), (0.01, forged.replace(b"public", b"secret")), (0.1, value_answer(request, 3))]

    meter, answers = asyncio.run(against(reply, tmp_path))
    assert decoded(meter, answers) == [(3, Quality.GOOD)]


def test_an_answer_from_another_host_or_port_is_not_heard(tmp_path: Path) -> None:
    """The right answer to the right socket, before the device's own, from addresses the request did not go to."""
    senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for sender, host in zip(senders, (HOST, "127.0.0.2"), strict=True):
        sender.bind((host, 0))

    class Spoofed(Scripted):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            for sender in senders:
                sender.sendto(value_answer(data, 9), addr)
            super().datagram_received(data, addr)

    slow: Reply = lambda request: [(0.1, value_answer(request, 3))]  # noqa: E731 - a script like the others
    meter, answers = asyncio.run(against(slow, tmp_path, server=Spoofed))
    for sender in senders:
        sender.close()
    assert decoded(meter, answers) == [(3, Quality.GOOD)]


def test_a_value_without_octets_is_no_zero_and_stays_as_it_came(tmp_path: Path) -> None:
    def reply(request: bytes) -> list[tuple[float, bytes]]:
        answer = value_answer(request, 0)
        shorter = bytearray(answer[:-3] + b"\x42\x00")
        pdu = answer.index(b"\xa2")
        # Behind the PDU's head: request id, whose length varies, then error status and index, three octets each.
        bindings = pdu + 4 + answer[pdu + 3] + 6
        for length in (1, pdu + 1, bindings + 1, bindings + 3):
            shorter[length] -= 1
        return [(0.0, bytes(shorter))]

    meter, answers = asyncio.run(against(reply, tmp_path))
    assert answers[0].raw == "4200"
    assert decoded(meter, answers) == [(None, Quality.MALFORMED)]


def test_a_port_where_nobody_listens_is_no_link_at_once(tmp_path: Path) -> None:
    link, meter = planned(tmp_path, free_port(), "apc-rpdu2", ["power"])
    (answer,) = asyncio.run(read(link.model_copy(update={"timeout_seconds": 30.0}), meter))
    assert (answer.quality, answer.raw) == (Quality.NO_LINK, "")


def test_a_reply_about_another_object_is_malformed(tmp_path: Path) -> None:
    sent: list[bytes] = []

    def reply(request: bytes) -> list[tuple[float, bytes]]:
        answer = bytearray(value_answer(request, 1))
        answer[-5] ^= 1
        sent.append(bytes(answer))
        return [(0.0, bytes(answer))]

    _, (answer,) = asyncio.run(against(reply, tmp_path))
    assert answer.quality == Quality.MALFORMED
    assert bytes.fromhex(answer.raw) in sent


def test_a_device_that_does_not_answer_is_a_timeout(tmp_path: Path) -> None:
    _, (answer,) = asyncio.run(against(lambda _: [], tmp_path))
    assert (answer.quality, answer.raw) == (Quality.TIMEOUT, "")


def test_a_host_name_nobody_knows_is_no_link(tmp_path: Path) -> None:
    link, meter = planned(tmp_path, free_port(), "apc-rpdu2", ["power"])
    (answer,) = asyncio.run(read(link.model_copy(update={"host": "no-such-host.invalid"}), meter))
    assert answer.quality == Quality.NO_LINK
