"""Expressions of a function: Python's integers as 64-bit values, truth values as 0 and 1.

A tuple is a function's result and nothing else. Integers wrap where Python's would grow: that no number of
the life-cycle does is its callers' affair.
"""

from __future__ import annotations

import ast
from enum import IntEnum
from types import FunctionType, ModuleType
from typing import Any, Final

from llvmlite import ir

from simlib.engine.column_access import WORD, ColumnAccess

_COMPARE: Final = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_BUILTINS: Final = {
    "min": (2, 99),
    "max": (2, 99),
    "abs": (1, 1),
    "int": (1, 1),
    "bool": (1, 1),
    "divmod": (2, 2),
}
"""Python's own functions that are known, and how many arguments each may have."""
_PLAIN: Final = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.BitAnd: "and_",
    ast.BitOr: "or_",
    ast.BitXor: "xor",
    ast.LShift: "shl",
}


class Expressions(ColumnAccess):
    """What the expressions of one function come to."""

    _unsigned = False
    """Whether a shift to the right brings in zeros."""

    def _values(self, node: ast.expr) -> list[Any]:
        """One value, or those of a tuple or of a call with several results."""
        if isinstance(node, ast.Tuple):
            return [self._value(each) for each in node.elts]
        result = self._lower(node)
        return result if isinstance(result, list) else [result]

    def _value(self, node: ast.expr) -> Any:
        result = self._lower(node)
        if isinstance(result, list):
            raise self._refuse(node, f"found the tuple {ast.unparse(node)}, expected one value")
        return result

    def _lower(self, node: ast.expr) -> Any:
        lower = getattr(self, f"_of_{type(node).__name__}", None)
        if lower is None:
            raise self._refuse(node, f"found {ast.unparse(node)}, expected an integer expression")
        return lower(node)

    def _room(self) -> Any:
        """A place for a value, made once however often the code around it runs."""
        with self._b.goto_entry_block():
            return self._b.alloca(WORD)

    def _truth(self, node: ast.expr) -> Any:
        """A bit: whether `node` is not zero."""
        return self._b.icmp_signed("!=", self._value(node), ir.Constant(WORD, 0))

    def _of_Constant(self, node: ast.Constant) -> Any:
        if not isinstance(node.value, bool | int):
            raise self._refuse(node, f"found {node.value!r}, expected an integer")
        return self._number(int(node.value))

    def _number(self, value: int) -> Any:
        return ir.Constant(WORD, (value + (1 << 63)) % (1 << 64) - (1 << 63))

    def _of_Name(self, node: ast.Name) -> Any:
        if node.id in self._places:
            return self._b.load(self._places[node.id], typ=WORD)
        value = self._global(node)
        if isinstance(value, bool | int):
            return self._number(int(value))
        raise self._refuse(node, f"found {node.id}, a {type(value).__name__}, expected an integer")

    def _global(self, node: ast.expr) -> Any:
        """What a global name, or a name in a module or enumeration, stands for."""
        values = self._function.__globals__
        if isinstance(node, ast.Name) and node.id not in self._places and node.id in values:
            return values[node.id]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = values.get(node.value.id)
            if isinstance(owner, ModuleType) or (isinstance(owner, type) and issubclass(owner, IntEnum)):
                return getattr(owner, node.attr)
        raise self._refuse(node, f"found {ast.unparse(node)}, expected a column or a global name")

    def _of_Attribute(self, node: ast.Attribute) -> Any:
        found = self._column(node)
        if found is not None:
            table, column = found
            if not column.is_plain:
                raise self._refuse(node, f"found column {node.attr} by itself, expected it with an index")
            return self._entry(table, column.slot)
        value = self._global(node)
        if isinstance(value, int):
            return self._number(int(value))
        raise self._refuse(node, f"found {ast.unparse(node)}, expected an integer")

    def _of_UnaryOp(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.op, ast.Not):
            return self._b.zext(self._b.not_(self._truth(node.operand)), WORD)
        value = self._value(node.operand)
        if isinstance(node.op, ast.USub):
            if isinstance(value, ir.Constant):
                return self._number(-value.constant)
            return self._b.neg(value)
        if isinstance(node.op, ast.Invert):
            return self._b.not_(value)
        return value

    def _of_BinOp(self, node: ast.BinOp) -> Any:
        return self._arithmetic(node, node.op, self._value(node.left), self._value(node.right))

    def _arithmetic(self, node: ast.AST, op: ast.operator, left: Any, right: Any) -> Any:
        plain = _PLAIN.get(type(op))
        if plain is not None:
            return getattr(self._b, plain)(left, right)
        if isinstance(op, ast.RShift):
            return (self._b.lshr if self._unsigned else self._b.ashr)(left, right)
        if isinstance(op, ast.FloorDiv):
            return self._divided(left, right)[0]
        if isinstance(op, ast.Mod):
            return self._divided(left, right)[1]
        raise self._refuse(node, f"found operator {type(op).__name__}, expected one of integers")

    def _divided(self, left: Any, right: Any) -> tuple[Any, Any]:
        """Quotient and remainder, rounded down as Python's are."""
        b, zero = self._b, ir.Constant(WORD, 0)
        quotient, remainder = b.sdiv(left, right), b.srem(left, right)
        apart = b.icmp_signed("<", b.xor(remainder, right), zero)
        down = b.and_(apart, b.icmp_signed("!=", remainder, zero))
        one = b.zext(down, WORD)
        return b.sub(quotient, one), b.add(remainder, b.select(down, right, zero))

    def _of_Compare(self, node: ast.Compare) -> Any:
        """A chain holds if each link does; later parts are evaluated only while it holds."""
        result = self._room()
        self._b.store(ir.Constant(WORD, 0), result)
        after = self._b.append_basic_block("compared")
        left = self._value(node.left)
        for number, (op, part) in enumerate(zip(node.ops, node.comparators, strict=True)):
            if isinstance(op, ast.In | ast.NotIn):
                holds = self._among(left, part, negated=isinstance(op, ast.NotIn))
            else:
                if type(op) not in _COMPARE:
                    raise self._refuse(node, f"found {ast.unparse(node)}, expected a comparison of integers")
                right = self._value(part)
                holds = self._b.icmp_signed(_COMPARE[type(op)], left, right)
                left = right
            if number + 1 == len(node.ops):
                self._b.store(self._b.zext(holds, WORD), result)
                self._b.branch(after)
            else:
                more = self._b.append_basic_block("more")
                self._b.cbranch(holds, more, after)
                self._b.position_at_end(more)
        self._b.position_at_end(after)
        return self._b.load(result, typ=WORD)

    def _among(self, value: Any, node: ast.expr, *, negated: bool) -> Any:
        if isinstance(node, ast.Tuple):
            members = [self._value(each) for each in node.elts]
        else:
            known = self._global(node)
            if not isinstance(known, tuple | frozenset) or not all(isinstance(each, int) for each in known):
                raise self._refuse(node, f"found {ast.unparse(node)}, expected a constant tuple of integers")
            members = [self._number(int(each)) for each in known]
        found = ir.Constant(ir.IntType(1), 0)
        for member in members:
            found = self._b.or_(found, self._b.icmp_signed("==", value, member))
        return self._b.not_(found) if negated else found

    def _of_BoolOp(self, node: ast.BoolOp) -> Any:
        """``and`` and ``or`` with Python's values, the parts after the deciding one left alone."""
        result = self._room()
        after = self._b.append_basic_block("decided")
        for number, part in enumerate(node.values):
            value = self._value(part)
            self._b.store(value, result)
            if number + 1 == len(node.values):
                self._b.branch(after)
                break
            more = self._b.append_basic_block("more")
            holds = self._b.icmp_signed("!=", value, ir.Constant(WORD, 0))
            on_true, on_false = (more, after) if isinstance(node.op, ast.And) else (after, more)
            self._b.cbranch(holds, on_true, on_false)
            self._b.position_at_end(more)
        self._b.position_at_end(after)
        return self._b.load(result, typ=WORD)

    def _of_IfExp(self, node: ast.IfExp) -> Any:
        then, otherwise, after = (self._b.append_basic_block(name) for name in ("then", "else", "after"))
        self._b.cbranch(self._truth(node.test), then, otherwise)
        ways = []
        for block, part in ((then, node.body), (otherwise, node.orelse)):
            self._b.position_at_end(block)
            values = self._values(part)
            ways.append((values, self._b.block))
            self._b.branch(after)
        self._b.position_at_end(after)
        if len({len(values) for values, _ in ways}) != 1:
            raise self._refuse(node, "found tuples of two lengths, expected the same")
        joined = []
        for at in range(len(ways[0][0])):
            phi = self._b.phi(WORD)
            for values, block in ways:
                phi.add_incoming(values[at], block)
            joined.append(phi)
        return joined if len(joined) > 1 else joined[0]

    def _of_Call(self, node: ast.Call) -> Any:
        if node.keywords:
            raise self._refuse(node, "found a named argument, expected arguments by position")
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in _BUILTINS and name not in self._function.__globals__:
            least, most = _BUILTINS[name]
            if not least <= len(node.args) <= most:
                raise self._refuse(node, f"found {len(node.args)} arguments of {name}")
            builtin = getattr(self, f"_call_{name}")
            return builtin(node, [self._value(argument) for argument in node.args])
        function = self._global(node.func)
        if not isinstance(function, FunctionType):
            raise self._refuse(node, f"found a call of {ast.unparse(node.func)}, expected a function")
        taken = function.__code__.co_argcount
        if len(node.args) != taken:
            raise self._refuse(
                node, f"found {len(node.args)} arguments of {function.__name__}, expected {taken}"
            )
        for argument in node.args:
            self._check_array(argument)
        return self._program.call(self._b, function, [self._value(argument) for argument in node.args])

    def _check_array(self, node: ast.expr) -> None:
        """A column that is handed on by itself becomes an array of 64-bit integers."""
        found = self._column(node)
        alias = self._aliases.get(node.id) if isinstance(node, ast.Name) else None
        column = found[1] if found is not None else alias
        if column is not None and column.width != WORD.width // 8:
            raise self._refuse(
                node, f"found column {ast.unparse(node)} of {column.width} bytes, expected of 8"
            )

    def _extreme(self, values: list[Any], order: str) -> Any:
        best = values[0]
        for value in values[1:]:
            best = self._b.select(self._b.icmp_signed(order, value, best), value, best)
        return best

    def _call_min(self, node: ast.Call, values: list[Any]) -> Any:
        return self._extreme(values, "<")

    def _call_max(self, node: ast.Call, values: list[Any]) -> Any:
        return self._extreme(values, ">")

    def _call_abs(self, node: ast.Call, values: list[Any]) -> Any:
        return self._extreme([values[0], self._b.neg(values[0])], ">")

    def _call_int(self, node: ast.Call, values: list[Any]) -> Any:
        return values[0]

    def _call_bool(self, node: ast.Call, values: list[Any]) -> Any:
        return self._b.zext(self._b.icmp_signed("!=", values[0], ir.Constant(WORD, 0)), WORD)

    def _call_divmod(self, node: ast.Call, values: list[Any]) -> Any:
        return list(self._divided(*values))
