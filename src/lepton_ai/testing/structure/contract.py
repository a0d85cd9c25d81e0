"""What a structure-aware mutator is."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeAlias

Mutator: TypeAlias = Callable[[bytes, random.Random], bytes]
"""Takes a file and gives it back with a lie in it. The same numbers from the generator give the same lie."""


class NotStructured(Exception):
    """The bytes cannot be taken apart (they are damaged already): mutate them blindly."""
