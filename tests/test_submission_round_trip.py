"""Writing and reading are inverse to each other: rows, templates, builds, for every challenge and layout."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.challenge import AU, EXPR, FORMATS, MTL, VA, Challenge, Format, format_of
from harness.data.sample import Rows, Sample, load_sample, parse_sample, valid_sample
from harness.errors import DataError, MismatchError, UsageError
from harness.submission.blocks import read_block
from harness.submission.build import build
from harness.submission.checks import check
from harness.submission.expected import Expected, from_sample
from harness.submission.reader import read
from harness.submission.writer import image_prefixes, merged_file, real_text, track_file, value_bytes, value_lines

NAMES = st.text("abcXYZ0189-_.+", min_size=1, max_size=12).filter(lambda name: name[0] not in ".-" and name[-1] != ".")
REALS = st.floats(-1, 1, allow_nan=False, allow_subnormal=True)


def values_of(challenge: Challenge, count: int) -> st.SearchStrategy[NDArray[Any]]:
    columns = [
        st.lists(REALS if field.kind == "real" else st.integers(field.low, field.high), min_size=count, max_size=count)
        for field in challenge.fields
    ]
    dtype = np.int8 if challenge.integral else np.float64
    return st.tuples(*columns).map(lambda lists: np.array(lists, dtype).T.reshape(count, len(columns)))


@st.composite
def answers(draw: st.DrawFn, form: Format) -> dict[str, NDArray[Any]]:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique_by=str.lower))
    return {name: draw(values_of(form.challenge, draw(st.integers(1, 6)))) for name in names}


def flat(form: Format, array: NDArray[Any]) -> NDArray[Any]:
    """Values as they are read: without the axis of fields where there is one field."""
    return array[:, 0] if len(form.challenge.fields) == 1 else array


def assert_read(path: Path, form: Format, values: dict[str, NDArray[Any]]) -> None:
    answer = read(path, challenge=form.challenge.name, edition=form.edition)
    assert answer.form == form
    assert set(answer.values) == set(values)
    for name, array in values.items():
        assert answer.values[name].dtype == array.dtype
        np.testing.assert_array_equal(answer.values[name], flat(form, array))


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_what_is_written_is_read_back_exactly(form: Format, tmp_path: Path) -> None:
    @settings(max_examples=20, deadline=None, derandomize=True)
    @given(answers(form))
    def round_trip(values: dict[str, NDArray[Any]]) -> None:
        rows = Rows.from_counts((name, len(array)) for name, array in values.items())
        single = tmp_path / "predictions.txt"
        single.write_bytes(b"".join(merged_file(rows, form.header.encode(), values, form.challenge)))
        if form.layout == "single":
            assert_read(single, form, values)
        for name, array in values.items():
            track = tmp_path / f"{name}.txt"
            track.write_bytes(track_file(array, form.challenge))
            assert_read(track, form, {name: array})

    round_trip()


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_what_is_built_is_read_back_exactly_and_in_order(form: Format, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    dtype = np.int8 if form.challenge.integral else np.float64
    values = {name: rng.integers(0, 2, (rows, len(form.challenge.fields))).astype(dtype) for name, rows in (("b", 4), ("a", 3))}
    place = tmp_path / "answer"
    build(place, [(name, flat(form, array)) for name, array in values.items()], form.challenge, form.edition, None, {})
    assert_read(place, form, values)
    assert list(read(place).values) == ["b", "a"]
    if form.layout == "single":
        assert_read(place / "predictions.txt", form, values)


@pytest.mark.parametrize("form", list({form.challenge: form for form in FORMATS}.values()), ids=lambda form: form.name)
def test_text_read_and_written_again_is_the_same_text(form: Format) -> None:
    rng = np.random.default_rng(3)
    columns = [
        rng.uniform(-1, 1, 500) if field.kind == "real" else rng.integers(field.low, field.high + 1, 500)
        for field in form.challenge.fields
    ]
    text = value_bytes(np.stack(columns, axis=1).astype(np.int8 if form.challenge.integral else np.float64), form.challenge)
    block = read_block(text, form.challenge, with_image=False)
    assert block is not None
    assert value_bytes(block.values, form.challenge) == text


@given(st.floats(-1, 1))
def test_real_numbers_are_written_without_exponent_and_read_back_exactly(number: float) -> None:
    text = real_text(number)
    assert "e" not in text.lower()
    assert float(text) == number


def test_rows_are_written_one_way_only() -> None:
    assert track_file(np.array([3, 0, 7], np.int8), EXPR) == (
        b"Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other\n3\n0\n7\n"
    )
    assert value_bytes(np.array([[1, 0] * 6], np.int8), AU) == b"1,0,1,0,1,0,1,0,1,0,1,0\n"
    assert value_lines(np.array([[0.5, -1.0], [0.25, 1e-7]]), VA) == [b"0.5,-1.0\n", b"0.25,0.0000001\n"]
    both = np.array([[0.5, -0.5, 7.0, *[1.0, 0.0] * 6]])
    assert value_bytes(both, MTL) == b"0.5,-0.5,7,1,0,1,0,1,0,1,0,1,0,1,0\n"


@pytest.mark.parametrize(
    ("values", "challenge", "message"),
    [
        (np.array([0, 8], np.int8), EXPR, "row 2 has expression 8, but EXPR allows 0 to 7"),
        (np.array([0, -1], np.int8), EXPR, "row 2 has expression -1"),
        (np.array([0.5]), EXPR, "row 1 has expression 0.5"),
        (np.array([[0.0, np.nan]]), VA, "row 1 has arousal nan"),
        (np.array([[0.0, 1.01]]), VA, "row 1 has arousal 1.01"),
        (np.zeros((3, 11), np.int8), AU, "12 numbers in a row"),
        (np.zeros(3, np.int8), AU, "12 numbers in a row"),
    ],
)
def test_values_the_challenge_does_not_allow_are_not_written(values: NDArray[Any], challenge: Challenge, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        track_file(values, challenge)


SAMPLE_HEADER = b"image_location,Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
IMAGES = [b"b/00001.jpg", b"b/00002.jpg", b"a_left/00001.jpg", b"a_left/00002.jpg", b"a_left/00003.jpg"]


@pytest.mark.parametrize("ending", [b",", b",0", b"", b",7,spare", b",0.5,-0.5"], ids=repr)
@pytest.mark.parametrize("last", [b"\n", b"", b"\n\n"], ids=repr)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=repr)
def test_every_form_of_the_sample_gives_the_same_rows(ending: bytes, last: bytes, line_end: bytes) -> None:
    data = SAMPLE_HEADER + b"\n" + b"\n".join(image + ending for image in IMAGES) + last
    sample = parse_sample(data.replace(b"\n", line_end), "sample.txt")
    assert sample.header == SAMPLE_HEADER
    assert sample.rows.names == ("b", "a_left")
    assert sample.rows.counts == {"b": 2, "a_left": 3}
    assert sample.rows.without_gaps
    assert image_prefixes(sample.rows) == [image + b"," for image in IMAGES]


def test_the_sample_s_header_is_kept_byte_for_byte() -> None:
    odd = b"image_location, Neutral ,\xc3\x84rger"
    sample = parse_sample(odd + b"\nb/00001.jpg,\nb/00002.jpg,\n", "sample.txt")
    assert sample.header == odd
    merged = b"".join(merged_file(sample.rows, sample.header, {"b": np.array([5, 6], np.int8)}, EXPR))
    assert merged == odd + b"\nb/00001.jpg,5\nb/00002.jpg,6\n"


def test_rows_that_do_not_stand_together_are_merged_in_the_sample_s_order() -> None:
    data = b"image,valence\nb/00004.jpg,\na/00001.jpg,\nb/00001.jpg,\na/100000.jpg,\n"
    sample = parse_sample(data, "sample.txt")
    assert not sample.rows.tracks_stand_together
    assert not sample.rows.without_gaps
    values = {"a": np.array([1, 2], np.int8), "b": np.array([3, 4], np.int8)}
    merged = b"".join(merged_file(sample.rows, sample.header, values, EXPR))
    assert merged == b"image,valence\nb/00004.jpg,3\na/00001.jpg,1\nb/00001.jpg,4\na/100000.jpg,2\n"


@pytest.mark.parametrize(
    ("data", "line", "message"),
    [
        (b"b/00001.jpg,\n", 1, "first line"),
        (b"\n", 1, "first line"),
        (SAMPLE_HEADER + b"\n", 1, "a row of the sample"),
        (SAMPLE_HEADER + b"\nb/00001.jpg,\nb/2.jpg,\n", 3, "a row of the sample"),
        (SAMPLE_HEADER + b"\nb/00001.png,\n", 2, "a row of the sample"),
        (SAMPLE_HEADER + b"\nb/00001.jpg,\n\nb/00002.jpg,\n", 3, "a row of the sample"),
        (SAMPLE_HEADER + b"\nb/00001.jpg,\nb/00002.jpg,\nb/00001.jpg,\n", 4, "occurs twice"),
        (SAMPLE_HEADER + b"\nb/00000.jpg,\n", 2, "a row of the sample"),
        (SAMPLE_HEADER + b"\n../00001.jpg,\n", 2, "a row of the sample"),
        (SAMPLE_HEADER + b"\nab\0/00001.jpg,\nabcd/00001.jpg,\n", 2, "a row of the sample"),
        (SAMPLE_HEADER + b"\nab\xff/00001.jpg,\n", 2, "a row of the sample"),
    ],
)
def test_a_sample_that_is_none_is_refused_with_its_line(data: bytes, line: int | None, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        valid_sample(parse_sample(data, "sample.txt"), "sample.txt")
    assert caught.value.line == line


def test_a_sample_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "sample.txt"
    path.write_bytes(SAMPLE_HEADER + b"\n" + b"".join(image + b",\n" for image in IMAGES))
    assert len(load_sample(path).rows) == 5
    with pytest.raises(DataError, match="no such file"):
        load_sample(tmp_path / "none.txt")


def built(folder: Path, sample: Sample | None = None, **more: Any) -> Path:
    values = [("a_left", np.array([1, 2, 3], np.int8)), ("b", np.array([6, 7], np.int8))]
    build(folder / "answer", values, EXPR, more.pop("edition", 5), sample, {"runs": [{"name": "one"}], **more})
    return folder / "answer"


def test_a_built_submission_holds_tracks_single_file_and_record(tmp_path: Path) -> None:
    rows = Rows.from_counts([("b", 2), ("a_left", 3)])
    answer = built(tmp_path, Sample(rows, SAMPLE_HEADER), weights=[1.0])
    assert sorted(path.relative_to(answer).as_posix() for path in answer.rglob("*") if path.is_file()) == [
        "predictions.txt",
        "submission.json",
        "tracks/a_left.txt",
        "tracks/b.txt",
    ]
    assert (answer / "predictions.txt").read_bytes() == SAMPLE_HEADER + (
        b"\nb/00001.jpg,6\nb/00002.jpg,7\na_left/00001.jpg,1\na_left/00002.jpg,2\na_left/00003.jpg,3\n"
    )
    assert (answer / "tracks/b.txt").read_bytes() == EXPR.header.encode() + b"\n6\n7\n"
    record = json.loads((answer / "submission.json").read_bytes())
    assert record["challenge"] == "EXPR"
    assert record["edition"] == 5
    assert record["rows"] == [["b", 2], ["a_left", 3]]
    assert record["runs"] == [{"name": "one"}]
    assert record["weights"] == [1.0]
    for name, digest in record["files"].items():
        assert sha256((answer / name).read_bytes()).hexdigest() == digest
    assert set(record["files"]) == {"predictions.txt", "tracks/a_left.txt", "tracks/b.txt"}


def test_editions_of_files_per_track_get_no_single_file(tmp_path: Path) -> None:
    answer = built(tmp_path, edition=3)
    assert sorted(path.name for path in answer.iterdir()) == ["submission.json", "tracks"]


def test_building_again_replaces_the_folder_and_gives_the_same_bytes(tmp_path: Path) -> None:
    answer = built(tmp_path)
    before = {path.name: path.read_bytes() for path in answer.rglob("*") if path.is_file()}
    (answer / "left over.txt").write_text("x")
    built(tmp_path)
    assert {path.name: path.read_bytes() for path in answer.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([("b", 2), ("a_left", 3), ("c", 1)], "c is absent"),
        ([("b", 2)], "a_left is not in the sample"),
        ([("b", 2), ("a_left", 4)], "a_left has 3 rows instead of 4"),
    ],
)
def test_tracks_other_than_the_sample_s_are_refused_and_nothing_is_left(
    tmp_path: Path, counts: list[tuple[str, int]], message: str
) -> None:
    with pytest.raises(MismatchError, match=message):
        built(tmp_path, Sample(Rows.from_counts(counts), SAMPLE_HEADER))
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_is_not_allowed_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="track a: row 2 has expression 9"):
        build(tmp_path / "answer", [("a", np.array([0, 9], np.int8))], EXPR, 5, None, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../outside", "a/b", "", " blank", 'quo"te', "it's", "no\u00a0break", "com,ma", "con"])
def test_names_that_cannot_be_a_track_s_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises((UsageError, DataError)):
        build(tmp_path / "answer", [(name, np.zeros(2, np.int8))], EXPR, 5, None, {})
    assert list(tmp_path.iterdir()) == []


def test_a_track_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="twice"):
        build(tmp_path / "answer", [("a", np.zeros(2, np.int8)), ("a", np.zeros(2, np.int8))], EXPR, 5, None, {})


def test_the_record_s_own_keys_cannot_be_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rows"):
        build(tmp_path / "answer", [("a", np.zeros(2, np.int8))], EXPR, 5, None, {"rows": []})


def test_reading_a_faulty_file_names_the_first_fault(tmp_path: Path) -> None:
    path = tmp_path / "predictions.txt"
    path.write_bytes(format_of("EXPR", 5).header.encode() + b"\na/00001.jpg,1\na/00002.jpg,9\na/00003.jpg,9\n")
    with pytest.raises(DataError, match=r"VALUE_RANGE.*the first of 2 errors") as caught:
        read(path)
    assert caught.value.line == 3


def test_reading_one_track_s_file_gives_that_track(tmp_path: Path) -> None:
    path = tmp_path / "video7_left.txt"
    path.write_bytes(track_file(np.array([1, 2], np.int8), EXPR))
    answer = read(path)
    assert list(answer.values) == ["video7_left"]
    assert answer.values["video7_left"].tolist() == [1, 2]


def test_rows_expected_elsewhere_are_asked_of_what_is_read(tmp_path: Path) -> None:
    answer = built(tmp_path)
    rows = Rows.from_counts([("a_left", 3), ("b", 3)])
    with pytest.raises(DataError, match="ROW_ABSENT"):
        read(answer / "predictions.txt", Expected("a test", rows.names, rows))


@st.composite
def any_rows(draw: st.DrawFn) -> Rows:
    """Rows in any order, some more than once."""
    pairs = draw(st.lists(st.tuples(st.sampled_from(("b", "a", "c")), st.integers(1, 30)), min_size=1, max_size=40))
    names = tuple(dict.fromkeys(name for name, _ in pairs))
    track = np.array([names.index(name) for name, _ in pairs], np.int32)
    return Rows(names, track, np.array([frame for _, frame in pairs], np.int32))


@given(any_rows())
def test_rows_in_words_are_read_back_exactly_and_in_order(rows: Rows) -> None:
    again = Rows.from_spans(rows.spans())
    assert again.names == rows.names
    np.testing.assert_array_equal(again.track, rows.track)
    np.testing.assert_array_equal(again.frame, rows.frame)


def test_rows_in_words_are_few() -> None:
    rows = Rows(("b", "a"), np.array([0, 0, 0, 0, 1, 1, 0], np.int32), np.array([1, 2, 3, 8, 4, 3, 9], np.int32))
    assert rows.spans() == [("b", "1-3,8"), ("a", "4,3"), ("b", "9")]


@pytest.mark.parametrize("words", ["", "0", "01", "3-1", "1-", "1,,2", "1 ,2", "-1", "1-10000001", "1-5000000,1-5000001", "x"])
def test_other_words_are_no_rows(words: str) -> None:
    with pytest.raises(ValueError, match=r"frames|twice"):
        Rows.from_spans([("a", words)])


SPARSE = b"".join(b"%s/%05d.jpg,\n" % (name, frame) for name, frame in ((b"a", 1), (b"a", 8), (b"b", 3), (b"a", 17), (b"b", 100)))


@pytest.mark.parametrize("challenge", [MTL, EXPR], ids=lambda challenge: challenge.name)
@pytest.mark.parametrize("column", ["image", "picture"])
def test_a_submission_to_some_frames_in_any_order_is_read_by_its_own_record(
    challenge: Challenge, column: str, tmp_path: Path
) -> None:
    edition = 7 if challenge == MTL else 5
    form = format_of(challenge.name, edition)
    sample = parse_sample(form.header.replace(form.image_column, column).encode() + b"\n" + SPARSE, "sample.txt")
    rng = np.random.default_rng(0)
    dtype = np.int8 if challenge.integral else np.float64
    values = {name: rng.integers(0, 2, (count, len(challenge.fields))).astype(dtype) for name, count in (("a", 3), ("b", 2))}
    build(tmp_path / "answer", list(values.items()), challenge, edition, sample, {"split": "test"})
    verdict = check(tmp_path / "answer")
    assert not len(verdict.findings)
    assert verdict.unchecked == ""
    answer = read(tmp_path / "answer")
    assert {name: frames.tolist() for name, frames in answer.frames.items()} == {"a": [1, 8, 17], "b": [3, 100]}
    for name, array in values.items():
        np.testing.assert_array_equal(answer.values[name], flat(form, array))
    single = tmp_path / "answer" / "predictions.txt"
    single.write_bytes(single.read_bytes().replace(b"a/00008.jpg", b"a/00009.jpg"))
    assert {"ROW_ABSENT", "ROW_EXTRA"} <= set(check(tmp_path / "answer").findings.codes())


REPEATED = SPARSE + b"a/00008.jpg,\nb/00003.jpg,\na/00008.jpg,\n"


def repeating(folder: Path, values: dict[str, NDArray[Any]]) -> Path:
    """An answer to a multi-task list that names a/00008.jpg three times and b/00003.jpg twice."""
    sample = valid_sample(parse_sample(format_of("MTL", 7).header.encode() + b"\n" + REPEATED, "sample.txt"), "sample.txt")
    build(folder / "answer", list(values.items()), MTL, 7, sample, {"split": "test"})
    return folder / "answer"


def test_images_that_the_official_list_repeats_come_back_in_each_of_their_places(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    of_frame = {name: rng.integers(0, 2, (101, 15)).astype(np.float64) for name in "ab"}
    frames = {"a": [1, 8, 17, 8, 8], "b": [3, 100, 3]}
    place = repeating(tmp_path, {name: of_frame[name][frames[name]] for name in "ab"})
    lines = (place / "predictions.txt").read_text().splitlines()
    assert [line.split(",")[0] + "," for line in lines[1:]] == REPEATED.decode().splitlines()
    answer = read(place)
    assert {name: array.tolist() for name, array in answer.frames.items()} == frames
    for name, array in answer.values.items():
        np.testing.assert_array_equal(array, of_frame[name][frames[name]])
    sample = tmp_path / "sample.txt"
    sample.write_bytes(format_of("MTL", 7).header.encode() + b"\n" + REPEATED)
    assert not len(check(place, from_sample(sample)).findings)
    (place / "submission.json").unlink()
    of_tracks = check(place / "tracks", from_sample(sample), "MTL", 7)
    assert {name: array.tolist() for name, array in of_tracks.frames.items()} == frames


def test_two_answers_to_one_image_are_not_written(tmp_path: Path) -> None:
    values = {"a": np.zeros((5, 15)), "b": np.zeros((3, 15))}
    values["a"][4, 7] = 1
    with pytest.raises(DataError, match="different answers"):
        repeating(tmp_path, values)
    assert not (tmp_path / "answer").exists()


def test_a_repeat_in_a_list_of_every_frame_is_none(tmp_path: Path) -> None:
    for challenge in ("EXPR", "VA"):
        data = format_of(challenge, 5).header.encode() + b"\na/00001.jpg,\na/00002.jpg,\na/00001.jpg,\n"
        with pytest.raises(DataError, match="occurs twice") as caught:
            valid_sample(parse_sample(data, "sample.txt"), "sample.txt")
        assert caught.value.line == 4
