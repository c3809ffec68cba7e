"""`harness probe`: of a run, of a weights file, of random weights; and how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.cli import main
from harness.data.scan import scan
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


def test_folds_of_ones_own_and_persons_decide_what_is_learned_from(
    drawn_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracks = scan(drawn_root).split("train")
    recordings = sorted({track.recording for track in tracks})
    folds, persons = tmp_path / "folds.csv", tmp_path / "persons.csv"
    others = {track.recording for track in scan(drawn_root).split("val")} - set(recordings)
    numbers = {name: index % 2 for index, name in enumerate(recordings)} | dict.fromkeys(others, 0)
    folds.write_text("recording,fold\n" + "".join(f"{name},{fold}\n" for name, fold in numbers.items()))
    # The first and the third recording show one person.
    people = {name: f"person{index}" for index, name in enumerate(recordings)}
    people[recordings[2]] = people[recordings[0]]
    persons.write_text("recording,person\n" + "".join(f"{name},{person}\n" for name, person in people.items()))
    found = []
    for more in ((), ("--folds-file", str(folds)), ("--folds-file", str(folds), "--persons", str(persons))):
        assert run("random", *TINY, "--data", str(drawn_root), "--json", *more) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert [one["folds_given"] for one in found] == [False, True, True]
    assert found[1]["recordings"] == recordings
    assert sorted(found[2]["recordings"]) == sorted(set(people.values()))
    assert (found[1]["groups"], found[2]["groups"]) == ("recording", "person")
    # The person's two recordings are counted together, and no answer is learned from the person's other recording.
    together = [np.array(found[1]["linear_counts"][index]) for index in (0, 2)]
    person = np.array(found[2]["linear_counts"][found[2]["recordings"].index(people[recordings[0]])])
    assert person.sum() == sum(part.sum() for part in together)

    numbers[recordings[2]] = 1 - numbers[recordings[0]]
    folds.write_text("recording,fold\n" + "".join(f"{name},{fold}\n" for name, fold in numbers.items()))
    assert run("random", *TINY, "--data", str(drawn_root), "--folds-file", str(folds), "--persons", str(persons)) == 3
    assert "a person are in different folds" in capsys.readouterr().err
    persons.write_text(f"recording,person\n{recordings[0]},p\n")
    assert run("random", *TINY, "--data", str(drawn_root), "--persons", str(persons)) == 3
    assert "leaves tracks out" in capsys.readouterr().err
    persons.write_text(f"recording,person\n{recordings[0]},p\n{recordings[0]},q\n")
    assert run("random", *TINY, "--data", str(drawn_root), "--persons", str(persons)) == 3
    assert f"{persons}:3: a recording has one person" in capsys.readouterr().err
    assert run("random", *TINY, "--data", str(drawn_root), "--folds-file", str(tmp_path / "nowhere.csv")) == 3
    assert "harness folds" in capsys.readouterr().err


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
