"""What a submission is expected to score, from what that follows, or why it is not known.

It is what the run scores on the validation split, or out of fold, with the same post-processing. Where these labels chose the
settings, it is what was measured on recordings that had no part in the choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness import files
from harness.challenge import Score
from harness.data.tracks import OUT_OF_FOLD, DataRoot
from harness.errors import DataError, HarnessError
from harness.postprocess.chain import PostProcessing
from harness.rows.labelled import scored_run
from harness.runs import store
from harness.runs.lineage import is_unchanged, learned_from, outdated, scored_otherwise
from harness.runs.store import TUNED, Run
from harness.selection import expectation as selection
from harness.selection.alarms import alarms
from harness.selection.describe import describe_on_test
from harness.selection.drift import warnings_of
from harness.selection.history import EXPECTATION
from harness.selection.stored import say_tuned_on_others, tuned_on_others
from harness.submission.record import Record
from harness.words import listed, number


@dataclass(frozen=True)
class ExpectedScore:
    """An expected score and the ends of its 95 % interval, None where they are not known, and a sentence about them."""

    sentence: str
    score: float | None = None
    low: float | None = None
    high: float | None = None


def expect(record: Record | None, score: Score, root_of: Callable[[Run], DataRoot]) -> ExpectedScore:
    """What an answer with this record is expected to score; `root_of` gives the data root whose labels measure a run."""
    try:
        if record is None or not record.runs:
            raise DataError("the submission does not name the run it was made from")
        return _measure(record, store.find(record.runs[0]), score, root_of)
    except (HarnessError, KeyError, TypeError, ValueError, AttributeError) as error:
        return ExpectedScore(f"expected score unknown: {str(error).splitlines()[0]}")


def _measure(record: Record, run: Run, score: Score, root_of: Callable[[Run], DataRoot]) -> ExpectedScore:
    split = _measured_split(run, record)
    settings = PostProcessing.from_dict(record.content.get("postprocessing", {}))
    _refuse_unmeasured_choice(run, split, settings.as_dict())
    root = root_of(run)
    scored = scored_run(run, split, root, settings, record.content.get("frame_rate"), score)
    known = selection.expect(scored, split)
    recordings = "recordings, out of fold," if split == OUT_OF_FOLD else "recordings of the validation split"
    sentence = f"expected score: {'measured out of fold' if split == OUT_OF_FOLD else 'measured on the validation split'}"
    if known.without:
        inside = known.score(score, known.in_sample).value
        sentence = (
            f"expected score: measured on {recordings} that had no part in {listed(known.without)}; "
            f"on those they were chosen on it is {number(inside)}"
        )
    if known.flattering:
        sentence += f"; it is optimistic: their labels chose {listed(known.flattering)}"
    if not known.all_supported:
        few = known.supported_score()
        interval = "" if few.low is None else f" ({number(few.low)} to {number(few.high)})"
        classes = f"{len(known.supported)} {known.parts.called} with enough frames"
        sentence += f"\n  {known.measure.words} of the {classes}: {number(few.value)}{interval}"
    sentence += "".join(f"\n  {line}" for line in describe_on_test(known, score))
    sentence += "".join(f"\n  ALARM: {line}" for line in alarms([run], root, split))
    sentence += "".join(f"\n  warning: {line}" for line in warnings_of(run, root, split))
    expected = known.score(score)
    return ExpectedScore(sentence, expected.value, expected.low, expected.high)


def _measured_split(run: Run, record: Record) -> str:
    """The split whose scores tell what to expect: val, or out of fold where a cross-validation has no other that it can.

    Raises DataError if the run is not the one the text was made from any more, if it learned from that split, or if other
    checkpoints or settings made its scores of that split and of the answer's.
    """
    if not is_unchanged(run, record.split, record.content["runs"][0]):
        raise DataError(f"the run {run.name} has changed since this text was written")
    changed = outdated(run, record.split)
    if changed:
        raise DataError(f"the text is of what the run was before: {'; '.join(changed)}")
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


def _refuse_unmeasured_choice(run: Run, split: str, settings: Mapping[str, Any]) -> None:
    """Raises DataError if labels of a split chose weights or settings, and it is not known what these are worth outside."""
    path = run.path / TUNED
    tuned = files.read_json(path) if path.is_file() else {}
    fitted = "plain_mean" in tuned
    if tuned.get("split") != split or not (fitted or tuned["postprocessing"] == settings):
        return
    if tuned_on_others(run, tuned):
        raise DataError(say_tuned_on_others(run))
    if not (run.path / EXPECTATION).is_file():
        again = "harness ensemble --fit" if fitted else f"harness tune {run.name}"
        raise DataError(f"labels of {split} chose its settings, and what these are worth was not noted: `{again}` again")
