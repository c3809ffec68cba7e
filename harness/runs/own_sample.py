"""A sample file, or a table of rows, in the place of a data root: all that is needed of the test split to answer it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import files
from harness.challenge import Challenge, format_of, formats_of, is_sparse
from harness.data.official import parse_test_set
from harness.data.sample import LARGEST_SAMPLE, image_name
from harness.data.tracks import DataRoot, Track, recording_of
from harness.errors import UsageError
from harness.findings import raise_first_error

FOLDER = "data"
"""The folder of a run that keeps its sample and is the run's data root."""


@dataclass(frozen=True)
class OwnSample:
    """A sample file by an official name, under which it is found in a data root, and its bytes."""

    name: str
    data: bytes


def sample_of_file(path: Path, challenge: Challenge) -> OwnSample:
    """A copy of an official sample file. Raises DataError if it cannot be read."""
    return OwnSample(_official_name(challenge), files.read_bytes(path, LARGEST_SAMPLE))


def sample_of_counts(counts: Mapping[str, int], challenge: Challenge) -> OwnSample:
    """The sample that asks for the frames 1, 2, ..., n of each track.

    Raises UsageError for a challenge that takes some frames only.
    """
    if is_sparse(challenge):
        raise UsageError(
            f"{challenge.name} asks for some frames of a track, and a table of rows does not say which",
            expected="--sample with the official list",
        )
    header = next(form.header for form in reversed(formats_of(challenge)) if form.layout == "single")
    images = (image_name(track, frame) for track, count in counts.items() for frame in range(1, count + 1))
    return OwnSample(_official_name(challenge), "".join([header, "\n", *(f"{image},\n" for image in images)]).encode())


def _official_name(challenge: Challenge) -> str:
    return format_of(challenge.name).sample_files[0]


def root_of_sample(sample: OwnSample, challenge: Challenge, source: Path) -> DataRoot:
    """The test tracks that a sample asks for, without images and labels, as `scan` finds them in a folder that holds it alone.

    `source` is the file that is named in errors. Raises DataError for the first fault of the sample, UsageError for a track that
    cannot be a file's name.
    """
    found = parse_test_set(sample.data, str(source), challenge)
    raise_first_error(found.findings)
    tracks = tuple(
        Track(
            files.safe_name(name, "a track"),
            recording_of(name),
            "test",
            rows,
            "sample",
            np.empty(0, np.int32),
            None,
            source.parent / name,
            asked=found.asked.get(name),
        )
        for name, rows in found.rows.items()
    )
    return DataRoot(source.parent, tracks, source, found.sha256, challenge)
