"""Keys as text: key files for machines, recovery keys for people.

Both begin with a line that says what they are; then come ``name: value`` lines, and ``#`` comments. A key file holds 32
random bytes in hexadecimal with a check value. A recovery key is 20 random bytes in Crockford's base32, nine groups
of four: 32 characters for the bytes, 4 for a check value. Case and dashes do not matter; O is read as 0, I and L as 1.

Source: https://www.crockford.com/base32.html
"""

from __future__ import annotations

from typing import NamedTuple

from blake3 import blake3

from lepton_ai.errors import KeyMissing

KEY_FILE = "lepton-ai key file 1"
RECOVERY = "lepton-ai recovery key 1"
RECOVERY_SIZE = 20

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {c: i for i, c in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_CHECK_CHARACTERS = 4


class KeyText(NamedTuple):
    """What a file of one of the two kinds holds: its first line, the repository's id and the secret."""

    kind: str
    repository: str
    secret: bytes


def key_file_text(secret: bytes, repository: str) -> str:
    """A key file."""
    return (
        f"{KEY_FILE}\n# Whoever has this file and the repository can read it. Keep it, and keep it to yourself.\n"
        f"repository: {repository}\nkey: {secret.hex()}\ncheck: {_check(secret).hex()}\n"
    )


def recovery_text(secret: bytes, repository: str) -> str:
    """A recovery-key file."""
    return (
        f"{RECOVERY}\n# Opens the repository when the key file is lost. Print it, or keep it in a password manager.\n"
        f"repository: {repository}\nkey: {recovery_key(secret)}\n"
    )


def recovery_key(secret: bytes) -> str:
    """Twenty bytes as nine groups of four characters."""
    number = int.from_bytes(secret, "big") << 20 | _check_number(secret)
    characters = "".join(_ALPHABET[number >> 5 * i & 31] for i in range(35, -1, -1))
    return "-".join(characters[i : i + 4] for i in range(0, 36, 4))


def parse_recovery_key(text: str) -> bytes:
    """The bytes of a recovery key as a person typed it.

    Raises:
        KeyMissing: it is mistyped.
    """
    number = count = 0
    for character in text.upper():
        if character in "- \t":
            continue
        if character not in _VALUES:
            raise KeyMissing(f"{character!r} does not occur in recovery keys.", hint="check what was typed")
        number, count = number << 5 | _VALUES[character], count + 1
    if count != 36:
        raise KeyMissing(f"A recovery key has 36 letters and digits, this one {count}.")
    secret = (number >> 5 * _CHECK_CHARACTERS).to_bytes(RECOVERY_SIZE, "big")
    if number & 0xFFFFF != _check_number(secret):
        raise KeyMissing(
            "This recovery key is mistyped.", hint="compare it with the original, group by group"
        )
    return secret


def parse_key_text(text: str, place: str) -> KeyText:
    """A key file or a recovery-key file.

    Raises:
        KeyMissing: it is neither, or it is damaged; names ``place``.
    """
    kind, _, rest = text.strip().partition("\n")
    kind = kind.strip()
    if kind not in (KEY_FILE, RECOVERY):
        raise KeyMissing(f"{place} is neither a key file nor a recovery key of a known version.")
    lines = (line.partition(":") for line in rest.splitlines() if not line.startswith("#"))
    fields = {name.strip(): value.strip() for name, _, value in lines}
    try:
        if kind == RECOVERY:
            secret = parse_recovery_key(fields["key"])
        else:
            secret = bytes.fromhex(fields["key"])
            if len(secret) != 32 or _check(secret).hex() != fields["check"]:
                raise KeyMissing(f"{place} is damaged: its check value does not fit.")
    except (KeyError, ValueError) as error:
        raise KeyMissing(f"{place} is damaged.") from error
    return KeyText(kind, fields.get("repository", ""), secret)


def _check(secret: bytes) -> bytes:
    return blake3(b"lepton-ai key check" + secret).digest(length=4)


def _check_number(secret: bytes) -> int:
    """The first 20 bits of the check value."""
    return int.from_bytes(_check(secret), "big") >> 12
