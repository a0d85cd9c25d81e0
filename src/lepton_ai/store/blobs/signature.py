"""Addresses signed by AWS Signature Version 4, with parameters of their own (obstore signs a bare path only).

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import msgspec

_METHOD = "AWS4-HMAC-SHA256"


class Credentials(msgspec.Struct, frozen=True):
    """An access key; its parts are never shown."""

    key: str
    secret: str
    session: str = ""

    def __repr__(self) -> str:
        return "Credentials(…)"


def from_environment() -> Credentials | None:
    """The access key that the environment names, or None (roles of machines are no keys)."""
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    session = os.environ.get("AWS_SESSION_TOKEN") or os.environ.get("AWS_TOKEN") or ""
    return Credentials(key, secret, session) if key and secret else None


def signed(
    method: str,
    address: str,
    parameters: Mapping[str, str],
    seconds: int,
    credentials: Credentials,
    region: str,
    now: datetime | None = None,
) -> str:
    """``address`` (no query; its path is encoded already) with ``parameters`` and a signature good for ``seconds``."""
    parts = urlsplit(address)
    at = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{at[:8]}/{region}/s3/aws4_request"
    query = {
        **parameters,
        "X-Amz-Algorithm": _METHOD,
        "X-Amz-Credential": f"{credentials.key}/{scope}",
        "X-Amz-Date": at,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.session:
        query["X-Amz-Security-Token"] = credentials.session
    canonical = "&".join(
        sorted(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items())
    )
    request = f"{method}\n{parts.path}\n{canonical}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    text = f"{_METHOD}\n{at}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = b"AWS4" + credentials.secret.encode()
    for step in scope.split("/"):
        key = _code(key, step)
    return f"{parts.scheme}://{parts.netloc}{parts.path}?{canonical}&X-Amz-Signature={_code(key, text).hex()}"


def _code(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
