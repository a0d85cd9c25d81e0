"""Connections that are patient once they stand: urllib3 lets a request be sent only as long as connecting may take."""

from __future__ import annotations

from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from lepton_ai.client import waiting


class Plain(HTTPConnection):
    """One without TLS."""

    def connect(self) -> None:
        """Connect within the time for that, and have more for what follows."""
        super().connect()
        self.sock.settimeout(waiting.READ)

    def request(self, *given: Any, **named: Any) -> None:
        """Send a request; each portion has its time."""
        if self.sock is not None:
            self.timeout = waiting.READ
        super().request(*given, **named)


class Secret(Plain, HTTPSConnection):
    """One under TLS."""


class PlainPool(HTTPConnectionPool):
    """Those to one host, without TLS."""

    ConnectionCls = Plain


class SecretPool(HTTPSConnectionPool):
    """Those to one host, under TLS."""

    ConnectionCls = Secret


KINDS = {"http": PlainPool, "https": SecretPool}
