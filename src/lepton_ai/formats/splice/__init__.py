"""New elements for some tensors of a file → the whole new file, without the format's framework.

``splice(path, described, folder, changes)`` gives, for every file that is touched, a Source of all its bytes: those of
the file as it was, but for the replaced tensors and whatever in the file depends on them: checksums, lengths, places.
``refusals`` tells beforehand which tensors cannot be replaced.
"""

from __future__ import annotations

from lepton_ai.formats.splice.contract import Described, Refused
from lepton_ai.formats.splice.elements import elements_size
from lepton_ai.formats.splice.files import refusals, splice

__all__ = ["Described", "Refused", "elements_size", "refusals", "splice"]
