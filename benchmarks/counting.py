"""How much there is: files, functions, classes, lines of code, names defined twice. Prints a table; `make count`.

python benchmarks/counting.py                 the working tree
python benchmarks/counting.py REV             a git revision
python benchmarks/counting.py REV1 REV2       two revisions, or one and the working tree (.), and the difference
python benchmarks/counting.py --names [REV]   which names are defined twice and which files are tiny
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tarfile
import tokenize
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOMS = {"harness, models": ("harness", "models"), "tests": ("tests",)}
WORKING_TREE = "."
TINY = 25  # lines of code

# Tokens that are no code.
_SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


@dataclass(frozen=True)
class Count:
    """What a set of files holds; `twice` maps a public name to the files that define it, `tiny` a file to its lines of code."""

    files: int
    functions: int
    classes: int
    code: int
    twice: Mapping[str, list[str]]
    tiny: Mapping[str, int]

    def rows(self) -> dict[str, int]:
        """The figures of the table."""
        return {
            "files": self.files,
            "functions and methods": self.functions,
            "classes": self.classes,
            "public names defined twice or more": len(self.twice),
            "lines of code": self.code,
            f"files below {TINY} lines of code": len(self.tiny),
        }


def lines_of_code(source: str) -> int:
    """Lines with a token on them that is neither a comment nor part of a text that stands alone, as docstrings do."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            assert node.end_lineno is not None
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return len(lines)


def count(sources: Mapping[str, str]) -> Count:
    """Counts Python files, path -> text.

    A public name is a function or class of a module itself, without a leading underscore; defined twice means in two files.
    A file is tiny if it has a line of code and less than TINY of them, `__init__.py` aside.
    """
    functions = classes = code = 0
    places: dict[str, list[str]] = defaultdict(list)
    tiny: dict[str, int] = {}
    for path, source in sorted(sources.items()):
        tree = ast.parse(source)
        functions += sum(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) for node in ast.walk(tree))
        classes += sum(isinstance(node, ast.ClassDef) for node in ast.walk(tree))
        lines = lines_of_code(source)
        code += lines
        if 0 < lines < TINY and Path(path).name != "__init__.py":
            tiny[path] = lines
        defined = (node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)))
        for name in {node.name for node in defined if not node.name.startswith("_")}:
            places[name].append(path)
    twice = {name: where for name, where in sorted(places.items()) if len(where) > 1}
    return Count(len(sources), functions, classes, code, twice, tiny)


def read(revision: str, folders: tuple[str, ...]) -> dict[str, str]:
    """The Python files below some folders, path -> text, in the working tree or in a git revision."""
    top = Path(__file__).resolve().parent.parent
    if revision == WORKING_TREE:
        paths = (path for folder in folders for path in (top / folder).rglob("*.py"))
        return {path.relative_to(top).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    packed = subprocess.run(["git", "archive", revision, "--", *folders], cwd=top, capture_output=True, check=True).stdout
    sources = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            stored = archive.extractfile(member) if member.name.endswith(".py") else None
            if stored is not None:
                sources[member.name] = stored.read().decode("utf-8")
    return sources


def main() -> None:
    words = sys.argv[1:]
    revisions = [word for word in words if word != "--names"] or [WORKING_TREE]
    if len(revisions) > 2 or any(word.startswith("-") for word in revisions):
        sys.exit(__doc__)
    for title, folders in ROOMS.items():
        counts = [count(read(revision, folders)) for revision in revisions]
        heads = ["working tree" if revision == WORKING_TREE else revision[:12] for revision in revisions]
        print("".join([f"{title:<36}", *(f"{head:>14}" for head in [*heads, *["difference"] * (len(counts) == 2)])]))
        for row in counts[0].rows():
            figures = [found.rows()[row] for found in counts]
            change = [f"{figures[1] - figures[0]:>+14,}"] if len(figures) == 2 else []
            print("".join([f"{row:<36}", *(f"{figure:>14,}" for figure in figures), *change]))
        if "--names" in words:
            for name, where in counts[-1].twice.items():
                print(f"  {name}: {', '.join(where)}")
            for path, lines in counts[-1].tiny.items():
                print(f"  {lines:>2} lines of code: {path}")
        print()


if __name__ == "__main__":
    main()
