"""The only file that opens for writing: whole or not at all, sha256, locks, safe names, limits.

Every writer goes to a temporary name beside its target, is flushed to the disk, and is then renamed. A process that dies at any
moment leaves either the old file or the new one under the final name, never a part of one.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from harness.errors import DataError, LockedError, UnlockableError, UsageError

_ASIDE, _DISCARDED = ".aside", ".discarded"
TEMPORARY = re.compile(
    r"^\.(?P<name>.+)\.(?P<place>[0-9a-f]{8})-(?P<process>[0-9]{1,9})"
    rf"(?P<state>{re.escape(_ASIDE)}|{re.escape(_DISCARDED)})?\.tmp$"
)
"""A name of something half written, of a folder put aside for another to take its place, or of one that is being discarded.

Only what was put aside is whole and may have its name again.
"""
_SPACE_OF_MACHINE = "pid:[4026531836]"
"""The space of process numbers that is no container's (PROC_PID_INIT_INO in linux/proc_ns.h)."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
LONGEST_NAME = 200
JUNK = ("thumbs.db", "desktop.ini", "__macosx")
REFUSED_IN_FILES = '/\\:*?"<>|'
REFUSED_IN_TRACKS = REFUSED_IN_FILES + ",'\ufffd"
WINDOWS_DEVICES = {"con", "prn", "aux", "nul", *(f"com{k}" for k in range(1, 10)), *(f"lpt{k}" for k in range(1, 10))}

_stage_hook: Callable[[str], None] | None = None


def set_stage_hook(hook: Callable[[str], None] | None) -> None:
    """Calls `hook(stage)` before each step of a write; for tests that fail or kill a process at an exact moment."""
    global _stage_hook
    _stage_hook = hook


def _stage(name: str) -> None:
    """Marks a moment of a write. HARNESS_FAULT=STAGE:N kills the process (SIGKILL) at the N-th such moment, for fault tests."""
    if _stage_hook is not None:
        _stage_hook(name)
    fault = os.environ.get("HARNESS_FAULT")
    if fault:
        stage, _, count = fault.partition(":")
        if stage == name:
            count = count or "1"
            if not count.isascii() or not count.isdigit():
                raise UsageError("HARNESS_FAULT names no moment of a write", found=ascii(fault), expected="STAGE:N")
            remaining = int(count) - 1
            if remaining <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            os.environ["HARNESS_FAULT"] = f"{stage}:{remaining}"


def _temporary(path: Path, state: str = "") -> Path:
    """A name beside `path` that says which process of which machine or container writes it, put it aside or discards it."""
    return path.with_name(f".{path.name[:LONGEST_NAME]}.{_place()}-{os.getpid()}{state}.tmp")


@functools.cache
def _place() -> str:
    """Stands for the processes whose numbers mean something here: of this machine and this space of numbers.

    Containers and machines may have one host name: machine-id(5) tells machines apart, pid_namespaces(7) containers. Those of one
    image may have one machine-id, and on two machines spaces of one number: the boots of the machines tell these apart.
    """
    parts, space = [socket.gethostname()], ""
    with contextlib.suppress(OSError):
        parts.append(Path("/etc/machine-id").read_text())
    with contextlib.suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    if space != _SPACE_OF_MACHINE:
        with contextlib.suppress(OSError):
            parts.append(_BOOT.read_text())
    parts.append(space)
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: str | Path) -> Path:
    """Makes a folder and its parents. Raises DataError naming the place if it cannot be made or written."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = _temporary(path / "probe")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _cannot_write_here(path, error, "choose another folder") from error
    return path


def refuse_unwritable(path: str | Path, folder: bool = False) -> None:
    """Raises DataError if `path` cannot become a file (or folder): asked before long work whose result is to lie there.

    Nothing is made: whether the nearest folder that is there can be written is found by a file that vanishes at once.
    """
    path = Path(path)
    refuse_nameless(path)
    try:
        if os.path.lexists(path) and path.is_dir() != folder:
            raise FileExistsError(errno.EEXIST, "there is a file of this name" if folder else "there is a folder of this name")
        _refuse_device(path)
        there = path if folder and os.path.lexists(path) else _nearest_folder(path)
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{there} is not a folder")
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise _cannot_write_here(path, error, "choose another place") from error


def refuse_nameless(path: str | Path) -> None:
    """Raises DataError for the folder that one is in or one above it, called `.` or `..`, whose place nothing may take."""
    if Path(path).name in ("", ".."):
        what = "cannot write here: this is the folder you are in, or one above it"
        raise DataError(what, path=path, remedy="choose the name of a folder below it")


def _cannot_write_here(path: Path, error: OSError, remedy: str) -> DataError:
    if error.errno in _FULL:
        return _writing_error(path, error)
    return DataError(f"cannot write here: {error.strerror}", path=path, remedy=remedy)


def _refuse_device(path: Path) -> None:
    """Raises OSError for a pipe or a device, or a link to one, which no file may take the place of: root could."""
    try:
        mode = os.stat(path).st_mode
        device = not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or (path.is_symlink() and os.readlink(path).startswith("/proc/"))
    except OSError:  # nothing is there
        return
    if device:
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file")


def _nearest_folder(path: Path) -> Path:
    """The nearest that is there of the folders which `path` lies or would lie in."""
    return next((parent for parent in path.parents if os.path.lexists(parent)), Path("."))


def open_nowhere() -> int:
    """A descriptor that takes whatever is written and keeps nothing."""
    return os.open(os.devnull, os.O_RDWR)


@contextlib.contextmanager
def writing(path: str | Path, sync: bool = True) -> Iterator[IO[bytes]]:
    """A binary file that appears under `path` whole when the block ends, or not at all.

    Without `sync` that holds when the process dies, not when the machine does: for the many small files of a folder whose
    manifest has their sha256, and whose writer takes away what dead ones left; for a file by itself that is done here. Raises
    DataError with the space that is left when the disk is full.
    """
    path = Path(path)
    temporary = _temporary(path)
    if sync:
        remove_temporaries(path.parent, f"{path.name}.")
    try:
        with contextlib.ExitStack() as stack:
            _refuse_device(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            _stage("open")
            handle = stack.enter_context(open(temporary, "wb"))
            yield handle
            _stage("flush")
            handle.flush()
            if sync:
                os.fsync(handle.fileno())
        _stage("rename")
        os.replace(temporary, path)
        _stage("sync")
        if sync:
            _sync_directory(path.parent)
    except OSError as error:
        _discard(temporary)
        raise _writing_error(path, error) from error
    except BaseException:
        _discard(temporary)
        raise


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _discard_older(folder: Path, path: Path) -> None:
    """Removes a folder in whose place another has the name `path`: of one that was killed meanwhile no part has it again."""
    discarded = _temporary(path, _DISCARDED)
    _discard(discarded)
    with contextlib.suppress(OSError):
        os.rename(folder, discarded)
        _discard(discarded)


_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def _writing_error(path: Path, error: OSError) -> DataError:
    if error.errno in _FULL:
        free = "unknown"
        with contextlib.suppress(OSError):
            there = _nearest_folder(path)  # what could not be made may be the folder itself
            free = f"{shutil.disk_usage(there).free:,} bytes free"
            system = os.statvfs(there)
            if error.errno == errno.ENOSPC and system.f_files and not system.f_favail:
                return DataError(
                    "no room for another file: the file system has no inode left, however much space is free",
                    path=path,
                    found=f"{system.f_files:,} files and folders, {free}",
                    remedy="remove files that are not needed (crops that were packed, old runs) and run the same command again; "
                    "what was written before is whole",
                )
        return DataError(
            f"no room to write ({error.strerror})",
            path=path,
            found=free,
            remedy="free some space and run the same command again; what was written before is whole",
        )
    return DataError(f"cannot write: {error.strerror or error}", path=path, remedy="check the folder and try again")


def write_bytes(path: str | Path, data: bytes, sync: bool = True) -> None:
    """Writes `data` to `path`, whole or not at all; see `writing` for `sync`."""
    with writing(path, sync) as handle:
        handle.write(data)


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` as UTF-8 with the line ends it has, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def json_text(value: Any) -> str:
    """`value` as JSON with sorted keys and a final newline: the same value gives the same bytes. NaN is refused."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: str | Path, value: Any) -> None:
    """Writes `value` as JSON (see json_text), whole or not at all."""
    write_text(path, json_text(value))


@contextlib.contextmanager
def writing_directory(path: str | Path, only_new: bool = False) -> Iterator[Path]:
    """A temporary folder that takes the name `path` when the block ends, replacing an older one, or vanishes.

    With `only_new` nothing may have taken that name meanwhile, which raises DataError. Of a link the folder is replaced that it
    leads to.
    """
    path = Path(path)
    path = path.resolve() if path.is_symlink() else path
    refuse_nameless(path)
    temporary = _temporary(path)
    remove_temporaries(path.parent, f"{path.name}.")
    _discard(temporary)
    try:
        _refuse_device(path)
        temporary.mkdir(parents=True)
        yield temporary
        _stage("directory-sync")
        _sync_directory(temporary)
        _stage("directory-rename")
        # Listed before, for whoever replaces this folder in turn puts it aside.
        left_aside = _put_aside(path)
        replaced = _take_name(temporary, path, only_new)
        _stage("directory-discard")
        for older in (*left_aside, replaced):
            if older is not None:
                _discard_older(older, path)
        _stage("directory-parent-sync")
        _sync_directory(path.parent)
    except OSError as error:
        _discard(temporary)
        raise _writing_error(path, error) from error
    except BaseException:
        _discard(temporary)
        raise


def _take_name(temporary: Path, path: Path, only_new: bool) -> Path | None:
    """Gives the folder `temporary` the name `path`; returns where the older holder of that name is now, if there was one."""
    if only_new or not os.path.lexists(path):
        try:
            os.rename(temporary, path)
            return None
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # Another process was faster. Where it may have been of the same command it is replaced like any older folder.
            if only_new:
                raise DataError(
                    "another process made this in the meantime", path=path, remedy="look at it, then run the same command again"
                ) from error
    if _exchange(temporary, path):
        return temporary
    # A process that dies between the two leaves both, and whoever looks for the older one brings it back (`bring_back`).
    aside = _temporary(path, _ASIDE)
    try:
        os.rename(path, aside)
    except FileNotFoundError:  # another process has put it aside, and may have given its own folder the name by now
        return _take_name(temporary, path, only_new)
    try:
        _stage("directory-aside")
        os.rename(temporary, path)
    except BaseException as error:
        taken = isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST)
        if taken:  # another process took the name: its folder is replaced like any other
            _discard_older(aside, path)
            return _take_name(temporary, path, only_new)
        if not os.path.lexists(path):
            os.rename(aside, path)
        raise
    return aside


def _exchange(first: Path, second: Path) -> bool:
    """Swaps two names at once, so that neither is ever absent; False where the system or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    working_directory, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of linux/fs.h
    swapped = renameat2(working_directory, os.fsencode(first), working_directory, os.fsencode(second), exchange)
    return bool(swapped == 0)


class Scratch:
    """A nameless file that vanishes with the process: for parts wanted again that together may not fit in memory."""

    def __init__(self, directory: Path, handle: IO[bytes]) -> None:
        self._directory = directory
        self._handle = handle
        self._parts: list[tuple[int, int]] = []
        self._end = 0

    def put(self, data: bytes) -> int:
        """Keeps `data` and returns its number, from 0."""
        try:
            self._handle.seek(self._end)
            rest = memoryview(data)
            while rest:
                rest = rest[self._handle.write(rest) :]
        except OSError as error:
            raise _writing_error(self._directory, error) from error
        self._parts.append((self._end, len(data)))
        self._end += len(data)
        return len(self._parts) - 1

    def get(self, number: int) -> bytes:
        """The data of this number."""
        start, length = self._parts[number]
        try:
            self._handle.seek(start)
            return self._handle.read(length)
        except OSError as error:
            raise _writing_error(self._directory, error) from error


@contextlib.contextmanager
def scratch(directory: str | Path) -> Iterator[Scratch]:
    """A Scratch in the file system of `directory`, which is made if need be. Raises DataError when the disk is full."""
    directory = make_directory(directory)
    # Without a buffer an error comes where the data is put, not when the file is closed.
    with tempfile.TemporaryFile(dir=directory, buffering=0) as handle:
        yield Scratch(directory, handle)


def sync(path: str | Path) -> None:
    """Waits until what was appended to a file is on the disk; nothing happens where there is no such file."""
    path = Path(path)
    try:
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as handle:
            os.fsync(handle.fileno())
    except OSError as error:
        raise _writing_error(path, error) from error


def append_line(path: str | Path, line: str) -> None:
    """Appends one line to a log. A log may end in a part of a line after a crash; readers drop a last line without a line end."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as handle:
            handle.write(line.encode("utf-8") + b"\n")
    except OSError as error:
        raise _writing_error(path, error) from error


def remove(path: str | Path) -> None:
    """Removes a file or a folder with all it holds; nothing happens where there is none. A link is removed, not followed."""
    _discard(Path(path))


def rename(source: str | Path, target: str | Path) -> None:
    """Gives a file or folder another name in the same file system."""
    os.rename(source, target)


def remove_temporaries(directory: str | Path, name: str = "", alone: bool = False) -> None:
    """Removes what processes of this machine that died left under temporary names directly below `directory`.

    So it does with what a process of any machine is discarding. A folder that was put aside has its name again where nothing has
    taken it. With `name` only what was to become the file or folder of that name. Processes of other machines and containers may
    be alive, but not for one who is `alone`: who holds the lock under which all that lies there is written.
    """
    directory = Path(directory)
    if not os.path.isdir(directory):
        return
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            match = TEMPORARY.match(entry.name)
            if match is None or not entry.name.startswith(f".{name}") or not _is_left(match, alone):
                continue
            left, path = Path(entry.path), directory / match["name"]
            if match["state"] != _ASIDE:
                _discard(left)
            elif os.path.lexists(path):
                _discard_older(left, path)
            else:
                os.rename(left, path)


def _is_left(match: re.Match[str], alone: bool) -> bool:
    """Whether nobody writes under this temporary name any more."""
    if match["place"] == _place():
        return not _alive(int(match["process"]))
    return alone or match["state"] == _DISCARDED


def bring_back(path: str | Path) -> None:
    """Gives a folder its name again that was put aside by a process that died before another folder had taken its place.

    That happens only where the file system cannot exchange two names at once, as on some network disks. Whether a process of
    another machine or container lives is not known; one that does replaces what it finds under the name.
    """
    path = Path(path)
    if os.path.lexists(path):
        return
    remove_temporaries(path.parent, f"{path.name}.")
    with contextlib.suppress(OSError):
        elsewhere = [folder for folder in _put_aside(path) if not folder.name.startswith(f".{path.name}.{_place()}-")]
        if elsewhere and not os.path.lexists(path):
            os.rename(max(elsewhere, key=lambda folder: folder.stat().st_ctime_ns), path)


def discard_put_aside(path: str | Path) -> None:
    """Removes what processes of any machine put aside for the folder that has the name `path`.

    For who holds the lock under which that folder is replaced: nobody else is about to give one of them its name again.
    """
    path = Path(path)
    for folder in _put_aside(path):
        _discard_older(folder, path)


def bring_back_all(directory: str | Path) -> None:
    """Gives every folder directly below `directory` its name again that `bring_back` would."""
    for name in {name for _, name in _all_put_aside(Path(directory))}:
        bring_back(Path(directory) / name)


def _put_aside(path: Path) -> list[Path]:
    """The folders that had the name `path` and were put aside by a process of any machine, be it alive or not."""
    return [folder for folder, name in _all_put_aside(path.parent) if name == path.name]


def _all_put_aside(directory: Path) -> list[tuple[Path, str]]:
    """The folders directly below `directory` that were put aside by a process of any machine, with the names they had."""
    found = []
    with contextlib.suppress(OSError):
        for entry in directory.iterdir():
            match = TEMPORARY.match(entry.name)
            if match is not None and match["state"] == _ASIDE:
                found.append((entry, match["name"]))
    return found


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def open_descriptor(path: str | Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a file. Raises OSError for a folder, and at once for a pipe or a device, which may never begin or end."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise OSError(errno.EINVAL, "it is a pipe or a device, not a file")


def _reading(path: str | Path) -> io.BufferedReader:
    """A file opened for reading. Raises OSError as `open_descriptor` does."""
    return open(path, "rb", opener=open_descriptor)


def refuse_unreadable(path: str | Path) -> None:
    """Raises DataError unless `path` is a file that can be opened: asked before a library opens it by its name."""
    try:
        with _reading(path):
            pass
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror}", path=path) from error


def read_bytes(path: str | Path, limit: int) -> bytes:
    """The bytes of a file of at most `limit` bytes. Raises DataError naming the file if it is absent, unreadable or larger."""
    path = Path(path)
    try:
        with _reading(path) as handle:
            # Asking for the limit itself would set aside that much memory for every small file.
            data = handle.read(min(os.fstat(handle.fileno()).st_size, limit) + 1)
            if len(data) <= limit:
                # A file that grew meanwhile, or one that does not know its size.
                data += handle.read(limit + 1 - len(data)) if handle.peek(1) else b""
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror}", path=path) from error
    if len(data) > limit:
        raise DataError("the file is too large for what it should be", path=path, expected=f"at most {limit:,} bytes")
    return data


def read_json(path: str | Path, limit: int = 256 * 1024 * 1024) -> Any:
    """The value in a JSON file. Raises DataError naming the file and the 1-based line if it does not parse."""
    data = read_bytes(path, limit)
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError("not UTF-8 text", path=path, expected="a JSON file") from error
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg}", path=path, line=error.lineno, expected="a JSON file") from error
    except (RecursionError, ValueError) as error:  # ValueError: a whole number of more digits than Python reads
        problem = "nested too deeply" if isinstance(error, RecursionError) else "a number of too many digits"
        raise DataError(problem, path=path, expected="a JSON file this program wrote") from error


FOREIGN_CONTENT = (
    (b"version https://git-lfs", "a Git LFS pointer, the file itself was not downloaded"),
    (b"/annex/objects", "a git-annex pointer, the file itself was not downloaded"),
    (b"<", "a web page"),
)
"""First bytes -> what stands in the place of a file that was copied or downloaded wrongly."""


def foreign_content(path: str | Path) -> str | None:
    """What a file is that should be data of the program: empty, a web page, a pointer to another file; None if none of these."""
    start = read_start(path, 512)
    if not start:
        return "empty"
    return next((kind for first_bytes, kind in FOREIGN_CONTENT if start.lstrip().startswith(first_bytes)), None)


def read_start(path: str | Path, count: int) -> bytes:
    """The first `count` bytes of a file, fewer if it is shorter. Raises DataError naming the file if it cannot be read."""
    try:
        with _reading(path) as handle:
            return handle.read(count)
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror}", path=path) from error


def sha256(path: str | Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    try:
        with _reading(path) as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror}", path=path) from error


def refuse_changed(path: str | Path, digest: str, remedy: str) -> None:
    """Raises DataError unless a file that a package brings is the one whose sha256 is known."""
    found = sha256(path)
    if found != digest:
        raise DataError(
            "not the file that the package is known to contain, so it is not used",
            path=path,
            found=f"sha256 {found}",
            expected=f"sha256 {digest}",
            remedy=remedy,
        )


def sha256_of_bytes(data: bytes) -> str:
    """The sha256 of `data`, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def is_junk(name: str) -> bool:
    """Whether an operating system leaves files of this name, or in folders of this name, behind."""
    parts = PurePosixPath(name).parts
    return "\\" not in name and ".." not in parts and any(part.startswith(".") or part.lower() in JUNK for part in parts)


def safe_name(name: str, what: str) -> str:
    """`name` itself if it can be a single file name on every system, else UsageError.

    Refused: empty, `.`, `..`, a leading dot or dash, path separators, drives, control characters, device names, trailing dots or
    blanks, more than 200 bytes.
    """
    encoded = name.encode("utf-8", "surrogatepass")
    if (
        not name
        or name[0] in ".-"
        or name != name.strip()
        or name.endswith(".")
        or len(encoded) > LONGEST_NAME
        or any(character in REFUSED_IN_FILES or ord(character) < 32 or ord(character) == 127 for character in name)
        or any(0xD800 <= ord(character) <= 0xDFFF for character in name)
        or name.split(".")[0].lower() in WINDOWS_DEVICES
    ):
        raise UsageError(
            f"{what} cannot be a file name",
            found=ascii(name[:80]),
            expected="letters, digits, '-', '_', '+', '.' and blanks, at most 200 bytes, no folder in it",
        )
    return name


@functools.lru_cache(maxsize=4096)
def is_track_name(name: str) -> bool:
    """Whether a track can have this name wherever it is written: as a file's on every system, and first in a row of an answer.

    Beside what `safe_name` refuses, a comma and quotes would end or hide a field of a row, and what cannot be printed (blanks of
    other widths, marks of direction) looks like another name, as does what stands for bytes that are no text.
    """
    try:
        safe_name(name, "a track's name")
    except UsageError:
        return False
    return name.isprintable() and not any(mark in name for mark in REFUSED_IN_TRACKS)


def track_name_of(text: str) -> str:
    """The nearest name a track can have: what it cannot hold becomes an underscore. Equal to `text` if that is such a name.

    Raises UsageError where nothing is left of it.
    """
    if is_track_name(text):
        return text
    kept = "".join(letter if letter.isprintable() and letter not in REFUSED_IN_TRACKS else "_" for letter in text)
    name = kept.encode("utf-8", "replace")[: LONGEST_NAME - 8].decode("utf-8", "ignore").strip().lstrip(".-").rstrip(". ")
    name = f"_{name}" if name.split(".")[0].lower() in WINDOWS_DEVICES else name
    if not is_track_name(name):
        raise UsageError("nothing of this name can be a track's", found=ascii(text[:80]))
    return name


@contextlib.contextmanager
def lock(path: str | Path, what: str, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Holds a lock on `path` for the block: alone, or beside others if all of them ask for a `shared` one.

    The lock of a process that died is taken over. Raises LockedError naming the process and host of who holds it alone, unless
    told to `wait`, which is for what takes no time; UnlockableError where nothing can be written or the file system has no locks;
    DataError for a link in the place of the lock.
    """
    path = Path(path)
    descriptor = _open_locked(path, what, shared, wait)
    try:
        _write_holder(descriptor, path, "" if shared else f"process {os.getpid()} on {socket.gethostname()}\n{_place()}")
        yield
    finally:
        _leave_lock(descriptor, alone=not shared)


def _open_locked(path: Path, what: str, shared: bool, wait: bool) -> int:
    """A descriptor that holds the lock of the file which has this name."""
    while True:
        descriptor = _open_lock(path)
        try:
            _take_lock(descriptor, path, what, shared, wait)
        except BaseException:
            _leave_lock(descriptor)
            raise
        if _is_at(descriptor, path):
            return descriptor
        _leave_lock(descriptor)  # its folder was replaced by another between opening and locking


def _open_lock(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Through a link that came with a folder of others, the holder's name would be written over what it leads to.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise _no_lock(path, error) from error
    _locks.add(descriptor)
    return descriptor


_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
"""What flock(2) and fcntl(2), by which some network disks do it, answer where another holds the lock."""
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


def _take_lock(descriptor: int, path: Path, what: str, shared: bool, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in _HELD:
            raise _held_by_another(descriptor, path, what) from error
        raise _no_lock(path, error) from error


def _held_by_another(descriptor: int, path: Path, what: str) -> LockedError:
    holder = _holder(descriptor)
    return LockedError(
        f"{what} is being written by another process",
        path=path,
        found=f"held by {holder or 'another command, which left no process number'}",
        remedy="wait for it to end, or stop it" + ("" if holder else "; `lsof` with this file names it on its machine"),
    )


def _no_lock(path: Path, error: OSError) -> DataError:
    """Why there can be no lock on `path`, whoever else would hold it."""
    if error.errno in _NO_LOCKS:
        return UnlockableError(
            "this file system has no locks, which keep two commands from writing the same at once",
            path=path,
            found=error.strerror,
            remedy="work in a folder on another disk, or have this one mounted with locks (Lustre: -o flock, NFS: rpc.statd)",
        )
    if error.errno in _UNWRITABLE:
        return UnlockableError(f"cannot write a lock: {error.strerror}", path=path, remedy="check the folder and try again")
    if path.is_symlink():
        return DataError(
            "a link stands in the place of a lock",
            path=path,
            found=f"a link to {os.readlink(path)}",
            expected="a file that this program made, or none",
            remedy="remove the link and run the same command again",
        )
    return _writing_error(path, error)


def _write_holder(descriptor: int, path: Path, holder: str) -> None:
    """Says in the file of a lock who holds it alone; of those who share it nobody, nor of whoever was killed before them."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode(), 0)
    except OSError as error:
        raise _no_lock(path, error) from error


_HOLDER = re.compile(r"(?P<name>process (?P<process>[0-9]{1,9}) on .+)\n(?P<place>[0-9a-f]{8})")
"""What stands in the file of a lock that one process holds alone: its number and host, and what its number means something in."""


def _holder(descriptor: int) -> str | None:
    """Who says in the file of a lock that it holds it alone; None if nobody does, or one of this machine that has ended."""
    said = _HOLDER.fullmatch(os.pread(descriptor, 400, 0).decode("utf-8", "replace"))
    if said is None or (said["place"] == _place() and not _alive(int(said["process"]))):
        return None
    return said["name"]


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _leave_lock(descriptor: int, alone: bool = False) -> None:
    """Closes a lock, which ends it whatever fails here; who held it `alone` is not named in its file any more."""
    if descriptor in _locks:
        _locks.remove(descriptor)
        if alone:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # at once, even while a process that was just forked has not closed it yet
        with contextlib.suppress(OSError):
            os.close(descriptor)


_locks: set[int] = set()
"""Descriptors of the locks this process holds or asks for."""


def _leave_locks_to_the_parent() -> None:
    """Closes them in a forked process, which would hold the locks of a parent that was killed."""
    while _locks:
        os.close(_locks.pop())


os.register_at_fork(after_in_child=_leave_locks_to_the_parent)
