"""Files that have not changed are not read again; whatever may have changed is."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lepton_ai import errors
from lepton_ai.formats import detect
from lepton_ai.formats.contract import Extent, Layout, Segment, Source, Tensor
from lepton_ai.history import seen, sight
from lepton_ai.history.carried import prepare
from lepton_ai.history.files import collect
from lepton_ai.history.home import Home
from lepton_ai.repository import ModelRepository
from lepton_ai.store.writer import Writer
from tests.journeys.sights import (
    SIZE,
    WAIT,
    any_disk,
    content,
    file,
    left_alone,
    only_where_files_are_recognised,
    quick,
    read,
    repo,
    saved,
)

__all__ = ["any_disk", "file", "quick", "read", "repo", "saved"]
pytestmark = [only_where_files_are_recognised, pytest.mark.usefixtures("quick", "any_disk")]


def test_of_fifty_files_of_which_one_changed_one_is_read(
    repo: ModelRepository, tmp_path: Path, read: list[str]
) -> None:
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    files = [folder / ("deep" if number % 2 else "") / f"{number}.bin" for number in range(50)]
    left_alone(*((file, bytes([number]) * SIZE) for number, file in enumerate(files)))
    first = repo.save_files(folder)
    assert len(read) == 50
    read.clear()
    left_alone((files[7], b"new" * SIZE))
    second = repo.save_files(folder)
    assert read == ["7.bin"]
    read.clear()
    again = ModelRepository(repo.path)
    third = again.save_files(folder)
    assert read == []
    assert first.files != second.files == third.files
    assert content(third, tmp_path / "out", "deep/7.bin") == b"new" * SIZE
    assert content(first, tmp_path / "out", "deep/7.bin") == b"\7" * SIZE
    assert third.new_bytes == 0
    assert again.verify().clean


def test_few_bytes_pass_through_the_system(repo: ModelRepository, tmp_path: Path) -> None:
    """Not counted by us: what the kernel says that this process read."""

    def passed() -> int:
        counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(counters["rchar"])

    left_alone((tmp_path / "m.bin", os.urandom(1 << 23)))
    before = passed()
    repo.save_files(tmp_path / "m.bin")
    between = passed()
    repo.save_files(tmp_path / "m.bin")
    assert between - before >= 1 << 23 > 8 * (passed() - between)


def test_people_see_the_same(repo: ModelRepository, tmp_path: Path, read: list[str]) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "nothing").mkdir()
    left_alone((folder / "m.safetensors", b"no such file" * 1000), (folder / "n.bin", b"n" * SIZE))
    (folder / "run").symlink_to("n.bin")
    (folder / "n.bin").chmod(0o755)
    time.sleep(WAIT)
    first = repo.save_files(folder)
    read.clear()
    second = repo.save_files(folder)
    assert read == ["m.safetensors"]  # its head: that no reader takes it may be due to another file
    assert len(first.notes) == 2
    alike = "it holds identical weights to v1: the files are the same, byte for byte"
    assert second.notes == (*first.notes, alike)
    assert first.files == second.files
    assert repo.info(first).raw_bytes == repo.info(second).raw_bytes


@pytest.mark.parametrize("field", sight.Sight.__struct_fields__)
def test_every_part_of_a_look_counts(
    saved: ModelRepository, file: Path, read: list[str], monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    real = seen.look

    def other(descriptor: int) -> sight.Sight:
        found = real(descriptor)
        return msgspec.structs.replace(found, **{field: getattr(found, field) - 1})

    monkeypatch.setattr(sight, "look", other)
    monkeypatch.setattr(seen, "look", other)
    saved.save_files(file)
    assert read == ["m.bin"]


def _rewritten(file: Path) -> None:
    """In place, of the same size, and the time set back."""
    before = file.stat()
    left_alone((file, b"x" * SIZE))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replaced(file: Path) -> None:
    """As ``cp -p`` and ``mv`` do."""
    left_alone((file.with_name("other"), b"x" * SIZE))
    os.utime(file.with_name("other"), ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    file.with_name("other").replace(file)


def _relinked(file: Path) -> None:
    """A symbolic link that leads elsewhere now."""
    file.rename(file.with_name("first"))
    left_alone((file.with_name("second"), b"x" * SIZE))
    file.symlink_to("second")


@pytest.mark.parametrize("change", [_rewritten, _replaced, _relinked])
def test_a_change_that_hides_is_seen(
    saved: ModelRepository, file: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    change(file)
    time.sleep(WAIT)
    assert content(saved.save_files(file), tmp_path / "out", "m.bin") == b"x" * SIZE


def test_a_file_that_was_only_just_written_is_not_remembered(
    saved: ModelRepository, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sight, "SETTLED", 3600 * sight.SECOND)
    file.write_bytes(b"y" * SIZE)
    saved.save_files(file)
    monkeypatch.setattr(sight, "SETTLED", 0)
    assert saved.home.seen().recall(file, file.name) is None


def test_times_in_the_future_are_not_trusted(
    saved: ModelRepository, file: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock jumped back: the same time may come once more."""
    real = time.time_ns
    monkeypatch.setattr(sight.time, "time_ns", lambda: real() - 3600 * sight.SECOND)
    saved.save_files(file)
    assert read == ["m.bin"]
    monkeypatch.setattr(sight.time, "time_ns", real)
    tomorrow = real() + 86400 * sight.SECOND
    os.utime(file, ns=(tomorrow, tomorrow))
    time.sleep(WAIT)
    for _ in range(2):
        read.clear()
        saved.save_files(file)
        assert read == ["m.bin"]


def test_times_in_whole_seconds_are_not_trusted(
    repo: ModelRepository, file: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = seen.look

    def coarse(descriptor: int) -> sight.Sight:
        found = real(descriptor)
        return msgspec.structs.replace(found, changed=found.changed // sight.SECOND * sight.SECOND)

    monkeypatch.setattr(sight, "look", coarse)
    monkeypatch.setattr(seen, "look", coarse)
    for _ in range(2):
        read.clear()
        repo.save_files(file)
        assert read == ["m.bin"]


def test_a_file_that_changes_while_it_is_read_is_read_again(
    repo: ModelRepository, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size and its time of modification are as before; only the time of change tells."""
    real = Writer.add

    def meanwhile(self: Writer, *given: Any, **named: Any) -> Any:
        added = real(self, *given, **named)
        if hasattr(given[0], "name"):
            _rewritten(file)
        return added

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "add", meanwhile)
        repo.save_files(file)
    assert repo.home.seen()._read() == {}
    time.sleep(WAIT)
    assert content(repo.save_files(file), tmp_path / "out", "m.bin") == b"x" * SIZE


def test_the_machine_was_started_again(
    saved: ModelRepository, file: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "boot", lambda: "another")
    saved.save_files(file)
    assert read == ["m.bin"]


def test_a_newer_version_of_ours_may_read_other_tensors(
    saved: ModelRepository, file: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "__version__", "999")
    saved.save_files(file)
    assert read == ["m.bin"]


def test_hard_links_are_one_file_and_another_name_is_read_for_its_format(
    repo: ModelRepository, file: Path, tmp_path: Path, read: list[str]
) -> None:
    (tmp_path / "n.bin").hardlink_to(file)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "m.bin").hardlink_to(file)
    (tmp_path / "link").symlink_to("m.bin")
    time.sleep(WAIT)
    repo.save_files(file)
    read.clear()
    repo.save_files(tmp_path / "elsewhere")
    assert read == []
    repo.save_files([file, tmp_path / "n.bin"])
    assert read == ["n.bin"]
    left_alone((tmp_path / "n.bin", b"x" * SIZE))
    assert content(repo.save_files(file), tmp_path / "out", "m.bin") == b"x" * SIZE
    assert content(repo.save_files(tmp_path / "link"), tmp_path / "out", "link") == b"x" * SIZE


def test_folders_may_have_names_that_are_no_text(
    repo: ModelRepository, tmp_path: Path, read: list[str]
) -> None:
    folder = tmp_path / os.fsdecode(b"mod\xff\xfe")
    folder.mkdir()
    left_alone((folder / "m.bin", b"m" * SIZE))
    repo.save_files(folder)
    read.clear()
    repo.save_files(folder)
    assert read == []
    name = os.fsdecode(b"n\xff.bin")
    left_alone((folder / name, b"n" * SIZE))
    files = repo.home.seen()
    assert files.digest(folder / name, name) == files.digest(folder / name, name)
    files.store()
    assert repo.home.seen().recall(folder / name, name)


def test_what_gc_freed_is_read_again(
    repo: ModelRepository, file: Path, tmp_path: Path, read: list[str]
) -> None:
    version = repo.save_files(file)
    repo.create_branch("other")
    repo.delete_version(version)
    repo.gc(grace=0)
    read.clear()
    assert content(repo.save_files(file), tmp_path / "out", "m.bin") == b"\0" * SIZE
    assert read == ["m.bin"]


def test_what_was_lost_or_found_damaged_is_read_again(
    repo: ModelRepository, tmp_path: Path, read: list[str]
) -> None:
    file = tmp_path / "m.bin"
    left_alone((file, os.urandom(SIZE)))
    repo.save_files(file)
    (pack,) = (repo.home.place / "packs").rglob("*.pack")
    data = bytearray(pack.read_bytes())
    data[4000] ^= 1
    pack.chmod(0o644)
    pack.write_bytes(data)
    assert not repo.verify().clean
    read.clear()
    assert content(repo.save_files(file), tmp_path / "out", "m.bin") == file.read_bytes()
    assert read == ["m.bin"]
    for pack in (repo.home.place / "packs").rglob("*.pack"):
        pack.unlink()
    read.clear()
    assert content(repo.save_files(file), tmp_path / "out2", "m.bin") == file.read_bytes()
    assert read == ["m.bin"]


def test_what_goes_while_it_is_relied_on_is_read_again(
    saved: ModelRepository, file: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Writer.finish
    packs = sorted((saved.home.place / "packs").rglob("*.pack"))

    def late(self: Writer) -> Any:
        while packs:
            packs.pop().unlink()
        return real(self)

    monkeypatch.setattr(Writer, "finish", late)
    assert content(saved.save_files(file), tmp_path / "out", "m.bin") == b"\0" * SIZE
    assert read == ["m.bin"]


def test_a_manifest_of_another_file_is_not_believed(
    repo: ModelRepository, file: Path, tmp_path: Path
) -> None:
    left_alone((tmp_path / "n.bin", b"n" * SIZE))
    version = repo.save_files([file, tmp_path / "n.bin"])
    ours, other = (bytes.fromhex(entry.sha256) for entry in version.files)
    with closing(sqlite3.connect(repo.home.place / "history.db", isolation_level=None)) as database:
        database.execute(
            "UPDATE contents SET manifest = (SELECT manifest FROM contents WHERE sha256 = ?) WHERE sha256 = ?",
            (other, ours),
        )
    assert content(repo.save_files(file), tmp_path / "out", "m.bin") == b"\0" * SIZE


def test_a_file_that_changed_since_it_was_chosen_is_refused(
    saved: ModelRepository, file: Path, tmp_path: Path
) -> None:
    """Also when another save recognises what it is now."""
    chosen = collect(file)
    start = saved.open_draft("main", None)
    left_alone((file, b"larger" * SIZE))
    saved.save_files(file, saved.create_branch("other"))
    assert saved.home.seen().recall(file, file.name)
    with pytest.raises(errors.StorageFailed, match="changed"):
        saved.fill_draft(start, chosen, prepare({}))


def test_the_kernel_gives_no_lease(
    saved: ModelRepository, file: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file of somebody else, or where leases are forbidden."""

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sight.fcntl, "fcntl", refused)
    saved.save_files(file)
    assert read == ["m.bin"]


def test_whoever_wants_has_everything_read(
    saved: ModelRepository, file: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEPTON_AI_READ_ALL", "1")
    with ModelRepository(saved.path) as careful:
        careful.save_files(file)
    assert read == ["m.bin"]
    monkeypatch.delenv("LEPTON_AI_READ_ALL")
    read.clear()
    saved.save_files(file)
    assert read == []


def test_verify_asks_nobody_but_the_disk(saved: ModelRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Home, "seen", asked)
    assert saved.verify().clean
    assert saved.verify(fast=True).clean


def test_a_checkout_over_what_is_there_reads_it_once(
    repo: ModelRepository, file: Path, read: list[str]
) -> None:
    version = repo.save_files(file)
    read.clear()
    for _ in range(2):
        repo.checkout(version, file.parent)
    assert read == []
    _rewritten(file)
    time.sleep(WAIT)
    with pytest.raises(errors.WouldOverwrite):
        repo.checkout(version, file.parent)
    assert file.read_bytes() == b"x" * SIZE
    read.clear()
    with pytest.raises(errors.WouldOverwrite):
        repo.checkout(version, file.parent)
    assert read == []


class _Describing:
    """A format whose files say where tensors are in ``weights.bin``."""

    name = "describing"

    def claims(self, path: str, head: bytes) -> bool:
        return path.endswith(".desc")

    def layout(self, path: str, source: Source, folder: object) -> Layout:
        halves = [Segment(i * SIZE // 2, SIZE // 2, f"t{i}", "uint8") for i in range(2)]
        tensors = tuple(
            Tensor(half.tensor or "", "uint8", (SIZE // 2,), (Extent(half.offset, SIZE // 2, "weights.bin"),))
            for half in halves
        )
        whole = (Segment(0, source.size),)
        return Layout(self.name, whole, tensors, {"weights.bin": tuple(halves)})


def test_a_changed_neighbour_is_cut_as_the_unchanged_file_says(
    repo: ModelRepository, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect, "formats", lambda: (_Describing(),))
    folder = tmp_path / "model"
    folder.mkdir()
    left_alone((folder / "m.desc", b"d" * SIZE), (folder / "weights.bin", b"\0" * SIZE))
    repo.save_files(folder)
    left_alone((folder / "weights.bin", b"\1" * SIZE))
    version = repo.save_files(folder)
    manifests = repo.reader.manifests(version.files)
    assert [stream.key for stream in manifests["weights.bin"].content.streams] == ["t0", "t1"]
    assert manifests["weights.bin"].format == "tensor data"
    assert version.tensor("t1").tobytes() == b"\1" * (SIZE // 2)


def test_many_processes_save_a_file_that_somebody_rewrites(repo: ModelRepository, tmp_path: Path) -> None:
    """Whatever a save takes is one of the states that the file had; the last one is the last."""
    file = tmp_path / "m.bin"
    file.write_bytes(b"\0" * SIZE)
    script = (
        "import sys\n"
        "from contextlib import suppress\n"
        "from lepton_ai.errors import StorageFailed\n"
        "from lepton_ai.repository import ModelRepository\n"
        "repo = ModelRepository(sys.argv[1])\n"
        "for _ in range(4):\n"
        "    with suppress(StorageFailed):  # it changed while it was saved: that is told\n"
        "        repo.save_files(sys.argv[2])\n"
    )
    savers = [
        subprocess.Popen([sys.executable, "-c", script, str(repo.path), str(file)], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    number = 0
    while any(saver.poll() is None for saver in savers):
        number += 1
        other = file.with_name("aside")
        other.write_bytes(bytes([number % 250]) * SIZE)
        other.replace(file)
        time.sleep(0.15)
    assert [saver.communicate()[1].decode() for saver in savers] == ["", ""]
    last = content(repo.save_files(file), tmp_path / "out", "m.bin")
    assert last == bytes([number % 250]) * SIZE
    states = {content(repo.version(info.name), tmp_path / "all", "m.bin") for info in repo.list_versions()}
    assert all(len(set(state)) == 1 and len(state) == SIZE for state in states)
