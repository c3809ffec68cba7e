"""Figures of frozen features on people not learned from, against scikit-learn, with every person left out in turn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import unseen
from benchmarks.unseen import area_and_without, as_row, bounds_of, difference, happiness_and_macro_area, over_seeds, unit_f1
from benchmarks.video_positives import expression_f1
from harness.evaluation.intervals import difference_interval
from harness.studies import probing
from harness.studies.features import Features

STRENGTH = 0.01


@pytest.fixture(autouse=True)
def one_strength(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "STRENGTHS", (STRENGTH,))


def features_of(labels: NDArray[Any], people: int, seed: int, prefix: str = "p") -> Features:
    """Features in which labels show, of people in an order of their own, whose frames lie scattered."""
    random = np.random.default_rng(seed)
    signal = labels.reshape(len(labels), -1) @ random.normal(size=(labels.reshape(len(labels), -1).shape[1], 6))
    values = (signal / 3 + random.normal(size=(len(labels), 6))).astype(np.float32)
    names = tuple(f"{prefix}{number}" for number in random.permutation(people))
    return Features(values, labels.astype(np.int64), random.permutation(np.arange(len(labels)) % people), names, ())


def test_an_area_and_what_it_is_without_each_person_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    positive, person = random.random(300) < 0.3, random.integers(0, 12, 300)
    # One decimal makes ties; two people have frames of one kind alone, one has none.
    score = np.round(positive + random.normal(size=300), 1)
    person[(person == 3) & positive], person[(person == 4) & ~positive] = 5, 6
    area, without = area_and_without(score, positive, person, 13)
    assert area == pytest.approx(roc_auc_score(positive, score), abs=1e-12)
    for left_out in range(13):
        kept = person != left_out
        assert without[left_out] == pytest.approx(roc_auc_score(positive[kept], score[kept]), abs=1e-12)


def test_the_two_areas_are_those_of_a_cross_validation_by_scikit_learn() -> None:
    # Of class 3 there are too few frames to judge it; it stands among the others all the same.
    labels = np.random.default_rng(1).choice([0, 1, 3, 4, 6], size=400, p=[0.45, 0.15, 0.01, 0.3, 0.09])
    features = features_of(labels, people=20, seed=2)
    fold_of = {name: int(name[1:]) % 4 for name in features.recordings}
    folds = np.array([fold_of[features.recordings[group]] for group in features.groups])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=unseen.LINEAR_ITERATIONS))
    scores = cross_val_predict(model, features.values, labels, cv=PredefinedSplit(folds), method="predict_log_proba")
    classes = sorted(set(labels.tolist()))
    assert 0 < (labels == 3).sum() <= unseen.JUDGED

    def areas(kept: NDArray[Any]) -> tuple[float, float]:
        two = kept & np.isin(labels, (0, 4))
        happy = roc_auc_score(labels[two] == 4, scores[two, classes.index(4)] - scores[two, classes.index(0)])
        each = [roc_auc_score(labels[kept] == label, scores[kept, classes.index(label)]) for label in (0, 1, 4, 6)]
        return happy, float(np.mean(each))

    result = happiness_and_macro_area(features, fold_of)
    assert result.estimate == pytest.approx(areas(np.ones(400, bool)), abs=1e-9)
    for place, name in enumerate(sorted(features.recordings)):
        kept = features.groups != features.recordings.index(name)
        assert result.without[place] == pytest.approx(areas(kept), abs=1e-9)


def test_the_f1_of_units_is_that_of_scikit_learns_classifiers() -> None:
    random = np.random.default_rng(3)
    active = (random.random((300, 12)) < np.linspace(0.1, 0.7, 12)).astype(int)
    active[:200, 2], active[:200, 5] = 0, 1  # the people learned from never show the one and always the other
    together = features_of(active, people=15, seed=4)
    training = Features(together.values[:200], together.labels[:200], together.groups[:200], together.recordings, ())
    test = Features(together.values[200:], together.labels[200:], together.groups[200:], together.recordings, ())
    said = np.zeros((100, 12), int)
    for unit in range(12):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, class_weight="balanced"))
        if unit in (2, 5):
            said[:, unit] = unit == 5
        else:
            said[:, unit] = model.fit(training.values, training.labels[:, unit]).predict(test.values)
    result = unit_f1(training, test)
    assert float(result.estimate) == pytest.approx(f1_score(test.labels, said, average="macro", zero_division=0), abs=1e-12)
    for place, name in enumerate(sorted(test.recordings)):
        kept = test.groups != test.recordings.index(name)
        expected = f1_score(test.labels[kept], said[kept], average="macro", zero_division=0)
        assert float(result.without[place]) == pytest.approx(expected, abs=1e-12)


def test_the_f1_of_expressions_is_that_of_scikit_learns_classifier() -> None:
    labels = np.random.default_rng(8).choice([0, 1, 4, 6], size=300, p=[0.4, 0.2, 0.3, 0.1])
    together = features_of(labels, people=15, seed=9)
    training = Features(together.values[:200], labels[:200], together.groups[:200], together.recordings, ())
    # One more person than were learned from, in an order of their own: groups number the people of their own part.
    groups = np.random.default_rng(10).permutation(np.arange(100) % 16)
    test = Features(together.values[200:], labels[200:], groups, tuple(f"t{(7 * number) % 16:02d}" for number in range(16)), ())
    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=1000))
    said = model.fit(training.values, training.labels).predict(test.values)
    result = expression_f1(training, test)

    def expected(kept: NDArray[Any]) -> float:
        return float(f1_score(test.labels[kept], said[kept], labels=range(8), average="macro", zero_division=0))

    assert float(result.estimate) == pytest.approx(expected(np.ones(100, bool)), abs=1e-12)
    for place, name in enumerate(sorted(test.recordings)):
        kept = test.groups != test.recordings.index(name)
        assert float(result.without[place]) == pytest.approx(expected(kept), abs=1e-12)


def test_differences_are_paired_by_person_and_means_are_over_seeds() -> None:
    random = np.random.default_rng(5)
    common = random.normal(scale=0.01, size=40)
    rows = [
        {"auc": 0.7 + seed / 100 + gain, "without": {"auc": (0.7 + seed / 100 + gain + common).tolist()}}
        for gain in (0.0, 0.02) for seed in range(3)
    ]  # fmt: skip
    less, more = over_seeds(rows[:3], "auc"), over_seeds(rows[3:], "auc")
    assert (float(less.estimate), float(more.estimate)) == pytest.approx((0.71, 0.73))
    gain = difference(more, less)
    assert float(gain.estimate) == pytest.approx(0.02)
    # What people have in common between the two does not widen the interval of their difference.
    assert gain.standard_error == pytest.approx(0, abs=1e-12)
    assert float(more.standard_error) > 0.01
    low, high = bounds_of(difference(more, over_seeds(rows[:1], "auc")), is_difference=True)
    interval = difference_interval(difference(more, over_seeds(rows[:1], "auc")))
    assert (low, high) == (float(interval.low), float(interval.high))


def test_a_row_keeps_each_figure_by_its_name() -> None:
    labels = np.random.default_rng(6).choice([0, 4], size=120)
    features = features_of(labels, people=6, seed=7)
    result = happiness_and_macro_area(features, {name: int(name[1:]) % 3 for name in features.recordings})
    row = as_row(["happiness_auc", "macro_auc"], result)
    assert row["people"] == len(row["without"]["macro_auc"]) == 6
    back = over_seeds([row], "happiness_auc")
    assert float(back.estimate) == pytest.approx(float(result.estimate[0]), abs=1e-6)
    assert back.without == pytest.approx(result.without[:, 0], abs=1e-6)
