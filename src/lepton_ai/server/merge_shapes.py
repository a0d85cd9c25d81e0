"""Merges as they pass over HTTP. What would run a command, read a file of the server or a git checkout is not there."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from lepton_ai.server.shapes import Made, NewFile, Number


class Way(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How what both sides changed is to be merged; see the methods of ``lepton merge``."""

    method: Annotated[str | None, Meta(examples=["ties"])] = None
    on_conflict: Annotated[str | None, Meta(examples=["theirs"])] = None
    rules: Annotated[tuple[str, ...] | None, Meta(examples=[["lm_head.*=linear:t=0.3"]])] = None
    parameters: Annotated[dict[str, Any] | None, Meta(examples=[{"density": 0.5}])] = None
    weights: tuple[float, ...] | None = None
    seed: int | None = None
    everywhere: bool | None = None
    exact: bool | None = None
    base: str | None = None
    aids: dict[str, tuple[str, ...]] | None = None
    names: Annotated[dict[str, str] | None, Meta(description="Old → new names of tensors")] = None


class Merge(Way, frozen=True, omit_defaults=True, kw_only=True):
    """A branch (or several versions) into a branch."""

    sources: Annotated[tuple[str, ...], Meta(examples=[["feature"]])]
    into: str = "main"
    message: str = ""
    fast_forward: bool = True


class Pick(Way, frozen=True, omit_defaults=True, kw_only=True):
    """One version's change, taken over to a branch or back."""

    version: str
    branch: str = "main"
    message: str = ""


class Merged(msgspec.Struct, frozen=True):
    """What a merge made; null when there was nothing new."""

    version: Made | None


class Side(msgspec.Struct, frozen=True):
    """A version that takes part."""

    version: str
    id: str


class ConflictLine(msgspec.Struct, frozen=True):
    """A conflict; ``decided`` null: nobody has decided yet."""

    name: str
    kind: Literal["tensor", "file", "meaning"]
    why: str
    decided: str | None
    by: str | None
    at: str | None
    reason: str | None
    results: dict[str, Number]


class MergeInProgress(msgspec.Struct, frozen=True, kw_only=True):
    """A merge that waits for decisions; ``open`` are the conflicts that nobody has decided."""

    branch: str
    source: str
    started_by: str
    started_at: str
    ours: tuple[Side, ...]
    theirs: tuple[Side, ...]
    base: tuple[Side, ...]
    open: tuple[str, ...]
    conflicts: tuple[ConflictLine, ...]


class Resolved(MergeInProgress, frozen=True, kw_only=True):
    """The same, after a decision; ``resolved`` are the names of what it decided."""

    resolved: tuple[str, ...]


class Decide(msgspec.Struct, frozen=True, omit_defaults=True):
    """A decision for ``target``, a conflict's name or a glob: a side to ``take``, a ``method``, or a ``file`` (of a
    tensor an .npy file). A glob leaves what is decided as it is,
    unless ``again``. ``force`` overrules what somebody else decided.
    """

    target: str
    take: Literal["", "ours", "theirs", "base"] = ""
    method: Annotated[str, Meta(examples=["slerp:t=0.3"])] = ""
    file: NewFile | None = None
    why: str = ""
    again: bool = False
    force: bool = False


class MarkedText(msgspec.Struct, frozen=True):
    """A text with both sides between conflict markers."""

    name: str
    text: str


def asked_of(way: Way) -> dict[str, Any]:
    """What was said, by the names that the verbs know."""
    told = {name: getattr(way, name) for name in Way.__struct_fields__}
    return {name: value for name, value in told.items() if value is not None}
