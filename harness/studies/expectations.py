"""What a rehearsal lets one expect of the real thing: hours, memory, disk, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.findings import printable
from harness.words import counted, number

GIGA = 1e9


@dataclass(frozen=True)
class Expectations:
    """What was measured, and what follows for the whole training and prediction.

    Attributes
    ----------
    devices : what was computed on, in words.
    gpus : GPUs of this machine, of which one was rehearsed; 0 without any.
    precision : fp32, bf16 or fp16.
    steps : training steps that were timed; 0 where only a first one, with all that happens once, fitted into the time.
    seconds_per_step : of these; or an upper bound from the first one.
    batch : images of a step.
    frames_per_second : scored frames; None where none was scored.
    iterations, validations : of the whole training.
    validation_frames, test_frames : frames that one validation while training, and one prediction of the test split, score.
    peak_memory, peak_device_memory : bytes of this process and its workers together, and of the GPU; None without one.
    checkpoint_bytes, score_bytes, submission_bytes : what a whole run and its submission take on the disk at most.
    free_bytes : on the disk of runs/.
    rows, imputed : of the full-size submission that was written.
    predicted : test tracks that were really scored; the rows of the others are filled.
    errors, warnings : that the validator had about it; None without a test split.
    validation_f1 : macro-F1 of the validation text as read back, which only shows that it can be scored; None without labels.
    missing : what the real thing still needs, one sentence each.
    seconds : the rehearsal took, beside the scan.
    """

    devices: str
    gpus: int
    precision: str
    steps: int
    seconds_per_step: float
    batch: int
    frames_per_second: float | None
    iterations: int
    validations: int
    validation_frames: int
    test_frames: int
    peak_memory: int
    peak_device_memory: int | None
    checkpoint_bytes: int
    score_bytes: int
    submission_bytes: int
    free_bytes: int
    rows: int
    imputed: int
    predicted: tuple[str, ...]
    errors: int | None
    warnings: int | None
    validation_f1: float | None
    missing: tuple[str, ...]
    seconds: float

    @property
    def training_hours(self) -> float:
        """Hours of all steps, without validations."""
        return self.iterations * self.seconds_per_step / 3600

    @property
    def validation_hours(self) -> float | None:
        """Hours of all validations while training."""
        return _hours(self.validations * self.validation_frames, self.frames_per_second)

    @property
    def test_hours(self) -> float | None:
        """Hours of scoring the test split once."""
        return _hours(self.test_frames, self.frames_per_second)

    @property
    def disk_bytes(self) -> int:
        """What a run and its submission take at most: the last and the best checkpoint and one being written, scores, text."""
        return 3 * self.checkpoint_bytes + self.score_bytes + self.submission_bytes

    def as_dict(self) -> dict[str, Any]:
        """All figures as plain values."""
        derived = ("training_hours", "validation_hours", "test_hours", "disk_bytes")
        return {**asdict(self), **{name: getattr(self, name) for name in derived}}


def _hours(frames: int, frames_per_second: float | None) -> float | None:
    return None if frames_per_second is None else frames / frames_per_second / 3600


def describe(found: Expectations) -> list[str]:
    """The expectations as lines of text."""
    bound = "" if found.steps else ", an upper bound from the first step alone"
    rate = "-" if found.frames_per_second is None else f"{found.frames_per_second:,.0f}"
    memory = f"{found.peak_memory / GIGA:.1f} GB"
    if found.peak_device_memory is not None:
        memory = f"{found.peak_device_memory / GIGA:.1f} GB of the GPU, {memory} of the machine"
    lines = [
        f"devices      {found.devices}, {found.precision}",
        f"training     {found.seconds_per_step:.3g} s for a step of {found.batch} images{bound}; scoring {rate} frames a second",
        f"test text    {_verdict(found)}",
        f"validation   {_score(found)}",
        "",
        "expected of the real thing",
        f"  training   {_time(found.training_hours)} for {found.iterations:,} steps, {_time(found.validation_hours)} for "
        f"{found.validations} validations of {found.validation_frames:,} frames",
        f"  test split {_time(found.test_hours)} for {found.test_frames:,} frames with a face",
        *_on_all_gpus(found),
        f"  memory     {memory}",
        f"  disk       {found.disk_bytes / GIGA:.2f} GB, {found.free_bytes / GIGA:.1f} GB are free",
        "",
        "missing for the real thing" if found.missing else "nothing is missing for the real thing",
    ]
    return lines + [f"  {number}. {text}" for number, text in enumerate(found.missing, start=1)]


def _on_all_gpus(found: Expectations) -> list[str]:
    """What the hours of one GPU come to on all: a division, because only one was rehearsed."""
    if found.gpus < 2:
        return []
    training, test = (None if hours is None else hours / found.gpus for hours in (found.training_hours, found.test_hours))
    return [
        f"  all GPUs   at best {_time(training)} for the steps and {_time(test)} for the test split on {found.gpus} of them with "
        "`accelerate launch -m harness`; the hours above were measured on one and divided"
    ]


def _verdict(found: Expectations) -> str:
    if found.errors is None or found.warnings is None:
        return "none, there is no test split"
    names = ", ".join(printable(name) for name in found.predicted) or "no track"
    return (
        f"{found.rows:,} rows written, validated with {counted(found.errors, 'error')} and {counted(found.warnings, 'warning')}; "
        f"{names} scored, {found.imputed:,} rows filled"
    )


def _score(found: Expectations) -> str:
    if found.validation_f1 is None:
        return "not scored, there are no labels"
    return (
        f"text written, read back and scored: macro-F1 {number(found.validation_f1)}, mostly of filled rows, which says nothing"
    )


def _time(hours: float | None) -> str:
    if hours is None:
        return "unknown time"
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.1f} min"


def enumerated(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(printable(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
