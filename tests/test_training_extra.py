"""Extra labelled faces in training: masked classes, how often they are seen, what is recorded."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from harness.challenge import CE, EXPR, MTL
from harness.data.extra import read_extra
from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.demo.drawn import write_drawn_root
from harness.errors import MismatchError, UsageError
from harness.images.sampling import LabelledFrames, TrainingSampler, labelled_frames, with_pictures
from harness.kinds.parts import parts_of
from harness.recipes import recipe as recipes
from harness.runs import checkpoints
from harness.runs.store import Run
from harness.training import state
from harness.training.losses.classes import cross_entropy
from harness.training.network import build_network
from harness.training.session import Training
from harness.training.start import train
from harness.training.supervised import SupervisedObjective
from harness.training.training_data import TrainingData, on_splits, with_extra
from tests.test_cli_road import call, exit_code, fine

# --- the loss ---------------------------------------------------------------------------------------------------------------


TIMES = ("frame_step", "batch", "iterations", "warmup", "evaluate_every", "checkpoint_every", "precision", "freeze_stages")
"""Keys of a recipe that make a training short."""


def slow_loss(logits: np.ndarray, labels: np.ndarray, known: np.ndarray, smoothing: float) -> float:
    """One sample after the other, over the outputs it may be asked about and no others."""
    total = 0.0
    for scores, label, allowed in zip(logits, labels, known, strict=True):
        if label < 0:
            continue
        kept = [float(score) for score, ok in zip(scores, allowed, strict=True) if ok]
        place = int(allowed[:label].sum())
        largest = max(kept)
        normaliser = largest + math.log(sum(math.exp(score - largest) for score in kept))
        losses = [normaliser - score for score in kept]
        total += (1 - smoothing) * losses[place] + smoothing * sum(losses) / len(losses)
    return total


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), smoothing=st.sampled_from([0.0, 0.1, 0.7]), count=st.integers(1, 7))
def test_the_masked_loss_is_that_of_a_slow_loop(seed: int, smoothing: float, count: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(count, 8)) * 5
    labels = random.integers(-1, 8, size=count)
    known = random.random((count, 8)) < 0.6
    known[np.arange(count), labels] = True
    found = cross_entropy(torch.tensor(logits), torch.tensor(labels), torch.tensor(known), smoothing)
    assert float(found) == pytest.approx(slow_loss(logits, labels, known, smoothing), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_with_all_classes_known_it_is_the_plain_loss_with_its_gradient(smoothing: float) -> None:
    logits = torch.randn(6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, -1, 7, 3, 3, -1])
    results = []
    for known in (None, torch.ones(6, 8, dtype=torch.bool)):
        leaf = logits.clone().requires_grad_()
        loss = cross_entropy(leaf, labels, known, smoothing)
        torch.autograd.backward(loss)
        assert leaf.grad is not None
        results.append((loss.detach(), leaf.grad))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_class_the_data_set_lacks_is_neither_pushed_down_nor_up(smoothing: float) -> None:
    logits = torch.full((1, 8), 3.0, requires_grad=True)
    known = torch.ones(1, 8, dtype=torch.bool)
    known[0, 7] = False
    torch.autograd.backward(cross_entropy(logits, torch.tensor([2]), known, smoothing))
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 7] == 0
    assert (logits.grad[0, :7] != 0).all()


# --- how often they are seen ------------------------------------------------------------------------------------------------


def frames_of(labels: list[int], track: int = 0) -> LabelledFrames:
    count = len(labels)
    numbers = np.arange(1, count + 1, dtype=np.int32)
    return LabelledFrames(np.full(count, track, np.int32), numbers, np.array(labels, np.int8))


def sampler(videos: LabelledFrames, pictures: LabelledFrames, **changes: object) -> TrainingSampler:
    tracks = int(videos.track.max()) + 1 if len(videos) else 0
    settings: dict[str, object] = {
        "frame_step": 10,
        "frame_draw": "fresh",
        "balance": "none",
        "balance_threshold": 0.15,
        "classes": 8,
        "seed": 3,
        **changes,
    }
    return TrainingSampler(with_pictures(videos, tracks, pictures), **settings)  # type: ignore[arg-type]


VIDEOS = frames_of([0] * 80 + [4] * 20)
PICTURES = frames_of([1, 2, 3] * 9)


@pytest.mark.parametrize("draw", ["fresh", "fixed"])
def test_frames_of_videos_are_thinned_and_pictures_are_not(draw: str) -> None:
    made = sampler(VIDEOS, PICTURES, frame_draw=draw)
    for index in range(4):
        seen = made.pass_samples(index)
        assert sorted(seen[seen >= 100]) == list(range(100, 127))
        blocks = (made.frames.frame[seen[seen < 100]] - 1) // 10
        assert sorted(blocks) == list(range(10))


def test_pictures_change_neither_the_draw_nor_the_balance_of_videos() -> None:
    counts = []
    for pictures in (frames_of([]), PICTURES):
        seen = sampler(VIDEOS, pictures, balance="copies", balance_threshold=0.6).pass_samples(0)
        videos = seen[seen < 100]
        counts.append(np.bincount(videos // 10, minlength=10).tolist())
    # Class 4 has a fifth of the blocks: sqrt(.6 / .2) = 1.7, so two copies; class 0 has four fifths and one.
    assert counts == [[1] * 8 + [2] * 2] * 2


def test_pictures_are_balanced_by_their_own_shares() -> None:
    pictures = frames_of([1] * 18 + [2] * 2)
    seen = sampler(VIDEOS, pictures, balance="copies", balance_threshold=0.4).pass_samples(0)
    rows, copies = np.unique(seen[seen >= 100], return_counts=True)
    # sqrt(.4 / .1) = 2
    assert copies.tolist() == [1] * 18 + [2] * 2
    assert len(rows) == 20


@pytest.mark.parametrize(("share", "wanted"), [(0.5, 10), (0.25, 3), (0.9, 90), (0.01, 1)])
def test_a_share_of_pictures_is_kept_in_every_pass(share: float, wanted: int) -> None:
    made = sampler(VIDEOS, PICTURES, picture_share=share)
    drawn = []
    for index in range(3):
        seen = made.pass_samples(index)
        pictures = seen[seen >= 100]
        assert (len(seen) - len(pictures), len(pictures)) == (10, wanted)
        _, copies = np.unique(pictures, return_counts=True)
        assert copies.max() - (0 if wanted < 27 else copies.min()) <= 1
        drawn.append(frozenset(pictures.tolist()))
    assert wanted in (1, 90) or len(set(drawn)) == 3


def test_pictures_alone_are_a_pass() -> None:
    seen = sampler(frames_of([]), PICTURES).pass_samples(0)
    assert sorted(seen) == list(range(27))


def test_the_order_is_a_function_of_the_step_alone() -> None:
    whole = sampler(VIDEOS, PICTURES, picture_share=0.4)
    first = np.concatenate([whole.step_samples(step, 7) for step in range(9)])
    other = sampler(VIDEOS, PICTURES, picture_share=0.4)
    assert np.array_equal(other.step_samples(8, 7), first[-7:])


# --- in a training ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(drawn_root: Path) -> DataRoot:
    return scan(drawn_root)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, root: DataRoot) -> Path:
    """Twelve images of a validation track as if of RAF-DB, which has no Other; the last cannot be read."""
    folder = tmp_path_factory.mktemp("extra")
    track = root.split("val")[0]
    lines = ["path,label"]
    for number, frame in enumerate(track.frames[:12].tolist()):
        shutil.copy(track.image_path(frame), folder / f"{number}.jpg")
        lines.append(f"{number}.jpg,{number % 7 + 1}")
    (folder / "11.jpg").write_bytes(b"broken")
    (folder / "faces.csv").write_text("\n".join(lines) + "\n")
    return folder / "faces.csv"


def objective(root: DataRoot, data: TrainingData, tiny: dict[str, str], **changes: str) -> SupervisedObjective:
    recipe = recipes.load("res18", {**tiny, "batch": "64", **changes})
    return SupervisedObjective(build_network(recipe, 8), recipe, data)


def test_a_batch_knows_for_each_image_which_classes_its_data_set_has(root: DataRoot, table: Path, tiny: dict[str, str]) -> None:
    made = objective(root, with_extra(on_splits(root), read_extra(table, "raf-db"), None), tiny)
    batch = made.make_batch(0, 0, 1)
    assert batch.known is not None
    frames, samples = made.sampler.frames, made.sampler.step_samples(0, 64)
    is_extra = frames.track[samples] >= len(root.split("train"))
    assert 0 < is_extra.sum() < 64
    expected = np.ones((64, 8), bool)
    expected[is_extra, EXPR.class_names.index("Other")] = False
    assert np.array_equal(batch.known.numpy(), expected)
    published = ["Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral"]
    for row, label in zip(samples[is_extra], batch.labels[torch.from_numpy(is_extra)].tolist(), strict=True):
        number = int(frames.frame[row]) - 1
        assert label == (-1 if number == 11 else EXPR.class_names.index(published[number % 7]))


def test_a_label_shift_of_videos_does_not_shift_pictures(root: DataRoot, table: Path, tiny: dict[str, str]) -> None:
    made = objective(root, with_extra(on_splits(root), read_extra(table, "raf-db"), None), tiny, label_shift="-1")
    pictures = made.sampler.frames.label[made.sampler.first_picture :]
    assert pictures.tolist() == labelled_frames(read_extra(table, "raf-db").tracks).label.tolist()
    assert len(pictures) == 12


def test_without_extra_faces_nothing_is_masked(root: DataRoot, tiny: dict[str, str]) -> None:
    assert objective(root, on_splits(root), tiny).make_batch(0, 0, 1).known is None


def run_tiny(data: TrainingData, root: DataRoot, path: Path, tiny: dict[str, str], lines: list[str]) -> Training:
    recipe = recipes.load("res18", {**tiny, "batch": "16", "iterations": "4", "evaluate_every": "4"})
    return train(recipe, root, path, fresh=False, workers=0, from_scratch=True, say=lines.append, data=data)


def test_extra_faces_are_recorded_change_the_weights_and_not_the_prior(
    root: DataRoot, table: Path, tiny: dict[str, str], tmp_path: Path
) -> None:
    lines: list[str] = []
    extra = with_extra(on_splits(root), read_extra(table, "raf-db"), 0.5)
    plain = run_tiny(on_splits(root), root, tmp_path / "plain", tiny, lines)
    assert not any("left out of training" in line for line in lines)
    mixed = run_tiny(extra, root, tmp_path / "mixed", tiny, lines)
    recorded = mixed.run.manifest["data"]["extra"]
    assert recorded["file"] == "faces.csv"
    assert recorded["images"] == {"faces.csv:raf-db": 12}
    assert recorded["share"] == 0.5
    assert str(table.parent) not in str(mixed.run.manifest)
    assert mixed.run.manifest["prior"] == plain.run.manifest["prior"]
    assert any("left out of training" in line and "11.jpg" in line for line in lines)
    weights = [load_file(checkpoints.folders(done.run)[-1] / state.MODEL) for done in (plain, mixed)]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    with pytest.raises(MismatchError, match=r"data\.extra\.sha256"):
        run_tiny(on_splits(root), root, tmp_path / "mixed", tiny, lines)


def test_extra_values_and_units_reach_the_batch_beside_the_labels_of_the_videos(
    tmp_path: Path, root: DataRoot, tiny: dict[str, str]
) -> None:
    place = write_drawn_root(tmp_path / "root", tracks=(2, 1, 1), rows=12, other_challenges=True)
    data = scan(place, challenge=MTL)
    image = data.split("val")[0].image_path(int(data.split("val")[0].frames[0]))
    lines = ["path,valence,arousal,AU12", f"{image},0.25,-0.75,1"]
    (tmp_path / "faces.csv").write_text("\n".join(lines) + "\n")
    learned = with_extra(on_splits(data), read_extra(tmp_path / "faces.csv", None, MTL), None)
    recipe = recipes.load("res18", {**tiny, "batch": "32", "challenge": "MTL", "balance": "none"})
    made = SupervisedObjective(build_network(recipe, len(parts_of(MTL).columns)), recipe, learned)
    batch = made.make_batch(0, 0, 1)
    frames, samples = made.sampler.frames, made.sampler.step_samples(0, 32)
    is_extra = torch.from_numpy(frames.track[samples] >= len(data.split("train")))
    assert 0 < int(is_extra.sum()) < 32
    unit = [field.name for field in MTL.fields].index("AU12")
    expected = torch.tensor([0.25, -0.75] + [-1.0] * 13, dtype=torch.float64)
    expected[unit] = 1
    assert torch.equal(batch.labels[is_extra], expected.expand(int(is_extra.sum()), -1))
    assert batch.known is not None
    assert bool(batch.known.all())
    loss = made.loss(made.network, batch, 0, Accelerator(cpu=True))
    assert torch.isfinite(loss)


def test_compound_expressions_are_learned_from_extra_faces_alone_and_it_says_so(
    drawn_root: Path, tiny: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "root"
    shutil.copytree(drawn_root / "cropped_aligned", place / "cropped_aligned")
    images = sorted((place / "cropped_aligned").rglob("*.jpg"))[:14]
    words = [name.replace("_", " ") for name in CE.class_names] * 2
    rows = [f"{image},{word}" for image, word in zip(images, words, strict=True)]
    Path("compound.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    changes = [part for key, value in {**tiny, "iterations": "2"}.items() for part in ("--set", f"{key}={value}")]
    common = [
        "train",
        "--recipe",
        "res18",
        "--challenge",
        "CE",
        "--from-scratch",
        "--workers",
        "0",
        "--data",
        str(place),
        *changes,
    ]
    refused = call(*common)
    assert exit_code(refused) == 2
    assert "no labels of CE were ever released" in str(refused.exception)
    assert "--extra FILE" in str(refused.exception)
    output = call(*common, "--workers", "0", "--extra", "compound.csv")
    assert exit_code(output) == 0
    assert "CE has no training labels in Aff-Wild2: learning from the extra faces alone" in output.output + output.stderr
    manifest = Run(Path("runs/res18-extra")).manifest
    assert (manifest["challenge"], manifest["class_names"]) == ("CE", list(CE.class_names))
    assert manifest["prior"] == pytest.approx([1 / 7] * 7)
    fine("predict", "res18-extra", "--split", "test", "--workers", "0", "--data", str(place))
    lines = Path("submissions/res18-extra/predictions.txt").read_text().splitlines()
    assert lines[0].split(",")[1:] == list(CE.class_names)
    assert {line.split(",")[1] for line in lines[1:]} <= set("0123456")


@pytest.mark.parametrize("share", [0.0, 1.0, -0.2, float("nan")])
def test_a_share_that_cannot_be_is_refused(root: DataRoot, table: Path, share: float) -> None:
    with pytest.raises(UsageError, match="this share"):
        with_extra(on_splits(root), read_extra(table, "raf-db"), share)


@pytest.mark.slow
def test_a_first_stage_on_extra_faces_gives_the_weights_of_the_second(
    root: DataRoot, drawn_root: Path, table: Path, tiny: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = [part for key, value in {**tiny, "iterations": "2"}.items() for part in ("--set", f"{key}={value}")]
    common = ["train", "--recipe", "res18", "--workers", "0", "--data", str(drawn_root), *changes]
    output = fine(*common, "--from-scratch", "--on", "extra", "--extra", str(table), "--extra-order", "raf-db")
    first = Run(Path("runs/res18-extra")).manifest
    assert first["data"]["splits"] == []
    assert np.argmax(first["prior"]) != EXPR.class_names.index("Other")
    # The command it names, as it stands but for what would make it long.
    words = output.splitlines()[-1].removeprefix("next: harness ").split()
    short = [part for key in TIMES for part in ("--set", f"{key}={tiny[key]}")]
    fine(*words, "--data", str(drawn_root), "--workers", "0", "--run", "second", *short)
    second = Run(Path("runs/second")).manifest
    assert second["weights"]["file"] == "model.safetensors"
    assert second["recipe"]["backbone"] == first["recipe"]["backbone"]


def test_numbers_without_an_order_are_refused_before_anything_is_written(
    drawn_root: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("train", "--recipe", "res18", "--from-scratch", "--data", str(drawn_root), "--extra", str(table))
    assert exit_code(result) == 2
    assert "class order" in str(result.exception)
    assert not Path("runs").exists()
