"""Examples for the OpenAPI document: made from what fields are called, so that every body has one that fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect

from lepton_ai.decodable import ready

HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
AT = 1_795_280_400_000_000

WORDS: Mapping[str, Any] = {
    "act": "save",
    "actor": "ada",
    "address": "192.0.2.7",
    "after": None,
    "alias": "production",
    "author": "ada",
    "before": None,
    "branch": "main",
    "into": "main",
    "created_at": AT,
    "created_by": "root",
    "days": 90,
    "description": "Handwritten digits",
    "device": "laptop",
    "expires_at": AT + 90 * 86_400_000_000,
    "id": HASH,
    "key": "branch/main",
    "kind": "version-created",
    "limit": 100,
    "message": "Trained on the cleaned data",
    "method": "ties",
    "name": "digits",
    "new": "correct horse battery",
    "old": "what it was before",
    "owner": "ada",
    "pack": HASH,
    "password": "correct horse battery",
    "path": "model.safetensors",
    "prefix": "branch/",
    "scopes": ["read", "write"],
    "secret": None,
    "sha256": HASH,
    "size": 1_048_576,
    "state": "open",
    "status": "ok",
    "tag": "paper",
    "tensor": "layers.0.weight",
    "text": "learning_rate: 0.001\n",
    "user": "ada",
    "version": "v2",
    "why": "",
}
"""What a field of this name holds in an example."""

OF: Mapping[tuple[str, str], Any] = {
    ("NewUser", "name"): "bob",
    ("User", "name"): "bob",
    ("NewToken", "name"): "laptop",
    ("Token", "name"): "laptop",
    ("NewRepository", "id"): None,
    ("NewRepository", "created_at"): None,
    ("NewVersion", "name"): "v2",
    ("KeyFile", "name"): "envelope-recovery.json",
}
"""The same for a field of one struct; None: left out."""

_DEPTH = 6


def example(kind: Any) -> Any:
    """An example of a type's JSON. None when a value cannot be made up."""
    return _of(inspect.type_info(kind), _DEPTH)


def fits(kind: Any, value: Any) -> bool:
    """Whether ``value`` is a body of this type."""
    try:
        msgspec.convert(value, ready(kind))
    except msgspec.ValidationError:
        return False
    return True


def _of(kind: inspect.Type, depth: int) -> Any:  # noqa: PLR0911  (one line a kind of type)
    if isinstance(kind, inspect.Metadata):
        return _of(kind.type, depth)
    if isinstance(kind, inspect.StructType):
        name = kind.cls.__name__
        shown = [field for field in kind.fields if _shown(name, field, depth)]
        return {field.encode_name: _field(name, field, depth - 1) for field in shown}
    if isinstance(kind, inspect.UnionType):
        return _of(min(kind.types, key=lambda one: isinstance(one, inspect.NoneType)), depth)
    if isinstance(kind, inspect.LiteralType):
        return kind.values[0]
    if isinstance(kind, inspect.EnumType):
        return next(iter(kind.cls)).value
    if isinstance(kind, inspect.TupleType):
        return [_of(one, depth - 1) for one in kind.item_types]
    if isinstance(kind, inspect.CollectionType):
        return [] if depth <= 0 else [_of(kind.item_type, depth - 1)]
    if isinstance(kind, inspect.DictType):
        return {}
    plain = {
        inspect.BoolType: True, inspect.IntType: 1, inspect.FloatType: 0.5, inspect.StrType: "text",
        inspect.BytesType: "AAEC", inspect.NoneType: None, inspect.AnyType: {},
    }  # fmt: skip
    return next((value for of, value in plain.items() if isinstance(kind, of)), None)


def _word(struct: str, field: str) -> Any:
    return OF[struct, field] if (struct, field) in OF else WORDS.get(field)


def _field(struct: str, field: inspect.Field, depth: int) -> Any:
    told = _word(struct, field.encode_name)
    if told is not None or field.encode_name in WORDS:
        kinds = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
        if any(_takes(kind, told) for kind in kinds):
            return told
    return _of(field.type, depth)


def _shown(struct: str, field: inspect.Field, depth: int) -> bool:
    """Whatever must be there, and at the top also what has a word of its own."""
    return field.required or (depth == _DEPTH and _word(struct, field.encode_name) is not None)


def _takes(kind: inspect.Type, told: Any) -> bool:
    fitting: tuple[tuple[type, type], ...] = (
        (inspect.StrType, str),
        (inspect.IntType, int),
        (inspect.NoneType, type(None)),
    )
    if any(isinstance(kind, of) and isinstance(told, plain) for of, plain in fitting):
        return True
    if isinstance(kind, inspect.LiteralType):
        return told in kind.values
    return isinstance(kind, inspect.CollectionType) and isinstance(told, list)
