"""What a save says when it holds the weights of the version before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.reading import Reader
from lepton_ai.history.record import content_id, parse_record
from lepton_ai.history.refs.contract import VersionRow
from lepton_ai.later import Later
from lepton_ai.types import Record

if TYPE_CHECKING:
    from lepton_ai.history import sameness
else:
    sameness = Later("lepton_ai.history.sameness")


def said(home: AnyHome, before: Record | object, row: VersionRow, *, perhaps: bool) -> tuple[str, ...]:
    """The sentence, if there is one to say. ``perhaps``: all large tensors are known to be those of ``before``,
    which is the record of the version before it, if there is one."""
    if not isinstance(before, Record):
        return ()
    files = parse_record(row.record, row.id).files
    if content_id(files) == content_id(before.files):
        return (f"it holds identical weights to {before.name}: the files are the same, byte for byte",)
    if perhaps and sameness.identical(Reader(home.history, home.store), before.files, files):
        return (f"it holds identical weights to {before.name}; the files differ beside them",)
    return ()
