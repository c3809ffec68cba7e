"""One recording to crop folders: every frame decoded once, its faces found, linked, aligned; then one track per person."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.data.videos import Decoder, Recording
from harness.errors import DataError
from harness.faces.alignment import align, jpeg
from harness.faces.contact_sheet import contact_sheet
from harness.faces.detectors import Detector, Face, find_faces, sides
from harness.faces.persons import FaceTable, Linker, choose, suffix
from harness.faces.picture import Picture
from harness.faces.report import (
    CroppedTrack,
    CropSettings,
    RecordingReport,
    boxes_path,
    contact_sheet_path,
    gaps,
    track_folder,
    tracks_of,
    write_begun,
    write_report,
)
from harness.files import Scratch

BOX_COLUMNS = ("frame", "seconds", "left", "top", "right", "bottom", "score")


def track_names(recording: str, settings: CropSettings) -> dict[str, str]:
    """The name of each person's track."""
    return {person: recording + suffix(person) for person in settings.persons}


def crop_recording(
    video: Path, name: str, out: Path, detector: Detector, settings: CropSettings, each_frame: Callable[[], object] = lambda: None
) -> RecordingReport:
    """Makes the crop folders of one video, a recording of this name, their contact sheets, tables of boxes and, last, the report.

    A track's folder appears whole; that of a person without any face is empty. `each_frame` is called after each frame. Raises
    DataError if no frame decodes, or if a folder is in the way that was not made here.
    """
    tracks = track_names(name, settings)
    described = settings.as_dict(detector.description)
    made_before = tracks_of(out, name)
    _refuse_strangers(out, [track for track in tracks.values() if track not in made_before])
    digest = files.sha256(video)
    with files.scratch(out) as scratch:
        found, recording = _find(video, detector, settings, scratch, each_frame)
        write_begun(out, name, described, sorted({*made_before, *tracks.values()}))
        for old in set(made_before) - set(tracks.values()):
            _remove_track(out, old)
        reports = tuple(_write_track(out, track, person, recording.frames, found, scratch) for person, track in tracks.items())
    report = RecordingReport(
        recording=name,
        video=video.name,
        video_sha256=digest,
        frames=recording.frames,
        declared=recording.declared,
        fps=recording.fps,
        fault=recording.fault,
        notes=recording.notes,
        width=found.width,
        height=found.height,
        settings=described,
        tracks=reports,
    )
    write_report(out, report)
    return report


@dataclass
class _Found:
    """The faces of a recording, in order of the frames; `crop` is the number of each one's JPEG bytes in the scratch file."""

    width: int = 0
    height: int = 0
    frame: list[int] = field(default_factory=list)
    seconds: list[float | None] = field(default_factory=list)
    link: list[int] = field(default_factory=list)
    face: list[Face] = field(default_factory=list)
    crop: list[int] = field(default_factory=list)

    def table(self) -> FaceTable:
        """What the choice of persons needs."""
        return FaceTable(np.array(self.frame, np.int32), np.array(self.link, np.int32), _boxes(self.face), self.width)


def _boxes(faces: list[Face]) -> NDArray[np.float64]:
    return np.array([face.box for face in faces], dtype=np.float64).reshape(-1, 4)


def _find(
    video: Path, detector: Detector, settings: CropSettings, scratch: Scratch, each_frame: Callable[[], object]
) -> tuple[_Found, Recording]:
    """All faces of a video, their crops in `scratch`; only the largest of each frame where that is all that is wanted."""
    steps, linker, decoder, found = sides(settings.smallest_face), Linker(), Decoder(video), _Found()
    largest_only = settings.persons == ("largest",)
    for number, frame in enumerate(decoder, 1):
        picture = Picture(frame, decoder.aspect)
        found.width, found.height = picture.width, picture.height
        faces = find_faces(detector, picture, steps, every=not largest_only)
        if largest_only:
            faces = faces[:1]
        for face, link in zip(faces, linker.link(number, _boxes(faces)), strict=True):
            found.frame.append(number)
            found.seconds.append(frame.time)
            found.link.append(link)
            found.face.append(face)
            found.crop.append(scratch.put(jpeg(align(picture.rgb, face.landmarks, settings.size))))
        each_frame()
    if decoder.recording.frames == 0:
        reason = decoder.recording.fault or "no frames in it"
        raise DataError("no frame of this video decodes", path=video, found=reason, remedy="check the file; fetch it again")
    return found, decoder.recording


def _write_track(out: Path, name: str, person: str, rows: int, found: _Found, scratch: Scratch) -> CroppedTrack:
    """Writes the person's images, contact sheet and table of boxes."""
    chosen = choose(person, found.table())
    frames = np.array(found.frame, np.int32)[chosen]
    crops = {found.frame[place]: found.crop[place] for place in chosen}
    digest, size = hashlib.sha256(), 0
    with files.writing_directory(track_folder(out, name)) as folder:
        for frame, crop in crops.items():
            data = scratch.get(crop)
            digest.update(hashlib.sha256(data).digest())
            size += len(data)
            files.write_bytes(folder / f"{frame:05d}.jpg", data, sync=False)
    sheet = contact_sheet(name, rows, frames, lambda frame: scratch.get(crops[frame]))
    files.write_bytes(contact_sheet_path(out, name), sheet)
    files.write_text(boxes_path(out, name), _box_table(found, chosen))
    return CroppedTrack(name, person, rows, len(frames), gaps(frames, rows), size, digest.hexdigest())


def _box_table(found: _Found, chosen: NDArray[np.int64]) -> str:
    """Where the face was, in pixels of the upright frame; the time is empty where the video has no time stamps."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(BOX_COLUMNS)
    for place in chosen:
        seconds, face = found.seconds[place], found.face[place]
        time = "" if seconds is None else f"{seconds:.4f}"
        writer.writerow([found.frame[place], time, *(f"{edge:.1f}" for edge in face.box), f"{face.score:.4f}"])
    return text.getvalue()


def _refuse_strangers(out: Path, tracks: list[str]) -> None:
    """Crops that came from elsewhere, as the official ones, are never replaced."""
    for name in tracks:
        folder = track_folder(out, name)
        if folder.exists():
            raise DataError(
                "a folder of this name is there and was not made by `harness crop`",
                path=folder,
                remedy="choose another folder with --out",
            )


def _remove_track(out: Path, name: str) -> None:
    for place in (track_folder(out, name), contact_sheet_path(out, name), boxes_path(out, name)):
        files.remove(place)
