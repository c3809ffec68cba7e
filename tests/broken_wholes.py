"""Broken submissions whose fault lies in more than a line: archives, records, unchecked answers, suspicious values, limits."""

from __future__ import annotations

import io
import json
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np

from harness.challenge import EXPR, VA, Challenge, Format, format_of
from harness.data.sample import Rows
from harness.submission.expected import Expected
from harness.submission.record import record_content
from harness.submission.writer import merged_file, track_file
from tests.broken_submissions import Case, first_file, lines_of, valid, with_bytes, with_lines


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip file of the files as they are."""
    return zipped_by(zipfile.ZIP_DEFLATED, files)


def zipped_by(method: int, files: dict[str, bytes]) -> bytes:
    """A zip file of the files, compressed by a method of zipfile."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(mode: str) -> Callable[[dict[str, bytes]], bytes]:
    """A function that makes a tar file, compressed as `mode` says."""

    def make(files: dict[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return buffer.getvalue()

    return make


def _with_zip(case: Case, what: str, change: Callable[[zipfile.ZipFile], None], *found: str) -> Case:
    """The case as a zip file to which `change` adds something."""

    def make(files: dict[str, bytes]) -> bytes:
        buffer = io.BytesIO(zipped(files))
        with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
            change(archive)
        return buffer.getvalue()

    return replace(
        case, name=f"{case.name}: {what}", archive=make, found=frozenset((code, "attempt.zip", None) for code in found)
    )


def _adding(name: str, data: bytes = b"x") -> Callable[[zipfile.ZipFile], None]:
    return lambda archive: archive.writestr(name, data)


HOSTILE_NAMES = (
    "../outside.txt",
    "tracks/../../outside.txt",
    "/etc/outside.txt",
    "C:\\outside.txt",
    "..\\outside.txt",
    "tracks\\one.txt",
    "con.txt",
    "a/b/c/d/e/f/g/h/i/deep.txt",
    "name\x07.txt",
    "blank at the end ",
    "dot at the end.",
    "colon:stream.txt",
    "x" * 250 + ".txt",
    "a//b.txt",
    "-option.txt",
)


def archive_faults() -> Iterator[Case]:
    """Faults of zip and tar files."""
    for base in (valid(format_of("EXPR", 5)), valid(format_of("AU", 3))):
        yield from _archive_faults_of(base)


def _archive_faults_of(base: Case) -> Iterator[Case]:
    in_folder = replace(base, files={f"our team/attempt 1/{name}": data for name, data in base.files.items()})
    top = frozenset({("ARCHIVE_FOLDER", "attempt.zip", None)})
    yield replace(in_folder, name=f"{base.name}: folder in a zip file", archive=zipped, found=top)
    for name in HOSTILE_NAMES:
        yield _with_zip(base, f"zip member {name[:30]!r}", _adding(name), "ARCHIVE_NAME")
    first = first_file(base)
    nested = zipped({"x": b"x"})
    yield _with_zip(base, "zip in a zip", _adding("inner.zip", nested), "ARCHIVE_NESTED")
    yield _with_zip(base, "link", _add_link, "ARCHIVE_LINK")
    yield _with_zip(base, "device", lambda archive: _add_link(archive, stat.S_IFCHR), "ARCHIVE_LINK")
    yield _with_zip(base, "name in upper case too", _adding(first.upper()), "ARCHIVE_TWICE")
    both = {**base.files, "again.md": b"x", "AGAIN.md": b"y"}
    twice = frozenset({("ARCHIVE_TWICE", "attempt.zip", None), ("OTHER_FILE", "again.md", None)})
    yield replace(base, name=f"{base.name}: names that differ in case", files=both, archive=zipped, found=twice)
    composed = {**base.files, "caf\u00e9.md": b"x", "cafe\u0301.md": b"y"}
    yield replace(
        base,
        name=f"{base.name}: name composed and decomposed",
        files=composed,
        archive=zipped,
        found=frozenset({("ARCHIVE_TWICE", "attempt.zip", None), ("OTHER_FILE", "caf\u00e9.md", None)}),
    )
    for what, make in (
        ("not a zip file", lambda files: b"<html>404</html>"),
        ("empty zip file", lambda files: b""),
        ("zip file cut short", lambda files: zipped(files)[:-30]),
        ("zip directory damaged", lambda files: _flipped(zipped(files))),
    ):
        damaged = frozenset({("ARCHIVE_DAMAGED", "attempt.zip", None)})
        yield replace(base, name=f"{base.name}: {what}", archive=make, found=damaged)
    first_member = frozenset({("FILE_UNREADABLE", first, None)})
    if base.form.layout == "tracks":
        first_member |= {("TRACK_FILE_ABSENT", first, None)}
    yield replace(
        base, name=f"{base.name}: member damaged", archive=lambda files: _damaged_member(zipped(files)), found=first_member
    )
    liar = {"predictions.txt" if base.form.layout == "single" else first: b"0\n" * 10_000_000}
    yield replace(
        base,
        name=f"{base.name}: member larger than it says",
        archive=lambda files: _understated({**liar, **{name: data for name, data in files.items() if name != first}}),
        found=first_member,
    )
    encrypted = frozenset({("ARCHIVE_ENCRYPTED", "attempt.zip", None)})
    yield replace(base, name=f"{base.name}: encrypted", archive=lambda files: _encrypted(zipped(files)), found=encrypted)
    method = frozenset({("ARCHIVE_METHOD", "attempt.zip", None)})
    for number in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield replace(base, name=f"{base.name}: zip method {number}", archive=partial(zipped_by, number), found=method)
    many = frozenset({("ARCHIVE_COUNT", "attempt.zip", None)})
    yield replace(base, name=f"{base.name}: too many members", archive=lambda files: _many_names(b"", 20_001), found=many)
    yield replace(
        base, name=f"{base.name}: many members, few claimed", archive=lambda files: _many_names(b"", 20_001, 3), found=many
    )
    long_directory = frozenset({("ARCHIVE_COUNT", "attempt.zip", None)})
    endless = _many_names(b"", 1)
    endless = endless[:-10] + struct.pack("<I", 1 << 30) + endless[-6:]
    yield replace(base, name=f"{base.name}: a directory of a gigabyte", archive=lambda files: endless, found=long_directory)
    bomb = frozenset({("ARCHIVE_RATIO", "attempt.zip", None)})
    yield replace(
        base, name=f"{base.name}: zip bomb", archive=lambda files: zipped({**files, "z.md": b"\0" * 30_000_000}), found=bomb
    )
    yield replace(
        base, name=f"{base.name}: overlapping members", archive=lambda files: _many_names(b"\0" * 1_000_000, 2000), found=bomb
    )
    claimed = frozenset({("ARCHIVE_TOO_LARGE", "attempt.zip", None)})
    yield replace(base, name=f"{base.name}: more bytes than any answer", archive=_claims_much, found=claimed)
    yield from _tar_faults_of(base)


def _tar_faults_of(base: Case) -> Iterator[Case]:
    def tar_case(what: str, name: str, make: Callable[[dict[str, bytes]], bytes], *codes: str) -> Case:
        found = frozenset((code, name, None) for code in codes)
        return replace(base, name=f"{base.name}: {what}", archive=make, archive_name=name, found=found)

    def with_member(change: Callable[[tarfile.TarFile], None]) -> Callable[[dict[str, bytes]], bytes]:
        def make(files: dict[str, bytes]) -> bytes:
            buffer = io.BytesIO(tarred("w")(files))
            with tarfile.open(fileobj=buffer, mode="a") as archive:
                change(archive)
            return buffer.getvalue()

        return make

    def empty(name: str) -> Callable[[tarfile.TarFile], None]:
        return lambda archive: archive.addfile(tarfile.TarInfo(name))

    def link(kind: bytes) -> Callable[[tarfile.TarFile], None]:
        member = tarfile.TarInfo("link.txt")
        member.type, member.linkname = kind, "/etc/passwd"
        return lambda archive: archive.addfile(member)

    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE):
        yield tar_case(f"tar member of type {kind!r}", "attempt.tar", with_member(link(kind)), "ARCHIVE_LINK")
    for name in ("../outside.txt", "/etc/outside.txt", "a\\b.txt"):
        yield tar_case(
            f"tar member {name}",
            "attempt.tar",
            with_member(empty(name)),
            "ARCHIVE_NAME",
        )
    yield tar_case(
        "tar of zeros", "attempt.tar.gz", lambda files: tarred("w:gz")({**files, "z.md": b"\0" * 40_000_000}), "ARCHIVE_RATIO"
    )
    yield tar_case("gzip cut short", "attempt.tgz", lambda files: tarred("w:gz")(files)[:-20], "ARCHIVE_DAMAGED")
    yield tar_case("no gzip", "attempt.tar.gz", lambda files: tarred("w")(files), "ARCHIVE_DAMAGED")
    yield tar_case("no tar", "attempt.tar", lambda files: b"x" * 5000, "ARCHIVE_DAMAGED")
    yield tar_case("tar cut within a file", "attempt.tar", lambda files: tarred("w")(files)[:600], "ARCHIVE_DAMAGED")
    yield tar_case("no xz", "attempt.tar.xz", lambda files: b"no", "ARCHIVE_DAMAGED")
    yield tar_case("no bzip2", "attempt.tar.bz2", lambda files: b"no", "ARCHIVE_DAMAGED")


def _add_link(archive: zipfile.ZipFile, kind: int = stat.S_IFLNK) -> None:
    info = zipfile.ZipInfo("link.txt")
    info.external_attr = (kind | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


def _flipped(data: bytes) -> bytes:
    """The directory's first signature changed."""
    at = data.find(b"PK\1\2")
    return data[:at] + b"XX" + data[at + 2 :]


def _damaged_member(data: bytes) -> bytes:
    """A byte of the first member's compressed content changed."""
    at = data.find(b".txt") + 20
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def _understated(files: dict[str, bytes]) -> bytes:
    """The first member's size said to be 1,000 bytes, in both places."""
    data = zipped(files)
    local, central = data.find(b"PK\3\4"), data.find(b"PK\1\2")
    data = data[: local + 22] + struct.pack("<I", 1000) + data[local + 26 :]
    return data[: central + 24] + struct.pack("<I", 1000) + data[central + 28 :]


def _encrypted(data: bytes) -> bytes:
    """The first entry of the directory marked as encrypted."""
    at = data.find(b"PK\1\2")
    return data[: at + 8] + struct.pack("<H", 1) + data[at + 10 :]


def _many_names(content: bytes, number: int, claimed: int | None = None) -> bytes:
    """Many names for the same compressed bytes, as in David Fifield's archives, of which the directory claims `claimed`."""
    kernel = zipped({"00000": content})
    at, end = kernel.rfind(b"PK\1\2"), kernel.rfind(b"PK\5\6")
    entry = kernel[at:end]
    directory = b"".join(entry.replace(b"00000", b"%05d" % index) for index in range(number))
    said = number if claimed is None else claimed
    return kernel[:at] + directory + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, said, said, len(directory), at, 0)


def _claims_much(files: dict[str, bytes]) -> bytes:
    """170 MB that do not shrink: claimed in the directory, so that nobody has to write them."""
    data = zipped({"noise.md": np.random.default_rng(0).bytes(1_000_000), **files})
    at = data.find(b"PK\1\2")
    return data[: at + 24] + struct.pack("<I", 170_000_000) + data[at + 28 :]


def recorded(case: Case) -> Case:
    """A valid submission as this program writes it: tracks, single file, record."""
    form = case.form
    rows = Rows.from_counts((f"video{number}", 5 + number) for number in range(4))
    rng = np.random.default_rng(form.edition)
    values = {
        name: rng.integers(0, 2, (count, len(form.challenge.fields))).astype(np.int8) for name, count in rows.counts.items()
    }
    if not form.challenge.integral:
        values = {name: array.astype(np.float64) for name, array in values.items()}
    files = {f"tracks/{name}.txt": track_file(array, form.challenge) for name, array in values.items()}
    if form.layout == "single":
        files["predictions.txt"] = b"".join(merged_file(rows, form.header.encode(), values, form.challenge))
    return replace(
        case,
        name=f"{case.name}: recorded",
        files={**files, "submission.json": record_of(form, rows, files)},
        expected=None,
        options={},
    )


def record_of(form: Format, rows: Rows, files: dict[str, bytes]) -> bytes:
    """submission.json of these files."""
    digests = {name: sha256(data).hexdigest() for name, data in files.items()}
    return json.dumps(record_content(form, rows, form.header.encode(), digests, {"runs": [{"name": "one"}]})).encode()


def record_faults() -> Iterator[Case]:
    """Faults of a submission that carries its record."""
    for base in (recorded(valid(format_of("EXPR", 5))), recorded(valid(format_of("VA", 6))), recorded(valid(format_of("AU", 3)))):
        yield from _record_faults_of(base)


def _record_faults_of(base: Case) -> Iterator[Case]:
    def changed(what: str, files: dict[str, bytes], *found: tuple[str, str, int | None]) -> Case:
        return replace(base, name=f"{base.name}: {what}", files=files, found=frozenset(found))

    track = "tracks/video1.txt"
    lines = base.files[track].split(b"\n")
    other = lines[2].translate(bytes.maketrans(b"01", b"10")) if base.form.challenge.integral else b"0.5,0.5"
    new_track = b"\n".join([*lines[:2], other, *lines[3:]])
    single = base.form.layout == "single"
    values_changed = {**base.files, track: new_track}
    # video0 has five rows, so the second of video1 is the eighth line.
    differs = (("MERGED_DIFFERS", "predictions.txt", 8),) if single else ()
    yield changed("a track's value changed", values_changed, ("RECORD_SHA256", track, None), *differs)
    without = {name: data for name, data in base.files.items() if name != track}
    yield changed("a track's file taken away", without, ("RECORD_SHA256", track, None), ("TRACK_FILE_ABSENT", track, None))
    record = json.loads(base.files["submission.json"])
    for what, content in (
        ("not JSON", b"{"),
        ("not an object", b"[]"),
        ("another version", json.dumps({**record, "version": 99}).encode()),
        ("rows that are none", json.dumps({**record, "rows": [["video0", "five"]]}).encode()),
        ("a track twice", json.dumps({**record, "rows": [["video0", 5], ["video0", 5]]}).encode()),
        ("an unknown challenge", json.dumps({**record, "challenge": "SMILE"}).encode()),
        ("deeply nested", b"[" * 100_000),
        ("files that are none", json.dumps({**record, "files": {"x": 1}}).encode()),
        ("a run whose name is none", json.dumps({**record, "runs": [{"name": 1}]}).encode()),
        ("a split that is none", json.dumps({**record, "split": 1}).encode()),
        ("more rows than any answer", json.dumps({**record, "rows": [[f"v{k}", 9_999_999] for k in range(3000)]}).encode()),
        ("frames of other rows", json.dumps({**record, "frames": [["video0", "1-4"]]}).encode()),
        ("frames without end", json.dumps({**record, "frames": [["video0", "1-999999999"]]}).encode()),
    ):
        options: dict[str, Any] = {"challenge": base.form.challenge.name, "edition": base.form.edition}
        # Without the record there is nothing to count the tracks by but the official test set.
        number = () if single else (("TRACK_FILES_NUMBER", "answer", None),)
        unreadable = ("RECORD_UNREADABLE", "submission.json", None)
        damaged = changed(f"record: {what}", {**base.files, "submission.json": content}, unreadable, *number)
        yield replace(damaged, options=options)
    other_rows = Rows.from_counts((name, count) for name, count in record["rows"])
    fewer = {**record, "rows": [[name, count + (name == "video3")] for name, count in record["rows"]]}
    stale = changed(
        "record of other rows",
        {**base.files, "submission.json": json.dumps(fewer).encode()},
        ("RECORD_ROWS", "submission.json", None),
    )
    yield replace(stale, expected=Expected("rows made for a test", other_rows.names, other_rows))
    if single:
        no_single = {name: data for name, data in base.files.items() if name != "predictions.txt"}
        folder = ("ANSWER_ABSENT", "answer", None)
        yield changed("single file taken away", no_single, ("RECORD_SHA256", "predictions.txt", None), folder)
        merged = base.files["predictions.txt"].split(b"\n")
        image, _, value = merged[9].partition(b",")
        swapped = b"\n".join([*merged[:9], image + b"," + value.translate(bytes.maketrans(b"01", b"10")), *merged[10:]])
        yield changed(
            "single file's value changed",
            {**base.files, "predictions.txt": swapped},
            ("RECORD_SHA256", "predictions.txt", None),
            ("MERGED_DIFFERS", "predictions.txt", 10),
        )


def unchecked_faults() -> Iterator[Case]:
    """What can be said without anything to check against."""
    for form in (format_of("EXPR", 5), format_of("VA", 5), format_of("AU", 8), format_of("EXPR", 10)):
        case = replace(valid(form), expected=None)
        case = replace(case, name=f"{case.name}: unchecked")
        lines = lines_of(case)
        header, rows = lines[0], lines[1:]
        yield with_lines(case, "a row absent", [header, *rows[:4], *rows[5:]], ("NUMBERS_JUMP", 6))
        yield with_lines(
            case, "two rows absent", [header, *rows[:2], *rows[3:4], *rows[5:]], ("NUMBERS_JUMP", 4), ("NUMBERS_JUMP", 5)
        )
        yield with_lines(case, "first row absent", [header, *rows[1:]], ("NUMBERS_JUMP", 2))
        yield with_lines(case, "row twice", [header, *rows[:4], rows[3], *rows[4:]], ("ROW_DUPLICATE", 6))
        yield with_lines(case, "everything twice", [header, *rows, *rows], ("FILE_TWICE", len(rows) + 2))
        yield with_lines(
            case, "a track in two places", [header, *rows[:4], *rows[9:15], *rows[4:9], *rows[15:]], ("TRACK_SCATTERED", 12)
        )
    for edition in (1, 2, 3):
        case = replace(valid(format_of("VA", edition)), expected=None)
        lines = lines_of(case)
        appended = with_lines(case, "unchecked, appended to itself", lines + lines)
        name = first_file(case)
        found = {("HEADER_REPEATED", name, len(lines) + 1), ("FILE_TWICE", name, len(lines) + 2)}
        number = {("TRACK_FILES_NUMBER", "answer", None)} if case.form.test_tracks else set()
        yield replace(appended, found=frozenset(found | number))
    yield from _wrong_numbers_of_files()
    yield from _inferred()
    unknown = replace(valid(format_of("EXPR", 5)), expected=None, options={})
    yield with_bytes(unknown, "prose", b"dear organisers,\nplease find attached\n", ("FORMAT_UNKNOWN", None))
    yield with_bytes(unknown, "a web page", b"<html>\n<body>not found</body>\n</html>\n", ("FORMAT_UNKNOWN", None))
    empty = replace(unknown, name="a folder of pictures", files={"plot.png": b"x"}, expected=None)
    yield replace(empty, found=frozenset({("OTHER_FILE", "plot.png", None), ("ANSWER_ABSENT", "answer", None)}))
    layouts = valid(format_of("EXPR", 3))
    wanted = replace(layouts, options={"challenge": "EXPR", "edition": 5})
    yield replace(wanted, name="files of tracks for a single file", found=frozenset({("ANSWER_ABSENT", "answer", None)}))
    merged = valid(format_of("EXPR", 5))
    wanted = replace(merged, options={"challenge": "EXPR", "edition": 3})
    yield replace(wanted, name="a single file for files of tracks", found=frozenset({("ANSWER_ABSENT", "answer", None)}))


def _wrong_numbers_of_files() -> Iterator[Case]:
    for challenge, official in (("EXPR", 228), ("AU", 141)):
        form = format_of(challenge, 3)
        text = track_file(np.ones((3, len(form.challenge.fields)), np.int8), form.challenge)
        answers = {f"video{number}.txt": text for number in range(official)}
        constant = ("FILE_CONSTANT", "answer", None)
        right = Case(f"{form.name}: as many files as tracks", form, answers, None, frozenset({constant}))
        yield right
        one_less = {name: data for name, data in answers.items() if name != "video7.txt"}
        number = ("TRACK_FILES_NUMBER", "answer", None)
        yield replace(right, name=f"{form.name}: one file less", files=one_less, found=frozenset({constant, number}))


def _inferred() -> Iterator[Case]:
    """Rules that were read nowhere: the first column and the layout of VA of the 8th edition. See INFERRED."""
    case = replace(valid(format_of("VA", 8)), expected=None)
    header, *rows = lines_of(case)
    yield with_lines(case, "another first column", [header.replace(b"image_location", b"frame"), *rows], ("HEADER_UNKNOWN", 1))
    yield with_lines(case, "another first column and others", [b"frame,v,a", *rows], ("HEADER_UNKNOWN", 1))
    tracks = replace(valid(format_of("VA", 3)), expected=None, options=case.options)
    yield replace(tracks, name="VA-8: a file per track", found=frozenset({("ANSWER_ABSENT", "answer", None)}))


def partly_checked_faults() -> Iterator[Case]:
    """What can be said where tracks, or these and their numbers of rows, are known, but not which frames they have."""
    for form in (format_of("EXPR", 5), format_of("MTL", 7)):
        yield from _partly_checked_faults_of(valid(form))


def _partly_checked_faults_of(case: Case) -> Iterator[Case]:
    assert case.expected is not None
    assert case.expected.rows is not None
    header, *rows = lines_of(case)
    first, last = case.expected.tracks[0], case.expected.tracks[-1]
    of_last = [line for line in rows if line.startswith(f"{last}/".encode())]
    name, end = first_file(case), len(rows) + 1 - len(of_last)
    names = replace(
        case, name=f"{case.name}: names known", expected=Expected("names made for a test", case.expected.tracks, None)
    )
    yield names
    yield replace(
        with_lines(names, "a track absent", [header, *rows[: -len(of_last)]]), found=frozenset({("TRACK_ABSENT", name, None)})
    )
    other = [line.replace(f"{last}/".encode(), b"nobody/") for line in of_last]
    unknown = with_lines(names, "another track", [header, *rows[: -len(of_last)], *other])
    yield replace(unknown, found=frozenset({("TRACK_ABSENT", name, None), ("TRACK_UNKNOWN", name, end + 1)}))
    if case.form.every_frame:
        return
    numbers = Expected("numbers made for a test", case.expected.tracks, None, numbers=case.expected.rows.counts)
    numbered = replace(case, name=f"{case.name}: numbers known", expected=numbers)
    yield numbered
    yield with_lines(numbered, "a row absent", [header, *rows[:-1]], ("ROWS_TOO_FEW", len(rows)))
    more = [header, *rows, rows[-1].replace(b"/00100.jpg", b"/00101.jpg")]
    yield with_lines(numbered, "a row too many", more, ("ROWS_TOO_MANY", len(rows) + 2))
    end = len(rows) + 2
    yield with_lines(numbered, "a row twice", [header, *rows, rows[-1]], ("ROW_DUPLICATE", end), ("ROWS_TOO_MANY", end))
    assert first != last


def repeated_images() -> Iterator[Case]:
    """Answers to an official list that names images more than once."""
    base = valid(format_of("MTL", 11))
    assert base.expected is not None
    assert base.expected.rows is not None
    header, *rows = lines_of(base)
    wanted = base.expected.rows
    places = [*range(len(rows)), 3, 3, 8]
    listed = Rows(wanted.names, wanted.track[places], wanted.frame[places])
    case = replace(base, name="a list with repeats", expected=replace(base.expected, rows=listed))
    answered = [header, *(rows[place] for place in places)]
    end = len(answered)
    yield with_lines(case, "answered as it stands", answered)
    yield with_lines(case, "a copy absent", answered[:-2] + answered[-1:], ("ROW_ABSENT", end - 1))
    yield with_lines(case, "all copies absent", answered[:-3], ("ROW_ABSENT", end - 2))
    yield with_lines(case, "a copy too many", [*answered, rows[3]], ("ROW_DUPLICATE", end + 1))
    yield with_lines(case, "a row twice that is listed once", [*answered, rows[5]], ("ROW_DUPLICATE", end + 1))
    yield with_lines(case, "copies in other places", [*answered[:-2], answered[-1], answered[-2]], ("ROW_ORDER", end - 1))
    image, _, values = rows[3].partition(b",")
    other = image + b"," + (b"0.5" if not values.startswith(b"0.5,") else b"0.25") + values[values.index(b",") :]
    yield with_lines(case, "copies of other values", [*answered[:-2], other, answered[-1]], ("COPIES_DIFFER", end - 1))
    unchecked = replace(case, name="repeats, unchecked", expected=None)
    yield with_lines(unchecked, "answered as it stands", answered, ("ROW_DUPLICATE", end - 2))


def two_answers() -> Iterator[Case]:
    """More in one place than the one answer that was asked for."""
    for base in (valid(format_of("EXPR", 5)), valid(format_of("VA", 6))):
        data = base.files["predictions.txt"]
        both = replace(base, files={**base.files, "predictions_old.txt": data}, name=f"{base.name}: two single files")
        twice = frozenset({("ANSWER_TWICE", "predictions_old.txt", None)})
        yield replace(both, found=twice)
        yield replace(both, name=f"{both.name} in a zip file", archive=zipped, found=twice)
        whole = recorded(base)
        track = {"video1.txt": whole.files["tracks/video1.txt"]}
        loose = {
            "predictions.txt": whole.files["predictions.txt"],
            **{f"video{k}.txt": whole.files[f"tracks/video{k}.txt"] for k in range(4)},
        }
        beside = frozenset(("ANSWER_OTHER_LAYOUT", f"video{k}.txt", None) for k in range(4))
        options = {"challenge": base.form.challenge.name, "edition": base.form.edition}
        yield replace(
            whole, name=f"{base.name}: tracks' files beside the single file", files=loose, options=options, found=beside
        )
        alone = {"predictions.txt": whole.files["predictions.txt"], **{f"tracks/{name}": text for name, text in track.items()}}
        # video0 has five rows, video1 six, so the first of video2 is the thirteenth line.
        lines = frozenset(("MERGED_DIFFERS", "predictions.txt", line) for line in (2, 13, 20))
        yield replace(whole, name=f"{base.name}: files of some tracks only", files=alone, options=options, found=lines)
    third = recorded(valid(format_of("EXPR", 3)))
    fifth = recorded(valid(format_of("EXPR", 5)))
    merged = {**third.files, "predictions.txt": b"".join(fifth.files[name] for name in ("predictions.txt",))}
    values = {name: fifth.files[name] for name in third.files if name.startswith("tracks/")}
    digests = Rows.from_counts((f"video{number}", 5 + number) for number in range(4))
    record = record_of(third.form, digests, values)
    beside = frozenset({("ANSWER_OTHER_LAYOUT", "predictions.txt", None)})
    yield replace(
        third, name="a single file beside files of tracks", files={**merged, **values, "submission.json": record}, found=beside
    )
    old = {"predictions_old.txt": fifth.files["predictions.txt"]}
    yield replace(
        third,
        name="two single files beside files of tracks",
        files={**merged, **old, **values, "submission.json": record},
        found=beside | {("ANSWER_TWICE", "predictions_old.txt", None)},
    )
    cased = valid(format_of("AU", 3))
    name = first_file(cased)
    upper = name.replace("x", "X")
    assert upper < name
    second = {upper: cased.files[name], **cased.files}
    for prefix in ("", "tracks/"):
        files = {f"{prefix}{key}": data for key, data in second.items()}
        found = frozenset({("OTHER_FILE", f"{prefix}{upper}", None)})
        yield replace(cased, name=f"{cased.name}: {prefix or 'root'}: a track's name in two cases", files=files, found=found)


def suspicious() -> Iterator[Case]:
    """Legal values that look wrong."""
    rows = [(f"video{number}", 150) for number in range(12)]
    rng = np.random.default_rng(0)
    by_chance = {
        name: np.repeat(rng.choice(8, 15, p=[0.3, 0.03, 0.02, 0.02, 0.16, 0.13, 0.06, 0.28]), 10)[:count] for name, count in rows
    }
    one = {**by_chance, "video5": np.full(150, 3)}
    yield _answer("one constant track", EXPR, one, ("TRACK_CONSTANT", 5 * 150 + 2))
    yield _answer("everything Neutral", EXPR, {name: np.zeros(150, int) for name, _ in rows}, ("FILE_CONSTANT", None))
    held, last = {}, 7
    for name, values in by_chance.items():
        held[name] = np.concatenate([np.full(20, last), values[20:]])
        last = int(held[name][-1])
    yield _answer("labels held across borders", EXPR, held, ("LABELS_HELD", None))
    affect = {}
    before = np.array([0.1, 0.2])
    for name, count in rows:
        affect[name] = rng.uniform(-1, 1, (count, 2))
        affect[name][:3] = before
        before = affect[name][-1]
    yield _answer("values held across borders", VA, affect, ("LABELS_HELD", None))
    wrong_order = {
        f"video{number}": rng.choice(8, 1000, p=[0.02, 0.3, 0.28, 0.16, 0.02, 0.03, 0.13, 0.06]) for number in range(12)
    }
    yield _answer("classes in another order", EXPR, wrong_order, ("CLASS_SHARES", None))
    nearly = {f"video{number}": np.resize(np.repeat(np.arange(8), [60, 6, 4, 4, 32, 26, 12, 56]), 4480) for number in range(228)}
    yield _answer("nearly as many rows as the test set", EXPR, nearly, ("OFFICIAL_SIZE", None), checked=False)


def _answer(
    what: str, challenge: Challenge, values: dict[str, np.ndarray], *found: tuple[str, int | None], checked: bool = True
) -> Case:
    form = format_of(challenge.name, 5)
    arrays = {name: array.astype(np.int8 if challenge.integral else np.float64) for name, array in values.items()}
    rows = Rows.from_counts((name, len(array)) for name, array in arrays.items())
    data = b"".join(merged_file(rows, form.header.encode(), arrays, challenge))
    expected = Expected("rows made for a test", rows.names, rows) if checked else None
    places = frozenset((code, "predictions.txt", None) for code, _ in found)
    return Case(what, form, {"predictions.txt": data}, expected, places)


def limits() -> Iterator[Case]:
    """Files beyond a limit, which is lowered for them."""
    case = valid(format_of("EXPR", 5))
    data, lines = case.files[first_file(case)], lines_of(case)
    yield replace(with_bytes(case, "large file", data, ("FILE_TOO_LARGE", None)), limits={"LARGEST_FILE": 100})
    yield replace(with_bytes(case, "many rows", data, ("FILE_TOO_LARGE", None)), limits={"MOST_ROWS": 10})
    faulty = with_lines(case, "many faulty lines", [*lines[:3], lines[3] + b"x", *lines[4:]], ("TOO_MANY_FAULTS", 2))
    yield replace(faulty, limits={"MOST_LINES_ONE_BY_ONE": 5})
