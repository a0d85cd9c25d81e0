"""From a server's answer to our errors: by the ``kind`` of ``application/problem+json``, never by guessing."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lepton_ai import errors
from lepton_ai.decodable import ready
from lepton_ai.errors import LeptonError, StorageFailed
from lepton_ai.wire import Problem

MOST = 2000
"""Characters of a server's words that are told."""


def _classes(kind: type[LeptonError]) -> Iterator[type[LeptonError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _classes(below)


KINDS = {kind.kind: kind for kind in _classes(LeptonError) if kind.__module__ == errors.__name__}
"""Every error that a server can tell, by its kind."""


def error(status: int, body: bytes, where: str) -> LeptonError:
    """The error that an answer with ``status`` stands for; ``where`` is the server. Unknown kinds: StorageFailed."""
    problem = _read(body)
    if problem is None:
        return _by_status(status, where)
    kind = KINDS.get(problem.kind, StorageFailed)
    text = (problem.detail or problem.title)[:MOST]
    if kind is StorageFailed:
        return StorageFailed(f"{where} answers: {text}", hint=problem.hint)
    if kind is errors.Unauthenticated:
        return errors.Unauthenticated(f"{where}: {text}", hint=f"lepton login {where}")
    return kind(text, hint=problem.hint)


def _read(body: bytes) -> Problem | None:
    try:
        return msgspec.json.decode(body, type=ready(Problem))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _by_status(status: int, where: str) -> LeptonError:
    """What is said when something else than our server answers: a proxy, a page of a portal."""
    known: dict[int, type[LeptonError]] = {
        401: errors.Unauthenticated,
        403: errors.Forbidden,
        404: errors.NotFound,
        429: errors.TooManyRequests,
        503: errors.Busy,
    }
    if 300 <= status < 400:
        return StorageFailed(
            f"{where} sends elsewhere (status {status}), and nothing was done",
            hint="is another address meant, such as https:// for http://?",
        )
    hint = f"lepton login {where}" if status == 401 else "is it the address of a lepton-ai server?"
    return known.get(status, StorageFailed)(f"{where} answers with status {status}", hint=hint)
