"""Mutants: the same source with one thing changed. Which ones there are depends on the source alone.

Changed is what functions do: comparisons, ``and`` and ``or``, ``not``, conditions, numbers, words for machines,
arithmetic, ``any`` and ``all``, ``min`` and ``max``, ``break`` and ``continue``, what is returned; and statements are
left out. Not changed: docstrings, annotations, decorators, defaults, asserts, what stands outside of functions,
messages of exceptions, and strings with a blank in them, which are words for people.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Final, NamedTuple, TypeVar

T = TypeVar("T", bound=ast.AST)

SWAPPED: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Break: ast.Continue,
    ast.Continue: ast.Break,
}
RENAMED: Final = {"any": "all", "all": "any", "min": "max", "max": "min"}
KEPT: Final = {"decorator_list", "returns", "annotation", "args", "format_spec", "exc", "cause", "cls"}
"""Fields of the tree that are left as they are, with all below them (``args`` of a call is changed all the same)."""


class Place(NamedTuple):
    """Where in the tree a node hangs: in a field of its parent, or in a list that is one."""

    parent: ast.AST
    field: str
    at: int | None

    def put(self, node: ast.AST) -> None:
        """Hang ``node`` there."""
        if self.at is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.at] = node


class Mutant(NamedTuple):
    """One change to one function. ``name`` says it without line numbers, so that it keeps it when others move."""

    file: str
    name: str
    function: str
    lines: range  # whoever executes none of these does not notice
    tree: ast.Module
    place: Place
    before: ast.AST
    after: ast.AST

    def codes(self, filename: str) -> dict[str, CodeType]:
        """The function as it is now, and those within it, by their qualified names."""
        with self._applied():
            whole = compile(self.tree, filename, "exec", dont_inherit=True)
        return {
            code.co_qualname: code
            for code in _codes(whole)
            if code.co_qualname == self.function or code.co_qualname.startswith(f"{self.function}.<locals>.")
        }

    @contextmanager
    def _applied(self) -> Iterator[None]:
        self.place.put(self.after)
        try:
            yield
        finally:
            self.place.put(self.before)


def mutants_of(root: Path, file: str) -> list[Mutant]:
    """All mutants of a file, in the order of its text."""
    tree = ast.parse((root / file).read_text())
    found: list[Mutant] = []
    names: dict[str, int] = {}
    for function, node in _functions(tree, ""):
        for place, before, lines in _places(node, range(0)):
            for after in _others(before, place):
                ast.fix_missing_locations(ast.copy_location(after, before))
                name = f"{function}: {_words(before)} -> {_words(after)}"
                names[name] = names.get(name, 0) + 1
                if names[name] > 1:
                    name += f" ({names[name]})"
                found.append(Mutant(file, name, function, lines, tree, place, before, after))
    return found


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _functions(node: ast.AST, within: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions of a module and of its classes, by their qualified names; what is within them is part of them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield f"{within}{child.name}", child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{within}{child.name}.")


def _places(node: ast.AST, lines: range) -> Iterator[tuple[Place, ast.AST, range]]:
    """Every node below this one that may be changed, and which lines are executed if it is."""
    for field, value in ast.iter_fields(node):
        if (field in KEPT and not isinstance(node, ast.Call)) or isinstance(node, ast.Assert):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _is_docstring(child):
                continue
            # A simple statement is executed as a whole; of one that has others below it, its condition is.
            whole = isinstance(node, ast.stmt) and not hasattr(node, "body") and not hasattr(node, "cases")
            below = lines if whole or not hasattr(child, "lineno") or _in_expression(node) else _span(child)
            yield Place(node, field, index), child, below
            yield from _places(child, below)


def _in_expression(node: ast.AST) -> bool:
    return isinstance(node, ast.expr | ast.comprehension | ast.keyword | ast.pattern)


def _span(node: ast.AST) -> range:
    first = getattr(node, "lineno", 0)
    last = first if hasattr(node, "body") or hasattr(node, "cases") else getattr(node, "end_lineno", first)
    return range(first, last + 1)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _others(node: ast.AST, place: Place) -> Iterator[ast.AST]:
    """What could stand there instead."""
    yield from _other_expressions(node) if isinstance(node, ast.expr) else _other_statements(node)
    decides = place.field in {"test", "guard", "ifs"}
    if decides and isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.NamedExpr | ast.Subscript):
        yield ast.UnaryOp(ast.Not(), node)


def _other_expressions(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.Compare(ops=ops):
            for at, op in enumerate(ops):
                yield _with(node, ops=[*ops[:at], SWAPPED[type(op)](), *ops[at + 1 :]])
        case ast.BoolOp(op=op) | ast.BinOp(op=op) if type(op) in SWAPPED:
            yield _with(node, op=SWAPPED[type(op)]())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Constant(value=value):
            yield from (_with(node, value=other) for other in _other_values(value))
        case ast.Name(id=name, ctx=ast.Load()) if name in RENAMED:
            yield _with(node, id=RENAMED[name])
        case _:
            pass


def _other_statements(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.AugAssign(op=op):
            yield _with(node, op=SWAPPED[type(op)]())
            yield ast.Pass()
        case ast.Break() | ast.Continue():
            yield SWAPPED[type(node)]()
        case ast.Return(value=value) if value is not None and getattr(value, "value", True):
            yield _with(node, value=ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Delete():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]):
            yield ast.Pass()
        case _:
            pass


def _other_values(value: object) -> list[object]:
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1]
        case str() if " " not in value:
            return [value + "XX"]
        case bytes():
            return [value + b"XX"]
        case _:
            return []


def _with(node: T, **fields: object) -> T:
    twin = copy.copy(node)
    for name, value in fields.items():
        setattr(twin, name, value)
    return twin


def _words(node: ast.AST) -> str:
    """The node as source in one line; of a long one the beginning."""
    text = " ".join(ast.unparse(node).split())
    return f"`{text if len(text) < 90 else text[:87] + '...'}`"
