"""What of a run was chosen by the labels of a split: its checkpoint, its recipe, its post-processing, its weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from harness import files
from harness.data.tracks import OUT_OF_FOLD
from harness.errors import DataError
from harness.runs import checkpoints, scores
from harness.runs.lineage import family, models_of
from harness.runs.seeds import recipe_of
from harness.runs.store import TUNED, Run, adding

# In run.json, what else was chosen before the run was made: a list of {"what", "split", "among"}.
CHOSEN = "chosen"

# In a run's folder, the same of what was chosen among runs that were made before: the recipe that a sweep took, the run that an
# ensemble was made of. "among" may be absent.
CHOICES = "chosen.json"

# In a run's folder, what it is expected to score; see selection.expectation.
EXPECTATION = "expectation.json"

TUNING, FIT, PICK = "post-processing", "weights and temperatures", "members"


def words_of(what: str, run: str) -> str:
    """How a choice is named: what was chosen, for which run."""
    return f"the {what} of {run}"


def past_choices(run: Run, split: str, settings: Mapping[str, Any]) -> list[str]:
    """What was chosen by the labels of `split` on the way to a run's answers under `settings`, in words.

    The choices of its members count. Checkpoints that are no longer there, and runs that are not beside this one any more, cannot
    be told from.
    """
    found = [*_checkpoints(run, split), *_recipes(run, split), *_noted(run, split)]
    for one in family(run):
        tuned = _content(one, TUNED)
        if tuned.get("split") != split:
            continue
        if "mixture" in tuned:
            found.append(words_of(FIT, one.name))
        elif tuned.get("postprocessing") == settings if one == run else _takes_over(run, one, tuned):
            found.append(words_of(TUNING, one.name))
    return list(dict.fromkeys(found))


def note_choice(runs: Sequence[Run], chosen: Collection[Run], what: str, split: str) -> None:
    """Notes with the runs that were `chosen` among others by the labels of a split what that was; with the others no more.

    The chosen ones come first: where the process dies in between, a run that was chosen says so.
    """
    among = len({files.json_text(recipe_of(run.manifest)) for run in runs})
    for run in sorted(runs, key=lambda run: run not in chosen):
        with adding(run):
            if run in chosen and among > 1:
                files.write_json(run.path / CHOICES, [{"what": what, "split": split, "among": among}])
            else:
                files.remove(run.path / CHOICES)


def note_pick(run: Run, split: str) -> None:
    """Notes with an ensemble that the labels of a split chose its members, beside what is noted already."""
    entry = {"what": PICK, "split": split}
    noted = _entries(run)
    if entry not in noted:
        files.write_json(run.path / CHOICES, [*noted, entry])


def _content(run: Run, name: str) -> Mapping[str, Any]:
    place = run.path / name
    value = files.read_json(place) if place.is_file() else {}
    return value if isinstance(value, Mapping) else {}


def _entries(run: Run) -> list[Any]:
    """What CHOICES of a run holds."""
    place = run.path / CHOICES
    value = files.read_json(place) if place.is_file() else None
    return value if isinstance(value, list) else []


def _noted(run: Run, split: str) -> list[str]:
    """What was known when the run's expectation was stored, but for its tuning: a later choice may have removed the traces."""
    content = _content(run, EXPECTATION)
    noted = content.get("chosen") if content.get("split") == split else None
    own = words_of(TUNING, run.name)
    return [words for words in noted if isinstance(words, str) and words != own] if isinstance(noted, list) else []


def _checkpoints(run: Run, split: str) -> Iterator[str]:
    """The models whose scores are not of the last checkpoint, but of the one with the best metric on the split's recordings."""
    for model, own in models_of(run, split):
        manifest = model.manifest
        data = manifest.get("data", {})
        watched = OUT_OF_FOLD if "fold" in data else "val"
        if manifest.get("kind") != "training" or watched != split or own not in model.splits():
            continue
        scored_by = scores.read_index(model, own).checkpoint
        if scored_by is not None and scored_by in {one.digest for one in _older(model) if one.metric is not None}:
            yield words_of("checkpoint", model.name)


def _older(run: Run) -> list[checkpoints.Checkpoint]:
    """All checkpoints of a run that can be read but the newest."""
    found = []
    for path in checkpoints.folders(run):
        try:
            found.append(checkpoints.read_manifest(path))
        except DataError:
            continue
    return found[:-1]


def _recipes(run: Run, split: str) -> Iterator[str]:
    for one in family(run):
        before = one.manifest.get(CHOSEN)
        for entry in [*(before if isinstance(before, list) else []), *_entries(one)]:
            if isinstance(entry, Mapping) and entry.get("split") == split:
                among = f" (one of {entry['among']})" if "among" in entry else ""
                yield words_of(f"{entry.get('what', 'recipe')}{among}", one.name)


def _takes_over(run: Run, member: Run, tuned: Mapping[str, Any]) -> bool:
    """Whether an ensemble uses what was tuned for a member: the temperature, mirrored images, or the smoothing."""
    manifest, settings = run.manifest, tuned.get("postprocessing", {})
    entries = [entry for entry in manifest.get("members", []) if isinstance(entry, Mapping)]
    own: Mapping[str, Any] = next((entry for entry in entries if entry.get("run") == member.name), {})
    temperature = own.get("temperature", 1.0)
    return bool(
        manifest.get("postprocessing")
        or (temperature != 1.0 and temperature == settings.get("temperature"))
        or (own.get("flip") and settings.get("flip"))
    )
