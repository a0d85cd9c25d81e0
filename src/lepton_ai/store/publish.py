"""The moment in which new packs become visible: durable in the blobs first, then in the index."""

from __future__ import annotations

from lepton_ai.store.contract import Blobs, PackInfo
from lepton_ai.store.index import Index
from lepton_ai.store.packs.format import blob_name
from lepton_ai.store.packs.writer import PackWriter


def publish(packs: list[PackWriter], blobs: Blobs, index: Index) -> list[PackInfo]:
    """Close the packs, make all durable and enter them into the index.

    Raises:
        NoSpace, StorageFailed, Busy.
    """
    if not packs:
        return []
    infos = []
    for pack in packs:
        pack.close()
        pack.publish(blobs)
        written_at = blobs.info(blob_name(pack.name)).written_at
        infos.append(PackInfo(pack.name, pack.size, pack.objects, written_at))
    index.add(zip(infos, (bytes(pack.footer) for pack in packs), strict=True))
    return infos
