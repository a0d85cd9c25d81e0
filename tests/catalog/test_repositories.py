"""Repositories of a server, their keys, and the list of their packs."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_ai import wire
from lepton_ai.catalog import packs, purging, repositories
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.packs import Listed
from lepton_ai.catalog.refs import CatalogHistory
from lepton_ai.errors import AlreadyExists, InUse, InvalidName, LeptonError, LostRace, NotFound, UsageError
from lepton_ai.history.refs.contract import Commit, Move
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.packs.format import blob_name

KEY = wire.KeyFile("id.json", b"\0key")


def made(catalog: Catalog, owner: str, name: str, **more: object) -> repositories.Row:
    return repositories.create(catalog, wire.NewRepository(owner, name, **more), "ada")


def test_what_is_made_is_found(catalog: Catalog) -> None:
    given = wire.NewRepository(
        "ada", "Digits.v2", "Zahlen ä\0", "0123", encrypted=False, block_size=4096,
        created_at="2026-11-20T10:30:00.000001Z", keys=(KEY,), master=b"secret",
    )  # fmt: skip
    row = repositories.create(catalog, given, "bob")
    assert repositories.find(catalog, "ada", "Digits.v2") == row
    assert (row.description, row.id, row.encrypted, row.block_size) == ("Zahlen ä\0", "0123", False, 4096)
    assert (row.created, row.created_by, row.edition) == (given.created_at, "bob", 1)
    assert repositories.keys(catalog, row.number) == (KEY,)
    plain = made(catalog, "ada", "other")
    assert len(plain.id) == 32
    assert plain.place not in {plain.id, row.place}
    assert abs(plain.created_at / 1e6 - time.time()) < 60
    for owner, name in (("ada", "digits.v2"), ("Ada", "Digits.v2"), ("ada", "no"), ("ada", "Digits.v2 ")):
        with pytest.raises(NotFound, match=owner):
            repositories.find(catalog, owner, name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "ä", "-a", "a..b", "x" * 101, "a\n", "a\0"])
def test_names_that_are_none(catalog: Catalog, name: str) -> None:
    for owner, repository in (("ada", name), (name, "digits")):
        with pytest.raises(InvalidName):
            made(catalog, owner, repository)
    row = made(catalog, "ada", "fine")
    with pytest.raises(InvalidName):
        repositories.change(catalog, row.number, name=name)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"created_at": "yesterday"}, "no time"),
        ({"created_at": "0001-01-01T00:00:00+14:00"}, "no time"),  # before the first day that there is
        ({"created_at": "9999-12-31T23:59:59-14:00"}, "no time"),
        ({"created_at": "1969-12-31T23:59:59Z"}, "no time"),
        ({"block_size": 0}, "blocks have"),
        ({"block_size": -1}, "blocks have"),
        ({"block_size": 1 << 70}, "blocks have"),
        ({"description": "x" * 10_001}, "description"),
    ],
)
def test_what_no_repository_can_be(catalog: Catalog, given: dict[str, object], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        made(catalog, "ada", "when", **given)
    assert repositories.page(catalog, owner="ada") == []


def test_a_name_is_taken_once_however_many_try(catalog: Catalog) -> None:
    told: list[str] = []

    def work() -> None:
        try:
            made(catalog, "ada", "wanted", keys=(KEY,))
        except LeptonError as problem:
            told.append(problem.kind)
        else:
            told.append("made")

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["already-exists"] * 5 + ["made"]
    assert len(repositories.page(catalog)) == 1


def test_pages_by_owner_and_name(catalog: Catalog) -> None:
    names = [("b", "z"), ("a", "b"), ("a", "B"), ("ab", "a"), ("a", "b.c"), ("_", "a"), ("a", "0")]
    for owner, name in names:
        made(catalog, owner, name)
    repositories.remove(catalog, made(catalog, "a", "gone").number)
    assert [(row.owner, row.name) for row in repositories.page(catalog)] == sorted(names)
    mine = sorted(pair for pair in names if pair[0] == "a")
    assert [(row.owner, row.name) for row in repositories.page(catalog, owner="a")] == mine
    for owner, expected in ((None, sorted(names)), ("a", mine)):
        found, after = [], None
        while some := repositories.page(catalog, owner=owner, after=after, limit=2):
            found += [(row.owner, row.name) for row in some]
            after = found[-1]
        assert found == expected


def test_changes_are_tied_to_what_was_read(catalog: Catalog) -> None:
    row, other = made(catalog, "ada", "one"), made(catalog, "ada", "two")
    changed = repositories.change(catalog, row.number, description="new", edition=row.edition)
    assert changed == repositories.find(catalog, "ada", "one")
    assert changed.etag != row.etag != other.etag
    with pytest.raises(LostRace, match="ada/one"):
        repositories.change(catalog, row.number, description="newer", edition=row.edition)
    moved = repositories.change(catalog, row.number, owner="bob", name="three")
    assert repositories.find(catalog, "bob", "three") == moved
    with pytest.raises(NotFound):
        repositories.find(catalog, "ada", "one")
    with pytest.raises(AlreadyExists):
        repositories.change(catalog, row.number, owner="ada", name="two")
    assert repositories.change(catalog, row.number, name="three").description == "new"
    with pytest.raises(NotFound):
        repositories.change(catalog, 999, description="")


def test_keys_are_added_never_replaced_and_removed(catalog: Catalog) -> None:
    row = made(catalog, "ada", "one", keys=(KEY,))
    one, two = (wire.KeyFile(f"envelope-{name}.json", b"1") for name in "ab")
    for file in (one, one, two):
        repositories.add_key(catalog, row.number, file)
    with pytest.raises(AlreadyExists, match="envelope-a"):
        repositories.add_key(catalog, row.number, wire.KeyFile(one.name, b"2"))
    assert repositories.keys(catalog, row.number) == tuple(sorted((one, two, KEY), key=lambda key: key.name))
    repositories.remove_key(catalog, row.number, two.name, one_of="envelope-")
    with pytest.raises(InUse, match="envelope-a"):
        repositories.remove_key(catalog, row.number, one.name, one_of="envelope-")
    assert one in repositories.keys(catalog, row.number)
    repositories.remove_key(catalog, row.number, KEY.name)
    with pytest.raises(NotFound, match=KEY.name):
        repositories.remove_key(catalog, row.number, KEY.name)
    repositories.remove(catalog, row.number)
    for act in (
        lambda: repositories.add_key(catalog, row.number, KEY),
        lambda: repositories.remove_key(catalog, row.number, "envelope-a.json"),
        lambda: listing(catalog, row, wire.Pack("0" * 64, 1, 1.0)),
        lambda: repositories.remove(catalog, row.number),
    ):
        with pytest.raises(NotFound, match="removed"):
            act()
    purging.purge(catalog, row.number)
    assert repositories.keys(catalog, row.number) == ()


def listing(catalog: Catalog, row: repositories.Row, pack: wire.Pack) -> None:
    packs.add(catalog, row.number, pack.name, lambda: pack)


def hashed(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


def test_packs_are_listed_oldest_first_and_once(catalog: Catalog, repository: repositories.Row) -> None:
    listed = [wire.Pack(hashed(number), number, 1_000_000.25 + number) for number in range(7)]
    other = made(catalog, "ada", "other")
    for pack in [*listed, listed[0], wire.Pack(listed[1].name, 99, 0.0)]:
        listing(catalog, repository, pack)
    listing(catalog, other, listed[3])
    assert packs.page(catalog, repository.number) == wire.Packs(tuple(listed), last="7")
    found, after = [], None
    while True:
        page = packs.page(catalog, repository.number, after, limit=3)
        assert not page.gone
        found += page.packs
        after = page.next
        if after is None:
            break
    assert found == listed
    assert packs.find(catalog, repository.number, listed[2].name) == listed[2]
    packs.remove(catalog, repository.number, [hashed(99)])
    assert packs.page(catalog, repository.number, "7") == wire.Packs((), last="7")
    packs.remove(catalog, repository.number, [listed[2].name, listed[6].name, hashed(99)])
    assert packs.page(catalog, repository.number, "7").gone
    with pytest.raises(NotFound):
        packs.find(catalog, repository.number, listed[2].name)
    listing(catalog, repository, listed[2])  # comes last now: whoever has read on meets it
    names = [pack.name for pack in packs.page(catalog, repository.number).packs]
    assert names == [pack.name for pack in (*listed[:2], *listed[3:6], listed[2])]
    assert packs.page(catalog, repository.number, "7") == wire.Packs((listed[2],), last="9", gone=True)
    assert packs.page(catalog, repository.number, "8") == wire.Packs((listed[2],), last="9")
    assert packs.page(catalog, other.number).packs == (listed[3],)
    for wrong in ("x", "-1", "", "9" * 30, "١"):
        with pytest.raises(UsageError, match="continues"):
            packs.page(catalog, repository.number, wrong)


def test_no_pack_is_missed_by_whoever_reads_while_others_add(
    catalog: Catalog, repository: repositories.Row
) -> None:
    """Numbers appear in order, so a reader that goes on from where it was sees every pack."""
    done, count = threading.Event(), 30

    def work(worker: int) -> None:
        for number in range(count):
            listing(catalog, repository, wire.Pack(hashed(1000 * worker + number), 1, 1.0))

    def read() -> Iterator[wire.Pack]:
        after = "0"
        while True:
            last = done.is_set()
            page = packs.page(catalog, repository.number, after, limit=4)
            yield from page.packs
            after = page.next or str(int(after) + len(page.packs))
            if last and not page.packs:
                return

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(3)]
    for thread in threads:
        thread.start()
    closer = threading.Thread(target=lambda: ([thread.join() for thread in threads], done.set()))
    closer.start()
    seen = [pack.name for pack in read()]
    closer.join()
    assert sorted(seen) == sorted(
        hashed(1000 * worker + number) for worker in range(3) for number in range(count)
    )


@pytest.fixture
def listed(catalog: Catalog, repository: repositories.Row, tmp_path: Path) -> Listed:
    return Listed(LocalBlobs(tmp_path / "objects"), catalog, repository.number)


def put(listed: Listed, folder: Path, name: str, data: bytes = b"data") -> str:
    source = folder / "source"
    source.write_bytes(data)
    listed.put(name, source)
    return name


def test_blobs_whose_packs_are_listed(listed: Listed, tmp_path: Path, catalog: Catalog) -> None:
    names = [put(listed, tmp_path, blob_name(hashed(number)), b"x" * number) for number in range(1, 40)]
    note = put(listed, tmp_path, "notes/one")
    assert sorted(info.name for info in listed.list()) == sorted([*names, note])
    assert [info.name for info in listed.list("packs/")] == names
    for prefix in ("packs", "p", names[3][:8], names[3][:9], names[3][:11], names[3], "packs/zz", "packs/a"):
        assert sorted(info.name for info in listed.list(prefix)) == sorted(
            n for n in names if n.startswith(prefix)
        )
    assert [info.name for info in listed.list("notes/")] == [note]
    assert listed.info(names[4]).size == 5
    assert listed.get(names[4], -2, 2) == b"xx"
    listed.delete([names[0], note, blob_name(hashed(99))])
    assert [info.name for info in listed.list()] == names[1:]
    with pytest.raises(NotFound):
        listed.info(names[0])
    with pytest.raises(NotFound):
        listed.get(names[0], 0, 1)


def dies(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_pack_that_is_not_listed_is_unfinished(
    listed: Listed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever dies between the bytes and the list leaves nothing that is seen; putting it again mends it."""
    name = blob_name(hashed(1))
    with monkeypatch.context() as patch:
        patch.setattr(packs, "add", dies)
        with pytest.raises(KeyboardInterrupt):
            put(listed, tmp_path, name)
    assert listed.blobs.info(name).size == 4
    assert list(listed.list()) == []
    with pytest.raises(NotFound):
        listed.info(name)
    put(listed, tmp_path, name)
    assert [info.name for info in listed.list()] == [name]
    with monkeypatch.context() as patch:
        patch.setattr(listed.blobs, "delete", dies)
        with pytest.raises(KeyboardInterrupt):
            listed.delete([name])
    assert list(listed.list()) == []


def test_a_removed_repository_comes_back_as_it_was(catalog: Catalog) -> None:
    """What it counted goes on where it was: no stamp is given twice."""
    row = made(catalog, "ada", "gone")
    history = CatalogHistory(catalog, row.number)

    def commit(key: str, expected: int, value: bytes | None) -> int:
        history.commit(Commit("ada", "test", moves=(Move(key, expected, value),)))
        return 0 if value is None else history.get([key])[key].stamp

    first = commit("branch/a", 0, b"1")
    last = commit("branch/b", 0, b"2")
    commit("branch/b", last, None)  # the highest stamp belongs to what is not there any more
    logged = [entry.number for entry in history.log()]
    repositories.remove(catalog, row.number)
    with pytest.raises(NotFound):
        commit("branch/c", 0, b"3")
    since = row.changed_at - 1
    assert [one.number for one in purging.page(catalog, limit=1000) if one.number == row.number]
    with pytest.raises(NotFound):
        purging.restore(catalog, row.number, time.time_ns() // 1000 + 10**9)  # it is being ended already
    other = made(catalog, "ada", "gone")
    with pytest.raises(AlreadyExists):
        purging.restore(catalog, row.number, since)
    repositories.remove(catalog, other.number)
    back = purging.restore(catalog, row.number, since)
    assert (back.number, back.place, back.edition) == (row.number, row.place, row.edition + 1)
    assert repositories.find(catalog, "ada", "gone") == back
    with pytest.raises(NotFound):
        purging.restore(catalog, row.number, since)
    assert [entry.number for entry in history.log()] == logged
    assert commit("branch/c", 0, b"3") > last > first
    assert len(history.log()) == len(logged) + 1
