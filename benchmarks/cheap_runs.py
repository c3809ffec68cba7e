"""Labelled recordings divided anew, and runs on them without a network: regressions on small pixels, stored probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness.challenge import EXPR
from harness.data.crops import image_bytes
from harness.data.scan import scan
from harness.data.tracks import SPLITS, DataRoot, Track
from harness.demo.layout import TEST_LABELS
from harness.images.decode import decode
from harness.rows.labelled import with_labels
from harness.runs import scores, store
from harness.runs.scores import TrackScores
from harness.runs.store import Run

SIDE = 48
"""Pixels along a side of the pictures that features are made of."""
OUTSIDE = "outside_models.npz"
"""In a folder of faces: track, frame, and by name the probabilities (N, 8) of models that were trained elsewhere."""
LEAST_SHARE = 1e-4
"""What a regression gives a class at least, so that one it never saw is not impossible."""


Model = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """All labelled tracks of a data set with features of their frames, to be divided at will.

    Attributes
    ----------
    root : whose tracks are the labelled ones.
    features : by name and track a vector (S, D) for each of its frames.
    outside : by name and track probabilities (S, 8) of models that need no training here.
    """

    name: str
    root: DataRoot
    features: Mapping[str, Mapping[str, NDArray[np.float32]]]
    outside: Mapping[str, Mapping[str, NDArray[np.float32]]]

    @property
    def recordings(self) -> list[str]:
        """The recordings."""
        return sorted({track.recording for track in self.root.tracks})


def read_set(name: str, path: Path) -> LabelledSet:
    """The labelled tracks below `path`; of the embedded data set those of its test split as well."""
    root = scan(path, use_cache=False)
    if root.embedded:
        root = with_labels(root, "test", path / TEST_LABELS)
    tracks = tuple(one for one in root.tracks if one.labels is not None and (one.labels >= 0).any() and len(one.frames))
    pictures = {one.name: np.stack([_grey(image_bytes(one, int(frame))) for frame in one.frames]) for one in tracks}
    features = {"pixels": {name: _pixels(one) for name, one in pictures.items()}}
    features["edges"] = {name: _edges(one) for name, one in pictures.items()}
    return LabelledSet(name, replace(root, tracks=tracks), features, _outside(path / OUTSIDE, tracks))


def _grey(data: bytes) -> NDArray[np.float32]:
    grey: NDArray[np.float32] = decode(data, SIDE).mean(axis=2, dtype=np.float32)
    return grey


def _pixels(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sixteen by sixteen pixels of each picture (S, 256), each with mean 0 and deviation 1."""
    small = pictures.reshape(len(pictures), 16, SIDE // 16, 16, SIDE // 16).mean(axis=(2, 4)).reshape(len(pictures), -1)
    spread: NDArray[np.float32] = (small - small.mean(axis=1, keepdims=True)) / (small.std(axis=1, keepdims=True) + 1.0)
    return spread


def _edges(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """How strong edges of eight directions are in six by six cells (S, 288), of each picture with length 1."""
    down, right = np.gradient(pictures, axis=(1, 2))
    strength, direction = np.hypot(down, right), np.floor(np.arctan2(down, right) % np.pi / np.pi * 8).clip(0, 7)
    cells = [
        np.where(direction == way, strength, 0).reshape(len(pictures), 6, SIDE // 6, 6, SIDE // 6).sum(axis=(2, 4))
        for way in range(8)
    ]
    flat = np.sqrt(np.stack(cells, axis=-1).reshape(len(pictures), -1))
    found: NDArray[np.float32] = (flat / (np.linalg.norm(flat, axis=1, keepdims=True) + 1e-6)).astype(np.float32)
    return found


def _outside(path: Path, tracks: Sequence[Track]) -> dict[str, dict[str, NDArray[np.float32]]]:
    if not path.is_file():
        return {}
    with np.load(path) as stored:
        place = {(name, frame): row for row, (name, frame) in enumerate(zip(stored["track"], stored["frame"], strict=True))}
        rows = {one.name: [place[one.name, frame] for frame in one.frames.tolist()] for one in tracks}
        names = [name for name in stored.files if name not in ("track", "frame")]
        return {name: {one: _shares(stored[name][own]) for one, own in rows.items()} for name in names}


def _shares(values: NDArray) -> NDArray[np.float32]:
    kept = np.maximum(values.astype(np.float64), LEAST_SHARE)
    found: NDArray[np.float32] = (kept / kept.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


@dataclass(frozen=True, eq=False)
class Divided:
    """One division of a set's recordings: `asked` has no labels of test, which `known` has."""

    asked: DataRoot
    known: DataRoot


def divide(labelled: LabelledSet, shares: Mapping[str, float], seed: int) -> Divided:
    """The recordings at random into train, val and test by `shares`, which sum to 1."""
    generator = np.random.default_rng(seed)
    names = generator.permutation(labelled.recordings)
    ends = np.round(np.cumsum([shares[split] for split in SPLITS]) * len(names)).astype(int)
    split_of = {name: SPLITS[int(np.searchsorted(ends, place, side="right"))] for place, name in enumerate(names)}
    tracks = [replace(one, split=split_of[one.recording]) for one in labelled.root.tracks]
    tracks.sort(key=lambda one: (SPLITS.index(one.split), one.name))
    asked = tuple(replace(one, labels=None) if one.split == "test" else one for one in tracks)
    return Divided(replace(labelled.root, tracks=asked), replace(labelled.root, tracks=tuple(tracks)))


def make_runs(labelled: LabelledSet, root: DataRoot, seed: int) -> list[Run]:
    """Runs below runs/ with scores of all splits: one for each model from elsewhere, and regressions on halves of train."""
    runs = [_stored(root, name, said, ()) for name, said in labelled.outside.items()]
    generator = np.random.default_rng(seed)
    learning = generator.permutation(sorted({track.recording for track in root.members("train")}))
    halves = np.array_split(learning, 1 if labelled.outside else 2)
    for kind, features in labelled.features.items():
        for number, half in enumerate(halves):
            model = _regression(root, features, set(half.tolist()))
            said = {one.name: model(features[one.name]) for one in root.tracks}
            runs.append(_stored(root, f"{kind}-{number}", said, ("train",)))
    return runs


def _regression(root: DataRoot, features: Mapping[str, NDArray[np.float32]], recordings: set[str]) -> Model:
    """From features (S, D) to probabilities (S, 8), as the labelled frames of some recordings teach it."""
    vectors, labels = [], []
    for track in root.members("train"):
        if track.recording in recordings and track.labels is not None:
            own = track.labels[track.frames - 1]
            vectors.append(features[track.name][own >= 0])
            labels.append(own[own >= 0])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300, class_weight="balanced"))
    model.fit(np.concatenate(vectors), np.concatenate(labels))

    def probabilities(values: NDArray[np.float32]) -> NDArray[np.float32]:
        whole = np.zeros((len(values), len(EXPR.class_names)))
        whole[:, model.classes_] = model.predict_proba(values)
        return _shares(whole)

    return probabilities


def _stored(root: DataRoot, name: str, said: Mapping[str, NDArray[np.float32]], learned: tuple[str, ...]) -> Run:
    manifest = {"kind": "imported", "challenge": EXPR.name, "class_names": list(EXPR.class_names), "where": {}}
    run, _ = store.open_or_create(store.path_of(name), {**manifest, "data": {"splits": list(learned)}})
    for split in SPLITS:
        tracks = root.members(split)
        values = {one.name: TrackScores(one.frames, said[one.name]) for one in tracks}
        scores.write_split(run, split, values, {one.name: (one.rows, one.rows_from) for one in tracks}, "probabilities", {})
    return run
