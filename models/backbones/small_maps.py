"""Depthwise convolution of small maps, whose weight gradient a CPU would come to in its slowest way.

The last blocks of a network that sees small faces have maps smaller than their kernels. oneDNN has no kernel of its own there for
the gradient of depthwise weights and falls back to a matrix product per image and channel. The sum here is the same in another
order, tap by tap.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv2d_input


def depthwise_conv2d(features: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Each channel of `features` (B, C, H, W) under its own kernel of `weight` (C, 1, K, K), to (B, C, H', W').

    The answer is conv2d's with `groups=C` bit for bit, and so is the gradient for the features. That for the weight comes from
    `weight_gradient` where a CPU would be slow: in full precision, where a side of the output is smaller than the kernel.
    """
    if torch.is_grad_enabled() and weight.requires_grad and _is_slow(features, weight.shape[-1], stride, padding):
        filtered: Tensor = _SummedByTaps.apply(features, weight, stride, padding)
        return filtered
    return F.conv2d(features, weight, stride=stride, padding=padding, groups=len(weight))


def _is_slow(features: Tensor, kernel: int, stride: int, padding: int) -> bool:
    if features.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    return min((size + 2 * padding - kernel) // stride + 1 for size in features.shape[-2:]) < kernel


class _SummedByTaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, features: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.stride, ctx.padding = stride, padding  # type: ignore[attr-defined]
        return F.conv2d(features, weight, stride=stride, padding=padding, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        features, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        stride, padding = ctx.stride, ctx.padding  # type: ignore[attr-defined]
        of_features = None
        if ctx.needs_input_grad[0]:  # type: ignore[attr-defined]
            shape, channels = features.shape, len(weight)
            of_features = conv2d_input(shape, weight, gradient, stride, padding, groups=channels)  # type: ignore[no-untyped-call]
        return of_features, weight_gradient(features, gradient, weight.shape[-1], stride, padding), None, None


def weight_gradient(features: Tensor, gradient: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """What the weight (C, 1, K, K) of a depthwise convolution gets, from its input (B, C, H, W) and its output's gradient.

    Of each tap: the sum, over images and places, of the output's gradient times the pixel that the tap sees there.
    """
    # Channels last, so that a tap's product and sum run along memory.
    seen, asked = features.permute(0, 2, 3, 1).contiguous(), gradient.permute(0, 2, 3, 1).contiguous()
    summed = features.new_zeros(kernel, kernel, features.shape[1])
    for row in range(kernel):
        down, of_outputs = _meeting(row - padding, stride, seen.shape[1], asked.shape[1])
        for column in range(kernel):
            across, across_outputs = _meeting(column - padding, stride, seen.shape[2], asked.shape[2])
            summed[row, column] = (seen[:, down, across] * asked[:, of_outputs, across_outputs]).sum(dim=(0, 1, 2))
    return summed.permute(2, 0, 1).unsqueeze(1)


def _meeting(offset: int, stride: int, pixels: int, outputs: int) -> tuple[slice, slice]:
    """The pixels that a tap sees, and the outputs that see them: output o sees pixel o * stride + offset.

    Where that is outside the map, it sees padding, which adds nothing.
    """
    first = max(0, -(offset // stride))
    last = min(outputs - 1, (pixels - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(first * stride + offset, last * stride + offset + 1, stride), slice(first, last + 1)
