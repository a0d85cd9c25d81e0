"""What PyTorch's pickles mean: which of their inert values are tensors, and what they are called.

Names follow ``state_dict``: "layer.weight"; nested dicts join their keys with dots, lists give indices
("optimizer.state.0.exp_avg"). A pickled module shows its parameters, buffers and submodules at its own level,
as its state dict would, then its other attributes.
What is made by a function that is not known here (quantised, sparse and other kinds) shows the plain tensors and
storages that went into it by the number of the argument.

Source: https://github.com/pytorch/pytorch/blob/v2.13.0/torch/_utils.py, torch/serialization.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from lepton_ai.formats.contract import MAX_DIMENSIONS, Malformed
from lepton_ai.formats.pickles import Global, Persistent, Pickle, Record, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DTYPES = {
    **{
        name: (name, bits)
        for bits, names in {
            8: "bool int8 uint8 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu",
            16: "int16 uint16 float16 bfloat16",
            32: "int32 uint32 float32",
            64: "int64 uint64 float64 complex64",
            128: "complex128",
        }.items()
        for name in names.split()
    },
    "complex32": ("torch.complex32", 32),
    "float4_e2m1fn_x2": ("torch.float4_e2m1fn_x2", 8),
}
"""torch's name → ours and bits per element; names with a dot are types that numpy does not have."""

_STORAGES = {
    f"torch.{name}Storage": dtype
    for name, dtype in {
        "Double": DTYPES["float64"],
        "Float": DTYPES["float32"],
        "Half": DTYPES["float16"],
        "BFloat16": DTYPES["bfloat16"],
        "Long": DTYPES["int64"],
        "Int": DTYPES["int32"],
        "Short": DTYPES["int16"],
        "Char": DTYPES["int8"],
        "Byte": DTYPES["uint8"],
        "Bool": DTYPES["bool"],
        "ComplexDouble": DTYPES["complex128"],
        "ComplexFloat": DTYPES["complex64"],
        # Quantised numbers as they are stored; scale and zero point are other arguments of their tensor.
        "QInt8": DTYPES["int8"],
        "QUInt8": DTYPES["uint8"],
        "QInt32": DTYPES["int32"],
        "QUInt4x2": DTYPES["uint8"],
        "QUInt2x4": DTYPES["uint8"],
        "Untyped": DTYPES["uint8"],
    }.items()
}
_STORAGES["torch.storage.UntypedStorage"] = DTYPES["uint8"]

_MODULE_PARTS = ("_parameters", "_buffers", "_modules")
_OPENED = (Record, Table, list, tuple, Persistent)
_Pairs: TypeAlias = list[tuple[str, Any]]
MAX_DEPTH = 500


class View(msgspec.Struct, frozen=True):
    """A tensor: which elements of which storage. ``offset`` and ``strides`` count elements of ``bits`` bits.

    ``storage_bytes`` is None where the file does not say it.
    """

    storage: str
    storage_bytes: int | None
    dtype: str
    bits: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def named_views(pickle: Pickle, name: str = "") -> Iterator[tuple[str, View]]:
    """Every tensor in a pickle with its name, below ``name``; shared ones appear under each of their names.

    Walks in the order of the pickle. Values that contain themselves are entered once.

    Raises:
        Malformed: a tensor's description makes no sense, values nest too deeply, or sharing makes their walk
            (or their names) longer than the pickle can account for.
    """
    return _Walk(pickle).run(pickle.value, name)


class _Walk:
    """Opens values and counts what that costs: sharing can make a short pickle endless."""

    def __init__(self, pickle: Pickle) -> None:
        self.steps = 2 * pickle.opcodes + 1000
        self.letters = 16 * self.steps + (1 << 20)

    def spend(self, steps: int, letters: int = 0) -> None:
        self.steps -= steps
        self.letters -= letters
        if self.steps < 0 or self.letters < 0:
            raise Malformed("a pickle whose values are shared so often that walking them has no end")

    def run(self, value: Any, name: str) -> Iterator[tuple[str, View]]:
        entered: set[int] = set()
        trail: list[tuple[str, int, Iterator[tuple[str, Any]]]] = [(name, 0, iter([("", value)]))]
        while trail:
            prefix, identity, rest = trail[-1]
            key, child = next(rest, ("", None))
            if child is None:
                trail.pop()
                entered.discard(identity)
            elif id(child) not in entered:
                label = f"{prefix}.{key}" if prefix and key else prefix or key
                self.spend(1, len(label))
                view, children = self.opened(child)
                if view is not None:
                    yield label or "tensor", view
                entered.add(id(child))
                trail.append((label, id(child), iter(children)))
            if len(trail) > MAX_DEPTH:
                raise Malformed("a pickle that nests too deeply")

    def opened(self, value: Any) -> tuple[View | None, Iterable[tuple[str, Any]]]:
        """The tensor that a value is, and what else is in it."""
        if isinstance(value, Persistent):
            storage, dtype, bits, count = _storage(value)
            return View(storage, count * bits // 8, dtype, bits, 0, (count,), (1,)), []
        if isinstance(value, Record):
            tensor, extra = self.unwrapped(value)
            view = _view(tensor)
            return (view, extra) if view is not None else (None, self.contents(value))
        return None, self.pairs(value) if isinstance(value, Table) else self.items(value)

    def items(self, values: Any) -> Iterator[tuple[str, Any]]:
        """What a list or tuple has, by index, one by one: there may be a million."""
        if isinstance(values, list | tuple):
            self.spend(len(values))
            yield from ((str(index), item) for index, item in enumerate(values) if isinstance(item, _OPENED))

    def pairs(self, table: Any) -> _Pairs:
        """What a dict has, by the text of its keys; a key said twice counts with its last value."""
        if not isinstance(table, Table):
            return []
        self.spend(len(table.flat))
        found: dict[tuple[bool, str], Any] = {}
        for index in range(0, len(table.flat), 2):
            key = table.flat[index]
            simple = key is None or isinstance(key, str | int)
            found[isinstance(key, str), str(key) if simple else f"key{index // 2}"] = table.flat[index + 1]
        return [(text, value) for (_, text), value in found.items() if isinstance(value, _OPENED)]

    def contents(self, record: Record) -> _Pairs:
        """What is in an object that is no tensor: arguments, items, then attributes."""
        found = [*self.items(record.args), *self.items(record.items), *self.pairs(record.table)]
        for state in record.state[:2] if isinstance(record.state, tuple) else (record.state,):
            found += self.attributes(state)
        return found

    def attributes(self, state: Any) -> _Pairs:
        pairs = self.pairs(state)
        parts = {key: value for key, value in pairs if key in _MODULE_PARTS}
        found: _Pairs = []
        for part in _MODULE_PARTS:
            value = parts.get(part)
            found += self.pairs(value.table if isinstance(value, Record) else value)
        return found + [(key, value) for key, value in pairs if key not in _MODULE_PARTS]

    def unwrapped(self, record: Record) -> tuple[Record, _Pairs]:
        """The plain tensor within a parameter or a subclass, and the attributes that were given to it."""
        extra: _Pairs = []
        for _ in range(4):
            args = record.args if isinstance(record.args, tuple) else ()
            match _call(record), args:
                case "torch._utils._rebuild_parameter", (Record() as inner, _, _):
                    record = inner
                case "torch._utils._rebuild_parameter_with_state", (Record() as inner, _, _, state):
                    extra += self.attributes(state)
                    record = inner
                case "torch._tensor._rebuild_from_type_v2", (
                    Global() as call,
                    _,
                    tuple() as inner_args,
                    state,
                ):
                    extra += self.attributes(state)
                    record = Record(call, inner_args)
                case _:
                    break
        return record, extra


def _call(record: Record) -> str:
    return record.call.name if isinstance(record.call, Global) else ""


def _view(record: Record) -> View | None:
    """The tensor that a record makes, None when it makes something else.

    Conjugated and negated tensors are something else: their bytes are not their values.
    """
    call, args = _call(record), record.args
    if call not in {"torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3"}:
        return None
    typed = call.endswith("v3")
    plain = 7 if typed else 6
    if (
        not isinstance(args, tuple)
        or len(args) not in {plain, plain + 1}
        or not isinstance(args[0], Persistent)
    ):
        raise Malformed("a tensor without a storage")
    if (
        len(args) > plain
        and args[plain] is not None
        and not (isinstance(args[plain], Table) and not args[plain].flat)
    ):
        return None
    key, dtype, bits, count = _storage(args[0])
    size = count * bits // 8
    if typed:
        dtype, bits = _dtype(args[6])
    offset, shape, strides = args[1:4]
    if not _natural(offset) or not _naturals(shape) or not _naturals(strides) or len(shape) != len(strides):
        raise Malformed("a tensor whose shape makes no sense")
    return View(key, size, dtype, bits, offset, shape, strides)


def _storage(value: Persistent) -> tuple[str, str, int, int]:
    """Key, element type, bits per element and number of elements of a storage."""
    match value.id:
        case ("storage", Global() as kind, str() as key, str(), int() as count, *_) if count >= 0:
            if kind.name not in _STORAGES:
                raise Malformed(f"a storage of kind {kind.name[:80]!r}")
            dtype, bits = _STORAGES[kind.name]
            return key, dtype, bits, count
    raise Malformed("a storage that makes no sense")


def _dtype(value: Any) -> tuple[str, int]:
    name = value.name.removeprefix("torch.") if isinstance(value, Global) else ""
    if name not in DTYPES:
        raise Malformed(f"elements of type {name[:80]!r}")
    return DTYPES[name]


def _natural(value: Any) -> bool:
    return type(value) is int and value >= 0


def _naturals(values: Any) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) <= MAX_DIMENSIONS
        and all(_natural(value) for value in values)
    )
