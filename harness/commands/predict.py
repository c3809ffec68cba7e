"""`harness predict`: scores, post-processing, validated submission; from stored scores it needs no network."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.shared import completion
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
from harness.commands.shared.sections import RareOption, Verb
from harness.streams import show
from harness.words import counted

if TYPE_CHECKING:
    from harness.faces.video_prediction import VideoSettings
    from harness.inference.settings import Scoring
    from harness.runs.store import Run


@click.command("predict", cls=Verb)
@click.argument("run_name", metavar="RUN", shell_complete=completion.runs)
@click.option("--split", default="test", show_default=True, help="train, val, test, or oof of a cross-validation.")
@data_option
@click.option(
    "--sample",
    type=click.Path(),
    default=None,
    help="Official sample file of the test split. [default: found below the data root]",
)
@click.option("--from-scores", is_flag=True, help="Decode and write stored scores again; no network, no images.")
@scoring_options
@postprocessing_options
@edition_option
@click.option("--out", type=click.Path(), default=None, help="Folder of the submission. [default: submissions/RUN, or RUN-SPLIT]")
@click.option("--video", type=click.Path(path_type=Path), default=None, help="Predict this clip instead of a split.")
@click.option(
    "--person",
    "persons",
    cls=RareOption,
    multiple=True,
    help="With --video: whom to follow, see `harness crop`. [default: largest]",
)
@click.option(
    "--detector", cls=RareOption, default=None, help="With --video: what finds faces, see `harness crop`. [default: dlib]"
)
@click.option(
    "--face-model",
    cls=RareOption,
    type=click.Path(path_type=Path),
    default=None,
    help="With --video: model file of the detector.",
)
def command(
    run_name: str,
    split: str,
    data: str | None,
    sample: str | None,
    from_scores: bool,
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
    changed images are made anew. --from-scores decodes and writes stored scores of a split again, with other post-processing or
    for another edition. With --video a clip takes the place of a split: its faces are cropped, scored and drawn into it.

    \b
    Examples:
      harness predict res50-a --split test
      harness predict res50-a --from-scores --smooth 0.8 --kernel gaussian --out submissions/res50-a-gaussian
      harness predict res50-a --video my_clip.mp4
    """
    from harness.runs import store

    run = store.find(run_name)
    if from_scores:
        _refuse_scoring(scoring, video)
        _write_again(run, split, data, sample, edition, out, postprocessing)
        return
    asked = replace(scoring, workers=worker_count(scoring.workers))
    if video is None:
        _predict_split(run, split, data, sample, asked, edition, out, postprocessing)
        return

    from harness.faces.video_prediction import VideoSettings

    clip = VideoSettings(persons=persons or ("largest",), back_end=detector or "dlib", face_model=face_model, scoring=asked)
    _predict_video(run, video, out, clip, postprocessing)


def _refuse_scoring(scoring: Scoring, video: Path | None) -> None:
    """Raises UsageError for options that have no effect on scores that are stored already."""
    from harness.errors import UsageError
    from harness.inference.settings import Scoring

    if video is not None:
        raise UsageError("--from-scores writes the scores of a split again", found="--video", expected="one of the two")
    given = [name for name, value in vars(scoring).items() if value != getattr(Scoring(), name)]
    if given:
        found = ", ".join(f"--{name}" for name in given)
        raise UsageError(
            "--from-scores computes no scores, so these options have no effect", found=found, expected="none of them"
        )


def _write_again(
    run: Run,
    split: str,
    data: str | None,
    sample: str | None,
    edition: int | None,
    out: str | None,
    postprocessing: Mapping[str, Any],
) -> None:
    """Writes the submission of the stored scores of any split."""
    from harness.commands.shared.submitting import root_of, submission_folder, write_and_validate

    directory = submission_folder(run.name, split, out)
    settings, frame_rate = make_postprocessing(postprocessing, run)
    write_and_validate(run, split, settings, root_of(run, data, sample), edition, directory, frame_rate)


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
    from harness.commands.shared.next_steps import after_scoring
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
        show(f"next: the same command for the other shards, --shard I/{scoring.shard.partition('/')[2]}")
    elif directory is None:
        show(f"next: {after_scoring(run, split, root, data)}")
    else:
        write_and_validate(run, split, settings, root, edition, directory, frame_rate)


def _predict_video(run: Run, video: Path, out: str | None, clip: VideoSettings, postprocessing: Mapping[str, Any]) -> None:
    from harness import files
    from harness.faces.video_prediction import default_directory, predict_video
    from harness.progress import TaskProgress
    from harness.runs.store import adding

    directory = default_directory(run, video) if out is None else Path(out)
    files.refuse_unwritable(directory, folder=True)
    settings, frame_rate = make_postprocessing(postprocessing, run)
    within = contextlib.nullcontext() if out is not None else adding(run)  # by default it lies in the run's own folder
    with within, TaskProgress("crop", unit="frame") as bar:
        result = predict_video(run, video, directory, clip, settings, frame_rate, bar.update, say)
    for note in result.report.notes:
        say(f"{video}: {note}")
    if result.report.fault:
        say(f"warning: {video} is damaged ({result.report.fault}); its rows end at the last frame that decodes")
    for track in result.tracks:
        show(f"{track.track}: {counted(track.rows, 'row')}, {track.imputed:,} of them imputed because no face was seen")
        show(f"  {track.text}, {track.table}, {track.video}")
    show(f"next: watch {result.tracks[0].video}")
