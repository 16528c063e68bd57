"""What the collector noticed and kept, for people to judge: an incident refuses nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class IncidentKind(StrEnum):
    """What happened."""

    CHAIN_MISMATCH = "chain_mismatch"
    """A batch names another predecessor than the one that is kept."""
    CONFLICTING_BATCH = "conflicting_batch"
    """Other content came under a number that is already kept; the first stays."""
    UNAPPROVED_CONFIG = "unapproved_config"
    """Data is read with a configuration that nobody approved."""
    CLONE = "clone"
    """An epoch went on after its agent had begun a newer one."""
    CONFLICTING_READING = "conflicting_reading"
    """Two different values for one series and time; the one kept first stays."""
    POINT_MISMATCH = "point_mismatch"
    """The agent reads a point in another unit or exponent than the topology states."""
    RATIO_MISMATCH = "ratio_mismatch"
    """Agent or profile and the registry disagree on the transformers before a meter."""
    FOREIGN_CONFIG = "foreign_config"
    """Readings refer to a configuration of another agent or site; they are kept and not used."""
    UNGIVEN_METER = "ungiven_meter"
    """Readings of a meter that the registry does not give this agent; they are kept and wait until it does."""
    UNSET_CLOCK = "unset_clock"
    """Readings claim a time before 2000; they are kept and not used."""
    BAD_POINT = "bad_point"
    """A reading refers to a point its configuration has not."""
    DROPPED = "dropped"
    """The agent declared batches lost."""
    RESTORED = "restored"
    """The agent began anew because its spool and our ack did not fit."""
    CLOCK_JUMP = "clock_jump"
    """The agent's clock was set by more than it drifts."""
    NOT_KEPT = "not_kept"
    """The agent read meters and could not store what it read: its disk or spool was full."""
    METER_REPLACED = "meter_replaced"
    """The agent reports another meter; the topology decides."""
    BAD_TOPOLOGY = "bad_topology"
    """A topology document was refused; the one before stays in force."""
    TORN_TAIL = "torn_tail"
    """Bytes after the ledger's last whole record were put aside at start."""
    DAMAGED_RECORD = "damaged_record"
    """An original in the ledger cannot be read; its agent is asked to send it again."""
    REPAIRED_RECORD = "repaired_record"
    """The agent has sent a damaged original again; it stands under its own number."""
    DEAD_LETTER = "dead_letter"
    """The series store refuses a line."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing to look at; repetitions of the same are counted.

    Attributes
    ----------
    subject
        What tells it from others of its kind: a batch, a series and time, a configuration.
    first_ms, last_ms
        When the collector noticed it, first and last. [ms UTC]
    """

    kind: IncidentKind
    site: str
    agent: str
    subject: str
    detail: str
    first_ms: int = 0
    last_ms: int = 0
    times: int = 1
