"""The bar for values and units: a fine-tuned network against ridge and logistic regression on frozen features, on unseen people.

    python -m benchmarks.affect_bar demo-mtl-lite0-short demo-mtl-lite0-frozen --data data/demo

The first run is the fine-tuned network, the second one whose backbone kept its ImageNet weights and of which `harness features`
has stored training and test split. Both are judged on the same frames of the test split, frame by frame, without smoothing,
by labels that no split holds. Ridge and logistic regression choose their strength by folds over the training recordings. Printed
are mean CCC of valence and arousal and mean F1 of the units, with the difference and its 95 % interval: percentiles over 2,000
draws of test recordings with replacement. Ends with exit code 1 if an interval of a difference does not lie above 0.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness.challenge import MTL, UNITS
from harness.data.scan import scan
from harness.data.tracks import Track
from harness.demo.layout import MULTITASK_TEST_LABELS
from harness.kinds.concordance import concordance, moment_sums
from harness.kinds.parts import parts_of
from harness.runs import scores, store
from harness.runs.scores import FEATURES
from harness.runs.store import Run

FOLDS = 4
STRENGTHS = np.logspace(-2, 5, 8)
DRAWS = 2000
NOT_LABELLED = -5.0


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames of a split: `recording` (N,), features (N, D), labels (N, fields), and, of the test split, answers (N, fields)."""

    recording: NDArray[np.str_]
    features: NDArray[np.float64]
    labels: NDArray[np.float64]
    answers: NDArray[np.float64]


def main() -> None:
    """Fits, scores and prints; exit code 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tuned", help="the run of the fine-tuned network")
    parser.add_argument("frozen", help="the run with stored features of a frozen backbone")
    parser.add_argument("--data", type=Path, default=Path("data/demo"), help="the embedded data set")
    options = parser.parse_args()
    root = scan(options.data, challenge=MTL)
    tuned, frozen = store.find(options.tuned), store.find(options.frozen)
    training = frames_of(root.split("train"), tuned, frozen, "train", None)
    test = frames_of(root.split("test"), tuned, frozen, "test", listed_labels(options.data / MULTITASK_TEST_LABELS))
    linear = linear_answers(training, test)
    constant = np.tile(np.where(training.labels != NOT_LABELLED, training.labels, 0).mean(axis=0), (len(test.labels), 1))
    print(f"{len(test.labels)} frames of {len(set(test.recording))} recordings, {len(training.labels)} to learn from\n")
    print(f"{'':<10}{'fine-tuned':>12}{'linear':>10}{'constant':>10}{'difference':>12}")
    missed = False
    for name, measure in (("mean CCC", mean_ccc), ("mean F1", mean_f1)):
        values = [measure(test.labels, answers) for answers in (test.answers, linear, constant)]
        low, high = interval(test, linear, measure)
        missed |= not low > 0
        cells = "".join(f"{value:>{width}.3f}" for value, width in zip(values, (12, 10, 10), strict=True))
        print(f"{name:<10}{cells}{values[0] - values[1]:>+12.3f} [{low:+.3f}, {high:+.3f}]")
    sys.exit(1 if missed else 0)


def listed_labels(path: Path) -> dict[tuple[str, int], list[float]]:
    """The labels of the multi-task file by track and frame."""
    with path.open(newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    return {(row[0].rpartition("/")[0], int(row[0][-9:-4])): [float(number) for number in row[1:]] for row in rows}


def frames_of(
    tracks: tuple[Track, ...], tuned: Run, frozen: Run, split: str, listed: dict[tuple[str, int], list[float]] | None
) -> Frames:
    """The frames of a split that are labelled and have features; answers only where labels are `listed`."""
    parts = parts_of(MTL)
    recordings: list[str] = []
    features, labels, answers = [], [], []
    for track in tracks:
        if not len(track.frames):
            continue
        stored = scores.read_track(frozen, split, track.name, FEATURES)
        if listed is None:
            assert track.labels is not None
            own, keep = track.labels[stored.frame - 1], np.ones(len(stored.frame), bool)
        else:
            keep = np.array([(track.name, frame) in listed for frame in stored.frame.tolist()])
            own = np.array([listed[track.name, frame] for frame in stored.frame[keep].tolist()])
            said = scores.read_track(tuned, split, track.name)
            assert np.array_equal(said.frame, stored.frame)
            answers.append(parts.decode(parts.activate(said.score))[keep])
        features.append(stored.score[keep].astype(np.float64))
        labels.append(own)
        recordings += [track.recording] * int(keep.sum())
    empty = np.zeros((0, len(MTL.fields)))
    return Frames(np.array(recordings), np.concatenate(features), np.concatenate(labels), np.concatenate([empty, *answers]))


def linear_answers(training: Frames, test: Frames) -> NDArray[np.float64]:
    """What ridge regression says of the values and logistic regression of the units (N, fields); expressions stay 0."""
    answers = np.zeros((len(test.labels), len(MTL.fields)))
    for column, field in enumerate(MTL.fields):
        known = training.labels[:, column] != field.ignore
        x, y, group = training.features[known], training.labels[known, column], training.recording[known]
        folds = GroupKFold(FOLDS)
        if not field.integral:
            search = GridSearchCV(make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": STRENGTHS}, cv=folds)
        elif field.name in UNITS and len(set(y)) > 1:
            logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
            search = GridSearchCV(logistic, {"logisticregression__C": 1 / STRENGTHS[2:]}, cv=folds, scoring="f1")
        elif field.name in UNITS:
            answers[:, column] = DummyClassifier().fit(x, y).predict(test.features)
            continue
        else:
            continue
        answers[:, column] = search.fit(x, y, groups=group).predict(test.features)
    return answers


def mean_ccc(labels: NDArray[np.float64], answers: NDArray[np.float64]) -> float:
    """The mean concordance of valence and arousal over the frames that are labelled with them."""
    found = []
    for place in (0, 1):
        known = labels[:, place] != NOT_LABELLED
        found.append(concordance(moment_sums(labels[known, place], np.clip(answers[known, place], -1, 1))))
    return float(np.mean(found))


def mean_f1(labels: NDArray[np.float64], answers: NDArray[np.float64]) -> float:
    """The mean F1 of the units, one that is never active counting 0."""
    units = [place for place, field in enumerate(MTL.fields) if field.name in UNITS]
    truth, said = labels[:, units] == 1, answers[:, units] > 0.5
    hits = (truth & said).sum(axis=0)
    return float(np.mean(2 * hits / np.maximum(truth.sum(axis=0) + said.sum(axis=0), 1)))


def interval(test: Frames, linear: NDArray[np.float64], measure: Callable[..., float]) -> tuple[float, float]:
    """The 95 % interval of the difference of a measure between the two, over draws of recordings."""
    generator = np.random.default_rng(0)
    rows = [np.flatnonzero(test.recording == name) for name in sorted(set(test.recording.tolist()))]
    differences = []
    for _ in range(DRAWS):
        drawn = np.concatenate([rows[place] for place in generator.integers(0, len(rows), len(rows))])
        labels = test.labels[drawn]
        differences.append(measure(labels, test.answers[drawn]) - measure(labels, linear[drawn]))
    low, high = np.percentile(differences, [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    main()
