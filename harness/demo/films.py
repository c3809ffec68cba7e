"""Films of the embedded data set, with voices: what `harness audio` hears, for trying models of face and sound.

A film shows the crops of its recording at the recording's rate, grey where no face is seen, and lets each of its persons speak.
Some recordings are mute.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.demo import layout
from harness.demo.landmarks import CROP_SIZE
from harness.demo.performance import Performance
from harness.demo.voice import RATE, speak
from harness.errors import MissingExtraError
from harness.progress import tracked

if TYPE_CHECKING:
    import av

FOLDER = "videos"
MANIFEST = "videos.json"
VERSION = 1  # of the films: any change of what is seen or heard in them is a new version
MUTE_EVERY = 7  # the seventh recording and every seventh after it have no sound
TICKS = 60_000  # parts of a second in which times are written; MPEG-4 allows no finer ones
BLOCK = 4_096  # samples of sound in a packet
UNSEEN = 90  # grey level of a frame without a face


def write_films(root: Path, performances: Sequence[Performance], seed: int) -> tuple[int, bool]:
    """Writes the films of all recordings into the folder `videos` of a data root, whole or not at all.

    Returns how many there are and whether they were written just now. Raises MissingExtraError without PyAV.
    """
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("av", "demo", "films of the embedded data set") from error
    folder = root / FOLDER
    recordings: dict[str, list[Performance]] = {}
    for performance in performances:
        recordings.setdefault(performance.role.recording, []).append(performance)
    wanted = {"version": VERSION, "seed": seed}
    if _is_whole(folder, wanted, len(recordings)):
        return len(recordings), False
    with files.writing_directory(folder) as place:
        digests = {}
        steps = tracked(recordings.items(), "films", len(recordings), "film")
        for number, (recording, cast) in enumerate(steps, start=1):
            data = _film(root, cast, with_sound=number % MUTE_EVERY != 0)
            files.write_bytes(place / f"{recording}.mkv", data)
            digests[f"{recording}.mkv"] = files.sha256_of_bytes(data)
        files.write_json(place / MANIFEST, {**wanted, "films": digests})
    return len(recordings), True


def _is_whole(folder: Path, wanted: dict[str, int], count: int) -> bool:
    """Whether the films lie there unchanged."""
    if not (folder / MANIFEST).is_file():
        return False
    manifest = files.read_json(folder / MANIFEST)
    known = manifest.get("films", {})
    same = {key: manifest.get(key) for key in wanted} == wanted and len(known) == count
    return same and all((folder / name).is_file() and files.sha256(folder / name) == digest for name, digest in known.items())


def _film(root: Path, cast: Sequence[Performance], with_sound: bool) -> bytes:
    """A Matroska file of one recording: MPEG-4 pictures, FLAC sound."""
    import av

    buffer = io.BytesIO()
    role = cast[0].role
    with av.open(buffer, "w", format="matroska", container_options={"fflags": "+bitexact"}) as container:
        video = container.add_stream("mpeg4", rate=30, options={"qscale": "3"})
        video.width, video.height, video.pix_fmt = CROP_SIZE * len(cast), CROP_SIZE, "yuv420p"
        video.codec_context.time_base = Fraction(1, TICKS)
        sound = container.add_stream("flac", rate=RATE) if with_sound else None
        if sound is not None:
            sound.layout = "mono"
        for row, pixels in enumerate(_pictures(root, cast)):
            frame = av.VideoFrame.from_ndarray(pixels, format="gray")
            frame.pts, frame.time_base = round(row / role.frame_rate * TICKS), Fraction(1, TICKS)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            _write_sound(container, sound, np.sum([speak(performance) for performance in cast], axis=0))
    return buffer.getvalue()


def _write_sound(container: av.container.OutputContainer, stream: av.AudioStream, samples: NDArray[np.float64]) -> None:
    import av

    whole = np.round(np.clip(samples, -1, 1) * 32_767).astype(np.int16)
    for first in range(0, len(whole), BLOCK):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(whole[None, first : first + BLOCK]), format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), first
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _pictures(root: Path, cast: Sequence[Performance]) -> Iterator[NDArray[np.uint8]]:
    """The frames (CROP_SIZE, CROP_SIZE * persons) of a recording, persons side by side."""
    from PIL import Image

    for row in range(cast[0].role.rows):
        faces = []
        for performance in cast:
            if performance.seen[row]:
                with Image.open(root / layout.CROPS / performance.role.track / f"{row + 1:05d}.jpg") as picture:
                    faces.append(np.asarray(picture.convert("L")))
            else:
                faces.append(np.full((CROP_SIZE, CROP_SIZE), UNSEEN, np.uint8))
        yield np.ascontiguousarray(np.concatenate(faces, axis=1))
