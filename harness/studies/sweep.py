"""A sweep: trainings of several settings with several seeds, one process for each device, and what they scored."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from numpy.typing import NDArray

from harness import files
from harness.data.tracks import OUT_OF_FOLD, DataRoot
from harness.errors import HarnessError
from harness.inference.predict import predict
from harness.inference.settings import Scoring
from harness.postprocess.chain import PostProcessing
from harness.progress import EVERY
from harness.runs.store import Run, path_of
from harness.selection.history import note_choice
from harness.selection.scorer import Scorer, ValidationSet
from harness.selection.sweeping import Sweep, compare_settings
from harness.training.signals import STARTED_BY, StopRequest, stop_request

PLAIN = "as it is"
"""What a setting that changes nothing is called."""
LAST_LINES = 8
"""Lines of a failed training that are told."""
PAUSE = 0.2
"""Seconds between looks at the processes."""


@dataclass(frozen=True)
class SweptRun:
    """One training: its run, the setting and the seed that it is of, and the command line of the harness that makes it."""

    run: str
    setting: str
    seed: int
    arguments: tuple[str, ...]


@dataclass
class SweepOutcome:
    """How a sweep ended: what failed, by run, with the reason; the comparison of what did not; the code of a signal."""

    failed: dict[str, str] = field(default_factory=dict)
    compared: Sweep | None = None
    exit_code: int | None = None


def planned(
    name: str, settings: Sequence[Sequence[str]], seeds: Sequence[int], command: Sequence[str], folds: str | None
) -> list[SweptRun]:
    """The trainings of a sweep `name`; `settings` are changes KEY=VALUE, `command` the options that all share.

    A run's name holds the digest of its setting, so that more settings, in any order, keep what is done.
    """
    verb = ["train"] if folds is None else ["crossval", "--folds", folds]
    runs = []
    for changes in settings:
        digest = files.sha256_of_bytes("\n".join(sorted(changes)).encode())[:6]
        for seed in seeds:
            run = f"{name}-{digest}-seed-{seed}"
            options = [part for change in changes for part in ("--set", change)]
            arguments = (*verb, *command, *options, "--seed", str(seed), "--run", run)
            runs.append(SweptRun(run, " ".join(changes) or PLAIN, seed, arguments))
    return runs


def devices() -> list[dict[str, str]]:
    """For each process that may train at the same time, what its environment says of the one device it sees."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = list(map(str, range(torch.cuda.device_count()))) if visible is None else [name for name in visible.split(",") if name]
    names = names[: torch.cuda.device_count()]
    return [{"CUDA_VISIBLE_DEVICES": one} for one in names] or [{}]


def sweep(
    runs: Sequence[SweptRun],
    root: DataRoot,
    split: str,
    scoring: Scoring,
    places: Sequence[Mapping[str, str]],
    say: Callable[[str], None],
) -> SweepOutcome:
    """Trains, scores and compares; what is done already is not done again, and what fails does not stop the others."""
    outcome = SweepOutcome()
    with stop_request() as stop:
        _train_all(runs, places, outcome, stop, say)
    if stop.exit_code is not None:
        outcome.exit_code = stop.exit_code
        return outcome
    validation = ValidationSet(split, root)
    sums: dict[str, list[NDArray]] = {}
    yardstick = None
    for one in runs:
        if one.run in outcome.failed:
            continue
        try:
            run = scored_run(one, root, split, scoring, say)
            scorer = Scorer(run, validation)
            sums.setdefault(one.setting, []).append(scorer.sums(PostProcessing()))
            yardstick = scorer.yardstick
        except HarnessError as error:
            outcome.failed[one.run] = str(error)
    seeds = len({one.seed for one in runs})
    whole = {setting: found for setting, found in sums.items() if len(found) == seeds}
    if whole and yardstick is not None:
        outcome.compared = compare_settings(whole, validation, yardstick)
        compared = {one.run: Run(path_of(one.run)) for one in runs if one.setting in whole}
        chosen = [compared[one.run] for one in runs if one.setting == outcome.compared.chosen]
        note_choice(list(compared.values()), chosen, "recipe", split)
    return outcome


def scored_run(one: SweptRun, root: DataRoot, split: str, scoring: Scoring, say: Callable[[str], None]) -> Run:
    """The run of a training, with scores of the split; a cross-validation has scored itself."""
    run = Run(path_of(one.run))
    if split != OUT_OF_FOLD:
        predict(run, root, split, scoring, say)
    return run


def _train_all(
    runs: Sequence[SweptRun],
    places: Sequence[Mapping[str, str]],
    outcome: SweepOutcome,
    stop: StopRequest,
    say: Callable[[str], None],
) -> None:
    waiting, free = deque(runs), deque(places)
    running: list[tuple[SweptRun, _Process, Mapping[str, str]]] = []
    told, told_at = False, time.monotonic()
    while waiting or running:
        if stop and not told:
            waiting.clear()
            for _, process, _ in running:
                process.stop()
            told = True
        while waiting and free:
            one, place = waiting.popleft(), free.popleft()
            say(f"{one.run}: {one.setting}, seed {one.seed}")
            running.append((one, _Process(one.arguments, place), place))
        time.sleep(PAUSE)
        if time.monotonic() - told_at >= EVERY:
            told_at = time.monotonic()
            left = f"{len(waiting)} to come" if waiting else "none to come"
            say(f"training {', '.join(one.run for one, _, _ in running)}; {left}")
        for entry in [entry for entry in running if entry[1].ended]:
            running.remove(entry)
            one, process, place = entry
            free.append(place)
            if process.exit_code and not stop:
                outcome.failed[one.run] = process.last_words
                say(f"{one.run} failed (exit code {process.exit_code}); the others go on: {process.last_words}")


class _Process:
    """A harness of its own, of which the last lines are kept."""

    def __init__(self, arguments: Sequence[str], place: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness", *arguments],
            env={**os.environ, **place, STARTED_BY: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self.lines: deque[str] = deque(maxlen=LAST_LINES)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def exit_code(self) -> int:
        return self.process.wait()

    @property
    def last_words(self) -> str:
        """What it said last: its error, if it had one."""
        self.reader.join()
        text = "".join(self.lines)
        return text[max(text.rfind("harness: "), 0) :].strip()

    def stop(self) -> None:
        """Asks it to save and end."""
        self.process.terminate()
