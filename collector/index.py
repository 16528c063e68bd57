"""Which original stands where and what is settled: everything admission has to look up, derivable from the ledger."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator

from collector.admit import Commit, Kept, Place, Refuse
from collector.configs import AnyConfigBatch, KeptConfig, config_name, put_together
from collector.gaps import Settled, settle
from collector.incidents import Incident, IncidentKind
from collector.ledger import Ledger, LedgerReader, Lost, Record
from pue.contract.canonical import sha256_hex
from pue.contract.errors import Reject
from pue.contract.wire import (
    SUPPORTED_VERSIONS,
    Batch,
    ConfigBatch,
    ConfigBatchV1,
    DataBatch,
    Dropped,
    EventBatch,
    Handover,
    KeyChange,
    decode_batch,
)

MAX_REFUSED_IN_ACK = 100
MIB = 1024 * 1024
ROW_BYTES = 1000
"""What one refusal costs beside its payload."""


class Index:
    """Admission's memory on one database connection; callers open the transaction.

    Parameters
    ----------
    db
        From `collector.database.connect`.
    ledgers
        The shards' ledgers, for configurations.
    """

    def __init__(self, db: sqlite3.Connection, ledgers: dict[str, Ledger]) -> None:
        self.db = db
        self._ledgers = ledgers
        self._settled: dict[tuple[str, str], Settled] = {}
        self._newest: dict[str, str] = {}
        self._configs: dict[str, KeptConfig] = {}
        self._fresh: dict[str, AnyConfigBatch] = {}
        self._versions: dict[tuple[str, str], int] = {}
        self._dirty: set[tuple[str, str]] = set()
        self._used: dict[str, int] = {}
        self._is_quiet: bool | None = None
        self._damaged = self._read_damaged()

    # What `collector.admit.Known` asks for.

    def kept(self, agent: str, epoch: str, seq: int) -> Kept | None:
        row = self.db.execute(
            "SELECT sha256, prev, shard, record FROM batch WHERE agent = ? AND epoch = ? AND seq = ?",
            (agent, epoch, seq),
        ).fetchone()
        return Kept(row[0], row[1], is_damaged=(row[2], row[3]) in self._damaged) if row else None

    def config(self, name: str) -> KeptConfig | None:
        found = self._configs.get(name) or put_together(name, self._config_batch)
        if found is not None:
            self._configs[name] = found
        return found

    def newest_epoch(self, agent: str) -> str | None:
        if agent not in self._newest:
            row = self.db.execute("SELECT max(epoch) FROM epoch WHERE agent = ?", (agent,)).fetchone()
            self._newest[agent] = row[0] or ""
        return self._newest[agent] or None

    def handover(self, agent: str, epoch: str) -> str | None:
        row = self.db.execute("SELECT handover FROM epoch WHERE agent = ? AND epoch = ?", (agent, epoch)).fetchone()
        return row[0] if row else None

    def key_end(self, agent: str, key: str) -> tuple[str, int, str] | None:
        query = "SELECT epoch, seq, sha256 FROM key_end WHERE agent = ? AND key = ?"
        row: tuple[str, int, str] | None = self.db.execute(query, (agent, key)).fetchone()
        return row

    # Damage.

    def unsettle_damaged(self) -> list[tuple[str, str, str]]:
        """Ask again for originals found to be damaged. Returns shard, agent and epoch of what changed.

        A record that is filed under no batch is asked for by itself: its number was never acked.
        """
        found = self.db.execute(
            "SELECT b.shard, b.agent, b.epoch, b.seq FROM damaged d JOIN batch b USING (shard, record) "
            "WHERE d.state = 'found'"
        ).fetchall()
        for _, agent, epoch, seq in found:
            self._settled[agent, epoch] = self.settled(agent, epoch).without(seq)
            self._dirty.add((agent, epoch))
        self.db.execute("UPDATE damaged SET state = 'asked' WHERE state = 'found'")
        self._damaged = self._read_damaged()
        return list(dict.fromkeys((shard, agent, epoch) for shard, agent, epoch, _ in found))

    def has_new_damage(self) -> bool:
        """Whether there is anything to ask for again; read often, so it takes no lock."""
        return self.db.execute("SELECT 1 FROM damaged WHERE state = 'found' LIMIT 1").fetchone() is not None

    def damaged_place(self, place: Place) -> tuple[int, int]:
        """Record number of a damaged batch, and the receive time that its repair takes."""
        row = self.db.execute(
            "SELECT record, received_ms FROM batch JOIN damaged USING (shard, record) "
            "WHERE agent = ? AND epoch = ? AND seq = ?",
            (place.agent, place.epoch, place.seq),
        ).fetchone()
        return int(row[0]), int(row[1])

    def repaired(self, place: Place, record: int) -> None:
        """A damaged original is back: it is settled again, and projected again."""
        self.db.execute("UPDATE damaged SET state = 'back' WHERE shard = ? AND record = ?", (place.shard, record))
        self._damaged.discard((place.shard, record))
        self.settle(place.agent, place.epoch, place.seq, place.seq)

    def _read_damaged(self) -> set[tuple[str, int]]:
        return set(self.db.execute("SELECT shard, record FROM damaged WHERE state <> 'back'").fetchall())

    # What a group of batches changes.

    def keep(self, commit: Commit, record: int) -> None:
        """File a batch that stands, or is about to stand, in the ledger."""
        place = commit.place
        batch = commit.batch
        self.db.execute(
            "INSERT OR IGNORE INTO batch VALUES (?, ?, ?, ?, ?, ?, ?)",
            (place.agent, place.epoch, place.seq, commit.sha256, batch.prev, place.shard, record),
        )
        self.db.execute(
            "DELETE FROM refused WHERE agent = ? AND epoch = ? AND seq = ?", (place.agent, place.epoch, place.seq)
        )
        self.db.execute(
            "DELETE FROM held WHERE agent = ? AND epoch = ? AND seq = ?", (place.agent, place.epoch, place.seq)
        )
        self._note_version(place, batch.v)
        if isinstance(batch, DataBatch) and self.config(batch.config or "") is None:
            self._hold(place, batch.config or "")
            return
        self.settle(place.agent, place.epoch, place.seq, place.seq)
        if isinstance(batch, ConfigBatch | ConfigBatchV1):
            self._file_config(config_name(batch, commit.sha256), batch, place, record)
        elif isinstance(batch, EventBatch):
            self._file_event(commit)

    def settle(self, agent: str, epoch: str, low: int, high: int) -> None:
        """Note that these numbers need not be sent again."""
        self._settled[agent, epoch] = self.settled(agent, epoch).add(low, high)
        self._touch(agent, epoch)

    def refuse(self, refusal: Refuse, payload: bytes, now_ms: int, limit_mib: int) -> None:
        """Count a refusal and keep its bytes, as far as the quarantine has room."""
        place = refusal.place
        if place and refusal.is_held:
            self._hold(place, refusal.reason.value)
        elif place and refusal.settles:
            row = (place.agent, place.epoch, place.seq, refusal.reason.value)
            self.db.execute("INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?)", row)
            self.settle(place.agent, place.epoch, place.seq, place.seq)
        seen = (now_ms, refusal.reason.value, refusal.message[:2000], sha256_hex(payload))
        again = self.db.execute(
            "UPDATE quarantine SET last_ms = ?, reason = ?, message = ?, times = times + 1 WHERE sha256 = ?", seen
        )
        agent = place.agent if place else ""
        if again.rowcount == 0 and self._quarantine_bytes(agent) + len(payload) <= limit_mib * MIB:
            self._used[agent] += len(payload) + ROW_BYTES
            self._is_quiet = False
            self.db.execute(
                "INSERT INTO quarantine (last_ms, reason, message, sha256, first_ms, times, payload, agent) "
                "VALUES (?, ?, ?, ?, ?, 1, ?, ?)",
                (*seen, now_ms, payload, agent),
            )

    def _quarantine_bytes(self, agent: str) -> int:
        """Of an agent that proved itself, each with room of its own; of all others together under no name."""
        if agent not in self._used:
            query = "SELECT coalesce(sum(length(payload) + ?), 0) FROM quarantine WHERE agent = ?"
            self._used[agent] = int(self.db.execute(query, (ROW_BYTES, agent)).fetchone()[0])
        return self._used[agent]

    def release(self, payload: bytes) -> None:
        """Take a batch out of quarantine: it is kept now."""
        if self._has_quarantine():
            gone = self.db.execute("DELETE FROM quarantine WHERE sha256 = ?", (sha256_hex(payload),))
            if gone.rowcount:
                self._used.clear()
                self._is_quiet = None

    def _has_quarantine(self) -> bool:
        """Whether there is anything in it; asked for every batch that is kept, so it is remembered."""
        if self._is_quiet is None:
            self._is_quiet = self.db.execute("SELECT 1 FROM quarantine LIMIT 1").fetchone() is None
        return not self._is_quiet

    def quarantined(self) -> Iterator[tuple[bytes, int]]:
        """Bytes in quarantine and when they came first, oldest first. [ms UTC]"""
        ids = [row[0] for row in self.db.execute("SELECT id FROM quarantine ORDER BY id")]
        for number in ids:
            row = self.db.execute("SELECT payload, first_ms FROM quarantine WHERE id = ?", (number,)).fetchone()
            if row:
                yield row[0], row[1]

    def report(self, incidents: Iterable[Incident], now_ms: int) -> None:
        """File incidents; the same one again is counted."""
        report(self.db, incidents, now_ms)

    def flush(self, indexed: dict[str, int]) -> None:
        """Write what changed in memory, and up to which record each shard is indexed."""
        # Written once a group, not once a batch: a thousand batches of an epoch change its ranges a thousand times.
        for agent, epoch in self._dirty:
            text = json.dumps(self.settled(agent, epoch).ranges, separators=(",", ":"))
            self.db.execute(
                "INSERT INTO epoch (agent, epoch, settled, version) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET settled = excluded.settled, version = excluded.version",
                (agent, epoch, text, self.version(agent, epoch)),
            )
        self._dirty.clear()
        for shard, record in indexed.items():
            self.db.execute(
                "INSERT INTO shard (shard, indexed) VALUES (?, ?) ON CONFLICT DO UPDATE SET indexed = excluded.indexed",
                (shard, record),
            )

    def committed(self) -> None:
        """The transaction is durable: configurations of the group can be read from the ledger."""
        self._fresh.clear()

    def forget(self) -> None:
        """The transaction was rolled back: read everything anew."""
        for memory in (self._settled, self._newest, self._fresh, self._configs, self._versions):
            memory.clear()
        self._dirty.clear()
        self._used.clear()
        self._is_quiet = None
        self._damaged = self._read_damaged()

    # What the ack says.

    def settled(self, agent: str, epoch: str) -> Settled:
        """Settled numbers of an epoch."""
        known = self._settled.get((agent, epoch))
        if known is None:
            row = self.db.execute("SELECT settled FROM epoch WHERE agent = ? AND epoch = ?", (agent, epoch)).fetchone()
            known = Settled(tuple((low, high) for low, high in json.loads(row[0]))) if row else Settled()
            self._settled[agent, epoch] = known
        return known

    def held(self, agent: str, epoch: str) -> Settled:
        """Numbers that are kept and wait for their configuration, or wait in quarantine for a person."""
        rows = self.db.execute("SELECT seq FROM held WHERE agent = ? AND epoch = ?", (agent, epoch))
        return settle(seq for (seq,) in rows)

    def version(self, agent: str, epoch: str) -> int:
        """Of the wire, as the agent last spoke it."""
        if (agent, epoch) not in self._versions:
            query = "SELECT version FROM epoch WHERE agent = ? AND epoch = ?"
            row = self.db.execute(query, (agent, epoch)).fetchone()
            self._versions[agent, epoch] = int(row[0]) if row else min(SUPPORTED_VERSIONS)
        return self._versions[agent, epoch]

    def epochs(self, agent: str, limit: int) -> list[str]:
        """The agent's latest epochs, latest first."""
        rows = self.db.execute("SELECT epoch FROM epoch WHERE agent = ? ORDER BY epoch DESC LIMIT ?", (agent, limit))
        return [row[0] for row in rows]

    def refused(self, agent: str, epoch: str) -> list[tuple[int, str]]:
        """The latest refusals of an epoch."""
        rows = self.db.execute(
            "SELECT seq, reason FROM refused WHERE agent = ? AND epoch = ? ORDER BY seq DESC LIMIT ?",
            (agent, epoch, MAX_REFUSED_IN_ACK),
        )
        return [(seq, reason) for seq, reason in rows][::-1]

    def catch_up(self, shard: str, ledger: Ledger) -> int:
        """File records that reached the ledger before a crash and not this index. Returns how many.

        What cannot be read is not filed: nobody knows whose it is, and its agent, which has no ack, sends it again.
        """
        start = indexed(self.db, shard)
        for record in ledger.reader.records(start, ledger.committed):
            if isinstance(record, Lost):
                continue
            signed = record.signed
            batch = decode_batch(signed.line)
            place = Place(shard, batch.site, batch.agent, batch.epoch, batch.seq)
            self.keep(Commit(place, batch, signed.sha256), record.number)
        self.flush({shard: ledger.committed})
        return ledger.committed - start

    def _file_event(self, commit: Commit) -> None:
        place = commit.place
        batch = commit.batch
        event = batch.body
        if isinstance(event, Dropped):
            row = (place.agent, event.epoch, event.from_seq, event.to_seq, event.reason)
            self.db.execute("INSERT OR IGNORE INTO declared VALUES (?, ?, ?, ?, ?)", row)
            self.settle(place.agent, event.epoch, event.from_seq, event.to_seq)
        elif isinstance(event, KeyChange) and event.old_key != batch.key:
            self.db.execute(
                "INSERT OR IGNORE INTO key_end VALUES (?, ?, ?, ?, ?)",
                (place.agent, event.old_key, event.last_epoch, event.last_seq, event.last_sha256),
            )
        elif isinstance(event, Handover):
            self.db.execute(
                "INSERT INTO epoch (agent, epoch, settled, handover) VALUES (?, ?, '[]', ?) "
                "ON CONFLICT DO UPDATE SET handover = excluded.handover",
                (place.agent, place.epoch, commit.sha256),
            )

    def _file_config(self, name: str, batch: AnyConfigBatch, place: Place, record: int) -> None:
        """Note where a configuration or a part stands, and settle what has waited for it."""
        self._fresh[name] = batch
        row = (name, place.agent, place.shard, record)
        self.db.execute("INSERT OR IGNORE INTO config_batch VALUES (?, ?, ?, ?)", row)
        # A part does not know which manifests list it: whatever waits is looked at. Configurations come seldom.
        names = self.db.execute("SELECT DISTINCT waits_for FROM held WHERE agent = ?", (place.agent,)).fetchall()
        for (waited,) in names:
            if self.config(waited) is not None:
                self._let_go(place.agent, waited)

    def _hold(self, place: Place, waits_for: str) -> None:
        """Neither settled nor wanted again: its agent keeps it until a configuration or a person's word is here."""
        row = (place.agent, place.epoch, place.seq, waits_for)
        self.db.execute("INSERT OR IGNORE INTO held VALUES (?, ?, ?, ?)", row)
        self._touch(place.agent, place.epoch)

    def want_again(self, agent: str, epoch: str, from_seq: int, to_seq: int) -> bool:
        """Hold some numbers no longer; True if there were any. What the quarantine had no room for is sent again."""
        query = "DELETE FROM held WHERE agent = ? AND epoch = ? AND seq BETWEEN ? AND ? AND length(waits_for) < 64"
        return self.db.execute(query, (agent, epoch, from_seq, to_seq)).rowcount > 0

    def _let_go(self, agent: str, config: str) -> None:
        query = "SELECT epoch, seq FROM held WHERE agent = ? AND waits_for = ?"
        for epoch, seq in self.db.execute(query, (agent, config)).fetchall():
            self.settle(agent, epoch, seq, seq)
        self.db.execute("DELETE FROM held WHERE agent = ? AND waits_for = ?", (agent, config))

    def _touch(self, agent: str, epoch: str) -> None:
        self._newest[agent] = max(epoch, self.newest_epoch(agent) or "")
        self._dirty.add((agent, epoch))

    def _note_version(self, place: Place, version: int) -> None:
        if self.version(place.agent, place.epoch) != version:
            self._versions[place.agent, place.epoch] = version
            self._dirty.add((place.agent, place.epoch))

    def _config_batch(self, name: str) -> AnyConfigBatch | None:
        """The batch of a name: of this group, or the first one in the ledgers that can be read."""
        if name in self._fresh:
            return self._fresh[name]
        rows = self.db.execute("SELECT shard, record FROM config_batch WHERE name = ?", (name,)).fetchall()
        for shard, record in rows:
            batch = self._batch(shard, record)
            if isinstance(batch, ConfigBatch | ConfigBatchV1):
                return batch
        return None

    def _batch(self, shard: str, number: int) -> Batch | None:
        """A batch in one of the own ledgers; None if it is damaged: as one that has not come yet."""
        if shard not in self._ledgers or number >= self._ledgers[shard].committed:
            return None
        reader = LedgerReader(self._ledgers[shard].directory, filed(self.db, shard))
        found = next(reader.records(number, number + 1))
        return None if isinstance(found, Lost) else decode_batch(found.signed.line)


def indexed(db: sqlite3.Connection, shard: str) -> int:
    """Number of a ledger's records that are filed."""
    row = db.execute("SELECT indexed FROM shard WHERE shard = ?", (shard,)).fetchone()
    return int(row[0]) if row else 0


def filed(db: sqlite3.Connection, shard: str) -> Callable[[Record], bool]:
    """Tells whether a record is the original filed under its number: a checksum keeps nobody from changing it."""

    def is_filed(record: Record) -> bool:
        query = "SELECT sha256 FROM batch WHERE shard = ? AND record = ?"
        row: tuple[str] | None = db.execute(query, (shard, record.number)).fetchone()
        return row == (_sha256(record),)

    return is_filed


def _sha256(record: Record) -> str:
    """Of the line in it, if there is one."""
    try:
        return record.signed.sha256
    except Reject:
        return ""


def report(db: sqlite3.Connection, incidents: Iterable[Incident], now_ms: int) -> None:
    """File incidents; the same one again is counted."""
    db.executemany(
        "INSERT INTO incident (kind, site, agent, subject, detail, first_ms, last_ms, times) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT (kind, site, agent, subject) DO UPDATE SET "
        "detail = excluded.detail, last_ms = excluded.last_ms, times = times + 1",
        [(i.kind.value, i.site, i.agent, i.subject, i.detail, now_ms, now_ms) for i in incidents],
    )


def read_incidents(db: sqlite3.Connection, site: str | None = None) -> list[Incident]:
    """Incidents, oldest first, of one site or all."""
    rows = db.execute(
        "SELECT kind, site, agent, subject, detail, first_ms, last_ms, times FROM incident "
        "WHERE :site IS NULL OR site = :site ORDER BY id",
        {"site": site},
    )
    return [Incident(IncidentKind(row[0]), *row[1:]) for row in rows]
