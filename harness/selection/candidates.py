"""The candidates for a submission: each a run of its own below runs/, with the commands that make it again."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.data.tracks import OUT_OF_FOLD
from harness.errors import DataError
from harness.postprocess.chain import PostProcessing
from harness.rows.predictions import RunPredictions
from harness.runs import store
from harness.runs.lineage import learned_from
from harness.runs.store import Run
from harness.selection.best import Candidate
from harness.selection.ensemble import KIND, Member, comparable, ensemble, refuse_place
from harness.selection.expectation import Expectation
from harness.selection.fit_ensemble import Fitter, Mixture
from harness.selection.history import FIT, PICK, TUNING, note_pick, past_choices, words_of
from harness.selection.nested import Mask, held_out_sums, make_nested_folds
from harness.selection.scorer import Scorer, ValidationSet
from harness.selection.stored import shared_settings
from harness.selection.tune import Tuner, Tuning

# Begins the names of the runs that are made here.
PREFIX = "best-"
NAMES = ("single", "single-tuned", "mean", "mean-tuned", "fitted", "weighted", "others")


class CandidateMaker:
    """Makes candidates of runs.

    What was tuned for a run is left aside, because it was chosen on recordings that are to judge. Wherever a candidate depends on
    which run is the best, that is decided within each fold anew, as all its other choices are.

    Attributes
    ----------
    yardstick : what they are judged by.
    folds : those that all candidates are judged in.
    settings : the post-processing of each candidate, by its name.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        validation: ValidationSet,
        union: bool = False,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        for name in NAMES:
            refuse_place(store.path_of(PREFIX + name), runs)
        comparable(_equal(runs), union)
        self.runs, self.validation, self.union, self.progress = runs, validation, union, progress
        self.settings: dict[str, PostProcessing] = {}
        self._scorers = [Scorer(run, validation) for run in runs]
        self.yardstick = self._scorers[0].yardstick
        self._everything = np.ones(len(validation.recordings), dtype=bool)
        self.folds = make_nested_folds(
            validation.tracks, validation.recordings, self._everything, validation.seed, challenge=validation.root.challenge
        )
        self._alone = [scorer.sums(_usual([run])) for run, scorer in zip(runs, self._scorers, strict=True)]

    def candidates(self) -> list[Candidate]:
        """The best run alone and tuned, plain and tuned means, and fitted ensembles with and without bias and heaviest member."""
        everyone = list(range(len(self.runs)))
        made = [self.single(), self.single_tuned()]
        if len(self.runs) > 1:
            made += [self._mean(), self._mean_tuned()]
            made += [self._fitted("fitted", everyone), self._fitted("weighted", everyone, with_bias=False)]
        if len(self.runs) > 2:
            made.append(self.others())
        return made

    def best_of(self, mask: Mask) -> int:
        """The number of the run that scores highest as it is on the recordings of a mask (R,)."""
        return int(np.argmax([self.yardstick.of_recordings(sums[mask]) for sums in self._alone]))

    def single(self) -> Candidate:
        """The best run as it is."""
        one = self.runs[self.best_of(self._everything)]
        run = self._ensemble("single", [Member(one)], picked=True)
        choices = [self.best_of(fold.choosing) for fold in self.folds]
        sums = held_out_sums(self.folds, choices, self._alone.__getitem__)
        commands = [self._ensemble_command(run, [one], picked=True)]
        return self._candidate(run, f"{one.name} as it is", commands, _usual([one]), sums, PICK)

    def single_tuned(self) -> Candidate:
        """The best run, tuned."""
        best = self.best_of(self._everything)
        one = self.runs[best]
        run = self._ensemble("single-tuned", [Member(one)], picked=True)
        tuners = {best: self._tuner(Scorer(run, self.validation))}
        settings = self._tune(run, tuners[best]).outcome.choice

        def chosen(mask: Mask) -> tuple[Tuner, PostProcessing]:
            number = self.best_of(mask)
            if number not in tuners:
                tuners[number] = self._tuner(self._scorers[number])
            return tuners[number], tuners[number].choose(mask)[0]

        choices = [chosen(fold.choosing) for fold in self.folds]
        sums = held_out_sums(self.folds, choices, lambda choice: choice[0].scorer.sums(choice[1]))
        commands = self._tune_commands(run, [one], picked=True)
        return self._candidate(run, f"{one.name}, tuned", commands, settings, sums, PICK, TUNING)

    def _mean(self) -> Candidate:
        run = self._ensemble("mean", _equal(self.runs))
        sums = Scorer(run, self.validation).sums(_usual(self.runs))
        words = f"plain mean of {len(self.runs)} runs"
        return self._candidate(run, words, [self._ensemble_command(run, self.runs)], _usual(self.runs), sums)

    def _mean_tuned(self) -> Candidate:
        run = self._ensemble("mean-tuned", _equal(self.runs))
        outcome = self._tune(run, self._tuner(Scorer(run, self.validation))).outcome
        words = f"plain mean of {len(self.runs)} runs, tuned"
        commands = self._tune_commands(run, self.runs)
        return self._candidate(run, words, commands, outcome.choice, outcome.expectation.sums, TUNING)

    def others(self) -> Candidate:
        """All runs but the best, fitted."""
        fitters: dict[int, Fitter] = {}

        def chosen(mask: Mask) -> tuple[Fitter, Mixture]:
            left_out = self.best_of(mask)
            if left_out not in fitters:
                fitters[left_out] = self._fitter([number for number in range(len(self.runs)) if number != left_out])
            return fitters[left_out], fitters[left_out].choose(mask)[0]

        choices = [chosen(fold.choosing) for fold in self.folds]
        sums = held_out_sums(self.folds, choices, lambda choice: choice[0].sums(choice[1]))
        best = self.best_of(self._everything)
        return self._fitted("others", [number for number in range(len(self.runs)) if number != best], sums=sums)

    def _fitted(self, name: str, numbers: Sequence[int], with_bias: bool = True, sums: NDArray | None = None) -> Candidate:
        runs = [self.runs[number] for number in numbers]
        fitter = self._fitter(numbers, with_bias)
        fit = fitter.fit_ensemble(self.progress)
        store_fit = partial(fit.store, validation=self.validation)
        run = self._ensemble(name, fit.outcome.choice.members(fitter.members), [store_fit], picked=sums is not None)
        options = f" --fit {self.validation.split} --seed {self.validation.seed}" + ("" if with_bias else " --no-bias")
        taken = [step.name for step in fit.outcome.steps if step.kept]
        words = f"{' and '.join(taken)} of {len(runs)} runs fitted" if taken else f"plain mean of {len(runs)} runs: no fit gains"
        commands = [self._ensemble_command(run, runs, options, picked=sums is not None)]
        if sums is None:
            return self._candidate(run, words, commands, fit.settings, fit.outcome.expectation.sums, FIT)
        return self._candidate(run, words, commands, fit.settings, sums, PICK, FIT)

    def _ensemble(
        self, name: str, members: Sequence[Member], completions: Sequence[Callable[[Run], None]] = (), picked: bool = False
    ) -> Run:
        """A candidate's run; if its members were `picked` by the labels it says so from the first, whatever comes between."""
        picks = [partial(note_pick, split=self.validation.split)] if picked else []
        shared = shared_settings([member.run for member in members], untuned=True)
        run, _ = ensemble(members, store.path_of(PREFIX + name), self.union, True, shared, [*picks, *completions])
        return run

    def _tuner(self, scorer: Scorer) -> Tuner:
        return Tuner(scorer, _usual([scorer.run]))

    def _tune(self, run: Run, tuner: Tuner) -> Tuning:
        tuning = tuner.tune(self.progress)
        tuning.store(run, self.validation)
        return tuning

    def _fitter(self, numbers: Sequence[int], with_bias: bool = True) -> Fitter:
        runs = [self.runs[number] for number in numbers]
        scorers = [self._scorers[number] for number in numbers]
        return Fitter(scorers, [Member(run) for run in runs], with_bias, _usual(runs))

    def _candidate(
        self, run: Run, words: str, commands: Sequence[str], settings: PostProcessing, sums: NDArray, *without: str
    ) -> Candidate:
        """A candidate whose `sums` (R, size) were made without what `without` names."""
        validation, self.settings[run.name] = self.validation, settings
        outside = tuple(words_of(what, run.name) for what in without)
        chosen = past_choices(run, validation.split, settings.as_dict())
        expectation = Expectation(
            split=validation.split,
            parts=validation.parts,
            recordings=tuple(validation.recordings),
            sums=sums,
            in_sample=Scorer(run, validation).sums(settings),
            measure=validation.score,
            without=outside,
            flattering=tuple(words for words in chosen if words not in outside),
        )
        predictions = RunPredictions(run, "test", settings, validation.root, validation.frame_rate)
        test_rows = np.concatenate([prediction.classes for prediction in predictions])
        return Candidate(run.name, words, tuple(commands), expectation, test_rows)

    @property
    def _rate_option(self) -> str:
        return "" if self.validation.frame_rate is None else f" --fps {self.validation.frame_rate:g}"

    def _ensemble_command(self, run: Run, runs: Sequence[Run], options: str = "", picked: bool = False) -> str:
        options += f" --chosen-on {self.validation.split}" if picked else ""
        union = " --union" if self.union else ""
        names = " ".join(shlex.quote(one.name) for one in runs)
        return f"harness ensemble {names} --run {run.name}{options}{union}{self._rate_option} --untuned --fresh"

    def _tune_commands(self, run: Run, runs: Sequence[Run], picked: bool = False) -> list[str]:
        return [
            self._ensemble_command(run, runs, picked=picked),
            f"harness tune {run.name} --split {self.validation.split} --seed {self.validation.seed}{self._rate_option}",
            f"harness predict {run.name} --from-scores{self._rate_option}",
        ]


def split_to_choose_on(named: Sequence[Run]) -> str:
    """The split that choices are best made on: out of fold, over all labelled recordings, unless more runs can be judged on val.

    That is of the runs `named`, by default of all; see `runs_to_choose_from`.
    """

    def judged(split: str) -> int:
        return sum(not learned_from(run, split) for run in (named or _predicted(split)) if {split, "test"} <= set(run.splits()))

    return OUT_OF_FOLD if judged(OUT_OF_FOLD) >= max(1, judged("val")) else "val"


def _predicted(split: str) -> list[Run]:
    """All runs that were predicted on a split and on test, ensembles and candidates aside."""
    return [
        run
        for run in store.every()
        if {split, "test"} <= set(run.splits()) and run.manifest.get("kind") != KIND and not run.name.startswith(PREFIX)
    ]


def runs_to_choose_from(split: str, named: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """The runs to make candidates of, by default all that were predicted on `split` and on test, ensembles aside.

    Those that learned from the split are left out, for their scores of it say nothing; one line each says so. Raises DataError if
    none is left.
    """
    runs = list(named) or _predicted(split)
    if not runs:
        raise DataError(
            f"no run was predicted on both {split} and test",
            path=store.RUNS,
            remedy=f"`harness predict RUN --split {split}` and `harness predict RUN --split test`",
        )
    learners = {run.name: learned_from(run, split) for run in runs}
    kept = [run for run in runs if not learners[run.name]]
    if not kept:
        raise DataError(
            f"every run learned from tracks of {split}, so nothing can be chosen on it",
            found=", ".join(learners),
            remedy="choose on a split they did not see, or on the out-of-fold scores of `harness crossval` (--split oof)",
        )
    left_out = [
        f"left out: {name}, because {', '.join(learned)} learned from tracks of {split}"
        for name, learned in learners.items()
        if learned
    ]
    return kept, left_out


def _equal(runs: Sequence[Run]) -> list[Member]:
    return [Member(run, 1.0 / len(runs)) for run in runs]


def _usual(runs: Sequence[Run]) -> PostProcessing:
    """How one run, or an ensemble of several, is post-processed where nothing was tuned."""
    return shared_settings(runs, untuned=True).settings
