"""Values that are legal and yet look wrong. Every rule here is a warning, and says nothing about short or few tracks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Challenge
from harness.findings import Findings
from harness.submission import catalogue
from harness.words import percent

# Rows of a track from which one constant answer is remarkable: 3 to 13 seconds at the rates of the data set.
ROWS_TO_VARY = 100
# Tracks from which borders can be counted, and how improbable it has to be that so many are crossed by one answer.
TRACKS_TO_COUNT_BORDERS = 8
IMPROBABLE = 1e-4
# Rows from which the official shares of classes are a measure for an answer. Half the sum of the differences to the training
# labels is 0.11 for the official validation labels, 0.38 for a uniform guess.
ROWS_TO_COMPARE_SHARES = 10_000
FAR_SHARES = 0.35


def check_plausibility(
    values: Mapping[str, NDArray[Any]],
    files: Mapping[str, str],
    whole: str,
    challenge: Challenge,
    training_frames: Sequence[int],
    findings: Findings,
) -> None:
    """Looks at the values (rows, fields) of each track, in order.

    `files` names the file of each track, `whole` the one a finding about all of them is said of. `training_frames` are the
    labelled training frames by class, empty if they are not known.
    """
    filled = {name: array for name, array in values.items() if len(array)}
    if not filled:
        return
    constant = {name for name, array in filled.items() if (array == array[0]).all()}
    rows = sum(len(array) for array in filled.values())
    firsts = np.array([array[0] for array in filled.values()])
    if len(constant) == len(filled) and rows >= ROWS_TO_VARY and (firsts == firsts[0]).all():
        findings.add(catalogue.FILE_CONSTANT, whole, None, _describe_row(firsts[0], challenge))
        return
    for name in constant:
        if len(filled[name]) >= ROWS_TO_VARY:
            found = f"{_describe_row(filled[name][0], challenge)} in all {len(filled[name]):,} rows of {name}"
            findings.add(catalogue.TRACK_CONSTANT, files[name], None, found)
    _check_borders(firsts, np.array([array[-1] for array in filled.values()]), whole, findings)
    _check_shares(filled, whole, challenge, training_frames, findings)


def _check_borders(firsts: NDArray[Any], lasts: NDArray[Any], whole: str, findings: Findings) -> None:
    """Compares how many tracks begin as the one before ended with how many would by chance."""
    borders = len(firsts) - 1
    if borders + 1 < TRACKS_TO_COUNT_BORDERS:
        return
    held = int((firsts[1:] == lasts[:-1]).all(axis=1).sum())
    both, index = np.unique(np.concatenate([firsts[1:], lasts[:-1]]), axis=0, return_inverse=True)
    index = index.reshape(-1)
    share_first = np.bincount(index[:borders], minlength=len(both)) / borders
    share_last = np.bincount(index[borders:], minlength=len(both)) / borders
    chance = float(share_first @ share_last)
    if held > borders * chance and _tail(held, borders, chance) < IMPROBABLE:
        findings.add(
            catalogue.LABELS_HELD, whole, None, f"{held} of {borders} borders", f"about {borders * chance:.0f} by chance"
        )


def _tail(successes: int, trials: int, probability: float) -> float:
    """The probability of at least so many successes (binomial distribution)."""
    if not 0 < probability < 1:
        return 1.0 if probability >= 1 else 0.0
    logs = [
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(probability)
        + (trials - k) * math.log1p(-probability)
        for k in range(successes, trials + 1)
    ]
    return math.fsum(math.exp(log) for log in logs)


def _check_shares(
    values: Mapping[str, NDArray[Any]], whole: str, challenge: Challenge, training_frames: Sequence[int], findings: Findings
) -> None:
    column = challenge.class_field
    classes = len(challenge.class_names)
    if column is None or len(training_frames) != classes or not sum(training_frames):
        return
    counts = np.sum([np.bincount(array[:, column].astype(np.int64), minlength=classes) for array in values.values()], axis=0)
    if counts.sum() < ROWS_TO_COMPARE_SHARES:
        return
    found = counts / counts.sum()
    wanted = np.array(training_frames) / sum(training_frames)
    if np.abs(found - wanted).sum() / 2 > FAR_SHARES:
        findings.add(catalogue.CLASS_SHARES, whole, None, _shares(found, challenge), _shares(wanted, challenge))


def _shares(shares: NDArray[np.float64], challenge: Challenge) -> str:
    largest = np.argsort(-shares, kind="stable")[:3]
    return ", ".join(f"{challenge.class_names[label]} {percent(shares[label])}" for label in largest.tolist()) + ", ..."


def _describe_row(row: NDArray[Any], challenge: Challenge) -> str:
    if len(row) == 1:
        return challenge.class_names[int(row[0])]
    return ",".join(f"{value:g}" for value in row.tolist())
