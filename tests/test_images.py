"""Decoding, augmentation and sampling: what a step sees."""

from __future__ import annotations

import io
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import functional as torchvision

from harness.data.tracks import Track
from harness.errors import DataError
from harness.images.batches import ImageRequest, read_batch
from harness.images.device import make_accelerator, scaler_settings
from harness.images.sampling import (
    LabelledFrames,
    TrainingSampler,
    augmentation_uniforms,
    class_shares,
    labelled_frames,
    repeat_factors,
)
from harness.images.transforms import UNIFORMS, Augmentation, augment, prepare_test

RNG = np.random.default_rng(0)
FACE = (np.add.outer(np.arange(24), np.arange(24)) * 5 % 256).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def make_track(folder: Path, frames: list[int], rows: int, labels: list[int] | None = None, name: str = "t") -> Track:
    directory = folder / name
    directory.mkdir(parents=True, exist_ok=True)
    for frame in frames:
        (directory / f"{frame:05d}.jpg").write_bytes(encoded(Image.fromarray(FACE), "JPEG"))
    array = None if labels is None else np.array(labels, np.int8)
    return Track(name, name, "train", rows, "annotation", np.array(frames, np.int32), array, directory)


def test_an_unreadable_image_is_marked_and_named_and_the_others_are_not_touched(tmp_path: Path) -> None:
    track = make_track(tmp_path, [1, 2, 3], 3)
    track.image_path(2).write_bytes(b"broken")
    track.image_path(3).unlink()
    batch = read_batch([ImageRequest(track, frame) for frame in (1, 2, 3)], 24, with_digests=True)
    assert batch.readable.tolist() == [True, False, False]
    assert [position for position, _ in batch.faults] == [1, 2]
    assert "00003.jpg" in batch.faults[1][1]
    assert batch.images.shape == (3, 3, 24, 24)
    assert batch.images[1].max() == 0
    assert batch.digests[2].sum() == 0


def test_label_line_k_is_image_k(tmp_path: Path) -> None:
    track = make_track(tmp_path, [1, 2, 4], 5, [0, 1, 2, 3, 4])
    frames = labelled_frames([track])
    assert list(zip(frames.frame.tolist(), frames.label.tolist(), strict=True)) == [(1, 0), (2, 1), (4, 3)]


def test_the_published_shift_pairs_a_line_with_the_image_before(tmp_path: Path) -> None:
    track = make_track(tmp_path, [1, 2, 4], 5, [0, 1, 2, 3, 4])
    frames = labelled_frames([track], label_shift=-1)
    assert list(zip(frames.frame.tolist(), frames.label.tolist(), strict=True)) == [(1, 1), (2, 2), (4, 4)]


def test_unlabelled_frames_and_missing_images_are_left_out(tmp_path: Path) -> None:
    track = make_track(tmp_path, [2, 3], 4, [5, -1, 6, 7])
    assert labelled_frames([track]).frame.tolist() == [3]


def table(tracks: int = 3, rows: int = 95, seed: int = 0) -> LabelledFrames:
    random = np.random.default_rng(seed)
    parts = []
    for index in range(tracks):
        frames = np.flatnonzero(random.random(rows) < 0.8) + 1
        parts.append((np.full(len(frames), index), frames, np.sort(random.integers(0, 4, len(frames)))))
    track, frame, label = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return LabelledFrames(track.astype(np.int32), frame.astype(np.int32), label.astype(np.int8))


def sampler(frames: LabelledFrames, **changes: Any) -> TrainingSampler:
    arguments: dict[str, Any] = {
        "frame_step": 10,
        "frame_draw": "fresh",
        "balance": "none",
        "balance_threshold": 0.15,
        "classes": 8,
        "seed": 3,
    }
    return TrainingSampler(frames, **{**arguments, **changes})


def blocks_of(frames: LabelledFrames, rows: NDArray[np.int64]) -> list[tuple[int, int]]:
    return [(int(frames.track[row]), (int(frames.frame[row]) - 1) // 10) for row in rows]


@given(st.integers(0, 10_000), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_a_pass_draws_one_frame_from_every_block_of_ten(seed: int, index: int) -> None:
    frames = table(seed=seed % 7)
    drawn = sampler(frames, seed=seed).pass_samples(index)
    wanted = set(blocks_of(frames, np.arange(len(frames))))
    assert sorted(blocks_of(frames, drawn)) == sorted(wanted)


def test_frames_of_two_tracks_are_never_one_block_though_their_numbers_are_near() -> None:
    # Two tracks shorter than a block: the last frame of one and the first of the other have numbers of the same ten.
    frames = LabelledFrames(np.array([0, 0, 1, 1], np.int32), np.array([2, 4, 5, 7], np.int32), np.array([0, 0, 1, 1], np.int8))
    for index in range(20):
        assert sorted(frames.track[sampler(frames).pass_samples(index)].tolist()) == [0, 1]
    assert class_shares(frames, 10, 2).tolist() == [0.5, 0.5]


def test_every_frame_is_reached_by_fresh_draws() -> None:
    frames = table()
    seen = set()
    for index in range(200):
        seen |= set(sampler(frames).pass_samples(index).tolist())
    assert seen == set(range(len(frames)))


def test_the_published_fixed_draw_sees_one_residue_of_1_to_9_per_track_for_ever() -> None:
    frames = table(tracks=8)
    one = sampler(frames, frame_draw="fixed")
    first = set(one.pass_samples(0).tolist())
    for index in range(1, 5):
        assert set(one.pass_samples(index).tolist()) == first
    for track in range(8):
        residues = {(int(frames.frame[row]) - 1) % 10 for row in first if frames.track[row] == track}
        assert len(residues) == 1
        assert residues <= set(range(1, 10))


def test_the_published_fixed_draw_with_the_published_shift_sees_the_images_the_published_code_saw() -> None:
    # There the label of index i, from 0, goes with image i, and i % 10 is a number of 1 to 9 per track.
    frames = table(tracks=12)
    rows = sampler(frames, frame_draw="fixed", label_shift=-1).pass_samples(0)
    drawn = list(zip(frames.track[rows].tolist(), frames.frame[rows].tolist(), strict=True))
    offsets = {track: image % 10 for track, image in drawn}
    assert set(offsets) == set(range(12))
    assert set(offsets.values()) <= set(range(1, 10))
    published = []
    for track, offset in offsets.items():
        images = set(frames.frame[frames.track == track].tolist())
        for index in range(96):
            if index % 10 == offset and index in images:
                published.append((track, index))
    assert sorted(drawn) == sorted(published)


def test_copies_of_the_published_shares_are_the_published_ones() -> None:
    # Shares in percent of the training frames and the copies they lead to with threshold 0.15.
    shares = np.array([30.1, 2.9, 1.9, 1.5, 16.2, 13.5, 5.4, 28.4]) / 100
    assert np.ceil(repeat_factors(shares, 0.15)).astype(int).tolist() == [1, 3, 3, 4, 1, 2, 2, 1]


def test_copies_repeat_each_drawn_frame_by_its_class() -> None:
    frames = table()
    plain = sampler(frames)
    balanced = sampler(frames, balance="copies", balance_threshold=0.6)
    factors = np.ceil(repeat_factors(class_shares(frames, 10, 8), 0.6)).astype(int)
    drawn, repeats = np.unique(balanced.pass_samples(4), return_counts=True)
    assert sorted(drawn.tolist()) == sorted(set(plain.pass_samples(4).tolist()))
    assert repeats.tolist() == factors[frames.label[drawn]].tolist()


def test_fractional_balancing_repeats_on_average() -> None:
    frames = table()
    balanced = sampler(frames, balance="fractional", balance_threshold=0.6)
    factors = repeat_factors(class_shares(frames, 10, 8), 0.6)
    counts = np.zeros(8)
    drawn = np.zeros(8)
    for index in range(400):
        rows, repeats = np.unique(balanced.pass_samples(index), return_counts=True)
        np.add.at(counts, frames.label[rows], repeats)
        np.add.at(drawn, frames.label[rows], 1)
    present = drawn > 0
    np.testing.assert_allclose(counts[present] / drawn[present], factors[present], rtol=0.04)


def test_a_class_without_frames_is_not_repeated() -> None:
    assert repeat_factors(np.array([0.0, 1.0]), 0.15).tolist() == [1.0, 1.0]


@given(st.integers(1, 40), st.integers(0, 60))
@settings(max_examples=30, deadline=None)
def test_the_batch_of_a_step_is_a_window_of_one_endless_sequence(batch: int, step: int) -> None:
    frames = table(tracks=2, rows=60)
    one = sampler(frames, balance="copies")
    sequence = np.concatenate([one.pass_samples(index) for index in range(2 + (step + 1) * batch // 8)])
    fresh = sampler(frames, balance="copies")
    np.testing.assert_array_equal(fresh.step_samples(step, batch), sequence[step * batch : (step + 1) * batch])


def test_nothing_to_train_on_is_said() -> None:
    with pytest.raises(DataError, match="no labelled frame"):
        sampler(LabelledFrames(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int8)))


def test_augmentation_is_a_function_of_seed_and_step() -> None:
    np.testing.assert_array_equal(augmentation_uniforms(1, 7, 4), augmentation_uniforms(1, 7, 4))
    assert not np.array_equal(augmentation_uniforms(1, 7, 4), augmentation_uniforms(1, 8, 4))
    assert not np.array_equal(augmentation_uniforms(2, 7, 4), augmentation_uniforms(1, 7, 4))


IMAGES = torch.from_numpy(RNG.integers(0, 255, (4, 3, 24, 24), dtype=np.uint8))
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


def test_a_test_image_is_resized_cut_and_normalised_as_by_hand() -> None:
    ready = prepare_test(IMAGES, 20, 32, MEAN, STD)
    for index in range(4):
        for channel in range(3):
            plane = IMAGES[index, channel].double().numpy() / 255
            positions = np.clip((np.arange(32) + 0.5) * 24 / 32 - 0.5, 0, 23)
            low = np.floor(positions).astype(int)
            high, share = np.minimum(low + 1, 23), positions - low
            rows = plane[low] * (1 - share)[:, None] + plane[high] * share[:, None]
            both = rows[:, low] * (1 - share) + rows[:, high] * share
            expected = (both[6:26, 6:26] - MEAN[channel]) / STD[channel]
            np.testing.assert_allclose(ready[index, channel].numpy(), expected, atol=2e-5)


def test_a_flipped_test_image_is_the_test_image_mirrored() -> None:
    plain = prepare_test(IMAGES, 20, 24, MEAN, STD)
    torch.testing.assert_close(prepare_test(IMAGES, 20, 24, MEAN, STD, flip=True), plain.flip(3), atol=1e-6, rtol=0)


def uniforms(**columns: float) -> torch.Tensor:
    values = torch.full((4, UNIFORMS), 0.5)
    for column, value in columns.items():
        values[:, int(column[1:])] = value
    return values


def test_a_whole_crop_without_flip_is_the_image() -> None:
    settings = Augmentation(24, (1.0, 1.0), flip=0.5)
    ready = augment(IMAGES, uniforms(u3=0.9), settings, MEAN, STD)
    torch.testing.assert_close(ready, prepare_test(IMAGES, 24, 24, MEAN, STD), atol=1e-5, rtol=0)


def test_a_flip_happens_below_its_probability() -> None:
    settings = Augmentation(24, (1.0, 1.0), flip=0.5)
    mirrored = augment(IMAGES, uniforms(u3=0.1), settings, MEAN, STD)
    torch.testing.assert_close(mirrored, prepare_test(IMAGES, 24, 24, MEAN, STD).flip(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("corner", "part"), [((0.0, 0.0), (0, 0)), ((1.0, 1.0), (12, 12)), ((1.0, 0.0), (12, 0))])
def test_a_quarter_crop_is_cut_from_where_its_numbers_say(corner: tuple[float, float], part: tuple[int, int]) -> None:
    settings = Augmentation(12, (0.25, 0.25), flip=0.0)
    ready = augment(IMAGES, uniforms(u1=corner[0], u2=corner[1]), settings, (0, 0, 0), (1, 1, 1))
    x, y = part
    torch.testing.assert_close(ready, IMAGES[:, :, y : y + 12, x : x + 12].float() / 255, atol=1e-5, rtol=0)


def test_a_sample_s_augmentation_does_not_depend_on_its_batch() -> None:
    settings = Augmentation(24, (0.6, 1.0), 0.5, 10, 0.2, 0.4, 0.5, 0.9)
    numbers = torch.from_numpy(augmentation_uniforms(0, 0, 4))
    together = augment(IMAGES, numbers, settings, MEAN, STD)
    for index in range(4):
        alone = augment(IMAGES[index : index + 1], numbers[index : index + 1], settings, MEAN, STD)
        torch.testing.assert_close(together[index : index + 1], alone, atol=1e-5, rtol=1e-5)


def test_all_augmentations_together_stay_finite_and_change_something() -> None:
    settings = Augmentation(24, (0.6, 1.0), 0.5, 10, 1.0, 0.4, 1.0, 1.0)
    ready = augment(IMAGES, torch.from_numpy(augmentation_uniforms(0, 0, 4)), settings, MEAN, STD)
    assert torch.isfinite(ready).all()
    assert not torch.allclose(ready, prepare_test(IMAGES, 24, 24, MEAN, STD), atol=0.1)


def test_a_turned_image_agrees_with_scipy() -> None:
    from scipy import ndimage

    smooth = torch.from_numpy(np.add.outer(np.arange(24) * 4, np.arange(24) * 3).astype(np.uint8)).expand(4, 3, 24, 24)
    settings = Augmentation(24, (1.0, 1.0), flip=0.0, rotate=20)
    ready = augment(smooth, uniforms(u4=1.0, u5=0.1), settings, (0, 0, 0), (1, 1, 1))[0, 0].numpy() * 255
    expected = ndimage.rotate(smooth[0, 0].numpy().astype(float), 20, reshape=False, order=1, mode="nearest")
    np.testing.assert_allclose(ready[6:18, 6:18], expected[6:18, 6:18], atol=0.5)


# The augmentations as published in small: published_augmentation.

COLOURED = 0.2 + 0.6 * torch.rand(4, 3, 24, 24, generator=torch.Generator().manual_seed(1))
COLOURS = (COLOURED * 255).round().byte()


def as_published(
    values: torch.Tensor, *, published: bool = True, images: torch.Tensor = COLOURS, **settings: float
) -> torch.Tensor:
    return augment(images, values, Augmentation(24, (1.0, 1.0), flip=0.0, published=published, **settings), (0, 0, 0), (1, 1, 1))


def test_published_rotation_turns_the_image_before_the_crop_and_fills_with_black() -> None:
    from scipy import ndimage

    smooth = torch.from_numpy((60 + np.add.outer(np.arange(48) * 2, np.arange(48) * 2)).astype(np.uint8)).expand(4, 3, 48, 48)
    values = uniforms(u4=1.0, u5=0.1, u1=0.0, u2=1.0)
    settings = Augmentation(24, (0.25, 0.25), flip=0.0, rotate=20, published=True)
    ready = augment(smooth, values, settings, (0, 0, 0), (1, 1, 1))[0, 0].numpy() * 255
    turned = ndimage.rotate(smooth[0, 0].numpy().astype(float), 20, reshape=False, order=1, mode="constant", cval=-999)
    # The lower left quarter of the turned image; along the rim of what is black the two interpolate differently.
    expected = turned[24:, :24]
    rim = ndimage.maximum_filter(expected < 0, 3) & ~ndimage.minimum_filter(expected < 0, 3)
    assert (expected < 0).sum() > 20
    np.testing.assert_allclose(ready[~rim], np.maximum(expected, 0)[~rim], atol=0.5)


def test_published_jitter_comes_in_each_of_the_six_orders() -> None:
    steps = (torchvision.adjust_brightness, torchvision.adjust_contrast, torchvision.adjust_saturation)
    factors = (1.3, 0.7, 1.2)
    seen = set()
    for number in np.linspace(0.01, 0.79, 60):
        values = uniforms(u7=0.875, u8=0.125, u9=0.75, u10=float(number))
        changed = as_published(values, colour_jitter=0.4)
        for order in itertools.permutations(range(3)):
            expected = COLOURS.float() / 255
            for step in order:
                expected = steps[step](expected, factors[step])
            if torch.allclose(changed, expected, atol=2e-3):
                seen.add(order)
    assert len(seen) == 6
    untouched = as_published(uniforms(u7=0.875, u8=0.125, u9=0.75, u10=0.85), colour_jitter=0.4)
    torch.testing.assert_close(untouched, COLOURS.float() / 255, atol=1e-5, rtol=0)


def test_published_blur_has_its_tails() -> None:
    values = uniforms(u11=1.0, u12=0.1)
    whole = torchvision.gaussian_blur(COLOURS.float() / 255, [17, 17], [2.0, 2.0])
    torch.testing.assert_close(as_published(values, blur=0.5), whole, atol=1e-5, rtol=0)
    assert float((as_published(values, blur=0.5, published=False) - whole).abs().max()) > 1e-3


def test_published_noise_is_a_colour() -> None:
    values = uniforms(u13=0.1, u14=0.9)
    erased, plain = (
        augment(COLOURS, values, Augmentation(24, (1.0, 1.0), flip=0.0, erase=0.5, published=published), MEAN, STD)
        for published in (True, False)
    )
    colours = erased * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    assert float(colours.min()) == pytest.approx(0, abs=1e-5)
    assert float(colours.max()) == pytest.approx(1, abs=1e-5)
    within = (colours > 1e-4) & (colours < 1 - 1e-4)
    assert torch.equal(erased[within], plain[within])
    assert not torch.equal(erased, plain)


def test_one_process_may_compute_in_one_precision_and_then_in_another() -> None:
    assert make_accelerator("bf16").mixed_precision == "bf16"
    assert make_accelerator("fp32").mixed_precision == "no"
    assert make_accelerator("bf16").mixed_precision == "bf16"
    assert make_accelerator("fp32").mixed_precision == "no"


def scale_after(loss_scale: float, gradients: list[float]) -> list[float]:
    """The loss scale after steps with these gradients, on torch's own scaler."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scaler = torch.amp.GradScaler("cpu", **scaler_settings(loss_scale).to_kwargs())
    scales = []
    for gradient in gradients:
        torch.autograd.backward(scaler.scale(parameter.sum()))
        assert parameter.grad is not None
        parameter.grad.fill_(gradient)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        scales.append(scaler.get_scale())
    return scales


def test_a_loss_scale_is_kept_whatever_happens_and_none_is_found_while_training() -> None:
    gradients = [1.0, math.inf, math.nan, *[1.0] * 2100, math.inf]
    assert set(scale_after(512, gradients)) == {512.0}
    followed = scale_after(0, gradients)
    assert followed[0] == 65536
    assert followed[1] == 32768
    assert max(followed[3:]) > followed[2]


def test_the_accelerator_gets_the_loss_scale() -> None:
    assert make_accelerator("fp32", 512).scaler_handler.init_scale == 512
    assert make_accelerator("fp32").scaler_handler.init_scale == 65536
