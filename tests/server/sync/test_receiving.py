"""Every lie that a commit can tell is refused, and nothing of it stays; the same commit without the lie is applied."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from lepton_ai.errors import Forbidden, LeptonError, LostRace, UsageError
from lepton_ai.history import leases, states
from lepton_ai.history.record import canonical, parse_record, version_id
from lepton_ai.history.refs.contract import ABSENT, Commit, Move, VersionRow
from lepton_ai.history.refs.memory import MemoryHistory
from lepton_ai.history.writing import EPOCH
from lepton_ai.server.receiving.commits import receive
from lepton_ai.server.receiving.moves import Sender
from lepton_ai.server.shelves import PackShelf
from lepton_ai.types import FileEntry
from tests.server.sync.recorded import Client

ADA, EVE, ROOT = Sender("ada"), Sender("eve"), Sender("root", keeps_house=True)
NOWHERE = b"\x66" * 32


class Server:
    """A history that takes commits, and a look into the client's packs (as if they had been uploaded)."""

    def __init__(self, client: Client, *, readable: bool = True) -> None:
        self.history = MemoryHistory()
        self.shelf = PackShelf(client.home, readable=readable)

    def receive(self, change: Commit, sender: Sender = ADA) -> None:
        receive(change, self.history, self.shelf, sender)


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path / "client")


@pytest.fixture
def server(client: Client) -> Server:
    return Server(client)


def caught_up(server: Server, client: Client) -> Commit:
    """Save twice; the server has all but the last commit, which is given. Leases take no part."""
    client.save(b"first" * 2000)
    change = client.save(b"second" * 2000)
    for earlier in client.history.applied:
        if earlier is change:
            break
        server.receive(renumbered(server, earlier))
    return without_leases(renumbered(server, change))


def renumbered(server: Server, change: Commit) -> Commit:
    """The commit with the stamps that the server gave."""
    there = server.history.get([*(m.key for m in change.moves), *change.checks])
    stamp = {
        key: there[key].stamp if key in there else ABSENT
        for key in (*change.checks, *(m.key for m in change.moves))
    }
    moves = tuple(replace(move, expected=stamp[move.key]) for move in change.moves)
    return replace(change, moves=moves, checks={key: stamp[key] for key in change.checks})


def without_leases(change: Commit) -> Commit:
    return replace(change, moves=tuple(m for m in change.moves if not m.key.startswith("lease/")))


def with_row(change: Commit, **changed: object) -> Commit:
    return replace(change, versions=(replace(change.versions[0], **changed),))


def with_record(change: Commit, **changed: object) -> Commit:
    """Another record, with all ids that follow from it: only what it says is wrong."""
    old = change.versions[0]
    record = replace(parse_record(old.record, old.id), **changed)
    new = version_id(record)
    row = replace(old, id=new, first=new if old.revision == 1 else old.first, record=canonical(record))
    text = [(one.id.hex().encode(), new.hex().encode()) for one in change.versions]

    def renamed(move: Move) -> Move:
        key, value = move.key, move.value
        for before, after in text:
            key = key.replace(before.decode(), after.decode())
            value = value.replace(before, after) if value else value
        return replace(move, key=key, value=value)

    return replace(change, versions=(row,), moves=tuple(map(renamed, change.moves)))


def with_move(change: Commit, prefix: str, **changed: object) -> Commit:
    moves = tuple(replace(m, **changed) if m.key.startswith(prefix) else m for m in change.moves)
    assert moves != change.moves
    return replace(change, moves=moves)


def with_state(change: Commit, prefix: str, kind: type[msgspec.Struct], **changed: object) -> Commit:
    move = next(m for m in change.moves if m.key.startswith(prefix))
    state = replace(msgspec.json.decode(move.value or b"", type=kind), **changed)
    return with_move(change, prefix, value=states.encode(state))


def more(change: Commit, key: str, value: bytes | None, **rest: object) -> Commit:
    return replace(change, moves=(*change.moves, Move(key, ABSENT, value, **rest)))  # type: ignore[arg-type]


def merging(change: Commit, request: dict[str, object]) -> states.MergeState:
    ours = change.versions[0].parents[0].hex()
    return states.MergeState("ab", "feature", ours, (ours,), (), request, (), 1, "ada")


FILE = FileEntry("model.bin", "77" * 32, 5)
LIES: dict[str, tuple[Callable[[Commit], Commit], str]] = {
    "a forged id": (lambda c: with_row(c, id=NOWHERE, first=NOWHERE), "is not what its id says"),
    "a changed record": (lambda c: with_row(c, record=c.versions[0].record + b" "), "is not what its id says"),
    "another name beside the record": (lambda c: with_row(c, name="v9"), "not those of its record"),
    "another time beside the record": (lambda c: with_row(c, created_at=5), "not those of its record"),
    "other parents beside the record": (lambda c: with_row(c, parents=()), "not those of its record"),
    "a wrong depth": (lambda c: with_row(c, depth=7), "depth or jump"),
    "a wrong jump": (lambda c: with_row(c, jump=None), "depth or jump"),
    "no identity of a branch": (lambda c: with_row(c, branch="../x"), "identity of a branch"),
    "a parent that is nowhere": (
        lambda c: replace(
            with_record(c, parents=(NOWHERE.hex(),)),
            versions=(replace(with_record(c, parents=(NOWHERE.hex(),)).versions[0], parents=(NOWHERE,)),),
        ),
        "neither here nor in the commit",
    ),
    "a path that leads out": (
        lambda c: with_record(c, files=(FileEntry("../x", "77" * 32, 5),)), "leaves the folder",
    ),
    "a digest that is none": (lambda c: with_record(c, files=(FileEntry("x", "zz", 5),)), "no SHA-256"),
    "a file that nobody sent": (lambda c: with_record(c, files=(FILE,)), "neither here nor in the commit"),
    "a revision of nothing": (lambda c: with_row(c, revision=2, first=NOWHERE), "which revision came before"),
    "a revises in a first revision": (lambda c: with_record(c, revises="11" * 32), "revises another"),
    "content that is missing": (lambda c: replace(c, contents=()), "neither here nor in the commit"),
    "a manifest in no pack": (
        lambda c: replace(c, contents=tuple(replace(r, manifest=NOWHERE) for r in c.contents)), "holds the manifest",
    ),
    "a manifest that is no id": (
        lambda c: replace(c, contents=tuple(replace(r, manifest=b"x") for r in c.contents)), "makes no sense",
    ),
    "a size that is another": (
        lambda c: replace(c, contents=tuple(replace(r, size=r.size + 1) for r in c.contents)), "of another file",
    ),
    "the manifest of another file": (
        lambda c: replace(c, contents=(*c.contents, replace(c.contents[0], sha256=NOWHERE))),
        "of another file",
    ),
    "a version without its state": (
        lambda c: replace(c, moves=tuple(m for m in c.moves if not m.key.startswith("version/"))), "without its state",
    ),
    "a branch that stands on nothing": (
        lambda c: with_state(c, "branch/", states.BranchState, head=NOWHERE.hex()), "neither here nor in the commit",
    ),
    "a head that is no id": (lambda c: with_state(c, "branch/", states.BranchState, head="HEAD"), "which is no id"),
    "a newest revision that is another's": (
        lambda c: with_state(c, "version/", states.VersionState, newest=c.versions[0].parents[0].hex()),
        "is not its revision",
    ),
    "more revisions than there are": (
        lambda c: with_state(c, "version/", states.VersionState, revisions=3), "is not its revision 3",
    ),
    "a value that does not decode": (lambda c: with_move(c, "branch/", value=b"{}"), "cannot be read"),
    "a value that is no JSON": (lambda c: with_move(c, "branch/", value=b"\xff"), "cannot be read"),
    "a kind that no repository has": (lambda c: more(c, "secret/x", b"{}"), "no key of a repository"),
    "a key without a kind": (lambda c: more(c, "branch", b"{}"), "no key of a repository"),
    "a branch that cannot be called so": (lambda c: more(c, "branch/../x", b"{}"), "no key of a repository"),
    "a version by no id": (lambda c: more(c, "version/abc", b"{}"), "no key of a repository"),
    "a version's state that is taken away": (
        lambda c: more(c, f"version/{c.versions[0].parents[0].hex()}", None), "stays",
    ),
    "a tag on nothing": (
        lambda c: more(c, "tag/t", states.encode(states.LabelState(NOWHERE.hex(), 1, "ada"))), "neither here nor",
    ),
    "a version of no age that is told": (lambda c: with_row(c, created_at=9 * 10**17), "no moment"),
    "a branch of no age that is told": (
        lambda c: with_state(c, "branch/", states.BranchState, created_at=9 * 10**17), "cannot be",
    ),
    "a tombstone of no age that is told": (
        lambda c: with_state(c, "branch/", states.BranchState, deleted=states.Gone(-1, "ada")), "cannot be",
    ),
    "an identity that is a path": (
        lambda c: with_state(c, "branch/", states.BranchState, uid="../.."), "no identity",
    ),
    "names counted further than anybody can": (
        lambda c: with_state(c, "branch/", states.BranchState, high=10**33), "counts to",
    ),
    "a version that counts backwards": (
        lambda c: with_state(c, "version/", states.VersionState, high=-1), "counts to",
    ),
    "a merge that nobody can have asked for": (
        lambda c: more(c, "merge/main", states.encode(merging(c, {"aids": 5}))), "asks for",
    ),
    "a check of a foreign kind": (lambda c: replace(c, checks={"secret/x": 1}), "no key of a repository"),
    "no word about what is done": (lambda c: replace(c, act=""), "what is done"),
    "a reason that is a book": (lambda c: replace(c, why="x" * 10_001), "what is done"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_and_the_truth_is_applied(server: Server, client: Client, lie: str) -> None:
    truth = caught_up(server, client)
    before = server.history.scan(""), server.history.page(), server.history.log()
    tell, why = LIES[lie]
    with pytest.raises(UsageError, match=why):
        server.receive(tell(truth))
    assert (server.history.scan(""), server.history.page(), server.history.log()) == before
    server.receive(truth)
    assert server.history.versions([truth.versions[0].id])


def test_what_is_applied_is_what_was_sent(server: Server, client: Client) -> None:
    truth = caught_up(server, client)
    server.receive(truth)
    ours, theirs = server.history, client.history
    assert [row for _, row in ours.page()] == [row for _, row in theirs.page()]
    digests = [row.sha256 for row in truth.contents]
    assert ours.contents(digests) == theirs.contents(digests)
    for prefix in ("branch/", "version/", "line/"):
        assert {r.key: r.value for r in ours.scan(prefix)} == {r.key: r.value for r in theirs.scan(prefix)}


def test_actor_and_time_are_the_servers(server: Server, client: Client) -> None:
    truth = caught_up(server, client)
    server.receive(replace(truth, actor="somebody else", at=5), EVE)
    newest = server.history.log("branch/main")[0]
    assert newest.actor == "eve"
    assert newest.at > 1_700_000_000_000_000


def test_a_move_that_counts_is_logged_whatever_is_said(server: Server, client: Client) -> None:
    truth = caught_up(server, client)
    server.receive(replace(truth, moves=tuple(replace(move, logged=False) for move in truth.moves)), EVE)
    assert server.history.log("branch/main")[0].actor == "eve"


def test_pins_alone_are_not_logged(server: Server, client: Client) -> None:
    server.receive(caught_up(server, client))
    client.repository.tag("best", "v2")
    before = len(server.history.log())
    server.receive(renumbered(server, client.history.applied[-1]))
    assert [entry.key for entry in server.history.log()[: len(server.history.log()) - before]] == ["tag/best"]


def test_a_second_revision_follows_the_first(server: Server, client: Client) -> None:
    server.receive(caught_up(server, client))
    client.repository.update_version("v2", metrics={"accuracy": 0.5})
    change = without_leases(
        renumbered(server, next(c for c in reversed(client.history.applied) if c.versions))
    )
    for wrong in ({"revision": 3}, {"depth": 0}, {"first": change.versions[0].parents[0]}):
        with pytest.raises(UsageError, match=r"elsewhere|not the revision after|from itself"):
            server.receive(with_row(change, **wrong))
    server.receive(change)
    assert [
        row.revision for row in server.history.revisions([change.versions[0].first])[change.versions[0].first]
    ] == [1, 2]


def test_sizes_are_as_the_server_sees_them(server: Server, client: Client) -> None:
    truth = caught_up(server, client)
    server.receive(replace(truth, contents=tuple(replace(row, stored=10**12) for row in truth.contents)))
    for row in server.history.contents([row.sha256 for row in truth.contents]).values():
        assert 0 < row.stored < 100_000


def test_without_the_key_the_manifest_must_still_be_there(client: Client) -> None:
    server = Server(client, readable=False)
    truth = caught_up(server, client)
    lies = tuple(replace(row, manifest=NOWHERE) for row in truth.contents)
    with pytest.raises(UsageError, match="holds the manifest"):
        server.receive(replace(truth, contents=lies))
    server.receive(truth)


def test_a_block_that_is_in_no_pack(server: Server, client: Client, tmp_path: Path) -> None:
    """The pack with the blocks is gone, the manifests' own pack is there: only whoever holds the key can know."""
    truth = caught_up(server, client)
    content = client.home.store.get(truth.contents[0].manifest)
    lone = Client(tmp_path / "lone")
    with lone.home.store.writer() as writer:
        writer.put(content)
        writer.finish()
    held = {info.name for info in lone.blobs.list("packs/")}
    assert held
    shelf = Missing(
        server.shelf,
        {id_ for s in server.shelf.manifest(truth.contents[0].manifest).content.streams for id_ in s.ids},
    )
    with pytest.raises(UsageError, match="in no pack of the server"):
        receive(truth, server.history, shelf, ADA)


class Missing:
    """A shelf that lacks some objects."""

    readable = True

    def __init__(self, shelf: PackShelf, lost: set[bytes]) -> None:
        self.manifest, self.stored_bytes = shelf.manifest, shelf.stored_bytes
        self._shelf, self._lost = shelf, lost

    def missing(self, ids: object, avoid: object = ()) -> set[bytes]:
        wanted = set(ids)  # type: ignore[call-overload]
        return self._shelf.missing(wanted, avoid) | (wanted & self._lost)  # type: ignore[arg-type]


def test_what_was_freed_by_gc_does_not_count_as_known(server: Server, client: Client) -> None:
    """A row of contents outlives its packs: that the digest is known is not enough."""
    truth = caught_up(server, client)
    server.receive(truth)
    for info in list(client.blobs.list("packs/")):
        client.blobs.delete([info.name])
    fresh = Server(client)
    fresh.history = server.history
    record = parse_record(truth.versions[0].record, truth.versions[0].id)
    again = with_record(truth, message="once more", name="v7")
    again = with_row(again, name="v7", parents=truth.versions[0].parents)
    assert record.files
    with pytest.raises(UsageError, match="holds the manifest"):
        fresh.receive(replace(renumbered(server, again), contents=()))


def lease_of(client: Client) -> tuple[str, bytes]:
    lease = leases.Lease(client.history, "save")
    key = client.history.applied[-1].moves[0].key
    value = client.history.applied[-1].moves[0].value
    lease.release()
    return key, value or b""


def test_a_lease_is_in_the_servers_time_and_its_owners(server: Server, client: Client) -> None:
    key, value = lease_of(client)
    lying = states.encode(
        replace(msgspec.json.decode(value, type=states.LeaseState), started_at=5, beat_at=5, user="root")
    )
    server.receive(Commit("x", "lease", moves=(Move(key, ABSENT, lying),)))
    kept = server.history.get([key])[key]
    state = states.decode(states.LeaseState, kept)
    assert state.user == "ada"
    assert min(state.started_at, state.beat_at) > 1_700_000_000_000_000
    assert leases.is_alive(state)
    assert not leases.is_alive(replace(state, beat_at=state.beat_at - int(leases.PATIENCE * 1e6) - 1))
    assert server.history.log() == []


def test_a_lease_of_somebody_else_stays(server: Server, client: Client) -> None:
    key, value = lease_of(client)
    server.receive(Commit("x", "lease", moves=(Move(key, ABSENT, value),)))
    stamp = server.history.get([key])[key].stamp
    for taken in (None, value):
        with pytest.raises(Forbidden, match="ada's"):
            server.receive(Commit("x", "lease", moves=(Move(key, stamp, taken),)), EVE)
    server.receive(Commit("x", "gc", moves=(Move(key, stamp, None),)), ROOT)
    assert server.history.get([key]) == {}


def test_a_beat_does_not_move_the_beginning(server: Server, client: Client) -> None:
    key, value = lease_of(client)
    server.receive(Commit("x", "lease", moves=(Move(key, ABSENT, value),)))
    first = states.decode(states.LeaseState, server.history.get([key])[key])
    server.receive(Commit("x", "lease", moves=(Move(key, server.history.get([key])[key].stamp, value),)))
    second = states.decode(states.LeaseState, server.history.get([key])[key])
    assert second.started_at == first.started_at
    assert second.beat_at >= first.beat_at


@pytest.mark.parametrize("key", [EPOCH, "gc/running", "condemned/" + "ab" * 32])
def test_only_who_keeps_house_condemns(server: Server, key: str) -> None:
    value = {
        EPOCH: states.Epoch(1),
        "gc/running": states.LeaseState("gc", "h", 1, "u", 1, 1),
    }.get(key, states.Condemned(1))
    change = Commit("x", "gc", moves=(Move(key, ABSENT, states.encode(value), logged=False),))
    with pytest.raises(Forbidden, match="administrator"):
        server.receive(change)
    server.receive(change, ROOT)
    assert key in server.history.get([key])


def test_packs_that_are_condemned_do_not_count(server: Server, client: Client) -> None:
    truth = caught_up(server, client)
    packs = [info.name.rpartition("/")[2].removesuffix(".pack") for info in client.blobs.list("packs/")]
    moves = tuple(
        Move(f"condemned/{name}", ABSENT, states.encode(states.Condemned(1)), logged=False) for name in packs
    )
    server.receive(Commit("x", "gc", moves=moves), ROOT)
    with pytest.raises(UsageError, match="holds the manifest"):
        server.receive(truth)


def test_packs_condemned_between_the_look_and_the_commit(server: Server, client: Client) -> None:
    """The epoch moves just before the commit is applied: the server looks again, and only then applies it."""
    truth = replace(caught_up(server, client), checks={})
    apply, looked = server.history.commit, []

    def late(change: Commit) -> None:
        if not looked:
            looked.append(change)
            apply(Commit("root", "gc", moves=(Move(EPOCH, ABSENT, states.encode(states.Epoch(1))),)))
        apply(change)

    server.history.commit = late  # type: ignore[method-assign]
    server.receive(truth)
    assert server.history.versions([truth.versions[0].id])
    assert looked[0].checks[EPOCH] == ABSENT


def test_a_lost_race_is_told(server: Server, client: Client) -> None:
    truth = caught_up(server, client)
    server.receive(truth)
    with pytest.raises(LostRace):
        server.receive(truth)


@pytest.mark.parametrize("number", range(20))
def test_noise_is_refused_plainly(server: Server, client: Client, number: int) -> None:
    """Bytes flipped anywhere in a commit: refused by one of our errors, or applied because it says the same."""
    truth = caught_up(server, client)
    data = bytearray(msgspec.json.encode(truth))
    place = int.from_bytes(os.urandom(4)) % len(data)
    data[place] ^= 1 << (number % 7)
    try:
        change = msgspec.json.decode(bytes(data), type=Commit)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    try:
        server.receive(change)
    except LeptonError:
        return
    rows: list[VersionRow] = [row for _, row in server.history.page()]
    assert [row.id for row in rows] == [row.id for _, row in client.history.page()]
