"""What a folder may hold, what of it is kept, and what a checkout never touches."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lepton_ai import errors
from lepton_ai.history.files import Found, check_and_sort
from lepton_ai.history.paths import follow, trouble
from lepton_ai.repository import ModelRepository


@pytest.fixture
def repo(tmp_path: Path) -> ModelRepository:
    return ModelRepository(tmp_path / "repo", author="anna", encrypt=False)


def _put(place: Path, data: bytes = b"x") -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    return place


class TestWhatIsInTheWay:
    def test_the_last_copy_of_a_purged_file_is_kept(self, repo: ModelRepository, tmp_path: Path) -> None:
        purged = os.urandom(5000)
        repo.save_files(_put(tmp_path / "m.bin", purged))
        repo.save_files(_put(tmp_path / "m.bin", b"later"))
        repo.delete_version("v1")
        repo.gc(grace=0)
        work = _put(tmp_path / "work" / "m.bin", purged)
        with pytest.raises(errors.WouldOverwrite):
            repo.checkout("v2", work.parent)
        assert work.read_bytes() == purged

    def test_a_foreign_link_is_not_replaced(self, repo: ModelRepository, tmp_path: Path) -> None:
        repo.save_files(_put(tmp_path / "m"))
        _put(tmp_path / "out" / "mine")
        (tmp_path / "out" / "m").symlink_to("mine")
        with pytest.raises(errors.WouldOverwrite):
            repo.checkout("v1", tmp_path / "out")
        assert (tmp_path / "out" / "m").readlink() == Path("mine")
        repo.checkout("v1", tmp_path / "out", force=True)
        assert (tmp_path / "out" / "m").read_bytes() == b"x"
        assert [p.readlink() for p in (tmp_path / "out").glob("m.kept-*")] == [Path("mine")]

    def test_a_link_of_another_version_is_replaced(self, repo: ModelRepository, tmp_path: Path) -> None:
        model = tmp_path / "model"
        _put(model / "a")
        _put(model / "b")
        for target in ("a", "b"):
            (model / "latest").unlink(missing_ok=True)
            (model / "latest").symlink_to(target)
            repo.save_files(model)
        repo.checkout("v1", tmp_path / "out")
        repo.checkout("v2", tmp_path / "out")
        assert (tmp_path / "out" / "latest").readlink() == Path("b")

    def test_a_file_where_a_folder_goes(self, repo: ModelRepository, tmp_path: Path) -> None:
        _put(tmp_path / "model" / "f" / "x")
        repo.save_files(tmp_path / "model")
        mine = _put(tmp_path / "out" / "f", b"mine")
        with pytest.raises(errors.WouldOverwrite):
            repo.checkout("v1", tmp_path / "out")
        assert mine.read_bytes() == b"mine"
        repo.checkout("v1", tmp_path / "out", force=True)
        assert (mine / "x").read_bytes() == b"x"
        assert [p.read_bytes() for p in (tmp_path / "out").glob("f.kept-*")] == [b"mine"]
        kept = _put(tmp_path / "other" / "f")
        repo.checkout("v1", kept.parent)
        assert (kept / "x").is_file()

    def test_a_file_as_the_folder(self, repo: ModelRepository, tmp_path: Path) -> None:
        file = _put(tmp_path / "m")
        repo.save_files(file)
        with pytest.raises(errors.UsageError, match="not a folder"):
            repo.checkout("v1", file)

    @pytest.mark.parametrize("name", ["模" * 85, "a" * 255])
    def test_the_longest_names(self, repo: ModelRepository, tmp_path: Path, name: str) -> None:
        repo.save_files(_put(tmp_path / name))
        (path,) = repo.checkout("v1", tmp_path / "out")
        assert path.name == name
        path.write_bytes(b"mine")
        repo.checkout("v1", tmp_path / "out", force=True)
        assert sorted(p.read_bytes() for p in (tmp_path / "out").iterdir()) == [b"mine", b"x"]


class Meanwhile:
    """Does something once, when the first bytes of a task have been handled."""

    def __init__(self, task: str, act: Callable[[], object]) -> None:
        self.task, self.act = task, act
        self.now = ""

    def start(self, task: str, total: int) -> None:
        self.now = task

    def advance(self, amount: int) -> None:
        if self.now == self.task:
            self.task = ""
            self.act()


class TestWhatOthersWriteDuringACheckout:
    @pytest.fixture
    def versions(self, repo: ModelRepository, tmp_path: Path) -> list[bytes]:
        """Two versions of the files a and b, the first one checked out; the bytes of b."""
        contents = []
        for _ in range(2):
            _put(tmp_path / "model" / "a", os.urandom(2 << 20))
            contents.append(_put(tmp_path / "model" / "b", os.urandom(1000)).read_bytes())
            repo.save_files(tmp_path / "model")
        repo.checkout("v1", tmp_path / "out")
        return contents

    def test_a_changed_file_is_left_alone(
        self, repo: ModelRepository, tmp_path: Path, versions: list[bytes]
    ) -> None:
        mine = tmp_path / "out" / "b"
        repo.progress = Meanwhile("checking out", lambda: _put(mine, b"mine"))
        with pytest.raises(errors.WouldOverwrite, match="somebody else"):
            repo.checkout("v2", mine.parent)
        assert mine.read_bytes() == b"mine"
        assert sorted(p.name for p in mine.parent.iterdir()) == ["a", "b"]

    def test_with_force_a_copy_of_it_is_kept(
        self, repo: ModelRepository, tmp_path: Path, versions: list[bytes]
    ) -> None:
        mine = tmp_path / "out" / "b"
        repo.progress = Meanwhile("checking out", lambda: _put(mine, b"mine"))
        repo.checkout("v2", mine.parent, force=True)
        assert mine.read_bytes() == versions[1]
        assert [p.read_bytes() for p in mine.parent.glob("b.kept-*")] == [b"mine"]

    @pytest.mark.parametrize("links", [True, False])
    def test_a_file_where_none_was(
        self,
        repo: ModelRepository,
        tmp_path: Path,
        versions: list[bytes],
        monkeypatch: pytest.MonkeyPatch,
        links: bool,
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.ENOTSUP, "no hard links here")

        if not links:
            monkeypatch.setattr(os, "link", refuse)
        mine = tmp_path / "fresh" / "b"
        repo.progress = Meanwhile("checking out", lambda: _put(mine, b"mine"))
        with pytest.raises(errors.WouldOverwrite, match="somebody else"):
            repo.checkout("v2", mine.parent)
        assert mine.read_bytes() == b"mine"
        repo.checkout("v2", tmp_path / "other")
        assert (tmp_path / "other" / "b").read_bytes() == versions[1]

    def test_a_file_that_comes_at_the_last_moment(
        self, repo: ModelRepository, tmp_path: Path, versions: list[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, mine = os.link, tmp_path / "fresh" / "b"

        def late(source: Path, target: Path, **how: bool) -> None:
            if target == mine and not mine.exists():
                _put(mine, b"mine")
            real(source, target, **how)

        monkeypatch.setattr(os, "link", late)
        with pytest.raises(errors.WouldOverwrite, match="somebody else"):
            repo.checkout("v2", mine.parent)
        assert mine.read_bytes() == b"mine"

    def test_a_file_where_a_folder_goes(
        self, repo: ModelRepository, tmp_path: Path, versions: list[bytes]
    ) -> None:
        _put(tmp_path / "deep" / "b" / "x", b"deep")
        repo.save_files(tmp_path / "deep")
        mine = tmp_path / "out" / "b"
        repo.progress = Meanwhile("checking what is replaced", lambda: _put(mine, b"mine"))
        with pytest.raises(errors.WouldOverwrite, match="somebody else"):
            repo.checkout("v3", mine.parent)
        assert mine.read_bytes() == b"mine"

    def test_another_checkout_of_the_same(
        self, repo: ModelRepository, tmp_path: Path, versions: list[bytes]
    ) -> None:
        with ModelRepository(repo.path) as other:
            for folder in ("out", "fresh"):
                repo.progress = Meanwhile("checking out", lambda: other.checkout("v2", tmp_path / folder))  # noqa: B023  (it acts before the next one)
                repo.checkout("v2", tmp_path / folder)
                assert sorted(p.name for p in (tmp_path / folder).iterdir()) == ["a", "b"]
                assert (tmp_path / folder / "b").read_bytes() == versions[1]


class TestWhatIsSaved:
    def test_a_folder_that_cannot_be_listed(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _put(tmp_path / "model" / "a")
        _put(tmp_path / "model" / "sub" / "weights")
        scan = os.scandir

        def refusing(place: str | Path) -> object:
            if os.fspath(place).endswith("sub"):
                raise PermissionError(13, "Permission denied", os.fspath(place))
            return scan(place)

        monkeypatch.setattr(os, "scandir", refusing)
        with pytest.raises(errors.StorageFailed, match="sub"):
            repo.save_files(tmp_path / "model")

    def test_an_empty_folder_is_left_out_and_that_is_said(
        self, repo: ModelRepository, tmp_path: Path
    ) -> None:
        _put(tmp_path / "model" / "m")
        _put(tmp_path / "model" / ".leptonignore", b"out\nlogs/*\n")
        for name in ("out", "logs", "variables/deep", "assets"):
            (tmp_path / "model" / name).mkdir(parents=True)
        _put(tmp_path / "model" / "logs" / "x")
        saved = repo.save_files(tmp_path / "model")
        assert [file.path for file in saved.files] == ["m"]
        assert saved.notes == ("the empty folder assets and 1 more is left out: versions hold files",)

    def test_a_link_that_names_its_own_folder(self, repo: ModelRepository, tmp_path: Path) -> None:
        model = tmp_path / "model"
        _put(model / "a")
        (model / "around").symlink_to("../model/a")
        (model / "far").symlink_to(model / "a")
        (model / "chain").symlink_to("around")
        version = repo.save_files(model)
        assert {f.path: f.target for f in version.files if f.target} == {
            "around": "a",
            "far": "a",
            "chain": "a",
        }
        version.checkout(tmp_path / "elsewhere")
        assert (tmp_path / "elsewhere" / "around").read_bytes() == b"x"

    def test_a_link_through_a_link_stays_as_it_is(self, repo: ModelRepository, tmp_path: Path) -> None:
        model = tmp_path / "model"
        _put(model / "2026" / "a")
        (model / "now").symlink_to("2026")
        (model / "best").symlink_to("now/a")
        version = repo.save_files(model)
        assert {f.path: f.target for f in version.files if f.target} == {"now": "2026", "best": "now/a"}

    def test_a_link_to_what_is_left_out(self, repo: ModelRepository, tmp_path: Path) -> None:
        model = tmp_path / "model"
        _put(model / "a")
        _put(model / "b")
        (model / "link").symlink_to("a")
        _put(model / ".leptonignore", b"a\n")
        with pytest.raises(errors.UsageError, match="not saved"):
            repo.save_files(model)

    def test_links_in_a_circle(self, repo: ModelRepository, tmp_path: Path) -> None:
        model = tmp_path / "model"
        _put(model / "a")
        (model / "l").symlink_to("l")
        with pytest.raises(errors.UsageError, match="nowhere"):
            repo.save_files(model)

    def test_names_that_are_no_text(self, repo: ModelRepository, tmp_path: Path) -> None:
        model = tmp_path / "model"
        _put(model / "a")
        (model / os.fsdecode(b"l\xff")).symlink_to("a")
        with pytest.raises(errors.UsageError, match="not text"):
            repo.save_files(model)

    def test_rules_that_are_no_text(self, repo: ModelRepository, tmp_path: Path) -> None:
        _put(tmp_path / "model" / "a")
        _put(tmp_path / "model" / ".leptonignore", "größe\n".encode("latin-1"))
        with pytest.raises(errors.UsageError, match=r"leptonignore.* UTF-8"):
            repo.save_files(tmp_path / "model")

    @pytest.mark.parametrize("paths", [[], None, b"a", 5, [None]])
    def test_what_is_no_path(self, repo: ModelRepository, paths: object) -> None:
        with pytest.raises(errors.UsageError, match="path"):
            repo.save_files(paths)  # type: ignore[arg-type]

    def test_a_name_that_is_too_long(self, repo: ModelRepository, tmp_path: Path) -> None:
        with pytest.raises(errors.NotFound):
            repo.save_files(tmp_path / ("x" * 300))

    def test_the_repository_itself(self, repo: ModelRepository, tmp_path: Path) -> None:
        _put(tmp_path / "a")
        repo.save_files(tmp_path / "a")
        with pytest.raises(errors.UsageError, match="itself"):
            repo.save_files([tmp_path / "a", repo.path / ".lepton"])
        with pytest.raises(errors.UsageError, match="itself"):
            repo.save_files(repo.path / ".lepton" / "packs")
        with pytest.raises(errors.UsageError, match="itself"):
            repo.checkout("v1", repo.path / ".lepton")
        with pytest.raises(errors.UsageError, match="itself"):
            repo.export_version("v1", repo.path / ".lepton" / "config.json", force=True)

    def test_a_git_file_is_left_out(self, repo: ModelRepository, tmp_path: Path) -> None:
        _put(tmp_path / "model" / "a")
        _put(tmp_path / "model" / ".git", b"gitdir: elsewhere")
        assert [f.path for f in repo.save_files(tmp_path / "model").files] == ["a"]


class TestRules:
    @pytest.mark.parametrize(
        "paths",
        [
            ["a", "a"],
            ["a", "a-b", "a/b"],
            ["../a"],
            ["/a"],
            ["a//b"],
            ["."],
            [""],
            ["a\0"],
            ["\ud800"],
            [".git/hooks/post-commit"],
            ["x/.GIT/config"],
            [".lepton/current"],
        ],
    )
    def test_paths_that_no_version_has(self, paths: list[str]) -> None:
        assert trouble([(path, None) for path in paths])
        with pytest.raises(errors.UsageError):
            check_and_sort([Found(path, Path(path)) for path in paths])

    @pytest.mark.parametrize(
        "links",
        [
            {"a": ".", "a/b": None},
            {"l1": ".", "l2": "l1/.."},
            {"a": "/etc"},
            {"a": "../x"},
            {"s/a": "../../x"},
            {"a": "b", "b": "a"},
            {"a": ""},
        ],
    )
    def test_links_that_no_version_has(self, links: dict[str, str | None]) -> None:
        assert trouble(list(links.items()))

    def test_good_ones(self) -> None:
        assert trouble([(".gitignore", None), ("a", None), ("a-b", None), ("s/l", "../a"), ("t", ".")]) == ""
        assert follow("s/l", "../t/./a", {"t": "u/v"}) == "u/v/a"
