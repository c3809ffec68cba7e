"""`harness crop`: face crops from recordings."""

from __future__ import annotations

import os
from pathlib import Path

import click

from harness.commands.shared.options import MOST_WORKERS, say
from harness.errors import EXIT_DATA, HarnessError, first_of
from harness.faces.batch import CropProgress, CropSummary, crop_videos
from harness.faces.detectors import BACK_ENDS, DEFAULT_SMALLEST
from harness.faces.detectors import DEFAULT as DEFAULT_BACK_END
from harness.faces.persons import DEFAULT as DEFAULT_PERSON
from harness.faces.persons import PERSONS
from harness.faces.report import REPORTS, SIZES, CropSettings, RecordingReport
from harness.streams import show, show_json
from harness.words import counted

MOST_GAPS = 6


@click.command("crop")
@click.argument("videos", metavar="VIDEO...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("data/crops"), show_default=True, help="Data root to write.")
@click.option(
    "--size",
    type=click.Choice([str(size) for size in SIZES]),
    default=str(SIZES[0]),
    show_default=True,
    help="Side of the crops in pixels.",
)
@click.option(
    "--person",
    "persons",
    multiple=True,
    default=(DEFAULT_PERSON,),
    show_default=True,
    help="Whom to follow, one track for each: " + "; ".join(f"{name}: {what}" for name, what in PERSONS.items()) + ".",
)
@click.option(
    "--detector",
    default=DEFAULT_BACK_END,
    show_default=True,
    help="; ".join(f"{name}: {what}" for name, (_, what) in BACK_ENDS.items()) + ".",
)
@click.option("--face-model", type=click.Path(path_type=Path), default=None, help="Model file of the detector.")
@click.option(
    "--smallest-face",
    type=float,
    default=DEFAULT_SMALLEST,
    show_default=True,
    help="Width of the smallest face to find, as a share of the picture's longest side; half of it takes four times as long.",
)
@click.option(
    "--workers", type=click.IntRange(min=1, max=MOST_WORKERS), default=None, help="Processes, one video each. [default: by cores]"
)
@click.option("--rename", is_flag=True, help="Rename tracks whose video has a name that no answer can hold.")
@click.option("--fresh", is_flag=True, help="Replace the crops of an earlier call.")
@click.option("--json", "as_json", is_flag=True, help="Print the reports as JSON.")
def command(
    videos: tuple[Path, ...],
    out: Path,
    size: str,
    persons: tuple[str, ...],
    detector: str,
    face_model: Path | None,
    smallest_face: float,
    workers: int | None,
    rename: bool,
    fresh: bool,
    as_json: bool,
) -> None:
    """Make aligned face crops from videos, or from all videos in folders, in the layout of Aff-Wild2.

    Every frame is decoded and counted; one without a face is a gap. Finished recordings are kept when the command is run again.
    Below the folder: cropped_aligned/TRACK/00001.jpg, frame_rates.csv, and in crop_reports a contact sheet, the boxes and a
    report of each.

    \b
    Example:
      harness crop my_clip.mp4 --out data/crops
    """
    summary = _run(videos, out, CropSettings(int(size), persons, smallest_face), detector, face_model, workers, rename, fresh)
    if as_json:
        from harness.files import json_text

        reports = {name: report.as_dict() for name, report in sorted({**summary.kept, **summary.made}.items())}
        failed = {name: str(error) for name, error in sorted(summary.failed.items())}
        show_json(json_text({"recordings": reports, "failed": failed}))
    else:
        _print(summary, out)
    if summary.failed:
        raise SystemExit(EXIT_DATA)


def _run(
    videos: tuple[Path, ...],
    out: Path,
    settings: CropSettings,
    detector: str,
    model: Path | None,
    workers: int | None,
    rename: bool,
    fresh: bool,
) -> CropSummary:
    from harness import files
    from harness.progress import TaskProgress

    files.refuse_unwritable(out, folder=True)
    with TaskProgress("crop", unit="frame") as bar:

        def done(result: RecordingReport | HarnessError) -> None:
            say(f"{result.recording}: done" if isinstance(result, RecordingReport) else str(result))

        return crop_videos(
            videos,
            out,
            settings,
            detector,
            model,
            workers=workers or len(os.sched_getaffinity(0)),
            fresh=fresh,
            rename=rename,
            progress=CropProgress(bar.update, done),
        )


def _print(summary: CropSummary, out: Path) -> None:
    for name, report in sorted({**summary.kept, **summary.made}.items()):
        for line in _lines(report, kept=name in summary.kept):
            show(line)
    if summary.failed:
        show(f"could not be cropped ({len(summary.failed)}): {', '.join(sorted(summary.failed))}")
    if summary.kept or summary.made:
        show(f"look at: {out / REPORTS}/*.jpg")
        show(f"next: harness predict RUN --split test --data {out}")


def _lines(report: RecordingReport, kept: bool) -> list[str]:
    """What there is to say about a recording: a line per track, and what is odd about the file."""
    rate = "unknown" if report.fps is None else f"{report.fps:g}"
    lines = []
    for track in report.tracks:
        gaps = [f"{first}-{last}" if last > first else str(first) for first, last in track.gaps]
        missing = f"; without: {first_of(gaps, MOST_GAPS)}" if gaps else ""
        state = " (kept)" if kept else ""
        lines.append(f"{track.track}: {counted(track.rows, 'frame')} at {rate}/s, {track.seen:,} with a face{missing}{state}")
        if not track.seen:
            lines.append("  no face at all: look at the video, or try a smaller --smallest-face")
    if report.declared and report.declared != report.frames:
        lines.append(f"  {report.video}: the container declares {report.declared} frames, {report.frames} decode")
    if report.recording != Path(report.video).stem:
        lines.append(f"  {report.video}: called {report.recording}, a name that an answer can hold")
    lines += [f"  {report.video}: {note}" for note in report.notes]
    if report.fault:
        lines.append(f"  warning: {report.video} is damaged ({report.fault}); its rows end at the last frame that decodes")
    if report.fps is None:
        lines.append(f"  warning: {report.video} has no frame rate, so frame_rates.csv has no line for it")
    return lines
