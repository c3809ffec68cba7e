"""The faces that pre-training is judged on: people in press photographs and the ORL faces, as one data root with landmarks."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from harness.challenge import EXPR
from harness.data.landmarks import COLUMNS, read_landmarks
from harness.data.tracks import Track
from harness.demo.faces import neutral_canvas
from harness.demo.landmarks import CROP_SIZE, Portrait
from harness.demo.pictures import jpeg
from harness.demo.warp import DETAIL, MARGIN
from harness.errors import DataError
from harness.faces.dlib_detector import LANDMARK_MODEL
from harness.images.batches import ImageRequest, read_batch

LANDMARKS = "landmarks.csv"


@dataclass(frozen=True, eq=False)
class Faces:
    """Faces in memory: `images` uint8 (N, 3, side, side), `landmarks` (N, 68, 2) in 0..1 of it, and the `person` of each."""

    images: Tensor
    landmarks: Tensor
    person: NDArray[np.str_]


def load_faces(tracks: list[Track], landmarks: Path, side: int) -> Faces:
    """The faces of some tracks whose landmarks are known; a track is a person."""
    known = read_landmarks(landmarks, CROP_SIZE)
    requests = [ImageRequest(track, int(frame)) for track in tracks for frame in track.frames]
    requests = [request for request in requests if known.of(request.track.name, request.frame) is not None]
    batch = read_batch(requests, side)
    points = np.stack([known.points[known.places[request.track.name, request.frame]] for request in requests])
    return Faces(batch.images, torch.from_numpy(points), np.array([request.track.name for request in requests]))


def make_root(faces: Path, root: Path, orl: Path | None, landmark_model: Path = LANDMARK_MODEL) -> None:
    """The people of FACES, by links; its test people and those of ORL are unlabelled tracks of the training split."""
    if root.exists():
        return
    beside = root.with_name("root.part")
    shutil.rmtree(beside, ignore_errors=True)
    annotations = beside / "annotations" / "EXPR_Classification_Challenge"
    (beside / "cropped_aligned").mkdir(parents=True)
    for split in ("Train_Set", "Validation_Set"):
        (annotations / split).mkdir(parents=True)
        for path in sorted((faces / "annotations" / "EXPR_Classification_Challenge" / split).glob("*.txt")):
            (annotations / split / path.name).write_bytes(path.read_bytes())
            (beside / "cropped_aligned" / path.stem).symlink_to((faces / "cropped_aligned" / path.stem).resolve())
    for folder in sorted((faces / "cropped_aligned").iterdir()):
        if not (beside / "cropped_aligned" / folder.name).exists():
            (beside / "cropped_aligned" / folder.name).symlink_to(folder.resolve())
            write_unlabelled(annotations, folder.name, max(int(image.stem) for image in folder.glob("*.jpg")))
    for person, portraits in orl_persons(orl) if orl is not None else ():
        folder = beside / "cropped_aligned" / f"orl-{person}"
        folder.mkdir()
        for number, portrait in enumerate(portraits, start=1):
            try:
                (folder / f"{number:05d}.jpg").write_bytes(jpeg(crop(portrait)))
            except DataError as error:  # the package has some pictures that are damaged beyond repair
                print(f"left out: {error.path}")
        write_unlabelled(annotations, folder.name, len(portraits))
    write_landmarks(beside / "cropped_aligned", beside / LANDMARKS, landmark_model)
    beside.rename(root)


def write_unlabelled(annotations: Path, track: str, rows: int) -> None:
    """The annotation file of a track of the training split without any label."""
    lines = [EXPR.header, *["-1"] * rows]
    (annotations / "Train_Set" / f"{track}.txt").write_text("".join(f"{line}\n" for line in lines))


def write_landmarks(crops: Path, path: Path, model: Path) -> None:
    """A table of the points of every image below `crops` in which dlib finds a face; the others will take the template's."""
    import dlib

    detector, predictor = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(model))
    found, images = 0, sorted(crops.glob("*/*.jpg"))
    with path.open("w", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(COLUMNS)
        for image in images:
            pixels = np.asarray(Image.open(image).convert("L").resize((2 * CROP_SIZE, 2 * CROP_SIZE), Image.Resampling.BILINEAR))
            faces = detector(pixels)
            if faces:
                found += 1
                parts = predictor(pixels, max(faces, key=lambda face: face.area())).parts()
                table.writerow([image.parent.name, int(image.stem), *(value / 2 for part in parts for value in (part.x, part.y))])
    print(f"landmarks of {found:,} of {len(images):,} images")


def orl_persons(landmarks: Path) -> Iterator[tuple[str, list[Portrait]]]:
    """The persons of the ORL faces with all their pictures."""
    with landmarks.open(newline="") as handle:
        rows = list(csv.reader(handle))[1:]
    for person in sorted({row[0].split("/")[0] for row in rows}):
        of_person = [row for row in rows if row[0].split("/")[0] == person]
        yield person, [Portrait(row[0], np.array(row[2:], np.float64).reshape(68, 2)) for row in of_person]


def crop(portrait: Portrait) -> NDArray[np.uint8]:
    """The aligned picture (CROP_SIZE, CROP_SIZE), cut out of its canvas."""
    canvas = Image.fromarray(neutral_canvas(portrait))
    begin, size = MARGIN * DETAIL, CROP_SIZE * DETAIL
    part = canvas.crop((begin, begin, begin + size, begin + size))
    return np.asarray(part.resize((CROP_SIZE, CROP_SIZE), Image.Resampling.BILINEAR))
