"""What is pinned: roads through the command line on a drawn data root, and what they must write.

Only the command line and the files on disk are used, so that the code between them can be rebuilt.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tarfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from click.testing import CliRunner

HERE = Path(__file__).parent
STORED = HERE / "runs.tar.xz"
PINS = HERE / "pins.json"

# What stands for code and place, not for a result: where a run was made, by which versions and which commit.
NOT_A_RESULT = {"where", "versions", "git_commit"}

# Environment variables by which libraries take other instructions.
INSTRUCTIONS = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_CBWR",
    "NPY_DISABLE_CPU_FEATURES",
    "OPENBLAS_CORETYPE",
)
LIBRARIES = ("torch", "torchvision", "timm", "numpy", "scipy", "Pillow", "simplejpeg", "safetensors")

TRAINING = {
    "backbone": "torchvision:shufflenet_v2_x0_5",
    "head": "pooled",
    "freeze_stages": "0",
    "decode_size": "32",
    "image_size": "32",
    "test_resize": "32",
    "frame_step": "2",
    "batch": "8",
    "iterations": "12",
    "learning_rate": "0.01",
    "warmup": "3",
    "evaluate_every": "6",
    "checkpoint_every": "4",
    "precision": "fp32",
    "weights_wanted": "''",
}
"""Recipe changes for a training of the whole network that takes a second."""


BACKBONE = "timm:test_efficientnet"
"""The smallest network by name: 99,196 numbers."""

FROZEN = {
    **TRAINING,
    "backbone": BACKBONE,
    "freeze_stages": "5",
    "batch": "16",
    "iterations": "100",
    "learning_rate": "0.3",
    "evaluate_every": "100",
    "checkpoint_every": "50",
    "weight_decay": "0",
}
"""Recipe changes for a training of the classifier alone, whose numbers other instructions hardly change."""

WHOLE = {**TRAINING, "backbone": BACKBONE, "iterations": "24", "evaluate_every": "24", "checkpoint_every": "2"}
TEMPORAL = {
    "width": "6",
    "layers": "1",
    "window": "1",
    "hop": "0.5",
    "batch": "4",
    "iterations": "24",
    "learning_rate": "3e-3",
    "warmup": "3",
    "evaluate_every": "24",
    "checkpoint_every": "2",
}
PRETRAINING = {
    "backbone": BACKBONE,
    "decode_size": "32",
    "image_size": "32",
    "frame_step": "4",
    "hidden": "8",
    "embedding": "4",
    "batch": "8",
    "iterations": "24",
    "warmup": "3",
    "checkpoint_every": "1",
    "precision": "fp32",
}


def kind() -> dict[str, str]:
    """What decides about the last bits of a number: the processor, its instructions, and the libraries that compute."""
    processor = {}
    if Path("/proc/cpuinfo").is_file():
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
        lines = dict(line.split(":", 1) for line in first.splitlines() if ":" in line)
        stripped = {key.strip(): value.strip() for key, value in lines.items()}
        processor = {key: stripped.get(key, "") for key in ("vendor_id", "cpu family", "model")}
    return {
        "system": f"{platform.system()} {platform.machine()}",
        **processor,
        "torch instructions": torch.backends.cpu.get_cpu_capability(),
        **{name: os.environ[name] for name in INSTRUCTIONS if os.environ.get(name)},
        **{name: metadata.version(name) for name in LIBRARIES},
    }


def write_root(path: Path) -> Path:
    """The data root of every road: 17 tracks of drawn faces."""
    from harness.demo.drawn import write_drawn_root

    return write_drawn_root(path, tracks=(6, 7, 4), rows=12, rates=(6.0, 2.5))


def unpack_stored(place: Path) -> None:
    """Lays the stored runs and submissions into the folder `place`."""
    with tarfile.open(STORED) as archive:
        archive.extractall(place, filter="data")


def stored_kind() -> dict[str, str]:
    """The kind of machine on which the stored runs were made."""
    with tarfile.open(STORED) as archive:
        stored = archive.extractfile("runs/kind.json")
        assert stored is not None
        return dict(json.load(stored))


def run(*arguments: str) -> str:
    """The output of a command, which must succeed, in the present folder."""
    from harness.cli import harness

    result = CliRunner().invoke(harness, list(arguments))
    assert result.exception is None, f"harness {' '.join(arguments)}: {result.exception!r}\n{result.output}"
    return str(result.stdout)


def changes(values: dict[str, str]) -> list[str]:
    """Recipe changes as options."""
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def without_place(value: Any) -> Any:
    """A JSON value without what is no result, see NOT_A_RESULT."""
    if isinstance(value, dict):
        return {key: without_place(part) for key, part in value.items() if key not in NOT_A_RESULT}
    return [without_place(part) for part in value] if isinstance(value, list) else value


def contents(path: Path) -> Any:
    """A JSON file without what is no result; of a file of JSON lines the list of them."""
    text = path.read_text()
    lines = [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)
    return without_place(lines)


RESUMING = {
    "half": ("train", "--recipe", "res18", "--from-scratch", *changes(WHOLE)),
    "t-half": ("train", "--recipe", "temporal-tcn", "--features", "sound", *changes(TEMPORAL)),
    "p-half": ("pretrain", "--method", "byol", *changes(PRETRAINING)),
}
"""Stored run in progress -> the command it was begun with."""


def train_and_predict() -> dict[str, Any]:
    """Trains and predicts the run `new` in the present folder, beside its data root `data`; the figures and bytes to pin."""
    run("train", "--recipe", "res18", "--from-scratch", "--data", "data", "--run", "new", "--workers", "0", *changes(TRAINING))
    for split in ("val", "test"):
        run("predict", "new", "--split", split, "--data", "data", "--workers", "0", "--batch", "16")
    new = Path("runs/new")
    weights = sorted(new.glob("checkpoints/*/*.safetensors"))
    return {
        "run.json": contents(new / "run.json"),
        "metrics.jsonl": contents(new / "metrics.jsonl"),
        "weights": {str(path.relative_to(new)): sha256(path) for path in weights},
        "scores": score_files(new),
    }


def resume() -> dict[str, Any]:
    """Goes on with the stored runs in progress to their end; the sha256 of what they then hold."""
    for name, command in RESUMING.items():
        run(*command, "--data", "data", "--run", name, "--workers", "0")
    return {
        name: {
            str(path.relative_to(Path("runs", name))): sha256(path) for path in sorted(Path("runs", name).rglob("*.safetensors"))
        }
        for name in RESUMING
    }


def score_files(folder: Path) -> dict[str, str]:
    """sha256 of every file of stored scores of a run."""
    return {
        str(path.relative_to(folder)): sha256(path)
        for path in sorted(folder.glob("scores/*/*"))
        if path.is_file() and not path.name.startswith(".")
    }


def choose() -> dict[str, Any]:
    """Tunes, evaluates, compares and ensembles the stored runs `a` and `b`; the figures to pin."""
    for path in (Path("runs/a/tuned.json"), Path("runs/b/tuned.json")):
        path.unlink(missing_ok=True)
    data = ("--data", "data")
    figures = {"evaluation untuned": json.loads(run("evaluate", "a", *data, "--json"))}
    run("tune", "a", *data)
    figures["tuned.json"] = contents(Path("runs/a/tuned.json"))
    figures["evaluation tuned"] = json.loads(run("evaluate", "a", *data, "--json"))
    figures["evaluation flipped"] = json.loads(run("evaluate", "a", *data, "--untuned", "--flip", "--json"))
    figures["comparison"] = json.loads(run("compare", "a", "b", *data, "--json"))
    run("ensemble", "a", "b", "--run", "mean", *data)
    run("ensemble", "a", "b", "--run", "fitted", "--fit", "val", *data)
    for name in ("mean", "fitted"):
        figures[f"{name} run.json"] = contents(Path(f"runs/{name}/run.json"))
        figures[f"evaluation {name}"] = json.loads(run("evaluate", name, *data, "--json"))
    return {name: without_place(figure) for name, figure in figures.items()}


SUBMISSIONS = {
    "plain": (),
    "raw": ("--smooth", "0"),
    "gaussian": ("--smooth", "0.4", "--kernel", "gaussian", "--fill", "nearest", "--temperature", "2"),
    "median": ("--smooth", "0.6", "--kernel", "median", "--fill", "hold", "--flip"),
    "edition-3": ("--edition", "3"),
    "edition-10": ("--edition", "10"),
}
"""Name -> options of `harness predict --from-scores` for a submission of the stored run `a`."""


def submit() -> dict[str, str]:
    """Writes and packs submissions of the stored runs as they are; sha256 of every file."""
    digests = {}
    for name, options in SUBMISSIONS.items():
        run("predict", "a", "--from-scores", "--untuned", *options, "--data", "data", "--out", f"submissions/{name}")
    run("predict", "a", "--from-scores", "--data", "data", "--out", "submissions/tuned")
    run("predict", "a+b", "--from-scores", "--data", "data", "--out", "submissions/both")
    for name in (*SUBMISSIONS, "tuned", "both"):
        folder = Path("submissions", name)
        run("pack", str(folder), "--data", "data")
        for path in sorted(folder.rglob("*.txt")):
            digests[str(path)] = sha256(path)
        record = json.dumps(contents(folder / "submission.json"), sort_keys=True)
        digests[f"{folder}/submission.json"] = hashlib.sha256(record.encode()).hexdigest()
        digests[f"{folder}.zip"] = sha256(folder.with_name(folder.name + ".zip"))
    return digests


def differences(found: Any, pinned: Any, tolerance: float, place: str = "") -> list[str]:
    """Where two JSON values differ, numbers by more than `tolerance` of the larger one (0: at all)."""
    if (isinstance(found, float) and isinstance(pinned, (int, float))) or (isinstance(pinned, float) and isinstance(found, int)):
        close = found == pinned or abs(found - pinned) <= tolerance * max(1.0, abs(found), abs(pinned))
        return [] if close else [f"{place}: {pinned} pinned, {found} found"]
    if isinstance(found, dict) and isinstance(pinned, dict):
        keys = sorted(found.keys() | pinned.keys())
        absent = [
            f"{place}/{key}: {'pinned' if key in pinned else 'found'} alone" for key in keys if (key in found) != (key in pinned)
        ]
        common = [key for key in keys if key in found and key in pinned]
        return absent + [line for key in common for line in differences(found[key], pinned[key], tolerance, f"{place}/{key}")]
    if isinstance(found, list) and isinstance(pinned, list) and len(found) == len(pinned):
        pairs = enumerate(zip(found, pinned, strict=True))
        return [line for k, (one, other) in pairs for line in differences(one, other, tolerance, f"{place}/{k}")]
    return [] if found == pinned and type(found) is type(pinned) else [f"{place}: {pinned!r} pinned, {found!r} found"]


def scores_of(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of stored scores."""
    with np.load(path) as arrays:
        return dict(arrays)
