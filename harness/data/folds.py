"""Folds over recordings: both persons of a recording in one fold, rare classes, units and values spread over all folds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import EXPR, Challenge
from harness.data.csv_table import read_columns
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError, MismatchError, UsageError, first_of
from harness.kinds.parts import parts_of
from harness.words import counted

FORMAT = 1
LARGEST_FILE = 16 * 1024 * 1024
# Rounds of improvement; the 312 recordings of the official training and validation sets took 4 to 8 with twenty seeds.
MOST_ROUNDS = 20
_WHOLE = re.compile(r"-?[0-9]{1,9}")


@dataclass(frozen=True)
class Folds:
    """Which fold each recording of training and validation is in.

    Attributes
    ----------
    count : number of folds, at least 2.
    seed : what the folds were drawn from; None for folds of a team's own.
    fold_of : fold 0 .. count - 1 by recording.
    """

    count: int
    seed: int | None
    fold_of: Mapping[str, int]

    def training(self, tracks: Iterable[Track], fold: int) -> tuple[Track, ...]:
        """The tracks outside of a fold. Raises UsageError if there is no such fold."""
        self._check(fold)
        return tuple(track for track in tracks if self.fold_of[track.recording] != fold)

    def validation(self, tracks: Iterable[Track], fold: int) -> tuple[Track, ...]:
        """The tracks of a fold. Raises UsageError if there is no such fold."""
        self._check(fold)
        return tuple(track for track in tracks if self.fold_of[track.recording] == fold)

    def _check(self, fold: int) -> None:
        if not 0 <= fold < self.count:
            raise UsageError(f"there is no fold {fold}", expected=f"0 to {self.count - 1}")


def fold_tracks(data: DataRoot) -> tuple[Track, ...]:
    """The tracks folds are made of: training and validation together, each once."""
    return tuple(track for track in data.tracks if track.split in ("train", "val"))


def make_folds(tracks: Sequence[Track], count: int, seed: int, challenge: Challenge = EXPR) -> Folds:
    """Draws folds that share out the labelled frames, and the recordings, of each stratum as evenly as they can be.

    A stratum is a class, a unit where it is active, or a part of a value's range; see `Part.strata`. Each counts the same,
    however rare: what is made small is the sum over strata and folds of the squared distance from 1/count of the fold's share
    in the frames of the stratum, and of its share in the recordings that show it. All rows are shared out likewise, with the
    weight of one stratum. Recordings are dealt out greedily, the one that holds most of a stratum first, and then moved and
    exchanged while that helps. The seed decides between what is equally good.

    Raises DataError if there are fewer recordings than folds.
    """
    recordings = sorted({track.recording for track in tracks})
    if count < 2 or len(recordings) < count:
        raise DataError(
            f"cannot make {count} folds", found=counted(len(recordings), "recording"), expected="2 folds or more, none empty"
        )
    shares = _shares(tracks, recordings, challenge)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(recordings))
    order = order[np.argsort(-shares[order].max(axis=1), kind="stable")]
    fold_of = np.full(len(recordings), -1)
    loads = np.zeros((count, shares.shape[1]))
    # Every recording has rows, so an empty fold is always cheaper than a filled one, and none stays empty.
    for recording in order:
        costs = ((loads + shares[recording] - 1 / count) ** 2 - (loads - 1 / count) ** 2).sum(axis=1)
        fold = int(np.argmin(costs))
        fold_of[recording] = fold
        loads[fold] += shares[recording]
    _improve(fold_of, loads, shares, generator)
    return Folds(count, seed, {name: int(fold) for name, fold in zip(recordings, fold_of, strict=True)})


def _shares(tracks: Sequence[Track], recordings: Sequence[str], challenge: Challenge) -> NDArray[np.float64]:
    """(recordings, 2 strata + 1): share in the frames of each stratum, in the recordings that show it, and in all rows."""
    index = {name: position for position, name in enumerate(recordings)}
    frames = np.zeros((len(recordings), len(parts_of(challenge).strata)))
    rows = np.zeros((len(recordings), 1))
    for track in tracks:
        frames[index[track.recording]] += strata_counts(track, challenge)
        rows[index[track.recording]] += track.lines
    parts = np.concatenate([frames, frames > 0, rows], axis=1)
    shares: NDArray[np.float64] = parts / np.maximum(parts.sum(axis=0), 1)
    return shares


def _improve(
    fold_of: NDArray[np.int64], loads: NDArray[np.float64], shares: NDArray[np.float64], generator: np.random.Generator
) -> None:
    """Moves and exchanges recordings, in place, until nothing gets better. `loads` is (folds, columns): sums of shares."""
    for _ in range(MOST_ROUNDS):
        changed = False
        for recording in generator.permutation(len(fold_of)):
            changed |= _move_or_exchange(int(recording), fold_of, loads, shares)
        if not changed:
            return


def _move_or_exchange(
    recording: int, fold_of: NDArray[np.int64], loads: NDArray[np.float64], shares: NDArray[np.float64]
) -> bool:
    """Gives one recording to another fold, for one of that fold or for none, if that makes the loads more even."""
    home = fold_of[recording]
    # Last line: no recording in exchange.
    given = np.concatenate([shares, np.zeros((1, shares.shape[1]))])
    target = np.append(fold_of, -1)
    best_gain, best = 1e-12, (-1, -1)
    for fold in range(len(loads)):
        if fold == home:
            continue
        partners = np.flatnonzero((target == fold) | (target == -1))
        # Moving d from home to fold changes the sum of squares by 2 d (fold - home) + 2 d^2; 1/count falls out. The last
        # recording of a fold is d = home, and is never moved away: the change is then 2 d fold, more than nothing.
        moved = shares[recording] - given[partners]
        gains = -2 * (moved * (loads[fold] - loads[home] + moved)).sum(axis=1)
        if len(gains) and gains.max() > best_gain:
            best_gain, best = float(gains.max()), (fold, int(partners[int(np.argmax(gains))]))
    fold, partner = best
    if fold < 0:
        return False
    moved = shares[recording] - given[partner]
    loads[home] -= moved
    loads[fold] += moved
    fold_of[recording] = fold
    if partner < len(fold_of):
        fold_of[partner] = home
    return True


def strata_counts(track: Track, challenge: Challenge) -> NDArray[np.int64]:
    """How many labelled frames of a track belong to each stratum of the challenge; none where it has no labels."""
    parts = parts_of(challenge)
    return np.zeros(len(parts.strata), np.int64) if track.labels is None else parts.count(track.labels)


def summary(folds: Folds, tracks: Sequence[Track], challenge: Challenge = EXPR) -> list[dict[str, object]]:
    """For each fold: recordings, tracks, rows, and by stratum the labelled frames and the recordings that show it.

    The last two are called `frames` and `recordings_of_class`, as where strata are classes.
    """
    table = []
    for fold in range(folds.count):
        members = folds.validation(tracks, fold)
        shown: dict[str, NDArray[np.int64]] = {}
        for track in members:
            shown[track.recording] = shown.get(track.recording, 0) + strata_counts(track, challenge)
        counts = np.stack(list(shown.values()))
        table.append(
            {
                "fold": fold,
                "recordings": len(shown),
                "tracks": len(members),
                "rows": sum(track.lines for track in members),
                "frames": counts.sum(axis=0).tolist(),
                "recordings_of_class": np.count_nonzero(counts, axis=0).tolist(),
            }
        )
    return table


def folds_text(folds: Folds) -> str:
    """Folds as JSON; the same folds give the same text."""
    return files.json_text({"format": FORMAT, "folds": folds.count, "seed": folds.seed, "recordings": dict(folds.fold_of)})


def write_folds(path: str | Path, folds: Folds) -> None:
    """Writes folds as JSON, whole or not at all."""
    files.write_text(path, folds_text(folds))


def read_folds(path: str | Path, tracks: Sequence[Track]) -> Folds:
    """Reads folds and checks that they are of these tracks.

    Read are the JSON that write_folds wrote, a JSON object of fold by recording or track, and a CSV with the columns fold and
    recording or track. Fold numbers may be any integers; the smallest becomes 0, the next 1, and so on.

    Raises DataError naming file and line for what cannot be read, MismatchError for folds that leave a recording out, name one
    that is not there, or have the two persons of a recording in different folds.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        given, seed = _read_table(path), None
    else:
        given, seed = _read_object(path)
    return _check(path, given, seed, tracks)


def _read_object(path: Path) -> tuple[dict[str, int], int | None]:
    value = files.read_json(path, LARGEST_FILE)
    if not isinstance(value, dict):
        raise DataError("not a file of folds", path=path, expected='{"recording": fold, ...}')
    seed = None
    if isinstance(value.get("recordings"), dict):
        if value.get("format") != FORMAT:
            raise DataError("folds of another format", path=path, found=str(value.get("format")), expected=str(FORMAT))
        seed, value = value.get("seed"), value["recordings"]
    for name, fold in value.items():
        if type(fold) is not int:
            raise DataError("a fold is a whole number", path=path, found=f"{name}: {fold!r}")
    return value, seed if type(seed) is int else None


def _read_table(path: Path) -> dict[str, int]:
    columns, table = read_columns(files.read_bytes(path, LARGEST_FILE), path)
    key = next((name for name in ("recording", "track") if name in columns), None)
    if key is None or "fold" not in columns:
        raise DataError("not a table of folds", path=path, line=1, found=",".join(columns)[:80], expected="recording,fold")
    folds: dict[str, int] = {}
    for line, row in table:
        name, fold = row[key], row["fold"].strip()
        if not name or not _WHOLE.fullmatch(fold) or folds.get(name, int(fold)) != int(fold):
            found = f"{name},{fold}"[:80]
            raise DataError("a recording has one whole number as its fold", path=path, line=line, found=found)
        folds[name] = int(fold)
    return folds


def _check(path: Path, given: Mapping[str, int], seed: int | None, tracks: Sequence[Track]) -> Folds:
    """Folds by recording from folds by recording or track."""
    recordings = {track.recording for track in tracks}
    known = recordings | {track.name for track in tracks}
    stray = sorted(name for name in given if name not in known)
    if stray:
        raise MismatchError("the folds name recordings that are not in the data", path=path, found=first_of(stray))
    fold_of: dict[str, int] = {}
    missing = []
    for track in tracks:
        fold = given.get(track.name, given.get(track.recording))
        if fold is None:
            missing.append(track.name)
        elif fold_of.setdefault(track.recording, fold) != fold:
            raise MismatchError(
                "the two persons of a recording are in different folds",
                path=path,
                found=track.recording,
                remedy="put them in one fold; a model would be judged on a video it was trained on",
            )
    if missing:
        raise MismatchError("the folds leave recordings out", path=path, found=first_of(sorted(missing)))
    numbers = sorted(set(fold_of.values()))
    if len(numbers) < 2:
        raise MismatchError("all recordings are in one fold", path=path, expected="at least two folds")
    return Folds(len(numbers), seed, {name: numbers.index(fold) for name, fold in sorted(fold_of.items())})
