"""Foreign probabilities: rows that sum to 1 but for the digits they were rounded to are taken, made to, and counted."""

from __future__ import annotations

import csv
import errno
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness import files
from harness.challenge import AU, EXPR, MTL, VA, Challenge
from harness.data.scan import scan
from harness.demo.drawn import write_drawn_root
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_USAGE, DataError, MismatchError
from harness.kinds.parts import parts_of
from harness.postprocess.chain import PostProcessing
from harness.rows.predictions import RunPredictions
from harness.runs.foreign_columns import ForeignColumns
from harness.runs.imports import import_runs, read_foreign
from harness.runs.store import Run
from tests.command_line import harness
from tests.interruption import result

CLASSES = ["Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral"]
COLUMNS = ForeignColumns(classes=tuple(CLASSES))


def _file(path: Path, values: NDArray[np.floating]) -> Path:
    np.savez(path, track=np.full(len(values), "a"), frame=np.arange(1, len(values) + 1), model=values)
    return path


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("digits", [2, 3])
def test_every_row_that_was_rounded_is_taken_and_sums_to_one(tmp_path: Path, digits: int, dtype: type) -> None:
    exact = np.random.default_rng(0).dirichlet(np.full(7, 0.9), 100_000)
    rounded = np.round(exact, digits)
    foreign = read_foreign(_file(tmp_path / "f.npz", rounded.astype(dtype)), COLUMNS)
    np.testing.assert_allclose(foreign.arrays["model"].sum(axis=1), 1.0, atol=1e-12)
    off = int((np.abs(rounded.astype(dtype).astype(float).sum(axis=1) - 1) > 0.02 + 1e-9).sum())
    counted = [int(note.split()[0].replace(",", "")) for note in foreign.notes]
    assert counted == ([off] if off else [])
    assert digits == 3 or off > 0


def test_a_row_of_two_decimals_that_sums_to_98_hundredths_is_within_the_rule(tmp_path: Path) -> None:
    row = np.array([[0.28, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1]])
    assert abs(float(row.sum()) - 0.98) < 1e-12
    assert read_foreign(_file(tmp_path / "f.npz", row), COLUMNS).notes == ()


def test_a_row_further_off_than_its_rounding_explains_is_refused(tmp_path: Path) -> None:
    rows = np.array([[0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], [0.34, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]])
    with pytest.raises(DataError, match="row 2 of the array 'model' holds no probabilities"):
        read_foreign(_file(tmp_path / "f.npz", rows), COLUMNS)


def test_numbers_that_were_not_rounded_must_sum_to_one_closely(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).dirichlet(np.ones(7), 10) * 0.97
    with pytest.raises(DataError, match="10 such rows"):
        read_foreign(_file(tmp_path / "f.npz", rows), COLUMNS)


# The other challenges: values, units, all three tasks.


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("imports") / "root"
    return write_drawn_root(place, tracks=(1, 2, 2), rows=60, other_challenges=True)


def rows_of(root: Path, challenge: Challenge, seed: int = 0) -> dict[str, NDArray]:
    """Made-up scores for each line of the test list, in its order: values, a distribution over classes, probabilities."""
    generator = np.random.default_rng(seed)
    tracks = scan(root, challenge=challenge).split("test")
    frames = [track.frames if track.asked is None else track.asked for track in tracks]
    names = np.repeat([track.name for track in tracks], [len(one) for one in frames])
    pairs, place = np.unique(np.stack([names, np.concatenate(frames)], axis=1), axis=0, return_inverse=True)
    columns = []
    for own in parts_of(challenge).placed:
        count = (len(pairs), len(own.part.columns))
        if own.part.name == "expression":
            columns.append(generator.dirichlet(np.ones(count[1]), count[0]))
        else:
            columns.append(generator.uniform(-1 if count[1] == 1 else 0, 1, count))
    return {"track": names, "frame": np.concatenate(frames), "model": np.concatenate(columns, axis=1)[place.reshape(-1)]}


def saved(path: Path, rows: dict[str, NDArray]) -> None:
    np.savez(path, track=rows["track"], frame=rows["frame"], model=rows["model"])


def imported(path: Path, root: Path, challenge: Challenge, **how: bool) -> Run:
    columns = ForeignColumns(challenge, challenge.class_names, **how)
    ((run, _),) = import_runs(read_foreign(path, columns), scan(root, challenge=challenge), "", fresh=True)
    return run


@pytest.mark.parametrize("challenge", [VA, AU, MTL], ids=lambda challenge: challenge.name)
def test_scores_of_every_challenge_come_back_in_its_order_at_their_frames(
    root: Path, tmp_path: Path, challenge: Challenge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = rows_of(root, challenge)
    saved(Path("f.npz"), rows)
    run = imported(Path("f.npz"), root, challenge)
    assert (run.manifest["challenge"], tuple(run.manifest["class_names"])) == (challenge.name, parts_of(challenge).columns)
    predictions = RunPredictions(run, "test", PostProcessing(seconds=0.0), scan(root, challenge=challenge), None)
    for prediction in predictions:
        mine = rows["track"] == prediction.track
        for frame, scores in zip(rows["frame"][mine], rows["model"][mine], strict=True):
            np.testing.assert_allclose(prediction.probabilities[frame - 1], scores, atol=2e-7)


@pytest.mark.parametrize("challenge", [AU, MTL, EXPR], ids=lambda challenge: challenge.name)
def test_logits_become_what_the_probabilities_are_and_values_stay_values(
    root: Path, tmp_path: Path, challenge: Challenge
) -> None:
    rows = rows_of(root, challenge)
    plain = rows["model"].copy()
    for own in parts_of(challenge).placed:
        block = plain[:, own.columns]
        if own.part.name == "expression":
            rows["model"][:, own.columns] = np.log(block) + 3
        elif own.part.name == "units":
            rows["model"][:, own.columns] = np.log(block / (1 - block))
    saved(tmp_path / "f.npz", rows)
    columns = ForeignColumns(challenge, challenge.class_names, logits=True)
    np.testing.assert_allclose(read_foreign(tmp_path / "f.npz", columns).arrays["model"], plain, atol=1e-9)
    with pytest.raises(DataError, match="taken with --logits"):
        read_foreign(tmp_path / "f.npz", ForeignColumns(challenge, challenge.class_names))


def test_tables_and_structured_arrays_say_the_same_as_npz(root: Path, tmp_path: Path) -> None:
    rows = rows_of(root, MTL)
    saved(tmp_path / "f.npz", rows)
    kind = [("track", rows["track"].dtype), ("frame", np.int32), ("model", np.float64, (22,))]
    table = np.zeros(len(rows["track"]), kind)
    for name in rows:
        table[name] = rows[name]
    np.save(tmp_path / "f.npy", table)
    names = list(parts_of(MTL).columns)
    shuffled = np.random.default_rng(1).permutation(22)
    with (tmp_path / "model.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow([*(names[place] for place in shuffled), "frame", "note", "track"])
        for track, frame, scores in zip(rows["track"], rows["frame"], rows["model"], strict=True):
            writer.writerow([*(repr(float(scores[place])) for place in shuffled), frame, "x", track])
    columns = ForeignColumns(MTL, MTL.class_names)
    expected = read_foreign(tmp_path / "f.npz", columns)
    for name in ("f.npy", "model.csv"):
        found = read_foreign(tmp_path / name, columns)
        assert list(found.arrays) == ["model"]
        np.testing.assert_array_equal(found.arrays["model"], expected.arrays["model"])
        np.testing.assert_array_equal(found.track, expected.track)
        np.testing.assert_array_equal(found.frame, expected.frame)


def test_an_image_that_the_list_repeats_may_be_repeated_with_one_answer(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = rows_of(root, MTL)
    pairs = list(zip(rows["track"].tolist(), rows["frame"].tolist(), strict=True))
    assert len(set(pairs)) < len(pairs)
    assert np.diff(np.unique(rows["frame"])).max() > 1
    saved(Path("f.npz"), rows)
    imported(Path("f.npz"), root, MTL)
    twice = next(place for place, pair in enumerate(pairs) if pair in pairs[:place])
    rows["model"][twice, 0] = -rows["model"][twice, 0]
    saved(Path("f.npz"), rows)
    with pytest.raises(MismatchError, match=f"two different answers.*(?s:.*){pairs[twice][0]}, frame {pairs[twice][1]}"):
        imported(Path("f.npz"), root, MTL)
    once = next(place for place, pair in enumerate(pairs) if pairs.count(pair) == 1)
    added = {name: np.concatenate([values, values[once : once + 1]]) for name, values in rows_of(root, MTL).items()}
    saved(Path("f.npz"), added)
    with pytest.raises(MismatchError, match=f"frame {pairs[once][1]} occurs twice"):
        imported(Path("f.npz"), root, MTL)


@pytest.mark.parametrize(
    ("challenge", "change", "said"),
    [
        (VA, lambda values: values * 2, r"row \d+ of the array 'model' holds no values from -1 to 1 .*such rows"),
        (AU, lambda values: values - 0.5, "holds no probabilities.*numbers from 0 to 1.*--logits"),
        (MTL, lambda values: values[:, :21], r"\(\d+, 22\).*1 of valence, values.*8 of expression, probabilities; 12 of units"),
        (VA, lambda values: values.astype(int), r"does not fit.*int64.*floating point"),
        (VA, lambda values: np.full_like(values, np.nan), "holds no values"),
        (MTL, lambda values: values[:, [*range(2, 10), 0, 1, *range(10, 22)]], "holds no probabilities|holds no values"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_with_what_the_columns_are(
    root: Path, tmp_path: Path, challenge: Challenge, change: Callable[[NDArray], NDArray], said: str
) -> None:
    rows = rows_of(root, challenge)
    saved(tmp_path / "f.npz", {**rows, "model": change(rows["model"])})
    with pytest.raises(DataError, match=f"(?s){said}"):
        read_foreign(tmp_path / "f.npz", ForeignColumns(challenge, challenge.class_names))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("track,frame,valence\na,1,0.5\n", "csv:1: the column 'arousal' is absent.*track,frame,valence,arousal"),
        ("track,frame,valence,arousal\na,1,0.5,x\n", "csv:2: a score is a number"),
        ("track,frame,valence,arousal\na,1.5,0.5,0\n", "csv:2: a frame is a whole number.*'1.5'"),
        ("track,frame,valence,arousal\n", "the file has no rows"),
    ],
)
def test_a_table_that_is_none_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(DataError, match=f"(?s){said}"):
        read_foreign(tmp_path / "f.csv", ForeignColumns(VA, ()))


def test_the_verb_asks_for_the_challenge_and_makes_a_run_that_is_written(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(Path("f.npz"), rows_of(root, MTL))
    assert harness("import", "f.npz", "--data", root) == EXIT_USAGE
    assert "holds AU, EXPR, MTL and VA" in capsys.readouterr().err
    assert harness("import", "f.npz", "--data", root, "--challenge", "VA", "--classes", "AffectNet") == EXIT_USAGE
    assert "VA has no classes" in capsys.readouterr().err
    assert harness("import", "f.npz", "--data", root, "--challenge", "MTL") == EXIT_DONE
    assert harness("predict", "model", "--from-scores", "--data", root, "--out", "answer") == EXIT_DONE
    listed = (root / "prediction_files_format" / "MTL_Challenge_test_set_release.txt").read_text().splitlines()[1:]
    written = Path("answer/predictions.txt").read_text().splitlines()[1:]
    assert [line.partition(",")[0] for line in written] == listed


def test_an_archive_with_another_member_than_arrays_is_refused_by_its_name(tmp_path: Path) -> None:
    path = _file(tmp_path / "f.npz", np.full((3, 7), 1 / 7))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("read me.txt", "no array")
    with pytest.raises(DataError, match=r"the member 'read me.txt' is not an array"):
        read_foreign(path, COLUMNS)


def test_a_file_with_as_many_rows_as_the_data_is_taken_and_one_with_more_is_not(tmp_path: Path) -> None:
    path = _file(tmp_path / "f.npz", np.full((30, 7), 1 / 7))
    assert len(read_foreign(path, COLUMNS, most_rows=30).frame) == 30
    with pytest.raises(DataError, match="more rows than the data has frames"):
        read_foreign(path, COLUMNS, most_rows=29)


def test_an_import_says_how_many_images_of_each_split_it_scored(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tracks = [track for track in scan(root).tracks if track.split != "train"]
    frames = [track.frames[: 7 + number] for number, track in enumerate(tracks)]
    names = np.repeat([track.name for track in tracks], [len(one) for one in frames])
    values = np.full((len(names), 8), 1 / 8)
    np.savez("f.npz", track=names, frame=np.concatenate(frames), one=values, two=values)
    made = import_runs(read_foreign(Path("f.npz"), ForeignColumns()), scan(root), "p-", fresh=False)
    counts: dict[str, int] = {}
    for track, one in zip(tracks, frames, strict=True):
        counts[track.split] = counts.get(track.split, 0) + len(one)
    assert set(counts) == {"val", "test"}
    assert [(run.name, found) for run, found in made] == [("p-one", counts), ("p-two", counts)]


@pytest.mark.parametrize("features", [False, True])
def test_where_it_dies_between_two_runs_it_has_said_which_is_made_and_the_same_again_makes_the_rest(
    root: Path, tmp_path: Path, features: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    track = scan(root).split("val")[0]
    values = np.full((len(track.frames), 8), 1 / 8, np.float32)
    np.savez("f.npz", track=np.full(len(values), track.name), frame=track.frames, one=values, two=values)
    command = ["import", "f.npz", "--data", str(root), "--challenge", "EXPR", *["--features"] * features]
    moments = []

    def full_at_the_second(stage: str) -> None:
        moments.append(stage)
        if moments.count("directory-rename") == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    files.set_stage_hook(full_at_the_second)
    try:
        assert harness(*command) == EXIT_DATA
    finally:
        files.set_stage_hook(None)
    (there,) = sorted(os.listdir("runs"))
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("made")] == [f"made the run {there}"]
    made = result(Run(Path("runs") / there))
    assert harness(*command) == EXIT_DONE
    assert sorted(os.listdir("runs")) == ["one", "two"]
    assert result(Run(Path("runs") / there)) == made


def three_rows(path: Path, values: NDArray) -> Path:
    """A file with one array "model" for the first three frames of a track."""
    np.savez(path, track=np.array(["a"] * 3), frame=np.arange(1, 4), model=values)
    return path


@pytest.mark.parametrize(("values", "remedy"), [
    (np.full((8, 3), 0.125), "it lies on its side: save array.T"),
    (np.full((3, 7), 0.125), "--classes names those of the classes in the file's order"),
    (np.zeros(3), "class ids are whole numbers: save array.astype(int)"),
    (np.array([0, -1, 2]), "leave rows without an answer out: they are interpolated"),
    (np.array([0, 9, 2]), "--classes names the classes in the file's order"),
])  # fmt: skip
def test_each_array_of_a_wrong_form_has_its_own_remedy(tmp_path: Path, values: NDArray, remedy: str) -> None:
    with pytest.raises(DataError) as refused:
        read_foreign(three_rows(tmp_path / "f.npz", values), ForeignColumns(EXPR, EXPR.class_names))
    assert refused.value.remedy == remedy
