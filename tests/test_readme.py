"""The README stays true: each of its commands runs, each of its links leads somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from harness import __version__
from harness.data.scan import scan

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]
# `make test` runs this very test; `make demo` takes minutes and is run as it stands by .ci/run.
RUN_ELSEWHERE = {"make demo", "make test"}
# Added to trainings, so that they take seconds instead of a night.
SHORT = {
    "iterations": "2", "batch": "4", "evaluate_every": "2", "warmup": "0", "frame_step": "10", "precision": "fp32",
    "image_size": "96", "test_resize": "96", "decode_size": "32", "validation_step": "10",
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, drawn_root: Path) -> Path:
    """A folder like a fresh clone as the README's reader has it, with the files it speaks of."""
    import torch

    from models.backbones import resnet

    place = tmp_path_factory.mktemp("readme")
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, place / name)
    for name in ("harness", "models"):
        (place / name).symlink_to(ROOT / name)
    torch.manual_seed(0)
    backbone = resnet.build_res50()
    for name, buffer in backbone.named_buffers():
        if name.endswith("running_mean"):
            buffer += 0.01
    torch.save(
        {"state_dict": {f"backbone.{key}": value for key, value in backbone.state_dict().items()}},
        place / "ContraWarping_R50.pth",
    )
    sample = next(drawn_root.rglob("*sample*.txt"))
    shutil.copy(sample, place / "CVPR_5th_ABAW_EXPR_test_set_sample.txt")
    lines = sample.read_text().splitlines()
    _foreign_scores(place / "outside_models.npz", drawn_root)
    values = [lines[0], *(f"{line.partition(',')[0]},{number % 8}" for number, line in enumerate(lines[1:]))]
    (place / "predictions.txt").write_text("\n".join(values) + "\n")
    return place


def test_there_are_commands_to_run() -> None:
    assert len(COMMANDS) > 12
    assert set(COMMANDS) >= RUN_ELSEWHERE


def _foreign_scores(path: Path, drawn_root: Path) -> None:
    """Probabilities of a model of one's own over the validation split."""
    tracks = scan(drawn_root).split("val")
    frames = np.concatenate([track.frames for track in tracks])
    names = np.repeat([track.name for track in tracks], [len(track.frames) for track in tracks])
    np.savez(path, track=names, frame=frames, model=np.random.default_rng(0).dirichlet(np.ones(8), len(frames)))


def test_the_others_are_run_by_the_script_that_guards_main() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    for command in RUN_ELSEWHERE:
        assert command in script


def _shortened(command: str, data: Path) -> str:
    """The command with the real data's place changed, and trainings cut to two steps."""
    command = command.replace("/data/aff-wild2", str(data))
    settings = " ".join(f"--set {key}={value}" for key, value in SHORT.items())
    if command.startswith("harness train"):
        return f"{command} {settings} --workers 0"
    if command.startswith("make train"):
        return command.replace("ARGS=--from-scratch", f"ARGS={shlex.quote('--from-scratch --workers 0 ' + settings)}")
    if "harness predict" in command:
        return f"{command} --workers 0 --batch 8 --stride 4"
    if command.startswith("make predict"):
        return f"{command} ARGS={shlex.quote('--workers 0 --batch 8 --stride 4')}"
    return command


def test_every_command_of_the_readme_runs_in_its_order(place: Path, drawn_root: Path) -> None:
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}", "PYTHONPATH": str(place), "OMP_NUM_THREADS": "1"}
    environment.pop("HARNESS_DATA", None)
    # The installation is the reader's own; `make` must not install again inside a test.
    environment["MAKEFLAGS"] = f"VENV={binaries.parent} --assume-old={binaries.parent}/.setup-done"
    (binaries.parent / ".setup-done").touch()
    for command in COMMANDS:
        if command in RUN_ELSEWHERE:
            continue
        done = subprocess.run(
            ["bash", "-c", _shortened(command, drawn_root)],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert "Traceback" not in done.stderr


ELSEWHERE = {
    "https://arxiv.org/abs/2303.10511",
    "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/vit_small_p16_224-15ec54c9.pth",
    "https://github.com/youqingxiaozhua/ABAW5",
    "https://github.com/youqingxiaozhua/APViT",
    "https://github.com/youqingxiaozhua/ContraWarping",
    "https://github.com/ZhaoJ9014/face.evoLVe/",
    "https://ibug.doc.ic.ac.uk/resources/cvpr-2022-3rd-abaw/",
    "https://ibug.doc.ic.ac.uk/resources/cvpr-2023-5th-abaw/",
    "https://ibug.doc.ic.ac.uk/resources/eccv-2023-4th-abaw/",
    "https://sites.google.com/view/dimitrioskollias/databases/aff-wild2",
    *(f"https://affective-behavior-analysis-in-the-wild.github.io/{edition}th/" for edition in range(6, 12)),
}
"""Pages of the paper, its code and weights, the data and the editions, looked up by hand: no test reaches out."""


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README))))
def test_a_link_of_the_readme_leads_somewhere(target: str) -> None:
    assert target in ELSEWHERE or (ROOT / target).exists()


def test_the_citation_file_names_this_version_its_licence_and_the_paper_of_the_readme() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert cited["version"] == __version__
    assert f'license = "{cited["license"]}"' in (ROOT / "pyproject.toml").read_text()
    assert cited["references"][0]["url"] in README


def test_every_make_target_is_explained() -> None:
    lines = (ROOT / "Makefile").read_text().splitlines()
    targets = [line.partition(":")[0] for line in lines if re.match(r"^[a-z-]+:", line)]
    help_text = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert targets
    for target in targets:
        assert f"{target} " in help_text


def test_the_demonstration_ends_with_the_lines_that_are_shown_and_the_address_of_the_report() -> None:
    printed = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    said = [shlex.split(line)[1] for line in printed.splitlines() if line.startswith('echo "')][-3:]
    shown = [line.replace("/home/you/abaw-harness", str(ROOT)) for line in README.partition("It ends like this")[2].splitlines()]
    assert f"file://{ROOT}/reports/demo.html" in said[1]
    assert [line for line in said if line not in shown] == []


@pytest.mark.parametrize("target", ["train", "predict", "rehearse"])
def test_a_data_folder_with_blanks_in_its_name_is_one_argument(target: str) -> None:
    command = ["make", "-n", target, "DATA=/my data/aff wild", "WEIGHTS=my weights.pt"]
    # The tests themselves are often run by make, whose variables would make this one say which folder it enters and leaves.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    printed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    arguments = shlex.split(printed.splitlines()[-1])
    assert arguments[arguments.index("--data") + 1] == "/my data/aff wild"
    if target != "predict":
        assert arguments[arguments.index("--weights") + 1] == "my weights.pt"
