"""The back ends: dlib itself where its model is installed; MTCNN and YuNet through stand-ins for their packages."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness import files
from harness.data.videos import Decoder
from harness.errors import DataError, MissingExtraError, UsageError
from harness.faces import detectors, mtcnn_detector
from harness.faces.dlib_detector import LANDMARK_MODEL
from harness.faces.picture import Picture
from tests.faces import HEIGHT, WIDTH, frame_with, write_video


@pytest.fixture
def landmark_model() -> Path:
    """Debian's landmark model; skips where it is not installed, but on CI its absence is a failure."""
    if not LANDMARK_MODEL.is_file():
        if os.environ.get("CI") == "true":
            pytest.fail("libdlib-data must be installed on CI")
        pytest.skip("libdlib-data is not installed")
    return LANDMARK_MODEL


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    return Picture(next(iter(Decoder(write_video(tmp_path / "a.mp4", [frame_with([])] * 2)))))


def test_an_unknown_back_end_is_refused_with_a_near_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'dlib'"):
        detectors.create("dlip")


@pytest.mark.parametrize(("name", "package"), [("dlib", "dlib"), ("mtcnn", "facenet_pytorch"), ("yunet", "cv2")])
def test_a_back_end_whose_package_is_missing_says_what_to_install(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises((MissingExtraError, DataError), match="pip install"):
        detectors.create(name, tmp_path / "model.onnx" if name == "yunet" else None)


# dlib


def test_a_missing_landmark_model_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("harness.faces.dlib_detector.LANDMARK_MODEL", tmp_path / "absent.dat")
    with pytest.raises(DataError, match="apt-get install libdlib-data, or name the file with --face-model"):
        detectors.create("dlib")


def test_a_landmark_model_that_is_not_the_package_s_is_not_read_unless_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "model.dat").write_bytes(b"changed")
    monkeypatch.setattr("harness.faces.dlib_detector.LANDMARK_MODEL", tmp_path / "model.dat")
    with pytest.raises(DataError, match="not the file that the package is known to contain"):
        detectors.create("dlib")
    with pytest.raises(DataError, match="not a landmark model dlib can read"):
        detectors.create("dlib", tmp_path / "model.dat")


def test_what_is_no_landmark_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.dat").write_bytes(b"<html>not found</html>" * 100)
    with pytest.raises(DataError, match=r"model\.dat: not a landmark model"):
        detectors.create("dlib", tmp_path / "model.dat")


def test_dlib_finds_nothing_in_a_grey_picture_and_names_its_model(landmark_model: Path, picture: Picture) -> None:
    detector = detectors.create("dlib")
    assert detector.detect(picture, 320) == []
    assert detector.description["model_sha256"] == files.sha256(landmark_model)
    assert detector.description["back_end"] == "dlib"


@pytest.mark.realdata
def test_dlib_finds_the_face_and_its_landmarks_at_the_same_place_at_every_size(landmark_model: Path, real_data: Path) -> None:
    picture = Picture(next(iter(Decoder(real_data / "clips/single_face.mp4"))))
    detector = detectors.create("dlib")
    found = []
    for side in (320, 640):
        (face,) = detector.detect(picture, side)
        left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
        assert face.box[0] < left_eye[0] < nose[0] < right_eye[0] < face.box[2]
        assert face.box[1] < left_eye[1] < nose[1] < left_mouth[1] < face.box[3]
        assert left_mouth[0] < right_mouth[0]
        found.append(face.landmarks)
    # A face of 150 pixels: the landmarks are found in the whole frame, whatever the size at which the box was.
    assert np.abs(found[0] - found[1]).max() < 6


# MTCNN


def fake_mtcnn(answer: Any, package: Path, monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.uint8]]:
    """A stand-in for facenet_pytorch in the folder `package` whose network gives `answer` and keeps the pictures it is shown."""
    shown: list[NDArray[np.uint8]] = []

    class Network:
        def __init__(self, **options: Any) -> None:
            assert options["keep_all"]

        def detect(self, image: NDArray[np.uint8], landmarks: bool) -> Any:
            assert landmarks
            shown.append(image)
            return answer

    module = ModuleType("facenet_pytorch")
    module.MTCNN = Network  # type: ignore[attr-defined]
    module.__file__ = str(package / "__init__.py")
    (package / "data").mkdir(parents=True)
    for name in mtcnn_detector.WEIGHTS:
        (package / "data" / name).write_bytes(name.encode())
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in mtcnn_detector.WEIGHTS}
    monkeypatch.setattr(mtcnn_detector, "WEIGHTS", digests)
    monkeypatch.setitem(sys.modules, "facenet_pytorch", module)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.6.0")
    return shown


def test_mtcnn_answers_in_pixels_of_the_whole_frame(picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.array([[(30, 20), (50, 20), (40, 28), (32, 36), (48, 36)], [(0, 0), (1, 0), (1, 1), (0, 2), (1, 2)]], float)
    answer = (np.array([[20, 10, 60, 44], [0, 0, 9, 9]], float), np.array([0.99, 0.8]), points)
    shown = fake_mtcnn(answer, tmp_path / "package", monkeypatch)
    (face,) = detectors.create("mtcnn").detect(picture, WIDTH // 2)
    assert shown[0].shape == (HEIGHT // 2, WIDTH // 2, 3)
    np.testing.assert_allclose(face.box, (40.5, 20.5, 120.5, 88.5))
    np.testing.assert_allclose(face.landmarks, points[0] * 2 + 0.5)
    assert face.score == 0.99


def test_mtcnn_finds_nothing_where_there_is_nothing(picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_mtcnn((None, [None], None), tmp_path / "package", monkeypatch)
    assert detectors.create("mtcnn").detect(picture, 320) == []


def test_weights_of_the_package_that_were_changed_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_mtcnn(None, tmp_path / "package", monkeypatch)
    monkeypatch.setattr(sys.modules["facenet_pytorch"], "MTCNN", None)  # calling it would be a TypeError
    (tmp_path / "package" / "data" / "rnet.pt").write_bytes(b"changed")
    with pytest.raises(DataError, match="not the file that the package is known to contain") as caught:
        detectors.create("mtcnn")
    assert caught.value.path is not None
    assert caught.value.path.endswith("rnet.pt")


def test_mtcnn_takes_no_model_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model file"):
        detectors.create("mtcnn", tmp_path / "model.pt")


# YuNet


class FakeError(Exception):
    """Stands for cv2.error."""


def fake_opencv(rows: NDArray[np.float32] | None, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A stand-in for cv2 whose YuNet gives `rows`; a file that begins with "bad" is no model."""
    seen = SimpleNamespace(size=None, image=None)

    class Network:
        @staticmethod
        def create(model: str, config: str, size: tuple[int, int], threshold: float) -> Network:
            if Path(model).read_bytes().startswith(b"bad"):
                raise FakeError
            return Network()

        def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802 - OpenCV's name
            seen.size = size

        def detect(self, image: NDArray[np.uint8]) -> tuple[int, NDArray[np.float32] | None]:
            seen.image = image
            return 1, rows

    module = ModuleType("cv2")
    module.FaceDetectorYN, module.error, module.__version__ = Network, FakeError, "5.0.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cv2", module)
    return seen


def test_yunet_is_shown_blue_green_red_and_answers_in_pixels_of_the_whole_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "yunet.onnx").write_bytes(b"model")
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[..., 0] = 255
    picture = Picture(next(iter(Decoder(write_video(tmp_path / "a.mp4", [red] * 2)))))
    row = [20, 10, 40, 34, 30, 20, 50, 20, 40, 28, 32, 36, 48, 36, 0.93]
    seen = fake_opencv(np.array([row], np.float32), monkeypatch)
    detector = detectors.create("yunet", tmp_path / "yunet.onnx")
    (face,) = detector.detect(picture, WIDTH // 2)
    assert seen.size == (WIDTH // 2, HEIGHT // 2)
    assert (seen.image[..., 2] > 240).all()
    assert (seen.image[..., 0] < 15).all()
    np.testing.assert_allclose(face.box, (40.5, 20.5, 120.5, 88.5))
    np.testing.assert_allclose(face.landmarks[3], (64.5, 72.5))
    assert face.score == pytest.approx(0.93)
    assert detector.description["model_sha256"] == files.sha256(tmp_path / "yunet.onnx")


def test_yunet_finds_nothing_where_there_is_nothing(tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "yunet.onnx").write_bytes(b"model")
    fake_opencv(None, monkeypatch)
    assert detectors.create("yunet", tmp_path / "yunet.onnx").detect(picture, 320) == []


def test_yunet_needs_a_model_that_opencv_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_opencv(None, monkeypatch)
    with pytest.raises(UsageError, match="--face-model"):
        detectors.create("yunet")
    with pytest.raises(DataError, match="absent"):
        detectors.create("yunet", tmp_path / "absent.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"bad")
    with pytest.raises(DataError, match="not a model OpenCV can read"):
        detectors.create("yunet", tmp_path / "bad.onnx")
