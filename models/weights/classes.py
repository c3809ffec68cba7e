"""Class orders of the data sets that published expression models were trained on, and how outputs get into another order."""

from __future__ import annotations

from collections.abc import Sequence

from models.names import UnknownNameError
from models.weights.errors import WeightsError

PRESETS = {
    "abaw": ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other"),
    "affectnet": ("Neutral", "Happiness", "Sadness", "Surprise", "Fear", "Disgust", "Anger", "Contempt"),
    "affectnet7": ("Neutral", "Happiness", "Sadness", "Surprise", "Fear", "Disgust", "Anger"),
    "raf-db": ("Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral"),
    "ferplus": ("Neutral", "Happiness", "Surprise", "Sadness", "Anger", "Disgust", "Fear", "Contempt"),
}
"""Data set -> class names by label number: AffectNet (Mollahosseini et al. 2019; 0 Neutral … 7 Contempt), RAF-DB (Li et al. 2017;
labels 1 Surprise … 7 Neutral), FERPlus (Barsoum et al. 2016; columns of fer2013new.csv without unknown and
non-face); and ABAW's EXPR challenge (first line of the annotation files of Aff-Wild2)."""

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


def class_order(text: str) -> tuple[str, ...]:
    """A class order by a data set's name, or by the classes themselves with commas between them.

    Raises UnknownNameError for a single word that is no data set, WeightsError if a class is named twice.
    """
    if "," not in text:
        return preset(text)
    names = tuple(name.strip() for name in text.split(","))
    if len({canonical(name) for name in names}) != len(names) or "" in names:
        raise WeightsError("a class order names every class once", found=text)
    return names


def agreed_order(said: Sequence[str] | None, asked: Sequence[str] | None, outputs: int | None) -> tuple[str, ...] | None:
    """The class order of a file: what it says itself, or else what is asked for; None if neither is there.

    Raises WeightsError with both lists if the two differ, and if the file has another number of `outputs` than there are classes.
    """
    if said is not None and asked is not None and list(map(canonical, said)) != list(map(canonical, asked)):
        raise WeightsError(
            "the file says another class order than was named",
            found=", ".join(said),
            expected=", ".join(asked),
            remedy="name no class order; the file's own is taken",
        )
    order = said if said is not None else asked
    if order is None:
        return None
    if asked is not None and outputs is not None and len(order) != outputs:
        raise WeightsError(
            "the class order does not suit the number of outputs",
            found=f"{outputs} outputs",
            expected=f"{len(order)} classes: {', '.join(order)}",
            remedy="name the data set the classifier was trained on, or its classes with commas",
        )
    return tuple(order)


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
