"""The post-processing a run comes with: what tuning stored beside it, else what its kind asks for, else the defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness import files
from harness.errors import DataError
from harness.postprocess.chain import PostProcessing
from harness.runs import scores
from harness.runs.store import TUNED, Run

# What an ensemble takes over from its members; all else is either averaged in or chosen for the ensemble itself.
SHARED = ("fill", "seconds", "kernel", "confident")


@dataclass(frozen=True)
class StoredSettings:
    """Settings of a run as plain values, those alone that differ from the defaults if nothing was tuned.

    Attributes
    ----------
    values : keys of PostProcessing.
    frame_rate : what tracks of unknown frame rate were taken for when the settings were tuned.
    split : whose labels they were tuned on; None if they were not.
    stale : whether they were tuned on other scores of that split than the run has now.
    """

    values: dict[str, Any]
    frame_rate: float | None = None
    split: str | None = None
    stale: bool = False

    @property
    def settings(self) -> PostProcessing:
        """As post-processing."""
        return PostProcessing.from_dict(self.values)


def stored_settings(run: Run, untuned: bool = False) -> StoredSettings:
    """The settings a run comes with; `untuned` leaves out what was tuned. Raises DataError if tuned.json is none."""
    place = run.path / TUNED
    if untuned or not place.is_file():
        manifest = run.manifest
        return StoredSettings(manifest.get("postprocessing", {}), manifest.get("frame_rate"))
    content = files.read_json(place)
    try:
        values, split = dict(content["postprocessing"]), content.get("split")
        return StoredSettings(values, content.get("frame_rate"), split, tuned_on_others(run, content))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError("not the settings that `harness tune` stores", path=place, remedy=f"`harness tune {run.name}`") from error


def tuned_on_others(run: Run, tuned: Mapping[str, Any]) -> bool:
    """Whether a run has other scores now than those its tuned.json was chosen on; False where either is not known.

    tuned.json names the scores of the run itself by one sha256, those that an ensemble was fitted to by one for each member.
    """
    told, split = tuned.get("scores"), tuned.get("split")
    if isinstance(told, Mapping):
        members = [member for member in run.manifest.get("members", []) if isinstance(member, Mapping)]
        now = {member.get("run"): member.get("scores", {}).get(split) for member in members}
        return any(now.get(name, digest) not in (digest, None) for name, digest in told.items())
    return isinstance(told, str) and split in run.splits() and scores.index_digest(run, split) != told


def say_tuned_on_others(run: Run) -> str:
    """What is said where `tuned_on_others` holds, and what to do."""
    return f"the post-processing was tuned on other scores than these; `harness tune {run.name}` again"


def shared_settings(runs: Sequence[Run], untuned: bool) -> StoredSettings:
    """How an ensemble of `runs` is filled and smoothed by default: as the run with the middle half-width, the shorter of two.

    Averaged votes are not smoothed unless that was tuned, for a majority is what the votes say frame by frame.
    """
    stored = [stored_settings(run, untuned) for run in runs]
    own = sorted((one.settings for one in stored), key=lambda settings: float(np.mean(settings.seconds)))
    middle, usual = own[(len(own) - 1) // 2], PostProcessing()
    values = {name: getattr(middle, name) for name in SHARED if getattr(middle, name) != getattr(usual, name)}
    return StoredSettings(values, next((one.frame_rate for one in stored if one.frame_rate is not None), None))
