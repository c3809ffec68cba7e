"""Changes to stored scores that scores.json agrees with: what is wrong then is wrong in the scores themselves."""

from __future__ import annotations

from harness import files
from harness.runs import scores
from harness.runs.store import Run


def record_as_it_is(run: Run, split: str, track: str) -> None:
    """Notes in scores.json the sha256 that a track's file has now."""
    index = scores.directory(run, split) / "scores.json"
    value = files.read_json(index)
    for entry in value["tracks"]:
        if entry["track"] == track:
            entry["scores"] = files.sha256(scores.directory(run, split) / f"{track}.npz")
    files.write_json(index, value)
