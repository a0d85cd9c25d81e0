"""Why a store was not reached, in plain words: the library's own text is long, and may hold signed addresses."""

from __future__ import annotations

NO_CREDENTIALS = "there are no credentials for it in the environment, and this machine has no role of its own"

_REASONS = (
    ("169.254.169.254", NO_CREDENTIALS),  # where the clouds' machines are told their role
    ("metadata.google.internal", NO_CREDENTIALS),
    ("BadScheme", "its address is plain HTTP, which is not allowed"),
    ("dns error", "its name is not known"),
    ("ConnectionRefused", "nobody listens there"),
    ("InvalidContentType", "it does not speak TLS: is it http://?"),
    ("InvalidCertificate", "its certificate is not valid"),
    ("UnknownIssuer", "its certificate is not valid"),
    ("kind: Timeout", "no answer in time"),
    ("TimedOut", "no answer in time"),
    ("kind: Connect", "no connection is made"),
)
"""What stands in a text, and what it means; the first that fits counts."""


def reason(text: str) -> str:
    """What the text of an error of obstore means; "" when that is not known."""
    return next((words for mark, words in _REASONS if mark in text), "")
