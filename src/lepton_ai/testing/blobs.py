"""What every keeper of blobs promises."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from lepton_ai.errors import Damaged, NotFound
from lepton_ai.store.contract import Blobs
from lepton_ai.store.packs.format import HEAD, KEY_ID_SIZE, SMALL, TABLE, Header, blob_name, pack_trailer

NAME = "packs/ab/abcdef.pack"


def put(blobs: Blobs, folder: Path, name: str, data: bytes) -> Path:
    """Put ``data`` under ``name`` by way of a file in ``folder``, which is returned (and should be gone)."""
    source = folder / f"source-{threading.get_ident()}-{time.monotonic_ns()}"
    source.write_bytes(data)
    blobs.put(name, source)
    return source


def packed(name: str, data: bytes) -> tuple[str, bytes]:
    """A pack of one object with ``data`` in it, and the name of its blob; for ``name`` and ``data`` always the same."""
    id_ = blake3(name.encode()).digest()
    header = Header(SMALL, 0, 0, 0, 1, 0, 0, bytes(KEY_ID_SIZE), len(data), len(data), id_, None).pack()
    footer = TABLE + header
    trailer = pack_trailer(len(footer), 1, blake3(footer).digest())
    whole = HEAD + id_[:8] + header + data + footer + trailer
    return blob_name(blake3(whole).hexdigest()), whole


class BlobSuite:
    """Subclass it, and define the fixtures ``blobs`` (fresh, empty) and ``sources``.

    ``sources`` is a folder whose files ``blobs.put`` can take over (the same file system, for a local folder).
    """

    threads = 8
    rounds = 10

    def blob(self, name: str, data: bytes) -> tuple[str, bytes]:
        """What is put where the suite speaks of ``name`` and ``data``: a keeper of packs alone takes :func:`packed`."""
        return name, data

    def test_nothing_is_there_at_first(self, blobs: Blobs) -> None:
        """Listing is empty, asking is NotFound, deleting is no error."""
        name, _ = self.blob(NAME, b"")
        assert list(blobs.list()) == []
        assert list(blobs.list("packs/")) == []
        with pytest.raises(NotFound):
            blobs.get(name, 0, 1)
        with pytest.raises(NotFound):
            blobs.get(name, 0, 0)
        with pytest.raises(NotFound):
            blobs.info(name)
        blobs.delete([name])

    @pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000], ids=["empty", "one", "large"])
    def test_what_is_put_is_got(self, blobs: Blobs, sources: Path, data: bytes) -> None:
        """The same bytes, and the source is gone."""
        name, data = self.blob(NAME, data)
        before = time.time()
        source = put(blobs, sources, name, data)
        assert not source.exists()
        assert blobs.get(name, 0, len(data)) == data
        info = blobs.info(name)
        assert (info.name, info.size) == (name, len(data))
        assert before - 5 <= info.written_at <= time.time() + 5
        assert list(blobs.list()) == [info] == [blobs.info(name)]

    def test_ranges(self, blobs: Blobs, sources: Path) -> None:
        """Any range inside, from the beginning or from the end."""
        name, data = self.blob(NAME, bytes(range(256)))
        put(blobs, sources, name, data)
        assert blobs.get(name, 10, 20) == data[10:30]
        assert blobs.get(name, len(data) - 1, 1) == data[-1:]
        assert blobs.get(name, -56, 56) == data[-56:]
        assert blobs.get(name, -56, 6) == data[-56:-50]
        assert blobs.get(name, 100, 0) == b""
        assert blobs.get(name, len(data), 0) == b""

    @pytest.mark.parametrize(
        "range_",
        [
            lambda size: (0, size + 1), lambda size: (size, 1), lambda size: (size + 744, 1),
            lambda _: (-10, 11), lambda size: (-size - 1, 1),
        ],
        ids=["one more", "at the end", "behind", "from the end", "before the beginning"],
    )  # fmt: skip
    def test_a_range_beyond_the_end_is_damage(
        self, blobs: Blobs, sources: Path, range_: Callable[[int], tuple[int, int]]
    ) -> None:
        """Never fewer bytes than were asked for."""
        name, data = self.blob(NAME, bytes(256))
        put(blobs, sources, name, data)
        with pytest.raises(Damaged):
            blobs.get(name, *range_(len(data)))

    def test_a_blob_is_immutable(self, blobs: Blobs, sources: Path) -> None:
        """A second put under the same name leaves it as it is, and takes the source all the same."""
        name, first = self.blob(NAME, b"first")
        put(blobs, sources, name, first)
        source = put(blobs, sources, name, b"second")
        assert blobs.get(name, 0, len(first)) == first
        assert blobs.info(name).size == len(first)
        assert not source.exists()

    def test_listing_by_prefix(self, blobs: Blobs, sources: Path) -> None:
        """A prefix is a string, it may end anywhere in a name."""
        names = ["packs/ab/abc.pack", "packs/ab/abd.pack", "packs/cd/cde.pack", "other/x", "packsaddle"]
        kept = dict(self.blob(name, name.encode()) for name in names)
        for name, data in kept.items():
            put(blobs, sources, name, data)
        prefixes = {name[:length] for name in kept for length in (0, 4, 5, 6, 7, 8, 11, len(name))}
        for prefix in sorted(prefixes | {"nothing/", "packs/nothing"}):
            found = list(blobs.list(prefix))
            assert sorted(info.name for info in found) == sorted(
                name for name in kept if name.startswith(prefix)
            )
            assert all(info.size == len(kept[info.name]) for info in found)

    def test_deleting(self, blobs: Blobs, sources: Path) -> None:
        """Only what is named goes, and it may be put again."""
        (one, data), (two, more), (three, most) = (
            self.blob(name, b"data") for name in ("packs/a/1", "packs/a/2", "packs/b/3")
        )
        for name, content in ((one, data), (two, more), (three, most)):
            put(blobs, sources, name, content)
        never, _ = self.blob("packs/b/was-never-here", b"")
        blobs.delete(iter([one, three, never]))
        assert [info.name for info in blobs.list()] == [two]
        with pytest.raises(NotFound):
            blobs.get(one, 0, 1)
        put(blobs, sources, one, data)
        assert blobs.get(one, 0, len(data)) == data

    def test_many_at_once(self, blobs: Blobs, sources: Path) -> None:
        """Threads that put the same and different names lose nothing and tear nothing."""
        errors: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for i in range(self.rounds):
                    put(blobs, sources, *self.blob(f"own/{number}/{i}", b"%d" % number * 1000))
                    name, data = self.blob(f"same/{i}", b"same" * 1000)
                    put(blobs, sources, name, data)
                    assert blobs.get(name, 0, len(data)) == data
            except BaseException as error:  # noqa: BLE001  (shown by the assertion below)
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(self.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors, repr(errors)
        assert len(list(blobs.list())) == self.rounds * (self.threads + 1)
        for number in range(self.threads):
            name, data = self.blob(f"own/{number}/{self.rounds - 1}", b"%d" % number * 1000)
            assert blobs.get(name, 0, len(data)) == data
