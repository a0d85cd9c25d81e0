"""What every keeper of blobs promises."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from lepton_ai.errors import Damaged, NotFound
from lepton_ai.store.contract import Blobs

NAME = "packs/ab/abcdef.pack"


def put(blobs: Blobs, folder: Path, name: str, data: bytes) -> Path:
    """Put ``data`` under ``name`` by way of a file in ``folder``, which is returned (and should be gone)."""
    source = folder / f"source-{threading.get_ident()}-{time.monotonic_ns()}"
    source.write_bytes(data)
    blobs.put(name, source)
    return source


class BlobSuite:
    """Subclass it, and define the fixtures ``blobs`` (fresh, empty) and ``sources``.

    ``sources`` is a folder whose files ``blobs.put`` can take over (the same file system, for a local folder).
    """

    threads = 8

    def test_nothing_is_there_at_first(self, blobs: Blobs) -> None:
        """Listing is empty, asking is NotFound, deleting is no error."""
        assert list(blobs.list()) == []
        assert list(blobs.list("packs/")) == []
        with pytest.raises(NotFound):
            blobs.get(NAME, 0, 1)
        with pytest.raises(NotFound):
            blobs.get(NAME, 0, 0)
        with pytest.raises(NotFound):
            blobs.info(NAME)
        blobs.delete([NAME])

    @pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000], ids=["empty", "one", "large"])
    def test_what_is_put_is_got(self, blobs: Blobs, sources: Path, data: bytes) -> None:
        """The same bytes, and the source is gone."""
        before = time.time()
        source = put(blobs, sources, NAME, data)
        assert not source.exists()
        assert blobs.get(NAME, 0, len(data)) == data
        info = blobs.info(NAME)
        assert (info.name, info.size) == (NAME, len(data))
        assert before - 5 <= info.written_at <= time.time() + 5
        assert list(blobs.list()) == [info]

    def test_ranges(self, blobs: Blobs, sources: Path) -> None:
        """Any range inside, from the beginning or from the end."""
        data = bytes(range(256))
        put(blobs, sources, NAME, data)
        assert blobs.get(NAME, 10, 20) == data[10:30]
        assert blobs.get(NAME, 255, 1) == data[255:]
        assert blobs.get(NAME, -56, 56) == data[200:]
        assert blobs.get(NAME, -56, 6) == data[200:206]
        assert blobs.get(NAME, 100, 0) == b""
        assert blobs.get(NAME, 256, 0) == b""

    @pytest.mark.parametrize(("offset", "length"), [(0, 257), (256, 1), (1000, 1), (-10, 11), (-257, 1)])
    def test_a_range_beyond_the_end_is_damage(
        self, blobs: Blobs, sources: Path, offset: int, length: int
    ) -> None:
        """Never fewer bytes than were asked for."""
        put(blobs, sources, NAME, bytes(256))
        with pytest.raises(Damaged):
            blobs.get(NAME, offset, length)

    def test_a_blob_is_immutable(self, blobs: Blobs, sources: Path) -> None:
        """A second put under the same name leaves it as it is, and takes the source all the same."""
        put(blobs, sources, NAME, b"first")
        source = put(blobs, sources, NAME, b"second")
        assert blobs.get(NAME, 0, 5) == b"first"
        assert not source.exists()

    def test_listing_by_prefix(self, blobs: Blobs, sources: Path) -> None:
        """A prefix is a string, it may end anywhere in a name."""
        names = ["packs/ab/abc.pack", "packs/ab/abd.pack", "packs/cd/cde.pack", "other/x", "packsaddle"]
        for name in names:
            put(blobs, sources, name, name.encode())

        def listed(prefix: str) -> list[str]:
            found = list(blobs.list(prefix))
            assert all(info.size == len(info.name) for info in found)
            return sorted(info.name for info in found)

        assert listed("") == sorted(names)
        assert listed("packs/") == sorted(names[:3])
        assert listed("packs") == sorted([*names[:3], "packsaddle"])
        assert listed("packs/ab/ab") == names[:2]
        assert listed("packs/cd/cde.pack") == names[2:3]
        assert listed("nothing/") == []

    def test_deleting(self, blobs: Blobs, sources: Path) -> None:
        """Only what is named goes, and it may be put again."""
        for name in ("packs/a/1", "packs/a/2", "packs/b/3"):
            put(blobs, sources, name, b"data")
        blobs.delete(iter(["packs/a/1", "packs/b/3", "packs/b/was-never-here"]))
        assert [info.name for info in blobs.list()] == ["packs/a/2"]
        with pytest.raises(NotFound):
            blobs.get("packs/a/1", 0, 1)
        put(blobs, sources, "packs/a/1", b"again")
        assert blobs.get("packs/a/1", 0, 5) == b"again"

    def test_many_at_once(self, blobs: Blobs, sources: Path) -> None:
        """Threads that put the same and different names lose nothing and tear nothing."""
        errors: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for i in range(10):
                    put(blobs, sources, f"own/{number}/{i}", b"%d" % number * 1000)
                    put(blobs, sources, f"same/{i}", b"same" * 1000)
                    assert blobs.get(f"same/{i}", 0, 4000) == b"same" * 1000
            except BaseException as error:  # noqa: BLE001  (shown by the assertion below)
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(self.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert len(list(blobs.list())) == 10 * self.threads + 10
        for number in range(self.threads):
            assert blobs.get(f"own/{number}/7", 0, 1000) == b"%d" % number * 1000
