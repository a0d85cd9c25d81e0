"""How bodies travel, several questions in one journey, and lists that go on where they were left."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import zstandard
from starlette.testclient import TestClient

from lepton_ai import squeezing, wire
from lepton_ai.history.refs import calls
from lepton_ai.history.refs.contract import LogEntry, Ref, VersionRow
from tests.server.sync.pushing import PLACE, announce, call, push
from tests.server.sync.recorded import Client

Called = Callable[[str], TestClient]


@pytest.fixture
def client(tmp_path: Path) -> Client:
    made = Client(tmp_path / "client")
    made.save(os.urandom(300_000), metrics={"accuracy": 0.5})
    made.save(os.urandom(300_000), metrics={"accuracy": 0.75})
    return made


def test_bodies_travel_packed_and_squeezed_for_those_who_ask(ada: TestClient, client: Client) -> None:
    announce(ada, client)
    push(ada, client)
    asked = msgspec.msgpack.encode(calls.Scan("version/"))
    headers = {"Content-Type": squeezing.PACKED, "Accept": squeezing.PACKED, "Accept-Encoding": "zstd"}
    answer = ada.post(f"{PLACE}/history/scan", content=asked, headers=headers)
    assert answer.headers["content-type"] == squeezing.PACKED
    assert answer.headers["content-encoding"] == "zstd"
    plain = call(ada, "scan", list[Ref], prefix="version/")
    with ada.stream("POST", f"{PLACE}/history/scan", content=asked, headers=headers) as stream:
        raw = b"".join(stream.iter_raw())
    assert msgspec.msgpack.decode(squeezing.unsqueeze(raw, 1 << 20), type=list[Ref]) == plain
    assert len(raw) < len(ada.post(f"{PLACE}/history/scan", json={"prefix": "version/"}).content)


def test_a_frame_that_opens_to_too_much_is_refused_before_it_is_opened(
    ada: TestClient, client: Client
) -> None:
    announce(ada, client)
    bomb = zstandard.ZstdCompressor().compress(b" " * (1 << 30))
    assert len(bomb) < 1 << 17
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(b"{}" * 1000)
    for data in (bomb, unsized, b"no frame", bomb[:1000], b""):
        answer = ada.post(f"{PLACE}/history/scan", content=data, headers={"Content-Encoding": "zstd"})
        assert (answer.status_code, answer.json()["kind"]) == (400, "usage"), data[:20]
    answer = ada.post(f"{PLACE}/history/scan", content=b"{}", headers={"Content-Encoding": "br"})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "zstd")


def test_several_questions_are_answered_as_one_by_one(
    ada: TestClient, called: Called, client: Client
) -> None:
    announce(ada, client)
    push(ada, client)
    guest = called("guest")
    rows = [row for _, row in call(guest, "page", list[tuple[int, VersionRow]])]
    asked = calls.Several(
        keys=("branch/main", "branch/none"), prefixes=("version/",), versions=(rows[0].id, b"x" * 32),
        contents=(b"y" * 32,), since=calls.Since("version/", 0), above=calls.Above(branches=True),
    )  # fmt: skip
    answer = guest.post(f"{PLACE}/history/several", content=msgspec.json.encode(asked))
    assert answer.status_code == 200, answer.text
    seen = msgspec.json.decode(answer.content, type=calls.Seen)
    assert {ref.key for ref in seen.refs if ref.key.startswith("branch/")} == {"branch/main"}
    states = {f"version/{row.first.hex()}" for row in rows}
    assert {ref.key for ref in seen.refs if ref.key.startswith("version/")} == states
    assert set(seen.moved or ()) == states
    assert (seen.versions, seen.contents, seen.cut) == ((rows[0].id,), (), ())
    assert {row.id for row in seen.rows} == {row.id for row in rows}
    assert seen.newest == call(guest, "log", list[LogEntry], prefix="version/", limit=1)[0].number
    less = calls.Several(prefixes=("branch/",), above=calls.Above(known=(rows[1].id,), branches=True))
    answer = guest.post(f"{PLACE}/history/several", content=msgspec.json.encode(less))
    assert [row.id for row in msgspec.json.decode(answer.content, type=calls.Seen).rows] == [rows[0].id]
    many = calls.Several(prefixes=tuple(f"{n}/" for n in range(20)))
    assert guest.post(f"{PLACE}/history/several", content=msgspec.json.encode(many)).status_code == 400


def test_the_list_of_packs_goes_on_where_it_was_left(ada: TestClient, client: Client) -> None:
    announce(ada, client)
    push(ada, client)
    whole = msgspec.json.decode(ada.get(f"{PLACE}/packs").content, type=wire.Packs)
    later = msgspec.json.decode(ada.get(f"{PLACE}/packs?after={whole.last}").content, type=wire.Packs)
    assert (later.packs, later.gone, later.last, later.next) == ((), False, whole.last, None)
