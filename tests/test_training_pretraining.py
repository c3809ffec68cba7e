"""Pre-training on the one loop: exact resuming, what it reads, what it exports."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from harness import files
from harness.data.landmarks import COLUMNS
from harness.data.scan import scan
from harness.errors import DataError, MismatchError, UsageError
from harness.images.batches import ImageRequest, read_batch
from harness.recipes import pretraining
from harness.recipes.pretraining import METHODS, PretrainingRecipe
from harness.runs import checkpoints
from harness.runs.store import Run
from harness.studies.probe import find_target
from harness.studies.reproduce import reproduce
from harness.training import metrics, optimization, session
from harness.training import pretrain as pretrain_module
from harness.training.pretrain import Pretraining, pretrain, trained_method
from harness.training.pretraining import PretrainingObjective, build_method
from models import registry, ssl, weights
from models.backbones import vit
from models.ssl.base import Partners
from models.ssl.contrawarping import ContraWarping
from models.ssl.fields import WarpField
from models.ssl.landmarks import TEMPLATE, TEMPLATE_SIDE
from models.ssl.views import ViewSettings
from models.ssl.warp import LocalWarp
from tests.earlier_checkpoints import forget_settings
from tests.interruption import dies_after, result
from tests.small_pretraining import SMALL

PretrainSmall = Callable[..., Pretraining]

TINY_MAE = {"backbone": "vit-b16"}
"""With the fixture `tiny_mae` masked autoencoding of a network that is a vision transformer by name and small."""


@pytest.fixture
def tiny_mae(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shrinks ViT-B/16 and the decoder of masked autoencoding."""
    monkeypatch.setattr(vit, "build_b16", lambda image_size=32: vit.VisionTransformer(image_size, 16, 24, depth=2, heads=2))
    decoder: dict[str, Any] = {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
    monkeypatch.setitem(ssl.METHODS, "mae", functools.partial(ssl.METHODS["mae"], **decoder))


@pytest.fixture
def small(tmp_path: Path, drawn_root: Path) -> PretrainSmall:
    """Pre-trains a small network with changes into a run of this test."""

    def call(name: str = "a", workers: int = 0, **changes: str) -> Pretraining:
        recipe = pretraining.load({**SMALL, **changes})
        said: list[str] = []
        return pretrain(recipe, scan(drawn_root), tmp_path / name, fresh=False, workers=workers, say=said.append)

    return call


@pytest.mark.parametrize(
    "method", ["contrawarping", *(pytest.param(name, marks=pytest.mark.slow) for name in ("byol", "simclr", "moco")), "mae"]
)
def test_a_pre_training_interrupted_at_any_step_ends_with_the_same_bytes(
    small: PretrainSmall, tiny_mae: None, method: str
) -> None:
    settings = {"method": method, **(TINY_MAE if method == "mae" else {})}
    whole = small("whole", **settings)
    for died_after, workers in ((2, 0), (4, 1), (7, 0)):
        with dies_after(died_after):
            small("parts", workers=workers, **settings)
    parts = small("parts", **settings)
    assert result(parts.run) == result(whole.run)


PAIRS = {"positives": "track", "positive_seconds": "0.2", "sampling": "tracks"}


@pytest.mark.parametrize("method", [pytest.param(name, marks=pytest.mark.slow) for name in ("contrawarping", "simclr")])
def test_a_pre_training_on_pairs_of_frames_interrupted_at_any_step_ends_with_the_same_bytes(
    small: PretrainSmall, points: Path, method: str
) -> None:
    settings = {"method": method, **PAIRS, **({"landmarks": str(points)} if method == "contrawarping" else {})}
    whole = small("whole", **settings)
    for died_after, workers in ((2, 0), (4, 1), (7, 0)):
        with dies_after(died_after):
            small("parts", workers=workers, **settings)
    assert result(small("parts", **settings).run) == result(whole.run)
    assert {key: whole.run.manifest["recipe"][key] for key in PAIRS} == {**PAIRS, "positive_seconds": 0.2}
    assert not set(PAIRS) & set(small("images", method=method, iterations="1").run.manifest["recipe"])


def objective_of(root: Path, **changes: str) -> PretrainingObjective:
    """The objective of a small pre-training on the train split."""
    recipe = pretraining.load({**SMALL, "decode_size": "32", **changes})
    method = build_method(recipe, registry.create(recipe.backbone, image_size=32))
    return PretrainingObjective(method, recipe, scan(root).split("train"))


def test_two_frames_of_a_track_are_read_for_each_pair_whatever_share_of_the_batch_a_process_has(drawn_root: Path) -> None:
    objective = objective_of(drawn_root, method="simclr", batch="6", **PAIRS)
    tracks, frames = objective.tracks, objective.sampler.frames
    assert {track.frame_rate for track in tracks} == {30.0, 12.5}
    for step in range(3):
        whole = objective.make_batch(step, 0, 1)
        assert whole.partners is not None
        rows = objective.sampler.step_samples(step, 6).tolist()
        for place, row in enumerate(rows):
            track = tracks[frames.track[row]]
            near = [number for number in track.frames.tolist() if 0 < abs(number - frames.frame[row]) <= 0.2 * track.frame_rate]
            shown = read_batch([ImageRequest(track, number) for number in [int(frames.frame[row]), *near]], 32).images
            assert torch.equal(whole.images.images[place], shown[0])
            assert any(torch.equal(whole.partners.images[place], other) for other in shown[1:])
        for rank in range(2):
            share = objective.make_batch(step, rank, 2)
            assert share.partners is not None
            assert torch.equal(share.images.images, whole.images.images[rank::2])
            assert torch.equal(share.partners.images, whole.partners.images[rank::2])
            assert torch.equal(share.uniforms, whole.uniforms[rank::2])


def test_a_pair_of_which_one_frame_cannot_be_read_is_replaced_as_a_whole(drawn_root: Path) -> None:
    objective = objective_of(drawn_root, method="byol", **PAIRS)
    batch = objective.make_batch(0, 0, 1)
    assert batch.partners is not None
    batch.partners.readable[2], batch.images.readable[5] = False, False
    batch.partners.faults.append((2, "b.jpg: cut off"))
    batch.images.faults.append((5, "a.jpg: cut off"))
    rows = objective._readable(batch)
    assert isinstance(rows, torch.Tensor)
    assert rows.tolist() == [0, 1, 3, 3, 4, 0]
    assert objective.faults() == ["a.jpg: cut off", "b.jpg: cut off"]
    shown = objective._views(batch, rows, torch.device("cpu"))
    expected = objective.method.make_views(
        batch.images.images[rows], batch.uniforms, partners=Partners(batch.partners.images[rows], None)
    )
    assert all(torch.equal(view, alone) for view, alone in zip(shown, expected, strict=True))


def test_pairs_in_recordings_of_unknown_rate_want_one_that_is_said(tmp_path: Path, drawn_root: Path) -> None:
    shutil.copytree(drawn_root, tmp_path / "data")
    (tmp_path / "data" / "frame_rates.csv").unlink()
    with pytest.raises(DataError, match="the frame rate of the recording") as caught:
        objective_of(tmp_path / "data", method="byol", **PAIRS)
    assert "--set fps=30" in str(caught.value.remedy)
    nearby = objective_of(tmp_path / "data", method="byol", fps="25", **PAIRS).nearby
    assert nearby is not None
    assert set(nearby.reach.tolist()) == {5}


def test_masked_autoencoding_has_one_view_and_no_pairs(drawn_root: Path, tiny_mae: None) -> None:
    mae = pretraining.load({"method": "mae", **PAIRS, "fps": "30"})
    assert mae.without_effect(mae.as_dict()) & {*PAIRS, "fps"} == {"positives", "positive_seconds", "fps"}
    assert objective_of(drawn_root, method="mae", **TINY_MAE, **PAIRS).make_batch(0, 0, 1).partners is None


@pytest.mark.slow
def test_pairs_on_two_processes_are_gone_on_with_after_a_signal_to_the_same_bytes(tmp_path: Path, drawn_root: Path) -> None:
    settings = {**SMALL, **PAIRS, "method": "byol", "iterations": "60", "checkpoint_every": "5"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "--", "harness"]
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}

    def start(name: str) -> subprocess.Popen[bytes]:
        command = [*launch, "pretrain", "--data", str(drawn_root), "--run", name, "--workers", "0", *words]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    assert start("whole").wait(timeout=200) == 0
    stopped, run = start("parts"), Run(tmp_path / "runs" / "parts")
    while stopped.poll() is None and not checkpoints.folders(run):
        time.sleep(0.02)
    stopped.terminate()
    assert stopped.wait(timeout=200) != 0
    assert not (run.path / "backbone.safetensors").exists()
    assert start("parts").wait(timeout=200) == 0
    assert result(run) == result(Run(tmp_path / "runs" / "whole"))


def test_a_pre_training_goes_on_in_the_precision_it_began_in_on_other_hardware(
    small: PretrainSmall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "resolve_precision", lambda precision: "fp32")
    began = result(small(precision="auto", iterations="2").run)
    monkeypatch.setattr(session, "resolve_precision", lambda precision: "bf16")
    again = small(precision="auto", iterations="2")
    assert result(again.run) == began
    assert again.run.manifest["recipe"]["precision"] == "fp32"


def of_an_earlier_version(run: Run) -> None:
    """Makes a run's manifest the one that a version wrote where warped faces were negatives alone."""
    manifest = json.loads(run.manifest_path.read_text())
    manifest.pop("revision", None)
    manifest["recipe"] |= {"same_view": False, "negatives_online": False}
    run.manifest_path.write_text(json.dumps(manifest))
    forget_settings(run)


def test_a_run_by_contrawarpings_first_objective_is_not_gone_on_with_and_its_backbone_is_read(
    small: PretrainSmall, drawn_root: Path
) -> None:
    done = small(iterations="3")
    of_an_earlier_version(done.run)
    backbone = files.sha256(done.run.path / "backbone.safetensors")
    for act in (
        lambda: small(iterations="3"),
        lambda: small(iterations="4"),
        lambda: reproduce(done.run, scan(drawn_root), done.run.path.parent / "again", None, workers=0, say=print),
    ):
        with pytest.raises(MismatchError, match="earlier objective of the same name") as caught:
            act()
        assert "never queries" in str(caught.value.found)
        assert "--fresh" in str(caught.value.remedy)
    assert files.sha256(done.run.path / "backbone.safetensors") == backbone
    find_target(str(done.run.path), backbone=None, image_size=None, checkpoint="last", seed=0, say=print)
    recipe = pretraining.load({**SMALL, "iterations": "3"})
    again = pretrain(recipe, scan(drawn_root), done.run.path, fresh=True, workers=0, say=print)
    assert again.run.manifest["revision"] == 2


@pytest.mark.parametrize("settings", [{"method": "byol"}, {"method": "contrawarping", "negative_weight": "0"}])
def test_a_run_of_an_earlier_version_that_the_first_objective_does_not_concern_goes_on_and_is_reproduced(
    small: PretrainSmall, drawn_root: Path, settings: dict[str, str]
) -> None:
    whole = result(small("whole", iterations="4", **settings).run)
    done = small("a", iterations="4", **settings)
    of_an_earlier_version(done.run)
    for folder in checkpoints.folders(done.run):
        files.remove(folder)
    files.remove(done.run.path / "backbone.safetensors")
    again = result(small("a", iterations="4", **settings).run)
    # Checkpoints name the settings of run.json, which is the older one here; the files they list are compared themselves.
    alike = [name for name in whole if name != "run.json" and not name.endswith(checkpoints.MANIFEST)]
    assert again.keys() == whole.keys()
    assert {name: again[name] for name in alike} == {name: whole[name] for name in alike}
    assert reproduce(done.run, scan(drawn_root), done.run.path.parent / "again", None, workers=0, say=print).equal


@pytest.mark.parametrize("key", pretraining.PretrainingRecipe.RETIRED)
def test_a_setting_of_the_first_objective_is_refused_by_what_is_so_instead(key: str) -> None:
    with pytest.raises(UsageError, match=f"{key} is no longer a setting") as caught:
        pretraining.load({key: "true"})
    assert caught.value.expected == pretraining.PretrainingRecipe.RETIRED[key]


def test_the_exported_backbone_says_which_objective_of_the_name_made_it(small: PretrainSmall) -> None:
    for method, revision in (("contrawarping", "2"), ("byol", None)):
        made = small(method, method=method, iterations="2").backbone
        assert made is not None
        assert weights.read(made).metadata.get("origin.revision") == revision


def test_without_warped_negatives_contrawarping_is_byol(small: PretrainSmall) -> None:
    byol = small("byol", method="byol")
    warping = small("warping", method="contrawarping", negative_weight="0")
    left, right = (checkpoints.folders(done.run)[-1] / "model.safetensors" for done in (byol, warping))
    first, second = load_file(left), load_file(right)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_exported_backbone_loads_whole_into_a_new_network(small: PretrainSmall) -> None:
    done = small()
    assert done.backbone is not None
    backbone = registry.create(SMALL["backbone"], image_size=32)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    weights.load_backbone(backbone, done.backbone)
    assert any(not torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


@pytest.mark.slow
def test_a_pre_training_goes_on_from_given_weights_and_says_so(small: PretrainSmall, tmp_path: Path, drawn_root: Path) -> None:
    first = small("first", method="byol", iterations="2")
    assert first.backbone is not None
    second = small("second", weights=str(first.backbone), iterations="1", learning_rate="0")
    assert second.backbone is not None
    began, went_on = load_file(first.backbone), load_file(second.backbone)
    learned = [name for name in began if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    assert all(torch.equal(began[name], went_on[name]) for name in learned)
    target = trained_method(second.run).state_dict()
    assert all(torch.equal(began[name], target[f"target.backbone.{name}"]) for name in learned)
    assert second.run.manifest["weights"] == {"file": "backbone.safetensors", "sha256": files.sha256(first.backbone)}
    assert second.run.manifest["recipe"]["weights"] == "backbone.safetensors"
    assert weights.read(second.backbone).metadata["origin.weights_sha256"] == files.sha256(first.backbone)
    assert "weights" not in first.run.manifest
    assert reproduce(second.run, scan(drawn_root), tmp_path / "again", None, workers=0, say=print).equal
    other = small("other", method="byol", iterations="3").backbone
    with pytest.raises(MismatchError, match=r"weights\.sha256"):
        small("second", weights=str(other), iterations="1", learning_rate="0")
    with pytest.raises(DataError, match="are not there"):
        small("third", weights=str(tmp_path / "nothing.pth"))


OWN_NETWORK = """
from torch import nn

def build(image_size):
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU())
"""


@pytest.mark.parametrize("whose", ["ours", "one's own"])
def test_a_pre_trainings_method_comes_back_with_all_of_its_networks(small: PretrainSmall, tmp_path: Path, whose: str) -> None:
    (tmp_path / "own.py").write_text(OWN_NETWORK)
    done = small(iterations="4", **({} if whose == "ours" else {"backbone": f"{tmp_path}/own.py:build"}))
    method = trained_method(done.run)
    assert isinstance(method, ContraWarping)
    stored = load_file(checkpoints.folders(done.run)[-1] / "model.safetensors")
    state = method.state_dict()
    assert set(state) == set(stored)
    assert all(torch.equal(state[name], value) for name, value in stored.items())


def test_a_network_of_ones_own_is_probed_from_its_run_as_from_its_file(small: PretrainSmall, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN_NETWORK)
    done = small(iterations="2", backbone=f"{tmp_path}/own.py:build")
    target = find_target(str(done.run.path), backbone=None, image_size=None, checkpoint="last", seed=0, say=print)
    exported = load_file(str(done.backbone))
    assert set(target.backbone.state_dict()) == {f"network.{name}" for name in exported}
    assert all(torch.equal(value, target.backbone.state_dict()[f"network.{name}"]) for name, value in exported.items())


@pytest.mark.parametrize("method", METHODS)
def test_the_network_that_is_probed_is_the_one_that_was_exported(small: PretrainSmall, tiny_mae: None, method: str) -> None:
    done = small(method=method, **(TINY_MAE if method == "mae" else {}))
    assert done.backbone is not None
    of_run, of_file = (
        find_target(str(place), backbone=None, image_size=None, checkpoint="last", seed=0, say=print)
        for place in (done.run.path, done.backbone)
    )
    exported = of_file.backbone.state_dict()
    assert all(torch.equal(value, exported[name]) for name, value in of_run.backbone.state_dict().items())
    assert (of_file.settings.image_size, of_file.backbone.mean) == (32, of_run.backbone.mean)
    assert of_file.settings == of_run.settings


def test_it_reads_the_train_split_alone_and_records_what_it_read(small: PretrainSmall, drawn_root: Path) -> None:
    data = small().run.manifest["data"]
    tracks = scan(drawn_root).split("train")
    assert data["splits"] == ["train"]
    assert (data["tracks"], data["images"]) == (len(tracks), sum(len(track.frames) for track in tracks))


def test_diagnostics_are_noted_beside_the_loss(small: PretrainSmall) -> None:
    done = small(iterations="20", checkpoint_every="20")
    noted = metrics.read(done.run)
    watched = [line for line in noted if "feature_deviation" in line]
    assert [line["step"] for line in watched] == [20]
    assert {"positive_similarity", "warped_similarity", "warp_loss", "won"} <= set(watched[0])
    assert all(np.isfinite(line["loss"]) for line in noted if "loss" in line)


def test_a_picture_shows_the_views(small: PretrainSmall) -> None:
    picture = np.asarray(Image.open(small().run.path / "views.png"))
    assert picture.shape[0] > 32 * 5
    assert picture.std() > 5


@pytest.fixture
def points(drawn_root: Path, tmp_path: Path) -> Path:
    """Landmarks of some images of the train split: all 68 points in the upper left corner, in crops of 50 pixels."""
    tracks = scan(drawn_root).split("train")
    lines = [f"{tracks[0].name},{frame}," + ",".join(["5"] * 136) for frame in tracks[0].frames[::2]]
    path = tmp_path / "points.csv"
    path.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
    return path


def test_faces_are_warped_at_their_own_landmarks_and_at_the_templates_where_none_are_known(
    small: PretrainSmall, points: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    draw = LocalWarp.draw

    def watched(self: LocalWarp, uniforms: torch.Tensor, landmarks: torch.Tensor | None = None) -> WarpField:
        assert landmarks is not None
        seen.extend(landmarks)
        return draw(self, uniforms, landmarks)

    monkeypatch.setattr(LocalWarp, "draw", watched)
    done = small("points", landmarks=str(points), landmarks_side="50")
    template = torch.tensor(TEMPLATE) / TEMPLATE_SIDE
    own = [landmarks for landmarks in seen if torch.equal(landmarks, torch.full((68, 2), 0.1))]
    others = [landmarks for landmarks in seen if torch.allclose(landmarks, template)]
    assert own
    assert others
    assert len(own) + len(others) == len(seen)
    images = len(scan(drawn_root).split("train")[0].frames[::2])
    assert done.run.manifest["landmarks"] == {"file": "points.csv", "sha256": files.sha256(points), "images": images}
    monkeypatch.undo()
    plain = small("plain")
    assert plain.run.manifest["landmarks"] is None
    assert (plain.run.path / "views.png").read_bytes() != (done.run.path / "views.png").read_bytes()


def test_landmarks_of_other_images_are_refused(small: PretrainSmall, tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text(f"{','.join(COLUMNS)}\nelsewhere,1,{','.join(['5'] * 136)}\n")
    with pytest.raises(DataError, match="none of the images"):
        small(landmarks=str(path))


@pytest.mark.parametrize("method", METHODS)
def test_a_methods_default_settings_are_those_of_its_module(method: str, tiny_mae: None) -> None:
    recipe = pretraining.load({"method": method, "image_size": "32"})
    backbone = registry.create(recipe.backbone, image_size=32)
    made, plain = build_method(recipe, backbone), ssl.create(method, registry.create(recipe.backbone, image_size=32))
    assert made.views == plain.views
    assert {name: value.shape for name, value in made.state_dict().items()} == {
        name: value.shape for name, value in plain.state_dict().items()
    }
    for name in ("momentum", "temperature", "weight", "warps", "kept"):
        assert getattr(made, name, None) == getattr(plain, name, None), name


def test_published_defaults_of_the_methods() -> None:
    mae = pretraining.load({"method": "mae"})
    assert (mae.optimizer, mae.learning_rate, mae.weight_decay, mae.betas) == ("adamw", 1.5e-4, 0.05, [0.9, 0.95])
    moco = pretraining.load({"method": "moco"})
    assert (moco.target_momentum, moco.learning_rate, moco.embedding, moco.temperature) == (0.999, 0.03, 128, 0.2)
    simclr = pretraining.load({"method": "simclr"})
    assert (simclr.hidden, simclr.embedding) == (2048, 128)
    byol = pretraining.load({"method": "byol"})
    assert (byol.hidden, byol.embedding, byol.target_momentum) == (4096, 256, 0.996)
    assert pretraining.load({"method": "moco", "target_momentum": "0.5"}).target_momentum == 0.5


@pytest.mark.parametrize("method", ["byol", "simclr", "moco"])
def test_the_width_of_the_hidden_layer_is_that_of_the_setting(method: str) -> None:
    recipe = pretraining.load({**SMALL, "method": method, "hidden": "24", "embedding": "12"})
    made = build_method(recipe, registry.create(recipe.backbone, image_size=32))
    shapes = {tuple(value.shape) for name, value in made.state_dict().items() if name.endswith("projector.0.weight")}
    assert {shape[0] for shape in shapes} == {24}


def test_adamw_takes_its_betas_from_the_settings() -> None:
    objective: Any = SimpleNamespace(rate_factors=lambda: [(1.0, [("weight", torch.nn.Parameter(torch.zeros(2, 2)))])])
    settings = pretrain_module._loop_settings(pretraining.load({"method": "mae"}))
    assert optimization.make_optimizer(objective, settings).param_groups[0]["betas"] == (0.9, 0.95)


def test_all_that_views_and_warps_can_be_is_a_setting() -> None:
    keys = {entry.name for entry in dataclasses.fields(PretrainingRecipe)}
    assert {f"view_{entry.name}" for entry in dataclasses.fields(ViewSettings)} <= keys
    changes = {"view_crop_area": "[0.3, 0.4]", "view_hue": "0", "warp_radius": "[0.2, 0.3]", "warp_points": "3"}
    recipe = pretraining.load({**changes, "warp_family": "thin-plate"})
    made = build_method(recipe, registry.create(SMALL["backbone"], image_size=32))
    assert isinstance(made, ContraWarping)
    assert (made.views.crop_area, made.views.hue) == ((0.3, 0.4), 0.0)
    assert (made.warp.radius, made.warp.points, made.warp.family) == ((0.2, 0.3), 3, "thin-plate")


def test_a_setting_that_the_method_does_not_have_is_named() -> None:
    simclr = pretraining.load({"method": "simclr"})
    kept = {"warps", "hidden", "target_momentum", "batch"} - simclr.without_effect(simclr.as_dict())
    assert kept == {"hidden", "batch"}
    keys = {entry.name for entry in dataclasses.fields(PretrainingRecipe)}
    assert set(pretraining.METHOD_KEYS) <= keys
    assert all(set(defaults) <= keys for defaults in pretraining.METHOD_DEFAULTS.values())


def test_masked_autoencoding_wants_a_vision_transformer(small: PretrainSmall) -> None:
    with pytest.raises(UsageError, match="vit-b16"):
        small(method="mae")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"method": "byl"}, "byol"),
        ({"wraps": "2"}, "warps"),
        ({"warp_points": "99"}, "points"),
        ({"splits": "[trian]"}, "train"),
        ({"splits": "[]"}, "splits"),
        ({"warp_radius": "[0.01, 0.1]"}, "warp_radius"),
        ({"view_crop_area": "[0.9, 0.5]"}, "view_crop_area"),
        ({"view_blur": "[0.5]"}, "view_blur"),
        ({"betas": "[0.9, 1.0]"}, "betas"),
    ],
)
def test_a_wrong_setting_is_refused(small: PretrainSmall, change: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        small(**change)
