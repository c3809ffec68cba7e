"""The paper's Table 1 again: every system trained, predicted and scored on the validation split, beside the figure of the paper.

The paper's figures are the better of two evaluations on the very split that is reported, and leave out frames without a face.
Ours are of the last checkpoint, over frames with a face and over all labelled frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.data.tracks import DataRoot
from harness.errors import DataError, UsageError, near_names
from harness.evaluation.evaluate import Evaluation, evaluate
from harness.evaluation.intervals import Estimate
from harness.inference.predict import predict
from harness.inference.settings import Scoring
from harness.postprocess.chain import PostProcessing
from harness.recipes import recipe as recipes
from harness.recipes.recipe import Recipe
from harness.rows.labelled import labelled_tracks, of_run
from harness.rows.predictions import RunPredictions
from harness.runs.store import Run
from harness.training.network import initial_weights
from harness.training.start import train

SYSTEMS = {
    "ir50": "IR-50 (MS1M)",
    "apvit-ms1m": "APViT (MS1M)",
    "apvit-rafdb": "APViT (RAF-DB)",
    "res18": "Res-18 (ContraWarping)",
    "res50": "Res-50 (ContraWarping)",
}
"""Recipe -> the row's name in Table 1 of the paper (Xue et al. 2023), in its order."""
SPLIT = "val"
RUN_PREFIX = "table1-"


@dataclass(frozen=True)
class TableRow:
    """A system of the table with what it scored here.

    Attributes
    ----------
    paper_f1 : macro-F1 x 100 as the paper has it.
    all_labelled, with_face : macro-F1 in 0..1 over all labelled frames, and over those with a face; no smoothing.
    weights : file names the backbone started from; empty for random weights.
    """

    system: str
    recipe: str
    run: str
    paper_f1: float | None
    all_labelled: Estimate
    with_face: Estimate | None
    steps: int
    weights: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class InterruptedTrainingError(Exception):
    """A signal ended the training of a row after it had been saved; `exit_code` is what the process ends with."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(f"ended by a signal, exit code {exit_code}")


def load_recipes(names: tuple[str, ...], paper_reading: bool, changes: Mapping[str, str]) -> dict[str, Recipe]:
    """The recipes of the rows `names` (all if there are none), with changes by key or, for one row alone, by `row.key`.

    Raises UsageError for an unknown row, a change of a row that is not asked for, or of the challenge.
    """
    if any(key.rpartition(".")[2] == "challenge" for key in changes):
        raise UsageError("the systems of Table 1 know expressions alone", remedy="harness train --recipe va, au or mtl")
    for name in (*names, *(key.partition(".")[0] for key in changes if "." in key)):
        if name not in SYSTEMS:
            raise UsageError(f"unknown row {name!r} of Table 1", expected=near_names(name, tuple(SYSTEMS)))
    ending = "-paper" if paper_reading else ""
    common = {key: value for key, value in changes.items() if "." not in key}
    chosen = [name for name in SYSTEMS if name in names or not names]
    return {
        f"{name}{ending}": recipes.load(
            f"{name}{ending}",
            {
                **common,
                **{key.removeprefix(f"{name}."): value for key, value in changes.items() if key.startswith(f"{name}.")},
            },
        )
        for name in chosen
    }


def require_weights(chosen: Mapping[str, Recipe], from_scratch: bool) -> None:
    """Before hours of training: that every row has what it starts from. Raises DataError naming all that do not."""
    lacking = []
    for name, recipe in chosen.items():
        try:
            initial_weights(recipe, from_scratch)
        except DataError as error:
            lacking.append(f"{name}: {error.problem}; {error.expected or error.path}")
    if lacking:
        raise DataError(
            f"{len(lacking)} of {len(chosen)} rows have no weights to start from",
            found="\n    ".join(["", *lacking]),
            remedy="name files with --set ROW.weights=FILE, choose rows with --row, or take random weights with --from-scratch",
        )


def run_row(
    name: str,
    recipe: Recipe,
    root: DataRoot,
    run_path: Path,
    *,
    from_scratch: bool,
    batch: int,
    workers: int,
    say: Callable[[str], None],
) -> TableRow:
    """Trains, predicts and scores one row, or what of that is not done yet.

    Raises as train and predict do; InterruptedTrainingError if a signal ended the training.
    """
    labelled_tracks(root, SPLIT)
    training = train(recipe, root, run_path, fresh=False, workers=workers, from_scratch=from_scratch, say=say)
    if training.outcome.exit_code is not None:
        raise InterruptedTrainingError(training.outcome.exit_code)
    run = training.run
    predict(run, root, SPLIT, Scoring(batch=batch, workers=workers), say)
    result = _evaluate(run, root)
    weights = run.manifest["weights"] or {}
    return TableRow(
        system=SYSTEMS[name.removesuffix("-paper")],
        recipe=name,
        run=run.name,
        paper_f1=recipe.paper_f1,
        all_labelled=result.all_labelled.usual_score,
        with_face=None if result.with_face is None else result.with_face.usual_score,
        steps=training.outcome.step,
        weights=tuple(weights[key] for key in ("file", "second_file") if key in weights),
    )


def _evaluate(run: Run, root: DataRoot) -> Evaluation:
    """The run's score without smoothing, as the paper's."""
    return evaluate(of_run(RunPredictions(run, SPLIT, PostProcessing(seconds=0.0), root), root), root.challenge)
