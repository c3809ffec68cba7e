"""`harness reproduce`: makes a run again and compares."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from harness.commands.shared import completion
from harness.commands.shared.options import data_option, say, workers_option
from harness.commands.shared.sections import Verb
from harness.commands.shared.training import extra_options
from harness.streams import show, show_json

if TYPE_CHECKING:
    from harness.data.tracks import DataRoot
    from harness.runs.store import Run
    from harness.studies.reproduce import Reproduction
    from harness.training.training_data import TrainingData


@click.command("reproduce", cls=Verb)
@click.argument("run_name", metavar="RUN", shell_complete=completion.runs)
@data_option
@click.option("--folds", "folds_path", type=click.Path(), default=None, help="File of `harness folds`, for a run of one fold.")
@extra_options
@click.option("--as", "again_name", default=None, help="Name of the second run. [default: RUN-again]")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@workers_option
def command(
    run_name: str,
    data: str | None,
    folds_path: str | None,
    extra: str | None,
    extra_order: str | None,
    extra_share: float | None,
    again_name: str | None,
    as_json: bool,
    workers: int | None,
) -> None:
    """Make RUN again from its run.json and compare weights, metrics and scores byte by byte.

    A training, a pre-training or an ensemble. On a CPU of one kind, with the same packages and number of threads, everything is
    the same. The exit code is 1 if something differs. Resumes by itself.

    \b
    Example:
      harness reproduce res50-a
    """
    from harness import files
    from harness.commands.shared.options import worker_count
    from harness.commands.shared.submitting import root_of
    from harness.commands.shared.training import named_extra
    from harness.errors import EXIT_FINDINGS
    from harness.runs import store

    run = store.find(run_name)
    path = store.path_of(again_name or f"{run.name}-again")
    files.refuse_unwritable(path, folder=True)
    root = root_of(run, data)

    from harness.studies.reproduce import reproduce
    from harness.studies.table1 import InterruptedTrainingError
    from harness.training.training_data import with_extra

    learned = _learned_from(run, root, folds_path, extra)
    faces = named_extra(extra, extra_order, extra_share, root.challenge)
    if learned is not None and faces is not None:
        learned = with_extra(learned, faces, extra_share)
    try:
        found = reproduce(run, root, path, learned, workers=worker_count(workers), say=say)
    except InterruptedTrainingError as error:
        raise SystemExit(error.exit_code) from error
    _show(run, found, as_json)
    if not found.equal:
        raise SystemExit(EXIT_FINDINGS)


def _show(run: Run, found: Reproduction, as_json: bool) -> None:
    from harness import files

    if as_json:
        content = {"run": run.name, "again": found.again.name, "equal": found.equal, "surroundings": list(found.surroundings)}
        show_json(files.json_text({**content, "parts": [dataclasses.asdict(part) for part in found.parts]}))
        return
    for part in found.parts:
        show(f"{'equal' if part.equal else 'DIFFERENT':<10} {part.name}")
    for line in found.surroundings:
        show(f"made with other code or packages: {line}")
    words = "every part has the same bytes" if found.equal else "some parts differ"
    show(f"{run.name} and {found.again.name}: {words}")
    both_scored = "val" in run.splits() and "val" in found.again.splits()
    show(f"next: harness compare {run.name} {found.again.name}" if both_scored else "next: harness runs")


def _learned_from(run: Run, root: DataRoot, folds_path: str | None, extra: str | None) -> TrainingData | None:
    """What a training with labels learned from, extra images aside, as run.json names it; None for other kinds of run.

    Raises UsageError for a run of one fold without the file of its folds, or one of extra images without their table.
    """
    from harness.commands.shared.training import stored_folds
    from harness.errors import UsageError
    from harness.training.training_data import on_other_folds, on_splits

    manifest = run.manifest
    if manifest.get("kind") != "training":
        return None
    recorded = manifest.get("data", {})
    if "extra" in recorded and extra is None:
        table, share = recorded["extra"], recorded["extra"].get("share")
        option = "--extra FILE" + ("" if share is None else f" --extra-share {share:g}")
        raise UsageError(
            f"{run.name} was trained with extra images",
            found="no --extra",
            expected=f"their table {table.get('file')} with sha256 {table.get('sha256')}",
            remedy=f"name it with {option}, and with the --extra-order it was trained with",
        )
    if "fold" in recorded:
        if folds_path is None:
            raise UsageError(f"{run.name} is a run of fold {recorded['fold']}", expected="the file of its folds, --folds FILE")
        return on_other_folds(root, stored_folds(folds_path, root), recorded["fold"])
    return on_splits(root, "+".join(recorded.get("splits", ["train"])) or "extra")
