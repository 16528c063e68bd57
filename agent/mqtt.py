"""One MQTT 5 connection from birth to death; its callbacks only report."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from pue.contract.wire import presence_topic, topic

KEEPALIVE_S = 15
UNCONFIRMED_BY_BROKER = 20
"""Messages paho sends before the broker's PUBACKs; it queues the others."""
CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker took us; its limits, None where it states none."""

    generation: int
    max_packet_bytes: int | None
    receive_maximum: int | None


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is gone or never was; why, in a few words."""

    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Message:
    """Something arrived on our ack topic."""

    generation: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Our shard's collector says whether it is there, or the broker says it in its name."""

    generation: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker did not take a message."""

    generation: int
    reason: str


BrokerEvent = Connected | Closed | Message | Neighbour | Refused


class Session:
    """One connection to the broker; a new one starts from nothing, so no packet id outlives its connection.

    Parameters
    ----------
    host, port, tls
        The broker; without TLS it should be on loopback.
    shard, agent
        Name the topics.
    generation
        Stamped on everything this connection reports.
    report
        Called from the network thread; must only hand over.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        shard: str,
        agent: str,
        generation: int,
        report: Callable[[BrokerEvent], None],
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._topics = {leaf: topic(shard, agent, leaf) for leaf in ("data", "state", "meta", "ack")}
        self._neighbour = presence_topic(shard)
        self._agent = agent
        self._generation = generation
        self._report = report
        self._is_closed = False
        self._client = self._make_client()

    def open(self) -> None:
        """Connect in the background."""
        threading.Thread(target=self._connect, name=f"mqtt-connect-{self._generation}", daemon=True).start()

    def publish(self, payload: bytes) -> None:
        """Hand a batch to the broker."""
        self._client.publish(self._topics["data"], payload, qos=1)

    def publish_state(self, state: str) -> None:
        """Say whether we are there; retained."""
        self._client.publish(self._topics["state"], self._state(state), qos=1, retain=True)

    def publish_meta(self, payload: bytes) -> None:
        """Leave a retained copy of the latest config batch."""
        self._client.publish(self._topics["meta"], payload, qos=1, retain=True)

    def close(self) -> None:
        """Disconnect; waits for nothing."""
        self._is_closed = True
        self._client.disconnect()
        threading.Thread(target=self._client.loop_stop, name=f"mqtt-stop-{self._generation}", daemon=True).start()

    def _make_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"pue-agent-{self._agent}",
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(UNCONFIRMED_BY_BROKER)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.suppress_exceptions = True
        if self._tls:
            client.tls_set_context(self._tls)
        client.will_set(self._topics["state"], self._state("offline"), qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    def _connect(self) -> None:
        try:
            self._client.connect(self._host, self._port, keepalive=KEEPALIVE_S, clean_start=True)
        except (OSError, ValueError) as error:
            self._report(Closed(self._generation, str(error) or type(error).__name__))
            return
        if self._is_closed:
            self._client.disconnect()
        else:
            self._client.loop_start()

    def _state(self, state: str) -> bytes:
        return json.dumps({"v": 1, "agent": self._agent, "state": state}).encode()

    # paho ends its network thread, unseen, if a callback raises: these hand over values and can do nothing else.

    def _on_connect(self, client: Client, _data: Any, _flags: Any, code: ReasonCode, limits: Properties | None) -> None:
        if code.is_failure:
            self._report(Closed(self._generation, f"broker refused: {code}"))
            return
        client.subscribe([(self._topics["ack"], 1), (self._neighbour, 1)])
        self._report(Connected(self._generation, _limit(limits, "MaximumPacketSize"), _limit(limits, "ReceiveMaximum")))

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, code: ReasonCode, _more: Any) -> None:
        reason = str(code)
        self._report(Closed(self._generation, "connection lost" if reason == "Unspecified error" else reason))

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        kind = Neighbour if message.topic == self._neighbour else Message
        self._report(kind(self._generation, bytes(message.payload)))

    def _on_publish(self, _client: Client, _data: Any, _mid: int, code: ReasonCode, _more: Any) -> None:
        if code.is_failure:
            self._report(Refused(self._generation, str(code)))


def _limit(limits: Properties | None, name: str) -> int | None:
    value = getattr(limits, name, None)
    return int(value) if value is not None else None
