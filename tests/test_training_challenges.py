"""Frame-wise training of values, of units and of all three tasks, on drawn faces with a tiny network."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from safetensors.torch import load_file
from sklearn.metrics import f1_score
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from harness.challenge import AU, EXPR, MTL, VA, Challenge, challenge_named
from harness.commands.shared.training import Chosen, chosen_recipe, recipe_options
from harness.data.scan import scan
from harness.data.tracks import Track
from harness.demo.drawn import write_drawn_root
from harness.errors import UsageError
from harness.kinds.parts import parts_of
from harness.recipes import recipe as recipes
from harness.recipes.recipe import Recipe
from harness.training.network import build_network
from harness.training.start import train
from harness.training.supervised import SupervisedObjective
from harness.training.training_data import class_prior, on_splits
from harness.training.validation import track_sums
from tests.interruption import dies_after
from tests.test_cli_road import fine

TINY = {
    "backbone": "res18",
    "head": "pooled",
    "freeze_stages": "0",
    "decode_size": "32",
    "image_size": "32",
    "test_resize": "32",
    "batch": "6",
    "iterations": "4",
    "evaluate_every": "4",
    "checkpoint_every": "2",
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All challenges in one root of small tracks."""
    place = tmp_path_factory.mktemp("challenges") / "root"
    return write_drawn_root(place, tracks=(2, 2, 1), rows=14, other_challenges=True)


class Answering(torch.nn.Module):
    """A network that gives the same outputs to all images."""

    def __init__(self, outputs: torch.nn.Parameter) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.outputs


def objective(root: Path, challenge: Challenge, **changes: str) -> SupervisedObjective:
    recipe = recipes.load("res18", {**TINY, "challenge": challenge.name, **changes})
    network = build_network(recipe, len(parts_of(challenge).columns))
    return SupervisedObjective(network, recipe, on_splits(scan(root, challenge=challenge)))


@pytest.mark.parametrize(
    ("arguments", "recipe", "challenge"),
    [
        ({}, "res50", "EXPR"),
        ({"challenge": "va"}, "va", "VA"),
        ({"challenge": "AU"}, "au", "AU"),
        ({"challenge": "MTL"}, "mtl", "MTL"),
        ({"recipe_name": "mtl-lite0"}, "mtl-lite0", "MTL"),
        ({"recipe_name": "mtl-lite0", "challenge": "VA"}, "mtl-lite0", "VA"),
    ],
)
def test_what_is_trained_by_default_is_the_recipe_of_the_challenge(
    root: Path, arguments: dict[str, str], recipe: str, challenge: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"recipe_name": None, "data": str(root), "seed": None, "weights": None, "from_scratch": False, **arguments}
    words = [word for key, value in asked.items() if isinstance(value, str) for word in (f"--{key.removesuffix('_name')}", value)]
    found: list[Chosen[Recipe]] = []

    @click.command()
    @recipe_options
    def command(from_scratch: bool, **given: Any) -> None:
        found.append(chosen_recipe(**given))

    command.main(words, standalone_mode=False)
    assert (found[0].name, found[0].recipe.challenge, found[0].root.challenge.name) == (recipe, challenge, challenge)
    told = "too, trained with --challenge" in capsys.readouterr().err
    assert told == (not arguments)


def test_a_recipe_of_a_challenge_that_the_root_lacks_says_what_it_holds(tmp_path: Path) -> None:
    place = tmp_path / "VA_Estimation_Challenge" / "Train_Set"
    place.mkdir(parents=True)
    (tmp_path / "cropped_aligned").mkdir()
    (place / "a.txt").write_text("valence,arousal\n0.5,-0.1\n")
    assert chosen_recipe(None, str(tmp_path), [], None, None).recipe.challenge == "VA"
    with pytest.raises(UsageError, match="nothing of EXPR") as caught:
        chosen_recipe("res50", str(tmp_path), [], None, None)
    assert "holds VA" in str(caught.value)
    assert "--challenge VA" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "metrics"),
    [pytest.param("VA", 3, marks=pytest.mark.slow), pytest.param("AU", 1, marks=pytest.mark.slow), ("MTL", 6)],
)
def test_a_challenge_is_trained_and_goes_on_with_the_same_bytes(root: Path, tmp_path: Path, name: str, metrics: int) -> None:
    data = scan(root, challenge=challenge_named(name))
    weights = []
    recipe = replace(recipes.load("res18", {**TINY, "challenge": name, "lowest_learning_rate": "0.005"}), warmup=0)
    for run in ("whole", "parted"):
        if run == "parted":
            with dies_after(3):
                train(recipe, data, tmp_path / run, fresh=False, workers=0, from_scratch=True, say=lambda line: None)
        done = train(recipe, data, tmp_path / run, fresh=False, workers=0, from_scratch=True, say=lambda line: None)
        assert done.outcome.metric is not None
        assert done.run.manifest["challenge"] == name
        assert done.run.class_names == parts_of(data.challenge).columns
        weights.append((done.run.path / "checkpoints" / "step-00000004" / "model.safetensors").read_bytes())
        last = (done.run.path / "metrics.jsonl").read_text().splitlines()[-1]
        assert last.count(":") - 1 == metrics
    assert weights[0] == weights[1]


@pytest.mark.parametrize("challenge", [VA, AU, MTL])
def test_every_field_that_is_labelled_moves_the_loss_and_none_that_is_not(root: Path, challenge: Challenge) -> None:
    made = objective(root, challenge)
    batch = made.make_batch(0, 0, 1)
    batch.labels[:] = torch.tensor(challenge.ignored, dtype=batch.labels.dtype)
    accelerator = Accelerator(cpu=True)
    made.network.eval()
    outputs = torch.nn.Parameter(torch.linspace(-1, 1, 6 * len(made.parts.columns)).reshape(6, -1).sin())

    def gradient() -> torch.Tensor:
        loss = made.loss(Answering(outputs), batch, 0, accelerator)
        return torch.autograd.grad(loss, outputs)[0].abs().sum(dim=0)

    assert not gradient().any()
    for own in made.parts.placed:
        for place in range(own.fields.start, own.fields.stop):
            batch.labels[:] = torch.tensor(challenge.ignored, dtype=batch.labels.dtype)
            batch.labels[:, place] = torch.tensor([0, 1, 0, 1, 1, 0])
            moved = gradient() > 0
            first = own.columns.start
            if len(own.part.fields) > 1:
                assert moved.nonzero().flatten().tolist() == [first + place - own.fields.start]
            else:
                assert moved.nonzero().flatten().tolist() == list(range(first, own.columns.stop))


def test_frames_without_any_label_are_not_drawn(root: Path) -> None:
    made = objective(root, VA)
    assert len(made.sampler.frames)
    assert not (made.sampler.frames.label == -5).any()
    assert not (objective(root, AU).sampler.frames.label < 0).all(axis=1).any()


def test_what_is_known_of_a_frame_without_a_face_is_the_mean_and_the_share(root: Path) -> None:
    tracks = scan(root, challenge=VA).split("train")
    together = np.concatenate([track.labels[track.labels[:, 0] != -5] for track in tracks])  # type: ignore[index]
    assert class_prior(tracks, VA) == pytest.approx(together.mean(axis=0), abs=1e-8)
    units = scan(root, challenge=AU).split("train")
    labels = np.concatenate([track.labels[track.labels[:, 0] >= 0] for track in units])  # type: ignore[index]
    assert class_prior(units, AU) == pytest.approx(labels.mean(axis=0), abs=1e-8)


def test_a_frame_that_is_asked_for_twice_counts_twice_in_validation(root: Path) -> None:
    parts = parts_of(MTL)
    track: Track = scan(root, challenge=MTL).split("val")[0]
    assert track.labels is not None
    outputs = np.random.default_rng(0).normal(size=(len(track.frames), len(parts.columns))).astype(np.float32)
    once = replace(track, asked=track.frames)
    twice = replace(track, asked=np.append(track.frames, track.frames))
    prior = class_prior([track], MTL)
    one, two = (track_sums(parts, it, track.frames, outputs, np.empty(0, np.int32), prior, True) for it in (once, twice))
    np.testing.assert_allclose(two, 2 * one)
    answers, labels = parts.decode(parts.activate(outputs)), track.labels[track.frames - 1]
    means = [f1_score(labels[labels[:, k] >= 0, k], answers[labels[:, k] >= 0, k], zero_division=0) for k in range(3, 15)]
    assert float(parts.measure(one, "unit_f1")) == pytest.approx(np.mean(means))


def test_a_recipe_and_data_of_two_challenges_are_refused(root: Path, tmp_path: Path) -> None:
    recipe = recipes.load("res18", {**TINY, "challenge": "VA"})
    with pytest.raises(UsageError, match="two challenges"):
        train(recipe, scan(root), tmp_path / "run", fresh=False, workers=0, from_scratch=True, say=lambda line: None)


def test_weights_of_parts_that_there_are_not_are_refused(root: Path) -> None:
    with pytest.raises(UsageError, match="part_weights"):
        objective(root, VA, part_weights="[1, 2, 3]")


def test_the_weight_of_a_part_reaches_its_loss(root: Path) -> None:
    accelerator = Accelerator(cpu=True)
    values = []
    for weights in ("[1, 0]", "[0, 1]", "[1, 1]", "[2, 3]"):
        made = objective(root, VA, part_weights=weights)
        values.append(float(made.loss(made.network, made.make_batch(0, 0, 1), 0, accelerator).detach()))
    assert values[2] == pytest.approx(values[0] + values[1])
    assert values[3] == pytest.approx(2 * values[0] + 3 * values[1])


@pytest.mark.parametrize("name", [pytest.param("VA", marks=pytest.mark.slow), pytest.param("AU", marks=pytest.mark.slow), "MTL"])
def test_a_run_is_predicted_written_judged_and_reported(
    tmp_path: Path, tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """From the labels to a validated submission through the command line; no verb ends in a traceback."""
    monkeypatch.chdir(tmp_path)
    write_drawn_root("data", other_challenges=True)
    settings = [
        word for key, value in {**tiny, "iterations": "2", "challenge": name}.items() for word in ("--set", f"{key}={value}")
    ]
    fine("train", "--recipe", "res18", "--data", "data", "--run", "a", "--from-scratch", "--workers", "0", *settings)
    said = fine("predict", "a", "--split", "val", "--workers", "0")
    assert said.splitlines()[-1] == "next: harness evaluate a --split val"
    said = fine("predict", "a", "--split", "test", "--workers", "0")
    assert "0 errors, 0 warnings" in said
    counts = re.search(r"([\d,]+) rows, ([\d,]+) of them imputed because no face was seen", said)
    assert counts is not None
    assert int(counts[2].replace(",", "")) <= int(counts[1].replace(",", ""))
    assert "95 % interval over " in fine("evaluate", "a")
    assert "next: " in fine("report", "a").splitlines()[-1]


# How much counts what: recipe keys against torch's own losses on labels counted in the files.


def labels_in(root: Path, folder: str) -> NDArray[np.float64]:
    """All label lines of a challenge's training files."""
    place = root / "5th_ABAW_Annotations" / folder / "Train_Set"
    lines = [line for path in sorted(place.glob("*.txt")) for line in path.read_text().splitlines()[1:]]
    return np.array([[float(number) for number in line.split(",")] for line in lines])


def criterion_loss(made: SupervisedObjective, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    count = len(labels)
    found: torch.Tensor = made.criterion.double()(outputs, labels.reshape(count, -1), lambda total: total / count)
    return found


def some_classes(root: Path) -> tuple[NDArray[np.int64], torch.Tensor, torch.Tensor]:
    """The class counts of the training files, and outputs and labels of a batch, of which some are missing."""
    known = labels_in(root, "EXPR_Classification_Challenge")[:, 0]
    counts = np.bincount(known[known >= 0].astype(int), minlength=8)
    generator = torch.Generator().manual_seed(1)
    return counts, torch.randn(40, 8, generator=generator).double(), torch.randint(-1, 8, (40,), generator=generator)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root whose training tracks show all classes and all units."""
    place = tmp_path_factory.mktemp("challenges") / "wide"
    return write_drawn_root(place, tracks=(7, 1, 1), rows=150, other_challenges=True)


def test_balanced_class_weights_are_scikit_learns_and_given_ones_are_taken(wide: Path) -> None:
    counts, outputs, labels = some_classes(wide)
    assert (counts > 0).all()
    seen = np.repeat(np.arange(8), counts)
    balanced = torch.tensor(compute_class_weight("balanced", classes=np.arange(8), y=seen))
    for text, weights in (("balanced", balanced), ("1, 2, 3, 4, 5, 6, 7, .5", torch.tensor([1, 2, 3, 4, 5, 6, 7, 0.5]).double())):
        made = objective(wide, EXPR, class_weights=text)
        expected = F.cross_entropy(outputs, labels, weights, ignore_index=-1, reduction="sum") / 40
        torch.testing.assert_close(criterion_loss(made, outputs, labels), expected, rtol=1e-6, atol=0)


def test_logit_adjustment_adds_the_logarithms_of_the_class_shares(wide: Path) -> None:
    counts, outputs, labels = some_classes(wide)
    shifted = outputs + 0.7 * torch.log(torch.tensor(counts / counts.sum()))
    expected = F.cross_entropy(shifted, labels, ignore_index=-1, reduction="sum") / 40
    made = objective(wide, EXPR, logit_adjustment="0.7")
    torch.testing.assert_close(criterion_loss(made, outputs, labels), expected, rtol=1e-6, atol=0)


def test_balanced_active_weights_are_torchs_positive_weights(wide: Path) -> None:
    known = labels_in(wide, "AU_Detection_Challenge")
    active = (known == 1).sum(axis=0)
    assert 3 <= np.count_nonzero(active) < 12
    # A unit that nobody ever shows counts as it is.
    odds = torch.tensor(np.where(active > 0, (known == 0).sum(axis=0) / np.maximum(active, 1), 1.0))
    generator = torch.Generator().manual_seed(2)
    outputs, labels = torch.randn(30, 12, generator=generator).double(), torch.randint(-1, 2, (30, 12), generator=generator)
    units = torch.linspace(0, 2, 12, dtype=torch.float64)
    for text, positive in (("balanced", odds), (",".join(["3"] * 12), torch.full((12,), 3.0, dtype=torch.float64))):
        made = objective(wide, AU, active_weights=text, unit_weights=str([round(weight, 6) for weight in units.tolist()]))
        every = F.binary_cross_entropy_with_logits(outputs, labels.double(), reduction="none", pos_weight=positive)
        expected = (every * units * (labels >= 0)).sum() / 12 / 30
        torch.testing.assert_close(criterion_loss(made, outputs, labels), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("challenge", "changes", "said"),
    [
        (EXPR, {"class_weights": "'1,2'"}, "class_weights does not fit.*2 numbers.*8, or balanced"),
        (EXPR, {"class_weights": "rare"}, "class_weights has an unknown value.*'rare'.*none, balanced, or numbers"),
        (EXPR, {"class_weights": "'1,-2'"}, "class_weights has an unknown value"),
        (AU, {"active_weights": "'1,2'"}, "active_weights does not fit.*12, or balanced"),
        (AU, {"active_weights": "0x1"}, "active_weights has an unknown value"),
        (MTL, {"unit_weights": "[1, 2]"}, "unit_weights does not fit.*2 numbers.*12, one for each unit"),
        (MTL, {"unit_weights": "[-1]"}, "unit_weights is out of range"),
        (EXPR, {"logit_adjustment": "1"}, "no frame of .* to learn from.*labelled frames of every class"),
    ],
)
def test_weights_that_cannot_be_meant_are_refused_with_what_is_expected(
    root: Path, challenge: Challenge, changes: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError, match=f"(?s){said}"):
        objective(root, challenge, **changes)


@pytest.mark.parametrize("average", [pytest.param("0", marks=pytest.mark.slow), "0.9"])
def test_learned_weights_of_the_parts_move_go_on_and_are_no_part_of_what_predicts(
    root: Path, tmp_path: Path, average: str
) -> None:
    data = scan(root, challenge=MTL)
    changes = {**TINY, "challenge": "MTL", "learn_part_weights": "true", "average": average, "lowest_learning_rate": "0.005"}
    states = []
    recipe = replace(recipes.load("res18", changes), warmup=0)
    for run in ("whole", "parted"):
        if run == "parted":
            with dies_after(3):
                train(recipe, data, tmp_path / run, fresh=False, workers=0, from_scratch=True, say=lambda line: None)
        train(recipe, data, tmp_path / run, fresh=False, workers=0, from_scratch=True, say=lambda line: None)
        last = sorted((tmp_path / run / "checkpoints").glob("step-*"))[-1]
        states.append(
            [(last / name).read_bytes() for name in ("model.safetensors", "extra.safetensors", "optimizer.safetensors")]
        )
        extra = load_file(last / "extra.safetensors")
        assert bool((extra["part_log_variances"] != 0).all())
        assert "part_log_variances" not in load_file(last / "model.safetensors")
    assert states[0] == states[1]
    network = build_network(recipe, len(parts_of(MTL).columns))
    network.load_state_dict(load_file(last / "model.safetensors"))
