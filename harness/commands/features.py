"""`harness features`: stores a backbone's features of every frame, for temporal models."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from harness.commands.shared import completion
from harness.commands.shared.options import data_option, is_main_process, say, scoring_options, worker_count
from harness.commands.shared.sections import Verb
from harness.streams import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.data.tracks import DataRoot
    from harness.inference.settings import Scoring
    from harness.runs.store import Run


@click.command("features", cls=Verb)
@click.argument("run_name", metavar="RUN", shell_complete=completion.runs)
@click.option(
    "--split", "splits", multiple=True, help="train, val or test; may be repeated. [default: all that the data root has]"
)
@data_option
@click.option("--challenge", default=None, metavar="NAME", help="Whose tracks: EXPR, VA, AU, MTL or CE. [default: the run's own]")
@click.option("--half", is_flag=True, help="Store half precision: half the disk, three digits.")
@scoring_options
@click.option("--flip", is_flag=True, help="Also store those of mirrored images, which a temporal model's --flip needs.")
def command(
    run_name: str,
    splits: tuple[str, ...],
    data: str | None,
    challenge: str | None,
    half: bool,
    scoring: Scoring,
    flip: bool,
) -> None:
    """Store the pooled features of the backbone of RUN, of every seen frame, as runs/RUN/features/SPLIT/TRACK.npz.

    Tracks that are done are kept when the command is interrupted and run again; features of another checkpoint, other settings or
    changed images are made anew, unchanged ones cost nothing. Challenges share recordings but not splits: --challenge VA stores
    those of the tracks of VA, for models of VA on the features of a network that learned something else.

    \b
    Example:
      harness features res50-a --data /data/aff-wild2
      harness features dinov2 --challenge VA --half --data /data/aff-wild2
      harness train --recipe temporal-transformer --features res50-a
    """
    from harness.commands.shared.next_steps import after_features
    from harness.commands.shared.submitting import root_of
    from harness.data.tracks import SPLITS
    from harness.runs import store

    run = store.find(run_name)
    root = root_of(run, data, challenge=challenge)
    asked = replace(scoring, half=half, workers=worker_count(scoring.workers))
    complete = _store(run, root, splits or [name for name in SPLITS if root.members(name)], asked, flip)
    if not is_main_process():
        return
    if not complete:
        say("the features are not complete yet: run the other shards")
        show(f"next: the same command for the other shards, --shard I/{scoring.shard.partition('/')[2]}")
        return
    show(f"next: {after_features([run], root)}")


def _store(run: Run, root: DataRoot, splits: Sequence[str], scoring: Scoring, flip: bool) -> bool:
    """Makes the features of each split, with `flip` of mirrored images as well; returns whether all are complete."""
    from harness.inference.predict import predict
    from harness.runs.features import other_challenge, place_of
    from harness.runs.scores import FEATURES

    tracks_of = other_challenge(run, root.challenge.name)
    complete = True
    for split in splits:
        for mirrored in (False, True) if flip else (False,):
            asked = replace(scoring, flip=mirrored)
            complete &= predict(run, root, place_of(split, tracks_of), asked, say, root.split(split), FEATURES).complete
    return complete
