"""Whole or not at all, locks, limits and names."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import files
from harness.errors import DataError, LockedError, UnlockableError, UsageError
from tests.leftovers import temporary_of_the_dead


def test_a_written_file_holds_the_bytes(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "deep" / "a.bin", b"abc")
    assert (tmp_path / "deep" / "a.bin").read_bytes() == b"abc"
    assert os.listdir(tmp_path / "deep") == ["a.bin"]


def test_an_exception_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    writing = files.writing(path)
    writing.__enter__().write(b"half")
    writing.__exit__(RuntimeError, RuntimeError(), None)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("stage", ["open", "flush", "rename"])
def test_a_write_that_fails_at_any_stage_leaves_the_old_file(tmp_path: Path, stage: str) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def fail(name: str) -> None:
        if name == stage:
            raise OSError(28, "No space left on device")

    files.set_stage_hook(fail)
    try:
        with pytest.raises(DataError, match="no room to write"):
            files.write_text(path, "new")
    finally:
        files.set_stage_hook(None)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    "stage",
    ["open", "flush", "rename", "sync", "directory-sync", "directory-rename", "directory-discard", "directory-parent-sync"],
)
def test_a_process_killed_at_any_stage_leaves_the_old_or_the_new_folder(tmp_path: Path, stage: str) -> None:
    code = (
        "from harness import files\n"
        "from pathlib import Path\n"
        f"with files.writing_directory(Path({str(tmp_path / 'folder')!r})) as folder:\n"
        "    files.write_text(folder / 'a', 'new')\n"
        "    files.write_text(folder / 'b', 'new')\n"
    )
    with files.writing_directory(tmp_path / "folder") as folder:
        files.write_text(folder / "a", "old")
        files.write_text(folder / "b", "old")
    killed = subprocess.run([sys.executable, "-c", code], env={**os.environ, "HARNESS_FAULT": f"{stage}:1"}, check=False)
    assert killed.returncode == -signal.SIGKILL
    folder = tmp_path / "folder"
    kept = {(folder / name).read_text() for name in ("a", "b")}
    assert kept in ({"old"}, {"new"})
    files.remove_temporaries(tmp_path)
    assert os.listdir(tmp_path) == ["folder"]


WITHOUT_EXCHANGE = (
    "import os, sys\n"
    "from pathlib import Path\n"
    "from harness import files\n"
    "files._exchange = lambda first, second: False\n"
    "with files.writing_directory(Path(sys.argv[1])) as folder:\n"
    "    files.write_text(folder / 'a', 'new')\n"
)


@pytest.mark.parametrize("stage", ["directory-rename", "directory-aside", "directory-discard", "directory-parent-sync"])
def test_where_two_folders_cannot_be_exchanged_a_killed_process_leaves_one_that_is_found_again(
    tmp_path: Path, stage: str
) -> None:
    place = tmp_path / "folder"
    with files.writing_directory(place) as folder:
        files.write_text(folder / "a", "old")
    command = [sys.executable, "-c", WITHOUT_EXCHANGE, str(place)]
    killed = subprocess.run(command, env={**os.environ, "HARNESS_FAULT": f"{stage}:1"}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert place.exists() == (stage != "directory-aside")
    files.bring_back(place)
    assert (place / "a").read_text() == ("old" if stage in ("directory-rename", "directory-aside") else "new")
    subprocess.run(command, check=True)
    assert (place / "a").read_text() == "new"
    assert os.listdir(tmp_path) == ["folder"]


def test_where_two_folders_cannot_be_exchanged_an_interrupt_between_the_names_gives_the_older_its_name_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    place = tmp_path / "folder"
    with files.writing_directory(place) as folder:
        files.write_text(folder / "a", "old")

    def interrupt(stage: str) -> None:
        if stage == "directory-aside":
            raise KeyboardInterrupt

    files.set_stage_hook(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), files.writing_directory(place) as folder:
            files.write_text(folder / "a", "new")
    finally:
        files.set_stage_hook(None)
    assert os.listdir(tmp_path) == ["folder"]
    assert (place / "a").read_text() == "old"


@pytest.mark.parametrize("name", [".", "..", "a/..", "/"])
def test_nothing_takes_the_place_of_the_folder_one_is_in_or_of_one_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "here" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(DataError, match="the folder you are in, or one above it"):
        files.refuse_unwritable(name, folder=True)
    with pytest.raises(DataError, match="the folder you are in, or one above it"), files.writing_directory(name):
        pytest.fail("a folder was begun")
    assert os.listdir(tmp_path) == ["here"]


KILLED_AFTER_ONE_FILE_OF_A_FOLDER = (
    "import os, shutil, signal\n"
    "unlink, removed = os.unlink, []\n"
    "def unlink_one(path, **where):\n"
    "    if where and removed:\n"
    "        os.kill(os.getpid(), signal.SIGKILL)\n"
    "    removed.extend([path] if where else [])\n"
    "    unlink(path, **where)\n"
    "os.unlink = unlink_one\n"
)
THE_NEXT_ONE = (
    "import sys\nfrom pathlib import Path\nfrom harness import files\nfiles.remove_temporaries(Path(sys.argv[1]).parent)\n"
)


@pytest.mark.parametrize("who", ["who replaced it", "who comes next"])
def test_a_folder_that_was_replaced_and_discarded_in_part_has_its_name_never_again(tmp_path: Path, who: str) -> None:
    def killed(code: str, fault: str = "") -> bool:
        ended = subprocess.run([sys.executable, "-c", code, place], env={**os.environ, "HARNESS_FAULT": fault}, check=False)
        return ended.returncode == -signal.SIGKILL

    place = tmp_path / "folder"
    with files.writing_directory(place) as folder:
        for name in "abc":
            files.write_text(folder / name, "old")
    if who == "who replaced it":
        assert killed(KILLED_AFTER_ONE_FILE_OF_A_FOLDER + WITHOUT_EXCHANGE)
    else:
        assert killed(WITHOUT_EXCHANGE, "directory-discard:1")
        assert killed(KILLED_AFTER_ONE_FILE_OF_A_FOLDER + THE_NEXT_ONE)
    assert len(list(tmp_path.glob(".folder.*/?"))) == 2
    assert (place / "a").read_text() == "new"
    shutil.rmtree(place)  # as who wants neither
    files.bring_back(place)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_another_machine_puts_aside_as_soon_as_it_has_its_name_is_not_discarded(tmp_path: Path) -> None:
    place = tmp_path / "folder"

    def replace(stage: str) -> None:
        if stage == "directory-discard":
            place.rename(tmp_path / ".folder.00000002-77.aside.tmp")

    (tmp_path / ".folder.00000001-77.aside.tmp").mkdir()
    files.set_stage_hook(replace)
    try:
        with files.writing_directory(place) as folder:
            files.write_text(folder / "a", "new")
    finally:
        files.set_stage_hook(None)
    assert os.listdir(tmp_path) == [".folder.00000002-77.aside.tmp"]
    files.bring_back(place)
    assert (place / "a").read_text() == "new"


def test_where_the_new_folder_cannot_take_the_name_the_old_one_has_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with files.writing_directory(tmp_path / "folder") as folder:
        files.write_text(folder / "a", "old")
    renames: list[str] = []

    def rename(source: Path, target: Path) -> None:
        renames.append(str(target))
        if len(renames) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.replace(source, target)

    monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(DataError, match="cannot write"), files.writing_directory(tmp_path / "folder") as folder:
        (folder / "a").write_text("new")
    assert (tmp_path / "folder" / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["folder"]


def test_a_folder_behind_a_link_is_replaced_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "large disk")
    with files.writing_directory(tmp_path / "run") as folder:
        files.write_text(folder / "a", "new")
    assert (tmp_path / "run").is_symlink()
    assert (tmp_path / "large disk" / "a").read_text() == "new"


def test_a_name_that_must_be_new_is_not_taken_from_another_process(tmp_path: Path) -> None:
    def two() -> None:
        with files.writing_directory(tmp_path / "run", only_new=True) as folder:
            files.write_text(folder / "a", "mine")
            (tmp_path / "run").mkdir()
            (tmp_path / "run" / "a").write_text("theirs")

    with pytest.raises(DataError, match="another process made this in the meantime"):
        two()
    assert (tmp_path / "run" / "a").read_text() == "theirs"
    assert os.listdir(tmp_path) == ["run"]


@pytest.mark.parametrize("moment", ["before it is put aside", "after it was put aside"])
def test_where_two_folders_cannot_be_exchanged_the_later_of_two_writers_replaces_the_earlier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path = tmp_path / "answer"
    moments: list[str] = []

    def other_writes(*_: Any) -> bool:
        """Another process puts what is there away, and in the second case has its own in place by now."""
        if not moments:
            moments.append(moment)
            if moment == "before it is put aside":
                path.rename(tmp_path / "theirs")
            else:
                files.set_stage_hook(lambda stage: _put(path) if stage == "directory-aside" and not path.exists() else None)
        return False

    def _put(place: Path) -> None:
        files.set_stage_hook(None)
        place.mkdir()
        (place / "content").write_text("theirs")

    def discard(folder: Path) -> None:
        discarded.append(folder.name)
        plain(folder)

    plain, discarded = files._discard, list[str]()
    monkeypatch.setattr(files, "_discard", discard)
    path.mkdir()
    (path / "content").write_text("older")
    monkeypatch.setattr(files, "_exchange", other_writes)
    with files.writing_directory(path) as folder:
        (folder / "content").write_text("ours")
    assert (path / "content").read_text() == "ours"
    assert sorted(os.listdir(tmp_path)) == ["answer"] + ["theirs"] * (moment == "before it is put aside")
    assert [name for name in discarded if ".aside." in name] == []  # a part of one could have its name again


@pytest.mark.parametrize("name", ["a", "folders/that/cannot/be/made/a"])
def test_a_full_table_of_inodes_is_not_said_to_be_a_want_of_space(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statvfs = os.statvfs

    def full(path: Path) -> os.statvfs_result:
        plain = statvfs(path)
        return os.statvfs_result((*plain[:5], 1000, 0, 0, *plain[8:]))

    def fail(*what: object, **how: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "statvfs", full)
    monkeypatch.setattr(files, "_stage_hook", fail)
    monkeypatch.setattr(Path, "mkdir", fail if "/" in name else Path.mkdir)
    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    for write in (partial(files.write_text, text="x"), files.refuse_unwritable):
        with pytest.raises(DataError, match="no inode left") as caught:
            write(tmp_path / name)
        assert "1,000 files" in str(caught.value.found)


def test_a_full_disk_is_said_with_what_is_left(tmp_path: Path) -> None:
    code = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from harness import files, errors\n"
        "try:\n"
        f"    files.write_bytes({str(tmp_path / 'big')!r}, bytes(5000))\n"
        "except errors.DataError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "no room to write" in done.stdout
    assert os.listdir(tmp_path) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_a_place_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        files.write_text(tmp_path / "file" / "a", "x")
    with pytest.raises(DataError, match="cannot write here"):
        files.make_directory(tmp_path / "file" / "folder")


def test_json_is_the_same_whatever_the_order_of_its_keys(tmp_path: Path) -> None:
    assert files.json_text({"b": 1, "a": [1.5, None]}) == files.json_text({"a": [1.5, None], "b": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        files.json_text({"a": float("nan")})


def test_damaged_json_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{\n "a": 1,\n "b": }\n')
    with pytest.raises(DataError, match=r"a\.json:3: not JSON"):
        files.read_json(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8"):
        files.read_json(path)
    path.write_text('{"a": ' + "9" * 5000 + "}")
    with pytest.raises(DataError, match="a number of too many digits"):
        files.read_json(path)
    path.write_text("[" * 100_000)
    with pytest.raises(DataError):
        files.read_json(path)


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(11))
    assert files.read_bytes(tmp_path / "a", 11) == bytes(11)
    with pytest.raises(DataError, match="too large"):
        files.read_bytes(tmp_path / "a", 10)


def test_a_fault_that_names_no_moment_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_FAULT", "rename:x")
    with pytest.raises(UsageError, match="HARNESS_FAULT names no moment"):
        files.write_text(tmp_path / "a", "x")
    assert os.listdir(tmp_path) == []


def test_a_lock_names_its_holder_and_ends_with_the_process(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    code = f"from harness import files\nwith files.lock({path!r}, 'the run'):\n    print('held', flush=True); input()\n"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockedError, match=f"process {holder.pid} on "), files.lock(tmp_path / "lock", "the run"):
        pass
    holder.kill()
    holder.wait()
    with files.lock(tmp_path / "lock", "the run", shared=True):
        assert the_refusal(tmp_path / "lock") == "another command, which left no process number"
    with files.lock(tmp_path / "lock", "the run"):
        assert the_refusal(tmp_path / "lock") == f"process {os.getpid()} on {socket.gethostname()}"
    with files.lock(tmp_path / "lock", "the run", shared=True):
        assert the_refusal(tmp_path / "lock") == "another command, which left no process number"


def the_refusal(path: Path) -> str:
    """Who holds a lock, as it is told to one who asks for it."""
    with pytest.raises(LockedError) as refused, files.lock(path, "the run"):
        pass
    assert refused.value.found is not None
    return refused.value.found.removeprefix("held by ")


@pytest.mark.parametrize(("place", "lives", "named"), [("here", True, True), ("here", False, False), ("there", False, True)])
def test_of_a_lock_no_process_of_this_machine_is_named_that_has_ended(
    tmp_path: Path, place: str, lives: bool, named: bool
) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    number = os.getpid() if lives else dead.pid
    path = tmp_path / "lock"
    path.write_text(f"process {number} on host\n{files._place() if place == 'here' else '00000001'}")
    with open(path) as handle:  # as by another who does not say so
        fcntl.flock(handle, fcntl.LOCK_SH)
        assert (the_refusal(path) == f"process {number} on host") is named
        with pytest.raises(LockedError, match="`lsof`" if not named else "or stop it$"), files.lock(path, "the run"):
            pass


def test_who_no_longer_holds_a_lock_is_not_named_in_it(tmp_path: Path) -> None:
    with files.lock(tmp_path / "lock", "the run"):
        with pytest.raises(LockedError), files.lock(tmp_path / "lock", "the run"):
            pass
        assert (tmp_path / "lock").read_text().startswith(f"process {os.getpid()} on ")
    assert (tmp_path / "lock").read_text() == ""


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (errno.ENOSYS, UnlockableError, "this file system has no locks"),
        (errno.EOPNOTSUPP, UnlockableError, "this file system has no locks"),
        (errno.ENOLCK, UnlockableError, "this file system has no locks"),
        (errno.EAGAIN, LockedError, "is being written by another process"),
        (errno.EACCES, LockedError, "is being written by another process"),
        (errno.EIO, DataError, "cannot write: Input/output error"),
    ],
)
def test_only_what_another_holds_is_said_to_be_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int, kind: type[Exception], said: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(fcntl, "flock", fail)
    for shared in (False, True):
        with pytest.raises(kind, match=said) as refused, files.lock(tmp_path / "lock", "the run", shared):
            pass
        assert type(refused.value) is kind
        assert str(tmp_path / "lock") in str(refused.value)


def test_a_lock_that_cannot_be_given_up_hides_no_other_error_and_ends_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def take_only(descriptor: int, operation: int) -> None:
        if operation == fcntl.LOCK_UN:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", take_only)
    with pytest.raises(ZeroDivisionError), files.lock(tmp_path / "lock", "the run"):
        raise ZeroDivisionError
    with files.lock(tmp_path / "lock", "the run"):
        pass


HOSTILE_NAMES = [
    "x" * 201,
    "é" * 150,
    "",
    ".",
    "..",
    "../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..\\x",
    "C:x",
    "C:\\x",
    "a\x00b",
    "a\nb",
    ".hidden",
    "-rf",
    "con",
    "NUL.txt",
    "aux",
    "com1",
    "lpt9.log",
    "a.",
    "a ",
    " a",
    "a|b",
    "a?b",
    "a*b",
    "<b>",
    'a"b',
    "\x1b[31m",
    "\x7f",
    "\ud800",
    "a/../b",
    "....//",
    "~/x/y",
    "a:b",
    "prn",
    "com9.x.y",
    "\t",
    "x/",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_a_hostile_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a file name"):
        files.safe_name(name, "the run's name")


@pytest.mark.parametrize(
    "name", ["video92", "10-30-640x480", "a.b-c_d+e", "My clip (1)", "Gr\u00f6\u00dfe", "\u8868\u60c5", "x" * 200]
)
def test_a_track_may_have_any_name_that_is_a_file_s_and_stands_in_a_row(name: str) -> None:
    assert files.is_track_name(name)


@pytest.mark.parametrize(
    "name", [*HOSTILE_NAMES, "a,b", "it's", 'a"b', "no\u00a0break", "\u202ereversed", "a\ufffd", "a\u2028b"], ids=ascii
)
def test_a_name_that_a_row_cannot_hold_is_no_track_s(name: str) -> None:
    assert not files.is_track_name(name)


@given(st.text(max_size=40))
def test_a_name_that_passes_stays_inside_the_folder(name: str) -> None:
    try:
        safe = files.safe_name(name, "the name")
    except UsageError:
        return
    folder = Path("/some/folder")
    assert (folder / safe).parent == folder
    assert Path(os.path.normpath(folder / safe)).parent == folder


@pytest.mark.parametrize("read", [partial(files.read_bytes, limit=9), partial(files.read_start, count=9), files.sha256])
def test_a_pipe_or_a_device_is_not_read_for_it_may_never_begin_or_never_end(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    pipe = tmp_path / "labels.txt"
    os.mkfifo(pipe)
    # So that who reads it is not kept waiting for ever.
    threading.Thread(target=lambda: os.close(os.open(pipe, os.O_WRONLY)), daemon=True).start()
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(DataError, match="it is a pipe or a device, not a file"):
            read(path)
    with pytest.raises(DataError, match="Is a directory"):
        read(tmp_path)


def test_no_file_takes_the_place_of_a_pipe_or_a_device_though_root_may_put_it_there(tmp_path: Path) -> None:
    pipe, link, output = tmp_path / "pipe", tmp_path / "link", tmp_path / "stdout"
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    output.symlink_to("/proc/self/fd/1")  # as /dev/stdout is
    for path in (pipe, link, output):
        for write in (lambda path: files.write_text(path, "x"), files.refuse_unwritable):
            with pytest.raises(DataError, match="it is a pipe or a device, not a file"):
                write(path)
    with pytest.raises(DataError, match="it is a pipe or a device, not a file"), files.writing_directory(pipe):
        pass
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe", "stdout"]
    assert pipe.is_fifo()


def test_a_link_in_the_place_of_a_lock_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (tmp_path / ".lock").symlink_to("precious")
    for shared in (False, True):
        said = "a link stands in the place of a lock\n  found: a link to precious\n"
        with pytest.raises(DataError, match=said), files.lock(tmp_path / ".lock", "the run 'a'", shared):
            pass
    assert (tmp_path / "precious").read_text() == "kept"


def test_temporaries_of_the_living_are_left_alone(tmp_path: Path) -> None:
    mine = files._temporary(tmp_path / "a")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    theirs = tmp_path / mine.name.replace(f"-{os.getpid()}.", f"-{dead.pid}.")
    of_another_machine = tmp_path / f".a.00000000-{dead.pid}.tmp"
    discarded_there = tmp_path / f".a.00000000-{dead.pid}.discarded.tmp"  # which nobody wants again, whoever lives
    for path in (mine, theirs, of_another_machine, discarded_there):
        path.write_text("")
    files.remove_temporaries(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([mine.name, of_another_machine.name])


def test_who_writes_a_file_takes_away_what_a_dead_writer_of_it_left(tmp_path: Path) -> None:
    left, other = temporary_of_the_dead(tmp_path / "run.json"), temporary_of_the_dead(tmp_path / "other.json")
    for path in (left, other):
        path.write_text("half")
    files.write_json(tmp_path / "run.json", {})
    assert sorted(os.listdir(tmp_path)) == sorted(["run.json", other.name])


def test_a_folder_that_a_killed_container_had_put_aside_is_found_by_its_name_in_the_next_container(tmp_path: Path) -> None:
    """As where the file system cannot exchange names: numbers of processes there mean nothing here."""
    for content, place in (("older", "00000001"), ("newer", "00000002")):
        aside = tmp_path / f".run.{place}-{os.getpid()}.aside.tmp"
        aside.mkdir()
        (aside / "content").write_text(content)
        time.sleep(0.01)
    (tmp_path / f".run.00000003-{os.getpid()}.tmp").mkdir()  # the one that was to take its place is not whole
    (tmp_path / f".run.x.00000003-{os.getpid()}.aside.tmp").mkdir()
    files.bring_back(tmp_path / "run")
    assert (tmp_path / "run" / "content").read_text() == "newer"
    files.bring_back(tmp_path / "run")
    assert (tmp_path / "run" / "content").read_text() == "newer"


@pytest.mark.parametrize(("space", "told_apart"), [("pid:[4026532201]", True), ("pid:[4026531836]", False)])
def test_containers_of_one_image_are_told_apart_by_the_boots_of_their_machines_which_forget_nothing_by_booting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: str, told_apart: bool
) -> None:
    boot, names = tmp_path / "boot_id", []
    monkeypatch.setattr(files, "_BOOT", boot)
    monkeypatch.setattr(os, "readlink", lambda path: space)
    for which in ("one", "two"):
        boot.write_text(which)
        files._place.cache_clear()
        names.append(files._temporary(tmp_path / "a"))
    files._place.cache_clear()
    assert (names[0] != names[1]) is told_apart


def test_a_container_of_the_same_host_name_keeps_what_it_is_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = files._temporary(tmp_path / "a")
    mine.write_text("half")
    monkeypatch.setattr(os, "readlink", lambda path: "pid:[4026539999]")
    monkeypatch.setattr(files, "_alive", lambda pid: False)  # its number means nothing there
    files._place.cache_clear()
    try:
        assert files._temporary(tmp_path / "a") != mine
        files.remove_temporaries(tmp_path)
        assert mine.exists()
        files.remove_temporaries(tmp_path, alone=True)
        assert not mine.exists()
    finally:
        files._place.cache_clear()


def test_a_lock_may_be_shared_but_not_with_one_who_must_be_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with files.lock(path, "it", shared=True):
        with files.lock(path, "it", shared=True), pytest.raises(LockedError), files.lock(path, "it"):
            pass
        with pytest.raises(LockedError), files.lock(path, "it"):
            pass
    with files.lock(path, "it"), pytest.raises(LockedError), files.lock(path, "it", shared=True):
        pass


def test_the_lock_of_a_folder_that_is_being_replaced_is_that_of_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, path = files._take_lock, tmp_path / "run" / ".lock"
    opened: list[int] = []

    def slow(descriptor: int, *rest: Any) -> None:
        opened.append(descriptor)
        if len(opened) == 1:
            (tmp_path / "run").rename(tmp_path / "gone")
            path.parent.mkdir()
        plain(descriptor, *rest)

    monkeypatch.setattr(files, "_take_lock", slow)
    with files.lock(path, "the run"):
        monkeypatch.undo()
        with pytest.raises(LockedError), files.lock(path, "the run"):
            pass
        with files.lock(tmp_path / "gone" / ".lock", "the old run"):
            pass


def test_sha256_is_that_of_hashlib(tmp_path: Path) -> None:
    import hashlib

    (tmp_path / "a").write_bytes(b"abc" * 1000)
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 1000).hexdigest()
    assert json.loads(files.json_text({"x": files.sha256_of_bytes(b"")}))["x"].startswith("e3b0c442")


@given(st.text(max_size=300))
def test_the_nearest_track_name_is_one_and_of_a_track_name_the_same(text: str) -> None:
    try:
        name = files.track_name_of(text)
    except UsageError:
        # Nothing but blanks, points and dashes.
        assert not text.strip().lstrip(".-").rstrip(". ")
        return
    assert files.is_track_name(name)
    assert files.is_track_name(f"{name}_right")
    assert files.track_name_of(name) == name
    assert (name == text) == files.is_track_name(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [("it's me, 2", "it_s me_ 2"), ("nul.old", "_nul.old"), (".hidden", "hidden"), ("a\tb", "a_b"), ("é" * 150, "é" * 96)],
)
def test_what_a_track_cannot_be_called_is_written_as_near_as_can_be(text: str, name: str) -> None:
    assert files.track_name_of(text) == name
