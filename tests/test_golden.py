"""What the harness writes stays what it was: pinned bytes and figures, and runs stored by an earlier version that go on.

Bits depend on the processor and the libraries. On the kind that tests/golden/pins.json names, everything is compared exactly.
On any other, texts, archives and settings still are; figures that numpy makes of stored scores to nine digits; and what a network
gives with stored scores and with a slow loop, to the precision of float32.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.golden import roads
from tests.golden.roads import FROZEN, changes, contents, differences, run, scores_of, unpack_stored

PINS: dict[str, Any] = json.loads(roads.PINS.read_text())
SAME_KIND = roads.kind() == PINS["kind"]
SAME_KIND_STORED = roads.kind() == roads.stored_kind()
HOW = "if the change is meant: `python -m tests.golden.make pins`, and say in the commit why the numbers are others"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roads.write_root(tmp_path_factory.mktemp("golden") / "data")


@pytest.fixture
def place(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with the data root and the stored runs, where torch computes on one thread."""
    monkeypatch.chdir(tmp_path)
    Path("data").symlink_to(drawn)
    unpack_stored(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def agree(found: Any, pinned: Any, tolerance: float = 0.0) -> None:
    """Fails with the places where two values differ."""
    lines = differences(found, pinned, tolerance)
    assert not lines, "\n".join([f"{len(lines)} differences:", *lines[:20], HOW])


def stored_scores(name: str, split: str) -> dict[str, dict[str, np.ndarray]]:
    return {path.stem: scores_of(path) for path in sorted(Path("runs", name, "scores", split).glob("*.npz"))}


def test_a_training_of_the_whole_network_writes_the_pinned_run(place: Path) -> None:
    found, pinned = roads.train_and_predict(), PINS["training"]
    agree(found["run.json"], pinned["run.json"])
    # An earlier checkpoint stays if it is the best one, which rounding may decide on another kind of machine.
    assert found["weights"].keys() >= pinned["weights"].keys()
    if SAME_KIND:
        agree(found, pinned)
    else:  # rounding grows from step to step, so only the first loss is comparable
        first, wanted = found["metrics.jsonl"][0], pinned["metrics.jsonl"][0]
        agree(first, wanted, 1e-4)
        rates = [[line.get("learning_rate") for line in lines["metrics.jsonl"]] for lines in (found, pinned)]
        agree(rates[0], rates[1], 1e-12)


def test_the_classifier_of_the_stored_run_is_trained_again_to_the_same_scores(place: Path) -> None:
    weights = max(Path("runs/a/checkpoints").glob("step-*/model.safetensors"))
    command = ("train", "--recipe", "res18", "--data", "data", "--run", "again", "--workers", "0", "--weights", str(weights))
    run(*command, *changes({**FROZEN, "seed": "0"}))
    tolerance = 0.0 if SAME_KIND_STORED else 1e-3
    agree(contents(Path("runs/again/metrics.jsonl")), contents(Path("runs/a/metrics.jsonl")), tolerance)
    run("predict", "again", "--split", "val", "--data", "data", "--workers", "0", "--batch", "16")
    found, wanted = stored_scores("again", "val"), stored_scores("a", "val")
    assert found.keys() == wanted.keys()
    for track in wanted:
        np.testing.assert_array_equal(found[track]["frame"], wanted[track]["frame"])
        np.testing.assert_allclose(found[track]["score"], wanted[track]["score"], rtol=tolerance, atol=10 * tolerance)


def test_stored_scores_are_those_of_a_slow_loop_over_images_in_double_precision(place: Path) -> None:
    checkpoint = max(Path("runs/a/checkpoints").glob("step-*"))
    tensors = {name: tensor.double() for name, tensor in load_file(checkpoint / "model.safetensors").items()}
    backbone = timm.create_model("test_efficientnet", num_classes=0, global_pool="").double().eval()
    prefix = "backbone.network."
    backbone.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)})
    weight, bias = (
        next(tensors[name] for name in tensors if name.startswith("head.") and name.endswith(end)) for end in ("weight", "bias")
    )
    mean, deviation = (torch.tensor(values).double()[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    for split in ("val", "test"):
        for track, stored in stored_scores("a", split).items():
            for frame, score in list(zip(stored["frame"], stored["score"], strict=True))[::5]:
                data = Path("data/cropped_aligned", track, f"{frame:05d}.jpg").read_bytes()
                pixels = decoded(data)
                with torch.no_grad():
                    maps = backbone(((pixels / 255 - mean) / deviation)[None])
                np.testing.assert_allclose(score, (maps.mean(dim=(2, 3)) @ weight.T + bias)[0].numpy(), rtol=1e-4, atol=2e-4)


def decoded(data: bytes) -> torch.Tensor:
    """An image (3, 32, 32) as the network of the stored runs sees it."""
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).double()


def test_choices_from_stored_scores_give_the_pinned_figures(place: Path) -> None:
    agree(roads.choose(), PINS["choices"], 0.0 if SAME_KIND else 1e-9)
    again, stored = (stored_scores(name, "test") for name in ("mean", "a+b"))
    assert again.keys() == stored.keys()
    for track in stored:
        np.testing.assert_array_equal(again[track]["frame"], stored[track]["frame"])
        np.testing.assert_allclose(again[track]["score"], stored[track]["score"], rtol=0 if SAME_KIND_STORED else 1e-6)


def test_submissions_from_stored_scores_and_their_archives_are_the_pinned_bytes(place: Path) -> None:
    agree(roads.submit(), PINS["submissions"])


def test_stored_runs_in_progress_go_on_to_their_end_and_predict(place: Path) -> None:
    found = roads.resume()
    assert {name: list(files) for name, files in found.items()} == {name: list(files) for name, files in PINS["resumed"].items()}
    if SAME_KIND:
        agree(found, PINS["resumed"])
    for name in ("half", "t-half"):
        steps = [line["step"] for line in contents(Path("runs", name, "metrics.jsonl")) if "loss" in line]
        assert steps == list(range(1, 25))
        for split in ("val", "test"):
            run("predict", name, "--split", split, "--data", "data", "--workers", "0")
        run("evaluate", name, "--data", "data")
        run("pack", f"submissions/{name}", "--data", "data")
        assert Path(f"submissions/{name}.zip").is_file()
    run(
        "train",
        "--recipe",
        "res18",
        "--data",
        "data",
        "--run",
        "after",
        "--workers",
        "0",
        "--weights",
        "runs/p-half/backbone.safetensors",
        *changes({**FROZEN, "iterations": "3"}),
    )


@pytest.mark.parametrize("name", ["a", "t", "cv"])
def test_stored_finished_runs_are_done_predict_evaluate_and_pack(place: Path, name: str) -> None:
    split = "oof" if name == "cv" else "val"
    before = {path: path.read_bytes() for path in Path("runs", name).rglob("*.npz")}
    for wanted in (split, "test"):
        run("predict", name, "--split", wanted, "--data", "data", "--workers", "0", "--batch", "16")
    for path, data in before.items():
        if SAME_KIND_STORED:
            assert path.read_bytes() == data, path
        else:
            np.testing.assert_allclose(scores_of(path)["score"], np.load(io.BytesIO(data))["score"], rtol=1e-4, atol=1e-4)
    assert "macro-F1 of 8 classes" in run("evaluate", name, "--split", split, "--data", "data")
    run("validate", f"submissions/{name}")
    run("pack", f"submissions/{name}", "--data", "data")


def test_the_stored_ensemble_gives_the_stored_submission_again(place: Path) -> None:
    before = {path: path.read_bytes() for path in Path("submissions/a+b").rglob("*.txt")}
    assert len(before) == 5
    run("predict", "a+b", "--from-scores", "--data", "data")
    assert {path: path.read_bytes() for path in Path("submissions/a+b").rglob("*.txt")} == before
    run("evaluate", "a+b", "--data", "data")
    run("pack", "submissions/a+b", "--data", "data")


def test_the_stored_finished_run_gives_features_to_learn_from(place: Path) -> None:
    run("features", "a", "--data", "data", "--workers", "0")
    run(
        "train",
        "--recipe",
        "temporal-tcn",
        "--features",
        "a",
        "--features",
        "sound",
        "--data",
        "data",
        "--run",
        "both",
        *changes({"width": "6", "layers": "1", "iterations": "2", "window": "1", "hop": "0.5", "batch": "2"}),
    )
