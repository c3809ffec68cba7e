"""Audits a data root: everything a scan finds, what the images are like, what the videos say, and tables of all of it."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from harness.challenge import ALIGNED_CROP_SIZE, EXPR, Challenge
from harness.data import catalogue, rates, videos
from harness.data.image_audit import Check, FolderAudit, audit_folders, marks_of, shared_images
from harness.data.kept import Kept
from harness.data.scan import Survey, survey
from harness.data.totals import described, differ, official, totals
from harness.data.tracks import DataRoot, recording_of
from harness.data.videos import Recording, decode_recording
from harness.findings import Findings
from harness.words import counted

# Official rows less decoded frames, as teams counted them for 545 tracks of the release: -1 to +2 in all but one.
USUAL_DELTAS = range(-1, 3)
OFFICIAL_SIZE = f"{ALIGNED_CROP_SIZE} x {ALIGNED_CROP_SIZE}"
VIDEOS_FORMAT = 2
LEAST_SHARED = 5
"""Images two tracks have in common before it is reported; fewer if the smaller track has no more."""

T = TypeVar("T")


class Progress(Protocol):
    """Shows how far a pass over `items` has come; yields them unchanged."""

    def __call__(self, items: Iterable[T], total: int, what: str) -> Iterable[T]:
        """The same items."""


def silent(items: Iterable[T], total: int, what: str) -> Iterable[T]:
    """Shows nothing."""
    return items


@dataclass(eq=False)
class Examination:
    """What the doctor found.

    Attributes
    ----------
    survey : names and texts.
    audits : what the images of each used crop folder are like, by track; empty if they were not read.
    recordings : what the videos show, now or when they were last decoded, by recording; empty without videos.
    frame_counts : decoded frames by recording, of now or of frame_rates.csv.
    findings : everything, errors included.
    """

    survey: Survey
    audits: dict[str, FolderAudit] = field(default_factory=dict)
    recordings: dict[str, Recording] = field(default_factory=dict)
    frame_counts: dict[str, int] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)

    @property
    def data(self) -> DataRoot:
        """The tracks that were examined."""
        return self.survey.data


@dataclass(frozen=True)
class Options:
    """What to look at.

    Attributes
    ----------
    crops, sample, challenge : as for `scan`.
    images : whether to read the images.
    verify : read them again where a kept result would do.
    check : looks closer at each image, as by decoding it.
    videos : folder of raw videos to decode; None for none.
    progress : shows how far the long passes have come.
    """

    crops: str = "cropped_aligned"
    sample: str | None = None
    challenge: Challenge = EXPR
    images: bool = True
    verify: bool = False
    check: Check | None = None
    videos: Path | None = None
    progress: Progress = silent


def examine(path: str | Path, options: Options) -> Examination:
    """Looks at a data root; with `options.videos`, also writes its frame_rates.csv.

    Raises DataError where nothing can be read at all, or videos are asked for and frame_rates.csv has faults, MissingExtraError
    if videos are asked for without PyAV.
    """
    if options.videos is not None:
        videos.require_decoder()
        found = videos.find_videos(options.videos)
        before = survey(path, options.crops, options.sample, challenge=options.challenge)
        recordings = _decode(before, found, options)
    else:
        found, recordings = {}, {}
    # The scan comes after the videos, because frame_rates.csv is a part of what it reads.
    examination = Examination(survey(path, options.crops, options.sample, challenge=options.challenge), recordings=recordings)
    examination.findings.extend(examination.survey.findings)
    if options.images:
        _read_images(examination, options)
    _judge_images(examination, aligned=options.crops != "cropped")
    if options.crops == "cropped_aligned":
        _judge_size(examination)
    _judge_shared_images(examination)
    _judge_videos(examination, found)
    _judge_rows(examination)
    _judge_totals(examination)
    return examination


def _wanted_recordings(survey: Survey) -> set[str]:
    """The recordings of all tracks, and of those that are none yet as only decoded frames can say how many rows they have."""
    return {track.recording for track in survey.data.tracks} | {recording_of(name) for name in survey.without_rows}


def _decode(survey: Survey, found: Mapping[str, Sequence[Path]], options: Options) -> dict[str, Recording]:
    """Decodes the video of each recording of the root once, and keeps frame_rates.csv up to date after each."""
    table = rates.table_of(survey.data.path)
    known = rates.load_frame_rates(table)
    kept = Kept(survey.data.path, "videos.json", VIDEOS_FORMAT, _recording)
    recordings: dict[str, Recording] = {}
    wanted = sorted(_wanted_recordings(survey) & found.keys())
    for name in options.progress(wanted, len(wanted), "decoding videos"):
        video = found[name][0]
        known_recording = None if options.verify else kept.get(video)
        recording = recordings[name] = known_recording or kept.find(video, functools.partial(decode_recording, video))
        if known_recording is None:
            kept.save()  # after each, because decoding all may take hours
        rate = recording.fps
        if rate is None or rate > rates.FASTEST or not recording.frames or known.get(name) == (rate, recording.frames):
            continue
        known[name] = (rate, recording.frames)
        rates.write_frame_rates(table, [(recording, *entry) for recording, entry in known.items()])
    return recordings


def _recording(video: Path, value: dict[str, Any]) -> Recording:
    return Recording(**{**value, "path": video, "notes": tuple(value["notes"])})


def _read_images(examination: Examination, options: Options) -> None:
    folders = examination.survey.folders
    audits = audit_folders(examination.data.path, options.crops, folders, options.check, options.verify)
    examination.audits.update(options.progress(audits, len(folders), "reading images"))


def _judge_images(examination: Examination, aligned: bool) -> None:
    findings = examination.findings
    folders = examination.survey.folders
    usual = _usual_size(examination.audits.values())
    owners: dict[str, str] = {}
    for name in [name for name in folders if name in examination.audits]:
        audit = examination.audits[name]
        directory = folders[name][0]
        for file, reason in audit.damaged:
            findings.add(catalogue.DAMAGED_IMAGE, str(directory / file), found=reason)
        findings.count_more(catalogue.DAMAGED_IMAGE, str(directory), audit.damaged_count - len(audit.damaged))
        for file, what in audit.odd:
            findings.add(catalogue.ODD_IMAGE, str(directory / file), found=what)
        findings.count_more(catalogue.ODD_IMAGE, str(directory), audit.odd_count - len(audit.odd))
        others = {size: count for size, count in audit.sizes.items() if size != usual}
        if aligned and others:
            found = ", ".join(f"{count:,} of {size}" for size, count in others.items())
            findings.add(catalogue.OTHER_SIZE, str(directory), found=found, expected=usual)
        if audit.repeated:
            first = folders[name][1].name_of(audit.first_repeated)
            found = (
                f"{counted(audit.repeated, 'image')}, first {first}, at most {counted(audit.longest_repeat, 'frame')} in a row"
            )
            findings.add(catalogue.REPEATED_BYTES, str(directory), found=found)
        if audit.total_bytes and owners.setdefault(audit.sha256, name) != name:
            findings.add(catalogue.SAME_IMAGES, str(directory), found=f"as {owners[audit.sha256]}")


def _judge_size(examination: Examination) -> None:
    sizes = _sizes(examination.audits.values())
    usual = _usual_size(examination.audits.values())
    if usual not in ("", OFFICIAL_SIZE):
        found = f"{sizes[usual]:,} of {sizes.total():,} images are {usual}"
        examination.findings.add(catalogue.NOT_OFFICIAL_SIZE, str(examination.data.path), found=found, expected=OFFICIAL_SIZE)


def _judge_shared_images(examination: Examination) -> None:
    """Notes each two tracks of different splits that have images in common."""
    audits = examination.audits
    splits = {track.name: track.split for track in examination.data.tracks}
    marks = {name: marks_of(audit.marks) for name, audit in audits.items()}
    for (one, other), count in sorted(shared_images(marks).items()):
        enough = min(LEAST_SHARED, len(marks[one]), len(marks[other]))
        # Tracks with the same images under the same numbers have a finding of their own.
        if count >= enough and splits[one] != splits[other] and audits[one].sha256 != audits[other].sha256:
            found = f"{count:,} of its images, in {splits[one]}, are also in {other}, in {splits[other]}"
            examination.findings.add(catalogue.SHARED_IMAGES, str(examination.survey.folders[one][0]), found=found)


def _sizes(audits: Iterable[FolderAudit]) -> Counter[str]:
    """Images by size."""
    sizes: Counter[str] = Counter()
    for audit in audits:
        sizes.update(audit.sizes)
    return sizes


def _usual_size(audits: Iterable[FolderAudit]) -> str:
    sizes = _sizes(audits)
    return sizes.most_common(1)[0][0] if sizes else ""


def _judge_videos(examination: Examination, found: Mapping[str, Sequence[Path]]) -> None:
    findings, data = examination.findings, examination.data
    for name, paths in found.items():
        if len(paths) > 1:
            findings.add(catalogue.REPEATED_VIDEO, str(paths[1]), found=name, expected=f"only {paths[0]}")
    for recording in examination.recordings.values():
        if recording.fault or recording.fps is None:
            found_text = f"{recording.frames:,} frames, then: {recording.fault or 'no frame rate'}"
            findings.add(catalogue.VIDEO_FAULT, str(recording.path), found=found_text)
        for note in recording.notes:
            findings.add(catalogue.VIDEO_NOTE, str(recording.path), found=note)
        if recording.declared and recording.declared != recording.frames:
            declared, decoded = f"declares {recording.declared:,}", f"{recording.frames:,} decode"
            findings.add(catalogue.VIDEO_COUNT, str(recording.path), found=f"{declared}, {decoded}")
    names = _wanted_recordings(examination.survey)
    if found:
        for name in sorted(names - found.keys()):
            findings.add(catalogue.NO_VIDEO, str(data.path), found=name)
        unused = sorted(found.keys() - names)
        if unused:
            findings.add(catalogue.UNUSED_VIDEO, str(found[unused[0]][0]), found=counted(len(unused), "video"))
    unknown = {track.recording for track in data.tracks if track.frame_rate is None}
    if unknown:
        found_text = f"{len(unknown):,} of {len(names):,} recordings, first {min(unknown)}"
        findings.add(catalogue.NO_FRAME_RATES, str(rates.table_of(data.path)), found=found_text)


def _judge_rows(examination: Examination) -> None:
    """Rows against decoded frames: of this pass, and of the frame_rates.csv that an earlier one wrote."""
    table = rates.table_of(examination.data.path)
    if table.is_file():
        known = rates.read_frame_rates(table).by_recording
        examination.frame_counts.update({name: frames for name, (_, frames) in known.items() if frames})
    for track in examination.data.tracks:
        decoded = examination.frame_counts.get(track.recording)
        if decoded is not None and track.rows_from != "images" and track.rows - decoded not in USUAL_DELTAS:
            place = str(track.annotation or examination.data.sample or track.directory)
            found = f"{track.name}: {track.rows:,} rows"
            examination.findings.add(catalogue.ROWS_AND_FRAMES, place, found=found, expected=f"about {decoded:,}")


def _judge_totals(examination: Examination) -> None:
    challenge = examination.data.challenge
    for split, published in official(challenge).items():
        here = totals(examination.survey, split)
        if here.files and differ(here, published):
            found, expected = (f"{split}: {described(one, challenge)}" for one in (here, published))
            examination.findings.add(catalogue.NOT_OFFICIAL_TOTALS, str(examination.data.path), found=found, expected=expected)
