"""The stranger's tiles, from docs/format.md alone like the rest of it."""

from __future__ import annotations

import struct


def _unzigzag(z: int) -> int:
    return (z >> 1) ^ -(z & 1)


class _Bits:
    def __init__(self, data: bytes) -> None:
        self.value, self.left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        self.left -= count
        assert self.left >= 0
        value = self.value & ((1 << count) - 1)
        self.value >>= count
        return value


class _Coder:
    """States and words: symbols by context."""

    def __init__(self, tables: bytes, count: int, states: bytes, words: bytes) -> None:
        bits = _Bits(tables)
        ones = [bits.take(1) for _ in range(147)]
        assert sum(ones) == count - 1
        of = [_table(bits) for _ in range(count)]
        self.tables = [of[sum(ones[: c + 1])] for c in range(147)]
        self.states = list(struct.unpack(f"<{len(states) // 4}I", states))
        self.words = list(reversed(struct.unpack(f"<{len(words) // 2}H", words)))

    def take(self, context: int, number: int) -> int:
        k = number % len(self.states)
        r = self.states[k] % 4096
        symbol, frequency, start = self.tables[context][r]
        state = frequency * (self.states[k] // 4096) + r - start
        self.states[k] = state if state >= 1 << 15 else (state << 16) + self.words.pop()
        return symbol

    def end(self) -> None:
        assert not self.words
        assert set(self.states) == {1 << 15}


def _table(bits: _Bits) -> list[tuple[int, int, int]]:
    """For each of the 4096 remainders: the symbol, its frequency, where it starts."""
    last, best, size, frequencies = bits.take(8), bits.take(8), 0, [0] * 256
    assert best <= last
    for symbol in range(last + 1):
        if symbol == best:
            continue
        zeros = 0
        while not bits.take(1):
            zeros += 1
        size += (zeros + 1) // 2 if zeros % 2 else -(zeros // 2)
        assert 0 <= size <= 12
        if size:
            kept = min(size - 1, 4)
            frequencies[symbol] = (1 << size - 1) + (bits.take(kept) << size - 1 - kept)
    frequencies[best] = 4096 - sum(frequencies)
    assert frequencies[best] >= 1
    starts = [sum(frequencies[:symbol]) for symbol in range(256)]
    return [(s, f, starts[s]) for s, f in enumerate(frequencies) for _ in range(f)]


def _value(token: int, split: int, kept: int, raw: _Bits) -> int:
    if token < 1 << split:
        return token
    top = split + ((token - (1 << split)) >> kept)
    n = top - kept
    return (1 << top) + ((token - (1 << split)) % (1 << kept) << n) + raw.take(n)


def decode(codec: int, payload: bytes, width: int, base: bytes, length: int) -> bytes:
    flags, count, m, e, origin, zero, raw_size, table_size, word_count = struct.unpack_from(
        "<BBBBhHIII", payload
    )
    assert zero == 0
    assert flags & 1 == (codec == 5)
    b = 1 + m + e if e else 8 * width
    w = b // 8
    n, rest = length // w, length % w
    lanes = 32 if n >= 8192 else 4
    at = 20
    model = struct.unpack_from("<17i", payload, at) if flags & 2 else ()
    at += 4 * len(model)
    raw = _Bits(payload[at : at + raw_size])
    at += raw_size
    ends = (at + table_size, at + table_size + 4 * lanes, at + table_size + 4 * lanes + 2 * word_count)
    assert ends[2] + rest == len(payload)
    coder = _Coder(payload[at : ends[0]], count, payload[ends[0] : ends[1]], payload[ends[1] : ends[2]])
    tiles = (n + 127) // 128
    kinds, classes, shifts = [0] * tiles, [0] * tiles, [0] * tiles
    j = kind = class_ = 0
    for k in range(tiles):
        kinds[k] = kind = (kind + coder.take(144, j)) % 3
        j += 1
    for k in range(tiles):
        if kinds[k] == 1:
            classes[k] = class_ = class_ + _unzigzag(coder.take(145, j))
            assert 0 <= class_ <= 127
            j += 1
    for k in range(tiles):
        if kinds[k]:
            shifts[k] = coder.take(146, j)
            j += 1
    old = [int.from_bytes(base[i * w : (i + 1) * w], "little") for i in range(n)] if codec == 5 else [0] * n
    bias = 127 - ((1 << e - 1) - 1) if e else 0
    new, j = [], 0
    for i, y in enumerate(old):
        kind, class_, shift = kinds[i // 128], classes[i // 128], shifts[i // 128]
        scale = origin + class_
        if kind == 0:
            new.append(y)
            continue
        if codec == 4:
            token = coder.take(class_, j)
            new.append(_weight(token, token - 192 + 2 * scale - 4 * bias, shift, m, b, raw))
        elif kind == 1:
            h = ((y % (1 << b - 1)) >> (m - 1)) + 2 * bias if e else 254
            token = coder.take(min(max(scale - h + 16, 0), 127), j)
            z = _value(token, 3, 2, raw) % (1 << max(b, 32))
            new.append((y + (_unzigzag(z) << shift)) % (1 << b))
        else:
            bin_, low = (y >> (m - 4)) % 16, m - 4
            cut = max(low - 16, 0)
            z = _value(coder.take(128 + bin_, j), 6, 1, raw) % (1 << max(b, 32))
            part = (y % (1 << low)) >> cut
            expected = model[bin_] + ((model[16] * part) >> (low - cut))
            new.append((y + _unzigzag(z) + expected) % (1 << b))
        j += 1
    coder.end()
    return b"".join(number.to_bytes(w, "little") for number in new) + payload[ends[2] :]


def _weight(token: int, a: int, shift: int, m: int, b: int, raw: _Bits) -> int:
    if token == 254:
        return 0
    if token == 255:
        a = raw.take(13)
    sign = raw.take(1)
    return (sign << b - 1) + (a << m - 2) + (raw.take(m - 2 - shift) << shift)
