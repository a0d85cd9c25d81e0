"""SHA-256 of the beginning of a file, computed while the program is still being loaded.

Loading the program keeps one processor busy for a tenth of a second. Another one may hash meanwhile what is going to
be saved. What was hashed counts only if the file certainly has the same bytes when it is saved: by the rules for files
that need not be read again (docs/decisions/0011).
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from lepton_ai.history.sight import Sight, Watch

if TYPE_CHECKING:
    from hashlib import _Hash

SMALLEST = 8 << 20
"""Bytes of a file below which it is not worth a thread."""

_STEP = 8 << 20
"""Bytes between two looks whether to stop; meanwhile nothing waits for the interpreter."""


class HeadStart:
    """One file that is being hashed, in a thread."""

    def __init__(self, place: str) -> None:
        """Begin with the file at ``place``, if it is large and nobody writes to it.

        Raises:
            OSError: it cannot be read.
        """
        self._sha256, self._done, self._stop = hashlib.sha256(), 0, False
        self._descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        self._sight = Watch().lasting(self._descriptor)
        self._thread = threading.Thread(target=self._run, name="lepton-ai-head-start", daemon=True)
        if self._sight is not None and self._sight.size >= SMALLEST:
            self._thread.start()
        else:
            os.close(self._descriptor)

    def _run(self) -> None:
        buffer = bytearray(_STEP)
        view = memoryview(buffer)
        try:
            while not self._stop:
                count = os.preadv(self._descriptor, [buffer], self._done)
                if not count:
                    break
                self._sha256.update(view[:count])
                self._done += count
        except OSError:  # whoever saves the file meets it again, and says so
            pass
        finally:
            os.close(self._descriptor)

    def of(self, sight: Sight | None) -> tuple[_Hash, int] | None:
        """The hash, and of how many bytes it is, if the file that looks like ``sight`` is this one, unchanged.

        ``sight`` must be a lasting look (:meth:`Watch.lasting`). If it is this file's, the head start ends.
        """
        if sight is None or sight != self._sight or self._thread.ident is None:
            return None
        self._stop = True
        self._thread.join()
        return (self._sha256.copy(), self._done) if self._done else None

    def unneeded(self, sight: Sight) -> None:
        """Stop, if it hashes the file that looks like ``sight``: what is in that is known."""
        self._stop = self._stop or sight == self._sight


_begun: list[HeadStart] = []


def begin(places: Iterable[str]) -> None:
    """Begin with the first of the places that is a large file; for a program, as the first thing that it does."""
    for place in places:
        with suppress(OSError, ValueError):
            if os.path.isfile(place) and os.path.getsize(place) >= SMALLEST:  # noqa: PTH113, PTH202  (pathlib comes later)
                _begun[:] = [HeadStart(place)]
                return


def begun() -> HeadStart | None:
    """The head start that this program gave itself."""
    return _begun[0] if _begun else None
