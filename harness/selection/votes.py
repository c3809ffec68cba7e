"""Submissions of which only the text exists, as runs: each row is a vote, and an ensemble of votes is a majority vote.

Of values it is their mean.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness import files
from harness.data.tracks import SPLITS, DataRoot, Track
from harness.errors import DataError, MismatchError
from harness.kinds.parts import Parts, parts_of
from harness.runs import own_sample, provenance, scores, store
from harness.runs.own_sample import OwnSample
from harness.runs.scores import TrackScores
from harness.runs.store import Run
from harness.submission.reader import Answer, read


def import_votes(path: Path, root: DataRoot, name: str, fresh: bool, sample: OwnSample | None = None) -> tuple[Run, str]:
    """Makes a run of a submission's folder, official text file or archive; returns it and the split it answers.

    With a `sample` there is no data root but that file, of which the run keeps a copy as its own. Every row is a seen frame of
    which the run is sure. Raises DataError for a faulty text or another challenge, MismatchError if its tracks and rows are those
    of no split of `root`.
    """
    answer, parts = read(path), parts_of(root.challenge)
    if parts_of(answer.form.challenge).columns != parts.columns:
        raise DataError(
            "the text answers another challenge, or the same with other classes or units",
            path=path,
            found=answer.form.name,
            expected=f"{root.challenge.name}: {', '.join(parts.columns)}",
        )
    split, tracks = _split_of(path, root, {track: len(classes) for track, classes in answer.values.items()})
    votes = {track.name: _votes(path, track, answer, parts) for track in tracks}
    digests = {track: files.sha256_of_bytes(classes.tobytes()) for track, classes in answer.values.items()}
    path_of_run = store.path_of(name)
    place = root.path if sample is None else path_of_run / own_sample.FOLDER
    manifest = {
        "kind": "import",
        "challenge": root.challenge.name,
        "class_names": list(parts.columns),
        "source": path.name,
        "sha256": files.sha256_of_bytes(files.json_text(digests).encode()),
        # A row is what somebody decided already, and a majority of such rows is taken row by row.
        "votes": True,
        "postprocessing": {"seconds": 0.0},
        "data": root.identity(),
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
        "where": {"data": str(place.resolve())},
    }
    rows = {track.name: (track.rows, track.rows_from) for track in tracks}
    with store.opened(path_of_run, manifest, fresh) as run:
        if sample is not None:
            files.write_bytes(run.path / own_sample.FOLDER / sample.name, sample.data)
        scores.write_split(run, split, votes, rows, "probabilities", {"source": path.name})
    return Run(path_of_run), split


def _votes(path: Path, track: Track, answer: Answer, parts: Parts) -> TrackScores:
    """The votes of a track by ascending frame. Raises MismatchError if its frames are not those that the data ask for."""
    frames, order = np.unique(answer.frames[track.name], return_index=True)
    wanted = np.arange(1, track.rows + 1) if track.asked is None else np.unique(track.asked)
    if not np.array_equal(frames, wanted):
        raise MismatchError(
            f"the text has other frames of {track.name} than the data",
            path=path,
            found=f"frames {frames[0]} to {frames[-1]}",
            expected=f"{len(wanted)} frames from {wanted[0]} to {wanted[-1]}",
            remedy=f"`harness validate {path}` names the rows that are absent or too many",
        )
    return TrackScores(frames.astype(np.int32), parts.certain(answer.values[track.name][order]).astype(np.float32))


def _split_of(path: Path, root: DataRoot, rows: dict[str, int]) -> tuple[str, tuple[Track, ...]]:
    """The split whose tracks and rows are those of the text."""
    for split in SPLITS:
        tracks = tuple(track for track in root.tracks if track.split == split)
        if {track.name: track.lines for track in tracks} == rows:
            return split, tracks
    counts = {split: [track.lines for track in root.tracks if track.split == split] for split in SPLITS}
    held = "; ".join(f"{split}: {len(count)} tracks, {sum(count):,} rows" for split, count in counts.items() if count)
    raise MismatchError(
        "the text has the tracks and rows of no split",
        path=path,
        found=f"{len(rows)} tracks, {sum(rows.values()):,} rows",
        expected=held,
        remedy="name the right root with --data",
    )
