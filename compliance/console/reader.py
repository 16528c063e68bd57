"""One request as the pages see it: language, address, and links that keep both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from compliance.console import numbers
from compliance.console.language import Texts
from compliance.queries import BadQuery, Rule, Status

HOME = "/console"
KEPT = ("lang", "valid_at", "known_at")
"""Parameters that go along to every other page."""
LAST_MS = 253_370_764_800_000
"""The start of the year 9999. [ms UTC]"""
_MILLISECONDS = re.compile(r"[0-9]{12,15}")


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks, for what: texts in the reader's language, the page's path and its parameters."""

    texts: Texts
    path: str
    parameters: Mapping[str, str]
    limits: tuple[Fraction, ...] = ()
    """Limits of all loaded rules: no ratio is shown on or across one it does not equal."""

    def ratio(self, text: str | None, direction: int = 0) -> str:
        """A PUE as this reader sees it."""
        return numbers.ratio(text, self.limits, direction)

    def link(self, **changes: str | None) -> str:
        """The same page with some parameters changed; None removes one."""
        return _address(self.path, {**self.parameters, **changes})

    def to(self, path: str) -> str:
        """Another page, in the same language and as of the same time."""
        return _address(path, {name: self.parameters[name] for name in KEPT if name in self.parameters})

    def facility(self, facility_id: str) -> str:
        """A facility's page."""
        return self.to(f"{HOME}/facilities/{facility_id}")

    @property
    def home(self) -> str:
        """The province page."""
        return self.to(HOME)

    @property
    def other_language(self) -> str:
        """The same page in the other language."""
        return self.link(lang="zh" if self.texts.language == "en" else "en")

    @property
    def valid_at(self) -> datetime | None:
        """`?valid_at=`"""
        return self._time("valid_at")

    @property
    def known_at(self) -> datetime | None:
        """`?known_at=`"""
        return self._time("known_at")

    @property
    def is_past(self) -> bool:
        """Whether an earlier time was asked for."""
        return self.valid_at is not None or self.known_at is not None

    def time_ms(self, name: str, zone: ZoneInfo) -> int | None:
        """A parameter as a time: milliseconds, or ISO 8601 in the zone unless it has its own."""
        text = self.parameters.get(name)
        if text is None:
            return None
        if _MILLISECONDS.fullmatch(text):
            return _within_calendar(int(text), text)
        return round(self._parse(text, zone).timestamp() * 1000)

    def _time(self, name: str) -> datetime | None:
        text = self.parameters.get(name)
        return None if text is None else self._parse(text, ZoneInfo("Asia/Shanghai"))

    def _parse(self, text: str, zone: ZoneInfo) -> datetime:
        try:
            value = datetime.fromisoformat(text.replace(" ", "+"))
            there = (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)
        except (ValueError, OverflowError):
            raise BadQuery("bad_time", text) from None
        _within_calendar(round(there.timestamp() * 1000), text)
        return there


def _within_calendar(time_ms: int, text: str) -> int:
    """A time that every zone can show, with two years around it."""
    if not 0 <= time_ms <= LAST_MS:
        raise BadQuery("bad_time", text)
    return time_ms


def _address(path: str, parameters: Mapping[str, str | None]) -> str:
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


@dataclass(frozen=True, slots=True)
class View:
    """A reader looking at one facility: its time zone, and the rules by profile and id."""

    reader: Reader
    zone: ZoneInfo
    rules: Mapping[tuple[str, str], Rule]

    @property
    def texts(self) -> Texts:
        """The reader's."""
        return self.reader.texts


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around every page."""

    reader: Reader
    demo: bool
    asof: tuple[tuple[str, str], ...]
    permalink: str | None
    heading: str
    refresh: bool


def newest_and_oldest(status: Status) -> tuple[int, int] | None:
    """The facility furthest ahead and the one furthest behind; None without any data. [ms UTC]"""
    known = [mark for mark in status.watermarks_ms.values() if mark is not None]
    return (max(known), min(known)) if known else None
