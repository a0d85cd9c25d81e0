"""What is given with a version is kept as it was meant, or refused before anything is stored."""

from __future__ import annotations

import enum
from pathlib import Path

import numpy as np
import pytest

from lepton_ai import errors
from lepton_ai.formats.frameworks import registry as frameworks
from lepton_ai.formats.frameworks.contract import Saved
from lepton_ai.history import provenance
from lepton_ai.history.record import attachments, plain_metrics, plain_params
from lepton_ai.repository import ModelRepository

HALF = "\ud800"


class Optimizer(str, enum.Enum):  # noqa: UP042  (as older code writes it)
    ADAM = "adam"


@pytest.fixture
def repo(tmp_path: Path) -> ModelRepository:
    return ModelRepository(tmp_path / "repo", author="anna", encrypt=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "a").write_bytes(b"x")
    return tmp_path / "a"


class TestParams:
    def test_they_are_not_altered(self) -> None:
        given = {"e": Optimizer.ADAM, "one": np.array([5]), "zero": np.array(5), "s": np.str_("x")}
        assert plain_params(given) == {"e": "adam", "one": [5], "zero": 5, "s": "x"}
        assert plain_params({"deep": np.array([[1.5]])}) == {"deep": [[1.5]]}

    def test_keys_that_become_one_are_refused(self) -> None:
        with pytest.raises(errors.UsageError, match="alike"):
            plain_params({"a": {1: "x", "1": "y"}})

    def test_a_metric_may_be_an_array_of_one(self) -> None:
        assert plain_metrics({"a": np.array([0.5]), "b": np.float32(2)}) == {"a": 0.5, "b": 2.0}


@pytest.mark.parametrize(
    ("carried", "word"),
    [
        ({"message": HALF}, "message"),
        ({"message": 5}, "message"),
        ({"message": ["a"]}, "message"),
        ({"author": HALF}, "author"),
        ({"author": 3}, "author"),
        ({"params": {"a": HALF}}, "param 'a'"),
        ({"params": {HALF: 1}}, "param"),
        ({"params": {"a": {HALF: 1}}}, "param"),
        ({"params": [1, 2]}, "params is a list"),
        ({"params": "lr=1"}, "params is a str"),
        ({"metrics": {HALF: 1}}, "metric"),
        ({"metrics": 3}, "metrics is a int"),
        ({"dataset": HALF}, "dataset"),
        ({"dataset": {"name": HALF}}, "param 'name'"),
        ({"history": {HALF: [1.0]}}, "history"),
        ({"name": HALF}, "cannot name"),
        ({"parent": HALF}, "not"),
        ({"branch": HALF}, "branch"),
        ({"branch": 5}, "branch"),
    ],
)
def test_what_is_no_text(repo: ModelRepository, file: Path, carried: dict[str, object], word: str) -> None:
    with pytest.raises(errors.UsageError, match=word):
        repo.save_files(file, **carried)  # type: ignore[arg-type]
    assert repo.list_versions() == []


def test_addresses_and_reasons_that_are_no_text(repo: ModelRepository, file: Path) -> None:
    repo.save_files(file)
    acts = [
        lambda: repo.delete_version("v1", why=HALF),
        lambda: repo.branch(HALF),
        lambda: repo.create_branch(HALF),
        lambda: repo.version(HALF),
        lambda: repo.version(f"a@{HALF}"),
        lambda: repo.version(5),  # type: ignore[arg-type]
        lambda: repo.log(f"branch/{HALF}"),
        lambda: repo.rollback(None),  # type: ignore[arg-type]
        lambda: repo.tag("x", None),  # type: ignore[arg-type]
        lambda: repo.tag(5, "v1"),  # type: ignore[arg-type]
        lambda: repo.create_branch(None),  # type: ignore[arg-type]
        lambda: repo.save_files(file, name=5),  # type: ignore[arg-type]
        lambda: repo.create_branch("q", 5),  # type: ignore[arg-type]
        lambda: repo.create_branch("q", repo.branch().create_version("v5")),  # type: ignore[arg-type]
        lambda: repo.load_model(None),  # type: ignore[arg-type]
        lambda: repo.checkout(None),  # type: ignore[arg-type]
    ]
    for act in acts:
        with pytest.raises(errors.UsageError):
            act()


@pytest.mark.parametrize(
    "carried",
    [
        {"name": "a b"},
        {"name": "v1"},
        {"params": {"x": object()}},
        {"history": "nothing.json"},
        {"metric": 1},
    ],
)
def test_a_refused_save_stores_nothing(repo: ModelRepository, file: Path, carried: dict[str, object]) -> None:
    repo.save_files(file)
    before = repo.stats().pack_bytes
    file.write_bytes(bytes(range(256)) * 100)
    with pytest.raises(errors.UsageError):
        repo.save_files(file, **carried)  # type: ignore[arg-type]
    assert repo.stats().pack_bytes == before


def test_versions_and_drafts_stand_for_themselves(repo: ModelRepository, file: Path) -> None:
    from sklearn.linear_model import LinearRegression

    first = repo.save_model(LinearRegression().fit([[0], [1]], [0, 1]))
    branch = repo.branch()
    draft = branch.create_version("second").add(file, message="m")
    assert isinstance(repo.load_model(repo.version(first.name)), LinearRegression)
    back = repo.rollback(repo.version(first.name))
    assert (back.operation.source, back.message) == (first.id, f"Roll back to {first.name}")
    assert branch.rollback_to_version(repo.version(first.name)).files == first.files
    assert repo.create_branch("side", draft).head == repo.version("second")


def test_what_a_purged_version_carried_is_told_as_freed(
    repo: ModelRepository, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = provenance.Checkout("0" * 40, "", "main", dirty=True, patch=b"+ a line")
    monkeypatch.setattr(provenance, "checkout", lambda _: patch)
    monkeypatch.setattr(provenance, "packages", lambda: b'{"theirs":"1.0"}')
    first = repo.save_files(file, history={"loss": [1.0]})
    assert (first.packages, first.patch) == ({"theirs": "1.0"}, b"+ a line")
    monkeypatch.undo()
    file.write_bytes(b"later")
    repo.save_files(file)
    repo.delete_version("v1")
    repo.gc(grace=0)
    gone = repo.version("v1", deleted=True)
    for what, read in (
        ("training history", lambda: gone.history),
        ("packages", lambda: gone.packages),
        ("patch", lambda: gone.patch),
    ):
        with pytest.raises(errors.NotFound, match=f"gc freed the {what} of version 'v1' on 20"):
            read()
    assert gone.environment is not None
    assert gone.environment.python.startswith("CPython")
    assert gone.code is not None
    assert gone.code.dirty


def test_everything_that_a_record_refers_to(repo: ModelRepository, file: Path) -> None:
    version = repo.save_files(file, history={"loss": [1.0]})
    assert dict(attachments(version.record))["(training history)"] == version.record.training
    assert version.record.environment is not None
    assert dict(attachments(version.record))["(packages)"] == version.record.environment.packages


def test_a_branch_that_is_not_there_is_named(repo: ModelRepository, file: Path) -> None:
    repo.save_files(file)
    with pytest.raises(errors.NotFound, match="no branch 'nobranch'"):
        repo.version("v1", "nobranch")


@pytest.mark.parametrize(
    "given",
    [
        {"metrics": {"accuracy": "high"}},
        {"params": {"x": object()}},
        {"history": "nothing.json"},
        {"dataset": 5},
        {"message": 5},
        {"metric": {"accuracy": 1.0}},
        {"branch": "nobranch"},
        {"parent": "v9"},
        {"parent": "v1"},
    ],
)
def test_what_is_given_is_looked_at_before_a_model_is_written(
    repo: ModelRepository, file: Path, given: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.save_files(file)
    repo.save_files(file)

    def written(*_: object, **__: object) -> Saved:
        raise AssertionError("the model was written first")

    monkeypatch.setattr(frameworks, "save", written)
    with pytest.raises((errors.UsageError, errors.LostRace)):
        repo.save_model(object(), **given)  # type: ignore[arg-type]
    if given.keys() & {"branch", "parent"}:
        return
    with pytest.raises(errors.UsageError):
        repo.update_version("v1", object(), **given)  # type: ignore[arg-type]
    branch = repo.branch()
    with pytest.raises(errors.UsageError):
        branch.create_version().save_model(object(), **given)  # type: ignore[arg-type]
    assert branch.draft is None
    branch.create_version()
    with pytest.raises(errors.UsageError):
        repo.save_files(file, branch, **given)  # type: ignore[arg-type]
    assert branch.draft is None
    with branch.create_version("v9") as draft:
        with pytest.raises(errors.UsageError):
            draft.set(**given)
        with pytest.raises(errors.UsageError):
            draft.save_model(object(), **given)  # type: ignore[arg-type]
        draft.set(metrics={"a": 1}, message="before").add(file, metrics={"b": 2})
    assert (draft.saved().metrics, draft.saved().message) == ({"b": 2}, "before")


def test_curves_that_can_be_read_only_once(repo: ModelRepository, file: Path) -> None:
    assert repo.save_files(file, history={"loss": iter([1.0, 0.5])}).history == {"loss": [1.0, 0.5]}
    draft = repo.branch().create_version().set(history={"loss": (1 / n for n in (1, 2))})
    draft.add(file)
    assert draft.saved().history == {"loss": [1.0, 0.5]}
