"""`harness predict`: scores, post-processing, validated submission."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.shared.options import (
    data_option,
    edition_option,
    is_main_process,
    make_postprocessing,
    postprocessing_options,
    say,
    scoring_options,
    worker_count,
)
from harness.streams import show

if TYPE_CHECKING:
    from harness.faces.video_prediction import VideoSettings
    from harness.inference.settings import Scoring
    from harness.runs.store import Run


@click.command("predict")
@click.argument("run_name", metavar="RUN")
@click.option("--split", default="test", show_default=True, help="train, val, test, or oof of a cross-validation.")
@data_option
@click.option(
    "--sample",
    type=click.Path(),
    default=None,
    help="Official sample file of the test split. [default: found below the data root]",
)
@scoring_options
@postprocessing_options
@edition_option
@click.option("--out", type=click.Path(), default=None, help="Folder of the submission. [default: submissions/RUN]")
@click.option("--video", type=click.Path(path_type=Path), default=None, help="Predict this clip instead of a split.")
@click.option("--person", "persons", multiple=True, help="With --video: whom to follow, see harness crop. [default: largest]")
@click.option("--detector", default=None, help="With --video: what finds faces, see harness crop. [default: dlib]")
@click.option("--face-model", type=click.Path(path_type=Path), default=None, help="With --video: model file of the detector.")
def command(
    run_name: str,
    split: str,
    data: str | None,
    sample: str | None,
    scoring: Scoring,
    edition: int | None,
    out: str | None,
    video: Path | None,
    persons: tuple[str, ...],
    detector: str | None,
    face_model: Path | None,
    **postprocessing: Any,
) -> None:
    """Score every seen frame of a split; for the test split also write and validate the submission.

    Tracks that are done are kept when the command is interrupted and run again; scores of another checkpoint, other settings or
    changed images are made anew. With --video a clip takes the place of a split: its faces are cropped, scored and drawn into it.

    \b
    Example:
      harness predict res50-a --split test
      harness predict res50-a --video my_clip.mp4
    """
    from harness.runs import store

    run = store.find(run_name)
    asked = replace(scoring, workers=worker_count(scoring.workers))
    if video is None:
        _predict_split(run, split, data, sample, asked, edition, out, postprocessing)
        return

    from harness.faces.video_prediction import VideoSettings

    clip = VideoSettings(persons=persons or ("largest",), back_end=detector or "dlib", face_model=face_model, scoring=asked)
    _predict_video(run, video, out, clip, postprocessing)


def _predict_split(
    run: Run,
    split: str,
    data: str | None,
    sample: str | None,
    scoring: Scoring,
    edition: int | None,
    out: str | None,
    postprocessing: Mapping[str, Any],
) -> None:
    """Scores a split, mirrored as well where the settings ask for it, and writes the submission of the test split."""
    from harness.api import predict
    from harness.commands.shared.submitting import root_of, submission_folder, write_and_validate
    from harness.data.tracks import OUT_OF_FOLD
    from harness.errors import UsageError

    directory = submission_folder(run.name, split, out) if split == "test" else None
    if split == OUT_OF_FOLD and scoring.checkpoint == "best":
        raise UsageError(
            "the best checkpoint of a fold was chosen by the very tracks it would score", expected="--checkpoint last"
        )
    settings, frame_rate = make_postprocessing(postprocessing, run)
    root = root_of(run, data, sample)
    complete = True
    for flip in (False, True) if settings.flip else (False,):
        complete = predict(run, root, split, replace(scoring, flip=flip, frame_rate=postprocessing["fps"]), say)
    if not is_main_process():
        return
    if not complete:
        say(f"the split {split!r} is not complete yet: run the other shards")
        show(f"next: harness predict {run.name} --split {split} --shard ...")
    elif directory is None:
        show(f"next: harness evaluate {run.name} --split {split}")
    else:
        write_and_validate(run, split, settings, root, edition, directory, frame_rate)


def _predict_video(run: Run, video: Path, out: str | None, clip: VideoSettings, postprocessing: Mapping[str, Any]) -> None:
    from tqdm import tqdm

    from harness import files
    from harness.faces.video_prediction import default_directory, predict_video

    directory = default_directory(run, video) if out is None else Path(out)
    files.refuse_unwritable(directory, folder=True)
    settings, frame_rate = make_postprocessing(postprocessing, run)
    with tqdm(unit="frame", desc="crop", disable=None) as bar:
        result = predict_video(run, video, directory, clip, settings, frame_rate, bar.update, say)
    for note in result.report.notes:
        say(f"{video}: {note}")
    if result.report.fault:
        say(f"warning: {video} is damaged ({result.report.fault}); its rows end at the last frame that decodes")
    for track in result.tracks:
        show(f"{track.track}: {track.rows} rows, {track.imputed} of them without a face and imputed")
        show(f"  {track.text}, {track.table}, {track.video}")
    show(f"next: watch {result.tracks[0].video}")
