"""The data root that pre-training is judged on: who is learned from, with labels or without, and who is judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import people
from benchmarks.evidence import labelled
from benchmarks.people import LANDMARKS, load_faces, make_root
from harness.data.scan import scan
from harness.demo.landmarks import CROP_SIZE
from tests.data_roots import Made
from tests.data_roots import make_root as make_data_root
from tests.grey_faces import grey_face
from tests.small_pretraining import write_average_landmarks

ORL = Path(people.__file__).parent.parent / "harness" / "demo" / "orl_landmarks.csv"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Made of one person for training, one for validation, one nobody names, and one of ORL; points are the average face's."""
    faces = tmp_path / "faces"
    tracks = (
        Made("learner", "train", (0, 4, -1), (1, 2, 3)),
        Made("judged", "val", (4, 0), (1, 2)),
        Made("nobody", "", (), (1, 2, 4)),
    )
    make_data_root(faces, tracks, "5", image=grey_face)
    (faces / "5th_ABAW_Annotations").rename(faces / "annotations")
    header, *rows = ORL.read_text().splitlines()
    person = rows[0].split("/")[0]
    orl = tmp_path / "orl.csv"
    orl.write_text("\n".join([header, *(row for row in rows if row.startswith(f"{person}/"))]) + "\n")

    def without_detector(crops: Path, path: Path, model: Path) -> None:
        write_average_landmarks(path, crops.parent)

    monkeypatch.setattr(people, "write_landmarks", without_detector)
    make_root(faces, tmp_path / "root", orl)
    return tmp_path / "root"


def test_people_nobody_names_and_those_of_orl_are_learned_from_without_labels(root: Path) -> None:
    training = {track.name: track for track in scan(root).split("train")}
    (orl,) = (name for name in training if name.startswith("orl-"))
    assert set(training) == {"learner", "nobody", orl}
    assert [track.name for track in labelled(list(training.values()))] == ["learner"]
    assert np.asarray(training["learner"].labels).tolist() == [0, 4, -1]
    assert set(np.asarray(training["nobody"].labels).tolist()) == {-1}
    assert list(training["nobody"].frames) == [1, 2, 4]
    assert list(training[orl].frames) == [1]


def test_the_judged_are_the_validation_people_alone_with_their_own_labels(root: Path) -> None:
    (judged,) = scan(root).split("val")
    assert judged.name == "judged"
    assert np.asarray(judged.labels).tolist() == [4, 0]
    faces = load_faces([judged], root / LANDMARKS, CROP_SIZE)
    assert faces.person.tolist() == ["judged", "judged"]
    assert faces.images.shape == (2, 3, CROP_SIZE, CROP_SIZE)


def test_a_root_that_is_there_is_not_made_again(root: Path) -> None:
    before = (root / LANDMARKS).stat().st_mtime_ns
    make_root(root.parent / "gone", root, None)
    assert (root / LANDMARKS).stat().st_mtime_ns == before
