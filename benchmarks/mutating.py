"""Mutants of Python source: one small change at a time, of the kind that a slip of the hand makes.

Neither of the two common tools fits the code: mutmut 3 wraps functions and so leaves alone constants of modules, defaults of
dataclasses and whatever is decorated (properties too), which is where half of the changes were that went unnoticed; cosmic-ray
writes the change into the working tree and knows no deleted calls, statements or keyword arguments. Hence `ast`, and operators
after theirs:

    comparison   < and <=, > and >=, == and !=, `in` and `not in`, `is` and `is not` exchanged
    arithmetic   + and -, * and /, // and %, ** to *, & and |, << and >> exchanged, also where assigned in place
    boolean      `and` and `or` exchanged; an operand of `and`, `or`, `&` and `|` left out; `not`, `-` and `~` left out
    constant     True and False exchanged; a whole number 1 more; a fraction doubled (0.0 to 1.0)
    condition    negated, of `if`, `while`, `... if ... else` and comprehensions
    statement    deleted: calls, `raise`, what is assigned in place, to a key or to an attribute; `break` and `continue` exchanged
    call         replaced by its first argument, unless it only converts (int, list, Path, ...)
    keyword      left out of a call
    return       None instead of the value

Not mutated, because no behaviour hangs on it or because it is text: docstrings, strings, whatever stands within an f-string or
makes the message of a `raise`, type hints, decorators, imports, `__all__`, what only runs for type checkers, and `strict=True`,
by which `zip` guards against a mistake of the code itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mod, ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
_CONVERSIONS = ("bool", "int", "float", "str", "list", "tuple", "Path")
"""What they give says the same as what they take, and mostly does."""
_HINTS = ("annotation", "returns", "decorator_list")
"""Fields of a node that say what something is, not what happens."""


@dataclass(frozen=True)
class Mutant:
    """One change: `line` (1-based) of a file, the operator, the text that stands there and the text put in its place.

    `begin` and `end` are the offsets in bytes of what is replaced; `span` are the first and the last line of the statement around
    it (of a compound one, without its body), None for one that is executed on import. `names` are what the statements outside of
    functions around it give their names to: constants, fields, classes, functions.
    """

    line: int
    span: tuple[int, int] | None
    operator: str
    before: str
    after: str
    begin: int
    end: int
    names: frozenset[str] = frozenset()

    def of(self, source: str) -> str:
        """The changed source."""
        written = source.encode()
        return (written[: self.begin] + self.after.encode() + written[self.end :]).decode()

    @property
    def change(self) -> str:
        """The change in one line."""
        return f"{' '.join(self.before.split())} -> {self.after}"


def mutants(source: str) -> list[Mutant]:
    """Every mutant of a source, in its order."""
    written = source.encode()
    starts = [0, *(place + 1 for place, byte in enumerate(written) if byte == ord("\n"))]
    found = []
    for node, span, names in _behaving(ast.parse(source), None, frozenset(), False):
        for operator, there, changed in _changes(node):
            begin = starts[there.lineno - 1] + there.col_offset
            end = starts[(there.end_lineno or there.lineno) - 1] + (there.end_col_offset or 0)
            before = written[begin:end].decode()
            # In brackets: the new expression may bind less tightly than what it replaces.
            after = ast.unparse(changed) if isinstance(changed, ast.stmt) else f"({ast.unparse(changed)})"
            found.append(Mutant(there.lineno, span, operator, before, after, begin, end, names))
    return sorted(set(found), key=lambda mutant: (mutant.begin, mutant.end, mutant.operator, mutant.after))


def made_of(source: str, names: frozenset[str]) -> frozenset[str]:
    """The names, and those of all that statements outside of functions make of them on import."""
    statements = [statement for statement in ast.parse(source).body if isinstance(statement, ast.Assign | ast.AnnAssign)]
    while more := frozenset(
        name
        for statement in statements
        if names.intersection(node.id for node in ast.walk(statement) if isinstance(node, ast.Name))
        for name in _bound(statement) - names
    ):
        names |= more
    return names


def _behaving(
    node: ast.AST, span: tuple[int, int] | None, names: frozenset[str], inside: bool
) -> Iterator[tuple[ast.AST, tuple[int, int] | None, frozenset[str]]]:
    """The node and those below it that behaviour hangs on, with their spans and names; `inside` a function or not."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr) or _is_for_readers(node) or _is_strict(node):
        return
    if isinstance(node, ast.stmt):
        span, names = (_span(node), names) if inside else (span, names | _bound(node))
    yield node, span, names
    if isinstance(node, ast.Raise):
        return
    for name, value in ast.iter_fields(node):
        if name in _HINTS:
            continue
        is_body = name == "body" and isinstance(node, ast.FunctionDef)
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _behaving(child, span, names, inside or is_body)


def _bound(statement: ast.stmt) -> frozenset[str]:
    """What a statement gives a name to."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return frozenset({statement.name})
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return frozenset(node.id for target in targets if target for node in ast.walk(target) if isinstance(node, ast.Name))


def _span(statement: ast.stmt) -> tuple[int, int]:
    body = getattr(statement, "body", None)
    last = max(body[0].lineno - 1, statement.lineno) if body else statement.end_lineno or statement.lineno
    return statement.lineno, last


def _is_for_readers(node: ast.AST) -> bool:
    """Whether this is a docstring, a list of public names, an alias of a type or something that only type checkers run."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If):
        return ast.unparse(node.test).endswith("TYPE_CHECKING")
    if isinstance(node, ast.Assign):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        is_alias = isinstance(node.value, ast.Subscript) and isinstance(node.value.value, ast.Name)
        return names == ["__all__"] or (is_alias and ast.unparse(node.value).split("[")[0] in ("NDArray", "Literal", "Callable"))
    return False


def _is_strict(node: ast.AST) -> bool:
    return isinstance(node, ast.keyword) and node.arg == "strict"


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.expr | ast.stmt, ast.expr | ast.stmt]]:
    """The operators that apply to a node: name, what is replaced (the node or its condition), and by what."""
    if isinstance(node, ast.If | ast.While | ast.IfExp) and not _negated_elsewhere(node.test):
        yield "condition", node.test, ast.UnaryOp(ast.Not(), node.test)
    if isinstance(node, ast.comprehension):
        for test in node.ifs:
            if not _negated_elsewhere(test):
                yield "condition", test, ast.UnaryOp(ast.Not(), test)
    if isinstance(node, ast.expr):
        for operator, expression in _changed_expression(node):
            yield operator, node, expression
    if isinstance(node, ast.stmt):
        for operator, statement in _changed_statement(node):
            yield operator, node, statement


def _negated_elsewhere(test: ast.expr) -> bool:
    """Whether the operators of comparisons, `not` and constants negate this condition already."""
    if isinstance(test, ast.Compare):
        return len(test.ops) == 1 and not isinstance(test.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE)
    return isinstance(test, ast.Constant) or (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not))


def _changed_expression(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Compare(left=left, ops=ops, comparators=others):
            for place, operator in enumerate(ops):
                exchanged = [*ops[:place], _COMPARISONS[type(operator)](), *ops[place + 1 :]]
                yield "comparison", ast.Compare(left, exchanged, others)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC and not _is_text_or_hint(left, right):
            yield "arithmetic", ast.BinOp(left, _ARITHMETIC[type(op)](), right)
            if isinstance(op, ast.BitAnd | ast.BitOr):
                yield from (("boolean", left), ("boolean", right))
        case ast.BoolOp(op=op, values=values):
            yield "boolean", ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
            for place in range(len(values)):
                rest = values[:place] + values[place + 1 :]
                yield "boolean", rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
        case ast.UnaryOp(operand=operand) if not isinstance(operand, ast.Constant):
            yield "boolean", operand
        case ast.Constant(value=bool() as value):
            yield "constant", ast.Constant(not value)
        case ast.Constant(value=int() as value):
            yield "constant", ast.Constant(value + 1)
        case ast.Constant(value=float() as value):
            yield "constant", ast.Constant(2 * value or 1.0)
        case ast.Call(func=function, args=arguments, keywords=keywords):
            if arguments and ast.unparse(function) not in _CONVERSIONS and not _is_loose(arguments[0]):
                yield "call", arguments[0]
            for place, keyword in enumerate(keywords):
                if keyword.arg is not None and not _is_strict(keyword):
                    yield "keyword", ast.Call(function, arguments, keywords[:place] + keywords[place + 1 :])


def _changed_statement(node: ast.stmt) -> Iterator[tuple[str, ast.stmt]]:
    match node:
        case ast.AugAssign(target=target, op=op, value=value):
            if type(op) in _ARITHMETIC and not _is_text_or_hint(value):
                yield "arithmetic", ast.AugAssign(target, _ARITHMETIC[type(op)](), value)
            yield "statement", ast.Pass()
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Delete() | ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            yield "statement", ast.Pass()
        case ast.Break():
            yield "statement", ast.Continue()
        case ast.Continue():
            yield "statement", ast.Break()
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield "return", ast.Return(ast.Constant(None))


def _is_loose(argument: ast.expr) -> bool:
    """Whether an argument could not stand alone, or is a text and so never what the call gives."""
    is_text = isinstance(argument, ast.JoinedStr) or (isinstance(argument, ast.Constant) and isinstance(argument.value, str))
    return is_text or isinstance(argument, ast.Starred | ast.GeneratorExp)


def _is_text_or_hint(*operands: ast.expr) -> bool:
    """Whether an operand shows that text is put together, or that two types are."""
    return any(
        isinstance(operand, ast.JoinedStr)
        or (isinstance(operand, ast.Constant) and (operand.value is None or isinstance(operand.value, str)))
        for operand in operands
    )
