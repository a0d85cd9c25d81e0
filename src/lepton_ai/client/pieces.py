"""Small pieces of many packs in few requests: who first opens a repository reads a little of every pack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lepton_ai import wire
from lepton_ai.client.connection import Connection
from lepton_ai.client.reaching import Unreached
from lepton_ai.errors import StorageFailed, UsageError
from lepton_ai.store.contract import Piece
from lepton_ai.store.packs.format import pack_name
from lepton_ai.store.pipeline import portions


class Pieces:
    """Pieces of the packs of the repository at ``path`` of a server. Thread-safe."""

    def __init__(self, connection: Connection, path: str) -> None:
        self._connection, self._path = connection, f"{path}/packs/pieces"
        self._known = True

    def brought(self, pieces: Iterable[Piece]) -> Iterator[tuple[Piece, bytes]]:
        """Those of the pieces that the server has, each with its bytes; none from a server that is too old for this.

        Raises:
            StorageFailed: it cannot be reached.
        """
        ours = (piece for piece in pieces if pack_name(piece.blob) is not None)
        for some in portions(ours, lambda piece: piece.length, wire.PART_SIZE, wire.MOST_PIECES):
            if self._known:
                yield from self._asked(some)

    def _asked(self, pieces: Sequence[Piece]) -> Iterator[tuple[Piece, bytes]]:
        """The same for as many as one question may name; where the line breaks in the answer, in shorter ones."""
        asked = tuple(wire.Piece(pack_name(blob) or "", offset, length) for blob, offset, length in pieces)
        try:
            told: wire.Brought = self._connection.call(
                "POST", self._path, wire.Pieces(asked), wire.Brought, packed=True
            )
        except UsageError:  # whoever reads them one by one hears what is wrong
            self._known = False
        except Unreached as problem:
            if problem.before or problem.silent:
                raise
            half = len(pieces) // 2
            for some in (pieces[:half], pieces[half:]) if half else ():
                yield from self._asked(some)
        except StorageFailed:  # of its store, or of a proxy: the same
            return
        else:
            for piece, data in zip(pieces, told.data, strict=False):
                if len(data) == piece.length:
                    yield piece, data
