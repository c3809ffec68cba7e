"""The ABAW submission harness: from Aff-Wild2 on disk to a submission that was checked line by line.

The names below are for other programs; docs/python.md shows them at work. Each is imported when it is first used, so that who
validates loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import evaluate, open_data, predict, predict_video, validate
    from harness.faces.video_prediction import VideoSettings
    from harness.inference.predictor import Predictor
    from harness.inference.settings import Scoring
    from harness.runs.store import find as open_run
    from harness.submission.reader import read as read_submission

__version__ = "0.1.0"

__all__ = [
    "Predictor",
    "Scoring",
    "VideoSettings",
    "evaluate",
    "open_data",
    "open_run",
    "predict",
    "predict_video",
    "read_submission",
    "validate",
]

_PLACES = {
    "Predictor": "harness.inference.predictor:Predictor",
    "Scoring": "harness.inference.settings:Scoring",
    "VideoSettings": "harness.faces.video_prediction:VideoSettings",
    "evaluate": "harness.api:evaluate",
    "open_data": "harness.api:open_data",
    "open_run": "harness.runs.store:find",
    "predict": "harness.api:predict",
    "predict_video": "harness.api:predict_video",
    "read_submission": "harness.submission.reader:read",
    "validate": "harness.api:validate",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(import_module(module), attribute)
