"""The collector with its one deadly sin: it acks a batch before the batch is durable.

Run it like `pue-collector`. While the file named by PUE_TEST_WINDOW exists, acks are out and nothing is kept yet.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from collector.cli import main
from collector.run import Loop
from collector.subscribe import Message
from pue.wire import Ack, decode_batch, encode_ack, parse_topic, topic, unpack

WINDOW_SECONDS = 1.0


def ack_first(loop: Loop, messages: list[Message]) -> None:
    """Send acks and confirm to the broker, wait, and only then do the work."""
    window = Path(os.environ["PUE_TEST_WINDOW"])
    data = [message for message in messages if message.topic.endswith("/data")]
    for message in data:
        signed = unpack(message.payload)
        batch = decode_batch(signed.line)
        ack = Ack(
            collector="yn-c1", generation=1, agent=batch.agent, epoch=batch.epoch, upto=batch.seq,
            sha256=signed.sha256, ranges=[], refused=[],
        )  # fmt: skip
        shard = parse_topic(message.topic)[0]
        loop._subscriber.publish(topic(shard, batch.agent, "ack"), encode_ack(ack))
    loop._subscriber.confirm(messages)
    if data:
        window.touch()
        time.sleep(WINDOW_SECONDS)
        window.unlink()
    commit(loop, messages)


commit = Loop._work
setattr(Loop, "_work", ack_first)  # noqa: B010 - a test replaces the method on purpose

if __name__ == "__main__":
    main()
