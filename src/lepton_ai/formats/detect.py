"""Find the reader for each file of a version and ask it where the tensors are.

Files that several formats claim go to the first in the order of registration; a file that a neighbour
describes (ONNX external data, SavedModel shards) follows that neighbour, unless a reader knew it itself.
"""

from __future__ import annotations

import posixpath
import warnings
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import cast

import msgspec

from lepton_ai.formats import opaque
from lepton_ai.formats.contract import (
    Expecting,
    Format,
    Layout,
    Malformed,
    Segment,
    Source,
    check_partition,
)
from lepton_ai.formats.plain_text import LFS_POINTER
from lepton_ai.formats.plugins import plugins

HEAD = 4096
LONGEST_NOTE = 600
GROUP = "lepton_ai.formats"


@cache
def formats() -> tuple[Format, ...]:
    """Every reader that is installed, ours and strangers', by name."""
    loaded = []
    for plugin in plugins(GROUP):
        try:
            loaded.append(cast("Format", plugin.load()))
        except Exception as problem:  # noqa: BLE001  (a broken plugin must not forbid every save; it is told)
            text = f"the reader {plugin.name!r} ({plugin.value}) cannot be used: {type(problem).__name__}: {problem}"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
    return tuple(loaded)


def layouts(
    folder: Mapping[str, Source],
    readers: Iterable[Format] | None = None,
    *,
    only: Collection[str] | None = None,
) -> dict[str, Layout]:
    """The layout of every file in ``folder`` (path → bytes). Never fails: what is not understood is opaque.

    ``only``: of these files; others are read where these need them.
    """
    known = tuple(formats() if readers is None else readers)
    found: dict[str, Layout] = {}
    described: dict[str, tuple[Segment, ...]] = {}
    for path in sorted(folder if only is None else only):
        layout = _layout(path, folder, known)
        found[path] = layout
        for relative, segments in layout.companions.items():
            described.setdefault(_beside(path, relative), segments)
    for path, segments in described.items():
        if path in found and found[path].format == "opaque":
            found[path] = Layout("tensor data", segments)
    return found


def _layout(path: str, folder: Mapping[str, Source], known: tuple[Format, ...]) -> Layout:
    source = folder[path]
    head = source.read(0, min(HEAD, source.size))
    notes = []
    for reader in known:
        if not reader.claims(path, head):
            continue
        try:
            layout = reader.layout(path, source, folder)
            _check(layout, path, folder)
        except Malformed as refusal:
            notes.append(f"not read as {reader.name}: {refusal}")
        except Exception as bug:  # noqa: BLE001  (a reader's bug must not cost the user the save; the note tells it)
            notes.append(f"the reader for {reader.name} failed on it: {type(bug).__name__}: {bug}")
        else:
            return msgspec.structs.replace(layout, note=shown(layout.note)) if layout.note else layout
    return opaque.layout(source.size, shown("; ".join(notes) or _against_its_name(path, head, known)))


def _against_its_name(path: str, head: bytes, known: Iterable[Format]) -> str:
    """What to tell about a file that no reader claims although one expects it by its name."""
    expected = [reader for reader in known if isinstance(reader, Expecting) and reader.expects(path, head)]
    if not expected:
        return ""
    what = "it does not begin like such a file"
    if not head:
        what = "it is empty"
    elif head.startswith(LFS_POINTER):
        what = "it is a pointer of Git LFS, not the file itself (git lfs pull fetches that)"
    return f"not read as {expected[0].name}: {what}"


def shown(text: str) -> str:
    """A note as it can be stored and shown: it may quote names out of a hostile file, or a plugin's own words."""
    start = text[:LONGEST_NOTE].encode("utf-8", "backslashreplace").decode()
    cut = "…" if len(text) > LONGEST_NOTE else ""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in start) + cut


def _check(layout: Layout, path: str, folder: Mapping[str, Source]) -> None:
    """Hold a reader's answer against the first law; readers may be strangers' plugins."""
    check_partition(layout.segments, folder[path].size)
    for relative, segments in layout.companions.items():
        place = _beside(path, relative)
        if place not in folder:
            raise Malformed(f"it describes {relative!r}, which is not there")
        check_partition(segments, folder[place].size)


def _beside(path: str, relative: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), relative))
