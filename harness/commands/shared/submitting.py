"""Writes a run's submission, validates it and says what was done; shared by predict, ensemble and best."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.shared.options import say
from harness.data.tracks import DataRoot
from harness.errors import EXIT_FINDINGS, DataError, first_of
from harness.postprocess.chain import PostProcessing
from harness.postprocess.smooth import describe_unsmoothed
from harness.runs.store import Run
from harness.streams import show, tell
from harness.words import counted

if TYPE_CHECKING:
    from harness.submission.checks import Verdict
    from harness.submission.expected import Expected

SUBMISSIONS = Path("submissions")
MOST_NAMED = 10
LOOKS, PAUSE = 20, 0.05
"""So often, and after so many seconds, a submission is looked at that another process replaces."""


def root_of(run: Run, asked: str | None, sample: str | None = None, challenge: str | None = None) -> DataRoot:
    """The data root of a run: asked for, recorded with it, or found as every command does.

    `sample` is an official sample file to take instead of the root's own, `challenge` another one than the run's.
    """
    from harness.api import open_data
    from harness.commands.shared.options import find_data

    return open_data(find_data(asked, run.manifest.get("where", {}).get("data")).path, run, sample, challenge)


def submission_folder(run_name: str, split: str, out: str | Path | None) -> Path:
    """Where the submission of a run's split goes. Raises DataError at once if it cannot be written there."""
    from harness import files
    from harness.submission.build import refuse_other_contents

    directory = Path(out) if out is not None else SUBMISSIONS / (run_name if split == "test" else f"{run_name}-{split}")
    files.refuse_unwritable(directory, folder=True)
    refuse_other_contents(directory)
    return directory


def write_and_validate(
    run: Run,
    split: str,
    settings: PostProcessing,
    root: DataRoot | None,
    edition: int | None,
    directory: Path,
    frame_rate: float | None,
) -> str:
    """Writes the submission of a run's split to `directory`, checks it, prints where it lies, and returns the next command.

    Ends with exit code 1 if the submission has an error, which only a fault of this program can cause.
    """
    from harness.commands.shared.next_steps import after_writing
    from harness.data.sample import load_sample
    from harness.rows.predictions import RunPredictions
    from harness.submission.from_run import write_submission

    sample = load_sample(root.sample) if root is not None and root.sample is not None and split == "test" else None
    predictions = RunPredictions(run, split, settings, root, frame_rate)
    written = write_submission(predictions, directory, edition, sample, {})
    unreadable = f", {written.unreadable:,} because the image could not be read" if written.unreadable else ""
    say(f"{counted(written.rows, 'row')}, {written.imputed:,} of them imputed because no face was seen{unreadable}")
    unsmoothed = describe_unsmoothed(written.unsmoothed, written.tracks)
    if unsmoothed:
        say(unsmoothed)
    if written.faceless:
        names = first_of(written.faceless, MOST_NAMED)
        count = counted(len(written.faceless), "track")
        say(f"warning: {count} without any face got the class prior of the training labels: {names}")
    record = _validate(directory, root, split).record
    show(f"submission: {directory}")
    following = after_writing(directory, split, record.demonstration if record is not None else "", root)
    show(f"next: {following}")
    return following


def _validate(directory: Path, root: DataRoot | None, split: str) -> Verdict:
    from harness.findings import as_text, summary
    from harness.submission.expected import from_sample

    expected = None if root is None or root.sample is None or split != "test" else from_sample(root.sample)
    verdict = _verdict(directory, expected)
    findings = verdict.findings
    if len(findings):
        tell(as_text(findings), styled=True)
    say(f"validated against {verdict.checked_against}: {summary(findings)}")
    if findings.has_errors:
        raise SystemExit(EXIT_FINDINGS)
    return verdict


def _verdict(directory: Path, expected: Expected | None) -> Verdict:
    """The verdict on one whole folder: if another process puts its answer there while this one is read, the verdict on that.

    Where the file system cannot exchange two names at once there is no folder at all for a moment.
    """
    from harness.submission.checks import check

    for _ in range(LOOKS):
        before = _identity(directory)
        try:
            verdict = check(directory, expected)
        except DataError:
            if before is not None and _identity(directory) == before:
                raise
        else:
            if _identity(directory) == before:
                return verdict
        time.sleep(PAUSE)
    return check(directory, expected)


def _identity(directory: Path) -> tuple[int, int] | None:
    """Device and inode of a folder, None where there is none."""
    try:
        status = directory.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
