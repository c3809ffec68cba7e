"""harness compare: verdicts in words, the correction for several runs, and what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.challenge import EXPR
from harness.data.tracks import DataRoot
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_USAGE
from harness.evaluation.compare import holm
from harness.postprocess.chain import PostProcessing
from harness.rows.predictions import RunPredictions
from harness.runs import store
from harness.submission.build import build
from tests.command_line import harness
from tests.simulated_runs import labelled_root, noisy_run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    monkeypatch.chdir(tmp_path)
    root = labelled_root(tmp_path / "root", recordings=40)
    noisy_run(root, tmp_path / "runs" / "good", 1.0, seed=1)
    noisy_run(root, tmp_path / "runs" / "as-good", 1.0, seed=2)
    noisy_run(root, tmp_path / "runs" / "bad", 3.0, seed=3, confused=[(1, 7)])
    return root


def test_a_worse_run_is_called_worse_and_an_equal_one_is_not(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("compare", "good", "as-good", "bad", "--smooth", "0") == EXIT_DONE
    printed = capsys.readouterr().out
    assert "no evidence that as-good is" in printed
    assert "bad is worse than good" in printed
    assert "corrected for 2 comparisons" in printed
    assert printed.splitlines()[-1] == "next: harness ensemble good as-good bad"


def test_several_comparisons_are_corrected(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("compare", "good", "as-good", "bad", "--json") == EXIT_DONE
    others = json.loads(capsys.readouterr().out)["others"]
    expected = holm([other["comparison"]["p_value"] for other in others])
    assert [other["p_value"] for other in others] == pytest.approx(expected.tolist())


def test_a_class_that_the_labels_hardly_have_gets_no_p_value(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("compare", "good", "bad", "--json") == EXIT_DONE
    p_values = json.loads(capsys.readouterr().out)["others"][0]["comparison"]["class_p_value"]
    assert [p_value is None for p_value in p_values] == [False, False, True, True, False, True, True, False]


def test_a_submission_is_no_better_than_the_run_it_was_written_from(
    root: DataRoot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions = RunPredictions(store.find("good"), "val", PostProcessing(), root)
    build(tmp_path / "sent", [(one.track, one.classes) for one in predictions], EXPR, 5, None, {})
    assert harness("compare", "good", "sent", "--data", root.path, "--json") == EXIT_DONE
    other = json.loads(capsys.readouterr().out)["others"][0]
    assert (other["comparison"]["difference"], other["p_value"]) == (0.0, 1.0)
    assert harness("compare", "good", "sent", "--data", root.path) == EXIT_DONE
    assert "harness ensemble" not in capsys.readouterr().out


def test_a_run_is_not_compared_with_itself(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("compare", "good", "good") == EXIT_USAGE
    assert "compared with itself" in capsys.readouterr().err


def test_runs_on_other_labels_are_not_compared(root: DataRoot, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = labelled_root(tmp_path / "elsewhere", recordings=40, seed=9)
    noisy_run(elsewhere, tmp_path / "runs" / "stranger", 1.0)
    assert harness("compare", "good", "stranger") == EXIT_DATA
    captured = capsys.readouterr().err
    assert "other tracks or labels" in captured
    assert "--data" in captured


def test_the_seed_decides_the_swaps(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    values = []
    for seed in ("1", "1", "2"):
        assert harness("compare", "good", "as-good", "--seed", seed, "--json") == EXIT_DONE
        values.append(json.loads(capsys.readouterr().out)["others"][0]["p_value"])
    assert values[0] == values[1]
    assert values[0] == pytest.approx(values[2], abs=4 * np.sqrt(0.25 / 10_000))


def recipe_run(root: DataRoot, name: str, seed: int, batch: int, noise: float) -> None:
    """A run that says it was trained by a recipe with a seed."""
    run = noisy_run(root, root.path.parent / "runs" / name, noise, seed=seed)
    kept = {key: value for key, value in run.manifest.items() if key not in ("format", "seed", "noise", "signal")}
    store.rewrite(run, {**kept, "kind": "training", "recipe": {"batch": batch, "seed": seed}, "seed": seed, "data": {}})


def test_seeds_of_a_recipe_are_one_thing_beside_another_recipe(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (1, 2):
        recipe_run(root, f"small-seed-{seed}", seed, 32, 3.0)
        recipe_run(root, f"large-seed-{seed}", seed, 64, 1.0)
    names = ("small-seed-1", "large-seed-1", "small-seed-2", "large-seed-2")
    assert harness("compare", *names, "good", "--smooth", "0") == EXIT_DONE
    printed = capsys.readouterr().out
    assert "large (2 seeds) is better than small (2 seeds)" in printed
    assert "over seeds and recordings together" in printed
    assert harness("compare", *names, "good", "--smooth", "0", "--json") == EXIT_DONE
    told = json.loads(capsys.readouterr().out)
    assert [told["reference"], *(other["name"] for other in told["others"])] == ["small (2 seeds)", "large (2 seeds)", "good"]
    alone = {}
    for name in names:
        assert harness("evaluate", name, "--smooth", "0", "--json") == EXIT_DONE
        alone[name] = json.loads(capsys.readouterr().out)["all_labelled"]["macro_f1"]["value"]
    assert told["seeds"]["large (2 seeds)"] == {name: pytest.approx(alone[name]) for name in names if name.startswith("large")}
    assert told["macro_f1"] == pytest.approx((alone["small-seed-1"] + alone["small-seed-2"]) / 2)
    assert harness("compare", *names, "--each", "--smooth", "0", "--json") == EXIT_DONE
    assert [other["name"] for other in json.loads(capsys.readouterr().out)["others"]] == list(names[1:])


def test_seeds_alone_are_compared_with_one_another(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (1, 2):
        recipe_run(root, f"seed-{seed}", seed, 32, 3.0)
    assert harness("compare", "seed-1", "seed-2", "--json") == EXIT_DONE
    told = json.loads(capsys.readouterr().out)
    assert (told["reference"], told["others"][0]["name"], "seeds" in told) == ("seed-1", "seed-2", False)


def test_the_smallest_p_that_is_possible_is_said_where_it_rules_out_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    few = labelled_root(tmp_path / "few", recordings=12)
    for name, noise in (("good", 0.5), ("bad", 3.0), ("worse", 4.0)):
        noisy_run(few, tmp_path / "runs" / name, noise)
    assert harness("compare", "good", "bad", "worse", "--smooth", "0") == EXIT_DONE
    printed = capsys.readouterr().out
    assert printed.count("no verdict is possible: with 6 recordings that differ and 2 comparisons p cannot be below .062") == 2
    assert "better than" not in printed
    assert "worse than" not in printed
