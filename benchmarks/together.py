"""Two commands that write the same place, started together and delayed at random where they rename.

What they leave is compared with what the one, the other, or one after the other leaves: one result, the other, or a refusal,
never a mixture. The commands run in forked processes (see forked.py).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import forked
from benchmarks.forked import Ended
from harness import errors, files
from harness.data.folds import fold_tracks, make_folds, write_folds
from harness.data.scan import scan

LONGEST_DELAY = 0.05
"""Seconds for which a process sleeps at most before a file is opened or renamed."""
DELAYED = ("open", "rename", "directory-sync", "directory-rename", "directory-aside", "directory-discard")

Contents = Callable[[Path], Mapping[str, str]]


@dataclass(frozen=True)
class Pair:
    """Two commands.

    Attributes
    ----------
    begun : the folder that both begin in.
    both : whether neither may be refused, because they write different parts of a run.
    withheld : the folder of an answer that is not written where the run it would be of is out of date by then.
    """

    first: Sequence[str]
    second: Sequence[str]
    begun: Path
    both: bool = False
    withheld: str = ""

    @property
    def name(self) -> str:
        """The two commands, as far as they differ from others."""
        return " and ".join(" ".join(words[:6]) for words in (self.first, self.second))


def delayed(seed: int, without_exchange: bool) -> Callable[[], None]:
    """Prepares a process to sleep at its writes, and to find a file system that cannot exchange two names."""

    def prepare() -> None:
        random = np.random.default_rng(seed)

        def sleep(stage: str) -> None:
            if stage in DELAYED:
                time.sleep(float(random.uniform(0, LONGEST_DELAY)))

        files.set_stage_hook(sleep)
        if without_exchange:
            files._exchange = lambda first, second: False

    return prepare


class Together:
    """Plays pairs in folders below `place`, whose contents are told by `contents`."""

    def __init__(self, place: Path, contents: Contents) -> None:
        self._place = place
        self._contents = contents
        self._allowed: dict[int, list[Mapping[str, str]]] = {}
        self._count = 0

    def play(self, pair: Pair, random: np.random.Generator) -> str | None:
        """What is wrong after the two were started together; None if nothing is."""
        place = self._folder(pair.begun)
        without_exchange = bool(random.integers(2))
        starting = [
            forked.start(words, place, prepare=delayed(int(seed), without_exchange))
            for words, seed in zip((pair.first, pair.second), random.integers(1 << 31, size=2), strict=True)
        ]
        ended = [wait() for wait in starting]
        fault = _fault(pair, ended)
        found = self._contents(place)
        shutil.rmtree(place)
        if fault is None and found not in self._results(pair):
            fault = f"a mixture: {_nearest(found, self._results(pair))}"
        return fault and f"{pair.name}{' without exchange' * without_exchange}: {fault}"

    def _results(self, pair: Pair) -> list[Mapping[str, str]]:
        """What may be there in the end: made once for a pair."""
        if id(pair) not in self._allowed:
            orders: list[Sequence[Sequence[str]]] = [(pair.first, pair.second), (pair.second, pair.first)]
            orders += [] if pair.both else [(pair.first,), (pair.second,)]
            found = [self._after(pair.begun, commands) for commands in orders]
            without = [{name: digest for name, digest in one.items() if not name.startswith(pair.withheld)} for one in found]
            self._allowed[id(pair)] = [*found, *(without if pair.withheld else [])]
        return self._allowed[id(pair)]

    def _after(self, begun: Path, commands: Sequence[Sequence[str]]) -> Mapping[str, str]:
        place = self._folder(begun)
        for command in commands:
            forked.run(command, place)
        found = self._contents(place)
        shutil.rmtree(place)
        return found

    def _folder(self, begun: Path) -> Path:
        self._count += 1
        return Path(shutil.copytree(begun, self._place / f"together-{self._count}"))


def _fault(pair: Pair, ended: Sequence[Ended]) -> str | None:
    codes = [one.code for one in ended]
    allowed = (errors.EXIT_DONE,) if pair.both else (errors.EXIT_DONE, errors.EXIT_DATA)
    for one in ended:
        if one.code not in allowed or "Traceback" in one.output:
            return f"ended with {one.code}: {one.output.strip()[-600:]}"
    return None if errors.EXIT_DONE in codes else f"both were refused: {ended[0].output[-300:]} {ended[1].output[-300:]}"


def _nearest(found: Mapping[str, str], results: Sequence[Mapping[str, str]]) -> str:
    """What differs from the result that differs least."""
    unlike = [sorted(name for name in found.keys() | result.keys() if found.get(name) != result.get(name)) for result in results]
    return ", ".join(min(unlike, key=len)[:6])


@dataclass(frozen=True)
class Materials:
    """What pairs are made of.

    Attributes
    ----------
    data : a data root.
    empty, trained, two : folders with nothing, with the run `a` trained and predicted, and with a second run `b` like it.
    train : arguments that train the run `a` anew or on.
    """

    data: Path
    empty: Path
    trained: Path
    two: Path
    train: Sequence[str]


def pairs(have: Materials) -> Iterator[Pair]:
    """Every two commands that write the same run, submission or file."""
    data, work = ("--data", str(have.data)), ("--workers", "0", "--batch", "16")
    train = partial(_joined, have.train)
    predict = partial(_joined, ["predict", "a", *data, *work])
    for folder in (have.empty, have.trained, have.two):
        for name, seed, splits in (("one.npz", 1, ["val"]), ("other.npz", 2, ["val"]), ("tested.npz", 3, ["val", "test"])):
            if not (folder / name).exists():
                _outside(folder / name, have.data, seed, splits)
    imports = [["import", name, *data] for name in ("one.npz", "other.npz")]
    averages = [
        ["ensemble", "a", "b", "--run", "e", "--weights", weights, *data, "--fresh"] for weights in ("0.9,0.1", "0.1,0.9")
    ]
    yield Pair(train("--fresh", "--seed", "1"), train("--fresh", "--seed", "2"), have.trained)
    yield Pair(train("--fresh", "--seed", "1"), [*imports[0], "--fresh"], have.trained)
    # Not with a training: what is predicted meanwhile is of the checkpoint that there is, and says so.
    yield Pair([*imports[0], "--fresh"], predict("--split", "val"), have.trained)
    yield Pair(train("--seed", "1"), imports[0], have.empty)
    yield Pair(imports[0], imports[1], have.empty)
    yield Pair([*imports[0], "--fresh"], [*imports[1], "--fresh"], have.trained)
    yield Pair(averages[0], averages[1], have.two)
    yield Pair(predict("--split", "val"), predict("--split", "test"), have.trained, both=True)
    yield Pair(
        predict("--split", "test", "--shard", "1/2"), predict("--split", "test", "--shard", "2/2"), have.trained, both=True
    )
    yield Pair(predict("--split", "test", "--flip"), predict("--split", "test", "--flip"), have.trained)
    yield Pair(["features", "a", *data, *work], ["features", "a", *data, *work], have.trained)
    yield Pair(["tune", "a", *data], ["tune", "a", "--seed", "7", *data], have.trained, both=True)
    yield Pair(["evaluate", "a", "--split", "val", *data], ["tune", "a", *data], have.trained, both=True)
    yield Pair(
        ["predict", "a", "--from-scores", *data],
        ["predict", "a", "--from-scores", "--smooth", "2", *data],
        have.trained,
        both=True,
    )
    replaced = ["import", "tested.npz", *data, "--fresh"]
    for other in (["features", "a", *data, *work], ["tune", "a", *data], ["evaluate", "a", "--split", "val", *data]):
        yield Pair(replaced, other, have.trained)
    for other in (["predict", "a", "--from-scores", *data], predict("--split", "test")):
        yield Pair(replaced, other, have.two)
    # An ensemble of scores that are replaced before its answer is written is made, and its answer refused.
    yield Pair(replaced, ["ensemble", "a", "b", *data, "--run", "e"], have.two, withheld="submissions/e/")
    yield Pair(["best", *data], ["best", "--most", "1", *data], have.two)
    folds = have.data.with_name("folds.json")
    tracks = fold_tracks(scan(have.data))
    write_folds(folds, make_folds(tracks, 2, seed=0))
    folded = ["crossval", *have.train[1:], "--folds", str(folds), "--run", "cv", "--fresh"]
    yield Pair([*folded, "--seed", "1"], [*folded, "--seed", "2"], have.empty)
    yield Pair(["folds", *data], ["folds", "--folds", "2", *data], have.empty, both=True)


def _joined(words: Sequence[str], *more: str) -> list[str]:
    return [*words, *more]


def _outside(path: Path, data: Path, seed: int, splits: Sequence[str]) -> None:
    """Probabilities of some splits, whose run is called `a`."""
    tracks = [track for split in splits for track in scan(data).split(split)]
    frames = np.concatenate([track.frames for track in tracks])
    names = np.concatenate([np.full(len(track.frames), track.name) for track in tracks])
    values: NDArray[np.float32] = np.random.default_rng(seed).dirichlet(np.ones(8), len(frames)).astype(np.float32)
    np.savez(path, track=names, frame=frames, a=values)
