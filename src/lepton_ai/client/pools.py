"""Where connections to a server come from: certificates, proxies, and a look whether the other end is still there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from lepton_ai.client import address, waiting
from lepton_ai.errors import UsageError
from lepton_ai.later import Later

if TYPE_CHECKING:
    import ssl

    import urllib3

    from lepton_ai.client import lines
else:
    lines = Later("lepton_ai.client.lines")

STREAMS = 8
"""Connections to one server that are kept."""


def pool(server: str) -> urllib3.PoolManager:
    """Where connections come from: straight, or through the proxy that the environment names."""
    from urllib.request import getproxies, proxy_bypass

    import urllib3

    options: dict[str, Any] = {"maxsize": STREAMS, "block": False, "socket_options": _watched()}
    if server.startswith("https:"):
        options["ssl_context"] = _certificates()
    scheme, _, host = server.partition("://")
    proxy = getproxies().get(scheme)
    if proxy and not address.is_loopback(address.host(server)) and not proxy_bypass(host):
        manager: urllib3.PoolManager = urllib3.ProxyManager(proxy, **options)
    else:
        manager = urllib3.PoolManager(**options)
    manager.pool_classes_by_scheme = lines.KINDS
    return manager


def _watched() -> list[tuple[int, int, int]]:
    """Options of a socket: no waiting for more to send, and a look from time to time whether the other end is there."""
    import socket

    tcp = socket.IPPROTO_TCP
    named = {
        "TCP_KEEPIDLE": waiting.PROBED,
        "TCP_KEEPALIVE": waiting.PROBED,
        "TCP_KEEPINTVL": waiting.PROBED // 2,
    }
    named |= {
        "TCP_KEEPCNT": waiting.PROBES
    }  # what a system calls otherwise, or does not know, stays as it has it
    found = [
        (tcp, int(getattr(socket, name)), value) for name, value in named.items() if hasattr(socket, name)
    ]
    return [(tcp, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *found]


def _certificates() -> ssl.SSLContext:
    """Whom to trust: the system's authorities, or those in SSL_CERT_FILE.

    Raises:
        UsageError: there is no certificate in that file; Python would say nothing, and trust nobody.
    """
    import ssl

    own = os.environ.get("SSL_CERT_FILE")
    context = ssl.create_default_context()
    if own and not context.cert_store_stats()["x509"]:
        raise UsageError(
            f"SSL_CERT_FILE names {own}, in which there is no authority's certificate",
            hint="name a PEM file, or unset it",
        )
    return context
