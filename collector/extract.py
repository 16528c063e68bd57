"""Kept batches as columns of readings per series."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from collector.configs import KeptConfig
from collector.topology import Enrolled
from pue.contract.configuration import PointSetup
from pue.contract.quality import Quality
from pue.contract.series import MAX_ENERGY_J, SeriesKey
from pue.contract.topology import MeterVersion
from pue.contract.wire import DataBatch, ManualReading, WitnessReading
from pue.energy.index import Bools
from pue.energy.slots import Int64

EARLIEST_MS = 946_684_800_000
"""2000-01-01: what claims to be read before comes from a clock that was never set. [ms UTC]"""
ENDLESS_MS = 1 << 62
T1, T0, COUNT, QUALITY, RECORD = range(5)
"""Rows of the columns of readings, as the series store keeps them."""


def batch_columns(batch: DataBatch, record: int) -> Int64:
    """Readings of one batch, shape (5, N)."""
    body = batch.body
    columns = np.empty((5, len(body.quality)), np.int64)
    columns[T0] = np.cumsum(np.array(body.t0_step, np.int64)) + body.base_ms
    columns[T1] = body.dt
    columns[T1] += columns[T0]
    columns[COUNT] = [count or 0 for count in body.count]
    columns[QUALITY] = body.quality
    columns[RECORD] = record
    return columns


def typed_column(event: ManualReading | WitnessReading, record: int) -> Int64:
    """A reading entered by a person."""
    return np.array([[event.at_ms], [event.at_ms], [event.count], [int(Quality.OUT_OF_BAND)], [record]], np.int64)


class Points:
    """A configuration's points as series, with the scale from the agent's counts to the topology's.

    Parameters
    ----------
    config
        What the agent said.
    enrolled
        What the topology says.
    """

    def __init__(self, config: KeptConfig, enrolled: Enrolled) -> None:
        self.config = config
        self.version = enrolled.version
        points = config.setup.points
        self.keys = [SeriesKey(config.site, point.meter, point.quantity) for point in points]
        steps = [list(_steps(point, config.site, enrolled)) for point in points]
        spans = [given_ms(enrolled, config.site, point.meter, config.agent) for point in points]
        # Mostly all points have the same single one: per span, which points have it. (points,)
        self._spans = [
            (from_ms, to_ms, np.array([(from_ms, to_ms) in mine for mine in spans]))
            for from_ms, to_ms in dict.fromkeys(span for mine in spans for span in mine)
        ]
        self._odd = {index: rows for index, rows in enumerate(steps) if any(factor != 1 for _, factor in rows)}

    def mismatches(self) -> Iterator[tuple[SeriesKey, str]]:
        """Points the agent reads in another step than the topology states, in words."""
        for index, rows in self._odd.items():
            point = self.config.setup.points[index]
            yield (
                self.keys[index],
                f"{self.keys[index]}: one count of the agent ({point.scale} {point.unit}) is "
                f"{'/'.join(str(factor) for _, factor in rows)} counts of the register in topology version "
                f"{self.version}; correct one of them",
            )

    def given(self, point: Int64, time_ms: Int64) -> Bools:
        """Which readings are of meters that the registry gives this agent at their time. (N,), (N,) -> (N,)"""
        given = np.zeros(len(point), np.bool_)
        for from_ms, to_ms, has_span in self._spans:
            given |= has_span[point] & (time_ms >= from_ms) & (time_ms < to_ms)
        return given

    def rescale(self, point: Int64, columns: Int64) -> None:
        """Turn counts of mismatched points into counts of the topology's register, downward, in place."""
        for index, rows in self._odd.items():
            for place in np.flatnonzero(point == index).tolist():
                _rescale(columns[:, place], rows)


def given_ms(enrolled: Enrolled, site: str, meter: str, agent: str) -> tuple[tuple[int, int], ...]:
    """Times in which the registry gives a meter to an agent, half-open, ascending and apart. [ms UTC]"""
    found = enrolled.meters.get((site, meter))
    spans: list[tuple[int, int]] = []
    for version in found.versions if found else ():
        if version.agent in (None, agent):
            to_ms = ENDLESS_MS if version.to_ms is None else version.to_ms
            if spans and spans[-1][1] == version.from_ms:
                spans[-1] = (spans[-1][0], to_ms)
            else:
                spans.append((version.from_ms, to_ms))
    return tuple(spans)


def _steps(point: PointSetup, site: str, enrolled: Enrolled) -> Iterator[tuple[MeterVersion, Fraction]]:
    """Per meter version with such a register: how many of its counts one count of the agent is."""
    meter = enrolled.meters.get((site, point.meter))
    for version in meter.versions if meter else ():
        for register in version.registers:
            if register.quantity == point.quantity:
                yield version, point.step / register.step


def _rescale(column: Int64, rows: list[tuple[MeterVersion, Fraction]]) -> None:
    time_ms = int(column[T1])
    for version, factor in rows:
        if version.from_ms <= time_ms and (version.to_ms is None or time_ms < version.to_ms):
            count = int(column[COUNT]) * factor.numerator // factor.denominator
            fits = factor != 0 and abs(count) < MAX_ENERGY_J
            column[COUNT] = count if fits else 0
            column[QUALITY] |= 0 if fits else int(Quality.RANGE)
