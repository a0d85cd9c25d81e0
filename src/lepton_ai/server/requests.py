"""Around every request: an id for it, what every answer carries, and the last net for errors that nobody expected."""

from __future__ import annotations

import logging
import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lepton_ai.server import problems

HEADER = "x-request-id"
LOG = logging.getLogger("lepton_ai.server")

_FIT = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Requests:
    """ASGI middleware, the outermost of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the request an id, and see that it gets an answer."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _FIT.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, marked)
        except Exception:
            LOG.exception("unexpected error", extra={"request_id": request_id})
            if started:
                raise  # half an answer is out: the connection must break, so that nobody takes it for whole
            await problems.unexpected(request_id)(scope, receive, marked)
