"""`harness probe`: of a run, of a weights file, of random weights; and how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from harness.cli import main
from models import registry

TINY = ("--backbone", "torchvision:shufflenet_v2_x0_5", "--image-size", "32")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["probe", "--workers", "0", "--folds", "2", *arguments])
    return int(ended.value.code or 0)


def test_a_run_is_probed_on_its_own_data(
    trained: Path, drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    assert run("a") == 0
    captured = capsys.readouterr()
    assert f"data: {drawn_root}" in captured.err
    assert "2 folds of train, 4 recordings" in captured.out
    assert "linear classifier" in captured.out
    assert captured.out.splitlines()[-1].startswith("next: compare with `harness probe random")
    assert run("a", "--test-split", "val", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["source"]["run"] == "a"
    assert found["test_split"] == "val"


def test_a_weights_file_and_random_weights_are_probed_and_differ(
    drawn_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(5)
    state = registry.create("torchvision:shufflenet_v2_x0_5").state_dict()
    state["conv1.1.running_mean"] += 0.1
    path = tmp_path / "tiny.pth"
    torch.save(state, path)
    outs: list[bytes] = []
    for target in (str(path), "random", "random"):
        out = tmp_path / f"{len(outs)}.json"
        assert run(target, *TINY, "--data", str(drawn_root), "--out", str(out)) == 0
        outs.append(out.read_bytes())
    capsys.readouterr()
    assert outs[1] == outs[2]
    assert json.loads(outs[0])["source"]["weights"]["file"] == "tiny.pth"
    assert json.loads(outs[0])["feature_deviation"] != json.loads(outs[1])["feature_deviation"]


def test_faults_end_with_their_exit_codes(
    drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = ("--data", str(drawn_root))
    assert run("random", *data) == 2
    assert "which architecture" in capsys.readouterr().err
    assert run("random", "--backbone", "res19", *data) == 2
    assert run("nowhere", *data) == 3
    torch.save(registry.create("res18").state_dict(), tmp_path / "res18.pth")
    assert run("res18.pth", "--backbone", "res50", *data) == 3
    assert "missing" in capsys.readouterr().err
    assert run("random", *TINY, *data, "--folds", "50") == 3
    assert "Traceback" not in capsys.readouterr().err
