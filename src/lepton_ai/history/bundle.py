"""One version as a single file, for another repository: an uncompressed zip, as plain as the model's own files.

version.json            the record, and the format of this file
files/PATH              the files, byte for byte
attachments/SHA256      training history, code patch, packages
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from lepton_ai.decodable import ready
from lepton_ai.errors import Damaged, LeptonError, TooNew, UsageError, WouldOverwrite
from lepton_ai.history.carried import dataset_of
from lepton_ai.history.checkout import check_space
from lepton_ai.history.files import Found
from lepton_ai.history.paths import trouble
from lepton_ai.history.reading import Reader
from lepton_ai.history.record import PACKAGES, TRAINING, attachments, plain_metrics, plain_params
from lepton_ai.history.staging import hold, part_beside, sweep_parts
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.durable import storage_error, storage_errors
from lepton_ai.types import Attachment, FileEntry, Record

SCHEMA = 1
SUFFIX = ".lepton"
EPOCH = (1980, 1, 1, 0, 0, 0)
MAX_HEADER = 256 << 20
BROKEN = (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, OverflowError, struct.error, zlib.error)
"""What the zip module raises at broken bytes; NotImplementedError and UnicodeDecodeError are among them."""


class Header(msgspec.Struct, frozen=True):
    """What ``version.json`` says: ``id`` is the version's in the repository that exported it."""

    id: str
    record: Record
    schema: int = SCHEMA


class Unpacked(msgspec.Struct, frozen=True):
    """A bundle's content: its header, files that lie in a private folder, attachments by SHA-256."""

    header: Header
    files: list[Found]
    attachments: dict[str, bytes]


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
        UsageError: a folder or device is there.
        NoSpace, StorageFailed, Damaged.
    """
    there = os.path.lexists(target)
    if there and not target.is_file():
        raise UsageError(f"{target} is there, and is no file to replace", hint="choose another name")
    if there and not force:
        raise WouldOverwrite(f"there is a file {target} already", hint="choose another name, or use --force")
    total = sum(entry.size for entry in record.files)
    check_space(target.parent, total)
    progress.start("exporting", total)
    temporary = part_beside(target)
    try:
        with storage_errors(target, total):
            sweep_parts(target.parent)
            with temporary.open("xb") as file:
                hold(file.fileno())
                with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                    _pack(archive, reader, Header(version_id, record), progress)
            temporary.replace(target)
    finally:
        with suppress(OSError):  # what went wrong before says more
            temporary.unlink(missing_ok=True)
    return target


def _pack(archive: zipfile.ZipFile, reader: Reader, header: Header, progress: Progress) -> None:
    archive.writestr(zipfile.ZipInfo("version.json", EPOCH), msgspec.json.encode(header, order="sorted"))
    for _, attachment in attachments(header.record):
        info = zipfile.ZipInfo(f"attachments/{attachment.sha256}", EPOCH)
        archive.writestr(info, reader.attachment(attachment))
    for entry in header.record.files:
        if entry.target is None:
            info = zipfile.ZipInfo(f"files/{entry.path}", EPOCH)
            with archive.open(info, "w", force_zip64=True) as sink:
                reader.copy(entry, sink, progress)  # type: ignore[arg-type]  # IO[bytes] is what it writes to


def unpack(source: Path, folder: Path, *, progress: Progress = SILENT) -> Unpacked:
    """Read a bundle into the private ``folder``, every file checked against the record.

    Raises:
        UsageError: it is no bundle. Damaged: its content is not what the record says. TooNew.
    """
    with _opened(source) as archive:
        header = _header(source, archive)
        files = [entry for entry in header.record.files if entry.target is None]
        infos = {entry.path: _info(source, archive, f"files/{entry.path}", entry.size) for entry in files}
        total = sum(entry.size for entry in files)
        check_space(folder, total)
        progress.start("reading", total)
        kept = {
            attachment.sha256: _attachment(source, archive, label, attachment)
            for label, attachment in attachments(header.record)
        }
        found = []
        for number, entry in enumerate(header.record.files):
            place = folder / str(number)
            if entry.target is None:
                _extract(source, archive, infos[entry.path], entry, place)
            found.append(Found(entry.path, place, entry.size, entry.executable, entry.target))
            progress.advance(entry.size)
    return Unpacked(header, found, kept)


@contextmanager
def _opened(source: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(source)
    except (FileNotFoundError, IsADirectoryError, *BROKEN) as problem:
        raise UsageError(
            f"{source} is no exported version: {problem}", hint="lepton export makes one"
        ) from problem
    except OSError as problem:
        raise _os_error(source, problem) from problem
    with archive:
        try:
            yield archive
        except LeptonError:
            raise
        except BROKEN as problem:
            raise _damaged(source, str(problem)) from problem
        except OSError as problem:
            raise _os_error(source, problem) from problem


def _os_error(source: Path, problem: OSError) -> LeptonError:
    if problem.errno in (None, errno.EINVAL):  # a place before the beginning, as only a broken zip gives
        return _damaged(source, str(problem))
    return storage_error(problem, problem.filename or source)


def _damaged(source: Path, what: str) -> Damaged:
    return Damaged(f"{source} is damaged: {what}", hint="export it again")


def _header(source: Path, archive: zipfile.ZipFile) -> Header:
    try:
        info = archive.getinfo("version.json")
    except KeyError:
        raise UsageError(
            f"{source} is no exported version: it has no version.json", hint="lepton export makes one"
        ) from None
    if info.file_size > MAX_HEADER or info.compress_type != zipfile.ZIP_STORED:
        raise _damaged(source, "version.json has another size")
    data = archive.read(info)
    try:
        schema = msgspec.json.decode(data, type=dict[str, object]).get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise TooNew(
                f"{source} was exported by a later version of this tool", hint="use a newer lepton-ai"
            )
        header = msgspec.json.decode(data, type=ready(Header))
        if not all(_is_digest(digest) for digest in (header.id, *_digests(header.record))):
            raise _damaged(source, "an id or checksum in it is none")
        return msgspec.structs.replace(header, record=sound(header.record))
    except (msgspec.MsgspecError, UsageError) as problem:
        raise _damaged(source, str(problem)) from problem


def sound(record: Record) -> Record:
    """A stranger's record as this tool writes one: nothing in it but what can be read again.

    Raises:
        UsageError: something in it cannot be kept.
    """
    problem = trouble([(entry.path, entry.target) for entry in record.files])
    problem = problem or ("a size is negative" if any(entry.size < 0 for entry in record.files) else "")
    if problem or not record.files:
        raise UsageError(problem or "it has no files")
    return msgspec.structs.replace(
        record,
        files=tuple(sorted(record.files, key=lambda entry: entry.path)),
        params=plain_params(record.params),
        metrics=plain_metrics(record.metrics),
        dataset=None if record.dataset is None else dataset_of(record.dataset),
        parents=(),
        revises=None,
        schema=1,
    )


def _digests(record: Record) -> list[str]:
    files = [entry.sha256 for entry in record.files if entry.target is None]
    return files + [attachment.sha256 for _, attachment in attachments(record)]


def _is_digest(text: str) -> bool:
    return re.fullmatch("[0-9a-f]{64}", text) is not None


def _attachment(source: Path, archive: zipfile.ZipFile, label: str, attachment: Attachment) -> bytes:
    data = archive.read(_info(source, archive, f"attachments/{attachment.sha256}", attachment.size))
    if hashlib.sha256(data).hexdigest() != attachment.sha256:
        raise _damaged(source, f"{label} is not what was exported")
    try:
        if label == TRAINING:
            for curve in msgspec.json.decode(data, type=dict[str, list[float | str]]).values():
                plain_metrics({str(number): value for number, value in enumerate(curve)})
        elif label == PACKAGES:
            msgspec.json.decode(data, type=dict[str, str])
    except (msgspec.MsgspecError, UsageError) as problem:
        raise _damaged(source, f"{label}: {problem}") from problem
    return data


def _info(source: Path, archive: zipfile.ZipFile, name: str, size: int) -> zipfile.ZipInfo:
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise _damaged(source, f"{name} is missing") from None
    if info.file_size != size or info.compress_type != zipfile.ZIP_STORED:
        raise _damaged(source, f"{name} has another size")
    return info


def _extract(
    source: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, entry: FileEntry, place: Path
) -> None:
    with archive.open(info) as reading, place.open("wb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)
    with place.open("rb") as written:
        if hashlib.file_digest(written, "sha256").hexdigest() != entry.sha256:
            raise _damaged(source, f"{entry.path} is not what was exported")
