"""Class orders of the data sets that published expression models were trained on, and how outputs get into another order."""

from __future__ import annotations

from collections.abc import Sequence

from models.names import UnknownNameError
from models.weights.errors import WeightsError

PRESETS = {
    "affectnet": ("Neutral", "Happiness", "Sadness", "Surprise", "Fear", "Disgust", "Anger", "Contempt"),
    "affectnet7": ("Neutral", "Happiness", "Sadness", "Surprise", "Fear", "Disgust", "Anger"),
    "raf-db": ("Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral"),
    "ferplus": ("Neutral", "Happiness", "Surprise", "Sadness", "Anger", "Disgust", "Fear", "Contempt"),
}
"""Data set -> class names by label number: AffectNet (Mollahosseini et al. 2019; 0 Neutral … 7 Contempt), RAF-DB (Li et al. 2017;
labels 1 Surprise … 7 Neutral), FERPlus (Barsoum et al. 2016; columns of fer2013new.csv without unknown and non-face)."""

SPELLINGS = {
    "neutral": ("neutral", "neutrality", "ne", "natural"),
    "happiness": ("happiness", "happy", "joy", "ha"),
    "sadness": ("sadness", "sad", "sa"),
    "surprise": ("surprise", "surprised", "su"),
    "fear": ("fear", "afraid", "fearful", "fe"),
    "disgust": ("disgust", "disgusted", "di"),
    "anger": ("anger", "angry", "an"),
    "contempt": ("contempt", "co"),
    "other": ("other", "others"),
}
"""Name of an expression -> how data sets and repositories write it, in lower case."""


def preset(name: str) -> tuple[str, ...]:
    """The class names of a data set. Raises UnknownNameError naming the presets."""
    if name.lower() not in PRESETS:
        raise UnknownNameError("class preset", name, PRESETS)
    return PRESETS[name.lower()]


def canonical(name: str) -> str:
    """The one spelling of an expression's name; a name that is not known, in lower case."""
    lower = name.strip().lower()
    return next((expression for expression, spellings in SPELLINGS.items() if lower in spellings), lower)


def output_order(found: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """For each wanted class the output of a model whose classes are `found`.

    Raises WeightsError with both lists unless they name the same classes.
    """
    have, want = [canonical(name) for name in found], [canonical(name) for name in wanted]
    if len(set(have)) != len(have) or sorted(have) != sorted(want):
        raise WeightsError(
            "the classifier has other classes than are wanted",
            found=", ".join(found),
            expected=", ".join(wanted),
            remedy="load the backbone alone; its classifier is trained anew",
        )
    return [have.index(name) for name in want]
