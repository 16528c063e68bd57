"""Simulated meters on real sockets, read with nothing but `socket` and `struct`, against bytes worked out by hand."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from simulators.meters import VirtualMeter
from simulators.scenario import Simulation, read_simulation, sites
from simulators.serve import now_ms
from simulators.state import Store, choose_ports, prepare, write_files

pytestmark = pytest.mark.integration

PUE_SIM = str(Path(sys.executable).parent / "pue-sim")
PUE_AGENT = str(Path(sys.executable).parent / "pue-agent")
ILLEGAL_ADDRESS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory as the demo writes it."""
    state = tmp_path_factory.mktemp("meters")
    world = sites(11, now_ms())
    prepare(state)
    write_files(state, world, choose_ports(0, world), Store(), 11)
    return state


@pytest.fixture(scope="module")
def simulation(folder: Path) -> Iterator[Simulation]:
    """All meters served by the real command."""
    with subprocess.Popen([PUE_SIM, "meters", "--dir", str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "simulated meters are ready"
        yield read_simulation(folder)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def modbus(port: int, unit: int, function: int, address: int, words: int) -> bytes | None:
    """One request on a fresh connection; the reply after its unit id, or None without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
        link.sendall(struct.pack(">HHHBBHH", 77, 0, 6, unit, function, address, words))
        link.settimeout(0.5)
        try:
            reply = link.recv(300)
        except TimeoutError:
            return None
    transaction, protocol, length, answering = struct.unpack(">HHHB", reply[:7])
    assert (transaction, protocol, answering, length) == (77, 0, unit, len(reply) - 6)
    return reply[7:]


def true_counts(simulation: Simulation, facility: str, feed: str, count_j: Fraction, initial: int) -> int:
    """What a perfect register would show now."""
    site = next(site for site in simulation.sites if site.spec.id == facility)
    now_ms = time.time_ns() // 1_000_000
    return initial + int(site.plant.window_j(feed, site.plant.start_ms, now_ms) / count_j)


def initial_of(simulation: Simulation, facility: str, meter: str) -> int:
    site = next(site for site in simulation.sites if site.spec.id == facility)
    return next(each.initial_count for each in site.meters if each.spec.id == meter)


def test_pm5xxx_energy_is_a_big_endian_int64_of_primary_watt_hours(simulation: Simulation) -> None:
    reply = modbus(simulation.ports["km01"]["bus1"], 1, 3, 3203, 4)
    assert reply is not None
    assert reply[:2] == bytes((3, 8))
    (shown,) = struct.unpack(">q", reply[2:])
    initial = initial_of(simulation, "km01", "main-a")
    perfect = true_counts(simulation, "km01", "main-a", Fraction(3600), initial)
    assert shown - initial == pytest.approx(perfect - initial, rel=0.006)


def test_pm5xxx_power_is_a_float_of_kilowatts(simulation: Simulation) -> None:
    reply = modbus(simulation.ports["qj01"]["bus1"], 2, 3, 3059, 2)
    assert reply is not None
    (kilowatts,) = struct.unpack(">f", reply[2:])
    assert 0.5 < kilowatts / 900 < 1.5


def test_b23_energy_is_an_unsigned_64_bit_count_of_10_watt_hours(simulation: Simulation) -> None:
    reply = modbus(simulation.ports["km01"]["bus2"], 11, 3, 0x5000, 4)
    assert reply is not None
    (shown,) = struct.unpack(">Q", reply[2:])
    initial = initial_of(simulation, "km01", "ups-a")
    perfect = true_counts(simulation, "km01", "it-a", Fraction(36_000), initial)
    assert shown - initial == pytest.approx(perfect - initial, rel=0.002)


def test_sdm630_answers_input_registers_only(simulation: Simulation) -> None:
    port = simulation.ports["km01"]["bus2"]
    reply = modbus(port, 21, 4, 0x48, 2)
    assert reply is not None
    (kilowatt_hours,) = struct.unpack(">f", reply[2:])
    assert 200_000 < kilowatt_hours < 1_500_000
    assert modbus(port, 21, 3, 0x48, 2) == bytes((0x83, ILLEGAL_ADDRESS))


def test_addresses_beside_a_value_are_illegal(simulation: Simulation) -> None:
    port = simulation.ports["km01"]["bus1"]
    assert modbus(port, 1, 3, 3200, 4) == bytes((0x83, ILLEGAL_ADDRESS))
    assert modbus(port, 1, 4, 3203, 4) == bytes((0x84, ILLEGAL_ADDRESS))


def test_a_unit_that_is_not_there_does_not_answer_and_the_others_go_on(simulation: Simulation) -> None:
    port = simulation.ports["km01"]["bus1"]
    assert modbus(port, 99, 3, 3203, 4) is None
    assert modbus(port, 2, 3, 3203, 4) is not None


def test_meters_cannot_be_written(simulation: Simulation) -> None:
    port = simulation.ports["km01"]["bus1"]
    before = modbus(port, 1, 3, 3203, 4)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
        link.sendall(struct.pack(">HHHBBHH", 1, 0, 6, 1, 6, 3203, 0xFFFF))
        assert link.recv(300)[7:] == bytes((0x86, ILLEGAL_ADDRESS))
    after = modbus(port, 1, 3, 3203, 4)
    assert before is not None
    assert after is not None
    assert 0 <= int.from_bytes(after[2:], "big") - int.from_bytes(before[2:], "big") < 10


def test_energy_runs_on_between_two_requests(simulation: Simulation) -> None:
    port = simulation.ports["km01"]["bus2"]
    first = modbus(port, 11, 3, 0x5000, 4)
    deadline_s = time.monotonic() + 5
    while modbus(port, 11, 3, 0x5000, 4) == first and time.monotonic() < deadline_s:
        pass
    assert modbus(port, 11, 3, 0x5000, 4) != first


# SNMP messages below are written out octet by octet: version 2c, community "public", request id 1.
HEADER = "020101 04067075626c6963"
APC_ENERGY = "060f 2b06010401823e01011a0403010901"
RARITAN_ENERGY = "0610 2b06010401eb2e060502030104010108"
EATON_WATTS = "0610 2b060104018416060607030501040001"


def message(pdu_tag: str, binding: str) -> bytes:
    """A request for one object, its lengths filled in."""
    oid = bytes.fromhex(binding.replace(" ", ""))
    oid = bytes((6, len(oid) - 2)) + oid[2:]
    varbind = bytes((0x30, len(oid) + 2)) + oid + b"\x05\x00"
    varbinds = bytes((0x30, len(varbind))) + varbind
    pdu = bytes.fromhex("020101 020100 020100".replace(" ", "")) + varbinds
    body = bytes.fromhex(HEADER.replace(" ", "")) + bytes.fromhex(pdu_tag) + bytes((len(pdu),)) + pdu
    return bytes((0x30, len(body))) + body


def ask(port: int, request: bytes) -> bytes | None:
    with socket.socket(type=socket.SOCK_DGRAM) as link:
        link.settimeout(0.5)
        link.sendto(request, ("127.0.0.1", port))
        try:
            return link.recv(2000)
        except TimeoutError:
            return None


def value_of(reply: bytes, oid: str) -> tuple[int, int]:
    """Tag and integer that follow an object's name in a reply."""
    name = bytes.fromhex(oid.replace(" ", ""))[2:]
    at = reply.index(name) + len(name)
    tag, size = reply[at], reply[at + 1]
    return tag, int.from_bytes(reply[at + 2 : at + 2 + size], "big", signed=True)


def test_apc_energy_is_an_integer_of_100_watt_hours(simulation: Simulation) -> None:
    reply = ask(simulation.ports["hh01"]["pdu-b1"], message("a0", APC_ENERGY))
    assert reply is not None
    tag, shown = value_of(reply, APC_ENERGY)
    initial = initial_of(simulation, "hh01", "pdu-b1")
    perfect = true_counts(simulation, "hh01", "it-b1", Fraction(360_000), initial)
    assert tag == 0x02
    assert shown - initial == pytest.approx(perfect - initial, rel=0.01)


def test_raritan_energy_is_a_gauge_of_watt_hours(simulation: Simulation) -> None:
    reply = ask(simulation.ports["qj01"]["pdu-a1"], message("a0", RARITAN_ENERGY))
    assert reply is not None
    tag, shown = value_of(reply, RARITAN_ENERGY)
    initial = initial_of(simulation, "qj01", "pdu-a1")
    perfect = true_counts(simulation, "qj01", "it-a1", Fraction(3600), initial)
    assert tag == 0x42
    assert shown - initial == pytest.approx((perfect - initial) % 2**32, rel=0.01)


def test_eaton_power_is_an_integer_of_watts(simulation: Simulation) -> None:
    reply = ask(simulation.ports["hh01"]["pdu-a1"], message("a0", EATON_WATTS))
    assert reply is not None
    tag, watts = value_of(reply, EATON_WATTS)
    assert tag == 0x02
    assert 150_000 < watts < 320_000


def test_get_next_walks_to_the_following_object(simulation: Simulation) -> None:
    start = "0601 2b"
    reply = ask(simulation.ports["hh01"]["pdu-a1"], message("a1", start))
    assert reply is not None
    assert b"Eaton ePDU G3 (simulated)" in reply


def test_a_wrong_community_and_garbage_get_no_answer(simulation: Simulation) -> None:
    port = simulation.ports["hh01"]["pdu-a1"]
    assert ask(port, message("a0", EATON_WATTS).replace(b"public", b"secret")) is None
    assert ask(port, b"\x30\x82\xff") is None
    assert ask(port, message("a0", EATON_WATTS)) is not None


def test_a_dead_meter_gives_no_answer(simulation: Simulation) -> None:
    assert ask(simulation.ports["hh01"]["pdu-b2"], message("a0", APC_ENERGY)) is None


@pytest.mark.parametrize(
    ("facility", "meter"),
    [
        ("km01", "main-a"),
        ("km01", "ups-b"),
        ("km01", "office"),
        ("qj01", "pdu-b1"),
        ("hh01", "pdu-a2"),
        ("hh01", "pdu-b1"),
    ],
)
def test_the_agents_profile_reads_what_the_meter_shows(
    simulation: Simulation, folder: Path, facility: str, meter: str
) -> None:
    """One meter of each of the six models, through the real agent: raw bytes and the value decoded from them."""
    command = [PUE_AGENT, "read", "--config", f"agents/{facility}.toml", meter]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    energy = next(line.split() for line in done.stdout.splitlines() if line.startswith("energy_import"))
    spec = next(each.spec for each in simulated(simulation, facility) if each.spec.id == meter)
    display = spec.model.energy
    count = round(Fraction(energy[1]) * 10**-display.exponent)
    assert energy[2] == display.unit
    assert energy[energy.index("raw") + 1] == spec.model.raw(count).hex()


def simulated(simulation: Simulation, facility: str) -> tuple[VirtualMeter, ...]:
    return next(site.meters for site in simulation.sites if site.spec.id == facility)
