"""Errors, sorted by what the caller should do.

    LeptonError
    ├── UsageError          change the call
    │   ├── InvalidName         a name breaks the rules for names
    │   ├── NotFound            no such repository, version, branch, tag, alias, file or tensor
    │   ├── AlreadyExists       the name is taken
    │   ├── Ambiguous           an id prefix or a name fits several things
    │   ├── InUse               a tag, alias, hold or deployment forbids it
    │   ├── WouldOverwrite      a file in the way is not kept in the repository
    │   ├── Untrusted           loading could run code; needs ``trust=True``
    │   ├── MissingExtra        an optional dependency is not installed
    │   ├── Unsupported         this object, format or operation is not supported
    │   └── NotAllowed          the server says no
    │       ├── Unauthenticated     it does not know who asks: log in
    │       ├── Forbidden           who asks may not do this
    │       └── TooManyRequests     wait a while
    ├── ConflictError       read again, then repeat or decide
    │   ├── LostRace            somebody moved the ref first
    │   ├── Busy                another process holds the repository
    │   └── Diverged            two branches need a real merge
    ├── InfrastructureError mend the surroundings
    │   ├── NoSpace             the disk is too full
    │   ├── KeyMissing          the key that opens the repository is not here
    │   └── StorageFailed       the file system or object store refused
    └── IntegrityError      restore from a copy; tell somebody
        ├── Damaged             stored bytes are not what was saved
        └── TooNew              written by a later version of this tool

Every error has a stable ``kind`` for machines, a message that says what and where, and a ``hint`` that says
what to do next. HTTP status and exit codes are mapped at the edges and unknown here. Kinds are append-only.
"""

from __future__ import annotations


class LeptonError(Exception):
    """Root of everything this package raises on purpose."""

    kind = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(LeptonError):
    """The call is wrong: change it."""

    kind = "usage"


class InvalidName(UsageError):
    """A name breaks the rules for names."""

    kind = "invalid-name"


class NotFound(UsageError):
    """No such repository, version, branch, tag, alias, file or tensor."""

    kind = "not-found"


class AlreadyExists(UsageError):
    """The name is taken."""

    kind = "already-exists"


class Ambiguous(UsageError):
    """An id prefix or a name fits several things."""

    kind = "ambiguous"


class InUse(UsageError):
    """A tag, alias, hold or deployment forbids it."""

    kind = "in-use"


class WouldOverwrite(UsageError):
    """A file in the way has content that the repository does not keep."""

    kind = "would-overwrite"


class Untrusted(UsageError):
    """Loading this could run code and nobody said that it may."""

    kind = "untrusted"


class MissingExtra(UsageError):
    """An optional dependency is not installed."""

    kind = "missing-extra"


class Unsupported(UsageError):
    """This object, format or operation is not supported."""

    kind = "unsupported"


class NotAllowed(UsageError):
    """A server refuses: who asks, or how often, is at fault."""

    kind = "not-allowed"


class Unauthenticated(NotAllowed):
    """The server does not know who asks."""

    kind = "unauthenticated"


class Forbidden(NotAllowed):
    """Who asks may not do this."""

    kind = "forbidden"


class TooManyRequests(NotAllowed):
    """Too much was asked in too short a time."""

    kind = "too-many-requests"


class ConflictError(LeptonError):
    """Something moved meanwhile: read again, then repeat or decide."""

    kind = "conflict"


class LostRace(ConflictError):
    """Somebody else moved the ref between reading and writing it."""

    kind = "lost-race"


class Busy(ConflictError):
    """Another process holds the repository and did not let go in time."""

    kind = "busy"


class Diverged(ConflictError):
    """Two branches went different ways and need a real merge."""

    kind = "diverged"


class InfrastructureError(LeptonError):
    """The surroundings are at fault: disk, permissions, keys."""

    kind = "infrastructure"


class NoSpace(InfrastructureError):
    """The disk is too full."""

    kind = "no-space"


class KeyMissing(InfrastructureError):
    """The key that opens the repository is not here or does not fit."""

    kind = "key-missing"


class StorageFailed(InfrastructureError):
    """The file system or the object store refused."""

    kind = "storage-failed"


class IntegrityError(LeptonError):
    """Stored bytes are not what was saved."""

    kind = "integrity"


class Damaged(IntegrityError):
    """An object is cut, flipped, swapped or gone."""

    kind = "damaged"


class TooNew(IntegrityError):
    """Written by a later version of this tool, so this one must not touch it."""

    kind = "too-new"
