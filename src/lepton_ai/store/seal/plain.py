"""No encryption: body = payload · first 16 bytes of BLAKE3(length of associated (u32) · associated · payload).

The check value is no protection against people, only against disks: it makes any flipped bit an error, also one that
would not change the decoded bytes.
"""

from __future__ import annotations

from blake3 import blake3

from lepton_ai.errors import Damaged
from lepton_ai.store.seal.contract import Bytes

CHECK = 16


class PlainSeal:
    """Seals with nothing but a check value."""

    number = 0
    key_id = bytes(8)
    overhead = CHECK

    def seal(self, payload: Bytes, associated: bytes) -> tuple[bytes, ...]:
        """Append the check value."""
        return bytes(payload), _check(payload, associated)

    def open(self, body: Bytes, associated: bytes) -> memoryview:
        """Compare the check value."""
        view = memoryview(body)
        if len(view) < CHECK:
            raise Damaged("the stored bytes are cut")
        payload = view[: len(view) - CHECK]
        if _check(payload, associated) != view[len(payload) :]:
            raise Damaged("the stored bytes are not what was written")
        return payload


def _check(payload: Bytes, associated: bytes) -> bytes:
    return blake3(len(associated).to_bytes(4, "little") + associated).update(payload).digest(length=CHECK)
