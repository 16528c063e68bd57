"""The collector's MQTT connections: one at a time, one thread, nothing read that nobody has room for."""

from __future__ import annotations

import logging
import math
import select
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from collector.settings import MqttSettings

log = logging.getLogger(__name__)

GROUP_MESSAGES = 500
"""Messages read before they are worked on: the bound of the queue."""
SESSION_SECONDS = 7 * 24 * 3600
"""How long the broker keeps our session; agents resend whatever it forgets."""
MAX_PACKET_BYTES = 1024 * 1024
CONNECT_SECONDS = 2.0
FIRST_DELAY_SECONDS = 0.25
LONGEST_DELAY_SECONDS = 10.0
STABLE_SECONDS = 10.0
"""A connection that lived this long was well: after it the first attempt comes soon again."""


@dataclass(frozen=True, slots=True)
class Retained:
    """A message that the broker keeps for whoever subscribes later."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a connection says of us: when it is up, when we leave, and what the broker says if we vanish.

    MQTT has one will a connection: of several shards the first one's agents learn at once that we vanished, the others
    by their acks staying away.
    """

    hello: tuple[Retained, ...] = ()
    farewell: tuple[Retained, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One message and the connection it came over."""

    topic: str
    payload: bytes
    packet: int
    qos: int
    generation: int


class Connection:
    """One connection from birth to death: a new one starts from nothing, so no packet id outlives its connection.

    Parameters
    ----------
    settings
        The broker.
    client_id
        Fixed: the broker keeps the session under it.
    filters
        What to subscribe to.
    generation
        Stamped on every message.
    tls
        How both sides prove themselves; None on loopback.
    greeting
        What is said of us.
    """

    def __init__(
        self,
        settings: MqttSettings,
        client_id: str,
        filters: list[str],
        generation: int,
        tls: ssl.SSLContext | None = None,
        greeting: Greeting = Greeting(),
    ) -> None:
        self._greeting = greeting
        self.inbox: list[Message] = []
        self.is_up = False
        self.reason = ""
        self._filters = filters
        self._generation = generation
        self._deadline = time.monotonic() + CONNECT_SECONDS
        self._client = self._make_client(client_id)
        if tls:
            self._client.tls_set_context(tls)
        for will in greeting.farewell[:1]:
            self._client.will_set(will.topic, will.payload, qos=1, retain=True)
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho states no types here
        session.SessionExpiryInterval = SESSION_SECONDS
        session.MaximumPacketSize = MAX_PACKET_BYTES
        session.ReceiveMaximum = 2 * GROUP_MESSAGES
        self._client.connect(
            settings.host, settings.port, settings.keepalive_seconds, clean_start=False, properties=session
        )

    @property
    def is_over(self) -> bool:
        """Whether another one is needed; a broker that does not greet in time counts as gone."""
        late = not self.is_up and time.monotonic() > self._deadline
        return bool(self.reason) or self._client.socket() is None or late

    def exchange(self, seconds: float) -> None:
        """Read and write until something is there and no more follows, the inbox is full, or the time is over."""
        until = time.monotonic() + seconds
        while not self.is_over and len(self.inbox) < GROUP_MESSAGES:
            wait = 0.0 if self.inbox else max(0.0, until - time.monotonic())
            readable, writable = self._ready(wait)
            if writable:
                self._client.loop_write()
            if readable:
                self._client.loop_read()
            if time.monotonic() >= until or (self.inbox and not readable):
                break
        self._client.loop_misc()

    def confirm(self, message: Message) -> None:
        """Tell the broker that it may forget a message of this connection; of an earlier one its id means nothing."""
        if message.generation == self._generation and message.qos and not self.is_over:
            self._client.ack(message.packet, message.qos)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send without waiting: an ack that is lost comes again."""
        self._client.publish(topic, payload, qos=0)

    def close(self) -> None:
        """Say goodbye; the session stays."""
        self._say(self._greeting.farewell)
        self._client.disconnect()
        self._client.loop_write()

    def silence(self) -> None:
        """Say nothing when leaving; a will is dropped by a proper goodbye."""
        self._greeting = Greeting()

    def _say(self, messages: tuple[Retained, ...]) -> None:
        for message in messages:
            self._client.publish(message.topic, message.payload, qos=1, retain=True)

    def _ready(self, wait: float) -> tuple[bool, bool]:
        socket = self._client.socket()
        if socket is None:
            return False, False
        wait = 0.0 if _holds_more(socket) else wait
        try:
            readable, writable, _ = select.select([socket], [socket] if self._client.want_write() else [], [], wait)
        except (OSError, ValueError):
            return True, False
        return bool(readable) or _holds_more(socket), bool(writable)

    def _make_client(self, client_id: str) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_SECONDS
        client.suppress_exceptions = True
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    # Callbacks hand over values and can do nothing else: paho would swallow what they raise.

    def _on_connect(self, client: Client, _data: Any, _flags: Any, code: ReasonCode, _more: Any) -> None:
        if code.is_failure:
            self.reason = f"refused: {code}"
            return
        client.subscribe([(name, 1) for name in self._filters])
        self._say(self._greeting.hello)
        self.is_up = True

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, code: ReasonCode, _more: Any) -> None:
        self.reason = self.reason or str(code)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            name = message.topic
        except UnicodeDecodeError:
            name = ""
        self.inbox.append(Message(name, bytes(message.payload), message.mid, message.qos, self._generation))


def _holds_more(socket: object) -> bool:
    """Whether TLS has already taken bytes off the socket that `select` can no longer see."""
    return isinstance(socket, ssl.SSLSocket) and socket.pending() > 0


class Subscriber:
    """Keeps one connection going; says once when it is lost and once when it is back.

    Parameters
    ----------
    settings
        The broker.
    client_id, filters
        As for `Connection`.
    on_state
        Told True when connected, False when not.
    greeting
        As for `Connection`.
    """

    def __init__(
        self,
        settings: MqttSettings,
        client_id: str,
        filters: list[str],
        on_state: Callable[[bool], None],
        greeting: Greeting = Greeting(),
    ) -> None:
        self._greeting = greeting
        self._settings = settings
        self._tls = settings.tls.context() if settings.tls else None
        self._client_id = client_id
        self._filters = filters
        self._on_state = on_state
        self._connection: Connection | None = None
        self._generation = 0
        self._delay = FIRST_DELAY_SECONDS
        self._try_at = 0.0
        self._up_at = math.inf
        self._was_up: bool | None = None

    def poll(self, seconds: float) -> list[Message]:
        """Messages that have come in, at most a group; waits no longer than `seconds`."""
        connection = self._connection or self._connect()
        if connection is None:
            time.sleep(min(seconds, max(0.0, self._try_at - time.monotonic())))
            return []
        connection.exchange(seconds)
        messages = connection.inbox
        connection.inbox = []
        if connection.is_up and self._was_up is not True:
            self._say(True, "")
        if connection.is_over:
            self._lost(connection.reason or "no answer")
        return messages

    def confirm(self, messages: list[Message]) -> None:
        """These are durable, in the order they came: the broker may forget them."""
        for message in messages:
            if self._connection is not None:
                self._connection.confirm(message)

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send if connected."""
        if self._connection is None:
            return False
        self._connection.publish(topic, payload)
        return True

    def drop(self, reason: str) -> None:
        """Give up the connection, so that the broker brings what is not confirmed once more."""
        if self._connection is not None:
            self._connection.close()
            self._lost(reason)

    def close(self) -> None:
        """Leave for good."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def leave(self) -> None:
        """Leave for good without a word: another one is there in our place."""
        self._greeting = Greeting()
        if self._connection is not None:
            self._connection.silence()
        self.close()

    def _connect(self) -> Connection | None:
        if time.monotonic() < self._try_at:
            return None
        self._generation += 1
        try:
            self._connection = Connection(
                self._settings, self._client_id, self._filters, self._generation, self._tls, self._greeting
            )
        except (OSError, ValueError) as error:
            self._lost(str(error))
        return self._connection

    def _lost(self, reason: str) -> None:
        self._connection = None
        if time.monotonic() > self._up_at + STABLE_SECONDS:
            self._delay = FIRST_DELAY_SECONDS
        self._up_at = math.inf
        self._try_at = time.monotonic() + self._delay
        self._delay = min(2 * self._delay, LONGEST_DELAY_SECONDS)
        if self._was_up is not False:
            self._say(False, reason)

    def _say(self, is_up: bool, reason: str) -> None:
        self._was_up = is_up
        self._on_state(is_up)
        broker = f"{self._settings.host}:{self._settings.port}"
        if is_up:
            self._up_at = time.monotonic()
            log.info("broker %s connected", broker)
        else:
            log.warning("broker %s is away (%s); agents keep their batches, trying again", broker, reason)
