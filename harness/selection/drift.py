"""How test differs from validation in what needs no labels: answers, how sure they are, missing faces, size and light of faces.

A score on validation holds for recordings like those of validation. What differs is told beside what halves of validation differ
by; recordings are exchanged between the two splits at random to see what chance does.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.crops import image_bytes
from harness.data.image_files import UnreadableImageError, read_header
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError
from harness.kinds.part import Floats
from harness.runs.store import Run
from harness.selection.alarms import FEWEST_RECORDINGS, StoredAnswers
from harness.words import number

EXCHANGES = 2000
SIGNIFICANT = 0.05

# So many images of a track are looked at, evenly spaced: those of a recording resemble each other.
IMAGES_OF_A_TRACK = 3


@dataclass(frozen=True)
class Drift:
    """Something in which two splits differ by more than chance.

    Attributes
    ----------
    what : in words.
    here, there : its mean over the recordings of the first split and of the second.
    halves : what 95 of 100 halves of the first differ by at most.
    p_value : how often exchanging recordings makes anything that is measured differ as much; so it is corrected for their number.
    """

    what: str
    here: float
    there: float
    halves: float
    p_value: float

    def in_words(self, split: str, other: str) -> str:
        """The finding as one sentence."""
        p_value = "p < .001" if self.p_value < 0.001 else f"p = {number(self.p_value)}"
        return (
            f"{other} differs from {split} in {self.what}: {self.there:.3g} in a recording, not {self.here:.3g} "
            f"({p_value}; halves of {split} differ by {self.halves:.2g})"
        )


def warnings_of(run: Run, root: DataRoot, split: str) -> list[str]:
    """In what test differs from validation as a run answers them, one sentence each, the clearest first.

    Nothing is said of another `split` than validation: out of fold each track has one model and test their mean, which answers
    otherwise.
    """
    return [one.in_words("val", "test") for one in drift_of_run(run, root)] if split == "val" else []


def drift_of_run(run: Run, root: DataRoot, split: str = "val", other: str = "test") -> list[Drift]:
    """In what the tracks of two splits, as a run answers them, differ by more than chance; nothing where one is not scored."""
    answers = StoredAnswers(run, root)
    found = [_of_recordings(answers, name) for name in (split, other)]
    if min(map(len, found)) < FEWEST_RECORDINGS:
        return []
    names = sorted(set.intersection(*(set(one) for recordings in found for one in recordings)))
    here, there = (np.array([[one[name] for name in names] for one in recordings]) for recordings in found)
    return drift(names, here, there)


def drift(names: Sequence[str], here: NDArray, there: NDArray, seed: int = 0) -> list[Drift]:
    """The columns, by their `names`, in which recordings (R, k) and (T, k) differ by more than chance, the clearest first.

    Each difference of means is told in standard deviations of all recordings, and the largest of any column is what chance has to
    beat: of splits that do not differ, at most one in twenty gives any finding (Westfall and Young 1993, Resampling-Based
    Multiple Testing).
    """
    generator, together = np.random.default_rng(seed), np.concatenate([here, there])
    deviations = together.std(axis=0)
    kept = deviations > 0
    scaled = (together[:, kept] - together[:, kept].mean(axis=0)) / deviations[kept]
    if not kept.any():
        return []

    def apart(orders: NDArray[np.int64], first: int, values: Floats) -> Floats:
        """How far the means (n, k) of the `first` of values (R, k) in each of the orders (n, R) are from those of the rest."""
        chosen = np.zeros(orders.shape)
        np.put_along_axis(chosen, orders[:, :first], 1.0, axis=1)
        rest = len(values) - first
        difference: Floats = chosen @ values / first - (1.0 - chosen) @ values / rest
        return np.abs(difference)

    observed = apart(np.arange(len(together))[None], len(here), scaled)[0]
    orders = generator.permuted(np.tile(np.arange(len(together)), (EXCHANGES, 1)), axis=1)
    largest = apart(orders, len(here), scaled).max(axis=1)
    # What was observed is one of the exchanges, so that no p-value is 0.
    p_values = (1 + (largest[:, None] >= observed - 1e-12).sum(axis=0)) / (1 + EXCHANGES)
    orders = generator.permuted(np.tile(np.arange(len(here)), (EXCHANGES, 1)), axis=1)
    halves = np.quantile(apart(orders, len(here) // 2, here[:, kept]), 0.95, axis=0)
    found = [
        Drift(names[column], float(here[:, column].mean()), float(there[:, column].mean()), float(half), float(p_value))
        for column, half, p_value in zip(np.flatnonzero(kept).tolist(), halves, p_values, strict=True)
        if p_value <= SIGNIFICANT
    ]
    places = {names[column]: -float(size) for column, size in zip(np.flatnonzero(kept).tolist(), observed, strict=True)}
    return sorted(found, key=lambda one: places[one.what])


def _of_recordings(answers: StoredAnswers, split: str) -> list[dict[str, float]]:
    """What is measured of each recording of a split: the mean over its tracks."""
    tracks: dict[str, list[Mapping[str, float]]] = {}
    for track in answers.tracks(split):
        known = answers.of(split, track.name)
        if len(known.frames):
            tracks.setdefault(track.recording, []).append({**_of_answers(answers, split, track), **_of_images(track)})
    found = []
    for several in tracks.values():
        names = set.intersection(*map(set, several))
        found.append({name: float(np.mean([one[name] for one in several])) for name in names})
    return found


def _of_answers(answers: StoredAnswers, split: str, track: Track) -> dict[str, float]:
    known, parts = answers.of(split, track.name), answers.parts
    said = parts.certain(known.answers).mean(axis=0)
    words = [
        f"the mean {name} of the answers" if own.part.called == "values" else f"the share of answers {name}"
        for own in parts.placed
        for name in own.part.columns
    ]
    seen = np.zeros(track.rows)
    seen[track.frames - 1] = 1.0
    missing = 1.0 - float(track.of_lines(seen).mean())
    return {
        **dict(zip(words, said.tolist(), strict=True)),
        "the confidence of its answers": known.sureness,
        "the share of frames without a face": missing,
    }


def _of_images(track: Track) -> dict[str, float]:
    """The side of a track's images in pixels and their mean brightness in 0..1, as far as they can be read here."""
    sides, lights = [], []
    for place in np.unique(np.linspace(0, len(track.frames) - 1, IMAGES_OF_A_TRACK).astype(int)).tolist():
        try:
            data = image_bytes(track, int(track.frames[place]))
            header = read_header(data)
        except (DataError, UnreadableImageError, OSError, IndexError):
            continue
        sides.append(float(np.sqrt(header.width * header.height)))
        lights += _light(data)
    return {
        **({"the size of the face images in pixels": float(np.mean(sides))} if sides else {}),
        **({"the brightness of the face images": float(np.mean(lights))} if lights else {}),
    }


def _light(data: bytes) -> list[float]:
    """The mean brightness of an image in 0..1; nothing where it or Pillow cannot be read."""
    try:
        from PIL import Image

        with Image.open(io.BytesIO(data)) as image:
            return [float(np.asarray(image.convert("L"), dtype=np.float64).mean() / 255)]
    except (ImportError, OSError, ValueError, SyntaxError):
        return []
