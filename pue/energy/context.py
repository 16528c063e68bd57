"""How far slots depend on the readings around them, so that a part computed alone equals the whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pue.contract.quality import NO_VALUE
from pue.energy.levels import most_lead_mj
from pue.energy.points import MAX_POLL_MS
from pue.energy.versions import RegisterVersion, usable_counts

CONTEXT_SAMPLES = 16
"""Usable readings of distinct times on each side that can decide what a reading means: a spike is judged by three
neighbours, a refuted limit by eight and theirs."""

_SAFELY = 1.001
"""Floats decide how far to look: a little further than need be, never less."""

_NO_VALUE = int(NO_VALUE)

Reading = tuple[int, int, int, int]
"""t0_ms, t1_ms, count, quality."""


class Surroundings:
    """Walks away from a moment until what lies further cannot matter.

    Leads are buckets that leak the maximum power: a run of plain pairs with spare power for a full bucket leaves it
    empty, whatever was in it. So a part needs the readings up to such a run, and `CONTEXT_SAMPLES` more that decide
    what these mean; and a new reading changes what lies within `CONTEXT_SAMPLES` of it, up to the next such run.

    Parameters
    ----------
    versions
        As for `register_slots`.
    gauge
        Whether the readings are of power: an integral has no leads.
    """

    def __init__(self, versions: Sequence[RegisterVersion], *, gauge: bool) -> None:
        self._gauge = gauge
        self._limits = [_Limits.of(version, gauge=gauge) for version in versions]

    def needed(self, outward: Iterable[Reading]) -> int | None:
        """Time of the farthest reading that slots need, of usable ones one by one outward; None: all of them. [ms]"""
        return self._walk(outward, before=0, after=CONTEXT_SAMPLES)

    def touched(self, outward: Iterable[Reading]) -> int | None:
        """Time of the farthest reading beside which a new reading can change slots; None: beyond all of them. [ms]"""
        return self._walk(outward, before=CONTEXT_SAMPLES, after=0)

    def is_usable(self, reading: Reading) -> bool:
        """Whether a reading enters the curve as far as it can be told alone."""
        t0_ms, t1_ms, count, quality = reading
        limits = self._at(t1_ms)
        if quality & _NO_VALUE or limits is None or t1_ms - t0_ms > MAX_POLL_MS:
            return False
        return limits.lowest <= count <= limits.highest

    def version(self, time_ms: int) -> RegisterVersion | None:
        """The version valid at a time."""
        limits = self._at(time_ms)
        return limits.version if limits else None

    def _at(self, time_ms: int) -> _Limits | None:
        for limits in self._limits:
            to_ms = limits.version.to_ms
            if limits.version.from_ms <= time_ms and (to_ms is None or time_ms < to_ms):
                return limits
        return None

    def _walk(self, outward: Iterable[Reading], before: int, after: int) -> int | None:
        spare = _Spare()
        enough_at = 0
        nearer: Reading | None = None
        for found, reading in enumerate(outward, 1):
            if not enough_at and found > before:
                limits = self._at(reading[1])
                same = nearer is not None and limits is not None and limits is self._at(nearer[1])
                spare.add(limits.room_mj(reading, nearer) if same and limits and nearer else None)
                if self._gauge or (limits is not None and spare.inner_mj >= limits.bucket_mj):
                    enough_at = found
            if enough_at and found >= enough_at + after:
                return reading[1]
            nearer = reading
        return None


@dataclass(slots=True)
class _Spare:
    """Spare power of a run of plain pairs, without the first and the last pair: their ends may yet be spikes. [mJ]"""

    inner_mj: float = 0.0
    last_mj: float | None = None
    is_second: bool = False

    def add(self, room_mj: float | None) -> None:
        """One pair more; None ends the run."""
        if room_mj is None:
            self.inner_mj = 0.0
        elif self.last_mj is not None and not self.is_second:
            self.inner_mj += self.last_mj
        self.is_second = room_mj is not None and self.last_mj is None
        self.last_mj = room_mj


@dataclass(frozen=True, slots=True)
class _Limits:
    """A version's numbers as the walk needs them."""

    version: RegisterVersion
    lowest: int
    highest: int
    step_mj: float
    rounding_mj: float
    bucket_mj: float

    @classmethod
    def of(cls, version: RegisterVersion, *, gauge: bool) -> _Limits:
        lowest, highest = usable_counts(version, gauge=gauge)
        bucket_mj = most_lead_mj(version.max_power_w, version.hidden_j) * _SAFELY
        return cls(version, lowest, highest, float(version.step_j) * 1000, version.rounding_j * 1000.0, bucket_mj)

    def room_mj(self, one: Reading, other: Reading) -> float | None:
        """What the maximum power leaves of the rise between two neighbours; None if they are no plain pair. [mJ]"""
        earlier, later = (one, other) if one[1] < other[1] else (other, one)
        rise = later[2] - earlier[2]
        time_ms = min(later[1] - earlier[1], min(later[:2]) - min(earlier[:2]))
        room_mj = self.version.max_power_w * time_ms - rise * self.step_mj - self.rounding_mj
        return room_mj if rise >= 0 and room_mj >= 0 else None
