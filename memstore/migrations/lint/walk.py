"""Following a revision through upgrade() and downgrade(), the functions of its own that they call, and its loops."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import Any

from .expressions import Evaluator, Names, bind, iterated
from .values import FUNCTION, UNKNOWN, Batch, Construct, Reference, Unknown

_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class OpCall:
    """A call of an operation: its name, what it was given, and where it stands.

    `first` is the first line of the statement that it is part of, `around` the lines of the `with` of its batch.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    line: int
    end: int
    first: int
    around: tuple[int, ...] = ()
    autocommit: bool = False

    def argument(self, place: int | None, *names: str) -> Any:
        """Return an argument by its place or by one of its names; None where it was left out."""
        if place is not None and place < len(self.args):
            return self.args[place]
        for name in names:
            if name in self.kwargs:
                return self.kwargs[name]
        return UNKNOWN if "**" in self.kwargs else None


class Walk:
    """Goes through a module once, and then through as many of its functions as asked for."""

    def __init__(self, module: ast.Module) -> None:
        self._evaluator = Evaluator(self._call)
        self._functions: dict[str, ast.FunctionDef] = {}
        self._calls: list[OpCall] = []
        self._active: list[str] = []
        self._autocommit = False
        self._first = 0
        self._around: tuple[int, ...] = ()
        self.names: Names = {}
        for node in module.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.names[node.name] = Reference(f"<own>.{node.name}")
            if isinstance(node, ast.FunctionDef):
                self._functions[node.name] = node
        self._run(module.body, self.names)

    @property
    def functions(self) -> dict[str, ast.FunctionDef]:
        """The functions of the module, by name."""
        return self._functions

    def calls(self, function: str) -> list[OpCall]:
        """Return the operations that a function calls, itself and through others of the module, in order."""
        self._calls = []
        if function in self._functions:
            self._enter(self._functions[function], [], {})
        return self._calls

    def _enter(self, function: ast.FunctionDef, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if function.name in self._active or len(self._active) >= _DEEPEST:
            return UNKNOWN
        names = dict(self.names)
        given = function.args
        defaults = [*given.posonlyargs, *given.args][::-1]
        for parameter, default in zip(defaults, reversed(given.defaults), strict=False):
            names[parameter.arg] = self._evaluator.value(default, self.names)
        for parameter, kw_default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
            names[parameter.arg] = UNKNOWN if kw_default is None else self._evaluator.value(kw_default, self.names)
        for parameter in defaults[len(given.defaults) :]:
            names[parameter.arg] = UNKNOWN
        for parameter, value in zip([*given.posonlyargs, *given.args], args, strict=False):
            names[parameter.arg] = value
        names |= kwargs
        if given.vararg:
            names[given.vararg.arg] = tuple(args[len(given.args) :])
        if given.kwarg:
            names[given.kwarg.arg] = UNKNOWN
        self._active.append(function.name)
        try:
            return self._run(function.body, names)
        finally:
            self._active.pop()

    def _run(self, body: list[ast.stmt], names: Names) -> Any:
        """Go through statements, and return what they return; None where they do not."""
        returned = None
        for node in body:
            if len(self._active) <= 1:
                self._first = node.lineno
            result = self._statement(node, names)
            returned = result if result is not None else returned
        return returned

    def _statement(self, node: ast.stmt, names: Names) -> Any:
        value = self._evaluator.value
        match node:
            case ast.Expr(value=expression):
                value(expression, names)
            case ast.Assign(targets=targets, value=expression):
                found = value(expression, names)
                for target in targets:
                    bind(target, found, names)
            case ast.AnnAssign(target=target, value=expression) if expression is not None:
                bind(target, value(expression, names), names)
            case ast.AugAssign(target=ast.Name(id=name), op=operator, value=expression):
                added = ast.BinOp(left=ast.Name(id=name, ctx=ast.Load()), op=operator, right=expression)
                names[name] = value(ast.copy_location(added, node), names)
            case ast.Return(value=expression):
                return value(expression, names)
            case ast.Import() | ast.ImportFrom():
                _import(node, names)
            case ast.For(target=target, iter=iterable, body=body, orelse=other):
                items = iterated(value(iterable, names))
                for item in [UNKNOWN] if items is None else items:
                    bind(target, item, names)
                    self._run(body, names)
                return self._run(other, names)
            case ast.While(test=test, body=body, orelse=other):
                value(test, names)
                self._run(body, names)
                return self._run(other, names)
            case ast.If(test=test, body=body, orelse=other):
                told = value(test, names)
                if not isinstance(told, Unknown | Construct | Reference):
                    return self._run(body if told else other, names)
                first, second = self._run(body, names), self._run(other, names)
                return first if first is not None else second
            case ast.With():
                return self._with(node, names)
            case ast.Try(body=body, handlers=handlers, orelse=other, finalbody=final):
                for each in (body, *(handler.body for handler in handlers), other, final):
                    self._run(each, names)
        return None

    def _with(self, node: ast.With, names: Names) -> Any:
        before = self._autocommit, self._around
        for item in node.items:
            entered = self._evaluator.value(item.context_expr, names)
            if isinstance(entered, Construct) and entered.name == "autocommit_block":
                self._autocommit = True
            if isinstance(entered, Batch):
                expression = item.context_expr
                last = expression.end_lineno or expression.lineno
                self._around = (*self._around, node.lineno, *range(expression.lineno, last + 1))
            if item.optional_vars is not None:
                bind(item.optional_vars, entered, names)
        try:
            return self._run(node.body, names)
        finally:
            self._autocommit, self._around = before

    def _call(self, node: ast.Call, callee: Reference, args: list[Any], kwargs: dict[str, Any]) -> Any:
        owner, name = callee.owner, callee.last
        if callee.path.startswith("<own>."):
            return self._enter(self._functions[name], args, kwargs) if name in self._functions else UNKNOWN
        if isinstance(owner, Batch) and name in ("f", "inline_literal"):
            return self._operation(node, name, args, kwargs)
        if isinstance(owner, Batch):
            self._note(node, f"batch.{name}", [owner.table, *args], {**kwargs, "schema": owner.schema})
            return UNKNOWN
        if isinstance(owner, Construct) and name == "autocommit_block":
            self._note(node, "autocommit_block", [], {})
            return Construct("autocommit_block")
        if isinstance(owner, Construct) and owner.name in ("get_bind", "get_context", "Session"):
            if name in ("execute", "exec_driver_sql", "scalar", "scalars"):
                self._note(node, "execute", args, kwargs)
            return UNKNOWN
        if callee.path.startswith("alembic.op."):
            return self._operation(node, name, args, kwargs)
        if owner is None:
            function = callee.path.rpartition(f".{FUNCTION}")[2] if f".{FUNCTION}" in callee.path else None
            return Construct(name if function is None else f"{FUNCTION}{function}", tuple(args), kwargs)
        if isinstance(owner, Construct):
            return _method(owner, name)
        return UNKNOWN

    def _operation(self, node: ast.Call, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if name in ("get_bind", "get_context"):
            return Construct(name)
        if name == "f":
            return args[0] if args else UNKNOWN
        if name in ("inline_literal", "embedding_dim"):
            return UNKNOWN
        if name == "batch_alter_table":
            return Batch(args[0] if args else kwargs.get("table_name", UNKNOWN), kwargs.get("schema"))
        self._note(node, name, args, kwargs)
        return UNKNOWN

    def _note(self, node: ast.Call, name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        end = node.end_lineno or node.lineno
        first = self._first or node.lineno
        self._calls.append(
            OpCall(name, tuple(args), kwargs, node.lineno, end, first, self._around, self._autocommit)
        )  # fmt: skip


def _method(owner: Construct, name: str) -> Construct:
    """Return what a method of something makes of it."""
    if owner.name in ("table", "Table") and name in ("update", "delete"):
        return Construct(name, (owner,))
    if owner.name in ("update", "delete") and name in ("where", "filter", "filter_by"):
        return replace(owner, kwargs={**owner.kwargs, "where": True})
    # Such as text(...).bindparams(...) and String().with_variant(...): still what it was.
    return owner


def _import(node: ast.Import | ast.ImportFrom, names: Names) -> None:
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            names[alias.asname or alias.name] = Reference(f"{node.module or ''}.{alias.name}")
        elif alias.asname:
            names[alias.asname] = Reference(alias.name)
        else:
            top = alias.name.partition(".")[0]
            names[top] = Reference(top)
