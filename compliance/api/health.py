"""Whether the service lives, can do its work, and how it does."""

from __future__ import annotations

from collections import Counter as Count

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from compliance.answers import Answers
from compliance.api.models import Health

router = APIRouter()


@router.get("/livez")
def livez() -> Health:
    """The process answers."""
    return Health("ok", ())


@router.get("/readyz")
def readyz(request: Request, response: Response) -> Health:
    """Database and series store answer; 503 names what does not."""
    missing = request.app.state.sources.missing()
    response.status_code = 503 if missing else 200
    return Health("missing" if missing else "ok", missing)


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """State as Prometheus text, of the facilities that whoever asks may see."""
    answers = request.app.state.answers_of(request)
    return Response(generate_latest(_registry(answers)), media_type=CONTENT_TYPE_LATEST)


def _registry(answers: Answers) -> CollectorRegistry:
    registry = CollectorRegistry()
    status = answers.status()
    _gauge(registry, "log_seq", "Events in the log").set(status.seq)
    _gauge(registry, "topology_version", "Version of the topology document").set(status.topology_version)
    _gauge(registry, "missing", "Things that are missing; /readyz names them").set(len(status.missing))
    watermark = _gauge(registry, "watermark_seconds", "Data before this are evaluated, Unix time", "facility")
    for facility, time_ms in status.watermarks_ms.items():
        if time_ms is not None:
            watermark.labels(facility).set(time_ms / 1000)
    table = answers.region_compliance("")
    pue = _gauge(registry, "pue_30d", "PUE of the 30 days before the watermark", "facility")
    for row in table.rows:
        if row.rolling and row.rolling.pue:
            pue.labels(row.facility.id).set(float(row.rolling.pue))
    findings = _gauge(registry, "facilities", "Facilities by outcome of their headline finding", "outcome")
    for outcome, number in table.counts.items():
        findings.labels(outcome).set(number)
    active = Count(alert.kind for row in table.rows for alert in row.alerts)
    alerts = _gauge(registry, "alerts_active", "Active alerts by kind", "kind")
    for kind, number in active.items():
        alerts.labels(kind).set(number)
    return registry


def _gauge(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"pue_compliance_{name}", text, labels, registry=registry)
