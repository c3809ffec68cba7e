"""Speech encoders in the layout of Hugging Face's transformers, from a local folder: wav2vec 2.0, HuBERT, WavLM, Whisper.

Nothing is ever fetched, and weights are read from safetensors alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.audio.waveform import RATE, Waveform
from harness.errors import DataError, MissingExtraError, UsageError
from harness.runs.resampling import at_times

CONVOLUTIONAL = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech-sat")
WHISPER = "whisper"
CHUNK = 20.0
"""Seconds that an encoder hears at once, as long as its training utterances were at most (Baevski et al. 2020: 15.6 to 20)."""
OVERLAP = 2.0
"""Seconds at each end of a chunk whose vectors are taken from its neighbour, which heard what lies beyond."""
WHISPER_CHUNK = 30.0
"""Seconds that Whisper's encoder always hears, padded with silence (Radford et al. 2022, section 2.2)."""
WHISPER_HOP = 320
"""Samples between two outputs of Whisper's encoder: log-mel windows every 160, then a convolution of stride 2."""


@dataclass(frozen=True, eq=False)
class SpeechEncoder:
    """An encoder with its weights.

    Attributes
    ----------
    network : of transformers, in evaluation mode.
    kind : its model type.
    layers : the hidden states that are averaged, 0 for what enters the first layer.
    hop : samples from one output to the next.
    middle : samples from the beginning of a chunk to the middle of what its first output hears.
    normalised : whether each chunk is to have mean 0 and variance 1 first.
    """

    network: Any
    kind: str
    layers: tuple[int, ...]
    hop: int
    middle: float
    normalised: bool

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        config = self.network.config
        return int(config.d_model if self.kind == WHISPER else config.hidden_size)

    def vectors(self, waveform: Waveform, times: NDArray[np.float64]) -> NDArray[np.float32]:
        """The mean of the wanted layers (S, D) at `times` (S,), linear between the encoder's outputs.

        Long recordings are heard in overlapping chunks, so memory does not grow with them.
        """
        places = waveform.places(times)
        result = np.empty((len(times), self.width), dtype=np.float32)
        pieces = chunks(len(waveform.samples), self._chunk())
        for number, (first, end, borders) in enumerate(pieces):
            above = places >= borders[0] if number else np.ones(len(times), bool)
            below = places < borders[1] if number + 1 < len(pieces) else np.ones(len(times), bool)
            answered = above & below
            if answered.any():
                outputs = self._encode(waveform.samples[first:end])
                centres = waveform.start + (first + self.middle + self.hop * np.arange(len(outputs))) / RATE
                result[answered] = at_times(outputs, centres, times[answered])
        return result

    def _chunk(self) -> int:
        return round((WHISPER_CHUNK if self.kind == WHISPER else CHUNK) * RATE)

    def _encode(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The outputs (G, D) of one chunk."""
        import torch

        if self.normalised:
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        heard = max(1, round(len(samples) / self.hop))
        with torch.inference_mode():
            if self.kind == WHISPER:
                mel = _whisper_mel(samples, self.network.config.num_mel_bins)
                states = self.network.encoder(mel, output_hidden_states=True).hidden_states
            else:
                shortest = self._receptive_field()
                padded = np.pad(samples, (0, max(0, shortest - len(samples))))
                states = self.network(torch.from_numpy(padded)[None], output_hidden_states=True).hidden_states
            mean = torch.stack([states[layer] for layer in self.layers]).mean(dim=0)[0]
        outputs: NDArray[np.float32] = mean.float().numpy()
        return outputs[:heard] if self.kind == WHISPER else outputs

    def _receptive_field(self) -> int:
        return round(2 * self.middle)


def chunks(samples: int, chunk: int) -> list[tuple[int, int, tuple[int, int]]]:
    """Overlapping pieces of a recording: first and last-but-one sample of each, and the part for which it answers.

    Every sample is in the part of one piece. A recording is one piece where it fits; samples at a border are answered by the
    piece that hears at least OVERLAP seconds beyond them.
    """
    margin = round(OVERLAP * RATE)
    step = chunk - 2 * margin
    starts = [0]
    while starts[-1] + chunk < samples:
        starts.append(starts[-1] + step)
    borders = [0, *(start + margin for start in starts[1:]), max(samples, 1)]
    return [(start, min(start + chunk, samples), (borders[number], borders[number + 1])) for number, start in enumerate(starts)]


def open_encoder(folder: Path, layers: Sequence[int] = ()) -> SpeechEncoder:
    """Reads an encoder from a folder with config.json and model.safetensors.

    `layers` are the hidden states to average, negative ones from the end; by default the last four, as the winner of the 10th
    edition's expression challenge averaged them.

    Raises DataError for a folder that is not such a model, UsageError for layers it does not have, MissingExtraError without the
    packages of the extra `audio`.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("transformers", "audio", "speech encoders") from error
    config = _config(folder)
    kind = str(config.get("model_type"))
    if kind not in (*CONVOLUTIONAL, WHISPER):
        raise DataError(
            "not a speech encoder that is known",
            path=folder / "config.json",
            found=f"model_type {kind!r}",
            expected=", ".join((*CONVOLUTIONAL, WHISPER)),
        )
    if not list(folder.glob("*.safetensors")):
        raise DataError(
            "no weights in safetensors",
            path=folder,
            expected="model.safetensors",
            remedy="save the model once with save_pretrained(..., safe_serialization=True); pickles are not read",
        )
    for entry in (*folder.glob("*.safetensors"), *folder.glob("*.json")):
        files.refuse_unreadable(entry)
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        network = transformers.AutoModel.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise DataError(f"the model cannot be read: {str(error).splitlines()[0]}", path=folder) from error
    network.eval()
    hop, middle = (WHISPER_HOP, 0.0) if kind == WHISPER else _grid(network.config)
    count = int(network.config.encoder_layers if kind == WHISPER else network.config.num_hidden_layers)
    return SpeechEncoder(network, kind, _chosen(layers, count), hop, middle, kind != WHISPER and _normalises(folder))


def _config(folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").is_file():
        raise DataError("not a model in transformers' layout", path=folder, expected="config.json and model.safetensors")
    config = files.read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise DataError("not a configuration of a model", path=folder / "config.json")
    return config


def _chosen(layers: Sequence[int], count: int) -> tuple[int, ...]:
    """The hidden states 0..count that are meant."""
    wanted = tuple(layers) or tuple(range(-min(4, count), 0))
    states = count + 1
    wrong = [layer for layer in wanted if not -states <= layer < states]
    if wrong:
        raise UsageError("the encoder has no such layer", found=str(wrong[0]), expected=f"0 to {count}, or -1 to -{states}")
    return tuple(sorted({layer % states for layer in wanted}))


def _grid(config: Any) -> tuple[int, float]:
    """Samples from one output of a convolutional encoder to the next, and to the middle of what the first one hears."""
    hop, field = 1, 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        field += (kernel - 1) * hop
        hop *= stride
    return hop, field / 2


def _normalises(folder: Path) -> bool:
    """Whether sound is brought to mean 0 and variance 1 first: what preprocessor_config.json says, by default yes, as there."""
    path = folder / "preprocessor_config.json"
    said = files.read_json(path) if path.is_file() else {}
    return bool(said.get("do_normalize", True)) if isinstance(said, dict) else True


def _whisper_mel(samples: NDArray[np.float32], bands: int) -> Any:
    """What Whisper hears of up to 30 s: log-mel energies float32 (1, bands, 3000)."""
    import torch
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=bands)  # type: ignore[no-untyped-call]
    return torch.as_tensor(np.asarray(extractor(samples, sampling_rate=RATE, return_tensors="np").input_features))
