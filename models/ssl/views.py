"""Global transformations of face images, batched on the device: each view is a function of its images and uniform numbers.

They move, mirror and recolour the whole face, which leaves its expression as it is (Xue et al., arXiv 2303.09034, abstract). The
recipe is BYOL's (Grill et al. 2020, appendix B) with crops that keep the whole face and a small affine motion; the authors of
ContraWarping have not published theirs, so every number here is our reading and a setting.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.backbones.base import Channels

VIEW_UNIFORMS = 17
"""Uniform numbers per view."""
LUMINANCE = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in luminance (ITU-R BT.601)."""
BLUR_REFERENCE = 224
"""Image side in pixels for which `blur_sigma` is meant; it shrinks with the image."""

Displacement = Callable[[Tensor], Tensor]
"""Points (B, N, 2) of the image in 0..1 to the points that are seen there."""


@dataclass(frozen=True)
class ViewSettings:
    """How strong the transformations are.

    Attributes
    ----------
    crop_area : smallest and largest share of the image's area that is seen, always square.
    rotation : largest turn in degrees. shift : largest motion as a share of the side. scale : smallest and largest scale.
    flip : probability of mirroring.
    jitter : probability; brightness, contrast, saturation : change of the factor; hue : largest change in turns.
    grayscale : probability.
    blur, solarize : probabilities for the first view and for all others. blur_sigma : in pixels at 224 pixels.
    """

    crop_area: tuple[float, float] = (0.6, 1.0)
    rotation: float = 10.0
    shift: float = 0.08
    scale: tuple[float, float] = (0.9, 1.1)
    flip: float = 0.5
    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    grayscale: float = 0.2
    blur: tuple[float, float] = (1.0, 0.1)
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    solarize: tuple[float, float] = (0.0, 0.2)


CROP_AND_FLIP = ViewSettings(
    crop_area=(0.2, 1.0),
    rotation=0.0,
    shift=0.0,
    scale=(1.0, 1.0),
    jitter=0.0,
    grayscale=0.0,
    blur=(0.0, 0.0),
    solarize=(0.0, 0.0),
)
"""The transformations of MAE (He et al. 2022, appendix A.1): random crops and mirroring alone."""


@torch.no_grad()
def make_view(
    images: Tensor,
    uniforms: Tensor,
    settings: ViewSettings,
    size: int,
    mean: Channels,
    std: Channels,
    *,
    first: bool,
    displacement: Displacement | None = None,
) -> Tensor:
    """One view of each image, normalised float32 (B, 3, size, size), channels last in memory.

    Parameters
    ----------
    images : uint8 or float in 0..1, (B, 3, H, W).
    uniforms : (B, VIEW_UNIFORMS) in [0, 1).
    first : whether blur and solarize are those of the first view.
    displacement : a local warp of the image, applied before everything else.
    """
    floats = images.float() / 255 if images.dtype == torch.uint8 else images
    # Sampling far apart would alias.
    factor = floats.shape[2] // size
    if factor > 1:
        floats = F.avg_pool2d(floats, factor)
    points = sampling_points(uniforms, settings, size)
    if displacement is not None:
        points = displacement(points)
    grid = (2 * points - 1).view(len(images), size, size, 2)
    view = F.grid_sample(floats, grid, mode="bilinear", padding_mode="border", align_corners=False)
    view = _recolour(view, uniforms, settings)
    view = _blur(view, uniforms, settings.blur[0 if first else 1], settings.blur_sigma)
    view = _where(uniforms[:, 16] < settings.solarize[0 if first else 1], torch.where(view < 0.5, view, 1 - view), view)
    centre = torch.tensor(mean, device=view.device).view(1, 3, 1, 1)
    spread = torch.tensor(std, device=view.device).view(1, 3, 1, 1)
    return ((view - centre) / spread).contiguous(memory_format=torch.channels_last)


def sampling_points(uniforms: Tensor, settings: ViewSettings, size: int) -> Tensor:
    """Where in the image, in 0..1 from its left upper corner, each pixel of a view is taken: (B, size * size, 2) as x, y."""
    low, high = settings.crop_area
    side = torch.sqrt(low + (high - low) * uniforms[:, 0])
    centre = side.unsqueeze(1) / 2 + (1 - side).unsqueeze(1) * uniforms[:, 1:3]
    mirror = torch.where(uniforms[:, 3] < settings.flip, -1.0, 1.0)
    angle = (2 * uniforms[:, 4] - 1) * math.radians(settings.rotation)
    smallest, largest = settings.scale
    # Enlarging the face means to look at less of the image.
    side = side / (smallest + (largest - smallest) * uniforms[:, 5])
    centre = centre - (2 * uniforms[:, 6:8] - 1) * settings.shift
    steps = (torch.arange(size, device=uniforms.device) + 0.5) / size - 0.5
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    x, y = columns.flatten() * (mirror * side).unsqueeze(1), rows.flatten() * side.unsqueeze(1)
    cosine, sine = torch.cos(angle).unsqueeze(1), torch.sin(angle).unsqueeze(1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=2) + centre.unsqueeze(1)


def _where(chosen: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The images of `first` where `chosen` (B,), else those of `second`."""
    return torch.where(chosen.view(-1, 1, 1, 1), first, second)


def _column(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _luminance(images: Tensor) -> Tensor:
    weights = torch.tensor(LUMINANCE, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def _recolour(images: Tensor, uniforms: Tensor, settings: ViewSettings) -> Tensor:
    """Brightness, contrast, saturation and hue, in this order, for some images; then no colour at all for some."""
    signed = 2 * uniforms - 1
    jittered = (images * _column(1 + settings.brightness * signed[:, 9])).clamp(0, 1)
    mean = _luminance(jittered).mean(dim=(2, 3), keepdim=True)
    jittered = (mean + (jittered - mean) * _column(1 + settings.contrast * signed[:, 10])).clamp(0, 1)
    luminance = _luminance(jittered)
    jittered = (luminance + (jittered - luminance) * _column(1 + settings.saturation * signed[:, 11])).clamp(0, 1)
    jittered = _turn_hue(jittered, settings.hue * signed[:, 12]).clamp(0, 1)
    images = _where(uniforms[:, 8] < settings.jitter, jittered, images)
    return _where(uniforms[:, 13] < settings.grayscale, _luminance(images).expand_as(images), images)


def _turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turns the colours (B, 3, H, W) by a share of the colour circle (B,) at constant luminance.

    A rotation of chrominance in YIQ (NTSC), which is linear and so cheap, in place of HSV's.
    """
    to_yiq = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], device=images.device)
    angle = 2 * math.pi * turns
    rotation = torch.zeros(len(images), 3, 3, device=images.device)
    rotation[:, 0, 0] = 1
    rotation[:, 1, 1] = rotation[:, 2, 2] = torch.cos(angle)
    rotation[:, 1, 2], rotation[:, 2, 1] = -torch.sin(angle), torch.sin(angle)
    matrix = torch.linalg.inv(to_yiq) @ rotation @ to_yiq
    return torch.einsum("bij,bjhw->bihw", matrix, images)


def _blur(images: Tensor, uniforms: Tensor, probability: float, sigmas: tuple[float, float]) -> Tensor:
    """A Gaussian blur of some images, each of its own sigma."""
    if probability == 0:
        return images
    batch, channels, height, width = images.shape
    smallest, largest = (sigma * width / BLUR_REFERENCE for sigma in sigmas)
    sigma = smallest + (largest - smallest) * uniforms[:, 15:16]
    reach = max(1, math.ceil(3 * largest))
    offsets = torch.arange(-reach, reach + 1, device=images.device)
    kernels = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernels = torch.where(uniforms[:, 14:15] < probability, kernels / kernels.sum(dim=1, keepdim=True), (offsets == 0).float())
    kernels = kernels.repeat_interleave(channels, dim=0)
    flat = F.pad(images, (reach,) * 4, mode="reflect").reshape(1, batch * channels, height + 2 * reach, width + 2 * reach)
    flat = F.conv2d(flat, kernels.view(-1, 1, 1, 2 * reach + 1), groups=batch * channels)
    flat = F.conv2d(flat, kernels.view(-1, 1, 2 * reach + 1, 1), groups=batch * channels)
    return flat.reshape(batch, channels, height, width)


def view_sheet(views: Sequence[Tensor], mean: Channels, std: Channels) -> Tensor:
    """A picture of normalised views, uint8 (H, W, 3): a row per image, a column per kind of view, a gap of 2 pixels."""
    centre = torch.tensor(mean).view(1, 3, 1, 1)
    spread = torch.tensor(std).view(1, 3, 1, 1)
    shown = [((view.float().cpu() * spread + centre).clamp(0, 1) * 255).round().byte() for view in views]
    rows = [torch.cat([F.pad(view[index], (0, 2, 0, 2), value=255) for view in shown], dim=2) for index in range(len(shown[0]))]
    return torch.cat(rows, dim=1).permute(1, 2, 0)[:-2, :-2].contiguous()
