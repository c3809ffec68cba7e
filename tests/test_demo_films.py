"""Films and voices of the embedded data set: what is heard follows what is acted, also where no face is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.audio.clock import frame_times
from harness.audio.waveform import read_waveform
from harness.challenge import EXPR_CLASSES
from harness.data.scan import scan
from harness.demo.drawn import drawn_roles
from harness.demo.films import FOLDER, MUTE_EVERY, write_films
from harness.demo.performance import Performance, Role, perform
from harness.demo.voice import RATE, speak

ACTED = ("Anger", "Happiness", "Sadness", "Surprise", "Fear", "Disgust")


def _acting(expression: str) -> Performance:
    """Eight seconds of one expression at full strength."""
    rows = 60
    role = Role("t", "t", "train", 3, rows, 7.5)
    rest = perform([role], 0)[0]
    return Performance(
        role=role,
        expression=np.full(rows, EXPR_CLASSES.index(expression), np.int8),
        intensity=np.ones(rows),
        labels=rest.labels,
        seen=rest.seen,
        shift=rest.shift,
        roll=rest.roll,
        zoom=rest.zoom,
        light=rest.light,
        noise_seed=5,
    )


def _pitch(samples: NDArray[np.float64]) -> float:
    """Median pitch in hertz, by the highest autocorrelation of 60 ms that are loud."""
    found = []
    length = round(0.06 * RATE)
    loud = np.sqrt(np.mean(samples**2))
    for first in range(0, len(samples) - length, length):
        part = samples[first : first + length]
        if np.sqrt(np.mean(part**2)) > loud:
            correlation = np.correlate(part, part, "full")[length - 1 :]
            low, high = RATE // 500, RATE // 60
            found.append(RATE / (low + int(correlation[low:high].argmax())))
    return float(np.median(found))


def _brightness(samples: NDArray[np.float64]) -> float:
    """Decibels above 1 kHz over those below."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    return float(10 * np.log10(power[hertz > 1_000].sum() / power[hertz <= 1_000].sum()))


def test_the_voice_of_an_expression_differs_from_the_neutral_one_as_the_literature_says() -> None:
    voices = {name: speak(_acting(name)) for name in ("Neutral", *ACTED)}
    loudness = {name: float(np.sqrt(np.mean(voice**2))) for name, voice in voices.items()}
    pitch = {name: _pitch(voice) for name, voice in voices.items()}
    bright = {name: _brightness(voice) for name, voice in voices.items()}
    assert pitch["Sadness"] < pitch["Neutral"] < pitch["Happiness"] < pitch["Surprise"]
    assert loudness["Sadness"] < loudness["Neutral"] < loudness["Happiness"] < loudness["Anger"]
    assert bright["Sadness"] < bright["Neutral"] < bright["Anger"]


def test_a_voice_is_a_function_of_its_performance_and_never_too_loud() -> None:
    first = speak(_acting("Anger"))
    np.testing.assert_array_equal(first, speak(_acting("Anger")))
    assert np.abs(first).max() <= 1
    assert len(first) == round(60 / 7.5 * RATE)


@pytest.fixture(scope="module")
def filmed(drawn_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Performance]]:
    """A copy of the drawn root's crops with films."""
    root = tmp_path_factory.mktemp("filmed")
    (root / "cropped_aligned").symlink_to(drawn_root / "cropped_aligned")
    performances = perform(drawn_roles(), 0)
    assert write_films(root, performances, 0) == (11, True)
    return root, performances


def test_a_film_shows_every_row_at_its_time_and_sounds_as_long(filmed: tuple[Path, list[Performance]], drawn_root: Path) -> None:
    root, performances = filmed
    rates = {track.name: track.frame_rate for track in scan(drawn_root).tracks}
    for performance in performances:
        role = performance.role
        times, fault = frame_times(root / FOLDER / f"{role.recording}.mkv")
        assert fault == ""
        np.testing.assert_allclose(times, np.arange(role.rows) / role.frame_rate, atol=1e-3)
        assert rates[role.track] == role.frame_rate


def test_every_seventh_recording_is_mute_and_the_others_speak_without_a_face_too(
    filmed: tuple[Path, list[Performance]],
) -> None:
    root, performances = filmed
    recordings = list(dict.fromkeys(performance.role.recording for performance in performances))
    for number, recording in enumerate(recordings, start=1):
        waveform = read_waveform(root / FOLDER / f"{recording}.mkv")
        assert (waveform is None) == (number % MUTE_EVERY == 0)
        if waveform is not None:
            own = [performance for performance in performances if performance.role.recording == recording]
            expected = np.sum([speak(performance) for performance in own], axis=0)
            np.testing.assert_allclose(waveform.samples[: len(expected)], expected, atol=1e-4)


def test_films_that_are_there_are_left_alone_and_made_again_where_one_was_changed(
    filmed: tuple[Path, list[Performance]],
) -> None:
    root, performances = filmed
    assert write_films(root, performances, 0) == (11, False)
    film = sorted((root / FOLDER).glob("*.mkv"))[0]
    before = film.read_bytes()
    film.write_bytes(b"changed")
    assert write_films(root, performances, 0) == (11, True)
    assert film.read_bytes() == before
