"""One poll cycle: all links at once, each link's meters one after the other, nobody beyond the deadline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_

from agent.clock import Clock
from agent.drivers import Answer, Link, failed
from agent.plan import Plan, PlannedLink, PlannedMeter
from agent.poll import Backoff, LastCount, Reading, decode_answers
from pue.contract.quality import Quality

log = logging.getLogger("agent.cycle")


class Poller:
    """Reads every meter of the plan once per call.

    Parameters
    ----------
    plan
        What to read.
    links
        Driver of each link, by link id.
    clock
        Wall and monotonic time.
    """

    def __init__(self, plan: Plan, links: Mapping[str, Link], clock: Clock) -> None:
        self._plan = plan
        self._links = links
        self._clock = clock
        self._points = plan.points
        self._period_ms = plan.poll_ms
        self._backoff = Backoff(self._period_ms)
        self._last_counts: dict[int, LastCount] = {}
        self._cycle = 0

    async def poll(self) -> list[Reading]:
        """Every point once, in the order of the plan; what was not measured says why."""
        deadline_ms = self._mono_ms() + self._period_ms * 9 // 10
        self._cycle += 1
        groups = await asyncio.gather(*(self._poll_link(link, deadline_ms) for link in self._plan.links))
        answers = sorted((answer for group in groups for answer in group), key=lambda answer: answer.point)
        return decode_answers(answers, self._points, self._last_counts)

    async def _poll_link(self, planned: PlannedLink, deadline_ms: int) -> list[Answer]:
        """The meters of a link, starting with another one each cycle, so that a slow bus starves nobody."""
        answers: list[Answer] = []
        for meter in rotated(planned.meters, self._cycle):
            answers.extend(await self._poll_meter(planned.link.id, meter, deadline_ms))
        return answers

    async def _poll_meter(self, link: str, meter: PlannedMeter, deadline_ms: int) -> list[Answer]:
        now_ms = self._mono_ms()
        pause = self._backoff.pausing(f"link/{link}", now_ms) or self._backoff.pausing(f"meter/{meter.meter}", now_ms)
        if now_ms >= deadline_ms:
            pause = pause or Quality.NOT_ASKED
        if pause:
            return failed(meter, self._clock.wall_ms(), pause)
        answers = await self._read(link, meter)
        self._note(link, meter, answers)
        return answers

    async def _read(self, link: str, meter: PlannedMeter) -> list[Answer]:
        """What the driver brings; a defect in it costs this meter its readings, not the others theirs."""
        try:
            return await self._links[link].read(meter)
        except Exception as error:
            log.warning("meter %s: defect in its driver, please report: %r", meter.meter, error, exc_info=True)
            return failed(meter, self._clock.wall_ms(), Quality.MALFORMED)

    def _note(self, link: str, meter: PlannedMeter, answers: Sequence[Answer]) -> None:
        """A unit is silent if any of its requests stayed unanswered, a link if it cannot be reached."""
        now_ms = self._mono_ms()
        quality = reduce(or_, (answer.quality for answer in answers), Quality.GOOD)
        self._backoff.note(f"link/{link}", quality & Quality.NO_LINK, now_ms)
        if not quality & Quality.NO_LINK:
            self._backoff.note(f"meter/{meter.meter}", quality, now_ms)

    def _mono_ms(self) -> int:
        return self._clock.mono_ns() // 1_000_000


def rotated(meters: Sequence[PlannedMeter], by: int) -> list[PlannedMeter]:
    """The same meters, starting `by` places later."""
    if not meters:
        return []
    start = by % len(meters)
    return [*meters[start:], *meters[:start]]
