"""What passes between a client and a server: bodies of the HTTP API under ``/api/v1``, apart from versions and refs.

Bodies are JSON as msgspec writes it: bytes are Base64, times are microseconds since 1970 (UTC) unless said otherwise.
The calls on a repository's history carry the structs of :mod:`lepton_ai.history.refs.contract` as they are.
"""

from __future__ import annotations

from typing import Literal

import msgspec

PREFIX = "/api/v1"
"""Where the API begins on a server."""

PART_SIZE = 8 << 20
"""Bytes of a pack that one request carries, up or down; a cut connection costs at most what the server has not kept."""

MOST_PIECES = 1_000
"""Pieces of packs in one question; together they have at most ``PART_SIZE`` bytes."""

MOST_IDS = 50_000
"""Object ids in one question."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error (RFC 9457, ``application/problem+json``). ``kind`` is that of :mod:`lepton_ai.errors`, and stable."""

    title: str
    status: int
    kind: str
    detail: str = ""
    hint: str | None = None
    type: str = "about:blank"
    instance: str = ""
    fields: dict[str, str] = {}


class KeyFile(msgspec.Struct, frozen=True):
    """A file of ``.lepton/keys``: a wrapped key, or (``plain.json``) the id key of what is not encrypted."""

    name: str
    content: bytes


class NewRepository(msgspec.Struct, frozen=True, omit_defaults=True):
    """Make a repository on the server. ``id``, ``encrypted``, ``block_size`` and ``created_at`` (RFC 3339) are those of
    the ``config.json`` that it comes from; without ``id`` the server makes a new one, and its keys.

    ``master`` is the master key, which the server wraps with a key of its own: it can then read, diff and merge.
    Without it only clients hold the key.
    """

    owner: str
    name: str
    description: str = ""
    id: str | None = None
    encrypted: bool = True
    block_size: int | None = None
    created_at: str = ""
    keys: tuple[KeyFile, ...] = ()
    master: bytes | None = None


class RepositoryInfo(msgspec.Struct, frozen=True):
    """A repository on a server. ``readable``: the server holds its key. ``etag`` changes with what can be changed.

    ``sealing`` are the names of its sealing keys: who has them all need not ask for them.
    """

    owner: str
    name: str
    description: str
    id: str
    encrypted: bool
    readable: bool
    block_size: int
    format: int
    created_at: str
    etag: str
    sealing: tuple[str, ...] = ()


class Repositories(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of repositories, by owner and name; ``next`` continues it."""

    repositories: tuple[RepositoryInfo, ...]
    next: str | None = None


class RemovedRepository(msgspec.Struct, frozen=True):
    """A repository that was removed, and can be brought back by its ``number`` until ``kept_until`` (RFC 3339)."""

    number: int
    owner: str
    name: str
    description: str
    removed_at: str
    kept_until: str


class RemovedRepositories(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of removed repositories, the one made last first; ``next`` continues it."""

    removed: tuple[RemovedRepository, ...]
    next: str | None = None


class Keys(msgspec.Struct, frozen=True, omit_defaults=True):
    """The wrapped keys of a repository; ``master`` only for whom the server opens it."""

    files: tuple[KeyFile, ...]
    master: bytes | None = None


class Pack(msgspec.Struct, frozen=True):
    """A pack on the server: its name (64 hexadecimal digits), size in bytes, time of writing (seconds since 1970)."""

    name: str
    size: int
    written_at: float


class Packs(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of packs, oldest first; ``next`` continues it.

    ``last`` continues it too, when there are more one day. ``gone``: since the page that this one continues, packs have
    been taken off the list, so that who knows those before begins anew.
    """

    packs: tuple[Pack, ...]
    next: str | None = None
    last: str | None = None
    gone: bool = False


class Piece(msgspec.Struct, frozen=True):
    """``length`` bytes of a pack from ``offset``."""

    pack: str
    offset: int
    length: int


class Pieces(msgspec.Struct, frozen=True):
    """Pieces of several packs."""

    pieces: tuple[Piece, ...]


class Brought(msgspec.Struct, frozen=True):
    """The bytes of each piece that was asked for, in order; empty where the pack is gone, or ends before."""

    data: tuple[bytes, ...]


class Ids(msgspec.Struct, frozen=True):
    """Object ids, joined (32 bytes each)."""

    ids: bytes


class NewUpload(msgspec.Struct, frozen=True):
    """Begin, or go on with, bringing a pack: its name and size in bytes. The same pack is the same upload."""

    pack: str
    size: int


class Upload(msgspec.Struct, frozen=True, omit_defaults=True):
    """An upload under way. ``held`` are the bytes that the server has from the beginning: send what comes after.

    ``parts`` are presigned addresses, one for each ``part_size`` bytes in order, when the object store takes them
    straight; ``state`` is "there" when the server has the pack already.
    """

    id: str
    pack: str
    size: int
    held: int
    state: Literal["open", "there"]
    part_size: int = PART_SIZE
    parts: tuple[str, ...] = ()


class Parts(msgspec.Struct, frozen=True):
    """What the object store answered to the presigned parts, in order: their ETags."""

    etags: tuple[str, ...]


class Login(msgspec.Struct, frozen=True):
    """Log in by password. ``device`` is shown in the list of sessions and tokens."""

    user: str
    password: str
    device: str = ""


class LoggedIn(msgspec.Struct, frozen=True):
    """A browser's session, whose cookie came along. ``csrf`` is to be sent as X-CSRF-Token with every change."""

    user: str
    admin: bool
    scopes: tuple[str, ...]
    csrf: str
    expires_at: int


class NewToken(msgspec.Struct, frozen=True, omit_defaults=True):
    """Make an API token: ``scopes`` of "read", "write", "admin"; ``days`` until it expires."""

    name: str
    scopes: tuple[str, ...] = ("read", "write")
    days: int = 90


class Token(msgspec.Struct, frozen=True, omit_defaults=True):
    """An API token. ``secret`` is told once, when it is made; the server keeps a hash."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int
    last_used_at: int | None = None
    secret: str | None = None


class TokenLogin(msgspec.Struct, frozen=True):
    """Log in by password for a token, as programs do. The answer is a :class:`Token` with its secret."""

    user: str
    password: str
    token: NewToken


class Tokens(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of one's own tokens; ``next`` continues it."""

    tokens: tuple[Token, ...]
    next: str | None = None


class Session(msgspec.Struct, frozen=True):
    """A browser's session; ``current``: the one that asks."""

    id: str
    device: str
    address: str
    created_at: int
    seen_at: int
    expires_at: int
    current: bool


class Sessions(msgspec.Struct, frozen=True):
    """One's own sessions, the one used last first."""

    sessions: tuple[Session, ...]


class NewUser(msgspec.Struct, frozen=True, omit_defaults=True):
    """Add a user, with the first password."""

    name: str
    password: str
    admin: bool = False


class User(msgspec.Struct, frozen=True):
    """A user. ``etag`` changes with it."""

    name: str
    admin: bool
    active: bool
    created_at: int
    created_by: str
    etag: str


class Users(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of users, by name; ``next`` continues it."""

    users: tuple[User, ...]
    next: str | None = None


class UserChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """Change a user; what is absent stays."""

    admin: bool | None = None
    active: bool | None = None


class NewPassword(msgspec.Struct, frozen=True, omit_defaults=True):
    """Set a password. ``old`` is needed for one's own."""

    new: str
    old: str = ""


class Me(msgspec.Struct, frozen=True):
    """Who is asking: the user's name, whether an administrator, and the scopes of the token or session."""

    user: str
    admin: bool
    scopes: tuple[str, ...]
