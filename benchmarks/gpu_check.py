"""Whether a CUDA machine does what is promised of it: one table and JSON in under eight minutes.

Without a GPU what needs one is marked as not run.

python -m benchmarks.gpu_check --json reports/gpu.json
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks import materials
from benchmarks.machine import describe
from harness.images.batches import ImageRequest, read_batch
from harness.images.transforms import prepare_test
from harness.training import metrics
from harness.training.start import train
from models import registry

LONGEST = 480.0
"""Seconds after which nothing more is begun."""
LONGEST_PART = 120.0
STEPS = 40
SETTINGS = {
    "batch": "32",
    "freeze_stages": "0",
    "frame_step": "1",
    "iterations": str(STEPS),
    "evaluate_every": str(STEPS),
    "checkpoint_every": "10",
    "warmup": "5",
    "seed": "3",
}
SMALL = {
    "head": "pooled",
    "backbone": "torchvision:shufflenet_v2_x0_5",
    "image_size": "32",
    "test_resize": "32",
    "batch": "8",
    "iterations": "4",
}
NETWORK_SHARE, SAME_LABELS = 0.92, 0.995


@dataclass(frozen=True)
class Checked:
    """A figure, what it should be, and whether it is; `passed` None where it was not run or nothing is wanted of it."""

    name: str
    value: float | None
    wanted: str
    passed: bool | None
    note: str = ""


Part = Callable[[Path], list[Checked]]


def trained(place: Path, precision: str, settings: dict[str, str]) -> list[Checked]:
    """A training that learns: its loss is finite at every step and falls."""
    root = materials.make_root(place / "data", {"train": (120, 120), "val": (20,)})
    recipe = materials.make_recipe("res18", {**SETTINGS, **settings, "precision": precision})
    run = train(recipe, root, place / "runs" / precision, fresh=False, workers=0, from_scratch=True, say=materials.silent).run
    losses = [line["loss"] for line in metrics.read(run) if "loss" in line]
    quarter = max(len(losses) // 4, 1)
    change = float(np.mean(losses[-quarter:]) - np.mean(losses[:quarter]))
    return [Checked(f"loss after training in {precision}, less that before", change, "finite", bool(np.isfinite(losses).all()))]


def on_cpu(place: Path) -> list[Checked]:
    """What runs everywhere: a training in fp32 of a small network."""
    return trained(place, "fp32", SMALL)


def half_precision(place: Path) -> list[Checked]:
    """bf16, and fp16 with a loss scale that is found and one that is kept."""
    found = trained(place / "a", "bf16", {})
    found += trained(place / "b", "fp16", {})
    return found + trained(place / "c", "fp16", {"loss_scale": "512"})


def _command(place: Path, run: str) -> list[str]:
    settings = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    data = ["--data", str(place / "data"), "--workers", "2", "--from-scratch", "--run", run]
    return ["-m", "harness", "train", "--recipe", "res18", *data, *settings]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}


def resumed(place: Path) -> list[Checked]:
    """A training that is killed outright after its first checkpoint and begun again: the losses of one that was not."""
    materials.make_root(place / "data", {"train": (120, 120), "val": (20,)})
    subprocess.run([sys.executable, *_command(place, "whole")], cwd=place, env=_environment(), check=True, timeout=LONGEST_PART)
    process = subprocess.Popen([sys.executable, *_command(place, "parts")], cwd=place, env=_environment())
    begin = time.monotonic()
    while not list((place / "runs" / "parts").glob("checkpoints/step-*")) and time.monotonic() - begin < LONGEST_PART:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([sys.executable, *_command(place, "parts")], cwd=place, env=_environment(), check=True, timeout=LONGEST_PART)
    losses = []
    for name in ("whole", "parts"):
        lines = (place / "runs" / name / "metrics.jsonl").read_text().splitlines()
        losses.append(np.array([line["loss"] for line in map(json.loads, lines) if "loss" in line]))
    apart = float(np.abs(losses[0] - losses[1]).max()) if len(losses[0]) == len(losses[1]) else float("nan")
    return [
        Checked(
            "largest difference of a loss after a kill", apart, "below 0.05", apart < 0.05, "kernels of a GPU add in any order"
        )
    ]


def _batches(place: Path, count: int, batch: int, side: int) -> tuple[list[torch.Tensor], float]:
    """Prepared batches on the GPU, and images per second of reading, decoding and preparing them."""
    root = materials.make_root(place / "data", {"test": (count * batch,)})
    (track,) = root.split("test")
    backbone = registry.create("res50")
    found, begin = [], time.perf_counter()
    for number in range(count):
        requests = [ImageRequest(track, number * batch + frame) for frame in range(1, batch + 1)]
        images = read_batch(requests, 112).images.pin_memory().cuda(non_blocking=True)
        found.append(prepare_test(images, side, side, backbone.mean, backbone.std))
    torch.cuda.synchronize()
    return found, count * batch / (time.perf_counter() - begin)


def _rate(network: nn.Module, batches: list[torch.Tensor], rounds: int = 5) -> tuple[float, torch.Tensor]:
    """Images per second of the bare network, and its labels."""
    with torch.inference_mode(), torch.autocast("cuda", dtype=torch.bfloat16):
        labels = torch.cat([network(batch).float().argmax(dim=1) for batch in batches])
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(rounds):
            for batch in batches:
                network(batch)
        torch.cuda.synchronize()
    return rounds * len(labels) / (time.perf_counter() - begin), labels.cpu()


def predicted(place: Path) -> list[Checked]:
    """`harness predict` against the bare network, the input path by itself, and labels of CPU and GPU."""
    from harness.inference.network import load_network
    from harness.inference.predict import predict
    from harness.inference.settings import Scoring
    from harness.runs import checkpoints

    recipe = materials.make_recipe("res50", {"freeze_stages": "0", "test_resize": "224"})
    run = materials.make_run(place / "runs" / "res50", recipe)
    root = materials.make_root(place / "long", {"test": (6400,)})
    network = load_network(run, recipe, checkpoints.choose(run, "last", print)).eval()
    batches, one_process = _batches(place, 20, 64, 224)
    on_gpu = network.cuda().to(memory_format=torch.channels_last)
    bare, labels = _rate(on_gpu, batches)
    scoring = Scoring(batch=64, workers=min(os.cpu_count() or 2, 16), precision="bf16")
    predict(run, root, "test", scoring, materials.silent)  # the first one warms up
    materials.remove_scores(run)
    begin = time.perf_counter()
    predict(run, root, "test", scoring, materials.silent)
    share = 6400 / (time.perf_counter() - begin) / bare
    on_cpu_network = network.cpu().float()
    with torch.inference_mode():
        plain = torch.cat([on_cpu_network(batch.cpu()).argmax(dim=1) for batch in batches[:4]])
    same = float((plain == labels[: len(plain)]).float().mean())
    return [
        Checked("bare Res-50 at 224, images per second", bare, "", None),
        Checked("input path of one process, images per second", one_process, "", None, "reads, decodes, copies, resizes"),
        Checked("predict, share of the bare network", share, f"at least {NETWORK_SHARE}", share >= NETWORK_SHARE),
        Checked(
            "labels of GPU (bf16) and CPU (fp32) that agree",
            same,
            f"at least {SAME_LABELS}",
            same >= SAME_LABELS,
            "random weights",
        ),
    ]


def decoded(place: Path) -> list[Checked]:
    """nvJPEG through torchvision against one process of ours; it is taken nowhere, whatever it gives."""
    from torchvision.io import decode_jpeg

    root = materials.make_root(place / "data", {"test": (512,)})
    (track,) = root.split("test")
    raw = [torch.frombuffer(bytearray(track.image_path(frame).read_bytes()), dtype=torch.uint8) for frame in range(1, 513)]
    decode_jpeg(raw[:64], device="cuda")
    begin = time.perf_counter()
    decode_jpeg(raw, device="cuda")
    torch.cuda.synchronize()
    gpu = len(raw) / (time.perf_counter() - begin)
    begin = time.perf_counter()
    read_batch([ImageRequest(track, frame) for frame in range(1, 513)], 112)
    return [
        Checked("nvJPEG, images per second", gpu, "", None),
        Checked("one process of the CPU, images per second", 512 / (time.perf_counter() - begin), "", None),
    ]


def memory(place: Path) -> list[Checked]:
    """Peak memory of a step of ViT-B/16 on 64 images: plain, in four parts, with gradient checkpointing."""
    found = []
    for parts, checkpointed in ((1, False), (4, False), (1, True)):
        network = registry.create("vit-b16").cuda().train()
        if checkpointed:
            network.checkpoint_gradients()
        torch.cuda.reset_peak_memory_stats()
        images = torch.randn(64, 3, 224, 224, device="cuda")
        for part in images.chunk(parts):
            with torch.autocast("cuda", dtype=torch.bfloat16):
                loss = network(part).float().square().mean() / parts
            torch.autograd.backward(loss)
        found.append(torch.cuda.max_memory_allocated() / 1e9)
        del network, images, loss
    plain, *saving = found
    fewer = all(one < plain for one in saving)
    names = ("plain", "in four parts", "with gradient checkpointing")
    return [
        Checked(
            f"GB of ViT-B/16, 64 images, {name}",
            value,
            "" if name == "plain" else "below plain",
            None if name == "plain" else fewer,
        )
        for name, value in zip(names, found, strict=True)
    ]


def transferred(place: Path) -> list[Checked]:
    """Copies of pinned and of pageable memory to the GPU."""
    rates = []
    for pinned in (False, True):
        source = torch.empty(256 * 2**20, dtype=torch.uint8, pin_memory=pinned)
        source.cuda()
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(8):
            source.cuda(non_blocking=pinned)
        torch.cuda.synchronize()
        rates.append(8 * source.numel() / 1e9 / (time.perf_counter() - begin))
    return [
        Checked("GB/s of pageable memory", rates[0], "", None),
        Checked("GB/s of pinned memory", rates[1], "above pageable", rates[1] > rates[0]),
    ]


def two_on_one(place: Path) -> list[Checked]:
    """Two processes on one card: they train, or it is said in a sentence that they cannot."""
    materials.make_root(place / "data", {"train": (120, 120), "val": (20,)})
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "--"]
    environment = {**_environment(), "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]}
    command = [sys.executable, *launcher, *_command(place, "a")[1:]]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=LONGEST_PART, check=False)
    told = next((line for line in done.stderr.splitlines() if "harness: " in line or "Error" in line), "")
    return [
        Checked(
            "two processes on one card, exit code", float(done.returncode), "0, or told", done.returncode == 0 or bool(told), told
        )
    ]


PARTS: tuple[tuple[str, bool, Part], ...] = (
    ("training on the CPU", False, on_cpu),
    ("training in bf16 and fp16", True, half_precision),
    ("going on after a kill", True, resumed),
    ("predicting at 224", True, predicted),
    ("decoding by nvJPEG", True, decoded),
    ("memory", True, memory),
    ("copies to the GPU", True, transferred),
    ("two processes on one card", True, two_on_one),
)
"""Name, whether it needs a GPU, and what it does."""


def check(parts: tuple[tuple[str, bool, Part], ...] = PARTS) -> list[Checked]:
    """Every part that can be run here; one that raises is told and does not stop the others."""
    begin, found = time.monotonic(), []
    for name, needs_gpu, part in parts:
        if needs_gpu and not torch.cuda.is_available():
            found.append(Checked(name, None, "", None, "not run: no CUDA device"))
            continue
        if time.monotonic() - begin > LONGEST:
            found.append(Checked(name, None, "", None, "not run: the time is up"))
            continue
        with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
            try:
                found += part(Path(folder))
            except Exception as error:  # The other parts are worth knowing all the same.
                found.append(Checked(name, None, "runs", False, f"{type(error).__name__}: {str(error).splitlines()[:1]}"))
        print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return found


def as_table(found: list[Checked]) -> str:
    """One line for each figure."""
    verdict = {True: "ok", False: "FAILED", None: ""}
    rows = [
        (one.name, "" if one.value is None else f"{one.value:,.4g}", one.wanted, verdict[one.passed], one.note) for one in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def main(arguments: list[str] | None = None) -> int:
    """Checks, prints and stores; exit code 1 where something failed."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu_check", description=__doc__)
    parser.add_argument("--json", type=Path, help="store every figure in this file")
    options = parser.parse_args(arguments)
    begin = time.monotonic()
    found = check()
    machine = describe("wall", 1)
    print("\n".join(f"{key}: {value}" for key, value in machine.items()))
    print(as_table(found))
    print(f"{time.monotonic() - begin:.0f} seconds")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"machine": machine, "figures": [asdict(one) for one in found]}, indent=1) + "\n")
    return 1 if any(one.passed is False for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
