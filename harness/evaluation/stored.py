"""Evaluations and comparisons as plain values, for JSON.

Of a challenge of classes the keys are those that programs read before there were other challenges: what is the usual score
elsewhere is macro_f1 here, and what is a column is a class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.challenge import usual_score
from harness.evaluation.compare import RunComparison
from harness.evaluation.describe import plain
from harness.evaluation.evaluate import Evaluation, FrameSet, Influence, TrackReport
from harness.kinds.parts import parts_of


def as_stored(result: Evaluation, unsmoothed: Evaluation | None, settings: dict[str, Any] | None) -> dict[str, Any]:
    """An evaluation as it is stored with a run: all of it, the usual score without smoothing, and the post-processing."""
    without = plain(None if unsmoothed is None else unsmoothed.all_labelled.usual_score)
    if result.parts.of_classes:
        return {**_of_classes(result), "macro_f1_without_smoothing": without, "postprocessing": settings}
    return {**_of_any(result), "score_without_smoothing": without, "postprocessing": settings}


def comparison_as_stored(result: RunComparison) -> dict[str, Any]:
    """A comparison as plain values."""
    value = plain({key: entry for key, entry in vars(result).items() if key != "challenge" and (key != "seeds" or entry)})
    columns = list(parts_of(result.challenge).columns)
    if not parts_of(result.challenge).of_classes:
        score = usual_score(result.challenge)
        return {**value, "challenge": result.challenge.name, "score_name": str(score), "columns": columns}
    others = [_renamed({**other, "comparison": _renamed(other["comparison"])}) for other in value["others"]]
    return {**_renamed(value), "class_names": columns, "others": others}


# What is stored under another name of a challenge of classes, or not at all.
_NAMES_OF_CLASSES = {
    "score": "macro_f1",
    "column_scores": "class_f1",
    **{f"column_{what}": f"class_{what}" for what in ("difference", "interval", "p_value")},
    **dict.fromkeys(("terms", "term_scores", "term_difference", "term_interval", "term_p_value")),
}


def _renamed(value: Mapping[str, Any]) -> dict[str, Any]:
    names = {key: _NAMES_OF_CLASSES.get(key, key) for key in value}
    return {name: value[key] for key, name in names.items() if name is not None}


def _of_any(result: Evaluation) -> dict[str, Any]:
    apart = ("score", "all_labelled", "with_face")
    shown = {key: entry for key, entry in vars(result).items() if key not in apart}
    names = [field.name for field in result.challenge.fields]
    return {
        **plain(shown),
        "challenge": result.challenge.name,
        "columns": list(result.parts.columns),
        "score_name": str(result.score),
        "constant": dict(zip(names, result.constant.tolist(), strict=True)),
        "all_labelled": _frames_of_any(result, result.all_labelled),
        "with_face": None if result.with_face is None else _frames_of_any(result, result.with_face),
    }


def _frames_of_any(result: Evaluation, frames: FrameSet) -> dict[str, Any]:
    value: dict[str, Any] = plain({key: entry for key, entry in vars(frames).items() if key != "sums"})
    return {**value, "confusions": plain(result.parts.confusions(frames.sums))}


def _of_classes(result: Evaluation) -> dict[str, Any]:
    (influences,) = result.influences.values()
    return {
        "class_names": list(result.parts.columns),
        "supported": list(result.supported),
        "score_name": str(result.score),
        "recordings": result.recordings,
        "coverage": result.coverage,
        "all_labelled": _frames_of_classes(result, result.all_labelled),
        "with_face": None if result.with_face is None else _frames_of_classes(result, result.with_face),
        "constant": result.parts.columns[int(result.constant[0])],
        "constant_macro_f1": result.constant_score,
        "influences": [_influence_of_classes(one) for one in influences],
        "shifts": plain(result.shifts),
        "calibration": plain(result.calibration),
        "tracks": [_track_of_classes(one) for one in result.tracks],
    }


def _frames_of_classes(result: Evaluation, frames: FrameSet) -> dict[str, Any]:
    (confusion,) = result.parts.confusions(frames.sums).values()
    return {
        "frames": frames.frames,
        "macro_f1": plain(frames.usual_score),
        "supported_macro_f1": plain(frames.supported_score),
        "accuracy": plain(frames.measures["accuracy"]),
        "score": frames.score.value,
        "confusion": plain(confusion),
        "classes": [
            {
                "name": column.name,
                "precision": frames.measures[f"precision_{column.name}"].value,
                "recall": frames.measures[f"recall_{column.name}"].value,
                "f1": plain(frames.measures[f"f1_{column.name}"]),
                "frames": column.frames,
                "recordings": column.recordings,
                "hangs_on": column.hangs_on,
                "largest_share": column.largest_share,
                "f1_without": column.without,
            }
            for column in frames.columns
        ],
    }


def _influence_of_classes(one: Influence) -> dict[str, Any]:
    return {"recording": one.recording, "frames": one.frames, "macro_f1_without": one.without}


def _track_of_classes(one: TrackReport) -> dict[str, Any]:
    return {
        "track": one.track,
        "recording": one.recording,
        "rows": one.rows,
        "labelled": one.labelled,
        "with_face": one.with_face,
        "accuracy": one.measures.get("accuracy"),
        "f1": one.measures.get("macro_f1"),
        "most_labelled": next(iter(one.most_labelled.values()), None),
        "most_predicted": next(iter(one.most_answered.values()), None),
    }
