"""Class bias: what to add to the log probabilities so that the macro-F1 of the decisions is highest."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.kinds.optimise import Floats, minimise
from harness.kinds.probabilities import log_probabilities
from harness.kinds.temperature import fit_temperature

# How nearly the softened decision is the largest probability: logits are multiplied by this.
SHARPNESS = 4.0

# Pull towards no bias, per mean squared bias; chosen on outside models of another data set, where 0.003 to 0.01 did equally well.
RIDGE = 0.003


def fit_bias(probabilities: ArrayLike, labels: ArrayLike, tuned: ArrayLike) -> tuple[float, ...]:
    """Biases (C,) that maximise the soft macro-F1 of the classes marked in `tuned` (C,); all others keep 0.

    Soft counts take each frame's sharpened probabilities for its decision, which makes F1 a smooth function whose maximum can be
    found by its gradient; a small ridge holds classes back of which the labels say little. That is done at the temperature at
    which the probabilities come true, so that models which are too sure of themselves are held back as well, and the biases are
    given for the probabilities as they are. Frames (N, C), labels (N,).
    """
    temperature = fit_temperature(probabilities, labels)
    logits = log_probabilities(probabilities) / temperature
    truth = np.eye(logits.shape[1])[np.asarray(labels, dtype=np.int64)]
    free = np.flatnonzero(np.asarray(tuned, dtype=bool))
    bias = np.zeros(logits.shape[1])
    if not len(truth) or not len(free):
        return tuple(bias.tolist())

    def loss(values: Floats) -> tuple[float, Floats]:
        bias[free] = values
        score, gradient = soft_macro_f1(logits + bias, truth, free)
        return RIDGE * float((values**2).mean()) - score, 2.0 * RIDGE * values / len(values) - gradient

    bias[free] = (temperature * minimise(loss, np.zeros(len(free)))).round(4)
    return tuple(bias.tolist())


def soft_macro_f1(logits: Floats, truth: Floats, classes: NDArray[np.int64]) -> tuple[float, Floats]:
    """Mean F1 of `classes` (K,) from soft counts, and its gradient (K,) by a bias of each of them.

    `logits` (N, C), `truth` (N, C) one-hot. The soft count of a decision is the softmax of SHARPNESS times the logits.
    """
    sharp = SHARPNESS * (logits - logits.max(axis=1, keepdims=True))
    said = np.exp(sharp)
    said /= said.sum(axis=1, keepdims=True)
    correct = (said * truth).sum(axis=0)[classes]
    both = (said.sum(axis=0) + truth.sum(axis=0))[classes]
    f1 = np.divide(2.0 * correct, both, out=np.zeros_like(both), where=both > 0)
    # How the mean changes with the decision of each frame for each class, then with the bias behind the softmax.
    slope = np.zeros_like(said)
    slope[:, classes] = (2.0 * truth[:, classes] - f1) / np.maximum(both, np.finfo(np.float64).tiny) / len(classes)
    through = (said * slope).sum(axis=1, keepdims=True)
    gradient = SHARPNESS * (said * (slope - through)).sum(axis=0)[classes]
    return float(f1.mean()), gradient
