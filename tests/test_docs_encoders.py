"""The page of encoders: its way from outside faces over frozen features to a model over time, word for word on small data."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from harness import files
from harness.cli import harness
from harness.runs.store import Run
from models import registry
from tests.simulated_features import TINY_TEMPORAL

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "encoders.md").read_text()
SECTION = PAGE[PAGE.index("## Adapt on outside faces") :]
COMMANDS = [
    shlex.split(line.replace("\\\n", " "))[1:]
    for line in re.findall(r"^\$ (harness (?:[^\n]+\\\n)*[^\n]+)", SECTION, re.MULTILINE)
]
SMALL = {
    "backbone": "timm:vit_small_patch14_dinov2",
    "image_size": "28",
    "test_resize": "28",
    "batch": "4",
    "iterations": "2",
    "evaluate_every": "2",
    "checkpoint_every": "2",
    "warmup": "1",
    "frame_step": "4",
    "precision": "fp32",
}


def shrunk(words: list[str], root: Path) -> list[str]:
    """A command of the page with the data root of this test and a network, images and steps of a test's size."""
    named = [word.replace("/data/aff-wild2", str(root)).replace("step-00008000", "step-00000002") for word in words]
    changes = {"train": SMALL, "features": {}, "predict": {}}[named[0]]
    if "--features" in named:
        changes = {**TINY_TEMPORAL, "iterations": "2", "evaluate_every": "2"}
    return [*named, "--workers", "0", *(part for key, value in changes.items() for part in ("--set", f"{key}={value}"))]


@pytest.mark.slow
def test_the_pages_way_is_taken_from_end_to_end(drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    published = {
        name.removeprefix("network."): value
        for name, value in registry.create(SMALL["backbone"], image_size=28).state_dict().items()
    }
    torch.save({**published, "mask_token": torch.zeros(1, 384)}, "dinov2_vitb14_pretrain.pth")
    faces = sorted((drawn_root / "cropped_aligned").rglob("*.jpg"))[:16]
    lines = [f"{face},{index % 7}" for index, face in enumerate(faces)]
    Path("affectnet.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    assert [words[0] for words in COMMANDS] == ["train", "train", "features", "train", "predict"]
    for words in COMMANDS:
        done = CliRunner().invoke(harness, shrunk(words, drawn_root))
        assert done.exit_code in (0, None), (words, done.output, done.exception)
    adapted, frozen, over_time = (Run(Path("runs") / name) for name in ("faces", "frozen", "over-time"))
    learned_from = adapted.manifest["data"]
    assert (learned_from["splits"], sum(learned_from["extra"]["images"].values())) == ([], 16)
    file = adapted.path / "checkpoints" / "step-00000002" / "model.safetensors"
    assert frozen.manifest["weights"]["sha256"] == files.sha256(file)
    learned = [load_file(path) for path in (file, frozen.path / "checkpoints" / "step-00000002" / "model.safetensors")]
    blocks = [name for name in learned[0] if "blocks." in name]
    assert len(blocks) > 100
    assert all(torch.equal(*(tensors[name] for tensors in learned)) for name in blocks)
    assert not torch.equal(learned[0]["backbone.network.blocks.0.attn.qkv.weight"], published["blocks.0.attn.qkv.weight"])
    assert [entry["run"] for entry in over_time.manifest["features"]] == ["frozen"]
    assert over_time.splits() == ("val",)
