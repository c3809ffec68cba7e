"""Losses of classes, units and values: against slow loops, scikit-learn, torchvision and timm; gradients against differences."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torchvision
from accelerate import Accelerator
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.nn import functional as F

from harness.challenge import AU, EXPR, MTL, VA, Challenge
from harness.kinds.concordance import concordance
from harness.kinds.concordance import moment_sums as counted_sums
from harness.kinds.parts import parts_of
from harness.training.losses.classes import cross_entropy
from harness.training.losses.parts import ClassOptions, LossOptions, PartsLoss, RealOptions, UnitOptions
from harness.training.losses.pool import alone, over_processes
from harness.training.losses.reals import concordance_loss, moment_sums
from harness.training.losses.units import binary_cross_entropy

SHARES = (0.5, 0.2, 0.2, 0.1)


def tensor(values: object) -> Tensor:
    return torch.tensor(np.asarray(values))


def mean_of(total: Tensor) -> Tensor:
    """The mean over the samples of a batch of ten."""
    return total / 10


def some_classes(samples: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    return generator.normal(0, 2, (samples, 4)), generator.integers(-1, 4, samples)


def some_units(samples: int, seed: int, units: int = 12) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    return generator.normal(0, 2, (samples, units)), generator.integers(-1, 2, (samples, units))


def some_rows(challenge: Challenge, samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Outputs (B, columns) float64 and labels (B, fields) with a third missing, field by field."""
    generator = np.random.default_rng(seed)
    columns = [
        generator.uniform(field.low, field.high, samples)
        if not field.integral
        else generator.integers(field.low, field.high + 1, samples)
        for field in challenge.fields
    ]
    labels = np.stack(columns, axis=1).astype(np.float64)
    ignored = np.array([field.ignore for field in challenge.fields], dtype=np.float64)
    labels = np.where(generator.random(labels.shape) < 0.33, ignored, labels)
    return tensor(generator.normal(0, 1, (samples, len(parts_of(challenge).columns)))), tensor(labels)


# Classes.


def slow_classes(
    logits: NDArray, labels: NDArray, smoothing: float, weights: NDArray, focus: float, adjustment: NDArray
) -> float:
    total = 0.0
    for scores, label in zip(logits + adjustment, labels, strict=True):
        if label < 0:
            continue
        normaliser = math.log(sum(math.exp(score) for score in scores))
        logs = [score - normaliser for score in scores]
        loss = -(1 - smoothing) * logs[label] - smoothing * sum(logs) / len(logs)
        total += weights[label] * (1 - math.exp(logs[label])) ** focus * loss
    return total


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.1]),
    st.booleans(),
    st.sampled_from([0.0, 1.0, 2.0]),
    st.sampled_from([0.0, 1.0]),
)
def test_cross_entropy_with_all_its_options_is_that_of_a_slow_loop(
    seed: int, samples: int, smoothing: float, weighted: bool, focus: float, tau: float
) -> None:
    logits, labels = some_classes(samples, seed)
    weights = np.array([1.0, 3.0, 0.5, 2.0]) if weighted else np.ones(4)
    adjustment = tau * np.log(SHARES)
    found = cross_entropy(
        tensor(logits),
        tensor(labels),
        smoothing=smoothing,
        weights=tensor(weights) if weighted else None,
        focus=focus,
        adjustment=tensor(adjustment) if tau else None,
    )
    assert float(found) == pytest.approx(slow_classes(logits, labels, smoothing, weights, focus, adjustment), abs=1e-9)


def test_weighted_classes_are_scikit_learns_log_loss() -> None:
    logits, labels = some_classes(200, seed=1)
    kept, weights = labels >= 0, np.array([1.0, 3.0, 0.5, 2.0])
    probabilities = F.softmax(tensor(logits), dim=1).numpy()[kept]
    sample_weights = weights[labels[kept]]
    expected = metrics.log_loss(labels[kept], probabilities, sample_weight=sample_weights, labels=range(4), normalize=False)
    assert float(cross_entropy(tensor(logits), tensor(labels), weights=tensor(weights))) == pytest.approx(expected)


def test_the_focal_loss_of_two_classes_is_torchvisions() -> None:
    logits, labels = some_classes(50, seed=2)
    difference, active = tensor(logits[:, 1] - logits[:, 0]), tensor((labels > 0).astype(np.float64))
    expected = torchvision.ops.sigmoid_focal_loss(difference, active, alpha=-1, gamma=2.0, reduction="sum")
    assert float(cross_entropy(tensor(logits[:, :2]), active.long(), focus=2.0)) == pytest.approx(float(expected))


def test_without_options_it_is_the_plain_sum_to_the_last_bit() -> None:
    logits, labels = (tensor(one) for one in some_classes(37, seed=3))
    plain = F.cross_entropy(logits.float(), labels, ignore_index=-1, label_smoothing=0.1, reduction="sum")
    assert torch.equal(cross_entropy(logits.float(), labels, smoothing=0.1), plain)


def test_classes_a_data_set_lacks_stay_untouched_by_every_option() -> None:
    logits = tensor(some_classes(6, seed=4)[0]).requires_grad_()
    known = torch.ones(6, 4, dtype=torch.bool)
    known[:, 2] = False
    labels = torch.tensor([0, 1, 3, 3, -1, 0])
    options = {"smoothing": 0.1, "weights": tensor([1.0, 2.0, 3.0, 4.0]), "focus": 2.0, "adjustment": tensor(np.log(SHARES))}
    loss = cross_entropy(logits, labels, known, **options)  # type: ignore[arg-type]
    torch.autograd.backward(loss)
    assert logits.grad is not None
    assert (logits.grad[:, 2] == 0).all()
    assert (logits.grad[4] == 0).all()
    fewer = logits.detach()[:, [0, 1, 3]]
    renumbered = torch.tensor([0, 1, 2, 2, -1, 0])
    kept = {"smoothing": 0.1, "weights": tensor([1.0, 2.0, 4.0]), "focus": 2.0, "adjustment": tensor(np.log(SHARES)[[0, 1, 3]])}
    assert float(loss.detach()) == pytest.approx(float(cross_entropy(fewer, renumbered, **kept)))  # type: ignore[arg-type]


# Units.


def slow_units(
    logits: NDArray, labels: NDArray, weights: NDArray, active_weights: NDArray, gammas: tuple[float, float], margin: float
) -> float:
    total = 0.0
    for unit in range(logits.shape[1]):
        for score, label in zip(logits[:, unit], labels[:, unit], strict=True):
            p = 1 / (1 + math.exp(-score))
            if label == 1:
                total -= weights[unit] * active_weights[unit] * (1 - p) ** gammas[0] * math.log(p)
            elif label == 0:
                lowered = max(p - margin, 0.0)
                total -= weights[unit] * lowered ** gammas[1] * math.log(1 - lowered)
    return float(total / logits.shape[1])


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 8),
    st.booleans(),
    st.sampled_from([(0.0, 0.0), (1.0, 4.0), (2.0, 2.0)]),
    st.sampled_from([0.0, 0.05, 0.3]),
)
def test_binary_cross_entropy_with_all_its_options_is_that_of_a_slow_loop(
    seed: int, samples: int, weighted: bool, gammas: tuple[float, float], margin: float
) -> None:
    logits, labels = some_units(samples, seed)
    weights, active = (np.linspace(0.5, 2, 12), np.linspace(5, 1, 12)) if weighted else (np.ones(12), np.ones(12))
    options = (tensor(weights), tensor(active)) if weighted else (None, None)
    found = binary_cross_entropy(tensor(logits), tensor(labels), options[0], options[1], *gammas, margin)
    assert float(found) == pytest.approx(slow_units(logits, labels, weights, active, gammas, margin), abs=1e-9)


def test_units_are_scikit_learns_log_loss_each_on_its_labelled_samples() -> None:
    logits, labels = some_units(60, seed=5)
    probabilities = torch.sigmoid(tensor(logits)).numpy()
    expected = 0.0
    for unit in range(12):
        kept = labels[:, unit] >= 0
        expected += metrics.log_loss(labels[kept, unit], probabilities[kept, unit], labels=(0, 1), normalize=False)
    assert float(binary_cross_entropy(tensor(logits), tensor(labels))) == pytest.approx(expected / 12)


def test_equal_focuses_without_a_margin_are_torchvisions_focal_loss() -> None:
    logits, labels = some_units(40, seed=6)
    labels = abs(labels)
    expected = torchvision.ops.sigmoid_focal_loss(tensor(logits), tensor(labels).double(), alpha=-1, gamma=2.0, reduction="sum")
    found = binary_cross_entropy(tensor(logits), tensor(labels), active_focus=2.0, inactive_focus=2.0)
    assert float(found) == pytest.approx(float(expected) / 12)


def test_the_asymmetric_loss_and_its_gradient_are_timms() -> None:
    timm_loss = pytest.importorskip("timm.loss")
    logits, labels = some_units(40, seed=7)
    labels = abs(labels)
    gradients = []
    reference = timm_loss.AsymmetricLossMultiLabel(gamma_neg=4, gamma_pos=1, clip=0.05, reduction="sum")
    for loss in (
        lambda scores: reference(scores, tensor(labels)) / 12,
        lambda scores: binary_cross_entropy(scores, tensor(labels), None, None, 1.0, 4.0, 0.05),
    ):
        leaf = tensor(logits).float().requires_grad_()
        value = loss(leaf)
        torch.autograd.backward(value)
        assert leaf.grad is not None
        gradients.append((value.detach(), leaf.grad))
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("score", [-200.0, 200.0])
def test_units_the_network_is_very_sure_of_have_finite_losses_and_gradients(score: float) -> None:
    for label, options in itertools.product((0, 1), ((0.0, 0.0, 0.0), (2.0, 2.0, 0.0), (1.0, 4.0, 0.05))):
        logits = torch.full((1, 12), score, requires_grad=True)
        loss = binary_cross_entropy(logits, torch.full((1, 12), label), None, None, *options)
        torch.autograd.backward(loss)
        assert torch.isfinite(loss)
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()
        wrong = (score > 0) != bool(label)
        assert wrong or float(loss.detach()) == pytest.approx(0, abs=1e-12)


# Values.


def some_values(samples: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = np.random.default_rng(seed)
    labels = generator.uniform(-1, 1, samples)
    values = np.clip(0.5 * labels + generator.normal(0, 0.3, samples), -1, 1)
    return tensor(values), tensor(np.where(generator.random(samples) < 0.3, -5.0, labels))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(3, 60), st.sampled_from([0.0, 0.25, 1.0]))
def test_the_loss_of_values_is_one_less_the_concordance_that_scores_them(seed: int, samples: int, share: float) -> None:
    values, labels = some_values(samples, seed)
    kept = (labels != -5).numpy()
    found = float(concordance_loss(moment_sums(values, labels, -5), share))
    if kept.sum() < 2:
        return
    truth, said = labels.numpy()[kept], values.numpy()[kept]
    expected = (1 - share) * (1 - float(concordance(counted_sums(truth, said))))
    assert found == pytest.approx(expected + share * metrics.mean_squared_error(truth, said), abs=1e-9)


def test_equal_values_have_no_concordance_and_are_drawn_apart_towards_their_labels() -> None:
    values = torch.full((50,), 0.2, dtype=torch.float64, requires_grad=True)
    labels = torch.linspace(-1, 1, 50, dtype=torch.float64)
    loss = concordance_loss(moment_sums(values, labels, -5))
    torch.autograd.backward(loss)
    assert float(loss.detach()) == pytest.approx(1.0)
    assert values.grad is not None
    # Downhill is up for the samples with high labels and down for those with low ones.
    assert (torch.diff(-values.grad) > 0).all()


@pytest.mark.parametrize("samples", [0, 1])
def test_a_batch_with_no_labelled_value_or_one_has_a_finite_loss_and_moves_nothing(samples: int) -> None:
    values = torch.full((4,), 0.3, dtype=torch.float64, requires_grad=True)
    labels = torch.full((4,), -5.0, dtype=torch.float64)
    labels[:samples] = 0.5
    loss = concordance_loss(moment_sums(values, labels, -5))
    torch.autograd.backward(loss)
    assert float(loss.detach()) == samples
    assert values.grad is not None
    assert values.grad.abs().max() < 1e-12


def test_values_far_from_zero_keep_their_digits_in_float32() -> None:
    generator = np.random.default_rng(8)
    labels = (0.9 + generator.normal(0, 0.01, 4000)).astype(np.float32)
    values = (labels + generator.normal(0, 0.005, 4000)).astype(np.float32)
    found = float(concordance_loss(moment_sums(tensor(values), tensor(labels), -5)))
    y, x = labels.astype(np.longdouble), values.astype(np.longdouble)
    covariance = ((y - y.mean()) * (x - x.mean())).mean()
    expected = 1 - 2 * covariance / (y.var() + x.var() + (y.mean() - x.mean()) ** 2)
    assert found == pytest.approx(float(expected), abs=1e-9)


# Gradients, and challenges as a whole.

OPTIONS = {
    "plain": LossOptions(),
    "every option": LossOptions(
        ClassOptions(0.1, tuple(np.linspace(1, 2, 8)), 2.0, tuple(np.linspace(-1, 0, 8))),
        UnitOptions(tuple(np.linspace(1, 2, 12)), tuple(np.linspace(2, 4, 12)), 1.0, 4.0, 0.05),
        RealOptions(0.3),
        (1.0, 2.0, 0.5, 3.0),
        learned=True,
    ),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_gradients_are_those_of_finite_differences_and_nothing_moves_where_nothing_is_labelled(options: LossOptions) -> None:
    outputs, labels = some_rows(MTL, 7, seed=9)
    labels[3] = tensor([field.ignore for field in MTL.fields])
    loss = PartsLoss(parts_of(MTL), options).double()
    leaf = outputs.requires_grad_()
    assert torch.autograd.gradcheck(lambda scores: loss(scores, labels, mean_of), (leaf,), atol=1e-7)
    torch.autograd.backward(loss(leaf, labels, mean_of))
    assert leaf.grad is not None
    assert (leaf.grad[3] == 0).all()
    columns = [own.columns for own in parts_of(MTL).placed]
    for row in range(7):
        assert bool((leaf.grad[row, columns[2]] != 0).any()) == bool(labels[row, 2] >= 0)
        np.testing.assert_array_equal(leaf.grad[row, columns[3]] != 0, labels[row, 3:] >= 0)


@pytest.mark.parametrize("part", ["valence", "arousal", "expression", "units"])
def test_a_part_without_any_label_in_a_batch_has_no_loss_and_leaves_the_others_as_they_are(part: str) -> None:
    outputs, labels = some_rows(MTL, 10, seed=10)
    loss = PartsLoss(parts_of(MTL), LossOptions()).double()
    before = loss.of_parts(outputs, labels, mean_of)
    (index,) = (number for number, own in enumerate(parts_of(MTL).placed) if own.part.name == part)
    own = parts_of(MTL).placed[index]
    labels[:, own.fields] = tensor([float(field.ignore) for field in own.part.fields])
    after = loss.of_parts(outputs, labels, mean_of)
    assert float(after[index]) == 0
    np.testing.assert_array_equal(np.delete(after.numpy(), index), np.delete(before.numpy(), index))


def test_the_parts_of_a_challenge_are_the_losses_of_their_kinds() -> None:
    outputs, labels = some_rows(MTL, 10, seed=11)
    found = PartsLoss(parts_of(MTL), LossOptions()).double().of_parts(outputs, labels, mean_of)
    values = torch.tanh(outputs[:, :2])
    expected = [
        concordance_loss(moment_sums(values[:, 0], labels[:, 0], -5)),
        concordance_loss(moment_sums(values[:, 1], labels[:, 1], -5)),
        cross_entropy(outputs[:, 2:10], labels[:, 2].long()) / 10,
        binary_cross_entropy(outputs[:, 10:], labels[:, 3:]) / 10,
    ]
    torch.testing.assert_close(found, torch.stack(expected))


def test_options_reach_their_parts() -> None:
    outputs, labels = some_rows(MTL, 10, seed=12)
    plain = PartsLoss(parts_of(MTL), LossOptions()).double().of_parts(outputs, labels, mean_of)
    changes = (
        (LossOptions(classes=ClassOptions(smoothing=0.2)), [2]),
        (LossOptions(classes=ClassOptions(focus=2.0)), [2]),
        (LossOptions(classes=ClassOptions(weights=(2.0,) * 8)), [2]),
        (LossOptions(classes=ClassOptions(adjustment=tuple(np.linspace(-2, 0, 8)))), [2]),
        (LossOptions(units=UnitOptions(weights=(2.0,) * 12)), [3]),
        (LossOptions(units=UnitOptions(active_weights=(2.0,) * 12)), [3]),
        (LossOptions(units=UnitOptions(active_focus=1.0)), [3]),
        (LossOptions(units=UnitOptions(inactive_focus=1.0)), [3]),
        (LossOptions(units=UnitOptions(margin=0.1)), [3]),
        (LossOptions(reals=RealOptions(0.5)), [0, 1]),
    )
    for options, places in changes:
        changed = PartsLoss(parts_of(MTL), options).double().of_parts(outputs, labels, mean_of)
        assert np.flatnonzero((changed != plain).numpy()).tolist() == places, options


def test_fixed_weights_weigh_and_learned_ones_settle_where_each_part_counts_half() -> None:
    outputs, labels = some_rows(MTL, 10, seed=13)
    parts = PartsLoss(parts_of(MTL), LossOptions(weights=(1.0, 2.0, 3.0, 4.0))).double()
    losses = parts.of_parts(outputs, labels, mean_of)
    assert float(parts(outputs, labels, mean_of)) == pytest.approx(float((losses * torch.arange(1, 5)).sum()))
    assert list(parts.parameters()) == []
    assert parts.state_dict() == {}
    learned = PartsLoss(parts_of(MTL), LossOptions(learned=True)).double()
    assert float(learned(outputs, labels, mean_of).detach()) == pytest.approx(float(losses.sum()))
    optimizer = torch.optim.LBFGS(learned.parameters(), max_iter=100)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = learned(outputs, labels, mean_of)
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    assert learned.log_variances is not None
    np.testing.assert_allclose(torch.exp(learned.log_variances.detach()), 2 * losses, rtol=1e-4)
    assert list(learned.state_dict()) == ["log_variances"]


def test_weights_of_another_number_of_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="MTL has 4 parts, but there are 3 weights"):
        PartsLoss(parts_of(MTL), LossOptions(weights=(1.0, 1.0, 1.0)))


@pytest.mark.parametrize("challenge", [EXPR, VA, AU, MTL], ids=lambda one: one.name)
def test_a_small_network_learns_each_challenge(challenge: Challenge) -> None:
    torch.manual_seed(0)
    parts = parts_of(challenge)
    inputs = torch.randn(400, 10)
    truth = parts.decode(parts.activate((2 * inputs @ torch.randn(10, len(parts.columns))).numpy()))
    labels = torch.from_numpy(truth.astype(np.float32))
    network, loss = nn.Linear(10, len(parts.columns)), PartsLoss(parts, LossOptions())
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        torch.autograd.backward(loss(network(inputs), labels, lambda total: total / 400))
        optimizer.step()
    answers = parts.decode(parts.activate(network(inputs).detach().numpy()))
    sums = parts.sums(truth, answers)
    names = {"EXPR": ["accuracy"], "VA": ["ccc_valence"], "AU": ["unit_f1"], "MTL": ["accuracy", "ccc_arousal", "unit_f1"]}
    for name in names[challenge.name]:
        assert float(parts.measure(sums, name)) > 0.9, name


# Two processes.


def _gradients(challenge: Challenge, rank: int, processes: int, pool: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """The loss of the share of a process, and the gradients of a network's weights and of the learned weights of the parts."""
    outputs, labels = some_rows(challenge, 12, seed=14)
    inputs, weight = some_rows(MTL, 12, seed=15)[0][:, :4], (0.1 * outputs[:4]).clone().requires_grad_()
    loss = PartsLoss(parts_of(challenge), LossOptions(reals=RealOptions(0.2), learned=True)).double()
    share = inputs[rank::processes] @ weight
    total = loss(share, labels[rank::processes], lambda sums: sums / len(share), pool)
    torch.autograd.backward(total)
    assert weight.grad is not None
    assert loss.log_variances is not None
    assert loss.log_variances.grad is not None
    return {"loss": total.detach(), "weight": weight.grad, "log_variances": loss.log_variances.grad}


def _run_process(rank: int, place: str) -> None:
    os.environ.update(
        ACCELERATE_USE_CPU="true", RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT="0"
    )
    dist.init_process_group("gloo", init_method=f"file://{place}/meeting", rank=rank, world_size=2)
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    found = {
        f"{challenge.name} {name}": value
        for challenge in (EXPR, VA, AU, MTL)
        for name, value in _gradients(challenge, rank, 2, over_processes(accelerator)).items()
    }
    torch.save(found, f"{place}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_have_the_loss_and_gradient_of_one(tmp_path: Path) -> None:
    spawn(_run_process, args=(str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for challenge in (EXPR, VA, AU, MTL):
        for name, alone_value in _gradients(challenge, 0, 1, alone).items():
            # Distributed training takes the mean of the gradients; so do the figures that are noted.
            together = 0.5 * (first[f"{challenge.name} {name}"] + second[f"{challenge.name} {name}"])
            torch.testing.assert_close(together, alone_value, atol=1e-12, rtol=1e-12)
    # The concordance of the whole batch, not the mean of two halves' concordances.
    assert torch.equal(first["VA loss"], second["VA loss"])


def test_one_process_pools_nothing() -> None:
    assert over_processes(Accelerator(cpu=True)) is alone
