"""Tell plain text from a model: some suffixes belong to both (a Portuguese text is a .pt, a list of paths a .pth)."""

from __future__ import annotations

HEAD = 4096
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""What stands in place of a file that Git LFS has not fetched."""

_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\r\f") | {127}


def is_plain_text(head: bytes) -> bool:
    """Whether a file that begins with ``head`` (at most 4096 bytes) is text for people: no pickle, no LFS pointer."""
    if not head or head.startswith(LFS_POINTER) or not _CONTROLS.isdisjoint(head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as cut:
        if cut.start < len(head) - 3 or len(head) < HEAD:
            return False
    return not _is_pickle(head)


def _is_pickle(head: bytes) -> bool:
    """Whether it is a pickle in letters (protocol 0); the opcodes are listed, nothing is run."""
    from pickletools import genops  # needed for few files

    try:
        for _ in genops(head):
            pass
    except ValueError as problem:
        ended = "exhausted" in str(problem) or "no newline" in str(problem)
        return ended and len(head) == HEAD
    return True
