"""What a training learns from and is validated on: the official splits, folds of both, both together, extra faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness import files
from harness.challenge import EXPR, Challenge, format_of
from harness.data.extra import ExtraFaces
from harness.data.folds import Folds, fold_tracks
from harness.data.tracks import DataRoot, Track, is_labelled
from harness.errors import DataError, UsageError, near_names
from harness.kinds.parts import parts_of

ON = ("train", "train+val", "extra")
"""What can be learned from without folds: the training split, both labelled splits, extra faces alone."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a training learns from and is validated on.

    Attributes
    ----------
    training : tracks that are learned from.
    validation : tracks to validate on while training; empty for none, then no score is claimed.
    validated_on : what these are, in words.
    provenance : what run.json has to say of the choice; trainings on other tracks or images differ in it.
    extra : labelled images of other data sets to learn from besides.
    extra_share : the share of the images seen that come from `extra`; None sees each of them once in a pass.
    challenge : whose labels the tracks have.
    """

    training: tuple[Track, ...]
    validation: tuple[Track, ...]
    validated_on: str
    provenance: Mapping[str, Any]
    extra: ExtraFaces | None = None
    extra_share: float | None = None
    challenge: Challenge = EXPR

    @property
    def metric(self) -> str:
        """What the score of a validation is called."""
        parts = format_of(self.challenge.name).score.parts
        return "score" if len(parts) > 1 else parts[0][1].replace("macro_f1", "macro-F1")

    def prior(self) -> list[float]:
        """What a track without a face is predicted as: class shares, shares of active units, means of the labels learned from.

        Extra faces do not say how often an expression is seen in videos; they are asked only where there are no tracks.
        Raises DataError if there are no labels.
        """
        return class_prior(self.training or (() if self.extra is None else self.extra.tracks), self.challenge)


def on_splits(root: DataRoot, on: str = "train") -> TrainingData:
    """The training data that `on` names, see ON.

    The training split is validated on the validation split. On both splits together there is nothing to validate on; a track that
    is in both official splits is there once. Raises UsageError for another word, DataError for a train split without tracks.
    """
    validation = tuple(track for track in root.tracks if track.split == "val")
    if on == "train":
        return TrainingData(
            root.split("train"), validation, "the validation split", {"splits": ["train"]}, challenge=root.challenge
        )
    if on == "train+val":
        return TrainingData(fold_tracks(root), (), "nothing", {"splits": ["train", "val"]}, challenge=root.challenge)
    if on == "extra":
        return TrainingData((), validation, "the validation split", {"splits": []}, challenge=root.challenge)
    raise UsageError(f"{on!r} names no tracks to train on", expected=near_names(on, ON))


def on_other_folds(root: DataRoot, folds: Folds, fold: int) -> TrainingData:
    """Learns from the tracks of both labelled splits outside of `fold` and validates on those in it.

    Raises UsageError if there is no such fold.
    """
    tracks = fold_tracks(root)
    return TrainingData(
        folds.training(tracks, fold),
        folds.validation(tracks, fold),
        f"fold {fold}",
        {"splits": ["train", "val"], "folds": folds_provenance(folds), "fold": fold},
        challenge=root.challenge,
    )


def folds_provenance(folds: Folds) -> dict[str, Any]:
    """What run.json has to say of folds: how many, and the sha256 of which recording is in which, however they were made."""
    return {"count": folds.count, "sha256": files.sha256_of_bytes(files.json_text(dict(folds.fold_of)).encode())}


def with_extra(data: TrainingData, extra: ExtraFaces, share: float | None) -> TrainingData:
    """`data` with extra faces, which make `share` of the images seen. Raises UsageError for a share that cannot be."""
    if share is not None and (not 0 < share < 1 or not data.training):
        raise UsageError(
            "extra faces cannot have this share",
            found=str(share),
            expected="a number above 0 and below 1, and tracks that have the rest",
        )
    if extra.challenge != data.challenge:
        found = f"{extra.challenge.name} and {data.challenge.name}"
        raise UsageError("extra faces and tracks are of two challenges", found=found)
    provenance = {**data.provenance, "extra": {**extra.provenance(), "share": share}}
    return replace(data, extra=extra, extra_share=share, provenance=provenance)


def class_prior(tracks: Sequence[Track], challenge: Challenge = EXPR) -> list[float]:
    """The class shares, shares of active frames and means in the labels of `tracks`. Raises DataError if they have none."""
    parts = parts_of(challenge)
    labels = [track.labels for track in tracks if track.labels is not None]
    if not any(is_labelled(one, challenge).any() for one in labels):
        raise DataError("the training tracks have no labels", remedy="`harness doctor` names what is missing")
    sums = np.sum([parts.sums(one, one) for one in labels], axis=0)
    return [round(float(share), 9) for share in parts.prior(sums)]
