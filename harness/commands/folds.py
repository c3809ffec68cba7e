"""harness folds: cross-validation folds by recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.shared.options import data_option
from harness.streams import show, show_json

if TYPE_CHECKING:
    from harness.data.folds import Folds


@click.command()
@data_option
@click.option("--folds", "count", type=click.IntRange(min=2), default=5, show_default=True, help="Number of folds.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed draws other folds.")
@click.option("--from", "source", type=click.Path(), default=None, help="Check and store a team's own folds (JSON or CSV).")
@click.option("--output", type=click.Path(), default="folds.json", show_default=True, help="Where the folds are stored.")
@click.option("--fresh", is_flag=True, help="Replace a file with other folds.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def command(data: str | None, count: int, seed: int, source: str | None, output: str, fresh: bool, as_json: bool) -> None:
    """Divide training and validation tracks into folds.

    Both persons of a recording are in one fold. Each fold has its share of the labelled frames of every class, rare ones
    above all, and of the recordings that show it. The same data and seed give the same folds.

    \b
    Example:
      harness folds --data /data/aff-wild2 --folds 5 --output folds.json
    \b
    A team's own folds, as a table with the columns recording (or track) and fold:
      harness folds --data /data/aff-wild2 --from our_folds.csv --output folds.json
    """
    from harness import files
    from harness.commands.shared.options import find_data
    from harness.data import folds as room
    from harness.data.scan import scan

    files.refuse_unwritable(output)
    tracks = room.fold_tracks(scan(find_data(data).path, crops=None))
    folds = room.make_folds(tracks, count, seed) if source is None else room.read_folds(source, tracks)
    _store(Path(output), folds, fresh)
    table = room.summary(folds, tracks)
    if as_json:
        show_json(files.json_text({"folds": table, "seed": folds.seed}))
        return
    show(_table(table))
    show(f"\nstored in {output}; train on all but the first: harness train --folds {output} --fold 0")


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


def _table(rows: list[dict[str, object]]) -> str:
    from harness.challenge import EXPR

    names = [name[:9] for name in EXPR.class_names]
    lines = ["fold  recordings  tracks      rows  " + "".join(f"{name:>15}" for name in names)]
    for row in rows:
        frames, recordings = row["frames"], row["recordings_of_class"]
        assert isinstance(frames, list)
        assert isinstance(recordings, list)
        cells = "".join(f"{f'{number:,} in {seen}':>15}" for number, seen in zip(frames, recordings, strict=True))
        lines.append(f"{row['fold']:>4}  {row['recordings']:>10}  {row['tracks']:>6}  {row['rows']:>8,}  {cells}")
    lines.append("Of each class: labelled frames in how many recordings.")
    return "\n".join(lines)
