"""Beside other code on the same machine, and what a server with a GPU would do.

The OpenCV and ONNX Runtime loop works in the manner of EmotiEffLib: cv2.imread, cv2.resize, a float32 array, one image a call.
Its packages are no part of this project: install them into a folder of their own and name it with --peers,

    pip install --no-deps --target DIR opencv-python-headless onnx onnxruntime protobuf ml_dtypes flatbuffers
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.bench import Bench
from benchmarks.figures import Figure, measured, not_measured
from benchmarks.predicting import RES18, RES50, Subject
from benchmarks.rounds import alternate, ratios
from harness.images.device import resolve_precision

FRAMES = 8
# A projection needs three numbers that are not measured here; they are assumptions, and named so in every note.
CORES_OF_A_SERVER = 16
FRAMES_PER_SECOND_OF_A_GPU = 10_000


def measure(bench: Bench) -> Iterator[Figure]:
    """Predict over the peer, and the projection."""
    for name, recipe, changes, batch, lengths in (RES50, RES18):
        wanted = f"predict {name}, times OpenCV and ONNX Runtime"
        if bench.peers is None:
            yield not_measured(wanted, "no folder of peers was named")
            continue
        subject = Subject(bench, recipe, dict(changes), batch, lengths, resolve_precision("auto"))
        peer = Peer(bench.peers, subject, bench.folder / f"{recipe}.onnx")
        rates = alternate(bench.rounds, bench.clock, {"harness": subject.score, "peer": peer.run}, {"harness": subject.forget})
        same = float((peer.labels == subject.labels["harness"][: len(peer.labels)]).mean())
        yield measured(
            f"OpenCV and ONNX Runtime {name}", "frames/s", rates["peer"], f"batch 1, fp32; {100 * same:.0f} % of labels agree"
        )
        yield measured(wanted, "", ratios(rates["harness"], rates["peer"]), subject.precision)
    yield not_measured("mmpretrain's inferencer", "mmcv has no wheel for this Python and torch, and does not build from source")
    yield from _projection(bench)


class Peer:
    """One image at a time through OpenCV and ONNX Runtime."""

    def __init__(self, packages: Path, subject: Subject, path: Path) -> None:
        # Behind the environment's own packages, so that numpy and torch stay what they are.
        if str(packages) not in sys.path:
            sys.path.append(str(packages))
        cv2, onnxruntime = map(importlib.import_module, ("cv2", "onnxruntime"))

        self.cv2, self.subject = cv2, subject
        size = subject.recipe.image_size
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(subject.plain_network, (torch.zeros(1, 3, size, size),), str(path), dynamo=False)
        self.session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.labels = np.zeros(0, np.int64)

    def run(self) -> float:
        """The first frames of the split."""
        recipe, cv2 = self.subject.recipe, self.cv2
        mean = np.array(self.subject.scorer.passes.mean, np.float32)
        std = np.array(self.subject.scorer.passes.std, np.float32)
        margin = (recipe.test_resize - recipe.image_size) // 2
        cut = slice(margin, margin + recipe.image_size)
        labels = []
        for path in self.subject.paths[:FRAMES]:
            pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            resized = cv2.resize(pixels, (recipe.test_resize, recipe.test_resize))[cut, cut]
            ready = ((resized.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)[None]
            (logits,) = self.session.run(None, {self.session.get_inputs()[0].name: np.ascontiguousarray(ready)})
            labels.append(int(logits.argmax()))
        self.labels = np.array(labels)
        return len(labels)


def _projection(bench: Bench) -> Iterator[Figure]:
    """Frames per second that the cores of a server decode, against what its GPU eats."""
    from benchmarks import reading

    decoding = next(figure for figure in reading.measure(bench) if figure.name == "input, decoding alone")
    gpu = f"a GPU that eats {FRAMES_PER_SECOND_OF_A_GPU:,} frames/s"
    note = f"projection: {CORES_OF_A_SERVER} cores that decode as one does here, {gpu}"
    values = [CORES_OF_A_SERVER * rate / FRAMES_PER_SECOND_OF_A_GPU for rate in decoding.values]
    yield measured("projection: decoding of a GPU server, times what its GPU eats", "", values, note)
