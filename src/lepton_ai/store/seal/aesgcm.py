"""AES-256-GCM: body = nonce (12 random bytes) · ciphertext · tag (16 bytes).

Source: NIST SP 800-38D. With random nonces one key may seal 2^32 objects; a repository of that many blocks holds 4 PiB,
and keys rotate.
"""

from __future__ import annotations

import os

from lepton_ai.errors import Damaged
from lepton_ai.store.seal.contract import Bytes

NONCE = 12
TAG = 16


class AesGcmSeal:
    """Seals with one key."""

    number = 1
    overhead = NONCE + TAG

    def __init__(self, key: bytes, key_id: bytes) -> None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.key_id = key_id
        self._cipher = AESGCM(key)
        self._refusal = InvalidTag

    def seal(self, payload: Bytes, associated: bytes) -> tuple[bytes, ...]:
        """Encrypt and authenticate."""
        nonce = os.urandom(NONCE)
        return nonce, self._cipher.encrypt(nonce, payload, associated)

    def open(self, body: Bytes, associated: bytes) -> bytes:
        """Check and decrypt."""
        view = memoryview(body)
        if len(view) < self.overhead:
            raise Damaged("the sealed bytes are cut")
        try:
            return self._cipher.decrypt(view[:NONCE], view[NONCE:], associated)
        except self._refusal:
            raise Damaged("the sealed bytes are not what was written") from None
