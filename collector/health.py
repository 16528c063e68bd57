"""Counters for Prometheus on loopback."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from collector.intake import Taken
from pue.contract.errors import Fatal


class Health:
    """Every figure the collector shows; names are part of the contract with dashboards."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._committed = self._counter("pue_collector_batches_committed_total", "Batches kept in the ledger.")
        self._refused = self._counter(
            "pue_collector_batches_refused_total", "Batches put into quarantine.", ("reason",)
        )
        self._duplicates = self._counter("pue_collector_batches_duplicate_total", "Batches that were kept already.")
        self._repaired = self._counter("pue_collector_records_repaired_total", "Damaged originals that were put back.")
        self._incidents = self._counter("pue_collector_incidents_total", "Incidents noticed.", ("kind",))
        self._stored = self._counter("pue_collector_readings_stored_total", "Readings written to the series store.")
        self._acks = self._counter("pue_collector_acks_sent_total", "Acks sent to agents.")
        self.lag = self._gauge("pue_collector_projection_lag_records", "Records kept and not yet projected.")
        self.store_up = self._gauge("pue_collector_store_up", "1 while the series store answers.")
        self.broker_connected = self._gauge("pue_collector_broker_connected", "1 while connected to the broker.")

    def serve(self, port: int) -> None:
        """Answer on 127.0.0.1.

        Raises
        ------
        Fatal
            If the port is taken.
        """
        try:
            start_http_server(port, addr="127.0.0.1", registry=self.registry)
        except OSError as error:
            raise Fatal(
                f"[health] port {port} on 127.0.0.1 cannot be used ({error.strerror}); choose a free one"
            ) from None

    def taken(self, taken: Taken) -> None:
        """Count a group of batches."""
        self._committed.inc(taken.committed)
        self._duplicates.inc(taken.duplicates)
        self._repaired.inc(taken.repaired)
        for reason, count in taken.refused.items():
            self._refused.labels(reason).inc(count)
        for kind, count in taken.incidents.items():
            self._incidents.labels(kind).inc(count)

    def stored(self, readings: int) -> None:
        """Count readings written."""
        self._stored.inc(readings)

    def acked(self, count: int) -> None:
        """Count acks sent."""
        self._acks.inc(count)

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)
