"""Repairs: what has one safe repair is repaired, and nothing else is touched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.challenge import FORMATS, Format, format_of
from harness.errors import DataError, UsageError
from harness.submission.checks import check
from harness.submission.repair import repair
from tests.broken_submissions import Case, first_file, line_faults, lines_of, valid, with_bytes, with_lines
from tests.broken_wholes import recorded

# The codes of which a repaired copy is free, if nothing else is wrong.
REPAIRABLE = {
    "BYTE_ORDER_MARK",
    "CARRIAGE_RETURN",
    "FINAL_NEWLINE",
    "HEADER_QUOTED",
    "HEADER_SPACED",
    "SPACES",
    "QUOTED_FIELD",
    "TRAILING_COMMA",
    "ROW_ORDER",
}
DISTINCT = list({(form.challenge, form.layout): form for form in FORMATS}.values())


def repaired(case: Case, folder: Path) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The files of the repaired copy, and what was done."""
    folder.mkdir()
    result = repair(
        case.write(folder), folder / "copy", case.expected, case.options.get("challenge"), case.options.get("edition")
    )
    return {
        path.relative_to(result.path).as_posix(): path.read_bytes() for path in result.path.rglob("*") if path.is_file()
    }, result.done


@pytest.mark.parametrize("form", DISTINCT, ids=lambda form: form.name)
def test_safe_faults_are_repaired_to_the_very_bytes_of_the_valid_answer(form: Format, tmp_path: Path) -> None:
    base = valid(form)
    tried = set()
    for number, case in enumerate(line_faults(base)):
        codes = {code for code, _, _ in case.found}
        if codes <= REPAIRABLE:
            files, done = repaired(case, tmp_path / str(number))
            assert files == base.files, (case.name, done)
            assert done != ("nothing to repair",)
            tried |= codes
    assert tried >= REPAIRABLE - {"ROW_ORDER"}


@pytest.mark.parametrize("form", [format_of("EXPR", 5), format_of("VA", 2)], ids=lambda form: form.name)
def test_what_has_no_safe_repair_keeps_its_findings(form: Format, tmp_path: Path) -> None:
    base = valid(form)
    for number, case in enumerate(line_faults(base)):
        codes = {code for code, _, _ in case.found}
        if not codes & REPAIRABLE and codes and codes not in ({"FILE_EMPTY"}, {"LINE_TOO_LONG"}, {"BLANK_LINE"}):
            folder = tmp_path / str(number)
            repaired(case, folder)
            verdict = check(folder / "copy", case.expected, **case.options)
            assert set(verdict.findings.codes()) == codes, case.name


@pytest.mark.parametrize("form", DISTINCT, ids=lambda form: form.name)
def test_a_valid_answer_is_copied_byte_for_byte(form: Format, tmp_path: Path) -> None:
    base = valid(form)
    files, done = repaired(base, tmp_path / "valid")
    assert files == base.files
    assert done == ("nothing to repair",)


def test_several_faults_are_repaired_together_and_said(tmp_path: Path) -> None:
    base = valid(format_of("EXPR", 5))
    lines = lines_of(base)
    header = b'image_location,"Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"'
    turned = [header, lines[2], lines[1], lines[3] + b" ", *lines[4:], b"", b""]
    case = with_bytes(base, "everything", b"\xef\xbb\xbf" + b"\r\n".join(turned))
    files, done = repaired(case, tmp_path / "case")
    assert files == base.files
    assert done == (
        "predictions.txt: byte-order mark removed",
        f"predictions.txt: line endings changed to LF ({len(turned) - 1} times)",
        "predictions.txt: blank line at the end removed",
        "predictions.txt: quotes and spaces removed from the header",
        "predictions.txt: quotes, spaces or commas at the end removed from a row",
        "predictions.txt: row moved into the order of the sample (2 times)",
    )


def test_the_first_row_of_a_file_without_a_header_is_repaired_as_the_others_are(tmp_path: Path) -> None:
    base = valid(format_of("EXPR", 5))
    _, first, *rest = lines_of(base)
    files, done = repaired(with_lines(base, "no header", [first + b" ", *rest]), tmp_path / "case")
    assert files == {"predictions.txt": b"\n".join([first, *rest, b""])}
    assert done == ("predictions.txt: quotes, spaces or commas at the end removed from a row",)


def test_what_may_be_a_lost_value_or_an_unknown_order_is_left_alone(tmp_path: Path) -> None:
    single, track = valid(format_of("EXPR", 5)), valid(format_of("EXPR", 3))
    header, first, second, *rest = lines_of(single)
    lines = lines_of(track)
    for number, case in enumerate(
        (
            with_lines(replace(single, expected=None), "order unknown", [header, second, first, *rest]),
            with_lines(single, "a row absent", [header, second, *rest[:-1], first]),
            with_lines(single, "a row twice", [header, second, second, *rest]),
            with_lines(track, "blank line", [*lines[:3], b"", *lines[3:]]),
        )
    ):
        assert repaired(case, tmp_path / str(number))[0] == case.files, case.name


def test_files_of_tracks_get_their_right_names(tmp_path: Path) -> None:
    base = valid(format_of("AU", 3))
    name = first_file(base)
    shouted = {key: data for key, data in base.files.items() if key != name} | {name.replace(".txt", ".TXT"): base.files[name]}
    files, done = repaired(replace(base, files=shouted), tmp_path / "case")
    assert files == base.files
    assert done == (f"{name.replace('.txt', '.TXT')} named {name}",)


def test_a_record_gets_the_new_sha256_and_what_was_done(tmp_path: Path) -> None:
    base = recorded(valid(format_of("EXPR", 5)))
    broken = {**base.files, "tracks/video1.txt": base.files["tracks/video1.txt"].replace(b"\n", b"\r\n")}
    files, _ = repaired(replace(base, files=broken), tmp_path / "case")
    assert {name: data for name, data in files.items() if name != "submission.json"} == {
        name: data for name, data in base.files.items() if name != "submission.json"
    }
    assert json.loads(files["submission.json"])["repairs"] == ["tracks/video1.txt: line endings changed to LF (7 times)"]
    assert not len(check(tmp_path / "case" / "copy").findings)


def test_no_copy_is_left_where_the_record_cannot_be_taken_over(tmp_path: Path) -> None:
    base = recorded(valid(format_of("EXPR", 5)))
    place = replace(base, files={**base.files, "submission.json": b"{"}).write(tmp_path)
    with pytest.raises(DataError):
        repair(place, tmp_path / "copy", base.expected, "EXPR", 5)
    assert not (tmp_path / "copy").exists()


def test_a_file_that_was_not_what_was_recorded_is_not_made_so_by_a_repair(tmp_path: Path) -> None:
    base = recorded(valid(format_of("EXPR", 3)))
    track = "tracks/video1.txt"
    lines = base.files[track].split(b"\n")
    tampered = b"\r\n".join([*lines[:2], b"7", *lines[3:]])
    assert lines[2] != b"7"
    files, done = repaired(replace(base, files={**base.files, track: tampered}), tmp_path / "case")
    assert done == (f"{track}: line endings changed to LF (7 times)",)
    assert files[track] == tampered.replace(b"\r\n", b"\n")
    findings = check(tmp_path / "case" / "copy").findings
    assert [(finding.kind.code, finding.file) for finding in findings] == [("RECORD_SHA256", track)]


def test_a_recorded_file_that_is_absent_stays_recorded(tmp_path: Path) -> None:
    base = recorded(valid(format_of("EXPR", 5)))
    files, _ = repaired(replace(base, files={k: v for k, v in base.files.items() if k != "predictions.txt"}), tmp_path / "case")
    assert json.loads(files["submission.json"])["files"] == json.loads(base.files["submission.json"])["files"]
    assert "RECORD_SHA256" in check(tmp_path / "case" / "copy").findings.codes()


def test_a_recorded_file_keeps_its_record_under_its_right_name(tmp_path: Path) -> None:
    base = recorded(valid(format_of("EXPR", 3)))
    record = base.files["submission.json"].replace(b"tracks/video1.txt", b"tracks/Video1.txt")
    rest = {name: data for name, data in base.files.items() if name != "tracks/video1.txt"}
    shouted = {**rest, "tracks/Video1.txt": base.files["tracks/video1.txt"], "submission.json": record}
    repaired(replace(base, files=shouted), tmp_path / "case")
    assert not len(check(tmp_path / "case" / "copy").findings)


def test_what_is_left_out_of_the_copy_is_said(tmp_path: Path) -> None:
    base = valid(format_of("EXPR", 5))
    more = {**base.files, "notes.md": b"x", ".DS_Store": b"x", "logs/run.log": b"x"}
    files, done = repaired(replace(base, files=more), tmp_path / "case")
    assert files == base.files
    assert sorted(done) == [
        f"{name}: left out, because it is not part of the answer" for name in (".DS_Store", "logs", "notes.md")
    ]


def test_a_file_is_repaired_to_a_file_and_an_archive_to_a_folder(tmp_path: Path) -> None:
    base = valid(format_of("EXPR", 5))
    path = tmp_path / "predictions.txt"
    path.write_bytes(base.files["predictions.txt"].replace(b"\n", b"\r\n"))
    assert repair(path, tmp_path / "fixed.txt", base.expected, None, None).path.read_bytes() == base.files["predictions.txt"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    base = valid(format_of("EXPR", 5))
    path = base.write(tmp_path)
    with pytest.raises(UsageError, match="overwrite"):
        repair(path, path, base.expected, None, None)


def test_what_is_no_answer_at_all_cannot_be_repaired(tmp_path: Path) -> None:
    path = tmp_path / "predictions.txt"
    path.write_text("dear organisers,\nplease find attached\n")
    with pytest.raises(DataError, match="--challenge"):
        repair(path, tmp_path / "fixed.txt", None, None, None)
