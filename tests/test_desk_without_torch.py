"""A team with predictions of its own: what judges, chooses, writes and sends them never asks for torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

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
    ("submission", "both"),
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
    return tmp_path


def test_the_whole_desk_works_where_torch_is_not_installed(outside: Path, drawn_root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(absent=ABSENT, road=[list(verb) for verb in ROAD])],
        cwd=outside,
        env={"HARNESS_DATA": str(drawn_root), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    codes = json.loads(done.stderr.splitlines()[-1])
    assert codes == [[list(verb), 0] for verb in ROAD], done.stderr
    assert "torch" not in done.stdout
    assert (outside / "submissions" / "both.zip").is_file()
    assert list((outside / "reports").glob("*.html"))
