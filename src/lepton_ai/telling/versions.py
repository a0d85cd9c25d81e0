"""Versions in plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from lepton_ai.errors import Damaged, KeyMissing, LeptonError, NotFound
from lepton_ai.handles import Version
from lepton_ai.history.changes import labels
from lepton_ai.history.diff.words import introducing
from lepton_ai.repository import ModelRepository
from lepton_ai.types import VersionInfo


def version_json(info: VersionInfo) -> dict[str, Any]:
    """A version as every command prints it, and a server tells it."""
    return {
        "name": info.name,
        "id": info.id,
        "branch": info.branch,
        "status": info.status,
        "created_at": info.created_at,
        "updated_at": info.updated_at,
        "author": info.author,
        "metrics": info.metrics,
        "raw_bytes": info.raw_bytes,
        "stored_bytes": info.stored_bytes,
        "message": info.message,
        "revision": info.revision,
    }


def label(version: Version) -> dict[str, Any]:
    """What a tag or alias means."""
    return {
        "name": version.name,
        "id": version.id,
        "branch": version.branch,
        "revision": version.revision,
    }


def facts(
    repository: ModelRepository, version: Version, *, packages: bool, problems: list[LeptonError]
) -> dict[str, Any]:
    """What the command tells; ``problems`` gets what is wrong with the larger things that are kept beside a version."""

    def read(what: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return what()
        except (NotFound, Damaged, KeyMissing) as problem:
            problems.append(problem)
            return {}

    info = repository.info(version)
    revisions = repository.revisions(version)
    names = _labels(repository, version, {revision.id for revision in revisions})
    code, environment = version.code, version.environment
    told = {
        **version_json(info),
        "id": version.id,
        "revision": version.revision,
        "author": version.author,
        "message": version.message,
        "metrics": version.metrics,
        "content_id": version.content_id,
        "operation": version.operation,
        "parents": version.parents,
        "revisions": [{"revision": r.revision, "id": r.id, "at": r.record.created_at} for r in revisions],
        "tags": names["tag"],
        "aliases": names["alias"],
        "params": version.params,
        "dataset": version.dataset,
        "history": read(lambda: version.history),
        "code": code and {**msgspec.to_builtins(code), "patch_bytes": code.patch.size if code.patch else 0},
        "environment": environment and {"python": environment.python, "platform": environment.platform},
        "files": version.files,
        "merge": read(lambda: _account(repository, version)) or None,
    }
    if packages:
        told["packages"] = read(lambda: version.packages)
    told["notes"] = [str(problem) for problem in problems]
    plain: dict[str, Any] = msgspec.to_builtins(told)
    if plain["code"]:
        plain["code"].pop("patch", None)
    return plain


def _labels(repository: ModelRepository, version: Version, ids: set[str]) -> dict[str, list[str]]:
    """The tags and aliases on its revisions: the version knows them, so that nobody goes through all there are."""
    lines = repository.lines
    pins = lines.version(bytes.fromhex(version.id)).state.pins
    refs = lines.history.get([pin for pin in pins if pin.startswith(("tag/", "alias/"))])
    found: dict[str, list[str]] = {"tag": [], "alias": []}
    for key, ref in sorted(refs.items()):
        kind, _, name = key.partition("/")
        if labels.target(ref).hex() in ids:
            found[kind].append(name)
    return found


def _account(repository: ModelRepository, version: Version) -> dict[str, Any]:
    """The account of the merge that made it, and what people call the versions that took part; empty: none made it."""
    done = version.merged
    if done is None:
        return {}
    called = {
        side: [_address(repository, id_) for id_ in ids]
        for side, ids in (("ours", done.models[:1]), ("theirs", done.models[1:]), ("base", done.bases))
    }
    warnings = introducing("the merge", done.introduces)
    return {"versions": called, "warnings": warnings, **msgspec.to_builtins(done)}


def _address(repository: ModelRepository, id_: str) -> str:
    try:
        return repository.version(id_, deleted=True).address
    except NotFound:  # gc keeps the record, an import brings only its own
        return id_[:12]
