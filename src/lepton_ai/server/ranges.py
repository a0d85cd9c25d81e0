"""Bytes as an answer, all of them or a range (RFC 9110, section 14), in pieces that need little memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from email.utils import formatdate
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from lepton_ai.server.problems import Refused

PIECE = 1 << 20
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
Read = Callable[[int, int], bytes]
"""Gives so many bytes from an offset."""


def ranged(
    request: Request,
    size: int,
    etag: str,
    read: Read,
    *,
    named: str = "",
    lasting: bool = False,
    written_at: float | None = None,
) -> Response:
    """The ``size`` bytes that ``read`` gives, or those that the request asks for. ``named``: the name of a download.

    ``lasting``: at this address there will never be others, so whoever has them need not ask again. ``written_at``:
    when they came to be, in seconds since 1970.

    Raises:
        Refused: the range lies outside (416).
    """
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{etag}"'}
    if lasting:
        headers["Cache-Control"] = "private, max-age=31536000"
    if named:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(named, safe='')}"
    if written_at is not None:
        headers["Last-Modified"] = formatdate(written_at, usegmt=True)
    if request.headers.get("if-none-match") in (f'"{etag}"', "*"):
        return Response(status_code=304, headers=headers)
    asked = _asked(request, etag)
    start, end = (0, size) if asked is None else within(asked, size)
    if asked is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    status = 200 if asked is None else 206
    return StreamingResponse(pieces(read, start, end), status, headers, "application/octet-stream")


def within(asked: tuple[str, str], size: int) -> tuple[int, int]:
    """First byte, and the one after the last, of a range as it was written.

    Raises:
        Refused: it lies outside.
    """
    first, last = asked
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
    else:
        start, end = max(0, size - int(last)), size
    if start >= size or start >= end:
        raise Refused(
            416,
            f"there are {size:,} bytes, and none of them is asked for",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end


def pieces(read: Read, start: int, end: int) -> Iterator[bytes]:
    """Bytes from ``start`` to before ``end``."""
    while start < end:
        data = read(start, min(PIECE, end - start))
        yield data
        start += len(data)


def _asked(request: Request, etag: str) -> tuple[str, str] | None:
    """One range as it was written; None when all is asked for, or several, or of another state."""
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    condition = request.headers.get("if-range")
    if found is None or found.groups() == ("", "") or condition not in (None, f'"{etag}"'):
        return None
    if found.group(1) and found.group(2) and int(found.group(2)) < int(found.group(1)):
        return None
    return found.group(1), found.group(2)
