"""Trainings that die after a step, and what a run consists of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from harness import files
from harness.runs import store
from harness.runs.store import Run
from harness.training import loop


class InterruptionError(Exception):
    """Stands for a process that dies."""


@contextmanager
def dies_after(step: int) -> Iterator[None]:
    """Within the block a training must die as `step` steps are done, before anything is saved after that step."""
    plain = loop.Trainer._after_step

    def after_step(self: loop.Trainer, done: int, bar: object) -> None:
        # Whatever the global generator holds when a process dies must not matter.
        torch.rand(step)
        if done == step:
            raise InterruptionError
        plain(self, done, bar)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Trainer, "_after_step", after_step)
        try:
            yield
        except InterruptionError:
            return
    pytest.fail(f"the training lived on after step {step}")


def result(run: Run) -> dict[str, str]:
    """The sha256 of everything a finished run consists of, times aside."""
    aside = (store.LOCK, store.FOLDER_LOCK, "timings.jsonl")
    paths = [path for path in sorted(run.path.rglob("*")) if path.is_file() and path.name not in aside]
    return {str(path.relative_to(run.path)): files.sha256(path) for path in paths}
