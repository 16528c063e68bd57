"""When to ask whom: ticks aligned to the wall clock, back-off of the silent, deadlines. Decides, does nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.drivers import Answer
from agent.plan import PlannedPoint
from pue.contract.decode import decode
from pue.contract.quality import Quality
from pue.contract.wire import Readings

NO_ANSWER = Quality.TIMEOUT | Quality.NO_LINK
"""What costs the others time: a unit that answers wrongly at least answers."""

LONGEST_BACKOFF_MS = 60_000
LONGEST_BACKOFF_PERIODS = 20
MAX_BATCH_BYTES = 200 * 1024
"""JSON of one data batch stays below this, well under the contract's limit."""
_ROW_BYTES = 48
"""Upper estimate of the JSON of one reading without its raw."""


def next_tick_ms(now_ms: int, period_ms: int) -> int:
    """The first multiple of the period after now. [ms UTC]"""
    return now_ms - now_ms % period_ms + period_ms


@dataclass(slots=True)
class _Silence:
    failures: int
    retry_ms: int
    quality: Quality


class Backoff:
    """Who is not asked for now, because it did not answer before.

    The first failure is retried at the next tick; the pause then doubles up to a minute or 20 polls.
    Each pause ends with one probe: a dead unit costs the others at most one timeout per pause.

    Parameters
    ----------
    period_ms
        Poll period. [ms]
    """

    def __init__(self, period_ms: int) -> None:
        self._period_ms = period_ms
        self._longest_ms = max(period_ms, min(LONGEST_BACKOFF_MS, LONGEST_BACKOFF_PERIODS * period_ms))
        self._silent: dict[str, _Silence] = {}

    def pausing(self, name: str, now_ms: int) -> Quality:
        """Why a unit or link is not to be asked now; `GOOD` when it is. Times are monotonic. [ms]"""
        silence = self._silent.get(name)
        if silence is None or now_ms >= silence.retry_ms - self._period_ms // 2:
            return Quality.GOOD
        return silence.quality

    def note(self, name: str, quality: Quality, now_ms: int) -> None:
        """Remember the outcome of a request."""
        if not quality & NO_ANSWER:
            self._silent.pop(name, None)
            return
        failures = self._silent[name].failures + 1 if name in self._silent else 1
        pause_ms = min(self._period_ms << min(failures - 1, 20), self._longest_ms)
        self._silent[name] = _Silence(failures, now_ms + pause_ms, quality & NO_ANSWER)


@dataclass(frozen=True, slots=True)
class Reading:
    """One decoded row of a data batch."""

    point: int
    t0_ms: int
    dt_ms: int
    raw: str
    count: int | None
    quality: Quality


@dataclass(frozen=True, slots=True)
class LastCount:
    """What a counter showed at some time between request and reply. [ms UTC, -]"""

    t0_ms: int
    t1_ms: int
    count: int


def decode_answers(
    answers: Iterable[Answer], points: Mapping[int, PlannedPoint], last_counts: dict[int, LastCount]
) -> list[Reading]:
    """Decode what came; mark a counter that shows what it cannot, and remember its new value as the last."""
    return [_decode(answer, points[answer.point], last_counts) for answer in answers]


def _decode(answer: Answer, point: PlannedPoint, last_counts: dict[int, LastCount]) -> Reading:
    count = None
    quality = answer.quality
    if not quality:
        count, quality = decode(answer.raw, point.code)
    if count is not None and point.is_counter:
        now = LastCount(answer.t0_ms, answer.t0_ms + answer.dt_ms, count)
        quality |= _counter_marks(point, now, last_counts.get(point.index))
        last_counts[point.index] = now
    return Reading(answer.point, answer.t0_ms, answer.dt_ms, answer.raw, count, quality)


def _counter_marks(point: PlannedPoint, now: LastCount, last: LastCount | None) -> Quality:
    marks = Quality.IMPLAUSIBLE if now.count < 0 else Quality.GOOD
    if last is None:
        return marks
    if now.count < last.count:
        return marks | Quality.BACKWARDS
    if point.most_per_ms is not None:
        # Both show whole steps: 1 more than flowed can stand between them. A clock that was set back says nothing.
        most = point.most_per_ms * (now.t1_ms - last.t0_ms) + 1
        marks |= Quality.IMPLAUSIBLE if now.t1_ms > last.t0_ms and now.count - last.count > most else Quality.GOOD
    return marks


def readings_bodies(readings: Sequence[Reading], max_bytes: int = MAX_BATCH_BYTES) -> Iterator[Readings]:
    """Columns of one poll cycle, in as few batches as the size limit allows."""
    rows: list[Reading] = []
    size = 0
    for reading in readings:
        cost = _ROW_BYTES + len(reading.raw)
        if rows and size + cost > max_bytes:
            yield _body(rows)
            rows = []
            size = 0
        rows.append(reading)
        size += cost
    if rows:
        yield _body(rows)


def _body(rows: Sequence[Reading]) -> Readings:
    base_ms = min(row.t0_ms for row in rows)
    return Readings.of(
        base_ms,
        point=[row.point for row in rows],
        t0=[row.t0_ms - base_ms for row in rows],
        dt=[row.dt_ms for row in rows],
        raw=[row.raw for row in rows],
        count=[row.count for row in rows],
        quality=[int(row.quality) for row in rows],
    )
