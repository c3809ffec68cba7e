"""A run: a folder under runs/ with its manifest run.json, checkpoints, metrics and the scores of every split it predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import files
from harness.errors import DataError, MismatchError, near_names

FORMAT = 1
RUNS = Path("runs")

# In a run's folder, the post-processing that was chosen for it by labels, with what that choice gains.
TUNED = "tuned.json"

# Parts of run.json that say where and with what a run was made; a resumed run may differ in them.
NOT_COMPARED = ("where", "versions", "git_commit")


@dataclass(frozen=True)
class Run:
    """A run's folder. Its manifest is read when asked for."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

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
        return manifest

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the scores' columns."""
        return tuple(self.manifest["class_names"])

    @property
    def is_demo(self) -> bool:
        """Whether the run was made on the embedded data set; such runs are never packed for sending."""
        return self.name.startswith("demo-")

    def splits(self) -> tuple[str, ...]:
        """The splits with complete scores, in the order train, val, test, then others by name."""
        known = ("train", "val", "test")
        found = sorted(entry.parent.name for entry in self.path.glob("scores/*/scores.json"))
        return tuple([name for name in known if name in found] + [name for name in found if name not in known])


def find(name: str | Path) -> Run:
    """The run called `name` below runs/, or the run at that path. Raises DataError with near names if there is none."""
    for candidate in (RUNS / name, Path(name)):
        if (candidate / "run.json").is_file():
            return Run(Path(str(candidate).rstrip("/")))
    names = [run.name for run in every()]
    raise DataError(
        f"no run called {str(name)!r}",
        path=RUNS,
        found=near_names(str(name), names) if names else "no runs at all",
        remedy="`harness runs` lists them; `harness train` makes one",
    )


def path_of(name: str) -> Path:
    """Where a new run of this name lies. Raises UsageError for a name that cannot be a folder's."""
    return RUNS / files.safe_name(name, "the run's name")


def every(directory: Path = RUNS) -> list[Run]:
    """All the runs below `directory`, by name."""
    return [Run(path.parent) for path in sorted(directory.glob("*/run.json"))]


def open_or_create(path: Path, manifest: Mapping[str, Any], fresh: bool = False) -> tuple[Run, bool]:
    """Makes the run's folder with `manifest`, or opens the one that is there if its settings and data are the same.

    Returns the run and whether it was there before. Raises MismatchError listing the differences. With `fresh` an older run of
    this name is removed first.
    """
    files.safe_name(path.name, "the run's name")
    run = Run(path)
    if fresh:
        files.remove(path)
    if run.manifest_path.exists():
        lines = differences(run.manifest, manifest)
        if lines:
            raise MismatchError(
                f"the run {run.name!r} was made with other settings or data",
                path=run.manifest_path,
                found="\n    ".join(["", *lines]),
                remedy="choose another name with --run, or start anew with --fresh",
            )
        return run, True
    files.make_directory(path)
    files.write_json(run.manifest_path, {"format": FORMAT, **manifest})
    return run, False


def differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """One line for each setting that differs between two manifests, `where`, versions and commit aside."""
    left, right = flat(there), flat(wanted)
    return [
        f"{key}: {left.get(key, 'absent')!r} there, {right.get(key, 'absent')!r} now"
        for key in sorted(left.keys() | right.keys())
        if key.split(".")[0] not in (*NOT_COMPARED, "format") and left.get(key, "absent") != right.get(key, "absent")
    ]


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings side by side, their names joined by dots."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            found.update(flat(item, f"{prefix}{key}."))
        else:
            found[prefix + key] = list(item) if isinstance(item, tuple) else item
    return found
