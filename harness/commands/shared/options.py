"""Options that several verbs share, and the one line in which a command says which data it takes."""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.shared.sections import PostprocessingOption, RareOption
from harness.data.tracks import EMBEDDED_MANIFEST
from harness.errors import DataError, UsageError, near_names
from harness.runs.store import TUNED
from harness.streams import tell

if TYPE_CHECKING:
    from harness.challenge import Challenge
    from harness.data.tracks import DataRoot
    from harness.kinds.part import ByHand
    from harness.postprocess.chain import PostProcessing
    from harness.runs.store import Run

EMBEDDED = Path("data/demo")
"""Where `harness demo-data` puts the embedded data set."""

FEW_CORES = 2
"""So many cores a network on the CPU keeps busy by itself."""

BATCH = click.IntRange(min=1, max=65_536)
"""Images or windows of a forward pass; the last one of a split is filled up to as many."""
MOST_WORKERS = 1024

DATA_VARIABLE = "HARNESS_DATA"

BY_HAND: Mapping[ByHand, str] = {
    "class_bias": "Added to the log probabilities of classes: Fear=0.5,Other=-0.3.",
    "threshold": "Probability above which units are active: 0.4, or AU1=0.3,AU15=0.2.",
    "scale": "Multiplies values: 1.2, or valence=1.3,arousal=1.1.",
    "shift": "Added to values after that: valence=0.05.",
}
"""What adjusts answers by hand -> its help."""

SCORING = ("checkpoint", "precision", "batch", "stride", "shard", "workers", "strict", "verify")
"""Options that are one value, `Scoring`, in a verb."""


def data_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """--data DIR of a verb about a run, which knows its data root."""
    return click.option(
        "--data", type=click.Path(), default=None, help=f"Data root. [default: the run's, then ${DATA_VARIABLE}, then {EMBEDDED}]"
    )(function)


def data_root_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """--data DIR of a verb that has no run whose data root it could take."""
    return click.option(
        "--data", type=click.Path(), default=None, help=f"Data root. [default: ${DATA_VARIABLE}, then {EMBEDDED}]"
    )(function)


def challenge_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """--challenge NAME."""
    return click.option(
        "--challenge", default=None, metavar="NAME", help="EXPR, VA, AU, MTL or CE. [default: the one the data root holds]"
    )(function)


def challenge_of(path: Path, asked: str | None, of_several: Challenge | None = None) -> Challenge:
    """The challenge that is meant with a data root: the one asked for, else the only one of which it holds anything.

    A root that holds nothing of any has crops alone, and is taken for EXPR. Of several that it holds `of_several` is meant where
    it is one of them. Raises UsageError for a name that is none, and for a root that holds several where that decides nothing.
    """
    from harness.challenge import EXPR, challenge_named
    from harness.data.scan import challenges_held

    if asked is not None:
        return challenge_named(asked)
    held = sorted(challenges_held(path))
    if of_several is not None and of_several.name in held:
        return of_several
    if len(held) > 1:
        found = f"{path} holds {', '.join(held[:-1])} and {held[-1]}"
        raise UsageError("which challenge is meant?", found=found, expected=f"--challenge {' or '.join(held)}")
    return challenge_named(held[0]) if held else EXPR


def refuse_without_expressions(root: DataRoot, verb: str) -> None:
    """For a verb that is about expressions: raises DataError where a data root has annotations of other challenges alone."""
    from harness.challenge import EXPR
    from harness.data.scan import challenges_held

    others = sorted(challenges_held(root.path) - {EXPR.name})
    if others and all(track.labels is None for track in root.tracks):
        raise DataError(
            f"`harness {verb}` is about expressions, and this data root has no annotations of them",
            path=root.path,
            found=f"annotations of {', '.join(others)}",
            remedy="name a data root with expressions: --data DIR",
        )


def workers_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """--workers N."""
    return click.option(
        "--workers",
        cls=RareOption,
        type=click.IntRange(min=0, max=MOST_WORKERS),
        default=None,
        help="Processes that decode images; changes no result. [default: by cores]",
    )(function)


def edition_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """--edition N of a submission; one that no challenge has is refused before anything is done."""

    def known(context: click.Context, parameter: click.Parameter, edition: int | None) -> int | None:
        from harness.challenge import FORMATS
        from harness.errors import UsageError

        editions = sorted({form.edition for form in FORMATS})
        if edition is not None and edition not in editions:
            raise UsageError(f"there is no edition {edition}", expected=f"one of {', '.join(map(str, editions))}")
        return edition

    return click.option(
        "--edition",
        cls=RareOption,
        type=int,
        default=None,
        callback=known,
        help="Edition whose submission format is written. [default: 5 for EXPR, else the newest that held the challenge]",
    )(function)


def scoring_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """How a checkpoint's numbers of a split are made: the verb gets one value, `scoring`."""

    @functools.wraps(function)
    def command(*arguments: Any, **values: Any) -> Any:
        from harness.inference.settings import Scoring

        scoring = Scoring(**{name: values.pop(name) for name in SCORING})
        return function(*arguments, scoring=scoring, **values)

    options: list[Callable[..., Any]] = [
        click.option("--checkpoint", default="last", show_default=True, help="last or best."),
        click.option(
            "--precision",
            cls=RareOption,
            type=click.Choice(["fp32", "bf16", "fp16"]),
            default=None,
            help="Precision of the forward pass. [default: the run's]",
        ),
        click.option(
            "--batch",
            type=BATCH,
            default=None,
            help="Images per forward pass, or windows of a temporal model. [default: 64 images, 16 windows]",
        ),
        click.option(
            "--stride",
            cls=RareOption,
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Score every N-th frame, interpolate the others.",
        ),
        click.option(
            "--shard",
            cls=RareOption,
            default="1/1",
            show_default=True,
            help="Score part i of n, e.g. 2/4; the last part to end finishes the split.",
        ),
        workers_option,
        click.option(
            "--strict", cls=RareOption, is_flag=True, help="Refuse an image that cannot be read instead of counting it missing."
        ),
        click.option(
            "--verify", cls=RareOption, is_flag=True, help="Compare the bytes of all images with those that were scored."
        ),
    ]
    for decorate in reversed(options):
        command = decorate(command)
    return command


def worker_count(asked: int | None) -> int:
    """The number of decoding processes: what was asked for, else cores less one, at most 8; none on two cores without a GPU.

    There a process that decodes takes more from the threads of the network, which wait for one another, than decoding costs.
    """
    if asked is not None:
        return asked
    import torch

    cores = len(os.sched_getaffinity(0))
    return min(8, cores - 1) if cores > FEW_CORES or torch.cuda.is_available() else 0


@dataclass(frozen=True)
class DataPlace:
    """A data root, and whether it is the embedded set."""

    path: Path
    embedded: bool


def find_data(asked: str | None, recorded: str | None = None) -> DataPlace:
    """The data root: --data, then the run's own, then HARNESS_DATA, then the embedded set. Says in one line which and why.

    Raises DataError if the folder is not there.
    """
    candidates = [
        (asked, "--data"),
        (recorded, "the run's manifest"),
        (os.environ.get(DATA_VARIABLE), DATA_VARIABLE),
        (str(EMBEDDED), "the embedded set"),
    ]
    text, reason = next((text, reason) for text, reason in candidates if text)
    path = Path(text)
    if not path.is_dir():
        remedy = "make it with `harness demo-data`, or name the data with --data DIR" if path == EMBEDDED else "check the path"
        if text == recorded and reason != "--data":
            remedy = "name the folder in which the data lie now with --data DIR"
        raise DataError("no such data root", path=path, found=f"named by {reason}", remedy=remedy)
    embedded = (path / EMBEDDED_MANIFEST).is_file()
    say(f"data: {path} (from {reason})")
    return DataPlace(path, embedded)


def split_changes(changes: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` texts as a dictionary. Raises UsageError for one without a sign of equality."""
    values = {}
    for change in changes:
        key, sign, value = change.partition("=")
        if not sign or not key:
            raise UsageError("--set wants KEY=VALUE", found=change, remedy="for example --set iterations=100")
        values[key.strip()] = value.strip()
    return values


def is_main_process() -> bool:
    """Whether this is the one process of a launch that speaks and writes what all of them made."""
    return os.environ.get("RANK", "0") == "0"


def say(line: str) -> None:
    """One line of progress, to standard error, past any progress bar; only the main process of a launch speaks."""
    if is_main_process():
        from tqdm import tqdm

        from harness.findings import printable_lines

        with tqdm.external_write_mode(file=sys.stderr):
            tell(printable_lines(line))


class FrameRate(click.ParamType):
    """A number of frames per second."""

    name = "float"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        """The number. Raises UsageError for what is none, or not above 0."""
        try:
            rate = float(value)
        except ValueError:
            rate = math.nan
        if not (math.isfinite(rate) and rate > 0):
            raise UsageError("a frame rate must be a positive number", found=f"--fps {value}", expected="for example --fps 30")
        return rate


def frame_rate_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """--fps RATE."""
    return click.option(
        "--fps",
        cls=PostprocessingOption,
        type=FrameRate(),
        default=None,
        help="Frame rate of recordings whose rate is not known. [default: as when tuned]",
    )(function)


class OfParts(click.ParamType):
    """A setting of all parts of a challenge, `0.8`, or of some by name, `valence=3.3,units=0.5`: a value, or a dictionary."""

    name = "value"

    def __init__(self, kind: type[float] | type[str]) -> None:
        self.kind = kind

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """The value or the dictionary. Raises UsageError for what is neither."""
        if not isinstance(value, str):
            return value
        try:
            if "=" not in value:
                return self.kind(value)
            return {name.strip(): self.kind(own) for name, own in (entry.split("=") for entry in value.split(","))}
        except ValueError as error:
            raise UsageError(
                "a setting is a value, or has values for parts of the challenge",
                found=value,
                expected="for example 0.8, or valence=3.3,units=0.5",
            ) from error


def postprocessing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of post-processing; what is not given is the run's tuned setting, then the default."""
    options: list[Callable[..., Any]] = [
        click.option(
            "--fill",
            cls=PostprocessingOption,
            default=None,
            help="Interpolation of missing frames: linear, nearest or hold. [default: linear]",
        ),
        click.option(
            "--smooth",
            "seconds",
            cls=PostprocessingOption,
            type=OfParts(float),
            default=None,
            help="Half-width of smoothing in seconds; 0 is off. Of some parts: valence=3.3,units=0.5. [default: 1.67]",
        ),
        click.option(
            "--kernel",
            cls=PostprocessingOption,
            type=OfParts(str),
            default=None,
            help="Smoothing kernel: mean, gaussian or median. [default: mean]",
        ),
        click.option(
            "--temperature", cls=PostprocessingOption, type=OfParts(float), default=None, help="Divides the logits. [default: 1]"
        ),
        *(
            click.option(
                f"--{name.replace('_', '-')}",
                cls=PostprocessingOption,
                type=OfParts(float),
                default=None,
                help=f"{words} [default: as when tuned]",
            )
            for name, words in BY_HAND.items()
        ),
        click.option(
            "--flip/--no-flip",
            cls=PostprocessingOption,
            default=None,
            help="Test-time augmentation: average in the scores of mirrored images.",
        ),
        frame_rate_option,
        click.option(
            "--untuned",
            cls=PostprocessingOption,
            is_flag=True,
            help="Ignore the settings that `harness tune` or `--fit` stored with the run.",
        ),
    ]
    for decorate in reversed(options):
        function = decorate(function)
    return function


def make_postprocessing(values: Mapping[str, Any], run: Run) -> tuple[PostProcessing, float | None]:
    """Post-processing and the frame rate of tracks without one: from the options, then the run's own, then the defaults."""
    from harness.selection.stored import say_tuned_on_others, stored_settings

    stored = stored_settings(run, values.get("untuned", False))
    if stored.split is not None:
        say(f"post-processing: tuned settings of {run.path / TUNED}, options aside")
    if stored.stale:
        say(f"warning: {say_tuned_on_others(run)}")
    rate = values["fps"] if values["fps"] is not None else stored.frame_rate
    return with_given(stored.settings, values, run), rate


def with_given(settings: PostProcessing, values: Mapping[str, Any], run: Run) -> PostProcessing:
    """Settings with what the options name instead, for all parts of the run's challenge or for some of them.

    Raises UsageError for a part or column that the challenge does not have, and as PostProcessing does.
    """
    from harness.postprocess.chain import for_parts, together
    from harness.rows.predictions import parts_of_run

    given, bias = given_settings(values), settings.bias
    for setting in BY_HAND:
        if setting in given:
            bias = parts_of_run(run).adjusted(bias, setting, given.pop(setting))
    for key, several in given.items():
        if isinstance(several, Mapping):
            parts = parts_of_run(run)
            own = dict(zip(parts.names, for_parts(getattr(settings, key), len(parts.placed)), strict=True))
            for name in several:
                if name not in own:
                    raise UsageError(
                        f"{parts.challenge.name} has no part {name!r} to post-process", expected=near_names(name, list(own))
                    )
            given[key] = together([*{**own, **several}.values()])
    return replace(settings, **given, bias=bias)


def given_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """The post-processing that the options themselves name."""
    return {key: value for key, value in values.items() if key not in ("fps", "untuned") and value is not None}
