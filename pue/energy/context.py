"""How far slots depend on the readings around them, so that a part computed alone equals the whole.

Two things tie a slot to readings far from it. Whether a reading is believed is decided by its neighbours: at most
`CONTEXT_SAMPLES` of them. And the maximum power carries a bound from reading to reading: by a lead, which is a bucket
that leaks the maximum power (METHOD.md, "Edge bounds"). Whatever a bucket held, a run of plain pairs whose spare power
could drain a full one leaves it empty. So from any moment outward

    needed by slots:     |.... pairs that drain a bucket ....|.... CONTEXT_SAMPLES that decide what those are ....|
    touched by a change: |.... CONTEXT_SAMPLES that it decides about ....|.... pairs that drain a bucket ....|

and nothing beyond matters. Both are looked for reading by reading, for how long a drain takes depends on the load.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pue.contract.quality import NO_VALUE
from pue.energy.levels import most_lead_mj
from pue.energy.points import MAX_POLL_MS
from pue.energy.versions import FLOAT32_BITS, RegisterVersion, most_counts, usable_counts

CONTEXT_SAMPLES = 16
"""Usable readings of distinct times on each side that can decide what a reading means: a spike is judged by three
neighbours, a refuted limit by eight and theirs."""

_SAFELY = 1.001
"""Floats decide how far to look: a little further than need be, never less."""

_NO_VALUE = int(NO_VALUE)

Neighbour = tuple[int, int, int, int]
"""t0_ms, t1_ms, count, quality of a reading."""


class Surroundings:
    """Walks away from a moment until what lies further cannot matter.

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

    def needed(self, outward: Iterable[Neighbour]) -> int | None:
        """Time of the farthest reading that slots need, of usable ones one by one outward; None: all of them. [ms]"""
        return self._walk(outward, before=0, after=CONTEXT_SAMPLES)

    def touched(self, outward: Iterable[Neighbour]) -> int | None:
        """Time of the farthest reading beside which a new reading can change slots; None: beyond all of them. [ms]"""
        return self._walk(outward, before=CONTEXT_SAMPLES, after=0)

    def is_usable(self, reading: Neighbour) -> bool:
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

    def _walk(self, outward: Iterable[Neighbour], before: int, after: int) -> int | None:
        """Pass some readings, then a run that drains a bucket, then some more; the time of the last of them. [ms]"""
        # `needed` drains first and then passes `CONTEXT_SAMPLES` more, `touched` the other way round: see the figure
        # above.
        run = _Run()
        drained_at: int | None = None
        nearer: Neighbour | None = None
        for found, reading in enumerate(outward, 1):
            if drained_at is None and found > before:
                limits = self._at(reading[1])
                is_pair = nearer is not None and limits is self._at(nearer[1])
                run.add(limits.room_mj(nearer, reading) if limits and nearer and is_pair else None)
                # A gauge has no bucket: what has passed before is enough.
                if self._gauge or (limits and run.drained_mj >= limits.bucket_mj):
                    drained_at = found
            if drained_at is not None and found >= drained_at + after:
                return reading[1]
            # Kept also while only passing: the first pair of the run reaches back to the last reading passed.
            nearer = reading
        return None


def is_calm(newest: Sequence[Neighbour], version: RegisterVersion) -> bool:
    """Whether of readings of a register, the latest first, each is possible after the one before it.

    Possible is what `pue.energy.relations` takes for a plain rise or a rollover: no spike, no refuted limit is near, so
    that one more plain reading decides nothing about these.
    """
    t0_ms, t1_ms, count, _ = np.array(newest[::-1], np.int64).T
    rise = np.diff(count)
    if version.modulus is not None:
        # A rollover is possible, too, as in `relations`; without modulus a fall stays below 0 and is not.
        rise[rise < 0] += version.modulus
    resolution = 1 + (np.maximum(count[1:], count[:-1]) >> FLOAT32_BITS)
    most = most_counts(version, t1_ms[1:] - np.minimum(t0_ms, t1_ms)[:-1]) + resolution
    return bool(((rise >= 0) & (rise <= most)).all())


@dataclass(slots=True)
class _Run:
    """Plain pairs one by one outward, and what they drain.

    The first and the last pair drain nothing: their outer readings may yet be put aside as spikes.
    """

    drained_mj: float = 0.0
    _pairs: int = 0
    _last_mj: float = 0.0

    def add(self, room_mj: float | None) -> None:
        """Go on by a pair with some spare power, or end the run. [mJ]"""
        if room_mj is None:
            self.drained_mj = 0.0
            self._pairs = 0
            return
        if self._pairs >= 2:  # the last pair so far is neither the first nor any longer the last
            self.drained_mj += self._last_mj
        self._pairs += 1
        self._last_mj = room_mj


@dataclass(frozen=True, slots=True)
class _Limits:
    """A version's numbers as the walk needs them: lowest and highest count, a full bucket."""

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

    def room_mj(self, one: Neighbour, other: Neighbour) -> float | None:
        """What the maximum power leaves of the rise between two neighbours; None if they are no plain pair. [mJ]"""
        # The walk goes either way in time.
        earlier, later = (one, other) if one[1] < other[1] else (other, one)
        rise = later[2] - earlier[2]
        # Both leads are drained: one counts from request to request, the other from reply to reply.
        time_ms = min(later[1] - earlier[1], min(later[:2]) - min(earlier[:2]))
        room_mj = self.version.max_power_w * time_ms - rise * self.step_mj - self.rounding_mj
        return room_mj if rise >= 0 and room_mj >= 0 else None
