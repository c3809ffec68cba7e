"""The check of a GPU machine, here without one: what needs a GPU is marked, what does not is run, and nothing stops the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_check
from benchmarks.gpu_check import PARTS, Checked, check, main


def test_without_a_gpu_its_parts_are_marked_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["--json", str(tmp_path / "out" / "gpu.json")]) == 0
    figures = json.loads((tmp_path / "out" / "gpu.json").read_text())["figures"]
    marked = [one["name"] for one in figures if one["note"] == "not run: no CUDA device"]
    assert marked == [name for name, needs_gpu, _ in PARTS if needs_gpu]
    assert len(marked) >= 7
    (done,) = [one for one in figures if one["name"] not in marked]
    assert done["passed"] is True
    assert "not run: no CUDA device" in capsys.readouterr().out


def test_a_part_that_fails_is_told_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(place: Path) -> list[Checked]:
        raise RuntimeError("CUDA error: out of memory")

    fine = Checked("fine", 1.0, "1", True)
    found = check((("broken", False, broken), ("fine", False, lambda place: [fine])))
    assert [one.passed for one in found] == [False, True]
    assert "out of memory" in found[0].note
    monkeypatch.setattr(gpu_check, "LONGEST", -1.0)
    (late,) = check((("fine", False, lambda place: [fine]),))
    assert (late.passed, late.note) == (None, "not run: the time is up")
