"""The one loop: Accelerate training that can be interrupted at any step and ends with the same bytes on a CPU.

Nothing here depends on where it was started: the batch of a step is a function of the step, the learning rate is set from the
step, and all state is in the checkpoint. So going on after a checkpoint is the same as never having stopped.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from harness.errors import DataError
from harness.images.device import is_compile_failure, is_out_of_memory
from harness.images.workers import loader
from harness.runs.store import Run
from harness.training.checkpoint_saver import CheckpointSaver
from harness.training.metrics import MetricsLog
from harness.training.objective import Objective
from harness.training.optimization import LoopSettings, learning_rate, make_optimizer
from harness.training.signals import StopRequest, stop_request
from harness.training.trackers import Trackers
from harness.words import counted, measured, number

PROGRESS_EVERY = 30.0
"""Seconds between two lines of progress where no terminal shows a bar."""
FLUSH_EVERY = 20
"""Steps whose losses are fetched from the device together."""
SMALLEST_BATCH = 2
"""Images below which no batch is tried: BatchNorm needs more than one."""


@dataclass(frozen=True)
class TrainingOutcome:
    """How the loop ended: `step` steps are done, `exit_code` is set if a signal ended it, `metric` is of the last evaluation."""

    step: int
    exit_code: int | None
    metric: float | None


def run_loop(
    run: Run,
    objective: Objective,
    settings: LoopSettings,
    accelerator: Accelerator,
    *,
    workers: int,
    metadata: Mapping[str, str],
    say: Callable[[str], None],
    trackers: Trackers | None = None,
) -> TrainingOutcome:
    """Trains until `settings.iterations` steps are done or a signal asks to stop, from the newest whole checkpoint on.

    `metadata` goes into the weights file; `say` prints one line; `trackers` are told what is noted. Raises DataError when a loss
    or a weight is not finite, or if a batch does not fit into memory, with the earlier checkpoints whole.
    """
    optimizer = make_optimizer(objective, settings)
    network, optimizer = accelerator.prepare(objective.network, optimizer)
    saver = CheckpointSaver(run, objective, accelerator, network, optimizer, metadata)
    start = saver.resume(say)
    log = MetricsLog(run, trackers)
    if accelerator.is_main_process:
        log.cut_back(start)
    accelerator.wait_for_everyone()
    with stop_request() as stop:
        trainer = Trainer(objective, settings, accelerator, network, optimizer, saver, log, stop, workers, say)
        return trainer.run(start)


@dataclass
class Trainer:
    """The steps between start and end."""

    objective: Objective
    settings: LoopSettings
    accelerator: Accelerator
    network: torch.nn.Module
    optimizer: Any
    saver: CheckpointSaver
    log: MetricsLog
    stop: StopRequest
    workers: int
    say: Callable[[str], None]
    losses: list[tuple[int, Tensor]] = field(default_factory=list)
    metric: float | None = None
    flushed_at: float = field(default_factory=lambda: time.monotonic())
    begun: tuple[int, float] | None = None
    told_at: float = -math.inf

    def run(self, start: int) -> TrainingOutcome:
        """Does the steps from `start` on."""
        settings, rank, processes = self.settings, self.accelerator.process_index, self.accelerator.num_processes
        batches = loader(
            lambda step: self.objective.make_batch(step, rank, processes),
            range(start, settings.iterations),
            self.workers,
            self.accelerator.device.type == "cuda",
        )
        bar = tqdm(
            total=settings.iterations,
            initial=start,
            unit="step",
            desc="train",
            disable=None if self._is_main else True,
            leave=True,
        )
        self.network.train()
        self.begun = start, self.flushed_at
        with bar:
            if settings.iterations == 0 and self.saver.saved_step < 0:
                self._after_step(0, bar)
            for step in range(start, settings.iterations):
                batch = next(batches)
                try:
                    self._step(step, batch)
                except RuntimeError as error:
                    if is_compile_failure(error):
                        raise _not_compiled(error) from error
                    if not is_out_of_memory(error):
                        raise
                    del batch
                    raise self._too_large(step) from error
                bar.update()
                self._after_step(step + 1, bar)
                stop = self._stop_agreed()
                if stop is not None:
                    self._flush(bar)
                    if self.saver.saved_step != step + 1:
                        self._save(step + 1, None)
                    self.say(f"stopped after step {step + 1} of {settings.iterations}; the same command goes on from here")
                    return TrainingOutcome(step + 1, stop, self.metric)
        return TrainingOutcome(settings.iterations, None, self.metric)

    @property
    def _is_main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def _step(self, step: int, batch: Any) -> None:
        rate = self._rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        loss = self._backward(step, batch)
        if self.settings.clip_gradient:
            self.accelerator.clip_grad_norm_(self.network.parameters(), self.settings.clip_gradient)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.objective.after_step(self.saver.network, step)
        self.losses.append((step + 1, loss))

    def _backward(self, step: int, batch: Any) -> Tensor:
        """The loss of this process's share; its gradient is added up part by part, exchanged between processes at the last."""
        parts = self.objective.portions(batch)
        losses = []
        for place, (weight, part) in enumerate(parts, start=1):
            exchange = contextlib.nullcontext() if place == len(parts) else self.accelerator.no_sync(self.network)
            with exchange:
                with self.accelerator.autocast():
                    loss = self.objective.loss(self.network, part, step, self.accelerator) * weight
                self.accelerator.backward(loss)
            losses.append(loss.detach().float())
        return torch.stack(losses).sum()

    def _too_large(self, step: int) -> DataError:
        """What to raise where a batch did not fit into memory; names a batch that was tried and does, if one process can try."""
        batch, processes = self.settings.batch, self.accelerator.num_processes
        fits = self._batch_that_fits(step) if processes == 1 else None
        smaller = f"--set batch={fits}, which fits here" if fits else "a smaller batch (--set batch=...)"
        return DataError(
            f"the batch of step {step + 1} does not fit into memory",
            found=f"batch {batch} on {processes} process{'es' * (processes > 1)}, {self.accelerator.device}",
            expected=None if fits is None else f"at most {counted(fits, 'image')}",
            remedy=f"take {smaller}, and in `harness train` a learning_rate smaller in proportion; "
            f"or {self.objective.memory_savers}",
        )

    def _batch_that_fits(self, step: int) -> int | None:
        """The largest half, quarter and so on of the batch that passes forward and backward; None if not even a few images do.

        It is the share that one of several processes would have. Weights are left as they are; nothing is saved after this.
        """
        parts = 2
        while self.settings.batch // parts >= SMALLEST_BATCH:
            self.optimizer.zero_grad()
            if self.accelerator.device.type == "cuda":
                torch.cuda.empty_cache()
            try:
                share = self.objective.make_batch(step, 0, parts)
                self._backward(step, share)
                return self.settings.batch // parts
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                parts *= 2
        return None

    def _rate(self, step: int) -> float:
        settings = self.settings
        return learning_rate(
            step,
            iterations=settings.iterations,
            highest=settings.learning_rate,
            lowest=min(settings.lowest_learning_rate, settings.learning_rate),
            warmup=settings.warmup,
            warmup_from=settings.warmup_from,
        )

    def _after_step(self, done: int, bar: Any) -> None:
        settings = self.settings
        end = done == settings.iterations
        evaluate = end or done % settings.evaluate_every == 0
        if done % FLUSH_EVERY == 0 or evaluate:
            self._flush(bar)
        if done % FLUSH_EVERY == 0:
            self._note_watched(done)
        metric = self._evaluate(done, bar) if evaluate else None
        if evaluate or done % settings.checkpoint_every == 0:
            self._flush(bar)
            self._save(done, metric)

    def _save(self, done: int, metric: float | None) -> None:
        """Saves a checkpoint when the figures of its steps are safe."""
        if self._is_main:
            self.log.sync()
        self.saver.save(done, metric)

    def _flush(self, bar: Any) -> None:
        """Fetches the losses since the last flush, checks and notes them."""
        if not self.losses:
            return
        steps = [step for step, _ in self.losses]
        stacked = torch.stack([loss for _, loss in self.losses])
        values = self.accelerator.reduce(stacked, reduction="mean").tolist()
        self.losses.clear()
        for step, value in zip(steps, values, strict=True):
            if not math.isfinite(value):
                raise DataError(
                    f"the loss at step {step} is not finite",
                    found=str(value),
                    remedy="earlier checkpoints are whole; lower learning_rate, set clip_gradient, or use precision: fp32",
                )
        if not self._is_main:
            return
        for step, value in zip(steps, values, strict=True):
            self.log.note(step, {"loss": value, "learning_rate": self._rate(step - 1)})
        now = time.monotonic()
        self.log.time(steps[-1], {"images_per_second": len(steps) * self.settings.batch / max(now - self.flushed_at, 1e-9)})
        self.flushed_at = now
        self._tell_progress(steps[-1], sum(values) / len(values), now)
        shown = {"loss": f"{sum(values) / len(values):.3f}"}
        if self.metric is not None:
            shown[measured(str(self.objective.metric_name))] = number(self.metric)
        bar.set_postfix(shown, refresh=False)

    def _tell_progress(self, step: int, loss: float, now: float) -> None:
        """A line at a steady pace where no terminal shows the bar: step, loss, speed, and the time that is left."""
        if self.begun is None or now - self.told_at < PROGRESS_EVERY or sys.stderr.isatty():
            return
        (start, began), self.told_at = self.begun, now
        pace = max(now - began, 1e-9) / max(step - start, 1)
        left = datetime.timedelta(seconds=round(pace * (self.settings.iterations - step)))
        speed = self.settings.batch / pace
        self.say(f"step {step} of {self.settings.iterations}: loss {loss:.4f}, {speed:.0f} images per second, {left} left")

    def _note_watched(self, done: int) -> None:
        """Notes the objective's own figures, at fixed steps only: an interruption must not add lines."""
        figures = self.objective.watch()
        if figures and self._is_main:
            self.log.note(done, figures)

    def _evaluate(self, done: int, bar: Any) -> float | None:
        if self.objective.metric_name is None:
            return None
        self.saver.network.eval()
        figures = self.objective.evaluate(self.saver.network, self.accelerator, self.workers)
        self.network.train()
        self.metric = figures[self.objective.metric_name]
        if self._is_main:
            self.log.note(done, figures)
            bar.set_postfix({**figures}, refresh=True)
            self.say(f"step {done}: " + ", ".join(f"{measured(name)} {number(value)}" for name, value in figures.items()))
        self.flushed_at = time.monotonic()
        return self.metric

    def _stop_agreed(self) -> int | None:
        """The exit code if any process was asked to stop; all processes get the same answer after the same step."""
        code = self.stop.exit_code or 0
        if self.accelerator.num_processes > 1:
            codes = self.accelerator.gather(torch.tensor([code], device=self.accelerator.device))
            code = int(codes.max())
        return code or None


def _not_compiled(error: RuntimeError) -> DataError:
    """What to raise where torch.compile gave up."""
    return DataError(
        "torch.compile cannot compile the network here",
        found=(str(error).splitlines() or [type(error).__name__])[0],
        remedy="--set compile=false trains it as it is; a compiler for C++ (a GPU: Triton) may be missing",
    )
