"""What speaks against merging two versions, told before their tensors are read: vocabularies, labels.

A finding is a line for people. ``grave`` ones make elements of the two sides mean different things.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec

Kind = Literal["vocabulary", "labels"]
EXAMPLES = 3
Numbers = dict[str, int]
"""A token or label → its number."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that differs: ``where`` is a file's path with the key in it."""

    kind: Kind
    where: str
    said: str
    grave: bool


Table = tuple[Kind, str, Numbers]
_READERS: dict[str, Callable[[str], Iterator[Table]]] = {}


def tells(path: str) -> bool:
    """Whether :func:`meanings` wants to read a file of this name."""
    return posixpath.basename(path) in _READERS


def meanings(
    ours: Mapping[str, bytes],
    theirs: Mapping[str, bytes],
    params: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {}),
) -> list[Finding]:
    """Vocabularies and labels that give one word another number on the two sides.

    The files (path → content; only those that :func:`tells` names matter): tokenizer.json, vocab.json, vocab.txt,
    added_tokens.json, config.json (``id2label``, ``label2id``, ``class_names``), class_names and labels as .json or
    .txt. ``params`` of the two versions may hold class names as well, as Keras users keep them.
    """
    mine, its = (_tables(files, given) for files, given in zip((ours, theirs), params, strict=True))
    found: list[Finding] = []
    for (kind, where), numbers in mine.items():
        others = its.get((kind, where))
        if others is not None and others != numbers:
            found.append(_compared(kind, where, numbers, others))
    return found


def _compared(kind: Kind, where: str, mine: Numbers, its: Numbers) -> Finding:
    moved = [word for word in mine if word in its and mine[word] != its[word]]
    here, there = [word for word in mine if word not in its], [word for word in its if word not in mine]
    numbers = {number: word for word, number in its.items()}
    clashes = [word for word in here if mine[word] in numbers and numbers[mine[word]] not in mine]
    said = []
    if moved:
        has = "has" if len(moved) == 1 else "have"
        said.append(f"{len(moved)} {has} another number ({_examples(moved, mine, its)})")
    if clashes:
        pairs = ", ".join(f"{mine[w]} is {w!r} or {numbers[mine[w]]!r}" for w in clashes[:EXAMPLES])
        said.append(f"{len(clashes)} numbers mean something else ({pairs})")
    said += [f"{len(here)} only in ours ({_listed(here)})"] if here else []
    said += [f"{len(there)} only in theirs ({_listed(there)})"] if there else []
    return Finding(kind, where, ", ".join(said), bool(moved or clashes))


def _examples(words: list[str], mine: Numbers, its: Numbers) -> str:
    return ", ".join(f"{word!r} {mine[word]} and {its[word]}" for word in words[:EXAMPLES]) + _more(words)


def _listed(words: list[str]) -> str:
    return ", ".join(map(repr, words[:EXAMPLES])) + _more(words)


def _more(words: list[str]) -> str:
    return ", …" if len(words) > EXAMPLES else ""


def _tables(files: Mapping[str, bytes], params: Mapping[str, Any]) -> dict[tuple[Kind, str], Numbers]:
    found: dict[tuple[Kind, str], Numbers] = {}
    for path, data in files.items():
        reader = _READERS.get(posixpath.basename(path))
        if reader is None:
            continue
        try:
            for kind, key, numbers in reader(data.decode("utf-8")):
                found[kind, f"{path}{key and ':'}{key}"] = numbers
        except (ValueError, RecursionError):
            continue  # not what its name says: then it tells nothing, and is merged as the text or bytes that it is
    for key in _LABEL_KEYS:
        told = _numbers(params.get(key))
        if told is not None:
            found["labels", f"params:{key}"] = told
    return found


_LABEL_KEYS = ("id2label", "label2id", "class_names", "classes", "class_indices", "labels")


def _numbers(value: Any) -> Numbers | None:
    """A list of texts, or a mapping between words and numbers either way, as word → number."""
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return {str(word): number for number, word in enumerate(value)}
    if not isinstance(value, dict):
        return None
    if all(isinstance(number, int) for number in value.values()):
        return {str(word): number for word, number in value.items()}
    if all(str(number).isdigit() for number in value):
        return {str(word): int(number) for number, word in value.items()}
    return None


def _labels_in(text: str) -> Iterator[Table]:
    content = json.loads(text)
    for key in _LABEL_KEYS if isinstance(content, dict) else ():
        numbers = _numbers(content.get(key))
        if numbers is not None:
            yield "labels", key, numbers


def _plain_labels(text: str) -> Iterator[Table]:
    numbers = _numbers(json.loads(text))
    if numbers is not None:
        yield "labels", "", numbers


def _label_lines(text: str) -> Iterator[Table]:
    yield "labels", "", {word: number for number, word in enumerate(text.splitlines())}


def _token_lines(text: str) -> Iterator[Table]:
    yield "vocabulary", "", {word: number for number, word in enumerate(text.split("\n")) if word}


def _plain_tokens(text: str) -> Iterator[Table]:
    numbers = _numbers(json.loads(text))
    if numbers is not None:
        yield "vocabulary", "", numbers


def _tokenizer(text: str) -> Iterator[Table]:
    """A Hugging Face tokenizer: the model's vocabulary (an object, or a list of [token, score]) and added tokens."""
    content = json.loads(text)
    model = content.get("model") if isinstance(content, dict) else None
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocab, list):
        vocab = [entry[0] if isinstance(entry, list) and entry else entry for entry in vocab]
    numbers = _numbers(vocab)
    if numbers is not None:
        yield "vocabulary", "model.vocab", numbers
    added = content.get("added_tokens") if isinstance(content, dict) else None
    if isinstance(added, list):
        known = [token for token in added if isinstance(token, dict) and isinstance(token.get("id"), int)]
        yield "vocabulary", "added_tokens", {str(token.get("content")): token["id"] for token in known}


_READERS |= {
    "config.json": _labels_in,
    "class_names.json": _plain_labels,
    "class_names.txt": _label_lines,
    "labels.json": _plain_labels,
    "labels.txt": _label_lines,
    "tokenizer.json": _tokenizer,
    "vocab.json": _plain_tokens,
    "added_tokens.json": _plain_tokens,
    "vocab.txt": _token_lines,
}
