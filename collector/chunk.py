"""Readings of many batches, gathered and sorted per series."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from collector.configs import AnyConfigBatch
from collector.extract import COUNT, EARLIEST_MS, QUALITY, RECORD, T1, Points, batch_columns, given_ms, typed_column
from collector.incidents import Incident, IncidentKind
from collector.store import has_value
from collector.topology import Enrolled
from pue.contract.series import SeriesKey
from pue.contract.wire import Batch, DataBatch, EventBatch, ManualReading, WitnessReading
from pue.energy.slots import Int64

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Piece:
    """New readings of one series.

    Attributes
    ----------
    winners
        Columns of a store, times ascending and distinct.
    losers
        Readings that differ from the winner at their time.
    arrived, valued
        Times in the order of the originals, and which of them have a value.
    """

    winners: Int64
    losers: Int64
    arrived: Int64
    valued: Bools


@dataclass(slots=True)
class Chunk:
    """What a run of ledger records holds."""

    shard: str
    readings: int = 0
    lost: list[tuple[str, int, int]] = field(default_factory=list)
    back: list[int] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    waiting: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    configs: dict[str, AnyConfigBatch] = field(default_factory=dict)
    arrived: list[str] = field(default_factory=list)
    outages: list[tuple[str, str, int, int]] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    _numbers: dict[SeriesKey, int] = field(default_factory=dict)
    _tables: dict[int, Int64] = field(default_factory=dict)
    _parts: list[tuple[Int64, Int64]] = field(default_factory=list)

    def add_batch(self, record: int, batch: DataBatch, points: Points) -> None:
        """Readings of a data batch; those of points it has not are reported and left out."""
        columns = batch_columns(batch, record)
        point = np.cumsum(np.array(batch.body.point_step, np.int64))
        inside = point < len(points.keys)
        if not inside.all():
            words = f"batch {batch.agent}/{batch.epoch}/{batch.seq} refers to points its configuration has not"
            self.report(IncidentKind.BAD_POINT, batch, words, words)
            columns = columns[:, inside]
            point = point[inside]
        given = points.given(point, columns[T1])
        if not given.all():
            for meter in sorted({points.keys[index].meter for index in point[~given].tolist()}):
                self._leave(record, batch, meter)
            columns = columns[:, given]
            point = point[given]
        points.rescale(point, columns)
        self._add(batch, self._numbers_of(points)[point], columns)

    def _leave(self, record: int, batch: Batch, meter: str) -> None:
        """A meter that the registry does not give this agent: its readings wait until it does."""
        self.waiting.setdefault(meter_name(batch.site, meter), []).append((self.shard, record))
        words = f"meter {meter} of {batch.site} is not registered as read by {batch.agent} at the time: kept, not used"
        self.report(IncidentKind.UNGIVEN_METER, batch, f"{batch.agent}/{meter}", words)

    def add_typed(
        self, record: int, batch: EventBatch, event: ManualReading | WitnessReading, enrolled: Enrolled
    ) -> None:
        """A reading entered by a person."""
        spans = given_ms(enrolled, batch.site, event.meter, batch.agent)
        if not any(from_ms <= event.at_ms < to_ms for from_ms, to_ms in spans):
            self._leave(record, batch, event.meter)
            return
        key = SeriesKey(batch.site, event.meter, event.quantity)
        self._add(batch, np.array([self._number(key)]), typed_column(event, record))

    def report(self, kind: IncidentKind, batch: Batch, subject: str, detail: str) -> None:
        """Note an incident of a batch."""
        self.incidents.append(Incident(kind, batch.site, batch.agent, subject, detail))

    def pieces(self) -> dict[SeriesKey, Piece]:
        """All readings, per series."""
        if not self.readings:
            return {}
        number = np.concatenate([part[0] for part in self._parts])
        columns = np.concatenate([part[1] for part in self._parts], axis=1)
        by_series = np.argsort(number, kind="stable")
        edges = np.searchsorted(number[by_series], np.arange(len(self._numbers) + 1))
        return {
            key: self._piece(columns[:, by_series[edges[index] : edges[index + 1]]])
            for key, index in self._numbers.items()
            if edges[index] < edges[index + 1]
        }

    def _numbers_of(self, points: Points) -> Int64:
        found = self._tables.get(id(points))
        if found is None:
            found = self._tables[id(points)] = np.array([self._number(key) for key in points.keys], np.int64)
        return found

    def _number(self, key: SeriesKey) -> int:
        return self._numbers.setdefault(key, len(self._numbers))

    def _add(self, batch: Batch, numbers: Int64, columns: Int64) -> None:
        is_dated = columns[T1] >= EARLIEST_MS
        if not is_dated.all():
            words = f"batch {batch.agent}/{batch.epoch}/{batch.seq} has readings of before 2000: kept, not used"
            self.report(IncidentKind.UNSET_CLOCK, batch, words, words)
            columns = columns[:, is_dated]
            numbers = numbers[is_dated]
        self._parts.append((numbers, columns))
        self.readings += columns.shape[1]

    def _piece(self, columns: Int64) -> Piece:
        arrived = columns[T1]
        valued = has_value(columns[QUALITY])
        if (arrived[1:] > arrived[:-1]).all():
            return Piece(columns, columns[:, :0], arrived, valued)
        # Of two readings of one time the one kept first stays: nothing a signer chooses decides it.
        ranked = columns[:, np.lexsort((columns[RECORD], columns[T1]))]
        first = np.append(True, ranked[T1, 1:] != ranked[T1, :-1])
        winners = ranked[:, first]
        lost = ~first & ~same_value(ranked, winners[:, np.cumsum(first) - 1])
        return Piece(winners, ranked[:, lost], arrived, valued)


METER = "meter/"
"""Begins what readings wait for that is no configuration, but the registry's word."""


def meter_name(site: str, meter: str) -> str:
    """What readings wait for until the registry gives their meter to their agent."""
    return f"{METER}{site}/{meter}"


def same_value(left: Int64, right: Int64) -> Bools:
    """Whether readings at equal times say the same."""
    same: Bools = (left[COUNT] == right[COUNT]) & (left[QUALITY] == right[QUALITY])
    return same
