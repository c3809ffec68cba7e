"""What a submission is expected to score, from what that follows, or why it is not known.

It is what the run scores on the validation split, or out of fold, with the same post-processing. Where these labels chose the
settings, it is what was measured on recordings that had no part in the choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness import files
from harness.challenge import MACRO_F1, Score
from harness.data.tracks import OUT_OF_FOLD, DataRoot
from harness.errors import DataError, HarnessError
from harness.evaluation.evaluate import evaluate
from harness.postprocess.chain import PostProcessing
from harness.rows.labelled import of_run
from harness.rows.predictions import RunPredictions
from harness.runs import store
from harness.runs.lineage import is_unchanged, scored_otherwise
from harness.runs.provenance import learned_from
from harness.runs.store import TUNED, Run
from harness.selection.stored import say_tuned_on_others, tuned_on_others
from harness.submission.record import Record


@dataclass(frozen=True)
class Expectation:
    """An expected score and the ends of its 95 % interval, None where they are not known, and a sentence about them."""

    sentence: str
    score: float | None = None
    low: float | None = None
    high: float | None = None


def expect(record: Record | None, score: Score, root_of: Callable[[Run], DataRoot]) -> Expectation:
    """What an answer with this record is expected to score; `root_of` gives the data root whose labels measure a run."""
    try:
        if record is None or not record.runs:
            raise DataError("the submission does not name the run it was made from")
        return _measure(record, store.find(record.runs[0]), score, root_of)
    except (HarnessError, KeyError, TypeError, ValueError, AttributeError) as error:
        return Expectation(f"expected score unknown: {str(error).splitlines()[0]}")


def _measure(record: Record, run: Run, score: Score, root_of: Callable[[Run], DataRoot]) -> Expectation:
    split = _measured_split(run, record)
    root = root_of(run)
    settings = PostProcessing.from_dict(record.content.get("postprocessing", {}))
    predictions = RunPredictions(run, split, settings, root, record.content.get("frame_rate"))
    result = evaluate(of_run(predictions, root), run.class_names, score).all_labelled
    chosen_here, outside = _outside_choice(run, split, settings.as_dict())
    measured = "measured out of fold" if split == OUT_OF_FOLD else "measured on the validation split"
    if score != MACRO_F1:
        # Intervals and what a choice is worth outside it are known of the macro-F1 alone.
        flatters = ", by which its settings were chosen: it flatters" if chosen_here else ""
        return Expectation(f"expected score: {measured}{flatters}", result.score)
    inside = result.macro_f1
    if outside is None:
        return Expectation(f"expected score: {measured}", inside.value, inside.low, inside.high)
    recordings = "recordings, out of fold," if split == OUT_OF_FOLD else "recordings of the validation split"
    sentence = (
        f"expected score: measured on {recordings} that had no part in choosing its settings "
        f"({TUNED}); on those they were chosen on it is {inside.value:.4f}"
    )
    low, high = (None if end is None else min(max(end - inside.value + outside, 0.0), 1.0) for end in (inside.low, inside.high))
    return Expectation(sentence, outside, low, high)


def _measured_split(run: Run, record: Record) -> str:
    """The split whose scores tell what to expect: val, or out of fold where a cross-validation has no other that it can.

    Raises DataError if the run is not the one the text was made from any more, if it learned from that split, or if other
    checkpoints or settings made its scores of that split and of the answer's.
    """
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
    path = run.path / TUNED
    tuned = files.read_json(path) if path.is_file() else {}
    fitted = "plain_mean" in tuned
    if tuned.get("split") != split or not (fitted or tuned["postprocessing"] == settings):
        return False, None
    if tuned_on_others(run, tuned):
        raise DataError(say_tuned_on_others(run))
    return True, float(tuned["plain_mean" if fitted else "before"]) + float(tuned["outside"]["value"])
