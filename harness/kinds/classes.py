"""A class: one column of scores for each, softmax, the most probable one, a confusion matrix, macro-F1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.challenge import Field
from harness.kinds.bias import fit_bias
from harness.kinds.confusion import confusion
from harness.kinds.decode import decode
from harness.kinds.f1 import accuracy, class_f1, class_scores, macro_f1
from harness.kinds.part import ByHand, Floats, Measure, Setting
from harness.kinds.probabilities import soften, softmax
from harness.kinds.temperature import fit_temperature
from harness.kinds.weights import fit_weights


@dataclass(frozen=True)
class ClassPart:
    """A field that holds the number of a class; see harness.kinds.part.Part.

    Its sums are the confusion matrix (C, C), rows are labels, row after row. Its adjustment is a bias (C,) that is added to the
    logarithms of the probabilities. `judged` marks the classes whose mean is macro-F1, None all of them.
    """

    field: Field
    class_names: tuple[str, ...]
    judged: tuple[bool, ...] | None = None

    @property
    def name(self) -> str:
        """The field's name."""
        return self.field.name

    @property
    def fields(self) -> tuple[Field, ...]:
        """The one field."""
        return (self.field,)

    @property
    def columns(self) -> tuple[str, ...]:
        """The classes."""
        return self.class_names

    @property
    def size(self) -> int:
        """Cells of the confusion matrix."""
        return len(self.class_names) ** 2

    @property
    def integral(self) -> bool:
        """Frames are counted."""
        return True

    @property
    def neutral(self) -> tuple[float, ...]:
        """No bias."""
        return (0.0,) * len(self.class_names)

    @property
    def called(self) -> str:
        """ "classes"."""
        return "classes"

    @property
    def shares(self) -> bool:
        """Probabilities sum to 1."""
        return True

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Temperature, override of smoothing by sure frames, and the decoder of whole tracks."""
        return ("temperature", "override", "decoder")

    @property
    def adjusted_by(self) -> str:
        """A bias."""
        return "class bias"

    @property
    def by_hand(self) -> tuple[ByHand, ...]:
        """A bias."""
        return ("class_bias",)

    @property
    def noun(self) -> str:
        """A class."""
        return "class"

    @property
    def strata(self) -> tuple[str, ...]:
        """The classes."""
        return self.class_names

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """macro_f1, accuracy, and f1, precision and recall of each class."""
        pooled = [Measure("macro_f1", 0.0, 1.0, self._macro_f1), Measure("accuracy", 0.0, 1.0, self._accuracy)]
        single = [
            Measure(f"{what}_{name}", 0.0, 1.0, partial(self._of_class, what=what, index=index), name)
            for what in ("f1", "precision", "recall")
            for index, name in enumerate(self.class_names)
        ]
        return (*pooled, *single)

    @property
    def pooled(self) -> tuple[Measure, ...]:
        """macro_f1 and accuracy."""
        return tuple(measure for measure in self.measures if not measure.column)

    def judging(self, judged: tuple[bool, ...]) -> ClassPart:
        """The same with macro-F1 over the marked classes."""
        return replace(self, judged=judged)

    def activate(self, scores: ArrayLike, temperature: float = 1.0) -> Floats:
        """Softmax of scores (S, C) over the temperature."""
        return softmax(scores, temperature)

    def soften(self, values: ArrayLike, temperature: float = 1.0) -> Floats:
        """Probabilities (S, C) at another temperature; at 1 they are as they came."""
        return np.asarray(values, dtype=np.float64) if temperature == 1.0 else soften(values, temperature)

    def sureness(self, values: ArrayLike) -> Floats:
        """The largest probability (R,)."""
        largest: Floats = np.asarray(values, dtype=np.float64).max(axis=1)
        return largest

    def decode(self, values: ArrayLike, adjustment: ArrayLike | None = None) -> NDArray[np.int8]:
        """The class with the largest p e^b (R, 1)."""
        return decode(values, adjustment)[:, None]

    def adjusted(self, adjustment: Sequence[float], setting: ByHand, column: int, number: float) -> tuple[float, ...]:
        """With another bias of one class."""
        return (*adjustment[:column], float(number), *adjustment[column + 1 :])

    def sums(self, labels: ArrayLike, answers: ArrayLike) -> NDArray[np.int64]:
        """The confusion matrix (C C,)."""
        return confusion(labels, answers, len(self.class_names)).reshape(-1)

    def label_sums(self, sums: NDArray) -> NDArray:
        """Labelled frames of each class (..., C)."""
        frames: NDArray = self.matrix(sums).sum(axis=-1)
        return frames

    def frames(self, sums: NDArray) -> NDArray:
        """The sum of the matrix (...)."""
        counted: NDArray = sums.sum(axis=-1)
        return counted

    def support(self, sums: NDArray) -> NDArray:
        """The same: a class is judged by the frames that are labelled so."""
        return self.label_sums(sums)

    def contrasts(self, sums: NDArray) -> NDArray:
        """The same, of one kind (..., 1, C)."""
        return self.label_sums(sums)[..., None, :]

    def in_words(self, adjustment: Sequence[float]) -> str:
        """What is added to the logarithms of the probabilities."""
        return " ".join(f"{value:+.2f}" for value in adjustment)

    def certain(self, answers: NDArray) -> Floats:
        """All probability for the class: (R, C)."""
        return np.eye(len(self.class_names))[answers[:, 0].astype(np.int64)]

    def likeness(self, sums: NDArray) -> Floats:
        """Accuracy (...)."""
        return self._accuracy(sums)

    def error(self, sums: NDArray) -> Floats:
        """The share of wrong answers (...)."""
        return np.asarray(1.0 - self._accuracy(sums))

    def varied(self, sums: NDArray, frames: int) -> NDArray[np.bool_]:
        """Whether two classes have so many frames (...)."""
        return np.asarray((self.label_sums(sums) >= frames).sum(axis=-1) >= 2)

    def fit_weights(self, values: Sequence[NDArray], labels: ArrayLike, judged: ArrayLike) -> Floats:
        """By macro-F1 and by likelihood."""
        known = np.asarray(labels).reshape(-1)
        truth = known[known >= 0].astype(np.int64)
        return fit_weights([one[known >= 0] for one in values], truth, np.asarray(judged, dtype=bool))

    def column_frames(self, sums: NDArray) -> NDArray:
        """Labelled frames of each class (..., C)."""
        return self.label_sums(sums)

    def column_scores(self, sums: NDArray) -> Floats:
        """F1 of each class (..., C)."""
        return class_f1(self.matrix(sums))

    def nearness(self, sums: NDArray) -> Floats:
        """The share of right decisions (...)."""
        return self._accuracy(sums)

    def confusion(self, sums: NDArray) -> NDArray:
        """The confusion matrix (..., C, C)."""
        return self.matrix(sums)

    def constant(self, sums: NDArray) -> Floats:
        """The most frequent class (1,): of f frames of N it has the F1 2 f / (f + N)."""
        return np.array([self.label_sums(sums).argmax()], dtype=np.float64)

    def prior(self, sums: NDArray) -> Floats:
        """Class shares (..., C); equal ones without any label."""
        frames = self.label_sums(sums).astype(np.float64)
        total = frames.sum(axis=-1, keepdims=True)
        equal = np.full(frames.shape, 1.0 / len(self.class_names))
        shares: Floats = np.divide(frames, total, out=equal, where=total > 0)
        return shares

    def count(self, labels: ArrayLike) -> NDArray[np.int64]:
        """Labelled frames of each class (C,)."""
        known = np.asarray(labels).reshape(-1)
        return np.bincount(known[known >= 0].astype(np.int64), minlength=len(self.class_names))

    def fit_temperature(self, values: ArrayLike, labels: ArrayLike) -> float:
        """The temperature with the smallest negative log-likelihood of the labels."""
        return fit_temperature(*self._labelled(values, labels))

    def fit(self, values: ArrayLike, labels: ArrayLike, judged: ArrayLike) -> tuple[float, ...]:
        """The bias with the highest soft macro-F1 of the judged classes."""
        return fit_bias(*self._labelled(values, labels), judged)

    def matrix(self, sums: NDArray) -> NDArray:
        """Sums (..., C C) as confusion matrices (..., C, C)."""
        classes = len(self.class_names)
        return sums.reshape(*sums.shape[:-1], classes, classes)

    def _labelled(self, values: ArrayLike, labels: ArrayLike) -> tuple[NDArray, NDArray]:
        known = np.asarray(labels).reshape(-1)
        return np.asarray(values)[known >= 0], known[known >= 0]

    def _macro_f1(self, sums: NDArray) -> Floats:
        matrix = self.matrix(sums)
        if self.judged is None:
            return macro_f1(matrix)
        mean: Floats = class_f1(matrix)[..., np.array(self.judged)].mean(axis=-1)
        return mean

    def _accuracy(self, sums: NDArray) -> Floats:
        return accuracy(self.matrix(sums))

    def _of_class(self, sums: NDArray, what: str, index: int) -> Floats:
        scores: Floats = getattr(class_scores(self.matrix(sums)), what)[..., index]
        return scores
