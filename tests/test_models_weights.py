"""Weights: every published layout is read back exactly, what does not fit is named, and nothing in a file is ever run."""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import pickle
import runpy
import shutil
import struct
import subprocess
import webbrowser
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from harness.challenge import EXPR
from harness.data.extra import ORDERS
from models import classifier, registry, weights
from models.backbones.apvit import PoolingTransformer
from models.backbones.base import Backbone
from models.backbones.vit import VisionTransformer
from models.weights import WeightsError

State = dict[str, Tensor]


def trained(network: nn.Module) -> State:
    """A state dict with a number of its own in every tensor, as no random initialisation has."""
    return {
        name: torch.full(tensor.shape, index + 0.5 if tensor.is_floating_point() else index, dtype=tensor.dtype)
        for index, (name, tensor) in enumerate(network.state_dict().items(), start=1)
    }


def assert_holds(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def blank(name: str) -> Backbone:
    """A backbone whose numbers mean nothing yet, made without drawing them."""
    with torch.device("meta"):
        backbone = registry.create(name)
    return backbone.to_empty(device="cpu")


def save(path: Path, content: Any, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


@pytest.fixture(scope="module")
def res18() -> State:
    return trained(blank("res18"))


def resnet_layouts() -> dict[str, Callable[[State], Any]]:
    """Published layouts of a ResNet -> how such a file is made of a torchvision state dict."""
    slow = {name: torch.zeros(()) for name in ("a", "b")}
    children = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}

    def by_number(state: State) -> State:
        split = {name: name.partition(".") for name in state}
        return {f"backbone.{children[part]}.{rest}": state[name] for name, (part, _, rest) in split.items()}

    def without_counts(state: State) -> State:
        return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}

    fc = {"fc.weight": torch.ones(1000, 512), "fc.bias": torch.ones(1000)}
    projection = {"0.weight": torch.ones(4, 512), "1.running_mean": torch.ones(4)}
    settings = argparse.Namespace(lr=0.1, model="resnet18")
    return {
        "torchvision": lambda s: OrderedDict({**s, **fc}),
        "torchvision before BatchNorm counted": lambda s: {**without_counts(s), **fc},
        "timm": lambda s: {
            "state_dict": {**s, **fc},
            "epoch": 3,
            "arch": "resnet18",
            "args": settings,
            "metric": np.float64(77.5),
        },
        "timm, with running averages": lambda s: {"epoch": 1, "state_dict": {**s, **fc}, "state_dict_ema": prefixed(s, "no.")},
        "mmcls": lambda s: {
            "meta": {"CLASSES": ["a", "b"], "env_info": "x", "seed": 1, "hook_msgs": {}},
            "state_dict": {
                **prefixed(s, "backbone."),
                "neck.conv1.conv.weight": torch.ones(2),
                "head.fc.weight": torch.ones(8, 512),
            },
            "optimizer": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
        },
        "mmselfsup BYOL": lambda s: {
            "state_dict": {
                **prefixed(s, "backbone."),
                **prefixed(projection, "neck."),
                **prefixed(s, "online_net.0."),
                **prefixed(projection, "online_net.1."),
                **prefixed({name: torch.zeros_like(tensor) for name, tensor in s.items()}, "target_net.0."),
                **prefixed(projection, "head.predictor."),
            }
        },
        "mmselfsup BYOL without its alias": lambda s: {
            **prefixed({name: torch.zeros_like(tensor) for name, tensor in s.items()}, "target_net.0."),
            **prefixed(s, "online_net.0."),
            **prefixed(projection, "online_net.1."),
        },
        "MoCo": lambda s: {
            "epoch": 200,
            "arch": "resnet18",
            "best_acc1": torch.tensor(3.0),
            "state_dict": {
                **prefixed(s, "module.encoder_q."),
                "module.encoder_q.fc.0.weight": torch.ones(128, 512),
                **prefixed({name: torch.zeros_like(tensor) for name, tensor in s.items()}, "module.encoder_k."),
                "module.queue": torch.ones(128, 8),
            },
        },
        "MoCo v3": lambda s: {
            "state_dict": {**prefixed(s, "module.base_encoder."), **prefixed(slow, "module.momentum_encoder.")}
        },
        "SimCLR": lambda s: {"model": {**prefixed(s, "module.encoder."), **prefixed(projection, "module.projector.")}},
        "lightly SimCLR": lambda s: {"state_dict": {**by_number(s), **prefixed(projection, "projection_head.layers.")}},
        "BYOL of lucidrains": lambda s: {**prefixed(s, "online_encoder.net."), **prefixed(projection, "online_predictor.net.")},
        "VISSL": lambda s: {
            "classy_state_dict": {"base_model": {"model": {"trunk": prefixed(s, "_feature_blocks."), "heads": {}}}}
        },
        "many processes": lambda s: prefixed({**s, **fc}, "module."),
    }


@pytest.mark.parametrize("layout", resnet_layouts())
def test_every_published_layout_of_a_resnet_is_read_back_exactly(layout: str, res18: State, tmp_path: Path) -> None:
    path = save(tmp_path / "weights.pth", resnet_layouts()[layout](res18))
    backbone = registry.create("res18")
    state = dict(res18)
    if layout == "torchvision before BatchNorm counted":
        state.update({name: torch.zeros_like(tensor) for name, tensor in res18.items() if name.endswith("tracked")})
    report = weights.load_backbone(backbone, path)
    assert_holds(backbone, state)
    assert report.random == ()
    assert report.loaded == (100 if layout.endswith("counted") else 120)


def test_what_is_not_the_backbones_is_left_out_and_counted(res18: State, tmp_path: Path) -> None:
    path = save(tmp_path / "byol.pth", resnet_layouts()["mmselfsup BYOL"](res18))
    report = weights.load_backbone(registry.create("res18"), path)
    assert report.prefix == "backbone."
    assert report.left_out == {"neck": 2, "online_net": 122, "target_net": 120, "head": 2}
    assert json.loads(json.dumps(report.as_dict()))["file"] == "byol.pth"


def test_the_old_torch_format_is_read(res18: State, tmp_path: Path) -> None:
    backbone = registry.create("res18")
    weights.load_backbone(backbone, save(tmp_path / "weights.pth", {"state_dict": res18}, legacy=True))
    assert_holds(backbone, res18)


@pytest.fixture(scope="module")
def flat_ir50() -> State:
    return trained(blank("ir50"))


def to_stages(state: State) -> State:
    """face.evoLVe's names to APViT's, by a table written out."""
    table = [(stage, unit) for stage, units in enumerate((3, 4, 14, 3)) for unit in range(units)]
    renamed = {}
    for name, tensor in state.items():
        parts = name.split(".")
        if parts[0] == "body":
            stage, unit = table[int(parts[1])]
            parts[1:2] = [str(stage), str(unit)]
        renamed[".".join(parts)] = tensor
    return renamed


OUTPUT_LAYER = {"output_layer.0.weight": torch.ones(512), "output_layer.3.weight": torch.ones(2, 25)}


def test_face_evolve_weights_go_into_ir50_flat_and_by_stages_and_into_apvits_extractor(flat_ir50: State, tmp_path: Path) -> None:
    flat = flat_ir50
    by_stages = to_stages(flat)
    path = save(tmp_path / "backbone_ir50_ms1m_epoch120.pth", OrderedDict({**flat, **OUTPUT_LAYER}))
    backbone = blank("ir50")
    weights.load_backbone(backbone, path)
    assert_holds(backbone, flat)
    three_stages = blank("hierarchical-ir50")
    report = weights.load_backbone(three_stages, path)
    assert_holds(three_stages, by_stages)
    assert report.layout == "face.evoLVe IR-50"
    assert report.left_out == {"body": 45, "output_layer": 2}

    apvit = blank("apvit")
    with pytest.raises(WeightsError, match=r"missing: vit.cls_token") as caught:
        weights.load_backbone(apvit, path)
    assert "(extractor)" not in str(caught.value)
    weights.load_backbone(apvit, path, part="extractor")
    assert_holds(apvit.get_submodule("extractor"), by_stages)


def test_ir50_by_stages_goes_into_flat_ir50(flat_ir50: State, tmp_path: Path) -> None:
    flat = flat_ir50
    backbone = blank("ir50")
    weights.load_backbone(backbone, save(tmp_path / "hierarchical.pth", {"state_dict": prefixed(to_stages(flat), "backbone.")}))
    assert_holds(backbone, flat)


def test_apvits_own_checkpoint_is_read_back_without_its_seven_classes(tmp_path: Path) -> None:
    state = trained(blank("apvit"))
    head = {"head.fc.weight": torch.ones(7, 768), "head.fc.bias": torch.ones(7)}
    path = save(tmp_path / "APViT_RAF-3eeecf7d.pth", {"meta": {"mmcls_version": "0.12"}, "state_dict": {**state, **head}})
    backbone = blank("apvit")
    report = weights.load_backbone(backbone, path)
    assert_holds(backbone, state)
    assert report.left_out == {"head": 2}


def test_apvits_checkpoint_is_named_apvit_and_not_by_its_convolutional_half(tmp_path: Path) -> None:
    state = {**trained(blank("apvit")), "head.fc.weight": torch.ones(7, 768)}
    path = save(tmp_path / "APViT_RAF-3eeecf7d.pth", {"state_dict": state})
    found = weights.inspect(path)
    fitting = [candidate.name for candidate in found.candidates if candidate.match.complete]
    assert fitting == ["apvit", "hierarchical-ir50", "apvit:extractor", "apvit:vit"]


def test_timms_first_vit_small_goes_into_apvits_transformer(tmp_path: Path) -> None:
    apvit = blank("apvit")
    transformer = apvit.get_submodule("vit")
    assert isinstance(transformer, PoolingTransformer)
    before = {name: tensor.clone() for name, tensor in transformer.state_dict().items()}
    state = {name: tensor for name, tensor in trained(transformer).items() if name.startswith(("blocks", "norm", "cls_token"))}
    positions = torch.rand(1, 197, 768)
    file = {
        **state,
        "pos_embed": positions,
        "patch_embed.proj.weight": torch.ones(768, 3, 16, 16),
        "head.weight": torch.ones(1000, 768),
    }
    report = weights.load_backbone(apvit, save(tmp_path / "vit_small_p16_224-15ec54c9.pth", file), part="vit")
    assert report.random == ("projs.0.weight", "projs.0.bias")
    assert torch.equal(transformer.cls_pos_embed, positions[:, :1])
    assert torch.equal(transformer.patch_pos_embed, positions[:, 1:])
    # By their bits: a blank network holds whatever lay in memory, NaN among it.
    untouched = [state["projs.0.weight"].view(torch.int32) for state in (transformer.state_dict(), before)]
    assert torch.equal(untouched[0], untouched[1])
    assert torch.equal(transformer.state_dict()["blocks.7.attn.qkv.weight"], state["blocks.7.attn.qkv.weight"])


def tiny_vit(image_size: int = 32) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(image_size, patch_size=8, width=16, depth=2, heads=2)


def test_mae_and_timm_vits_go_in_under_their_own_names(tmp_path: Path) -> None:
    state = trained(tiny_vit())
    decoder = {
        "mask_token": torch.ones(1, 1, 8),
        "decoder_embed.weight": torch.ones(8, 16),
        "decoder_blocks.0.norm1.weight": torch.ones(8),
    }
    for content in (
        {"model": {**state, **decoder}, "args": argparse.Namespace(mask_ratio=0.75)},
        {**state, "head.weight": torch.ones(3, 16)},
    ):
        network = tiny_vit()
        weights.load_backbone(network, save(tmp_path / "mae.pth", content))
        assert_holds(network, state)


def test_torchvisions_vit_computes_the_same_after_loading(tmp_path: Path) -> None:
    from torchvision.models.vision_transformer import VisionTransformer as TorchvisionTransformer

    torch.manual_seed(1)
    theirs = TorchvisionTransformer(32, 8, 2, 2, 16, 64, num_classes=5).eval()
    nn.init.normal_(theirs.class_token)
    ours = tiny_vit().eval()
    report = weights.load_backbone(ours, save(tmp_path / "vit_b_16.pth", theirs.state_dict()))
    assert report.layout == "torchvision's ViT"
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(theirs.heads(ours(images)[:, 0]), theirs(images), atol=1e-5)


def test_mmpretrains_vit_is_read_back_exactly(tmp_path: Path) -> None:
    state = trained(tiny_vit())
    renamed = {}
    for name, tensor in state.items():
        name = name.replace("patch_embed.proj", "patch_embed.projection").replace("blocks.", "layers.")
        name = name.replace("norm", "ln").replace("mlp.fc1", "ffn.layers.0.0").replace("mlp.fc2", "ffn.layers.1")
        renamed["backbone." + ("ln1" + name[2:] if name.startswith("ln.") else name)] = tensor
    network = tiny_vit()
    weights.load_backbone(
        network, save(tmp_path / "vit.pth", {"state_dict": {**renamed, "head.layers.head.weight": torch.ones(2, 16)}})
    )
    assert_holds(network, state)


def test_position_embeddings_of_another_image_size_are_resized_and_that_is_said(tmp_path: Path) -> None:
    state = trained(tiny_vit(32))
    # A plane is what any interpolation keeps in the middle.
    rows = torch.arange(4.0).repeat_interleave(4)
    state["pos_embed"][0, 1:] = rows[:, None]
    network = tiny_vit(64)
    report = weights.load_backbone(network, save(tmp_path / "vit.pth", state))
    assert report.adapted == ("pos_embed resized from 17 to 65 tokens",)
    assert torch.equal(network.pos_embed[:, :1], state["pos_embed"][:, :1])
    grid = network.pos_embed[0, 1:].reshape(8, 8, 16)
    assert torch.allclose(grid[:, 0, 0], grid[:, 5, 7])
    assert torch.allclose(grid[3:5, 0, 0], torch.tensor([1.25, 1.75]), atol=1e-5)


def test_timm_networks_by_name_take_timms_own_files(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    state = trained(timm.create_model("resnet18", pretrained=False))
    backbone = registry.create("timm:resnet18")
    weights.load_backbone(backbone, save(tmp_path / "model_best.pth.tar", {"state_dict": state}))
    assert_holds(backbone.get_submodule("network"), state)


def test_weights_of_another_network_are_refused_by_the_names_that_do_not_fit(res18: State, tmp_path: Path) -> None:
    path = save(tmp_path / "r18.pth", res18)
    backbone = registry.create("res50")
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        weights.load_backbone(backbone, path)
    message = str(caught.value)
    assert "missing: layer1.0.conv3.weight" in message
    assert "layer1.0.conv1.weight (64x64x3x3 instead of 64x64x1x1)" in message
    assert_holds(backbone, before)
    deeper = trained(blank("torchvision:resnet34"))
    with pytest.raises(WeightsError, match=r"unexpected: layer1.2.conv1.weight"):
        weights.load_backbone(registry.create("res18"), save(tmp_path / "r34.pth", deeper))


def test_a_missing_tensor_is_named_and_a_part_is_taken_only_when_allowed(res18: State, tmp_path: Path) -> None:
    partial = {name: tensor for name, tensor in res18.items() if name != "layer3.1.bn2.running_var"}
    path = save(tmp_path / "partial.pth", partial)
    with pytest.raises(WeightsError, match=r"1 missing: layer3.1.bn2.running_var"):
        weights.load_backbone(registry.create("res18"), path)
    backbone = registry.create("res18")
    report = weights.load_backbone(backbone, path, allow_partial=True)
    assert report.random == ("layer3.1.bn2.running_var",)
    assert torch.equal(backbone.state_dict()["conv1.weight"], res18["conv1.weight"])
    assert torch.equal(backbone.state_dict()["layer3.1.bn2.running_var"], torch.ones(256))


def test_nothing_that_fits_is_an_error_even_when_a_part_is_allowed(tmp_path: Path) -> None:
    path = save(tmp_path / "other.pth", {"layers.0.kernel": torch.ones(2, 2)})
    with pytest.raises(WeightsError, match=r"nothing in other.pth fits[\s\S]*layers.0.kernel"):
        weights.load_backbone(registry.create("res18"), path, allow_partial=True)


def test_a_running_average_is_never_taken_in_the_backbones_place(res18: State, tmp_path: Path) -> None:
    for prefix in ("target_net.0.", "module.encoder_k.", "module.momentum_encoder."):
        path = save(tmp_path / "slow.pth", prefixed(res18, prefix))
        with pytest.raises(WeightsError, match="is never taken in the backbone's place"):
            weights.load_backbone(registry.create("res18"), path)


def test_a_random_initialisation_sold_as_pretrained_is_refused_unless_accepted_and_recorded(tmp_path: Path) -> None:
    path = save(tmp_path / "random.pth", registry.create("res18").state_dict())
    with pytest.raises(WeightsError, match=r"random initialisation: its 20 BatchNorm statistics"):
        weights.load_backbone(registry.create("res18"), path)
    report = weights.load_backbone(registry.create("res18"), path, accept_untouched_statistics=True)
    assert report.accepted_untouched_statistics
    touched = registry.create("res18").state_dict()
    touched["layer4.1.bn2.running_mean"][3] = 1e-9
    assert not weights.load_backbone(registry.create("res18"), save(path, touched)).accepted_untouched_statistics


def test_half_precision_weights_become_float32(res18: State, tmp_path: Path) -> None:
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in res18.items()}
    backbone = registry.create("res18")
    weights.load_backbone(backbone, save(tmp_path / "half.pth", half))
    assert backbone.state_dict()["conv1.weight"].dtype == torch.float32
    assert torch.equal(backbone.state_dict()["conv1.weight"], half["conv1.weight"].float())


def test_an_unknown_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no part 'extrctor'"):
        weights.load_backbone(registry.create("res18"), tmp_path / "x.pth", part="extrctor")


# What a file may turn out to be.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        (b"/annex/objects/SHA256E-s1--0.pth\n", "git-annex pointer"),
        (b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded", "a web page"),
        (b"\n\n <html>", "a web page"),
        (b'{"error": "not found"}', "not weights but text"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5"),
        (b"\x93NUMPY\x01\x00" + bytes(20), "NumPy array"),
        (b"\x1f\x8b\x08" + bytes(20), "gzip archive"),
        (b"7z\xbc\xaf'\x1c", "7z archive"),
        (b"%PDF-1.7", "PDF"),
        (pickle.dumps({"a": 1}), "a bare pickle"),
        (bytes(600), "not a weights file"),
        (struct.pack("<Q", 10_000) + b'{"a":', "cut off within its header"),
        (struct.pack("<Q", 0x3C80) + b'{"a":', "cut off within its header"),
        (b"<htm id={}> <title>Sign in", "a web page"),
    ],
)
def test_a_file_that_is_no_weights_file_is_named_for_what_it_is(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        weights.read(path)


@pytest.mark.parametrize("lowest_byte", range(0, 256, 8))
def test_a_safetensors_file_is_one_whatever_number_it_begins_with(lowest_byte: int, tmp_path: Path) -> None:
    # The header is padded to a multiple of 8, so these are all the first bytes there are; 0x80 begins a pickle as well.
    path = tmp_path / "weights.safetensors"
    for padding in range(256):
        save_file({"conv1.weight": torch.ones(2)}, path, {"note": "x" * padding})
        if path.read_bytes()[0] == lowest_byte:
            break
    assert path.read_bytes()[0] == lowest_byte
    assert set(weights.read(path).tensors) == {"conv1.weight"}


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        weights.read(tmp_path / "nowhere.pth")
    with pytest.raises(WeightsError, match="cannot read: Is a directory"):
        weights.read(tmp_path)


@pytest.mark.parametrize("kind", ["torch", "legacy", "safetensors"])
def test_a_file_cut_off_anywhere_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "weights"
    tensors = {"conv1.weight": torch.randn(8, 3, 3, 3), "bn1.weight": torch.randn(8)}
    if kind == "safetensors":
        save_file(tensors, path)
    else:
        save(path, tensors, legacy=kind == "legacy")
    whole = path.read_bytes()
    assert set(weights.read(path).tensors) == set(tensors)
    for length in range(1, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError):
            weights.read(path)


def test_archives_that_torch_did_not_write_are_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.pth", b"x")
    with pytest.raises(WeightsError, match=r"without a torch checkpoint[\s\S]*model.pth"):
        weights.read(path)
    inner = io.BytesIO()
    torch.save({"a": torch.zeros(1000)}, inner)
    with zipfile.ZipFile(inner) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in source.infolist():
            archive.writestr(entry.filename, source.read(entry))
    with pytest.raises(WeightsError, match="compressed"):
        weights.read(path)
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(path))
    with pytest.raises(WeightsError, match="TorchScript"):
        weights.read(path)


def test_a_checkpoint_without_tensors_or_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no tensors[\s\S]*epoch"):
        weights.read(save(tmp_path / "a.pth", {"epoch": 3}))
    with pytest.raises(WeightsError, match="not a mapping"):
        weights.read(save(tmp_path / "b.pth", [torch.ones(2)]))


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_numbers_of_eight_bits_are_refused_by_the_tensors_name(dtype: torch.dtype, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"'bn1.weight' is stored in eight bits"):
        weights.read(save(tmp_path / "small.pth", {"bn1.weight": torch.ones(3).to(dtype)}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused_by_the_tensors_name(value: float, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"'bn1.weight' holds NaN or infinity"):
        weights.read(save(tmp_path / "nan.pth", {"bn1.weight": torch.tensor([1.0, value])}))


def test_a_tensor_that_claims_more_numbers_than_are_stored_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="claims more numbers"):
        weights.read(save(tmp_path / "bomb.pth", {"bn1.weight": torch.ones(1).expand(10**12)}))
    with pytest.raises(WeightsError, match="sparse"):
        weights.read(save(tmp_path / "sparse.pth", {"w": torch.eye(3).to_sparse()}))


def test_harmless_metadata_is_read(tmp_path: Path) -> None:
    numbers = {"f8": np.float64(1.5), "i4": np.int32(7), "b": np.bool_(True), "f4": np.float32(0.5)}
    content = {
        "state_dict": {"w": torch.ones(2)},
        "args": argparse.Namespace(lr=0.1, data="x"),
        "metric": numbers,
        "history": OrderedDict(a=collections.Counter(b=2)),
        "meta": {"CLASSES": ("Neutral", "Happiness")},
    }
    file = weights.read(save(tmp_path / "meta.pth", content))
    assert file.metadata["metric.f8"] == "1.5"
    assert file.metadata["metric.i4"] == "7"
    assert file.metadata["metric.b"] == "True"
    assert file.metadata["args.lr"] == "0.1"
    assert file.classes == ("Neutral", "Happiness")


class Hostile:
    """Runs a call when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


class WithState:
    """Runs code through __setstate__ when it is unpickled."""

    def __setstate__(self, state: Any) -> None:
        Path(state).touch()

    def __getstate__(self) -> str:
        return "mark"


def hostile_objects(mark: Path) -> dict[str, Any]:
    command = f"touch {mark}"
    program = f"open({str(mark)!r}, 'w').close()"
    script = mark.with_suffix(".py")
    script.write_text(program)
    return {
        "os.system": Hostile(os.system, command),
        "subprocess": Hostile(subprocess.check_call, ["touch", str(mark)]),
        "eval": Hostile(eval, program),
        "exec": Hostile(exec, program),
        "import": Hostile(__import__, "antigravity"),
        "open": Hostile(open, str(mark), "w"),
        "runpy": Hostile(runpy.run_path, str(script)),
        "rmtree": Hostile(shutil.rmtree, str(mark.parent / "kept")),
        "webbrowser": Hostile(webbrowser.open, "http://localhost"),
        "numpy.load": Hostile(np.load, str(mark.parent / "inner.npy"), None, True),
        "torch.load": Hostile(torch.load, str(script)),
        "setstate": WithState(),
        "compile": Hostile(compile, program, "x", "exec"),
        "path": Hostile(Path.touch, mark),
    }


@pytest.mark.parametrize("kind", ["zip", "legacy", "bare"])
@pytest.mark.parametrize("place", ["beside", "within"])
def test_a_hostile_pickle_is_refused_and_never_runs(
    kind: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").mkdir()
    mark = tmp_path / "mark"
    attacks = hostile_objects(mark)
    assert len(attacks) >= 10
    for name, attack in attacks.items():
        content: dict[str, Any] = {"w": torch.ones(2), "x": [attack]}
        if place == "beside":
            content = {"state_dict": {"w": torch.ones(2)}, "extra": attack}
        path = tmp_path / "hostile.pth"
        if kind == "bare":
            path.write_bytes(pickle.dumps(content))
        else:
            save(path, content, legacy=kind == "legacy")
        for use in (weights.read, weights.inspect, lambda p: weights.load_backbone(nn.Linear(1, 1), p)):
            with pytest.raises(WeightsError) as caught:
                use(path)
            assert "safe_globals" not in str(caught.value), name
        assert not mark.exists(), name
        assert (tmp_path / "kept").exists(), name


def test_what_is_refused_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "hostile.pth", {"w": torch.ones(2), "x": Hostile(shutil.rmtree, "x")})
    with pytest.raises(WeightsError, match=r"holds shutil.rmtree"):
        weights.read(path)


# Classes.


def test_class_presets_are_the_published_orders() -> None:
    assert weights.preset("RAF-DB") == ("Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral")
    assert weights.preset("affectnet")[1] == "Happiness"
    assert weights.preset("affectnet")[6:] == ("Anger", "Contempt")
    assert weights.preset("ferplus")[:4] == ("Neutral", "Happiness", "Surprise", "Sadness")
    with pytest.raises(KeyError, match="Did you mean 'affectnet'"):
        weights.preset("afectnet")


def test_a_class_order_is_a_data_set_or_names_with_commas() -> None:
    assert weights.class_order("abaw") == EXPR.class_names
    assert weights.class_order("Fear, Anger") == ("Fear", "Anger")
    with pytest.raises(KeyError, match="unknown class preset 'Fear'"):
        weights.class_order("Fear")
    with pytest.raises(WeightsError, match="every class once"):
        weights.class_order("Fear,afraid")


def test_class_presets_agree_with_the_orders_of_extra_faces() -> None:
    for name in ("abaw", "affectnet", "raf-db", "ferplus"):
        numbered = [word for _, word in sorted(ORDERS[name].items()) if word is not None]
        assert list(weights.preset(name))[: len(numbered)] == numbered


@pytest.mark.parametrize(
    ("said", "asked", "outputs", "order"),
    [
        (None, None, 7, None),
        (("Fear", "Anger"), None, 2, ("Fear", "Anger")),
        (None, ("Fear", "Anger"), 2, ("Fear", "Anger")),
        (None, ("Fear", "Anger"), None, ("Fear", "Anger")),
        (("afraid", "angry"), ("Fear", "Anger"), 2, ("afraid", "angry")),
        # Metadata of fine-tuned files often names the classes of what they started from; nobody has asked for those.
        (("a", "b"), None, 8, ("a", "b")),
    ],
)
def test_a_files_own_class_order_stands(said: Any, asked: Any, outputs: int | None, order: Any) -> None:
    assert weights.agreed_order(said, asked, outputs) == order


@pytest.mark.parametrize(
    ("said", "asked", "outputs", "message"),
    [
        (("Fear", "Anger"), ("Anger", "Fear"), 2, r"found: Fear, Anger\n  expected: Anger, Fear"),
        (("Fear", "Anger"), ("Fear", "Anger", "Other"), 2, "another class order"),
        (None, ("Fear", "Anger"), 7, r"7 outputs\n  expected: 2 classes: Fear, Anger"),
    ],
)
def test_another_class_order_than_the_files_own_is_refused(said: Any, asked: Any, outputs: int, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        weights.agreed_order(said, asked, outputs)


def test_outputs_are_put_into_another_order_by_name_and_other_classes_refused() -> None:
    assert weights.output_order(["happy", "Sad", "NEUTRAL"], ["Neutral", "Happiness", "Sadness"]) == [2, 0, 1]
    with pytest.raises(WeightsError, match=r"Contempt[\s\S]*Other"):
        weights.output_order(weights.preset("affectnet"), ["Neutral", *weights.preset("affectnet")[1:7], "Other"])
    with pytest.raises(WeightsError, match="other classes"):
        weights.output_order(["Anger", "angry"], ["Anger", "Fear"])


def small_classifier(seed: int, head: str = "spatial") -> classifier.Classifier:
    return classifier.build("res18", head, 3, seed=seed, image_size=96, head_options={"hidden": 4} if head == "spatial" else None)


@pytest.mark.parametrize("head", ["pooled", "spatial"])
def test_a_trained_checkpoint_of_the_published_code_gives_its_own_logits_in_our_class_order(head: str, tmp_path: Path) -> None:
    theirs = small_classifier(1, head)
    theirs.load_state_dict(trained(theirs))
    state = {name.replace("head.conv", "neck.conv"): tensor for name, tensor in theirs.state_dict().items()}
    path = save(tmp_path / "best.pth", {"state_dict": state, "meta": {"CLASSES": ["Happiness", "Neutral", "Fear"]}})
    ours = small_classifier(2, head)
    weights.load_classifier(ours, path, ["Neutral", "Fear", "Happiness"])
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(ours.eval()(images), theirs.eval()(images)[:, [1, 2, 0]])


def test_a_classifier_of_other_or_unknown_classes_is_refused(tmp_path: Path) -> None:
    state = trained(small_classifier(1, "pooled"))
    path = save(tmp_path / "best.pth", {"state_dict": state})
    with pytest.raises(WeightsError, match="does not say which classes"):
        weights.load_classifier(small_classifier(2, "pooled"), path, ["Neutral", "Fear", "Happiness"])
    with pytest.raises(WeightsError, match="other classes"):
        weights.load_classifier(
            small_classifier(2, "pooled"), path, ["Neutral", "Fear", "Happiness"], file_classes=["Neutral", "Fear", "Anger"]
        )


# Conversion and inspection.


def test_an_exported_backbone_is_the_same_bytes_each_time_and_is_read_back_with_its_origin(tmp_path: Path) -> None:
    backbone = registry.create("res18", image_size=64)
    backbone.load_state_dict(trained(backbone))
    origin = {"file": "ContraWarping_R18.pth", "sha256": "ab" * 32, "layout": "mmcls"}
    data = weights.backbone_bytes(backbone, "res18", origin=origin, classes=["Neutral", "Anger"])
    assert data == weights.backbone_bytes(backbone, "res18", origin=origin, classes=["Neutral", "Anger"])
    path = tmp_path / "backbone.safetensors"
    path.write_bytes(data)
    file = weights.read(path)
    assert file.classes == ("Neutral", "Anger")
    assert file.metadata["backbone"] == "res18"
    other = registry.create("res18")
    report = weights.load_backbone(other, path)
    assert_holds(other, backbone.state_dict())
    assert report.origin == {"origin.file": "ContraWarping_R18.pth", "origin.sha256": "ab" * 32, "origin.layout": "mmcls"}


def test_an_exported_backbone_says_what_images_it_wants(tmp_path: Path) -> None:
    backbone = registry.create("res18", image_size=64, normalisation="half")
    path = tmp_path / "backbone.safetensors"
    path.write_bytes(weights.backbone_bytes(backbone, "res18", origin={}))
    found = weights.input_of(weights.read(path))
    assert found == weights.BackboneInput(64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    imagenet = registry.create("res18")
    path.write_bytes(weights.backbone_bytes(imagenet, "res18", origin={}))
    found = weights.input_of(weights.read(path))
    assert found is not None
    assert (found.mean, found.std) == (imagenet.mean, imagenet.std)


@pytest.mark.parametrize(
    "said", [{"image_size": "big"}, {"image_size": "-4"}, {"mean": "0.5,0.5"}, {"std": "0.5,0,0.5"}, {"mean": "nan,0,0"}]
)
def test_an_image_size_or_normalisation_that_cannot_be_meant_is_refused(said: dict[str, str], tmp_path: Path) -> None:
    described = {"backbone": "res18", "image_size": "64", "mean": "0.5,0.5,0.5", "std": "0.5,0.5,0.5", **said}
    path = tmp_path / "backbone.safetensors"
    save_file({"conv1.weight": torch.ones(2)}, path, {"harness": json.dumps(described)})
    with pytest.raises(WeightsError, match="cannot be meant"):
        weights.input_of(weights.read(path))


def test_an_export_of_a_timm_network_has_timms_names(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    backbone = registry.create("timm:resnet18")
    backbone.load_state_dict(trained(backbone))
    path = tmp_path / "backbone.safetensors"
    path.write_bytes(weights.backbone_bytes(backbone, "timm:resnet18", origin={}))
    assert "layer1.0.conv1.weight" in weights.read(path).tensors
    other = registry.create("timm:resnet18")
    weights.load_backbone(other, path)
    assert_holds(other, backbone.state_dict())


def test_inspection_finds_the_architecture_the_prefix_and_the_number_of_outputs(res18: State, tmp_path: Path) -> None:
    path = save(tmp_path / "moco.pth", resnet_layouts()["MoCo"](res18))
    found = weights.inspect(path)
    best = found.candidates[0]
    assert (best.backbone, best.match.prefix, best.match.complete, best.share) == ("res18", "module.encoder_q.", True, 1.0)
    assert found.candidates[1].share < 1
    assert not found.candidates[1].match.complete
    assert found.outputs is None
    assert found.file.metadata["arch"] == "resnet18"
    mmcls = weights.inspect(save(tmp_path / "mmcls.pth", resnet_layouts()["mmcls"](res18)), ["res18"])
    assert mmcls.outputs == 8
    assert mmcls.file.classes == ("a", "b")
    assert json.loads(json.dumps(mmcls.as_dict()))["candidates"][0]["complete"] is True


def test_inspection_of_ir50_tells_it_from_apvit(flat_ir50: State, tmp_path: Path) -> None:
    found = weights.inspect(save(tmp_path / "ir50.pth", {**flat_ir50, **OUTPUT_LAYER}))
    assert [candidate.name for candidate in found.candidates[:3]] == ["ir50", "hierarchical-ir50", "apvit:extractor"]
    assert found.candidates[0].match.complete
    shares = {candidate.name: candidate.share for candidate in found.candidates}
    assert 0 < shares["apvit"] < 1
