"""Packs an answer for sending: the archive, whose bytes depend on nothing but the answer, its statement, and the attempt."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness import files
from harness.challenge import ArchiveLayout, Format
from harness.data.tracks import DataRoot
from harness.errors import DataError, UsageError
from harness.findings import Findings
from harness.runs.store import RUNS, Run
from harness.sending.expectation import Expectation, expect
from harness.sending.ledger import UNKNOWN, Attempt, note
from harness.sending.statement import manifests_of, statement
from harness.submission.checks import Verdict
from harness.submission.record import DEMO, Record
from harness.submission.source import enclosing_submission, open_source, record_beside
from harness.submission.table import LARGEST_FILE

# Zip files cannot say an earlier time.
_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16
SUFFIX = ".zip"


@dataclass(frozen=True)
class Archive:
    """An archive that was written: its size in bytes, the names in it, and its sha256."""

    path: Path
    size: int
    names: tuple[str, ...]
    sha256: str


@dataclass(frozen=True)
class Packed:
    """An archive that was written, its data statement and its attempt; `packed_before` says that its bytes were noted already."""

    form: Format
    archive: Archive
    statement: Path
    ledger: Path
    attempt: Attempt
    packed_before: bool
    expectation: Expectation


def archive_path(submission: Path, out: Path | None) -> Path:
    """The zip file to write: `out`, or one beside the submission with its name. Raises UsageError for another kind of file."""
    if out is not None and out.suffix.lower() != SUFFIX:
        raise UsageError("the archive is a zip file", found=str(out), expected=f"a name that ends in {SUFFIX}")
    return out or submission.with_name(f"{submission.stem if submission.is_file() else submission.name}{SUFFIX}")


def record_of(verdict: Verdict) -> Record | None:
    """The record of what was checked; of a file of a submission that of the whole; None where there is none."""
    return verdict.record or record_beside(verdict.path)


def refuse_unsendable(verdict: Verdict) -> None:
    """Raises DataError for what must never be sent: answers made on the embedded data set, and answers to a labelled split."""
    submission, record = verdict.path, record_of(verdict)
    runs = record.all_runs if record else ()
    # An ensemble's name is that of its runs, joined.
    names = [submission.name, enclosing_submission(submission).name, *(part for run in runs for part in run.split("+"))]
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


def pack(
    verdict: Verdict,
    out: Path,
    ledger: Path,
    layout: ArchiveLayout | None,
    declared: Sequence[str],
    root_of: Callable[[Run], DataRoot],
) -> Packed:
    """Writes the archive and its data statement, and notes the attempt.

    `declared` are sentences of the team for the statement; `root_of` gives the data root whose labels measure a run. Raises
    DataError if the record does not tell what the answer was made from, and as write_archive and note do.
    """
    assert verdict.form is not None
    form, record = verdict.form, record_of(verdict)
    # Made before anything is written: an archive that lies there without being noted could be sent unseen.
    text = _statement(form, out.name, record, declared, verdict.path)
    expectation = expect(record, form.score, root_of)
    archive = write_archive(verdict, out, layout or form.archive_layout)
    page = out.with_suffix(".statement.md")
    files.write_text(page, text)
    attempt, before = note(ledger, verdict, out, archive.sha256, record.runs if record else (), expectation)
    return Packed(form, archive, page, ledger, attempt, before, expectation)


def _statement(form: Format, archive: str, record: Record | None, declared: Sequence[str], submission: Path) -> str:
    try:
        return statement(form, archive, manifests_of(record.content.get("runs", ()) if record else (), RUNS), declared)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            "its record does not tell what the submission was made from",
            path=submission,
            found=f"{type(error).__name__}: {error}"[:200],
            expected="the `runs` that this program writes to submission.json",
            remedy="write the submission again with `harness submission RUN`",
        ) from error


def describe(packed: Packed) -> Iterator[str]:
    """What was packed, in lines of text; the last says what to do next."""
    form, archive, attempt = packed.form, packed.archive, packed.attempt
    yield packed.expectation.sentence
    contents = archive.names[0] if len(archive.names) == 1 else f"{len(archive.names):,} files"
    yield f"{archive.path}: {archive.size:,} bytes, {contents}"
    yield f"sha256 {archive.sha256}"
    allowed = f" of {form.submissions}{'' if form.verified('submissions') else ' (inferred)'}" if form.submissions else ""
    before = ", packed before" if packed.packed_before else ""
    yield f"attempt {attempt.attempt}{allowed} at {form.name}{before}, noted in {packed.ledger}"
    if form.submissions and int(attempt.attempt) > form.submissions:
        yield f"warning: more attempts than the {form.submissions} a team may send"
    if attempt.expected:
        yield f"expected {form.score} {attempt.expected}{f' ({attempt.low} to {attempt.high})' if attempt.low else ''}"
    for number, share in (pair.split(":") for pair in attempt.differs.split()):
        yield f"differs from attempt {number} in {UNKNOWN[share] if share in UNKNOWN else f'{float(share):.2%} of rows'}"
    where = f" to {form.sent_to}" if form.sent_to else ""
    yield f"next: read {packed.statement}, the data statement, then send {archive.path}{where}"


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
