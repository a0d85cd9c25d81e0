"""Look at a pickle without unpickling it: a machine that knows the harmless opcodes and builds inert values.

What the pickle would import becomes a :class:`Global` that holds a name, what it would call becomes a
:class:`Record` that holds the arguments. Nothing named in a pickle is ever imported, called or looked up.
Opcodes of protocol 0 (text) and of registries and buffers outside of the pickle are refused.

Cost: a bounded number of steps, each of which makes at most one value; containers and the memo are bounded more
tightly, both by the size of the file that the pickle is in: a deflated one may be a thousand times its size.
Values can be shared and can contain themselves, so whoever walks them must count its steps.

Source: https://github.com/python/cpython/blob/3.11/Lib/pickletools.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

import msgspec

from lepton_ai.formats.contract import Malformed

MAX_PICKLE = 64 << 20
MAX_OPCODES = 4_000_000
MAX_CONTAINERS = 1_500_000
FREE_OPCODES, BYTES_PER_OPCODE = 400_000, 2
FREE_CONTAINERS, BYTES_PER_CONTAINER = 200_000, 8
"""So many are free, and one more for so many bytes of the file. A tensor takes 50 opcodes, 10 of them make or keep a
container, and at least 500 bytes."""

MAX_TEXT = 4096
"""Longer strings can be no names: they become OPAQUE."""


class Opaque:
    """A value of no interest: bytes, a float, a long string, a huge number."""

    __slots__ = ()


OPAQUE = Opaque()


class Global:
    """Something the pickle would import: "torch._utils._rebuild_tensor_v2"."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Persistent:
    """Something outside of the pickle, by its id."""

    __slots__ = ("id",)

    def __init__(self, id_: Any) -> None:
        self.id = id_


class Table:
    """A dict, as a list of key, value, key, value …: keys need not be hashable, later ones win."""

    __slots__ = ("flat",)

    def __init__(self) -> None:
        self.flat: list[Any] | tuple[()] = ()


class Record:
    """What calling ``call`` with ``args`` would give, with what is then put into it."""

    __slots__ = ("args", "call", "items", "state", "table")

    def __init__(self, call: Any, args: Any) -> None:
        self.call, self.args = call, args
        self.state: Any = None
        self.table: Table | None = None
        self.items: list[Any] | None = None


class Pickle(msgspec.Struct, frozen=True):
    """The value of a pickle, and how many opcodes it took: a measure for what its walk may cost."""

    value: Any
    opcodes: int


def load(data: bytes, file_size: int | None = None, spent: int = 0) -> Pickle:
    """Read the first pickle in ``data`` into inert values.

    ``file_size`` is that of the file it is in, if it is in one: a deflated member is not worth its own size. ``spent``
    are the opcodes of that file's other pickles.

    Raises:
        Malformed: it is cut, too large, or uses an opcode that is not known here.
    """
    if len(data) > MAX_PICKLE:
        raise Malformed(f"a pickle of {len(data)} bytes")
    return _Machine(data, len(data) if file_size is None else file_size, spent).run()


class _Machine:
    def __init__(self, data: bytes, size: int, spent: int) -> None:
        self.data, self.place = data, 0
        self.most_opcodes = max(0, min(MAX_OPCODES, FREE_OPCODES + size // BYTES_PER_OPCODE) - spent)
        self.most_containers = min(MAX_CONTAINERS, FREE_CONTAINERS + size // BYTES_PER_CONTAINER)
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.containers = 0

    def run(self) -> Pickle:
        data, size = self.data, len(self.data)
        for count in range(self.most_opcodes):
            if self.place >= size:
                self.cut()
            code = data[self.place]
            self.place += 1
            if code == 0x2E:  # STOP
                return Pickle(self.pop(), count + 1)
            step = _STEPS.get(code)
            if step is None:
                raise Malformed(f"a pickle with opcode {code:#04x}, which is not known here")
            step(self)
        raise Malformed(f"a pickle of more than {self.most_opcodes} opcodes")

    def cut(self) -> NoReturn:
        raise Malformed("a pickle that is cut")

    def take(self, length: int) -> bytes:
        """The next bytes of the pickle."""
        end = self.place + length
        if end > len(self.data):
            self.cut()
        result = self.data[self.place : end]
        self.place = end
        return result

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_container(self, value: Any) -> None:
        self.containers += 1
        if self.containers > self.most_containers:
            raise Malformed(f"a pickle of more than {self.most_containers} containers")
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise Malformed("a pickle that takes what is not there")
        return self.stack.pop()

    def top(self) -> Any:
        value = self.pop()
        self.stack.append(value)
        return value

    def marked(self) -> list[Any]:
        """Take off everything above the last mark."""
        if not self.marks:
            raise Malformed("a pickle that takes what is not there")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def discard(self) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.pop()

    def text(self, width: int) -> None:
        """A string, when it is text: Python 2 wrote bytes the same way, and lone surrogates are none."""
        data = self.take(self.number(width))
        try:
            self.push(data.decode() if len(data) <= MAX_TEXT else OPAQUE)
        except UnicodeDecodeError:
            self.push(OPAQUE)

    def skip(self, width: int) -> None:
        """Bytes of no interest, and where they are pushed as a value."""
        self.place += self.number(width)
        if self.place > len(self.data):
            self.cut()
        self.push(OPAQUE)

    def integer(self, width: int) -> None:
        self.push(int.from_bytes(self.take(width), "little", signed=True))

    def long(self, width: int) -> None:
        length = self.number(width)
        data = self.take(length)
        self.push(int.from_bytes(data, "little", signed=True) if length <= 16 else OPAQUE)

    def floating(self) -> None:
        self.take(8)
        self.push(OPAQUE)

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push_container(tuple(reversed(values)))

    def put(self, index: int) -> None:
        self.memo[index] = self.top()
        if len(self.memo) > self.most_containers:
            raise Malformed(f"a pickle that keeps more than {self.most_containers} values")

    def get(self, width: int) -> None:
        index = self.number(width)
        if index not in self.memo:
            raise Malformed("a pickle that recalls what it never kept")
        self.push(self.memo[index])

    def global_(self) -> None:
        """Two lines of text: module and name."""
        names = []
        for _ in range(2):
            end = self.data.find(b"\n", self.place, self.place + MAX_TEXT)
            if end < 0:
                self.cut()
            names.append(self.data[self.place : end].decode("utf-8", "replace"))
            self.place = end + 1
        self.push_container(Global(".".join(names)))

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise Malformed("a pickle that imports what has no name")
        self.push_container(Global(f"{module}.{name}"))

    def call(self) -> None:
        args, call = self.pop(), self.pop()
        self.push_container(Record(call, args))

    def call_with_keywords(self) -> None:
        keywords, args, call = self.pop(), self.pop(), self.pop()
        self.push_container(Record(call, (args, keywords)))

    def build(self) -> None:
        state, target = self.pop(), self.top()
        if isinstance(target, Record):
            target.state = state

    def set_items(self, values: list[Any]) -> None:
        target = self.top()
        if isinstance(target, Record):
            if target.table is None:
                target.table = Table()
            target = target.table
        if not isinstance(target, Table) or len(values) % 2:
            raise Malformed("a pickle that sets items of what has none")
        if target.flat:
            target.flat += values
        else:
            target.flat = values

    def append(self, values: list[Any]) -> None:
        target = self.top()
        if isinstance(target, Record):
            if target.items is None:
                target.items = []
            target = target.items
        if not isinstance(target, list):
            raise Malformed("a pickle that appends to what is no list")
        target += values


_Step: TypeAlias = Callable[[_Machine], Any]

_STEPS: dict[int, _Step] = {
    0x80: lambda m: m.take(1),  # PROTO
    0x95: lambda m: m.take(8),  # FRAME
    0x28: _Machine.mark,
    0x30: _Machine.discard,  # POP
    0x31: _Machine.marked,  # POP_MARK
    0x32: lambda m: m.push(m.top()),  # DUP
    0x4E: lambda m: m.push(None),  # NONE
    0x88: lambda m: m.push(True),  # NEWTRUE
    0x89: lambda m: m.push(False),  # NEWFALSE
    0x4A: lambda m: m.integer(4),  # BININT
    0x4B: lambda m: m.push(m.number(1)),  # BININT1
    0x4D: lambda m: m.push(m.number(2)),  # BININT2
    0x8A: lambda m: m.long(1),  # LONG1
    0x8B: lambda m: m.long(4),  # LONG4
    0x47: _Machine.floating,  # BINFLOAT
    0x8C: lambda m: m.text(1),  # SHORT_BINUNICODE
    0x58: lambda m: m.text(4),  # BINUNICODE
    0x8D: lambda m: m.text(8),  # BINUNICODE8
    0x43: lambda m: m.skip(1),  # SHORT_BINBYTES
    0x42: lambda m: m.skip(4),  # BINBYTES
    0x8E: lambda m: m.skip(8),  # BINBYTES8
    0x96: lambda m: m.skip(8),  # BYTEARRAY8
    0x55: lambda m: m.text(1),  # SHORT_BINSTRING
    0x54: lambda m: m.text(4),  # BINSTRING
    0x29: lambda m: m.push(()),  # EMPTY_TUPLE
    0x85: lambda m: m.tuple_of(1),  # TUPLE1
    0x86: lambda m: m.tuple_of(2),  # TUPLE2
    0x87: lambda m: m.tuple_of(3),  # TUPLE3
    0x74: lambda m: m.push_container(tuple(m.marked())),  # TUPLE
    0x5D: lambda m: m.push_container([]),  # EMPTY_LIST
    0x8F: lambda m: m.push_container([]),  # EMPTY_SET
    0x91: lambda m: m.push_container(m.marked()),  # FROZENSET
    0x7D: lambda m: m.push_container(Table()),  # EMPTY_DICT
    0x61: lambda m: m.append([m.pop()]),  # APPEND
    0x65: lambda m: m.append(m.marked()),  # APPENDS
    0x90: lambda m: m.append(m.marked()),  # ADDITEMS
    0x73: lambda m: m.set_items([m.pop(), m.pop()][::-1]),  # SETITEM
    0x75: lambda m: m.set_items(m.marked()),  # SETITEMS
    0x71: lambda m: m.put(m.number(1)),  # BINPUT
    0x72: lambda m: m.put(m.number(4)),  # LONG_BINPUT
    0x94: lambda m: m.put(len(m.memo)),  # MEMOIZE
    0x68: lambda m: m.get(1),  # BINGET
    0x6A: lambda m: m.get(4),  # LONG_BINGET
    0x63: _Machine.global_,
    0x93: _Machine.stack_global,
    0x52: _Machine.call,  # REDUCE
    0x81: _Machine.call,  # NEWOBJ
    0x92: _Machine.call_with_keywords,  # NEWOBJ_EX
    0x51: lambda m: m.push_container(Persistent(m.pop())),  # BINPERSID
    0x62: _Machine.build,
}
