"""`harness pack`: the archive to send, with ledger and data statement."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import EXIT_FINDINGS, DataError, HarnessError, UsageError
from harness.streams import tell

if TYPE_CHECKING:
    from harness.challenge import Format, Score
    from harness.runs.store import Run
    from harness.sending.ledger import Attempt, Figures
    from harness.sending.pack import Archive
    from harness.submission.checks import Verdict
    from harness.submission.record import Record

RUNS = Path("runs")
SUFFIX = ".zip"
LEDGER = Path("submissions/ledger.csv")
EPILOG = """\b
Examples:
  harness pack submissions/res50
  harness pack submissions/res50 --sample CVPR_5th_ABAW_EXPR_test_set_sample.txt --out team_attempt_1.zip
  harness pack predictions.txt --layout folder --declare "ms1m-ir50.pth: research use, MS-Celeb-1M"
"""

_PATH = click.Path(path_type=Path)


@click.command(epilog=EPILOG)
@click.argument("submission", type=_PATH)
@click.option("--out", type=_PATH, help="The zip file to write. [default: beside the submission, with its name]")
@click.option("--layout", type=click.Choice(["root", "folder"]), help="Where files lie in it. [default: the edition's; inferred]")
@click.option("--sample", type=_PATH, help="The official sample file: rows, order and header.")
@click.option("--rows", type=_PATH, help="A CSV file with the columns track and rows.")
@click.option("--challenge", help="EXPR, VA, AU, MTL or CE; told by the files where it is not given.")
@click.option("--edition", type=int, help="Number of the ABAW competition; told by the files where it is not given.")
@click.option("--data", help="Data root whose validation labels give the expected score. [default: the run's]")
@click.option("--declare", multiple=True, metavar="TEXT", help="A sentence for the data statement; may be given several times.")
@click.option("--ledger", type=_PATH, default=LEDGER, show_default=True, help="The list of what was packed.")
def command(submission: Path, out: Path | None, layout: Any, ledger: Path, declare: tuple[str, ...], **options: Any) -> None:
    """Packs SUBMISSION for sending, as a zip file whose bytes depend on the answer alone.

    It is validated first; the attempt is noted in the ledger, and a data statement is written beside the archive. Refused are
    submissions with an error, answers to a labelled split, and everything made on the embedded data set.
    """
    from harness import files
    from harness.sending.ledger import note
    from harness.sending.pack import refuse_unsendable, write_archive
    from harness.sending.statement import manifests_of, statement
    from harness.submission.source import record_beside

    if out is not None and out.suffix.lower() != SUFFIX:
        raise UsageError("the archive is a zip file", found=str(out), expected=f"a name that ends in {SUFFIX}")
    target = out or submission.with_name(f"{submission.stem if submission.is_file() else submission.name}{SUFFIX}")
    for path in (target, ledger):
        files.refuse_unwritable(path)
    verdict = _check(submission, options)
    record = verdict.record or record_beside(verdict.path)
    runs = record.runs if record else ()
    refuse_unsendable(submission, record)
    _refuse_errors(verdict)
    assert verdict.form is not None
    # Made before anything is written: an archive that lies there without being noted could be sent unseen.
    made_from = record.content.get("runs", ()) if record else ()
    try:
        stated = statement(verdict.form, target.name, manifests_of(made_from, RUNS), declare)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            "its record does not tell what the submission was made from",
            path=submission,
            found=f"{type(error).__name__}: {error}"[:200],
            expected="the `runs` that this program writes to submission.json",
            remedy="write the submission again with `harness submission RUN`",
        ) from error
    archive = write_archive(verdict, target, layout or verdict.form.archive_layout)
    page = target.with_suffix(".statement.md")
    files.write_text(page, stated)
    score = verdict.form.score
    attempt, known = note(ledger, verdict, archive, runs, lambda: _expected_score(record, score, options["data"]))
    _report(verdict.form, archive, attempt, known, page, ledger)


def _check(submission: Path, options: Mapping[str, Any]) -> Verdict:
    from harness.submission.checks import check
    from harness.submission.verdicts import Reference

    reference = Reference(options["sample"], None, None, options["rows"])
    return check(submission, reference.of(submission), options["challenge"], options["edition"])


def _refuse_errors(verdict: Verdict) -> None:
    """Prints the verdict; ends with exit code 1 if the submission has an error."""
    from harness.submission.verdicts import as_text

    click.echo(as_text(verdict, 3), err=verdict.findings.has_errors)
    if verdict.findings.has_errors or verdict.form is None:
        tell("not packed: mend the errors above first")
        raise SystemExit(EXIT_FINDINGS)


def _expected_score(record: Record | None, score: Score, data: str | None) -> Figures:
    """What the submission is expected to score, and the interval; what it follows from is printed, or why it is unknown.

    It is what the run scores on the validation split, or out of fold, with the same post-processing. Where these labels chose the
    settings, it is what was measured on recordings that had no part in the choice.
    """
    from harness.challenge import MACRO_F1
    from harness.commands.shared.submitting import root_of
    from harness.data.tracks import OUT_OF_FOLD
    from harness.evaluation.evaluate import evaluate
    from harness.postprocess.chain import PostProcessing
    from harness.rows.labelled import of_run
    from harness.rows.predictions import RunPredictions
    from harness.runs import store

    try:
        if record is None or not record.runs:
            raise DataError("the submission does not name the run it was made from")
        run = store.find(record.runs[0])
        split = _measured_split(run, record)
        root = root_of(run, data)
        settings = PostProcessing.from_dict(record.content.get("postprocessing", {}))
        predictions = RunPredictions(run, split, settings, root, record.content.get("frame_rate"))
        result = evaluate(of_run(predictions, root), run.class_names, score).all_labelled
        chosen_here, outside = _outside_choice(run, split, settings.as_dict())
    except (HarnessError, KeyError, TypeError, ValueError, AttributeError) as error:
        click.echo(f"expected score unknown: {str(error).splitlines()[0]}")
        return None, None, None
    measured = "measured out of fold" if split == OUT_OF_FOLD else "measured on the validation split"
    if score != MACRO_F1:
        # Intervals and what a choice is worth outside it are known of the macro-F1 alone.
        click.echo(f"expected score: {measured}{', by which its settings were chosen: it flatters' if chosen_here else ''}")
        return result.score, None, None
    inside = result.macro_f1
    if outside is None:
        click.echo(f"expected score: {measured}")
        return inside.value, inside.low, inside.high
    recordings = "recordings, out of fold," if split == OUT_OF_FOLD else "recordings of the validation split"
    click.echo(
        f"expected score: measured on {recordings} that had no part in choosing its settings "
        f"({store.TUNED}); on those they were chosen on it is {inside.value:.4f}"
    )
    low, high = (None if end is None else min(max(end - inside.value + outside, 0.0), 1.0) for end in (inside.low, inside.high))
    return outside, low, high


def _measured_split(run: Run, record: Record) -> str:
    """The split whose scores tell what to expect: val, or out of fold where a cross-validation has no other that it can.

    Raises DataError if the run is not the one the text was made from any more, if it learned from that split, or if other
    checkpoints or settings made its scores of that split and of the answer's.
    """
    from harness.data.tracks import OUT_OF_FOLD
    from harness.runs.lineage import is_unchanged, scored_otherwise
    from harness.runs.provenance import learned_from

    if not is_unchanged(run, record.split, record.content["runs"][0]):
        raise DataError(f"the run {run.name} has changed since this text was written")
    learners = learned_from(run, "val")
    split = "val"
    if (learners or "val" not in run.splits()) and OUT_OF_FOLD in run.splits() and not learned_from(run, OUT_OF_FOLD):
        split = OUT_OF_FOLD
    elif learners:
        raise DataError(f"{', '.join(learners)} learned from val")
    others = scored_otherwise(run, split, record.split)
    if others:
        again = ", ".join(f"`harness predict {name} --split {split}` again" for name in others)
        raise DataError(
            f"the scores of {split} are of another checkpoint or other settings than those of {record.split}: {again}"
        )
    return split


def _outside_choice(run: Run, split: str, settings: Mapping[str, Any]) -> tuple[bool, float | None]:
    """Whether the labels of a split chose weights or settings, and the macro-F1 on recordings without a part in the choice.

    Raises DataError if they were chosen on other scores of that split.
    """
    from harness import files
    from harness.runs.store import TUNED
    from harness.selection.stored import say_tuned_on_others, tuned_on_others

    path = run.path / TUNED
    tuned = files.read_json(path) if path.is_file() else {}
    fitted = "plain_mean" in tuned
    if tuned.get("split") != split or not (fitted or tuned["postprocessing"] == settings):
        return False, None
    if tuned_on_others(run, tuned):
        raise DataError(say_tuned_on_others(run))
    return True, float(tuned["plain_mean" if fitted else "before"]) + float(tuned["outside"]["value"])


def _report(form: Format, archive: Archive, attempt: Attempt, known: bool, statement: Path, ledger: Path) -> None:
    from harness.sending.ledger import GONE, OTHER_ROWS, REFUSED

    contents = archive.names[0] if len(archive.names) == 1 else f"{len(archive.names):,} files"
    click.echo(f"{archive.path}: {archive.size:,} bytes, {contents}")
    click.echo(f"sha256 {archive.sha256}")
    allowed = f" of {form.submissions}{'' if form.verified('submissions') else ' (inferred)'}" if form.submissions else ""
    click.echo(f"attempt {attempt.attempt}{allowed} at {form.name}{', packed before' if known else ''}, noted in {ledger}")
    if form.submissions and int(attempt.attempt) > form.submissions:
        click.echo(f"warning: more attempts than the {form.submissions} a team may send")
    if attempt.expected:
        interval = f" ({attempt.low} to {attempt.high})" if attempt.low else ""
        click.echo(f"expected {form.score} {attempt.expected}{interval}")
    unknown = {
        GONE: "unknown rows, because its archive is gone",
        OTHER_ROWS: "its tracks or frames, so rows cannot be compared",
        REFUSED: "unknown rows, because its archive holds no answer that can be read",
    }
    for number, share in (pair.split(":") for pair in attempt.differs.split()):
        click.echo(f"differs from attempt {number} in {unknown[share] if share in unknown else f'{float(share):.2%} of rows'}")
    where = f" to {form.sent_to}" if form.sent_to else ""
    click.echo(f"next: read {statement}, the data statement, then send {archive.path}{where}")
