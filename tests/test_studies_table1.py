"""The paper's Table 1 again: every row trained at a tiny size, beside the paper's figure; kept when run again."""

from __future__ import annotations

import json
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
