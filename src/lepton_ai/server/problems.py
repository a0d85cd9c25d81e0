"""From errors to answers: kind → status, and the body that says so (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from lepton_ai import errors, wire
from lepton_ai.server import logs

LOG = logging.getLogger("lepton_ai.server")
MEDIA_TYPE = "application/problem+json"
FAILED = "the server failed at this"
BUSY = "the server has too much to do at this moment", "repeat it in a moment"
RETRY_SECONDS = 1

STATUS: Mapping[type[errors.LeptonError], int] = {
    errors.LeptonError: 500,
    errors.UsageError: 400,
    errors.InvalidName: 422,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.Ambiguous: 409,
    errors.InUse: 409,
    errors.WouldOverwrite: 409,
    errors.Untrusted: 422,
    errors.MissingExtra: 422,
    errors.Unsupported: 422,
    errors.NotAllowed: 403,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.TooManyRequests: 429,
    errors.ConflictError: 409,
    errors.Busy: 503,
    errors.InfrastructureError: 502,
    errors.NoSpace: 507,
    errors.KeyMissing: 409,
    errors.StorageFailed: 502,
    errors.IntegrityError: 500,
}
"""The status of a kind; one that is not listed has that of the class it comes from."""


class Refused(errors.UsageError):
    """A request that HTTP has a status of its own for: too large, of the wrong type, to nobody here."""

    def __init__(
        self, status: int, message: str, *, hint: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.headers = dict(headers or {})


class Changed(errors.LostRace):
    """What was to be changed is no longer what the caller read (If-Match, 412)."""


class RateExceeded(errors.TooManyRequests):
    """Too many requests; ``headers`` say when the next is welcome."""

    def __init__(self, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message, hint=f"wait {headers.get('Retry-After', '1')} s, then repeat")
        self.headers = dict(headers)


def status_of(problem: errors.LeptonError) -> int:
    """The HTTP status of an error."""
    if isinstance(problem, Refused):
        return problem.status
    if isinstance(problem, Changed):
        return 412
    return next(STATUS[kind] for kind in type(problem).__mro__ if kind in STATUS)


def answer(problem: errors.LeptonError, *, instance: str = "", stranger: bool = False) -> Response:
    """The answer to a request that failed with ``problem``.

    What fails on our side stands in the log. A ``stranger``, who is not logged in, is not told what it was: names of
    databases and folders may be in it.
    """
    status = status_of(problem)
    if status >= 500:
        LOG.warning("%s", logs.told(problem), extra={"request_id": instance})
    headers: dict[str, str] = dict(getattr(problem, "headers", {}))
    if status == 401:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="lepton-ai"')
    if status == 503:
        headers.setdefault("Retry-After", str(RETRY_SECONDS))
    if stranger and status >= 500:
        said = BUSY if isinstance(problem, errors.Busy) else (FAILED, _look_for(instance))
        return _told(status, problem.kind, *said, instance, headers)
    kind = "not-found" if status == 404 else problem.kind
    return _told(status, kind, problem.message, problem.hint, instance, headers)


def unexpected(request_id: str) -> Response:
    """The answer when we do not know what happened: no details, which may hold secrets, but the id under which the log
    has them.
    """
    return _told(500, "internal", FAILED, _look_for(request_id), request_id, {})


def install(app: FastAPI) -> None:
    """Let ``app`` answer every error so."""
    app.add_exception_handler(errors.LeptonError, _ours)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)


async def _ours(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, errors.LeptonError)  # noqa: S101  (that is what it is installed for)
    stranger = request.scope.get("state", {}).get("caller") is None
    return answer(problem, instance=_instance(request), stranger=stranger)


async def _validation(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, RequestValidationError)  # noqa: S101  (that is what it is installed for)
    fields = {".".join(str(part) for part in error["loc"]): str(error["msg"]) for error in problem.errors()}
    status = 400 if any(error["type"] == "json_invalid" for error in problem.errors()) else 422
    detail = "; ".join(f"{where}: {what}" for where, what in fields.items())
    return _told(status, "usage", f"the request does not fit: {detail}", None, _instance(request), {}, fields)


async def _http(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)  # noqa: S101  (that is what it is installed for)
    known = {404: "there is nothing at this address", 405: "this address does not take this method"}
    refused = Refused(
        problem.status_code, known.get(problem.status_code, problem.detail), headers=problem.headers
    )
    return answer(refused, instance=_instance(request))


def _look_for(request_id: str) -> str:
    return f"tell the administrator this id: {request_id}"


def _instance(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))


def _told(
    status: int,
    kind: str,
    detail: str,
    hint: str | None,
    instance: str,
    headers: Mapping[str, str],
    fields: dict[str, str] | None = None,
) -> Response:
    title = HTTPStatus(status).phrase
    problem = wire.Problem(title, status, kind, detail, hint, instance=instance, fields=fields or {})
    body = msgspec.json.encode(msgspec.to_builtins(problem) | {"type": problem.type})
    return Response(body, status, dict(headers), MEDIA_TYPE)
