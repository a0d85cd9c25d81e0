"""Whatever is given to the Python face: one plain error that says what is wrong, never Python's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lepton_ai
from lepton_ai import errors
from lepton_ai.comparing import Wanted
from lepton_ai.drafts import Draft
from lepton_ai.handles import Branch, Version
from lepton_ai.history.merging.asked import Asked
from lepton_ai.repository import ModelRepository

WRONG = (
    None,
    1,
    -1,
    True,
    1.5,
    float("nan"),
    b"x",
    "",
    "\0",
    "\ud800",
    "x" * 5000,
    ["x"],
    {"a": 1},
    object(),
    Path("\0"),
)
FREE = {
    "close", "stats", "verify", "branches", "tags", "aliases", "tensors", "discard", "saved", "merges_in_progress",
    "remotes",
}  # fmt: skip
"""Methods that are given nothing, or only what is true or false."""
CARRIED = ("metrics", "params", "history", "dataset", "author", "message")
KEYWORDS = {
    "Carried": CARRIED,
    "Asked": tuple(Asked.__annotations__),
    "Wanted": tuple(Wanted.__annotations__),
}
"""What may be given by name, by how it is declared."""

USUAL: dict[str, dict[str, object]] = {
    "add_remote": {"name": "nope", "url": "elsewhere"},
    "backup": {"target": "copy"},
    "branch": {},
    "checkout": {"version": "v1", "folder": "out"},
    "acting": {},
    "cherry_pick": {"version": "v1"},
    "create_branch": {"name": "main", "exist_ok": True},
    "create_version": {"version": "given", "model_path": "w.npy"},
    "delete_branch": {"branch": "nope"},
    "delete_version": {"address": "v9"},
    "diff": {"before": "v1", "after": "v1"},
    "export_version": {"version": "v1", "target": "again.lepton", "force": True},
    "gc": {"dry_run": True},
    "pull": {"remote": "nope"},
    "push": {"remote": "nope"},
    "remove_remote": {"name": "nope"},
    "import_version": {"source": "v1.lepton"},
    "info": {},
    "list_versions": {},
    "living": {},
    "load_model": {"version": "v1"},
    "log": {},
    "merge_branch": {"source": "main"},
    "merge_in_progress": {},
    "merge_versions": {"versions": ["v1"]},
    "open_draft": {"branch": "main"},
    "fill_draft": {},
    "preview_merge": {"source": "main"},
    "preview_pick": {"kind": "cherry-pick", "version": "v1"},
    "read_merge_config": {"config": "nope.yml"},
    "remove_alias": {"name": "nope"},
    "remove_tag": {"name": "nope"},
    "repack": {"dry_run": True},
    "rename_branch": {"old": "nope", "new": "other"},
    "replay_merge": {"version": "v1"},
    "restore_branch": {"name": "nope"},
    "restore_version": {"address": "v9"},
    "revert": {"version": "v1"},
    "revisions": {},
    "rollback": {"version": "v1"},
    "save_files": {"paths": "w.npy"},
    "save_model": {"model": object()},
    "set_alias": {"name": "t", "version": "v1"},
    "switch": {"branch": "main"},
    "tag": {"name": "t", "version": "v1"},
    "tensor_history": {"name": "array"},
    "update_version": {"version": "v1"},
    "version": {"address": "v1"},
    "version_of": {},
}
HANDLES: dict[type, dict[str, dict[str, object]]] = {
    Branch: {
        "create_version": {},
        "delete_version": {"address": "v9"},
        "rollback_to_version": {"version": "v1"},
        "tensor_history": {"name": "array"},
        "version": {"address": "v1"},
        "versions": {},
    },
    Version: {
        "checkout": {"folder": "out"},
        "diff": {"other": "v1"},
        "load": {},
        "revisions": {},
        "tensor": {"name": "x"},
        "update": {},
    },
    Draft: {"add": {}, "save_model": {"model": object()}, "set": {}, "take": {}},
}
INNER = {"open_draft", "fill_draft", "take", "acting", "version_of"}
"""For the handles only."""


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelRepository]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
    monkeypatch.setenv("LEPTON_AI_REPO", str(tmp_path / "repo"))
    np.save("w.npy", np.zeros(3))
    with ModelRepository("repo", encrypt=False, author="anna") as repo:
        repo.save_files("w.npy")
        repo.export_version("v1", "v1.lepton")
        yield repo


def _unpacked(parameter: inspect.Parameter) -> str:
    """The name of the class that says which keywords there are: of ``Unpack[comparing.Wanted]`` Wanted."""
    return str(parameter.annotation).partition("[")[2].rstrip("]").rpartition(".")[2]


def _refused(what: str, call: Callable[..., object], usual: dict[str, object]) -> Iterator[str]:
    """What a call says in any other words than ours, for every parameter and every wrong value."""
    for parameter in inspect.signature(call).parameters.values():
        several = parameter.kind is parameter.VAR_KEYWORD
        for name in KEYWORDS[_unpacked(parameter)] if several else (parameter.name,):
            for wrong in WRONG:
                try:
                    if parameter.kind is parameter.VAR_POSITIONAL:
                        call(wrong)
                    else:
                        call(**{**usual, name: wrong})
                except errors.LeptonError as problem:
                    if not isinstance(problem, errors.UsageError | errors.StorageFailed):
                        yield f"{what}({name}={wrong!r}): {problem.kind}"
                except Exception as problem:  # noqa: BLE001  (none of them is right)
                    yield f"{what}({name}={wrong!r}): {problem!r}"


def _methods(kind: type) -> set[str]:
    return {
        name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")
    } - FREE


@pytest.mark.parametrize("name", sorted(set(USUAL) - INNER))
def test_of_a_repository(repo: ModelRepository, name: str) -> None:
    assert list(_refused(name, getattr(repo, name), USUAL[name])) == []


@pytest.mark.parametrize(
    ("kind", "name"), [(k, n) for k, names in HANDLES.items() for n in names if n not in INNER]
)
def test_of_its_handles(repo: ModelRepository, kind: type, name: str) -> None:
    def call(**given: Any) -> object:
        branch = repo.branch("main")
        handle = {
            Branch: lambda: branch,
            Version: lambda: repo.version("v1"),
            Draft: branch.create_version,
        }[kind]()
        try:
            return getattr(handle, name)(*given.pop("paths", ()), **given)
        finally:
            if branch.draft is not None:
                branch.draft.discard()

    def several(*paths: Any) -> object:
        return call(paths=paths)

    call.__signature__ = inspect.signature(getattr(kind, name)).replace(  # type: ignore[attr-defined]
        parameters=[
            parameter
            for parameter in inspect.signature(getattr(kind, name)).parameters.values()
            if parameter.name != "self" and parameter.kind is not parameter.VAR_POSITIONAL
        ]
    )
    assert list(_refused(name, call, HANDLES[kind][name])) == []
    if name == "add":
        assert list(_refused(name, several, {})) == []


def test_every_method_is_among_them() -> None:
    assert _methods(ModelRepository) == set(USUAL)
    for kind, methods in HANDLES.items():
        assert _methods(kind) == set(methods)


def test_of_the_package(repo: ModelRepository) -> None:
    create = {"version": "given", "model_path": "w.npy"}
    assert list(_refused("create_version", lepton_ai.create_version, create)) == []
    assert list(_refused("list_versions", lepton_ai.list_versions, {})) == []


@pytest.mark.parametrize("name", ["path", "recovery_file", "author", "create", "encrypt"])
def test_of_a_new_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    for number, wrong in enumerate(WRONG):
        given = {"path": tmp_path / f"new-{number}", name: wrong}
        with suppress(errors.UsageError, errors.StorageFailed):
            ModelRepository(**given).close()  # type: ignore[arg-type]


def test_a_live_model(repo: ModelRepository) -> None:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[0], [1]], [0, 1])

    def save(stem: Any = "m", format: Any = None, parent: Any = None) -> object:  # noqa: A002  (as the face calls it)
        return repo.save_model(model, stem=stem, format=format, parent=parent)

    assert list(_refused("save_model", save, {})) == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda repo: repo.gc(grace="14d"), "grace is a str, not a number of seconds .give 0 or more"),
        (lambda repo: repo.gc(grace=None), "grace is None"),
        (lambda repo: repo.import_version(None), "the file to import is None, not a path .give a text"),
        (lambda repo: ModelRepository(None), "the repository is None, not a path"),
        (lambda repo: repo.backup("a\0b"), "cannot be the path of a file: 'a.x00b'"),
        (lambda repo: repo.list_versions(limit="3"), "limit is a str"),
        (lambda repo: repo.info("v1"), "the version is a str, not a Version"),
        (lambda repo: repo.delete_branch(None), "the branch to delete is not named"),
        (lambda repo: repo.branch(""), "there is no branch ''"),
        (lambda repo: repo.load_model("v1", trust="no"), "trust is a str .give True or False"),
        (lambda repo: repo.version("v1").tensor(5), "the tensor's name is a int"),
        (lambda repo: repo.branch().create_version(2), "2 cannot name a version"),
    ],
)
def test_what_is_said(repo: ModelRepository, call: Callable[[Any], object], words: str) -> None:
    with pytest.raises(errors.UsageError, match=words):
        call(repo)


def test_a_parent_may_be_a_version(repo: ModelRepository) -> None:
    assert repo.save_files("w.npy", parent=repo.version("v1")).name == "v2"
    with pytest.raises(errors.LostRace):
        repo.save_files("w.npy", parent=repo.version("v1"))
    assert repo.gc(grace=np.float32(3), dry_run=True).packs == ()
    assert len(repo.list_versions(limit=np.int64(1))) == 1  # type: ignore[arg-type]  # as numpy counts
