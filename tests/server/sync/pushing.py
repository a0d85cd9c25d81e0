"""A client by hand: what a push sends, one request after another."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from msgspec.structs import replace
from starlette.testclient import TestClient

from lepton_ai import wire
from lepton_ai.history.refs.contract import ABSENT, Commit, Ref
from tests.server.sync.recorded import Client

JSON = {"Content-Type": "application/json"}
PLACE = "/api/v1/repositories/ada/digits"


def announce(http: TestClient, client: Client, *, master: bool = True) -> wire.RepositoryInfo:
    """Make the place on the server for a client's repository."""
    files = tuple(wire.KeyFile(p.name, p.read_bytes()) for p in sorted(client.keys.glob("*.json")))
    encrypted = client.config.encrypted
    if encrypted and not any(file.name.startswith("envelope") for file in files):
        client.keyring.wrap_with_recovery_key(client.keys.parent / "recovery")
        files = tuple(wire.KeyFile(p.name, p.read_bytes()) for p in sorted(client.keys.glob("*.json")))
    new = wire.NewRepository(
        "ada", "digits", id=client.config.id, encrypted=encrypted, created_at=client.config.created_at, keys=files,
        master=client.keyring.hand_over() if master and encrypted else None,
    )  # fmt: skip
    answer = http.post("/api/v1/repositories", content=msgspec.json.encode(new), headers=JSON)
    assert answer.status_code == 201, answer.text
    return msgspec.json.decode(answer.content, type=wire.RepositoryInfo)


def packs_of(client: Client) -> dict[str, bytes]:
    """The packs of a client by their names."""
    infos = list(client.blobs.list("packs/"))
    return {
        i.name.rpartition("/")[2].removesuffix(".pack"): client.blobs.get(i.name, 0, i.size) for i in infos
    }


def begin(http: TestClient, pack: str, size: int) -> wire.Upload:
    answer = http.post(f"{PLACE}/uploads", json={"pack": pack, "size": size})
    assert answer.status_code == 201, answer.text
    return msgspec.json.decode(answer.content, type=wire.Upload)


def send(http: TestClient, upload: wire.Upload, data: bytes, first: int) -> Any:
    headers = {"Content-Range": f"bytes {first}-{first + len(data) - 1}/{upload.size}"}
    return http.put(f"{PLACE}/uploads/{upload.id}", content=data, headers=headers)


def upload(http: TestClient, pack: str, data: bytes, *, step: int = 1 << 20) -> wire.Upload:
    """Bring a pack, in parts."""
    under = begin(http, pack, len(data))
    if under.state == "there":
        return under
    for first in range(under.held, len(data), step):
        answer = send(http, under, data[first : first + step], first)
        assert answer.status_code == 200, answer.text
    answer = http.post(f"{PLACE}/uploads/{under.id}/finish")
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=wire.Upload)


def refs(http: TestClient, keys: list[str]) -> dict[str, Ref]:
    answer = http.post(f"{PLACE}/history/get", json={"keys": keys})
    assert answer.status_code == 200, answer.text
    return {ref.key: ref for ref in msgspec.json.decode(answer.content, type=list[Ref])}


def commit(http: TestClient, change: Commit) -> Any:
    """Send a commit, with the stamps that the server has now; leases are left out."""
    moves = [move for move in change.moves if not move.key.startswith("lease/")]
    if not moves:
        return None
    there = refs(http, [move.key for move in moves])
    stamped = tuple(replace(m, expected=there[m.key].stamp if m.key in there else ABSENT) for m in moves)
    return http.post(
        f"{PLACE}/history/commit", content=msgspec.json.encode(replace(change, moves=stamped, checks={}))
    )


def push(http: TestClient, client: Client) -> None:
    """Everything that a client has."""
    for pack, data in packs_of(client).items():
        upload(http, pack, data)
    for change in client.history.applied:
        answer = commit(http, change)
        assert answer is None or answer.status_code == 204, answer.text


def call(http: TestClient, call_name: str, kind: Any, /, **arguments: Any) -> Any:
    """A call of the history."""
    plain = {k: _plain(v) for k, v in arguments.items()}
    answer = http.post(f"{PLACE}/history/{call_name}", json=plain)
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=kind)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return [_plain(one) for one in value] if isinstance(value, list) else value
