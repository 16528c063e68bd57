"""The running collector: messages in, acks out, projection behind."""

from __future__ import annotations

import logging
import signal
import sqlite3
import threading
import time
from typing import Literal

import msgspec

from collector.admit import Route
from collector.app import Parts, ProjectionThread, opened
from collector.intake import Arrival, Taken
from collector.settings import Document
from collector.stores import check_store
from collector.subscribe import Greeting, Message, Retained, Subscriber
from pue.contract.errors import Fatal, Reject, Retry
from pue.contract.wire import (
    Ack,
    Presence,
    decode_presence,
    encode_ack,
    encode_presence,
    parse_topic,
    presence_topic,
    topic,
)

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
TOPOLOGY_SECONDS = 1.0
DISK_PAUSE_SECONDS = 1.0
STOP_SECONDS = 2.0


def run_forever(settings: Document) -> None:
    """Run until SIGTERM or SIGINT.

    Raises
    ------
    Fatal
        If the store's file is of another version, or a shard has another owner.
    """
    check_store(settings.series)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with opened(settings) as parts:
        run(parts, stop)


def run(parts: Parts, stop: threading.Event) -> None:
    """Run until `stop` is set."""
    if parts.settings.health:
        parts.health.serve(parts.settings.health.port)
    projection = ProjectionThread(parts, stop)
    projection.start()
    loop = Loop(parts)
    log.info("collector %s owns shards %s", parts.settings.collector.id, ", ".join(parts.ledgers))
    try:
        while not stop.is_set():
            loop.turn()
    finally:
        stop.set()
        loop.close()
        projection.join(STOP_SECONDS)


class Loop:
    """What the main thread does, turn by turn."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._looked_at = 0.0
        self._is_new = False
        self._own_topics = {presence_topic(shard) for shard in parts.ledgers}
        self._subscriber = Subscriber(
            parts.settings.mqtt,
            f"pue-collector-{parts.settings.collector.id}",
            [topic(shard, "+", leaf) for shard in parts.ledgers for leaf in ("data", "state")],
            parts.health.broker_connected.set,
            Greeting(self._presence("online"), self._presence("offline")),
        )

    def _presence(self, state: Literal["online", "offline"]) -> tuple[Retained, ...]:
        """What agents of every shard find on its topic."""
        generation = self._parts.intake.generation
        presence = Presence(collector=self._parts.settings.collector.id, generation=generation, state=state)
        return tuple(Retained(presence_topic(shard), encode_presence(presence)) for shard in self._parts.ledgers)

    def turn(self) -> None:
        """Look at the topology, take one group of messages."""
        self._follow_topology()
        if self._parts.topology.current is None:
            time.sleep(POLL_SECONDS)
            return
        messages = self._subscriber.poll(POLL_SECONDS)
        if messages:
            self._work(messages)

    def close(self) -> None:
        """Leave the broker."""
        self._subscriber.close()

    def _work(self, messages: list[Message]) -> None:
        data = [message for message in messages if not message.topic.endswith("/state")]
        try:
            taken = self._parts.intake.take([_arrival(message) for message in data], self._parts.enrolled())
            self._answer(taken)
            for message in messages:
                if message.topic.endswith("/state"):
                    self._greet(message)
        except (Retry, sqlite3.OperationalError) as error:
            log.error("%s; this group is not confirmed to the broker, trying again", error)  # noqa: TRY400 - no traceback
            self._subscriber.drop("disk refuses")
            time.sleep(DISK_PAUSE_SECONDS)
            return
        self._subscriber.confirm(messages)

    def _answer(self, taken: Taken) -> None:
        """Count, then send the acks: the group is durable."""
        self._parts.health.taken(taken)
        for text in taken.messages:
            log.warning("refused: %s", text)
        for shard, ack in taken.acks:
            self._send(shard, ack)

    def _greet(self, message: Message) -> None:
        """An agent is back: tell it what is kept. A later owner of the shard is there: make way."""
        if message.topic in self._own_topics:
            self._make_way(message)
            return
        if not _is_online(message.payload):
            return
        try:
            shard, agent, _ = parse_topic(message.topic)
        except Reject:
            return
        for ack in self._parts.intake.greet(agent):
            self._send(shard, ack)

    def _make_way(self, message: Message) -> None:
        """Two owners would ack different things: agents believe the later one, so the earlier one stops.

        Raises
        ------
        Fatal
            Naming the other one.
        """
        try:
            other = decode_presence(message.payload)
        except Reject as error:
            log.warning("%s: %s; check who publishes there", message.topic, error)
            return
        if other.state == "online" and other.generation > self._parts.intake.generation:
            self._subscriber.leave()
            raise Fatal(
                f"collector {other.collector!r} has taken over {message.topic} (generation {other.generation}); "
                "run one collector a shard, and stop the one that should not be"
            )

    def _send(self, shard: str, ack: Ack) -> None:
        if self._subscriber.publish(topic(shard, ack.agent, "ack"), encode_ack(ack)):
            self._parts.health.acked(1)

    def _follow_topology(self) -> None:
        if time.monotonic() < self._looked_at + TOPOLOGY_SECONDS:
            return
        self._looked_at = time.monotonic()
        try:
            if self._parts.refresh_topology():
                self._is_new = True
                log.info("topology version %d in force", self._parts.enrolled().version)
            if self._is_new:
                self._answer(self._parts.intake.readmit(self._parts.enrolled()))
                self._is_new = False
            for shard, ack in self._parts.intake.ask_again():
                self._send(shard, ack)
        except (Retry, sqlite3.OperationalError) as error:
            log.error("%s; what is in quarantine waits, trying again", error)  # noqa: TRY400 - no traceback


class _State(msgspec.Struct):
    """What an agent, or the broker in its name, says of it."""

    state: str


_STATE = msgspec.json.Decoder(_State)


def _is_online(payload: bytes) -> bool:
    try:
        return _STATE.decode(payload).state == "online"
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def _arrival(message: Message) -> Arrival:
    """A message with what its topic says; a strange topic names nobody and is refused by admission."""
    try:
        shard, agent, _ = parse_topic(message.topic)
    except Reject:
        shard = ""
        agent = ""
    return Arrival(message.payload, Route(shard, agent))
