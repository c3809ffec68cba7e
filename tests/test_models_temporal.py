"""The temporal models: gaps change nothing, time is where a frame stands, dropout is given, the layers are what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from models import temporal
from models.names import UnknownNameError
from models.temporal.dropout import ChannelDropout, Uniforms
from models.temporal.network import FeatureNetwork
from models.temporal.tcn import DilatedLayer
from models.temporal.transformer import TransformerLayer, sinusoids

MODELS = ("transformer", "tcn", "gru")


def build(name: str, seed: int = 0, layers: int = 2, dropout: float = 0.3) -> FeatureNetwork:
    network = temporal.build(name, [5], 3, seed=seed, width=16, layers=layers, heads=4, feedforward=24, kernel=3, dropout=dropout)
    network.set_normalisation(torch.arange(5.0), torch.full((5,), 2.0))
    return network.eval()


def windows(batch: int = 3, times: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(batch, times, 5, generator=generator)
    mask = torch.rand(batch, times, generator=generator) < 0.6
    mask[:, 0] = True
    return features, mask


def run(
    network: FeatureNetwork, features: torch.Tensor, mask: torch.Tensor, uniforms: torch.Tensor | None = None
) -> torch.Tensor:
    """The logits of one feature set, which has the frames of `mask` (B, T)."""
    logits: torch.Tensor = network(features, mask[..., None], uniforms)
    return logits


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("value", [0.0, 1e6, float("inf"), float("nan")])
def test_what_stands_in_a_gap_changes_no_logit_and_no_gradient(name: str, value: float) -> None:
    network, (features, mask) = build(name), windows()
    plain = run(network, features, mask)[mask]
    changed = features.clone()
    changed[~mask] = value
    assert torch.equal(run(network, changed, mask)[mask], plain)
    gradients = []
    for values in (features, changed):
        network.zero_grad()
        run(network, values, mask)[mask].square().sum().backward()  # type: ignore[no-untyped-call]
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
    assert torch.equal(gradients[0], gradients[1])


@pytest.mark.parametrize("name", MODELS)
def test_what_was_seen_does_change_the_others(name: str) -> None:
    network, (features, _) = build(name), windows()
    mask = torch.ones(features.shape[:2], dtype=torch.bool)
    changed = features.clone()
    changed[:, 5] += 1
    difference = (run(network, changed, mask) - run(network, features, mask)).abs().amax(dim=2)
    assert (difference[:, 4] > 1e-4).all()
    assert (difference[:, 6] > 1e-4).all()


@pytest.mark.parametrize("name", MODELS)
def test_the_same_frames_at_other_times_are_another_window(name: str) -> None:
    network = build(name)
    features = torch.zeros(2, 12, 5)
    frames = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    near, far = [2, 3, 4], [2, 5, 9]
    mask = torch.zeros(2, 12, dtype=torch.bool)
    for row, places in enumerate((near, far)):
        features[row, places] = frames
        mask[row, places] = True
    logits = run(network, features, mask)
    assert (logits[0, near] - logits[1, far]).abs().max() > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_a_window_is_alone_in_its_batch_and_one_without_frames_is_finite(name: str) -> None:
    network, (features, mask) = build(name), windows()
    mask[1] = False
    logits = run(network, features, mask)
    assert torch.isfinite(logits).all()
    alone = run(network, features[2:], mask[2:])
    torch.testing.assert_close(logits[2:][mask[2:]], alone[mask[2:]], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_a_function_of_the_seed_and_the_global_generator_is_left_alone(name: str) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, second, third = build(name), build(name), build(name, seed=1)
    network, (features, mask) = build(name), windows()
    run(network.train(), features, mask, torch.rand(3, network.uniforms, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first.state_dict()[key], value) for key, value in second.state_dict().items())
    assert not torch.equal(*(network.state_dict()["fc.weight"] for network in (first, third)))


@pytest.mark.parametrize("name", MODELS)
def test_dropout_is_a_function_of_the_numbers_given_to_each_sample(name: str) -> None:
    network, (features, mask) = build(name), windows()
    uniforms = torch.rand(3, network.uniforms, generator=torch.Generator().manual_seed(0))
    once, twice = run(network, features, mask, uniforms), run(network, features, mask, uniforms)
    assert torch.equal(once, twice)
    other = uniforms.clone()
    other[0] = other[0].flip(0)
    changed = run(network, features, mask, other)
    assert not torch.equal(changed[0], once[0])
    assert torch.equal(changed[1:], once[1:])
    # Every number is used: none is left over and none is asked for beyond the end.
    assert torch.equal(run(network, features, mask, torch.ones(3, network.uniforms) * 0.999), _undropped(network, features, mask))


def _undropped(network: FeatureNetwork, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The logits where every dropout keeps and scales up all its channels, as uniform numbers near one have it."""
    for module in network.modules():
        if isinstance(module, ChannelDropout):
            module.forward = lambda values, uniforms, module=module: values * (1 / (1 - module.probability))  # type: ignore[method-assign,misc]
    return run(network, features, mask, torch.zeros(3, network.uniforms))


def test_channel_dropout_is_that_of_a_slow_loop() -> None:
    random = np.random.default_rng(0)
    values, uniforms = random.standard_normal((2, 4, 6)).astype(np.float32), random.random((2, 6)).astype(np.float32)
    found = ChannelDropout(6, 0.4)(torch.from_numpy(values), torch.from_numpy(uniforms)).numpy()
    for sample in range(2):
        for channel in range(6):
            factor = 0.0 if uniforms[sample, channel] < 0.4 else 1 / 0.6
            np.testing.assert_allclose(found[sample, :, channel], values[sample, :, channel] * factor, rtol=1e-6)
    plain = torch.from_numpy(values)
    assert ChannelDropout(6, 0.4)(plain, None) is plain


def test_a_transformer_layer_is_torch_s_own_with_the_same_weights() -> None:
    torch.manual_seed(0)
    layer = TransformerLayer(16, 4, 24, 0.0).eval()
    other = nn.TransformerEncoderLayer(16, 4, 24, 0.0, activation="gelu", batch_first=True, norm_first=True).eval()
    names = {
        "self_attn.in_proj_weight": "qkv.weight", "self_attn.in_proj_bias": "qkv.bias", "self_attn.out_proj.weight": "out.weight",
        "self_attn.out_proj.bias": "out.bias", "linear1.weight": "fc1.weight", "linear1.bias": "fc1.bias",
        "linear2.weight": "fc2.weight", "linear2.bias": "fc2.bias", "norm1.weight": "norm1.weight", "norm1.bias": "norm1.bias",
        "norm2.weight": "norm2.weight", "norm2.bias": "norm2.bias",
    }  # fmt: skip
    other.load_state_dict({theirs: layer.state_dict()[ours] for theirs, ours in names.items()})
    values = torch.randn(3, 12, 16)
    _, mask = windows()
    found = layer(values, mask[:, None, None, :], Uniforms(None))
    torch.testing.assert_close(found, other(values, src_key_padding_mask=~mask), atol=1e-5, rtol=1e-5)


def test_sinusoids_are_the_published_formula() -> None:
    found = sinusoids(7, 8, torch.device("cpu")).numpy()
    for time in range(7):
        for column in range(8):
            angle = time / 10000 ** (2 * (column // 2) / 8)
            assert found[time, column] == pytest.approx(np.sin(angle) if column % 2 == 0 else np.cos(angle), abs=1e-6)


def test_a_dilated_layer_is_a_slow_loop_that_scales_by_what_it_saw() -> None:
    torch.manual_seed(0)
    layer = DilatedLayer(4, 3, 2, 0.0)
    values = torch.randn(1, 9, 4)
    mask = torch.tensor([1, 1, 0, 1, 0, 0, 1, 1, 1], dtype=torch.bool)
    found = layer(values, mask[None, :, None].float(), Uniforms(None))[0]
    normalised = layer.norm(values[0])
    for time in range(9):
        taps = [(tap, time + (tap - 1) * 2) for tap in range(3)]
        seen = [(tap, place) for tap, place in taps if 0 <= place < 9 and mask[place]]
        total = sum((layer.convolution.weight[:, :, tap] @ normalised[place] for tap, place in seen), torch.zeros(4))
        hidden = torch.relu(total * 3 / max(len(seen), 1) + layer.bias)
        torch.testing.assert_close(found[time], values[0, time] + layer.pointwise(hidden), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("layers", "reach"), [(1, 1), (2, 3), (3, 7)])
def test_a_tcn_reaches_as_far_as_it_says(layers: int, reach: int) -> None:
    network = build("tcn", layers=layers)
    features, mask = torch.zeros(1, 31, 5), torch.ones(1, 31, dtype=torch.bool)
    changed = features.clone()
    changed[0, 15] = torch.arange(5.0)
    difference = (run(network, changed, mask) - run(network, features, mask)).abs().amax(dim=2)[0]
    assert difference.nonzero().flatten().tolist() == list(range(15 - reach, 15 + reach + 1))


def test_the_normalisation_is_part_of_the_state() -> None:
    state = build("tcn").state_dict()
    assert state["mean"].tolist() == [0, 1, 2, 3, 4]
    assert state["deviation"].tolist() == [2] * 5


def test_what_does_not_fit_is_refused() -> None:
    arguments = {"seed": 0, "width": 16, "layers": 1, "heads": 4, "feedforward": 8, "kernel": 3, "dropout": 0.0}
    with pytest.raises(UnknownNameError, match="transformer"):
        temporal.build("transfromer", [5], 3, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not divide among 3 heads"):
        temporal.build("transformer", [5], 3, **{**arguments, "heads": 3})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="even"):
        temporal.build("tcn", [5], 3, **{**arguments, "kernel": 4})  # type: ignore[arg-type]
