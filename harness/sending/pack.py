"""The archive to send: what the edition asks for, as bytes that depend on nothing but the answer."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness import files
from harness.challenge import ArchiveLayout, Format
from harness.errors import DataError, UsageError
from harness.findings import Findings
from harness.submission.checks import Verdict
from harness.submission.record import DEMO, Record
from harness.submission.source import open_source, whole_of
from harness.submission.table import LARGEST_FILE

# Zip files cannot say an earlier time.
_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16


@dataclass(frozen=True)
class Archive:
    """An archive that was written: its size in bytes, the names in it, and its sha256."""

    path: Path
    size: int
    names: tuple[str, ...]
    sha256: str


def refuse_unsendable(submission: Path, record: Record | None) -> None:
    """Raises DataError for what must never be sent: answers made on the embedded data set, and answers to a labelled split."""
    runs = record.all_runs if record else ()
    # An ensemble's name is that of its runs, joined.
    names = [submission.name, whole_of(submission).name, *(part for run in runs for part in run.split("+"))]
    demo = next((name for name in names if name.startswith(DEMO)), None)
    if demo is not None:
        raise DataError(
            "made on the embedded data set, which demonstrates and is never sent",
            path=submission,
            found=demo,
            remedy="train and predict with the real data: make train DATA=/path/to/aff-wild2",
        )
    if record and record.split != "test":
        raise DataError(
            "not an answer to the test set",
            path=submission,
            found=f"split {record.split!r}",
            remedy="pack the submission of the test split",
        )


def write_archive(verdict: Verdict, out: Path, layout: ArchiveLayout) -> Archive:
    """Writes the files the edition asks for to the zip file `out`, whole or not at all; same answer, same bytes.

    Raises DataError if there are none or several to choose from, UsageError if `out` is there and holds something else.
    """
    assert verdict.form is not None
    contents = _contents(verdict, verdict.form)
    folder = f"{out.stem}/" if layout == "folder" else ""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(folder + name, _TIME)
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, _MODE
            archive.writestr(entry, contents[name], compresslevel=9)
    data = buffer.getvalue()
    digest = files.sha256_of_bytes(data)
    if out.exists() and files.sha256(out) != digest:
        raise UsageError(
            "another archive has this name; what was sent must not be lost",
            found=str(out),
            remedy="choose another name with --out, or move the old one away",
        )
    files.write_bytes(out, data)
    return Archive(out, len(data), tuple(folder + name for name in sorted(contents)), digest)


def _contents(verdict: Verdict, form: Format) -> dict[str, bytes]:
    """The answer's files under the names the edition gives them."""
    single = form.layout == "single"
    wanted = [file for file in verdict.files if (file.track == "") == single]
    if not wanted or (single and len(wanted) > 1):
        raise DataError(
            "not one answer to send",
            path=verdict.path,
            found=", ".join(file.name for file in wanted) or "no file",
            expected=f"one {form.answer_name}" if single else "a text file per track",
            remedy="name the file itself",
        )
    source = open_source(verdict.path, Findings())
    names = [form.answer_name if single else f"{file.track}.txt" for file in wanted]
    return {PurePosixPath(name).name: source.read(file.name, LARGEST_FILE) for name, file in zip(names, wanted, strict=True)}
