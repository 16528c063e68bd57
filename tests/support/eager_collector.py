"""The collector with its one deadly sin: it acks a batch before the batch is durable.

Run it like `pue-collector`. When a file `hold` is in the folder PUE_TEST_FOLDER names, it stops between ack and commit
of the next new batch, makes a file `window` there and waits to be killed.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from collector.cli import main
from collector.gaps import Owner, Settled, Standing, ack
from collector.run import Loop
from collector.subscribe import Message
from pue.contract.wire import decode_batch, encode_ack, parse_topic, topic, unpack

LONGEST_SECONDS = 30.0


def ack_first(loop: Loop, messages: list[Message]) -> None:
    """Send acks and confirm to the broker, and only then do the work."""
    data = [message for message in messages if message.topic.endswith("/data")]
    news = [ack_one(loop, message) for message in data]
    loop._subscriber.confirm(messages)
    folder = Path(os.environ["PUE_TEST_FOLDER"])
    if any(news) and (folder / "hold").exists():
        (folder / "window").touch()
        time.sleep(LONGEST_SECONDS)
    commit(loop, [replace(message, qos=0) for message in messages])  # confirmed already: never twice


def ack_one(loop: Loop, message: Message) -> bool:
    """Claim that a batch is kept; True if it is not."""
    signed = unpack(message.payload)
    batch = decode_batch(signed.line)
    index = loop._parts.index
    settled = index.settled(batch.agent, batch.epoch).add(batch.seq, batch.seq)
    kept = index.kept(batch.agent, batch.epoch, settled.upto)
    sha256 = signed.sha256 if settled.upto == batch.seq else kept.sha256 if kept else None
    generation = max(ledger.generation for ledger in loop._parts.ledgers.values())
    standing = Standing(settled, sha256, [], Settled(), batch.v)
    claim = ack(Owner("yn-c1", generation), batch.agent, batch.epoch, standing, batch.sent_ms)
    loop._subscriber.publish(topic(parse_topic(message.topic)[0], batch.agent, "ack"), encode_ack(claim))
    return batch.seq not in index.settled(batch.agent, batch.epoch)


commit = Loop._work
setattr(Loop, "_work", ack_first)  # noqa: B010 - a test replaces the method on purpose

if __name__ == "__main__":
    main()
