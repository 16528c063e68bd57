"""An agent's end of the broker, scripted: publishes batches and remembers acks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from pue.contract.wire import Ack, SignedLine, decode_ack, topic
from tests.support.plants import FakeAgent
from tests.support.servers import wait_until


class Link:
    """One agent's connection."""

    def __init__(self, agent: FakeAgent, port: int) -> None:
        self.agent = agent
        self.acks: list[Ack] = []
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, f"test-{agent.agent}", protocol=MQTTProtocolVersion.MQTTv5)
        self._client.max_inflight_messages_set(100)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(10), "the broker does not answer"

    def publish(self, *batches: SignedLine) -> None:
        for signed in batches:
            self.publish_bytes(signed.payload())

    def publish_bytes(self, payload: bytes) -> None:
        self._client.publish(topic(self.agent.shard, self.agent.agent, "data"), payload, qos=1).wait_for_publish(10)

    def publish_many(self, payloads: list[bytes]) -> None:
        """Without waiting for each."""
        name = topic(self.agent.shard, self.agent.agent, "data")
        sent = [self._client.publish(name, payload, qos=1) for payload in payloads]
        for info in sent:
            info.wait_for_publish(60)

    def announce(self) -> None:
        name = topic(self.agent.shard, self.agent.agent, "state")
        state = json.dumps({"v": 1, "agent": self.agent.agent, "state": "online"})
        self._client.publish(name, state, qos=1, retain=True).wait_for_publish(10)

    def acked(self, upto: int, epoch: str | None = None) -> Ack:
        """The first ack that says at least this much."""
        epoch = epoch or self.agent.epoch

        def found() -> list[Ack]:
            return [ack for ack in self.acks if ack.epoch == epoch and ack.upto >= upto]

        wait_until(found, f"an ack of {self.agent.agent} up to {upto}; there are {self.acks[-2:]}")
        return found()[0]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe(topic(self.agent.shard, self.agent.agent, "ack"), qos=1)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self.acks.append(decode_ack(bytes(message.payload)))


@contextmanager
def link(agent: FakeAgent, port: int) -> Iterator[Link]:
    """A connected link."""
    made = Link(agent, port)
    try:
        yield made
    finally:
        made.close()
