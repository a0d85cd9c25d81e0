"""From the address of an object store to its blobs: ``s3://bucket/prefix?endpoint=…``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from lepton_ai.errors import MissingExtra, UsageError
from lepton_ai.later import Later
from lepton_ai.store.blobs.caching import CachingBlobs
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.blobs.retrying import RetryingBlobs
from lepton_ai.store.contract import Blobs

if TYPE_CHECKING:
    from obstore.store import MemoryStore

    from lepton_ai.store.blobs import bucket, presigning
else:
    bucket = Later("lepton_ai.store.blobs.bucket")
    presigning = Later("lepton_ai.store.blobs.presigning")

_OPTIONS = {
    "s3": {"endpoint", "public", "region", "path_style", "allow_http", "presign"},
    "gs": {"endpoint", "allow_http", "presign"},
    "az": {"endpoint", "account", "allow_http", "presign"},
}
"""Options of an address. None is a secret: addresses are seen in settings, logs and lists of processes."""

_SECRETS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY",
}
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": (),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
"""Where the environment may name an endpoint, for whoever does not in the address; the first that is there counts."""

_RETRY: dict[str, Any] = {"max_retries": 4}
_CLIENT: dict[str, Any] = {"timeout": "120s", "connect_timeout": "10s"}


def open_objects(url: str, prefix: str = "") -> Blobs:
    """The blobs at ``url`` whose names begin with ``prefix`` (a path, "" for all), known without it.

    ``s3://BUCKET/…``, ``gs://BUCKET/…``, ``az://CONTAINER/…``, ``file:///…`` or a plain path, ``memory://NAME`` (lives
    with the process). Options: ``endpoint=https://…``, ``region=…``, ``path_style=true|false``, ``account=…``, and
    ``allow_http=true`` for an endpoint without TLS; ``public=https://…`` is the endpoint in presigned addresses, where
    clients reach the store by another name, ``presign=false`` when they do not reach it. Credentials come from the
    environment, as each cloud names them; so does an endpoint that is not in the address (``AWS_ENDPOINT_URL_S3``,
    ``AWS_ENDPOINT_URL``), as the clouds' own tools take it: with or without TLS.
    Nothing is asked of the store yet.

    Raises:
        UsageError: the address is not one.
        MissingExtra: obstore is not installed.
    """
    if "://" not in url:
        return LocalBlobs(Path(url).joinpath(prefix))
    parts = urlsplit(url)
    if parts.scheme == "file":
        return LocalBlobs(Path(unquote(parts.path)).joinpath(prefix))
    path = "/".join(piece.strip("/") for piece in (unquote(parts.path), prefix) if piece.strip("/"))
    place = f"{parts.scheme}://{parts.hostname or ''}/{path}".rstrip("/")
    try:
        if parts.scheme == "memory":
            return bucket.ObjectBlobs(_memory(parts.netloc), place, path)
        if parts.scheme in _OPTIONS:
            return _in_a_cloud(url, place, path)
    except ImportError as missing:
        raise MissingExtra(
            f"{parts.scheme}:// needs obstore", hint="pip install 'lepton-ai[server]'"
        ) from missing
    raise UsageError(
        f"{parts.scheme}:// is no kind of object store",
        hint="s3://, gs://, az://, file:// or a path of a folder",
    )


def open_served(url: str, cache: Path, limit: int) -> Blobs:
    """The blobs at ``url`` for a server: across a network they are asked again, and what is read of packs is kept near.

    ``cache`` is a folder for at most about ``limit`` bytes; 0: nothing is kept.

    Raises:
        As :func:`open_objects`.
    """
    blobs = open_objects(url)
    if isinstance(blobs, LocalBlobs):
        return blobs
    blobs = RetryingBlobs(blobs)
    return CachingBlobs(blobs, cache, limit, _of_a_pack) if limit else blobs


def _of_a_pack(name: str) -> bool:
    return "/packs/" in f"/{name}"


_MEMORIES: dict[str, MemoryStore] = {}


def _memory(name: str) -> MemoryStore:
    """The memory of this process that goes by ``name``."""
    from obstore.store import MemoryStore

    return _MEMORIES.setdefault(name, MemoryStore())


def _in_a_cloud(url: str, place: str, path: str) -> Blobs:
    from obstore.store import AzureStore, GCSStore, S3Store

    parts = urlsplit(url)
    options = _options(url)
    if not parts.hostname:
        raise UsageError(f"{place} names no bucket", hint=f"{parts.scheme}://BUCKET/PREFIX")
    around = _around(place)
    kinds: dict[str, Any] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}

    def made(endpoint: str) -> Any:
        client = _CLIENT | {"allow_http": _plain(place, endpoint, options, around)}
        config = _config(parts.scheme, parts.netloc, endpoint, options)
        settings = {"config": config, "client_options": client, "retry_config": _RETRY}
        return _made(place, kinds[parts.scheme], parts.netloc, **settings)

    store = made(options.get("endpoint") or around)
    suffixes = parts.scheme != "az"
    if not _truth(options, "presign", True):
        return bucket.ObjectBlobs(store, place, path, suffixes)
    outside = made(options["public"]) if "public" in options else store
    return presigning.PresigningBlobs(store, place, path, suffixes, outside)


def _around(place: str) -> str:
    """The endpoint that the environment names, "" if it names none."""
    for name in _ENDPOINTS[urlsplit(place).scheme]:
        if endpoint := os.environ.get(name, ""):
            return _checked(f"{name} in the environment", endpoint)
    return ""


def _checked(what: str, endpoint: str) -> str:
    """An address of a store.

    Raises:
        UsageError: it is none.
    """
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:  # no number of a port
        good = False
    if not good or "@" in endpoint:
        raise UsageError(f"{what} is no address of a store", hint="https://HOST or http://HOST:PORT is meant")
    return endpoint


def _plain(place: str, endpoint: str, options: dict[str, str], around: str) -> bool:
    """Whether plain HTTP is allowed: where the address says so, or it is what the environment names (``around``).

    Raises:
        UsageError: it is not, and meant.
    """
    allowed = _truth(options, "allow_http", bool(around) and endpoint == around)
    if endpoint.startswith("http://") and not allowed:
        raise UsageError(
            f"The endpoint of {place} is plain HTTP: whoever listens could read and change what is stored.",
            hint="use https://, or add allow_http=true on a network that you trust",
        )
    return allowed


def _config(scheme: str, name: str, endpoint: str, options: dict[str, str]) -> dict[str, Any]:
    """What obstore is told about a bucket, beside what it finds in the environment."""
    if scheme == "s3":
        # A certificate for *.s3.amazonaws.com does not hold for a bucket with dots in its name.
        by_path = _truth(options, "path_style", bool(endpoint) or "." in name)
        config: dict[str, Any] = {"virtual_hosted_style_request": not by_path}
        config |= {"region": options["region"]} if "region" in options else {}
        return config | ({"endpoint": endpoint} if endpoint else {})
    if scheme == "gs":
        return {"base_url": endpoint} if endpoint else {}
    config = {"account_name": options["account"]} if "account" in options else {}
    return config | ({"endpoint": endpoint} if endpoint else {})


def _made(place: str, kind: Any, *arguments: Any, **options: Any) -> Any:
    from obstore.exceptions import BaseError

    try:
        return kind(*arguments, **options)
    except (BaseError, ValueError, TypeError, OSError) as error:
        # Its text may show what is in the environment.
        raise UsageError(
            f"{place} cannot be opened: the address, or what the environment says about it, is not right "
            f"({type(error).__name__})",
            hint=f"see {_SECRETS[urlsplit(place).scheme]}",
        ) from None


def _options(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise UsageError(
            f"The address of a {parts.scheme}:// store carries a name or password, which others could see.",
            hint=f"set {_SECRETS[parts.scheme]} in the environment",
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in ("endpoint", "public"):
        if options.get(name):
            _checked(f"{name}=… in the address", options[name])
    for name in options:
        if name not in _OPTIONS[parts.scheme]:
            raise UsageError(
                f"{name} is no option of {parts.scheme}://",
                hint=f"options: {', '.join(sorted(_OPTIONS[parts.scheme]))}; credentials come from the environment",
            )
    return options


def _truth(options: dict[str, str], name: str, default: bool = False) -> bool:
    value = options.get(name, str(default)).lower()
    if value not in ("true", "false"):
        raise UsageError(f"{name}={value}: true or false is meant")
    return value == "true"
