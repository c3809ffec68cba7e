"""Writes a run's submission, validates it and says what was done; shared by predict, ensemble and submission."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.options import say
from harness.data.tracks import DataRoot
from harness.errors import EXIT_FINDINGS
from harness.postprocess.chain import PostProcessing
from harness.postprocess.smooth import UNKNOWN_RATES
from harness.runs.store import Run

SUBMISSIONS = Path("submissions")
MOST_NAMED = 10


def root_of(run: Run, asked: str | None) -> DataRoot:
    """The data root of a run: asked for, recorded with it, or found as every command does."""
    from harness.commands.options import find_data
    from harness.data.scan import scan

    manifest = run.manifest
    place = find_data(asked, manifest.get("where", {}).get("data"))
    return scan(place.path, crops=manifest.get("recipe", {}).get("crops", "cropped_aligned"))


def write_and_validate(
    run: Run,
    split: str,
    settings: PostProcessing,
    root: DataRoot | None,
    edition: int,
    out: Path | None,
    frame_rate: float | None,
) -> Path:
    """Writes the submission of a run's split to `out`, by default submissions/RUN, checks it, and prints where it lies.

    Ends with exit code 1 if the submission has an error, which only a fault of this program can cause.
    """
    from harness.submission.from_scores import RunPredictions, write_submission
    from harness.submission.template import read_template

    template = read_template(root.sample) if root is not None and root.sample is not None and split == "test" else None
    predictions = RunPredictions(run, split, settings, root, frame_rate)
    directory = out or SUBMISSIONS / (run.name if split == "test" else f"{run.name}-{split}")
    written = write_submission(predictions, directory, edition, template, {})
    say(f"{written.rows:,} rows, {written.imputed:,} of them without a face and imputed")
    if settings.in_time and written.without_rate:
        say(("" if written.without_rate == written.tracks else f"{written.without_rate} tracks: ") + UNKNOWN_RATES)
    if written.faceless:
        names = ", ".join(written.faceless[:MOST_NAMED])
        say(f"warning: {len(written.faceless)} tracks without any face got the class shares of the training labels: {names}")
    _validate(directory, root, split)
    click.echo(f"submission: {directory}")
    click.echo(f"next: harness pack {directory}")
    return directory


def _validate(directory: Path, root: DataRoot | None, split: str) -> None:
    from harness.findings import as_text
    from harness.submission.checks import check
    from harness.submission.expected import from_sample

    expected = None if root is None or root.sample is None or split != "test" else from_sample(root.sample)
    verdict = check(directory, expected)
    findings = verdict.findings
    if len(findings):
        click.echo(as_text(findings), err=True)
    errors, warnings = findings.number("error"), findings.number("warning")
    say(f"validated against {verdict.checked_against}: {errors} errors, {warnings} warnings")
    if errors:
        raise SystemExit(EXIT_FINDINGS)
