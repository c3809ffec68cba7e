"""The arrows between the rooms, and what no file of the packages may do."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("harness", "models")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
# Only these rooms may import torch.
TORCH_ROOMS = ("images", "faces", "training", "inference", "studies")
# What each room may import of the others: the arrows of the house. A room may always import itself.
LOW = ("errors", "files", "challenge", "findings")
BELOW_STUDIES = ("data", "runs", "postprocess", "evaluation", "submission", "selection")
ARROWS = {
    "data": LOW,
    "runs": (*LOW, "data"),
    "postprocess": (*LOW,),
    "evaluation": (*LOW, "data", "runs", "postprocess"),
    "images": (*LOW, "data", "runs"),
    "recipes": LOW,
    "submission": (*LOW, "data", "runs", "postprocess", "evaluation"),
    "selection": (*LOW, "data", "runs", "postprocess", "evaluation", "submission"),
    "training": (*LOW, "data", "runs", "postprocess", "evaluation", "images", "recipes", "models"),
    "inference": (*LOW, "data", "runs", "postprocess", "images", "recipes", "models"),
    "demo": LOW,
    "studies": (*LOW, *BELOW_STUDIES, "images", "training", "inference", "recipes", "models"),
    # Of a training it reads the metrics file.
    "report": (*LOW, *BELOW_STUDIES, "training", "recipes"),
    # A clip is predicted and written like a track of a split, and its classes have the colours of the report's page.
    "faces": (*LOW, "data", "runs", "postprocess", "images", "inference", "submission", "report"),
    "errors": (),
    "files": ("errors",),
    "challenge": ("errors",),
    "findings": (),
    "streams": ("files",),
}
# They call everything, and nobody calls them.
ABOVE_ALL = ("commands", "cli", "__init__", "__main__")
LIGHT_FORBIDDEN = ("torch", "torchvision", "pandas", "sklearn", "scipy", "accelerate", "PIL", "matplotlib")


def test_there_are_files_to_look_at() -> None:
    assert len(FILES) > 50


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


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_does_nothing_that_lets_somebody_in(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        place = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [name.name for name in node.names] + [getattr(node, "module", "") or ""]
            assert not {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"} & set(names), place
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        assert name not in ("eval", "exec", "yaml.load", "os.system", "os.popen"), f"{place} calls {name}"
        assert not name.endswith(".extractall"), f"{place} calls {name}"
        for keyword in node.keywords:
            value = ast.unparse(keyword.value)
            assert not (keyword.arg == "shell" and value == "True"), f"{place} runs a shell"
            assert not (keyword.arg == "weights_only" and value != "True"), f"{place} loads pickles"
            assert not (keyword.arg == "allow_pickle" and value == "True"), f"{place} loads pickles"
        if name == "torch.load":
            assert any(keyword.arg == "weights_only" for keyword in node.keywords), f"{place} leaves weights_only to chance"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_files_py_opens_for_writing(path: Path) -> None:
    if path == ROOT / "harness" / "files.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        place = f"{path}:{node.lineno} calls {name}"
        assert not name.endswith((".write_text", ".write_bytes")) or name.startswith("files."), place
        assert name not in ("np.save", "np.savez", "np.savez_compressed", "torch.save") or _into_memory(node), place
        assert not name.endswith((".mkdir", ".unlink", ".rmtree", ".touch", "os.remove", "os.replace")), place
        if name == "open" or name.endswith(".open"):
            modes = [
                ast.unparse(argument) for argument in [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "mode")]
            ]
            assert not any(flag in mode for mode in modes for flag in ("w", "a", "x", "+")) or _into_memory(node), place


def _into_memory(call: ast.Call) -> bool:
    """Whether what the call writes to is a buffer in memory, by the names this code gives such buffers."""
    text = ast.unparse(call)
    return "buffer" in text or "handle" in text


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
