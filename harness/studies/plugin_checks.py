"""Whether code of one's own keeps what the harness relies on, each promise tried by itself and told with what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.errors import UsageError
from harness.training.own_code import OWN_NUMBERS
from models import plugins, temporal
from models.temporal.network import FeatureNetwork

CLASSES = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other")
FEATURES = (32, 7, 7)
"""Shape of the feature map that a head is tried on."""
WIDTHS = (6, 4)
"""Widths of the feature sets that a model is tried on, TIMES steps of them."""
TIMES = 12
MODEL_SETTINGS: dict[str, Any] = {
    "width": 16,
    "layers": 2,
    "heads": 2,
    "feedforward": 32,
    "kernel": 3,
    "dropout": 0.3,
    "set_dropout": 0.3,
}
"""What a model is told that asks for settings."""
SAMPLES = 3
CLOSE = 1e-4
"""By how much the same image may come out otherwise beside other images: rounding in another order."""


@dataclass(frozen=True)
class CheckedPromise:
    """A promise, and what breaks it, if anything does."""

    promise: str
    fault: str | None = None


def check_plugin(name: str, kind: str, image_size: int) -> list[CheckedPromise]:
    """Every promise of a `kind` of KINDS, tried on the code `name`; what comes after code that raises is left out.

    Raises UsageError for a name that is none of code.
    """
    if not plugins.is_plugin(name):
        raise UsageError("not a name of code", found=name, expected="package.module:name, file.py:name or entry:NAME")
    found: list[CheckedPromise] = []
    tried = KINDS[kind](name, image_size)
    while True:
        try:
            found.append(next(tried))
        except StopIteration:
            return found
        except Exception as error:  # Whatever somebody's code raises is what is to be told.
            return [*found, CheckedPromise("it runs", f"{type(error).__name__}: {error}")]


def _promise(promise: str, kept: bool, fault: str) -> CheckedPromise:
    return CheckedPromise(promise, None if kept else fault)


def _of_backbone(name: str, image_size: int) -> Iterator[CheckedPromise]:
    def build(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return plugins.backbone(name, image_size)

    images = torch.randn(SAMPLES, 3, image_size, image_size, generator=torch.Generator().manual_seed(1))
    yield from _of_module(
        build, (images,), lambda output: output.dim() in (3, 4), "a map (B, C, h, w), tokens (B, N, C) or (B, C)"
    )


def _of_head(name: str, image_size: int) -> Iterator[CheckedPromise]:
    def build(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return plugins.head(name, FEATURES, len(CLASSES))

    features = torch.randn(SAMPLES, *FEATURES, generator=torch.Generator().manual_seed(1))
    yield from _of_module(build, (features,), lambda output: output.shape[1:] == (len(CLASSES),), f"logits (B, {len(CLASSES)})")


def _of_model(name: str, image_size: int) -> Iterator[CheckedPromise]:
    def build(seed: int) -> FeatureNetwork:
        return temporal.build(name, WIDTHS, len(CLASSES), seed=seed, **MODEL_SETTINGS)

    generator = torch.Generator().manual_seed(1)
    features = torch.randn(SAMPLES, TIMES, sum(WIDTHS), generator=generator)
    present = torch.rand(SAMPLES, TIMES, len(WIDTHS), generator=generator) < 0.8
    logits = (TIMES, len(CLASSES))
    yield from _of_module(build, (features, present), lambda output: output.shape[1:] == logits, f"logits (B, T, {len(CLASSES)})")
    network = build(0).eval()
    with torch.no_grad():
        longer = network(F.pad(features, (0, 0, 0, TIMES)), F.pad(present, (0, 0, 0, TIMES)))[:, :TIMES]
        seen = present.any(dim=2)
        close = torch.allclose(longer[seen], network(features, present)[seen], rtol=CLOSE, atol=CLOSE)
        fault = "unseen times at the end change seen ones: multiply by the mask before what mixes times, and leave it out of sums"
        yield _promise("times that no set has change no other time", close, fault)
        numbers = torch.rand(SAMPLES, network.uniforms, generator=generator)
        first, second = (network.train()(features, present, numbers) for _ in range(2))
        fault = "two passes with the same numbers differ: use those that forward gets as its third argument"
        yield _promise("the same numbers drop the same", torch.equal(first, second), fault)


def _of_module(
    build: Callable[[int], nn.Module], inputs: tuple[Tensor, ...], fits: Callable[[Tensor], bool], expected: str
) -> Iterator[CheckedPromise]:
    network = build(0).eval()
    with torch.no_grad():
        output = network(*inputs)
        shape = f"gives {output.dtype} {tuple(output.shape)}"
        right = output.dtype == torch.float32 and len(output) == SAMPLES and fits(output)
        yield _promise(f"it gives {expected} in float32", right, shape)
        yield _promise("what it gives is finite", bool(output.isfinite().all()), "gives NaN or infinity of normal noise")
        yield _promise("the same input gives the same bits", torch.equal(network(*inputs), output), "two passes differ in eval()")
        alone = torch.cat([network(*(part[row : row + 1] for part in inputs)) for row in range(SAMPLES)])
        close = torch.allclose(alone, output, rtol=CLOSE, atol=CLOSE)
        yield _promise("a sample's output depends on it alone in eval()", close, "other samples of the batch change it")
    yield _stays_the_same_in_training(network, inputs)
    network.train().zero_grad()
    torch.autograd.backward(network(*inputs).square().mean())
    unmoved = [key for key, value in network.named_parameters() if value.requires_grad and value.grad is None]
    yield _promise(
        "a gradient reaches every parameter", not unmoved, f"none reaches {', '.join(unmoved[:5])}: requires_grad_(False)"
    )
    yield _stores_all_of_itself(network.eval(), build(1).eval(), inputs)
    first, second = build(0).state_dict(), build(0).state_dict()
    alike = first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    yield _promise(
        "torch's seed decides its random weights", alike, "two of the same seed differ: draw from torch's generator alone"
    )
    places = [value.data_ptr() for value in network.state_dict().values() if value.numel()]
    yield _promise(
        "no two of its tensors share memory", len(set(places)) == len(places), "safetensors stores each by itself: clone"
    )


def _stays_the_same_in_training(network: nn.Module, inputs: tuple[Tensor, ...]) -> CheckedPromise:
    network.train()
    with torch.no_grad():
        same = torch.equal(network(*inputs), network(*inputs))
    network.eval()
    fault = "two passes differ in train(): it draws numbers of its own, such as dropout, and a resumed run would end otherwise"
    return _promise("training draws no numbers of its own", same, fault)


def _stores_all_of_itself(network: nn.Module, other: nn.Module, inputs: tuple[Tensor, ...]) -> CheckedPromise:
    promise = "its state_dict holds all that it gives"
    try:
        other.load_state_dict({key: value.clone() for key, value in network.state_dict().items()})
    except RuntimeError as error:
        return CheckedPromise(promise, str(error).splitlines()[0])
    with torch.no_grad():
        return _promise(promise, torch.equal(network(*inputs), other(*inputs)), "loaded into another it gives something else")


def _of_loss(name: str, image_size: int) -> Iterator[CheckedPromise]:
    loss = plugins.call(name, list(CLASSES))
    outputs = torch.randn(6, len(CLASSES), generator=torch.Generator().manual_seed(1), requires_grad=True)
    labels = torch.tensor([[0], [1], [2], [3], [4], [7]])
    losses = loss(outputs, labels)
    yield _promise("it gives a loss (B,) for each sample", losses.shape == (6,), f"gives {tuple(losses.shape)}")
    yield _promise("what it gives is finite", bool(losses.isfinite().all()), "gives NaN or infinity")
    yield _promise("the same input gives the same bits", torch.equal(loss(outputs, labels), losses), "two calls differ")
    alone = torch.cat([loss(outputs[row : row + 1], labels[row : row + 1]) for row in range(6)])
    close = torch.allclose(alone, losses, rtol=CLOSE, atol=CLOSE)
    yield _promise("a sample's loss depends on it alone", close, "other samples change it: take no mean over the batch")
    torch.autograd.backward(losses.sum())
    reached = outputs.grad is not None and bool((outputs.grad != 0).any())
    yield _promise("a gradient reaches the outputs", reached, "it does not: keep to torch's functions")


def _of_augmentation(name: str, image_size: int) -> Iterator[CheckedPromise]:
    augmenting = plugins.call(name)
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(256, (SAMPLES, 3, image_size, image_size), generator=generator, dtype=torch.uint8)
    numbers = torch.rand(SAMPLES, OWN_NUMBERS, generator=generator)
    before = images.clone()
    seen = augmenting(images, numbers)
    alike = seen.dtype == torch.uint8 and seen.shape == images.shape
    yield _promise("it gives uint8 images of the shape it gets", alike, f"gives {seen.dtype} {tuple(seen.shape)}")
    yield _promise("the images it gets stay as they are", torch.equal(images, before), "it changes them in place: clone first")
    again = augmenting(before.clone(), numbers)
    yield _promise(
        "the same numbers give the same bits", torch.equal(again, seen), "it draws numbers of its own: use those it gets"
    )
    alone = torch.cat([augmenting(before[row : row + 1].clone(), numbers[row : row + 1]) for row in range(SAMPLES)])
    yield _promise("what happens to a sample depends on it alone", torch.equal(alone, seen), "other samples change it")


KINDS: dict[str, Callable[[str, int], Iterator[CheckedPromise]]] = {
    "backbone": _of_backbone,
    "head": _of_head,
    "loss": _of_loss,
    "augmentation": _of_augmentation,
    "model": _of_model,
}
