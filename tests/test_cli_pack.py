"""harness pack: the archive, the ledger, the data statement, and what is refused."""

from __future__ import annotations

import csv
import errno
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import files
from harness.challenge import AU, EXPR, MTL, Format, format_of
from harness.cli import main
from harness.data.sample import parse_sample
from harness.data.scan import scan
from harness.data.tracks import EMBEDDED_MANIFEST, DataRoot
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_FINDINGS, EXIT_USAGE, DataError
from harness.evaluation.evaluate import evaluate
from harness.postprocess.chain import PostProcessing
from harness.rows.labelled import of_run, scored_run
from harness.rows.predictions import RunPredictions
from harness.runs import scores
from harness.runs.store import TUNED, Run
from harness.selection.expectation import expect, store_choice
from harness.selection.history import TUNING
from harness.sending.ledger import COLUMNS, Attempt, locked, read_ledger, write_ledger
from harness.sending.pack import pack
from harness.submission.build import build
from harness.submission.checks import check
from harness.submission.from_run import write_submission
from harness.words import number as written
from tests.simulated_runs import labelled_root, noisy_run

LABELS = np.array([0] * 50 + [4] * 50, np.int8)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    return tmp_path


def run(*arguments: str | Path | int) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["pack", *map(str, arguments)])
    return int(caught.value.code or 0)


def outcome(arguments: Sequence[str | Path], capsys: pytest.CaptureFixture[str], code: int = EXIT_DONE) -> str:
    """What a verb prints that ends with this exit code."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main([*map(str, arguments)])
    assert int(caught.value.code or 0) == code
    printed = capsys.readouterr()
    return printed.out + printed.err


def submission(
    name: str = "res50", labels: np.ndarray = LABELS, edition: int = 5, runs: tuple[str, ...] = ("res50",), split: str = "test"
) -> Path:
    path = Path("submissions") / name
    record = {"runs": [{"name": run} for run in runs], "split": split}
    build(path, [("video1", labels), ("video2", labels[::-1])], EXPR, edition, None, record)
    return path


def ledger() -> list[dict[str, str]]:
    with open("submissions/ledger.csv", newline="") as handle:
        return list(csv.DictReader(handle))


def test_the_archive_holds_the_single_file_at_its_root(capsys: pytest.CaptureFixture[str]) -> None:
    path = submission()
    assert run(path) == EXIT_DONE
    with zipfile.ZipFile("submissions/res50.zip") as archive:
        assert archive.namelist() == ["predictions.txt"]
        assert archive.read("predictions.txt") == (path / "predictions.txt").read_bytes()
    data = Path("submissions/res50.zip").read_bytes()
    printed = capsys.readouterr().out
    assert f"submissions/res50.zip: {len(data):,} bytes, predictions.txt" in printed
    assert f"sha256 {sha256(data).hexdigest()}" in printed
    assert "attempt 1 of 5 (inferred) at EXPR of the 5th edition" in printed
    assert printed.splitlines()[-1].startswith("next: ")


def test_what_was_packed_validates_as_it_is() -> None:
    path = submission()
    assert run(path) == EXIT_DONE
    verdict = check("submissions/res50.zip", check(path).expected)
    assert not len(verdict.findings)
    np.testing.assert_array_equal(verdict.values["video1"][:, 0], LABELS)


def test_editions_of_files_per_track_get_these_under_the_tracks_names() -> None:
    assert run(submission(edition=3)) == EXIT_DONE
    with zipfile.ZipFile("submissions/res50.zip") as archive:
        assert archive.namelist() == ["video1.txt", "video2.txt"]


def test_files_that_stand_in_another_order_in_the_team_s_own_archive_give_the_same_bytes(place: Path) -> None:
    texts = {path.name: path.read_bytes() for path in (submission(edition=3) / "tracks").iterdir()}
    packed = []
    for number, names in enumerate((sorted(texts), sorted(texts, reverse=True))):
        with zipfile.ZipFile(place / f"ours{number}.zip", "w") as archive:
            for name in names:
                archive.writestr(name, texts[name])
        assert run(f"ours{number}.zip", "--challenge", "EXPR", "--edition", 3, "--out", f"out{number}/answer.zip") == EXIT_DONE
        packed.append((place / f"out{number}" / "answer.zip").read_bytes())
    assert packed[0] == packed[1]


def test_multi_task_answers_get_their_own_file_name() -> None:
    values = np.zeros((3, 15))
    build("submissions/mtl", [("video1", values)], MTL, 7, None, {})
    assert run("submissions/mtl") == EXIT_DONE
    with zipfile.ZipFile("submissions/mtl.zip") as archive:
        assert archive.namelist() == ["MTL_predictions.txt"]


@pytest.mark.parametrize(
    ("form", "rule"),
    [
        (format_of("MTL", 11), "- s-Aff-Wild2 and any public or private data may be used, but not the images"),
        (format_of("VA", 10), "- only the labels of the challenge itself may be used"),
        (format_of("MTL", 7), "- no rule about data is known of this edition"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_statement_says_what_the_edition_allows_and_the_last_line_where_to_send(
    form: Format, rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    build("submissions/team", [("video1", np.zeros((3, len(form.challenge.fields))))], form.challenge, form.edition, None, {})
    assert run("submissions/team") == EXIT_DONE
    assert rule in Path("submissions/team.statement.md").read_text()
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith("team.zip to the evaluation server" if form.edition == 11 else "team.zip")


def test_the_layout_can_be_chosen_because_nobody_wrote_the_rules_down() -> None:
    assert run(submission(), "--layout", "folder", "--out", "team.zip") == EXIT_DONE
    with zipfile.ZipFile("team.zip") as archive:
        assert archive.namelist() == ["team/predictions.txt"]


def test_the_same_answer_gives_the_same_bytes_and_no_second_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(submission()) == EXIT_DONE
    before = Path("submissions/res50.zip").read_bytes()
    assert "packed before" not in capsys.readouterr().out
    assert run(submission()) == EXIT_DONE
    assert Path("submissions/res50.zip").read_bytes() == before
    assert len(ledger()) == 1
    assert "packed before" in capsys.readouterr().out


def test_a_sent_archive_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(submission()) == EXIT_DONE
    before = Path("submissions/res50.zip").read_bytes()
    assert run(submission(labels=np.roll(LABELS, 3))) == EXIT_USAGE
    assert "what was sent must not be lost" in capsys.readouterr().err
    assert Path("submissions/res50.zip").read_bytes() == before
    assert len(ledger()) == 1


def test_the_ledger_counts_attempts_and_how_much_they_differ(capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("one", "two", "three")):
        assert run(submission(name, np.roll(LABELS, 3 * number), runs=(f"run{number}", "other"))) == EXIT_DONE
    rows = ledger()
    assert [row["attempt"] for row in rows] == ["1", "2", "3"]
    assert [row["differs"] for row in rows] == ["", "1:0.0600", "1:0.1200 2:0.0600"]
    assert [row["runs"] for row in rows] == ["run0 other", "run1 other", "run2 other"]
    assert rows[1]["archive"] == "two.zip"
    assert rows[1]["submission"] == "two"
    assert rows[1]["sha256"] == sha256(Path("submissions/two.zip").read_bytes()).hexdigest()
    assert rows[1]["rows"] == "200"
    assert tuple(rows[0]) == COLUMNS
    printed = capsys.readouterr().out
    assert "differs from attempt 1 in 12.00 % of rows" in printed


def test_an_attempt_whose_archive_is_gone_or_changed_is_not_compared_with() -> None:
    assert run(submission("one")) == EXIT_DONE
    Path("submissions/one.zip").write_bytes(b"x")
    assert run(submission("two", np.roll(LABELS, 1))) == EXIT_DONE
    Path("submissions/one.zip").unlink()
    assert run(submission("three", np.roll(LABELS, 2))) == EXIT_DONE
    assert [row["differs"] for row in ledger()] == ["", "1:gone", "1:gone 2:0.0200"]


def test_attempts_are_counted_by_challenge_and_edition_and_too_many_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        assert run(submission(f"a{number}", np.roll(LABELS, number))) == EXIT_DONE
    assert run(submission("third", edition=3)) == EXIT_DONE
    assert ledger()[-1]["attempt"] == "1"
    assert "more attempts than" not in capsys.readouterr().out
    assert run(submission("sixth", np.roll(LABELS, 9))) == EXIT_DONE
    assert "warning: more attempts than the 5 a team may send" in capsys.readouterr().out


def test_cells_that_a_spreadsheet_takes_for_formulas_are_quoted() -> None:
    assert run(submission("one", runs=("=cmd()",))) == EXIT_DONE
    assert ledger()[0]["runs"] == "'=cmd()"
    assert run(submission("two", np.roll(LABELS, 1))) == EXIT_DONE
    assert ledger()[0]["runs"] == "'=cmd()"


def test_a_ledger_is_begun_in_a_new_place_and_read_as_it_was_written() -> None:
    path = Path("new/place/ledger.csv")
    with locked(path) as attempts:
        assert attempts == []
        names = {"archive": "'ours'.zip", "submission": "@ours"}
        one = replace(Attempt(*[""] * len(COLUMNS)), attempt="1", edition="5", sha256="ab" * 32, runs="=cmd()", **names)
        write_ledger(path, [one, replace(one, attempt="2", runs="it's")])
    assert read_ledger(path) == [one, replace(one, attempt="2", runs="it's")]
    assert b"\r" not in path.read_bytes()


def test_where_no_ledger_can_be_begun_the_folder_is_named() -> None:
    Path("sent").write_text("a file")
    with pytest.raises(DataError, match="cannot write here") as refused, locked(Path("sent/ledger.csv")):
        pass
    assert (refused.value.path, refused.value.remedy) == ("sent", "choose another folder")


@pytest.mark.parametrize(
    "text",
    [
        *("a,b\n", "", '"', ",".join(COLUMNS) + "\n1,EXPR\n", ",".join(COLUMNS) + "\n" + 11 * "1," + "\n"),
        ",".join(COLUMNS) + f"\n{'9' * 5000},EXPR,10,a,a.zip,{'0' * 64},1,,,,,\n",
    ],
)
def test_a_damaged_ledger_is_named_and_left_alone_and_nothing_is_packed(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = submission()
    Path("submissions/ledger.csv").write_text(text)
    assert run(path) == EXIT_DATA
    assert "submissions/ledger.csv" in capsys.readouterr().err
    assert Path("submissions/ledger.csv").read_text() == text
    assert not list(Path("submissions").glob("*.zip"))


def as_excel(text: str, separator: str, decimal: str, mark: bytes) -> bytes:
    """The table as a spreadsheet saves it: other separators and line ends, a mark, and cells and rows beyond the last."""
    rows = [[cell.replace("0.", f"0{decimal}") for cell in line.split(",")] for line in text.splitlines()]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=separator, lineterminator="\r\n").writerows([[*row, "", ""] for row in rows] + [[""] * 14])
    return mark + buffer.getvalue().encode()


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(("separator", "decimal"), [(",", "."), (";", ","), (";", "."), ("\t", ",")])
def test_a_ledger_that_a_spreadsheet_saved_is_understood(separator: str, decimal: str, mark: bytes) -> None:
    model, root = scored()
    assert run(answer(model, root)) == EXIT_DONE
    written = Path("submissions/ledger.csv").read_text()
    before = ledger()
    assert float(before[0]["expected"]) > 0
    Path("submissions/ledger.csv").write_bytes(as_excel(written, separator, decimal, mark))
    assert run(submission()) == EXIT_DONE
    assert ledger()[0] == before[0]
    assert [row["attempt"] for row in ledger()] == ["1", "2"]


def test_a_second_pack_waits_for_the_first_and_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = submission("one"), submission("two", np.roll(LABELS, 3))
    Path("submissions").mkdir(exist_ok=True)
    with files.lock("submissions/.ledger.csv.lock", "the ledger"):
        assert run(one, "--out", "submissions/x.zip") == EXIT_DATA
    assert "another process" in capsys.readouterr().err
    assert not Path("submissions/x.zip").exists()
    assert run(one, "--out", "submissions/x.zip") == EXIT_DONE
    assert run(other, "--out", "submissions/x.zip") == EXIT_USAGE
    assert [row["submission"] for row in ledger()] == ["one"]


STAGES = ("open", "flush", "rename", "sync")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=["full", "interrupted"])
def test_no_archive_lies_there_unnoted_at_whatever_step_packing_ends(error: BaseException) -> None:
    """Each step of each of the three writes fails once; what is there then is noted, and packing again makes it whole."""
    path = submission()
    for step in range(3 * len(STAGES)):
        steps = iter(range(100))

        def fail(stage: str, step: int = step, steps: Iterator[int] = steps) -> None:
            if stage in STAGES and next(steps) == step:
                raise error

        files.set_stage_hook(fail)
        try:
            assert run(path) != EXIT_DONE
        finally:
            files.set_stage_hook(None)
        noted = [row["sha256"] for row in ledger()] if Path("submissions/ledger.csv").exists() else []
        for archive in Path("submissions").glob("*.zip"):
            assert sha256(archive.read_bytes()).hexdigest() in noted
        assert run(path) == EXIT_DONE
        assert sha256(Path("submissions/res50.zip").read_bytes()).hexdigest() == ledger()[0]["sha256"]
        assert len(ledger()) == 1
        for left in (*Path("submissions").glob("*.zip"), Path("submissions/ledger.csv")):
            left.unlink()


def test_a_standing_error_is_printed_and_nothing_is_packed(capsys: pytest.CaptureFixture[str]) -> None:
    path = submission()
    text = (path / "predictions.txt").read_text()
    (path / "predictions.txt").write_text(text.replace("00007.jpg,0", "00007.jpg,9"))
    assert run(path) == EXIT_FINDINGS
    printed = capsys.readouterr().err
    assert "VALUE_RANGE" in printed
    assert printed.splitlines()[-1] == "not packed: correct the errors above first"
    assert not Path("submissions/res50.zip").exists()
    assert not Path("submissions/ledger.csv").exists()


def test_the_official_sample_is_asked_where_it_is_given(place: Path) -> None:
    path = submission()
    lines = (path / "predictions.txt").read_text().splitlines()
    sample = place / "sample.txt"
    sample.write_text("\n".join([lines[0], *(line.split(",")[0] + "," for line in lines[1:])]) + "\n")
    assert run(path, "--sample", sample) == EXIT_DONE
    sample.write_text("\n".join([lines[0], *(line.split(",")[0] + "," for line in lines[1:-1])]) + "\n")
    assert run(path, "--sample", sample, "--out", "other.zip") == EXIT_FINDINGS


EMBEDDED = {"name": "x", "data": {"fingerprint": "f", "embedded": True}}


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"split": "val"}, "test set"),
        ({"embedded": True}, "embedded data set"),
        ({"runs": [EMBEDDED]}, "embedded data set"),
        ({"runs": [{"name": "both", "members": [{"name": "ours"}, EMBEDDED]}]}, "embedded data set"),
        ({"runs": [{"name": "sequence", "features": [EMBEDDED]}]}, "embedded data set"),
        ({"rehearsal": True}, "dress rehearsal"),
    ],
)
def test_what_is_no_answer_to_the_test_set_is_never_packed(
    record: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    build("submissions/mine", [("video1", LABELS)], EXPR, 5, None, record)
    assert run("submissions/mine") == EXIT_DATA
    assert words in capsys.readouterr().err
    assert not list(Path("submissions").glob("*.zip"))
    assert outcome(["validate", "submissions/mine"], capsys).splitlines()[-1] == "no errors"


def test_a_team_may_call_its_run_as_it_likes() -> None:
    assert run(submission("demo-x", runs=("demo-lite0",))) == EXIT_DONE


def test_an_answer_to_the_embedded_data_set_says_so_whatever_its_run_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    model, root = scored()
    (root.path / EMBEDDED_MANIFEST).write_text("{}")
    root = scan(root.path, use_cache=False)
    assert root.identity() == {"fingerprint": root.fingerprint(), "embedded": True}
    assert run(answer(model, root)) == EXIT_DATA
    assert "embedded data set" in capsys.readouterr().err


def inner_file(path: Path) -> Path:
    return path / "predictions.txt"


def inner_track(path: Path) -> Path:
    return path / "tracks" / "video1.txt"


def inner_tracks(path: Path) -> Path:
    return path / "tracks"


def packed_whole(path: Path) -> Path:
    """Everything in the folder, as a zip file elsewhere with an innocent name."""
    with zipfile.ZipFile("attempt.zip", "w") as archive:
        for file in path.rglob("*"):
            archive.write(file, file.relative_to(path).as_posix())
    return Path("attempt.zip")


@pytest.mark.parametrize("part", [inner_file, inner_track, inner_tracks, packed_whole])
def test_no_part_and_no_copy_of_an_unsendable_submission_is_packed(
    part: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    edition = 5 if part in (inner_file, packed_whole) else 3
    assert run(part(submission(edition=edition, split="val")), "--out", "sent.zip") == EXIT_DATA
    assert "test set" in capsys.readouterr().err
    assert not Path("sent.zip").exists()


@pytest.mark.parametrize("part", [lambda path: path, inner_file, inner_track, inner_tracks, packed_whole])
def test_an_answer_that_was_edited_is_its_own_and_is_packed_as_such_alone(
    part: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    edition = 3 if part in (inner_track, inner_tracks) else 5
    path, other = submission(edition=edition), submission("other", np.roll(LABELS, 5), edition)
    edited = "tracks/video1.txt" if edition == 3 else "predictions.txt"
    for file in other.rglob("*.txt"):
        (path / file.relative_to(other)).write_bytes(file.read_bytes())
    assert run(part(path), "--out", "sent.zip") == EXIT_DATA
    printed = capsys.readouterr().err
    assert "changed after it was written" in printed
    assert edited in printed
    assert not Path("sent.zip").exists()
    assert not Path("submissions/ledger.csv").exists()
    assert run(part(path), "--out", "sent.zip", "--edited") == EXIT_DONE
    assert "expected score unknown: edited after it was written" in capsys.readouterr().out
    assert ledger()[0]["runs"] == ledger()[0]["expected"] == ""
    assert f"- changed after res50 made it: {edited}" in Path("sent.statement.md").read_text()


def test_what_is_not_sent_may_have_changed() -> None:
    path = submission()
    for track in (path / "tracks").iterdir():
        track.write_text(track.read_text().rstrip())
    assert run(path) == EXIT_DONE
    assert ledger()[0]["runs"] == "res50"


def test_what_was_checked_is_what_is_sent_whatever_becomes_of_the_file() -> None:
    path = submission()
    before = (path / "predictions.txt").read_bytes()
    verdict = check(path, keep=True)
    (path / "predictions.txt").write_bytes(b"garbage\n" + before)
    (path / "submission.json").unlink()
    packed = pack(verdict, Path("sent.zip"), Path("ledger.csv"), lambda run: labelled_root(Path("root")))
    with zipfile.ZipFile("sent.zip") as archive:
        assert archive.read("predictions.txt") == before
    assert packed.attempt.sha256 == packed.archive.sha256 == sha256(Path("sent.zip").read_bytes()).hexdigest()
    assert packed.attempt.runs == "res50"


@pytest.mark.parametrize("arguments", [["validate"], ["pack"], ["pack", "--out", "sent.zip"]])
def test_what_an_interrupted_write_left_is_no_submission(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    half = submission().rename("submissions/.res50.0a1b2c3d-77.tmp")
    for path in (half, half / "predictions.txt"):
        assert "a write that was interrupted left this" in outcome([*arguments, path], capsys, EXIT_DATA)
    assert "no submission here" in outcome(["validate", "submissions"], capsys, EXIT_DATA)


@pytest.mark.parametrize("where", [".", "../res50", "tracks/.."])
def test_a_submission_is_packed_beside_itself_from_within_it(where: str, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.chdir(submission())
    assert run(where) == EXIT_DONE
    monkeypatch.chdir(place)
    assert ledger()[0]["archive"] == "res50.zip"
    assert Path("submissions/res50.zip").is_file()
    assert not list(Path("submissions/res50").glob("*.zip"))
    assert not Path("submissions/res50/submissions").exists()


def test_names_that_are_no_text_end_in_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    path = submission()
    path = path.rename(path.with_name("ours\udcff"))
    assert run(path, "--out", "team\udcff/a.zip") == EXIT_USAGE
    assert "which is no text" in capsys.readouterr().err
    assert run(path, "--out", "a.zip", "--declare", "\udcff") == EXIT_DONE
    assert ledger()[0]["submission"] == "ours\\xff"
    assert "- \\udcff" in Path("a.statement.md").read_text()


def test_a_working_folder_whose_name_is_no_text_is_as_good_as_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ledger notes is relative to it, so that the folder's name stands nowhere."""
    Path("here\udcff").mkdir()
    monkeypatch.chdir("here\udcff")
    path = submission()
    assert run(path) == EXIT_DONE
    assert (ledger()[0]["submission"], ledger()[0]["archive"]) == (path.name, f"{path.name}.zip")


def test_an_archive_s_name_that_no_disk_holds_is_refused_before_anything_is_written() -> None:
    path = submission()
    for name in ("x" * 250 + ".zip", "a:b.zip", "\udcff.zip"):
        assert run(path, "--out", name) == EXIT_USAGE
    assert not Path("submissions/ledger.csv").exists()


def test_the_file_of_a_submission_is_packed_with_the_runs_of_its_record() -> None:
    assert run(submission() / "predictions.txt") == EXIT_DONE
    assert ledger()[0]["runs"] == "res50"


def test_an_answer_to_some_frames_is_packed_by_its_own_record(place: Path) -> None:
    form = format_of("MTL", 7)
    images = "".join(f"{name}/{frame:05d}.jpg,\n" for name, frame in (("a", 1), ("a", 8), ("b", 3), ("a", 17), ("b", 100)))
    template = parse_sample(f"{form.header}\n{images}".encode(), "sample.txt")
    for number in (0, 1):
        values = [("a", np.full((3, 15), number, np.float64)), ("b", np.zeros((2, 15)))]
        build(f"submissions/{number}", values, MTL, 7, template, {"split": "test"})
        assert run(f"submissions/{number}") == EXIT_DONE
    assert ledger()[1]["differs"] == "1:0.6000"


@pytest.mark.parametrize("name", ["team", "team.tar.gz", "team.txt"])
def test_the_archive_s_name_has_to_say_that_it_is_a_zip_file(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(submission(), "--out", name) == EXIT_USAGE
    assert "ends in .zip" in capsys.readouterr().err
    assert not Path(name).exists()


def test_an_attempt_with_other_rows_is_told_from_one_that_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(submission("one")) == EXIT_DONE
    assert run(submission("two", np.concatenate([LABELS, LABELS]))) == EXIT_DONE
    assert ledger()[1]["differs"] == "1:other-rows"
    assert "differs from attempt 1 in its tracks or frames" in capsys.readouterr().out


def test_a_foreign_file_is_packed_under_the_name_teams_use(place: Path) -> None:
    foreign = place / "our_predictions_final.txt"
    foreign.write_bytes((submission() / "predictions.txt").read_bytes())
    assert run(foreign) == EXIT_DONE
    with zipfile.ZipFile(place / "our_predictions_final.zip") as archive:
        assert archive.namelist() == ["predictions.txt"]
    assert ledger()[0]["runs"] == ""


def test_two_single_files_are_not_one_answer(capsys: pytest.CaptureFixture[str]) -> None:
    path = submission()
    (path / "predictions_2.txt").write_bytes((path / "predictions.txt").read_bytes())
    assert run(path) == EXIT_FINDINGS
    assert "predictions_2.txt  found predictions_2.txt, expected predictions.txt alone" in capsys.readouterr().err


def manifest(name: str, **content: object) -> None:
    path = Path("runs") / name / "run.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"format": 1, "class_names": list(EXPR.class_names), **content}))


def statement(*arguments: str) -> str:
    assert run(submission(runs=("both",)), *arguments) == EXIT_DONE
    return Path("submissions/res50.statement.md").read_text()


def test_the_data_statement_tells_labels_data_weights_and_test_frames_of_every_member() -> None:
    manifest("both", kind="ensemble", members=[{"run": "a"}, {"run": "b"}, {"run": "c"}, {"run": "gone"}])
    weights = {"file": "efficientnet-lite0-57934424.pth", "sha256": "ab12"}
    manifest("a", kind="training", challenge="EXPR", data={"splits": ["train"]}, weights=weights)
    extra = {"file": "rafdb.csv", "sha256": "cd34"}
    other = {"file": "ms1m.pth", "sha256": "ef56"}
    manifest("b", kind="training", challenge="EXPR", data={"splits": ["train", "val"], "fold": 2, "extra": extra}, weights=other)
    manifest("c", kind="import", source="friends.npz:x")
    text = statement("--declare", "ms1m.pth: research use")
    for line in (
        "- a: EXPR labels, those of the train split; no labels of other tasks",
        "- b: EXPR labels, those of the train and val split, without the recordings of one fold; no labels of other tasks",
        "- c: imported from friends.npz:x; its labels are not recorded; the team has to state it",
        "- a: no labelled images from elsewhere",
        "- b: extra labelled images named by rafdb.csv (sha256 cd34)",
        "- a: efficientnet-lite0-57934424.pth, sha256 ab12; Apache-2.0, trained on ImageNet, not on Aff-Wild2",
        "- b: ms1m.pth, sha256 ef56; licence not recorded; the team has to state it",
        "- a: no in this training; of the weights it started from, see above",
        "- gone: not recorded; the team has to state it",
        "- ms1m.pth: research use",
    ):
        assert line in text.splitlines(), line
    assert "- both:" not in text


def test_training_from_random_weights_saw_no_test_frame() -> None:
    manifest("both", kind="training", challenge="EXPR", data={"splits": ["train"]}, weights=None)
    text = statement()
    assert "- both: trained from random weights" in text
    assert "- both: no\n" in text


def test_the_expected_score_is_that_of_the_run_on_the_validation_split(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root: DataRoot = labelled_root(place / "root")
    model = noisy_run(root, Path("runs/noisy"), 1.5)
    predictions = RunPredictions(model, "val", PostProcessing(), root)
    write_submission(predictions, Path("submissions/noisy"), 5, None, {"split": "test"})
    assert run("submissions/noisy", "--data", root.path) == EXIT_DONE
    with pytest.raises(SystemExit):
        main(["evaluate", "noisy", "--split", "val", "--data", str(root.path), "--json"])
    printed = capsys.readouterr().out
    score = json.loads(printed[printed.index("{") :])["all_labelled"]["macro_f1"]
    (row,) = ledger()
    assert (row["expected"], row["low"], row["high"]) == tuple(f"{score[key]:.4f}" for key in ("value", "low", "high"))
    assert float(row["low"]) < float(row["expected"]) < float(row["high"])
    assert f"expected macro-F1 {written(score['value'])} ({written(score['low'])} to {written(score['high'])})" in printed
    assert "expected score: measured on the validation split\n" in printed


def test_of_settings_chosen_on_the_split_the_score_outside_the_choice_is_expected(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = labelled_root(place / "root")
    model = noisy_run(root, Path("runs/noisy"), 1.5)
    settings = PostProcessing(temperature=2.0)
    write_submission(RunPredictions(model, "val", settings, root), Path("submissions/noisy"), 5, None, {"split": "test"})
    inside = expect(scored_run(model, "val", root, settings), "val")
    # What was measured outside the choice: each recording's frames of a class are right as often as those of the next recording.
    rolled = np.roll(inside.sums.reshape(-1, 8, 8), 1, axis=2).reshape(inside.sums.shape)
    known = replace(inside, sums=rolled)
    outside = known.score()
    tuned = {"split": "val", "postprocessing": settings.as_dict()}

    def packed(out: str) -> dict[str, str]:
        Path("submissions/ledger.csv").unlink(missing_ok=True)
        assert run("submissions/noisy", "--data", root.path, "--out", out) == EXIT_DONE
        return ledger()[0]

    store_choice(model, TUNING, tuned, known, settings)
    row = packed("one.zip")
    assert outside.low is not None
    assert outside.high is not None
    expected = f"{outside.value:.4f}", f"{outside.low:.4f}", f"{outside.high:.4f}"
    assert (row["expected"], row["low"], row["high"]) == expected
    printed = capsys.readouterr().out
    assert "that had no part in the post-processing of noisy; on those they were chosen on it is " in printed
    assert f"it is {written(inside.score().value)}" in printed
    assert f"of the 4 classes with enough frames: {written(known.supported_score().value)} (" in printed
    # Other settings than those that were sent, or the labels of another split, chose nothing here.
    for content in ({**tuned, "postprocessing": PostProcessing().as_dict()}, {**tuned, "split": "train"}):
        (model.path / "expectation.json").unlink(missing_ok=True)
        (model.path / "tuned.json").write_text(json.dumps(content))
        assert packed("two.zip")["expected"] == f"{inside.score().value:.4f}"


@pytest.mark.parametrize(("content", "again"), [({}, "harness tune noisy"), ({"plain_mean": 0.3}, "harness ensemble --fit")])
def test_of_a_choice_whose_worth_was_not_noted_no_score_is_expected(
    content: dict[str, Any], again: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model, root = scored()
    tuned = {"split": "val", "postprocessing": PostProcessing().as_dict(), **content}
    (model.path / "tuned.json").write_text(json.dumps(tuned))
    line = expectation(capsys, answer(model, root))
    assert line.startswith("unknown: labels of val chose its settings")
    assert f"`{again}` again" in line


def test_the_expected_score_is_that_of_the_edition(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = labelled_root(place / "root")
    model = noisy_run(root, Path("runs/noisy"), 1.5)
    predictions = RunPredictions(model, "val", PostProcessing(), root)
    whole = evaluate(of_run(predictions, root), EXPR).all_labelled
    # The 7 classes of the 2nd edition: what the run says of the test tracks has no Other.
    record = {"runs": [{"name": "noisy"}], "split": "test", "postprocessing": PostProcessing().as_dict()}
    build("submissions/second", [("video1", LABELS)], EXPR, 2, None, record)
    assert run("submissions/second", "--data", root.path) == EXIT_DONE
    expected = 0.67 * whole.usual_score.value + 0.33 * whole.measures["accuracy"].value
    assert ledger()[0]["expected"] == f"{expected:.4f}"
    assert f"expected 0.67 macro-F1 + 0.33 accuracy {written(expected)}" in capsys.readouterr().out


def test_units_of_a_foreign_team_are_packed_too(place: Path) -> None:
    form = format_of("AU", 6)
    rows = "".join(f"v/{frame:05d}.jpg," + ",".join(str(frame % 2) for _ in AU.fields) + "\n" for frame in range(1, 20))
    (place / "predictions.txt").write_text(form.header + "\n" + rows)
    assert run("predictions.txt", "--challenge", "AU", "--edition", "6") == EXIT_DONE
    assert ledger()[0]["challenge"] == "AU"


def test_a_cross_validation_is_packed_with_its_folds_told(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"splits": ["train", "val"], "folds": {"count": 2}}
    manifest("cv", kind="crossval", data=data, weights=None, members=["cv-fold-0", "cv-fold-1"])
    manifest("both", kind="ensemble", members=[{"run": "cv", "weight": 1.0}])
    assert run(submission("both", runs=("both",))) == EXIT_DONE
    assert len(ledger()) == 1
    text = Path("submissions/both.statement.md").read_text()
    assert "cv: EXPR labels, those of the train and val split, each model without the recordings of one fold" in text
    assert "cv: trained from random weights" in text
    assert "cv: no labelled images from elsewhere" in text
    assert "- cv: no\n" in text
    assert "cv-fold-0" not in text


def test_no_archive_is_left_where_the_statement_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> str:
        raise DataError("a manifest cannot be told")

    monkeypatch.setattr("harness.sending.pack.statement", fails)
    assert run(submission()) == EXIT_DATA
    assert not Path("submissions/res50.zip").exists()


def scored(name: str = "noisy", seed: int = 0, splits: tuple[str, ...] = ("val", "test"), **content: Any) -> tuple[Run, DataRoot]:
    """A run with scores of these splits, and the data root; `content` is added to its run.json."""
    root = scan(Path("root"), use_cache=False) if Path("root").exists() else labelled_root(Path("root"))
    model = noisy_run(root, Path("runs") / name, 1.5, seed=seed, splits=splits)
    model.manifest_path.write_text(json.dumps({**model.manifest, **content}))
    return model, root


def made_by(model: Run, split: str, checkpoint: str, **settings: Any) -> None:
    scores.write_index(model, split, replace(scores.read_index(model, split), checkpoint=checkpoint, settings=settings))


def answer(model: Run, root: DataRoot, **settings: Any) -> Path:
    path = Path("submissions") / model.name
    write_submission(RunPredictions(model, "test", PostProcessing(**settings), root), path, 5, None, {})
    return path


def expectation(capsys: pytest.CaptureFixture[str], path: Path, *arguments: str) -> str:
    """What packing says of the expected score; the ledger's last line has a figure or none accordingly."""
    capsys.readouterr()
    assert run(path, *arguments) == EXIT_DONE
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("expected score"))
    assert (ledger()[-1]["expected"] == "") == line.startswith("expected score unknown: ")
    return line.removeprefix("expected score").lstrip(": ")


def test_of_a_run_that_was_made_anew_since_the_text_no_score_is_expected(capsys: pytest.CaptureFixture[str]) -> None:
    model, root = scored()
    for split in ("val", "test"):
        made_by(model, split, "first")
    path = answer(model, root)
    assert expectation(capsys, path) == "measured on the validation split"
    for split in ("val", "test"):
        made_by(model, split, "second")
    changed = "unknown: the run noisy has changed since this text was written"
    assert expectation(capsys, path) == changed
    path = answer(model, root)
    assert expectation(capsys, path) == "measured on the validation split"
    model.manifest_path.write_text(json.dumps({**model.manifest, "seed": 7}))
    assert expectation(capsys, path) == changed


def test_of_a_cross_validation_whose_models_are_others_now_no_score_is_expected(capsys: pytest.CaptureFixture[str]) -> None:
    fold, root = scored("cv-fold-0")
    made_by(fold, "test", "first")
    whole, _ = scored("cv", kind="crossval", members=["cv-fold-0"])
    path = answer(whole, root)
    assert expectation(capsys, path) == "measured on the validation split"
    made_by(fold, "test", "second")
    assert expectation(capsys, path) == "unknown: the run cv has changed since this text was written"


def test_the_statement_tells_of_the_run_that_the_text_was_made_from() -> None:
    model, root = scored(kind="training", data={"splits": ["train"]}, weights={"file": "then.pth", "sha256": "ab12"})
    path = answer(model, root)
    content = {**model.manifest, "data": {"splits": ["train", "val"]}, "weights": {"file": "now.pth", "sha256": "cd34"}}
    model.manifest_path.write_text(json.dumps(content))
    assert run(path) == EXIT_DONE
    text = Path("submissions/noisy.statement.md").read_text()
    assert "- noisy: EXPR labels, those of the train split; no labels of other tasks" in text
    assert "- noisy: then.pth, sha256 ab12; licence not recorded" in text
    assert "now.pth" not in text


@pytest.mark.parametrize("recorded", [True, False])
def test_the_statement_follows_the_features_a_temporal_run_sees(recorded: bool) -> None:
    extra = {"file": "rafdb.csv", "sha256": "cd34"}
    data = {"splits": ["train", "val"], "extra": extra}
    manifest("frames", kind="training", challenge="EXPR", data=data, weights={"file": "ms1m.pth", "sha256": "ef56"})
    manifest("audio", kind="import", source="features of audio.npz:x", data={"fingerprint": "f"})
    features = [{"run": "frames"}, {"run": "audio"}]
    if recorded:
        model, root = scored("both", kind="training", data={"splits": ["train"]}, weights=None, features=features)
        path = answer(model, root)
    else:
        manifest("both", kind="training", data={"splits": ["train"]}, weights=None, features=features)
        path = submission("both", runs=("both",))
    assert run(path) == EXIT_DONE
    lines = Path("submissions/both.statement.md").read_text().splitlines()
    for line in (
        "- both: EXPR labels, those of the train split; no labels of other tasks",
        "- frames: EXPR labels, those of the train and val split; no labels of other tasks",
        "- audio: imported from features of audio.npz:x; its labels are not recorded; the team has to state it",
        "- frames: extra labelled images named by rafdb.csv (sha256 cd34)",
        "- both: trained from random weights on stored features of frames and audio, whose weights stand under their names",
        "- frames: ms1m.pth, sha256 ef56; licence not recorded; the team has to state it",
        "- frames: no in this training; of the weights it started from, see above",
    ):
        assert line in lines, line


def test_of_the_folds_of_a_temporal_cross_validation_the_features_are_told() -> None:
    manifest("frames", kind="training", data={"splits": ["train"]}, weights=None)
    manifest("cv-fold-0", kind="training", data={"splits": ["train"]}, weights=None, features=[{"run": "frames"}])
    manifest("cv", kind="crossval", data={"splits": ["train"]}, weights=None, members=["cv-fold-0"])
    assert run(submission(runs=("cv",))) == EXIT_DONE
    text = Path("submissions/res50.statement.md").read_text()
    assert "- frames: EXPR labels, those of the train split" in text
    assert "cv-fold-0:" not in text


def test_features_that_two_members_see_are_told_once_and_hide_none_behind_them() -> None:
    manifest("both", kind="ensemble", members=[{"run": "a"}, {"run": "b"}])
    for name, sources in (("a", ["frames"]), ("b", ["frames", "audio"])):
        manifest(name, kind="training", weights=None, features=[{"run": source} for source in sources])
    manifest("frames", kind="training", data={"splits": ["train"]}, weights=None)
    manifest("audio", kind="import", source="features of audio.npz:x")
    lines = statement().splitlines()
    assert lines.count("- frames: EXPR labels, those of the train split; no labels of other tasks") == 1
    assert "- audio: imported from features of audio.npz:x; its labels are not recorded; the team has to state it" in lines


def test_settings_that_were_tuned_on_other_scores_give_no_expected_score(capsys: pytest.CaptureFixture[str]) -> None:
    model, root = scored()
    path = answer(model, root, temperature=2.0)
    settings = PostProcessing(temperature=2.0)
    tuned = {"split": "val", "postprocessing": settings.as_dict()}
    digest = scores.index_digest(model, "val")
    for told, expected in ((digest, True), (None, True), ("others", False)):
        known = expect(scored_run(model, "val", root, settings), "val")
        store_choice(model, TUNING, {**tuned, "scores": digest}, known, settings)
        files.write_json(model.path / TUNED, {**tuned, "scores": told})
        line = expectation(capsys, path)
        assert line.startswith("measured on recordings of the validation split") == expected
    assert line == "unknown: the post-processing was tuned on other scores than these; `harness tune noisy` again"


@pytest.mark.parametrize("kind", ["itself", "member", "features"])
def test_from_a_split_that_was_learned_from_no_score_is_expected(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    learner, root = scored("learner", kind="training", data={"splits": ["train", "val"]})
    model = learner
    if kind == "member":
        model, _ = scored("whole", kind="ensemble", members=[{"run": "learner", "weight": 1.0}])
    elif kind == "features":
        model, _ = scored("whole", kind="training", data={"splits": ["train"]}, features=[{"run": "learner"}])
    assert expectation(capsys, answer(model, root)) == "unknown: learner learned from val"


@pytest.mark.parametrize("of", ["itself", "member"])
@pytest.mark.parametrize(
    ("checkpoint", "settings", "alike"),
    [("a", {"stride": 1, "batch": 8}, True), ("b", {"stride": 1, "batch": 64}, False), ("a", {"stride": 5, "batch": 64}, False)],
)
def test_scores_of_val_and_test_that_were_made_otherwise_are_not_taken_for_one_run(
    of: str, checkpoint: str, settings: dict[str, int], alike: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    maker, root = scored("maker")
    made_by(maker, "val", checkpoint, **settings)
    made_by(maker, "test", "a", stride=1, batch=64)
    model = maker
    if of == "member":
        model, _ = scored("whole", kind="ensemble", members=[{"run": "maker", "weight": 1.0}])
    line = expectation(capsys, answer(model, root))
    unknown = "unknown: the scores of val are of another checkpoint or other settings than those of test: "
    assert line == ("measured on the validation split" if alike else f"{unknown}`harness predict maker --split val` again")


def test_packing_again_corrects_the_line_of_the_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    model, root = scored(splits=("test",))
    path = answer(model, root)
    assert "has no complete scores of split 'val'" in expectation(capsys, path)
    assert run(submission("other", np.roll(LABELS, 1))) == EXIT_DONE
    before = ledger()
    noisy_run(root, model.path, 1.5, splits=("val",))
    assert run(path) == EXIT_DONE
    assert "packed before" in capsys.readouterr().out
    after = ledger()
    result = evaluate(of_run(RunPredictions(model, "val", PostProcessing(), root), root), EXPR).all_labelled.usual_score
    assert after == [
        {**before[0], "expected": f"{result.value:.4f}", "low": after[0]["low"], "high": after[0]["high"]},
        before[1],
    ]
    assert float(after[0]["low"]) < result.value < float(after[0]["high"])
    assert run("submissions/noisy.zip", "--out", "copy.zip") == EXIT_DONE
    assert ledger() == after


def test_of_a_cross_validation_the_score_out_of_fold_is_expected(capsys: pytest.CaptureFixture[str]) -> None:
    fold, root = scored("cv-fold-0", splits=("test",))
    fold.manifest_path.write_text(json.dumps({**fold.manifest, "kind": "training", "data": {"splits": ["train", "val"]}}))
    content: dict[str, Any] = {"kind": "crossval", "members": ["cv-fold-0"], "data": {"splits": ["train", "val"]}}
    model, _ = scored("cv", splits=("oof", "test"), **content)
    assert expectation(capsys, answer(model, root)) == "measured out of fold"
    result = evaluate(of_run(RunPredictions(model, "oof", PostProcessing(), root), root), EXPR).all_labelled.usual_score
    assert ledger()[0]["expected"] == f"{result.value:.4f}"


def test_no_packing_is_proposed_of_an_answer_to_a_labelled_split(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scored()
    with pytest.raises(SystemExit):
        main(["predict", "noisy", "--from-scores", "--split", "val"])
    assert capsys.readouterr().out.splitlines()[-1] == "next: harness evaluate submissions/noisy-val --split val"
    foreign = place / "predictions.txt"
    foreign.write_bytes(Path("submissions/noisy-val/predictions.txt").read_bytes())
    for arguments in (["submissions/noisy-val"], ["submissions/noisy-val/predictions.txt"], [foreign]):
        with pytest.raises(SystemExit):
            main(["validate", *map(str, arguments), "--split", "val", "--data", "root"])
        assert capsys.readouterr().out.splitlines()[-1] == "no errors"
    with pytest.raises(SystemExit):
        main(["predict", "noisy", "--from-scores"])
    assert capsys.readouterr().out.splitlines()[-1] == "next: harness pack submissions/noisy"


@pytest.mark.parametrize(
    "told", [{"data": 3}, {"features": 3}, {"features": [3]}, {"features": [{}]}, {"weights": "x", "data": {}}]
)
def test_a_record_that_tells_of_no_lineage_is_named(told: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("submissions/odd")
    made_from = {"name": "odd", "manifest": "ab", "kind": "training", **told}
    build(path, [("video1", LABELS)], EXPR, 5, None, {"runs": [made_from], "split": "test"})
    assert run(path) == EXIT_DATA
    assert "does not tell what the submission was made from" in capsys.readouterr().err
    assert not Path("submissions/odd.zip").exists()
