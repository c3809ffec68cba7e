"""Decoding recordings: what their containers say, and what really decodes."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.doctor import Options, examine
from harness.data.places import folder_for
from harness.data.rates import read_frame_rates
from harness.data.videos import decode_recording, find_videos
from harness.errors import DataError
from tests.data_roots import EDITIONS, Made, age, make_root, write

av = pytest.importorskip("av")
from av.stream import Disposition  # noqa: E402


def make_video(
    path: Path, frames: int, rate: Fraction = Fraction(30), times: list[float] | None = None, codec: str = "mpeg4"
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for k in range(frames):
            pixels = np.full((48, 64, 3), (k * 7) % 255, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[k] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mov", ".mkv"])
@pytest.mark.parametrize("rate", [Fraction(30), Fraction(30000, 1001), Fraction(15, 2)])
def test_frames_and_rate_are_measured(tmp_path: Path, suffix: str, rate: Fraction) -> None:
    recording = decode_recording(make_video(tmp_path / f"a{suffix}", 25, rate))
    assert (recording.frames, recording.fault) == (25, "")
    # Matroska keeps time stamps in milliseconds.
    assert recording.fps == pytest.approx(float(rate), rel=1e-2 if suffix == ".mkv" else 1e-5)


def test_the_rate_of_uneven_frames_is_the_mean_over_their_time(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.5, 0.6, 2.0]
    recording = decode_recording(make_video(tmp_path / "a.mkv", 5, times=times))
    assert recording.frames == 5
    assert recording.fps == pytest.approx(4 / 2.0)


def test_a_cut_off_video_gives_the_frames_that_decode(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.avi", 40, codec="mjpeg")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    recording = decode_recording(path)
    assert 10 < recording.frames < 40
    assert recording.declared == 40


@pytest.mark.parametrize("data", [b"", b"not a video at all" * 50, b"\x00\x00\x00\x18ftypmp42" + b"\0" * 500])
def test_what_is_no_video_has_no_frames_and_a_reason(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    recording = decode_recording(path)
    assert (recording.frames, recording.fps) == (0, None)
    assert recording.fault


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert decode_recording(path).fault == "the file has no video stream"


MORE_SUFFIXES = ("3gp", "flv", "ts", "wmv")


def boxes(data: bytes) -> list[bytes]:
    """The boxes one after the other in a part of an MP4 file."""
    found = []
    while data:
        length = int.from_bytes(data[:4])
        found.append(data[:length])
        data = data[length:]
    return found


def with_cover(path: Path, first: bool) -> Path:
    """A video of eight frames with a cover picture, which a reader finds behind the film, or before it."""
    with av.open(str(path), "w") as container:
        film, cover = container.add_stream("mpeg4", rate=10), container.add_stream("mjpeg", rate=1)
        cover.disposition = Disposition.attached_pic
        for stream in (film, cover):
            stream.width, stream.height = 64, 48
            stream.pix_fmt = "yuvj420p" if stream is cover else "yuv420p"
        for stream, frames in ((cover, 1), (film, 8)):
            for _ in range(frames):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
            container.mux(stream.encode(None))
    if first:
        *others, movie = boxes(path.read_bytes())
        inside = sorted(boxes(movie[8:]), key=lambda box: box[4:8] == b"trak")
        path.write_bytes(b"".join([*others, movie[:8], *inside]))
    return path


@pytest.mark.parametrize("first", [False, True])
def test_a_cover_picture_is_not_the_film(tmp_path: Path, first: bool) -> None:
    path = with_cover(tmp_path / "a.mp4", first)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == ("mjpeg" if first else "mpeg4")
    recording = decode_recording(path)
    assert (recording.frames, recording.fault) == (8, "")
    assert recording.notes == ("a picture is attached, which is not its film",)


def test_videos_are_found_in_batches_by_their_names(tmp_path: Path) -> None:
    for name in (
        "batch1/1-30.mp4",
        "batch2/video2.AVI",
        "batch2/notes.txt",
        "batch1/._1-30.mp4",
        "batch3/deep/7-1.mov",
        "1-30.avi",
        *(f"phone/{suffix}.{suffix}" for suffix in MORE_SUFFIXES),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_videos(tmp_path)
    assert {name: [path.suffix for path in paths] for name, paths in found.items()} == {
        "1-30": [".avi", ".mp4"],
        "7-1": [".mov"],
        "video2": [".AVI"],
        **{suffix: [f".{suffix}"] for suffix in MORE_SUFFIXES},
    }


def test_links_to_videos_and_folders_of_them_are_followed_and_loops_end(tmp_path: Path) -> None:
    for name in ("disk/batch1/a.mp4", "disk/b.mp4", "videos/c.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "videos/batch1").symlink_to(tmp_path / "disk/batch1")
    (tmp_path / "videos/b.mp4").symlink_to(tmp_path / "disk/b.mp4")
    (tmp_path / "videos/again").symlink_to(tmp_path / "videos")
    (tmp_path / "disk/batch1/up").symlink_to(tmp_path / "videos")
    (tmp_path / "videos/nowhere").symlink_to(tmp_path / "nothing")
    found = find_videos(tmp_path / "videos")
    assert {name: [str(path.relative_to(tmp_path)) for path in paths] for name, paths in found.items()} == {
        "a": ["videos/batch1/a.mp4"],
        "b": ["videos/b.mp4"],
        "c": ["videos/c.mp4"],
    }


def test_a_folder_without_videos_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no videos"):
        find_videos(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        find_videos(tmp_path / "nowhere")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tracks = [
        Made("a_left", "train", [0] * 11, [1]),
        Made("a_right", "val", [0] * 11, [1]),
        Made("b", "train", [0] * 9, [1]),
        Made("c", "val", [0], [1]),
    ]
    make_video(tmp_path / "videos/batch1/a.mp4", 10, Fraction(25))
    make_video(tmp_path / "videos/batch2/b.avi", 20, Fraction(10))
    make_video(tmp_path / "videos/batch2/other.avi", 3)
    age(tmp_path / "videos")
    return make_root(tmp_path / "root", tracks)


def test_the_doctor_decodes_each_recording_of_the_root_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    original = decode_recording

    def spy(path: Path) -> Any:
        decoded.append(path.name)
        return original(path)

    monkeypatch.setattr("harness.data.doctor.decode_recording", spy)
    options = Options(videos=root.parent / "videos", images=False)
    examination = examine(root, options)
    assert decoded == ["a.mp4", "b.avi"]
    assert read_frame_rates(root / "frame_rates.csv").by_recording == {"a": (25.0, 10), "b": (10.0, 20)}
    assert {track.name: track.frame_rate for track in examination.data.tracks} == {
        "a_left": 25.0,
        "a_right": 25.0,
        "b": 10.0,
        "c": None,
    }
    codes = examination.findings.codes()
    assert {"ROWS_AND_FRAMES", "NO_VIDEO", "UNUSED_VIDEO", "NO_FRAME_RATES"} <= set(codes)
    assert [finding.found for finding in examination.findings.of("ROWS_AND_FRAMES")] == ["b: 9 rows"]
    assert [finding.found for finding in examination.findings.of("NO_VIDEO")] == ["c"]
    examine(root, options)
    assert decoded == ["a.mp4", "b.avi"]
    examine(root, Options(videos=root.parent / "videos", images=False, verify=True))
    assert decoded == ["a.mp4", "b.avi", "a.mp4", "b.avi"]


def test_rates_of_other_recordings_stay_in_the_table(root: Path) -> None:
    (root / "frame_rates.csv").write_text("recording,fps,frames\nz,12.5,7\n")
    examine(root, Options(videos=root.parent / "videos", images=False))
    assert read_frame_rates(root / "frame_rates.csv").by_recording["z"] == (12.5, 7)


def test_a_table_with_a_faulty_line_is_not_overwritten(root: Path) -> None:
    text = "recording,fps,frames\nz,12.5,7\nb,29,97,3\n"
    (root / "frame_rates.csv").write_text(text)
    with pytest.raises(DataError, match=r"frame_rates.csv:3.*not overwritten"):
        examine(root, Options(videos=root.parent / "videos", images=False))
    assert (root / "frame_rates.csv").read_text() == text


def video_findings(root: Path, **options: Any) -> list[tuple[str, str, str]]:
    findings = examine(root, Options(videos=root.parent / "videos", images=False, **options)).findings
    kinds = ("VIDEO_COUNT", "VIDEO_FAULT")
    return [(code, Path(finding.file).name, finding.found) for code in kinds for finding in findings.of(code)]


def cut_off(video: Path) -> None:
    data = make_video(video, 40, codec="mjpeg").read_bytes()
    video.write_bytes(data[: len(data) * 6 // 10])
    age(video.parent)


def test_what_is_wrong_with_a_video_is_said_every_time(root: Path) -> None:
    cut_off(root.parent / "videos/batch2/b.avi")
    (root.parent / "videos/c.mp4").write_bytes(b"no video at all")
    age(root.parent / "videos")
    first = video_findings(root)
    assert {(code, name) for code, name, _ in first} >= {("VIDEO_COUNT", "b.avi"), ("VIDEO_FAULT", "c.mp4")}
    assert video_findings(root) == first
    assert video_findings(root, verify=True) == first


def test_a_video_that_is_replaced_is_decoded_again(root: Path) -> None:
    options = Options(videos=root.parent / "videos", images=False)
    assert examine(root, options).frame_counts == {"a": 10, "b": 20}
    make_video(root.parent / "videos/batch2/b.avi", 9, Fraction(12))
    age(root.parent / "videos", 10)
    examination = examine(root, options)
    assert examination.frame_counts == {"a": 10, "b": 9}
    assert read_frame_rates(root / "frame_rates.csv").by_recording["b"] == (12.0, 9)
    assert "ROWS_AND_FRAMES" not in examination.findings.codes()
    cut_off(root.parent / "videos/batch2/b.avi")
    assert {name for _, name, _ in video_findings(root)} == {"b.avi"}


def test_a_video_younger_than_two_seconds_is_decoded_again(root: Path) -> None:
    video = make_video(root.parent / "videos/batch2/b.avi", 9)
    # Its time lies in the future, so that it is young however slow this machine is.
    age(video.parent, -3600)
    options = Options(videos=root.parent / "videos", images=False)
    assert examine(root, options).frame_counts["b"] == 9
    status = video.stat()
    make_video(video, 8)
    with open(video, "ab") as handle:
        handle.write(b"\0" * (status.st_size - video.stat().st_size))
    os.utime(video, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (video.stat().st_size, video.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert examine(root, options).frame_counts["b"] == 8


def test_a_table_that_was_removed_is_written_again_without_decoding(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(videos=root.parent / "videos", images=False)
    examine(root, options)
    whole = (root / "frame_rates.csv").read_bytes()
    (root / "frame_rates.csv").unlink()
    monkeypatch.setattr("harness.data.doctor.decode_recording", None)
    examine(root, options)
    assert (root / "frame_rates.csv").read_bytes() == whole


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"version": 2, "entries": 3}', b"\xff"])
def test_a_damaged_record_of_videos_is_made_again(root: Path, damage: bytes) -> None:
    options = Options(videos=root.parent / "videos", images=False)
    first = examine(root, options).recordings
    record = folder_for(root) / "videos.json"
    whole = record.read_bytes()
    record.write_bytes(damage)
    assert examine(root, options).recordings == first
    assert record.read_bytes() == whole


def test_a_listed_test_track_without_faces_gets_its_rows_from_its_video(tmp_path: Path) -> None:
    tracks = [
        Made("a", "train", [0], [1]),
        Made("b", "test", [0], [1]),
        Made("c_left", "test", [0], []),
        Made("d", "test", [0], []),
    ]
    root = make_root(tmp_path / "root", tracks, edition="3")
    (root / "cropped_aligned/d").mkdir()
    for name, frames in (("b", 4), ("c", 5), ("d", 6)):
        make_video(tmp_path / f"videos/{name}.mp4", frames)
    write(root / EDITIONS["3"].names, "b\nc_left\nd\n")
    assert examine(root, Options(images=False)).findings.total("NO_ROWS") == 2
    examination = examine(root, Options(videos=tmp_path / "videos", images=False))
    rows = {track.name: (track.rows, track.rows_from, len(track.frames)) for track in examination.data.split("test")}
    assert rows == {"b": (4, "images", 1), "c_left": (5, "images", 0), "d": (6, "images", 0)}
    assert not {"NO_ROWS", "UNUSED_VIDEO"} & set(examination.findings.codes())


def test_without_a_list_an_empty_crop_folder_gets_its_rows_from_its_video(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", [Made("a", "train", [0], [1]), Made("b", "", [], [1])])
    (root / "cropped_aligned/d_right").mkdir()
    for name, frames in (("b", 4), ("d", 6), ("unrelated", 3)):
        make_video(tmp_path / f"videos/{name}.mp4", frames)
    examination = examine(root, Options(videos=tmp_path / "videos", images=False))
    assert {track.name: track.rows for track in examination.data.split("test")} == {"b": 4, "d_right": 6}
    assert set(examination.recordings) == {"b", "d"}


def test_a_listed_test_track_whose_video_is_not_there_is_named(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", [Made("b", "test", [0], [1]), Made("c", "test", [0], [])], edition="3")
    make_video(tmp_path / "videos/b.mp4", 4)
    findings = examine(root, Options(videos=tmp_path / "videos", images=False)).findings
    assert [finding.found for finding in findings.of("NO_VIDEO")] == ["c"]
    assert [finding.found for finding in findings.of("NO_ROWS")] == ["c"]


def test_the_table_of_a_root_nobody_may_write_to_lies_with_its_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(root.parent / "user"))
    root.chmod(0o555)
    examination = examine(root, Options(videos=root.parent / "videos", images=False))
    root.chmod(0o755)
    assert not (root / "frame_rates.csv").exists()
    assert len(list((root.parent / "user").rglob("frame_rates.csv"))) == 1
    assert {track.name: track.frame_rate for track in examination.data.tracks}["b"] == 10.0


@pytest.mark.realdata
def test_the_real_clip_whose_container_lies_is_found_out(real_data: Path, tmp_path: Path) -> None:
    names = ("single_face", "face_noface", "noface_face", "no_face", "WolfgangLanger_Pexels")
    root = make_root(tmp_path, [Made(name, "train", [0], [1]) for name in names])
    examination = examine(root, Options(videos=real_data / "clips", images=False))
    counts = {name: recording.frames for name, recording in examination.recordings.items()}
    assert counts == {"single_face": 72, "face_noface": 169, "noface_face": 169, "no_face": 95, "WolfgangLanger_Pexels": 472}
    lies = [(Path(finding.file).name, finding.found) for finding in examination.findings.of("VIDEO_COUNT")]
    assert lies == [("no_face.mp4", "declares 98, 95 decode")]
    rates = read_frame_rates(root / "frame_rates.csv").by_recording
    fps, frames = rates["WolfgangLanger_Pexels"]
    assert (round(fps, 5), frames) == (round(24000 / 1001, 5), 472)
