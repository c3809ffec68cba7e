"""Places in a source that ask which challenge it is, or which kind a field is of, found in the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from harness.challenge import EXPR, FORMATS

NAMES = frozenset(form.challenge.name for form in FORMATS)
KINDS = frozenset(field.kind for form in FORMATS for field in form.challenge.fields)
# The challenges as they are called in harness.challenge.
CONSTANTS = frozenset({*NAMES, "EXPR_7", "AU_8"})
assert EXPR.name in CONSTANTS


def questions(source: str) -> list[tuple[int, str]]:
    """The lines that compare, match or look up a challenge or a kind by name, each with what stands there."""
    return sorted((getattr(node, "lineno", 0), ast.unparse(node)) for node in ast.walk(ast.parse(source)) if _asks(node))


def _asks(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        sides = [part for side in (node.left, *node.comparators) for part in _alternatives(side)]
        if any(_is_challenge(side) or _literal(side) in NAMES for side in sides):
            return True
        return any(_is_attribute(side, "kind") for side in sides) and any(_literal(side) in KINDS for side in sides)
    if isinstance(node, ast.MatchValue):
        return _literal(node.value) in NAMES | KINDS or _is_challenge(node.value)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Dict):
        return any(_literal(key) in NAMES | KINDS for key in node.value.keys if key is not None)
    return False


def _alternatives(side: ast.expr) -> Iterator[ast.expr]:
    """A side of a comparison, and what stands in it if it is a list of several."""
    yield side
    if isinstance(side, (ast.Tuple, ast.List, ast.Set)):
        yield from side.elts


def _is_challenge(side: ast.expr) -> bool:
    """Whether it is one of the challenges, or something of one, such as EXPR.class_names."""
    while isinstance(side, ast.Attribute):
        side = side.value
    return isinstance(side, ast.Name) and side.id in CONSTANTS


def _is_attribute(side: ast.expr, name: str) -> bool:
    return isinstance(side, ast.Attribute) and side.attr == name


def _literal(side: ast.expr) -> object:
    return side.value if isinstance(side, ast.Constant) and isinstance(side.value, str) else None
