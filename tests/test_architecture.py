"""The arrows between the rooms, and what no file of the packages may do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forbidden import faults

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("harness", "models")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
# Only these rooms may import torch.
TORCH_ROOMS = ("audio", "images", "faces", "training", "inference", "studies")
# What each room may import of the others: the arrows of the house. A room may always import itself.
LOW = ("errors", "files", "challenge", "findings", "words", "progress", "starter")
BELOW_DESK = ("kinds", "data", "runs", "postprocess", "evaluation", "rows")
BELOW_STUDIES = (*BELOW_DESK, "submission", "sending", "selection")
ARROWS = {
    # What classes, units and values are: the arithmetic from scores to measures.
    "kinds": LOW,
    "data": (*LOW, "kinds"),
    "runs": (*LOW, "kinds", "data"),
    "postprocess": (*LOW, "kinds"),
    "evaluation": (*LOW, "kinds", "data", "runs", "postprocess"),
    # From stored scores to rows: who evaluates needs no desk.
    "rows": (*LOW, "kinds", "data", "runs", "postprocess", "evaluation"),
    "images": (*LOW, "data", "runs"),
    "recipes": LOW,
    "audio": (*LOW, "data", "runs"),
    "submission": (*LOW, *BELOW_DESK),
    # Of the desk it reads texts, to let them vote.
    "selection": (*LOW, *BELOW_DESK, "submission"),
    # What is sent is expected to score what its run does, outside the choice of its settings.
    "sending": (*LOW, *BELOW_DESK, "submission", "selection"),
    "training": (*LOW, "kinds", "data", "runs", "postprocess", "evaluation", "images", "recipes", "models"),
    "inference": (*LOW, "kinds", "data", "runs", "postprocess", "images", "recipes", "models"),
    "demo": LOW,
    "studies": (*LOW, *BELOW_STUDIES, "images", "training", "inference", "recipes", "models"),
    # Of a training it reads the metrics file; small pictures of faces are decoded like any other image.
    "report": (*LOW, *BELOW_STUDIES, "images", "training", "recipes"),
    # A clip is predicted and written like a track of a split, and its classes have the colours of the report's page.
    "faces": (*LOW, "kinds", "data", "runs", "postprocess", "images", "inference", "rows", "submission", "report"),
    "errors": (),
    "files": ("errors",),
    "challenge": ("errors",),
    "findings": ("errors", "words"),
    "words": (),
    "progress": ("streams",),
    "streams": ("files",),
    "starter": (),
}
# They call everything, and no room calls them; verbs and other programs call `api`.
ABOVE_ALL = ("commands", "cli", "api", "__init__", "__main__")
LIGHT_FORBIDDEN = ("torch", "torchvision", "pandas", "sklearn", "scipy", "accelerate", "PIL", "matplotlib")


def test_there_are_files_to_look_at() -> None:
    assert len(FILES) > 50


LONGEST_COMMAND, MEDIAN_COMMAND = 40, 20


def test_a_verb_parses_calls_and_prints() -> None:
    """Lines of the bodies of `command`, without its docstring, blanks and comments."""
    lengths = {}
    for path in sorted((ROOT / "harness" / "commands").glob("*.py")):
        lines = path.read_text().splitlines()
        for node in ast.parse("\n".join(lines)).body:
            if isinstance(node, ast.FunctionDef) and node.name == "command":
                body = [line for part in node.body[1:] for line in lines[part.lineno - 1 : part.end_lineno]]
                lengths[path.name] = sum(1 for line in body if line.strip() and not line.strip().startswith("#"))
    assert len(lengths) > 25
    assert max(lengths.values()) <= LONGEST_COMMAND, lengths
    assert sorted(lengths.values())[len(lengths) // 2] <= MEDIAN_COMMAND


def test_a_class_has_one_meaning() -> None:
    """A reader who searches for the name of a class finds one."""
    names = Counter(re.findall(r"^class ([A-Z]\w*)", "\n".join(path.read_text() for path in FILES), re.MULTILINE))
    assert len(names) > 200
    assert not {name: number for name, number in names.items() if number > 1}


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
            for name in node.names:
                yield f"{node.module}.{name.name}", node.lineno


def _room(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[1].removesuffix(".py") if parts[0] == "harness" else "models"


def test_every_room_has_its_arrows() -> None:
    rooms = {_room(path) for path in FILES} - {"models"}
    assert rooms == {*ARROWS, *ABOVE_ALL}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_along_the_arrows(path: Path) -> None:
    room = _room(path)
    for module, line in _imports(path):
        place = f"{path}:{line} imports {module}"
        top = module.split(".")[0]
        if room == "models":
            assert top != "harness", place
            continue
        if top in ("torch", "torchvision", "accelerate", "safetensors") or module == "models" or module.startswith("models."):
            inside_function = room in ("commands",)
            assert room in TORCH_ROOMS or inside_function, place
        if module.startswith("harness.") and room in ARROWS:
            target = module.split(".")[1]
            assert target in (*ARROWS[room], room) or target == "__version__", place
        if module.startswith("harness.commands."):
            assert room in ("cli", "commands"), place


# What stands where it must not but for a reason.
EXCEPTIONS = {
    "harness/streams.py": ("os.fdopen",),  # leads nowhere: /dev/null
    "harness/commands/rehearse.py": ("tempfile.TemporaryDirectory",),  # all that a rehearsal makes is thrown away
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_neither_lets_somebody_in_nor_writes_or_prints_past_the_one_that_may(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    found = [
        fault
        for fault in faults(path.read_text(), name == "harness/files.py", name == "harness/streams.py")
        if not any(f"calls {known}:" in fault for known in EXCEPTIONS.get(name, ()))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import joblib as fine",
        "from pickle import loads",
        "from os import system",
        "from yaml import load",
        "from yaml import unsafe_load as load",
        "from torch import load",
        "from shutil import copy",
        "eval(text)",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "yaml.unsafe_load(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "subprocess.run(text, shell=True)",
        "subprocess.run(text, shell=1)",
        "archive.extractall(place)",
        "archive.extract(member)",
        "shutil.unpack_archive(path)",
        "os.makedirs(path)",
        "path.mkdir()",
        "shutil.copy(first, second)",
        "path.rename(other)",
        "os.replace(first, second)",
        "path.write_text(text)",
        "image.save(path)",
        "image.save(path, 'PNG')",
        "figure.savefig(path)",
        "np.savetxt(path, values)",
        "np.save(path, handles)",
        "table.to_csv(path)",
        "values.tofile(path)",
        "np.memmap(path, dtype, 'r+')",
        "zipfile.ZipFile(path, 'w')",
        "tarfile.open(path, 'w:gz')",
        "os.open(path, os.O_CREAT | os.O_WRONLY)",
        "open(path, 'w')",
        "open(path, mode)",
        "open(path, mode='ab')",
        "open(the_handle_of, 'wb')",
        "path.open('w')",
        "tempfile.NamedTemporaryFile()",
        "print(name)",
        "click.echo(name)",
        "click.secho(name, fg='red')",
        "sys.stdout.write(name)",
        "tqdm.write(name)",
    ],
)
def test_a_line_that_must_not_stand_in_the_packages_is_found(line: str) -> None:
    assert len(faults(line)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "open(path)",
        "open(path, 'rb')",
        "path.open('rb')",
        "files.write_text(path, text)",
        "image.save(buffer, 'PNG')",
        "np.savez(buffer, allow_pickle=False, **arrays)",
        "zipfile.ZipFile(handle)",
        "np.memmap(path, dtype, 'r', 8)",
        "torch.load(path, weights_only=True)",
        "text.replace('a', 'b')",
        "yaml.safe_load(text)",
        "show(name)",
        "handle.write(data)",
    ],
)
def test_a_line_that_may_stand_in_the_packages_is_let_through(line: str) -> None:
    assert faults(line) == []


@pytest.mark.parametrize(
    "module",
    ["harness.cli", "harness.commands.validate", "harness.submission.checks", "harness.submission.build", "harness.data.scan"],
)
def test_what_validate_imports_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set(name.split('.')[0] for name in sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "harness" in loaded
    assert not loaded & set(LIGHT_FORBIDDEN)
