"""Sources that somebody made on purpose: what they say is data, and leads nowhere else."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lepton_ai import ModelRepository
from lepton_ai.errors import UsageError
from lepton_ai.incoming.dvc.cache import Cache
from lepton_ai.incoming.git.commits import refs
from lepton_ai.incoming.git.objects import Objects
from lepton_ai.incoming.mlflow.artifacts import Artifacts
from tests.incoming.conftest import Bring

RUN = "0123456789abcdef0123456789abcdef"


def test_a_checksum_that_is_a_path_names_no_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('[{"relpath": "a", "md5": "b"}]')
    (tmp_path / "cache" / "ab").mkdir(parents=True)
    cache = Cache([], [tmp_path / "cache"])
    for md5 in (f"ab{secret}", "ab../../secret.json", "..", "", "ab"):
        assert cache.find(md5) is None
        assert cache.listing(md5) is None
    sound = "ab" + "0" * 30
    (tmp_path / "cache" / "ab" / sound[2:]).write_text("x")
    assert cache.find(sound) == tmp_path / "cache" / "ab" / sound[2:]


@pytest.mark.parametrize("ending", ["\u2028", "\x0b", "\x85", "\x1c"])
def test_a_tag_whose_subject_has_other_ends_of_lines(ending: str, tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=ada", "-c", "user.email=ada@example.com")
        subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "first")
    git("tag", "-a", "paper", "-m", f"one{ending}two")
    objects = Objects(tmp_path)
    try:
        (tag,) = refs(objects).tags
    finally:
        objects.close()
    assert (tag.name, tag.message.startswith("one")) == ("paper", True)


def test_a_registry_names_no_folder_outside_of_its_store(tmp_path: Path) -> None:
    outside, store = tmp_path / "home" / "secrets", tmp_path / "home" / "downloads" / "mlruns"
    outside.mkdir(parents=True)
    (outside / "id").write_text("secret")
    (store / RUN / "artifacts").mkdir(parents=True)
    (store / RUN / "artifacts" / "model.bin").write_text("weights")
    (store / RUN / "artifacts" / "link").symlink_to(outside / "id")
    (store.parent / "keys").mkdir()
    artifacts = Artifacts(store, [])
    for location in (f"file://{outside}", str(outside), f"{store}/../../secrets", f"{store.parent}/keys"):
        (told,) = artifacts.files(location, RUN)
        assert told.place is None
        assert "--objects" in told.lacking
    for location, owner in (("/elsewhere/keys", ""), ("/elsewhere/keys", "keys")):
        (told,) = artifacts.files(location, owner)
        assert told.place is None, "what lies beside the store is found by the id of a run only"
    for location in (f"file://{store}/{RUN}/artifacts", f"/elsewhere/mlruns/{RUN}/artifacts"):
        link, model = artifacts.files(location, RUN)
        assert (model.path, model.place) == ("model.bin", store / RUN / "artifacts" / "model.bin")
        assert (link.path, link.place, link.lacking) == (
            "link",
            None,
            "it is a link that leads out of the store",
        )
    (told,) = Artifacts(store, [outside]).files(f"file://{outside}", RUN)
    assert told.place == outside / "id"


def test_a_folder_of_a_registry_that_is_a_link_leads_nowhere_outside(tmp_path: Path) -> None:
    outside, store = tmp_path / "secrets", tmp_path / "mlruns"
    outside.mkdir()
    (outside / "id").write_text("secret")
    (store / RUN).mkdir(parents=True)
    (store / RUN / "artifacts").symlink_to(outside)
    (store / RUN / "file").symlink_to(outside / "id")
    for location in (
        f"{store}/{RUN}/artifacts",
        f"/elsewhere/{RUN}/artifacts",
        f"/elsewhere/mlruns/{RUN}/artifacts",
        f"/elsewhere/{RUN}/file",
    ):
        (told,) = Artifacts(store, []).files(location, RUN)
        assert told.place is None
        assert told.lacking
    (told,) = Artifacts(store, [outside]).files(f"{store}/{RUN}/artifacts", RUN)
    assert told.place is not None, "whoever names the folder may have it"


@pytest.mark.parametrize(
    "broken", [b"<<<<<<< HEAD\nouts:\n- md5: x\n=======\n", b"", b"\xff\xfe", b"[1, 2]", b"outs: {}"]
)
def test_a_dvc_file_that_cannot_be_read_is_told(
    broken: bytes, source: Callable[[str], Path], repository: ModelRepository, bring_in: Bring
) -> None:
    place = source("dvc") / "project"
    file = place / "data.dvc"
    file.write_bytes(broken)
    commit(place)
    report = bring_in(place)
    assert [
        left
        for left in report.left
        if left.why == f"{file.name} cannot be read: it is no YAML as DVC writes it"
    ]
    assert report.taken[-1].missing == 1


def test_a_lock_that_cannot_be_read_is_told(source: Callable[[str], Path], bring_in: Bring) -> None:
    place = source("dvc") / "project"
    (place / "dvc.lock").write_bytes(b"<<<<<<< HEAD\nstages:\n=======\n")
    commit(place)
    report = bring_in(place)
    assert ("what dvc.lock says", "it is no YAML as DVC writes it") in {
        (one.what, one.why) for one in report.left
    }


def test_where_nothing_can_be_read_it_is_told(tmp_path: Path, bring_in: Bring) -> None:
    place = tmp_path / "project"
    place.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main", place], check=True)
    (place / "dvc.yaml").write_bytes(b"stages: [")
    commit(place)
    with pytest.raises(UsageError, match=r"dvc\.yaml cannot be read"):
        bring_in(place, kind="dvc")


def commit(place: Path) -> None:
    who = ("-c", "user.name=ada", "-c", "user.email=ada@example.com")
    for asked in (("add", "--all"), ("commit", "-q", "-m", "broken")):
        subprocess.run(["git", "-C", place, *who, *asked], check=True, capture_output=True)
