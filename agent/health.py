"""What Prometheus can ask the agent, on loopback."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from agent.clock import Clock
from agent.spool import Backlog
from pue.contract.errors import Fatal
from pue.contract.quality import NO_VALUE, Quality


class Metrics:
    """The agent's counters and gauges, in a registry of their own."""

    def __init__(self, clock: Clock) -> None:
        self.registry = registry = CollectorRegistry()
        self.readings = Counter("pue_agent_readings", "Readings taken, by quality.", ["quality"], registry=registry)
        self.readings_appended = Counter(
            "pue_agent_readings_appended", "Readings in batches that are on disk.", registry=registry
        )
        self.appended = Counter("pue_agent_batches_appended", "Batches that are on disk.", registry=registry)
        self.published = Counter(
            "pue_agent_batches_published", "Batches handed to the broker, repeats included.", registry=registry
        )
        self.acked = Counter("pue_agent_batches_acked", "Batches the collector confirmed.", registry=registry)
        self.unacked = Gauge(
            "pue_agent_spool_unacked_batches", "Batches the collector has not confirmed.", registry=registry
        )
        self.oldest = Gauge(
            "pue_agent_oldest_unacked_seconds", "Age of the oldest unconfirmed batch.", registry=registry
        )
        self.broker_connected = Gauge(
            "pue_agent_broker_connected", "1 while the broker is connected.", registry=registry
        )
        self.clock_offset = Gauge(
            "pue_agent_clock_offset_seconds", "Our clock less the collector's, when it last acked.", registry=registry
        )
        self.not_kept = Counter(
            "pue_agent_cycles_not_kept", "Poll cycles whose readings could not be stored.", registry=registry
        )

        self.backlog = Backlog(0, None)
        self.unacked.set_function(lambda: self.backlog.batches)
        self.oldest.set_function(lambda: age_seconds(self.backlog.oldest_ms, clock.wall_ms()))

    @property
    def total_appended(self) -> int:
        """Readings in batches on disk since the start."""
        return round(self.registry.get_sample_value("pue_agent_readings_appended_total") or 0)

    def count_readings(self, qualities: Iterable[int]) -> None:
        """Count readings under their qualities."""
        for quality, times in Counts(qualities).items():
            self.readings.labels(quality_label(quality)).inc(times)


def quality_label(quality: int) -> str:
    """Name of the first reason why there is no value, or `good`."""
    reasons = Quality(quality) & NO_VALUE
    return next((bit.name.lower() for bit in Quality if bit & reasons and bit.name), "good")


def age_seconds(since_ms: int | None, now_ms: int) -> float:
    """Time since, 0 if there is nothing. [s]"""
    return 0.0 if since_ms is None else max(0.0, (now_ms - since_ms) / 1000)


@contextmanager
def serving(metrics: Metrics, port: int | None) -> Iterator[None]:
    """Answer on http://127.0.0.1:port/metrics meanwhile.

    Raises
    ------
    Fatal
        If the port is in use.
    """
    if port is None:
        yield
        return
    try:
        server, thread = start_http_server(port, addr="127.0.0.1", registry=metrics.registry)
    except OSError as error:
        raise Fatal(f"health.port {port} cannot be opened ({error.strerror}); use a free port") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
