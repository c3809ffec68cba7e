"""Known totals of the official expression data, to tell a whole and right copy from another one.

Counted by teams over the files of the 3rd to 10th edition, which agree: label lines, tracks and class histograms from the
per-file counts one team published for the 10th edition (training with the file that is also in validation), test rows from the
lines that a team printed of the official sample files of the 5th, 6th and 8th edition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.challenge import EXPR, format_of
from harness.data.scan import Survey
from harness.data.tracks import class_counts

_EXPR_5 = format_of("EXPR", 5)


@dataclass(frozen=True)
class Totals:
    """Label files or test tracks, their rows, and labelled frames by class (empty where there are no labels)."""

    files: int
    rows: int
    frames: tuple[int, ...] = ()

    @property
    def labelled(self) -> int:
        """Labelled frames of all classes."""
        return sum(self.frames)


assert _EXPR_5.test_tracks is not None
assert _EXPR_5.test_rows is not None

OFFICIAL: Mapping[str, Totals] = {
    "train": Totals(248, 1_110_367, EXPR.training_frames),
    "val": Totals(70, 453_535, (83_176, 6_127, 5_322, 8_473, 34_941, 25_594, 12_338, 108_259)),
    "test": Totals(_EXPR_5.test_tracks, _EXPR_5.test_rows),
}


def totals(survey: Survey, split: str) -> Totals:
    """Files, rows and labelled frames of a split as the official release counts them: a file of both splits in both."""
    tracks = [track for track in survey.data.tracks if track.split == split]
    twice = list(survey.both_splits.values()) if split == "train" else []
    rows = sum(track.rows for track in tracks) + sum(len(label_file.labels) for label_file in twice)
    frames = (
        ()
        if split == "test"
        else tuple(class_counts(*(track.labels for track in tracks), *(label_file.labels for label_file in twice)).tolist())
    )
    return Totals(len(tracks) + len(twice), rows, frames)
