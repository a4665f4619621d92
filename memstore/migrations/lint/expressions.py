"""Telling what an expression of a revision is, as far as that can be told without running it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from .values import HOLE, UNKNOWN, Construct, Reference, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable

Names = dict[str, Any]

_TEXT_METHODS = frozenset(
    {
        "format",
        "join",
        "lower",
        "lstrip",
        "replace",
        "removeprefix",
        "removesuffix",
        "rstrip",
        "split",
        "strip",
        "upper",
    }
)
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "dict": dict,
    "enumerate": lambda *args: list(enumerate(*args)),
    "len": len,
    "list": list,
    "range": lambda *args: _short_range(*args),
    "reversed": lambda value: list(reversed(value)),
    "sorted": sorted,
    "str": str,
    "tuple": tuple,
    "zip": lambda *args: list(zip(*args, strict=False)),
}
_LONGEST_RANGE = 1000


class Evaluator:
    """Evaluates expressions. What calls do is for `call` to say, which is asked about each but the plainest."""

    def __init__(self, call: Callable[[ast.Call, Reference, list[Any], dict[str, Any]], Any]) -> None:
        self._call = call

    def value(self, node: ast.expr | None, names: Names) -> Any:
        """Return what an expression is, or UNKNOWN."""
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return names.get(name, Reference(name) if name in _FUNCTIONS else UNKNOWN)
            case ast.JoinedStr(values=parts):
                return "".join(self._formatted(part, names) for part in parts)
            case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
                values = self.elements(elements, names)
                return values if isinstance(node, ast.List) or isinstance(values, Unknown) else tuple(values)
            case ast.Dict(keys=keys, values=values):
                return self._dict(keys, values, names)
            case ast.BinOp():
                return self._operation(node, names)
            case ast.Attribute(value=owner, attr=name):
                return self._attribute(self.value(owner, names), name)
            case ast.Subscript(value=owner, slice=index):
                return _item(self.value(owner, names), self.value(index, names))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                number = self.value(operand, names)
                return -number if isinstance(number, int | float) else UNKNOWN
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                value = self.value(operand, names)
                return UNKNOWN if isinstance(value, Unknown | Construct | Reference) else not value
            case ast.ListComp(elt=element, generators=[each]) | ast.GeneratorExp(elt=element, generators=[each]):
                return self._comprehension(element, each, names)
            case ast.Call():
                return self._called(node, names)
            case ast.IfExp(test=test, body=body, orelse=other):
                told = self.value(test, names)
                if isinstance(told, Unknown | Construct | Reference):
                    return UNKNOWN
                return self.value(body if told else other, names)
            case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq() as operator], comparators=[right]):
                equal = _equal(self.value(left, names), self.value(right, names))
                return equal if equal is UNKNOWN else equal is isinstance(operator, ast.Eq)
            case None:
                return None
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr) and not isinstance(node, ast.Lambda):
                self.value(child, names)  # a call within is made all the same
        return UNKNOWN

    def elements(self, nodes: list[ast.expr], names: Names) -> Any:
        """Return the elements of a list, those of starred ones included; UNKNOWN where a starred one is."""
        found: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                inner = self.value(node.value, names)
                if not isinstance(inner, list | tuple | dict):
                    return UNKNOWN
                found.extend(inner)
            else:
                found.append(self.value(node, names))
        return found

    def _formatted(self, node: ast.expr, names: Names) -> str:
        if not isinstance(node, ast.FormattedValue):
            value = self.value(node, names)
            return value if isinstance(value, str) else HOLE
        value, spec = self.value(node.value, names), self.value(node.format_spec, names) or ""
        if isinstance(value, Construct) and value.name in ("text", "quoted_name") and value.args:
            value = value.args[0]
        if not isinstance(value, str | int | float) or node.conversion != -1:
            return HOLE
        try:
            return format(value, spec)
        except ValueError:
            return HOLE

    def _dict(self, keys: list[ast.expr | None], values: list[ast.expr], names: Names) -> Any:
        found: dict[Any, Any] = {}
        for key_node, value_node in zip(keys, values, strict=True):
            value = self.value(value_node, names)
            if key_node is None:
                if not isinstance(value, dict):
                    return UNKNOWN
                found |= value
                continue
            key = self.value(key_node, names)
            if not isinstance(key, str | int | float | bool | None):
                return UNKNOWN
            found[key] = value
        return found

    def _operation(self, node: ast.BinOp, names: Names) -> Any:
        left, right = self.value(node.left, names), self.value(node.right, names)
        match node.op:
            case ast.Add() if isinstance(left, str) or isinstance(right, str):
                return "".join(each if isinstance(each, str) else HOLE for each in (left, right))
            case ast.Add() if isinstance(left, list | tuple) and isinstance(right, list | tuple):
                return [*left, *right]
            case ast.Add() | ast.Sub() | ast.Mult() | ast.BitOr() | ast.FloorDiv():
                return _arithmetic(node.op, left, right)
            case ast.Mod() if isinstance(left, str):
                return _percent(left, right)
        return UNKNOWN

    def _attribute(self, owner: Any, name: str) -> Any:
        match owner:
            case Reference(path=path, owner=inner):
                return Reference(f"{path}.{name}", inner)
        return Reference(f"?.{name}", owner)

    def _comprehension(self, element: ast.expr, each: ast.comprehension, names: Names) -> Any:
        items = iterated(self.value(each.iter, names))
        if items is None:
            return UNKNOWN
        found = []
        for item in items:
            inner = dict(names)
            bind(each.target, item, inner)
            tests = [self.value(test, inner) for test in each.ifs]
            if any(isinstance(test, Unknown) for test in tests):
                return UNKNOWN
            if all(tests):
                found.append(self.value(element, inner))
        return found

    def _called(self, node: ast.Call, names: Names) -> Any:
        callee = self.value(node.func, names)
        args = self.elements(node.args, names)
        kwargs: dict[str, Any] = {}
        for keyword in node.keywords:
            value = self.value(keyword.value, names)
            if keyword.arg is not None:
                kwargs[keyword.arg] = value
            elif isinstance(value, dict):
                kwargs |= value
            else:
                kwargs["**"] = UNKNOWN
        if isinstance(args, Unknown):
            args = [UNKNOWN] * len(node.args)
        if not isinstance(callee, Reference):
            return UNKNOWN
        if isinstance(node.func, ast.Name) and callee.path in _FUNCTIONS:
            return _plainly(_FUNCTIONS[callee.path], args, kwargs)
        if isinstance(callee.owner, str) and callee.last in _TEXT_METHODS:
            return _text_method(callee.owner, callee.last, args, kwargs)
        if isinstance(callee.owner, dict) and callee.last in ("items", "keys", "values", "get"):
            found = _plainly(getattr(callee.owner, callee.last), args, kwargs)
            return list(found) if callee.last != "get" and not isinstance(found, Unknown) else found
        return self._call(node, callee, args, kwargs)


def iterated(value: object) -> list[Any] | None:
    """Return what a loop over a value goes through; None where that cannot be told."""
    if isinstance(value, list | tuple | dict) and len(value) <= _LONGEST_RANGE:
        return list(value)
    return None


def bind(target: ast.expr, value: Any, names: Names) -> None:
    """Give a value to what an assignment names."""
    match target:
        case ast.Name(id=name):
            names[name] = value
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            fits = isinstance(value, list | tuple) and len(value) == len(elements)
            for number, element in enumerate(elements):
                bind(element, value[number] if fits else UNKNOWN, names)


def _short_range(*args: int) -> list[int]:
    found = range(*args)
    if len(found) > _LONGEST_RANGE:
        raise ValueError(f"{len(found)} is more than anybody would loop over")
    return list(found)


def _plainly(function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    if any(isinstance(each, Unknown | Construct | Reference) for each in (*args, *kwargs.values())):
        return UNKNOWN
    try:
        return function(*args, **kwargs)
    except (TypeError, ValueError, OverflowError):
        return UNKNOWN


def _text_method(text: str, method: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if method == "join":
        parts = iterated(args[0]) if args else None
        return HOLE if parts is None else text.join(each if isinstance(each, str) else HOLE for each in parts)
    if method == "format":
        filled = [each if isinstance(each, str | int | float) else HOLE for each in args]
        named = {name: each if isinstance(each, str | int | float) else HOLE for name, each in kwargs.items()}
        try:
            return text.format(*filled, **named)
        except (IndexError, KeyError, ValueError, AttributeError):
            return HOLE
    return _plainly(getattr(text, method), args, kwargs)


def _percent(text: str, values: Any) -> str:
    filled = values if isinstance(values, dict) else (values if isinstance(values, tuple) else (values,))
    known = isinstance(filled, dict) or all(isinstance(each, str | int | float) for each in filled)
    try:
        return text % filled if known else HOLE
    except (TypeError, ValueError, KeyError):
        return HOLE


def _arithmetic(operator: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(operator, ast.BitOr) and isinstance(left, dict) and isinstance(right, dict):
        return left | right
    if not (isinstance(left, int | float) and isinstance(right, int | float)):
        return UNKNOWN
    match operator:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.FloorDiv() if right:
            return left // right
    return UNKNOWN


def _equal(left: Any, right: Any) -> Any:
    if isinstance(left, Reference) and left.path.endswith("dialect.name"):
        left = "postgresql"
    if all(isinstance(each, str | int | float | None) for each in (left, right)):
        return UNKNOWN if HOLE in f"{left}{right}" else left == right
    return UNKNOWN


def _item(owner: Any, index: Any) -> Any:
    if isinstance(owner, list | tuple | dict) and isinstance(index, str | int):
        try:
            return owner[index]  # type: ignore[index]
        except (IndexError, KeyError, TypeError):
            return UNKNOWN
    return UNKNOWN
