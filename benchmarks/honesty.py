"""What the harness prints against what comes true: recordings divided anew, choices made on some, all of it scored on the others.

    python -m benchmarks.honesty /data/faces --embedded data/demo --rows docs/honesty.jsonl

Of each set (press photographs of people in Aff-Wild2's layout, and the embedded data set) the labelled recordings are divided at
random into some to learn from, some to choose on (val) and others (test), whose labels the harness is not shown. Runs are models
from elsewhere and logistic regressions on small pixels. On val the harness evaluates, compares, tunes, fits an ensemble, chooses
the best and expects a score as `pack` does; then all of it is scored on the others. One line of --rows is one division: what is
there is kept, so an interrupted campaign goes on where it stopped. Printed is the table of all rows.

An interval holds what came true if the difference lies within Student's t of both standard errors together, for the others are
some recordings as well.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cheap_runs import Divided, LabelledSet, divide, make_runs, read_set
from harness.challenge import MACRO_F1
from harness.evaluation.compare import compare_runs
from harness.evaluation.intervals import NOMINAL, Spread, Statistic, jackknife, scipy_special
from harness.evaluation.predictions import Scored, sums_by_recording
from harness.postprocess.chain import PostProcessing
from harness.rows.labelled import scored_run
from harness.rows.predictions import RunPredictions
from harness.runs import store
from harness.runs.store import Run
from harness.selection.alarms import alarms
from harness.selection.best import choose
from harness.selection.candidates import CandidateMaker
from harness.selection.drift import warnings_of
from harness.selection.ensemble import Member, ensemble
from harness.selection.expectation import store as store_expectation
from harness.selection.fit_ensemble import Fitter
from harness.selection.nested import Gain, gain
from harness.selection.scorer import Scorer, ValidationSet
from harness.selection.tune import Tuner
from harness.selection.yardstick import Yardstick
from harness.sending.expectation import expect as expect_of_answer
from harness.submission.from_run import write_submission
from harness.submission.record import RECORD_NAME, parse_record

SHARES = {"faces": {"train": 0.3, "val": 0.25, "test": 0.45}, "embedded": {"train": 0.3, "val": 0.3, "test": 0.4}}
Row = dict[str, Any]


def main() -> None:
    """Makes the rows that are wanted and not there, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path, nargs="?", help="a data root of people's photographs")
    parser.add_argument("--embedded", type=Path, help="the embedded data set, as `harness demo-data` writes it")
    parser.add_argument("--rows", type=Path, default=Path("honesty.jsonl"), help="the lines there are, and those to add")
    parser.add_argument("--divisions", type=int, default=20, help="of each set [default: 20]")
    options = parser.parse_args()
    for name, path in (("faces", options.faces), ("embedded", options.embedded)):
        if path is not None:
            _campaign(name, path.resolve(), options.rows.resolve(), options.divisions)
    print(table(read_rows(options.rows)))


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, but for a last line that a kill left half written."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def _campaign(name: str, path: Path, rows: Path, divisions: int) -> None:
    done = {(row["set"], row["seed"]) for row in read_rows(rows)}
    wanted = [seed for seed in range(divisions) if (name, seed) not in done]
    if not wanted:
        return
    labelled = read_set(name, path)
    for seed in wanted:
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="honesty-") as folder, contextlib.chdir(folder):
            row = row_of(labelled, seed)
        row["seconds"] = round(time.monotonic() - begin, 1)
        # Whole lines only: what a kill left of one is ended first.
        begun = rows.is_file() and not rows.read_bytes().endswith(b"\n") and rows.stat().st_size > 0
        with rows.open("a") as handle:
            handle.write("\n" * begun + json.dumps(row) + "\n")
            handle.flush()
            os.fsync(handle.fileno())
        print(f"{name} {seed}: {row['seconds']} s", flush=True)


def row_of(labelled: LabelledSet, seed: int) -> Row:
    """One division, in the folder one is in: what is printed of it, and what comes true."""
    divided = divide(labelled, SHARES[labelled.name], seed)
    runs = make_runs(labelled, divided.asked, seed)
    validation = ValidationSet("val", divided.asked, seed)
    others = ValidationSet("test", divided.known, seed)
    known = Known(divided, Scorer(runs[0], validation).yardstick)
    return {
        "set": labelled.name,
        "seed": seed,
        "recordings": {split: len({track.recording for track in divided.known.members(split)}) for split in SHARES["faces"]},
        "runs": len(runs),
        "evaluate": [known.beside(known.sums(run, "val"), run) for run in runs],
        "compare": _compared(runs, known),
        "tune": _tuned(runs, validation, known),
        "fit": _fitted(runs, validation, known),
        **_best(runs, validation, known),
        "alarms": [line for run in runs for line in alarms([run], divided.asked, "val")],
        "pair_alarms": alarms(runs, divided.asked, "val"),
        "drift": warnings_of(runs[-1], divided.asked, "val"),
        "others": len(others.recordings),
    }


class Known:
    """Scores of a division that the harness is not shown: by the same columns as on val, on the recordings of test."""

    def __init__(self, divided: Divided, yardstick: Yardstick) -> None:
        self.divided, self.yardstick = divided, yardstick

    def scored(self, run: Run, split: str, settings: PostProcessing | None = None) -> Scored:
        """A run's answers to a split beside its labels."""
        return scored_run(run, split, self.divided.known, settings or PostProcessing())

    def sums(self, run: Run, split: str, settings: PostProcessing | None = None) -> NDArray:
        """Their sums (R, size)."""
        return sums_by_recording(self.scored(run, split, settings))[1]

    def beside(self, printed: NDArray, run: Run, settings: PostProcessing | None = None, whole: bool = False) -> Row:
        """A printed score, by its sums (R, size), beside that of the others; of all columns where `whole`."""
        others = self.sums(run, "test", settings)
        parts, score = self.yardstick.parts, self.yardstick.score
        statistic: Statistic = partial(parts.score, score=score) if whole else self.yardstick.of
        here, there = (jackknife(one, statistic) for one in (printed, others))
        spread = Spread(np.asarray(there.standard_error**2), float(there.degrees_of_freedom))
        error, freedom = spread.added_to(here.standard_error, here.degrees_of_freedom)
        within = float(scipy_special().stdtrit(freedom, 0.5 + NOMINAL / 2)) * float(error)
        return {
            "printed": float(here.estimate),
            "true": float(there.estimate),
            "holds": bool(abs(float(here.corrected - there.corrected)) <= within),
        }

    def gained(self, printed: Gain, inside: float, before: NDArray, after: NDArray) -> Row:
        """A printed gain beside that on the others, by their sums (R, size) before and after."""
        true = gain(before, after, self.yardstick)
        return {"printed": printed.value, "inside": inside, "true": true.value, "low": printed.low, "high": printed.high}


def _compared(runs: Sequence[Run], known: Known) -> Row:
    """How many pairs are called better or worse, and how many of these the others contradict."""
    claims = wrong = pairs = 0
    for one, other in itertools.combinations(runs, 2):
        found = compare_runs(known.scored(one, "val"), [known.scored(other, "val")]).others[0]
        pairs += 1
        if found.verdict.startswith(f"{other.name} is "):
            claims += 1
            true = gain(known.sums(one, "test"), known.sums(other, "test"), known.yardstick).value
            wrong += (true > 0) != (" is better than " in found.verdict)
    return {"pairs": pairs, "claims": claims, "wrong": wrong}


def _tuned(runs: Sequence[Run], validation: ValidationSet, known: Known) -> Row:
    """The run that scores highest on val, tuned."""
    best = max(runs, key=lambda run: known.yardstick.of_recordings(known.sums(run, "val")))
    outcome = Tuner(Scorer(best, validation), PostProcessing()).tune().outcome
    before, after = known.sums(best, "test"), known.sums(best, "test", outcome.choice)
    return known.gained(outcome.held_out_gain, outcome.in_sample_gain, before, after)


def _fitted(runs: Sequence[Run], validation: ValidationSet, known: Known) -> Row:
    """All runs, fitted, against their plain mean."""
    members = [Member(run, 1 / len(runs)) for run in runs]
    fit = Fitter([Scorer(run, validation) for run in runs], members, True, PostProcessing()).fit_ensemble()
    plain, _ = ensemble(members, store.path_of("plain"), False, fresh=True)
    fitted, _ = ensemble(fit.outcome.choice.members(members), store.path_of("fitted"), False, fresh=True)
    before, after = known.sums(plain, "test"), known.sums(fitted, "test", fit.settings)
    return known.gained(fit.outcome.held_out_gain, fit.outcome.in_sample_gain, before, after)


def _best(runs: Sequence[Run], validation: ValidationSet, known: Known) -> Row:
    """What `best` puts first, and what `pack` then expects of it."""
    maker = CandidateMaker(runs, validation)
    first = choose(maker.candidates(), maker.yardstick, maker.folds, most=1)[0]
    run, settings = store.find(first.name), maker.settings[first.name]
    store_expectation(run, first.expectation, settings)
    write_submission(RunPredictions(run, "test", settings, known.divided.asked), Path("sent"), None, None, {})
    record = parse_record((Path("sent") / RECORD_NAME).read_bytes(), RECORD_NAME)
    packed = expect_of_answer(record, MACRO_F1, lambda run: known.divided.asked)
    found = known.beside(first.expectation.sums, run, settings)
    whole = known.beside(first.expectation.sums, run, settings, whole=True)
    inside = known.yardstick.of_recordings(first.expectation.in_sample)
    return {"best": {**found, "inside": inside, "name": first.name}, "pack": {**whole, "printed": packed.score}}


def table(rows: Sequence[Row]) -> str:
    """The rows of each set as a table: means with their standard errors, and how often an interval holds what came true."""
    lines = ["| set | divisions | what | printed | came true | printed less true | holds |", "|---|---|---|---|---|---|---|"]
    for name in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in rows if row["set"] == name]
        lines += [f"| {name} | {len(own)} | {line} |" for line in _lines(own)]
    return "\n".join(lines)


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    scores = [one for row in rows for one in row["evaluate"]]
    means = [{key: np.mean([one[key] for one in row["evaluate"]]) for key in ("printed", "true")} for row in rows]
    yield f"`evaluate`, {len(scores)} runs | {_both(means)} | {_holds(scores)}"
    for verb, what in (("best", "`best`, the first"), ("pack", "`pack`, all 8 classes")):
        found = [row[verb] for row in rows]
        yield f"{what} | {_both(found)} | {_holds(found)}"
    inside = float(np.mean([row["best"]["inside"] for row in rows]))
    yield f"the same on the recordings it was chosen on | {inside:.3f} | | |"
    for verb, what in (("tune", "gain of `tune`"), ("fit", "gain of `ensemble --fit`")):
        found = [row[verb] for row in rows]
        yield f"{what}; inside {np.mean([one['inside'] for one in found]):+.3f} | {_both(found, '+.3f')} |"
    told = {key: sum(row["compare"][key] for row in rows) for key in ("pairs", "claims", "wrong")}
    yield f"`compare`: {told['claims']} of {told['pairs']} pairs told apart | | {told['wrong']} of them wrong | |"
    for key, what in (
        ("alarms", "alarms of one run"),
        ("pair_alarms", "alarms of all runs"),
        ("drift", "test called unlike val"),
    ):
        yield f"{what} | | in {sum(bool(row[key]) for row in rows)} divisions | |"


def _both(found: Sequence[Row], form: str = ".3f") -> str:
    """Means over divisions of what was printed and of what came true, and of their difference with its standard error."""
    printed, true = (np.array([one[key] for one in found]) for key in ("printed", "true"))
    apart = printed - true
    error = apart.std(ddof=1) / np.sqrt(len(apart)) if len(apart) > 1 else float("nan")
    return f"{printed.mean():{form}} | {true.mean():{form}} | {apart.mean():+.3f} (± {error:.3f})"


def _holds(found: Sequence[Row]) -> str:
    return f"{np.mean([one['holds'] for one in found]):.0%}"


if __name__ == "__main__":
    main()
