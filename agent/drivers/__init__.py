"""What a driver is: something that asks a meter and brings back raw answers, never exceptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agent.plan import PlannedMeter
from pue.contract.quality import Quality

MAX_RAW_BYTES = 512
"""Evidence longer than this is cut: the wire contract's limit."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request brought for one point.

    Attributes
    ----------
    point
        Index in the config's point list.
    t0_ms
        When the request was sent. [ms UTC]
    dt_ms
        How long the reply took, by the monotonic clock. [ms]
    raw
        Words or BER, or the evidence of what was wrong, in hexadecimal.
    quality
        `GOOD` when raw is to be decoded, or why there is nothing to decode.
    """

    point: int
    t0_ms: int
    dt_ms: int
    raw: str
    quality: Quality


class Link(Protocol):
    """One gateway or device."""

    async def read(self, meter: PlannedMeter) -> list[Answer]:
        """Ask for every point of a meter; trouble comes back as quality."""
        ...

    async def close(self) -> None:
        """Let go of the network."""
        ...


def failed(meter: PlannedMeter, at_ms: int, quality: Quality) -> list[Answer]:
    """Readings of a meter that was not asked, with the reason."""
    return [Answer(point.index, at_ms, 0, "", quality) for point in meter.points]


def evidence(data: bytes) -> str:
    """Raw bytes in hexadecimal, cut to what the wire carries."""
    return data[:MAX_RAW_BYTES].hex()
