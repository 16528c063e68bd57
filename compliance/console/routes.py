"""The console over HTTP: two pages, their static files, and refusals in the reader's language."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from importlib import resources
from typing import Any

from fastapi import APIRouter
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from compliance.console.facility import facility_page
from compliance.console.language import DEFAULT, HTML_LANG, Texts, choose, load_texts
from compliance.console.province import province_page
from compliance.console.reader import HOME, Frame, Reader
from compliance.queries import BadQuery, NotFound, Queries

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
MEDIA_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"


class Static:
    """The package's static files, each under an address that changes with its content."""

    def __init__(self) -> None:
        folder = resources.files("compliance.console") / "static"
        self.files = {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}

    def address(self, name: str) -> str:
        """Where a page finds a file; a long-lived cache never holds an old one."""
        digest = hashlib.sha256(self.files[name]).hexdigest()[:12]
        return f"{HOME}/static/{name}?v={digest}"

    def response(self, name: str) -> Response | None:
        """A file's answer, None if there is no such file."""
        content = self.files.get(name)
        if content is None:
            return None
        media_type = MEDIA_TYPES[name[name.rindex(".") :]]
        return Response(content, media_type=media_type, headers={**HEADERS, "Cache-Control": FOREVER})


class Pages:
    """Templates, texts and static files, loaded once."""

    def __init__(self) -> None:
        self.static = Static()
        self.texts = load_texts()
        self.templates = Environment(
            loader=PackageLoader("compliance.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.templates.globals["static"] = self.static.address

    def reader(self, request: Request, queries: Queries) -> Reader:
        """Language and address of a request."""
        limits = tuple({Fraction(rule.limit) for rule in queries.rules() if rule.limit})
        language = choose(request.query_params.get("lang"), request.headers.get("accept-language"))
        return Reader(self.texts[language], request.url.path, dict(request.query_params), limits)

    def html(self, template: str, reader: Reader, status: int = 200, **values: Any) -> HTMLResponse:
        """A page."""
        language = HTML_LANG.get(reader.texts.language, DEFAULT)
        text = self.templates.get_template(template).render(t=reader.texts, reader=reader, lang=language, **values)
        headers = {
            **HEADERS,
            "Content-Language": language,
            "Vary": "Accept-Language, Accept-Encoding",
            "Cache-Control": "no-cache",
        }
        return HTMLResponse(text, status, headers=headers)

    def refusal(self, reader: Reader, queries: Queries, error: NotFound, value: str) -> HTMLResponse:
        """What was not found or not understood, and where to go instead."""
        texts = reader.texts
        bad = isinstance(error, BadQuery)
        heading = texts("error.bad_query" if bad else "error.not_found")
        frame = Frame(reader, queries.status().demo, (), None, heading, refresh=False)
        message = explain(texts, error, value)
        return self.html("refusal.html", reader, 400 if bad else 404, frame=frame, message=message)


def explain(texts: Texts, error: NotFound, value: str) -> str:
    """An error's sentence in the reader's language; one without words here keeps its own."""
    key = f"error.{error.code}"
    return texts(key, value=str(error) if isinstance(error, BadQuery) else value) if key in texts.by_key else str(error)


Show = Callable[[Queries, Reader], HTMLResponse]


def router(queries_of: Callable[[Request], Queries]) -> APIRouter:
    """Routes of the console.

    Parameters
    ----------
    queries_of
        What a request may read: every page goes through its scope.
    """
    pages = Pages()
    routes = APIRouter(include_in_schema=False)

    def answer(request: Request, value: str, show: Show) -> HTMLResponse:
        queries = queries_of(request)
        reader = pages.reader(request, queries)
        try:
            return show(queries, reader)
        except NotFound as error:
            plain = Reader(reader.texts, reader.path, {"lang": reader.texts.language})
            return pages.refusal(plain, queries, error, value)

    @routes.get("/")
    def root() -> RedirectResponse:
        return RedirectResponse(HOME)

    @routes.get(HOME)
    def province(request: Request) -> HTMLResponse:
        def show(queries: Queries, reader: Reader) -> HTMLResponse:
            return pages.html("province.html", reader, page=province_page(queries, reader))

        return answer(request, "", show)

    @routes.get(HOME + "/facilities/{facility_id}")
    def facility(request: Request, facility_id: str) -> HTMLResponse:
        def show(queries: Queries, reader: Reader) -> HTMLResponse:
            return pages.html("facility.html", reader, page=facility_page(queries, facility_id, reader))

        return answer(request, facility_id, show)

    @routes.get(HOME + "/static/{name}")
    def static(request: Request, name: str) -> Response:
        return pages.static.response(name) or unknown(request)

    @routes.get(HOME + "/{path:path}")
    def unknown(request: Request) -> HTMLResponse:
        def show(_queries: Queries, _reader: Reader) -> HTMLResponse:
            raise NotFound("unknown_page", request.url.path)

        return answer(request, request.url.path, show)

    return routes
