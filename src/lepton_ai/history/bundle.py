"""One version as a single file, for another repository: an uncompressed zip, as plain as the model's own files.

version.json            the record, and the format of this file
files/PATH              the files, byte for byte
attachments/SHA256      training history, code patch, packages
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from lepton_ai.errors import Damaged, StorageFailed, TooNew, UsageError, WouldOverwrite
from lepton_ai.history.checkout import check_space
from lepton_ai.history.files import Found
from lepton_ai.history.reading import Reader
from lepton_ai.progress import SILENT, Progress
from lepton_ai.types import Attachment, Record

SCHEMA = 1
SUFFIX = ".lepton"
EPOCH = (1980, 1, 1, 0, 0, 0)


class Header(msgspec.Struct, frozen=True):
    """What ``version.json`` says: ``id`` is the version's in the repository that exported it."""

    id: str
    record: Record
    schema: int = SCHEMA


@dataclass(frozen=True)
class Unpacked:
    """A bundle's content: its header, files that lie in a private folder, attachments by SHA-256."""

    header: Header
    files: list[Found]
    attachments: dict[str, bytes]


def attachments_of(record: Record) -> list[Attachment]:
    """The larger things that belong to a record."""
    found = [record.training]
    found += [record.code.patch] if record.code else []
    found += [record.environment.packages] if record.environment else []
    return [attachment for attachment in found if attachment is not None]


def export(
    reader: Reader,
    record: Record,
    version_id: str,
    target: Path,
    *,
    force: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Write the version into the file ``target``; it appears whole or not at all.

    Raises:
        WouldOverwrite: the file is there already, and not ``force``.
        NoSpace, StorageFailed, Damaged.
    """
    if target.exists() and not force:
        raise WouldOverwrite(f"there is a file {target} already", hint="choose another name, or use --force")
    total = sum(entry.size for entry in record.files)
    check_space(target.parent, total)
    progress.start("exporting", total)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            header = msgspec.json.encode(Header(version_id, record), order="sorted")
            archive.writestr(zipfile.ZipInfo("version.json", EPOCH), header)
            for attachment in attachments_of(record):
                info = zipfile.ZipInfo(f"attachments/{attachment.sha256}", EPOCH)
                archive.writestr(info, reader.attachment(attachment))
            for entry in record.files:
                if entry.target is None:
                    info = zipfile.ZipInfo(f"files/{entry.path}", EPOCH)
                    with archive.open(info, "w", force_zip64=True) as sink:
                        reader.copy(entry, sink, progress)  # type: ignore[arg-type]  # IO[bytes] is what it writes to
        temporary.replace(target)
    except OSError as problem:
        raise StorageFailed(
            f"{target} cannot be written: {problem.strerror}", hint="check the path"
        ) from problem
    finally:
        temporary.unlink(missing_ok=True)
    return target


def unpack(source: Path, folder: Path, *, progress: Progress = SILENT) -> Unpacked:
    """Read a bundle into the private ``folder``, every file checked against the record.

    Raises:
        UsageError: it is no bundle. Damaged: its content is not what the record says. TooNew.
    """
    with _opened(source) as archive:
        header = _header(source, archive)
        record = header.record
        total = sum(entry.size for entry in record.files)
        check_space(folder, total)
        progress.start("reading", total)
        attachments = {}
        for attachment in attachments_of(record):
            data = _member(source, archive, f"attachments/{attachment.sha256}", attachment.size)
            if hashlib.sha256(data).hexdigest() != attachment.sha256:
                raise Damaged(
                    f"{source} is damaged: an attachment is not what was exported", hint="export it again"
                )
            attachments[attachment.sha256] = data
        files = []
        for number, entry in enumerate(record.files):
            _check_path(source, entry.path)
            place = folder / str(number)
            if entry.target is None:
                _extract(source, archive, entry.path, entry.size, entry.sha256, place)
            files.append(Found(entry.path, place, entry.size, entry.executable, entry.target))
            progress.advance(entry.size)
    return Unpacked(header, files, attachments)


@contextmanager
def _opened(source: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, FileNotFoundError, IsADirectoryError) as problem:
        raise UsageError(
            f"{source} is no exported version: {problem}", hint="lepton export makes one"
        ) from problem
    with archive:
        try:
            yield archive
        except (zipfile.BadZipFile, EOFError, NotImplementedError) as problem:
            raise Damaged(f"{source} is damaged: {problem}", hint="export it again") from problem


def _header(source: Path, archive: zipfile.ZipFile) -> Header:
    data = _member(source, archive, "version.json", 256 << 20)
    try:
        schema = msgspec.json.decode(data, type=dict[str, object]).get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise TooNew(
                f"{source} was exported by a later version of this tool", hint="use a newer lepton-ai"
            )
        return msgspec.json.decode(data, type=Header)
    except msgspec.MsgspecError as problem:
        raise Damaged(f"{source} is damaged: {problem}", hint="export it again") from problem


def _member(source: Path, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise UsageError(
            f"{source} is no exported version: it has no {name}", hint="lepton export makes one"
        ) from None
    if info.file_size > limit or info.compress_type != zipfile.ZIP_STORED:
        raise Damaged(f"{source} is damaged: {name} has another size", hint="export it again")
    return archive.read(info)


def _extract(source: Path, archive: zipfile.ZipFile, path: str, size: int, sha256: str, place: Path) -> None:
    try:
        info = archive.getinfo(f"files/{path}")
    except KeyError:
        raise Damaged(f"{source} is damaged: {path} is missing", hint="export it again") from None
    if info.file_size != size or info.compress_type != zipfile.ZIP_STORED:
        raise Damaged(f"{source} is damaged: {path} has another size", hint="export it again")
    with archive.open(info) as reading, place.open("wb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)
    with place.open("rb") as written:
        if hashlib.file_digest(written, "sha256").hexdigest() != sha256:
            raise Damaged(f"{source} is damaged: {path} is not what was exported", hint="export it again")


def _check_path(source: Path, path: str) -> None:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not path or "\\" in path or "\0" in path:
        raise Damaged(f"{source} holds a file with the path {path!r}, which leaves the folder")
