"""harness validate: what it takes for a submission, what it checks against, what it prints and how it ends."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest

from harness.challenge import EXPR, format_of
from harness.cli import main
from harness.data.sample import load_sample
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_FINDINGS, EXIT_USAGE
from harness.findings import SCHEMA
from harness.submission import plausible
from harness.submission.build import build
from harness.submission.catalogue import KINDS
from tests.data_roots import Made, make_root

HEADER = format_of("EXPR", 5).header
TRACKS = [("video1", np.array([0, 1, 2], np.int8)), ("video2", np.array([3, 4], np.int8))]
GOOD = HEADER + "\nvideo1/00001.jpg,0\nvideo1/00002.jpg,1\nvideo1/00003.jpg,2\nvideo2/00001.jpg,3\nvideo2/00002.jpg,4\n"


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["validate", *map(str, arguments)])
    return int(caught.value.code or 0)


def text_file(folder: Path, text: str = GOOD, name: str = "predictions.txt") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def sample(folder: Path, ending: str = ",") -> Path:
    rows = [line.split(",")[0] + ending for line in GOOD.splitlines()[1:]]
    return text_file(folder, "\n".join([HEADER, *rows]) + "\n", "sample.txt")


def written(place: Path, split: str = "test") -> Path:
    build(place, TRACKS, EXPR, 5, None, {"split": split})
    return place


def test_a_good_file_beside_its_sample_is_ready(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = text_file(tmp_path)
    assert run(path, "--sample", sample(tmp_path)) == EXIT_DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{path}: EXPR of the 5th edition (from the sample's header)"
    assert lines[1] == f"  checked against the sample {tmp_path / 'sample.txt'}"
    assert lines[2] == "  2 tracks, 5 rows: 0 errors, 0 warnings"
    assert lines[-1] == f"ready; next: harness pack {path}"


def test_an_error_ends_with_1_and_names_code_file_line_and_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = text_file(tmp_path, GOOD.replace("video2/00001.jpg,3", "video2/00001.jpg,8"))
    assert run(path, "--sample", sample(tmp_path)) == EXIT_FINDINGS
    printed = capsys.readouterr().out
    assert "ERROR VALUE_RANGE (1 place): a number that the challenge does not allow" in printed
    assert "    predictions.txt:5  found expression '8', expected 0 to 7" in printed
    assert "    what to do: " in printed
    assert printed.splitlines()[-1].startswith("this submission is not ready to send")


def test_a_warning_ends_with_0_and_with_strict_with_1(tmp_path: Path) -> None:
    path = text_file(tmp_path, GOOD.removesuffix("\n"))
    assert run(path, "--sample", sample(tmp_path)) == EXIT_DONE
    assert run(path, "--sample", sample(tmp_path), "--strict") == EXIT_FINDINGS


def test_without_anything_to_check_against_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(text_file(tmp_path)) == EXIT_DONE
    printed = capsys.readouterr().out
    assert "checked against nothing but the files themselves" in printed
    assert printed.splitlines()[-1].startswith("no errors, but rows and order were not checked: validate with --sample")


def test_the_sample_comes_before_data_and_table_and_these_before_the_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written(tmp_path / "answer")
    table = text_file(tmp_path, "track,rows\nvideo1,3\nvideo2,2\n", "rows.csv")
    data = make_root(tmp_path / "root", [Made("video1", "test", [0] * 3, [1]), Made("video2", "test", [0] * 2, [1, 2])])
    official = next(Path(data).rglob("*test_set_sample.txt"))
    cases: tuple[tuple[list[str | Path], str], ...] = (
        (["--sample", sample(tmp_path), "--data", data, "--rows", table], f"the sample {tmp_path / 'sample.txt'}"),
        (["--data", data, "--rows", table], f"the sample {official}"),
        (["--rows", table], f"the table {table}"),
        ([], "the record in its own submission.json"),
    )
    for arguments, source in cases:
        assert run(folder, *arguments) == EXIT_DONE
        assert f"  checked against {source}\n" in capsys.readouterr().out


def test_of_a_data_root_the_split_is_taken_that_the_record_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracks = [Made("other", "test", [0], [1]), Made("video1", "val", [0, 1, 2], [1, 2]), Made("video2", "val", [3, 4], [1])]
    data = make_root(tmp_path / "root", tracks)
    assert run(written(tmp_path / "answer", "val"), "--data", data) == EXIT_DONE
    assert f"checked against the val split of {data}" in capsys.readouterr().out
    assert run(written(tmp_path / "answer", "val"), "--data", data, "--split", "test") == EXIT_FINDINGS


def test_class_shares_are_compared_with_the_training_labels_of_the_data_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plausible, "ROWS_TO_COMPARE_SHARES", 5)
    tests = [Made("video1", "test", [0] * 3, [1]), Made("video2", "test", [0] * 2, [1, 2])]
    answer = written(tmp_path / "answer")
    alike = make_root(tmp_path / "alike", [Made("learned", "train", [0, 1, 2, 3, 4, -1], [1]), *tests])
    assert run(answer, "--data", alike, "--strict") == EXIT_DONE
    other = make_root(tmp_path / "other", [Made("learned", "train", [7, 7, 7, -1, 6], [1]), *tests])
    assert run(answer, "--data", other, "--strict") == EXIT_FINDINGS
    assert "expected Other 75 %, Surprise 25 %" in capsys.readouterr().out


def test_an_answer_that_was_changed_is_said_to_be_no_run_s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written(tmp_path / "answer")
    assert run(folder) == EXIT_DONE
    assert capsys.readouterr().out.splitlines()[-1] == f"ready; next: harness pack {folder}"
    (folder / "predictions.txt").write_text(GOOD.removesuffix("\n"))
    assert run(folder) == EXIT_DONE
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"harness pack {folder} --edited")


def test_what_writers_of_other_teams_do_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file per video under the single file's header, each 64th frame alone; and -5 where nothing was predicted."""
    header = format_of("VA", 10).header
    images = {name: [f"{name}/{frame:05d}.jpg" for frame in range(1, 200)] for name in ("a", "b")}
    whole = text_file(
        tmp_path, "\n".join([header, *(f"{image}," for name in "ab" for image in images[name])]) + "\n", "sample.txt"
    )
    for name in "ab":
        rows = [f"{image},0.5,-0.25" for image in images[name][::64]]
        text_file(tmp_path / "videos", "\n".join([header, *rows]) + "\n", f"{name}.txt")
    assert run(tmp_path / "videos", "--sample", whole) == EXIT_FINDINGS
    printed = capsys.readouterr().out
    for code in ("ANSWER_ABSENT", "HEADER_OTHER_LAYOUT", "FIELD_COUNT", "ROWS_TOO_FEW"):
        assert code in printed, code
    rows = [f"{image},{'-5,-5' if number % 3 else '0.5,0.25'}" for name in "ab" for number, image in enumerate(images[name])]
    assert run(text_file(tmp_path, "\n".join([header, *rows]) + "\n"), "--sample", whole) == EXIT_FINDINGS
    assert "VALUE_IGNORE_CODE (264 places)" in capsys.readouterr().out


def test_a_row_table_of_other_rows_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = text_file(tmp_path, "track,rows,remark\nvideo1,4,\nvideo2,2,short\n", "rows.csv")
    assert run(written(tmp_path / "answer"), "--rows", table) == EXIT_FINDINGS
    printed = capsys.readouterr().out
    for code in ("ROW_ABSENT", "ROWS_TOO_FEW", "RECORD_ROWS"):
        assert code in printed


@pytest.mark.parametrize(
    "table",
    [
        "video,rows\nvideo1,3\n",
        "track,rows\n",
        "track,rows\nvideo1,three\n",
        "track,rows\nvideo1,3\nvideo1,3\n",
        "track,rows\nvideo1\n",
        "track,rows\nvideo1," + "3" * 5000 + "\n",
        "track,rows\n" + "v" * 200_000 + ",3\n",
        "v" * 200_000 + "\n",
    ],
)
def test_a_table_that_is_none_ends_with_3(tmp_path: Path, table: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(text_file(tmp_path), "--rows", text_file(tmp_path, table, "rows.csv")) == EXIT_DATA
    assert "rows.csv" in capsys.readouterr().err


def test_a_list_of_track_names_gives_names_but_no_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = text_file(tmp_path, "video1\r\nvideo2\r\nvideo3\r\n", "names.txt")
    build(tmp_path / "answer", TRACKS, EXPR, 3, None, {})
    (tmp_path / "answer" / "submission.json").unlink()
    (tmp_path / "answer" / "tracks").rename(tmp_path / "tracks")
    assert run(tmp_path / "tracks", "--sample", names) == EXIT_FINDINGS
    printed = capsys.readouterr().out
    assert "the track names of" in printed
    assert "TRACK_FILE_ABSENT (1 place)" in printed
    assert "    video3.txt" in printed


def test_a_file_is_not_ready_while_its_rows_are_unchecked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = text_file(tmp_path)
    names = text_file(tmp_path, "video1\nvideo2\n", "names.txt")
    assert run(path, "--sample", names) == EXIT_DONE
    assert capsys.readouterr().out.splitlines()[-1].startswith("no errors, but rows and order were not checked")
    assert run(path, "--sample", text_file(tmp_path, "video1\nvideo2\nvideo3\n", "names.txt")) == EXIT_FINDINGS
    assert "TRACK_ABSENT (1 place)" in capsys.readouterr().out
    assert run(path, "--rows", text_file(tmp_path, "track,rows\nvideo1,3\nvideo2,2\n", "rows.csv")) == EXIT_DONE
    assert capsys.readouterr().out.splitlines()[-1].startswith("ready")


def test_numbers_of_rows_do_not_say_which_frames_a_multi_task_answer_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"a/{frame:05d}.jpg,0.5,0.5,{frame % 8}," + ",".join("01" * 6) for frame in (1, 8, 17)]
    path = text_file(tmp_path, "\n".join([format_of("MTL", 7).header, *rows]) + "\n", "MTL_predictions.txt")
    assert run(path, "--rows", text_file(tmp_path, "track,rows\na,3\n", "rows.csv")) == EXIT_DONE
    printed = capsys.readouterr().out
    assert "0 errors, 0 warnings" in printed
    assert printed.splitlines()[-1].startswith("no errors, but of the rows only their number was checked")
    assert run(path, "--rows", text_file(tmp_path, "track,rows\na,4\n", "rows.csv")) == EXIT_FINDINGS
    assert "ROWS_TOO_FEW" in capsys.readouterr().out


def test_a_table_of_more_rows_than_any_answer_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = "track,rows\n" + "".join(f"video{number},9999999\n" for number in range(3000))
    assert run(text_file(tmp_path), "--rows", text_file(tmp_path, table, "rows.csv")) == EXIT_DATA
    assert "more rows than any answer has" in capsys.readouterr().err


def test_the_first_edition_s_list_of_totals_gives_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = "The video {} has a total number of frames: {} frames.\n"
    assert sentence.format("x", 9).split()[2] == "x"
    assert sentence.format("x", 9).split()[9] == "9"
    totals = text_file(tmp_path, sentence.format("video1", 3) + sentence.format("video2", 4), "totals.txt")
    build(tmp_path / "answer", TRACKS, EXPR, 3, None, {})
    assert run(tmp_path / "answer" / "tracks", "--sample", totals) == EXIT_FINDINGS
    printed = capsys.readouterr().out
    assert f"checked against the totals of {totals}" in printed
    assert "    video2.txt:3  found 2 rows, expected 4" in printed
    assert (
        run(tmp_path / "answer" / "tracks", "--sample", text_file(tmp_path, "one two three four five " * 2, "no.txt"))
        == EXIT_DATA
    )


@pytest.mark.realdata
def test_an_answer_to_real_faces_is_checked_against_their_sample(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (official,) = (real_data / "faces").rglob("*_test_set_sample.txt")
    template = load_sample(official)
    rng = np.random.default_rng(0)
    values = [(name, rng.integers(0, 8, count).astype(np.int8)) for name, count in template.rows.counts.items()]
    build(tmp_path / "answer", values, EXPR, 5, template, {"split": "test"})
    assert run(tmp_path / "answer", "--sample", official) == EXIT_DONE
    assert f"229 tracks, {len(template.rows):,} rows: 0 errors, 0 warnings" in capsys.readouterr().out
    assert run(tmp_path / "answer", "--data", real_data / "faces") == EXIT_DONE
    (tmp_path / "answer" / "tracks" / f"{values[5][0]}.txt").unlink()
    assert run(tmp_path / "answer", "--data", real_data / "faces") == EXIT_FINDINGS


def test_of_a_folder_of_submissions_each_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parent = tmp_path / "submissions"
    written(parent / "ours")
    text_file(parent / "foreign single", GOOD, "my_predictions_2.txt")
    text_file(parent / "foreign tracks", EXPR.header + "\n1\n", "video1.txt")
    text_file(parent / "no submission", "x", "notes.md")
    text_file(parent, "a,b\n", "ledger.csv")
    assert run(parent) == EXIT_DONE
    printed = capsys.readouterr().out
    for name in ("ours", "foreign single", "foreign tracks"):
        assert f"{parent / name}: EXPR of the" in printed
    assert "no submission" not in printed


def test_notes_in_a_folder_of_submissions_do_not_make_it_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parent = tmp_path / "submissions"
    written(parent / "ours")
    text_file(parent, "what we tried: smoothing\n", "notes.txt")
    assert run(parent) == EXIT_DONE
    assert f"{parent / 'ours'}: EXPR of the" in capsys.readouterr().out


def test_several_paths_are_checked_in_one_go_and_one_error_decides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = text_file(tmp_path / "a"), text_file(tmp_path / "b", GOOD.replace(",4", ",9"))
    assert run(good, bad) == EXIT_FINDINGS
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 of 2 submissions is not ready to send")


def test_json_has_a_versioned_schema_and_nothing_else_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = text_file(tmp_path, GOOD.replace(",4", ",9"))
    assert run(path, "--json") == EXIT_FINDINGS
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["command"], document["strict"]) == (SCHEMA, "validate", False)
    (submission,) = document["submissions"]
    assert submission["path"] == str(path)
    assert submission["valid"] is False
    assert (submission["challenge"], submission["edition"], submission["layout"]) == ("EXPR", 5, "single")
    assert (submission["tracks"], submission["rows"]) == (2, 5)
    assert submission["counts"] == {"VALUE_RANGE": 1}
    assert submission["findings"][0]["line"] == 6
    assert "archive_layout" in submission["inferred"]


def test_list_codes_prints_the_whole_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list-codes") == EXIT_DONE
    printed = capsys.readouterr().out
    for kind in KINDS:
        assert f"{kind.code} ({kind.severity})\n    {kind.meaning}\n    what to do: {kind.remedy}" in printed


def test_fix_writes_a_repaired_copy_says_what_it_did_and_checks_the_copy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "predictions.txt"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    before = path.read_bytes()
    fixed = tmp_path / "fixed" / "predictions.txt"
    assert run(path, "--sample", sample(tmp_path)) == EXIT_FINDINGS
    capsys.readouterr()
    assert run(path, "--sample", sample(tmp_path), "--fix", fixed) == EXIT_DONE
    printed = capsys.readouterr().out
    assert "fix: predictions.txt: byte-order mark removed" in printed
    assert f"fix: written to {fixed}" in printed
    assert fixed.read_text() == GOOD
    assert path.read_bytes() == before
    assert run(path, "--fix", fixed) == EXIT_USAGE


def test_fix_tells_a_program_too_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = text_file(tmp_path, GOOD.removesuffix("\n"))
    assert run(path, "--json", "--fix", tmp_path / "predictions_fixed.txt") == EXIT_DONE
    document = json.loads(capsys.readouterr().out)
    assert document["repairs"] == [
        "predictions.txt: line ending added to the last line",
        f"written to {tmp_path / 'predictions_fixed.txt'}",
    ]
    assert document["submissions"][0]["path"] == str(tmp_path / "predictions_fixed.txt")


def test_fix_does_not_hide_what_cannot_be_repaired(tmp_path: Path) -> None:
    path = text_file(tmp_path, GOOD.replace(",4\n", ",9 \n"))
    assert run(path, "--fix", tmp_path / "fixed.txt") == EXIT_FINDINGS
    assert (tmp_path / "fixed.txt").read_text() == path.read_text()


@pytest.mark.parametrize(
    ("header", "row", "meant"),
    [
        ("image_location,valence,arousal", "0.5,-0.25", "VA of the 10th edition"),
        ("valence,arousal", "0.5,-0.25", "VA of the 3rd edition"),
        ("image,valence,arousal,expression,aus", "0.5,-0.25,4" + ",1" * 12, "MTL of the 11th edition"),
        (format_of("EXPR", 10).header, "4", "EXPR of the 5th edition"),
    ],
)
def test_the_edition_that_is_meant_where_none_is_named_is_said(
    header: str, row: str, meant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = "v/00001.jpg," if header.startswith("image") else ""
    path = tmp_path / ("predictions.txt" if image else "v.txt")
    path.write_text(f"{header}\n{image}{row}\n")
    run(path)
    assert meant in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], EXIT_USAGE, "nothing to validate"),
        (["nowhere"], EXIT_DATA, "no such file or folder"),
        (["empty"], EXIT_DATA, "no submission here"),
        (["predictions.txt", "--sample", "nowhere.txt"], EXIT_DATA, "no such file"),
        (["predictions.txt", "--sample", "predictions.png"], EXIT_DATA, "sample"),
        (["predictions.txt", "--data", "nowhere"], EXIT_DATA, "no such folder"),
        (["predictions.txt", "--edition", "9"], EXIT_USAGE, "9th edition"),
        (["predictions.txt", "--challenge", "ERI"], EXIT_USAGE, "not supported"),
        (["predictions.txt", "--challenge", "MTL", "--edition", "5"], EXIT_USAGE, "held no MTL"),
        (["predictions.txt", "--frobnicate"], EXIT_USAGE, "frobnicate"),
    ],
)
def test_what_a_user_can_get_wrong_ends_with_one_message(
    arguments: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    text_file(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "predictions.png").write_bytes(b"\x89PNG\r\n/\0\0")
    assert run(*arguments) == code
    printed = capsys.readouterr()
    assert words in printed.err
    assert "Traceback" not in printed.err


def test_names_from_files_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J"
    folder = tmp_path / "answer"
    text_file(folder, GOOD)
    text_file(folder, "x", f"{evil}.png")
    text_file(folder, GOOD + f"{evil}/00001.jpg,3\n")
    run(folder)
    assert "\x1b" not in capsys.readouterr().out


def test_colour_is_for_terminals_only_and_not_where_NO_COLOR_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: N802
    path = text_file(tmp_path, GOOD.replace(",4", ",9"))
    from click.testing import CliRunner

    from harness.commands.validate import command

    coloured = CliRunner().invoke(command, [str(path)], color=True).output
    assert click.unstyle(coloured) != coloured
    monkeypatch.setenv("NO_COLOR", "1")
    plain = CliRunner().invoke(command, [str(path)], color=True).output
    assert plain == click.unstyle(coloured)


def test_a_fifo_and_a_folder_s_link_loop_do_not_hang(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "answer"
    text_file(folder)
    os.mkfifo(folder / "pipe.txt")
    os.symlink(folder, folder / "loop")
    assert run(folder) == EXIT_DONE
    assert "OTHER_FILE (2 places)" in capsys.readouterr().out
    assert run(folder / "pipe.txt") == EXIT_DATA


def test_a_file_of_ten_gigabytes_and_an_endless_line_end_at_a_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open(tmp_path / "predictions.txt", "wb") as handle:
        handle.truncate(10 * 1024**3)
    assert run(tmp_path / "predictions.txt") == EXIT_FINDINGS
    assert "FORMAT_UNKNOWN" in capsys.readouterr().out
    assert run(tmp_path / "predictions.txt", "--challenge", "EXPR") == EXIT_FINDINGS
    assert "FILE_TOO_LARGE" in capsys.readouterr().out
    with open(tmp_path / "long_predictions.txt", "wb") as handle:
        handle.write(GOOD.encode())
        handle.truncate(100 * 1024**2)
    assert run(tmp_path / "long_predictions.txt") == EXIT_FINDINGS
    assert "long_predictions.txt:7  found more than 4,096 bytes" in capsys.readouterr().out


def test_a_recorded_file_of_ten_gigabytes_is_not_read_for_its_sha256(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written(tmp_path / "answer")
    record = json.loads((folder / "submission.json").read_text())
    record["files"]["huge.bin"] = "0" * 64
    (folder / "submission.json").write_text(json.dumps(record))
    with open(folder / "huge.bin", "wb") as handle:
        handle.truncate(10 * 1024**3)
    assert run(folder) == EXIT_DONE
    printed = capsys.readouterr().out
    assert "huge.bin  found sha256 none taken of 10,737,418,240 bytes" in printed


def zip_bomb(claimed: int | None, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Half a gigabyte of zeros in a zip file, whose directory claims another size."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", method, compresslevel=1) as archive,
        archive.open("predictions.txt", "w") as handle,
    ):
        for _ in range(500):
            handle.write(bytes(1_000_000))
    data = buffer.getvalue()
    if claimed is None:
        return data
    local, central = data.find(b"PK\3\4"), data.find(b"PK\1\2")
    data = data[: local + 22] + struct.pack("<I", claimed) + data[local + 26 :]
    return data[: central + 24] + struct.pack("<I", claimed) + data[central + 28 :]


def tar_bomb(kind: bytes) -> bytes:
    """Half a gigabyte of zeros in a compressed tar file, as a file or as an extended header."""
    buffer = io.BytesIO()
    member = tarfile.TarInfo("predictions.txt")
    member.size, member.type = 500_000_000, kind
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as handle:
        handle.write(member.tobuf())
        for _ in range(500):
            handle.write(bytes(1_000_000))
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("plain.zip", lambda: zip_bomb(None)),
        ("understated.zip", lambda: zip_bomb(1000)),
        ("bzip2.zip", lambda: zip_bomb(1000, zipfile.ZIP_BZIP2)),
        ("lzma.zip", lambda: zip_bomb(1000, zipfile.ZIP_LZMA)),
        ("file.tar.gz", lambda: tar_bomb(tarfile.REGTYPE)),
        ("header.tar.gz", lambda: tar_bomb(tarfile.XHDTYPE)),
        ("long_name.tar.gz", lambda: tar_bomb(tarfile.GNUTYPE_LONGNAME)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_archive_makes_the_program_large(tmp_path: Path, name: str, make: Callable[[], bytes]) -> None:
    (tmp_path / name).write_bytes(make())
    code, mebibytes = validated_in_its_own_process(tmp_path / name)
    assert code == EXIT_FINDINGS
    assert mebibytes < 250


@pytest.mark.slow
@pytest.mark.parametrize("length", [4_000, 400_000])
def test_no_long_number_makes_the_program_large(tmp_path: Path, length: int) -> None:
    rows = [f"v/{frame:05d}.jpg,0.25,{frame % 7 / 10}" for frame in range(1, 60_001)]
    rows[30_000] = "v/30001.jpg,0.25,0." + "0" * length
    path = text_file(tmp_path, "\n".join([format_of("VA", 6).header, *rows]) + "\n")
    code, mebibytes = validated_in_its_own_process(path)
    assert code == (EXIT_DONE if length < 4096 else EXIT_FINDINGS)
    assert mebibytes < 150


@pytest.mark.parametrize("end", ["0", ""], ids=["answer", "sample"])
def test_a_text_of_a_million_tracks_takes_no_more_memory_than_an_answer(tmp_path: Path, end: str) -> None:
    lines = (f"t{number}/00001.jpg,{end}" for number in range(1_500_000))
    many = text_file(tmp_path, "\n".join([HEADER, *lines]) + "\n", "many_predictions.txt")
    arguments = [] if end else ["--sample", str(many)]
    code, mebibytes = validated_in_its_own_process(many if end else text_file(tmp_path), *arguments)
    assert (code, mebibytes < 200) == (EXIT_FINDINGS if end else EXIT_DATA, True), mebibytes


def validated_in_its_own_process(path: Path, *arguments: str) -> tuple[int, int]:
    """The exit code and the largest size in MiB of a process that validates `path`."""
    program = (
        "import sys\nfrom harness.cli import main\n"
        "try:\n    main(['validate', *sys.argv[1:]])\nexcept SystemExit as end:\n    code = end.code\n"
        "memory = next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(code, memory // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path), *arguments], capture_output=True, text=True, check=True)
    code, mebibytes = map(int, done.stdout.splitlines()[-1].split())
    return code, mebibytes


def test_validating_brings_no_heavy_library(tmp_path: Path) -> None:
    path = written(tmp_path / "answer")
    table = text_file(tmp_path, "track,rows\nvideo1,3\nvideo2,2\n", "rows.csv")
    data = make_root(tmp_path / "root", [Made("video1", "test", [0] * 3, [1]), Made("video2", "test", [0] * 2, [1, 2])])
    program = (
        "import sys\nfrom harness.cli import main\n"
        f"for arguments in ([], ['--rows', {str(table)!r}], ['--data', {str(data)!r}]):\n"
        "    try:\n"
        f"        main(['validate', {str(path)!r}, *arguments])\n"
        "    except SystemExit as end:\n"
        "        assert not end.code, end.code\n"
        "print({'torch', 'torchvision', 'pandas', 'sklearn', 'scipy', 'accelerate', 'PIL'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_help_ends_with_an_example_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--help") == EXIT_DONE
    examples = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip().startswith("harness validate")]
    assert "harness validate predictions.txt --sample CVPR_5th_ABAW_EXPR_test_set_sample.txt" in examples
    monkeypatch.chdir(tmp_path)
    text_file(tmp_path)
    sample(tmp_path).rename(tmp_path / "CVPR_5th_ABAW_EXPR_test_set_sample.txt")
    assert run("predictions.txt", "--sample", "CVPR_5th_ABAW_EXPR_test_set_sample.txt") == EXIT_DONE
