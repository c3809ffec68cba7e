"""What the files of a submission are: its record, files of tracks, single files, and what does not belong."""

from __future__ import annotations

import fnmatch
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from harness.challenge import FORMATS
from harness.files import is_junk
from harness.findings import Findings
from harness.submission import catalogue
from harness.submission.header import HEAD, Guess, guess
from harness.submission.record import RECORD_NAME, TRACKS_FOLDER
from harness.submission.source import Source

SINGLE_PATTERN = "*predictions*.txt"
_ANSWER_NAMES = {form.answer_name for form in FORMATS if form.layout == "single"}


@dataclass(eq=False)
class Contents:
    """Names of files within a source, sorted by what they are.

    Attributes
    ----------
    single : files with a row per image of all tracks.
    tracks : files of one track, by the track's name.
    guesses : what the first lines of each of them say.
    """

    single: list[str] = field(default_factory=list)
    tracks: dict[str, str] = field(default_factory=dict)
    guesses: dict[str, Guess] = field(default_factory=dict)


def classify_files(source: Source, known_tracks: Set[str], findings: Findings) -> Contents:
    """Sorts the files of `source`; `known_tracks` are names that are asked for, as far as they are known."""
    contents = Contents()
    texts: list[str] = []
    others: list[str] = []
    for name in source.openers:
        if name == RECORD_NAME:
            continue
        if is_junk(name):
            findings.add(catalogue.JUNK_FILE, name)
        elif name.lower().endswith(".txt") or source.kind == "file":
            texts.append(name)
        else:
            others.append(name)
    _classify_texts(source, texts, known_tracks, contents, findings)
    for name in others:
        _classify_other(source, name, known_tracks, contents, findings)
    for name in source.others:
        findings.add(catalogue.JUNK_FILE if is_junk(name) else catalogue.OTHER_FILE, name)
    return contents


def _classify_texts(source: Source, texts: list[str], known_tracks: Set[str], contents: Contents, findings: Findings) -> None:
    unclear: list[str] = []
    # Where two files could be a track's, the one with exactly its name is.
    for name in sorted(texts, key=lambda name: not _is_exact(PurePosixPath(name), known_tracks)):
        place = PurePosixPath(name)
        if not _guess(source, name, contents, findings):
            continue
        if place.parent.name == TRACKS_FOLDER or place.stem in known_tracks:
            _add_track(name, known_tracks, contents, findings)
        elif fnmatch.fnmatch(place.name.lower(), SINGLE_PATTERN):
            contents.single.append(name)
        elif contents.guesses[name].with_image:
            contents.single.append(name)
            findings.add(catalogue.ANSWER_NAME, name, None, place.name, " or ".join(sorted(_ANSWER_NAMES)))
        else:
            unclear.append(name)
    for name in unclear:
        # Beside a single file there may be a text that is no answer, such as notes or the list of the tracks.
        if contents.single and not contents.guesses[name].headed:
            findings.add(catalogue.OTHER_FILE, name)
        else:
            _add_track(name, known_tracks, contents, findings)


def _is_exact(place: PurePosixPath, known_tracks: Set[str]) -> bool:
    return place.suffix == ".txt" and place.stem in known_tracks


def _classify_other(source: Source, name: str, known_tracks: Set[str], contents: Contents, findings: Findings) -> None:
    """A file without .txt, which may be a track's all the same."""
    place = PurePosixPath(name)
    track = next((stem for stem in (place.stem, place.name) if stem in known_tracks), None)
    if track is None or track in contents.tracks:
        findings.add(catalogue.OTHER_FILE, name)
    elif _guess(source, name, contents, findings):
        findings.add(catalogue.TRACK_FILE_EXTENSION, name, None, place.name, f"{track}.txt")
        contents.tracks[track] = name


def _guess(source: Source, name: str, contents: Contents, findings: Findings) -> bool:
    """Notes what the first lines say; False if they cannot be read."""
    try:
        contents.guesses[name] = guess(source.read(name, HEAD))
    except OSError as error:
        findings.add(catalogue.FILE_UNREADABLE, name, None, error.strerror or str(error))
        return False
    return True


def _add_track(name: str, known_tracks: Set[str], contents: Contents, findings: Findings) -> None:
    """Files a text under its track's name, which may be written in other case."""
    place = PurePosixPath(name)
    track = place.stem
    if known_tracks and track not in known_tracks:
        track = next((known for known in known_tracks if known.lower() == track.lower()), track)
    if track in contents.tracks:
        findings.add(catalogue.OTHER_FILE, name, None, f"a second file of {track}")
        return
    if place.suffix.lower() != ".txt":
        findings.add(catalogue.TRACK_FILE_EXTENSION, name, None, place.name, f"{track}.txt")
    elif place.name != f"{track}.txt":
        findings.add(catalogue.TRACK_FILE_CASE, name, None, place.name, f"{track}.txt")
    contents.tracks[track] = name
