"""Puts the parts together: the service behind the commands, and the web application in front of it."""

from __future__ import annotations

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import uvicorn
from fastapi import FastAPI, Request
from starlette.middleware.gzip import GZipMiddleware

from compliance.answers import Answers, Sources
from compliance.api import health, problems, routes
from compliance.api.headers import Etags, SecurityHeaders
from compliance.console.routes import router as console_router
from compliance.evaluate import Evaluator
from compliance.log import Event, EventLog
from compliance.measure import Measure
from compliance.projection import Projection
from compliance.queries import LOOPBACK, NOBODY, Scope
from compliance.readers import Reader
from compliance.registry import Registry
from compliance.settings import ComplianceSettings, load_signer
from compliance.topology import TopologyOffice
from pue.contract.errors import Fatal, PueError
from pue.judgement.policy import load_profile

API_VERSION = "1.0.0"
"""Version of the API as /openapi.json describes it."""
_LOG = logging.getLogger(__name__)


def now_ms() -> int:
    """The wall clock. It stamps what is recorded and decides nothing. [ms UTC]"""
    return time.time_ns() // 1_000_000


class Service:
    """Log, registry, rules and data of one installation."""

    def __init__(
        self, settings: ComplianceSettings, measure: Measure | None = None, clock_ms: Callable[[], int] = now_ms
    ) -> None:
        self.settings = settings
        self._clock_ms = clock_ms
        self.profiles = tuple(load_profile(name) for name in settings.compliance.policies)
        signer = load_signer(settings.compliance.key_file)
        self.log = EventLog(settings.compliance.database, clock_ms)
        self.projection = Projection(self.log)
        self.measure = measure or Measure(Reader(settings.series))
        self.evaluator = Evaluator(self.log, self.projection, self.measure, self.profiles)
        self.office = TopologyOffice(
            self.log,
            self.projection,
            settings.compliance.issuer,
            signer,
            settings.compliance.topology_file,
            clock_ms,
        )

    @property
    def sources(self) -> Sources:
        """What readers share."""
        return Sources(
            projection=self.projection,
            registry=Registry(self.projection),
            measure=self.measure,
            profiles=self.profiles,
            office=self.office,
            issuer=self.settings.compliance.issuer,
            demo=self.settings.compliance.demo,
            now_ms=self._clock_ms,
            missing=self.missing,
        )

    def missing(self) -> tuple[str, ...]:
        """What is not there yet, each with its remedy."""
        found = [self.measure.reader.missing(), *self.measure.faults()]
        if not Registry(self.projection).facility_ids(self.projection.refresh()):
            found.append("no facility is registered yet; run `pue-compliance import FILE`")
        return tuple(text for text in found if text)

    def evaluate(self) -> list[Event]:
        """Bring topology document, findings and alerts up to registry and data; the events written."""
        before = self.projection.refresh()
        if Registry(self.projection).facility_ids(before):
            self.office.issue()
        self.evaluator.run()
        return self.projection.events(before, self.projection.refresh())

    def close(self) -> None:
        """Give up the database and the series."""
        self.log.close()
        self.measure.reader.close()


class Evaluation:
    """Evaluates again and again in a thread of its own; an error is logged and the next pass tries again."""

    def __init__(self, service: Service, every_seconds: float) -> None:
        self._service = service
        self._every_seconds = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="evaluation", daemon=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run while the block runs."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def _run(self) -> None:
        said = ""
        while not self._stop.is_set():
            try:
                for event in self._service.evaluate():
                    _LOG.info("event %d: %s %s", event.seq, event.kind, event.entity)
                said = ""
            except PueError as error:
                if str(error) != said:
                    _LOG.warning("evaluation waits: %s", error)
                said = str(error)
            except Exception:  # noqa: BLE001 - a thread that dies in silence would stop all evaluation
                _LOG.exception("evaluation failed; it is tried again")
            self._stop.wait(self._every_seconds)


def scope_of(request: Request) -> Scope:
    """Whom a request may see: this machine everything, all others nothing until there is a sign-in.

    It has to call us by a name of this machine, too: a foreign page whose name was made to lead here must see nothing.
    """
    client = request.client.host if request.client else ""
    return LOOPBACK if _is_loopback(client) and _is_loopback(request.url.hostname or "") else NOBODY


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def application(sources: Sources, scope: Callable[[Request], Scope] = scope_of) -> FastAPI:
    """The API and the console over one set of sources."""
    app = FastAPI(
        title="PUE compliance",
        version=API_VERSION,
        description="Data-center PUE from signed readings to findings. 系统测算结果，不是行政认定。",
        docs_url=None,
        redoc_url=None,
    )

    def answers_of(request: Request) -> Answers:
        return Answers(sources, scope(request))

    app.state.sources = sources
    app.state.answers_of = answers_of
    app.include_router(health.router)
    app.include_router(routes.router)
    app.include_router(console_router(answers_of))
    problems.install(app)
    app.add_middleware(Etags)
    app.add_middleware(GZipMiddleware, minimum_size=1024)
    app.add_middleware(SecurityHeaders)
    return app


def serve(settings: ComplianceSettings) -> None:
    """Serve API and console, and evaluate, until told to stop.

    Raises
    ------
    Fatal
        If the address cannot be listened on.
    """
    service = Service(settings)
    try:
        with _listening(settings.api.host, settings.api.port) as listener:
            config = uvicorn.Config(
                application(service.sources), log_level="warning", access_log=False, log_config=None
            )
            with Evaluation(service, settings.compliance.evaluate_seconds).running():
                _LOG.info("console on http://%s:%d/", settings.api.host, settings.api.port)
                uvicorn.Server(config).run(sockets=[listener])
    finally:
        service.close()


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket, taken before anything else starts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(128)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Fatal(f"port {port} on {host} is in use; stop what uses it or change api.port") from None
            raise Fatal(f"cannot listen on {host}:{port}: {error.strerror}; check api.host and api.port") from None
        yield listener
