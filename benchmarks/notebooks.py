"""Runs the notebooks of docs/notebooks: their code cells in order, in one namespace, as Jupyter would.

    python -m benchmarks.notebooks            runs each in a working folder of its own and says what failed
    python -m benchmarks.notebooks --write    and keeps what the cells print in the notebooks

A line that begins with `!` is a command, as in Jupyter; of what it prints the standard output is kept. Jupyter is not needed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).resolve().parent.parent / "docs" / "notebooks"
_RUN = "_run_command"
"""The name by which a cell's commands are run."""


def main() -> None:
    """Runs all notebooks, one after the other in one working folder, so that they share the embedded data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("names", nargs="*", help="stems of notebooks; by default all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(NOTEBOOKS.glob("*.ipynb")):
            if not options.names or path.stem in options.names:
                printed = run(path, Path(folder))
                print(f"{path.name}: {len(printed)} cells")
                if options.write:
                    path.write_text(with_outputs(path, printed))


def code_cells(path: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook in order."""
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def run(path: Path, place: Path) -> list[str]:
    """What each code cell of a notebook prints when all are run in the working folder `place`; errors are raised.

    Where that folder is named it is left out, for a reader has another.
    """
    names: dict[str, Any] = {"__name__": "__main__", _RUN: _run_command}
    with contextlib.chdir(place):
        printed = [_run_cell("".join(cell["source"]), names) for cell in code_cells(path)]
    return [text.replace(f"{place.resolve()}/", "") for text in printed]


def _run_cell(source: str, names: dict[str, Any]) -> str:
    """Runs one cell; what it prints, and the value of an expression at its end."""
    lines = (f"{_RUN}({line[1:].strip()!r})" if line.startswith("!") else line for line in source.splitlines())
    tree = ast.parse("\n".join(lines))
    last = tree.body[-1] if tree.body else None
    ending = ast.Expression(last.value) if isinstance(last, ast.Expr) else None
    if ending is not None:
        tree.body.pop()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec", dont_inherit=True), names)
        value = None if ending is None else eval(compile(ending, "<cell>", "eval", dont_inherit=True), names)
        if value is not None:
            print(repr(value))
    return printed.getvalue()


def _run_command(command: str) -> None:
    """Runs a command of a cell with this interpreter's programs and prints what it prints. Raises if it fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, shell=True, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command}\n{done.stdout}\n{done.stderr}")
    print(done.stdout, end="")


def with_outputs(path: Path, printed: list[str]) -> str:
    """The notebook's text with what its code cells printed."""
    notebook = json.loads(path.read_text())
    remaining: Iterator[str] = iter(printed)
    for number, cell in enumerate(cell for cell in notebook["cells"] if cell["cell_type"] == "code"):
        text = next(remaining)
        cell["execution_count"] = number + 1
        cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}] if text else []
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
