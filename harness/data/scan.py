"""Scans a data root: which tracks there are, their rows, frames and labels, and what is wrong with them."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import EXPR, Challenge, challenge_named, is_sparse
from harness.data import catalogue, layout, rates
from harness.data.annotations import LabelFile
from harness.data.cache import CachedDisk
from harness.data.disk import Disk
from harness.data.layout import Layout, names_of
from harness.data.listing import Listing
from harness.data.multitask import holds
from harness.data.official import TestSet
from harness.data.packed import folder_of_packed, list_packed, packed_name
from harness.data.sample import MOST_FRAMES
from harness.data.tracks import EMBEDDED_MANIFEST, DataRoot, Track, is_labelled, recording_of
from harness.errors import DataError, first_of
from harness.findings import Finding, FindingKind, printable, raise_first_error
from harness.words import counted

T = TypeVar("T")

# What Windows, browsers and macOS call a copy of a file, in their languages.
_COPIES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(.+) - \w+(?: \(\d+\))?",
        r"(.+?) ?\(\d+\)",
        r"(.+)[ _]cop(?:y|ie)(?: \d+)?",
        r"(?:copy|kopie|copie) \w+ (.+)",
    )
)


@dataclass(frozen=True, eq=False)
class Survey:
    """A data root with everything its names and texts say, faults included.

    Attributes
    ----------
    data : the tracks; with an error among the findings, only those that could be read.
    findings : all faults, doubts and notes.
    both_splits : label files of tracks that are in training and validation, left out of training.
    unused : crop folders no split names.
    without_rows : test tracks that are not among `data.tracks`, because neither a file nor an image says how many rows they have;
        without a list of test tracks, empty crop folders that may be such. Decoded frames of their recordings would say it.
    folders : crop folder of each track that has one, and what it holds, by track name.
    held : names of the challenges of which the root has labels, lists or samples.
    """

    data: DataRoot
    findings: tuple[Finding, ...]
    both_splits: dict[str, LabelFile]
    unused: tuple[str, ...]
    without_rows: tuple[str, ...]
    folders: dict[str, tuple[Path, Listing]]
    held: frozenset[str] = frozenset()


def scan(
    path: str | Path,
    crops: str | None = "cropped_aligned",
    sample: str | Path | None = None,
    use_cache: bool = True,
    challenge: Challenge = EXPR,
    needs_images: bool = True,
) -> DataRoot:
    """The tracks of a data root that belong to a challenge.

    Parameters
    ----------
    path : folder that holds the crops, annotations and official files of one edition, in any official layout.
    crops : "cropped_aligned", "cropped", or the path of a folder with one folder per track; None looks for no images.
    sample : official sample file; by default found by its name anywhere below `path`.
    use_cache : keep and use what was read of folders and files that have not changed since.
    challenge : whose annotations, lists and sample are read; a root may hold those of several.
    needs_images : whether it is a fault that there are no crops at all; who has answers already asks for none.

    Raises DataError for the first of the faults that would make a reader guess, naming file and 1-based line.
    """
    result = survey(path, crops, sample, use_cache, challenge, needs_images)
    several = f" --challenge {challenge.name}" * (len(result.held) > 1)
    raise_first_error(result.findings, f"harness doctor {path}{several}")
    return result.data


def challenges_held(path: str | Path) -> frozenset[str]:
    """The names of the challenges of which there are labels, lists or samples below a folder. Raises DataError as `scan`."""
    return frozenset(layout.find(Path(path).absolute(), None, Disk(), EXPR).held)


def survey(
    path: str | Path,
    crops: str | None = "cropped_aligned",
    sample: str | Path | None = None,
    use_cache: bool = True,
    challenge: Challenge = EXPR,
    needs_images: bool = True,
) -> Survey:
    """What `scan` reads, with all faults as findings. Raises DataError only where nothing can be read at all."""
    root = Path(path).absolute()
    disk = CachedDisk(root, crops, challenge) if use_cache else Disk(challenge)
    found = layout.find(root, crops, disk, challenge)
    if not found.crop_roots and not needs_images:
        crops = None
    result = _Reading(root, crops, disk, found, None if sample is None else Path(sample).absolute()).survey()
    disk.save()
    return result


def crop_folders(path: str | Path, crops: str | None) -> dict[str, tuple[Path, Listing]]:
    """The crop folder of each track of any challenge that a data root holds, and what is in it, by track name.

    Raises DataError where there are no crops.
    """
    found = survey(path, crops)
    raise_first_error([finding for finding in found.findings if finding.kind is catalogue.NO_CROPS], f"harness doctor {path}")
    others = (survey(path, crops, challenge=challenge_named(name)) for name in sorted(found.held - {EXPR.name}))
    return {name: folder for one in (found, *others) for name, folder in one.folders.items()}


class _Reading:
    """One scan under way."""

    def __init__(self, root: Path, crops: str | None, disk: Disk, found: Layout, sample_option: Path | None) -> None:
        self.root = root
        self.crops = crops
        self.disk = disk
        self.challenge = disk.challenge
        self.layout = found
        self.sample_option = sample_option
        self.findings: list[Finding] = []
        self.without_rows: list[str] = []
        for directory, reason in found.unlistable:
            self.note(catalogue.UNREADABLE_FILE, directory, found=reason)
        for directory, reason in found.not_searched:
            self.note(catalogue.NOT_SEARCHED, directory, found=reason)
        if crops is not None and not found.crop_roots:
            self.note(catalogue.NO_CROPS, root, found=f"no folder named {crops}")
        self.folders = {name: self.one_folder(name, places) for name, places in sorted(found.crop_folders.items())}
        self.packed = self.packed_files()
        self.rates = self.frame_rates()

    def survey(self) -> Survey:
        labels = self.label_files()
        both = {}
        for name in sorted(labels["train"].keys() & labels["val"].keys()):
            left_out, both[name] = labels["train"].pop(name)
            kept, label_file = labels["val"][name]
            self.note(catalogue.BOTH_SPLITS, kept, found=name)
            if not np.array_equal(both[name].labels, label_file.labels):
                found, expected = _difference(label_file.labels, both[name].labels)
                self.note(catalogue.BOTH_SPLITS_DIFFER, kept, found=found, expected=f"{expected} as in {left_out}")
        annotated = {**labels["train"], **labels["val"]}
        sample, sample_sha256, test_set = self.test_set(annotated)
        test_rows = test_set.rows
        for name in sorted(test_rows.keys() & annotated.keys()):
            self.note(catalogue.TEST_LABELLED, annotated[name][0], found=name)
        tracks = (*self.labelled_tracks(labels), *self.test_tracks(test_set, annotated))
        embedded = (self.root / EMBEDDED_MANIFEST).is_file()
        data = DataRoot(self.root, tracks, sample, sample_sha256, self.challenge, embedded)
        self.check_tracks(data)
        unused = tuple(sorted(self.folders.keys() - annotated.keys() - test_rows.keys()))
        for name in unused:
            self.note(catalogue.UNUSED_FOLDER, self.folders[name][0], found=name)
        used = {track.name: self.folders[track.name] for track in tracks if track.name in self.folders}
        return Survey(data, tuple(self.findings), both, unused, tuple(self.without_rows), used, frozenset(self.layout.held))

    # tracks

    def labelled_tracks(self, labels: Mapping[str, Mapping[str, tuple[Path, LabelFile]]]) -> list[Track]:
        """The tracks of training and validation. One whose label file says nothing is left out; that is an error found before."""
        tracks = []
        for split in ("train", "val"):
            for name, (file, label_file) in sorted(labels[split].items()):
                if len(label_file.labels):
                    track = self.track(name, split, len(label_file.labels), "annotation", label_file.asked)
                    sha256 = label_file.sha256
                    tracks.append(replace(track, labels=label_file.labels, annotation=file, annotation_sha256=sha256))
        return tracks

    def test_tracks(self, test_set: TestSet, annotated: Mapping[str, tuple[Path, LabelFile]]) -> list[Track]:
        """The tracks of the test split; where the sample does not say how many rows, label files, then images and videos do."""
        tracks = []
        for name, rows in test_set.rows.items():
            if rows:
                tracks.append(self.track(name, "test", rows, "sample", test_set.asked.get(name)))
                continue
            label_lines = len(annotated[name][1].labels) if name in annotated else 0
            if label_lines:
                tracks.append(self.track(name, "test", label_lines, "annotation"))
                continue
            largest = int(self.folders[name][1].frames.max(initial=0)) if name in self.folders else 0
            guess = max(self.rates.get(recording_of(name), (None, 0))[1], largest)
            if guess:
                tracks.append(self.track(name, "test", guess, "images"))
                continue
            self.without_rows.append(name)
            if self.crops is not None:
                self.note(catalogue.NO_ROWS, self.directory_of(name), found=name)
        return tracks

    def track(self, name: str, split: str, rows: int, rows_from: str, asked: NDArray[np.int32] | None = None) -> Track:
        """A track without labels. Images beyond its last row are clipped, rows never appended.

        Where a challenge takes some frames only, no image of another is read: the organisers count those to other data.
        """
        directory, listing = self.folders.get(name, (self.directory_of(name), Listing(np.zeros(0, np.int32))))
        inside: NDArray[np.int32] = listing.frames[: np.searchsorted(listing.frames, rows, side="right")]
        frames = inside if asked is None else np.intersect1d(inside, asked)
        return Track(
            name=name,
            recording=recording_of(name),
            split=split,
            rows=rows,
            rows_from=rows_from,
            frames=frames,
            labels=None,
            directory=directory,
            frame_rate=self.rates.get(recording_of(name), (None, 0))[0],
            suffix=listing.suffix,
            odd_names=listing.odd_names,
            clipped=len(listing.frames) - len(inside),
            packed=self.packed.get(name),
            asked=asked,
        )

    def note(self, kind: FindingKind, file: Path | str, found: str = "", expected: str = "") -> None:
        self.findings.append(Finding(kind, str(file), found=printable(found), expected=printable(expected)))

    # folders of crops

    def directory_of(self, name: str) -> Path:
        """Where the crops of a track would lie if it had any."""
        return (self.layout.crop_roots[0] if self.layout.crop_roots else self.root / (self.crops or "")) / name

    def one_folder(self, name: str, found: list[tuple[Path, Listing]]) -> tuple[Path, Listing]:
        """The folder of a track; two that both hold images are a fault."""
        filled = [folder for folder in found if len(folder[1].frames)] or found
        directory, listing = filled[0]
        if len(filled) > 1:
            self.note(catalogue.REPEATED_FOLDER, directory, found=f"also {filled[1][0]}")
        for image in listing.repeated:
            self.note(catalogue.REPEATED_IMAGE, directory / image)
        if listing.pictures:
            self.note(catalogue.OTHER_IMAGES, directory, found=_some(listing.pictures))
        if len(listing.frames) and listing.frames[0] == 0:
            self.note(catalogue.FRAME_ZERO, directory, found=listing.odd_names.get(0, f"00000{listing.suffix}"))
        return directory, listing

    def packed_files(self) -> dict[str, Path]:
        """The packed file of each track whose folder has not changed since it was packed."""
        if self.crops is None:
            return {}
        place = folder_of_packed(self.root, self.crops)
        tracks = set(list_packed(place).values())
        names = {name: packed_name(name, self.folders[name][0]) for name in sorted(tracks & self.folders.keys())}
        return {name: place / file_name for name, file_name in names.items() if (place / file_name).is_file()}

    # annotations

    def label_files(self) -> dict[str, dict[str, tuple[Path, LabelFile]]]:
        """Label files of the latest edition, by split and track."""
        by_split: dict[str, dict[str, tuple[Path, LabelFile]]] = {"train": {}, "val": {}}
        editions = {folder: self.edition_rank(folder) for folder in self.layout.label_files}
        if not editions or is_sparse(self.challenge):
            return self.multitask_labels()
        latest = max(editions.values())
        older = sorted(folder for folder, rank in editions.items() if rank < latest)
        if older:
            self.note(catalogue.SEVERAL_EDITIONS, older[0], found=_some([str(folder) for folder in older]))
        earlier = []
        for folder in sorted(folder for folder, rank in editions.items() if rank == latest):
            for split, paths in self.layout.label_files[folder].items():
                for path in sorted(paths):
                    label_file = self.read(self.disk.labels, path)
                    if label_file is None:
                        continue
                    self.findings.extend(label_file.findings)
                    self.add_label_file(by_split[split], path.stem, path, label_file)
                    if label_file.challenge != self.challenge:
                        earlier.append(path)
        if earlier:
            self.note(catalogue.SEVEN_CLASSES, earlier[0], found=counted(len(earlier), "file"))
        self.check_copies({**by_split["train"], **by_split["val"]})
        return by_split

    def check_copies(self, labels: Mapping[str, tuple[Path, LabelFile]]) -> None:
        """Notes label files that are copies of others by their names, and not of a track with crops of its own."""
        for name, (path, label_file) in labels.items():
            matches = (pattern.fullmatch(name) for pattern in _COPIES)
            original = next((labels[match[1]] for match in matches if match and match[1] in labels), None)
            if original is None or name in self.folders or (self.crops is None and original[1].sha256 != label_file.sha256):
                continue
            self.note(catalogue.LABEL_COPY, path, found=f"beside {original[0].name}")

    def multitask_labels(self) -> dict[str, dict[str, tuple[Path, LabelFile]]]:
        """The labels of multi-task files, which stand in where there are no label files of tracks."""
        by_split: dict[str, dict[str, tuple[Path, LabelFile]]] = {"train": {}, "val": {}}
        found = self.layout.multitask_files if holds(self.challenge) else {}
        for split, paths in found.items():
            for path in sorted(paths):
                for name, label_file in (self.read(self.disk.multitask, path) or {}).items():
                    self.findings.extend(label_file.findings)
                    if name:
                        self.add_label_file(by_split[split], name, path, label_file)
        if not found:
            others = ", ".join(sorted(self.layout.held - {self.challenge.name}))
            self.note(catalogue.NO_ANNOTATIONS, self.root, found=f"{self.challenge.name}; there is {others or 'no other'}")
        return by_split

    def edition_rank(self, folder: Path) -> tuple[int, int]:
        """Later editions compare greater; of one edition's folders the newer name does."""
        return layout.edition_of(folder, self.root), names_of(self.challenge).folders.index(folder.name.lower())

    def add_label_file(self, tracks: dict[str, tuple[Path, LabelFile]], name: str, path: Path, label_file: LabelFile) -> None:
        other = tracks.setdefault(name, (path, label_file))
        if other[1].sha256 != label_file.sha256:
            self.note(catalogue.REPEATED_ANNOTATION, path, found=f"also {other[0]}")

    def read(self, reader: Callable[[Path], T], path: Path) -> T | None:
        """What `reader` reads, or None and a finding where the file cannot be read."""
        try:
            return reader(path)
        except DataError as error:
            self.note(catalogue.UNREADABLE_FILE, path, found=error.problem)
            return None

    def frame_rates(self) -> dict[str, tuple[float, int]]:
        path = rates.table_of(self.root)
        read = self.read(self.disk.frame_rates, path) if path.exists() else None
        if read is None:
            return {}
        self.findings.extend(read.findings)
        return read.by_recording

    # the test split

    def test_set(self, annotated: Mapping[str, Any]) -> tuple[Path | None, str | None, TestSet]:
        """Sample file, its sha256, and the test tracks in official order; 0 rows where only the images can say."""
        if self.sample_option is not None:
            sample = self.disk.sample(self.sample_option)
            self.findings.extend(sample.findings)
            return self.sample_option, sample.sha256, sample
        listed = self.first_of(self.layout.names, self.disk.names)
        for paths, reader in (
            (self.layout.samples, self.disk.sample),
            (self.layout.examples, self.disk.sample),
            (self.layout.frame_totals, self.disk.frame_totals),
        ):
            path, found = self.first_of(paths, reader)
            if path is not None and found is not None:
                self.compare_with_names(path, found, listed)
                return (None if paths is self.layout.frame_totals else path), found.sha256, found
        if listed[1] is not None:
            self.note(catalogue.NO_SAMPLE, self.root)
            return None, None, listed[1]
        # An empty folder is a track if its recording was decoded: a person who was never found still has rows.
        unlabelled: list[str] = []
        for name, (_, listing) in self.folders.items():
            if name not in annotated:
                has_rows = len(listing.frames) or self.rates.get(recording_of(name), (None, 0))[1]
                (unlabelled if has_rows else self.without_rows).append(name)
        self.note(catalogue.NO_TEST_SET, self.root, found=f"{counted(len(unlabelled), 'folder')} without annotations")
        return None, None, TestSet(dict.fromkeys(unlabelled, 0), "", ())

    def first_of(self, paths: list[Path], reader: Callable[[Path], TestSet]) -> tuple[Path | None, TestSet | None]:
        """The first of several files that all ask for the same rows; it is a fault if they do not."""
        chosen: tuple[Path | None, TestSet | None] = (None, None)
        for path in sorted(paths):
            found = self.read(reader, path)
            if found is None:
                continue
            self.findings.extend(found.findings)
            if chosen[1] is None:
                chosen = path, found
            elif not chosen[1].asks_as(found):
                self.note(catalogue.SEVERAL_SAMPLES, path, found=f"also {chosen[0]}")
        return chosen

    def compare_with_names(self, path: Path, sample: TestSet, listed: tuple[Path | None, TestSet | None]) -> None:
        names = listed[1]
        if names is None or list(names.rows) == list(sample.rows):
            return
        first = next((name for name in names.rows if name not in sample.rows), None)
        first = first or next((name for name in sample.rows if name not in names.rows), "the order of the tracks")
        self.note(catalogue.SAMPLE_AND_NAMES, path, found=first, expected=f"as in {listed[0]}")

    # tracks together

    def check_tracks(self, data: DataRoot) -> None:
        if not data.tracks:
            self.note(catalogue.NO_TRACKS, self.root)
        self.check_names(sorted({track.name for track in data.tracks}))
        for track in data.tracks:
            place = track.annotation or track.directory
            if self.layout.crop_roots and track.name not in self.folders:
                self.note(catalogue.NO_FOLDER, place, found=track.name)
            elif self.layout.crop_roots and not len(track.frames):
                self.note(catalogue.NO_IMAGES, track.directory, found=track.name)
            if track.rows > MOST_FRAMES:
                self.note(catalogue.TOO_MANY_FRAMES, place, found=f"{track.rows:,}", expected=f"at most {MOST_FRAMES:,}")
            if track.clipped:
                self.note(
                    catalogue.BEYOND_ROWS,
                    track.directory,
                    found=counted(track.clipped, "image"),
                    expected=counted(track.rows, "row"),
                )
            if track.labels is not None and not is_labelled(track.labels, self.challenge).any():
                self.note(catalogue.NO_VALID_LABEL, place, found=track.name)
        self.check_leaks(data)

    def check_leaks(self, data: DataRoot) -> None:
        """Notes each recording whose persons are in different splits."""
        persons: dict[str, dict[str, Track]] = defaultdict(dict)
        for track in data.tracks:
            persons[track.recording].setdefault(track.name, track)
        for tracks in persons.values():
            if len({track.split for track in tracks.values()}) > 1:
                found = ", ".join(f"{track.name} in {track.split}" for track in tracks.values())
                first = next(iter(tracks.values()))
                self.note(catalogue.SPLIT_LEAK, first.annotation or first.directory, found=found)

    def check_names(self, names: Sequence[str]) -> None:
        written: dict[str, str] = {}
        for name in names:
            if not files.is_track_name(name):
                self.note(catalogue.UNSAFE_NAME, self.root, found=ascii(name[:80]))
            folded = unicodedata.normalize("NFC", name).casefold()
            if written.setdefault(folded, name) != name:
                self.note(catalogue.CLASHING_NAMES, self.root, found=f"{written[folded]!a} and {name!a}")


def _difference(labels: NDArray, others: NDArray) -> tuple[str, str]:
    """What two unequal label files say: their lengths, or the first line in which they differ."""
    if len(labels) != len(others):
        return f"{len(labels):,} labels", f"{len(others):,}"
    first = int(np.nonzero(labels != others)[0][0])
    return f"{labels[first]} in line {first + 2}", f"{others[first]}"


def _some(names: Sequence[str]) -> str:
    """Names for a message: the first three, and how many more."""
    return first_of([ascii(name)[1:-1] for name in names])
