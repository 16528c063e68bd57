"""The agent's memory: every signed batch, in one SQLite file, until the collector has it and the retention is over."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.acks import EpochFacts, Range, merged, missing
from agent.chain import Body, Head, Sealer
from agent.spool_file import PAGE_BYTES, lock_folder, open_file
from pue.contract import wire
from pue.contract.canonical import ZERO_HASH
from pue.contract.configuration import ConfigInParts
from pue.contract.errors import Fatal, Retry
from pue.contract.wire import (
    ConfigBatch,
    ConfigBatchV1,
    DataBatch,
    Dropped,
    KeyChange,
    Restored,
    config_digest,
)

_RESERVED_PAGES = 64
_PRUNE_ROWS = 500
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Name of a batch; keys sort in the order of the chain."""

    epoch: str
    seq: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for the collector."""

    batches: int
    oldest_ms: int | None


class Spool:
    """Signed batches of one agent; one process at a time.

    A batch exists once its transaction is synced to disk. Rows leave only after the collector's ack.

    Parameters
    ----------
    folder
        The agent's state directory; created if it is missing.
    sealer
        Signs what is appended.
    max_mb
        The file never grows beyond this.
    """

    def __init__(self, folder: Path, sealer: Sealer, max_mb: int = 4096) -> None:
        self._sealer = sealer
        self._max_pages = max_mb * 1024 * 1024 // PAGE_BYTES
        self._lock = lock_folder(folder)
        try:
            self._db = open_file(folder / "spool.sqlite", self._max_pages)
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Release the file and the lock."""
        self._db.close()
        os.close(self._lock)

    # ---------------------------------------------------------------- the chain

    @property
    def head(self) -> Head | None:
        """Where the chain ends; None before the first epoch."""
        row = self._db.execute(
            "SELECT epoch, prev_epoch, head_seq, head_sha, config_sha FROM epoch ORDER BY epoch DESC LIMIT 1"
        ).fetchone()
        return Head(*row) if row else None

    def start_epoch(self, epoch: str, prev_epoch: str | None, prev: str = ZERO_HASH) -> None:
        """Open an epoch; its first batch is appended by the next call of `configure`."""
        with self._transaction():
            self._insert_epoch(Head(epoch, prev_epoch, sha256=prev))
            self._set_note("key", self._sealer.signer.key_id)

    def configure(self, config: ConfigInParts) -> list[Key]:
        """Append the manifest, and the parts that the running epoch has not yet, if its configuration is another."""
        head = self.head
        if head is not None and head.config == config.digest:
            return []
        known = self._known_parts()
        parts = [part for digest, part in config.parts.items() if digest not in known]
        return self.append([*parts, config.manifest])

    def append(self, bodies: Sequence[Body]) -> list[Key]:
        """Sign and keep batches: when this returns they are on disk, all or none.

        Raises
        ------
        Retry
            If the spool is full or the disk refuses; nothing was kept.
        """
        if not bodies:
            return []
        self._make_room()
        with self._transaction():
            return [self._insert(body) for body in bodies]

    def fork(self, epoch: str, random_epoch: str, config: ConfigInParts, restored: Restored) -> list[Key]:
        """Leave an epoch that the collector knows differently; `carry` then moves what it did not get."""
        with self._transaction():
            head = self.head
            last = (head.epoch, head.sha256) if head else (None, ZERO_HASH)
            self._db.execute("UPDATE epoch SET is_forked = 1 WHERE epoch = ?", (epoch,))
            self._insert_epoch(Head(random_epoch, last[0], sha256=last[1]))
            return [self._insert(body) for body in (restored, *config.parts.values(), config.manifest)]

    def rotate(self, epoch: str, config: ConfigInParts, reason: str) -> list[Key]:
        """Go on by another key, if the last batch was signed by one: `carry` then signs anew what is not confirmed.

        A new epoch begins whose first batch says where the old key's chain ended: nobody who still has the old key can
        add to what it signed.
        """
        head = self.head
        if head is None or head.seq == 0 or (old_key := self._last_key(head)) in (None, self._sealer.signer.key_id):
            return []
        change = KeyChange(
            old_key=old_key or "",
            last_epoch=head.epoch,
            last_seq=head.seq,
            last_sha256=head.sha256,
            reason=reason,
        )
        with self._transaction():
            self._db.execute("UPDATE epoch SET is_forked = 1")
            self._insert_epoch(Head(epoch, head.epoch, sha256=head.sha256))
            self._set_note("key", self._sealer.signer.key_id)
            return [self._insert(body) for body in (change, *config.parts.values(), config.manifest)]

    def carry(self, limit: int = 200) -> list[Key]:
        """Sign unsettled batches of left epochs anew under the running one, oldest first."""
        rows = self._db.execute(
            "SELECT id, payload FROM batch WHERE acked_ms IS NULL AND carried_seq IS NULL"
            " AND epoch IN (SELECT epoch FROM epoch WHERE is_forked) ORDER BY epoch, seq LIMIT ?",
            (limit,),
        ).fetchall()
        if not rows:
            return []
        self._make_room()
        with self._transaction():
            return [self._carry_one(row_id, payload) for row_id, payload in rows]

    # ---------------------------------------------------------------- delivery

    def unsettled(self, after: Key | None, limit: int) -> list[Key]:
        """Batches the collector has not confirmed, in chain order, after a key."""
        epoch, seq = (after.epoch, after.seq) if after else ("", 0)
        rows = self._db.execute(
            "SELECT epoch, seq FROM batch WHERE acked_ms IS NULL AND carried_seq IS NULL AND (epoch, seq) > (?, ?)"
            " AND epoch NOT IN (SELECT epoch FROM epoch WHERE is_forked) ORDER BY epoch, seq LIMIT ?",
            (epoch, seq, limit),
        )
        return [Key(*row) for row in rows]

    def payload(self, key: Key) -> bytes:
        """What is published: gzip of the signed line."""
        row = self._db.execute("SELECT payload FROM batch WHERE epoch = ? AND seq = ?", (key.epoch, key.seq)).fetchone()
        if row is None:
            raise KeyError(key)
        return bytes(row[0])

    def latest_config(self) -> bytes | None:
        """Payload of the latest config batch, for the retained copy."""
        row = self._db.execute(
            "SELECT payload FROM batch WHERE kind = 'config' ORDER BY epoch DESC, seq DESC LIMIT 1"
        ).fetchone()
        return bytes(row[0]) if row else None

    def backlog(self) -> Backlog:
        """How much waits, and since when."""
        where = "FROM batch WHERE acked_ms IS NULL AND carried_seq IS NULL"
        (batches,) = self._db.execute(f"SELECT count(*) {where}").fetchone()
        oldest = self._db.execute(f"SELECT appended_ms {where} ORDER BY epoch, seq LIMIT 1").fetchone()
        return Backlog(batches, oldest[0] if oldest else None)

    # ---------------------------------------------------------------- acks

    def facts(self, epoch: str, upto: int) -> EpochFacts | None:
        """What we know about the epoch of an ack."""
        row = self._db.execute(
            "SELECT is_forked, head_seq, acked_upto, pruned_upto, pruned_sha FROM epoch WHERE epoch = ?", (epoch,)
        ).fetchone()
        if row is None:
            return None
        found = self._db.execute("SELECT sha FROM batch WHERE epoch = ? AND seq = ?", (epoch, upto)).fetchone()
        # Of pruned batches only the last one's hash is kept: older acks cannot be checked any more, and need not be.
        sha = found[0] if found else row[4] if upto and upto == row[3] else None
        return EpochFacts(not row[0], row[1], row[2], sha)

    def settle(
        self, epoch: str, ranges: Sequence[Range], upto: int, *, regressed: bool = False, anew: bool = False
    ) -> int:
        """Note what the collector has; returns how many batches that settled for the first time.

        A collector heard `anew` may have lost batches beyond a gap, which `upto` cannot tell: what it does not name
        is sent again.
        """
        with self._transaction():
            settled = sum(self._settle_range(epoch, low, high) for low, high in ranges)
            if regressed or anew:
                self._unsettle(epoch, ranges)
            if regressed:
                self._db.execute("UPDATE epoch SET acked_upto = ? WHERE epoch = ?", (upto, epoch))
            self._db.execute("UPDATE epoch SET acked_upto = max(acked_upto, ?) WHERE epoch = ?", (upto, epoch))
        return settled

    @property
    def generation(self) -> int:
        """The latest owner of our shard that was ever believed; 0 before the first."""
        return int(self._note("generation") or 0)

    def believe(self, generation: int) -> None:
        """Remember the latest owner: after a restart an older one is believed no more than before."""
        with self._transaction():
            self._set_note("generation", str(generation))

    def gone(self, epoch: str, ranges: Sequence[Range]) -> list[Dropped]:
        """Batches the collector asks for and we no longer keep, each declared once."""
        (pruned,) = self._db.execute("SELECT pruned_upto FROM epoch WHERE epoch = ?", (epoch,)).fetchone()
        known = self._db.execute("SELECT from_seq, to_seq FROM declared WHERE epoch = ?", (epoch,)).fetchall()
        kept = self._db.execute("SELECT seq, seq FROM batch WHERE epoch = ? AND seq <= ?", (epoch, pruned)).fetchall()
        lost = missing(merged([*ranges, *known, *kept], pruned), pruned)
        reason = "acknowledged before, deleted when the retention was over"
        return [Dropped(epoch=epoch, from_seq=low, to_seq=high, reason=reason) for low, high in lost]

    def declare(self, dropped: Sequence[Dropped]) -> list[Key]:
        """Append the signed statements that batches are gone."""
        with self._transaction():
            for gap in dropped:
                self._db.execute("INSERT INTO declared VALUES (?, ?, ?)", (gap.epoch, gap.from_seq, gap.to_seq))
            return [self._insert(gap) for gap in dropped]

    def prune(self, retain_days: float) -> int:
        """Delete what the collector has and the retention no longer needs; returns how many batches."""
        before_ms = self._sealer.clock.wall_ms() - round(retain_days * _DAY_MS)
        return sum(self._prune_epoch(epoch, before_ms) for (epoch,) in self._db.execute("SELECT epoch FROM epoch"))

    # ---------------------------------------------------------------- inside a transaction

    def _note(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def _set_note(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (name, value))

    def _last_key(self, head: Head) -> str | None:
        """Key that signed the last batch; release 0.1 did not note it. None if that batch is gone as well."""
        if key := self._note("key"):
            return key
        query = "SELECT payload FROM batch WHERE epoch = ? AND seq = ?"
        row = self._db.execute(query, (head.epoch, head.seq)).fetchone()
        return wire.decode_batch(wire.unpack(row[0]).line).key if row else None

    def _known_parts(self) -> set[str]:
        """Digests of what the running epoch has sent of configurations."""
        head = self.head
        epoch = head.epoch if head else ""
        rows = self._db.execute("SELECT payload FROM batch WHERE epoch = ? AND kind = 'config'", (epoch,))
        batches = (wire.decode_batch(wire.unpack(payload).line) for (payload,) in rows)
        return {config_digest(batch.body) for batch in batches if isinstance(batch, ConfigBatch)}

    def _insert_epoch(self, head: Head) -> None:
        self._db.execute(
            "INSERT INTO epoch (epoch, prev_epoch, head_seq, head_sha) VALUES (?, ?, ?, ?)",
            (head.epoch, head.prev_epoch, head.seq, head.sha256),
        )

    def _insert(self, body: Body, config: str | None = None) -> Key:
        head = self.head
        if head is None:
            raise Fatal("the spool has no epoch; start one first")
        signed, after = self._sealer.seal(head, body, config)
        self._db.execute(
            "INSERT INTO batch (epoch, seq, sha, kind, payload, appended_ms) VALUES (?, ?, ?, ?, ?, ?)",
            (after.epoch, after.seq, signed.sha256, _kind(body), signed.payload(), self._sealer.clock.wall_ms()),
        )
        self._db.execute(
            "UPDATE epoch SET head_seq = ?, head_sha = ?, config_sha = ? WHERE epoch = ?",
            (after.seq, after.sha256, after.config, after.epoch),
        )
        return Key(after.epoch, after.seq)

    def _carry_one(self, row_id: int, payload: bytes) -> Key:
        """Readings keep naming the config batch they were taken with, which is carried or confirmed itself."""
        batch = wire.decode_batch(wire.unpack(payload).line)
        config = self._config_for(batch.config) if isinstance(batch, DataBatch) else None
        if isinstance(batch, ConfigBatch | ConfigBatchV1):
            key = self._carry_config(batch)
        else:
            key = self._insert(batch.body, config)
        self._db.execute(
            "UPDATE batch SET carried_epoch = ?, carried_seq = ? WHERE id = ?", (key.epoch, key.seq, row_id)
        )
        return key

    def _carry_config(self, batch: ConfigBatch | ConfigBatchV1) -> Key:
        """Append an old configuration for the readings that need it, without making it the running one."""
        running = self.head
        key = self._insert(batch.body)
        if running is not None:
            self._db.execute("UPDATE epoch SET config_sha = ? WHERE epoch = ?", (running.config, running.epoch))
        return key

    def _config_for(self, config_sha: str | None) -> str | None:
        """The name under which the collector will know a config batch: its carried copy, or itself."""
        row = self._db.execute(
            "SELECT new.sha FROM batch old JOIN batch new ON new.epoch = old.carried_epoch"
            " AND new.seq = old.carried_seq WHERE old.sha = ?",
            (config_sha,),
        ).fetchone()
        return row[0] if row else config_sha

    def _settle_range(self, epoch: str, low: int, high: int) -> int:
        now_ms = self._sealer.clock.wall_ms()
        self._db.execute(
            "UPDATE batch SET acked_ms = ? WHERE carried_epoch = ? AND carried_seq BETWEEN ? AND ?"
            " AND acked_ms IS NULL",
            (now_ms, epoch, low, high),
        )
        done = self._db.execute(
            "UPDATE batch SET acked_ms = ? WHERE epoch = ? AND seq BETWEEN ? AND ? AND acked_ms IS NULL",
            (now_ms, epoch, low, high),
        )
        return done.rowcount

    def _unsettle(self, epoch: str, ranges: Sequence[Range]) -> None:
        (head_seq,) = self._db.execute("SELECT head_seq FROM epoch WHERE epoch = ?", (epoch,)).fetchone()
        # What the collector does not name it has not, whatever it said before.
        for low, high in missing(ranges, head_seq):
            self._db.execute(
                "UPDATE batch SET acked_ms = NULL WHERE epoch = ? AND seq BETWEEN ? AND ?", (epoch, low, high)
            )

    # ---------------------------------------------------------------- space

    def _make_room(self) -> None:
        """Give up the retention of confirmed batches, oldest first, before refusing to take new ones."""
        while self._used_pages() + _RESERVED_PAGES > self._max_pages:
            if not self._prune_oldest():
                limit_mb = self._max_pages * PAGE_BYTES // 1024 // 1024
                raise Retry(
                    f"the spool holds {limit_mb} MB the collector has not confirmed; raise agent.spool_max_mb "
                    "or bring the collector back"
                )

    def _used_pages(self) -> int:
        (total,) = self._db.execute("PRAGMA page_count").fetchone()
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        # Pages on the free list belong to the file and are used again before it grows.
        return int(total) - int(free)

    def _prune_oldest(self) -> int:
        epochs = self._db.execute("SELECT epoch FROM epoch ORDER BY epoch").fetchall()
        return next((done for (epoch,) in epochs if (done := self._prune_epoch(epoch, None))), 0)

    def _prune_epoch(self, epoch: str, before_ms: int | None) -> int:
        """Delete up to a few hundred confirmed batches from the low end; config batches stay."""
        with self._transaction():
            rows = self._db.execute(
                "SELECT seq, sha, acked_ms FROM batch WHERE epoch = ? AND kind != 'config' ORDER BY seq LIMIT ?",
                (epoch, _PRUNE_ROWS),
            ).fetchall()
            done = list(_deletable(rows, before_ms))
            if done:
                last_seq, last_sha = done[-1]
                self._db.execute(
                    "DELETE FROM batch WHERE epoch = ? AND seq <= ? AND kind != 'config'", (epoch, last_seq)
                )
                self._db.execute(
                    "UPDATE epoch SET pruned_upto = ?, pruned_sha = ? WHERE epoch = ?", (last_seq, last_sha, epoch)
                )
        return len(done)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, on disk when it ends."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise Retry(f"the spool cannot be written ({error}); free the disk it is on") from error
            raise


def _deletable(rows: Iterable[tuple[int, str, int | None]], before_ms: int | None) -> Iterator[tuple[int, str]]:
    for seq, sha, acked_ms in rows:
        if acked_ms is None or (before_ms is not None and acked_ms > before_ms):
            return
        yield seq, sha


def _kind(body: Body) -> str:
    if isinstance(body, wire.Readings):
        return "data"
    return "event" if isinstance(body, wire.Event) else "config"
