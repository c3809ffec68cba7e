"""What dlib's face recognition network is shown of each face, with a stand-in for dlib."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.dlib_faces import ENLARGED, dlib_features
from benchmarks.people import LANDMARKS
from harness.data.landmarks import COLUMNS
from harness.data.scan import scan
from harness.demo.drawn import write_drawn_root
from harness.demo.landmarks import CROP_SIZE
from models.ssl.landmarks import TEMPLATE, TEMPLATE_SIDE

SIDE = ENLARGED * CROP_SIZE


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, list[tuple[int, int]]]]:
    """The picture and the points of each face, as the network gets them; its answer is the number of the face."""
    seen: list[tuple[Any, list[tuple[int, int]]]] = []

    class Network:
        def __init__(self, model: str) -> None:
            assert model == "the file"

        def compute_face_descriptor(self, pixels: Any, shape: Any) -> list[float]:
            seen.append((pixels, shape))
            return [float(len(seen))] * 128

    def detection(rectangle: tuple[int, ...], points: list[tuple[int, int]]) -> list[tuple[int, int]]:
        assert rectangle == (0, 0, SIDE - 1, SIDE - 1)
        return points

    stand_in = SimpleNamespace(
        face_recognition_model_v1=Network,
        full_object_detection=detection,
        rectangle=lambda *sides: sides,
        points=list,
        point=lambda x, y: (x, y),
    )
    monkeypatch.setitem(sys.modules, "dlib", stand_in)
    return seen


def test_each_labelled_face_is_shown_enlarged_with_its_own_points_or_the_average_faces(tmp_path: Path, shown: list[Any]) -> None:
    root = write_drawn_root(tmp_path / "root", tracks=(2, 1, 1), rows=5)
    tracks = list(scan(root).split("train"))
    known = tracks[0]
    points = [(index + 1, 2 * (index % 40)) for index in range(68)]
    cells = ",".join(f"{x},{y}" for x, y in points)
    lines = [f"{known.name},{frame},{cells}" for frame in known.frames]
    (root / LANDMARKS).write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
    features = dlib_features(Path("the file"), tracks, root / LANDMARKS)
    assert features.values[:, 0].tolist() == list(range(1, len(shown) + 1))
    row = 0
    for track in tracks:
        assert track.labels is not None
        for frame in track.frames:
            label = track.labels[frame - 1]
            if label < 0:
                continue
            pixels, places = shown[row]
            picture = Image.open(track.image_path(int(frame))).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
            assert np.array_equal(pixels, np.asarray(picture))
            if track is known:
                assert places == [(ENLARGED * x, ENLARGED * y) for x, y in points]
            else:
                assert places == [(round(x * SIDE / TEMPLATE_SIDE), round(y * SIDE / TEMPLATE_SIDE)) for x, y in TEMPLATE]
            assert features.labels[row] == label
            assert features.recordings[features.groups[row]] == track.recording
            row += 1
    assert row == len(shown) == len(features.labels) > 0
