"""The candidates for a submission: every choice in them is made without the recordings that judge it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.challenge import EXPR
from harness.data.tracks import OUT_OF_FOLD, DataRoot
from harness.postprocess.chain import PostProcessing
from harness.rows.labelled import scored_run
from harness.runs import scores, store
from harness.runs.store import Run
from harness.selection.best import choose
from harness.selection.candidates import CandidateMaker, split_to_choose_on
from harness.selection.ensemble import Member
from harness.selection.expectation import expect
from harness.selection.fit_ensemble import Fitter
from harness.selection.history import past_choices
from harness.selection.scorer import Scorer, ValidationSet
from harness.selection.stored import stored_settings
from harness.selection.tune import Tuner
from tests.simulated_challenges import drawn_root, run_of, seen
from tests.simulated_runs import labelled_root, noisy_run

PLAIN = PostProcessing()
SPLITS = ("val", "test")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    monkeypatch.chdir(tmp_path)
    return labelled_root(tmp_path / "root", recordings=16, rate=None)


def equal_runs(root: DataRoot, count: int, noise: float = 4.0, seed: int = 0) -> list[Run]:
    return [noisy_run(root, Path("runs") / f"run{seed}-{k}", noise, seed=100 * seed + k, splits=SPLITS) for k in range(count)]


def test_which_run_is_the_best_is_decided_in_each_fold_anew(root: DataRoot) -> None:
    runs = equal_runs(root, 3)
    maker = CandidateMaker(runs, ValidationSet("val", root))
    made = {one.name: one for one in (maker.single(), maker.single_tuned(), maker.others())}
    scorers = [Scorer(run, ValidationSet("val", root)) for run in runs]
    assert len({maker.best_of(fold.choosing) for fold in maker.folds}) > 1
    single, tuned, others = (np.zeros_like(made["best-single"].expectation.sums) for _ in range(3))
    for fold in maker.folds:
        best = int(np.argmax([maker.yardstick.of_recordings(one.sums(PLAIN)[fold.choosing]) for one in scorers]))
        single[fold.held_out] = scorers[best].sums(PLAIN)[fold.held_out]
        settings, _ = Tuner(scorers[best], PLAIN).choose(fold.choosing)
        tuned[fold.held_out] = scorers[best].sums(settings)[fold.held_out]
        rest = [number for number in range(3) if number != best]
        fitter = Fitter([scorers[k] for k in rest], [Member(runs[k]) for k in rest], True, PLAIN)
        others[fold.held_out] = fitter.sums(fitter.choose(fold.choosing)[0])[fold.held_out]
    np.testing.assert_array_equal(made["best-single"].expectation.sums, single)
    np.testing.assert_array_equal(made["best-others"].expectation.sums, others)
    # A candidate is a run of its own, whose probabilities are stored in single precision.
    assert np.abs(made["best-single-tuned"].expectation.sums - tuned).sum() <= 0.01 * tuned.sum()


def test_the_best_of_many_equal_runs_is_expected_to_be_as_good_as_they_are(root: DataRoot) -> None:
    flattered, honest = [], []
    for repetition in range(4):
        runs = equal_runs(root, 15, seed=repetition)
        scorers = [Scorer(run, ValidationSet("val", root)) for run in runs]
        maker = CandidateMaker(runs, ValidationSet("val", root))
        alone = [maker.yardstick.of_recordings(scorer.sums(PLAIN)) for scorer in scorers]
        choice = choose([maker.single()], maker.yardstick, maker.folds)[0]
        known = choice.expectation
        flattered.append(known.supported_score(known.in_sample).value - np.mean(alone))
        honest.append(known.supported_score().value - np.mean(alone))
        assert choice.fall == pytest.approx(known.score(sums=known.in_sample).value - known.score(sums=known.own).value)
    assert np.mean(flattered) > 0.02
    assert np.mean(honest) < 0.01


@pytest.mark.parametrize("name", ["single", "single_tuned", "others"])
def test_a_candidate_says_from_the_first_that_the_labels_picked_what_it_is_made_of(
    root: DataRoot, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the command is killed before it notes what the candidate is expected to score."""
    maker = CandidateMaker(equal_runs(root, 3), ValidationSet("val", root))

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    # Asked when the run has its name, be it of its expectation or of its own settings.
    monkeypatch.setattr(maker, "_candidate", killed)
    monkeypatch.setattr(maker, "_tuner", killed)
    with pytest.raises(KeyboardInterrupt):
        getattr(maker, name)()
    (run,) = (run for run in store.every() if run.name.startswith("best-"))
    scored = scored_run(run, "val", root, stored_settings(run).settings)
    picked = f"the members of {run.name}"
    assert picked in expect(scored, "val").flattering
    # Another of these labels is not said to be chosen by them.
    assert past_choices(run, "oof", {}) == []


@pytest.mark.parametrize("splits", [("val",), ("val", "test")])
def test_mirrored_scores_can_be_chosen_where_test_has_them_too(root: DataRoot, splits: tuple[str, ...]) -> None:
    run = noisy_run(root, Path("runs/run"), 2.0, splits=SPLITS)
    other = noisy_run(root, Path("runs/other"), 2.0, seed=9, splits=SPLITS)
    for split in splits:
        index = scores.read_index(other, split)
        mirrored = {name: scores.read_track(other, split, name) for name in index.tracks}
        rows = {name: (record.rows, record.rows_from) for name, record in index.tracks.items()}
        scores.write_split(run, f"{split}.flip", mirrored, rows, "logits", {})
    maker = CandidateMaker([run], ValidationSet("val", root))
    maker.single_tuned()
    assert maker.settings["best-single-tuned"].flip == (splits == SPLITS)


def test_choices_are_made_out_of_fold_unless_more_of_the_runs_in_question_can_be_judged_on_val(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = drawn_root(tmp_path, EXPR, recordings=1)

    def run(name: str, *splits: str) -> Run:
        return run_of(root, Path("runs") / name, seen(1.0), splits=splits)

    usual = run("usual", "val", "test")
    assert split_to_choose_on([]) == "val"
    folds = run("folds", OUT_OF_FOLD, "test")
    assert split_to_choose_on([]) == OUT_OF_FOLD
    assert (split_to_choose_on([usual]), split_to_choose_on([folds])) == ("val", OUT_OF_FOLD)
    run("another", "val", "test")
    assert split_to_choose_on([]) == "val"


def test_names_of_runs_are_quoted_in_the_commands_that_make_a_candidate_again(root: DataRoot) -> None:
    maker = CandidateMaker(equal_runs(root, 2), ValidationSet("val", root))
    command = maker._ensemble_command(Run(Path("runs/best-mean")), [Run(Path("runs/res50 a")), Run(Path("runs/b;c"))])
    assert shlex.split(command)[2:4] == ["res50 a", "b;c"]
