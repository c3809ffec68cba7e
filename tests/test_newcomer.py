"""A newcomer's road: a fresh installation, the tutorial from nothing to a validated submission, and the examples of the help.

The packages that the project requires are borrowed from this interpreter's, so that nothing is fetched and no second torch is
installed. The program itself is the installed one: from where it runs the checkout cannot be seen.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from harness.cli import VERBS, harness
from harness.data.scan import scan
from tests.installation import done, wheel

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
# Added to trainings and predictions, so that they take seconds.
SHORT = {"iterations": "4", "evaluate_every": "4", "batch": "8", "warmup": "1", "precision": "fp32", "image_size": "96",
         "test_resize": "96", "validation_step": "20", "frame_step": "40"}  # fmt: skip
TEMPORAL = ("iterations", "evaluate_every", "warmup")
DRIVER = """
import json, sys
import harness
from harness.cli import main
for arguments in json.load(sys.stdin):
    try:
        main(arguments)
    except SystemExit as ended:
        print(json.dumps([arguments, ended.code or 0]), file=sys.stderr)
print(json.dumps(harness.__file__), file=sys.stderr)
"""
"""Verbs one after the other in one process, which imports torch once."""

EXAMPLES = (
    "HARNESS_CACHE=/scratch harness doctor /data/aff-wild2 --pack",
    "harness folds --data /data/aff-wild2 --from our_folds.csv --output folds.json",
    "harness predict res50-a --from-scores --smooth 0.8 --kernel gaussian --out submissions/res50-a-gaussian",
    "harness features res50-a --data /data/aff-wild2",
    "harness train --recipe temporal-transformer --features res50-a",
    "harness evaluate demo-res50 --split val",
    "harness compare res50-seed-0 res50-seed-1 apvit-seed-0 apvit-seed-1",
    'harness report res50-a --faces --title "Backbone of Friday" --notes notes.md',
    "harness inspect submissions/res50-a 6-30-1920x1080",
    "harness inspect res50-a video2_left --out video2_left.png",
    "harness ensemble res50-a apvit-a --weights 0.6,0.4",
    "harness import outside_models.npz --classes AffectNet --data /data/aff-wild2",
    "harness import submissions/of-a-friend --data /data/aff-wild2",
    "harness import audio_vectors.npz --features --data /data/aff-wild2",
    "harness import segment_vectors.npz --features --rate 2.5 --data /data/aff-wild2",
    "harness compare submissions/res50-a submissions/ensemble",
    "harness validate predictions.txt --sample CVPR_5th_ABAW_EXPR_test_set_sample.txt",
    "harness validate predictions.txt --sample sample.txt --fix repaired/predictions.txt",
    "harness pack submissions/res50 --sample CVPR_5th_ABAW_EXPR_test_set_sample.txt --out team_attempt_1.zip",
    'harness pack predictions.txt --layout folder --declare "ms1m-ir50.pth: research use, MS-Celeb-1M"',
    "harness runs --sort name --csv",
)
"""Examples of the help for which predicted runs, their submissions and a few files suffice, in an order that works.

Those that stand in the README too, or on a page whose commands another test runs, are left to that test.
"""


def examples_of_the_help() -> Iterator[str]:
    """Every command that a verb's help gives as an example."""
    for verb in VERBS:
        command = harness.get_command(click.Context(harness), verb)
        assert command is not None
        text = f"{command.help}\n{command.epilog or ''}".partition("Example")[2]
        yield from re.findall(r"^ *((?:HARNESS_CACHE=\S+ )?harness .*)$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new virtual environment with the project's wheel, which borrows this interpreter's packages."""
    place = tmp_path_factory.mktemp("installed")
    done(sys.executable, "-m", "venv", "--without-pip", place / "venv", cwd=place)
    python = place / "venv" / "bin" / "python"
    done(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", wheel(place), cwd=place)
    (packages,) = (place / "venv").glob("lib/python*/site-packages")
    borrowed = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    return python.parent


def walk(installed: Path, place: Path, road: Sequence[Sequence[str]], **surroundings: str) -> str:
    """What the installed program prints when verbs are called one after the other in a folder; all have to end well."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **surroundings}
    for name in ("PYTHONPATH", "HARNESS_DATA"):
        if name not in surroundings:
            environment.pop(name, None)
    ended = subprocess.run(
        [installed / "python", "-c", DRIVER],
        input=json.dumps([list(verb) for verb in road]),
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    *lines, origin = ended.stderr.splitlines()
    assert Path(json.loads(origin)).is_relative_to(installed.parent)
    codes = [json.loads(line) for line in lines if line.startswith("[[")]
    assert codes == [[list(verb), 0] for verb in road], ended.stderr[-3000:]
    assert "Traceback" not in ended.stderr
    return ended.stdout


def words_of(command: str) -> list[str]:
    """The words behind `harness`, a training cut to a few steps, a prediction to few frames."""
    words = shlex.split(command)[1:]
    if words[0] == "train":
        keys = TEMPORAL if "--features" in words else SHORT
        words += [word for key in keys for word in ("--set", f"{key}={SHORT[key]}")]
    if words[0] == "predict" and "--from-scores" not in words:
        words += ["--stride", "20"]
    return words + ["--workers", "0"] * (words[0] in ("train", "predict", "features") and "--from-scores" not in words)


@pytest.mark.slow
def test_a_newcomer_gets_from_nothing_to_a_validated_submission_by_the_tutorial(installed: Path, tmp_path: Path) -> None:
    assert "Bring your own predictions" in done(installed / "harness", "--help", cwd=tmp_path)
    commands = re.findall(r"^\$ (harness .*)$", TUTORIAL.partition("## With Aff-Wild2")[0], re.MULTILINE)
    printed = walk(installed, tmp_path, [words_of(command) for command in commands])
    assert len(commands) > 12
    assert printed.rstrip().endswith("no errors")
    assert (tmp_path / "submissions" / "both" / "predictions.txt").is_file()
    assert list((tmp_path / "reports").glob("first+second-*.html"))


@pytest.fixture
def desk(trained: Path, drawn_root: Path, tmp_path: Path) -> Path:
    """A working folder with the runs and files that the examples name; the data root stands beside it."""
    root = scan(drawn_root)
    for name in (
        "res50-a",
        "res50-b",
        "apvit-a",
        "demo-res50",
        *(f"{recipe}-seed-{k}" for recipe in ("res50", "apvit") for k in (0, 1)),
    ):
        shutil.copytree(trained / "runs" / "a", tmp_path / "runs" / name)
    assert root.sample is not None
    for name in ("CVPR_5th_ABAW_EXPR_test_set_sample.txt", "sample.txt"):
        shutil.copy(root.sample, tmp_path / name)
    lines = root.sample.read_text().splitlines()
    rows = [f"{line.partition(',')[0]},{number // 7 % 8}" for number, line in enumerate(lines[1:])]
    (tmp_path / "predictions.txt").write_text("\n".join([lines[0], *rows]) + "\n")
    (tmp_path / "notes.md").write_text("Trained on Friday.\n")
    recordings = sorted({track.recording for track in (*root.split("train"), *root.split("val"))})
    (tmp_path / "our_folds.csv").write_text(
        "recording,fold\n" + "".join(f"{name},{k % 2}\n" for k, name in enumerate(recordings))
    )
    for name, split, width in (("outside_models", "val", 8), ("audio_vectors", "train", 5)):
        tracks = root.split(split)
        frame = np.concatenate([track.frames for track in tracks])
        track = np.repeat([track.name for track in tracks], [len(track.frames) for track in tracks])
        values = np.random.default_rng(0).dirichlet(np.ones(width), len(frame))
        arrays: dict[str, Any] = {"track": track, "frame": frame, name: values}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    tracks = root.split("train")
    seconds = {track.name: int(track.rows / 12.5) + 1 for track in tracks}
    track = np.repeat(list(seconds), list(seconds.values()))
    frame = np.concatenate([np.arange(1, count + 1) for count in seconds.values()])
    np.savez(tmp_path / "segment_vectors.npz", track=track, frame=frame, segments=np.ones((len(frame), 3), np.float32))
    return tmp_path


@pytest.mark.slow
def test_the_examples_of_the_help_run(installed: Path, desk: Path, drawn_root: Path) -> None:
    assert set(EXAMPLES) <= set(examples_of_the_help())
    root, scratch = scan(drawn_root), desk / "scratch"
    names = {
        "/data/aff-wild2": str(drawn_root),
        "6-30-1920x1080": root.split("test")[0].name,
        "video2_left": root.split("val")[0].name,
    }
    road = [[names.get(word, word) for word in words_of(example.removeprefix("HARNESS_CACHE=/scratch "))] for example in EXAMPLES]
    written = {"res50-a": "res50-a", "ensemble": "res50-b", "res50": "apvit-a", "of-a-friend": "apvit-a"}
    writing = [["predict", run, "--from-scores", "--out", f"submissions/{name}"] for name, run in written.items()]
    printed = walk(installed, desk, [*writing, *road], HARNESS_DATA=str(drawn_root), HARNESS_CACHE=str(scratch))
    assert "ready; next: harness pack repaired/predictions.txt" in printed
    assert (desk / "team_attempt_1.zip").is_file()
    assert any(scratch.rglob("*"))
