"""Reads a zip or tar file in memory, as a source of files. Nothing is ever unpacked to a disk, and everything has a limit."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from harness import files
from harness.errors import UsageError
from harness.files import is_junk
from harness.findings import FindingKind, Findings
from harness.submission import catalogue
from harness.submission.record import TRACKS_FOLDER

# Far more than the 600 tracks of the whole data set.
MOST_FILES = 20_000
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
# The largest answer known, real values with all their digits, is about 60 MB, and its tracks' files 40 MB more.
MOST_BYTES = 160 * 1024 * 1024
# Rows of one class over and over shrink to a hundredth. Little of anything may shrink as it likes.
LARGEST_RATIO = 200
BYTES_OF_ANY_RATIO = 16 * 1024 * 1024
MOST_FOLDERS = 8
# Bytes of an entry of a zip file's directory: 46 and a name of at most 200, with room for what programs add.
_LONGEST_ENTRY = 512
_CHUNK = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_READERS: Mapping[str, Any] = {
    ".tar": open,
    ".gz": gzip.GzipFile,
    ".tgz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
# What the readers of damaged archives raise.
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    struct.error,
)


class _RefusedError(Exception):
    """The archive as a whole is not read; the finding that says why was added."""


def read_archive(path: Path, findings: Findings) -> tuple[Mapping[str, Callable[[], BinaryIO]], tuple[str, ...]]:
    """A function that opens each file of an archive, by its name, and the names of folders that are no part of an answer.

    What is wrong with the archive or with a name goes to `findings`, and is left out.
    """
    try:
        members = _zip_members(path, findings) if path.suffix.lower() == ".zip" else _tar_members(path, findings)
        openers = dict(_plain_files(members, path.name, findings))
    except _RefusedError:
        openers = {}
    except _DAMAGE as error:
        findings.add(catalogue.ARCHIVE_DAMAGED, path.name, None, f"{type(error).__name__}: {error}")
        openers = {}
    return _without_folder(path, openers, findings)


def _refuse(kind: FindingKind, path: Path, findings: Findings, found: str, expected: str) -> None:
    findings.add(kind, path.name, None, found, expected)
    raise _RefusedError


def _refuse_size(size: int, compressed: int, path: Path, findings: Findings) -> None:
    """Refuses an archive that holds too much, or unpacks to too much for what it is."""
    if size > BYTES_OF_ANY_RATIO and size > LARGEST_RATIO * compressed:
        _refuse(
            catalogue.ARCHIVE_RATIO, path, findings, f"more than {size // compressed} times its size", f"{LARGEST_RATIO} times"
        )
    if size > MOST_BYTES:
        _refuse(catalogue.ARCHIVE_TOO_LARGE, path, findings, f"{size:,} bytes or more", f"at most {MOST_BYTES:,}")


def _refuse_number(entries: int, path: Path, findings: Findings) -> None:
    if entries > MOST_FILES:
        _refuse(catalogue.ARCHIVE_COUNT, path, findings, f"{entries:,} files or more", f"at most {MOST_FILES:,}")


Member = tuple[str, Callable[[], bytes]]


def _zip_members(path: Path, findings: Findings) -> Iterator[Member]:
    """Name and reader of each member of a zip file."""
    compressed = path.stat().st_size
    _refuse_size(compressed, compressed, path, findings)
    data = path.read_bytes()
    _refuse_long_directory(data, path, findings)
    archive = zipfile.ZipFile(io.BytesIO(data))
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    _refuse_number(len(entries), path, findings)
    _refuse_size(sum(entry.file_size for entry in entries), compressed, path, findings)
    for entry in entries:
        if entry.flag_bits & 1:
            _refuse(catalogue.ARCHIVE_ENCRYPTED, path, findings, entry.filename, "a file without a password")
        if entry.compress_type not in _METHODS:
            # Of bzip2 and LZMA a few bytes are inflated to gigabytes at once, whatever size is asked for.
            _refuse(catalogue.ARCHIVE_METHOD, path, findings, f"{entry.filename}, method {entry.compress_type}", "deflate")
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            findings.add(catalogue.ARCHIVE_LINK, path.name, None, entry.filename)
        else:
            yield entry.orig_filename, partial(_read_member, archive, entry)


def _read_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """A member's bytes, piece by piece: read at once, one that holds more than it says would be inflated whole first."""
    with archive.open(entry) as handle:
        return b"".join(iter(partial(handle.read, _CHUNK), b""))


def _refuse_long_directory(data: bytes, path: Path, findings: Findings) -> None:
    """Looks at the size of the directory before it is read: a million entries take seconds and hundreds of megabytes."""
    at = data.rfind(b"PK\5\6")
    if at < 0 or len(data) < at + 22:
        raise zipfile.BadZipFile("no directory at its end")
    entries, length = struct.unpack_from("<HI", data, at + 10)
    _refuse_number(max(entries, length // _LONGEST_ENTRY), path, findings)


def _tar_members(path: Path, findings: Findings) -> Iterator[Member]:
    """Name and content of each member of a tar file, which was decompressed up to the limit first."""
    data = b"".join(_decompressed(path, findings))
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for number, member in enumerate(archive):
            _refuse_number(number + 1, path, findings)
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                findings.add(catalogue.ARCHIVE_LINK, path.name, None, member.name)
                continue
            begin, end = member.offset_data, member.offset_data + member.size
            if end > len(data):
                raise tarfile.ReadError("it ends within a file")
            yield member.name.removeprefix("./"), partial(_part, data, begin, end)


def _part(data: bytes, begin: int, end: int) -> bytes:
    return data[begin:end]


def _decompressed(path: Path, findings: Findings) -> Iterator[bytes]:
    compressed, size = path.stat().st_size, 0
    with _READERS[path.suffix.lower()](path, "rb") as handle:
        while chunk := handle.read(_CHUNK):
            size += len(chunk)
            _refuse_size(size, compressed, path, findings)
            yield chunk


def _plain_files(members: Iterable[Member], archive: str, findings: Findings) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
    """The members whose names any system can hold, each once."""
    seen: set[str] = set()
    for name, read in members:
        if not is_junk(name) and not _is_plain(name):
            findings.add(catalogue.ARCHIVE_NAME, archive, None, name)
            continue
        alike = unicodedata.normalize("NFC", name).casefold()
        if alike in seen:
            findings.add(catalogue.ARCHIVE_TWICE, archive, None, name)
        elif is_archive(Path(name)):
            findings.add(catalogue.ARCHIVE_NESTED, archive, None, name)
        else:
            yield name, _opener(read)
        seen.add(alike)


def _is_plain(name: str) -> bool:
    """Whether a member's name stays below the folder it is unpacked to, on every system."""
    parts = name.split("/")
    try:
        for part in parts:
            files.safe_name(part, "a name in an archive")
    except UsageError:
        return False
    return len(parts) <= MOST_FOLDERS


def _opener(read: Callable[[], bytes]) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        try:
            return io.BytesIO(read())
        except _DAMAGE as error:
            raise OSError(f"damaged in the archive ({error})") from error

    return opened


def _without_folder(
    path: Path, openers: Mapping[str, Callable[[], BinaryIO]], findings: Findings
) -> tuple[Mapping[str, Callable[[], BinaryIO]], tuple[str, ...]]:
    """The files as if the one folder they all lie in were not there; what lies in other folders is no part of an answer."""
    common = _common_folder([name for name in openers if not is_junk(name)])
    if common:
        findings.add(catalogue.ARCHIVE_FOLDER, path.name, None, common)
    inner = {name.removeprefix(common): opener for name, opener in openers.items()}
    depth = {name: PurePosixPath(name).parts for name in inner}
    kept = {name for name, parts in depth.items() if len(parts) == 1 or (len(parts) == 2 and parts[0] == TRACKS_FOLDER)}
    others = tuple(dict.fromkeys(parts[0] for name, parts in depth.items() if name not in kept))
    return {name: opener for name, opener in inner.items() if name in kept}, others


def _common_folder(names: list[str]) -> str:
    """The folders, with a slash at the end, in which all names lie; "" if there is none."""
    parents = [PurePosixPath(name).parts[:-1] for name in names]
    common: list[str] = []
    for parts in zip(*parents, strict=False):
        if len(set(parts)) != 1:
            break
        common.append(parts[0])
    return "".join(f"{part}/" for part in common)


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of a zip or tar file."""
    return path.name.lower().endswith(_ARCHIVES)
