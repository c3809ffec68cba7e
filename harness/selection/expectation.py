"""What a run is expected to score on other recordings: made once, stored beside it, and read by everything that prints it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import MACRO_F1, Score, format_of
from harness.errors import DataError, MismatchError
from harness.evaluation.intervals import Estimate, estimates, jackknife, score_interval
from harness.evaluation.predictions import Scored, sums_by_recording
from harness.kinds.parts import Parts
from harness.postprocess.chain import PostProcessing
from harness.runs.scores import index_digest
from harness.runs.store import TUNED, Run, adding
from harness.selection.history import EXPECTATION, past_choices, words_of
from harness.selection.stored import tuned_on_others
from harness.selection.yardstick import Yardstick, yardstick_of
from harness.words import listed

FORMAT = 1
LARGEST = 64 * 1024 * 1024
CHOICE_LOCK = ".choice.lock"
"""In a run's folder: held while what was chosen for it is stored."""


@dataclass(frozen=True, eq=False)
class Expectation:
    """What is known of a run's score on recordings like those of a split.

    Attributes
    ----------
    split, recordings : where it was measured.
    sums : sums (R, size) over the frames of the recordings (harness.kinds.parts), each under what was chosen without it.
    in_sample : the same under what is used, the recordings' own labels among those it was chosen by.
    measure : the score that choices are judged by.
    own : sums where the run was then picked among others, under its own choices alone; `sums` are of whatever was picked in its
        place without the recording. None where nothing was picked.
    without : what was chosen by the labels of the split, but for each recording without it.
    flattering : what was chosen by the labels of all of these recordings, so that the score flatters.
    """

    split: str
    parts: Parts
    recordings: tuple[str, ...]
    sums: NDArray
    in_sample: NDArray
    measure: Score = MACRO_F1
    own: NDArray | None = None
    without: tuple[str, ...] = ()
    flattering: tuple[str, ...] = ()

    @property
    def of_itself(self) -> NDArray:
        """Sums (R, size) of this run outside its own choices, for comparing it with others."""
        return self.sums if self.own is None else self.own

    @cached_property
    def yardstick(self) -> Yardstick:
        """The score over what has enough labelled frames in enough recordings to be judged."""
        return yardstick_of(self.parts, self.measure, self.in_sample)

    @property
    def supported(self) -> tuple[str, ...]:
        """The columns (classes, units, values) with enough labelled frames in enough recordings to be judged."""
        return self.yardstick.names

    @property
    def all_supported(self) -> bool:
        """Whether nothing is left out of the supported score."""
        return len(self.supported) == len(self.parts.columns)

    def score(self, score: Score | None = None, sums: NDArray | None = None) -> Estimate:
        """The challenge's score with its 95 % interval, of an edition that has another; of other `sums` (R, size)."""
        return _estimate(self.sums if sums is None else sums, self.parts, score or self.measure)

    def supported_score(self, sums: NDArray | None = None) -> Estimate:
        """The score over what is supported with its 95 % interval; of other `sums` (R, size)."""
        return _estimate(self.sums if sums is None else sums, self.yardstick.judged, self.measure)

    def as_dict(self, score: Score | None = None) -> dict[str, Any]:
        """The figures as plain values, all named: the score over all columns, and over those with enough frames."""
        supported = f"supported_{self.measure}" if len(self.measure.parts) == 1 else "supported_score"

        def both(sums: NDArray) -> dict[str, Any]:
            return {"score": vars(self.score(score, sums)), supported: vars(self.supported_score(sums))}

        return {
            "split": self.split,
            "score_name": str(score or self.measure),
            "supported": list(self.supported),
            "recordings": len(self.recordings),
            "frames": int(self.parts.frames(self.in_sample.sum(axis=0))),
            "expected": both(self.sums),
            "outside_its_own_choices": None if self.own is None else both(self.own),
            "in_sample": both(self.in_sample),
            "chosen_without_the_recording": list(self.without),
            "chosen_by_these_recordings": list(self.flattering),
        }


def _estimate(sums: NDArray, parts: Parts, score: Score) -> Estimate:
    low, high = parts.bounds(score)
    result = jackknife(sums, lambda one: parts.score(one, score))
    (estimate,) = estimates(result, lambda found: score_interval(found, low, high))
    return estimate


def expect(scored: Scored, split: str) -> Expectation:
    """What predictions of a split beside its labels let expect; of a text file, the score itself.

    Where settings were chosen by these labels and what was measured outside the choice is stored with the run, that is it.
    """
    names, sums = sums_by_recording(scored)
    plain = Expectation(split, scored.parts, tuple(names), sums, sums, format_of(scored.challenge.name).score)
    if scored.run is None:
        return plain
    settings = scored.settings or {}
    stored = _stored(scored.run, plain, settings)
    chosen = past_choices(scored.run, split, settings)
    return replace(stored, flattering=tuple(words for words in chosen if words not in stored.without))


def outside_choices(scored: Scored, expectation: Expectation) -> Scored:
    """The predictions with what is known of them outside the choices made by these labels, for comparing them with others."""
    notes = []
    if expectation.without:
        notes.append(f"{scored.name} is judged outside {listed(expectation.without)}")
    if expectation.flattering:
        notes.append(f"{scored.name} is optimistic: these labels chose {listed(expectation.flattering)}")
    held_out = expectation.of_itself if expectation.without else None
    return replace(scored, held_out=held_out, notes=(*scored.notes, *notes))


def store(run: Run, expectation: Expectation, settings: PostProcessing, earlier: Sequence[str] = ()) -> None:
    """Stores what a run is expected to score under `settings`, with what was chosen on the way to it, some of it `earlier`."""
    values = settings.as_dict()
    chosen = (*earlier, *past_choices(run, expectation.split, values), *expectation.without)
    content = {
        **expectation.as_dict(),
        "format": FORMAT,
        "postprocessing": values,
        "scores": index_digest(run, expectation.split),
        "chosen": list(dict.fromkeys(chosen)),
        "without": list(expectation.without),
        "class_names": list(expectation.parts.columns),
        "names": list(expectation.recordings),
        "held_out": _rows(expectation.sums),
        "own": None if expectation.own is None else _rows(expectation.own),
    }
    files.write_json(run.path / EXPECTATION, content)


def store_choice(run: Run, what: str, tuned: Mapping[str, Any], expectation: Expectation, settings: PostProcessing) -> None:
    """Stores what was chosen for a run (`tuned`) and what it is then expected to score.

    `what` names the choice. Traces of earlier choices that it takes the place of are noted. Raises MismatchError if the run has
    other scores by now than those that it was chosen on.
    """
    earlier = past_choices(run, expectation.split, {})
    # Two commands that choose at the same time leave the choice of one, with what that one expects.
    with adding(run), files.lock(run.path / CHOICE_LOCK, f"what was chosen for {run.name!r}", wait=True):
        if tuned_on_others(run, tuned):
            raise MismatchError(
                f"the run {run.name!r} was rewritten while this was chosen for it; nothing is stored",
                path=run.path,
                remedy="run the same command again",
            )
        files.write_json(run.path / TUNED, tuned)
        store(run, replace(expectation, without=(words_of(what, run.name),)), settings, earlier)


def _stored(run: Run, plain: Expectation, settings: Mapping[str, Any]) -> Expectation:
    """The stored expectation of a run if it is of these settings, recordings and of the scores that are there now; else `plain`.

    Raises DataError for a damaged one.
    """
    place = run.path / EXPECTATION
    content: dict[str, Any] = files.read_json(place, LARGEST) if place.is_file() else {"split": None}
    try:
        if content["split"] != plain.split or content["format"] != FORMAT or content["postprocessing"] != settings:
            return plain
        if content["names"] != list(plain.recordings) or content["scores"] != index_digest(run, plain.split):
            return plain
        own = content["own"]
        return replace(
            plain,
            sums=_sums(content["held_out"], plain.sums),
            own=None if own is None else _sums(own, plain.sums),
            without=tuple(content["without"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError("not an expectation that this program stores", path=place, remedy=f"`harness tune {run.name}`") from error


def _rows(sums: NDArray) -> list[str]:
    """Each recording's sums as one line of text, so that a reader sees one line for each; decimal ones with all their digits."""
    return [" ".join(map(str, row)) for row in sums.tolist()]


def _sums(rows: Sequence[str], like: NDArray) -> NDArray:
    """The sums that `_rows` wrote, of the shape and kind of others. Raises ValueError for anything else."""
    number = int if like.dtype == np.int64 else float
    return np.array([[number(word) for word in row.split()] for row in rows], dtype=like.dtype).reshape(like.shape)
