"""Where a request comes from, and where it goes to."""

from __future__ import annotations

from starlette.types import Scope


def path_of(scope: Scope) -> str:
    """The path below the server's own root (``--root-path`` behind a proxy)."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root else path


def address_of(scope: Scope) -> str:
    """Where a request comes from. Of IPv6 the network (64 bits): a single customer has as many addresses."""
    host = str((scope.get("client") or ("unknown",))[0])
    if host.count(":") < 2:
        return host
    left, _, right = host.partition("::")
    groups = [part for part in left.split(":") if part]
    missing = 8 - len(groups) - len([part for part in right.split(":") if part])
    return ":".join((groups + ["0"] * missing + right.split(":"))[:4])
