"""How far foreign answers agree with labels, and whether another order of the file's classes would agree much better.

A wrong order is the one mistake that no check of the numbers can see: rows sum to 1 all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from harness.data.tracks import DataRoot
from harness.runs.foreign_columns import CLASS_ORDERS

SURELY_BETTER = 0.1
"""By how much the mean recall has to rise for another order to be worth a word. Of two exchanged classes of eight, each recalled
for two thirds, it rises by a sixth."""


@dataclass(frozen=True)
class Agreement:
    """What foreign answers and labels of a split say together.

    Attributes
    ----------
    split : whose labels.
    frames : labelled frames that the file answers.
    accuracy, recall : share of them answered as labelled, and the mean of that share over the labelled classes.
    better : the order of classes by which the mean recall would be much higher, in words; "" for none.
    better_recall : that mean recall.
    """

    split: str
    frames: int
    accuracy: float
    recall: float
    better: str = ""
    better_recall: float = 0.0


def agreements(
    track: NDArray[np.str_], frame: NDArray[np.int64], values: NDArray[np.float64], classes: Sequence[str], root: DataRoot
) -> Iterator[Agreement]:
    """The agreement with each labelled split that an array answers.

    `values` (N, classes of the challenge) are probabilities in the challenge's order, of rows that `track` and `frame` (N,) name;
    `classes` is the order that the file is said to have.
    """
    names = root.challenge.class_names
    answers = values.argmax(axis=1)
    order = np.argsort(track, kind="stable")
    found, starts = np.unique(track[order], return_index=True)
    rows = dict(zip(found.tolist(), np.split(order, starts[1:]), strict=True))
    for split in dict.fromkeys(one.split for one in root.tracks):
        counts = np.zeros((len(names), len(names)), np.int64)
        for one in root.tracks:
            if one.split == split and one.labels is not None and one.name in rows:
                mine = rows[one.name]
                labels = np.asarray(one.labels)[frame[mine] - 1].astype(np.int64)
                known = labels >= 0
                np.add.at(counts, (labels[known], answers[mine][known]), 1)
        if counts.any():
            yield _agreement(split, counts, names, classes)


def _agreement(split: str, counts: NDArray[np.int64], names: Sequence[str], classes: Sequence[str]) -> Agreement:
    """From counts (labels, answers) by the order that the file is said to have."""
    recall = _mean_recall(counts, names, classes, classes)
    other = {words: _mean_recall(counts, names, classes, order) for words, order in _orders(classes).items()}
    better = max(other, key=lambda words: other[words])
    accuracy = float(np.trace(counts) / counts.sum())
    if other[better] < recall + SURELY_BETTER:
        return Agreement(split, int(counts.sum()), accuracy, recall)
    return Agreement(split, int(counts.sum()), accuracy, recall, better, other[better])


def _mean_recall(counts: NDArray[np.int64], names: Sequence[str], said: Sequence[str], order: Sequence[str]) -> float:
    """Mean recall of the labelled classes if the file's columns, said to be `said`, were `order`."""
    recalls = []
    for place, name in enumerate(names):
        total = counts[place].sum()
        if total:
            column = names.index(said[order.index(name)]) if name in order else None
            recalls.append(0.0 if column is None else float(counts[place, column] / total))
    return float(np.mean(recalls))


def _orders(classes: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Other orders that a file's columns may have, in words: those of known data sets, counted from 1, two exchanged."""
    own = tuple(classes)
    known = {f"in the order {name} (--classes {name})": order for name, order in CLASS_ORDERS.items() if len(order) == len(own)}
    from_one = {"counted from 1, so that each column is the class before": (own[-1], *own[:-1])}
    swaps = {}
    for first, second in combinations(range(len(own)), 2):
        swapped = list(own)
        swapped[first], swapped[second] = own[second], own[first]
        swaps[f"with {own[first]} and {own[second]} exchanged (--classes {','.join(swapped)})"] = tuple(swapped)
    return {words: order for words, order in {**known, **from_one, **swaps}.items() if order != own}
