"""The post-processing a run comes with: what tuning stored beside it, else what its kind asks for, else the defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness import files
from harness.errors import DataError
from harness.postprocess.chain import PostProcessing
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
    """

    values: dict[str, Any]
    frame_rate: float | None = None
    split: str | None = None

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
        return StoredSettings(dict(content["postprocessing"]), content.get("frame_rate"), content.get("split"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError("not the settings that `harness tune` stores", path=place, remedy=f"harness tune {run.name}") from error


def shared_settings(runs: Sequence[Run], untuned: bool = False) -> StoredSettings:
    """How an ensemble of `runs` is filled and smoothed by default: as the run with the middle half-width, the shorter of two.

    Averaged votes are not smoothed unless that was tuned, for a majority is what the votes say frame by frame.
    """
    stored = [stored_settings(run, untuned) for run in runs]
    own = sorted((one.settings for one in stored), key=lambda settings: settings.seconds)
    middle, usual = own[(len(own) - 1) // 2], PostProcessing()
    values = {name: getattr(middle, name) for name in SHARED if getattr(middle, name) != getattr(usual, name)}
    return StoredSettings(values, next((one.frame_rate for one in stored if one.frame_rate is not None), None))
