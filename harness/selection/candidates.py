"""The candidates for a submission: each a run of its own below runs/, with the commands that make it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from harness import files
from harness.data.tracks import DataRoot
from harness.postprocess.chain import PostProcessing
from harness.runs import store
from harness.runs.store import Run
from harness.selection.best import Candidate
from harness.selection.ensemble import Member, ensemble, refuse_place
from harness.selection.fit_ensemble import fit_ensemble
from harness.selection.nested import Counts, macro_f1_of
from harness.selection.scorer import Scorer
from harness.selection.tune import tune
from harness.submission.from_scores import RunPredictions

# Begins the names of the runs that are made here.
PREFIX = "best-"
NAMES = ("single", "single-tuned", "mean", "mean-tuned", "fitted", "weighted", "others")


class CandidateMaker:
    """Makes candidates of runs.

    Attributes
    ----------
    tuned : (C,) the classes with enough labelled frames.
    settings : the post-processing of each candidate, by its name.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        split: str,
        root: DataRoot,
        seed: int = 0,
        frame_rate: float | None = None,
        union: bool = False,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        for name in NAMES:
            refuse_place(store.path_of(PREFIX + name), runs)
        self.runs, self.split, self.root = runs, split, root
        self.seed, self.frame_rate, self.union, self.progress = seed, frame_rate, union, progress
        self.settings: dict[str, PostProcessing] = {}
        self._scorers = [Scorer(run, split, root, frame_rate) for run in runs]
        self.tuned = self._scorers[0].tuned

    def candidates(self) -> list[Candidate]:
        """The best run alone and tuned, plain and tuned means, and fitted ensembles with and without bias and heaviest member."""
        alone = [macro_f1_of(scorer.confusions(PostProcessing()), self.tuned) for scorer in self._scorers]
        best = self.runs[int(np.argmax(alone))]
        made = [self._averaged("single", [best]), self._tuned("single-tuned", [best])]
        if len(self.runs) > 1:
            made += [self._averaged("mean", self.runs), self._tuned("mean-tuned", self.runs)]
            made += [self._fitted("fitted", self.runs), self._fitted("weighted", self.runs, with_bias=False)]
        if len(self.runs) > 2:
            others = [run for run in self.runs if run is not best]
            made.append(self._fitted("others", others))
        return made

    def _averaged(self, name: str, runs: Sequence[Run]) -> Candidate:
        run = self._ensemble(name, [Member(one, 1.0 / len(runs)) for one in runs])
        matrices = self._scorer(run).confusions(PostProcessing())
        words = f"{_named(runs)} as it is" if len(runs) == 1 else f"plain mean of {_named(runs)}"
        return self._candidate(run, words, [self._ensemble_command(run, runs)], PostProcessing(), matrices)

    def _tuned(self, name: str, runs: Sequence[Run]) -> Candidate:
        run = self._ensemble(name, [Member(one, 1.0 / len(runs)) for one in runs])
        tuning = tune(run, self.split, self.root, PostProcessing(), self.seed, self.frame_rate, self.progress)
        files.write_json(run.path / store.TUNED, tuning.as_dict(self.split, self.seed))
        words = f"{_named(runs)}, tuned" if len(runs) == 1 else f"plain mean of {_named(runs)}, tuned"
        commands = [
            self._ensemble_command(run, runs),
            f"harness tune {run.name} --split {self.split} --seed {self.seed}{self._rate_option}",
            f"harness submission {run.name}{self._rate_option}",
        ]
        return self._candidate(run, words, commands, tuning.settings, tuning.judged)

    def _fitted(self, name: str, runs: Sequence[Run], with_bias: bool = True) -> Candidate:
        if len(runs) == 1:
            return self._tuned(name, runs)
        fit = fit_ensemble(runs, self.split, self.root, self.seed, self.frame_rate, with_bias, self.progress)
        run = self._ensemble(name, fit.mixture.members(runs))
        files.write_json(run.path / store.TUNED, fit.as_dict(self.split, self.seed))
        options = f" --fit {self.split} --seed {self.seed}" + ("" if with_bias else " --no-bias")
        taken = [step.name for step in fit.steps if step.taken]
        words = f"{' and '.join(taken)} of {_named(runs)} fitted" if taken else f"plain mean of {_named(runs)}: no fit gains"
        settings = PostProcessing(bias=fit.mixture.bias)
        return self._candidate(run, words, [self._ensemble_command(run, runs, options)], settings, fit.judged)

    def _ensemble(self, name: str, members: Sequence[Member]) -> Run:
        run, _ = ensemble(members, store.path_of(PREFIX + name), self.union, fresh=True)
        return run

    def _scorer(self, run: Run) -> Scorer:
        return Scorer(run, self.split, self.root, self.frame_rate)

    def _candidate(self, run: Run, words: str, commands: Sequence[str], settings: PostProcessing, judged: Counts) -> Candidate:
        self.settings[run.name] = settings
        inside = macro_f1_of(self._scorer(run).confusions(settings), self.tuned)
        predictions = RunPredictions(run, "test", settings, self.root, self.frame_rate)
        test_rows = np.concatenate([prediction.classes for prediction in predictions])
        return Candidate(run.name, words, tuple(commands), inside, judged, test_rows)

    @property
    def _rate_option(self) -> str:
        return "" if self.frame_rate is None else f" --fps {self.frame_rate:g}"

    def _ensemble_command(self, run: Run, runs: Sequence[Run], options: str = "") -> str:
        union = " --union" if self.union else ""
        names = " ".join(one.name for one in runs)
        return f"harness ensemble {names} --run {run.name}{options}{union}{self._rate_option} --fresh"


def _named(runs: Sequence[Run]) -> str:
    return runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
