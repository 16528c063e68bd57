"""What the promise is asked of: every number of every agent that is not simply kept, and what is held back."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from collector.gaps import Settled
from pue.contract.errors import Fatal, Reject
from pue.contract.wire import unpack


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers of an epoch of which no original is at hand, both ends included, and why."""

    agent: str
    epoch: str
    from_seq: int
    to_seq: int
    why: str


@dataclass(frozen=True, slots=True)
class Held:
    """A message in quarantine; repetitions are counted. [ms UTC]"""

    number: int
    reason: str
    message: str
    first_ms: int
    last_ms: int
    times: int


def gaps(db: sqlite3.Connection, agent: str | None = None) -> list[Gap]:
    """All gaps of one agent or of all, by agent, epoch and number.

    What an agent has not sent at all, behind its highest number, cannot be known here.
    """
    found = [*_missing(db), *_held(db), *_declared(db), *_refused(db), *_damaged(db)]
    chosen = (gap for gap in found if agent in (None, gap.agent))
    return sorted(chosen, key=lambda gap: (gap.agent, gap.epoch, gap.from_seq, gap.why))


def kept(db: sqlite3.Connection, agent: str | None = None) -> int:
    """Number of batches that are kept."""
    query = "SELECT count(*) FROM batch WHERE :agent IS NULL OR agent = :agent"
    return int(db.execute(query, {"agent": agent}).fetchone()[0])


def held(db: sqlite3.Connection) -> list[Held]:
    """What is in quarantine, oldest first."""
    rows = db.execute("SELECT id, reason, message, first_ms, last_ms, times FROM quarantine ORDER BY id")
    return [Held(*row) for row in rows]


def original(db: sqlite3.Connection, number: int) -> str:
    """The line of a message in quarantine, or what can be shown of bytes that are none.

    Raises
    ------
    Fatal
        If there is no such message.
    """
    row = db.execute("SELECT payload FROM quarantine WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise Fatal(f"no message {number} is in quarantine; `pue-collector quarantine list` shows their numbers")
    try:
        return unpack(row[0]).line.decode("utf-8", "backslashreplace")
    except Reject as error:
        return f"{len(row[0])} bytes that are no batch ({error}): {row[0][:200].hex()}"


def _missing(db: sqlite3.Connection) -> Iterator[Gap]:
    for agent, epoch, text in db.execute("SELECT agent, epoch, settled FROM epoch").fetchall():
        settled = Settled(tuple((low, high) for low, high in json.loads(text)))
        for (seq,) in db.execute("SELECT seq FROM held WHERE agent = ? AND epoch = ?", (agent, epoch)):
            settled = settled.add(seq, seq)
        for low, high in settled.missing:
            yield Gap(agent, epoch, low, high, "missing: not sent yet, or in quarantine without proof of who sent it")


def _held(db: sqlite3.Connection) -> Iterator[Gap]:
    for agent, epoch, seq, waits_for in db.execute("SELECT * FROM held").fetchall():
        if re.fullmatch(r"[0-9a-f]{64}", waits_for):
            yield Gap(agent, epoch, seq, seq, f"kept: waits for configuration {waits_for}")
        else:
            yield Gap(agent, epoch, seq, seq, f"held for a person to release: {waits_for}")


def _declared(db: sqlite3.Connection) -> Iterator[Gap]:
    for agent, epoch, low, high, reason in db.execute("SELECT * FROM declared").fetchall():
        yield Gap(agent, epoch, low, high, f"declared lost by the agent: {reason}")


def _refused(db: sqlite3.Connection) -> Iterator[Gap]:
    for agent, epoch, seq, reason in db.execute("SELECT agent, epoch, seq, reason FROM refused").fetchall():
        yield Gap(agent, epoch, seq, seq, f"refused: {reason}")


def _damaged(db: sqlite3.Connection) -> Iterator[Gap]:
    query = "SELECT agent, epoch, seq, record FROM damaged JOIN batch USING (shard, record) WHERE state <> 'back'"
    for agent, epoch, seq, record in db.execute(query).fetchall():
        yield Gap(agent, epoch, seq, seq, f"damaged: record {record} of the ledger, asked for again")
