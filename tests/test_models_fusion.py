"""Joining feature sets: each way equals a slow writing, and what is missing changes nothing and learns nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from models import temporal
from models.names import UnknownNameError
from models.temporal.dropout import Uniforms
from models.temporal.fusion import NAMES, Concatenation, CrossAttention, GatedSum, build_fusion
from models.temporal.gru import RecurrentEncoder
from models.temporal.mlp import FrameEncoder
from models.temporal.network import TemporalNetwork, without_dropped
from models.temporal.transformer import sinusoids

WIDTHS = [5, 3, 4]
WIDTH, HEADS = 8, 2


def windows(batch: int = 3, times: int = 10, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Values (B, T, D) and masks (B, T, K): in the second window the first set is nowhere, in the third only one time is seen."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(batch, times, sum(WIDTHS), generator=generator)
    masks = torch.rand(batch, times, len(WIDTHS), generator=generator) < 0.6
    masks[1, :, 0] = False
    masks[2] = False
    masks[2, 4, 1] = True
    return values, masks


def cleared(values: Tensor, masks: Tensor) -> Tensor:
    """Zero where a set is missing, as the network hands it to a fusion."""
    return values * masks.repeat_interleave(torch.tensor(WIDTHS), dim=2)


def linear(layer: nn.Module, values: Tensor) -> Tensor:
    """A linear layer of one vector, from its weights."""
    weights = dict(layer.named_parameters())
    return weights["weight"] @ values + weights["bias"]


def parts_of(values: Tensor) -> list[Tensor]:
    return list(torch.split(values, WIDTHS, dim=-1))


def test_a_gate_is_a_slow_sum_over_the_sets_that_are_there() -> None:
    torch.manual_seed(0)
    gate = GatedSum(WIDTHS, WIDTH)
    values, masks = windows()
    found = gate(cleared(values, masks), masks)
    for b in range(values.shape[0]):
        for t in range(values.shape[1]):
            there = [k for k in range(3) if masks[b, t, k]]
            hidden = [
                linear(layer, part) if k in there else torch.zeros(WIDTH)
                for k, (layer, part) in enumerate(zip(gate.projections, parts_of(values[b, t]), strict=True))
            ]
            logits = (gate.gate.weight @ torch.cat(hidden) + gate.gate.bias).view(3, WIDTH)
            expected = torch.zeros(WIDTH)
            for channel in range(WIDTH):
                total = sum(math.exp(float(logits[k, channel].detach())) for k in there)
                for k in there:
                    expected[channel] += math.exp(float(logits[k, channel].detach())) / total * hidden[k][channel]
            torch.testing.assert_close(found[b, t], expected, atol=1e-5, rtol=1e-4)


def test_a_gate_of_two_sets_is_the_sigmoid_of_the_difference() -> None:
    torch.manual_seed(1)
    gate = GatedSum([4, 4], WIDTH)
    values, masks = torch.randn(2, 6, 8), torch.ones(2, 6, 2, dtype=torch.bool)
    first, second = (layer(part) for layer, part in zip(gate.projections, torch.split(values, [4, 4], dim=2), strict=True))
    logits = gate.gate(torch.cat([first, second], dim=2)).view(2, 6, 2, WIDTH)
    share = torch.sigmoid(logits[:, :, 0] - logits[:, :, 1])
    torch.testing.assert_close(gate(values, masks), share * first + (1 - share) * second)


def test_cross_attention_is_a_slow_loop_over_what_the_other_sets_have() -> None:
    torch.manual_seed(2)
    fusion = CrossAttention(WIDTHS, WIDTH, HEADS)
    values, masks = windows()
    found = fusion(cleared(values, masks), masks)
    times = sinusoids(values.shape[1], WIDTH, torch.device("cpu"))
    size = WIDTH // HEADS
    for b in range(values.shape[0]):
        hidden = [
            torch.where(masks[b, :, k, None], layer(part), torch.zeros(WIDTH))
            for k, (layer, part) in enumerate(zip(fusion.projections, parts_of(values[b]), strict=True))
        ]
        normal = [fusion.norms[k](hidden[k]) + times for k in range(3)]
        for t in range(values.shape[1]):
            there = [k for k in range(3) if masks[b, t, k]]
            if not there:
                continue
            answers = []
            for k in there:
                places = [(o, s) for o in range(3) if o != k for s in range(values.shape[1]) if masks[b, s, o]]
                answer = hidden[k][t]
                if places:
                    query = fusion.queries[k](normal[k][t])
                    mixed = []
                    for head in range(HEADS):
                        part = slice(head * size, (head + 1) * size)
                        keys = [fusion.keys_and_values[o](normal[o][s]) for o, s in places]
                        scores = torch.stack([query[part] @ key[:WIDTH][part] / math.sqrt(size) for key in keys])
                        weights = torch.softmax(scores, dim=0)
                        mixed.append(sum(w * key[WIDTH:][part] for w, key in zip(weights, keys, strict=True)))
                    answer = answer + fusion.outputs[k](torch.cat(mixed))
                answers.append(answer)
            torch.testing.assert_close(found[b, t], torch.stack(answers).mean(dim=0), atol=1e-5, rtol=1e-4)


def test_side_by_side_is_one_linear_map() -> None:
    torch.manual_seed(3)
    fusion = Concatenation(WIDTHS, WIDTH)
    values, masks = windows()
    torch.testing.assert_close(fusion(values, masks), values @ fusion.weight.T + fusion.bias)


def build(name: str, fusion: str, dropout: float = 0.3, set_dropout: float = 0.4, unit_length: bool = False) -> TemporalNetwork:
    network = temporal.build(
        name, WIDTHS, 3, seed=0, width=WIDTH, layers=2, heads=HEADS, feedforward=12, kernel=3, dropout=dropout,
        fusion=fusion, set_dropout=set_dropout, unit_length=unit_length,
    )  # fmt: skip
    assert isinstance(network, TemporalNetwork)
    network.set_normalisation(torch.arange(12.0), torch.full((12,), 2.0))
    return network.eval()


@pytest.mark.parametrize("fusion", NAMES)
@pytest.mark.parametrize("name", temporal.NAMES)
def test_what_stands_where_a_set_is_missing_changes_no_logit_and_no_gradient(name: str, fusion: str) -> None:
    network, (values, masks) = build(name, fusion), windows()
    seen = masks.any(dim=2)
    results = []
    for filler in (0.0, float("nan")):
        changed = torch.where(masks.repeat_interleave(torch.tensor(WIDTHS), dim=2), values, torch.tensor(filler))
        network.zero_grad()
        logits = network(changed, masks)[seen]
        logits.square().sum().backward()
        gradients = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
        assert torch.isfinite(logits).all()
        assert torch.isfinite(gradients).all()
        results.append((logits.detach(), gradients))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("fusion", NAMES)
@pytest.mark.parametrize("name", temporal.NAMES)
def test_a_set_that_is_nowhere_in_a_batch_gets_no_gradient(name: str, fusion: str) -> None:
    network, (values, masks) = build(name, fusion), windows()
    masks[:, :, 0] = False
    network(values, masks)[masks.any(dim=2)].square().sum().backward()
    project = network.project
    name_of_first = "weight" if isinstance(project, Concatenation) else "projections.0.weight"
    gradient = dict(project.named_parameters())[name_of_first].grad
    assert isinstance(gradient, Tensor)
    columns = gradient[:, : WIDTHS[0]]
    assert torch.equal(columns, torch.zeros_like(columns))


@pytest.mark.parametrize("fusion", NAMES)
@pytest.mark.parametrize("name", temporal.NAMES)
def test_training_is_a_function_of_the_numbers_given_to_each_sample(name: str, fusion: str) -> None:
    network, (values, masks) = build(name, fusion), windows()
    uniforms = torch.rand(3, network.uniforms, generator=torch.Generator().manual_seed(0))
    once = network(values, masks, uniforms)
    assert torch.equal(once, network(values, masks, uniforms))
    other = uniforms.clone()
    other[0] = other[0].flip(0)
    changed = network(values, masks, other)
    assert not torch.equal(changed[0], once[0])
    torch.testing.assert_close(changed[1:], once[1:], atol=1e-6, rtol=1e-6)


def test_a_set_is_dropped_only_where_another_is_there() -> None:
    masks = torch.tensor([[[1, 1], [1, 0], [0, 1], [0, 0]]], dtype=torch.bool)
    found = without_dropped(masks, torch.tensor([[0.1, 0.9]]), 0.5)
    assert found[0].int().tolist() == [[0, 1], [1, 0], [0, 1], [0, 0]]
    both = without_dropped(masks, torch.tensor([[0.1, 0.2]]), 0.5)
    assert torch.equal(both, masks)
    assert torch.equal(without_dropped(masks, None, 0.5), masks)


def test_a_gru_steps_from_one_seen_time_to_the_next_as_a_slow_loop_of_cells() -> None:
    torch.manual_seed(4)
    encoder = RecurrentEncoder(6, 2, 0.0)
    values = torch.randn(2, 9, 6)
    mask = torch.tensor([[1, 0, 1, 1, 0, 0, 1, 1, 0], [0] * 9], dtype=torch.bool)
    found = encoder(values, mask, Uniforms(None))
    sequence = {t: values[0, t] + sinusoids(9, 6, torch.device("cpu"))[t] for t in range(9) if mask[0, t]}
    for layer in encoder.layers:
        directions = []
        for suffix, order in (("", sorted(sequence)), ("_reverse", sorted(sequence, reverse=True))):
            cell = torch.nn.GRUCell(6, 3)
            cell.load_state_dict(
                {name: getattr(layer, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
            )
            state, states = torch.zeros(3), {}
            for t in order:
                state = cell(sequence[t], state)
                states[t] = state
            directions.append(states)
        sequence = {t: torch.cat([states[t] for states in directions]) for t in sequence}
    for t in range(9):
        torch.testing.assert_close(found[0, t], sequence.get(t, torch.zeros(6)), atol=1e-5, rtol=1e-5)
    assert torch.equal(found[1], torch.zeros(9, 6))


def test_an_mlp_sees_each_frame_alone() -> None:
    torch.manual_seed(5)
    encoder = FrameEncoder(4, 3, 0.0)
    values = torch.randn(2, 5, 4)
    found = encoder(values, torch.ones(2, 5, dtype=torch.bool), Uniforms(None))
    for b in range(2):
        for t in range(5):
            hidden = values[b, t].clamp(min=0)
            for layer in encoder.layers:
                hidden = linear(layer, hidden).clamp(min=0)
            torch.testing.assert_close(found[b, t], hidden)


def test_vectors_of_unit_length_are_those_of_each_set_after_mean_and_deviation() -> None:
    network = build("mlp", "concat", dropout=0.0, set_dropout=0.0, unit_length=True)
    values, masks = windows()
    masks[:] = True
    normal = (values - torch.arange(12.0)) / 2
    unit = torch.cat([part / part.norm(dim=2, keepdim=True) for part in torch.split(normal, WIDTHS, dim=2)], dim=2)
    expected = network.fc(network.norm(network.encoder(network.project(unit, masks), masks.any(dim=2), Uniforms(None))))
    torch.testing.assert_close(network(values, masks), expected)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not divide among 3 heads"):
        build_fusion("cross-attention", [2, 2], 8, 3)
    with pytest.raises(ValueError, match="odd"):
        RecurrentEncoder(7, 1, 0.0)
    with pytest.raises(UnknownNameError, match="cross-attention"):
        build("mlp", "cross-atention")
