"""Probes: classifiers and retrieval against slow loops, and never an answer from a recording that was learned from."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness.data.scan import scan
from harness.errors import DataError
from harness.images.batches import ImageRequest, read_batch
from harness.images.transforms import prepare_test
from harness.studies import probing
from harness.studies.features import Features, InputSettings, labelled_features
from harness.studies.probe import Probe, Target, probe
from models import registry
from models.backbones.base import Backbone


def faces(
    seed: int = 0, rows: int = 120, groups: int = 12, width: int = 6
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Features of three classes, some easy and some not, of several recordings."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, rows)
    features = random.normal(size=(rows, width)) + np.eye(width)[labels] * 1.5
    return features.astype(np.float32), labels, random.integers(0, groups, rows)


def test_folds_divide_all_rows_once_and_no_recording_is_on_both_sides() -> None:
    _, _, groups = faces()
    divisions = list(probing.divide(groups, [group % 3 for group in range(12)]))
    assert len(divisions) == 3
    assert sorted(np.concatenate([division.test for division in divisions]).tolist()) == list(range(120))
    for division in divisions:
        assert not set(groups[division.fit]) & set(groups[division.test])
        assert len(division.fit) + len(division.test) == 120


def test_the_linear_probe_is_logistic_regression_with_a_strength_chosen_on_inner_folds() -> None:
    features, labels, groups = faces()
    division = next(probing.divide(groups, [group % 2 for group in range(12)]))
    x, y, g = features[division.fit], labels[division.fit], groups[division.fit]

    def fitted(strength: float, rows: NDArray[np.integer]) -> LogisticRegression:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, class_weight="balanced", max_iter=1000))
        return model.fit(x[rows], y[rows])

    scores = []
    for strength in probing.STRENGTHS:
        answers = np.empty_like(y)
        for fit, test in GroupKFold(3).split(x, y, g):
            answers[test] = fitted(strength, fit).predict(x[test])
        scores.append(f1_score(y, answers, average="macro"))
    expected = fitted(probing.STRENGTHS[int(np.argmax(scores))], np.arange(len(y))).predict(features[division.test])
    assert probing.linear_predictions(features, labels, groups, division).tolist() == expected.tolist()
    assert (expected == labels[division.test]).mean() > 0.6


def test_few_recordings_and_a_single_class_are_answered_all_the_same() -> None:
    features, labels, _ = faces(rows=20)
    division = probing.Division(np.arange(10), np.arange(10, 20))
    assert set(probing.linear_predictions(features, np.full(20, 2), np.arange(20) % 2, division).tolist()) == {2}
    assert len(probing.linear_predictions(features, labels, np.arange(20) % 2, division)) == 10


def test_the_neighbour_probe_equals_a_loop_over_rows() -> None:
    features, labels, groups = faces()
    division = next(probing.divide(groups, [group % 2 for group in range(12)]))
    answers = probing.neighbour_predictions(features, labels, division, 3)
    wide = features.astype(np.float64)
    for row, answer in zip(division.test, answers, strict=True):
        similar = [
            (float(wide[row] @ wide[other] / np.linalg.norm(wide[row]) / np.linalg.norm(wide[other])), other)
            for other in division.fit
        ]
        votes = [0.0, 0.0, 0.0]
        for cosine, other in sorted(similar, reverse=True)[:20]:
            votes[labels[other]] += math.exp(cosine / 0.07)
        assert answer == int(np.argmax(votes))


def test_retrieval_equals_a_loop_over_queries_and_weighs_classes_alike() -> None:
    features, labels, groups = faces(rows=60, groups=5)
    labels[:3] = 3
    groups[:3] = 0  # a class that one recording alone shows
    wide = features.astype(np.float64) / np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    hits: dict[int, dict[int, list[bool]]] = {rank: {} for rank in probing.RANKS}
    for row in range(60):
        others = [other for other in range(60) if groups[other] != groups[row]]
        if not any(labels[other] == labels[row] for other in others):
            continue
        nearest = sorted(others, key=lambda other: -float(wide[row] @ wide[other]))
        for rank in probing.RANKS:
            hit = any(labels[other] == labels[row] for other in nearest[:rank])
            hits[rank].setdefault(int(labels[row]), []).append(hit)
    recall = probing.retrieval_recall(features, labels, groups)
    assert set(hits[1]) == {0, 1, 2}
    for rank in probing.RANKS:
        assert recall[rank] == pytest.approx(np.mean([np.mean(one) for one in hits[rank].values()]))


def test_a_picture_of_the_same_recording_helps_no_retrieval() -> None:
    features = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]
    labels, groups = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])
    assert all(math.isnan(share) for share in probing.retrieval_recall(features, labels, groups).values())
    groups = np.array([0, 1, 2, 3])
    assert probing.retrieval_recall(features, labels, groups)[1] == 1.0


# Features of images.


class Silent:
    """Takes what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    return registry.create("torchvision:shufflenet_v2_x0_5", image_size=32)


SETTINGS = InputSettings(32, 32, 32)


def extract(backbone: Backbone, root: Path, split: str = "train", most: int = 1000) -> Features:
    tracks = scan(root).split(split)
    device = torch.device("cpu")
    return labelled_features(backbone, tracks, SETTINGS, most=most, device=device, workers=0)


def test_features_are_those_of_the_backbone_for_each_labelled_frame_with_a_face(backbone: Backbone, drawn_root: Path) -> None:
    features = extract(backbone, drawn_root)
    tracks = scan(drawn_root).split("train")
    wanted = [
        (track, frame) for track in tracks if track.labels is not None for frame in track.frames if track.labels[frame - 1] >= 0
    ]
    assert len(features.labels) == len(wanted)
    assert features.recordings == tuple(dict.fromkeys(track.recording for track, _ in wanted))
    for row in (0, 17, len(wanted) - 1):
        track, frame = wanted[row]
        assert track.labels is not None
        assert features.labels[row] == track.labels[frame - 1]
        assert features.recordings[features.groups[row]] == track.recording
        image = read_batch([ImageRequest(track, int(frame))], 32).images
        with torch.no_grad():
            ready = prepare_test(image.expand(64, -1, -1, -1), 32, 32, backbone.mean, backbone.std)
            expected = backbone(ready).mean((2, 3))[0]
        assert torch.allclose(torch.from_numpy(features.values[row]), expected, atol=1e-5)


def test_a_limit_takes_every_kth_frame(backbone: Backbone, drawn_root: Path) -> None:
    everything, some = extract(backbone, drawn_root), extract(backbone, drawn_root, most=40)
    step = -(-len(everything.labels) // 40)
    assert len(some.labels) <= 40
    assert some.labels.tolist() == everything.labels[::step].tolist()
    assert np.allclose(some.values, everything.values[::step], atol=1e-5)


def test_a_probe_answers_for_every_frame_once_and_is_the_same_again(backbone: Backbone, drawn_root: Path) -> None:
    target = Target(backbone, SETTINGS, {"backbone": "tiny"})
    outcomes = [
        probe(
            target,
            scan(drawn_root),
            split="train",
            test_split=test_split,
            folds=2,
            seed=0,
            most=1000,
            device=torch.device("cpu"),
            workers=0,
            say=Silent(),
        ).as_dict()
        for test_split in (None, None, "val")
    ]
    assert outcomes[0] == outcomes[1]
    assert np.sum(outcomes[0]["linear_counts"]) == outcomes[0]["frames"]
    assert np.sum(outcomes[2]["neighbour_counts"]) == outcomes[2]["test_frames"]
    assert "video2" in outcomes[2]["recordings"]
    assert set(outcomes[0]["recordings"]).isdisjoint(outcomes[2]["recordings"])
    assert 0 < outcomes[0]["feature_deviation"] < 1.1


def test_the_figures_are_macro_f1_over_all_and_over_supported_classes() -> None:
    random = np.random.default_rng(1)
    labels, answers = random.integers(0, 3, 400), random.integers(0, 3, 400)
    labels[:4] = 5
    matrices = np.zeros((10, 8, 8), dtype=np.int64)
    np.add.at(matrices, (np.arange(400) % 10, labels, answers), 1)
    scores = Probe(tuple(map(str, range(10))), matrices).scores()
    expected = f1_score(labels, answers, labels=range(8), average="macro", zero_division=0)
    assert scores["macro_f1"]["value"] == pytest.approx(expected)
    supported = f1_score(labels, answers, labels=range(3), average="macro")
    assert scores["supported_macro_f1"]["value"] == pytest.approx(supported)
    low, high = scores["supported_macro_f1"]["interval"]
    assert low < supported < high


def test_recordings_in_both_splits_are_refused(backbone: Backbone, drawn_root: Path) -> None:
    target = Target(backbone, SETTINGS, {})
    with pytest.raises(DataError, match="in both splits"):
        probe(
            target,
            scan(drawn_root),
            split="train",
            test_split="train",
            folds=2,
            seed=0,
            most=20,
            device=torch.device("cpu"),
            workers=0,
            say=Silent(),
        )
