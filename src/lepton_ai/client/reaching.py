"""What becomes of a request that reaches nobody, or whose answer breaks off: our error, in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lepton_ai.errors import StorageFailed, UsageError


class Unreached(StorageFailed):
    """No whole answer came. ``before``: the request was not even sent; ``lasting``: nor will it be soon; ``silent``:
    nothing came within the time.
    """

    def __init__(
        self, message: str, *, hint: str, before: bool, lasting: bool = False, silent: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
        self.before, self.lasting, self.silent = before, lasting, silent


@contextmanager
def reached(server: str, patience: float) -> Iterator[None]:
    """Turn what urllib3 raises into our error; its own words may hold addresses that are signed.

    ``patience``: seconds without a byte after which it raises.
    """
    import urllib3.exceptions as wrong

    try:
        yield
    except wrong.SSLError as problem:
        if _is_cut(problem):
            raise Unreached(
                f"the connection to {server} broke off: it was closed in the middle",
                hint="repeat: what has arrived stays",
                before=False,
            ) from None
        raise UsageError(
            f"the certificate of {server} is not valid: {_certificate(problem)}",
            hint="name the authority's file in SSL_CERT_FILE if it is your own",
        ) from None
    except (wrong.NewConnectionError, wrong.ConnectTimeoutError, wrong.NameResolutionError) as problem:
        raise Unreached(
            f"{server} cannot be reached: {_reason(problem)}",
            hint="check the address and the network, then repeat",
            before=True,
            lasting=isinstance(problem, wrong.NameResolutionError),
        ) from None
    except wrong.ReadTimeoutError:
        raise Unreached(
            f"{server} is silent: nothing came for {patience:.0f} seconds",
            hint="it may have too much to do: repeat later, what has arrived stays",
            before=False,
            silent=True,
        ) from None
    except wrong.HTTPError as problem:
        raise Unreached(
            f"the connection to {server} broke off: {_reason(problem)}",
            hint="repeat: what has arrived stays"
            + ("; or does it speak https://?" if server.startswith("http:") else ""),
            before=False,
        ) from None


def _reason(problem: Exception) -> str:
    import urllib3.exceptions as wrong

    if isinstance(problem, wrong.NameResolutionError):
        return "its name is not known"
    if isinstance(problem, wrong.TimeoutError) and not isinstance(problem, wrong.NewConnectionError):
        return "no answer in time"
    inner = problem.args[1] if len(problem.args) > 1 else problem
    for cause in (inner, problem.__cause__, problem.__context__):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    return "it was closed in the middle"


def _is_cut(problem: Exception) -> bool:
    """Whether a connection under TLS ended before its time: OpenSSL has no word of its own for it."""
    import ssl

    inner = problem.args[0] if problem.args else problem
    ends = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    return isinstance(inner, ends) or "EOF" in str(getattr(inner, "reason", ""))


def _certificate(problem: Exception) -> str:
    inner = problem.args[0] if problem.args else problem
    return str(getattr(inner, "verify_message", "") or getattr(inner, "reason", "") or "it does not fit")
