"""How often somebody may ask: every caller, and every address that asks without a login or fails at it."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import Message

from lepton_ai.server.access import Caller
from lepton_ai.server.buckets import Buckets, Share
from lepton_ai.server.metrics import Metrics
from lepton_ai.server.problems import RateExceeded
from lepton_ai.server.settings import ServerSettings


class Limits:
    """The buckets of a process; with N workers, N times as much is let through at most."""

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        self._callers = Buckets("caller", settings.rate, settings.burst)
        self._addresses = Buckets("address", settings.rate, settings.burst)
        self._logins = Buckets("login", settings.login_rate, settings.login_burst)
        self._metrics = metrics

    def caller(self, caller: Caller) -> Mapping[str, str]:
        """Count a request of ``caller``; the headers that tell what is left.

        Raises:
            RateExceeded.
        """
        return self._take(self._callers, caller.user, 1.0)

    def address(self, address: str, amount: float = 1.0) -> Mapping[str, str]:
        """Count a request without a login; ``amount`` 0 only asks whether there may be one.

        Raises:
            RateExceeded.
        """
        return self._take(self._addresses, address, amount)

    def login(self, address: str) -> Mapping[str, str]:
        """Count an attempt to log in, or to give a password.

        Raises:
            RateExceeded.
        """
        return self._take(self._logins, address, 1.0)

    def _take(self, buckets: Buckets, key: str, amount: float) -> Mapping[str, str]:
        share: Share = buckets.take(key, amount)
        headers = share.headers(buckets.name, buckets.rate)
        if share.wait:
            self._metrics.refused.labels(f"rate-{buckets.name}").inc()
            raise RateExceeded("too many requests", headers)
        return headers


def mark(message: Message, headers: Mapping[str, str]) -> None:
    """Put ``headers`` on an answer that does not say so itself."""
    if message["type"] == "http.response.start":
        held = MutableHeaders(scope=message)
        for name, value in headers.items():
            held.setdefault(name, value)
