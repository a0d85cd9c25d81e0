"""From an error to an exit code: the one place that knows it.

0   ok
1   a gate failed or a difference was found: also two branches that went different ways and need a decision
2   usage: change the command
3   environment or infrastructure: disk, permissions, keys, another process in the way; the same command may work later
4   waiting for approval
5   integrity: stored bytes are not what was saved
130 interrupted (Ctrl-C), 141 nobody reads the output any more (as programs that a closed pipe ends)

Conflicts are no class of their own for scripts. Whoever lost a race or waited in vain for another process repeats the
command (3); branches that diverged stay diverged, however often it is repeated (1).
"""

from __future__ import annotations

from lepton_ai.errors import (
    ConflictError,
    Diverged,
    InfrastructureError,
    IntegrityError,
    LeptonError,
    TooManyRequests,
    UsageError,
)

OK = 0
DIFFERENT = 1
USAGE = 2
ENVIRONMENT = 3
APPROVAL = 4
INTEGRITY = 5
INTERRUPTED = 130
BROKEN_PIPE = 141

_CODES: tuple[tuple[type[LeptonError], int], ...] = (
    (Diverged, DIFFERENT),
    (TooManyRequests, ENVIRONMENT),
    (UsageError, USAGE),
    (ConflictError, ENVIRONMENT),
    (InfrastructureError, ENVIRONMENT),
    (IntegrityError, INTEGRITY),
)


def exit_code(error: LeptonError) -> int:
    """The exit code for an error: that of the first class above that it is one of."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ENVIRONMENT)
