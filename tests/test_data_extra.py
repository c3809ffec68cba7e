"""Extra labelled faces: class orders of other data sets, absent classes, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.challenge import AU, CE, EXPR, MTL, VA, Challenge
from harness.data.crops import image_bytes
from harness.data.extra import ORDERS, ExtraFaces, read_extra
from harness.errors import DataError, HarnessError, UsageError
from harness.kinds.parts import parts_of

# Written down from the data sets' own descriptions, not from the code.
PUBLISHED = {
    "affectnet": "0 neutral,1 happy,2 sad,3 surprise,4 fear,5 disgust,6 anger,7 contempt,8 none,9 uncertain,10 no-face",
    "raf-db": "1 surprise,2 fear,3 disgust,4 happiness,5 sadness,6 anger,7 neutral",
    "ferplus": "0 neutral,1 happiness,2 surprise,3 sadness,4 anger,5 disgust,6 fear,7 contempt,8 unknown,9 nf",
    "expw": "0 angry,1 disgust,2 fear,3 happy,4 sad,5 surprise,6 neutral",
    "abaw": "0 neutral,1 anger,2 disgust,3 fear,4 happiness,5 sadness,6 surprise,7 other",
}


def table(tmp_path: Path, rows: list[str], header: str = "path,label") -> Path:
    for row in rows:
        image = tmp_path / row.split(",")[0]
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(row.encode())
    path = tmp_path / "images.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def labels(extra: ExtraFaces) -> list[str]:
    (track,) = extra.tracks
    assert track.labels is not None
    return [EXPR.class_names[label] for label in track.labels]


@pytest.mark.parametrize("order", PUBLISHED)
def test_a_number_means_the_word_of_its_data_set(tmp_path: Path, order: str) -> None:
    pairs = [entry.split() for entry in PUBLISHED[order].split(",")]
    numbers = table(tmp_path, [f"{number}.jpg,{number}" for number, _ in pairs])
    by_number = read_extra(numbers, order)
    words = table(tmp_path, [f"{number}.jpg,{word}" for number, word in pairs])
    by_word = read_extra(words, order)
    assert labels(by_number) == labels(by_word)
    assert sum(by_number.left_out.values()) == sum(by_word.left_out.values()) == len(pairs) - len(labels(by_word))
    assert sorted(ORDERS[order]) == sorted(int(number) for number, _ in pairs)


@pytest.mark.parametrize("order", ["affectnet", "raf-db", "ferplus", "expw"])
def test_other_is_masked_for_data_sets_that_do_not_have_it(tmp_path: Path, order: str) -> None:
    extra = read_extra(table(tmp_path, ["a.jpg,1"]), order)
    assert extra.known.tolist() == [[name != "Other" for name in EXPR.class_names]]


def test_of_a_teams_own_images_the_classes_that_do_not_occur_are_masked(tmp_path: Path) -> None:
    extra = read_extra(table(tmp_path, ["a.jpg,Other", "b.jpg,sad", "c.jpg,Sadness"]))
    assert [name for name, known in zip(EXPR.class_names, extra.known[0], strict=True) if known] == ["Sadness", "Other"]


def test_images_are_read_through_their_track(tmp_path: Path) -> None:
    rows = ["deep/down/a b.png,happy", "b.jpg,Fear"]
    extra = read_extra(table(tmp_path, rows))
    (track,) = extra.tracks
    assert track.frames.tolist() == [1, 2]
    assert [image_bytes(track, frame).decode() for frame in (1, 2)] == rows
    assert labels(extra) == ["Happiness", "Fear"]
    assert track.split == "train"


def test_paths_may_be_absolute(tmp_path: Path) -> None:
    image = tmp_path / "elsewhere" / "a.jpg"
    image.parent.mkdir()
    image.write_bytes(b"x")
    path = tmp_path / "lists" / "images.csv"
    path.parent.mkdir()
    path.write_text(f"path,label\n{image},happy\n")
    assert image_bytes(read_extra(path).tracks[0], 1) == b"x"


def test_a_column_may_give_each_row_its_order(tmp_path: Path) -> None:
    rows = ["a.jpg,1,affectnet", "b.jpg,1,RAF-DB", "c.jpg,7,affectnet", "d.jpg,1,"]
    extra = read_extra(table(tmp_path, rows, "path,label,order"), order="expw")
    found = {
        track.name: [EXPR.class_names[label] for label in track.labels.tolist()]
        for track in extra.tracks
        if track.labels is not None
    }
    assert found == {"images.csv:affectnet": ["Happiness"], "images.csv:expw": ["Disgust"], "images.csv:raf-db": ["Surprise"]}
    assert extra.left_out == {"7": 1}
    assert extra.known.shape == (3, 8)


def test_provenance_does_not_depend_on_the_place(tmp_path: Path) -> None:
    path = table(tmp_path / "here", ["a.jpg,1", "b.jpg,7"])
    first = read_extra(path, "affectnet").provenance()
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert read_extra(tmp_path / "there/images.csv", "affectnet").provenance() == first
    assert first["images"] == {"images.csv:affectnet": 1}
    assert first["left_out"] == {"7": 1}
    path.write_text(path.read_text() + "a.jpg,1\n")
    assert read_extra(path, "affectnet").provenance()["sha256"] != first["sha256"]


@pytest.mark.parametrize(
    ("rows", "order", "error", "words"),
    [
        (["a.jpg,1", "b.jpg,11"], "affectnet", DataError, r"csv:3"),
        (["a.jpg,0"], "raf-db", DataError, r"csv:2"),
        (["a.jpg,smug"], None, DataError, r"csv:2"),
        (["a.jpg,"], "expw", DataError, r"csv:2"),
        (["a.jpg,-1"], "expw", DataError, r"csv:2"),
        (["a.jpg,1.0"], "expw", DataError, r"csv:2"),
        (["a.jpg," + "9" * 5000], "expw", DataError, r"csv:2"),
        (["a.jpg," + "x" * 200_000], "expw", DataError, r"csv:2.*not a CSV table"),
        (["a.jpg,\N{FULLWIDTH DIGIT ONE}"], "expw", DataError, r"csv:2"),
        (["a.jpg,3"], None, UsageError, "class order"),
        (["a.jpg,3"], "afectnet", UsageError, "did you mean 'affectnet'"),
        (["a.jpg,contempt"], None, DataError, "no images"),
        ([], None, DataError, "no images"),
    ],
)
def test_what_cannot_be_a_label_is_refused(
    tmp_path: Path, rows: list[str], order: str | None, error: type[HarnessError], words: str
) -> None:
    with pytest.raises(error, match=words):
        read_extra(table(tmp_path, rows), order)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
def test_lines_may_end_as_on_any_system(tmp_path: Path, end: str) -> None:
    path = table(tmp_path, ["a.jpg,happy", "b.jpg,sad"])
    path.write_bytes(path.read_bytes().replace(b"\n", end.encode()))
    assert labels(read_extra(path)) == ["Happiness", "Sadness"]


def test_an_unknown_order_in_a_row_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"csv:2.*unknown class order"):
        read_extra(table(tmp_path, ["a.jpg,1,imagenet"], "path,label,order"))


def test_an_image_that_is_not_there_is_named_with_its_line(tmp_path: Path) -> None:
    path = table(tmp_path, ["a.jpg,happy", "b.jpg,sad"])
    (tmp_path / "b.jpg").unlink()
    with pytest.raises(DataError, match=r"csv:3.*no such image") as caught:
        read_extra(path)
    assert caught.value.found == "b.jpg"


@pytest.mark.parametrize("again", ["a.jpg,anger", "./a.jpg,Other", "b/../a.jpg,contempt", "a.jpg,none"])
def test_an_image_with_two_labels_is_named_with_both_lines(tmp_path: Path, again: str) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="an image has two labels") as caught:
        read_extra(table(tmp_path, ["a.jpg,sad", "c.jpg,sad", again]))
    assert (caught.value.line, caught.value.found, caught.value.expected) == (4, again.replace(",", ", "), "sad, as in line 2")


def test_an_image_may_stand_twice_with_one_label(tmp_path: Path) -> None:
    assert labels(read_extra(table(tmp_path, ["a.jpg,sad", "b.jpg,happy", "a.jpg,Sadness"]))) == [
        "Sadness",
        "Happiness",
        "Sadness",
    ]


@pytest.mark.parametrize("header", ["image,class", "path", "", "label"])
def test_a_table_without_its_columns_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(DataError, match=r"csv:1"):
        read_extra(table(tmp_path, [], header))


UNITS = "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26"


def rows_of(extra: ExtraFaces) -> list[list[float]]:
    (track,) = extra.tracks
    assert track.labels is not None
    return np.asarray(track.labels, float).reshape(len(track.labels), -1).tolist()


def test_values_are_read_from_columns_of_their_names_and_what_nobody_rated_is_not_labelled(tmp_path: Path) -> None:
    rows = ["a.jpg,0.5,-0.25,3", "b.jpg,-2,-2,10", "c.jpg,,0.75,1", "d.jpg,-5,-5,8", "e.jpg,-1,1.0,0", "f.jpg,-2.0,-0.5,0"]
    extra = read_extra(table(tmp_path, rows, "path,valence,arousal,label"), "affectnet", VA)
    assert rows_of(extra) == [[0.5, -0.25], [-5, 0.75], [-1, 1], [-5, -0.5]]
    assert extra.left_out == {"-2,-2": 1, "-5,-5": 1}
    assert extra.known.tolist() == [[True, True]]
    assert extra.tracks[0].name == "images.csv:affectnet"
    assert [image_bytes(extra.tracks[0], frame).decode() for frame in (1, 2)] == [rows[0], rows[2]]
    # Fifths of each range, from low to high.
    assert extra.provenance()["frames_of_class"] == {"images.csv:affectnet": [1, 0, 0, 1, 0, 0, 2, 0, 0, 2]}


def test_units_are_read_in_any_order_and_those_a_data_set_lacks_are_not_labelled(tmp_path: Path) -> None:
    rows = ["a.jpg,1,0,1", "b.jpg,999,1,0", "c.jpg,,-1,999", "d.jpg,0,0,0"]
    extra = read_extra(table(tmp_path, rows, "path,AU12,AU1,AU20"), None, AU)
    columns = UNITS.split(",")
    found = [{name: value for name, value in zip(columns, row, strict=True) if value != -1} for row in rows_of(extra)]
    assert found == [{"AU1": 0, "AU12": 1}, {"AU1": 1}, {"AU1": 0, "AU12": 0}]
    assert list(extra.left_out.values()) == [1]
    assert extra.tracks[0].labels is not None
    assert extra.tracks[0].labels.dtype == np.int8


def test_a_face_may_have_a_value_without_a_class_of_ours(tmp_path: Path) -> None:
    rows = ["a.jpg,3,affectnet,0.5,0.1,", "b.jpg,7,affectnet,-0.5,0.2,", "c.jpg,,,,,1", "d.jpg,4,raf-db,,,"]
    extra = read_extra(table(tmp_path, rows, "path,label,order,valence,arousal,AU26"), None, MTL)
    by_name = {track.name: np.asarray(track.labels, float).tolist() for track in extra.tracks}
    nothing = [-1.0] * 11
    surprise, happiness = (float(EXPR.class_names.index(name)) for name in ("Surprise", "Happiness"))
    assert by_name == {
        "images.csv:abaw": [[-5, -5, -1, *nothing, 1]],
        "images.csv:affectnet": [[0.5, 0.1, surprise, *nothing, -1], [-0.5, 0.2, -1, *nothing, -1]],
        "images.csv:raf-db": [[-5, -5, happiness, *nothing, -1]],
    }
    hidden = [[name for name, shown in zip(parts_of(MTL).columns, row, strict=True) if not shown] for row in extra.known]
    assert hidden == [[], ["Other"], ["Other"]]
    assert not extra.left_out


def test_compound_expressions_are_named_in_words_or_by_the_numbers_of_the_competition(tmp_path: Path) -> None:
    rows = ["a.jpg,Happily Surprised", "b.jpg,sadly_angry", "c.jpg,Fearfully_Surprised"]
    words = read_extra(table(tmp_path, rows), None, CE)
    numbers = read_extra(table(tmp_path, ["a.jpg,1", "b.jpg,6", "c.jpg,0"]), "abaw", CE)
    assert rows_of(words) == rows_of(numbers) == [[1], [6], [0]]
    assert [name for name, shown in zip(CE.class_names, words.known[0], strict=True) if not shown] == [*CE.class_names[2:6]]
    with pytest.raises(DataError, match=r"csv:2.*unknown label"):
        read_extra(table(tmp_path, ["a.jpg,happy"]), None, CE)
    with pytest.raises(UsageError, match="unknown class order 'raf-db'"):
        read_extra(table(tmp_path, ["a.jpg,1"]), "raf-db", CE)


@pytest.mark.parametrize(
    ("challenge", "header", "rows", "said"),
    [
        (VA, "path,valence,arousal", ["a.jpg,0.5,1.5"], r"csv:2: arousal is not a label.*'1\.5'.*-1 to 1"),
        (VA, "path,valence,arousal", ["a.jpg,nan,0"], "csv:2: valence is not a label.*'nan'"),
        (VA, "path,valence,arousal", ["a.jpg,0_1,0"], "csv:2: valence is not a label"),
        (AU, "path,AU1", ["a.jpg,1", "b.jpg,3"], "csv:3: AU1 is not a label.*'3'.*0, 1, or nothing"),
        (VA, "path,label", ["a.jpg,happy"], "csv:1: not a table of labelled images.*path,valence,arousal"),
        (AU, "path,label", ["a.jpg,happy"], "csv:1: not a table of labelled images.*path,AU1,AU2,AU4,..."),
        (VA, "path,valence,arousal", ["a.jpg,,"], "no images to learn VA from"),
        (VA, "path,valence,arousal", ["a.jpg,0.5,0", "a.jpg,0.5,0.1"], r"csv:3: an image has two labels.*0\.5,0, as in line 2"),
        (AU, "path,AU1,AU2", ["a.jpg,1,0", "b.jpg,1,1", "./a.jpg,1,1"], "csv:4: an image has two labels.*as in line 2"),
    ],
)
def test_what_is_no_label_and_what_contradicts_itself_is_named_with_its_line(
    tmp_path: Path, challenge: Challenge, header: str, rows: list[str], said: str
) -> None:
    with pytest.raises(DataError, match=f"(?s){said}"):
        read_extra(table(tmp_path, rows, header), None, challenge)


def test_the_same_label_twice_is_no_contradiction(tmp_path: Path) -> None:
    extra = read_extra(table(tmp_path, ["a.jpg,0.5,0", "a.jpg,0.50,0.0"], "path,valence,arousal"), None, VA)
    assert rows_of(extra) == [[0.5, 0], [0.5, 0]]
