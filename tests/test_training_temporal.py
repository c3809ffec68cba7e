"""Temporal training: all frames in windows, exact resuming, equal processes, normalisation, and features that are refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from harness import files
from harness.data.folds import fold_tracks, make_folds
from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.errors import DataError, MismatchError, UsageError
from harness.recipes.temporal import TemporalRecipe
from harness.runs import checkpoints, features, scores
from harness.runs.store import Run
from harness.training import metrics, state
from harness.training.session import Training
from harness.training.start_temporal import train_temporal
from harness.training.temporal import FeatureTrack, TemporalObjective, normalisation
from harness.training.training_data import TrainingData, on_other_folds, on_splits
from models import temporal
from tests.interruption import dies_after, result
from tests.simulated_features import TINY_TEMPORAL, feature_run
from tests.simulated_runs import labelled_root

TrainTemporal = Callable[..., Training]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    """A data root in the working folder of this test, with the feature set `f` of it."""
    monkeypatch.chdir(tmp_path)
    root = labelled_root(tmp_path / "data", recordings=8)
    feature_run(root, tmp_path)
    return root


@pytest.fixture
def train(root: DataRoot, tmp_path: Path) -> TrainTemporal:
    """Trains a tiny temporal recipe with changes into a run of this test."""

    def call(
        name: str = "a",
        sets: tuple[str, ...] = ("f",),
        workers: int = 0,
        fresh: bool = False,
        recipe: str = "temporal-transformer",
        lines: list[str] | None = None,
        data: DataRoot | None = None,
        on: TrainingData | None = None,
        **changes: str,
    ) -> Training:
        said = [] if lines is None else lines
        return train_temporal(
            TemporalRecipe.load(recipe, {**TINY_TEMPORAL, **changes}),
            data or root,
            sets,
            tmp_path / "runs" / name,
            on or on_splits(data or root),
            fresh=fresh,
            workers=workers,
            say=said.append,
        )

    return call


@pytest.mark.parametrize("recipe", ["temporal-transformer", "temporal-tcn"])
def test_both_models_learn_labels_from_features_with_noise(train: TrainTemporal, recipe: str) -> None:
    done = train(
        recipe=recipe, iterations="100", evaluate_every="100", checkpoint_every="100", dropout="0.1", learning_rate="1e-2"
    )
    losses = [line["loss"] for line in metrics.read(done.run) if "loss" in line]
    assert len(losses) == 100
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    assert done.outcome.metric is not None
    assert done.outcome.metric > 0.3


@pytest.mark.parametrize("recipe", ["temporal-transformer", "temporal-tcn"])
def test_a_temporal_training_interrupted_at_any_step_ends_with_the_same_bytes(train: TrainTemporal, recipe: str) -> None:
    whole = train("whole", recipe=recipe)
    for died_after, workers in [(1, 0), (5, 2), (7, 0), (11, 2)]:
        with dies_after(died_after):
            train("parts", recipe=recipe, workers=workers)
    lines: list[str] = []
    parts = train("parts", recipe=recipe, workers=2, lines=lines)
    assert any("resumed at step 8" in line for line in lines)
    assert result(parts.run) == result(whole.run)


def test_another_seed_gives_other_weights(train: TrainTemporal) -> None:
    first, second = (checkpoints.folders(train(name, seed=seed).run)[-1] for name, seed in (("a", "0"), ("b", "1")))
    assert files.sha256(first / state.MODEL) != files.sha256(second / state.MODEL)


def objective_of(root: DataRoot, **changes: str) -> TemporalObjective:
    recipe = TemporalRecipe.load("temporal-transformer", {**TINY_TEMPORAL, "rate": "30", **changes})
    sets = features.open_sets(["f"], ["train", "val"])
    tracks = [
        [FeatureTrack(track, features.read(sets, track, split)) for track in root.split(split)] for split in ("train", "val")
    ]
    network = temporal.build(widths=[8], classes=8, **recipe.network_arguments())
    return TemporalObjective(network, recipe, tracks[0], tracks[1], [1 / 8] * 8, root.challenge)


def test_two_processes_together_have_the_loss_and_gradient_of_one(root: DataRoot) -> None:
    objective = objective_of(root)

    class Device:
        """The part of an Accelerator that a loss looks at."""

        device = torch.device("cpu")
        num_processes = 1

    def gradient(rank: int, processes: int) -> tuple[float, torch.Tensor]:
        objective.network.zero_grad()
        loss = objective.loss(objective.network, objective.make_batch(3, rank, processes), 3, Device())
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()), torch.cat(
            [value.grad.flatten() for value in objective.network.parameters() if value.grad is not None]
        )

    (one, whole), (left, first), (right, second) = gradient(0, 1), gradient(0, 2), gradient(1, 2)
    assert one == pytest.approx((left + right) / 2, rel=1e-5)
    torch.testing.assert_close((first + second) / 2, whole, atol=1e-6, rtol=1e-4)


def test_the_loss_is_the_weighted_mean_over_the_labelled_seen_frames_of_a_slow_loop(root: DataRoot) -> None:
    objective = objective_of(root, label_smoothing="0.1", dropout="0")
    batch = objective.make_batch(0, 0, 1)
    logits = objective.network(batch.features, batch.masks).detach().double()
    counts = np.zeros(8)
    for track in root.split("train"):
        assert track.labels is not None
        for frame in track.frames:
            if track.labels[frame - 1] >= 0:
                counts[track.labels[frame - 1]] += 1
    share = counts / counts.sum()
    total = weight = 0.0
    for row in range(len(logits)):
        for place in range(logits.shape[1]):
            label = int(batch.labels[row, place, 0])
            if label < 0:
                continue
            assert batch.masks[row, place]
            factor = max(1.0, (0.15 / share[label]) ** 0.5)
            target = torch.full((8,), 0.1 / 8, dtype=torch.float64)
            target[label] += 0.9
            total += factor * float(-(target * torch.log_softmax(logits[row, place], 0)).sum())
            weight += factor

    class Device:
        """The part of an Accelerator that a loss looks at."""

        device = torch.device("cpu")
        num_processes = 1

    found = objective.loss(objective.network, batch, 0, Device())
    assert float(found.detach()) == pytest.approx(total / weight, rel=1e-5)


def test_training_windows_hold_unlabelled_frames_and_mask_them_in_the_loss(root: DataRoot) -> None:
    objective = objective_of(root)
    unlabelled = labelled = 0
    for step in range(20):
        batch = objective.make_batch(step, 0, 1)
        unlabelled += int((batch.masks & (batch.labels < 0)).sum())
        labelled += int((batch.labels >= 0).sum())
    # A tenth of the labels of this root are -1.
    assert 0.05 < unlabelled / (unlabelled + labelled) < 0.15


def test_the_normalisation_is_that_of_the_training_split_alone_and_in_the_checkpoint(
    root: DataRoot, train: TrainTemporal
) -> None:
    stored = load_file(checkpoints.folders(train().run)[-1] / state.MODEL)
    values = np.concatenate(
        [np.load(f"runs/f/features/train/{track.name}.npz")["feature"] for track in root.split("train")]
    ).astype(np.float64)
    np.testing.assert_allclose(stored["mean"].numpy(), values.mean(axis=0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(stored["deviation"].numpy(), values.std(axis=0), rtol=1e-5)


def test_a_feature_that_never_changes_is_not_divided_by_zero(root: DataRoot) -> None:
    network = temporal.build(widths=[2], classes=8, **TemporalRecipe.load("temporal-tcn", TINY_TEMPORAL).network_arguments())
    network.set_normalisation(torch.tensor([1.0, 5.0]), torch.tensor([2.0, 0.0]))
    assert network.deviation.tolist() == [2.0, 1.0]
    with pytest.raises(DataError, match="no features"):
        normalisation([])


def test_several_sets_stand_side_by_side(root: DataRoot, tmp_path: Path, train: TrainTemporal) -> None:
    feature_run(root, tmp_path, "g", width=9, seed=1)
    sets = features.open_sets(["f", "g"], ["train"])
    track = root.split("train")[0]
    both = features.read(sets, track, "train")
    parts = [np.load(f"runs/{name}/features/train/{track.name}.npz")["feature"] for name in ("f", "g")]
    np.testing.assert_array_equal(both.gather(np.arange(len(both.frame))), np.concatenate(parts, axis=1))
    done = train(sets=("f", "g"))
    assert load_file(checkpoints.folders(done.run)[-1] / state.MODEL)["mean"].shape == (17,)
    assert [entry["run"] for entry in done.run.manifest["features"]] == ["f", "g"]


def _with_every_fifth_frame_alone(root: DataRoot, tmp_path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Makes the set `h`, which is `f` without every fifth row; returns the rows of `f` and which of them `h` has."""
    data = dict(np.load(tmp_path / "f.npz"))
    keep = np.arange(len(data["frame"])) % 5 != 0
    np.savez(tmp_path / "h.npz", track=data["track"][keep], frame=data["frame"][keep], h=data["f"][keep])
    from harness.runs.feature_imports import import_features, open_features

    import_features(open_features(tmp_path / "h.npz", 10_000), root, "", fresh=False)
    return data, keep


def test_a_frame_that_one_set_lacks_is_left_out_where_all_must_have_it(root: DataRoot, tmp_path: Path) -> None:
    data, keep = _with_every_fifth_frame_alone(root, tmp_path)
    sets = features.open_sets(["f", "h"], ["val"])
    for track in root.split("val"):
        mine = data["track"] == track.name
        expected = data["frame"][mine & keep]
        both = features.read(sets, track, "val")
        np.testing.assert_array_equal(both.frame, expected)
        np.testing.assert_array_equal(both.gather(np.arange(len(both.frame)))[:, :8], data["f"][mine & keep])


def test_a_frame_that_one_set_lacks_is_kept_with_zeros_and_a_mask_in_the_union(root: DataRoot, tmp_path: Path) -> None:
    data, keep = _with_every_fifth_frame_alone(root, tmp_path)
    sets = features.open_sets(["h", "f"], ["val"])
    for track in root.split("val"):
        mine = data["track"] == track.name
        both = features.read(sets, track, "val", frames_of=features.UNION)
        np.testing.assert_array_equal(both.frame, data["frame"][mine])
        np.testing.assert_array_equal(both.present, np.stack([keep[mine], np.ones(mine.sum(), bool)], axis=1))
        expected = np.concatenate([np.where(keep[mine, None], data["f"][mine], 0), data["f"][mine]], axis=1)
        np.testing.assert_array_equal(both.gather(np.arange(len(both.frame))), expected)


def test_a_training_on_the_union_normalises_each_set_over_its_own_frames_and_scores_every_frame(
    root: DataRoot, tmp_path: Path, train: TrainTemporal
) -> None:
    data, keep = _with_every_fifth_frame_alone(root, tmp_path)
    done = train(name="u", sets=("h", "f"), fusion="gate", set_dropout="0.3")
    assert done.run.manifest["recipe"]["frames"] == "union"
    learned = np.isin(data["track"], [track.name for track in root.split("train")])
    mean = load_file(checkpoints.folders(done.run)[-1] / state.MODEL)["mean"].numpy()
    expected = [data["f"][learned & keep].mean(axis=0), data["f"][learned].mean(axis=0)]
    np.testing.assert_allclose(mean, np.concatenate(expected), atol=1e-5)


def test_a_run_that_began_on_common_frames_goes_on_with_them(root: DataRoot, tmp_path: Path, train: TrainTemporal) -> None:
    """Runs of the time before the union have no key `frames`, and their checkpoints do not say of their settings."""
    _with_every_fifth_frame_alone(root, tmp_path)
    done = train(name="old", sets=("h", "f"), iterations="4", frames="common")
    manifest = files.read_json(done.run.manifest_path)
    del manifest["recipe"]["frames"]
    files.write_json(done.run.manifest_path, manifest)
    place = checkpoints.folders(done.run)[-1] / checkpoints.MANIFEST
    of_before = {key: value for key, value in files.read_json(place).items() if key not in (checkpoints.SEAL, "settings")}
    files.write_json(place, checkpoints._sealed(of_before))
    again = train(name="old", sets=("h", "f"), iterations="4")
    assert again.was_done
    assert "frames" not in again.run.manifest["recipe"]


@pytest.mark.parametrize("sets", [("nobody",), ("f", "f")])
def test_a_set_that_is_not_there_or_stands_twice_is_refused(train: TrainTemporal, sets: tuple[str, ...]) -> None:
    with pytest.raises((DataError, UsageError), match=r"no run called 'nobody'|named twice"):
        train(sets=sets)


def test_a_split_without_features_names_the_command(train: TrainTemporal) -> None:
    shutil.rmtree("runs/f/features/val")
    with pytest.raises(DataError, match="no complete features of split 'val'") as refusal:
        train()
    assert "`harness features f --split val`" in str(refusal.value)


def test_a_flipped_byte_in_a_feature_file_is_refused_with_the_track(root: DataRoot, train: TrainTemporal) -> None:
    track = root.split("train")[1]
    path = Path(f"runs/f/features/train/{track.name}.npz")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"the features of track {track.name} are missing or damaged"):
        train()


def test_features_of_other_images_than_the_data_has_are_refused(root: DataRoot, tmp_path: Path) -> None:
    # As if these features had been made here and one image had gone since.
    track = root.split("train")[0]
    (one,) = features.open_sets(["f"], ["train"])
    made = features.FeatureSet(one.run, "checkpoint", one.settings)
    _, _, record = scores.read_record(one.run, "train", track.name, scores.FEATURES) or pytest.fail("no record")
    scores.write_record(one.run, "train", track.name, made.key(), "", record, scores.FEATURES)
    assert len(features.read([made], track, "train").frame) == len(track.frames)
    with pytest.raises(DataError, match="are of other images than the data has"):
        features.read([made], replace(track, frames=track.frames[:-1]), "train")


def test_on_both_splits_no_score_is_claimed_and_a_fold_is_validated_on(root: DataRoot, train: TrainTemporal) -> None:
    done = train("both", on=on_splits(root, "train+val"))
    assert done.outcome.metric is None
    assert done.run.manifest["data"]["splits"] == ["train", "val"]
    folds = make_folds(fold_tracks(root), 2, 0)
    assert train("fold", on=on_other_folds(root, folds, 1)).outcome.metric is not None


def test_splits_whose_features_were_made_differently_are_refused(train: TrainTemporal) -> None:
    index = Path("runs/f/features/val/features.json")
    content = files.read_json(index)
    content["settings"]["sha256"] = "0" * 64
    files.write_json(index, content)
    with pytest.raises(MismatchError, match="the features of train and val were made with different"):
        train()


def test_a_run_of_other_features_does_not_resume(root: DataRoot, tmp_path: Path, train: TrainTemporal) -> None:
    train()
    feature_run(root, tmp_path, "g", seed=1)
    with pytest.raises(MismatchError, match="features"):
        train(sets=("g",))


def test_recordings_without_a_rate_are_refused_unless_one_is_said(root: DataRoot, tmp_path: Path, train: TrainTemporal) -> None:
    (tmp_path / "data" / "frame_rates.csv").unlink()
    timeless = scan(tmp_path / "data", use_cache=False)
    with pytest.raises(DataError, match="a temporal model needs time") as refusal:
        train(data=timeless)
    assert "--fps 30" in str(refusal.value)
    assert train(data=timeless, fps="30").outcome.step == 12


def test_the_rate_is_resolved_once_and_kept(train: TrainTemporal) -> None:
    assert train().run.manifest["recipe"]["rate"] == 30.0
    assert train("slow", rate="15").run.manifest["recipe"]["rate"] == 15.0


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoints(train: TrainTemporal) -> None:
    with pytest.raises(DataError, match="is not finite"):
        train(learning_rate="1e30", optimizer="sgd", clip_gradient="0", warmup="0", iterations="40")


def test_a_run_says_what_it_learned_from(train: TrainTemporal) -> None:
    from harness.runs.lineage import learned_from

    run: Run = train().run
    assert learned_from(run, "train") == ["a"]
    assert learned_from(run, "val") == []
    manifest = files.read_json("runs/f/run.json")
    # As if the features came from a network that was trained on the validation split.
    files.write_json("runs/f/run.json", {**manifest, "kind": "training", "data": {"splits": ["train", "val"]}})
    assert learned_from(run, "val") == ["f"]
