"""What a reading costs on the way: bytes of the messages that an agent's own code makes of one poll cycle."""

from __future__ import annotations

import struct
from random import Random

from agent.chain import Head, Sealer
from agent.clock import SystemClock
from agent.poll import Reading, readings_bodies
from pue.contract.quality import Quality
from pue.contract.signing import Signer
from tests.bench.rows import Row, row

BASE_MS = 1_750_000_000_000
METERS_A_LINK = 25
GAUGES = (230.0, 230.0, 230.0, 400.0, 400.0, 400.0, 150.0, 150.0, 150.0, 34.5, 34.5, 103.5, 50.0)
"""Voltages, currents, power and frequency as float32; before them come two 64-bit registers of energy."""


def rows() -> list[Row]:
    """All figures of this part."""
    return [
        row("wire: bytes a reading, 500 meters x 15", _bytes(500, 15), "bytes", "<= 12"),
        row("wire: bytes a reading, 10 meters x 3", _bytes(10, 3), "bytes", "<= 40"),
    ]


def _bytes(meters: int, points: int) -> float:
    readings = _cycle(meters, points, Random(7))
    sealer = Sealer("km01", "km01-a1", "0123456789abcdef", Signer.generate(), SystemClock())
    head = Head("0196e2c0a8000badcafe", None, seq=123_456, config="ab" * 32)
    size = 0
    for body in readings_bodies(readings):
        signed, head = sealer.seal(head, body)
        size += len(signed.payload())
    return size / len(readings)


def _cycle(meters: int, points: int, choice: Random) -> list[Reading]:
    """All links at once, the meters of each one after the other, every value another: two requests a meter."""
    readings: list[Reading] = []
    for meter in range(meters):
        if meter % METERS_A_LINK == 0:
            t0_ms = BASE_MS + choice.randrange(20)
        for first in range(0, points, 8):
            dt_ms = choice.randint(8, 60)
            for place in range(first, min(first + 8, points)):
                raw, count = _value(place, choice)
                readings.append(Reading(meter * points + place, t0_ms, dt_ms, raw, count, Quality.GOOD))
            t0_ms += dt_ms
    return readings


def _value(place: int, choice: Random) -> tuple[str, int]:
    if place < 2:
        count = choice.randrange(10**6, 10**9)
        return f"{count:016x}", count
    words = struct.pack(">f", GAUGES[place - 2] * choice.uniform(0.95, 1.05))
    return words.hex(), round(struct.unpack(">f", words)[0] * 1000)
