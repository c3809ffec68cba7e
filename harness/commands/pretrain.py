"""`harness pretrain`: self-supervised pre-training of a backbone on crops."""

from __future__ import annotations

import click

from harness.commands.shared import next_steps
from harness.commands.shared.options import data_root_option, say, workers_option
from harness.commands.shared.sections import Verb
from harness.commands.shared.training import tracker_option
from harness.streams import show


@click.command("pretrain", cls=Verb)
@click.option("--method", default=None, help="contrawarping, byol, simclr, moco or mae. [default: contrawarping]")
@click.option("--backbone", default=None, help="Short for --set backbone=NAME. [default: res18; vit-b16 for mae]")
@data_root_option
@click.option("--challenge", default=None, metavar="NAME", help="Whose tracks. [default: what the data hold; of several EXPR]")
@click.option("--run", "run_name", default=None, help="Name of the run. [default: METHOD-BACKBONE]")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change one setting; may be repeated.")
@click.option("--list", "listing", is_flag=True, help="List the settings with their meaning.")
@click.option("--fresh", is_flag=True, help="Delete the run of this name and start over.")
@tracker_option
@workers_option
def command(
    method: str | None,
    backbone: str | None,
    data: str | None,
    challenge: str | None,
    run_name: str | None,
    changes: tuple[str, ...],
    listing: bool,
    fresh: bool,
    trackers: tuple[str, ...],
    workers: int | None,
) -> None:
    """Pre-train a backbone without labels, by default with ContraWarping on the crops of the train split.

    Writes runs/RUN/backbone.safetensors, which `harness train --weights` takes, and runs/RUN/views.png to look at. Resumes by
    itself. Labels are never learned from; the challenge says which tracks are in the train split.

    \b
    Example:
      harness pretrain --method contrawarping --backbone res50 --data /data/aff-wild2
    """
    from harness.challenge import EXPR
    from harness.commands.shared.options import challenge_of, find_data, split_changes, worker_count
    from harness.recipes import pretraining
    from harness.recipes.plugins import without_place
    from harness.recipes.settings import explain
    from harness.recipes.starting import train_options

    settings = split_changes(changes)
    for key, value in (("method", method), ("backbone", backbone)):
        if value is not None:
            settings[key] = value
    chosen = pretraining.load(settings)
    for key in sorted(chosen.without_effect(chosen.as_dict()) & settings.keys()):
        say(f"{chosen.method} has no {key}: it changes nothing")
    if listing:
        for key, value, meaning in explain(chosen):
            show(f"{key}: {value}\n    {meaning}")
        return
    from harness.data.scan import scan
    from harness.runs.store import path_of

    place = find_data(data)
    root = scan(place.path, crops=chosen.crops, challenge=challenge_of(place.path, challenge, of_several=EXPR))

    from harness.training.pretrain import pretrain

    default = f"{chosen.method}-{without_place(chosen.backbone).replace(':', '-')}"
    path = path_of(run_name or (f"demo-{default}" if place.embedded else default))
    done = pretrain(chosen, root, path, fresh=fresh, workers=worker_count(workers), say=say, trackers=trackers)
    if done.outcome.exit_code is not None:
        raise SystemExit(done.outcome.exit_code)
    say(f"pre-trained {done.outcome.step} steps; views to look at: {done.run.path / 'views.png'}")
    show(f"backbone: {done.backbone}")
    options = train_options(chosen.backbone, chosen.image_size, str(done.backbone))
    show(f"next: harness train {options}{next_steps.data_option(data)}")
