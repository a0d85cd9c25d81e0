"""What the repository takes: version by version, by codec, and where every byte of its folder is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lepton_ai.errors import IntegrityError
from lepton_ai.history import listing, manifest
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.lines import Lines
from lepton_ai.history.record import digests, parse_record
from lepton_ai.store.census import Census, tally
from lepton_ai.store.contract import Taken
from lepton_ai.store.store import Store
from lepton_ai.types import VersionInfo

if TYPE_CHECKING:
    from lepton_ai.store.census import Column

CHUNK = 500
MANIFESTS = 50
"""Manifests that are read at once."""

_BEGINNINGS = {
    "packs": ("packs",),
    "index": ("index.db",),
    "history": ("history.db", "backups"),
    "keys": ("keys",),
}


class VersionStats(msgspec.Struct, frozen=True):
    """A version and what its objects take: the blocks and descriptions of its files and attachments, of all revisions.

    ``taken.stored_bytes`` has each of them once, as it is read, without the bases that it stands on; a base that
    belongs to no version any more counts for the one that needs it. ``taken.unique_bytes`` is what deleting this
    version, and no other, frees (once gc has run); ``taken.shared_bytes`` stays: others have it or stand on it.
    """

    info: VersionInfo
    taken: Taken

    @property
    def ratio(self) -> float:
        """Bytes of its files for each byte stored."""
        return _ratio(self.info.raw_bytes, self.taken.stored_bytes)


class Parts(msgspec.Struct, frozen=True):
    """Where all bytes of ``.lepton/`` are.

    Of the objects in packs: needed by one version (``unique``), by several (``shared``), by deleted versions only,
    which can be restored until gc (``deleted``), by none (``dead``). ``frames`` is what else packs consist of. The
    ``index`` can be made again; ``other`` is what is being written, and small files.
    """

    unique: int
    shared: int
    deleted: int
    dead: int
    frames: int
    index: int
    history: int
    keys: int
    other: int


class Stats(msgspec.Struct, frozen=True):
    """``raw_bytes``: the files of all living versions, in their newest revisions. ``stored_bytes``: everything below
    ``.lepton/``, which ``parts`` adds up to. ``ratio``: raw / stored. ``whole``: all objects that any version needs,
    each once. ``unreadable``: files and attachments whose description cannot be read: their blocks count as dead.
    """

    raw_bytes: int
    stored_bytes: int
    pack_bytes: int
    packs: int
    ratio: float
    versions: tuple[VersionStats, ...]
    whole: Taken
    parts: Parts
    unreadable: int = 0


class _Kept(NamedTuple):
    """A version that is not purged: its newest revision, and the SHA-256 of all that its revisions refer to."""

    newest: str
    digests: frozenset[bytes]


def stats(home: AnyHome, lines: Lines) -> Stats:
    """Count what there is. Reads the description of every file and the whole index, but no block."""
    infos = listing.versions(lines)
    kept = {version.newest: version for version in _kept(lines)}
    living = [info for info in infos if info.id in kept]
    owners = [kept.pop(info.id) for info in living]
    owners += kept.values()  # deleted, and saved since
    census = home.store.census()
    contents = _contents(lines, home.store, census, {digest for owner in owners for digest in owner.digests})
    found = tally(census, [_joined(contents, owner.digests) for owner in owners], len(living))
    versions = tuple(VersionStats(*pair) for pair in zip(living, found.taken, strict=True))
    sizes = _sizes(home)
    pack_bytes, frames = home.store.bytes_of_packs()
    raw, stored = sum(info.raw_bytes for info in living), sum(sizes.values())
    parts = Parts(
        unique=found.whole.unique_bytes,
        shared=found.whole.shared_bytes - found.left_bytes,
        deleted=found.left_bytes,
        dead=sizes["packs"] - frames - found.whole.stored_bytes,
        frames=frames,
        **{name: sizes[name] for name in ("index", "history", "keys", "other")},
    )
    unreadable = sum(numbers is None for numbers in contents.values())
    return Stats(
        raw,
        stored,
        pack_bytes,
        len(home.store.packs()),
        _ratio(raw, stored),
        versions,
        found.whole,
        parts,
        unreadable,
    )


def _ratio(raw: int, stored: int) -> float:
    return raw / stored if stored else 0.0


def _kept(lines: Lines) -> Iterator[_Kept]:
    before: int | None = None
    while page := lines.history.page(before=before, limit=CHUNK):
        before = page[-1][0]
        found = lines.states([row.id for _, row in page])
        newest = {first: state.newest for first, (_, state) in found.items() if state.purged_at is None}
        for first, rows in lines.history.revisions(list(newest)).items():
            every = (digests(parse_record(row.record, row.id)) for row in rows)
            yield _Kept(newest[first], frozenset().union(*every))


def _contents(
    lines: Lines, store: Store, census: Census, wanted: Iterable[bytes]
) -> dict[bytes, Column | None]:
    """The numbers of the objects that each content consists of; None where its description cannot be read."""
    found: dict[bytes, Column | None] = {}
    rest = iter(wanted)
    while some := list(islice(rest, MANIFESTS)):
        found.update(dict.fromkeys(some))
        rows = lines.history.contents(some)
        read = _manifests(store, {row.manifest for row in rows.values()})
        for digest, row in rows.items():
            if row.manifest in read:
                blocks = b"".join(stream.blocks for stream in read[row.manifest].content.streams)
                found[digest] = census.numbers(row.manifest + blocks)
    return found


def _manifests(store: Store, ids: Collection[bytes]) -> dict[bytes, manifest.Manifest]:
    """Those of the manifests that can be read."""
    try:
        return {id_: manifest.decode(data) for id_, data in store.small(ids).items()}
    except IntegrityError:
        found = {}
        for id_ in ids:
            with suppress(IntegrityError):  # it is counted
                found[id_] = manifest.decode(store.get(id_))
        return found


def _joined(contents: dict[bytes, Column | None], wanted: Collection[bytes]) -> Column:
    import numpy as np

    parts = [numbers for digest in wanted if (numbers := contents[digest]) is not None]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)


def _sizes(home: AnyHome) -> Counter[str]:
    """Bytes of the files below ``.lepton/``, by what they are for."""
    sizes: Counter[str] = Counter()
    for name, size in home.files():
        sizes[_part(name.partition("/")[0])] += size
    return sizes


def _part(name: str) -> str:
    for part, beginnings in _BEGINNINGS.items():
        if name.startswith(beginnings):
            return part
    return "other"
