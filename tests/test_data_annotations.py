"""One label file of expressions, values or units: what is read over, and what is named with its line."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.challenge import AU, AU_8, EXPR_7, VA
from harness.data.annotations import load_labels, parse_labels
from harness.errors import DataError
from harness.kinds.parts import parts_of

HEADER = b"Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"


def read(data: bytes) -> tuple[list[int], list[tuple[str, int | None, str]]]:
    label_file = parse_labels(data, "a.txt")
    return label_file.labels.tolist(), [(finding.kind.code, finding.line, finding.found) for finding in label_file.findings]


@given(st.lists(st.integers(-1, 7), min_size=1, max_size=300), st.sampled_from([b"\n", b"\r\n"]), st.booleans(), st.booleans())
def test_every_official_form_gives_the_labels_back(labels: list[int], end: bytes, mark: bool, final: bool) -> None:
    lines = [HEADER, *(str(label).encode() for label in labels)]
    data = (b"\xef\xbb\xbf" if mark else b"") + end.join(lines) + (end if final else b"")
    assert read(data) == (labels, [])
    assert parse_labels(data, "a.txt").labels.dtype == np.int8


def test_blanks_around_values_and_names_and_empty_lines_at_the_end_are_read_over() -> None:
    assert read(HEADER.replace(b",", b", ") + b" \n 3\n-1 \n7\n\n \n") == ([3, -1, 7], [])


def test_the_first_editions_header_has_seven_classes_and_no_label_seven() -> None:
    seven = HEADER.removesuffix(b",Other")
    assert parse_labels(seven + b"\n6\n-1\n", "a.txt").challenge == EXPR_7
    assert read(seven + b"\n6\n7\n")[1] == [("LABEL_VALUE", 3, "'7'")]


@pytest.mark.parametrize("value", ["8", "-2", "-5", "3.0", "03", "+3", "1e0", "", "Neutral", "0,1", "1 2", "0x1", "nan"])
def test_a_line_that_is_not_one_class_number_is_named_with_its_line(value: str) -> None:
    labels, findings = read(HEADER + b"\n0\n1\n" + value.encode() + b"\n2\n")
    assert labels == [0, 1, -1, 2]
    assert findings == [("LABEL_VALUE", 4, repr(value))]


def test_all_faults_of_a_file_are_named_up_to_twenty() -> None:
    assert [line for _, line, _ in read(HEADER + b"\n9\n0\n8\n")[1]] == [2, 4]
    assert len(read(HEADER + b"\nx" * 1000)[1]) == 20


@pytest.mark.parametrize(
    ("data", "code", "line"),
    [
        (b"", "LABEL_HEADER", 1),
        (b"0\n1\n2\n", "LABEL_HEADER", 1),
        (b"valence,arousal\n0.1,0.2\n", "LABEL_HEADER", 1),
        (b"Anger,Neutral,Disgust,Fear,Happiness,Sadness,Surprise,Other\n0\n", "LABEL_HEADER", 1),
        (b"neutral,anger,disgust,fear,happiness,sadness,surprise,other\n0\n", "LABEL_HEADER", 1),
        (HEADER, "LABEL_EMPTY", 1),
        (HEADER + b"\n\n\n", "LABEL_EMPTY", 1),
        ("\N{FULLWIDTH DIGIT THREE}".encode(), "LABEL_ENCODING", None),
        ((HEADER + b"\n0\n").decode().encode("utf-16"), "LABEL_ENCODING", None),
        (HEADER + b"\n0\n\x00\n", "LABEL_ENCODING", None),
        (b"\xff\xd8\xff\xe0 a picture", "LABEL_ENCODING", None),
    ],
)
def test_a_file_that_is_no_label_file_has_no_labels(data: bytes, code: str, line: int | None) -> None:
    label_file = parse_labels(data, "a.txt")
    assert len(label_file.labels) == 0
    assert [(finding.kind.code, finding.line) for finding in label_file.findings] == [(code, line)]


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_whatever_stop_the_reader_and_no_label_is_out_of_range(tail: bytes, with_header: bool) -> None:
    label_file = parse_labels((HEADER + b"\n" if with_header else b"") + tail, "a.txt")
    assert all(-1 <= label <= 7 for label in label_file.labels.tolist())
    assert len(label_file.labels) > 0 or label_file.findings


def test_loading_a_faulty_file_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "track.txt"
    path.write_bytes(HEADER + b"\r\n0\r\n9\r\n")
    with pytest.raises(DataError) as caught:
        load_labels(path)
    assert (caught.value.path, caught.value.line, caught.value.found) == (str(path), 3, "'9'")


def test_loading_an_absent_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.txt"):
        load_labels(tmp_path / "absent.txt")


def read_values(body: str) -> tuple[list[list[float]], list[tuple[int | None, str]]]:
    label_file = parse_labels(f"valence,arousal\n{body}".encode(), "a.txt", (VA,))
    assert label_file.labels.dtype == np.float64
    return label_file.labels.tolist(), [(finding.line, finding.expected) for finding in label_file.findings]


def read_units(body: str) -> tuple[list[list[int]], list[tuple[int | None, str]]]:
    label_file = parse_labels(f"{AU.header}\n{body}".encode(), "a.txt", (AU, AU_8))
    assert label_file.labels.dtype == np.int8
    return label_file.labels.tolist(), [(finding.line, finding.expected) for finding in label_file.findings]


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=100),
    st.sampled_from(["{:.3f}", "{:.17g}", "{:e}", "{!r}"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_values_are_read_as_numpy_reads_them(values: list[tuple[float, float]], form: str, end: str) -> None:
    text = end.join(",".join(form.format(value) for value in pair) for pair in values)
    expected = np.loadtxt(io.StringIO(text), delimiter=",", ndmin=2)
    assert read_values(text) == (expected.tolist(), [])


def test_a_frame_without_one_of_its_two_values_has_none() -> None:
    assert read_values("0.5,-5\n-5,-5\n-5.0,0.25\n-1,1\n") == ([[-5, -5], [-5, -5], [-5, -5], [-1, 1]], [])


@pytest.mark.parametrize(
    "row", ["1.001,0", "0,-1.5", "-4,0", "nan,0", "0,inf", "0.5", "0.1,0.2,0.3", "a,0", "0x1,0", "1_0,0", ",0", "0.5;0.5"]
)
def test_a_line_without_two_values_in_range_is_named_with_its_line(row: str) -> None:
    labels, findings = read_values(f"0.1,0.2\n{row}\n0.3,0.4\n")
    assert labels == [[0.1, 0.2], [-5, -5], [0.3, 0.4]]
    assert findings == [(3, "2 x -5 or -1 to 1")]


@given(st.lists(st.lists(st.integers(0, 1), min_size=12, max_size=12), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_units_are_read_and_a_frame_that_lacks_one_has_none(units: list[list[int]], seed: int) -> None:
    table = np.array(units)
    lacking = np.random.default_rng(seed).random(table.shape) < 0.02
    text = "\n".join(",".join(map(str, row)) for row in np.where(lacking, -1, table).tolist())
    expected = np.where(lacking.any(axis=1, keepdims=True), -1, table)
    assert read_units(text) == (expected.tolist(), [])


@pytest.mark.parametrize("unit", ["2", "0.0", "1.0", "-5", "", "01", "+1", "yes"])
def test_a_unit_that_is_neither_active_nor_inactive_nor_ignored_is_named_with_its_line(unit: str) -> None:
    row = ",".join(["0"] * 11)
    labels, findings = read_units(f"{row},1\n{row},{unit}\n")
    assert labels == [[0] * 11 + [1], [-1] * 12]
    assert findings == [(3, "12 x -1 or 0 to 1")]


def test_the_header_says_how_many_units_there_are() -> None:
    eight = parse_labels(f"{AU_8.header}\n{','.join('01010101')}\n".encode(), "a.txt", (AU, AU_8))
    assert (eight.challenge, eight.labels.tolist(), eight.findings) == (AU_8, [[0, 1] * 4], ())
    (finding,) = parse_labels(b"arousal,valence\n0,0\n", "a.txt", (VA,)).findings
    assert (finding.kind.code, finding.expected) == ("LABEL_HEADER", "valence,arousal")


def test_a_frame_nobody_labelled_is_left_out_of_the_sums_of_its_part() -> None:
    labels = np.array(read_values("0.5,-5\n0.5,0.25\n-0.5,0\n")[0])
    sums = parts_of(VA).sums(labels, np.zeros_like(labels))
    assert sums[[0, 8]].tolist() == [2, 2]


def test_values_of_a_file_are_loaded_by_name(tmp_path: Path) -> None:
    path = tmp_path / "track.txt"
    path.write_text("valence,arousal\n0.1,-0.2\n0.1,-0.2\n")
    np.testing.assert_array_equal(load_labels(path, (VA,)), [[0.1, -0.2]] * 2)
