"""The journey of a repository to the server and back, as clients do it (decision 0018)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from starlette.testclient import TestClient

from lepton_ai import wire
from lepton_ai.history.refs.contract import ABSENT, Commit, ContentRow, LogEntry, Move, Ref, VersionRow
from lepton_ai.server.settings import ServerSettings
from lepton_ai.server.uploads import contract, taking
from lepton_ai.store.seal.keyring import received
from tests.server.databases import everywhere
from tests.server.sync.pushing import (
    JSON,
    PLACE,
    announce,
    begin,
    call,
    commit,
    packs_of,
    push,
    refs,
    send,
    upload,
)
from tests.server.sync.recorded import Client

Called = Callable[[str], TestClient]


@pytest.fixture
def client(tmp_path: Path) -> Client:
    made = Client(tmp_path / "client")
    made.save(os.urandom(300_000), metrics={"accuracy": 0.5})
    made.save(os.urandom(300_000), metrics={"accuracy": 0.75})
    return made


@everywhere
def test_what_is_pushed_comes_back_the_same(ada: TestClient, called: Called, client: Client) -> None:
    assert announce(ada, client).readable
    push(ada, client)
    guest = called("guest")
    rows = [row for _, row in client.history.page()]
    assert [row for _, row in call(guest, "page", list[tuple[int, VersionRow]])] == rows
    assert call(guest, "page", list[tuple[int, VersionRow]], limit=1)[0][1] == rows[0]
    assert call(guest, "versions", list[VersionRow], ids=[rows[0].id, b"\0" * 32]) == [rows[0]]
    assert call(guest, "revisions", list[VersionRow], firsts=[rows[1].id]) == [rows[1]]
    assert call(guest, "named", list[VersionRow], name="v2") == [rows[0]]
    assert call(guest, "find", list[bytes], prefix=rows[0].id.hex()[:9]) == [rows[0].id]
    digests = [row.sha256 for change in client.history.applied for row in change.contents]
    assert {r.sha256: r.manifest for r in call(guest, "contents", list[ContentRow], digests=digests)} == {
        digest: row.manifest for digest, row in client.history.contents(digests).items()
    }
    scanned = call(guest, "scan", list[Ref], prefix="version/")
    assert {r.key: r.value for r in scanned} == {r.key: r.value for r in client.history.scan("version/")}
    assert [r.key for r in call(guest, "scan", list[Ref], prefix="version/", after=scanned[0].key)] == [
        scanned[1].key
    ]
    entries = call(guest, "log", list[LogEntry], prefix="branch/main", limit=2)
    assert [entry.actor for entry in entries] == ["ada", "ada"]
    assert call(guest, "log", list[LogEntry], before=entries[1].number)[0].number < entries[1].number


def test_packs_come_back_byte_for_byte_in_ranges(ada: TestClient, client: Client) -> None:
    announce(ada, client)
    push(ada, client)
    listed = msgspec.json.decode(ada.get(f"{PLACE}/packs").content, type=wire.Packs)
    held = packs_of(client)
    assert {pack.name: pack.size for pack in listed.packs} == {name: len(data) for name, data in held.items()}
    first = msgspec.json.decode(ada.get(f"{PLACE}/packs?limit=1").content, type=wire.Packs)
    second = msgspec.json.decode(
        ada.get(f"{PLACE}/packs?limit=1&after={first.next}").content, type=wire.Packs
    )
    assert [*first.packs, *second.packs] == list(listed.packs[:2])
    name, data = max(held.items(), key=lambda item: len(item[1]))
    whole = ada.get(f"{PLACE}/packs/{name}")
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, data, "bytes")
    for asked, start, end in (
        ("0-0", 0, 1), ("5-", 5, len(data)), ("-7", len(data) - 7, len(data)), ("10-99", 10, 100),
        ("3-99999999999", 3, len(data)), ("-99999999999", 0, len(data)),
    ):  # fmt: skip
        part = ada.get(f"{PLACE}/packs/{name}", headers={"Range": f"bytes={asked}"})
        assert (part.status_code, part.content) == (206, data[start:end]), asked
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{len(data)}"
    for asked in (f"bytes={len(data)}-", "bytes=-0"):
        assert ada.get(f"{PLACE}/packs/{name}", headers={"Range": asked}).status_code == 416
    for asked in ("bytes=0-1,5-6", "chars=0-1", "bytes=9-3", "bytes=-"):
        assert ada.get(f"{PLACE}/packs/{name}", headers={"Range": asked}).content == data
    tag = whole.headers["etag"]
    assert ada.get(f"{PLACE}/packs/{name}", headers={"If-None-Match": tag}).status_code == 304
    assert ada.get(f"{PLACE}/packs/{'0' * 64}").json()["kind"] == "not-found"


def test_pieces_of_many_packs_come_in_one_answer(ada: TestClient, called: Called, client: Client) -> None:
    announce(ada, client)
    push(ada, client)
    held = packs_of(client)
    asked = [
        wire.Piece(name, start, length)
        for name, data in held.items()
        for start, length in ((0, 8), (len(data) - 70, 70), (5, 0), (len(data) - 1, 2), (10**30, 1))
    ]
    asked += [wire.Piece("0" * 64, 0, 1)]

    def brought(pieces: list[wire.Piece], **headers: str) -> Any:
        body = msgspec.json.encode(wire.Pieces(tuple(pieces)))
        return called("guest").post(f"{PLACE}/packs/pieces", content=body, headers=headers)

    expected = [
        held.get(name, b"")[start:][:length] for name, start, length in map(msgspec.structs.astuple, asked)
    ]
    whole = [data if len(data) == piece.length else b"" for data, piece in zip(expected, asked, strict=True)]
    answer = brought(asked)
    assert answer.status_code == 200, answer.text
    assert list(msgspec.json.decode(answer.content, type=wire.Brought).data) == whole
    packed = brought(asked, accept="application/msgpack")
    assert list(msgspec.msgpack.decode(packed.content, type=wire.Brought).data) == whole
    name = asked[0].pack
    for wrong in (
        [wire.Piece("../x", 0, 1)], [wire.Piece(name, -1, 1)], [wire.Piece(name, 0, -1)],
        [wire.Piece(name, 0, wire.PART_SIZE + 1)], [wire.Piece(name, 0, 1)] * (wire.MOST_PIECES + 1),
    ):  # fmt: skip
        assert (brought(wrong).status_code, brought(wrong).json()["kind"]) == (400, "usage")
    ada.headers.pop("Authorization")
    assert ada.post(f"{PLACE}/packs/pieces", content=b"{}").status_code == 401


def test_the_key_is_handed_to_who_may_read(
    ada: TestClient, called: Called, client: Client, tmp_path: Path
) -> None:
    announce(ada, client)
    answer = called("guest").get(f"{PLACE}/keys")
    keys = msgspec.json.decode(answer.content, type=wire.Keys)
    assert answer.headers["cache-control"] == "no-store"
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for file in keys.files:
        (folder / file.name).write_bytes(file.content)
    assert keys.master is not None
    assert received(folder, client.config.id, keys.master).id_key == client.keyring.id_key


def test_without_the_master_key_the_server_reads_nothing_and_still_keeps_all(
    ada: TestClient, client: Client
) -> None:
    info = announce(ada, client, master=False)
    assert not info.readable
    push(ada, client)
    assert msgspec.json.decode(ada.get(f"{PLACE}/keys").content, type=wire.Keys).master is None
    assert len(call(ada, "page", list[tuple[int, VersionRow]])) == 2


def test_a_repository_without_encryption(ada: TestClient, tmp_path: Path) -> None:
    client = Client(tmp_path / "plain", encrypt=False)
    client.save(b"weights" * 1000)
    assert announce(ada, client).readable
    push(ada, client)
    assert len(call(ada, "page", list[tuple[int, VersionRow]])) == 1


def test_a_version_before_its_pack_is_refused(ada: TestClient, client: Client) -> None:
    announce(ada, client)
    for change in client.history.applied:
        answer = commit(ada, change)
        if change.versions:
            assert (answer.status_code, answer.json()["kind"]) == (400, "usage")
            assert "pack" in answer.json()["detail"]
            break
    assert call(ada, "page", list[tuple[int, VersionRow]]) == []


def test_which_objects_are_missing(ada: TestClient, client: Client) -> None:
    announce(ada, client)
    ids = [place.id for pack in packs_of(client) for place in client.home.store._index.objects(pack)]
    asked = wire.Ids(b"".join(ids))

    def missing() -> bytes:
        answer = ada.post(f"{PLACE}/objects/missing", content=msgspec.json.encode(asked))
        assert answer.status_code == 200, answer.text
        return msgspec.json.decode(answer.content, type=wire.Ids).ids

    assert missing() == asked.ids
    push(ada, client)
    assert missing() == b""
    assert ada.post(f"{PLACE}/objects/missing", json={"ids": "AAAA"}).status_code == 400


@everywhere
def test_two_committers_race_and_one_is_told(ada: TestClient, called: Called, client: Client) -> None:
    announce(ada, client)
    push(ada, client)
    head = refs(ada, ["branch/main"])["branch/main"]
    change = Commit("x", "move", moves=(Move("branch/main", head.stamp, head.value + b" "),))
    sent = msgspec.json.encode(change)
    answers = [called(name).post(f"{PLACE}/history/commit", content=sent) for name in ("ada", "eve")]
    assert [answer.status_code for answer in answers] == [204, 409]
    assert answers[1].json()["kind"] == "lost-race"
    assert call(ada, "log", list[LogEntry], prefix="branch/main")[0].actor == "ada"


def test_who_may_only_read_writes_nothing(called: Called, ada: TestClient, client: Client) -> None:
    announce(ada, client)
    guest = called("guest")
    pack, data = next(iter(packs_of(client).items()))
    for answer in (
        guest.post("/api/v1/repositories", json={"owner": "guest", "name": "x"}),
        guest.post(f"{PLACE}/uploads", json={"pack": pack, "size": len(data)}),
        guest.post(f"{PLACE}/history/commit", content=msgspec.json.encode(client.history.applied[0])),
        guest.delete(f"{PLACE}/packs/{pack}"),
        ada.delete(f"{PLACE}/packs/{pack}"),
        ada.delete(PLACE),
        ada.patch(PLACE, json={"description": "mine"}),
    ):
        assert (answer.status_code, answer.json()["kind"]) == (403, "forbidden")


def test_a_pack_is_deleted_only_when_it_is_condemned(
    ada: TestClient, root: TestClient, client: Client
) -> None:
    announce(ada, client)
    push(ada, client)
    pack = next(iter(packs_of(client)))
    assert root.delete(f"{PLACE}/packs/{pack}").json()["kind"] == "in-use"
    condemned = Commit("x", "gc", moves=(Move(f"condemned/{pack}", ABSENT, b'{"at":1}', logged=False),))
    assert ada.post(f"{PLACE}/history/commit", content=msgspec.json.encode(condemned)).status_code == 403
    assert root.post(f"{PLACE}/history/commit", content=msgspec.json.encode(condemned)).status_code == 204
    assert root.delete(f"{PLACE}/packs/{pack}").status_code == 204
    assert root.delete(f"{PLACE}/packs/{pack}").status_code == 204
    assert ada.get(f"{PLACE}/packs/{pack}").status_code == 404


def test_a_key_is_never_replaced_and_the_servers_own_is_its_own(
    ada: TestClient, root: TestClient, client: Client
) -> None:
    announce(ada, client, master=False)
    files = {path.name: path.read_bytes() for path in client.keys.glob("envelope-*.json")}
    (name, content), *_ = files.items()
    own = msgspec.json.encode(wire.KeyFile("envelope-server.json", content))
    answer = root.put(f"{PLACE}/keys/envelope-server.json", content=own, headers=JSON)
    assert (answer.status_code, answer.json()["kind"]) == (400, "usage")
    assert not ada.get(PLACE).json()["readable"]
    other = msgspec.json.encode(wire.KeyFile(name, content + b" "))
    assert root.put(f"{PLACE}/keys/{name}", content=other, headers=JSON).json()["kind"] == "already-exists"
    same = msgspec.json.encode(wire.KeyFile(name, content))
    assert root.put(f"{PLACE}/keys/{name}", content=same, headers=JSON).status_code == 204
    assert root.delete(f"{PLACE}/keys/id.json").status_code == 400
    answers = [root.delete(f"{PLACE}/keys/{each}") for each in files]
    assert [answer.status_code for answer in answers] == [204] * (len(files) - 1) + [409]


@pytest.mark.parametrize(
    "body",
    [
        b'{"owner":"ada","name":"x","description":"\\ud800"}',
        b'{"owner":"ada","name":"x","description":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_python_reads_and_nobody_can_keep(ada: TestClient, body: bytes) -> None:
    answer = ada.post("/api/v1/repositories", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["kind"]) in ((400, "usage"), (422, "usage"))
    assert ada.get("/api/v1/repositories").json()["repositories"] == []


@everywhere
def test_repositories_are_made_listed_changed_and_removed(ada: TestClient, root: TestClient) -> None:
    for name in ("b", "a", "c"):
        answer = ada.post("/api/v1/repositories", json={"owner": "ada", "name": name})
        assert answer.status_code == 201, answer.text
        assert answer.headers["location"].endswith(f"/repositories/ada/{name}")
    assert (
        ada.post("/api/v1/repositories", json={"owner": "ada", "name": "a"}).json()["kind"]
        == "already-exists"
    )
    assert (
        ada.post("/api/v1/repositories", json={"owner": "ada", "name": "no/name"}).json()["kind"]
        == "invalid-name"
    )
    page = ada.get("/api/v1/repositories?limit=2").json()
    rest = ada.get(f"/api/v1/repositories?limit=2&after={page['next']}").json()
    assert [r["name"] for r in page["repositories"] + rest["repositories"]] == ["a", "b", "c"]
    assert "next" not in rest
    assert ada.get("/api/v1/repositories?after=nonsense").status_code == 400
    shown = ada.get("/api/v1/repositories/ada/a")
    assert shown.json()["readable"]
    tag = shown.headers["etag"]
    changed = root.patch(
        "/api/v1/repositories/ada/a", json={"description": "d", "name": "z"}, headers={"If-Match": tag}
    )
    assert (changed.status_code, changed.json()["name"], changed.json()["description"]) == (200, "z", "d")
    late = root.patch("/api/v1/repositories/ada/z", json={"description": "e"}, headers={"If-Match": tag})
    assert late.status_code == 412
    assert ada.get("/api/v1/repositories/ada/a").status_code == 404
    assert (
        root.delete("/api/v1/repositories/ada/z", headers={"If-Match": changed.headers["etag"]}).status_code
        == 204
    )
    assert ada.get("/api/v1/repositories/ada/z").status_code == 404


def test_a_repository_that_begins_on_the_server_has_its_first_branch(
    ada: TestClient, settings: ServerSettings
) -> None:
    ada.post("/api/v1/repositories", json={"owner": "ada", "name": "digits"})
    assert [ref.key for ref in call(ada, "scan", list[Ref], prefix="branch/")] == ["branch/main"]
    assert settings.key_file.stat().st_mode & 0o777 == 0o600
    keys = msgspec.json.decode(ada.get(f"{PLACE}/keys").content, type=wire.Keys)
    assert keys.master
    assert keys.master not in settings.key_file.read_bytes()


STRANGE_KEYS: list[dict[str, object]] = [
    {"master": b"x" * 32},
    {"master": b"short"},
    {"id": "other" * 4},
    {"id": None},
    {"keys": ()},
    {"encrypted": False, "master": None},
    {"keys": (wire.KeyFile("../x.json", b"{}"),)},
    {"keys": (wire.KeyFile("id.json", b"no json"),)},
]


def test_keys_that_make_no_sense(ada: TestClient, client: Client) -> None:
    client.keyring.wrap_with_recovery_key(client.keys.parent / "recovery")
    files = tuple(wire.KeyFile(p.name, p.read_bytes()) for p in sorted(client.keys.glob("*.json")))
    true = wire.NewRepository("ada", "x", id=client.config.id, keys=files, master=client.keyring.hand_over())
    for lie in STRANGE_KEYS:
        answer = ada.post(
            "/api/v1/repositories", content=msgspec.json.encode(replace(true, **lie)), headers=JSON
        )
        assert answer.status_code in (400, 422), answer.text
    assert ada.get("/api/v1/repositories").json()["repositories"] == []
    assert (
        ada.post("/api/v1/repositories", content=msgspec.json.encode(true), headers=JSON).status_code == 201
    )


def test_bodies_that_are_none(ada: TestClient, client: Client) -> None:
    announce(ada, client)
    for name in (
        "get",
        "scan",
        "log",
        "versions",
        "revisions",
        "named",
        "find",
        "page",
        "contents",
        "commit",
    ):
        for body in (
            b"[]",
            b"{",
            b"\xff",
            b'{"keys":5,"ids":5,"firsts":5,"name":5,"prefix":5,"digests":5,"limit":"x"}',
        ):
            answer = ada.post(f"{PLACE}/history/{name}", content=body)
            assert (answer.status_code, answer.json()["kind"]) == (400, "usage"), (name, body, answer.text)


def test_uploads_go_on_at_any_byte(ada: TestClient, client: Client) -> None:
    announce(ada, client)
    pack, data = max(packs_of(client).items(), key=lambda item: len(item[1]))
    under = begin(ada, pack, len(data))
    assert (under.held, under.state) == (0, "open")
    for first, length in ((0, 1), (1, 1000), (1001, 7)):
        assert send(ada, under, data[first : first + length], first).json()["held"] == first + length
    again = begin(ada, pack, len(data))
    assert (again.id, again.held) == (under.id, 1008)
    assert ada.get(f"{PLACE}/uploads/{under.id}").json()["held"] == 1008
    late = send(ada, under, data[5:9], 5)
    assert (late.status_code, late.json()["kind"]) == (409, "lost-race")
    assert "1,008" in late.json()["detail"]
    early = ada.post(f"{PLACE}/uploads/{under.id}/finish")
    assert (early.status_code, early.json()["kind"]) == (400, "usage")
    assert ada.get(f"{PLACE}/packs/{pack}").status_code == 404
    assert upload(ada, pack, data).state == "there"
    assert ada.get(f"{PLACE}/packs/{pack}").content == data
    assert begin(ada, pack, len(data)).state == "there"
    assert ada.post(f"{PLACE}/uploads/{under.id}/finish").status_code == 200


def test_bytes_that_are_not_the_pack_never_appear(ada: TestClient, client: Client) -> None:
    announce(ada, client)
    pack, data = max(packs_of(client).items(), key=lambda item: len(item[1]))
    under = begin(ada, pack, len(data))
    send(ada, under, bytes(len(data)), 0)
    answer = ada.post(f"{PLACE}/uploads/{under.id}/finish")
    assert (answer.status_code, answer.json()["kind"]) == (409, "conflict")
    assert begin(ada, pack, len(data)).held == 0
    assert upload(ada, pack, data).state == "there"


def test_a_hash_alone_makes_no_pack(ada: TestClient, client: Client) -> None:
    from blake3 import blake3

    announce(ada, client)
    data = os.urandom(5000)
    under = begin(ada, blake3(data).hexdigest(), len(data))
    send(ada, under, data, 0)
    answer = ada.post(f"{PLACE}/uploads/{under.id}/finish")
    assert (answer.status_code, answer.json()["kind"]) == (400, "usage")
    assert "no pack" in answer.json()["detail"]


@everywhere
def test_two_people_bring_the_same_pack_at_once(ada: TestClient, called: Called, client: Client) -> None:
    """Each in an upload of their own: the bytes of one do not spoil those of the other; the first to finish wins."""
    announce(ada, client)
    eve = called("eve")
    pack, data = max(packs_of(client).items(), key=lambda item: len(item[1]))
    ours, theirs = begin(ada, pack, len(data)), begin(eve, pack, len(data))
    assert ours.id != theirs.id
    assert send(eve, ours, data, 0).status_code == 404
    send(eve, theirs, bytes(len(data)), 0)
    send(ada, ours, data, 0)
    assert ada.post(f"{PLACE}/uploads/{ours.id}/finish").status_code == 200
    assert eve.post(f"{PLACE}/uploads/{theirs.id}/finish").json()["state"] == "there"
    assert ada.get(f"{PLACE}/packs/{pack}").content == data


STRANGE_RANGES = [
    ("bytes 0-9/5", 10),
    ("nonsense", 10),
    ("bytes 5-2/100", 1),
    ("bytes 0-9/*", 11),
    ("bytes 0-9/*", 9),
]


def test_bytes_that_do_not_fit_their_range(ada: TestClient, client: Client) -> None:
    announce(ada, client)
    under = begin(ada, "ab" * 32, 100)
    for header, body in STRANGE_RANGES:
        answer = ada.put(
            f"{PLACE}/uploads/{under.id}", content=bytes(body), headers={"Content-Range": header}
        )
        assert (answer.status_code, answer.json()["kind"]) == (400, "usage"), answer.text


def test_who_makes_up_an_id_has_not_begun(
    ada: TestClient, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(ada, client)
    mark = begin(ada, "ab" * 32, 100).id.rpartition("-")[2]
    large = f"{'cd' * 32}-{contract.LARGEST + 1}-{mark}"
    sent = ada.put(f"{PLACE}/uploads/{large}", content=b"x", headers={"Content-Range": "bytes 0-0/*"})
    assert sent.status_code == 404
    monkeypatch.setattr(taking, "MOST_OPEN", 150)
    first = {"Content-Range": "bytes 0-0/100"}
    assert ada.put(f"{PLACE}/uploads/{'ab' * 32}-100-{mark}", content=b"x", headers=first).status_code == 200
    second = ada.put(f"{PLACE}/uploads/{'cd' * 32}-100-{mark}", content=b"x", headers=first)
    assert (second.status_code, second.json()["kind"]) == (400, "usage")
    assert "under way" in second.json()["detail"]


def test_uploads_that_cannot_be(ada: TestClient, client: Client) -> None:
    announce(ada, client)
    for pack, size in (("ab" * 31, 5), ("../" * 21 + "x", 5), ("ab" * 32, 0), ("ab" * 32, 1 << 60)):
        assert ada.post(f"{PLACE}/uploads", json={"pack": pack, "size": size}).json()["kind"] == "usage"
    assert ada.get(f"{PLACE}/uploads/{'ab' * 32}-5-{'0' * 16}").status_code == 404
