"""The paper's Table 1 again: every row trained at a tiny size, beside the paper's figure; kept when run again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sklearn.metrics import f1_score

from harness.cli import main
from harness.data.scan import scan
from harness.errors import DataError, UsageError
from harness.runs import scores
from harness.runs.store import Run
from harness.studies import table1

SMALL = {"iterations": "2", "batch": "4", "image_size": "32", "decode_size": "32", "test_resize": "32", "precision": "fp32"}
ARGUMENTS = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
ROWS = ["--row", "res18", "--row", "ir50", "--set", "res18.backbone=torchvision:shufflenet_v2_x0_5"]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["table1", "--workers", "0", "--batch", "16", *arguments])
    return int(ended.value.code or 0)


@pytest.mark.slow
def test_rows_are_trained_scored_and_kept(
    drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("--data", str(drawn_root), "--from-scratch", *ROWS, *ARGUMENTS) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("IR-50 (MS1M)")
    assert lines[2].startswith("Res-18 (ContraWarping)")
    assert "30.78" in lines[1]
    assert "random weights" in lines[1]
    assert lines[-1].startswith("next: harness evaluate table1-")

    checkpoints = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert run("--data", str(drawn_root), "--from-scratch", "--json", *ROWS, *ARGUMENTS) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == checkpoints
    assert [(row["recipe"], row["paper_f1"], row["steps"]) for row in rows] == [("ir50", 30.78, 2), ("res18", 33.69, 2)]
    for row in rows:
        assert row["with_face"]["value"] == pytest.approx(seen_macro_f1(row["run"], drawn_root))
        assert row["all_labelled"]["low"] <= row["all_labelled"]["value"] <= row["all_labelled"]["high"]


def seen_macro_f1(name: str, root: Path) -> float:
    """By scikit-learn, over labelled frames that have an image."""
    labels: list[int] = []
    predictions: list[int] = []
    for track in scan(root).split("val"):
        found = scores.read_track(Run(Path("runs") / name), "val", track.name)
        assert track.labels is not None
        for frame, logits in zip(found.frame, found.score, strict=True):
            if track.labels[frame - 1] >= 0:
                labels.append(int(track.labels[frame - 1]))
                predictions.append(int(logits.argmax()))
    return float(f1_score(labels, predictions, labels=range(8), average="macro", zero_division=0))


def test_missing_weights_of_all_rows_are_named_before_anything_is_trained(
    drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("--data", str(drawn_root)) == 3
    message = capsys.readouterr().err
    for wanted in ("5 of 5 rows", "ir50_ms1m", "vit_small_p16_224", "APViT_RAF", "--from-scratch", "--row"):
        assert wanted in message
    assert not (tmp_path / "runs").exists()


def test_a_change_may_be_for_one_row() -> None:
    chosen = table1.load_recipes((), False, {"batch": "16", "res50.batch": "8"})
    assert {name: recipe.batch for name, recipe in chosen.items()} == {
        "ir50": 16, "apvit-ms1m": 16, "apvit-rafdb": 16, "res18": 16, "res50": 8,
    }  # fmt: skip
    assert list(table1.load_recipes(("res50", "ir50"), True, {})) == ["ir50-paper", "res50-paper"]


def test_weights_of_one_row_do_not_excuse_the_others(tmp_path: Path) -> None:
    path = tmp_path / "r18.pth"
    path.write_bytes(b"")
    chosen = table1.load_recipes(("res18", "res50"), False, {"res18.weights": str(path)})
    with pytest.raises(DataError, match="1 of 2 rows"):
        table1.require_weights(chosen, from_scratch=False)


@pytest.mark.parametrize(("rows", "changes"), [(("res5",), {}), ((), {"res5.batch": "4"})])
def test_an_unknown_row_suggests_a_near_one(rows: tuple[str, ...], changes: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="res50"):
        table1.load_recipes(rows, False, changes)


REAL = {"iterations": "2", "batch": "6", "precision": "fp32", "evaluate_every": "100", "checkpoint_every": "100"}
"""Only the number of steps and the batch are cut: every row keeps its network and its sizes."""
LABELS = Path("annotations") / "EXPR_Classification_Challenge"
SAMPLE = Path("test_set") / "CVPR_5th_ABAW_EXPR_test_set_sample.txt"
SPLITS = ("Train_Set", "Validation_Set")
NAMES = Path("test_set") / "Expression_Classification_Challenge_test_set_release.txt"


def some_of(faces: Path, root: Path, count: int) -> Path:
    """A root with the first `count` tracks of every split of `faces`; the images are links."""
    names = {split: sorted(path.stem for path in (faces / LABELS / split).glob("*.txt"))[:count] for split in SPLITS}
    test = (faces / NAMES).read_text().split()[:count]
    (root / "cropped_aligned").mkdir(parents=True)
    for name in (*names["Train_Set"], *names["Validation_Set"], *test):
        (root / "cropped_aligned" / name).symlink_to(faces / "cropped_aligned" / name)
    for split in SPLITS:
        (root / LABELS / split).mkdir(parents=True)
        for name in names[split]:
            shutil.copyfile(faces / LABELS / split / f"{name}.txt", root / LABELS / split / f"{name}.txt")
    header, *rows = (faces / SAMPLE).read_text().splitlines(keepends=True)
    (root / "test_set").mkdir()
    (root / SAMPLE).write_text(header + "".join(row for row in rows if row.partition("/")[0] in test))
    (root / NAMES).write_text("".join(f"{name}\n" for name in test))
    return root


def ended(*arguments: str) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return int(stopped.value.code or 0)


@pytest.mark.campaign
@pytest.mark.realdata
def test_every_row_of_the_table_trains_and_scores_and_submits_on_real_faces(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = some_of(real_data / "faces", tmp_path / "faces", 5)
    monkeypatch.chdir(tmp_path)
    changes = [part for key, value in REAL.items() for part in ("--set", f"{key}={value}")]
    assert run("--data", str(root), "--from-scratch", "--json", *changes) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["paper_f1"] for row in rows] == [30.78, 35.48, 35.63, 33.69, 37.57]
    for row in rows:
        assert row["steps"] == 2
        assert row["with_face"]["value"] == pytest.approx(seen_macro_f1(row["run"], root))
        low, value, high = (row["all_labelled"][bound] for bound in ("low", "value", "high"))
        assert low is None or low <= value <= high  # none where a network of two steps is as wrong about every person
        assert ended("predict", row["run"], "--split", "test", "--batch", "16", "--workers", "0") == 0
        assert ended("validate", f"submissions/{row['run']}", "--sample", str(root / SAMPLE)) == 0
