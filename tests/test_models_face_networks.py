"""Networks of faces that others publish, with random weights under their names: told by what they are, loaded where one fits."""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from click.testing import CliRunner
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from harness.cli import harness
from models import registry, weights
from models.weights.encoders import likely_backbones
from models.weights.faces import face_network
from models.weights.layouts import POOLED

Tensors = dict[str, Tensor]


def random_network(network: nn.Module) -> nn.Module:
    """The network with every tensor random, running statistics too."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) / 8 + float(name.endswith("var")))
    return network.eval()


def emotieffnet(size: str) -> nn.Module:
    """EmotiEffLib's: timm's EfficientNet with TensorFlow's padding, and a linear layer in a sequence as its classifier."""
    network = timm.create_model(f"tf_efficientnet_{size}")
    network.classifier = nn.Sequential(nn.Linear({"b0": 1280, "b2": 1408}[size], 8))
    return random_network(network)


@pytest.mark.parametrize(("size", "side"), [("b0", 224), ("b2", 260)])
def test_emotieffnet_is_told_and_gives_timm_s_features(tmp_path: Path, size: str, side: int) -> None:
    source: Any = emotieffnet(size)
    torch.save(source.state_dict(), tmp_path / "state.pt")
    inspection = weights.inspect(tmp_path / "state.pt")
    assert inspection.network is not None
    assert "EmotiEffNet" in inspection.network.name
    assert inspection.outputs == 8
    best = inspection.candidates[0]
    assert (best.backbone, best.match.complete) == (f"timm:tf_efficientnet_{size}.ns_jft_in1k", True)
    assert registry.create_without_data(best.backbone).image_size == side
    backbone = registry.create(best.backbone, image_size=64).eval()
    weights.load_backbone(backbone, tmp_path / "state.pt")
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(backbone(images), source.forward_features(images))


SMALL: dict[str, Any] = {"embed_dim": 24, "depth": 2, "num_heads": 2, "img_size": 32, "patch_size": 16, "num_classes": 0}


def autoencoder(network: nn.Module) -> Tensors:
    """What facebookresearch's MAE saves: the encoder, the decoder's own blocks and a mask token."""
    decoder = {f"decoder_blocks.0.{name}": torch.ones(3) for name in ("norm1.weight", "attn.qkv.weight")}
    others = {
        "mask_token": torch.zeros(1, 1, 8),
        "decoder_embed.weight": torch.ones(8, 24),
        "decoder_pos_embed": torch.ones(1, 5, 8),
    }
    return {**network.state_dict(), **others, **decoder}


def fine_tuned(network: nn.Module) -> Tensors:
    """What its fine-tuning saves: the norm behind the mean over the tokens, and heads."""
    tensors = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("norm.")}
    head = {"fc_norm.weight": torch.full((24,), 3.0), "fc_norm.bias": torch.ones(24), "AU_head.weight": torch.ones(12, 24)}
    return {**tensors, **head, "ID_head.weight": torch.ones(41, 24)}


@pytest.mark.parametrize("publish", [autoencoder, fine_tuned])
def test_fmae_and_mae_face_give_their_encoder(tmp_path: Path, publish: Callable[[nn.Module], Tensors]) -> None:
    source: Any = random_network(VisionTransformer(**SMALL, global_pool=""))
    settings = argparse.Namespace(model="mae_vit_base_patch16", blr=1.5e-4)
    torch.save({"model": publish(source), "optimizer": {"state": {}}, "epoch": 49, "args": settings}, tmp_path / "face.pth")
    options = {key: value for key, value in SMALL.items() if key in ("embed_dim", "depth", "num_heads")}
    backbone = registry.create("timm:vit_base_patch16_224.mae", image_size=32, **options).eval()
    report = weights.load_backbone(backbone, tmp_path / "face.pth")
    if publish is fine_tuned:
        assert (report.layout, set(report.random)) == (POOLED.description, {"norm.weight", "norm.bias"})
        source.norm.reset_parameters()
    else:
        assert report.random == ()
        assert {"decoder_blocks": 2, "mask_token": 1}.items() <= report.left_out.items()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(backbone(images), source.forward_features(images), atol=1e-5)


def test_a_vision_transformer_that_merely_lacks_its_norm_is_refused(tmp_path: Path) -> None:
    source = random_network(VisionTransformer(**SMALL, global_pool=""))
    tensors = {name: tensor for name, tensor in source.state_dict().items() if not name.startswith("norm.")}
    torch.save(tensors, tmp_path / "face.pth")
    options = {key: value for key, value in SMALL.items() if key in ("embed_dim", "depth", "num_heads")}
    with pytest.raises(weights.WeightsError, match=r"2 missing: norm\.weight, norm\.bias"):
        weights.load_backbone(registry.create("timm:vit_base_patch16_224", image_size=32, **options), tmp_path / "face.pth")


@pytest.mark.parametrize(("width", "expected"), [
    (384, "timm:vit_small_patch16_224.dino"), (768, "timm:vit_base_patch16_224.mae"), (1024, "timm:vit_large_patch16_224.mae"),
])  # fmt: skip
def test_a_masked_autoencoder_of_a_published_size_is_told_with_imagenets_normalisation(width: int, expected: str) -> None:
    tensors = {name: torch.zeros(1).expand(2, 2) for name in ("blocks.0.attn.qkv.weight", "decoder_embed.weight")}
    tensors["patch_embed.proj.weight"] = torch.zeros(1).expand(width, 3, 16, 16)
    found = face_network(tensors)
    assert found is not None
    assert "FMAE and MAE-Face" in found.name
    assert likely_backbones(tensors) == (expected,)
    assert registry.create_without_data(expected).mean == (0.485, 0.456, 0.406)


def ddamfn() -> Tensors:
    """Some names of DDAMFN as it is trained: features by number, attention heads, a depth-wise layer, a classifier."""
    heads = ("cat_head0.CoordAtt.conv1.weight", "cat_head1.CoordAtt.Linear_h.conv.weight")
    mixed = "features.3.model.0.conv_dw.mixed_depthwise_conv.1.weight"
    names = ("features.0.conv.weight", "features.1.prelu.weight", mixed, *heads, "Linear.conv.weight", "bn.weight")
    return {**{name: torch.ones(4, 4) for name in names}, "fc.weight": torch.ones(8, 512), "fc.bias": torch.ones(8)}


def mixed_mobile_face_net() -> Tensors:
    names = ("conv1.conv.weight", "conv2_dw.conv.weight", "conv_3.model.0.conv.conv.weight", "conv_6_sep.conv.weight")
    return {name: torch.ones(4, 4) for name in (*names, "conv_6_dw.conv.weight", "linear.weight")}


@pytest.mark.parametrize(("publish", "name"), [(ddamfn, "DDAMFN"), (mixed_mobile_face_net, "MobileFaceNet")])
def test_a_network_that_none_here_fits_is_told_with_what_to_do(tmp_path: Path, publish: Callable[[], Tensors], name: str) -> None:
    torch.save({"model_state_dict": publish(), "iter": 12}, tmp_path / "face.pth")
    done = CliRunner().invoke(harness, ["weights", str(tmp_path / "face.pth")])
    assert done.exit_code in (0, None), done.output
    line = next(line for line in done.output.splitlines() if line.startswith("names as of"))
    assert name in line
    assert "docs/plugins.md" in line
    assert "harness import --features" in line
    assert ": fits" not in done.output


def test_a_whole_network_is_refused_with_the_line_that_saves_its_state(tmp_path: Path) -> None:
    torch.save(emotieffnet("b0"), tmp_path / "enet_b0_8_best_afew.pt")
    with pytest.raises(weights.WeightsError, match=r"holds timm\.models\.\S+EfficientNet") as refused:
        weights.read(tmp_path / "enet_b0_8_best_afew.pt")
    line = re.search(r'python -c "(.+)"', str(refused.value.remedy))
    assert line is not None
    exec(line[1])
    state = weights.inspect(tmp_path / "enet_b0_8_best_afew-state.pt")
    assert state.network is not None
    assert "EmotiEffNet" in state.network.name


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return subprocess.Popen, (["true"],)


def test_no_such_line_is_given_for_what_is_no_network(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2), "more": Hostile()}, tmp_path / "hostile.pt")
    with pytest.raises(weights.WeightsError, match=r"holds \w+\.Popen") as refused:
        weights.read(tmp_path / "hostile.pt")
    assert "do not trust it" in str(refused.value.remedy)
    assert "python -c" not in str(refused.value.remedy)
