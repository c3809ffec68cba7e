"""What a run is expected to score: one figure for all verbs, measured outside the choices, and what was chosen told with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from harness.data.tracks import DataRoot
from harness.errors import EXIT_DATA, EXIT_DONE
from harness.evaluation.describe import estimate
from harness.postprocess.chain import PostProcessing
from harness.rows.labelled import scored_run
from harness.runs import checkpoints, scores
from harness.runs.store import Run
from harness.selection import expectation
from harness.selection.expectation import Expectation, expect, store_choice
from harness.selection.history import TUNING, note_choice, past_choices
from harness.selection.nested import make_nested_folds
from harness.selection.published import on_test
from harness.selection.scorer import Scorer, ValidationSet
from harness.selection.stored import stored_settings
from harness.selection.tune import Tuner
from harness.words import number
from tests.command_line import harness
from tests.simulated_runs import labelled_root, noisy_run

SETTINGS = PostProcessing().as_dict()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    monkeypatch.chdir(tmp_path)
    return labelled_root(tmp_path / "root", recordings=20, rate=None)


def made(root: DataRoot, name: str, noise: float = 2.0, seed: int = 0, **options: Any) -> Run:
    return noisy_run(root, Path("runs") / name, noise, seed=seed, splits=("val", "test"), confused=[(1, 7)], **options)


def known(run: Run, root: DataRoot) -> Expectation:
    return expect(scored_run(run, "val", root, stored_settings(run).settings), "val")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert harness(*arguments) == EXIT_DONE
    return capsys.readouterr().out


def test_what_tuning_is_worth_is_that_of_choices_made_without_each_recording(root: DataRoot) -> None:
    run = made(root, "a")
    assert harness("tune", "a") == EXIT_DONE
    scorer = Scorer(run, ValidationSet("val", root))
    tuner = Tuner(scorer, PostProcessing())
    names, everything = scorer.validation.recordings, np.ones(len(scorer.validation.recordings), bool)
    counts = np.zeros((len(names), 64), np.int64)
    for fold in make_nested_folds(scorer.validation.tracks, names, everything, 0):
        counts[fold.held_out] = scorer.sums(tuner.choose(fold.choosing)[0])[fold.held_out]
    found = known(run, root)
    assert found.without == ("the post-processing of a",)
    np.testing.assert_array_equal(found.sums, counts)
    np.testing.assert_array_equal(found.in_sample, scorer.sums(stored_settings(run).settings))
    assert (counts != found.in_sample).any()


def test_every_verb_tells_the_same_figure(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    made(root, "a"), made(root, "b", 3.0, seed=1)
    fitted = printed(capsys, "ensemble", "a", "b", "--fit", "val", "--run", "both")
    score = known(Run(Path("runs/both")), root).score()
    figures = f"{number(score.value)} ({number(score.low)} to {number(score.high)})"
    assert f"expected macro-F1 {figures}" in printed(capsys, "pack", "submissions/both")
    evaluated = json.loads(printed(capsys, "evaluate", "both", "--json"))["expectation"]
    assert evaluated["expected"]["score"] == vars(score)
    assert evaluated["chosen_without_the_recording"] == ["the weights and temperatures of both"]
    assert f"expected on other recordings: macro-F1 {estimate(score)}, not " in printed(capsys, "evaluate", "both")
    ledger = Path("submissions/ledger.csv").read_text()
    assert f",{score.value:.4f},{score.low:.4f},{score.high:.4f}," in ledger
    outside = known(Run(Path("runs/both")), root).supported_score().value
    assert f"expect {number(outside)} on new recordings" in fitted
    chosen = json.loads(printed(capsys, "best", "a", "b", "--json"))["submissions"][0]
    again = printed(capsys, "pack", f"submissions/{chosen['name']}")
    assert f"expected macro-F1 {number(chosen['expected'])} ({number(chosen['low'])} to {number(chosen['high'])})" in again
    assert "the choice of it among 6 candidates" in again


def test_what_published_falls_would_make_of_it_stands_beside_every_expectation(
    root: DataRoot, capsys: pytest.CaptureFixture[str]
) -> None:
    made(root, "a")
    plain = known(Run(Path("runs/a")), root).score().value
    assert printed(capsys, "submission", "a")
    assert _falls(plain) in printed(capsys, "evaluate", "a")
    assert _falls(plain) in printed(capsys, "pack", "submissions/a")
    assert "drops that teams published" not in printed(capsys, "evaluate", "a", "--edition", "2")
    (chosen,) = json.loads(printed(capsys, "best", "a", "--most", "1", "--json"))["submissions"]
    assert chosen["published_falls"]["low"] == pytest.approx(chosen["expected"] * 0.36 / 0.5029)
    assert _falls(chosen["expected"]) in printed(capsys, "best", "a", "--most", "1")


def _falls(score: float) -> str:
    left = on_test(score, "EXPR")
    assert left is not None
    return f"published would turn {number(score)} into {number(left.median)} ({number(left.low)} to {number(left.high)}, 5 pairs"


def test_a_fitted_run_is_compared_by_what_it_scores_outside_the_fit(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, name in enumerate("abc"):
        made(root, name, 4.0, seed)
    assert harness("ensemble", "a", "b", "c", "--fit", "val", "--run", "f") == EXIT_DONE
    found = known(Run(Path("runs/f")), root)
    result = json.loads(printed(capsys, "compare", "a", "f", "--json"))
    assert result["others"][0]["macro_f1"] == pytest.approx(found.score().value)
    assert found.score().value != found.score(sums=found.in_sample).value
    said = printed(capsys, "compare", "a", "f")
    assert "f is judged outside the weights and temperatures of f" in said


@pytest.mark.parametrize("earlier", [False, True])
def test_a_choice_that_was_killed_before_its_worth_was_noted_is_told_as_one_by_these_labels(
    root: DataRoot, earlier: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made(root, "a")

    def choose(temperature: float) -> None:
        settings = PostProcessing(temperature=temperature, bias=(0.1,) * 8)
        scored = scored_run(run, "val", root, settings)
        store_choice(run, TUNING, {"split": "val", "postprocessing": settings.as_dict()}, expect(scored, "val"), settings)

    if earlier:
        choose(3.0)
        assert known(run, root).without == ("the post-processing of a",)

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(expectation, "store", killed)
    with pytest.raises(KeyboardInterrupt):
        choose(2.0)
    assert harness("predict", "a", "--from-scores") == EXIT_DONE
    optimistic = "optimistic: the labels of these recordings chose the post-processing of a"
    assert optimistic in printed(capsys, "evaluate", "a", "--split", "val")
    packed = printed(capsys, "pack", "submissions/a")
    assert ("it is optimistic: their labels chose the post-processing of a" in packed) is earlier
    assert ("labels of val chose its settings, and what these are worth was not noted" in packed) is not earlier


def test_a_class_with_few_frames_is_in_the_score_but_not_in_that_of_supported_classes(root: DataRoot) -> None:
    track = root.split("val")[0]
    assert track.labels is not None
    track.labels[:9] = 2
    run = made(root, "a")
    found = known(run, root)
    assert found.supported == ("Neutral", "Anger", "Happiness", "Other")
    tracks = scored_run(run, "val", root, PostProcessing()).tracks
    labels, classes = (np.concatenate([getattr(one, name) for one in tracks]) for name in ("labels", "answers"))
    pair = labels[labels >= 0], classes[labels >= 0]
    assert found.score().value == pytest.approx(f1_score(*pair, labels=range(8), average="macro", zero_division=0))
    few = f1_score(*pair, labels=[0, 1, 4, 7], average="macro", zero_division=0)
    assert found.supported_score().value == pytest.approx(few)


@pytest.mark.parametrize("change", ["settings", "scores", "recordings", "split"])
def test_what_was_measured_of_something_else_is_not_taken_for_this(root: DataRoot, change: str) -> None:
    run = made(root, "a")
    assert harness("tune", "a") == EXIT_DONE
    settings = stored_settings(run).settings
    if change == "settings":
        settings = replace(settings, temperature=3.0)
    elif change == "scores":
        scores.write_index(run, "val", replace(scores.read_index(run, "val"), checkpoint="other"))
    elif change == "recordings":
        root.split("val")[0].labels[:] = -1  # type: ignore[index]
    else:
        place = run.path / "expectation.json"
        place.write_text(json.dumps({**json.loads(place.read_text()), "split": "oof"}))
    found = expect(scored_run(run, "val", root, settings), "val")
    assert found.without == ()
    assert found.sums is found.in_sample
    assert found.flattering == (() if change == "settings" else ("the post-processing of a",))


def test_a_damaged_expectation_is_named(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    run = made(root, "a")
    assert harness("tune", "a") == EXIT_DONE
    place = run.path / "expectation.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "held_out": ["1 2", "3 x"]}))
    assert harness("evaluate", "a") == EXIT_DATA
    assert "expectation.json" in capsys.readouterr().err


def checkpointed(run: Run, metrics: list[float | None], scored_by: int, **manifest: Any) -> None:
    """Gives the run checkpoints with these metrics, and scores of val that are of one of them."""
    content = {**run.manifest, "kind": "training", "data": {"splits": ["train"]}, **manifest}
    run.manifest_path.write_text(json.dumps(content))

    def weights(place: Path) -> None:
        (place / "weights").write_text("w")

    digests = [checkpoints.write(run, step, metric, weights).digest for step, metric in enumerate(metrics, start=1)]
    scores.write_index(run, "val", replace(scores.read_index(run, "val"), checkpoint=digests[scored_by]))


@pytest.mark.parametrize(
    ("metrics", "scored_by", "picked"),
    [([0.3, 0.2], 0, True), ([0.3, 0.2], 1, False), ([0.2, 0.3], 1, False), ([None, 0.3], 0, False)],
)
def test_a_checkpoint_that_was_picked_on_the_split_is_told(
    root: DataRoot, metrics: list[float | None], scored_by: int, picked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpointed(made(root, "a"), metrics, scored_by)
    chosen = ["the checkpoint of a"] * picked
    assert past_choices(Run(Path("runs/a")), "val", SETTINGS) == chosen
    assert past_choices(Run(Path("runs/a")), "train", SETTINGS) == []
    made(root, "b", 3.0, seed=1)
    said = printed(capsys, "best", "a", "b", "--most", "1")
    assert ("warning: all figures are optimistic: the labels of these recordings chose the checkpoint of a" in said) == picked
    assert ("a is optimistic: these labels chose the checkpoint of a" in printed(capsys, "compare", "a", "b")) == picked
    assert ("warning: the score is optimistic" in printed(capsys, "evaluate", "a")) == picked
    assert harness("predict", "a", "--from-scores") == EXIT_DONE
    assert ("it is optimistic: their labels chose the checkpoint of a" in printed(capsys, "pack", "submissions/a")) == picked


def test_a_fit_is_not_forgotten_when_the_ensemble_is_tuned_after_it(root: DataRoot) -> None:
    made(root, "a"), made(root, "b", 3.0, seed=1)
    assert harness("ensemble", "a", "b", "--fit", "val", "--run", "f") == EXIT_DONE
    run = Run(Path("runs/f"))
    assert known(run, root).flattering == ()
    for _ in range(2):
        assert harness("tune", "f") == EXIT_DONE
        found = known(run, root)
        assert found.without == ("the post-processing of f",)
        assert found.flattering == ("the weights and temperatures of f",)


def test_what_an_ensemble_takes_over_from_tuned_members_is_told_and_what_it_leaves_is_not(root: DataRoot) -> None:
    made(root, "a"), made(root, "b", 3.0, seed=1)
    tuned = {"split": "val", "postprocessing": PostProcessing(temperature=2.0).as_dict()}
    (Path("runs/a") / "tuned.json").write_text(json.dumps(tuned))
    assert harness("ensemble", "a", "b", "--run", "with") == EXIT_DONE
    assert harness("ensemble", "a", "b", "--run", "without", "--untuned") == EXIT_DONE
    assert past_choices(Run(Path("runs/with")), "val", SETTINGS) == ["the post-processing of a"]
    assert past_choices(Run(Path("runs/without")), "val", SETTINGS) == []


def test_a_recipe_that_was_chosen_among_others_is_told(root: DataRoot) -> None:
    run = made(root, "a")
    chosen = [{"what": "recipe", "split": "val", "among": 12}, {"what": "seed", "split": "oof", "among": 3}]
    run.manifest_path.write_text(json.dumps({**run.manifest, "chosen": chosen}))
    assert known(run, root).flattering == ("the recipe (one of 12) of a",)


def test_the_recipe_that_a_sweep_took_is_told_of_its_runs_and_of_no_others(root: DataRoot) -> None:
    runs = []
    for batch in (32, 64):
        for seed in (0, 1):
            run = made(root, f"{batch}-{seed}", seed=seed)
            run.manifest_path.write_text(json.dumps({**run.manifest, "recipe": {"batch": batch, "seed": seed}, "seed": seed}))
            runs.append(run)
    before = [run.manifest_path.read_bytes() for run in runs]
    note_choice(runs, runs[2:], "recipe", "val")
    assert known(runs[2], root).flattering == ("the recipe (one of 2) of 64-0",)
    assert known(runs[0], root).flattering == ()
    # Another sweep may take the other; what the runs were made from stays as it is.
    note_choice(runs, runs[:2], "recipe", "val")
    assert [known(run, root).flattering == () for run in runs] == [False, False, True, True]
    note_choice(runs[:2], runs[:2], "recipe", "val")
    assert known(runs[0], root).flattering == ()
    assert [run.manifest_path.read_bytes() for run in runs] == before
