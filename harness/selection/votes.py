"""Submissions of which only the text exists, as runs: each row is a vote, and an ensemble of votes is a majority vote."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness import files
from harness.challenge import EXPR
from harness.data.tracks import SPLITS, DataRoot, Track
from harness.errors import DataError, MismatchError
from harness.postprocess.combine import vote
from harness.runs import provenance, scores, store
from harness.runs.scores import TrackScores
from harness.runs.store import Run
from harness.submission.reader import Answer, read


def import_votes(path: Path, root: DataRoot, name: str, fresh: bool) -> tuple[Run, str]:
    """Makes a run of a submission's folder, official text file or archive; returns it and the split it answers.

    Every row is a seen frame whose class has all the probability. Raises DataError for a faulty text or other classes,
    MismatchError if its tracks and rows are those of no split of `root`.
    """
    answer = read(path)
    if answer.form.challenge.class_names != EXPR.class_names:
        raise DataError(
            "the text answers another challenge", path=path, found=answer.form.challenge.name, expected="EXPR since edition 3"
        )
    split, tracks = _split_of(path, root, {track: len(classes) for track, classes in answer.values.items()})
    votes = {track.name: _votes(path, track.name, answer) for track in tracks}
    digests = {track: files.sha256_of_bytes(classes.tobytes()) for track, classes in answer.values.items()}
    manifest = {
        "kind": "import",
        "challenge": EXPR.name,
        "class_names": list(EXPR.class_names),
        "source": path.name,
        "sha256": files.sha256_of_bytes(files.json_text(digests).encode()),
        # A row is what somebody decided already, and a majority of such rows is taken row by row.
        "votes": True,
        "postprocessing": {"seconds": 0.0},
        "data": root.identity(),
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
        "where": {"data": str(root.path.resolve())},
    }
    path_of_run = store.path_of(name)
    rows = {track.name: (track.rows, track.rows_from) for track in tracks}
    with store.opened(path_of_run, manifest, fresh) as run:
        scores.write_split(run, split, votes, rows, "probabilities", {"source": path.name})
    return Run(path_of_run), split


def _votes(path: Path, track: str, answer: Answer) -> TrackScores:
    """The votes of a track by ascending frame. Raises MismatchError if its frames are not 1, 2, 3, ...."""
    order = np.argsort(answer.frames[track], kind="stable")
    frames = answer.frames[track][order]
    if not np.array_equal(frames, np.arange(1, len(frames) + 1)):
        raise MismatchError(
            f"the text has other frames of {track} than the data",
            path=path,
            found=f"frames {frames[0]} to {frames[-1]}",
            expected=f"1 to {len(frames)}",
            remedy=f"`harness validate {path}` names the rows that are absent or too many",
        )
    return TrackScores(frames, vote([answer.values[track][order]], len(EXPR.class_names)).astype(np.float32))


def _split_of(path: Path, root: DataRoot, rows: dict[str, int]) -> tuple[str, tuple[Track, ...]]:
    """The split whose tracks and rows are those of the text."""
    for split in SPLITS:
        tracks = tuple(track for track in root.tracks if track.split == split)
        if {track.name: track.rows for track in tracks} == rows:
            return split, tracks
    counts = {split: [track.rows for track in root.tracks if track.split == split] for split in SPLITS}
    held = "; ".join(f"{split}: {len(count)} tracks, {sum(count):,} rows" for split, count in counts.items() if count)
    raise MismatchError(
        "the text has the tracks and rows of no split",
        path=path,
        found=f"{len(rows)} tracks, {sum(rows.values()):,} rows",
        expected=held,
        remedy="name the right root with --data",
    )
