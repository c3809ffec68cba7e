"""Simulated validation sets whose classes sit in as few recordings as the official ones do, and simulated models on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.kinds.f1 import macro_f1

# Frames of each class, recordings that have the class, and share of the recording that has most of them. Made up, but the three
# rare classes are as concentrated as teams published of the official EXPR validation set: Anger in 14 recordings and 70 % in
# one of them, Disgust in 12 and 83 %, Fear in 10 and 65 %.
FRAMES = (80_000, 6_000, 5_000, 8_000, 35_000, 25_000, 12_000, 110_000)
RECORDINGS = (60, 14, 12, 10, 50, 18, 25, 45)
LARGEST_SHARE = (0.20, 0.70, 0.83, 0.65, 0.15, 0.25, 0.25, 0.15)
SIZE = 70

# Correct share of each class of a middling model, an excellent one and a poor one.
MIDDLING = (0.65, 0.35, 0.30, 0.25, 0.60, 0.50, 0.40, 0.50)
EXCELLENT = (0.90, 0.80, 0.80, 0.80, 0.90, 0.85, 0.80, 0.85)
POOR = (0.60, 0.10, 0.05, 0.02, 0.50, 0.40, 0.10, 0.50)


def concentrated_counts(seed: int = 0) -> NDArray[np.int64]:
    """Frames (70, 8) of each class in each recording."""
    generator = np.random.default_rng(seed)
    counts = np.zeros((SIZE, len(FRAMES)), dtype=np.int64)
    for column, (frames, recordings, largest) in enumerate(zip(FRAMES, RECORDINGS, LARGEST_SHARE, strict=True)):
        shares = np.exp(-3.0 * np.arange(1, recordings) / recordings)
        shares = np.concatenate([[largest], (1.0 - largest) * shares / shares.sum()])
        counts[generator.permutation(SIZE)[:recordings], column] = np.round(frames * shares)
    return counts


def even_counts(seed: int = 0) -> NDArray[np.int64]:
    """Frames (70, 8) of recordings that are alike: the same shares of classes in each."""
    return np.random.default_rng(seed).multinomial(2000, np.array(FRAMES) / sum(FRAMES), SIZE).astype(np.int64)


def moods(recordings: int, classes: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """How recordings move what a model says (R, C, C): once for all frames, and once for each class."""
    of_all = generator.standard_normal((recordings, 1, classes))
    return of_all + generator.standard_normal((recordings, classes, classes))


@dataclass(frozen=True)
class Model:
    """A model that errs more on some recordings than on others.

    `recall` (C,) is its usual share of correct frames; `spread` the standard deviation, in logits, of how a recording moves what
    it says, once for all frames and once for each class.
    """

    recall: tuple[float, ...] = MIDDLING
    spread: float = 0.7

    def usual_logits(self, frames: NDArray[np.int64]) -> NDArray[np.float64]:
        """Logarithms (C, C) of what it says of each class on a recording that does not move it; errors go to frequent classes."""
        shares = np.zeros((len(self.recall), len(self.recall)))
        for label, recall in enumerate(self.recall):
            others = frames.astype(np.float64) ** 0.7
            others[label] = 0.0
            shares[label] = (1.0 - recall) * others / others.sum()
            shares[label, label] = recall
        return np.log(shares)

    def confusions(
        self, counts: NDArray[np.int64], usual: NDArray[np.float64], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """What it says (R, C, C) of the frames (R, C) of each recording."""
        return self.in_moods(counts, usual, moods(len(counts), counts.shape[1], generator))

    def in_moods(self, counts: NDArray[np.int64], usual: NDArray[np.float64], moods: NDArray[np.float64]) -> NDArray[np.int64]:
        """The same where it is known how each recording moves it, in standard deviations (R, C, C)."""
        moved = usual + self.spread * moods
        shares = np.exp(moved - moved.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        # Rounding the running sums keeps the number of frames of each label.
        up_to = np.round(counts[:, :, None] * np.cumsum(shares, axis=-1)).astype(np.int64)
        frames: NDArray[np.int64] = np.diff(up_to, axis=-1, prepend=0)
        return frames


@dataclass(frozen=True)
class Population:
    """Infinitely many recordings like those of `counts` (R, C), as `model` sees them."""

    counts: NDArray[np.int64]
    model: Model

    def draw(self, recordings: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Confusion matrices (recordings, C, C) of recordings drawn at random."""
        drawn = self.counts[generator.integers(0, len(self.counts), recordings)]
        return self.model.confusions(drawn, self.model.usual_logits(self.counts.sum(axis=0)), generator)

    def true_confusion(self, generator: np.random.Generator, times: int = 400) -> NDArray[np.float64]:
        """The confusion matrix (C, C) of the whole population, up to a factor."""
        usual = self.model.usual_logits(self.counts.sum(axis=0))
        total = np.zeros((self.counts.shape[1], self.counts.shape[1]))
        for _ in range(times):
            total += self.model.confusions(self.counts, usual, generator).sum(axis=0)
        return total

    def true_macro_f1(self, generator: np.random.Generator) -> float:
        """The macro-F1 that infinitely many recordings would give."""
        return float(macro_f1(self.true_confusion(generator)))
