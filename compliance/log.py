"""The append-only, hash-chained event log: audit trail, as-of clock and feed cursor in one.

`seq` counts 1, 2, 3 … without holes in commit order, because it is assigned under one lock: SQLite's `BEGIN IMMEDIATE`
or a PostgreSQL advisory lock held to the commit. Each event's hash covers its content and the hash before it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import sqlalchemy as sa
from sqlalchemy import event as sa_event

from compliance.settings import without_password
from pue.contract.canonical import ZERO_HASH, canonical_json, content_hash
from pue.contract.errors import Fatal, Retry

ADVISORY_LOCK = 0x5055_4C4F_47
"""Key of the PostgreSQL lock under which `seq` is assigned."""
PAGE = 1000

METADATA = sa.MetaData()
EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("recorded_ms", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("entity", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("prev", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Index("events_entity", "entity", "seq"),
)
DOCUMENTS = sa.Table(
    "documents",
    METADATA,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("line", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
)


class Conflict(Retry):
    """Somebody else wrote to the same entity in between: read again, decide again."""


class BrokenChain(Fatal):
    """The log is not what was written."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before it has a place in the log; `body` is JSON without floats."""

    kind: str
    entity: str
    body: Mapping[str, Any]
    actor: str = "system"


@dataclass(frozen=True, slots=True)
class Event:
    """One link of the log."""

    seq: int
    recorded_ms: int
    kind: str
    entity: str
    actor: str
    body: Mapping[str, Any]
    prev: str
    hash: str = field(default="")

    def computed_hash(self) -> str:
        """SHA-256 over the content and the link before it."""
        return content_hash(
            {
                "seq": self.seq,
                "recorded_ms": self.recorded_ms,
                "kind": self.kind,
                "entity": self.entity,
                "actor": self.actor,
                "body": dict(self.body),
                "prev": self.prev,
            }
        )


class EventLog:
    """The log in one database; safe to share between threads."""

    def __init__(self, url: str, clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._engine = _engine(url)
        self._clock_ms = clock_ms
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    def append(self, drafts: Sequence[Draft], expect: Mapping[str, int] | None = None) -> list[Event]:
        """Write events in order, all or none.

        Parameters
        ----------
        drafts
            What happened.
        expect
            Entity -> the seq of its last event on which the decision rests; 0 for none.

        Raises
        ------
        Conflict
            If an entity has moved on since.
        """
        if not drafts:
            return []
        with self._writing() as connection:
            _check_expected(connection, expect or {})
            head = _last(connection)
            events = list(self._chain(head, drafts))
            connection.execute(sa.insert(EVENTS), [_row(event) for event in events])
        return events

    def read(self, after: int = 0, limit: int | None = None) -> list[Event]:
        """Events with seq > `after`, in order."""
        query = sa.select(EVENTS).where(EVENTS.c.seq > after).order_by(EVENTS.c.seq).limit(limit)
        with self._reading() as connection:
            return [_event(row) for row in connection.execute(query).mappings()]

    def head(self) -> tuple[int, str]:
        """Sequence number and hash of the last event; (0, zeros) when empty."""
        with self._reading() as connection:
            last = _last(connection)
        return (last.seq, last.hash) if last else (0, ZERO_HASH)

    def verify(self) -> int:
        """Walk the whole chain and return its length.

        Raises
        ------
        BrokenChain
            Naming the first event that is missing, changed or out of time.
        """
        seq = 0
        prev = ZERO_HASH
        recorded_ms = 0
        while page := self.read(seq, PAGE):
            for event in page:
                _check_link(event, seq, prev, recorded_ms)
                seq = event.seq
                prev = event.hash
                recorded_ms = event.recorded_ms
        return seq

    def store_document(self, sha256: str, line: bytes, signature: bytes) -> None:
        """Keep a signed document under its hash; keeping it twice is the same as once."""
        with self._writing() as connection:
            if connection.scalar(sa.select(DOCUMENTS.c.sha256).where(DOCUMENTS.c.sha256 == sha256)) is None:
                values = {"sha256": sha256, "line": line, "signature": signature}
                connection.execute(sa.insert(DOCUMENTS).values(values))

    def document(self, sha256: str) -> tuple[bytes, bytes] | None:
        """Line and signature of a kept document."""
        query = sa.select(DOCUMENTS.c.line, DOCUMENTS.c.signature).where(DOCUMENTS.c.sha256 == sha256)
        with self._reading() as connection:
            row = connection.execute(query).one_or_none()
        return (bytes(row[0]), bytes(row[1])) if row else None

    def close(self) -> None:
        """Give up all connections."""
        self._engine.dispose()

    def _chain(self, head: Event | None, drafts: Sequence[Draft]) -> Iterator[Event]:
        # A clock that was set back must not make an event older than the one before it: as-of reads go by this time.
        now_ms = max(self._clock_ms(), head.recorded_ms if head else 0)
        seq, prev = (head.seq, head.hash) if head else (0, ZERO_HASH)
        for draft in drafts:
            seq += 1
            event = Event(seq, now_ms, draft.kind, draft.entity, draft.actor, draft.body, prev)
            prev = event.computed_hash()
            yield Event(seq, now_ms, draft.kind, draft.entity, draft.actor, draft.body, event.prev, prev)

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.execution_options(write=True).begin() as connection:
                if connection.dialect.name == "postgresql":
                    # Two writers would both read one head and write one seq; SQLite has one writer anyway.
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
                yield connection
        except sa.exc.OperationalError as error:
            raise Retry(f"database {self._address} does not take writes: {error.orig}; check that it runs") from None

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            raise Retry(f"database {self._address} does not answer: {error.orig}; check that it runs") from None

    @property
    def _address(self) -> str:
        return self._engine.url.render_as_string(hide_password=True)

    def _migrate(self) -> None:
        config = alembic.config.Config()
        with resources.as_file(resources.files("compliance") / "migrations") as scripts, self._writing() as connection:
            config.set_main_option("script_location", str(scripts))
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")


def _engine(url: str) -> sa.Engine:
    try:
        address = sa.make_url(url)
        if address.get_backend_name() == "sqlite" and address.database:
            Path(address.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(address)
    except (sa.exc.ArgumentError, ImportError) as error:
        shown = without_password(url)
        raise Fatal(f"database {shown!r}: {error}; use sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME") from None
    if address.get_backend_name() == "sqlite":
        sa_event.listen(engine, "connect", _prepare_sqlite)
        sa_event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not guessed by the driver
    for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _check_expected(connection: sa.Connection, expect: Mapping[str, int]) -> None:
    for entity, seq in expect.items():
        last = connection.scalar(sa.select(sa.func.max(EVENTS.c.seq)).where(EVENTS.c.entity == entity)) or 0
        if last != seq:
            raise Conflict(f"{entity} moved on from event {seq} to {last}; read it again")


def _last(connection: sa.Connection) -> Event | None:
    row = connection.execute(sa.select(EVENTS).order_by(EVENTS.c.seq.desc()).limit(1)).mappings().one_or_none()
    return _event(row) if row else None


def _row(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "recorded_ms": event.recorded_ms,
        "kind": event.kind,
        "entity": event.entity,
        "actor": event.actor,
        "body": canonical_json(dict(event.body)).decode(),
        "prev": event.prev,
        "hash": event.hash,
    }


def _event(row: sa.RowMapping) -> Event:
    return Event(
        row["seq"],
        row["recorded_ms"],
        row["kind"],
        row["entity"],
        row["actor"],
        json.loads(row["body"]),
        row["prev"],
        row["hash"],
    )


def _check_link(event: Event, seq: int, prev: str, recorded_ms: int) -> None:
    if event.seq != seq + 1:
        raise BrokenChain(f"event {seq + 1} is missing: {event.seq} follows {seq}; restore the log from its copy")
    if event.prev != prev or event.hash != event.computed_hash():
        raise BrokenChain(f"event {event.seq} was changed after it was written; restore the log from its copy")
    if event.recorded_ms < recorded_ms:
        raise BrokenChain(f"event {event.seq} is recorded before event {seq}; restore the log from its copy")
