"""harness folds: cross-validation folds by recording."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.shared.options import challenge_option, data_root_option
from harness.streams import show, show_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.data.folds import Folds


_COUNTS = (("fold", "fold"), ("recordings", "recordings"), ("tracks", "tracks"), ("rows", "rows"))


@click.command()
@data_root_option
@challenge_option
@click.option("--folds", "count", type=click.IntRange(min=2), default=5, show_default=True, help="Number of folds.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed draws other folds.")
@click.option("--from", "source", type=click.Path(), default=None, help="Check and store a team's own folds (JSON or CSV).")
@click.option("--output", type=click.Path(), default="folds.json", show_default=True, help="Where the folds are stored.")
@click.option("--fresh", is_flag=True, help="Replace a file with other folds.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def command(
    data: str | None,
    challenge: str | None,
    count: int,
    seed: int,
    source: str | None,
    output: str,
    fresh: bool,
    as_json: bool,
) -> None:
    """Divide training and validation tracks into folds.

    Both persons of a recording are in one fold. Each fold has its share of the labelled frames of every class, of every unit and
    of every fifth of a value's range, rare ones above all, and of the recordings that show it. The same data and seed give the
    same folds.

    \b
    Example:
      harness folds --data /data/aff-wild2 --challenge VA --folds 5 --output folds.json
    \b
    A team's own folds, as a table with the columns recording (or track) and fold:
      harness folds --data /data/aff-wild2 --from our_folds.csv --output folds.json
    """
    from harness import files
    from harness.commands.shared.next_steps import default_training
    from harness.commands.shared.options import challenge_of, find_data
    from harness.data import folds as room
    from harness.data.scan import scan
    from harness.kinds.parts import parts_of

    files.refuse_unwritable(output)
    path = find_data(data).path
    chosen = challenge_of(path, challenge)
    root = scan(path, crops=None, challenge=chosen)
    tracks = room.fold_tracks(root)
    folds = room.make_folds(tracks, count, seed, chosen) if source is None else room.read_folds(source, tracks)
    _store(Path(output), folds, fresh)
    table = room.summary(folds, tracks, chosen)
    if as_json:
        show_json(files.json_text({"folds": table, "seed": folds.seed}))
        return
    show(_table(table, parts_of(chosen).strata))
    show(f"\nstored: {output}; its first fold is left to validate on")
    show(f"next: {default_training(root, str(path), f' --folds {shlex.quote(output)} --fold 0')}")


def _store(path: Path, folds: Folds, fresh: bool) -> None:
    from harness import files
    from harness.data.folds import folds_text, write_folds
    from harness.errors import MismatchError

    if path.exists() and not fresh and files.sha256(path) != files.sha256_of_bytes(folds_text(folds).encode("utf-8")):
        raise MismatchError(
            "there are other folds under this name",
            path=path,
            remedy="choose another --output, or replace them with --fresh; runs on other folds cannot be compared",
        )
    write_folds(path, folds)


def _table(rows: list[dict[str, object]], strata: Sequence[str]) -> str:
    """A column for each fold, a line for each stratum."""
    width = max(map(len, strata))
    lines = [f"{title:<{width}}" + "".join(f"{row[key]:>18,}" for row in rows) for title, key in _COUNTS]
    for place, name in enumerate(strata):
        lines.append(f"{name:<{width}}" + "".join(f"{_cell(row, place):>18}" for row in rows))
    lines.append("For each class, unit or part of a range: labelled frames, and in how many recordings.")
    return "\n".join(lines)


def _cell(row: dict[str, object], place: int) -> str:
    frames, recordings = row["frames"], row["recordings_of_class"]
    assert isinstance(frames, list)
    assert isinstance(recordings, list)
    return f"{frames[place]:,} in {recordings[place]}"
