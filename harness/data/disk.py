"""Reads folders and official files of a data root, each at most once per change."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.challenge import EXPR, Challenge
from harness.data import listing, official, rates
from harness.data.annotations import LabelFile, forms_of, read_labels
from harness.data.multitask import read_multitask
from harness.errors import DataError


@dataclass(frozen=True, eq=False)
class Visit:
    """A folder that was looked into: what makes it itself (device, inode), and its names."""

    identity: tuple[int, int]
    listing: listing.Listing


class Disk:
    """Reads what a scan for a challenge needs."""

    def __init__(self, challenge: Challenge = EXPR) -> None:
        self.challenge = challenge

    def visit(self, directory: Path) -> Visit:
        """The names in a folder. Raises DataError if it cannot be listed."""
        status = stat_of(directory)
        return Visit((status.st_dev, status.st_ino), listing.read_folder(directory))

    def labels(self, path: Path) -> LabelFile:
        """A label file with its faults."""
        return read_labels(path, forms_of(self.challenge))

    def multitask(self, path: Path) -> dict[str, LabelFile]:
        """The label files of all tracks of a multi-task file."""
        return read_multitask(path, self.challenge)

    def sample(self, path: Path) -> official.TestSet:
        """A sample or example file with its faults."""
        return official.read_sample(path, self.challenge)

    def names(self, path: Path) -> official.TestSet:
        """A list of test tracks with its faults."""
        return official.read_names(path)

    def frame_totals(self, path: Path) -> official.TestSet:
        """The 1st edition's list of test tracks and frames with its faults."""
        return official.read_frame_totals(path)

    def frame_rates(self, path: Path) -> rates.FrameRates:
        """A frame_rates.csv with its faults."""
        return rates.read_frame_rates(path)

    def save(self) -> None:
        """Keeps nothing; a cached disk does."""


def stat_of(path: Path) -> os.stat_result:
    """The status of a file or folder, links followed. Raises DataError naming it if there is none."""
    try:
        return os.stat(path)
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror}", path=path) from error


def version_of(status: os.stat_result) -> list[int]:
    """What changes when a file does: size, time of modification, and what no program can set back: time of change and inode."""
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
