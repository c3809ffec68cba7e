"""`harness probe`: what the features of a frozen backbone are worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.shared import completion
from harness.commands.shared.options import data_option, say, workers_option
from harness.commands.shared.sections import Verb
from harness.streams import show, show_json
from harness.words import number

if TYPE_CHECKING:
    from harness.studies.probe import ProbeResult


@click.command("probe", cls=Verb)
@click.argument("target", metavar="RUN", shell_complete=completion.runs_and_submissions)
@click.option("--backbone", default=None, help="Architecture of a weights file or of random weights.")
@click.option(
    "--image-size",
    type=click.IntRange(min=16),
    default=None,
    help="Image side for a file. [default: the file's, then the backbone's]",
)
@click.option("--checkpoint", default="last", show_default=True, help="last or best, for a run.")
@data_option
@click.option("--split", default="train", show_default=True, help="Split whose labels are learned from.")
@click.option("--test-split", default=None, help="Test on this split instead of folds of the first.")
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True, help="Folds over recordings.")
@click.option("--folds-file", type=click.Path(), default=None, help="Folds of your own, as `harness folds` writes them.")
@click.option(
    "--persons",
    "persons_file",
    type=click.Path(),
    default=None,
    help="CSV of recording,person: folds, retrieval and intervals go by person.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the folds and of random weights.")
@click.option(
    "--frames", "most", type=click.IntRange(min=10), default=20000, show_default=True, help="Largest number of frames per split."
)
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Write figures and counts per recording as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@workers_option
def command(
    target: str,
    backbone: str | None,
    image_size: int | None,
    checkpoint: str,
    data: str | None,
    split: str,
    test_split: str | None,
    folds: int,
    folds_file: str | None,
    persons_file: str | None,
    seed: int,
    most: int,
    out: Path | None,
    as_json: bool,
    workers: int | None,
) -> None:
    """Probe the frozen features of RUN, of any challenge, by the expressions of DATA: linear classifier, neighbours, retrieval.

    RUN is a run, a weights file, or the word random (with --backbone) for random weights. No recording is in
    both the training and the test part. Training images without labels are not needed.

    \b
    Example:
      harness probe contrawarping-res18 --data /data/aff-wild2
      harness probe contrawarping-res18 --folds-file folds.json --persons persons.csv
      harness probe random --backbone res18 --data /data/aff-wild2
    """
    from harness import files
    from harness.commands.shared.options import find_data, refuse_without_expressions, worker_count
    from harness.commands.shared.training import stored_folds
    from harness.data.persons import read_persons
    from harness.data.scan import scan
    from harness.recipes.places import crops_of
    from harness.runs import store

    if out is not None:
        files.refuse_unwritable(out)
    is_run = target != "random" and not Path(target).is_file()
    manifest = store.find(target).manifest if is_run else {}
    place = find_data(data, manifest.get("where", {}).get("data"))

    from harness.images.device import make_accelerator
    from harness.studies import probe as study

    found = study.find_target(target, backbone=backbone, image_size=image_size, checkpoint=checkpoint, seed=seed, say=say)
    root = scan(place.path, crops=crops_of(manifest, place.path))
    refuse_without_expressions(root, "probe")
    outcome = study.probe(
        found,
        root,
        split=split,
        test_split=test_split,
        folds=folds,
        seed=seed,
        most=most,
        device=make_accelerator("fp32").device,
        workers=worker_count(workers),
        say=say,
        given_folds=None if folds_file is None else stored_folds(folds_file, root),
        persons=None if persons_file is None else read_persons(persons_file),
    )
    if out is not None:
        study.write(out, outcome)
    result = outcome.as_dict()
    if as_json:
        show_json(files.json_text(result))
    else:
        _show(result, outcome)
    show("next: compare with `harness probe random --backbone NAME`, what no training gives", err=as_json)


def _show(result: dict[str, Any], outcome: ProbeResult) -> None:
    judged = len(result["supported_classes"])
    where = f"{result['folds']} folds of {result['split']}" if result["test_split"] is None else f"{result['test_split']} split"
    show(f"{where}, {len(outcome.linear.recordings)} {result['groups']}s, {int(outcome.linear.matrices.sum())} frames")
    for title, key in (("linear classifier", "linear"), ("nearest neighbours", "neighbours")):
        all_classes, supported = result[key]["macro_f1"], result[key]["supported_macro_f1"]
        show(f"{title:<19} macro-F1 {_figure(all_classes)}; of the {judged} supported classes {_figure(supported)}")
    ranks = ", ".join(f"{rank}: {number(share)}" for rank, share in result["recall"].items())
    show(f"{'retrieval':<19} recall at {ranks} (each class alike, other recordings only)")
    show(f"{'feature deviation':<19} {number(outcome.deviation)} (0 is collapsed, about 1 is spread evenly)")


def _figure(score: dict[str, Any]) -> str:
    interval = "" if score["interval"] is None else " [{}, {}]".format(*map(number, score["interval"]))
    return f"{number(score['value'])}{interval}"
