"""Every error as problem+json (RFC 9457) with a stable code and a title in both languages."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from compliance.api.headers import SECURITY
from compliance.queries import NotFound
from pue.contract.errors import Fatal, PueError, Retry

MEDIA_TYPE = "application/problem+json"

PROBLEMS: dict[str, tuple[int, str, str]] = {
    "not_found": (404, "没有此地址", "No such address"),
    "method_not_allowed": (405, "此地址不支持该方法", "Method not allowed at this address"),
    "unknown_facility": (404, "没有此设施", "No such facility"),
    "unknown_region": (404, "没有此行政区划", "No such region"),
    "unknown_finding": (404, "没有此测算结果", "No such finding"),
    "unknown_window": (422, "没有此统计窗口", "No such window"),
    "bad_interval": (422, "时间区间无效", "Interval cannot be answered"),
    "bad_parameter": (422, "参数无效", "Parameter cannot be understood"),
    "no_data": (404, "尚无数据", "No data yet"),
    "no_topology": (404, "尚未签发拓扑文件", "No topology document issued yet"),
    "unavailable": (503, "服务暂不可用", "Temporarily not available"),
    "internal": (500, "内部错误", "Internal error"),
}
"""Code -> (HTTP status, title in Chinese, title in English)."""

_BY_STATUS = {404: "not_found", 405: "method_not_allowed", 503: "unavailable"}
_LOG = logging.getLogger(__name__)


def problem(code: str, detail: str, request: Request, **more: Any) -> JSONResponse:
    """An error as the client sees it."""
    status, zh, en = PROBLEMS[code]
    content = {
        "type": f"urn:pue:problem:{code}",
        "code": code,
        "status": status,
        "title": en,
        "title_zh": zh,
        "detail": detail,
        "instance": request.url.path,
        **more,
    }
    return JSONResponse(content, status, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of an application this way."""
    app.add_exception_handler(NotFound, _on_not_found)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(PueError, _on_ours)
    app.add_exception_handler(Exception, _on_unexpected)


def _on_not_found(request: Request, error: Exception) -> JSONResponse:
    code = error.code if isinstance(error, NotFound) else "not_found"
    return problem(code, str(error), request)


def _on_validation(request: Request, error: Exception) -> JSONResponse:
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    errors = [{"field": ".".join(str(part) for part in one["loc"]), "detail": str(one["msg"])} for one in faults]
    detail = "; ".join(f"{one['field']}: {one['detail']}" for one in errors)
    return problem("bad_parameter", detail, request, errors=errors)


def _on_http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise TypeError(type(error))
    code = _BY_STATUS.get(error.status_code, "bad_parameter")
    response = problem(code, f"{request.method} {request.url.path}: /openapi.json lists what there is", request)
    response.headers.update(error.headers or {})
    return response


def _on_ours(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, Retry):
        return problem("unavailable", str(error), request)
    _LOG.error("%s %s: %s", request.method, request.url.path, error)
    return problem("internal", str(error) if isinstance(error, Fatal) else "see the server's log", request)


def _on_unexpected(request: Request, error: Exception) -> JSONResponse:
    _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    response = problem("internal", "the server's log has the cause", request)
    response.headers.update(SECURITY)  # this answer is made outside of all middleware
    return response
