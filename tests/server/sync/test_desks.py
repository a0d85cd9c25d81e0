"""Where unfinished packs lie: the same promises for a shared folder and for an object store."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lepton_ai.errors import LostRace, UsageError
from lepton_ai.server.uploads import folder as folders
from lepton_ai.server.uploads import objects as stores
from lepton_ai.server.uploads.contract import Desk, Ticket, parse, ticket_for
from lepton_ai.server.uploads.folder import FolderDesk
from lepton_ai.server.uploads.objects import ObjectsDesk
from lepton_ai.store.blobs.memory import MemoryBlobs

DATA = os.urandom(100_000)
TICKET = ticket_for("ada", "ab" * 32, len(DATA))


@pytest.fixture(params=["folder", "objects"])
def hosts(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Desk]:
    """Desks of several hosts over the same place."""
    blobs = MemoryBlobs()

    def host(name: str) -> Desk:
        scratch = tmp_path / name
        scratch.mkdir(exist_ok=True)
        return FolderDesk(tmp_path / "shared") if request.param == "folder" else ObjectsDesk(blobs, scratch)

    return host


def bring(desk: Desk, offset: int, length: int, ticket: Ticket = TICKET) -> int:
    part = desk.open(ticket, offset)
    part.write(DATA[offset : offset + length])
    return part.close()


def test_every_host_goes_on_where_another_stopped(hosts: Callable[[str], Desk], tmp_path: Path) -> None:
    one, two = hosts("one"), hosts("two")
    assert one.held(TICKET) == 0
    place = 0
    for turn, length in enumerate((1, 999, 50_000, 7, 48_993)):
        place = bring((one, two)[turn % 2], place, length)
        assert one.held(TICKET) == two.held(TICKET) == place
    with pytest.raises(LostRace, match="nothing of this pack is here"):
        one.whole(ticket_for("ada", "cd" * 32, 5), tmp_path)
    early = ticket_for("ada", "cd" * 32, 5)
    part = one.open(early, 0)
    part.write(b"12")
    part.close()
    with pytest.raises(UsageError, match="2 of 5 bytes are here"):
        two.whole(early, tmp_path)
    two.drop(early)
    whole = two.whole(TICKET, tmp_path)
    assert whole.read_bytes() == DATA
    one.drop(TICKET)
    assert two.held(TICKET) == 0
    two.drop(TICKET)


def test_bytes_that_do_not_follow_are_refused(hosts: Callable[[str], Desk]) -> None:
    desk = hosts("one")
    bring(desk, 0, 100)
    for offset in (0, 99, 101):
        with pytest.raises(LostRace, match="holds 100 bytes"):
            desk.open(TICKET, offset)
    part = desk.open(TICKET, 100)
    with pytest.raises(UsageError, match="more bytes"):
        part.write(bytes(len(DATA)))
    part.close()
    assert desk.held(TICKET) == 100


def test_many_bring_the_same_pack_at_once(hosts: Callable[[str], Desk], tmp_path: Path) -> None:
    """Each begins where it believes to be; who is late is told, asks, and goes on."""

    def work(name: str) -> None:
        desk = hosts(name)
        while (held := desk.held(TICKET)) < len(DATA):
            try:
                bring(desk, held, 1009)
            except LostRace:
                continue

    threads = [threading.Thread(target=work, args=(f"host{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hosts("last").whole(TICKET, tmp_path).read_bytes() == DATA


def test_a_part_that_was_cut_keeps_what_came(hosts: Callable[[str], Desk]) -> None:
    desk = hosts("one")
    part = desk.open(TICKET, 0)
    part.write(DATA[:500])
    assert part.close() == 500
    assert bring(desk, 500, 500) == 1000


def test_what_was_abandoned_is_forgotten(
    hosts: Callable[[str], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = hosts("one")
    bring(desk, 0, 100)
    other = ticket_for("eve", "cd" * 32, 50)
    part = desk.open(other, 0)
    part.write(b"x")
    part.close()
    assert desk.announced(TICKET.person) == len(DATA)
    desk.sweep()
    assert desk.held(TICKET) == 100
    for module in (folders, stores):
        monkeypatch.setattr(module, "EXPIRES", -1.0)
    desk.sweep()
    assert (desk.held(TICKET), desk.held(other), desk.announced(TICKET.person)) == (0, 0, 0)


@pytest.mark.parametrize(
    "name", ["", "x", "../../etc/passwd", "ab" * 32, f"{'ab' * 32}-0-{'0' * 16}", f"{'AB' * 32}-5-{'0' * 16}"]
)
def test_what_is_no_upload(name: str) -> None:
    assert parse(name) is None
