"""Secrets of tokens and sessions: ``lai_<id>_<random>``, of which only the SHA-256 is kept.

256 random bits need no slow hash: nobody tries them all. The id is no secret; it finds the row and stands in logs.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

import msgspec

_FORM = re.compile(r"lai_([0-9a-f]{16})_[0-9a-f]{64}")


class Bearer(msgspec.Struct, frozen=True):
    """A secret with what is kept of it."""

    id: str
    secret: str
    hash: bytes

    def __repr__(self) -> str:
        return f"<Bearer {self.id}>"


def make() -> Bearer:
    """A new secret."""
    found = read(f"lai_{secrets.token_hex(8)}_{secrets.token_hex(32)}")
    assert found is not None  # noqa: S101  (it has the form)
    return found


def read(secret: str) -> Bearer | None:
    """A secret as somebody sent it; None when it cannot be one."""
    match = _FORM.fullmatch(secret)
    return Bearer(match[1], secret, hashlib.sha256(secret.encode()).digest()) if match else None


def same(kept: bytes, given: Bearer) -> bool:
    """Whether the secret is the one whose hash is kept, in constant time."""
    return hmac.compare_digest(kept, given.hash)


def csrf(given: Bearer) -> str:
    """What a page must send along to act in the session: another site's page cannot read it."""
    return hmac.new(given.secret.encode(), b"lepton-ai csrf", hashlib.sha256).hexdigest()
