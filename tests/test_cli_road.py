"""The whole road through the command line, and every wrong turn of it: one clear message and the right exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from harness.cli import VERBS, harness, main
from harness.data.scan import scan
from harness.errors import HarnessError
from harness.runs.scores import read_track
from harness.runs.store import Run

Road = Path


@pytest.fixture
def road(trained: Path, drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Road:
    """The working folder of this test: a predicted run `a`, and HARNESS_DATA."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_DATA", str(drawn_root))
    return tmp_path


def call(*arguments: str) -> Result:
    """Runs the command line in this process."""
    return CliRunner().invoke(harness, list(arguments), catch_exceptions=True)


def exit_code(result: Result) -> int:
    """The exit code the real entry point would end with."""
    if isinstance(result.exception, HarnessError):
        return result.exception.exit_code
    return result.exit_code


def fine(*arguments: str) -> str:
    """The output of a command that must succeed."""
    result = call(*arguments)
    assert result.exception is None, result.output + repr(result.exception)
    return result.output


def test_train_predict_ensemble_validate_evaluate(road: Road, tiny: dict[str, str]) -> None:
    changes = [part for key, value in {**tiny, "seed": "1"}.items() for part in ("--set", f"{key}={value}")]
    output = fine("train", "--recipe", "res18", "--from-scratch", "--run", "b", "--workers", "0", *changes)
    assert output.splitlines()[-1] == "next: harness predict b --split test"
    for split in ("val", "test"):
        output = fine("predict", "b", "--split", split, "--workers", "0", "--batch", "16")
    assert "0 errors, 0 warnings" in output
    output = fine("ensemble", "a", "b")
    assert "submissions/a+b" in output
    assert "0 errors" in fine("validate", "submissions/")
    assert "macro-F1 of 8 classes" in fine("evaluate", "a+b", "--split", "val")
    table = json.loads(call("runs", "--json").stdout)
    assert sorted(row["name"] for row in table) == ["a", "a+b", "b"]
    fine("predict", "a+b", "--from-scores", "--smooth", "0.5", "--kernel", "gaussian", "--out", "submissions/other")
    left, right = (Path(f"submissions/{name}/predictions.txt").read_bytes() for name in ("a+b", "other"))
    assert left.splitlines()[0] == right.splitlines()[0]
    assert len(left.splitlines()) == len(right.splitlines())


def test_a_split_written_as_a_submission_and_read_back_scores_the_same(road: Road) -> None:
    fine("predict", "a", "--from-scores", "--split", "val")
    names = ("a", "submissions/a-val", "submissions/a-val/predictions.txt")
    contents = [json.loads(call("evaluate", name, "--split", "val", "--json").stdout) for name in names]
    for key in ("all_labelled", "with_face"):
        assert contents[0][key]
        assert contents[0][key] == contents[1][key] == contents[2][key]
    # Of a run they are of its answers without smoothing.
    assert contents[1]["shifts"] == contents[2]["shifts"]
    fine("predict", "a", "--from-scores", "--split", "val", "--smooth", "0", "--out", "submissions/plain")
    plain = json.loads(call("evaluate", "submissions/plain", "--split", "val", "--json").stdout)
    assert plain["shifts"]
    assert plain["shifts"] == contents[0]["shifts"]


def test_the_test_submission_follows_the_sample_byte_for_byte(road: Road, drawn_root: Path) -> None:
    fine("predict", "a", "--workers", "0", "--batch", "16")
    sample = scan(drawn_root).sample
    assert sample is not None
    wanted = sample.read_bytes().splitlines()
    written = Path("submissions/a/predictions.txt").read_bytes().splitlines()
    assert written[0] == wanted[0]
    assert [line.partition(b",")[0] for line in written] == [line.partition(b",")[0] for line in wanted]
    assert {line.partition(b",")[2] for line in written[1:]} <= {str(label).encode() for label in range(8)}


@pytest.mark.parametrize("ending", [",", ",0", ""])
def test_every_form_of_the_sample_gives_the_same_rows(road: Road, drawn_root: Path, ending: str) -> None:
    data = Path("data")
    shutil.copytree(drawn_root, data)
    sample = next(data.rglob("*sample*.txt"))
    lines = sample.read_text().splitlines()
    sample.write_text("\n".join([lines[0], *(line.partition(",")[0] + ending for line in lines[1:])]) + "\n")
    fine("predict", "a", "--from-scores", "--data", "data")
    rows = Path("submissions/a/predictions.txt").read_text().splitlines()
    assert [row.rpartition(",")[0] for row in rows[1:]] == [line.partition(",")[0] for line in lines[1:]]


def test_data_without_frame_rates_is_not_smoothed_and_one_line_says_so(road: Road, drawn_root: Path) -> None:
    shutil.copytree(drawn_root, "data")
    Path("data/frame_rates.csv").unlink()
    output = fine("predict", "a", "--from-scores", "--data", "data")
    assert output.count("no smoothing") == 1
    assert "doctor" in output
    assert "--fps 30" in output
    assert "no smoothing" not in fine("predict", "a", "--from-scores", "--data", "data", "--fps", "30")


def test_what_the_doctor_says_of_unknown_frame_rates_is_what_prediction_does(road: Road, drawn_root: Path) -> None:
    shutil.copytree(drawn_root, "data")
    Path("data/frame_rates.csv").unlink()
    doctor = call("doctor", "data", "--no-decode").output
    assert "their tracks are neither smoothed nor decoded by Viterbi" in doctor
    # No class is ahead of the others all the time, or there would be nothing to smooth.
    run, tracks = Run(Path("runs/a")), scan("data").split("test")
    logits = np.concatenate([read_track(run, "test", track.name).score for track in tracks])
    settings = {"bias": (-np.median(logits, axis=0)).tolist(), "seconds": 0.0}
    in_time = {"seconds": 1.0, "viterbi": {"rates": [[0.2] * 8] * 8}}
    written = {}
    for name, more, options in (("frame by frame", {}, ()), ("unknown", in_time, ()), ("known", in_time, ("--fps", "7"))):
        Path("runs/a/tuned.json").write_text(json.dumps({"postprocessing": {**settings, **more}}))
        fine("predict", "a", "--from-scores", "--data", "data", *options, "--out", f"out/{name}")
        written[name] = Path(f"out/{name}/predictions.txt").read_bytes()
    assert written["unknown"] == written["frame by frame"] != written["known"]


def test_tracks_that_a_partial_frame_rates_file_leaves_out_are_named(road: Road, drawn_root: Path) -> None:
    shutil.copytree(drawn_root, "data")
    rates = Path("data/frame_rates.csv")
    tracks = {split: scan("data").split(split) for split in ("val", "test")}
    left_out = {tracks[split][0].recording for split in tracks}
    lines = rates.read_text().splitlines()
    rates.write_text("\n".join(line for line in lines if line.partition(",")[0] not in left_out) + "\n")
    for split, verb in (("test", ("predict", "a", "--from-scores")), ("val", ("evaluate", "a", "--split", "val"))):
        unknown = [track.name for track in tracks[split] if track.recording in left_out]
        assert 0 < len(unknown) < len(tracks[split])
        output = fine(*verb, "--data", "data")
        said = [line for line in output.splitlines() if "not smoothed" in line]
        assert len(said) == 1
        assert said[0].startswith(f"{len(unknown)} of {len(tracks[split])} tracks not smoothed")
        assert ", ".join(unknown) in said[0]
        assert "doctor DATA --videos" in said[0]
        assert "--fps 30" in said[0]
        assert "not smoothed" not in fine(*verb, "--data", "data", "--fps", "30")


def test_a_track_without_a_face_gets_the_prior_and_a_warning(road: Road) -> None:
    assert "1 track without any face got the class prior" in fine("predict", "a", "--from-scores")
    manifest = Run(Path("runs/a")).manifest
    track = next(Path("submissions/a/tracks").glob("13-*.txt"))
    labels = {int(line) for line in track.read_text().splitlines()[1:]}
    assert labels == {int(np.argmax(manifest["prior"]))}


WRONG_TURNS = [
    (["train", "--data", "nowhere"], 3, "no such data root"),
    (["train", "--recipe", "res5"], 2, "did you mean 'res50'"),
    (["train", "--recipe", "res50"], 3, "ContraWarping"),
    (["train", "--recipe", "res18", "--set", "bathc=3"], 2, "did you mean 'batch'"),
    (["train", "--recipe", "res18", "--set", "batch"], 2, "KEY=VALUE"),
    (["train", "--recipe", "res18", "--set", "backbone=res81", "--from-scratch"], 2, "res18"),
    (["train", "--recipe", "res18", "--set", "freeze_stages=9", "--from-scratch"], 2, "freeze"),
    (["train", "--recipe", "res18", "--weights", "absent.pth"], 3, "absent.pth"),
    (["train", "--recipe", "res18", "--from-scratch", "--run", "../x"], 2, "cannot be a file name"),
    (["predict", "b"], 3, "known: a"),
    (["predict", "a", "--split", "tset"], 2, "did you mean 'test'"),
    (["predict", "a", "--checkpoint", "newest"], 2, "known: last, best"),
    (["predict", "a", "--shard", "3/2"], 2, "not a shard"),
    (["predict", "a", "--edition", "9"], 2, "9"),
    (["predict", "a", "--fill", "lniear"], 2, "did you mean 'linear'"),
    (["predict", "a", "--fps", "-3"], 2, "positive"),
    (["predict", "a", "--sample", "absent.txt"], 3, "absent.txt"),
    (["predict", "a", "--from-scores", "--split", "train"], 3, "no complete scores"),
    (["predict", "a", "--from-scores", "--flip"], 3, "no complete scores"),
    (["predict", "a", "--from-scores", "--kernel", "box"], 2, "known: mean"),
    (["ensemble", "a", "a"], 2, "named twice"),
    (["ensemble", "a", "zz"], 3, "no run called"),
    (["ensemble", "a", "--weights", "1,2"], 2, "one weight"),
    (["import", "absent.npz"], 3, "absent.npz"),
    (["import", "absent.npz", "--classes", "Happy"], 2, "unknown class"),
    (["evaluate", "a", "--split", "test"], 3, "labels"),
    (["evaluate", "nothing"], 3, "nothing"),
    (["validate", "nothing"], 3, "nothing"),
    (["recipes", "lite"], 2, "did you mean 'lite0'"),
    (["trian"], 2, "did you mean 'train'"),
    (["train", "--no-such-option"], 2, "no-such-option"),
]


@pytest.mark.parametrize(("arguments", "code", "says"), WRONG_TURNS, ids=[" ".join(turn[0]) for turn in WRONG_TURNS])
def test_a_wrong_turn_ends_with_one_message_and_its_code(road: Road, arguments: list[str], code: int, says: str) -> None:
    result = call(*arguments)
    assert exit_code(result) == code, repr(result.exception) + result.output
    message = str(result.exception) if isinstance(result.exception, HarnessError) else result.output
    assert says in message
    assert "Traceback" not in result.output


def test_a_run_of_other_settings_is_refused(road: Road) -> None:
    result = call("train", "--recipe", "res18", "--from-scratch", "--run", "a", "--set", "iterations=5")
    assert exit_code(result) == 3
    assert "recipe.iterations: 12 there, 5 now" in str(result.exception)


def test_label_9_is_named_with_file_and_line(road: Road, drawn_root: Path) -> None:
    shutil.copytree(drawn_root, "data")
    path = next(Path("data").rglob("Train_Set/video6.txt"))
    lines = path.read_text().splitlines()
    lines[4] = "9"
    path.write_text("\n".join(lines) + "\n")
    result = call("train", "--recipe", "res18", "--from-scratch", "--data", "data", "--run", "x")
    assert exit_code(result) == 3
    assert "video6.txt:5" in str(result.exception)


def test_an_output_that_cannot_be_written_fails_before_the_work(road: Road) -> None:
    Path("file").write_text("")
    result = call("predict", "a", "--from-scores", "--out", "file/submission")
    assert exit_code(result) == 3
    shutil.rmtree("runs")
    Path("runs").write_text("")
    result = call("train", "--recipe", "res18", "--from-scratch", "--run", "x")
    assert exit_code(result) == 3
    assert "cannot write" in str(result.exception)


@pytest.mark.parametrize("verb", list(VERBS))
def test_help_ends_with_an_example(verb: str) -> None:
    output = fine(verb, "--help")
    assert "Example" in output
    assert f"harness {verb}" in output.partition("Example")[2]


def test_the_list_of_verbs_imports_none_of_them() -> None:
    code = "import sys\nfrom click.testing import CliRunner\nfrom harness.cli import harness\n"
    code += (
        "CliRunner().invoke(harness, ['--help'])\nprint(*[n for n in sys.modules if n.startswith('harness.commands.')], 'end')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "end\n"


def test_a_fault_of_the_user_is_one_message_without_traceback(road: Road, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["predict", "b"])
    assert ended.value.code == 3
    assert capsys.readouterr().err.startswith("harness: ")


def test_a_hostile_name_in_a_message_does_nothing_to_a_terminal(road: Road, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "\x1b]0;owned\x07\x1b[31mrun"])
    message = capsys.readouterr().err
    assert "\x1b" not in message
    assert "\x07" not in message
    assert "owned" in message


def test_a_closed_pipe_is_no_fault(road: Road) -> None:
    command = f"{sys.executable} -m harness recipes res50 | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, env={**os.environ})
    assert done.stderr == ""
    assert done.returncode == 0


def test_predicting_uses_what_was_tuned(road: Road) -> None:
    settings = {"seconds": 0.0, "flip": True, "bias": [0.0, 0.0, 90.0, *[0.0] * 5]}
    Path("runs/a/tuned.json").write_text(json.dumps({"postprocessing": settings, "split": "val", "frame_rate": None}))
    output = fine("predict", "a", "--split", "test", "--workers", "0", "--batch", "16")
    assert "tuned settings of runs/a/tuned.json" in output
    record = json.loads(Path("submissions/a/submission.json").read_text())
    assert record["postprocessing"]["flip"] is True
    assert "test.flip" in Run(Path("runs/a")).splits()
    lines = Path("submissions/a/predictions.txt").read_text().splitlines()[1:]
    assert {line.rsplit(",", 1)[1] for line in lines} == {"2"}
    fine("predict", "a", "--split", "test", "--workers", "0", "--batch", "16", "--untuned")
    assert json.loads(Path("submissions/a/submission.json").read_text())["postprocessing"]["bias"] == []


@pytest.mark.parametrize(
    "verb", [["predict", "a"], ["predict", "a", "--from-scores"], ["ensemble", "a", "b"], ["best"], ["rehearse"]]
)
def test_an_edition_that_there_is_not_is_refused_before_anything_is_done(road: Road, verb: list[str]) -> None:
    shutil.copytree("runs/a", "runs/b")
    shutil.rmtree("runs/a/scores/test")
    result = call(*verb, "--edition", "99")
    assert exit_code(result) == 2
    assert "edition" in str(result.exception)
    assert not Path("runs/a/scores/test").exists()
    assert sorted(path.name for path in Path("runs").iterdir()) == ["a", "b"]


def test_data_that_moved_are_to_be_named_with_an_option(road: Road) -> None:
    manifest = json.loads(Path("runs/a/run.json").read_text())
    manifest["where"]["data"] = "/nowhere/data"
    Path("runs/a/run.json").write_text(json.dumps(manifest))
    result = call("predict", "a")
    assert exit_code(result) == 3
    assert "named by the run's manifest" in str(result.exception)
    assert "--data DIR" in str(result.exception)
