"""`harness audio`: feature sets of sound, made, resumed and learned from beside those of faces."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import files
from harness.audio.encoders import OVERLAP, chunks, open_encoder
from harness.audio.waveform import RATE, Waveform
from harness.challenge import EXPR, VA
from harness.data.scan import scan
from harness.demo.drawn import write_drawn_root
from harness.errors import DataError, UsageError
from harness.runs import scores
from harness.runs.scores import FEATURES
from harness.runs.store import Run
from tests.films import write_film
from tests.simulated_features import TINY_TEMPORAL
from tests.test_cli_road import call, exit_code, fine

CHANGES = [part for key, value in TINY_TEMPORAL.items() for part in ("--set", f"{key}={value}")]
FPS = 10.0


@pytest.fixture(scope="module")
def films(drawn_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of every recording of the drawn root with noise for sound; the first test recording is mute, the last is missing."""
    folder = tmp_path_factory.mktemp("films")
    recordings: dict[str, int] = {}
    for track in scan(drawn_root).tracks:
        recordings[track.recording] = max(track.rows, recordings.get(track.recording, 0))
    test = [track.recording for track in scan(drawn_root).members("test")]
    for number, (recording, rows) in enumerate(recordings.items()):
        noise = np.random.default_rng(number).integers(-5_000, 5_000, round((rows + 1) / FPS * 8_000)).astype(np.int16)
        if recording != test[-1]:
            sounds = [] if recording == test[0] else [noise]
            write_film(folder / f"{recording}.mkv", (np.arange(rows) / FPS).tolist(), sounds, rate=8_000, layout="mono")
    return folder


@pytest.fixture
def place(trained: Path, drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the trained run `a` and the data in `data`."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    shutil.copytree(drawn_root, tmp_path / "data", copy_function=shutil.copy2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_DATA", "data")
    return tmp_path


def test_every_frame_has_a_vector_and_a_mute_or_missing_film_has_none_and_is_named(place: Path, films: Path) -> None:
    output = fine("audio", "data", "--videos", str(films))
    assert output.splitlines()[-1] == "next: harness train --recipe temporal-transformer --features audio-logmel --data data"
    run = Run(place / "runs" / "audio-logmel")
    tests = [track.name for track in scan(place / "data").members("test")]
    for split in ("train", "val", "test"):
        index = scores.read_index(run, split, FEATURES)
        assert index.settings["modality"] == "audio"
        for track in scan(place / "data").members(split):
            expected = [] if track.name in (tests[0], tests[-1]) else list(range(1, track.rows + 1))
            assert scores.read_track(run, split, track.name, FEATURES).frame.tolist() == expected
    assert "1 track without a film in the folder" in output
    assert "1 track whose film has no sound" in output


def test_what_is_done_is_kept_and_a_changed_film_is_heard_again(
    place: Path, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = place / "films"
    shutil.copytree(films, own, copy_function=shutil.copy2)
    fine("audio", "data", "--videos", str(own), "--split", "val")
    path = sorted((place / "runs" / "audio-logmel" / "features" / "val").glob("*.npz"))[0]
    before = {file.name: file.read_bytes() for file in path.parent.glob("*.npz")}
    again = fine("audio", "data", "--videos", str(own), "--split", "val")
    assert f"val: 0 tracks made, {len(before)} unchanged" in again
    recording = scan(place / "data").members("val")[0].recording
    write_film(own / f"{recording}.mkv", [0.0, 0.1], [np.full(8_000, 9_000, np.int16)], rate=8_000, layout="mono")
    changed = fine("audio", "data", "--videos", str(own), "--split", "val")
    assert "val: 1 track made" in changed
    different = [name for name, data in before.items() if (path.parent / name).read_bytes() != data]
    assert different == [f"{scan(place / 'data').members('val')[0].name}.npz"]


def test_the_tracks_of_another_challenge_are_heard_as_a_set_of_their_own(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_drawn_root("data", tracks=(2, 2, 1), rows=16, other_challenges=True)
    fine("audio", "data", "--videos", str(films), "--challenge", "VA")
    fine("audio", "data", "--videos", str(films), "--split", "val")
    heard = {name: Run(Path("runs") / name) for name in ("audio-logmel-va", "audio-logmel")}
    for name, challenge in (("audio-logmel-va", VA), ("audio-logmel", EXPR)):
        assert heard[name].manifest["challenge"] == challenge.name
        tracks = [track.name for track in scan("data", challenge=challenge).members("val")]
        assert list(scores.read_index(heard[name], "val", FEATURES).tracks) == tracks
    # Sets of sound that say of no challenge are of expressions.
    manifest = files.read_json(heard["audio-logmel"].manifest_path)
    del manifest["challenge"]
    files.write_json(heard["audio-logmel"].manifest_path, manifest)
    assert "unchanged" in fine("audio", "data", "--videos", str(films), "--split", "val")


def test_shards_make_the_same_bytes_as_one_call(place: Path, films: Path) -> None:
    fine("audio", "data", "--videos", str(films), "--split", "val", "--run", "whole")
    first = fine("audio", "data", "--videos", str(films), "--split", "val", "--run", "parts", "--shard", "1/2")
    assert first.splitlines()[-1].endswith("--shard I/2")
    fine("audio", "data", "--videos", str(films), "--split", "val", "--run", "parts", "--shard", "2/2")
    one, two = (place / "runs" / name / "features" / "val" for name in ("whole", "parts"))
    for path in [*sorted(one.glob("*.npz")), one / "features.json"]:
        assert path.read_bytes() == (two / path.name).read_bytes()


def test_a_model_learns_from_faces_and_sound_and_predicts(place: Path, films: Path) -> None:
    fine("features", "a", "--workers", "0", "--batch", "16")
    fine("audio", "data", "--videos", str(films))
    sets = ("--features", "a", "--features", "audio-logmel")
    fine("train", "--recipe", "temporal-tcn", *sets, "--run", "both", "--fps", "10", *CHANGES)
    assert "submission: submissions/both" in fine("predict", "both", "--split", "test", "--fps", "10")
    heard = _heard_frames(place / "data")
    for track in scan(place / "data").members("test"):
        stored = scores.read_track(Run(place / "runs" / "both"), "test", track.name)
        expected = sorted({*track.frames.tolist(), *heard[track.name]})
        assert stored.frame.tolist() == expected
        assert stored.seen_by is not None
        assert stored.frame[stored.seen_by[:, 0]].tolist() == track.frames.tolist()
        assert stored.frame[stored.seen_by[:, 1]].tolist() == heard[track.name]


def test_a_frame_with_sound_alone_is_scored_and_not_imputed(place: Path, films: Path) -> None:
    """The whole track without any face is heard, so that nothing of it is filled."""
    fine("features", "a", "--workers", "0", "--batch", "16")
    fine("audio", "data", "--videos", str(films))
    sets = ("--features", "a", "--features", "audio-logmel")
    fine("train", "--recipe", "av-gate", *sets, "--run", "gate", "--fps", "10", *CHANGES)
    output = fine("predict", "gate", "--split", "test", "--fps", "10")
    heard = _heard_frames(place / "data")
    imputed = sum(
        track.rows - len({*track.frames.tolist(), *heard[track.name]}) for track in scan(place / "data").members("test")
    )
    assert f"{imputed:,} of them imputed because no face was seen" in output


def _heard_frames(data: Path) -> dict[str, list[int]]:
    """The frames of each test track that the films of this module let be heard."""
    tests = scan(data).members("test")
    return {
        track.name: [] if track.name in (tests[0].name, tests[-1].name) else list(range(1, track.rows + 1)) for track in tests
    }


def test_half_precision_takes_half_the_disk_and_keeps_three_digits(place: Path, films: Path) -> None:
    fine("audio", "data", "--videos", str(films), "--split", "val", "--run", "full")
    fine("audio", "data", "--videos", str(films), "--split", "val", "--run", "half", "--half")
    for track in scan(place / "data").members("val"):
        full, half = (Run(place / "runs" / name) for name in ("full", "half"))
        paths = [scores.directory(run, "val", FEATURES) / f"{track.name}.npz" for run in (full, half)]
        assert np.load(paths[1])["feature"].dtype == np.float16
        assert paths[1].stat().st_size < 0.6 * paths[0].stat().st_size
        first, second = (scores.read_track(run, "val", track.name, FEATURES).score for run in (full, half))
        assert second.dtype == np.float32
        np.testing.assert_allclose(second, first, rtol=2e-3)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--features", "mfcc"], 2, "unknown audio features 'mfcc'"),
        (["--layers", "1"], 2, "only an encoder has layers"),
        (["--features", "hf:nowhere"], 3, "not a model in transformers' layout"),
    ],
)
def test_what_there_is_not_is_refused_before_a_run_is_made(
    place: Path, films: Path, options: list[str], code: int, said: str
) -> None:
    result = call("audio", "data", "--videos", str(films), *options)
    assert exit_code(result) == code
    assert said in str(result.exception or result.output)
    assert not list((place / "runs").glob("audio*"))


def test_a_folder_without_films_is_refused(place: Path) -> None:
    (place / "empty").mkdir()
    assert exit_code(call("audio", "data", "--videos", "empty")) == 3


# ---- speech encoders, with random weights in transformers' layout


@pytest.fixture(scope="module", params=["wav2vec2", "hubert", "wavlm", "whisper"])
def encoder_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder, saved as transformers saves it."""
    import transformers as t

    folder: Path = tmp_path_factory.mktemp("encoders") / request.param
    small = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
    torch.manual_seed(0)
    if request.param == "whisper":
        model = t.WhisperModel(
            t.WhisperConfig(
                d_model=32, encoder_layers=3, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
                encoder_ffn_dim=48, decoder_ffn_dim=48, vocab_size=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
                decoder_start_token_id=1,
            )
        )  # fmt: skip
    else:
        kinds = {
            "wav2vec2": (t.Wav2Vec2Config, t.Wav2Vec2Model),
            "hubert": (t.HubertConfig, t.HubertModel),
            "wavlm": (t.WavLMConfig, t.WavLMModel),
        }
        config, network = kinds[request.param]
        model = network(config(conv_dim=(32,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, **small))
    model.save_pretrained(folder)
    return folder


def test_vectors_are_the_mean_of_the_wanted_layers_at_the_middles_of_what_they_hear(encoder_folder: Path) -> None:
    """Compared with transformers' own outputs, each column interpolated by NumPy."""
    from transformers import AutoModel, WhisperFeatureExtractor

    rng = np.random.default_rng(0)
    waveform = Waveform(rng.normal(0, 0.1, 3 * RATE).astype(np.float32), start=0.4)
    times = 0.4 + np.sort(rng.uniform(0.1, 2.9, 50))
    encoder = open_encoder(encoder_folder, (1, -1))
    model = AutoModel.from_pretrained(encoder_folder).eval()
    with torch.inference_mode():
        if encoder.kind == "whisper":
            listener = WhisperFeatureExtractor()  # type: ignore[no-untyped-call]
            mel = listener(waveform.samples, sampling_rate=RATE, return_tensors="pt").input_features
            states = model.encoder(mel, output_hidden_states=True).hidden_states
            centres = 0.02 * np.arange(states[0].shape[1])
        else:
            samples = (waveform.samples - waveform.samples.mean()) / waveform.samples.std()
            states = model(torch.from_numpy(samples)[None], output_hidden_states=True).hidden_states
            centres = (200 + 320 * np.arange(states[0].shape[1])) / RATE
    mean = (0.5 * (states[1] + states[3]))[0].numpy()
    expected = np.stack([np.interp(times - 0.4, centres, column) for column in mean.T], axis=1)
    np.testing.assert_allclose(encoder.vectors(waveform, times), expected, atol=2e-4)


def test_a_long_recording_is_heard_in_pieces_none_longer_than_a_chunk(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = open_encoder(encoder_folder)
    heard: list[int] = []
    plain = type(encoder)._encode

    def watched(self: object, samples: np.ndarray) -> np.ndarray:
        heard.append(len(samples))
        return plain(self, samples)  # type: ignore[arg-type]

    monkeypatch.setattr(type(encoder), "_encode", watched)
    waveform = Waveform(np.random.default_rng(1).normal(0, 0.1, 70 * RATE).astype(np.float32))
    vectors = encoder.vectors(waveform, np.arange(700) / 10)
    assert vectors.shape == (700, 32)
    assert np.isfinite(vectors).all()
    assert max(heard) <= 30 * RATE
    assert len(heard) >= 3


@pytest.mark.parametrize("seconds", [0, 1, 19, 20, 21, 36, 37, 100])
def test_every_sample_is_answered_by_one_piece_that_hears_beyond_it(seconds: int) -> None:
    samples, chunk = seconds * RATE, 20 * RATE
    answered = 0
    for first, end, (low, high) in chunks(samples, chunk):
        assert low == answered
        assert end - first <= chunk
        assert low == 0 or low - first >= OVERLAP * RATE
        assert end == samples or end - high >= OVERLAP * RATE
        answered = high
    assert answered == max(samples, 1)


def test_an_encoder_saved_as_a_pickle_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "wav2vec2"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(DataError, match="no weights in safetensors"):
        open_encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(DataError, match="not a speech encoder"):
        open_encoder(tmp_path)


def test_a_layer_that_is_not_there_is_refused(encoder_folder: Path) -> None:
    with pytest.raises(UsageError, match="no such layer"):
        open_encoder(encoder_folder, (4,))


def test_egemaps_of_a_voice_have_its_pitch_at_the_time_of_the_frame() -> None:
    """A tone with overtones that rises from 120 to 240 Hz half-way: pitch in semitones above 27.5 Hz."""
    from harness.audio.egemaps import WIDTH, egemaps

    time = np.arange(4 * RATE) / RATE
    pitch = np.where(time < 2, 120.0, 240.0)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = 0.2 * np.sum([np.sin(k * phase) / k for k in range(1, 12)], axis=0).astype(np.float32)
    vectors = egemaps(Waveform(voice, start=1.0), np.array([2.0, 4.0]))
    assert vectors.shape == (2, WIDTH)
    import opensmile

    names = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.LowLevelDescriptors).feature_names
    column = next(number for number, name in enumerate(names) if name.startswith("F0semitone"))
    np.testing.assert_allclose(vectors[:, column], 12 * np.log2(np.array([120.0, 240.0]) / 27.5), atol=0.5)


def test_code_that_lies_beside_an_encoder_is_not_run(encoder_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(encoder_folder, tmp_path / "encoder")
    config = json.loads((encoder_folder / "config.json").read_text())
    named = {"AutoConfig": "own.Config", "AutoModel": "own.Model"}
    (tmp_path / "encoder" / "config.json").write_text(json.dumps({**config, "auto_map": named}))
    (tmp_path / "encoder" / "own.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()\n")
    open_encoder(tmp_path / "encoder")
    assert not (tmp_path / "mark").exists()
