"""The kinds of sound features by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness import files
from harness.audio import egemaps, encoders, logmel
from harness.audio.extract import Extractor
from harness.errors import UsageError, near_names

NAMES = ("logmel", "egemaps", "hf:FOLDER")
FOLDER = "hf:"
VERSION = 1
"""Of the calculations of this package: features of another version are made anew."""


def make_extractor(name: str, layers: Sequence[int] = (), half: bool = False) -> Extractor:
    """The extractor called `name`; `layers` are for speech encoders alone, with `half` its vectors are float16.

    Raises UsageError for an unknown name.
    """
    full = _in_full(name, layers)
    if not half:
        return full
    return Extractor(
        {**full.settings, "precision": "float16"}, full.width, lambda *heard: full.vectors(*heard).astype(np.float16)
    )


def _in_full(name: str, layers: Sequence[int]) -> Extractor:
    if name.startswith(FOLDER):
        folder = Path(name.removeprefix(FOLDER))
        encoder = encoders.open_encoder(folder, layers)
        settings = {
            "kind": encoder.kind,
            "layers": list(encoder.layers),
            "normalised": encoder.normalised,
            "weights": {path.name: files.sha256(path) for path in sorted(folder.glob("*.safetensors"))},
            "version": VERSION,
        }
        return Extractor(settings, encoder.width, encoder.vectors)
    if layers:
        raise UsageError("only an encoder has layers", found=f"--layers with {name}", expected="--features hf:FOLDER")
    if name == "logmel":
        return Extractor({"kind": name, "version": VERSION}, logmel.WIDTH, logmel.log_mel)
    if name == "egemaps":
        egemaps.require()
        return Extractor({"kind": name, "version": VERSION}, egemaps.WIDTH, egemaps.egemaps)
    raise UsageError(f"unknown audio features {name!r}", expected=near_names(name, NAMES))
