"""Writes a copy of a submission in which faults with one safe repair are repaired. No value is invented, changed or dropped.

Repaired are: the byte-order mark, line ends, blank lines at the end, the last line's end; quotes and blanks in the header; quotes
and blanks around fields and commas behind the last; the order of rows that are all there; the names of tracks' files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness import files
from harness.data.sample import Rows
from harness.errors import DataError, UsageError
from harness.findings import Findings
from harness.submission.checks import AnswerFile, check
from harness.submission.expected import Expected
from harness.submission.faults import QUOTES, RowForm, header_names
from harness.submission.header import is_header
from harness.submission.record import LARGEST_RECORD, RECORD_NAME
from harness.submission.source import Source, open_source
from harness.submission.table import LARGEST_FILE
from harness.submission.writer import image_prefixes, read_row


@dataclass(frozen=True)
class Repaired:
    """Where the copy is, and what was done, one sentence each."""

    path: Path
    done: tuple[str, ...]


def repair(path: Path, out: Path, expected: Expected | None, challenge: str | None, edition: int | None) -> Repaired:
    """Writes the copy of the submission at `path` to `out`: a file for a file, else a folder.

    The other arguments are those of harness.submission.checks.check. Raises UsageError if `out` exists already, DataError if the
    submission's form cannot be told or a file is too large.
    """
    if out.exists():
        raise UsageError(
            "the repaired copy would overwrite something that exists",
            found=str(out),
            remedy="name a place that does not exist yet",
        )
    verdict = check(path, expected, challenge, edition)
    if verdict.form is None:
        raise DataError("it is not known what this should be", path=path, remedy="name it with --challenge and --edition")
    source = open_source(path, Findings())
    rows = verdict.expected.rows_of(verdict.form) if verdict.expected else None
    texts: dict[str, bytes] = {}
    done: list[str] = []
    before: dict[str, tuple[str, str]] = {}
    for file in verdict.files:
        name, data = _target(file, source), _read(source, file.name)
        before[name] = file.name, files.sha256_of_bytes(data)
        texts[name], repairs = repair_text(data, file.form, None if file.track else rows)
        if name != file.name:
            done.append(f"{file.name} named {name}")
        done += [f"{file.name}: {what}" for what in repairs]
    kept = {RECORD_NAME, *(file.name for file in verdict.files)}
    done += [
        f"{name}: left out, because it is not part of the answer"
        for name in [*source.openers, *source.others]
        if name not in kept
    ]
    _write(out, source, texts, before, done)
    return Repaired(out, tuple(done) or ("nothing to repair",))


def repair_text(data: bytes, form: RowForm, wanted: Rows | None) -> tuple[bytes, list[str]]:
    """The repaired text of one file, and what was done; `wanted` are the rows of a single file in order, if they are known."""
    done: Counter[str] = Counter()
    lines = _lines(data, done)
    if lines and is_header(lines[0]):
        header, rows = [_header(lines[0], form, done)], lines[1:]
    else:
        header, rows = [], lines
    rows = [row if read_row(row, form.challenge, form.with_image) else _row(row, form, done) for row in rows]
    if wanted is not None:
        rows = _in_order(rows, wanted, done)
    text = b"".join(line + b"\n" for line in [*header, *rows])
    return text, [what if count == 1 else f"{what} ({count:,} times)" for what, count in done.items()]


def _lines(data: bytes, done: Counter[str]) -> list[bytes]:
    """The lines without mark, carriage returns and blank lines at the end."""
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
        done["byte-order mark removed"] += 1
    if b"\r" in data:
        done["line endings changed to LF"] += data.count(b"\r")
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if data and not data.endswith(b"\n"):
        done["line ending added to the last line"] += 1
    lines = data.removesuffix(b"\n").split(b"\n")
    while len(lines) > 1 and not lines[-1].strip():
        lines.pop()
        done["blank line at the end removed"] += 1
    return lines


def _header(line: bytes, form: RowForm, done: Counter[str]) -> bytes:
    """The header of the form if nothing but quotes and blanks keeps the line from being it."""
    if line == form.header or header_names(line.decode("utf-8", "replace")) != form.header_names:
        return line
    unquoted = ",".join(name.strip() for name in line.decode().translate(QUOTES).split(","))
    if unquoted.encode() != form.header:
        return line
    done["quotes and spaces removed from the header"] += 1
    return form.header


def _row(line: bytes, form: RowForm, done: Counter[str]) -> bytes:
    """The row without quotes, blanks and commas at its end if that makes it a proper one, else as it is."""
    try:
        fields = [field.strip() for field in line.decode().translate(QUOTES).split(",")]
    except UnicodeDecodeError:
        return line
    while len(fields) > form.fields and not fields[-1]:
        fields.pop()
    clean = ",".join(fields).encode()
    if not read_row(clean, form.challenge, form.with_image):
        return line
    done["quotes, spaces or commas at the end removed from a row"] += 1
    return clean


def _in_order(lines: list[bytes], wanted: Rows, done: Counter[str]) -> list[bytes]:
    """The rows in the wanted order if each of them is there once, else as they are."""
    images = image_prefixes(wanted)
    by_image = {line[: line.find(b",") + 1]: line for line in lines}
    if len(lines) != len(images) or len(by_image) != len(images) or not by_image.keys() <= set(images):
        return lines
    ordered = [by_image[image] for image in images]
    moved = sum(one is not other for one, other in zip(ordered, lines, strict=True))
    if moved:
        done["row moved into the order of the sample"] += moved
    return ordered


def _read(source: Source, name: str) -> bytes:
    try:
        data = source.read(name, LARGEST_FILE + 1)
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror or error}", path=source.path / name) from error
    if len(data) > LARGEST_FILE:
        raise DataError("too large to repair", path=source.path / name, expected=f"at most {LARGEST_FILE:,} bytes")
    return data


def _target(file: AnswerFile, source: Source) -> str:
    """The name a file should have: a track's file that of its track."""
    if not file.track or source.kind == "file":
        return file.name
    return str(PurePosixPath(file.name).with_name(f"{file.track}.txt"))


def _write(out: Path, source: Source, texts: Mapping[str, bytes], before: Mapping[str, tuple[str, str]], done: list[str]) -> None:
    """Writes the copy; `before` says of each text which name and sha256 the file had that it was made from."""
    if source.kind == "file":
        (data,) = texts.values()
        files.write_bytes(out, data)
        return
    with files.writing_directory(out) as folder:
        for name, data in texts.items():
            files.write_bytes(folder / name, data, sync=False)
        if RECORD_NAME in source.openers:
            files.write_json(folder / RECORD_NAME, _record(source.read(RECORD_NAME, LARGEST_RECORD), texts, before, done))


def _record(data: bytes, texts: Mapping[str, bytes], before: Mapping[str, tuple[str, str]], done: list[str]) -> Any:
    """The record with the sha256 of the repaired files, and what was done to them.

    Of a file that was not what was recorded the recorded sha256 stays, so that the copy says so too.
    """
    try:
        content = json.loads(data)
        recorded = dict(content["files"])
        for name, (old_name, digest) in before.items():
            if recorded.get(old_name) == digest:
                del recorded[old_name]
                recorded[name] = files.sha256_of_bytes(texts[name])
        content["files"] = recorded
        content["repairs"] = done
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise DataError("the record is damaged", path=RECORD_NAME, remedy="remove it from the submission first") from error
    return content
