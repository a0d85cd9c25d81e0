"""The seals that ship with the package."""

from __future__ import annotations

import pytest

from lepton_ai.errors import Damaged
from lepton_ai.store.seal.aesgcm import AesGcmSeal
from lepton_ai.store.seal.plain import PlainSeal
from lepton_ai.testing.seal import SealSuite


class TestAesGcm(SealSuite):
    seal = AesGcmSeal(bytes(range(32)), b"8 bytes.")

    def test_the_same_payload_never_looks_the_same(self) -> None:
        bodies = {b"".join(self.seal.seal(b"payload", b"")) for _ in range(100)}
        assert len({body[:12] for body in bodies}) == len(bodies) == 100

    def test_the_payload_is_not_to_be_seen(self) -> None:
        assert b"secret" not in b"".join(self.seal.seal(b"secret" * 10, b""))

    def test_another_key_does_not_open_it(self) -> None:
        with pytest.raises(Damaged):
            AesGcmSeal(bytes(32), b"8 bytes.").open(b"".join(self.seal.seal(b"x", b"")), b"")

    def test_it_is_the_aes_gcm_of_everybody_else(self) -> None:
        """NIST's test case 14 of the GCM specification: a zero key, nonce and block."""
        body = bytes(12) + bytes.fromhex(
            "cea7403d4d606b6e074ec5d3baf39d18" + "d0d1c8a799996bf0265b98b5d48ab919"
        )
        assert AesGcmSeal(bytes(32), bytes(8)).open(body, b"") == bytes(16)


class TestPlain(SealSuite):
    seal = PlainSeal()
