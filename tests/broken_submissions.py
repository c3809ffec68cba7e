"""Makes broken submissions out of valid ones, each with the findings it must give: code, file and 1-based line.

The valid ones cover every challenge and layout. A fault is planted where it can be named exactly, so a test can ask for exactly
these findings and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.challenge import EXPR, FORMATS, Format, format_of
from harness.data.sample import Rows
from harness.submission.expected import Expected
from harness.submission.writer import value_lines

Places = frozenset[tuple[str, str, int | None]]

TRACKS = (("10-30-640x480", 9), ("video2_left", 6), ("video2_right", 7), ("45", 8))
# Images of MTL are sparse.
SPARSE = {"10-30-640x480": (1, 8, 17, 21, 30, 31, 40, 52, 60), "45": (3, 4, 5, 6, 7, 8, 9, 100)}


@dataclass(frozen=True)
class Case:
    """A submission as files, what it is checked against, and what has to be found."""

    name: str
    form: Format
    files: dict[str, bytes]
    expected: Expected | None
    found: Places
    archive: Callable[[dict[str, bytes]], bytes] | None = None
    archive_name: str = "attempt.zip"
    options: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Writes the submission into an empty folder and returns its path."""
        if self.archive is not None:
            path = folder / self.archive_name
            path.write_bytes(self.archive(self.files))
            return path
        for name, data in self.files.items():
            path = folder / "answer" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder / "answer"


def valid(form: Format, seed: int = 0) -> Case:
    """A valid answer in the layout of the edition."""
    rng = np.random.default_rng([seed, form.edition])
    rows = _rows(form)
    lines = {}
    for name, count in rows.counts.items():
        columns = [
            rng.uniform(-1, 1, count).round(3) if column.kind == "real" else rng.integers(column.low, column.high + 1, count)
            for column in form.challenge.fields
        ]
        values = np.stack(columns, axis=1)
        lines[name] = value_lines(values.astype(np.int8) if form.challenge.integral else values, form.challenge)
    if form.layout == "tracks":
        files = {f"{name}.txt": form.challenge.header.encode() + b"\n" + b"".join(lines[name]) for name in lines}
    else:
        left = {name: iter(texts) for name, texts in lines.items()}
        body = [
            f"{rows.names[track]}/{frame:05d}.jpg,".encode() + next(left[rows.names[track]])
            for track, frame in zip(rows.track.tolist(), rows.frame.tolist(), strict=True)
        ]
        files = {form.answer_name: form.header.encode() + b"\n" + b"".join(body)}
    header = form.header.encode() if form.layout == "single" else None
    expected = Expected("rows made for a test", rows.names, rows, header)
    options = {"challenge": form.challenge.name, "edition": form.edition}
    return Case(f"{form.challenge.name}-{form.edition}", form, files, expected, frozenset(), options=options)


def line_faults(case: Case) -> Iterator[Case]:
    """Every fault that lies in the text of one file."""
    for maker in (field_faults, row_faults, file_faults, header_faults, image_faults, row_set_faults):
        yield from maker(case)


def file_set_faults(case: Case) -> Iterator[Case]:
    """Every fault that lies in which files there are."""
    yield from folder_faults(case)
    yield from stray_faults(case)


def _rows(form: Format) -> Rows:
    if form.every_frame:
        return Rows.from_counts(TRACKS)
    names = tuple(SPARSE)
    track = [index for index, name in enumerate(names) for _ in SPARSE[name]]
    frame = [number for name in names for number in SPARSE[name]]
    return Rows(names, np.array(track, np.int32), np.array(frame, np.int32))


def bases() -> list[Case]:
    """A valid answer for every edition and challenge."""
    return [valid(form) for form in FORMATS]


def first_file(case: Case) -> str:
    """The file in which faults of lines are planted."""
    return next(iter(case.files))


def lines_of(case: Case, name: str | None = None) -> list[bytes]:
    """The lines of a file without their ends; the header is the first."""
    return case.files[name or first_file(case)].removesuffix(b"\n").split(b"\n")


def with_lines(case: Case, what: str, lines: list[bytes], *found: tuple[str, int | None], end: bytes = b"\n") -> Case:
    """The case with other lines in its first file, and what is found in this file."""
    return with_bytes(case, what, b"\n".join(lines) + end, *found)


def with_bytes(case: Case, what: str, data: bytes, *found: tuple[str, int | None]) -> Case:
    """The case with other bytes in its first file."""
    name = first_file(case)
    places = frozenset((code, name, line) for code, line in found)
    return replace(case, name=f"{case.name}: {what}", files={**case.files, name: data}, found=places)


# What is wrong with a field, by its kind: text and code.
CLASS_FAULTS = (
    ("8", "VALUE_RANGE"),
    ("9", "VALUE_RANGE"),
    ("42", "VALUE_RANGE"),
    ("-3", "VALUE_RANGE"),
    ("-1", "VALUE_IGNORE_CODE"),
    ("06", "VALUE_NUMBER_FORM"),
    ("+1", "VALUE_NUMBER_FORM"),
    ("1.0", "VALUE_NUMBER_FORM"),
    ("1e0", "VALUE_NUMBER_FORM"),
    ("-0", "VALUE_NUMBER_FORM"),
    ("0.5", "VALUE_NUMBER_FORM"),
    ("\uff11", "VALUE_NUMBER_FORM"),
    ("nan", "VALUE_NAN"),
    ("inf", "VALUE_INFINITE"),
    ("", "VALUE_ABSENT"),
    ("x", "VALUE_NOT_A_NUMBER"),
    ("0x1", "VALUE_NOT_A_NUMBER"),
)
UNIT_FAULTS = (
    ("2", "VALUE_RANGE"),
    ("-1", "VALUE_IGNORE_CODE"),
    ("01", "VALUE_NUMBER_FORM"),
    ("1.0", "VALUE_NUMBER_FORM"),
    ("+1", "VALUE_NUMBER_FORM"),
    ("\uff10", "VALUE_NUMBER_FORM"),
    ("0.83", "ROW_PROBABILITIES"),
    ("nan", "VALUE_NAN"),
    ("-inf", "VALUE_INFINITE"),
    ("", "VALUE_ABSENT"),
    ("yes", "VALUE_NOT_A_NUMBER"),
)
REAL_FAULTS = (
    ("1.5", "VALUE_RANGE"),
    ("-1.0001", "VALUE_RANGE"),
    ("-5", "VALUE_IGNORE_CODE"),
    ("+0.5", "VALUE_NUMBER_FORM"),
    (".5", "VALUE_NUMBER_FORM"),
    ("1.", "VALUE_NUMBER_FORM"),
    ("00.5", "VALUE_NUMBER_FORM"),
    ("\uff10.\uff15", "VALUE_NUMBER_FORM"),
    ("NaN", "VALUE_NAN"),
    ("Infinity", "VALUE_INFINITE"),
    ("1e999", "VALUE_INFINITE"),
    ("", "VALUE_ABSENT"),
    ("high", "VALUE_NOT_A_NUMBER"),
)
FIELD_FAULTS = {"class": CLASS_FAULTS, "unit": UNIT_FAULTS, "real": REAL_FAULTS}


def field_faults(case: Case) -> Iterator[Case]:
    """One faulty number in the second-last row, in each kind of field."""
    lines = lines_of(case)
    row, challenge = len(lines) - 2, case.form.challenge
    with_image = case.form.layout == "single"
    for kind in dict.fromkeys(column.kind for column in challenge.fields):
        position = [column.kind for column in challenge.fields].index(kind) + with_image
        faults: tuple[tuple[str, str], ...] = FIELD_FAULTS[kind]
        if kind == "class":
            faults += ((challenge.class_names[2], "VALUE_CLASS_NAME"),)
            if len(challenge.class_names) == 7 and challenge.name == EXPR.name:
                faults += (("7", "VALUE_OTHER_EDITION"),)
        for text, code in faults:
            if len(challenge.fields) == 1 and not with_image and not text:
                continue  # without an image name this is a blank line
            fields = lines[row].split(b",")
            fields[position] = text.encode()
            changed = [*lines[:row], b",".join(fields), *lines[row + 1 :]]
            yield with_lines(case, f"{kind} {text!r}", changed, (code, row + 1))


def row_faults(case: Case) -> Iterator[Case]:
    """Faults of the form of one row."""
    lines, row = lines_of(case), 3
    text = lines[row]
    several = b"," in text
    fields = text.split(b",")

    def changed(what: str, line: bytes, *codes: str) -> Case:
        return with_lines(case, what, [*lines[:row], line, *lines[row + 1 :]], *((code, row + 1) for code in codes))

    yield changed("blank at the end of a row", text + b" ", "SPACES")
    yield changed("blank before a row", b" " + text, "SPACES")
    yield changed("tab at the end of a row", text + b"\t", "SPACES")
    yield changed("no-break space", text + "\u00a0".encode(), "SPACES")
    yield changed("quoted row", b'"' + text + b'"', "QUOTED_FIELD")
    yield changed("single quotes", b",".join([*fields[:-1], b"'" + fields[-1] + b"'"]), "QUOTED_FIELD")
    yield changed("comma at the end", text + b",", "TRAILING_COMMA")
    yield changed("two fields too many", text + b",0,0", "FIELD_COUNT")
    yield changed("NUL byte", text + b"\0", "NUL_BYTE")
    yield changed("not UTF-8", text + b"\xff", "ENCODING")
    yield changed("long line", text + b" " * 5000, "LINE_TOO_LONG")
    yield changed("several faults", b' "' + text + b'",', "QUOTED_FIELD", "SPACES", "TRAILING_COMMA")
    yield with_lines(case, "blank line", [*lines[:row], b"", *lines[row:]], ("BLANK_LINE", row + 1))
    yield with_lines(case, "line of blanks", [*lines[:row], b" \t", *lines[row:]], ("BLANK_LINE", row + 1))
    yield with_lines(case, "blank line at the end", [*lines, b""], ("BLANK_LINE", len(lines) + 1))
    yield with_lines(case, "header again", [*lines[:row], lines[0], *lines[row:]], ("HEADER_REPEATED", row + 1))
    if several:
        yield changed("semicolons", text.replace(b",", b";"), "DELIMITER")
        yield changed("tabs", text.replace(b",", b"\t"), "DELIMITER")
        yield changed("blanks for commas", text.replace(b",", b" "), "DELIMITER")
        yield changed("blank after a comma", text.replace(b",", b", ", 1), "SPACES")
    if case.form.layout == "single":
        yield changed("index before a row", b"%d," % (row - 1) + text, "INDEX_COLUMN")
        yield changed("no value", fields[0], "VALUE_ABSENT")
        yield changed("no image name", fields[-1], "FIELD_COUNT", "ROW_ABSENT")
    elif len(case.form.challenge.fields) == 1:
        yield changed("index before a row", b"%d," % (row - 1) + text, "INDEX_COLUMN")
    if len(case.form.challenge.fields) == 1:
        classes = len(case.form.challenge.class_names)
        image = fields[:-1]
        one_hot = [b"1" if label == 2 else b"0" for label in range(classes)]
        shares = [b"0.9"] + [b"%.4f" % (0.1 / (classes - 1))] * (classes - 1)
        yield changed("one-hot row", b",".join([*image, *one_hot]), "ROW_ONE_HOT")
        yield changed("probabilities", b",".join([*image, *shares]), "ROW_PROBABILITIES")


def file_faults(case: Case) -> Iterator[Case]:
    """Faults of the bytes of a whole file."""
    name = first_file(case)
    data, lines = case.files[name], lines_of(case)
    yield with_bytes(case, "byte-order mark", b"\xef\xbb\xbf" + data, ("BYTE_ORDER_MARK", 1))
    yield with_bytes(case, "CR LF", data.replace(b"\n", b"\r\n"), ("CARRIAGE_RETURN", 1))
    yield with_bytes(case, "CR", data.replace(b"\n", b"\r"), ("CARRIAGE_RETURN", 1))
    yield with_bytes(case, "one CR LF", data[:-1] + b"\r\n", ("CARRIAGE_RETURN", len(lines)))
    yield with_bytes(case, "UTF-16", data.decode().encode("utf-16"), ("ENCODING", 1))
    yield with_bytes(case, "empty", b"", ("FILE_EMPTY", None))
    yield with_bytes(case, "header alone", lines[0] + b"\n", ("FILE_EMPTY", None))
    yield with_bytes(case, "no final newline", data[:-1], ("FINAL_NEWLINE", len(lines)))
    yield with_bytes(case, "one endless line", data + b"0" * 2_000_000, ("LINE_TOO_LONG", len(lines) + 1))
    mark = with_bytes(case, "mark, CR LF, no final newline", b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n")[:-2])
    yield replace(
        mark,
        found=frozenset({("BYTE_ORDER_MARK", name, 1), ("CARRIAGE_RETURN", name, 1), ("FINAL_NEWLINE", name, len(lines))}),
    )


def header_faults(case: Case) -> Iterator[Case]:
    """Other first lines."""
    lines = lines_of(case)
    header, rows = lines[0], lines[1:]
    names = header.split(b",")
    first = 1 if case.form.layout == "single" else 0

    def changed(what: str, line: bytes, *codes: str) -> Case:
        return with_lines(case, what, [line, *rows], *((code, 1) for code in codes))

    cell = b",".join([*names[:first], b'"' + b",".join(names[first:]) + b'"'])
    yield changed("quoted header, as pandas writes it", cell, "HEADER_QUOTED")
    yield changed("every name quoted", b",".join(b'"' + name + b'"' for name in names), "HEADER_QUOTED")
    yield changed("header with blanks", header.replace(b",", b", "), "HEADER_SPACED")
    yield changed("header with a blank at its end", header + b" ", "HEADER_SPACED")
    yield changed("header quoted and with blanks", b'"' + header.replace(b",", b", ") + b'"', "HEADER_QUOTED", "HEADER_SPACED")
    yield changed("header in lower case", header.swapcase(), "HEADER_UNKNOWN")
    yield changed("header with a comma at its end", header + b",", "HEADER_UNKNOWN")
    yield changed("columns in another order", b",".join([*names[:first], *reversed(names[first:])]), "HEADER_ORDER")
    yield changed("header with semicolons", header.replace(b",", b";"), "DELIMITER")
    yield changed("header with an index", b"," + header, "INDEX_COLUMN")
    yield changed("header without its last name", b",".join(names[:-1]), _shorter_header(case))
    yield changed("a comment for a header", b"# made by our best model", "HEADER_UNKNOWN")
    yield with_lines(case, "no header", rows, ("HEADER_MISSING", 1))
    others = [form for form in FORMATS if form.challenge.name != case.form.challenge.name and form.layout == case.form.layout]
    yield changed("header of another challenge", others[0].header.encode(), "HEADER_OTHER_CHALLENGE")
    if case.form.challenge.name != "MTL":
        other_layout = case.form.challenge.header if case.form.image_column else f"image_location,{case.form.challenge.header}"
        yield changed("header of the other layout", other_layout.encode(), "HEADER_OTHER_LAYOUT")
    for edition, other in ((1, "EXPR"), (5, "EXPR"), (1, "AU"), (5, "AU")):
        known = format_of(other, edition).challenge
        if other == case.form.challenge.name and known != case.form.challenge:
            line = f"image_location,{known.header}" if first else known.header
            yield changed(f"header of edition {edition}", line.encode(), "HEADER_OTHER_EDITION")


def _shorter_header(case: Case) -> str:
    """Without Other the header of eight classes is that of the first editions."""
    return "HEADER_OTHER_EDITION" if case.form.challenge == EXPR else "HEADER_UNKNOWN"


def image_faults(case: Case) -> Iterator[Case]:
    """Faults of one image name, and of the rows of a single file."""
    if case.form.layout != "single":
        return
    lines = lines_of(case)
    row = 4
    image, _, values = lines[row].partition(b",")
    track, _, number = image.partition(b"/")

    def changed(what: str, name: bytes, *codes: str) -> Case:
        line = name + b"," + values
        return with_lines(case, what, [*lines[:row], line, *lines[row + 1 :]], *((code, row + 1) for code in codes))

    digits = number.removesuffix(b".jpg")
    yield changed("no extension", track + b"/" + digits, "IMAGE_EXTENSION")
    yield changed("png", track + b"/" + digits + b".png", "IMAGE_EXTENSION")
    yield changed("JPG", track + b"/" + digits + b".JPG", "IMAGE_EXTENSION")
    yield changed("one digit", track + b"/%d.jpg" % int(digits), "IMAGE_PADDING")
    yield changed("six digits", track + b"/0" + number, "IMAGE_PADDING")
    yield changed("one digit, png", track + b"/%d.png" % int(digits), "IMAGE_PADDING", "IMAGE_EXTENSION")
    yield changed("folder before the track", b"cropped_aligned/" + image, "IMAGE_NAME")
    yield changed("absolute path", b"/data/" + image, "IMAGE_NAME")
    yield changed("backslash", b"data\\" + image, "IMAGE_NAME")
    yield changed("no track", number, "IMAGE_NAME", "ROW_ABSENT")
    yield changed("no number", track + b"/frame.jpg", "IMAGE_NAME", "ROW_ABSENT")
    yield changed("image 0", track + b"/00000.jpg", "IMAGE_ZERO", "ROW_ABSENT")
    yield changed("backslash for the slash", image.replace(b"/", b"\\"), "IMAGE_NAME", "ROW_ABSENT")


def row_set_faults(case: Case) -> Iterator[Case]:
    """Rows absent, extra, repeated, elsewhere, of other tracks."""
    if case.form.layout != "single":
        return
    lines = lines_of(case)
    header, rows = lines[0], lines[1:]
    name_of = [row.partition(b"/")[0] for row in rows]
    second = next(index for index, name in enumerate(name_of) if name != name_of[0])
    last_track = name_of.index(name_of[-1])

    def changed(what: str, new_rows: list[bytes], *found: tuple[str, int | None]) -> Case:
        return with_lines(case, what, [header, *new_rows], *found)

    def renamed(row: bytes, name: bytes) -> bytes:
        return name + b"/" + row.partition(b"/")[2]

    def renumbered(row: bytes, by: int) -> bytes:
        name, _, rest = row.partition(b"/")
        return b"%s/%05d%s" % (name, int(rest[:5]) + by, rest[5:])

    yield changed("first row absent", rows[1:], ("ROW_ABSENT", 2))
    yield changed("row absent", rows[:3] + rows[4:], ("ROW_ABSENT", 5))
    yield changed("three rows absent", rows[:2] + rows[5:], ("ROW_ABSENT", 4))
    yield changed(
        "every other row of a track absent", rows[0:7:2] + rows[7:], ("ROW_ABSENT", 3), ("ROW_ABSENT", 4), ("ROW_ABSENT", 5)
    )
    yield changed("last row absent", rows[:-1], ("ROW_ABSENT", len(rows) + 1))
    yield changed("last track absent", rows[:last_track], ("TRACK_ABSENT", None))
    yield changed("first track absent", rows[second:], ("TRACK_ABSENT", None))
    yield changed("row twice", rows[:3] + rows[2:], ("ROW_DUPLICATE", 5))
    yield changed("two rows twice", rows[:4] + rows[2:], ("ROW_DUPLICATE", 6))
    yield changed("a row of the start at the end", [*rows, rows[0]], ("ROW_DUPLICATE", len(rows) + 2))
    yield changed(
        "previous name repeated",
        [*rows[:3], rows[2].split(b",")[0] + b"," + rows[3].partition(b",")[2], *rows[4:]],
        ("ROW_DUPLICATE", 5),
        ("ROW_ABSENT", 5),
    )
    beyond = renumbered(rows[second - 1], 500)
    yield changed("row behind the end of a track", [*rows[:second], beyond, *rows[second:]], ("ROW_EXTRA", second + 2))
    further = [beyond, renumbered(beyond, 1), renumbered(beyond, 2)]
    yield changed("three rows behind the end", rows[:second] + further + rows[second:], ("ROW_EXTRA", second + 2))
    yield changed("row of an unknown track", [*rows, renamed(rows[0], b"nobody")], ("TRACK_UNKNOWN", len(rows) + 2))
    stranger = [renamed(row, b"video2_Left") for row in rows[:second]]
    yield changed("track renamed", stranger + rows[second:], ("TRACK_UNKNOWN", 2), ("TRACK_ABSENT", None))
    yield changed("two rows swapped", [*rows[:2], rows[3], rows[2], *rows[4:]], ("ROW_ORDER", 4))
    yield changed("tracks in another order", rows[last_track:] + rows[:last_track], ("ROW_ORDER", 2))
    yield changed("rows backwards", rows[::-1], ("ROW_ORDER", 2), *_middle_in_place(rows))
    yield changed("everything twice", rows + rows, ("FILE_TWICE", len(rows) + 2))
    yield changed(
        "file appended to itself",
        [*rows, header, *rows],
        ("HEADER_REPEATED", len(rows) + 2),
        ("FILE_TWICE", len(rows) + 3),
    )
    shifted = [renumbered(row, 1000) for row in rows[:second]]
    yield changed("numbers of a track shifted", shifted + rows[second:], ("ROW_SHIFTED", 2))
    if case.form.every_frame:
        from_zero = [renumbered(row, -1) for row in rows]
        starts = [index for index in range(len(rows)) if index == 0 or name_of[index] != name_of[index - 1]]
        yield changed(
            "numbers from 0",
            from_zero,
            *(("ROW_SHIFTED", index + 2) for index in starts),
            *(("IMAGE_ZERO", index + 2) for index in starts),
        )


def _middle_in_place(rows: list[bytes]) -> list[tuple[str, int]]:
    """Turned round, an odd number of rows leaves the middle one in its place, and the disorder goes on behind it."""
    return [("ROW_ORDER", len(rows) // 2 + 3)] if len(rows) % 2 else []


def folder_faults(case: Case) -> Iterator[Case]:
    """Files of tracks absent, too short, too long, or under other names."""
    if case.form.layout != "tracks":
        return
    files = case.files
    name, other = list(files)[1], list(files)[2]
    rest = {key: data for key, data in files.items() if key != name}
    lines = files[name].removesuffix(b"\n").split(b"\n")

    def changed(what: str, new: dict[str, bytes], *found: tuple[str, str, int | None]) -> Case:
        return replace(case, name=f"{case.name}: {what}", files=new, found=frozenset(found))

    def with_rows(what: str, new_lines: list[bytes], *found: tuple[str, int | None]) -> Case:
        data = b"\n".join(new_lines) + b"\n"
        return changed(what, {**files, name: data}, *((code, name, line) for code, line in found))

    yield with_rows("row too few", lines[:-1], ("ROWS_TOO_FEW", len(lines) - 1))
    yield with_rows("file cut short", lines[:2], ("ROWS_TOO_FEW", 2))
    yield with_rows("row too many", [*lines, lines[1]], ("ROWS_TOO_MANY", len(lines) + 1))
    yield with_rows("three rows too many", [*lines, *lines[1:4]], ("ROWS_TOO_MANY", len(lines) + 1))
    yield with_rows("rows twice", lines + lines[1:], ("FILE_TWICE", len(lines) + 1))
    yield with_rows("appended to itself", lines + lines, ("HEADER_REPEATED", len(lines) + 1), ("FILE_TWICE", len(lines) + 2))
    yield changed("file absent", rest, ("TRACK_FILE_ABSENT", name, None))
    yield changed("file of another track", {**files, "nobody.txt": files[name]}, ("TRACK_FILE_UNKNOWN", "nobody.txt", None))
    upper = name.upper().replace(".TXT", ".txt")
    yield changed("upper case", {**rest, upper: files[name]}, ("TRACK_FILE_CASE", upper, None))
    shouted = name.replace(".txt", ".TXT")
    yield changed(".TXT", {**rest, shouted: files[name]}, ("TRACK_FILE_CASE", shouted, None))
    table = name.replace(".txt", ".csv")
    yield changed(".csv", {**rest, table: files[name]}, ("TRACK_FILE_EXTENSION", table, None))
    bare = name.removesuffix(".txt")
    yield changed("no extension", {**rest, bare: files[name]}, ("TRACK_FILE_EXTENSION", bare, None))
    yield changed(
        "suffix lost",
        {**rest, "video2.txt": files[name]},
        ("TRACK_FILE_UNKNOWN", "video2.txt", None),
        ("TRACK_FILE_ABSENT", name, None),
    )
    images = [b"%s/%05d.jpg,%s" % (bare.encode(), number, line) for number, line in enumerate(lines[1:], 1)]
    keyed = b"\n".join([b"image_location," + lines[0], *images]) + b"\n"
    fields = tuple(("FIELD_COUNT", name, number) for number in range(2, len(lines) + 1))
    yield changed("image names in a track's file", {**files, name: keyed}, ("HEADER_OTHER_LAYOUT", name, 1), *fields)
    yield changed(
        "two files swapped",
        {**files, name: files[other], other: files[name]},
        ("ROWS_TOO_MANY", name, len(lines) + 1),
        ("ROWS_TOO_FEW", other, len(lines)),
    )


def stray_faults(case: Case) -> Iterator[Case]:
    """Files that do not belong."""

    def added(what: str, name: str, code: str, data: bytes = b"x") -> Case:
        return replace(case, name=f"{case.name}: {what}", files={**case.files, name: data}, found=frozenset({(code, name, None)}))

    yield added("Finder's file", ".DS_Store", "JUNK_FILE")
    yield added("Windows' file", "Thumbs.db", "JUNK_FILE")
    yield added("resource fork", "._predictions.txt", "JUNK_FILE")
    yield added("notes", "README.md", "OTHER_FILE")
    yield added("scores", "scores.npz", "OTHER_FILE")
    inside = replace(case, files={**case.files, "logs/run.log": b"x"}, name=f"{case.name}: folder")
    yield replace(inside, found=frozenset({("OTHER_FILE", "logs", None)}))
    if case.form.layout == "single":
        name = first_file(case)
        for wrong in ("prediction.txt", "EXPR.txt", "results.TXT"):
            renamed = {wrong: case.files[name]}
            yield replace(
                case, name=f"{case.name}: named {wrong}", files=renamed, found=frozenset({("ANSWER_NAME", wrong, None)})
            )
        names = "\n".join(case.expected.tracks if case.expected else ()).encode() + b"\n"
        yield added("list of tracks", "names.txt", "OTHER_FILE", names)
