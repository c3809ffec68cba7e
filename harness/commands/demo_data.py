"""`harness demo-data`: makes the embedded data set."""

from __future__ import annotations

from pathlib import Path

import click

from harness.streams import show


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("data/demo"), show_default=True, help="Folder to make.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of expressions, head, light and noise."
)
@click.option(
    "--videos", is_flag=True, help="Also write a film of every recording, most with a synthetic voice, for `harness audio`."
)
@click.option("--fresh", is_flag=True, help="Replace the data set that is there.")
def command(out: Path, seed: int, videos: bool, fresh: bool) -> None:
    """Make the embedded data set: 40 real faces moved through the eight expressions, in the official layout.

    It demonstrates and tests; it claims nothing about Aff-Wild2. The photographs are the ORL faces by AT&T Laboratories
    Cambridge. An unchanged data set is left as it is.

    \b
    Example:
      harness demo-data --out data/demo
    """
    from harness import files
    from harness.demo.dataset import make

    files.refuse_unwritable(out, folder=True)
    outcome = make(out, seed, fresh)
    show(f"{outcome.path}: {outcome.tracks} tracks, {outcome.images:,} images, {'made' if outcome.written else 'unchanged'}")
    if videos:
        _write_films(outcome.path, seed)
    show(f"test labels, for evaluation only: {outcome.path / 'test_labels'}")
    show("faces: ORL database, AT&T Laboratories Cambridge")
    show(f"next: harness train --recipe lite0-short --data {outcome.path}")


def _write_films(root: Path, seed: int) -> None:
    from harness.demo.dataset import cast
    from harness.demo.films import FOLDER, write_films
    from harness.demo.performance import perform

    count, written = write_films(root, perform(cast(), seed), seed)
    folder = root / FOLDER
    show(f"{folder}: {count} films, {'made' if written else 'unchanged'}")
    show(f"next, for their sound: harness audio {root} --videos {folder}")
