"""`harness rehearse`: a dress rehearsal of training, prediction and submission in minutes."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from pathlib import Path

import click

from harness.commands.shared.options import edition_option, say, workers_option
from harness.commands.shared.sections import Verb
from harness.commands.shared.training import recipe_options
from harness.streams import show, show_json


@click.command("rehearse", cls=Verb)
@recipe_options
@click.option("--iterations", type=click.IntRange(min=2), default=20, show_default=True, help="Training steps, if time allows.")
@edition_option
@click.option("--keep", type=click.Path(path_type=Path), default=None, help="Keep run and submissions in this folder.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@workers_option
def command(
    recipe_name: str | None,
    data: str | None,
    changes: tuple[str, ...],
    seed: int | None,
    weights: str | None,
    from_scratch: bool,
    iterations: int,
    edition: int | None,
    keep: Path | None,
    as_json: bool,
    workers: int | None,
) -> None:
    """Rehearse the competition on this machine: a few steps, two test tracks, the full-size file, validated.

    Says how many hours, how much memory and disk the real thing will take, and what is missing for it. Takes at most five minutes
    beside the scan of the data. Its submissions cannot be packed for sending.

    \b
    Example:
      harness rehearse --recipe res50 --data /data/aff-wild2
    """
    from harness import files
    from harness.commands.shared.next_steps import weights_option
    from harness.commands.shared.options import worker_count
    from harness.commands.shared.training import chosen_recipe
    from harness.errors import EXIT_FINDINGS

    _refuse_several_processes()
    _refuse_unusable(keep)
    chosen = chosen_recipe(recipe_name, data, changes, seed, weights)

    from harness.studies.expectations import describe
    from harness.studies.rehearsal import rehearse

    with contextlib.ExitStack() as stack:
        place = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harness-rehearsal-")))
        found = rehearse(
            chosen.recipe,
            chosen.root,
            place,
            iterations=iterations,
            edition=edition,
            from_scratch=from_scratch,
            workers=worker_count(workers),
            say=say,
        )
    if as_json:
        show_json(files.json_text(found.as_dict()))
    else:
        show("\n".join(["", *describe(found), ""]))
        if keep is not None:
            show(f"kept: {keep}")
        show(f"the rehearsal took {found.seconds:.0f} s")
        recipe = recipe_name or chosen.name.removeprefix("demo-")
        words = _training_with(recipe, str(chosen.root.path), changes, seed, weights, from_scratch)
        weights_missing = not from_scratch and weights_option(chosen.recipe)
        show(f"next: {shlex.join(words)}{weights_missing or ''}")
    if found.errors:
        raise SystemExit(EXIT_FINDINGS)


def _refuse_several_processes() -> None:
    from harness.errors import UsageError

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "a rehearsal runs in one process",
            remedy="run it without `accelerate launch`; it measures one GPU and says what the hours are on all of them",
        )


def _refuse_unusable(keep: Path | None) -> None:
    """Raises UsageError if the folder to keep the rehearsal in is not a new one, DataError if it cannot be written."""
    from harness import files
    from harness.errors import UsageError

    if keep is None:
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise UsageError("the folder to keep the rehearsal in is not empty", found=str(keep), expected="a new folder")
    files.refuse_unwritable(keep, folder=True)


def _training_with(
    recipe: str, data: str, changes: tuple[str, ...], seed: int | None, weights: str | None, from_scratch: bool
) -> list[str]:
    """The words of the training that was rehearsed."""
    words = ["harness", "train", "--recipe", recipe, "--data", data]
    words += [word for change in changes for word in ("--set", change)]
    words += [] if seed is None else ["--seed", str(seed)]
    words += [] if weights is None else ["--weights", weights]
    return words + ["--from-scratch"] * from_scratch
