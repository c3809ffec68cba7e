"""Which frames are seen at which step, and with which random numbers: functions of (seed, step, sample) and nothing else.

A pass is one drawing of the training frames: one frame from every block of `frame_step`, repeated by class, in a random order.
Pictures that are frames of no video stand for themselves: each is a block of its own.
Passes follow one another without a seam, so every batch is full, and step k takes the samples k*B .. (k+1)*B-1 of that endless
sequence whatever the number of workers or processes, and whether the run was interrupted or not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
from numpy.typing import NDArray

from harness.challenge import EXPR, Challenge
from harness.data.tracks import Track, is_labelled
from harness.errors import DataError
from harness.images.transforms import UNIFORMS

# Purposes keep streams of random numbers apart that share a seed.
_DRAW, _AUGMENT, _RESIDUE, _PICTURES, WINDOWS, MIX, OPERATIONS, PATHS, OWN, _TRACKS, _NEARBY = range(1, 12)


def stream(seed: int, purpose: int, index: int) -> np.random.Generator:
    """A generator that is a function of its three arguments: counter-based, so no state is stored or carried along."""
    return np.random.Generator(np.random.Philox(key=np.array([(seed << 8) | purpose, index], dtype=np.uint64)))


def augmentation_uniforms(seed: int, step: int, batch: int, count: int = UNIFORMS) -> NDArray[np.float32]:
    """The uniform numbers (batch, count) float32 in [0, 1) of a step's samples, over all processes."""
    return stream(seed, _AUGMENT, step).random((batch, count), dtype=np.float32)


def uniforms_for(purpose: int, seed: int, step: int, *shape: int) -> NDArray[np.float32]:
    """Uniform numbers float32 in [0, 1) of a step's samples, over all processes, for OPERATIONS, PATHS or OWN."""
    return stream(seed, purpose, step).random(shape, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class LabelledFrames:
    """Frames with a face and a label: `track` int32 (N,) index into the tracks, `frame` int32 (N,) 1-based, `label` int8 (N,).

    The labels of a challenge with several numbers in a row are (N, fields), as its tracks have them.

    Sorted by track, then frame. The last `pictures` rows are single pictures whose order means nothing.
    """

    track: NDArray[np.int32]
    frame: NDArray[np.int32]
    label: NDArray
    pictures: int = 0

    def __len__(self) -> int:
        return len(self.frame)


def labelled_frames(tracks: Sequence[Track], label_shift: int = 0, challenge: Challenge = EXPR) -> LabelledFrames:
    """All frames of `tracks` that have an image and any label.

    Label line k belongs to image k + label_shift; anything but 0 reproduces a fault (see the recipe key).
    """
    columns: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray]] = []
    for index, track in enumerate(tracks):
        if track.labels is None:
            continue
        line = track.frames - label_shift
        frames, line = track.frames[(line >= 1) & (line <= len(track.labels))], line[(line >= 1) & (line <= len(track.labels))]
        labels = track.labels[line - 1]
        known = is_labelled(labels, challenge).any(axis=1)
        columns.append((np.full(int(known.sum()), index, np.int32), frames[known].astype(np.int32), labels[known]))
    if not columns:
        return LabelledFrames(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int8))
    track_index, frame, label = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    return LabelledFrames(track_index, frame, label)


def with_pictures(frames: LabelledFrames, tracks: int, pictures: LabelledFrames) -> LabelledFrames:
    """`frames` of `tracks` tracks, then single pictures, whose tracks are counted on from there."""
    return LabelledFrames(
        np.concatenate([frames.track, pictures.track + np.int32(tracks)]),
        np.concatenate([frames.frame, pictures.frame]),
        np.concatenate([frames.label, pictures.label]),
        len(pictures),
    )


def class_shares(frames: LabelledFrames, frame_step: int, classes: int) -> NDArray[np.float64]:
    """The share of each class (C,) in a pass before balancing: every block of `frame_step` frames weighs the same."""
    starts, counts = _blocks(frames, frame_step)
    weights = np.repeat(1.0 / counts, counts)
    shares = np.bincount(frames.label, weights=weights, minlength=classes)
    return np.asarray(shares / len(starts), dtype=np.float64)


def repeat_factors(shares: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """max(1, sqrt(threshold / share)) per class (Gupta et al. 2019, LVIS, section 4.1); 1 for a class without frames."""
    present = shares > 0
    factors = np.ones_like(shares)
    factors[present] = np.maximum(1.0, np.sqrt(threshold / shares[present]))
    return factors


def _parts(frames: LabelledFrames) -> tuple[LabelledFrames, LabelledFrames]:
    """The frames of videos and the single pictures."""
    first = len(frames) - frames.pictures
    videos, pictures = (
        (frames.track[part], frames.frame[part], frames.label[part]) for part in (slice(None, first), slice(first, None))
    )
    return LabelledFrames(*videos), LabelledFrames(*pictures, frames.pictures)


def _blocks(frames: LabelledFrames, frame_step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the blocks of `frame_step` frame numbers of a track start in the table, and how many labelled frames each holds.

    A single picture is a block of its own.
    """
    block = frames.frame.astype(np.int64) - 1
    block[: len(frames) - frames.pictures] //= frame_step
    new = np.ones(len(frames), dtype=bool)
    new[1:] = (np.diff(block) != 0) | (np.diff(frames.track) != 0)
    starts = np.flatnonzero(new)
    counts = np.diff(np.append(starts, len(frames)))
    return starts, counts


class PassSequence:
    """Passes one after the other without a seam: step k takes the samples k*B .. (k+1)*B-1, so every batch is full.

    Parameters
    ----------
    draw : the samples of a pass (N, ...) by its number, a function of it alone; N may differ from pass to pass.
    """

    def __init__(self, draw: Callable[[int], NDArray[np.int64]]) -> None:
        self._draw = draw
        self._ends: list[int] = []
        self._latest: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def step(self, step: int, batch: int) -> NDArray[np.int64]:
        """The samples (batch, ...) of a step."""
        parts = []
        first, last = step * batch, (step + 1) * batch
        while first < last:
            index = self._pass_of(first)
            if self._latest[0] != index:
                self._latest = (index, self._draw(index))
            begin = self._ends[index - 1] if index else 0
            part = self._latest[1][first - begin : last - begin]
            parts.append(part)
            first += len(part)
        return np.concatenate(parts)

    def _pass_of(self, position: int) -> int:
        """The pass in which the sample at `position` of the endless sequence lies."""
        while not self._ends or self._ends[-1] <= position:
            length = len(self._draw(len(self._ends)))
            self._ends.append((self._ends[-1] if self._ends else 0) + length)
        return int(np.searchsorted(self._ends, position, side="right"))


@dataclass
class TrainingSampler:
    """The endless sequence of training samples of one run.

    Parameters
    ----------
    frames : what can be drawn.
    frame_step, frame_draw, balance, balance_threshold : recipe keys.
    classes : number of classes.
    seed : of the run.
    label_shift : recipe key; a fixed draw goes by the number of the label line.
    picture_share : the share of single pictures in a pass; None for each of them once. They are balanced by their own shares,
        and the frames of videos by theirs, so that neither changes how often the other's classes are repeated.
    """

    frames: LabelledFrames
    _: KW_ONLY
    frame_step: int
    frame_draw: str
    balance: str
    balance_threshold: float
    classes: int
    seed: int
    label_shift: int = 0
    picture_share: float | None = None

    def __post_init__(self) -> None:
        if len(self.frames) == 0:
            raise DataError("no labelled frame with an image to train on", remedy="`harness doctor` names what is missing")
        self.starts, self.counts = _blocks(self.frames, self.frame_step)
        self.first_picture = len(self.frames) - self.frames.pictures
        self.factors = np.ones((2, self.classes))
        for place, part in enumerate(_parts(self.frames)):
            if len(part) and self.balance != "none" and self._one_number:
                shares = class_shares(part, self.frame_step, self.classes)
                self.factors[place] = repeat_factors(shares, self.balance_threshold)
        self._fixed = self._fixed_draw() if self.frame_draw == "fixed" and self.frame_step > 1 else None
        self._sequence = PassSequence(self.pass_samples)

    @property
    def _one_number(self) -> bool:
        """Whether a frame's label is one class; nothing is repeated where it is several numbers."""
        return self.frames.label.ndim == 1

    def _fixed_draw(self) -> NDArray[np.int64]:
        """One residue of 1..step-1 per track, drawn once for the whole run.

        The index of the label's line, from 0, modulo the step must equal it, as in the published code.
        """
        tracks = int(self.frames.track.max()) + 1
        residue = stream(self.seed, _RESIDUE, 0).integers(1, self.frame_step, size=tracks)
        line = self.frames.frame - 1 - self.label_shift
        is_drawn = line % self.frame_step == residue[self.frames.track]
        is_drawn[self.first_picture :] = True
        chosen = np.flatnonzero(is_drawn)
        if len(chosen) == 0:
            raise DataError("the fixed draw of frames is empty: the tracks are too short", remedy="frame_draw: fresh")
        return chosen

    def pass_samples(self, index: int) -> NDArray[np.int64]:
        """The rows of the frame table that pass `index` sees, in order, repeats included."""
        random = stream(self.seed, _DRAW, index)
        if self._fixed is None:
            drawn = self.starts + (random.random(len(self.starts)) * self.counts).astype(np.int64)
        else:
            drawn = self._fixed
        is_picture = (drawn >= self.first_picture).astype(np.int64)
        factors = self.factors[is_picture, self.frames.label[drawn]] if self._one_number else np.ones(len(drawn))
        if self.balance == "copies":
            copies = np.ceil(factors - 1e-9).astype(np.int64)
        else:
            copies = np.floor(factors).astype(np.int64)
            copies += random.random(len(drawn)) < factors - copies
        samples = np.repeat(drawn, copies)
        if self.picture_share is not None:
            samples = self._with_share(samples, self.picture_share, index)
        return random.permutation(samples)

    def _with_share(self, samples: NDArray[np.int64], share: float, index: int) -> NDArray[np.int64]:
        """The frames of videos of a pass, and as many of its pictures as make the share: all of them so often, then some."""
        videos, pictures = (samples[part] for part in (samples < self.first_picture, samples >= self.first_picture))
        wanted = max(1, round(len(videos) * share / (1 - share)))
        whole, rest = divmod(wanted, len(pictures))
        some = stream(self.seed, _PICTURES, index).permutation(pictures)[:rest]
        return np.concatenate([videos, np.tile(pictures, whole), some])

    def step_samples(self, step: int, batch: int) -> NDArray[np.int64]:
        """The rows of the frame table (batch,) that step `step` sees, over all processes."""
        return self._sequence.step(step, batch)


class TrackSampler:
    """The endless sequence of training samples in which every track weighs the same, however long it is.

    A pass takes one frame of every track with images: one of its blocks of `frame_step` frames, and one frame of that. No batch
    within a pass shows a track twice.

    Parameters
    ----------
    frames : what can be drawn, without single pictures.
    frame_step : recipe key.
    seed : of the run.
    """

    def __init__(self, frames: LabelledFrames, frame_step: int, seed: int) -> None:
        if len(frames) == 0:
            raise DataError("no frame with an image to train on", remedy="`harness doctor` names what is missing")
        self.frames = frames
        self.seed = seed
        self._starts, self._counts = _blocks(frames, frame_step)
        _, self._first, self._number = np.unique(frames.track[self._starts], return_index=True, return_counts=True)
        self._sequence = PassSequence(self.pass_samples)

    def pass_samples(self, index: int) -> NDArray[np.int64]:
        """The rows of the frame table that pass `index` sees, in order: one of each track."""
        random = stream(self.seed, _TRACKS, index)
        block = self._first + (random.random(len(self._first)) * self._number).astype(np.int64)
        drawn = self._starts[block] + (random.random(len(block)) * self._counts[block]).astype(np.int64)
        return random.permutation(drawn)

    def step_samples(self, step: int, batch: int) -> NDArray[np.int64]:
        """The rows of the frame table (batch,) that step `step` sees, over all processes."""
        return self._sequence.step(step, batch)


class NearbyFrames:
    """Draws for a frame another of the same track that is not far from it in time.

    Parameters
    ----------
    frames : what can be drawn, sorted by track, then frame.
    reach : (tracks,) how many frames apart the two may be.
    seed : of the run.
    """

    def __init__(self, frames: LabelledFrames, reach: NDArray[np.int64], seed: int) -> None:
        self.frames = frames
        self.reach = reach
        self.seed = seed
        # One ascending number for track and frame, in which a track's frames are found by bisection.
        self._span = int(frames.frame.max(initial=0)) + 1
        self._place = frames.track.astype(np.int64) * self._span + frames.frame

    def step_partners(self, step: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """For the rows (B,) of the frame table that a step sees, over all processes, the row of the other frame of each pair.

        All other frames within reach are equally likely; a frame that has none is its own partner.
        """
        track, frame = self.frames.track[rows].astype(np.int64), self.frames.frame[rows].astype(np.int64)
        reach = self.reach[track]
        first = np.searchsorted(self._place, track * self._span + np.maximum(frame - reach, 0), "left")
        end = np.searchsorted(self._place, track * self._span + np.minimum(frame + reach, self._span - 1), "right")
        others = end - first - 1
        uniforms = uniforms_for(_NEARBY, self.seed, step, len(rows)).astype(np.float64)
        drawn = first + (uniforms * others).astype(np.int64)
        return np.where(others > 0, drawn + (drawn >= rows), rows)
