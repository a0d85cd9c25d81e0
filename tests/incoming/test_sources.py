"""What real tools wrote arrives whole: bytes, authors, times, messages, branches, names, params, metrics, curves."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lepton_ai import ModelRepository, Version
from lepton_ai.errors import NotFound, UsageError
from lepton_ai.incoming.contract import Left
from lepton_ai.incoming.recognising import recognise
from lepton_ai.incoming.report import Renamed
from lepton_ai.types import Dataset

from .conftest import Bring
from .sources.write_sources import weights

ANNA, BO = "Anna Müller <anna@example.com>", "Bo Li <bo@example.com>"
Unpack = Callable[[str], Path]


def files(version: Version, folder: Path) -> dict[str, bytes]:
    version.checkout(folder / version.id)
    return {entry.path: (folder / version.id / entry.path).read_bytes() for entry in version.files}


def line(repository: ModelRepository, branch: str) -> list[Version]:
    """The branch's versions by first parents, the oldest first."""
    found = []
    head = repository.branch(branch).head
    while head is not None:
        found.append(head)
        head = repository.version(head.parents[0]) if head.parents else None
    return found[::-1]


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", folder, *arguments], check=True, capture_output=True, text=True
    ).stdout


def test_dvc(source: Unpack, repository: ModelRepository, bring_in: Bring, tmp_path: Path) -> None:
    place = source("dvc") / "project"
    assert recognise(str(place)) == "dvc"
    report = bring_in(place)
    assert not report.left
    assert report.renamed == [Renamed("tag", "v2", "r-v2", "it cannot be called so here")]
    main = line(repository, "main")
    assert [(v.author, v.created_at[:16], v.message) for v in main] == [
        (ANNA, "2023-11-14T23:13", "First model"),
        (BO, "2023-11-15T01:13", "A larger step"),
        (BO, "2023-11-15T03:13", "More data"),
        (ANNA, "2023-11-15T04:13", "Merge longer training"),
    ]
    assert [branch.name for branch in repository.branches()] == ["main", "experiment/small"]
    assert repository.tags()["v1.0"].id == main[0].id
    assert repository.tags()["r-v2"].id == main[3].id
    merge = main[3]
    longer = repository.version(merge.parents[1])
    assert (longer.message, longer.parents) == ("Train longer", (main[1].id,))
    head = repository.branch("experiment/small").head
    assert head is not None
    assert head.parents == (merge.id,)
    for version in (*main, longer, head):
        assert version.code is not None
        kept = files(version, tmp_path)
        assert kept["data/a.csv"] == b"x,y\n1,2\n"
        lr, epochs = version.params["train.lr"], version.params["train.epochs"]
        assert kept["models/model.safetensors"] == weights(int(lr * 1000 + epochs))
        assert git(place, "log", "-1", "--format=%s", version.code.commit).strip() == version.message
    assert sorted(files(main[1], tmp_path)) == ["data/a.csv", "data/b.csv", "models/model.safetensors"]
    assert "data/c.csv" in files(main[2], tmp_path)
    assert merge.params == {"train.lr": 0.2, "train.epochs": 9, "other": [1, 2]}
    assert merge.metrics["accuracy"] == 0.7
    assert math.isnan(merge.metrics["loss.worst"])
    assert merge.dataset is not None
    assert merge.dataset.name == "data"
    assert merge.dataset.digest.startswith("md5:")
    assert repository.verify().clean


def test_the_record_says_who_imported_it_from_where_and_when(
    source: Unpack, repository: ModelRepository, bring_in: Bring
) -> None:
    place = source("dvc") / "project"
    bring_in(place)
    version = line(repository, "main")[0]
    origin = version.operation.origin
    assert version.operation.kind == "import"
    assert origin is not None
    assert (origin.kind, origin.by, origin.place) == ("dvc", "Importer", str(place))
    assert origin.reference == git(place, "rev-parse", "v1.0").strip()
    assert origin.at > "2026"
    moves = repository.log("branch/main")
    assert {move.actor for move in moves if move.act == "import"} == {"Importer"}
    assert all(move.at > "2026" for move in moves), "the log tells when it came here"
    copied = repository.rollback(version)
    assert copied.operation.origin is None, "a version made of an imported one is not that of the source"


def test_some_paths_of_dvc(
    source: Unpack, repository: ModelRepository, bring_in: Bring, tmp_path: Path
) -> None:
    place = source("dvc") / "project"
    bring_in(place, paths=["models", "train.py"])
    main = line(repository, "main")
    assert sorted(files(main[0], tmp_path)) == ["models/model.safetensors", "train.py"]
    assert files(main[0], tmp_path)["train.py"] == (place / "train.py").read_bytes()
    assert [version.message for version in main] == ["First model", "A larger step", "Train longer"], (
        "more data is no other model, so the merge brought nothing that its second parent had not"
    )
    report = bring_in(place, "data", paths=["data/a.csv"])
    assert report.known == 0, "other paths are another model"
    assert sorted(files(line(repository, "data")[0], tmp_path)) == ["data/a.csv"]


def test_dvc_from_its_remote_and_from_a_bare_clone(
    source: Unpack, repository: ModelRepository, bring_in: Bring, tmp_path: Path
) -> None:
    place = source("dvc")
    git(tmp_path, "clone", "-q", "--bare", str(place / "project"), str(tmp_path / "bare.git"))
    (place / "project" / ".dvc" / "cache").rename(tmp_path / "elsewhere")
    report = bring_in(place / "project", dry_run=True)
    missing = {taken.message: taken.missing for taken in report.taken}
    assert missing["Merge longer training"] == 0, "what was pushed is found in the remote, which is a folder"
    (place / "remote").rename(tmp_path / "gone")
    report = bring_in(place / "project", dry_run=True)
    assert not report.taken
    assert {left.what for left in report.left} >= {
        "file data",
        "file models/model.safetensors",
        "the version",
    }
    taken = bring_in(tmp_path / "bare.git", objects=[tmp_path / "elsewhere"])
    assert len(taken.taken) == 6
    assert not taken.left
    assert repository.verify().clean


def test_git_lfs(source: Unpack, repository: ModelRepository, bring_in: Bring, tmp_path: Path) -> None:
    place = source("git-lfs") / "model"
    assert recognise(str(place)) == "git-lfs"
    report = bring_in(place)
    assert not report.left
    main = line(repository, "main")
    assert [(v.author, v.message) for v in main] == [
        (ANNA, "First weights"), (BO, "Better weights"), (ANNA, "Say the right size"),
    ]  # fmt: skip
    for version, seed in zip(main, (1, 2, 2), strict=True):
        kept = files(version, tmp_path)
        assert sorted(kept) == ["README.md", "config.json", "model.safetensors"]
        assert kept["model.safetensors"] == weights(seed)
    assert files(main[2], tmp_path)["config.json"] == (place / "config.json").read_bytes()
    half = repository.branch("fp16").head
    assert half is not None
    assert half.parents == (main[1].id,)
    assert files(half, tmp_path)["half/model.safetensors"] == weights(3, 256)
    assert main[0].params == {"license": "mit", "tags": ["tiny"]}
    assert main[0].dataset == Dataset("iris", "https://huggingface.co/datasets/iris")
    assert repository.tags()["r-v1"].id == main[0].id


def test_branches_of_a_clone_count(
    source: Unpack, repository: ModelRepository, bring_in: Bring, tmp_path: Path
) -> None:
    place = source("git-lfs") / "model"
    git(tmp_path, "-c", "filter.lfs.smudge=", "-c", "filter.lfs.required=false",
        "clone", "-q", "--no-checkout", str(place), "clone")  # fmt: skip
    report = bring_in(tmp_path / "clone")
    assert not report.left, "objects of a remote that is a folder are found there"
    assert [branch.name for branch in repository.branches()] == ["main", "fp16"]


@pytest.mark.parametrize("store", ["database", "files"])
def test_mlflow(
    store: str, source: Unpack, repository: ModelRepository, bring_in: Bring, tmp_path: Path
) -> None:
    place = source("mlflow") / store
    assert recognise(str(place)) == "mlflow"
    report = bring_in(place)
    main = line(repository, "main")
    assert [(v.name, v.author, v.message) for v in main] == [
        (f"v{number}", "anna", f"Number {number}") for number in (1, 2, 3)
    ]
    assert main[0].created_at < main[1].created_at < main[2].created_at < "2026-11-22"
    assert files(main[1], tmp_path)["model.safetensors"] == weights(2)
    assert files(main[2], tmp_path) == {"model.safetensors": weights(33)}, "a logged model of MLflow 3"
    assert main[0].params == {
        "lr": 0.1, "layers": "[8, 4]", "tag.checked": "yes", "tag.owner": "vision", "mlflow.stage": "Production",
    }  # fmt: skip
    assert main[2].params["depth"] == 2
    assert main[2].metrics["own"] == 0.5
    assert main[0].metrics == {"accuracy": 0.91, "loss": pytest.approx(1 / 3), "worst": math.inf}
    assert math.isnan(main[1].metrics["worst"])
    assert main[0].history == {"loss": [1.0, 0.5, pytest.approx(1 / 3)]}
    assert main[0].code is not None
    assert main[0].code.commit == "1" * 40
    named = {name: version.name for name, version in repository.aliases().items()}
    assert named == {"champion": "v3", "r-abc1234": "v2", "production": "v1"}
    assert [left.what for left in report.left] == ["description: Which digit it is"]
    assert bring_in(place).taken == []


def test_which_model_of_mlflow(source: Unpack, bring_in: Bring) -> None:
    place = source("mlflow") / "database"
    assert len(bring_in(f"sqlite:///{place / 'mlflow.db'}", dry_run=True, model="digits").taken) == 3
    with pytest.raises(NotFound, match=r"no registered model 'letters'.*digits, empty"):
        bring_in(place, model="letters")
    assert bring_in(place, dry_run=True, model="empty").taken == []


def test_a_hugging_face_cache(
    source: Unpack, repository: ModelRepository, bring_in: Bring, tmp_path: Path
) -> None:
    place = source("huggingface") / "hub" / "models--example--tiny"
    assert recognise(str(place)) == "huggingface"
    report = bring_in(place)
    assert [left.what for left in report.left] == ["authors, times and messages of the revisions"]
    main = line(repository, "main")
    pull = repository.branch("pr/1").head
    assert pull is not None
    for version, seed in ((main[0], 1), (main[1], 2), (pull, 3)):
        kept = files(version, tmp_path)
        assert sorted(kept) == ["README.md", "config.json", "model.safetensors", "trainer_state.json"]
        assert kept["model.safetensors"] == weights(seed)
        assert version.author == "example"
        assert version.history["loss"] == [pytest.approx(1 / (seed + step)) for step in (1, 2, 3)]
    assert main[1].operation.origin is not None
    assert main[1].operation.origin.reference == (place / "refs" / "main").read_text()
    assert main[1].metrics["Iris/accuracy"] == 0.91
    assert math.isnan(main[1].metrics["Iris/f1"])
    assert main[1].params == {"license": "apache-2.0", "base_model": "example/base"}
    assert bring_in(place.parent).known == 3, "the only model of a cache is meant"


def test_a_model_folder(source: Unpack, repository: ModelRepository, bring_in: Bring, tmp_path: Path) -> None:
    place = source("huggingface") / "plain"
    assert recognise(str(place)) == "huggingface"
    repository.save_files(place / "config.json")
    bring_in(place)
    head = repository.branch("main").head
    assert head is not None
    assert (head.name, head.author) == ("v2", "unknown")
    assert sorted(files(head, tmp_path)) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "trainer_state.json",
    ]
    assert head.operation.detail.startswith("revision ")
    assert bring_in(place).taken == []
    (place / "config.json").write_text("{}")
    bring_in(place)
    assert [version.name for version in line(repository, "main")] == ["v1", "v2", "v3"]


def test_files_that_were_not_downloaded(source: Unpack, repository: ModelRepository, bring_in: Bring) -> None:
    place = source("huggingface") / "hub" / "models--example--tiny"
    main = (place / "refs" / "main").read_text()
    (place / "snapshots" / main / "config.json").unlink()
    report = bring_in(place)
    told = f"revision {main[:12]} of example/tiny"
    assert Left("file config.json", "it was not downloaded into the cache", told) in report.left
    head = repository.branch("main").head
    assert head is not None
    assert head.operation.origin is not None
    assert head.operation.origin.missing == ("config.json",)


def test_what_is_meant_where_several_things_lie(source: Unpack, tmp_path: Path) -> None:
    project = source("dvc") / "project"
    (source("mlflow") / "files" / "mlruns").rename(project / "mlruns")
    assert recognise(str(project)) == "dvc"
    assert recognise(str(project / "mlruns")) == "mlflow"
    (source("huggingface") / "plain").rename(project / "tiny")
    assert recognise(str(project / "tiny")) == "huggingface", "a model's folder, although it is in a project"
    assert recognise(str(project / "data")) == "dvc"
    git(tmp_path, "init", "-q", "begun")
    (tmp_path / "begun" / "config.json").write_text("{}")
    assert recognise(str(tmp_path / "begun")) == "huggingface", "git has nothing yet"


def test_what_is_no_source(tmp_path: Path, bring_in: Bring) -> None:
    with pytest.raises(NotFound, match="there is no"):
        bring_in(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is far away"):
        bring_in("https://huggingface.co/gpt2")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"nothing in .* is a source"):
        bring_in(tmp_path / "empty")
    with pytest.raises(UsageError, match="is no git repository"):
        bring_in(tmp_path / "empty", kind="dvc")
    with pytest.raises(UsageError, match="'svn' is no kind of source"):
        bring_in(tmp_path / "empty", kind="svn")
    with pytest.raises(UsageError, match="is no store of MLflow"):
        bring_in(tmp_path / "empty", kind="mlflow")
    git(tmp_path, "init", "-q", "bare")
    with pytest.raises(UsageError, match="has no commit"):
        bring_in(tmp_path / "bare", kind="dvc")
    (tmp_path / "bare" / "a").write_text("a")
    git(tmp_path / "bare", "add", "a")
    git(tmp_path / "bare", "-c", "user.name=a", "-c", "user.email=a", "commit", "-q", "-m", "a")
    for kind in ("dvc", "git-lfs"):
        with pytest.raises(UsageError, match=r"no commit in .* has anything to take"):
            bring_in(tmp_path / "bare", kind=kind)
