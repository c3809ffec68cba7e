"""The embedded data set: who is in it, and how it is made, recognised and made again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.demo import dataset, faces
from harness.demo.performance import Gap, Performance, Role, perform
from harness.errors import DataError, MismatchError

SMALL = [
    Role("1-30-640x360", "1-30-640x360", "train", 0, 14, 7.5, Gap.LEADING, 1),
    Role("video2", "video2", "val", 1, 12, 6.0, Gap.NONE, 1),
    Role("3", "3", "test", 2, 13, 7.5, Gap.TRAILING, 1),
]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "cast", lambda: SMALL)


def content(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_all_forty_persons_act_and_each_in_one_split_only() -> None:
    roles = [role for role in dataset.cast() if role.gap is not Gap.TOTAL]
    assert {role.person for role in roles} == set(range(40))
    splits = {role.person: {other.split for other in roles if other.person == role.person} for role in roles}
    assert all(len(names) == 1 for names in splits.values())


def test_one_recording_has_a_person_on_the_left_and_one_on_the_right() -> None:
    roles = dataset.cast()
    shared = [name for name, count in Counter(role.recording for role in roles).items() if count > 1]
    pair = [role for role in roles if role.recording in shared]
    assert [role.track for role in pair] == [f"{shared[0]}_left", f"{shared[0]}_right"]
    left, right = pair
    assert (left.split, left.rows, left.frame_rate) == (right.split, right.rows, right.frame_rate)
    assert left.person != right.person
    assert all(role.track == role.recording for role in roles if role not in pair)


def test_names_are_unique_and_every_kind_of_gap_and_two_frame_rates_occur() -> None:
    roles = dataset.cast()
    assert len({role.track for role in roles}) == len(roles)
    for split in ("train", "val", "test"):
        assert {Gap.NONE, Gap.LEADING, Gap.TRAILING, Gap.INTERIOR} <= {role.gap for role in roles if role.split == split}
        assert {role.frame_rate for role in roles if role.split == split} == {6.0, 7.5}
    assert [role.split for role in roles if role.gap is Gap.TOTAL] == ["test"]
    assert 4000 < sum(role.rows for role in roles) < 7000


def test_the_documentation_counts_what_is_there() -> None:
    performances = perform(dataset.cast(), seed=0)
    page = (Path(__file__).parent.parent / "docs" / "demo-data.md").read_text()
    labels = {
        split: np.concatenate([performance.labels for performance in performances if performance.role.split == split])
        for split in ("train", "val", "test")
    }
    assert f"| lines | {' | '.join(f'{len(labels[split]):,}' for split in labels)} |" in page
    assert f"| labelled lines | {' | '.join(f'{(labels[split] >= 0).sum():,}' for split in labels)} |" in page
    assert f"{sum(int(performance.seen.sum()) for performance in performances):,} crops" in page
    for role in dataset.cast():
        if role.track != role.recording:
            assert f"`{role.track}`" in page


@pytest.mark.usefixtures("small")
def test_a_made_data_set_is_whole_and_its_manifest_knows_every_file(tmp_path: Path) -> None:
    outcome = dataset.make(tmp_path / "demo")
    files = content(tmp_path / "demo")
    manifest = json.loads(files.pop("demo-data.json"))
    assert set(manifest["files"]) == set(files)
    assert (manifest["version"], manifest["seed"]) == (dataset.VERSION, 0)
    assert outcome.written
    assert outcome.images == sum(name.endswith(".jpg") for name in files)
    assert "AT&T Laboratories Cambridge" in manifest["origin"]
    assert str(tmp_path) not in json.dumps(manifest)
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.usefixtures("small")
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        dataset.make(tmp_path / name, seed)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert content(tmp_path / "a") != content(tmp_path / "c")


@pytest.mark.usefixtures("small")
def test_an_unchanged_data_set_is_left_alone_even_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = dataset.make(tmp_path / "demo")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "demo").rglob("*")}
    (tmp_path / "demo/.cache").mkdir()  # what other verbs keep in a data root

    def not_needed(_: Performance) -> Iterator[tuple[int, bytes]]:
        raise AssertionError("nothing was to be made")

    monkeypatch.setattr(faces, "pictures", not_needed)
    monkeypatch.setattr(faces, "require_extra", lambda: not_needed)
    again = dataset.make(tmp_path / "demo")
    assert not again.written
    assert (again.tracks, again.images) == (first.tracks, first.images)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if path != tmp_path / "demo")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("fault", ["changed", "absent", "added", "seed", "version", "manifest"])
def test_a_data_set_that_is_not_as_it_should_be_is_refused_and_made_anew_when_asked(tmp_path: Path, fault: str) -> None:
    root = tmp_path / "demo"
    dataset.make(root)
    good = content(root)
    labels = root / "test_labels/3.txt"
    manifest = json.loads((root / "demo-data.json").read_text())
    named = "test_labels/3.txt"
    if fault == "changed":
        labels.write_text(labels.read_text() + "7\n")
    elif fault == "absent":
        labels.unlink()
    elif fault == "added":
        (root / "cropped_aligned/3/00099.jpg").write_bytes(b"x")
        named = "cropped_aligned/3/00099.jpg"
    elif fault == "manifest":
        (root / "demo-data.json").write_text('{"files": 3}')
        named = "demo-data.json is damaged"
    else:
        (root / "demo-data.json").write_text(json.dumps({**manifest, fault: 99}))
        named = f"{fault} 99, now"
    with pytest.raises(MismatchError, match="--fresh") as refusal:
        dataset.make(root)
    assert named in str(refusal.value)
    assert dataset.make(root, fresh=True).written
    assert content(root) == good


@pytest.mark.usefixtures("small")
def test_a_folder_with_anything_else_in_it_is_never_replaced(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    root.mkdir()
    (root / "thesis.txt").write_text("years of work")
    for fresh in (False, True):
        with pytest.raises(DataError, match="something else is here"):
            dataset.make(root, fresh=fresh)
    assert content(root) == {"thesis.txt": b"years of work"}
    (root / "thesis.txt").unlink()
    assert dataset.make(root).written  # an empty folder is as good as none


@pytest.mark.usefixtures("small")
def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("a file")
    with pytest.raises(DataError, match="something else is here"):
        dataset.make(tmp_path / "demo", fresh=True)


@pytest.mark.usefixtures("small")
def test_an_interruption_leaves_the_old_data_set_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = faces.pictures

    def interrupted(performance: Performance) -> Iterator[tuple[int, bytes]]:
        if performance.role.split == "test":
            raise KeyboardInterrupt
        return pictures(performance)

    with monkeypatch.context() as patch:
        patch.setattr(faces, "pictures", interrupted)
        with pytest.raises(KeyboardInterrupt):
            dataset.make(tmp_path / "demo")
        assert not (tmp_path / "demo").exists()
    dataset.make(tmp_path / "demo")
    good = content(tmp_path / "demo")
    monkeypatch.setattr(faces, "pictures", interrupted)
    with pytest.raises(KeyboardInterrupt):
        dataset.make(tmp_path / "demo", seed=1, fresh=True)
    assert content(tmp_path / "demo") == good
    assert not list(tmp_path.glob(".demo.*.tmp"))


@pytest.mark.slow
def test_expressions_of_unseen_people_can_be_told_apart_by_a_plain_classifier(tmp_path: Path) -> None:
    """Lite0 features of ImageNet and a logistic regression score .49 on the test people; chance is .125."""
    import torch
    from PIL import Image
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from models.backbones.efficientnet_lite0 import build, find_weights

    network = build().eval()
    weights = find_weights()
    assert weights is not None
    assert not network.load_state_dict(torch.load(weights, weights_only=True), strict=False).missing_keys
    root = dataset.make(tmp_path / "demo").path

    def features(folder: Path) -> tuple[np.ndarray, np.ndarray]:
        pictures, labels = [], []
        for path in sorted(folder.iterdir()):
            for frame, label in enumerate(path.read_text().splitlines()[1:], start=1):
                crop = root / "cropped_aligned" / path.stem / f"{frame:05d}.jpg"
                if frame % 2 and label != "-1" and crop.exists():
                    pictures.append((np.asarray(Image.open(crop), np.float32).transpose(2, 0, 1) - 127) / 128)
                    labels.append(int(label))
        with torch.inference_mode():
            maps = [network(torch.from_numpy(np.stack(pictures[k : k + 64]))) for k in range(0, len(pictures), 64)]
        return torch.cat(maps).mean(dim=(2, 3)).numpy(), np.array(labels)

    annotations = root / "5th_ABAW_Annotations/EXPR_Classification_Challenge"
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=300, class_weight="balanced"))
    classifier.fit(*features(annotations / "Train_Set"))
    seen, labels = features(root / "test_labels")
    assert f1_score(labels, classifier.predict(seen), average="macro", labels=range(8)) > 0.40


def test_the_folder_one_is_in_does_not_become_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="the folder you are in"):
        dataset.make(".")
    assert not list(tmp_path.iterdir())
