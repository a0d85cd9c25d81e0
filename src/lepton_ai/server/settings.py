"""What a server is told: ``server.json`` in its folder, then the environment, then flags; each wins over the former."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from lepton_ai.decodable import ready
from lepton_ai.errors import UsageError
from lepton_ai.settings import YES

FILE = "server.json"
CATALOG = "catalog.db"
OBJECTS = "objects"
PREFIX = "LEPTON_AI_SERVER_"
WHOLE = f"{PREFIX}WHOLE"
"""In the environment of a worker: all settings as JSON, as :func:`encode` writes them."""
MOST_EACH = 30
"""Connections to the database that a worker has any use for: it answers about as many requests at once."""
FEWEST_EACH = 2
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a server process must know. Sizes are bytes, times seconds, rates per second.

    ``folder`` is the server's folder. ``database`` and ``objects`` are addresses; "" stands for the embedded ones in
    the folder. ``cache_bytes`` of the packs in an object store are kept near.
    ``hosts`` are the host names it answers to ("*" any; none given: loopback names when it listens there,
    else any). ``proxies`` are the addresses whose X-Forwarded-* headers are believed. ``rate`` and ``burst`` limit each
    caller and each address; ``login_rate`` and ``login_burst`` the attempts to log in from an address. ``metrics`` says
    who may read ``/metrics``: loopback only, anybody, or who is logged in.
    """

    folder: Path
    database: str = ""
    objects: str = ""
    connections: int = 80
    cache: Path | None = None
    cache_bytes: int = 8 << 30
    server_key: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8750
    workers: int = 1
    tls_cert: Path | None = None
    tls_key: Path | None = None
    insecure: bool = False
    hosts: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    root_path: str = ""
    rate: float = 200.0
    burst: int = 2000
    login_rate: float = 0.2
    login_burst: int = 10
    body_limit: int = 64 << 20
    timeout: float = 600.0
    idle: float = 60.0
    stop_seconds: float = 30.0
    heartbeat: float = 15.0
    metrics: Literal["loopback", "open", "login"] = "loopback"
    docs: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def database_url(self) -> str:
        """The address of the database."""
        return self.database or f"sqlite:///{(self.folder / CATALOG).absolute()}"

    @property
    def connections_each(self) -> int:
        """Connections to the database that one worker opens at most."""
        return min(MOST_EACH, self.connections // self.workers)

    @property
    def objects_url(self) -> str:
        """The address of the object store."""
        return self.objects or f"file://{(self.folder / OBJECTS).absolute()}"

    @property
    def cache_folder(self) -> Path:
        """Where a process keeps what it may lose."""
        return self.cache or self.folder / "cache"

    @property
    def key_file(self) -> Path:
        """The key that wraps the repository keys which the server holds."""
        return self.server_key or self.folder / "keys" / "server.key"

    @property
    def secure(self) -> bool:
        """Whether what it serves reaches people over TLS."""
        return self.tls_cert is not None

    @property
    def answers_to(self) -> tuple[str, ...]:
        """The host names that requests may name; empty: any."""
        if "*" in self.hosts:
            return ()
        return self.hosts or (LOOPBACK if self.host in LOOPBACK else ())


def read(
    folder: Path, environment: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> ServerSettings:
    """The settings of the server in ``folder``. Flags that are None were not given.

    Raises:
        UsageError: a value cannot be read, or a name is unknown; says which.
    """
    told: dict[str, Any] = {"folder": str(folder)}
    try:
        told |= msgspec.json.decode((folder / FILE).read_bytes(), type=dict[str, Any]) | {
            "folder": str(folder)
        }
    except FileNotFoundError:
        pass  # everything has a default
    except (OSError, msgspec.DecodeError) as problem:
        raise UsageError(
            f"{folder / FILE} cannot be read: {problem}", hint="mend it, or remove it"
        ) from problem
    told |= _environment(os.environ if environment is None else environment)
    told |= {name: value for name, value in (flags or {}).items() if value is not None}
    return convert(told)


def convert(told: Mapping[str, Any]) -> ServerSettings:
    """Settings from their plain values.

    Raises:
        UsageError: a value cannot be used.
    """
    try:
        settings = msgspec.convert(
            dict(told), ready(ServerSettings), strict=False, dec_hook=_decode, builtin_types=(Path,)
        )
    except msgspec.ValidationError as problem:
        raise UsageError(f"the server's settings: {problem}", hint=f"see {FILE} and {PREFIX}*") from problem
    positive = (
        "rate",
        "burst",
        "login_rate",
        "login_burst",
        "body_limit",
        "timeout",
        "heartbeat",
    )
    wrong = [name for name in positive if not 0 < getattr(settings, name) < float("inf")]
    if wrong or settings.workers < 1 or not 0 <= settings.port < 65536 or settings.stop_seconds < 0:
        raise UsageError(f"the server's settings: {', '.join(wrong) or 'workers or port'} is out of range")
    if settings.connections_each < FEWEST_EACH:
        raise UsageError(
            f"{settings.connections} connections to the database are too few for {settings.workers} workers",
            hint=f"set `connections` to {FEWEST_EACH * settings.workers} at least, or take fewer workers",
        )
    return settings


def encode(settings: ServerSettings) -> bytes:
    """The settings as JSON, whole."""
    return msgspec.json.encode(msgspec.to_builtins(settings, enc_hook=str))


def decode(whole: bytes) -> ServerSettings:
    """The settings that :func:`encode` wrote."""
    return convert(msgspec.json.decode(whole, type=dict[str, Any]))


def _decode(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value).expanduser()
    raise NotImplementedError(kind)


def _environment(source: Mapping[str, str]) -> dict[str, Any]:
    """What ``LEPTON_AI_SERVER_PORT`` and the others say; lists are parted by commas."""
    told: dict[str, Any] = {}
    for field in msgspec.structs.fields(ServerSettings):
        value = source.get(PREFIX + field.name.upper(), "")
        if value == "" or field.name == "folder":
            continue
        if field.type is bool:
            told[field.name] = value.lower() in YES
        elif field.name in {"hosts", "proxies"}:
            told[field.name] = [part.strip() for part in value.split(",") if part.strip()]
        else:
            told[field.name] = value
    return told
