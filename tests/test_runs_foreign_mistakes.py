"""What teams do when they hand over predictions of their own: each mistake is told for what it is, with a remedy that helps."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.api import open_data
from harness.challenge import EXPR, format_of
from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_USAGE
from harness.rows.labelled import scored_run
from harness.runs import scores, store
from harness.runs.agreement import agreements
from harness.runs.parquet_pages import bytes_of_pages
from harness.selection.stored import stored_settings
from harness.words import number as written
from tests.command_line import harness

Content = dict[str, Any]


@pytest.fixture
def root(drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_DATA", str(drawn_root))
    return scan(drawn_root)


def content(root: DataRoot, split: str = "val") -> Content:
    """Answers to a split, right in four of five labelled frames: names, frames, and probabilities of the 8 classes."""
    generator = np.random.default_rng(3)
    track, frame, rows = [], [], []
    for one in root.split(split):
        for number in one.frames.tolist():
            label = -1 if one.labels is None else int(one.labels[number - 1])
            answer = label if label >= 0 and generator.random() < 0.8 else int(generator.integers(8))
            track.append(one.name)
            frame.append(number)
            rows.append(np.where(np.arange(8) == answer, 0.65, 0.05))
    return {"track": np.array(track), "frame": np.array(frame), "model": np.array(rows)}


def imported(given: Content) -> int:
    np.savez("outside.npz", **given)
    return harness("import", "outside.npz")


def from_one(given: Content) -> None:
    given["model"] = given["model"].argmax(axis=1) + 1


def from_zero(given: Content) -> None:
    given["frame"] = given["frame"] - 1


def transposed(given: Content) -> None:
    given["model"] = given["model"].T


def percentages(given: Content) -> None:
    given["model"] = given["model"] * 100


def too_many(given: Content) -> None:
    for name in given:
        given[name] = np.concatenate([given[name]] * 40)


def beyond(given: Content) -> None:
    given["frame"][-1] = 9_000


def extensions(given: Content) -> None:
    given["track"] = np.char.add(given["track"], ".mp4")


def images(given: Content) -> None:
    names = zip(given["track"], given["frame"], strict=True)
    given["track"] = np.array([f"{track}/{frame:05d}.jpg" for track, frame in names])


def not_a_number(given: Content) -> None:
    given["model"][7] = np.nan


def logits(given: Content) -> None:
    given["model"] = np.log(given["model"]) + 3


def twice(given: Content) -> None:
    given["frame"][1] = given["frame"][0]


def by_track(given: Content) -> None:
    for name in np.unique(given["track"]).tolist():
        given[name] = given["model"][given["track"] == name]
    del given["track"], given["frame"], given["model"]


def objects(given: Content) -> None:
    given["track"] = given["track"].astype(object)


@pytest.mark.parametrize(
    ("spoil", "said", "remedy"),
    [
        (from_one, "seem to be counted from 1", "subtract 1 from the class ids"),
        (from_zero, "seem to be counted from 0", "add 1 to the frames"),
        (transposed, "a row for each track and frame", "save array.T"),
        (percentages, "holds no probabilities", "percentages: divide by 100"),
        (too_many, "more rows than the data has frames", "name the right root with --data"),
        (beyond, "frame 9000 is outside", "leave out rows beyond a track's last frame"),
        (extensions, "the names of the tracks have an extension", "name the crop folder alone"),
        (images, "the names of the tracks have an extension", "name the crop folder alone"),
        (not_a_number, "row 8 of the array 'model' holds no probabilities (1 such rows)", "score these frames again, or leave"),
        (logits, "holds no probabilities", "taken with --logits"),
        (twice, "occurs twice", "keep one row for each frame"),
        (by_track, "has no `track` and `frame`", "np.savez('outside.npz', track=track, frame=frame, model=probabilities)"),
        (objects, "`track` must be names", "np.array(track, dtype=str)"),
    ],
)
def test_a_mistake_is_told_with_what_to_do_and_no_run_is_made(
    root: DataRoot, spoil: Callable[[Content], None], said: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = content(root)
    spoil(given)
    assert imported(given) == EXIT_DATA
    told = capsys.readouterr().err
    assert said in told
    assert remedy in told.partition("what to do: ")[2]
    assert not Path("runs").exists()


def test_shuffled_rows_are_the_same_run(root: DataRoot) -> None:
    given = content(root)
    assert imported(given) == EXIT_DONE
    straight = {track: scores.read_track(store.find("model"), "val", track) for track in np.unique(given["track"]).tolist()}
    order = np.random.default_rng(0).permutation(len(given["frame"]))
    np.savez("outside.npz", **{name: values[order] for name, values in given.items()})
    assert harness("import", "outside.npz", "--prefix", "shuffled-") == EXIT_DONE
    for track, expected in straight.items():
        found = scores.read_track(store.find("shuffled-model"), "val", track)
        np.testing.assert_array_equal(found.frame, expected.frame)
        np.testing.assert_array_equal(found.score, expected.score)


def test_a_missing_track_is_named(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    given = content(root)
    left_out = given["track"][0]
    kept = given["track"] != left_out
    assert imported({name: values[kept] for name, values in given.items()}) == EXIT_DONE
    assert f"1 track of val with images without any score in outside.npz, to be treated as without a face: {left_out}" in (
        capsys.readouterr().err
    )


AFFECTNET = ["Neutral", "Happiness", "Sadness", "Surprise", "Fear", "Disgust", "Anger", "Other"]


def exchanged(first: str, second: str) -> list[str]:
    names = list(EXPR.class_names)
    one, two = names.index(first), names.index(second)
    names[one], names[two] = names[two], names[one]
    return names


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (list(EXPR.class_names), None),
        (AFFECTNET, "in the order AffectNet (--classes AffectNet)"),
        (
            exchanged("Happiness", "Sadness"),
            "with Happiness and Sadness exchanged (--classes Neutral,Anger,Disgust,Fear,Sadness,",
        ),
    ],
)
def test_a_wrong_order_of_classes_cannot_be_seen_but_agreement_with_labels_says_it(
    root: DataRoot, order: list[str], said: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    given = content(root)
    given["model"] = given["model"][:, [EXPR.class_names.index(name) for name in order]]
    assert imported(given) == EXIT_DONE
    captured = capsys.readouterr()
    labelled = [one for one in root.split("val") if one.labels is not None]
    count = sum(int((np.asarray(one.labels)[one.frames - 1] >= 0).sum()) for one in labelled)
    assert f"of {count:,} labelled frames of val are predicted as labelled, mean recall" in captured.out
    if said is None:
        assert "another order" not in captured.err
    else:
        assert f"the classes of model may be in another order: {said}" in captured.err


def test_another_order_that_agrees_hardly_better_than_the_own_is_not_proposed(root: DataRoot) -> None:
    # Of ten frames each, six of Happiness are taken for Sadness and six of Sadness for Happiness; all others are right.
    happiness, sadness = (EXPR.class_names.index(name) for name in ("Happiness", "Sadness"))
    labels = np.repeat(np.arange(8), 10)
    answers = labels.copy()
    answers[np.flatnonzero(labels == happiness)[:6]], answers[np.flatnonzero(labels == sadness)[:6]] = sadness, happiness
    one = replace(root.split("val")[0], rows=80, labels=labels.astype(np.int8))
    (said,) = agreements(
        np.full(80, one.name), np.arange(1, 81), np.eye(8)[answers], EXPR.class_names, replace(root, tracks=(one,))
    )
    assert said.recall == pytest.approx((6 + 2 * 0.4) / 8)
    assert (said.better, said.better_recall) == ("", 0.0)


def test_the_agreement_is_that_of_a_slow_loop(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    given = content(root)
    labels = {one.name: one.labels for one in root.split("val")}
    right: dict[int, list[bool]] = {}
    for track, frame, row in zip(given["track"], given["frame"], given["model"], strict=True):
        label = int(labels[track][frame - 1])  # type: ignore[index]
        if label >= 0:
            right.setdefault(label, []).append(int(row.argmax()) == label)
    accuracy = np.mean([one for several in right.values() for one in several])
    recall = np.mean([np.mean(several) for several in right.values()])
    assert imported(given) == EXIT_DONE
    assert f"model: {100 * accuracy:.1f} % of " in (said := capsys.readouterr().out)
    assert f"mean recall {written(recall)}" in said


def test_class_ids_of_every_format_are_the_same_votes(root: DataRoot) -> None:
    given = content(root)
    ids = given["model"].argmax(axis=1)
    np.savez("a.npz", track=given["track"], frame=given["frame"], a=ids)
    kind = [("track", given["track"].dtype), ("frame", np.int32), ("b", np.int8)]
    table = np.zeros(len(ids), kind)
    table["track"], table["frame"], table["b"] = given["track"], given["frame"], ids
    np.save("b.npy", table)
    lines = [f"{track},{frame}," for track, frame in zip(given["track"], given["frame"], strict=True)]
    Path("c.csv").write_text("track,frame,label\n" + "".join(f"{line}{one}\n" for line, one in zip(lines, ids, strict=True)))
    words = [f"{line}{EXPR.class_names[one]}\n" for line, one in zip(lines, ids, strict=True)]
    Path("d.csv").write_text("track,frame,label\n" + "".join(words))
    for name in ("a.npz", "b.npy", "c.csv", "d.csv"):
        assert harness("import", name) == EXIT_DONE
    for one in root.split("val"):
        expected = ids[given["track"] == one.name]
        for name in "abcd":
            found = scores.read_track(store.find(name), "val", one.name)
            np.testing.assert_array_equal(found.score, np.eye(8)[expected])
    assert store.find("a").manifest["votes"] is True


@pytest.mark.parametrize("cell", ["Happy", "9999999", "1.0", ""])
def test_a_label_that_is_neither_id_nor_name_is_named_with_its_line(
    root: DataRoot, cell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("c.csv").write_text(f"track,frame,label\n{root.split('val')[0].name},1,{cell}\n")
    assert harness("import", "c.csv") == EXIT_DATA
    assert "c.csv:2: a label is a class id or a class name" in capsys.readouterr().err


def test_a_parquet_file_is_read_as_the_table_that_pandas_wrote(root: DataRoot) -> None:
    pandas = pytest.importorskip("pandas")
    given = content(root)
    frame = pandas.DataFrame(given["model"], columns=list(EXPR.class_names))
    frame.insert(3, "track", given["track"])
    frame["frame"] = given["frame"]
    frame.to_parquet("table.parquet")
    frame.assign(track=frame["track"].astype("category")).to_parquet("narrow.pq")
    # Pages of the second kind, of few rows, in many groups, with heads that hold checksums and the smallest and largest values.
    pages = {"data_page_version": "2.0", "row_group_size": 7, "data_page_size": 1, "write_batch_size": 3}
    frame.to_parquet("pages.parquet", compression="gzip", write_page_checksum=True, **pages)
    frame.to_parquet("bare.parquet", compression=None, use_dictionary=False, column_encoding={"frame": "DELTA_BINARY_PACKED"})
    named = pandas.DataFrame({"track": given["track"], "frame": given["frame"]})
    named["label"] = [EXPR.class_names[one] for one in given["model"].argmax(axis=1)]
    named.to_parquet("named.parquet")
    np.savez("plain.npz", track=given["track"], frame=given["frame"], plain=given["model"])
    for name in ("table.parquet", "narrow.pq", "pages.parquet", "bare.parquet", "named.parquet", "plain.npz"):
        assert harness("import", name) == EXIT_DONE
    for one in root.split("val"):
        expected = scores.read_track(store.find("plain"), "val", one.name)
        for name in ("table", "narrow"):
            found = scores.read_track(store.find(name), "val", one.name)
            np.testing.assert_array_equal(found.frame, expected.frame)
            np.testing.assert_array_equal(found.score, expected.score)
        found = scores.read_track(store.find("named"), "val", one.name)
        np.testing.assert_array_equal(found.score.argmax(axis=1), expected.score.argmax(axis=1))


def test_a_damaged_parquet_file_and_one_of_other_columns_are_refused_in_words(
    root: DataRoot, capsys: pytest.CaptureFixture[str]
) -> None:
    pandas = pytest.importorskip("pandas")
    Path("a.parquet").write_bytes(b"PAR1 no table PAR1")
    assert harness("import", "a.parquet") == EXIT_DATA
    assert "not a Parquet file, or a damaged one" in capsys.readouterr().err
    pandas.DataFrame({"track": ["a"], "frame": [1.5], "label": [1]}).to_parquet("b.parquet")
    assert harness("import", "b.parquet") == EXIT_DATA
    assert "a frame is a whole number" in capsys.readouterr().err
    pandas.DataFrame({"track": [1], "frame": [1], "label": [1]}).to_parquet("c.parquet")
    assert harness("import", "c.parquet") == EXIT_DATA
    assert "the column 'track' holds something else than texts" in capsys.readouterr().err
    pandas.DataFrame({"track": ["x" * 5000], "frame": [1], "label": [1]}).to_parquet("d.parquet")
    assert harness("import", "d.parquet") == EXIT_DATA
    assert "a name longer than any track's" in capsys.readouterr().err
    table = pandas.DataFrame({"track": ["a"], "frame": [1], "label": [1]})
    table.to_parquet("e.parquet", use_dictionary=False, column_encoding={"track": "DELTA_BYTE_ARRAY"})
    assert harness("import", "e.parquet") == EXIT_DATA
    assert "texts in the encoding DELTA_BYTE_ARRAY; write the file with dictionaries" in capsys.readouterr().err
    import pyarrow
    import pyarrow.parquet

    names = ["track", "track", "frame", "label"]
    pyarrow.parquet.write_table(pyarrow.table([["a"], ["a"], [1], [1]], names=names), "f.parquet")
    assert harness("import", "f.parquet") == EXIT_DATA
    assert "two columns are called 'track'" in capsys.readouterr().err


def test_of_a_parquet_file_with_more_rows_than_the_data_none_is_read(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    pandas = pytest.importorskip("pandas")
    rows = sum(one.rows for one in root.tracks)
    pandas.DataFrame({"track": "a", "frame": range(1, rows + 2), "label": 1}).to_parquet("many.parquet")
    assert harness("import", "many.parquet") == EXIT_DATA
    said = capsys.readouterr().err
    assert "has more rows than the data has frames" in said
    assert f"expected: at most {rows:,}" in said


class Runs:
    """What a pickle of runs when it is opened."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("opened"),)


def test_a_pickle_is_never_opened_and_the_line_that_saves_it_right_does(
    root: DataRoot, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("evil.pkl").write_bytes(pickle.dumps(Runs()))
    assert harness("import", "evil.pkl") == EXIT_DATA
    assert not Path("opened").exists()
    capsys.readouterr()
    # A network without gaps: every frame of each track, in order.
    tracks = root.split("test")
    held = {one.name: np.random.default_rng(1).dirichlet(np.ones(8), one.rows) for one in tracks}
    Path("mine.pkl").write_bytes(pickle.dumps(held))
    assert harness("import", "mine.pkl") == EXIT_DATA
    line = capsys.readouterr().err.partition("where it was made: ")[2].partition(" for a dictionary")[0]
    exec(line, {"pickle": pickle, "np": np})
    assert harness("import", "outside.npz") == EXIT_DONE
    for name, rows in held.items():
        found = scores.read_track(store.find("model"), "test", name)
        assert found.frame.tolist() == list(range(1, len(rows) + 1))
        np.testing.assert_allclose(found.score, rows, atol=1e-6)


def bare(root: DataRoot, place: Path) -> Path:
    """The data root without its crops: annotations, lists, sample."""
    for entry in root.path.iterdir():
        if entry.name not in ("cropped_aligned", "cropped", ".harness-cache"):
            place.mkdir(exist_ok=True)
            (place / entry.name).symlink_to(entry)
    return place


def test_without_any_crops_a_run_is_judged_written_and_averaged(root: DataRoot, tmp_path: Path) -> None:
    place = bare(root, tmp_path / "labels")
    given, test = content(root), content(root, "test")
    together: Content = {name: np.concatenate([given[name], test[name]]) for name in given}
    np.savez("outside.npz", **together, other=together["model"])
    assert harness("import", "outside.npz", "--data", place) == EXIT_DONE
    assert harness("evaluate", "model") == EXIT_DONE
    assert harness("submission", "model") == EXIT_DONE
    assert harness("validate", "submissions/model", "--data", root.path) == EXIT_DONE
    assert harness("submission", "model", "--split", "val") == EXIT_DONE
    assert harness("evaluate", "submissions/model-val", "--data", place) == EXIT_DONE
    assert harness("ensemble", "model", "other", "--run", "both") == EXIT_DONE
    assert harness("evaluate", "both") == EXIT_DONE
    assert answers_of("model", scan(place, needs_images=False)) == answers_of("model", root)


def answers_of(name: str, place: DataRoot) -> dict[str, list[int]]:
    """The rows of a run on val by track, beside the labels of a data root."""
    run = store.find(name)
    stored = stored_settings(run)
    scored = scored_run(run, "val", place, stored.settings, stored.frame_rate, format_of("EXPR").score)
    return {one.name: one.answers.tolist() for one in scored.tracks}


@pytest.mark.parametrize("told", ["--sample", "--rows"])
def test_a_sample_or_a_table_of_rows_is_all_that_a_submission_needs(root: DataRoot, told: str) -> None:
    sample = next(root.path.rglob("*EXPR*sample*.txt"))
    table = "".join(f"{one.name},{one.rows}\n" for one in root.split("test"))
    Path("rows.csv").write_text("track,rows\n" + table)
    np.savez("outside.npz", **content(root, "test"))
    assert harness("import", "outside.npz", told, sample if told == "--sample" else "rows.csv") == EXIT_DONE
    kept = Path("runs/model/data")
    assert [entry.name for entry in kept.iterdir()] == list(format_of("EXPR").sample_files[:1])
    run = store.find("model")
    assert run.manifest["data"] == open_data(run=run).identity()
    assert harness("submission", "model", "--fps", "30") == EXIT_DONE
    assert harness("validate", "submissions/model", "--sample", sample) == EXIT_DONE
    answered = Path("submissions/model/predictions.txt").read_text().splitlines()
    asked = sample.read_text().splitlines()
    assert [line.partition(",")[0] for line in answered] == [line.partition(",")[0] for line in asked]


def test_rows_are_asked_for_by_one_thing_and_a_table_cannot_ask_for_some_frames(
    root: DataRoot, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez("outside.npz", **content(root, "test"))
    Path("rows.csv").write_text("track,rows\na,5\n")
    assert harness("import", "outside.npz", "--data", root.path, "--rows", "rows.csv") == EXIT_USAGE
    assert "--data and --rows" in capsys.readouterr().err
    assert harness("import", "outside.npz", "--challenge", "MTL", "--rows", "rows.csv") == EXIT_USAGE
    assert "--sample with the official list" in capsys.readouterr().err


def test_a_page_whose_head_has_a_number_in_the_place_of_a_struct_is_damaged() -> None:
    # Type, unpacked and packed bytes as they should be, then a number as field 5, where a data page tells of its values.
    head = bytes([0x15, 0, 0x15, 2, 0x15, 2, 0x25, 2, 0])
    with pytest.raises(ValueError, match="has a number where it tells of its values"):
        list(bytes_of_pages(io.BytesIO(head + bytes(8)), 0, 1))
