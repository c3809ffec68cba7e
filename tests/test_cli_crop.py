"""`harness crop` on the command line: what it prints, its exit codes, and the five real clips."""

from __future__ import annotations

import csv
import json
import os
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from harness.data.scan import scan
from harness.data.videos import Decoder
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_USAGE, HarnessError
from harness.faces import detectors
from harness.faces.dlib_detector import LANDMARK_MODEL
from harness.faces.picture import Picture
from harness.files import is_track_name
from tests.faces import RED, ColourDetector, frame_with, with_matrix, write_video


def run(*arguments: str | Path) -> tuple[int, str]:
    """The exit code and the whole output of the verb."""
    from harness.commands.crop import command

    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if isinstance(result.exception, HarnessError):
        return result.exception.exit_code, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detectors, "create", lambda name, model=None: ColourDetector())


@pytest.fixture
def dlib_model() -> None:
    if not LANDMARK_MODEL.is_file():
        if os.environ.get("CI") == "true":
            pytest.fail("libdlib-data must be installed on CI")
        pytest.skip("libdlib-data is not installed")


def clip(path: Path, pattern: str) -> Path:
    """A video with a face in each frame of `pattern` that is an x."""
    return write_video(path, [frame_with([(RED, 20, 32)] if mark == "x" else []) for mark in pattern])


def test_it_prints_rows_and_gaps_and_what_to_do_next(tmp_path: Path, colours: None) -> None:
    video = clip(tmp_path / "clip.mp4", ".xx..x")
    code, output = run(video, "--out", tmp_path / "out", "--smallest-face", "0.2")
    assert code == EXIT_DONE
    assert "clip: 6 frames at 25/s, 3 with a face; without: 1, 4-5" in output
    assert output.strip().splitlines()[-1] == f"next: harness predict RUN --split test --data {tmp_path / 'out'}"
    code, output = run(video, "--out", tmp_path / "out", "--smallest-face", "0.2")
    assert "(kept)" in output


def test_a_mirrored_film_of_wide_pixels_is_cropped_as_it_is_shown_and_that_is_said(tmp_path: Path, colours: None) -> None:
    stored = write_video(tmp_path / "clip.mp4", [frame_with([(RED, 20, 32)])] * 2, aspect=Fraction(3, 2))
    code, output = run(with_matrix(stored, -1, 0, 0, 1), "--out", tmp_path / "out", "--smallest-face", "0.2")
    assert code == EXIT_DONE
    assert "  clip.mp4: frames are shown mirrored left to right\n" in output
    assert "  clip.mp4: pixels are 3:2 as wide as high; frames are shown wider than stored\n" in output
    with open(tmp_path / "out/crop_reports/clip.csv", newline="") as table:
        box = next(csv.DictReader(table))
    # 20 to 52 of 160 from the left is 108 to 140 when it is mirrored, and half as much again when it is widened.
    edges = [float(box[edge]) for edge in ("left", "top", "right", "bottom")]
    assert edges == pytest.approx([162, 32, 210, 64], abs=3)
    report = json.loads((tmp_path / "out/crop_reports/clip.json").read_text())
    assert (report["width"], report["height"]) == (240, 96)
    assert run(stored, "--out", tmp_path / "out", "--smallest-face", "0.2")[1].count("shown mirrored") == 1


def test_a_name_that_no_answer_can_hold_is_refused_first_and_has_a_way_out(tmp_path: Path, colours: None) -> None:
    for name in ("it's me, at home.mp4", "My clip (1).mp4", "Größe.mp4"):
        clip(tmp_path / "videos" / name, "xx")
    arguments = (tmp_path / "videos", "--out", tmp_path / "out", "--smallest-face", "0.2", "--workers", "1")
    code, output = run(*arguments)
    assert (code, (tmp_path / "out").exists()) == (EXIT_USAGE, False)
    assert "it's me, at home.mp4" in output
    assert "'it_s me_ at home' with --rename" in output
    code, output = run(*arguments, "--rename")
    assert code == EXIT_DONE
    assert "  it's me, at home.mp4: called it_s me_ at home, a name that an answer can hold\n" in output
    assert output.count("called") == 1
    names = [track.name for track in scan(tmp_path / "out").tracks]
    assert names == ["Größe", "My clip (1)", "it_s me_ at home"]
    assert all(map(is_track_name, names))
    assert run(*arguments, "--rename")[1].count("(kept)") == 3


def test_two_videos_that_renaming_makes_one_are_refused(tmp_path: Path, colours: None) -> None:
    for name in ("a,b.mp4", "a_b.mp4"):
        clip(tmp_path / "videos" / name, "x")
    code, output = run(tmp_path / "videos", "--out", tmp_path / "out", "--rename")
    assert (code, "two videos would be the track 'a_b'" in output) == (EXIT_USAGE, True)


def test_a_video_without_a_face_is_warned_of(tmp_path: Path, colours: None) -> None:
    code, output = run(clip(tmp_path / "clip.mp4", "...."), "--out", tmp_path / "out", "--smallest-face", "0.2")
    assert code == EXIT_DONE
    assert "no face at all" in output
    assert list((tmp_path / "out/cropped_aligned/clip").iterdir()) == []


def test_json_has_the_reports_and_what_failed(tmp_path: Path, colours: None) -> None:
    clip(tmp_path / "videos/good.mp4", "xx.")
    (tmp_path / "videos/bad.mp4").write_bytes(b"")
    code, output = run(tmp_path / "videos", "--out", tmp_path / "out", "--smallest-face", "0.2", "--workers", "1", "--json")
    value: dict[str, Any] = json.loads(output[output.index("{\n") :])
    assert code == EXIT_DATA
    assert value["recordings"]["good"]["tracks"][0]["gaps"] == [[3, 3]]
    assert list(value["failed"]) == ["bad"]


def test_wrong_use_ends_with_the_code_for_it(tmp_path: Path, colours: None) -> None:
    video = clip(tmp_path / "clip.mp4", "x")
    out = ("--out", tmp_path / "out")
    assert run()[0] == EXIT_USAGE
    assert run(video, *out, "--size", "96")[0] == EXIT_USAGE
    assert run(video, *out, "--person", "tallest")[0] == EXIT_USAGE
    assert run(video, *out, "--smallest-face", "7")[0] == EXIT_USAGE
    assert run(tmp_path / "nowhere.mp4", *out)[0] == EXIT_DATA
    assert not (tmp_path / "out").exists()


def test_an_unknown_detector_is_refused(tmp_path: Path) -> None:
    code, output = run(clip(tmp_path / "clip.mp4", "x"), "--detector", "dlip", "--out", tmp_path / "out")
    assert code == EXIT_USAGE
    assert "did you mean 'dlib'" in output


def test_several_processes_write_what_one_does(tmp_path: Path, dlib_model: None) -> None:
    for name in "abc":
        clip(tmp_path / f"videos/{name}.mp4", "...")
    (tmp_path / "videos/bad.mp4").write_bytes(b"")
    written = []
    for workers in ("1", "2"):
        out = tmp_path / workers
        code, _ = run(tmp_path / "videos", "--out", out, "--workers", workers, "--smallest-face", "0.25")
        assert code == EXIT_DATA
        written.append({str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.*") if path.name != ".crop.lock"})
    assert written[0] == written[1]
    assert "crop_reports/c.jpg" in written[0]


# Frames with a face, as a person sees them (the clips' README).
REAL = {
    "single_face.mp4": (72, range(1, 73)),
    "face_noface.mov": (169, range(1, 73)),
    "noface_face.mov": (169, range(97, 169)),
    "no_face.mp4": (95, range(0)),
    "WolfgangLanger_Pexels.mp4": (472, range(1, 473)),
}


def check_real(out: Path, names: list[str]) -> None:
    tracks = {track.name: track for track in scan(out).tracks}
    assert sorted(tracks) == sorted(Path(name).stem for name in names)
    for name in names:
        rows, seen = REAL[name]
        track = tracks[Path(name).stem]
        assert (track.rows, track.frames.tolist()) == (rows, list(seen)), name


@pytest.mark.realdata
def test_real_faces_are_found_only_where_they_are(tmp_path: Path, real_data: Path, dlib_model: None) -> None:
    names = ["single_face.mp4", "face_noface.mov", "noface_face.mov", "no_face.mp4"]
    # The faces are a quarter of the picture: the coarse look finds them all, and takes an eighth of the time.
    code, output = run(*[real_data / "clips" / name for name in names], "--out", tmp_path, "--smallest-face", "0.25")
    assert code == EXIT_DONE
    check_real(tmp_path, names)
    assert "no_face.mp4: the container declares 98 frames, 95 decode" in output


@pytest.mark.slow
@pytest.mark.realdata
def test_all_real_clips_as_everybody_crops_them(tmp_path: Path, real_data: Path, dlib_model: None) -> None:
    code, _ = run(real_data / "clips", "--out", tmp_path)
    assert code == EXIT_DONE
    check_real(tmp_path, list(REAL))


@pytest.mark.slow
@pytest.mark.realdata
def test_a_lone_person_is_kept_and_is_on_one_side(tmp_path: Path, real_data: Path, dlib_model: None) -> None:
    video = real_data / "clips/single_face.mp4"
    code, _ = run(video, "--out", tmp_path, "--person", "left", "--person", "right", "--person", "kept", "--size", "224")
    assert code == EXIT_DONE
    seen = {track.name: len(track.frames) for track in scan(tmp_path).tracks}
    assert seen["single_face"] == 72
    assert sorted([seen["single_face_left"], seen["single_face_right"]]) == [0, 72]


@pytest.mark.realdata
def test_two_real_people_beside_each_other_are_told_apart(tmp_path: Path, real_data: Path, dlib_model: None) -> None:
    alone = {}
    for side, name in (("left", "single_face.mp4"), ("right", "WolfgangLanger_Pexels.mp4")):
        frames = islice(Decoder(real_data / "clips" / name), 12)
        alone[side] = [Picture(frame).rgb for frame in frames]
        write_video(tmp_path / f"{side}_alone.mp4", alone[side])
    both = [np.hstack(pair) for pair in zip(alone["left"], alone["right"], strict=True)]
    both[5][:, 640:] = 0  # the right person is gone
    together = write_video(tmp_path / "both.mp4", both)
    out = tmp_path / "out"
    singles = [tmp_path / f"{side}_alone.mp4" for side in alone]
    assert run(*singles, "--out", tmp_path / "singles")[0] == EXIT_DONE
    assert run(together, "--out", out, "--person", "left", "--person", "right", "--smallest-face", "0.1")[0] == EXIT_DONE
    seen = {track.name: track.frames.tolist() for track in scan(out).tracks}
    assert seen == {"both_left": list(range(1, 13)), "both_right": [frame for frame in range(1, 13) if frame != 6]}
    for side in alone:
        for frame in (1, 5, 12):
            name = f"{frame:05d}.jpg"
            one = np.asarray(Image.open(out / "cropped_aligned" / f"both_{side}" / name)).astype(int)
            other = np.asarray(Image.open(tmp_path / "singles/cropped_aligned" / f"{side}_alone" / name)).astype(int)
            # Boxes found at another size move the landmarks a little; another person would differ by 40 and more.
            assert np.abs(one - other).mean() < 15
