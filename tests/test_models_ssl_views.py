"""Global transformations: each does what its name says, as torchvision does it, and is a function of its own numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as torchvision

from models.ssl.views import CROP_AND_FLIP, VIEW_UNIFORMS, ViewSettings, make_view, sampling_points, view_sheet

UNTOUCHED = ViewSettings((1, 1), 0, 0, (1, 1), 0, 0, grayscale=0, blur=(0, 0), solarize=(0, 0))
COLUMNS = (
    "AREA CENTRE_X CENTRE_Y FLIP ANGLE SCALE SHIFT_X SHIFT_Y JITTER BRIGHTNESS CONTRAST SATURATION HUE GRAY BLUR SIGMA SOLAR"
)


def pictures(count: int = 2, size: int = 32) -> Tensor:
    """Smooth coloured pictures in 0.2 to 0.8."""
    noise = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return 0.2 + 0.6 * F.interpolate(noise, size=(size, size), mode="bicubic", align_corners=False).clamp(0, 1)


def middle(count: int = 2, **values: float) -> Tensor:
    """Numbers that change nothing where the settings are symmetric, with some set by name."""
    uniforms = torch.full((count, VIEW_UNIFORMS), 0.5)
    for name, value in values.items():
        uniforms[:, COLUMNS.split().index(name)] = value
    return uniforms


def view(images: Tensor, uniforms: Tensor, settings: ViewSettings, size: int = 32, first: bool = True) -> Tensor:
    return make_view(images, uniforms, settings, size, (0, 0, 0), (1, 1, 1), first=first)


def test_nothing_done_is_the_image_itself_normalised() -> None:
    images = pictures()
    assert torch.allclose(view(images, middle(), UNTOUCHED), images, atol=1e-5)
    normalised = make_view(images, middle(), UNTOUCHED, 32, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), first=True)
    expected = torchvision.normalize(images, [0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
    assert torch.allclose(normalised, expected, atol=1e-4)
    bytes_ = (images * 255).round().byte()
    assert torch.allclose(view(bytes_, middle(), UNTOUCHED), bytes_.float() / 255, atol=1e-5)


def test_mirroring_is_exact() -> None:
    images = pictures()
    mirrored = view(images, middle(FLIP=0.4), replace(UNTOUCHED, flip=0.5))
    assert torch.allclose(mirrored, images.flip(3), atol=1e-5)
    assert torch.allclose(view(images, middle(FLIP=0.6), replace(UNTOUCHED, flip=0.5)), images, atol=1e-5)


def test_a_crop_of_a_quarter_in_a_corner_is_that_corner_enlarged() -> None:
    images = pictures()
    settings = replace(UNTOUCHED, crop_area=(0.25, 1.0))
    cropped = view(images, middle(AREA=0, CENTRE_X=0, CENTRE_Y=1), settings)
    expected = F.interpolate(images[:, :, 15:, :17], size=(34, 34), mode="bilinear", align_corners=False)
    # Away from the crop's rim, where the neighbours beyond it count.
    assert torch.allclose(cropped[:, :, 3:-2, 2:-3], expected[:, :, 5:-2, 2:-5], atol=1e-5)


def test_a_turn_a_shift_and_a_scale_move_a_point_as_they_should() -> None:
    size = 64
    middle_pixel = size * size // 2 + size // 2
    settings = replace(UNTOUCHED, rotation=90.0)
    # A quarter turn: the pixel right of the middle shows what lies below the middle.
    points = sampling_points(middle(1, ANGLE=1.0), settings, size)[0]
    assert torch.allclose(points[middle_pixel + 10] - points[middle_pixel], torch.tensor([0.0, 10 / size]), atol=1e-6)
    shifted = sampling_points(middle(1, SHIFT_X=1.0), replace(UNTOUCHED, shift=0.1), size)[0]
    still = sampling_points(middle(1), UNTOUCHED, size)[0]
    # The face moves right, so a pixel shows what lay left of it.
    assert torch.allclose(shifted, still - torch.tensor([0.1, 0.0]), atol=1e-6)
    larger = sampling_points(middle(1, SCALE=1.0), replace(UNTOUCHED, scale=(0.5, 2.0)), size)[0]
    assert torch.allclose(larger - 0.5, (still - 0.5) / 2, atol=1e-6)


def test_default_crops_see_no_point_outside_but_by_the_small_motion() -> None:
    uniforms = torch.rand(200, VIEW_UNIFORMS, generator=torch.Generator().manual_seed(0))
    still = replace(ViewSettings(), rotation=0.0, shift=0.0, scale=(1.0, 1.0))
    points = sampling_points(uniforms, still, 16)
    assert points.min() >= 0
    assert points.max() <= 1
    spans = (points.amax(dim=1) - points.amin(dim=1)) * 16 / 15
    assert spans.square().min() >= 0.6 - 1e-3


def test_brightness_contrast_and_saturation_are_torchvisions() -> None:
    images = pictures()
    settings = replace(UNTOUCHED, jitter=1.0, hue=0.0, brightness=0.4, contrast=0.4, saturation=0.2)
    changed = view(images, middle(BRIGHTNESS=0.75, CONTRAST=0.0, SATURATION=1.0), settings)
    expected = torchvision.adjust_brightness(images, 1.2)
    expected = torchvision.adjust_contrast(expected, 0.6)
    expected = torchvision.adjust_saturation(expected, 1.2)
    assert torch.allclose(changed, expected, atol=1e-3)


def test_a_turned_hue_keeps_luminance_and_a_whole_turn_is_none() -> None:
    images = pictures()
    settings = replace(UNTOUCHED, jitter=1.0, brightness=0, contrast=0, saturation=0, hue=0.1)
    turned = view(images, middle(HUE=1.0), settings)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    assert (turned - images).abs().max() > 0.01
    inside = ((turned > 0) & (turned < 1)).all(dim=1)
    assert torch.allclose((turned * weights).sum(1)[inside], (images * weights).sum(1)[inside], atol=1e-3)
    whole = view(images, middle(HUE=1.0), replace(settings, hue=1.0))
    assert torch.allclose(whole, images, atol=1e-3)
    # A third of a turn takes red towards green.
    red = torch.tensor([0.6, 0.3, 0.3]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    third = view(red, middle(1, HUE=1.0), replace(settings, hue=1 / 3))[0, :, 5, 5]
    assert third.argmax() in (1, 2)


def test_grayscale_is_torchvisions() -> None:
    images = pictures()
    gray = view(images, middle(GRAY=0.1), replace(UNTOUCHED, grayscale=0.2))
    assert torch.allclose(gray, torchvision.rgb_to_grayscale(images, 3), atol=1e-3)
    assert torch.allclose(view(images, middle(GRAY=0.3), replace(UNTOUCHED, grayscale=0.2)), images, atol=1e-5)


def test_blur_is_torchvisions_with_a_sigma_that_shrinks_with_the_image() -> None:
    images = pictures(size=112)
    settings = replace(UNTOUCHED, blur=(1.0, 0.0), blur_sigma=(0.2, 2.0))
    blurred = view(images, middle(SIGMA=1.0), settings, size=112)
    assert torch.allclose(blurred, torchvision.gaussian_blur(images, [7, 7], [1.0, 1.0]), atol=1e-5)
    assert torch.allclose(view(images, middle(), settings, size=112, first=False), images, atol=1e-5)


def test_solarizing_inverts_the_bright_half_of_other_views_than_the_first() -> None:
    images = pictures()
    settings = replace(UNTOUCHED, solarize=(0.0, 1.0))
    assert torch.allclose(view(images, middle(), settings, first=False), torchvision.solarize(images, 0.5), atol=1e-4)
    assert torch.allclose(view(images, middle(), settings, first=True), images, atol=1e-5)


def test_far_larger_images_are_averaged_before_they_are_sampled() -> None:
    stripes = torch.zeros(1, 3, 128, 128)
    stripes[..., ::2] = 1
    assert torch.allclose(view(stripes, middle(1), UNTOUCHED, size=32), torch.full((1, 3, 32, 32), 0.5), atol=1e-5)


@pytest.mark.parametrize("settings", [ViewSettings(), CROP_AND_FLIP])
def test_a_view_depends_on_its_own_image_and_numbers_alone(settings: ViewSettings) -> None:
    images = pictures(6)
    uniforms = torch.rand(6, VIEW_UNIFORMS, generator=torch.Generator().manual_seed(3))
    before = torch.random.get_rng_state()
    together = view(images, uniforms, settings, first=False)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.allclose(view(images[2:3], uniforms[2:3], settings, first=False), together[2:3], atol=1e-6)
    assert torch.equal(view(images, uniforms, settings, first=False), together)
    assert together.isfinite().all()


def test_the_contact_sheet_shows_the_pictures_side_by_side() -> None:
    images = pictures()
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    normalised = torchvision.normalize(images, list(mean), list(std))
    sheet = view_sheet([normalised, normalised.flip(3)], mean, std)
    assert sheet.shape == (32 * 2 + 2, 32 * 2 + 2, 3)
    expected = (images[1] * 255).round().byte().permute(1, 2, 0)
    assert (sheet[34:, :32].int() - expected.int()).abs().max() <= 1
    assert (sheet[32:34] == 255).all()
