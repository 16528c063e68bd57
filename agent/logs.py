"""The agent's log: one JSON object a line on standard error."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any


class JsonLines(logging.Formatter):
    """Time, level, part and message; a traceback only in debug."""

    def __init__(self, *, debug: bool) -> None:
        super().__init__()
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "part": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and self._debug:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def start_logging(*, debug: bool) -> None:
    """Send our log to standard error; pymodbus reports what we report ourselves, so it only speaks in debug."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(debug=debug))
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler], force=True)
    logging.getLogger("pymodbus.logging").setLevel(logging.DEBUG if debug else logging.CRITICAL + 1)


def report_loop_trouble(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """One line for what libraries let fall in the event loop, the traceback only in debug."""
    error = context.get("exception")
    log = logging.getLogger("agent.loop")
    log.warning("%s: %r", context.get("message", "trouble in the event loop"), error)
    if error is not None:
        log.debug("traceback", exc_info=error)
