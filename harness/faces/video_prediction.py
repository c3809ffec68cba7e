"""From a clip to rows: crops in a private data root, scores by a run's network, post-processing, and an annotated video."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import EXPR, Challenge, Field, challenge_named
from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.errors import DataError, MismatchError
from harness.faces import detectors
from harness.faces.annotated_video import Annotation, read_boxes, write_annotated_video
from harness.faces.batch import CropProgress, crop_videos
from harness.faces.detectors import DEFAULT_SMALLEST
from harness.faces.persons import DEFAULT
from harness.faces.report import SIZES, CropSettings, RecordingReport, boxes_path
from harness.images.device import make_accelerator
from harness.inference.network import load_network, recipe_of, warn_if_unfinished, with_checkpoint
from harness.inference.score import ImageScorer
from harness.inference.settings import Scoring
from harness.kinds.parts import Parts
from harness.postprocess.chain import PostProcessing
from harness.rows.predictions import PredictedTrack, RunPredictions
from harness.runs.store import Run
from harness.submission.writer import track_file

CROPS = "crops"
VIDEOS = "videos"
SPLIT = "test"


@dataclass(frozen=True)
class VideoSettings:
    """How a clip is cropped and scored; see CropSettings, detectors and Scoring."""

    persons: tuple[str, ...] = (DEFAULT,)
    smallest_face: float = DEFAULT_SMALLEST
    back_end: str = detectors.DEFAULT
    face_model: Path | None = None
    scoring: Scoring = field(default_factory=Scoring)


@dataclass(frozen=True, eq=False)
class PersonAnswers:
    """What was answered for one person of a clip, and the files that hold it.

    Attributes
    ----------
    track : name of the person's crops.
    probabilities : float64 (rows, columns), probabilities and values of each frame after filling and smoothing.
    answers : (rows,) of EXPR and CE, else (rows, fields): the rows as a submission has them.
    is_imputed : bool (rows,), where no face was seen.
    text, table, video : rows as a submission has them, probabilities as a table, the annotated video.
    """

    track: str
    probabilities: NDArray[np.float64]
    answers: NDArray[Any]
    is_imputed: NDArray[np.bool_]
    text: Path
    table: Path
    video: Path

    @property
    def rows(self) -> int:
        """Frames of the clip."""
        return len(self.answers)

    @property
    def imputed(self) -> int:
        """How many of them show no face."""
        return int(self.is_imputed.sum())


@dataclass(frozen=True)
class VideoResult:
    """What was made of a clip: the folder, the report on its crops, what the columns are, and the answers to each track."""

    directory: Path
    report: RecordingReport
    columns: tuple[str, ...]
    tracks: tuple[PersonAnswers, ...]


def default_directory(run: Run, video: Path) -> Path:
    """Where the predictions of a clip lie if nothing else is said: below the run's own folder."""
    return run.path / VIDEOS / files.track_name_of(video.stem)


def predict_video(
    run: Run,
    video: Path,
    directory: Path,
    settings: VideoSettings,
    postprocessing: PostProcessing,
    frame_rate: float | None = None,
    each_frame: Callable[[], object] = lambda: None,
    say: Callable[[str], None] = lambda line: None,
) -> VideoResult:
    """Predicts every frame of a clip with a run's network. Nothing is written outside of `directory`.

    Crops and scores that are there and still right are used again. A clip without any face gets the run's class shares, as every
    track without one. `frame_rate` is used if the clip has none.

    Raises DataError if the clip cannot be read or the run has no network; see crop_videos for the others.
    """
    recipe = recipe_of(run)
    report = _crop(video, directory / CROPS, recipe.decode_size, settings, each_frame)
    challenge = challenge_named(str(run.manifest.get("challenge", EXPR.name)))
    root = _rows(scan(directory / CROPS, use_cache=False, challenge=challenge), report)
    # The scores of a clip are not those of a split of the run: they get a run's folder of their own.
    copy = Run(directory)
    files.write_json(copy.manifest_path, run.manifest)
    chosen, network = with_checkpoint(run, settings.scoring.checkpoint, say, lambda found: load_network(run, recipe, found))
    warn_if_unfinished(run, chosen, say)
    for flip in (False, True) if postprocessing.flip else (False,):
        scoring = replace(settings.scoring, flip=flip, verify=True)
        accelerator, tracks = make_accelerator("fp32"), root.split(SPLIT)
        ImageScorer(copy, SPLIT, tracks, chosen, scoring, accelerator, say, recipe=recipe, network=network).score()
    predictions = RunPredictions(copy, SPLIT, postprocessing, root, frame_rate)
    written = tuple(_write(video, directory, predictions.parts, prediction) for prediction in predictions)
    return VideoResult(directory, report, predictions.parts.columns, written)


def _crop(video: Path, out: Path, decode_size: int, settings: VideoSettings, each_frame: Callable[[], object]) -> RecordingReport:
    """The crops of the clip, at the smallest size that is not below what the network's images are decoded to."""
    size = next((size for size in SIZES if size >= decode_size), SIZES[-1])
    cropping = CropSettings(size, settings.persons, settings.smallest_face)
    progress = CropProgress(frame=each_frame)
    crop = functools.partial(
        crop_videos, [video], out, cropping, settings.back_end, settings.face_model, rename=True, progress=progress
    )
    try:
        summary = crop()
    except MismatchError:
        # Crops of other settings: these are nobody's but ours, and can be made again.
        summary = crop(fresh=True)
    for error in summary.failed.values():
        raise error
    (report,) = {**summary.kept, **summary.made}.values()
    return report


def _rows(root: DataRoot, report: RecordingReport) -> DataRoot:
    """The data root, if it has a row for each frame of the clip. Raises DataError if not."""
    expected = {track.track: track.rows for track in report.tracks}
    found = {track.name: track.rows for track in root.tracks}
    if found != expected:
        raise DataError(
            "the rows of the crops are not the frames of the clip", path=root.path, found=str(found), expected=str(expected)
        )
    return root


def _write(video: Path, directory: Path, parts: Parts, prediction: PredictedTrack) -> PersonAnswers:
    name = prediction.track
    result = PersonAnswers(
        track=name,
        probabilities=np.asarray(prediction.probabilities, dtype=np.float64),
        answers=prediction.classes,
        is_imputed=prediction.imputed,
        text=directory / f"{name}.txt",
        table=directory / f"{name}.csv",
        video=directory / f"{name}.mp4",
    )
    files.write_bytes(result.text, track_file(prediction.classes, parts.challenge))
    files.write_text(result.table, _table(parts, prediction))
    boxes = read_boxes(boxes_path(directory / CROPS, name))
    annotation = Annotation(parts, prediction.probabilities, prediction.classes, prediction.imputed, boxes)
    write_annotated_video(video, result.video, annotation)
    return result


def _table(parts: Parts, prediction: PredictedTrack) -> str:
    """A line for each frame: the answer, whether it was filled, and all scores; a class is named, other answers are numbers."""
    lines = [",".join(("frame", *_answer_columns(parts.challenge), "imputed", *parts.columns))]
    for row, probabilities in enumerate(prediction.probabilities):
        cells = (f"{value:.6f}" for value in np.asarray(probabilities))
        answer = np.atleast_1d(prediction.classes[row])
        words = (_answer_text(parts, field, number) for field, number in zip(parts.challenge.fields, answer, strict=True))
        lines.append(",".join((str(row + 1), *words, str(int(prediction.imputed[row])), *cells)))
    return "".join(f"{line}\n" for line in lines)


def _answer_columns(challenge: Challenge) -> tuple[str, ...]:
    return tuple("class" if _names_class(challenge, field) else f"answer {field.name}" for field in challenge.fields)


def _answer_text(parts: Parts, field: Field, number: Any) -> str:
    if _names_class(parts.challenge, field):
        return parts.challenge.class_names[int(number)]
    return str(int(number)) if field.integral else f"{number:.6f}"


def _names_class(challenge: Challenge, field: Field) -> bool:
    """Whether the numbers of a field are those of the classes."""
    return field.integral and field.high + 1 == len(challenge.class_names)
