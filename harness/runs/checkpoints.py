"""Which checkpoint is whole: folders runs/<run>/checkpoints/step-NNNNNNNN with a manifest of the sha256 of each file. No torch.

There is no file that names the latest: last is the newest folder whose manifest verifies, best the one with the best metric.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import files
from harness.errors import DataError, UsageError, near_names
from harness.runs.store import Run, settings_digest

FORMAT = 1
MANIFEST = "MANIFEST.json"
SEAL = "sha256"
LARGEST_MANIFEST = 1024 * 1024
RESTORE = "restore the checkpoint's folder from a copy"
FOLDER = re.compile(r"step-(\d{8})$")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose manifest was read.

    Attributes
    ----------
    step : training steps done.
    metric : on the validation split, or None.
    digest : stands for step, metric and every file.
    settings : digest of the settings in the run.json that it was trained under; None in one that does not say.
    """

    path: Path
    step: int
    metric: float | None
    digest: str
    files: Mapping[str, Mapping[str, Any]]
    settings: str | None = None


def directory(run: Run) -> Path:
    """Where a run's checkpoints lie."""
    return run.path / "checkpoints"


def write(run: Run, step: int, metric: float | None, write_files: Callable[[Path], None]) -> Checkpoint:
    """Lets `write_files` fill a temporary folder, adds the manifest last, and gives the folder its name."""
    path = directory(run) / f"step-{step:08d}"
    with files.writing_directory(path) as temporary:
        write_files(temporary)
        contents = {
            entry.name: {"sha256": files.sha256(entry), "bytes": entry.stat().st_size} for entry in sorted(temporary.iterdir())
        }
        settings = settings_digest(run)
        manifest = {"format": FORMAT, "step": step, "metric": metric, "files": contents}
        files.write_json(temporary / MANIFEST, _sealed(manifest if settings is None else {**manifest, "settings": settings}))
    return read_manifest(path)


def read_manifest(path: Path) -> Checkpoint:
    """A checkpoint by its manifest alone; its files are not looked at. Raises DataError if there is no manifest to read."""
    manifest_path = path / MANIFEST
    data = files.read_bytes(manifest_path, LARGEST_MANIFEST)
    kind = files.foreign_content(manifest_path)
    if kind is not None:
        raise DataError(f"the manifest of the checkpoint is {kind}", path=manifest_path, remedy=RESTORE)
    value = files.read_json(manifest_path, LARGEST_MANIFEST)
    try:
        if value["format"] != FORMAT:
            raise DataError("a checkpoint of another format", path=manifest_path, expected=f"format {FORMAT}")
        # The very bytes are compared: a flipped one may leave good JSON with another metric.
        if files.json_text(_sealed({key: value[key] for key in value if key != SEAL})).encode() != data:
            raise DataError("the manifest of the checkpoint was changed or damaged", path=manifest_path)
        metric = value["metric"]
        # The manifest stands for the whole checkpoint, for it holds the sha256 of every file; whose it is says nothing of them.
        alone = _sealed({key: value[key] for key in value if key not in (SEAL, "settings")})
        digest = files.sha256_of_bytes(files.json_text(alone).encode())
        return Checkpoint(
            path, int(value["step"]), None if metric is None else float(metric), digest, value["files"], value.get("settings")
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("not a checkpoint manifest", path=manifest_path) from error


def _sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with the sha256 of itself."""
    return {**manifest, SEAL: files.sha256_of_bytes(files.json_text(manifest).encode())}


def verify(path: Path) -> Checkpoint:
    """Reads a checkpoint's manifest and compares each file's size and sha256 with it. Raises DataError naming the first fault."""
    checkpoint = read_manifest(path)
    for name, expected in checkpoint.files.items():
        file = path / name
        if not file.is_file():
            raise DataError("a file of the checkpoint is missing", path=file)
        size, wanted = file.stat().st_size, expected["bytes"]
        if size == wanted and files.sha256(file) == expected["sha256"]:
            continue
        length = "of the right length, but changed or damaged"
        if size != wanted:
            length = "cut short" if size < wanted else "too long"
        raise DataError(
            f"a file of the checkpoint is {files.foreign_content(file) or length}",
            path=file,
            found=f"{size:,} bytes",
            expected=f"{wanted:,} bytes with sha256 {expected['sha256']}",
            remedy=RESTORE,
        )
    return checkpoint


def _verified(run: Run, path: Path) -> Checkpoint:
    """A whole checkpoint of the run. Raises DataError for one that is not whole, or was trained under other settings."""
    checkpoint = verify(path)
    if checkpoint.settings is not None and settings_digest(run) not in (None, checkpoint.settings):
        raise DataError(
            "the checkpoint was trained with other settings or data than run.json has",
            path=path,
            found=f"settings {str(checkpoint.settings)[:12]}",
            expected=f"settings {str(settings_digest(run))[:12]}",
            remedy="restore the run.json that it was trained with, or start over with --fresh",
        )
    return checkpoint


def folders(run: Run) -> list[Path]:
    """The checkpoint folders of a run, oldest first; their manifests are not looked at."""
    place = directory(run)
    if not place.is_dir():
        return []
    return sorted(entry for entry in place.iterdir() if FOLDER.match(entry.name) and entry.is_dir())


def last(run: Run, skipped: Callable[[DataError], None]) -> Checkpoint | None:
    """The newest checkpoint that verifies, or None if the run has no checkpoint folder at all.

    `skipped` is told of each damaged one passed over. Raises DataError if there are folders but none verifies.
    """
    return _first_whole(run, list(reversed(folders(run))), skipped)


def best(run: Run, skipped: Callable[[DataError], None]) -> Checkpoint | None:
    """The checkpoint with the highest metric that verifies; among equals the earliest. None if none has a metric."""
    return _first_whole(run, _by_metric(run, lambda path, error: skipped(error)), skipped)


def _by_metric(run: Run, unreadable: Callable[[Path, DataError], None]) -> list[Path]:
    """The checkpoints that have a metric, the best first, by their manifests alone."""
    rated = []
    for path in folders(run):
        try:
            checkpoint = read_manifest(path)
        except DataError as error:
            unreadable(path, error)
            continue
        if checkpoint.metric is not None:
            rated.append((-checkpoint.metric, checkpoint.step, path))
    return [path for _, _, path in sorted(rated)]


def _first_whole(run: Run, candidates: list[Path], skipped: Callable[[DataError], None]) -> Checkpoint | None:
    reasons = []
    for path in candidates:
        try:
            return _verified(run, path)
        except DataError as error:
            skipped(error)
            reasons.append(str(error))
    if reasons:
        raise DataError(
            "no checkpoint of this run is whole",
            path=directory(run),
            found="\n    ".join(["", *reasons]),
            remedy="restore one from a copy, or start over with --fresh",
        )
    return None


def choose(run: Run, which: str, skipped: Callable[[DataError], None]) -> Checkpoint:
    """The `last` or the `best` checkpoint. Raises DataError if there is none, UsageError for another word."""
    choices = {"last": last, "best": best}
    if which not in choices:
        raise UsageError(f"unknown checkpoint {which!r}; {near_names(which, list(choices))}")
    checkpoint = choices[which](run, skipped)
    if checkpoint is None:
        raise DataError(
            f"the run {run.name!r} has no {which} checkpoint yet",
            path=directory(run),
            remedy="go on with its training: the command that began it resumes it",
        )
    return checkpoint


def remove_older(run: Run, newest: Checkpoint) -> None:
    """Removes every checkpoint but `newest`, which was just written or verified, and the best whole one.

    What dead processes left goes as well. A damaged checkpoint that would be last or best is not removed but put aside under
    another name, for somebody may want to mend it.
    """
    files.remove_temporaries(directory(run), alone=True)
    for path in folders(run):
        if path.name > newest.path.name:  # passed over when the run went on from an older one
            _put_aside(path)
    kept = {newest.path}
    for path in _by_metric(run, lambda path, error: _put_aside(path)):
        if path == newest.path or _is_whole(run, path):
            kept.add(path)
            break
        _put_aside(path)
    for path in folders(run):
        if path not in kept:
            files.remove(path)


def _is_whole(run: Run, path: Path) -> bool:
    try:
        _verified(run, path)
    except DataError:
        return False
    return True


def _put_aside(path: Path) -> None:
    aside = path.with_name(f"{path.name}.damaged")
    files.remove(aside)
    files.rename(path, aside)
