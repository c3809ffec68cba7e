"""Batches of uint8 images to what the network sees: cut, resized, flipped, normalised in batches on the model's device.

Nothing here draws a random number: a batch's augmentation is a function of uniform numbers that its sampler made from
(seed, step, sample), see harness.images.sampling.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

UNIFORMS = 16
"""Uniform numbers per sample that an augmentation may use."""

CACHED_IMAGES = 2
"""Images that are prepared together on a CPU: few enough that what lies between decoded
and ready stays in the cache."""

REACH, WIDE_REACH = 4, 8
"""Pixels to each side to which the kernel of a blur goes: 97.6 % of it at a sigma of 2, and all of it."""
BORDER = 1e-5
"""What rounding may put a point beyond the border that it lies on."""

# Weights of red, green and blue in luminance (ITU-R BT.601), as torchvision's rgb_to_grayscale.
LUMINANCE = (0.2989, 0.587, 0.114)


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training image; the fields are recipe keys of the same names, `published` published_augmentation."""

    image_size: int
    crop_area: tuple[float, float]
    flip: float = 0.5
    rotate: float = 0.0
    grayscale: float = 0.0
    colour_jitter: float = 0.0
    blur: float = 0.0
    erase: float = 0.0
    published: bool = False


def _normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Float images in 0..1 (B, 3, H, W) less the mean, divided by the deviation."""
    mean_tensor = torch.tensor(mean, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
    scale = 1.0 / torch.tensor(std, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
    return (images - mean_tensor) * scale


def prepare_test(
    images: Tensor,
    image_size: int,
    test_resize: int,
    mean: Sequence[float],
    std: Sequence[float],
    flip: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """uint8 (B, 3, H, H) to the network's input at test time, (B, 3, image_size, image_size), channels last in memory.

    Resized to test_resize (bilinear without antialiasing, as the published code does), the centre of image_size cut out,
    normalised. With `flip` the images are mirrored first. All is computed in float32 and rounded once where `dtype` is shorter.
    """
    if flip:
        images = images.flip(3)
    side = images.shape[3]
    if side == test_resize:
        margin = (side - image_size) // 2
        images = images[:, :, margin : margin + image_size, margin : margin + image_size]
        side = image_size
    resize = None if side == image_size else CentreResize(side, test_resize, image_size, images.device)
    scale = torch.tensor([1 / (255 * deviation) for deviation in std], device=images.device).repeat(side)
    offset = torch.tensor([-m / deviation for m, deviation in zip(mean, std, strict=True)], device=images.device).repeat(side)
    prepared = _empty(len(images), image_size, images.device, dtype)
    for part in _parts(len(images), images.device):
        lines = images[part].permute(0, 2, 3, 1).reshape(-1, side, side * 3).float()
        # Normalised before it is resized: mixing pixels and normalising them commute, and the crop has fewer.
        ready = torch.addcmul(offset, lines, scale).view(-1, side, side, 3)
        prepared[part] = (ready if resize is None else resize(ready)).permute(0, 3, 1, 2)
    return prepared


class CentreResize:
    """Resizes square images of `side` pixels to `resized` and keeps the middle `wanted` rows and columns.

    Bilinear without antialiasing, pixel centres at halves: torch's interpolate(mode="bilinear", align_corners=False).
    """

    def __init__(self, side: int, resized: int, wanted: int, device: torch.device, channels: int = 3) -> None:
        first = (resized - wanted) // 2
        positions = (torch.arange(first, first + wanted, dtype=torch.float64) + 0.5) * (side / resized) - 0.5
        positions.clamp_(0, side - 1)
        low = positions.floor().int()
        high = (low + 1).clamp_(max=side - 1)
        share = (positions - low).float()
        self.wanted = wanted
        self.rows = low.to(device), high.to(device), share.view(1, -1, 1).to(device)
        # One index per value, not per pixel: gathering along the last axis is several times faster than copying blocks of three.
        offsets = torch.arange(channels, dtype=torch.int32)
        values = [(lines.view(-1, 1) * channels + offsets).view(-1).to(device) for lines in (low, high)]
        self.columns = values[0], values[1], share.repeat_interleave(channels).to(device)

    def __call__(self, images: Tensor) -> Tensor:
        """Float images (B, side, side, C) as (B, wanted, wanted, C)."""
        batch, height, width, channels = images.shape
        low, high, share = self.columns
        lines = images.reshape(batch * height, width * channels)
        mixed = torch.lerp(lines.index_select(1, low), lines.index_select(1, high), share).view(batch, height, -1)
        low, high, share = self.rows
        mixed = torch.lerp(mixed.index_select(1, low), mixed.index_select(1, high), share)
        return mixed.view(batch, self.wanted, self.wanted, channels)


def augment(images: Tensor, uniforms: Tensor, settings: Augmentation, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Training images, normalised float32 (B, 3, image_size, image_size), of uint8 (B, 3, H, W) and uniforms (B, UNIFORMS)."""
    augmented = _empty(len(images), settings.image_size, images.device, torch.float32)
    for part in _parts(len(images), images.device):
        augmented[part] = _augment_part(images[part], uniforms[part], settings, mean, std)
    return augmented


def _empty(batch: int, side: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.empty((batch, 3, side, side), device=device, dtype=dtype, memory_format=torch.channels_last)


def _parts(batch: int, device: torch.device) -> list[slice]:
    """The images that are worked on together: all of them on a GPU, CACHED_IMAGES on a CPU."""
    step = CACHED_IMAGES if device.type == "cpu" else max(batch, 1)
    return [slice(start, start + step) for start in range(0, batch, step)]


def _augment_part(
    images: Tensor, uniforms: Tensor, settings: Augmentation, mean: Sequence[float], std: Sequence[float]
) -> Tensor:
    floats = images.float().div_(255)
    grid = _grid(uniforms, settings, floats)
    floats = F.grid_sample(floats, grid, mode="bilinear", padding_mode="border", align_corners=False)
    if settings.published:
        floats = floats * (grid.abs() <= 1 + BORDER).all(dim=3).unsqueeze(1)
    if settings.grayscale:
        floats = _mix(floats, _luminance(floats), (uniforms[:, 6] < settings.grayscale).float())
    if settings.colour_jitter:
        jitter = _jitter_in_any_order if settings.published else _jitter
        floats = jitter(floats, uniforms[:, 7:11], settings.colour_jitter)
    if settings.blur:
        reach = min(WIDE_REACH, settings.image_size - 1) if settings.published else REACH
        floats = _blur(floats, uniforms[:, 11], uniforms[:, 12] < settings.blur, reach)
    normalised = _normalise(floats, mean, std)
    if settings.erase:
        # In bytes, where the published code erases, noise ends at black and white.
        ends = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)
        normalised = _erase(normalised, uniforms, settings.erase, _normalise(ends, mean, std) if settings.published else None)
    return normalised


def _grid(uniforms: Tensor, settings: Augmentation, images: Tensor) -> Tensor:
    """Where each output pixel is taken from: a random square, perhaps mirrored, perhaps turned: (B, size, size, 2) in -1..1."""
    low, high = settings.crop_area
    side = torch.sqrt(low + (high - low) * uniforms[:, 0])
    centre_x = (2 * uniforms[:, 1] - 1) * (1 - side)
    centre_y = (2 * uniforms[:, 2] - 1) * (1 - side)
    mirror = torch.where(uniforms[:, 3] < settings.flip, -1.0, 1.0)
    angle = torch.where(uniforms[:, 5] < 0.5, (2 * uniforms[:, 4] - 1) * math.radians(settings.rotate), 0.0)
    cosine, sine = torch.cos(angle) * side, torch.sin(angle) * side
    if settings.published:
        # Turned about the middle of the image, of which the crop is then cut.
        turn = torch.stack([torch.cos(angle), -torch.sin(angle), torch.sin(angle), torch.cos(angle)], dim=1).view(-1, 2, 2)
        centre_x, centre_y = (turn @ torch.stack([centre_x, centre_y], dim=1).unsqueeze(2)).squeeze(2).unbind(dim=1)
    theta = torch.stack(
        [torch.stack([cosine * mirror, -sine, centre_x], dim=1), torch.stack([sine * mirror, cosine, centre_y], dim=1)], dim=1
    ).to(images.dtype)
    size = [len(images), 3, settings.image_size, settings.image_size]
    return F.affine_grid(theta, size, align_corners=False)


def _luminance(images: Tensor) -> Tensor:
    weights = torch.tensor(LUMINANCE, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True).expand_as(images)


def _mix(images: Tensor, others: Tensor, share: Tensor) -> Tensor:
    """images * (1 - share) + others * share, with one share (B,) per image."""
    share = share.view(-1, 1, 1, 1)
    return images * (1 - share) + others * share


def _jitter(images: Tensor, uniforms: Tensor, strength: float) -> Tensor:
    """Brightness, contrast and saturation times 1 ± strength, in this order, for eight images of ten."""
    factors = 1 + strength * (2 * uniforms[:, :3] - 1)
    factors = torch.where(uniforms[:, 3:4] < 0.8, factors, torch.ones_like(factors))
    images = (images * factors[:, 0].view(-1, 1, 1, 1)).clamp(0, 1)
    mean = _luminance(images).mean(dim=(1, 2, 3), keepdim=True).expand_as(images)
    images = _mix(images, mean, 1 - factors[:, 1]).clamp(0, 1)
    return _mix(images, _luminance(images), 1 - factors[:, 2]).clamp(0, 1)


def _jitter_in_any_order(images: Tensor, uniforms: Tensor, strength: float) -> Tensor:
    """As `_jitter`, the three steps in an order of each image's own."""
    factors = 1 + strength * (2 * uniforms[:, :3] - 1)
    factors = torch.where(uniforms[:, 3:4] < 0.8, factors, torch.ones_like(factors))
    # The number that decides whether decides the order as well: below 0.8 it is as even as before.
    orders = torch.tensor(list(itertools.permutations(range(3))), device=images.device)
    order = orders[(uniforms[:, 3] / 0.8 * len(orders)).long().clamp(max=len(orders) - 1)]
    for step in order.unbind(dim=1):
        factor = factors.gather(1, step.unsqueeze(1)).squeeze(1)
        luminance = _luminance(images)
        start = (torch.zeros_like(images), luminance.mean(dim=(1, 2, 3), keepdim=True).expand_as(images), luminance)
        images = _mix(images, torch.stack(start)[step, torch.arange(len(images))], 1 - factor).clamp(0, 1)
    return images


def _blur(images: Tensor, uniforms: Tensor, chosen: Tensor, reach: int) -> Tensor:
    """A Gaussian blur of sigma 0.1 to 2 pixels for the chosen images; the kernel has `reach` pixels to each side."""
    sigma = 0.1 + 1.9 * uniforms
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernels = torch.exp(-0.5 * (offsets / sigma.view(-1, 1)) ** 2)
    identity = (offsets == 0).to(images.dtype).expand_as(kernels)
    kernels = torch.where(chosen.view(-1, 1), kernels / kernels.sum(dim=1, keepdim=True), identity)
    batch, channels, height, width = images.shape
    kernels = kernels.repeat_interleave(channels, dim=0)
    flat = F.pad(images, (reach, reach, reach, reach), mode="reflect").reshape(1, batch * channels, height + 2 * reach, -1)
    flat = F.conv2d(flat, kernels.view(-1, 1, 1, 2 * reach + 1), groups=batch * channels)
    flat = F.conv2d(flat, kernels.view(-1, 1, 2 * reach + 1, 1), groups=batch * channels)
    return flat.reshape(batch, channels, height, width)


def _erase(images: Tensor, uniforms: Tensor, probability: float, limits: Tensor | None) -> Tensor:
    """Noise in a rectangle of 2 to 33 % of the area, aspect 0.3 to 3.3, for some images; a function of the sample's numbers.

    With `limits` (2, 3, 1, 1) the noise is clipped to lowest and highest values of the channels.
    """
    size = images.shape[2]
    numbers = uniforms.cpu().double()
    erased = images.clone()
    for index in torch.nonzero(numbers[:, 13] < probability).flatten().tolist():
        row = numbers[index]
        area = (0.02 + (1 / 3 - 0.02) * float(row[14])) * size * size
        aspect = math.exp(math.log(0.3) + (math.log(1 / 0.3) - math.log(0.3)) * float(row[15]))
        height = min(size, max(1, round(math.sqrt(area * aspect))))
        width = min(size, max(1, round(math.sqrt(area / aspect))))
        # Place and noise come from digits of the sample's own numbers that decided nothing else.
        generator = torch.Generator().manual_seed(int(row[14] * 2**31) ^ int(row[15] * 2**30))
        top = int(torch.randint(0, size - height + 1, (1,), generator=generator))
        left = int(torch.randint(0, size - width + 1, (1,), generator=generator))
        noise = torch.randn((3, height, width), generator=generator)
        if limits is not None:
            noise = noise.clamp(limits[0], limits[1])
        erased[index, :, top : top + height, left : left + width] = noise.to(images.device, images.dtype)
    return erased
