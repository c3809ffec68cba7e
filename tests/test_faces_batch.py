"""Videos to crop folders with a detector whose answers are known: rows, gaps, persons, damage, resuming."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from harness import files
from harness.data.rates import read_frame_rates
from harness.data.scan import scan
from harness.errors import DataError, LockedError, MismatchError, UsageError
from harness.faces import detectors
from harness.faces.batch import CropProgress, CropSummary, crop_videos
from harness.faces.report import CropSettings, gaps
from tests.faces import BLUE, GRAY, GREEN, RED, ColourDetector, colour_of, frame_with, write_video
from tests.pipes import silent_pipe

LEFT, RIGHT = 20, 100
# Faces of 32 of 160 pixels, found at once.
SETTINGS = CropSettings(smallest_face=0.2)


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> ColourDetector:
    """Every back end is the one that finds coloured squares."""
    fake = ColourDetector()
    monkeypatch.setattr(detectors, "create", lambda name, model=None: fake)
    return fake


def film(path: Path, faces: Sequence[Sequence[tuple[Any, int]]], **options: Any) -> Path:
    """A video whose frames have squares of (colour, left)."""
    return write_video(path, [frame_with([(colour, left, 32) for colour, left in frame]) for frame in faces], **options)


def crop(videos: Path | list[Path], out: Path, settings: CropSettings = SETTINGS, **options: Any) -> CropSummary:
    return crop_videos([videos] if isinstance(videos, Path) else videos, out, settings, **options)


def frames_of(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.iterdir())


def crop_of(out: Path, track: str, frame: int) -> NDArray[np.uint8]:
    return np.asarray(Image.open(out / "cropped_aligned" / track / f"{frame:05d}.jpg"))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_frames_without_a_face_are_gaps_and_numbers_begin_at_one(tmp_path: Path) -> None:
    seen = {3, 4, 5, 9, 10}
    video = film(tmp_path / "clip.mp4", [[(RED, LEFT)] if frame in seen else [] for frame in range(1, 13)])
    summary = crop(video, tmp_path / "out")
    assert frames_of(tmp_path / "out/cropped_aligned/clip") == sorted(seen)
    report = summary.made["clip"]
    (track,) = report.tracks
    assert (report.frames, track.rows, track.seen, track.gaps) == (12, 12, 5, ((1, 2), (6, 8), (11, 12)))
    assert report.fps == 25
    assert crop_of(tmp_path / "out", "clip", 3).shape == (112, 112, 3)


def test_what_is_written_is_a_data_root_with_a_row_for_every_frame(tmp_path: Path) -> None:
    film(tmp_path / "videos/one.mp4", [[(RED, LEFT)]] * 7 + [[]] * 3)
    film(tmp_path / "videos/deep/none.avi", [[]] * 9, codec="mpeg4", rate=Fraction(10))
    crop(tmp_path / "videos", tmp_path / "out")
    tracks = {track.name: track for track in scan(tmp_path / "out").tracks}
    assert {name: (track.rows, len(track.frames), track.frame_rate) for name, track in tracks.items()} == {
        "one": (10, 7, 25.0),
        "none": (9, 0, 10.0),
    }


def test_the_crop_shows_the_face_at_its_place_in_either_size(tmp_path: Path) -> None:
    video = film(tmp_path / "clip.mp4", [[(RED, LEFT)]] * 3)
    for size in (112, 224):
        out = tmp_path / str(size)
        crop(video, out, CropSettings(size, smallest_face=0.2))
        pixels = crop_of(out, "clip", 2)
        assert pixels.shape == (size, size, 3)
        assert colour_of(np.asarray(Image.fromarray(pixels).resize((112, 112)))) == "red"
        # The square lies from 10 to 102 across the template; the picture around it is grey.
        assert np.abs(pixels[size // 2, 2].astype(int) - GRAY).max() < 40


def test_the_largest_face_is_taken_and_the_others_left_out(tmp_path: Path) -> None:
    frames = [frame_with([(RED, LEFT, 32), (GREEN, RIGHT, 32)]) for _ in range(4)]
    for pixels in frames:
        pixels[20:70, RIGHT : RIGHT + 50] = GREEN
    crop(write_video(tmp_path / "clip.mp4", frames), tmp_path / "out")
    assert colour_of(crop_of(tmp_path / "out", "clip", 1)) == "green"
    assert [path.name for path in (tmp_path / "out/cropped_aligned").iterdir()] == ["clip"]


def test_left_and_right_are_two_tracks_of_one_recording_with_the_same_rows(tmp_path: Path) -> None:
    both, left, right = [(RED, LEFT), (BLUE, RIGHT)], [(RED, LEFT)], [(BLUE, RIGHT)]
    video = film(tmp_path / "clip.mp4", [both, both, left, [], right, both])
    summary = crop(video, tmp_path / "out", CropSettings(persons=("left", "right"), smallest_face=0.2))
    assert frames_of(tmp_path / "out/cropped_aligned/clip_left") == [1, 2, 3, 6]
    assert frames_of(tmp_path / "out/cropped_aligned/clip_right") == [1, 2, 5, 6]
    assert {colour_of(crop_of(tmp_path / "out", "clip_left", frame)) for frame in (1, 2, 3, 6)} == {"red"}
    assert {colour_of(crop_of(tmp_path / "out", "clip_right", frame)) for frame in (1, 2, 5, 6)} == {"blue"}
    assert {track.rows for track in summary.made["clip"].tracks} == {6}
    tracks = scan(tmp_path / "out").tracks
    assert {(track.name, track.recording, track.frame_rate) for track in tracks} == {
        ("clip_left", "clip", 25.0),
        ("clip_right", "clip", 25.0),
    }


def test_kept_stays_with_one_person_where_largest_would_change(tmp_path: Path) -> None:
    frames = [frame_with([(RED, LEFT, 32)]) for _ in range(10)]
    for pixels in frames[4:6]:
        pixels[20:70, RIGHT : RIGHT + 50] = GREEN
    video = write_video(tmp_path / "clip.mp4", frames)
    crop(video, tmp_path / "kept", CropSettings(persons=("kept",), smallest_face=0.2))
    crop(video, tmp_path / "largest")
    assert {colour_of(crop_of(tmp_path / "kept", "clip", frame)) for frame in range(1, 11)} == {"red"}
    assert [colour_of(crop_of(tmp_path / "largest", "clip", frame)) for frame in (4, 5, 6, 7)] == ["red", "green", "green", "red"]


def test_frames_of_uneven_time_are_counted_and_timed(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.3, 0.34, 0.9, 1.0]
    video = film(tmp_path / "clip.mkv", [[(RED, LEFT)]] * 6, times=times)
    report = crop(video, tmp_path / "out").made["clip"]
    assert report.frames == 6
    assert report.fps == pytest.approx(5 / 1.0)
    table = list(csv.DictReader(io.StringIO((tmp_path / "out/crop_reports/clip.csv").read_text())))
    assert [float(row["seconds"]) for row in table] == pytest.approx(times)
    assert [int(row["frame"]) for row in table] == [1, 2, 3, 4, 5, 6]
    assert float(table[0]["left"]) == pytest.approx(LEFT - 0.5, abs=2)


def cut(path: Path, share: float = 0.6) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def noisy_film(path: Path, frames: int, **options: Any) -> Path:
    """A video too restless to compress, so that a cut takes frames away."""
    rng = np.random.default_rng(0)
    pictures = [frame_with([(RED, LEFT, 32)]) for _ in range(frames)]
    for pixels in pictures:
        pixels[:20] = rng.integers(0, 255, (20, pixels.shape[1], 3))
    return write_video(path, pictures, **options)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".mp4", {"options": {"movflags": "faststart"}}),
        (".mov", {"options": {"movflags": "frag_keyframe+empty_moov"}}),
        (".mkv", {}),
        (".avi", {"codec": "mpeg4"}),
    ],
)
def test_a_video_cut_off_gives_the_frames_that_decode_and_says_so(tmp_path: Path, suffix: str, options: dict[str, Any]) -> None:
    video = cut(noisy_film(tmp_path / f"clip{suffix}", 50, **options))
    report = crop(video, tmp_path / "out").made["clip"]
    assert 10 <= report.frames <= 40
    assert report.fault
    assert report.tracks[0].rows == report.frames
    assert len(frames_of(tmp_path / "out/cropped_aligned/clip")) == report.tracks[0].seen


def sound_only(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_videos_that_cannot_be_read_are_named_and_keep_no_other_from_being_made(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    film(videos / "good.mp4", [[(RED, LEFT)]] * 3)
    (videos / "empty.mp4").write_bytes(b"")
    (videos / "text.mp4").write_text("not a video\n" * 99)
    cut(noisy_film(videos / "no_index.mp4", 20))
    sound_only(videos / "sound.mov")
    (videos / "gone.mp4").symlink_to(tmp_path / "an unmounted disk" / "gone.mp4")
    with silent_pipe(videos / "pipe.mp4"):
        summary = crop(videos, tmp_path / "out")
    assert list(summary.made) == ["good"]
    assert sorted(summary.failed) == ["empty", "gone", "no_index", "pipe", "sound", "text"]
    assert "no video stream" in str(summary.failed["sound"])
    assert "a pipe or a device" in str(summary.failed["pipe"])
    for name in summary.failed:
        assert f"{name}." in str(summary.failed[name])
        assert not (tmp_path / "out/cropped_aligned" / name).exists()
    assert list(read_frame_rates(tmp_path / "out/frame_rates.csv").by_recording) == ["good"]


def test_what_is_done_is_kept_and_the_same_again_writes_the_same(tmp_path: Path, detector: ColourDetector) -> None:
    video = film(tmp_path / "clip.mp4", [[(RED, LEFT)]] * 5)
    crop(video, tmp_path / "out")
    before = snapshot(tmp_path / "out")
    asked = len(detector.sides)
    assert list(crop(video, tmp_path / "out").kept) == ["clip"]
    assert len(detector.sides) == asked
    assert list(crop(video, tmp_path / "out", fresh=True).made) == ["clip"]
    assert snapshot(tmp_path / "out") == before
    crop(video, tmp_path / "elsewhere")
    assert snapshot(tmp_path / "elsewhere") == before


@pytest.mark.parametrize("damage", ["image gone", "image cut", "sheet gone", "folder gone"])
def test_crops_that_are_not_whole_are_made_again(tmp_path: Path, damage: str) -> None:
    video = film(tmp_path / "clip.mp4", [[(RED, LEFT)]] * 5)
    out = tmp_path / "out"
    crop(video, out)
    before = snapshot(out)
    image = out / "cropped_aligned/clip/00002.jpg"
    if damage == "image gone":
        image.unlink()
    elif damage == "image cut":
        image.write_bytes(b"")
    elif damage == "sheet gone":
        (out / "crop_reports/clip.jpg").unlink()
    else:
        files.remove(out / "cropped_aligned/clip")
    assert list(crop(video, out).made) == ["clip"]
    assert snapshot(out) == before


def test_a_video_that_changed_is_made_again(tmp_path: Path) -> None:
    video = film(tmp_path / "clip.mp4", [[(RED, LEFT)]] * 5)
    crop(video, tmp_path / "out")
    film(video, [[(RED, LEFT)]] * 3)
    assert crop(video, tmp_path / "out").made["clip"].frames == 3
    assert frames_of(tmp_path / "out/cropped_aligned/clip") == [1, 2, 3]


def test_other_settings_are_refused_with_the_difference_and_fresh_replaces_all(tmp_path: Path) -> None:
    video = film(tmp_path / "clip.mp4", [[(RED, LEFT), (BLUE, RIGHT)]] * 3)
    crop(video, tmp_path / "out", CropSettings(persons=("left", "right"), smallest_face=0.2))
    other = CropSettings(224, smallest_face=0.2)
    with pytest.raises(MismatchError, match="size: 112 there, 224 now"):
        crop(video, tmp_path / "out", other)
    crop(video, tmp_path / "out", other, fresh=True)
    assert [path.name for path in (tmp_path / "out/cropped_aligned").iterdir()] == ["clip"]
    assert sorted(path.name for path in (tmp_path / "out/crop_reports").iterdir()) == ["clip.csv", "clip.jpg", "clip.json"]


def test_crops_from_elsewhere_are_never_replaced(tmp_path: Path) -> None:
    video = film(tmp_path / "clip.mp4", [[(RED, LEFT)]] * 3)
    official = tmp_path / "out/cropped_aligned/clip"
    official.mkdir(parents=True)
    (official / "00001.jpg").write_bytes(b"official")
    for fresh in (False, True):
        summary = crop(video, tmp_path / "out", fresh=fresh)
        assert "not made by" in str(summary.failed["clip"])
    assert (official / "00001.jpg").read_bytes() == b"official"


class KilledError(BaseException):
    """Stands for the end of the process: nothing handles it."""


@pytest.mark.parametrize("stage", ["directory-rename", "directory-sync", "rename", "directory-parent-sync"])
def test_wherever_it_dies_the_next_call_ends_with_the_same_files(tmp_path: Path, stage: str) -> None:
    video = film(tmp_path / "clip.mp4", [[(RED, LEFT), (BLUE, RIGHT)]] * 3)
    settings = CropSettings(persons=("left", "right"), smallest_face=0.2)
    crop(video, tmp_path / "whole", settings)
    out = tmp_path / "out"
    for death in range(1, 8):
        count = 0

        def die(name: str, death: int = death) -> None:
            nonlocal count
            count += name == stage
            if count == death:
                raise KilledError

        files.set_stage_hook(die)
        try:
            crop(video, out, settings, fresh=True)
        except KilledError:
            pass
        finally:
            files.set_stage_hook(None)
        for folder in (out / "cropped_aligned").glob("clip*"):
            assert frames_of(folder) == [1, 2, 3]
        crop(video, out, settings)
        assert {k: v for k, v in snapshot(out).items() if ".tmp" not in k} == snapshot(tmp_path / "whole")


def test_rates_of_other_recordings_stay_in_the_table(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/frame_rates.csv").write_text("recording,fps,frames\nclip,7.0,1\nother,12.5,70\n")
    crop(film(tmp_path / "clip.mp4", [[(RED, LEFT)]] * 3), tmp_path / "out")
    assert read_frame_rates(tmp_path / "out/frame_rates.csv").by_recording == {"clip": (25.0, 3), "other": (12.5, 70)}


def test_a_damaged_table_of_rates_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/frame_rates.csv").write_text("recording,fps,frames\nclip,fast,1\n")
    with pytest.raises(DataError, match=r"frame_rates.csv:2"):
        crop(film(tmp_path / "clip.mp4", [[(RED, LEFT)]] * 3), tmp_path / "out")
    assert "fast" in (tmp_path / "out/frame_rates.csv").read_text()


@pytest.mark.parametrize(
    ("names", "settings", "message"),
    [
        (["a/clip.mp4", "b/clip.avi"], SETTINGS, "two videos"),
        (["a/clip.mp4", "b/CLIP.mp4"], SETTINGS, "two videos"),
        (["a/clip.mp4", "a/clip_left.mp4"], CropSettings(persons=("largest", "left")), "two videos"),
        (["batch1.mp4"], SETTINGS, "folder of tracks"),
        (["cropped_aligned.mp4"], SETTINGS, "folder of tracks"),
        (["-rf.mp4"], SETTINGS, "file name"),
        (["clip.mp4"], CropSettings(size=96), "size"),
        (["clip.mp4"], CropSettings(persons=("tallest",)), "tallest"),
        (["clip.mp4"], CropSettings(persons=("left", "left")), "share a track name"),
        (["clip.mp4"], CropSettings(persons=("largest", "kept")), "share a track name"),
        (["clip.mp4"], CropSettings(smallest_face=0), "smallest face"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, names: list[str], settings: CropSettings, message: str
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match=message):
        crop([tmp_path / name for name in names], tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


def test_a_missing_video_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.mp4: no such video"):
        crop(tmp_path / "nowhere.mp4", tmp_path / "out")


def test_two_processes_do_not_write_the_same_folder(tmp_path: Path) -> None:
    video = film(tmp_path / "clip.mp4", [[(RED, LEFT)]] * 3)
    with files.lock(tmp_path / "out/.crop.lock", "x"), pytest.raises(LockedError):
        crop(video, tmp_path / "out")


def test_every_frame_and_every_recording_is_told(tmp_path: Path) -> None:
    film(tmp_path / "videos/a.mp4", [[(RED, LEFT)]] * 3)
    film(tmp_path / "videos/b.mp4", [[]] * 4)
    told: list[Any] = []
    crop(tmp_path / "videos", tmp_path / "out", progress=CropProgress(lambda: told.append("frame"), told.append))
    assert told.count("frame") == 7
    assert [report.recording for report in told if report != "frame"] == ["a", "b"]


def test_the_contact_sheet_shows_crops_where_a_face_was_found(tmp_path: Path) -> None:
    crop(film(tmp_path / "clip.mp4", [[(RED, LEFT)]] * 2 + [[]]), tmp_path / "out")
    sheet = np.asarray(Image.open(tmp_path / "out/crop_reports/clip.jpg")).astype(int)
    middle = slice(80, 120)
    cells = [sheet[middle, 112 * column + 40 : 112 * column + 72] for column in range(3)]
    assert [cell[..., 0].mean() - cell[..., 2].mean() > 60 for cell in cells] == [True, True, False]


@given(st.sets(st.integers(1, 40)), st.integers(0, 10))
def test_gaps_are_the_frames_that_are_missing(frames: set[int], more: int) -> None:
    rows = max(frames, default=0) + more
    found = gaps(np.array(sorted(frames), np.int32), rows)
    assert [frame for first, last in found for frame in range(first, last + 1)] == sorted(set(range(1, rows + 1)) - frames)
    assert all(later[0] > earlier[1] + 1 for earlier, later in pairwise(found))


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A file system on which no file may grow beyond some kilobytes."""
    import resource
    import signal

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_is_said_and_leaves_nothing_half_done(tmp_path: Path, small_disk: None) -> None:
    import resource

    video = film(tmp_path / "clip.mp4", [[(RED, LEFT)]] * 30)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    summary = crop(video, tmp_path / "out")
    assert "no room to write" in str(summary.failed["clip"])
    assert not (tmp_path / "out/cropped_aligned/clip").exists()
    assert not [name for name in os.listdir(tmp_path / "out") if name.endswith(".tmp")]
