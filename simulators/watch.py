"""What the running processes say of themselves: metrics over HTTP, and the product's API."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pue.contract.errors import Fatal

TIMEOUT_S = 5.0
_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")

Row = dict[str, Any]
Metrics = dict[str, float]
"""Value by metric name with its labels, and the sum over labels by the bare name."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All processes at one moment; a process that does not answer has no metrics."""

    agents: dict[str, Metrics] = field(default_factory=dict)
    collector: Metrics = field(default_factory=dict)
    findings: int = 0
    facilities: int = 0
    alerts: int = 0

    def agents_sum(self, name: str) -> int:
        """One metric over all agents."""
        return round(sum(metrics.get(name, 0.0) for metrics in self.agents.values()))

    def agents_max(self, name: str) -> float:
        """Largest value of one metric over all agents."""
        return max((metrics.get(name, 0.0) for metrics in self.agents.values()), default=0.0)

    @property
    def appended(self) -> int:
        """Readings the agents have spooled."""
        return self.agents_sum("pue_agent_readings_appended_total")

    @property
    def stored(self) -> int:
        """Readings the running collector has stored."""
        return round(self.collector.get("pue_collector_readings_stored_total", 0.0))


def check_influxdb(url: str) -> None:
    """See that a server is there before a minute is spent on filling it.

    Raises
    ------
    Fatal
        If it does not answer.
    """
    try:
        _get(f"{url}/ping")
    except (OSError, ValueError) as error:
        raise Fatal(f"InfluxDB at {url} does not answer ({error}); start it, or use --store sqlite") from None


def metrics(port: int) -> Metrics:
    """Metrics of one process; empty while it does not answer."""
    try:
        return parse_metrics(_get(f"http://127.0.0.1:{port}/metrics").decode())
    except OSError:
        return {}


def parse_metrics(text: str) -> Metrics:
    """Read Prometheus's text format."""
    found: Metrics = {}
    for line in text.splitlines():
        if sample := _SAMPLE.match(line):
            name = sample[1]
            labels = sample[2]
            value = float(sample[3])
            found[name] = found.get(name, 0.0) + value
            if labels:
                found[f"{name}{{{labels}}}"] = value
    return found


class Api:
    """The product's API as a reader on this machine sees it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def items(self, path: str) -> list[Row]:
        """All items of a list, page after page; empty while the API does not answer."""
        found: list[Row] = []
        after: str | None = ""
        while after is not None:
            page = self._json(f"{path}?after={quote(after)}" if after else path)
            if isinstance(page, list):
                return page
            if not isinstance(page, dict):
                return found
            found += page.get("items", [])
            after = page.get("next")
        return found

    def findings(self, facilities: Iterable[str]) -> dict[str, list[Row]]:
        """Findings in force, by facility."""
        return {facility: self.items(f"/v1/facilities/{facility}/findings") for facility in facilities}

    def alerts(self) -> list[Row]:
        """All alerts, active ones first."""
        return self.items("/v1/alerts")

    def is_up(self) -> bool:
        """Whether it answers at all."""
        try:
            _get(f"{self.url}/livez")
        except OSError:
            return False
        return True

    def _json(self, path: str) -> Any:
        try:
            return json.loads(_get(self.url + path))
        except (OSError, ValueError):
            return None


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - always http on loopback
        body: bytes = answer.read()
        return body
