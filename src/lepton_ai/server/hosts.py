"""Only requests to a name that this server has, and headers that keep a browser careful."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lepton_ai.server import problems
from lepton_ai.server.places import path_of
from lepton_ai.server.settings import ServerSettings

ALWAYS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "private, no-cache",
}
"""On every answer that does not say it otherwise. There is no CORS: other sites' pages may not read anything."""

OVER_TLS = ("Strict-Transport-Security", "max-age=31536000")
PROBES = frozenset({"/healthz", "/readyz"})
"""Asked by whoever runs the server, by its number: any host name is right."""


class Hosts:
    """ASGI middleware: refuses other hosts' names, so that a page elsewhere cannot rebind its own name to this one."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in settings.answers_to)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at the Host header, then go on."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def careful(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ALWAYS.items():
                    headers.setdefault(name, value)
                if scope["scheme"] == "https":
                    headers.setdefault(*OVER_TLS)
            await send(message)

        host = _name(Headers(scope=scope).get("host", ""))
        if self._names and host not in self._names and path_of(scope) not in PROBES:
            refused = problems.Refused(421, "this server has another name", hint="see its setting `hosts`")
            request_id = str(scope.get("state", {}).get("request_id", ""))
            return await problems.answer(refused, instance=request_id)(scope, receive, careful)
        return await self._app(scope, receive, careful)


def _name(host: str) -> str:
    """The host's name without its port; ``[::1]:80`` is ``::1``."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()
