"""The bar for values and units: a fine-tuned network against ridge and logistic regression on frozen features, on unseen people.

    python -m benchmarks.affect_bar --work affect-bar

Three data sets of other performances of the same people, one training seed each. A network of the values (va-lite0) and one
of the units (au-lite0) learn from the 24 people of the training split; ridge and logistic regression learn from features of
the frozen ImageNet backbone of the same people. All answer the same frames of the 16 others (validation and test), frame by
frame, without smoothing. The networks are those of the last step. The regressions choose their strength by folds over the
training recordings, by the CCC and the F1 that they are judged by (chosen by its squared error ridge shrinks its answers,
which costs CCC). So nothing is chosen by who is judged. Printed are mean CCC of valence and arousal and mean F1 of the units,
with the differences and their 95 % intervals (jackknife of the pooled sums) over recordings, and over people, all of whose
recordings count as one. What is done is kept: an interrupted campaign goes on where it stopped. Ends with exit code 1 if an
interval of a difference does not lie above 0. It demonstrates the chain, and claims nothing about Aff-Wild2.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.sound import run_harness
from harness import files
from harness.challenge import AU, MEAN_CCC, UNIT_F1, VA, Challenge, Field, Score
from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.demo.layout import test_labels as kept_back
from harness.evaluation.intervals import difference_interval, jackknife, score_interval
from harness.kinds.concordance import concordance, moment_sums
from harness.kinds.parts import Parts, parts_of
from harness.rows.labelled import with_labels
from harness.runs import scores, store
from harness.runs.scores import FEATURES

SEEDS = range(3)
ARMS = ("fine-tuned", "linear", "constant")
FOLDS = 4
STRENGTHS = np.logspace(-2, 5, 8)


@dataclass(frozen=True)
class Bar:
    """What is learned, by which recipe, and the score that is compared."""

    challenge: Challenge
    recipe: str
    score: Score

    @cached_property
    def parts(self) -> Parts:
        """Columns, sums and scores of the challenge."""
        return parts_of(self.challenge)


BARS = (Bar(VA, "va-lite0", MEAN_CCC), Bar(AU, "au-lite0", UNIT_F1))


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames that have features and labels: `recording` (N,), features (N, D), labels (N, fields), answers of the network."""

    recording: NDArray[np.str_]
    features: NDArray[np.float64]
    labels: NDArray[np.float64]
    answers: NDArray[np.float64]


def main() -> None:
    """Makes what is missing, then prints the table; exit code 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("affect-bar"), help="folder of data and runs [default: affect-bar]")
    work = files.make_directory(parser.parse_args().work).resolve()
    head = ["score", "frames", "recordings", "people", *ARMS, "fine-tuned less linear, over recordings", "over people"]
    lines, missed = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)], False
    for bar in BARS:
        found = [_sums_of_seed(files.make_directory(work / str(seed)), seed, bar) for seed in SEEDS]
        recordings = [name for names, _ in found for name in names]
        line, below = row(bar, recordings, np.concatenate([sums for _, sums in found]))
        lines.append(line)
        missed |= below
    print("\n".join(lines))
    sys.exit(1 if missed else 0)


def _sums_of_seed(place: Path, seed: int, bar: Bar) -> tuple[list[str], NDArray[np.float64]]:
    """The recordings of unseen people in one data set, and the sums (R, arms, size) of what each arm answers in them."""
    kept = place / f"{bar.challenge.name}.npz"
    if not kept.is_file():
        _train(place, seed, bar)
        os.chdir(place)
        root = with_labels(scan(place / "data", challenge=bar.challenge), "test", place / "data" / kept_back(bar.challenge))
        training, judged = frames_of(root, ["train"], bar, answered=False), frames_of(root, ["val", "test"], bar, answered=True)
        constant = np.tile(bar.parts.constant(bar.parts.label_only_sums(training.labels)), (len(judged.labels), 1))
        answers = [judged.answers, linear_answers(training, judged, bar), constant]
        names = list(dict.fromkeys(judged.recording.tolist()))
        rows = [judged.recording == name for name in names]
        sums = np.array([[bar.parts.sums(judged.labels[own], said[own]) for said in answers] for own in rows])
        buffer = io.BytesIO()
        np.savez(buffer, recordings=np.array(names), sums=sums)
        files.write_bytes(kept, buffer.getvalue())
    with np.load(kept, allow_pickle=False) as stored:
        return stored["recordings"].tolist(), stored["sums"]


def _train(place: Path, seed: int, bar: Bar) -> None:
    """The data set, the network and its scores of unseen people, and features of a frozen ImageNet backbone."""
    run_harness(place, "demo-data", "--out", "data", "--seed", str(seed))
    data, challenge = ("--data", "data"), bar.challenge.name
    run_harness(place, "train", "--recipe", bar.recipe, *data, "--run", _tuned(bar), "--seed", str(seed))
    for split in ("val", "test"):
        run_harness(place, "predict", _tuned(bar), "--split", split, *data)
    frozen = ("--recipe", "lite0-frozen", "--challenge", challenge, "--set", "iterations=1")
    run_harness(place, "train", *frozen, *data, "--run", _frozen(bar))
    run_harness(place, "features", _frozen(bar), *data)


def _tuned(bar: Bar) -> str:
    return f"{bar.challenge.name}-tuned"


def _frozen(bar: Bar) -> str:
    return f"{bar.challenge.name}-frozen"


def frames_of(root: DataRoot, splits: Sequence[str], bar: Bar, answered: bool) -> Frames:
    """The labelled frames of splits that have features, with the network's answers where it is to be judged by them."""
    tuned, frozen = store.find(_tuned(bar)), store.find(_frozen(bar))
    recordings: list[str] = []
    features, labels, answers = [], [], []
    for track in (track for split in splits for track in root.split(split)):
        if track.labels is None or not len(track.frames):
            continue
        stored = scores.read_track(frozen, track.split, track.name, FEATURES)
        own = track.labels[stored.frame - 1]
        known = bar.parts.labelled(own)
        features.append(stored.score[known].astype(np.float64))
        labels.append(own[known])
        recordings += [track.recording] * int(known.sum())
        if answered:
            said = scores.read_track(tuned, track.split, track.name)
            assert np.array_equal(said.frame, stored.frame)
            answers.append(bar.parts.decode(bar.parts.activate(said.score))[known])
    empty = np.zeros((0, len(bar.challenge.fields)))
    return Frames(np.array(recordings), np.concatenate(features), np.concatenate(labels), np.concatenate([empty, *answers]))


def linear_answers(training: Frames, judged: Frames, bar: Bar) -> NDArray[np.float64]:
    """What ridge regression says of the values, or logistic regression of the units (N, fields)."""
    answers = np.zeros((len(judged.labels), len(bar.challenge.fields)))
    for column, field in enumerate(bar.challenge.fields):
        known = training.labels[:, column] != field.ignore
        x, y, group = training.features[known], training.labels[known, column], training.recording[known]
        answers[:, column] = np.clip(_search(field, y).fit(x, y, groups=group).predict(judged.features), field.low, field.high)
    return answers


class _Always(DummyClassifier):  # type: ignore[misc]
    """The most frequent label, for a unit that is never active in training; takes groups as the searches do."""

    def fit(self, x: NDArray, y: NDArray, groups: NDArray) -> _Always:
        super().fit(x, y)
        return self


def _search(field: Field, labels: NDArray[np.float64]) -> BaseEstimator:
    folds = GroupKFold(FOLDS)
    if not field.integral:
        ridge = make_pipeline(StandardScaler(), Ridge())
        return GridSearchCV(ridge, {"ridge__alpha": STRENGTHS}, cv=folds, scoring=make_scorer(_ccc))
    if len(set(labels)) == 1:
        return _Always()
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    return GridSearchCV(logistic, {"logisticregression__C": 1 / STRENGTHS[2:]}, cv=folds, scoring="f1")


def _ccc(labels: NDArray[np.float64], answers: NDArray[np.float64]) -> float:
    return float(concordance(moment_sums(labels, answers)))


def row(bar: Bar, recordings: Sequence[str], sums: NDArray[np.float64]) -> tuple[str, bool]:
    """The line of the table of sums (R, arms, size), and whether the bar is missed.

    A person of the unseen ones acts in one recording of each data set, which is called alike in all of them.
    """
    people = list(dict.fromkeys(recordings))
    by_person = np.array([sums[[name == person for name in recordings]].sum(axis=0) for person in people])
    frames = int(bar.parts.frames(sums[:, 0].sum(axis=0)))
    cells = [bar.score.words, f"{frames:,}", str(len(recordings)), str(len(people))]
    low, high = bar.parts.bounds(bar.score)
    for arm in range(len(ARMS)):
        result = jackknife(sums[:, arm], lambda total: bar.parts.score(total, bar.score))
        bounds = score_interval(result, low, high)
        cells.append(f"{float(result.estimate):.3f} [{float(bounds.low):.3f}, {float(bounds.high):.3f}]")
    missed = False
    for groups in (sums, by_person):
        result = jackknife(groups[:, :2], lambda pair: _difference(pair, bar))
        bounds = difference_interval(result, high - low)
        missed |= not bounds.low > 0
        cells.append(f"{float(result.estimate):+.3f} [{float(bounds.low):+.3f}, {float(bounds.high):+.3f}]")
    return "| " + " | ".join(cells) + " |", missed


def _difference(pair: NDArray, bar: Bar) -> NDArray[np.float64]:
    """The score of the first of two arms (..., 2, size) less that of the second."""
    difference: NDArray[np.float64] = bar.parts.score(pair[..., 0, :], bar.score) - bar.parts.score(pair[..., 1, :], bar.score)
    return difference


if __name__ == "__main__":
    main()
