"""Folds: by recording, rare classes spread, seeded, stored and read back."""

from __future__ import annotations

import functools
import itertools
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.challenge import AU, EXPR, MTL, VA, Challenge
from harness.data.folds import Folds, fold_tracks, make_folds, read_folds, summary, write_folds
from harness.data.scan import scan
from harness.data.tracks import Track, recording_of
from harness.errors import DataError, HarnessError, MismatchError, UsageError
from tests.data_roots import EDITIONS, make_root, write_labels


def track(name: str, counts: list[int], unlabelled: int = 0) -> Track:
    labels = np.repeat(np.arange(-1, len(counts)), [unlabelled, *counts]).astype(np.int8)
    return Track(name, recording_of(name), "train", len(labels), "annotation", np.zeros(0, np.int32), labels, Path(name))


def many_tracks(seed: int, recordings: int) -> list[Track]:
    """Recordings as uneven as real ones: a rare class in few of them, most of it in one; every fourth has two persons."""
    generator = np.random.default_rng(seed)
    tracks = []
    for k in range(recordings):
        for suffix in ("_left", "_right") if k % 4 == 0 else ("",):
            shown = generator.random(8) < [0.8, 0.15, 0.1, 0.08, 0.6, 0.2, 0.3, 0.5]
            counts = (shown * generator.pareto(1.0, 8) * 100).astype(int) + shown
            tracks.append(track(f"v{k}{suffix}", counts.tolist(), unlabelled=int(generator.integers(1, 500))))
    return tracks


def strata_of(row: list[float], challenge: Challenge) -> list[str]:
    """What a row of labels counts to: its class, its active units, the fifth of the range that a value lies in."""
    found = []
    for field, value in zip(challenge.fields, row, strict=True):
        if field.kind == "class" and value >= 0:
            found.append(f"class {int(value)}")
        elif field.kind == "unit" and value == 1:
            found.append(field.name)
        elif field.kind == "real" and value != -5:
            fifth = sum(value >= edge for edge in (-0.6, -0.2, 0.2, 0.6))
            found.append(f"{field.name} {fifth}")
    return found


STRATA = {"EXPR": 8, "AU": 12, "VA": 10, "MTL": 30}


@functools.cache
def frames_of(tracks: tuple[Track, ...], challenge: Challenge) -> Mapping[tuple[str, str], int]:
    """How many frames of each recording count to each stratum, and how many rows it has, row by row."""
    frames: Counter[tuple[str, str]] = Counter()
    for one in tracks:
        assert one.labels is not None
        for row in one.labels.reshape(len(one.labels), -1).tolist():
            for stratum in strata_of(row, challenge):
                frames[one.recording, stratum] += 1
        frames[one.recording, "rows"] += one.rows if one.asked is None else len(one.asked)
    return frames


def unevenness(fold_of: dict[str, int], tracks: list[Track], count: int, challenge: Challenge = EXPR) -> float:
    """The sum that make_folds says it makes small, by a slow loop."""
    total = 0.0
    frames = frames_of(tuple(tracks), challenge)
    strata = sorted({stratum for _, stratum in frames} - {"rows"})
    assert len(strata) <= STRATA[challenge.name]
    # A stratum that nothing counts to is missing from every fold: its share is 0 everywhere.
    total += 2 * (STRATA[challenge.name] - len(strata)) * count * (1 / count) ** 2
    for column, seen in [*((stratum, seen) for stratum in strata for seen in (False, True)), ("rows", False)]:
        weights = {name: int(frames[name, column] > 0) if seen else frames[name, column] for name in fold_of}
        whole = max(sum(weights.values()), 1)
        for fold in range(count):
            share = sum(weight for name, weight in weights.items() if fold_of[name] == fold) / whole
            total += (share - 1 / count) ** 2
    return total


@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(6, 30))
@settings(max_examples=25, deadline=None)
def test_every_recording_is_in_one_fold_and_no_fold_is_empty(seed: int, count: int, recordings: int) -> None:
    tracks = many_tracks(seed, recordings)
    folds = make_folds(tracks, count, seed)
    assert set(folds.fold_of) == {one.recording for one in tracks}
    assert set(folds.fold_of.values()) == set(range(count))
    for fold in range(count):
        validation, training = folds.validation(tracks, fold), folds.training(tracks, fold)
        assert sorted(one.name for one in (*validation, *training)) == sorted(one.name for one in tracks)
        assert not {one.recording for one in validation} & {one.recording for one in training}


def test_no_single_move_or_exchange_makes_the_folds_more_even() -> None:
    tracks = many_tracks(3, 24)
    folds = make_folds(tracks, 3, seed=0)
    fold_of = dict(folds.fold_of)
    best = unevenness(fold_of, tracks, 3)
    for name, fold in itertools.product(fold_of, range(3)):
        assert unevenness({**fold_of, name: fold}, tracks, 3) >= best - 1e-9
    for first, second in itertools.combinations(fold_of, 2):
        assert unevenness({**fold_of, first: fold_of[second], second: fold_of[first]}, tracks, 3) >= best - 1e-9


def challenging_tracks(seed: int, recordings: int, challenge: Challenge) -> list[Track]:
    """Recordings as uneven as real ones: each of its own mood and habits, some rows without labels, some without any."""
    generator = np.random.default_rng(seed)
    ignored = np.array(challenge.ignored, np.int8 if challenge.integral else np.float64)
    tracks = []
    for k in range(recordings):
        for suffix in ("_left", "_right") if k % 4 == 0 else ("",):
            rows = int(generator.integers(1, 60))
            columns = [
                np.clip(generator.normal(generator.uniform(-0.8, 0.8), 0.2, rows), -1, 1).round(2)
                if field.kind == "real"
                else generator.integers(0, field.high + 1, rows) * (generator.random(rows) < generator.random())
                for field in challenge.fields
            ]
            labels = np.stack(columns, axis=1).astype(ignored.dtype)
            for together in challenge.together:
                labels[generator.random(rows) < 0.2, together] = ignored[together]
            name = f"v{k}{suffix}"
            asked = np.arange(1, rows + 1, 2, dtype=np.int32) if challenge is MTL else None
            if asked is not None:
                labels[1::2] = ignored
            whole = labels[:, 0] if labels.shape[1] == 1 else labels
            none = np.zeros(0, np.int32)
            tracks.append(Track(name, recording_of(name), "train", rows, "annotation", none, whole, Path(name), asked=asked))
    return tracks


@given(st.integers(0, 10**6), st.sampled_from([EXPR, VA, AU, MTL]))
@settings(max_examples=12, deadline=None)
def test_folds_of_every_challenge_cannot_be_made_more_even_by_a_move_or_an_exchange(seed: int, challenge: Challenge) -> None:
    tracks = challenging_tracks(seed, 8, challenge)
    fold_of = dict(make_folds(tracks, 3, seed, challenge).fold_of)
    assert set(fold_of.values()) == {0, 1, 2}
    best = unevenness(fold_of, tracks, 3, challenge)
    for name, fold in itertools.product(fold_of, range(3)):
        assert unevenness({**fold_of, name: fold}, tracks, 3, challenge) >= best - 1e-9
    for first, second in itertools.combinations(fold_of, 2):
        exchanged = {**fold_of, first: fold_of[second], second: fold_of[first]}
        assert unevenness(exchanged, tracks, 3, challenge) >= best - 1e-9


@pytest.mark.parametrize("challenge", [VA, AU, MTL], ids=lambda challenge: challenge.name)
def test_the_summary_counts_rows_units_and_ranges_as_a_slow_loop_does(challenge: Challenge) -> None:
    tracks = challenging_tracks(2, 9, challenge)
    folds = make_folds(tracks, 3, 0, challenge)
    for row in summary(folds, tracks, challenge):
        members = [one for one in tracks if folds.fold_of[one.recording] == row["fold"]]
        counted = []
        for name in {one.recording for one in members}:
            lines = [line for one in members if one.recording == name and one.labels is not None for line in one.labels.tolist()]
            counted.append(Counter(stratum for line in lines for stratum in strata_of(line, challenge)))
        assert row["rows"] == sum(one.rows if one.asked is None else len(one.asked) for one in members)
        frames, recordings = row["frames"], row["recordings_of_class"]
        assert isinstance(frames, list)
        assert isinstance(recordings, list)
        assert len(frames) == STRATA[challenge.name]
        whole = sum(counted, Counter())
        names = [
            name
            for field in challenge.fields
            for name in {
                "class": [f"class {k}" for k in range(8)],
                "unit": [field.name],
                "real": [f"{field.name} {k}" for k in range(5)],
            }[field.kind]
        ]
        assert frames == [whole[name] for name in names]
        assert recordings == [sum(one[name] > 0 for one in counted) for name in names]


def test_folds_are_more_even_than_the_best_of_a_hundred_random_ones() -> None:
    tracks = many_tracks(7, 60)
    recordings = sorted({one.recording for one in tracks})
    generator = np.random.default_rng(0)
    drawn: list[NDArray[np.int64]] = [generator.permutation(len(recordings)) % 5 for _ in range(100)]
    random = [unevenness(dict(zip(recordings, folds.tolist(), strict=True)), tracks, 5) for folds in drawn]
    assert unevenness(dict(make_folds(tracks, 5, seed=0).fold_of), tracks, 5) < 0.7 * min(random)


def test_a_class_in_as_many_recordings_as_folds_is_in_each_fold() -> None:
    tracks = [track(f"v{k}", [100, 5 * (k < 5), 0, 0, 50 * (k % 3 == 0), 0, 0, 30]) for k in range(40)]
    for row in summary(make_folds(tracks, 5, seed=1), tracks):
        seen = row["recordings_of_class"]
        assert isinstance(seen, list)
        assert seen[1] == 1


@given(st.integers(0, 10**6), st.integers(2, 8))
@settings(max_examples=25, deadline=None)
def test_no_fold_is_empty_where_there_are_hardly_more_recordings_than_folds(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    tracks = [
        track(f"v{k}", (generator.random(8) < 0.2).tolist(), unlabelled=int(generator.integers(1, 10_000)))
        for k in range(count + int(generator.integers(0, 3)))
    ]
    assert set(make_folds(tracks, count, seed).fold_of.values()) == set(range(count))


def test_the_seed_decides_and_the_order_of_the_tracks_does_not() -> None:
    tracks = many_tracks(5, 40)
    first = make_folds(tracks, 5, seed=1)
    assert make_folds(tracks[::-1], 5, seed=1) == first
    assert make_folds(tracks, 5, seed=2) != first


def test_fewer_recordings_than_folds_are_refused() -> None:
    with pytest.raises(DataError, match="2 recordings"):
        make_folds([track("a", [1]), track("b_left", [1]), track("b_right", [1])], 3, seed=0)


def test_the_file_of_both_official_splits_is_once_in_the_union(tmp_path: Path) -> None:
    make_root(tmp_path)
    write_labels(tmp_path / EDITIONS["5"].annotations / "Train_Set" / "video10_1.txt", [0, 0])
    names = [one.name for one in fold_tracks(scan(tmp_path, crops=None, use_cache=False))]
    assert names.count("video10_1") == 1
    assert len(names) == 9


def test_folds_come_back_as_they_were_stored_and_the_bytes_are_a_function_of_them(tmp_path: Path) -> None:
    tracks = many_tracks(5, 12)
    folds = make_folds(tracks, 3, seed=4)
    write_folds(tmp_path / "a.json", folds)
    write_folds(tmp_path / "b.json", Folds(3, 4, dict(list(folds.fold_of.items())[::-1])))
    assert read_folds(tmp_path / "a.json", tracks) == folds
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    # What earlier versions stored must be read.
    assert json.loads((tmp_path / "a.json").read_text())["format"] == 1


OWN = [track(name, [3]) for name in ("a_left", "a_right", "b", "c-1", "c-2")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f.csv", "recording,fold\na,1\nb,2\nc-1,1\nc-2,5\n"),
        ("f.csv", "fold,track\n1,a_left\n1,a_right\n2,b\n1,c-1\n5,c-2\n"),
        ("f.csv", "\ufefftrack,fold,split\r\na_left,1,x\r\na_right,1,x\r\nb,2,x\r\nc-1,1,x\r\nc-2,5,x\r\n"),
        ("f.csv", "recording,fold\ra,1\rb,2\rc-1,1\rc-2,5\r"),
        ("f.json", '{"a": 1, "b": 2, "c-1": 1, "c-2": 5}'),
        ("f.json", '{"a_left": 1, "a_right": 1, "b": 2, "c-1": 1, "c-2": 5}'),
        # What is said of a track counts more than what is said of its recording.
        ("f.json", '{"a": 5, "a_left": 1, "a_right": 1, "b": 2, "c-1": 1, "c-2": 5}'),
    ],
)
def test_a_teams_own_folds_may_have_any_numbers_and_name_tracks_or_recordings(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_folds(tmp_path / name, OWN) == Folds(3, None, {"a": 0, "b": 1, "c-1": 0, "c-2": 2})


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("track,fold\na_left,1\na_right,2\nb,1\nc-1,1\nc-2,1\n", MismatchError, "different folds"),
        ("recording,fold\na,1\nb,2\n", MismatchError, "leave recordings out"),
        ("recording,fold\na,1\nb,2\nc-1,1\nc-2,2\nd,1\n", MismatchError, "not in the data"),
        ("recording,fold\na,1\nb,1\nc-1,1\nc-2,1\n", MismatchError, "one fold"),
        ("recording,fold\na,1\nb,1.5\n", DataError, "csv:3"),
        ("recording,fold\na,1\nb\n", DataError, "csv:3"),
        ("recording,fold\na,1\na,2\n", DataError, "csv:3"),
        ("recording,fold\na,\N{SUPERSCRIPT TWO}\n", DataError, "csv:2"),
        ("recording,fold\na,--1\n", DataError, "csv:2"),
        ("recording,fold\na," + "1" * 5000 + "\n", DataError, "csv:2"),
        ("recording,fold\na,1\n" + "b" * 200_000 + ",1\n", DataError, "csv:3.*not a CSV table"),
        ("name,part\na,1\n", DataError, "csv:1"),
        ("", DataError, "csv:1"),
    ],
)
def test_folds_that_do_not_fit_the_data_are_refused(tmp_path: Path, text: str, error: type[HarnessError], words: str) -> None:
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(error, match=words):
        read_folds(tmp_path / "own.csv", OWN)


@pytest.mark.parametrize("text", ["[]", '{"a": "1"}', '{"a": true}', '{"format": 99, "recordings": {}}', "{"])
def test_json_that_is_not_folds_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.json").write_text(text)
    with pytest.raises(DataError):
        read_folds(tmp_path / "own.json", OWN)


def test_a_fold_that_is_not_there_is_a_mistake_of_use() -> None:
    folds = Folds(2, 0, {"a": 0, "b": 1})
    with pytest.raises(UsageError, match="0 to 1"):
        folds.training(OWN, 2)


def test_the_summary_counts_frames_and_recordings_of_each_class() -> None:
    tracks = [track("a_left", [2, 1]), track("a_right", [0, 3], unlabelled=4), track("b", [1, 0])]
    rows = summary(Folds(2, None, {"a": 0, "b": 1}), tracks)
    assert json.loads(json.dumps(rows[0])) == {
        "fold": 0,
        "recordings": 1,
        "tracks": 2,
        "rows": 10,
        "frames": [2, 4, 0, 0, 0, 0, 0, 0],
        "recordings_of_class": [1, 1, 0, 0, 0, 0, 0, 0],
    }
