"""What changed from one submission's text to another: what `harness compare` shows of texts that no labels fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.streams import show, show_json


def are_texts(names: Sequence[str]) -> bool:
    """Whether all of these are paths of submissions rather than runs."""
    from harness.runs import store

    return all(
        Path(name).exists() and not any((place / "run.json").is_file() for place in (store.RUNS / name, Path(name)))
        for name in names
    )


def labels_fit(names: Sequence[str], split: str, data: str | None, challenge: str | None) -> bool:
    """Whether the labels of a split are for the tracks of these texts, as far as their records or the data root at hand tell."""
    return all(_is_of_split(Path(name), split, data, challenge) for name in names)


def _is_of_split(path: Path, split: str, data: str | None, challenge: str | None) -> bool:
    from harness.challenge import EXPR, challenge_named
    from harness.commands.shared.options import find_data
    from harness.data.scan import scan
    from harness.errors import DataError
    from harness.submission.checks import check
    from harness.submission.source import record_beside

    verdict = check(path, None, challenge)
    record = verdict.record or record_beside(path)
    if record is not None:
        return record.split == split
    try:
        place = find_data(data).path
    except DataError:
        if data is not None:
            raise
        return False
    form = EXPR if verdict.form is None else verdict.form.challenge
    root = scan(place, crops=None, challenge=challenge_named(challenge or form.name))
    return set(verdict.values) <= {track.name for track in root.members(split)}


def show_changes(names: Sequence[str], challenge: str | None, edition: int | None, shown: int, as_json: bool) -> None:
    """Prints the share of rows that differ between two texts, by track and pair of classes, and the runs of rows they form.

    Raises UsageError unless there are two, MismatchError if they have other tracks or rows.
    """
    from harness.errors import UsageError
    from harness.files import json_text
    from harness.sending.difference import describe, difference
    from harness.submission.reader import read

    if len(names) != 2:
        raise UsageError("what changed is told of two texts", found=f"{len(names)}", expected="harness compare A B --changes")
    first, second = map(Path, names)
    result = difference(read(first, None, challenge, edition), read(second, None, challenge, edition))
    if as_json:
        show_json(json_text({"schema": 1, "command": "diff", "a": str(first), "b": str(second), **result.as_dict()}))
        return
    show(f"{result.challenge.name}: A = {first}, B = {second}")
    for line in describe(result, shown):
        show(line)
    if result.differing:
        show(f"\nnext: harness inspect {second} {result.tracks[0][0]}")
