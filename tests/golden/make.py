"""Writes what tests/test_golden.py compares with: `python -m tests.golden.make pins` or `... runs`, deliberately.

`pins` writes pins.json: do it where a change of results is meant, look at the difference, and say in the commit why a number is
another one. `runs` writes runs.tar.xz, runs as this version of the code writes them; they stay, so that later versions go on
with them, and are made anew only where a format was given up.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.golden.roads import (
    BACKBONE,
    FROZEN,
    PINS,
    RESUMING,
    STORED,
    TEMPORAL,
    changes,
    choose,
    kind,
    resume,
    run,
    submit,
    train_and_predict,
    unpack_stored,
    write_root,
)


def main() -> None:
    what = sys.argv[1:]
    if what not in (["pins"], ["runs"]):
        sys.exit(__doc__)
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        write_root(Path("data"))
        if what == ["pins"]:
            write_pins()
        else:
            write_runs()


def write_pins() -> None:
    """Walks the roads of roads.py and writes down what they give."""
    unpack_stored(Path.cwd())
    pins = {"kind": kind(), "submissions": submit(), "training": train_and_predict(), "resumed": resume(), "choices": choose()}
    lines = []
    for name, part in pins.items():
        inner = (f"{json.dumps(key)}: {json.dumps(value, sort_keys=True, ensure_ascii=False)}" for key, value in part.items())
        lines.append(f"{json.dumps(name)}: {{\n" + ",\n".join(inner) + "\n}")
    PINS.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def write_runs() -> None:
    """Runs of every kind, finished and in progress, small enough to be kept."""
    write_coarse_weights(Path("coarse.safetensors"))
    from_coarse = ("--recipe", "res18", "--weights", "coarse.safetensors", "--data", "data", "--workers", "0")
    for seed, name in enumerate("ab"):
        run("train", *from_coarse, "--run", name, *changes({**FROZEN, "seed": str(seed)}))
        coarsen_all(name, weights=False)
        for split in ("val", "test"):
            flip = ("--flip",) if name == "a" else ()
            run("predict", name, "--split", split, *flip, "--workers", "0", "--batch", "16")
    shutil.rmtree("runs/b/checkpoints")
    run("tune", "a")
    run("ensemble", "a", "b")
    run("folds", "--data", "data", "--folds", "2", "--output", "folds.json")
    short = {**FROZEN, "iterations": "10", "evaluate_every": "10", "checkpoint_every": "10"}
    run("crossval", *from_coarse, "--run", "cv", "--batch", "16", *changes(short))
    coarsen_all("cv-fold-0", weights=True)
    coarsen_all("cv-fold-1", weights=True)
    run("crossval", *from_coarse, "--run", "cv", "--batch", "16", *changes(short))  # scores with the checkpoints as they are now
    write_features(Path("sound.npz"))
    run("import", "sound.npz", "--features", "--data", "data")
    run("train", "--recipe", "temporal-tcn", "--features", "sound", "--data", "data", "--run", "t", *changes(TEMPORAL))
    for name, command in RESUMING.items():
        stop(*command, "--data", "data", "--run", name, "--workers", "0")
    coarsen_all("half", weights=True)
    coarsen_all("p-half", weights=True)
    for path in Path("runs").glob("*/timings.jsonl"):
        path.unlink()
    Path("runs/p-half/views.png").unlink()
    Path("runs/kind.json").write_text(json_text(kind()))
    pack()


def write_coarse_weights(path: Path) -> None:
    """Random weights of the backbone of one bit each, which compress to a thirtieth; drawn by numpy, the same everywhere."""
    from models.registry import create

    generator = np.random.default_rng(0)
    tensors = {}
    for name, tensor in create(BACKBONE, image_size=32).state_dict().items():
        sign = torch.from_numpy(generator.choice([-1.0, 1.0], tuple(tensor.shape))).float()
        if tensor.ndim >= 2:
            tensor = sign * rounded((2.0 / tensor[0].numel()) ** 0.5)
        elif name.endswith("running_mean"):
            tensor = sign * 0.125
        tensors[name] = tensor.contiguous()
    save_file(tensors, path)


def rounded(size: float) -> float:
    """A size in four bits, so that the mean of such numbers is exact, and equal signs remain equal bytes."""
    mantissa, exponent = math.frexp(size)
    return math.ldexp(round(mantissa * 16) / 16, exponent)


def coarsen_all(name: str, weights: bool) -> None:
    """Coarsens every checkpoint of a run."""
    for checkpoint in Path("runs", name, "checkpoints").iterdir():
        coarsen(checkpoint, weights)


def coarsen(checkpoint: Path, weights: bool) -> None:
    """Gives every number of a checkpoint's optimizer the mean size of its tensor, and of its `weights` that and its own sign.

    So the tensors compress to a thirtieth or less. Names, shapes, types and metadata are those that the code wrote; the manifest
    is mended.
    """
    manifest = json.loads((checkpoint / "MANIFEST.json").read_text())
    for path in checkpoint.glob("*.safetensors"):
        of_network = path.name != "optimizer.safetensors"
        if of_network and not weights:
            continue
        with safe_open(path, "pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118, not a dict
            told = stored.metadata()
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and tensor.numel() > 1:
                sign = torch.where(tensor < 0, -1.0, 1.0) if of_network else torch.ones_like(tensor)
                tensors[name] = sign * rounded(float(tensor.abs().mean()))
        save_file(tensors, path, told)
    for name, entry in manifest["files"].items():
        data = (checkpoint / name).read_bytes()
        entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    del manifest["sha256"]
    manifest["sha256"] = hashlib.sha256(json_text(manifest).encode()).hexdigest()
    (checkpoint / "MANIFEST.json").write_text(json_text(manifest))


def json_text(value: object) -> str:
    """JSON as the code writes it: the digest of a manifest is taken of this text."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_features(path: Path) -> None:
    """Foreign features: for each seen frame four numbers around its label."""
    from harness.data.scan import scan

    generator = np.random.default_rng(0)
    tracks, frames, vectors = [], [], []
    for track in scan("data").tracks:
        labels = np.zeros(track.rows) if track.labels is None else track.labels
        seen = np.asarray(labels[track.frames - 1], np.float64)
        tracks += [track.name] * len(seen)
        frames.append(track.frames)
        vectors.append(np.cos(np.outer(seen, np.arange(1, 5))) + generator.normal(0, 0.5, (len(seen), 4)))
    np.savez(path, track=np.array(tracks), frame=np.concatenate(frames), sound=np.concatenate(vectors).astype(np.float32))


def stop(*arguments: str) -> None:
    """Starts a training and asks it to end, as Ctrl-C or a scheduler does, once it has a checkpoint."""
    checkpoints = Path("runs", arguments[arguments.index("--run") + 1], "checkpoints")
    process = subprocess.Popen([sys.executable, "-m", "harness", *arguments])
    while not list(checkpoints.glob("step-*/MANIFEST.json")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143


def pack() -> None:
    """Everything but the data root in one archive, in an order and with times that do not depend on the machine."""
    with tarfile.open(STORED, "w:xz", preset=9) as archive:
        for path in sorted(path for folder in ("runs", "submissions") for path in Path(folder).rglob("*")):
            if path.is_file() and not path.name.startswith(".lock"):
                data = path.read_bytes()
                entry = tarfile.TarInfo(str(path))
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))


if __name__ == "__main__":
    main()
