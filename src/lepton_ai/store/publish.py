"""The moment in which new packs become visible: durable in the blobs first, then in the index."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from lepton_ai.store.contract import Blobs, PackInfo
from lepton_ai.store.index import Index
from lepton_ai.store.packs.format import blob_name
from lepton_ai.store.packs.writer import PackWriter
from lepton_ai.store.pipeline import Pool

AT_ONCE = 4
"""Packs that are made durable side by side."""


def publish(
    packs: Sequence[PackWriter], blobs: Blobs, index: Index, *, then: Sequence[PackWriter] = ()
) -> list[PackInfo]:
    """Close the packs, make all durable and enter them into the index.

    Those in ``then`` have differences to what is in ``packs``, or in each other in order: they come after it, so that
    whoever dies in between leaves no difference without its base.

    Raises:
        NoSpace, StorageFailed, Busy.
    """
    if not packs and not then:
        return []
    with Pool(AT_ONCE) as pool:  # most of the time is spent waiting for the disk
        list(pool.map(PackWriter.flush, (*packs, *then)))
        infos = list(pool.map(partial(_publish, blobs), packs))
    infos += [_publish(blobs, pack) for pack in then]
    index.add(zip(infos, (bytes(pack.footer) for pack in (*packs, *then)), strict=True))
    return infos


def _publish(blobs: Blobs, pack: PackWriter) -> PackInfo:
    pack.publish(blobs)
    return PackInfo(pack.name, pack.size, pack.objects, blobs.info(blob_name(pack.name)).written_at)
