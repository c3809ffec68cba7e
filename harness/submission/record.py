"""submission.json: what a submission was made from, which rows it has, and the sha256 of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.challenge import Format, format_of
from harness.data.sample import MOST_ROWS, MOST_TRACKS, Rows
from harness.errors import DataError, UsageError

RECORD_NAME = "submission.json"
TRACKS_FOLDER = "tracks"
MERGED_NAME = "predictions.txt"
# Raised when a key changes its name or meaning.
RECORD_VERSION = 1
# Of the test split, with the frames of each track in words, it has less than a megabyte; parsed, text may grow twentyfold.
LARGEST_RECORD = 16 * 1024 * 1024


@dataclass(frozen=True, eq=False)
class Record:
    """What submission.json says.

    Attributes
    ----------
    format : challenge and edition.
    rows : (track, rows) in the order of the merged file.
    frames : all rows of the merged file in order; None where the record does not say them.
    header : the merged file's header as bytes where it is not that of the edition, else None.
    files : sha256 in hexadecimal by path within the submission.
    runs : names of the runs it was made from.
    split : the split it answers.
    demonstration : what makes it one that is never sent, in words; "" if nothing does.
    content : everything, as it stands in the file.
    """

    format: Format
    rows: tuple[tuple[str, int], ...]
    frames: Rows | None
    header: bytes | None
    files: Mapping[str, str]
    runs: tuple[str, ...]
    split: str
    demonstration: str
    content: Mapping[str, Any]


def record_content(form: Format, rows: Rows, header: bytes, sha256: Mapping[str, str], more: Mapping[str, Any]) -> dict[str, Any]:
    """The content of submission.json; `more` (runs, weights, post-processing, ...) may not name a key of its own.

    The frames are named where they do not follow from the numbers of rows, and the `header` where it is not that of the edition.
    Raises ValueError if `more` names a key of the record.
    """
    own = {
        "version": RECORD_VERSION,
        "challenge": form.challenge.name,
        "edition": form.edition,
        "rows": [[name, count] for name, count in rows.counts.items()],
        "files": dict(sha256),
    }
    if form.layout == "single":
        if not (form.every_frame and rows.without_gaps):
            own["frames"] = [list(stretch) for stretch in rows.spans()]
        if header != form.header.encode():
            # A byte is a character, so that any header can stand in a JSON text.
            own["header"] = header.decode("latin-1")
    if clash := own.keys() & more.keys():
        raise ValueError(f"the record already has {', '.join(sorted(clash))}")
    return {**own, **more}


def parse_record(data: bytes, path: str) -> Record:
    """Reads submission.json. Raises DataError if it is not one this program wrote, whatever stands in it."""
    try:
        content = json.loads(data.decode("utf-8"))
        if content["version"] != RECORD_VERSION:
            raise ValueError(f"version {content['version']!r}")
        form = format_of(content["challenge"], content["edition"])
        rows = tuple((name, count) for name, count in content["rows"])
        files = content["files"]
        if not all(isinstance(name, str) and type(count) is int and 0 <= count < 10**7 for name, count in rows):
            raise ValueError("rows")
        if sum(count for _, count in rows) > MOST_ROWS:
            raise ValueError(f"more than {MOST_ROWS:,} rows")
        frames = None if "frames" not in content else Rows.from_spans((name, text) for name, text in content["frames"])
        if frames is not None and tuple(frames.counts.items()) != rows:
            raise ValueError("rows and frames differ")
        header = None if "header" not in content else content["header"].encode("latin-1")
        if not all(isinstance(name, str) and isinstance(digest, str) for name, digest in files.items()):
            raise ValueError("files")
        if len({name for name, _ in rows}) != len(rows) or len(rows) > MOST_TRACKS:
            raise ValueError("a track occurs twice, or there are too many")
        runs, split = tuple(run["name"] for run in content.get("runs", ())), content.get("split", "test")
        demonstration = "as a dress rehearsal" if content.get("rehearsal") is True else ""
        if content.get("embedded") is True or _is_embedded(content.get("runs")):
            demonstration = "on the embedded data set"
        if not all(isinstance(name, str) for name in (*runs, split)):
            raise ValueError("runs or split")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UsageError) as error:
        raise DataError(
            "not a submission's record",
            path=path,
            found=f"{type(error).__name__}: {error}"[:200],
            expected=f"the {RECORD_NAME} this program wrote",
            remedy="write the submission again, or remove the file and name the sample with --sample",
        ) from error
    return Record(form, rows, frames, header, files, runs, split, demonstration, content)


def _is_embedded(made_from: Any) -> bool:
    """Whether anything that an answer was made from, or that this was made from, says that it is of the embedded data set."""
    if isinstance(made_from, Mapping):
        return made_from.get("embedded") is True or any(map(_is_embedded, made_from.values()))
    return isinstance(made_from, list) and any(map(_is_embedded, made_from))
