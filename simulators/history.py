"""A facility's past as an agent would have recorded it: signed batches of a day, ending with a hand-over."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pue.contract import wire
from pue.contract.configuration import ConfigInParts
from pue.contract.quality import Quality
from pue.contract.series import SLOT_MS
from pue.contract.signing import Signer
from simulators.layouts import ModbusPlace
from simulators.meters import VirtualMeter
from simulators.plant import DAY_MS
from simulators.profiles import profile_texts
from simulators.scenario import Site

Int64 = npt.NDArray[np.int64]
Cell = TypeVar("Cell")
QUANTITY = "energy_import"
ANSWER_MS = 9
TIMEOUT_MS = 1_000
SENT_AFTER_MS = 1_500
SOFTWARE = "pue-sim history"


@dataclass(frozen=True, slots=True)
class Columns:
    """All readings of a history, cycle by cycle, as flat columns."""

    point: list[int]
    t0_ms: list[int]
    dt_ms: list[int]
    raw: list[str]
    count: list[int | None]
    quality: list[int]


class Chain:
    """Seals batch after batch into one epoch's chain."""

    def __init__(self, site: Site, signer: Signer) -> None:
        self._site = site
        self._signer = signer
        self._seq = wire.FIRST_SEQ
        self._prev = wire.ZERO_HASH
        self._boot_ms = site.plant.start_ms

    def seal(
        self,
        kind: type[wire.DataBatch | wire.ConfigBatch | wire.EventBatch],
        body: object,
        sent_ms: int,
        config: str | None,
    ) -> wire.SignedLine:
        """Sign one more batch.

        Raises
        ------
        Reject
            `too_large`.
        """
        batch = kind(
            site=self._site.spec.id,
            agent=self._site.spec.agent_id,
            key=self._signer.key_id,
            epoch=self._site.history_epoch,
            prev_epoch=None,
            boot=f"{self._boot_ms:016x}",
            seq=self._seq,
            prev=self._prev,
            config=config,
            sent_ms=sent_ms,
            mono_ns=(sent_ms - self._boot_ms) * 1_000_000,
            body=body,  # type: ignore[arg-type]  # `kind` decides which body fits
        )
        signed = wire.seal(batch, self._signer)
        self._seq = self._seq + 1
        self._prev = signed.sha256
        return signed


def batches(site: Site, signer: Signer) -> Iterator[wire.SignedLine]:
    """Yield the whole history of one facility: configuration, days, hand-over."""
    chain = Chain(site, signer)
    config = config_of(site)
    for part in (*config.parts.values(), config.manifest):
        yield chain.seal(wire.ConfigBatch, part, site.plant.start_ms, None)
    times_ms = cycle_times(site)
    columns = _columns(site, times_ms)
    for first, last in _days(times_ms):
        body = _readings(columns, first * len(site.meters), last * len(site.meters))
        yield chain.seal(wire.DataBatch, body, int(times_ms[last - 1]) + SENT_AFTER_MS, config.digest)
    handover = wire.Handover(next_epoch=site.live_epoch, reason="simulated history ends, live readings go on")
    yield chain.seal(wire.EventBatch, handover, site.until_ms, config.digest)


def write_history(site: Site, signer: Signer, path: Path) -> int:
    """Write a facility's history as a batch file; return its number of readings."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.writelines(wire.write_lines(batches(site, signer)))
    return len(cycle_times(site)) * len(site.meters)


def approved_config(site: Site) -> str:
    """Digest of the configuration the history was recorded with, for the registry to approve."""
    return config_of(site).digest


def config_of(site: Site) -> ConfigInParts:
    """Return the configuration the history was recorded with: one point per meter, its energy."""
    link = wire.LinkPart(link="history", meters=[_link_meter(meter) for meter in site.meters])
    profiles = profile_texts({meter.spec.profile for meter in site.meters})
    return ConfigInParts.of(site.spec.id, site.spec.agent_id, SOFTWARE, profiles, [link])


def cycle_times(site: Site) -> Int64:
    """When the agent polled: every 15 minutes, late by up to 0.4 s, once more at the end, not while it was off."""
    end_ms = site.until_ms - ANSWER_MS * len(site.meters) - SENT_AFTER_MS
    marks = np.arange(site.plant.start_ms + SLOT_MS, end_ms, SLOT_MS, dtype=np.int64)
    jitter_ms = (marks // SLOT_MS * 2_654_435_761 + site.plant.seed % 9973) % 401
    times_ms = np.append(marks + jitter_ms, end_ms)
    times_ms = times_ms[times_ms <= end_ms]
    for begin, end in site.spec.agent_off_ms:
        off = (times_ms >= site.until_ms + begin) & (times_ms < site.until_ms + end)
        times_ms = times_ms[~off]
    return np.unique(times_ms)


def _link_meter(meter: VirtualMeter) -> wire.LinkMeter:
    spec = meter.spec
    display = spec.model.energy
    return wire.LinkMeter(
        meter=spec.id,
        profile=spec.profile,
        address=f"{spec.link} unit {spec.unit_id}" if isinstance(spec.model.energy_at, ModbusPlace) else spec.link,
        serial=meter.serial,
        firmware="",
        ct=spec.ct,
        pt=spec.pt,
        side="",
        points=[
            wire.LinkPoint(
                quantity=QUANTITY,
                unit=display.unit,
                scale=str(Fraction(10) ** display.exponent),
                period_ms=SLOT_MS,
                registers=[],
                has_source_time=False,
            )
        ],
    )


def _columns(site: Site, times_ms: Int64) -> Columns:
    """One cycle reads the meters in turn, a few milliseconds each; a silent one costs its timeout in its own link."""
    cycles = len(times_ms)
    width = len(site.meters)
    t0_ms = times_ms[:, None] + ANSWER_MS * np.arange(width)
    dt_ms = 3 + t0_ms % (ANSWER_MS - 3)
    raw: list[list[str]] = []
    count: list[list[int | None]] = []
    silent = np.empty((cycles, width), np.bool_)
    for index, meter in enumerate(site.meters):
        read_ms = t0_ms[:, index] + dt_ms[:, index] // 2
        silent[:, index] = meter.is_silent(t0_ms[:, index])
        hexes, counts = _answers(meter, read_ms, silent[:, index])
        raw.append(hexes)
        count.append(counts)
    dt_ms[silent] = TIMEOUT_MS
    return Columns(
        point=list(range(width)) * cycles,
        t0_ms=t0_ms.ravel().tolist(),
        dt_ms=dt_ms.ravel().tolist(),
        raw=_interleave(raw),
        count=_interleave(count),
        quality=(silent.ravel() * int(Quality.TIMEOUT)).tolist(),
    )


def _answers(meter: VirtualMeter, read_ms: Int64, silent: npt.NDArray[np.bool_]) -> tuple[list[str], list[int | None]]:
    counts = meter.energy_counts(read_ms).tolist()
    raw = meter.spec.model.raw
    if not silent.any():
        return [raw(count).hex() for count in counts], counts
    answers = [
        ("", None) if is_silent else (raw(count).hex(), count) for count, is_silent in zip(counts, silent, strict=True)
    ]
    return [text for text, _ in answers], [count for _, count in answers]


def _interleave(columns: list[list[Cell]]) -> list[Cell]:
    return [cell for row in zip(*columns, strict=True) for cell in row]


def _days(times_ms: Int64) -> Iterator[tuple[int, int]]:
    """Yield index ranges of the cycles of each UTC day."""
    starts = np.flatnonzero(np.diff(times_ms // DAY_MS)) + 1
    edges = [0, *starts.tolist(), len(times_ms)]
    yield from pairwise(edges)


def _readings(columns: Columns, first: int, last: int) -> wire.Readings:
    part = slice(first, last)
    base_ms = columns.t0_ms[first]
    return wire.Readings.of(
        base_ms,
        point=columns.point[part],
        t0=[time_ms - base_ms for time_ms in columns.t0_ms[part]],
        dt=columns.dt_ms[part],
        raw=columns.raw[part],
        count=columns.count[part],
        quality=columns.quality[part],
    )
