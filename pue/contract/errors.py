"""What can go wrong, sorted by what the caller does next.

PueError
├── Retry     a neighbour is away: try again later, nothing is wrong with the input
├── Reject    this one input is refused: keep it aside, count it, go on with the others
└── Fatal     the configuration or an argument is wrong: stop and tell the operator

Every message names the thing, the value and the remedy.
"""

from __future__ import annotations

from enum import StrEnum


class RejectReason(StrEnum):
    """Why a batch, a sample or a document was refused; the codes travel in the ack."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNSUPPORTED_VERSION = "unsupported_version"
    UNKNOWN_AGENT = "unknown_agent"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    UNKNOWN_METER = "unknown_meter"
    FOREIGN_CONFIG = "foreign_config"
    WRONG_TOPIC = "wrong_topic"
    WRONG_SITE = "wrong_site"
    FUTURE_TIME = "future_time"
    KEY_WINDOW = "key_window"


class PueError(Exception):
    """Base of every error this project raises on purpose."""


class Retry(PueError):
    """A neighbour does not answer; the same call may succeed later."""


class Reject(PueError):
    """One input is refused for a stated reason; the rest goes on.

    Parameters
    ----------
    reason
        Code from `RejectReason`; counted, and sent back to the agent.
    message
        The thing, the value and the remedy.
    """

    def __init__(self, reason: RejectReason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class Fatal(PueError):
    """The operator has to change something before this can work."""
