"""From the text of a filter to its tokens, each with its place."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from lepton_ai.errors import UsageError

LONGEST = 10_000
"""Letters of a filter or an order."""

TokenKind = Literal["word", "text", "number", "time", "sign", "end"]

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}[0-9:.]*(?:Z|[+-][0-9]{2}:[0-9]{2})?)?)
    |(?P<span>[0-9]+[smhdw]\b)
    |(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?(?![\w.]))
    |(?P<value>(?:metrics|params)\.(?:"(?:[^"]|"")+"|`(?:[^`]|``)+`|[\w./-]+))
    |(?P<word>[^\W\d]\w*)
    |(?P<sign><=|>=|!=|<>|==|[=<>~(),+-])
    """,
    re.VERBOSE | re.IGNORECASE,
)


class Token(msgspec.Struct, frozen=True):
    """A token: ``text`` as it counts (quotes taken off), ``written`` as it stands, ``place`` from 1 on.

    A ``word`` that is ``metrics.NAME`` or ``params.NAME`` has the name in ``member``.
    """

    kind: TokenKind
    text: str
    written: str
    place: int
    member: str | None = None


def tokens(text: str, what: str) -> list[Token]:
    """The tokens of ``text``; the last one is the end. ``what`` ("filter", "order") says in errors what is wrong.

    Raises:
        UsageError: it is too long, or something in it is no token.
    """
    if len(text) > LONGEST:
        raise UsageError(f"the {what} has {len(text)} letters; {LONGEST} is the limit", hint="ask in parts")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise UsageError(f"the {what} is not Unicode text that can be kept", hint=HINTS[what])
    found: list[Token] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise _no_token(text, place, what)
        if match.lastgroup != "space":
            found.append(_token(match))
        place = match.end()
    return [*found, Token("end", "", "", len(text) + 1)]


def refused(what: str, token: Token, expected: str) -> UsageError:
    """The error that says where and what would have been right."""
    there = "it ends" if token.kind == "end" else f"there is {shortened(token.written)}"
    problem = f"{what}, column {token.place}: {expected} is expected, but {there}"
    return UsageError(problem, hint=HINTS[what])


HINTS = {
    "filter": "for example: metrics.accuracy > 0.9 AND NOT author IN ('ada', 'bo')",
    "order": "for example: metrics.loss, created DESC",
}


def shortened(written: str) -> str:
    """A token as errors show it."""
    return written if len(written) <= 40 else written[:37] + "…"


def _token(match: re.Match[str]) -> Token:
    written, place = match[0], match.start() + 1
    group = match.lastgroup
    if group == "text":
        return Token("text", _unquoted(written), written, place)
    if group == "value":
        room, _, name = written.partition(".")
        member = _unquoted(name) if name[0] in '"`' else name
        return Token("word", room.lower(), written, place, member)
    if group == "word":
        return Token("word", written.lower(), written, place)
    if group == "sign":
        return Token("sign", {"<>": "!=", "==": "="}.get(written, written), written, place)
    if group == "number":
        return Token("number", written, written, place)
    return Token("time", written, written, place)


def _unquoted(written: str) -> str:
    quote = written[0]
    return written[1:-1].replace(quote * 2, quote)


def _no_token(text: str, place: int, what: str) -> UsageError:
    opened = text[place] in "'\""
    problem = "this quote is never closed" if opened else f"{text[place : place + 20]!r} cannot be read"
    return UsageError(f"{what}, column {place + 1}: {problem}", hint=HINTS[what])
