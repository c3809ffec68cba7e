"""`harness import`: foreign probabilities as runs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.shared.options import challenge_option, data_root_option, say
from harness.streams import show
from harness.words import counted, number, percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.data.tracks import DataRoot
    from harness.runs.foreign_columns import ForeignColumns
    from harness.runs.imports import ForeignScores
    from harness.runs.own_sample import OwnSample
    from harness.runs.resampling import Timing

MOST_NAMED = 5
TEXT_SUFFIXES = (".txt", ".zip", ".tar", ".tgz", ".gz")


@click.command("import")
@click.argument("file", type=click.Path())
@challenge_option
@click.option(
    "--classes",
    default=None,
    help="The classes in the file's order: names with commas, or EXPR, AffectNet, RAF-DB, FERPlus. [default: the challenge's]",
)
@click.option("--logits", is_flag=True, help="The columns of classes and units are logits, not probabilities.")
@click.option("--prefix", default="", help="Prefix of the names of the runs.")
@click.option("--fresh", is_flag=True, help="Replace the runs of these names.")
@click.option("--features", is_flag=True, help="The arrays are features for temporal models, of any width.")
@click.option(
    "--rate", type=float, default=None, help="With --features: vectors per second, where they are not one for each frame."
)
@click.option("--repeat", is_flag=True, help="With --rate: a frame takes the vector of its time, instead of one between two.")
@click.option("--fps", type=float, default=None, help="With --rate: frame rate of recordings whose rate is not known.")
@click.option("--sample", type=click.Path(path_type=Path), help="The official sample file, in the place of a data root.")
@click.option(
    "--rows", type=click.Path(path_type=Path), help="A CSV file with the columns track and rows, in the place of a data root."
)
@data_root_option
def command(
    file: str,
    challenge: str | None,
    classes: str | None,
    logits: bool,
    prefix: str,
    fresh: bool,
    features: bool,
    rate: float | None,
    repeat: bool,
    fps: float | None,
    sample: Path | None,
    rows: Path | None,
    data: str | None,
) -> None:
    """Make a run of each array of scores (N, columns) in a file that also says the `track` and `frame` (N,) of each row.

    That is an npz file, a structured npy file, or a CSV or Parquet table. EXPR has a column of probabilities for each class, VA
    valence and arousal from -1 to 1, AU a probability for each unit, MTL all of these 22 in this order. Class ids, whole numbers
    (N,), or a column `label` in a table, are votes. No crops are needed, and with --sample or --rows no data root.

    With --features the arrays (N, D) hold a vector for each track and frame: in an npz file, an HDF5 file, a structured npy file,
    or a folder of <track>.npy with row k for frame k. `harness train --features` learns from such runs.

    A submission of which only the text exists (its folder, its text file or an archive) becomes one run, in which every row votes
    for its class; `harness ensemble` of such runs is a majority vote.

    \b
    Examples:
      harness import outside_models.npz --classes AffectNet --data /data/aff-wild2
      harness import values.csv --challenge VA --data /data/aff-wild2
      harness import test_scores.npz --sample CVPR_5th_ABAW_EXPR_test_set_sample.txt
      harness import submissions/of-a-friend --data /data/aff-wild2
      harness import audio_vectors.npz --features --data /data/aff-wild2
      harness import segment_vectors.npz --features --rate 2.5 --data /data/aff-wild2
    """
    from harness.runs.foreign_columns import ForeignColumns, parse_classes

    path, timing = Path(file), _timing(rate, repeat, fps)
    if features:
        _import_features(path, prefix, fresh, _data_root(data, challenge, needs_images=True), timing)
        return
    root, own = _answered(data, challenge, sample, rows)
    if path.is_dir() or path.suffix in TEXT_SUFFIXES:
        _import_votes(path, prefix, fresh, root, own)
    else:
        columns = ForeignColumns(root.challenge, parse_classes(classes, root.challenge), logits)
        _import_scores(path, columns, prefix, fresh, root, own)


def _data_root(data: str | None, challenge: str | None, needs_images: bool) -> DataRoot:
    from harness.commands.shared.options import challenge_of, find_data
    from harness.data.scan import scan

    place = find_data(data).path
    return scan(place, challenge=challenge_of(place, challenge), needs_images=needs_images)


def _answered(
    data: str | None, challenge: str | None, sample: Path | None, rows: Path | None
) -> tuple[DataRoot, OwnSample | None]:
    """The tracks that are answered, and the sample file that stands for a data root where one is named."""
    from harness.challenge import EXPR, challenge_named
    from harness.errors import UsageError
    from harness.runs.own_sample import root_of_sample, sample_of_counts, sample_of_file
    from harness.submission.expected import from_table
    from harness.submission.reader import challenge_of

    named = [f"--{name}" for name, value in (("data", data), ("sample", sample), ("rows", rows)) if value is not None]
    if len(named) > 1:
        raise UsageError(
            "only one of these can say which rows are required", found=" and ".join(named), expected="--data, --sample or --rows"
        )
    if sample is not None:
        meant = challenge_named(challenge or challenge_of(sample) or EXPR.name)
        own, source = sample_of_file(sample, meant), sample
    elif rows is not None:
        meant = challenge_named(challenge or EXPR.name)
        own, source = sample_of_counts(dict(from_table(rows).numbers or {}), meant), rows
    else:
        return _data_root(data, challenge, needs_images=False), None
    return root_of_sample(own, meant, source), own


def _import_votes(path: Path, prefix: str, fresh: bool, root: DataRoot, own: OwnSample | None) -> None:
    from harness.commands.shared.next_steps import after_scoring
    from harness.selection.votes import import_votes

    name = path.name.removesuffix("".join(path.suffixes)) if path.is_file() else path.resolve().name
    run, split = import_votes(path, root, prefix + name, fresh, own)
    show(f"{run.name}: votes for every row of split {split}")
    show(f"next: harness ensemble {shlex.quote(run.name)} ANOTHER --union, or {after_scoring(run, split, root, None)}")


def _import_scores(path: Path, columns: ForeignColumns, prefix: str, fresh: bool, root: DataRoot, own: OwnSample | None) -> None:
    from harness.commands.shared.next_steps import after_scoring
    from harness.runs.imports import import_runs, longest_name, read_foreign

    most_rows = sum(max(track.rows, track.lines) for track in root.tracks)
    outside = read_foreign(path, columns, most_rows, longest_name(root))
    runs = import_runs(outside, root, prefix, fresh, _say_made, own)
    for note in outside.notes:
        say(f"note: {note}")
    _say_missing(outside.track, root, f"without any score in {path}, to be treated as without a face")
    for run, counts in runs:
        show(f"{run.name}: " + ", ".join(f"{split} {counted(count, 'frame')}" for split, count in counts.items()))
    _show_agreement(outside, root)
    first, counts = runs[0]
    show(f"next: {after_scoring(first, 'val' if 'val' in counts else next(iter(counts)), root, None)}")


def _say_made(name: str) -> None:
    """Of several runs that one file becomes, some may be there when the command is killed."""
    say(f"made the run {name}")


def _say_missing(tracks: NDArray[np.str_], root: DataRoot, words: str) -> None:
    """Says which tracks with images a file with rows of `tracks` (N,) has nothing of, though it has others of their split."""
    from harness.runs.imports import without_rows

    for split, missing in without_rows(tracks, root).items():
        shown = ", ".join(missing[:MOST_NAMED]) + ", ..." * (len(missing) > MOST_NAMED)
        say(f"warning: {counted(len(missing), 'track')} of {split} with images {words}: {shown}")


def _show_agreement(outside: ForeignScores, root: DataRoot) -> None:
    """Says how far the answers agree with labels; that alone can tell a wrong order of classes."""
    from harness.runs.agreement import agreements

    if not outside.columns.takes_ids:
        return
    for name, values in outside.arrays.items():
        for one in agreements(outside.track, outside.frame, values, outside.columns.classes, root):
            show(
                f"{name}: {percent(one.accuracy, 1)} of {one.frames:,} labelled frames of {one.split} are predicted as labelled, "
                f"mean recall {number(one.recall)}"
            )
            if one.better:
                say(
                    f"warning: the classes of {name} may be in another order: {one.better} "
                    f"the mean recall is {number(one.better_recall)}"
                )


def _timing(rate: float | None, repeat: bool, fps: float | None) -> Timing | None:
    from harness.errors import UsageError
    from harness.runs.resampling import Timing

    for name, value in (("--rate", rate), ("--fps", fps)):
        if value is not None and not 0 < value <= 1000:
            raise UsageError(f"{name} is not a rate per second", found=str(value), expected="above 0, at most 1000")
    if rate is None and (repeat or fps is not None):
        raise UsageError("--repeat and --fps put vectors of another rate in time", expected="--rate N as well")
    return None if rate is None else Timing(rate, repeat, fps)


def _import_features(path: Path, prefix: str, fresh: bool, root: DataRoot, timing: Timing | None) -> None:
    from harness.commands.shared.next_steps import after_features
    from harness.runs.feature_imports import import_features, open_features
    from harness.runs.imports import longest_name

    foreign = open_features(path, sum(track.rows for track in root.tracks), longest_name(root))
    runs = import_features(foreign, root, prefix, fresh, timing, _say_made)
    _say_missing(foreign.track, root, f"without any feature in {path}, which no model on features learns from or scores")
    if timing is not None:
        how = "repeated" if timing.repeat else "interpolated"
        say(f"vectors at {timing.rate:g} per second are {how} at the time of each frame")
    for run, counts in runs:
        show(f"{run.name}: features, " + ", ".join(f"{split} {counted(count, 'frame')}" for split, count in counts.items()))
    show(f"next: {after_features([run for run, _ in runs], root)}")
