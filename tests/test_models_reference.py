"""Whole networks beside a second writing of them: plain functions over the tensors of a published checkpoint, by their names.

The functions below know nothing of this project's modules; they follow the published descriptions (face.evoLVe for IR-50, Xue et
al. for APViT and the spatial head) and work in double precision, one image and one head of attention at a time where they can.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from models.backbones.apvit import APViT
from models.backbones.ir50 import IR50
from models.heads import PooledHead, SpatialHead

State = dict[str, Tensor]
TOLERANCE = 1e-4
"""Largest difference of a logit in fp32."""
SHORTCUTS_WITH_WEIGHTS = {3, 7, 21}
HALVING = {0, 3, 7, 21}


def _with_random_weights(network: nn.Module, seed: int) -> nn.Module:
    """Every tensor drawn anew, running statistics too, so that none is at a value that hides a fault."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        drawn = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
            drawn = 1 + 0.2 * drawn.tanh()
        elif tensor.dim() >= 2 and "embed" not in name and "token" not in name:
            drawn = drawn / math.sqrt(tensor[0].numel())
        else:
            drawn = 0.3 * drawn
        tensor.copy_(drawn)
    return network.eval()


@torch.no_grad()
def _settled(network: nn.Module, inputs: Tensor) -> Tensor:
    """The outputs of the network once it has the running statistics of its inputs, as after a training: numbers stay small."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()(inputs)
    outputs: Tensor = network.eval()(inputs)
    return outputs


def _batch_norm(x: Tensor, state: State, name: str) -> Tensor:
    mean, variance, weight, bias = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return ((x.movedim(1, -1) - mean) / (variance + 1e-5).sqrt() * weight + bias).movedim(-1, 1)


def _convolution(x: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
    """As one matrix product over the patches below the kernel."""
    size = kernel.shape[-1]
    patches = nn.functional.unfold(x, size, padding=padding, stride=stride)
    side = (x.shape[-1] + 2 * padding - size) // stride + 1
    return (kernel.flatten(1) @ patches).reshape(len(x), len(kernel), side, side)


def _prelu(x: Tensor, slopes: Tensor) -> Tensor:
    return torch.where(x > 0, x, x * slopes[:, None, None])


def _unit(x: Tensor, state: State, name: str, *, halves: bool, has_weights: bool) -> Tensor:
    stride = 2 if halves else 1
    shortcut = x[:, :, ::stride, ::stride]
    if has_weights:
        shortcut = _batch_norm(
            _convolution(x, state[f"{name}.shortcut_layer.0.weight"], stride, 0), state, f"{name}.shortcut_layer.1"
        )
    x = _batch_norm(x, state, f"{name}.res_layer.0")
    x = _convolution(x, state[f"{name}.res_layer.1.weight"], 1, 1)
    x = _prelu(x, state[f"{name}.res_layer.2.weight"])
    x = _convolution(x, state[f"{name}.res_layer.3.weight"], stride, 1)
    return _batch_norm(x, state, f"{name}.res_layer.4") + shortcut


def _stem(images: Tensor, state: State, prefix: str) -> Tensor:
    x = _convolution(images, state[f"{prefix}input_layer.0.weight"], 1, 1)
    return _prelu(_batch_norm(x, state, f"{prefix}input_layer.1"), state[f"{prefix}input_layer.2.weight"])


def _ir50(images: Tensor, state: State) -> Tensor:
    x = _stem(images, state, "")
    for unit in range(24):
        x = _unit(x, state, f"body.{unit}", halves=unit in HALVING, has_weights=unit in SHORTCUTS_WITH_WEIGHTS)
    return x


def _layer_norm(x: Tensor, state: State, name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]


def _gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def _attended(tokens: Tensor, state: State, name: str) -> tuple[Tensor, Tensor]:
    """Attention over (N, 768), one head at a time; with it each token's sum of the class token's scaled logits."""
    queries, keys, values = (tokens @ state[f"{name}.attn.qkv.weight"].T).chunk(3, dim=1)
    scores = torch.zeros(len(tokens), dtype=tokens.dtype)
    joined = []
    for head in range(8):
        of_head = slice(96 * head, 96 * (head + 1))
        logits = queries[:, of_head] @ keys[:, of_head].T / math.sqrt(96)
        scores += logits[0]
        exponentials = (logits - logits.amax(1, keepdim=True)).exp()
        joined.append(exponentials / exponentials.sum(1, keepdim=True) @ values[:, of_head])
    return torch.cat(joined, 1) @ state[f"{name}.attn.proj.weight"].T + state[f"{name}.attn.proj.bias"], scores


def _kept(scores: list[float], count: int) -> list[int]:
    """Places of the highest scores, in their order."""
    return sorted(sorted(range(len(scores)), key=lambda place: -scores[place])[:count])


def _apvit(image: Tensor, state: State, counts: list[int]) -> Tensor:
    """The class token (768,) of one image (3, 112, 112); the tokens of each block are counted in `counts`."""
    x = _stem(image[None], state, "extractor.")
    for stage, units in enumerate((3, 4, 14)):
        for unit in range(units):
            name = f"extractor.body.{stage}.{unit}"
            x = _unit(x, state, name, halves=unit == 0, has_weights=unit == 0 and stage > 0)
    projected = x[0].permute(1, 2, 0).reshape(196, 256) @ state["vit.projs.0.weight"].flatten(1).T + state["vit.projs.0.bias"]
    kept = _kept(projected.abs().sum(1).tolist(), 160)
    patches = projected + state["vit.patch_pos_embed"][0]
    class_token = state["vit.cls_token"][0] + state["vit.cls_pos_embed"][0]
    tokens = torch.cat([class_token, patches[kept]])
    for block in range(8):
        name = f"vit.blocks.{block}"
        attended, scores = _attended(_layer_norm(tokens, state, f"{name}.norm1"), state, name)
        tokens = tokens + attended
        if block >= 4:
            kept = _kept(scores[1:].tolist(), math.floor((len(tokens) - 1) * 0.9))
            tokens = torch.cat([tokens[:1], tokens[1:][kept]])
        hidden = _layer_norm(tokens, state, f"{name}.norm2") @ state[f"{name}.mlp.fc1.weight"].T + state[f"{name}.mlp.fc1.bias"]
        tokens = tokens + _gelu(hidden) @ state[f"{name}.mlp.fc2.weight"].T + state[f"{name}.mlp.fc2.bias"]
        counts.append(len(tokens))
    return _layer_norm(tokens, state, "vit.norm")[0]


def _spatial_head(features: Tensor, state: State, strides: tuple[int, int]) -> Tensor:
    """Logits of one map (C, h, w), a window at a time."""
    for layer, stride in zip(("conv1", "conv2"), strides, strict=True):
        kernel = state[f"{layer}.conv.weight"]
        side = (features.shape[-1] - 2) // stride + 1
        rows = []
        for top in range(0, side * stride, stride):
            for left in range(0, side * stride, stride):
                window = features[:, top : top + 2, left : left + 2]
                rows.append((kernel * window).sum(dim=(1, 2, 3)))
        convolved = torch.stack(rows, dim=1).reshape(1, len(kernel), side, side)
        features = _batch_norm(convolved, state, f"{layer}.bn")[0].clamp(min=0)
    return state["fc.weight"] @ features.flatten() + state["fc.bias"]


def _double(network: nn.Module) -> State:
    return {name: tensor.double() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("strides", [(1, 2), (2, 2)])
def test_ir50_and_the_spatial_head_give_the_logits_of_their_description(strides: tuple[int, int]) -> None:
    backbone = _with_random_weights(IR50(), 1)
    head = _with_random_weights(SpatialHead((512, 7, 7), 8, strides=strides), 2)
    images = torch.randn(3, 3, 112, 112, generator=torch.Generator().manual_seed(3))
    logits = _settled(head, _settled(backbone, images))
    with torch.no_grad():
        maps = _ir50(images.double(), _double(backbone))
        expected = torch.stack([_spatial_head(features, _double(head), strides) for features in maps])
    assert 0.1 < expected.std() < 10  # numbers that say something, and in which the tolerance does
    assert (logits - expected).abs().max() < TOLERANCE


def test_apvit_gives_the_logits_of_its_description_and_keeps_the_same_tokens() -> None:
    backbone = _with_random_weights(APViT(112, 160), 4)
    head = _with_random_weights(PooledHead((105, 768), 8, has_class_token=True), 5)
    images = torch.randn(3, 3, 112, 112, generator=torch.Generator().manual_seed(6))
    logits = _settled(head, _settled(backbone, images))
    state, head_state = _double(backbone), _double(head)
    counts: list[int] = []
    with torch.no_grad():
        tokens = torch.stack([_apvit(image, state, counts) for image in images.double()])
    expected = tokens @ head_state["fc.weight"].T + head_state["fc.bias"]
    assert counts == [161, 161, 161, 161, 145, 130, 117, 105] * 3
    assert 0.1 < expected.std() < 10
    assert (logits - expected).abs().max() < TOLERANCE
