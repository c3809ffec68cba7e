"""The sound of a film as vectors of its frames: each is centred on the time at which its frame is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.audio.clock import frame_times
from harness.audio.logmel import BANDS, HIGHEST, LOWEST, WIDTH, log_mel, mel_filters
from harness.audio.waveform import RATE, Waveform, read_waveform
from harness.errors import DataError
from harness.runs.resampling import at_times
from tests.films import clicks, write_film

SECONDS = 3.0
RATES = (7.5, 12.0, 20.38, 25.0, 30000 / 1001, 30.0)


def _loudest(path: Path) -> list[int]:
    """The frames (0-based) that are louder than both of their neighbours by far."""
    waveform = read_waveform(path)
    assert waveform is not None
    times, fault = frame_times(path)
    assert fault == ""
    loudness = log_mel(waveform, times)[:, :BANDS].mean(axis=1)
    middle = loudness[1:-1]
    peaks = (middle > loudness[:-2]) & (middle > loudness[2:]) & (middle > loudness.min() + 5)
    return [int(frame) for frame in np.flatnonzero(peaks) + 1]


@pytest.mark.parametrize("offset", [-0.2, 0.0, 0.5])
@pytest.mark.parametrize("rate", RATES)
def test_a_click_is_loudest_in_the_frame_that_is_shown_with_it(tmp_path: Path, rate: float, offset: float) -> None:
    """Whether sound begins before, with or after the film, and at each rate."""
    times = np.arange(round(SECONDS * rate)) / rate
    chosen = [round(0.3 * len(times)), round(0.8 * len(times))]
    sound = clicks([float(times[frame]) for frame in chosen], SECONDS, 48_000, offset)
    assert _loudest(write_film(tmp_path / "film.mkv", times.tolist(), [sound], start=offset)) == chosen


def test_a_click_is_loudest_in_its_frame_where_the_frame_rate_varies(tmp_path: Path) -> None:
    steps = np.random.default_rng(0).choice([1 / 30, 1 / 15, 0.1], size=50)
    times = np.cumsum(steps)
    chosen = [10, 25, 40]
    sound = clicks([float(times[frame]) for frame in chosen], float(times[-1]) + 0.2, 48_000)
    assert _loudest(write_film(tmp_path / "film.mkv", times.tolist(), [sound])) == chosen


@pytest.mark.parametrize(
    ("name", "rate", "layout", "codec"),
    [
        ("film.mkv", 8_000, "mono", "pcm_s16le"),
        ("film.mkv", 44_100, "5.1", "pcm_s16le"),
        ("film.mov", 16_000, "stereo", "pcm_s16le"),
        ("film.mp4", 44_100, "stereo", "aac"),
        ("film.mp4", 48_000, "stereo", "libmp3lame"),
    ],
)
def test_every_rate_and_number_of_channels_and_a_codec_with_a_delay_are_heard_at_their_time(
    tmp_path: Path, name: str, rate: int, layout: str, codec: str
) -> None:
    times = np.arange(60) / 20.0
    chosen = [21, 43]
    sound = clicks([float(times[frame]) for frame in chosen], SECONDS, rate)
    path = write_film(tmp_path / name, times.tolist(), [sound], rate=rate, layout=layout, codec=codec)
    assert _loudest(path) == chosen


def test_a_film_without_sound_has_no_waveform(tmp_path: Path) -> None:
    assert read_waveform(write_film(tmp_path / "mute.mkv", [0.0, 0.1, 0.2])) is None


def test_of_several_streams_of_sound_the_one_asked_for_is_read_and_their_number_is_told(tmp_path: Path) -> None:
    first, second = clicks([0.5], 1.0, 48_000), clicks([0.8], 1.0, 48_000)
    path = write_film(tmp_path / "film.mkv", [0.0, 0.5], [first, second])
    for stream, time in ((0, 0.5), (1, 0.8)):
        waveform = read_waveform(path, stream)
        assert waveform is not None
        assert waveform.streams == 2
        assert int(np.abs(waveform.samples).argmax()) / RATE == pytest.approx(time, abs=0.002)
    with pytest.raises(DataError, match="there is no audio stream 2"):
        read_waveform(path, 2)


def test_frames_before_and_after_the_sound_are_not_heard(tmp_path: Path) -> None:
    sound = clicks([], 1.0, 48_000, 0.5)
    path = write_film(tmp_path / "film.mkv", (np.arange(15) / 10).tolist(), [sound], start=0.5)
    waveform = read_waveform(path)
    assert waveform is not None
    heard = waveform.heard(frame_times(path)[0])
    assert np.flatnonzero(heard).tolist() == [5, 6, 7, 8, 9]


def test_a_film_that_was_cut_off_is_heard_up_to_there_and_the_rest_is_not_silence(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    sound = rng.integers(-9_000, 9_000, 10 * 48_000).astype(np.int16)
    path = write_film(tmp_path / "film.mkv", (np.arange(100) / 10).tolist(), [sound])
    data = path.read_bytes()
    path.write_bytes(data[: int(0.6 * len(data))])
    waveform = read_waveform(path)
    assert waveform is not None
    assert 1.0 < waveform.seconds < 9.0
    assert not waveform.heard(np.array([waveform.seconds + 0.1])).any()
    assert np.abs(waveform.samples[-RATE // 4 :]).max() > 0.1


def test_a_file_that_is_no_film_is_named(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_text("not a film at all")
    with pytest.raises(DataError, match="cannot be read") as raised:
        read_waveform(path)
    assert raised.value.path == str(path)


def test_a_tone_is_strongest_in_the_band_of_its_mel() -> None:
    time = np.arange(RATE) / RATE
    for hertz in (150.0, 440.0, 1_000.0, 3_000.0, 6_000.0):
        tone = np.sin(2 * np.pi * hertz * time).astype(np.float32)
        mel = log_mel(Waveform(tone), np.array([0.5]))[0, :BANDS]
        edges = np.linspace(2595 * np.log10(1 + LOWEST / 700), 2595 * np.log10(1 + HIGHEST / 700), BANDS + 2)
        nearest = int(np.abs(edges[1:-1] - 2595 * np.log10(1 + hertz / 700)).argmin())
        assert abs(int(mel.argmax()) - nearest) <= 1


def test_log_mel_equals_a_slow_sum_over_the_samples_of_one_window() -> None:
    rng = np.random.default_rng(2)
    waveform = Waveform(rng.normal(size=RATE).astype(np.float32), start=0.25)
    window = 640
    middle = round((0.7 - 0.25) * RATE)
    samples = waveform.samples[middle - window // 2 : middle + window // 2].astype(float)
    shape = np.array([0.5 - 0.5 * np.cos(2 * np.pi * n / window) for n in range(window)])
    power = [
        abs(sum(samples[n] * shape[n] * np.exp(-2j * np.pi * k * n / window) for n in range(window)) / shape.sum()) ** 2
        for k in range(window // 2 + 1)
    ]
    expected = np.log(mel_filters() @ np.array(power))
    got = log_mel(waveform, np.array([0.7]))
    assert got.shape == (1, WIDTH)
    np.testing.assert_allclose(got[0, :BANDS], expected, rtol=1e-5)


def test_vectors_of_a_grid_are_interpolated_as_numpy_does_each_column() -> None:
    rng = np.random.default_rng(3)
    vectors, centres = rng.normal(size=(40, 3)).astype(np.float32), np.sort(rng.uniform(0, 4, 40))
    times = rng.uniform(-1, 5, 200)
    expected = np.stack([np.interp(times, centres, column) for column in vectors.T], axis=1)
    np.testing.assert_allclose(at_times(vectors, centres, times), expected, atol=1e-6)
    np.testing.assert_array_equal(at_times(vectors[:1], centres[:1], times), np.repeat(vectors[:1], 200, axis=0))
