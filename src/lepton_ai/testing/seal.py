"""What every seal promises."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lepton_ai.errors import Damaged
from lepton_ai.store.packs.format import KEY_ID_SIZE
from lepton_ai.store.seal.contract import Seal

_INHERITED = settings(suppress_health_check=[HealthCheck.differing_executors], deadline=None)
"""A suite is there to be run by several classes; and timing is no promise of it."""


class SealSuite:
    """Subclass it, and set ``seal``."""

    seal: Seal

    def test_it_has_a_number_and_a_key_id(self) -> None:
        """They stand in every object's header."""
        assert 0 <= self.seal.number < 256
        assert len(self.seal.key_id) == KEY_ID_SIZE

    @_INHERITED
    @given(st.binary(max_size=300), st.binary(max_size=100))
    def test_opening_gives_back_what_was_sealed(self, payload: bytes, associated: bytes) -> None:
        """Second law; the overhead is as announced, for it stands in the header that is sealed along."""
        body = b"".join(self.seal.seal(payload, associated))
        assert len(body) == len(payload) + self.seal.overhead
        assert bytes(self.seal.open(body, associated)) == payload
        assert bytes(self.seal.open(memoryview(b"x" + body)[1:], associated)) == payload

    @_INHERITED
    @given(st.binary(max_size=60), st.binary(min_size=1, max_size=60), st.integers(0, 2**32))
    def test_any_changed_bit_is_damage(self, payload: bytes, associated: bytes, place: int) -> None:
        """In the body and in the associated bytes."""
        body = b"".join(self.seal.seal(payload, associated))
        with pytest.raises(Damaged):
            self.seal.open(_flipped(body, place), associated)
        with pytest.raises(Damaged):
            self.seal.open(body, _flipped(associated, place))

    @_INHERITED
    @given(st.binary(max_size=60), st.integers(0, 2**32), st.binary(min_size=1, max_size=40))
    def test_cut_and_lengthened_bodies_are_damage(self, payload: bytes, place: int, more: bytes) -> None:
        """At any place."""
        body = b"".join(self.seal.seal(payload, b"associated"))
        for damaged in (
            body[: place % len(body)],
            body[1 + place % len(body) :],
            body + more,
            more + body,
            b"",
        ):
            with pytest.raises(Damaged):
                self.seal.open(damaged, b"associated")

    def test_associated_bytes_and_payload_do_not_run_together(self) -> None:
        """Moving the border between them is damage."""
        body = b"".join(self.seal.seal(b"cdef", b"ab"))
        for associated in (b"", b"a", b"abc", b"abcdef"):
            with pytest.raises(Damaged):
                self.seal.open(body, associated)
        with pytest.raises(Damaged):
            self.seal.open(b"b" + body, b"a")
        with pytest.raises(Damaged):
            self.seal.open(body[1:], b"abc")


def _flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place % len(data)] ^= 1 << place // len(data) % 8
    return bytes(changed)
