"""From a clip to rows and an annotated video, with a trained tiny network and a detector whose answers are known."""

from __future__ import annotations

import csv
import io
import os
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from harness.challenge import AU, EXPR, MTL, VA, Challenge, challenge_named
from harness.data.scan import scan
from harness.data.videos import Decoder
from harness.demo.drawn import write_drawn_root
from harness.errors import DataError
from harness.faces import detectors
from harness.faces.annotated_video import Annotation, read_boxes, write_annotated_video
from harness.faces.dlib_detector import LANDMARK_MODEL
from harness.faces.picture import Picture
from harness.faces.video_prediction import VideoResult, VideoSettings, default_directory, predict_video
from harness.inference.predict import predict
from harness.inference.score import ImageScorer
from harness.inference.settings import Scoring
from harness.kinds.parts import parts_of
from harness.postprocess.chain import PostProcessing
from harness.postprocess.fill import fill
from harness.recipes import recipe as recipes
from harness.runs import scores
from harness.runs.store import Run, every
from harness.training.start import train
from models.classifier import Classifier
from tests.faces import BLUE, HEIGHT, RED, WIDTH, ColourDetector, frame_with, with_matrix, write_video

SETTINGS = VideoSettings(smallest_face=0.2, scoring=Scoring(batch=16))
UNSMOOTHED = PostProcessing(seconds=0)


@pytest.fixture(autouse=True)
def colours(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_data" not in request.fixturenames:
        monkeypatch.setattr(detectors, "create", lambda name, model=None: ColourDetector())


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    shutil.copytree(trained / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return Run(Path("runs/a"))


def clip(path: Path, pattern: str, **options: Any) -> Path:
    """A video with a face that moves in each frame of `pattern` that is an x."""
    frames = [frame_with([(RED, 20 + 2 * k, 32)] if mark == "x" else []) for k, mark in enumerate(pattern)]
    return write_video(path, frames, **options)


def predicted(
    run: Run, video: Path, settings: VideoSettings = SETTINGS, postprocessing: PostProcessing = UNSMOOTHED
) -> VideoResult:
    return predict_video(run, video, default_directory(run, video), settings, postprocessing)


def table_of(result: VideoResult, track: int = 0) -> tuple[NDArray[np.float64], list[str], list[int]]:
    """Probabilities, class names and imputed marks of the rows, as the table has them."""
    rows = list(csv.DictReader(io.StringIO(result.tracks[track].table.read_text())))
    assert [int(row["frame"]) for row in rows] == list(range(1, len(rows) + 1))
    probabilities = np.array([[float(row[name]) for name in EXPR.class_names] for row in rows])
    return probabilities, [row["class"] for row in rows], [int(row["imputed"]) for row in rows]


def test_every_frame_has_a_row_and_a_gap_is_filled_as_in_a_submission(run: Run, tmp_path: Path) -> None:
    result = predicted(run, clip(tmp_path / "clip.mp4", "..xxx...xx."))
    (track,) = result.tracks
    lines = track.text.read_text().splitlines()
    assert (track.rows, track.imputed, lines[0], len(lines)) == (11, 6, EXPR.header, 12)
    probabilities, classes, imputed = table_of(result)
    assert imputed == [1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1] == track.is_imputed.astype(int).tolist()
    np.testing.assert_allclose(track.probabilities, probabilities, atol=1e-6)
    assert [result.columns[answer] for answer in track.answers] == classes
    stored = scores.read_track(Run(result.directory), "test", "clip")
    assert stored.frame.tolist() == [3, 4, 5, 9, 10]
    odds = np.exp(stored.score.astype(np.float64))
    expected, _ = fill(stored.frame, odds / odds.sum(axis=1, keepdims=True), 11, "linear", None)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert [EXPR.class_names[int(line)] for line in lines[1:]] == classes
    assert classes == [EXPR.class_names[k] for k in expected.argmax(axis=1)]


def test_the_scores_are_those_of_the_same_crops_in_a_data_root(run: Run, tmp_path: Path) -> None:
    result = predicted(run, clip(tmp_path / "clip.mp4", "xx.xxx"))
    root = scan(result.directory / "crops", use_cache=False)
    predict(run, root, "test", Scoring(batch=16), print)
    one, other = scores.read_track(run, "test", "clip"), scores.read_track(Run(result.directory), "test", "clip")
    np.testing.assert_array_equal(one.score, other.score)


def test_the_runs_own_scores_stay_as_they_were_and_no_run_is_added(run: Run, tmp_path: Path) -> None:
    def own() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted((run.path / "scores").rglob("*")) if path.is_file()}

    before = own()
    predicted(run, clip(tmp_path / "clip.mp4", "xxx"))
    assert own() == before
    assert [known.name for known in every()] == ["a"]


def test_a_clip_without_any_face_gets_the_class_shares_of_the_run_in_every_row(run: Run, tmp_path: Path) -> None:
    result = predicted(run, clip(tmp_path / "clip.mp4", "....."))
    (track,) = result.tracks
    assert (track.rows, track.imputed) == (5, 5)
    probabilities, _, _ = table_of(result)
    prior = np.array(run.manifest.get("prior") or np.array(EXPR.training_frames) / sum(EXPR.training_frames))
    np.testing.assert_allclose(probabilities, np.tile(prior, (5, 1)), atol=1e-6)


def test_what_is_there_is_used_again(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = clip(tmp_path / "clip.mp4", "xx.")
    first = predicted(run, video)
    before = {path.name: path.read_bytes() for path in first.directory.iterdir() if path.is_file()}
    monkeypatch.setattr(Classifier, "forward", None)
    monkeypatch.setattr(ColourDetector, "detect", None)
    again = predicted(run, video)
    assert (again.directory, again.report, again.columns) == (first.directory, first.report, first.columns)
    for found, expected in zip(again.tracks, first.tracks, strict=True):
        np.testing.assert_array_equal(found.probabilities, expected.probabilities)
        np.testing.assert_array_equal(found.answers, expected.answers)
    assert {path.name: path.read_bytes() for path in again.directory.iterdir() if path.is_file()} == before


def test_a_crop_that_changed_without_a_trace_is_scored_again(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageScorer, "stamp", lambda self, track: "as it was")
    video = clip(tmp_path / "clip.mp4", "xxx")
    first = predicted(run, video)
    before, _, _ = table_of(first)
    crop = first.directory / "crops/cropped_aligned/clip/00001.jpg"
    status = crop.stat()
    other = io.BytesIO()
    Image.new("RGB", (112, 112), "blue").save(other, "JPEG", quality=20)
    with open(crop, "r+b") as handle:
        handle.write(other.getvalue().ljust(status.st_size, b"\0"))
    os.utime(crop, ns=(status.st_atime_ns, status.st_mtime_ns))
    after, _, _ = table_of(predicted(run, video))
    assert [bool((after[row] != before[row]).any()) for row in range(3)] == [True, False, False]


def test_other_persons_take_the_place_of_the_first(run: Run, tmp_path: Path) -> None:
    frames = [frame_with([(RED, 20, 32), (BLUE, 100, 32)]) for _ in range(4)]
    video = write_video(tmp_path / "clip.mp4", frames)
    predicted(run, video)
    result = predicted(run, video, VideoSettings(persons=("left", "right"), smallest_face=0.2, scoring=Scoring(batch=16)))
    assert [(track.track, track.rows, track.imputed) for track in result.tracks] == [("clip_left", 4, 0), ("clip_right", 4, 0)]


def pictures_of(path: Path) -> tuple[list[NDArray[np.uint8]], list[float | None]]:
    frames = list(Decoder(path))
    return [Picture(frame).rgb for frame in frames], [frame.time for frame in frames]


def test_the_annotated_video_has_every_frame_at_its_time_and_a_box_where_the_face_is(run: Run, tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.3, 0.34, 0.9, 1.0]
    frames = [frame_with([(RED, 240, 80)] if mark == "x" else [], 320, 192) for mark in "xx..xx"]
    video = write_video(tmp_path / "clip.mkv", frames, times=times)
    result = predicted(run, video, VideoSettings(smallest_face=0.1, scoring=Scoring(batch=16)))
    pictures, shown = pictures_of(result.tracks[0].video)
    assert shown == pytest.approx(times, abs=1e-3)
    plain, _ = pictures_of(video)
    # Right of the panel with the probabilities only the box can differ from the clip.
    changed = [bool(np.abs(new.astype(int) - old)[:, 200:].max() > 60) for new, old in zip(pictures, plain, strict=True)]
    assert changed == [True, True, False, False, True, True]


def test_a_large_video_is_drawn_smaller_with_even_sides(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", [np.zeros((722, 1602, 3), np.uint8)] * 2)
    annotation = Annotation(
        parts_of(EXPR), np.full((2, 8), 0.125), np.zeros(2, np.int8), np.array([True, False]), {2: (1500, 600, 1600, 700)}
    )
    write_annotated_video(video, tmp_path / "out.mp4", annotation)
    pictures, _ = pictures_of(tmp_path / "out.mp4")
    assert [picture.shape for picture in pictures] == [(576, 1280, 3)] * 2
    # The box of the second frame, in proportion: about 1198..1278 by 479..559.
    assert pictures[1][500:540, 1195:1202].max() > 120
    assert pictures[0][500:540, 1195:1202].max() < 40


def one_row(challenge: Challenge, scores: list[float]) -> Annotation:
    """An annotation of one frame, whose answers are decoded from the scores."""
    parts = parts_of(challenge)
    return Annotation(parts, np.array([scores]), parts.answers(np.array([scores])), np.zeros(1, bool), {})


def test_values_are_bars_to_both_sides_and_units_are_lit_where_they_are_active() -> None:
    values = one_row(VA, [0.5, -0.25])
    assert values.answer_in_words(1) == "V +0.50, A -0.25"
    assert [(bar.name, bar.start, bar.end) for bar in values.bars(1)] == [("valence", 0.5, 0.75), ("arousal", 0.5, 0.375)]
    units = one_row(AU, [0.9, 0.1, 0.6, *[0.2] * 9])
    assert units.answer_in_words(1) == "AU1 AU4"
    assert [bar.answered for bar in units.bars(1)] == [True, False, True, *[False] * 9]
    assert one_row(AU, [0.1] * 12).answer_in_words(1) == "no unit"
    happiness = [0.0] * 4 + [1.0] + [0.0] * 3
    whole = one_row(MTL, [0.5, -0.25, *happiness, 0.9, *[0.1] * 11])
    assert whole.answer_in_words(1) == "V +0.50, A -0.25, Happiness, 1 units"
    assert [bar.name for bar in whole.bars(1) if bar.answered] == ["valence", "arousal", "Happiness", "AU1"]


@pytest.mark.parametrize("challenge", [VA, AU, MTL], ids=lambda challenge: challenge.name)
def test_every_bar_of_every_challenge_is_drawn_inside_the_picture(tmp_path: Path, challenge: Challenge) -> None:
    columns = len(parts_of(challenge).columns)
    video = write_video(tmp_path / "clip.mp4", [np.full((480, 640, 3), 60, np.uint8)])
    drawn = []
    for score in (0.0, 0.9):
        write_annotated_video(video, tmp_path / f"{score}.mp4", one_row(challenge, [score] * columns))
        drawn.append(pictures_of(tmp_path / f"{score}.mp4")[0][0].astype(int))
    changed = (np.abs(drawn[1] - drawn[0]).max(axis=2) > 60)[:, :300].any(axis=1)
    # Bars are separate rows; below the last of them is nothing, so none was cut off. The title changes as well.
    bands = int((np.diff(np.concatenate([[False], changed, [False]]).astype(int)) == 1).sum())
    assert bands >= columns
    assert not changed[470:].any()


@pytest.mark.parametrize("name", ["VA", "AU", "MTL"])
def test_a_clip_is_predicted_by_a_network_of_another_challenge(
    tmp_path: Path, name: str, tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    challenge = challenge_named(name)
    root = scan(write_drawn_root(tmp_path / "root", tracks=(1, 1, 1), rows=12, other_challenges=True), challenge=challenge)
    recipe = recipes.load("res18", {**tiny, "challenge": name, "iterations": "1", "evaluate_every": "1", "balance": "none"})
    train(recipe, root, Path("runs/a"), fresh=False, workers=0, from_scratch=True, say=lambda line: None)
    result = predicted(Run(Path("runs/a")), clip(tmp_path / "clip.mp4", "x.xx"))
    rows = list(csv.DictReader(io.StringIO(result.tracks[0].table.read_text())))
    lines = result.tracks[0].text.read_text().splitlines()
    assert lines[0] == challenge.header
    assert len(lines) == 1 + len(rows) == 5
    assert [row["imputed"] for row in rows] == ["0", "1", "0", "0"]
    for line, row in zip(lines[1:], rows, strict=True):
        for field, text in zip(challenge.fields, line.split(","), strict=True):
            if field.name == "expression":
                assert EXPR.class_names[int(text)] == row["class"]
            else:
                assert float(row[f"answer {field.name}"]) == pytest.approx(float(text), abs=1e-6)
    assert len(pictures_of(result.tracks[0].video)[0]) == 4


def test_the_same_annotation_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    video = clip(tmp_path / "clip.mp4", "xx.")
    first = predicted(run, video).tracks[0].video.read_bytes()
    result = predict_video(run, video, tmp_path / "elsewhere", SETTINGS, UNSMOOTHED)
    assert result.tracks[0].video.read_bytes() == first


@pytest.mark.parametrize("frames", [2, 4])
def test_a_video_of_other_frames_than_rows_is_refused(tmp_path: Path, frames: int) -> None:
    video = write_video(tmp_path / "clip.mp4", [frame_with([])] * frames)
    annotation = Annotation(parts_of(EXPR), np.full((3, 8), 0.125), np.zeros(3, np.int8), np.ones(3, bool), {})
    with pytest.raises(DataError, match="changed"):
        write_annotated_video(video, tmp_path / "out.mp4", annotation)
    assert not (tmp_path / "out.mp4").exists()


def test_a_damaged_table_of_boxes_is_named(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("frame,left\n1,x\n")
    with pytest.raises(DataError, match="not a table of boxes"):
        read_boxes(tmp_path / "boxes.csv")


def test_a_clip_that_cannot_be_read_is_an_error_and_leaves_no_rows(run: Run, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(DataError, match="no frame of this video decodes"):
        predicted(run, tmp_path / "clip.mp4")
    assert not list(default_directory(run, tmp_path / "clip.mp4").glob("*.txt"))


def test_the_verb_predicts_a_clip(run: Run, tmp_path: Path) -> None:
    from harness.commands.predict import command

    # Faces of a third of the picture, which the verb's default finds.
    frames = [np.kron(frame_with([(RED, 60, 32)])[::2, ::2], np.ones((2, 2, 1), np.uint8)) for _ in range(4)]
    assert frames[0].shape == (HEIGHT, WIDTH, 3)
    video = with_matrix(write_video(tmp_path / "clip.mp4", frames, aspect=Fraction(3, 2)), -1, 0, 0, 1)
    result = CliRunner().invoke(command, ["a", "--video", str(video)], catch_exceptions=False)
    assert result.exit_code == 0
    assert f"{video}: frames are shown mirrored left to right\n" in result.output
    pictures, _ = pictures_of(Path("runs/a/videos/clip/clip.mp4"))
    assert pictures[0].shape == (HEIGHT, WIDTH * 3 // 2, 3)
    assert "clip: 4 rows, 0 of them imputed because no face was seen" in result.output
    assert result.output.strip().splitlines()[-1] == "next: watch runs/a/videos/clip/clip.mp4"
    assert Path("runs/a/videos/clip/clip.txt").read_text().count("\n") == 5


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "rows", "imputed"),
    [
        ("single_face.mp4", 72, set()),
        pytest.param("noface_face.mov", 169, {*range(1, 97), 169}, marks=pytest.mark.slow),
        pytest.param("no_face.mp4", 95, set(range(1, 96)), marks=pytest.mark.slow),
    ],
)
def test_real_clips_have_a_row_for_every_frame(run: Run, real_data: Path, name: str, rows: int, imputed: set[int]) -> None:
    if not LANDMARK_MODEL.is_file():
        if os.environ.get("CI") == "true":
            pytest.fail("libdlib-data must be installed on CI")
        pytest.skip("libdlib-data is not installed")
    result = predicted(run, real_data / "clips" / name, VideoSettings(smallest_face=0.25), PostProcessing())
    _, _, marks = table_of(result)
    assert len(marks) == rows
    assert {frame for frame, mark in enumerate(marks, 1) if mark} == imputed
    assert len(pictures_of(result.tracks[0].video)[0]) == rows
