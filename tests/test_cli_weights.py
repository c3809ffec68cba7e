"""`harness weights`: what it shows, what it converts, and how it ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from harness.cli import main
from models import registry, weights


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["weights", *arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A ResNet-18 in the layout of mmcls, with a head for eight classes."""
    torch.manual_seed(0)
    state = registry.create("res18").state_dict()
    state["bn1.running_mean"] += 1
    path = tmp_path / "r18.pth"
    content = {f"backbone.{name}": tensor for name, tensor in state.items()}
    torch.save({"state_dict": {**content, "head.fc.weight": torch.ones(8, 512)}, "meta": {"epoch": 50}}, path)
    return path


def test_it_shows_what_is_inside_and_which_backbone_fits(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where no data set lies that the next command would find by itself
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    assert run(str(checkpoint)) == 0
    out = capsys.readouterr().out
    assert "121 tensors" in out
    assert "backbone 120, head 1" in out
    assert "meta.epoch 50" in out
    assert "classifier outputs: 8" in out
    assert "res18: fits, 120 of 120 tensors, prefix 'backbone.'" in out
    assert out.splitlines()[-1] == f"next: harness train --recipe res18 --weights {checkpoint} --data DIR"


def test_it_names_what_does_not_fit_a_backbone(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(checkpoint), "--backbone", "res50") == 0
    out = capsys.readouterr().out
    assert "res50: does not fit" in out
    assert "missing: layer1.0.conv3.weight" in out
    assert "mis-shaped: layer1.0.conv1.weight (64x64x3x3 instead of 64x64x1x1)" in out


def test_it_writes_safetensors_with_origin_and_classes(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made" / "res18.safetensors"
    assert run(str(checkpoint), "--convert", str(out), "--classes", "ferplus") == 0
    assert f"next: harness train --recipe res18 --weights {out}" in capsys.readouterr().out
    file = weights.read(out)
    assert file.metadata["backbone"] == "res18"
    assert file.metadata["origin.file"] == "r18.pth"
    assert file.classes == weights.preset("ferplus")
    backbone = registry.create("res18")
    weights.load_backbone(backbone, out)
    expected = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(tensor, expected[f"backbone.{name}"]) for name, tensor in backbone.state_dict().items())
    first = out.read_bytes()
    assert run(str(checkpoint), "--convert", str(out), "--classes", "ferplus") == 0
    assert out.read_bytes() == first


def test_a_class_order_that_is_not_the_files_is_refused_with_both(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "res18.safetensors"
    assert run(str(checkpoint), "--convert", str(out), "--classes", "raf-db") == 3
    message = capsys.readouterr().err
    assert "8 outputs" in message
    assert "7 classes: Surprise, Fear" in message
    content = torch.load(checkpoint, weights_only=True)
    content["meta"]["CLASSES"] = list(weights.preset("abaw"))
    torch.save(content, checkpoint)
    for more in ((), ("--convert", str(out))):
        assert run(str(checkpoint), "--classes", "ferplus", *more) == 3
        assert "Neutral, Anger, Disgust" in capsys.readouterr().err
    assert not out.exists()
    assert run(str(checkpoint), "--convert", str(out)) == 0
    assert weights.read(out).classes == weights.preset("abaw")


@pytest.fixture
def vit_small(tmp_path: Path) -> Path:
    """timm's first vit_small, which APViT's transformer starts from, with as many numbers and other ones."""
    state = dict(registry.create_without_data("apvit").get_submodule("vit").state_dict())
    for name in ("projs.0.weight", "projs.0.bias", "cls_pos_embed", "patch_pos_embed"):
        del state[name]
    state = {name: torch.full(tensor.shape, index + 1.0) for index, (name, tensor) in enumerate(state.items())}
    state |= {"pos_embed": torch.rand(1, 197, 768), "patch_embed.proj.weight": torch.ones(768, 3, 16, 16)}
    path = tmp_path / "vit_small_p16_224-15ec54c9.pth"
    torch.save({**state, "head.weight": torch.ones(1000, 768)}, path)
    return path


def test_a_part_of_apvit_is_recognised_and_converted_to_what_its_recipe_starts_from(
    vit_small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(vit_small)) == 0
    shown = capsys.readouterr().out
    assert "apvit:vit: fits, " in shown
    assert f"--recipe apvit-ms1m --weights IR50_FILE --set weights_second={vit_small}" in shown.splitlines()[-1]
    out = tmp_path / "vit.safetensors"
    assert run(str(vit_small), "--backbone", "apvit", "--part", "vit", "--convert", str(out)) == 0
    file = weights.read(out)
    assert (file.metadata["part"], file.metadata["origin.file"]) == ("apvit:vit", vit_small.name)
    networks = [registry.create("apvit") for _ in range(2)]
    for network, path in zip(networks, (vit_small, out), strict=True):
        assert "projs.0.weight" in weights.load_backbone(network, path, part="vit").random
    for name in ("cls_token", "patch_pos_embed", "blocks.7.mlp.fc2.weight"):
        assert torch.equal(networks[0].state_dict()[f"vit.{name}"], networks[1].state_dict()[f"vit.{name}"])
    assert run(str(vit_small), "--backbone", "apvit", "--part", "wit") == 2
    assert "no part 'wit'" in capsys.readouterr().err


def test_a_program_gets_json_alone_on_standard_output(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(checkpoint), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["candidates"][0]["backbone"] == "res18"
    assert found["tensors"]["head.fc.weight"] == [[8, 512], "float32"]


def test_a_part_is_converted_only_when_asked_for(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = torch.load(checkpoint, weights_only=True)
    del content["state_dict"]["backbone.layer4.1.bn2.bias"]
    torch.save(content, checkpoint)
    out = tmp_path / "part.safetensors"
    assert run(str(checkpoint), "--backbone", "res18", "--convert", str(out)) == 3
    assert "1 missing: layer4.1.bn2.bias" in capsys.readouterr().err
    assert not out.exists()
    assert run(str(checkpoint), "--backbone", "res18", "--convert", str(out), "--allow-partial") == 0
    assert "random where it is loaded: layer4.1.bn2.bias" in capsys.readouterr().out
    assert "layer4.1.bn2.bias" not in weights.read(out).tensors


def test_a_random_initialisation_is_shown_and_not_converted_unless_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "random.pth", tmp_path / "out.safetensors"
    torch.save(registry.create("res18").state_dict(), path)
    assert run(str(path), "--backbone", "res18") == 0
    assert "its 20 BatchNorm statistics were never updated" in capsys.readouterr().out
    assert run(str(path), "--backbone", "res18", "--convert", str(out)) == 3
    assert run(str(path), "--backbone", "res18", "--convert", str(out), "--accept-untouched-statistics") == 0
    assert weights.read(out).metadata["origin.untouched_statistics"] == "accepted"


def test_faults_end_with_their_exit_codes_and_without_a_traceback(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pointer = tmp_path / "pointer.pth"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\n")
    assert run(str(pointer)) == 3
    assert "Git LFS pointer" in capsys.readouterr().err
    assert run(str(tmp_path / "nowhere.pth")) == 3
    assert run(str(checkpoint), "--backbone", "res19") == 2
    assert "Did you mean 'res18'" in capsys.readouterr().err
    assert run(str(checkpoint), "--classes", "affectnot") == 2
    monkeypatch.setitem(sys.modules, "timm", None)
    assert run(str(checkpoint), "--backbone", "timm:resnet18") == 3
    assert "abaw-harness[timm]" in capsys.readouterr().err
    assert "Traceback" not in capsys.readouterr().err
