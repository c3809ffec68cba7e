"""What a run is expected to score on other recordings: made once, stored beside it, and read by everything that prints it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import MACRO_F1, Score
from harness.errors import DataError
from harness.evaluation.evaluate import challenge_scores
from harness.evaluation.intervals import Estimate, estimates, jackknife
from harness.evaluation.predictions import Scored, sums_by_recording
from harness.kinds.confusion import supported_over_recordings
from harness.kinds.f1 import class_f1
from harness.postprocess.chain import PostProcessing
from harness.runs.scores import index_digest
from harness.runs.store import TUNED, Run
from harness.selection.history import EXPECTATION, past_choices, words_of

FORMAT = 1
LARGEST = 64 * 1024 * 1024

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Expectation:
    """What is known of a run's score on recordings like those of a split.

    Attributes
    ----------
    split, recordings : where it was measured.
    counts : confusion matrices (R, C, C) of the recordings, each under what was chosen without it.
    own : the same where the run was then picked among others, under its own choices alone; `counts` are of whatever was picked
        in its place without the recording. None where nothing was picked.
    in_sample : confusion matrices (R, C, C) under what is used, the recordings' own labels among those it was chosen by.
    without : what was chosen by the labels of the split, but for each recording without it.
    flattering : what was chosen by the labels of all of these recordings, so that the score flatters.
    """

    split: str
    class_names: tuple[str, ...]
    recordings: tuple[str, ...]
    counts: Counts
    in_sample: Counts
    own: Counts | None = None
    without: tuple[str, ...] = ()
    flattering: tuple[str, ...] = ()

    @property
    def of_itself(self) -> Counts:
        """Confusion matrices (R, C, C) of this run outside its own choices, for comparing it with others."""
        return self.counts if self.own is None else self.own

    @property
    def supported(self) -> tuple[str, ...]:
        """The classes with enough labelled frames in enough recordings to be judged."""
        enough = supported_over_recordings(self.in_sample.sum(axis=2))
        return tuple(name for name, judged in zip(self.class_names, enough, strict=True) if judged)

    def score(self, score: Score = MACRO_F1, counts: Counts | None = None) -> Estimate:
        """The challenge's score over all classes with its 95 % interval; of `counts` (R, C, C) other than the expected ones."""
        (estimate,) = estimates(jackknife(self.counts if counts is None else counts, lambda sums: challenge_scores(sums, score)))
        return estimate

    def supported_macro_f1(self, counts: Counts | None = None) -> Estimate:
        """Macro-F1 of the supported classes with its 95 % interval; of `counts` (R, C, C) other than the expected ones."""
        kept = np.isin(self.class_names, self.supported)
        (estimate,) = estimates(
            jackknife(self.counts if counts is None else counts, lambda sums: class_f1(sums)[..., kept].mean(axis=-1))
        )
        return estimate

    def as_dict(self, score: Score = MACRO_F1) -> dict[str, Any]:
        """The figures as plain values, all named: the score over all classes, and macro-F1 of those with enough frames."""

        def both(counts: Counts) -> dict[str, Any]:
            return {"score": vars(self.score(score, counts)), "supported_macro_f1": vars(self.supported_macro_f1(counts))}

        return {
            "split": self.split,
            "score_name": str(score),
            "supported": list(self.supported),
            "recordings": len(self.recordings),
            "frames": int(self.in_sample.sum()),
            "expected": both(self.counts),
            "outside_its_own_choices": None if self.own is None else both(self.own),
            "in_sample": both(self.in_sample),
            "chosen_without_the_recording": list(self.without),
            "chosen_by_these_recordings": list(self.flattering),
        }


def expect(scored: Scored, split: str) -> Expectation:
    """What predictions of a split beside its labels let expect; of a text file, the score itself.

    Where settings were chosen by these labels and what was measured outside the choice is stored with the run, that is it.
    """
    names, sums = sums_by_recording(scored)
    counts = sums.reshape(len(names), len(scored.class_names), len(scored.class_names))
    plain = Expectation(split, scored.class_names, tuple(names), counts, counts)
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
        notes.append(f"{scored.name} flatters: these labels chose {listed(expectation.flattering)}")
    held_out = expectation.of_itself.reshape(len(expectation.recordings), -1) if expectation.without else None
    return replace(scored, held_out=held_out, notes=(*scored.notes, *notes))


def listed(words: Sequence[str]) -> str:
    """Words in a row: `the fit of a and the checkpoint of b`."""
    return " and ".join(words)


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
        "class_names": list(expectation.class_names),
        "names": list(expectation.recordings),
        "held_out": _rows(expectation.counts),
        "own": None if expectation.own is None else _rows(expectation.own),
    }
    files.write_json(run.path / EXPECTATION, content)


def store_choice(run: Run, what: str, tuned: Mapping[str, Any], expectation: Expectation, settings: PostProcessing) -> None:
    """Stores what was chosen for a run (`tuned`) and what it is then expected to score.

    `what` names the choice. Traces of earlier choices that it takes the place of are noted.
    """
    earlier = past_choices(run, expectation.split, {})
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
        shape, own = plain.counts.shape, content["own"]
        return replace(
            plain,
            counts=_matrices(content["held_out"], shape),
            own=None if own is None else _matrices(own, shape),
            without=tuple(content["without"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError("not an expectation that this program stores", path=place, remedy=f"harness tune {run.name}") from error


def _rows(counts: Counts) -> list[str]:
    """Each recording's matrix as one line of text, so that a reader sees one line for each."""
    return [" ".join(map(str, row)) for row in counts.reshape(len(counts), -1).tolist()]


def _matrices(rows: Sequence[str], shape: tuple[int, ...]) -> Counts:
    return np.array([[int(number) for number in row.split()] for row in rows], dtype=np.int64).reshape(shape)
