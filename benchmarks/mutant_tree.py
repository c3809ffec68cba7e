"""Where mutants live: a copy of the tree with one change, and processes that see it."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.mutating import Mutant
from benchmarks.tracing import SITE

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 30
"""So many times the seconds of processor may pass on the wall before a mutant counts as stuck."""


class Workplace:
    """A folder with a copy of the tree, and of what shared fixtures made, to be laid anew when a mutant harmed it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree, self.temporary, self.log = folder / "tree", folder / "tmp", folder / "log"
        self.tree.mkdir(parents=True, exist_ok=True)

    def copy_tree(self) -> None:
        """Copies what git tracks or would: only files that differ, so that compiled files stay valid; what is gone here goes."""
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        wanted = {name for name in listed if (ROOT / name).is_file()}
        for path in [path for path in self.tree.rglob("*") if path.is_file() and "__pycache__" not in path.parts]:
            if path.relative_to(self.tree).as_posix() not in wanted:
                path.unlink()
        for name in wanted:
            there = self.tree / name
            if not there.exists() or there.read_bytes() != (ROOT / name).read_bytes():
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, there)
        (self.tree / "sitecustomize.py").write_text(SITE)

    @contextmanager
    def changed(self, file: str, mutant: Mutant) -> Iterator[str]:
        """The tree with one change, and the file's text without it.

        The file's time goes up, so that no compiled file of the original is taken for it.
        """
        path = self.tree / file
        original, status = path.read_bytes(), path.stat()
        before = _state(self.tree)
        path.write_text(mutant.of(original.decode()))
        os.utime(path, (status.st_atime, status.st_mtime + 1000))
        try:
            yield original.decode()
        finally:
            path.write_bytes(original)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            if _state(self.tree) != before:
                self.copy_tree()

    def keep(self, place: Path) -> None:
        """Remembers what a shared fixture made."""
        copy = self.folder / "kept" / hashlib.sha256(str(place).encode()).hexdigest()[:16]
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(place, copy, copy_function=shutil.copy2, symlinks=True)
        copy.with_suffix(".json").write_text(json.dumps(str(place)))

    def refresh(self) -> None:
        """What shared fixtures made is laid anew where a test or a mutant changed it."""
        for kept in (self.folder / "kept").glob("*.json"):
            place, copy = Path(json.loads(kept.read_text())), kept.with_suffix("")
            if _state(place) != _state(copy):
                shutil.rmtree(place, ignore_errors=True)
                shutil.copytree(copy, place, copy_function=shutil.copy2, symlinks=True)


def _state(folder: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of all files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted((path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files)


def digest(tree: Path, names: Iterable[str]) -> str:
    """A digest of some files."""
    found = hashlib.sha256()
    for name in sorted(names):
        found.update(name.encode() + ((tree / name).read_bytes() if (tree / name).exists() else b""))
    return found.hexdigest()[:16]


def in_child(log: Path, seconds: float, work: Callable[[], Any]) -> tuple[Any, int, float]:
    """What `work` returns in a forked process (None: no end), the signal that ended it (or 0), and its seconds of processor.

    The process may take so many seconds of processor, and leaves no process behind.
    """
    reading, writing = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            _become_child(log, seconds)
            os.write(writing, json.dumps(work()).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
    os.close(writing)
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() - began > (seconds + 5) * PATIENCE:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.01)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return json.loads(answer) if answer else None, ended_by, usage.ru_utime + usage.ru_stime


def _become_child(log: Path, seconds: float) -> None:
    """In the forked process: a group of its own, limits, output, and a folder for what the harness keeps of earlier calls."""
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 5))
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(dir=log.parent)


def enter(tree: Path) -> None:
    """This process and those it starts work with the copy of the tree, and compile nothing into it."""
    os.chdir(tree)
    sys.path[:] = [str(tree), *(place for place in sys.path if place not in ("", str(ROOT)))]
    os.environ["PYTHONPATH"] = str(tree)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
