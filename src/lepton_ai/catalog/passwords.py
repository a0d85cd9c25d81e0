"""Passwords: argon2id, with the parameters in the hash, so that they can be raised.

Source: RFC 9106; Unicode is compared in form NFKC (NIST SP 800-63B), so that a password typed on another keyboard fits.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from lepton_ai.errors import Busy, Damaged, UsageError

SHORTEST = 10
"""Characters."""
LONGEST = 1024
"""Bytes of UTF-8: hashing takes time in proportion."""
HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1, hash_len=32, salt_len=16)
"""64 MiB and some 0.1 s for each try."""
_TRIED_FIRST = frozenset(
    (
        "password", "passwort", "passwd", "passphrase", "secret", "letmein", "welcome", "admin", "administrator",
        "root", "user", "login", "changeme", "change", "default", "test", "testing", "qwerty", "qwertz", "azerty",
        "iloveyou", "monkey", "dragon", "football", "baseball", "master", "superman", "lepton", "leptonai",
        "passwordpassword", "adminadmin", "testtest", "qwertyqwerty",
    )
)  # fmt: skip
"""Words, without what people hang on to them."""
_AROUND = re.compile(r"^[\W\d_]+|[\W\d_]+$")
_AS_LETTERS = str.maketrans("013457@$", "oieastas")
_ROWS = ("1234567890" * 3, "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "1q2w3e4r5t6y7u8i9o0p")
_AT_ONCE = threading.BoundedSemaphore(4)
"""So that many logins at once wait, and do not take the memory of the machine."""
WAITING = 16
"""Logins that are judged or wait for it. They stand in threads that answer everybody else as well."""
_PLACES = threading.BoundedSemaphore(WAITING)


def check(password: str, name: str = "") -> str:
    """The password in the form that is hashed, when it may be chosen by the user called ``name``.

    Raises:
        UsageError: it is too short or too long, or is what people try first.
    """
    plain = _normal(password)
    if plain is None:
        raise UsageError(
            f"the password has more than {LONGEST} bytes or is not Unicode", hint="choose another"
        )
    if len(plain) < SHORTEST:
        raise UsageError(
            f"the password has fewer than {SHORTEST} characters", hint="a sentence is easy to remember"
        )
    if _is_easy(plain.casefold(), name.casefold()):
        raise UsageError("the password is too easy to guess", hint="choose another")
    return plain


def _is_easy(plain: str, name: str) -> bool:
    """Whether it is one word that everybody tries, or the name, with what people hang on to it; or a row of keys."""
    word = re.sub(r"\W|_", "", _AROUND.sub("", plain).translate(_AS_LETTERS))
    row = any(plain in keys or plain in keys[::-1] for keys in _ROWS)
    return len(set(plain)) <= 2 or row or plain == name or word in {*_TRIED_FIRST, re.sub(r"\W|_", "", name)}


@contextmanager
def place() -> Iterator[None]:
    """A place among those who log in, for the time of a block.

    Raises:
        Busy: a crowd is there already.
    """
    if not _PLACES.acquire(blocking=False):
        raise Busy("too many people log in at this moment", hint="repeat it in a moment")
    try:
        yield
    finally:
        _PLACES.release()


def hashed(plain: str) -> str:
    """The hash to keep of a password that :func:`check` gave."""
    with _AT_ONCE:
        return HASHER.hash(plain)


def rehashed(password: str) -> str:
    """The hash with today's parameters of a password that matched, whether or not it might be chosen today."""
    return hashed(_normal(password) or "")


def matches(kept: str | None, password: str) -> bool:
    """Whether the password is the one whose hash is kept; as slow when there is none."""
    plain = _normal(password)
    with _AT_ONCE:
        right = True
        try:
            HASHER.verify(_decoy() if kept is None else kept, plain or "")
        except InvalidHashError as problem:
            raise Damaged("the hash of a password is none", hint="set the password anew") from problem
        except VerificationError:
            right = False
    return right and kept is not None and plain is not None


def outdated(kept: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return HASHER.check_needs_rehash(kept)


@cache
def _decoy() -> str:
    return HASHER.hash("nobody has this password")


def _normal(password: str) -> str | None:
    try:
        if len(password) > LONGEST or len(password.encode()) > LONGEST:
            return None
    except UnicodeEncodeError:
        return None
    return unicodedata.normalize("NFKC", password)
