"""Pre-training methods: losses against slow loops, running averages, complete state, nothing random, and two processes as one."""

from __future__ import annotations

import copy
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.multiprocessing.spawn import spawn
from torch.nn import functional as F

from models import ssl
from models.backbones.base import Backbone
from models.backbones.vit import VisionTransformer
from models.ssl.averaging import momentum_at
from models.ssl.base import PretrainingMethod
from models.ssl.byol import BYOL, regression_loss
from models.ssl.diagnostics import feature_deviation, mean_similarity
from models.ssl.mae import MAE, patches_of, sine_positions
from models.ssl.moco import MoCo, queue_loss
from models.ssl.simclr import nt_xent_loss

OPTIONS: dict[str, dict[str, Any]] = {
    "contrawarping": {"hidden": 16, "embedding": 8},
    "byol": {"hidden": 16, "embedding": 8},
    "simclr": {"hidden": 16, "embedding": 8},
    "moco": {"embedding": 8, "queue": 10},
    "mae": {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2},
}


class Tiny(Backbone):
    """A convolution and BatchNorm."""

    def __init__(self) -> None:
        super().__init__({"layer1": ("conv1", "bn1", "relu")}, image_size=16)
        self.conv1 = nn.Conv2d(3, 12, 5, stride=3)
        self.bn1 = nn.BatchNorm2d(12)
        self.relu = nn.ReLU()


def make(name: str, seed: int = 0, **options: Any) -> PretrainingMethod:
    torch.manual_seed(seed)
    backbone: Backbone = VisionTransformer(16, 4, 16, 2, 2) if name == "mae" else Tiny()
    return ssl.create(name, backbone, **{**OPTIONS[name], **options})


def batch(method: PretrainingMethod, step: int, count: int = 6) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(step)
    images = torch.randint(0, 256, (count, 3, 20, 20), generator=generator, dtype=torch.uint8)
    return method.make_views(images, torch.rand(count, method.uniforms, generator=generator))


def train(method: PretrainingMethod, steps: range, total: int = 8) -> list[dict[str, Tensor]]:
    outputs = []
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.05)
    method.train()
    for step in steps:
        optimiser.zero_grad()
        output = method(*batch(method, step))
        output["loss"].backward()
        optimiser.step()
        method.after_step(step, total)
        outputs.append({name: value.detach() for name, value in output.items()})
    return outputs


def rows(count: int, width: int, seed: int) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def cosine(first: Tensor, second: Tensor) -> float:
    return float(first @ second / (first.norm() * second.norm()))


# Losses.


def test_byols_loss_is_the_squared_distance_of_normalised_vectors() -> None:
    predictions, targets = rows(5, 7, 0), rows(5, 7, 1)
    expected = sum(float((p / p.norm() - z / z.norm()).square().sum()) for p, z in zip(predictions, targets, strict=True)) / 5
    assert float(regression_loss(predictions, targets)) == pytest.approx(expected, abs=1e-6)
    assert float(regression_loss(targets, 3 * targets)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_simclrs_loss_equals_its_algorithm_written_as_loops(count: int, temperature: float) -> None:
    first, second = rows(count, 6, 0), rows(count, 6, 1)
    z = [vector for pair in zip(first, second, strict=True) for vector in pair]  # 2k-1, 2k are the views of image k
    similarity = [[cosine(a, b) for b in z] for a in z]

    def term(i: int, j: int) -> float:
        others = sum(math.exp(similarity[i][k] / temperature) for k in range(2 * count) if k != i)
        return -math.log(math.exp(similarity[i][j] / temperature) / others)

    expected = sum(term(2 * k, 2 * k + 1) + term(2 * k + 1, 2 * k) for k in range(count)) / (2 * count)
    assert float(nt_xent_loss(first, second, temperature)) == pytest.approx(expected, abs=1e-5)
    assert float(nt_xent_loss(second, first, temperature)) == pytest.approx(expected, abs=1e-5)


def test_mocos_loss_equals_a_loop_over_queries_and_queue() -> None:
    queries, keys, queue = rows(4, 6, 0), rows(4, 6, 1), F.normalize(rows(9, 6, 2), dim=1)
    total = 0.0
    for query, key in zip(queries, keys, strict=True):
        positive = math.exp(cosine(query, key) / 0.2)
        total -= math.log(positive / (positive + sum(math.exp(cosine(query, other) / 0.2) for other in queue)))
    assert float(queue_loss(queries, keys, queue, 0.2)) == pytest.approx(total / 4, abs=1e-5)


# Running averages and the queue.


def test_the_momentum_rises_from_its_base_to_one_along_a_cosine() -> None:
    assert momentum_at(0, 100, 0.996) == pytest.approx(0.996)
    assert momentum_at(50, 100, 0.996) == pytest.approx(0.998)
    assert momentum_at(100, 100, 0.996) == pytest.approx(1.0)


def test_the_target_starts_as_the_online_network_and_follows_it_without_gradients() -> None:
    method = make("byol", momentum=0.9)
    assert isinstance(method, BYOL)
    online, target = dict(method.online.named_parameters()), dict(method.target.named_parameters())
    assert all(torch.equal(target[name], value) for name, value in online.items())
    assert not any(value.requires_grad for value in target.values())
    before = {name: value.clone() for name, value in target.items()}
    train(method, range(1), total=10)
    assert any(not torch.equal(before[name], online[name]) for name in online)
    for name, value in target.items():
        assert value.grad is None
        assert torch.allclose(value, 0.9 * before[name] + 0.1 * online[name], atol=1e-6)


def test_new_keys_take_the_place_of_the_oldest() -> None:
    method = make("moco", queue=10)
    assert isinstance(method, MoCo)
    start = method.queue.clone()
    first, second = F.normalize(rows(6, 8, 1), dim=1), F.normalize(rows(6, 8, 2), dim=1)
    method._enqueue(first)
    assert torch.equal(method.queue, torch.cat([first, start[6:]]))
    method._enqueue(second)
    assert torch.equal(method.queue, torch.cat([second[4:], first[2:], second[:4]]))
    assert int(method.position) == 2
    method._enqueue(F.normalize(rows(25, 8, 3), dim=1))
    last = F.normalize(rows(25, 8, 3), dim=1)[-10:]
    assert torch.equal(method.queue[2:], last[:8])
    assert torch.allclose(method.queue.norm(dim=1), torch.ones(10), atol=1e-5)


def test_keys_are_stored_in_training_only() -> None:
    method = make("moco").eval()
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    method(*batch(method, 0))
    assert all(torch.equal(tensor, before[name]) for name, tensor in method.state_dict().items())


# MAE.


def test_patches_are_cut_row_by_row() -> None:
    images = rows(2, 3 * 8 * 8, 0).view(2, 3, 8, 8)
    patches = patches_of(images, 4)
    for row in range(2):
        for column in range(2):
            patch = images[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            assert torch.equal(patches[:, 2 * row + column], patch.permute(0, 2, 3, 1).reshape(2, -1))


def test_position_embeddings_are_the_sines_of_the_paper() -> None:
    positions = sine_positions(3, 8)
    for row in range(3):
        for column in range(3):
            expected = [
                wave(place / 10000 ** (k / 2)) for place in (column, row) for wave in (math.sin, math.cos) for k in range(2)
            ]
            assert torch.allclose(positions[3 * row + column], torch.tensor(expected), atol=1e-6)


def test_maes_loss_equals_a_loop_over_images_and_patches() -> None:
    method = make("mae", mask=0.6).eval()
    assert isinstance(method, MAE)
    images, noise = batch(method, 0, count=3)
    vit = method.transformer
    errors = []
    with torch.no_grad():
        for image, numbers in zip(images, noise, strict=True):
            seen = sorted(range(16), key=lambda patch: float(numbers[patch]))[: method.kept]
            assert len(seen) == 6
            tokens = [(vit.cls_token + vit.pos_embed[:, :1])[0, 0]]
            for patch in seen:
                pixels = image[:, 4 * (patch // 4) : 4 * (patch // 4) + 4, 4 * (patch % 4) : 4 * (patch % 4) + 4]
                tokens.append(vit.patch_embed.proj(pixels.unsqueeze(0)).flatten() + vit.pos_embed[0, 1 + patch])
            encoded = torch.stack(tokens).unsqueeze(0)
            for block in vit.blocks:
                encoded = block(encoded)
            encoded = method.decoder_embed(vit.norm(encoded))[0]
            full = [encoded[0]]
            full += [encoded[1 + seen.index(patch)] if patch in seen else method.mask_token[0, 0] for patch in range(16)]
            painted = (torch.stack(full) + method.decoder_positions[0]).unsqueeze(0)
            for block in method.decoder_blocks:
                painted = block(painted)
            painted = method.decoder_pred(method.decoder_norm(painted))[0, 1:]
            for patch in range(16):
                if patch not in seen:
                    pixels = image[:, 4 * (patch // 4) : 4 * (patch // 4) + 4, 4 * (patch % 4) : 4 * (patch % 4) + 4]
                    target = pixels.permute(1, 2, 0).flatten()
                    target = (target - target.mean()) / (target.var() + 1e-6).sqrt()
                    errors.append(float((painted[patch] - target).square().mean()))
        assert float(method(images, noise)["loss"]) == pytest.approx(sum(errors) / len(errors), rel=1e-4)


def test_mae_wants_a_vision_transformer_and_a_share_to_hide() -> None:
    with pytest.raises(ValueError, match="vit-b16"):
        ssl.create("mae", Tiny())
    with pytest.raises(ValueError, match="cannot be hidden"):
        make("mae", mask=1.0)


# What holds for every method.


@pytest.fixture(params=ssl.names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_method_is_tested() -> None:
    assert set(ssl.names()) == set(OPTIONS)


def test_each_trainable_parameter_gets_a_gradient_and_the_figures_are_finite(name: str) -> None:
    method = make(name).train()
    output = method(*batch(method, 0))
    output["loss"].backward()
    for parameter_name, parameter in method.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, parameter_name
    for figure, value in output.items():
        assert value.shape == (), figure
        assert value.isfinite(), figure
        assert value.requires_grad == (figure == "loss")


def test_nothing_random_is_drawn_in_a_step(name: str) -> None:
    method = make(name)
    before = torch.random.get_rng_state()
    train(method, range(2))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_state_dict_is_all_there_is_to_go_on_exactly(name: str) -> None:
    whole, first, second = make(name), make(name), make(name, seed=1)
    expected = train(whole, range(4))[2:]
    train(first, range(2))
    second.load_state_dict(first.state_dict())
    resumed = train(second, range(2, 4))
    for ours, theirs in zip(resumed, expected, strict=True):
        assert all(torch.equal(ours[figure], theirs[figure]) for figure in theirs)
    state = whole.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in second.state_dict().items())


def test_the_backbone_that_was_given_is_the_one_that_learns(name: str) -> None:
    method = make(name)
    before = {key: tensor.clone() for key, tensor in method.backbone.state_dict().items()}
    train(method, range(1))
    changed = [key for key, tensor in method.backbone.state_dict().items() if not torch.equal(tensor, before[key])]
    assert len(changed) > len(before) / 2
    assert method.backbone.image_size == 16


def test_bfloat16_losses_are_close_to_float32(name: str) -> None:
    method = make(name).train()
    views = batch(method, 0)
    other = copy.deepcopy(method)
    with torch.no_grad():
        exact = method(*views)["loss"]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = other(*views)["loss"]
    assert rounded.dtype == torch.float32
    assert float(rounded) == pytest.approx(float(exact), rel=0.05)


def test_methods_take_a_backbone_of_tokens() -> None:
    torch.manual_seed(0)
    method = ssl.create("contrawarping", VisionTransformer(16, 4, 16, 2, 2), hidden=16, embedding=8)
    assert train(method, range(1))[0]["loss"].isfinite()


def test_unknown_methods_and_options_are_named() -> None:
    with pytest.raises(ssl.UnknownMethodError, match="Did you mean 'contrawarping'"):
        ssl.create("contrawarp", Tiny())
    with pytest.raises(ValueError, match="lamda"):
        make("contrawarping", lamda=1)
    with pytest.raises(ValueError, match="weight -1 must not be negative"):
        make("contrawarping", weight=-1)


# Collapse.


def test_the_feature_deviation_is_nothing_for_a_point_and_about_one_for_an_even_spread() -> None:
    assert float(feature_deviation(torch.ones(50, 16))) == pytest.approx(0, abs=1e-6)
    assert float(feature_deviation(rows(5000, 64, 0))) == pytest.approx(1, abs=0.01)
    assert float(mean_similarity(rows(3, 4, 0), 2 * rows(3, 4, 0))) == pytest.approx(1)


# Two processes.


def _run_process(rank: int, place: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1")
    dist.init_process_group("gloo", init_method=f"file://{place}/meeting", rank=rank, world_size=2)
    first, second = rows(6, 5, 0).requires_grad_(), rows(6, 5, 1)
    loss = nt_xent_loss(first[rank::2], second[rank::2], 0.2)
    torch.autograd.backward(loss)
    method = make("moco", queue=10)
    assert isinstance(method, MoCo)
    method._enqueue(F.normalize(rows(6, 8, 4), dim=1)[rank::2])
    torch.save({"loss": loss.detach(), "gradient": first.grad, "queue": method.queue}, f"{place}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_give_the_loss_gradient_and_queue_of_one(tmp_path: Path) -> None:
    spawn(_run_process, args=(str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    first, second = rows(6, 5, 0).requires_grad_(), rows(6, 5, 1)
    loss = nt_xent_loss(first, second, 0.2)
    torch.autograd.backward(loss)
    assert float(parts[0]["loss"] + parts[1]["loss"]) / 2 == pytest.approx(float(loss.detach()), abs=1e-6)
    # Each process averages gradients over processes, as distributed training does.
    assert first.grad is not None
    assert torch.allclose((parts[0]["gradient"] + parts[1]["gradient"]) / 2, first.grad, atol=1e-6)
    method = make("moco", queue=10)
    assert isinstance(method, MoCo)
    method._enqueue(F.normalize(rows(6, 8, 4), dim=1))
    assert all(torch.equal(part["queue"], method.queue) for part in parts)
