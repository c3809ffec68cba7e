"""A data statement: what an answer was trained on, for the organisers and for the paper; what is not recorded is said to be so.

The rule it answers to is the edition's (harness.challenge.DataRule) and stands in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.challenge import Format
from harness.errors import DataError
from harness.findings import LONGEST_LINE, printable
from harness.runs import store
from harness.runs.lineage import feature_names, member_names

# Kinds of runs that say themselves what they were trained on.
TRAINED = ("training", "crossval")
NOT_RECORDED = "not recorded; the team has to state it"
# Weights that come with packages of this program, by the name of their file, and their licence.
KNOWN_LICENCES = {"efficientnet-lite0-57934424.pth": "Apache-2.0, trained on ImageNet, not on Aff-Wild2"}


def manifests_of(made_from: Sequence[Mapping[str, Any]], runs: Path) -> dict[str, Mapping[str, Any] | None]:
    """What is known of each run that an answer comes from: by `made_from`, the lineages in its record, and what these name.

    To them belong the members of ensembles and the runs whose features a model sees. A run of which the record has nothing but
    the name is looked up below `runs`; one that is not there is None.
    """
    found: dict[str, Mapping[str, Any] | None] = {}
    waiting = [_known(lineage, runs) for lineage in made_from]
    while waiting:
        lineage = waiting.pop(0)
        if lineage["name"] in found:
            continue
        found[lineage["name"]] = None if lineage.get("found") is False else lineage
        members = _inside(lineage, "members", runs)
        if lineage.get("kind") == "crossval":
            # It says of itself what its folds were trained on, but not whose features they see.
            waiting += [source for member in members for source in _inside(member, "features", runs)]
        elif lineage.get("kind") == "ensemble":
            waiting += members
        waiting += _inside(lineage, "features", runs)
    return found


def _known(lineage: Mapping[str, Any], runs: Path) -> Mapping[str, Any]:
    """A lineage; of one that is only a name, what run.json says, in the form of a lineage."""
    if lineage.keys() & {"manifest", "found"}:
        return lineage
    name = str(lineage["name"])
    try:
        manifest = store.Run(runs / Path(name).name).manifest
    except DataError:
        return {"name": name, "found": False}
    return {
        **manifest,
        "name": name,
        "members": [{"name": member} for member in member_names(manifest)],
        "features": [{"name": source} for source in feature_names(manifest)],
    }


def _inside(lineage: Mapping[str, Any], key: str, runs: Path) -> list[Mapping[str, Any]]:
    return [_known(one, runs) for one in lineage.get(key, ())]


def statement(
    form: Format,
    archive: str,
    manifests: Mapping[str, Mapping[str, Any] | None],
    edited: Sequence[str],
    declared: Sequence[str],
) -> str:
    """The statement as Markdown; `edited` are files that were changed since they were written, `declared` the team's words."""
    lines = [f"# Data statement of {archive}", "", f"Challenge: {form.name}.", ""]
    lines += ["## What the edition allows", "", *_items(_rule(form)), ""]
    lines += ["## Labels used", "", *_items(_labels(form, manifests)), ""]
    lines += ["## External data", "", *_items(_external(manifests)), ""]
    lines += ["## Weights and their licences", "", *_items(_weights(manifests)), ""]
    lines += ["## Were frames of the test set seen in training?", "", *_items(_test_frames(manifests)), ""]
    if edited:
        changed = f"changed after {' and '.join(manifests) or 'it'} made it: {', '.join(edited)}; the team has to state how"
        lines += ["## Edited afterwards", "", f"- {changed}", ""]
    lines += ["## Declared by the team", "", *_items(printable(sentence, LONGEST_LINE) for sentence in declared or ["nothing"])]
    return "\n".join(lines) + "\n"


def _items(sentences: Iterator[str]) -> list[str]:
    found = [f"- {sentence}" for sentence in dict.fromkeys(sentences)]
    return found or [f"- {NOT_RECORDED}"]


def _rule(form: Format) -> Iterator[str]:
    rule = form.data_rule
    if rule is None:
        yield "no rule about data is known of this edition"
        return
    yield f"{rule.labels} ({rule.source})"
    yield f"{rule.weights} ({rule.source})"


def _trained(manifests: Mapping[str, Mapping[str, Any] | None]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The runs that were trained here, or about whose training nothing is known; ensembles are described by their members."""
    for name, manifest in manifests.items():
        if manifest is None or manifest.get("kind") != "ensemble":
            yield name, manifest or {}


def _labels(form: Format, manifests: Mapping[str, Mapping[str, Any] | None]) -> Iterator[str]:
    for name, manifest in _trained(manifests):
        kind, data = manifest.get("kind"), manifest.get("data", {})
        if kind in TRAINED and "splits" in data:
            task = manifest.get("challenge", form.challenge.name)
            splits = f"those of the {' and '.join(data['splits'])} split" if data["splits"] else "none of the official data"
            fold = ", each model without the recordings of one fold" if kind == "crossval" else ""
            fold = ", without the recordings of one fold" if "fold" in data else fold
            yield f"{name}: {task} labels, {splits}{fold}; no labels of other tasks"
        elif kind == "import":
            yield f"{name}: imported from {manifest.get('source', 'outside')}; its labels are {NOT_RECORDED}"
        else:
            yield f"{name}: {NOT_RECORDED}"


def _external(manifests: Mapping[str, Mapping[str, Any] | None]) -> Iterator[str]:
    for name, manifest in _trained(manifests):
        extra = manifest.get("data", {}).get("extra")
        if extra:
            yield f"{name}: extra labelled images named by {extra.get('file')} (sha256 {extra.get('sha256')})"
        elif manifest.get("kind") in TRAINED:
            yield f"{name}: no labelled images from elsewhere"
        else:
            yield f"{name}: {NOT_RECORDED}"


def _weights(manifests: Mapping[str, Mapping[str, Any] | None]) -> Iterator[str]:
    for name, manifest in _trained(manifests):
        if "weights" not in manifest:
            yield f"{name}: {NOT_RECORDED}"
        elif manifest.get("features"):
            sources = " and ".join(str(source["name"]) for source in manifest["features"])
            yield f"{name}: trained from random weights on stored features of {sources}, whose weights stand under their names"
        elif manifest["weights"] is None:
            yield f"{name}: trained from random weights"
        else:
            weights = manifest["weights"]
            for prefix in ("", "second_") if "second_file" in weights else ("",):
                file = str(weights.get(f"{prefix}file", "unknown file"))
                licence = KNOWN_LICENCES.get(file, f"licence {NOT_RECORDED}")
                yield f"{name}: {file}, sha256 {weights.get(f'{prefix}sha256', 'unknown')}; {licence}"


def _test_frames(manifests: Mapping[str, Mapping[str, Any] | None]) -> Iterator[str]:
    for name, manifest in _trained(manifests):
        splits = manifest.get("data", {}).get("splits")
        if manifest.get("kind") not in TRAINED or splits is None:
            yield f"{name}: {NOT_RECORDED}"
        elif "test" in splits:
            yield f"{name}: yes"
        else:
            behind = "" if manifest.get("weights") is None else " in this training; of the weights it started from, see above"
            yield f"{name}: no{behind}"
