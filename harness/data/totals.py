"""Known totals of the official data, to tell a whole and right copy from another one.

What teams counted over the files of a challenge stands in harness.challenge; here it is set beside what a data root holds.
Training counts the file that is also in validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Challenge, OfficialSplit, formats_of
from harness.data.scan import Survey
from harness.kinds.parts import parts_of


@dataclass(frozen=True)
class Totals:
    """What a split holds, or is published to hold; of what was never counted None or an empty tuple.

    Attributes
    ----------
    files : label files or test tracks.
    rows : lines of labels, or lines to answer.
    labelled : labelled rows of each group of fields that is labelled together: values, expression, units.
    frames : labelled frames of each stratum: by class, by active unit, by part of a value's range.
    """

    files: int | None
    rows: int | None
    labelled: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()


def official(challenge: Challenge) -> Mapping[str, Totals]:
    """The published totals of each split of which any are known."""
    counted = {"train": challenge.training, "val": challenge.validation}
    known = {split: _published(one) for split, one in counted.items() if one is not None}
    tests = [form for form in formats_of(challenge) if form.challenge == challenge and form.test_rows is not None]
    if tests:
        known["test"] = Totals(tests[-1].test_tracks, tests[-1].test_rows)
    return known


def _published(split: OfficialSplit) -> Totals:
    return Totals(split.tracks, split.rows, tuple(number for _, number in split.labelled), split.frames)


def totals(survey: Survey, split: str) -> Totals:
    """Files, rows and labelled frames of a split as the official release counts them: a file of both splits in both."""
    tracks = [track for track in survey.data.tracks if track.split == split]
    if split == "test":
        return Totals(len(tracks), sum(track.lines for track in tracks))
    twice = list(survey.both_splits.values()) if split == "train" else []
    lines = [
        *(of_lines(track.labels, track.asked) for track in tracks if track.labels is not None),
        *(of_lines(label_file.labels, label_file.asked) for label_file in twice),
    ]
    challenge = survey.data.challenge
    firsts = [group.start for group in challenge.together]
    known = [(one.reshape(len(one), -1) != np.array(challenge.ignored))[:, firsts].sum(axis=0) for one in lines]
    counts = [parts_of(challenge).count(one) for one in lines]
    return Totals(
        files=len(tracks) + len(twice),
        rows=sum(len(one) for one in lines),
        labelled=tuple(np.stack(known).sum(axis=0).tolist()) if known else (0,) * len(firsts),
        frames=tuple(np.stack(counts).sum(axis=0).tolist()) if counts else (0,) * len(parts_of(challenge).strata),
    )


def of_lines(labels: NDArray, asked: NDArray[np.int32] | None) -> NDArray:
    """Labels (rows, ...) as the lines of their file hold them: of every row, or of the frames `asked`, repeats included."""
    return labels if asked is None else labels[asked - 1]


def differ(here: Totals, published: Totals) -> bool:
    """Whether anything that was published is otherwise here."""
    pairs = [
        (here.files, published.files),
        (here.rows, published.rows),
        *zip_longest(here.labelled if published.labelled else (), published.labelled),
        *zip_longest(here.frames if published.frames else (), published.frames),
    ]
    return any(found != expected for found, expected in pairs if expected is not None)


def described(one: Totals, challenge: Challenge) -> str:
    """Totals in words; what was never counted is left out."""
    words = [f"{number:,} {what}" for number, what in ((one.files, "tracks"), (one.rows, "rows")) if number is not None]
    groups = group_names(challenge) if one.labelled else ()
    labelled = [f"{number:,} {name}" for name, number in zip(groups, one.labelled, strict=True)]
    return ", ".join([*words, ("labelled: " if len(groups) > 1 else "") + ", ".join(labelled)] if labelled else words)


def group_names(challenge: Challenge) -> tuple[str, ...]:
    """What each group of fields that is labelled together is called: by its first field; a single group is "labelled"."""
    firsts = tuple(challenge.fields[group.start].name for group in challenge.together)
    return ("labelled",) if len(firsts) == 1 else firsts
