"""A team with predictions of its own: what judges, chooses, writes and sends them never asks for torch."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from harness.challenge import EXPR
from harness.data.scan import scan

ABSENT = ("torch", "torchvision", "accelerate", "safetensors", "simplejpeg", "pandas", "sklearn")
ROAD = (
    ("import", "outside.npz"),
    ("evaluate", "one", "--split", "val"),
    ("tune", "one"),
    ("compare", "one", "two"),
    ("ensemble", "one", "two", "--run", "both"),
    ("ensemble", "one", "two", "--run", "fitted", "--fit", "val"),
    ("best", "one", "two"),
    ("report", "both", "one"),
    ("predict", "both", "--from-scores"),
    ("validate", "submissions/"),
    ("inspect", "submissions/both", "video12"),
    ("pack", "submissions/both"),
    ("runs",),
)
SCRIPT = """
import json, sys
for name in {absent}:
    sys.modules[name] = None
from harness.cli import main
codes = []
for arguments in {road}:
    try:
        main(arguments)
    except SystemExit as ended:
        codes.append([arguments, ended.code or 0])
print(json.dumps(codes), file=sys.stderr)
"""


@pytest.fixture
def outside(drawn_root: Path, tmp_path: Path) -> Path:
    """Probabilities of two models over all seen frames of the drawn root, better than chance."""
    generator = np.random.default_rng(0)
    track: list[str] = []
    frame: list[int] = []
    one: list[np.ndarray] = []
    two: list[np.ndarray] = []
    for member in scan(drawn_root).tracks:
        labels = np.full(member.rows, -1) if member.labels is None else np.asarray(member.labels)
        for number in member.frames.tolist():
            track.append(member.name)
            frame.append(number)
            for model in (one, two):
                probabilities = generator.dirichlet(np.full(8, 0.4))
                if labels[number - 1] >= 0:
                    probabilities[labels[number - 1]] += 0.5
                model.append(probabilities / probabilities.sum())
    np.savez(tmp_path / "outside.npz", track=np.array(track), frame=np.array(frame), one=np.array(one), two=np.array(two))
    shutil.copy(tmp_path / "outside.npz", tmp_path / "outside.npz.whole")
    return tmp_path


def walk(place: Path, road: Sequence[Sequence[str]], data: Path) -> tuple[list[object], subprocess.CompletedProcess[str]]:
    """The exit codes of verbs called one after the other in a process in which torch and others cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(absent=ABSENT, road=[list(verb) for verb in road])],
        cwd=place,
        env={"HARNESS_DATA": str(data), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stderr.splitlines()[-1]), done


def test_the_whole_desk_works_where_torch_is_not_installed(outside: Path, drawn_root: Path) -> None:
    codes, done = walk(outside, ROAD, drawn_root)
    assert codes == [[list(verb), 0] for verb in ROAD], done.stderr
    assert "torch" not in done.stdout
    assert (outside / "submissions" / "both.zip").is_file()
    assert list((outside / "reports").glob("*.html"))


def test_the_page_on_own_predictions_is_walked_where_torch_is_not_installed(outside: Path, drawn_root: Path) -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "own-predictions.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    subprocess.run([sys.executable, "-c", block], cwd=outside, check=True)
    with np.load(outside / "outside.npz") as saved:
        assert {name: saved[name].shape for name in saved.files} == {"track": (3,), "frame": (3,), "model": (3, 8)}
    _files_of_the_page(outside, drawn_root)
    road = [shlex.split(line)[1:] for line in re.findall(r"^\$ (harness .*)$", page, re.MULTILINE)]
    road = [[str(drawn_root) if word == "/data/aff-wild2" else word for word in verb] for verb in road]
    assert len(road) > 12
    codes, done = walk(outside, road, drawn_root)
    assert codes == [[verb, 0] for verb in road], done.stderr
    assert "torch" not in done.stdout
    assert (outside / "submissions" / "both.zip").is_file()


def _files_of_the_page(place: Path, drawn_root: Path) -> None:
    """The files that the page's commands name: the scores of two models, those of the test split as tables, sample and rows."""
    root = scan(drawn_root)
    with np.load(place / "outside.npz.whole") as whole:
        track, frame, one, two = (whole[name] for name in ("track", "frame", "one", "two"))
    np.savez(place / "outside.npz", track=track, frame=frame, model=one, other=two)
    is_test = np.isin(track, [member.name for member in root.split("test")])
    head = "track,frame," + ",".join(EXPR.class_names)
    for name, scores in (("test_scores", one), ("more_scores", two)):
        rows = zip(track[is_test], frame[is_test], scores[is_test], strict=True)
        lines = [f"{a},{b}," + ",".join(map(repr, map(float, values))) for a, b, values in rows]
        (place / f"{name}.csv").write_text("\n".join([head, *lines]) + "\n")
    (place / "rows.csv").write_text("track,rows\n" + "".join(f"{member.name},{member.rows}\n" for member in root.split("test")))
    assert root.sample is not None
    shutil.copy(root.sample, place / "CVPR_5th_ABAW_EXPR_test_set_sample.txt")
