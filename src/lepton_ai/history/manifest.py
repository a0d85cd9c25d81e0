"""A file of a version as the store keeps it: its blocks, and where its tensors sit."""

from __future__ import annotations

import msgspec

from lepton_ai.decodable import ready
from lepton_ai.errors import TooNew
from lepton_ai.formats.contract import Tensor
from lepton_ai.store.contract import Content

SCHEMA = 1


class Manifest(msgspec.Struct, frozen=True):
    """What is sealed in the store for each distinct file content.

    ``sha256`` is that of the file: the manifest is sealed, the table that leads to it is not. Manifests of before have
    none. ``format`` is the reader that understood it ("opaque" when none did), ``note`` says why not. The extents of
    ``tensors`` count bytes of the file, or of a neighbour named relative to the file's folder.
    """

    content: Content
    format: str
    tensors: tuple[Tensor, ...] = ()
    note: str = ""
    sha256: bytes = b""
    schema: int = SCHEMA


def encode(manifest: Manifest) -> bytes:
    """MessagePack of the manifest."""
    return msgspec.msgpack.encode(manifest)


def decode(data: bytes) -> Manifest:
    """Read a manifest back.

    Raises:
        TooNew: it has a form that this version of the tool does not know.
    """
    try:
        manifest = msgspec.msgpack.decode(data, type=ready(Manifest))
    except msgspec.ValidationError as problem:
        raise TooNew(f"a manifest has an unknown form: {problem}", hint="use a newer lepton-ai") from problem
    if manifest.schema != SCHEMA:
        raise TooNew(f"a manifest has schema {manifest.schema}", hint="use a newer lepton-ai")
    return manifest
