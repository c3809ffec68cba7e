"""A recording with the predictions drawn into it: the face's box with the answer, and a bar for each score.

Bars of classes and units are probabilities; those of values go from the middle to the left and to the right.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
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
from harness.kinds.parts import Parts, Placed
from harness.report.palette import class_colours

TIME_BASE = Fraction(1, 90_000)
# One thread, so that the same frames give the same bytes on every machine.
ENCODERS = {"libx264": {"preset": "veryfast", "crf": "20", "threads": "1"}, "mpeg4": {"qscale": "3", "threads": "1"}}
PANEL, INK, IMPUTED, DIM = (20, 20, 20, 170), (240, 240, 240, 255), (255, 170, 80, 255), (150, 150, 150, 255)
BOX = "#e69f00"
"""The colour of the face's box where there is no class to give it one."""
SMALLEST_TEXT = 6
LONGEST_SIDE = 1280
LARGEST_TABLE = 256 * 1024 * 1024


@dataclass(frozen=True, eq=False)
class Annotation:
    """What is drawn.

    Attributes
    ----------
    parts : the challenge, whose C columns are drawn.
    probabilities : float64 (rows, C), of values these.
    answers : (rows,) or (rows, fields), as they are decoded.
    imputed : bool (rows,), whether a row was filled for want of a face.
    boxes : left, top, right, bottom of the face in the frames that have one.
    """

    parts: Parts
    probabilities: NDArray[np.float64]
    answers: NDArray[Any]
    imputed: NDArray[np.bool_]
    boxes: Mapping[int, tuple[float, float, float, float]]

    def bars(self, frame: int) -> list[Bar]:
        """A bar for each column of a 1-based frame, and whether it is what is answered."""
        row, answer = self.probabilities[frame - 1], np.atleast_1d(self.answers[frame - 1])
        bars = []
        for own in self.parts.placed:
            given = answer[own.fields]
            for place, (name, score) in enumerate(zip(own.part.columns, row[own.columns].tolist(), strict=True)):
                if not own.part.integral:
                    bars.append(Bar(name, score, True, 0.5, 0.5 + 0.5 * float(given[0])))
                elif self._is_classes(own):
                    bars.append(Bar(name, score, place == int(given[0]), 0.0, score))
                else:
                    bars.append(Bar(name, score, bool(given[place]), 0.0, score))
        return bars

    def answer_in_words(self, frame: int) -> str:
        """What is answered for a 1-based frame: values, the class, the active units, of which the number where there is more."""
        answer = np.atleast_1d(self.answers[frame - 1])
        words = []
        for own in self.parts.placed:
            given = answer[own.fields]
            if not own.part.integral:
                words.append(f"{own.part.name[0].upper()} {given[0]:+.2f}")
            elif self._is_classes(own):
                words.append(own.part.columns[int(given[0])])
            else:
                active = [name for name, on in zip(own.part.columns, given, strict=True) if on]
                words.append((" ".join(active) or "no unit") if len(self.parts.placed) == 1 else f"{len(active)} units")
        return ", ".join(words)

    def _is_classes(self, own: Placed) -> bool:
        return own.part.columns == self.parts.challenge.class_names


@dataclass(frozen=True)
class Bar:
    """A column's name and score, whether it is answered, and where its bar begins and ends as shares of the longest."""

    name: str
    score: float
    answered: bool
    start: float
    end: float


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
        if frames != len(annotation.answers):
            raise DataError("the video changed", path=video, found=f"{frames} frames", expected=f"{len(annotation.answers)}")


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
            if number > len(annotation.answers):
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
        names = annotation.parts.columns
        self._colours = dict(zip(names, class_colours(names), strict=True))
        # As large as the picture allows: a panel of many bars has to fit into its height.
        text = max(SMALLEST_TEXT, min(max(9, self.size[1] // 30), round(0.75 * (self.size[1] - 8) / (len(names) + 1))))
        self._font = ImageFont.load_default(text)
        self._line = text + text // 3
        self._names = max(round(self._font.getlength(name)) for name in names)

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
        colour = next((self._colours[bar.name] for bar in self._annotation.bars(frame) if self._of_class(bar)), BOX)
        left, top, right, bottom = (edge * self._factor for edge in self._annotation.boxes[frame])
        pen.rectangle((left, top, right, bottom), outline=colour, width=max(2, self._line // 8))
        words = self._annotation.answer_in_words(frame)
        above = max(0.0, top - self._line)
        pen.rectangle((left, above, left + self._font.getlength(words) + 8, above + self._line), fill=colour)
        pen.text((left + 4, above + 1), words, fill="black", font=self._font)

    def _of_class(self, bar: Bar) -> bool:
        return bar.answered and bar.name in self._annotation.parts.challenge.class_names

    def _bars(self, pen: ImageDraw.ImageDraw, frame: int) -> None:
        """A panel in the upper left corner: frame, answer, and a bar for each score; what is not answered is dimmed in units."""
        bars, imputed = self._annotation.bars(frame), bool(self._annotation.imputed[frame - 1])
        start, longest = self._names + 16, 5 * self._line
        title = f"{frame}: {self._annotation.answer_in_words(frame)}" + (" (no face)" if imputed else "")
        width = max(start + longest + 8, self._font.getlength(title) + 16)
        pen.rectangle((0, 0, width, self._line * (len(bars) + 1) + 8), fill=PANEL)
        pen.text((8, 4), title, fill=IMPUTED if imputed else INK, font=self._font)
        classes = self._annotation.parts.challenge.class_names
        for place, bar in enumerate(bars):
            top = 4 + (place + 1) * self._line
            pen.text((8, top), bar.name, fill=INK if bar.answered or bar.name in classes else DIM, font=self._font)
            if bar.start:
                middle = start + longest * bar.start
                pen.line((middle, top, middle, top + self._line), fill=DIM)
            ends = sorted((start + longest * bar.start, start + longest * bar.end))
            box = (ends[0], top + 2, max(ends[0] + 1.0, ends[1]), top + self._line - 3)
            pen.rectangle(box, fill=self._colours[bar.name] if bar.answered or bar.name in classes else DIM)
