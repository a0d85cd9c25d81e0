"""From ``https://host/owner/name`` to where requests go, and whether they may go there."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

import msgspec

from lepton_ai import settings
from lepton_ai.errors import UsageError

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Address(msgspec.Struct, frozen=True):
    """A repository on a server: the server's own address (``https://host[:port][/path]``), owner and name."""

    server: str
    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.server}/{self.owner}/{self.name}"


def parse(text: str) -> Address:
    """The repository that an address names.

    Raises:
        UsageError: it names none, or requests to it would go unprotected over a network.
    """
    whole = server(text)
    rest, _, name = whole.rpartition("/")
    base, _, owner = rest.rpartition("/")
    if not (_PART.fullmatch(owner) and _PART.fullmatch(name) and "//" in base and not base.endswith("/")):
        raise UsageError(f"{whole} names no repository", hint="https://HOST/OWNER/NAME")
    return Address(base, owner, name.removesuffix(".lepton"))


def server(text: str) -> str:
    """A server's address in its one form: no slash at the end, host in lower case, no standard port.

    Raises:
        UsageError: it is none; it holds a password; or it is plain HTTP to another machine.
    """
    given = text if "://" in text else text.replace(":/", "://", 1)  # a Path keeps one slash
    try:
        parts = urlsplit(given.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        bare = (
            ""
            if "://" in given or not re.match(r"[A-Za-z0-9]", given)
            else f"do you mean https://{given.strip()}?"
        )
        raise UsageError(f"{_shown(given)} is no address of a server", hint=bare or "https://HOST/OWNER/NAME")
    if parts.username or parts.password:
        raise UsageError(
            f"the address of {host} holds a user or password; addresses are seen by others",
            hint="lepton login asks for them",
        )
    if parts.scheme == "http" and not (is_loopback(host) or settings.read().insecure):
        raise UsageError(
            f"http://{host} is not encrypted: everybody on the way could read and change models and passwords",
            hint="use https://, or --insecure (LEPTON_AI_INSECURE=1) on a network that you trust",
        )
    shown = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{shown}{'' if port in (None, usual) else f':{port}'}{parts.path.rstrip('/')}"


def host(server: str) -> str:
    """The host of a server's address, without its port."""
    return urlsplit(server).hostname or ""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(text: str) -> str:
    """The address without what may be a password."""
    return re.sub(r"//[^/@]*@", "//…@", text)
