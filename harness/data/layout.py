"""Finds the official folders and files of every edition anywhere below a data root."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from harness.challenge import FORMATS, Challenge, formats_of, is_sparse
from harness.data.disk import Disk, Visit
from harness.data.listing import Listing
from harness.errors import DataError
from harness.files import is_junk
from harness.words import counted

# The 1st edition gave sentences with each test track's number of frames; the other lists have one name per line.
FRAME_TOTALS_FILE = "expr_challenge_video_and_total_number_of_frames.txt"


def _lower(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.lower() for name in names))


@dataclass(frozen=True)
class Names:
    """The names in lower case under which the editions handed out what belongs to a challenge.

    Attributes
    ----------
    folders : of annotations, in the order of the editions.
    lists : lists of test tracks.
    samples : sample and example files.
    """

    folders: tuple[str, ...]
    lists: tuple[str, ...]
    samples: tuple[str, ...]


@cache
def names_of(challenge: Challenge) -> Names:
    """The names that belong to a challenge."""
    forms = formats_of(challenge)
    return Names(
        _lower(name for form in forms for name in form.annotation_folders),
        _lower(name for form in forms for name in form.names_files),
        _lower(name for form in forms for name in form.sample_files),
    )


# All names are compared in lower case. Which challenge a folder of annotations, a list or a sample belongs to:
_CHALLENGES = {form.challenge.name: names_of(form.challenge) for form in FORMATS}
_FOLDERS = {folder: name for name, names in _CHALLENGES.items() for folder in names.folders}
_FILES = {file: name for name, names in _CHALLENGES.items() for file in (*names.lists, *names.samples)}
# The 1st edition's training folder has two names in use.
SPLIT_FOLDERS = {"train_set": "train", "training_set": "train", "validation_set": "val"}
# One file for all tracks of a split: in MTL_Challenge in the 3rd edition, under names of their own in the 4th, 7th and 11th.
_MULTITASK = next(form.challenge for form in FORMATS if is_sparse(form.challenge))
MULTITASK_FOLDERS = names_of(_MULTITASK).folders
MULTITASK_FILES = {
    "train_set.txt": "train",
    "training_set_annotations_22.txt": "train",
    "training_set_annotations.txt": "train",
    "validation_set.txt": "val",
    "validation_set_annotations_22.txt": "val",
    "validation_set_annotations.txt": "val",
}
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
# No word ends at an underscore for \b, but names such as CVPR_2023_5th_ABAW are put together with them.
_EDITION = re.compile(r"(?<![a-z0-9])(?:(\d{1,2})(?:st|nd|rd|th)(?![a-z0-9])|(" + "|".join(_ORDINALS) + r")[ _-]abaw)")
# The edition of a path without a number is the first that has such a folder, but "ABAW Annotations" without its number was handed
# out from the 8th edition on, with the new name of the folder in it.
_UNNUMBERED = {
    **{name.lower(): form.edition for form in reversed(FORMATS) for name in form.annotation_folders},
    "expr_recognition_challenge": 8,
}

CROPS = ("cropped_aligned", "cropped")
# Folders that hold batches of crop folders; an empty one of another name is a track without any face.
GROUP_FOLDER = re.compile(r"cropped(_aligned)?(_new_50_vids)?|batch\d+|new_vids")
# Official files seldom lie among so many folders: below is a folder per track of something that was not asked for.
MOST_SIDE_FOLDERS = 100
# Names of folders that are looked into however many stand beside them: what they hold is wanted, or leads to it.
_OFFICIAL_FOLDER = re.compile(
    r"cropped.*|.*abaw.*|.*annotations.*|.*test_set.*|prediction_files_format|"
    + "|".join(map(re.escape, (*_FOLDERS, *SPLIT_FOLDERS)))
)
# What people put beside label files that is none.
_TEXT_JUNK = re.compile(r"(read[ _-]?me|licen[cs]e|notes?|info|about|change[ _-]?log)\b.*\.txt", re.IGNORECASE)
DEEPEST = 8


@dataclass(eq=False)
class Layout:
    """What was found below a root of one challenge.

    Attributes
    ----------
    crop_folders : folders of one track's images with what they hold, by track name.
    crop_roots : folders named like the crops that were asked for.
    label_files : label files by folder of the challenge and split; each is named for its track.
    multitask_files : multi-task annotation files by split, each with the labels of many tracks.
    samples, examples, names, frame_totals : official files of the test set.
    held : names of the challenges of which there is anything, this one or others.
    unlistable : folders that cannot be listed, each with the reason; they count as empty.
    not_searched : folders that were not looked into, each with the reason.
    """

    crop_folders: dict[str, list[tuple[Path, Listing]]] = field(default_factory=dict)
    crop_roots: list[Path] = field(default_factory=list)
    label_files: dict[Path, dict[str, list[Path]]] = field(default_factory=dict)
    multitask_files: dict[str, list[Path]] = field(default_factory=dict)
    samples: list[Path] = field(default_factory=list)
    examples: list[Path] = field(default_factory=list)
    names: list[Path] = field(default_factory=list)
    frame_totals: list[Path] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    unlistable: list[tuple[Path, str]] = field(default_factory=list)
    not_searched: list[tuple[Path, str]] = field(default_factory=list)


def find(root: Path, crops: str | None, disk: Disk, challenge: Challenge) -> Layout:
    """Walks `root` once for what belongs to a challenge.

    `crops` is an official name or the path of a folder, relative to the root or absolute; None for none.

    Raises DataError if the root, or a folder of crops given by its path, is not a folder.
    """
    if not root.is_dir():
        raise DataError("no such folder", path=root, remedy="name the folder of the data with --data")
    layout = Layout()
    walk = _Walk(layout, crops, disk, names_of(challenge))
    if crops is not None and crops not in CROPS:
        place = root / crops
        if not place.is_dir():
            raise DataError(
                "no such folder of crops",
                path=place,
                expected=f"{', '.join(CROPS)}, or the path of a folder that holds one folder per track",
            )
        layout.crop_roots.append(place)
        walk.crops(place, 0)
    walk.side(root, 0)
    return layout


@dataclass(eq=False)
class _Walk:
    layout: Layout
    kind: str | None
    disk: Disk
    names: Names
    seen: set[tuple[int, int]] = field(default_factory=set)

    def side(self, directory: Path, depth: int) -> None:
        """Visits a folder that is not below the crops that were asked for."""
        listing = self._enter(directory, depth)
        if listing is None:
            return
        names = [name for name in listing.others if not is_junk(name)]
        split = SPLIT_FOLDERS.get(directory.name.lower())
        owner = directory.parent.name.lower()
        if split and owner in _FOLDERS:
            self.layout.held.add(_FOLDERS[owner])
            if owner in self.names.folders:
                labels = [directory / name for name in names if name.lower().endswith(".txt") and not _TEXT_JUNK.fullmatch(name)]
                self.layout.label_files.setdefault(directory.parent, {}).setdefault(split, []).extend(labels)
            return
        for name in names:
            self._official_file(directory / name)
        folders = [name for name in listing.folders if not is_junk(name)]
        # The root is never one track among many: the user named it.
        if len(folders) > MOST_SIDE_FOLDERS and depth:
            wanted = [name for name in folders if _OFFICIAL_FOLDER.fullmatch(name.lower())]
            if len(wanted) < len(folders):
                self.layout.not_searched.append((directory, f"{counted(len(folders) - len(wanted), 'folder')} in it"))
            folders = wanted
        for name in folders:
            kind = _kind_of(name.lower())
            if not kind:
                self.side(directory / name, depth + 1)
            elif kind == self.kind:
                self.layout.crop_roots.append(directory / name)
                self.crops(directory / name, depth + 1)

    def crops(self, directory: Path, depth: int) -> None:
        """Visits a folder of crop folders, or one of batches of them."""
        listing = self._enter(directory, depth)
        if listing is not None:
            self._crop_folders(directory, listing.folders, depth)

    def _crop_folders(self, directory: Path, folders: tuple[str, ...], depth: int) -> None:
        for name in folders:
            if is_junk(name) or (self.kind in CROPS and _kind_of(name.lower()) not in (self.kind, "")):
                continue
            folder = directory / name
            if GROUP_FOLDER.fullmatch(name.lower()):
                self.crops(folder, depth + 1)
                continue
            visit = self._visit(folder)
            listing = Listing(np.zeros(0, np.int32)) if visit is None else visit.listing
            inside = [name for name in listing.folders if not is_junk(name)]
            if inside and not len(listing.frames) and not listing.pictures:
                self.crops(folder, depth + 1)
                continue
            if inside:
                self.layout.not_searched.append((folder, f"{counted(len(inside), 'folder')} beside images"))
            self.layout.crop_folders.setdefault(name, []).append((folder, listing))

    def _enter(self, directory: Path, depth: int) -> Listing | None:
        """The names in a folder; None if it cannot be listed, lies too deep or was visited before, as in a loop of links."""
        if depth > DEEPEST:
            self.layout.not_searched.append((directory, f"more than {DEEPEST} folders deep"))
            return None
        visit = self._visit(directory)
        if visit is None or visit.identity in self.seen:
            return None
        self.seen.add(visit.identity)
        return visit.listing

    def _visit(self, directory: Path) -> Visit | None:
        """What a folder is and holds; None, and noted, if it cannot be listed."""
        try:
            return self.disk.visit(directory)
        except DataError as error:
            self.layout.unlistable.append((directory, error.problem))
            return None

    def _official_file(self, path: Path) -> None:
        name = path.name.lower()
        if name in _FILES:
            self.layout.held.add(_FILES[name])
        if name in self.names.samples:
            (self.layout.examples if name.endswith("example.txt") else self.layout.samples).append(path)
        elif name in self.names.lists:
            (self.layout.frame_totals if name == FRAME_TOTALS_FILE else self.layout.names).append(path)
        elif name in MULTITASK_FILES and ("_set_annotations" in name or path.parent.name.lower() in MULTITASK_FOLDERS):
            self.layout.held.add(_MULTITASK.name)
            self.layout.multitask_files.setdefault(MULTITASK_FILES[name], []).append(path)


def edition_of(path: Path, root: Path) -> int:
    """The edition a folder of the challenge below the root is of: by the number in its path, else by its own name."""
    for part in reversed(path.relative_to(root).parts):
        match = _EDITION.search(part.lower())
        if match:
            return int(match[1]) if match[1] else _ORDINALS.index(match[2]) + 1
    return _UNNUMBERED[path.name.lower()]


def _kind_of(folder_name: str) -> str:
    """Which crops a folder is named for: "cropped_aligned", "cropped", or "" for a batch."""
    return next((kind for kind in CROPS if folder_name.startswith(kind)), "")
