"""A run: a folder under runs/ with its manifest run.json, checkpoints, metrics and the scores of every split it predicted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import files
from harness.errors import DataError, LockedError, MismatchError, UnlockableError, near_names

FORMAT = 1
RUNS = Path("runs")
LOCK = ".lock"
"""In a run's folder: held by the process that writes run.json, checkpoints and metrics."""
FOLDER_LOCK = ".folder.lock"
"""In a run's folder: held together by all that write anything into it, and alone by who puts another folder in its place."""

# In a run's folder, the post-processing that was chosen for it by labels, with what that choice gains.
TUNED = "tuned.json"

# Parts of run.json that are read by name, with their kinds; a run of some kind may lack any but the classes.
PARTS: Mapping[str, type] = {
    "class_names": list,
    "kind": str,
    "challenge": str,
    "postprocessing": dict,
    "recipe": dict,
    "data": dict,
    "where": dict,
    "members": list,
}

# Parts of run.json that say where and with what a run was made; a resumed run may differ in them. Files are compared by what
# is in them (weights.sha256), not by what they are called.
NOT_COMPARED = ("where", "versions", "git_commit")
NAMES_OF_FILES = ("recipe.weights", "recipe.weights_second", "weights.file", "weights.second_file")


@dataclass(frozen=True)
class Run:
    """A run's folder. Its manifest is read when asked for."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's name; of a run that is being made (`made_anew`) the one it will have."""
        made = files.TEMPORARY.match(self.path.name)
        return self.path.name if made is None else made["name"]

    @property
    def manifest_path(self) -> Path:
        """Where run.json lies."""
        return self.path / "run.json"

    @property
    def manifest(self) -> dict[str, Any]:
        """The contents of run.json. Raises DataError if it is absent, damaged or of another format."""
        manifest = files.read_json(self.manifest_path)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            found = repr(manifest.get("format")) if isinstance(manifest, dict) else type(manifest).__name__
            raise DataError(
                "a run of another format", path=self.manifest_path, found=f"format {found}", expected=f"format {FORMAT}"
            )
        self._check_part(manifest, "class_names")
        for key in PARTS.keys() & manifest.keys():
            self._check_part(manifest, key)
        if not all(isinstance(name, str) for name in manifest["class_names"]):
            raise DataError("'class_names' holds something else than names", path=self.manifest_path)
        return manifest

    def _check_part(self, manifest: Mapping[str, Any], key: str) -> None:
        value, kind = manifest.get(key), PARTS.get(key, object)
        if key not in manifest or not isinstance(value, kind):
            raise DataError(
                f"the run's manifest is not whole: it has no {key!r}" if key not in manifest else f"{key!r} is of another kind",
                path=self.manifest_path,
                found=", ".join(sorted(manifest)) if key not in manifest else type(value).__name__,
                expected=kind.__name__,
                remedy="restore run.json from a copy, or make the run again with --fresh",
            )

    def part(self, key: str) -> Any:
        """One part of run.json, such as the recipe. Raises DataError naming file and part if it is not there."""
        manifest = self.manifest
        self._check_part(manifest, key)
        return manifest[key]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the scores' columns."""
        return tuple(self.part("class_names"))

    def splits(self, of: str = "scores") -> tuple[str, ...]:
        """The splits with complete scores (or `features`), in the order train, val, test, then others by name."""
        known = ("train", "val", "test")
        found = _holding(self.path / of, f"{of}.json")
        return tuple([name for name in known if name in found] + [name for name in found if name not in known])


def find(name: str | Path) -> Run:
    """The run called `name` below runs/, or the run at that path. Raises DataError with near names if there is none."""
    for candidate in (RUNS / name, Path(name)):
        files.bring_back(candidate)
        if (candidate / "run.json").is_file():
            return Run(Path(str(candidate).rstrip("/")))
    names = [run.name for run in every()]
    raise DataError(
        f"no run called {str(name)!r}",
        path=RUNS,
        found=near_names(str(name), names) if names else "no runs at all",
        remedy="`harness runs` lists them" if names else "train one: `harness recipes` lists what there is to train",
    )


def path_of(name: str) -> Path:
    """Where a new run of this name lies. Raises UsageError for a name that cannot be a folder's."""
    return RUNS / files.safe_name(name, "the run's name")


def every() -> list[Run]:
    """All the runs below runs/, by name."""
    files.bring_back_all(RUNS)
    return [Run(RUNS / name) for name in _holding(RUNS, "run.json")]


def _holding(directory: Path, name: str) -> list[str]:
    """The folders below `directory` that hold a file, by name; none that is half made or half removed: a dot begins its name."""
    return sorted(path.parent.name for path in directory.glob(f"*/{name}") if not path.parent.name.startswith("."))


def open_or_create(
    path: Path,
    manifest: Mapping[str, Any],
    completed: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> tuple[Run, bool]:
    """Makes the run's folder with `manifest`, or opens the one that is there if its settings and data are the same.

    Returns the run and whether it was there before. `completed` puts in what an absent setting means before two manifests are
    compared. Raises MismatchError listing the differences, DataError for a folder that holds some without a run.json.
    """
    files.safe_name(path.name, "the run's name")
    run = Run(path)
    if run.manifest_path.exists():
        lines = differences(completed(run.manifest), completed(manifest))
        if lines:
            raise MismatchError(
                f"the run {run.name!r} was made with other settings or data",
                path=run.manifest_path,
                found="\n    ".join(["", *lines]),
                remedy="choose another name with --run, or start over with --fresh",
            )
        return run, True
    for name in ("checkpoints", "scores", "features"):
        if any((path / name).glob("*")):
            raise DataError(
                f"the folder has {name}, but no run.json that says what they are of",
                path=run.manifest_path,
                remedy="restore run.json from a copy, choose another name with --run, or start over with --fresh",
            )
    files.make_directory(path)
    rewrite(run, manifest)
    return run, False


@contextlib.contextmanager
def made_anew(path: Path, manifest: Mapping[str, Any], only_new: bool = False) -> Iterator[Run]:
    """A run in a temporary folder beside `path`, which takes that name when the block ends, in the place of an older run.

    Raises LockedError if another process writes anything into the older one, and DataError if there was none and another process
    made one meanwhile. With `only_new` nothing is taken away but a folder that holds no more than locks.
    """
    files.safe_name(path.name, "the run's name")
    files.bring_back(path)
    with contextlib.ExitStack() as stack:
        older = path.is_dir()
        for name in (LOCK, FOLDER_LOCK) if older else ():
            stack.enter_context(files.lock(path / name, f"the run {path.name!r}"))
        if only_new and _holds_something(path):
            raise DataError(
                "another process made this meanwhile", path=path, remedy="look at it, then run the same command again"
            )
        run = Run(stack.enter_context(files.writing_directory(path, only_new=not older)))
        rewrite(run, manifest)
        yield run


@contextlib.contextmanager
def owned(path: Path) -> Iterator[None]:
    """For who writes run.json, checkpoints and metrics: one at a time, while others may add to the run.

    Raises LockedError if another process does so, or puts another run in its place.
    """
    what = f"the run {path.name!r}"
    with files.lock(path / LOCK, what), files.lock(path / FOLDER_LOCK, what, shared=True):
        files.remove_temporaries(path)
        files.remove_temporaries(path.parent, f"{path.name}.")
        if Run(path).manifest_path.is_file():
            files.discard_put_aside(path)
        yield


@contextlib.contextmanager
def adding(run: Run) -> Iterator[None]:
    """For who adds to a run, be it scores or what was chosen for it: meanwhile no other run can be put in its place.

    Others may add at the same time; what they must not write together has a lock of its own. Raises LockedError while another
    process puts another run there.
    """
    with files.lock(run.path / FOLDER_LOCK, f"the run {run.name!r}", shared=True):
        files.remove_temporaries(run.path)
        yield


@contextlib.contextmanager
def kept(run: Run) -> Iterator[None]:
    """For who says elsewhere what a run answers: meanwhile no other run can be put in its place.

    Where no lock can be held, as on read-only media or a file system without locks, none is. Raises LockedError while another
    process puts another run there, and DataError for a link in the place of the lock.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(UnlockableError):
            stack.enter_context(files.lock(run.path / FOLDER_LOCK, f"the run {run.name!r}", shared=True))
        yield


@contextlib.contextmanager
def opened(
    path: Path,
    manifest: Mapping[str, Any],
    fresh: bool,
    open_older: Callable[[Path, Mapping[str, Any]], tuple[Run, bool]] = open_or_create,
) -> Iterator[Run]:
    """The run at `path` to write all of: the one that is there if it was made with the same, else one made anew.

    `open_older` opens the one that is there, as open_or_create does. Raises MismatchError for another that is there, unless
    `fresh`, and LockedError if another process writes it.
    """
    files.bring_back(path)
    if fresh or not _holds_something(path):
        with made_anew(path, manifest, only_new=not fresh) as run:
            yield run
    else:
        with owned(path):
            yield open_older(path, manifest)[0]


@contextlib.contextmanager
def joined(path: Path, manifest: Mapping[str, Any], completed: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Iterator[Run]:
    """The run at `path` to add to, made if there is none, for several processes that fill it together.

    Raises as open_or_create, which `completed` is of, and LockedError while another process puts another run there.
    """
    files.bring_back(path)
    if not _holds_something(path):
        try:
            with made_anew(path, manifest, only_new=True):
                pass
        except (DataError, LockedError):
            if not Run(path).manifest_path.is_file():  # else another of them made it first
                raise
    elif not Run(path).manifest_path.is_file():
        with owned(path):
            open_or_create(path, manifest, completed)
    with adding(Run(path)):
        yield open_or_create(path, manifest, completed)[0]


def _holds_something(path: Path) -> bool:
    """Whether a folder is there that has more in it than locks and what dead processes left."""
    try:
        return any(not name.startswith(".") for name in os.listdir(path))
    except OSError:  # no folder, or between two names where the file system cannot exchange them
        return False


def telling(made: Callable[[str], None], name: str) -> Callable[..., None]:
    """For contextlib.ExitStack.push before a run of this name is entered: says that it is made, where nothing went wrong."""

    def tell(kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            made(name)

    return tell


def differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """One line for each setting that differs between two manifests; `where`, versions, commit and names of files aside."""
    left, right = compared(there), compared(wanted)
    return [
        f"{key}: {left.get(key, 'absent')!r} there, {right.get(key, 'absent')!r} now"
        for key in sorted(left.keys() | right.keys())
        if left.get(key, "absent") != right.get(key, "absent")
    ]


def compared(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The settings and data of a manifest by dotted names, in which a run that goes on may not differ."""
    return {
        key: value
        for key, value in flat(manifest).items()
        if key.split(".")[0] not in (*NOT_COMPARED, "format") and key not in (*NAMES_OF_FILES, "data.embedded")
    }


def settings_digest(run: Run) -> str | None:
    """sha256 of the settings and data in run.json, the same on every machine; None where there is no run.json."""
    if not run.manifest_path.is_file():
        return None
    return files.sha256_of_bytes(files.json_text(compared(run.manifest)).encode())


def rewrite(run: Run, manifest: Mapping[str, Any]) -> None:
    """Replaces run.json, for a run that has grown."""
    files.write_json(run.manifest_path, {"format": FORMAT, **manifest})


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values by dotted names; the members of an ensemble by the names of their runs, beside which their order stands."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, list | tuple) and item and all(isinstance(entry, Mapping) and "run" in entry for entry in item):
            names = [str(entry["run"]) for entry in item]
            found[prefix + key] = names
            item = dict(zip(names, ({k: v for k, v in entry.items() if k != "run"} for entry in item), strict=True))
        if isinstance(item, Mapping):
            found.update(flat(item, f"{prefix}{key}."))
        else:
            found[prefix + key] = list(item) if isinstance(item, tuple) else item
    return found
