"""Around every request: an id, a line in the log, numbers, and the last net for errors that nobody expected."""

from __future__ import annotations

import logging
import re
import time
import uuid
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lepton_ai import wire
from lepton_ai.errors import LeptonError
from lepton_ai.server import problems
from lepton_ai.server.metrics import Metrics
from lepton_ai.server.places import path_of

HEADER = "x-request-id"
LOG = logging.getLogger("lepton_ai.server")
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked by machines all the time: logged only when they fail."""

_FIT = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Requests:
    """ASGI middleware, the outermost of ours."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the request an id, see that it gets an answer, and tell of it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _FIT.fullmatch(given) else uuid.uuid4().hex
        scope["state"] = dict(scope.get("state", {})) | {"request_id": request_id}
        answer = _Answer(send, request_id)
        began = time.perf_counter()
        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, answer.send)
            except LeptonError as problem:
                if answer.status:
                    LOG.exception("an answer broke off", extra={"request_id": request_id})
                    raise  # as below
                stranger = scope["state"].get("caller") is None
                told = problems.answer(problem, instance=request_id, stranger=stranger)
                await told(scope, receive, answer.send)
            except Exception:
                LOG.exception("unexpected error", extra={"request_id": request_id})
                if answer.status:
                    raise  # half an answer is out: the connection must break, so that nobody takes it for whole
                await problems.unexpected(request_id)(scope, receive, answer.send)
            finally:
                self._tell(scope, answer, time.perf_counter() - began)

    def _tell(self, scope: Scope, answer: _Answer, seconds: float) -> None:
        route, method = template(scope), scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, str(answer.status)).inc()
        self._metrics.seconds.labels(method, route).observe(seconds)
        self._metrics.sent.inc(answer.bytes)
        if path_of(scope) in QUIET and answer.status < 400:
            return
        caller = scope["state"].get("caller")
        told: dict[str, Any] = {
            "request_id": answer.request_id,
            "method": method,
            "path": scope["path"][:500],
            "route": route,
            "status": answer.status,
            "seconds": round(seconds, 6),
            "bytes": answer.bytes,
            "client": (scope.get("client") or ("",))[0],
            "user": caller.user if caller is not None else None,
        }
        LOG.log(_level(answer.status), "request", extra=told)


def _level(status: int) -> int:
    """How loud a request is told: that the server is busy passes by itself."""
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return logging.WARNING
    return logging.ERROR if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO


class _Answer:
    """What of the answer went by. ``status`` is 0 before it begins."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.status = 0
        self.bytes = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)[HEADER] = self.request_id
        self.bytes += len(message.get("body", b""))
        await self._send(message)


def template(scope: Scope) -> str:
    """The route that answered, as it is declared: ``/api/v1/users/{name}``; "none" when there was none."""
    route = scope.get("route")
    path = str(getattr(route, "path_format", None) or getattr(route, "path", ""))
    if not path:
        return "none"
    below = path_of(scope).startswith(wire.PREFIX)
    return wire.PREFIX + path if below and not path.startswith(wire.PREFIX) else path
