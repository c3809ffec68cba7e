"""Packs an answer for sending: the archive, whose bytes depend on nothing but the answer, its statement, and the attempt."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness import files
from harness.challenge import ArchiveLayout, Format
from harness.data.tracks import DataRoot
from harness.errors import DataError, UsageError
from harness.runs.store import RUNS, Run
from harness.sending.expectation import ExpectedScore, expect
from harness.sending.ledger import UNKNOWN, Attempt, enter, locked, write_ledger
from harness.sending.statement import manifests_of, statement
from harness.submission.checks import Verdict
from harness.submission.record import Record
from harness.submission.source import enclosing_submission, record_beside, refuse_interrupted
from harness.submission.table import LARGEST_FILE
from harness.words import number, percent

# Zip files cannot say an earlier time.
_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16
SUFFIX = ".zip"
EDITED = "expected score unknown: edited after it was written, so it is an answer of no run"
LEDGER = Path("submissions/ledger.csv")


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
    expectation: ExpectedScore


def default_ledger(submission: Path) -> Path:
    """The ledger in the folder `submissions` that the submission lies below, else in the one here."""
    above = next((parent for parent in submission.resolve().parents if parent.name == LEDGER.parent.name), None)
    return LEDGER if above in (None, LEDGER.parent.resolve()) else above / LEDGER.name


def archive_path(submission: Path, out: Path | None) -> Path:
    """The zip file to write: `out`, or one beside the submission with its name.

    Raises UsageError for a name that is no zip file's, or that some system cannot hold, DataError for half a submission.
    """
    if out is not None and out.suffix.lower() != SUFFIX:
        raise UsageError("the archive is a zip file", found=str(out), expected=f"a name that ends in {SUFFIX}")
    if out is None:
        refuse_interrupted(submission)
        # "." and ".." have a name only where they lead to.
        named = submission if submission.name not in ("", "..") else submission.resolve()
        out = named.parent / f"{named.stem if submission.is_file() else named.name}{SUFFIX}"
    files.safe_name(out.name, "the archive's name")
    try:
        str(out).encode()
    except UnicodeEncodeError as error:
        raise UsageError("the ledger cannot name this place, which is no text", found=ascii(str(out))) from error
    return out


def record_of(verdict: Verdict) -> Record | None:
    """The record of what was checked; of a file of a submission that of the whole; None where there is none."""
    return verdict.record or record_beside(verdict.path)


def refuse_unsendable(verdict: Verdict) -> None:
    """Raises DataError for what must never be sent: demonstrations, and answers to a labelled split."""
    submission, record = verdict.path, record_of(verdict)
    if record and record.demonstration:
        raise DataError(
            f"made {record.demonstration}, which demonstrates and is never sent",
            path=submission,
            found="its record says so",
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
    root_of: Callable[[Run], DataRoot],
    layout: ArchiveLayout | None = None,
    declared: Sequence[str] = (),
    edited: bool = False,
) -> Packed:
    """Writes archive, data statement and ledger: what was checked, with one sha256, and nothing of it if any cannot be written.

    Parameters
    ----------
    verdict : of a check that kept what it read.
    root_of : gives the data root whose labels measure a run.
    layout : where files lie in the archive, by default as in the edition.
    declared : sentences of the team for the statement.
    edited : takes files that were changed after they were written for an answer of its own, of which no score is expected.

    Raises DataError for files that were changed if not `edited`, if the record does not tell what the answer was made from, or
    if the ledger is damaged, UsageError if `out` is there and holds something else, LockedError while another process packs.
    """
    assert verdict.form is not None
    form, record = verdict.form, record_of(verdict)
    contents = _contents(verdict, form)
    changed = _changed_files(verdict, record, contents)
    if changed and not edited:
        _refuse_changed(verdict, changed)
    text = _statement(form, out.name, record, changed, declared, verdict.path)
    made_by = None if changed else record
    expectation = ExpectedScore(EDITED) if changed else expect(made_by, form.score, root_of)
    data, archive = _zip(contents, out, layout or form.archive_layout)
    page = out.with_suffix(".statement.md")
    with locked(ledger) as attempts:
        _refuse_other_archive(out, archive.sha256)
        entry = enter(attempts, ledger.parent, verdict, out, archive.sha256, made_by.runs if made_by else (), expectation)
        # Both take their names once the attempt is noted: what lies there unnoted could be sent unseen.
        with files.writing(out) as archive_handle, files.writing(page) as page_handle:
            archive_handle.write(data)
            archive_handle.flush()
            page_handle.write(text.encode())
            page_handle.flush()
            write_ledger(ledger, entry.attempts)
    return Packed(form, archive, page, ledger, entry.attempt, entry.packed_before, expectation)


@dataclass(frozen=True)
class _File:
    """A file to send: its name in the submission, and its bytes as they were checked."""

    name: str
    data: bytes


def _changed_files(verdict: Verdict, record: Record | None, contents: Mapping[str, _File]) -> list[str]:
    """The files to send that are not those which the record names by their sha256."""
    if record is None:
        return []
    # A file of a submission, or its folder of tracks, may be packed alone.
    path = verdict.path.resolve()
    part = PurePosixPath("" if verdict.record is not None else path.relative_to(enclosing_submission(path)).as_posix())
    names = {str(part if path.is_file() and verdict.record is None else part / file.name): file for file in contents.values()}
    return [name for name, file in names.items() if record.files.get(name) != files.sha256_of_bytes(file.data)]


def _refuse_changed(verdict: Verdict, changed: Sequence[str]) -> None:
    more = f" and {len(changed) - 1:,} more" if len(changed) > 1 else ""
    raise DataError(
        "changed after it was written, so it is no answer of the run that its record names",
        path=verdict.path,
        found=f"{changed[0]}{more}",
        expected="the files as they were written",
        remedy="write it again with `harness predict RUN --from-scores`; or --edited packs it as its own, without the run's "
        "expected score",
    )


def _statement(
    form: Format, archive: str, record: Record | None, changed: Sequence[str], declared: Sequence[str], submission: Path
) -> str:
    try:
        manifests = manifests_of(record.content.get("runs", ()) if record else (), RUNS)
        return statement(form, archive, manifests, changed, declared)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            "its record does not tell what the submission was made from",
            path=submission,
            found=f"{type(error).__name__}: {error}"[:200],
            expected="the `runs` that this program writes to submission.json",
            remedy="write the submission again with `harness predict RUN --from-scores`",
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
        low, high = (number(float(end)) if end else "" for end in (attempt.low, attempt.high))
        yield f"expected {form.score.words} {number(float(attempt.expected))}{f' ({low} to {high})' if low else ''}"
    for earlier, share in (pair.split(":") for pair in attempt.differs.split()):
        yield f"differs from attempt {earlier} in {UNKNOWN[share] if share in UNKNOWN else f'{percent(float(share), 2)} of rows'}"
    where = f" to {form.sent_to}" if form.sent_to else ""
    yield f"next: read {packed.statement}, the data statement, then send {archive.path}{where}"


def _zip(contents: Mapping[str, _File], out: Path, layout: ArchiveLayout) -> tuple[bytes, Archive]:
    """A zip file of the contents, to be written to `out`: the same contents give the same bytes."""
    folder = f"{out.stem}/" if layout == "folder" else ""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(folder + name, _TIME)
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, _MODE
            archive.writestr(entry, contents[name].data, compresslevel=9)
    data = buffer.getvalue()
    return data, Archive(out, len(data), tuple(folder + name for name in sorted(contents)), files.sha256_of_bytes(data))


def _refuse_other_archive(out: Path, sha256: str) -> None:
    if out.exists() and files.sha256(out) != sha256:
        raise UsageError(
            "another archive has this name; what was sent must not be lost",
            found=str(out),
            remedy="choose another name with --out, or move the old one away",
        )


def _contents(verdict: Verdict, form: Format) -> dict[str, _File]:
    """The answer's files, as they were checked, under the names the edition gives them."""
    single = form.layout == "single"
    wanted = [file for file in verdict.files if (file.track == "") == single]
    if not wanted or (single and len(wanted) > 1):
        raise DataError(
            "not exactly one answer to send",
            path=verdict.path,
            found=", ".join(file.name for file in wanted) or "no file",
            expected=f"one {form.answer_name}" if single else "a text file per track",
            remedy="name the file itself",
        )
    names = [form.answer_name if single else f"{file.track}.txt" for file in wanted]
    return {
        PurePosixPath(name).name: _File(file.name, verdict.source.read(file.name, LARGEST_FILE))
        for name, file in zip(names, wanted, strict=True)
    }
