"""A recording with the predictions drawn into it: the face's box, the class, and the probabilities as bars."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from harness import files
from harness.data.videos import Decoder
from harness.errors import DataError
from harness.faces.picture import Picture
from harness.report.palette import class_colours

TIME_BASE = Fraction(1, 90_000)
# One thread, so that the same frames give the same bytes on every machine.
ENCODERS = {"libx264": {"preset": "veryfast", "crf": "20", "threads": "1"}, "mpeg4": {"qscale": "3", "threads": "1"}}
PANEL, INK, IMPUTED = (20, 20, 20, 170), (240, 240, 240, 255), (255, 170, 80, 255)
LONGEST_SIDE = 1280
LARGEST_TABLE = 256 * 1024 * 1024


@dataclass(frozen=True, eq=False)
class Annotation:
    """What is drawn.

    Attributes
    ----------
    class_names : C names.
    probabilities : float64 (rows, C).
    classes : int8 (rows,), the decoded class.
    imputed : bool (rows,), whether a row was filled for want of a face.
    boxes : left, top, right, bottom of the face in the frames that have one.
    """

    class_names: Sequence[str]
    probabilities: NDArray[np.float64]
    classes: NDArray[np.int8]
    imputed: NDArray[np.bool_]
    boxes: Mapping[int, tuple[float, float, float, float]]


def read_boxes(path: Path) -> dict[int, tuple[float, float, float, float]]:
    """The boxes by frame, from the table `harness crop` wrote. Raises DataError if it is not one."""
    text = files.read_bytes(path, LARGEST_TABLE).decode("utf-8", "replace")
    try:
        return {
            int(row["frame"]): (float(row["left"]), float(row["top"]), float(row["right"]), float(row["bottom"]))
            for row in csv.DictReader(io.StringIO(text))
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("not a table of boxes", path=path, remedy="make the crops anew: harness crop --fresh") from error


def write_annotated_video(video: Path, path: Path, annotation: Annotation) -> None:
    """Draws the annotation into each frame of `video` and writes an MP4 file, whole or not at all, at the speed of the original.

    Its longest side has at most 1280 pixels; there is no sound. Raises DataError if the frames are not as many as the rows.
    """
    with files.writing(path) as handle:
        frames = _encode(video, handle, annotation)
        if frames != len(annotation.classes):
            raise DataError("the video changed", path=video, found=f"{frames} frames", expected=f"{len(annotation.classes)}")


def _encode(video: Path, handle: IO[bytes], annotation: Annotation) -> int:
    """Writes the annotated frames and returns how many there were."""
    import av

    painter: _Painter | None = None
    number, last = 0, -1
    with av.open(handle, "w", format="mp4") as container:
        stream: Any = None
        for number, frame in enumerate(decoder := Decoder(video), 1):
            picture = Picture(frame, decoder.aspect)
            if painter is None:
                painter = _Painter(annotation, picture.width, picture.height)
                encoder = next(name for name in ENCODERS if name in av.codecs_available)
                stream = container.add_stream(encoder, options=ENCODERS[encoder])
                stream.width, stream.height, stream.pix_fmt = *painter.size, "yuv420p"
                stream.codec_context.time_base = TIME_BASE
            if number > len(annotation.classes):
                break
            drawn = av.VideoFrame.from_ndarray(painter.paint(picture, number), format="rgb24")
            drawn.pts = last = max(last + 1, round((number - 1) / 25 / TIME_BASE) if frame.time is None else _ticks(frame.time))
            drawn.time_base = TIME_BASE
            container.mux(stream.encode(drawn))
        if stream is not None:
            container.mux(stream.encode(None))
    return number


def _ticks(seconds: float) -> int:
    return round(seconds / TIME_BASE)


class _Painter:
    """Draws into the frames of one video."""

    def __init__(self, annotation: Annotation, width: int, height: int) -> None:
        self._annotation = annotation
        self._factor = min(1.0, LONGEST_SIDE / max(width, height))
        self.size = (self._even(width), self._even(height))
        self._colours = class_colours(annotation.class_names)
        text = max(9, self.size[1] // 30)
        self._font = ImageFont.load_default(text)
        self._line = text + text // 3
        self._names = max(round(self._font.getlength(name)) for name in annotation.class_names)

    def _even(self, side: int) -> int:
        """A side of the drawn frame; the encoder wants even ones."""
        return max(2, round(side * self._factor / 2) * 2)

    def paint(self, picture: Picture, frame: int) -> NDArray[np.uint8]:
        """The frame with what is said of its row, uint8 (h, w, 3)."""
        image = Image.fromarray(picture.rgb)
        if image.size != self.size:
            image = image.resize(self.size, Image.Resampling.BILINEAR)
        layer = Image.new("RGBA", self.size, (0, 0, 0, 0))
        pen = ImageDraw.Draw(layer)
        self._bars(pen, frame)
        if frame in self._annotation.boxes:
            self._box(pen, frame)
        return np.asarray(Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB"))

    def _box(self, pen: ImageDraw.ImageDraw, frame: int) -> None:
        label = int(self._annotation.classes[frame - 1])
        left, top, right, bottom = (edge * self._factor for edge in self._annotation.boxes[frame])
        pen.rectangle((left, top, right, bottom), outline=self._colours[label], width=max(2, self._line // 8))
        name = self._annotation.class_names[label]
        above = max(0.0, top - self._line)
        pen.rectangle((left, above, left + self._font.getlength(name) + 8, above + self._line), fill=self._colours[label])
        pen.text((left + 4, above + 1), name, fill="black", font=self._font)

    def _bars(self, pen: ImageDraw.ImageDraw, frame: int) -> None:
        """A panel in the upper left corner: frame, class, and a bar for each probability."""
        row = self._annotation.probabilities[frame - 1]
        label, imputed = int(self._annotation.classes[frame - 1]), bool(self._annotation.imputed[frame - 1])
        start, longest = self._names + 16, 5 * self._line
        title = f"{frame}: {self._annotation.class_names[label]}" + (" (no face)" if imputed else "")
        width = max(start + longest + 8, self._font.getlength(title) + 16)
        pen.rectangle((0, 0, width, self._line * (len(row) + 1) + 8), fill=PANEL)
        pen.text((8, 4), title, fill=IMPUTED if imputed else INK, font=self._font)
        for place, (name, probability) in enumerate(zip(self._annotation.class_names, row, strict=True)):
            top = 4 + (place + 1) * self._line
            pen.text((8, top), name, fill=INK, font=self._font)
            bar = (start, top + 2, start + max(1.0, longest * float(probability)), top + self._line - 3)
            pen.rectangle(bar, fill=self._colours[place])
