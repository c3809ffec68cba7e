"""A table of the runs below a folder, to choose from: what each scores, how sure that is, and what sets it apart."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from harness import files
from harness.challenge import EXPR, MACRO_F1, challenge_named, usual_score
from harness.data.tracks import OUT_OF_FOLD
from harness.errors import DataError, UsageError
from harness.runs import checkpoints, scores, store
from harness.runs.seeds import by_recipe
from harness.runs.store import Run

# Which stored evaluation is shown where there are several.
SCORED_ON = ("val", "oof", "train", "test")
# Keys of a recipe that are prose about it, or figures of the paper, and change no training.
PROSE = ("about", "weights_wanted", "paper_f1")
SEED = "seed"


@dataclass(frozen=True)
class StoredScore:
    """What `harness evaluate` stored of a run: its score of all labelled frames of a split with its 95 % interval.

    `current` says whether it is of the scores that are there now; None where that was not noted.
    """

    split: str
    value: float
    low: float | None
    high: float | None
    current: bool | None


@dataclass(frozen=True)
class RunRow:
    """One run.

    Attributes
    ----------
    about : what it is made of.
    steps, last, best : the steps done, and the last and the best validation score while training.
    score : what its stored evaluation says.
    differs : settings of its recipe in which the runs of its kind are not all alike.
    measure : what its scores are, in words.
    data : the data root it is of, which no table shows.
    sisters : the names of the runs that are seeds of its recipe, its own among them; empty where it has no other.
    """

    name: str
    kind: str
    about: str
    steps: int | None
    last: float | None
    best: float | None
    splits: tuple[str, ...]
    score: StoredScore | None = None
    differs: Mapping[str, Any] = field(default_factory=dict)
    fault: str | None = None
    measure: str = MACRO_F1.words
    data: str | None = None
    sisters: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The row as plain values; of macro-F1, which was all there was once, the score's value goes by that name."""
        value = asdict(self)
        words = value.pop("measure")
        del value["data"], value["sisters"]
        if self.score is not None:
            value["score"]["macro_f1" if words == MACRO_F1.words else "value"] = value["score"].pop("value")
        return value if words == MACRO_F1.words else {**value, "measure": words}


def overview() -> list[RunRow]:
    """One row for each run below runs/, the highest score first, those without one by name. A damaged run says so."""
    rows, recipes, manifests = [], {}, {}
    for run in store.every():
        try:
            manifest = run.manifest
            rows.append(_row(run, manifest))
            recipes[run.name] = (manifest.get("kind"), _settings(manifest))
            manifests[run.name] = manifest
        except (DataError, UsageError) as error:
            rows.append(_damaged(run, str(error).splitlines()[0]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            rows.append(_damaged(run, f"{run.manifest_path}: not what this program writes ({type(error).__name__}: {error})"))
    together = {name: names for names in by_recipe(manifests) for name in names if len(names) > 1}
    rows = [replace(row, differs=dict(_differing(row.name, recipes)), sisters=together.get(row.name, ())) for row in rows]
    return sorted(rows, key=_rank)


def _rank(row: RunRow) -> tuple[str, float, str]:
    return row.measure, 0.0 if row.score is None else -row.score.value, row.name


def _damaged(run: Run, fault: str) -> RunRow:
    return RunRow(run.name, "damaged", "", None, None, None, (), fault=fault)


def _row(run: Run, manifest: dict[str, Any]) -> RunRow:
    steps, last, best = _progress(run)
    measure = usual_score(challenge_named(str(manifest.get("challenge", EXPR.name)))).words
    kind, score = manifest.get("kind", "unknown"), _score(run)
    data = run.part("where").get("data") if "where" in manifest else None
    return RunRow(run.name, kind, _about(run), steps, last, best, run.splits(), score, measure=measure, data=data)


def _settings(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a recipe that change a training, by their names."""
    return {key: value for key, value in store.flat(manifest.get("recipe", {})).items() if key not in PROSE}


def _differing(name: str, recipes: Mapping[str, tuple[Any, Mapping[str, Any]]]) -> Iterator[tuple[str, Any]]:
    """The settings of a run's recipe that another run of its kind has otherwise, or does not have."""
    kind, own = recipes.get(name, (None, {}))
    others = [recipe for other, (other_kind, recipe) in recipes.items() if other != name and other_kind == kind and recipe]
    for key, value in own.items():
        if any(key not in other or other[key] != value for other in others):
            yield key, value


def _score(run: Run) -> StoredScore | None:
    for split in SCORED_ON:
        place = run.path / "evaluation" / f"{split}.json"
        if not place.is_file():
            continue
        content = files.read_json(place)
        try:
            frames = content["all_labelled"]
            found = frames["usual_score"] if "usual_score" in frames else frames["macro_f1"]
            digest = content.get("scores")
            current = None if digest is None else split in run.splits() and scores.index_digest(run, split) == digest
            low, high = (None if found[end] is None else float(found[end]) for end in ("low", "high"))
            return StoredScore(split, float(found["value"]), low, high, current)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                "not a stored evaluation", path=place, remedy=f"`harness evaluate {run.name} --split {split}`"
            ) from error
    return None


def _about(run: Run) -> str:
    manifest = run.manifest
    try:
        if manifest.get("kind") == "ensemble":
            return " + ".join(f"{member['weight']:.2f} {member['run']}" for member in run.part("members"))
        if manifest.get("features"):
            recipe, sources = run.part("recipe"), " + ".join(entry["run"] for entry in manifest["features"])
            return f"{recipe['model']} on features of {sources}, {recipe['window']:g} s, seed {recipe['seed']}"
        if manifest.get("kind") in ("training", "crossval"):
            recipe = run.part("recipe")
            folds = f"{len(run.part('members'))} folds of " if manifest["kind"] == "crossval" else ""
            return f"{folds}{recipe['backbone']}, {recipe['image_size']} px, seed {recipe['seed']}"
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"a part of the run's manifest lacks {error}", path=run.manifest_path) from error
    return str(manifest.get("source", ""))


def _progress(run: Run) -> tuple[int | None, float | None, float | None]:
    """Steps, last and best metric from the manifests of the checkpoints, which are not verified here."""
    rated = []
    for path in checkpoints.folders(run):
        try:
            rated.append(checkpoints.read_manifest(path))
        except DataError:
            continue
    if not rated:
        return None, None, None
    metrics = [checkpoint.metric for checkpoint in rated if checkpoint.metric is not None]
    return rated[-1].step, rated[-1].metric, max(metrics, default=None)


def next_step(rows: Sequence[RunRow]) -> str:
    """The command that says most about the runs: score one that was predicted, compare the best two, predict, or report."""
    whole = [row for row in rows if row.fault is None]
    for row in whole:
        split = next((split for split in ("val", OUT_OF_FOLD) if split in row.splits), None)
        if row.score is None and split is not None:
            return f"harness evaluate {shlex.quote(row.name)} --split {split}"
    scored = [(row, row.score.split) for row in whole if row.score is not None]
    for place, (better, split) in enumerate(scored):
        for row, other_split in scored[place + 1 :]:
            if (other_split, row.measure, row.data) == (split, better.measure, better.data):
                return f"harness compare {shlex.quote(row.name)} {shlex.quote(better.name)} --split {split}"
    for row in whole:
        if row.kind in ("training", "crossval") and not row.splits:
            return f"harness predict {shlex.quote(row.name)} --split {'val' if row.kind == 'training' else OUT_OF_FOLD}"
    if scored:
        return f"harness report {shlex.quote(scored[0][0].name)} --split {scored[0][1]}"
    return "harness recipes"
