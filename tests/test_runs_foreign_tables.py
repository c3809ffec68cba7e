"""Parquet tables of labels as pandas and pyarrow write them, gaps among them, and ones whose parts contradict each other."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.errors import EXIT_DATA, EXIT_DONE, DataError
from harness.runs import foreign_tables, scores, store
from harness.runs.foreign_columns import ForeignColumns
from tests.command_line import harness
from tests.test_faults_hostile import varint

pandas = pytest.importorskip("pandas")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

NO_LABEL = "a label is a class id or a class name"
ROWS = 9_000
"""More than 8,191 rows: Parquet writes their number in three bytes, which stand for nothing else in the small files here."""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder whose rows.csv asks for all that a table here has."""
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("track,rows\none,10000\n")


def taken(path: str) -> int:
    return harness("import", path, "--rows", "rows.csv")


def table_of(labels: Any) -> Any:
    return pandas.DataFrame({"track": "one", "frame": range(1, len(labels) + 1), "label": labels})


def refused(path: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of a table that is refused."""
    assert taken(path) == EXIT_DATA
    assert not Path("runs").exists()
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "labels",
    [
        pandas.array([4, None, 2], dtype="Int64"),
        [4.0, np.nan, 2.0],
        ["Fear", None, "Anger"],
        pandas.Categorical(["Fear", None, "Anger"]),
        pandas.Categorical([4, None, 2]),
    ],
    ids=["nullable whole numbers", "numbers", "names", "categories of names", "categories of numbers"],
)
def test_a_gap_among_labels_is_named_with_its_row(labels: Any, capsys: pytest.CaptureFixture[str]) -> None:
    table_of(labels).to_parquet("gap.parquet")
    said = refused("gap.parquet", capsys)
    assert f"gap.parquet: {NO_LABEL}\n  found: nothing in row 2\n  expected: 0 Neutral to 7 Other\n" in said
    assert "leave rows without an answer out" in said


@pytest.mark.parametrize("gap", [None, float("nan")], ids=["null", "NaN"])
@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_a_gap_among_labels_that_pyarrow_wrote_is_named_with_its_row(
    kind: str, gap: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    values = np.array([1, 0, 0], kind)
    if gap is not None:
        values[2] = gap
    label = pyarrow.array(values, mask=np.array([False, False, gap is None]))
    parquet.write_table(pyarrow.table({"track": ["one"] * 3, "frame": [1, 2, 3], "label": label}), "gap.parquet")
    assert f"{NO_LABEL}\n  found: nothing in row 3\n" in refused("gap.parquet", capsys)


def test_labels_that_are_all_gaps_are_named_from_the_first_row(capsys: pytest.CaptureFixture[str]) -> None:
    table_of([None, None]).to_parquet("gap.parquet")
    assert f"{NO_LABEL}\n  found: nothing in row 1\n" in refused("gap.parquet", capsys)


def test_a_csv_file_says_a_gap_in_the_same_words(capsys: pytest.CaptureFixture[str]) -> None:
    table_of(pandas.array([4, None, 2], dtype="Int64")).to_csv("gap.csv", index=False)
    said = refused("gap.csv", capsys)
    assert f"gap.csv:3: {NO_LABEL}\n  found: nothing\n  expected: 0 Neutral to 7 Other\n" in said
    assert "leave rows without an answer out" in said


def test_whole_numbers_that_are_written_as_others_are_refused_with_what_to_write(capsys: pytest.CaptureFixture[str]) -> None:
    table = table_of([4.0, 0.0, 2.0])
    table.to_parquet("double.parquet")
    said = refused("double.parquet", capsys)
    assert f"{NO_LABEL}\n  found: a column of double\n  expected: 0 Neutral to 7 Other\n" in said
    assert "write table['label'].astype(int)" in said
    table["label"] = table["label"].astype(int)
    table.to_parquet("whole.parquet")
    assert taken("whole.parquet") == EXIT_DONE


def test_labels_of_another_kind_and_a_wrong_name_are_told_with_what_a_label_is(capsys: pytest.CaptureFixture[str]) -> None:
    table_of([True, False]).to_parquet("bool.parquet")
    assert f"{NO_LABEL}\n  found: a column of bool\n  expected: 0 Neutral to 7 Other" in refused("bool.parquet", capsys)
    table_of(["Fear", "Happy"]).to_parquet("name.parquet")
    assert f"name.parquet: {NO_LABEL}\n  found: 'Happy' in row 2\n" in refused("name.parquet", capsys)
    table_of(np.array([1, 2**64 - 1], np.uint64)).to_parquet("large.parquet")
    said = refused("large.parquet", capsys)
    assert f"row 2 of the array 'large' holds no class id (1 such rows)\n  found: [{float(2**64)}]" in said


def test_categories_of_ids_are_ids() -> None:
    table_of(pandas.Categorical([4, 0, 4])).to_parquet("ids.parquet")
    assert taken("ids.parquet") == EXIT_DONE
    (split,) = store.find("ids").splits()
    assert scores.read_track(store.find("ids"), split, "one").score.argmax(axis=1).tolist() == [4, 0, 4]


@pytest.mark.parametrize("column", ["track", "frame"])
def test_a_gap_among_tracks_or_frames_is_named_with_its_row(column: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = table_of([4, 0, 2]).astype({"frame": "Int64"})
    table.loc[1, column] = None
    table.to_parquet("gap.parquet")
    assert "found: nothing in row 2\n" in refused("gap.parquet", capsys)


def test_an_empty_table_has_no_rows_whatever_pandas_makes_of_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    pandas.DataFrame({"track": [], "frame": [], "label": []}).to_parquet("empty.parquet")
    table_of([4]).head(0).to_parquet("typed.parquet")
    for name in ("empty.parquet", "typed.parquet"):
        assert f"{name}: the file has no rows" in refused(name, capsys)


def test_a_category_that_stands_in_no_row_says_nothing() -> None:
    table = table_of(pandas.Categorical(["Fear", "Contempt", "Anger"]))
    table[table["label"] != "Contempt"].to_parquet("some.parquet")
    assert taken("some.parquet") == EXIT_DONE
    (split,) = store.find("some").splits()
    stored = scores.read_track(store.find("some"), split, "one")
    assert [stored.frame.tolist(), stored.score.argmax(axis=1).tolist()] == [[1, 3], [3, 1]]


def test_blanks_around_names_are_nothing_as_in_a_csv_file() -> None:
    table = table_of(["Fear ", " Anger"])
    table["track"] = " one"
    table.to_parquet("a.parquet")
    table.to_csv("b.csv", index=False)
    assert [taken("a.parquet"), taken("b.csv")] == [EXIT_DONE, EXIT_DONE]
    found = [scores.read_track(store.find(name), "test", "one").score.argmax(axis=1).tolist() for name in "ab"]
    assert found == [[3, 1], [3, 1]]


@pytest.mark.parametrize("column", ["track", "label"])
def test_texts_that_are_not_utf_8_are_a_damaged_file(column: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = pyarrow.table({"track": ["one"] * 3, "frame": [1, 2, 3], "label": ["Fear", "Anger", "Fear"]})
    parquet.write_table(table, "rows.parquet", compression="none", write_statistics=False)
    data = Path("rows.parquet").read_bytes()
    text = {"track": b"one", "label": b"Anger"}[column]
    place = data.index(bytes([len(text), 0, 0, 0]) + text) + 4
    Path("rows.parquet").write_bytes(data[:place] + b"\xff" + data[place + 1 :])
    said = refused("rows.parquet", capsys)
    assert "rows.parquet: not a Parquet file, or a damaged one: " in said
    assert "Invalid UTF8" in said


@pytest.mark.parametrize("labels", [["Fear", "Anger", "Fear"], [4, 1, 4]], ids=["names", "ids"])
def test_whichever_byte_of_its_pages_is_damaged_a_file_is_read_or_refused(labels: list[Any]) -> None:
    """Among others a row's place outside of the dictionary, and a dictionary shorter than its places."""
    table = pyarrow.table({"track": ["one"] * 3, "frame": [1, 2, 3], "label": labels})
    parquet.write_table(table, "rows.parquet", compression="none", write_statistics=False)
    data = Path("rows.parquet").read_bytes()
    pages = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
    refusals = 0
    for place in range(4, pages):
        for other in (0xFF, data[place] ^ 1):
            Path("rows.parquet").write_bytes(data[:place] + bytes([other]) + data[place + 1 :])
            try:
                foreign_tables.read_parquet(Path("rows.parquet"), ForeignColumns(), None, 10)
            except DataError:
                refusals += 1
    assert refusals > pages / 2


@pytest.mark.parametrize("column", ["track", "label"])
def test_lists_in_a_column_are_told_from_texts(column: str, capsys: pytest.CaptureFixture[str]) -> None:
    columns = {"track": ["one"] * 3, "frame": [1, 2, 3], "label": [1, 2, 3]}
    parquet.write_table(pyarrow.table({**columns, column: [["a"], ["b"], ["c"]]}), "lists.parquet")
    said = refused("lists.parquet", capsys)
    assert "list<" in said
    assert ("the column 'track' holds something else than texts" if column == "track" else NO_LABEL) in said


def test_of_a_parquet_file_no_line_is_named_and_no_other_column_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the foot is damaged, pyarrow may end the whole process for asking what it says of a column."""
    table_of([1, 2]).drop(columns="label").to_parquet("less.parquet")
    assert "less.parquet: the column 'Neutral' is absent" in refused("less.parquet", capsys)
    table = table_of([1, 2])
    table.insert(0, "beside", 0.5)
    table.to_parquet("more.parquet")
    metadata, asked = parquet.read_metadata("more.parquet"), []
    group = metadata.row_group(0)

    def column(number: int) -> Any:
        asked.append(group.column(number).path_in_schema)
        return group.column(number)

    spied = SimpleNamespace(num_rows=group.num_rows, num_columns=group.num_columns, column=column)
    foot = SimpleNamespace(num_rows=metadata.num_rows, num_row_groups=1, schema=metadata.schema, row_group=lambda number: spied)
    foreign_tables._refuse_large(Path("more.parquet"), foot, ("track", "frame", "label"), None, 10)
    assert asked == ["track", "frame", "label"]


def test_what_is_no_file_is_said_as_of_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder.parquet").mkdir()
    with pytest.raises(DataError, match="cannot read: Is a directory"):
        foreign_tables.read_parquet(Path("folder.parquet"), ForeignColumns(), None, 10)


def damaged(number: int, said: int) -> None:
    """A table whose foot counts rows otherwise in its `number`-th place: that of the table, of each column, of the group."""
    kinds = (("track", pyarrow.string()), ("frame", pyarrow.int64()), ("label", pyarrow.int64()))
    schema = pyarrow.schema([pyarrow.field(name, kind, nullable=False) for name, kind in kinds])  # else gaps are counted, too
    table = pyarrow.table([["one"] * ROWS, range(1, ROWS + 1), [1] * ROWS], schema=schema)
    parquet.write_table(table, "rows.parquet", write_statistics=False, compression="none")
    data = Path("rows.parquet").read_bytes()
    foot = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    parts = data[foot:].split(varint(ROWS, 3))
    assert len(parts) == 6
    places = [varint(said if place == number else ROWS, 3) for place in range(5)]
    Path("rows.parquet").write_bytes(data[:foot] + b"".join(sum(zip(parts, [*places, b""], strict=True), ())))


@pytest.mark.parametrize("said", [ROWS - 1, ROWS + 1])
def test_a_table_of_another_number_of_rows_than_its_group_is_damaged(said: int, capsys: pytest.CaptureFixture[str]) -> None:
    damaged(0, said)
    assert "damaged one: its groups have another number of rows than the table" in refused("rows.parquet", capsys)


@pytest.mark.parametrize(("column", "said"), [(1, ROWS - 1), (2, ROWS + 1), (3, ROWS - 1)])
def test_a_column_of_another_number_of_rows_than_its_group_is_damaged(
    column: int, said: int, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged(column, said)
    assert "damaged one: a column has another number of rows than the table" in refused("rows.parquet", capsys)


DATA, DICTIONARY = 0, 2


def head(kind: int, size: int, values: int) -> bytes:
    """The head of a page of so many bytes and values, as Thrift's compact protocol writes it: one of data, or a dictionary."""
    sizes = bytes([0x15]) + varint(kind) + bytes([0x15]) + varint(size, 5) + bytes([0x15]) + varint(size, 5)
    inside = bytes([0x15]) + varint(values, 5) + bytes([0x15, 0])
    return (
        sizes + (bytes([0x4C]) + inside if kind == DICTIONARY else bytes([0x2C]) + inside + bytes([0x15, 6, 0x15, 6])) + b"\0\0"
    )


def with_pages_before(pages: bytes) -> None:
    """A table of one row that is read, whose column `track` begins with `pages` and then has its own: a dictionary and data."""
    # What comes first puts the column so far back that the numbers of its places have three bytes, which stand nowhere else.
    table = pyarrow.table({"note": ["x" * 20_000], "track": ["one"], "frame": [1], "label": [1]})
    parquet.write_table(table, "pages.parquet", compression="none", write_statistics=False, use_dictionary=["track"])
    column = parquet.read_metadata("pages.parquet").row_group(0).column(1)
    own, begin = column.dictionary_page_offset, column.data_page_offset
    data = Path("pages.parquet").read_bytes()
    end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    foot = data[end:-8]
    for old, new in ((own, end), (begin, end + len(pages) + begin - own)):
        assert foot.count(varint(old, 3)) == 1
        foot = foot.replace(varint(old, 3), varint(new, 3))
    chunk = pages + data[own : own + column.total_compressed_size]
    Path("pages.parquet").write_bytes(data[:end] + chunk + foot + struct.pack("<I", len(foot)) + b"PAR1")


def test_many_pages_of_nothing_are_counted_for_their_heads(capsys: pytest.CaptureFixture[str]) -> None:
    with_pages_before(b"")
    assert taken("pages.parquet") == EXIT_DONE
    with_pages_before(head(DATA, 0, 0) * 5_000)
    assert harness("import", "pages.parquet", "--rows", "rows.csv", "--fresh") == EXIT_DATA
    assert "the columns are too large for what they should be" in capsys.readouterr().err


def test_a_dictionary_that_says_it_has_a_million_entries_is_counted_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    entry = struct.pack("<I", 1) + b"a"
    with_pages_before(head(DICTIONARY, len(entry), 1_000_000) + entry)
    assert "the columns are too large for what they should be" in refused("pages.parquet", capsys)
