"""The official files of a test set: rows of the sample, names, totals, frame rates; each fault with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.official import TestSet, parse_frame_totals, parse_names, parse_test_set
from harness.data.rates import read_frame_rates, write_frame_rates
from tests.data_roots import SAMPLE_HEADER


def sample(rows: list[tuple[str, int]], values: list[str], end: str = "\n") -> bytes:
    images = [f"{name}/{frame:05d}.jpg" for name, count in rows for frame in range(1, count + 1)]
    return end.join([SAMPLE_HEADER, *(image + values[k % len(values)] for k, image in enumerate(images)), ""]).encode()


def faults(test_set: TestSet) -> list[tuple[str, int | None, str]]:
    return [(finding.kind.code, finding.line, finding.found) for finding in test_set.findings]


NAMES = st.text("abcXYZ0123456789-_.", min_size=1, max_size=12).map(lambda name: "v" + name + "v")
ROWS = st.lists(st.tuples(NAMES, st.integers(1, 40)), min_size=1, max_size=8, unique_by=lambda row: row[0])


@given(ROWS, st.sampled_from([[","], [",0"], [""], [",1", ",7"], [",0.5,-0.5", ",1,0"]]), st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=200)
def test_rows_and_order_come_back_whatever_the_answers_and_line_ends(
    rows: list[tuple[str, int]], values: list[str], end: str
) -> None:
    for data in (sample(rows, values, end), sample(rows, values, end).rstrip(), b"\xef\xbb\xbf" + sample(rows, values, end)):
        parsed = parse_test_set(data, "sample.txt")
        assert list(parsed.rows.items()) == rows
        assert parsed.findings == ()


def first_fault_by_the_rules(lines: list[str]) -> int | None:
    """The 1-based number of the first line that is not the next frame of its track, found in the slowest way."""
    seen: list[tuple[str, int]] = []
    for number, line in enumerate(lines, 1):
        name, _, file = line.split(",")[0].rpartition("/")
        previous = seen[-1] if seen else ("", 0)
        continues = name == previous[0] and file == f"{previous[1] + 1:05d}.jpg"
        begins = name not in [track for track, _ in seen] and file == "00001.jpg" and name != "" and "/" not in name
        if number > 1 and not continues and not begins:
            return number
        if number > 1:
            seen.append((name, int(file[:5])))
    return None


@given(ROWS, st.data())
@settings(max_examples=200)
def test_the_first_faulty_line_of_a_changed_sample_is_named(rows: list[tuple[str, int]], data: st.DataObject) -> None:
    lines = sample(rows, [","]).decode().splitlines()
    index = data.draw(st.integers(1, len(lines) - 1))
    change = data.draw(st.sampled_from(["drop", "repeat", "swap", "number", "slash", "letter"]))
    if change == "drop":
        del lines[index]
    elif change == "repeat":
        lines.insert(index, lines[index])
    elif change == "swap":
        lines[index], lines[1] = lines[1], lines[index]
    elif change == "number":
        lines[index] = lines[index].replace("0.jpg", "1.jpg")
    elif change == "slash":
        lines[index] = lines[index].replace("/", "\\")
    else:
        lines[index] = lines[index].replace(".jpg", ".png")
    if len(lines) == 1:
        return
    found = parse_test_set("\n".join(lines).encode() + b"\n", "sample.txt").findings
    assert (found[0].line if found else None) == first_fault_by_the_rules(lines)


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (["a/00001.jpg,", "a/00003.jpg,"], ("SAMPLE_ROW", 3, "'a/00003.jpg'")),
        (["a/00002.jpg,"], ("SAMPLE_ROW", 2, "'a/00002.jpg'")),
        (["a/00000.jpg,"], ("SAMPLE_ROW", 2, "'a/00000.jpg'")),
        (["a/00001.jpg,", "b/00001.jpg,", "a/00002.jpg,"], ("SAMPLE_ROW", 4, "'a/00002.jpg'")),
        (["../a/00001.jpg,"], ("SAMPLE_ROW", 2, "'../a/00001.jpg'")),
        (["con/00001.jpg,"], ("SAMPLE_ROW", 2, "'con/00001.jpg'")),
        (["00001.jpg,"], ("SAMPLE_ROW", 2, "'00001.jpg'")),
        (["a/1.jpg,"], ("SAMPLE_ROW", 2, "'a/1.jpg'")),
        (["a/00001,"], ("SAMPLE_ROW", 2, "'a/00001'")),
        (["a/00001.jpg,", "", "a/00002.jpg,"], ("SAMPLE_ROW", 3, "''")),
        (["\N{FULLWIDTH DIGIT ONE}/00001.jpg,", "a/0000\N{FULLWIDTH DIGIT ONE}.jpg,"], ("SAMPLE_ROW", 3, "'a/0000１.jpg'")),
        ([], ("SAMPLE_ROW", 1, "no rows")),
    ],
)
def test_a_row_that_is_not_the_next_frame_is_named_with_its_line(rows: list[str], fault: tuple[str, int, str]) -> None:
    assert faults(parse_test_set("\n".join([SAMPLE_HEADER, *rows]).encode(), "sample.txt"))[0] == fault


@pytest.mark.parametrize(
    "header", ["", "image,valence", SAMPLE_HEADER.replace(",Other", ""), f'"{SAMPLE_HEADER}"', "a/00001.jpg,"]
)
def test_a_sample_without_its_header_is_not_read(header: str) -> None:
    parsed = parse_test_set(f"{header}\na/00001.jpg,\n".encode(), "sample.txt")
    assert parsed.rows == {}
    assert [(code, line) for code, line, _ in faults(parsed)] == [("SAMPLE_HEADER", 1)]


def test_a_track_longer_than_five_digits_is_read() -> None:
    rows = parse_test_set(sample([("a", 100_002), ("b", 2)], [","]), "sample.txt").rows
    assert rows == {"a": 100_002, "b": 2}


def test_names_are_read_one_per_line_in_order() -> None:
    parsed = parse_names(b"\xef\xbb\xbfvideo92\r\n14-30-1920x1080\n\n a b \n", "names.txt")
    assert list(parsed.rows) == ["video92", "14-30-1920x1080", "a b"]
    assert parsed.findings == ()


@pytest.mark.parametrize("line", ["../a", "/etc/passwd", "a\\b", "nul", "a" * 201, "C:", "video92", ".hidden", "x\x00y"])
def test_a_line_that_is_no_new_track_name_is_named(line: str) -> None:
    assert [(code, number) for code, number, _ in faults(parse_names(f"video92\n{line}\n".encode(), "names.txt"))] == [
        ("NAMES_LINE", 2)
    ]


def test_the_totals_of_the_first_edition_give_rows() -> None:
    parsed = parse_frame_totals(b"The video video92 of the test set has total 4778 frames\n\n", "totals.txt")
    assert (parsed.rows, parsed.findings) == ({"video92": 4778}, ())


@pytest.mark.parametrize(
    "line",
    [
        "video92 4778",
        "The video video92 of the test set has total many frames",
        "The video ../x of the test set has total 3 frames",
    ],
)
def test_a_sentence_without_track_and_total_is_named(line: str) -> None:
    assert faults(parse_frame_totals(line.encode(), "totals.txt"))[0][:2] == ("NAMES_LINE", 1)


@given(st.dictionaries(NAMES, st.tuples(st.floats(0.01, 1000), st.integers(0, 10**7)), max_size=6))
def test_frame_rates_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rates: dict[str, tuple[float, int]]
) -> None:
    path = tmp_path_factory.mktemp("rates") / "frame_rates.csv"
    write_frame_rates(path, [(name, rate, frames) for name, (rate, frames) in rates.items()])
    read = read_frame_rates(path)
    assert (read.by_recording, read.findings) == (rates, ())


@pytest.mark.parametrize(
    "line",
    ["a", "a,", "a,x,3", "a,nan,3", "a,inf,3", "a,-25,3", "a,25000,3", "a,25,-1", "a,25,3.5", ",25,3", "b,25,3", "a,29,97,3"],
)
def test_a_faulty_frame_rate_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "frame_rates.csv"
    path.write_text(f"recording,fps,frames\nb,30,10\n{line}\n")
    assert [(finding.kind.code, finding.line) for finding in read_frame_rates(path).findings] == [("FRAME_RATES", 3)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
def test_lines_of_frame_rates_may_end_as_on_any_system(tmp_path: Path, end: str) -> None:
    path = tmp_path / "frame_rates.csv"
    path.write_bytes(f"recording,fps,frames{end}a,30,10{end}b,25.5,7{end}".encode())
    read = read_frame_rates(path)
    assert (read.by_recording, read.findings) == ({"a": (30.0, 10), "b": (25.5, 7)}, ())


def test_a_cell_without_end_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "frame_rates.csv"
    path.write_text(f"recording,fps,frames\na,30,10\n{'x' * 200_000},25,3\n")
    read = read_frame_rates(path)
    assert read.by_recording == {"a": (30.0, 10)}
    assert [(finding.kind.code, finding.line) for finding in read.findings] == [("FRAME_RATES", 3)]
    assert "not a CSV table" in read.findings[0].found


@given(st.binary(max_size=300))
def test_no_bytes_whatever_stop_the_reader_of_frame_rates(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    path = tmp_path_factory.mktemp("rates") / "frame_rates.csv"
    path.write_bytes(b"recording,fps,frames\n" + tail)
    assert all(rate > 0 and frames >= 0 for rate, frames in read_frame_rates(path).by_recording.values())


def test_frame_rates_need_their_header(tmp_path: Path) -> None:
    path = tmp_path / "frame_rates.csv"
    path.write_text("a,30\n")
    assert [(finding.kind.code, finding.line) for finding in read_frame_rates(path).findings] == [("FRAME_RATES", 1)]


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=300)
def test_no_bytes_whatever_stop_a_reader(tail: bytes, with_header: bool) -> None:
    data = (SAMPLE_HEADER.encode() + b"\n" if with_header else b"") + tail
    for parse in (parse_test_set, parse_names, parse_frame_totals):
        parsed = parse(data, "file.txt")
        assert all(rows >= 0 for rows in parsed.rows.values())
