"""Bringing objects from one end to the other; what arrived before a cut is not sent again."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from blake3 import blake3

from lepton_ai.client.home import FarHome
from lepton_ai.client.sync.ends import End
from lepton_ai.client.sync.fetching import Fetching
from lepton_ai.client.sync.gather import Gathered
from lepton_ai.errors import Busy, Damaged, NotFound
from lepton_ai.history.checkout import check_space
from lepton_ai.progress import Progress
from lepton_ai.store.durable import make_folder, storage_errors
from lepton_ai.store.packs.format import blob_name
from lepton_ai.store.packs.reader import held_ids
from lepton_ai.store.packs.writer import PackWriter, sweep
from lepton_ai.store.pipeline import Pool

TRIES = 5
"""How often is chosen anew because packs went in between."""
LONG = 256 << 20
"""Bytes from which on garbage collection is asked to wait: what goes meanwhile would be fetched once more."""
STREAMS = 4
"""Packs that travel side by side."""


def carry(
    source: End, target: End, ids: set[bytes], progress: Progress, known: Gathered | None = None
) -> int:
    """Bring the objects ``ids`` of ``source``, which ``target`` lacks; the bytes that travelled.

    ``known``: what the target was asked already. The objects are durable when this returns, and whatever arrived stays,
    however it ends.

    Raises:
        Busy: another process does the same. Damaged, NoSpace, StorageFailed. What a server says.
    """
    if not ids:
        tidy(source, target)
        return 0
    if source.home.absent is not None and (elsewhere := source.home.store.missing(ids)):
        source.home.absent(elsewhere)
    if source.far is not None:
        return _fetch(source, target, ids, progress)
    if target.far is None:
        return _hand_over(source, target, ids, progress)
    return _send(source, target, ids, progress, known or Gathered())


def cost(source: End, target: End, ids: set[bytes]) -> int:
    """About how many bytes would travel."""
    if not ids:
        return 0
    traffic = source.home.store.traffic()
    return traffic.choose(ids, target.lacks, avoid=_avoided(source), recode=source.far is None).bytes


def _hand_over(source: End, target: End, ids: set[bytes], progress: Progress) -> int:
    """Both ends are folders here."""
    traffic, theirs = source.home.store.traffic(), target.home.store.traffic()
    load = traffic.choose(ids, target.lacks, avoid=_avoided(source))
    check_space(theirs.temporary.parent, load.bytes)
    progress.start(f"bringing versions to {target.home.named}", load.bytes)
    done = 0
    with storage_errors(theirs.temporary):
        make_folder(theirs.temporary)
        sweep(theirs.temporary)
    for pack in traffic.packs(load, theirs.temporary, progress):
        done += pack.size
        theirs.take(pack)
    return done


def _send(source: End, target: End, ids: set[bytes], progress: Progress, known: Gathered) -> int:
    """To a server, in packs that lie here until they are there: an upload that was cut goes on where it ended."""
    far, traffic = target.far, source.home.store.traffic()
    assert far is not None  # noqa: S101  (asked before)
    done = [0]

    def told(amount: int) -> None:
        done[0] += amount
        progress.advance(amount)

    with _alone(*_going(source, far)) as folder:
        far.far_blobs.told = told
        try:
            left = _left_over(folder, target)
            progress.start(f"sending to {far.named}", sum(path.stat().st_size for path in left))
            with Pool(STREAMS) as pool:
                list(pool.map(lambda path: far.blobs.put(blob_name(path.stem), path), left))

                def lacks(some: set[bytes]) -> set[bytes]:
                    rest = some - known.asked
                    return (some & known.lacking) | (target.lacks(rest) if rest else set())

                load = traffic.choose(
                    target.lacks(ids) if left else ids,
                    target.lacks if left else lacks,
                    avoid=_avoided(source),
                )
                check_space(folder, load.bytes)
                progress.start(f"sending to {far.named}", load.bytes)
                packs = (_set_down(pack, folder) for pack in traffic.packs(load, folder))
                list(pool.map(lambda path: far.blobs.put(blob_name(path.stem), path), packs))
        finally:
            far.far_blobs.told = lambda _: None
    return done[0]


def tidy(source: End, target: End) -> None:
    """Remove packs of an earlier try that was cut off when all of them had arrived."""
    if target.far is None:
        return
    place, name = _going(source, target.far)
    if any((place / name).glob("*.pack")):
        with suppress(Busy), _alone(place, name) as folder:
            _left_over(folder, target)


def _going(source: End, far: FarHome) -> tuple[Path, str]:
    """Where packs lie that are on their way to a server."""
    return source.home.place / "tmp", f"push-{_mark(far.named)}"


def _set_down(pack: PackWriter, folder: Path) -> Path:
    """Give a finished pack a name under which a later try finds it."""
    place = folder / f"{pack.name}.pack"
    with storage_errors(folder):
        pack.path.rename(place)
    pack.discard()
    return place


def _left_over(folder: Path, target: End) -> list[Path]:
    """Packs of an earlier try that still have something that the other end lacks; the others are removed."""
    kept = []
    with storage_errors(folder):
        for path in sorted(folder.glob("*.pack")):
            held = _held(path)
            if held and target.lacks(held):
                kept.append(path)
            else:
                path.unlink()
    return kept


def _held(path: Path) -> set[bytes]:
    """The objects of a pack's file; none when it is not whole."""
    digest = blake3()
    with path.open("rb") as file:
        while data := file.read(4 << 20):
            digest.update(data)
    if digest.hexdigest() != path.stem:
        return set()
    try:
        return held_ids(path)
    except Damaged:
        return set()


def _fetch(source: End, target: End, ids: set[bytes], progress: Progress) -> int:
    """From a server: whole packs where most of a pack is needed, else ranges of it."""
    for _ in range(TRIES):
        traffic = source.home.store.traffic()
        load = traffic.choose(ids, target.lacks, avoid=_avoided(source), recode=False)
        sizes = traffic.sizes()
        check_space(target.home.place, load.bytes)
        progress.start(f"fetching from {source.home.named}", load.bytes)
        with (
            source.kept("fetch", needed=load.bytes > LONG),
            _alone(target.home.place / "tmp", f"fetch-{_mark(source.home.named)}") as folder,
            suppress(NotFound),  # a pack that was there a moment ago: somebody's save stored it otherwise
        ):
            return Fetching(source, target, folder, progress).run(load.places, sizes, STREAMS)
    raise Busy(f"{source.home.named} is changing all the time", hint="repeat: what has arrived stays")


def _avoided(source: End) -> set[str]:
    return source.condemned()


def _mark(named: str) -> str:
    return blake3(named.encode()).hexdigest(length=6)


@contextmanager
def _alone(place: Path, name: str) -> Iterator[Path]:
    """A folder that later tries find again, for one process at a time; it is removed when it is empty."""
    folder = place / name
    with storage_errors(folder):
        make_folder(folder)
        sweep(folder)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy("another process is doing the same", hint="repeat when it is done") from error
        yield folder
        with storage_errors(folder):
            (folder / "lock").unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()
    finally:
        os.close(lock)
