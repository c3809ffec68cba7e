"""`harness reproduce`: the same bytes again, and a word for everything that is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli import harness
from harness.errors import HarnessError, MismatchError
from harness.runs.store import Run
from tests.earlier_checkpoints import forget_settings
from tests.small_pretraining import SMALL


@pytest.fixture
def road(trained: Path, drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of this test: a predicted run `a`, and a copy of the data beside it."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    shutil.copytree(drawn_root, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(harness, ["reproduce", *arguments, "--workers", "0"])


def parts(result: Result) -> dict[str, bool]:
    return {part["name"]: part["equal"] for part in json.loads(result.stdout)["parts"]}


def test_a_training_comes_out_the_same_with_its_scores(road: Path) -> None:
    done = call("a", "--data", "data", "--json")
    assert done.exit_code == 0, done.output
    found = parts(done)
    assert all(found.values())
    assert {"metrics.jsonl", "scores of val", "scores of test"} <= set(found)
    first, second = (next((road / "runs" / name / "checkpoints").glob("step-*/model.safetensors")) for name in ("a", "a-again"))
    assert first.read_bytes() == second.read_bytes()


def test_an_altered_figure_is_told_and_ends_with_1(road: Path) -> None:
    log = road / "runs/a/metrics.jsonl"
    log.write_text(log.read_text().replace('"loss": ', '"loss": 1'))
    done = call("a", "--data", "data")
    assert done.exit_code == 1
    assert "DIFFERENT  metrics.jsonl" in done.output
    assert "equal      scores of test" in done.output


def test_other_data_are_refused_before_any_work(road: Path) -> None:
    annotation = sorted((road / "data").rglob("Train_Set/*.txt"))[0]
    annotation.write_text(annotation.read_text().replace("\n-1\n", "\n0\n", 1) + "0\n")
    done = call("a", "--data", "data")
    assert isinstance(done.exception, HarnessError)
    assert done.exception.exit_code == 3
    assert "not those the run was made from" in str(done.exception)
    assert not (road / "runs/a-again").exists()


def test_an_ensemble_comes_out_the_same_and_members_with_other_scores_are_refused(road: Path) -> None:
    shutil.copytree("runs/a", "runs/b")
    made = CliRunner().invoke(harness, ["ensemble", "a", "b", "--weights", "0.7,0.3", "--data", "data"])
    assert made.exit_code == 0, made.output
    done = call("a+b", "--data", "data", "--json")
    assert done.exit_code == 0, done.output
    assert all(parts(done).values())
    index = json.loads(Path("runs/b/scores/test/scores.json").read_text())
    index["tracks"][0]["scores"] = "0" * 64
    Path("runs/b/scores/test/scores.json").write_text(json.dumps(index))
    refused = call("a+b", "--data", "data")
    assert "has other scores of 'test' than were averaged" in str(refused.exception)


def test_an_imported_run_cannot_be_made_again(road: Path) -> None:
    manifest = json.loads(Path("runs/a/run.json").read_text())
    Path("runs/a/run.json").write_text(json.dumps({**manifest, "kind": "import"}))
    refused = call("a", "--data", "data")
    assert isinstance(refused.exception, HarnessError)
    assert refused.exception.exit_code == 2


def test_a_pre_training_comes_out_the_same_under_another_name(road: Path) -> None:
    changes = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    begin = ["pretrain", "--method", "byol", "--data", "data", "--run", "pre", "--workers", "0", *changes]
    made = CliRunner().invoke(harness, begin)
    assert made.exit_code == 0, made.output
    done = call("pre", "--data", "data", "--json")
    assert done.exit_code == 0, done.output
    found = parts(done)
    assert all(found.values())
    assert "backbone.safetensors" in found


def test_an_unfinished_run_is_refused_before_any_work(road: Path) -> None:
    manifest = json.loads(Path("runs/a/run.json").read_text())
    manifest["recipe"]["iterations"] = 30
    Path("runs/a/run.json").write_text(json.dumps(manifest))
    forget_settings(Run(Path("runs/a")))
    refused = call("a", "--data", "data")
    assert "step 12 of 30" in str(refused.exception)
    assert "same command" in str(refused.exception)
    assert not Path("runs/a-again").exists()


def test_a_run_of_extra_images_is_refused_without_them(road: Path) -> None:
    manifest = json.loads(Path("runs/a/run.json").read_text())
    manifest["data"]["extra"] = {"file": "faces.csv", "sha256": "12ab", "share": 0.3}
    Path("runs/a/run.json").write_text(json.dumps(manifest))
    refused = call("a", "--data", "data")
    assert isinstance(refused.exception, HarnessError)
    assert refused.exception.exit_code == 2
    assert "--extra FILE --extra-share 0.3" in str(refused.exception)
    assert "faces.csv" in str(refused.exception)
    assert not Path("runs/a-again").exists()


def test_other_extra_images_than_those_of_the_run_are_noticed_before_anything_is_trained(road: Path) -> None:
    image = next(Path("data/cropped_aligned").resolve().rglob("*.jpg"))
    Path("faces.csv").write_text(f"path,label\n{image},Fear\n")
    refused = call("a", "--data", "data", "--extra", "faces.csv")
    assert isinstance(refused.exception, MismatchError)
    manifest = json.loads(Path("runs/a/run.json").read_text())
    manifest["data"]["extra"] = {"file": "faces.csv", "sha256": "12ab", "share": 0.3}
    Path("runs/a/run.json").write_text(json.dumps(manifest))
    forget_settings(Run(Path("runs/a")))
    refused = call("a", "--data", "data", "--extra", "faces.csv", "--extra-share", "0.3")
    assert isinstance(refused.exception, MismatchError)
    assert "sha256 '12ab'" in str(refused.exception)
    assert "share 0.3" not in str(refused.exception)
    assert not Path("runs/a-again").exists()


def test_the_next_command_compares_only_where_both_have_scores_to_compare(road: Path) -> None:
    assert call("a", "--data", "data").output.splitlines()[-1] == "next: harness compare a a-again"
    shutil.rmtree("runs/a/scores/val")
    assert call("a", "--data", "data").output.splitlines()[-1] == "next: harness runs"
