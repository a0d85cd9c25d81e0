"""Count everything that is kept: in which form each object is read, on how many others it stands, and who needs it.

Columns of numbers: counting a million objects takes some 270 MB. Who needs an object is kept as the first and the last
of its owners, and handed down from it to its base: that tells what exactly one of them needs, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from lepton_ai.store.codecs import CODECS
from lepton_ai.store.contract import ID_SIZE, CodecUse, Taken
from lepton_ai.store.index import Index
from lepton_ai.store.packs.format import BLOCK

if TYPE_CHECKING:
    import numpy as np

    Column = np.ndarray[Any, np.dtype[Any]]

AT_ONCE = 20_000
_NEXT = """
    SELECT pack, place, id, base, length, plain, depth, kind, codec, damaged FROM objects
    WHERE (pack, place) > (?, ?) ORDER BY pack, place LIMIT ?
"""
NONE = -1
"""The base of what has none."""


class Census(msgspec.Struct, frozen=True):
    """Every object that can be read, by number, in the form in which it is: columns of equal length.

    ``base`` is the number of the object's base, ``steps`` how many differences have to be opened to read it.
    """

    ids: Column
    base: Column
    stored: Column
    plain: Column
    codec: Column
    block: Column
    steps: Column

    def numbers(self, ids: bytes) -> Column:
        """The numbers of the objects with these ids, joined; each once, those that are nowhere left out."""
        import numpy as np

        found: Column = _find(self.ids, np.unique(np.frombuffer(ids, f"S{ID_SIZE}")))
        there: Column = found[found != NONE]
        return there


class Needs(msgspec.Struct, frozen=True):
    """Who needs what: ``first`` and ``last`` are the owners of each object, ``own`` whether it is one's own.

    An object is an owner's own when it was named; bases that nobody named are needed by those that stand on them.
    """

    first: Column
    last: Column
    own: Column


class Tally(msgspec.Struct, frozen=True):
    """What owners take; ``whole`` is everything that anybody needs, each object once.

    ``taken`` has the first owners, those that count; ``left_bytes`` is what only the others need.
    """

    taken: tuple[Taken, ...]
    whole: Taken
    left_bytes: int


def census(index: Index) -> Census:
    """Look at every object that the index knows."""
    import numpy as np

    ids, base, length, plain, depth, kind, codec, damaged, based = _columns(index)
    order = np.lexsort(
        (length, depth, damaged, ids)
    )  # of each object the form that a reader prefers comes first
    ids, based = ids[order], based[order]
    begins = np.ones(len(ids), bool)
    begins[1:] = ids[1:] != ids[:-1]
    number, names = np.cumsum(begins) - 1, ids[begins]
    base = np.where(based, _find(names, base[order]), NONE)
    good = _ending(number, base, based, len(names))
    ends, form = np.unique(number[good], return_index=True)
    rows = order[good][form]
    again = np.full(len(names) + 1, NONE)  # its last place is for NONE
    again[ends] = np.arange(len(ends))
    base = again[base[good][form]]
    steps = _steps(base)
    base[steps == 0] = NONE  # also where bases lead in a circle
    return Census(names[ends], base, length[rows], plain[rows], codec[rows], kind[rows] == BLOCK, steps)


def tally(census: Census, owned: Sequence[Column], counting: int) -> Tally:
    """Add up what owners take. ``owned``: the numbers of what is theirs; the first ``counting`` of them count."""
    import numpy as np

    needs = _needs(census, owned)
    sole = (needs.last >= 0) & (needs.first == needs.last)
    lone = np.flatnonzero(sole & ~needs.own)  # nobody's own, and one owner's need
    lone = lone[np.argsort(needs.first[lone], kind="stable")]
    edges = np.searchsorted(needs.first[lone], np.arange(counting + 1))
    taken = tuple(
        _taken(census, np.concatenate([owned[i], lone[edges[i] : edges[i + 1]]]), sole)
        for i in range(counting)
    )
    needed = needs.last >= 0
    whole = _taken(census, np.flatnonzero(needed), sole & (needs.first < counting))
    return Tally(taken, whole, int(census.stored[needed & (needs.first >= counting)].sum()))


def _taken(census: Census, numbers: Column, sole: Column) -> Taken:
    import numpy as np

    stored, plain, codec = census.stored[numbers], census.plain[numbers], census.codec[numbers]
    steps = census.steps[numbers][census.block[numbers]]
    counts = np.bincount(codec)
    sums = np.bincount(codec, stored), np.bincount(codec, plain)
    uses = [
        CodecUse(_name(number), int(counts[number]), int(sums[1][number]), int(sums[0][number]))
        for number in np.flatnonzero(counts).tolist()
    ]
    return Taken(
        stored_bytes=int(stored.sum()),
        unique_bytes=int(stored[sole[numbers]].sum()),
        blocks=len(steps),
        mean_chain=float(steps.mean()) if len(steps) else 0.0,
        longest_chain=int(steps.max(initial=0)),
        codecs=tuple(sorted(uses, key=lambda use: -use.stored_bytes)),
    )


def _name(codec: int) -> str:
    return CODECS[codec].name if codec in CODECS else f"codec {codec}"


def _needs(census: Census, owned: Sequence[Column]) -> Needs:
    """Mark what is whose, then hand every need down to the bases, from the far ends of the chains."""
    import numpy as np

    first, last = np.full(len(census.ids), len(owned)), np.full(len(census.ids), -1)
    for owner, numbers in enumerate(owned):
        first[numbers] = np.minimum(first[numbers], owner)
        last[numbers] = owner
    own = last >= 0
    for step in range(int(census.steps.max(initial=0)), 0, -1):
        there = np.flatnonzero((census.steps == step) & (last >= 0))
        np.minimum.at(first, census.base[there], first[there])
        np.maximum.at(last, census.base[there], last[there])
    return Needs(first, last, own)


def _columns(index: Index) -> list[Column]:
    """Ids, bases, lengths, plain lengths, depths, kinds, codecs, damage, and whether there is a base, of all forms."""
    import numpy as np

    kinds = [f"S{ID_SIZE}", f"S{ID_SIZE}", "u4", "u4", "u1", "u1", "u1", "u1", "?"]
    parts: list[list[Column]] = [[] for _ in kinds]
    for rows in _pages(index):
        _, _, ids, bases, *rest = zip(*rows, strict=True)
        joined = b"".join(base or bytes(ID_SIZE) for base in bases)
        page = [np.frombuffer(b"".join(ids), kinds[0]), np.frombuffer(joined, kinds[1])]
        page += [np.array(column, kind) for column, kind in zip(rest, kinds[2:-1], strict=True)]
        page.append(np.array([base is not None for base in bases]))
        for part, column in zip(parts, page, strict=True):
            part.append(column)
    return [np.concatenate([np.empty(0, kind), *part]) for kind, part in zip(kinds, parts, strict=True)]


def _pages(index: Index) -> Iterator[list[tuple[Any, ...]]]:
    after = (-1, -1)
    while rows := index.rows(_NEXT, (*after, AT_ONCE)):
        yield rows
        after = rows[-1][:2]


def _find(names: Column, wanted: Column) -> Column:
    """The numbers of ``wanted`` among ``names``, which are sorted; NONE for those that are not there."""
    import numpy as np

    if not len(names):
        return np.full(len(wanted), NONE)
    place = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
    return np.where(names[place] == wanted, place, NONE)


def _ending(number: Column, base: Column, based: Column, objects: int) -> Column:
    """Which of the forms are whole, or have a base that can be read."""
    import numpy as np

    good, readable = ~based, np.zeros(objects + 1, bool)  # its last place is for NONE
    while True:
        readable[number[good]] = True
        more = ~based | readable[base]
        if more.sum() == good.sum():
            return good
        good = more


def _steps(base: Column) -> Column:
    import numpy as np

    steps = np.where(base == NONE, 0, -1)
    while True:
        ahead = np.flatnonzero((steps < 0) & (steps[base] >= 0))
        if not len(ahead):
            return np.maximum(steps, 0)
        steps[ahead] = steps[base[ahead]] + 1
