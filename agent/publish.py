"""Brings spooled batches to the collector through a broker that may vanish at any time."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from agent.acks import AckJudge, Fork, Ignore, Settle
from agent.chain import new_epoch_id
from agent.clock import Clock
from agent.delivery import Delivery, ReconnectDelay
from agent.health import Metrics
from agent.mqtt import UNCONFIRMED_BY_BROKER, BrokerEvent, Closed, Connected, Message, Neighbour, Refused
from agent.spool import Key, Spool
from pue.contract.configuration import ConfigInParts
from pue.contract.errors import Reject, Retry
from pue.contract.wire import Ack, Restored, decode_ack, decode_presence

log = logging.getLogger("agent.publish")

_BACKFILL_ROWS = 50
_COUNT_EVERY_S = 1.0
_REMEMBERED_REFUSALS = 1000
_PACKET_OVERHEAD = 256
"""Fixed header, topic, packet id and properties of a publish packet, generously. [bytes]"""
CLOCK_OFF_MS = 60_000
"""Further apart than any way between agent and collector takes. [ms]"""
_FORK_PAUSE_S = 60.0
"""Between two new epochs: whoever can forge acks must not make us write epochs without end."""


class BrokerSession(Protocol):
    """What the publisher needs of a connection."""

    def open(self) -> None: ...
    def publish(self, payload: bytes) -> None: ...
    def publish_state(self, state: str) -> None: ...
    def publish_meta(self, payload: bytes) -> None: ...
    def close(self) -> None: ...


SessionMaker = Callable[[int, Callable[[BrokerEvent], None]], BrokerSession]
"""Makes the session of a generation, given where it reports to."""


class Publisher:
    """Sends what the spool holds and takes the collector's acks.

    Parameters
    ----------
    agent
        Our id, as it must stand in acks.
    spool
        The source of everything that is sent.
    make_session
        Opens connections.
    config
        Running configuration, which a new epoch begins with.
    window
        Most batches under way at once.
    clock
        Wall and monotonic time.
    metrics
        Counters.
    broker
        What to call the broker in the log.
    """

    def __init__(
        self,
        agent: str,
        spool: Spool,
        make_session: SessionMaker,
        config: ConfigInParts,
        *,
        window: int,
        clock: Clock,
        metrics: Metrics,
        broker: str,
    ) -> None:
        self._spool = spool
        self._make_session = make_session
        self._config = config
        self._clock = clock
        self._metrics = metrics
        self._broker = broker
        self._delivery = Delivery(window)
        self._judge = AckJudge(agent, spool.generation)
        self._delay = ReconnectDelay()
        self._events: asyncio.Queue[BrokerEvent | None] = asyncio.Queue()
        self._session: BrokerSession | None = None
        self._generation = 0
        self._connect_at_s = 0.0
        self._fork_after_s = 0.0
        self._counted_at_s = 0.0
        self._collector: tuple[str, int] | None = None
        self._heard: dict[str, tuple[str, int]] = {}
        self._said: dict[str, str] = {}
        self._refused: set[Key] = set()
        self._max_packet_bytes: int | None = None

    @property
    def max_packet_bytes(self) -> int | None:
        """The broker's limit: batches appended from now on stay below it."""
        return self._max_packet_bytes

    async def run(self) -> None:
        """Work until cancelled; then say goodbye to the broker."""
        try:
            while True:
                self._work()
                await self._wait()
        finally:
            await self._leave()

    def appended(self, keys: list[Key]) -> None:
        """Send batches that were just spooled, if the window has room; back-fill finds the others."""
        for key in keys:
            if self._delivery.may_send_live():
                self._send(key, is_backfill=False)
        self._events.put_nowait(None)

    # ---------------------------------------------------------------- one round

    def _work(self) -> None:
        now_s = self._now_s()
        if self._session is None and now_s >= self._connect_at_s:
            self._connect()
        if self._delivery.expire(now_s):
            log.debug("no ack from the collector in time; sending again")
        self._carry()
        self._backfill()
        if now_s >= self._counted_at_s + _COUNT_EVERY_S:
            self._counted_at_s = now_s
            self._metrics.backlog = self._spool.backlog()

    async def _wait(self) -> None:
        """Until something is reported or due; then take everything that was reported."""
        now_s = self._now_s()
        timeout_s = min(self._delivery.wait_s(now_s), _COUNT_EVERY_S)
        if self._session is None:
            timeout_s = min(timeout_s, max(0.0, self._connect_at_s - now_s))
        try:
            # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with an event.
            async with asyncio.timeout(timeout_s):
                event = await self._events.get()
        except TimeoutError:
            return
        self._handle(event)
        while not self._events.empty():
            self._handle(self._events.get_nowait())

    def _handle(self, event: BrokerEvent | None) -> None:
        # What an earlier connection still reports is of no use: its packet ids mean nothing any more.
        if event is None or event.generation != self._generation:
            return
        if isinstance(event, Connected):
            self._on_connected(event)
        elif isinstance(event, Closed):
            self._on_closed(event)
        elif isinstance(event, Message):
            self._on_message(event.payload)
        elif isinstance(event, Neighbour):
            self._on_neighbour(event.payload)
        elif isinstance(event, Refused):
            self._say(
                "taking",
                event.reason,
                f"broker {self._broker} does not take our batches ({event.reason}); check its access rules",
            )

    # ---------------------------------------------------------------- broker

    def _connect(self) -> None:
        loop = asyncio.get_running_loop()

        def report(event: BrokerEvent) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(self._events.put_nowait, event)

        self._generation += 1
        self._session = self._make_session(self._generation, report)
        self._session.open()

    def _on_connected(self, event: Connected) -> None:
        session = self._session
        if session is None:
            return
        self._say("broker", "up", f"broker {self._broker} connected")
        self._metrics.broker_connected.set(1)
        self._delay.reset()
        self._max_packet_bytes = event.max_packet_bytes
        session.publish_state("online")
        self.publish_meta()
        small = event.receive_maximum is not None and event.receive_maximum < UNCONFIRMED_BY_BROKER
        self._delivery.connected(event.receive_maximum if small else None)

    def _on_closed(self, event: Closed) -> None:
        if self._session is None:
            return
        self._session.close()
        self._session = None
        self._metrics.broker_connected.set(0)
        self._delivery.disconnected()
        delay_s = self._delay.take_s()
        self._connect_at_s = self._now_s() + delay_s
        self._say(
            "broker",
            "down",
            f"broker {self._broker} is not reachable ({event.reason}); polling and spooling go on, "
            "connecting again when it is back",
        )

    def publish_meta(self) -> None:
        """Renew the retained copy of the configuration."""
        payload = self._spool.latest_config()
        if self._session is not None and payload is not None and self._fits(payload):
            self._session.publish_meta(payload)

    async def _leave(self) -> None:
        session = self._session
        self._session = None
        if session is None:
            return
        if self._delivery.is_connected:
            session.publish_state("offline")
        session.close()
        while self._delivery.is_connected:
            try:
                async with asyncio.timeout(0.5):
                    event = await self._events.get()
            except TimeoutError:
                return
            if isinstance(event, Closed):
                return

    # ---------------------------------------------------------------- sending

    def _backfill(self) -> None:
        while room := self._delivery.backfill_room():
            keys = self._spool.unsettled(self._delivery.cursor, min(room, _BACKFILL_ROWS))
            for key in keys:
                if not self._delivery.is_pending(key):
                    self._send(key, is_backfill=True)
                self._delivery.passed(key)
            if not keys:
                return

    def _send(self, key: Key, *, is_backfill: bool) -> None:
        payload = self._spool.payload(key)
        if self._session is None or not self._fits(payload):
            return
        self._session.publish(payload)
        self._metrics.published.inc()
        self._delivery.sent(key, self._now_s(), is_backfill=is_backfill)

    def _fits(self, payload: bytes) -> bool:
        limit = self._max_packet_bytes
        if limit is None or len(payload) + _PACKET_OVERHEAD <= limit:
            return True
        self._say(
            "size",
            str(limit),
            f"broker {self._broker} takes packets of {limit} bytes, a batch has {len(payload)}; "
            "raise the broker's maximum packet size",
        )
        return False

    # ---------------------------------------------------------------- acks

    def _on_neighbour(self, payload: bytes) -> None:
        """The collector, or the broker in its name, says whether it is there."""
        try:
            presence = decode_presence(payload)
        except Reject as error:
            self._say("presence", str(error), f"{error}; check who publishes there")
            return
        if presence.generation < self._judge.generation:
            return
        self._say("collector", presence.state, f"collector {presence.collector} is {presence.state}")
        self._delivery.is_awaited = presence.state == "offline"
        if presence.state == "online":
            self._delivery.rewind()

    def _on_message(self, payload: bytes) -> None:
        try:
            ack = decode_ack(payload)
        except Reject as error:
            self._say("ack", str(error), f"message on our ack topic is unusable ({error}); check who publishes there")
            return
        try:
            self._take(ack)
        except Retry as error:
            self._say("spool", "full", str(error))

    def _take(self, ack: Ack) -> None:
        verdict = self._judge.judge(ack, self._spool.facts(ack.epoch, ack.upto))
        if self._judge.generation != self._spool.generation:
            self._spool.believe(self._judge.generation)
        if isinstance(verdict, Ignore):
            self._say("ack", verdict.reason, verdict.reason)
        elif isinstance(verdict, Fork):
            self._fork(ack, verdict)
        else:
            self._settle(ack, verdict)

    def _settle(self, ack: Ack, verdict: Settle) -> None:
        self._log_refused(ack)
        owner = (ack.collector, ack.generation)
        # A collector that was restored from a copy may have lost batches behind a gap, of which `upto` tells nothing.
        anew = self._heard.get(ack.epoch) != owner
        self._heard[ack.epoch] = owner
        settled = self._spool.settle(ack.epoch, verdict.ranges, verdict.upto, regressed=verdict.regressed, anew=anew)
        self._metrics.acked.inc(settled)
        self._delivery.acknowledged(ack.epoch, verdict.ranges, self._now_s())
        self._delivery.hold(ack.epoch, verdict.held)
        self._delivery.is_awaited = False
        self._compare_clocks(ack)
        if verdict.regressed:
            self._resend_lost(ack, verdict)
        if self._collector != owner:
            if self._collector is not None:
                self._delivery.rewind()
            self._collector = owner

    def _compare_clocks(self, ack: Ack) -> None:
        """A clock that is minutes off has its batches held, or its energy put into other slots."""
        off_ms = self._clock.wall_ms() - ack.time_ms if ack.time_ms else 0
        self._metrics.clock_offset.set(off_ms / 1000)
        if abs(off_ms) > CLOCK_OFF_MS:
            text = f"our clock is {off_ms / 1000:.0f} s off that of collector {ack.collector}; check its time source"
            self._say("clock", "off", text)
        elif ack.time_ms:
            self._said.pop("clock", None)

    def _log_refused(self, ack: Ack) -> None:
        """Acks are cumulative: each refusal is said once."""
        if len(self._refused) > _REMEMBERED_REFUSALS:
            self._refused.clear()
        for seq, reason in ack.refused:
            key = Key(ack.epoch, seq)
            if key not in self._refused:
                self._refused.add(key)
                log.warning(
                    "collector %s refused batch %d of epoch %s (%s); it is kept here",
                    ack.collector,
                    seq,
                    ack.epoch,
                    reason,
                )

    def _resend_lost(self, ack: Ack, verdict: Settle) -> None:
        log.warning("collector %s is back at batch %d; sending again what it lost", ack.collector, ack.upto)
        self._delivery.rewind()
        if dropped := self._spool.gone(ack.epoch, verdict.ranges):
            self.appended(self._spool.declare(dropped))

    def _fork(self, ack: Ack, verdict: Fork) -> None:
        now_s = self._now_s()
        head = self._spool.head
        if head is None or now_s < self._fork_after_s:
            return
        self._fork_after_s = now_s + _FORK_PAUSE_S
        facts = self._spool.facts(ack.epoch, 0)
        restored = Restored(
            old_epoch=ack.epoch,
            head_seq=facts.head_seq if facts else 0,
            ack_upto=ack.upto,
            ack_sha256=ack.sha256,
            reason=verdict.reason,
        )
        epoch = new_epoch_id(head, self._clock.wall_ms(), secrets.token_hex(4))
        keys = self._spool.fork(ack.epoch, epoch, self._config, restored)
        log.warning("%s; starting epoch %s and sending again what was not confirmed", verdict.reason, epoch)
        self._delivery.rewind()
        self.appended(keys)
        self.publish_meta()

    def _carry(self) -> None:
        try:
            if keys := self._spool.carry():
                self._metrics.appended.inc(len(keys))
                self._events.put_nowait(None)
        except Retry as error:
            self._say("spool", "full", str(error))

    def _say(self, subject: str, state: str, text: str) -> None:
        """Log a subject's state once, until it reaches another one."""
        if self._said.get(subject) != state:
            self._said[subject] = state
            log.info(text)

    def _now_s(self) -> float:
        return self._clock.mono_ns() / 1e9
